package follow

import (
	"os"

	"golang.org/x/sys/unix"
)

// born returns when a file was made, in Unix nanoseconds; 0 where the file system does not keep it.
// Numbers of files are given to others soon (ext4), also beside the file that had them.
func born(f *os.File) int64 {
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st); err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}
