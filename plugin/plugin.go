// Package plugin is for authors of metric plugins: programs that an agent runs once a minute
// and that print values. A plugin says what it shows, as data, and how it asks; this package
// does the rest: flags, output, graph definitions, counters, deadlines and exit codes.
//
//	// Plugin reports the length of the queue of a spool folder.
//	var Plugin = plugin.Plugin{
//		Name:  "spool",
//		Short: "files that wait in a folder",
//		Graphs: []plugin.Graph{{Name: "files", Label: "Files", Unit: saba.UnitInteger,
//			Metrics: []plugin.Metric{{Name: "waiting", Label: "Waiting"}},
//		}},
//		New: func(fs *flag.FlagSet) plugin.Collector {
//			c := &collector{}
//			fs.StringVar(&c.dir, "dir", "/var/spool", "`folder` to count in")
//			return c
//		},
//	}
//
//	func main() { plugin.Main(Plugin) }
//
// Main runs it as a process (run.go) for any agent of the protocol; Embed runs it inside one
// that lives on (embed.go). Counters become changes per minute in counter.go. A collector that
// has more to say than Collect does so by an interface of this file: OpenCollector, FlagChecker, Keeper,
// Closer, Printer. The package imports the standard library and package saba only. plugintest proves that a plugin
// collects what it declares.
package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// A Plugin is a metric plugin: what it shows and how it asks. It is a value that nothing
// changes; what changes is in the collectors that New makes.
type Plugin struct {
	// Name is what the plugin is called and, unless -metric-key-prefix says otherwise, what
	// its metrics' names begin with: "memcached".
	Name  string
	Short string // one line for a list: "commands and memory of a memcached"
	// Label stands for Name in the titles of graphs: "MySQL". "" means Name itself. They begin with the prefix of
	// the metrics' names in title case, so with "MySQL" for mysql and with "MySQL3307" for mysql3307, unless
	// -metric-label-prefix says otherwise.
	Label  string
	Graphs []Graph
	// New adds the flags of the plugin to fs and returns a collector that they will have set
	// when it is asked. It touches nothing else: it is called for help pages too.
	New func(fs *flag.FlagSet) Collector
}

// A Graph declares one chart. A metric is named prefix.graph.metric.
type Graph struct {
	// Name is segments with dots between them: "cmd", "queue.#". The segments * and # stand for any
	// one segment of what is collected, and # groups the legend. "" means that the prefix
	// itself is the graph.
	Name    string
	Label   string // its title after the label prefix: "Commands"; "" means Name in title case
	Unit    saba.Unit
	Metrics []Metric
	// PerSecond means that the counters are shown as their change per second, in place of per minute. With a Unit
	// that is per second it must be set.
	PerSecond bool
}

// per returns the time over which the changes of counters are shown.
func (g Graph) per() time.Duration {
	if g.PerSecond {
		return time.Second
	}
	return time.Minute
}

// Pace says for people over which time the changes of a metric of g are shown: "per minute" or "per second", and "" when
// it is no counter or the unit says it.
func (g Graph) Pace(m Metric) string {
	switch {
	case !m.Counter || perSecond(g.Unit):
		return ""
	case g.PerSecond:
		return "per second"
	}
	return "per minute"
}

// perSecond says whether values of a unit are per second.
func perSecond(u saba.Unit) bool {
	return u == saba.UnitBytesPerSec || u == saba.UnitBitsPerSec || u == saba.UnitIOPS
}

// A Metric declares one line or area of a Graph.
type Metric struct {
	Name    string // one segment: "get"; or * or #
	Label   string // "Get"; %1, %2… are what the first, second… wildcard stands for; "" means Name in title case
	Counter bool   // collected as a total since some start; shown as its change per minute, or per second if its graph says so
	Stacked bool
}

// A Collector asks the target of one plugin. It is called by one goroutine at a time, and kept
// from turn to turn when the plugin runs inside an agent, so it may keep connections.
type Collector interface {
	// Collect asks once and returns values under the names graph.metric ("cmd.get"), as the
	// graphs declare them, counters as totals. What is not known is left out: never a zero in
	// its place. Values and an error may come together. It returns soon after ctx has ended.
	Collect(ctx context.Context) ([]saba.Value, error)
}

// An OpenCollector is a Collector whose metrics are known only when they are collected. It may
// bring what no graph declares, and its plugin needs no graphs.
type OpenCollector interface {
	Collector
	// Counters returns what says of an undeclared metric whether it is a counter; nil means that
	// none is. The flags are set.
	Counters() func(name string) bool
}

// A FlagChecker is a Collector that knows which flags go together.
type FlagChecker interface {
	Collector
	// CheckFlags says what is wrong with the flags, which are set; nil when nothing is.
	CheckFlags() error
}

// A Keeper is a Collector that keeps more than counters from turn to turn: where it stopped reading a
// file, say. It keeps that in its fields; when the plugin runs as a process, a file carries it
// from run to run.
type Keeper interface {
	Collector
	// Resume is called before Collect with what Keep returned in the run before, if there was
	// one. The error says what cannot be used of it; the collection takes place all the same.
	Resume(kept json.RawMessage) error
	// Keep returns what the next run needs, as JSON, some kilobytes at most. It is called after Collect,
	// unless that brought nothing but an error: then what was kept stays.
	Keep() (json.RawMessage, error)
}

// A Closer is a Collector that keeps something open from turn to turn: a connection, say.
type Closer interface {
	Collector
	// Close lets go of it. It is called when no Collect follows, and not during one; it does not wait long.
	Close()
}

// A Printer is a Collector that prints in a form of its own when its flags say so: for something
// else than an agent.
type Printer interface {
	Collector
	// Printing says whether the flags, which are set, ask for that form, and how often: again
	// after each time every, until the process is ended, or once when every is 0.
	Printing() (on bool, every time.Duration)
	// Print asks once and returns the text to print. Text and an error may come together. It
	// returns soon after ctx has ended.
	Print(ctx context.Context) (string, error)
}

// DefaultTimeout is how long a collection may take, unless -timeout says otherwise.
const DefaultTimeout = 10 * time.Second

// lowercase is what the name of a plugin begins with; - and _ may follow.
const lowercase = "abcdefghijklmnopqrstuvwxyz0123456789"

// Check says what is wrong with a declaration; nil when nothing is. Main and Embed refuse a
// plugin that is wrong.
func (p Plugin) Check() error {
	if p.Name == "" || strings.Trim(p.Name, lowercase+"-_") != "" || !strings.Contains(lowercase, p.Name[:1]) {
		return fmt.Errorf("the plugin's name %q must be made of a-z 0-9 - _", p.Name)
	}
	if p.New == nil {
		return fmt.Errorf("plugin %s has no New", p.Name)
	}
	if _, open := p.New(flag.NewFlagSet(p.Name, flag.ContinueOnError)).(OpenCollector); !open && len(p.Graphs) == 0 {
		return fmt.Errorf("plugin %s has no graph", p.Name)
	}
	seen := map[string]bool{}
	for _, g := range p.Graphs {
		if g.Unit != "" && !g.Unit.Valid() {
			return fmt.Errorf("graph %q of plugin %s has the unknown unit %q", g.Name, p.Name, g.Unit)
		}
		if len(g.Metrics) == 0 {
			return fmt.Errorf("graph %q of plugin %s has no metric", g.Name, p.Name)
		}
		for _, m := range g.Metrics {
			name := join(g.Name, m.Name)
			if m.Name == "" || strings.Contains(m.Name, ".") || !saba.ValidGraphDefName("custom."+join(p.Name, name)) {
				return fmt.Errorf("metric %q of graph %q of plugin %s has a name that is not possible", m.Name, g.Name, p.Name)
			}
			if seen[name] {
				return fmt.Errorf("metric %q of plugin %s is declared twice", name, p.Name)
			}
			if m.Counter && perSecond(g.Unit) && !g.PerSecond {
				return fmt.Errorf("metric %q of plugin %s is a counter under the unit %q: its graph needs PerSecond", name, p.Name, g.Unit)
			}
			seen[name] = true
		}
	}
	return nil
}

// Find returns where a metric (graph.metric, as a Collector names it) is declared, and whether it is.
func (p Plugin) Find(name string) (g Graph, m Metric, ok bool) {
	for _, g := range p.Graphs {
		for _, m := range g.Metrics {
			if matches(join(g.Name, m.Name), name) {
				return g, m, true
			}
		}
	}
	return Graph{}, Metric{}, false
}

// matches says whether name is declared by pattern: segment by segment, where * and # match
// any one that is not empty.
func matches(pattern, name string) bool {
	for {
		p, morePattern, more := strings.Cut(pattern, ".")
		n, moreName, moreToo := strings.Cut(name, ".")
		if p != n && (p != "*" && p != "#" || n == "") || more != moreToo {
			return false
		}
		if !more {
			return true
		}
		pattern, name = morePattern, moreName
	}
}

// join puts a dot between two parts of a name; either may be empty.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "." + b
}

// remembers says whether a run leaves something to the next one.
func (in *instance) remembers() bool {
	_, keeps := in.collector.(Keeper)
	return keeps || in.counts()
}

// counts says whether p has counters.
func (in *instance) counts() bool {
	for _, g := range in.Graphs {
		for _, m := range g.Metrics {
			if m.Counter {
				return true
			}
		}
	}
	return in.isCounter != nil
}

// A declaration is a metric and its graph.
type declaration struct {
	graph  *Graph
	metric *Metric
}

// find does what Find does, without a search when the name is declared as it is.
func (in *instance) find(name string) (Graph, Metric, bool) {
	if in.declared == nil {
		in.declared = map[string]declaration{}
		for i := range in.Graphs {
			g := &in.Graphs[i]
			for j := range g.Metrics {
				if pattern := join(g.Name, g.Metrics[j].Name); !strings.ContainsAny(pattern, "*#") {
					in.declared[pattern] = declaration{g, &g.Metrics[j]}
				}
			}
		}
	}
	if d, ok := in.declared[name]; ok {
		return *d.graph, *d.metric, true
	}
	return in.Find(name)
}

// An instance is a plugin with its flags.
type instance struct {
	Plugin
	collector Collector
	flags     *flag.FlagSet
	given     []string // the arguments

	open      bool                   // the collector is an OpenCollector
	declared  map[string]declaration // by name, without wildcards
	isCounter func(name string) bool // of what no graph declares; nil means that none is
	printer   Printer                // nil unless the flags ask for its form
	every     time.Duration          // between two prints; 0 means once

	prefix   string // of names; may be empty
	label    string // of titles; may be empty
	tempfile string
	timeout  time.Duration
	explain  bool
	version  bool

	left bool // a Collect did not return: it is at work
}

// close closes the collector, if it can be.
func (in *instance) close() {
	if c, ok := in.collector.(Closer); ok && !in.left {
		c.Close()
	}
}

// newInstance returns p with the flags that args set. An error is about the arguments, or is
// flag.ErrHelp; then the instance is there all the same, for its usage.
func (p Plugin) newInstance(args []string) (*instance, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	fs := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	fs.SetOutput(discard{}) // errors are said once, by the caller
	fs.Usage = func() {}
	in := &instance{Plugin: p, collector: p.New(fs), flags: fs, given: args}
	// A plugin may have a flag of one of these names with a meaning of its own.
	ours := func(name string, add func()) {
		if fs.Lookup(name) == nil {
			add()
		}
	}
	label := "\x00" // no title begins with it: not given
	in.timeout = DefaultTimeout
	in.prefix = "" // a plugin with this flag of its own names its metrics itself
	ours("metric-key-prefix", func() {
		in.prefix = p.Name
		fs.StringVar(&in.prefix, "metric-key-prefix", in.prefix, "`prefix` of the metrics' names")
	})
	ours("metric-label-prefix", func() {
		fs.Func("metric-label-prefix", "`prefix` of the graphs' titles (default "+p.title(p.Name)+")", func(s string) error {
			label = s
			return nil
		})
	})
	ours("tempfile", func() {
		fs.StringVar(&in.tempfile, "tempfile", "", "`file` that keeps counters and the like until the next run (default: one for these arguments, in MACKEREL_PLUGIN_WORKDIR or the folder for temporary files)")
	})
	ours("timeout", func() {
		fs.Func("timeout", "`time` that a collection may take, like 5s or 5 (default "+DefaultTimeout.String()+")", func(s string) (err error) {
			if seconds, numErr := strconv.Atoi(s); numErr == nil { // as other plugins have it
				s = strconv.Itoa(seconds) + "s"
			}
			in.timeout, err = time.ParseDuration(s)
			return err
		})
	})
	ours("explain", func() {
		fs.BoolVar(&in.explain, "explain", false, "collect and print for people what would be sent, with titles and units")
	})
	ours("version", func() { fs.BoolVar(&in.version, "version", false, "print the version") })
	if err := fs.Parse(args); err != nil {
		return in, err
	}
	switch {
	case in.version: // for which no other flag is needed
		return in, nil
	case fs.NArg() > 0:
		return in, fmt.Errorf("unexpected argument %q: there are flags only", fs.Arg(0))
	case in.prefix != "" && (strings.ContainsAny(in.prefix, "*#") || !saba.ValidGraphDefName("custom."+in.prefix)):
		return in, fmt.Errorf("-metric-key-prefix %q must be made of a-z A-Z 0-9 - _ with single dots between", in.prefix)
	case in.timeout <= 0:
		return in, fmt.Errorf("-timeout %v must be more than nothing", in.timeout)
	}
	if c, ok := in.collector.(FlagChecker); ok {
		if err := c.CheckFlags(); err != nil {
			return in, err
		}
	}
	if c, ok := in.collector.(OpenCollector); ok {
		in.open, in.isCounter = true, c.Counters()
	}
	if c, ok := in.collector.(Printer); ok {
		if on, every := c.Printing(); on {
			in.printer, in.every = c, every
		}
	}
	in.label = label
	if label == "\x00" {
		in.label = p.title(in.prefix)
	}
	return in, nil
}

// title returns what graph titles begin with under a prefix of names.
func (p Plugin) title(prefix string) string {
	return titleCase(strings.ReplaceAll(prefix, p.Name, cmp.Or(p.Label, p.Name)))
}

// graphTitle returns the title of a graph.
func (in *instance) graphTitle(g Graph) string {
	label := g.Label
	if label == "" {
		label = autoLabel(g.Name)
	}
	return strings.TrimSpace(in.label + " " + label)
}

func metricTitle(m Metric) string {
	if m.Label == "" {
		return autoLabel(m.Name)
	}
	return m.Label
}

// seriesTitle returns the title of one series (graph.metric) of m, with what the wildcards stand for in place of %1, %2….
func seriesTitle(g Graph, m Metric, series string) string {
	var stands []string // %1, what it stands for, %2…
	segments := strings.Split(series, ".")
	for i, s := range strings.Split(join(g.Name, m.Name), ".") {
		if (s == "*" || s == "#") && i < len(segments) {
			stands = append(stands, "%"+strconv.Itoa(len(stands)/2+1), segments[i])
		}
	}
	return strings.NewReplacer(stands...).Replace(metricTitle(m))
}

// autoLabel makes a title of a name.
func autoLabel(name string) string {
	return titleCase(strings.TrimSpace(strings.NewReplacer(".", " ", "_", " ", "*", "", "#", "").Replace(name)))
}

// titleCase raises the first letter of each word, as other plugins of the protocol do for the
// titles of their graphs: a word is letters, digits and underscores, and dots between letters
// ("foo.bar" is one), so that "php-fpm" is "Php-Fpm" and "6379redis" is "6379Redis".
func titleCase(s string) string {
	b := []byte(s)
	letter := func(i int) bool {
		return i >= 0 && i < len(b) && (b[i]|0x20 >= 'a' && b[i]|0x20 <= 'z')
	}
	raised := false // the word has its letter
	for i, c := range b {
		switch {
		case letter(i):
			if !raised {
				b[i] = c &^ 0x20
			}
			raised = true
		case c >= '0' && c <= '9', c == '_', c == '.' && letter(i-1) && letter(i+1):
		default:
			raised = false
		}
	}
	return string(b)
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
