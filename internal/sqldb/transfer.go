package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba"
)

// Between the engines, rows go through an SQLite file: a backup is one, so that a backup of either engine can be
// restored into the other.

// copyPostgres is Copy for PostgreSQL. The new file has the schema of the database's version.
func copyPostgres(ctx context.Context, target, to string) error {
	config, err := parseURL(target)
	if err != nil {
		return err
	}
	writer, reader, err := openSQLite(ctx, to)
	if err != nil {
		return err
	}
	err = viewPostgres(ctx, config, 0, func(from *sql.Tx) error {
		if filled, err := lookAtPostgres(ctx, from); err != nil {
			return err
		} else if !filled {
			return saba.Errorf(saba.ErrNotFound, "it is empty: there is nothing to copy")
		}
		version, err := knownVersion(ctx, from)
		if err != nil {
			return err
		}
		return transact(ctx, writer, sqliteDialect.change, func(file *sql.Tx) error {
			if err := migrateTo(ctx, file, sqliteDialect, version); err != nil {
				return err
			}
			return copyTables(ctx, from, file, file)
		})
	})
	return errors.Join(err, reader.Close(), writer.Close()) // the last one folds the log into the file
}

// Fill puts all that an SQLite file holds into a PostgreSQL database that is empty, and does all of it or nothing. A database
// that is not empty is an error matching saba.ErrConflict.
func Fill(ctx context.Context, target, file string) (err error) {
	config, err := parseURL(target)
	if err != nil {
		return err
	}
	filled, err := checkPostgres(ctx, config)
	if err != nil {
		return err
	}
	name := postgresName(config)
	if filled {
		return saba.Errorf(saba.ErrConflict, "database %s is not empty: nothing was changed; make a new one for what is to be restored", name)
	}
	keep := &lock{config: config}
	defer func() { err = errors.Join(err, keep.close()) }()
	if err := keep.hold(ctx, lockTries); err != nil {
		return fmt.Errorf("database %s: %w", name, err)
	}
	source, err := openPool(file, 1, readOnly(file, false))
	if err != nil {
		return fmt.Errorf("database %s: %w", file, err)
	}
	pool := postgresPool(config, 1, 0, nil)
	err = transact(ctx, source, sqliteDialect.view, func(from *sql.Tx) error {
		version, err := knownVersion(ctx, from)
		if err != nil {
			return err
		}
		return transact(ctx, pool, postgresDialect.change, func(to *sql.Tx) error {
			if err := migrateTo(ctx, to, postgresDialect, version); err != nil {
				return err
			}
			return copyTables(ctx, from, to, from)
		})
	})
	return errors.Join(failed(ctx, "fill database "+name, err), pool.Close(), source.Close())
}

// migrateTo makes a schema of some version from nothing, within tx.
func migrateTo(ctx context.Context, tx *sql.Tx, d dialect, version int) error {
	scripts, err := migrations()
	if err != nil {
		return err
	}
	for range version {
		if _, err := migrateStep(ctx, tx, d, scripts[:version]); err != nil {
			return err
		}
	}
	return nil
}

// copyTables copies the rows of every table but that of versions. file is the one of from and to that is SQLite, which knows in
// which order the tables were made: a row follows those that it refers to.
func copyTables(ctx context.Context, from, to, file *sql.Tx) error {
	tables, err := list(ctx, file, scanString, `SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name <> 'migrations' AND name NOT LIKE 'sqlite%' ORDER BY rowid`)
	if err != nil {
		return err
	}
	for _, table := range tables {
		columns, err := list(ctx, file, scanString, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, table)
		if err != nil {
			return err
		}
		if err := copyTable(ctx, from, to, table, columns); err != nil {
			return fmt.Errorf("copy table %s: %w", table, err)
		}
	}
	return nil
}

// copiedAtOnce is how many rows one statement writes: the arguments of all stay far below what engines take.
const copiedAtOnce = 100

func copyTable(ctx context.Context, from, to *sql.Tx, table string, columns []string) (err error) {
	names := strings.Join(columns, ", ")
	rows, err := from.QueryContext(ctx, `SELECT `+names+` FROM `+table)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var values []any
	write := func() error {
		if len(values) == 0 {
			return nil
		}
		row := `(` + marks(len(columns)) + `)`
		_, err := to.ExecContext(ctx, `INSERT INTO `+table+` (`+names+`) VALUES `+row+strings.Repeat(`, `+row, len(values)/len(columns)-1), values...)
		values = values[:0]
		return err
	}
	for rows.Next() {
		row := make([]any, len(columns))
		to := make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return err
		}
		if values = append(values, row...); len(values) == copiedAtOnce*len(columns) {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return write()
}

// examinePostgres is Examine for PostgreSQL: it reads every row of every table, whose pages PostgreSQL then looks at.
func examinePostgres(ctx context.Context, target string) (filled bool, err error) {
	config, err := parseURL(target)
	if err != nil {
		return false, err
	}
	err = viewPostgres(ctx, config, 0, func(tx *sql.Tx) error {
		if filled, err = lookAtPostgres(ctx, tx); err != nil || !filled {
			return err
		}
		tables, err := list(ctx, tx, scanString, `SELECT quote_ident(relname) FROM pg_class
			WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p')`)
		if err != nil {
			return err
		}
		for _, table := range tables {
			if err := readTable(ctx, tx, table); err != nil {
				return fmt.Errorf("read table %s: %w", table, err)
			}
		}
		return nil
	})
	return filled, err
}

func readTable(ctx context.Context, tx *sql.Tx, table string) (err error) {
	rows, err := tx.QueryContext(ctx, `SELECT * FROM `+table)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() { // which decodes the row
	}
	return rows.Err()
}

// Unsafe returns the settings of a PostgreSQL database that let it lose what it has acknowledged; none for a file, whose
// settings are saba's own.
func Unsafe(ctx context.Context, target string) (settings []string, err error) {
	if !isPostgres(target) {
		return nil, nil
	}
	config, err := parseURL(target)
	if err != nil {
		return nil, err
	}
	err = viewPostgres(ctx, config, statementTimeout, func(tx *sql.Tx) error {
		settings, err = list(ctx, tx, scanString, `SELECT name FROM pg_settings
			WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name`)
		return err
	})
	return settings, err
}
