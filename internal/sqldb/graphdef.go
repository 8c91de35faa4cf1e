package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/saba-monitor/saba"
)

// graphMetric is how a saba.GraphDefMetric is kept. The keys are part of the schema.
type graphMetric struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
	Stacked     bool   `json:"stacked,omitempty"`
}

// maxGraphDefs is how many graph definitions an organization has at most. Agents send a few for each kind of
// plugin; pages read all of them.
const maxGraphDefs = 20_000

// PutGraphDefs keeps graph definitions; one whose name exists replaces it, and of two of one
// name the last counts. New ones above 20,000 are left out; the others are kept, and the error
// matches saba.ErrInvalid.
func (db *DB) PutGraphDefs(ctx context.Context, org string, defs []saba.GraphDef) error {
	var full error
	err := db.change(ctx, "keep graph definitions", func(tx *sql.Tx) error {
		full = nil
		var known int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM graph_defs WHERE org = ?`, org).Scan(&known); err != nil {
			return err
		}
		near := known+len(defs) > maxGraphDefs
		for _, d := range defs {
			if near {
				var there int
				if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM graph_defs WHERE org = ? AND name = ?`, org, d.Name).Scan(&there); err != nil {
					return err
				}
				if there == 0 && known >= maxGraphDefs {
					full = cmp.Or(full, saba.Errorf(saba.ErrInvalid, "the organization has %d graph definitions, which is the most: %q was not kept; delete those that are not used any more", known, d.Name))
					continue
				}
				known += 1 - there
			}
			metrics := make([]graphMetric, len(d.Metrics))
			for i, m := range d.Metrics {
				metrics[i] = graphMetric(m)
			}
			b, err := json.Marshal(metrics)
			if err != nil {
				return err
			}
			// Every agent sends the same definitions at each start: what did not change is not written.
			if _, err := tx.ExecContext(ctx, `INSERT INTO graph_defs (org, name, display_name, unit, metrics) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (org, name) DO UPDATE SET display_name = excluded.display_name, unit = excluded.unit, metrics = excluded.metrics
				WHERE graph_defs.display_name <> excluded.display_name OR graph_defs.unit <> excluded.unit OR graph_defs.metrics <> excluded.metrics`,
				org, d.Name, d.DisplayName, string(d.Unit), string(b)); err != nil {
				return err
			}
		}
		return nil
	})
	return cmp.Or(err, full)
}

// GraphDefs returns all graph definitions of an organization by name.
func (db *DB) GraphDefs(ctx context.Context, org string) (defs []saba.GraphDef, err error) {
	err = db.view(ctx, "list graph definitions", func(tx *sql.Tx) error {
		defs, err = list(ctx, tx, scanGraphDef, `SELECT name, display_name, unit, metrics FROM graph_defs WHERE org = ? ORDER BY name`, org)
		return err
	})
	return defs, err
}

func scanGraphDef(row scanner) (d saba.GraphDef, err error) {
	var b []byte
	if err := row.Scan(&d.Name, &d.DisplayName, &d.Unit, &b); err != nil {
		return saba.GraphDef{}, err
	}
	var metrics []graphMetric
	if err := json.Unmarshal(b, &metrics); err != nil {
		return saba.GraphDef{}, fmt.Errorf("metrics of graph definition %q as stored: %w", d.Name, err)
	}
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, saba.GraphDefMetric(m))
	}
	return d, nil
}

// DeleteGraphDef deletes a graph definition.
func (db *DB) DeleteGraphDef(ctx context.Context, org, name string) error {
	return db.change(ctx, "delete a graph definition", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM graph_defs WHERE org = ? AND name = ?`, org, name)
		return touched(result, err, "no graph definition %q", name)
	})
}
