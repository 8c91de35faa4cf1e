package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A table prints figures as they come.
type table struct{ w io.Writer }

func newTable(w io.Writer) *table { return &table{w} }

func (t *table) title(s string) { fmt.Fprintf(t.w, "## %s\n", s) }

// row prints a figure, and the goal when there is one.
func (t *table) row(name, value, goal string) {
	if goal != "" {
		value = fmt.Sprintf("%-36s goal %s", value, goal)
	}
	fmt.Fprintf(t.w, "%-44s %s\n", name, strings.TrimRight(value, " "))
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// durations returns the middle of several times, and the least and the most.
func durations(all []time.Duration) string {
	all = slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%v (%v to %v)", round(all[len(all)/2]), round(all[0]), round(all[len(all)-1]))
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}

// goals of CPU seconds an hour, and of memory in MiB.
var goals = map[string][2]string{
	defaultAgent:                          {"0.25 s", "12"},
	"agent, bundled plugins and a script": {"0.6 s", ""},
	"agent, bundled plugins":              {"0.35 s", "12"},
	"agent, 10000 metrics of a plugin":    {"", "16"},
}

// compare prints the subjects beside each other, and their CPU time as a multiple of the first one's.
func compare(t *table, subjects []*subject) {
	fmt.Fprintf(t.w, "%-36s %8s %17s %9s %6s %7s | %6s %8s %8s %6s | %8s\n", "", "CPU s/h", "of the minutes", "children", "ratio", "goal", "MiB", "private", "highest", "goal", "wake-ups")
	unit := 0.0
	for _, s := range subjects {
		if s.name == tracedAgent {
			continue // the tracer's own cost is in it
		}
		mean, least, most, children := s.cpuAnHour()
		if unit == 0 {
			unit = mean
		}
		_, wakeLeast, wakeMost := s.perMinute(func(r reading) float64 { return float64(r.wakeups) })
		wake, _, _ := s.perMinute(func(r reading) float64 { return float64(r.wakeups) })
		fmt.Fprintf(t.w, "%-36s %8.3f %17s %9.3f %6.2f %7s | %6.1f %8.1f %8.1f %6s | %.0f (%.0f to %.0f)\n",
			s.name, mean, fmt.Sprintf("%.3f to %.3f", least, most), children, mean/unit, goals[s.name][0],
			float64(s.size.resident)/(1<<20), float64(s.size.private)/(1<<20), float64(s.size.highest)/(1<<20), goals[s.name][1], wake, wakeLeast, wakeMost)
	}
	fmt.Fprintln(t.w, "wake-ups are a minute, goal 40; memory is resident, after the last minute")
}

// calls prints how many system calls an agent makes.
func (p *plan) calls(t *table, from, to time.Time, minutes int) error {
	file := filepath.Join(p.work, "trace")
	if _, err := os.Stat(file); err != nil {
		return nil // it was not traced
	}
	calls, err := countCalls(file, from, to)
	if err != nil {
		return err
	}
	sum := 0
	for _, n := range calls {
		sum += n
	}
	t.row("system calls a collection, all threads", fmt.Sprintf("%.0f", float64(sum)/float64(minutes)), "250")
	names := slices.SortedFunc(maps.Keys(calls), func(x, y string) int {
		return cmp.Or(cmp.Compare(calls[y], calls[x]), cmp.Compare(x, y))
	})
	var parts []string
	for _, n := range names[:min(len(names), 12)] {
		parts = append(parts, fmt.Sprintf("%s %.1f", n, float64(calls[n])/float64(minutes)))
	}
	t.row("of these", strings.Join(parts, ", "), "")
	return nil
}
