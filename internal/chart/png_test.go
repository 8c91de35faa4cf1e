package chart

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func drawPNG(t testing.TB, c Chart) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := PNG(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(t testing.TB, b []byte) *image.Paletted {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	p, ok := m.(*image.Paletted)
	if !ok {
		t.Fatalf("the picture is a %T, want one byte a pixel", m)
	}
	return p
}

// A processor may round a pixel otherwise than the one that drew the golden pictures; a shape that moved by a pixel is more.
func TestPNGIsTheGoldenOne(t *testing.T) {
	all := charts()
	for _, name := range []string{"limits-small", "limits-below", "limits-far", "limits-many", "limits-jobs", "limits-zero", "limits-cold",
		"stacked-gaps", "cpu-dark", "hostile", "no-data", "one-point", "scattered", "negative-stack", "huge"} {
		t.Run(name, func(t *testing.T) {
			c := all[name]
			c.Width, c.Height, c.Density = 480, 240, 2.5
			b := drawPNG(t, c)
			file := filepath.Join("testdata", name+".png")
			if *update {
				if err := os.WriteFile(file, b, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, want := decode(t, b), decode(t, golden)
			if got.Bounds() != want.Bounds() {
				t.Fatalf("size %v, want %v", got.Bounds(), want.Bounds())
			}
			if n := different(got, want); n > 50 {
				t.Errorf("%d pixels are not those of %s; look at both, and if the new one is right: go test ./internal/chart -update", n, file)
			}
		})
	}
}

// different counts the pixels that a reader sees to differ.
func different(a, b *image.Paletted) (n int) {
	near := [colorsOfPNG][colorsOfPNG]bool{}
	for i, x := range a.Palette {
		for j, y := range b.Palette {
			near[i][j] = distance(x, y) <= 12
		}
	}
	for i := range a.Pix {
		if !near[a.Pix[i]][b.Pix[i]] {
			n++
		}
	}
	return n
}

// distance is the largest difference of red, green and blue, of 255.
func distance(a, b color.Color) float64 {
	r, g, bl, _ := a.RGBA()
	R, G, B, _ := b.RGBA()
	d := 0.0
	for _, p := range [][2]uint32{{r, R}, {g, G}, {bl, B}} {
		d = math.Max(d, math.Abs(float64(p[0]>>8)-float64(p[1]>>8)))
	}
	return d
}

func TestEqualChartsAreEqualPNGs(t *testing.T) {
	c := charts()["limits-many"]
	first := drawPNG(t, c)
	for range 3 {
		if !bytes.Equal(drawPNG(t, c), first) {
			t.Fatal("the same chart became another picture")
		}
	}
}

func TestPNGSizes(t *testing.T) {
	for name, tt := range map[string]struct {
		width, height int
		density       float64
		wantW, wantH  int
	}{
		"two pixels a pixel by default":    {600, 300, 0, 1200, 600},
		"as asked":                         {480, 240, 2.5, 1200, 600},
		"no more than three":               {480, 240, 100, 1440, 720},
		"no less than one":                 {480, 240, 0.01, 480, 240},
		"what is no density is the usual":  {480, 240, math.NaN(), 960, 480},
		"9 Mi pixels at most":              {2000, 1500, 3, 3547, 2660},
		"a small one is not below its own": {1, 1, 2, 480, 240},
	} {
		t.Run(name, func(t *testing.T) {
			m := decode(t, drawPNG(t, Chart{From: noon, To: noon + 60, Width: tt.width, Height: tt.height, Density: tt.density}))
			if got := m.Bounds().Size(); got != image.Pt(tt.wantW, tt.wantH) {
				t.Errorf("%v pixels, want %d×%d", got, tt.wantW, tt.wantH)
			}
		})
	}
}

func TestPNGFails(t *testing.T) {
	if err := PNG(io.Discard, Chart{From: noon, To: noon}); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("an empty range: error %v, want ErrInvalid", err)
	}
	if err := PNG(brokenPipe{}, hour("x", saba.UnitFloat)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

// A gap is not drawn over: between two stretches of a line there is nothing but the grid.
func TestPNGKeepsGaps(t *testing.T) {
	c := hour("x", saba.UnitFloat, line("custom.a.b", "b", without(wave(61, 5, 1, 1), 20, 40)))
	c.Width, c.Height, c.Density = 480, 240, 2
	p := newPicture(c, textWidth)
	m := decode(t, drawPNG(t, c))
	colored := func(minute int64) bool {
		x := int(p.x(c.From+60*minute) * 2)
		for y := int(p.plot.y * 2); y < int((p.plot.y+p.plot.h)*2)-4; y++ {
			r, _, b, _ := m.At(x, y).RGBA()
			if b>>8 > r>>8+60 { // blue
				return true
			}
		}
		return false
	}
	for minute, want := range map[int64]bool{10: true, 25: false, 30: false, 35: false, 50: true} {
		if got := colored(minute); got != want {
			t.Errorf("minute %d: line %v, want %v", minute, got, want)
		}
	}
}

func TestPNGLooksLikeTheStyleSheet(t *testing.T) {
	for class, s := range strokes {
		rule := "." + strings.ReplaceAll(class, "line ", "") + "{"
		css := rules + more
		i := strings.Index(css, rule)
		if class == "grid" || class == "ground" {
			continue // 1, the default
		}
		if i < 0 {
			t.Errorf("the style sheet has no %s", rule)
			continue
		}
		body, _, _ := strings.Cut(css[i:], "}")
		if want := fmt.Sprintf("stroke-width:%v", s.width); !strings.Contains(body, want) {
			t.Errorf("%s of the style sheet has no %s", body, want)
		}
		if want := fmt.Sprintf("stroke-dasharray:%v %v", s.on, s.off); s.on > 0 && !strings.Contains(body, want) {
			t.Errorf("%s of the style sheet has no %s", body, want)
		}
	}
	for class, o := range opacities {
		if want := "." + class + "{fill:"; !strings.Contains(rules+more, want) || !strings.Contains(rules+more, fmt.Sprintf("fill-opacity:%s", strings.TrimPrefix(fmt.Sprint(o), "0"))) {
			t.Errorf("the style sheet has no %s with an opacity of %v", want, o)
		}
	}
}

func TestLettersThatNoFontHas(t *testing.T) {
	p, err := newPens()
	if err != nil {
		t.Fatal(err)
	}
	width := func(s string) float64 { return p.width(s, 11, false) }
	if got, want := width("本番"), width("…"); got != want {
		t.Errorf("two letters that the font has not are %v pixels wide, want one ellipsis, %v", got, want)
	}
	if got, want := width("a本番b"), width("a…b"); got != want {
		t.Errorf("amid others they are %v pixels wide, want %v", got, want)
	}
	if blank := width("1\u202f000") - width("1000"); blank < 1 || blank > 4 {
		t.Errorf("the blank between thousands is %v pixels wide", blank)
	}
	for _, s := range []string{"−1", "–", "µs", "∞", "Größe", "Δ", "ж"} { // what values and other languages need
		for _, r := range s {
			if g, err := p.regular.GlyphIndex(&p.buffer, r); err != nil || g == 0 {
				t.Errorf("the font has no %q: %v", r, err)
			}
		}
	}
}

func TestAxesReachForLimits(t *testing.T) {
	limit := func(v float64, below bool) Limit { return Limit{v, saba.CheckCritical, below} }
	for name, tt := range map[string]struct {
		limits    []Limit
		low, high float64
		want      [2]float64
	}{
		"one in the range changes nothing":               {[]Limit{limit(50, false)}, 0, 90, [2]float64{0, 90}},
		"one above is shown, with room":                  {[]Limit{limit(90, false)}, 0, 60, [2]float64{0, 97.5}},
		"one below is shown, with room":                  {[]Limit{limit(-24, true)}, -10, 0, [2]float64{-26, 0}},
		"one far away is not":                            {[]Limit{limit(500, false)}, 0, 60, [2]float64{0, 60}},
		"beside nothing but zero it is near":             {[]Limit{limit(12, false)}, 0, 0, [2]float64{0, 13}},
		"what is never below zero has no room there":     {[]Limit{limit(0, true)}, 1, 5, [2]float64{0, 5}},
		"no number is no limit":                          {[]Limit{limit(math.NaN(), false), limit(math.Inf(1), false)}, 0, 5, [2]float64{0, 5}},
		"nor is what is not bad":                         {[]Limit{{Value: 7, Bad: saba.CheckOK}}, 0, 5, [2]float64{0, 5}},
		"the nearer of two is shown although one is far": {[]Limit{limit(12, false), limit(1200, false)}, 0, 10, [2]float64{0, 13}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &picture{c: Chart{Limits: tt.limits}}
			near, far := p.reach(tt.low, tt.high)
			if got := [2]float64{near, far}; got != tt.want {
				t.Errorf("reach(%v, %v) = %v, want %v", tt.low, tt.high, got, tt.want)
			}
		})
	}
}

// BenchmarkPNG draws pictures of 1200×600 pixels: one line with limits, 9 stacked areas, 30 lines.
func BenchmarkPNG(b *testing.B) {
	all := charts()
	for _, name := range []string{"limits-small", "cpu-light", "limits-many"} {
		c := all[name]
		c.Width, c.Height, c.Density = 480, 240, 2.5
		b.Run(fmt.Sprintf("%d-series", len(c.Series)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := PNG(io.Discard, c); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(drawPNG(b, c)))/1024, "KiB/picture")
		})
	}
}
