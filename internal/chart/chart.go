// Package chart turns samples into charts: nice axes, values as people read them, colours,
// and a whole SVG or PNG. It is pure: no clock, no files, no engine; it imports the root package
// and fonts alone. Read picture.go for what is drawn where, svg.go and png.go for how, limit.go for
// thresholds, scale.go for axes, format.go for values and color.go for colours.
//
// # How values are written
//
// The console draws the same charts with a script, which follows the same rules; the cases
// in testdata/format.json hold for both. "text" is what [Format] returns, "axis" what an axis
// says.
//
// Digits. A number is written with 3 significant digits, but never with fewer than its
// whole part has, and without zeros at the end: 0.0123, 1.23, 12.3, 123, 1023. Its
// shortest decimal form is what is rounded, half away from zero: 1.005 is 1.01. Below 0.001
// and from 1e7 on it has an exponent: 1.23e−5. A whole part of 5 or more digits is grouped
// by threes with a narrow no-break space (U+202F). The minus sign is U+2212, in exponents
// too. Zero is 0 with its unit. No value (NaN) is an en dash, an infinity ∞ or −∞, both
// without a unit.
//
// Prefixes. x moves on to the next prefix when x ≥ base − 0.5, so that no rounding shows
// "1000 k". Beyond the last prefix the number stands in its base unit with an exponent.
//
//	unit          base  written as
//	float         1000  below 999,999.5 the number alone (12 345); then 1.23M, G, T, P, E
//	                    on an axis with prefixes from the first: 12.3k
//	integer       1000  as float: a mean of integers has a fraction, and it is shown
//	iops          1000  as float, and " iops"; on an axis without it
//	percentage          the number and "%"
//	bytes         1024  "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB" after a space
//	bytes/sec     1024  the same with "/s"
//	bits/sec      1000  "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s"
//	seconds             below 1 s "ns", "µs", "ms" with base 1000; below 59.95 s "s"; then the
//	                    two largest parts of days, hours, minutes and seconds: 1m 30s, 2h 5m,
//	                    3d 4h, the smaller rounded and left out when it is zero; from 1e6
//	                    days on the number of seconds with an exponent and " s"
//	milliseconds        the value divided by 1000, as seconds
//
// An axis uses the same rules, with as few significant digits above 3 (or parts above 2) as
// it takes to tell its ticks from each other exactly: see [Ticks].
package chart
