package agent

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// A keyServer is a RoundTripper that takes one key.
type keyServer struct {
	key    string
	asked  int
	bodies []string
}

func (s *keyServer) RoundTrip(req *http.Request) (*http.Response, error) {
	s.asked++
	w := httptest.NewRecorder()
	if req.Header.Get("X-Api-Key") != s.key {
		w.WriteHeader(http.StatusUnauthorized)
		_, err := io.WriteString(w, `{"error":{"message":"no"}}`)
		return w.Result(), err
	}
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	s.bodies = append(s.bodies, string(b))
	_, err = io.WriteString(w, `{"success":true}`)
	return w.Result(), err
}

func TestAKeyThatIsReplacedInItsFileIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "key")
		put := func(key string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		log := &logBuffer{}
		server := &keyServer{key: "first"}
		c, err := client.New(client.Options{Base: "http://saba.example.com", Key: "first",
			HTTP: &http.Client{Transport: FreshKey(Config{APIKey: "first", APIKeyFile: file}, slog.New(slog.NewTextHandler(log, nil)), server)}})
		if err != nil {
			t.Fatal(err)
		}
		post := func() error {
			return c.PostHostMetrics(t.Context(), []saba.Point{{Series: saba.Series{Host: "h", Name: "m"}, Sample: saba.Sample{Time: 60, Value: 1}}})
		}
		put("first")
		if err := post(); err != nil {
			t.Fatal(err)
		}
		server.key = "second"
		if err := post(); !errors.Is(err, saba.ErrUnauthorized) || server.asked != 2 {
			t.Errorf("a key that was not replaced yet: %v after %d requests, want that it is refused once", err, server.asked)
		}
		put("second")
		if err := post(); !errors.Is(err, saba.ErrUnauthorized) {
			t.Errorf("within %v of the last look: %v, want no other look", rereadKeyEvery, err)
		}
		time.Sleep(rereadKeyEvery)
		if err := post(); err != nil || server.asked != 5 || len(server.bodies) != 2 || server.bodies[1] != server.bodies[0] {
			t.Errorf("the new key: %v, %d requests, bodies %q; want the same request again, taken", err, server.asked, server.bodies)
		}
		if err := post(); err != nil || server.asked != 6 {
			t.Errorf("%v after %d requests, want that the new key stays", err, server.asked)
		}
		// A file that holds no key changes nothing, and is said once.
		server.key = "third"
		put("")
		for range 3 {
			time.Sleep(rereadKeyEvery)
			if err := post(); !errors.Is(err, saba.ErrUnauthorized) {
				t.Errorf("without a key in the file: %v", err)
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || strings.Contains(log.String(), "second") {
			t.Errorf("%d warnings, want 1, and never a key:\n%s", n, log)
		}
	})
}
