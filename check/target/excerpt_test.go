package target

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzExcerpt(f *testing.F) {
	f.Add("220 mail ESMTP\r\nmore", 100)
	f.Add("\x00\xff\u2028\x1b[0m", 3)
	f.Add(strings.Repeat("é", 200), 100)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 1 || most > 1000 {
			return
		}
		got := Excerpt(s, most)
		if utf8.RuneCountInString(got) > most+1 || strings.ContainsAny(got, "\n\r\x00\x1b\u2028") || !utf8.ValidString(got) {
			t.Errorf("Excerpt(%q, %d) = %q", s, most, got)
		}
		if again := Excerpt(got, most+1); again != got {
			t.Errorf("Excerpt(%q, %d) = %q, and of that %q", s, most, got, again)
		}
	})
}
