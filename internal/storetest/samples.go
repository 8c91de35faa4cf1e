package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// Samples is an engine that keeps samples.
type Samples interface {
	Append(ctx context.Context, now time.Time, points []saba.Point) (saba.Drops, error)
	Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error)
	Latest(s saba.Series) (saba.Sample, bool)
	LastSeen(org, host string) (int64, bool)
	Heard(org, host string) (int64, bool)
	HostNames(ctx context.Context, org, host string) ([]string, error)
	ServiceNames(ctx context.Context, org, service string) ([]string, error)
	Close() error
}

// start is a full minute at which most tests begin, in Unix seconds. It is no full two hours, at
// which engines like to begin their blocks.
const start = 1_768_478_400 + 47*60

// TestSamples runs the contract of sample storage against one engine. open opens the engine on
// the data in dir, an empty folder at first; tests close what they open and open it again.
func TestSamples(t *testing.T, open func(t *testing.T, dir string) Samples) {
	t.Run("a minute holds one sample, the last one written", func(t *testing.T) { testMinutes(t, open) })
	t.Run("a bad point costs only itself", func(t *testing.T) { testDrops(t, open) })
	t.Run("late points are sorted in", func(t *testing.T) { testLate(t, open) })
	t.Run("rewrites win wherever their minute has gone", func(t *testing.T) { testRewriteOld(t, open) })
	t.Run("a minute takes a thousand rewrites", func(t *testing.T) { testManyRewrites(t, open) })
	t.Run("a range holds its ends", func(t *testing.T) { testRange(t, open) })
	t.Run("an unknown series has no samples", func(t *testing.T) { testUnknown(t, open) })
	t.Run("organizations do not see each other", func(t *testing.T) { testOrgs(t, open) })
	t.Run("hosts and services have the names that were written", func(t *testing.T) { testNames(t, open) })
	t.Run("the newest sample survives a restart", func(t *testing.T) { testLatest(t, open) })
	t.Run("appending and reading at once", func(t *testing.T) { testConcurrent(t, open) })
	t.Run("an append that is given up or comes too late fails", func(t *testing.T) { testGivenUp(t, open) })
}

// A bench holds one engine and opens it again.
type bench struct {
	*testing.T
	dir  string
	open func(t *testing.T, dir string) Samples
	Samples
}

func begin(t *testing.T, open func(t *testing.T, dir string) Samples) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir(), open: open}
	b.Samples = open(t, b.dir)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return b
}

// restart closes the engine and opens it again.
func (b *bench) restart() {
	b.Helper()
	if err := b.Close(); err != nil {
		b.Fatalf("Close() = %v", err)
	}
	b.Samples = b.open(b.T, b.dir)
}

// put appends points at now (Unix seconds) and wants exactly the drops in want.
func (b *bench) put(now int64, want saba.Drops, points ...saba.Point) {
	b.Helper()
	drops, err := b.Append(b.Context(), time.Unix(now, 0), points)
	if err != nil {
		b.Fatalf("Append(%v) = %v", points, err)
	}
	if !maps.Equal(drops, want) {
		b.Errorf("Append(%v) dropped %v, want %v", points, drops, want)
	}
}

// want compares all samples of a series.
func (b *bench) want(s saba.Series, want ...saba.Sample) {
	b.Helper()
	got, err := b.Range(b.Context(), []saba.Series{s}, 0, math.MaxInt64)
	if err != nil {
		b.Fatalf("Range(%v) = %v", s, err)
	}
	for i := range max(len(got[0]), len(want)) {
		if i >= len(got[0]) || i >= len(want) || got[0][i] != want[i] {
			b.Errorf("Range(%v) = %d samples, want %d; from sample %d on %v, want %v", s, len(got[0]), len(want), i,
				few(got[0], i), few(want, i))
			return
		}
	}
}

// few returns the samples from i on, three at most: enough to read.
func few(s []saba.Sample, i int) []saba.Sample {
	i = min(i, len(s))
	return s[i:min(i+3, len(s))]
}

func host(name string) saba.Series { return saba.Series{Org: "o", Host: "h", Name: name} }

func at(s saba.Series, t int64, v float64) saba.Point {
	return saba.Point{Series: s, Sample: saba.Sample{Time: t, Value: v}}
}

func testMinutes(t *testing.T, open func(*testing.T, string) Samples) {
	x := host("x")
	for name, tt := range map[string]struct {
		batches [][]saba.Point
		want    []saba.Sample
	}{
		"times are floored to the minute": {
			[][]saba.Point{{at(x, start+59, 1)}, {at(x, start+60, 2)}},
			[]saba.Sample{{Time: start, Value: 1}, {Time: start + 60, Value: 2}},
		},
		"the same point again is stored once": {
			[][]saba.Point{{at(x, start, 1)}, {at(x, start, 1)}, {at(x, start+7, 1)}},
			[]saba.Sample{{Time: start, Value: 1}},
		},
		"a rewrite of the newest minute wins": {
			[][]saba.Point{{at(x, start, 1)}, {at(x, start, 2)}},
			[]saba.Sample{{Time: start, Value: 2}},
		},
		"a rewrite within one batch wins": {
			[][]saba.Point{{at(x, start, 1), at(x, start+3, 2), at(x, start+1, 3)}},
			[]saba.Sample{{Time: start, Value: 3}},
		},
		"a rewrite back to the first value wins": {
			[][]saba.Point{{at(x, start, 1)}, {at(x, start, 2)}, {at(x, start, 1)}},
			[]saba.Sample{{Time: start, Value: 1}},
		},
		"a rewrite of an older minute wins": {
			[][]saba.Point{{at(x, start, 1)}, {at(x, start+60, 2)}, {at(x, start, 3)}},
			[]saba.Sample{{Time: start, Value: 3}, {Time: start + 60, Value: 2}},
		},
		"a late rewrite back to the first value wins": {
			[][]saba.Point{{at(x, start, 1)}, {at(x, start+60, 2)}, {at(x, start, 3)}, {at(x, start, 1)}},
			[]saba.Sample{{Time: start, Value: 1}, {Time: start + 60, Value: 2}},
		},
		"a late minute is rewritten twice in one batch": {
			[][]saba.Point{{at(x, start+60, 2)}, {at(x, start, 3), at(x, start, 4), at(x, start, 5)}, {at(x, start, 6)}},
			[]saba.Sample{{Time: start, Value: 6}, {Time: start + 60, Value: 2}},
		},
		"one batch holds minutes in any order": {
			[][]saba.Point{{at(x, start+120, 3), at(x, start, 1), at(x, start+60, 2), at(x, start, 4)}},
			[]saba.Sample{{Time: start, Value: 4}, {Time: start + 60, Value: 2}, {Time: start + 120, Value: 3}},
		},
		"minus zero is not zero": {
			[][]saba.Point{{at(x, start, 0)}, {at(x, start, math.Copysign(0, -1))}},
			[]saba.Sample{{Time: start, Value: math.Copysign(0, -1)}},
		},
		"values are exact": {
			[][]saba.Point{{at(x, start, math.MaxFloat64), at(x, start+60, math.SmallestNonzeroFloat64), at(x, start+120, 0.1)}},
			[]saba.Sample{{Time: start, Value: math.MaxFloat64}, {Time: start + 60, Value: math.SmallestNonzeroFloat64}, {Time: start + 120, Value: 0.1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := begin(t, open)
			for _, points := range tt.batches {
				b.put(start+180, nil, points...)
			}
			b.want(x, tt.want...)
			b.restart()
			b.want(x, tt.want...)
		})
	}
}

func testDrops(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	x, y := host("x"), host("y")
	const now = start + 30
	b.put(now, saba.Drops{
		saba.DropNotFinite: 3, saba.DropTooNew: 3, saba.DropTooOld: 2, saba.DropBadName: 3, saba.DropBadPoint: 3,
	},
		at(x, start, 1),
		at(y, start, math.NaN()), at(y, start, math.Inf(1)), at(y, start, math.Inf(-1)),
		at(y, now+601, 1), at(y, now+30*24*3600, 1), at(y, math.MaxInt64, 1),
		at(y, now-24*3600-1, 1), at(y, math.MinInt64, 1),
		at(host("späť"), start, 1), at(host(""), start, 1), at(host("a b"), start, 1),
		at(saba.Series{Org: "o", Name: "x"}, start, 1), at(saba.Series{Host: "h", Name: "x"}, start, 1),
		at(saba.Series{Org: "o", Host: "h", Service: "s", Name: "x"}, start, 1),
		at(y, start, 2),
		at(x, start+60, 3),
	)
	// None of them made present points "too old", nor left a trace.
	b.put(now+60, nil, at(x, start+120, 4), at(y, start+60, 5))
	b.want(x, saba.Sample{Time: start, Value: 1}, saba.Sample{Time: start + 60, Value: 3}, saba.Sample{Time: start + 120, Value: 4})
	b.want(y, saba.Sample{Time: start, Value: 2}, saba.Sample{Time: start + 60, Value: 5})
	if got, err := b.HostNames(t.Context(), "o", "h"); err != nil || !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("HostNames() = %v, %v; want x and y", got, err)
	}
}

// testLate interleaves present points with those that two agents kept for a day, one sending the
// oldest first and one the newest first.
func testLate(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	x, y, z := host("x"), host("y"), saba.Series{Org: "o", Host: "h2", Name: "z"}
	const (
		minutes = 11 * 60
		oldest  = start - (24*60-1)*60 // of z, as it comes back
	)
	b.put(start, nil, at(x, start, 0), at(y, start, 0))
	var wantX, wantY, wantZ []saba.Sample
	for i := int64(1); i < minutes; i++ {
		now := start + i*60 + 5
		points := []saba.Point{at(x, now, float64(i))}
		if i%16 == 0 { // sixteen minutes a batch
			for k := range int64(16) {
				late := i - 16 + k
				points = append(points, at(y, start-late*60, float64(late)), at(z, oldest+(late+i)*60, float64(late)))
			}
		}
		b.put(now, nil, points...)
	}
	for i := range int64(minutes) {
		wantX = append(wantX, saba.Sample{Time: start + i*60, Value: float64(i)})
	}
	const sent = (minutes - 1) / 16 * 16
	for i := int64(sent - 1); i >= 0; i-- {
		wantY = append(wantY, saba.Sample{Time: start - i*60, Value: float64(i)})
	}
	zs := map[int64]float64{}
	for i := int64(16); i < minutes; i += 16 {
		for k := range int64(16) {
			zs[oldest+(i-16+k+i)*60] = float64(i - 16 + k)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(zs)) {
		wantZ = append(wantZ, saba.Sample{Time: at, Value: zs[at]})
	}
	check := func() {
		b.Helper()
		b.want(x, wantX...)
		b.want(y, wantY...)
		b.want(z, wantZ...)
	}
	check()
	b.restart()
	check()
	// The oldest that is accepted at all, at the second.
	const now = start + minutes*60 + 37
	b.put(now, nil, at(host("w"), now-24*3600, 7))
	b.want(host("w"), saba.Sample{Time: saba.Minute(now - 24*3600), Value: 7})
}

// testRewriteOld writes a day of minutes and rewrites some of each age: those are in the head, in
// finished chunks, and in the blocks of an engine that has blocks.
func testRewriteOld(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	x := host("x")
	const minutes = 23 * 60
	var want []saba.Sample
	var points []saba.Point
	for i := range int64(minutes) {
		points = append(points, at(x, start+i*60, float64(i)))
		want = append(want, saba.Sample{Time: start + i*60, Value: float64(i)})
		if len(points) == 20 {
			b.put(start+i*60, nil, points...)
			points = nil
		}
	}
	const now = start + minutes*60
	for round := 1; round <= 3; round++ {
		points = nil
		for i := int64(round); i < minutes; i += 97 {
			want[i].Value = -float64(i) - float64(round)/10
			points = append(points, at(x, start+i*60, want[i].Value+1000), at(x, start+i*60, want[i].Value))
			want[i-1].Value = float64(round) // older than what this batch has written
			points = append(points, at(x, start+(i-1)*60, float64(round)))
		}
		b.put(now, nil, points...)
		b.put(now, nil, points...) // and all of it again
		b.want(x, want...)
		b.restart()
		b.want(x, want...)
	}
}

func testManyRewrites(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	x, y := host("x"), host("y")
	b.put(start, nil, at(y, start+60, 0))
	var points []saba.Point
	for i := range 1000 {
		points = append(points, at(x, start, float64(i)), at(y, start, float64(i)))
		if i%50 == 49 {
			b.put(start, nil, points...)
			points = nil
		}
	}
	b.put(start+60, nil, at(x, start+60, 1)) // the minute after it is untouched
	b.want(x, saba.Sample{Time: start, Value: 999}, saba.Sample{Time: start + 60, Value: 1})
	b.want(y, saba.Sample{Time: start, Value: 999}, saba.Sample{Time: start + 60, Value: 0})
}

func testRange(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	x := host("x")
	for i := range int64(5) {
		b.put(start+i*60, nil, at(x, start+i*60+30, float64(i)))
	}
	b.put(start+300, nil, at(x, start+240, 9)) // the rewrite of a minute at the end of a range
	for name, tt := range map[string]struct {
		from, to int64
		first, n int64
	}{
		"both ends are in":               {start + 60, start + 180, 1, 3},
		"one second short of a minute":   {start + 1, start + 59, 0, 0},
		"from within a minute":           {start + 1, start + 60, 1, 1},
		"to within a minute":             {start, start + 119, 0, 2},
		"one minute":                     {start + 240, start + 240, 4, 1},
		"backwards":                      {start + 180, start + 60, 0, 0},
		"the whole of time":              {math.MinInt64, math.MaxInt64, 0, 5},
		"before everything":              {math.MinInt64, start - 1, 0, 0},
		"after everything":               {start + 241, math.MaxInt64, 0, 0},
		"from before until in the midst": {0, start + 60, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Range(t.Context(), []saba.Series{x}, tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			var want []saba.Sample
			for i := tt.first; i < tt.first+tt.n; i++ {
				v := float64(i)
				if i == 4 {
					v = 9
				}
				want = append(want, saba.Sample{Time: start + i*60, Value: v})
			}
			if len(got) != 1 || !slices.Equal(got[0], want) {
				t.Errorf("Range(%d, %d) = %v, want %v", tt.from, tt.to, got, want)
			}
		})
	}
	t.Run("series in any number and order", func(t *testing.T) {
		var ask []saba.Series
		for i := range 200 { // hosts × names
			s := saba.Series{Org: "o", Host: fmt.Sprintf("h%d", i%20), Name: fmt.Sprintf("m.%d", i/20)}
			b.put(start, nil, at(s, start, float64(i)))
			ask = append(ask, s)
		}
		s := saba.Series{Org: "o", Service: "h1", Name: "m.1"} // a service called like a host
		b.put(start, nil, at(s, start, -1))
		ask = append(ask, s, x, ask[7], saba.Series{}, host("none"))
		got, err := b.Range(t.Context(), ask, start, start)
		if err != nil {
			t.Fatal(err)
		}
		want := make([][]saba.Sample, 200, len(ask))
		for i := range want {
			want[i] = []saba.Sample{{Time: start, Value: float64(i)}}
		}
		want = append(want, []saba.Sample{{Time: start, Value: -1}}, []saba.Sample{{Time: start, Value: 0}}, want[7], nil, nil)
		if !slices.EqualFunc(got, want, slices.Equal[[]saba.Sample]) {
			t.Errorf("Range of %d series = %v, want %v", len(ask), got, want)
		}
		if one, err := b.Range(t.Context(), ask[:20], start, start); err != nil || !slices.EqualFunc(one, want[:20], slices.Equal[[]saba.Sample]) {
			t.Errorf("Range of one name of 20 hosts = %v, %v; want %v", one, err, want[:20])
		}
	})
}

func testUnknown(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	b.want(host("x"))
	b.put(start, nil, at(host("x"), start, 1))
	for _, s := range []saba.Series{{}, {Org: "o"}, {Org: "o", Host: "h"}, {Org: "o", Name: "x"}, host("y"), {Org: "o", Service: "h", Name: "x"}, {Host: "h", Name: "x"}} {
		got, err := b.Range(t.Context(), []saba.Series{s}, 0, math.MaxInt64)
		if err != nil || len(got) != 1 || got[0] != nil {
			t.Errorf("Range(%v) = %v, %v; want nil", s, got, err)
		}
		if got, ok := b.Latest(s); ok {
			t.Errorf("Latest(%v) = %v, want none", s, got)
		}
	}
	if got, ok := b.LastSeen("o", "other"); ok {
		t.Errorf("LastSeen of an unknown host = %v, want none", got)
	}
	if got, err := b.Range(t.Context(), nil, 0, 1); err != nil || len(got) != 0 {
		t.Errorf("Range of nothing = %v, %v", got, err)
	}
	for _, org := range []string{"", "o"} {
		for _, owner := range []string{"", "other"} {
			h, err1 := b.HostNames(t.Context(), org, owner)
			s, err2 := b.ServiceNames(t.Context(), org, owner)
			if len(h)+len(s) != 0 || err1 != nil || err2 != nil {
				t.Errorf("names of %q in %q = %v, %v, %v, %v; want none", owner, org, h, s, err1, err2)
			}
		}
	}
}

func testOrgs(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	x := saba.Series{Org: "a", Host: "h", Name: "x"}
	y := saba.Series{Org: "b", Host: "h", Name: "x"}
	z := saba.Series{Org: "b", Host: "h", Name: "z"}
	b.put(start, nil, at(x, start, 1), at(y, start, 2), at(z, start+60, 3))
	check := func() {
		b.Helper()
		b.want(x, saba.Sample{Time: start, Value: 1})
		b.want(y, saba.Sample{Time: start, Value: 2})
		b.want(saba.Series{Org: "a", Host: "h", Name: "z"})
		if got, _ := b.Latest(x); got.Value != 1 {
			t.Errorf("Latest(%v) = %v", x, got)
		}
		if _, ok := b.Latest(saba.Series{Org: "a", Host: "h", Name: "z"}); ok {
			t.Error("Latest shows a metric of another organization")
		}
		if got, _ := b.LastSeen("a", "h"); got != start {
			t.Errorf("LastSeen(a, h) = %d, want %d", got, start)
		}
		if got, err := b.HostNames(t.Context(), "a", "h"); err != nil || !slices.Equal(got, []string{"x"}) {
			t.Errorf("HostNames(a, h) = %v, %v; want x", got, err)
		}
	}
	check()
	b.restart()
	check()
}

func testNames(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	names := []string{"a", "a.b", "a.b-c", "a_b", "custom.Foo.0", "loadavg5"}
	for _, name := range slices.Backward(names) {
		b.put(start, nil, at(host(name), start, 1), at(saba.Series{Org: "o", Service: "s", Name: "s." + name}, start, 1),
			at(saba.Series{Org: "o", Service: "h", Name: "not.of.the.host"}, start, 1))
	}
	// Half a day later the other names are in a block, where there are blocks.
	for i := range int64(12 * 6) {
		b.put(start+i*600, nil, at(host("a"), start+i*600, 1))
	}
	check := func() {
		b.Helper()
		if got, err := b.HostNames(t.Context(), "o", "h"); err != nil || !slices.Equal(got, names) {
			t.Errorf("HostNames() = %v, %v; want %v", got, err, names)
		}
		if got, err := b.ServiceNames(t.Context(), "o", "s"); err != nil || len(got) != len(names) || got[0] != "s.a" {
			t.Errorf("ServiceNames() = %v, %v", got, err)
		}
	}
	check()
	b.restart()
	check()
}

func testLatest(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	x, y, s := host("x"), host("y"), saba.Series{Org: "o", Service: "s", Name: "x"}
	b.put(start+60, nil, at(x, start+65, 1), at(y, start, 2), at(s, start, 3))
	b.put(start+60, nil, at(x, start, 4), at(y, start, 5)) // late, and a rewrite
	check := func() {
		b.Helper()
		for s, want := range map[saba.Series]saba.Sample{
			x: {Time: start + 60, Value: 1}, y: {Time: start, Value: 5}, s: {Time: start, Value: 3},
		} {
			if got, ok := b.Latest(s); !ok || got != want {
				t.Errorf("Latest(%v) = %v, %v; want %v", s, got, ok, want)
			}
		}
		if got, ok := b.LastSeen("o", "h"); !ok || got != start+60 {
			t.Errorf("LastSeen() = %v, %v; want %d", got, ok, start+60)
		}
	}
	if got, ok := b.Heard("o", "none"); ok {
		t.Errorf("Heard() of a host that never posted = %d", got)
	}
	if got, ok := b.Heard("o", "h"); !ok || got != start+60 {
		t.Errorf("Heard() = %d, %v; want %d, when the last of its samples came", got, ok, start+60)
	}
	check()
	b.restart()
	check()
	b.put(start+60, nil, at(x, start+60, 1), at(y, start, 5)) // what is there already
	check()
}

func testConcurrent(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	const writers, minutes = 8, 40
	series := func(w int) []saba.Series {
		return []saba.Series{
			{Org: "o", Host: fmt.Sprintf("h%d", w), Name: "x"}, {Org: "o", Host: fmt.Sprintf("h%d", w), Name: "y"},
		}
	}
	done := make(chan struct{})
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range int64(minutes) {
				var points []saba.Point
				for k, s := range series(w) {
					points = append(points, at(s, start+i*60, float64(100*i+int64(k))))
					if i > 0 {
						points = append(points, at(s, start+(i-1)*60, -float64(i))) // a rewrite behind it
					}
				}
				if drops, err := b.Append(t.Context(), time.Unix(start+i*60, 0), points); err != nil || drops.Total() != 0 {
					t.Errorf("Append() = %v, %v", drops, err)
					return
				}
				// Read your writes.
				if got, ok := b.Latest(series(w)[1]); !ok || got != (saba.Sample{Time: start + i*60, Value: float64(100*i + 1)}) {
					t.Errorf("Latest() = %v, %v at minute %d", got, ok, i)
				}
				got, err := b.Range(t.Context(), series(w), start+i*60, start+i*60)
				if err != nil || len(got[0]) != 1 || got[0][0].Value != float64(100*i) {
					t.Errorf("Range() = %v, %v at minute %d", got, err, i)
				}
			}
		})
	}
	for r := range 2 {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := b.Range(t.Context(), slices.Concat(series(r), series(r+1)), start, start+minutes*60)
				if err != nil {
					t.Errorf("Range() = %v", err)
					return
				}
				for _, samples := range got {
					if !slices.IsSortedFunc(samples, func(a, b saba.Sample) int { return int(a.Time - b.Time) }) {
						t.Errorf("Range() is out of order: %v", samples)
					}
				}
				b.LastSeen("o", "h1")
				if _, err := b.HostNames(t.Context(), "o", "h2"); err != nil {
					t.Errorf("HostNames() = %v", err)
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	for w := range writers {
		var want []saba.Sample
		for i := range int64(minutes) {
			want = append(want, saba.Sample{Time: start + i*60, Value: -float64(i + 1)})
		}
		want[minutes-1].Value = 100 * (minutes - 1)
		b.want(series(w)[0], want...)
	}
}

func testGivenUp(t *testing.T, open func(*testing.T, string) Samples) {
	b := begin(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Append(ctx, time.Unix(start, 0), []saba.Point{at(host("x"), start, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Append after its context = %v, want it to be canceled", err)
	}
	b.want(host("x"))
	// Whatever is answered without an error is stored, whenever the context ends.
	var wg sync.WaitGroup
	acked := make([]bool, 64)
	for i := range acked {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%16)*100*time.Microsecond)
			defer cancel()
			points := []saba.Point{at(host(fmt.Sprint("x", i)), start, 1)}
			_, err := b.Append(ctx, time.Unix(start, 0), points)
			acked[i] = err == nil
			points[0] = saba.Point{} // ours again
		})
	}
	wg.Wait()
	for i, ok := range acked {
		if ok {
			b.want(host(fmt.Sprint("x", i)), saba.Sample{Time: start, Value: 1})
		}
	}
	s := b.Samples
	b.restart()
	if _, err := s.Append(t.Context(), time.Unix(start, 0), []saba.Point{at(host("x"), start, 1)}); !errors.Is(err, saba.ErrUnavailable) {
		t.Errorf("Append after Close = %v, want saba.ErrUnavailable", err)
	}
	if _, err := s.Range(t.Context(), []saba.Series{host("x")}, 0, 1); !errors.Is(err, saba.ErrUnavailable) {
		t.Errorf("Range after Close = %v, want saba.ErrUnavailable", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after Close = %v", err)
	}
}
