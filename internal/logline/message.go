package logline

import (
	"bytes"
	"time"
)

// Logplex reads a message of a Logplex drain: RFC 5424 without the field of structured data, and nothing in its place.
//
//	<190>1 2026-01-02T03:04:05.678901+00:00 host app web.1 - sample#queue.size=3
//
// ok is false when it does not begin so. The line's Text is part of message.
func Logplex(message []byte) (l Line, ok bool) {
	rest, ok := bytes.CutPrefix(message, []byte("<"))
	if !ok {
		return Line{}, false
	}
	pri, rest, ok := bytes.Cut(rest, []byte(">1 "))
	if !ok || len(pri) == 0 || len(pri) > 3 {
		return Line{}, false
	}
	for _, c := range pri {
		if c < '0' || c > '9' {
			return Line{}, false
		}
	}
	var fields [5][]byte // time, host, app, process, message id
	for i := range fields {
		if fields[i], rest, ok = bytes.Cut(rest, []byte(" ")); !ok {
			if i < len(fields)-1 {
				return Line{}, false
			}
			rest = nil // an empty message
		}
	}
	at, err := time.Parse(time.RFC3339Nano, string(fields[0]))
	if err != nil {
		return Line{}, false
	}
	return Line{Time: at, Host: fieldOf(fields[1]), App: fieldOf(fields[2]), Proc: fieldOf(fields[3]), Text: bytes.TrimRight(rest, "\r\n")}, true
}

// fieldOf returns a header's field; - stands for none.
func fieldOf(b []byte) string {
	if len(b) == 1 && b[0] == '-' {
		return ""
	}
	return string(b)
}

// maxDigits bounds the length before a frame.
const maxDigits = 7

// Frame cuts the first frame off a body of octet-counted messages (RFC 6587, section 3.4.1): the length in decimal, a blank, the message. ok is
// false when there is none at the beginning; then lost is how much of body to leave out until one may begin again, all of it when none does.
func Frame(body []byte) (message, rest []byte, lost int, ok bool) {
	if message, rest, ok = frame(body); ok {
		return message, rest, 0, true
	}
	for i := 1; i < len(body); i++ {
		j := bytes.IndexByte(body[i:], '<')
		if j < 0 {
			break
		}
		// A frame that can be believed has a message that begins as one should behind its length.
		i += j
		start := i
		for start > 0 && i-start <= maxDigits && (body[start-1] == ' ' && start == i || '0' <= body[start-1] && body[start-1] <= '9') {
			start--
		}
		if start > 0 && start < i {
			if m, _, ok := frame(body[start:]); ok {
				if _, ok := Logplex(m); ok {
					return nil, body[start:], start, false
				}
			}
		}
	}
	return nil, nil, len(body), false
}

func frame(body []byte) (message, rest []byte, ok bool) {
	n, i := 0, 0
	for i < len(body) && i < maxDigits && '0' <= body[i] && body[i] <= '9' {
		n = n*10 + int(body[i]-'0')
		i++
	}
	if i == 0 || i == len(body) || body[i] != ' ' || n > len(body)-i-1 {
		return nil, nil, false
	}
	i++
	return body[i : i+n], body[i+n:], true
}
