package monitor

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
)

// slowQueries takes 8 s for each query, and for ever for one that says so.
type slowQueries struct {
	now   *time.Time
	asked []string
}

func (q *slowQueries) Range(ctx context.Context, _, query string, _, _ int64) ([]saba.QuerySeries, error) {
	q.asked = append(q.asked, query)
	if query == "for ever" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if q.now != nil {
		*q.now = q.now.Add(8 * time.Second)
	}
	return nil, nil
}

// evaluator returns one with these query monitors, whose names are their queries.
func evaluator(t *testing.T, slow *slowQueries, now func() time.Time, queries ...string) (*Evaluator, *sqldb.DB) {
	t.Helper()
	records, err := sqldb.Open(t.Context(), filepath.Join(t.TempDir(), "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { records.Close() })
	if _, err := records.EnsureOrg(t.Context(), saba.Org{ID: "org", Name: "test"}); err != nil {
		t.Fatal(err)
	}
	for _, query := range queries {
		m := saba.Monitor{ID: query, Name: query, Type: saba.MonitorQuery, Query: query, Operator: ">"}
		m.Default()
		if err := records.CreateMonitor(t.Context(), "org", m); err != nil {
			t.Fatal(err)
		}
	}
	return New(Options{Org: "org", Store: records, Queries: slow, Zone: time.UTC, Now: now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)}), records
}

func TestSlowQueriesTakeTurns(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 5, 0, time.UTC)
	slow := &slowQueries{now: &now}
	e, _ := evaluator(t, slow, func() time.Time { return now }, "a", "b", "c", "d", "e", "f", "g")
	for range 4 {
		if err := e.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(slow.asked, ""); got != "abcdefgabc" {
		t.Errorf("asked were %s, want each in turn, three a round, and the first ones again in the next minute", got)
	}
}

func TestAQueryThatTakesTooLongIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowQueries{}
		e, records := evaluator(t, slow, time.Now, "for ever", "b")
		begin := time.Now()
		if err := e.Round(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != evaluationLimit || !slices.Contains(slow.asked, "b") {
			t.Errorf("the round took %v and asked for %v", took, slow.asked)
		}
		alerts, err := records.Alerts(t.Context(), "org", saba.AlertPage{Limit: 10})
		if err != nil || len(alerts) != 1 || alerts[0].Status != saba.CheckUnknown || alerts[0].Message != "for ever cannot be evaluated: it takes longer than 10s" {
			t.Errorf("alerts are %+v, %v", alerts, err)
		}
		// A server that stops is no reason for an alert.
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := e.Round(stopped); err == nil {
			t.Error("a round that was broken off says nothing")
		}
	})
}
