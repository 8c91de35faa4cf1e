package hush

import (
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	var h Hush
	start := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		what  string
		after time.Duration
		n     int
		ok    bool
	}{
		{"the first is said", 0, 1, true},
		{"the next is not", 0, 0, false},
		{"nor within the minute", 59 * time.Second, 0, false},
		{"then all are counted", time.Minute, 3, true},
		{"and the minute begins anew", 119 * time.Second, 0, false},
		{"a clock that was set back silences nobody", -time.Hour, 2, true},
		{"from there on", -time.Hour + time.Second, 0, false},
	} {
		if n, ok := h.Count(start.Add(tt.after)); n != tt.n || ok != tt.ok {
			t.Errorf("%s: Count() = %d, %t, want %d, %t", tt.what, n, ok, tt.n, tt.ok)
		}
	}
}
