package tsdb

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/saba-monitor/saba"
)

// killedWhileCompactingLate returns the folder of a saba that was killed while it compacted late
// points and took more of them, and the late points that it had acknowledged.
func killedWhileCompactingLate(t *testing.T) (dir string, acked []saba.Point) {
	t.Helper()
	const now, names = start + 24*3600, 40
	db := openFor(t, Options{Dir: t.TempDir()})
	keepStill(db)
	send := func(minutes ...int64) {
		for _, m := range minutes {
			var points []saba.Point
			for i := range names {
				p := point(series(fmt.Sprint("late", i)), start+m*60, float64(m))
				points = append(points, p)
				acked = append(acked, p)
			}
			put(t, db, now, points...)
		}
	}
	var present []saba.Point
	for i := range names {
		present = append(present, point(series(fmt.Sprint("late", i)), now, 0))
	}
	put(t, db, now, present...)
	send(10, 11, 12)
	// What a compaction of late points begins with, and its only step that later ones depend on.
	if _, err := tsdb.NewOOOCompactionHead(t.Context(), db.engine.db.Head()); err != nil {
		t.Fatal(err)
	}
	send(5, 20, 21)
	return copyOf(t, db), acked
}

// keepStill keeps the engine from compacting by itself.
func keepStill(db *DB) {
	db.engine.compacts.Store(true) // or else the appender would let it
	db.engine.db.DisableCompactions()
}

func wantPoints(t *testing.T, db *DB, points []saba.Point) {
	t.Helper()
	missing := 0
	for _, p := range points {
		got, err := db.Range(t.Context(), []saba.Series{p.Series}, p.Time, p.Time)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0], []saba.Sample{p.Sample}) {
			if missing++; missing <= 5 {
				t.Errorf("%s at %d = %v, want %v", p.Name, p.Time, got[0], p.Value)
			}
		}
	}
	if missing > 5 {
		t.Errorf("… and %d more", missing-5)
	}
}

func TestAKillWhileLatePointsAreCompactedLosesNone(t *testing.T) {
	dir, acked := killedWhileCompactingLate(t)
	db := openFor(t, Options{Dir: dir})
	wantPoints(t, db, acked)
}

// A chunk that was lost with the buffer of the killed process is not on disk because a later one is.
func TestAKillAfterAKillLosesNoLatePoint(t *testing.T) {
	const now = start + 24*3600
	dir := t.TempDir()
	var acked []saba.Point
	late := func(db *DB, name string, from, n int64) {
		for m := from; m < from+n; m++ {
			p := point(series(name), start+m*60, float64(m))
			put(t, db, now, p)
			acked = append(acked, p)
		}
	}
	db := openFor(t, Options{Dir: dir})
	keepStill(db)
	put(t, db, now, point(series("a"), now, 0), point(series("b"), now, 0))
	late(db, "a", 0, 10)
	if _, err := tsdb.NewOOOCompactionHead(t.Context(), db.engine.db.Head()); err != nil {
		t.Fatal(err)
	}
	late(db, "a", 10, 33) // fills a chunk, which waits in the buffer; a mark says that 43 samples are on disk
	dir = copyOf(t, db)
	second := openFor(t, Options{Dir: dir})
	keepStill(second)
	late(second, "b", 0, 40)
	if err := second.Close(); err != nil { // which writes the buffer of this run
		t.Fatal(err)
	}
	wantPoints(t, openFor(t, Options{Dir: dir}), acked)
}

func TestTheLogOfLatePointsIsMendedOnce(t *testing.T) {
	dir, acked := killedWhileCompactingLate(t)
	if err := os.MkdirAll(filepath.Join(dir, mendFolder, "00000000"), 0o700); err != nil { // of a crash amid the mending
		t.Fatal(err)
	}
	for _, want := range []int{80, 0} { // one for each series before the compaction, and one after
		if marks, err := mendLatePoints(t.Context(), dir); err != nil || marks != want {
			t.Fatalf("mendLatePoints() = %d, %v, want %d", marks, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, mendFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", mendFolder, err)
	}
	wantPoints(t, openFor(t, Options{Dir: dir}), acked)
}

func TestMendingTakesMarksOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), wblFolder)
	w, err := wlog.NewSize(slog.New(slog.DiscardHandler), nil, dir, 64<<10, compression.Snappy)
	if err != nil {
		t.Fatal(err)
	}
	var enc record.Encoder
	var want [][]byte
	for i := range 2000 { // enough for several segments
		ref := chunks.HeadSeriesRef(i%7 + 1)
		samples := enc.Samples([]record.RefSample{{Ref: ref, T: int64(i), V: math.Sqrt(float64(i))}}, nil)
		marks := enc.MmapMarkers([]record.RefMmapMarker{{Ref: ref, MmapRef: 1<<32 | 8}, {Ref: ref}}, nil)
		if err := w.Log(marks, samples); err != nil {
			t.Fatal(err)
		}
		want = append(want, samples)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	if marks, err := mendLatePoints(t.Context(), filepath.Dir(dir)); err != nil || marks != 4000 {
		t.Fatalf("mendLatePoints() = %d, %v, want 4000", marks, err)
	}
	after := tree(t, dir)
	if len(after) != len(before) || len(after) < 3 {
		t.Errorf("the log has become %d files of %d", len(after), len(before))
	}
	ns, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	for _, n := range ns {
		err := eachRecord(t.Context(), segmentPath(dir, n), func(rec []byte) error {
			got = append(got, bytes.Clone(rec))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d records are left of the log, want %d in the same order", len(got), len(want))
	}
	if cuts, err := inspect(t.Context(), filepath.Dir(dir)); err != nil || len(cuts) != 0 {
		t.Errorf("the inspection of the mended log = %v, %v", cuts, err)
	}
}

// A series that only late points come for is forgotten when they are in a block, and known by another number after the next one. That one outlives
// a kill, and the clean stops that follow it.
func TestLatePointsOfAForgottenSeriesOutliveStops(t *testing.T) {
	for _, n := range []int64{1, 20, 40, 100} { // as many as fill no chunk of late points, one, and several
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := t.TempDir()
			db := openFor(t, Options{Dir: dir})
			var acked []saba.Point
			send := func(at int64) {
				late := point(series("late"), at-4*3600, float64(at))
				put(t, db, at, point(series("x"), at, 1), late)
				acked = append(acked, late)
			}
			for i := range int64(300) {
				send(start + i*60)
			}
			keepStill(db)
			compact(t, db)
			if known := db.engine.db.Head().NumSeries(); known != 1 {
				t.Fatalf("the engine knows %d series, want it to have forgotten one", known)
			}
			for i := range n {
				send(start + (300+i)*60)
			}
			dir = copyOf(t, db)
			for stop := range 3 {
				db, err := Open(t.Context(), Options{Dir: dir})
				if err != nil {
					t.Fatal(err)
				}
				wantPoints(t, db, acked)
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				if t.Failed() {
					t.Fatalf("after %d stops", stop)
				}
			}
		})
	}
}

// One metric of a host was catching up at a stop. What was said of a minute before it may be said anew.
func TestARewriteOfALatePointInABlock(t *testing.T) {
	dir := t.TempDir()
	db := openFor(t, Options{Dir: dir})
	const now = start + 75*60
	for i := range int64(75) {
		put(t, db, start+i*60, point(series("x"), start+i*60, 1))
	}
	back := series("back")
	put(t, db, start+60, point(back, start+60, 1)) // in order, as far as saba knows
	for i := int64(2); i < 10; i++ {
		put(t, db, now, point(back, start+i*60, 2))
	}
	keepStill(db)
	if err := db.engine.db.CompactOOOHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFor(t, Options{Dir: dir})
	blocks := 0
	for _, b := range db.engine.db.Blocks() {
		if m := b.Meta(); m.Compaction.FromOutOfOrder() {
			blocks++
		}
	}
	if blocks == 0 {
		t.Fatal("there is no block of late points")
	}
	if got, _ := db.Latest(back); got.Time != start+9*60 {
		t.Errorf("the newest sample is of minute %d, want 9", (got.Time-start)/60)
	}
	rewritten := []saba.Point{point(back, start+9*60, 7), point(back, start+5*60, 7)}
	put(t, db, now, rewritten...)
	wantPoints(t, db, rewritten)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantPoints(t, openFor(t, Options{Dir: dir}), rewritten)
}
