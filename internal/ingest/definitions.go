package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/saba-monitor/saba"
)

// Definitions forgets the graph definitions with wildcards of which no metric arrives any more: a plugin that names
// metrics after containers or queues defines them without end. All fields are required.
type Definitions struct {
	Store interface {
		GraphDefs(ctx context.Context, org string) ([]saba.GraphDef, error)
		// SeeGraphDefs notes that definitions were seen at a time in Unix seconds.
		SeeGraphDefs(ctx context.Context, org string, names []string, at int64) error
		// ForgetGraphDefs deletes those of names that were last seen before a time; what was never seen is seen now.
		ForgetGraphDefs(ctx context.Context, org string, names []string, before, now int64) (int, error)
	}
	Samples interface {
		// RecentNames returns the names of the metrics that have a sample at or after a time in Unix seconds.
		RecentNames(org string, since int64) []string
	}
	Org string
	Log *slog.Logger
	Now func() time.Time
}

// A definition is forgotten between six and eight hours after the last metric of its own, as the protocol has it.
const (
	lookEvery   = time.Hour
	forgetAfter = 6 * time.Hour
)

// Run looks once an hour, until ctx ends. Nothing is forgotten in the first hours: what was not seen while saba was stopped, and
// while agents come back after that, says nothing.
func (d *Definitions) Run(ctx context.Context) {
	began := d.Now()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := d.look(ctx, began); err != nil && ctx.Err() == nil {
			d.Log.Error("graph definitions that nobody uses could not be looked for; the next try is in an hour", "error", err)
		}
	}
}

// look notes which definitions are in use and forgets those that were not for too long.
func (d *Definitions) look(ctx context.Context, began time.Time) error {
	all, err := d.Store.GraphDefs(ctx, d.Org)
	if err != nil {
		return fmt.Errorf("list graph definitions: %w", err)
	}
	now := d.Now()
	used := saba.MatchedGraphDefs(all, d.Samples.RecentNames(d.Org, now.Add(-lookEvery).Unix()))
	var seen, idle []string
	for _, def := range all {
		switch {
		case !def.Wildcard():
		case used[def.Name]:
			seen = append(seen, def.Name)
		default:
			idle = append(idle, def.Name)
		}
	}
	if err := d.Store.SeeGraphDefs(ctx, d.Org, seen, now.Unix()); err != nil {
		return err
	}
	if now.Sub(began) < forgetAfter || len(idle) == 0 {
		return nil
	}
	gone, err := d.Store.ForgetGraphDefs(ctx, d.Org, idle, now.Add(-forgetAfter).Unix(), now.Unix())
	if gone > 0 {
		d.Log.Info("graph definitions with wildcards were forgotten: no metric of theirs arrived for six hours", "count", gone)
	}
	return err
}
