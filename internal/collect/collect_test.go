package collect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// collectorFunc is a collector of one function.
type collectorFunc func(context.Context) ([]saba.Value, error)

func (f collectorFunc) Collect(ctx context.Context) ([]saba.Value, error) { return f(ctx) }

// always is a collector that brings the same values each time.
func always(values ...saba.Value) collectorFunc {
	return func(context.Context) ([]saba.Value, error) { return values, nil }
}

func setOf(collectors ...Collector) *Set {
	s := &Set{}
	for i, c := range collectors {
		s.parts = append(s.parts, &part{name: fmt.Sprintf("part%d", i), collector: c})
	}
	return s
}

var methodCollect = regexp.MustCompile(`(?m)^func \(\w+ \*\w+\) Collect\((ctx )?context\.Context\) `)

func TestEveryCollectorIsInAll(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	sources := slices.Clone(All)
	for _, f := range families {
		sources = append(sources, Source{f.name, f.new})
	}
	for _, s := range sources {
		if slices.Contains(have, s.Name) {
			t.Errorf("%s is there twice", s.Name)
		}
		have = append(have, s.Name)
		c := s.New(Options{})
		if c == nil {
			t.Errorf("%s: New returns nil", s.Name)
		}
		// Counters that do not say so would be lost in a restart.
		v := reflect.Indirect(reflect.ValueOf(c))
		_, counts := c.(counting)
		if has := v.FieldByName("last").IsValid(); has != counts {
			t.Errorf("%s: previous readings %v, kept by Save %v", s.Name, has, counts)
		}
		if _, err := os.Stat(s.Name + ".go"); err != nil {
			t.Errorf("%s has no file of its own: %v", s.Name, err)
		}
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(f, ".go")
		if methodCollect.Match(b) && !strings.HasSuffix(f, "_test.go") && !slices.Contains(have, name) {
			t.Errorf("%s holds a collector that is neither in All nor in families", f)
		}
	}
}

func TestOneCollectorCostsOnlyItself(t *testing.T) {
	good := saba.Value{Name: "good", Value: 1}
	r := setOf(
		collectorFunc(func(context.Context) ([]saba.Value, error) { panic("index out of range") }),
		collectorFunc(func(context.Context) ([]saba.Value, error) { return nil, errBoom }),
		collectorFunc(func(context.Context) ([]saba.Value, error) { return []saba.Value{{Name: "half", Value: 2}}, errBoom }),
		always(good),
	).Collect(t.Context(), time.Minute)
	if want := []saba.Value{{Name: "half", Value: 2}, good}; !slices.Equal(r.Values, want) {
		t.Errorf("values %v, want %v", r.Values, want)
	}
	for i, want := range []string{"collect part0: panic: index out of range", "collect part1: boom", "collect part2: boom", "<nil>"} {
		if got := fmt.Sprint(r.Sources[i].Err); got != want {
			t.Errorf("source %d: error %q, want %q", i, got, want)
		}
	}
	if !errors.Is(r.Sources[1].Err, errBoom) {
		t.Errorf("the cause is lost: %v", r.Sources[1].Err)
	}
	if got := r.Sources[2].Values; got != 1 {
		t.Errorf("source 2 brought %d values, want 1", got)
	}
}

func TestWhatMayNotLeaveTheHost(t *testing.T) {
	long := strings.Repeat("x", 256)
	r := setOf(always(
		saba.Value{Name: "nan", Value: math.NaN()},
		saba.Value{Name: "inf", Value: math.Inf(1)},
		saba.Value{Name: "twice", Value: 1},
		saba.Value{Name: long, Value: 1},
		saba.Value{Name: "twice", Value: 2},
		saba.Value{Name: "fine", Value: 3},
	)).Collect(t.Context(), time.Minute)
	if want := []saba.Value{{Name: "twice", Value: 2}, {Name: "fine", Value: 3}}; !slices.Equal(r.Values, want) {
		t.Errorf("values %v, want %v", r.Values, want)
	}
	if err := r.Sources[0].Err; err == nil || !strings.Contains(err.Error(), "not a valid metric name") || len(err.Error()) > 250 {
		t.Errorf("error %v, want a short one that names the metric", err)
	}

	many := make([]saba.Value, maxValues+5)
	for i := range many {
		many[i] = saba.Value{Name: fmt.Sprintf("m%d", i)}
	}
	r = setOf(always(many...), always(saba.Value{Name: "last"})).Collect(t.Context(), time.Minute)
	if len(r.Values) != maxValues+1 || r.Sources[0].Err == nil || r.Sources[1].Err != nil {
		t.Errorf("%d values, errors %v and %v; want %d of the first collector with an error, and 1", len(r.Values), r.Sources[0].Err, r.Sources[1].Err, maxValues)
	}
}

// A collector that hangs misses the rounds that it hangs in, and nobody else does.
func TestALateCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int32
		s := setOf(collectorFunc(func(context.Context) ([]saba.Value, error) {
			calls.Add(1)
			<-release
			return []saba.Value{{Name: "slow"}}, nil
		}), always(saba.Value{Name: "fast"}))

		start := time.Now()
		r := s.Collect(t.Context(), 5*time.Second)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("the round took %v, want its limit of 5s", took)
		}
		if len(r.Values) != 1 || r.Values[0].Name != "fast" {
			t.Errorf("values %v, want fast alone", r.Values)
		}
		if err := r.Sources[0].Err; err == nil || err.Error() != "collect part0: no answer within 5s: context deadline exceeded" {
			t.Errorf("error %v", err)
		}
		if d := r.Sources[0].Duration; d != 5*time.Second {
			t.Errorf("duration %v, want the 5s that it was waited for", d)
		}

		start = time.Now()
		r = s.Collect(t.Context(), 5*time.Second)
		if took := time.Since(start); took != 0 || len(r.Values) != 1 || calls.Load() != 1 {
			t.Errorf("while it hangs: the round took %v, values %v, %d calls; want 0s, fast alone, 1 call", took, r.Values, calls.Load())
		}
		if err := r.Sources[0].Err; err == nil || err.Error() != "collect part0: still running since an earlier turn" {
			t.Errorf("error %v", err)
		}

		close(release)
		synctest.Wait()
		if r = s.Collect(t.Context(), 5*time.Second); len(r.Values) != 2 || calls.Load() != 2 {
			t.Errorf("after it came back: values %v, %d calls; want both, 2 calls", r.Values, calls.Load())
		}
	})
}

func TestACancelledRoundReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		r := setOf(collectorFunc(func(ctx context.Context) ([]saba.Value, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}), always(saba.Value{Name: "there"})).Collect(ctx, time.Minute)
		if took := time.Since(start); took != time.Second || len(r.Values) != 1 {
			t.Errorf("took %v with values %v, want 1s and what was there", took, r.Values)
		}
	})
}

func TestSanitise(t *testing.T) {
	for in, want := range map[string]string{
		"abc*defあ.ggg":   "abc_def__ggg", // one underscore a character, not a byte
		"mapper/vg-root": "mapper_vg-root",
		"/":              "_",
		"/var/log":       "_var_log",
		"eth0.100":       "eth0_100",
		"nvme0n1p1":      "nvme0n1p1",
		"a\xffb":         "a_b",
		"":               "",
	} {
		if got := sanitise(in); got != want {
			t.Errorf("sanitise(%q) = %q, want %q", in, got, want)
		}
	}
}
