package tail

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// A rig is a drain on real engines behind a real server, and a folder of logs.
type rig struct {
	*testing.T
	dir     string
	drains  *drain.Drains
	site    *httptest.Server
	options Options
	began   time.Time // when journals begin: a while ago, so that a drain takes their lines

	broken atomic.Int64 // requests that are answered 503 after the drain has taken them, as if the answer was lost
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir(), began: time.Now().Truncate(time.Second).Add(-time.Minute)}
	data := t.TempDir()
	records, err := sqldb.Open(t.Context(), filepath.Join(data, "saba.db"))
	r.check(err)
	t.Cleanup(func() { r.check(records.Close()) })
	samples, err := tsdb.Open(t.Context(), tsdb.Options{Dir: filepath.Join(data, "samples"), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
	r.check(err)
	t.Cleanup(func() { r.check(samples.Close()) })
	_, err = records.EnsureOrg(t.Context(), saba.Org{ID: "org1", Name: "first"})
	r.check(err)
	r.check(records.CreateService(t.Context(), "org1", saba.Service{Name: "shop"}))
	r.check(records.CreateDrain(t.Context(), "org1", saba.Drain{ID: "d1", Name: "app", Service: "shop"}, saba.HashSecret("token")))
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	points := ingest.New(ingest.Options{Hosts: records, Samples: samples, Log: log, Registerer: prometheus.NewRegistry(), Now: time.Now})
	r.drains = drain.New(drain.Options{Org: "org1", Store: records, Points: points, Samples: samples, Now: time.Now, Log: log})
	r.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.broken.Add(-1) >= 0 {
			r.drains.ServeHTTP(httptest.NewRecorder(), req)
			http.Error(w, "the answer is lost", http.StatusServiceUnavailable)
			return
		}
		r.drains.ServeHTTP(w, req)
	}))
	t.Cleanup(r.site.Close)
	r.options = Options{Drain: r.site.URL + "/drains/token", Files: []string{filepath.Join(r.dir, "*.log")}, Host: "web1", State: filepath.Join(data, "tail"), Client: r.site.Client(),
		Now: time.Now, Random: rand.Reader, Zone: time.UTC, Log: log, poll: 5 * time.Millisecond}
	return r
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// run runs until stop is called.
func (r *rig) run() (stop func()) {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := Run(ctx, r.options); err != nil {
			r.Error(err)
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) add(name, text string) {
	r.Helper()
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	r.check(err)
	_, err = f.WriteString(text)
	r.check(err)
	r.check(f.Close())
}

// wantLines waits until the drain has got lines that end with these words, in any order, and no others.
func (r *rig) wantLines(want ...string) {
	r.Helper()
	left := map[string]int{}
	for _, w := range want {
		left[w]++
	}
	r.until(fmt.Sprintf("%d lines", len(want)), func() bool { return r.drains.Status("d1").Lines >= int64(len(want)) })
	for _, g := range r.got() {
		if left[g]--; left[g] < 0 {
			r.Errorf("%q came and was not wanted, or came again", g)
		}
	}
}

// until asks until ok says yes: the other side is a server and files, there is nothing to wait on but what they hold.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.Fatalf("%s did not come about in time: %v", what, r.got())
		}
	}
}

// got returns the last word of each line.
func (r *rig) got() (words []string) {
	for _, l := range r.drains.Status("d1").Recent {
		f := strings.Fields(string(l.Text))
		words = append(words, f[len(f)-1])
	}
	return words
}

func TestLinesOfFilesAreSentOnce(t *testing.T) {
	r := newRig(t)
	r.add("app.log", "count#before=1\n")
	stop := r.run() // the first run notes where the files end
	r.until("the first look", func() bool {
		b, err := os.ReadFile(r.options.State)
		return err == nil && strings.Contains(string(b), `"known":true`)
	})
	stop()
	stop = r.run()
	r.add("app.log", "count#a\n")
	r.add("new.log", "count#b\ncount#half")
	r.wantLines("count#a", "count#b")
	r.add("new.log", "way\n")
	r.check(os.Rename(r.path("app.log"), r.path("app.log.1")))
	r.add("app.log.1", "count#late\n") // by a program that was not told yet
	r.add("app.log", "count#c\n")
	r.wantLines("count#a", "count#b", "count#halfway", "count#late", "count#c")
	stop()
	r.add("app.log", "count#d\n")
	r.check(os.Rename(r.path("app.log"), r.path("app.log.2"))) // while nobody reads
	r.add("app.log", "count#e\n")
	r.check(os.Truncate(r.path("new.log"), 0))
	r.add("new.log", "count#f\n")
	stop = r.run()
	defer stop()
	r.wantLines("count#a", "count#b", "count#halfway", "count#late", "count#c", "count#d", "count#e", "count#f")
}

func TestAnAnswerThatIsLostCountsNothingTwice(t *testing.T) {
	r := newRig(t)
	r.options.Whole = true
	r.broken.Store(2)
	r.add("app.log", "count#a=5\n")
	stop := r.run()
	defer stop()
	r.add("app.log", "count#b\n")
	r.wantLines("count#a=5", "count#b")
	if s := r.drains.Status("d1"); s.Readings != 2 {
		t.Errorf("%d readings count, want 2", s.Readings)
	}
}

// A batch that was on its way when the process was killed goes out under the id that it had.
func TestAKillBetweenTheServersWorkAndItsAnswer(t *testing.T) {
	r := newRig(t)
	r.options.Whole = true
	r.add("app.log", "count#a=5\n")
	seen := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	r.options.Client = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := r.site.Client().Transport.RoundTrip(req)
		seen <- req.Header.Get("Logplex-Frame-Id")
		if ctx.Err() == nil { // killed now: the answer is known to nobody
			cancel()
			_ = resp.Body.Close()
			return nil, context.Canceled
		}
		return resp, err
	})}
	r.check(Run(ctx, r.options))
	first := <-seen
	stop := r.run()
	defer stop()
	if again := <-seen; again != first {
		t.Errorf("the second try has the id %s, want %s", again, first)
	}
	r.wantLines("count#a=5")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhatIsSentOfALine(t *testing.T) {
	r := newRig(t)
	r.options.Whole, r.options.Match = true, regexp.MustCompile("count#")
	r.add("my app.log", "2026-01-02 03:04:05,25 +0900 count#a\n\tat count#b\nnothing\n"+strings.Repeat("x", 300<<10)+" count#long\n")
	stop := r.run()
	defer stop()
	r.wantLines("count#a", "count#b")
	var texts []string
	for _, l := range r.drains.Status("d1").Recent {
		texts = append(texts, fmt.Sprintf("%s %s %s %s", l.Time.UTC().Format(time.RFC3339Nano), l.Host, l.App, strings.TrimSpace(string(l.Text))))
	}
	want := "2026-01-01T18:04:05.25Z web1 my_app at count#b\n2026-01-01T18:04:05.25Z web1 my_app 2026-01-02 03:04:05,25 +0900 count#a"
	if got := strings.Join(texts[len(texts)-2:], "\n"); got != want {
		t.Errorf("the lines are\n%s\nwant\n%s", got, want)
	}
}

func TestTwoProcessesWithOneState(t *testing.T) {
	r := newRig(t)
	unlock, err := lock(r.options.State)
	r.check(err)
	if err := Run(t.Context(), r.options); err == nil || !strings.Contains(err.Error(), "another process sends the same lines") {
		t.Errorf("the second one says %v", err)
	}
	r.check(unlock())
	r.check(os.WriteFile(r.options.State, []byte("{"), 0o600))
	if err := Run(t.Context(), r.options); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged state file is %v", err)
	}
}

// journal writes a real journal with these messages, a second apart from the first one on.
func (r *rig) journal(name string, first int64, messages ...string) {
	r.Helper()
	var export strings.Builder
	for i, m := range messages {
		fmt.Fprintf(&export, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%032x\n_HOSTNAME=db1\nSYSLOG_IDENTIFIER=worker\n_PID=77\n_SYSTEMD_UNIT=shop.service\nMESSAGE=%s\n\n",
			r.began.UnixMicro()+(first+int64(i))*1_000_000, (first+int64(i))*1_000_000, 7, m)
	}
	cmd := exec.Command("/lib/systemd/systemd-journal-remote", "--output="+filepath.Join(r.dir, name), "-")
	cmd.Stdin = strings.NewReader(export.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("the test needs a real journal (Debian's systemd-journal-remote): %v\n%s", err, out)
	}
}

func TestTheJournalIsSent(t *testing.T) {
	r := newRig(t)
	r.journal("a.journal", 0, "count#a", "something else count#b", "measure#time=5ms count#c")
	r.options.Files, r.options.Whole = nil, true
	r.options.Journal = &Journal{Command: "journalctl", Args: []string{"--directory=" + r.dir, "--unit=shop.service"}}
	stop := r.run()
	r.wantLines("count#a", "count#b", "count#c")
	stop()
	last := r.drains.Status("d1").Recent[0]
	if last.Host != "db1" || last.App != "worker" || last.Proc != "77" || last.Time.Unix() != r.began.Unix()+2 {
		t.Errorf("the last line is %+v", last)
	}
	r.journal("b.journal", 3, "count#d")
	stop = r.run() // goes on behind the last one: none comes again
	r.wantLines("count#a", "count#b", "count#c", "count#d")
	stop()
}

func TestStamp(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	zone := time.FixedZone("", 2*3600)
	for line, want := range map[string]string{
		"2026-01-02T03:04:05Z x":                            "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.678901+00:00 x":                "2026-01-02T03:04:05.678901Z",
		"2026-01-02 03:04:05,123 INFO":                      "2026-01-02T01:04:05.123Z",
		"[2026-01-02 03:04:05 -0130] x":                     "2026-01-02T04:34:05Z",
		"I, [2026-01-02T03:04:05.5 #12]  INFO":              "2026-01-02T01:04:05.5Z",
		"2026/01/02 03:04:05 Go":                            "2026-01-02T01:04:05Z",
		`1.2.3.4 - - [02/Jan/2026:03:04:05 +0900] "GET /"`:  "2026-01-01T18:04:05Z",
		"Jan  2 03:04:05 host x":                            "2026-01-02T01:04:05Z",
		"Dec 31 23:59:59 host x":                            "2025-12-31T21:59:59Z",
		`{"time":"2026-01-02T03:04:05.25+09:00","msg":"x"}`: "2026-01-01T18:04:05.25Z",
		"no stamp at all":                                   "",
		"id 12026-01-02T03:04:05":                           "",
		"2026-99-02T03:04:05Z":                              "",
		"":                                                  "",
	} {
		at, ok := stamp([]byte(line), now, zone)
		got := ""
		if ok {
			got = at.UTC().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q is of %q, want %q", line, got, want)
		}
	}
}

func FuzzStamp(f *testing.F) {
	f.Add("2026-01-02T03:04:05.678901+00:00 x")
	f.Add("Jan  2 03:04:05 host x")
	f.Fuzz(func(t *testing.T, line string) {
		stamp([]byte(line), time.Unix(1_767_323_045, 0), time.UTC)
	})
}

func TestEntriesThatComeAgain(t *testing.T) {
	a := again{}
	for _, tt := range []struct {
		cursor string
		want   bool
	}{
		{"s=x;i=9;b=1", false}, {"s=x;i=a;b=1", false}, {"s=x;i=9;b=1", true}, {"s=x;i=a;b=1", true}, {"s=y;i=1;b=1", false}, {"s=x;i=b", false}, {"", false}, {"odd", false}, {"odd", false},
	} {
		if got := a.seen(tt.cursor); got != tt.want {
			t.Errorf("%q came before: %t, want %t", tt.cursor, got, tt.want)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(`{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1767323045000000","MESSAGE":[104,105],"SYSLOG_IDENTIFIER":["a","b"]}`)
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := entryOf([]byte(line)); ok && e.cursor == "" {
			t.Error("an entry without a cursor")
		}
	})
}
