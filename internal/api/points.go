package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/maphash"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// points is what a body of POST /tsdb holds.
type points struct {
	good    []saba.Point // in order; a value out of range is an infinity, for ingest to drop
	refused int          // elements that are no points: a field is missing or of the wrong type
	example string       // the first of those, as sent
}

// A pointParser reads bodies of POST /tsdb: a JSON array of {hostId, name, time, value}. It
// has a fast path for the shape that agents send (plain ASCII strings, whole seconds, nothing
// else in the object), and leaves whatever is unusual anywhere in a body to encoding/json.
// Both yield the same points, bit for bit. It is not safe for concurrent use.
type pointParser struct {
	seed  maphash.Seed
	names [1024]nameSet // strings made before, by hash: agents repeat their metric names each minute
}

// A nameSet are strings of one hash, the newest first. With room for one alone, half a dozen of the 150 names of an agent would push
// each other out all the time.
type nameSet [4]string

func newPointParser() *pointParser {
	return &pointParser{seed: maphash.MakeSeed()}
}

// parse reads a body; hosts says whether points carry hostId (service metrics do not). null
// and [] are empty. The error matches saba.ErrInvalid and names the place: the body is not
// JSON, or not an array. Nothing of body is retained. The points are in room if it has the room.
func (pp *pointParser) parse(body []byte, hosts bool, room []saba.Point) (points, error) {
	if p, ok := pp.fast(body, hosts, room); ok {
		return p, nil
	}
	return parsePointsSlowly(body, hosts)
}

// The members of a point, as a set.
const (
	memberHost = 1 << iota
	memberName
	memberTime
	memberValue
)

// bytesPerPoint is the least that a point of an agent takes on the wire, to size the result.
const bytesPerPoint = 64

// fast reads body if all of it has the usual shape.
func (pp *pointParser) fast(body []byte, hosts bool, room []saba.Point) (points, bool) {
	want := memberName | memberTime | memberValue
	if hosts {
		want |= memberHost
	}
	i := blanks(body, 0)
	if i >= len(body) || body[i] != '[' {
		return points{}, false
	}
	i = blanks(body, i+1)
	if i < len(body) && body[i] == ']' {
		return points{}, blanks(body, i+1) == len(body)
	}
	good := slices.Grow(room[:0], len(body)/bytesPerPoint+1)
	host := ""
	var mold mold
	for {
		if i >= len(body) || body[i] != '{' {
			return points{}, false
		}
		if name, v, next, ok := mold.cast(body, i); ok {
			if name, ok := pp.known(name); ok {
				last := &good[len(good)-1]
				good = append(good, saba.Point{Series: saba.Series{Host: host, Name: name}, Sample: saba.Sample{Time: last.Time, Value: v}})
				switch body[next] {
				case ',':
					i = blanks(body, next+1)
					continue
				case ']':
					return points{good: good}, blanks(body, next+1) == len(body)
				}
				return points{}, false
			}
		}
		mold.begin = i
		i = blanks(body, i+1)
		var p saba.Point
		for seen := 0; ; {
			member := 0
			switch {
			case at(body, i, `"hostId"`) && hosts:
				member, i = memberHost, i+len(`"hostId"`)
			case at(body, i, `"name"`):
				member, i = memberName, i+len(`"name"`)
			case at(body, i, `"time"`):
				member, i = memberTime, i+len(`"time"`)
			case at(body, i, `"value"`):
				member, i = memberValue, i+len(`"value"`)
			default:
				return points{}, false
			}
			if seen&member != 0 {
				return points{}, false
			}
			seen |= member
			if i = blanks(body, i); i >= len(body) || body[i] != ':' {
				return points{}, false
			}
			i = blanks(body, i+1)
			ok := false
			switch member {
			case memberHost:
				// Nearly every point has the host of the one before.
				if n := i + 1 + len(host); host != "" && n < len(body) && body[i] == '"' && body[n] == '"' && string(body[i+1:n]) == host {
					p.Host, i, ok = host, n+1, true
					break
				}
				var b []byte
				if b, i, ok = plainString(body, i); ok {
					host = pp.intern(b)
					p.Host = host
				}
			case memberName:
				var b []byte
				mold.name = i + 1
				if b, i, ok = plainString(body, i); ok {
					p.Name = pp.intern(b)
					mold.behind = i - 1
				}
			case memberTime:
				p.Time, i, ok = plainTime(body, i)
			case memberValue:
				mold.value = i
				p.Value, i, ok = number(body, i)
			}
			if !ok {
				return points{}, false
			}
			if i = blanks(body, i); i >= len(body) {
				return points{}, false
			}
			if body[i] == ',' {
				i = blanks(body, i+1)
				continue
			}
			if body[i] != '}' || seen != want {
				return points{}, false
			}
			// The value came last and the name before it: the next point may be of the same mold.
			mold.fits = member == memberValue && mold.name < mold.value
			break
		}
		good = append(good, p)
		if i = blanks(body, i+1); i >= len(body) {
			return points{}, false
		}
		switch body[i] {
		case ',':
			i = blanks(body, i+1)
		case ']':
			return points{good: good}, blanks(body, i+1) == len(body)
		default:
			return points{}, false
		}
	}
}

// A mold is what a point has besides its name and its value: the bytes before, between and behind
// them. The points of a batch are usually all of one mold.
type mold struct {
	fits   bool // the last point that was read has its members in an order that makes a mold
	begin  int  // of that point in the body
	name   int  // of the bytes of its name
	behind int  // behind those
	value  int
}

// cast reads the point at index i of b if it differs from the mold in name and value alone, and ends as points
// do. next is the index behind it: of a comma or a bracket. The bytes of name may be anything but a quote.
func (m *mold) cast(b []byte, i int) (name []byte, v float64, next int, ok bool) {
	if !m.fits {
		return nil, 0, i, false
	}
	head, middle := b[m.begin:m.name], b[m.behind:m.value]
	if len(b)-i < len(head) || string(b[i:i+len(head)]) != string(head) {
		return nil, 0, i, false
	}
	start := i + len(head)
	n := bytes.IndexByte(b[start:], '"')
	if n < 0 || len(b)-start-n < len(middle) || string(b[start+n:start+n+len(middle)]) != string(middle) {
		return nil, 0, i, false
	}
	v, next, ok = number(b, start+n+len(middle))
	if !ok || next+1 >= len(b) || b[next] != '}' || b[next+1] != ',' && b[next+1] != ']' {
		return nil, 0, i, false
	}
	return b[start : start+n], v, next + 1, true
}

// at says whether s stands in b at index i.
func at(b []byte, i int, s string) bool {
	return i+len(s) <= len(b) && string(b[i:i+len(s)]) == s
}

// blanks returns the index of the first byte of b at or after i that is not JSON white space.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// plainString reads a string of printable ASCII without escapes, and returns the index behind it.
func plainString(b []byte, i int) (s []byte, next int, ok bool) {
	if i >= len(b) || b[i] != '"' {
		return nil, i, false
	}
	start := i + 1
	for i = start; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[start:i], i + 1, true
		case c < ' ' || c > '~' || c == '\\':
			return nil, i, false
		}
	}
	return nil, i, false
}

// plainTime reads a whole number of at most 18 digits, and returns the index behind it.
func plainTime(b []byte, i int) (t int64, next int, ok bool) {
	start := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		t = t*10 + int64(b[i]-'0')
		i++
	}
	digits := i - start
	if digits == 0 || digits > 18 || b[start] == '0' && digits > 1 || i == len(b) || b[i] == '.' || b[i] == 'e' || b[i] == 'E' {
		return 0, i, false
	}
	return t, i, true
}

// tens are the powers of ten that a float64 holds exactly.
var tens = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// number reads a JSON number as the nearest float64, or as an infinity when there is none,
// and returns the index behind it.
func number(b []byte, i int) (v float64, next int, ok bool) {
	start := i
	negative := i < len(b) && b[i] == '-'
	if negative {
		i++
	}
	var mantissa uint64 // of the digits; right only while they are 19 or fewer
	whole := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - whole
	if digits == 0 || b[whole] == '0' && digits > 1 {
		return 0, i, false
	}
	fraction := 0
	if i < len(b) && b[i] == '.' {
		i++
		first := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			i++
		}
		if fraction = i - first; fraction == 0 {
			return 0, i, false
		}
		digits += fraction
	}
	simple := digits <= 19 && mantissa < 1<<53 && fraction < len(tens)
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		simple = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		if i == first {
			return 0, i, false
		}
	}
	if !simple {
		v, ok = parseNumber(string(b[start:i]))
		return v, i, ok
	}
	// Both are exact, so that the one division rounds correctly (Clinger 1990).
	v = float64(mantissa) / tens[fraction]
	if negative {
		v = -v
	}
	return v, i, true
}

// parseNumber converts a JSON number to the nearest float64; one that is too large is an infinity.
func parseNumber(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil || errors.Is(err, strconv.ErrRange)
}

// known returns b as a string if it is a string that intern made before: only then nothing in it can be
// out of place.
func (pp *pointParser) known(b []byte) (string, bool) {
	if len(b) > saba.MaxMetricName {
		return "", false
	}
	for _, s := range pp.set(b) {
		if s == string(b) {
			return s, s != ""
		}
	}
	return "", false
}

// intern returns b as a string, the same one for the same bytes where it can.
func (pp *pointParser) intern(b []byte) string {
	if len(b) > saba.MaxMetricName {
		return string(b) // to be dropped: not worth remembering
	}
	set := pp.set(b)
	for _, s := range set {
		if s == string(b) {
			return s
		}
	}
	copy(set[1:], set[:])
	set[0] = string(b)
	return set[0]
}

func (pp *pointParser) set(b []byte) *nameSet {
	return &pp.names[maphash.Bytes(pp.seed, b)%uint64(len(pp.names))]
}

// parsePointsSlowly is pointParser.parse for bodies of any shape, and what the fast path must agree with.
func parsePointsSlowly(body []byte, hosts bool) (points, error) {
	if err := validJSON(body); err != nil {
		return points{}, err
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	if body[0] == 'n' { // null: an agent that collected nothing
		return points{}, nil
	}
	if body[0] != '[' {
		return points{}, saba.Errorf(saba.ErrInvalid, "the request body must be an array of points, not %s (line 1, column 1)", jsonKind(body))
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return points{}, badJSON(body, err)
	}
	var result points
	for dec.More() {
		// One element after the other: an array of many tiny things must not become many large ones.
		var element json.RawMessage
		if err := dec.Decode(&element); err != nil {
			return points{}, badJSON(body, err)
		}
		if p, ok := parsePoint(element, hosts); ok {
			result.good = append(result.good, p)
			continue
		}
		if result.refused == 0 {
			result.example = string(element[:min(len(element), 256)])
		}
		result.refused++
	}
	if _, err := dec.Token(); err != nil && !errors.Is(err, io.EOF) {
		return points{}, badJSON(body, err)
	}
	return result, nil
}

// parsePoint reads one element of a body.
func parsePoint(element []byte, hosts bool) (p saba.Point, ok bool) {
	var raw struct {
		HostID json.RawMessage `json:"hostId"`
		Name   json.RawMessage `json:"name"`
		Time   json.RawMessage `json:"time"`
		Value  json.RawMessage `json:"value"`
	}
	if json.Unmarshal(element, &raw) != nil {
		return p, false
	}
	if hosts {
		if p.Host, ok = rawString(raw.HostID); !ok {
			return p, false
		}
	}
	if p.Name, ok = rawString(raw.Name); !ok {
		return p, false
	}
	if p.Time, ok = rawTime(string(raw.Time)); !ok {
		return p, false
	}
	if jsonKind(raw.Value) != "a number" {
		return p, false
	}
	p.Value, ok = parseNumber(string(raw.Value))
	return p, ok
}

// rawString decodes a JSON string.
func rawString(raw json.RawMessage) (s string, ok bool) {
	if jsonKind(raw) != "a string" {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}

// rawTime decodes a JSON number of whole seconds: 1700000000, and also 1700000000.0 and 1.7e9,
// which some languages write.
func rawTime(s string) (int64, bool) {
	if jsonKind([]byte(s)) != "a number" {
		return 0, false
	}
	if !strings.ContainsAny(s, ".eE") {
		t, err := strconv.ParseInt(s, 10, 64)
		return t, err == nil
	}
	const exact = 1 << 53
	f, ok := parseNumber(s)
	if !ok || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0, false
	}
	return int64(f), true
}
