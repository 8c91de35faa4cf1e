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

// oklab returns a colour on the axes of OKLab (lightness, green to red, blue to yellow), in which
// distances are about as large as they look.
func oklab(l [3]float64) [3]float64 {
	cone := func(r, g, b float64) float64 { return math.Cbrt(math.Max(r*l[0]+g*l[1]+b*l[2], 0)) }
	x, y, z := cone(0.4122, 0.5363, 0.0514), cone(0.2119, 0.6807, 0.1074), cone(0.0883, 0.2817, 0.6300)
	return [3]float64{0.2105*x + 0.7936*y - 0.0041*z, 1.9780*x - 2.4286*y + 0.4506*z, 0.0259*x + 0.7828*y - 0.8087*z}
}

func TestNeighboursInThePaletteStayApart(t *testing.T) {
	// How a colour looks without one kind of cone: the matrices of Machado, Oliveira and
	// Fernandes (2009) for the full loss, in linear light.
	for eyes, m := range map[string][3][3]float64{
		"all cones":      {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		"no green cones": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
		"no red cones":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	} {
		seen := func(css string) [3]float64 {
			l, out := linear(t, css), [3]float64{}
			for i, row := range m {
				out[i] = math.Max(row[0]*l[0]+row[1]*l[1]+row[2]*l[2], 0)
			}
			return oklab(out)
		}
		apart := func(a, b string) {
			x, y := seen(a), seen(b)
			if d := math.Hypot(math.Hypot(x[0]-y[0], x[1]-y[1]), x[2]-y[2]); d < 0.09 {
				t.Errorf("with %s, %s and %s are only %.3f apart", eyes, a, b, d)
			}
		}
		for i := range len(Palette) - 1 {
			apart(Palette[i].Light, Palette[i+1].Light)
			apart(Palette[i].Dark, Palette[i+1].Dark)
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
