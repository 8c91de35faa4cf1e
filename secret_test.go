package saba_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestNewSecret(t *testing.T) {
	pattern := regexp.MustCompile(`^saba_[0-9A-Za-z_-]{32}$`)
	seen := map[string]bool{}
	for i := range 256 {
		s, err := saba.NewSecret(bytes.NewReader(append(make([]byte, 23), byte(i))))
		if err != nil || !pattern.MatchString(s) {
			t.Fatalf("NewSecret = %q, %v; want it to match %s", s, err, pattern)
		}
		seen[s] = true
	}
	if len(seen) != 256 {
		t.Errorf("256 different sources gave %d secrets: bits are lost", len(seen))
	}
	if s, err := saba.NewSecret(strings.NewReader("not 24 bytes")); err == nil || s != "" {
		t.Errorf("NewSecret with too little randomness = %q, %v; want an error", s, err)
	}
}
