package server

import (
	"crypto/rand"
	"errors"
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
