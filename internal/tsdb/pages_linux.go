package tsdb

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dropPages takes what was read of the files that are mapped from below some folders out of the memory of this process. It stays in the
// kernel's cache, and is mapped again when it is read again. The files must stay mapped meanwhile.
func dropPages(folders []string) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return // it is for the figure alone
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		from, to, path, ok := parseMapping(lines.Text())
		if !ok || !below(path, folders) {
			continue
		}
		// Not unix.Madvise: the range is no memory of Go's.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	}
}

// parseMapping reads a line of /proc/<pid>/maps (proc_pid_maps(5)). ok is false where it is of no file that is mapped for reading alone and shared, as
// the engine maps its files.
func parseMapping(line string) (from, to uintptr, path string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 || f[1] != "r--s" {
		return 0, 0, "", false
	}
	if f[5][0] != '/' {
		return 0, 0, "", false
	}
	path = line[strings.IndexByte(line, '/'):] // the rest of the line, blanks and all
	a, b, _ := strings.Cut(f[0], "-")
	low, err1 := strconv.ParseUint(a, 16, 64)
	high, err2 := strconv.ParseUint(b, 16, 64)
	return uintptr(low), uintptr(high), path, err1 == nil && err2 == nil && low < high
}

// below says whether a file lies below one of some folders.
func below(path string, folders []string) bool {
	for _, f := range folders {
		if rest, ok := strings.CutPrefix(path, f); ok && strings.HasPrefix(rest, "/") {
			return true
		}
	}
	return false
}
