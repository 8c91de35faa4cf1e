package sqldb

import (
	"context"
	"database/sql"

	"github.com/saba-monitor/saba"
)

var annotations = shelfOf[saba.GraphAnnotation]{"graph_annotations", "graph annotation", 100_000}

// GraphAnnotations returns the annotations of a service that touch [from, to], in Unix seconds, by the time at which they begin.
func (db *DB) GraphAnnotations(ctx context.Context, org, service string, from, to int64) (all []saba.GraphAnnotation, err error) {
	err = db.view(ctx, "list graph annotations", func(tx *sql.Tx) error {
		if _, err := readService(ctx, tx, org, service); err != nil {
			return err
		}
		all, err = list(ctx, tx, annotations.scan, `SELECT doc FROM graph_annotations
			WHERE org = ? AND service = ? AND from_at <= ? AND to_at >= ? ORDER BY from_at, id`, org, service, to, from)
		return err
	})
	return all, err
}

const annotationColumns = "service, from_at, to_at"

// CreateGraphAnnotation keeps a new annotation, whose ID the caller chose. A service or role that does not exist is
// an error matching saba.ErrNotFound.
func (db *DB) CreateGraphAnnotation(ctx context.Context, org string, a saba.GraphAnnotation) error {
	return db.change(ctx, "create a graph annotation", func(tx *sql.Tx) error {
		if err := checkAnnotation(ctx, tx, org, a); err != nil {
			return err
		}
		return annotations.insert(ctx, tx, org, a.ID, a, annotationColumns, a.Service, a.From, a.To)
	})
}

// UpdateGraphAnnotation replaces an annotation by what change makes of it, and returns that.
func (db *DB) UpdateGraphAnnotation(ctx context.Context, org, id string, change func(old saba.GraphAnnotation) (saba.GraphAnnotation, error)) (saba.GraphAnnotation, error) {
	return updateOne(ctx, db, annotations, org, id, change, annotationColumns, func(tx *sql.Tx, a saba.GraphAnnotation) ([]any, error) {
		return []any{a.Service, a.From, a.To}, checkAnnotation(ctx, tx, org, a)
	})
}

// DeleteGraphAnnotation deletes an annotation and returns it as it was.
func (db *DB) DeleteGraphAnnotation(ctx context.Context, org, id string) (a saba.GraphAnnotation, err error) {
	err = db.change(ctx, "delete a graph annotation", func(tx *sql.Tx) error {
		a, err = annotations.remove(ctx, tx, org, id)
		return err
	})
	return a, err
}

func checkAnnotation(ctx context.Context, tx *sql.Tx, org string, a saba.GraphAnnotation) error {
	if _, err := readService(ctx, tx, org, a.Service); err != nil {
		return err
	}
	for _, r := range a.Roles {
		if _, err := readRole(ctx, tx, org, a.Service, r); err != nil {
			return err
		}
	}
	return nil
}
