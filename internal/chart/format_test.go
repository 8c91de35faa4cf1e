package chart

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/saba-monitor/saba"
)

// The cases of testdata/format.json are also what the console's script is tested with.
func TestFormatAgreesWithTheSharedCases(t *testing.T) {
	b, err := os.ReadFile("testdata/format.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Value *float64 // null is NaN
		Unit  saba.Unit
		Text  string
		Axis  string
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	units := map[saba.Unit]bool{}
	for _, c := range cases {
		v := math.NaN()
		if c.Value != nil {
			v = *c.Value
		}
		units[c.Unit] = true
		if got := Format(v, c.Unit); got != c.Text {
			t.Errorf("Format(%v, %s) = %q, want %q", v, c.Unit, got, c.Text)
		}
		if got, _ := write(v, c.Unit, style{digits: 3, parts: 2, axis: true}); got != c.Axis {
			t.Errorf("on an axis, %v %s is %q, want %q", v, c.Unit, got, c.Axis)
		}
	}
	for _, u := range saba.Units {
		if !units[u] {
			t.Errorf("testdata/format.json has no case of %s", u)
		}
	}
}

func TestFormatOfInfinities(t *testing.T) {
	for v, want := range map[float64]string{math.Inf(1): "∞", math.Inf(-1): "−∞"} {
		if got := Format(v, saba.UnitBytes); got != want {
			t.Errorf("Format(%v) = %q, want %q", v, got, want)
		}
	}
}
