package promapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/saba-monitor/saba"
)

// maxMetadata bounds how many metrics of an organization are described in memory.
const maxMetadata = 10_000

// A description is what a sender says about a metric.
type description struct {
	Type string `json:"type"` // counter, gauge, histogram, summary or unknown
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// metadata remembers what senders say about their metrics. It is a help for people who write
// queries: kept in memory alone, and learned again from the next requests after a restart.
type metadata struct {
	mu   sync.Mutex
	orgs map[string]map[string]description
}

func newMetadata() *metadata { return &metadata{orgs: map[string]map[string]description{}} }

// learn notes the description of a metric. Names and texts are cut loose from the request.
func (m *metadata) learn(org, name string, d description) {
	if name == "" || len(name) > saba.MaxMetricName || len(d.Help) > 1<<10 || len(d.Unit) > 64 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.orgs[org]
	if known == nil {
		known = map[string]description{}
		m.orgs[org] = known
	}
	if old, ok := known[name]; ok && old == d || !ok && len(known) >= maxMetadata {
		return
	}
	known[strings.Clone(name)] = description{Type: d.Type, Help: strings.Clone(d.Help), Unit: strings.Clone(d.Unit)}
}

// of returns the descriptions of an organization.
func (m *metadata) of(org string) map[string]description {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.orgs[org])
}

// metadataList lists what is known about metrics.
func (s *server) metadataList(w http.ResponseWriter, c *call) error {
	if err := form(c); err != nil {
		return err
	}
	limit, err := limitParam(c)
	if err != nil {
		return err
	}
	all := s.meta.of(c.org)
	out := map[string][]description{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if only := c.Form.Get("metric"); only != "" && only != name {
			continue
		}
		if limit > 0 && len(out) == limit {
			break
		}
		out[name] = []description{all[name]}
	}
	writeJSON(w, http.StatusOK, response{Status: "success", Data: out})
	return nil
}
