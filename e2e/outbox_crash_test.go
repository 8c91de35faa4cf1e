package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// outboxKills is how often TestKillLosesNoMessage kills the server; SABA_CRASH_ROUNDS has another number.
const outboxKills = 4

// However often the server is killed, while a receiver hangs, answers or has just answered, every step of every alert arrives
// at each channel, in order; and what the server has kept as confirmed is not sent again.
func TestKillLosesNoMessage(t *testing.T) {
	kills := crashRoundsOr(t, outboxKills)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	args := []string{"server", "--listen", "127.0.0.1:0", "--data", t.TempDir()}
	env := []string{"SABA_API_KEY=" + key, "SABA_ALLOW_PRIVATE_ADDRESSES=127.0.0.0/8"}

	server := start(t, env, "saba", args...)
	base := server.consoleURL()
	var generation atomic.Int64 // kills so far
	receivers := []*outboxReceiver{{name: "steady"}, {name: "moody"}}
	for i, r := range receivers {
		r.generation, r.random = &generation, rand.New(rand.NewPCG(seed, 10+uint64(i)))
		site := httptest.NewServer(r)
		t.Cleanup(site.Close)
		channel := map[string]any{"type": "webhook", "name": r.name, "url": site.URL, "events": []any{"alert"}, "addToDefaultNotificationGroup": true}
		if !request(t, http.MethodPost, base+"/api/v0/channels", channel, nil) {
			t.Fatal("a channel was not made")
		}
	}
	var reporters []*reporter
	for i := range 3 {
		var h struct{ ID string }
		if !request(t, http.MethodPost, base+"/api/v0/hosts", map[string]any{"name": fmt.Sprint("web", i), "meta": map[string]any{}}, &h) {
			t.Fatal("a host was not registered")
		}
		reporters = append(reporters, &reporter{host: h.ID, name: fmt.Sprint("check", i), first: time.Now().Unix() - 5*3600})
	}

	for round := range kills {
		// The notifier looks once a second: most kills fall into its work.
		receivers[1].be([]int{moodHangs, moodLags, moodWorks}[round%3])
		var work sync.WaitGroup
		for _, r := range reporters {
			work.Go(func() {
				for r.report(t, base) {
					wait(10 * time.Millisecond)
				}
			})
		}
		wait(time.Duration(random.IntN(3000)) * time.Millisecond)
		server.kill()
		work.Wait()
		generation.Add(1)
		if random.IntN(2) == 0 { // it may be killed while it starts, too
			server = start(t, env, "saba", args...)
			wait(time.Duration(random.IntN(1500)) * time.Millisecond)
			server.kill()
			generation.Add(1)
		}
		server = start(t, env, "saba", args...)
		base = server.consoleURL()
	}
	receivers[1].be(moodWorks)
	// What comes last of each shows that all before it is through.
	for _, r := range reporters {
		if !r.report(t, base) {
			t.Fatal("the last report was not taken")
		}
	}
	for _, receiver := range receivers {
		eventually(t, "the last message to "+receiver.name, func() bool {
			for _, r := range reporters {
				if !receiver.has(r.words(r.acked)) {
					return false
				}
			}
			return true
		})
	}
	server.stop()
	for _, receiver := range receivers {
		receiver.check(t, reporters)
	}
}

// A reporter reports one check. Each report has another status than the one before, so that each is a step of an alert.
type reporter struct {
	host, name string
	first      int64 // when the first report says that it was, in Unix seconds
	acked      int   // reports that were answered
}

func (r *reporter) words(n int) string {
	return fmt.Sprintf("%s - step %d %s", r.name, n, r.status(n))
}

func (r *reporter) status(n int) string { return []string{"OK", "CRITICAL", "WARNING"}[n%3] }

// report sends the next report, and says whether it was taken. One that was not is sent again the next time: the server knows it
// by its time.
func (r *reporter) report(t *testing.T, base string) bool {
	n := r.acked + 1
	_, message, _ := strings.Cut(r.words(n), " - ")
	if !request(t, http.MethodPost, base+"/api/v0/monitoring/checks/report", map[string]any{"reports": []any{map[string]any{
		"source": map[string]any{"type": "host", "hostId": r.host}, "name": r.name, "status": r.status(n), "message": message, "occurredAt": r.first + int64(n)}}}, nil) {
		return false
	}
	r.acked = n
	return true
}

// The moods of a receiver.
const (
	moodWorks = iota
	moodHangs // takes a message and never answers
	moodLags  // takes a message and answers some time later, in which the server may be killed
)

// An outboxReceiver is what a channel leads to.
type outboxReceiver struct {
	name       string
	generation *atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
	mood   int
	got    []*arrival // in order
}

// An arrival is one try to tell the receiver.
type arrival struct {
	key, words, status string
	generation         int64 // kills before it
	answered           bool
}

func (r *outboxReceiver) be(mood int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood = mood
}

func (r *outboxReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Message string
		Alert   struct{ Status string }
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		return // killed in the middle
	}
	a := &arrival{key: req.Header.Get("Idempotency-Key"), words: body.Message, status: strings.ToUpper(body.Alert.Status)}
	r.mu.Lock()
	a.generation = r.generation.Load()
	r.got = append(r.got, a)
	mood, lag := r.mood, time.Duration(r.random.IntN(50))*time.Millisecond
	r.mu.Unlock()
	switch mood {
	case moodHangs:
		<-req.Context().Done()
		return
	case moodLags:
		wait(lag)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.answered = true // or killed now, which is the same to the receiver
	w.WriteHeader(http.StatusOK)
}

func (r *outboxReceiver) has(words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.got {
		if a.words == words && a.answered {
			return true
		}
	}
	return false
}

// check wants each step of each check once, in order. The same message may come again at once when it was not answered, or when the server
// was killed since: then it had no time to keep that. Once it has sent another one, it has kept it.
func (r *outboxReceiver) check(t *testing.T, reporters []*reporter) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	next, keys := map[string]int{}, map[string]bool{}
	var last *arrival
	twice, unanswered := 0, 0
	for _, a := range r.got {
		if !a.answered {
			unanswered++
		}
		if last != nil && a.key == last.key {
			if last.answered {
				if twice++; a.generation == last.generation {
					t.Errorf("%s: %q was answered, nobody killed the server, and it came again", r.name, a.words)
				}
			}
			if a.words != last.words {
				t.Errorf("%s: %q and %q have the same key", r.name, last.words, a.words)
			}
			a.answered = a.answered || last.answered
			last = a
			continue
		}
		if last != nil && !last.answered {
			t.Errorf("%s: %q came before %q was answered", r.name, a.words, last.words)
		}
		if keys[a.key] {
			t.Errorf("%s: %q came again after it was kept", r.name, a.words)
		}
		keys[a.key], last = true, a
		name, _, _ := strings.Cut(a.words, " - ")
		next[name]++
		for _, of := range reporters {
			if of.name == name && (a.words != of.words(next[name]) || a.status != of.status(next[name])) {
				t.Fatalf("%s: it was told %q (%s), want %q", r.name, a.words, a.status, of.words(next[name]))
			}
		}
	}
	for _, of := range reporters {
		if next[of.name] != of.acked {
			t.Errorf("%s: it was told %d steps of %s, want %d", r.name, next[of.name], of.name, of.acked)
		}
	}
	t.Logf("%s: %d messages in %d tries, %d of them not answered, %d confirmed twice after a kill", r.name, len(keys), len(r.got), unanswered, twice)
}
