package plugintest

import (
	"context"
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

type collector []saba.Value

func (c collector) Collect(context.Context) ([]saba.Value, error) { return c, nil }

// A notebook is a test that notes its failures.
type notebook struct {
	testing.TB
	failures []string
}

func (n *notebook) Helper() {}
func (n *notebook) Errorf(format string, args ...any) {
	n.failures = append(n.failures, fmt.Sprintf(format, args...))
}

func TestCollect(t *testing.T) {
	for name, tt := range map[string]struct {
		values  collector
		missing []string
		want    string // a part of the only failure; "" is none
	}{
		"all that is declared":         {values: collector{{Name: "a.x", Value: 1}, {Name: "b.eth0.rx"}, {Name: "b.eth1.rx"}}},
		"one is missing":               {values: collector{{Name: "b.eth0.rx"}}, want: `"a.x": false`},
		"one is missing as it may":     {values: collector{{Name: "b.eth0.rx"}}, missing: []string{"a.x"}},
		"one is there that is missing": {values: collector{{Name: "a.x"}, {Name: "b.eth0.rx"}}, missing: []string{"a.x"}, want: `"a.x": true`},
		"no device":                    {values: collector{{Name: "a.x"}}, want: `"b.#.rx": false`},
		"one that nobody declared":     {values: collector{{Name: "a.x"}, {Name: "a.y"}, {Name: "b.eth0.rx"}}, want: `"a.y"`},
		"one that is there twice":      {values: collector{{Name: "a.x"}, {Name: "a.x"}, {Name: "b.eth0.rx"}}, want: "twice"},
		"one that is not a number":     {values: collector{{Name: "a.x", Value: math.NaN()}, {Name: "b.eth0.rx"}}, want: "NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plugin.Plugin{Name: "p", New: func(*flag.FlagSet) plugin.Collector { return tt.values }, Graphs: []plugin.Graph{
				{Name: "a", Metrics: []plugin.Metric{{Name: "x"}}}, {Name: "b.#", Metrics: []plugin.Metric{{Name: "rx"}}}}}
			n := &notebook{TB: t}
			Collect(n, p, nil, tt.missing...)
			if got := strings.Join(n.failures, "\n"); (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) || len(n.failures) > 1 {
				t.Errorf("failures %q, want %q", n.failures, tt.want)
			}
		})
	}
}
