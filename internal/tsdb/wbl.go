package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// mendFolder is where a segment of the log of late points is written anew, before it replaces the
// old one.
const mendFolder = "wbl.mend"

// mendLatePoints takes the marks out of the log of late points in dir, and returns how many there
// were. The engine must not run, and the log be inspected.
//
// The log holds samples and marks. A mark (series, chunk) says that the samples of the series
// before it are in that chunk on disk, so that a replay drops them, to save memory. The replay trusts
// marks that it should not (collectOOORecords, NewOOOCompactionHead and loadWBL in tsdb of
// Prometheus 3.15), and what it drops is the only copy of acknowledged points:
//
//   - A mark without a chunk is written when a series begins to gather late points, but dropping
//     what precedes it is right only if nothing does. When late points are compacted, every
//     series hands what it gathered to a buffer of chunks, without a mark, and its next late point
//     begins anew. If saba is killed before the compaction has made its block, the buffer is gone.
//   - A chunk counts as present if any later chunk is. One that was in the buffer at a kill is not, and the run
//     after that kill writes later ones.
//
// Without marks a replay keeps every sample of the log, and what leaves the log is in a block. A sample
// that is in a chunk as well is known twice, which no reader sees, until the next compaction.
//
// A record never spans two segments, so each is replaced by itself, whole or not at all.
func mendLatePoints(ctx context.Context, dir string) (marks int, err error) {
	mend := filepath.Join(dir, mendFolder)
	if err := os.RemoveAll(mend); err != nil {
		return 0, fmt.Errorf("remove what a crash left: %w", err)
	}
	wbl := filepath.Join(dir, wblFolder)
	ns, err := segments(wbl)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	for _, n := range ns {
		path := segmentPath(wbl, n)
		found, err := countMarks(ctx, path)
		if err != nil {
			return marks, err
		}
		if found == 0 {
			continue
		}
		marks += found
		fresh, err := withoutMarks(ctx, path, mend)
		if err != nil {
			return marks, fmt.Errorf("write %s anew: %w", path, errors.Join(err, os.RemoveAll(mend)))
		}
		if err := errors.Join(os.Rename(fresh, path), syncDir(wbl), os.RemoveAll(mend)); err != nil {
			return marks, fmt.Errorf("replace %s: %w", path, err)
		}
	}
	return marks, nil
}

// countMarks counts the marks in a segment.
func countMarks(ctx context.Context, path string) (n int, err error) {
	dec := record.NewDecoder(labels.NewSymbolTable(), slog.New(slog.DiscardHandler))
	var marks []record.RefMmapMarker
	err = eachRecord(ctx, path, func(rec []byte) (err error) {
		if dec.Type(rec) == record.MmapMarkers {
			marks, err = dec.MmapMarkers(rec, marks[:0])
			n += len(marks)
		}
		return err
	})
	return n, err
}

// withoutMarks copies a segment to a new log in the folder to, without its marks, and returns the
// path of the copy, which is on disk.
func withoutMarks(ctx context.Context, path, to string) (fresh string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	// All of it shall fit into one segment, however its pages fall.
	size := (int(info.Size())/pageSize + 2) * 2 * pageSize
	log, err := wlog.NewSize(slog.New(slog.DiscardHandler), nil, to, size, compression.Snappy)
	if err != nil {
		return "", err
	}
	dec := record.NewDecoder(labels.NewSymbolTable(), slog.New(slog.DiscardHandler))
	err = eachRecord(ctx, path, func(rec []byte) error {
		if dec.Type(rec) == record.MmapMarkers {
			return nil
		}
		return log.Log(rec)
	})
	if err := errors.Join(err, log.Close()); err != nil {
		return "", err
	}
	if ns, err := segments(to); err != nil || len(ns) != 1 {
		return "", errors.Join(err, fmt.Errorf("it has become %d segments", len(ns)))
	}
	return segmentPath(to, 0), nil
}

// eachRecord calls f for every record of a segment, in order. rec is f's for the call.
func eachRecord(ctx context.Context, path string, f func(rec []byte) error) (err error) {
	s, err := wlog.OpenReadSegment(path)
	if err != nil {
		return err
	}
	b := wlog.NewSegmentBufReader(s)
	defer func() { err = errors.Join(err, b.Close()) }()
	r := wlog.NewReader(b)
	for r.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(r.Record()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return r.Err()
}
