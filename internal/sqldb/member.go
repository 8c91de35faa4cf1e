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

func scanMember(row scanner) (m saba.Member, err error) {
	err = row.Scan(&m.ID, &m.ScreenName, &m.Email, &m.Authority, &m.JoinedAt)
	return m, err
}

const memberColumns = `id, screen_name, email, authority, created_at`

// Members returns the people of an organization, oldest account first.
func (db *DB) Members(ctx context.Context, org string) (all []saba.Member, err error) {
	err = db.view(ctx, "list members", func(tx *sql.Tx) error {
		all, err = list(ctx, tx, scanMember, `SELECT `+memberColumns+` FROM users WHERE org = ? ORDER BY created_at, id`, org)
		return err
	})
	return all, err
}

// DeleteMember deletes an account with its sessions, and returns who it was. That of the owner cannot be
// deleted: the error matches saba.ErrForbidden.
func (db *DB) DeleteMember(ctx context.Context, org, id string) (m saba.Member, err error) {
	err = db.change(ctx, "delete a member", func(tx *sql.Tx) error {
		m, err = one(tx.QueryRowContext(ctx, `SELECT `+memberColumns+` FROM users WHERE org = ? AND id = ?`, org, id), scanMember, "no account %q", id)
		if err != nil || m.Authority == saba.Owner {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM users WHERE org = ? AND id = ?`, org, id)
		return err
	})
	if err == nil && m.Authority == saba.Owner {
		err = saba.Errorf(saba.ErrForbidden, "account %q owns the organization and cannot be deleted", id)
	}
	return m, err
}

// SetAuthority gives an account another authority, and returns who it was before. by is the account that does it: nobody changes their own
// authority, so that nobody locks themselves out, and an organization has one owner at all times: only the owner makes
// another account the owner, and becomes a manager by it. Otherwise the error matches saba.ErrForbidden.
func (db *DB) SetAuthority(ctx context.Context, org, id string, a saba.Authority, by string) (was saba.Member, err error) {
	set := func(tx *sql.Tx, id string, a saba.Authority) error {
		_, err := tx.ExecContext(ctx, `UPDATE users SET authority = ? WHERE org = ? AND id = ?`, string(a), org, id)
		return err
	}
	err = db.change(ctx, "change the authority of a member", func(tx *sql.Tx) error {
		if was, err = one(tx.QueryRowContext(ctx, `SELECT `+memberColumns+` FROM users WHERE org = ? AND id = ?`, org, id), scanMember, "no account %q", id); err != nil {
			return err
		}
		if err := a.Check(); err != nil {
			return err
		}
		switch {
		case id == by:
			return saba.Errorf(saba.ErrForbidden, "nobody changes their own authority: ask somebody else who manages")
		case was.Authority == saba.Owner:
			return saba.Errorf(saba.ErrForbidden, "account %q owns the organization, which only the owner hands over", id)
		case a != saba.Owner:
			return set(tx, id, a)
		}
		giver, err := one(tx.QueryRowContext(ctx, `SELECT `+memberColumns+` FROM users WHERE org = ? AND id = ?`, org, by), scanMember, "no account %q", by)
		if err != nil {
			return err
		}
		if giver.Authority != saba.Owner {
			return saba.Errorf(saba.ErrForbidden, "only the owner hands the organization over")
		}
		if err := set(tx, by, saba.Manager); err != nil {
			return err
		}
		return set(tx, id, saba.Owner)
	})
	return was, err
}

// Invitations returns the invitations of an organization that are good at a time in Unix seconds, by address.
func (db *DB) Invitations(ctx context.Context, org string, now int64) (all []saba.Invitation, err error) {
	err = db.view(ctx, "list invitations", func(tx *sql.Tx) error {
		all, err = list(ctx, tx, func(row scanner) (i saba.Invitation, err error) {
			err = row.Scan(&i.Email, &i.Authority, &i.ExpiresAt)
			return i, err
		}, `SELECT email, authority, expires_at FROM invitations WHERE org = ? AND expires_at > ? ORDER BY email_fold`, org, now)
		return err
	})
	return all, err
}

// Invite keeps an invitation; one that is good no more gives way. An address that has an account or an invitation is
// an error matching saba.ErrConflict.
func (db *DB) Invite(ctx context.Context, org string, i saba.Invitation, now int64) error {
	fold := strings.ToLower(i.Email)
	return db.change(ctx, "invite somebody", func(tx *sql.Tx) error {
		if there, err := exists(ctx, tx, `SELECT count(*) FROM users WHERE email_fold = ?`, fold); err != nil {
			return err
		} else if there {
			return saba.Errorf(saba.ErrConflict, "there is an account for %q already", i.Email)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE org = ? AND expires_at <= ?`, org, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO invitations (org, email, email_fold, authority, expires_at) VALUES (`+marks(5)+`)`,
			org, i.Email, fold, string(i.Authority), i.ExpiresAt)
		if isTaken(err) {
			return saba.Errorf(saba.ErrConflict, "%q is invited already", i.Email)
		}
		return err
	})
}

// RevokeInvitation deletes an invitation.
func (db *DB) RevokeInvitation(ctx context.Context, org, email string, now int64) error {
	return db.change(ctx, "revoke an invitation", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE org = ? AND email_fold = ? AND expires_at > ?`, org, strings.ToLower(email), now)
		return touched(result, err, "no invitation of %q", email)
	})
}

// Networks returns the networks, in CIDR notation, from which a part of saba may be used; none means from everywhere.
func (db *DB) Networks(ctx context.Context, org string, s saba.Surface) (cidrs []string, err error) {
	var doc []byte
	err = db.reader.QueryRowContext(ctx, `SELECT cidrs FROM ip_restrictions WHERE org = ? AND surface = ?`, org, string(s)).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(ctx, "read the networks that are allowed", err)
	}
	if err := json.Unmarshal(doc, &cidrs); err != nil {
		return nil, fmt.Errorf("the networks that are allowed, as stored: %w", err)
	}
	return cidrs, nil
}

// SetNetworks replaces the networks from which a part of saba may be used.
func (db *DB) SetNetworks(ctx context.Context, org string, s saba.Surface, cidrs []string) error {
	return db.change(ctx, "set the networks that are allowed", func(tx *sql.Tx) error {
		if len(cidrs) == 0 {
			_, err := tx.ExecContext(ctx, `DELETE FROM ip_restrictions WHERE org = ? AND surface = ?`, org, string(s))
			return err
		}
		doc, err := json.Marshal(cidrs)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO ip_restrictions (org, surface, cidrs) VALUES (?, ?, ?)
			ON CONFLICT (org, surface) DO UPDATE SET cidrs = excluded.cidrs`, org, string(s), string(doc))
		return err
	})
}
