package agent

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/saba-monitor/saba"
)

// What a spool does with its folder. All of it runs on one goroutine at a time, and without s.mu while it waits
// for the disk.

// flushSoon starts the goroutine that flushes, unless it runs or there is nothing to write. s.mu is held.
func (s *spool) flushSoon() {
	if s.flushing || s.closed || len(s.unsaved) == 0 && len(s.finished) == 0 && len(s.dead) == 0 && !s.overdue {
		return
	}
	s.flushing = true
	s.work.Go(s.flush)
}

// flush writes until the disk knows everything, or does not work.
func (s *spool) flush() {
	for {
		s.mu.Lock()
		if s.broken && len(s.unsaved) == 0 {
			s.finished = nil // the next segment will say it; until then it may be sent again
		}
		if len(s.index) == 0 && s.active == nil {
			s.finished = nil // every segment goes
		}
		if len(s.unsaved) == 0 && len(s.finished) == 0 && !s.overdue {
			dead := s.dead
			if s.active == nil && len(s.index) > 0 && !s.broken {
				dead = nil // they may hold what is known to be done, which the next segment repeats
			} else {
				s.dead = nil
			}
			if len(dead) == 0 {
				s.flushing = false
				s.answers()
				s.mu.Unlock()
				return
			}
			s.mu.Unlock()
			s.remove(dead)
			continue
		}
		var err error
		if s.lock == nil {
			s.mu.Unlock()
			err = s.attach()
			s.mu.Lock()
		}
		chunk, size := s.chunk()
		finished := s.finished
		s.finished = nil
		s.dropForRoom(size)
		alone := len(chunk) == 1 && len(s.index) == 1 && s.index[0] == chunk[0]
		sync := s.overdue || len(chunk) > 0 && !alone
		s.mu.Unlock()
		if err == nil {
			err = s.save(chunk, finished, sync)
		}
		if err != nil {
			s.remove(s.breaks(err)) // a full disk needs the room
			return
		}
	}
}

// settle lets the add of e return. s.mu is held.
func (s *spool) settle(e *spooled) {
	if e.held != nil && e.held.settled != nil {
		close(e.held.settled)
		e.held.settled = nil
	}
	e.ready = true
}

// answers ends the state in which the disk hangs. s.mu is held.
func (s *spool) answers() {
	if s.hangs {
		s.hangs = false
		s.o.Log.Info("the disk of the queue answers again", "folder", s.dir)
	}
}

// chunk returns the batches that are to be written next, and the bytes of their records. s.mu is held.
func (s *spool) chunk() (chunk []*spooled, size int64) {
	for _, e := range s.unsaved {
		if size += int64(e.size); size > mostAtOnce && len(chunk) > 0 {
			return chunk, size - int64(e.size)
		}
		e.held.writing = true
		chunk = append(chunk, e)
	}
	return chunk, size
}

// save appends the batches of chunk and what is finished to the active segment, or to a new one, and syncs
// it if it shall: that something is done is worth no sync of its own. A new segment is always synced, since
// others which it makes superfluous are removed.
func (s *spool) save(chunk []*spooled, finished []uint64, sync bool) error {
	var buf []byte
	if s.file == nil || s.active.size >= s.segmentBytes() && s.loose == nil { // what is loose is synced with what follows it
		if err := s.startSegment(); err != nil {
			return err
		}
		sync = true
		buf = appendSegmentHeader(buf, spoolKind, spoolVersion)
		buf = s.appendKnown(buf)
	} else {
		buf = appendDoneRecords(buf, spansOf(finished))
	}
	size := len(buf)
	for _, e := range chunk {
		size += int(e.size)
	}
	buf = slices.Grow(buf, size-len(buf))
	start := s.active.size
	offs := make([]uint32, len(chunk))
	for i, e := range chunk {
		offs[i] = uint32(start + int64(len(buf)))
		buf = append(buf, e.held.record...)
	}
	_, err := s.file.Write(buf)
	if err == nil && sync {
		err = s.file.Sync()
		if err == nil && !s.named {
			err = syncFolder(s.dir)
			s.named = err == nil
		}
	}
	if err != nil {
		s.abandon(s.takeBack(start))
		return err
	}
	s.saved(chunk, offs, int64(len(buf)), sync)
	return nil
}

// loosen remembers that e is on disk, but not synced. s.mu is held.
func (s *spool) loosen(e *spooled) {
	s.loose = e
	s.patience = time.AfterFunc(looseFor, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.loose == e {
			s.overdue = true
			s.flushSoon()
		}
	})
}

// tighten forgets what is loose: it is synced, or does not wait any more. s.mu is held.
func (s *spool) tighten() {
	if s.loose != nil {
		s.patience.Stop()
		s.loose, s.overdue, s.patience = nil, false, nil
	}
}

// takeBack makes what is loose in the active segment, which is to be given up, wait in memory again. It returns the
// offset from which on nothing in the segment is needed: that of the loose batch, or end.
func (s *spool) takeBack(end int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.loose
	if e == nil {
		return end
	}
	s.tighten()
	s.disk -= s.active.size - int64(e.off)
	s.active.size = int64(e.off)
	s.active.waiting--
	e.at = nil
	s.cached = slices.DeleteFunc(s.cached, func(c *spooled) bool { return c == e }) // where the newest is
	s.cachedSize -= int64(e.size)
	s.unsaved = slices.Insert(s.unsaved, 0, e)
	s.unsavedSize += int64(e.size)
	return s.active.size
}

// saved records that chunk is on disk, at offs of the active segment, which has grown, and whether that was synced.
func (s *spool) saved(chunk []*spooled, offs []uint32, grown int64, synced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if synced {
		s.tighten()
	}
	s.active.size += grown
	s.disk += grown
	for i, e := range chunk {
		s.settle(e)
		e.held.writing = false
		if e.gone {
			continue
		}
		e.at, e.off = s.active, offs[i]
		e.at.waiting++
		if !synced {
			s.loosen(e)
		}
		s.unsavedSize -= int64(e.size)
		s.cached = append(s.cached, e)
		s.cachedSize += int64(e.size)
	}
	for s.cachedSize > mostCached && len(s.cached) > 1 {
		s.cachedSize -= int64(s.cached[0].size)
		s.cached[0].held = nil
		s.cached = slices.Delete(s.cached, 0, 1)
	}
	s.unsaved = slices.Delete(s.unsaved, 0, len(chunk)) // chunk was its beginning
	if len(s.unsaved) == 0 {
		s.unsaved = nil // much may have piled up
	}
	if s.broken {
		s.broken = false
		s.o.Log.Info("the queue is on disk again", "folder", s.dir)
	}
}

// segmentBytes returns the size from which on a segment is full.
func (s *spool) segmentBytes() int64 {
	return min(max(s.o.MaxBytes/32, 1<<10), 1<<20)
}

// startSegment makes the file of a new active segment; the one before is sealed.
func (s *spool) startSegment() error {
	path := filepath.Join(s.dir, segmentName(s.number+1))
	f, err := s.o.create(path)
	if err != nil {
		return err
	}
	s.number++
	if s.file != nil {
		s.file.Close() // all that waits in it is synced
	}
	s.file, s.named = f, false
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal()
	s.active = &segment{path: path}
	return nil
}

// seal ends the active segment. s.mu is held.
func (s *spool) seal() {
	if old := s.active; old != nil {
		s.active = nil
		s.sealed = append(s.sealed, old)
		if old.waiting == 0 {
			s.bury(old)
		}
	}
}

// abandon gives up the active segment after a failed write, which began at the offset at: nobody
// knows what is on disk behind it.
func (s *spool) abandon(at int64) {
	// Best effort, all of it: a reader passes over what is torn.
	if at == 0 {
		s.file.Close()
		os.Remove(s.active.path)
	} else {
		s.file.Truncate(at)
		s.file.Close()
	}
	s.file = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == 0 {
		s.active = nil
	}
	s.seal()
}

// appendKnown appends records which say of all numbers so far which batches do not wait, so
// that the segments before are not needed to know.
func (s *spool) appendKnown(b []byte) []byte {
	s.mu.Lock()
	if len(s.sealed) == 0 {
		s.mu.Unlock()
		return b
	}
	seqs := slices.Clone(s.unread)
	for _, e := range s.index {
		seqs = append(seqs, e.seq)
	}
	last := s.seq
	s.mu.Unlock()
	return appendDoneRecords(b, gapsBetween(seqs, last))
}

// appendDoneRecords appends records which say that spans are done.
func appendDoneRecords(b []byte, spans []span) []byte {
	for part := range slices.Chunk(spans, maxSpans) {
		at := len(b)
		b = appendDone(beginRecord(b), part)
		sealRecord(b[at:])
	}
	return b
}

// breaks ends a flush because the folder cannot be written: what is not on disk stays in
// memory. It returns the segments that are to be removed.
func (s *spool) breaks(err error) (dead []*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.unsaved {
		e.held.writing = false
		s.settle(e)
	}
	s.unsaved = slices.DeleteFunc(s.unsaved, func(e *spooled) bool { return e.gone })
	s.finished = nil // the next segment says it
	s.flushing = false
	s.answers()
	if !s.broken {
		s.broken = true
		s.o.Log.Warn("the queue cannot be kept on disk: new values are kept in memory, and are lost if the agent ends before they are sent (make its folder writable, or free some space)",
			"folder", s.dir, "error", err)
	}
	dead, s.dead = s.dead, nil
	return dead
}

// remove deletes the files of dead segments.
func (s *spool) remove(dead []*segment) {
	for _, seg := range dead {
		s.reading.Lock()
		if s.readFrom == seg {
			s.closeReader()
		}
		s.reading.Unlock()
		// A file that stays is read by the next process, which knows again that it is dead.
		os.Remove(seg.path)
	}
}

// syncFolder makes sure that the names of the files in dir are on disk.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// segmentName returns the file name of a segment.
func segmentName(number uint64) string { return fmt.Sprintf("%010d%s", number, spoolSuffix) }

// segmentNumber is the reverse of segmentName.
func segmentNumber(name string) (number uint64, ok bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, spoolSuffix), 10, 30) // no machine lives to count further
	return n, err == nil && n > 0 && name == segmentName(n)
}

// attach takes the folder, and puts what waits in it into the queue. The error matches
// saba.ErrConflict when another agent has it.
func (s *spool) attach() (err error) {
	if _, err := os.Stat(s.dir); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(s.dir)); err != nil {
			return err
		}
	}
	lock, err := lockSpool(s.dir)
	if err != nil {
		return err
	}
	r := replay{dir: s.dir, log: s.o.Log, waiting: map[uint64]*spooled{}, identifiers: map[string]string{}, clocks: map[stampClock]*judged{}}
	if err := r.run(); err != nil {
		return errors.Join(err, lock.Close())
	}
	s.lock, s.number = lock, r.newest

	s.mu.Lock()
	defer s.mu.Unlock()
	// Numbers begin anew behind those of all segments, and what has been in memory follows. A
	// reader may have an old record in its hands, so it is copied. What it calls done by an old
	// number is sent again.
	s.seq = (s.number + 1) << 32
	s.review()
	old := s.index
	s.index = nil
	for _, e := range old {
		s.seq++
		e.seq = s.seq
		h := *e.held
		h.record = slices.Clone(h.record)
		renumber(h.record, e.seq)
		e.held = &h
	}
	s.finished = nil
	for _, seg := range r.segments {
		s.sealed = append(s.sealed, seg)
		s.disk += seg.size
		if seg.waiting == 0 {
			s.bury(seg)
		}
	}
	n := 0
	for _, e := range r.waiting {
		s.place(e)
		s.index = append(s.index, e)
		s.count += int(e.count)
		n += int(e.count)
	}
	s.index = append(s.index, old...)
	slices.SortFunc(s.index, byMinute)
	s.dropOld()
	s.keepWithinMemory()
	s.dropForRoom(0)
	if n > 0 {
		s.o.Log.Info("the queue holds values of an earlier run", "values", n, "folder", s.dir)
		s.poke()
	}
	return nil
}

// byMinute compares batches by minute, then by number.
func byMinute(x, y *spooled) int {
	return cmp.Or(cmp.Compare(x.minute, y.minute), cmp.Compare(x.seq, y.seq))
}

// lockSpool holds the folder for this process until the file is closed. The kernel drops the
// lock of a process that ends in whatever way.
func lockSpool(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, saba.Errorf(saba.ErrConflict, "the queue in %s is in use by another agent: stop that one, or give this one another folder", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}
