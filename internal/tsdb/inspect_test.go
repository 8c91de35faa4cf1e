package tsdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
	"github.com/saba-monitor/saba"
)

// tree returns the content of every file below dir, hashed, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	hashes := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			hashes[path] = "a folder"
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		sum := sha256.Sum256(b)
		hashes[path] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hashes
}

// crashed returns the folder of an engine that was killed: it has blocks, chunks of the head, a
// checkpoint, several segments, and late points. The returned engine is closed at the end.
func crashed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const hour = 3600
	for round := range int64(3) {
		db := openFor(t, Options{Dir: dir})
		for h := range int64(5) {
			var points []saba.Point
			for m := range int64(60) {
				at := start + (round*5+h)*hour + m*60
				points = append(points, point(series("x"), at, float64(m)), point(series("y"), at, 1), point(series("late"), at-2*hour, 2))
			}
			put(t, db, start+(round*5+h+1)*hour, points...)
		}
		keepStill(db) // a copy must not meet files on the move
		compact(t, db)
		if round == 2 {
			// Of these hours nothing is in blocks, nor in a snapshot.
			for i := range int64(100) {
				at := start + 15*hour + i*60
				put(t, db, at, point(series("x"), at, float64(i)), point(series("late"), at-2*hour, 3))
			}
			dir = copyOf(t, db)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// one returns the file below dir that matches pattern: the last one in order.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("nothing matches %s: %v, %v", pattern, found, err)
	}
	slices.Sort(found)
	return found[len(found)-1]
}

// written returns the last segment of the log in dir that is not empty, and its content.
func written(t *testing.T, dir string) (path string, content []byte) {
	t.Helper()
	ns, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range slices.Backward(ns) {
		if b := read(t, segmentPath(dir, n)); len(b) > 0 {
			return segmentPath(dir, n), b
		}
	}
	t.Fatalf("%s is empty", dir)
	return "", nil
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// flip changes one byte.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	b := read(t, path)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0x5a
	write(t, path, b)
}

// section returns where the i-th section of an index begins, in the order of its table of contents.
func section(ix []byte, i int) int {
	return int(binary.BigEndian.Uint64(ix[len(ix)-52+8*i:]))
}

func TestDamageIsNamedAndLeftAlone(t *testing.T) {
	whole := crashed(t)
	for name, tt := range map[string]struct {
		damage func(t *testing.T, dir string)
		names  string // a part of the path that the error names
	}{
		"a byte in the midst of the last segment": {
			func(t *testing.T, dir string) {
				path, b := written(t, filepath.Join(dir, walFolder))
				flip(t, path, len(b)/2)
			}, walFolder},
		"a byte at the start of the last segment": {
			func(t *testing.T, dir string) {
				path, _ := written(t, filepath.Join(dir, walFolder))
				flip(t, path, headerSize)
			}, walFolder},
		"a byte in the midst of the log of late points": {
			func(t *testing.T, dir string) {
				path, b := written(t, filepath.Join(dir, wblFolder))
				flip(t, path, len(b)/2)
			}, wblFolder},
		"the end of a segment that is not the last": {
			func(t *testing.T, dir string) {
				ns, err := segments(filepath.Join(dir, walFolder))
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range ns {
					path := segmentPath(filepath.Join(dir, walFolder), n)
					if b := read(t, path); len(b) > 100 {
						write(t, path, b[:bytes.LastIndexFunc(b, func(r rune) bool { return r != 0 })-3])
						if last, _ := written(t, filepath.Join(dir, walFolder)); last == path {
							t.Fatal("there is one segment only")
						}
						return
					}
				}
			}, walFolder},
		"a segment that is missing": {
			func(t *testing.T, dir string) {
				ns, err := segments(filepath.Join(dir, walFolder))
				if err != nil || len(ns) < 3 {
					t.Fatal(ns, err)
				}
				remove(t, segmentPath(filepath.Join(dir, walFolder), ns[len(ns)-2]))
			}, walFolder},
		"a checkpoint that is missing": {
			func(t *testing.T, dir string) { remove(t, one(t, dir, "wal/checkpoint.*")) }, walFolder},
		"a byte in the checkpoint": {
			func(t *testing.T, dir string) { flip(t, one(t, dir, "wal/checkpoint.*/0*"), 100) }, "checkpoint."},
		"a checkpoint that is cut short": {
			func(t *testing.T, dir string) {
				path := one(t, dir, "wal/checkpoint.*/0*")
				write(t, path, read(t, path)[:30])
			}, "checkpoint."},
		"a log that holds something else": {
			func(t *testing.T, dir string) {
				remove(t, filepath.Join(dir, walFolder))
				if err := os.Mkdir(filepath.Join(dir, walFolder), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, walFolder, "00000000"), bytes.Repeat([]byte("a letter to a friend\n"), 4000))
			}, walFolder},
		"a log whose one record is overwritten": {
			func(t *testing.T, dir string) {
				path, b := written(t, filepath.Join(dir, wblFolder))
				write(t, path, append([]byte{1, 0, 4, 1, 2, 3, 4}, b[:4]...))
			}, wblFolder},
		"a chunk file of the head without its beginning": {
			func(t *testing.T, dir string) { flip(t, one(t, dir, "chunks_head/0*"), 0) }, chunksFolder},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, dir)
			before := tree(t, dir)
			db, err := Open(t.Context(), Options{Dir: dir})
			if err == nil {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				t.Fatal("Open of damaged data succeeded")
			}
			if !maps.Equal(before, tree(t, dir)) {
				t.Error("Open changed the damaged data")
			}
			for _, want := range []string{dir, tt.names, "is damaged: ", "nothing was changed", "restore", "move"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Open() = %v; want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("Open() = %q: more than one line", err)
			}
		})
	}
}

func TestWhatACrashLeavesIsRepaired(t *testing.T) {
	whole := crashed(t)
	for name, tt := range map[string]struct {
		log  string
		tear func([]byte) []byte
	}{
		"nothing is torn":                      {walFolder, nil},
		"the first record is all there is":     {wblFolder, func(b []byte) []byte { return b[:9] }},
		"of the first record there is a byte":  {wblFolder, func(b []byte) []byte { return b[:1] }},
		"the first record was not written":     {wblFolder, func(b []byte) []byte { return append([]byte{0x09, 0x20, 0, 1, 2, 3, 4, 5}, make([]byte, 9000)...) }},
		"the last record is cut short":         {walFolder, func(b []byte) []byte { return b[:len(b)-3] }},
		"its header is cut short":              {walFolder, func(b []byte) []byte { return append(b, 0x09, 0) }},
		"it has no end":                        {walFolder, func(b []byte) []byte { return append(b, 0x09, 0x20, 0, 1, 2, 3, 4, 5, 6) }},
		"it is garbage":                        {walFolder, func(b []byte) []byte { return append(b, 0x09, 0, 2, 1, 2, 3, 4, 5, 6) }},
		"blocks of the disk were not written":  {walFolder, func(b []byte) []byte { return append(b, make([]byte, 3*pageSize)...) }},
		"a late record is cut short":           {wblFolder, func(b []byte) []byte { return b[:len(b)-3] }},
		"blocks of a late one were not there":  {wblFolder, func(b []byte) []byte { return append(append(b, 0x09, 0x40, 0, 1, 2, 3, 4), make([]byte, 20000)...) }},
		"the log of late points is there only": {wblFolder, func(b []byte) []byte { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			path, b := written(t, filepath.Join(dir, tt.log))
			torn := b
			if tt.tear != nil {
				torn = tt.tear(slices.Clone(b))
				write(t, path, torn)
			}
			var log bytes.Buffer
			for range 2 { // once repaired, it stays so
				log.Reset()
				db, err := Open(t.Context(), Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				x := samples(t, db, series("x"))
				if len(x) < 15*60+99 {
					t.Errorf("%d samples are left, want at most one lost of %d", len(x), 15*60+100)
				}
				if late := samples(t, db, series("late")); tt.log == walFolder && len(late) < 15*60+99 || len(late) < 15*60 {
					t.Errorf("%d late samples are left, want at most one lost of %d", len(late), 15*60+100)
				}
				put(t, db, start+17*3600, point(series("x"), start+17*3600, 1))
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				if n := strings.Count(log.String(), "\n"); n > 1 || n == 1 && !strings.Contains(log.String(), "bytes=") {
					t.Errorf("the log has %d lines, want one with the number of bytes at most:\n%s", n, log.String())
				}
			}
			if log.Len() > 0 {
				t.Errorf("the second start says:\n%s", log.String())
			}
		})
	}
}

// TestInspectionReadsAsTheEngineDoes cuts a log at every byte, and wants what the engine reads of it.
func TestInspectionReadsAsTheEngineDoes(t *testing.T) {
	whole := segmentOf(t, 70_000, 10, 0, 33_000, 5)
	for n := 0; n < len(whole); n += 1 + n%3*500 {
		agree(t, whole[:n])
	}
	agree(t, whole)
}

// segmentOf returns a log with records of the given sizes, written by the engine.
func segmentOf(tb testing.TB, sizes ...int) []byte {
	tb.Helper()
	dir := tb.TempDir()
	w, err := wlog.New(nil, nil, dir, compression.Snappy)
	if err != nil {
		tb.Fatal(err)
	}
	for i, n := range sizes {
		rec := make([]byte, n)
		for k := range rec {
			rec[k] = byte(k*k>>3 ^ k*i ^ k>>7) // does not compress to nothing
		}
		if err := w.Log(rec); err != nil {
			tb.Fatal(err)
		}
	}
	b, err := os.ReadFile(segmentPath(dir, 0))
	if err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b
}

// agree compares our reading of a segment with the engine's. Where the file ends within a header
// the engine reads the rest as zeros, and makes an empty record of it or nothing: there we are stricter.
func agree(t *testing.T, b []byte) {
	t.Helper()
	s, err := inspectPages(t.Context(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if s.size != int64(len(b)) || s.keep > s.size || s.keep < 0 {
		t.Fatalf("of %d bytes %+v", len(b), s)
	}
	records, err := engineReads(b)
	if err != nil && s.fault == "" && !compressionFault(err) {
		t.Errorf("of %d bytes we say %+v, the engine %v", len(b), s, err)
	}
	kept, err := engineReads(b[:s.keep])
	if err != nil && !compressionFault(err) {
		t.Errorf("of the %d bytes to keep of %d the engine says %v", s.keep, len(b), err)
	}
	if !slices.EqualFunc(kept, records, bytes.Equal) {
		t.Errorf("of the %d bytes to keep of %d the engine reads %d records, of all %d", s.keep, len(b), len(kept), len(records))
	}
}

// compressionFault says whether the engine could not unpack a record whose checksum is right.
func compressionFault(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "snappy") || strings.Contains(err.Error(), "zstd") ||
		strings.Contains(err.Error(), "magic number") || strings.Contains(err.Error(), "EOF"))
}

func engineReads(b []byte) ([][]byte, error) {
	// As the engine reads files: padded with zeros to a whole page.
	r := wlog.NewReader(bytes.NewReader(append(slices.Clone(b), make([]byte, -len(b)&(pageSize-1))...)))
	var records [][]byte
	for r.Next() {
		records = append(records, bytes.Clone(r.Record()))
	}
	for len(records) > 0 && len(records[len(records)-1]) == 0 {
		records = records[:len(records)-1]
	}
	return records, r.Err()
}

// FuzzInspectPages checks that whatever a disk holds, the inspection ends, and that it finds
// whole what the engine can read to the end.
func FuzzInspectPages(f *testing.F) {
	f.Add([]byte{})
	f.Add(segmentOf(f, 10, 0, 300))
	f.Add(append(segmentOf(f, 40), 0x01, 0, 1, 0, 0, 0, 0, 7))
	f.Add(segmentOf(f, 40_000, 3)[:35_000])
	f.Add(append(make([]byte, 100), 1))
	f.Fuzz(func(t *testing.T, b []byte) { agree(t, b) })
}

// TestEveryByteOfAnIndexIsChecked turns over each byte of an index in turn: the engine or we must see it.
func TestEveryByteOfAnIndexIsChecked(t *testing.T) {
	path := indexOf(t, 40)
	whole := read(t, path)
	if wrong, err := inspectIndex(t.Context(), path); wrong != "" || err != nil {
		t.Fatalf("a whole index is said to be wrong: %s, %v", wrong, err)
	}
	copied := filepath.Join(t.TempDir(), "index")
	for at := range whole {
		b := slices.Clone(whole)
		b[at] ^= 0x11
		write(t, copied, b)
		r, err := index.NewFileReader(copied, index.DecodePostingsRaw)
		if err != nil {
			continue // the engine's own start sees it
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if wrong, err := inspectIndex(t.Context(), copied); err != nil || wrong == "" {
			t.Errorf("byte %d of %d is wrong and nobody sees it (%v)", at, len(whole), err)
		}
	}
}

// indexOf writes an index of so many series.
func indexOf(tb testing.TB, n int) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "index")
	w, err := index.NewWriter(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	var all []labels.Labels
	symbols := map[string]bool{"__name__": true, "host": true, "org": true, "o": true}
	for i := range n {
		name, host := fmt.Sprintf("custom.metric.%d", i%150), fmt.Sprintf("host%06d", i/150)
		symbols[name], symbols[host] = true, true
		all = append(all, labels.FromStrings("__name__", name, "host", host, "org", "o"))
	}
	for _, s := range slices.Sorted(maps.Keys(symbols)) {
		if err := w.AddSymbol(s); err != nil {
			tb.Fatal(err)
		}
	}
	slices.SortFunc(all, labels.Compare)
	for i, l := range all {
		var metas []chunks.Meta
		for c := range 20 {
			metas = append(metas, chunks.Meta{Ref: chunks.ChunkRef(8 + i*4000 + c*150), MinTime: int64(c) * 7_200_000, MaxTime: int64(c)*7_200_000 + 7_140_000})
		}
		if err := w.AddSeries(0, l, metas...); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkInspectIndex reads the index of a block with 150,000 series.
func BenchmarkInspectIndex(b *testing.B) {
	path := indexOf(b, 150_000)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		if wrong, err := inspectIndex(context.Background(), path); wrong != "" || err != nil {
			b.Fatal(wrong, err)
		}
	}
}

// FuzzInspectEntries checks that whatever an index holds, its inspection ends.
func FuzzInspectEntries(f *testing.F) {
	whole, err := os.ReadFile(indexOf(f, 3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := inspectEntries(t.Context(), b); err != nil {
			t.Error(err)
		}
	})
}

// A chunk that is damaged is met by a reader. What it is told has to name the file, and a way on.
func TestADamagedChunkIsNamed(t *testing.T) {
	dir := crashed(t)
	blocks, err := filepath.Glob(filepath.Join(dir, "0*"))
	if err != nil || len(blocks) == 0 {
		t.Fatal(blocks, err)
	}
	slices.Sort(blocks)
	flip(t, filepath.Join(blocks[0], "chunks", "000001"), 8+20) // within the first chunk
	db := openFor(t, Options{Dir: dir})
	_, err = db.Range(t.Context(), []saba.Series{series("late"), series("x"), series("y")}, start-3*3600, start+20*3600)
	if err == nil {
		t.Fatal("a damaged chunk was read without an error")
	}
	explained := explainChunk(dir, err)
	for _, want := range []string{blocks[0] + " is damaged", "byte 8 of chunks/000001", "restore the data folder from a backup", "saba doctor --repair", "checksum mismatch"} {
		if !strings.Contains(explained.Error(), want) {
			t.Errorf("explainChunk(%v) = %v; want %q in it", err, explained, want)
		}
	}
	other := errors.New("the disk is on fire")
	if got := explainChunk(dir, other); got != other {
		t.Errorf("explainChunk changed another error: %v", got)
	}
	if got := explainChunk(dir, nil); got != nil {
		t.Errorf("explainChunk(nil) = %v", got)
	}
}

func TestHolds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "samples")
	want := func(want bool) {
		t.Helper()
		if got, err := Holds(dir); got != want || err != nil {
			t.Errorf("Holds() = %v, %v; want %v", got, err, want)
		}
	}
	want(false) // no folder
	db := openFor(t, Options{Dir: dir})
	want(false) // as a first start that was killed leaves it
	put(t, db, start, point(series("x"), start, 1))
	want(true)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	want(true)
	file := filepath.Join(t.TempDir(), "samples")
	write(t, file, nil)
	if _, err := Holds(file); err == nil || !strings.Contains(err.Error(), file+" is not a folder: move it away") {
		t.Errorf("Holds() of a file = %v", err)
	}
}
