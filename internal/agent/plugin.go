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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// metaVariable tells a metric plugin what is asked of it: "1" asks for its graph definitions.
// It is always set, empty when values are asked for: scripts test it with or without "set -u".
const metaVariable = "MACKEREL_AGENT_PLUGIN_META"

// customPrefix begins the name of every metric that a plugin prints.
const customPrefix = "custom."

// Limits on what a plugin may print.
const (
	maxPluginValues = 5000 // a turn
	maxPluginGraphs = 500
	maxGraphMetrics = 500
	maxLogged       = 200 // bytes of a plugin's stderr, or of a bad line, in the log
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

	mu   sync.Mutex
	left <-chan struct{} // of the last run that nothing could end, closed when it did end; nil when there was none
}

// newPlugins returns the configured plugins, ready to run.
func newPlugins(o Options) []*plugin {
	run := o.run
	if run == nil {
		run = runCommand
	}
	plugins := make([]*plugin, len(o.Config.Metrics))
	for i, m := range o.Config.Metrics {
		plugins[i] = &plugin{MetricPlugin: m, environ: o.Environ, run: run, log: o.Log.With("plugin", m.Name)}
	}
	return plugins
}

// timeout is how long a run of p may take before it is asked to end.
func (p *plugin) timeout() time.Duration {
	if p.Command.Timeout == 0 {
		return DefaultCommandTimeout
	}
	return p.Command.Timeout
}

// start runs the command, unless an earlier run still hangs.
func (p *plugin) start(ctx context.Context, meta string) (Result, error) {
	p.mu.Lock()
	left := p.left
	p.mu.Unlock()
	if left != nil {
		select {
		case <-left:
		default:
			return Result{}, errors.New("is not run: an earlier run hangs in the kernel and has not ended")
		}
	}
	r, err := p.run(ctx, p.Command, append(slices.Clone(p.environ), metaVariable+"="+meta))
	if t, ok := errors.AsType[*TimeoutError](err); ok && t.Left != nil {
		p.mu.Lock()
		p.left = t.Left
		p.mu.Unlock()
	}
	return r, err
}

// values runs the plugin for the minute at (Unix seconds) and returns what it printed. Values
// and an error may come together. The exit code does not matter: that of a pipeline says little.
func (p *plugin) values(ctx context.Context, at int64) ([]reading, error) {
	r, err := p.start(ctx, "")
	if err != nil {
		return nil, err
	}
	values, problems := parseValues(r.Stdout, p.MetricPlugin, at, time.Now())
	if r.Cut {
		problems = append(problems, fmt.Sprintf("printed more than %d bytes: the rest was dropped", maxOutput))
	}
	if r.Held {
		problems = append(problems, "left a process behind that holds its output open")
	}
	if len(values) == 0 && r.ExitCode != 0 {
		problems = append(problems, fmt.Sprintf("printed no value and ended with exit status %d", r.ExitCode))
	}
	if s := excerpt(r.Stderr); s != "" {
		p.log.Info("the plugin wrote to stderr", "stderr", s)
	}
	if len(problems) > 0 {
		return values, errors.New(strings.Join(problems, "; "))
	}
	return values, nil
}

// excerpt returns the beginning of b as one line of text for the log.
func excerpt(b []byte) string {
	b = bytes.TrimSpace(b)
	dots := ""
	if len(b) > maxLogged {
		b, dots = b[:maxLogged], "…"
	}
	return strings.ToValidUTF8(string(b), "?") + dots
}

// parseValues reads what a metric plugin printed: one value a line, as key, value and time
// between blanks. Lines of fewer fields are skipped, further fields ignored, and of two
// lines with one key the last counts. The time is ignored and may be anything, unless
// p.UsePluginTime is set; then it is Unix seconds, less than maxPluginSkew away from now.
// at is the minute of the turn. The problems are sentences about what was left out, a few of them.
func parseValues(out []byte, p MetricPlugin, at int64, now time.Time) (values []reading, problems []string) {
	const mostProblems = 5
	more := 0
	problem := func(format string, args ...any) {
		if len(problems) == mostProblems {
			more++
			return
		}
		problems = append(problems, fmt.Sprintf(format, args...))
	}
	type slot struct {
		name string
		time int64 // 0 unless the plugin's own times count: then each is a sample of its own
	}
	index := map[slot]int{}
	for line := range bytes.SplitSeq(out, []byte("\n")) {
		fields := bytes.Fields(line)
		if len(fields) < 3 {
			continue
		}
		key := fields[0]
		if p.Include != nil && !p.Include.Match(key) || p.Exclude != nil && p.Exclude.Match(key) {
			continue
		}
		value, err := strconv.ParseFloat(string(fields[1]), 64)
		switch {
		case errors.Is(err, strconv.ErrSyntax):
			problem("the value of %q is not a number: %q", excerpt(key), excerpt(fields[1]))
			continue
		case err != nil || math.IsNaN(value) || math.IsInf(value, 0):
			problem("the value of %q is not finite: %s", excerpt(key), excerpt(fields[1]))
			continue
		}
		// A new string, so that a few bytes of a name do not keep the whole output in memory.
		r := reading{Name: customPrefix + string(key), Sample: saba.Sample{Time: at, Value: value}}
		if !saba.ValidMetricName(r.Name) {
			problem("%q cannot be a metric's name: use a-z A-Z 0-9 . _ -, at most %d characters with the prefix %q", excerpt(key), saba.MaxMetricName, customPrefix)
			continue
		}
		s := slot{name: r.Name}
		if p.UsePluginTime {
			if r.Time, err = strconv.ParseInt(string(fields[2]), 10, 64); err != nil {
				problem("the time of %q is not in Unix seconds: %q", excerpt(key), excerpt(fields[2]))
				continue
			}
			// Not by subtracting the two: the difference of any two int64 may overflow.
			if t, skew := now.Unix(), int64(maxPluginSkew/time.Second); r.Time <= t-skew || r.Time >= t+skew {
				problem("the time of %q is %v or more away from now: %d", excerpt(key), maxPluginSkew, r.Time)
				continue
			}
			s.time = r.Time
		}
		if i, ok := index[s]; ok {
			values[i] = r
			continue
		}
		if len(values) == maxPluginValues {
			problem("printed more than %d values: the rest was dropped", maxPluginValues)
			break
		}
		index[s] = len(values)
		values = append(values, r)
	}
	if more > 0 {
		problems = append(problems, fmt.Sprintf("and %d more of the kind", more))
	}
	return values, problems
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
			return nil, nil, fmt.Errorf("%w of a version that this agent knows: version %q, not 1", errNoDefinitions, excerpt([]byte(v)))
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
			problem("graph %q has a name that is not possible", excerpt([]byte(name)))
			continue
		case def.Unit == "":
			def.Unit = saba.UnitFloat
		case !def.Unit.Valid():
			problem("graph %q has the unknown unit %q: drawn as %s", excerpt([]byte(name)), excerpt([]byte(g.Unit)), saba.UnitFloat)
			def.Unit = saba.UnitFloat
		}
		for _, gm := range g.Metrics {
			metric := saba.GraphDefMetric{Name: def.Name + "." + gm.Name, DisplayName: gm.Label, Stacked: gm.Stacked}
			if !saba.ValidGraphDefName(metric.Name) {
				problem("metric %q of graph %q has a name that is not possible", excerpt([]byte(gm.Name)), excerpt([]byte(name)))
				continue
			}
			if len(def.Metrics) == maxGraphMetrics {
				problem("graph %q has more than %d metrics: the rest was left out", excerpt([]byte(name)), maxGraphMetrics)
				break
			}
			def.Metrics = append(def.Metrics, metric)
		}
		defs = append(defs, def)
	}
	return defs, problems, nil
}
