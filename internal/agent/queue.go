package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// maxQueued bounds the readings that wait for the server: a day of 300 metrics a minute, in
// about 16 MiB.
const maxQueued = 500_000

// A batch is what the sources of one host brought in one turn, or what a late one brought after.
type batch struct {
	seq        uint64 // given by the queue
	Minute     int64  // Unix seconds: the turn
	Identifier string // the host's custom identifier; "" is the agent's own host
	Readings   []reading
	clock      stampClock // what Minute was read from
	moved      bool       // Minute is another than that of the stamp, as the clock was set since
}

// A queue keeps batches until the server has taken them. It is safe for use by several goroutines.
type queue interface {
	// add keeps a batch. When the queue is full, the oldest readings make room: they are worth least.
	add(b batch)
	// next returns the oldest batches whose host is ready, of about most readings together:
	// at least one batch when there is one. They stay in the queue.
	next(most int, ready func(identifier string) bool) []batch
	// newest returns the newest batch whose host is ready, or none, as next does.
	newest(ready func(identifier string) bool) []batch
	// done removes batches that next or newest returned.
	done(batches []batch)
	// waiting returns how many readings are in the queue; dropped how many were given up since
	// the last call, because they were too old or too many.
	waiting() int
	dropped() int
	// added receives after an add, once for several of them.
	added() <-chan struct{}
}

// A memoryQueue is a queue that ends with the process.
type memoryQueue struct {
	most int
	now  func() time.Time
	wake chan struct{}

	mu      sync.Mutex
	seq     uint64
	batches []batch // by Minute, then seq
	size    int     // readings
	lost    int
	names   map[string]string // each name once, however many readings have it
}

func newMemoryQueue(most int, now func() time.Time) *memoryQueue {
	return &memoryQueue{most: most, now: now, wake: make(chan struct{}, 1), names: map[string]string{}}
}

func (q *memoryQueue) add(b batch) {
	if len(b.Readings) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	const tooManyNames = 50_000 // names come and go; those in use find their way back
	if len(q.names) > tooManyNames {
		clear(q.names)
	}
	b.Readings = slices.Clone(b.Readings)
	for i, r := range b.Readings {
		name, ok := q.names[r.Name]
		if !ok {
			name = strings.Clone(r.Name)
			q.names[name] = name
		}
		b.Readings[i].Name = name
	}
	q.seq++
	b.seq = q.seq
	i, _ := slices.BinarySearchFunc(q.batches, b, func(x, y batch) int {
		if x.Minute <= y.Minute {
			return -1 // behind its equals
		}
		return 1
	})
	q.batches = slices.Insert(q.batches, i, b)
	q.size += len(b.Readings)
	for q.size > q.most && len(q.batches) > 1 {
		q.dropOldest()
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// dropOldest gives up the oldest batch. q.mu is held.
func (q *memoryQueue) dropOldest() {
	n := len(q.batches[0].Readings)
	q.size -= n
	q.lost += n
	q.batches = slices.Delete(q.batches, 0, 1)
}

func (q *memoryQueue) next(most int, ready func(string) bool) []batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropOld()
	var out []batch
	n := 0
	for _, b := range q.batches {
		if !ready(b.Identifier) {
			continue
		}
		if n += len(b.Readings); n > most && len(out) > 0 {
			break
		}
		out = append(out, b)
	}
	return out
}

func (q *memoryQueue) newest(ready func(string) bool) []batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropOld()
	for _, b := range slices.Backward(q.batches) {
		if ready(b.Identifier) {
			return []batch{b}
		}
	}
	return nil
}

// dropOld gives up what is older than any server takes. q.mu is held.
func (q *memoryQueue) dropOld() {
	for oldest := q.now().Add(-saba.MaxLate).Unix(); len(q.batches) > 0 && q.batches[0].Minute < oldest; {
		q.dropOldest()
	}
}

func (q *memoryQueue) done(batches []batch) {
	gone := make(map[uint64]bool, len(batches))
	for _, b := range batches {
		gone[b.seq] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches = slices.DeleteFunc(q.batches, func(b batch) bool {
		if gone[b.seq] {
			q.size -= len(b.Readings)
		}
		return gone[b.seq]
	})
}

func (q *memoryQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}

func (q *memoryQueue) dropped() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.lost
	q.lost = 0
	return n
}

func (q *memoryQueue) added() <-chan struct{} { return q.wake }

// A keptQueue is a queue with what the agent's start and end need to know of it.
type keptQueue struct {
	queue
	durable bool // what waits survives the process
	status  func() QueueStatus
	// close keeps what waits, as far as that is possible until ctx ends. The error says how many values
	// it could not keep.
	close func(ctx context.Context) error
}

// openQueue opens the agent's queue of values.
func openQueue(o Options, clock *timekeeper) (keptQueue, error) {
	if o.Volatile || o.Config.Root == "" {
		q := newMemoryQueue(maxQueued, o.clock())
		return keptQueue{
			queue:  q,
			status: func() QueueStatus { return QueueStatus{Points: q.waiting()} },
			close: func(context.Context) error {
				if n := q.waiting(); n > 0 {
					return fmt.Errorf("%d values are in memory alone: they are lost", n)
				}
				return nil
			},
		}, nil
	}
	q, err := openSpool(filepath.Join(o.Config.Root, queueFolder), spoolOptions{
		MaxBytes: o.Config.QueueBytes, MaxAge: o.Config.QueueAge, Now: o.clock(), Clock: clock, Log: o.Log,
	})
	if err != nil {
		return keptQueue{}, err
	}
	if clock != nil {
		clock.changed = q.poke // what waits for the clock may go
	}
	return keptQueue{
		queue: q, durable: true, close: q.close,
		status: func() QueueStatus {
			s := QueueStatus{Points: q.waiting(), Bytes: q.bytes()}
			if oldest, ok := q.age(); ok {
				s.Oldest = time.Unix(oldest, 0)
			}
			return s
		},
	}, nil
}

// queueFolder is the folder of the queue in the agent's folder.
const queueFolder = "queue"
