package syslog

import (
	"bytes"

	"github.com/saba-monitor/saba/internal/logline"
)

// Limits of what stands between messages.
const (
	firstBuffer = 16 << 10 // bytes, which grow to what a message needs
	leastRead   = 2 << 10  // bytes that there is room for at least
	maxDigits   = 7        // of the length before a message
	// maxFrame is the longest message that is passed over by its length. A longer one is taken for a wrong length.
	maxFrame = 1 << 20
)

// A framing is how messages are told apart (RFC 6587, section 3.4).
type framing int

const (
	unknown framing = iota
	counted         // each behind its length in octets and a blank
	ended           // each before a newline, or a NUL as some senders have it
)

// A splitter cuts a stream into messages. Which framing a stream has is told by how it begins, and stays. The zero value is ready.
type splitter struct {
	mem     []byte // where buf lies
	buf     []byte // read, and not cut yet
	framing framing
	skip    int  // bytes of a message that is too long to be kept, still to come
	lost    bool // what comes up to the next message that can be recognized is rubbish, or the rest of a line that was too long
	looked  int  // bytes of buf in which no newline is
	before  byte // what was cut off last
}

// room returns where to read to: never nothing.
func (s *splitter) room() []byte {
	if cap(s.buf)-len(s.buf) < leastRead {
		if 2*len(s.buf) >= len(s.mem) {
			s.mem = make([]byte, max(firstBuffer, 2*len(s.mem)))
		}
		s.buf = s.mem[:copy(s.mem, s.buf)]
	}
	return s.buf[len(s.buf):cap(s.buf)]
}

// filled says that n bytes were read into room.
func (s *splitter) filled(n int) { s.buf = s.buf[:len(s.buf)+n] }

// partial says whether a message has begun and is not whole.
func (s *splitter) partial() bool { return len(s.buf) > 0 || s.skip > 0 }

// next cuts off the next message, which is valid until the next call of room. ok is false when there is none yet. With a reason, message is what was
// refused, or its beginning. When the stream has ended, what is left of it is a message too if its framing lets it be one.
func (s *splitter) next(atEnd bool) (message []byte, refused logline.Reason, ok bool) {
	if s.skip > 0 {
		n := min(s.skip, len(s.buf))
		s.cut(n)
		if s.skip -= n; s.skip > 0 {
			return nil, "", false
		}
	}
	if s.framing == unknown {
		// One that sends nothing but blank lines stays unknown.
		s.cut(len(s.buf) - len(bytes.TrimLeft(s.buf, "\r\n\x00")))
		switch length, state := header(s.buf); {
		case len(s.buf) == 0, state == short && !atEnd:
			return nil, "", false
		case state == whole && length > 0:
			s.framing = counted
		default:
			s.framing = ended
		}
	}
	if s.framing == counted {
		return s.nextCounted(atEnd)
	}
	return s.nextEnded(atEnd)
}

// nextCounted cuts a message off that stands behind its length.
func (s *splitter) nextCounted(atEnd bool) (message []byte, refused logline.Reason, ok bool) {
	if s.lost {
		at, found := resume(s.buf, digit(s.before), atEnd)
		s.cut(at)
		if !found {
			return nil, "", false
		}
		s.lost = false
	}
	// Some senders end counted messages with a newline that they do not count.
	s.cut(len(s.buf) - len(bytes.TrimLeft(s.buf, "\r\n\x00")))
	length, state := header(s.buf)
	switch {
	case len(s.buf) == 0 || state == short && !atEnd:
		return nil, "", false
	case state != whole || length == 0 || length > maxFrame:
		s.lost = true
		message = s.buf[:min(len(s.buf), logline.MaxLine)]
		s.cut(1) // or the same place would be found again
		return message, logline.BadFrame, true
	}
	begin := bytes.IndexByte(s.buf, ' ') + 1
	switch {
	case length > logline.MaxLine:
		message = s.buf[begin:]
		s.skip = length - min(length, len(message))
		s.cut(begin + min(length, len(message)))
		return message, logline.TooLong, true
	case begin+length > len(s.buf):
		if atEnd {
			message = s.buf
			s.cut(len(s.buf))
			return message, logline.BadFrame, true
		}
		return nil, "", false
	}
	message = s.buf[begin : begin+length]
	s.cut(begin + length)
	return message, "", true
}

// nextEnded cuts a message off that stands before a newline.
func (s *splitter) nextEnded(atEnd bool) (message []byte, refused logline.Reason, ok bool) {
	for {
		i := bytes.IndexAny(s.buf[s.looked:], "\n\x00")
		switch {
		case i >= 0:
			message = s.buf[:s.looked+i]
			s.cut(s.looked + i + 1)
		case s.lost:
			s.cut(len(s.buf))
			return nil, "", false
		case len(s.buf) > logline.MaxLine:
			message = s.buf
			s.cut(len(s.buf))
			s.lost = true
			return message, logline.TooLong, true
		case atEnd && len(s.buf) > 0:
			message = s.buf
			s.cut(len(s.buf))
		default:
			s.looked = len(s.buf)
			return nil, "", false
		}
		if s.lost { // the rest of the one that was too long
			s.lost = false
			continue
		}
		if message = bytes.TrimRight(message, "\r"); len(message) == 0 {
			continue
		}
		if len(message) > logline.MaxLine {
			return message, logline.TooLong, true
		}
		return message, "", true
	}
}

// cut lets go of the first n bytes. They stay where they are until room makes more: what next returned is part of them.
func (s *splitter) cut(n int) {
	if n > 0 {
		s.before = s.buf[n-1]
	}
	s.buf, s.looked = s.buf[n:], 0
}

// The states of a header.
type headerState int

const (
	whole headerState = iota
	short             // it may become whole with more bytes
	none              // it is none
)

// header reads the length before a message. Behind it must come what a message begins with.
func header(b []byte) (length int, state headerState) {
	i := 0
	for i < len(b) && i <= maxDigits && digit(b[i]) {
		length = length*10 + int(b[i]-'0')
		i++
	}
	switch {
	case i > maxDigits, i == 0 && len(b) > 0, i > 0 && b[0] == '0':
		return 0, none
	case i == len(b):
		return 0, short
	case b[i] != ' ':
		return 0, none
	case i+1 == len(b):
		return 0, short
	case b[i+1] != '<':
		return 0, none
	}
	return length, whole
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// resume finds where in rubbish a message may begin: a length, a blank, and the <. The end of a longer number is no length; within says that b begins
// within one. What cannot be the beginning of one is passed over once: at is how much of b that is.
func resume(b []byte, within, atEnd bool) (at int, found bool) {
	from := 0
	for {
		i := bytes.IndexByte(b[from:], '<')
		if i < 0 {
			break
		}
		i += from
		begin := i - 1
		for begin > 0 && i-begin <= maxDigits && digit(b[begin-1]) {
			begin--
		}
		if begin >= 0 && begin < i-1 && b[i-1] == ' ' && !(begin > 0 && digit(b[begin-1])) && !(begin == 0 && within) {
			if length, state := header(b[begin:]); state == whole && length > 0 && length <= maxFrame {
				return begin, true
			}
		}
		from = i + 1
	}
	if atEnd {
		return len(b), false
	}
	return max(from, len(b)-maxDigits-1), false // the end may be the beginning of one
}
