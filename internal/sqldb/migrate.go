package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/saba-monitor/saba"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

// migrations returns the scripts that make the schema, oldest first: the first makes version 1
// from nothing. A script is never changed once it was released; the next one mends it.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migration/*.sql") // in order of their names
	if err != nil {
		return nil, err
	}
	scripts := make([]string, len(names))
	for i, name := range names {
		b, err := fs.ReadFile(migrationFiles, name)
		if err != nil {
			return nil, err
		}
		scripts[i] = string(b)
	}
	return scripts, nil
}

// migrate brings the schema up to date, each step in a transaction of its own, so that a crash
// leaves a version and never something between two.
func migrate(ctx context.Context, writer *sql.DB, d dialect) error {
	scripts, err := migrations()
	if err != nil {
		return err
	}
	for {
		var version int
		err := transact(ctx, writer, d.change, func(tx *sql.Tx) (err error) {
			version, err = migrateStep(ctx, tx, d, scripts)
			return err
		})
		if err != nil || version == len(scripts) {
			return failed(ctx, "bring the schema up to date", err)
		}
	}
}

// migrateStep takes the schema one version up, or nowhere when it is up to date, and returns
// the version that it then has.
func migrateStep(ctx context.Context, tx *sql.Tx, d dialect, scripts []string) (version int, err error) {
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (version BIGINT NOT NULL PRIMARY KEY)`); err != nil {
		return 0, err
	}
	if version, err = schemaVersion(ctx, tx, len(scripts)); err != nil || version == len(scripts) {
		return version, err
	}
	script := scripts[version]
	if d.script != nil {
		script = d.script(script)
	}
	if _, err := tx.ExecContext(ctx, script); err != nil {
		return 0, fmt.Errorf("make version %d: %w", version+1, err)
	}
	if version == 0 {
		if _, err := tx.ExecContext(ctx, d.mark); err != nil {
			return 0, err
		}
	}
	version++
	_, err = tx.ExecContext(ctx, `INSERT INTO migrations (version) VALUES (?)`, version)
	return version, err
}

// knownVersion returns the version of the schema; one that this program does not know is an error matching saba.ErrInvalid.
func knownVersion(ctx context.Context, tx *sql.Tx) (version int, err error) {
	scripts, err := migrations()
	if err != nil {
		return 0, err
	}
	return schemaVersion(ctx, tx, len(scripts))
}

func schemaVersion(ctx context.Context, tx *sql.Tx, known int) (version int, err error) {
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM migrations`).Scan(&version); err != nil {
		return 0, err
	}
	if version <= known {
		return version, nil
	}
	return 0, saba.Errorf(saba.ErrInvalid, "it was written by a newer saba (its schema has version %d, this program knows %d): start that newer saba, or restore a backup made before the upgrade", version, known)
}
