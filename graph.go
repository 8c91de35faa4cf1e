package saba

import (
	"regexp"
	"slices"
	"strings"
)

// A Unit says what a graph's values are, and so how they are written.
type Unit string

// The units of graph definitions.
const (
	UnitFloat        Unit = "float"
	UnitInteger      Unit = "integer"
	UnitPercentage   Unit = "percentage"
	UnitSeconds      Unit = "seconds"
	UnitMilliseconds Unit = "milliseconds"
	UnitBytes        Unit = "bytes"
	UnitBytesPerSec  Unit = "bytes/sec"
	UnitBitsPerSec   Unit = "bits/sec"
	UnitIOPS         Unit = "iops"
)

// Units lists every unit.
var Units = []Unit{UnitFloat, UnitInteger, UnitPercentage, UnitSeconds, UnitMilliseconds, UnitBytes, UnitBytesPerSec, UnitBitsPerSec, UnitIOPS}

// Valid says whether u is one of Units.
func (u Unit) Valid() bool { return slices.Contains(Units, u) }

// A GraphDef is a graph definition: how the organization wants the metrics below a name drawn.
// Its name is the metrics' common part ("custom.queue"); the segments * and # stand for any one
// segment, and # groups the legend.
type GraphDef struct {
	Name        string
	DisplayName string // "" when the plugin gave none
	Unit        Unit
	Metrics     []GraphDefMetric
}

// A GraphDefMetric is one line or area of a graph definition.
type GraphDefMetric struct {
	Name        string // Name of the graph, ".", and one segment, which may be * or #
	DisplayName string // may hold %1, %2…: what the 1st, 2nd wildcard stands for
	Stacked     bool
}

// Wildcard says whether the name of d, or of one of its metrics, has a wildcard.
func (d *GraphDef) Wildcard() bool {
	return strings.ContainsAny(d.Name, "*#") || slices.ContainsFunc(d.Metrics, func(m GraphDefMetric) bool { return strings.ContainsAny(m.Name, "*#") })
}

var graphDefName = regexp.MustCompile(`^custom(\.([-a-zA-Z0-9_]+|[*#]))+$`)

// ValidGraphDefName says whether s may name a graph definition or one of its metrics: "custom."
// and segments, each a name, * or #, with # at most once.
func ValidGraphDefName(s string) bool {
	if len(s) > MaxMetricName || !graphDefName.MatchString(s) {
		return false
	}
	hashes := 0
	for _, c := range s {
		if c == '#' {
			hashes++
		}
	}
	return hashes <= 1
}

// ServiceGraphOf returns the graph on which a metric of a service is drawn, as the call that deletes it has it:
// "access.*" for "access.count".
func ServiceGraphOf(metric string) string {
	if i := strings.LastIndexByte(metric, '.'); i >= 0 {
		return metric[:i] + ".*"
	}
	return metric
}

// ShownServiceMetrics returns those of the metrics names of a service whose graph was not deleted, or has got a sample since.
// hidden says when a graph was deleted, in Unix seconds; latest returns the newest sample of a metric. names is not modified.
func ShownServiceMetrics(names []string, hidden map[string]int64, latest func(name string) (Sample, bool)) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		at, ok := hidden[ServiceGraphOf(n)]
		if !ok {
			return false
		}
		s, ok := latest(n)
		return !ok || s.Time < Minute(at)+Resolution
	})
}

// A Graph is one chart of one host or service: which series it shows, and how.
type Graph struct {
	Name   string // stands in URLs: "loadavg", "cpu", "custom.queue"
	Title  string
	Unit   Unit
	Series []GraphSeries // in drawing order: the first stacked series is the lowest
}

// A GraphSeries is one line or area of a Graph.
type GraphSeries struct {
	Metric  string
	Label   string
	Group   string // what # stands for, or the device: the legend groups by it; "" when there is none
	Stacked bool
}
