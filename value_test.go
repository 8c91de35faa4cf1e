package saba

import (
	"math"
	"testing"
)

func TestFormatValue(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 80: "80", 91.2: "91.2", -3.14159265: "-3.1416", 0.30000000000000004: "0.3", 0.001: "0.001", 1e14: "100000000000000",
		1.5e-7: "1.5e-07", 0.00099999: "0.00099999", 1e15: "1e+15", 123456789e9: "1.23457e+17", math.Inf(1): "+Inf",
	} {
		if got := FormatValue(v); got != want {
			t.Errorf("FormatValue(%v) = %q, want %q", v, got, want)
		}
	}
}
