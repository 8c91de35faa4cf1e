// Package sqldb keeps everything but samples: organizations, hosts, services, roles, checks,
// graph definitions, metadata, API keys, accounts and sessions. It owns the schema (migration/)
// and every SQL statement of saba, imports no other part of it, and is used through small
// interfaces that its readers declare.
//
// There is one file per noun. sqlite.go and postgres.go hold what is particular to each engine; all
// other statements keep to the SQL that both share: ? for an argument (numbered on the way to
// PostgreSQL), ON CONFLICT, partial indexes, no engine functions. What callers may rely on is
// written as a test, in package storetest. Start with Open.
//
// A database is named by its target: the path of an SQLite file, or the URL of a PostgreSQL
// database. A URL may hold a password, so errors show it as Name does.
//
// Data of one organization is invisible to another: a foreign id is not found. A missing record
// is an error matching saba.ErrNotFound, a taken name saba.ErrConflict, an operation that the
// state of a record forbids saba.ErrInvalid, an engine that cannot write now
// saba.ErrUnavailable; their texts are sentences for a person.
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// A DB is an open database. Its methods may be called by any number of goroutines. A method
// that changes something returns when the change is on disk; whoever reads after that sees it.
type DB struct {
	// One connection writes, so that writers queue here, where the queue obeys contexts, and never
	// meet each other's locks: with four, PostgreSQL breaks most transactions off, and no more are done in
	// the same time. Readers see the last commit and wait for nobody.
	writer  *sql.DB
	reader  *sql.DB
	dialect dialect
	lock    *lock        // keeps other servers away from a PostgreSQL database; nil for a file
	changes atomic.Int64 // that ended so far, whether anything came of them or not
	keys    cache[string, saba.Key]
	retired cache[hostKey, bool]
}

// A dialect is what an engine has to be told in words of its own. Its zero value is plain SQL.
type dialect struct {
	change, view *sql.TxOptions             // how transactions begin; nil for the engine's own way
	script       func(script string) string // puts a migration into the engine's words; nil if it is already
	mark         string                     // the statement by which a new database is known as saba's
	near         bool                       // in this process alone: nobody else writes, and one row is read within microseconds
}

// Open opens a database and brings its schema up to date; a file is created when it is missing, a
// PostgreSQL database has to be there. What is damaged, foreign or newer than this program is refused in one
// sentence and left as it is. A PostgreSQL database that does not answer, or that another server
// holds, is an error matching saba.ErrUnavailable.
func Open(ctx context.Context, target string) (*DB, error) {
	if isPostgres(target) {
		return openPostgres(ctx, target)
	}
	writer, reader, err := openSQLite(ctx, target)
	if err != nil {
		return nil, err
	}
	db := &DB{writer: writer, reader: reader, dialect: sqliteDialect}
	if err := migrate(ctx, writer, db.dialect); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", target, err), db.Close())
	}
	return db, nil
}

// Check says whether there is anything in a database, and returns the error that Open would return for one
// that is damaged, foreign, newer than this program, or does not answer. It writes nothing
// and makes no file, so that whoever opens more than a database can look at all of it first.
func Check(ctx context.Context, target string) (filled bool, err error) {
	if isPostgres(target) {
		config, err := parseURL(target)
		if err != nil {
			return false, err
		}
		return checkPostgres(ctx, config)
	}
	abs, err := filepath.Abs(target)
	if err != nil {
		return false, fmt.Errorf("database %s: %w", target, err)
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
	err := errors.Join(db.reader.Close(), db.writer.Close())
	if db.lock != nil {
		err = errors.Join(err, db.lock.close())
	}
	return err
}

// view runs fn in a transaction that sees one state of the database. op names what fails
// ("read host \"x\"") for errors that have no words of their own.
func (db *DB) view(ctx context.Context, op string, fn func(tx *sql.Tx) error) error {
	return failed(ctx, op, transact(ctx, db.reader, db.dialect.view, fn))
}

// maxRuns bounds how often a change is made anew because another program got in its way.
const maxRuns = 10

// change runs fn in a transaction and commits it, all or nothing. Where another program changes the same records at
// the same time, fn may run several times: what it leaves outside of tx counts from its last run.
func (db *DB) change(ctx context.Context, op string, fn func(tx *sql.Tx) error) error {
	defer db.changes.Add(1)
	for run := 1; ; run++ {
		err := transact(ctx, db.writer, db.dialect.change, fn)
		if run == maxRuns || !mustRunAgain(err) {
			return failed(ctx, op, err)
		}
	}
}

func transact(ctx context.Context, pool *sql.DB, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
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

// brief returns the context for reading one row by its key. Where that ends within microseconds, nobody watches for the end
// of ctx: a goroutine of database/sql and one of the driver cost as much as the lookup.
func (db *DB) brief(ctx context.Context) context.Context {
	if db.dialect.near {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

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

// checkArgument is what both engines' connections do with an argument of a statement. A text is kept without NUL and
// bytes that are not UTF-8, which PostgreSQL does not take: U+FFFD stands for them, as package json has it. To refuse
// them would let one bad text of a batch harm its neighbours.
func checkArgument(v *driver.NamedValue) (err error) {
	if v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value); err != nil {
		return err
	}
	if s, ok := v.Value.(string); ok && (strings.Contains(s, "\x00") || !utf8.ValidString(s)) {
		v.Value = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	}
	return nil
}

// bit is how a flag is kept: not every engine has the same booleans.
func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
