package logline

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// spreads are shapes of values that quantiles are checked on.
var spreads = map[string]func(r *rand.Rand) float64{
	"times, and a few that are rubbish": func(r *rand.Rand) float64 {
		if r.IntN(1000) == 0 {
			return math.Pow(10, 600*r.Float64()-300)
		}
		return math.Exp(3 + 1.5*r.NormFloat64())
	},
	"times of requests":       func(r *rand.Rand) float64 { return math.Exp(3 + 1.5*r.NormFloat64()) },
	"one value":               func(*rand.Rand) float64 { return 40 },
	"both signs and zeros":    func(r *rand.Rand) float64 { return float64(r.IntN(2001)-1000) / 10 },
	"sizes of files":          func(r *rand.Rand) float64 { return math.Floor(math.Pow(10, 9*r.Float64())) },
	"as far apart as may be":  func(r *rand.Rand) float64 { return math.Pow(10, 600*r.Float64()-300) },
	"that, and of both signs": func(r *rand.Rand) float64 { return math.Copysign(math.Pow(10, 600*r.Float64()-300), r.Float64()-0.2) },
}

func TestSpread(t *testing.T) {
	for name, value := range spreads {
		for _, n := range []int{1, 2, 255, 256, 257, 5000, 50000} {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			var one Spread
			halves := make([]Spread, 2)
			values := make([]float64, n)
			for i := range values {
				values[i] = value(r)
				one.Add(values[i])
				halves[i%2].Add(values[i])
			}
			halves[0].Merge(&halves[1])
			slices.Sort(values)
			for _, q := range []float64{0.5, 0.95, 0.99} {
				want := values[max(int(math.Ceil(q*float64(n))), 1)-1]
				if q == 0.5 && n%2 == 0 && n <= exactly {
					want = values[n/2-1]/2 + values[n/2]/2
				}
				for who, s := range map[string]*Spread{"one": &one, "two that were merged": &halves[0]} {
					g := math.Pow(growth, float64(int(1)<<s.Halved)) // 1.02, but of rubbish
					if got := s.Quantile(q); math.Abs(got-want) > (g-1)/(g+1)*1.0001*math.Abs(want) {
						t.Errorf("%s, %d of them in %s: the quantile %v is %v, want %v", name, n, who, q, got, want)
					}
				}
			}
			if !strings.Contains(name, "apart") && !strings.Contains(name, "that") && one.Halved+halves[0].Halved > 0 {
				t.Errorf("%s, %d of them: quantiles are known to less than 1 %%", name, n)
			}
			if size := halves[0].Size(); size > 2*mostBuckets {
				t.Errorf("%s, %d of them: a spread holds %d numbers", name, n, size)
			}
		}
	}
}

// Whatever values come, nothing is lost or unbounded, quantiles lie in order between the least and the largest, and what is written down is read as the same.
func FuzzSpread(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\xf0\x3f\xff\xff\xff\xff\xff\xff\xef\x7f\x01\x00\x00\x00\x00\x00\x00\x00"), uint16(300))
	f.Fuzz(func(t *testing.T, b []byte, times uint16) {
		var s Spread
		least, largest, n := math.Inf(1), math.Inf(-1), int64(0)
		for len(b) >= 8 {
			v := math.Float64frombits(binary.LittleEndian.Uint64(b))
			b = b[8:]
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			least, largest = min(least, v), max(largest, v)
			for range int(times)%300 + 1 {
				s.Add(v)
				n++
			}
		}
		held := s.Zero + int64(len(s.Values))
		for _, m := range []map[int]int64{s.Above, s.Below} {
			for _, c := range m {
				held += c
			}
		}
		if held != n || s.Size() > 2*mostBuckets {
			t.Fatalf("%d values are %d in the spread, in %d numbers", n, held, s.Size())
		}
		if n == 0 {
			return
		}
		doc, err := json.Marshal(s)
		var again Spread
		if err == nil {
			err = json.Unmarshal(doc, &again)
		}
		if err != nil {
			t.Fatal(err)
		}
		g := math.Pow(growth, float64(int(1)<<s.Halved))
		slack := (g-1)*max(math.Abs(least), math.Abs(largest)) + 1e-300 // halves of the least numbers are rounded
		last := math.Inf(-1)
		for _, q := range []float64{0.01, 0.5, 0.95, 0.99} {
			v := s.Quantile(q)
			if v < last-1e-300 || v < least-slack || v > largest+slack || v != again.Quantile(q) {
				t.Errorf("the quantile %v is %v after %v, of values from %v to %v; written and read %v", q, v, last, least, largest, again.Quantile(q))
			}
			last = v
		}
	})
}

func TestSumsThatAreNoNumber(t *testing.T) {
	cells := Cells{}
	for range 3 {
		cells.Add(Reading{Kind: Measure, Name: "x", Value: math.MaxFloat64, Time: noon.UnixNano()})
		cells.Add(Reading{Kind: Count, Name: "y", Value: -math.MaxFloat64, Time: noon.UnixNano()})
		cells.Add(Reading{Kind: Measure, Name: "z", Value: 5, Time: noon.UnixNano()})
	}
	if _, err := json.Marshal(cells); err != nil {
		t.Errorf("cells cannot be written down: %v", err)
	}
	got := map[string]float64{}
	for key, c := range cells {
		c.Points(key, func(name string, v float64) { got[name] = v })
	}
	for _, name := range []string{"x.sum", "x.mean", "y"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s is %v, and should be left out", name, v)
		}
	}
	if got["x.count"] != 3 || got["z.mean"] != 5 {
		t.Errorf("the others are %v", got)
	}
}
