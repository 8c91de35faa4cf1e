package chart

import (
	"strings"
	"unicode"
)

// maxText bounds the length of a title or label, in characters.
const maxText = 200

// clean makes a title or label of a stranger fit to be shown: invalid UTF-8 becomes U+FFFD, line
// ends and other white space become blanks, and characters go that XML forbids, that
// cannot be seen or that would turn the text around them.
func clean(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s { // invalid bytes come as U+FFFD
		switch {
		case n == maxText:
			return b.String() + "…"
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r): // controls, format characters (bidi overrides too), what is unassigned
			continue
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// A ruler returns how wide a text is, in pixels.
type ruler func(s string, size float64, bold bool) float64

// textWidth estimates how wide a text is, in pixels. No font is at hand where an SVG is made,
// so it goes by classes of characters, and rather too wide than too narrow.
func textWidth(s string, size float64, bold bool) float64 {
	em := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("ijltfI.,:;'|!()[] \u202f", r):
			em += 0.33
		case strings.ContainsRune("mwMW%@—…", r):
			em += 0.9
		case 'A' <= r && r <= 'Z', r == '+', r == '=', r == '−', r == '~', r == '∞':
			em += 0.68
		case r < 0x1100:
			em += 0.59
		case unicode.Is(unicode.Mn, r):
		default: // Hangul, Han, kana, emoji
			em += 1.05
		}
	}
	if bold {
		em *= 1.07
	}
	return em * size
}

// fit cuts s, with an ellipsis, so that it is no wider than room pixels.
func (width ruler) fit(s string, size float64, bold bool, room float64) string {
	if width(s, size, bold) <= room {
		return s
	}
	room -= width("…", size, bold)
	end := 0
	for i, r := range s {
		room -= width(string(r), size, bold)
		if room < 0 {
			break
		}
		end = i + len(string(r))
	}
	return strings.TrimRight(s[:end], " ") + "…"
}
