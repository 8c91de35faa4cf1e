package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/saba-monitor/saba"
)

// maxPlan is how large a plan may be that is kept for the next group.
const maxPlan = 1 << 12

// moveEvery is how often full chunks are moved to their file while points come in. All series fill theirs at the same minute: the engine,
// which looks once a minute, would hold two chunks of each for a while.
const moveEvery = 5 * time.Second

// A request is one call of Append on its way through the appender.
type request struct {
	now    time.Time
	points []saba.Point
	state  atomic.Int32
	done   chan struct{} // closed when drops and err are set
	drops  saba.Drops
	err    error
}

// The states of a request.
const (
	waiting   = iota
	taken     // the appender uses points: Append must wait for its answer
	abandoned // Append has returned: points are the caller's again
)

// Append stores points and returns when they are on disk. Points that may not be stored are
// dropped, each with its reason, and never cost their neighbours.
//
// An error means that nothing of the batch can be promised; it matches saba.ErrUnavailable when
// the disk is full or broken, and the same call may succeed later. Points that wait behind
// others are given up when ctx ends; once they are being written, Append waits for the outcome.
// points is neither modified nor retained.
func (db *DB) Append(ctx context.Context, now time.Time, points []saba.Point) (saba.Drops, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("store samples: %w", err)
	}
	if len(points) == 0 {
		return nil, nil
	}
	r := &request{now: now, points: points, done: make(chan struct{})}
	db.queue.put(r)
	select {
	case <-r.done:
		return r.drops, r.err
	case <-db.stopped:
		if r.state.CompareAndSwap(waiting, abandoned) {
			return nil, errClosed
		}
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, abandoned) {
			return nil, fmt.Errorf("store samples: %w", ctx.Err())
		}
	}
	<-r.done
	return r.drops, r.err
}

// run is the appender. It ends when db.closing is closed.
func (db *DB) run() {
	defer close(db.stopped)
	var group []*request
	var c crowd
	for db.queue.gather(db.closing, c.size, c.patience()) {
		if group = db.queue.take(group[:0]); len(group) == 0 {
			continue // it was woken for requests that the group before had
		}
		begun := db.now()
		db.serve(group)
		c = crowd{len(group) + db.queue.size(), db.now().Sub(begun)}
		clear(group) // the points are the callers' again
	}
}

// serve stores what nobody has given up of a group, and answers all.
func (db *DB) serve(group []*request) {
	group = slices.DeleteFunc(group, func(r *request) bool { return !r.state.CompareAndSwap(waiting, taken) })
	if len(group) == 0 {
		return
	}
	err := db.ready()
	if err == nil {
		err = db.store(group)
	}
	for _, r := range group {
		if err != nil {
			r.drops, r.err = nil, err
		}
		close(r.done)
	}
	if now := db.now(); now.Sub(db.prunes) >= time.Hour || now.Before(db.prunes) {
		db.prunes = now
		db.newest.prune(now, db.retention)
	}
	if now := db.now(); db.engine != nil && (now.Sub(db.moved) >= moveEvery || now.Before(db.moved)) {
		db.moved = now
		db.engine.moveFull()
	}
	if now := db.now(); db.engine != nil && !db.engine.compacts.Load() && (now.Sub(db.asked) >= time.Minute || now.Before(db.asked)) {
		db.asked = now
		if _, err := db.engine.mayCompact(); err != nil && db.mayMoan() {
			db.log.Error("samples are not compacted", "error", err)
		}
	}
}

// ready returns an error while points cannot be stored. After a failed write it first opens the
// engine again. The rest of a record that was written in part may be in its buffer still, and
// series may be in its memory that its log lacks: whatever it wrote next could not be read again
// after a crash. Until the disk takes writes, readers keep the old engine.
func (db *DB) ready() error {
	if err := db.space.check(); err != nil {
		return err
	}
	if db.failed == nil {
		return nil
	}
	now := db.now()
	if now.Before(db.retryAt) {
		return unavailable(db.failed)
	}
	db.retryAt = now.Add(time.Second)
	if err := probe(db.dir); err != nil {
		return unavailable(err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.engine != nil {
		if err := db.engine.close(); err != nil {
			db.log.Warn("the failed sample storage did not close cleanly", "error", err)
		}
		db.engine = nil
	}
	// The appender is not told when Close begins; it ends once this is done.
	if err := db.open(context.Background()); err != nil {
		db.failed = err
		return unavailable(err)
	}
	db.log.Info("samples are stored again", "after", db.failed)
	db.failed = nil
	return nil
}

func unavailable(err error) error {
	return saba.Errorf(saba.ErrUnavailable, "samples cannot be stored: %v", err)
}

// store appends the points of all requests, commits, and syncs. It sets their drops.
func (db *DB) store(group []*request) error {
	b := batch{db: db, plan: db.plan[:0]}
	defer func() {
		clear(b.plan[:cap(b.plan)]) // the points are the callers' again
		if db.plan = b.plan; cap(b.plan) > maxPlan {
			db.plan = nil
		}
	}()
	err := func() error {
		for _, r := range group {
			if err := b.add(r); err != nil {
				return err
			}
		}
		if err := b.commit(); err != nil {
			return err
		}
		return db.engine.sync(b.late)
	}()
	if err != nil {
		b.rollback()
		db.failed, db.retryAt = err, time.Time{}
		db.log.Error("samples could not be stored: the disk failed or is full", "error", err)
		return unavailable(err)
	}
	if b.refused != nil && db.mayMoan() {
		db.log.Warn("the storage engine refused points", "points", b.refusals, "cause", b.refused,
			"newest", db.engine.newestTime())
	}
	return nil
}

// mayMoan says once a minute that a trouble which may come with every batch is to be logged.
func (db *DB) mayMoan() bool {
	now := db.now()
	if now.Sub(db.moaned) < time.Minute && !now.Before(db.moaned) {
		return false
	}
	db.moaned = now
	return true
}

// A batch is what one sync makes durable: usually one commit, of all requests that waited.
type batch struct {
	db       *DB
	app      storage.Appender // nil when everything is committed
	labels   labels.ScratchBuilder
	plan     []planned
	inOrder  int64 // Unix milliseconds: points before it are late for every series
	late     bool  // some points may have gone to the log of late points
	refused  error // why the engine refused the first of the points that it refused
	refusals int
}

// A planned is a point that may be stored.
type planned struct {
	series spot
	look   bool // there may be a sample of this minute already, which only the engine knows
	point  *saba.Point
	minute int64 // Unix seconds
}

// A spot is where the entry of a series is.
type spot struct {
	owned *owned
	index int32
}

// entry returns the entry, which may move when a series is added.
func (s spot) entry() *entry { return &s.owned.series[s.index] }

// add appends the points of r to the open commit.
func (b *batch) add(r *request) error {
	r.drops = b.choose(r)
	// In time order, so that a minute which is older than the newest known one is older than
	// what was known before this request as well. The order of rewrites is kept.
	byMinute := func(p, q planned) int {
		switch {
		case p.minute < q.minute:
			return -1
		case p.minute > q.minute:
			return 1
		}
		return 0
	}
	if !slices.IsSortedFunc(b.plan, byMinute) {
		slices.SortStableFunc(b.plan, byMinute)
	}
	stored, err := b.lookUp()
	if err != nil {
		return err
	}
	n := &b.db.newest
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range b.plan {
		p := &b.plan[i]
		p.series.owned.heard = r.now.Unix()
		if err := b.put(p, stored); err != nil {
			r.drops = drop(r.drops, saba.DropEngine)
			if b.refusals++; b.refused == nil {
				b.refused = err
			}
		}
	}
	return nil
}

func drop(d saba.Drops, why saba.DropReason) saba.Drops {
	if d == nil {
		d = saba.Drops{}
	}
	d[why]++
	return d
}

// choose plans the points of r that may be stored, and returns the others as drops.
func (b *batch) choose(r *request) saba.Drops {
	n := &b.db.newest
	n.mu.Lock()
	defer n.mu.Unlock()
	var drops saba.Drops
	b.plan = b.plan[:0]
	var o *owned // of the point before: batches come from one host
	var k owner
	next, made := int32(0), false
	for i := range r.points {
		p := &r.points[i]
		if why, ok := p.Acceptable(r.now); !ok {
			drops = drop(drops, why)
			continue
		}
		if o == nil || k != ownerOf(&p.Series) {
			k = ownerOf(&p.Series)
			o, next = n.owners[k], 0
		}
		at := int32(-1)
		if o != nil {
			// Each minute has the metrics of the one before, as a rule in the same order.
			if int(next) < len(o.series) && n.names.all[o.series[next].name] == p.Name {
				at = next
			} else if name, ok := n.names.numbers[p.Name]; ok {
				at = o.find(name)
			}
		}
		if at < 0 { // the rules are checked once a series
			switch {
			case p.Org == "" || (p.Host == "") == (p.Service == ""):
				drops = drop(drops, saba.DropBadPoint)
				continue
			case !validName(p.Name):
				drops = drop(drops, saba.DropBadName)
				continue
			case o != nil && o.plain >= saba.MaxMetrics && !isLabelled(p.Name): // how many labelled ones there may be is for their way in to say
				drops = drop(drops, saba.DropTooMany)
				continue
			}
			o, at = n.entry(&p.Series)
			made = true
		}
		next = at + 1
		m, newest := saba.Minute(p.Time), o.series[at].at
		b.plan = append(b.plan, planned{spot{o, at}, newest == never || m < minuteOf(newest), p, m})
	}
	if made {
		for i := range b.plan {
			b.plan[i].series.owned.fit()
		}
	}
	return drops
}

// A stored is a sample as the engine has it: where it stands within its minute matters.
type stored struct {
	at    int64 // Unix milliseconds
	value float64
}

// A place is one minute of one series.
type place struct {
	series spot
	minute int64
}

// lookUp asks the engine for the samples of the planned minutes that it may have already. For
// series of which nothing is known it also learns the newest sample.
func (b *batch) lookUp() (map[place]stored, error) {
	var (
		places map[place]stored
		from   = int64(math.MaxInt64)
		to     = int64(math.MinInt64)
		wanted []saba.Series
		asked  map[spot]bool
		open   = false
	)
	for i := range b.plan {
		p := &b.plan[i]
		if !p.look {
			continue
		}
		if places == nil {
			places, asked = map[place]stored{}, map[spot]bool{}
		}
		places[place{p.series, p.minute}] = stored{at: never}
		from = min(from, p.minute)
		if to = max(to, p.minute+saba.Resolution); p.series.entry().at == never {
			to = math.MaxInt64 / 1000
		}
		if !asked[p.series] {
			asked[p.series] = true
			wanted = append(wanted, p.point.Series)
		}
		open = open || b.app != nil && p.series.entry().commit == b.db.commits
	}
	if places == nil {
		return nil, nil
	}
	if open {
		// A request that is part of the same commit wrote to the series: the engine shows
		// that to a reader once it is committed.
		if err := b.commit(); err != nil {
			return nil, err
		}
	}
	if err := b.search(wanted, from*1000, to*1000-1, places); err != nil {
		b.late = true // for all that is known
		// A damaged block must not keep out all that is new. What is lost is that a late
		// rewrite wins: the first value stays.
		if b.db.mayMoan() {
			b.db.log.Error("could not look for earlier samples of late points, so a rewrite may not win", "error", explainChunk(b.db.dir, err))
		}
	}
	return places, nil
}

// search sets the places of the wanted series that have a sample in [mint, maxt], Unix milliseconds.
func (b *batch) search(wanted []saba.Series, mint, maxt int64, places map[place]stored) error {
	q, err := b.db.engine.db.Querier(mint, maxt)
	if err != nil {
		return err
	}
	defer q.Close()
	n := &b.db.newest
	for _, sel := range selections(wanted) {
		if err := sel.each(context.Background(), q, func(s saba.Series, it chunkenc.Iterator) error {
			o := n.owners[ownerOf(&s)] // this goroutine alone changes them
			series := spot{o, o.find(n.names.numbers[s.Name])}
			last := stored{at: never}
			for it.Next() == chunkenc.ValFloat {
				last.at, last.value = it.At()
				k := place{series, minuteOf(last.at)}
				if _, ok := places[k]; ok {
					places[k] = last
				}
			}
			if series.entry().at == never && last.at != never {
				n.mu.Lock()
				n.learn(&s, last.at, last.value)
				n.mu.Unlock()
			}
			return it.Err()
		}); err != nil {
			return err
		}
	}
	return nil
}

var errMinuteFull = errors.New("one minute of a series was rewritten more than a thousand times")

// put appends one point, unless the same value is there already. late holds what the engine has
// of the minutes before the newest one.
func (b *batch) put(p *planned, late map[place]stored) error {
	e := p.series.entry()
	there := stored{at: never}
	switch newest := minuteOf(e.at); {
	case e.at == never:
	case p.minute == newest:
		there = stored{e.at, e.value}
	case p.minute < newest:
		there = late[place{p.series, p.minute}]
	}
	at := p.minute * 1000
	if there.at != never {
		if math.Float64bits(there.value) == math.Float64bits(p.value()) {
			return nil
		}
		var ok bool
		if at, ok = after(there.at); !ok {
			return errMinuteFull
		}
	}
	if err := b.append(p, at); err != nil {
		return err
	}
	b.late = b.late || at <= e.at || at < b.inOrder
	if at > e.at {
		e.at, e.value = at, p.value()
		p.series.owned.seen = max(p.series.owned.seen, at)
	} else {
		late[place{p.series, p.minute}] = stored{at, p.value()}
	}
	return nil
}

func (p *planned) value() float64 { return p.point.Sample.Value }

// after returns the time at which a sample that replaces the one at ms is stored: the next second
// of its minute, then the next millisecond of its last second. ok is false when there is none left.
func after(ms int64) (next int64, ok bool) {
	end := (minuteOf(ms) + saba.Resolution) * 1000
	next = ms - ms%1000 + 1000
	if next >= end {
		next = ms + 1
	}
	return next, next < end
}

// append hands one sample to the engine. The error is about this sample alone.
func (b *batch) append(p *planned, at int64) error {
	e := p.series.entry()
	if b.app == nil {
		b.db.commits++
		var ok bool
		b.inOrder, ok = b.db.engine.db.Head().AppendableMinValidTime()
		b.late = b.late || !ok // the head is empty: its first point decides what is late
		b.app = b.db.engine.db.Appender(context.Background())
	}
	if e.ref != 0 {
		if ref, err := b.app.Append(e.ref, labels.EmptyLabels(), at, p.value()); err == nil {
			e.ref, e.commit = ref, b.db.commits
			return nil
		}
		// The series may have been silent for long enough to leave the head, and its
		// reference with it.
	}
	ref, err := b.app.Append(0, labelsOf(&b.labels, &p.point.Series), at, p.value())
	if err != nil {
		return err
	}
	e.ref, e.commit = ref, b.db.commits
	return nil
}

// commit makes what was appended readable, and writes it to the log.
func (b *batch) commit() error {
	if b.app == nil {
		return nil
	}
	app := b.app
	b.app = nil
	return app.Commit()
}

// rollback gives up what was appended since the last commit.
func (b *batch) rollback() {
	if b.app != nil {
		b.app.Rollback() // it has failed already, and is opened again
		b.app = nil
	}
}
