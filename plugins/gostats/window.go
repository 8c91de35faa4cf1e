package gostats

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

// maxWindow is the distance between two readings beyond which they say nothing about a minute.
const maxWindow = 10 * time.Minute

// maxBound is the longest wait in seconds that an answer may speak of. The runtime's histograms
// end at 2^48 ns, a little more than three days.
const maxBound = 4 * 24 * 60 * 60

// These are of the time between two readings.
var windowed = []plugin.Graph{
	{Name: "sched_latency", Label: "Scheduler Latency", Unit: saba.UnitMilliseconds, Metrics: []plugin.Metric{
		{Name: "p50", Label: "Median"},
		{Name: "p99", Label: "99th Percentile"},
	}},
	{Name: "gc_cpu", Label: "GC CPU", Unit: saba.UnitPercentage, Metrics: []plugin.Metric{
		{Name: "share", Label: "Share of the Program's CPUs"},
	}},
}

// totals count since the start of a program. The zero value has none.
type totals struct {
	start   int64               // when that was, in Unix nanoseconds
	cpu     *cpu                // nil when the handler does not say
	latency map[float64]float64 // waits of goroutines for a CPU by their upper bound in seconds; nil when it does not say
}

// cpu is CPU time in seconds: of the garbage collector, and all that GOMAXPROCS allows.
type cpu struct{ gc, all float64 }

func (t totals) none() bool { return t.cpu == nil && t.latency == nil }

// parseTotals reads the totals in an answer, as package stats has them. bad is told which are there
// and cannot be read.
func parseTotals(fields map[string]json.RawMessage, bad func(name string)) totals {
	var t totals
	read := func(name string, to any) bool {
		raw, is := fields[name]
		if !is || string(raw) == "null" {
			return false
		}
		if json.Unmarshal(raw, to) != nil {
			bad(name)
			return false
		}
		return true
	}
	if !read("start_time", &t.start) {
		return totals{} // a restart between two readings would not be seen
	}
	var c cpu
	if gc, all := read("cpu_gc_seconds", &c.gc), read("cpu_total_seconds", &c.all); gc && all {
		t.cpu = &c
	}
	var pairs [][2]float64
	if read("sched_latency", &pairs) {
		t.latency = make(map[float64]float64, len(pairs))
		for _, p := range pairs {
			t.latency[p[0]] += p[1]
		}
	}
	return t
}

// window returns what happened between two readings: nothing where it cannot be told.
func window(older, newer totals) []saba.Value {
	if older.start != newer.start {
		return nil
	}
	var values []saba.Value
	if waits, all := newer.waitsSince(older); all > 0 {
		values = append(values,
			saba.Value{Name: "sched_latency.p50", Value: milliseconds(percentile(waits, all, 0.50))},
			saba.Value{Name: "sched_latency.p99", Value: milliseconds(percentile(waits, all, 0.99))})
	}
	if older.cpu != nil && newer.cpu != nil {
		gc, all := newer.cpu.gc-older.cpu.gc, newer.cpu.all-older.cpu.all
		// Without a collection between the readings both stand still.
		if all > 0 && gc >= 0 && gc <= all {
			values = append(values, saba.Value{Name: "gc_cpu.share", Value: 100 * gc / all})
		}
	}
	return values
}

// waitsSince returns the waits since older by their upper bound, and how many they are: 0 when
// there are none or it cannot be told.
func (t totals) waitsSince(older totals) (waits map[float64]float64, all float64) {
	if older.latency == nil {
		return nil, 0
	}
	waits = maps.Clone(t.latency)
	for bound, n := range older.latency {
		waits[bound] -= n
	}
	for bound, n := range waits {
		if n < 0 || bound < 0 || bound > maxBound {
			return nil, 0
		}
		all += n
	}
	if math.IsInf(all, 0) {
		return nil, 0
	}
	return waits, all
}

// milliseconds returns seconds as milliseconds, in whole nanoseconds.
func milliseconds(seconds float64) float64 { return math.Round(seconds*1e9) / 1e6 }

// percentile returns the upper bound of the wait that a share q of all is not above. all is the
// sum of waits, and more than 0.
func percentile(waits map[float64]float64, all, q float64) float64 {
	below, bound := 0.0, 0.0
	for _, b := range slices.Sorted(maps.Keys(waits)) {
		if waits[b] == 0 {
			continue
		}
		bound = b
		if below += waits[b]; below >= q*all {
			break
		}
	}
	return bound
}
