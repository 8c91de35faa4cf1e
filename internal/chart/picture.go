package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// A Theme chooses between light and dark.
type Theme int

// The themes. Auto follows the reader's system, by a media query in the picture; the others
// are for those who cannot be asked, such as a PNG.
const (
	Auto Theme = iota
	Light
	Dark
)

// A Chart is what one picture shows. Equal charts become equal bytes.
type Chart struct {
	Title    string
	Unit     saba.Unit
	From, To int64          // the range of time, Unix seconds
	Location *time.Location // whose clocks the time axis shows; nil is UTC
	Start    int64          // Unix seconds of the first value of each series
	Step     int64          // seconds from one value to the next
	Series   []Series       // in drawing order: the first stacked series is the lowest
	Limits   []Limit
	Spans    []Span
	Mark     *Mark // nil for none
	Theme    Theme
	Width    int     // pixels; 0 is 960; bounded to 240…4096
	Height   int     // pixels; 0 is 320; bounded to 120…2160
	Density  float64 // of a PNG: how many of its pixels are one of these; 0 is 2; bounded to 1…3, and by 9 Mi pixels in all
}

// A Limit is a threshold: what is beyond it is bad. Its side of the chart is tinted as far as the next worse limit.
//
// The axis reaches for a limit as long as the values stay readable beside it; a limit further away is not drawn.
type Limit struct {
	Value float64
	Bad   saba.CheckStatus // CheckWarning or CheckCritical; others are not drawn
	Below bool             // bad is what is below, not above
}

// A Span is a time that was bad. It is tinted from the top of the chart to its bottom, two pixels wide at least.
type Span struct {
	From, To int64            // Unix seconds
	Bad      saba.CheckStatus // CheckWarning, or else CheckCritical
}

// A Mark is a moment that the chart is about.
type Mark struct {
	At  int64            // Unix seconds; not drawn outside of the chart's range
	Bad saba.CheckStatus // what happened then; the colour
}

// A Series is one line or area of a Chart. Its labels may come from strangers.
type Series struct {
	saba.GraphSeries
	Values []float64 // NaN where there is none: a gap, and not zero
}

// The limits of a chart. What exceeds them is not drawn.
const (
	maxSeries = 300    // the legend says how many more there are
	maxValues = 10_000 // a series
	maxSpans  = 1000
	maxTime   = 1e11 // Unix seconds, the year 5138, both ways
)

// check returns an error matching saba.ErrInvalid for what cannot be drawn: To not after From, a time beyond the year 5138, or a
// Step not above 0 although there are values.
func (c *Chart) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"from", c.From}, {"to", c.To}, {"start", c.Start}, {"step", c.Step}} {
		if f.value < -maxTime || f.value > maxTime {
			return saba.Invalidf(f.name, "must be Unix seconds before the year 5138, not %d", f.value)
		}
	}
	if c.To <= c.From {
		return saba.Invalidf("to", "must be after from (%d), not %d", c.From, c.To)
	}
	if c.Step <= 0 && slices.ContainsFunc(c.Series, func(s Series) bool { return len(s.Values) > 0 }) {
		return saba.Invalidf("step", "must be above 0, not %d", c.Step)
	}
	return nil
}

// A canvas is what a picture is drawn on: SVG or PNG. Its pixels are those of Chart.Width and Height; class says how
// something looks, and look is a position in picture.looks, or none.
type canvas interface {
	// rect fills a rectangle with round corners.
	rect(class string, look int, b box, radius float64)
	// text writes one line of text. anchor is "", "middle" or "end".
	text(x, baseline float64, class, anchor, text string)
	// Between open and close there is a path.
	open(class string)
	close()
	move(x, y float64)
	line(x, y float64)
	across(x float64)  // a line to x
	upright(y float64) // a line to y
	notch()            // a line down, of the length of a mark below an axis
	dot()              // a line of no length: its round ends are the dot
	seal()             // a line to where the path's piece began
	// Between series and endSeries are the paths of one, in its colour.
	series(look int, label string)
	endSeries()
	// Between window and endWindow nothing is drawn outside of a box.
	window(b box)
	endWindow()
}

// none is the look of what is no series.
const none = -1

// A box is a rectangle in pixels from the top left corner.
type box struct{ x, y, w, h float64 }

// A curve is a series prepared for drawing.
type curve struct {
	label           string
	stacked         bool
	look            int       // position in picture.looks
	top, base       []float64 // what is drawn, of one length; top is NaN in gaps
	last, low, high float64   // of the values in the range; NaN if there is none
}

// A picture is a Chart with the place of everything that is drawn.
type picture struct {
	canvas
	c          Chart
	ruler      ruler
	curves     []curve
	looks      []Style // the different styles of curves
	data       bool    // some value is in the range
	first, end int     // positions of the values that the window shows, and their neighbours
	axis       axis
	wide       bool // the legend stands at the right, as a table; else below, as text
	table      table
	entries    []entry
	pad        float64
	plot       box
	legend     box // h is 0 where there is none
}

const (
	axisHeight = 24.0 // of the time axis
	rowHeight  = 18.0 // of the legend
)

// newPicture prepares c for a canvas, whose texts are as wide as the ruler says. The canvas is the caller's to set.
func newPicture(c Chart, r ruler) *picture {
	p := &picture{c: c, ruler: r}
	if p.c.Width == 0 {
		p.c.Width = 960
	}
	if p.c.Height == 0 {
		p.c.Height = 320
	}
	p.c.Width, p.c.Height = min(max(p.c.Width, 240), 4096), min(max(p.c.Height, 120), 2160)
	if p.c.Location == nil {
		p.c.Location = time.UTC
	}
	p.prepare()
	p.layout()
	return p
}

// at returns the time of the value at position i.
func (p *picture) at(i int) int64 { return p.c.Start + int64(i)*p.c.Step }

func (p *picture) inRange(i int) bool { return p.at(i) >= p.c.From && p.at(i) <= p.c.To }

// prepare reads the values: what is stacked on what, extremes, colours.
func (p *picture) prepare() {
	series := p.c.Series[:min(len(p.c.Series), maxSeries)]
	graph := make([]saba.GraphSeries, len(series))
	length := 0
	for i, s := range series {
		graph[i] = s.GraphSeries
		length = max(length, min(len(s.Values), maxValues))
	}
	if length > 0 {
		before := p.c.From - p.c.Step // one more on each side, so that lines reach the edges
		p.first = int(min(max(0, (before-p.c.Start+p.c.Step-1)/p.c.Step), int64(length)))
		p.end = int(min(max(0, (p.c.To+p.c.Step-p.c.Start)/p.c.Step+1), int64(length)))
	}
	styles := Styles(graph)
	// Below zero there is a stack of its own: a negative value must not lower the others.
	above, below := make([]float64, length), make([]float64, length)
	zero := make([]float64, length)
	for i, s := range series {
		v := curve{label: clean(s.FullLabel()), stacked: s.Stacked, top: make([]float64, length), base: zero, last: math.NaN(), low: math.NaN(), high: math.NaN()}
		if v.look = slices.Index(p.looks, styles[i]); v.look < 0 {
			v.look = len(p.looks)
			p.looks = append(p.looks, styles[i])
		}
		if s.Stacked {
			v.base = make([]float64, length)
		}
		for j := range length {
			x := math.NaN()
			if j < len(s.Values) && !math.IsInf(s.Values[j], 0) {
				x = s.Values[j]
			}
			v.top[j] = x
			if math.IsNaN(x) {
				continue
			}
			if p.inRange(j) {
				p.data = true
				v.last = x
				if !(v.low <= x) { // in this form it replaces NaN too
					v.low = x
				}
				if !(v.high >= x) {
					v.high = x
				}
			}
			if s.Stacked {
				sum := above
				if x < 0 {
					sum = below
				}
				v.base[j] = sum[j]
				sum[j] = clamp(sum[j]+x, -maxMagnitude, maxMagnitude)
				v.top[j] = sum[j]
			}
		}
		p.curves = append(p.curves, v)
	}
}

// layout finds the place of everything.
func (p *picture) layout() {
	w, h := float64(p.c.Width), float64(p.c.Height)
	p.wide = w >= 640
	header := 48.0
	p.pad = 16
	if !p.wide {
		header, p.pad = 54, 12
	}
	p.plot = box{p.pad, header, w - 2*p.pad, h - header - axisHeight - 6}
	if !p.data {
		return
	}
	switch {
	case p.wide:
		p.legend = box{y: header - 4, h: p.plot.h + axisHeight/2}
		p.legend.w = p.legendWidth(w * 0.4)
		p.legend.x = w - p.pad - p.legend.w
		p.plot.w = p.legend.x - 28 - p.plot.x
	case h >= 180:
		p.legend = box{x: p.pad, w: w - 2*p.pad}
		p.legend.h = rowHeight * float64(p.legendRows(int(clamp((p.plot.h-80)/rowHeight, 1, 4))))
		p.legend.y = h - 6 - p.legend.h
		p.plot.h -= p.legend.h + 2
	}
	low, high, stacked := math.Inf(1), math.Inf(-1), false
	for _, v := range p.curves {
		stacked = stacked || v.stacked
		for j := p.first; j < p.end; j++ {
			if y := v.top[j]; p.inRange(j) && !math.IsNaN(y) {
				low, high = math.Min(low, y), math.Max(high, y)
			}
		}
	}
	p.axis = newAxis(low, high, int(clamp(p.plot.h/40, 2, 8)), p.c.Unit, stacked)
	if near, far := p.reach(low, high); near < low || far > high {
		p.axis = newAxis(near, far, int(clamp(p.plot.h/40, 2, 8)), p.c.Unit, stacked)
	}
	gutter := 0.0
	for _, t := range p.axis.ticks {
		gutter = math.Max(gutter, p.ruler(t.Text, 11, false))
	}
	gutter = math.Min(gutter+8, p.plot.w/3)
	p.plot.x += gutter
	p.plot.w -= gutter
}

// x and y return where a time and a value are drawn.
func (p *picture) x(t int64) float64 {
	return p.plot.x + p.plot.w*(float64(t-p.c.From)/float64(p.c.To-p.c.From))
}

func (p *picture) y(v float64) float64 {
	return p.plot.y + p.plot.h*(1-(v-p.axis.min)/(p.axis.max-p.axis.min))
}

// title returns what the chart is called.
func (p *picture) title() string {
	if title := clean(p.c.Title); title != "" {
		return title
	}
	return "Chart"
}

// when returns the range of time in words.
func (p *picture) when() string { return span(p.c.From, p.c.To, p.c.Location) }

// draw puts everything on the canvas.
func (p *picture) draw() {
	p.rect("surface", none, box{w: float64(p.c.Width), h: float64(p.c.Height)}, 0)
	title, when, right := p.title(), p.when(), float64(p.c.Width)-p.pad
	width := p.ruler(when, 11, false)
	if p.wide {
		free := p.limitWords(p.pad+(right-p.pad)*0.3, right-width-24, 28)
		p.text(p.pad, 28, "title", "", p.ruler.fit(title, 15, true, free-p.pad))
		p.text(right, 28, "", "end", when)
	} else {
		p.text(p.pad, 24, "title", "", p.ruler.fit(title, 15, true, right-p.pad))
		p.text(p.pad, 41, "", "", p.ruler.fit(when, 11, false, right-p.pad))
		p.limitWords(p.pad+width+14, right, 41)
	}
	p.grid()
	if !p.data {
		p.text(p.plot.x+p.plot.w/2, p.plot.y+p.plot.h/2+4, "empty", "middle", "No data in this range")
		p.drawMark()
		return
	}
	p.drawBands()
	p.drawSpans()
	p.drawCurves()
	p.drawLimits()
	p.drawMark()
	p.drawLegend()
}

// describe says in words what the chart shows, for those who do not see it.
func (p *picture) describe() string {
	when := p.when()
	var b strings.Builder
	if p.data {
		fmt.Fprintf(&b, "%s, %d series.", when, len(p.c.Series))
	} else {
		b.WriteString(when + ": no data in this range.")
	}
	for _, l := range p.c.limits() {
		b.WriteString(" " + l.words(p.c.Unit) + ".")
	}
	if p.marked() {
		b.WriteString(" Marked: " + p.clock(p.c.Mark.At) + ".")
	}
	if !p.data {
		return b.String()
	}
	const most = 12
	for i, v := range p.curves {
		if i == most {
			fmt.Fprintf(&b, " And %d more.", len(p.c.Series)-most)
			break
		}
		if math.IsNaN(v.last) {
			fmt.Fprintf(&b, " %s: no data.", v.label)
			continue
		}
		fmt.Fprintf(&b, " %s: last %s, lowest %s, highest %s.", v.label, Format(v.last, p.c.Unit), Format(v.low, p.c.Unit), Format(v.high, p.c.Unit))
	}
	return b.String()
}

// grid writes both axes.
func (p *picture) grid() {
	right, bottom := p.plot.x+p.plot.w, p.plot.y+p.plot.h
	times := timeTicks(p.c.From, p.c.To, int(clamp(p.plot.w/46, 2, 16)), p.c.Location)

	p.open("grid")
	for _, t := range p.axis.ticks {
		p.move(p.plot.x, p.y(t.Value))
		p.across(right)
	}
	for _, t := range times {
		if t.major {
			p.move(p.x(t.time), p.plot.y)
			p.upright(bottom)
		}
	}
	p.close()
	p.open("ground")
	zero := bottom
	if p.data && p.axis.min <= 0 && p.axis.max >= 0 {
		zero = p.y(0)
	}
	p.move(p.plot.x, zero)
	p.across(right)
	for _, t := range times {
		p.move(p.x(t.time), bottom)
		p.notch()
	}
	p.close()

	for _, t := range p.axis.ticks {
		p.text(p.plot.x-8, p.y(t.Value)+4, "", "end", t.Text)
	}
	free := math.Inf(-1) // where the next text may begin
	for _, t := range times {
		half := p.ruler(t.text, 11, t.major) / 2
		x := clamp(p.x(t.time), 4+half, float64(p.c.Width)-4-half)
		if x-half < free {
			continue
		}
		free = x + half + 8
		class := ""
		if t.major {
			class = "major"
		}
		p.text(x, bottom+17, class, "middle", t.text)
	}
}

// drawCurves writes areas and lines in a window that cuts off what is beyond the plot.
func (p *picture) drawCurves() {
	const margin = 3 // half a thick line stays whole at the edges
	p.window(box{p.plot.x - margin, p.plot.y - margin, p.plot.w + 2*margin, p.plot.h + 2*margin})
	for _, stacked := range []bool{true, false} { // lines stand in front of areas
		for _, v := range p.curves {
			if v.stacked == stacked && !math.IsNaN(v.last) {
				p.drawCurve(v)
			}
		}
	}
	p.endWindow()
}

// A run is a stretch of values without a gap, [first, end).
type run struct{ first, end int }

// runs returns the stretches of two and more values of v, and the positions of those alone.
func (p *picture) runs(v curve) (runs []run, alone []int) {
	for i := p.first; i < p.end; i++ {
		if math.IsNaN(v.top[i]) {
			continue
		}
		r := run{first: i}
		for i < p.end && !math.IsNaN(v.top[i]) {
			i++
		}
		if r.end = i; r.end-r.first > 1 {
			runs = append(runs, r)
		} else if p.inRange(r.first) {
			alone = append(alone, r.first)
		}
	}
	return runs, alone
}

// drawCurve writes one series: its areas, the lines on top of them, and what stands alone.
func (p *picture) drawCurve(v curve) {
	runs, alone := p.runs(v)
	p.series(v.look, v.label)
	if v.stacked && len(runs) > 0 {
		p.open("area")
		for _, r := range runs {
			p.polyline(v.top, r)
			for i := r.end - 1; i >= r.first; i-- {
				p.line(p.x(p.at(i)), p.y(v.base[i]))
			}
			p.seal()
		}
		p.close()
	}
	if len(runs) > 0 {
		class := "line"
		switch {
		case v.stacked:
			class = "line edge"
		case p.looks[v.look].Dashed:
			class = "line dashed"
		}
		p.open(class)
		for _, r := range runs {
			p.polyline(v.top, r)
		}
		p.close()
	}
	if len(alone) > 0 {
		class := "line dot"
		if v.stacked {
			class = "line"
		}
		p.open(class)
		for _, i := range alone {
			p.move(p.x(p.at(i)), p.y(v.top[i]))
			if v.stacked {
				p.upright(p.y(v.base[i]))
			} else {
				p.dot()
			}
		}
		p.close()
	}
	p.endSeries()
}

func (p *picture) polyline(values []float64, r run) {
	p.move(p.x(p.at(r.first)), p.y(values[r.first]))
	for i := r.first + 1; i < r.end; i++ {
		p.line(p.x(p.at(i)), p.y(values[i]))
	}
}

// drawLegend writes what each colour stands for.
func (p *picture) drawLegend() {
	switch {
	case p.legend.h == 0:
	case p.wide:
		p.legendTable()
	default:
		p.legendText()
	}
}

// A table is what the legend says beside the labels.
type table struct {
	cells  [][]string // a row a series that has one, then a column of columns each
	widths []float64  // of the columns, in pixels
}

// columns are the headings of the legend's table.
var columns = []string{"last", "min", "max"}

const (
	columnGap = 14.0 // before each column
	keyWidth  = 18.0 // of the coloured mark and what follows it
)

// legendWidth fills p.table, and returns the width that the legend's table takes, at most
// most where labels are long.
func (p *picture) legendWidth(most float64) float64 {
	rows := int(p.legend.h/rowHeight) - 1 // one is the heading
	if rows < len(p.c.Series) {
		rows-- // one says how many more
	}
	for _, h := range columns {
		p.table.widths = append(p.table.widths, p.ruler(h, 11, false))
	}
	label := 60.0
	for _, v := range p.curves[:min(len(p.curves), max(rows, 0))] {
		cells := []string{Format(v.last, p.c.Unit), Format(v.low, p.c.Unit), Format(v.high, p.c.Unit)}
		p.table.cells = append(p.table.cells, cells)
		for j, text := range cells {
			p.table.widths[j] = math.Max(p.table.widths[j], p.ruler(text, 11, false))
		}
		label = math.Max(label, p.ruler(v.label, 11, false))
	}
	width := keyWidth + label
	for _, w := range p.table.widths {
		width += columnGap + w
	}
	return math.Min(width+1, most)
}

// legendTable writes a row a series, with the last, lowest and highest value.
func (p *picture) legendTable() {
	rights := make([]float64, len(columns)) // right edges
	right := p.legend.x + p.legend.w
	for j := len(columns) - 1; j >= 0; j-- {
		rights[j] = right
		right -= p.table.widths[j] + columnGap
	}
	room := right - p.legend.x - keyWidth
	y := p.legend.y + 12
	for j, h := range columns {
		p.text(rights[j], y, "", "end", h)
	}
	for i, cells := range p.table.cells {
		y += rowHeight
		p.key(p.legend.x, y, p.curves[i])
		p.text(p.legend.x+keyWidth, y, "", "", p.ruler.fit(p.curves[i].label, 11, false, room))
		for j, text := range cells {
			class := "value"
			if j > 0 {
				class = ""
			}
			p.text(rights[j], y, class, "end", text)
		}
	}
	if more := len(p.c.Series) - len(p.table.cells); more > 0 {
		p.text(p.legend.x+keyWidth, y+rowHeight, "", "", fmt.Sprintf("… and %d more", more))
	}
}

// An entry is a piece of a legend below the chart.
type entry struct {
	label, value string
	row          int
	x, at        float64 // where it begins, and where the value does
}

// legendRows fills p.entries, label and last value of one series after the other, and
// returns the number of lines that they take, at most most. What does not fit is counted by
// the last entry, which is the only one without a value.
func (p *picture) legendRows(most int) int {
	const key, blank, gap = 14.0, 5.0, 14.0
	right := p.legend.x + p.legend.w
	x, row := p.legend.x, 0
	for i, v := range p.curves {
		e := entry{label: p.ruler.fit(v.label, 11, false, p.legend.w*0.55), value: Format(v.last, p.c.Unit)}
		valueWidth := p.ruler(e.value, 11, false)
		width := key + p.ruler(e.label, 11, false) + blank + valueWidth
		room := right
		if row == most-1 && i < len(p.c.Series)-1 { // keep some for the count of the others
			room -= gap + p.ruler("… and 999 more", 11, false)
		}
		if x > p.legend.x && x+width > room {
			if row == most-1 {
				break
			}
			x, row = p.legend.x, row+1
		}
		e.row, e.x, e.at = row, x, x+width-valueWidth
		p.entries = append(p.entries, e)
		x += width + gap
	}
	if more := len(p.c.Series) - len(p.entries); more > 0 {
		p.entries = append(p.entries, entry{label: fmt.Sprintf("… and %d more", more), row: row, x: x - key})
	}
	return row + 1
}

// legendText writes the entries of a legend below the chart.
func (p *picture) legendText() {
	for i, e := range p.entries {
		y := p.legend.y + 13 + rowHeight*float64(e.row)
		p.text(e.x+14, y, "", "", e.label)
		if e.value != "" {
			p.key(e.x, y, p.curves[i])
			p.text(e.at, y, "value", "", e.value)
		}
	}
}

// key writes the coloured mark of a series beside its label.
func (p *picture) key(x, baseline float64, v curve) {
	if v.stacked {
		p.rect("key", v.look, box{x, baseline - 8, 9, 9}, 2)
		return
	}
	if p.looks[v.look].Dashed {
		p.rect("key", v.look, box{x, baseline - 5, 4, 3}, 1.5)
		p.rect("key", v.look, box{x + 6, baseline - 5, 4, 3}, 1.5)
		return
	}
	p.rect("key", v.look, box{x, baseline - 5, 10, 3}, 1.5)
}
