package logline

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// tokens reads the metric tokens of a text: logfmt, that is words, key=value and key="value with blanks", separated by blanks. source
// is what source= says, wherever it stands; of several the last. It calls found for each token in order.
func tokens(text []byte, found func(kind Kind, name, value []byte), refuse func(Reason, []byte)) (source []byte) {
	n := 0
	cut := piece-utf8.UTFMax < len(text) && len(text) <= piece // a character is not cut in two
	for len(text) > 0 {
		key, value, rest := word(text)
		if len(rest) >= len(text) { // cannot happen; a parser that stands still would stop everything
			return source
		}
		token := bytes.TrimLeft(text[:len(text)-len(rest)], " \t\r\n")
		text = rest
		if len(text) == 0 && cut && (value != nil || bytes.IndexByte(key, '#') >= 0) {
			if _, _, ok := split(key); ok { // what is left of it says something else: count#x=123 may have become count#x=1
				refuse(CutOff, token)
			}
			return source
		}
		if string(key) == "source" {
			source = value
			continue
		}
		kind, name, ok := split(key)
		if !ok {
			continue
		}
		if n++; n > maxTokens {
			refuse(TooMany, token)
			return source
		}
		switch {
		case kind == "unique":
			refuse(NoCounting, token)
		case len(name) == 0:
			refuse(BadName, token)
		default:
			found(Kind(kind), name, value)
		}
	}
	return source
}

// word cuts the first word off a text: its key, and the value behind =, without quotes. rest is what follows.
func word(text []byte) (key, value, rest []byte) {
	i := 0
	for i < len(text) && blank(text[i]) {
		i++
	}
	start := i
	for i < len(text) && !blank(text[i]) && text[i] != '=' {
		i++
	}
	key = text[start:i]
	if i == len(text) || text[i] != '=' {
		return key, nil, text[i:]
	}
	i++
	if i < len(text) && text[i] == '"' {
		i++
		start = i
		for i < len(text) && text[i] != '"' {
			if text[i] == '\\' && i+1 < len(text) {
				i++
			}
			i++
		}
		if i < len(text) {
			return key, text[start:i], text[i+1:]
		}
		i = start // it does not end: the value does at the next blank, so that it costs the rest of the line nothing
	}
	start = i
	for i < len(text) && !blank(text[i]) {
		i++
	}
	return key, text[start:i], text[i:]
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// split tells a metric's key from other words: "sample#name", and "measure.name" of old. ok is false for other words.
func split(key []byte) (kind string, name []byte, ok bool) {
	if i := bytes.IndexByte(key, '#'); i >= 0 {
		switch kind := string(key[:i]); kind {
		case "sample", "count", "measure", "unique":
			return kind, key[i+1:], true
		}
		return "", nil, false
	}
	if name, ok = bytes.CutPrefix(key, []byte("measure.")); ok && len(name) > 0 {
		return "measure", name, true
	}
	return "", nil, false
}

// clean returns a name in which everything that no metric's name may hold is an underscore, without dots at its ends or beside each other.
func clean(name []byte) string {
	const most = 200
	if len(name) > most {
		name = name[:most]
	}
	if sound(name) {
		return string(name)
	}
	s := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, string(name))
	s = strings.Trim(s, ".")
	for strings.Contains(s, "..") {
		s = strings.ReplaceAll(s, "..", ".")
	}
	return s
}

// sound says whether a name needs no cleaning.
func sound(name []byte) bool {
	dot := true // a dot must not stand here
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			dot = false
		case c == '.' && !dot:
			dot = true
		default:
			return false
		}
	}
	return !dot || len(name) == 0
}

// Clean returns a text as a metric's name may hold it: everything else is an underscore, and dots stand neither at an end nor beside each other.
func Clean(text string) string { return clean([]byte(text)) }

// number reads a value with a unit directly behind it, in base units: "40.9MB" is 42886758.4 bytes, "2s" 2000 milliseconds. An empty value
// is 1, as in count#signup.
func number(value []byte) (v float64, unit saba.Unit, bad Reason) {
	if len(value) == 0 {
		return 1, saba.UnitFloat, ""
	}
	end := numeral(value)
	if end == 0 {
		switch strings.ToLower(strings.TrimLeft(string(value), "+-")) {
		case "nan", "inf", "infinity":
			return 0, "", NotFinite
		}
		return 0, "", BadValue
	}
	v, err := strconv.ParseFloat(string(value[:end]), 64)
	if math.IsInf(v, 0) {
		return 0, "", NotFinite
	}
	if err != nil {
		return 0, "", BadValue
	}
	suffix := string(value[end:])
	if strings.ContainsAny(suffix, "0123456789") {
		d, err := time.ParseDuration(string(value))
		if err != nil { // a date, an address, 1,234: whatever it is, its first digits are not what it says
			return 0, "", BadValue
		}
		return float64(d) / 1e6, saba.UnitMilliseconds, "" // 1m30.5s, as Go prints it
	}
	if v, unit = inBase(v, suffix); math.IsInf(v, 0) {
		return 0, "", NotFinite
	}
	return v, unit, ""
}

// numeral returns the length of the number that a value begins with: a sign, digits, a dot, an exponent. 0 when it begins with none.
func numeral(value []byte) int {
	i := 0
	if i < len(value) && (value[i] == '-' || value[i] == '+') {
		i++
	}
	digits := 0
	for ; i < len(value) && '0' <= value[i] && value[i] <= '9'; i++ {
		digits++
	}
	if i < len(value) && value[i] == '.' {
		for i++; i < len(value) && '0' <= value[i] && value[i] <= '9'; i++ {
			digits++
		}
	}
	if digits == 0 {
		return 0
	}
	if i < len(value) && (value[i] == 'e' || value[i] == 'E') {
		j := i + 1
		if j < len(value) && (value[j] == '-' || value[j] == '+') {
			j++
		}
		if j < len(value) && '0' <= value[j] && value[j] <= '9' { // 5eb is not an exponent
			for i = j; i < len(value) && '0' <= value[i] && value[i] <= '9'; {
				i++
			}
		}
	}
	return i
}

// inBase returns a value with a suffix in the base unit, and that. kB is 1024 bytes, since those who print it take it from
// /proc/meminfo; a small b is a bit. A suffix that nobody knows leaves the value alone.
func inBase(v float64, suffix string) (float64, saba.Unit) {
	const k = 1024
	switch suffix {
	case "":
		return v, saba.UnitFloat
	case "ms", "MS", "msec":
		return v, saba.UnitMilliseconds
	case "s", "S", "sec", "secs":
		return v * 1e3, saba.UnitMilliseconds
	case "us", "µs", "μs":
		return v / 1e3, saba.UnitMilliseconds
	case "ns":
		return v / 1e6, saba.UnitMilliseconds
	case "%":
		return v, saba.UnitPercentage
	}
	switch {
	case strings.EqualFold(suffix, "bytes"), strings.EqualFold(suffix, "byte"), suffix == "B":
		return v, saba.UnitBytes
	case !strings.HasSuffix(suffix, "B"):
		return v, saba.UnitFloat
	}
	switch strings.ToLower(strings.Replace(suffix, "i", "", 1)) {
	case "kb":
		return v * k, saba.UnitBytes
	case "mb":
		return v * k * k, saba.UnitBytes
	case "gb":
		return v * k * k * k, saba.UnitBytes
	case "tb":
		return v * k * k * k * k, saba.UnitBytes
	case "pb":
		return v * k * k * k * k * k, saba.UnitBytes
	}
	return v, saba.UnitFloat
}

// Clip cuts a stranger's text short for people.
func Clip(b []byte) string {
	const most = 200
	s := strings.ToValidUTF8(string(b[:min(len(b), most+utf8.UTFMax)]), "�")
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
