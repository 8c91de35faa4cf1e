package body

import (
	"context"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

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
// After b.wait the error matches ErrBusy.
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
		err = saba.Errorf(ErrBusy, "the server is taking in as many large requests as it has room for: send this one again in a while")
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
