package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
)

// DefaultRetention is how long samples are kept: a year to look back on, and a quarter to compare.
const DefaultRetention = 460 * 24 * time.Hour

// Options says where samples are kept and for how long.
type Options struct {
	Dir        string                // created if it does not exist
	Retention  time.Duration         // 0 means DefaultRetention. Whole blocks are deleted, so up to 31 days more stay
	MaxBytes   int64                 // of all on disk; beyond, the oldest blocks are deleted before their time. 0 for no limit
	Log        *slog.Logger          // nil discards
	Registerer prometheus.Registerer // gets the engine's own metrics (prometheus_tsdb_…); nil for none
	Now        func() time.Time      // nil means time.Now
}

// A DB keeps the samples of one folder. Its methods may be called by many goroutines at once.
type DB struct {
	dir       string
	retention time.Duration
	maxBytes  int64
	log       *slog.Logger
	outer     prometheus.Registerer
	now       func() time.Time
	space     space
	lock      *os.File
	newest    newest

	// mu is held for reading while engine is in use, and for writing while it is replaced.
	mu     sync.RWMutex
	engine *engine // nil when closed, or when it could not be opened again after a failure

	queue   *queue
	closing chan struct{} // closed by Close: no more requests
	stopped chan struct{} // closed by the appender: it answered what it had taken, and is gone
	once    sync.Once
	closed  error

	// These belong to the appender goroutine.
	commits uint32    // begun so far
	plan    []planned // empty: memory for the next one
	failed  error     // why the engine must be opened again before the next append
	retryAt time.Time // not before then
	prunes  time.Time // when newest was last pruned
	moved   time.Time // when full chunks were last moved to their file
	asked   time.Time // when the engine was last asked whether it may compact
	moaned  time.Time // when a trouble that may come with every batch was last logged
}

// Open opens the samples in o.Dir. It fails with one sentence, having changed nothing, when
// the folder is in use by another process (matching saba.ErrConflict), cannot be written, or
// its logs are damaged. A log that a crash cut short is repaired. A damaged block is set aside (damage.go), so that
// all others are served.
func Open(ctx context.Context, o Options) (*DB, error) {
	db := &DB{
		dir:       o.Dir,
		retention: o.Retention,
		maxBytes:  o.MaxBytes,
		log:       o.Log,
		outer:     o.Registerer,
		now:       o.Now,
		space:     space{dir: o.Dir, free: freeSpace},
		queue:     newQueue(),
		closing:   make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	if db.retention <= 0 {
		db.retention = DefaultRetention
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	if db.now == nil {
		db.now = time.Now
	}
	if err := os.MkdirAll(db.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the samples: %w", err)
	}
	var err error
	// Locked before the inspection, which may cut the end off a log: the log of a running
	// saba always looks cut short.
	if db.lock, err = lockDir(db.dir); err != nil {
		return nil, err
	}
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(err, db.lock.Close())
	}
	db.prunes = db.now()
	go db.run()
	return db, nil
}

// open inspects the folder, opens the engine on it, and learns the newest samples from it.
// db.mu must be held for writing, or db not be shared yet.
func (db *DB) open(ctx context.Context) error {
	if err := db.space.checkStart(); err != nil {
		return err
	}
	cuts, err := inspect(ctx, db.dir)
	if err != nil {
		return err
	}
	for _, c := range cuts {
		if err := c.apply(); err != nil {
			return err
		}
		db.log.Warn("cut bytes that are no whole record off the end of a log: saba or the machine stopped while writing them",
			"file", c.path, "bytes", c.size-c.keep)
	}
	if err := db.setAsideBlocks(ctx); err != nil {
		return err
	}
	marks, err := mendLatePoints(ctx, db.dir)
	if err != nil {
		return fmt.Errorf("mend the log of late points: %w", err)
	}
	if marks > 0 {
		db.log.Debug("took the marks out of the log of late points", "marks", marks)
	}
	e, err := openEngine(db.dir, db.retention, db.maxBytes, db.log, db.outer)
	if err != nil {
		return fmt.Errorf("open the samples in %s: %w", db.dir, err)
	}
	if err := db.newest.rebuild(ctx, e.db); err != nil {
		return errors.Join(explainChunk(db.dir, fmt.Errorf("read the newest samples of %s: %w", db.dir, err)), e.close())
	}
	if at := e.newestTime(); at.After(db.now().Add(saba.MaxAhead)) {
		db.log.Warn("the newest sample is in the future, so present ones may be refused as too old: was the clock ahead?", "newest", at)
	}
	db.engine = e
	return nil
}

// Close waits for the batch that is being stored, stops the engine and frees the folder.
// Calls that wait, and later ones, get an error matching saba.ErrUnavailable.
func (db *DB) Close() error {
	db.once.Do(func() {
		close(db.closing)
		<-db.stopped
		db.mu.Lock()
		defer db.mu.Unlock()
		var err error
		if db.engine != nil {
			err = db.engine.close()
			db.engine = nil
		}
		if err = errors.Join(err, db.lock.Close()); err != nil {
			db.closed = fmt.Errorf("close the samples in %s: %w", db.dir, err)
		}
	})
	return db.closed
}

var errClosed = saba.Errorf(saba.ErrUnavailable, "the sample storage is closed")
