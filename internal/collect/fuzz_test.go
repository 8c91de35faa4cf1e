package collect

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// seed adds one file of every machine.
func seed(f *testing.F, file string, add func(text string)) {
	f.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", "*", "*", file))
	if err != nil || len(found) == 0 {
		f.Fatalf("no seeds named %s: %v", file, err)
	}
	for _, name := range found {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		add(string(b))
	}
	add("")
}

// sound fails unless every value may be posted: a valid name, once, finite, not below zero.
func sound(t *testing.T, values []saba.Value) {
	t.Helper()
	for _, v := range values {
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || v.Value < 0 {
			t.Errorf("%q = %v", v.Name, v.Value)
		}
		if len(v.Name) <= saba.MaxMetricName && !saba.ValidMetricName(v.Name) {
			t.Errorf("%q is not a metric name", v.Name)
		}
	}
}

// second collects from before, then from after a minute later.
func second(t *testing.T, c func(proc fstest.MapFS, w *Watch) Collector, file, before, after string) []saba.Value {
	t.Helper()
	proc := fstest.MapFS{file: {Data: []byte(before)}}
	clock := &fakeClock{now: time.Hour}
	collector := c(proc, &Watch{Clock: clock.read, Proc: proc})
	_, _ = collector.Collect(t.Context()) // what is refused at first may be read next time
	proc[file].Data = []byte(after)
	clock.now += time.Minute
	values, err := collector.Collect(t.Context())
	if err != nil && len(values) != 0 {
		t.Errorf("%d values with error %v", len(values), err)
	}
	return values
}

func FuzzLoadavg(f *testing.F) {
	seed(f, "loadavg", func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseLoadavg(text)
		if (err == nil) != (len(v) == 3) {
			t.Errorf("%d values, error %v", len(v), err)
		}
		sound(t, v)
	})
}

// Whatever two readings say, no state is outside of 0 to 100 a processor, and all together
// are no more than that.
func FuzzCPU(f *testing.F) {
	seed(f, "stat", func(s string) { f.Add(s, s) })
	f.Add(stat("0 0 0 0 0 0 0 0 900", 1), stat("600 0 0 5400 0 0 0 0 100", 2))
	f.Fuzz(func(t *testing.T, before, after string) {
		values := second(t, func(p fstest.MapFS, w *Watch) Collector { return &CPU{Proc: p, Watch: w} }, "stat", before, after)
		sound(t, values)
		now, err := parseStat(after)
		if err != nil {
			return
		}
		limit := float64(100*now.CPUs) * (1 + 1e-9)
		if total := sum(byName(values)); total > limit {
			t.Errorf("sum %v over %d processors: %v", total, now.CPUs, values)
		}
	})
}

func FuzzMemory(f *testing.F) {
	seed(f, "meminfo", func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, text string) {
		v, err := memoryValues(parseMeminfo(text))
		if err == nil && len(v) == 0 {
			t.Error("nothing, and no error")
		}
		sound(t, v)
		got := byName(v)
		if got["memory.used"] > got["memory.total"] {
			t.Errorf("used %v of %v", got["memory.used"], got["memory.total"])
		}
	})
}

func FuzzDisk(f *testing.F) {
	seed(f, "diskstats", func(s string) { f.Add(s, s) })
	f.Fuzz(func(t *testing.T, before, after string) {
		sound(t, second(t, func(p fstest.MapFS, w *Watch) Collector { return &Disk{Proc: p, Watch: w} }, "diskstats", before, after))
	})
}

func FuzzInterface(f *testing.F) {
	seed(f, "net/dev", func(s string) { f.Add(s, s) })
	f.Fuzz(func(t *testing.T, before, after string) {
		sound(t, second(t, func(p fstest.MapFS, w *Watch) Collector { return &Interface{Proc: p, Watch: w} }, "net/dev", before, after))
	})
}

// Whatever is mounted, what is collected of it may be posted.
func FuzzMountinfo(f *testing.F) {
	seed(f, "self/mountinfo", func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, text string) {
		stat := func(string) (mount.Usage, error) {
			return mount.Usage{BlockSize: 4096, Blocks: 3, Free: 2, Available: 1}, nil
		}
		fs := &Filesystem{Proc: fstest.MapFS{"self/mountinfo": {Data: []byte(text)}}, Sys: fstest.MapFS{}, Usage: &mount.Prober{Stat: stat}}
		v, err := fs.Collect(t.Context())
		if err != nil {
			t.Error(err)
		}
		sound(t, v)
	})
}

func FuzzSanitise(f *testing.F) {
	f.Add("abc*defあ.ggg")
	f.Fuzz(func(t *testing.T, s string) {
		got := sanitise(s)
		if got != "" && len(got) <= saba.MaxMetricName && !saba.ValidMetricName(got) || strings.Contains(got, ".") || len(got) != utf8.RuneCountInString(s) {
			t.Errorf("sanitise(%q) = %q", s, got)
		}
	})
}

func FuzzCPUInfo(f *testing.F) {
	seed(f, "cpuinfo", func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, text string) {
		proc := fstest.MapFS{"cpuinfo": {Data: []byte(text)}}
		cpus, err := cpuFacts(proc, fstest.MapFS{})
		if err != nil {
			t.Error(err)
		}
		for _, c := range cpus {
			for key, v := range c {
				if v == "" {
					t.Errorf("%s is empty in %v", key, c)
				}
			}
		}
	})
}

func FuzzPlatform(f *testing.F) {
	f.Add("etc/os-release", "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\n")
	f.Add("etc/redhat-release", "CentOS release 6.10 (Final)\n")
	f.Add("etc/lsb-release", "DISTRIB_ID=Ubuntu\n")
	f.Add("etc/debian_version", "6.0.10\n")
	f.Fuzz(func(t *testing.T, file, text string) {
		name, version := platform(fstest.MapFS{file: {Data: []byte(text)}})
		if name == "" && version != "" {
			t.Errorf("%s: version %q of nothing", file, version)
		}
	})
}

// Firmware writes a UUID in either case: that changes nothing.
func FuzzEC2UUID(f *testing.F) {
	f.Add("45E12AEC-DCD1-B213-94ED-012345ABCDEF")
	f.Fuzz(func(t *testing.T, uuid string) {
		if ec2UUID(uuid) && !ec2UUID(strings.ToLower(uuid)) {
			t.Errorf("ec2UUID(%q) and not in lower case", uuid)
		}
	})
}
