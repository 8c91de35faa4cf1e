package saba_test

import (
	"bytes"
	"crypto/rand"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// No 0, O, I or l, and nothing that a path or a shell would read otherwise.
var idPattern = regexp.MustCompile(`^[1-9A-HJ-NP-Za-km-z]{11}$`)

func newID(t testing.TB, ms int64, random byte) string {
	t.Helper()
	id, err := saba.NewID(time.UnixMilli(ms), bytes.NewReader(bytes.Repeat([]byte{random}, 8)))
	if err != nil {
		t.Fatal(err)
	}
	if !idPattern.MatchString(id) {
		t.Errorf("id of %d ms is %q, want it to match %s", ms, id, idPattern)
	}
	return id
}

func TestNewIDSortsByTime(t *testing.T) {
	times := []int64{0, 1, 57, 58, 59, 999, 1_767_225_600_000, 1_767_225_600_001, 1_798_761_600_000, 1<<42 - 1}
	for i := range times[1:] {
		// The random part is the largest in the earlier one and the smallest in the later one.
		if a, b := newID(t, times[i], 0xff), newID(t, times[i+1], 0); a >= b {
			t.Errorf("id of %d ms is %q, not below %q of %d ms", times[i], a, b, times[i+1])
		}
	}
}

func TestNewIDOfOneMillisecondDiffer(t *testing.T) {
	now := time.UnixMilli(1_767_225_600_000)
	seen := map[string]bool{}
	for range 100 { // 22 bits: 100 of them meet about once in a thousand runs
		id, err := saba.NewID(now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		seen[id] = true
	}
	if len(seen) < 98 {
		t.Errorf("100 ids of one millisecond are %d different ones", len(seen))
	}
}

func TestNewIDWithoutRandomness(t *testing.T) {
	for name, random := range map[string]string{"none": "", "too little": "1234567"} {
		t.Run(name, func(t *testing.T) {
			if id, err := saba.NewID(time.UnixMilli(0), strings.NewReader(random)); err == nil || id != "" {
				t.Errorf("NewID = %q, %v; want an error", id, err)
			}
		})
	}
}

// Ids sort by time, whatever the times and the random bits.
func FuzzNewID(f *testing.F) {
	f.Add(int64(0), byte(255), int64(1), byte(0))
	f.Add(int64(1_767_225_600_000), byte(0), int64(1_767_225_600_000), byte(0))
	f.Fuzz(func(t *testing.T, ms1 int64, random1 byte, ms2 int64, random2 byte) {
		ms1, ms2 = ms1&(1<<42-1), ms2&(1<<42-1)
		a, b := newID(t, ms1, random1), newID(t, ms2, random2)
		if ms1 < ms2 && a >= b || ms1 > ms2 && a <= b || ms1 == ms2 && random1 == random2 && a != b {
			t.Errorf("ids of %d ms and %d ms are %q and %q", ms1, ms2, a, b)
		}
	})
}
