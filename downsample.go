package saba

import "math"

// Step returns the distance in seconds between the values that a reader of a range of span
// seconds gets: one minute for short ranges, then coarser, so that a range of up to five years
// has at most two thousand values. Coarser values are means.
func Step(span int64) int64 {
	const hour, day = 3600, 24 * 3600
	switch {
	case span <= 20*hour:
		return 60
	case span <= 166*hour:
		return 5 * 60
	case span <= 10*day:
		return 10 * 60
	case span <= 83*day:
		return hour
	case span <= 166*day:
		return 2 * hour
	case span <= 240*day:
		return 4 * hour
	}
	return day
}

// Downsample reduces samples to one mean a step, for charts and long ranges.
//
// samples are in time order; times are Unix seconds and step is in seconds. Steps are aligned
// to multiples of step: the first begins at or before from, the last holds to. The result
// holds one value a step, oldest first, and is NaN where a step has no sample: a gap is
// not zero. Samples outside [from, to] are left out. The mean of finite values is finite. It
// returns the time of the first value.
// samples is neither modified nor retained. The error matches ErrInvalid if step <= 0 or to < from.
func Downsample(samples []Sample, from, to, step int64) (start int64, means []float64, err error) {
	if step <= 0 {
		return 0, nil, Invalidf("step", "must be above 0, not %d", step)
	}
	if to < from {
		return 0, nil, Invalidf("to", "must not be before from (%d), not %d", from, to)
	}
	start = from - ((from%step)+step)%step
	means = make([]float64, (to-start)/step+1)
	counts := make([]int32, len(means))
	for _, s := range samples {
		if s.Time < from || s.Time > to {
			continue
		}
		i := (s.Time - start) / step
		means[i] += s.Value
		counts[i]++
	}
	overflowed := false
	for i, n := range counts {
		switch {
		case n == 0:
			means[i] = math.NaN()
		case math.IsInf(means[i], 0):
			overflowed = true
		case n > 1:
			means[i] /= float64(n)
		}
	}
	if overflowed {
		divideFirst(samples, from, to, step, start, counts, means)
	}
	return start, means, nil
}

// divideFirst computes those means again whose sum left the range of float64, dividing before
// it adds: less exact, and so only where the sum is of no use.
func divideFirst(samples []Sample, from, to, step, start int64, counts []int32, means []float64) {
	again := make([]bool, len(means))
	for i, m := range means {
		if again[i] = math.IsInf(m, 0); again[i] {
			means[i] = 0
		}
	}
	for _, s := range samples {
		if i := (s.Time - start) / step; s.Time >= from && s.Time <= to && again[i] {
			means[i] += s.Value / float64(counts[i])
		}
	}
	for i := range means { // each part was rounded, so that even their sum may be too large
		if again[i] {
			means[i] = max(-math.MaxFloat64, min(math.MaxFloat64, means[i]))
		}
	}
}
