package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// Copy writes a database, as it is at one moment, to the new SQLite file to, whatever engine it is on. inUse says that a process may
// have it open, this one or another; nobody waits for the copy.
func Copy(ctx context.Context, target, to string, inUse bool) error {
	if isPostgres(target) {
		return copyPostgres(ctx, target, to)
	}
	path := target
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("database %s: %w", path, err)
	}
	if blank, err := lookAt(abs); err != nil {
		return err
	} else if blank {
		return fmt.Errorf("database %s is missing or empty: there is nothing to copy", path)
	}
	pool, err := openPool(abs, 1, readOnly(abs, inUse))
	if err != nil {
		return fmt.Errorf("database %s: %w", path, err)
	}
	// VACUUM INTO reads in one transaction and writes a whole database of its own, without a log.
	_, err = pool.ExecContext(ctx, `VACUUM INTO ?`, to)
	if err := errors.Join(err, pool.Close()); err != nil {
		return fmt.Errorf("copy the database %s: %w", path, explain(err))
	}
	return nil
}

// Examine is a Check that takes its time: of a file it also compares each index with its table, of a PostgreSQL database it reads every
// row. inUse says that a process may have the database open. A missing or empty one passes, and is not filled.
func Examine(ctx context.Context, target string, inUse bool) (filled bool, err error) {
	if isPostgres(target) {
		return examinePostgres(ctx, target)
	}
	path := target
	abs, err := filepath.Abs(path)
	if err != nil {
		return false, fmt.Errorf("database %s: %w", path, err)
	}
	if blank, err := lookAt(abs); err != nil || blank {
		return false, err
	}
	pool, err := openPool(abs, 1, readOnly(abs, inUse))
	if err != nil {
		return false, fmt.Errorf("database %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if filled, err = check(ctx, pool, path); err != nil {
		return filled, err
	}
	var finding string
	if err := pool.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&finding); err != nil {
		return filled, fmt.Errorf("check database %s: %w", path, err)
	}
	if finding != "ok" {
		return filled, fmt.Errorf("database %s is damaged (%s): restore it from a backup", path, finding)
	}
	return filled, nil
}

// readOnly returns the parameters of a connection that changes nothing.
func readOnly(path string, inUse bool) url.Values {
	params := url.Values{"mode": {"ro"}}
	if log, err := os.Stat(path + "-wal"); !inUse && (err != nil || log.Size() == 0) {
		// Without a log the file is all there is. "Immutable" keeps SQLite from making one beside it.
		params.Set("immutable", "1")
	}
	return params
}
