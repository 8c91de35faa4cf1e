package collect

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// twoRounds collects this machine's metrics twice, as far apart as it takes for rates.
func twoRounds(t testing.TB, s *Set) Round {
	t.Helper()
	first := s.Collect(t.Context(), 10*time.Second)
	for _, src := range first.Sources {
		if src.Err != nil {
			t.Errorf("first round: %v", src.Err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		r := s.Collect(t.Context(), 10*time.Second)
		if _, ok := byName(r.Values)["cpu.idle.percentage"]; ok {
			return r
		}
	}
	t.Fatal("no CPU percentages within 30 s")
	return Round{}
}

func TestThisMachine(t *testing.T) {
	r := twoRounds(t, New(Options{}))
	got := byName(r.Values)
	for _, src := range r.Sources {
		if src.Err != nil {
			t.Errorf("second round: %v", src.Err)
		}
	}
	var cpu float64
	for name, v := range got {
		if strings.HasPrefix(name, "cpu.") {
			cpu += v
			if v < 0 || v > float64(100*runtime.NumCPU()) {
				t.Errorf("%s = %v, outside of 0 to %d", name, v, 100*runtime.NumCPU())
			}
		}
		if v < 0 {
			t.Errorf("%s = %v, below zero", name, v)
		}
	}
	// Less only where iowait or idle went back: the clock then says how much there was to share.
	if want := float64(100 * runtime.NumCPU()); cpu > want+1e-6 || cpu < want*0.9 {
		t.Errorf("the states of the processors sum up to %v, want %v", cpu, want)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if want := float64(info.Totalram) * float64(info.Unit); math.Abs(got["memory.total"]-want) > 1024 {
		t.Errorf("memory.total %v, sysinfo(2) says %v", got["memory.total"], want)
	}
	if available, ok := got["memory.mem_available"]; !ok || got["memory.used"]+available != got["memory.total"] {
		t.Errorf("memory: used %v + available %v, want the total %v", got["memory.used"], available, got["memory.total"])
	}
	for _, name := range []string{"loadavg1", "loadavg5", "loadavg15"} {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}

// df is the referee: each of its devices has the same used and size here. The disk is in use,
// so both are compared with df before and after, until nothing else wrote in between.
func TestFilesystemsAreAsDfHasThem(t *testing.T) {
	type row struct{ blocks, used, available uint64 }
	df := func() map[string]row {
		out, err := exec.CommandContext(t.Context(), "df", "-Pkl", "-x", "squashfs", "-x", "iso9660", "-x", "erofs").Output()
		var refused *exec.ExitError // a mount that df may not look into; the others are there
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("df: %v", err)
		}
		rows := map[string]row{}
		for line := range strings.Lines(string(out)) {
			f := strings.Fields(line)
			if len(f) < 6 {
				continue
			}
			var r row
			var errs [3]error
			r.blocks, errs[0] = strconv.ParseUint(f[1], 10, 64)
			r.used, errs[1] = strconv.ParseUint(f[2], 10, 64)
			r.available, errs[2] = strconv.ParseUint(f[3], 10, 64)
			if errs == [3]error{} && r.used+r.available > 0 {
				rows[f[0]] = r
			}
		}
		return rows
	}
	s := New(Options{})
	filesystems := Filesystem{}
	var complaint string
	for range 50 {
		before := df()
		values, err := filesystems.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		facts, err := s.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		after := df()
		got := byName(values)
		complaint = ""
		devices := 0
		for source, b := range before {
			a := after[source]
			if f := facts.Meta.Filesystem[source]; b == a && (f.KBSize != b.blocks || f.KBUsed != b.used || f.KBAvailable != b.available) {
				complaint += source + ": facts differ from df\n"
			}
			device, ok := strings.CutPrefix(source, "/dev/")
			if !ok {
				continue
			}
			devices++
			name := "filesystem." + sanitise(device)
			for metric, want := range map[string][2]uint64{"used": {b.used, a.used}, "size": {b.used + b.available, a.used + a.available}} {
				v, ok := got[name+"."+metric]
				lo, hi := float64(min(want[0], want[1]))*1024, float64(max(want[0], want[1]))*1024
				if !ok || v < lo || v > hi {
					complaint += name + "." + metric + " is " + strconv.FormatFloat(v, 'f', -1, 64) + ", df says " +
						strconv.FormatFloat(lo, 'f', -1, 64) + " to " + strconv.FormatFloat(hi, 'f', -1, 64) + "\n"
				}
			}
		}
		if len(values) != 2*devices {
			complaint += "df has " + strconv.Itoa(devices) + " devices, we have " + strconv.Itoa(len(values)/2) + "\n"
		}
		if complaint == "" {
			return
		}
	}
	t.Error(complaint)
}

func TestFactsOfThisMachine(t *testing.T) {
	facts, err := New(Options{}).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	uname := func(flag string) string {
		out, err := exec.CommandContext(t.Context(), "uname", flag).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	for key, flag := range map[string]string{"name": "-s", "release": "-r", "version": "-v", "machine": "-m", "os": "-o"} {
		if got, want := facts.Meta.Kernel[key], uname(flag); got != want {
			t.Errorf("kernel.%s %q, uname %s says %q", key, got, flag, want)
		}
	}
	if want := uname("-n"); facts.Name != want {
		t.Errorf("name %q, uname -n says %q", facts.Name, want)
	}
	if n := len(facts.Meta.CPU); n == 0 {
		t.Error("no processors")
	}
	if facts.Meta.Memory["total"] == "" {
		t.Errorf("memory %v has no total", facts.Meta.Memory)
	}
}

// Files of the host are read whole, whatever their length, and each error names the file.
func TestHostFolder(t *testing.T) {
	dir := t.TempDir()
	folder := hostFS(dir)
	for _, size := range []int{0, 1, readBuffer - 1, readBuffer, readBuffer + 1, 3*keptBuffer + 5, 10} {
		want := strings.Repeat("0123456789", size/10+1)[:size]
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readText(folder, "file"); err != nil || got != want {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "file"), maxTextFile+1); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"file": "file too large", "none": "no such file", ".": "is a directory"} {
		_, err := readText(folder, name)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one that names it and says %q", name, err, want)
		}
	}
	if _, err := readText(folder, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not match fs.ErrNotExist", err)
	}
}

// Several may read at once, and none gets the other's text.
func TestHostFolderAtOnce(t *testing.T) {
	folder := hostFS(t.TempDir())
	var readers sync.WaitGroup
	for i := range 4 {
		name := strconv.Itoa(i)
		want := strings.Repeat(name, 1000*(i+1))
		if err := os.WriteFile(filepath.Join(folder.(*hostFolder).dir, name), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			for range 50 {
				if got, err := readText(folder, name); err != nil || got != want {
					t.Errorf("%s: read %d bytes of %.10q, %v", name, len(got), got, err)
				}
			}
		})
	}
	readers.Wait()
}

// The kernel counts the sockets that this test holds, whatever others open and close meanwhile.
func TestHostSockets(t *testing.T) {
	before, err := hostSockets(t.Context())
	if err != nil {
		t.Skipf("this kernel tells nothing about sockets: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const held = 5
	for range held {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		server.Close() // the client's end is in CLOSE_WAIT, this one in FIN_WAIT1 until that is known, then in FIN_WAIT2
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("read %v, want the end", err)
		}
	}
	after, err := hostSockets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after[tcpListen] < 1 || after[tcpCloseWait] < held || after[tcpFinWait1]+after[tcpFinWait2] < held {
		t.Errorf("states %v, before %v; want a listener and %d each in CLOSE_WAIT and FIN_WAIT at least", after, before, held)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hostSockets(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the context ended", err)
	}
}

// Every family reads this machine; one that the kernel does not have says so. The machine is
// real, the minute between the rounds is not.
func TestFamiliesOfThisMachine(t *testing.T) {
	clock := &fakeClock{now: time.Hour}
	s := New(Options{Linux: LinuxFamilies(), Clock: clock.read})
	s.Collect(t.Context(), 10*time.Second)
	if err := exec.Command("true").Run(); err != nil { // which no machine runs without switching to it
		t.Fatal(err)
	}
	clock.now += time.Minute
	r := s.Collect(t.Context(), 10*time.Second)
	for _, src := range r.Sources[len(All):] {
		t.Logf("%s: %d values, %v", src.Name, src.Values, src.Err)
		// A machine can be no control group, and have neither a disk nor a file system of its own.
		optional := src.Name == "cgroup" || src.Name == "inodes" || src.Name == "disklatency"
		if src.Err == nil && src.Values == 0 && !optional {
			t.Errorf("%s brings nothing and does not say why", src.Name)
		}
	}
	got := byName(r.Values)
	for _, name := range []string{"uptime.seconds", "files.open", "processes.running", "scheduler.context_switches"} {
		if got[linuxPrefix+name] <= 0 {
			t.Errorf("%s is %v, which no running machine has", name, got[linuxPrefix+name])
		}
	}
}

// BenchmarkRound is one round of every collector on this machine, files read and all.
func BenchmarkRound(b *testing.B) {
	benchmarkRound(b, Options{}, 0)
}

// BenchmarkRoundWithFamilies is one round with every family, too.
func BenchmarkRoundWithFamilies(b *testing.B) {
	benchmarkRound(b, Options{Linux: LinuxFamilies()}, 0)
}

// BenchmarkRoundAfterAPause is what a round costs an agent that has slept since the last: with
// cold caches, and threads to wake.
func BenchmarkRoundAfterAPause(b *testing.B) {
	benchmarkRound(b, Options{}, 100*time.Millisecond)
}

func benchmarkRound(b *testing.B, o Options, pause time.Duration) {
	s := New(o)
	s.Collect(b.Context(), time.Minute)
	cpu := func() time.Duration {
		var self unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
			b.Fatal(err)
		}
		return time.Duration(self.Utime.Nano() + self.Stime.Nano())
	}
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		time.Sleep(pause)
		s.Collect(b.Context(), time.Minute)
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func BenchmarkFacts(b *testing.B) {
	s := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Facts(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSave is what keeping the counters for the next process costs, and how long they are.
func BenchmarkSave(b *testing.B) {
	s := New(Options{Linux: LinuxFamilies()})
	s.Collect(b.Context(), time.Minute)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		state, err := s.Save()
		if err != nil {
			b.Fatal(err)
		}
		size = len(state)
	}
	b.ReportMetric(float64(size), "bytes")
}

// This machine has processes, and somebody uses its memory.
func TestCulpritsOfThisHost(t *testing.T) {
	c := New(Options{}).Culprits()
	got, err := c.Look(t.Context(), nil, time.Now())
	if err != nil || got.Seen == 0 || got.Uptime == 0 || len(got.Memory) == 0 || got.Memory[0].RSS == 0 || got.Memory[0].User == "" {
		t.Errorf("Look = %+v, %v", got, err)
	}
}
