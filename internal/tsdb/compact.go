package tsdb

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// A compactor is the engine's own, with two differences. When it makes one block of several, it joins the short chunks that live in
// memory (chunkSamples) to long ones. And what it reads of files that the engine maps does not stay in the memory of
// this process: to make a block of a day would leave all of that day there, until the files are deleted.
type compactor struct {
	*tsdb.LeveledCompactor
	dir     string
	writing *atomic.Bool // the head is being written to a block, or about to forget what was
}

// newCompactor makes a compactor as the engine makes its own.
func newCompactor(dir string, writing *atomic.Bool) tsdb.NewCompactorFunc {
	return func(ctx context.Context, r prometheus.Registerer, l *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
		c, err := tsdb.NewLeveledCompactorWithOptions(ctx, r, l, ranges, pool, tsdb.LeveledCompactorOptions{
			MaxBlockChunkSegmentSize:    o.MaxBlockChunkSegmentSize,
			EnableOverlappingCompaction: o.EnableOverlappingCompaction,
			PD:                          o.PostingsDecoderFactory,
			UseUncachedIO:               o.UseUncachedIO,
			BlockExcludeFilter:          o.BlockCompactionExcludeFunc,
		})
		if err != nil {
			return nil, err
		}
		return &compactor{c, dir, writing}, nil
	}
}

// Plan implements tsdb.Compactor. The engine calls it when it is done with its head.
func (c *compactor) Plan(dir string) ([]string, error) {
	c.writing.Store(false)
	return c.LeveledCompactor.Plan(dir)
}

// Write implements tsdb.Compactor: it makes a block of what lives in memory.
func (c *compactor) Write(dest string, b tsdb.BlockReader, mint, maxt int64, base *tsdb.BlockMeta) ([]ulid.ULID, error) {
	c.writing.Store(true)
	defer whileCompacting(filepath.Join(c.dir, chunksFolder))()
	return c.LeveledCompactor.Write(dest, b, mint, maxt, base)
}

// Compact implements tsdb.Compactor: it makes one block of several.
func (c *compactor) Compact(dest string, dirs []string, open []*tsdb.Block) ([]ulid.ULID, error) {
	// Those that the engine has opened stay mapped until this is done. The others are closed by the call.
	folders := make([]string, 0, len(open))
	for _, b := range open {
		folders = append(folders, b.Dir())
	}
	defer whileCompacting(folders...)()
	return c.CompactWithBlockPopulator(dest, dirs, open, joiner{})
}

// forgetEvery is how often pages are dropped while a block is made: of 150,000 series it reads some MiB in that time.
const forgetEvery = 100 * time.Millisecond

// whileCompacting drops what is read of the files that are mapped from below some folders, until done is called. They must stay mapped for as long.
func whileCompacting(folders ...string) (done func()) {
	for i, f := range folders {
		if abs, err := filepath.Abs(f); err == nil { // as the kernel names it
			folders[i] = abs
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		t := time.NewTicker(forgetEvery)
		defer t.Stop()
		for {
			select {
			case <-stop:
				dropPages(folders)
				return
			case <-t.C:
				dropPages(folders)
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// A joiner populates a block as the engine does, and joins short chunks.
type joiner struct{}

// PopulateBlock implements tsdb.BlockPopulator.
func (joiner) PopulateBlock(ctx context.Context, metrics *tsdb.CompactorMetrics, log *slog.Logger, pool chunkenc.Pool, merge storage.VerticalChunkSeriesMergeFunc,
	blocks []tsdb.BlockReader, meta *tsdb.BlockMeta, index tsdb.IndexWriter, chunks tsdb.ChunkWriter, postings tsdb.IndexReaderPostingsFunc) error {
	j := &joining{IndexWriter: index, to: chunks}
	if err := (tsdb.DefaultBlockPopulator{}).PopulateBlock(ctx, metrics, log, pool, merge, blocks, meta, j, joiningChunks{j}, postings); err != nil {
		return err
	}
	meta.Stats.NumChunks = j.written
	return nil
}

// A chunk is short with fewer samples than fewSamples, if it takes fewer bytes than fewBytes: those that came from memory, and those of three hours
// that they became.
const (
	fewSamples = 200
	fewBytes   = chunkenc.MaxBytesPerXORChunk / 2
)

func short(c chunkenc.Chunk) bool {
	return c.Encoding() == chunkenc.EncXOR && c.NumSamples() < fewSamples && len(c.Bytes()) < fewBytes
}

// A joining writes one series after the other: its chunks, and then its place in the index.
type joining struct {
	tsdb.IndexWriter
	to      tsdb.ChunkWriter
	joined  []chunks.Meta // of the series that was written last
	scratch []byte        // of the chunk that is being made
	iter    chunkenc.Iterator
	written uint64
}

type joiningChunks struct{ *joining }

// WriteChunks implements tsdb.ChunkWriter.
func (j joiningChunks) WriteChunks(all ...chunks.Meta) error {
	j.joined = j.joined[:0]
	for len(all) > 0 {
		n := 0
		for n < len(all) && short(all[n].Chunk) {
			n++
		}
		var err error
		if n < 2 {
			n = 1
			err = j.write(all[0])
		} else {
			err = j.join(all[:n])
		}
		if err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// Close implements tsdb.ChunkWriter.
func (j joiningChunks) Close() error { return j.to.Close() }

func (j *joining) write(m chunks.Meta) error {
	one := []chunks.Meta{m}
	if err := j.to.WriteChunks(one...); err != nil {
		return err
	}
	one[0].Chunk = nil // it is on its way to the file, and scratch may be used again
	j.joined = append(j.joined, one[0])
	j.written++
	return nil
}

// join writes the samples of several chunks, which are in order, as one, or as several where they take more bytes than a chunk may.
func (j *joining) join(few []chunks.Meta) error {
	c := chunkenc.NewXORChunk()
	var app chunkenc.Appender
	var m chunks.Meta
	begin := func(at int64) (err error) {
		const header = 2 // bytes: the number of samples
		if cap(j.scratch) < header {
			j.scratch = make([]byte, 0, 2*chunkenc.MaxBytesPerXORChunk)
		}
		j.scratch = append(j.scratch[:0], 0, 0)
		c.Reset(j.scratch)
		m = chunks.Meta{Chunk: c, MinTime: at}
		app, err = c.Appender()
		return err
	}
	for _, from := range few {
		j.iter = from.Chunk.Iterator(j.iter)
		for j.iter.Next() == chunkenc.ValFloat {
			at, v := j.iter.At()
			if app != nil && len(c.Bytes()) > chunkenc.MaxBytesPerXORChunkBeforeAppend {
				if err := j.write(m); err != nil {
					return err
				}
				app = nil
			}
			if app == nil {
				if err := begin(at); err != nil {
					return err
				}
			}
			app.Append(0, at, v)
			m.MaxTime = at
		}
		if err := j.iter.Err(); err != nil {
			return err
		}
	}
	if app == nil {
		return nil
	}
	return j.write(m)
}

// AddSeries implements tsdb.IndexWriter.
func (j *joining) AddSeries(ref storage.SeriesRef, l labels.Labels, _ ...chunks.Meta) error {
	return j.IndexWriter.AddSeries(ref, l, j.joined...)
}
