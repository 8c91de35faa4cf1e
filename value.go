package saba

import (
	"math"
	"strconv"
)

// FormatValue writes a value for people, as alerts and their messages do: four digits after the point at most, and none that say
// nothing. What would be all noughts or noughts by the dozen is written with an exponent: "1.5e-07".
func FormatValue(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 0.001 || a >= 1e15) {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	return strconv.FormatFloat(math.Round(v*1e4)/1e4, 'f', -1, 64)
}
