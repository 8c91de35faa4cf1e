// Package procs is the plugin that watches processes by what their command lines look like.
package procs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target/process"
)

// Plugin reports how many processes match each of its patterns, and what they use together.
var Plugin = plugin.Plugin{
	Name:  "procs",
	Short: "count, CPU, memory, threads and open files of processes, by patterns of their command lines",
	Label: "Processes",
	Graphs: []plugin.Graph{
		{Name: "count", Label: "Count", Unit: saba.UnitInteger, Metrics: each},
		{Name: "cpu", Label: "CPU (100 is one processor)", Unit: saba.UnitPercentage, Metrics: each},
		{Name: "memory", Label: "Memory (RSS)", Unit: saba.UnitBytes, Metrics: each},
		{Name: "pss", Label: "Memory (PSS)", Unit: saba.UnitBytes, Metrics: each},
		{Name: "threads", Label: "Threads", Unit: saba.UnitInteger, Metrics: each},
		{Name: "files", Label: "Open Files", Unit: saba.UnitInteger, Metrics: each},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{}
		fs.Func("pattern", "`NAME=REGEXP`: the processes whose command line matches, with the name that they have in the metrics; may be repeated", c.addPattern)
		fs.StringVar(&c.user, "user", "", "`user`, by name or number: only processes that run with the rights of this one")
		fs.BoolVar(&c.pss, "pss", false, "also the memory with what is shared divided among those who share it: the kernel looks at each page for it")
		return c
	},
}

var each = []plugin.Metric{{Name: "*", Label: "%1"}}

// The time between two readings that says something about a rate, as for counters.
const (
	minGap = time.Second
	maxGap = 10 * time.Minute
)

type collector struct {
	table    process.Table
	patterns []pattern
	user     string
	pss      bool

	last reading
}

type pattern struct {
	name   string
	regexp *regexp.Regexp
}

func (c *collector) addPattern(s string) error {
	name, text, ok := strings.Cut(s, "=")
	if !ok || strings.Contains(name, ".") || !saba.ValidMetricName(name) || text == "" {
		return errors.New("must be NAME=REGEXP, the name made of a-z A-Z 0-9 - _")
	}
	if slices.ContainsFunc(c.patterns, func(p pattern) bool { return p.name == name }) {
		return fmt.Errorf("there are two patterns named %s: join them as (ONE|OTHER)", name)
	}
	re, err := regexp.Compile(text)
	c.patterns = append(c.patterns, pattern{name, re})
	return err
}

// CheckFlags says what is wrong with the flags.
func (c *collector) CheckFlags() error {
	if len(c.patterns) == 0 {
		return errors.New("-pattern is missing: which processes?")
	}
	return nil
}

// A reading is how much CPU time processes had used at one moment.
type reading struct {
	boot string
	at   time.Duration // since boot
	used map[identity]time.Duration
}

// An identity is a process's alone until the host starts anew: numbers come back.
type identity struct {
	pid   int
	start time.Duration // since boot
}

// Collect reads the processes once.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	s, err := c.table.Read(ctx)
	if err != nil {
		return nil, err
	}
	owner := -1
	if c.user != "" {
		if owner, err = process.UserID(c.user); err != nil {
			return nil, err
		}
	}
	if s.Hidden && owner != os.Geteuid() {
		return nil, errors.New("this user may not see the processes of others (hidepid in proc(5)): run it as root or in the group of /proc's gid=, or with -user and its own name")
	}
	now := reading{s.Boot, s.At, map[identity]time.Duration{}}
	var values []saba.Value
	var errs []error
	askers := map[int]bool{}
	for _, p := range c.patterns {
		for pid := range s.Askers([]string{p.regexp.String()}) {
			askers[pid] = true
		}
	}
	for _, p := range c.patterns {
		var found []process.Process
		for _, q := range s.Processes {
			if askers[q.PID] || !p.regexp.MatchString(q.Command) {
				continue
			}
			if owner >= 0 {
				if id, err := c.table.Owner(q.PID); err != nil && !process.Ended(err) {
					errs = append(errs, err)
					continue
				} else if err != nil || id != owner {
					continue
				}
			}
			found = append(found, q)
			now.used[identity{q.PID, q.Start}] = q.CPU
		}
		add := func(graph string, v float64) {
			values = append(values, saba.Value{Name: graph + "." + p.name, Value: v})
		}
		var threads int
		var resident uint64
		for _, q := range found {
			threads += q.Threads
			resident += q.Resident
		}
		add("count", float64(len(found)))
		add("threads", float64(threads))
		add("memory", float64(resident))
		if share, ok := c.last.share(now, found); ok {
			add("cpu", share)
		}
		if n, err := sum(found, c.table.OpenFiles); err == nil {
			add("files", float64(n))
		} else if !errors.Is(err, fs.ErrPermission) {
			errs = append(errs, err)
		}
		if !c.pss {
			continue
		}
		if n, err := sum(found, c.table.Proportional); err == nil {
			add("pss", float64(n))
		} else {
			errs = append(errs, err)
		}
	}
	if gap := now.at - c.last.at; c.last.boot != now.boot || gap < 0 || gap >= minGap {
		c.last = now // else the older reading makes the better rate
	}
	return values, errors.Join(errs...)
}

// sum adds up what ask says of each process; one that has ended meanwhile has nothing any more.
func sum[N int | uint64](processes []process.Process, ask func(pid int) (N, error)) (total N, err error) {
	for _, p := range processes {
		n, err := ask(p.PID)
		if err != nil && !process.Ended(err) {
			return 0, err // a part of them is no sum
		}
		total += n
	}
	return total, nil
}

// share returns how much of one processor the processes have used since r, in percent. What those
// used that have ended since is not known, and not in it. A process that is older than r and is
// not in it, since its command line was another then, may have used its time before: there is no
// share as long as one of them is such.
func (r reading) share(now reading, processes []process.Process) (percent float64, ok bool) {
	elapsed := now.at - r.at
	if r.used == nil || r.boot != now.boot || elapsed < minGap || elapsed > maxGap {
		return 0, false
	}
	var used time.Duration
	for _, p := range processes {
		before, known := r.used[identity{p.PID, p.Start}]
		if !known && p.Start < r.at || p.CPU < before {
			return 0, false
		}
		used += p.CPU - before
	}
	return 100 * used.Seconds() / elapsed.Seconds(), true
}

// kept is a reading as JSON. Times are nanoseconds.
type kept struct {
	Boot string             `json:"boot"`
	At   time.Duration      `json:"at"`
	Used [][3]time.Duration `json:"used"` // number of the process, when it started, what it had used
}

// Resume takes up the reading of the run before.
func (c *collector) Resume(b json.RawMessage) error {
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return err
	}
	c.last = reading{k.Boot, k.At, map[identity]time.Duration{}}
	for _, u := range k.Used {
		c.last.used[identity{int(u[0]), u[1]}] = u[2]
	}
	return nil
}

// Keep returns the last reading.
func (c *collector) Keep() (json.RawMessage, error) {
	k := kept{Boot: c.last.boot, At: c.last.at, Used: [][3]time.Duration{}}
	for id, used := range c.last.used {
		k.Used = append(k.Used, [3]time.Duration{time.Duration(id.pid), id.start, used})
	}
	slices.SortFunc(k.Used, func(a, b [3]time.Duration) int { return cmp.Compare(a[0], b[0]) })
	return json.Marshal(k)
}
