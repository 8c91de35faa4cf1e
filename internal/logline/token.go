package logline

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// tokens reads the metric tokens of a text: logfmt, that is words, key=value and key="value with blanks", separated by blanks. source
// is what source= says, wherever it stands. It calls found for each token in order.
func tokens(text []byte, found func(kind Kind, name, value []byte), refuse func(Reason, []byte)) (source []byte) {
	n := 0
	for len(text) > 0 {
		key, value, rest := word(text)
		if len(rest) >= len(text) { // cannot happen; a parser that stands still would stop everything
			return source
		}
		token := text[:len(text)-len(rest)]
		text = rest
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
		return key, text[start:], nil
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
	scale, unit := unitOf(string(value[end:]))
	return v * scale, unit, ""
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

// unitOf returns what a value with a suffix is multiplied by, and its unit then. kB is 1024 bytes, since those who print it take it from
// /proc/meminfo; a small b is a bit. A suffix that nobody knows leaves the value alone.
func unitOf(suffix string) (float64, saba.Unit) {
	const k = 1024
	switch suffix {
	case "":
		return 1, saba.UnitFloat
	case "ms":
		return 1, saba.UnitMilliseconds
	case "s", "sec":
		return 1e3, saba.UnitMilliseconds
	case "us", "µs", "μs":
		return 1e-3, saba.UnitMilliseconds
	case "ns":
		return 1e-6, saba.UnitMilliseconds
	case "%":
		return 1, saba.UnitPercentage
	}
	switch {
	case strings.EqualFold(suffix, "bytes"), strings.EqualFold(suffix, "byte"), suffix == "B":
		return 1, saba.UnitBytes
	case !strings.HasSuffix(suffix, "B"):
		return 1, saba.UnitFloat
	}
	switch strings.ToLower(strings.Replace(suffix, "i", "", 1)) {
	case "kb":
		return k, saba.UnitBytes
	case "mb":
		return k * k, saba.UnitBytes
	case "gb":
		return k * k * k, saba.UnitBytes
	case "tb":
		return k * k * k * k, saba.UnitBytes
	}
	return 1, saba.UnitFloat
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
