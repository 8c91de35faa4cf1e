// Package plugintest proves that a plugin does as it says.
package plugintest

import (
	"context"
	"flag"
	"math"
	"slices"
	"testing"

	"github.com/saba-monitor/saba/plugin"
)

// Collect asks a real target through the collector of p, with the flags that args set, and
// fails the test unless what it brings is what p declares: each metric of each graph, those
// with a wildcard at least once, and no other. missing names metrics (graph.metric, as they are
// declared) that this target does not have. It returns the values by the names that the
// collector gives them, counters as totals.
func Collect(t testing.TB, p plugin.Plugin, args []string, missing ...string) map[string]float64 {
	t.Helper()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	fs := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	c := p.New(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatalf("%s %q: %v", p.Name, args, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), plugin.DefaultTimeout)
	defer cancel()
	if closer, ok := c.(plugin.Closer); ok {
		defer closer.Close()
	}
	values, err := c.Collect(ctx)
	if err != nil {
		t.Fatalf("%s %q: %v", p.Name, args, err)
	}
	type declaration struct{ graph, metric string }
	found := map[declaration]bool{}
	got := map[string]float64{}
	for _, v := range values {
		g, m, ok := p.Find(v.Name)
		if !ok {
			t.Errorf("%s collects %q, which no graph declares", p.Name, v.Name)
		}
		if _, twice := got[v.Name]; twice {
			t.Errorf("%s collects %q twice", p.Name, v.Name)
		}
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			t.Errorf("%s collects %q as %v: leave out what is not known", p.Name, v.Name, v.Value)
		}
		found[declaration{g.Name, m.Name}] = true
		got[v.Name] = v.Value
	}
	for _, g := range p.Graphs {
		for _, m := range g.Metrics {
			name := m.Name
			if g.Name != "" {
				name = g.Name + "." + m.Name
			}
			if is, want := found[declaration{g.Name, m.Name}], !slices.Contains(missing, name); is != want {
				t.Errorf("%s collects the declared metric %q: %v, want %v", p.Name, name, is, want)
			}
		}
	}
	return got
}
