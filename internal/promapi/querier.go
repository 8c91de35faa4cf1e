package promapi

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/saba-monitor/saba"
)

// A queryable reads the series of one organization for one request, with what the database knows
// of their hosts joined to them.
type queryable struct {
	samples Samples
	org     string
	look    lookUp
	most    int // series that one selector may find
}

func (s *server) queryable(ctx context.Context, org string) *queryable {
	return &queryable{samples: s.Samples, org: org, look: s.directory(ctx, org), most: s.limits.series}
}

// Querier implements storage.Queryable.
func (q *queryable) Querier(mint, maxt int64) (storage.Querier, error) { return q.open(mint, maxt) }

func (q *queryable) open(mint, maxt int64) (*querier, error) {
	inner, err := q.samples.Querier(q.org, mint, maxt)
	if err != nil {
		return nil, readError{err}
	}
	return &querier{Querier: inner, queryable: q}, nil
}

// A readError says that samples, or who they belong to, could not be read: nothing is wrong with the query.
type readError struct{ error }

// Unwrap makes the kind of the error visible.
func (e readError) Unwrap() error { return e.error }

type querier struct {
	storage.Querier // of the samples
	*queryable
}

// Close implements storage.Querier.
func (q *querier) Close() error { return q.Querier.Close() }

// maxAlternatives bounds the hosts that a question to the engine lists; beyond, it asks for all and drops the rest.
const maxAlternatives = 64

// Select implements storage.Querier.
func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	found, err := q.find(ctx, hints, ms)
	if err != nil {
		return storage.ErrSeriesSet(readError{err})
	}
	if sorted {
		slices.SortFunc(found.all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	}
	return found
}

// find returns the series that match.
func (q *querier) find(ctx context.Context, hints *storage.SelectHints, ms []*labels.Matcher) (*seriesList, error) {
	var j join
	var rest []*labels.Matcher
	for _, m := range ms {
		switch m.Name {
		case hostNameLabel:
			j.name = append(j.name, m)
		case serviceLabel:
			j.service = append(j.service, m)
		case roleLabel:
			j.role = append(j.role, m)
		default:
			rest = append(rest, m)
		}
	}
	if hints != nil && hints.Limit != 0 {
		mine := *hints
		mine.Limit = 0 // the engine counts what the join may drop
		hints = &mine
	}
	dir, err := q.look()
	if err != nil {
		return nil, err
	}
	list := &seriesList{}
	if !j.any() {
		return list, q.add(ctx, list, dir, j, hints, rest)
	}
	// Two questions: one about hosts, one about services.
	switch ids, all := q.meant(dir, j); {
	case all:
		err = q.add(ctx, list, dir, j, hints, with(rest, hostLabel, labels.MatchNotEqual, ""))
	case len(ids) > maxAlternatives:
		err = q.add(ctx, list, dir, j, hints, with(rest, hostLabel, labels.MatchNotEqual, ""))
	case len(ids) > 0:
		for i, id := range ids {
			ids[i] = regexp.QuoteMeta(id)
		}
		err = q.add(ctx, list, dir, j, hints, with(rest, hostLabel, labels.MatchRegexp, strings.Join(ids, "|")))
	}
	if err != nil || !j.ofService() {
		return list, err
	}
	if rest = with(rest, serviceLabel, labels.MatchNotEqual, ""); len(dir.renamed) == 0 {
		rest = append(rest, j.service...)
	} // else add compares: the engine knows services by other names
	return list, q.add(ctx, list, dir, j, hints, rest)
}

// meant returns the ids of the live hosts that j means, and whether it means retired ones as well,
// which the directory does not list.
func (q *querier) meant(dir *directory, j join) (ids []string, all bool) {
	if _, all = j.host(nil); all {
		return nil, true
	}
	for id, h := range dir.hosts {
		if _, ok := j.host(h); ok {
			ids = append(ids, id)
		}
	}
	return ids, false
}

// with returns ms and one more.
func with(ms []*labels.Matcher, name string, t labels.MatchType, value string) []*labels.Matcher {
	return append(slices.Clip(ms), labels.MustNewMatcher(t, name, value))
}

// add adds to list the series that match ms and that j means.
func (q *querier) add(ctx context.Context, list *seriesList, dir *directory, j join, hints *storage.SelectHints, ms []*labels.Matcher) error {
	set := q.Querier.Select(ctx, false, hints, ms...)
	known := map[string]joined{} // what the series of a host get, so that it is decided once a host
	var builder labels.ScratchBuilder
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		series := set.At()
		l := series.Labels()
		host, service := l.Get(hostLabel), l.Get(serviceLabel)
		if service != "" && len(dir.renamed) > 0 {
			name := dir.serviceName(service)
			if !matches(j.service, name) {
				continue
			}
			builder.Reset()
			l.Range(func(l labels.Label) {
				if l.Name == serviceLabel {
					l.Value = name
				}
				builder.Add(l.Name, l.Value)
			})
			series = relabelled{builder.Labels(), series}
		}
		if host != "" {
			get, ok := known[host]
			if !ok {
				if get, ok = j.host(dir.hosts[host]); !ok {
					continue
				}
				known[host] = get
			}
			builder.Reset()
			l.Range(func(l labels.Label) { builder.Add(l.Name, l.Value) })
			for _, p := range [...]labels.Label{{Name: hostNameLabel, Value: get.name}, {Name: serviceLabel, Value: get.service}, {Name: roleLabel, Value: get.role}} {
				if p.Value != "" {
					builder.Add(p.Name, p.Value)
				}
			}
			builder.Sort()
			series = relabelled{builder.Labels(), series}
		}
		if len(list.all) == q.most {
			return saba.Errorf(errExecution, "a selector of the query finds more than %d series: name a metric, or hosts, a service or a role", q.most)
		}
		list.all = append(list.all, series)
	}
	list.warnings.Merge(set.Warnings())
	if err := set.Err(); err != nil {
		return fmt.Errorf("find series: %w", err)
	}
	return nil
}

// names returns the names of the labels of all series, from the indexes alone: an organization may have more series than a
// selector may find. Times count by blocks.
func (q *querier) names(ctx context.Context) (set, error) {
	found := set{}
	names, _, err := q.Querier.LabelNames(ctx, nil)
	if err != nil {
		return nil, readError{fmt.Errorf("list the names of labels: %w", err)}
	}
	found.add(names...)
	for _, name := range []string{hostNameLabel, serviceLabel, roleLabel} {
		values, err := q.values(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(values) > 0 {
			found.add(name)
		}
	}
	return found, nil
}

// values returns the values of a label of all series, as names does.
func (q *querier) values(ctx context.Context, name string) (set, error) {
	found := set{}
	of := func(label string) ([]string, error) {
		values, _, err := q.Querier.LabelValues(ctx, label, nil)
		if err != nil {
			return nil, readError{fmt.Errorf("list the values of the label %s: %w", label, err)}
		}
		return values, nil
	}
	if name != hostNameLabel && name != serviceLabel && name != roleLabel {
		values, err := of(name)
		found.add(values...)
		return found, err
	}
	dir, err := q.look()
	if err != nil {
		return nil, readError{err}
	}
	ids, err := of(hostLabel)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		get, _ := join{}.host(dir.hosts[id])
		switch name {
		case hostNameLabel:
			found.add(get.name)
		case serviceLabel:
			found.add(strings.Split(get.service, ",")...)
		case roleLabel:
			found.add(strings.Split(get.role, ",")...)
		}
	}
	if name == serviceLabel {
		services, err := of(serviceLabel)
		if err != nil {
			return nil, err
		}
		for _, s := range services {
			found.add(dir.serviceName(s))
		}
	}
	return found, nil
}

// A set holds texts that outlive the engine's.
type set map[string]bool

// add adds texts, but for the empty one.
func (s set) add(texts ...string) {
	for _, v := range texts {
		if v != "" && !s[v] {
			s[strings.Clone(v)] = true
		}
	}
}

// relabelled is a series under other labels.
type relabelled struct {
	labels labels.Labels
	inner  storage.Series
}

// Labels implements storage.Series.
func (r relabelled) Labels() labels.Labels { return r.labels }

// Iterator implements storage.Series.
func (r relabelled) Iterator(it chunkenc.Iterator) chunkenc.Iterator { return r.inner.Iterator(it) }

// seriesList is a set of series that are there already.
type seriesList struct {
	all      []storage.Series
	next     int
	warnings annotations.Annotations
}

// Next implements storage.SeriesSet.
func (l *seriesList) Next() bool { l.next++; return l.next <= len(l.all) }

// At implements storage.SeriesSet.
func (l *seriesList) At() storage.Series { return l.all[l.next-1] }

// Err implements storage.SeriesSet.
func (l *seriesList) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (l *seriesList) Warnings() annotations.Annotations { return l.warnings }
