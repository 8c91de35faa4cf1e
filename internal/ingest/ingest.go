// Package ingest is the one way in for points, whoever brings them: it decides whose they
// are and whether they may be stored, adds what is derived from them, hands them to the
// storage engine, and makes visible what was dropped. It never imports an engine, and never
// fails a batch for one bad point. Start with Writer.HostPoints.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/saba-monitor/saba"
)

// Hosts is what package ingest asks about those who own series.
type Hosts interface {
	// HostRetired says whether a host is retired, or returns an error matching saba.ErrNotFound.
	HostRetired(ctx context.Context, org, id string) (bool, error)
	Services(ctx context.Context, org string) ([]saba.Service, error)
}

// Samples is what package ingest asks of the storage engine.
type Samples interface {
	// Append stores points and returns when they are safe; it keeps none of the slice. It drops what it
	// cannot store and says why; an error means that nothing of the batch can be promised.
	Append(ctx context.Context, now time.Time, points []saba.Point) (saba.Drops, error)
}

// Options are the parts of a Writer. All but Registerer are needed.
type Options struct {
	Hosts      Hosts
	Samples    Samples
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil counts for nobody
	Now        func() time.Time
}

// A Writer takes points in. It is safe for concurrent use.
type Writer struct {
	hosts    Hosts
	samples  Samples
	now      func() time.Time
	received prometheus.Counter
	dropped  *prometheus.CounterVec
	reporter *reporter
}

// New returns a Writer.
func New(o Options) *Writer {
	factory := promauto.With(o.Registerer)
	w := &Writer{
		hosts:   o.Hosts,
		samples: o.Samples,
		now:     o.Now,
		received: factory.NewCounter(prometheus.CounterOpts{
			Name: "saba_points_received_total",
			Help: "Points that clients sent, stored or not.",
		}),
		dropped: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "saba_points_dropped_total",
			Help: "Points that clients sent and that were not stored, by reason.",
		}, []string{"reason"}),
		reporter: newReporter(o.Log),
	}
	for _, reason := range reasons { // a rate needs the zero before the first drop
		w.dropped.WithLabelValues(string(reason))
	}
	return w
}

// HostPoints stores host metrics of org: points carry Host, Name, Time and Value, and are the Writer's
// to change until it returns. It returns when they are safe, with the points that were not
// stored counted by reason: the host is unknown or retired, or the point itself is wrong.
// The error is about the engines alone; then nothing of the batch can be promised.
func (w *Writer) HostPoints(ctx context.Context, org string, points []saba.Point) (saba.Drops, error) {
	b := batch{writer: w, now: w.now(), org: org, points: points}
	owners := map[string]saba.DropReason{} // host id to why its points are dropped, "" for a live host
	// Of the point before: nearly every batch is of one host.
	var host string
	var reason saba.DropReason
	asked := false
	return b.store(ctx, func(p *saba.Point) (saba.DropReason, error) {
		if !asked || p.Host != host {
			var err error
			if reason, err = w.hostDrop(ctx, owners, org, p.Host); err != nil {
				return "", err
			}
			asked, host = true, p.Host
		}
		return reason, nil
	})
}

// hostDrop says why points of a host may not be stored; "" when they may. owners remembers the answers.
func (w *Writer) hostDrop(ctx context.Context, owners map[string]saba.DropReason, org, host string) (saba.DropReason, error) {
	reason, known := owners[host]
	if known {
		return reason, nil
	}
	retired, err := w.hosts.HostRetired(ctx, org, host)
	switch {
	case errors.Is(err, saba.ErrNotFound):
		reason = saba.DropUnknownHost
	case err != nil:
		return "", fmt.Errorf("look up the host of a point: %w", err)
	case retired:
		reason = saba.DropRetiredHost
	}
	owners[host] = reason
	return reason, nil
}

// ServicePoints stores metrics of one service of org: points carry Name, Time and Value. It is
// otherwise like HostPoints. Without the service the error matches saba.ErrNotFound.
func (w *Writer) ServicePoints(ctx context.Context, org, service string, points []saba.Point) (saba.Drops, error) {
	services, err := w.hosts.Services(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("look up service %q: %w", service, err)
	}
	i := slices.IndexFunc(services, func(s saba.Service) bool { return s.Name == service })
	if i < 0 {
		return nil, saba.Errorf(saba.ErrNotFound, "no service %q", service)
	}
	b := batch{writer: w, now: w.now(), org: org, service: service, points: points}
	return b.store(ctx, func(p *saba.Point) (saba.DropReason, error) {
		p.Host, p.Service = "", services[i].Series
		return "", nil
	})
}

// Refuse counts n points of org that never became a saba.Point, because what the client sent
// in their place was not one: "value" was a string, "name" was missing. example shows one.
func (w *Writer) Refuse(org string, n int, example string) {
	if n <= 0 {
		return
	}
	w.received.Add(float64(n))
	w.dropped.WithLabelValues(string(saba.DropBadPoint)).Add(float64(n))
	w.reporter.report(w.now(), org, saba.DropBadPoint, n, slog.String("element", clip(example)))
}

// A batch is the points of one request on their way to the engine.
type batch struct {
	writer  *Writer
	now     time.Time
	org     string
	service string // the name of the service that all points are of; "" when there is none
	points  []saba.Point
	drops   saba.Drops
	example map[saba.DropReason]saba.Point // the first of each reason, for the log
}

// store sends every point that owner and the rules of a point let pass to the engine. owner
// says whose a point is, or why nobody's.
func (b *batch) store(ctx context.Context, owner func(*saba.Point) (saba.DropReason, error)) (saba.Drops, error) {
	w := b.writer
	w.received.Add(float64(len(b.points)))
	defer b.account()

	var memory memory
	kept := b.points[:0]
	for i := range b.points {
		p := &b.points[i]
		reason, err := owner(p)
		if err != nil {
			return b.drops, err
		}
		if reason == "" && !saba.ValidMetricName(p.Name) {
			reason = saba.DropBadName
		}
		if reason == "" {
			reason, _ = p.Acceptable(b.now)
		}
		if reason != "" {
			b.drop(reason, *p)
			continue
		}
		p.Org = b.org
		memory.see(p)
		if len(kept) == i {
			kept = kept[:i+1] // it is in its place already
		} else {
			kept = append(kept, *p)
		}
	}
	kept = memory.derive(b.org, kept)
	return b.write(ctx, w.samples, kept)
}

// write stores points and returns what was dropped of the whole batch.
func (b *batch) write(ctx context.Context, samples Samples, kept []saba.Point) (saba.Drops, error) {
	if len(kept) == 0 {
		return b.drops, nil
	}
	refused, err := samples.Append(ctx, b.now, kept)
	if err != nil {
		return b.drops, fmt.Errorf("store points: %w", err)
	}
	for reason, n := range refused {
		if n > 0 {
			b.drop(reason, kept[0])
			b.drops[reason] += n - 1
		}
	}
	return b.drops, nil
}

// drop counts one point that is not stored.
func (b *batch) drop(reason saba.DropReason, p saba.Point) {
	if b.drops == nil {
		b.drops, b.example = saba.Drops{}, map[saba.DropReason]saba.Point{}
	}
	b.drops[reason]++
	if _, ok := b.example[reason]; !ok {
		b.example[reason] = p
	}
}

// account makes the drops of a batch visible.
func (b *batch) account() {
	for reason, n := range b.drops {
		b.writer.dropped.WithLabelValues(string(reason)).Add(float64(n))
		p := b.example[reason]
		attrs := []slog.Attr{slog.String("metric", clip(p.Name)), slog.Int64("time", p.Time)}
		if service := cmp.Or(b.service, p.Service); service != "" {
			attrs = append(attrs, slog.String("service", service))
		} else {
			attrs = append(attrs, slog.String("host", clip(p.Host)))
		}
		b.writer.reporter.report(b.now, b.org, reason, n, attrs...)
	}
}
