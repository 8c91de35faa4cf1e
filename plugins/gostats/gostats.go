// Package gostats is the plugin that reads the runtime figures of a Go program from the handler
// that it mounts: a JSON object of goroutine_num, memory_alloc, gc_num and so on.
package gostats

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
)

// Plugin reports goroutines, memory and garbage collections of one Go program. A metric has the
// name of its field in the answer.
var Plugin = plugin.Plugin{
	Name:  "gostats",
	Short: "goroutines, memory and garbage collections of a Go program that serves its runtime figures",
	Graphs: []plugin.Graph{
		{Name: "runtime", Label: "Runtime", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "goroutine_num", Label: "Goroutine Num"},
			{Name: "cgo_call_num", Label: "CGO Call Num", Counter: true},
		}},
		{Name: "memory", Label: "Memory", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "memory_alloc", Label: "Alloc"},
			{Name: "memory_sys", Label: "Sys"},
			{Name: "memory_stack", Label: "Stack In Use"},
		}},
		{Name: "operation", Label: "Operation", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "memory_lookups", Label: "Pointer Lookups", Counter: true},
			{Name: "memory_mallocs", Label: "Mallocs", Counter: true},
			{Name: "memory_frees", Label: "Frees", Counter: true},
		}},
		{Name: "heap", Label: "Heap", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "heap_sys", Label: "Sys"},
			{Name: "heap_idle", Label: "Idle"},
			{Name: "heap_inuse", Label: "In Use"},
			// Bytes that are with the system now, not a total: its change would be negative as
			// often as not.
			{Name: "heap_released", Label: "Released"},
		}},
		{Name: "gc", Label: "GC", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
			{Name: "gc_num", Label: "GC Num", Counter: true},
			// These two are since the handler was last asked, by whomever.
			{Name: "gc_per_second", Label: "GC Per Second"},
			{Name: "gc_pause_per_second", Label: "GC Pause Per Second"},
		}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{http: target.HTTP{UserAgent: "mackerel-plugin-gostats"}}
		fs.StringVar(&c.uri, "uri", "", "`URL` of the handler, in place of the next four flags")
		fs.StringVar(&c.scheme, "scheme", "http", "`scheme` of the URL")
		fs.StringVar(&c.host, "host", "localhost", "`host` of the URL")
		fs.StringVar(&c.port, "port", "8080", "`port` of the URL")
		fs.StringVar(&c.path, "path", "/api/stats", "`path` of the URL")
		c.http.AddFlags(fs)
		return c
	},
}

type collector struct {
	uri, scheme, host, port, path string
	http                          target.HTTP
}

// url returns where the handler is.
func (c *collector) url() string {
	if c.uri != "" {
		return c.uri
	}
	return c.scheme + "://" + c.host + ":" + c.port + c.path
}

// Collect asks the handler once. Fields that it does not have are left out, with an error.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	body, err := c.http.Get(ctx, c.url())
	if err != nil {
		return nil, err
	}
	values, err := parse(body)
	if err != nil {
		return values, fmt.Errorf("the answer of %s %w", c.http.Name(c.url()), err)
	}
	return values, nil
}

// parse returns the values of an answer. What it does not have is left out: a zero would be a
// figure. The error is a clause that says what is missing.
func parse(body []byte) ([]saba.Value, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("is not the JSON of a stats handler: %w", err)
	}
	var values []saba.Value
	var missing []string
	for _, g := range Plugin.Graphs {
		for _, m := range g.Metrics {
			var v *float64
			if json.Unmarshal(fields[m.Name], &v) != nil || v == nil {
				missing = append(missing, m.Name)
				continue
			}
			values = append(values, saba.Value{Name: g.Name + "." + m.Name, Value: *v})
		}
	}
	if len(missing) > 0 {
		return values, fmt.Errorf("has no number %s", strings.Join(missing, ", "))
	}
	return values, nil
}
