// Package gostats is the plugin that reads the runtime figures of a Go program from the handler
// that it mounts: a JSON object of goroutine_num, memory_alloc, gc_num and so on. Handlers of
// package stats have more figures than others; window.go makes those that take two readings.
package gostats

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
)

// Plugin reports goroutines, memory and garbage collections of one Go program.
var Plugin = plugin.Plugin{
	Name:   "gostats",
	Short:  "goroutines, memory and garbage collections of a Go program that serves its runtime figures",
	Graphs: slices.Concat(always, offered, windowed),
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{http: target.HTTP{UserAgent: "mackerel-plugin-gostats"}}
		c.url.AddFlags(fs, "8080", "/api/stats")
		fs.DurationVar(&c.sample, "sample", time.Second, "`time` between the two readings of a first run, for scheduler latency and the share of the garbage collector; 0 is one reading without these")
		c.http.AddFlags(fs)
		return c
	},
}

// A metric of these graphs and the next has the name of its field in the answer. Every handler
// has these.
var always = []plugin.Graph{
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
		// These two are of the last minute by package stats; by other handlers since they were last
		// asked, by whomever.
		{Name: "gc_per_second", Label: "GC Per Second"},
		{Name: "gc_pause_per_second", Label: "GC Pause Per Second"},
	}},
}

// Handlers may have these.
var offered = []plugin.Graph{
	{Name: "sched", Label: "Scheduler", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "gomaxprocs", Label: "GOMAXPROCS"},
		{Name: "thread_num", Label: "Threads"},
	}},
	{Name: "goroutine", Label: "Goroutines by State", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "goroutines_running", Label: "Running", Stacked: true},
		{Name: "goroutines_runnable", Label: "Runnable", Stacked: true},
		{Name: "goroutines_not_in_go", Label: "Not in Go", Stacked: true},
		{Name: "goroutines_waiting", Label: "Waiting", Stacked: true},
	}},
	{Name: "gc_heap", Label: "GC Heap", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
		{Name: "heap_live", Label: "Live"},
		{Name: "gc_next", Label: "Goal"},
		{Name: "memory_limit", Label: "Limit"},
	}},
	{Name: "gc_cpu_time", Label: "GC CPU Time", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{
		{Name: "cpu_gc_seconds", Label: "GC CPU Time", Counter: true},
	}},
	{Name: "mutex", Label: "Mutex Wait", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{
		{Name: "mutex_wait_seconds", Label: "Wait of all Goroutines", Counter: true},
	}},
}

type collector struct {
	url    target.URL
	sample time.Duration
	http   target.HTTP

	last   totals // of the turn before
	lastAt time.Time
}

// CheckFlags says which flags cannot be.
func (c *collector) CheckFlags() error {
	if c.sample < 0 {
		return fmt.Errorf("-sample %v must not be less than nothing", c.sample)
	}
	return nil
}

// Collect asks the handler once, and the first time once more when it has figures that take two
// readings. Fields that it does not have are left out; with an error, if every handler has them.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	a, err := c.ask(ctx)
	if len(a.values) == 0 {
		return nil, err
	}
	last := c.last
	if time.Since(c.lastAt) > maxWindow {
		last = totals{}
	}
	if last.none() && !a.totals.none() && c.sample > 0 && err == nil {
		last = a.totals
		if a, err = c.again(ctx, a); err != nil {
			return a.values, err
		}
	}
	c.last, c.lastAt = a.totals, time.Now()
	return append(a.values, window(last, a.totals)...), err
}

// again asks a second time, after the time between the two readings of a first run. When that
// fails it returns the first answer and the error.
func (c *collector) again(ctx context.Context, first answer) (answer, error) {
	wait := time.NewTimer(c.sample)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return first, fmt.Errorf("scheduler latency takes a second reading after %v (-sample), for which there is no time: %w", c.sample, ctx.Err())
	}
	second, err := c.ask(ctx)
	if len(second.values) == 0 {
		return first, err
	}
	return second, err
}

// An answer is what a handler says in one reading.
type answer struct {
	values []saba.Value
	totals totals
}

// ask asks the handler once. An answer and an error may come together.
func (c *collector) ask(ctx context.Context) (answer, error) {
	body, err := c.http.Get(ctx, c.url.String())
	if err != nil {
		return answer{}, err
	}
	a, err := parse(body)
	if err != nil {
		return a, fmt.Errorf("the answer of %s %w", c.http.Name(c.url.String()), err)
	}
	return a, nil
}

// parse reads an answer. What it does not have is left out: a zero would be a figure. The error
// is a clause that says what is missing, of what every handler has, or is no number.
func parse(body []byte) (answer, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return answer{}, fmt.Errorf("is not the JSON of a stats handler: %w", err)
	}
	var a answer
	var bad []string
	read := func(graphs []plugin.Graph, may bool) {
		for _, g := range graphs {
			for _, m := range g.Metrics {
				raw, is := fields[m.Name]
				if may && (!is || string(raw) == "null") {
					continue
				}
				var v *float64
				if json.Unmarshal(raw, &v) != nil || v == nil {
					bad = append(bad, m.Name)
					continue
				}
				a.values = append(a.values, saba.Value{Name: g.Name + "." + m.Name, Value: *v})
			}
		}
	}
	read(always, false)
	if len(a.values) == 0 {
		return answer{}, fmt.Errorf("has no number %s", strings.Join(bad, ", "))
	}
	read(offered, true)
	a.totals = parseTotals(fields, func(name string) {
		if !slices.Contains(bad, name) {
			bad = append(bad, name)
		}
	})
	if len(bad) > 0 {
		return a, fmt.Errorf("has no number %s", strings.Join(bad, ", "))
	}
	return a, nil
}
