package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/saba-monitor/saba"
)

// drainsOf keeps drains. The service stands in a column, where it follows a new name.
var drainsOf = shelfOf[saba.Drain]{"drains", "drain", saba.MaxDrains}

// A drainRow is a drain and whose it is.
type drainRow struct {
	org string
	saba.Drain
}

const drainColumns = `org, service, doc`

func scanDrain(row scanner) (d drainRow, err error) {
	var service string
	var doc []byte
	if err := row.Scan(&d.org, &service, &doc); err != nil {
		return d, err
	}
	if err := json.Unmarshal(doc, &d.Drain); err != nil {
		return d, fmt.Errorf("a drain as stored: %w", err)
	}
	d.Service = service
	return d, nil
}

// Drains returns the drains of an organization, oldest first.
func (db *DB) Drains(ctx context.Context, org string) (drains []saba.Drain, err error) {
	err = db.view(ctx, "list drains", func(tx *sql.Tx) error {
		rows, err := list(ctx, tx, scanDrain, `SELECT `+drainColumns+` FROM drains WHERE org = ? ORDER BY id`, org)
		drains = make([]saba.Drain, len(rows))
		for i, r := range rows {
			drains[i] = r.Drain
		}
		return err
	})
	return drains, err
}

// Drain returns a drain.
func (db *DB) Drain(ctx context.Context, org, id string) (d saba.Drain, err error) {
	err = db.view(ctx, "read a drain", func(tx *sql.Tx) error {
		d, err = readDrain(ctx, tx, org, id)
		return err
	})
	return d, err
}

func readDrain(ctx context.Context, tx *sql.Tx, org, id string) (saba.Drain, error) {
	r, err := one(tx.QueryRowContext(ctx, `SELECT `+drainColumns+` FROM drains WHERE org = ? AND id = ?`, org, id), scanDrain, "no drain %q", id)
	return r.Drain, err
}

// DrainByHash returns the drain whose token has a hash, and its organization.
func (db *DB) DrainByHash(ctx context.Context, hash string) (org string, d saba.Drain, err error) {
	err = db.view(ctx, "look up a drain", func(tx *sql.Tx) error {
		r, err := one(tx.QueryRowContext(ctx, `SELECT `+drainColumns+` FROM drains WHERE hash = ?`, hash), scanDrain, "no such drain")
		org, d = r.org, r.Drain
		return err
	})
	return org, d, err
}

// CreateDrain keeps a new drain, whose ID the caller chose, and the hash of its token. Its service must exist; the error matches saba.ErrInvalid.
func (db *DB) CreateDrain(ctx context.Context, org string, d saba.Drain, hash string) error {
	return db.change(ctx, "create a drain", func(tx *sql.Tx) error {
		if err := checkServices(ctx, tx, org, "service", []string{d.Service}); err != nil {
			return err
		}
		return drainsOf.insert(ctx, tx, org, d.ID, d, "service, hash", d.Service, hash)
	})
}

// UpdateDrain replaces a drain by what change makes of it, and returns that.
func (db *DB) UpdateDrain(ctx context.Context, org, id string, change func(old saba.Drain) (saba.Drain, error)) (d saba.Drain, err error) {
	err = db.change(ctx, "update a drain", func(tx *sql.Tx) error {
		old, err := readDrain(ctx, tx, org, id)
		if err != nil {
			return err
		}
		if d, err = change(old); err != nil {
			return err
		}
		if err := checkServices(ctx, tx, org, "service", []string{d.Service}); err != nil {
			return err
		}
		return drainsOf.update(ctx, tx, org, id, d, "service", d.Service)
	})
	return d, err
}

// SetDrainToken gives a drain another token, by its hash. The one before opens nothing any more.
func (db *DB) SetDrainToken(ctx context.Context, org, id, hash string) error {
	return db.change(ctx, "give a drain another token", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE drains SET hash = ? WHERE org = ? AND id = ?`, hash, org, id)
		return touched(result, err, "no drain %q", id)
	})
}

// DeleteDrain deletes a drain and what of it is not stored as metrics yet, and returns it as it was.
func (db *DB) DeleteDrain(ctx context.Context, org, id string) (d saba.Drain, err error) {
	err = db.change(ctx, "delete a drain", func(tx *sql.Tx) error {
		if d, err = readDrain(ctx, tx, org, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM drains WHERE org = ? AND id = ?`, org, id)
		return err
	})
	return d, err
}

// KeepDrainBatch keeps what the lines of a request came to, and returns its number. frame is the id by which its sender knows the request, "" for
// none; fresh is false when that came before: then nothing is kept. A drain that is gone is an error matching saba.ErrNotFound.
func (db *DB) KeepDrainBatch(ctx context.Context, b saba.DrainBatch, frame string) (seq int64, fresh bool, err error) {
	// Not by change: no row that is remembered depends on this, and it happens many times a second.
	err = transact(ctx, db.writer, db.dialect.change, func(tx *sql.Tx) error {
		if ok, err := exists(ctx, tx, `SELECT count(*) FROM drains WHERE id = ?`, b.Drain); err != nil {
			return err
		} else if !ok {
			return saba.Errorf(saba.ErrNotFound, "no drain %q", b.Drain)
		}
		if frame != "" {
			known, err := exists(ctx, tx, `SELECT count(*) FROM drain_batches WHERE drain = ? AND frame = ?`, b.Drain, frame)
			if err != nil || known {
				return err
			}
		}
		fresh = true
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) + 1 FROM drain_batches`).Scan(&seq); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO drain_batches (seq, drain, frame, at, cells) VALUES (?, ?, ?, ?, ?)`,
			seq, b.Drain, sql.NullString{String: frame, Valid: frame != ""}, b.At, string(b.Cells))
		return err
	})
	return seq, fresh, failed(ctx, "keep what log lines came to", err)
}

// DrainBatches returns what is kept of a drain, in the order of arrival.
func (db *DB) DrainBatches(ctx context.Context, drain string) (batches []saba.DrainBatch, err error) {
	err = db.view(ctx, "read what log lines came to", func(tx *sql.Tx) error {
		batches, err = list(ctx, tx, scanDrainBatch, `SELECT seq, drain, at, cells FROM drain_batches WHERE drain = ? AND cells <> '' ORDER BY seq`, drain)
		return err
	})
	return batches, err
}

func scanDrainBatch(row scanner) (b saba.DrainBatch, err error) {
	err = row.Scan(&b.Seq, &b.Drain, &b.At, &b.Cells)
	return b, err
}

// FoldDrainBatches puts cells in the place of everything of a drain up to a number, and forgets the frames of what came before a time in Unix seconds. No
// cells leave nothing.
func (db *DB) FoldDrainBatches(ctx context.Context, drain string, upTo int64, cells []byte, before int64) error {
	return failed(ctx, "fold what log lines came to", transact(ctx, db.writer, db.dialect.change, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM drain_batches WHERE drain = ? AND seq <= ? AND (frame IS NULL OR at < ?)`, drain, upTo, before); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE drain_batches SET cells = '' WHERE drain = ? AND seq <= ?`, drain, upTo); err != nil {
			return err
		}
		if len(cells) == 0 {
			return nil
		}
		// In front of what came after: the number is free, since whatever had it is gone or has a frame.
		result, err := tx.ExecContext(ctx, `UPDATE drain_batches SET cells = ? WHERE seq = ? AND drain = ?`, string(cells), upTo, drain)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO drain_batches (seq, drain, at, cells) VALUES (?, ?, ?, ?)`, upTo, drain, before, string(cells))
		return err
	}))
}

// PutServiceGraphDefs keeps how metrics of a service are drawn; a definition whose name exists replaces it. New ones above 2,000 of a service are left out.
func (db *DB) PutServiceGraphDefs(ctx context.Context, org, service string, defs []saba.GraphDef) error {
	const most = 2000
	return db.change(ctx, "keep graph definitions of a service", func(tx *sql.Tx) error {
		var known int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM service_graph_defs WHERE org = ? AND service = ?`, org, service).Scan(&known); err != nil {
			return err
		}
		for _, d := range defs {
			metrics := make([]graphMetric, len(d.Metrics))
			for i, m := range d.Metrics {
				metrics[i] = graphMetric(m)
			}
			b, err := json.Marshal(metrics)
			if err != nil {
				return err
			}
			result, err := tx.ExecContext(ctx, `UPDATE service_graph_defs SET display_name = ?, unit = ?, metrics = ? WHERE org = ? AND service = ? AND name = ?`,
				d.DisplayName, string(d.Unit), string(b), org, service, d.Name)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil {
				return err
			} else if n > 0 || known >= most {
				continue
			}
			known++
			if _, err := tx.ExecContext(ctx, `INSERT INTO service_graph_defs (org, service, name, display_name, unit, metrics) VALUES (?, ?, ?, ?, ?, ?)`,
				org, service, d.Name, d.DisplayName, string(d.Unit), string(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

// ServiceGraphDefs returns how metrics of a service are drawn, by name.
func (db *DB) ServiceGraphDefs(ctx context.Context, org, service string) (defs []saba.GraphDef, err error) {
	err = db.view(ctx, "list graph definitions of a service", func(tx *sql.Tx) error {
		defs, err = list(ctx, tx, scanGraphDef, `SELECT name, display_name, unit, metrics FROM service_graph_defs WHERE org = ? AND service = ? ORDER BY name`, org, service)
		return err
	})
	return defs, err
}
