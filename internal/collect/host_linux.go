package collect

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func hostFS(dir string) fs.FS { return os.DirFS(dir) }

// hostClock returns the time since boot, suspension included (clock_gettime(2), CLOCK_BOOTTIME).
func hostClock() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read the clock since boot: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

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
	u := Usage{BlockSize: uint64(st.Frsize), Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail}
	if u.BlockSize == 0 { // before Linux 2.6.36
		u.BlockSize = uint64(st.Bsize)
	}
	return u, nil
}

// hostUname returns the kernel's name, release, version and machine (uname(2)).
func hostUname() (uname, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return uname{}, fmt.Errorf("ask the kernel for its name: %w", err)
	}
	return uname{
		name:    unix.ByteSliceToString(u.Sysname[:]),
		release: unix.ByteSliceToString(u.Release[:]),
		version: unix.ByteSliceToString(u.Version[:]),
		machine: unix.ByteSliceToString(u.Machine[:]),
		os:      "GNU/Linux", // what uname -o prints, a constant of the tools and not of the kernel
	}, nil
}
