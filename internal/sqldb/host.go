package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba"
)

const hostColumns = `id, org, name, display_name, custom_identifier, status, memo, created_at, retired_at, meta, interfaces, registered_by`

// scanHost reads hostColumns: everything but the roles.
func scanHost(row scanner) (h saba.Host, err error) {
	var interfaces []byte
	if err := row.Scan(&h.ID, &h.Org, &h.Name, &h.DisplayName, &h.CustomIdentifier, &h.Status, &h.Memo,
		&h.CreatedAt, &h.RetiredAt, (*[]byte)(&h.Meta), &interfaces, &h.RegisteredBy); err != nil {
		return saba.Host{}, err
	}
	if string(interfaces) == "[]" {
		return h, nil
	}
	if err := json.Unmarshal(interfaces, &h.Interfaces); err != nil {
		return saba.Host{}, fmt.Errorf("interfaces of host %q as stored: %w", h.ID, err)
	}
	return h, nil
}

// CreateHost keeps a new host, whose ID and CreatedAt the caller chose, and declares its
// checks, each under an id from newID. Services and roles that are missing are made. A custom
// identifier of another live host is an error matching saba.ErrConflict.
func (db *DB) CreateHost(ctx context.Context, h saba.Host, checks []saba.CheckDeclaration, newID func() (string, error)) error {
	return db.change(ctx, "create a host", func(tx *sql.Tx) error {
		if err := claimIdentifier(ctx, tx, h.Org, h.ID, h.CustomIdentifier); err != nil {
			return err
		}
		if err := roomForHost(ctx, tx, h.Org); err != nil {
			return err
		}
		interfaces, err := interfacesText(h.Interfaces)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO hosts (`+hostColumns+`, custom_identifier_fold) VALUES (`+marks(13)+`)`,
			h.ID, h.Org, h.Name, h.DisplayName, h.CustomIdentifier, string(h.Status), h.Memo, h.CreatedAt, h.RetiredAt,
			metaText(h.Meta), interfaces, h.RegisteredBy, strings.ToLower(h.CustomIdentifier))
		if isTaken(err) {
			return saba.Errorf(saba.ErrConflict, "there is a host with the id %q already", h.ID)
		}
		if err != nil {
			return err
		}
		if err := addRoles(ctx, tx, h.Org, h.ID, h.Roles); err != nil {
			return err
		}
		if err := declareChecks(ctx, tx, h.Org, h.ID, checks, newID); err != nil {
			return err
		}
		return addHostEvent(ctx, tx, saba.EventHostRegister, h, "", h.CreatedAt)
	})
}

// roomForHost refuses one more live host than saba.MaxHosts.
func roomForHost(ctx context.Context, tx *sql.Tx, org string) error {
	var live int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM hosts WHERE org = ? AND retired_at = 0`, org).Scan(&live); err != nil {
		return err
	}
	if live >= saba.MaxHosts {
		return saba.Errorf(saba.ErrInvalid, "the organization has %d hosts, which is the most: retire those that are gone, and look for what registers a machine again and again", live)
	}
	return nil
}

// Host returns a host, also a retired one.
func (db *DB) Host(ctx context.Context, org, id string) (h saba.Host, err error) {
	err = db.view(ctx, "read a host", func(tx *sql.Tx) error {
		if h, err = readHost(ctx, tx, org, id); err != nil {
			return err
		}
		return withRoles(ctx, tx, &h)
	})
	return h, err
}

// A hostKey is what a host is found by.
type hostKey struct{ org, id string }

// HostRetired says whether a host is retired. Every batch of points asks, so it costs a sixth of what Host does, and
// nothing to speak of while nothing changes.
func (db *DB) HostRetired(ctx context.Context, org, id string) (bool, error) {
	after := db.changes.Load()
	if retired, ok := db.retired.get(after, hostKey{org, id}); ok {
		return retired, nil
	}
	at, err := one(db.reader.QueryRowContext(db.brief(ctx), `SELECT retired_at FROM hosts WHERE org = ? AND id = ?`, org, id), scanInt, "no host %q", id)
	if err == nil && db.dialect.near {
		db.retired.put(after, hostKey{strings.Clone(org), strings.Clone(id)}, at != 0)
	}
	return at != 0, failed(ctx, "read a host", err)
}

// Hosts returns the hosts that f selects, newest first: live ones, unless it says otherwise.
func (db *DB) Hosts(ctx context.Context, org string, f saba.HostFilter) (hosts []saba.Host, err error) {
	where, args := hostCondition(org, f)
	err = db.view(ctx, "list hosts", func(tx *sql.Tx) error {
		hosts, err = list(ctx, tx, scanHost, `SELECT `+hostColumns+` FROM hosts WHERE `+where+` ORDER BY created_at DESC, id DESC`, args...)
		if err != nil || len(hosts) == 0 {
			return err
		}
		return withAllRoles(ctx, tx, org, hosts)
	})
	return hosts, err
}

// fewHosts is up to how many hosts it pays to look up the roles of each, rather than to read
// those of the whole organization in the order in which they lie.
const fewHosts = 100

// withAllRoles fills in the roles of hosts, in one query for all of them.
func withAllRoles(ctx context.Context, tx *sql.Tx, org string, hosts []saba.Host) error {
	index := make(map[string]*saba.Host, len(hosts))
	where, args := `org = ?`, []any{org}
	for i := range hosts {
		index[hosts[i].ID] = &hosts[i]
		if len(hosts) <= fewHosts {
			args = append(args, hosts[i].ID)
		}
	}
	if len(hosts) <= fewHosts {
		where += ` AND host IN (` + marks(len(hosts)) + `)`
	}
	rows, err := tx.QueryContext(ctx, `SELECT host, service, role FROM host_roles WHERE `+where+` ORDER BY service, role`, args...)
	if err != nil {
		return err
	}
	defer rows.Close() // its error is that of rows.Err
	for rows.Next() {
		var host string
		var role saba.RoleName
		if err := rows.Scan(&host, &role.Service, &role.Role); err != nil {
			return err
		}
		if h, ok := index[host]; ok { // others are retired or were filtered out
			h.Roles = append(h.Roles, role)
		}
	}
	return rows.Err()
}

// hostCondition returns a condition on table hosts, and its arguments: hosts that f selects.
func hostCondition(org string, f saba.HostFilter) (where string, args []any) {
	where, args = `org = ? AND retired_at = 0`, []any{org}
	if f.RetiredSince > 0 {
		where, args = `org = ? AND (retired_at = 0 OR retired_at >= ?)`, []any{org, f.RetiredSince}
	}
	if f.Service != "" {
		roles := ``
		args = append(args, org, f.Service)
		if len(f.Roles) > 0 {
			roles = ` AND role IN (` + marks(len(f.Roles)) + `)`
			args = append(args, anys(f.Roles)...)
		}
		where += ` AND id IN (SELECT host FROM host_roles WHERE org = ? AND service = ?` + roles + `)`
	}
	if len(f.Statuses) > 0 {
		where += ` AND status IN (` + marks(len(f.Statuses)) + `)`
		args = append(args, anys(f.Statuses)...)
	}
	for _, exact := range []struct{ column, value string }{
		{"name", f.Name}, {"custom_identifier", f.CustomIdentifier}, {"registered_by", f.RegisteredBy},
	} {
		if exact.value != "" {
			where += ` AND ` + exact.column + ` = ?`
			args = append(args, exact.value)
		}
	}
	return where, args
}

// HostByCustomIdentifier returns the live host with a custom identifier. With fold, case does
// not matter; where several differ in case alone, the oldest host wins.
func (db *DB) HostByCustomIdentifier(ctx context.Context, org, ident string, fold bool) (h saba.Host, err error) {
	column, value := "custom_identifier", ident
	if fold {
		column, value = "custom_identifier_fold", strings.ToLower(ident)
	}
	err = db.view(ctx, "look up a custom identifier", func(tx *sql.Tx) error {
		h, err = one(tx.QueryRowContext(ctx, `SELECT `+hostColumns+` FROM hosts
			WHERE org = ? AND `+column+` = ? AND custom_identifier <> '' AND retired_at = 0
			ORDER BY created_at, id LIMIT 1`, org, value), scanHost, "no host with the custom identifier %q", ident)
		if err != nil {
			return err
		}
		return withRoles(ctx, tx, &h)
	})
	return h, err
}

// UpdateHost changes the description of a live host: fields of u that are nil stay as they are,
// roles are added, checks that a non-nil list leaves out are deleted with their reports. A
// retired host is an error matching saba.ErrInvalid, a custom identifier of another live host
// one matching saba.ErrConflict.
func (db *DB) UpdateHost(ctx context.Context, org, id string, u saba.HostUpdate, newID func() (string, error)) error {
	return db.change(ctx, "update a host", func(tx *sql.Tx) error {
		h, err := readLiveHost(ctx, tx, org, id)
		if err != nil {
			return err
		}
		h.Name, h.Meta = u.Name, u.Meta
		if u.DisplayName != nil {
			h.DisplayName = *u.DisplayName
		}
		if u.Memo != nil {
			h.Memo = *u.Memo
		}
		if u.Interfaces != nil {
			h.Interfaces = *u.Interfaces
		}
		if u.CustomIdentifier != nil {
			h.CustomIdentifier = *u.CustomIdentifier
			if err := claimIdentifier(ctx, tx, org, id, h.CustomIdentifier); err != nil {
				return err
			}
		}
		interfaces, err := interfacesText(h.Interfaces)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE hosts
			SET name = ?, display_name = ?, memo = ?, custom_identifier = ?, custom_identifier_fold = ?, meta = ?, interfaces = ? WHERE id = ?`,
			h.Name, h.DisplayName, h.Memo, h.CustomIdentifier, strings.ToLower(h.CustomIdentifier), metaText(h.Meta), interfaces, id); err != nil {
			return err
		}
		if err := addRoles(ctx, tx, org, id, u.AddRoles); err != nil {
			return err
		}
		if u.Checks == nil {
			return nil
		}
		return declareChecks(ctx, tx, org, id, *u.Checks, newID)
	})
}

// SetHostStatus sets the status of all hosts with the given ids. If one is unknown or retired,
// none is changed.
func (db *DB) SetHostStatus(ctx context.Context, org string, ids []string, s saba.HostStatus) error {
	return db.change(ctx, "set the status of hosts", func(tx *sql.Tx) error {
		for _, id := range ids {
			h, err := readLiveHost(ctx, tx, org, id)
			if err != nil {
				return err
			}
			if h.Status == s {
				continue
			}
			if _, err := tx.ExecContext(ctx, `UPDATE hosts SET status = ? WHERE id = ?`, string(s), id); err != nil {
				return err
			}
			from := h.Status
			h.Status = s
			if err := addHostEvent(ctx, tx, saba.EventHostStatus, h, from, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetHostRoles replaces the roles of a live host. Services and roles that are missing are made;
// those that no host has any more stay.
func (db *DB) SetHostRoles(ctx context.Context, org, id string, roles []saba.RoleName) error {
	return db.change(ctx, "set the roles of a host", func(tx *sql.Tx) error {
		if _, err := readLiveHost(ctx, tx, org, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM host_roles WHERE host = ?`, id); err != nil {
			return err
		}
		return addRoles(ctx, tx, org, id, roles)
	})
}

// RetireHosts retires all hosts with the given ids at a time in Unix seconds, above 0. If one is
// unknown, none is changed. Their alerts close. A host that is retired already keeps the time at which it was.
func (db *DB) RetireHosts(ctx context.Context, org string, ids []string, at int64) error {
	return db.change(ctx, "retire hosts", func(tx *sql.Tx) error {
		for _, id := range ids {
			h, err := readHost(ctx, tx, org, id)
			if err != nil {
				return err
			}
			if h.Retired() {
				continue
			}
			if _, err := tx.ExecContext(ctx, `UPDATE hosts SET retired_at = ? WHERE id = ?`, at, id); err != nil {
				return err
			}
			if err := addHostEvent(ctx, tx, saba.EventHostRetire, h, "", at); err != nil {
				return err
			}
			move := saba.AlertMove{At: at, Status: saba.CheckOK, Trigger: saba.TriggerHostRetire}
			if err := closeAlerts(ctx, tx, move, org, "host", id); err != nil {
				return err
			}
		}
		return nil
	})
}

// readHost returns a host without its roles.
func readHost(ctx context.Context, tx *sql.Tx, org, id string) (saba.Host, error) {
	return one(tx.QueryRowContext(ctx, `SELECT `+hostColumns+` FROM hosts WHERE org = ? AND id = ?`, org, id), scanHost, "no host %q", id)
}

// readLiveHost returns a host without its roles, or an error matching saba.ErrInvalid if it is retired.
func readLiveHost(ctx context.Context, tx *sql.Tx, org, id string) (saba.Host, error) {
	h, err := readHost(ctx, tx, org, id)
	if err == nil && h.Retired() {
		return saba.Host{}, errRetired(id)
	}
	return h, err
}

func errRetired(id string) error {
	return saba.Errorf(saba.ErrInvalid, "host %q is retired, and a retired host cannot be changed: register the machine anew", id)
}

func withRoles(ctx context.Context, tx *sql.Tx, h *saba.Host) (err error) {
	h.Roles, err = list(ctx, tx, scanRoleName, `SELECT service, role FROM host_roles WHERE host = ? ORDER BY service, role`, h.ID)
	return err
}

// claimIdentifier returns an error matching saba.ErrConflict if a live host other than id has
// the custom identifier. The unique index would refuse it too, but could not say whose it is.
func claimIdentifier(ctx context.Context, tx *sql.Tx, org, id, ident string) error {
	if ident == "" {
		return nil
	}
	owner, err := scanString(tx.QueryRowContext(ctx, `SELECT id FROM hosts
		WHERE org = ? AND custom_identifier = ? AND custom_identifier <> '' AND retired_at = 0 AND id <> ?`, org, ident, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return saba.Errorf(saba.ErrConflict, "custom identifier %q belongs to host %q: retire that host, or choose another identifier", ident, owner)
}

func metaText(meta json.RawMessage) string {
	if len(meta) == 0 {
		return "{}"
	}
	return string(meta)
}

func interfacesText(interfaces []saba.Interface) (string, error) {
	if len(interfaces) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(interfaces)
	return string(b), err
}
