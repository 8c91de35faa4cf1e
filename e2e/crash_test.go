package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Whatever was answered with 200 is there after kill -9 at any moment.
func TestKillLosesNoAcknowledgedPoint(t *testing.T) {
	data := t.TempDir()
	args := []string{"server", "--listen", "127.0.0.1:0", "--data", data}
	env := []string{"SABA_API_KEY=" + key}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	var hostID string
	minute := time.Now().Unix()/60*60 - 23*3600 // the last 23 hours, one minute a request
	acked := map[int64]float64{}
	for round := range 4 {
		server := start(t, env, "saba", args...)
		base := server.consoleURL()
		if hostID == "" {
			var r struct{ ID string }
			if status := call(t, http.MethodPost, base, "/api/v0/hosts", strings.NewReader(`{"name":"crash","meta":{}}`), &r); status != http.StatusOK {
				t.Fatalf("registering answered %d", status)
			}
			hostID = r.ID
		}
		got := allPoints(t, base, hostID)
		for at, want := range acked {
			if v, ok := got[at]; !ok || v != want {
				t.Fatalf("round %d: the point of %d was acknowledged as %v and is %v (there: %v)", round, at, want, v, ok)
			}
		}
		if len(got) < len(acked) {
			t.Fatalf("round %d: %d points were acknowledged, %d are there", round, len(acked), len(got))
		}

		killed := make(chan struct{})
		var once sync.Once
		go func() {
			defer close(killed)
			timer := time.NewTimer(time.Duration(50+random.IntN(400)) * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			once.Do(server.kill)
		}()
		for range 300 {
			minute += 60
			value := float64(minute%7919) / 7
			body := fmt.Sprintf(`[{"hostId":%q,"name":"custom.crash.n","time":%d,"value":%v}]`, hostID, minute, value)
			if !post(base, body) {
				break
			}
			acked[minute] = value
		}
		<-killed
	}
	if len(acked) == 0 {
		t.Fatal("not one point was acknowledged: the test shows nothing")
	}
	t.Logf("%d points acknowledged over 4 kills", len(acked))
	server := start(t, env, "saba", args...)
	got := allPoints(t, server.consoleURL(), hostID)
	for at, want := range acked {
		if v, ok := got[at]; !ok || v != want {
			t.Errorf("the point of %d was acknowledged as %v and is %v (there: %v)", at, want, v, ok)
		}
	}
	server.stop()
}

// post sends points and says whether they were acknowledged.
func post(base, body string) bool {
	req, err := http.NewRequest(http.MethodPost, base+"/api/v0/tsdb", strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false // killed in the middle: not acknowledged
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// allPoints reads the last 24 hours in pieces short enough to be raw.
func allPoints(t *testing.T, base, hostID string) map[int64]float64 {
	t.Helper()
	all := map[int64]float64{}
	now := time.Now().Unix()
	for from := now - 24*3600; from < now+600; from += 6 * 3600 {
		var r struct{ Metrics []sample }
		path := fmt.Sprintf("/api/v0/hosts/%s/metrics?name=custom.crash.n&from=%d&to=%d", hostID, from, from+6*3600-1)
		if status := get(t, base, path, &r); status != http.StatusOK && status != http.StatusNotFound {
			t.Fatalf("GET %s answered %d", path, status)
		}
		for _, s := range r.Metrics {
			all[s.Time] = s.Value
		}
	}
	return all
}

// A start that cannot be is refused in one sentence, with a non-zero exit, and changes nothing.
func TestStartsThatCannotBe(t *testing.T) {
	refused := func(t *testing.T, sentence string, args ...string) {
		t.Helper()
		p := start(t, nil, "saba", args...)
		if code := p.wait(); code == 0 {
			t.Errorf("saba %v ended with exit code 0", args)
		}
		out := strings.TrimSpace(p.output())
		if !strings.Contains(out, sentence) {
			t.Errorf("saba %v says %q, want a sentence with %q", args, out, sentence)
		}
		if strings.Count(out, "\n") > 0 || strings.Contains(out, "goroutine") {
			t.Errorf("saba %v says more than one line:\n%s", args, out)
		}
	}

	t.Run("the address is in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		data := filepath.Join(t.TempDir(), "data")
		refused(t, "is in use by another program", "up", "--listen", l.Addr().String(), "--data", data)
		if _, err := os.Stat(data); err == nil {
			t.Error("the data folder was made all the same")
		}
	})
	t.Run("the data folder is in use by another saba", func(t *testing.T) {
		data := t.TempDir()
		first := start(t, nil, "saba", "server", "--listen", "127.0.0.1:0", "--data", data)
		first.consoleURL()
		refused(t, "is in use by another saba", "server", "--listen", "127.0.0.1:0", "--data", data)
		first.stop()
	})
	t.Run("the data folder cannot be made", func(t *testing.T) {
		file := write(t, filepath.Join(t.TempDir(), "file"), "not a folder")
		refused(t, "the data folder", "server", "--listen", "127.0.0.1:0", "--data", filepath.Join(file, "data"))
	})
	t.Run("the database is damaged", func(t *testing.T) {
		data := t.TempDir()
		rubbish := strings.Repeat("this is not a database. ", 500)
		path := write(t, filepath.Join(data, "saba.db"), rubbish)
		refused(t, "saba.db", "server", "--listen", "127.0.0.1:0", "--data", data)
		if b, err := os.ReadFile(path); err != nil || string(b) != rubbish {
			t.Errorf("the damaged file was changed (%v)", err)
		}
	})
	t.Run("the address is no address", func(t *testing.T) {
		refused(t, "--listen", "server", "--listen", "nonsense", "--data", t.TempDir())
	})
}
