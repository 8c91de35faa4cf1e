package servercli

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/internal/cli"
)

// A flag that cannot be is refused like any other: exit code 2, our sentence, and nothing is made.
func TestFlagsThatCannotBeAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		listen, want string
	}{
		"a port beyond the last":     {"127.0.0.1:99999", `--listen takes host:port with a port from 0 to 65535, not "127.0.0.1:99999"`},
		"a port below zero":          {"127.0.0.1:-1", `with a port from 0 to 65535`},
		"a port that is a word":      {"127.0.0.1:nonsense", `with a port from 0 to 65535`},
		"no port":                    {"127.0.0.1", `--listen takes host:port, such as`},
		"an address without a colon": {"nonsense", `--listen takes host:port, such as`},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			for _, command := range []string{"up", "server"} {
				var stderr strings.Builder
				sys := cli.System{Stdout: io.Discard, Stderr: &stderr, Getenv: func(string) string { return "" }, Environ: func() []string { return nil }}
				code := cli.Run(t.Context(), []string{"saba", command, "--listen", tt.listen, "--data", data}, sys, Commands())
				if code != 2 || !strings.Contains(stderr.String(), tt.want) || strings.Count(stderr.String(), "\n") != 1 {
					t.Errorf("saba %s --listen %s = %d with %q, want 2 with one line that has %q", command, tt.listen, code, stderr.String(), tt.want)
				}
			}
			if found, err := filepath.Glob(data); err != nil || len(found) > 0 {
				t.Errorf("the data folder was made all the same: %v", err)
			}
		})
	}
}
