// Package collect reads what a Linux host says about itself: the metrics of every minute
// (load, CPU, memory, disks, interfaces, file systems) and the facts that describe it (name,
// kernel, processors, addresses, cloud). It reads /proc, /sys and statfs directly and starts
// no process. Metric names, units and the shapes of facts are the Mackerel agent's.
//
// It owns nothing but the counters' previous readings. It never posts, schedules or logs:
// internal/agent does, and this package never imports it. Begin with All, the list of
// collectors; each has a file of its own, with the parsing apart from the reading.
//
// On other systems the package builds, and every reading fails with an error that says so.
package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba"
)

// A Collector reads one family of metrics.
type Collector interface {
	// Collect returns what can be read now. Values and an error may come together: the
	// error then names what is missing. A counter's rate needs two readings, so the first
	// call returns none of them, and no error. One call at a time.
	Collect(ctx context.Context) ([]saba.Value, error)
}

// A Source is a collector by name, and how to make one.
type Source struct {
	Name string
	New  func(Options) Collector
}

// All is every family of host metrics, one line each.
var All = []Source{
	{"loadavg", func(o Options) Collector { return &Loadavg{Proc: o.Proc} }},
	{"cpu", func(o Options) Collector { return &CPU{Proc: o.Proc, Clock: o.Clock} }},
	{"memory", func(o Options) Collector { return &Memory{Proc: o.Proc} }},
	{"disk", func(o Options) Collector {
		return &Disk{Proc: o.Proc, Sys: o.Sys, Clock: o.Clock, Ignore: o.DisksIgnore, UseMountpoint: o.UseMountpoint}
	}},
	{"interface", func(o Options) Collector {
		return &Interface{Proc: o.Proc, Clock: o.Clock, Ignore: o.InterfacesIgnore}
	}},
	{"filesystem", func(o Options) Collector {
		return &Filesystem{Proc: o.Proc, Sys: o.Sys, Usage: o.usage, Ignore: o.FilesystemsIgnore, UseMountpoint: o.UseMountpoint}
	}},
}

// Options say what to leave out and how to name it. The zero value reads this machine and
// leaves nothing out.
type Options struct {
	FilesystemsIgnore *regexp.Regexp // on the source with its /dev/: "/dev/sda1"; metrics only
	DisksIgnore       *regexp.Regexp // on the sanitised device name: "sda1"
	InterfacesIgnore  *regexp.Regexp // on the sanitised interface name: "eth0_100"
	UseMountpoint     bool           // file systems and disks are named by mount point, not by device
	CloudPlatform     string         // CloudAuto, CloudNone, CloudEC2, CloudGCE or CloudAzure; "" is CloudAuto

	// Where to read; nil means this machine's own.
	Proc  fs.FS                                  // procfs
	Sys   fs.FS                                  // sysfs
	Root  fs.FS                                  // the root folder, for files of /etc
	Clock Clock                                  // time since boot
	Stat  func(mountPoint string) (Usage, error) // statfs
	HTTP  *http.Client                           // asks the cloud's metadata services

	usage *prober // shared by Filesystem and Facts, so that a stuck mount is known to both
}

// maxValues bounds what one collector may bring in a round. A host that runs many containers
// grows devices by the thousand, each of which would become a series kept for a year.
const maxValues = 1000

// A Set collects the metrics and facts of one host. Make it with New.
type Set struct {
	opts  Options
	parts []*part
}

// A part is a collector of a Set.
type part struct {
	name      string
	collector Collector
	busy      atomic.Bool // a call has not returned
}

// New returns a Set of every collector in All.
func New(o Options) *Set {
	o.usage = &prober{stat: o.Stat}
	s := &Set{opts: o}
	for _, src := range All {
		s.parts = append(s.parts, &part{name: src.Name, collector: src.New(o)})
	}
	return s
}

// A Round is what one turn of all collectors brought.
type Round struct {
	Values  []saba.Value // finite, validly named, each name once; in the order of All
	Sources []Outcome    // one a collector, in the order of All
}

// An Outcome says how one collector fared in a round.
type Outcome struct {
	Name     string        // as in All
	Values   int           // how many it brought
	Duration time.Duration // how long it took, or how long it was waited for
	Err      error         // what is missing and why; nil when nothing is
}

// Collect runs all collectors at once and returns when each has answered, or at limit, or
// when ctx ends, with what is there by then. A collector that fails, panics or is late costs
// only its own values. One that is late is skipped, with an error, until its call has
// returned; its late values are dropped.
//
// A call that hangs in the kernel cannot be ended, so the goroutine of a late collector may
// outlive Collect: at most one a collector. Every other goroutine is waited for.
func (s *Set) Collect(ctx context.Context, limit time.Duration) Round {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	answers := make([]chan answer, len(s.parts))
	for i, p := range s.parts {
		if !p.busy.CompareAndSwap(false, true) {
			continue
		}
		answers[i] = make(chan answer, 1) // buffered: nobody may be listening any more
		go func() {
			a := p.collect(ctx)
			a.took = time.Since(start)
			p.busy.Store(false)
			answers[i] <- a
		}()
	}
	var r Round
	seen := make(map[string]int, 128) // name → index in r.Values
	for i, p := range s.parts {
		var a answer
		if answers[i] == nil {
			a.err = errors.New("still running since an earlier turn")
		} else {
			a = wait(ctx, answers[i], start)
		}
		out := Outcome{Name: p.name, Duration: a.took}
		out.Values, out.Err = r.take(seen, a)
		if out.Err != nil {
			out.Err = fmt.Errorf("collect %s: %w", p.name, out.Err)
		}
		r.Sources = append(r.Sources, out)
	}
	return r
}

// An answer is what one call of one collector brought.
type answer struct {
	values []saba.Value
	err    error
	took   time.Duration
}

// collect calls the collector; a panic becomes an error.
func (p *part) collect(ctx context.Context) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			a = answer{err: fmt.Errorf("panic: %v", r)}
		}
	}()
	a.values, a.err = p.collector.Collect(ctx)
	return a
}

// wait returns the answer, or an error when ctx ends first. An answer that is there wins.
func wait(ctx context.Context, ch <-chan answer, start time.Time) answer {
	select {
	case a := <-ch:
		return a
	case <-ctx.Done():
	}
	select {
	case a := <-ch:
		return a
	default:
		took := time.Since(start)
		return answer{err: fmt.Errorf("no answer within %v: %w", took.Round(time.Millisecond), ctx.Err()), took: took}
	}
}

// take adds the values of a to r and returns how many it took, and a's error joined with
// one for values that may not leave the host.
func (r *Round) take(seen map[string]int, a answer) (int, error) {
	n := 0
	for i, v := range a.values {
		if n == maxValues {
			return n, errors.Join(a.err, fmt.Errorf("more than %d values: left out %q and what follows; the ignore options can thin them out", maxValues, a.values[i].Name))
		}
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			continue // 0/0 somewhere: there is no reading
		}
		if !saba.ValidMetricName(v.Name) {
			a.err = errors.Join(a.err, fmt.Errorf("left out %.80q: not a valid metric name (at most %d characters of A-Z a-z 0-9 . _ -)", v.Name, saba.MaxMetricName))
			continue
		}
		if at, dup := seen[v.Name]; dup { // two devices that are one after sanitising: the last wins
			r.Values[at] = v
			continue
		}
		seen[v.Name] = len(r.Values)
		r.Values = append(r.Values, v)
		n++
	}
	return n, a.err
}
