package collect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// linuxPrefix begins the name of every metric and graph of the families.
const linuxPrefix = "custom.linux."

// A family is a group of metrics beyond those that agents of the protocol send. It is off
// unless Options.Linux names it: every series is kept, and in some places paid for.
type family struct {
	name   string
	new    func(Options) Collector
	graphs []saba.GraphDef // how its metrics are drawn: each metric is on one of them
}

// families is every family, one line each; each has a file of its own.
var families = []family{
	{"pressure", func(o Options) Collector { return &Pressure{Proc: o.Proc, Watch: o.watch} }, pressureGraphs},
	{"tcp", func(o Options) Collector { return &TCP{Proc: o.Proc, Sockets: o.Sockets, Watch: o.watch} }, tcpGraphs},
	{"files", func(o Options) Collector { return &Files{Proc: o.Proc} }, filesGraphs},
	{"scheduler", func(o Options) Collector { return &Scheduler{Proc: o.Proc, Watch: o.watch} }, schedulerGraphs},
	{"oom", func(o Options) Collector { return &OOM{Proc: o.Proc, Watch: o.watch} }, oomGraphs},
	{"disklatency", func(o Options) Collector {
		return &DiskLatency{Proc: o.Proc, Sys: o.Sys, Watch: o.watch, Ignore: o.DisksIgnore}
	}, diskLatencyGraphs},
	{"uptime", func(o Options) Collector { return &Uptime{Proc: o.Proc} }, uptimeGraphs},
	{"conntrack", func(o Options) Collector { return &Conntrack{Proc: o.Proc, Watch: o.watch} }, conntrackGraphs},
	{"inodes", func(o Options) Collector {
		return &Inodes{Filesystem{Proc: o.Proc, Sys: o.Sys, Usage: o.usage, Ignore: o.FilesystemsIgnore, UseMountpoint: o.UseMountpoint}}
	}, inodesGraphs},
	{"cgroup", func(o Options) Collector { return &Cgroup{Proc: o.Proc, Sys: o.Sys, Watch: o.watch} }, cgroupGraphs},
}

// LinuxFamilies returns the names that Options.Linux may hold.
func LinuxFamilies() []string {
	names := make([]string, len(families))
	for i, f := range families {
		names[i] = f.name
	}
	return names
}

// CheckLinux returns an error that names each of names that is not a family.
func CheckLinux(names []string) error {
	var errs []error
	for _, name := range names {
		if _, ok := familyOf(name); !ok {
			errs = append(errs, fmt.Errorf("unknown family of Linux metrics %q%s: there are %s", name, meant(name), strings.Join(LinuxFamilies(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// meant asks whether another family was meant by a name, "" when none is near.
func meant(name string) string {
	for _, f := range families {
		if saba.Distance(name, f.name) <= 2 {
			return fmt.Sprintf(" (did you mean %q?)", f.name)
		}
	}
	return ""
}

// LinuxGraphDefs returns the graph definitions of the families of those names, for a server
// that is to draw their metrics. Unknown names have none.
func LinuxGraphDefs(names []string) []saba.GraphDef {
	var defs []saba.GraphDef
	for _, f := range families {
		if slices.Contains(names, f.name) {
			defs = append(defs, f.graphs...)
		}
	}
	return defs
}

func familyOf(name string) (family, bool) {
	i := slices.IndexFunc(families, func(f family) bool { return f.name == name })
	if i < 0 {
		return family{}, false
	}
	return families[i], true
}

// graph defines a graph of a family; its name and its metrics' are written without the prefix.
func graph(name, title string, unit saba.Unit, metrics ...saba.GraphDefMetric) saba.GraphDef {
	g := saba.GraphDef{Name: linuxPrefix + name, DisplayName: title, Unit: unit}
	for _, m := range metrics {
		m.Name = g.Name + "." + m.Name
		g.Metrics = append(g.Metrics, m)
	}
	return g
}

// line and area define a metric of a graph.
func line(name, label string) saba.GraphDefMetric {
	return saba.GraphDefMetric{Name: name, DisplayName: label}
}

func area(name, label string) saba.GraphDefMetric {
	return saba.GraphDefMetric{Name: name, DisplayName: label, Stacked: true}
}

// counts are counters by the kernel's name for them. One that the kernel lacks is not in it.
type counts map[string]uint64

// A counter is a counter of the kernel and the metric that its rate is.
type counter struct {
	key    string // in counts
	metric string // without linuxPrefix
}

// eventCeiling is above what any kernel counts a second.
const eventCeiling = 1e12

// rates returns the rate a second of each counter that both readings have and that did not go back.
func rates(counters []counter, prev, now counts, elapsed time.Duration) []saba.Value {
	values := make([]saba.Value, 0, len(counters))
	for _, c := range counters {
		p, before := prev[c.key]
		n, after := now[c.key]
		if !before || !after {
			continue
		}
		if v, ok := rate(p, n, elapsed, eventCeiling); ok {
			values = append(values, saba.Value{Name: linuxPrefix + c.metric, Value: v})
		}
	}
	return values
}

// gauge is a value of a family.
func gauge(metric string, v float64) saba.Value {
	return saba.Value{Name: linuxPrefix + metric, Value: v}
}
