package main

import (
	"fmt"
	"math"
	"strings"
)

// draw returns an SVG of what grows with the number of hosts: a panel for each figure, with a point for each size.
func draw(all []growth, machine string) string {
	const width, height, left, top, gap = 240, 160, 60, 50, 90
	panels := []struct {
		name, unit string
		value      func(growth) float64
	}{
		{"CPU at the pace of agents", "% of a core", func(g growth) float64 { return g.core }},
		{"Resident memory", "MiB", func(g growth) float64 { return g.resident }},
		{"List of hosts, latest values", "ms of CPU", func(g growth) float64 { return g.list.cpu.Seconds() * 1000 }},
	}
	most := 0
	for _, g := range all {
		most = max(most, g.hosts)
	}
	var b strings.Builder
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, s)
	}
	line := func(color string, width float64, points ...[2]float64) {
		var at []string
		for _, p := range points {
			at = append(at, fmt.Sprintf("%.1f,%.1f", p[0], p[1]))
		}
		fmt.Fprintf(&b, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"%g\"/>\n", strings.Join(at, " "), color, width)
	}
	total := left + len(panels)*(width+gap) - gap + 30
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n", total, top+height+60)
	fmt.Fprintf(&b, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n")
	for i, p := range panels {
		x0, y0 := float64(left+i*(width+gap)), float64(top+height)
		highest := 0.0
		for _, g := range all {
			highest = max(highest, p.value(g))
		}
		ceiling := roundUp(highest)
		at := func(hosts int, v float64) [2]float64 {
			return [2]float64{x0 + width*float64(hosts)/float64(most), y0 - height*v/ceiling}
		}
		text(x0, top-22, "start", p.name+", "+p.unit)
		for k := range 5 {
			v := ceiling * float64(k) / 4
			line("#ddd", 1, at(0, v), at(most, v))
			text(x0-6, at(0, v)[1]+4, "end", fmt.Sprintf("%g", v))
		}
		var points [][2]float64
		for _, g := range all {
			points = append(points, at(g.hosts, p.value(g)))
			text(at(g.hosts, 0)[0], y0+18+float64(14*(len(points)%2)), "middle", fmt.Sprint(g.hosts))
		}
		line("#0b6e99", 2, points...)
		for j, at := range points {
			fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"#0b6e99\"/>\n", at[0], at[1])
			text(at[0], at[1]-9, "middle", fmt.Sprintf("%.3g", p.value(all[j])))
		}
		text(x0+width/2, y0+50, "middle", "hosts")
	}
	text(float64(total-10), top+height+55, "end", machine)
	b.WriteString("</svg>\n")
	return b.String()
}

// roundUp returns the next number that begins with 1, 2, 4 or 8 and goes on with zeros.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 4, 8} {
		if v <= n*ten {
			return n * ten
		}
	}
	return 10 * ten
}
