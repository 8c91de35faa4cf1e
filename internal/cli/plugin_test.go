package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/agent"
)

// A configuration's plugin = "gostats …" becomes values of the agent's turn.
func TestAnAgentRunsABundledPlugin(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"goroutine_num":7,"memory_alloc":1024}`)
	}))
	defer app.Close()
	load := func(text string) (agent.Config, error) {
		file := filepath.Join(t.TempDir(), "agent.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := agent.LoadWith(file, agent.LoadOptions{Bundled: hasBundled})
		if err != nil {
			return c, err
		}
		return c, agent.Bundle(&c, agent.Bundled{Metric: bundledPlugin})
	}
	c, err := load("[plugin.metrics.app]\nplugin = \"gostats -uri " + app.URL + " -metric-key-prefix shop\"\nexclude_pattern = \"memory_alloc\"\n")
	if err != nil {
		t.Fatal(err)
	}
	host := agent.NewHost(c)
	s, err := agent.Once(t.Context(), agent.Options{Config: c, Facts: host.Facts, Log: slog.New(slog.DiscardHandler)})
	if err != nil || len(s.Metrics.Values) != 1 {
		t.Fatalf("Once = %+v, %v, want the values of one host", s.Metrics, err)
	}
	if v := s.Metrics.Values[0].Values; v["custom.shop.runtime.goroutine_num"].Value != 7 || len(v) != 1 {
		t.Errorf("values = %v, want the goroutines alone", v)
	}
	for text, want := range map[string]string{
		`plugin = "gostat"`:          `"gostat"`,
		`plugin = "gostats -prot 1"`: "-prot",
		`plugin = "gostats -h"`:      "as a command",
	} {
		if _, err := load("[plugin.metrics.app]\n" + text + "\n"); !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a mistake that has %q", text, err, want)
		}
	}
}

// A bundled plugin finds the variables of its table, as a process would: of two the last counts.
func TestABundledPluginHasAnEnvironment(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://u:secret@127.0.0.1:3/x")
	r, err := bundledPlugin("delayed_job", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		environ []string
		want    string
	}{
		{[]string{"DATABASE_URL=postgres://u:secret@127.0.0.1:1/x", "DATABASE_URL=postgres://u:secret@127.0.0.1:2/x"}, "127.0.0.1:2"},
		{nil, "set -dsn, -dsn-file or DATABASE_URL"},
	} {
		if _, err := r.Values(t.Context(), tt.environ); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("with %q: %v, want an error that has %q", tt.environ, err, tt.want)
		}
	}
}
