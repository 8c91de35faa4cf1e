package servercli

import (
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

const key = "servercli-test-key"

// run runs a command line in this process, as a person would.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	sys := cli.System{Stdout: &out, Stderr: &errs, Environ: func() []string { return nil }, Getenv: func(name string) string {
		return map[string]string{"SABA_API_KEY": key}[name]
	}}
	code = cli.Run(t.Context(), append([]string{"saba"}, args...), sys, DataCommands())
	return code, out.String(), errs.String()
}

// opened returns an open server on a new data folder, which is closed at the end of the test.
func opened(t *testing.T) (s *server.Server, data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	s, err := server.Open(t.Context(), server.Options{
		Listen: "127.0.0.1:0", Data: data, APIKey: key, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, data
}

func TestBackupRestoreAndDoctor(t *testing.T) {
	s, data := opened(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file, restored := filepath.Join(folder, "b.tar.gz"), filepath.Join(folder, "restored")
	for _, step := range []struct {
		args []string
		code int
		says string // on stdout when the code is 0, else on stderr
	}{
		{[]string{"backup", "--data", data}, 2, "FILE is missing"},
		{[]string{"backup", file, "another", "--data", data}, 2, `unexpected argument "another"`},
		{[]string{"backup", file, "--data", folder}, 4, "is no data folder of saba's"},
		{[]string{"backup", filepath.Join(folder, "missing", "b"), "--data", data}, 1, "cannot be written"},
		{[]string{"backup", file, "--data", data}, 0, "was read back and is whole"},
		{[]string{"backup", "--data", data, file}, 0, "was read back and is whole"}, // in the place of the one before
		{[]string{"restore", filepath.Join(folder, "missing"), "--data", restored}, 1, "cannot be read"},
		{[]string{"restore", filepath.Join(data, "saba.db"), "--data", restored}, 2, "no whole backup"},
		{[]string{"restore", file, "--data", restored}, 0, "every checksum as it was written"},
		{[]string{"restore", file, "--data", restored}, 1, "is not empty"},
		{[]string{"doctor", "--data", restored}, 0, "is whole"},
		{[]string{"doctor", "--data", restored, "--repair"}, 0, "is whole"},
		{[]string{"doctor", "--data", filepath.Join(folder, "missing")}, 4, "there is no data folder"},
	} {
		code, stdout, stderr := run(t, step.args...)
		said := stdout
		if step.code != 0 {
			said = stderr
		}
		if code != step.code || !strings.Contains(said, step.says) || strings.Count(said, "\n") != 1 {
			t.Errorf("saba %v = %d with %q and %q, want %d and one line with %q", step.args, code, stdout, stderr, step.code, step.says)
		}
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v (%v), want the backup and what was restored from it", left, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v; want it for its owner alone", info, err)
	}
	if err := os.Truncate(filepath.Join(restored, "saba.db"), 5000); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := run(t, "doctor", "--data", restored); code != 1 || !strings.Contains(stdout, "HARM: "+filepath.Join(restored, "saba.db")) || !strings.Contains(stdout, "Restore the data folder from a backup") || !strings.Contains(stderr, "see above") {
		t.Errorf("saba doctor of a cut database = %d with %q and %q", code, stdout, stderr)
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 5 << 40: "5.0 TiB", 5000 << 40: "5000.0 TiB"} {
		if got := size(bytes); got != want {
			t.Errorf("size(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "20GB": 20e9, "512MiB": 512 << 20, "1.5 tib": 3 << 39, "7B": 7} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("Set(%q) = %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "20", "GB", "-1GB", "NaNGB", "1e30TB", "20 gigs", "InfGB"} {
		var b byteSize
		if err := b.Set(text); err == nil {
			t.Errorf("Set(%q) = %d, want an error", text, b)
		}
	}
}
