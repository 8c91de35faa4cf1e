package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newTestRecorder() *Recorder { return NewRecorder(quiet(), "abc1234", time.Now()) }

// sourceStatus returns the status of one source; the test ends when there is none.
func sourceStatus(t *testing.T, s Status, kind, name string) SourceStatus {
	t.Helper()
	i := slices.IndexFunc(s.Sources, func(x SourceStatus) bool { return x.Kind == kind && x.Name == name })
	if i < 0 {
		t.Fatalf("no %s %s among %+v", kind, name, s.Sources)
	}
	return s.Sources[i]
}

// Every source has its own fate, and its own line: one that hangs for ever, one that fails, one
// that panics and one that is well.
func TestTheRecordOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		r := newTestRecorder()
		never := make(chan struct{})
		s := newSchedule(Options{Log: quiet(), Sources: []Source{
			&fakeSource{name: "well"},
			&fakeSource{name: "hangs", hang: func(context.Context) { <-never }},
			&fakeSource{name: "slow", hang: func(ctx context.Context) { <-ctx.Done() }},
			failingSource{},
			&fakeSource{name: "panics", hang: func(context.Context) { panic("boom") }},
		}}, nil, newMemoryQueue(maxQueued, time.Now))
		s.record = r
		turns := 0
		s.alive = func() { turns++ }
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		st := r.Status(time.Now())
		if turns != 61 {
			t.Errorf("the watchdog was fed %d times in an hour, want 61: each minute and at the start", turns)
		}
		if x := sourceStatus(t, st, KindHost, "well"); x.Runs != 61 || x.Failures != 0 || x.Failing || x.LastPoints != 2 || x.Points != 122 || time.Since(x.LastRun) >= time.Minute {
			t.Errorf("well = %+v", x)
		}
		// Its baseline hangs already, so every turn is left out.
		if x := sourceStatus(t, st, KindHost, "hangs"); x.Overruns != 61 || x.Behind != 61 || x.Runs != 0 {
			t.Errorf("hangs = %+v", x)
		}
		if x := sourceStatus(t, st, KindHost, "slow"); x.Runs < 58 || x.TookSeconds != sourceLimit.Seconds() {
			t.Errorf("slow = %+v", x)
		}
		if x := sourceStatus(t, st, KindHost, "fails"); x.Runs != 61 || x.Failures != 61 || x.Timeouts != 61 || !x.Failing || !strings.Contains(x.LastError, "no answer") || x.LastPoints != 1 {
			t.Errorf("fails = %+v", x)
		}
		if x := sourceStatus(t, st, KindHost, "panics"); x.Failures == 0 || !strings.HasPrefix(x.LastError, "panic: boom in ") || len(x.LastError) > maxErrorText+len("…") {
			t.Errorf("panics = %+v", x)
		}
		if st.Sources[0].Name == "well" || st.Sources[1].Name == "well" || st.Sources[2].Name == "well" {
			t.Errorf("the sources are not in the order of their trouble: %+v", st.Sources)
		}
		stop()
		close(never)
		<-done
	})
}

type failingSource struct{}

func (failingSource) Name() string { return "fails" }

func (failingSource) Collect(context.Context) ([]saba.Value, error) {
	return []saba.Value{{Name: "half", Value: 1}}, fmt.Errorf("no answer: %w", context.DeadlineExceeded)
}

// A source of parts has a line for each of them, and points are theirs.
func TestPartsOfASourceAreRecordedByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		r := newTestRecorder()
		q := newMemoryQueue(maxQueued, time.Now)
		s := newSchedule(Options{Log: quiet(), Sources: []Source{partedSource{}}}, nil, q)
		s.record = r
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		time.Sleep(5 * time.Second)
		hosts := newHostIDs()
		hosts.set("", "h1")
		batches := q.next(100, hosts.ready)
		if len(batches) != 1 {
			t.Fatalf("batches = %+v, want one", batches)
		}
		bad := saba.Point{Series: saba.Series{Host: "h1", Name: "b2"}}
		r.posted(batches, []refusal{{bad, errors.New("too large")}}, hosts, time.Now())
		st := r.Status(time.Now())
		if x := sourceStatus(t, st, KindHost, "a"); x.Sent != 1 || x.Refused != 0 || x.LastPoints != 1 || x.Failing {
			t.Errorf("a = %+v", x)
		}
		if x := sourceStatus(t, st, KindHost, "b"); x.Sent != 1 || x.Refused != 1 || x.LastPoints != 2 || !x.Failing || x.LastRefusal != "b2: too large" {
			t.Errorf("b = %+v", x)
		}
		if st.Sent != 2 || st.Refused != 1 || len(st.Sources) != 2 {
			t.Errorf("status = %+v", st)
		}
		stop()
		<-done
	})
}

type partedSource struct{}

func (partedSource) Name() string { return "host" }

func (partedSource) Collect(context.Context) ([]saba.Value, error) {
	return []saba.Value{{Name: "a1"}, {Name: "b1"}, {Name: "b2"}}, errors.New("b lacks a file")
}

func (partedSource) Parts() []collect.Outcome {
	return []collect.Outcome{{Name: "a", Values: 1}, {Name: "b", Values: 2, Err: errors.New("b lacks a file")}}
}

// Two plugins with the same metrics, of different hosts, are told apart.
func TestPointsAreCountedForTheirSource(t *testing.T) {
	r, hosts := newTestRecorder(), newHostIDs()
	hosts.set("db-1", "h1")
	hosts.set("db-2", "h2")
	readings := []reading{{Name: "custom.mysql.up"}, {Name: "custom.mysql.bad"}}
	r.declare(KindMetrics, []string{"one", "two"})
	r.source(KindMetrics, "one").owns("db-1", readings)
	r.source(KindMetrics, "two").owns("db-2", readings)
	r.posted([]batch{{Identifier: "db-1", Readings: readings}, {Identifier: "db-2", Readings: readings}},
		[]refusal{{saba.Point{Series: saba.Series{Host: "h2", Name: "custom.mysql.bad"}}, errors.New("no")}}, hosts, time.Now())
	st := r.Status(time.Now())
	if one, two := sourceStatus(t, st, KindMetrics, "one"), sourceStatus(t, st, KindMetrics, "two"); one.Sent != 2 || one.Refused != 0 || two.Sent != 1 || two.Refused != 1 {
		t.Errorf("one = %+v, two = %+v", one, two)
	}
	// A plugin that the configuration no longer has is forgotten, and its points are nobody's.
	r.declare(KindMetrics, []string{"two", "three"})
	r.posted([]batch{{Identifier: "db-1", Readings: readings}}, nil, hosts, time.Now())
	st = r.Status(time.Now())
	if len(st.Sources) != 2 || sourceStatus(t, st, KindMetrics, "three").Runs != 0 || sourceStatus(t, st, KindMetrics, "two").Sent != 1 || st.Sent != 5 {
		t.Errorf("status = %+v", st)
	}
}

func TestARecorderIsBounded(t *testing.T) {
	r := newTestRecorder()
	for i := range maxRecorded + 10 {
		r.source(KindMetrics, fmt.Sprint(i)).ran(run{points: 1})
	}
	many := make([]reading, maxOwners+1)
	for i := range many {
		many[i].Name = fmt.Sprint(i)
	}
	r.source(KindMetrics, "0").owns("", many)
	r.source(KindMetrics, "0").owns("", many[:10])
	if len(r.sources) != maxRecorded || len(r.owners) > maxOwners {
		t.Errorf("%d sources and %d owners are kept, want at most %d and %d", len(r.sources), len(r.owners), maxRecorded, maxOwners)
	}
}

func TestANilRecorderTakesEverything(t *testing.T) {
	var r *Recorder
	now := time.Now()
	r.Configured("f", Config{}, now)
	r.ConfigRefused(errors.New("x"), now)
	r.host(Registered, "h", nil)
	r.queueFrom(nil)
	r.discarded(1, now)
	r.posted([]batch{{}}, nil, nil, now)
	r.serverTime(now, now)
	r.replied("GET /", 200, nil, now)
	r.declare(KindMetrics, []string{"a"})
	r.caughtUp(KindHost, "host")
	s := r.source(KindMetrics, "a")
	s.ran(run{})
	s.exited(1, nil)
	s.overran()
	s.owns("", []reading{{}})
	if s != nil || r.Transport(http.DefaultTransport) != http.DefaultTransport {
		t.Error("a nil recorder makes something")
	}
}

// What a plugin writes to stderr is shown on terminals: its end, and nothing that moves a cursor.
func TestStderrIsKeptShortAndClean(t *testing.T) {
	r := newTestRecorder()
	s := r.source(KindMetrics, "x")
	s.exited(3, []byte(strings.Repeat("noise ", 1000)+"\x1b[2J\x00reason: \xff\nsecond line\n"))
	got := sourceStatus(t, r.Status(time.Now()), KindMetrics, "x")
	if *got.ExitCode != 3 || !strings.HasSuffix(got.Stderr, "[2Jreason: ?\nsecond line") || len(got.Stderr) > maxStderr+len("…") || strings.ContainsAny(got.Stderr, "\x1b\x00") {
		t.Errorf("exit = %d, stderr = %q", *got.ExitCode, got.Stderr)
	}
	s.exited(0, nil)
	if got = sourceStatus(t, r.Status(time.Now()), KindMetrics, "x"); *got.ExitCode != 0 || got.Stderr != "" {
		t.Errorf("after a quiet run: exit = %d, stderr = %q", *got.ExitCode, got.Stderr)
	}
}

func TestProblems(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ahead := 3600.0
	well := Status{Now: now, Started: now.Add(-time.Hour), Host: HostState{ID: "h", State: Registered},
		Server: ServerState{LastCall: "POST /api/v0/tsdb", LastReply: now, LastStatus: 200, LastSuccess: now}}
	for name, tt := range map[string]struct {
		change func(*Status)
		want   []string
	}{
		"all is well":                 {func(*Status) {}, []string{}},
		"a start has a minute":        {func(s *Status) { s.Host = HostState{State: Registering}; s.Started = now }, []string{}},
		"then it should be known":     {func(s *Status) { s.Host = HostState{State: Registering} }, []string{"this host is not registered yet"}},
		"or say why it is not":        {func(s *Status) { s.Host = HostState{State: Registering, Error: "no network"} }, []string{"this host is not registered yet: no network"}},
		"a retired host":              {func(s *Status) { s.Host = HostState{ID: "h", State: Unaccepted, Error: "host h was retired"} }, []string{"the server does not accept this host: host h was retired"}},
		"a server that is away":       {func(s *Status) { s.Server.LastStatus, s.Server.LastError = 0, "connection refused" }, []string{"the server does not answer: POST /api/v0/tsdb: connection refused"}},
		"a key that is refused":       {func(s *Status) { s.Server.LastStatus = 401 }, []string{"the server refused the last request: POST /api/v0/tsdb: 401 unauthorized"}},
		"a clock that is off":         {func(s *Status) { s.Server.ClockAhead = &ahead }, []string{"this machine's clock is +3600 s off the server's"}},
		"points of this minute":       {func(s *Status) { s.Queue = QueueStatus{Points: 5, Oldest: now.Add(-time.Minute)} }, []string{}},
		"points that wait too long":   {func(s *Status) { s.Queue = QueueStatus{Points: 5, Oldest: now.Add(-90 * time.Minute)} }, []string{"5 points wait for the server, the oldest for 1h30m"}},
		"points of an unknown age":    {func(s *Status) { s.Queue = QueueStatus{Points: 5} }, []string{}},
		"verdicts of this minute":     {func(s *Status) { s.Verdicts = VerdictStatus{Waiting: 2, Oldest: now.Add(-time.Minute)} }, []string{}},
		"verdicts that wait too long": {func(s *Status) { s.Verdicts = VerdictStatus{Waiting: 2, Oldest: now.Add(-90 * time.Minute)} }, []string{"2 verdicts of checks wait for the server, the oldest for 1h30m"}},
		"points lost this hour":       {func(s *Status) { s.Discarded, s.LastDiscarded = 7, now.Add(-time.Minute) }, []string{"7 points were given up before the server took them"}},
		"points lost long ago":        {func(s *Status) { s.Discarded, s.LastDiscarded = 7, now.Add(-2*time.Hour) }, []string{}},
		"points refused this hour":    {func(s *Status) { s.Refused, s.LastRefused = 2, now }, []string{"the server refused 2 points"}},
		"a reload that was not done":  {func(s *Status) { s.Config.Refused = "f:2: unknown key" }, []string{"the configuration was not reloaded: f:2: unknown key"}},
		"sources": {func(s *Status) {
			s.Sources = []SourceStatus{{Kind: "metrics", Name: "a", Failing: true, LastError: "exit status 1"}, {Kind: "check", Name: "b", Behind: 2}, {Kind: "metrics", Name: "c", Failures: 3}}
		}, []string{"metrics a: exit status 1", "check b has not ended, and was left out of the last turns: 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := well
			tt.change(&s)
			if got := s.problems(); !slices.Equal(got, tt.want) {
				t.Errorf("problems = %q, want %q", got, tt.want)
			}
		})
	}
}

// What the agent knows of its server comes from the exchanges themselves.
func TestTransportNotesWhatServersSay(t *testing.T) {
	date := time.Now().Add(-time.Hour)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer srv.Close()
	log := &logBuffer{}
	r := NewRecorder(slog.New(slog.NewTextHandler(log, nil)), "", time.Now())
	base := &http.Transport{}
	c := http.Client{Transport: r.Transport(base)}
	call := func(method, url string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := c.Do(req); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	call("POST", srv.URL+"/api/v0/tsdb")
	st := r.Status(time.Now())
	if s := st.Server; s.LastStatus != 200 || s.LastCall != "POST /api/v0/tsdb" || s.LastSuccess.IsZero() || s.PostsOK != 1 || s.PostsFailed != 0 || s.ClockAhead == nil || *s.ClockAhead < 3590 || *s.ClockAhead > 3660 {
		t.Errorf("server = %+v (ahead %v)", s, s.ClockAhead)
	}
	if !strings.Contains(log.String(), "clock is ahead of the server's, by more than it takes: values wait") {
		t.Errorf("the log does not warn of the clock: %s", log)
	}
	call("POST", srv.URL+"/api/v0/tsdb")
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("the clock is warned of %d times, want once: %s", n, log)
	}
	date = time.Now()
	call("GET", srv.URL+"/api/v0/hosts/h")
	if s := r.Status(time.Now()).Server; s.LastStatus != 403 || s.LastCall != "GET /api/v0/hosts/h" || *s.ClockAhead > 60 || s.LastSuccess == s.LastReply || !strings.Contains(log.String(), "agrees with the server's again") {
		t.Errorf("server = %+v, log %s", s, log)
	}
	srv.Close()
	call("POST", srv.URL+"/api/v0/tsdb")
	if s := r.Status(time.Now()).Server; s.LastStatus != 0 || s.LastError == "" || s.PostsFailed != 1 || s.PostsOK != 2 {
		t.Errorf("server = %+v", s)
	}
	c.CloseIdleConnections()
}

// serve starts the socket in root, and returns what ends it and waits for that.
func serve(t *testing.T, r *Recorder, root string) (stop func()) {
	t.Helper()
	l, err := listenStatus(t.Context(), filepath.Join(root, socketFile))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		r.serve(ctx, l)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}

func TestSocketTellsTheStatus(t *testing.T) {
	root := t.TempDir()
	r := newTestRecorder()
	now := time.Now()
	r.Configured("/etc/saba/agent.toml", Config{APIBase: "https://u:secret@saba.example.com", Root: root}, now)
	r.host(Registered, "host1", nil)
	r.queueFrom(func() QueueStatus { return QueueStatus{Points: 3, Bytes: 99, Oldest: now} })
	r.source(KindMetrics, "queue").ran(run{at: now, took: time.Second, points: 4})
	stop := serve(t, r, root)
	path := filepath.Join(root, socketFile)
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode = %v, %v, want a socket for the owner alone", info.Mode(), err)
	}
	s, err := ReadStatus(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if s.Version != saba.Version || s.Revision != "abc1234" || s.PID != os.Getpid() || s.Host.ID != "host1" || s.Queue.Points != 3 || s.Queue.Bytes != 99 ||
		s.Config.File != "/etc/saba/agent.toml" || s.Server.Base != "https://u:xxxxx@saba.example.com" || sourceStatus(t, s, KindMetrics, "queue").LastPoints != 4 || len(s.Problems) != 0 {
		t.Errorf("status = %+v", s)
	}

	// Whoever connects and neither reads nor leaves holds up nobody for long.
	idle, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if _, err := ReadStatus(t.Context(), root); err != nil {
		t.Errorf("beside an idle connection: %v", err)
	}

	// A second agent does not take the socket away.
	if _, err := listenStatus(t.Context(), filepath.Join(root, socketFile)); err == nil || !strings.Contains(err.Error(), "another agent answers on "+path) {
		t.Errorf("a second agent: %v, want an error that names the first", err)
	}
	if s, err := ReadStatus(t.Context(), root); err != nil || s.Host.ID != "host1" {
		t.Errorf("afterwards: %+v, %v", s.Host, err)
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if _, err := ReadStatus(t.Context(), root); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("without an agent: %v, want %v", err, saba.ErrNotFound)
	}
}

func TestSocketOfADeadAgentIsReplacedAndAFileIsNot(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, socketFile)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after kill -9
	l.Close()
	serve(t, newTestRecorder(), root)()

	if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := listenStatus(t.Context(), filepath.Join(root, socketFile)); err == nil || !strings.Contains(err.Error(), "is in its place: remove it") {
		t.Errorf("listenStatus = %v, want an error about the file", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("the file = %q, %v: it was not ours to remove", b, err)
	}
	if _, err := listenStatus(t.Context(), filepath.Join(root, strings.Repeat("x", 120), socketFile)); err == nil || !strings.Contains(err.Error(), "longer than a socket's may be") {
		t.Errorf("listenStatus = %v, want an error about the length", err)
	}
}

func TestStatusForPeople(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	exit, ahead := 143, 0.25
	s := Status{
		Version: "1.2.3", Revision: "abc1234", PID: 42, Now: now, Started: now.Add(-3*time.Hour - 12*time.Minute), Root: "/var/lib/saba-agent",
		Config:   ConfigState{Loaded: now.Add(-time.Minute)},
		Host:     HostState{ID: "host1", State: Registered},
		Server:   ServerState{Base: "https://saba.example.com", LastCall: "POST /api/v0/tsdb", LastReply: now.Add(-12 * time.Second), LastStatus: 200, LastSuccess: now.Add(-12 * time.Second), ClockAhead: &ahead},
		Queue:    QueueStatus{Points: 130, Bytes: 2048, Oldest: now.Add(-13 * time.Second)},
		Verdicts: VerdictStatus{Waiting: 2, Oldest: now.Add(-5 * time.Second)},
		Sent:     1000,
		Sources: []SourceStatus{
			{Kind: KindMetrics, Name: "queue", LastRun: now.Add(-20 * time.Second), TookSeconds: 30.0123, ExitCode: &exit, Stderr: "first\nsecond", Failing: true, Failures: 2, Timeouts: 1, LastError: "did not end within 30s and was stopped"},
			{Kind: KindHost, Name: "cpu", LastRun: now.Add(-13 * time.Second), TookSeconds: 0.0012, LastPoints: 7, Sent: 70},
			{Kind: KindCheck, Name: "ssh"},
		},
		Problems: []string{"metrics queue: did not end within 30s and was stopped"},
	}
	var b strings.Builder
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "status.golden")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the page is\n%s\nwant that of %s:\n%s", b.String(), golden, want)
	}
	// And JSON carries all of it.
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again Status
	if err := json.Unmarshal(j, &again); err != nil || *again.Sources[0].ExitCode != 143 || again.Problems[0] != s.Problems[0] {
		t.Errorf("read again: %+v, %v", again, err)
	}
}

// Whatever a plugin writes, what is kept of it is short, valid, and cannot move a cursor.
func FuzzTail(f *testing.F) {
	f.Add([]byte("\x1b[31mred\x1b[0m\xff\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := tail(b, maxStderr)
		if len(got) > maxStderr+len("…?") || strings.ToValidUTF8(got, "") != got || strings.ContainsAny(got, "\x00\x07\x08\r\x1b\x7f") {
			t.Errorf("tail(%q) = %q", b, got)
		}
	})
}
