package logline

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Data is the structured data of a message as it came: "" when it has none.
//
//	[saba@0 token="…"][origin ip="192.0.2.1"]
type Data string

// Syslog reads a syslog message, whatever carried it: RFC 5424, RFC 3164 and what is sent under that name, and the form in which Heroku's syslog drains have it (RFC 5424
// with the drain's token as host). A time without a year is the one next to now, a time without a zone is of zone, and a message without a time is of now. ok is false
// when it begins neither with a priority nor with a time. The line's Text is part of message.
//
//	<34>1 2026-01-02T03:04:05.003Z web1 su 123 ID47 [origin ip="192.0.2.1"] text
//	<34>Jan  2 03:04:05 web1 su[123]: text
func Syslog(message []byte, now time.Time, zone *time.Location) (l Line, data Data, ok bool) {
	message = bytes.TrimRight(message, "\r\n\x00")
	rest, prioritized := priority(message)
	if prioritized {
		if l, data, ok := modern(rest, now); ok {
			return l, data, true
		}
	}
	l, ok = traditional(rest, now, zone)
	return l, "", ok || prioritized
}

// priority cuts <PRI> off a message.
func priority(message []byte) (rest []byte, ok bool) {
	n := 1
	for n < len(message) && n <= 4 && '0' <= message[n] && message[n] <= '9' {
		n++
	}
	if n < 2 || n > 4 || n == len(message) || message[0] != '<' || message[n] != '>' {
		return message, false
	}
	return message[n+1:], true
}

// modern reads what follows the priority in RFC 5424.
func modern(b []byte, now time.Time) (l Line, data Data, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte("1 "))
	if !ok {
		return Line{}, "", false
	}
	var fields [5][]byte // time, host, program, process, message id
	for i := range fields {
		if fields[i], b, ok = bytes.Cut(b, []byte(" ")); len(fields[i]) == 0 || !ok && i < len(fields)-1 {
			return Line{}, "", false
		}
	}
	l = Line{Time: now, Host: fieldOf(fields[1]), App: fieldOf(fields[2]), Proc: fieldOf(fields[3])}
	if string(fields[0]) != "-" {
		if l.Time, ok = stamp(fields[0]); !ok {
			return Line{}, "", false
		}
	}
	// Logplex leaves the structured data out.
	if n := structured(b); n > 0 && (n == len(b) || b[n] == ' ') {
		if b[0] != '-' {
			data = Data(b[:n])
		}
		b = bytes.TrimPrefix(b[n:], []byte(" "))
	}
	l.Text = bytes.TrimPrefix(b, bom)
	return l, data, true
}

var bom = []byte("\xef\xbb\xbf")

// stamp reads a time of RFC 3339, as UTC. Every line has one, and the library would make a place on earth of each offset.
func stamp(b []byte) (time.Time, bool) {
	const clock = len("2006-01-02T15:04:05")
	if len(b) <= clock || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return time.Time{}, false
	}
	year, ok0 := number4(b[0:4])
	month, ok1 := number2(b[5:7])
	day, ok2 := number2(b[8:10])
	hour, ok3 := number2(b[11:13])
	minute, ok4 := number2(b[14:16])
	second, ok5 := number2(b[17:19])
	if !(ok0 && ok1 && ok2 && ok3 && ok4 && ok5) || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	if day > 28 && time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() != day {
		return time.Time{}, false
	}
	b = b[clock:]
	nano := 0
	if b[0] == '.' {
		n := digits(b[1:])
		if n == 0 {
			return time.Time{}, false
		}
		for i := range 9 {
			nano *= 10
			if i < n {
				nano += int(b[1+i] - '0')
			}
		}
		b = b[1+n:]
	}
	offset := 0
	switch {
	case len(b) == 1 && b[0] == 'Z':
	case len(b) == 6 && (b[0] == '+' || b[0] == '-') && b[3] == ':':
		hours, ok0 := number2(b[1:3])
		minutes, ok1 := number2(b[4:6])
		if !ok0 || !ok1 || hours > 23 || minutes > 59 {
			return time.Time{}, false
		}
		if offset = hours*60 + minutes; b[0] == '-' {
			offset = -offset
		}
	default:
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute-offset, second, nano, time.UTC), true
}

func number2(b []byte) (int, bool) {
	return int(b[0]-'0')*10 + int(b[1]-'0'), b[0]-'0' <= 9 && b[1]-'0' <= 9
}

func number4(b []byte) (int, bool) {
	high, ok0 := number2(b[:2])
	low, ok1 := number2(b[2:])
	return high*100 + low, ok0 && ok1
}

// structured returns the length of the structured data at the beginning of b, - or elements in brackets; 0 when there is none.
func structured(b []byte) int {
	if len(b) > 0 && b[0] == '-' {
		return 1
	}
	n := 0
	for n < len(b) && b[n] == '[' {
		_, size := element(b[n:], func(_, _ []byte) {})
		if size == 0 {
			break
		}
		n += size
	}
	return n
}

// element reads an element of structured data, with its brackets, and calls param for what it holds; values still have their backslashes. size is 0 when b does not begin
// with one.
func element(b []byte, param func(name, value []byte)) (id []byte, size int) {
	word := func(i int) int {
		for i < len(b) && b[i] > ' ' && b[i] != '=' && b[i] != ']' && b[i] != '"' {
			i++
		}
		return i
	}
	i := word(1)
	if id = b[1:i]; len(id) == 0 {
		return nil, 0
	}
	for i < len(b) && b[i] == ' ' {
		start := i + 1
		i = word(start)
		name := b[start:i]
		if len(name) == 0 || i+1 >= len(b) || b[i] != '=' || b[i+1] != '"' {
			return nil, 0
		}
		i += 2
		start = i
		for i < len(b) && b[i] != '"' {
			if b[i] == '\\' {
				i++
			}
			i++
		}
		if i >= len(b) {
			return nil, 0
		}
		param(name, b[start:i])
		i++
	}
	if i >= len(b) || b[i] != ']' {
		return nil, 0
	}
	return id, i + 1
}

// Param returns the value of a parameter of the element of an id; of several the first counts.
func (d Data) Param(id, name string) (value string, ok bool) {
	for b := []byte(d); len(b) > 0 && b[0] == '['; {
		var in []byte
		found := false
		e, size := element(b, func(n, v []byte) {
			if string(n) == name && !found {
				in, found = v, true
			}
		})
		if size == 0 {
			break
		}
		if string(e) == id && found {
			return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\]`, `]`).Replace(string(in)), true
		}
		b = b[size:]
	}
	return "", false
}

// traditional reads what follows the priority in RFC 3164, which describes what programs did and asks for nothing. ok is false, and all of it is text, where no time stands
// at the beginning.
//
//	Jan  2 03:04:05 HOST PROGRAM[PID]: TEXT
//	2026-01-02T03:04:05.678+01:00 HOST PROGRAM[PID]: TEXT
//	Jan  2 03:04:05 PROGRAM[PID]: TEXT                       what the C library writes
//	123: *Jan  2 2026 03:04:05.678 UTC: TEXT                 what routers write
func traditional(b []byte, now time.Time, zone *time.Location) (l Line, ok bool) {
	at, rest, ok := date(b, now, zone)
	if !ok {
		return Line{Time: now, Text: bytes.TrimPrefix(b, bom)}, false
	}
	l = Line{Time: at}
	if colon, ok := bytes.CutPrefix(rest, []byte(":")); ok { // of a router, which leaves out what it is
		l.Text = bytes.TrimPrefix(colon, []byte(" "))
		return l, true
	}
	rest = bytes.TrimPrefix(rest, []byte(" "))
	if l.App, l.Proc, l.Text, ok = tag(rest); ok {
		return l, true
	}
	host, behind, found := bytes.Cut(rest, []byte(" "))
	if !found && len(host) == 0 {
		return l, true
	}
	l.Host = fieldOf(host)
	if l.App, l.Proc, l.Text, ok = tag(behind); !ok {
		l.Text = behind
	}
	l.Text = bytes.TrimPrefix(l.Text, bom)
	return l, true
}

// tag reads PROGRAM: or PROGRAM[PID]: and returns the text behind it.
func tag(b []byte) (program, pid string, text []byte, ok bool) {
	const most = 128 // 32 in the RFC, which nobody keeps to
	i := 0
	for i < len(b) && i <= most && b[i] > ' ' && b[i] != ':' && b[i] != '[' {
		i++
	}
	if i == 0 || i > most || i == len(b) {
		return "", "", nil, false
	}
	name := b[:i]
	if b[i] == '[' {
		end := bytes.IndexByte(b[i:min(len(b), i+most)], ']')
		if end < 0 || bytes.IndexByte(b[i:i+end], ' ') >= 0 {
			return "", "", nil, false
		}
		pid = fieldOf(b[i+1 : i+end])
		i += end + 1
	}
	if i == len(b) || b[i] != ':' {
		return "", "", nil, false
	}
	if text = b[i+1:]; len(text) > 0 && text[0] != ' ' { // as in 10:20, or http://
		return "", "", nil, false
	}
	return fieldOf(name), pid, bytes.TrimPrefix(text, []byte(" ")), true
}

// date reads the time at the beginning of a traditional message.
func date(b []byte, now time.Time, zone *time.Location) (at time.Time, rest []byte, ok bool) {
	if n := digits(b); n > 0 && n < 12 && bytes.HasPrefix(b[n:], []byte(": ")) { // a sequence number
		b = b[n+2:]
	}
	b = bytes.TrimLeft(b, " ")
	if len(b) > 0 && (b[0] == '*' || b[0] == '.') { // a router that is not sure of its clock
		b = b[1:]
	}
	if n := digits(b); n == 4 && len(b) > 10 && b[4] == '-' {
		word, rest, _ := bytes.Cut(b, []byte(" "))
		if at, ok := stamp(word); ok {
			return at, b[len(word):], true
		}
		if len(word) == 10 { // 2026-01-02 03:04:05
			clock := clockLength(rest)
			at, err := time.ParseInLocation("2006-01-02 15:04:05", string(word)+" "+strings.Replace(string(rest[:clock]), ",", ".", 1), zone)
			return at, rest[clock:], err == nil && clock > 0
		}
		at, err := time.ParseInLocation("2006-01-02T15:04:05", string(word), zone)
		return at, b[len(word):], err == nil
	}
	if len(b) < 4 || b[3] != ' ' {
		return time.Time{}, nil, false
	}
	month := strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", string(b[:3]))
	if month < 0 || month%3 != 0 {
		return time.Time{}, nil, false
	}
	b = bytes.TrimLeft(b[4:], " ")
	n := digits(b)
	if n == 0 || n > 2 || n >= len(b) || b[n] != ' ' {
		return time.Time{}, nil, false
	}
	day, _ := strconv.Atoi(string(b[:n]))
	b = b[n+1:]
	year := 0
	if n := digits(b); n == 4 && len(b) > 5 && b[4] == ' ' {
		year, _ = strconv.Atoi(string(b[:4]))
		b = b[5:]
	}
	n = clockLength(b)
	clock, err := time.Parse("15:04:05", strings.Replace(string(b[:n]), ",", ".", 1))
	if n == 0 || err != nil {
		return time.Time{}, nil, false
	}
	b = b[n:]
	if year == 0 && len(b) > 5 && b[0] == ' ' && digits(b[1:]) == 4 && (b[5] == ' ' || b[5] == ':') { // Jan  2 03:04:05 2026
		year, _ = strconv.Atoi(string(b[1:5]))
		b = b[5:]
	}
	for _, utc := range []string{" UTC", " GMT", " Z"} {
		if rest, ok := bytes.CutPrefix(b, []byte(utc)); ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == ':') {
			b, zone = rest, time.UTC
			break
		}
	}
	if len(b) > 0 && b[0] != ' ' && b[0] != ':' {
		return time.Time{}, nil, false
	}
	in := func(year int) (time.Time, bool) {
		m := time.Month(month/3 + 1)
		exists := time.Date(year, m, day, 0, 0, 0, 0, time.UTC).Day() == day // no 30th of February
		return time.Date(year, m, day, clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), zone), exists
	}
	if year > 0 {
		at, ok = in(year)
		return at, b, ok
	}
	const halfYear = 183 * 24 * time.Hour
	this := now.In(zone).Year()
	if at, ok = in(this); ok && at.Sub(now).Abs() < halfYear {
		return at, b, true
	}
	ok = false
	for y := this - 4; y <= this+4; y++ { // there may be one 29th of February in nine years
		if t, is := in(y); is && (!ok || t.Sub(now).Abs() < at.Sub(now).Abs()) {
			at, ok = t, true
		}
	}
	return at, b, ok
}

// clockLength returns the length of the 03:04:05, with or without a fraction, at the beginning of b; 0 when there is none.
func clockLength(b []byte) int {
	const clock = len("03:04:05")
	if len(b) < clock || b[2] != ':' || b[5] != ':' {
		return 0
	}
	n := clock
	if n < len(b) && (b[n] == '.' || b[n] == ',') {
		if f := digits(b[n+1:]); f > 0 {
			n += 1 + f
		}
	}
	return n
}

// digits returns how many digits b begins with.
func digits(b []byte) (n int) {
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}
