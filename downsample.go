package saba

import "math"

// Step returns the distance in seconds between the values that a reader of a range of span
// seconds gets: one minute for short ranges, then coarser, so that a chart has about a
// thousand values at most. Coarser values are means.
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
// not zero. Samples outside [from, to] are left out. It returns the time of the first value.
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
	for i, n := range counts {
		if n == 0 {
			means[i] = math.NaN()
		} else if n > 1 {
			means[i] /= float64(n)
		}
	}
	return start, means, nil
}
