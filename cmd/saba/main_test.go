package main

import (
	"runtime/debug"
	"testing"
)

// percent returns how far the heap may grow beyond what lives, in percent, and leaves it so.
func percent() int {
	p := debug.SetGCPercent(-1)
	debug.SetGCPercent(p)
	return p
}

func TestTheHeapIsKeptSmallButForAStart(t *testing.T) {
	was := percent()
	t.Cleanup(func() { debug.SetGCPercent(was) })
	hurry := modest(func(string) (string, bool) { return "", false })
	if p := percent(); p != 15 {
		t.Errorf("the heap may grow by %d %%, want 15", p)
	}
	done := hurry()
	if p := percent(); p != 100 {
		t.Errorf("while saba starts the heap may grow by %d %%, want 100", p)
	}
	if done(); percent() != 15 {
		t.Errorf("once saba has started the heap may grow by %d %%, want 15", percent())
	}
	debug.SetGCPercent(70)
	if modest(func(string) (string, bool) { return "70", true }) != nil || percent() != 70 {
		t.Errorf("GOGC of the environment was changed to %d, want 70", percent())
	}
}
