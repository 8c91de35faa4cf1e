package ingest

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

func TestDefinitionsWithWildcardsAreForgotten(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	records, err := sqldb.Open(ctx, filepath.Join(dir, "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	var at atomic.Int64 // Unix seconds: the engine looks at the clock on its own
	at.Store(now)
	clock := func() time.Time { return time.Unix(at.Load(), 0) }
	samples, err := tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	org, err := records.EnsureOrg(ctx, saba.Org{ID: "org1"})
	if err != nil {
		t.Fatal(err)
	}
	def := func(name string, metrics ...string) saba.GraphDef {
		d := saba.GraphDef{Name: name, Unit: saba.UnitFloat}
		for _, m := range metrics {
			d.Metrics = append(d.Metrics, saba.GraphDefMetric{Name: m})
		}
		return d
	}
	if err := records.PutGraphDefs(ctx, org.ID, []saba.GraphDef{
		def("custom.plain", "custom.plain.x"),
		def("custom.used.#", "custom.used.#.x"), def("custom.stopped.#", "custom.stopped.#.x"), def("custom.below", "custom.below.*"),
		def("custom.bare.*"), def("custom.never.*", "custom.never.*.x"), def("custom.other.*", "custom.other.*.y"),
	}); err != nil {
		t.Fatal(err)
	}
	post := func(org string, metrics ...string) {
		t.Helper()
		var points []saba.Point
		for _, m := range metrics {
			points = append(points, saba.Point{Series: saba.Series{Org: org, Host: "h", Name: m}, Sample: saba.Sample{Time: at.Load(), Value: 1}})
		}
		if drops, err := samples.Append(ctx, clock(), points); err != nil || drops.Total() > 0 {
			t.Fatal(drops, err)
		}
	}
	d := Definitions{Store: records, Samples: samples, Org: org.ID, Log: slog.New(slog.DiscardHandler), Now: clock}
	began := clock()
	post(org.ID, "custom.stopped.a.x")
	left := func() (names []string) {
		t.Helper()
		if err := d.look(ctx, began); err != nil {
			t.Fatal(err)
		}
		defs, err := records.GraphDefs(ctx, org.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range defs {
			names = append(names, d.Name)
		}
		return names
	}
	all := []string{"custom.bare.*", "custom.below", "custom.never.*", "custom.other.*", "custom.plain", "custom.stopped.#", "custom.used.#"}
	used := []string{"custom.bare.*", "custom.below", "custom.plain", "custom.used.#"}
	for hour := range 16 {
		post(org.ID, "custom.used.a.x", "custom.below.a", "custom.bare.a.b", "custom.other.a.x")
		post("org2", "custom.never.a.x")
		got := left()
		switch {
		case hour <= 6 && !slices.Equal(got, all):
			t.Fatalf("after %d hours %q are left, want all", hour, got)
		case hour == 7 && !slices.Contains(got, "custom.never.*"): // what was never looked for counts from the first time that something may be forgotten
			t.Fatalf("after %d hours %q are left, want the one that never was in use yet", hour, got)
		case hour > 7 && slices.Contains(got, "custom.stopped.#"):
			t.Fatalf("after %d hours %q are left, want nothing of what stopped", hour, got)
		case hour > 13 && !slices.Equal(got, used):
			t.Fatalf("after %d hours %q are left, want %q", hour, got, used)
		}
		at.Add(60 * 60)
	}
	// saba was stopped for a day: that nothing was seen says nothing.
	at.Add(24 * 60 * 60)
	began = clock()
	for hour := range 6 {
		if got := left(); !slices.Equal(got, used) {
			t.Fatalf("%d hours after a start %q are left, want %q", hour, got, used)
		}
		at.Add(60 * 60)
	}
	if got := left(); !slices.Equal(got, []string{"custom.plain"}) {
		t.Errorf("%q are left at last, want the one without a wildcard", got)
	}
}

func TestDefinitionsAreLookedForOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDefinitions{}
		d := Definitions{Store: f, Samples: f, Org: "org1", Log: slog.New(slog.DiscardHandler), Now: time.Now}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			d.Run(ctx)
			close(done)
		}()
		time.Sleep(9*time.Hour + time.Minute)
		stop()
		<-done
		if f.looks != 9 || f.forgets != 4 { // at 6, 7, 8 and 9 hours
			t.Errorf("looked %d times and forgot %d times, want 9 and 4", f.looks, f.forgets)
		}
	})
}

// fakeDefinitions has one definition, which is not in use, and counts.
type fakeDefinitions struct{ looks, forgets int }

func (f *fakeDefinitions) GraphDefs(context.Context, string) ([]saba.GraphDef, error) {
	f.looks++
	return []saba.GraphDef{{Name: "custom.*"}}, nil
}

func (f *fakeDefinitions) SeeGraphDefs(context.Context, string, []string, int64) error { return nil }

func (f *fakeDefinitions) ForgetGraphDefs(context.Context, string, []string, int64, int64) (int, error) {
	f.forgets++
	return 0, errors.New("the database is gone") // and comes back: Run goes on
}

func (f *fakeDefinitions) RecentNames(string, int64) []string { return nil }
