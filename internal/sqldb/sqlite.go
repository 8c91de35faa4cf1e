package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/saba-monitor/saba"
)

// applicationID stands in the file's header ("saba" in ASCII), so that a database of another
// program is recognized (https://www.sqlite.org/fileformat2.html, offset 68).
const applicationID = 0x73616261

var sqliteDialect = dialect{near: true, mark: fmt.Sprintf(`PRAGMA application_id = %d`, applicationID)}

const (
	// maxReaders bounds the memory of page caches; reads take microseconds, so few suffice.
	maxReaders = 4
	// busyTimeout is how long a statement waits for a lock. Within one process only the very
	// first and the very last connection can meet one.
	busyTimeout = 10 * time.Second
)

// openSQLite opens the file at path, which it creates when it is missing, as one connection
// that writes and a few that read. The file is checked first, without a byte written.
func openSQLite(ctx context.Context, path string) (writer, reader *sql.DB, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("database %s: %w", path, err)
	}
	if err := prepareFile(abs); err != nil {
		return nil, nil, err
	}
	_, unfinished, err := checkAtRest(ctx, abs)
	if err != nil {
		return nil, nil, err
	}
	w, err := openPool(abs, 1, url.Values{"_txlock": {"immediate"}, "_journal_mode": {"WAL"}})
	if err != nil {
		return nil, nil, fmt.Errorf("database %s: %w", abs, err)
	}
	if err := prepareWriter(ctx, w, abs, unfinished); err != nil {
		return nil, nil, errors.Join(err, w.Close())
	}
	r, err := openPool(abs, maxReaders, url.Values{"_query_only": {"1"}})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("database %s: %w", abs, err), w.Close())
	}
	return w, r, nil
}

// prepareWriter makes the first connection and looks whether it may write as it should. A
// change that was cut off is undone by that, and only then the file can be checked.
func prepareWriter(ctx context.Context, writer *sql.DB, path string, unfinished bool) error {
	if unfinished {
		if _, err := check(ctx, writer, path); err != nil {
			return err
		}
	}
	var mode string
	if err := writer.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return fmt.Errorf("database %s cannot be opened for writing; look whether saba may create files in its folder: %w", path, err)
	}
	if mode != "wal" {
		return fmt.Errorf("database %s lies on a file system that cannot share memory between processes (a network file system?): choose a folder on a local disk", path)
	}
	return nil
}

// openPool opens at most n connections, each set up by params besides what all need.
func openPool(path string, n int, params url.Values) (*sql.DB, error) {
	for key, value := range map[string]string{
		// FULL: a commit is on disk when it returns, also after a power cut.
		"_synchronous":  "FULL",
		"_busy_timeout": fmt.Sprint(busyTimeout.Milliseconds()),
		"_foreign_keys": "1",
		"_defensive":    "1", // no statement may touch the file's inner structure
		"_dqs":          "0", // "x" is a name, never a string
		"_error_rc":     "1", // no stale message beside an error
	} {
		if !params.Has(key) {
			params.Set(key, value)
		}
	}
	// The schema of a file that somebody else could write must not call functions; a log that
	// a busy hour made long is cut when it is folded into the file.
	params["_pragma"] = append(params["_pragma"], "trusted_schema(0)", "journal_size_limit(8388608)")
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: params.Encode()}).String())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(preparing{connector})
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	return pool, nil
}

// lookAt returns whether there is anything in the file at path, and an error if it is something
// that no database can be opened from.
func lookAt(path string) (blank bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		blank = true
	case err != nil:
		return false, fmt.Errorf("database %s cannot be created or opened: %w", path, err)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("database %s is not a file: move it away, or choose another data folder", path)
	default:
		blank = info.Size() == 0
	}
	if blank {
		// SQLite throws the log of an empty database away: that would finish off what is left.
		if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
			return true, fmt.Errorf("database %s is missing or empty while its log %s-wal is there: nothing was changed; restore both from a backup, or move the log away to begin with an empty database", path, path)
		}
	}
	return blank, nil
}

// prepareFile makes sure that path is a file that can be written. A new one is readable by its
// owner alone: it will hold the hashes of passwords and keys.
func prepareFile(path string) error {
	if _, err := lookAt(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("database %s cannot be written by this user: give the user write access to the folder and the file, or choose another data folder: %w", path, err)
	case err != nil:
		return fmt.Errorf("database %s cannot be created or opened: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("database %s: %w", path, err)
	}
	return nil
}

// checkAtRest checks the file before anything is written to it, and says whether it holds a table.
// unfinished says that SQLite must first undo a change that was cut off, and that the check has to be
// made after that.
func checkAtRest(ctx context.Context, path string) (filled, unfinished bool, err error) {
	if _, err := os.Stat(path + "-journal"); err == nil {
		// A rollback journal exists only while a new file is switched to the write-ahead log.
		return false, true, nil
	}
	params := url.Values{"mode": {"ro"}}
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		// Without a log the file is all there is. "Immutable" keeps SQLite from creating one.
		params.Set("immutable", "1")
	}
	pool, err := openPool(path, 1, params)
	if err != nil {
		return false, false, fmt.Errorf("database %s: %w", path, err)
	}
	filled, err = check(ctx, pool, path)
	return filled, false, errors.Join(err, pool.Close())
}

// check returns an error in words for a person if the file is not a whole database of saba's,
// of a version that this program knows. A database without tables passes: it is new, and not filled.
func check(ctx context.Context, pool *sql.DB, path string) (filled bool, err error) {
	filled, err = checkFile(ctx, pool)
	var foreign *notOurs
	switch code := primaryCode(err); {
	case err == nil:
		return filled, nil
	case ctx.Err() != nil:
		return false, fmt.Errorf("check database %s: %w", path, ctx.Err())
	case code == sqlite3.SQLITE_NOTADB, errors.As(err, &foreign):
		return false, fmt.Errorf("database %s is not a database of saba's: nothing was changed; move the file away, or choose another data folder", path)
	case errors.Is(err, saba.ErrInvalid):
		return false, fmt.Errorf("database %s cannot be used: %w", path, err)
	case code == sqlite3.SQLITE_CORRUPT, errors.As(err, new(*damage)):
		return false, fmt.Errorf("database %s is damaged (%w): nothing was changed; restore it from a backup, or move it away to begin with an empty one", path, err)
	}
	return false, fmt.Errorf("database %s cannot be read: %w", path, err)
}

// notOurs says that a file is a whole database, but of another program.
type notOurs struct{}

func (*notOurs) Error() string { return "made by another program" }

// damage is what a check of the file found.
type damage struct{ finding string }

func (d *damage) Error() string { return d.finding }

func checkFile(ctx context.Context, pool *sql.DB) (filled bool, err error) {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	findings, err := list(ctx, tx, scanString, `PRAGMA quick_check(3)`)
	if err != nil {
		return false, err
	}
	if len(findings) != 1 || findings[0] != "ok" {
		return false, &damage{strings.Join(strings.Fields(strings.Join(findings, "; ")), " ")} // on one line
	}
	var id int64
	var tables, versions int
	if err := tx.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return false, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT count(*), count(CASE WHEN name = 'migrations' THEN 1 END) FROM sqlite_schema`).Scan(&tables, &versions); err != nil {
		return false, err
	}
	if tables == 0 {
		return false, nil
	}
	if id != applicationID || versions == 0 {
		return false, &notOurs{}
	}
	if _, err := knownVersion(ctx, tx); err != nil {
		return false, err
	}
	orphans, err := list(ctx, tx, func(row scanner) (string, error) {
		var table, parent string
		var rowid, key sql.NullInt64
		err := row.Scan(&table, &rowid, &parent, &key)
		return fmt.Sprintf("a row of %s has lost its row of %s", table, parent), err
	}, `PRAGMA foreign_key_check`)
	if err != nil {
		return false, err
	}
	if len(orphans) > 0 {
		return false, &damage{orphans[0]}
	}
	return true, nil
}

// primaryCode returns SQLite's primary result code of err, or -1 if it has none.
func primaryCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return -1
}

// isTaken says whether err is the refusal of a second row with the same unique value.
func isTaken(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) ||
		postgresCode(err) == "23505" // unique_violation
}

// explain gives errors of an engine that an operator can do something about their words.
func explain(err error) error {
	if e := explainPostgres(err); e != nil {
		return e
	}
	switch primaryCode(err) {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: the disk is full: %w", saba.ErrUnavailable, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%w: another program holds the database: %w", saba.ErrUnavailable, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%w: the database cannot be read or written, look at its disk: %w", saba.ErrUnavailable, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("the database is damaged; stop saba and restore a backup: %w", err)
	}
	return err
}
