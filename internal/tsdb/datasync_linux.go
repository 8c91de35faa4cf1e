package tsdb

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync returns when the file's content is on disk. Unlike fsync, fdatasync leaves out the
// times of the file, which saves the write of an inode at each call.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
