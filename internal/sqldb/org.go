package sqldb

import (
	"context"
	"database/sql"
	"errors"

	"github.com/saba-monitor/saba"
)

const orgColumns = `id, name, display_name`

func scanOrg(row scanner) (o saba.Org, err error) {
	err = row.Scan(&o.ID, &o.Name, &o.DisplayName)
	return o, err
}

// EnsureOrg returns the first organization; it makes it from o if there is none.
func (db *DB) EnsureOrg(ctx context.Context, o saba.Org) (first saba.Org, err error) {
	err = db.change(ctx, "look for the organization", func(tx *sql.Tx) error {
		first, err = scanOrg(tx.QueryRowContext(ctx, `SELECT `+orgColumns+` FROM orgs ORDER BY id LIMIT 1`))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		first = o
		if _, err = tx.ExecContext(ctx, `INSERT INTO orgs (`+orgColumns+`) VALUES (?, ?, ?)`, o.ID, o.Name, o.DisplayName); err != nil {
			return err
		}
		return furnish(ctx, tx, o.ID)
	})
	return first, err
}

// furnish gives a new organization what each has from the start, under the organization's own id: a
// default notification group, and a monitor that says when a host is gone.
func furnish(ctx context.Context, tx *sql.Tx, org string) error {
	group := saba.NotificationGroup{ID: org, Default: true, Name: saba.DefaultGroupName, Level: saba.NotifyAll}
	if err := groups.insert(ctx, tx, org, org, group, "is_default", 1); err != nil {
		return err
	}
	m := saba.Monitor{ID: org, Type: saba.MonitorConnectivity}
	m.Default()
	return monitors.insert(ctx, tx, org, org, m, "")
}

// Org returns the organization with an id.
func (db *DB) Org(ctx context.Context, id string) (saba.Org, error) {
	o, err := one(db.reader.QueryRowContext(ctx, `SELECT `+orgColumns+` FROM orgs WHERE id = ?`, id), scanOrg, "no organization %q", id)
	return o, failed(ctx, "read an organization", err)
}
