package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// fakes know two hosts and a service, and keep what is appended.
type fakes struct {
	mu       sync.Mutex
	kept     []saba.Point
	lookups  int
	hostErr  error
	storeErr error
	drops    saba.Drops
}

func (f *fakes) HostRetired(_ context.Context, org, id string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups++
	switch {
	case f.hostErr != nil:
		return false, f.hostErr
	case org != "org1" || id != "live" && id != "gone":
		return false, saba.Errorf(saba.ErrNotFound, "no host %q", id)
	}
	return id == "gone", nil
}

func (f *fakes) Services(context.Context, string) ([]saba.Service, error) {
	return []saba.Service{{Name: "shop", Series: "shop"}}, nil
}

func (f *fakes) Append(_ context.Context, _ time.Time, points []saba.Point) (saba.Drops, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.storeErr != nil {
		return nil, f.storeErr
	}
	f.kept = append(f.kept, points...)
	return f.drops, nil
}

const now = 1_700_000_100

func newWriter(f *fakes, log *bytes.Buffer, registry prometheus.Registerer) *Writer {
	return New(Options{
		Hosts: f, Samples: f, Log: slog.New(slog.NewTextHandler(log, nil)), Registerer: registry,
		Now: func() time.Time { return time.Unix(now, 0) },
	})
}

func point(host, name string, at int64, value float64) saba.Point {
	return saba.Point{Series: saba.Series{Host: host, Name: name}, Sample: saba.Sample{Time: at, Value: value}}
}

func TestAPointIsDroppedForItsOwnFaultAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		point saba.Point
		want  saba.DropReason
	}{
		"a good one":             {point("live", "m", now, 1), ""},
		"of nobody":              {point("", "m", now, 1), saba.DropUnknownHost},
		"of an unknown host":     {point("stranger", "m", now, 1), saba.DropUnknownHost},
		"of a retired host":      {point("gone", "m", now, 1), saba.DropRetiredHost},
		"without a name":         {point("live", "", now, 1), saba.DropBadName},
		"with a blank in it":     {point("live", "a b", now, 1), saba.DropBadName},
		"with a long name":       {point("live", strings.Repeat("x", 256), now, 1), saba.DropBadName},
		"NaN":                    {point("live", "m", now, math.NaN()), saba.DropNotFinite},
		"infinite":               {point("live", "m", now, math.Inf(-1)), saba.DropNotFinite},
		"24 hours late":          {point("live", "m", now-86400, 1), ""},
		"a second later":         {point("live", "m", now-86401, 1), saba.DropTooOld},
		"ten minutes ahead":      {point("live", "m", now+600, 1), ""},
		"a second more":          {point("live", "m", now+601, 1), saba.DropTooNew},
		"at the end of all time": {point("live", "m", math.MaxInt64, 1), saba.DropTooNew},
		"before all time":        {point("live", "m", math.MinInt64, 1), saba.DropTooOld},
	} {
		t.Run(name, func(t *testing.T) {
			var f fakes
			var log bytes.Buffer
			neighbour := point("live", "neighbour", now, 1)
			drops, err := newWriter(&f, &log, nil).HostPoints(t.Context(), "org1", []saba.Point{neighbour, tt.point, neighbour})
			if err != nil {
				t.Fatal(err)
			}
			want, kept := saba.Drops(nil), 3
			if tt.want != "" {
				want, kept = saba.Drops{tt.want: 1}, 2
				if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "reason="+string(tt.want)+" count=1 ") {
					t.Errorf("the log says %q, want one line with the reason %s", line, tt.want)
				}
			}
			if !maps.Equal(drops, want) || len(f.kept) != kept {
				t.Errorf("dropped %v and kept %d, want %v and %d", drops, len(f.kept), want, kept)
			}
			for _, p := range f.kept {
				if p.Org != "org1" {
					t.Errorf("%+v was kept without its organization", p)
				}
			}
		})
	}
}

func TestAHostIsLookedUpOnceABatch(t *testing.T) {
	var f fakes
	points := slices.Repeat([]saba.Point{point("live", "m", now, 1), point("stranger", "m", now, 1)}, 50)
	if _, err := newWriter(&f, &bytes.Buffer{}, nil).HostPoints(t.Context(), "org1", points); err != nil || f.lookups != 2 {
		t.Errorf("%d lookups (%v), want 2", f.lookups, err)
	}
}

func TestAForeignHostIsUnknown(t *testing.T) {
	var f fakes
	drops, err := newWriter(&f, &bytes.Buffer{}, nil).HostPoints(t.Context(), "org2", []saba.Point{point("live", "m", now, 1)})
	if err != nil || drops[saba.DropUnknownHost] != 1 || len(f.kept) != 0 {
		t.Errorf("dropped %v, kept %v (%v); want the point dropped", drops, f.kept, err)
	}
}

func TestMemoryIsDerived(t *testing.T) {
	total, free, available := "memory.swap_total", "memory.swap_free", "memory.mem_available"
	for name, tt := range map[string]struct {
		points []saba.Point
		want   string
	}{
		"from its sources":           {[]saba.Point{point("live", free, now, 3), point("live", total, now, 10), point("live", available, now, 5)}, "memory.swap_used=7@0 memory.available=5@0"},
		"not from half of them":      {[]saba.Point{point("live", total, now, 10)}, ""},
		"not across times":           {[]saba.Point{point("live", total, now, 10), point("live", free, now-60, 3)}, ""},
		"for each time":              {[]saba.Point{point("live", total, now-60, 10), point("live", free, now-60, 3), point("live", total, now, 10), point("live", free, now, 4)}, "memory.swap_used=7@-60 memory.swap_used=6@0"},
		"not where the agent knows":  {[]saba.Point{point("live", total, now, 10), point("live", free, now, 3), point("live", available, now, 5), point("live", "memory.swap_used", now, 1), point("live", "memory.available", now, 2)}, ""},
		"not from dropped points":    {[]saba.Point{point("gone", total, now, 10), point("gone", free, now, 3), point("live", available, now-86401, 1)}, ""},
		"not from nonsense":          {[]saba.Point{point("live", total, now, 1), point("live", free, now, 3)}, ""},
		"zero is a value":            {[]saba.Point{point("live", total, now, 0), point("live", free, now, 0)}, "memory.swap_used=0@0"},
		"from the last of a rewrite": {[]saba.Point{point("live", total, now, 10), point("live", free, now, 3), point("live", free, now, 4)}, "memory.swap_used=6@0"},
		"not beyond all numbers":     {[]saba.Point{point("live", total, now, math.MaxFloat64), point("live", free, now, -math.MaxFloat64)}, ""},
		"not from a similar name":    {[]saba.Point{point("live", "custom.memory.mem_available", now, 1)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var f fakes
			sent := len(tt.points)
			drops, err := newWriter(&f, &bytes.Buffer{}, nil).HostPoints(t.Context(), "org1", tt.points)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range f.kept[sent-drops.Total():] {
				got = append(got, fmt.Sprintf("%s=%v@%d", p.Name, p.Value, p.Time-now))
				if p.Org != "org1" || p.Host != "live" {
					t.Errorf("%+v belongs to nobody", p)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("derived %q, want %q", got, tt.want)
			}
		})
	}
}

func TestServicePoints(t *testing.T) {
	var f fakes
	w := newWriter(&f, &bytes.Buffer{}, nil)
	if _, err := w.ServicePoints(t.Context(), "org1", "nobody", nil); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("an unknown service: %v, want ErrNotFound", err)
	}
	drops, err := w.ServicePoints(t.Context(), "org1", "shop", []saba.Point{
		point("", "orders", now, 1), point("", "a b", now, 1), point("stray", "memory.mem_available", now, 1),
	})
	want := []saba.Series{{Org: "org1", Service: "shop", Name: "orders"}, {Org: "org1", Service: "shop", Name: "memory.mem_available"}}
	var got []saba.Series
	for _, p := range f.kept {
		got = append(got, p.Series)
	}
	if err != nil || drops[saba.DropBadName] != 1 || !slices.Equal(got, want) {
		t.Errorf("kept %v, dropped %v (%v); want %v", got, drops, err, want)
	}
}

func TestFailuresOfTheEnginesAreErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, f := range []*fakes{{hostErr: broken}, {storeErr: broken}} {
		_, err := newWriter(f, &bytes.Buffer{}, nil).HostPoints(t.Context(), "org1", []saba.Point{point("live", "m", now, 1)})
		if !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
	}
}

func TestNothingIsAppendedForNothing(t *testing.T) {
	f := fakes{storeErr: errors.New("must not be called")}
	w := newWriter(&f, &bytes.Buffer{}, nil)
	for _, points := range [][]saba.Point{nil, {}, {point("stranger", "m", now, 1)}} {
		if _, err := w.HostPoints(t.Context(), "org1", points); err != nil {
			t.Errorf("HostPoints(%v): %v", points, err)
		}
	}
}

func TestDropsAreCounted(t *testing.T) {
	f := fakes{drops: saba.Drops{saba.DropEngine: 2}}
	registry := prometheus.NewRegistry()
	var log bytes.Buffer
	w := newWriter(&f, &log, registry)
	if _, err := w.HostPoints(t.Context(), "org1", []saba.Point{point("live", "a", now, 1), point("live", "b", now, 1), point("gone", "c", now, 1)}); err != nil {
		t.Fatal(err)
	}
	w.Refuse("org1", 4, `{"value":"x"}`)
	w.Refuse("org1", 0, "")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += "/" + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	const dropped = "saba_points_dropped_total/"
	want := map[string]float64{"saba_points_received_total": 7, dropped + "engine": 2, dropped + "retired_host": 1, dropped + "bad_point": 4,
		dropped + "too_old": 0, dropped + "too_new": 0, dropped + "not_finite": 0, dropped + "bad_name": 0, dropped + "unknown_host": 0, dropped + "too_many": 0}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	for _, line := range []string{`reason=engine count=2 org=org1`, `reason=retired_host count=1 org=org1 metric=c time=1700000100 host=gone`, `reason=bad_point count=4 org=org1 element="{\"value\":\"x\"}"`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no %s:\n%s", line, &log)
		}
	}
}

func TestTheLogSaysTheSameAtMostOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fakes
		var log bytes.Buffer
		w := New(Options{Hosts: &f, Samples: &f, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now})
		drop := func(org, host string) {
			t.Helper()
			if _, err := w.HostPoints(t.Context(), org, []saba.Point{point(host, strings.Repeat("鯖", 500), time.Now().Unix(), 1)}); err != nil {
				t.Fatal(err)
			}
		}
		lines := func(want int, why string) {
			t.Helper()
			if got := strings.Count(log.String(), "\n"); got != want {
				t.Errorf("%s: %d lines, want %d:\n%s", why, got, want, &log)
			}
		}
		for range 30 {
			drop("org1", "stranger")
			time.Sleep(time.Second)
		}
		lines(1, "30 drops in half a minute")
		drop("org1", "gone")
		lines(2, "another reason speaks for itself")
		drop("org2", "stranger")
		lines(3, "and another organization")
		time.Sleep(time.Minute)
		drop("org1", "stranger")
		lines(4, "a minute later")
		if !strings.Contains(log.String(), "count=30 ") {
			t.Errorf("the drops of the silent minute are not in the next line:\n%s", &log)
		}
		if strings.Contains(log.String(), strings.Repeat("鯖", 100)) || !strings.Contains(log.String(), "…") {
			t.Errorf("a stranger's name is not cut:\n%s", &log)
		}
	})
}

// What is taken in can be read as soon as HostPoints has returned: with the real engines.
func TestPointsAreReadableAtOnce(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	records, err := sqldb.Open(ctx, filepath.Join(dir, "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	clock := func() time.Time { return time.Unix(now, 0) }
	samples, err := tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	org, err := records.EnsureOrg(ctx, saba.Org{ID: "org1", Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := records.CreateHost(ctx, saba.Host{ID: "live", Org: org.ID, Name: "a", Status: saba.Working, CreatedAt: now}, nil, nil); err != nil {
		t.Fatal(err)
	}
	w := New(Options{Hosts: records, Samples: samples, Log: slog.New(slog.DiscardHandler), Now: clock})
	var wg sync.WaitGroup
	for i := range int64(20) {
		wg.Go(func() {
			at := saba.Minute(now) - 60*i
			drops, err := w.HostPoints(ctx, org.ID, []saba.Point{point("live", "memory.mem_available", at+7, float64(i))})
			if err != nil || drops.Total() != 0 {
				t.Errorf("minute %d: %v, %v", i, drops, err)
				return
			}
			got, err := samples.Range(ctx, []saba.Series{{Org: org.ID, Host: "live", Name: "memory.available"}}, at, at)
			if want := []saba.Sample{{Time: at, Value: float64(i)}}; err != nil || len(got) != 1 || !slices.Equal(got[0], want) {
				t.Errorf("minute %d reads back as %v (%v), want %v", i, got, err, want)
			}
		})
	}
	wg.Wait()
}

// BenchmarkHostPoints decides about one minute of one host with 150 metrics.
func BenchmarkHostPoints(b *testing.B) {
	var f fakes
	w := newWriter(&f, &bytes.Buffer{}, nil)
	points := make([]saba.Point, 150)
	for i := range points {
		points[i] = point("live", fmt.Sprintf("custom.queue%d.jobs.ready", i), now, float64(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		f.kept = f.kept[:0]
		if _, err := w.HostPoints(b.Context(), "org1", points); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/150, "ns/sample")
}
