package chart

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"strconv"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// PNG writes c as a PNG: what SVG draws, for readers that show no SVG, such as chats and mail. Auto is Light. Each pixel of c is
// Density pixels of the picture wide and high.
//
// The fonts are in the binary, and have Latin, Greek and Cyrillic letters; a run of other characters becomes one "…". The
// errors are those of SVG.
func PNG(w io.Writer, c Chart) error {
	if err := c.check(); err != nil {
		return err
	}
	pen, err := newPens()
	if err != nil {
		return err
	}
	p := newPicture(c, pen.width)
	b := newBitmap(p, pen)
	p.canvas = b
	p.draw()
	if b.err != nil {
		return fmt.Errorf("draw a chart: %w", b.err)
	}
	// Pictures are drawn on demand and sent once or twice: half the size is not worth twice the time.
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, paletted(b.img)); err != nil {
		return fmt.Errorf("write a chart: %w", err)
	}
	return nil
}

const (
	usualDensity = 2
	maxDensity   = 3
	maxPixels    = 9 << 20 // as many as the largest chart has
)

// density returns how many pixels of the bitmap are one of the chart.
func (c *Chart) density() float64 {
	d := c.Density
	if d == 0 || math.IsNaN(d) {
		d = usualDensity
	}
	most := math.Sqrt(maxPixels / (float64(c.Width) * float64(c.Height)))
	return math.Max(1, math.Min(clamp(d, 1, maxDensity), most))
}

// A stroke is how a path is drawn, in pixels of the chart.
type stroke struct {
	width    float64
	on, off  float64 // lengths of dashes and gaps; 0 for none
	straight bool    // goes along the axes: as sharp as pixels are
}

// strokes are the lines of the style sheet in svg.go.
var strokes = map[string]stroke{
	"grid":        {width: 1, straight: true},
	"ground":      {width: 1, straight: true},
	"limit":       {width: 1, on: 4, off: 3, straight: true},
	"mark":        {width: 1, straight: true},
	"line":        {width: 1.75},
	"line dashed": {width: 1.5, on: 5, off: 4},
	"line edge":   {width: 1},
	"line dot":    {width: 5},
}

// opacities are those of what is filled, where it is not 1.
var opacities = map[string]float64{"area": 0.8, "band": 0.09, "halo": 0.8}

// A point is a place in the bitmap.
type point struct{ x, y float64 }

// A bitmap is a canvas of pixels.
type bitmap struct {
	p      *picture
	img    *image.RGBA
	scale  float64         // pixels of img for one of the chart
	clip   image.Rectangle // what may be drawn on
	pens   *pens
	colors []color.RGBA // of looks
	look   int          // of the series that is drawn; none outside of one
	class  string       // of the path that is open
	pieces [][]point    // of the path
	pen    coverage
	err    error // the first
}

func newBitmap(p *picture, pens *pens) *bitmap {
	d := p.c.density()
	b := &bitmap{p: p, scale: d, pens: pens, look: none}
	b.img = image.NewRGBA(image.Rect(0, 0, int(math.Round(float64(p.c.Width)*d)), int(math.Round(float64(p.c.Height)*d))))
	b.clip = b.img.Rect
	b.pen = newCoverage(b.img.Rect)
	for _, l := range p.looks {
		b.colors = append(b.colors, b.rgb(l.Color))
	}
	return b
}

// rgb returns a colour in the chart's theme.
func (b *bitmap) rgb(c Color) color.RGBA {
	text := c.Light
	if b.p.c.Theme == Dark {
		text = c.Dark
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "#"), 16, 32)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("colour %q: %w", text, err)
	}
	return color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255}
}

// color returns the colour of a class, or of a look if it has one.
func (b *bitmap) color(class string, look int) color.RGBA {
	if look != none {
		return b.colors[look]
	}
	kind, tone, _ := strings.Cut(class, " ")
	switch tone {
	case "warn":
		return b.rgb(warn)
	case "bad":
		return b.rgb(bad)
	}
	switch kind {
	case "surface", "halo":
		return b.rgb(Surface)
	case "grid":
		return b.rgb(faint)
	case "ground":
		return b.rgb(ground)
	case "title", "value", "note", "mark", "head":
		return b.rgb(ink)
	}
	return b.rgb(muted)
}

func opacity(class string) float64 {
	kind, _, _ := strings.Cut(class, " ")
	if o, ok := opacities[kind]; ok {
		return o
	}
	return 1
}

func (b *bitmap) rect(class string, look int, r box, radius float64) {
	from, to := point{r.x * b.scale, r.y * b.scale}, point{(r.x + r.w) * b.scale, (r.y + r.h) * b.scale}
	ink := b.color(class, look)
	if radius == 0 { // large, and on whole pixels
		area := image.Rect(int(math.Round(from.x)), int(math.Round(from.y)), int(math.Round(to.x)), int(math.Round(to.y)))
		draw.Draw(b.img, area.Intersect(b.clip), image.NewUniform(translucent(ink, opacity(class))), image.Point{}, draw.Over)
		return
	}
	b.pen.roundRect(b.clip, from, to, radius*b.scale)
	b.pen.paint(b.img, ink, opacity(class))
}

func (b *bitmap) text(x, baseline float64, class, anchor, text string) {
	size, strong := 11.0, false
	kind, _, _ := strings.Cut(class, " ")
	switch kind {
	case "title":
		size, strong = 15, true
	case "empty":
		size = 13
	case "major", "note":
		strong = true
	}
	switch anchor {
	case "middle":
		x -= b.pens.width(text, size, strong) / 2
	case "end":
		x -= b.pens.width(text, size, strong)
	}
	ink := image.NewUniform(b.color(class, none))
	dot := fixed.Point26_6{X: fixed.Int26_6(math.Round(x * b.scale * 64)), Y: fixed.Int26_6(math.Round(baseline*b.scale)) << 6} // letters stand on whole pixels
	_, err := b.pens.spell(text, size*b.scale, strong, func(face font.Face, r rune, at fixed.Int26_6) {
		if box, mask, from, _, ok := face.Glyph(fixed.Point26_6{X: dot.X + at, Y: dot.Y}, r); ok {
			draw.DrawMask(b.img, box.Intersect(b.clip), ink, image.Point{}, mask, from.Add(box.Intersect(b.clip).Min.Sub(box.Min)), draw.Over)
		}
	})
	if b.err == nil {
		b.err = err
	}
}

func (b *bitmap) open(class string) { b.class, b.pieces = class, b.pieces[:0] }

func (b *bitmap) move(x, y float64) { b.pieces = append(b.pieces, []point{b.place(x, y)}) }

func (b *bitmap) line(x, y float64) {
	last := &b.pieces[len(b.pieces)-1]
	*last = append(*last, b.place(x, y))
}

// place returns where a pixel of the chart is in the bitmap. What is far away is far enough away.
func (b *bitmap) place(x, y float64) point {
	const far = 4096
	return point{clamp(x*b.scale, -far, float64(b.img.Rect.Max.X)+far), clamp(y*b.scale, -far, float64(b.img.Rect.Max.Y)+far)}
}

func (b *bitmap) last() point {
	piece := b.pieces[len(b.pieces)-1]
	return piece[len(piece)-1]
}

func (b *bitmap) across(x float64)  { b.line(x, b.last().y/b.scale) }
func (b *bitmap) upright(y float64) { b.line(b.last().x/b.scale, y) }
func (b *bitmap) notch()            { b.line(b.last().x/b.scale, b.last().y/b.scale+4) }
func (b *bitmap) dot()              {}
func (b *bitmap) seal()             {} // what is filled is closed anyway

// close draws the path that was opened.
func (b *bitmap) close() {
	ink := b.color(b.class, b.look)
	kind, _, _ := strings.Cut(b.class, " ")
	s, ok := strokes[b.class]
	if !ok {
		s, ok = strokes[kind]
	}
	switch {
	case !ok:
		b.pen.polygons(b.img, b.clip, b.pieces, ink, opacity(b.class))
		return
	case s.straight:
		for _, piece := range b.pieces {
			b.pen.straight(b.clip, piece[0], piece[len(piece)-1], math.Max(1, math.Floor(s.width*b.scale)), s.on*b.scale, s.off*b.scale)
		}
	case s.on > 0:
		for _, piece := range b.pieces {
			b.pen.dashed(b.clip, piece, s.width*b.scale/2, s.on*b.scale, s.off*b.scale)
		}
	default:
		for _, piece := range b.pieces {
			b.pen.polyline(b.clip, piece, s.width*b.scale/2)
		}
	}
	b.pen.paint(b.img, ink, 1)
}

func (b *bitmap) series(look int, _ string) { b.look = look }
func (b *bitmap) endSeries()                { b.look = none }

func (b *bitmap) window(w box) {
	b.clip = image.Rect(int(math.Floor(w.x*b.scale)), int(math.Floor(w.y*b.scale)), int(math.Ceil((w.x+w.w)*b.scale)), int(math.Ceil((w.y+w.h)*b.scale))).Intersect(b.img.Rect)
}

func (b *bitmap) endWindow() { b.clip = b.img.Rect }

// translucent returns a colour that lets some of what is below it through.
func translucent(c color.RGBA, opacity float64) color.NRGBA {
	return color.NRGBA{c.R, c.G, c.B, uint8(opacity*255 + 0.5)}
}

// pens are the fonts of one picture, at the sizes that it has asked for.
type pens struct {
	regular, medium *sfnt.Font
	buffer          sfnt.Buffer
	faces           map[pen]font.Face
}

type pen struct {
	size   float64 // pixels
	strong bool
}

func newPens() (*pens, error) {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("read the regular font: %w", err)
	}
	medium, err := opentype.Parse(gomedium.TTF)
	if err != nil {
		return nil, fmt.Errorf("read the medium font: %w", err)
	}
	return &pens{regular: regular, medium: medium, faces: map[pen]font.Face{}}, nil
}

// font returns a font, and its letters at a size in pixels.
func (p *pens) font(size float64, strong bool) (*sfnt.Font, font.Face, error) {
	of := p.regular
	if strong {
		of = p.medium
	}
	if f, ok := p.faces[pen{size, strong}]; ok {
		return of, f, nil
	}
	f, err := opentype.NewFace(of, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return nil, nil, fmt.Errorf("make a font of %v pixels: %w", size, err)
	}
	p.faces[pen{size, strong}] = f
	return of, f, nil
}

// width is a ruler.
func (p *pens) width(s string, size float64, bold bool) float64 {
	const exactly = 4 // times as large, where widths are rounded
	width, err := p.spell(s, size*exactly, bold, nil)
	if err != nil {
		return textWidth(s, size, bold)
	}
	return float64(width) / 64 / exactly
}

// spell calls letter, unless it is nil, with each character of s and its distance from the beginning, and returns the width of
// all. An ellipsis stands for a run of characters that the font has not.
func (p *pens) spell(s string, size float64, strong bool, letter func(face font.Face, r rune, at fixed.Int26_6)) (fixed.Int26_6, error) {
	of, face, err := p.font(size, strong)
	if err != nil {
		return 0, err
	}
	at, before := fixed.Int26_6(0), rune(-1)
	for _, r := range s {
		if r == '\u202f' { // the font has no narrow blank, which groups thousands
			at += fixed.Int26_6(size * 64 / 5)
			before = -1
			continue
		}
		glyph, err := of.GlyphIndex(&p.buffer, r)
		if err != nil {
			return 0, fmt.Errorf("look for the letter %q: %w", r, err)
		}
		if glyph == 0 {
			if r = '…'; before == r {
				continue
			}
		}
		if before >= 0 {
			at += face.Kern(before, r)
		}
		if letter != nil {
			letter(face, r, at)
		}
		advance, _ := face.GlyphAdvance(r)
		at += advance
		before = r
	}
	return at, nil
}
