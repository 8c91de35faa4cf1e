package tsdb

import (
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
)

// Senders of other systems name a series by a metric and labels. In a saba.Series both stand in
// Name, in the one form that SeriesName writes:
//
//	http_requests_total{code="200",path="/a\"b"}
//
// The labels are sorted, " and \ are escaped, and nothing else is. The engine gets them as labels,
// each with extraPrefix before its name, so that none can be taken for one of ours.
const extraPrefix = "x."

// maxLabelled bounds the name of a series with its labels, in bytes.
const maxLabelled = 4 << 10

// SeriesName returns the Name of a saba.Series for the metric name and the labels of l. Append
// drops what is no such name (see validName).
func (db *DB) SeriesName(l labels.Labels) string {
	var b strings.Builder
	b.WriteString(l.Get(nameLabel))
	n := 0
	l.Range(func(p labels.Label) {
		if p.Name != nameLabel {
			writeLabel(&b, n, p.Name, p.Value)
			n++
		}
	})
	if n > 0 {
		b.WriteByte('}')
	}
	return b.String()
}

// writeLabel writes the n-th label of a series, counted from 0.
func writeLabel(b *strings.Builder, n int, name, value string) {
	if n == 0 {
		b.WriteByte('{')
	} else {
		b.WriteByte(',')
	}
	b.WriteString(name)
	b.WriteString(`="`)
	for i := range len(value) {
		if c := value[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	b.WriteByte('"')
}

// isLabelled says whether the Name of a series holds labels.
func isLabelled(name string) bool { return strings.Contains(name, "{") }

// baseName returns the metric name of a series, without its labels.
func baseName(name string) string {
	base, _, _ := strings.Cut(name, "{")
	return base
}

// splitName is the inverse of SeriesName. ok is false when SeriesName writes no such name.
func splitName(name string) (base string, extra []labels.Label, ok bool) {
	base, rest, labelled := strings.Cut(name, "{")
	if len(name) > maxLabelled || len(base) > saba.MaxMetricName || !plain(base) {
		return base, nil, false
	}
	if !labelled {
		return base, nil, true
	}
	for {
		key, after, found := strings.Cut(rest, `="`)
		if !found || !plain(key) || len(extra) > 0 && key <= extra[len(extra)-1].Name {
			return base, nil, false
		}
		value, after, found := unquote(after)
		if !found || value == "" { // a label without a value is no label
			return base, nil, false
		}
		extra = append(extra, labels.Label{Name: key, Value: value})
		switch {
		case after == "}":
			return base, extra, true
		case !strings.HasPrefix(after, ","):
			return base, nil, false
		}
		rest = after[1:]
	}
}

// unquote reads a value as writeLabel wrote it, up to and with the closing quote.
func unquote(s string) (value, after string, ok bool) {
	end := strings.IndexAny(s, `"\`)
	if end >= 0 && s[end] == '"' {
		return s[:end], s[end+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// plain says whether s may name a metric or a label of another system: the characters of our
// names, and : and / which theirs have besides.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-', c == ':', c == '/':
		default:
			return false
		}
	}
	return s != ""
}

// validName says whether a series may be called name: a metric name, with labels or without.
func validName(name string) bool {
	_, _, ok := splitName(name)
	return ok
}

// isExtra says whether a label of the engine is one that came with the series, and returns its name there.
func isExtra(name string) (string, bool) { return strings.CutPrefix(name, extraPrefix) }

// nameOf returns the Name of the series that has the labels l in the engine.
func nameOf(l labels.Labels) string {
	name := l.Get(nameLabel)
	if l.Len() <= 3 { // name, organization and owner: as nearly all
		return name
	}
	var b strings.Builder
	b.WriteString(name)
	n := 0
	l.Range(func(p labels.Label) {
		if key, ok := isExtra(p.Name); ok {
			writeLabel(&b, n, key, p.Value)
			n++
		}
	})
	if n > 0 {
		b.WriteByte('}')
	}
	return b.String()
}

// Active returns how many series of an organization got a sample in the last 48 hours, as far as
// memory knows (see Latest).
func (db *DB) Active(org string) int {
	n := &db.newest
	n.mu.RLock()
	defer n.mu.RUnlock()
	count := 0
	for k, o := range n.owners {
		if k.org == org {
			count += len(o.series)
		}
	}
	return count
}
