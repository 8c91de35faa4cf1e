package tsdb

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/saba-monitor/saba"
)

// The labels of a series, in the order in which the engine sorts them. The name is stored
// verbatim: the engine takes any UTF-8, dots included.
const (
	nameLabel    = "__name__"
	hostLabel    = "host"
	orgLabel     = "org"
	serviceLabel = "service"
)

func labelsOf(b *labels.ScratchBuilder, s *saba.Series) labels.Labels {
	b.Reset()
	base, extra, _ := splitName(s.Name) // Append took it, so it is valid
	b.Add(nameLabel, base)
	if s.Host != "" {
		b.Add(hostLabel, s.Host)
	}
	b.Add(orgLabel, s.Org)
	if s.Service != "" {
		b.Add(serviceLabel, s.Service)
	}
	for _, l := range extra { // sorted, and extraPrefix sorts after our labels
		b.Add(extraPrefix+l.Name, l.Value)
	}
	return b.Labels()
}

// seriesOf is the inverse of labelsOf. Its strings are parts of the engine's memory: clone what is kept.
func seriesOf(l labels.Labels) saba.Series {
	return saba.Series{Org: l.Get(orgLabel), Host: l.Get(hostLabel), Service: l.Get(serviceLabel), Name: nameOf(l)}
}

func equal(label, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, label, value)
}

// oneOf matches any of values, which the engine looks up one by one rather than as a pattern.
func oneOf(label string, values []string) *labels.Matcher {
	if len(values) == 1 {
		return equal(label, values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return labels.MustNewMatcher(labels.MatchRegexp, label, strings.Join(quoted, "|"))
}

func ownedBy(k owner) []*labels.Matcher {
	if k.host != "" {
		return []*labels.Matcher{equal(orgLabel, k.org), equal(hostLabel, k.host)}
	}
	return []*labels.Matcher{equal(orgLabel, k.org), equal(serviceLabel, k.service)}
}

// Range returns, for each series, its samples with from <= time <= to (Unix seconds) in time
// order, one a minute; nil for a series that has none. A series that is asked for twice shares
// its samples. How much is read at once is the caller's to limit: a sample takes 16 bytes.
func (db *DB) Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error) {
	samples := make([][]saba.Sample, len(series))
	// Nothing is stored outside the years that milliseconds can count.
	const most = math.MaxInt64 / 1000 / 2
	from, to = min(max(from, -most), most), min(max(to, -most), most)
	if first := saba.Minute(from); first < from {
		from = first + saba.Resolution // that minute's time lies before from
	}
	if to = saba.Minute(to); to < from {
		return samples, nil
	}
	err := db.read(func(e *engine) error {
		q, err := e.db.Querier(from*1000, to*1000+59_999)
		if err != nil {
			return err
		}
		defer q.Close()
		for _, sel := range selections(series) {
			if err := sel.each(ctx, q, func(s saba.Series, it chunkenc.Iterator) error {
				at := sel.want[s]
				got, err := minutes(it, to)
				if err != nil {
					return fmt.Errorf("series %s: %w", s.Name, err)
				}
				for _, i := range at {
					samples[i] = got
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, explainChunk(db.dir, fmt.Errorf("read samples: %w", err))
	}
	return samples, nil
}

// read calls f with the engine, which stays open meanwhile.
func (db *DB) read(f func(*engine) error) error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.engine == nil {
		return errClosed
	}
	return f(db.engine)
}

// minutes reads the last sample of each minute until to, Unix seconds. The result is nil if there is none.
func minutes(it chunkenc.Iterator, to int64) ([]saba.Sample, error) {
	var out []saba.Sample
	for it.Next() == chunkenc.ValFloat {
		ms, v := it.At()
		m := minuteOf(ms)
		if last := len(out) - 1; last >= 0 && out[last].Time == m {
			out[last].Value = v
			continue
		}
		if out == nil { // room for a day at once; a series that has fewer minutes is rare
			out = make([]saba.Sample, 0, min((to-m)/saba.Resolution+1, 1440))
		}
		out = append(out, saba.Sample{Time: m, Value: v})
	}
	return out, it.Err()
}

// A selection is a question to the engine that finds several series at once.
type selection struct {
	matchers []*labels.Matcher
	want     map[saba.Series][]int // which of them were asked for, and where they stand
}

// maxAlternatives bounds the values that a question lists; beyond, it asks for more than is
// wanted and drops the rest, as the list costs more than that.
const maxAlternatives = 64

// selections groups series into few questions: one an owner, as for the graphs of a host, or one
// a name, as for the load of every host.
func selections(series []saba.Series) []selection {
	type named struct{ org, name string }
	owners, names := map[owner][]int{}, map[named][]int{}
	for i := range series {
		s := &series[i]
		if s.Org == "" || s.Name == "" || (s.Host == "") == (s.Service == "") {
			continue // nobody's: an empty value would match every series without that label
		}
		owners[ownerOf(s)] = append(owners[ownerOf(s)], i)
		names[named{s.Org, s.Name}] = append(names[named{s.Org, s.Name}], i)
	}
	var sels []selection
	add := func(is []int, label string, value func(*saba.Series) string, ms ...*labels.Matcher) {
		sel := selection{matchers: ms, want: make(map[saba.Series][]int, len(is))}
		var values []string
		for _, i := range is {
			sel.want[series[i]] = append(sel.want[series[i]], i)
			values = append(values, value(&series[i]))
		}
		slices.Sort(values)
		if values = slices.Compact(values); len(values) <= maxAlternatives && values[0] != "" {
			sel.matchers = append(sel.matchers, oneOf(label, values))
		}
		sels = append(sels, sel)
	}
	if len(owners) <= len(names) {
		for k, is := range owners {
			add(is, nameLabel, func(s *saba.Series) string { return baseName(s.Name) }, ownedBy(k)...)
		}
		return sels
	}
	for k, is := range names {
		// Series of services among them have no host: values[0] is "" then, and all are asked for.
		add(is, hostLabel, func(s *saba.Series) string { return s.Host }, equal(orgLabel, k.org), equal(nameLabel, baseName(k.name)))
	}
	return sels
}

// each calls f for every wanted series that q has samples of. The iterator is valid until f returns.
func (s selection) each(ctx context.Context, q storage.Querier, f func(saba.Series, chunkenc.Iterator) error) error {
	set := q.Select(ctx, false, nil, s.matchers...)
	var it chunkenc.Iterator
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		series := set.At()
		key := seriesOf(series.Labels())
		if _, ok := s.want[key]; !ok {
			continue
		}
		it = series.Iterator(it)
		if err := f(key, it); err != nil {
			return err
		}
	}
	return set.Err()
}

// HostNames returns the names of the metrics that a host has, over all that is kept, sorted.
// Series with labels of their own are left out: no name of the protocol means them.
func (db *DB) HostNames(ctx context.Context, org, host string) ([]string, error) {
	names, _, err := db.NamesOf(ctx, org, host, "")
	return names, err
}

// ServiceNames returns the names of the metrics that a service has, as HostNames does.
func (db *DB) ServiceNames(ctx context.Context, org, service string) ([]string, error) {
	names, _, err := db.NamesOf(ctx, org, "", service)
	return names, err
}

// NamesOf returns the names of the metrics that a host or a service has, over all that is kept, sorted: those that the protocol knows,
// and apart from them those of series with labels of their own (labelled.go), or with a name that only other systems allow.
func (db *DB) NamesOf(ctx context.Context, org, host, service string) (names, labelled []string, err error) {
	k := owner{org, host, service}
	if k.org == "" || k.host == "" && k.service == "" {
		return nil, nil, nil // an empty matcher would match what has no such label
	}
	err = db.read(func(e *engine) error {
		q, err := e.db.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			return err
		}
		defer q.Close()
		// Series without their chunks. The engine's own list of label values would intersect
		// every name of the organization with the host, in every block.
		set := q.Select(ctx, true, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, Func: "series"}, ownedBy(k)...)
		for set.Next() {
			name := strings.Clone(nameOf(set.At().Labels()))
			if saba.ValidMetricName(name) {
				names = append(names, name)
			} else {
				labelled = append(labelled, name)
			}
		}
		return set.Err()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list the metrics of %s%s: %w", k.host, k.service, err)
	}
	slices.Sort(names)
	slices.Sort(labelled)
	return slices.Compact(names), slices.Compact(labelled), nil
}
