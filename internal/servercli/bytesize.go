package servercli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A byteSize is a flag that takes a number of bytes with a unit: 20GB, 512MiB. 0 is no limit.
type byteSize int64

// byteUnits are the units that a byteSize takes, longest first. Without an i they are powers of 1,000.
var byteUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Set implements flag.Value.
func (b *byteSize) Set(text string) error {
	for _, u := range byteUnits {
		number, ok := cutUnit(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || !(n >= 0) || n*u.bytes >= math.MaxInt64 {
			break
		}
		*b = byteSize(n * u.bytes)
		return nil
	}
	if text == "0" {
		*b = 0
		return nil
	}
	return errors.New("give a number with a unit, such as 20GB or 512MiB")
}

// cutUnit cuts a unit, in whatever case, and blanks before it off the end of text.
func cutUnit(text, unit string) (number string, ok bool) {
	at := len(text) - len(unit)
	if at < 0 || !strings.EqualFold(text[at:], unit) {
		return "", false
	}
	return strings.TrimSpace(text[:at]), true
}

// String implements flag.Value.
func (b *byteSize) String() string {
	if b == nil || *b == 0 {
		return ""
	}
	return fmt.Sprintf("%dB", int64(*b))
}
