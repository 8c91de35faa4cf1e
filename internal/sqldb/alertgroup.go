package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/saba-monitor/saba"
)

var alertGroups = shelfOf[saba.AlertGroupSetting]{"alert_group_settings", "alert group setting", 1000}

// AlertGroupSettings returns the alert group settings of an organization, oldest first.
func (db *DB) AlertGroupSettings(ctx context.Context, org string) ([]saba.AlertGroupSetting, error) {
	return allOf(ctx, db, alertGroups, org)
}

// AlertGroupSetting returns the alert group setting with an id.
func (db *DB) AlertGroupSetting(ctx context.Context, org, id string) (saba.AlertGroupSetting, error) {
	return oneOf(ctx, db, alertGroups, org, id)
}

// CreateAlertGroupSetting keeps a new setting, whose ID the caller chose. What its scopes name must exist; the
// error matches saba.ErrInvalid.
func (db *DB) CreateAlertGroupSetting(ctx context.Context, org string, s saba.AlertGroupSetting) error {
	return db.change(ctx, "create an alert group setting", func(tx *sql.Tx) error {
		if err := checkAlertGroup(ctx, tx, org, s); err != nil {
			return err
		}
		return alertGroups.insert(ctx, tx, org, s.ID, s, "")
	})
}

// UpdateAlertGroupSetting replaces a setting by what change makes of it, and returns that.
func (db *DB) UpdateAlertGroupSetting(ctx context.Context, org, id string, change func(old saba.AlertGroupSetting) (saba.AlertGroupSetting, error)) (saba.AlertGroupSetting, error) {
	return updateOne(ctx, db, alertGroups, org, id, change, "", func(tx *sql.Tx, s saba.AlertGroupSetting) ([]any, error) {
		return nil, checkAlertGroup(ctx, tx, org, s)
	})
}

// DeleteAlertGroupSetting deletes a setting and returns it as it was.
func (db *DB) DeleteAlertGroupSetting(ctx context.Context, org, id string) (s saba.AlertGroupSetting, err error) {
	err = db.change(ctx, "delete an alert group setting", func(tx *sql.Tx) error {
		s, err = alertGroups.remove(ctx, tx, org, id)
		return err
	})
	return s, err
}

func checkAlertGroup(ctx context.Context, tx *sql.Tx, org string, s saba.AlertGroupSetting) error {
	if err := checkServices(ctx, tx, org, "serviceScopes", s.ServiceScopes); err != nil {
		return err
	}
	if err := checkScopes(ctx, tx, org, "roleScopes", s.RoleScopes); err != nil {
		return err
	}
	return checkWatched(ctx, tx, org, "monitorScopes", s.MonitorScopes)
}

// groupAlert lets groups of alerts follow a step of an alert: one that opens joins a group of each setting that collects it, and a
// group has the worst status of its open alerts, and closes when all are closed. Each change of a group is an event.
func groupAlert(ctx context.Context, tx *sql.Tx, org string, e saba.Event) error {
	settings, err := alertGroups.all(ctx, tx, org)
	if err != nil {
		return err
	}
	for i := range settings {
		s := &settings[i]
		if !e.Alert.Open() || !s.Collects(e.Alert.Monitor, e.Roles(), e.ServiceName()) {
			continue
		}
		// There is one open group of a setting; a new one is named after the alert that began it.
		id := s.ID + "-" + e.Alert.ID
		open, err := one(tx.QueryRowContext(ctx, `SELECT id FROM alert_groups WHERE org = ? AND setting = ? AND closed_at = 0`, org, s.ID), scanString, "no open group")
		switch {
		case err == nil:
			id = open
		case errors.Is(err, saba.ErrNotFound):
			_, err = tx.ExecContext(ctx, `INSERT INTO alert_groups (id, org, setting, status, opened_at, closed_at) VALUES (?, ?, ?, ?, ?, 0)`,
				id, org, s.ID, string(saba.CheckOK), e.Alert.OpenedAt)
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO alert_group_alerts (alert_group, alert) VALUES (?, ?) ON CONFLICT DO NOTHING`, id, e.Alert.ID); err != nil {
			return err
		}
	}
	holding, err := list(ctx, tx, scanAlertGroup, `SELECT `+alertGroupColumns+` FROM alert_groups g WHERE closed_at = 0
		AND EXISTS (SELECT 1 FROM alert_group_alerts m WHERE m.alert_group = g.id AND m.alert = ?)`, e.Alert.ID)
	if err != nil {
		return err
	}
	for _, g := range holding {
		if err := moveGroup(ctx, tx, org, g, e); err != nil {
			return err
		}
	}
	return nil
}

const alertGroupColumns = `id, setting, status, opened_at, closed_at`

func scanAlertGroup(row scanner) (g saba.AlertGroup, err error) {
	err = row.Scan(&g.ID, &g.Setting, &g.Status, &g.OpenedAt, &g.ClosedAt)
	return g, err
}

// moveGroup gives a group the status that its alerts make, and keeps an event if that is another one.
func moveGroup(ctx context.Context, tx *sql.Tx, org string, g saba.AlertGroup, e saba.Event) error {
	members, err := withMembers(ctx, tx, &g)
	if err != nil {
		return err
	}
	status, open := saba.CheckOK, false
	for _, a := range members {
		open = open || a.Open()
		if a.Status.Severity() > status.Severity() {
			status = a.Status
		}
	}
	if status == g.Status && open {
		return nil
	}
	g.Status = status
	if !open {
		g.ClosedAt = max(e.At, g.OpenedAt)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE alert_groups SET status = ?, closed_at = ? WHERE id = ?`, string(g.Status), g.ClosedAt, g.ID); err != nil {
		return err
	}
	return addGroupEvent(ctx, tx, org, g, e)
}

// withMembers fills in what a group says of its alerts, and returns these.
func withMembers(ctx context.Context, tx *sql.Tx, g *saba.AlertGroup) ([]saba.Alert, error) {
	members, err := list(ctx, tx, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE id IN (SELECT alert FROM alert_group_alerts WHERE alert_group = ?) ORDER BY opened_at, id`, g.ID)
	g.Alerts, g.Worst = nil, saba.CheckOK
	for _, a := range members {
		g.Alerts = append(g.Alerts, a.ID)
		if a.Worst.Severity() > g.Worst.Severity() {
			g.Worst = a.Worst
		}
	}
	return members, err
}

// addGroupEvent keeps an event of a group; e is that of the alert that moved it.
func addGroupEvent(ctx context.Context, tx *sql.Tx, org string, g saba.AlertGroup, e saba.Event) error {
	s, err := alertGroups.read(ctx, tx, org, g.Setting)
	if errors.Is(err, saba.ErrNotFound) {
		return nil // nobody wants to hear of it any more
	}
	if err != nil {
		return err
	}
	e.Kind, e.Subject, e.Group, e.Setting = saba.EventAlertGroup, g.ID, &g, &s
	if e.GroupAlerts, err = describeGroupAlerts(ctx, tx, org, g.ID); err != nil {
		return fmt.Errorf("describe the alerts of group %q: %w", g.ID, err)
	}
	return addEvent(ctx, tx, org, e)
}

// describeGroupAlerts returns what an event says of the alerts of a group: the open ones first, of these the worst, and of alike ones the newest.
func describeGroupAlerts(ctx context.Context, tx *sql.Tx, org, group string) ([]saba.GroupAlert, error) {
	alerts, err := list(ctx, tx, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE id IN (SELECT alert FROM alert_group_alerts WHERE alert_group = ?)
		ORDER BY CASE closed_at WHEN 0 THEN 0 ELSE 1 END, CASE status WHEN 'UNKNOWN' THEN 1 WHEN 'CRITICAL' THEN 0 WHEN 'WARNING' THEN 2 ELSE 3 END, opened_at DESC, id DESC LIMIT ?`,
		group, saba.MaxGroupAlerts)
	if err != nil {
		return nil, err
	}
	rules, hosts := map[string]saba.Monitor{}, map[string]string{} // what was read already
	members := make([]saba.GroupAlert, len(alerts))
	for i, a := range alerts {
		m := saba.GroupAlert{ID: a.ID, Status: a.Status, Host: a.Host, Message: a.Message, OpenedAt: a.OpenedAt, ClosedAt: a.ClosedAt}
		rule, known := rules[a.Monitor]
		if !known {
			if a.Type == saba.AlertCheck {
				rule.Name, err = one(tx.QueryRowContext(ctx, `SELECT name FROM checks WHERE id = ?`, a.Monitor), scanString, "no check %q", a.Monitor)
			} else {
				rule, err = monitors.read(ctx, tx, org, a.Monitor)
			}
			if err != nil && !errors.Is(err, saba.ErrNotFound) {
				return nil, err
			}
			rules[a.Monitor] = rule
		}
		m.Rule = rule.NameFor(a.Series)
		if name, known := hosts[a.Host]; known || a.Host == "" {
			m.HostName = name
		} else {
			h, err := readHost(ctx, tx, org, a.Host)
			if err != nil && !errors.Is(err, saba.ErrNotFound) {
				return nil, err
			}
			m.HostName = h.Label()
			hosts[a.Host] = m.HostName
		}
		members[i] = m
	}
	return members, nil
}

// OpenAlertGroups returns the groups of alerts that are open, oldest first.
func (db *DB) OpenAlertGroups(ctx context.Context, org string) (all []saba.AlertGroup, err error) {
	err = db.view(ctx, "list open groups of alerts", func(tx *sql.Tx) error {
		all, err = list(ctx, tx, scanAlertGroup, `SELECT `+alertGroupColumns+` FROM alert_groups WHERE org = ? AND closed_at = 0 ORDER BY opened_at, id`, org)
		for i := range all {
			if err == nil {
				_, err = withMembers(ctx, tx, &all[i])
			}
		}
		return err
	})
	return all, err
}

// Grouped says whether an alert belongs to a group of alerts, open or closed, whose setting is there.
func (db *DB) Grouped(ctx context.Context, org, alert string) (yes bool, err error) {
	err = db.view(ctx, "look up the groups of an alert", func(tx *sql.Tx) error {
		yes, err = exists(ctx, tx, `SELECT count(*) FROM alert_group_alerts m JOIN alert_groups g ON g.id = m.alert_group JOIN alert_group_settings s ON s.id = g.setting
			WHERE g.org = ? AND m.alert = ?`, org, alert)
		return err
	})
	return yes, err
}
