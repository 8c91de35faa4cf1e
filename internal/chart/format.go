package chart

import (
	"math"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

const (
	minus     = "\u2212"
	groupMark = "\u202f" // narrow no-break space
	noValue   = "\u2013" // en dash
)

// Format writes a value for a person, with its unit: "1.5 GiB", "94.9%", "1m 30s". The rules
// stand in the package comment. NaN, which is no value, becomes "–".
func Format(v float64, u saba.Unit) string {
	text, _ := write(v, u, style{digits: 3, parts: 2})
	return text
}

// A style says how exactly a value is written.
type style struct {
	digits int  // significant digits, at least; 3 to 17
	parts  int  // parts of a duration of a minute or more, 2 to 4; 0 writes it in seconds alone
	axis   bool // thousands as k, no "iops"
}

// write returns v as text and the value that a reader of the text understands.
func write(v float64, u saba.Unit, s style) (text string, shown float64) {
	switch {
	case math.IsNaN(v):
		return noValue, v
	case math.IsInf(v, 1):
		return "∞", v
	case math.IsInf(v, -1):
		return minus + "∞", v
	case v < 0:
		text, shown = writePositive(-v, u, s)
		return minus + text, -shown
	}
	return writePositive(v, u, s)
}

var (
	binary  = []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB", " ZiB", " YiB"}
	decimal = []string{"", "k", "M", "G", "T", "P", "E"}
	bits    = []string{" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s", " Pbit/s", " Ebit/s"}
)

func writePositive(x float64, u saba.Unit, s style) (text string, shown float64) {
	switch u {
	case saba.UnitPercentage:
		text, shown = number(x, s.digits)
		return text + "%", shown
	case saba.UnitBytes:
		return prefixed(x, 1024, binary, s.digits)
	case saba.UnitBytesPerSec:
		text, shown = prefixed(x, 1024, binary, s.digits)
		return text + "/s", shown
	case saba.UnitBitsPerSec:
		return prefixed(x, 1000, bits, s.digits)
	case saba.UnitSeconds:
		return duration(x, s)
	case saba.UnitMilliseconds:
		text, shown = duration(x/1000, s)
		return text, shown * 1000
	}
	if !s.axis && x < 999_999.5 {
		text, shown = number(x, s.digits)
	} else {
		text, shown = prefixed(x, 1000, decimal, s.digits)
	}
	if u == saba.UnitIOPS && !s.axis {
		text += " iops"
	}
	return text, shown
}

// prefixed writes x >= 0 with the prefix that leaves at most base before the point.
func prefixed(x, base float64, names []string, digits int) (text string, shown float64) {
	factor, i := 1.0, 0
	for x/factor >= base-0.5 {
		if i++; i == len(names) {
			text, shown = number(x, digits)
			return text + names[0], shown
		}
		factor *= base // exact: base to the power of 8 is at most 2^80, or 10^18
	}
	text, shown = number(x/factor, digits)
	return text + names[i], shown * factor
}

// duration writes x >= 0 seconds.
func duration(x float64, s style) (text string, shown float64) {
	if x == 0 {
		return "0 s", 0
	}
	for _, small := range []struct {
		factor float64
		name   string
	}{{1e9, " ns"}, {1e6, " µs"}, {1e3, " ms"}} {
		if x*small.factor < 999.5 {
			text, shown = number(x*small.factor, s.digits)
			return text + small.name, shown / small.factor
		}
	}
	const day = 24 * 3600
	if x < 59.95 || s.parts == 0 || x >= 1e6*day {
		text, shown = number(x, s.digits)
		return text + " s", shown
	}
	sizes, names := []float64{day, 3600, 60, 1}, []string{"d", "h", "m", "s"}
	// From the finest parts up: what rounds to the next larger part moves on to it.
	for first := len(sizes) - s.parts; ; first-- {
		last := first + s.parts - 1
		rest := math.Floor(x/sizes[last]+0.5) * sizes[last]
		if first > 0 && rest >= sizes[first-1] {
			continue
		}
		var parts []string
		shown = rest
		for i := first; i <= last; i++ {
			n := math.Floor(rest / sizes[i])
			rest -= n * sizes[i]
			if n > 0 {
				whole, _ := number(n, 3)
				parts = append(parts, whole+names[i])
			}
		}
		return strings.Join(parts, " "), shown
	}
}

// number writes a finite x >= 0 with the given number of significant digits, or more where its whole
// part has more.
//
// What is rounded is the shortest decimal form, half up, and not the binary value: Go and
// JavaScript agree on the former, and their roundings of the latter differ in ties.
func number(x float64, digits int) (text string, shown float64) {
	if x == 0 {
		return "0", 0
	}
	mantissa, e, _ := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
	exp, _ := strconv.Atoi(e) // of the first digit
	ds := []byte(strings.Replace(mantissa, ".", "", 1))
	keep := digits
	if exp < 7 {
		keep = max(digits, exp+1)
	}
	if len(ds) > keep {
		up := ds[keep] >= '5'
		ds = ds[:keep]
		for i := keep - 1; up && i >= 0; i-- {
			if up = ds[i] == '9'; up {
				ds[i] = '0'
			} else {
				ds[i]++
			}
		}
		if up { // 9.99 became 10.0
			ds = append([]byte{'1'}, ds...)
			exp++
		}
	}
	d := strings.TrimRight(string(ds), "0")
	shown, _ = strconv.ParseFloat(d[:1]+"."+d[1:]+"e"+strconv.Itoa(exp), 64) // beyond the largest: +Inf

	if exp < -3 || exp >= 7 {
		text = d[:1]
		if len(d) > 1 {
			text += "." + d[1:]
		}
		if exp < 0 {
			return text + "e" + minus + strconv.Itoa(-exp), shown
		}
		return text + "e" + strconv.Itoa(exp), shown
	}
	if exp < 0 {
		return "0." + strings.Repeat("0", -exp-1) + d, shown
	}
	whole, fraction := d, ""
	if len(d) <= exp+1 {
		whole += strings.Repeat("0", exp+1-len(d))
	} else {
		whole, fraction = d[:exp+1], "."+d[exp+1:]
	}
	return group(whole) + fraction, shown
}

// group sets thousands of a whole number of 5 or more digits apart.
func group(whole string) string {
	if len(whole) < 5 {
		return whole
	}
	var b strings.Builder
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(groupMark)
		}
		b.WriteRune(c)
	}
	return b.String()
}
