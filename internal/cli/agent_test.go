package cli_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/internal/cli"
)

// run runs a command line of saba-agent in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	sys := cli.System{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }, Environ: func() []string { return nil }}
	code = cli.Run(t.Context(), append([]string{"saba-agent"}, args...), sys, cli.AgentCommands())
	return code, out.String(), errs.String()
}

// A host is retired on its server, with the agent's own key, and then forgotten here.
func TestRetireAsksTheServerAndForgetsTheHost(t *testing.T) {
	var calls []string
	answer := http.StatusForbidden
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Api-Key"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer)
		if answer == http.StatusOK {
			w.Write([]byte(`{"success":true}`))
		} else {
			w.Write([]byte(`{"error":{"message":"this key may only read"}}`))
		}
	}))
	defer srv.Close()
	root := t.TempDir()
	id := filepath.Join(root, "id")
	if err := os.WriteFile(id, []byte("host1"), 0o644); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(root, "agent.toml")
	if err := os.WriteFile(conf, []byte("apikey = \"k\"\napibase = \""+srv.URL+"\"\nroot = \""+root+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := run(t, "retire", "--force", "--conf", conf)
	if code != 1 || stderr != "saba-agent agent retire: host host1 was not retired: POST /api/v0/hosts/host1/retire: 403 this key may only read\n" {
		t.Errorf("refused: exit code %d, stderr %q", code, stderr)
	}
	if _, err := os.Stat(id); err != nil {
		t.Error("the id of a host that lives is gone:", err)
	}
	answer = http.StatusOK
	if code, _, stderr = run(t, "retire", "--force", "--conf", conf); code != 0 || !strings.Contains(stderr, "host host1 is retired") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if _, err := os.Stat(id); err == nil {
		t.Error("the id of a retired host is kept")
	}
	if want := "POST /api/v0/hosts/host1/retire k"; len(calls) != 2 || calls[1] != want {
		t.Errorf("calls = %q, want two of %q", calls, want)
	}
}
