package chart

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// The colours of what is bad, as on the console's pages.
var (
	warn = Color{"#a65a00", "#e6a34a"}
	bad  = Color{"#c02626", "#ff8080"}
)

// maxStretch is how many times as high the values' range may become for a limit: beside a limit further away they were a flat line.
const maxStretch = 4

// limits returns what can be drawn of the chart's limits, worst last.
func (c *Chart) limits() []Limit {
	drawn := slices.DeleteFunc(slices.Clone(c.Limits), func(l Limit) bool {
		return math.IsNaN(l.Value) || math.Abs(l.Value) > maxMagnitude || severity(l.Bad) == 0
	})
	slices.SortStableFunc(drawn, func(a, b Limit) int { return cmp.Compare(severity(a.Bad), severity(b.Bad)) })
	return drawn
}

func severity(s saba.CheckStatus) int {
	return 1 + slices.Index([]saba.CheckStatus{saba.CheckWarning, saba.CheckCritical}, s)
}

// tone returns the class of the colour for a status: "warn", "bad", or "" for the rest.
func tone(s saba.CheckStatus) string { return []string{"", "warn", "bad"}[severity(s)] }

// reach returns the range of values from low to high, and as much more as shows the limits with some of what is beyond them.
func (p *picture) reach(low, high float64) (near, far float64) {
	near, far = low, high
	bottom, top := math.Min(low, 0), math.Max(high, 0)
	for _, l := range p.c.limits() {
		span := math.Max(top, l.Value) - math.Min(bottom, l.Value)
		if top > bottom && span > maxStretch*(top-bottom) {
			continue
		}
		if more := span / 12; l.Below {
			near, far = math.Min(near, l.Value-more), math.Max(far, l.Value)
		} else {
			near, far = math.Min(near, l.Value), math.Max(far, l.Value+more)
		}
	}
	if low >= 0 && near < 0 { // what cannot be below zero gets no room there for a limit of it
		near = 0
		for _, l := range p.c.limits() {
			near = math.Min(near, l.Value)
		}
	}
	return near, far
}

// drawBands tints what is beyond each limit, as far as the worse limit on the same side or the end of the axis.
func (p *picture) drawBands() {
	limits := p.c.limits()
	for i, l := range limits {
		from, to := l.Value, p.axis.max
		if l.Below {
			from, to = p.axis.min, l.Value
		}
		for _, worse := range limits[i+1:] {
			switch {
			case worse.Below != l.Below || severity(worse.Bad) == severity(l.Bad):
			case l.Below:
				from = math.Max(from, worse.Value)
			default:
				to = math.Min(to, worse.Value)
			}
		}
		from, to = math.Max(from, p.axis.min), math.Min(to, p.axis.max)
		if from < to {
			p.rect("band "+tone(l.Bad), none, box{p.plot.x, p.y(to), p.plot.w, p.y(from) - p.y(to)}, 0)
		}
	}
}

// drawSpans tints the times that were bad, as far as they lie in the chart's range.
func (p *picture) drawSpans() {
	for _, s := range p.c.Spans[:min(len(p.c.Spans), maxSpans)] {
		from, to := max(s.From, p.c.From), min(s.To, p.c.To)
		if from > to {
			continue
		}
		class := "bad"
		if s.Bad == saba.CheckWarning {
			class = "warn"
		}
		wide := math.Max(p.x(to)-p.x(from), 2)
		p.rect("band "+class, none, box{math.Min(p.x(from), p.plot.x+p.plot.w-wide), p.plot.y, wide, p.plot.h}, 0)
	}
}

// drawLimits draws a line at each limit that is on the axis.
func (p *picture) drawLimits() {
	for _, l := range p.c.limits() {
		if l.Value < p.axis.min || l.Value > p.axis.max {
			continue
		}
		p.open("limit " + tone(l.Bad))
		p.move(p.plot.x, p.y(l.Value))
		p.across(p.plot.x + p.plot.w)
		p.close()
	}
}

// words says what a limit is: "critical > 90%".
func (l Limit) words(u saba.Unit) string {
	sign := " > "
	if l.Below {
		sign = " < "
	}
	return strings.ToLower(string(l.Bad)) + sign + Format(l.Value, u)
}

// limitWords writes what the limits are on the baseline, up to right and from left on at most, and returns where it began. The worst
// is the last to be left out.
func (p *picture) limitWords(left, right, baseline float64) float64 {
	const gap = 14
	begin := right
	limits := p.c.limits()
	slices.Reverse(limits)
	for _, l := range limits {
		text := l.words(p.c.Unit)
		width := p.ruler(text, 11, true)
		if begin-width < left {
			break
		}
		p.text(begin, baseline, "note "+tone(l.Bad), "end", text)
		begin -= width + gap
	}
	return begin
}

// note writes a text into the plot, readable on whatever is drawn there.
func (p *picture) note(b box, class, text string) {
	p.rect("halo", none, b, 3)
	p.text(b.x+3, b.y+11, strings.TrimSpace("note "+class), "", text)
}

// marked says whether there is a mark in the range.
func (p *picture) marked() bool {
	return p.c.Mark != nil && p.c.Mark.At >= p.c.From && p.c.Mark.At <= p.c.To
}

// clock writes a time of the day.
func (p *picture) clock(t int64) string { return time.Unix(t, 0).In(p.c.Location).Format("15:04") }

// drawMark draws a line at the marked moment, with its time.
func (p *picture) drawMark() {
	if !p.marked() {
		return
	}
	m := p.c.Mark
	class, x := tone(m.Bad), p.x(m.At)
	p.open(strings.TrimSpace("mark " + class))
	p.move(x, p.plot.y)
	p.upright(p.plot.y + p.plot.h)
	p.close()
	p.open(strings.TrimSpace("head " + class))
	p.move(x-4.5, p.plot.y-6)
	p.line(x+4.5, p.plot.y-6)
	p.line(x, p.plot.y+1)
	p.seal()
	p.close()
	text := p.clock(m.At)
	b := box{w: p.ruler(text, 11, false) + 6, h: 14, y: p.plot.y + p.plot.h - 16}
	if b.x = x + 3; b.x+b.w > p.plot.x+p.plot.w {
		b.x = x - 3 - b.w
	}
	p.note(b, class, text)
}
