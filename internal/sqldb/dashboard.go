package sqldb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/saba-monitor/saba"
)

var dashboards = shelfOf[saba.Dashboard]{"dashboards", "dashboard", 1000}

// Dashboards returns the dashboards of an organization, oldest first.
func (db *DB) Dashboards(ctx context.Context, org string) ([]saba.Dashboard, error) {
	return allOf(ctx, db, dashboards, org)
}

// Dashboard returns the dashboard with an id.
func (db *DB) Dashboard(ctx context.Context, org, id string) (saba.Dashboard, error) {
	return oneOf(ctx, db, dashboards, org, id)
}

// CreateDashboard keeps a new dashboard, whose ID the caller chose. A path that another has is an error matching
// saba.ErrConflict, a widget that shows what does not exist one matching saba.ErrInvalid.
func (db *DB) CreateDashboard(ctx context.Context, org string, d saba.Dashboard) error {
	return pathTaken(d, db.change(ctx, "create a dashboard", func(tx *sql.Tx) error {
		if err := checkWidgets(ctx, tx, org, d); err != nil {
			return err
		}
		return dashboards.insert(ctx, tx, org, d.ID, d, "url_path", d.URLPath)
	}))
}

// UpdateDashboard replaces a dashboard by what change makes of it, and returns that; the errors are those of CreateDashboard.
func (db *DB) UpdateDashboard(ctx context.Context, org, id string, change func(old saba.Dashboard) (saba.Dashboard, error)) (saba.Dashboard, error) {
	d, err := updateOne(ctx, db, dashboards, org, id, change, "url_path", func(tx *sql.Tx, d saba.Dashboard) ([]any, error) {
		return []any{d.URLPath}, checkWidgets(ctx, tx, org, d)
	})
	return d, pathTaken(d, err)
}

func pathTaken(d saba.Dashboard, err error) error {
	if isTaken(err) {
		return saba.Errorf(saba.ErrConflict, "there is a dashboard with the urlPath %q already", d.URLPath)
	}
	return err
}

// DeleteDashboard deletes a dashboard and returns it as it was.
func (db *DB) DeleteDashboard(ctx context.Context, org, id string) (d saba.Dashboard, err error) {
	err = db.change(ctx, "delete a dashboard", func(tx *sql.Tx) error {
		d, err = dashboards.remove(ctx, tx, org, id)
		return err
	})
	return d, err
}

// checkWidgets looks whether what the widgets show exists.
func checkWidgets(ctx context.Context, tx *sql.Tx, org string, d saba.Dashboard) error {
	for i, w := range d.Widgets {
		at := fmt.Sprintf("widgets[%d]", i)
		source, place := w.Graph, at+".graph"
		if w.Type == saba.WidgetValue {
			source, place = w.Metric, at+".metric"
		}
		var ok bool
		var err error
		field, what := "", ""
		switch {
		case w.Type == saba.WidgetAlertStatus && w.Role != nil:
			field, what = at+".roleFullname", "role "+w.Role.String()
			ok, err = roleExists(ctx, tx, org, *w.Role)
		case source == nil:
			continue
		case source.Type == saba.SourceHost:
			field, what = place+".hostId", "host "+source.Host
			ok, err = exists(ctx, tx, `SELECT count(*) FROM hosts WHERE org = ? AND id = ?`, org, source.Host)
		case source.Type == saba.SourceRole:
			field, what = place+".roleFullname", "role "+source.Role.String()
			ok, err = roleExists(ctx, tx, org, *source.Role)
		case source.Type == saba.SourceService:
			field, what = place+".serviceName", "service "+source.Service
			ok, err = exists(ctx, tx, `SELECT count(*) FROM services WHERE org = ? AND name = ?`, org, source.Service)
		default:
			continue
		}
		if err != nil {
			return err
		}
		if !ok {
			return saba.Invalidf(field, "names the %s, which does not exist", what)
		}
	}
	return nil
}

func roleExists(ctx context.Context, tx *sql.Tx, org string, r saba.Scope) (bool, error) {
	return exists(ctx, tx, `SELECT count(*) FROM roles WHERE org = ? AND service = ? AND name = ?`, org, r.Service, r.Role)
}
