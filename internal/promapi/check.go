package promapi

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/saba-monitor/saba"
)

// CheckQuery checks what a monitor may ask: PromQL that yields series or one number, in which names may hold dots, as those of OpenTelemetry
// do. The error is a saba.FieldError of "query"; it says where, in line and column, and what is wrong there.
func CheckQuery(query string) error {
	// Of the same length, so that places stay.
	expr, err := newParser().ParseExpr(undotted(query))
	var all parser.ParseErrors
	switch {
	case errors.As(err, &all) && len(all) > 0:
		start := min(max(int(all[0].PositionRange.Start), 0), len(query))
		before := query[:start]
		line := strings.Count(before, "\n") + 1
		column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
		return saba.Invalidf("query", "cannot be read as PromQL, at line %d, column %d: %v", line, column, all[0].Err)
	case err != nil:
		return saba.Invalidf("query", "cannot be read as PromQL: %v", err)
	}
	switch t := expr.Type(); t {
	case parser.ValueTypeVector, parser.ValueTypeScalar:
		return nil
	default:
		return saba.Invalidf("query", "must yield series with one value at a time, not a %s", parser.DocumentedType(t))
	}
}

// undotted returns a query with an underscore in place of every dot of a name. Other dots are in numbers, texts and comments.
func undotted(query string) string {
	b := []byte(query)
	letter := func(c byte) bool { return c == '_' || c == ':' || 'a' <= c|0x20 && c|0x20 <= 'z' }
	inWord := func(c byte) bool { return letter(c) || c == '.' || '0' <= c && c <= '9' }
	for i := 0; i < len(b); {
		c := b[i]
		end := i + 1
		switch {
		case c == '"' || c == '\'' || c == '`':
			for end < len(b) && b[end] != c {
				if b[end] == '\\' && c != '`' {
					end++
				}
				end++
			}
			end++
		case c == '#':
			for end < len(b) && b[end] != '\n' {
				end++
			}
		case inWord(c):
			for end < len(b) && inWord(b[end]) {
				if b[end] == '.' && letter(c) {
					b[end] = '_'
				}
				end++
			}
		}
		i = end
	}
	return string(b)
}
