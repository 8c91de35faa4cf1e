package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// start runs a command until the test ends.
func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil { // returns when the program is the new one
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// find returns the process of that id.
func find(t *testing.T, s Snapshot, pid int) Process {
	t.Helper()
	for _, p := range s.Processes {
		if p.PID == pid {
			return p
		}
	}
	t.Fatalf("process %d is not among the %d found", pid, len(s.Processes))
	return Process{}
}

func read(t *testing.T, table Table) Snapshot {
	t.Helper()
	s, err := table.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARealProcess(t *testing.T) {
	before, err := hostClock()
	if err != nil {
		t.Fatal(err)
	}
	cmd := start(t, "cat", "--", "-", "no such file of saba")
	s := read(t, Table{})
	p := find(t, s, cmd.Process.Pid)
	if p.Parent != os.Getpid() || p.Name != "cat" || p.Command != "cat -- - no such file of saba" || p.Threads != 1 || !strings.ContainsRune("RSD", rune(p.State)) {
		t.Errorf("got %+v", p)
	}
	if p.Resident == 0 || p.Virtual < p.Resident {
		t.Errorf("resident %d, virtual %d bytes", p.Resident, p.Virtual)
	}
	if p.Start < before-tick || p.Start > s.At {
		t.Errorf("it started at %v, between %v and %v", p.Start, before, s.At)
	}
	if s.Boot == "" || s.Hidden {
		t.Errorf("boot %q, hidden %v", s.Boot, s.Hidden)
	}
	if id, err := (Table{}).Owner(p.PID); err != nil || id != os.Geteuid() {
		t.Errorf("Owner = %d, %v, want %d", id, err, os.Geteuid())
	}
	if n, err := (Table{}).Proportional(p.PID); err != nil || n == 0 || n > p.Virtual {
		t.Errorf("Proportional = %d, %v of %d bytes", n, err, p.Virtual)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := (Table{}).OpenFiles(p.PID); err != nil || n != len(files) || n < 3 {
		t.Errorf("OpenFiles = %d, %v, want %d", n, err, len(files))
	}
}

func TestAProcessThatHasEnded(t *testing.T) {
	cmd := exec.Command("cat") // of nothing
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil { // until it has closed it
		t.Fatal(err)
	}
	p := find(t, read(t, Table{}), cmd.Process.Pid)
	for deadline := time.Now().Add(10 * time.Second); p.State != 'Z' && time.Now().Before(deadline); runtime.Gosched() {
		p = find(t, read(t, Table{}), cmd.Process.Pid)
	}
	if p.State != 'Z' || p.Command != "[cat] <defunct>" {
		t.Errorf("its state is %c, its command %q", p.State, p.Command)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := (Table{}).read(cmd.Process.Pid); !Ended(err) {
		t.Errorf("a process that is gone: %v", err)
	}
	if _, err := (Table{}).OpenFiles(cmd.Process.Pid); err == nil {
		t.Error("a process that is gone has open files")
	}
}

const stat = "%d (%s) S %d 1 1 0 -1 %d 1 2 3 4 120 30 5 6 20 0 7 0 900 1000000 250 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"

func fakeProc(extra fstest.MapFS) fstest.MapFS {
	m := fstest.MapFS{
		"1/stat":    {Data: fmt.Appendf(nil, stat, 1, "init", 0, 0)},
		"1/cmdline": {Data: []byte("/sbin/init\x00")},
	}
	for name, f := range extra {
		m[name] = f
	}
	return m
}

func TestNamesAndArguments(t *testing.T) {
	for name, tt := range map[string]struct {
		stat, cmdline string
		want          string
	}{
		"arguments":                     {fmt.Sprintf(stat, 7, "ruby", 1, 0), "ruby\x00-e\x00sleep 1\x00", "ruby -e sleep 1"},
		"a title of its own":            {fmt.Sprintf(stat, 7, "ruby", 1, 0), "delayed_job.0\x00\x00\x00\x00", "delayed_job.0"},
		"a title without an end":        {fmt.Sprintf(stat, 7, "nginx", 1, 0), "nginx: worker process", "nginx: worker process"},
		"an empty first argument":       {fmt.Sprintf(stat, 7, "x", 1, 0), "\x00b\x00", " b"},
		"a thread of the kernel":        {fmt.Sprintf(stat, 7, "kworker/0:1", 2, kernelThread), "what?\x00", "[kworker/0:1]"},
		"brackets and blanks in a name": {fmt.Sprintf(stat, 7, "a) R (b\n) S", 1, 0), "", "[a) R (b\n) S]"},
	} {
		t.Run(name, func(t *testing.T) {
			table := Table{Proc: fakeProc(fstest.MapFS{"7/stat": {Data: []byte(tt.stat)}, "7/cmdline": {Data: []byte(tt.cmdline)}})}
			p := find(t, read(t, table), 7)
			page := uint64(os.Getpagesize())
			want := Process{PID: 7, Parent: p.Parent, Name: p.Name, Command: tt.want, State: 'S', Threads: 7, Start: 9 * time.Second, CPU: 1500 * time.Millisecond, Virtual: 1000000, Resident: 250 * page}
			if p != want {
				t.Errorf("got  %+v\nwant %+v", p, want)
			}
		})
	}
}

// refusing is a /proc that does not let this user look at some files.
type refusing struct {
	fstest.MapFS
	prefix string
	err    error
}

func (r refusing) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, r.prefix) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: r.err}
	}
	return r.MapFS.Open(name)
}

func TestWhatIsHidden(t *testing.T) {
	other := fstest.MapFS{"7/stat": {Data: fmt.Appendf(nil, stat, 7, "x", 1, 0)}, "7/cmdline": {Data: []byte("x\x00")}}
	for name, tt := range map[string]struct {
		proc   fs.FS
		hidden bool
		found  int
	}{
		"all are seen":                {fakeProc(other), false, 2},
		"others may not be looked at": {refusing{fakeProc(other), "7/", fs.ErrPermission}, true, 1},
		"others are not even listed":  {other, true, 1},
		"one ended meanwhile":         {refusing{fakeProc(other), "7/stat", fs.ErrNotExist}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if s := read(t, Table{Proc: tt.proc}); s.Hidden != tt.hidden || len(s.Processes) != tt.found {
				t.Errorf("%d processes, hidden %v, want %d, %v", len(s.Processes), s.Hidden, tt.found, tt.hidden)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := (Table{}).Read(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Read after the end: %v", err)
	}
	broken := fakeProc(fstest.MapFS{"7/stat": {Data: []byte("7 (x) S 1")}})
	if _, err := (Table{Proc: broken}).Read(t.Context()); err == nil || err.Error() != "/proc/7/stat has 2 fields after the name where 22 should be" {
		t.Errorf("Read of a broken file: %v", err)
	}
	if _, err := (Table{Clock: func() (time.Duration, error) { return 0, io.EOF }}).Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Read without a clock: %v", err)
	}
}

func TestOpenFilesWithoutASize(t *testing.T) { // before Linux 6.2
	files := fstest.MapFS{}
	for i := range 3000 {
		files["7/fd/"+strconv.Itoa(i)] = &fstest.MapFile{}
	}
	if n, err := (Table{Proc: fakeProc(files)}).OpenFiles(7); err != nil || n != 3000 {
		t.Errorf("OpenFiles = %d, %v", n, err)
	}
}

// A folder that may be looked at and not into, of a size.
type closedFolder struct{ fstest.MapFS }

func (c closedFolder) Stat(string) (fs.FileInfo, error) { return size(42), nil }
func (c closedFolder) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

type size int64

func (s size) Name() string     { return "fd" }
func (s size) Size() int64      { return int64(s) }
func (size) Mode() fs.FileMode  { return fs.ModeDir }
func (size) ModTime() time.Time { return time.Time{} }
func (size) IsDir() bool        { return true }
func (size) Sys() any           { return nil }

func TestOpenFilesOfAnother(t *testing.T) {
	if n, err := (Table{Proc: closedFolder{}}).OpenFiles(7); err != nil || n != 42 {
		t.Errorf("OpenFiles = %d, %v, want the size of the folder", n, err)
	}
}

func TestAskers(t *testing.T) {
	me := os.Getpid()
	s := Snapshot{Processes: []Process{
		{PID: 1, Command: "/sbin/init"},
		{PID: me + 1, Parent: 1, Command: "saba-agent agent"},
		{PID: me + 2, Parent: me + 1, Command: `sudo -u nobody sh -c check-procs -p "nginx: w" -p x`},
		{PID: me + 3, Parent: me + 2, Command: `sh -c check-procs -p "nginx: w" -p x`},
		{PID: me, Parent: me + 3, Command: "check-procs -p nginx: w -p x"},
		{PID: me + 4, Parent: 1, Command: "nginx: w -p x"}, // no ancestor
	}}
	for name, tt := range map[string]struct {
		texts []string
		want  []int
	}{
		"all that were told the patterns":   {[]string{"nginx: w", "x"}, []int{me, me + 2, me + 3}},
		"not those that were told only one": {[]string{"nginx: w", "saba"}, nil},
		"nobody is told nothing":            {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for pid := range s.Askers(tt.texts) {
				got = append(got, pid)
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v (this is %d)", got, tt.want, me)
			}
		})
	}
	circle := Snapshot{Processes: []Process{{PID: me, Parent: me + 1, Command: "a"}, {PID: me + 1, Parent: me, Command: "a"}}}
	if got := circle.Askers([]string{"a"}); len(got) != 2 {
		t.Errorf("of two that are each other's parents: %v", got)
	}
}

func TestUserID(t *testing.T) {
	u, err := user.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{u.Username: 0, "0": 0, "1234": 1234} {
		if id, err := UserID(name); err != nil || id != want {
			t.Errorf("UserID(%q) = %d, %v, want %d", name, id, err, want)
		}
	}
	if id, err := UserID("no-such-user"); err == nil {
		t.Errorf("UserID of nobody = %d", id)
	}
}

// Whatever a stat file holds, what is accepted is a process that may be.
func FuzzParseStat(f *testing.F) {
	f.Add(fmt.Sprintf(stat, 7, "a) R (b", 1, 0))
	f.Add("1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 18446744073709551615 18446744073709551615 5 6 20 0 1 0 9 1 18446744073709551615")
	if b, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, _, err := parseStat(text)
		if err == nil && (p.CPU < 0 || p.Start < 0 || p.Threads < 0 || p.Parent < 0 || !strings.Contains(text, "("+p.Name+")")) {
			t.Errorf("parseStat(%q) = %+v", text, p)
		}
	})
}

func FuzzParseOwner(f *testing.F) {
	f.Add("Name:\tx\nUid:\t1\t2\t3\t4\n")
	f.Add("Uid:\t-1\t99999999999")
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := parseOwner(text); ok && id < 0 {
			t.Errorf("parseOwner(%q) = %d", text, id)
		}
	})
}
