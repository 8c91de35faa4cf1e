package sqldb

import (
	"context"
	"database/sql"

	"github.com/saba-monitor/saba"
)

func scanRole(row scanner) (r saba.Role, err error) {
	err = row.Scan(&r.Name, &r.Memo)
	return r, err
}

func scanRoleName(row scanner) (r saba.RoleName, err error) {
	err = row.Scan(&r.Service, &r.Role)
	return r, err
}

// Roles returns the roles of a service by name.
func (db *DB) Roles(ctx context.Context, org, service string) (roles []saba.Role, err error) {
	err = db.view(ctx, "list roles", func(tx *sql.Tx) error {
		if _, err := readService(ctx, tx, org, service); err != nil {
			return err
		}
		roles, err = list(ctx, tx, scanRole, `SELECT name, memo FROM roles WHERE org = ? AND service = ? ORDER BY name`, org, service)
		return err
	})
	return roles, err
}

// CreateRole makes a role in a service that exists. A taken name is an error matching saba.ErrConflict.
func (db *DB) CreateRole(ctx context.Context, org, service string, r saba.Role) error {
	return db.change(ctx, "create a role", func(tx *sql.Tx) error {
		if _, err := readService(ctx, tx, org, service); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO roles (org, service, name, memo) VALUES (?, ?, ?, ?)`, org, service, r.Name, r.Memo)
		if isTaken(err) {
			return saba.Errorf(saba.ErrConflict, "service %q has a role %q already", service, r.Name)
		}
		return err
	})
}

// DeleteRole deletes a role with its metadata, takes it from its hosts, and returns it as it was.
func (db *DB) DeleteRole(ctx context.Context, org, service, role string) (r saba.Role, err error) {
	err = db.change(ctx, "delete a role", func(tx *sql.Tx) error {
		if r, err = readRole(ctx, tx, org, service, role); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM roles WHERE org = ? AND service = ? AND name = ?`, org, service, role) // the rest follows by foreign keys
		return err
	})
	return r, err
}

func readRole(ctx context.Context, tx *sql.Tx, org, service, role string) (saba.Role, error) {
	if _, err := readService(ctx, tx, org, service); err != nil {
		return saba.Role{}, err
	}
	return one(tx.QueryRowContext(ctx, `SELECT name, memo FROM roles WHERE org = ? AND service = ? AND name = ?`, org, service, role),
		scanRole, "service %q has no role %q", service, role)
}

// addRoles gives a host roles besides those it has; services and roles that are missing are made.
func addRoles(ctx context.Context, tx *sql.Tx, org, host string, roles []saba.RoleName) error {
	for _, r := range roles {
		if there, err := exists(ctx, tx, `SELECT count(*) FROM services WHERE org = ? AND name = ?`, org, r.Service); err != nil {
			return err
		} else if !there {
			if err := makeService(ctx, tx, org, saba.Service{Name: r.Service}, "ON CONFLICT DO NOTHING"); err != nil {
				return err
			}
		}
		for _, s := range []struct {
			statement string
			args      []any
		}{
			{`INSERT INTO roles (org, service, name, memo) VALUES (?, ?, ?, '') ON CONFLICT DO NOTHING`, []any{org, r.Service, r.Role}},
			{`INSERT INTO host_roles (host, org, service, role) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, []any{host, org, r.Service, r.Role}},
		} {
			if _, err := tx.ExecContext(ctx, s.statement, s.args...); err != nil {
				return err
			}
		}
	}
	return nil
}
