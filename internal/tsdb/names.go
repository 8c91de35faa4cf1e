package tsdb

import (
	"slices"

	"github.com/saba-monitor/saba"
)

// RecentNames returns the names of the metrics of an organization's hosts and services that have a sample at or after
// a time in Unix seconds, sorted, from memory (see Latest). Series with labels of their own are left out.
func (db *DB) RecentNames(org string, since int64) []string {
	n := &db.newest
	n.mu.RLock()
	defer n.mu.RUnlock()
	found := map[string]bool{}
	for k, o := range n.owners {
		if k.org != org || o.seen < since*1000 {
			continue
		}
		for name, e := range o.series {
			if e.at >= since*1000 && !found[name] && saba.ValidMetricName(name) {
				found[name] = true
			}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
