package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

const calm = "some avg10=90.00 avg60=20.00 avg300=90.00 total=1\nfull avg10=0.00 avg60=99.00 avg300=0.00 total=0\n"

func TestWhenAHostIsStrained(t *testing.T) {
	well := map[string]float64{
		"cpu.user.percentage": 200, "cpu.system.percentage": 80, "cpu.idle.percentage": 60, "cpu.iowait.percentage": 60,
		"loadavg1": 8, "memory.total": 1000, "memory.mem_available": 150,
	}
	for name, tt := range map[string]struct {
		edit     func(v map[string]float64)
		pressure *saba.PressureShares
		up       time.Duration
		want     []saba.Strain
	}{
		"on every threshold it is not":            {func(map[string]float64) {}, &saba.PressureShares{CPU: 20, Memory: 20, IO: 20}, bootTime, nil},
		"with busy processors":                    {func(v map[string]float64) { v["cpu.steal.percentage"] = 1 }, nil, bootTime, []saba.Strain{saba.StrainCPU}},
		"a disk that is waited for is not busy":   {func(v map[string]float64) { v["cpu.iowait.percentage"] = 400 }, nil, bootTime, nil},
		"with more load than processors can take": {func(v map[string]float64) { v["loadavg1"] = 8.1 }, nil, bootTime, []saba.Strain{saba.StrainLoad}},
		"with little memory":                      {func(v map[string]float64) { v["memory.mem_available"] = 149 }, nil, bootTime, []saba.Strain{saba.StrainMemory}},
		"memory that is not told is not little":   {func(v map[string]float64) { delete(v, "memory.mem_available") }, nil, bootTime, nil},
		"with tasks that wait":                    {func(map[string]float64) {}, &saba.PressureShares{IO: 20.1}, bootTime, []saba.Strain{saba.StrainPressure}},
		"just after its start":                    {func(map[string]float64) {}, nil, bootTime - 1, []saba.Strain{saba.StrainBoot}},
		"of which nothing is known it is not":     {func(v map[string]float64) { clear(v) }, nil, bootTime, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := map[string]float64{}
			for k, x := range well {
				v[k] = x
			}
			tt.edit(v)
			var values []saba.Value
			for k, x := range v {
				values = append(values, saba.Value{Name: k, Value: x})
			}
			if got := strains(values, tt.pressure, tt.up); !slices.Equal(got, tt.want) {
				t.Errorf("strains = %v, want %v", got, tt.want)
			}
		})
	}
}

// A strain is looked at each minute while it is new, then every fourth, and at once when another one comes.
func TestAStrainThatLastsIsLookedAtLessOften(t *testing.T) {
	var v vigil
	looked := func(from, to int, why ...saba.Strain) (minutes []int) {
		for m := from; m < to; m++ {
			if v.due(why, time.Duration(m)*time.Minute+time.Duration(m%3)*time.Second) {
				minutes = append(minutes, m)
			}
		}
		return minutes
	}
	for _, tt := range []struct {
		got, want []int
	}{
		{looked(1, 5), nil},
		{looked(5, 30, saba.StrainMemory), []int{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 23, 27}},
		{looked(30, 42, saba.StrainMemory, saba.StrainCPU), []int{30, 31, 32, 33, 34, 35, 36, 37, 38, 39}},
		{looked(42, 50), nil},
		{looked(50, 53, saba.StrainCPU), []int{50, 51, 52}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("looked at minutes %v, want %v", tt.got, tt.want)
		}
	}
	if v.due([]saba.Strain{saba.StrainCPU}, 52*time.Minute+10*time.Second) {
		t.Error("looked twice within seconds")
	}
	if strainRest+time.Minute > saba.CulpritsWithin*time.Second {
		t.Error("the newest culprits of a strain that lasts are older than an alert takes them")
	}
}

// A later folder is one that turns into another after a while.
type later struct {
	began         time.Time
	before, after fstest.MapFS
	asked         *[]string
}

func (l later) Open(name string) (fs.File, error) {
	*l.asked = append(*l.asked, name)
	if time.Since(l.began) >= culpritWindow {
		return l.after.Open(name)
	}
	return l.before.Open(name)
}

// procStat is /proc/<pid>/stat.
func procStat(pid int, name string, user, system, start, pages int) *fstest.MapFile {
	return &fstest.MapFile{Data: fmt.Appendf(nil, "%d (%s) S 1 1 1 0 -1 4194560 1 2 3 4 %d %d 500 600 20 0 1 0 %d 1000000 %d 18446744073709551615 1 1 0\n", pid, name, user, system, start, pages)}
}

func procText(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func TestTopProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		began := time.Now()
		clock := func() (time.Duration, error) { return 1000*time.Second + time.Since(began), nil }
		psi := procText(strings.ReplaceAll(calm, "avg60=20.00", "avg60=41.50"))
		before := fstest.MapFS{
			"pressure/cpu": psi, "pressure/memory": procText(calm), "pressure/io": procText(calm), "version": procText("x"), "0/stat": procStat(0, "no", 1, 1, 1, 1),
			"1/stat": procStat(1, "init", 500, 500, 1, 20), "20/stat": procStat(20, "my (sql) d", 1000, 500, 300, 800000), "3/stat": procStat(3, "kworker/0:1", 7, 3, 1, 0),
			"40/stat": procStat(40, "gone", 1, 1, 300, 5), "50/stat": procStat(50, "old one", 9000, 0, 300, 5), "60/stat": procText("60 (broken"),
			"80/stat": procStat(80, "ruby", 10, 10, 300, 90000),
		}
		after := fstest.MapFS{
			"pressure/cpu": psi, "pressure/memory": procText(calm), "pressure/io": procText(calm), "0/stat": procStat(0, "no", 900, 900, 1, 1),
			"1/stat": procStat(1, "init", 500, 500, 1, 20), "20/stat": procStat(20, "my (sql) d", 1300, 512, 300, 800000), "3/stat": procStat(3, "kworker/0:1", 7, 4, 1, 0),
			"50/stat": procStat(50, "new one", 30, 0, 100050, 5),                                       // which has the id of another
			"60/stat": procText("60 (broken) S 1"), "70/stat": procStat(70, "unseen", 9999, 0, 300, 6), // as it was not in the first reading
			"80/stat": procStat(80, "ruby", 10, 10, 300, 90000), "20/status": procText("Name:\tx\nUid:\t0\t112\t0\t0\nVmRSS:\t  3250000 kB\n"),
			"80/status": procText("Uid:\t1\t4000000000\t1\t1\n"), "20/cmdline": procText("mysqld --password=secret"), "20/environ": procText("TOKEN=secret"),
		}
		c := &Culprits{Proc: later{began, before, after, &asked}, Root: fstest.MapFS{"etc/passwd": procText("root:x:0:0::/:/bin/sh\nbroken\nmysql:x:112:1::/:/bin/false\nother:x:112:1::/:\n")}, Clock: clock}
		got, err := c.Look(t.Context(), []saba.Strain{saba.StrainCPU}, time.Unix(5000, 0))
		if err != nil {
			t.Fatal(err)
		}
		page := int64(4096)
		if rest := got.Memory[1].RSS / 90000; rest != page { // of this machine
			page = rest
		}
		mysqld := saba.Culprit{Name: "my (sql) d", PID: 20, User: "mysql", CPU: 312, RSS: 3250000 << 10}
		want := saba.Culprits{
			At: 5001, Why: []saba.Strain{saba.StrainCPU}, Uptime: 1001, Seen: 6, Pressure: &saba.PressureShares{CPU: 41.5, Memory: 20, IO: 20},
			CPU: []saba.Culprit{mysqld, {Name: "new one", PID: 50, CPU: 30, RSS: 5 * page}, {Name: "kworker/0:1", PID: 3, CPU: 1}},
			Memory: []saba.Culprit{mysqld, {Name: "ruby", PID: 80, User: "4000000000", RSS: 90000 * page}, {Name: "init", PID: 1, RSS: 20 * page},
				{Name: "unseen", PID: 70, RSS: 6 * page}, {Name: "new one", PID: 50, CPU: 30, RSS: 5 * page}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Look = %+v, want %+v", got, want)
		}
		for _, name := range asked {
			if strings.Contains(name, "cmdline") || strings.Contains(name, "environ") {
				t.Errorf("%s was read, which can hold secrets", name)
			}
		}
		value, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := saba.ParseCulprits(value); err != nil || !reflect.DeepEqual(kept, want) {
			t.Errorf("a server makes of it %+v, %v, want %+v", kept, err, want)
		}
	})
}

// However many processes there are, a look is bounded, and says so; and it ends with its context.
func TestALookIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proc := fstest.MapFS{}
		for pid := 1; pid <= maxProcesses+1; pid++ {
			proc[fmt.Sprint(pid)+"/stat"] = procStat(pid, "x", 1, 1, 1, 1)
		}
		c := &Culprits{Proc: proc, Root: fstest.MapFS{}, Clock: func() (time.Duration, error) { return time.Hour, nil }}
		got, err := c.Look(t.Context(), nil, time.Now())
		if err != nil || !got.Partial || got.Seen != maxProcesses || len(got.Memory) != saba.MaxCulprits {
			t.Errorf("Look = %d processes, partial %v, %d by memory, %v", got.Seen, got.Partial, len(got.Memory), err)
		}
		delete(proc, fmt.Sprint(maxProcesses+1)+"/stat")
		if got, err := c.Look(t.Context(), nil, time.Now()); err != nil || got.Partial || got.Seen != maxProcesses {
			t.Errorf("Look = %d processes, partial %v, %v, want them all", got.Seen, got.Partial, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Look(ctx, nil, time.Now()); err == nil {
			t.Error("a look goes on after its context")
		}
		if _, err := (&Culprits{Proc: fstest.MapFS{"version": procText("x")}, Clock: c.Clock}).Look(t.Context(), nil, time.Now()); err == nil {
			t.Error("a /proc without processes is no error")
		}
	})
}

// While all is well, a turn reads how long tasks wait and no process; where the kernel does not tell it, that is found out once.
func TestAHostThatIsWellIsLeftAlone(t *testing.T) {
	clock := func() (time.Duration, error) { return time.Hour, nil }
	for name, tt := range map[string]struct {
		proc  fstest.MapFS
		after []string // asked for in the second turn
	}{
		"with pressure":    {fstest.MapFS{"pressure/cpu": procText(calm), "pressure/memory": procText(calm), "pressure/io": procText(calm), "1/stat": procStat(1, "x", 1, 1, 1, 1)}, []string{"pressure/cpu", "pressure/io", "pressure/memory"}},
		"without pressure": {fstest.MapFS{"1/stat": procStat(1, "x", 1, 1, 1, 1)}, nil},
	} {
		var asked []string
		c := &Culprits{Proc: later{time.Now(), tt.proc, tt.proc, &asked}, Clock: clock}
		for range 2 {
			asked = nil
			if why := c.Strained([]saba.Value{{Name: "cpu.idle.percentage", Value: 100}}); why != nil {
				t.Errorf("%s: Strained = %v", name, why)
			}
		}
		if slices.Sort(asked); !slices.Equal(asked, tt.after) {
			t.Errorf("%s: a turn reads %v, want %v", name, asked, tt.after)
		}
	}
	proc := fstest.MapFS{"pressure/cpu": procText(calm), "pressure/memory": procText(strings.ReplaceAll(calm, "avg60=20.00", "avg60=20.01")), "pressure/io": procText(calm)}
	if why := (&Culprits{Proc: proc, Clock: clock}).Strained(nil); !slices.Equal(why, []saba.Strain{saba.StrainPressure}) {
		t.Errorf("Strained = %v, want pressure", why)
	}
}

// Whatever stands in /proc/<pid>/stat, reading it never panics, and a name is what stands between the first and the last parenthesis.
func FuzzProcess(f *testing.F) {
	f.Add(string(procStat(7, "a) b (c", 1, 2, 3, 4).Data))
	f.Add("7 (x")
	f.Add(") (")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := parseProcess(line)
		if err == nil && !strings.Contains(line, "("+p.name+")") {
			t.Errorf("parseProcess(%q) has the name %q", line, p.name)
		}
	})
}

// BenchmarkCulpritsOfAHostThatIsWell is what a turn costs while there is nothing to look for.
func BenchmarkCulpritsOfAHostThatIsWell(b *testing.B) {
	c := New(Options{Clock: func() (time.Duration, error) { return time.Hour, nil }}).Culprits()
	for b.Loop() {
		c.pressure()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())*60/float64(b.N)/1e6, "CPU-s/hour")
}

// BenchmarkProcesses is one of the two readings of a look, of the processes of this host.
func BenchmarkProcesses(b *testing.B) {
	c, n := New(Options{}).Culprits(), 0
	for b.Loop() {
		n = 0
		if _, err := c.processes(b.Context(), func(process) { n++ }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/process")
}
