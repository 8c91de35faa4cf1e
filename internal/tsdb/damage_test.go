package tsdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
)

// blockDamages are ways to damage a block, so that it shows at the start.
var blockDamages = map[string]func(t *testing.T, dir string){
	"a block without a meta.json": func(t *testing.T, dir string) { remove(t, one(t, dir, "0*/meta.json")) },
	"a meta.json that is no JSON": func(t *testing.T, dir string) { write(t, one(t, dir, "0*/meta.json"), []byte("{")) },
	"an index that is cut short": func(t *testing.T, dir string) {
		path := one(t, dir, "0*/index")
		write(t, path, read(t, path)[:200])
	},
	"an index that is empty":            func(t *testing.T, dir string) { write(t, one(t, dir, "0*/index"), nil) },
	"the table of contents of an index": func(t *testing.T, dir string) { flip(t, one(t, dir, "0*/index"), -10) },
	"the entry of a series in an index": func(t *testing.T, dir string) {
		path := one(t, dir, "0*/index")
		flip(t, path, section(read(t, path), 1)+20)
	},
	"a list of postings in an index": func(t *testing.T, dir string) {
		path := one(t, dir, "0*/index")
		flip(t, path, section(read(t, path), 4)+9)
	},
	"the length of a list of postings in an index": func(t *testing.T, dir string) {
		path := one(t, dir, "0*/index")
		flip(t, path, section(read(t, path), 4))
	},
	"a file of chunks without its beginning": func(t *testing.T, dir string) { flip(t, one(t, dir, "0*/chunks/0*"), 0) },
}

// inDamage is a damage in the midst of the points of a block: it shows when they are read.
func inDamage(t *testing.T, dir string) { flip(t, one(t, dir, "0*/chunks/0*"), 8+20) }

func copied(t *testing.T, whole string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func gathered(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric is called %s", name)
	return 0
}

// The start names the block, moves it as it is, and serves all others.
func TestADamagedBlockIsSetAsideAndTheRestServed(t *testing.T) {
	whole := crashed(t)
	reference := openFor(t, Options{Dir: copied(t, whole)})
	all := len(samples(t, reference, series("x")))
	for name, damage := range blockDamages {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, whole)
			damage(t, dir)
			before := tree(t, dir)
			var log bytes.Buffer
			registry := prometheus.NewRegistry()
			db := openFor(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)), Registerer: registry})
			aside, err := Damaged(dir)
			if err != nil || len(aside) != 1 || !isBlock(aside[0]) {
				t.Fatalf("set aside: %v (%v), want one block", aside, err)
			}
			for path, content := range tree(t, filepath.Join(dir, damagedFolder, aside[0])) {
				if was := before[filepath.Join(aside[0], path)]; was != content {
					t.Errorf("%s of the block was changed", path)
				}
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "A DAMAGED BLOCK") || !strings.Contains(log.String(), filepath.Join(damagedFolder, aside[0])) {
				t.Errorf("the log has %d errors, want one that names the block:\n%s", n, log.String())
			}
			if got := gathered(t, registry, "saba_samples_damaged"); got != 1 {
				t.Errorf("saba_samples_damaged = %v, want 1", got)
			}
			if got := len(samples(t, db, series("x"))); got == 0 || got > all {
				t.Errorf("%d samples are served, want some of the %d", got, all)
			}
			put(t, db, start+17*3600, point(series("x"), start+17*3600, 5))
			remove(t, filepath.Join(dir, damagedFolder))
			if got := gathered(t, registry, "saba_samples_damaged"); got != 0 {
				t.Errorf("saba_samples_damaged = %v once a person removed it, want 0", got)
			}
		})
	}
}

// What cannot be read now may be whole: it is no damage.
func TestABlockThatMayNotBeReadStays(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"the kernel's own":       {&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, true},
		"a file that is missing": {&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, false},
		"a checksum":             {errors.New("checksum mismatch"), false},
		"nothing":                {nil, false},
	} {
		if got := outsideOfData(tt.err); got != tt.want {
			t.Errorf("%s: outsideOfData(%v) = %v, want %v", name, tt.err, got, tt.want)
		}
	}
}

// Examine finds what a start finds and what only a reader would meet, and changes nothing; Repair sets it aside, and
// then a start succeeds.
func TestExamineAndRepair(t *testing.T) {
	whole := crashed(t)
	damages := map[string]func(t *testing.T, dir string){
		"points of a block": inDamage,
		"a byte in the log": func(t *testing.T, dir string) {
			path, b := written(t, filepath.Join(dir, walFolder))
			flip(t, path, len(b)/2)
		},
		"a byte in the log of late points": func(t *testing.T, dir string) {
			path, b := written(t, filepath.Join(dir, wblFolder))
			flip(t, path, len(b)/2)
		},
		"the checkpoint": func(t *testing.T, dir string) { flip(t, one(t, dir, "wal/checkpoint.*/0*"), 100) },
		"a segment that is missing": func(t *testing.T, dir string) {
			ns, err := segments(filepath.Join(dir, walFolder))
			if err != nil || len(ns) < 3 {
				t.Fatal(ns, err)
			}
			remove(t, segmentPath(filepath.Join(dir, walFolder), ns[len(ns)-2]))
		},
		"the head": func(t *testing.T, dir string) { flip(t, one(t, dir, "chunks_head/0*"), 0) },
		"all at once": func(t *testing.T, dir string) {
			inDamage(t, dir)
			flip(t, one(t, dir, "chunks_head/0*"), 0)
			for _, folder := range []string{walFolder, wblFolder} {
				path, b := written(t, filepath.Join(dir, folder))
				flip(t, path, len(b)/2)
			}
		},
	}
	for name, damage := range blockDamages {
		damages[name] = damage
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, whole)
			if found, err := Examine(t.Context(), dir, false); err != nil || slices.ContainsFunc(found, func(f Finding) bool { return f.Harm }) {
				t.Fatalf("Examine of whole samples = %v, %v; want no harm", found, err)
			}
			damage(t, dir)
			before := tree(t, dir)
			found, err := Examine(t.Context(), dir, false)
			if err != nil {
				t.Fatal(err)
			}
			harm := slices.DeleteFunc(found, func(f Finding) bool { return !f.Harm })
			if len(harm) == 0 {
				t.Fatal("Examine found no harm")
			}
			for _, f := range harm {
				if !strings.HasPrefix(f.Path, dir) || f.What == "" || !strings.Contains(f.Do, "saba doctor --repair") {
					t.Errorf("finding %+v: want a path, what it is, and what to do", f)
				}
			}
			if after := tree(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("Examine changed something")
			}
			done, err := Repair(t.Context(), dir)
			if err != nil || len(done) == 0 {
				t.Fatalf("Repair = %v, %v; want it to do something", done, err)
			}
			found, err = Examine(t.Context(), dir, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Harm && !strings.HasPrefix(f.Path, filepath.Join(dir, damagedFolder)) {
					t.Errorf("after the repair there is %+v", f)
				}
			}
			// Nothing was deleted.
			kept := map[string]int{}
			for _, content := range tree(t, dir) {
				kept[content]++
			}
			for path, content := range before {
				if kept[content] == 0 {
					t.Errorf("%s is gone", path)
				}
			}
			db := openFor(t, Options{Dir: dir})
			put(t, db, start+17*3600, point(series("x"), start+17*3600, 5))
			if got := samples(t, db, series("x")); len(got) < 100 {
				t.Errorf("%d samples are left, want those of the whole parts", len(got))
			}
		})
	}
}

// Series that are numbered anew after a repair must not get the points of others that had these numbers.
func TestARepairMixesNoSeries(t *testing.T) {
	dir := crashed(t)
	if err := os.Truncate(one(t, dir, "wal/checkpoint.*/0*"), 30); err != nil {
		t.Fatal(err)
	}
	if _, err := Repair(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	now := int64(start + 17*3600)
	names := []string{"other1", "other2", "other3", "other4"}
	for range 2 { // the second start replays what the first has written
		db := open(t, dir)
		for _, name := range names {
			put(t, db, now, point(series(name), now, 77))
		}
		now += 60
		for _, name := range names {
			for _, s := range samples(t, db, series(name)) {
				if s.Value != 77 {
					t.Fatalf("series %q has the point %v of another one", name, s)
				}
			}
		}
		leave(t, db)
	}
}

// leave ends the engine as a kill would.
func leave(t *testing.T, db *DB) {
	t.Helper()
	dir := copyOf(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	remove(t, db.dir)
	if err := os.CopyFS(db.dir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
}

func TestExamineOfSamplesInUse(t *testing.T) {
	dir := t.TempDir()
	db := openFor(t, Options{Dir: dir})
	put(t, db, start, point(series("x"), start, 7))
	if found, err := Examine(t.Context(), dir, true); err != nil || len(found) > 0 {
		t.Errorf("Examine(in use) = %v, %v; want nothing", found, err)
	}
	if _, err := Repair(t.Context(), dir); !errors.Is(err, saba.ErrConflict) {
		t.Errorf("Repair of samples in use = %v, want a conflict", err)
	}
	for _, missing := range []bool{true, false} {
		if found, err := Examine(t.Context(), filepath.Join(dir, "missing"), missing); err != nil || found != nil {
			t.Errorf("Examine of a missing folder = %v, %v", found, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Examine(ctx, crashed(t), false); !errors.Is(err, context.Canceled) {
		t.Errorf("Examine that is interrupted = %v", err)
	}
}

// The oldest blocks go when all together are larger than they may be, whatever their age.
func TestRetentionBySize(t *testing.T) {
	whole := crashed(t)
	sizes := map[int64]int{}
	for _, most := range []int64{0, 1, 1 << 40} {
		dir := copied(t, whole)
		db := openFor(t, Options{Dir: dir, MaxBytes: most})
		put(t, db, start+17*3600, point(series("x"), start+17*3600, 5))
		names, err := blocks(dir)
		if err != nil {
			t.Fatal(err)
		}
		sizes[most] = len(names)
		if got := samples(t, db, series("x")); len(got) == 0 || got[len(got)-1].Value != 5 {
			t.Errorf("with at most %d bytes the newest sample is gone", most)
		}
	}
	if sizes[0] == 0 || sizes[1<<40] != sizes[0] || sizes[1] != 0 {
		t.Errorf("blocks by the most bytes (0: no limit): %v; want none for 1 byte and all for the others", sizes)
	}
}

func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		r          Room
		full, near bool
	}{
		{Room{Free: reserve - 1, Need: reserve}, true, true},
		{Room{Free: reserve, Need: reserve}, false, true},
		{Room{Free: 4*reserve - 1, Need: reserve}, false, true},
		{Room{Free: 4 * reserve, Need: reserve}, false, false},
	} {
		if tt.r.Full() != tt.full || tt.r.Near() != tt.near {
			t.Errorf("%+v: full %v, near %v; want %v, %v", tt.r, tt.r.Full(), tt.r.Near(), tt.full, tt.near)
		}
	}
	if r, err := DiskRoom(t.TempDir()); err != nil || r.Total == 0 || r.Need == 0 || r.Free > r.Total {
		t.Errorf("DiskRoom = %+v, %v", r, err)
	}
	if _, err := DiskRoom(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("DiskRoom of a missing folder is no error")
	}
}
