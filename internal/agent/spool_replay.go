package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A replay reads the folder of a queue.
type replay struct {
	dir string
	log *slog.Logger

	waiting     map[uint64]*spooled
	segments    []*segment
	newest      uint64 // the highest number of a file, whether it was read or not
	identifiers map[string]string
	clocks      map[stampClock]*judged
	damaged     int // files
	skipped     int // bytes in them
	buffer      []byte
}

// run reads all segments. Its error means that the folder cannot be read; a file that cannot
// be, or not wholly, costs only itself.
func (r *replay) run() error {
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, f := range files { // by name, which is by number
		n, ok := segmentNumber(f.Name())
		if !ok {
			continue
		}
		r.newest = n
		if !f.Type().IsRegular() {
			continue
		}
		path := filepath.Join(r.dir, segmentName(n))
		if err := r.segment(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.log.Error("a file of the queue cannot be read and is left alone", "file", path, "error", err)
		}
	}
	if r.damaged > 0 {
		r.log.Warn("the queue on disk was damaged, as after a power loss: the values in the damaged places are lost", "folder", r.dir, "files", r.damaged, "bytes", r.skipped)
	}
	return nil
}

// segment reads one file.
func (r *replay) segment(path string) error {
	data, err := r.content(path)
	if err != nil {
		return err
	}
	version, ok := segmentVersion(data, spoolKind)
	if ok && version > spoolVersion {
		r.log.Warn("a file of the queue was written by a newer version of saba and is left alone", "file", path, "version", version)
		return nil
	}
	seg := &segment{path: path, size: int64(len(data))}
	records := 0
	skipped := scanRecords(data, spoolKind, func(off int, payload []byte) {
		records++
		r.record(seg, off, payload)
	})
	if records == 0 && !ok {
		return r.setAside(path, data)
	}
	if skipped > 0 {
		r.damaged++
		r.skipped += skipped
	}
	r.segments = append(r.segments, seg)
	return nil
}

// content reads a file into the replay's buffer.
func (r *replay) content(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it is only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > mostSegmentBytes {
		return nil, fmt.Errorf("it has %d bytes, which no file of a queue has", info.Size())
	}
	r.buffer = slices.Grow(r.buffer[:0], int(info.Size()))[:info.Size()]
	n, err := io.ReadFull(f, r.buffer)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return r.buffer[:n], nil
}

// record takes one record of seg. What makes no sense to this version is passed over.
func (r *replay) record(seg *segment, off int, payload []byte) {
	if len(payload) == 0 {
		return
	}
	switch payload[0] {
	case kindBatch, kindStamped:
		b, count, err := readBatchHead(&payloadReader{rest: payload})
		if err != nil || r.waiting[b.seq] != nil { // written again after a sync that failed
			return
		}
		identifier, ok := r.identifiers[b.Identifier]
		if !ok {
			identifier = b.Identifier
			r.identifiers[identifier] = identifier
		}
		var clock *judged
		if b.clock.boot != 0 {
			if clock = r.clocks[b.clock]; clock == nil {
				clock = &judged{stampClock: b.clock}
				r.clocks[b.clock] = clock
			}
		}
		seg.waiting++
		r.waiting[b.seq] = &spooled{
			seq: b.seq, minute: b.Minute, identifier: identifier, count: int32(count),
			at: seg, off: uint32(off), size: uint32(recordHeaderSize + len(payload)), ready: true, clock: clock,
		}
	case kindDone:
		spans, err := parseDone(payload)
		if err != nil {
			return
		}
		for _, sp := range spans {
			r.forget(sp)
		}
	}
}

// forget takes away the batches in a span.
func (r *replay) forget(sp span) {
	if sp.last-sp.first < uint64(len(r.waiting)) {
		for seq := sp.first; seq <= sp.last; seq++ {
			r.forgetOne(r.waiting[seq])
		}
		return
	}
	for seq, e := range r.waiting {
		if sp.first <= seq && seq <= sp.last {
			r.forgetOne(e)
		}
	}
}

func (r *replay) forgetOne(e *spooled) {
	if e != nil {
		e.at.waiting--
		delete(r.waiting, e.seq)
	}
}

// setAside deletes a file that holds no record, or renames it when there is something in it: nothing
// proves that it was ours.
func (r *replay) setAside(path string, data []byte) error {
	if len(strings.Trim(string(data), "\x00")) == 0 { // what a power loss leaves of a new file
		return os.Remove(path)
	}
	aside := filepath.Join(r.dir, spoolAside)
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	r.log.Warn("a file of the queue is unreadable and was renamed", "file", path, "to", aside)
	return nil
}
