package logline

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// exactly is how many values a Spread keeps as they are.
const exactly = 256

// growth is the distance between the buckets of a Spread: the upper bound of each is this much above the lower one, so that a
// quantile is less than 1 % off. The idea is that of DDSketch (Masson, Rim, Lee, 2019) and of OpenTelemetry's exponential histograms.
const growth = 1.02

// mostBuckets is how many buckets a Spread has: enough for values of every size that are up to 600 million times apart. Above it two neighbours become one bucket each, and so on.
const mostBuckets = 1024

// A Spread knows the quantiles of values: exactly of up to 256, to within 1 % of more, and less well only of those that fill more than mostBuckets. It takes some
// 40 KiB at most, however many values there are. The zero value is ready.
type Spread struct {
	Values []float64     `json:"v,omitempty"` // while they are few
	Above  map[int]int64 `json:"p,omitempty"` // values by bucket: bucket i holds those over g^(i-1), up to g^i, where g is growth
	Below  map[int]int64 `json:"m,omitempty"` // likewise of the negative ones, without their sign
	Zero   int64         `json:"o,omitzero"`
	Halved int           `json:"h,omitzero"` // how often two neighbours became one: growth is squared as often
}

// IsZero says whether s holds nothing.
func (s Spread) IsZero() bool {
	return len(s.Values) == 0 && len(s.Above) == 0 && len(s.Below) == 0 && s.Zero == 0
}

// Add adds a finite value.
func (s *Spread) Add(v float64) {
	if s.few() && len(s.Values) < exactly {
		s.Values = append(s.Values, v)
		return
	}
	s.fold()
	s.count(v, 1)
	s.bound()
}

// Size returns how many numbers a Spread holds: what it takes in memory.
func (s *Spread) Size() int { return len(s.Values) + 2*(len(s.Above)+len(s.Below)) }

// bound keeps the buckets to mostBuckets.
func (s *Spread) bound() {
	for len(s.Above)+len(s.Below) > mostBuckets {
		s.halve()
	}
}

// halve makes one bucket of two neighbours.
func (s *Spread) halve() {
	for _, m := range []*map[int]int64{&s.Above, &s.Below} {
		fewer := make(map[int]int64, len(*m)/2+1)
		for i, n := range *m {
			fewer[(i+1)>>1] += n // up, also below zero
		}
		if *m != nil {
			*m = fewer
		}
	}
	s.Halved++
}

// few says whether every value is there as it is.
func (s *Spread) few() bool { return s.Above == nil && s.Below == nil && s.Zero == 0 }

// fold puts the values that are there as they are into buckets.
func (s *Spread) fold() {
	for _, v := range s.Values {
		s.count(v, 1)
	}
	s.Values = nil
}

func (s *Spread) count(v float64, n int64) {
	switch {
	case v > 0:
		if s.Above == nil {
			s.Above = map[int]int64{}
		}
		s.Above[s.bucket(v)] += n
	case v < 0:
		if s.Below == nil {
			s.Below = map[int]int64{}
		}
		s.Below[s.bucket(-v)] += n
	default:
		s.Zero += n
	}
}

// bucket returns the bucket of a positive value.
func (s *Spread) bucket(v float64) int {
	return int(math.Ceil(math.Log(v) / (math.Log(growth) * float64(int64(1)<<s.Halved))))
}

// middle returns the value that stands for those of a bucket: none of them is further from it than half the bucket's width.
func (s *Spread) middle(i int) float64 {
	g := math.Pow(growth, float64(int64(1)<<s.Halved))
	return min(math.Pow(g, float64(i-1))*(2*g/(1+g)), math.MaxFloat64)
}

// Merge adds the values of another Spread, and keeps nothing of it.
func (s *Spread) Merge(o *Spread) {
	if o.few() {
		for _, v := range o.Values {
			s.Add(v)
		}
		return
	}
	s.fold()
	for s.Halved < o.Halved {
		s.halve()
	}
	for _, v := range o.Values {
		s.count(v, 1)
	}
	up := s.Halved - o.Halved
	for i, n := range o.Above {
		if s.Above == nil {
			s.Above = map[int]int64{}
		}
		s.Above[(i+1<<up-1)>>up] += n
	}
	for i, n := range o.Below {
		if s.Below == nil {
			s.Below = map[int]int64{}
		}
		s.Below[(i+1<<up-1)>>up] += n
	}
	s.Zero += o.Zero
	s.bound()
}

// Quantile returns the value below which a share q of all lies, from 0 to 1: the smallest value that is not below that many of them (nearest rank), and
// for the median of an even number the middle between two. NaN when there is none.
func (s *Spread) Quantile(q float64) float64 {
	if s.few() {
		n := len(s.Values)
		if n == 0 {
			return math.NaN()
		}
		sorted := slices.Sorted(slices.Values(s.Values))
		rank := max(int(math.Ceil(q*float64(n))), 1)
		if q == 0.5 && n%2 == 0 {
			return sorted[n/2-1]/2 + sorted[n/2]/2
		}
		return sorted[rank-1]
	}
	total := s.Zero
	for _, n := range s.Above {
		total += n
	}
	for _, n := range s.Below {
		total += n
	}
	left := max(int64(math.Ceil(q*float64(total))), 1)
	for _, i := range slices.SortedFunc(maps.Keys(s.Below), func(a, b int) int { return cmp.Compare(b, a) }) {
		if left -= s.Below[i]; left <= 0 {
			return -s.middle(i)
		}
	}
	if left -= s.Zero; left <= 0 {
		return 0
	}
	for _, i := range slices.Sorted(maps.Keys(s.Above)) {
		if left -= s.Above[i]; left <= 0 {
			return s.middle(i)
		}
	}
	return math.NaN()
}
