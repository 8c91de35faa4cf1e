package chart

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/vector"
)

// A coverage says how much of each pixel a shape covers. Shapes are added until paint. Pieces of one line that lie on each
// other cover a pixel once: it counts the distance to the nearest.
type coverage struct {
	bounds  image.Rectangle
	part    []uint8 // of each pixel of bounds, row by row
	touched []int32 // positions in part that are not zero
	filler  vector.Rasterizer
}

func newCoverage(bounds image.Rectangle) coverage {
	return coverage{bounds: bounds, part: make([]uint8, bounds.Dx()*bounds.Dy())}
}

// add covers part of a pixel, all of it from 1 on, unless more of it is covered already.
func (c *coverage) add(x, y int, part float64) {
	n := uint8(255)
	if part < 1 {
		n = uint8(part*255 + 0.5)
	}
	i := y*c.bounds.Dx() + x
	if n <= c.part[i] {
		return
	}
	if c.part[i] == 0 {
		c.touched = append(c.touched, int32(i))
	}
	c.part[i] = n
}

// paint lays a colour over what is covered, and begins anew.
func (c *coverage) paint(img *image.RGBA, ink color.RGBA, opacity float64) {
	most := uint32(opacity*257 + 0.5)
	for _, i := range c.touched {
		a := uint32(c.part[i]) * most // of 65535
		c.part[i] = 0
		p := img.Pix[4*i : 4*i+4 : 4*i+4]
		for k, v := range [...]uint8{ink.R, ink.G, ink.B} {
			p[k] = uint8((uint32(p[k])*(65535-a) + uint32(v)*a + 32767) / 65535)
		}
		p[3] = 255
	}
	c.touched = c.touched[:0]
}

// segment covers what is nearer than radius to the line from a to b: a line with round ends, or a dot.
func (c *coverage) segment(clip image.Rectangle, a, b point, radius float64) {
	reach := radius + 0.5 // a pixel is covered from half a pixel further away on
	dx, dy := b.x-a.x, b.y-a.y
	length := math.Hypot(dx, dy)
	nx, ny, inverse := 0.0, 0.0, 0.0 // from the middle to the edge; 1/length²
	if length > 0 {
		nx, ny, inverse = -dy/length*reach, dx/length*reach, 1/(length*length)
	}
	top, bottom := max(clip.Min.Y, int(math.Floor(math.Min(a.y, b.y)-reach))), min(clip.Max.Y, int(math.Ceil(math.Max(a.y, b.y)+reach)))
	for y := top; y < bottom; y++ {
		cy := float64(y) + 0.5
		left, right := math.Inf(1), math.Inf(-1)
		for _, end := range [...]point{a, b} {
			if h := cy - end.y; math.Abs(h) <= reach {
				w := math.Sqrt(reach*reach - h*h)
				left, right = math.Min(left, end.x-w), math.Max(right, end.x+w)
			}
		}
		if dy != 0 {
			for _, side := range [...]float64{1, -1} { // where the row crosses an edge
				if t := (cy - a.y - side*ny) / dy; t >= 0 && t <= 1 {
					x := a.x + side*nx + t*dx
					left, right = math.Min(left, x), math.Max(right, x)
				}
			}
		}
		if left > right {
			continue
		}
		first, last := max(clip.Min.X, int(math.Floor(left))), min(clip.Max.X, int(math.Ceil(right)))
		py := cy - a.y
		for x := first; x < last; x++ {
			px := float64(x) + 0.5 - a.x
			along := (px*dx + py*dy) * inverse // of the line's length, from a
			if along < 0 {
				along = 0
			} else if along > 1 {
				along = 1
			}
			ex, ey := px-along*dx, py-along*dy
			if d := ex*ex + ey*ey; d < reach*reach {
				c.add(x, y, reach-math.Sqrt(d))
			}
		}
	}
}

func (c *coverage) polyline(clip image.Rectangle, line []point, radius float64) {
	if len(line) == 1 {
		c.segment(clip, line[0], line[0], radius)
	}
	for i := 1; i < len(line); i++ {
		c.segment(clip, line[i-1], line[i], radius)
	}
}

// dashed covers pieces of a line of length on, off apart.
func (c *coverage) dashed(clip image.Rectangle, line []point, radius, on, off float64) {
	drawn, left := true, on
	for i := 1; i < len(line); i++ {
		a, b := line[i-1], line[i]
		length := math.Hypot(b.x-a.x, b.y-a.y)
		for done := 0.0; done < length; {
			step := math.Min(left, length-done)
			if drawn {
				along := func(d float64) point { return point{a.x + (b.x-a.x)*d/length, a.y + (b.y-a.y)*d/length} }
				c.segment(clip, along(done), along(done+step), radius)
			}
			done += step
			if left -= step; left <= 0 {
				if drawn = !drawn; drawn {
					left = on
				} else {
					left = off
				}
			}
		}
	}
}

// straight covers a line along an axis, as wide as a whole number of pixels; on and off are lengths of dashes, or 0.
func (c *coverage) straight(clip image.Rectangle, a, b point, width, on, off float64) {
	x0, y0, x1, y1 := math.Min(a.x, b.x), math.Min(a.y, b.y), math.Max(a.x, b.x), math.Max(a.y, b.y)
	if y1-y0 > x1-x0 {
		x0 = math.Round(x0 - width/2)
		x1 = x0 + width
	} else {
		y0 = math.Round(y0 - width/2)
		y1 = y0 + width
	}
	if on == 0 {
		c.roundRect(clip, point{math.Round(x0), math.Round(y0)}, point{math.Round(x1), math.Round(y1)}, 0)
		return
	}
	for x := x0; x < x1; x += on + off {
		c.roundRect(clip, point{math.Round(x), y0}, point{math.Round(math.Min(x+on, x1)), y1}, 0)
	}
}

// roundRect covers a rectangle with round corners.
func (c *coverage) roundRect(clip image.Rectangle, a, b point, radius float64) {
	radius = math.Min(radius, math.Min(b.x-a.x, b.y-a.y)/2)
	mx, my, hx, hy := (a.x+b.x)/2, (a.y+b.y)/2, (b.x-a.x)/2-radius, (b.y-a.y)/2-radius
	r := image.Rect(int(math.Floor(a.x)), int(math.Floor(a.y)), int(math.Ceil(b.x)), int(math.Ceil(b.y))).Intersect(clip)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		dy := math.Abs(float64(y)+0.5-my) - hy
		for x := r.Min.X; x < r.Max.X; x++ {
			dx := math.Abs(float64(x)+0.5-mx) - hx
			// The distance to the edge, below zero inside.
			d := math.Hypot(math.Max(dx, 0), math.Max(dy, 0)) + math.Min(math.Max(dx, dy), 0) - radius
			if d < 0.5 {
				c.add(x, y, 0.5-d)
			}
		}
	}
}

// polygons lays a colour over polygons at once; it leaves the coverage alone.
func (c *coverage) polygons(img *image.RGBA, clip image.Rectangle, pieces [][]point, ink color.RGBA, opacity float64) {
	low, high := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, piece := range pieces {
		for _, p := range piece {
			low, high = point{math.Min(low.x, p.x), math.Min(low.y, p.y)}, point{math.Max(high.x, p.x), math.Max(high.y, p.y)}
		}
	}
	if len(pieces) == 0 {
		return
	}
	r := image.Rect(int(math.Floor(low.x)), int(math.Floor(low.y)), int(math.Ceil(high.x)), int(math.Ceil(high.y))).Intersect(clip)
	if r.Empty() {
		return
	}
	c.filler.Reset(r.Dx(), r.Dy())
	at := func(p point) (x, y float32) { return float32(p.x - float64(r.Min.X)), float32(p.y - float64(r.Min.Y)) }
	for _, piece := range pieces {
		c.filler.MoveTo(at(piece[0]))
		for _, p := range piece[1:] {
			c.filler.LineTo(at(p))
		}
		c.filler.ClosePath()
	}
	c.filler.DrawOp = draw.Over
	c.filler.Draw(img, r, image.NewUniform(translucent(ink, opacity)), image.Point{})
}
