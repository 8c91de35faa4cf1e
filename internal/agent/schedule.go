package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// The times of a turn. Every minute has one, at its first second.
const (
	// closeAfter is when a turn goes to the queue with what has come; later values follow in a
	// batch of their own, under the same minute.
	closeAfter = 4 * time.Second
	// sourceLimit is how long a source of host metrics may take before its context ends.
	sourceLimit = 30 * time.Second
	// A start has a short first interval, so that rates of counters are there at once: the
	// baseline is read at once, the first turn is firstInterval later. It is put off to the
	// next minute when that is less than firstGap away from it, since an interval of less
	// than a second says nothing about a rate.
	firstInterval = 2 * time.Second
	firstGap      = 2 * time.Second
	// shedEvery is how many turns lie between two times that the program's file leaves memory, which costs some
	// hundred page faults. The first comes with the second turn, when all that starts has started.
	shedEvery = 10
	// restLimit is how long a change of the configuration waits for sources that are at work.
	restLimit = 10 * time.Second
	// stragglers is how long the end of the agent waits for sources that ignore their context.
	stragglers = 5 * time.Second
)

// A source is a Source or a plugin in the schedule.
type source struct {
	kind       string // as a Recorder has it
	name       string
	identifier string // custom identifier of the host that its values belong to
	plugin     bool
	limit      time.Duration
	collect    func(ctx context.Context, minute int64) ([]reading, error)
	parts      func() []collect.Outcome // how those of the last collect fared; nil when it has none

	busy    atomic.Bool
	skipped atomic.Int64 // turns in a row
	mu      sync.Mutex
	say     announcer
}

// An adder is what the schedule asks of a queue.
type adder interface{ add(b batch) }

// A schedule starts every source each minute and puts what they bring into the queue.
type schedule struct {
	log      *slog.Logger
	now      func() time.Time
	sources  []*source
	queue    adder
	own      []Source // those that are no plugins
	counters *counters
	record   *Recorder      // of how the sources fare; may be nil
	alive    func()         // called each minute, for a watchdog; may be nil
	running  sync.WaitGroup // sources that have not returned
	turns    int            // so far
	clock    *timekeeper    // of the stamps; may be nil
	stamped  stampClock     // what it said of the present turn's
}

// A Source of several parts also says how each of them fared in its last Collect: their values
// follow each other in its result, in the same order.
type parted interface{ Parts() []collect.Outcome }

func newSchedule(o Options, plugins []*plugin, q adder) *schedule {
	s := &schedule{log: o.Log, now: o.clock(), queue: q, own: o.Sources, counters: &counters{log: o.Log}, record: o.Record, alive: o.Notify.Alive}
	for _, src := range o.Sources {
		added := &source{
			kind: KindHost, name: src.Name(), limit: sourceLimit, say: announcer{log: o.Log.With("source", src.Name())},
			collect: func(ctx context.Context, minute int64) ([]reading, error) {
				values, err := src.Collect(ctx)
				return atMinute(values, minute), err
			},
		}
		if p, ok := src.(parted); ok {
			added.parts = p.Parts
		}
		s.sources = append(s.sources, added)
	}
	for _, p := range plugins {
		s.sources = append(s.sources, &source{
			kind: KindMetrics, name: p.Name, identifier: p.CustomIdentifier, plugin: true,
			// The command's own limits end it before.
			limit: p.timeout() + killAfter + 2*reapAfter, collect: p.values,
			say: announcer{log: p.log},
		})
	}
	return s
}

// atMinute returns values as readings of one minute, without those that no server takes.
func atMinute(values []saba.Value, minute int64) []reading {
	readings := make([]reading, 0, len(values))
	for _, v := range values {
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || !saba.ValidMetricName(v.Name) {
			continue
		}
		readings = append(readings, reading{v.Name, saba.Sample{Time: minute, Value: v.Value}})
	}
	return readings
}

// run takes a turn shortly after the start and then at each minute, until ctx ends and the
// sources have returned.
func (s *schedule) run(ctx context.Context) {
	defer s.wait()
	s.declare()
	before, rates := s.counters.restore(s.own)
	now := s.now()
	at := now
	if !rates {
		s.baseline(ctx)
		at = now.Add(firstInterval)
	}
	if next := nextMinute(now); next.After(now) && next.Before(at.Add(firstGap)) || before == saba.Minute(now.Unix()) {
		at = next // or else the minute that the process before has collected would be collected twice
	}
	if !sleep(ctx, at.Sub(now)) {
		return
	}
	last := int64(math.MinInt64)
	for {
		now := s.look()
		if minute := saba.Minute(now.Unix()); minute != last {
			if missed := (minute-last)/saba.Resolution - 1; last != math.MinInt64 && missed > 0 {
				s.log.Warn("minutes were missed: was the machine suspended, or its clock set?", "minutes", missed)
			}
			last = minute
			s.turn(ctx, minute)
		}
		// Computed anew each time, so that the schedule follows the wall clock when it is set,
		// and a timer that wakes too early by it only sleeps again. A clock that was set back since
		// the look at it would have us sleep for as long.
		if !sleep(ctx, min(nextMinute(now).Sub(s.now()), time.Minute)) {
			return
		}
	}
}

// look returns the time, and keeps what the clocks show for the turn that it may be stamped with.
func (s *schedule) look() (now time.Time) {
	if s.clock == nil {
		return s.now()
	}
	now, s.stamped = s.clock.stamp()
	return now
}

// rest returns when no source is at work, or after restLimit, or when ctx ends.
func (s *schedule) rest(ctx context.Context) {
	for range int(restLimit / (100 * time.Millisecond)) {
		if !slices.ContainsFunc(s.sources, func(src *source) bool { return src.busy.Load() }) {
			return
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return
		}
	}
}

// declare tells the record which plugins there are, so that one which never runs is listed too.
func (s *schedule) declare() {
	var plugins []string
	for _, src := range s.sources {
		if src.plugin {
			plugins = append(plugins, src.name)
		}
	}
	s.record.declare(KindMetrics, plugins)
}

// nextMinute returns the first whole minute after t, without t's monotonic reading: it is the
// wall clock that says when a minute begins.
func nextMinute(t time.Time) time.Time {
	return time.Unix(saba.Minute(t.Unix())+saba.Resolution, 0)
}

// baseline lets the sources of host metrics read their counters a first time. Nothing of it is
// kept. Plugins are left alone: they have a state of their own, and dislike two runs in a row.
func (s *schedule) baseline(ctx context.Context) {
	for _, src := range s.sources {
		if !src.plugin {
			s.start(ctx, src, 0, func([]reading) {})
		}
	}
}

// turn starts every source for minute (Unix seconds) and returns at once.
func (s *schedule) turn(ctx context.Context, minute int64) {
	if s.alive != nil {
		s.alive()
	}
	s.turns++
	shedding := s.turns%shedEvery == 2
	t := &turn{minute: minute, clock: s.stamped, queue: s.queue, readings: map[string][]reading{}}
	t.open = 1 // this function's own share, so that the turn does not close while it starts sources
	for _, src := range s.sources {
		t.begin()
		if !s.start(ctx, src, minute, func(r []reading) { t.bring(src.identifier, r) }) {
			t.bring(src.identifier, nil)
		}
	}
	s.running.Go(func() {
		// Bounded by the end of the turn: the timer's goroutine is waited for like a source.
		select {
		case <-ctx.Done():
		case <-time.After(closeAfter):
		case <-t.finished():
		}
		t.close()
		s.counters.save(s.own, minute)
		if shedding {
			shed()
		}
	})
	t.bring("", nil)
}

// start runs one source on a goroutine of its own, which calls bring once, and says whether it
// did: a source whose last run has not returned is left out.
func (s *schedule) start(ctx context.Context, src *source, minute int64, bring func([]reading)) bool {
	if !src.busy.CompareAndSwap(false, true) {
		s.record.source(src.kind, src.name).overran()
		if n := src.skipped.Add(1); n == 1 || n%60 == 0 {
			s.log.Warn("a source is still at work on an earlier minute and is left out of this one", "source", src.name, "minutes", n)
		}
		return false
	}
	src.skipped.Store(0)
	agent := ctx
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(agent, src.limit)
		defer cancel()
		began := time.Now()
		readings, err := src.safely(ctx, minute)
		if minute != 0 && agent.Err() == nil { // neither a baseline nor cut short by our own end
			s.noted(src, readings, run{at: began, took: time.Since(began), points: len(readings), err: err})
		}
		src.busy.Store(false)
		if agent.Err() == nil || err == nil {
			src.report(err)
		}
		bring(readings)
	})
	return true
}

// noted records a run of src, or of each of its parts when it has some.
func (s *schedule) noted(src *source, readings []reading, x run) {
	if src.parts == nil {
		record := s.record.source(src.kind, src.name)
		record.ran(x)
		record.owns(src.identifier, readings)
		return
	}
	s.record.caughtUp(src.kind, src.name)
	for _, p := range src.parts() {
		record := s.record.source(src.kind, p.Name)
		record.ran(run{at: x.at, took: p.Duration, points: p.Values, err: p.Err})
		n := min(p.Values, len(readings))
		record.owns(src.identifier, readings[:n])
		readings = readings[n:]
	}
}

// safely collects; a panic becomes an error and costs only this source's minute.
func (src *source) safely(ctx context.Context, minute int64) (r []reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("panic: %v in %s", p, panicked())
		}
	}()
	return src.collect(ctx, minute)
}

// report logs a failure when it begins or becomes another, and its end.
func (src *source) report(err error) {
	src.mu.Lock()
	defer src.mu.Unlock()
	if err == nil {
		src.say.over("the source is well again")
		return
	}
	src.say.say(slog.LevelWarn, err.Error(), "a source brings less than it should", "error", err)
}

// wait waits for the sources, but not for ever: a system call that hangs cannot be ended.
func (s *schedule) wait() {
	all := make(chan struct{})
	go func() {
		s.running.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(stragglers):
		s.log.Warn("a source does not return and is left behind")
	}
}

// A turn gathers what the sources bring for one minute, and puts it into the queue in one
// piece when all have, or when it is closed. What comes later goes into the queue by itself.
type turn struct {
	minute int64
	clock  stampClock // what minute was read from
	queue  adder

	mu       sync.Mutex
	open     int                  // sources that have not brought theirs
	closed   bool                 // what was gathered is in the queue
	all      chan struct{}        // closed when open falls to 0; made by finished
	readings map[string][]reading // by custom identifier
}

func (t *turn) begin() {
	t.mu.Lock()
	t.open++
	t.mu.Unlock()
}

// finished returns a channel that is closed when every source has brought its readings.
func (t *turn) finished() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(chan struct{})
		if t.open == 0 {
			close(t.all)
		}
	}
	return t.all
}

// bring takes the readings of one source.
func (t *turn) bring(identifier string, r []reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	if t.closed {
		t.queue.add(batch{Minute: t.minute, Identifier: identifier, Readings: r, clock: t.clock})
		return
	}
	t.readings[identifier] = append(t.readings[identifier], r...)
	if t.open == 0 {
		t.deliver()
		if t.all != nil {
			close(t.all)
		}
	}
}

// close delivers what has come so far.
func (t *turn) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.deliver()
	}
}

// deliver puts what was gathered into the queue. t.mu is held.
func (t *turn) deliver() {
	t.closed = true
	for identifier, r := range t.readings {
		t.queue.add(batch{Minute: t.minute, Identifier: identifier, Readings: r, clock: t.clock})
	}
	t.readings = nil
}
