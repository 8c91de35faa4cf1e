package sqldb

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// A shelf is where the metadata of one owner is kept.
type shelf struct {
	table   string
	columns string // of the table, that hold the owner
	args    []any  // values of columns
	limit   int    // namespaces
	owner   string // for messages: `host "x"`
	retired bool   // the owner is a retired host, whose metadata can only be read
}

// where returns the condition that selects the owner's rows.
func (s shelf) where() string { return strings.ReplaceAll(s.columns, ", ", " = ? AND ") + " = ?" }

// with returns the arguments of where, followed by more.
func (s shelf) with(more ...any) []any { return append(s.args[:len(s.args):len(s.args)], more...) }

// openShelf finds the owner, so that a missing one is told from a missing namespace.
func openShelf(ctx context.Context, tx *sql.Tx, o saba.MetadataOwner) (shelf, error) {
	switch {
	case o.Host != "":
		h, err := readHost(ctx, tx, o.Org, o.Host)
		return shelf{"host_metadata", "host", []any{o.Host}, saba.MaxMetadataNamespaces, "host " + strconv.Quote(o.Host), h.Retired()}, err
	case o.Role != "":
		_, err := readRole(ctx, tx, o.Org, o.Service, o.Role)
		return shelf{"role_metadata", "org, service, role", []any{o.Org, o.Service, o.Role}, saba.MaxMetadataRoleNamespaces, "role " + strconv.Quote(o.Service+":"+o.Role), false}, err
	}
	_, err := readService(ctx, tx, o.Org, o.Service)
	return shelf{"service_metadata", "org, service", []any{o.Org, o.Service}, saba.MaxMetadataNamespaces, "service " + strconv.Quote(o.Service), false}, err
}

// Metadata returns the document of an owner under a namespace.
func (db *DB) Metadata(ctx context.Context, o saba.MetadataOwner, ns string) (m saba.Metadata, err error) {
	err = db.view(ctx, "read metadata", func(tx *sql.Tx) error {
		s, err := openShelf(ctx, tx, o)
		if err != nil {
			return err
		}
		m, err = one(tx.QueryRowContext(ctx, `SELECT namespace, value, updated_at FROM `+s.table+` WHERE `+s.where()+` AND namespace = ?`, s.with(ns)...),
			scanMetadata, "%s has no metadata %q", s.owner, ns)
		return err
	})
	return m, err
}

func scanMetadata(row scanner) (m saba.Metadata, err error) {
	err = row.Scan(&m.Namespace, (*[]byte)(&m.Value), &m.UpdatedAt)
	return m, err
}

// PutMetadata keeps a document, in place of the one under the same namespace if there is one. A
// document that is too large is an error matching saba.ErrTooLarge; one namespace too many, or
// a retired host, one matching saba.ErrInvalid.
func (db *DB) PutMetadata(ctx context.Context, o saba.MetadataOwner, m saba.Metadata) error {
	return db.change(ctx, "keep metadata", func(tx *sql.Tx) error {
		s, err := openShelf(ctx, tx, o)
		if err != nil {
			return err
		}
		if s.retired {
			return errRetired(o.Host)
		}
		if len(m.Value) > saba.MaxMetadataSize {
			return saba.Errorf(saba.ErrTooLarge, "metadata %q has %d bytes: at most %d are kept", m.Namespace, len(m.Value), saba.MaxMetadataSize)
		}
		var others int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+s.table+` WHERE `+s.where()+` AND namespace <> ?`, s.with(m.Namespace)...).Scan(&others); err != nil {
			return err
		}
		if others >= s.limit {
			return saba.Errorf(saba.ErrInvalid, "%s has %d metadata namespaces, the most there may be: delete one before you add %q", s.owner, others, m.Namespace)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO `+s.table+` (`+s.columns+`, namespace, value, updated_at) VALUES (`+marks(len(s.args)+3)+`)
			ON CONFLICT (`+s.columns+`, namespace) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`,
			s.with(m.Namespace, string(m.Value), m.UpdatedAt)...)
		if err != nil {
			return err
		}
		return offerCulprits(ctx, tx, o.Host, m)
	})
}

// DeleteMetadata deletes the document of an owner under a namespace. A retired host is an error
// matching saba.ErrInvalid.
func (db *DB) DeleteMetadata(ctx context.Context, o saba.MetadataOwner, ns string) error {
	return db.change(ctx, "delete metadata", func(tx *sql.Tx) error {
		s, err := openShelf(ctx, tx, o)
		if err != nil {
			return err
		}
		if s.retired {
			return errRetired(o.Host)
		}
		result, err := tx.ExecContext(ctx, `DELETE FROM `+s.table+` WHERE `+s.where()+` AND namespace = ?`, s.with(ns)...)
		return touched(result, err, "%s has no metadata %q", s.owner, ns)
	})
}

// MetadataNamespaces returns the namespaces under which an owner has documents, sorted.
func (db *DB) MetadataNamespaces(ctx context.Context, o saba.MetadataOwner) (namespaces []string, err error) {
	err = db.view(ctx, "list metadata", func(tx *sql.Tx) error {
		s, err := openShelf(ctx, tx, o)
		if err != nil {
			return err
		}
		namespaces, err = list(ctx, tx, scanString, `SELECT namespace FROM `+s.table+` WHERE `+s.where()+` ORDER BY namespace`, s.args...)
		return err
	})
	return namespaces, err
}
