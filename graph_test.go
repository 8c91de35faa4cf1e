package saba_test

import (
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestUnitValid(t *testing.T) {
	for _, u := range saba.Units {
		if !u.Valid() {
			t.Errorf("%q is not valid, want it to be", u)
		}
	}
	for _, u := range []saba.Unit{"", "Bytes", "bytes/s", "percent"} {
		if u.Valid() {
			t.Errorf("%q is valid, want it not to be", u)
		}
	}
}

func TestValidGraphDefName(t *testing.T) {
	for name, want := range map[string]bool{
		"custom.queue":             true,
		"custom.queue.jobs-2.re_x": true,
		"custom.cpu.#":             true,
		"custom.cpu.#.*":           true,
		"custom.*.*.user":          true,
		"custom.#.a.#":             false, // # once
		"custom":                   false, // nothing below it
		"custom.":                  false,
		"custom..a":                false,
		"custom.a.":                false,
		"Custom.a":                 false,
		"loadavg.a":                false,
		"mycustom.a":               false,
		"custom.a*":                false, // a wildcard is a whole segment
		"custom.**":                false,
		"custom.a b":               false,
		"custom.ü":                 false,
		"custom.a\n":               false,
		"":                         false,
		"custom." + strings.Repeat("a", saba.MaxMetricName-7): true,
		"custom." + strings.Repeat("a", saba.MaxMetricName-6): false,
	} {
		if got := saba.ValidGraphDefName(name); got != want {
			t.Errorf("ValidGraphDefName(%.80q) = %t, want %t", name, got, want)
		}
	}
}
