package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
)

// tablesOf returns the tables of an SQLite file with the names and types of their columns.
func tablesOf(t *testing.T, file *sql.DB) (tables []string, columns map[string][][2]string) {
	t.Helper()
	err := transact(t.Context(), file, nil, func(tx *sql.Tx) (err error) {
		tables, err = list(t.Context(), tx, scanString, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'migrations' ORDER BY rowid`)
		if err != nil {
			return err
		}
		columns = map[string][][2]string{}
		for _, table := range tables {
			columns[table], err = list(t.Context(), tx, func(row scanner) (c [2]string, err error) {
				var notNull bool
				err = row.Scan(&c[0], &c[1], &notNull)
				if !notNull {
					c[1] += " NULL"
				}
				return c, err
			}, `SELECT name, type, "notnull" FROM pragma_table_info(?) ORDER BY cid`, table)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables, columns
}

// crowd fills every table of an SQLite file with rows. What they refer to is there, since row n of each table has the same texts.
func crowd(t *testing.T, path string, rows int) {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	tables, columns := tablesOf(t, db.writer)
	err = db.change(t.Context(), "fill every table", func(tx *sql.Tx) error {
		for _, table := range tables {
			for n := range rows {
				var values []any
				for _, c := range columns[table] {
					switch nullable := strings.HasSuffix(c[1], " NULL"); {
					case nullable && n%2 == 1:
						values = append(values, nil)
					case strings.HasPrefix(c[1], "BIGINT"):
						values = append(values, int64(n)<<40-1)
					case strings.HasPrefix(c[1], "DOUBLE"):
						values = append(values, float64(n)/3)
					default:
						values = append(values, fmt.Sprintf("%d'鯖\"\\\n\u2028?$1%%", n))
					}
				}
				if _, err := tx.ExecContext(t.Context(), `INSERT INTO `+table+` VALUES (`+marks(len(values))+`)`, values...); err != nil {
					return fmt.Errorf("%s: %w", table, err)
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// content returns every row of an SQLite file by its table, and the schema.
func content(t *testing.T, path string) map[string][]string {
	t.Helper()
	file, err := openPool(path, 1, readOnly(path, false))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tables, columns := tablesOf(t, file)
	all := map[string][]string{}
	err = transact(t.Context(), file, nil, func(tx *sql.Tx) (err error) {
		if all["schema"], err = list(t.Context(), tx, scanString, `SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY rowid`); err != nil {
			return err
		}
		for _, table := range tables {
			var names, quoted []string
			for _, c := range columns[table] {
				names = append(names, c[0])
				quoted = append(quoted, `quote(`+c[0]+`)`)
			}
			if all[table], err = list(t.Context(), tx, scanString, `SELECT `+strings.Join(quoted, ` || ' | ' || `)+` FROM `+table+` ORDER BY `+strings.Join(names, ", ")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPostgresInside(t *testing.T) {
	server := postgrestest.Start(t) // one for all: to start it takes longer than most of these
	t.Run("rows go there and back", func(t *testing.T) { rowsGoToPostgresAndBack(t, server) })
	t.Run("a database is filled wholly or not at all", func(t *testing.T) { fillIsWhole(t, server) })
	t.Run("data of earlier releases are kept", func(t *testing.T) { postgresKeepsEarlierReleases(t, server) })
	t.Run("texts are ordered by their bytes", func(t *testing.T) { postgresOrdersByBytes(t, server) })
	t.Run("nobody queues for silence", nobodyQueuesForSilence)
	t.Run("nobody waits for ever", func(t *testing.T) { postgresIsNotWaitedForForEver(t, server) })
}

// All rows of all tables go from SQLite to PostgreSQL and back, and are what they were, while the database is in use.
func rowsGoToPostgresAndBack(t *testing.T, server *postgrestest.Server) {
	ctx := t.Context()
	first, back := filepath.Join(t.TempDir(), "saba.db"), filepath.Join(t.TempDir(), "back.db")
	const rows = 2*copiedAtOnce + 3
	crowd(t, first, rows)
	url := server.Database("saba0")
	if filled, err := Check(ctx, url); filled || err != nil {
		t.Errorf("Check of an empty database = %v, %v", filled, err)
	}
	if err := Copy(ctx, url, back, true); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("Copy of an empty database = %v, want an error matching %q", err, saba.ErrNotFound)
	}
	back = filepath.Join(t.TempDir(), "back.db")
	if err := Fill(ctx, url, first); err != nil {
		t.Fatal(err)
	}
	db, err := Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := Copy(ctx, url, back, true); err != nil {
		t.Fatal(err)
	}
	want, got := content(t, first), content(t, back)
	if len(want) < 20 {
		t.Errorf("there are %d tables: the test sees too few", len(want))
	}
	for table := range want {
		if table != "schema" && len(want[table]) != rows {
			t.Errorf("table %s had %d rows before, want %d", table, len(want[table]), rows)
		}
		if strings.Join(got[table], "\n") != strings.Join(want[table], "\n") {
			t.Errorf("%s differs:\n got %q\nwant %q", table, got[table], want[table])
		}
	}
	if filled, err := Examine(ctx, back, false); !filled || err != nil {
		t.Errorf("Examine of the copy = %v, %v", filled, err)
	}
	if filled, err := Examine(ctx, url, true); !filled || err != nil {
		t.Errorf("Examine of the database = %v, %v", filled, err)
	}
	if err := Fill(ctx, url, first); !errors.Is(err, saba.ErrConflict) || !strings.Contains(err.Error(), "is not empty: nothing was changed") {
		t.Errorf("Fill of a database that is not empty = %v", err)
	}
	if err := Fill(ctx, server.Database("other"), filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("Fill from a missing file did nothing and said nothing")
	}
}

// A restore that fails in the middle leaves an empty database.
func fillIsWhole(t *testing.T, server *postgrestest.Server) {
	path := filepath.Join(t.TempDir(), "saba.db")
	crowd(t, path, 3)
	file, err := openPool(path, 1, map[string][]string{"_foreign_keys": {"0"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Exec(`UPDATE hidden_service_graphs SET org = 'lost'`) // the last table but a few
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	url := server.Database("saba1")
	if err := Fill(t.Context(), url, path); err == nil || !strings.Contains(err.Error(), "hidden_service_graphs") {
		t.Errorf("Fill with a row that has lost its service = %v, want an error that names the table", err)
	}
	if got := server.Connect(url).Ask(`SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); got[0][0] != "0" {
		t.Errorf("%s tables and indexes are left", got[0][0])
	}
}

// Texts are ordered by their bytes, whatever language a database was made for.
func postgresOrdersByBytes(t *testing.T, server *postgrestest.Server) {
	url := server.Database("saba2")
	db, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := server.Connect(url)
	if n := len(c.Ask(`SELECT 1 FROM information_schema.columns WHERE table_schema = 'public' AND collation_name = 'C'`)); n < 50 {
		t.Errorf("%d columns are ordered by bytes: the test sees too few", n)
	}
	for _, row := range c.Ask(`SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`) {
		t.Errorf("column %s.%s is ordered as %q", row[0], row[1], row[2])
	}
}

// A statement that takes too long, or whose answer never comes, ends by itself, and so does a transaction.
func postgresIsNotWaitedForForEver(t *testing.T, server *postgrestest.Server) {
	config, err := parseURL(server.URL("", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	pool := postgresPool(config, 1, 300*time.Millisecond, nil)
	defer pool.Close()
	run := func(query string) func(tx *sql.Tx) error {
		return func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), query)
			return err
		}
	}
	for name, fn := range map[string]func(tx *sql.Tx) error{
		"a change": run(`SELECT pg_sleep(60)`),
		"a query": func(tx *sql.Tx) error {
			var nothing string
			return tx.QueryRowContext(t.Context(), `SELECT pg_sleep(60)`).Scan(&nothing)
		},
		"many statements": func(tx *sql.Tx) error {
			for range 600 {
				if err := run(`SELECT pg_sleep(0.1)`)(tx); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		began := time.Now()
		err := failed(t.Context(), "wait", transact(t.Context(), pool, nil, fn))
		if !errors.Is(err, saba.ErrUnavailable) || time.Since(began) > 30*time.Second {
			t.Errorf("%s: after %v: %v, want an error matching %q", name, time.Since(began), err, saba.ErrUnavailable)
		}
	}
	if err := transact(t.Context(), pool, nil, run(`SELECT 1`)); err != nil {
		t.Errorf("the next one: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := failed(ctx, "wait", transact(ctx, pool, nil, run(`SELECT 1`))); !errors.Is(err, context.Canceled) {
		t.Errorf("an interruption: %v, want an error matching %q", err, context.Canceled)
	}
}

// A machine that takes connections and never says a word does not let callers wait one after the other.
func nobodyQueuesForSilence(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close() // what nobody accepts waits in the kernel
	config, err := parseURL("postgres://" + mute.Addr().String() + "/saba?connect_timeout=1&sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	pool := postgresPool(config, 1, statementTimeout, nil)
	defer pool.Close()
	const callers = 60
	began := time.Now()
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			var one int
			if err := failed(t.Context(), "ask", pool.QueryRowContext(t.Context(), `SELECT 1`).Scan(&one)); !errors.Is(err, saba.ErrUnavailable) {
				t.Errorf("a caller is told %v, want an error matching %q", err, saba.ErrUnavailable)
			}
		})
	}
	work.Wait()
	if took := time.Since(began); took > callers/2*time.Second {
		t.Errorf("%d callers waited %v, one after the other", callers, took)
	}
}

func TestNumbered(t *testing.T) {
	for query, want := range map[string]string{
		"":                           "",
		"SELECT 1":                   "SELECT 1",
		"a = ? AND b IN (?, ?)":      "a = $1 AND b IN ($2, $3)",
		"a = '?' AND b = ?":          "a = '?' AND b = $1",
		"a = 'it''s ?' OR b = ? -- ": "a = 'it''s ?' OR b = $1 -- ",
		strings.Repeat("?", 10):      "$1$2$3$4$5$6$7$8$9$10",
	} {
		if got := numbered(query); got != want {
			t.Errorf("numbered(%q) = %q, want %q", query, got, want)
		}
	}
}
