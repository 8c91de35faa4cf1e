package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// The bounds of a spool that its options do not name.
const (
	defaultSpoolBytes  = 64 << 20 // more than a day of 2,000 metrics a minute
	defaultSpoolMemory = 16 << 20
	// diskPatience is how long add waits for the disk: a batch is worth more on its way to the
	// server than in a queue for a disk that hangs.
	diskPatience = 10 * time.Second
	// mostSpooled bounds the batches, each of which takes 88 bytes of memory wherever it is: a
	// day of a hundred hosts that one agent watches.
	mostSpooled = 150_000
	// mostCached bounds the newest records that stay in memory when they are on disk: in a usual
	// minute nothing is read back. One is kept however large.
	mostCached = 128 << 10
	// looseFor is how long a batch may be on disk unsynced. A server takes one within seconds, as the posts of hosts
	// are spread over five; then it needs no sync.
	looseFor = 10 * time.Second
	// mostAtOnce bounds what is written between two syncs when much has piled up in memory.
	mostAtOnce = 1 << 20
)

const (
	spoolKind    = "sabamet" // of the segments
	spoolVersion = 2
	spoolSuffix  = ".seg"
	// spoolAside is the name of a file that had a segment's name and held no record.
	spoolAside = "unreadable"
	// mostSegmentBytes bounds a file that is read: no segment was ever written larger.
	mostSegmentBytes = 16 << 20
)

// spoolOptions are the bounds and surroundings of a spool. Now and Log are required.
type spoolOptions struct {
	MaxBytes  int64         // of all segments together; 0 means 64 MiB
	MaxAge    time.Duration // of a batch, by its Minute or, within a boot, by the clock since boot; 0 means saba.MaxLate
	MaxMemory int64         // of the records that wait for a disk that does not work; 0 means 16 MiB
	Now       func() time.Time
	Clock     *timekeeper // tells stamps that are wrong; nil takes every stamp as it is
	Log       *slog.Logger

	create func(path string) (segmentFile, error) // nil makes real files
}

// A segmentFile is what a spool asks of the file that it writes.
type segmentFile interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// A spool is a queue on disk. A batch is on disk when add returns, and what waits when the process ends in
// whatever way is there when the folder is opened again. It is synced, unless nothing else waits: a batch that is alone has
// looseFor to be done, so that a power loss costs one at most. A batch that was done shortly before a kill or a power loss
// may be there too: sending it again is harmless.
//
// While the folder cannot be written, batches are kept in memory, and go to disk when it works again.
//
// A spool has one goroutine at most, which writes and ends when there is nothing to write; close waits for it.
type spool struct {
	dir  string
	o    spoolOptions
	wake chan struct{}
	work sync.WaitGroup // the goroutine that flushes

	mu          sync.Mutex
	seq         uint64
	index       []*spooled // what waits, by minute, then seq
	count       int        // readings in index
	lost        int        // readings given up since dropped was called
	unsaved     []*spooled // of index, what is in memory alone, in order of arrival; what is being written comes first
	unsavedSize int64      // bytes of their records
	cached      []*spooled // what is on disk and in memory, the newest last
	cachedSize  int64
	loose       *spooled    // what is on disk, but not synced; nil when all is that waits
	overdue     bool        // loose has been that for looseFor
	patience    *time.Timer // makes it so
	finished    []uint64    // batches done or dropped that the disk does not know of yet
	unread      []uint64    // batches on disk that the disk did not give: to be read by the next process
	sealed      []*segment  // the segments on disk but for active, with batches that wait
	dead        []*segment  // segments without one, to be removed
	active      *segment    // the one that is appended to; nil when there is none
	disk        int64       // bytes of all segments but the dead
	flushing    bool        // the goroutine runs
	hangs       bool        // it has for longer than diskPatience
	broken      bool        // the last write failed
	complained  bool        // about what could not be read back
	closed      bool
	scratch     []byte                 // where a record is made
	view        clockView              // by which index is ordered
	judged      map[stampClock]*judged // those of batches that were added; some of them may be gone

	// Of the goroutine that flushes, and of openSpool and close when it does not run.
	lock   *os.File // held: nil while the folder is not ours
	number uint64   // of the newest segment
	file   segmentFile
	named  bool // the name of file is synced, too

	reading  sync.Mutex
	readFrom *segment // the segment whose file is open
	readFile *os.File
}

// A segment is a file of the queue.
type segment struct {
	path    string
	size    int64
	waiting int  // batches in it
	keep    bool // something in it could not be read: it may be, by the next process
}

// A spooled is a batch in a spool: where it is.
type spooled struct {
	seq        uint64
	minute     int64 // of its stamp, shifted by the ruling on its clock
	identifier string
	count      int32 // readings
	size       uint32
	clock      *judged  // nil when nothing is known of it
	at         *segment // nil while it is in memory alone
	off        uint32   // of its record in the segment
	ready      bool     // it is on disk, or will not be soon
	gone       bool     // done or dropped
	held       *heldRecord
}

// A heldRecord is a record in memory.
type heldRecord struct {
	record  []byte
	writing bool          // the goroutine that flushes has it
	settled chan struct{} // closed when the record is on disk or could not be written; nil afterwards
}

// A judged is what is thought of the batches of one stampClock. Batches of one may have several.
type judged struct {
	stampClock
	ruling
	seen clockView // by which
	more int64     // what the last change of the ruling added to the shift
}

// openSpool opens the queue in the folder dir, which it makes if it is missing. It returns an
// error only when another agent uses the folder. When the folder cannot be read or written for
// another reason, that is logged, and the spool keeps batches in memory until it can.
func openSpool(dir string, o spoolOptions) (*spool, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultSpoolBytes
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = defaultSpoolMemory
	}
	if o.MaxAge == 0 {
		o.MaxAge = saba.MaxLate
	}
	if o.create == nil {
		o.create = func(path string) (segmentFile, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	s := &spool{dir: dir, o: o, wake: make(chan struct{}, 1)}
	err := s.attach()
	if errors.Is(err, saba.ErrConflict) {
		return nil, err
	}
	if err != nil {
		s.breaks(err)
		return s, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushSoon() // some of it may be too old, or too much
	return s, nil
}

func (s *spool) add(b batch) {
	readings := b.Readings
	for _, r := range readings {
		if len(r.Name) > saba.MaxMetricName { // no server takes it; rare enough for the copy
			b.Readings = slices.DeleteFunc(slices.Clone(readings), func(r reading) bool { return len(r.Name) > saba.MaxMetricName })
			break
		}
	}
	s.mu.Lock()
	s.lost += len(readings) - len(b.Readings)
	waits := s.take(b, nil)
	if len(waits) == 0 {
		s.mu.Unlock()
		return
	}
	s.flushSoon()
	hangs := s.hangs || s.closed
	s.mu.Unlock()

	var timer *time.Timer
	for _, settled := range waits {
		if hangs {
			break
		}
		if timer == nil {
			timer = time.NewTimer(diskPatience)
			defer timer.Stop()
		}
		select {
		case <-settled:
		case <-timer.C:
			hangs = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if hangs {
		for _, e := range s.unsaved {
			e.ready = true
		}
		if !s.hangs && !s.closed && s.flushing {
			s.hangs = true
			s.o.Log.Warn("the disk of the queue does not answer: values are kept in memory, and are lost if the agent ends before it does", "folder", s.dir)
		}
	}
	s.poke()
}

// take puts b into the queue, in several batches if one record cannot hold it, and returns what to wait for. s.mu is held.
func (s *spool) take(b batch, waits []<-chan struct{}) []<-chan struct{} {
	if len(b.Readings) == 0 {
		return waits
	}
	b.seq = s.seq + 1
	if cap(s.scratch) > 2*maxPayload {
		s.scratch = nil
	}
	s.scratch = appendBatch(beginRecord(s.scratch[:0]), b)
	if len(s.scratch)-recordHeaderSize > maxPayload {
		if len(b.Readings) == 1 {
			s.lost++
			return waits
		}
		middle := len(b.Readings) / 2
		older, newer := b, b
		older.Readings, newer.Readings = b.Readings[:middle], b.Readings[middle:]
		return s.take(newer, s.take(older, waits))
	}
	sealRecord(s.scratch)
	record := slices.Clone(s.scratch) // as large as it must be: it may stay for long
	s.seq++
	settled := make(chan struct{}) // the batch may be given up at once
	h := &heldRecord{record: record, settled: settled}
	e := &spooled{
		seq: b.seq, minute: b.Minute, identifier: strings.Clone(b.Identifier), count: int32(len(b.Readings)),
		size: uint32(len(record)), held: h, clock: s.judgedOf(b.clock),
	}
	s.place(e)
	s.insert(e)
	s.unsaved = append(s.unsaved, e)
	s.unsavedSize += int64(e.size)
	s.keepWithinMemory()
	return append(waits, settled)
}

// judgedOf returns what is thought of the batches of c. s.mu is held.
func (s *spool) judgedOf(c stampClock) *judged {
	if c.boot == 0 {
		return nil
	}
	j, ok := s.judged[c]
	if !ok {
		const most = 100 // clocks are seldom set, and a day of them is remembered
		if s.judged == nil || len(s.judged) == most {
			s.judged = map[stampClock]*judged{}
		}
		j = &judged{stampClock: c}
		s.judged[c] = j
	}
	return j
}

// place shifts e, which is not in the index yet, to where it belongs there. s.mu is held.
func (s *spool) place(e *spooled) {
	if e.clock != nil {
		e.clock.judge(s.view)
		e.minute += e.clock.shift
	}
}

// judge brings j up to date with v. It is false when it was.
func (j *judged) judge(v clockView) bool {
	if j.seen == v {
		return false
	}
	before := j.shift
	j.ruling, j.seen = judge(j.stampClock, v), v
	j.more = j.shift - before
	return true
}

// review looks at the clocks and, if they stand otherwise than before, shifts the batches for which that matters. s.mu is held.
func (s *spool) review() {
	v := s.o.Clock.look()
	if v == s.view {
		return
	}
	s.view = v
	shifted, moved := false, 0
	var moving map[*judged]bool
	for _, e := range s.index {
		j := e.clock
		if j == nil {
			continue
		}
		if before := j.moves; j.judge(v) && j.moves && !before {
			if moving == nil {
				moving = map[*judged]bool{}
			}
			moving[j] = true
		}
		if j.more != 0 {
			e.minute += j.more
			shifted = true
		}
		if moving[j] {
			moved += int(e.count)
		}
	}
	if shifted {
		slices.SortFunc(s.index, byMinute)
	}
	if moved > 0 {
		s.o.Log.Info("the clock was set, and the server's agrees with it: values that were collected before get the minute in which they were", "values", moved)
	}
}

// waitsForClock returns whether a batch is not sent before more is known of the clock, or before it is set: under its stamp the
// server would drop it without a word. s.mu is held.
func (s *spool) waitsForClock() func(e *spooled) bool {
	ahead, dated := s.view.off()
	wrong := dated && apart(ahead, 0)
	now := s.o.Now().Unix() - ahead // the server's
	return func(e *spooled) bool {
		stamp := e.minute
		if e.clock != nil {
			if e.clock.waits {
				return true
			}
			stamp -= e.clock.shift // nothing moves while the clock is wrong
			if wrong && e.clock.boot == s.view.boot && e.clock.zero-s.view.server > int64(saba.MaxAhead/time.Second) {
				return true // it would be taken when its wrong minute comes
			}
		}
		return wrong && refused(stamp, now)
	}
}

// poke wakes the sender.
func (s *spool) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// insert puts e into the index. s.mu is held.
func (s *spool) insert(e *spooled) {
	i := len(s.index)
	if i > 0 && s.index[i-1].minute > e.minute { // else it is the newest, as nearly always
		i, _ = slices.BinarySearchFunc(s.index, e, byMinute)
	}
	s.index = slices.Insert(s.index, i, e)
	s.count += int(e.count)
}

// keepWithinMemory gives up the oldest batches when there are too many, or too many that are
// in memory alone. s.mu is held.
func (s *spool) keepWithinMemory() {
	for len(s.index) > mostSpooled {
		s.dropOldest()
	}
	if s.unsavedSize <= s.o.MaxMemory {
		return
	}
	dropped := map[*spooled]bool{}
	for _, e := range s.index {
		if s.unsavedSize <= s.o.MaxMemory || len(dropped) == len(s.index)-1 {
			break
		}
		if e.at == nil {
			dropped[e] = true
			s.lost += int(e.count)
			s.release(e)
		}
	}
	s.index = slices.DeleteFunc(s.index, func(e *spooled) bool { return dropped[e] })
}

// dropOldest gives up the oldest batch. s.mu is held.
func (s *spool) dropOldest() {
	e := s.index[0]
	s.index[0] = nil
	s.index = s.index[1:] // nothing is moved: thousands may go at once
	s.lost += int(e.count)
	s.release(e)
}

// release forgets where e is, which has left the index or is about to. s.mu is held.
func (s *spool) release(e *spooled) {
	e.gone = true
	s.count -= int(e.count)
	if e.at == nil {
		s.unsavedSize -= int64(e.size)
		if e.held.writing {
			s.finished = append(s.finished, e.seq) // it will be on disk
			return
		}
		s.settle(e)
		s.unsaved = slices.DeleteFunc(s.unsaved, func(x *spooled) bool { return x == e })
		return
	}
	if e == s.loose {
		s.tighten()
	}
	s.finished = append(s.finished, e.seq)
	e.at.waiting--
	if e.at.waiting == 0 && e.at != s.active {
		s.bury(e.at)
	}
	if e.held != nil {
		s.cached = slices.DeleteFunc(s.cached, func(c *spooled) bool { return c == e })
		s.cachedSize -= int64(e.size)
		e.held = nil
	}
}

// bury marks a sealed segment without waiting batches to be removed. s.mu is held.
func (s *spool) bury(seg *segment) {
	s.sealed = slices.DeleteFunc(s.sealed, func(x *segment) bool { return x == seg })
	s.disk -= seg.size
	if !seg.keep {
		s.dead = append(s.dead, seg)
	}
}

// dropOld gives up what is older than any server takes, by the clock since boot where that is known. s.mu is held.
func (s *spool) dropOld() {
	oldest := s.o.Now().Add(-s.o.MaxAge).Unix()
	for len(s.index) > 0 && s.index[0].minute < oldest {
		s.dropOldest()
	}
}

// dropForRoom gives up the oldest batches until more bytes fit on the disk. Room comes from sealed
// segments alone, of which there are many; that of one is kept for what is known to be done. s.mu is held.
func (s *spool) dropForRoom(more int64) {
	more += s.segmentBytes()
	for s.disk+more > s.o.MaxBytes && len(s.sealed) > 0 && len(s.index) > 1 {
		s.dropOldest()
	}
}

func (s *spool) next(most int, ready func(string) bool) []batch {
	return s.load(func(waits func(*spooled) bool) []picked {
		var out []picked
		n := 0
		for _, e := range s.index {
			if !e.ready || !ready(e.identifier) || waits(e) {
				continue
			}
			if n += int(e.count); n > most && len(out) > 0 {
				break
			}
			out = append(out, pick(e))
		}
		return out
	})
}

func (s *spool) newest(ready func(string) bool) []batch {
	return s.load(func(waits func(*spooled) bool) []picked {
		for _, e := range slices.Backward(s.index) {
			if e.ready && ready(e.identifier) && !waits(e) {
				return []picked{pick(e)}
			}
		}
		return nil
	})
}

// A picked is a batch that is about to be read, as it was when s.mu was held.
type picked struct {
	e      *spooled
	seq    uint64
	record []byte // in memory; nil when it is on disk alone
	at     *segment
	shift  int64 // in seconds, if moves
	moves  bool
}

func pick(e *spooled) picked {
	p := picked{e: e, seq: e.seq, at: e.at}
	if e.clock != nil {
		p.shift, p.moves = e.clock.shift, e.clock.moves
	}
	if e.held != nil {
		p.record = e.held.record
	}
	return p
}

// load returns the batches that choose picks while s.mu is held. What cannot be read is given
// up, and choose is asked again when nothing could.
func (s *spool) load(choose func(waits func(*spooled) bool) []picked) []batch {
	names := map[string]string{}
	for {
		s.mu.Lock()
		s.review()
		s.dropOld()
		chosen := choose(s.waitsForClock())
		if !s.broken { // else the next add tries
			s.flushSoon()
		}
		s.mu.Unlock()
		var out []batch
		for _, p := range chosen {
			b, err := s.read(p, names)
			if err != nil {
				s.unreadable(p.e, err)
				continue
			}
			b.seq = p.seq
			if p.moves {
				b.move(p.shift, s.o.Now().Unix())
			}
			out = append(out, b)
		}
		if len(out) > 0 || len(chosen) == 0 {
			return out
		}
	}
}

// read reads a batch, from memory or from disk.
func (s *spool) read(p picked, names map[string]string) (batch, error) {
	if p.record != nil {
		return parseBatch(p.record[recordHeaderSize:], names)
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.readFrom != p.at {
		s.closeReader()
		f, err := os.Open(p.at.path)
		if err != nil {
			return batch{}, err
		}
		s.readFrom, s.readFile = p.at, f
	}
	payload, err := readRecord(s.readFile, int64(p.e.off), int(p.e.size))
	if err == nil {
		var b batch
		if b, err = parseBatch(payload, names); err == nil {
			return b, nil
		}
	}
	return batch{}, fmt.Errorf("%s: %w", p.at.path, err)
}

// closeReader closes the file that was read last. s.reading is held.
func (s *spool) closeReader() {
	if s.readFile != nil {
		s.readFile.Close() // it was only read
		s.readFrom, s.readFile = nil, nil
	}
}

// unreadable gives e up, which could not be read. Its segment is left for the next process
// unless it is known to be damaged: the disk may be in a better mood then.
func (s *spool) unreadable(e *spooled, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.gone {
		return // its file may be, too
	}
	known := len(s.finished)
	damaged := errors.Is(err, errDamaged) || errors.Is(err, errPayload)
	if !damaged && e.at != nil {
		e.at.keep = true
	}
	s.index = slices.DeleteFunc(s.index, func(x *spooled) bool { return x == e })
	s.lost += int(e.count)
	s.release(e)
	if !damaged {
		s.finished = s.finished[:known]
		s.unread = append(s.unread, e.seq)
	}
	if !s.complained {
		s.complained = true
		s.o.Log.Error("values in the queue cannot be read back", "folder", s.dir, "error", err)
	}
}

func (s *spool) done(batches []batch) {
	if len(batches) == 0 {
		return
	}
	gone := make(map[uint64]bool, len(batches))
	for _, b := range batches {
		gone[b.seq] = true
	}
	s.o.Clock.answered()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.review() // the answer may tell that the server has dropped them all
	waits := s.waitsForClock()
	s.index = slices.DeleteFunc(s.index, func(e *spooled) bool {
		if !gone[e.seq] || waits(e) {
			return false
		}
		s.release(e)
		return true
	})
	if !s.broken { // else the next add tries
		s.flushSoon()
	}
}

func (s *spool) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *spool) dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.lost
	s.lost = 0
	return n
}

func (s *spool) added() <-chan struct{} { return s.wake }

// age returns the minute (Unix seconds) of the oldest batch; false when none waits.
func (s *spool) age() (oldest int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.index) == 0 {
		return 0, false
	}
	return s.index[0].minute, true
}

// bytes returns the size of the queue: its files, and what waits in memory for the disk.
func (s *spool) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disk + s.unsavedSize
}

// close writes what the disk does not know yet and lets go of the folder, whose batches stay for
// the next process. It returns an error when values could not be written: they are lost with
// this process. When ctx ends before a disk that hangs answers, close leaves the goroutine that
// waits for it behind.
func (s *spool) close(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	ended := make(chan error, 1)
	go func() {
		s.work.Wait()
		s.mu.Lock()
		s.flushing = true // by this goroutine
		s.mu.Unlock()
		s.flush()
		ended <- s.closeFiles()
	}()
	select {
	case err := <-ended:
		if n := s.inMemory(); n > 0 {
			return fmt.Errorf("the queue in %s cannot be written: %d values are lost", s.dir, n)
		}
		if err != nil {
			return fmt.Errorf("close the queue in %s: %w", s.dir, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the disk of the queue in %s does not answer: %d values that it has not taken are lost", s.dir, s.inMemory())
	}
}

// inMemory returns the number of readings that are in memory alone.
func (s *spool) inMemory() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.index {
		if e.at == nil {
			n += int(e.count)
		}
	}
	return n
}

// closeFiles closes what is open, and removes the active segment when nothing waits in it.
func (s *spool) closeFiles() error {
	var err error
	if s.file != nil {
		err = errors.Join(s.file.Sync(), s.file.Close())
		s.file = nil
		s.mu.Lock()
		s.tighten()
		empty := s.active.waiting == 0 && len(s.index) == 0
		path := s.active.path
		s.mu.Unlock()
		if empty { // else it may hold what is known to be done
			err = errors.Join(err, os.Remove(path))
		}
	}
	s.reading.Lock()
	s.closeReader()
	s.reading.Unlock()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}
