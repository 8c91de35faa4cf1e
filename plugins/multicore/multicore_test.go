package multicore

import (
	"bytes"
	"context"
	"flag"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
)

// A patient collector asks until there are shares, a minute later each time by its clock.
type patient struct{ *collector }

func (p patient) Collect(ctx context.Context) ([]saba.Value, error) {
	for {
		values, err := p.collector.Collect(ctx)
		if err != nil || len(values) > 1 || ctx.Err() != nil {
			return values, err
		}
	}
}

func TestThisHost(t *testing.T) {
	now := time.Now()
	p := Plugin
	p.New = func(*flag.FlagSet) plugin.Collector {
		return patient{&collector{proc: os.DirFS("/proc"), now: func() time.Time { now = now.Add(time.Minute); return now }}}
	}
	got := plugintest.Collect(t, p, nil)
	sums := map[string]float64{}
	for name, v := range got {
		if core, ok := strings.CutPrefix(name, "cpu."); ok {
			core, _, _ = strings.Cut(core, ".")
			sums[core] += v
		}
	}
	for core, sum := range sums {
		if math.Abs(sum-100) > 1e-9 {
			t.Errorf("the shares of %s add up to %v%%", core, sum)
		}
	}
	if load, ok := got["loadavg_per_core.loadavg5"]; !ok || load < 0 || load > 1000 {
		t.Errorf("the load of a core is %v, %v", load, ok)
	}
}

// proc returns a /proc of these files.
func proc(stat, loadavg string) fs.FS {
	return fstest.MapFS{"stat": {Data: []byte(stat)}, "loadavg": {Data: []byte(loadavg)}}
}

const load = "4.00 2.00 1.00 1/100 1234\n"

// As commands, two runs make shares, and a change of the host between them makes none.
func TestTwoRuns(t *testing.T) {
	const first = "cpu  1 1 1 1\ncpu0 100 50 100 1000 10 5 5 0 20 10 7\ncpu1 0 0 0 500 0 0 0 0 0 0\nintr 5\n"
	begun := time.Now()
	for name, tt := range map[string]struct {
		stat  string
		after time.Duration
		want  string // names and values of the second run
	}{
		"all states": {"cpu0 130 60 110 1020 15 6 9 20 30 15 7\ncpu1 0 0 0 600 0 0 0 0 0 0\n", time.Minute,
			"cpu0.guest 10 cpu0.guest_nice 5 cpu0.idle 20 cpu0.iowait 5 cpu0.irq 1 cpu0.nice 5 cpu0.softirq 4 cpu0.steal 20 cpu0.system 10 cpu0.user 20 " +
				"cpu1.guest 0 cpu1.guest_nice 0 cpu1.idle 100 cpu1.iowait 0 cpu1.irq 0 cpu1.nice 0 cpu1.softirq 0 cpu1.steal 0 cpu1.system 0 cpu1.user 0"},
		"a core that was switched off and another that is new": {"cpu1 50 0 0 550\ncpu2 9 9 9 9\n", time.Minute, "cpu1.idle 50 cpu1.nice 0 cpu1.system 0 cpu1.user 50"},
		"waiting for disks is an estimate that goes back":      {"cpu0 150 50 100 1050 3\n", time.Minute, "cpu0.idle 50 cpu0.iowait 0 cpu0.nice 0 cpu0.system 0 cpu0.user 50"},
		"idle goes back a little":                              {"cpu0 200 50 100 995\n", time.Minute, "cpu0.idle 0 cpu0.nice 0 cpu0.system 0 cpu0.user 100"},
		"idle goes back by much":                               {"cpu0 200 50 100 900\n", time.Minute, ""},
		"the host was started anew":                            {"cpu0 5 0 3 2000 10 5 5 0 20 10\n", time.Minute, ""},
		"no tick went by":                                      {first, time.Minute, ""},
		"too soon":                                             {"cpu0 130 60 110 1020\n", time.Second / 2, ""},
		"too late":                                             {"cpu0 130 60 110 1020\n", 11 * time.Minute, ""},
		"the clock was set back":                               {"cpu0 130 60 110 1020\n", -time.Hour, ""},
		"more guest than user, as read in between":             {"cpu0 110 50 100 1090 10 5 5 0 40 10\n", time.Minute, "cpu0.guest 10 cpu0.guest_nice 0 cpu0.idle 90 cpu0.iowait 0 cpu0.irq 0 cpu0.nice 0 cpu0.softirq 0 cpu0.steal 0 cpu0.system 0 cpu0.user 0"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state")
			run := func(stat string, now time.Time) string {
				p := Plugin
				p.New = func(*flag.FlagSet) plugin.Collector {
					return &collector{proc: proc(stat, load), now: func() time.Time { return now }}
				}
				var out, errs bytes.Buffer
				code := plugin.Run(t.Context(), p, []string{"-tempfile", file}, plugin.System{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }})
				if code != 0 || errs.Len() > 0 || !strings.Contains(out.String(), "multicore.loadavg_per_core.loadavg5\t") {
					t.Errorf("Run = %d, %q, %q", code, out.String(), errs.String())
				}
				var got []string
				for line := range strings.Lines(out.String()) {
					f := strings.Fields(line)
					if name, ok := strings.CutPrefix(f[0], "multicore.cpu."); ok {
						got = append(got, name+" "+f[1])
					}
				}
				slices.Sort(got)
				return strings.Join(got, " ")
			}
			if got := run(first, begun); got != "" {
				t.Errorf("the first run has %q", got)
			}
			if got := run(tt.stat, begun.Add(tt.after)); got != tt.want {
				t.Errorf("the second run has %q, want %q", got, tt.want)
			}
		})
	}
}

// A clock that was set back costs one turn, and not all until it is where it was.
func TestAfterAClockThatWasSetBack(t *testing.T) {
	now := time.Now()
	c := &collector{now: func() time.Time { return now }}
	for i, want := range []int{1, 1, 5} {
		c.proc = proc("cpu0 0 0 0 "+strconv.Itoa(100*i)+"\n", load)
		if values, err := c.Collect(t.Context()); err != nil || len(values) != want {
			t.Errorf("turn %d: %d values, %v, want %d", i, len(values), err, want)
		}
		if now = now.Add(time.Minute); i == 0 {
			now = now.Add(-time.Hour)
		}
	}
}

func TestWhatTheKernelNeverSays(t *testing.T) {
	const stat = "cpu0 1 1 1 1\ncpu1 1 1 1 1\n"
	for name, tt := range map[string]struct {
		proc   fs.FS
		values int
		want   string
	}{
		"all is well":       {proc(stat, load), 1, ""},
		"no /proc":          {fstest.MapFS{}, 0, "/proc: open stat: "},
		"no core":           {proc("cpu 1 1 1 1\n", load), 0, "/proc/stat has no line of a processor"},
		"a word":            {proc("cpu0 1 1 1 one\n", load), 0, `/proc/stat has "one" for cpu0`},
		"a short line":      {proc("cpu0 1 1 1\n", load), 0, "/proc/stat lacks the times of cpu0"},
		"no loadavg":        {fstest.MapFS{"stat": {Data: []byte(stat)}}, 0, "/proc: open loadavg: "},
		"a load of no size": {proc(stat, "1 NaN 1 1/1 1\n"), 0, "has no load averages"},
	} {
		c := &collector{proc: tt.proc, now: time.Now}
		values, err := c.Collect(t.Context())
		if len(values) != tt.values || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Collect = %v, %v, want %q", name, values, err, tt.want)
		}
	}
	c := &collector{proc: proc(stat, load), now: time.Now}
	if values, err := c.Collect(t.Context()); err != nil || values[0].Value != 1 {
		t.Errorf("Collect = %v, %v, want the load of 2 by 2 cores", values, err)
	}
}

// Whatever two files say, shares are of a whole.
func FuzzShares(f *testing.F) {
	f.Add("cpu0 100 50 100 1000 10 5 5 0 20 10\n", "cpu0 130 60 110 1020 15 6 9 20 30 15\n")
	f.Add("cpu0 0 0 0 0\n", "cpu0 18446744073709551615 0 0 18446744073709551615 9\n")
	f.Fuzz(func(t *testing.T, first, second string) {
		prev, err := parseStat(first)
		if err != nil {
			return
		}
		now, err := parseStat(second)
		if err != nil {
			return
		}
		for core := range now {
			sum := 0.0
			values := shares(prev[core], now[core])
			for _, v := range values {
				sum += v.Value
				if !(v.Value >= 0 && v.Value <= 100+1e-9) {
					t.Errorf("from %q to %q, %s of %s is %v%%", first, second, v.Name, core, v.Value)
				}
			}
			if len(values) > 0 && math.Abs(sum-100) > 1e-6 {
				t.Errorf("from %q to %q, %s has %v%%", first, second, core, sum)
			}
		}
	})
}
