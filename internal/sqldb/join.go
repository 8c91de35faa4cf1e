package sqldb

import (
	"context"
	"database/sql"
	"strings"

	"github.com/saba-monitor/saba"
)

// LinkInvitation makes hash, the saba.HashSecret of a link's token, the only one that can accept an invitation. An
// earlier link is void from then on.
func (db *DB) LinkInvitation(ctx context.Context, org, email, hash string, now int64) error {
	return db.change(ctx, "keep the link of an invitation", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE invitations SET hash = ? WHERE org = ? AND email_fold = ? AND expires_at > ?`, hash, org, strings.ToLower(email), now)
		return touched(result, err, "no invitation of %q", email)
	})
}

// InvitationByHash returns the organization that the token with a hash invites to, and the invitation. The error
// matches saba.ErrNotFound when there is none, or it is good no more at a time in Unix seconds.
func (db *DB) InvitationByHash(ctx context.Context, hash string, now int64) (org string, i saba.Invitation, err error) {
	err = db.view(ctx, "look up an invitation", func(tx *sql.Tx) error {
		org, i, err = invitationByHash(ctx, tx, hash, now)
		return err
	})
	return org, i, err
}

func invitationByHash(ctx context.Context, tx *sql.Tx, hash string, now int64) (org string, i saba.Invitation, err error) {
	i, err = one(tx.QueryRowContext(ctx, `SELECT org, email, authority, expires_at FROM invitations WHERE hash = ? AND hash <> '' AND expires_at > ?`, hash, now),
		func(row scanner) (i saba.Invitation, err error) {
			err = row.Scan(&org, &i.Email, &i.Authority, &i.ExpiresAt)
			return i, err
		}, "this invitation is not valid any more: ask for a new link")
	return org, i, err
}

// AcceptInvitation makes the account that the token with a hash invites to and deletes the invitation, or does neither. The
// account's organization, address and authority are those of the invitation, whatever u says. The error matches
// saba.ErrNotFound as in InvitationByHash, saba.ErrConflict when somebody has an account with the address.
func (db *DB) AcceptInvitation(ctx context.Context, hash string, u saba.User, now int64) error {
	return db.change(ctx, "accept an invitation", func(tx *sql.Tx) error {
		org, i, err := invitationByHash(ctx, tx, hash, now)
		if err != nil {
			return err
		}
		u.Org, u.Email, u.Authority = org, i.Email, i.Authority
		if err := createUser(ctx, tx, u); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM invitations WHERE hash = ?`, hash)
		return err
	})
}
