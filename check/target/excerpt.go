package target

import (
	"strings"
	"unicode"
)

// Excerpt returns the first line of what a target said, with at most that number of characters
// and none that a terminal acts on.
func Excerpt(s string, most int) string {
	if len(s) > 4*most { // the longest that a character can be
		s = s[:4*most]
	}
	line, _, _ := strings.Cut(strings.ToValidUTF8(s, "\uFFFD"), "\n")
	line = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, line))
	if r := []rune(line); len(r) > most {
		line = string(r[:most]) + "…"
	}
	return line
}
