package tsdb

import (
	"sync"
	"time"
)

const (
	// maxGroup bounds the points of one commit, so that nobody waits long for those of others.
	maxGroup = 1 << 16
	// manyPoints are so many that to store them costs far more than the sync that they may share with others.
	manyPoints = 1 << 13
	// maxPatience bounds how long the appender waits for requests that may share a sync.
	maxPatience = 3 * time.Millisecond
)

// A queue holds the requests that wait for the appender. It is made by newQueue.
type queue struct {
	wake chan struct{} // has an element when the appender may find what it waits for

	mu      sync.Mutex
	waiting []*request
	points  int // of all that wait
	enough  int // how many requests the appender waits for; 1 while it waits for any
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1), enough: 1} }

// put adds a request, and wakes the appender when it is the one that was waited for: to wake it for
// each would cost more than to store a batch.
func (q *queue) put(r *request) {
	q.mu.Lock()
	q.waiting = append(q.waiting, r)
	q.points += len(r.points)
	ready := q.ready()
	q.mu.Unlock()
	if ready {
		q.ring()
	}
}

// ready says whether there is what the appender waits for. q.mu must be held.
func (q *queue) ready() bool { return len(q.waiting) >= q.enough || q.points >= manyPoints }

func (q *queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default: // it is awake
	}
}

// gather waits for a request, and from then on for as many as enough says, but no longer than patience. It reports
// false when closing is closed.
func (q *queue) gather(closing <-chan struct{}, enough int, patience time.Duration) bool {
	select {
	case <-closing:
		return false
	case <-q.wake:
	}
	if patience <= 0 || q.expect(enough) {
		return true
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !q.expect(enough) { // what woke it may have been the request before
		select {
		case <-closing:
			return false
		case <-timer.C:
			return true
		case <-q.wake:
		}
	}
	return true
}

// expect sets how many requests the appender waits for, and says whether they are there.
func (q *queue) expect(enough int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enough = enough
	return q.ready()
}

// take moves the requests of one group, if there are any, from the queue to the end of group.
func (q *queue) take(group []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enough = 1
	n, points := 0, 0
	for n < len(q.waiting) && points < maxGroup {
		points += len(q.waiting[n].points)
		n++
	}
	group = append(group, q.waiting[:n]...)
	left := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[left:]) // the points are the callers' again
	q.waiting, q.points = q.waiting[:left], q.points-points
	if left > 0 {
		q.ring()
	}
	return group
}

// size returns how many requests wait.
func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// A crowd is what the appender knows of those who send at the same time. Senders that wait for their answers before
// they send again come back a moment after each commit, one after the other: with a commit for each of the first,
// the sync is most of what a batch costs. The zero value is a crowd of nobody.
type crowd struct {
	size int           // how many requests stood there at once, when last looked at
	took time.Duration // the last commit with its sync
}

// patience returns how long it pays to wait for the rest of a crowd: no longer than a commit takes, so that nobody
// waits twice as long as without, and not at all for a sender that is alone.
func (c crowd) patience() time.Duration {
	if c.size < 2 {
		return 0
	}
	return min(c.took, maxPatience)
}
