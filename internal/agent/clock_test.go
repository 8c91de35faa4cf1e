package agent

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
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
)

// A clockRig is a machine whose clocks go as the test says, and a server that knows the time. The value of each sample is the
// time at which it was really read.
type clockRig struct {
	began   time.Time
	skipped atomic.Int64 // ns of the time that passed while the machine did not run, besides the bubble's
	asleep  atomic.Int64 // of these, what the clock since boot has counted
	ahead   atomic.Int64 // ns by which the wall clock is
	away    atomic.Bool  // the server is
	undated atomic.Bool  // it tells no time
	server  *fakeServer
	root    string
	boot    string
	log     *logBuffer

	mu      sync.Mutex
	taken   map[int64]float64
	dropped int // points that the server answered with 200 and did not keep
}

func newClockRig(t *testing.T) *clockRig {
	return &clockRig{began: time.Now(), server: &fakeServer{}, root: t.TempDir(), boot: "boot-1", taken: map[int64]float64{}}
}

// now returns the true time.
func (r *clockRig) now() time.Time {
	return time.Now().Add(time.Duration(r.skipped.Load())).Round(0)
}

func (r *clockRig) Name() string { return "true" }

func (r *clockRig) Collect(context.Context) ([]saba.Value, error) {
	return []saba.Value{{Name: "true", Value: float64(r.now().Unix())}}, nil
}

// RoundTrip is an answer of the server.
func (r *clockRig) RoundTrip(req *http.Request) (*http.Response, error) {
	res := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}
	if !r.undated.Load() {
		res.Header.Set("Date", r.now().UTC().Format(http.TimeFormat))
	}
	return res, nil
}

// start runs the agent of the machine, over the folder that the one before left.
func (r *clockRig) start(t *testing.T) (stop func()) {
	t.Helper()
	o, log := options(t, r.server, r)
	r.log = log
	o.Volatile, o.Config.Root, o.Record = false, r.root, NewRecorder(o.Log, "", time.Now())
	o.now = func() time.Time { return r.now().Add(time.Duration(r.ahead.Load())) }
	o.boot = bootClock{r.boot, func() (time.Duration, error) {
		return time.Since(r.began) + time.Duration(r.asleep.Load()), nil
	}}
	// A socket would keep the bubble's time from passing; a file in its place is left alone.
	if err := os.WriteFile(filepath.Join(r.root, socketFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	transport := o.Record.Transport(r)
	r.server.set(func() {
		r.server.onPost = func(points []saba.Point) error {
			if r.away.Load() {
				return networkError()
			}
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://saba.example.com/api/v0/tsdb", nil)
			if err != nil {
				return err
			}
			if _, err := transport.RoundTrip(req); err != nil {
				return err
			}
			r.take(t, points)
			return nil
		}
	})
	return start(t, o)
}

// take keeps points as a server does.
func (r *clockRig) take(t *testing.T, points []saba.Point) {
	r.mu.Lock()
	defer r.mu.Unlock()
	times := map[int64]bool{}
	for _, p := range points {
		if times[p.Time] {
			t.Errorf("one request has two values for the minute %v", time.Unix(p.Time, 0).UTC())
		}
		times[p.Time] = true
		if _, ok := p.Sample.Acceptable(r.now()); !ok {
			r.dropped++
			continue
		}
		r.taken[p.Time] = p.Value
	}
}

// pass lets time pass, and the machine run.
func (r *clockRig) pass(d time.Duration) { time.Sleep(d) }

// set sets the wall clock, ahead of the true time.
func (r *clockRig) set(ahead time.Duration) { r.ahead.Store(int64(ahead)) }

// pause stops the machine for d. Its wall clock stands still, and its clock since boot too unless it counts that.
func (r *clockRig) pause(d time.Duration, counted bool) {
	r.skipped.Add(int64(d))
	if counted { // then the wall clock does, too
		r.asleep.Add(int64(d))
		return
	}
	r.ahead.Add(-int64(d))
}

// wrong returns the minutes on the server that hold a value of another minute.
func (r *clockRig) wrong() (minutes []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, value := range r.taken {
		// A start does not wait for a minute to begin: what the first turn reads may be of the minute after its stamp.
		first := int64(value) < r.began.Unix()+60 && at == saba.Minute(int64(value))-60
		if saba.Minute(int64(value)) != at && !first {
			minutes = append(minutes, at)
		}
	}
	slices.Sort(minutes)
	return minutes
}

// missing returns the minutes from first to last of which the server has nothing.
func (r *clockRig) missing(first, last int64) (minutes []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := first; at <= last; at += 60 {
		if _, ok := r.taken[at]; !ok {
			minutes = append(minutes, at)
		}
	}
	return minutes
}

// times returns Unix times for people.
func times(unix []int64) (out []string) {
	for _, t := range unix {
		out = append(out, time.Unix(t, 0).UTC().Format(time.DateTime))
	}
	return out
}

// What was collected under a wrong clock and still waits when the clock is right gets its minute.
func TestWhatWaitsGetsItsMinuteWhenTheClockIsSet(t *testing.T) {
	const decades = 30 * 365 * 24 * time.Hour
	for name, tt := range map[string]struct {
		wrong  time.Duration // how far the clock is ahead at the start
		before func(r *clockRig)
	}{
		"from the year of the epoch":               {-decades + 17*time.Second, func(*clockRig) {}},
		"an hour behind":                           {-time.Hour, func(*clockRig) {}},
		"an hour behind and some":                  {-time.Hour - 50*time.Second, func(*clockRig) {}},
		"an hour ahead":                            {time.Hour, func(*clockRig) {}},
		"years ahead":                              {decades + 31*time.Second, func(*clockRig) {}},
		"a minute and a second":                    {-61 * time.Second, func(*clockRig) {}},
		"set again, to another wrong time":         {-time.Hour, func(r *clockRig) { r.set(40*time.Minute + 5*time.Second); r.pass(20 * time.Minute) }},
		"set back and forth":                       {0, func(r *clockRig) { r.set(-2 * time.Hour); r.pass(20 * time.Minute) }},
		"with a sleep that all the clocks counted": {-time.Hour, func(r *clockRig) { r.pause(20*time.Minute, true); r.pass(10 * time.Minute) }},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart: %v", name, restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					into(10 * time.Second)
					r := newClockRig(t)
					r.set(tt.wrong)
					r.away.Store(true)
					first := saba.Minute(r.now().Unix())
					stop := r.start(t)
					r.pass(3 * time.Hour)
					slept := time.Duration(r.asleep.Load())
					asleep := r.now().Unix()
					tt.before(r)
					slept = time.Duration(r.asleep.Load()) - slept
					r.pass(25 * time.Second)
					if restart {
						stop()
						stop = r.start(t)
						r.pass(5 * time.Minute)
					}
					r.set(0)
					r.pass(5 * time.Minute)
					if n := len(r.taken); n > 0 {
						t.Fatalf("%d minutes are on a server that is away", n)
					}
					r.away.Store(false)
					r.pass(25 * time.Minute)
					last := saba.Minute(r.now().Unix())
					stop()
					missing := slices.DeleteFunc(r.missing(first, last), func(m int64) bool {
						return m > asleep-60 && m <= asleep+int64(slept/time.Second)+60 && slept > 0
					})
					if len(missing) > 0 {
						t.Errorf("minutes that are missing: %v", times(missing))
					}
					if wrong := r.wrong(); len(wrong) > 0 {
						t.Errorf("minutes with values of another: %v", times(wrong))
					}
					if r.dropped > 0 {
						t.Errorf("the server dropped %d values", r.dropped)
					}
					if !strings.Contains(r.log.String(), "get the minute in which they were") {
						t.Errorf("the log does not say so: %s", r.log)
					}
				})
			})
		}
	}
}

// Where it is not certain that the stamps are wrong, they stay.
func TestStampsStayWithoutProof(t *testing.T) {
	for name, tt := range map[string]struct {
		away  func(r *clockRig) // what happens after five minutes, while the server is away
		wrong bool              // some stamps are, and stay that
	}{
		"the server tells no time": {func(r *clockRig) {
			r.undated.Store(true)
			r.set(-2 * time.Hour)
			r.pass(20 * time.Minute)
			r.set(0)
		}, true},
		"the machine was paused, and its clock set then": {func(r *clockRig) {
			r.pass(20 * time.Minute)
			r.pause(2*time.Hour, false)
			r.set(0)
		}, false},
		"the machine was suspended": {func(r *clockRig) {
			r.pass(20 * time.Minute)
			r.pause(2*time.Hour, true)
		}, false},
		"the clock was set by less than a minute": {func(r *clockRig) {
			r.set(-29 * time.Second)
			r.pass(20 * time.Minute)
			r.set(0)
		}, false},
		"the clock was set wrong, and stays that": {func(r *clockRig) {
			r.pass(20 * time.Minute)
			r.set(5 * time.Minute)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into(10 * time.Second)
				r := newClockRig(t)
				stop := r.start(t)
				r.pass(5 * time.Minute)
				r.away.Store(true)
				tt.away(r)
				r.pass(5 * time.Minute)
				r.away.Store(false)
				r.pass(25 * time.Minute)
				stop()
				if strings.Contains(r.log.String(), "get the minute in which they were") {
					t.Errorf("stamps were moved: %s", r.log)
				}
				if n := len(r.taken); n < 50 {
					t.Errorf("%d minutes are on the server, want all", n)
				}
				if wrong := r.wrong(); len(wrong) > 0 != tt.wrong {
					t.Errorf("minutes with values of another: %v, want some: %v", times(wrong), tt.wrong)
				}
			})
		})
	}
}

// An agent that starts after the clock was set sends nothing of the time before until a server has told the time.
func TestARestartWaitsForTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(10 * time.Second)
		r := newClockRig(t)
		r.set(-time.Hour)
		r.away.Store(true)
		stop := r.start(t)
		r.pass(10*time.Minute + 20*time.Second)
		stop()
		r.set(0)
		r.away.Store(false)
		stop = r.start(t)
		r.pass(5 * time.Minute)
		stop()
		if wrong := r.wrong(); len(wrong) > 0 || len(r.taken) < 15 {
			t.Errorf("%d minutes, of which with values of another: %v", len(r.taken), times(wrong))
		}
	})
}

// After the next boot nothing is known of the clock of the one before: its stamps stay.
func TestStampsStayOverABoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(10 * time.Second)
		r := newClockRig(t)
		r.set(-time.Hour)
		r.away.Store(true)
		first := saba.Minute(r.now().Unix())
		stop := r.start(t)
		r.pass(10*time.Minute + 20*time.Second)
		stop()
		r.boot = "boot-2"
		r.set(0)
		r.away.Store(false)
		stop = r.start(t)
		r.pass(5 * time.Minute)
		stop()
		equal(t, "minutes under the clock of the boot before", r.wrong(), minutes(first-3600, 11))
	})
}

// While the clock is so far off that the server would drop everything without a word, everything waits.
func TestValuesWaitForAClockThatIsFarOff(t *testing.T) {
	for name, wrong := range map[string]time.Duration{
		"decades behind": -20 * 365 * 24 * time.Hour, "26 hours behind": -26 * time.Hour, "an hour ahead": time.Hour,
		"20 hours behind, which is too old after four": -20 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into(10 * time.Second)
				r := newClockRig(t)
				r.set(wrong)
				r.away.Store(wrong == -20*time.Hour)
				first := saba.Minute(r.now().Unix())
				stop := r.start(t)
				r.pass(6*time.Hour + 15*time.Second)
				r.away.Store(false)
				r.pass(30 * time.Minute)
				posts := len(r.server.all())
				if wrong != -20*time.Hour && posts > 3 { // the first tells the time
					t.Errorf("%d posts of values that the server drops", posts)
				}
				r.set(0)
				r.pass(30 * time.Minute)
				last := saba.Minute(r.now().Unix())
				stop()
				missing := r.missing(first, last)
				if wrong == -20*time.Hour { // what it takes, it takes under its stamp
					missing = slices.DeleteFunc(missing, func(m int64) bool { return m > first+2*3600 })
				}
				if len(missing) > 0 {
					t.Errorf("minutes that are missing: %v", times(missing))
				}
				if wrong := r.wrong(); len(wrong) > 0 && name[:2] != "20" {
					t.Errorf("minutes with values of another: %v", times(wrong))
				}
			})
		})
	}
}

// What waits for the clock is bounded by its age as ever, which the clock since boot tells.
func TestWhatWaitsForTheClockGrowsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(10 * time.Second)
		r := newClockRig(t)
		r.set(-20 * 365 * 24 * time.Hour)
		stop := r.start(t)
		r.pass(30 * time.Hour)
		r.set(0)
		r.pass(30 * time.Minute)
		stop()
		if n := len(r.taken); n < 24*60-2 || n > 24*60+35 {
			t.Errorf("%d minutes are on the server, want those of a day, and of half an hour", n)
		}
		if wrong := r.wrong(); len(wrong) > 0 {
			t.Errorf("minutes with values of another: %v", times(wrong))
		}
		if !strings.Contains(r.log.String(), "values were dropped before the server took them") {
			t.Errorf("the log does not say that values were given up: %s", r.log)
		}
	})
}

func TestJudge(t *testing.T) {
	const zero = 1_700_000_000
	stamped := func(zero, server int64) stampClock {
		return stampClock{boot: 1, zero: zero, server: server, heard: server != 0}
	}
	proved := clockView{stampClock: stamped(zero, zero), answered: true, dated: true}
	unanswered := clockView{stampClock: stamped(zero, zero)}
	undated := clockView{stampClock: stamped(zero, zero), answered: true}
	wrong := clockView{stampClock: stamped(zero, zero+100), answered: true, dated: true}
	for name, tt := range map[string]struct {
		c    stampClock
		v    clockView
		want ruling
	}{
		"nothing is known of the batch":      {stampClock{}, proved, ruling{}},
		"nothing is known of the clocks":     {stamped(zero-3600, 0), clockView{}, ruling{}},
		"another boot":                       {stampClock{boot: 2, zero: zero - 3600}, proved, ruling{}},
		"the same clock":                     {stamped(zero, 0), proved, ruling{}},
		"a minute is no jump":                {stamped(zero-60, 0), proved, ruling{}},
		"a jump that a date proves":          {stamped(zero-61, 0), proved, ruling{shift: 61, moves: true}},
		"back, too":                          {stamped(zero+3600, 0), proved, ruling{shift: -3600, moves: true}},
		"known to be wrong at the time":      {stamped(zero-3600, zero-7), proved, ruling{shift: 3600, moves: true}},
		"known to be right at the time":      {stamped(zero-3600, zero-3600), proved, ruling{}},
		"no answer yet":                      {stamped(zero-3600, 0), unanswered, ruling{shift: 3600, waits: true}},
		"no answer yet to what did not jump": {stamped(zero, 0), unanswered, ruling{}},
		"an answer without a date":           {stamped(zero-3600, 0), undated, ruling{}},
		"a date that proves the clock wrong": {stamped(zero-3600, 0), wrong, ruling{shift: 3600}},
		"and what has the same wrong clock":  {stamped(zero, 0), wrong, ruling{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(tt.c, tt.v); got != tt.want {
				t.Errorf("judge(%+v, %+v) = %+v, want %+v", tt.c, tt.v, got, tt.want)
			}
		})
	}
}

func TestMove(t *testing.T) {
	const minute = int64(1_800_000_000)
	for name, tt := range map[string]struct {
		shift, now int64
		want       int64
	}{
		"onto the grid":                         {3600, minute + 7200, minute + 3600},
		"into the minute in which it was":       {3650, minute + 7200, minute + 3600},
		"a second too early is the next minute": {3599, minute + 7200, minute + 3600},
		"back":                                  {-3601, minute + 7200, minute - 3600},
		"back, in the middle":                   {-3580, minute + 7200, minute - 3600},
		"not after now":                         {3657, minute + 3659, minute + 3600},
		"what would lie in the future stays":    {7200, minute + 3600, minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := batch{Minute: minute, Readings: []reading{{"a", saba.Sample{Time: minute}}, {"b", saba.Sample{Time: minute - 5}}, {"c", saba.Sample{Time: minute + 59}}}}
			b.move(tt.shift, tt.now)
			want := []int64{tt.want, tt.want - 5, minute + 59}
			if tt.want != minute {
				want[2] = min(tt.want+59, tt.now) // a time of its own is not in the future either
			}
			got := []int64{b.Readings[0].Time, b.Readings[1].Time, b.Readings[2].Time}
			if b.Minute != tt.want || !slices.Equal(got, want) {
				t.Errorf("minute %d, times %v, want %d, %v", b.Minute-minute, got, tt.want-minute, want)
			}
		})
	}
}

// Of two batches that come to lie on one minute, the one that was collected first counts.
func TestTwoBatchesOnOneMinute(t *testing.T) {
	hosts := newHostIDs()
	hosts.set("", "h")
	s := newSender(Options{}, nil, hosts)
	own := func(seq uint64, moved bool, names ...string) batch {
		b := batch{seq: seq, Minute: 600, moved: moved}
		for _, name := range names {
			b.Readings = append(b.Readings, reading{name, saba.Sample{Time: 600, Value: float64(seq)}})
		}
		return b
	}
	got := map[string]float64{}
	for _, p := range s.points([]batch{own(9, false, "a", "b", "d"), own(7, true, "a", "b"), own(8, true, "b", "c")}) {
		if _, ok := got[p.Name]; ok {
			t.Errorf("%s is there twice", p.Name)
		}
		got[p.Name] = p.Value
	}
	if want := map[string]float64{"a": 7, "b": 7, "c": 8, "d": 9}; !maps.Equal(got, want) {
		t.Errorf("points = %v, want %v", got, want)
	}
}

// Segments of the second version are read for ever: this one is never made anew.
func TestSpoolReadsTheSecondVersion(t *testing.T) {
	old, err := os.ReadFile(filepath.Join("testdata", "spool", "version2.seg"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), old, 0o600); err != nil {
		t.Fatal(err)
	}
	s, log := openTestSpool(t, dir, spoolOptions{})
	var clocks []stampClock
	for _, b := range s.next(math.MaxInt, anyHost) {
		clocks = append(clocks, b.clock)
	}
	equal(t, "clocks", clocks, []stampClock{
		{}, {boot: 0x0123456789abcdef, zero: spoolStart - 5000}, {boot: 0x0123456789abcdef, zero: spoolStart - 5000, server: spoolStart - 1400, heard: true},
	})
	equal(t, "numbers", numbers(t, s), []int64{2, 3, 4})
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("log = %s", log)
	}
}
