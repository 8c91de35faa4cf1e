package mount

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// hostStat asks the kernel for the usage of the file system at a path (statfs(2)). It blocks
// for as long as the file system does.
func hostStat(path string) (Usage, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return Usage{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
		}
	}
	u := Usage{BlockSize: uint64(st.Frsize), Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail, Files: st.Files, FreeFiles: st.Ffree}
	if u.BlockSize == 0 { // before Linux 2.6.36
		u.BlockSize = uint64(st.Bsize)
	}
	return u, nil
}
