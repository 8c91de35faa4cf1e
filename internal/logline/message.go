package logline

import "bytes"

// Logplex reads a message of a Logplex drain: RFC 5424 without the field of structured data, and nothing in its place.
//
//	<190>1 2026-01-02T03:04:05.678901+00:00 host app web.1 - sample#queue.size=3
//
// ok is false when it does not begin so. The line's Text is part of message.
func Logplex(message []byte) (l Line, ok bool) {
	rest, ok := priority(message)
	if !ok || !bytes.HasPrefix(rest, []byte("1 ")) {
		return Line{}, false
	}
	rest = rest[len("1 "):]
	var fields [5][]byte // time, host, app, process, message id
	for i := range fields {
		if fields[i], rest, ok = bytes.Cut(rest, []byte(" ")); !ok {
			if i < len(fields)-1 {
				return Line{}, false
			}
			rest = nil // an empty message
		}
	}
	at, ok := stamp(fields[0])
	if !ok {
		return Line{}, false
	}
	return Line{Time: at, Host: fieldOf(fields[1]), App: fieldOf(fields[2]), Proc: fieldOf(fields[3]), Text: bytes.TrimRight(rest, "\r\n")}, true
}

// fieldOf returns a header's field; - stands for none. What stands in nearly every line of Heroku is no new string each time.
func fieldOf(b []byte) string {
	switch string(b) {
	case "-":
		return ""
	case "host":
		return "host"
	case "app":
		return "app"
	case "heroku":
		return "heroku"
	case "router":
		return "router"
	case "web.1":
		return "web.1"
	}
	return string(b)
}

// maxDigits bounds the length before a frame.
const maxDigits = 7

// Frame cuts the first frame off a body of octet-counted messages (RFC 6587, section 3.4.1): the length in decimal, a blank, the message. ok is
// false when there is none at the beginning, or when its length is wrong: it leads neither to the end of a line nor to another frame. Then lost is how
// much of body to leave out until one may begin again, all of it when none does.
//
// Over all the frames of a body that costs time in proportion to its length, whatever it holds.
func Frame(body []byte) (message, rest []byte, lost int, ok bool) {
	if message, rest, ok = frame(body); ok && (len(rest) == 0 || bytes.HasSuffix(message, []byte("\n")) || begins(rest)) {
		return message, rest, 0, true
	}
	// A frame that can be believed has a message that begins as one should behind its length.
	for i := 1; i < len(body); i++ {
		j := bytes.IndexByte(body[i:], '<')
		if j < 0 {
			break
		}
		i += j
		start := i - 1
		if body[start] != ' ' {
			continue
		}
		for start > 0 && i-start <= maxDigits && '0' <= body[start-1] && body[start-1] <= '9' {
			start--
		}
		if start > 0 && begins(body[start:]) {
			return nil, body[start:], start, false
		}
	}
	return nil, nil, len(body), false
}

// frame cuts off what the length at the beginning of body says.
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

// begins says whether a frame with a message of syslog begins at body. It looks at the first bytes alone.
func begins(body []byte) bool {
	message, _, ok := frame(body)
	if !ok {
		return false
	}
	_, ok = priority(message)
	return ok
}
