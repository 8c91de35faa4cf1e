package tail

import (
	"bytes"
	"strconv"
	"time"
)

// stampWithin is how far from its beginning a line's stamp is looked for, in bytes.
const stampWithin = 256

// layouts are how stamps look, by the shape of their beginning: 0 stands for a digit, a for a letter, everything else for itself. The first that fits counts.
var layouts = []struct {
	shape  string
	layout string
}{
	{"0000-00-00T00:00:00", "2006-01-02T15:04:05"},   // RFC 3339, and Ruby's logger
	{"0000-00-00 00:00:00", "2006-01-02 15:04:05"},   // Rails, Python, Java
	{"0000/00/00 00:00:00", "2006/01/02 15:04:05"},   // Go, nginx's error log
	{"00/aaa/0000:00:00:00", "02/Jan/2006:15:04:05"}, // access logs
	{"aaa 00 00:00:00", "Jan 02 15:04:05"},           // syslog (RFC 3164), which has no year
	{"aaa  0 00:00:00", "Jan _2 15:04:05"},
}

// stamp returns when a line says that it was written: the first thing in its first 256 bytes that looks like a time, in zone unless it says
// another one. ok is false when nothing does. A time without a year is of the year that brings it nearest to now.
func stamp(line []byte, now time.Time, zone *time.Location) (at time.Time, ok bool) {
	head := line[:min(len(line), stampWithin)]
	for i := range head {
		c := head[i]
		digit := '0' <= c && c <= '9'
		letter := 'A' <= c && c <= 'Z'
		if !digit && !letter || i > 0 && (isDigit(head[i-1]) || isLetter(head[i-1])) {
			continue
		}
		for _, l := range layouts {
			if !fits(head[i:], l.shape) {
				continue
			}
			t, err := time.ParseInLocation(l.layout, string(head[i:i+len(l.shape)]), zone)
			if err != nil {
				continue
			}
			rest := head[i+len(l.shape):]
			fraction, rest := fractionOf(rest)
			t = t.Add(fraction)
			if offset, ok := zoneOf(rest); ok {
				_, local := t.Zone()
				t = t.Add(time.Duration(local-offset) * time.Second)
			}
			if t.Year() == 0 {
				t = nearest(t, now.In(zone), zone)
			}
			return t, true
		}
	}
	return time.Time{}, false
}

func fits(b []byte, shape string) bool {
	if len(b) < len(shape) {
		return false
	}
	for i := range len(shape) {
		switch shape[i] {
		case '0':
			if !isDigit(b[i]) {
				return false
			}
		case 'a':
			if !isLetter(b[i]) {
				return false
			}
		default:
			if b[i] != shape[i] {
				return false
			}
		}
	}
	return true
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// fractionOf reads the fraction of a second that follows a time.
func fractionOf(b []byte) (time.Duration, []byte) {
	if len(b) < 2 || b[0] != '.' && b[0] != ',' || !isDigit(b[1]) {
		return 0, b
	}
	d, unit := time.Duration(0), 100*time.Millisecond
	i := 1
	for ; i < len(b) && isDigit(b[i]); i++ {
		d += time.Duration(b[i]-'0') * unit
		unit /= 10
	}
	return d, b[i:]
}

// zoneOf reads an offset from UTC that follows a time, in seconds: Z, UTC, +09:00, +0900, with a blank before it or none.
func zoneOf(b []byte) (seconds int, ok bool) {
	b = bytes.TrimPrefix(b, []byte(" "))
	if bytes.HasPrefix(b, []byte("Z")) || bytes.HasPrefix(b, []byte("UTC")) {
		return 0, true
	}
	if len(b) < 5 || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours, minutes := b[1:3], b[3:5]
	if b[3] == ':' {
		if len(b) < 6 {
			return 0, false
		}
		minutes = b[4:6]
	}
	h, err := strconv.Atoi(string(hours))
	m, err2 := strconv.Atoi(string(minutes))
	if err != nil || err2 != nil || h > 14 || m > 59 {
		return 0, false
	}
	seconds = h*3600 + m*60
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// nearest gives a time without a year the one that brings it nearest to now: a line of December that is read in January is of last year.
func nearest(t, now time.Time, zone *time.Location) (best time.Time) {
	for _, year := range []int{now.Year(), now.Year() - 1, now.Year() + 1} {
		c := time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
		if best.IsZero() || c.Sub(now).Abs() < best.Sub(now).Abs() {
			best = c
		}
	}
	return best
}
