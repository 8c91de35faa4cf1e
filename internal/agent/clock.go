package agent

import (
	"hash/fnv"
	"io"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// A batch is stamped by the wall clock, which somebody may set, or which begins in 1970 where nothing keeps it while the
// machine is off. Beside it runs the clock since boot, which nobody sets. A batch keeps what the two showed when it
// was stamped; so one that still waits when the wall clock is set right can be given its minute: its stamp, plus
// what the wall clock has jumped by since. Nothing is believed without a date from the server, and where there is doubt
// the stamp stays.

// The steps in which a timekeeper sees its clocks move against each other. They are far above the noise of a
// reading, so that all batches between two settings of the clock have the same stampClock, and move alike.
const (
	wallStep   = 2  // seconds
	serverStep = 10 // seconds: a date has whole ones, and travels
)

// gridSlack is how late in a minute, in seconds before its end, a stamp that is moved counts for the next one: a stamp is
// the first second of a minute, and a jump is known to within wallStep.
const gridSlack = 3

// A stampClock says what the clocks showed when a batch was stamped. The zero of a clock is what it would have shown
// when the clock since boot was 0, in Unix seconds. It changes only when the clock is set. The zero value knows nothing.
type stampClock struct {
	boot   uint64 // the boot of the machine; 0 when it is not known
	zero   int64  // of the wall clock
	server int64  // the zero of the server's clock, by the last date that was heard before, in this boot
	heard  bool   // there was one
}

// A clockView is how the clocks stand: the stampClock of a batch that is stamped now, and what proves it.
type clockView struct {
	stampClock
	answered bool // a server has answered since the wall clock was set, or since this process began
	dated    bool // with a date
}

// off returns by how many seconds the wall clock is ahead of the server's; false when no server has said since it was set.
func (v clockView) off() (ahead int64, ok bool) { return v.zero - v.server, v.dated && v.heard }

// A ruling says what becomes of the batches of one stampClock.
type ruling struct {
	// shift is what makes of their stamps, in seconds, a time of the present wall clock: they are ordered by it and
	// grow old by it.
	shift int64
	moves bool // they are sent under that time; else their stamps stay
	waits bool // they are not sent before a server has answered
}

// judge says what becomes of a batch that was stamped by c, when the clocks stand at v.
func judge(c stampClock, v clockView) ruling {
	jump := v.zero - c.zero
	if c.boot == 0 || c.boot != v.boot || !apart(v.zero, c.zero) {
		return ruling{} // of another boot nothing is known
	}
	if !v.answered {
		return ruling{shift: jump, waits: true}
	}
	ahead, dated := v.off()
	switch {
	case !dated:
		return ruling{} // a server that tells no time: there is no proof
	case apart(ahead, 0):
		return ruling{shift: jump} // the clock is wrong now, and perhaps was not
	case c.heard && apart(c.server, v.server):
		// The clock since boot does not agree with the server's: a hypervisor has paused the machine, and stamps before
		// that are right.
		return ruling{}
	}
	return ruling{shift: jump, moves: true}
}

// apart says whether two times in Unix seconds are further from each other than clocks that agree.
func apart(a, b int64) bool {
	return a-b > int64(clockTolerance/time.Second) || b-a > int64(clockTolerance/time.Second)
}

// refused says whether a server whose clock shows now, in Unix seconds, drops a point of the time t without a word.
func refused(t, now int64) bool {
	return t < now-int64(saba.MaxLate/time.Second) || t > now+int64(saba.MaxAhead/time.Second)
}

// move gives b the minute that its stamp plus shift is in, which is not after now (Unix seconds), and its
// readings with it. A batch that would lie in the future stays as it is.
func (b *batch) move(shift, now int64) {
	present := saba.Minute(now)
	minute := saba.Minute(b.Minute + shift + gridSlack)
	if minute > present+saba.Resolution {
		return
	}
	by := min(minute, present) - b.Minute
	b.Minute += by
	b.moved = true
	for i := range b.Readings {
		r := &b.Readings[i]
		r.Time = min(r.Time+by, now) // one with a time of its own may be later than its minute
	}
}

// A bootClock is the clock since boot.
type bootClock struct {
	id    string // of the boot
	since func() (time.Duration, error)
}

// hostBootClock returns the clock of this machine. Its id is "" where there is none.
func hostBootClock() bootClock {
	id, err := collect.BootID()
	if err != nil {
		return bootClock{}
	}
	return bootClock{id, collect.SinceBoot}
}

// A timekeeper watches the wall clock, the clock since boot and the server's. It is safe for use by several
// goroutines. A nil one knows nothing.
type timekeeper struct {
	now     func() time.Time
	since   func() (time.Duration, error)
	boot    uint64
	changed func() // called when a server's answer has changed the view; may be nil

	mu   sync.Mutex
	view clockView
}

// newTimekeeper returns a timekeeper of the wall clock now, or nil without a clock since boot.
func newTimekeeper(now func() time.Time, b bootClock) *timekeeper {
	if b.id == "" {
		return nil
	}
	h := fnv.New64a()
	io.WriteString(h, b.id)
	return &timekeeper{now: now, since: b.since, boot: max(h.Sum64(), 1)}
}

// stamp returns the time and what a batch that is stamped with it keeps.
func (k *timekeeper) stamp() (time.Time, stampClock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, _, ok := k.read()
	if !ok {
		return now, stampClock{}
	}
	return now, k.view.stampClock
}

// look returns how the clocks stand.
func (k *timekeeper) look() clockView {
	if k == nil {
		return clockView{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read()
	return k.view
}

// heard notes that a server's clock shows t.
func (k *timekeeper) heard(t time.Time) {
	k.note(func(since time.Duration) {
		server := zeroOf(t, since)
		if d := server - k.view.server; !k.view.heard || d >= serverStep || d <= -serverStep {
			k.view.server, k.view.heard = server, true
		}
		k.view.answered, k.view.dated = true, true
	})
}

// answered notes that a server has answered, with a date or without.
func (k *timekeeper) answered() {
	k.note(func(time.Duration) { k.view.answered = true })
}

// note changes the view, and says so if it did.
func (k *timekeeper) note(change func(since time.Duration)) {
	if k == nil {
		return
	}
	k.mu.Lock()
	_, since, ok := k.read()
	before := k.view
	if ok {
		change(since)
	}
	changed := k.view != before
	k.mu.Unlock()
	if changed && k.changed != nil {
		k.changed()
	}
}

// zeroOf returns the zero of a clock that shows t.
func zeroOf(t time.Time, since time.Duration) int64 {
	return t.Add(-since).Round(time.Second).Unix()
}

// read reads both clocks, and takes note when the wall clock was set. It is false when they cannot be read at one
// moment. k.mu is held.
func (k *timekeeper) read() (now time.Time, since time.Duration, ok bool) {
	for range 3 { // the machine may be suspended between any two lines
		before, err := k.since()
		now = k.now()
		if err != nil {
			return now, 0, false
		}
		if since, err = k.since(); err == nil && since-before < time.Second {
			k.see(zeroOf(now, since))
			return now, since, true
		}
	}
	return now, 0, false
}

// see takes a zero of the wall clock into the view. k.mu is held.
func (k *timekeeper) see(zero int64) {
	v := &k.view
	switch d := zero - v.zero; {
	case v.boot == 0 || apart(zero, v.zero):
		v.boot, v.zero = k.boot, zero
		v.answered, v.dated = false, false // what was heard before proves nothing about this clock
	case d >= wallStep || d <= -wallStep:
		v.zero = zero
	}
}
