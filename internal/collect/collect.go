// Package collect reads what a Linux host says about itself: the metrics of every minute
// (load, CPU, memory, disks, interfaces, file systems) and the facts that describe it (name,
// kernel, processors, addresses, cloud). It reads /proc, /sys and statfs directly and starts
// no process. Metric names, units and the shapes of facts are the Mackerel agent's.
//
// Beyond what agents of the protocol send there are families of Linux metrics, off by default:
// see families.go.
//
// A host is what /proc tells of. In a container that is the machine below, unless the container
// has a /proc of its own (LXC with lxcfs): cpu.*, memory.* and loadavg* are then the machine's,
// with as many processors as it has, while interfaces and file systems are the container's.
// They are not bent to the container's limits, as half of a host's numbers would then mean
// something else than on every other host; what the container may use, and does, is in the
// family cgroup and in the facts.
//
// It owns nothing but the counters' previous readings, which Save and Restore carry across a
// restart. It never posts, schedules or logs: internal/agent does, and this package never
// imports it. Begin with All, the list of collectors; each has a file of its own, with the
// parsing apart from the reading.
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
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/inturn"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// A Collector reads one group of metrics.
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

// All is every collector of what agents of the protocol send, one line each.
var All = []Source{
	{"loadavg", func(o Options) Collector { return &Loadavg{Proc: o.Proc} }},
	{"cpu", func(o Options) Collector { return &CPU{Proc: o.Proc, Watch: o.watch} }},
	{"memory", func(o Options) Collector { return &Memory{Proc: o.Proc} }},
	{"disk", func(o Options) Collector {
		return &Disk{Proc: o.Proc, Sys: o.Sys, Watch: o.watch, Ignore: o.DisksIgnore, UseMountpoint: o.UseMountpoint}
	}},
	{"interface", func(o Options) Collector {
		return &Interface{Proc: o.Proc, Watch: o.watch, Ignore: o.InterfacesIgnore}
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
	Linux             []string       // families of Linux metrics to read besides, of LinuxFamilies; none by default
	CloudPlatform     string         // CloudAuto, CloudNone, CloudEC2, CloudGCE or CloudAzure; "" is CloudAuto

	// Where to read; nil means this machine's own.
	Proc    fs.FS                                           // procfs
	Sys     fs.FS                                           // sysfs
	Root    fs.FS                                           // the root folder, for files of /etc
	Clock   Clock                                           // time since boot
	Stat    func(mountPoint string) (mount.Usage, error)    // statfs
	Sockets func(ctx context.Context) (SocketStates, error) // sock_diag
	HTTP    *http.Client                                    // asks the cloud's metadata services

	usage *mount.Prober // shared by Filesystem and Facts, so that a stuck mount is known to both
	watch *Watch        // shared by all counters
}

// maxValues bounds what one collector may bring in a round. A host that runs many containers
// grows devices by the thousand, each of which would become a series kept for a year.
const maxValues = 1000

// A Set collects the metrics and facts of one host. Make it with New.
type Set struct {
	opts    Options
	parts   []*part
	brought int // how many values the last round had
}

// A part is a collector of a Set.
type part struct {
	name      string
	collector Collector
	busy      atomic.Bool // a call has not returned
}

// New returns a Set of every collector in All, and of the families that o.Linux names; names
// that are not among LinuxFamilies are passed over (CheckLinux tells them).
func New(o Options) *Set { return pick(o, All) }

// Pick returns a Set of those collectors in All that have one of the names, and of the families
// that o.Linux names, for a host of which the other metrics say nothing.
func Pick(o Options, names ...string) *Set {
	var sources []Source
	for _, src := range All {
		if slices.Contains(names, src.Name) {
			sources = append(sources, src)
		}
	}
	return pick(o, sources)
}

func pick(o Options, sources []Source) *Set {
	o.Proc, o.Sys, o.Root = procOrHost(o.Proc), sysOrHost(o.Sys), rootOrHost(o.Root)
	o.usage = &mount.Prober{Stat: o.Stat}
	o.watch = &Watch{Clock: o.Clock, Proc: o.Proc}
	s := &Set{opts: o}
	for _, src := range sources {
		s.parts = append(s.parts, &part{name: src.Name, collector: src.New(o)})
	}
	for _, f := range families {
		if slices.Contains(o.Linux, f.name) {
			s.parts = append(s.parts, &part{name: f.name, collector: f.new(o)})
		}
	}
	return s
}

// A Round is what one turn of all collectors brought.
type Round struct {
	Values  []saba.Value // finite, validly named, each name once; in the order of Sources
	Sources []Outcome    // one a collector, in the order of All, then of the families
}

// An Outcome says how one collector fared in a round.
type Outcome struct {
	Name     string        // as in All or LinuxFamilies
	Values   int           // how many it brought
	Duration time.Duration // how long it took, or how long it was waited for
	Err      error         // what is missing and why; nil when nothing is
}

// Collect runs all collectors and returns when each has answered, or at limit, or when ctx
// ends, with what is there by then. A collector that fails, panics or is late costs only its
// own values. One that is late is skipped, with an error, until its call has returned; its
// late values are dropped. One call at a time.
//
// A call that hangs in the kernel cannot be ended, so the goroutine of a late collector may
// outlive Collect: at most one a collector. Every other goroutine is waited for.
func (s *Set) Collect(ctx context.Context, limit time.Duration) Round {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := turn{answers: make([]*answer, len(s.parts)), start: time.Now()}
	inturn.Do(ctx, len(s.parts), func(i int) { t.answer(i, s.parts[i].collect(ctx)) })
	r := Round{Sources: make([]Outcome, 0, len(s.parts)), Values: make([]saba.Value, 0, s.brought+8)}
	seen := make(map[string]int, s.brought+8) // name → index in r.Values
	for i, a := range t.close() {
		if a == nil {
			took := time.Since(t.start)
			a = &answer{err: fmt.Errorf("no answer within %v: %w", took.Round(time.Millisecond), ctx.Err()), took: took}
		}
		out := Outcome{Name: s.parts[i].name, Duration: a.took}
		out.Values, out.Err = r.take(seen, *a)
		if out.Err != nil {
			out.Err = fmt.Errorf("collect %s: %w", out.Name, out.Err)
		}
		r.Sources = append(r.Sources, out)
	}
	s.brought = len(r.Values)
	return r
}

// An answer is what one call of one collector brought.
type answer struct {
	values []saba.Value
	err    error
	took   time.Duration
}

// A turn gathers the answers of a round until it closes.
type turn struct {
	start time.Time

	mu      sync.Mutex
	answers []*answer // by part; nil while there is none
	closed  bool
}

func (t *turn) answer(i int, a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.answers[i] = &a
	}
}

// close returns the answers; later ones are dropped.
func (t *turn) close() []*answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return t.answers
}

// collect calls the collector, unless an earlier call has not returned; a panic becomes an error.
func (p *part) collect(ctx context.Context) (a answer) {
	if !p.busy.CompareAndSwap(false, true) {
		return answer{err: errors.New("still running since an earlier turn")}
	}
	start := time.Now()
	defer func() {
		if r := recover(); r != nil {
			a = answer{err: fmt.Errorf("panic: %v", r)}
		}
		a.took = time.Since(start)
		p.busy.Store(false)
	}()
	a.values, a.err = p.collector.Collect(ctx)
	return a
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
