// Package monitor judges samples by the monitors that people have made, and opens, moves and closes alerts. What a
// monitor makes of samples is a pure function (threshold.go, rate.go, baseline.go); the loop (evaluate.go) only fetches, asks and keeps.
// Checks are judged where their reports are kept (internal/sqldb), as an agent says what they are; a round only has those judged
// again that were left for later.
//
// A round takes every monitor and every target that it has: a host in its scopes, or the monitor itself. A target is judged
// when there is a newer sample than at the last time; the same samples are never judged twice, so that an alert which a
// person closes stays closed until the next minute says otherwise. Expressions and queries are judged at times of
// their own (scheduled.go). What is usual is learned of earlier weeks, for an hour at a time (anomaly.go).
package monitor

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/dial"
)

// Records is what a replay asks of the database.
type Records interface {
	Hosts(ctx context.Context, org string, f saba.HostFilter) ([]saba.Host, error)
	Services(ctx context.Context, org string) ([]saba.Service, error)
	Downtimes(ctx context.Context, org string) ([]saba.Downtime, error)
}

// Store is what an Evaluator asks of the database.
type Store interface {
	Records
	Monitors(ctx context.Context, org string) ([]saba.Monitor, error)
	Alerts(ctx context.Context, org string, p saba.AlertPage) ([]saba.Alert, error)
	OpenAlert(ctx context.Context, org string, a saba.Alert, detail *saba.AlertDetail) error
	MoveAlert(ctx context.Context, org, id string, move saba.AlertMove) (saba.Alert, error)
	Checks(ctx context.Context, org, host string) ([]saba.Check, error)
	DeferredChecks(ctx context.Context, org string) ([]saba.Check, error)
	JudgeCheck(ctx context.Context, org, id string, at int64, newID func() (string, error)) error
}

// History is what a replay asks of the engine that keeps samples.
type History interface {
	HostNames(ctx context.Context, org, host string) ([]string, error)
	Like(ctx context.Context, org string, hosts []string, service, pattern string, from, to int64) ([]saba.Series, error)
	Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error)
}

// Samples is what an Evaluator asks of the engine that keeps samples.
type Samples interface {
	History
	Append(ctx context.Context, now time.Time, points []saba.Point) (saba.Drops, error)
	Latest(s saba.Series) (saba.Sample, bool)
	LastSeen(org, host string) (int64, bool)
	Heard(org, host string) (int64, bool)
}

// Queries is what package monitor asks of the evaluator of PromQL.
type Queries interface {
	// Range returns what a query is at each minute from from to to, Unix seconds of whole minutes. An error that matches
	// saba.ErrInvalid says what is wrong with the query, or that it asks for too much.
	Range(ctx context.Context, org, query string, from, to int64) ([]saba.QuerySeries, error)
}

// Options are what an Evaluator needs. All fields are required.
type Options struct {
	Org     string
	Store   Store
	Samples Samples
	Queries Queries
	Dial    dial.Dialer    // reaches the endpoints of external monitors
	Zone    *time.Location // in which the days of downtimes are counted
	Now     func() time.Time
	Random  io.Reader // ids of alerts come from it
	Log     *slog.Logger
}

const (
	// interval is how long after its arrival a sample is judged at the latest.
	interval = 10 * time.Second
	// lateAfter is how old a sample is, in seconds, that is called late in the alert which it opens.
	lateAfter = 20 * 60
	// history is how far back samples count for a mean, in seconds.
	history = 24 * 60 * 60
	// mostSilence is longer than any monitor lets a metric of a service be away, in seconds.
	mostSilence = 8 * 24 * 60 * 60
)
