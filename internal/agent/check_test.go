package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// A fakeHosts knows the hosts that it was told of.
type fakeHosts struct {
	mu   sync.Mutex
	ids  map[string]string
	next chan struct{}
}

// knownHosts returns a lookup that knows the agent's own host.
func knownHosts() *fakeHosts {
	return &fakeHosts{ids: map[string]string{"": "host1"}, next: make(chan struct{})}
}

func (f *fakeHosts) hostID(identifier string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, ok := f.ids[identifier]
	return id, ok
}

func (f *fakeHosts) changes() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

func (f *fakeHosts) set(identifier, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids[identifier] = id
	close(f.next)
	f.next = make(chan struct{})
}

// A fakeReports is the server's side of check reports. on, where set, answers in its place.
type fakeReports struct {
	on func(ctx context.Context, reports []saba.CheckReport) error

	mu    sync.Mutex
	posts []reportPost // every one, refused ones too
}

type reportPost struct {
	at      time.Time
	reports []saba.CheckReport
	err     error
}

func (f *fakeReports) ReportChecks(ctx context.Context, reports []saba.CheckReport) error {
	f.mu.Lock()
	on := f.on
	f.mu.Unlock()
	var err error
	if on != nil {
		err = on(ctx, reports)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.posts = append(f.posts, reportPost{time.Now(), reports, err})
	return err
}

func (f *fakeReports) answer(on func(ctx context.Context, reports []saba.CheckReport) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
}

// all returns the posts so far.
func (f *fakeReports) all() []reportPost {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.posts)
}

// taken returns the reports of one check that were taken, each second once, as the server has them.
func (f *fakeReports) taken(check string) []saba.CheckReport {
	var out []saba.CheckReport
	for _, p := range f.all() {
		for _, r := range p.reports {
			if p.err == nil && r.Name == check && !slices.ContainsFunc(out, func(o saba.CheckReport) bool { return o.Host == r.Host && o.OccurredAt == r.OccurredAt }) {
				out = append(out, r)
			}
		}
	}
	return out
}

// statuses returns the statuses of reports in their order.
func statuses(reports []saba.CheckReport) []saba.CheckStatus {
	out := make([]saba.CheckStatus, len(reports))
	for i, r := range reports {
		out[i] = r.Status
	}
	return out
}

// A checkRig is what checks need in a test, in which nothing is a process.
type checkRig struct {
	api   *fakeReports
	hosts *fakeHosts
	log   *logBuffer
	o     checkOptions

	mu      sync.Mutex
	results map[string]Result
	started []string // commands, in their order
}

func newCheckRig(t *testing.T, plugins ...CheckPlugin) *checkRig {
	t.Helper()
	r := &checkRig{api: &fakeReports{}, hosts: knownHosts(), log: &logBuffer{}, results: map[string]Result{}}
	for i := range plugins {
		plugins[i].Command.Args = []string{plugins[i].Name}
		if plugins[i].Interval == 0 {
			plugins[i].Interval = time.Minute
		}
	}
	r.o = checkOptions{
		Checks: plugins, Root: t.TempDir(), Seed: "seed", API: r.api, Hosts: r.hosts, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Random: func() float64 { return 0.5 }, Run: r.run,
	}
	return r
}

func (r *checkRig) run(_ context.Context, c Command, _ []string) (Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, c.Args[0])
	return r.results[c.Args[0]], nil
}

// gives lets a check end with a code and a message from now on.
func (r *checkRig) gives(check string, code int, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[check] = Result{Stdout: []byte(message), ExitCode: code}
}

// runs returns how often a command was started.
func (r *checkRig) runs(command string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.started {
		if s == command {
			n++
		}
	}
	return n
}

// start runs the checks in the bubble and returns how to stop them, as an agent does.
func (r *checkRig) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s, done := newChecks(r.o), make(chan struct{})
	go func() {
		s.run(ctx)
		close(done)
	}()
	return func() {
		cancel()
		<-done
		farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		s.flush(farewell)
	}
}

// warnings counts the lines of the log that are not merely informative.
func (r *checkRig) warnings() int {
	return strings.Count(r.log.String(), "level=WARN") + strings.Count(r.log.String(), "level=ERROR")
}

func TestWhatARunMeans(t *testing.T) {
	for name, tt := range map[string]struct {
		r       Result
		err     error
		status  saba.CheckStatus
		message string
	}{
		"0":                       {Result{Stdout: []byte("fine\n")}, nil, saba.CheckOK, "fine\n"},
		"1":                       {Result{ExitCode: 1, Stdout: []byte("so so")}, nil, saba.CheckWarning, "so so"},
		"2":                       {Result{ExitCode: 2, Stdout: []byte("bad"), Stderr: []byte("not this")}, nil, saba.CheckCritical, "bad"},
		"3":                       {Result{ExitCode: 3}, nil, saba.CheckUnknown, ""},
		"any other":               {Result{ExitCode: 4, Stdout: []byte("x")}, nil, saba.CheckUnknown, "x"},
		"death by a signal":       {Result{ExitCode: 139, Stdout: []byte("half")}, nil, saba.CheckUnknown, "half"},
		"a timeout":               {Result{Stdout: []byte("half")}, &TimeoutError{After: 30*time.Second + 17}, saba.CheckUnknown, "the check did not end within 30s and was stopped"},
		"one that does not start": {Result{ExitCode: 127}, errors.New("x is not on the path"), saba.CheckUnknown, "the check could not be run: x is not on the path"},
	} {
		t.Run(name, func(t *testing.T) {
			status, message := (&check{}).judge(tt.r, tt.err)
			if status != tt.status || message != tt.message {
				t.Errorf("judge = %s, %q, want %s, %q", status, message, tt.status, tt.message)
			}
		})
	}
}

func TestAMessageIsCutByCharacters(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"short, blanks kept":                   {" fine \n\n", " fine \n\n"},
		"1025 characters of three bytes":       {strings.Repeat("鯖", 1025), strings.Repeat("鯖", 1024)},
		"1024 of them":                         {strings.Repeat("鯖", 1024), strings.Repeat("鯖", 1024)},
		"bytes that are no text":               {"a\xff\xfeb", "a\uFFFDb"},
		"a zero byte, which no database keeps": {"a\x00b", "a\uFFFDb"},
	} {
		if got := cutMessage(tt.in); got != tt.want {
			t.Errorf("%s: cutMessage = %q, want %q", name, got, tt.want)
		}
	}
}

func TestWhatIsReported(t *testing.T) {
	ok, okToo, bad, badToo := verdict{Status: saba.CheckOK, Message: "1"}, verdict{Status: saba.CheckOK, Message: "2"},
		verdict{Status: saba.CheckCritical, Message: "1"}, verdict{Status: saba.CheckWarning, Message: "1"}
	for name, tt := range map[string]struct {
		before         *verdict
		v              verdict
		prevent        bool
		unheard        bool
		report, urgent bool
	}{
		"a first OK, at leisure":                       {nil, ok, false, true, true, false},
		"a first problem, at once":                     {nil, bad, false, true, true, true},
		"OK and unchanged, not at all":                 {&ok, ok, false, false, false, false},
		"OK with another text, at leisure":             {&ok, okToo, false, false, true, false},
		"OK that the server may not know, at leisure":  {&ok, ok, false, true, true, false},
		"a problem that begins, at once":               {&ok, bad, false, false, true, true},
		"one that goes on, each time and at leisure":   {&bad, bad, false, false, true, false},
		"one that becomes another, at once":            {&bad, badToo, false, false, true, true},
		"one that ends, at once":                       {&bad, ok, false, false, true, true},
		"its end is never told when a person is to":    {&bad, ok, true, true, false, false},
		"but its begin is":                             {&ok, bad, true, false, true, true},
		"a problem known before a restart, at leisure": {&bad, bad, false, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var before verdict
			if tt.before != nil {
				before = *tt.before
			}
			report, urgent := reportable(before, tt.before != nil, tt.v, tt.prevent, tt.unheard)
			if report != tt.report || urgent != tt.urgent {
				t.Errorf("reportable = %v, %v, want %v, %v", report, urgent, tt.report, tt.urgent)
			}
		})
	}
}

func TestEachCheckRunsAtItsOwnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plugins []CheckPlugin
		for i := range 60 {
			plugins = append(plugins, CheckPlugin{Name: fmt.Sprintf("every%d", i+1), Interval: time.Duration(i+1) * time.Minute})
		}
		r := newCheckRig(t, plugins...)
		stop := r.start(t)
		time.Sleep(time.Minute)
		for _, p := range plugins {
			if n := r.runs(p.Name); n != 1 {
				t.Errorf("%s ran %d times in the first minute, want once", p.Name, n)
			}
		}
		time.Sleep(10 * time.Hour)
		stop()
		for _, p := range plugins {
			if n, want := r.runs(p.Name), int(10*time.Hour/p.Interval); n < want || n > want+1 {
				t.Errorf("%s ran %d times in ten hours, want %d or one more", p.Name, n, want)
			}
		}
	})
}

func TestFirstRunsAreSpreadOverAMinute(t *testing.T) {
	tens := make([]int, 6)
	for i := range 6000 {
		d := firstWait("host", fmt.Sprint("check", i))
		if d < 0 || d >= time.Minute {
			t.Fatalf("the first wait is %v", d)
		}
		tens[d/(10*time.Second)]++
	}
	for i, n := range tens {
		if n < 850 || n > 1150 {
			t.Errorf("%d of 6000 checks begin in seconds %d to %d, want about 1000", n, 10*i, 10*i+9)
		}
	}
	if a, b := firstWait("host1", "ssh"), firstWait("host2", "ssh"); a == b {
		t.Errorf("both hosts begin after %v, want each at a moment of its own", a)
	}
}

func TestTurnsThatALongRunMissesAreLeftOut(t *testing.T) {
	t0 := time.Now()
	for name, tt := range map[string]struct{ took, want time.Duration }{
		"none":                    {time.Second, time.Minute},
		"one that ends in time":   {59 * time.Second, time.Minute},
		"one that ends on a turn": {time.Minute, 2 * time.Minute},
		"three":                   {200 * time.Second, 240 * time.Second},
		"a clock that goes back":  {-time.Hour, time.Minute},
	} {
		if got := following(t0, t0.Add(tt.took), time.Minute).Sub(t0); got != tt.want {
			t.Errorf("%s: the next turn is after %v, want %v", name, got, tt.want)
		}
	}
}

func TestSlowChecksRunOnceAtATimeAndLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plugins []CheckPlugin
		for i := range 2 * checksAtOnce {
			plugins = append(plugins, CheckPlugin{Name: fmt.Sprint("slow", i)})
		}
		r := newCheckRig(t, append(plugins, CheckPlugin{Name: "quick"})...)
		var mu sync.Mutex
		running, most, own := 0, 0, map[string]int{}
		r.o.Run = func(ctx context.Context, c Command, environ []string) (Result, error) {
			if c.Args[0] == "quick" {
				return r.run(ctx, c, environ)
			}
			mu.Lock()
			running++
			most = max(most, running)
			if own[c.Args[0]]++; own[c.Args[0]] > 1 {
				t.Errorf("%s runs twice at the same time", c.Args[0])
			}
			mu.Unlock()
			time.Sleep(40 * time.Second) // as a check of a dead server does, each turn
			mu.Lock()
			running--
			own[c.Args[0]]--
			mu.Unlock()
			return Result{ExitCode: 2}, nil
		}
		stop := r.start(t)
		time.Sleep(time.Hour)
		stop()
		if most != checksAtOnce {
			t.Errorf("%d checks ran at the same time at the most, want %d", most, checksAtOnce)
		}
		if n := r.runs("quick"); n < 25 {
			t.Errorf("the quick check ran %d times in an hour of slow ones, want every two minutes at the least", n)
		}
	})
}

func TestChangesAreReportedAtOnceAndTheRestIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh", NotificationInterval: 30, MaxCheckAttempts: 3})
		first := time.Now().Add(firstWait("seed", "ssh"))
		r.gives("ssh", 0, "fine")
		stop := r.start(t)
		time.Sleep(time.Until(first.Add(30 * time.Second))) // now and after each minute: between two runs
		if p := r.api.all(); len(p) != 1 || p[0].at.Sub(first) != gatherVerdicts {
			t.Fatalf("posts = %+v, want the first OK within seconds", p)
		}
		time.Sleep(time.Hour)
		if n := len(r.api.all()); n != 1 {
			t.Errorf("%d posts while it is OK with the same text, want none after the first", n)
		}
		r.gives("ssh", 0, "finer")
		time.Sleep(10 * time.Minute)
		r.gives("ssh", 2, "bad")
		time.Sleep(3 * time.Minute)
		r.gives("ssh", 0, "finer")
		time.Sleep(10 * time.Minute)
		stop()
		want := []saba.CheckReport{
			{Host: "host1", Name: "ssh", Status: "OK", Message: "fine", OccurredAt: first.Unix(), NotificationInterval: 30, MaxCheckAttempts: 3},
			{Host: "host1", Name: "ssh", Status: "OK", Message: "finer", OccurredAt: first.Unix() + 61*60, NotificationInterval: 30, MaxCheckAttempts: 3},
			{Host: "host1", Name: "ssh", Status: "CRITICAL", Message: "bad", OccurredAt: first.Unix() + 71*60, NotificationInterval: 30, MaxCheckAttempts: 3},
			{Host: "host1", Name: "ssh", Status: "CRITICAL", Message: "bad", OccurredAt: first.Unix() + 72*60, NotificationInterval: 30, MaxCheckAttempts: 3},
			{Host: "host1", Name: "ssh", Status: "CRITICAL", Message: "bad", OccurredAt: first.Unix() + 73*60, NotificationInterval: 30, MaxCheckAttempts: 3},
			{Host: "host1", Name: "ssh", Status: "OK", Message: "finer", OccurredAt: first.Unix() + 74*60, NotificationInterval: 30, MaxCheckAttempts: 3},
		}
		equal(t, "reports", r.api.taken("ssh"), want)
		for i, after := range []time.Duration{gatherVerdicts, gatherVerdicts, 0, gatherVerdicts, gatherVerdicts, 0} {
			if p := r.api.all()[i]; p.at.Unix()-p.reports[0].OccurredAt != int64(after/time.Second) {
				t.Errorf("report %d was posted at %v, want %v after its run", i, p.at, after)
			}
		}
	})
}

func TestOneUnpostableReportBlocksNoOther(t *testing.T) {
	for name, poison := range map[string]func([]saba.CheckReport) error{
		"for what it is":    func([]saba.CheckReport) error { return apiError(400) },
		"for its size":      func([]saba.CheckReport) error { return apiError(413) },
		"for its semantics": func([]saba.CheckReport) error { return apiError(422) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var plugins []CheckPlugin
				for i := range 30 {
					plugins = append(plugins, CheckPlugin{Name: fmt.Sprint("c", i)})
				}
				r := newCheckRig(t, plugins...)
				r.api.answer(func(_ context.Context, reports []saba.CheckReport) error {
					if slices.ContainsFunc(reports, func(c saba.CheckReport) bool { return c.Name == "c7" }) {
						return poison(reports)
					}
					return nil
				})
				for _, p := range plugins {
					r.gives(p.Name, 1, "so so")
				}
				stop := r.start(t)
				time.Sleep(time.Hour + 2*time.Minute)
				stop()
				for _, p := range plugins {
					if n := len(r.api.taken(p.Name)); p.Name != "c7" && n < 60 {
						t.Errorf("%d reports of %s in an hour, want each of its minutes", n, p.Name)
					}
				}
				if n := r.warnings(); n != 1 || !strings.Contains(r.log.String(), "check=c7") {
					t.Errorf("%d warnings, want one about c7:\n%s", n, r.log)
				}
			})
		})
	}
}

func TestABadVerdictIsFoundWithoutTurningTheOrder(t *testing.T) {
	api := &fakeReports{on: func(_ context.Context, reports []saba.CheckReport) error {
		if slices.ContainsFunc(reports, func(r saba.CheckReport) bool { return r.Message == "bad" }) {
			return apiError(400)
		}
		return nil
	}}
	var ws []queuedVerdict
	for i := range int64(20) {
		w := queuedVerdict{verdict: verdict{Check: "a", Status: saba.CheckOK, At: i}}
		if i == 3 || i == 17 {
			w.Message = "bad"
		}
		ws = append(ws, w)
	}
	a := reportAttempt{api: api, ctx: t.Context(), host: "host1"}
	if err := a.halves(ws); err != nil {
		t.Fatal(err)
	}
	var times []int64
	for _, r := range api.taken("a") {
		times = append(times, r.OccurredAt)
	}
	equal(t, "taken", times, []int64{0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19})
	if len(a.taken) != 18 || len(a.guilty) != 2 || a.guilty[0].At != 3 || a.guilty[1].At != 17 {
		t.Errorf("taken %d, guilty %+v; want 18, and the two", len(a.taken), a.guilty)
	}
}

func TestTwoRunsOfOneSecondAreTwoReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh"})
		for range 2 { // as with a restart between them
			s := newChecks(r.o)
			r.gives("ssh", 2-r.runs("ssh"), "")
			s.checks[0].turn(t.Context())
			s.flush(t.Context())
		}
		equal(t, "statuses", statuses(r.api.taken("ssh")), []saba.CheckStatus{"CRITICAL", "WARNING"})
	})
}

func TestAClockThatIsSetBackHidesNoRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		for ahead, want := range map[int64]int64{3600: now + 3601, -60: now, 7 * 24 * 3600: now} {
			r := newCheckRig(t, CheckPlugin{Name: "ssh"})
			s := newChecks(r.o)
			s.queue.add(verdict{Check: "ssh", Status: saba.CheckCritical, At: now + ahead}, true)
			s.checks[0].turn(t.Context())
			s.flush(t.Context())
			if got := r.api.taken("ssh"); len(got) != 2 || got[1].Status != saba.CheckOK || got[1].OccurredAt != want {
				t.Errorf("after a verdict that is %d s ahead of the clock: %+v, want OK at %d", ahead, got, want)
			}
		}
	})
}

func TestReportsWaitForAServer(t *testing.T) {
	for name, tt := range map[string]struct {
		err         error
		most, least int // tries in an hour
	}{
		"without a network":     {networkError(), 60, 24},
		"that is broken":        {apiError(500), 30, 12},
		"that is overloaded":    {apiError(429), 30, 12},
		"that asks for an hour": {&client.Error{Status: 503, JSON: true, RetryAfter: time.Hour}, 2, 1},
		"that refuses the key":  {apiError(401), 30, 10},
		"that forbids":          {apiError(403), 30, 10},
		"that is none":          {&client.Error{Status: 404}, 30, 10},
		"behind a proxy's page": {&client.Error{Status: 400}, 30, 12},
		"that says no JSON":     {&client.Error{Status: 200}, 30, 12},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newCheckRig(t, CheckPlugin{Name: "ssh", MaxCheckAttempts: 3})
				r.gives("ssh", 0, "fine")
				stop := r.start(t)
				time.Sleep(10 * time.Minute)
				r.api.answer(func(context.Context, []saba.CheckReport) error { return tt.err })
				before := len(r.api.all())
				for _, code := range []int{2, 0, 1, 0} { // each for a quarter of an hour
					r.gives("ssh", code, fmt.Sprint(code))
					time.Sleep(15 * time.Minute)
				}
				if n := len(r.api.all()) - before; n > tt.most || n < tt.least {
					t.Errorf("%d tries in an hour, want %d to %d", n, tt.least, tt.most)
				}
				if n := r.runs("ssh"); n < 68 {
					t.Errorf("the check ran %d times, want each minute: nothing waits for the server", n)
				}
				r.api.answer(nil)
				time.Sleep(71 * time.Minute)
				got := r.api.taken("ssh")
				equal(t, "statuses", statuses(got), []saba.CheckStatus{"OK", "CRITICAL", "CRITICAL", "CRITICAL", "CRITICAL", "OK", "WARNING", "WARNING", "WARNING", "WARNING", "OK"})
				if !slices.IsSortedFunc(got, func(a, b saba.CheckReport) int { return int(a.OccurredAt - b.OccurredAt) }) {
					t.Errorf("reports = %+v, want them in their order", got)
				}
				if d := got[4].OccurredAt - got[3].OccurredAt; d != 12*60 {
					t.Errorf("the last two of the row are %d s apart, want 12 minutes: those between tell nothing", d)
				}
				if n := r.warnings(); n != 1 {
					t.Errorf("%d warnings about the server, want 1:\n%s", n, r.log)
				}
				stop()
			})
		})
	}
}

func TestAnOutageOfManyChecksIsCaughtUpInRequestsOf20(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plugins []CheckPlugin
		for i := range 50 {
			plugins = append(plugins, CheckPlugin{Name: fmt.Sprint("c", i)})
		}
		r := newCheckRig(t, plugins...)
		r.api.answer(func(context.Context, []saba.CheckReport) error { return networkError() })
		for _, p := range plugins {
			r.gives(p.Name, 1, "so so")
		}
		stop := r.start(t)
		time.Sleep(time.Hour)
		r.api.answer(nil)
		back, before := time.Now(), len(r.api.all())
		time.Sleep(6 * time.Minute)
		stop()
		var last time.Time
		n := 0
		for _, p := range r.api.all()[before:] {
			if len(p.reports) > maxReportsPerPost {
				t.Errorf("a post of %d reports, want %d at the most", len(p.reports), maxReportsPerPost)
			}
			if len(p.reports) == maxReportsPerPost {
				if n++; !last.IsZero() && p.at.Sub(last) < reportPause {
					t.Errorf("a full post %v after another, want a pause of %v", p.at.Sub(last), reportPause)
				}
				last = p.at
			}
		}
		if n != 5 || last.Sub(back) > 5*time.Minute+5*time.Second {
			t.Errorf("%d full posts up to %v after the server's return, want five: two reports of each of 50 checks", n, last.Sub(back))
		}
	})
}

func TestAHostThatIsNotFoundHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "db", CustomIdentifier: "db-1"}, CheckPlugin{Name: "gone", CustomIdentifier: "db-2"}, CheckPlugin{Name: "ssh"})
		r.hosts.set("db-2", "retired")
		r.api.answer(func(_ context.Context, reports []saba.CheckReport) error {
			if slices.ContainsFunc(reports, func(c saba.CheckReport) bool { return c.Host == "retired" }) {
				return apiError(404)
			}
			return nil
		})
		for _, check := range []string{"db", "gone", "ssh"} {
			r.gives(check, 2, "bad")
		}
		stop := r.start(t)
		time.Sleep(30 * time.Minute)
		if n := len(r.api.taken("ssh")); n < 29 {
			t.Errorf("%d reports of this host in half an hour, want one a minute", n)
		}
		if n := len(r.api.taken("db")); n != 0 {
			t.Errorf("%d reports of a host that is not known", n)
		}
		r.hosts.set("db-1", "host7")
		synctest.Wait()
		if got := r.api.taken("db"); len(got) != 2 || got[0].Host != "host7" {
			t.Errorf("reports of the host that was found = %+v, want the first and the newest at once", got)
		}
		stop()
	})
}

func TestARecoveryIsHeardAfterAnOutageLongerThanTheServerLooksBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh"})
		r.gives("ssh", 2, "bad")
		stop := r.start(t)
		time.Sleep(10 * time.Minute)
		r.api.answer(func(context.Context, []saba.CheckReport) error { return networkError() })
		r.gives("ssh", 0, "fine") // in the first minute of eight hours
		time.Sleep(8 * time.Hour)
		r.api.answer(nil)
		before := len(r.api.all())
		time.Sleep(10 * time.Minute)
		for _, p := range r.api.all()[before:] {
			for _, c := range p.reports {
				if p.at.Unix()-c.OccurredAt >= saba.MaxCheckLate {
					t.Errorf("posted a report that is %d s old, which servers ignore", p.at.Unix()-c.OccurredAt)
				}
			}
		}
		got := r.api.taken("ssh")
		if got[len(got)-1].Status != saba.CheckOK {
			t.Errorf("the newest report is %+v, want the recovery, though it was too old when the server came back", got[len(got)-1])
		}
		stop()
		if n := r.warnings(); n > 2 {
			t.Errorf("%d warnings in eight hours, want one about the server and one about what was dropped:\n%s", n, r.log)
		}
	})
}

func TestARecoveryThatTheServerRefusedIsReportedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh"})
		r.gives("ssh", 2, "bad")
		stop := r.start(t)
		time.Sleep(5 * time.Minute)
		r.api.answer(func(context.Context, []saba.CheckReport) error { return apiError(400) })
		r.gives("ssh", 0, "fine")
		time.Sleep(5 * time.Minute)
		r.api.answer(nil)
		time.Sleep(2 * time.Minute)
		stop()
		got := r.api.taken("ssh")
		if got[len(got)-1].Status != saba.CheckOK {
			t.Errorf("the newest report is %+v, want the recovery", got[len(got)-1])
		}
		if n := r.warnings(); n != 1 {
			t.Errorf("%d warnings, want 1:\n%s", n, r.log)
		}
	})
}

func TestAServerThatRefusesEverythingCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var plugins []CheckPlugin
		for i := range 10 {
			plugins = append(plugins, CheckPlugin{Name: fmt.Sprint("c", i)})
		}
		r := newCheckRig(t, plugins...)
		r.hosts.ids = map[string]string{}
		stop := r.start(t)
		time.Sleep(5 * time.Minute)
		r.api.answer(func(context.Context, []saba.CheckReport) error { return apiError(400) })
		r.hosts.set("", "host1")
		time.Sleep(20 * time.Minute)
		r.api.answer(nil)
		time.Sleep(6 * time.Minute)
		stop()
		for _, p := range plugins {
			if n := len(r.api.taken(p.Name)); n != 1 {
				t.Errorf("%d reports of %s, want its OK", n, p.Name)
			}
		}
		if n := r.warnings(); n != 1 || strings.Contains(r.log.String(), "dropped") {
			t.Errorf("%d warnings, want one that says that nothing was dropped:\n%s", n, r.log)
		}
	})
}

func TestARestartKnowsTheStatusBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		action := &Command{Args: []string{"action"}}
		r := newCheckRig(t, CheckPlugin{Name: "ssh", Action: action}, CheckPlugin{Name: "disk", PreventAutoClose: true, Action: action})
		calls := recordActions(r)
		r.gives("ssh", 2, "bad")
		r.gives("disk", 1, "full")
		stop := r.start(t)
		time.Sleep(90 * time.Second)
		r.gives("disk", 0, "well")
		time.Sleep(time.Minute)
		stop()
		*calls = nil
		before := len(r.api.all())
		start := time.Now()
		stop = r.start(t)
		time.Sleep(2 * time.Minute)
		stop()
		slices.Sort(*calls)
		equal(t, "actions after the restart", (*calls)[:1], []string{"CRITICAL after CRITICAL: bad"})
		equal(t, "and of the other check", (*calls)[len(*calls)-1:], []string{"OK after OK: well"})
		for _, p := range r.api.all()[before:] {
			for _, c := range p.reports {
				if c.Name == "disk" {
					t.Errorf("reported %+v, though only a person may close that alert", c)
				}
			}
			if p.reports[0].OccurredAt == p.at.Unix() && p.at.After(start) {
				t.Errorf("a report at once, though nothing changed over the restart: %+v", p)
			}
		}
	})
}

// recordActions makes the rig run the command "action" by noting what it was told.
func recordActions(r *checkRig) *[]string {
	var calls []string
	r.o.Run = func(ctx context.Context, c Command, environ []string) (Result, error) {
		if c.Args[0] != "action" {
			return r.run(ctx, c, environ)
		}
		env := map[string]string{}
		for _, kv := range c.Env {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		calls = append(calls, fmt.Sprintf("%s after %s: %s", env[statusVariable], env[previousVariable], env[messageVariable]))
		return Result{}, nil
	}
	return &calls
}

func TestUnpostedReportsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh"})
		r.api.answer(func(context.Context, []saba.CheckReport) error { return networkError() })
		r.gives("ssh", 2, "bad")
		stop := r.start(t)
		time.Sleep(3 * time.Minute)
		r.gives("ssh", 0, "fine")
		time.Sleep(time.Minute)
		at := time.Now()
		stop()
		if d := time.Since(at); d > time.Second {
			t.Errorf("the stop took %v with the server away, want no waiting: all is on disk", d)
		}
		r.api.answer(nil)
		stop = r.start(t)
		synctest.Wait()
		equal(t, "statuses right after the start", statuses(r.api.taken("ssh")), []saba.CheckStatus{"CRITICAL", "CRITICAL", "OK"})
		stop()
		before := len(r.api.all())
		stop = r.start(t)
		synctest.Wait()
		if n := len(r.api.all()); n != before {
			t.Errorf("%d posts right after another start, want none: the server has them", n-before)
		}
		stop()
	})
}

func TestAStopPostsWhatIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh"})
		stop := r.start(t)
		time.Sleep(firstWait("seed", "ssh") + time.Second)
		if n := len(r.api.all()); n != 0 {
			t.Fatalf("%d posts, want the first OK to be gathered still", n)
		}
		stop()
		equal(t, "statuses", statuses(r.api.taken("ssh")), []saba.CheckStatus{"OK"})
	})
}

func TestACheckThatTheAgentsStopEndsSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh", Action: &Command{Args: []string{"action"}}})
		calls := recordActions(r)
		r.o.Run = func(ctx context.Context, _ Command, _ []string) (Result, error) {
			<-ctx.Done()
			return Result{ExitCode: 143}, ctx.Err()
		}
		stop := r.start(t)
		time.Sleep(2 * time.Minute)
		stop()
		if n := len(r.api.all()); n != 0 || len(*calls) != 0 || r.warnings() != 0 {
			t.Errorf("%d posts and actions %q, want none; log:\n%s", n, *calls, r.log)
		}
	})
}

func TestAServerThatNeverAnswersStopsNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh"})
		r.api.answer(func(ctx context.Context, _ []saba.CheckReport) error {
			<-ctx.Done()
			return networkError()
		})
		r.gives("ssh", 2, "bad")
		stop := r.start(t)
		time.Sleep(24 * time.Hour)
		if n := r.runs("ssh"); n != 1440 {
			t.Errorf("the check ran %d times in a day, want 1440", n)
		}
		at := time.Now()
		stop()
		if d := time.Since(at); d > 10*time.Second {
			t.Errorf("the stop took %v, want the farewell's 10 s at the most", d)
		}
		// The server has taken all the time of the farewell, and the disk must have some of its own.
		if !strings.Contains(r.log.String(), "verdicts of checks wait on disk for its next start") {
			t.Errorf("what is left is not on disk, or nothing says so:\n%s", r.log)
		}
	})
}

func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh", Action: &Command{Args: []string{"action"}, Env: []string{"X=1", statusVariable + "=mine"}}})
		calls := recordActions(r)
		r.gives("ssh", 0, "fine")
		stop := r.start(t)
		time.Sleep(2 * time.Minute)
		r.gives("ssh", 2, "b\x00ad")
		time.Sleep(2 * time.Minute)
		stop()
		equal(t, "calls", *calls, []string{"OK after : fine", "OK after OK: fine", "CRITICAL after OK: b\uFFFDad", "CRITICAL after CRITICAL: b\uFFFDad"})
	})
}

func TestWhenAnActionRuns(t *testing.T) {
	for name, tt := range map[string]struct {
		when ActWhen
		want []string // after OK, OK, CRITICAL, CRITICAL, WARNING, OK
	}{
		"after every run":                 {ActWhen{}, []string{"OK after ", "OK after OK", "CRITICAL after OK", "CRITICAL after CRITICAL", "WARNING after CRITICAL", "OK after WARNING"}},
		"after some verdicts":             {ActWhen{On: []saba.CheckStatus{saba.CheckCritical, saba.CheckUnknown}}, []string{"CRITICAL after OK", "CRITICAL after CRITICAL"}},
		"after changes":                   {ActWhen{OnChange: true}, []string{"CRITICAL after OK", "WARNING after CRITICAL", "OK after WARNING"}},
		"when it becomes critical":        {ActWhen{OnChange: true, On: []saba.CheckStatus{saba.CheckCritical}}, []string{"CRITICAL after OK"}},
		"three times an hour at most":     {ActWhen{PerHour: 3}, []string{"OK after ", "OK after OK", "CRITICAL after OK"}},
		"what is left out is not counted": {ActWhen{PerHour: 1, On: []saba.CheckStatus{saba.CheckWarning}}, []string{"WARNING after CRITICAL"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newCheckRig(t, CheckPlugin{Name: "ssh", Action: &Command{Args: []string{"action"}}, ActWhen: tt.when})
				calls := recordActions(r)
				r.gives("ssh", 0, "")
				stop := r.start(t)
				time.Sleep(firstWait("seed", "ssh") + time.Second)
				for _, code := range []int{0, 2, 2, 1, 0} {
					r.gives("ssh", code, "")
					time.Sleep(time.Minute)
				}
				acted := func() (said []string) {
					r.mu.Lock()
					defer r.mu.Unlock()
					for _, c := range *calls {
						said = append(said, strings.TrimSuffix(c, ": "))
					}
					return said
				}
				equal(t, "calls", acted(), tt.want)
				if tt.when.PerHour == 3 {
					time.Sleep(54 * time.Minute) // until the first of the three is an hour ago
					if n := len(acted()); n != 3 {
						t.Errorf("%d calls within an hour, want 3", n)
					}
					time.Sleep(time.Minute)
					if n := len(acted()); n != 4 {
						t.Errorf("%d calls when the first is an hour ago, want 4", n)
					}
					if n := r.warnings(); n != 1 {
						t.Errorf("%d warnings, want 1, when it is left out first:\n%s", n, r.log)
					}
				}
				stop()
			})
		})
	}
}

func TestAnActionAtWorkIsFollowedByTheNewestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh", Action: &Command{Args: []string{"action"}}})
		calls := recordActions(r)
		quick := r.o.Run
		working := 0
		r.o.Run = func(ctx context.Context, c Command, environ []string) (Result, error) {
			result, err := quick(ctx, c, environ)
			if c.Args[0] == "action" {
				if working++; working > 1 {
					t.Error("the action joins itself")
				}
				sleep(ctx, 150*time.Second) // longer than two runs of the check
				working--
			}
			return result, err
		}
		r.gives("ssh", 0, "fine")
		stop := r.start(t)
		time.Sleep(firstWait("seed", "ssh") + 30*time.Second)
		r.gives("ssh", 2, "bad")
		time.Sleep(time.Minute)
		r.gives("ssh", 2, "worse")
		time.Sleep(time.Minute + 10*time.Second)
		stop()
		equal(t, "calls", *calls, []string{"OK after : fine", "CRITICAL after OK: worse"})
	})
}

func TestARunThatHangsInTheKernelIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "nfs"})
		left := make(chan struct{})
		var started atomic.Int64
		r.o.Run = func(context.Context, Command, []string) (Result, error) {
			if started.Add(1) == 1 {
				return Result{}, &TimeoutError{After: 43 * time.Second, Left: left}
			}
			return Result{}, nil
		}
		stop := r.start(t)
		time.Sleep(10 * time.Minute)
		if n := started.Load(); n != 1 {
			t.Errorf("%d runs beside one that hangs", n-1)
		}
		close(left)
		time.Sleep(2 * time.Minute)
		stop()
		got := r.api.taken("nfs")
		if got[0].Status != saba.CheckUnknown || !strings.Contains(got[1].Message, "an earlier run hangs") || got[len(got)-1].Status != saba.CheckOK {
			t.Errorf("reports = %+v, want UNKNOWN until it ended", got)
		}
	})
}

// A fakeCheckRunner is a bundled check that does what its function says.
type fakeCheckRunner struct {
	args []string
	run  func(ctx context.Context, args, environ []string) (saba.CheckStatus, string)
}

func (f fakeCheckRunner) Run(ctx context.Context, environ []string) (saba.CheckStatus, string) {
	return f.run(ctx, f.args, environ)
}

// bundledChecks makes the checks of a rig ready that run inside the agent.
func bundledChecks(t *testing.T, r *checkRig, run func(ctx context.Context, args, environ []string) (saba.CheckStatus, string)) {
	t.Helper()
	c := Config{Checks: r.o.Checks}
	err := Bundle(&c, Bundled{Check: func(_ string, args []string) (CheckRunner, error) { return fakeCheckRunner{args, run}, nil }})
	if err != nil {
		t.Fatal(err)
	}
}

func TestABundledCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "panics", Bundled: []string{"http", "panic"}}, CheckPlugin{Name: "slow", Bundled: []string{"http", "slow"}, Command: Command{Timeout: 5 * time.Second}},
			CheckPlugin{Name: "deaf", Bundled: []string{"http", "deaf"}, Command: Command{Timeout: 5 * time.Second}},
			CheckPlugin{Name: "works", Bundled: []string{"http", "-u", "x"}, Command: Command{Env: []string{"A=1"}}})
		r.o.Environ = []string{"PATH=/bin"}
		bundledChecks(t, r, func(ctx context.Context, args, environ []string) (saba.CheckStatus, string) {
			switch args[0] {
			case "panic":
				panic("oh")
			case "slow":
				<-ctx.Done()
				return saba.CheckCritical, "no answer in time"
			case "deaf":
				time.Sleep(8 * time.Second)
			}
			return saba.CheckWarning, strings.Join(append(args, environ...), " ")
		})
		stop := r.start(t)
		time.Sleep(2 * time.Minute)
		stop()
		for check, want := range map[string]string{
			"panics": "UNKNOWN the check could not be run: panic: oh", "slow": "CRITICAL no answer in time", "deaf": "UNKNOWN the check did not end within 5s and was stopped", "works": "WARNING -u x PATH=/bin A=1",
		} {
			if got := r.api.taken(check)[0]; !strings.HasPrefix(string(got.Status)+" "+got.Message, want) {
				t.Errorf("%s reports %s %s, want %s", check, got.Status, got.Message, want)
			}
		}
	})
}

func TestTheStatusKnowsHowChecksFare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "slow"}, CheckPlugin{Name: "stuck", Bundled: []string{"http"}})
		r.o.Recorder = NewRecorder(r.o.Log, "abc1234", time.Now())
		r.o.Run = func(ctx context.Context, _ Command, _ []string) (Result, error) {
			sleep(ctx, 150*time.Second)
			return Result{ExitCode: 2, Stderr: []byte("warned\n")}, nil
		}
		free := make(chan struct{})
		bundledChecks(t, r, func(context.Context, []string, []string) (saba.CheckStatus, string) { // deaf to its context
			<-free
			return saba.CheckOK, ""
		})
		stop := r.start(t)
		time.Sleep(2 * time.Minute)
		status := r.o.Recorder.Status(time.Now())
		if len(status.Sources) != 2 {
			t.Fatalf("sources = %+v, want both checks", status.Sources)
		}
		time.Sleep(time.Minute + 59*time.Second)
		for _, got := range r.o.Recorder.Status(time.Now()).Sources {
			switch {
			case got.Kind != KindCheck:
				t.Errorf("kind = %s", got.Kind)
			case got.Name == "slow" && (got.Runs != 1 || got.Overruns != 2 || got.ExitCode == nil || *got.ExitCode != 2 || got.Stderr != "warned" || got.Failures != 0):
				t.Errorf("slow = %+v, want a run, two turns left out, its exit code and its stderr: CRITICAL is no failure of a check", got)
			case got.Name == "stuck" && (got.Timeouts != 1 || !strings.Contains(got.LastError, "an earlier run hangs")):
				t.Errorf("stuck = %+v, want a timeout, then that it hangs", got)
			}
		}
		close(free)
		time.Sleep(2 * time.Minute)
		stop()
		got := r.api.taken("stuck")
		if got[len(got)-1].Status != saba.CheckOK {
			t.Errorf("reports = %+v, want OK when it no longer hangs", got)
		}
	})
}

func TestADiskThatCannotBeWrittenCostsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCheckRig(t, CheckPlugin{Name: "ssh"})
		r.api.answer(func(context.Context, []saba.CheckReport) error { return networkError() })
		file := filepath.Join(r.o.Root, "checks")
		if err := os.WriteFile(file, nil, 0o600); err != nil { // in place of the folder
			t.Fatal(err)
		}
		r.gives("ssh", 2, "bad")
		stop := r.start(t)
		time.Sleep(time.Hour)
		if n := strings.Count(r.log.String(), "cannot be kept on disk"); n != 1 {
			t.Errorf("%d lines about the disk, want 1:\n%s", n, r.log)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if !strings.Contains(r.log.String(), "kept on disk again") {
			t.Errorf("no word of the disk's return:\n%s", r.log)
		}
		stop()
		r.api.answer(nil)
		stop = r.start(t)
		synctest.Wait()
		equal(t, "statuses after a restart", statuses(r.api.taken("ssh")), []saba.CheckStatus{"CRITICAL", "CRITICAL"})
		stop()
	})
}

// Real processes: what they print, how they end, and what their action gets.
func TestChecksThatAreProcesses(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	action := &Command{Args: []string{"sh", "-c", `printf '%s %s %s' "$MACKEREL_STATUS" "$MACKEREL_PREVIOUS_STATUS" "${#MACKEREL_CHECK_MESSAGE}" > "$OUT"`}, Env: []string{"OUT=" + out}}
	for name, tt := range map[string]struct {
		c       Command
		status  saba.CheckStatus
		message string
	}{
		"a shell's line":           {Command{Args: []string{"sh", "-c", "echo fine; echo no >&2"}}, "OK", "fine\n"},
		"a code":                   {Command{Args: []string{"sh", "-c", "echo $A; exit 2"}, Env: []string{"A=bad"}}, "CRITICAL", "bad\n"},
		"death by a signal":        {Command{Args: []string{"sh", "-c", "echo so; kill -9 $$"}}, "UNKNOWN", "so\n"},
		"a command that is none":   {Command{Args: []string{"no-such-command"}}, "UNKNOWN", "the check could not be run: no-such-command is not on the path: file does not exist"},
		"one that does not end":    {Command{Args: []string{"sleep", "60"}, Timeout: time.Second}, "UNKNOWN", "the check did not end within 1s and was stopped"},
		"a megabyte of multibytes": {Command{Args: []string{"sh", "-c", "yes 鯖 | head -c 900000; exit 1"}}, "WARNING", strings.Repeat("鯖\n", 512)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newCheckRig(t, CheckPlugin{Name: "c"})
			r.o.Run, r.o.Environ = nil, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
			r.o.Checks[0].Command, r.o.Checks[0].Action = tt.c, action
			s := newChecks(r.o)
			s.checks[0].turn(t.Context())
			s.actions.Wait()
			s.flush(t.Context())
			got := r.api.taken("c")
			if len(got) != 1 || got[0].Status != tt.status || got[0].Message != tt.message {
				t.Errorf("reports = %+v, want %s %q", got, tt.status, tt.message)
			}
			b, err := os.ReadFile(out)
			if err != nil || !strings.HasPrefix(string(b), string(tt.status)+"  ") {
				t.Errorf("the action wrote %q, %v, want the status and no previous one", b, err)
			}
			if name == "a megabyte of multibytes" && !strings.HasSuffix(string(b), " 65537") && !strings.HasSuffix(string(b), " 65536") && !strings.HasSuffix(string(b), " 65538") {
				t.Errorf("the action got a message of another length: %q, want about 64 KiB", b)
			}
		})
	}
}

func TestOnlyChecksOfThisHostAreDeclared(t *testing.T) {
	c := Config{Checks: []CheckPlugin{{Name: "db", CustomIdentifier: "db-1"}, {Name: "ssh", Memo: "port 22"}}}
	equal(t, "declared", checkDeclarations(c), []saba.CheckDeclaration{{Name: "ssh", Memo: "port 22"}})
	if got := checkDeclarations(Config{}); got == nil || len(got) != 0 {
		t.Errorf("without checks %#v is declared, want an empty list that says so", got)
	}
}
