// Package protowire reads and writes protobuf messages field by field, without generated code and without copies: of the few messages that are read
// here a tenth of the fields is of use. See https://protobuf.dev/programming-guides/encoding. It imports nothing of saba. Start with Message.
package protowire

import (
	"encoding/binary"
	"errors"
	"math"
)

// A Message is a protobuf message that is read field by field: call Next until it is false, then look at Err.
type Message struct {
	Number uint64 // of the field that Next found
	Kind   Type
	Scalar uint64 // of a varint or fixed field
	Bytes  []byte // of a length-delimited one: a part of the message
	Err    error  // ErrBroken, or nil
	rest   []byte
}

// Read returns the message that b holds, which must not change while it is read.
func Read(b []byte) Message { return Message{rest: b} }

// A Type says how a field is encoded.
type Type byte

// The encodings.
const (
	Varint  Type = 0
	Fixed64 Type = 1
	Lengthy Type = 2
	Fixed32 Type = 5
)

// ErrBroken says that a message is none.
var ErrBroken = errors.New("it is not the protobuf message that its Content-Type promises")

// Next moves to the next field. It returns false at the end, and when the message is broken, which Err says.
func (m *Message) Next() bool {
	if m.Err != nil || len(m.rest) == 0 {
		return false
	}
	tag, ok := m.uvarint()
	m.Number, m.Kind = tag>>3, Type(tag&7)
	if !ok || m.Number == 0 || m.Number > 1<<29-1 {
		return m.broken()
	}
	switch m.Kind {
	case Varint:
		if m.Scalar, ok = m.uvarint(); !ok {
			return m.broken()
		}
	case Fixed64:
		if len(m.rest) < 8 {
			return m.broken()
		}
		m.Scalar, m.rest = binary.LittleEndian.Uint64(m.rest), m.rest[8:]
	case Fixed32:
		if len(m.rest) < 4 {
			return m.broken()
		}
		m.Scalar, m.rest = uint64(binary.LittleEndian.Uint32(m.rest)), m.rest[4:]
	case Lengthy:
		n, ok := m.uvarint()
		if !ok || n > uint64(len(m.rest)) {
			return m.broken()
		}
		m.Bytes, m.rest = m.rest[:n], m.rest[n:]
	default:
		return m.broken()
	}
	return true
}

func (m *Message) broken() bool {
	m.Err = ErrBroken
	return false
}

func (m *Message) uvarint() (uint64, bool) {
	v, n := binary.Uvarint(m.rest)
	if n <= 0 {
		return 0, false
	}
	m.rest = m.rest[n:]
	return v, true
}

// Is says whether the field is the one of that number; one of another type breaks the message.
func (m *Message) Is(number uint64, kind Type) bool {
	if m.Number != number || m.Err != nil {
		return false
	}
	if m.Kind != kind {
		m.Err = ErrBroken
		return false
	}
	return true
}

// Float returns the value of a double.
func (m *Message) Float() float64 { return math.Float64frombits(m.Scalar) }

// Integer returns the value of an int64.
func (m *Message) Integer() int64 { return int64(m.Scalar) }

// Sub returns the message that the field holds.
func (m *Message) Sub() Message { return Message{rest: m.Bytes} }

// Scalars calls f for each number of a repeated field of that kind, packed or not.
func (m *Message) Scalars(number uint64, kind Type, f func(uint64)) {
	switch {
	case m.Number != number || m.Err != nil:
	case m.Kind == kind:
		f(m.Scalar)
	case m.Kind == Lengthy:
		in := Message{rest: m.Bytes}
		for len(in.rest) > 0 {
			if kind == Varint {
				v, ok := in.uvarint()
				if !ok {
					m.Err = ErrBroken
					return
				}
				f(v)
				continue
			}
			if len(in.rest) < 8 {
				m.Err = ErrBroken
				return
			}
			f(binary.LittleEndian.Uint64(in.rest))
			in.rest = in.rest[8:]
		}
	default:
		m.Err = ErrBroken
	}
}

// AppendBytes appends a length-delimited field to a message. number is at most 15.
func AppendBytes(to []byte, number byte, b []byte) []byte {
	to = append(to, number<<3|byte(Lengthy))
	return append(binary.AppendUvarint(to, uint64(len(b))), b...)
}

// AppendVarint appends a field with a number that is not negative. number is at most 15.
func AppendVarint(to []byte, number byte, v uint64) []byte {
	return binary.AppendUvarint(append(to, number<<3|byte(Varint)), v)
}
