package monitor

import (
	"math"
	"slices"

	"github.com/saba-monitor/saba"
)

// An expression is computed in three steps: selectors says what it reads (pure), a source finds and reads that (source.go),
// and compute makes lines of it (pure), at one minute or at many.

// maxReach is how far back from a minute an expression may read, in seconds.
const maxReach = 5 * 366 * 24 * 60 * 60

// A selector is a call that names series: host, service, role or roleSlots. What the expression is at a minute t depends on
// their samples from t-back to t-until, in seconds.
type selector struct {
	call        saba.Expression
	back, until int64
}

// selectors returns the selectors of an expression, in the order in which they are written. The error matches saba.ErrInvalid.
func selectors(e saba.Expression) (all []selector, err error) {
	var walk func(e saba.Expression, back, until int64)
	walk = func(e saba.Expression, back, until int64) {
		switch e.Name {
		case "host", "service", "role", "roleSlots":
			if back > maxReach {
				err = saba.Errorf(saba.ErrInvalid, "it reads samples of %d days before: at most %d are allowed", back/86400, maxReach/86400)
			}
			all = append(all, selector{e, back, until})
			return
		case "timeShift":
			back, until = back+duration(e), until+duration(e)
		case "movingAverage", "linearRegression", "timeLeftForecast":
			back += duration(e) - saba.Resolution
		}
		for _, a := range e.Args {
			if a.Name != "" {
				walk(a, back, until)
			}
		}
	}
	walk(e, 0, 0)
	return all, err
}

// duration and factor return the second argument of a call. The parser has seen that it is one.
func duration(e saba.Expression) int64 {
	d, _ := e.Args[1].Seconds()
	return d
}

func factor(e saba.Expression) float64 {
	v, _ := e.Args[1].Number()
	return v
}

// A line is a series on its way through an expression: a value for each minute, NaN where there is none. No value is infinite.
type line struct {
	label   string // for people
	key     string // what it belongs to: diff and divide find pairs by it
	stacked bool   // to be drawn on top of others
	values  []float64
}

// compute evaluates e at each minute from from to to, Unix seconds of whole minutes. read has the lines of each selector, in the
// order of selectors, each with a value for every minute from from-back to to-until; compute may change them. The lines
// that it returns have (to-from)/60+1 values.
func compute(e saba.Expression, from, to int64, read [][]line) []line {
	c := computation{minutes: int((to-from)/saba.Resolution) + 1, read: read}
	return slices.Concat(c.lines(e)...)
}

type computation struct {
	minutes int
	read    [][]line
}

// lines evaluates a call. It returns the lines of each operand: what group puts together stays apart, since
// a sum must not be drawn where one of them is missing.
func (c *computation) lines(e saba.Expression) [][]line {
	of := func(i int) [][]line { return c.lines(e.Args[i]) }
	switch e.Name {
	case "avg":
		return combine(e.Name, of(0), func(v []float64) float64 { return sum(v) / float64(len(v)) })
	case "max":
		return combine(e.Name, of(0), slices.Max[[]float64])
	case "min":
		return combine(e.Name, of(0), slices.Min[[]float64])
	case "sum":
		return combine(e.Name, of(0), sum)
	case "product":
		return combine(e.Name, of(0), product)
	case "percentile":
		p := factor(e)
		return combine(e.Name, of(0), func(v []float64) float64 { return percentile(v, p) })
	case "diff":
		return pairwise(of(0), of(1), func(a, b float64) float64 { return a - b })
	case "divide":
		return pairwise(of(0), of(1), func(a, b float64) float64 { return a / b })
	case "scale":
		by := factor(e)
		return each(of(0), func(v float64) float64 { return v * by })
	case "offset":
		by := factor(e)
		return each(of(0), func(v float64) float64 { return v + by })
	case "movingAverage":
		return trailing(of(0), duration(e), func(t trend, _ float64) float64 { return t.value })
	case "linearRegression":
		return trailing(of(0), duration(e), trend.at)
	case "timeLeftForecast":
		threshold, _ := e.Args[2].Number()
		return trailing(of(0), duration(e), func(t trend, now float64) float64 { return timeLeft(t, now, threshold, duration(e)) })
	case "group":
		var all [][]line
		for i := range e.Args {
			all = append(all, of(i)...)
		}
		return all
	case "stack":
		return change(of(0), func(l *line) { l.stacked = true })
	case "alias":
		return change(of(0), func(l *line) { l.label = e.Args[1].Text })
	case "timeShift":
		return of(0) // its selectors have read the samples of earlier
	}
	first := c.read[0] // a selector
	c.read = c.read[1:]
	return [][]line{first}
}

// finite returns v, and NaN for what is no finite number.
func finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

func change(operands [][]line, f func(*line)) [][]line {
	for _, lines := range operands {
		for i := range lines {
			f(&lines[i])
		}
	}
	return operands
}

// each changes every value.
func each(operands [][]line, f func(float64) float64) [][]line {
	return change(operands, func(l *line) {
		for i, v := range l.values {
			l.values[i] = finite(f(v))
		}
	})
}

// combine makes one line of all: at each minute f of the values that there are, in no order; f may change them. A minute in
// which one of the operands has no value at all has none. No lines make an operand without a line.
func combine(label string, operands [][]line, f func(values []float64) float64) [][]line {
	var out []float64
	for _, lines := range operands {
		for _, l := range lines {
			out = make([]float64, len(l.values))
		}
	}
	if out == nil {
		return [][]line{nil}
	}
	var values []float64
	for i := range out {
		values = values[:0]
		out[i] = math.NaN()
		whole := true
		for _, lines := range operands {
			before := len(values)
			for _, l := range lines {
				if v := l.values[i]; !math.IsNaN(v) {
					values = append(values, v)
				}
			}
			if whole = len(values) > before; !whole {
				break
			}
		}
		if whole {
			out[i] = finite(f(values))
		}
	}
	return [][]line{{{label: label, values: out}}}
}

func sum(values []float64) float64 {
	s := 0.0
	for _, v := range values {
		s += v
	}
	return s
}

func product(values []float64) float64 {
	p := 1.0
	for _, v := range values {
		p *= v
	}
	return p
}

// percentile returns the p-th percentile of values, which it sorts: of n values, the one at place (n-1)·p/100 counted from 0; between
// two places, what lies as far between their values.
func percentile(values []float64, p float64) float64 {
	slices.Sort(values)
	place := float64(len(values)-1) * p / 100
	below := int(place)
	if below+1 == len(values) {
		return values[below]
	}
	return values[below] + (values[below+1]-values[below])*(place-float64(below))
}

// pairwise computes f of the lines of a and b. One line goes with each of the other side; of several, those go together
// that belong to the same host or service and of which the wildcards stand for the same. A minute in which one
// has no value has none; a line without a partner is left out.
func pairwise(a, b [][]line, f func(a, b float64) float64) [][]line {
	onA, onB := slices.Concat(a...), slices.Concat(b...)
	apply := func(a, b, into []float64) {
		for i := range into {
			into[i] = finite(f(a[i], b[i]))
		}
	}
	if len(onB) == 1 {
		return change(a, func(l *line) { apply(l.values, onB[0].values, l.values) })
	}
	if len(onA) == 1 {
		return change(b, func(l *line) { apply(onA[0].values, l.values, l.values) })
	}
	partners := map[string][]line{}
	for _, l := range onB {
		partners[l.key] = append(partners[l.key], l)
	}
	paired := make([][]line, len(a))
	for i, lines := range a {
		for _, l := range lines {
			if others := partners[l.key]; len(others) > 0 {
				apply(l.values, others[0].values, l.values)
				paired[i] = append(paired[i], l)
				partners[l.key] = others[1:]
			}
		}
	}
	return paired
}

// trailing makes of each line what f says of the values in the seconds that end with each minute: of a minute without a value, nothing.
// f gets their trend and the place of the last of them.
func trailing(operands [][]line, seconds int64, f func(t trend, now float64) float64) [][]line {
	width := int(seconds / saba.Resolution)
	return change(operands, func(l *line) {
		out := make([]float64, max(len(l.values)-width+1, 0))
		trends(l.values, width, func(i int, t trend) {
			now := i + width - 1
			if out[i] = math.NaN(); !math.IsNaN(l.values[now]) {
				out[i] = finite(f(t, float64(now)))
			}
		})
		l.values = out
	})
}

// farAway is what timeLeftForecast says of what is never reached, in seconds: ten years.
const farAway = 10 * 365 * 24 * 60 * 60

// timeLeft returns after how many seconds the line of a trend reaches a threshold: 0 if it did so within the given seconds
// before now, and farAway if it goes away from it, or needs longer than that.
func timeLeft(t trend, now, threshold float64, within int64) float64 {
	at := t.at(now)
	left := (threshold - at) / t.slope() * saba.Resolution
	switch {
	case math.IsNaN(at):
		return at
	case at == threshold || left < 0 && left >= -float64(within):
		return 0
	case left >= 0:
		return min(left, farAway)
	}
	return farAway
}
