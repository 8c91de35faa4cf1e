package procs

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target/process"
)

// asPlugin makes the test's own program the plugin.
const asPlugin = "SABA_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		plugin.Main(Plugin)
	}
	os.Exit(m.Run())
}

// A real process, which ends with the test.
type real struct {
	*exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func start(t *testing.T, name string, args ...string) real {
	t.Helper()
	r := real{Cmd: exec.Command(name, args...)}
	stdin, err := r.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.stdin, r.lines = stdin, bufio.NewScanner(stdout)
	t.Cleanup(func() {
		_ = r.Process.Kill()
		_ = r.Wait()
	})
	return r
}

// says waits for a line.
func (r real) says(t *testing.T, want string) {
	t.Helper()
	if !r.lines.Scan() || r.lines.Text() != want {
		t.Fatalf("it said %q, want %q", r.lines.Text(), want)
	}
}

// mark is an argument that nothing else on this machine has.
func mark(t *testing.T) string { return "saba-procs-" + filepath.Base(t.TempDir()) + "-" + t.Name() }

func newCollector(t *testing.T, args ...string) *collector {
	t.Helper()
	fs := flag.NewFlagSet("procs", flag.ContinueOnError)
	c := Plugin.New(fs).(*collector)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

func collect(t *testing.T, c *collector) map[string]float64 {
	t.Helper()
	values, err := c.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return byName(values)
}

func byName(values []saba.Value) map[string]float64 {
	got := map[string]float64{}
	for _, v := range values {
		got[v.Name] = v.Value
	}
	return got
}

func TestRealProcesses(t *testing.T) {
	m := mark(t)
	start(t, "cat", "--", "-", m+" one")
	start(t, "cat", "--", "-", m+" two")
	got := plugintest.Collect(t, Plugin, []string{"-pattern", "all=" + m, "-pattern", "two=" + m + " two$", "-pattern", "none=" + m + " three", "-pss"}, "cpu.*")
	for name, want := range map[string]float64{"count.all": 2, "count.two": 1, "count.none": 0, "threads.all": 2, "threads.none": 0, "memory.none": 0, "pss.none": 0, "files.none": 0} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, %v, want %v", name, v, ok, want)
		}
	}
	if got["memory.all"] <= got["memory.two"] || got["memory.two"] <= 0 || got["pss.all"] <= 0 || got["pss.all"] >= got["memory.all"] {
		t.Errorf("the two use %v and one %v bytes, of which %v are theirs", got["memory.all"], got["memory.two"], got["pss.all"])
	}
	if got["files.two"] < 3 || got["files.all"] != 2*got["files.two"] {
		t.Errorf("the two have %v files open, one %v", got["files.all"], got["files.two"])
	}
}

// The CPU time that a real process used is its share of the time that has passed.
func TestTheCPUOfARealProcess(t *testing.T) {
	m := mark(t)
	r := start(t, "sh", "-c", `echo ready; read x; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; read x`, m)
	r.says(t, "ready")
	var ahead time.Duration
	c := newCollector(t, "-pattern", "p="+m)
	var at []time.Duration
	c.table.Clock = func() (time.Duration, error) {
		s, err := process.Table{}.Read(t.Context())
		at = append(at, s.At+ahead)
		return s.At + ahead, err
	}
	if got := collect(t, c); got["count.p"] != 1 || len(got) != 4 {
		t.Fatalf("at first: %v, want no CPU", got)
	}
	before := used(t, r.Process.Pid)
	if _, err := io.WriteString(r.stdin, "go\n"); err != nil {
		t.Fatal(err)
	}
	r.says(t, "done")
	ahead = 20 * time.Second
	got, ok := collect(t, c)["cpu.p"]
	work := used(t, r.Process.Pid) - before
	want := 100 * work.Seconds() / (at[1] - at[0]).Seconds()
	if !ok || work == 0 || math.Abs(got-want) > 1e-9 || at[1]-at[0] < ahead {
		t.Errorf("cpu = %v, %v, want %v: it used %v in %v", got, ok, want, work, at[1]-at[0])
	}
}

func used(t *testing.T, pid int) time.Duration {
	t.Helper()
	s, err := process.Table{}.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Processes {
		if p.PID == pid {
			return p.CPU
		}
	}
	t.Fatalf("process %d is gone", pid)
	return 0
}

// As a command, through a shell that was told the pattern as well, it counts neither.
func TestItNeverCountsItself(t *testing.T) {
	m := mark(t)
	start(t, "cat", "--", "-", m)
	state := filepath.Join(t.TempDir(), "state")
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`%q -tempfile %q -pattern 'mine=%s'; code=$?; exit $code`, os.Args[0], state, m))
	cmd.Env = append(os.Environ(), asPlugin+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "procs.count.mine\t1\t") {
		t.Errorf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(state)
	if err != nil || !strings.Contains(string(b), `"used":[[`) {
		t.Errorf("it keeps %s, %v", b, err)
	}
}

// A world is a /proc of our making.
type world struct {
	fstest.MapFS
	at time.Duration
}

func newWorld(at time.Duration) *world {
	w := &world{fstest.MapFS{"sys/kernel/random/boot_id": {Data: []byte("one\n")}}, at}
	w.put(1, 0, 0, "/sbin/init")
	return w
}

// put lets a process run that started at a second and has used so many hundredths of a second.
func (w *world) put(pid, start, ticks int, command string) {
	dir := fmt.Sprint(pid)
	w.MapFS[dir+"/stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d (x) S 1 1 1 0 -1 0 1 2 3 4 %d 0 5 6 20 0 2 0 %d 1000 25 0", pid, ticks, 100*start)}
	w.MapFS[dir+"/cmdline"] = &fstest.MapFile{Data: []byte(command)}
	w.MapFS[dir+"/status"] = &fstest.MapFile{Data: []byte("Uid:\t0\t33\t33\t33\n")}
	w.MapFS[dir+"/fd/0"] = &fstest.MapFile{}
}

func (w *world) end(pid int) {
	maps.DeleteFunc(w.MapFS, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, fmt.Sprint(pid)+"/") })
}

func TestCPUBetweenTwoReadings(t *testing.T) {
	unknown := math.NaN()
	for name, tt := range map[string]struct {
		change func(w *world)
		after  time.Duration
		want   float64
	}{
		"two at work":                            {func(w *world) { w.put(10, 5, 1300, "web"); w.put(11, 5, 1600, "web") }, time.Minute, 15},
		"idle":                                   {func(*world) {}, time.Minute, 0},
		"a longer time":                          {func(w *world) { w.put(10, 5, 1900, "web") }, 90 * time.Second, 10},
		"one has begun":                          {func(w *world) { w.put(12, 110, 600, "web") }, time.Minute, 10},
		"one has ended":                          {func(w *world) { w.end(11); w.put(10, 5, 1300, "web") }, time.Minute, 5},
		"its number went to another":             {func(w *world) { w.put(11, 110, 600, "web") }, time.Minute, 10},
		"its number went to one that used less":  {func(w *world) { w.put(11, 110, 30, "web") }, time.Minute, 0.5},
		"one that was called otherwise before":   {func(w *world) { w.put(13, 5, 100000, "web") }, time.Minute, unknown},
		"one that has used less than it had":     {func(w *world) { w.put(10, 5, 10, "web") }, time.Minute, unknown},
		"another start of the host":              {func(w *world) { w.MapFS["sys/kernel/random/boot_id"] = &fstest.MapFile{Data: []byte("two\n")} }, time.Minute, unknown},
		"a clock that went back":                 {func(*world) {}, -time.Second, unknown},
		"too soon after to say anything":         {func(*world) {}, time.Second / 2, unknown},
		"so long after that nobody wants to see": {func(*world) {}, time.Hour, unknown},
		"none is left":                           {func(w *world) { w.end(10); w.end(11) }, time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(100 * time.Second)
			w.put(10, 5, 1000, "web")
			w.put(11, 5, 1000, "web")
			c := newCollector(t, "-pattern", "web=^web$", "-pattern", "none=^none$")
			c.table = process.Table{Proc: w, Clock: func() (time.Duration, error) { return w.at, nil }}
			if got := collect(t, c); got["count.web"] != 2 || len(got) != 8 {
				t.Fatalf("at first: %v", got)
			}
			// Another run, which knows only what was kept.
			b, err := c.Keep()
			if err != nil {
				t.Fatal(err)
			}
			again := newCollector(t, "-pattern", "web=^web$", "-pattern", "none=^none$")
			again.table = c.table
			if err := again.Resume(b); err != nil {
				t.Fatal(err)
			}
			tt.change(w)
			w.at += tt.after
			for _, c := range []*collector{c, again} {
				got, ok := collect(t, c)["cpu.web"]
				if ok == math.IsNaN(tt.want) || ok && math.Abs(got-tt.want) > 1e-9 {
					t.Errorf("cpu = %v, %v, want %v", got, ok, tt.want)
				}
			}
		})
	}
}

func TestAReadingTooSoonKeepsTheOlderOne(t *testing.T) {
	w := newWorld(100 * time.Second)
	w.put(10, 5, 1000, "web")
	c := newCollector(t, "-pattern", "web=web")
	c.table = process.Table{Proc: w, Clock: func() (time.Duration, error) { return w.at, nil }}
	collect(t, c)
	w.at += time.Second / 2
	w.put(10, 5, 1025, "web")
	collect(t, c)
	w.at += time.Second / 2
	w.put(10, 5, 1050, "web")
	if got := collect(t, c)["cpu.web"]; got != 50 {
		t.Errorf("cpu = %v, want the half second of the whole one", got)
	}
}

func TestUsers(t *testing.T) {
	w := newWorld(100 * time.Second)
	w.put(10, 5, 0, "web")
	w.put(11, 5, 0, "web")
	w.MapFS["11/status"] = &fstest.MapFile{Data: []byte("Uid:\t33\t44\t33\t33\n")}
	delete(w.MapFS, "1/status") // not asked for, as it does not match
	for user, want := range map[string]float64{"33": 1, "44": 1, "0": 0} {
		c := newCollector(t, "-pattern", "web=web", "-user", user)
		c.table.Proc = w
		if got := collect(t, c); got["count.web"] != want {
			t.Errorf("of user %s: %v, want %v", user, got["count.web"], want)
		}
	}
	c := newCollector(t, "-pattern", "web=web", "-user", "no-such-user")
	if _, err := c.Collect(t.Context()); err == nil || !strings.Contains(err.Error(), `no user "no-such-user"`) {
		t.Errorf("an unknown user: %v", err)
	}
}

// refusing is a /proc of which this user may not open some files.
type refusing struct {
	fs.FS
	part string
}

func (r refusing) Open(name string) (fs.File, error) {
	if strings.Contains(name, r.part) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return r.FS.Open(name)
}

func TestWhatAUserMayNotSee(t *testing.T) {
	w := newWorld(100 * time.Second)
	w.put(10, 5, 0, "web")
	c := newCollector(t, "-pattern", "web=web")
	c.table.Proc = refusing{w, "/fd"}
	got := collect(t, c)
	if _, ok := got["files.web"]; ok || got["count.web"] != 1 {
		t.Errorf("without the right to see open files: %v", got)
	}
	c.table.Proc = refusing{w, "10/"}
	if values, err := c.Collect(t.Context()); err == nil || len(values) != 0 || !strings.Contains(err.Error(), "hidepid") {
		t.Errorf("of hidden processes: %v, %v, want an error and no zero", values, err)
	}
	c = newCollector(t, "-pattern", "web=web", "-user", fmt.Sprint(os.Geteuid()))
	c.table.Proc = refusing{w, "1/"}
	if _, err := c.Collect(t.Context()); err != nil {
		t.Errorf("of one's own, which nothing hides: %v", err)
	}
	c = newCollector(t, "-pattern", "web=web", "-pss")
	c.table.Proc = refusing{w, "/smaps_rollup"}
	if values, err := c.Collect(t.Context()); err == nil || len(values) != 4 || !strings.Contains(err.Error(), "smaps_rollup") {
		t.Errorf("of memory that was asked for: %v, %v", values, err)
	}
}

func TestFlags(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no pattern":             {nil, "-pattern is missing"},
		"no name":                {[]string{"-pattern", "nginx"}, "must be NAME=REGEXP"},
		"a name with a dot":      {[]string{"-pattern", "a.b=nginx"}, "must be NAME=REGEXP"},
		"an empty pattern":       {[]string{"-pattern", "a="}, "must be NAME=REGEXP"},
		"a pattern that is none": {[]string{"-pattern", "a=("}, "missing closing )"},
		"a name twice":           {[]string{"-pattern", "a=x", "-pattern", "a=y"}, "two patterns named a"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := plugin.Embed(Plugin, tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Embed(%q) = %v, want %q", tt.args, err, tt.want)
			}
		})
	}
}

// Whatever was kept, taking it up never panics, and what is kept of it is the same.
func FuzzResume(f *testing.F) {
	f.Add([]byte(`{"boot":"x","at":5,"used":[[1,2,3],[7,-8,9]]}`))
	f.Add([]byte(`{"used":[[1]]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again collector
		if c.Resume(b) != nil {
			return
		}
		first, err := c.Keep()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Resume(first); err != nil {
			t.Fatalf("Resume(%s) = %v", first, err)
		}
		if !maps.Equal(again.last.used, c.last.used) || !json.Valid(first) {
			t.Errorf("%s is taken up as %v, then %v", b, c.last, again.last)
		}
	})
}
