package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/saba-monitor/saba"
)

// metaVariable tells a metric plugin what is asked of it: "1" asks for its graph definitions.
// It is always set, empty when values are asked for: scripts test it with or without "set -u".
const metaVariable = "MACKEREL_AGENT_PLUGIN_META"

// customPrefix begins the name of every metric that a plugin prints.
const customPrefix = "custom."

// Limits on what a plugin may print.
const (
	maxPluginValues = 10_000 // a turn
	maxPluginGraphs = 500
	maxGraphMetrics = 500
)

// Limits on what a plugin's turn may put into the log, in bytes: together less than 1 KiB.
const (
	maxLogged = 160 // of its stderr
	maxWord   = 40  // of a bad name or value
	maxError  = 480 // of all that was wrong
)

// A plugin that had to be stopped slowAfter times in a row is no longer run each minute: it
// rests for 2 minutes, then 4, then maxRest, until it ends by itself again.
const (
	slowAfter = 3
	maxRest   = 5 * time.Minute
)

// maxPluginSkew is how far a plugin's own times may be from now.
const maxPluginSkew = 15 * time.Minute

// A reading is a sample of a metric of a host that the batch around it knows.
type reading struct {
	Name string
	saba.Sample
}

// A plugin is a metric plugin at work.
type plugin struct {
	MetricPlugin
	environ []string
	run     func(ctx context.Context, c Command, environ []string) (Result, error)
	log     *slog.Logger
	record  *Recorder // is told how runs ended; may be nil

	*pluginState
}

// A pluginState is what a plugin's runs leave for the next ones. It outlives a change of the
// configuration that leaves the plugin as it is.
type pluginState struct {
	runner Runner // of a bundled plugin: it keeps counters; may be nil

	mu   sync.Mutex
	left <-chan struct{} // of the last run that nothing could end, closed when it did end; nil when there was none

	turn      sync.Mutex    // held by a turn, for itself and what follows
	brought   int           // values in the last of them
	slow      int           // runs in a row that had to be stopped
	rest      time.Duration // after the last of those
	restUntil int64         // Unix seconds, by the clock of the turns
}

// newPlugins returns the configured plugins, ready to run.
func newPlugins(o Options) []*plugin {
	run := o.run
	if run == nil {
		run = runCommand
	}
	plugins := make([]*plugin, len(o.Config.Metrics))
	for i, m := range o.Config.Metrics {
		plugins[i] = &plugin{MetricPlugin: m, environ: o.Environ, run: run, log: o.Log.With("plugin", m.Name), record: o.Record, pluginState: &pluginState{runner: m.Command.runner}}
	}
	return plugins
}

// inherit lets plugins go on where those of the configuration before were, as far as they are
// the same, and returns them.
func inherit(plugins, before []*plugin) []*plugin {
	for _, p := range plugins {
		for _, old := range before {
			was, is := old.Command, p.Command
			was.runner, is.runner = nil, nil
			if p.Name == old.Name && slices.Equal(p.Bundled, old.Bundled) && reflect.DeepEqual(was, is) {
				p.pluginState = old.pluginState
			}
		}
	}
	return plugins
}

// close lets a plugin inside the agent let go of what it keeps open, unless a run of it hangs. No run follows.
func (s *pluginState) close() {
	c, ok := s.runner.(closer)
	if !ok || !s.turn.TryLock() {
		return
	}
	defer s.turn.Unlock()
	if s.hangs() == nil {
		c.Close()
	}
}

// hangs returns an error when an earlier run has not ended, though nothing was left undone to end it.
func (s *pluginState) hangs() error {
	s.mu.Lock()
	left := s.left
	s.mu.Unlock()
	if left != nil {
		select {
		case <-left:
		default:
			return errors.New("is not run: an earlier run hangs, and nothing ends it")
		}
	}
	return nil
}

// timeout is how long a run of p may take before it is asked to end.
func (p *plugin) timeout() time.Duration {
	if p.Command.Timeout == 0 {
		return DefaultCommandTimeout
	}
	return p.Command.Timeout
}

// start runs the command, unless an earlier run still hangs. ran says whether it did.
func (p *plugin) start(ctx context.Context, meta string) (r Result, ran bool, err error) {
	err = p.unlessItHangs(func() error {
		ran = true
		r, err = p.run(ctx, p.Command, append(slices.Clone(p.environ), metaVariable+"="+meta))
		return err
	})
	return r, ran, err
}

// unlessItHangs calls run, unless an earlier call hangs, and keeps track of one that does.
func (p *plugin) unlessItHangs(run func() error) error {
	if err := p.hangs(); err != nil {
		return err
	}
	err := run()
	if t, ok := errors.AsType[*TimeoutError](err); ok && t.Left != nil {
		p.mu.Lock()
		p.left = t.Left
		p.mu.Unlock()
	}
	return err
}

// values runs the plugin for the minute at (Unix seconds) and returns what it printed. Values
// and an error may come together. The exit code does not matter: that of a pipeline says little.
func (p *plugin) values(ctx context.Context, at int64) ([]reading, error) {
	if !p.turn.TryLock() {
		return nil, errors.New("is not run: an earlier run has not ended")
	}
	defer p.turn.Unlock()
	// A clock that was set back ends the rest.
	if at < p.restUntil && at >= p.restUntil-int64(p.rest/time.Second) {
		return nil, fmt.Errorf("is not run for now: it had to be stopped %d times in a row; it is run again every %v", p.slow, p.rest)
	}
	// Most plugins bring as many values as the minute before. To grow for thousands would leave as
	// much garbage as they take.
	g := gatherer{p: p.MetricPlugin, at: at, values: make([]reading, 0, p.brought), index: make(map[slot]int, p.brought)}
	var err error
	stopped := false
	if len(p.Bundled) > 0 {
		err = p.bundledValues(ctx, &g)
	} else {
		var r Result
		var ran bool
		r, ran, err = p.start(ctx, "")
		if ran && ctx.Err() == nil {
			p.record.source(KindMetrics, p.Name).exited(r.ExitCode, r.Stderr)
		}
		stopped = r.Group != 0
		p.read(r, err, &g)
	}
	if _, timeout := errors.AsType[*TimeoutError](err); timeout || stopped {
		p.tire(at)
	} else {
		p.slow, p.rest, p.restUntil = 0, 0, 0
	}
	if err != nil {
		// What it had printed before may be cut in the middle of a number.
		return nil, err
	}
	p.brought = len(g.values)
	return g.values, g.problem()
}

// tire counts a run that had to be stopped at the minute at, and makes the plugin rest.
func (p *plugin) tire(at int64) {
	if p.slow++; p.slow >= slowAfter {
		p.rest = min(maxRest, time.Minute<<min(p.slow-slowAfter+1, 8))
		p.restUntil = at + int64(p.rest/time.Second)
	}
}

// read gathers what a run printed.
func (p *plugin) read(r Result, err error, g *gatherer) {
	if s := excerpt(r.Stderr, maxLogged); s != "" {
		p.log.Info("the plugin wrote to stderr", "stderr", s)
	}
	if err != nil {
		return
	}
	parseValues(r.Stdout, g, time.Now())
	if r.Cut {
		g.wrong("printed more than %d bytes: the last %d were dropped", maxOutput, r.Dropped)
	}
	switch {
	case r.Group != 0:
		g.wrong("left processes behind that SIGKILL does not end")
	case r.Left:
		g.wrong("left processes behind, which were ended")
	}
	if r.Held {
		g.wrong("left a process behind that holds its output open")
	}
	if len(g.values) == 0 && r.ExitCode != 0 {
		g.wrong("printed no value and ended with exit status %d", r.ExitCode)
	}
}

// bundledValues gathers what a plugin inside the agent brings.
func (p *plugin) bundledValues(ctx context.Context, g *gatherer) error {
	if p.runner == nil {
		return fmt.Errorf("is not run: this agent has no plugin %q in it", p.Bundled[0])
	}
	environ := slices.Concat(p.environ, p.Command.Env)
	var a answer
	err := p.unlessItHangs(func() (err error) {
		a, err = runBundled(ctx, p.timeout(), func(ctx context.Context) (a answer) {
			a.values, a.err = p.runner.Values(ctx, environ)
			return a
		})
		return err
	})
	for _, v := range a.values {
		if key := []byte(v.Name); g.wants(key) && !g.add(key, v.Value, g.at) {
			break
		}
	}
	if err != nil && len(g.values) > 0 {
		g.wrong("%s", excerpt([]byte(err.Error()), maxError/2))
		return nil
	}
	return err
}

// excerpt returns the beginning of b, at most n bytes and a mark, as one line of text for the log.
func excerpt(b []byte, n int) string {
	b = bytes.TrimSpace(b)
	dots := ""
	if len(b) > n {
		b, dots = b[:n], "…"
	}
	// A logger may write each of these as several characters.
	clean := func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}
	return strings.Map(clean, strings.ToValidUTF8(string(b), "?")) + dots
}

// A gatherer takes the values of one turn of a plugin, and says what was left out.
type gatherer struct {
	p  MetricPlugin
	at int64 // the minute of the turn, Unix seconds

	values   []reading
	index    map[slot]int // of values
	problems []string     // sentences, a few of them
	more     int          // that are not among problems
}

// A slot is what only one value of a turn may have.
type slot struct {
	name string
	time int64 // 0 unless the plugin's own times count: then each is a sample of its own
}

// wrong notes what was left out, and why.
func (g *gatherer) wrong(format string, args ...any) {
	const most = 5
	if len(g.problems) == most {
		g.more++
		return
	}
	g.problems = append(g.problems, fmt.Sprintf(format, args...))
}

// problem returns all that was wrong, or nil.
func (g *gatherer) problem() error {
	if len(g.problems) == 0 {
		return nil
	}
	text := strings.Join(g.problems, "; ")
	if g.more > 0 {
		text += fmt.Sprintf("; and %d more of the kind", g.more)
	}
	return errors.New(excerpt([]byte(text), maxError))
}

// wants says whether the patterns let a key pass.
func (g *gatherer) wants(key []byte) bool {
	return (g.p.Include == nil || g.p.Include.Match(key)) && (g.p.Exclude == nil || !g.p.Exclude.Match(key))
}

// add takes a value; of two with one key, or one key and time, the last counts. It says
// whether there is room for another.
func (g *gatherer) add(key []byte, value float64, at int64) bool {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		g.wrong("the value of %q is not finite: %v", excerpt(key, maxWord), value)
		return true
	}
	// A new string, so that a few bytes of a name do not keep the whole output in memory.
	r := reading{Name: customPrefix + string(key), Sample: saba.Sample{Time: at, Value: value}}
	if !saba.ValidMetricName(r.Name) {
		g.wrong("%q cannot be a metric's name: use a-z A-Z 0-9 . _ -, at most %d characters with the prefix %q", excerpt(key, maxWord), saba.MaxMetricName, customPrefix)
		return true
	}
	s := slot{name: r.Name}
	if g.p.UsePluginTime {
		s.time = at
	}
	if i, ok := g.index[s]; ok {
		g.values[i] = r
		return true
	}
	if len(g.values) == maxPluginValues {
		g.wrong("printed more than %d values: the rest was dropped", maxPluginValues)
		return false
	}
	if g.index == nil {
		g.index = map[slot]int{}
	}
	g.index[s] = len(g.values)
	g.values = append(g.values, r)
	return true
}

// parseValues reads what a metric plugin printed: one value a line, as key, value and time
// between blanks. Lines of fewer fields are skipped, further fields ignored, and of two
// lines with one key the last counts. The time is ignored and may be anything, unless
// UsePluginTime is set; then it is Unix seconds, less than maxPluginSkew away from now.
func parseValues(out []byte, g *gatherer, now time.Time) {
	for line := range bytes.SplitSeq(out, []byte("\n")) {
		var fields [3][]byte // in place of bytes.Fields, which leaves a slice for each line behind
		n := 0
		for f := range bytes.FieldsSeq(line) {
			fields[n] = f
			if n++; n == len(fields) {
				break
			}
		}
		if n < len(fields) {
			continue
		}
		key := fields[0]
		if !g.wants(key) {
			continue
		}
		value, err := strconv.ParseFloat(string(fields[1]), 64)
		if errors.Is(err, strconv.ErrSyntax) {
			g.wrong("the value of %q is not a number: %q", excerpt(key, maxWord), excerpt(fields[1], maxWord))
			continue
		} // a number beyond float64 is an infinity, which add refuses
		at := g.at
		if g.p.UsePluginTime {
			if at, err = strconv.ParseInt(string(fields[2]), 10, 64); err != nil {
				g.wrong("the time of %q is not in Unix seconds: %q", excerpt(key, maxWord), excerpt(fields[2], maxWord))
				continue
			}
			// Not by subtracting the two: the difference of any two int64 may overflow.
			if t, skew := now.Unix(), int64(maxPluginSkew/time.Second); at <= t-skew || at >= t+skew {
				g.wrong("the time of %q is %v or more away from now: %d", excerpt(key, maxWord), maxPluginSkew, at)
				continue
			}
		}
		if !g.add(key, value, at) {
			return
		}
	}
}

var definitionHeader = regexp.MustCompile(`^#\s*mackerel-agent-plugin\b(.*)$`)

// errNoDefinitions means that a plugin has nothing to say about graphs, which is no mistake.
var errNoDefinitions = errors.New("the plugin has no graph definitions")

// parseDefinitions reads what a metric plugin printed when asked for its graph definitions: a
// line "# mackerel-agent-plugin", perhaps with version=1, and one JSON value; what follows is
// ignored. The definitions are in the order of their names. The error is errNoDefinitions
// when the first line is another. Definitions and problems may come together: what the server
// would refuse is left out, for it would refuse its neighbours too.
func parseDefinitions(out []byte) (defs []saba.GraphDef, problems []string, err error) {
	first, rest, ok := bytes.Cut(out, []byte("\n"))
	m := definitionHeader.FindSubmatch(bytes.TrimSuffix(first, []byte("\r")))
	if !ok || m == nil {
		return nil, nil, errNoDefinitions
	}
	for _, f := range strings.Fields(string(m[1])) {
		if k, v, _ := strings.Cut(f, "="); k == "version" && v != "1" {
			return nil, nil, fmt.Errorf("%w of a version that this agent knows: version %q, not 1", errNoDefinitions, excerpt([]byte(v), maxWord))
		}
	}
	var d struct {
		Graphs map[string]struct {
			Label   string `json:"label"`
			Unit    string `json:"unit"`
			Metrics []struct {
				Name    string `json:"name"`
				Label   string `json:"label"`
				Stacked bool   `json:"stacked"`
			} `json:"metrics"`
		} `json:"graphs"`
	}
	if err := json.NewDecoder(bytes.NewReader(rest)).Decode(&d); err != nil {
		return nil, nil, fmt.Errorf("its graph definitions are not the JSON that they must be: %w", err)
	}
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(d.Graphs)) {
		g := d.Graphs[name]
		def := saba.GraphDef{Name: customPrefix + name, DisplayName: g.Label, Unit: saba.Unit(g.Unit)}
		switch {
		case len(defs) == maxPluginGraphs:
			problem("has more than %d graphs: the rest was left out", maxPluginGraphs)
			return defs, problems, nil
		case !saba.ValidGraphDefName(def.Name):
			problem("graph %q has a name that is not possible", excerpt([]byte(name), maxWord))
			continue
		case def.Unit == "":
			def.Unit = saba.UnitFloat
		case !def.Unit.Valid():
			problem("graph %q has the unknown unit %q: drawn as %s", excerpt([]byte(name), maxWord), excerpt([]byte(g.Unit), maxWord), saba.UnitFloat)
			def.Unit = saba.UnitFloat
		}
		for _, gm := range g.Metrics {
			metric := saba.GraphDefMetric{Name: def.Name + "." + gm.Name, DisplayName: gm.Label, Stacked: gm.Stacked}
			if !saba.ValidGraphDefName(metric.Name) {
				problem("metric %q of graph %q has a name that is not possible", excerpt([]byte(gm.Name), maxWord), excerpt([]byte(name), maxWord))
				continue
			}
			if len(def.Metrics) == maxGraphMetrics {
				problem("graph %q has more than %d metrics: the rest was left out", excerpt([]byte(name), maxWord), maxGraphMetrics)
				break
			}
			def.Metrics = append(def.Metrics, metric)
		}
		defs = append(defs, def)
	}
	return defs, problems, nil
}
