package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Snapshot is the samples of one moment as files, which are held open: whatever the engine deletes
// afterwards can still be read. A folder with these files is what a kill at that moment leaves, so it is opened
// like one. Close it.
//
// It takes no time and no room, as nothing is copied: blocks never change, and of a log, which only
// grows, it says how many bytes count. The engine's own snapshot would write the head as a block, at
// seconds of CPU time, and leave out the late points that are not in a block yet.
type Snapshot struct {
	Files []SnapshotFile
	lock  *os.File // nil when the samples are in use by this process
}

// A SnapshotFile is one file of a Snapshot.
type SnapshotFile struct {
	Name string // its path below the folder of the samples, with slashes
	Size int64  // bytes that count
	f    *os.File
}

// Reader returns a reader of the bytes that count, from the first one on.
func (f SnapshotFile) Reader() io.Reader { return io.NewSectionReader(f.f, 0, f.Size) }

// Close gives the files back.
func (s *Snapshot) Close() error {
	var errs []error
	for _, f := range s.Files {
		errs = append(errs, f.f.Close())
	}
	s.Files = nil
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Snapshot returns the samples as they are now: every point that Append has answered for before the call is
// in it. Nothing waits for it, neither points nor readers.
func (db *DB) Snapshot(ctx context.Context) (*Snapshot, error) {
	var s *Snapshot
	err := db.read(func(*engine) (err error) { // so that the engine is not replaced meanwhile
		s, err = snapshot(ctx, db.dir)
		return err
	})
	return s, err
}

// SnapshotAtRest returns the samples in dir, which no process has in use: the error matches
// saba.ErrConflict when one has. A missing folder holds no samples.
func SnapshotAtRest(ctx context.Context, dir string) (*Snapshot, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return &Snapshot{}, nil
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s, err := snapshot(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

// errMoved says that the engine changed the folder while it was looked at.
var errMoved = errors.New("files came and went meanwhile")

// snapshot opens the files of the samples in dir, whose engine may be at work. When that deletes a file
// between the look at the folder and the opening, all is done again.
func snapshot(ctx context.Context, dir string) (*Snapshot, error) {
	const tries = 50 // a compaction deletes a handful of files, once an hour
	for try := 1; ; try++ {
		s := &Snapshot{}
		err := s.take(ctx, dir)
		if err == nil {
			return s, nil
		}
		err = errors.Join(err, s.Close())
		moved := errors.Is(err, fs.ErrNotExist) || errors.Is(err, errMoved)
		if !moved || try == tries || ctx.Err() != nil {
			return nil, fmt.Errorf("take a snapshot of the samples: %w", err)
		}
	}
}

// take opens the files in an order that leaves nothing out. A commit writes to the log of all points first,
// and then to that of late points, which refers to it; so the latter is looked at first. What leaves a log is
// in a block by then; so the blocks come last.
func (s *Snapshot) take(ctx context.Context, dir string) error {
	if err := s.addLog(ctx, dir, wblFolder); err != nil {
		return err
	}
	if err := s.addCheckpoint(dir); err != nil {
		return err
	}
	if err := s.addLog(ctx, dir, walFolder); err != nil {
		return err
	}
	before, err := blocks(dir)
	if err != nil {
		return err
	}
	for _, b := range before {
		if err := s.addFolder(dir, b); err != nil {
			return err
		}
		if err := s.addFolder(dir, path.Join(b, "chunks")); err != nil {
			return err
		}
	}
	// A listing is not made at one moment: a block that was made from others may have come behind its back
	// while they went before its eyes.
	if after, err := blocks(dir); err != nil {
		return err
	} else if !slices.Equal(before, after) {
		return errMoved
	}
	slices.SortFunc(s.Files, func(a, b SnapshotFile) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// addLog adds the segments of a log. The record that is being written to the last one does not count.
func (s *Snapshot) addLog(ctx context.Context, dir, folder string) error {
	ns, err := segments(filepath.Join(dir, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	first := len(s.Files)
	for i, n := range ns {
		if i > 0 && n != ns[i-1]+1 {
			return fmt.Errorf("segment %08d of %s is missing: %w", ns[i-1]+1, filepath.Join(dir, folder), errMoved)
		}
		if err := s.add(dir, path.Join(folder, fmt.Sprintf("%08d", n))); err != nil {
			return err
		}
	}
	// The first segments may have been deleted once they were opened, but not before their checkpoint was there.
	if folder == walFolder && len(ns) > 0 {
		if at, err := checkpoint(filepath.Join(dir, folder)); err != nil {
			return err
		} else if found := s.checkpoint(); ns[0] > found+1 || at != found {
			return errMoved
		}
	}
	last := len(s.Files) - 1
	for last > first && s.Files[last].Size == 0 { // begun by a start
		last--
	}
	if last < first {
		return nil
	}
	f := &s.Files[last]
	found, err := inspectPages(ctx, f.Reader())
	if err != nil {
		return fmt.Errorf("read %s: %w", f.f.Name(), err)
	}
	if found.fault != "" && found.torn() {
		f.Size = found.keep
	}
	return nil
}

// addCheckpoint adds what stands for the segments that were deleted.
func (s *Snapshot) addCheckpoint(dir string) error {
	at, err := checkpoint(filepath.Join(dir, walFolder))
	if err != nil || at < 0 {
		return err
	}
	return s.addFolder(dir, path.Join(walFolder, checkpointName(at)))
}

// checkpoint returns the number of the checkpoint that s holds; -1 for none.
func (s *Snapshot) checkpoint() int {
	for _, f := range s.Files {
		if name, ok := strings.CutPrefix(f.Name, walFolder+"/"+checkpointPrefix); ok {
			n, err := strconv.Atoi(path.Dir(name))
			if err != nil {
				return -1 // no folder of ours
			}
			return n
		}
	}
	return -1
}

// addFolder adds the files of a folder, and not those in folders below it.
func (s *Snapshot) addFolder(dir, folder string) error {
	files, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Type().IsRegular() {
			if err := s.add(dir, path.Join(folder, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Snapshot) add(dir, name string) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.Files = append(s.Files, SnapshotFile{name, info.Size(), f})
	return nil
}

// blocks lists the names of the blocks in dir, sorted.
func blocks(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if f.IsDir() && isBlock(f.Name()) {
			names = append(names, f.Name())
		}
	}
	return names, nil
}

const checkpointPrefix = "checkpoint."

func checkpointName(n int) string { return fmt.Sprintf(checkpointPrefix+"%08d", n) }

// checkpoint returns the number of the newest checkpoint of the log in dir; -1 when there is none.
func checkpoint(dir string) (int, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	newest := -1
	for _, f := range files {
		if after, ok := strings.CutPrefix(f.Name(), checkpointPrefix); ok && f.IsDir() {
			if n, err := strconv.Atoi(after); err == nil { // .tmp: one that was never finished
				newest = max(newest, n)
			}
		}
	}
	return newest, nil
}
