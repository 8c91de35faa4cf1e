package tsdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/saba-monitor/saba"
)

// lockDir takes the folder for this process until the file that it returns is closed. The
// kernel drops the lock of a process that dies, so the file may stay.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the folder of the samples cannot be written: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = saba.Errorf(saba.ErrConflict, "the samples in %s are in use by another saba: stop it, or use another data folder", dir)
		} else {
			err = fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// segments lists the numbers of the segment files of a log, ascending. Other files are not the log's.
func segments(dir string) ([]int, error) {
	files, err := os.ReadDir(dir) // sorted by name, and names have leading zeros
	if err != nil {
		return nil, err
	}
	var ns []int
	for _, f := range files {
		if n, err := strconv.Atoi(f.Name()); err == nil && !f.IsDir() {
			ns = append(ns, n)
		}
	}
	return ns, nil
}

func segmentPath(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("%08d", n)) }

// A syncedLog syncs one of the engine's logs from outside: the engine writes its logs at each
// commit, but syncs a segment only when it is full. A sync works on the inode, whoever opened it.
type syncedLog struct {
	dir  string
	f    *os.File // the newest segment known
	n    int      // its number
	size int64    // its size at the last sync
}

func openSyncedLog(dir string) (syncedLog, error) {
	l := syncedLog{dir: dir}
	if err := l.openNewest(); err != nil {
		return l, err
	}
	return l, syncDir(dir)
}

func (l *syncedLog) openNewest() error {
	ns, err := segments(l.dir)
	if err != nil {
		return err
	}
	if len(ns) == 0 {
		return fmt.Errorf("%s holds no log to sync", l.dir)
	}
	n := ns[len(ns)-1]
	f, err := os.Open(segmentPath(l.dir, n))
	if err != nil {
		return err
	}
	if l.f != nil {
		l.f.Close() // read-only: nothing to lose
	}
	l.f, l.n, l.size = f, n, 0
	return nil
}

// sync returns when all that was written to the log before the call is on disk.
func (l *syncedLog) sync() error {
	for rolled := false; ; rolled = true {
		f, err := os.Open(segmentPath(l.dir, l.n+1))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err == nil {
			// The log went on in a new segment. The one before may hold the latest commit.
			if err := l.syncFile(); err != nil {
				return errors.Join(err, f.Close())
			}
			l.f.Close()
			l.f, l.n, l.size = f, l.n+1, 0
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(l.f.Fd()), &st); err != nil {
			return fmt.Errorf("stat %s: %w", l.f.Name(), err)
		}
		if st.Nlink == 0 {
			// While nothing was appended, compaction started several new segments and
			// deleted the old ones, ours among them.
			if err := l.openNewest(); err != nil {
				return err
			}
			continue
		}
		if rolled {
			if err := syncDir(l.dir); err != nil {
				return err
			}
		}
		if st.Size == l.size {
			return nil
		}
		if err := l.syncFile(); err != nil {
			return err
		}
		l.size = st.Size
		return nil
	}
}

func (l *syncedLog) syncFile() error {
	if err := datasync(l.f); err != nil {
		return fmt.Errorf("sync %s: %w", l.f.Name(), err)
	}
	return nil
}

func (l *syncedLog) close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

// syncDir makes the names of new files in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync the folder %s: %w", dir, err)
	}
	return nil
}

// reserve is what must stay free on the disk for points to be accepted: the engine ends the
// whole process when it cannot write a chunk of its head, so it must never get that far, and the
// database beside it needs room as well. Disks below 2.5 GiB keep a twentieth.
const reserve = 128 << 20 // bytes

// reserved returns how much must stay free on a disk of total bytes.
func reserved(total uint64) uint64 { return min(reserve, total/20) }

// space watches the room left on the disk of a folder.
type space struct {
	dir  string
	free func(dir string) (free, total uint64, err error)
}

// check returns an error matching saba.ErrUnavailable when too little room is left.
func (s space) check() error {
	free, total, err := s.free(s.dir)
	if err != nil {
		return fmt.Errorf("look for free space on the disk of %s: %w", s.dir, err)
	}
	if need := reserved(total); free < need {
		return saba.Errorf(saba.ErrUnavailable, "the disk of %s is full: %d MiB are free and saba leaves %d MiB alone; make room, and points are accepted again", s.dir, free>>20, need>>20)
	}
	return nil
}

// checkStart returns an error when there is not even the room for what a start may write. It writes chunks of what it reads in the logs, and the engine
// would end the whole process with a trace of its goroutines.
func (s space) checkStart() error {
	free, total, err := s.free(s.dir)
	if err != nil {
		return fmt.Errorf("look for free space on the disk of %s: %w", s.dir, err)
	}
	if need := reserved(total) / 4; free < need {
		return saba.Errorf(saba.ErrUnavailable, "the disk of %s is full: %d KiB are free, and a start needs %d KiB; make room, and start again", s.dir, free>>10, need>>10)
	}
	return nil
}

func freeSpace(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), uint64(st.Blocks) * uint64(st.Bsize), nil
}

// probe says whether the disk takes writes: it writes, syncs and removes a file in dir.
func probe(dir string) (err error) {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, 256<<10)); err != nil {
		return err
	}
	return f.Sync()
}
