package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
)

// SVG writes c as an SVG document of its own: title, axes, lines and stacked areas, and a legend
// with the last, lowest and highest value of each series.
//
// The document needs nothing from outside and holds no script; all its style is one <style>
// element. A value alone between gaps is a dot, or a thin bar where it is stacked. Infinite
// values are gaps. No series, or none with a value in the range, is a chart too: it says that
// there is no data. The error matches saba.ErrInvalid when To is not after From, a time is beyond
// the year 5138, or Step is not above 0 although there are values; any other is w's.
func SVG(w io.Writer, c Chart) error {
	if err := c.check(); err != nil {
		return err
	}
	p := newPicture(c, textWidth)
	s := &svg{p: p}
	p.canvas = s
	s.document()
	if _, err := w.Write(s.Bytes()); err != nil {
		return fmt.Errorf("write a chart: %w", err)
	}
	return nil
}

// An svg is a canvas whose Buffer takes the document. Looks are the classes s0, s1… in it.
type svg struct {
	bytes.Buffer
	p *picture
}

func (s *svg) document() {
	c := s.p.c
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" class="saba-chart" role="img" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n", c.Width, c.Height, c.Width, c.Height)
	s.element("title", s.p.title())
	s.element("desc", s.p.describe())
	s.styleSheet()
	s.p.draw()
	s.WriteString("</svg>\n")
}

// rules are the style of every chart, and more those of one with limits or a mark. png.go has the same look.
const rules = `.saba-chart{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
.saba-chart text{fill:var(--muted)}.saba-chart .title{font-size:15px;font-weight:600;fill:var(--ink)}.saba-chart .value{fill:var(--ink)}.saba-chart .major{font-weight:600}.saba-chart .empty{font-size:13px}
.saba-chart .surface{fill:var(--surface)}.saba-chart .grid,.saba-chart .ground{fill:none;stroke:var(--grid);shape-rendering:crispEdges}.saba-chart .ground{stroke:var(--ground)}
.saba-chart .line{fill:none;stroke:currentColor;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}.saba-chart .dashed{stroke-width:1.5;stroke-dasharray:5 4}.saba-chart .edge{stroke-width:1}.saba-chart .dot{stroke-width:5}
.saba-chart .area{fill:currentColor;fill-opacity:.8}.saba-chart .key{fill:currentColor}
`

const more = `.saba-chart .warn{--tone:var(--warn)}.saba-chart .bad{--tone:var(--bad)}
.saba-chart .band{fill:var(--tone);fill-opacity:.09}.saba-chart .limit{fill:none;stroke:var(--tone);stroke-width:1;stroke-dasharray:4 3;shape-rendering:crispEdges}
.saba-chart .mark{fill:none;stroke:var(--tone,var(--ink));stroke-width:1;shape-rendering:crispEdges}.saba-chart .head{fill:var(--tone,var(--ink))}
.saba-chart .halo{fill:var(--surface);fill-opacity:.8}.saba-chart .note{fill:var(--tone,var(--ink));font-weight:600}
`

// styleSheet writes the only style of the document.
func (s *svg) styleSheet() {
	s.WriteString("<style>\n" + rules)
	noted := len(s.p.c.Limits)+len(s.p.c.Spans) > 0 || s.p.c.Mark != nil
	if noted {
		s.WriteString(more)
	}
	for i := range s.p.looks {
		fmt.Fprintf(s, ".saba-chart .s%d{color:var(--s%d)}", i, i)
	}
	if len(s.p.looks) > 0 {
		s.WriteByte('\n')
	}
	colors := func(of func(Color) string) {
		fmt.Fprintf(s, ".saba-chart{--surface:%s;--ink:%s;--muted:%s;--grid:%s;--ground:%s", of(Surface), of(ink), of(muted), of(faint), of(ground))
		if noted {
			fmt.Fprintf(s, ";--warn:%s;--bad:%s", of(warn), of(bad))
		}
		for i, l := range s.p.looks {
			fmt.Fprintf(s, ";--s%d:%s", i, of(l.Color))
		}
		s.WriteString("}\n")
	}
	light, dark := func(c Color) string { return c.Light }, func(c Color) string { return c.Dark }
	switch s.p.c.Theme {
	case Light:
		colors(light)
	case Dark:
		colors(dark)
	default:
		colors(light)
		s.WriteString("@media (prefers-color-scheme:dark){\n")
		colors(dark)
		s.WriteString("}\n")
	}
	s.WriteString("</style>\n")
}

func (s *svg) open(class string) {
	s.WriteString(`<path class="` + class + `" d="`)
}

func (s *svg) close() { s.WriteString("\"/>\n") }

func (s *svg) move(x, y float64) { s.point('M', x, y) }

func (s *svg) line(x, y float64) { s.point('L', x, y) }

func (s *svg) point(command byte, x, y float64) {
	s.WriteByte(command)
	s.coord(x)
	s.WriteByte(' ')
	s.coord(y)
}

func (s *svg) across(x float64) {
	s.WriteByte('H')
	s.coord(x)
}

func (s *svg) upright(y float64) {
	s.WriteByte('V')
	s.coord(y)
}

func (s *svg) notch() { s.WriteString("v4") }

func (s *svg) dot() { s.WriteString("h0") }

func (s *svg) seal() { s.WriteByte('Z') }

func (s *svg) series(look int, label string) {
	fmt.Fprintf(s, `<g class="s%d">`, look)
	s.element("title", label)
}

func (s *svg) endSeries() { s.WriteString("</g>\n") }

func (s *svg) window(b box) {
	s.WriteString(`<svg`)
	for i, v := range []float64{b.x, b.y, b.w, b.h} {
		s.WriteString([]string{` x="`, ` y="`, ` width="`, ` height="`}[i])
		s.coord(v)
		s.WriteByte('"')
	}
	s.WriteString(` viewBox="`)
	for i, v := range []float64{b.x, b.y, b.w, b.h} {
		if i > 0 {
			s.WriteByte(' ')
		}
		s.coord(v)
	}
	s.WriteString("\">\n")
}

func (s *svg) endWindow() { s.WriteString("</svg>\n") }

// coord writes pixels with at most one decimal. What is far away is far enough away.
func (s *svg) coord(v float64) {
	n := int64(math.Floor(clamp(v, -1e5, 1e5)*10 + 0.5))
	b := s.AvailableBuffer()
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/10, 10)
	if n%10 != 0 {
		b = append(b, '.', byte('0'+n%10))
	}
	s.Write(b)
}

func (s *svg) rect(class string, look int, b box, radius float64) {
	s.WriteString(`<rect class="` + class)
	if look != none {
		s.WriteString(" s" + strconv.Itoa(look))
	}
	s.WriteByte('"')
	for i, v := range []float64{b.x, b.y, b.w, b.h, radius} {
		if v != 0 {
			s.WriteString([]string{` x="`, ` y="`, ` width="`, ` height="`, ` rx="`}[i])
			s.coord(v)
			s.WriteByte('"')
		}
	}
	s.WriteString("/>\n")
}

func (s *svg) text(x, baseline float64, class, anchor, text string) {
	s.WriteString(`<text x="`)
	s.coord(x)
	s.WriteString(`" y="`)
	s.coord(baseline)
	if class != "" {
		s.WriteString(`" class="` + class)
	}
	if anchor != "" {
		s.WriteString(`" text-anchor="` + anchor)
	}
	s.WriteString(`">`)
	_ = xml.EscapeText(s, []byte(text)) // a Buffer takes everything
	s.WriteString("</text>\n")
}

// element writes an element that holds text alone.
func (s *svg) element(name, text string) {
	s.WriteString("<" + name + ">")
	_ = xml.EscapeText(s, []byte(text)) // a Buffer takes everything
	s.WriteString("</" + name + ">\n")
}
