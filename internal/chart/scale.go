package chart

import (
	"math"
	"time"

	"github.com/saba-monitor/saba"
)

// A Tick is a marked value of the y axis.
type Tick struct {
	Value float64
	Text  string // the value with its unit, as short as tells it from its neighbours
}

// The bounds of what axes deal with: no difference overflows, and no step vanishes.
const (
	maxMagnitude = 1e300
	minSpan      = 1e-290
)

// Ticks returns the marks of an axis from min to max in ascending order: at most n+1 multiples of
// a round step that suits the unit, all within [min, max].
//
// Steps are 1, 2, 2.5 or 5 times a power of ten; for bytes powers of two; for integers whole;
// for durations what clocks show. The result is empty when max is not above min or n < 1.
func Ticks(min, max float64, n int, u saba.Unit) []Tick {
	min, max = clamp(min, -maxMagnitude, maxMagnitude), clamp(max, -maxMagnitude, maxMagnitude)
	if !(max-min > minSpan) || n < 1 { // in this form it refuses NaN too
		return nil
	}
	step := niceStep((max-min)/float64(n), u)
	first, last := math.Ceil(min/step-1e-6), math.Floor(max/step+1e-6)
	if math.Max(math.Abs(first), math.Abs(last)) > 1<<50 { // so small a range beside its values that steps vanish
		return nil
	}
	var ticks []Tick
	for i := first; i <= last; i++ {
		v := i * step
		if i == 0 {
			v = 0 // and not minus zero
		}
		ticks = append(ticks, Tick{Value: v})
	}
	label(ticks, step, u)
	return ticks
}

// label writes the ticks as exactly as their step asks for.
func label(ticks []Tick, step float64, u saba.Unit) {
	styles := []style{{digits: 3, parts: 2, axis: true}}
	switch u {
	case saba.UnitSeconds, saba.UnitMilliseconds:
		styles = append(styles, style{digits: 3, parts: 3, axis: true}, style{digits: 3, parts: 4, axis: true})
	}
	for digits := 4; digits <= 17; digits++ {
		styles = append(styles, style{digits: digits, axis: true})
	}
	for _, s := range styles {
		exact := true
		for i, t := range ticks {
			text, shown := write(t.Value, u, s)
			ticks[i].Text = text
			exact = exact && math.Abs(shown-t.Value) <= step*1e-3
		}
		if exact {
			return
		}
	}
}

// durations are the steps of an axis of seconds, from a second to ten days.
var durations = []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 5 * 86400, 10 * 86400}

// niceStep returns the smallest round step that is at least raw, which is finite and above zero.
func niceStep(raw float64, u saba.Unit) float64 {
	switch u {
	case saba.UnitBytes, saba.UnitBytesPerSec:
		if raw > 1 {
			fraction, exp := math.Frexp(raw) // raw = fraction × 2^exp, fraction in [½, 1)
			if fraction == 0.5 {
				exp--
			}
			return math.Ldexp(1, exp)
		}
	case saba.UnitInteger:
		if raw <= 1 {
			return 1
		}
		if raw > 2 && raw <= 5 {
			return 5 // 2.5 is no integer
		}
	case saba.UnitMilliseconds:
		return niceStep(raw/1000, saba.UnitSeconds) * 1000
	case saba.UnitSeconds:
		if raw > 0.5 && raw <= durations[len(durations)-1] {
			for _, d := range durations {
				if d >= raw {
					return d
				}
			}
		}
		if raw > 1 {
			return 86400 * niceStep(raw/86400, saba.UnitFloat)
		}
	}
	power := math.Floor(math.Log10(raw))
	for ; ; power++ {
		base := math.Pow10(int(power))
		for _, m := range []float64{1, 2, 2.5, 5} {
			if step := m * base; step >= raw*(1-1e-9) {
				return step
			}
		}
	}
}

// An axis is the y axis of a chart.
type axis struct {
	min, max float64
	ticks    []Tick
}

// newAxis returns the axis for values from min to max, with about n ticks.
//
// Zero is on it: a chart that does not say where zero is exaggerates. Only lines of plain
// numbers that all differ by less than a tenth are drawn from close by, because they would
// otherwise all be flat. The ends are ticks where that wastes little room.
func newAxis(min, max float64, n int, u saba.Unit, stacked bool) axis {
	min, max = clamp(min, -maxMagnitude, maxMagnitude), clamp(max, -maxMagnitude, maxMagnitude)
	size := math.Max(math.Abs(min), math.Abs(max))
	spread := max - min
	closeBy := !stacked && u == saba.UnitFloat && (min > 0 || max < 0) && spread < size/10 && spread > size*1e-9
	if !closeBy {
		min, max = math.Min(min, 0), math.Max(max, 0)
		if max-min <= minSpan { // all values are zero, or as good as
			min, max = 0, 1
		}
	}
	step := niceStep((max-min)/float64(n), u)
	// An end moves out to the next tick if less than half a step is lost, and in to a tick
	// that it exceeds by a hundredth of a step: the states of a CPU add up to 100.02.
	top, bottom := math.Ceil(max/step-0.01)*step, math.Floor(min/step+0.01)*step
	if top-max > step/2 {
		top = max + (max-min)/20
	}
	if min-bottom > step/2 {
		bottom = min - (max-min)/20
	}
	return axis{min: bottom, max: top, ticks: Ticks(bottom, top, n+1, u)}
}

func clamp(v, low, high float64) float64 { return math.Min(math.Max(v, low), high) }

// A timeTick is a marked time of the x axis.
type timeTick struct {
	time  int64 // Unix seconds
	text  string
	major bool // begins a day among hours, a year among months
}

// A timeStep is a distance between marks of the x axis; one of its fields is set.
type timeStep struct {
	minutes, hours, days, months int
	seconds                      int64 // about
}

var timeSteps = []timeStep{
	{minutes: 1, seconds: 60}, {minutes: 2, seconds: 120}, {minutes: 5, seconds: 300}, {minutes: 10, seconds: 600}, {minutes: 15, seconds: 900}, {minutes: 30, seconds: 1800},
	{hours: 1, seconds: 3600}, {hours: 2, seconds: 7200}, {hours: 3, seconds: 3 * 3600}, {hours: 6, seconds: 6 * 3600}, {hours: 12, seconds: 12 * 3600},
	{days: 1, seconds: 86400}, {days: 2, seconds: 2 * 86400}, {days: 7, seconds: 7 * 86400}, {days: 14, seconds: 14 * 86400},
	{months: 1, seconds: 31 * 86400}, {months: 3, seconds: 92 * 86400}, {months: 6, seconds: 183 * 86400}, {months: 12, seconds: 366 * 86400},
	{months: 2 * 12, seconds: 2 * 366 * 86400}, {months: 5 * 12, seconds: 5 * 366 * 86400}, {months: 10 * 12, seconds: 10 * 366 * 86400},
	{months: 20 * 12, seconds: 20 * 366 * 86400}, {months: 50 * 12, seconds: 50 * 366 * 86400}, {months: 500 * 12, seconds: 500 * 366 * 86400},
}

// timeTicks returns at most about n marks of a time axis, where the clocks of loc show round
// times; days and weeks (from Monday) begin at midnight there.
func timeTicks(from, to int64, n int, loc *time.Location) []timeTick {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if (to-from)/s.seconds <= int64(n) {
			step = s
			break
		}
	}
	var ticks []timeTick
	add := func(t time.Time, text string, major bool) {
		// Where clocks are put forward two round times can be one moment.
		if u := t.Unix(); u >= from && u <= to && (len(ticks) == 0 || ticks[len(ticks)-1].time < u) {
			ticks = append(ticks, timeTick{u, text, major})
		}
	}
	clock := func(t time.Time) {
		if h, m, _ := t.Clock(); h == 0 && m == 0 {
			add(t, t.Format("2 Jan"), true)
		} else {
			add(t, t.Format("15:04"), false)
		}
	}
	start := time.Unix(from, 0).In(loc)
	const most = 1000 // marks at all, whatever the range
	switch y, m, d := start.Date(); {
	case step.minutes > 0:
		// Along the real time, so that an hour that comes twice is marked twice.
		_, offset := start.Zone()
		t := from + int64(offset)
		t -= ((t % step.seconds) + step.seconds) % step.seconds
		t -= int64(offset)
		for i := 0; i < most && t <= to; i++ {
			clock(time.Unix(t, 0).In(loc))
			t += step.seconds
		}
	case step.hours > 0:
		for i := 0; i < most; i++ {
			t := time.Date(y, m, d, i*step.hours, 0, 0, 0, loc)
			if t.Unix() > to {
				break
			}
			clock(t)
		}
	case step.days > 0:
		if step.days%7 == 0 {
			d -= (int(start.Weekday()) + 6) % 7
		} else if step.days > 1 {
			d = d - (d-1)%step.days
		}
		for i := 0; i < most; i++ {
			t := time.Date(y, m, d+i*step.days, 0, 0, 0, 0, loc)
			if t.Unix() > to {
				break
			}
			add(t, t.Format("2 Jan"), false)
		}
	default:
		if step.months >= 12 {
			m, y = time.January, y-y%(step.months/12)
		} else {
			m -= (m - 1) % time.Month(step.months)
		}
		for i := 0; i < most; i++ {
			t := time.Date(y, m+time.Month(i*step.months), 1, 0, 0, 0, 0, loc)
			if t.Unix() > to {
				break
			}
			if t.Month() == time.January {
				add(t, t.Format("2006"), true)
			} else {
				add(t, t.Format("Jan"), false)
			}
		}
	}
	return ticks
}

// span writes a range of time with its zone: "21 Nov 2026, 01:45–02:45 UTC".
func span(from, to int64, loc *time.Location) string {
	a, b := time.Unix(from, 0).In(loc), time.Unix(to, 0).In(loc)
	zone, _ := b.Zone()
	if zone == "" || zone[0] == '+' || zone[0] == '-' { // a zone that has only a number
		zone = "UTC" + b.Format("-07:00")
	}
	const day, clock = "2 Jan 2006", "15:04"
	switch {
	case a.Format(day) == b.Format(day):
		return a.Format(day+", "+clock) + "–" + b.Format(clock) + " " + zone
	case to-from < 14*86400:
		layout := "2 Jan, " + clock
		if a.Year() != b.Year() {
			layout = day + ", " + clock
		}
		return a.Format(layout) + " – " + b.Format(day+", "+clock) + " " + zone
	}
	return a.Format(day) + " – " + b.Format(day) + " " + zone
}
