package collect

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// Cgroup reports the limits of the control group that this host is, where it is one: a
// container, in which /proc may tell of the whole machine. The zero value reads /sys.
type Cgroup struct {
	Proc  fs.FS  // procfs to read; nil means the host's own
	Sys   fs.FS  // sysfs to read; nil means the host's own
	Watch *Watch // nil means the host's

	last baseline[counts]
}

var cgroupGraphs = []saba.GraphDef{
	graph("cgroup_cpu", "Container CPU (100 is one processor)", saba.UnitPercentage, line("used", "Used"), line("limit", "Limit")),
	graph("cgroup_throttling", "Container CPU Throttling (share of periods)", saba.UnitPercentage, line("percentage", "Throttled")),
	graph("cgroup_memory", "Container Memory", saba.UnitBytes, line("used", "Used"), line("current", "Used, with file cache"), line("limit", "Limit")),
	graph("cgroup_oom", "Container Out of Memory", saba.UnitInteger, line("kills", "Processes killed")),
}

// cgroupFiles are the files that say what a control group uses, and the name of a line in one of them.
type cgroupFiles struct{ current, memory, inactive, cpu, events string }

// Those of version 2, in one folder, and of version 1, where each kind of group has a folder.
var (
	cgroupFiles2 = cgroupFiles{"memory.current", "memory.stat", "inactive_file", "cpu.stat", "memory.events"}
	cgroupFiles1 = cgroupFiles{"memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file", "cpu/cpu.stat", "memory/memory.oom_control"}
)

// Collect returns, of the root of the control groups that this process sees:
// custom.linux.cgroup_cpu.used and .limit (100 is one processor), cgroup_throttling.percentage,
// the share of the scheduler's periods in which it had to stand still, cgroup_memory.used
// (without the file cache that can be dropped at once), .current (with it) and .limit in bytes,
// and cgroup_oom.kills since the previous reading. Without a limit there is no limit's value; a
// host that is no control group has no values at all, and no error; so has a group of version 1 without any limit.
func (c *Cgroup) Collect(context.Context) ([]saba.Value, error) {
	limits, err := readLimits(c.Proc, c.Sys)
	if err != nil || !limits.present {
		return nil, err
	}
	var values []saba.Value
	if limits.cpus > 0 {
		values = append(values, gauge("cgroup_cpu.limit", 100*limits.cpus))
	}
	if limits.memory > 0 {
		values = append(values, gauge("cgroup_memory.limit", limits.memory))
	}
	sys := sysOrHost(c.Sys)
	var errs []error
	read := func(name string) string {
		text, err := readText(sys, cgroupRoot+name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // its controller is off
			errs = append(errs, err)
		}
		return text
	}
	files := cgroupFiles2
	if limits.first {
		files = cgroupFiles1
	}
	if current, err := parseNumbers(read(files.current), 1); err == nil {
		values = append(values, gauge("cgroup_memory.current", current[0]))
		if inactive, ok := parseFlatKeyed(read(files.memory))[files.inactive]; ok {
			values = append(values, gauge("cgroup_memory.used", max(0, current[0]-float64(inactive))))
		}
	}
	now := counts{}
	stat := parseFlatKeyed(read(files.cpu))
	if limits.first {
		if ns, err := strconv.ParseUint(strings.TrimSpace(read("cpuacct/cpuacct.usage")), 10, 64); err == nil {
			stat["usage_usec"] = ns / 1000
		}
	}
	for _, key := range []string{"usage_usec", "nr_periods", "nr_throttled"} {
		if n, ok := stat[key]; ok {
			now[key] = n
		}
	}
	if n, ok := parseFlatKeyed(read(files.events))["oom_kill"]; ok {
		now["oom_kill"] = n
	}
	prev, elapsed, ok, err := c.last.next(now, c.Watch)
	if ok {
		values = append(values, cgroupRates(prev, now, elapsed)...)
	}
	return values, errors.Join(append(errs, err)...)
}

// cgroupRates returns what became of the counters of a control group.
func cgroupRates(prev, now counts, elapsed time.Duration) []saba.Value {
	var values []saba.Value
	if used, ok := increase(prev, now, "usage_usec"); ok {
		// More than 10,000 processors' time is no reading.
		if percent := 100 * used / float64(elapsed.Microseconds()); percent < 1e6 {
			values = append(values, gauge("cgroup_cpu.used", percent))
		}
	}
	periods, ok := increase(prev, now, "nr_periods")
	throttled, both := increase(prev, now, "nr_throttled")
	if ok && both && periods > 0 {
		values = append(values, gauge("cgroup_throttling.percentage", min(100, 100*throttled/periods)))
	}
	if kills, ok := increase(prev, now, "oom_kill"); ok {
		values = append(values, gauge("cgroup_oom.kills", kills))
	}
	return values
}

// cgroupRoot is where the control groups are in sysfs. A container sees itself there.
const cgroupRoot = "fs/cgroup/"

// limits are what a control group may use.
type limits struct {
	present bool    // this host is a control group of a larger one
	first   bool    // of version 1
	cpus    float64 // processors, a fraction perhaps; 0 when not limited
	memory  float64 // bytes; 0 when not limited
}

// readLimits returns the limits of the control group that this host is. The machine's own root
// group has no limits, and no files for them: that is how it is told apart. Limits of groups
// further up, which the container cannot see, hold too, and are not known here.
func readLimits(proc, sys fs.FS) (limits, error) {
	sys = sysOrHost(sys)
	var l limits
	quota, cpuErr := readText(sys, cgroupRoot+"cpu.max")
	high, memoryErr := readText(sys, cgroupRoot+"memory.max")
	if errors.Is(cpuErr, fs.ErrNotExist) && errors.Is(memoryErr, fs.ErrNotExist) {
		return readFirstLimits(proc, sys)
	}
	l.present = cpuErr == nil || memoryErr == nil
	if cpuErr == nil {
		l.cpus = parseQuota(quota)
	}
	if set, err := readText(sys, cgroupRoot+"cpuset.cpus.effective"); err == nil && l.present {
		online, _ := readText(sys, "devices/system/cpu/online")
		if n := countList(set); n > 0 && n < countList(online) && (l.cpus == 0 || float64(n) < l.cpus) {
			l.cpus = float64(n)
		}
	}
	if memoryErr == nil {
		l.memory = parseMost(high, proc)
	}
	for _, err := range []error{cpuErr, memoryErr} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l, err
		}
	}
	return l, nil
}

// readFirstLimits is readLimits of control groups of version 1, each kind of which has a tree of its own. The
// machine's root group has these files too, and other numbers in them: a group without limits is not told apart from it.
func readFirstLimits(proc, sys fs.FS) (l limits, err error) {
	read := func(name string) string {
		text, readErr := readText(sys, cgroupRoot+name)
		if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
			err = errors.Join(err, readErr)
		}
		return text
	}
	// The quota is -1 when there is none (Documentation/scheduler/sched-bwc.rst), which parseQuota does not take.
	l.cpus = parseQuota(strings.TrimSpace(read("cpu/cpu.cfs_quota_us")) + " " + read("cpu/cpu.cfs_period_us"))
	l.memory = parseMost(read("memory/memory.limit_in_bytes"), proc)
	l.first = l.cpus > 0 || l.memory > 0
	l.present = l.first
	return l, err
}

// parseMost reads the most bytes that a control group may have; 0 is no limit, as is more than there is.
func parseMost(text string, proc fs.FS) float64 {
	bytes, err := parseNumbers(text, 1)
	if err != nil {
		return 0
	}
	if text, err := readText(procOrHost(proc), "meminfo"); err == nil {
		if total := float64(parseMeminfo(text)["MemTotal"]) * 1024; total > 0 && total <= bytes[0] {
			return 0
		}
	}
	return bytes[0]
}

// parseQuota reads cpu.max, "150000 100000" or "max 100000", as processors: 1.5; 0 is no limit.
func parseQuota(text string) float64 {
	n, err := parseNumbers(text, 2)
	if err != nil || n[1] < 1 { // µs
		return 0
	}
	return n[0] / n[1]
}

// countList returns how many numbers a list like "0-3,8" holds.
func countList(text string) int {
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		if err != nil || a < 0 {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(to); err != nil || b < a {
				continue
			}
		}
		if b-a >= math.MaxInt32 || n > math.MaxInt32 {
			return 0 // no machine
		}
		n += b - a + 1
	}
	return n
}

// parseFlatKeyed reads lines of a name and a number (Documentation/admin-guide/cgroup-v2.rst).
func parseFlatKeyed(text string) counts {
	c := counts{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			c[key] = n
		}
	}
	return c
}

// cgroupFacts tells the limits of a host that is a control group; nil elsewhere.
func cgroupFacts(proc, sys fs.FS) (map[string]string, error) {
	l, err := readLimits(proc, sys)
	if !l.present {
		return nil, err
	}
	facts := map[string]string{}
	if l.cpus > 0 {
		facts["cpu_limit"] = strconv.FormatFloat(l.cpus, 'f', -1, 64)
	}
	if l.memory > 0 {
		facts["memory_limit"] = strconv.FormatFloat(math.Floor(l.memory/1024), 'f', 0, 64) + "kB"
	}
	return facts, err
}
