package promapi

import (
	"encoding/binary"
	"errors"
	"math"
)

// A message is a protobuf message that is read field by field, without copies: of the few messages
// here a tenth of the fields is of use, and the generated decoders allocate for all of them. See
// https://protobuf.dev/programming-guides/encoding.
type message struct {
	rest   []byte
	number uint64 // of the field that next found
	kind   wireType
	scalar uint64 // of a varint or fixed field
	bytes  []byte // of a length-delimited one
	err    error
}

// A wireType says how a field is encoded.
type wireType byte

const (
	varint  wireType = 0
	fixed64 wireType = 1
	lengthy wireType = 2
	fixed32 wireType = 5
)

var errWire = errors.New("it is not the protobuf message that its Content-Type promises")

// next moves to the next field. It returns false at the end, and when the message is broken, which err says.
func (m *message) next() bool {
	if m.err != nil || len(m.rest) == 0 {
		return false
	}
	tag, ok := m.uvarint()
	m.number, m.kind = tag>>3, wireType(tag&7)
	if !ok || m.number == 0 || m.number > 1<<29-1 {
		return m.broken()
	}
	switch m.kind {
	case varint:
		if m.scalar, ok = m.uvarint(); !ok {
			return m.broken()
		}
	case fixed64:
		if len(m.rest) < 8 {
			return m.broken()
		}
		m.scalar, m.rest = binary.LittleEndian.Uint64(m.rest), m.rest[8:]
	case fixed32:
		if len(m.rest) < 4 {
			return m.broken()
		}
		m.scalar, m.rest = uint64(binary.LittleEndian.Uint32(m.rest)), m.rest[4:]
	case lengthy:
		n, ok := m.uvarint()
		if !ok || n > uint64(len(m.rest)) {
			return m.broken()
		}
		m.bytes, m.rest = m.rest[:n], m.rest[n:]
	default:
		return m.broken()
	}
	return true
}

func (m *message) broken() bool {
	m.err = errWire
	return false
}

func (m *message) uvarint() (uint64, bool) {
	v, n := binary.Uvarint(m.rest)
	if n <= 0 {
		return 0, false
	}
	m.rest = m.rest[n:]
	return v, true
}

// is says whether the field is the one of that number; one of another type breaks the message.
func (m *message) is(number uint64, kind wireType) bool {
	if m.number != number || m.err != nil {
		return false
	}
	if m.kind != kind {
		m.err = errWire
		return false
	}
	return true
}

// float returns the value of a double.
func (m *message) float() float64 { return math.Float64frombits(m.scalar) }

// integer returns the value of an int64.
func (m *message) integer() int64 { return int64(m.scalar) }

// sub returns the message that the field holds.
func (m *message) sub() message { return message{rest: m.bytes} }

// scalars calls f for each number of a repeated field of that kind, packed or not.
func (m *message) scalars(number uint64, kind wireType, f func(uint64)) {
	switch {
	case m.number != number || m.err != nil:
	case m.kind == kind:
		f(m.scalar)
	case m.kind == lengthy:
		in := message{rest: m.bytes}
		for len(in.rest) > 0 {
			if kind == varint {
				v, ok := in.uvarint()
				if !ok {
					m.err = errWire
					return
				}
				f(v)
				continue
			}
			if len(in.rest) < 8 {
				m.err = errWire
				return
			}
			f(binary.LittleEndian.Uint64(in.rest))
			in.rest = in.rest[8:]
		}
	default:
		m.err = errWire
	}
}
