package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

func scanService(row scanner) (s saba.Service, err error) {
	err = row.Scan(&s.Name, &s.Memo, &s.Series)
	return s, err
}

// Services returns all services of an organization by name, each with the names of its roles.
func (db *DB) Services(ctx context.Context, org string) (services []saba.Service, err error) {
	err = db.view(ctx, "list services", func(tx *sql.Tx) error {
		services, err = list(ctx, tx, scanService, `SELECT name, memo, series FROM services WHERE org = ? ORDER BY name`, org)
		if err != nil {
			return err
		}
		index := make(map[string]int, len(services))
		for i, s := range services {
			index[s.Name] = i
		}
		roles, err := list(ctx, tx, scanRoleName, `SELECT service, name FROM roles WHERE org = ? ORDER BY service, name`, org)
		for _, r := range roles {
			s := &services[index[r.Service]]
			s.Roles = append(s.Roles, r.Role)
		}
		return err
	})
	return services, err
}

// CreateService makes a service without roles, and decides itself under which name its samples are kept. A taken
// name is an error matching saba.ErrConflict.
func (db *DB) CreateService(ctx context.Context, org string, s saba.Service) error {
	return db.change(ctx, "create a service", func(tx *sql.Tx) error {
		err := makeService(ctx, tx, org, s, "")
		if isTaken(err) {
			return saba.Errorf(saba.ErrConflict, "there is a service %q already", s.Name)
		}
		return err
	})
}

// makeService makes a service. Its samples are kept under its name; where another service has its own there, or had them before it was
// deleted, under one that no service can have. orElse is what to do about a taken name.
func makeService(ctx context.Context, tx *sql.Tx, org string, s saba.Service, orElse string) error {
	var last int64
	err := tx.QueryRowContext(ctx, `SELECT last FROM gone_services WHERE org = ? AND name = ?`, org, s.Name).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	series := ""
	for n := last + 1; ; n++ {
		series = seriesName(s.Name, n)
		taken, err := exists(ctx, tx, `SELECT count(*) FROM services WHERE org = ? AND series = ?`, org, series)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO services (org, name, memo, series) VALUES (?, ?, ?, ?) `+orElse, org, s.Name, s.Memo, series)
	return err
}

// seriesName returns the n-th name under which samples of services called name are kept, from 1. A service's name has no dot.
func seriesName(name string, n int64) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, n)
}

// keepSeriesApart makes that no service gets the name under which the samples of a deleted one lie.
func keepSeriesApart(ctx context.Context, tx *sql.Tx, org, series string) error {
	name, number, numbered := strings.Cut(series, ".")
	last := int64(1)
	if numbered {
		var err error
		if last, err = strconv.ParseInt(number, 10, 64); err != nil {
			return fmt.Errorf("read the number in %q, under which samples are kept: %w", series, err)
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO gone_services (org, name, last) VALUES (?, ?, ?)
		ON CONFLICT (org, name) DO UPDATE SET last = excluded.last WHERE gone_services.last < excluded.last`, org, name, last)
	return err
}

// DeleteService deletes a service with its roles, their assignment to hosts, the metadata of all of
// them, its graph annotations and the monitors of its metrics, whose alerts close at a time in Unix
// seconds, and returns it as it was. Its samples stay until they are old, and no service of its name gets them.
func (db *DB) DeleteService(ctx context.Context, org, name string, at int64) (s saba.Service, err error) {
	err = db.change(ctx, "delete a service", func(tx *sql.Tx) error {
		if s, err = readService(ctx, tx, org, name); err != nil {
			return err
		}
		if s.Roles, err = list(ctx, tx, scanString, `SELECT name FROM roles WHERE org = ? AND service = ? ORDER BY name`, org, name); err != nil {
			return err
		}
		if err := forgetService(ctx, tx, org, name, at); err != nil {
			return err
		}
		if err := keepSeriesApart(ctx, tx, org, s.Series); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM services WHERE org = ? AND name = ?`, org, name) // the rest follows by foreign keys
		return err
	})
	return s, err
}

// readService returns a service without its roles.
func readService(ctx context.Context, tx *sql.Tx, org, name string) (saba.Service, error) {
	return one(tx.QueryRowContext(ctx, `SELECT name, memo, series FROM services WHERE org = ? AND name = ?`, org, name), scanService, "no service %q", name)
}
