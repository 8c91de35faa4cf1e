package tsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// damagedFolder is where damaged parts are moved to. Nothing of it is read again, and nothing
// deleted: that is up to a person.
const damagedFolder = "damaged"

// setAsideBlocks moves the damaged blocks away, and says so.
func (db *DB) setAsideBlocks(ctx context.Context) error {
	known := readInspected(db.dir)
	found, right, err := inspectBlocks(ctx, db.dir, known)
	if err != nil {
		return err
	}
	if !maps.Equal(known, right) {
		if err := writeInspected(db.dir, right); err != nil {
			db.log.Debug("the next start reads the indexes of all blocks", "error", err)
		}
	}
	for _, b := range found {
		when := spanOf(filepath.Join(db.dir, b.name))
		to, err := setAside(db.dir, b.name)
		if err != nil {
			return fmt.Errorf("set the damaged block %s aside: %w", b.name, err)
		}
		db.log.Error("A DAMAGED BLOCK OF SAMPLES WAS SET ASIDE: its points are missing, all others are served. Restore a backup, or delete the folder if you can do without",
			"moved to", to, "points", when, "damage", oneLine(b.err))
	}
	return nil
}

// setAside moves something in dir to damagedFolder, durably, and returns its new path.
func setAside(dir, name string) (to string, err error) {
	folder := filepath.Join(dir, damagedFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	flat := strings.ReplaceAll(name, string(filepath.Separator), "-")
	to = filepath.Join(folder, flat)
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		to = filepath.Join(folder, fmt.Sprintf("%s-%d", flat, n))
	}
	from := filepath.Join(dir, name)
	return to, errors.Join(os.Rename(from, to), syncDir(folder), syncDir(filepath.Dir(from)), syncDir(dir))
}

// spanOf words the time of the points of a block, as far as that can be read.
func spanOf(block string) string {
	m, ok := metaOf(block)
	if !ok || m.MinTime >= m.MaxTime {
		return "of an unknown time"
	}
	const minute = "2006-01-02 15:04"
	return fmt.Sprintf("%s to %s UTC", time.UnixMilli(m.MinTime).UTC().Format(minute), time.UnixMilli(m.MaxTime).UTC().Format(minute))
}

// metaOf reads what a block says of itself; ok is false where that cannot be read.
func metaOf(block string) (m tsdb.BlockMeta, ok bool) {
	b, err := os.ReadFile(filepath.Join(block, "meta.json"))
	return m, err == nil && json.Unmarshal(b, &m) == nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", ", ") }

// Damaged returns the names of what was set aside in dir and is still there.
func Damaged(dir string) ([]string, error) {
	files, err := os.ReadDir(filepath.Join(dir, damagedFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for damaged samples: %w", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names, nil
}

// A Room is what is free on the disk of the samples.
type Room struct {
	Free  uint64 // bytes
	Total uint64 // bytes
	Need  uint64 // bytes: with less than these free, points are refused, and agents keep them
}

// Full says whether points are refused.
func (r Room) Full() bool { return r.Free < r.Need }

// Near says whether points will be refused soon: less than four times as much is free as must be.
func (r Room) Near() bool { return r.Free/4 < r.Need }

// DiskRoom returns what is free on the disk of the samples in dir.
func DiskRoom(dir string) (Room, error) {
	free, total, err := freeSpace(dir)
	if err != nil {
		return Room{}, fmt.Errorf("look for free space on the disk of %s: %w", dir, err)
	}
	return Room{free, total, reserved(total)}, nil
}

// gauges returns saba's own metrics of the samples in dir. They are read when somebody asks, so that they are
// right again once a person has mended something.
func gauges(dir string) []prometheus.Collector {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	room := func(of func(Room) float64) func() float64 {
		return func() float64 {
			r, err := DiskRoom(dir)
			if err != nil {
				return -1 // no room is said to be there that nobody has seen
			}
			return of(r)
		}
	}
	return []prometheus.Collector{
		gauge("saba_samples_damaged", "Damaged parts of the samples that were set aside: their points are missing. -1 if that cannot be said.", func() float64 {
			names, err := Damaged(dir)
			if err != nil {
				return -1
			}
			return float64(len(names))
		}),
		gauge("saba_samples_disk_free_bytes", "Free bytes on the disk of the samples. -1 if that cannot be said.", room(func(r Room) float64 { return float64(r.Free) })),
		gauge("saba_samples_disk_reserve_bytes", "With fewer bytes free on the disk of the samples than these, points are refused. -1 if that cannot be said.", room(func(r Room) float64 { return float64(r.Need) })),
	}
}

// A Finding is something about samples at rest that a person should know.
type Finding struct {
	Path   string // what it is about
	What   string // a sentence without its full stop
	Do     string // what to do, as a sentence without its full stop; "" when nothing needs to be done
	Harm   bool   // points are missing, or cannot be read
	broken string // the name of a block that can be set aside; "" for none
}

// Examine reads all of the samples in dir, every chunk of every block, and changes nothing. inUse says that a running saba
// has them: then the logs, which are being written, are left out. The error is of the disk or of ctx.
func Examine(ctx context.Context, dir string, inUse bool) ([]Finding, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []Finding
	if !inUse {
		cuts, err := inspect(ctx, dir)
		var d *damage
		switch {
		case errors.As(err, &d):
			found = append(found, Finding{Path: d.path, What: "it is damaged: " + d.what + "; saba does not start on it", Harm: true,
				Do: "Restore the data folder from a backup, or run saba doctor --repair to go on without " + d.without})
		case err != nil:
			return nil, err
		}
		for _, c := range cuts {
			found = append(found, Finding{Path: c.path, What: fmt.Sprintf("its last %d bytes are no whole record: saba or the machine stopped while writing them, and nobody was told that they are kept; the next start cuts them off", c.size-c.keep)})
		}
		if err == nil { // copies of logs that are whole
			copies, err := examineCopies(ctx, dir)
			if err != nil {
				return nil, err
			}
			found = append(found, copies...)
		}
	}
	bad, _, err := inspectBlocks(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, b := range bad {
		known[b.name] = true
		found = append(found, brokenBlock(dir, b))
	}
	names, err := blocks(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if known[name] {
			continue
		}
		if err := readBlock(ctx, filepath.Join(dir, name)); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if outsideOfData(err) {
			return nil, fmt.Errorf("read block %s: %w", filepath.Join(dir, name), err)
		} else if err != nil {
			found = append(found, brokenBlock(dir, broken{name, err}))
		}
	}
	if inUse { // the engine deletes what it has made others from
		found = withoutDeleted(found)
	}
	aside, err := Damaged(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range aside {
		path := filepath.Join(dir, damagedFolder, name)
		found = append(found, Finding{Path: path, Harm: true,
			What: "it was set aside as damaged, points " + spanOf(path),
			Do:   "Restore the data folder from a backup, or delete it if you can do without"})
	}
	return found, nil
}

func brokenBlock(dir string, b broken) Finding {
	path := filepath.Join(dir, b.name)
	return Finding{Path: path, What: "it is damaged, points " + spanOf(path) + ": " + oneLine(b.err), Harm: true, broken: b.name,
		Do: "Restore the data folder from a backup, or run saba doctor --repair to set it aside and go on without the points of its time"}
}

func withoutDeleted(found []Finding) []Finding {
	var there []Finding
	for _, f := range found {
		if _, err := os.Stat(f.Path); err == nil {
			there = append(there, f)
		}
	}
	return there
}

// readBlock reads every chunk of a block, which compares it with its checksum.
func readBlock(ctx context.Context, dir string) (err error) {
	b, err := tsdb.OpenBlock(nil, dir, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ix, err := b.Index()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ix.Close()) }()
	cr, err := b.Chunks()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cr.Close()) }()
	var it chunkenc.Iterator
	return eachSeries(ctx, ix, func(chks []chunks.Meta) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, meta := range chks {
			c, _, err := cr.ChunkOrIterable(meta)
			if err != nil {
				return fmt.Errorf("the points at byte %d of chunks/%06d: %w", at(meta), file(meta), err)
			}
			n := 0
			for it = c.Iterator(it); it.Next() != chunkenc.ValNone; {
				n++
			}
			if err := it.Err(); err != nil {
				return fmt.Errorf("the points at byte %d of chunks/%06d: %w", at(meta), file(meta), err)
			}
			if n != c.NumSamples() {
				return fmt.Errorf("the points at byte %d of chunks/%06d: %d of %d can be read", at(meta), file(meta), n, c.NumSamples())
			}
		}
		return nil
	})
}

func file(m chunks.Meta) int {
	n, _ := chunks.BlockChunkRef(m.Ref).Unpack()
	return n + 1
}

func at(m chunks.Meta) int {
	_, offset := chunks.BlockChunkRef(m.Ref).Unpack()
	return offset
}

// Repair sets everything aside that is damaged in the samples in dir, which no process may have in use, and returns sentences about what it
// moved. What is whole stays; nothing is deleted.
func Repair(ctx context.Context, dir string) (done []string, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	move := func(name string) error {
		to, err := setAside(dir, name)
		if err != nil {
			return fmt.Errorf("set %s aside: %w", filepath.Join(dir, name), err)
		}
		done = append(done, fmt.Sprintf("%s was moved to %s", filepath.Join(dir, name), to))
		return nil
	}
	for range 8 { // what is damaged behind the first damage is found in the next round
		_, err := inspect(ctx, dir)
		var d *damage
		if !errors.As(err, &d) {
			if err != nil {
				return done, err
			}
			break
		}
		if err := repairLog(dir, d.path, move); err != nil {
			return done, err
		}
	}
	found, err := Examine(ctx, dir, false)
	if err != nil {
		return done, err
	}
	for _, f := range found {
		if f.broken != "" {
			if err := move(f.broken); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// repairLog moves away what is damaged of the logs and the head, and all that cannot be trusted without it.
func repairLog(dir, path string, move func(name string) error) error {
	folder, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	folder, segment := filepath.Dir(folder), filepath.Base(folder)
	if folder == "." { // a whole folder
		folder, segment = segment, ""
	}
	names, err := later(dir, folder, segment)
	if err != nil {
		return err
	}
	if folder == walFolder || strings.HasPrefix(folder, walFolder+string(filepath.Separator)) {
		// Numbers stand for series in the head and in the log of late points. With the log that says what they stand for
		// shortened, the next series get numbers that others had.
		for _, name := range []string{wblFolder, chunksFolder} {
			if exists(filepath.Join(dir, name)) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		if err := move(name); err != nil {
			return err
		}
	}
	return nil
}

// later returns the names of a segment of a log and of all that follow it; the folder's own name when that is what is meant.
func later(dir, folder, segment string) ([]string, error) {
	if segment == "" || folder == chunksFolder {
		return []string{folder}, nil
	}
	if strings.HasPrefix(segment, checkpointPrefix) || strings.HasPrefix(filepath.Base(folder), checkpointPrefix) {
		return []string{walFolder}, nil // the segments are nothing without it
	}
	ns, err := segments(filepath.Join(dir, folder))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range ns {
		if name := filepath.Base(segmentPath("", n)); name >= segment {
			names = append(names, filepath.Join(folder, name))
		}
	}
	return names, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// eachSeries calls f with the chunks of every series of a block.
func eachSeries(ctx context.Context, ix tsdb.IndexReader, f func([]chunks.Meta) error) error {
	name, value := index.AllPostingsKey()
	ps, err := ix.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var builder labels.ScratchBuilder
	var chks []chunks.Meta
	for ps.Next() {
		if err := ix.Series(ps.At(), &builder, &chks); err != nil {
			return err
		}
		if err := f(chks); err != nil {
			return err
		}
	}
	return ps.Err()
}
