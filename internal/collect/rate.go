package collect

import (
	"io/fs"
	"sync"
	"time"
)

// A Clock returns the time since boot. It runs on during suspension and knows no leap
// seconds or settings by hand: a rate needs what truly went by.
type Clock func() (time.Duration, error)

// A Watch tells when counters are read. The nil Watch and the zero value tell the host's
// time; collectors that share one read the id of the boot once a turn. It may be used from
// several goroutines.
type Watch struct {
	Clock Clock // nil means the host's
	Proc  fs.FS // procfs, for the id of the boot; nil means the host's own

	mu     sync.Mutex
	boot   string
	bootAt time.Duration // when boot was read
	known  bool
}

// A moment is when some counters were read.
type moment struct {
	at   time.Duration // since boot
	boot string        // boot id; "" when the kernel tells none
}

// bootIDAge is how long an id of the boot is taken for granted: one turn. A process can wake
// up under another kernel (a container that is moved), but then the clock jumps as well.
const bootIDAge = 10 * time.Second

// now returns the moment that it is.
func (w *Watch) now() (moment, error) {
	if w == nil {
		w = &Watch{}
	}
	clock := w.Clock
	if clock == nil {
		clock = hostClock
	}
	at, err := clock()
	if err != nil {
		return moment{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if age := at - w.bootAt; !w.known || age < 0 || age > bootIDAge {
		w.boot, _ = readTrimmed(procOrHost(w.Proc), "sys/kernel/random/boot_id")
		w.bootAt, w.known = at, true
	}
	return moment{at: at, boot: w.boot}, nil
}

// The interval between two readings of counters of which a rate is made.
const (
	minInterval = 500 * time.Millisecond // below, one tick of a counter is a spike
	maxInterval = 10 * time.Minute       // above, the mean says nothing about the last minute
)

// A baseline is the previous reading of some counters. The zero value has none.
type baseline[T any] struct {
	prev T
	moment
	set bool
}

// next takes a reading and returns the previous one and the time between them. ok is false
// when they make no rate: there is no previous one, the host was restarted (a container or a
// virtual machine can wake up under another kernel), the gap is too long, or too short; in
// the last case the older reading is kept, so that the next interval is long enough.
func (b *baseline[T]) next(reading T, w *Watch) (prev T, elapsed time.Duration, ok bool, err error) {
	now, err := w.now()
	if err != nil {
		b.set = false
		return prev, 0, false, err
	}
	prev, elapsed = b.prev, now.at-b.at
	comparable := b.set && b.boot == now.boot && elapsed >= 0
	if comparable && elapsed < minInterval {
		return prev, elapsed, false, nil
	}
	*b = baseline[T]{prev: reading, moment: now, set: true}
	return prev, elapsed, comparable && elapsed <= maxInterval, nil
}

// rate returns the increase of a counter per second. ok is false when there is none: the
// counter went back (it was reset), or rose faster than any device can (it is not the same
// counter, or wrapped while counting down).
func rate(prev, now uint64, elapsed time.Duration, ceiling float64) (perSecond float64, ok bool) {
	if now < prev {
		return 0, false
	}
	perSecond = float64(now-prev) / elapsed.Seconds()
	return perSecond, perSecond <= ceiling
}
