package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/saba-monitor/saba"
)

// eventCulprits is how many processes of each kind an event names: its messages are short.
const eventCulprits = 2

// AlertCulprits returns what went on on the host of an alert when it opened. Where that is not known, the error matches saba.ErrNotFound.
func (db *DB) AlertCulprits(ctx context.Context, org, id string) (c saba.Culprits, err error) {
	err = db.view(ctx, "read the culprits of an alert", func(tx *sql.Tx) error {
		if _, err := readAlert(ctx, tx, org, id); err != nil {
			return err
		}
		c, err = readCulprits(ctx, tx, id)
		return err
	})
	return c, err
}

func readCulprits(ctx context.Context, tx *sql.Tx, alert string) (saba.Culprits, error) {
	return one(tx.QueryRowContext(ctx, `SELECT doc FROM alert_culprits WHERE alert = ?`, alert), func(row scanner) (c saba.Culprits, err error) {
		var doc []byte
		if err := row.Scan(&doc); err != nil {
			return c, err
		}
		if err := json.Unmarshal(doc, &c); err != nil {
			return c, fmt.Errorf("the culprits of alert %q as stored: %w", alert, err)
		}
		return c, nil
	}, "alert %q has no culprits", alert)
}

// freezeCulprits keeps with a new alert what its host's agent has said last, if that is recent.
func freezeCulprits(ctx context.Context, tx *sql.Tx, a saba.Alert) error {
	if a.Host == "" {
		return nil
	}
	m, err := one(tx.QueryRowContext(ctx, `SELECT namespace, value, updated_at FROM host_metadata WHERE host = ? AND namespace = ? AND updated_at BETWEEN ? AND ?`,
		a.Host, saba.CulpritsNamespace, a.OpenedAt-saba.CulpritsWithin, a.OpenedAt+saba.CulpritsWithin), scanMetadata, "no culprits")
	if errors.Is(err, saba.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	doc, ok, err := culpritsDoc(m)
	if err != nil || !ok {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO alert_culprits (alert, doc) VALUES (?, ?)`, a.ID, doc)
	return err
}

// offerCulprits keeps what an agent says with those open alerts of its host that opened shortly before and have none.
func offerCulprits(ctx context.Context, tx *sql.Tx, host string, m saba.Metadata) error {
	if host == "" || m.Namespace != saba.CulpritsNamespace {
		return nil
	}
	doc, ok, err := culpritsDoc(m)
	if err != nil || !ok {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO alert_culprits (alert, doc) SELECT id, CAST(? AS TEXT) FROM alerts
		WHERE closed_at = 0 AND host = ? AND opened_at BETWEEN ? AND ? ON CONFLICT (alert) DO NOTHING`,
		doc, host, m.UpdatedAt-saba.CulpritsWithin, m.UpdatedAt+saba.CulpritsWithin)
	return err
}

// culpritsDoc returns a document as it is kept with alerts; ok is false for one that makes no sense, which is kept as metadata alone. Its
// time is that of this server, as the clock of a strained host may be anywhere.
func culpritsDoc(m saba.Metadata) (doc string, ok bool, err error) {
	c, err := saba.ParseCulprits(m.Value)
	if err != nil {
		return "", false, nil
	}
	c.At = m.UpdatedAt
	b, err := json.Marshal(c)
	return string(b), err == nil, err
}

// describeCulprits fills in the culprits of an event's alert, if there are any.
func describeCulprits(ctx context.Context, tx *sql.Tx, e *saba.Event) error {
	if e.Alert.Host == "" || e.Alert.Status == saba.CheckOK {
		return nil
	}
	c, err := readCulprits(ctx, tx, e.Alert.ID)
	if errors.Is(err, saba.ErrNotFound) {
		return nil
	}
	c = c.Brief(eventCulprits)
	e.Culprits = &c
	return err
}
