package saba

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// HostGraphs arranges the metrics of a host into the charts of its page.
//
// names are the metrics that the host has, in any order; defs are the organization's graph
// definitions. The system's graphs come first, in the order in which people look for a cause,
// then one graph for each definition with a metric here, by its name, then what no definition
// knows, one graph for each name up to the last dot. Every name stands in one graph and once,
// except that memory.mem_available and memory.swap_free are left out beside memory.available
// and memory.swap_used, which say the same. Where several definitions match a metric the one
// with the fewest wildcards has it, then the first by name. A graph without series is left out.
// Names and definitions may be anything: the result has no two graphs of one name. Neither
// argument is modified or retained.
func HostGraphs(names []string, defs []GraphDef) []Graph {
	a := newArrangement(names)
	for _, g := range systemGraphs {
		a.system(g)
	}
	for _, g := range deviceGraphs {
		a.devices(g)
	}
	for _, pair := range []struct{ hidden, beside string }{
		{"memory.mem_available", "memory.available"},
		{"memory.swap_free", "memory.swap_used"},
	} {
		if a.has[pair.beside] {
			a.placed[pair.hidden] = true
		}
	}
	a.defined(defs)
	a.rest()
	return a.graphs
}

// ServiceGraphs arranges the metrics of a service into charts: first those that a graph
// definition knows, then one graph for each name up to the last dot. It is HostGraphs without
// the system's graphs.
func ServiceGraphs(names []string, defs []GraphDef) []Graph {
	a := newArrangement(names)
	a.defined(defs)
	a.rest()
	return a.graphs
}

// maxLabelledSeries bounds the series of a graph of LabelledGraphs: more lines than this tell nobody anything.
const maxLabelledSeries = 30

// LabelledGraphs arranges series that came with labels, from senders of other systems: one graph for each metric, a series for each set of
// labels, called by those labels in which the series differ. names are as the storage engine writes them: metric{label="value",…}. Of a metric with more
// than 30 series the first 30 are shown, and the title says so. The names of the graphs begin with "labelled:", so that they are no
// names of HostGraphs or ServiceGraphs.
func LabelledGraphs(names []string) []Graph {
	series := map[string][]string{}
	for _, n := range names {
		metric, _, _ := strings.Cut(n, "{")
		series[metric] = append(series[metric], n)
	}
	graphs := make([]Graph, 0, len(series))
	for metric, all := range series {
		slices.SortFunc(all, compareNames)
		g := Graph{Name: "labelled:" + metric, Title: metric, Unit: UnitFloat}
		if len(all) > maxLabelledSeries {
			g.Title += " (" + strconv.Itoa(maxLabelledSeries) + " of " + strconv.Itoa(len(all)) + " series)"
			all = all[:maxLabelledSeries]
		}
		count := map[string]int{} // in how many series a label is
		for _, n := range all {
			for _, l := range labelsIn(n[len(metric):]) {
				count[l]++
			}
		}
		for _, n := range all {
			var apart []string
			for _, l := range labelsIn(n[len(metric):]) {
				if count[l] < len(all) || len(all) == 1 {
					apart = append(apart, l)
				}
			}
			g.Series = append(g.Series, GraphSeries{Metric: n, Label: cmp.Or(strings.Join(apart, " "), metric)})
		}
		graphs = append(graphs, g)
	}
	slices.SortFunc(graphs, func(x, y Graph) int { return compareNames(x.Name, y.Name) })
	return graphs
}

// labelsIn splits {a="b",c="d"} into a="b" and c="d". Values may hold anything: " and \ follow a \.
func labelsIn(s string) (all []string) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			all, start = append(all, s[start:i]), i+1
		}
	}
	if start < len(s) {
		all = append(all, s[start:])
	}
	return all
}

// FullLabel returns what tells the series from all others of its graph: the group, where there
// is one, and the label.
func (s GraphSeries) FullLabel() string {
	if s.Group == "" || slices.Contains(strings.Fields(s.Label), s.Group) {
		return s.Label
	}
	return s.Group + " " + s.Label
}

// A systemGraph is a graph of the operating system whose metrics are known by name.
type systemGraph struct {
	name, title string
	unit        Unit
	series      []systemSeries // in drawing order
}

type systemSeries struct {
	metric, label string
	stacked       bool
	unless        string // left out beside this metric, which says the same
}

// systemGraphs are drawn in this order. The stacks begin with what a person looks for, so
// that it stands on the ground line, and end with what is idle.
var systemGraphs = []systemGraph{
	{"loadavg", "Load average", UnitFloat, []systemSeries{
		{metric: "loadavg1", label: "1 minute"},
		{metric: "loadavg5", label: "5 minutes"},
		{metric: "loadavg15", label: "15 minutes"},
	}},
	{"processor_queue_length", "Processor queue length", UnitInteger, []systemSeries{
		{metric: "processor_queue_length", label: "length"},
	}},
	{"cpu", "CPU", UnitPercentage, []systemSeries{
		{metric: "cpu.user.percentage", label: "user", stacked: true},
		{metric: "cpu.iowait.percentage", label: "iowait", stacked: true},
		{metric: "cpu.system.percentage", label: "system", stacked: true},
		{metric: "cpu.nice.percentage", label: "nice", stacked: true},
		{metric: "cpu.irq.percentage", label: "irq", stacked: true},
		{metric: "cpu.softirq.percentage", label: "softirq", stacked: true},
		{metric: "cpu.steal.percentage", label: "steal", stacked: true},
		{metric: "cpu.guest.percentage", label: "guest", stacked: true},
		{metric: "cpu.idle.percentage", label: "idle", stacked: true},
	}},
	{"memory", "Memory", UnitBytes, []systemSeries{
		{metric: "memory.used", label: "used", stacked: true},
		{metric: "memory.buffers", label: "buffers", stacked: true},
		{metric: "memory.cached", label: "cached", stacked: true},
		{metric: "memory.available", label: "available", stacked: true},
		{metric: "memory.mem_available", label: "available", stacked: true, unless: "memory.available"},
		{metric: "memory.free", label: "free", stacked: true},
		{metric: "memory.total", label: "total"},
		{metric: "memory.swap_total", label: "swap total"},
		{metric: "memory.swap_used", label: "swap used"},
		{metric: "memory.swap_free", label: "swap free", unless: "memory.swap_used"},
		{metric: "memory.swap_cached", label: "swap cached"},
		{metric: "memory.pagefile_total", label: "page file total"},
		{metric: "memory.pagefile_free", label: "page file free"},
	}},
}

// A deviceGraph shows the same few metrics of every device of a kind.
type deviceGraph struct {
	name, title string
	unit        Unit
	prefix      string
	series      []deviceSeries // in drawing order
}

type deviceSeries struct{ suffix, label string }

// deviceGraphs are drawn in this order, after systemGraphs.
var deviceGraphs = []deviceGraph{
	{"disk", "Disk I/O", UnitIOPS, "disk.", []deviceSeries{{".reads.delta", "reads"}, {".writes.delta", "writes"}}},
	{"interface", "Network", UnitBytesPerSec, "interface.", []deviceSeries{{".rxBytes.delta", "received"}, {".txBytes.delta", "sent"}}},
	{"filesystem", "Filesystem", UnitBytes, "filesystem.", []deviceSeries{{".used", "used"}, {".size", "size"}}},
	{"container.cpu", "Container CPU", UnitPercentage, "container.cpu.", []deviceSeries{{".usage", "usage"}, {".limit", "limit"}}},
	{"container.memory", "Container memory", UnitBytes, "container.memory.", []deviceSeries{{".usage", "usage"}, {".limit", "limit"}}},
}

// An arrangement is the work in progress of HostGraphs.
type arrangement struct {
	names  []string // sorted, each once
	has    map[string]bool
	placed map[string]bool // names that need no place any more
	graphs []Graph
	byName map[string]int // position in graphs
}

func newArrangement(names []string) *arrangement {
	a := &arrangement{
		names:  slices.Clone(names),
		has:    make(map[string]bool, len(names)),
		placed: make(map[string]bool, len(names)),
		byName: map[string]int{},
	}
	slices.SortFunc(a.names, compareNames)
	a.names = slices.Compact(a.names)
	for _, n := range a.names {
		a.has[n] = true
	}
	return a
}

// add places the series of g. Where a graph already has g's name it takes them: a metric
// beside a definition that forgot it belongs on the same chart.
func (a *arrangement) add(g Graph) {
	if len(g.Series) == 0 {
		return
	}
	for _, s := range g.Series {
		a.placed[s.Metric] = true
	}
	i, taken := a.byName[g.Name]
	if !taken {
		a.byName[g.Name] = len(a.graphs)
		a.graphs = append(a.graphs, g)
		return
	}
	a.graphs[i].Series = append(a.graphs[i].Series, g.Series...)
	tellApart(a.graphs[i].Series)
}

func (a *arrangement) system(sys systemGraph) {
	g := Graph{Name: sys.name, Title: sys.title, Unit: sys.unit}
	for _, s := range sys.series {
		if a.has[s.metric] && (s.unless == "" || !a.has[s.unless]) {
			g.Series = append(g.Series, GraphSeries{Metric: s.metric, Label: s.label, Stacked: s.stacked})
		}
	}
	a.add(g)
}

func (a *arrangement) devices(dev deviceGraph) {
	type device struct {
		name   string
		series []GraphSeries // one a deviceSeries; without a Metric where the host has none
	}
	var devices []*device
	byName := map[string]*device{}
	for _, n := range a.names {
		rest, ok := strings.CutPrefix(n, dev.prefix)
		if !ok {
			continue
		}
		for i, s := range dev.series {
			name, ok := strings.CutSuffix(rest, s.suffix)
			if !ok || name == "" {
				continue
			}
			d := byName[name]
			if d == nil {
				d = &device{name, make([]GraphSeries, len(dev.series))}
				byName[name] = d
				devices = append(devices, d)
			}
			d.series[i] = GraphSeries{Metric: n, Label: s.label, Group: name}
		}
	}
	slices.SortFunc(devices, func(x, y *device) int { return compareNames(x.name, y.name) })
	g := Graph{Name: dev.name, Title: dev.title, Unit: dev.unit}
	for _, d := range devices {
		for _, s := range d.series {
			if s.Metric != "" {
				g.Series = append(g.Series, s)
			}
		}
	}
	a.add(g)
}

// defined places what graph definitions know, one graph a definition.
func (a *arrangement) defined(defs []GraphDef) {
	defs = slices.Clone(defs)
	slices.SortStableFunc(defs, func(x, y GraphDef) int { return cmp.Compare(x.Name, y.Name) })
	defs = slices.CompactFunc(defs, func(x, y GraphDef) bool { return x.Name == y.Name })

	var patterns patternNode
	for i, d := range defs {
		if len(d.Metrics) == 0 { // a title and a unit for whatever comes
			patterns.insert(d.Name+".*", patternUse{def: i})
		}
		for j, m := range d.Metrics {
			patterns.insert(m.Name, patternUse{def: i, metric: j, label: m.DisplayName, stacked: m.Stacked})
		}
	}

	type member struct {
		use    patternUse
		series GraphSeries
	}
	members := make([][]member, len(defs))
	for _, n := range a.names {
		if a.placed[n] {
			continue
		}
		use, ok := patterns.find(n)
		if !ok {
			continue
		}
		label, group := use.describe(n)
		members[use.def] = append(members[use.def], member{use, GraphSeries{Metric: n, Label: label, Group: group, Stacked: use.stacked}})
	}
	for i, d := range defs {
		slices.SortStableFunc(members[i], func(x, y member) int { // stable: names are in order already
			return cmp.Or(compareNames(x.series.Group, y.series.Group), cmp.Compare(x.use.metric, y.use.metric))
		})
		g := Graph{Name: d.Name, Title: d.DisplayName, Unit: d.Unit}
		if g.Title == "" {
			g.Title = pretty(d.Name)
		}
		if !g.Unit.Valid() {
			g.Unit = UnitFloat
		}
		for _, m := range members[i] {
			g.Series = append(g.Series, m.series)
		}
		tellApart(g.Series)
		a.add(g)
	}
}

// rest places everything else: one graph for each name up to the last dot.
func (a *arrangement) rest() {
	byPrefix := map[string]int{}
	var graphs []Graph
	for _, n := range a.names {
		if a.placed[n] {
			continue
		}
		prefix, label := n, lastSegment(n)
		if i := strings.LastIndexByte(n, '.'); i > 0 {
			prefix = n[:i]
		}
		i, ok := byPrefix[prefix]
		if !ok {
			i = len(graphs)
			byPrefix[prefix] = i
			graphs = append(graphs, Graph{Name: prefix, Title: pretty(prefix), Unit: UnitFloat})
		}
		graphs[i].Series = append(graphs[i].Series, GraphSeries{Metric: n, Label: label})
	}
	slices.SortStableFunc(graphs, func(x, y Graph) int { return compareNames(x.Name, y.Name) })
	for _, g := range graphs {
		a.add(g)
	}
}

// A patternUse is the metric of a definition that a pattern stands for.
type patternUse struct {
	pattern     string
	wildcards   int
	def, metric int // positions: the definition's, and the metric's in it
	label       string
	stacked     bool
}

// before says whether u has a metric that both match.
func (u patternUse) before(o patternUse) bool {
	return cmp.Or(cmp.Compare(u.wildcards, o.wildcards), cmp.Compare(u.def, o.def), cmp.Compare(u.metric, o.metric)) < 0
}

// describe returns the label and the group of a metric that u's pattern matches.
//
// A wildcard that neither the label mentions nor the group shows goes in front of the
// label, so that two instances on one chart can be told apart.
func (u patternUse) describe(name string) (label, group string) {
	var found []string // what the wildcards stand for
	var last string    // the segment that the label is when it has no words of its own
	shown := []bool{}
	pattern := u.pattern
	for rest := name; ; {
		var p, n string
		var more bool
		p, pattern, _ = strings.Cut(pattern, ".")
		n, rest, more = strings.Cut(rest, ".")
		last = n
		switch p {
		case "#":
			group = n
			found, shown = append(found, n), append(shown, true)
		case "*":
			found, shown = append(found, n), append(shown, !more && u.label == "")
		}
		if !more {
			break
		}
	}
	if label = u.label; label == "" {
		label = last
	} else {
		label = expand(label, found, shown)
	}
	var missing []string
	for i, f := range found {
		if !shown[i] {
			missing = append(missing, f)
		}
	}
	if label = strings.TrimSpace(strings.Join(append(missing, label), " ")); label == "" {
		label = name
	}
	return label, group
}

// expand replaces %1, %2… in a label by what the wildcards stand for, and marks those as
// shown. A number without a wildcard stays as it is.
func expand(label string, found []string, shown []bool) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(label, "%")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		digits := 0
		for digits < len(after) && digits < 3 && '0' <= after[digits] && after[digits] <= '9' {
			digits++
		}
		i, err := strconv.Atoi(after[:digits])
		if err != nil || i < 1 || i > len(found) {
			b.WriteByte('%')
			label = after
			continue
		}
		b.WriteString(found[i-1])
		shown[i-1] = true
		label = after[digits:]
	}
}

// A patternNode is a node of the tree of patterns, one level a segment. Looking a name
// up visits each node at most once, however many wildcards strangers define.
type patternNode struct {
	literal    map[string]*patternNode
	star, hash *patternNode
	use        *patternUse // of the pattern that ends here
}

func (n *patternNode) insert(pattern string, use patternUse) {
	use.pattern = pattern
	for more := true; more; {
		var segment string
		segment, pattern, more = strings.Cut(pattern, ".")
		var next **patternNode
		switch segment {
		case "*":
			next, use.wildcards = &n.star, use.wildcards+1
		case "#":
			next, use.wildcards = &n.hash, use.wildcards+1
		default:
			if n.literal == nil {
				n.literal = map[string]*patternNode{}
			}
			if n.literal[segment] == nil {
				n.literal[segment] = &patternNode{}
			}
			n = n.literal[segment]
			continue
		}
		if *next == nil {
			*next = &patternNode{}
		}
		n = *next
	}
	if n.use == nil || use.before(*n.use) {
		n.use = &use
	}
}

// find returns the use of the pattern that has the metric.
func (n *patternNode) find(name string) (best patternUse, ok bool) {
	n.each(name, func(u patternUse) {
		if !ok || u.before(best) {
			best, ok = u, true
		}
	})
	return best, ok
}

// each calls f with the use of every pattern that matches name.
func (n *patternNode) each(name string, f func(patternUse)) {
	var walk func(n *patternNode, rest string, more bool)
	walk = func(n *patternNode, rest string, more bool) {
		if n == nil {
			return
		}
		if !more {
			if n.use != nil {
				f(*n.use)
			}
			return
		}
		segment, rest, more := strings.Cut(rest, ".")
		walk(n.literal[segment], rest, more)
		if segment != "" {
			walk(n.star, rest, more)
			walk(n.hash, rest, more)
		}
	}
	walk(n, name, true)
}

// MatchedGraphDefs returns the names of those graph definitions that one of the metrics names belongs to. A
// definition without metrics is meant by every metric below its name.
func MatchedGraphDefs(defs []GraphDef, names []string) map[string]bool {
	var tree patternNode
	for i, d := range defs {
		for _, m := range d.Metrics {
			tree.insert(m.Name, patternUse{def: i})
		}
		if len(d.Metrics) == 0 {
			tree.insert(d.Name+".*", patternUse{def: i})
		}
	}
	matched := map[string]bool{}
	for _, name := range names {
		tree.each(name, func(u patternUse) { matched[defs[u.def].Name] = true })
	}
	return matched
}

// tellApart gives series that read the same their metric's name as label.
func tellApart(series []GraphSeries) {
	count := make(map[string]int, len(series))
	for _, s := range series {
		count[s.FullLabel()]++
	}
	for i, s := range series {
		if count[s.FullLabel()] > 1 {
			series[i].Label, series[i].Group = s.Metric, ""
		}
	}
}

// lastSegment returns what follows the last dot, or all of name where nothing does.
func lastSegment(name string) string {
	if i := strings.LastIndexByte(name, '.'); i+1 < len(name) {
		return name[i+1:]
	}
	return name
}

// pretty makes a title of a graph's name: "custom.redis.cluster_stats.#" is "Redis Cluster Stats".
func pretty(name string) string {
	words := strings.FieldsFunc(strings.TrimPrefix(name, "custom."), func(r rune) bool {
		return r == '.' || r == '_' || r == '*' || r == '#' || unicode.IsSpace(r)
	})
	for i, w := range words {
		r, size := utf8.DecodeRuneInString(w)
		words[i] = string(unicode.ToUpper(r)) + w[size:]
	}
	if len(words) == 0 {
		return name
	}
	return strings.Join(words, " ")
}

// compareNames orders names as people count: eth2 before eth10. Names that differ only in
// leading zeros are in byte order.
func compareNames(x, y string) int {
	i, j := 0, 0
	for i < len(x) && j < len(y) {
		if !digit(x[i]) || !digit(y[j]) {
			if x[i] != y[j] {
				return cmp.Compare(x[i], y[j])
			}
			i, j = i+1, j+1
			continue
		}
		nx, ny := digits(x[i:]), digits(y[j:])
		i, j = i+len(nx), j+len(ny)
		nx, ny = strings.TrimLeft(nx, "0"), strings.TrimLeft(ny, "0")
		if c := cmp.Or(cmp.Compare(len(nx), len(ny)), strings.Compare(nx, ny)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x)-i, len(y)-j), strings.Compare(x, y))
}

func digit(b byte) bool { return '0' <= b && b <= '9' }

func digits(s string) string {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return s[:n]
}
