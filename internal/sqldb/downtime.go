package sqldb

import (
	"context"
	"database/sql"

	"github.com/saba-monitor/saba"
)

var downtimes = shelfOf[saba.Downtime]{"downtimes", "downtime", 10_000}

// Downtimes returns the downtimes of an organization, oldest first.
func (db *DB) Downtimes(ctx context.Context, org string) ([]saba.Downtime, error) {
	return allOf(ctx, db, downtimes, org)
}

// CreateDowntime keeps a new downtime, whose ID the caller chose. What its scopes name must exist; the error
// matches saba.ErrInvalid.
func (db *DB) CreateDowntime(ctx context.Context, org string, d saba.Downtime) error {
	return db.change(ctx, "create a downtime", func(tx *sql.Tx) error {
		if err := checkDowntime(ctx, tx, org, d); err != nil {
			return err
		}
		return downtimes.insert(ctx, tx, org, d.ID, d, "")
	})
}

// UpdateDowntime replaces a downtime by what change makes of it, and returns that.
func (db *DB) UpdateDowntime(ctx context.Context, org, id string, change func(old saba.Downtime) (saba.Downtime, error)) (saba.Downtime, error) {
	return updateOne(ctx, db, downtimes, org, id, change, "", func(tx *sql.Tx, d saba.Downtime) ([]any, error) {
		return nil, checkDowntime(ctx, tx, org, d)
	})
}

// DeleteDowntime deletes a downtime and returns it as it was.
func (db *DB) DeleteDowntime(ctx context.Context, org, id string) (d saba.Downtime, err error) {
	err = db.change(ctx, "delete a downtime", func(tx *sql.Tx) error {
		d, err = downtimes.remove(ctx, tx, org, id)
		return err
	})
	return d, err
}

func checkDowntime(ctx context.Context, tx *sql.Tx, org string, d saba.Downtime) error {
	for _, s := range []struct {
		field string
		names []string
	}{{"serviceScopes", d.ServiceScopes}, {"serviceExcludeScopes", d.ServiceExcludeScopes}} {
		if err := checkServices(ctx, tx, org, s.field, s.names); err != nil {
			return err
		}
	}
	for _, s := range []struct {
		field string
		roles []saba.Scope
	}{{"roleScopes", d.RoleScopes}, {"roleExcludeScopes", d.RoleExcludeScopes}} {
		if err := checkScopes(ctx, tx, org, s.field, s.roles); err != nil {
			return err
		}
	}
	if err := checkWatched(ctx, tx, org, "monitorScopes", d.MonitorScopes); err != nil {
		return err
	}
	return checkWatched(ctx, tx, org, "monitorExcludeScopes", d.MonitorExcludeScopes)
}
