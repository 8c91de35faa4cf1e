package agent

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/saba-monitor/saba"
)

// The payloads of the queue's records; FORMAT.md draws them. Each batch is complete in itself:
// names are shortened against the name before in the same batch and against nothing else, so
// that a damaged record takes no other with it.
const (
	kindBatch   = 1 // a batch that waits
	kindDone    = 2 // batches that wait no longer
	kindStamped = 3 // a batch that waits, with the clocks by which it was stamped
)

var errPayload = errors.New("the record's content makes no sense")

// ownTime marks a reading whose time is not its batch's minute.
const ownTime = 0x10

// seqAt is where a batch's payload holds its number, in 8 bytes: the place is fixed because a
// batch that waited for the disk may be numbered anew.
const seqAt = 1

// appendBatch appends the payload of b under its number. No name is longer than saba.MaxMetricName.
func appendBatch(p []byte, b batch) []byte {
	kind := byte(kindBatch)
	if b.clock.boot != 0 {
		kind = kindStamped
	}
	p = append(p, kind)
	p = binary.LittleEndian.AppendUint64(p, b.seq)
	if kind == kindStamped {
		p = appendClock(p, b.clock)
	}
	p = binary.AppendVarint(p, b.Minute)
	p = binary.AppendUvarint(p, uint64(len(b.Readings)))
	p = binary.AppendUvarint(p, uint64(len(b.Identifier)))
	p = append(p, b.Identifier...)
	before := ""
	for _, r := range b.Readings {
		value := math.Float64bits(r.Value)
		n := 8 - bits.TrailingZeros64(value)/8 // whole and short numbers end in zeros; 0 takes no byte
		control := byte(n)
		if r.Time != b.Minute {
			control |= ownTime
		}
		p = append(p, control)
		if r.Time != b.Minute {
			p = binary.AppendVarint(p, r.Time-b.Minute)
		}
		head, tail := shared(before, r.Name)
		middle := r.Name[head : len(r.Name)-tail]
		p = binary.AppendUvarint(p, uint64(head))
		p = binary.AppendUvarint(p, uint64(tail))
		p = binary.AppendUvarint(p, uint64(len(middle)))
		p = append(p, middle...)
		for i := range n {
			p = append(p, byte(value>>(56-8*i)))
		}
		before = r.Name
	}
	return p
}

// appendClock appends the clocks of a batch.
func appendClock(p []byte, c stampClock) []byte {
	p = binary.LittleEndian.AppendUint64(p, c.boot)
	p = binary.AppendVarint(p, c.zero)
	if !c.heard {
		return append(p, 0)
	}
	return binary.AppendVarint(append(p, 1), c.zero-c.server)
}

// farZero bounds, in seconds on either side of 1970, what a clock shows: sums with it do not overflow.
const farZero = 1 << 40

// readClock is the reverse of appendClock.
func readClock(r *payloadReader) (c stampClock) {
	if boot := r.bytes(8); boot != nil {
		c.boot = binary.LittleEndian.Uint64(boot)
	}
	c.zero = r.varint()
	switch r.byte() {
	case 0:
	case 1:
		c.server, c.heard = c.zero-r.varint(), true
	default:
		r.err = errPayload
	}
	far := func(t int64) bool { return t < -farZero || t > farZero }
	if c.boot == 0 || far(c.zero) || far(c.server) {
		r.err = errPayload
	}
	return c
}

// shared returns how many bytes a and b have in common at their beginnings, and how many more at their ends.
func shared(a, b string) (head, tail int) {
	n := min(len(a), len(b))
	for head < n && a[head] == b[head] {
		head++
	}
	for tail < n-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return head, tail
}

// A payloadReader reads a payload from its beginning. After an error it yields zeros.
type payloadReader struct {
	rest []byte
	err  error
}

func (r *payloadReader) bytes(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err = errPayload
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *payloadReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *payloadReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.err != nil || n <= 0 {
		r.err = errPayload
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *payloadReader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// leastReading is the number of bytes of the shortest reading.
const leastReading = 4

// readBatchHead reads what a batch's payload says before its readings: the batch without them, and their number.
func readBatchHead(r *payloadReader) (b batch, count int, err error) {
	kind := r.byte()
	if kind != kindBatch && kind != kindStamped {
		return batch{}, 0, errPayload
	}
	if seq := r.bytes(8); seq != nil {
		b.seq = binary.LittleEndian.Uint64(seq)
	}
	if kind == kindStamped {
		b.clock = readClock(r)
	}
	b.Minute = r.varint()
	n := r.uvarint()
	b.Identifier = string(r.bytes(r.uvarint()))
	if r.err != nil || n == 0 || n > uint64(len(r.rest)/leastReading) {
		return batch{}, 0, errPayload
	}
	return b, int(n), nil
}

// parseBatch is the reverse of appendBatch. names holds names that were read before, so that
// each is in memory once.
func parseBatch(payload []byte, names map[string]string) (batch, error) {
	r := &payloadReader{rest: payload}
	b, count, err := readBatchHead(r)
	if err != nil {
		return batch{}, err
	}
	b.Readings = make([]reading, 0, count)
	var name, next []byte
	for range count {
		control := r.byte()
		n := int(control &^ ownTime)
		t := b.Minute
		if control&ownTime != 0 {
			t += r.varint()
		}
		head, tail := r.uvarint(), r.uvarint()
		middle := r.bytes(r.uvarint())
		digits := r.bytes(uint64(n))
		// Each is compared by itself: their sum might overflow.
		size := uint64(len(name))
		if r.err != nil || n > 8 || head > size || tail > size-head || head+tail+uint64(len(middle)) > saba.MaxMetricName {
			return batch{}, errPayload
		}
		next = append(next[:0], name[:head]...)
		next = append(next, middle...)
		next = append(next, name[len(name)-int(tail):]...)
		name, next = next, name
		var value uint64
		for i, d := range digits {
			value |= uint64(d) << (56 - 8*i)
		}
		known, ok := names[string(name)]
		if !ok {
			known = string(name)
			names[known] = known
		}
		b.Readings = append(b.Readings, reading{known, saba.Sample{Time: t, Value: math.Float64frombits(value)}})
	}
	if len(r.rest) > 0 {
		return batch{}, errPayload
	}
	return b, nil
}

// A span is a range of batch numbers, both ends included.
type span struct{ first, last uint64 }

// spansOf returns the spans that hold seqs, in ascending order. It sorts seqs.
func spansOf(seqs []uint64) []span {
	slices.Sort(seqs)
	var spans []span
	for _, seq := range seqs {
		if n := len(spans); n > 0 && seq <= spans[n-1].last+1 {
			spans[n-1].last = seq
		} else {
			spans = append(spans, span{seq, seq})
		}
	}
	return spans
}

// gapsBetween returns the spans of numbers up to last that seqs does not hold. It sorts seqs.
func gapsBetween(seqs []uint64, last uint64) []span {
	var gaps []span
	next := uint64(0)
	for _, s := range spansOf(seqs) {
		if s.first > next {
			gaps = append(gaps, span{next, s.first - 1})
		}
		next = s.last + 1
	}
	if next <= last {
		gaps = append(gaps, span{next, last})
	}
	return gaps
}

// maxSpans bounds the spans of one record: each takes 20 bytes at most.
const maxSpans = maxPayload / 20 / 2

// appendDone appends the payload that says that the batches in spans are done. spans ascend
// and do not touch; they are maxSpans at most.
func appendDone(p []byte, spans []span) []byte {
	p = append(p, kindDone)
	next := uint64(0)
	for _, s := range spans {
		p = binary.AppendUvarint(p, s.first-next)
		p = binary.AppendUvarint(p, s.last-s.first)
		next = s.last + 1
	}
	return p
}

// parseDone is the reverse of appendDone.
func parseDone(payload []byte) ([]span, error) {
	r := &payloadReader{rest: payload}
	if r.byte() != kindDone {
		return nil, errPayload
	}
	var spans []span
	for next := uint64(0); len(r.rest) > 0; {
		gap, more := r.uvarint(), r.uvarint()
		first := next + gap
		last := first + more
		if r.err != nil || first < next || last < first || last == math.MaxUint64 {
			return nil, errPayload
		}
		spans = append(spans, span{first, last})
		next = last + 1
	}
	if r.err != nil {
		return nil, r.err
	}
	return spans, nil
}

// renumber changes the number of the batch in record.
func renumber(record []byte, seq uint64) {
	binary.LittleEndian.PutUint64(record[recordHeaderSize+seqAt:], seq)
	sealRecord(record)
}
