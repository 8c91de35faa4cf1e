package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/saba-monitor/saba"
)

// Limits on graph definitions.
const (
	maxGraphDefs       = 1000 // a request
	maxGraphDefMetrics = 1000 // a definition
)

type graphDefIn struct {
	Name        string             `json:"name"`
	DisplayName string             `json:"displayName"`
	Unit        saba.Unit          `json:"unit"`
	Metrics     []graphDefMetricIn `json:"metrics"` // null when there is none
}

type graphDefMetricIn struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
	IsStacked   bool   `json:"isStacked"`
}

// graphDefsCreate stores graph definitions. Agents send those of all their plugins in one
// request, once, and never again: what is good is stored even if the answer names one that is not.
func (s *server) graphDefsCreate(w http.ResponseWriter, c *call) error {
	var in []graphDefIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in) > maxGraphDefs {
		return saba.Errorf(saba.ErrInvalid, "a request may hold %d graph definitions, not %d: send them in parts", maxGraphDefs, len(in))
	}
	var defs []saba.GraphDef
	var bad error
	for i, d := range in {
		def, err := d.clean(fmt.Sprintf("[%d]", i))
		if err != nil {
			if bad == nil {
				bad = err
			}
			continue
		}
		defs = append(defs, def)
	}
	if len(defs) > 0 {
		err := s.store.PutGraphDefs(c.Context(), c.org, defs)
		if errors.Is(err, saba.ErrInvalid) { // a sentence of its own, about some of them
			return err
		} else if err != nil {
			return fmt.Errorf("store graph definitions: %w", err)
		}
	}
	// Those with wildcards are forgotten when nothing of theirs arrives: from now on, that is.
	var expiring []string
	for _, d := range defs {
		if d.Wildcard() {
			expiring = append(expiring, d.Name)
		}
	}
	if len(expiring) > 0 {
		if err := s.store.SeeGraphDefs(c.Context(), c.org, expiring, s.now().Unix()); err != nil {
			return fmt.Errorf("store graph definitions: %w", err)
		}
	}
	if bad != nil {
		return saba.Errorf(saba.ErrInvalid, "%v (%d of %d graph definitions were stored)", bad, len(defs), len(in))
	}
	return s.ok(w, c)
}

// clean checks a definition; field is where it stands in the request.
func (d graphDefIn) clean(field string) (def saba.GraphDef, err error) {
	if !saba.ValidGraphDefName(d.Name) {
		return def, saba.Invalidf(field+".name", `must be "custom." and segments of A-Z a-z 0-9 - _, * or one #, joined by dots, not %q`, clip(d.Name))
	}
	if d.Unit == "" {
		d.Unit = saba.UnitFloat
	}
	if !d.Unit.Valid() {
		return def, saba.Invalidf(field+".unit", "must be one of %s, not %q", units(), clip(string(d.Unit)))
	}
	if len(d.Metrics) > maxGraphDefMetrics {
		return def, saba.Invalidf(field+".metrics", "must hold %d elements or fewer, not %d", maxGraphDefMetrics, len(d.Metrics))
	}
	if _, err := text(field+".displayName", d.DisplayName, 0, maxName); err != nil {
		return def, err
	}
	def = saba.GraphDef{Name: d.Name, DisplayName: d.DisplayName, Unit: d.Unit, Metrics: make([]saba.GraphDefMetric, len(d.Metrics))}
	for i, m := range d.Metrics {
		at := fmt.Sprintf("%s.metrics[%d]", field, i)
		segment, ok := strings.CutPrefix(m.Name, d.Name+".")
		if !ok || segment == "" || strings.Contains(segment, ".") || !saba.ValidGraphDefName(m.Name) {
			return def, saba.Invalidf(at+".name", "must be the graph's name (%s), a dot and one segment, not %q", d.Name, clip(m.Name))
		}
		if _, err := text(at+".displayName", m.DisplayName, 0, maxName); err != nil {
			return def, err
		}
		def.Metrics[i] = saba.GraphDefMetric{Name: m.Name, DisplayName: m.DisplayName, Stacked: m.IsStacked}
	}
	return def, nil
}

func units() string {
	names := make([]string, len(saba.Units))
	for i, u := range saba.Units {
		names[i] = string(u)
	}
	return strings.Join(names, ", ")
}

type graphDefDeleteIn struct {
	Name string `json:"name"`
}

// graphDefDelete deletes a definition. That there is none is a 400 in this protocol.
func (s *server) graphDefDelete(w http.ResponseWriter, c *call) error {
	var in graphDefDeleteIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Name == "" {
		return saba.Invalidf("name", "is required: the graph definition to delete")
	}
	if err := s.store.DeleteGraphDef(c.Context(), c.org, in.Name); err != nil {
		return missing(err)
	}
	return s.ok(w, c)
}
