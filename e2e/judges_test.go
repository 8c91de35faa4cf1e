//go:build judges

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// theirs is a client of somebody else for the API, as it is published: `make judges` fetches it. It is not part of `make test`, which needs no other
// programs than those of the system.
const theirs = "mackerel@0.1.1"

// An unmodified client in JavaScript does with saba all that it can do.
func TestAClientInJavaScript(t *testing.T) {
	dir := t.TempDir()
	npm := exec.CommandContext(t.Context(), "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", theirs)
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm install %s: %v\n%s", theirs, err, out)
	}
	server := start(t, []string{"SABA_API_KEY=" + key}, "saba", "server", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	base := server.consoleURL()
	for _, made := range [][2]string{{"/api/v0/services", `{"name":"shop","memo":""}`}, {"/api/v0/services/shop/roles", `{"name":"web","memo":""}`}} {
		if status := call(t, http.MethodPost, base, made[0], strings.NewReader(made[1]), nil); status != http.StatusOK {
			t.Fatalf("POST %s answered %d", made[0], status)
		}
	}

	script, err := os.ReadFile("testdata/judge.js")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "judge.js"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "judge.js")
	node.Dir = dir
	node.Env = append(os.Environ(), "BASE="+base, "KEY="+key)
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const calls = 27
	if n := strings.Count(string(out), "ok "); n != calls {
		t.Errorf("%d calls were right, want %d:\n%s", n, calls, out)
	}
}
