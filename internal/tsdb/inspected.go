package tsdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tmpSuffix ends the names of files that are not finished.
const tmpSuffix = ".tmp"

// inspectedName is the file, beside the blocks, that keeps which of their indexes were read whole and found right, so that a start reads none of them
// again that nobody has written to since: at 150,000 series those of a year take gigabytes. What decays on the disk without a write is found by the
// reader that meets it, as in the points themselves, or by Examine. Without the file a start reads all.
const inspectedName = "inspected.json"

// maxInspected bounds what is read of it, in bytes: ten thousand blocks.
const maxInspected = 1 << 20

// An indexStamp changes with every write to an index, and when it is replaced: a file keeps the time of its last change even where a copy brings
// the time of its content along.
type indexStamp struct {
	Inode, Size      uint64
	Changed, Written int64 // Unix nanoseconds
}

func stampOf(path string) (indexStamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return indexStamp{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return indexStamp{Inode: st.Ino, Size: uint64(st.Size), Changed: st.Ctim.Nano(), Written: st.Mtim.Nano()}, nil
}

// readInspected returns the stamps of the indexes that were found right, by their blocks. What cannot be read, or is none of
// ours, counts for nothing.
func readInspected(dir string) map[string]indexStamp {
	path := filepath.Join(dir, inspectedName)
	if info, err := os.Stat(path); err != nil || info.Size() > maxInspected {
		return nil
	}
	var known map[string]indexStamp
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &known) != nil {
		return nil
	}
	return known
}

// writeInspected keeps the stamps for the next start. It is not synced: what a power cut leaves of it is whole, or no JSON.
func writeInspected(dir string, known map[string]indexStamp) error {
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, inspectedName)
	if err := os.WriteFile(path+tmpSuffix, b, 0o600); err != nil {
		return fmt.Errorf("keep which blocks were read: %w", err)
	}
	if err := os.Rename(path+tmpSuffix, path); err != nil {
		return fmt.Errorf("keep which blocks were read: %w", errors.Join(err, os.Remove(path+tmpSuffix)))
	}
	return nil
}
