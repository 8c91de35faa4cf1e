package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// A reading is what a process has cost so far.
type reading struct {
	cpu     time.Duration // its own, of all threads, those that ended too
	wakeups int64         // voluntary context switches, of the threads that live
}

// read returns what the process pid has cost so far.
func read(pid int) (reading, error) {
	cpu, err := cpuClock(pid)
	if err != nil {
		return reading{}, err
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return reading{}, err
	}
	r := reading{cpu: cpu}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		n, err := statusField(string(b), "voluntary_ctxt_switches")
		if err != nil {
			return r, fmt.Errorf("%s: %w", f, err)
		}
		r.wakeups += n
	}
	return r, nil
}

// A size is how much memory a process occupies, in bytes.
type size struct{ resident, private, highest int64 }

func readSize(pid int) (s size, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return s, err
	}
	for key, to := range map[string]*int64{"VmRSS": &s.resident, "RssAnon": &s.private, "VmHWM": &s.highest} {
		n, err := statusField(string(b), key)
		if err != nil {
			return s, fmt.Errorf("status of process %d: %w", pid, err)
		}
		*to = n << 10
	}
	return s, nil
}

// statusField returns the number behind key in a file like /proc/<pid>/status (proc_pid_status(5)).
func statusField(text, key string) (int64, error) {
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if name != key {
			continue
		}
		f := strings.Fields(rest)
		if len(f) == 0 {
			break
		}
		return strconv.ParseInt(f[0], 10, 64)
	}
	return 0, fmt.Errorf("there is no number %s", key)
}

// cpuClock returns the CPU time of a process without its children, in nanoseconds where /proc/<pid>/stat
// has hundredths of a second: a minute of the agent is less than one of them.
func cpuClock(pid int) (time.Duration, error) {
	// The clock of another process: clock_getcpuclockid(3), include/linux/posix-timers_types.h.
	const sched = 2
	clock := (^pid)<<3 | sched
	var t syscall.Timespec
	if _, _, e := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); e != 0 {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, e)
	}
	return time.Duration(t.Nano()), nil
}

// finish waits for the end of a child of ours and leaves it to be reaped, so that its clock can still be read.
func finish(pid int) error {
	const byPID, exited, keep = 1, 4, 0x01000000 // P_PID, WEXITED, WNOWAIT
	var info [128]byte
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), exited|keep, 0, 0)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return fmt.Errorf("wait for process %d: %w", pid, e)
		}
		return nil
	}
}

// countCalls counts the system calls in what strace -f -ttt wrote, from one moment to another, by name.
func countCalls(trace string, from, to time.Time) (map[string]int, error) {
	f, err := os.Open(trace)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	calls := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		at, name, ok := parseCall(lines.Text())
		if ok && !at.Before(from) && at.Before(to) {
			calls[name]++
		}
	}
	return calls, lines.Err()
}

// parseCall reads a line of strace -f -ttt: process, seconds, and a call. A call that another thread's
// interrupts has two lines, of which the first counts; signals and exits are no calls.
func parseCall(line string) (at time.Time, name string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 {
		return at, "", false
	}
	sec, frac, _ := strings.Cut(f[1], ".")
	s, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return at, "", false
	}
	us, err := strconv.ParseInt(frac, 10, 64)
	if err != nil || len(frac) != 6 {
		return at, "", false
	}
	name, _, called := strings.Cut(f[2], "(")
	if !called || name == "" || name[0] < 'a' || name[0] > 'z' {
		return at, "", false
	}
	return time.Unix(s, us*1000), name, true
}
