package monitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

// A part is one thing of a host that a monitor judges: a metric, or a percentage of several. Of several parts the
// worst is the host's.
type part struct {
	label   string   // for people: "loadavg5", "disk% of sda1"
	metrics []string // whose samples it is made of
	combine func(values []float64) (float64, bool)
	add     bool // in each minute in which one of the metrics has a value, the sum of those that there are
}

// cpuStates are the metrics that add up to 100 for each core.
var cpuStates = []string{"cpu.idle.percentage", "cpu.user.percentage", "cpu.nice.percentage", "cpu.system.percentage", "cpu.irq.percentage",
	"cpu.softirq.percentage", "cpu.iowait.percentage", "cpu.steal.percentage", "cpu.guest.percentage"}

// partsOf returns the parts of a host that a metric, or one of saba.RateMetrics, is about. names are the host's metrics.
func partsOf(metric string, names []string) []part {
	switch metric {
	case "cpu%":
		return []part{{label: metric, metrics: cpuStates, combine: busy}}
	case "memory%":
		return []part{{label: metric, metrics: []string{"memory.used", "memory.total"}, combine: share}}
	case "swap%":
		return []part{{label: metric, metrics: []string{"memory.swap_used", "memory.swap_total"}, combine: share}}
	case "disk%":
		return pairs(metric, names, "filesystem.", ".used", ".size")
	case "container-cpu%":
		return pairs(metric, names, "container.cpu.", ".usage", ".limit")
	case "container-memory%":
		return pairs(metric, names, "container.memory.", ".usage", ".limit")
	}
	return []part{{label: metric, metrics: []string{metric}}}
}

// pairs returns a part for each name between prefix and suffix of which both metrics are there.
func pairs(label string, names []string, prefix, used, size string) (parts []part) {
	for _, n := range names {
		middle, ok := strings.CutPrefix(n, prefix)
		if middle, ok = cutEnd(middle, used, ok); !ok {
			continue
		}
		whole := prefix + middle + size
		if slices.Contains(names, whole) {
			parts = append(parts, part{label: label + " of " + middle, metrics: []string{n, whole}, combine: share})
		}
	}
	return parts
}

func cutEnd(s, end string, ok bool) (string, bool) {
	s, cut := strings.CutSuffix(s, end)
	return s, ok && cut
}

// share returns the first value as a percentage of the second. Of nothing there is none: a host without swap.
func share(v []float64) (float64, bool) {
	return 100 * v[0] / v[1], v[1] > 0
}

// busy returns how much of all cores together was not idle, in percent. The first value is that of idle; all
// that are there add up to 100 for each core.
func busy(v []float64) (float64, bool) {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return 100 - 100*v[0]/sum, sum > 0
}

// series combines the samples of the metrics of p, minute by minute. A minute without the first metric, or without the
// second of a share, has none; of other metrics what is there counts.
func (p part) series(samples [][]saba.Sample) []saba.Sample {
	if p.add {
		return added(samples)
	}
	if p.combine == nil {
		return samples[0]
	}
	combined := make([]saba.Sample, 0, len(samples[0]))
	next := make([]int, len(samples))
	values := make([]float64, 0, len(samples))
	for _, first := range samples[0] {
		values = append(values[:0], first.Value)
		for k := 1; k < len(samples); k++ {
			i := next[k]
			for i < len(samples[k]) && samples[k][i].Time < first.Time {
				i++
			}
			next[k] = i
			if i < len(samples[k]) && samples[k][i].Time == first.Time {
				values = append(values, samples[k][i].Value)
			}
		}
		if len(values) < 2 { // of cpu%: idle and one other
			continue
		}
		if v, ok := p.combine(values); ok {
			combined = append(combined, saba.Sample{Time: first.Time, Value: v})
		}
	}
	return combined
}

// added returns the sums of samples, minute by minute.
func added(samples [][]saba.Sample) []saba.Sample {
	if len(samples) == 1 {
		return samples[0]
	}
	all := slices.Concat(samples...)
	slices.SortStableFunc(all, func(a, b saba.Sample) int { return cmp.Compare(a.Time, b.Time) })
	sums := all[:0]
	for _, s := range all {
		if n := len(sums); n > 0 && sums[n-1].Time == s.Time {
			sums[n-1].Value += s.Value
			continue
		}
		sums = append(sums, s)
	}
	return sums
}

// A Line is what a monitor judges of one thing, minute by minute.
type Line struct {
	Label   string // "loadavg5", "disk% of sda1"
	Samples []saba.Sample
}

// Reader is what Lines asks of the engine that keeps samples.
type Reader interface {
	HostNames(ctx context.Context, org, host string) ([]string, error)
	Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error)
}

// Lines returns what a monitor of a host's metric judges from from to to, Unix seconds: the samples of the metric, or those that
// one of saba.RateMetrics is computed of, a line for each disk or container. Lines without samples are left out.
func Lines(ctx context.Context, r Reader, org, host, metric string, from, to int64) ([]Line, error) {
	var names []string
	if partsNeedNames(metric) {
		var err error
		if names, err = r.HostNames(ctx, org, host); err != nil {
			return nil, fmt.Errorf("list the metrics of host %s: %w", host, err)
		}
	}
	var lines []Line
	for _, p := range partsOf(metric, names) {
		series := make([]saba.Series, len(p.metrics))
		for i, name := range p.metrics {
			series[i] = saba.Series{Org: org, Host: host, Name: name}
		}
		samples, err := r.Range(ctx, series, from, to)
		if err != nil {
			return nil, fmt.Errorf("read %s of host %s: %w", p.label, host, err)
		}
		if of := p.series(samples); len(of) > 0 {
			lines = append(lines, Line{Label: p.label, Samples: of})
		}
	}
	return lines, nil
}
