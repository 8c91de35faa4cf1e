package otlp

import (
	"strconv"
	"strings"
)

// pairs are those of a map in the body of a log record, in their order.
type pairs []pair

type pair struct {
	key   string
	value any // text, bool, int64, float64, []string or pairs; nil for nothing
}

// setBody sets the text of a record: a map as logfmt, whose keys rules and people find.
func (r *Record) setBody(v any) {
	if p, ok := v.(pairs); ok {
		var b strings.Builder
		p.write(&b, "")
		r.Body = b.String()
		return
	}
	text, ok := textOf(v)
	if !ok {
		r.Bad = "the body of a log record is neither text nor a map"
	}
	r.Body = text
}

// write writes key=value, with a dot between the keys of maps in maps.
func (p pairs) write(b *strings.Builder, prefix string) {
	for _, one := range p {
		key := prefix + strings.Map(func(c rune) rune {
			if c <= ' ' || c == '=' || c == '"' {
				return '_'
			}
			return c
		}, one.key)
		if inner, ok := one.value.(pairs); ok {
			inner.write(b, key+".")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(key)
		b.WriteByte('=')
		text, _ := textOf(one.value)
		if strings.ContainsAny(text, " \t\r\n\"=") {
			text = strconv.Quote(text)
		}
		b.WriteString(text)
	}
}
