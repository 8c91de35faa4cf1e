package agent

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shed unmaps the pages of this program's file. Those that the next minute needs come back from the page cache, a
// fault for every 16 of them; those that only the start needed, and the kernel maps around each fault, do not, and
// the kernel may use their memory otherwise. It is about a quarter of what the agent occupies.
//
// Only parts that nobody has written are touched, in memory or swapped out, since what was written would be lost: a
// program that is loaded anywhere has such parts, read-only by now. What does not work is left as it is; nothing
// depends on it.
func shed() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.ReadFile("/proc/self/smaps") // fs/proc/task_mmu.c: a line as in maps, then one for each figure
	if err != nil {
		return
	}
	for _, m := range unwritten(string(smaps), exe) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(m.from), uintptr(m.to-m.from), unix.MADV_DONTNEED)
	}
}

// A mapping is a part of this process's memory: the addresses from <= a < to.
type mapping struct{ from, to uint64 }

// unwritten returns the mappings of the file exe, as smaps has them, that cannot be written and never were: that
// have no page of their own, neither in memory (Anonymous) nor in the swap. Where a figure is missing, it is none.
func unwritten(smaps, exe string) []mapping {
	var found []mapping
	var m mapping         // whose figures follow; zero when it is none of ours
	var noneInMemory bool // of its pages is its own
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case !strings.HasSuffix(fields[0], ":"): // from-to perms offset device inode path
			m, noneInMemory = mapping{}, false
			if len(fields) == 6 && fields[5] == exe && !strings.Contains(fields[1], "w") {
				m.from, m.to = addresses(fields[0])
			}
		case len(fields) != 3 || fields[1] != "0":
		case fields[0] == "Anonymous:":
			noneInMemory = true
		case fields[0] == "Swap:" && noneInMemory && m.from < m.to: // which follows
			found = append(found, m)
		}
	}
	return found
}

// addresses returns what 400000-8ad000 says, and 0, 0 for anything else.
func addresses(s string) (from, to uint64) {
	begin, end, _ := strings.Cut(s, "-")
	from, err := strconv.ParseUint(begin, 16, 64)
	if err != nil {
		return 0, 0
	}
	to, err = strconv.ParseUint(end, 16, 64)
	if err != nil {
		return 0, 0
	}
	return from, to
}
