package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	"github.com/saba-monitor/saba/internal/collect"
)

// A fakeServer is a server in memory. The functions, where set, answer in its place.
type fakeServer struct {
	onPost   func(points []saba.Point) error
	onCreate func() error
	onUpdate func() error
	onHost   func() (saba.Host, error)

	mu       sync.Mutex
	created  []client.HostParam
	updated  []client.HostParam
	statuses []saba.HostStatus
	hosts    map[string]saba.Host
	samples  map[saba.Series]map[int64]float64
	posts    []post // every one, refused ones too
	defs     [][]saba.GraphDef
	reports  []saba.CheckReport
	metadata map[string]string
}

type post struct {
	at     time.Time
	points int
	err    error
}

func (f *fakeServer) CreateHost(_ context.Context, p client.HostParam) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onCreate != nil {
		if err := f.onCreate(); err != nil {
			return "", err
		}
	}
	f.created = append(f.created, p)
	id := fmt.Sprintf("host%d", len(f.created))
	f.put(saba.Host{ID: id, Name: p.Name, CustomIdentifier: p.CustomIdentifier, Status: saba.Working})
	return id, nil
}

func (f *fakeServer) put(h saba.Host) {
	if f.hosts == nil {
		f.hosts = map[string]saba.Host{}
	}
	f.hosts[h.ID] = h
}

func (f *fakeServer) Host(_ context.Context, id string) (saba.Host, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onHost != nil {
		return f.onHost()
	}
	h, ok := f.hosts[id]
	if !ok {
		return saba.Host{}, apiError(404)
	}
	return h, nil
}

func (f *fakeServer) Hosts(_ context.Context, filter saba.HostFilter) ([]saba.Host, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []saba.Host
	for _, id := range slices.Sorted(maps.Keys(f.hosts)) {
		if h := f.hosts[id]; h.CustomIdentifier == filter.CustomIdentifier && !h.Retired() {
			out = append(out, h)
		}
	}
	return out, nil
}

func (f *fakeServer) UpdateHost(_ context.Context, id string, p client.HostParam) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onUpdate != nil {
		if err := f.onUpdate(); err != nil {
			return err
		}
	}
	f.updated = append(f.updated, p)
	return nil
}

func (f *fakeServer) SetHostStatus(_ context.Context, id string, s saba.HostStatus) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses = append(f.statuses, s)
	h := f.hosts[id]
	h.Status = s
	f.put(h)
	return nil
}

func (f *fakeServer) PostHostMetrics(_ context.Context, points []saba.Point) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.onPost != nil {
		err = f.onPost(points)
	}
	f.posts = append(f.posts, post{time.Now(), len(points), err})
	if err != nil {
		return err
	}
	if f.samples == nil {
		f.samples = map[saba.Series]map[int64]float64{}
	}
	for _, p := range points {
		if f.samples[p.Series] == nil {
			f.samples[p.Series] = map[int64]float64{}
		}
		f.samples[p.Series][p.Time] = p.Value
	}
	return nil
}

func (f *fakeServer) PutGraphDefs(_ context.Context, defs []saba.GraphDef) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.defs = append(f.defs, defs)
	return nil
}

func (f *fakeServer) ReportChecks(_ context.Context, reports []saba.CheckReport) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, reports...)
	return nil
}

func (f *fakeServer) PutMetadata(_ context.Context, o saba.MetadataOwner, namespace string, value json.RawMessage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.metadata == nil {
		f.metadata = map[string]string{}
	}
	f.metadata[o.Host+" "+namespace] = string(value)
	return nil
}

// times returns the times of the samples of one metric of the host, in order.
func (f *fakeServer) times(host, name string) []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.samples[saba.Series{Host: host, Name: name}]))
}

// all returns every post so far.
func (f *fakeServer) all() []post {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.posts)
}

// updates returns every update of a host so far.
func (f *fakeServer) updates() []client.HostParam {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.updated)
}

func (f *fakeServer) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func apiError(status int) error {
	return &client.Error{Method: "POST", Path: "/api/v0/tsdb", Status: status, Message: "no", JSON: true}
}

func networkError() error {
	return &client.NetworkError{Method: "POST", Path: "/api/v0/tsdb", Err: errors.New("connection refused")}
}

// A fakeSource counts its calls; from the second on it has a rate, as counters have.
type fakeSource struct {
	name  string
	calls atomic.Int64
	hang  func(ctx context.Context) // nil answers at once
}

func (s *fakeSource) Name() string { return s.name }

func (s *fakeSource) Collect(ctx context.Context) ([]saba.Value, error) {
	n := s.calls.Add(1)
	if s.hang != nil {
		s.hang(ctx)
	}
	values := []saba.Value{{Name: s.name, Value: float64(n)}}
	if n > 1 {
		values = append(values, saba.Value{Name: s.name + ".delta", Value: 1})
	}
	return values, nil
}

// options returns options of an agent of server that logs into log.
func options(t *testing.T, server *fakeServer, sources ...Source) (Options, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	began := time.Now()
	return Options{
		boot:   bootClock{"a boot", func() (time.Duration, error) { return time.Since(began), nil }}, // of the bubble
		Config: Config{Root: t.TempDir()}, API: server, Sources: sources, Revision: "abc1234",
		Facts: func(context.Context) (collect.Facts, error) { return collect.Facts{Name: "vm"}, nil },
		Log:   slog.New(slog.NewTextHandler(log, nil)), Random: func() float64 { return 0.5 },
		Volatile: true,
	}, log
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs an agent in the bubble and returns how to stop it and wait for it.
func start(t *testing.T, o Options) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}
}

// minutes returns n minutes from first on.
func minutes(first int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = first + int64(i)*60
	}
	return out
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// A bubble's clock begins at a whole minute; into waits until d after it.
func into(d time.Duration) int64 {
	time.Sleep(d)
	return saba.Minute(time.Now().Unix())
}

func TestFirstSamplesComeWithinSecondsThenOneAMinute(t *testing.T) {
	for name, at := range map[string]time.Duration{
		"in the middle of a minute":                  30 * time.Second,
		"at the first second of a minute":            0,
		"when the first turn would fall on a minute": 58 * time.Second,
		"just before a minute":                       59*time.Second + 900*time.Millisecond,
		"a moment too early for a rate":              57 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into(at)
				server := &fakeServer{}
				o, _ := options(t, server, &fakeSource{name: "load"})
				stop := start(t, o)
				time.Sleep(5 * time.Second)
				got := server.times("host1", "load.delta")
				if len(got) != 1 {
					t.Fatalf("samples 5 s after the start = %v, want one, with a rate", got)
				}
				if got[0] != saba.Minute(time.Now().Unix()) && got[0] != saba.Minute(time.Now().Unix()-5) {
					t.Errorf("time of the first sample = %d, want the current minute", got[0])
				}
				time.Sleep(10 * time.Minute)
				equal(t, "times after ten more minutes", server.times("host1", "load.delta"), minutes(got[0], 11))
				stop()
			})
		})
	}
}

func TestAMinuteIsPostedAtItsFirstSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, _ := options(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(3 * time.Minute)
		stop()
		for _, p := range server.all()[1:] {
			if p.at.Second() != 0 {
				t.Errorf("a post at %v, want second 0", p.at)
			}
		}
	})
}

func TestPostSpreadWaitsTheSameShareEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, _ := options(t, server, &fakeSource{name: "load"})
		o.PostSpread = time.Minute
		stop := start(t, o)
		time.Sleep(5*time.Minute + 15*time.Second) // past the last post, so that stop finds nothing to send
		stop()
		want := hostSecond("host1")
		if first := server.all()[0].at.Second(); first != 32 {
			t.Errorf("the first post is at second %d, want 32: it does not wait", first)
		}
		for _, p := range server.all()[1:] {
			if p.at.Second() != want {
				t.Errorf("a post at %v, want second %d", p.at, want)
			}
		}
	})
}

func TestHostSecond(t *testing.T) {
	for id, want := range map[string]int{"246PUVUngPo": 40, "21GZjCE5Etb": 15, "xxx1234567890": 12, "xyzabc12345": 9} {
		if got := hostSecond(id); got != want {
			t.Errorf("hostSecond(%q) = %d, want %d", id, got, want)
		}
	}
}

func TestAStuckSourceCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		release := make(chan struct{})
		stuck := &fakeSource{name: "stuck", hang: func(context.Context) { <-release }} // deaf to its context
		o, log := options(t, server, &fakeSource{name: "load"}, stuck)
		stop := start(t, o)
		time.Sleep(time.Hour)
		equal(t, "times of the other source", server.times("host1", "load"), minutes(first, 61))
		equal(t, "times of the stuck source", server.times("host1", "stuck"), nil)
		if n := stuck.calls.Load(); n != 1 {
			t.Errorf("the stuck source was started %d times, want 1", n)
		}
		if n := strings.Count(log.String(), "left out of this one"); n < 1 || n > 3 {
			t.Errorf("%d log lines about it in an hour, want one now and then", n)
		}
		close(release)
		stop()
	})
}

func TestALateSourceBringsItsOwnMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		late := &fakeSource{name: "late"}
		late.hang = func(ctx context.Context) {
			if late.calls.Load() > 2 {
				sleep(ctx, 25*time.Second)
			}
		}
		o, _ := options(t, server, &fakeSource{name: "load"}, late)
		stop := start(t, o)
		time.Sleep(10*time.Minute + 10*time.Second) // :40 of a minute
		equal(t, "times of the late source", server.times("host1", "late"), minutes(first, 11))
		equal(t, "times of the other", server.times("host1", "load"), minutes(first, 11))
		stop()
	})
}

func TestAPanickingSourceCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		bad := &fakeSource{name: "bad", hang: func(context.Context) { panic("a bug") }}
		o, log := options(t, server, &fakeSource{name: "load"}, bad)
		stop := start(t, o)
		time.Sleep(3 * time.Minute)
		equal(t, "times of the other", server.times("host1", "load"), minutes(first, 4))
		stop()
		if !strings.Contains(log.String(), "panic: a bug") {
			t.Errorf("the log does not tell of the panic: %s", log)
		}
	})
}

func TestAnOutageLosesNoMinute(t *testing.T) {
	for name, tt := range map[string]struct {
		err    func() error
		outage time.Duration
	}{
		"the server is gone for an hour":     {networkError, time.Hour},
		"it answers 503":                     {func() error { return apiError(503) }, time.Hour},
		"a proxy answers for it":             {func() error { return &client.Error{Status: 400, Message: "bad request"} }, time.Hour},
		"it refuses the key":                 {func() error { return apiError(401) }, time.Hour},
		"it refuses every value":             {func() error { return apiError(400) }, time.Hour},
		"it answers 200 with a login page":   {func() error { return &client.Error{Status: 200} }, time.Hour},
		"it is gone for nearly a day":        {networkError, 23*time.Hour + 50*time.Minute},
		"it asks to come back in 20 minutes": {func() error { return &client.Error{Status: 429, RetryAfter: 20 * time.Minute, JSON: true} }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := into(30 * time.Second)
				server := &fakeServer{}
				o, log := options(t, server, &fakeSource{name: "load"})
				stop := start(t, o)
				time.Sleep(5 * time.Minute)
				server.set(func() { server.onPost = func([]saba.Point) error { return tt.err() } })
				time.Sleep(tt.outage)
				server.set(func() { server.onPost = nil })
				tried := len(server.all())
				time.Sleep(25 * time.Minute) // longer than any wait
				now := saba.Minute(time.Now().Unix())
				equal(t, "times", server.times("host1", "load"), minutes(first, int((now-first)/60)+1))
				if per := float64(tried-6) / tt.outage.Minutes(); per > 6 {
					t.Errorf("%.1f requests a minute during the outage, want a few at most", per)
				}
				if n := strings.Count(log.String(), "level=WARN") + strings.Count(log.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d warnings in the log, want 1, when it begins:\n%s", n, log)
				}
				if !strings.Contains(log.String(), "takes values again") {
					t.Errorf("the log does not tell of the end: %s", log)
				}
				stop()
			})
		})
	}
}

func TestCatchingUpIsFast(t *testing.T) {
	for name, tt := range map[string]struct {
		away     time.Duration
		within   time.Duration // from the return of the server on
		minutes  int
		requests int // at most
	}{
		"after ten minutes, half a minute later": {10 * time.Minute, 30 * time.Second, 10, 3},
		"after six hours, some minutes later":    {6 * time.Hour, 5*time.Minute + 30*time.Second, 361, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into(30 * time.Second)
				server := &fakeServer{}
				var sources []Source
				for i := range 65 { // 130 metrics
					sources = append(sources, &fakeSource{name: fmt.Sprintf("m%d", i)})
				}
				o, _ := options(t, server, sources...)
				o.Random = func() float64 { return 0.999 } // the longest of all waits
				stop := start(t, o)
				time.Sleep(5 * time.Minute)
				server.set(func() { server.onPost = func([]saba.Point) error { return networkError() } })
				time.Sleep(tt.away)
				var first []int64
				server.set(func() {
					server.posts = nil
					server.onPost = func(points []saba.Point) error {
						if first == nil {
							first = []int64{points[0].Time, time.Now().Unix()}
						}
						return nil
					}
				})
				time.Sleep(tt.within)
				if n := len(server.times("host1", "m7")); n < tt.minutes+5 {
					t.Errorf("%d minutes are there, want %d at least", n, tt.minutes+5)
				}
				if n := len(server.all()); n > tt.requests {
					t.Errorf("%d requests to catch up, want a few large ones", n)
				}
				if len(first) != 2 || first[1]-first[0] >= 60 {
					t.Errorf("the first point is of %v, posted then, want the newest minute first", first)
				}
				stop()
			})
		})
	}
}

// What has piled up leaves in steps, and what is new does not wait behind it.
func TestFreshMinutesDoNotWaitBehindABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{onPost: func([]saba.Point) error { return networkError() }}
		var sources []Source
		for i := range 500 { // 1,000 metrics: ten minutes a request
			sources = append(sources, &fakeSource{name: fmt.Sprintf("m%d", i)})
		}
		o, _ := options(t, server, sources...)
		o.Config.QueueBytes = 1 << 30
		stop := start(t, o)
		time.Sleep(8 * time.Hour) // 480,000 points
		late := map[int64]time.Duration{}
		server.set(func() {
			server.posts = nil
			server.onPost = func(points []saba.Point) error {
				for _, p := range points {
					late[p.Time] = time.Since(time.Unix(p.Time, 0))
				}
				return nil
			}
		})
		time.Sleep(10 * time.Minute)
		posts := server.all()
		for i := 1; i < len(posts) && posts[i].points > 1000; i++ {
			if d := posts[i].at.Sub(posts[i-1].at); d < catchUpPause/2 {
				t.Errorf("request %d came %v after the one before: a fleet would do that at once", i, d)
				break
			}
		}
		now, fresh := time.Now().Unix(), 0
		for minute, d := range late {
			if minute > now-5*60 && minute < now-60 {
				if fresh++; d > 3*time.Second {
					t.Errorf("the minute %d came after %v, want it before the backlog", minute, d)
				}
			}
		}
		if fresh < 3 {
			t.Errorf("%d fresh minutes seen, want some", fresh)
		}
		stop()
	})
}

func TestWhatIsOlderThanADayIsGivenUpAloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{onPost: func([]saba.Point) error { return networkError() }}
		o, log := options(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(26 * time.Hour)
		server.set(func() { server.onPost = nil })
		time.Sleep(6 * time.Minute) // it is asked every five
		got := server.times("host1", "load")
		if oldest := time.Now().Unix() - got[0]; oldest > 24*3600+6*60 {
			t.Errorf("a sample of %d s ago was posted: no server takes it", oldest)
		}
		if len(got) < 24*60 {
			t.Errorf("%d samples, want a day of them", len(got))
		}
		if !strings.Contains(log.String(), "values were dropped") {
			t.Errorf("the log does not tell that values were dropped: %s", log)
		}
		stop()
	})
}

func TestABatchThatBreaksTheServerDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		server.onPost = func(points []saba.Point) error {
			for _, p := range points {
				if p.Time == first+120 {
					return apiError(500) // a bug of the server: nothing says whose fault it is
				}
			}
			return nil
		}
		o, _ := options(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(time.Hour)
		if n := len(server.times("host1", "load")); n < 59 {
			t.Errorf("%d minutes there of 61, want all but the one and those of the last moment", n)
		}
		stop()
	})
}

func TestABadPointCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{onPost: func(points []saba.Point) error {
			for _, p := range points {
				if p.Name == "bad" {
					return apiError(400)
				}
			}
			return nil
		}}
		o, log := options(t, server, &fakeSource{name: "a"}, &fakeSource{name: "bad"}, &fakeSource{name: "c"}, &fakeSource{name: "d"})
		stop := start(t, o)
		time.Sleep(5 * time.Minute)
		for _, name := range []string{"a", "c", "d", "bad.delta"} {
			equal(t, "times of "+name, server.times("host1", name), minutes(first, 6))
		}
		if n := strings.Count(log.String(), "metric=bad "); n != 6 {
			t.Errorf("%d log lines about the bad metric, want 6:\n%s", n, log)
		}
		stop()
	})
}

func TestATooLargeRequestIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{onPost: func([]saba.Point) error { return networkError() }}
		var sources []Source
		for i := range 150 {
			sources = append(sources, &fakeSource{name: fmt.Sprintf("m%d", i)})
		}
		o, _ := options(t, server, sources...)
		stop := start(t, o)
		time.Sleep(2 * time.Hour)
		server.set(func() {
			server.onPost = func(points []saba.Point) error {
				if len(points) > 1000 {
					return apiError(413)
				}
				return nil
			}
			server.posts = nil
		})
		time.Sleep(6 * time.Minute)
		now := saba.Minute(time.Now().Unix())
		equal(t, "times", server.times("host1", "m99"), minutes(first, int((now-first)/60)+1))
		if n := len(server.all()); n > 150 {
			t.Errorf("%d requests for 36,300 points of at most 1,000, want far fewer than one a minute", n)
		}
		stop()
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{onPost: func([]saba.Point) error {
			return &client.Error{Status: 503, RetryAfter: 10 * time.Minute, JSON: true}
		}}
		o, _ := options(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(time.Hour)
		for i := 1; i < len(server.all()); i++ {
			if gap := server.all()[i].at.Sub(server.all()[i-1].at); gap < 10*time.Minute || gap > 11*time.Minute {
				t.Errorf("tried again after %v, want 10 to 11 minutes", gap)
			}
		}
		if len(server.all()) < 5 {
			t.Errorf("%d tries in an hour, want 5 at least", len(server.all()))
		}
		stop()
	})
}

func TestANetworkErrorIsTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, log := options(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(time.Minute + 5*time.Second)
		failed := false
		server.set(func() {
			server.onPost = func([]saba.Point) error {
				if failed {
					return nil
				}
				failed = true
				return networkError()
			}
		})
		time.Sleep(time.Minute)
		n := len(server.all())
		if a, b := server.all()[n-2], server.all()[n-1]; a.err == nil || b.err != nil || !a.at.Equal(b.at) {
			t.Errorf("the last two posts are %v and %v, want a failure and a success at the same moment", a, b)
		}
		if strings.Contains(log.String(), "WARN") {
			t.Errorf("the log tells of it: %s", log)
		}
		stop()
	})
}

func TestStopSendsWhatIsLeftAndSetsTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		o, _ := options(t, server, &fakeSource{name: "load"})
		o.Config.OnStop = saba.Standby
		stop := start(t, o)
		time.Sleep(time.Minute)
		server.set(func() { server.onPost = func([]saba.Point) error { return apiError(503) } })
		time.Sleep(3 * time.Minute)
		server.set(func() { server.onPost = nil })
		stop()
		equal(t, "times", server.times("host1", "load"), minutes(first, 5))
		equal(t, "statuses", server.statuses, []saba.HostStatus{saba.Standby})
	})
}

func TestStopDoesNotOutlastItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{onPost: func([]saba.Point) error { return networkError() }}
		o, log := options(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(10 * time.Minute)
		before := time.Now()
		stop()
		if took := time.Since(before); took > DefaultStopTimeout+time.Second {
			t.Errorf("stopping took %v, want %v at most", took, DefaultStopTimeout)
		}
		if !strings.Contains(log.String(), "22 values are in memory alone: they are lost") {
			t.Errorf("the log does not say what was left: %s", log)
		}
	})
}

func TestTheScheduleSurvivesAClockThatIsSet(t *testing.T) {
	// The wall clock of a bubble cannot be set; what the schedule computes from it can be.
	base := time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)
	for name, tt := range map[string]struct {
		at   time.Time
		want time.Time
	}{
		"in a minute":              {base, base.Add(30 * time.Second)},
		"at its first nanosecond":  {base.Add(-30 * time.Second), base.Add(30 * time.Second)},
		"at its last":              {base.Add(30*time.Second - 1), base.Add(30 * time.Second)},
		"before 1970, when reset":  {time.Unix(-61, 0), time.Unix(-60, 0)},
		"in a zone of odd minutes": {base.In(time.FixedZone("", 20*60+34)), base.Add(30 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nextMinute(tt.at); !got.Equal(tt.want) {
				t.Errorf("nextMinute(%v) = %v, want %v", tt.at, got, tt.want)
			}
		})
	}
}

// A step of the clock costs no minute but those that it leaps over, whether the server takes values or not.
func TestAClockThatIsSetCostsNoMinute(t *testing.T) {
	for name, step := range map[string]time.Duration{
		"an hour ahead": time.Hour, "an hour back": -time.Hour, "ahead, into the middle of a minute": time.Hour + 30*time.Second,
		"back, into the middle of a minute": -time.Hour - 30*time.Second, "to the next day, and not its first minute": 23 * time.Hour,
	} {
		for _, away := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, server away: %v", name, away), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					first := into(10 * time.Second)
					server := &fakeServer{}
					o, log := options(t, server, &fakeSource{name: "load"})
					o.Volatile = false
					var ahead, comes atomic.Int64 // comes, at the end of the next look at the clock
					o.now = func() time.Time {
						now := time.Now().Add(time.Duration(ahead.Load())).Round(0)
						ahead.Add(comes.Swap(0))
						return now
					}
					stop := start(t, o)
					time.Sleep(5 * time.Minute)
					if away {
						server.set(func() { server.onPost = func([]saba.Point) error { return networkError() } })
					}
					time.Sleep(5 * time.Minute)
					comes.Store(int64(step)) // while a turn begins, which is the worst moment
					since := saba.Minute(time.Now().Add(step).Unix()) + 2*saba.Resolution
					time.Sleep(10 * time.Minute)
					server.set(func() { server.onPost = nil })
					time.Sleep(2 * time.Minute)
					until := saba.Minute(o.now().Unix())
					stop()
					got := server.times("host1", "load")
					for _, want := range slices.Concat(minutes(first, 11), minutes(since, int((until-since)/60)+1)) {
						if !slices.Contains(got, want) {
							t.Errorf("the minute %v is missing", time.Unix(want, 0).UTC())
						}
					}
					if missed := strings.Contains(log.String(), "minutes were missed"); missed != (step > 0) {
						t.Errorf("the log says that minutes were missed: %v, after a step of %v", missed, step)
					}
				})
			})
		}
	}
}

func readID(t *testing.T, o Options) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.Config.Root, "id"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRegistration(t *testing.T) {
	cloud := func(o *Options, identifier string) {
		o.Facts = func(context.Context) (collect.Facts, error) {
			return collect.Facts{Name: "vm", CustomIdentifier: identifier}, nil
		}
	}
	for name, tt := range map[string]struct {
		idFile   string // "" has none
		copy     string // likewise
		machine  string
		hosts    []saba.Host
		identity string // the custom identifier that the cloud gives
		onStart  saba.HostStatus

		wantID      string // that is posted for; "" posts nothing
		wantCreated int
		wantStatus  []saba.HostStatus
		wantLog     string
	}{
		"a new host is created":                            {wantID: "host1", wantCreated: 1},
		"a kept id is used":                                {idFile: "h9", hosts: []saba.Host{{ID: "h9"}}, wantID: "h9"},
		"a newline at the end of the file does not matter": {idFile: "h9\r\n", hosts: []saba.Host{{ID: "h9"}}, wantID: "h9"},
		"an empty id file may have held one":               {idFile: "\n", wantLog: "does not hold an id, so nothing is sent"},
		"so may one full of zeros":                         {idFile: "\x00\x00\x00\x00", wantLog: "does not hold an id, so nothing is sent"},
		"a host with our identifier is found without it": {
			idFile: "\x00\x00", hosts: []saba.Host{{ID: "h3", CustomIdentifier: "i-1.ec2"}}, identity: "i-1.ec2", wantID: "h3"},
		"a damaged file has a copy": {
			idFile: "\x00\x00", copy: `{"id":"h9","machine":"m1"}`, machine: "m1", hosts: []saba.Host{{ID: "h9"}}, wantID: "h9", wantLog: "was taken from its copy"},
		"of this machine": {
			idFile: "\x00\x00", copy: `{"id":"h9","machine":"m2"}`, machine: "m1", hosts: []saba.Host{{ID: "h9"}}, wantLog: "does not hold an id, so nothing is sent"},
		"a lost file has a copy": {
			copy: `{"id":"h9","machine":"m1"}`, machine: "m1", hosts: []saba.Host{{ID: "h9"}}, wantID: "h9", wantLog: "was taken from its copy"},
		"that means nothing on a clone": {
			copy: `{"id":"h9","machine":"m1"}`, machine: "m2", hosts: []saba.Host{{ID: "h9"}}, wantID: "host1", wantCreated: 1},
		"nor where machines cannot be told apart": {
			copy: `{"id":"h9"}`, hosts: []saba.Host{{ID: "h9"}}, wantID: "host1", wantCreated: 1},
		"nor once the host is retired": {
			copy: `{"id":"h9","machine":"m1"}`, machine: "m1", hosts: []saba.Host{{ID: "h9", RetiredAt: 5}}, wantID: "host1", wantCreated: 1},
		"nor when it is damaged itself": {
			copy: `{"id":"h9`, machine: "m1", hosts: []saba.Host{{ID: "h9"}}, wantID: "host1", wantCreated: 1},
		"a clone registers as a host of its own": {
			idFile: "h9", copy: `{"id":"h9","machine":"m1"}`, machine: "m2", hosts: []saba.Host{{ID: "h9"}}, wantID: "host1", wantCreated: 1, wantLog: "given to another machine"},
		"an id that somebody wrote is used": {
			idFile: "h8", copy: `{"id":"h9","machine":"m1"}`, machine: "m2", hosts: []saba.Host{{ID: "h8"}, {ID: "h9"}}, wantID: "h8"},
		"an id file with something else is not overwritten": {
			idFile: "an id?\nor two", wantLog: "does not hold an id"},
		"a host with our identifier is adopted": {
			hosts: []saba.Host{{ID: "h3", CustomIdentifier: "i-1.ec2"}}, identity: "i-1.ec2", wantID: "h3"},
		"without such a host one is created": {
			hosts: []saba.Host{{ID: "h3", CustomIdentifier: "i-2.ec2"}}, identity: "i-1.ec2", wantID: "host1", wantCreated: 1},
		"a copied id file posts for nobody": {
			idFile: "h3", hosts: []saba.Host{{ID: "h3", CustomIdentifier: "i-2.ec2"}}, identity: "i-1.ec2", wantLog: "h3 is another machine"},
		"an identifier that is not known now is not another one": {
			idFile: "h3", hosts: []saba.Host{{ID: "h3", CustomIdentifier: "i-2.ec2"}}, wantID: "h3"},
		"a retired host is told, and not replaced": {
			idFile: "h9", hosts: []saba.Host{{ID: "h9", RetiredAt: 5}}, wantLog: "h9 was retired"},
		"an unknown host is told, and not replaced": {
			idFile: "h9", wantLog: "does not know host h9"},
		"the status at start is set when it differs": {
			idFile: "h9", hosts: []saba.Host{{ID: "h9", Status: saba.Poweroff}}, onStart: saba.Working, wantID: "h9", wantStatus: []saba.HostStatus{saba.Working}},
		"and left when it does not": {
			idFile: "h9", hosts: []saba.Host{{ID: "h9", Status: saba.Working}}, onStart: saba.Working, wantID: "h9"},
		"and set for a new host": {
			onStart: saba.Standby, wantID: "host1", wantCreated: 1, wantStatus: []saba.HostStatus{saba.Standby}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into(30 * time.Second)
				server := &fakeServer{}
				for _, h := range tt.hosts {
					server.put(h)
				}
				o, log := options(t, server, &fakeSource{name: "load"})
				o.Config.OnStart = tt.onStart
				o.Machine = tt.machine
				cloud(&o, tt.identity)
				if tt.copy != "" {
					if err := os.WriteFile(filepath.Join(o.Config.Root, copyFile), []byte(tt.copy), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if tt.idFile != "" {
					if err := os.WriteFile(filepath.Join(o.Config.Root, "id"), []byte(tt.idFile), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				stop := start(t, o)
				time.Sleep(5 * time.Minute)
				stop()
				if len(server.created) != tt.wantCreated {
					t.Errorf("%d hosts created, want %d", len(server.created), tt.wantCreated)
				}
				if tt.wantID == "" && len(server.all()) > 0 {
					t.Errorf("%d posts, want none", len(server.all()))
				}
				if tt.wantID != "" {
					if n := len(server.times(tt.wantID, "load")); n != 6 {
						t.Errorf("%d minutes of %s, want 6", n, tt.wantID)
					}
					if got := strings.TrimSpace(readID(t, o)); got != tt.wantID {
						t.Errorf("id file holds %q, want %q", got, tt.wantID)
					}
					if got, err := idFolder(o.Config.Root).readCopy(); err != nil || got != (hostCopy{tt.wantID, tt.machine}) {
						t.Errorf("the copy holds %v, %v, want %q of this machine", got, err, tt.wantID)
					}
				} else if got := readID(t, o); got != tt.idFile {
					t.Errorf("id file holds %q, want %q as before", got, tt.idFile)
				}
				equal(t, "statuses", server.statuses, tt.wantStatus)
				if !strings.Contains(log.String(), tt.wantLog) {
					t.Errorf("log has no %q:\n%s", tt.wantLog, log)
				}
			})
		})
	}
}

func TestRegistrationNeverGivesUp(t *testing.T) {
	for name, err := range map[string]error{
		"no network":    networkError(),
		"a refused key": apiError(401),
		"a bad request": apiError(400),
		"an error page": &client.Error{Status: 404},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := into(30 * time.Second)
				tries := 0
				server := &fakeServer{onCreate: func() error { tries++; return err }}
				o, log := options(t, server, &fakeSource{name: "load"})
				stop := start(t, o)
				time.Sleep(3 * time.Hour)
				server.set(func() {
					server.onCreate = nil
					if tries < 36 || tries > 100 {
						t.Errorf("%d tries in 3 hours, want one every 5 minutes at the end", tries)
					}
				})
				time.Sleep(6 * time.Minute)
				now := saba.Minute(time.Now().Unix())
				equal(t, "times", server.times("host1", "load"), minutes(first, int((now-first)/60)+1))
				if n := strings.Count(log.String(), "level=WARN") + strings.Count(log.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d warnings, want 1:\n%s", n, log)
				}
				stop()
			})
		})
	}
}

func TestTheHostIsDescribedEachHourAndSoonerAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		server.put(saba.Host{ID: "h9"})
		o, _ := options(t, server, &fakeSource{name: "load"})
		o.Config.Roles = []saba.RoleName{{Service: "shop", Role: "web"}}
		if err := os.WriteFile(filepath.Join(o.Config.Root, "id"), []byte("h9"), 0o644); err != nil {
			t.Fatal(err)
		}
		stop := start(t, o)
		time.Sleep(2*time.Hour + time.Minute)
		if n := len(server.updates()); n != 3 {
			t.Errorf("%d updates in two hours, want 3: at the start and each hour", n)
		}
		server.set(func() { server.updated = nil; server.onUpdate = networkError })
		time.Sleep(time.Hour) // one fails in it
		server.set(func() { server.onUpdate = nil })
		time.Sleep(6 * time.Minute)
		if n := len(server.updates()); n != 1 {
			t.Errorf("%d updates some minutes after a failure, want 1", n)
		}
		p := server.updates()[0]
		equal(t, "roles", p.RoleFullnames, []string{"shop:web"})
		for _, part := range []string{`"agent-name":"saba-agent/` + saba.Version, `"agent-version":"` + saba.Version, `"agent-revision":"abc1234"`} {
			if !strings.Contains(string(p.Meta), part) {
				t.Errorf("meta is %s, want %s in it", p.Meta, part)
			}
		}
		stop()
	})
}

func TestAHostThatIsRetiredLaterIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, log := options(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(10 * time.Minute)
		server.set(func() {
			server.put(saba.Host{ID: "host1", RetiredAt: 7})
			server.onUpdate = func() error { return apiError(400) }
		})
		time.Sleep(time.Hour)
		n := len(server.all())
		time.Sleep(time.Hour)
		if got := len(server.all()); got != n {
			t.Errorf("%d posts after the host was found to be retired, want none", got-n)
		}
		if c := strings.Count(log.String(), "host1 was retired"); c != 1 {
			t.Errorf("%d log lines about it, want 1:\n%s", c, log)
		}
		stop()
	})
}

func TestACustomIdentifierOnceKnownIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, _ := options(t, server, &fakeSource{name: "load"})
		identifier := "i-1.ec2"
		o.Facts = func(context.Context) (collect.Facts, error) {
			return collect.Facts{Name: "vm", CustomIdentifier: identifier}, nil
		}
		stop := start(t, o)
		time.Sleep(time.Minute)
		stop()
		identifier = "" // the metadata service is silent at the next start
		stop = start(t, o)
		time.Sleep(time.Minute)
		stop()
		if got := server.updates()[len(server.updates())-1].CustomIdentifier; got != "i-1.ec2" {
			t.Errorf("the update carries the identifier %q, want the one known before", got)
		}
	})
}

func TestAFolderThatCannotBeWrittenEndsTheStart(t *testing.T) {
	o, _ := options(t, &fakeServer{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o.Config.Root = filepath.Join(file, "root")
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--root") {
		t.Errorf("Run = %v, want an error that says what to do", err)
	}
}

// A fakePlugin answers in place of a process.
func fakePlugin(o *Options, m MetricPlugin, run func(ctx context.Context, meta string) (Result, error)) {
	o.Config.Metrics = append(o.Config.Metrics, m)
	o.run = func(ctx context.Context, c Command, environ []string) (Result, error) {
		for _, kv := range environ {
			if v, ok := strings.CutPrefix(kv, metaVariable+"="); ok {
				return run(ctx, v)
			}
		}
		return Result{}, errors.New("the variable is not set")
	}
}

func TestAPluginsValuesAndDefinitionsAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		o, _ := options(t, server, &fakeSource{name: "load"})
		var label atomic.Value
		label.Store("Queue")
		fakePlugin(&o, MetricPlugin{Name: "queue"}, func(_ context.Context, meta string) (Result, error) {
			if meta == "1" {
				return Result{Stdout: []byte(`# mackerel-agent-plugin
{"graphs":{"queue":{"label":"` + label.Load().(string) + `","unit":"integer","metrics":[{"name":"ready","label":"Ready","stacked":true}]}}}`)}, nil
			}
			return Result{Stdout: []byte("queue.ready\t3\t1\n"), ExitCode: 1}, nil
		})
		stop := start(t, o)
		time.Sleep(3*time.Hour + time.Minute)
		server.set(func() {
			if len(server.defs) != 1 {
				t.Errorf("definitions were sent %d times, want once while they stay as they are", len(server.defs))
			}
		})
		label.Store("Jobs")
		time.Sleep(time.Hour)
		stop()
		if len(server.defs) != 2 {
			t.Fatalf("definitions were sent %d times, want again after a change", len(server.defs))
		}
		if d := server.defs[1][0]; d.Name != "custom.queue" || d.DisplayName != "Jobs" || d.Unit != saba.UnitInteger || d.Metrics[0] != (saba.GraphDefMetric{Name: "custom.queue.ready", DisplayName: "Ready", Stacked: true}) {
			t.Errorf("definition = %+v", d)
		}
		equal(t, "times", server.times("host1", "custom.queue.ready")[:10], minutes(first, 10))
	})
}

func TestValuesForAnotherHostWaitUntilItIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		o, _ := options(t, server, &fakeSource{name: "load"})
		fakePlugin(&o, MetricPlugin{Name: "db", CustomIdentifier: "db-1"}, func(context.Context, string) (Result, error) {
			return Result{Stdout: []byte("db.rows 3 0\n")}, nil
		})
		stop := start(t, o)
		time.Sleep(20 * time.Minute)
		equal(t, "times of this host", server.times("host1", "load"), minutes(first, 21))
		server.set(func() { server.put(saba.Host{ID: "h7", CustomIdentifier: "db-1"}) })
		time.Sleep(10 * time.Minute)
		equal(t, "times of the other", server.times("h7", "custom.db.rows"), minutes(first, 31))
		stop()
	})
}
