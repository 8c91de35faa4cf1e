package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

const key = "server-test-key"

func options(t *testing.T) Options {
	t.Helper()
	return Options{
		Listen: "127.0.0.1:0", Data: filepath.Join(t.TempDir(), "data"), APIKey: key,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
	}
}

func open(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

func TestWhoMayReadSabasOwnMetrics(t *testing.T) {
	s := open(t, options(t))
	for name, tt := range map[string]struct {
		from   string
		header map[string]string
		want   int
	}{
		"a scraper on this machine":              {"127.0.0.1:5000", nil, 200},
		"a scraper on this machine, by IPv6":     {"[::1]:5000", nil, 200},
		"a stranger":                             {"192.0.2.1:5000", nil, 401},
		"a stranger through a proxy here":        {"127.0.0.1:5000", map[string]string{"X-Forwarded-For": "192.0.2.1"}, 401},
		"a scraper elsewhere, with a bearer key": {"192.0.2.1:5000", map[string]string{"Authorization": "Bearer " + key}, 200},
		"a scraper elsewhere, with a key":        {"192.0.2.1:5000", map[string]string{"X-Api-Key": key}, 200},
		"a scraper elsewhere, with a wrong key":  {"192.0.2.1:5000", map[string]string{"X-Api-Key": "wrong"}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.RemoteAddr = tt.from
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("GET /metrics = %d, want %d", w.Code, tt.want)
			}
			if shown := strings.Contains(w.Body.String(), "saba_points_received_total"); shown != (tt.want == 200) {
				t.Errorf("GET /metrics shows figures: %v", shown)
			}
		})
	}
}

func TestAKeyReadsSabasOwnMetricsOnlyFromItsNetworks(t *testing.T) {
	s := open(t, options(t))
	if err := s.records.SetNetworks(t.Context(), s.org.ID, saba.SurfaceAPI, []string{"198.51.100.0/24"}); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]int{"198.51.100.7:5000": 200, "192.0.2.1:5000": 401, "127.0.0.1:5000": 200} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = from
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("GET /metrics from %s = %d, want %d", from, w.Code, want)
		}
	}
}

func TestOddPathsOfTheAPIAreNotRedirected(t *testing.T) {
	s := open(t, options(t))
	for _, path := range []string{"/api//v0/hosts", "/api/v0//tsdb", "/api/v0/../v0/tsdb", "/api/", "/api", "/api/v0", "//api/v0/hosts"} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("[]"))
		r.URL.Path = path
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code/100 == 3 || w.Body.Len() == 0 {
			t.Errorf("POST %s = %d with %d bytes, want no redirect and a body", path, w.Code, w.Body.Len())
		}
		if kind := w.Header().Get("Content-Type"); kind != "application/json" {
			t.Errorf("POST %s answers with %q, want JSON", path, kind)
		}
	}
}

func TestTheQueryOfAMonitorIsReadAsPromQL(t *testing.T) {
	s := open(t, options(t))
	for query, want := range map[string]int{`sum by (http.route) (rate(http.requests[5m]))`: 200, `sum(up) by by`: 400, `up[5m]`: 400} {
		w := ask(t, s, http.MethodPost, "/api/v0/monitors", `{"type":"query","name":"q","query":"`+query+`","operator":">","warning":1}`)
		if w.Code != want || want == 400 && !strings.Contains(w.Body.String(), "query ") {
			t.Errorf("a monitor of %s is answered with %d %s, want %d", query, w.Code, w.Body, want)
		}
	}
}

func TestAFirstStartMakesWhatAConsoleNeeds(t *testing.T) {
	o := options(t)
	o.APIKey = ""
	first, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if first.NewKey == "" || first.SetupToken == "" {
		t.Errorf("a first start made the key %q and the set-up token %q, want both", first.NewKey, first.SetupToken)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, o)
	if second.NewKey != "" {
		t.Errorf("a second start made another key")
	}
	if second.SetupToken == "" || second.SetupToken == first.SetupToken {
		t.Errorf("without an account a second start must print a new set-up link")
	}
	if err := second.EnsureKey(t.Context(), "again", first.NewKey); err != nil {
		t.Fatal(err)
	}
	keys, err := second.records.Keys(t.Context(), second.org.ID)
	if err != nil || len(keys) != 1 {
		t.Errorf("%d keys (%v), want the first one alone", len(keys), err)
	}
}

func TestAKeyThatCannotBeOneIsRefused(t *testing.T) {
	for _, bad := range []string{"abc", "with a blank", "tab\tin it", "鯖鯖鯖鯖", strings.Repeat("x", 257)} {
		o := options(t)
		o.APIKey = bad
		s, err := Open(t.Context(), o)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), "SABA_API_KEY") {
			t.Errorf("with SABA_API_KEY=%q Open() = %v, want a refusal that names it", bad, err)
		}
	}
}

func TestARefusedStartGivesEverythingBack(t *testing.T) {
	o := options(t)
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Data, "saba.db"), []byte(strings.Repeat("rubbish ", 999)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "saba.db") {
		t.Fatalf("Open() = %v, want a refusal that names saba.db", err)
	}
	if err := os.Remove(filepath.Join(o.Data, "saba.db")); err != nil {
		t.Fatal(err)
	}
	open(t, o) // the lock is free again
}

// contents returns what the files below dir hold; "a folder" for a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[path] = "a folder"
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// used returns options for a data folder that holds a host and a point of its, as a kill leaves it.
func used(t *testing.T) Options {
	t.Helper()
	o := options(t)
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	send := func(path, body string) string {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("POST %s = %d %s", path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	var host struct{ ID string }
	if err := json.Unmarshal([]byte(send("/api/v0/hosts", `{"name":"h","meta":{}}`)), &host); err != nil {
		t.Fatal(err)
	}
	send("/api/v0/tsdb", fmt.Sprintf(`[{"hostId":%q,"name":"custom.m","time":%d,"value":1}]`, host.ID, time.Now().Unix()))
	killed := o
	killed.Data = filepath.Join(t.TempDir(), "killed")
	if err := os.Remove(filepath.Join(o.Data, controlName)); err != nil { // os.CopyFS takes no sockets
		t.Fatal(err)
	}
	if err := os.CopyFS(killed.Data, os.DirFS(o.Data)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(killed.Data, "saba.db-wal")); err != nil || info.Size() == 0 {
		t.Fatalf("the killed database has no log (%v): the test would show nothing", err)
	}
	return killed
}

func TestADamagedFolderIsRefusedAndLeftAsItIs(t *testing.T) {
	whole := used(t)
	for name, tt := range map[string]struct {
		harm func(data string) error
		says []string
	}{
		"the samples are damaged": {func(data string) error {
			return os.WriteFile(filepath.Join(data, "samples", "wal", "00000000"), []byte(strings.Repeat("rubbish ", 999)), 0o600)
		}, []string{"samples", "is damaged"}},
		"the database is damaged": {func(data string) error {
			// The log of so small a database holds all of it, and would make it whole again.
			return errors.Join(os.Remove(filepath.Join(data, "saba.db-wal")),
				os.WriteFile(filepath.Join(data, "saba.db"), []byte(strings.Repeat("rubbish ", 999)), 0o600))
		}, []string{"saba.db"}},
		"the database is missing": {func(data string) error {
			return errors.Join(os.Remove(filepath.Join(data, "saba.db")), os.Remove(filepath.Join(data, "saba.db-wal")))
		}, []string{"saba.db is missing or empty", "restore the database", "move", "samples away"}},
		"the database is empty": {func(data string) error {
			return errors.Join(os.Truncate(filepath.Join(data, "saba.db"), 0), os.Remove(filepath.Join(data, "saba.db-wal")))
		}, []string{"saba.db is missing or empty"}},
		"the samples are a file": {func(data string) error {
			return errors.Join(os.RemoveAll(filepath.Join(data, "samples")), os.WriteFile(filepath.Join(data, "samples"), nil, 0o600))
		}, []string{"samples is not a folder", "move it away"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := whole
			o.Data = filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(o.Data, os.DirFS(whole.Data)); err != nil {
				t.Fatal(err)
			}
			if err := tt.harm(o.Data); err != nil {
				t.Fatal(err)
			}
			before := contents(t, o.Data)
			s, err := Open(t.Context(), o)
			if err == nil {
				t.Fatalf("a damaged folder was opened; closed: %v", s.Close())
			}
			after := contents(t, o.Data)
			for _, m := range []map[string]string{before, after} {
				delete(m, filepath.Join(o.Data, "lock"))            // names the process
				delete(m, filepath.Join(o.Data, "saba.db-shm"))     // made from the log, holds nothing
				delete(m, filepath.Join(o.Data, "samples", "lock")) // is empty
			}
			for path := range before {
				if after[path] != before[path] {
					t.Errorf("%s was changed", path)
				}
			}
			for path := range after {
				if _, was := before[path]; !was {
					t.Errorf("%s was made", path)
				}
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Open() = %v; want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("Open() = %q: more than one line", err)
			}
		})
	}
	t.Run("with both moved away it begins anew", func(t *testing.T) {
		o := whole
		o.Data = filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(o.Data, os.DirFS(whole.Data)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"saba.db", "saba.db-wal", "samples"} {
			if err := os.RemoveAll(filepath.Join(o.Data, name)); err != nil {
				t.Fatal(err)
			}
		}
		open(t, o)
	})
	t.Run("a first start that was killed before it was done goes on", func(t *testing.T) {
		o := options(t)
		first, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.RemoveAll(filepath.Join(o.Data, "saba.db"+suffix)); err != nil {
				t.Fatal(err)
			}
		}
		open(t, o) // the samples hold nothing yet
	})
}
