package collect

import (
	"io/fs"
	"time"
)

// A Clock returns the time since boot. It runs on during suspension and knows no leap
// seconds or settings by hand: a rate needs what truly went by.
type Clock func() (time.Duration, error)

// The interval between two readings of counters of which a rate is made.
const (
	minInterval = 500 * time.Millisecond // below, one tick of a counter is a spike
	maxInterval = 10 * time.Minute       // above, the mean says nothing about the last minute
)

// A baseline is the previous reading of some counters. The zero value has none.
type baseline[T any] struct {
	prev T
	at   time.Duration // since boot
	boot string        // boot id; "" when the kernel tells none
	set  bool
}

// next takes a reading and returns the previous one and the time between them. ok is false
// when they make no rate: there is no previous one, the host was restarted (a container or a
// virtual machine can wake up under another kernel), the gap is too long, or too short; in
// the last case the older reading is kept, so that the next interval is long enough.
func (b *baseline[T]) next(reading T, clock Clock, proc fs.FS) (prev T, elapsed time.Duration, ok bool, err error) {
	if clock == nil {
		clock = hostClock
	}
	now, err := clock()
	if err != nil {
		b.set = false
		return prev, 0, false, err
	}
	boot, _ := readTrimmed(procOrHost(proc), "sys/kernel/random/boot_id")
	prev, elapsed = b.prev, now-b.at
	comparable := b.set && b.boot == boot && elapsed >= 0
	if comparable && elapsed < minInterval {
		return prev, elapsed, false, nil
	}
	*b = baseline[T]{prev: reading, at: now, boot: boot, set: true}
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
