// Package sqldb keeps everything but samples: organizations, hosts, services, roles, checks,
// graph definitions, metadata, API keys, accounts and sessions. It owns the schema (migration/)
// and every SQL statement of saba, imports no other part of it, and is used through small
// interfaces that its readers declare.
//
// There is one file per noun. sqlite.go holds what is particular to SQLite; all other
// statements keep to the SQL that PostgreSQL shares: ? for an argument (numbered when the
// engine wants numbers), ON CONFLICT, partial indexes, no engine functions. What callers may
// rely on is written as a test, in package storetest. Start with Open.
//
// Data of one organization is invisible to another: a foreign id is not found. A missing record
// is an error matching saba.ErrNotFound, a taken name saba.ErrConflict, an operation that the
// state of a record forbids saba.ErrInvalid, an engine that cannot write now
// saba.ErrUnavailable; their texts are sentences for a person.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/saba-monitor/saba"
)

// A DB is an open database. Its methods may be called by any number of goroutines. A method
// that changes something returns when the change is on disk; whoever reads after that sees it.
type DB struct {
	// One connection writes, so that writers queue here, where the queue obeys contexts, and
	// never meet each other's locks. Readers see the last commit and wait for nobody.
	writer *sql.DB
	reader *sql.DB
}

// Open opens the database file at path, creates it when it is missing, and brings its schema
// up to date. A file that is damaged, foreign or newer than this program is refused in one
// sentence and left as it is.
func Open(ctx context.Context, path string) (*DB, error) {
	writer, reader, err := openSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	db := &DB{writer: writer, reader: reader}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), db.Close())
	}
	return db, nil
}

// Check says whether there is anything in the database file at path, and returns the error that Open
// would return for a file that is damaged, foreign or newer than this program. It writes nothing
// and makes no file, so that whoever opens more than a database can look at all of it first.
func Check(ctx context.Context, path string) (filled bool, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false, fmt.Errorf("database %s: %w", path, err)
	}
	if blank, err := lookAt(abs); err != nil || blank {
		return false, err
	}
	filled, _, err = checkAtRest(ctx, abs)
	return filled, err
}

// Close waits for calls under way and closes the database.
func (db *DB) Close() error {
	// The last connection to close folds the write-ahead log into the file; a reader could not.
	return errors.Join(db.reader.Close(), db.writer.Close())
}

// view runs fn in a transaction that sees one state of the database. op names what fails
// ("read host \"x\"") for errors that have no words of their own.
func (db *DB) view(ctx context.Context, op string, fn func(tx *sql.Tx) error) error {
	return transact(ctx, db.reader, op, fn)
}

// change runs fn in a transaction and commits it, all or nothing.
func (db *DB) change(ctx context.Context, op string, fn func(tx *sql.Tx) error) error {
	return transact(ctx, db.writer, op, fn)
}

func transact(ctx context.Context, pool *sql.DB, op string, fn func(tx *sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return failed(ctx, op, err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := fn(tx); err != nil {
		return failed(ctx, op, err)
	}
	return failed(ctx, op, tx.Commit())
}

// failed gives err the operation's name, unless it is a sentence for a person already.
func failed(ctx context.Context, op string, err error) error {
	var field *saba.FieldError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// The engine words an interruption in its own way; callers look for the context's.
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case errors.Is(err, saba.ErrNotFound), errors.Is(err, saba.ErrConflict), errors.Is(err, saba.ErrInvalid),
		errors.Is(err, saba.ErrTooLarge), errors.As(err, &field):
		return err
	}
	return fmt.Errorf("%s: %w", op, explain(err))
}

// list runs a query and collects what scan makes of each row; nil when there is none.
func list[T any](ctx context.Context, tx *sql.Tx, scan func(row scanner) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// scanner is *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// brief returns the context for reading one row by its key, which ends within microseconds: to watch for the end of ctx, by
// a goroutine of database/sql and one of the driver, costs as much as the lookup.
func brief(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func scanInt(row scanner) (n int64, err error) {
	err = row.Scan(&n)
	return n, err
}

func scanString(row scanner) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}

// one scans a single row; without one it returns an error matching saba.ErrNotFound whose text
// is the formatted sentence.
func one[T any](row *sql.Row, scan func(row scanner) (T, error), missing string, args ...any) (T, error) {
	v, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return v, saba.Errorf(saba.ErrNotFound, missing, args...)
	}
	return v, err
}

// touched turns a statement that must have met a row, and has not, into an error matching
// saba.ErrNotFound whose text is the formatted sentence.
func touched(result sql.Result, err error, missing string, args ...any) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return saba.Errorf(saba.ErrNotFound, missing, args...)
	}
	return nil
}

// marks returns "?, ?, ?" for n arguments; n is at least 1.
func marks(n int) string { return strings.Repeat("?, ", n-1) + "?" }

// anys turns strings into arguments of a statement.
func anys[S ~string](values []S) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	return args
}

// bit is how a flag is kept: not every engine has the same booleans.
func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
