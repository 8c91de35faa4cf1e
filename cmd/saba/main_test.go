package main

import (
	"context"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
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
	heap := modest(func(string) (string, bool) { return "", false })
	if p := percent(); p != usual {
		t.Errorf("the heap may grow by %d %%, want %d", p, usual)
	}
	done := heap.hurry()
	if p := percent(); p != hurried {
		t.Errorf("while saba starts the heap may grow by %d %%, want %d", p, hurried)
	}
	if done(); percent() != usual {
		t.Errorf("once saba has started the heap may grow by %d %%, want %d", percent(), usual)
	}
	debug.SetGCPercent(70)
	if modest(func(string) (string, bool) { return "70", true }) != nil || percent() != 70 {
		t.Errorf("GOGC of the environment was changed to %d, want 70", percent())
	}
}

// kept keeps the compiler from leaving out what is allocated.
var kept []byte

func TestTheHeapGrowsLessWhereLittleGarbageIsMade(t *testing.T) {
	was := percent()
	t.Cleanup(func() { debug.SetGCPercent(was) })
	synctest.Test(t, func(t *testing.T) {
		heap := modest(func(string) (string, bool) { return "", false })
		kept = make([]byte, 256<<20)
		defer func() { kept = nil }()
		debug.FreeOSMemory() // a collection, so that what lives is known
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			heap.keep(ctx)
		}()
		time.Sleep(lookEvery + time.Second)
		synctest.Wait()
		if p := percent(); p != fewest {
			t.Errorf("256 MiB without garbage may grow by %d %%, want %d", p, fewest)
		}
		stop()
		<-ended
		if p := percent(); p != usual {
			t.Errorf("when nobody looks after it any more, the heap may grow by %d %%, want %d", p, usual)
		}
	})
}

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		made float64
		live uint64
		want int
	}{
		"a server that nobody uses": {10_000, 15 * mib, usual},
		"1,000 hosts":               {0.5 * mib, 140 * mib, fewest},
		"with more to do":           {2 * mib, 140 * mib, 12},
		"at full speed":             {50 * mib, 140 * mib, usual},
		"5,000 hosts":               {2.5 * mib, 600 * mib, fewest},
		"before any collection":     {0, 0, usual},
	} {
		if got := percentFor(tt.made, tt.live); got != tt.want {
			t.Errorf("%s: %d %%, want %d", name, got, tt.want)
		}
	}
}
