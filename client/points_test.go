package client

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/saba-monitor/saba"
)

type jsonPoint struct {
	Host  string  `json:"hostId,omitempty"`
	Name  string  `json:"name"`
	Time  int64   `json:"time"`
	Value float64 `json:"value"`
}

// FuzzPoints proves that encoding/json reads back what was to be sent.
func FuzzPoints(f *testing.F) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1.5, 1e-7, 1e-6, 123456789.125, 1e21, -1e300, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(-1)} {
		f.Add("host", "custom.a.b", int64(1_700_000_000), v)
	}
	f.Add("", "q\"u\\o\x00t\x7fe é \xff<&>", int64(-1), 1.0)
	f.Fuzz(func(t *testing.T, host, name string, time int64, value float64) {
		points := []saba.Point{
			{Series: saba.Series{Host: host, Name: name}, Sample: saba.Sample{Time: time, Value: value}},
			{Series: saba.Series{Name: name}, Sample: saba.Sample{Time: time, Value: 1}},
		}
		for _, hosts := range []bool{true, false} {
			b, err := encodePoints(points, hosts)
			if math.IsNaN(value) || math.IsInf(value, 0) {
				if err == nil {
					t.Fatalf("%v became %s", value, b)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			want := []jsonPoint{{host, name, time, value}, {"", name, time, 1}}
			if !hosts {
				want[0].Host = ""
			}
			// Through encoding/json, which replaces what is not UTF-8.
			reference, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var got, same []jsonPoint
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			if err := json.Unmarshal(reference, &same); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, same) {
				t.Errorf("got %s, want %s", b, reference)
			}
		}
	})
}

func BenchmarkPoints(b *testing.B) {
	points := make([]saba.Point, 150)
	for i := range points {
		points[i] = saba.Point{Series: saba.Series{Host: "abcdefghijk", Name: "custom.group.metric"}, Sample: saba.Sample{Time: 1_700_000_000, Value: float64(i) / 3}}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodePoints(points, true); err != nil {
			b.Fatal(err)
		}
	}
}
