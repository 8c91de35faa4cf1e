package plugin

import (
	"context"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// An Embedded is a plugin that runs inside a process that lives on, an agent. It keeps the
// readings of counters in memory.
type Embedded struct {
	in   *instance
	last totals
}

// Embed returns p with the flags that args set, as its process would take them; -tempfile has
// no effect. It asks nobody yet. An error is about the arguments.
func Embed(p Plugin, args []string) (*Embedded, error) {
	in, err := p.newInstance(args)
	switch {
	case errors.Is(err, flag.ErrHelp) || err == nil && (in.explain || in.version):
		return nil, errors.New("flags that ask for words have no place here: -h, -explain and -version are for the plugin as a command")
	case err != nil:
		return nil, err
	case in.printer != nil:
		return nil, errors.New("its flags ask for a form of output that no agent reads: they are for the plugin as a command")
	}
	return &Embedded{in: in}, nil
}

// WithEnviron returns ctx for calls of Values in which the plugin finds environ ("KEY=value") with Getenv, in
// place of the environment of this process; of two with one key the last counts.
func WithEnviron(ctx context.Context, environ []string) context.Context {
	return context.WithValue(ctx, environKey{}, environ)
}

type environKey struct{}

// Getenv returns a variable of the environment that a plugin runs with: that of its process, or
// inside an agent what the configuration gives it. ctx is the one that Collect was called with.
func Getenv(ctx context.Context, name string) string {
	environ, ok := ctx.Value(environKey{}).([]string)
	if !ok {
		return os.Getenv(name)
	}
	for _, kv := range slices.Backward(environ) {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// Values collects once, within the plugin's own -timeout, and returns values under their names
// with the prefix and without "custom.". Values and an error may come together. It is for one
// goroutine at a time.
func (e *Embedded) Values(ctx context.Context) ([]saba.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, e.in.timeout)
	defer cancel()
	now := time.Now()
	readings, err := e.in.collector.Collect(ctx)
	if err != nil && len(readings) == 0 {
		return nil, err
	}
	t := e.in.settle(readings, err, e.last, now)
	e.last = t.next
	values := make([]saba.Value, len(t.values))
	for i, v := range t.values {
		values[i] = saba.Value{Name: v.name, Value: v.value}
	}
	return values, t.err
}

// Close lets go of what the plugin keeps open between calls of Values. It is not called during one.
func (e *Embedded) Close() { e.in.close() }

// Definitions returns how the values are drawn, under names that begin with "custom.". It asks nobody.
func (e *Embedded) Definitions() []saba.GraphDef { return e.in.definitions() }

// Definitions returns how the values of p are drawn when no flag says otherwise, for pages of
// documentation: in the order of its graphs, under names that begin with "custom.".
func (p Plugin) Definitions() ([]saba.GraphDef, error) {
	in, err := p.newInstance([]string{"-h"}) // flags that must be given are not
	if !errors.Is(err, flag.ErrHelp) {
		return nil, err
	}
	in.label = in.title(in.prefix)
	return in.definitions(), nil
}

func (in *instance) definitions() []saba.GraphDef {
	defs := make([]saba.GraphDef, 0, len(in.Graphs))
	for _, g := range in.Graphs {
		def := saba.GraphDef{Name: strings.TrimSuffix(join("custom", join(in.prefix, g.Name)), "."), DisplayName: in.graphTitle(g), Unit: g.unit()}
		for _, m := range g.Metrics {
			def.Metrics = append(def.Metrics, saba.GraphDefMetric{Name: def.Name + "." + m.Name, DisplayName: metricTitle(m), Stacked: m.Stacked})
		}
		defs = append(defs, def)
	}
	return defs
}

func (g Graph) unit() saba.Unit {
	if g.Unit == "" {
		return saba.UnitFloat
	}
	return g.Unit
}
