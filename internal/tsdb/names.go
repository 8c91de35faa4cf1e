package tsdb

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/saba-monitor/saba"
)

// RecentNames returns the names of the metrics of an organization's hosts and services that have a sample at or after
// a time in Unix seconds, sorted, from memory (see Latest). Series with labels of their own are left out.
func (db *DB) RecentNames(org string, since int64) []string {
	n := &db.newest
	n.mu.RLock()
	defer n.mu.RUnlock()
	found := make([]bool, len(n.names.all))
	for k, o := range n.owners {
		if k.org != org || o.seen < since*1000 {
			continue
		}
		for i := range o.series {
			if e := &o.series[i]; e.at >= since*1000 {
				found[e.name] = true
			}
		}
	}
	names := make([]string, 0, len(found))
	for i, name := range n.names.all {
		if found[i] && saba.ValidMetricName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Like returns the series of some hosts, or of a service, whose names match a pattern, sorted by owner and name: those of the blocks and of the
// memory in which [from, to] (Unix seconds) lies, so that some may have no sample in it. Each segment of the pattern (between dots)
// that is * stands for any one. Exactly one of hosts and service is given. Series with labels of their own are left out.
func (db *DB) Like(ctx context.Context, org string, hosts []string, service, pattern string, from, to int64) (found []saba.Series, err error) {
	if org == "" || (len(hosts) == 0) == (service == "") {
		return nil, nil
	}
	segments := strings.Split(pattern, ".")
	for i, s := range segments {
		if segments[i] = regexp.QuoteMeta(s); s == "*" {
			segments[i] = "[^.]+"
		}
	}
	ms := []*labels.Matcher{equal(orgLabel, org), labels.MustNewMatcher(labels.MatchRegexp, nameLabel, strings.Join(segments, `\.`))}
	meant := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		meant[h] = true
	}
	switch {
	case service != "":
		ms = append(ms, equal(serviceLabel, service))
	case len(meant) <= maxAlternatives:
		ms = append(ms, oneOf(hostLabel, hosts))
	}
	err = db.read(func(e *engine) error {
		q, err := e.db.Querier(from*1000, to*1000+59_999)
		if err != nil {
			return err
		}
		defer q.Close()
		set := q.Select(ctx, false, &storage.SelectHints{Start: from * 1000, End: to*1000 + 59_999, Func: "series"}, ms...)
		for set.Next() {
			s := seriesOf(set.At().Labels())
			if s.Service == service && (service != "" || meant[s.Host]) && saba.ValidMetricName(s.Name) {
				found = append(found, saba.Series{Org: strings.Clone(s.Org), Host: strings.Clone(s.Host), Service: strings.Clone(s.Service), Name: strings.Clone(s.Name)})
			}
		}
		return set.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("look for metrics like %s: %w", pattern, err)
	}
	slices.SortFunc(found, func(a, b saba.Series) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Name, b.Name))
	})
	return slices.Compact(found), nil
}
