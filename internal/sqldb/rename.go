package sqldb

import (
	"context"
	"database/sql"

	"github.com/saba-monitor/saba"
)

// RenameService gives a service another name and memo, wherever it is named: its roles, their hosts, metadata, and
// what people set up, expressions included. Texts of queries stay. Its samples remain its own: they are kept under a
// name that stays (saba.Service.Series). A taken name is an error matching saba.ErrConflict.
func (db *DB) RenameService(ctx context.Context, org, old string, to saba.Service) error {
	return db.change(ctx, "rename a service", func(tx *sql.Tx) error {
		was, err := readService(ctx, tx, org, old)
		if err != nil {
			return err
		}
		if old == to.Name {
			_, err := tx.ExecContext(ctx, `UPDATE services SET memo = ? WHERE org = ? AND name = ?`, to.Memo, org, old)
			return err
		}
		// Rows that refer to the service move to a copy of it: foreign keys hold at every step.
		if _, err := tx.ExecContext(ctx, `UPDATE services SET series = '' WHERE org = ? AND name = ?`, org, old); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO services (org, name, memo, series) VALUES (?, ?, ?, ?)`, org, to.Name, to.Memo, was.Series)
		if isTaken(err) {
			return saba.Errorf(saba.ErrConflict, "there is a service %q already", to.Name)
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO roles (org, service, name, memo) SELECT org, ?, name, memo FROM roles WHERE org = ? AND service = ?`, to.Name, org, old); err != nil {
			return err
		}
		for _, table := range []string{"host_roles", "role_metadata", "service_metadata", "graph_annotations", "hidden_service_graphs", "drains", "service_graph_defs"} {
			if _, err := tx.ExecContext(ctx, `UPDATE `+table+` SET service = ? WHERE org = ? AND service = ?`, to.Name, org, old); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM services WHERE org = ? AND name = ?`, org, old); err != nil {
			return err
		}
		return renameScopes(ctx, tx, org, func(s saba.Scope) saba.Scope {
			if s.Service == old {
				s.Service = to.Name
			}
			return s
		})
	})
}

// RenameRole gives a role another name and memo, wherever it is named but in the texts of queries.
// A taken name is an error matching saba.ErrConflict.
func (db *DB) RenameRole(ctx context.Context, org, service, old string, to saba.Role) error {
	return db.change(ctx, "rename a role", func(tx *sql.Tx) error {
		if _, err := readRole(ctx, tx, org, service, old); err != nil {
			return err
		}
		if old == to.Name {
			_, err := tx.ExecContext(ctx, `UPDATE roles SET memo = ? WHERE org = ? AND service = ? AND name = ?`, to.Memo, org, service, old)
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO roles (org, service, name, memo) VALUES (?, ?, ?, ?)`, org, service, to.Name, to.Memo)
		if isTaken(err) {
			return saba.Errorf(saba.ErrConflict, "service %q has a role %q already", service, to.Name)
		}
		if err != nil {
			return err
		}
		for _, table := range []string{"host_roles", "role_metadata"} {
			if _, err := tx.ExecContext(ctx, `UPDATE `+table+` SET role = ? WHERE org = ? AND service = ? AND role = ?`, to.Name, org, service, old); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM roles WHERE org = ? AND service = ? AND name = ?`, org, service, old); err != nil {
			return err
		}
		return renameScopes(ctx, tx, org, func(s saba.Scope) saba.Scope {
			if s.Service == service && s.Role == old {
				s.Role = to.Name
			}
			return s
		})
	})
}

// renameScopes puts in place of each service and role that people named what rename makes of it.
func renameScopes(ctx context.Context, tx *sql.Tx, org string, rename func(saba.Scope) saba.Scope) error {
	scopes := func(all ...[]saba.Scope) {
		for _, list := range all {
			for i := range list {
				list[i] = rename(list[i])
			}
		}
	}
	service := func(name *string) {
		if *name != "" {
			*name = rename(saba.Scope{Service: *name}).Service
		}
	}
	services := func(all ...[]string) {
		for _, list := range all {
			for i := range list {
				service(&list[i])
			}
		}
	}
	expression := func(text *string) {
		if *text != "" {
			*text = saba.RenameInExpression(*text, rename)
		}
	}
	source := func(s *saba.WidgetSource) {
		if s == nil {
			return
		}
		expression(&s.Expression)
		service(&s.Service)
		if s.Role != nil {
			*s.Role = rename(*s.Role)
		}
	}
	if err := rewrite(ctx, tx, monitors, org, func(m *saba.Monitor) string {
		scopes(m.Scopes, m.ExcludeScopes)
		service(&m.Service)
		expression(&m.Expression)
		return m.ID
	}); err != nil {
		return err
	}
	if err := rewrite(ctx, tx, downtimes, org, func(d *saba.Downtime) string {
		services(d.ServiceScopes, d.ServiceExcludeScopes)
		scopes(d.RoleScopes, d.RoleExcludeScopes)
		return d.ID
	}); err != nil {
		return err
	}
	if err := rewrite(ctx, tx, alertGroups, org, func(s *saba.AlertGroupSetting) string {
		services(s.ServiceScopes)
		scopes(s.RoleScopes)
		return s.ID
	}); err != nil {
		return err
	}
	if err := rewrite(ctx, tx, groups, org, func(g *saba.NotificationGroup) string {
		for i := range g.Services {
			service(&g.Services[i].Name)
		}
		return g.ID
	}); err != nil {
		return err
	}
	if err := rewrite(ctx, tx, annotations, org, func(a *saba.GraphAnnotation) string {
		before := a.Service
		service(&a.Service)
		for i, r := range a.Roles {
			a.Roles[i] = rename(saba.Scope{Service: before, Role: r}).Role
		}
		return a.ID
	}); err != nil {
		return err
	}
	return rewrite(ctx, tx, dashboards, org, func(d *saba.Dashboard) string {
		for i := range d.Widgets {
			w := &d.Widgets[i]
			source(w.Graph)
			source(w.Metric)
			if w.Role != nil {
				*w.Role = rename(*w.Role)
			}
		}
		return d.ID
	})
}

// rewrite lets edit change each record of an organization; edit returns its id.
func rewrite[T any](ctx context.Context, tx *sql.Tx, s shelfOf[T], org string, edit func(v *T) (id string)) error {
	all, err := s.all(ctx, tx, org)
	if err != nil {
		return err
	}
	for i := range all {
		if err := s.update(ctx, tx, org, edit(&all[i]), all[i], ""); err != nil {
			return err
		}
	}
	return nil
}

// maxRegret is how long, in seconds, a retirement can be undone.
const maxRegret = 30 * 24 * 60 * 60

// ReviveHost undoes the retirement of a host, with the status and roles that it had. Its alerts stay closed. A host that lives is left
// as it is. A retirement more than 30 days before now is an error matching saba.ErrInvalid, a custom identifier that another live host
// has taken one matching saba.ErrConflict.
func (db *DB) ReviveHost(ctx context.Context, org, id string, now int64) error {
	return db.change(ctx, "undo the retirement of a host", func(tx *sql.Tx) error {
		h, err := readHost(ctx, tx, org, id)
		if err != nil || !h.Retired() {
			return err
		}
		if now-h.RetiredAt > maxRegret {
			return saba.Errorf(saba.ErrInvalid, "host %q was retired more than 30 days ago, which cannot be undone: register the machine anew", id)
		}
		if err := claimIdentifier(ctx, tx, org, id, h.CustomIdentifier); err != nil {
			return err
		}
		if err := roomForHost(ctx, tx, org); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE hosts SET retired_at = 0 WHERE id = ?`, id)
		return err
	})
}

// HideServiceGraph hides a graph of service metrics ("access.*") until there are points after a time in Unix seconds.
func (db *DB) HideServiceGraph(ctx context.Context, org, service, graph string, at int64) error {
	return db.change(ctx, "hide a graph of a service", func(tx *sql.Tx) error {
		if _, err := readService(ctx, tx, org, service); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO hidden_service_graphs (org, service, graph, hidden_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (org, service, graph) DO UPDATE SET hidden_at = excluded.hidden_at`, org, service, graph, at)
		return err
	})
}

// HiddenServiceGraphs returns when the graphs of a service were hidden, in Unix seconds, by their names.
func (db *DB) HiddenServiceGraphs(ctx context.Context, org, service string) (hidden map[string]int64, err error) {
	err = db.view(ctx, "list the hidden graphs of a service", func(tx *sql.Tx) error {
		hidden = map[string]int64{}
		_, err := list(ctx, tx, func(row scanner) (graph string, err error) {
			var at int64
			err = row.Scan(&graph, &at)
			hidden[graph] = at
			return graph, err
		}, `SELECT graph, hidden_at FROM hidden_service_graphs WHERE org = ? AND service = ?`, org, service)
		return err
	})
	return hidden, err
}
