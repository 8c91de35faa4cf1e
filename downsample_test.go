package saba_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestStep(t *testing.T) {
	const minute, hour, day = int64(60), int64(3600), int64(24 * 3600)
	for name, tt := range map[string]struct{ span, want int64 }{
		"nothing":                      {0, minute},
		"half an hour":                 {hour / 2, minute},
		"the longest in minutes":       {20 * hour, minute},
		"a second longer":              {20*hour + 1, 5 * minute},
		"the longest in 5 minutes":     {166 * hour, 5 * minute},
		"a week":                       {7 * day, 10 * minute},
		"the longest in 10 minutes":    {10 * day, 10 * minute},
		"a month":                      {30 * day, hour},
		"the longest in hours":         {83 * day, hour},
		"the longest in 2 hours":       {166 * day, 2 * hour},
		"the longest in 4 hours":       {240 * day, 4 * hour},
		"a year":                       {365 * day, day},
		"the longest that can be said": {math.MaxInt64, day},
	} {
		t.Run(name, func(t *testing.T) {
			if got := saba.Step(tt.span); got != tt.want {
				t.Errorf("Step(%d) = %d, want %d", tt.span, got, tt.want)
			}
		})
	}
}

func TestStepKeepsChartsSmall(t *testing.T) {
	last := int64(0)
	for span := int64(0); span <= 5*366*24*3600; span += 1800 {
		step := saba.Step(span)
		if step < last {
			t.Fatalf("Step(%d) = %d, finer than for a shorter span (%d)", span, step, last)
		}
		if n := span / step; n > 2000 {
			t.Fatalf("Step(%d) = %d gives %d values, more than 2000", span, step, n)
		}
		last = step
	}
}

func TestDownsample(t *testing.T) {
	nan := math.NaN()
	minutes := func(values ...float64) (samples []saba.Sample) { // from 600 on
		for i, v := range values {
			samples = append(samples, saba.Sample{Time: 600 + 60*int64(i), Value: v})
		}
		return samples
	}
	for name, tt := range map[string]struct {
		samples        []saba.Sample
		from, to, step int64
		start          int64
		want           []float64
	}{
		"one sample a step stays as it is":       {minutes(1, 2, 3), 600, 720, 60, 600, []float64{1, 2, 3}},
		"several samples become their mean":      {minutes(1, 2, 3, 5, 6, 7), 600, 900, 180, 540, []float64{1.5, 14.0 / 3, 7}},
		"a step without a sample is a gap":       {[]saba.Sample{{Time: 600, Value: 1}, {Time: 780, Value: 4}}, 600, 780, 60, 600, []float64{1, nan, nan, 4}},
		"no sample at all is one gap a step":     {nil, 600, 719, 60, 600, []float64{nan, nan}},
		"zero is a value":                        {minutes(0, 0), 600, 660, 120, 600, []float64{0}},
		"steps begin at multiples of the step":   {minutes(1, 2), 601, 700, 60, 600, []float64{nan, 2}},
		"before from and after to is left out":   {minutes(1, 2, 3, 4), 660, 720, 60, 660, []float64{2, 3}},
		"both ends belong to the range":          {minutes(1, 2), 600, 660, 60, 600, []float64{1, 2}},
		"the step that holds to is the last":     {minutes(1, 2, 3), 600, 779, 60, 600, []float64{1, 2, 3}},
		"a range of one second":                  {minutes(7), 600, 600, 300, 600, []float64{7}},
		"before 1970 steps are aligned too":      {[]saba.Sample{{Time: -61, Value: 1}, {Time: -1, Value: 2}}, -61, 1, 60, -120, []float64{1, 2, nan}},
		"a mean of the largest values is finite": {minutes(math.MaxFloat64, math.MaxFloat64, 1), 600, 720, 120, 600, []float64{math.MaxFloat64, 1}},
		"and of three, rounded up":               {minutes(math.MaxFloat64, math.MaxFloat64, math.MaxFloat64), 600, 720, 300, 600, []float64{math.MaxFloat64}},
		"and of the smallest":                    {minutes(-math.MaxFloat64, -math.MaxFloat64), 600, 660, 120, 600, []float64{-math.MaxFloat64}},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(tt.samples)
			start, got, err := saba.Downsample(tt.samples, tt.from, tt.to, tt.step)
			if err != nil || start != tt.start || !slices.EqualFunc(got, tt.want, sameFloat) {
				t.Errorf("Downsample(%v, %d, %d, %d) = %d, %v, %v; want %d, %v", tt.samples, tt.from, tt.to, tt.step, start, got, err, tt.start, tt.want)
			}
			if !slices.Equal(before, tt.samples) {
				t.Errorf("Downsample changed its input from %v to %v", before, tt.samples)
			}
		})
	}
}

// sameFloat is ==, but NaN is the same as NaN.
func sameFloat(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestDownsampleRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to, step int64
		field          string
	}{
		"no step":                 {600, 660, 0, "step"},
		"a step backwards":        {600, 660, -60, "step"},
		"a range that ends first": {660, 600, 60, "to"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := saba.Downsample(nil, tt.from, tt.to, tt.step)
			var field *saba.FieldError
			if !errors.Is(err, saba.ErrInvalid) || !errors.As(err, &field) || field.Field != tt.field {
				t.Errorf("Downsample(nil, %d, %d, %d): error %v, want a FieldError of %q", tt.from, tt.to, tt.step, err, tt.field)
			}
		})
	}
}

// Whatever is drawn, each value lies between the smallest and the largest sample of its step,
// and a value is missing exactly where no sample is.
func FuzzDownsample(f *testing.F) {
	f.Add(int64(600), uint16(7200), uint16(300), []byte{1, 2, 3, 200, 0, 0, 7})
	f.Add(int64(-61), uint16(0), uint16(1), []byte{255})
	f.Fuzz(func(t *testing.T, from int64, span, step uint16, gaps []byte) {
		from %= 1 << 40
		if step == 0 {
			step = 1
		}
		var samples []saba.Sample
		at := from - 10
		for i, gap := range gaps {
			at += int64(gap)
			value := float64(i*i%97) - 40
			if gap%50 == 49 {
				value = math.Copysign(math.MaxFloat64, value)
			}
			samples = append(samples, saba.Sample{Time: at, Value: value})
		}
		to, width := from+int64(span), int64(step)
		start, means, err := saba.Downsample(samples, from, to, width)
		if err != nil {
			t.Fatal(err)
		}
		if start%width != 0 || start > from || start <= from-width || start+int64(len(means))*width <= to || start+int64(len(means)-1)*width > to {
			t.Fatalf("%d values of %d s from %d do not fit [%d, %d]", len(means), width, start, from, to)
		}
		for i, mean := range means {
			low, high := math.Inf(1), math.Inf(-1)
			for _, s := range samples {
				if s.Time >= from && s.Time <= to && s.Time >= start+int64(i)*width && s.Time < start+int64(i+1)*width {
					low, high = min(low, s.Value), max(high, s.Value)
				}
			}
			slack := 1e-9 * max(math.Abs(low), math.Abs(high), 1) // rounding
			switch {
			case math.IsInf(low, 1) != math.IsNaN(mean), math.IsInf(mean, 0):
				t.Errorf("value %d is %v, with samples from %v to %v", i, mean, low, high)
			case mean < low-slack || mean > high+slack:
				t.Errorf("value %d is %v, outside of its samples, %v to %v", i, mean, low, high)
			}
		}
	})
}
