package plugin

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/saba-monitor/saba"
)

// The distance between two readings of a counter that says something about a rate.
const (
	minGap = time.Second
	maxGap = 10 * time.Minute
)

// A total is what a counter stood at.
type total struct {
	value float64
	at    time.Time
}

// totals are the last readings of counters, by name without prefix. The zero value has none.
type totals map[string]total

// elapsed returns the time since t was read, and whether it can be told.
func (t total) elapsed(now time.Time) (time.Duration, bool) {
	d := now.Sub(t.at) // by the monotonic clock, if both have it
	return d, agree(d, now.Round(0).Sub(t.at.Round(0)))
}

// agree says whether the monotonic clock and the one on the wall tell about the same time since
// a reading. If not, the clock was set or the machine slept, and it is not known for how long
// the counter ran.
func agree(monotonic, wall time.Duration) bool { return (monotonic - wall).Abs() <= 2*time.Second }

// rate returns by how much a counter that stands at v now changed since t, in each time per. A
// counter that went back was reset: how much it counted since is not known, and there is no
// rate. The same goes for a gap of more than maxGap and a time in the future.
func (t total) rate(v float64, now time.Time, per time.Duration) (rate float64, ok bool) {
	d, ok := t.elapsed(now)
	if !ok || d < minGap || d > maxGap || v < t.value {
		return 0, false
	}
	return (v - t.value) * per.Seconds() / d.Seconds(), true
}

// A turn is what one collection brought.
type turn struct {
	values []value
	next   totals // for the next turn
	err    error  // what could not be used, and what could not be collected
}

// A value is a reading with its declaration.
type value struct {
	name   string // with the prefix
	series string // without it
	value  float64
	graph  Graph // without metrics if no graph declares it
	metric Metric
}

// settle turns readings of counters into changes per minute, or per second, since last, and leaves out what
// nobody declared or is no number. last is not modified.
func (in *instance) settle(readings []saba.Value, collected error, last totals, now time.Time) turn {
	t := turn{next: totals{}}
	errs := []error{collected}
	for name, old := range last {
		// A counter that is missing once has a rate again the next time.
		if d, ok := old.elapsed(now); ok && d >= 0 && d <= maxGap {
			t.next[name] = old
		}
	}
	seen := map[string]bool{}
	for _, r := range readings {
		g, m, declared := in.find(r.Name)
		name := join(in.prefix, r.Name)
		switch {
		case !declared && !in.open:
			errs = append(errs, fmt.Errorf("%q was collected, which no graph declares", r.Name))
			continue
		case seen[name]:
			errs = append(errs, fmt.Errorf("%q was collected twice", r.Name))
			continue
		case math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
			errs = append(errs, fmt.Errorf("%q is not finite: %v", r.Name, r.Value))
			continue
		case !saba.ValidMetricName("custom." + name):
			errs = append(errs, fmt.Errorf("%q cannot be the name of a metric", name))
			continue
		}
		seen[name] = true
		if !declared {
			m.Counter = in.isCounter != nil && in.isCounter(r.Name)
		}
		v := value{name: name, series: r.Name, value: r.Value, graph: g, metric: m}
		if m.Counter {
			old, known := last[r.Name]
			if d, told := old.elapsed(now); !known || !told || d < 0 || d >= minGap {
				t.next[r.Name] = total{r.Value, now} // else the older reading makes the better rate
			}
			rate, ok := old.rate(r.Value, now, g.per())
			if !known || !ok {
				continue
			}
			v.value = rate
		}
		t.values = append(t.values, v)
	}
	t.err = errors.Join(errs...)
	return t
}
