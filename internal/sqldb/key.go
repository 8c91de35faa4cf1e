package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/saba-monitor/saba"
)

// touchEvery is the least distance in seconds between two writes of a key's last use, so that
// requests do not wait for the disk to remember that they came.
const touchEvery = 60

const keyColumns = `id, org, name, hash, can_read, can_write, created_at, used_at`

func scanKey(row scanner) (k saba.Key, err error) {
	var read, write int64
	err = row.Scan(&k.ID, &k.Org, &k.Name, &k.Hash, &read, &write, &k.CreatedAt, &k.UsedAt)
	k.Read, k.Write = read != 0, write != 0
	return k, err
}

// scanKeyNetworks reads keyColumns and the networks of the key's organization.
func scanKeyNetworks(row scanner) (k saba.Key, err error) {
	var read, write int64
	var cidrs string
	if err := row.Scan(&k.ID, &k.Org, &k.Name, &k.Hash, &read, &write, &k.CreatedAt, &k.UsedAt, &cidrs); err != nil {
		return saba.Key{}, err
	}
	k.Read, k.Write = read != 0, write != 0
	if cidrs == "" {
		return k, nil
	}
	if err := json.Unmarshal([]byte(cidrs), &k.Networks); err != nil {
		return saba.Key{}, fmt.Errorf("the networks of organization %q as stored: %w", k.Org, err)
	}
	return k, nil
}

// CreateKey keeps a new API key. A key of the same secret is an error matching saba.ErrConflict.
func (db *DB) CreateKey(ctx context.Context, k saba.Key) error {
	return db.change(ctx, "create an API key", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO api_keys (`+keyColumns+`) VALUES (`+marks(8)+`)`,
			k.ID, k.Org, k.Name, k.Hash, bit(k.Read), bit(k.Write), k.CreatedAt, k.UsedAt)
		if isTaken(err) {
			return saba.Errorf(saba.ErrConflict, "this API key exists already")
		}
		return err
	})
}

// KeyByHash returns the API key whose secret has a hash, of whatever organization: the key is
// what says which one. Its networks are not the caller's to change.
func (db *DB) KeyByHash(ctx context.Context, hash string) (saba.Key, error) {
	after := db.changes.Load()
	if k, ok := db.keys.get(after, hash); ok {
		return k, nil
	}
	// One statement for both, since every request runs it.
	k, err := one(db.reader.QueryRowContext(db.brief(ctx), `SELECT `+keyColumns+`, coalesce((SELECT cidrs FROM ip_restrictions r
		WHERE r.org = api_keys.org AND r.surface = 'api'), '') FROM api_keys WHERE hash = ?`, hash), scanKeyNetworks, "no such API key")
	if err == nil && db.dialect.near {
		db.keys.put(after, hash, k)
	}
	return k, failed(ctx, "look up an API key", err)
}

// Keys returns the API keys of an organization, oldest first.
func (db *DB) Keys(ctx context.Context, org string) (keys []saba.Key, err error) {
	err = db.view(ctx, "list API keys", func(tx *sql.Tx) error {
		keys, err = list(ctx, tx, scanKey, `SELECT `+keyColumns+` FROM api_keys WHERE org = ? ORDER BY created_at, id`, org)
		return err
	})
	return keys, err
}

// DeleteKey deletes an API key. Hosts that it registered stay.
func (db *DB) DeleteKey(ctx context.Context, org, id string) error {
	return db.change(ctx, "delete an API key", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM api_keys WHERE org = ? AND id = ?`, org, id)
		return touched(result, err, "no API key %q", id)
	})
}

// TouchKey notes that a request at a time in Unix seconds carried the key. It may be called for
// each request: it writes at most once a minute. A key that was deleted meanwhile is no error.
func (db *DB) TouchKey(ctx context.Context, id string, at int64) error {
	const op = "note the use of an API key"
	var due bool
	err := db.reader.QueryRowContext(ctx, `SELECT count(*) > 0 FROM api_keys WHERE id = ? AND used_at <= ?`, id, at-touchEvery).Scan(&due)
	if err != nil || !due {
		return failed(ctx, op, err)
	}
	return db.change(ctx, op, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE api_keys SET used_at = ? WHERE id = ? AND used_at <= ?`, at, id, at-touchEvery)
		return err
	})
}
