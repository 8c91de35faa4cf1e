package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/saba-monitor/saba"
)

const (
	walFolder    = "wal"
	wblFolder    = "wbl" // the log of late points
	chunksFolder = "chunks_head"
)

// An engine is prometheus/tsdb opened on a folder, with what it lacks: a sync of its logs, and
// a way to be opened twice on one Registerer.
type engine struct {
	db       *tsdb.DB
	reg      *registrations
	wal, wbl syncedLog
	wblFails float64 // failed writes to the log of late points so far

	dir       string
	oldChunks int         // number of the newest file of head chunks at the start
	compacts  atomic.Bool // in the background; see mayCompact
	writing   atomic.Bool // see compactor
}

// segmentSize is how many bytes a segment of a log has at most. When a block is made of what lives in memory, the engine drops two thirds of the
// segments, the newest not counted. With its own 128 MiB that is nothing before there are four, and a start after a kill reads hours of
// points that are in blocks already.
const segmentSize = 8 << 20

const (
	// blockSpan is how much time a block of what lived in memory has; memory holds up to one and a half of it.
	blockSpan = time.Hour
	// chunkSamples is how many samples a chunk has in memory: half an hour of them. The engine's own 120 make a buffer for each series that grows by
	// doubling, up to 1.4 KB, for all series in the same minutes, and leave holes of each size behind. In blocks, short chunks are joined (compact.go).
	chunkSamples = 30
	// chunkBuffer is how many bytes of full chunks are written to their file at once. The engine's own 4 MiB stay in memory all the time.
	chunkBuffer = 256 << 10
)

// options are those that suit one sample a minute; the measurements are in docs/decisions.md.
func options(retention time.Duration, maxBytes int64, series uint64) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = retention.Milliseconds()
	o.MaxBytes = maxBytes
	o.MinBlockDuration = blockSpan.Milliseconds()
	o.SamplesPerChunk = chunkSamples
	o.HeadChunksWriteBufferSize = chunkBuffer
	o.MaxBlockDuration = (744 * time.Hour).Milliseconds()
	o.WALCompression = compression.Snappy
	o.WALSegmentSize = segmentSize
	// A point may be MaxLate old while another one is MaxAhead early, and its time is floored.
	o.OutOfOrderTimeWindow = (saba.MaxLate + saba.MaxAhead + time.Minute).Milliseconds()
	o.StripeSize = stripes(series)
	o.OutOfOrderCapMax = 32
	// Not EnableMemorySnapshotOnShutdown, which makes the start after a clean stop twice as fast: a start with such a snapshot gives numbers of forgotten
	// series to new ones, which then have the points of the others, and loses late points of series that have two numbers (TestNothingIsLostInAnyHistory).
	o.IsolationDisabled = true // there is one appender, and readers may see half a batch
	o.NoLockfile = true        // ours is held longer: over the inspection, and until the last byte is written
	return o
}

// stripes returns in how many maps the engine keeps so many series: it finds each in one of them. A map of up to eight is
// the cheapest to look into. With 150,000 series, half of the maps save 3 MiB and take half as much CPU time again.
func stripes(series uint64) int {
	const fewest, most, each = 1 << 15, 1 << 20, 7
	n := fewest
	for n < most && uint64(n)*each < series {
		n *= 2
	}
	return n
}

// seriesBefore returns how many series there were when the newest block was made of what lives in memory; 0 where no
// block can tell.
func seriesBefore(dir string) (series uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	newest := int64(math.MinInt64)
	for _, e := range entries {
		if !isBlock(e.Name()) {
			continue
		}
		// One that is damaged was set aside by now, or is for the engine to complain of.
		m, ok := metaOf(filepath.Join(dir, e.Name()))
		if ok && !m.Compaction.FromOutOfOrder() && m.MaxTime > newest {
			newest, series = m.MaxTime, m.Stats.NumSeries
		}
	}
	return series, nil
}

func openEngine(dir string, retention time.Duration, maxBytes int64, log *slog.Logger, outer prometheus.Registerer) (*engine, error) {
	e := &engine{dir: dir, reg: &registrations{outer: outer, wbl: prometheus.NewRegistry()}}
	var opened atomic.Pointer[tsdb.DB]
	series, err := seriesBefore(dir)
	if err != nil {
		return nil, err
	}
	o := options(retention, maxBytes, series)
	o.NewCompactorFunc = newCompactor(dir, &e.writing)
	o.BlockCompactionExcludeFunc = func(b *tsdb.BlockMeta) bool {
		db := opened.Load()
		return db == nil || aheadOfHead(b, db.Blocks())
	}
	if e.db, err = tsdb.Open(dir, slog.New(hushed{log.Handler()}), e.reg, o, nil); err != nil {
		e.reg.unregister()
		return nil, err
	}
	opened.Store(e.db)
	e.db.DisableCompactions() // until mayCompact
	if outer != nil {
		e.reg.MustRegister(gauges(dir)...)
	}
	if e.oldChunks, err = newestChunkFile(dir); err != nil {
		return nil, errors.Join(err, e.close())
	}
	if !e.reg.hasWBL {
		return nil, errors.Join(errors.New("the engine no longer counts failed writes to its log of late points ("+wblFailures+")"), e.close())
	}
	for _, l := range []struct {
		log    *syncedLog
		folder string
	}{{&e.wal, walFolder}, {&e.wbl, wblFolder}} {
		if *l.log, err = openSyncedLog(filepath.Join(dir, l.folder)); err != nil {
			return nil, errors.Join(err, e.close())
		}
	}
	// The folders of the logs may be new, and so may be their names in dir.
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// aheadOfHead says whether block b, of late points alone, reaches into hours that the head has not compacted yet. Such a
// block must not be merged with others: the engine takes the end of the newest block that is not of late points alone for
// the end of what is in blocks, and at the next start, or compaction, drops what is in the logs before it
// (DB.inOrderBlocksMaxTime and LeveledCompactor.plan in tsdb of Prometheus 3.15). It waits until the head is there.
//
// The engine looks at no block that was made after one that waits. So compactions lag behind, by two hours at most.
func aheadOfHead(b *tsdb.BlockMeta, blocks []*tsdb.Block) bool {
	if !b.Compaction.FromOutOfOrder() {
		return false
	}
	for _, other := range blocks {
		m := other.Meta()
		if !m.Compaction.FromOutOfOrder() && m.MaxTime >= b.MaxTime {
			return false
		}
	}
	return true
}

// mostHead is the span of the head from which on it is compacted in any case.
const mostHead = 8 * time.Hour

// mayCompact lets the engine compact in the background once that is safe, and says whether it was
// let. The appender asks every now and then.
//
// The engine begins a file of head chunks with the first chunk that is full. While it has begun none
// in this run, a compaction that is done with every older file (or finds none at all) numbers
// its files from the beginning again; if a chunk is written in that very moment, the numbers no longer
// agree and the engine panics (ChunkDiskMapper.Truncate and WriteChunk). Late points in bulk after a
// start have met it. It is never done with the file that it is writing, so from the first
// one on the trap is shut. With data coming in, that is half an hour after the start as a rule,
// and a head may wait for so long.
func (e *engine) mayCompact() (bool, error) {
	if e.compacts.Load() {
		return true, nil
	}
	newest, err := newestChunkFile(e.dir)
	if err != nil {
		return false, err
	}
	h := e.db.Head()
	if newest == e.oldChunks && (h.MinTime() > h.MaxTime() || h.MaxTime()-h.MinTime() < mostHead.Milliseconds()) {
		return false, nil
	}
	e.db.EnableCompactions()
	e.compacts.Store(true)
	return true, nil
}

// moveFull moves full chunks from memory to their file. It does nothing while the engine forgets what is in a block now, and with that
// files of which nothing is left: the engine itself never does both at a time.
func (e *engine) moveFull() {
	if !e.writing.Load() {
		e.db.ForceHeadMMap()
	}
}

// newestChunkFile returns the number of the newest file of head chunks below dir; 0 when there is none.
func newestChunkFile(dir string) (int, error) {
	entries, err := os.ReadDir(filepath.Join(dir, chunksFolder))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	newest := 0
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			newest = max(newest, n)
		}
	}
	return newest, nil
}

// close stops the engine. It compacts nothing: the next start reads the logs, as after a kill.
func (e *engine) close() error {
	err := errors.Join(e.db.Close(), e.wal.close(), e.wbl.close())
	e.reg.unregister()
	return err
}

// sync returns when everything that was committed is on disk. late says whether late points may
// be among it: the engine reports a failure to write them to its own log alone, and counts it.
func (e *engine) sync(late bool) error {
	if late {
		n, err := e.reg.failures()
		if err != nil {
			return err
		}
		if n != e.wblFails {
			e.wblFails = n
			return errors.New("late points could not be written to " + e.wbl.dir)
		}
	}
	if err := e.wal.sync(); err != nil {
		return err
	}
	return e.wbl.sync()
}

// newestTime returns the time of the newest sample of the head; the zero time when it has none.
func (e *engine) newestTime() time.Time {
	if ms := e.db.Head().MaxTime(); ms != math.MinInt64 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

const wblFailures = "prometheus_tsdb_out_of_order_wbl_writes_failed_total"

// registrations passes the engine's metrics on, and remembers them: the engine leaves most of
// them behind when it closes, and a second one could not register its own.
type registrations struct {
	outer prometheus.Registerer // nil for none

	mu     sync.Mutex
	all    []prometheus.Collector
	wbl    *prometheus.Registry // holds wblFailures alone
	hasWBL bool
}

// Register implements prometheus.Registerer.
func (r *registrations) Register(c prometheus.Collector) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outer != nil {
		if err := r.outer.Register(c); err != nil {
			return err
		}
	}
	r.all = append(r.all, c)
	if describes(c, wblFailures) {
		r.hasWBL = true
		return r.wbl.Register(c)
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *registrations) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (r *registrations) Unregister(c prometheus.Collector) bool {
	return r.outer != nil && r.outer.Unregister(c)
}

func (r *registrations) unregister() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		r.Unregister(c)
	}
	r.all = nil
}

// failures returns the value of wblFailures.
func (r *registrations) failures() (float64, error) {
	families, err := r.wbl.Gather()
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", wblFailures, err)
	}
	n := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			n += m.GetCounter().GetValue()
		}
	}
	return n, nil
}

// describes says whether c is the metric called name.
func describes(c prometheus.Collector, name string) bool {
	ch := make(chan *prometheus.Desc)
	go func() {
		defer close(ch)
		c.Describe(ch)
	}()
	found := false
	for d := range ch { // to the end, which waits for the goroutine
		found = found || strings.Contains(d.String(), `fqName: "`+name+`"`)
	}
	return found
}

// hushed fits the engine's log to ours: what it tells at Info is of interest to its developers.
type hushed struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h hushed) Enabled(ctx context.Context, l slog.Level) bool {
	switch {
	case l < slog.LevelInfo:
		return false
	case l < slog.LevelWarn:
		l = slog.LevelDebug
	}
	return h.Handler.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h hushed) Handle(ctx context.Context, r slog.Record) error {
	// Late points are compacted to blocks of their own, which overlap the others until the
	// next compaction. The engine warns of that once a minute.
	// A compaction that a stop interrupts is done again after the start.
	if r.Level < slog.LevelWarn || strings.HasPrefix(r.Message, "Overlapping blocks found") || interrupted(r) {
		r.Level = slog.LevelDebug
		if !h.Handler.Enabled(ctx, r.Level) {
			return nil
		}
	}
	r.AddAttrs(slog.String("part", "tsdb"))
	return h.Handler.Handle(ctx, r)
}

// interrupted says whether r reports that a context ended.
func interrupted(r slog.Record) bool {
	found := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		found = ok && errors.Is(err, context.Canceled)
		return !found
	})
	return found
}

// WithAttrs implements slog.Handler.
func (h hushed) WithAttrs(a []slog.Attr) slog.Handler { return hushed{h.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (h hushed) WithGroup(name string) slog.Handler { return hushed{h.Handler.WithGroup(name)} }
