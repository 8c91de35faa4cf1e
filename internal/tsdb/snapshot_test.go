package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// writeOut writes the files of a snapshot to a new folder, and returns that.
func writeOut(t *testing.T, s *Snapshot) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range s.Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		to, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(to, f.Reader())
		if err := errors.Join(err, to.Close()); err != nil || n != f.Size {
			t.Fatalf("%s has %d bytes (%v), want %d", f.Name, n, err, f.Size)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A snapshot has every point that was answered for before it, while hosts write, late points come in, the engine
// compacts both and deletes what it no longer needs.
func TestASnapshotHasWhatWasAnsweredFor(t *testing.T) {
	const hosts, rounds = 4, 12
	db := openFor(t, Options{Dir: t.TempDir()})
	var (
		mu    sync.Mutex
		acked = map[saba.Series]map[int64]float64{}
	)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	grew := make(chan struct{}, 1)
	for h := range hosts {
		work.Go(func() {
			here, late := series(fmt.Sprint("here", h)), series(fmt.Sprint("late", h))
			for m := int64(0); ctx.Err() == nil; m++ {
				at := start + 5*m*60
				points := []saba.Point{point(here, at, float64(m)), point(late, at-(m%20)*3600, float64(-m))}
				drops, err := db.Append(ctx, time.Unix(at, 0), points)
				switch {
				case ctx.Err() != nil:
					return
				case err != nil:
					t.Error(err)
					return
				case len(drops) > 0: // the other hosts are a day ahead
					continue
				}
				mu.Lock()
				for _, p := range points {
					if acked[p.Series] == nil {
						acked[p.Series] = map[int64]float64{}
					}
					acked[p.Series][p.Time] = p.Sample.Value
				}
				mu.Unlock()
				select {
				case grew <- struct{}{}:
				default:
				}
			}
		})
	}
	work.Go(func() {
		for ctx.Err() == nil {
			ok, err := db.engine.mayCompact()
			if err == nil && ok {
				err = errors.Join(db.engine.db.Compact(ctx), db.engine.db.CompactOOOHead(ctx))
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})

	compacted := 0
	for range rounds {
		for range 40 { // some points more than in the round before
			<-grew
		}
		mu.Lock()
		want := map[saba.Series]map[int64]float64{}
		for s, points := range acked {
			want[s] = map[int64]float64{}
			for at, v := range points {
				want[s][at] = v
			}
		}
		mu.Unlock()
		s, err := db.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir := writeOut(t, s)
		if names, err := blocks(dir); err != nil {
			t.Fatal(err)
		} else if len(names) > 0 {
			compacted++
		}
		if cuts, err := inspect(t.Context(), dir); err != nil || len(cuts) > 0 {
			t.Fatalf("the snapshot is not whole: %v, %v", cuts, err)
		}
		again := open(t, dir)
		for s, points := range want {
			got, err := again.Range(t.Context(), []saba.Series{s}, start-30*3600, start+400*24*3600)
			if err != nil {
				t.Fatal(err)
			}
			have := map[int64]float64{}
			for _, sample := range got[0] {
				have[sample.Time] = sample.Value
			}
			for at, v := range points {
				// A late series may have been rewritten meanwhile: then the point is there with a later value.
				if g, ok := have[at]; !ok || g != v && g > v {
					t.Fatalf("the point of %s at %d was answered for as %v and is %v (there: %v)", s.Name, at, v, g, ok)
				}
			}
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if compacted == 0 {
		t.Error("no snapshot had a block: the test shows less than it should")
	}
}

func TestASnapshotAtRest(t *testing.T) {
	dir := t.TempDir()
	db := openFor(t, Options{Dir: dir})
	put(t, db, start, point(series("x"), start, 7))
	if _, err := SnapshotAtRest(t.Context(), dir); !errors.Is(err, saba.ErrConflict) {
		t.Errorf("SnapshotAtRest of samples in use = %v, want a conflict", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Snapshot(t.Context()); !errors.Is(err, saba.ErrUnavailable) {
		t.Errorf("Snapshot after Close = %v, want it to be unavailable", err)
	}
	s, err := SnapshotAtRest(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, saba.ErrConflict) {
		t.Errorf("Open during a snapshot at rest = %v, want a conflict", err)
	}
	again := openFor(t, Options{Dir: writeOut(t, s)})
	if got, ok := again.Latest(series("x")); !ok || got.Value != 7 {
		t.Errorf("from the snapshot the newest sample is %v (there: %v), want 7", got, ok)
	}
	none, err := SnapshotAtRest(t.Context(), filepath.Join(dir, "missing"))
	if err != nil || len(none.Files) > 0 {
		t.Errorf("SnapshotAtRest of a missing folder = %v, %v; want no files", none, err)
	}
}

// A record that is being written, or that a crash cut short, does not count.
func TestASnapshotEndsWithAWholeRecord(t *testing.T) {
	dir := crashed(t)
	path, b := written(t, filepath.Join(dir, walFolder))
	whole := len(b)
	write(t, path, append(b, 0x0b, 0, 99, 1, 2, 3, 4, 5, 6)) // the head of a record of 99 bytes, and two of them
	s, err := SnapshotAtRest(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	out := writeOut(t, s)
	if got := read(t, filepath.Join(out, walFolder, filepath.Base(path))); len(got) != whole {
		t.Errorf("the last segment has %d bytes in the snapshot, want the %d of whole records", len(got), whole)
	}
}
