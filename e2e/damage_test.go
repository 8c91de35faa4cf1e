package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A data folder of which a part is damaged or gone is refused in one line, and stays as it is: with the part put
// back, everything is there.
func TestADamagedFolderIsRefused(t *testing.T) {
	env := []string{"SABA_API_KEY=" + key}
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"server", "--listen", "127.0.0.1:0", "--data", data}
	server := start(t, env, "saba", args...)
	var r struct{ ID string }
	if status := call(t, http.MethodPost, server.consoleURL(), "/api/v0/hosts", strings.NewReader(`{"name":"kept","meta":{}}`), &r); status != http.StatusOK {
		t.Fatalf("registering answered %d", status)
	}
	if !post(server.consoleURL(), fmt.Sprintf(`[{"hostId":%q,"name":"custom.n","time":%d,"value":7}]`, r.ID, time.Now().Unix())) {
		t.Fatal("a point was not taken")
	}
	server.kill()

	for name, tt := range map[string]struct {
		file     string
		damage   func(path string) error
		sentence string
	}{
		"the database is gone":     {"saba.db", os.Remove, "missing or empty"},
		"the database is empty":    {"saba.db", func(path string) error { return os.Truncate(path, 0) }, "missing or empty"},
		"the samples are a file":   {"samples", func(path string) error { return os.WriteFile(path, nil, 0o600) }, "is not a folder"},
		"a log of samples is junk": {"samples/wal/00000000", func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("junk ", 9999)), 0o600) }, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			kept := filepath.Join(t.TempDir(), "kept")
			path := filepath.Join(data, tt.file)
			if err := os.RemoveAll(filepath.Join(data, "control")); err != nil { // the socket of the killed server: os.CopyFS takes none
				t.Fatal(err)
			}
			if err := os.CopyFS(kept, os.DirFS(data)); err != nil {
				t.Fatal(err)
			}
			if tt.file == "samples" {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.damage(path); err != nil {
				t.Fatal(err)
			}
			if tt.file == "saba.db" { // the log beside it has a refusal of its own
				if err := os.Remove(path + "-wal"); err != nil {
					t.Fatal(err)
				}
			}
			p := start(t, env, "saba", args...)
			out := ""
			if code := p.wait(); code == 0 {
				t.Error("saba ended with exit code 0")
			}
			if out = strings.TrimSpace(p.output()); !strings.Contains(out, tt.sentence) || strings.Contains(out, "\n") || !strings.Contains(out, "move") {
				t.Errorf("saba says %q, want one line that has %q and what to move", out, tt.sentence)
			}
			// Put back what was damaged, and nothing else.
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{tt.file, "saba.db-wal"} {
				from := filepath.Join(kept, file)
				info, err := os.Stat(from)
				if err != nil {
					t.Fatal(err)
				}
				if info.IsDir() {
					err = os.CopyFS(path, os.DirFS(from))
				} else if b, readErr := os.ReadFile(from); readErr != nil {
					err = readErr
				} else if file == tt.file || tt.file == "saba.db" {
					err = os.WriteFile(filepath.Join(data, file), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			again := start(t, env, "saba", args...)
			if got := points(t, again.consoleURL(), r.ID, "custom.n"); len(got) != 1 || got[0].Value != 7 {
				t.Errorf("with the damage undone the points are %v, want the one that was kept", got)
			}
			again.kill()
		})
	}
}

// What cannot be listened on is said in our words.
func TestAddressesThatCannotBe(t *testing.T) {
	for listen, want := range map[string]struct {
		sentence string
		code     int
	}{
		"127.0.0.1:99999":                     {"a port from 0 to 65535", 2},
		net.JoinHostPort("192.0.2.1", "3838"): {"none of this machine's", 1}, // RFC 5737: nobody's
	} {
		p := start(t, nil, "saba", "up", "--listen", listen, "--data", filepath.Join(t.TempDir(), "data"))
		if code := p.wait(); code != want.code || !strings.Contains(p.output(), want.sentence) || strings.Count(p.output(), "\n") != 1 {
			t.Errorf("saba up --listen %s ended with %d and %q, want %d and one line that has %q", listen, code, p.output(), want.code, want.sentence)
		}
	}
}
