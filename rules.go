package saba

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on what people write, in characters.
const (
	MaxObjectName  = 255  // of a monitor, channel, dashboard and the like
	MaxObjectMemo  = 8192 // of a downtime, dashboard and the like
	MaxMonitorMemo = 2048
)

// MaxReferences is how many elements a list of scopes, ids or addresses may hold.
const MaxReferences = 1000

// checkLine checks a text of one line: its length in characters, and that nothing in it would
// upset a terminal or a database.
func checkLine(field, s string, least, most int) error {
	switch n := utf8.RuneCountInString(s); {
	case n < least:
		return Invalidf(field, "is required, and must not be empty")
	case n > most:
		return Invalidf(field, "must be %d characters or fewer, not %d", most, n)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return Invalidf(field, "must not hold the control character %U", r)
	}
	return nil
}

// checkText checks a text of any number of lines.
func checkText(field, s string, most int) error {
	if n := utf8.RuneCountInString(s); n > most {
		return Invalidf(field, "must be %d characters or fewer, not %d", most, n)
	}
	if strings.ContainsRune(s, 0) {
		return Invalidf(field, "must not hold the control character U+0000")
	}
	return nil
}

// checkOneOf checks that v is one of allowed, and names them all when it is not.
func checkOneOf[T ~string](field string, v T, allowed ...T) error {
	if slices.Contains(allowed, v) {
		return nil
	}
	var names []string
	for _, a := range allowed {
		if a != "" { // it may be left out: nothing to name
			names = append(names, string(a))
		}
	}
	if v == "" {
		return Invalidf(field, "is required: one of %s", strings.Join(names, ", "))
	}
	return Invalidf(field, "must be one of %s, not %q", strings.Join(names, ", "), short(string(v)))
}

func checkBetween(field string, v, least, most int64) error {
	if v < least || v > most {
		return Invalidf(field, "must be from %d to %d, not %d", least, most, v)
	}
	return nil
}

// checkOptional checks a number that may be missing.
func checkOptional(field string, v *int64, least, most int64) error {
	if v == nil {
		return nil
	}
	return checkBetween(field, *v, least, most)
}

func checkCount(field string, n, most int) error {
	if n > most {
		return Invalidf(field, "must hold %d elements or fewer, not %d", most, n)
	}
	return nil
}

// short shortens a stranger's text for a message.
func short(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
