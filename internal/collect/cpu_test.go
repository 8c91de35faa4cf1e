package collect

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/saba-monitor/saba"
)

// stat returns a /proc/stat with the given line cpu and number of processors.
func stat(fields string, cpus int) string {
	return "cpu  " + fields + "\n" + strings.Repeat("cpu0 1 2 3 4\n", cpus) + "intr 5\nctxt 6\n"
}

// twoStats collects from two readings that lie elapsed apart.
func twoStats(t *testing.T, before, after string, elapsed time.Duration) map[string]float64 {
	t.Helper()
	proc := fstest.MapFS{"stat": {Data: []byte(before)}}
	clock := &fakeClock{now: time.Hour}
	c := &CPU{Proc: proc, Watch: &Watch{Clock: clock.read, Proc: proc}}
	if v, err := c.Collect(t.Context()); v != nil || err != nil {
		t.Fatalf("first reading: %v, %v; want nothing", v, err)
	}
	proc["stat"].Data = []byte(after)
	clock.now += elapsed
	v, err := c.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return byName(v)
}

func byName(values []saba.Value) map[string]float64 {
	m := map[string]float64{}
	for _, v := range values {
		m[v.Name] = v.Value
	}
	return m
}

func sum(values map[string]float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

func TestCPU(t *testing.T) {
	const minute = time.Minute // of one processor: 6000 ticks
	for name, tt := range map[string]struct {
		before, after string
		elapsed       time.Duration
		want          map[string]float64 // by state; a state that is not here has no value
	}{
		"four fields, as before Linux 2.6": {stat("0 0 0 0", 1), stat("1500 300 1200 3000", 1), minute,
			map[string]float64{"user": 25, "nice": 5, "system": 20, "idle": 50}},
		"two processors are 200": {stat("0 0 0 0", 2), stat("3000 600 2400 6000", 2), minute,
			map[string]float64{"user": 50, "nice": 10, "system": 40, "idle": 100}},
		"guest leaves user and not nice, and counts once": {stat("0 0 0 0 0 0 0 0 0 0", 1), stat("2000 1000 0 3000 0 0 0 0 500 900", 1), minute,
			map[string]float64{"user": 25, "nice": 1000. / 60, "system": 0, "idle": 50, "iowait": 0, "irq": 0, "softirq": 0, "steal": 0, "guest": 500. / 60}},
		"five fields": {stat("0 0 0 0 0", 1), stat("0 0 0 5400 600", 1), minute,
			map[string]float64{"user": 0, "nice": 0, "system": 0, "idle": 90, "iowait": 10}},
		"iowait that goes back stands still": {stat("0 0 0 0 900", 1), stat("600 0 0 5400 100", 1), minute,
			map[string]float64{"user": 10, "nice": 0, "system": 0, "idle": 90, "iowait": 0}},
		"idle that trembles stands still": {stat("0 0 0 1000 0", 1), stat("6000 0 0 999 0", 1), minute,
			map[string]float64{"user": 100, "nice": 0, "system": 0, "idle": 0, "iowait": 0}},
		"idle that falls has no value, and the others keep their scale": {stat("0 0 0 90000 0", 2), stat("600 0 0 40000 0", 1), minute,
			map[string]float64{"user": 10, "nice": 0, "system": 0, "iowait": 0}},
		"steal that is taken back has no value": {stat("0 0 0 0 0 0 0 5000", 1), stat("600 0 0 5400 0 0 0 10", 1), minute,
			map[string]float64{"user": 10, "nice": 0, "system": 0, "idle": 90, "iowait": 0, "irq": 0, "softirq": 0}},
		"a jump beyond the clock has no value": {stat("0 0 0 0 0 0 0 5", 1), stat("600 0 0 5400 0 0 0 18446744073709551610", 1), minute,
			map[string]float64{"user": 10, "nice": 0, "system": 0, "idle": 90, "iowait": 0, "irq": 0, "softirq": 0}},
		"user that goes back takes guest along": {stat("900 0 0 0 0 0 0 0 0", 1), stat("100 0 600 5400 0 0 0 0 0", 1), minute,
			map[string]float64{"nice": 0, "system": 10, "idle": 90, "iowait": 0, "irq": 0, "softirq": 0, "steal": 0}},
		"guest that goes back takes user along": {stat("0 0 0 0 0 0 0 0 900", 1), stat("600 0 0 5400 0 0 0 0 100", 1), minute,
			map[string]float64{"nice": 0, "system": 0, "idle": 90, "iowait": 0, "irq": 0, "softirq": 0, "steal": 0}},
		"near the top of the counters": {stat("18446744073709551000 0 0 0", 1), stat("18446744073709551600 0 0 5400", 1), minute,
			map[string]float64{"user": 10, "nice": 0, "system": 0, "idle": 90}},
		"no tick went by":                      {stat("1 2 3 4", 1), stat("1 2 3 4", 1), minute, map[string]float64{}},
		"ten minutes are too long ago, eleven": {stat("0 0 0 0", 1), stat("1 1 1 1", 1), 11 * minute, map[string]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := twoStats(t, tt.before, tt.after, tt.elapsed)
			for state, want := range tt.want {
				v, ok := got["cpu."+state+".percentage"]
				if !ok || math.Abs(v-want) > 1e-9 {
					t.Errorf("%s: %v (there: %v), want %v", state, v, ok, want)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCPUSumsUp(t *testing.T) {
	got := twoStats(t, stat("10 20 30 40 50 60 70 80 5 6", 3), stat("110 320 1530 7040 450 160 270 1180 55 66", 3), time.Minute)
	if total := sum(got); math.Abs(total-300) > 1e-9 {
		t.Errorf("the states of 3 processors sum up to %v, want 300: %v", total, got)
	}
}

func TestParseStatRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"no sum":           "cpu0 1 2 3 4\n",
		"too few fields":   "cpu  1 2 3\ncpu0 1 2 3\n",
		"no processors":    "cpu  1 2 3 4\nintr 0\n",
		"not a number":     "cpu  1 2 x 4\ncpu0 1 2 3 4\n",
		"a negative time":  "cpu  1 -2 3 4\ncpu0 1 2 3 4\n",
		"more than 64 bit": "cpu  1 18446744073709551616 3 4\ncpu0 1 2 3 4\n",
	} {
		if got, err := parseStat(text); err == nil {
			t.Errorf("%s: parseStat(%q) = %+v, want an error", name, text, got)
		}
	}
}
