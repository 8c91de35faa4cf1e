package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crashRounds is how often TestKillLosesNothingAcknowledged kills the server; SABA_CRASH_ROUNDS has another number.
const crashRounds = 5

// Whatever was answered with 200 is there after kill -9 at any moment, while the server starts too, and whole: points,
// and every kind of object. What was not answered is there as it was sent, or as it was before.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	rounds := crashRoundsOr(t, crashRounds)
	data := t.TempDir()
	args := []string{"server", "--listen", "127.0.0.1:0", "--data", data}
	env := []string{"SABA_API_KEY=" + key}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	var curves []*curves
	var diaries []*diary
	kinds := kindsOfObjects()
	server := start(t, env, "saba", args...)
	for i := range uint64(3) {
		curves = append(curves, newCurves(t, server.consoleURL(), fmt.Sprint("points", i), rand.New(rand.NewPCG(seed, 1+i))))
		diaries = append(diaries, newDiary(t, server.consoleURL(), fmt.Sprint("w", i), kinds, rand.New(rand.NewPCG(seed, 100+i))))
	}
	for round := range rounds {
		var work sync.WaitGroup
		base := server.consoleURL()
		for _, c := range curves {
			c.begin(round)
			work.Go(func() { c.write(t, base) })
		}
		for _, d := range diaries {
			work.Go(func() { d.write(t, base) })
		}
		wait(time.Duration(random.IntN(1200)) * time.Millisecond)
		server.kill()
		work.Wait()

		for random.IntN(3) == 0 {
			server = start(t, env, "saba", args...)
			wait(time.Duration(random.IntN(250)) * time.Millisecond)
			server.kill()
		}
		server = start(t, env, "saba", args...)
		base = server.consoleURL()
		for _, c := range curves {
			c.check(t, base, round)
			c.check(t, base, random.IntN(round+1))
		}
		checkDiaries(t, base, filepath.Join(data, "saba.db"), kinds, diaries)
		if t.Failed() {
			t.Fatalf("something is wrong after %d kills", round+1)
		}
	}
	points, objects := 0, 0
	for _, c := range curves {
		for round := range rounds {
			c.check(t, server.consoleURL(), round)
		}
		points += c.acked
	}
	for _, d := range diaries {
		objects += d.acked
	}
	if points == 0 || objects == 0 {
		t.Fatalf("%d points and %d changes of objects were acknowledged: the test shows nothing", points, objects)
	}
	t.Logf("%d points and %d changes of objects acknowledged over %d rounds", points, objects, rounds)
	server.stop()
	if out, err := exec.CommandContext(t.Context(), filepath.Join(binaries, "saba"), "doctor", "--data", data).CombinedOutput(); err != nil {
		t.Errorf("saba doctor: %v: %s", err, out)
	}
}

// crashRoundsOr returns the number that SABA_CRASH_ROUNDS has, or else the usual one.
func crashRoundsOr(t *testing.T, usual int) int {
	s := os.Getenv("SABA_CRASH_ROUNDS")
	if s == "" {
		return usual
	}
	rounds, err := strconv.Atoi(s)
	if err != nil || rounds < 1 {
		t.Fatalf("SABA_CRASH_ROUNDS is %q, want a number above 0", s)
	}
	return rounds
}

// wait is for a moment that nothing marks: it is chosen at random.
func wait(d time.Duration) { <-time.After(d) }

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
