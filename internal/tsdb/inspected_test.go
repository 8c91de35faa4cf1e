package tsdb

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A start reads the indexes of blocks that are new to it, or that somebody has written to, and no others.
func TestIndexesAreReadOnce(t *testing.T) {
	dir := crashed(t)
	if err := openFor(t, Options{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	known := readInspected(dir)
	names, err := blocks(dir)
	if err != nil || len(names) == 0 || len(known) != len(names) {
		t.Fatalf("%d of the blocks %v are known (%v), want all", len(known), names, err)
	}
	index := filepath.Join(dir, names[0], "index")
	// A stamp of its own for a damaged index shows that it is not read.
	whole := read(t, index)
	flip(t, index, section(whole, 1)+20)
	damaged, right, err := inspectBlocks(t.Context(), dir, known)
	if err != nil || len(damaged) != 1 || len(right) != len(names)-1 {
		t.Fatalf("an index that was written to: %v are damaged and %d right (%v), want it to be found", damaged, len(right), err)
	}
	stamp, err := stampOf(index)
	if err != nil {
		t.Fatal(err)
	}
	known[names[0]] = stamp
	if damaged, right, err = inspectBlocks(t.Context(), dir, known); err != nil || len(damaged) != 0 || !maps.Equal(right, known) {
		t.Errorf("an index that is known: %v are damaged (%v), want it not to be read", damaged, err)
	}
	if found, err := Examine(t.Context(), dir, false); err != nil || len(found) == 0 {
		t.Errorf("Examine = %v, %v; want it to read every index", found, err)
	}
	// A copy in its place that keeps the time of the content is another file all the same.
	write(t, index, whole)
	if stamp, err = stampOf(index); err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, whole...)
	bad[section(whole, 1)+20] ^= 1
	write(t, index+".copy", bad)
	if err := os.Chtimes(index+".copy", time.Time{}, time.Unix(0, stamp.Written)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(index+".copy", index); err != nil {
		t.Fatal(err)
	}
	known[names[0]] = stamp
	if damaged, _, err = inspectBlocks(t.Context(), dir, known); err != nil || len(damaged) != 1 {
		t.Errorf("an index that was replaced: %v are damaged (%v), want it to be found", damaged, err)
	}
}

// The file saves time alone: whatever it holds, a start is right without it.
func TestWhatIsKnownOfIndexesMayBeAnything(t *testing.T) {
	whole := crashed(t)
	for name, content := range map[string]string{
		"nothing": "", "no JSON": "{", "another shape": `[1]`, "another value": `{"a":1}`, "no block": `{"a":{"Inode":1}}`, "too much": `{"` + strings.Repeat("a", maxInspected) + `":{}}`,
	} {
		dir := copied(t, whole)
		write(t, filepath.Join(dir, inspectedName), []byte(content))
		names, err := blocks(dir)
		if err != nil {
			t.Fatal(err)
		}
		db := openFor(t, Options{Dir: dir})
		if got := len(samples(t, db, series("x"))); got == 0 {
			t.Errorf("%s: no samples are served", name)
		}
		if known := readInspected(dir); len(known) != len(names) {
			t.Errorf("%s: %d blocks are known after the start, want %d", name, len(known), len(names))
		}
	}
	dir := copied(t, whole)
	remove(t, filepath.Join(dir, inspectedName))
	if err := os.Mkdir(filepath.Join(dir, inspectedName), 0o700); err != nil { // it can be neither read nor written
		t.Fatal(err)
	}
	db := openFor(t, Options{Dir: dir})
	if got := len(samples(t, db, series("x"))); got == 0 {
		t.Error("no samples are served")
	}
}
