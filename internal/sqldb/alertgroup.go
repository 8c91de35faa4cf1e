package sqldb

import (
	"context"
	"database/sql"

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
