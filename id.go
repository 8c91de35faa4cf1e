package saba

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// idAlphabet is base 58 in ASCII order, so that ids sort as their numbers do; the
// characters that people confuse (0, O, I, l) are left out.
const idAlphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// NewID returns a new object id: 11 characters of [0-9A-Za-z] that sort by creation time.
// It holds 42 bits of milliseconds since 1970 (good until the year 2109) and 22 random
// bits from random. Ids are unguessable to nobody: they name, they do not authorize.
func NewID(now time.Time, random io.Reader) (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	n := uint64(now.UnixMilli())<<22 | binary.BigEndian.Uint64(b[:])&(1<<22-1)
	var id [11]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = idAlphabet[n%58]
		n /= 58
	}
	return string(id[:]), nil
}
