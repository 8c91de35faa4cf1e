package saba_test

import (
	"testing"

	"github.com/saba-monitor/saba"
)

func TestCheckStatusValid(t *testing.T) {
	for _, s := range saba.CheckStatuses {
		if !s.Valid() {
			t.Errorf("%q is not valid, want it to be", s)
		}
	}
	for _, s := range []saba.CheckStatus{"", "ok", "OK ", "FINE"} {
		if s.Valid() {
			t.Errorf("%q is valid, want it not to be", s)
		}
	}
}
