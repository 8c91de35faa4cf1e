package chart

import (
	"cmp"
	"image"
	"image/color"
	"slices"
)

// A tint is an opaque colour, as 0xRRGGBB.
type tint uint32

// colorsOfPNG is how many colours a PNG with one byte a pixel has.
const colorsOfPNG = 256

// paletted returns img with its most frequent colours; others become the nearest of them. Those are steps of edges, among which nobody
// sees it, and the picture is a third as large and takes a third of the time to compress.
func paletted(img *image.RGBA) *image.Paletted {
	counts := map[tint]int{}
	pixels := len(img.Pix) / 4
	for i, run := 0, 0; i < pixels; i += run {
		t := tintAt(img, i)
		for run = 1; i+run < pixels && tintAt(img, i+run) == t; run++ { // most pixels are like the one before, and spare the map
		}
		counts[t] += run
	}
	type count struct {
		tint tint
		n    int
	}
	frequent := make([]count, 0, len(counts))
	for t, n := range counts {
		frequent = append(frequent, count{t, n})
	}
	slices.SortFunc(frequent, func(a, b count) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.tint, b.tint)) })

	indices := make(map[tint]uint8, len(counts))
	var palette color.Palette
	var tints []tint
	near := map[tint]uint8{} // by the leading bits of each part: what is rare need not be exact
	for i, f := range frequent {
		if i < colorsOfPNG {
			indices[f.tint] = uint8(i)
			palette = append(palette, color.RGBA{uint8(f.tint >> 16), uint8(f.tint >> 8), uint8(f.tint), 255})
			tints = append(tints, f.tint)
			continue
		}
		const leading = 0xf8f8f8
		index, ok := near[f.tint&leading]
		if !ok {
			index = nearest(tints, f.tint)
			near[f.tint&leading] = index
		}
		indices[f.tint] = index
	}

	out := image.NewPaletted(img.Rect, palette)
	for i := 0; i < pixels; {
		t := tintAt(img, i)
		index := indices[t]
		for ; i < pixels && tintAt(img, i) == t; i++ {
			out.Pix[i] = index
		}
	}
	return out
}

func tintAt(img *image.RGBA, i int) tint {
	p := img.Pix[4*i : 4*i+3 : 4*i+3]
	return tint(p[0])<<16 | tint(p[1])<<8 | tint(p[2])
}

// nearest returns the position of the tint that looks most like t.
func nearest(tints []tint, t tint) uint8 {
	best, least := 0, 1<<30
	for i, u := range tints {
		r, g, b := int(t>>16)-int(u>>16), int(t>>8&255)-int(u>>8&255), int(t&255)-int(u&255)
		if d := 3*r*r + 6*g*g + b*b; d < least {
			best, least = i, d
		}
	}
	return uint8(best)
}
