package ingest

import (
	"context"

	"github.com/saba-monitor/saba"
)

// The reasons for which points of labelled series are dropped, besides those of all points. Their
// senders get them in words, so they are counted and not logged.
const (
	DropNoOwner     saba.DropReason = "no_owner"     // the series names neither a host nor a service
	DropSeriesLimit saba.DropReason = "series_limit" // the organization has as many series as it may have
	DropUnsupported saba.DropReason = "unsupported"  // a kind of value that is not kept
)

// DefaultMaxSeries is how many series an organization may have before Labelled takes in no new ones.
const DefaultMaxSeries = 300_000

// Series is what Labelled asks of the storage engine besides Samples.
type Series interface {
	// Latest returns the newest sample of a series, and whether it had one of late.
	Latest(s saba.Series) (saba.Sample, bool)
	// Active returns how many series of an organization had a sample of late.
	Active(org string) int
}

// Labelled takes in points of series that came with labels, from senders of other systems. They
// make series as they like, so how many there may be is limited. It is safe for concurrent use.
type Labelled struct {
	writer *Writer
	series Series
	limit  int
}

// NewLabelled returns a Labelled that stores through w. An organization gets new series while it
// has fewer than limit, requests at the same moment aside.
func NewLabelled(w *Writer, series Series, limit int) *Labelled {
	return &Labelled{writer: w, series: series, limit: limit}
}

// Limit returns how many series an organization may have.
func (l *Labelled) Limit() int { return l.limit }

// Points stores points: each carries Host or Service, Name as the storage engine writes it, Time
// and Value, and they are l's to change until it returns. A service must exist. Nothing is derived from them.
// It is otherwise like Writer.HostPoints.
func (l *Labelled) Points(ctx context.Context, org string, points []saba.Point) (drops saba.Drops, err error) {
	w := l.writer
	b := batch{writer: w, now: w.now(), org: org, points: points}
	w.received.Add(float64(len(points)))
	over := 0
	defer func() {
		b.account()
		if over > 0 {
			w.dropped.WithLabelValues(string(DropSeriesLimit)).Add(float64(over))
			if drops == nil {
				drops = saba.Drops{}
			}
			drops[DropSeriesLimit] = over
		}
	}()

	owners := map[string]saba.DropReason{} // host id to why its points are dropped, "" for a live host
	allowed := map[saba.Series]bool{}      // whether its points may be stored
	room := -1                             // how many series may still be new; -1 while that is not known
	kept := points[:0]
	for _, p := range points {
		p.Org = org
		var reason saba.DropReason
		if p.Host != "" {
			if reason, err = w.hostDrop(ctx, owners, org, p.Host); err != nil {
				return b.drops, err
			}
		}
		if reason == "" {
			reason, _ = p.Acceptable(b.now)
		}
		if reason != "" {
			b.drop(reason, p)
			continue
		}
		ok, seen := allowed[p.Series]
		if !seen {
			if _, ok = l.series.Latest(p.Series); !ok {
				if room < 0 {
					room = max(l.limit-l.series.Active(org), 0)
				}
				if ok = room > 0; ok {
					room--
				}
			}
			allowed[p.Series] = ok
		}
		if !ok {
			over++
			continue
		}
		kept = append(kept, p)
	}
	return b.write(ctx, w.samples, kept)
}

// Count counts n points that never became a saba.Point, for a reason that their sender was told.
func (l *Labelled) Count(reason saba.DropReason, n int) {
	if n > 0 {
		l.writer.received.Add(float64(n))
		l.writer.dropped.WithLabelValues(string(reason)).Add(float64(n))
	}
}
