package sqldb

import (
	"context"
	"database/sql"

	"github.com/saba-monitor/saba"
)

const sessionColumns = `hash, user_id, org, created_at, expires_at`

func scanSession(row scanner) (s saba.Session, err error) {
	err = row.Scan(&s.Hash, &s.User, &s.Org, &s.CreatedAt, &s.ExpiresAt)
	return s, err
}

// CreateSession keeps a new session.
func (db *DB) CreateSession(ctx context.Context, s saba.Session) error {
	return db.change(ctx, "create a session", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sessions (`+sessionColumns+`) VALUES (`+marks(5)+`)`,
			s.Hash, s.User, s.Org, s.CreatedAt, s.ExpiresAt)
		return err
	})
}

// SessionByHash returns the session whose token has a hash, if it has not expired at now.
func (db *DB) SessionByHash(ctx context.Context, hash string, now int64) (saba.Session, error) {
	s, err := one(db.reader.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE hash = ? AND expires_at > ?`, hash, now),
		scanSession, "this session has ended: sign in again")
	return s, failed(ctx, "look up a session", err)
}

// DeleteSession ends a session. One that has ended already is no error: signing out twice is fine.
func (db *DB) DeleteSession(ctx context.Context, hash string) error {
	return db.change(ctx, "end a session", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE hash = ?`, hash)
		return err
	})
}

// DeleteExpiredSessions forgets the sessions that have expired at now.
func (db *DB) DeleteExpiredSessions(ctx context.Context, now int64) error {
	return db.change(ctx, "forget expired sessions", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE expires_at <= ?`, now)
		return err
	})
}
