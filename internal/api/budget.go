package api

import (
	"context"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// What of request bodies is in memory at once, in bytes. A body is there from its first byte until
// its call is answered, and costs about three times its size together with what is made of it.
// Small and large bodies have a budget each, so that a minute of an agent never waits for somebody's
// backlog. A request takes from the budgets in the order in which they stand here and never goes
// back, so that no two can wait for each other.
const (
	freeBody    = 64 << 10 // of each body, and what it may cost to decode: not counted; an agent's minute is a tenth of it
	smallBodies = 16 << 20
	largeBodies = 32 << 20 // of those above smallBody: two of the largest
	decoding    = 32 << 20 // what JSON becomes that is decoded whole
)

// maxWait is how long a request waits for its share. Senders of points give up after 30 seconds
// as a rule, so the answer has to come before.
const maxWait = 10 * time.Second

// memory is what of requests may be in memory at once.
type memory struct {
	small, large, decoding *budget
}

func newMemory(wait time.Duration) memory {
	return memory{newBudget(smallBodies, wait), newBudget(largeBodies, wait), newBudget(decoding, wait)}
}

// A budget is a number of bytes that requests take from and give back, in the order in which they
// came. It is safe for concurrent use.
type budget struct {
	size int64
	wait time.Duration // how long a claim waits

	mu    sync.Mutex
	free  int64
	queue []claim
}

// A claim waits in the queue of a budget.
type claim struct {
	n       int64
	granted chan struct{} // closed when n was taken for it
}

func newBudget(size int64, wait time.Duration) *budget {
	return &budget{size: size, wait: wait, free: size}
}

// take takes n bytes, which are at most the size of the budget, or waits until they are there.
// After b.wait the error matches errBusy.
func (b *budget) take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.queue) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	mine := claim{n, make(chan struct{})}
	b.queue = append(b.queue, mine)
	b.mu.Unlock()

	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	var err error
	select {
	case <-mine.granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = saba.Errorf(errBusy, "the server is taking in as many large requests as it has room for: send this one again in a while")
	}
	b.leave(mine)
	return err
}

// leave takes a claim back, granted or not.
func (b *budget) leave(c claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, q := range b.queue {
		if q == c {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.grant() // it may have been the first, and stood in the way of smaller ones
			return
		}
	}
	b.free += c.n
	b.grant()
}

// give gives n bytes back.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.grant()
}

// grant serves the queue as far as the bytes go. b.mu is held.
func (b *budget) grant() {
	for len(b.queue) > 0 && b.queue[0].n <= b.free {
		b.free -= b.queue[0].n
		close(b.queue[0].granted)
		b.queue = b.queue[1:]
	}
}

// A share is what one request has taken. The zero value has taken nothing.
type share struct {
	from *budget
	n    int64
}

// of gives the share back and takes n bytes from b in its place, in one step for a request
// that goes on to a budget further back: it holds what it has until it has more.
func (s *share) of(ctx context.Context, b *budget, n int64) error {
	if err := b.take(ctx, n); err != nil {
		return err
	}
	s.release()
	*s = share{b, n}
	return nil
}

// release gives the share back. It may be called more than once.
func (s *share) release() {
	if s.from != nil {
		s.from.give(s.n)
	}
	*s = share{}
}

// valueCost is about what one value of JSON costs when it is decoded into the structs of this
// package: the largest, of an element "{}" in an array, has 136 bytes, and slices grow ahead.
const valueCost = 256 // bytes

// cost returns about what it costs in bytes to decode a body: one value more at each comma. Commas in
// strings count as well, which does no harm: text has few.
func cost(commas int) int64 { return int64(commas+1) * valueCost }
