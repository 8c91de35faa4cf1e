package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/saba-monitor/saba"
)

// Of each check the newest keptReports reports are kept, and up to sweepReports more until
// they are swept away together: to look for the oldest each time would cost more than the
// report. A check that runs each minute and fails all the time fills them in 16 hours; one that
// is well reports rarely, because agents do not repeat an OK.
const (
	keptReports  = 1000
	sweepReports = 100
)

// maxChecks is how many checks a host has at most, by reports: the API takes as many declarations. A
// program that makes up a name for each report must not fill the database.
const maxChecks = 1000

// checkQuery reads checks with their newest report: the one that occurred last, whenever it
// arrived. A condition on c (checks) or h (hosts) follows it.
const checkQuery = `SELECT c.id, c.host, c.name, c.memo,
		r.status, r.message, r.occurred_at, r.notification_interval, r.max_check_attempts
	FROM checks c
	JOIN hosts h ON h.id = c.host
	LEFT JOIN check_reports r ON r.check_id = c.id
		AND r.occurred_at = (SELECT max(occurred_at) FROM check_reports WHERE check_id = c.id)
	WHERE `

func scanCheck(row scanner) (c saba.Check, err error) {
	var status, message sql.NullString
	var occurredAt, interval, attempts sql.NullInt64
	err = row.Scan(&c.ID, &c.Host, &c.Name, &c.Memo, &status, &message, &occurredAt, &interval, &attempts)
	if status.Valid {
		c.Latest = saba.CheckReport{
			Host: c.Host, Name: c.Name, Status: saba.CheckStatus(status.String), Message: message.String,
			OccurredAt: occurredAt.Int64, NotificationInterval: interval.Int64, MaxCheckAttempts: attempts.Int64,
		}
	}
	return c, err
}

// declareChecks makes the checks of a host those that are listed: missing ones are made under
// ids from newID, others get the memo, and those that are not listed are deleted with their
// reports, unless they have an open alert. Of two of one name the last counts.
func declareChecks(ctx context.Context, tx *sql.Tx, org, host string, checks []saba.CheckDeclaration, newID func() (string, error)) error {
	known, err := list(ctx, tx, func(row scanner) (c saba.Check, err error) {
		err = row.Scan(&c.ID, &c.Name, &c.Memo)
		return c, err
	}, `SELECT id, name, memo FROM checks WHERE host = ?`, host)
	if err != nil {
		return err
	}
	wanted := make(map[string]string, len(checks)) // memo by name
	for _, c := range checks {
		wanted[c.Name] = c.Memo
	}
	for _, k := range known {
		memo, keep := wanted[k.Name]
		delete(wanted, k.Name)
		switch {
		case !keep:
			_, err = tx.ExecContext(ctx, `DELETE FROM checks WHERE id = ? AND NOT EXISTS
				(SELECT 1 FROM alerts WHERE alerts.org = ? AND alerts.monitor = checks.id AND alerts.closed_at = 0)`, k.ID, org)
		case memo != k.Memo:
			_, err = tx.ExecContext(ctx, `UPDATE checks SET memo = ? WHERE id = ?`, memo, k.ID)
		}
		if err != nil {
			return err
		}
	}
	for _, c := range checks { // in the order in which they were listed, so that ids follow it
		memo, missing := wanted[c.Name]
		if !missing {
			continue
		}
		delete(wanted, c.Name)
		if _, err := createCheck(ctx, tx, org, saba.Check{Host: host, Name: c.Name, Memo: memo}, newID); err != nil {
			return err
		}
	}
	return nil
}

func createCheck(ctx context.Context, tx *sql.Tx, org string, c saba.Check, newID func() (string, error)) (id string, err error) {
	// Ids are made of the time and a few random bits. Where many checks are made in the same millisecond, as
	// a host declares hundreds, two may be alike.
	for range 10 {
		if id, err = newID(); err != nil {
			return "", err
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO checks (id, org, host, name, memo, report_count) VALUES (?, ?, ?, ?, ?, 0)
			ON CONFLICT (id) DO NOTHING`, id, org, c.Host, c.Name, c.Memo)
		if err != nil {
			return "", err
		}
		if made, err := result.RowsAffected(); err != nil || made > 0 {
			return id, err
		}
	}
	return "", fmt.Errorf("make a check %q: every new id is taken already, the last was %q", c.Name, id)
}

// ReportChecks keeps reports. A report of a check that is not known makes the check, under an id
// from newID. Ignored without an error are a second report of the same host, name and time,
// and reports of hosts that are unknown or retired. Of each check at least the newest 1,000
// reports are kept, and at most 1,100. A report that would give a host more than 1,000 checks is left
// out; the others are kept, and the error matches saba.ErrInvalid.
func (db *DB) ReportChecks(ctx context.Context, org string, reports []saba.CheckReport, newID func() (string, error)) error {
	var full error // the first
	err := db.change(ctx, "keep check reports", func(tx *sql.Tx) error {
		full = nil
		for _, r := range reports {
			err := reportCheck(ctx, tx, org, r, newID)
			if errors.Is(err, saba.ErrInvalid) {
				full = cmp.Or(full, err)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return cmp.Or(err, full)
}

func reportCheck(ctx context.Context, tx *sql.Tx, org string, r saba.CheckReport, newID func() (string, error)) error {
	id, err := scanString(tx.QueryRowContext(ctx, `SELECT c.id FROM checks c JOIN hosts h ON h.id = c.host
		WHERE c.host = ? AND c.name = ? AND c.org = ? AND h.retired_at = 0`, r.Host, r.Name, org))
	if errors.Is(err, sql.ErrNoRows) {
		_, err = readLiveHost(ctx, tx, org, r.Host)
		if errors.Is(err, saba.ErrNotFound) || errors.Is(err, saba.ErrInvalid) {
			return nil
		}
		if err != nil {
			return err
		}
		var known int64
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM checks WHERE host = ?`, r.Host).Scan(&known); err != nil {
			return err
		}
		if known >= maxChecks {
			return saba.Errorf(saba.ErrInvalid, "host %q has %d checks, which is the most: the report of another one, %q, was not kept", r.Host, known, r.Name)
		}
		id, err = createCheck(ctx, tx, org, saba.Check{Host: r.Host, Name: r.Name}, newID)
	}
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO check_reports
		(check_id, occurred_at, status, message, notification_interval, max_check_attempts) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		id, r.OccurredAt, string(r.Status), r.Message, r.NotificationInterval, r.MaxCheckAttempts)
	if err != nil {
		return err
	}
	if added, err := result.RowsAffected(); err != nil || added == 0 {
		return err
	}
	deferred, err := judgeCheck(ctx, tx, org, id, r, r.OccurredAt, newID)
	if err != nil {
		return err
	}
	var count int64
	if err := tx.QueryRowContext(ctx, `UPDATE checks SET report_count = report_count + 1, deferred = CASE WHEN EXISTS
		(SELECT 1 FROM check_reports n WHERE n.check_id = checks.id AND n.occurred_at > ?) THEN deferred ELSE ? END WHERE id = ? RETURNING report_count`,
		r.OccurredAt, bit(deferred), id).Scan(&count); err != nil {
		return err
	}
	if count <= keptReports+sweepReports {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM check_reports WHERE check_id = ? AND occurred_at <=
		(SELECT occurred_at FROM check_reports WHERE check_id = ? ORDER BY occurred_at DESC LIMIT 1 OFFSET ?)`, id, id, keptReports); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE checks SET report_count = ? WHERE id = ?`, keptReports, id)
	return err
}

// judgeCheck lets the alert of a check follow a report that is kept, if it is the newest, as of a time in Unix seconds. deferred says that it was left for
// later: agents report a check when its status changes, so that none may come when the downtime ends or the host is in service again.
func judgeCheck(ctx context.Context, tx *sql.Tx, org, id string, r saba.CheckReport, at int64, newID func() (string, error)) (deferred bool, err error) {
	h, err := readHost(ctx, tx, org, r.Host)
	if err != nil {
		return false, err
	}
	open, err := list(ctx, tx, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE org = ? AND monitor = ? AND closed_at = 0`, org, id)
	if err != nil {
		return false, err
	}
	if len(open) == 0 && r.Status == saba.CheckOK {
		return false, nil // as most often
	}
	if h.Status == saba.Maintenance || h.Status == saba.Poweroff {
		return true, nil
	}
	reports, err := list(ctx, tx, func(row scanner) (r saba.CheckReport, err error) {
		err = row.Scan(&r.Status, &r.OccurredAt, &r.MaxCheckAttempts)
		return r, err
	}, `SELECT status, occurred_at, max_check_attempts FROM check_reports WHERE check_id = ? ORDER BY occurred_at DESC LIMIT ?`, id, keptReports)
	if err != nil {
		return false, err
	}
	if reports[0].OccurredAt > r.OccurredAt {
		return false, nil // a newer one was judged
	}
	status := saba.CheckStatus("")
	if len(open) > 0 {
		status = open[0].Status
	}
	if len(open) == 0 {
		if deferred, err = inDowntime(ctx, tx, org, id, h, at); err != nil {
			return false, err
		}
	}
	var memo string
	if err := tx.QueryRowContext(ctx, `SELECT memo FROM checks WHERE id = ?`, id).Scan(&memo); err != nil {
		return false, err
	}
	detail := &saba.AlertDetail{Message: r.Message, Memo: memo}
	switch to := saba.JudgeReports(reports, status, deferred); {
	case to == "":
		return deferred, nil
	case len(open) == 0:
		alert, err := newID()
		if err != nil {
			return false, err
		}
		return false, openAlert(ctx, tx, org, saba.Alert{ID: alert, Status: to, Monitor: id, Type: saba.AlertCheck, Host: r.Host, Message: r.Message, OpenedAt: at}, detail)
	case to == status:
		_, err := tx.ExecContext(ctx, `UPDATE alerts SET message = ? WHERE id = ?`, r.Message, open[0].ID)
		return false, err
	default:
		_, err := moveAlert(ctx, tx, org, open[0], saba.AlertMove{At: at, Status: to, Trigger: saba.TriggerMonitoring, Message: r.Message, Detail: detail})
		return false, err
	}
}

// DeferredChecks returns the checks whose newest report was left for later, in order of their ids: it came in a downtime, or while the host's status
// was such that nothing is judged of it.
func (db *DB) DeferredChecks(ctx context.Context, org string) (checks []saba.Check, err error) {
	err = db.view(ctx, "list checks that were left for later", func(tx *sql.Tx) error {
		checks, err = list(ctx, tx, scanCheck, checkQuery+`c.org = ? AND c.deferred = 1 AND h.retired_at = 0 ORDER BY c.id`, org)
		return err
	})
	return checks, err
}

// JudgeCheck judges the newest report of a check as of a time in Unix seconds, if it was left for later. Its alert, if that opens one, gets an id
// from newID.
func (db *DB) JudgeCheck(ctx context.Context, org, id string, at int64, newID func() (string, error)) error {
	return db.change(ctx, "judge a check again", func(tx *sql.Tx) error {
		c, err := one(tx.QueryRowContext(ctx, checkQuery+`c.org = ? AND c.id = ? AND c.deferred = 1`, org, id), scanCheck, "no check %q that was left for later", id)
		if errors.Is(err, saba.ErrNotFound) {
			return nil // it was judged in the meantime, or is gone
		}
		if err != nil {
			return err
		}
		deferred, err := judgeCheck(ctx, tx, org, id, c.Latest, at, newID)
		if err != nil || deferred {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE checks SET deferred = 0 WHERE id = ?`, id)
		return err
	})
}

// inDowntime says whether a downtime is under way at a time that is for a check of a host.
func inDowntime(ctx context.Context, tx *sql.Tx, org, id string, h saba.Host, at int64) (bool, error) {
	all, err := downtimes.all(ctx, tx, org)
	if err != nil || len(all) == 0 {
		return false, err
	}
	if err := withRoles(ctx, tx, &h); err != nil {
		return false, err
	}
	return slices.ContainsFunc(all, func(d saba.Downtime) bool { return d.Active(at, time.Local) && d.Covers(id, h.Roles, "") }), nil
}

// Checks returns the checks of a host by name, also of a retired one.
func (db *DB) Checks(ctx context.Context, org, host string) (checks []saba.Check, err error) {
	err = db.view(ctx, "list the checks of a host", func(tx *sql.Tx) error {
		if _, err := readHost(ctx, tx, org, host); err != nil {
			return err
		}
		checks, err = list(ctx, tx, scanCheck, checkQuery+`c.host = ? ORDER BY c.name`, host)
		return err
	})
	return checks, err
}

// CheckList returns at most limit checks of an organization's live hosts in order of their ids,
// from the first with id >= fromID on.
func (db *DB) CheckList(ctx context.Context, org, fromID string, limit int) (checks []saba.Check, err error) {
	err = db.view(ctx, "list checks", func(tx *sql.Tx) error {
		checks, err = list(ctx, tx, scanCheck, checkQuery+`c.org = ? AND c.id >= ? AND h.retired_at = 0 ORDER BY c.id LIMIT ?`, org, fromID, limit)
		return err
	})
	return checks, err
}

// Check returns the check with an id, also of a retired host.
func (db *DB) Check(ctx context.Context, org, id string) (saba.Check, error) {
	c, err := one(db.reader.QueryRowContext(ctx, checkQuery+`c.org = ? AND c.id = ?`, org, id), scanCheck, "no check %q", id)
	return c, failed(ctx, "read a check", err)
}
