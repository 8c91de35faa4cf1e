package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

const alertColumns = `id, status, monitor, type, host, series, value, message, reason, memo, opened_at, closed_at,
	worst, acked_by, acked_at, assignee, muted_until, depends`

func scanAlert(row scanner) (a saba.Alert, err error) {
	var series string
	var value sql.NullFloat64
	if err := row.Scan(&a.ID, &a.Status, &a.Monitor, &a.Type, &a.Host, &series, &value, &a.Message, &a.Reason, &a.Memo, &a.OpenedAt, &a.ClosedAt,
		&a.Worst, &a.Handling.AckedBy, &a.Handling.AckedAt, &a.Handling.Assignee, &a.Handling.MutedUntil, &a.Depends); err != nil {
		return saba.Alert{}, err
	}
	if value.Valid {
		a.Value = &value.Float64
	}
	if series == "" {
		return a, nil
	}
	if err := json.Unmarshal([]byte(series), &a.Series); err != nil {
		return saba.Alert{}, fmt.Errorf("the series of alert %q as stored: %w", a.ID, err)
	}
	return a, nil
}

func readAlert(ctx context.Context, tx *sql.Tx, org, id string) (saba.Alert, error) {
	return one(tx.QueryRowContext(ctx, `SELECT `+alertColumns+` FROM alerts WHERE org = ? AND id = ?`, org, id), scanAlert, "no alert %q", id)
}

// OpenAlert keeps a new alert, whose ID the caller chose, and its first log entry. a.Status is not OK; the log has
// the alert's status, value and time of opening. An open alert of the same rule and target is an error matching
// saba.ErrConflict.
func (db *DB) OpenAlert(ctx context.Context, org string, a saba.Alert, detail *saba.AlertDetail) error {
	return db.change(ctx, "open an alert", func(tx *sql.Tx) error {
		return openAlert(ctx, tx, org, a, detail)
	})
}

func openAlert(ctx context.Context, tx *sql.Tx, org string, a saba.Alert, detail *saba.AlertDetail) error {
	series := ""
	if a.Series.Name != "" || len(a.Series.Labels) > 0 {
		b, err := json.Marshal(a.Series) // the keys of a map are written in order, so that like series meet
		if err != nil {
			return err
		}
		series = string(b)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO alerts (org, `+alertColumns+`) VALUES (`+marks(19)+`)`,
		org, a.ID, string(a.Status), a.Monitor, a.Type, a.Host, series, a.Value, a.Message, "", a.Memo, a.OpenedAt, 0, string(a.Status), "", 0, "", 0, a.Depends)
	if isTaken(err) {
		return saba.Errorf(saba.ErrConflict, "monitor %q has an open alert for this target already", a.Monitor)
	}
	if err != nil {
		return err
	}
	if err := freezeCulprits(ctx, tx, a); err != nil {
		return err
	}
	a.Worst = a.Status
	move := saba.AlertMove{At: a.OpenedAt, Status: a.Status, Trigger: saba.TriggerMonitoring, Value: a.Value, Detail: detail}
	if err := logAlert(ctx, tx, a.ID, move); err != nil {
		return err
	}
	return addAlertEvent(ctx, tx, org, a, move)
}

// MoveAlert lets an alert take a step, and returns what it is then. A closed one stays as it is.
func (db *DB) MoveAlert(ctx context.Context, org, id string, move saba.AlertMove) (a saba.Alert, err error) {
	err = db.change(ctx, "move an alert", func(tx *sql.Tx) error {
		if a, err = readAlert(ctx, tx, org, id); err != nil || !a.Open() {
			return err
		}
		a, err = moveAlert(ctx, tx, org, a, move)
		return err
	})
	return a, err
}

func moveAlert(ctx context.Context, tx *sql.Tx, org string, a saba.Alert, move saba.AlertMove) (saba.Alert, error) {
	a.Status, a.Reason = move.Status, move.Reason
	if a.Status.Severity() > a.Worst.Severity() {
		a.Worst = a.Status
	}
	if move.Value != nil {
		a.Value = move.Value
	}
	if move.Message != "" {
		a.Message = move.Message
	}
	if move.Status == saba.CheckOK {
		a.ClosedAt = max(move.At, a.OpenedAt) // a clock that was set back closes nothing before it opened
	}
	if _, err := tx.ExecContext(ctx, `UPDATE alerts SET status = ?, value = ?, message = ?, reason = ?, closed_at = ?, worst = ? WHERE id = ?`,
		string(a.Status), a.Value, a.Message, a.Reason, a.ClosedAt, string(a.Worst), a.ID); err != nil {
		return a, err
	}
	if err := logAlert(ctx, tx, a.ID, move); err != nil {
		return a, err
	}
	return a, addAlertEvent(ctx, tx, org, a, move)
}

func logAlert(ctx context.Context, tx *sql.Tx, id string, move saba.AlertMove) error {
	detail := ""
	if move.Detail != nil {
		b, err := json.Marshal(move.Detail)
		if err != nil {
			return err
		}
		detail = string(b)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO alert_logs (alert, seq, created_at, status, cause, value, detail)
		SELECT ?, coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ? FROM alert_logs WHERE alert = ?`,
		id, move.At, string(move.Status), string(move.Trigger), move.Value, detail, id)
	return err
}

// closeAlerts closes the open alerts of an organization whose column, monitor or host, has an id.
func closeAlerts(ctx context.Context, tx *sql.Tx, move saba.AlertMove, org, column, id string) error {
	open, err := list(ctx, tx, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE closed_at = 0 AND org = ? AND `+column+` = ?`, org, id)
	if err != nil {
		return err
	}
	for _, a := range open {
		if _, err := moveAlert(ctx, tx, org, a, move); err != nil {
			return err
		}
	}
	return nil
}

// Alerts returns alerts of an organization, those opened last first. A page that begins at an alert that does not
// exist is an error matching saba.ErrInvalid.
func (db *DB) Alerts(ctx context.Context, org string, p saba.AlertPage) (alerts []saba.Alert, err error) {
	err = db.view(ctx, "list alerts", func(tx *sql.Tx) error {
		where, args := `org = ?`, []any{org}
		if !p.Closed {
			where += ` AND closed_at = 0`
		}
		if p.From != "" {
			from, err := readAlert(ctx, tx, org, p.From)
			if err != nil && !errors.Is(err, saba.ErrNotFound) {
				return err
			}
			if err != nil {
				return saba.Invalidf("nextId", "must be what the page before gave: there is no alert %q", p.From)
			}
			where += ` AND (opened_at < ? OR opened_at = ? AND id <= ?)`
			args = append(args, from.OpenedAt, from.OpenedAt, from.ID)
		}
		alerts, err = list(ctx, tx, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE `+where+` ORDER BY opened_at DESC, id DESC LIMIT ?`, append(args, p.Limit)...)
		return err
	})
	return alerts, err
}

// EarlierAlerts returns at most limit alerts of the same rule and target that opened before an alert, and at or after a time in Unix seconds: the
// newest first.
func (db *DB) EarlierAlerts(ctx context.Context, org string, a saba.Alert, since int64, limit int) (alerts []saba.Alert, err error) {
	err = db.view(ctx, "list earlier alerts", func(tx *sql.Tx) error {
		alerts, err = list(ctx, tx, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE org = ? AND opened_at >= ? AND (opened_at < ? OR opened_at = ? AND id < ?)
			AND monitor = ? AND host = ? AND series = (SELECT series FROM alerts WHERE id = ?) ORDER BY opened_at DESC, id DESC LIMIT ?`,
			org, since, a.OpenedAt, a.OpenedAt, a.ID, a.Monitor, a.Host, a.ID, limit)
		return err
	})
	return alerts, err
}

// Alert returns the alert with an id.
func (db *DB) Alert(ctx context.Context, org, id string) (a saba.Alert, err error) {
	err = db.view(ctx, "read an alert", func(tx *sql.Tx) error {
		a, err = readAlert(ctx, tx, org, id)
		return err
	})
	return a, err
}

// SetAlertMemo writes the memo of an alert, open or closed.
func (db *DB) SetAlertMemo(ctx context.Context, org, id, memo string) error {
	return db.change(ctx, "write the memo of an alert", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE alerts SET memo = ? WHERE org = ? AND id = ?`, memo, org, id)
		return touched(result, err, "no alert %q", id)
	})
}

// HandleAlert lets people do something about an alert: change gets what was done so far, and returns what is done now. While the alert is open, that
// it was acknowledged or given to somebody, or is no longer, is an event.
func (db *DB) HandleAlert(ctx context.Context, org, id string, change func(saba.Handling) saba.Handling) (a saba.Alert, err error) {
	err = db.change(ctx, "handle an alert", func(tx *sql.Tx) error {
		if a, err = readAlert(ctx, tx, org, id); err != nil {
			return err
		}
		before := a.Handling
		a.Handling = change(before)
		_, err := tx.ExecContext(ctx, `UPDATE alerts SET acked_by = ?, acked_at = ?, assignee = ?, muted_until = ? WHERE id = ?`,
			a.Handling.AckedBy, a.Handling.AckedAt, a.Handling.Assignee, a.Handling.MutedUntil, id)
		if err != nil || !a.Open() {
			return err
		}
		return addHandlingEvents(ctx, tx, org, a, before)
	})
	return a, err
}

// AlertLogs returns at most limit steps of an alert, newest first, from the one with the id from on; "" means the newest.
func (db *DB) AlertLogs(ctx context.Context, org, id, from string, limit int) (logs []saba.AlertLog, err error) {
	err = db.view(ctx, "list the log of an alert", func(tx *sql.Tx) error {
		a, err := readAlert(ctx, tx, org, id)
		if err != nil {
			return err
		}
		where, args := `alert = ?`, []any{id}
		if from != "" {
			seq, err := strconv.ParseInt(strings.TrimPrefix(from, id), 10, 64)
			if err != nil || len(from) <= len(id) {
				return saba.Invalidf("nextId", "must be what the page before gave: alert %q has no log entry %q", id, from)
			}
			where += ` AND seq <= ?`
			args = append(args, seq)
		}
		known, err := exists(ctx, tx, `SELECT (SELECT count(*) FROM monitors WHERE id = ?) + (SELECT count(*) FROM checks WHERE id = ?)`, a.Monitor, a.Monitor)
		if err != nil {
			return err
		}
		logs, err = list(ctx, tx, func(row scanner) (l saba.AlertLog, err error) {
			l, err = scanAlertLog(row, id)
			if known {
				l.Monitor = a.Monitor
			}
			return l, err
		}, `SELECT seq, created_at, status, cause, value, detail FROM alert_logs WHERE `+where+` ORDER BY seq DESC LIMIT ?`, append(args, limit)...)
		return err
	})
	return logs, err
}

// scanAlertLog reads a step. Its id is that of the alert followed by its number, so that ids sort as steps follow each other.
func scanAlertLog(row scanner, alert string) (l saba.AlertLog, err error) {
	var seq int64
	var value sql.NullFloat64
	var detail string
	if err := row.Scan(&seq, &l.At, &l.Status, &l.Trigger, &value, &detail); err != nil {
		return l, err
	}
	l.ID = fmt.Sprintf("%s%06d", alert, seq)
	if value.Valid {
		l.Value = &value.Float64
	}
	if detail == "" {
		return l, nil
	}
	if err := json.Unmarshal([]byte(detail), &l.Detail); err != nil {
		return l, fmt.Errorf("log entry %q of an alert as stored: %w", l.ID, err)
	}
	return l, nil
}
