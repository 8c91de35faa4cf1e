// Package drain takes log lines in and makes service metrics of them. What OpenTelemetry and language metrics say becomes readings beside those of lines.
//
// A drain belongs to a service and is opened by its token. Whoever sends lines posts them to /drains/TOKEN (Heroku's Logplex does), and is answered when
// what the lines came to is on disk: a kill -9 after the answer loses nothing, and a request that is sent again, under the frame id that it had, counts once.
// A minute becomes points when it is over and ten seconds have passed; lines that come later are added to their minute, and the points are written anew.
// Package logline says what lines mean; this package keeps, counts and writes. It imports no engine. Start with Drains.Take and Drains.Run.
package drain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/hush"
	"github.com/saba-monitor/saba/internal/logline"
)

// Store is what package drain asks of the database. A missing record is an error matching saba.ErrNotFound.
type Store interface {
	Drain(ctx context.Context, org, id string) (saba.Drain, error)
	Drains(ctx context.Context, org string) ([]saba.Drain, error)
	// DrainByHash returns the drain whose token has a hash (saba.HashSecret), and its organization.
	DrainByHash(ctx context.Context, hash string) (org string, d saba.Drain, err error)
	Services(ctx context.Context, org string) ([]saba.Service, error)

	// KeepDrainBatch keeps cells; fresh is false, and nothing is kept, when the frame came before.
	KeepDrainBatch(ctx context.Context, b saba.DrainBatch, frame string) (seq int64, fresh bool, err error)
	DrainBatches(ctx context.Context, drain string) ([]saba.DrainBatch, error)
	// FoldDrainBatches puts cells in the place of everything up to a number, and forgets frames of before a time.
	FoldDrainBatches(ctx context.Context, drain string, upTo int64, cells []byte, before int64) error

	PutServiceGraphDefs(ctx context.Context, org, service string, defs []saba.GraphDef) error
}

// Points is the way in for points.
type Points interface {
	ServicePoints(ctx context.Context, org, service string, points []saba.Point) (saba.Drops, error)
}

// Samples is what package drain asks of the storage engine.
type Samples interface {
	// Range returns the samples of each series from one time to another, both in Unix seconds and included.
	Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error)
}

// Options are the parts of Drains. All are needed.
type Options struct {
	Org     string // whose drains are written by Run
	Store   Store
	Points  Points
	Samples Samples
	Now     func() time.Time
	Log     *slog.Logger
}

// The times of a minute.
const (
	grace  = 10 * time.Second // after its end, before its points are written: senders take some seconds
	round  = 5 * time.Second  // between two looks for what is due
	stay   = 15 * time.Minute // how long a cell is at hand after its last line; what is later starts from the stored points
	fold   = 15 * time.Minute // between two times that a drain's batches are made one
	frames = 15 * time.Minute // how long a frame id is remembered; Logplex gives up after seconds
	resend = 500              // batches after which they are made one early
)

// Bounds of a drain.
const (
	mostCells  = 4 * logline.MaxSeries // at hand: those of MaxSeries metrics, for a few minutes
	mostSpread = 4 << 20               // numbers that the measures of its cells hold: 32 MiB. Above it quantiles are left out
	namesStay  = 24 * time.Hour        // how long a name counts for MaxSeries, at least: names that change all day are no metrics
)

// Drains are the drains of an organization at work. They are safe for concurrent use.
type Drains struct {
	Options
	since time.Time // when they began

	mu    sync.Mutex
	works map[string]*work // by the drain's id
	wake  chan struct{}    // something may be due that was not before

	places chan *place // for bodies in memory
	unwell hush.Hush   // of failures that every request meets
}

// New returns Drains.
func New(o Options) *Drains {
	d := &Drains{Options: o, since: o.Now(), works: map[string]*work{}, wake: make(chan struct{}, 1), places: make(chan *place, maxBodies)}
	for range maxBodies {
		d.places <- &place{}
	}
	return d
}

// A work is one drain at work.
type work struct {
	mu      sync.Mutex
	org     string
	drain   saba.Drain
	loaded  bool
	cells   map[logline.Key]*cell
	spread  int   // the numbers that their measures hold
	seq     int64 // of the last batch
	batches int   // since the last fold
	folded  time.Time
	totals  map[string]lastTotal  // of counters, by series
	names   map[logline.Key]named // metrics of up to a day
	namedAt time.Time             // when names was begun
	status  status

	rules struct { // as they were last compiled; its own lock, since mu is held while the disk is written
		sync.Mutex
		of    []saba.LineRule
		ready logline.Rules
	}
}

// A cell is one that is at hand.
type cell struct {
	logline.Cell
	touched time.Time // when the last reading came
	unsaved bool      // its points are not as it is
}

// workOf returns the work of a drain.
func (d *Drains) workOf(org string, dr saba.Drain) *work {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.works[dr.ID]
	if w == nil {
		now := d.Now()
		w = &work{org: org, cells: map[logline.Key]*cell{}, totals: map[string]lastTotal{}, names: map[logline.Key]named{}, namedAt: now, folded: now}
		d.works[dr.ID] = w
	}
	return w
}

// rulesOf returns the rules of a drain, compiled once for each of its versions.
func (d *Drains) rulesOf(w *work, dr saba.Drain) logline.Rules {
	w.rules.Lock()
	defer w.rules.Unlock()
	if !slices.Equal(w.rules.of, dr.Rules) {
		ready, err := logline.Compile(dr.Rules)
		if err != nil { // kept by a program that allowed more
			d.Log.Error("rules of a drain are left out: they are not right", "drain", dr.Name, "error", err)
		}
		w.rules.of, w.rules.ready = dr.Rules, ready
	}
	return w.rules.ready
}

// A Lot is lines that came at once.
type Lot struct {
	Lines    []logline.Line
	Frame    string            // the id under which its sender would send it again; "" for none
	Refused  []logline.Refusal // what never became a line: see Refuse
	Readings []logline.Reading // that did not come from lines

	totals []total // of counters, of which the increases count
	more   map[logline.Reason]int64
}

// Refuse notes what never became a line. Of many it keeps the number alone, so that a flood takes no memory.
func (l *Lot) Refuse(reason logline.Reason, text []byte) {
	if len(l.Refused) < recentRefusals {
		l.Refused = append(l.Refused, logline.Refusal{Reason: reason, Text: logline.Clip(text)})
		return
	}
	if l.more == nil {
		l.more = map[logline.Reason]int64{}
	}
	l.more[reason]++
}

// Take makes metrics of the lines of a lot, and returns when what they come to is on disk. An error means that nothing of it was kept; one
// that matches saba.ErrNotFound means that the drain is gone.
func (d *Drains) Take(ctx context.Context, org string, dr saba.Drain, lot Lot) error {
	now := d.Now()
	w := d.workOf(org, dr)
	reader := logline.Reader{Prefix: dr.Prefix, SourcePrefix: dr.SourcePrefix, Rules: d.rulesOf(w, dr)}
	cells := logline.Cells{}
	seen := seen{}
	for _, no := range lot.Refused {
		seen.refused.add(no)
	}
	for reason, n := range lot.more {
		seen.refused.more(reason, n)
	}
	found := func(r logline.Reading) {
		if !cells.Add(r) {
			seen.refused.add(logline.Refusal{Reason: logline.TooMany, Text: r.Name})
			return
		}
		seen.readings++
	}
	for i := range lot.Lines {
		if i%1000 == 999 && ctx.Err() != nil { // rules may take long
			return ctx.Err()
		}
		seen.source(reader.Read(now, &lot.Lines[i], found, seen.refused.add))
	}
	for _, r := range lot.Readings {
		found(r)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drain = dr
	fresh := true
	if len(cells)+len(lot.totals) > 0 {
		if err := d.load(ctx, w, now); err != nil {
			return err
		}
		totals := w.increases(lot.totals, found, seen.refused.add)
		w.makeRoom(cells, &seen, now)
		if err := d.base(ctx, w, cells, now); err != nil {
			return err
		}
		maps.Copy(cells, totals)
		doc, err := json.Marshal(cells)
		if err != nil {
			return fmt.Errorf("write down what log lines came to: %w", err)
		}
		var seq int64
		if seq, fresh, err = d.Store.KeepDrainBatch(ctx, saba.DrainBatch{Drain: dr.ID, At: now.Unix(), Cells: doc}, lot.Frame); err != nil {
			return err
		}
		if fresh {
			w.seq, w.batches = seq, w.batches+1
			w.merge(cells, now)
		}
	}
	if !fresh {
		w.status.again++
		return nil
	}
	w.status.note(now, lot.Lines, &seen)
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return nil
}

// load reads what is kept of a drain since an earlier run of the program. w is locked.
func (d *Drains) load(ctx context.Context, w *work, now time.Time) error {
	if w.loaded {
		return nil
	}
	batches, err := d.Store.DrainBatches(ctx, w.drain.ID)
	if err != nil {
		return err
	}
	for _, b := range batches {
		var cells logline.Cells
		if err := json.Unmarshal(b.Cells, &cells); err != nil {
			// To stop here would refuse every line to come for the sake of one minute.
			d.Log.Error("what log lines of a drain came to could not be read; its metrics lack it", "drain", w.drain.Name, "batch", b.Seq, "error", err)
			continue
		}
		w.seq, w.batches = b.Seq, w.batches+1
		w.merge(cells, now)
		if at := time.Unix(b.At, 0); at.After(w.status.last) {
			w.status.last = at
		}
	}
	w.loaded = true
	return nil
}

// merge adds cells to those at hand.
func (w *work) merge(cells logline.Cells, now time.Time) {
	for key, c := range cells {
		if key.Kind == kindTotal {
			w.totals[key.Source] = lastTotal{c.Last, c.LastAt, now}
			continue
		}
		mine := w.cells[key]
		if mine == nil {
			mine = &cell{Cell: logline.Cell{Unit: c.Unit}}
			w.cells[key] = mine
			if _, known := w.names[nameOf(key)]; !known {
				w.names[nameOf(key)] = named{unit: c.Unit}
			}
		}
		before := mine.Spread.Size()
		if w.spread+c.Spread.Size() > mostSpread {
			without := *c
			without.Spread, without.Lost = logline.Spread{}, c.Count
			c = &without
		}
		mine.Merge(c)
		w.spread += mine.Spread.Size() - before
		mine.touched, mine.unsaved = now, true
	}
}

// at returns the cell of a key, nil when there is none. w is locked.
func (w *work) at(key logline.Key) *logline.Cell {
	if c := w.cells[key]; c != nil {
		return &c.Cell
	}
	return nil
}

// nameOf returns what the cells of a metric have in common.
func nameOf(key logline.Key) logline.Key {
	key.Minute = 0
	return key
}

// makeRoom takes out of cells what there is no room for.
func (w *work) makeRoom(cells logline.Cells, seen *seen, now time.Time) {
	if now.Sub(w.namedAt) >= namesStay {
		names := make(map[logline.Key]named, len(w.cells))
		for key := range w.cells {
			names[nameOf(key)] = w.names[nameOf(key)]
		}
		w.names, w.namedAt = names, now
	}
	room := mostCells - len(w.cells)
	fresh := map[logline.Key]bool{}
	for key := range cells {
		if w.cells[key] != nil {
			continue
		}
		name := nameOf(key)
		_, known := w.names[name]
		if !known && !fresh[name] && len(w.names)+len(fresh) >= logline.MaxSeries || room <= 0 {
			seen.refused.add(logline.Refusal{Reason: logline.TooMany, Text: key.Name})
			delete(cells, key)
			continue
		}
		room--
		if !known {
			fresh[name] = true
		}
	}
}

// base adds to cells of minutes that are not at hand any more what is stored of them, so that late lines are added and do not replace. Of
// samples nothing is needed: the later comer counts.
func (d *Drains) base(ctx context.Context, w *work, cells logline.Cells, now time.Time) error {
	var late []logline.Key
	for key := range cells {
		if key.Kind != logline.Sample && w.cells[key] == nil && key.Minute < now.Add(-stay-time.Minute).Unix() {
			late = append(late, key)
		}
	}
	if len(late) == 0 {
		return nil
	}
	services, err := d.Store.Services(ctx, w.org)
	if err != nil {
		return fmt.Errorf("look up service %q: %w", w.drain.Service, err)
	}
	i := slices.IndexFunc(services, func(s saba.Service) bool { return s.Name == w.drain.Service })
	if i < 0 {
		return saba.Errorf(saba.ErrNotFound, "no service %q", w.drain.Service)
	}
	for _, key := range late {
		stored := map[string]float64{}
		var names []string
		var series []saba.Series
		(&logline.Cell{Count: 1, Spread: logline.Spread{Values: []float64{1}}}).Points(key, func(name string, _ float64) {
			names = append(names, name)
			series = append(series, saba.Series{Org: w.org, Service: services[i].Series, Name: name})
		})
		samples, err := d.Samples.Range(ctx, series, key.Minute, key.Minute)
		if err != nil {
			return fmt.Errorf("read what is stored of a late line's minute: %w", err)
		}
		for j, s := range samples {
			if len(s) > 0 {
				stored[names[j]] = s[len(s)-1].Value
			}
		}
		cells[key].Found(key, stored)
	}
	return nil
}

// Run writes the points of minutes that are over, until ctx ends. What is not written then is on disk, and is written by the next Run.
func (d *Drains) Run(ctx context.Context) {
	d.loadAll(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if d.Round(ctx) {
			timer.Reset(round)
			continue
		}
		select { // nothing is at hand: sleep until there is
		case <-ctx.Done():
			return
		case <-d.wake:
			timer.Reset(round)
		}
	}
}

// loadAll reads what is kept of all drains.
func (d *Drains) loadAll(ctx context.Context) {
	drains, err := d.Store.Drains(ctx, d.Org)
	if err != nil && ctx.Err() == nil {
		d.Log.Error("drains could not be listed; what was kept of them is written when their next lines come", "error", err)
	}
	for _, dr := range drains {
		w := d.workOf(d.Org, dr)
		w.mu.Lock()
		w.drain = dr
		if err := d.load(ctx, w, d.Now()); err != nil && ctx.Err() == nil {
			d.Log.Error("what was kept of a drain could not be read; it is read when its next lines come", "drain", dr.Name, "error", err)
		}
		w.mu.Unlock()
	}
}

// Round writes what is due, once, and says whether anything is still at hand.
func (d *Drains) Round(ctx context.Context) (more bool) {
	d.mu.Lock()
	works := slices.Collect(maps.Values(d.works))
	d.mu.Unlock()
	for _, w := range works {
		if ctx.Err() != nil {
			return true
		}
		m, err := d.write(ctx, w)
		if errors.Is(err, saba.ErrNotFound) {
			d.forget(w)
			continue
		}
		if err != nil && ctx.Err() == nil {
			d.Log.Error("metrics of a drain could not be stored; they are kept, and tried again", "drain", w.drain.Name, "error", err)
		}
		more = more || m
	}
	return more
}

// forget lets go of a drain that is gone.
func (d *Drains) forget(w *work) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.works, w.drain.ID)
}

// mostPoints is how many points are written at once.
const mostPoints = 5000

// write writes the points of a drain that are due, lets go of cells that nothing came to for long, and folds its batches.
func (d *Drains) write(ctx context.Context, w *work) (more bool, err error) {
	now := d.Now()
	w.mu.Lock()
	if len(w.cells)+len(w.totals) == 0 {
		w.mu.Unlock()
		return false, nil
	}
	var due []logline.Key
	for key, c := range w.cells {
		if c.unsaved && time.Unix(key.Minute, 0).Add(time.Minute+grace).Compare(now) <= 0 {
			due = append(due, key)
		}
	}
	var points []saba.Point
	fresh := map[logline.Key]bool{} // whose graphs are not defined
	for _, key := range due {
		c := w.cells[key]
		c.unsaved = false // a line that comes meanwhile sets it again
		c.Points(key, func(name string, value float64) {
			points = append(points, saba.Point{Series: saba.Series{Name: name}, Sample: saba.Sample{Time: key.Minute, Value: value}})
		})
		logline.Derive(key, w.at, func(name string, value float64) {
			points = append(points, saba.Point{Series: saba.Series{Name: name}, Sample: saba.Sample{Time: key.Minute, Value: value}})
		})
		if !w.names[nameOf(key)].defined {
			fresh[nameOf(key)] = true
		}
	}
	names := slices.Collect(maps.Keys(fresh))
	defs := definitions(names, w.names)
	w.mu.Unlock()

	if err := d.store(ctx, w, points, names, defs); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, key := range due {
			w.cells[key].unsaved = true
		}
		return true, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.wrote(points)
	for key, c := range w.cells {
		if !c.unsaved && now.Sub(c.touched) >= stay {
			w.spread -= c.Spread.Size()
			delete(w.cells, key)
		}
	}
	maps.DeleteFunc(w.totals, func(_ string, t lastTotal) bool { return now.Sub(t.touched) >= stay })
	if w.batches > 0 && (now.Sub(w.folded) >= fold || w.batches >= resend || len(w.cells)+len(w.totals) == 0) {
		if err := d.fold(ctx, w, now); err != nil {
			return true, err
		}
	}
	return len(w.cells)+len(w.totals) > 0, nil
}

// store writes graph definitions, then points: a graph is right from its first point on.
func (d *Drains) store(ctx context.Context, w *work, points []saba.Point, names []logline.Key, defs []saba.GraphDef) error {
	if len(points) == 0 {
		return nil
	}
	dr, err := d.Store.Drain(ctx, w.org, w.drain.ID)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		if len(defs) > 0 {
			if err := d.Store.PutServiceGraphDefs(ctx, w.org, dr.Service, defs); err != nil {
				return err
			}
		}
		w.mu.Lock()
		for _, key := range names {
			w.names[key] = named{unit: w.names[key].unit, defined: true}
		}
		w.mu.Unlock()
	}
	for part := range slices.Chunk(points, mostPoints) {
		if _, err := d.Points.ServicePoints(ctx, w.org, dr.Service, part); err != nil {
			return err
		}
	}
	return nil
}

// fold makes one batch of all that is kept: the cells that are at hand. w is locked.
func (d *Drains) fold(ctx context.Context, w *work, now time.Time) error {
	var doc []byte
	if len(w.cells)+len(w.totals) > 0 {
		cells := make(logline.Cells, len(w.cells)+len(w.totals))
		for key, c := range w.cells {
			cells[key] = &c.Cell
		}
		for series, t := range w.totals {
			cells[logline.Key{Kind: kindTotal, Source: series}] = t.cell()
		}
		var err error
		if doc, err = json.Marshal(cells); err != nil {
			return fmt.Errorf("write down what log lines came to: %w", err)
		}
	}
	if err := d.Store.FoldDrainBatches(ctx, w.drain.ID, w.seq, doc, now.Add(-frames).Unix()); err != nil {
		return err
	}
	w.batches, w.folded = 0, now
	if len(doc) > 0 {
		w.batches = 1 // itself, which goes when its cells have
	}
	return nil
}
