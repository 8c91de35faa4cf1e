package chart

import (
	"fmt"
	"math"
	"testing"

	"github.com/saba-monitor/saba"
)

// linear returns the red, green and blue light of a CSS colour, 0 to 1 each.
func linear(t *testing.T, css string) [3]float64 {
	t.Helper()
	var r, g, b uint8
	if n, err := fmt.Sscanf(css, "#%02x%02x%02x", &r, &g, &b); n != 3 || err != nil || len(css) != 7 {
		t.Fatalf("colour %q is not of the form #rrggbb", css)
	}
	var light [3]float64
	for i, c := range []uint8{r, g, b} {
		light[i] = math.Pow((float64(c)/255+0.055)/1.055, 2.4)
	}
	return light
}

// contrast is that of WCAG 2: from 1 to 21.
func contrast(t *testing.T, a, b string) float64 {
	luminance := func(css string) float64 {
		l := linear(t, css)
		return 0.2126*l[0] + 0.7152*l[1] + 0.0722*l[2]
	}
	x, y := luminance(a)+0.05, luminance(b)+0.05
	return math.Max(x, y) / math.Min(x, y)
}

func TestColorsCanBeSeen(t *testing.T) {
	for _, tt := range []struct {
		what   string
		colors []Color
		least  float64
	}{
		{"series", Palette, 3},
		{"text", []Color{ink, muted}, 4.5},
	} {
		for _, c := range tt.colors {
			if got := contrast(t, c.Light, Surface.Light); got < tt.least {
				t.Errorf("%s: %s on light has contrast %.2f, want %v", tt.what, c.Light, got, tt.least)
			}
			if got := contrast(t, c.Dark, Surface.Dark); got < tt.least {
				t.Errorf("%s: %s on dark has contrast %.2f, want %v", tt.what, c.Dark, got, tt.least)
			}
		}
	}
}

func TestPaletteHasNoColorTwice(t *testing.T) {
	if len(Palette) < 12 {
		t.Errorf("the palette has %d colours, want 12 or more", len(Palette))
	}
	seen := map[string]bool{}
	for _, c := range Palette {
		if seen[c.Light] || seen[c.Dark] {
			t.Errorf("%v is there twice", c)
		}
		seen[c.Light], seen[c.Dark] = true, true
	}
}

func TestStyles(t *testing.T) {
	series := func(pairs ...string) []saba.GraphSeries {
		var all []saba.GraphSeries
		for i := 0; i < len(pairs); i += 3 {
			all = append(all, saba.GraphSeries{Metric: pairs[i], Group: pairs[i+1], Label: pairs[i+2]})
		}
		return all
	}
	var many []saba.GraphSeries
	for i := range 2*len(Palette) + 1 {
		many = append(many, saba.GraphSeries{Metric: fmt.Sprint(i), Label: fmt.Sprint(i)})
	}
	for name, tt := range map[string]struct {
		series []saba.GraphSeries
		want   map[int]Style
	}{
		"known metrics have their colour": {series("cpu.idle.percentage", "", "idle", "cpu.user.percentage", "", "user"), map[int]Style{0: {Color: idle}, 1: {Color: blue}}},
		"others have those that are left": {series("memory.used", "", "used", "memory.huge", "", "huge"), map[int]Style{0: {Color: blue}, 1: {Color: orange}}},
		"a size is its use, dashed": {series("filesystem.a.used", "a", "used", "filesystem.a.size", "a", "size", "filesystem.b.used", "b", "used", "filesystem.b.size", "b", "size"),
			map[int]Style{0: {Color: blue}, 1: {Color: blue, Dashed: true}, 2: {Color: orange}, 3: {Color: orange, Dashed: true}}},
		"a size without a use is a series": {series("filesystem.a.size", "a", "size"), map[int]Style{0: {Color: blue}}},
		"the second time round is dashed":  {many, map[int]Style{0: {Color: blue}, 12: {Color: blue, Dashed: true}, 24: {Color: blue}}},
		"none":                             {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := Styles(tt.series)
			if len(got) != len(tt.series) {
				t.Fatalf("%d styles of %d series", len(got), len(tt.series))
			}
			for i, want := range tt.want {
				if got[i] != want {
					t.Errorf("series %d is %v, want %v", i, got[i], want)
				}
			}
		})
	}
}
