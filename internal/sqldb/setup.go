package sqldb

import (
	"context"
	"database/sql"

	"github.com/saba-monitor/saba"
)

// SetSetupToken makes hash, the saba.HashSecret of a set-up link's token, the only one that can
// create the organization's first account. An earlier link is void from then on.
func (db *DB) SetSetupToken(ctx context.Context, org, hash string) error {
	return db.change(ctx, "keep the set-up link", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO setup_tokens (org, hash) VALUES (?, ?) ON CONFLICT (org) DO UPDATE SET hash = excluded.hash`, org, hash)
		return err
	})
}

// SetupPending returns the organization whose first account the token with this hash may
// create. The error matches saba.ErrNotFound when it is not the pending one, or when the
// organization has an account.
func (db *DB) SetupPending(ctx context.Context, hash string) (org string, err error) {
	err = db.view(ctx, "look up the set-up link", func(tx *sql.Tx) error {
		org, err = setupPending(ctx, tx, hash)
		return err
	})
	return org, err
}

func setupPending(ctx context.Context, tx *sql.Tx, hash string) (org string, err error) {
	return one(tx.QueryRowContext(ctx, `SELECT org FROM setup_tokens WHERE hash = ?
		AND NOT EXISTS (SELECT 1 FROM users WHERE users.org = setup_tokens.org)`, hash), scanString,
		"this set-up link is not valid any more: saba prints a new one at each start until the first account exists")
}

// CompleteSetup creates the first account and forgets the token, or does neither. The account
// owns the organization of the token, whatever u.Org and u.Authority say. The error matches
// saba.ErrNotFound as in SetupPending.
func (db *DB) CompleteSetup(ctx context.Context, hash string, u saba.User) error {
	return db.change(ctx, "create the first account", func(tx *sql.Tx) (err error) {
		if u.Org, err = setupPending(ctx, tx, hash); err != nil {
			return err
		}
		u.Authority = saba.Owner
		if err := createUser(ctx, tx, u); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM setup_tokens WHERE org = ?`, u.Org)
		return err
	})
}
