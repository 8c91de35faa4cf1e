package main

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dropProgram takes the pages of the program's own file out of the memory of this process. What is used comes back from the
// kernel's cache; what a start alone needed, a third of it, does not.
func dropProgram() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return // it is for the figure alone
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range cleanMappings(f, exe) {
		// Not syscall.Madvise: the range is no memory of Go's.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
	}
}

// A mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// cleanMappings returns those of a file that hold what is in the file, by the text of /proc/<pid>/smaps (proc_pid_smaps(5)): they are not for
// writing, and never were. Anything else would be lost.
func cleanMappings(smaps io.Reader, file string) (clean []mapping) {
	var at mapping
	ours := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) >= 6 && strings.Contains(f[0], "-") && !strings.HasSuffix(f[0], ":") {
			a, b, _ := strings.Cut(f[0], "-")
			from, err1 := strconv.ParseUint(a, 16, 64)
			to, err2 := strconv.ParseUint(b, 16, 64)
			at = mapping{uintptr(from), uintptr(to)}
			ours = err1 == nil && err2 == nil && (f[1] == "r-xp" || f[1] == "r--p") && strings.HasSuffix(lines.Text(), " "+file)
			continue
		}
		if len(f) >= 2 && f[0] == "Anonymous:" && ours && f[1] == "0" {
			clean = append(clean, at)
		}
	}
	return clean
}
