package sqldb

import (
	"context"
	"database/sql"
)

// seenEvery is how long, in seconds, the note of when a graph definition was last seen may be out of date.
const seenEvery = 30 * 60

// SeeGraphDefs notes that graph definitions were put, or metrics of theirs arrived, at a time in Unix seconds. Names
// of none are left out.
func (db *DB) SeeGraphDefs(ctx context.Context, org string, names []string, at int64) error {
	return db.change(ctx, "note that graph definitions are in use", func(tx *sql.Tx) error {
		for _, n := range names {
			if _, err := tx.ExecContext(ctx, `UPDATE graph_defs SET seen_at = ? WHERE org = ? AND name = ? AND seen_at <= ?`, at, org, n, at-seenEvery); err != nil {
				return err
			}
		}
		return nil
	})
}

// ForgetGraphDefs deletes those of the named graph definitions that were last seen before a time, in Unix seconds. What was
// never looked for counts as seen now. It returns how many it deleted.
func (db *DB) ForgetGraphDefs(ctx context.Context, org string, names []string, before, now int64) (gone int, err error) {
	err = db.change(ctx, "forget graph definitions that nobody uses", func(tx *sql.Tx) error {
		gone = 0
		for _, n := range names {
			if _, err := tx.ExecContext(ctx, `UPDATE graph_defs SET seen_at = ? WHERE org = ? AND name = ? AND seen_at = 0`, now, org, n); err != nil {
				return err
			}
			result, err := tx.ExecContext(ctx, `DELETE FROM graph_defs WHERE org = ? AND name = ? AND seen_at < ?`, org, n, before)
			if err != nil {
				return err
			}
			deleted, err := result.RowsAffected()
			if err != nil {
				return err
			}
			gone += int(deleted)
		}
		return nil
	})
	return gone, err
}
