package tsdb

import (
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/saba-monitor/saba"
)

// Querier returns a reader for PromQL of the samples of one organization in [mint, maxt], Unix
// milliseconds. It is the one place where the engine's types leave this package. What it shows:
//
//   - Series of org alone. The label org does not exist here: a matcher of that name means a
//     label that a sender gave to the series.
//   - The labels __name__, host or service, and those that came with the series.
//   - One sample a minute, at its first second, as everywhere: the last one written wins.
//
// The engine stays open until the Querier is closed, and its strings must not be used after that.
func (db *DB) Querier(org string, mint, maxt int64) (storage.Querier, error) {
	db.mu.RLock()
	if db.engine == nil {
		db.mu.RUnlock()
		return nil, errClosed
	}
	from, to := wholeMinutes(mint, maxt)
	inner, err := db.engine.db.Querier(from, to)
	if err != nil {
		db.mu.RUnlock()
		return nil, explainChunk(db.dir, err)
	}
	return &querier{inner: inner, org: org, unlock: db.mu.RUnlock}, nil
}

// wholeMinutes returns where the engine has the samples of the minutes that begin in [mint, maxt].
func wholeMinutes(mint, maxt int64) (from, to int64) {
	const minute = saba.Resolution * 1000
	// Nothing is stored near the ends of what can be counted.
	mint, maxt = max(mint, math.MinInt64+2*minute), min(maxt, math.MaxInt64-2*minute)
	if from = minuteOf(mint) * 1000; from < mint {
		from += minute
	}
	return from, minuteOf(maxt)*1000 + minute - 1
}

type querier struct {
	inner  storage.Querier
	org    string
	unlock func()
}

// Close implements storage.Querier.
func (q *querier) Close() error {
	defer q.unlock()
	return q.inner.Close()
}

// engineName returns the name that the engine has for a label of Querier.
func engineName(name string) string {
	switch name {
	case nameLabel, hostLabel, serviceLabel:
		return name
	}
	return extraPrefix + name
}

// visibleName is the inverse of engineName. ok is false for labels that are not shown.
func visibleName(name string) (string, bool) {
	switch name {
	case nameLabel, hostLabel, serviceLabel:
		return name, true
	}
	return isExtra(name)
}

// matchers returns what the engine shall match.
func (q *querier) matchers(ms []*labels.Matcher) []*labels.Matcher {
	out := make([]*labels.Matcher, 0, len(ms)+1)
	for _, m := range ms {
		mine := *m
		mine.Name = engineName(m.Name)
		out = append(out, &mine)
	}
	return append(out, equal(orgLabel, q.org))
}

// Select implements storage.Querier.
func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if q.org == "" {
		return storage.EmptySeriesSet()
	}
	if hints != nil {
		mine := *hints
		mine.Start, mine.End = wholeMinutes(hints.Start, hints.End)
		hints = &mine
	}
	set := &seriesSet{SeriesSet: q.inner.Select(ctx, false, hints, q.matchers(ms)...)}
	if !sorted {
		return set
	}
	var all []storage.Series
	for set.Next() {
		all = append(all, set.At())
	}
	if err := set.Err(); err != nil {
		return storage.ErrSeriesSet(err)
	}
	slices.SortFunc(all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &listed{all: all, warnings: set.Warnings()}
}

// LabelValues implements storage.LabelQuerier.
func (q *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if q.org == "" {
		return nil, nil, nil
	}
	return q.inner.LabelValues(ctx, engineName(name), hints, q.matchers(ms)...)
}

// LabelNames implements storage.LabelQuerier.
func (q *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if q.org == "" {
		return nil, nil, nil
	}
	names, warnings, err := q.inner.LabelNames(ctx, hints, q.matchers(ms)...)
	var shown []string
	for _, n := range names {
		if n, ok := visibleName(n); ok {
			shown = append(shown, n)
		}
	}
	slices.Sort(shown)
	return shown, warnings, err
}

// seriesSet shows the series of the engine's set as Querier promises.
type seriesSet struct {
	storage.SeriesSet
	builder labels.ScratchBuilder
}

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series {
	inner := s.SeriesSet.At()
	s.builder.Reset()
	inner.Labels().Range(func(l labels.Label) {
		if name, ok := visibleName(l.Name); ok {
			s.builder.Add(name, l.Value)
		}
	})
	s.builder.Sort()
	return shown{labels: s.builder.Labels(), inner: inner}
}

// shown is one series.
type shown struct {
	labels labels.Labels
	inner  storage.Series
}

// Labels implements storage.Series.
func (s shown) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s shown) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	m, ok := it.(*minuteIterator)
	if !ok {
		m = &minuteIterator{}
	}
	*m = minuteIterator{inner: s.inner.Iterator(m.inner), at: never}
	return m
}

// listed is a set of series that are there already.
type listed struct {
	all      []storage.Series
	next     int
	warnings annotations.Annotations
}

// Next implements storage.SeriesSet.
func (l *listed) Next() bool { l.next++; return l.next <= len(l.all) }

// At implements storage.SeriesSet.
func (l *listed) At() storage.Series { return l.all[l.next-1] }

// Err implements storage.SeriesSet.
func (l *listed) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (l *listed) Warnings() annotations.Annotations { return l.warnings }

// A minuteIterator yields the last sample of each minute, at the minute's first second. Only
// floats are stored.
type minuteIterator struct {
	inner  chunkenc.Iterator
	ahead  bool  // inner stands on the first sample of the next minute
	at     int64 // Unix milliseconds; never before the first sample
	value  float64
	failed bool // or at its end
}

// A millis is a time in Unix milliseconds. The name also tells go vet that Seek is not io.Seeker's.
type millis = int64

// Next implements chunkenc.Iterator.
func (m *minuteIterator) Next() chunkenc.ValueType {
	if m.failed || !m.ahead && m.inner.Next() != chunkenc.ValFloat {
		m.failed = true
		return chunkenc.ValNone
	}
	return m.minute()
}

// Seek implements chunkenc.Iterator.
func (m *minuteIterator) Seek(t millis) chunkenc.ValueType {
	switch {
	case m.failed:
		return chunkenc.ValNone
	case m.at != never && m.at >= t:
		return chunkenc.ValFloat
	}
	from, _ := wholeMinutes(t, t)
	if m.ahead {
		if at, _ := m.inner.At(); at >= from {
			return m.minute()
		}
	}
	if m.inner.Seek(from) != chunkenc.ValFloat {
		m.failed = true
		return chunkenc.ValNone
	}
	return m.minute()
}

// minute reads the minute on whose first sample inner stands.
func (m *minuteIterator) minute() chunkenc.ValueType {
	ms, v := m.inner.At()
	begin := minuteOf(ms)
	m.at, m.value, m.ahead = begin*1000, v, false
	for m.inner.Next() == chunkenc.ValFloat {
		if ms, v = m.inner.At(); minuteOf(ms) != begin {
			m.ahead = true
			return chunkenc.ValFloat
		}
		m.value = v
	}
	// What cannot be read may hold the minute's last value.
	if m.inner.Err() != nil {
		m.failed = true
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (m *minuteIterator) At() (int64, float64) { return m.at, m.value }

// AtT implements chunkenc.Iterator.
func (m *minuteIterator) AtT() int64 { return m.at }

// AtST implements chunkenc.Iterator: when a counter began is not stored.
func (*minuteIterator) AtST() int64 { return 0 }

// AtHistogram implements chunkenc.Iterator. It is never called, as no sample is a histogram.
func (m *minuteIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return m.at, nil
}

// AtFloatHistogram implements chunkenc.Iterator, as AtHistogram does.
func (m *minuteIterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return m.at, nil
}

// Err implements chunkenc.Iterator.
func (m *minuteIterator) Err() error { return m.inner.Err() }
