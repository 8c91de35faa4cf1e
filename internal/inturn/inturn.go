// Package inturn makes many short calls, of which any may hang.
package inturn

import (
	"context"
	"sync/atomic"
	"time"
)

// Patience is how long a call may keep those after it waiting.
const Patience = 200 * time.Millisecond

// Do calls do(0) to do(n-1), and returns when all have returned or when ctx ends. One
// goroutine makes the calls one after another: reading a host is many short calls, and waking
// a thread for each costs more than they do. Once a call dawdles, those after it get a
// goroutine each, so that it holds up nobody.
//
// When ctx ends first, calls under way go on without being waited for, and others are not begun.
func Do(ctx context.Context, n int, do func(i int)) {
	var begun, returned atomic.Int64
	done := make(chan struct{})
	work := func() {
		for ctx.Err() == nil {
			i := int(begun.Add(1)) - 1
			if i >= n {
				return
			}
			do(i)
			if int(returned.Add(1)) == n {
				close(done)
			}
		}
	}
	if n == 0 {
		return
	}
	go work()
	watch := time.NewTicker(Patience)
	defer watch.Stop()
	for seen := int64(0); ; {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-watch.C:
			if now := returned.Load(); now > seen {
				seen = now
				continue
			}
			for range n - int(begun.Load()) {
				go work()
			}
			watch.Stop()
		}
	}
}
