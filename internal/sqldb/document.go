package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba"
)

// A shelfOf keeps records of one noun as JSON documents, each under the columns id and org of a table.
type shelfOf[T any] struct {
	table string
	noun  string // for messages: "monitor"
	most  int    // records an organization may have
}

func (s shelfOf[T]) scan(row scanner) (v T, err error) {
	var doc []byte
	if err := row.Scan(&doc); err != nil {
		return v, err
	}
	if err := json.Unmarshal(doc, &v); err != nil {
		return v, fmt.Errorf("a %s as stored: %w", s.noun, err)
	}
	return v, nil
}

// all returns the records of an organization in the order of their ids, which is that of their making.
func (s shelfOf[T]) all(ctx context.Context, tx *sql.Tx, org string) ([]T, error) {
	return list(ctx, tx, s.scan, `SELECT doc FROM `+s.table+` WHERE org = ? ORDER BY id`, org)
}

func (s shelfOf[T]) read(ctx context.Context, tx *sql.Tx, org, id string) (T, error) {
	return one(tx.QueryRowContext(ctx, `SELECT doc FROM `+s.table+` WHERE org = ? AND id = ?`, org, id), s.scan, "no %s %q", s.noun, id)
}

// insert keeps a new record; columns are those of the table besides id, org and doc.
func (s shelfOf[T]) insert(ctx context.Context, tx *sql.Tx, org, id string, v T, columns string, args ...any) error {
	var known int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+s.table+` WHERE org = ?`, org).Scan(&known); err != nil {
		return err
	}
	if known >= s.most {
		return saba.Errorf(saba.ErrInvalid, "there are %d records of the kind %q, which is the most: delete one that is not used any more", known, s.noun)
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if columns != "" {
		columns = ", " + columns
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO `+s.table+` (id, org, doc`+columns+`) VALUES (`+marks(3+len(args))+`)`, append([]any{id, org, string(doc)}, args...)...)
	return err
}

// update replaces a record that exists; columns are as in insert.
func (s shelfOf[T]) update(ctx context.Context, tx *sql.Tx, org, id string, v T, columns string, args ...any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	set := `doc = ?`
	if columns != "" {
		set += ", " + strings.ReplaceAll(columns, ",", " = ?,") + " = ?"
	}
	result, err := tx.ExecContext(ctx, `UPDATE `+s.table+` SET `+set+` WHERE org = ? AND id = ?`, append(append([]any{string(doc)}, args...), org, id)...)
	return touched(result, err, "no %s %q", s.noun, id)
}

// remove deletes a record and returns it as it was.
func (s shelfOf[T]) remove(ctx context.Context, tx *sql.Tx, org, id string) (v T, err error) {
	if v, err = s.read(ctx, tx, org, id); err != nil {
		return v, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM `+s.table+` WHERE org = ? AND id = ?`, org, id)
	return v, err
}

// The methods of DB for a noun are mostly these, each in a transaction.

func allOf[T any](ctx context.Context, db *DB, s shelfOf[T], org string) (all []T, err error) {
	err = db.view(ctx, "list each "+s.noun, func(tx *sql.Tx) error {
		all, err = s.all(ctx, tx, org)
		return err
	})
	return all, err
}

func oneOf[T any](ctx context.Context, db *DB, s shelfOf[T], org, id string) (v T, err error) {
	err = db.view(ctx, "read a "+s.noun, func(tx *sql.Tx) error {
		v, err = s.read(ctx, tx, org, id)
		return err
	})
	return v, err
}

// updateOne replaces a record by what change makes of it. check looks at what that names, and returns the
// values of columns.
func updateOne[T any](ctx context.Context, db *DB, s shelfOf[T], org, id string, change func(old T) (T, error),
	columns string, check func(tx *sql.Tx, v T) ([]any, error)) (v T, err error) {
	err = db.change(ctx, "update a "+s.noun, func(tx *sql.Tx) error {
		old, err := s.read(ctx, tx, org, id)
		if err != nil {
			return err
		}
		if v, err = change(old); err != nil {
			return err
		}
		args, err := check(tx, v)
		if err != nil {
			return err
		}
		return s.update(ctx, tx, org, id, v, columns, args...)
	})
	return v, err
}

// The checks below look whether what a record names exists; their errors are FieldErrors.

func checkServices(ctx context.Context, tx *sql.Tx, org, field string, names []string) error {
	for i, n := range names {
		if ok, err := exists(ctx, tx, `SELECT count(*) FROM services WHERE org = ? AND name = ?`, org, n); err != nil {
			return err
		} else if !ok {
			return saba.Invalidf(element(field, i), "names the service %q, which does not exist", n)
		}
	}
	return nil
}

func checkScopes(ctx context.Context, tx *sql.Tx, org, field string, scopes []saba.Scope) error {
	for i, s := range scopes {
		if s.Role == "" {
			if ok, err := exists(ctx, tx, `SELECT count(*) FROM services WHERE org = ? AND name = ?`, org, s.Service); err != nil {
				return err
			} else if !ok {
				return saba.Invalidf(element(field, i), "names the service %q, which does not exist", s.Service)
			}
			continue
		}
		if ok, err := exists(ctx, tx, `SELECT count(*) FROM roles WHERE org = ? AND service = ? AND name = ?`, org, s.Service, s.Role); err != nil {
			return err
		} else if !ok {
			return saba.Invalidf(element(field, i), "names the role %q, which does not exist", s.String())
		}
	}
	return nil
}

// checkRecords looks for records of a table by their ids.
func checkRecords(ctx context.Context, tx *sql.Tx, org, table, noun, field string, ids []string) error {
	for i, id := range ids {
		if ok, err := exists(ctx, tx, `SELECT count(*) FROM `+table+` WHERE org = ? AND id = ?`, org, id); err != nil {
			return err
		} else if !ok {
			return saba.Invalidf(element(field, i), "names the %s %q, which does not exist", noun, id)
		}
	}
	return nil
}

// checkWatched looks for monitors and checks by their ids.
func checkWatched(ctx context.Context, tx *sql.Tx, org, field string, ids []string) error {
	for i, id := range ids {
		if ok, err := exists(ctx, tx, `SELECT (SELECT count(*) FROM monitors WHERE org = ? AND id = ?) + (SELECT count(*) FROM checks WHERE org = ? AND id = ?)`,
			org, id, org, id); err != nil {
			return err
		} else if !ok {
			return saba.Invalidf(element(field, i), "names the monitor %q, which does not exist", id)
		}
	}
	return nil
}

func exists(ctx context.Context, tx *sql.Tx, query string, args ...any) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n > 0, err
}

func element(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
