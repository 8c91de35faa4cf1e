package monitor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/saba-monitor/saba"
)

// What monitors compute is drawn of what stands here: in messages, on the pages of alerts, and beside forms.

// Computed returns what a monitor of type expression, query or anomalyDetection judges from from to to, Unix seconds, minute by minute, and its
// unit. host is that of an alert about anomalies, and series that of an alert of a query: the zero value for all. Of anomalies the lines are the quantity that
// was furthest from usual, what was usual, and from where on it was odd. An error that matches saba.ErrInvalid says what is wrong with the monitor, or that it asks
// for too much; one of saba.ErrNotFound, that there is nothing to draw.
func (p Past) Computed(ctx context.Context, m saba.Monitor, host string, series saba.AlertSeries, from, to int64) ([]Line, saba.Unit, error) {
	from, to = saba.Minute(from), saba.Minute(to)
	switch m.Type {
	case saba.MonitorExpression:
		lines, err := p.expressionLines(ctx, m.Expression, from, to)
		if len(lines) == 1 {
			lines[0].Label = cmp.Or(m.Name, lines[0].Label)
		}
		return lines, saba.UnitFloat, err
	case saba.MonitorQuery:
		lines, err := p.queryLines(ctx, m.Query, from, to, func(s saba.AlertSeries) (string, bool) {
			return seriesLabel(&m, s), series.Name == "" && len(series.Labels) == 0 || s.String() == series.String()
		})
		return lines, saba.UnitFloat, err
	case saba.MonitorAnomaly:
		return p.anomalyLines(ctx, &m, host, from, to)
	}
	return nil, "", saba.Errorf(saba.ErrNotFound, "a monitor of type %s computes nothing", m.Type)
}

// expressionLines returns what an expression is at each minute from from to to: a line for each series, without the minutes in which it has no value.
func (p Past) expressionLines(ctx context.Context, text string, from, to int64) ([]Line, error) {
	e, err := saba.ParseExpression(text)
	if err != nil {
		return nil, err
	}
	s := &source{org: p.Org, store: p.Records, samples: p.History}
	got, err := s.evaluate(ctx, e, from, to)
	if err != nil {
		return nil, err
	}
	lines := make([]Line, len(got.lines))
	for i, l := range got.lines {
		lines[i] = Line{Label: l.label}
		for k, v := range l.values {
			if !math.IsNaN(v) {
				lines[i].Samples = append(lines[i].Samples, saba.Sample{Time: from + int64(k)*saba.Resolution, Value: v})
			}
		}
	}
	return lines, nil
}

// queryLines returns those series of a query for which name says that they are wanted, under the names that it gives.
func (p Past) queryLines(ctx context.Context, query string, from, to int64, name func(saba.AlertSeries) (string, bool)) ([]Line, error) {
	var lines []Line
	place := map[string]int{}
	for ; from <= to; from += querySlice {
		result, err := p.Queries.Range(ctx, p.Org, query, from, min(to, from+querySlice-saba.Resolution))
		if err != nil {
			return nil, err
		}
		for _, s := range result {
			label, wanted := name(s.AlertSeries)
			if !wanted {
				continue
			}
			key := s.String()
			i, known := place[key]
			if !known {
				if i = len(lines); i == maxQuerySeries {
					return nil, saba.Errorf(saba.ErrInvalid, "it finds more than %d series", maxQuerySeries)
				}
				place[key], lines = i, append(lines, Line{Label: label})
			}
			lines[i].Samples = append(lines[i].Samples, s.Samples...)
		}
	}
	return lines, nil
}

// maxDrawnHours bounds how much of what was usual is learned for one picture.
const maxDrawnHours = 48

// anomalyLines returns the quantity of a host that is furthest from usual from from to to, and what is usual of it.
func (p Past) anomalyLines(ctx context.Context, m *saba.Monitor, id string, from, to int64) ([]Line, saba.Unit, error) {
	if to-from > maxDrawnHours*3600 {
		return nil, "", saba.Errorf(saba.ErrInvalid, "what is usual is drawn for %d hours at most", maxDrawnHours)
	}
	hosts, err := p.Records.Hosts(ctx, p.Org, saba.HostFilter{RetiredSince: 1})
	if err != nil {
		return nil, "", fmt.Errorf("list hosts: %w", err)
	}
	i := slices.IndexFunc(hosts, func(h saba.Host) bool { return h.ID == id })
	if i < 0 {
		return nil, "", saba.Errorf(saba.ErrNotFound, "there is no host %q", id)
	}
	h := &hosts[i]
	t := trainer{p.Org, p.Records, p.History, p.Zone}
	parts, err := t.parts(ctx, h.ID)
	if err != nil {
		return nil, "", err
	}
	read, err := t.history.Range(ctx, t.seriesOf(nil, h.ID, parts), from, to)
	if err != nil {
		return nil, "", fmt.Errorf("read what was judged of host %s: %w", h.ID, err)
	}
	samples, _ := combined(parts, read)
	by := map[bool]map[int64]*baseline{false: {}, true: {}} // by hour: the role's, and the host's own
	for own, of := range by {
		whose := peersOf(m, h)
		if own {
			whose = alone(m, h)
		}
		for hour := hourOf(from); hour <= to; hour += 3600 {
			if of[hour], err = t.baseline(ctx, whose, hour, func(host string) ([]part, error) {
				if host == h.ID {
					return parts, nil
				}
				return t.parts(ctx, host)
			}); err != nil {
				return nil, "", err
			}
		}
	}
	at := func(own bool) baselineAt { return func(t int64) *baseline { return by[own][hourOf(t)] } }
	var worst oddity
	some := false
	for q, of := range samples {
		for _, s := range of {
			o, ok := deviate(q, s, at(false))
			if self, known := deviate(q, s, at(true)); ok && known && math.Abs(self.deviations) < math.Abs(o.deviations) {
				o = self
			}
			if ok && (!some || math.Abs(o.deviations) > math.Abs(worst.deviations)) {
				worst, some = o, true
			}
		}
	}
	if !some {
		return nil, "", saba.Errorf(saba.ErrNotFound, "it is not known what was usual")
	}
	return usualLines(m, worst, samples[worst.quantity], at(worst.of == alone(m, h).label()), from, to), quantities[worst.quantity].unit, nil
}

// usualLines returns samples of a quantity, and what was usual of it.
func usualLines(m *saba.Monitor, o oddity, samples []saba.Sample, by baselineAt, from, to int64) []Line {
	odd := math.Inf(1) // deviations from which on something is odd
	for _, sensitivity := range []string{m.WarningSensitivity, m.CriticalSensitivity} {
		if n, ok := deviations[sensitivity]; ok {
			odd = min(odd, n)
		}
	}
	middle, above, below := Line{Label: "usual for " + o.of}, Line{Label: "odd above"}, Line{Label: "odd below"}
	for t := from; t <= to; t += saba.Resolution {
		u := by(t).at(t, o.quantity)
		if !u.known() {
			continue
		}
		middle.Samples = append(middle.Samples, saba.Sample{Time: t, Value: u.middle})
		above.Samples = append(above.Samples, saba.Sample{Time: t, Value: u.middle + odd*u.above})
		if low := u.middle - odd*u.below; low > 0 { // no quantity is below 0
			below.Samples = append(below.Samples, saba.Sample{Time: t, Value: low})
		}
	}
	lines := []Line{{Label: quantities[o.quantity].label, Samples: samples}, middle, above}
	if len(below.Samples) > 0 {
		lines = append(lines, below)
	}
	return lines
}
