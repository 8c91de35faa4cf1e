// Package process reads which processes a Linux host has, for plugins and checks. It reads
// /proc directly and starts no process, so that there is nothing of its own to be found, but
// for what asks: see Snapshot.Askers. Begin with Table.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Table is where processes are listed. The zero value is the host's.
type Table struct {
	Proc  fs.FS                         // procfs to read; nil means the host's own
	Clock func() (time.Duration, error) // since boot, suspension included, as Process.Start; nil means the host's own
}

// A Snapshot is the processes of one moment.
type Snapshot struct {
	Boot string        // differs from one start of the host to the next; "" when it is not known
	At   time.Duration // since boot
	// Processes are in no particular order, threads of the kernel among them.
	Processes []Process
	// Hidden says that there are processes that this one may not see (hidepid in proc(5)).
	Hidden bool
}

// A Process is what a host told of one process.
type Process struct {
	PID, Parent int
	Name        string // at most 15 bytes
	// Command is the arguments with blanks between, or what the process made of them. Where there
	// are none it is the name in brackets, as ps has it: "[kthreadd]", "[sleep] <defunct>".
	Command  string
	State    byte // R running, S sleeping, D waiting for a disk, Z ended and not yet waited for…
	Threads  int
	Start    time.Duration // since boot
	CPU      time.Duration // that it used, its children not included
	Virtual  uint64        // bytes
	Resident uint64        // bytes
}

const (
	tick         = time.Second / 100 // USER_HZ, the same on every machine that Go knows
	maxCommand   = 1 << 20           // bytes; what is beyond is left out
	maxFile      = 64 << 10          // bytes, of all other files
	kernelThread = 0x00200000        // PF_KTHREAD in the kernel's sched.h
	filesAtOnce  = 1024              // open files that are listed at a time
)

func (t Table) proc() fs.FS {
	if t.Proc == nil {
		return os.DirFS("/proc")
	}
	return t.Proc
}

// Read returns the processes there are. One that ends meanwhile is left out.
func (t Table) Read(ctx context.Context) (Snapshot, error) {
	clock, proc := t.Clock, t.proc()
	if clock == nil {
		clock = hostClock
	}
	var s Snapshot
	var err error
	if s.At, err = clock(); err != nil {
		return s, err
	}
	if b, err := fs.ReadFile(proc, "sys/kernel/random/boot_id"); err == nil {
		s.Boot = strings.TrimSpace(string(b))
	}
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return s, fmt.Errorf("list the processes: %w", err)
	}
	var first, refused bool // the first process of all, which every namespace has
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid <= 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return s, fmt.Errorf("list the processes: it takes too long: %w", err)
		}
		switch p, err := t.read(pid); {
		case err == nil:
			s.Processes = append(s.Processes, p)
			first = first || pid == 1
		case errors.Is(err, fs.ErrPermission):
			refused = true
		case !Ended(err):
			return s, err
		}
	}
	s.Hidden = refused || !first
	return s, nil
}

// Ended says whether err is that of asking for a process that has ended.
func Ended(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

func (t Table) read(pid int) (Process, error) {
	text, err := t.text(pid, "stat", maxFile)
	if err != nil {
		return Process{}, err
	}
	p, flags, err := parseStat(text)
	if err != nil {
		return p, fmt.Errorf("/proc/%d/stat %w", pid, err)
	}
	if p.PID = pid; flags&kernelThread == 0 {
		args, err := t.text(pid, "cmdline", maxCommand)
		if err != nil {
			return p, err
		}
		p.Command = strings.TrimRight(strings.ReplaceAll(args, "\x00", " "), " ")
	}
	if p.Command == "" {
		p.Command = "[" + p.Name + "]"
		if p.State == 'Z' {
			p.Command += " <defunct>"
		}
	}
	return p, nil
}

// text returns the beginning of a file of a process.
func (t Table) text(pid int, file string, most int) (string, error) {
	name := strconv.Itoa(pid) + "/" + file
	if t.Proc == nil {
		b, err := readHost("/proc/"+name, most)
		return string(b), err
	}
	f, err := t.Proc.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(most)))
	return string(b), err
}

// readHost returns the beginning of a file of /proc. It does without package os, which tries for each file whether it
// can be waited for: five calls of the kernel on top of four, twice for each process of the host.
func readHost(path string, most int) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	b := make([]byte, 0, 1<<10)
	for len(b) < most {
		b = slices.Grow(b, 512)
		n, err := syscall.Read(fd, b[len(b):min(cap(b), most)])
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return b, nil
		default:
			b = b[:len(b)+n]
		}
	}
	return b, nil
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The error is a clause.
func parseStat(text string) (p Process, flags uint64, err error) {
	// A name may hold blanks and brackets of its own: 7 (a) R (b) S 1 …
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return p, 0, errors.New("has no name of the process in brackets")
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 22 || len(fields[0]) != 1 {
		return p, 0, fmt.Errorf("has %d fields after the name where 22 should be", len(fields))
	}
	var numbers [22]uint64
	for _, i := range []int{1, 6, 11, 12, 17, 19, 20, 21} {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return p, 0, fmt.Errorf("has %.40q where a number should be", fields[i])
		}
		numbers[i] = n
	}
	page := uint64(os.Getpagesize())
	most := uint64(math.MaxInt64 / tick)
	if numbers[1] > math.MaxInt32 || numbers[17] > math.MaxInt32 || numbers[19] > most || numbers[11] > most/2 || numbers[12] > most/2 || numbers[21] > math.MaxUint64/page {
		return p, 0, errors.New("has a number that is too large")
	}
	return Process{
		Parent: int(numbers[1]), Name: text[open+1 : end], State: fields[0][0], Threads: int(numbers[17]),
		CPU: time.Duration(numbers[11]+numbers[12]) * tick, Start: time.Duration(numbers[19]) * tick,
		Virtual: numbers[20], Resident: numbers[21] * page,
	}, numbers[6], nil
}

// Owner returns the id of the user with whose rights a process runs.
func (t Table) Owner(pid int) (int, error) {
	// The owner of the folder is root for a process that may not be looked into (proc(5)).
	text, err := t.text(pid, "status", maxFile)
	if err != nil {
		return 0, err
	}
	id, ok := parseOwner(text)
	if !ok {
		return 0, fmt.Errorf("/proc/%d/status names no user", pid)
	}
	return id, nil
}

// parseOwner returns the effective one of a line of four: "Uid:\t1000\t1000\t1000\t1000".
func parseOwner(text string) (int, bool) {
	for line := range strings.Lines(text) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(ids); len(f) >= 2 {
				id, err := strconv.ParseUint(f[1], 10, 32)
				return int(id), err == nil
			}
		}
	}
	return 0, false
}

// Proportional returns the memory of a process in bytes, where a page that n processes share
// counts as 1/n of a page (PSS). It needs the rights of the process's user, and the kernel looks at
// each page for it.
func (t Table) Proportional(pid int) (uint64, error) {
	text, err := t.text(pid, "smaps_rollup", maxFile)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			if n, err := strconv.ParseUint(f[1], 10, 50); err == nil {
				return n << 10, nil
			}
		}
	}
	return 0, fmt.Errorf("/proc/%d/smaps_rollup does not tell the memory", pid)
}

// OpenFiles returns how many files a process has open, sockets and pipes among them. Before Linux
// 6.2 it needs the rights of the process's user.
func (t Table) OpenFiles(pid int) (int, error) {
	name := strconv.Itoa(pid) + "/fd"
	// Since Linux 6.2 the size of the folder is the number, and everybody may know it (proc_fd_getattr).
	if info, err := fs.Stat(t.proc(), name); err == nil && info.Size() > 0 {
		return int(info.Size()), nil
	}
	f, err := t.proc().Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	dir, ok := f.(fs.ReadDirFile)
	if !ok {
		return 0, &fs.PathError{Op: "list", Path: name, Err: errors.ErrUnsupported}
	}
	for n := 0; ; {
		entries, err := dir.ReadDir(filesAtOnce)
		n += len(entries)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// Askers returns which processes are this very one and those that it descends from and that were
// told all of the texts in their arguments: the shell, sudo or timeout that started this one. They match a pattern only because they ask for it. An agent that asks by itself was
// told no pattern, and is a process like others.
func (s Snapshot) Askers(texts []string) map[int]bool {
	byID := make(map[int]*Process, len(s.Processes))
	for i := range s.Processes {
		byID[s.Processes[i].PID] = &s.Processes[i]
	}
	askers := map[int]bool{}
	for p, steps := byID[os.Getpid()], 0; p != nil && steps < len(s.Processes); p, steps = byID[p.Parent], steps+1 {
		told := len(texts) > 0
		for _, text := range texts {
			told = told && strings.Contains(p.Command, strings.TrimRight(text, " "))
		}
		if told {
			askers[p.PID] = true
		}
	}
	return askers
}

// UserID returns the id of a user who is given by name or by number.
func UserID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return int(id), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("this host has no user %q in /etc/passwd: give the number of a user that is known elsewhere", name)
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	return int(id), err
}
