package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A segment is an append-only file of checksummed records; FORMAT.md draws it. This file knows
// bytes alone: what the payloads mean is up to its user, and so are the files themselves.
//
// A record is found by its mark and believed by its checksum. So whatever is torn, zeroed or
// overwritten costs the records that it covers, and reading goes on at the next one.

const (
	segmentHeaderSize = 12 // a kind of 7 bytes, the version, the checksum of both
	recordHeaderSize  = 10 // the mark, the payload's length, the checksum of length and payload

	// maxPayload bounds a record, so that a damaged length is not believed.
	maxPayload = 512 << 10
)

// recordMark begins every record: two bytes that no text in UTF-8 holds.
const recordMark = "\xf5\x9b"

// castagnoli is the polynomial that processors compute by themselves. Its table is made with the first call, as most
// programs of this binary need none.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

var errDamaged = errors.New("the record is damaged")

// appendSegmentHeader appends the beginning of a segment. kind has 7 bytes.
func appendSegmentHeader(b []byte, kind string, version byte) []byte {
	at := len(b)
	b = append(append(b, kind...), version)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli()))
}

// segmentVersion returns the version in the header of the segment that data begins. It is false when
// that is not the header of a segment of this kind, or not any more.
func segmentVersion(data []byte, kind string) (version byte, ok bool) {
	if len(data) < segmentHeaderSize {
		return 0, false
	}
	sum := binary.LittleEndian.Uint32(data[segmentHeaderSize-4:])
	if string(data[:len(kind)]) != kind || sum != crc32.Checksum(data[:segmentHeaderSize-4], castagnoli()) {
		return 0, false
	}
	return data[len(kind)], true
}

// beginRecord appends an empty record header to b. The payload is appended next, and
// sealRecord completes the record.
func beginRecord(b []byte) []byte {
	return append(b, make([]byte, recordHeaderSize)...)
}

// sealRecord fills in the header of record, which is all that was appended since beginRecord and that call's.
func sealRecord(record []byte) {
	copy(record, recordMark)
	binary.LittleEndian.PutUint32(record[2:], uint32(len(record)-recordHeaderSize))
	binary.LittleEndian.PutUint32(record[6:], recordSum(record))
}

// recordSum returns the checksum of a record's length and payload.
func recordSum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[2:6], castagnoli()), castagnoli(), record[recordHeaderSize:])
}

// payloadAt returns the payload of the record that data begins; false when there is none or
// it is torn or damaged.
func payloadAt(data []byte) (payload []byte, ok bool) {
	if len(data) < recordHeaderSize || string(data[:2]) != recordMark {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(data[2:])
	if n > maxPayload || int(n) > len(data)-recordHeaderSize {
		return nil, false
	}
	record := data[:recordHeaderSize+int(n)]
	if binary.LittleEndian.Uint32(data[6:]) != recordSum(record) {
		return nil, false
	}
	return record[recordHeaderSize:], true
}

// scanRecords calls each for every whole record of a segment, in order, with the record's offset
// in data. data is the segment from its first byte, whether its header is whole or not. It returns how
// many bytes belong to no record: 0 unless the segment was torn or damaged.
func scanRecords(data []byte, kind string, each func(off int, payload []byte)) (skipped int) {
	off := 0
	if _, ok := segmentVersion(data, kind); ok {
		off = segmentHeaderSize
	}
	for off < len(data) {
		if payload, ok := payloadAt(data[off:]); ok {
			each(off, payload)
			off += recordHeaderSize + len(payload)
			continue
		}
		next := bytes.Index(data[off+1:], []byte(recordMark))
		if next < 0 {
			return skipped + len(data) - off
		}
		skipped += 1 + next
		off += 1 + next
	}
	return skipped
}

// readRecord reads the record of size bytes at off, which a scan or a write has found there, and
// returns its payload. The error matches errDamaged when something else is there now.
func readRecord(r io.ReaderAt, off int64, size int) (payload []byte, err error) {
	record := make([]byte, size)
	if _, err := r.ReadAt(record, off); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it ends before its last byte", errDamaged)
	} else if err != nil {
		return nil, err
	}
	payload, ok := payloadAt(record)
	if !ok || len(payload) != size-recordHeaderSize {
		return nil, errDamaged
	}
	return payload, nil
}
