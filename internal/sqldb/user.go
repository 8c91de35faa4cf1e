package sqldb

import (
	"context"
	"database/sql"
	"strings"

	"github.com/saba-monitor/saba"
)

const userColumns = `id, org, email, password_hash, created_at, authority`

func scanUser(row scanner) (u saba.User, err error) {
	err = row.Scan(&u.ID, &u.Org, &u.Email, &u.PasswordHash, &u.CreatedAt, &u.Authority)
	return u, err
}

// Users returns the accounts of an organization, oldest first.
func (db *DB) Users(ctx context.Context, org string) (users []saba.User, err error) {
	err = db.view(ctx, "list accounts", func(tx *sql.Tx) error {
		users, err = list(ctx, tx, scanUser, `SELECT `+userColumns+` FROM users WHERE org = ? ORDER BY created_at, id`, org)
		return err
	})
	return users, err
}

// User returns the account with an id.
func (db *DB) User(ctx context.Context, id string) (saba.User, error) {
	u, err := one(db.reader.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = ?`, id), scanUser, "no account %q", id)
	return u, failed(ctx, "read an account", err)
}

// UserByEmail returns the account with an e-mail address, whatever the case of its letters.
func (db *DB) UserByEmail(ctx context.Context, email string) (saba.User, error) {
	u, err := one(db.reader.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE email_fold = ?`, strings.ToLower(email)), scanUser, "no account for %q", email)
	return u, failed(ctx, "look up an account", err)
}

func createUser(ctx context.Context, tx *sql.Tx, u saba.User) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO users (`+userColumns+`, email_fold) VALUES (`+marks(7)+`)`,
		u.ID, u.Org, u.Email, u.PasswordHash, u.CreatedAt, string(u.Authority), strings.ToLower(u.Email))
	if isTaken(err) {
		return saba.Errorf(saba.ErrConflict, "there is an account for %q already", u.Email)
	}
	return err
}
