package main

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A heap keeps the heap of this process near to what lives in it. Nearly all of a server's heap lives for hours (the series and the samples of the
// last hour), and agents that send their minutes make little garbage: to collect it often costs little, and saves a quarter of
// the memory (docs/performance.md).
type heap struct{}

const (
	// usual is by how many percent of what lives the heap may grow before it is collected, when saba starts, and the most later on.
	usual = 15
	// fewest is the least: where little garbage is made, each collection marks all that lives nevertheless.
	fewest = 4
	// hurried is how far it may grow while saba starts: a heap that grows from nothing is collected all the time otherwise.
	hurried = 100

	// lookEvery is how often the heap is looked at.
	lookEvery = 15 * time.Second
	// collectEvery is how long it shall take from one collection to the next.
	collectEvery = 8 * time.Second
	// leastGarbage is how much garbage is collected at once, in bytes, at the least.
	leastGarbage = 4 << 20
	// giveBackEvery is how often memory is given back at most, as that takes a collection.
	giveBackEvery = time.Minute
	// muchIdle is how much memory nothing lives in, besides what is filled until the next collection, when it is given back. In bytes.
	muchIdle = 2 << 20
	// dropEvery is how often the pages of the program's file are dropped.
	dropEvery = 10 * time.Minute
)

// modest keeps the heap small, unless the environment says how large it may be: then it returns nil.
func modest(lookup func(string) (string, bool)) *heap {
	if _, set := lookup("GOGC"); set {
		return nil
	}
	debug.SetGCPercent(usual)
	return &heap{}
}

// hurry lets the heap grow for speed until done is called.
func (*heap) hurry() (done func()) {
	debug.SetGCPercent(hurried)
	return func() { debug.SetGCPercent(usual) }
}

// keep looks after the heap until ctx ends. Without work it is collected so often that it stays small; with much, it is no more often than usual.
// Go's runtime keeps a tenth more than it needs, and the holes that other sizes of objects have left: they go back to the system. So do the pages of
// the program that were used by a start, or a seldom task.
func (*heap) keep(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	defer debug.SetGCPercent(usual)
	percent, last, gaveBack, dropped := usual, readHeap(), time.Time{}, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := readHeap()
		if p := percentFor(float64(now.allocated-last.allocated)/lookEvery.Seconds(), now.live); p != percent {
			percent = p
			debug.SetGCPercent(percent)
		}
		last = now
		if at := time.Now(); now.idle > now.live*uint64(percent)/100+muchIdle && at.Sub(gaveBack) >= giveBackEvery {
			gaveBack = at
			debug.FreeOSMemory()
		}
		if at := time.Now(); at.Sub(dropped) >= dropEvery {
			dropped = at
			dropProgram()
		}
	}
}

// percentFor returns by how many percent a heap may grow before it is collected. made is the garbage that is made, in bytes a second, and live is what
// the last collection left, in bytes.
func percentFor(made float64, live uint64) int {
	garbage := max(made*collectEvery.Seconds(), leastGarbage)
	return int(min(max(math.Ceil(100*garbage/float64(max(live, 1))), fewest), usual))
}

// A heapState is what the runtime says of the heap, in bytes.
type heapState struct {
	allocated uint64 // since the start
	live      uint64 // what the last collection left
	idle      uint64 // memory of the process in which nothing is
}

func readHeap() heapState {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	return heapState{s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64()}
}
