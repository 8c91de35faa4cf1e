package tsdb

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// What the logs hold as well may be damaged without harm: Examine says what it is and what a start does, and that start serves every point.
func TestDamagedCopiesAreNamedAndDoNoHarm(t *testing.T) {
	stopped := t.TempDir()
	first := openFor(t, Options{Dir: stopped})
	for i := range int64(130) {
		put(t, first, start+i*60, point(series("x"), start+i*60, float64(i)))
	}
	first.engine.db.ForceHeadMMap()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := Examine(t.Context(), stopped, false); err != nil || len(found) > 0 {
		t.Fatalf("Examine of whole samples = %v, %v; want nothing", found, err)
	}
	const head = "chunks_head/0*"
	whole := read(t, one(t, stopped, head)) // one chunk, and zeros behind it
	end := len(bytes.TrimRight(whole, "\x00"))
	for name, tt := range map[string]struct {
		damage func(t *testing.T, dir string)
		path   string // matches what is named
		what   string
	}{
		"a byte of a chunk": {func(t *testing.T, dir string) { flip(t, one(t, dir, head), 60) }, head, "a chunk has a wrong checksum, at byte 8"},
		"the length of a chunk": {func(t *testing.T, dir string) {
			path := one(t, dir, head)
			b := read(t, path)
			copy(b[8+25:], "\xff\xff\xff\xff\xff")
			write(t, path, b)
		}, head, "a chunk has a wrong length, at byte 8"},
		"a chunk that ends early": {func(t *testing.T, dir string) { write(t, one(t, dir, head), whole[:end-20]) }, head, "its last chunk is not whole"},
		"a chunk that has begun":  {func(t *testing.T, dir string) { write(t, one(t, dir, head), append(whole[:end:end], 0, 0, 1)) }, head, "its last chunk is not whole"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, stopped)
			tt.damage(t, dir)
			found, err := Examine(t.Context(), dir, false)
			if err != nil || len(found) != 1 {
				t.Fatalf("Examine = %v, %v; want one finding", found, err)
			}
			f := found[0]
			if f.Path != one(t, dir, tt.path) || f.Harm || f.Do != "" || !strings.Contains(f.What, tt.what) || !strings.Contains(f.What, "the logs") {
				t.Errorf("Examine found %+v; want %q of %s, and that a start reads the logs", f, tt.what, tt.path)
			}
			db := openFor(t, Options{Dir: dir})
			if got, want := samples(t, db, series("x")), 130; len(got) != want || got[want-1].Value != float64(want-1) {
				t.Errorf("%d samples are served, want all %d", len(got), want)
			}
		})
	}
}

// What a kill leaves in the head is half a chunk at most, and no harm.
func TestCopiesAfterAKillAreNoHarm(t *testing.T) {
	found, err := Examine(t.Context(), crashed(t), false)
	if err != nil || slices.ContainsFunc(found, func(f Finding) bool { return f.Harm }) {
		t.Errorf("Examine = %v, %v; want no harm", found, err)
	}
}

func TestExaminingCopiesIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := examineCopies(ctx, crashed(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("examineCopies that is interrupted = %v", err)
	}
}
