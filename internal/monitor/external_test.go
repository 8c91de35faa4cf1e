package monitor

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

func TestExternalIsJudgedByAnswerAndHistory(t *testing.T) {
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	ok := probed{At: at.Unix(), Status: 200, Body: []byte("open")}
	within := func(d time.Duration) probed { p := ok; p.Expires, p.Host = at.Add(d), "shop.example"; return p }
	slow := func(warning, critical float64, n int64) saba.Monitor {
		return saba.Monitor{MaxCheckAttempts: 1, ResponseTimeWarning: &warning, ResponseTimeCritical: &critical, ResponseTimeDuration: &n}
	}
	cert := func(warning, critical int64) saba.Monitor {
		return saba.Monitor{MaxCheckAttempts: 1, CertificationExpirationWarning: &warning, CertificationExpirationCritical: &critical}
	}
	both := slow(100, 200, 1)
	both.CertificationExpirationWarning = new(int64(30))
	gone := slow(100, 200, 1)
	gone.ContainsString = "closed"
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		m     saba.Monitor
		p     probed
		times []float64
		bad   int64
		want  string // status, message, value, firm
	}{
		"well":                              {saba.Monitor{MaxCheckAttempts: 1}, ok, nil, 0, "OK 200 - false"},
		"on the limit of time":              {slow(100, 200, 1), ok, []float64{100}, 0, "OK 200 100 false"},
		"beyond the warning":                {slow(100, 200, 1), ok, []float64{100.5}, 0, "WARNING response time 100.5 ms > 100 ms (status 200) 100.5 true"},
		"beyond both":                       {slow(100, 200, 1), ok, []float64{300}, 0, "CRITICAL response time 300 ms > 200 ms (status 200) 300 true"},
		"the mean of the last points":       {slow(100, 200, 3), ok, []float64{9000, 0, 0, 330}, 0, "WARNING response time 110 ms > 100 ms (status 200) 110 true"},
		"too few points":                    {slow(100, 200, 3), ok, []float64{900, 900}, 0, "OK 200 - false"},
		"no points":                         {slow(100, 200, 1), ok, nil, 0, "OK 200 - false"},
		"a failure has no time":             {slow(100, 200, 1), probed{Failure: "timeout"}, []float64{1}, 0, "CRITICAL timeout - true"},
		"a bad answer is bad, fast or slow": {gone, ok, []float64{150}, 0, `CRITICAL "closed" is not in the answer (status 200) 150 true`},
		"days that are left":                {cert(30, 7), within(31 * day), nil, 0, "OK 200 - false"},
		"as many as the limit":              {cert(30, 7), within(30 * day), nil, 0, "OK 200 - false"},
		"a second fewer":                    {cert(30, 7), within(30*day - time.Second), nil, 0, "WARNING the certificate of shop.example expires in 29 days, on 2026-04-09 11:59 UTC (status 200) - true"},
		"very few":                          {cert(30, 7), within(36 * time.Hour), nil, 0, "CRITICAL the certificate of shop.example expires in 1 day, on 2026-03-12 00:00 UTC (status 200) - true"},
		"today":                             {cert(30, 7), within(time.Hour), nil, 0, "CRITICAL the certificate of shop.example expires in 0 days, on 2026-03-10 13:00 UTC (status 200) - true"},
		"none":                              {cert(0, 0), within(-time.Hour), nil, 0, "CRITICAL the certificate of shop.example expired on 2026-03-10 11:00 UTC (status 200) - true"},
		"without TLS":                       {cert(30, 7), ok, nil, 0, "OK 200 - false"},
		"slow and soon to end":              {both, within(day), []float64{300}, 0, "CRITICAL response time 300 ms > 200 ms (status 200); the certificate of shop.example expires in 1 day, on 2026-03-11 12:00 UTC (status 200) 300 true"},
		"one of three":                      {saba.Monitor{MaxCheckAttempts: 3}, probed{Failure: "x"}, nil, 0, "CRITICAL x - false"},
		"two of three":                      {saba.Monitor{MaxCheckAttempts: 3}, probed{Failure: "x"}, nil, 1, "CRITICAL x - false"},
		"three of three":                    {saba.Monitor{MaxCheckAttempts: 3}, probed{Failure: "x"}, nil, 2, "CRITICAL x - true"},
	} {
		t.Run(name, func(t *testing.T) {
			j := external(&tt.m, tt.p, tt.times, tt.bad)
			value := "-"
			if j.Value != nil {
				value = saba.FormatValue(*j.Value)
			}
			if got := fmt.Sprintf("%s %s %s %v", j.Status, j.Message, value, j.Firm); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// externalsOf returns n monitors, and what asks their endpoints by a function of ours.
func externalsOf(n int, ask func(ctx context.Context, m *saba.Monitor) probed) (*externals, []saba.Monitor) {
	x := &externals{ask: ask, turns: make(chan struct{}, externalsAtOnce)}
	var monitors []saba.Monitor
	for i := range n {
		monitors = append(monitors, saba.Monitor{ID: fmt.Sprint("m", i), Type: saba.MonitorExternal})
	}
	return x, monitors
}

// rounds lets rounds begin for a time, as Run does, and hands what they take to each.
func rounds(ctx context.Context, x *externals, monitors *[]saba.Monitor, length time.Duration, each func(answer)) (late int) {
	for range length / interval {
		late += x.begin(ctx, *monitors, time.Now, interval)
		for _, a := range x.take() {
			if each != nil {
				each(a)
			}
		}
		time.Sleep(interval)
	}
	return late
}

// Each endpoint is asked once a minute, at its own second, and they are spread over the minute.
func TestEndpointsAreAskedOnceAMinuteAtASecondOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string][]time.Time{}
		seconds := map[int]int{}
		var mu sync.Mutex
		x, monitors := externalsOf(600, func(_ context.Context, m *saba.Monitor) probed {
			mu.Lock()
			defer mu.Unlock()
			asked[m.ID] = append(asked[m.ID], time.Now())
			seconds[time.Now().Second()]++
			return probed{Status: 200}
		})
		time.Sleep(3700 * time.Millisecond) // rounds are not on the second
		rounds(t.Context(), x, &monitors, 5*time.Minute, nil)
		x.asking.Wait()
		for _, m := range monitors {
			times := asked[m.ID]
			if n := len(times); n != 5 {
				t.Errorf("%s was asked %d times in 5 minutes", m.ID, n)
			}
			for i := 1; i < len(times); i++ {
				if d := times[i].Sub(times[i-1]); d != time.Minute {
					t.Errorf("%s was asked after %v", m.ID, d)
				}
			}
		}
		for s := range 60 {
			if n := seconds[s] / 5; n > 600/60*3 {
				t.Errorf("in second %d of a minute %d of 600 are asked", s, n)
			}
		}
	})
}

// One that does not answer delays neither the round nor the others, and is not asked twice at once.
func TestASlowEndpointDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow, most atomic.Int64 // of one endpoint
		x, monitors := externalsOf(50, func(ctx context.Context, m *saba.Monitor) probed {
			if m.ID == "m0" {
				most.Store(max(most.Load(), slow.Add(1)))
				time.Sleep(100 * time.Second) // longer than any can, so that its next turn comes meanwhile
				slow.Add(-1)
			}
			return probed{Status: 200}
		})
		start, got := time.Now(), map[string]int{}
		late := rounds(t.Context(), x, &monitors, 4*time.Minute, func(a answer) { got[a.endpoint.monitor.ID]++ })
		if d := time.Since(start); d != 4*time.Minute {
			t.Errorf("the rounds of 4 minutes took %v", d)
		}
		for _, m := range monitors[1:] {
			if got[m.ID] < 3 {
				t.Errorf("%s answered %d times in 4 minutes", m.ID, got[m.ID])
			}
		}
		if most.Load() != 1 || late == 0 {
			t.Errorf("the slow one was asked %d times at once, and was late %d times", most.Load(), late)
		}
		x.asking.Wait()
	})
}

func TestNotTooManyAreAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = externalsAtOnce + 100
		var mu sync.Mutex
		var now, most, all int
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			now += by
			most, all = max(most, now), all+max(by, 0)
		}
		x, monitors := externalsOf(n, func(context.Context, *saba.Monitor) probed {
			count(1)
			defer count(-1)
			time.Sleep(time.Second)
			return probed{Failure: "timeout"}
		})
		x.known = map[string]*endpoint{} // not the first round: all are new, and asked at once
		x.begin(t.Context(), monitors, time.Now, 0)
		x.asking.Wait()
		if most != externalsAtOnce || all != n {
			t.Errorf("%d were asked at once, of %d, want %d of %d", most, all, externalsAtOnce, n)
		}
	})
}

// What a restart finds may have been asked in this minute by the process before.
func TestARestartAsksNobodyTwiceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string][]time.Time{}
		var mu sync.Mutex
		ask := func(_ context.Context, m *saba.Monitor) probed {
			mu.Lock()
			defer mu.Unlock()
			asked[m.ID] = append(asked[m.ID], time.Now())
			return probed{Status: 200}
		}
		for range 12 { // restarts, each after 25 s
			x, monitors := externalsOf(20, ask)
			ctx, stop := context.WithCancel(t.Context())
			rounds(ctx, x, &monitors, 20*time.Second, nil)
			time.Sleep(5 * time.Second)
			stop()
			x.asking.Wait()
		}
		for id, times := range asked {
			for i := 1; i < len(times); i++ {
				if d := times[i].Sub(times[i-1]); d < time.Minute {
					t.Errorf("%s was asked after %v", id, d)
				}
			}
		}
		if len(asked) == 0 {
			t.Error("nobody was asked")
		}
	})
}

func TestNewAndChangedMonitorsAreAskedSoonAndOldAnswersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		x, monitors := externalsOf(1, func(_ context.Context, m *saba.Monitor) probed {
			mu.Lock()
			asked[m.URL]++
			mu.Unlock()
			time.Sleep(15 * time.Second)
			return probed{Status: 200}
		})
		times := func(url string) int {
			mu.Lock()
			defer mu.Unlock()
			return asked[url]
		}
		monitors[0].URL = "first"
		got := map[string]int{}
		take := func(a answer) { got[a.endpoint.monitor.URL]++ }
		rounds(t.Context(), x, &monitors, 2*time.Minute, take)
		for times("first") < 3 { // until it is being asked
			rounds(t.Context(), x, &monitors, interval, take)
		}
		before := got["first"]
		monitors[0].URL = "second"
		monitors = append(monitors, saba.Monitor{ID: "new", Type: saba.MonitorExternal, URL: "new"})
		rounds(t.Context(), x, &monitors, 2*interval, take)
		if second, fresh := times("second"), times("new"); second == 0 || fresh == 0 {
			t.Errorf("within two rounds the changed one was asked %d times and the new one %d times, want each", second, fresh)
		}
		rounds(t.Context(), x, &monitors, 3*interval, take)
		if got["second"] == 0 || got["new"] == 0 || got["first"] != before { // a second of their own may come in between
			t.Errorf("answers were taken: %v, of the first %d before", got, before)
		}
		monitors = monitors[:1] // the new one is deleted
		deleted := got["new"]
		rounds(t.Context(), x, &monitors, 3*time.Minute, take)
		if got["new"] != deleted {
			t.Error("an answer of a deleted monitor was taken")
		}
		x.asking.Wait()
	})
}

// A new one is asked at once, and again when its second comes, however soon that is.
func TestTheFirstTurnsOfNewMonitorsAreNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, monitors := externalsOf(60, func(context.Context, *saba.Monitor) probed { return probed{Status: 200} })
		none := []saba.Monitor{}
		rounds(t.Context(), x, &none, interval, nil)
		if late := rounds(t.Context(), x, &monitors, 2*time.Minute, nil); late != 0 {
			t.Errorf("%d were late, and nobody is slow", late)
		}
		x.asking.Wait()
	})
}

// A clock that is set asks nobody twice in a minute by a little, and everybody goes on when it is set back by far.
func TestAClockThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		x, monitors := externalsOf(1, func(context.Context, *saba.Monitor) probed { asked++; return probed{} })
		shift := time.Duration(0)
		begin := func() int {
			x.begin(t.Context(), monitors, func() time.Time { return time.Now().Add(shift) }, 0)
			x.asking.Wait()
			x.take()
			return asked
		}
		begin()
		time.Sleep(time.Minute)
		if n := begin(); n != 1 {
			t.Fatalf("asked %d times, want once", n)
		}
		for _, s := range []struct {
			shift time.Duration
			want  int
		}{{-time.Minute, 1}, {0, 1}, {-time.Hour, 2}, {-time.Hour, 2}, {time.Hour, 3}, {time.Hour, 3}} {
			if shift = s.shift; begin() != s.want {
				t.Errorf("set by %v: asked %d times, want %d", s.shift, asked, s.want)
			}
		}
	})
}

// Those that are being asked when the server stops are let go, and what they come to by that is no judgement.
func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, monitors := externalsOf(300, func(ctx context.Context, _ *saba.Monitor) probed {
			<-ctx.Done()
			return probed{Failure: "canceled"}
		})
		ctx, stop := context.WithCancel(t.Context())
		rounds(ctx, x, &monitors, time.Minute, nil)
		start := time.Now()
		stop()
		x.asking.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v to stop", d)
		}
		if got := x.take(); len(got) != 0 {
			t.Errorf("%d answers were taken", len(got))
		}
		// The same endpoints can be asked again.
		x.ask = func(context.Context, *saba.Monitor) probed { return probed{Status: 200} }
		var again []string
		rounds(t.Context(), x, &monitors, 2*time.Minute, func(a answer) { again = append(again, a.endpoint.monitor.ID) })
		slices.Sort(again)
		if n := len(slices.Compact(again)); n != len(monitors) {
			t.Errorf("%d were asked again, want all: %s", n, strings.Join(again[:min(3, len(again))], " "))
		}
		x.asking.Wait()
	})
}

// records are a store of one external monitor, whose alerts are kept as words.
type records struct {
	Store
	monitors []saba.Monitor
	opened   []string
}

func (r *records) Monitors(context.Context, string) ([]saba.Monitor, error)          { return r.monitors, nil }
func (*records) Hosts(context.Context, string, saba.HostFilter) ([]saba.Host, error) { return nil, nil }
func (*records) Services(context.Context, string) ([]saba.Service, error)            { return nil, nil }
func (*records) Downtimes(context.Context, string) ([]saba.Downtime, error)          { return nil, nil }
func (*records) Alerts(context.Context, string, saba.AlertPage) ([]saba.Alert, error) {
	return nil, nil
}
func (*records) DeferredChecks(context.Context, string) ([]saba.Check, error) { return nil, nil }
func (r *records) OpenAlert(_ context.Context, _ string, a saba.Alert, _ *saba.AlertDetail) error {
	r.opened = append(r.opened, fmt.Sprint(a.Monitor, " ", a.Status, " ", a.Message))
	return nil
}

// Run asks endpoints beside its rounds, judges what they answer, and waits at its end for those that are being asked.
func TestRunAsksBesideItsRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, monitors := externalsOf(2, nil)
		for i := range monitors {
			monitors[i].Default()
		}
		kept := &records{monitors: monitors}
		e := New(Options{Org: "org", Store: kept, Zone: time.UTC, Now: time.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
		var asking atomic.Int64
		e.externals.ask = func(ctx context.Context, m *saba.Monitor) probed {
			asking.Add(1)
			defer asking.Add(-1)
			if m.ID == "m0" {
				<-ctx.Done() // it never answers
				time.Sleep(time.Second)
			}
			return probed{Status: 503}
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.Run(ctx)
		}()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if asking.Load() != 1 {
			t.Errorf("%d are being asked, want the one that does not answer", asking.Load())
		}
		if len(kept.opened) == 0 || kept.opened[0] != "m1 CRITICAL 503" {
			t.Errorf("opened were %q", kept.opened)
		}
		stop()
		<-done
		if asking.Load() != 0 {
			t.Error("Run has returned, and one is being asked still")
		}
	})
}
