package monitor

import "math"

// A trend is what is known of some values at places on a line: enough for their mean and their regression line. Trends of parts
// add up, without the differences of large sums in which digits are lost. The zero value has no values.
type trend struct {
	n            float64 // how many
	place, value float64 // means
	squares      float64 // sum of the squares of the distances of places from their mean
	products     float64 // sum of the products of those distances and the values' distances from their mean
}

// with returns the trend of the values of both.
func (t trend) with(o trend) trend {
	if t.n == 0 {
		return o
	}
	if o.n == 0 {
		return t
	}
	n := t.n + o.n
	place, value, share := o.place-t.place, o.value-t.value, o.n/n
	return trend{
		n: n, place: t.place + place*share, value: t.value + value*share,
		squares:  t.squares + o.squares + place*place*t.n*share,
		products: t.products + o.products + place*value*t.n*share,
	}
}

// slope returns by how much the regression line (least squares) rises from one place to the next. It is NaN for fewer than two values.
func (t trend) slope() float64 {
	if t.squares == 0 {
		return math.NaN()
	}
	return t.products / t.squares
}

// at returns the value of the regression line at a place. It is NaN for fewer than two values.
func (t trend) at(place float64) float64 { return t.value + t.slope()*(place-t.place) }

// trends calls f with the trend of values[i:i+width] for each i, in order, as far as values go; places are indexes in values, and NaN is
// no value.
//
// It takes the same time for every width: the window's part in one block of width values is known from that block's end backwards, and its
// part in the next block grows.
func trends(values []float64, width int, f func(i int, t trend)) {
	one := func(i int) trend {
		if math.IsNaN(values[i]) {
			return trend{}
		}
		return trend{n: 1, place: float64(i), value: values[i]}
	}
	ends := make([]trend, width) // ends[k] is that of the block from its k-th value on
	for block := 0; block+width <= len(values); block += width {
		t := trend{}
		for k := width - 1; k >= 0; k-- {
			t = one(block + k).with(t)
			ends[k] = t
		}
		next := trend{}
		for k := 0; k < width && block+k+width <= len(values); k++ {
			if k > 0 {
				next = next.with(one(block + width + k - 1))
			}
			f(block+k, ends[k].with(next))
		}
	}
}
