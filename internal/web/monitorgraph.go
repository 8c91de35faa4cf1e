package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
	"github.com/saba-monitor/saba/internal/monitor"
)

const (
	// graphHosts is how many hosts the graph beside a monitor's form shows.
	graphHosts = 10
	// rankedHosts is how many hosts are looked at to find the worst of them where a share is computed for each.
	rankedHosts = 200
	// graphLines is how many lines the graph has at most: a host may have many disks.
	graphLines = 30
	// graphSpan is how far back it goes, and rankSpan how far back is looked for the worst, in seconds.
	graphSpan, rankSpan = 6 * 3600, 300
)

// The size of the graph beside a form, in CSS pixels.
const monitorGraphWidth, monitorGraphHeight = 400, 280

// A monitorGraph is the picture of what a monitor judges, with its thresholds.
type monitorGraph struct {
	Image, Alt    string
	Width, Height int
	Words         string // what it shows
}

// monitorGraphOf returns the graph for a monitor as its form has it; nil for one that judges no metric, or does not name it yet.
func (c *console) monitorGraphOf(m saba.Monitor, hosts []saba.Host) *monitorGraph {
	q := url.Values{"type": {string(m.Type)}}
	g := monitorGraph{Width: monitorGraphWidth, Height: monitorGraphHeight}
	switch {
	case m.Type == saba.MonitorHost && m.Metric != "":
		watched := watchedHosts(&m, hosts)
		g.Words = "The last 6 hours of " + count(len(watched), "host") + "."
		if n := len(watched); n > graphHosts {
			g.Words = fmt.Sprintf("The last 6 hours of the %d worst of %d hosts.", graphHosts, n)
			if n > rankedHosts && slices.Contains(saba.RateMetrics, m.Metric) {
				g.Words = fmt.Sprintf("The last 6 hours of the %d worst of the first %d of %d hosts.", graphHosts, rankedHosts, n)
			}
		}
	case m.Type == saba.MonitorService && m.Metric != "" && m.Service != "":
		g.Words = "The last 6 hours."
	case m.Type == saba.MonitorExternal && m.ID != "" && m.Service != "":
		g.Words = "The response time of the last 6 hours."
		q.Set("id", m.ID)
	case m.Type == saba.MonitorExpression && m.Expression != "":
		if _, err := saba.ParseExpression(m.Expression); err != nil {
			return nil
		}
		g.Words = "The last 6 hours."
		q.Set("expression", m.Expression)
	case m.Type == saba.MonitorQuery && m.Query != "":
		if c.CheckQuery != nil && c.CheckQuery(m.Query) != nil {
			return nil
		}
		g.Words = "The last 6 hours."
		q.Set("query", m.Query)
		q.Set("legend", m.Legend)
	default:
		return nil
	}
	if m.Type == saba.MonitorExpression || m.Type == saba.MonitorQuery {
		q.Set("name", m.Name)
	}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	limit := func(name string, v *float64) {
		if v != nil {
			set(name, strconv.FormatFloat(*v, 'g', -1, 64))
		}
	}
	set("metric", m.Metric)
	set("service", m.Service)
	set("operator", m.Operator)
	limit("warning", m.Warning)
	limit("critical", m.Critical)
	limit("responseTimeWarning", m.ResponseTimeWarning)
	limit("responseTimeCritical", m.ResponseTimeCritical)
	for _, s := range m.Scopes {
		q.Add("scopes", s.String())
	}
	for _, s := range m.ExcludeScopes {
		q.Add("excludeScopes", s.String())
	}
	q.Set("width", strconv.Itoa(g.Width))
	q.Set("height", strconv.Itoa(g.Height))
	g.Image, g.Alt = "/monitors/graph.svg?"+q.Encode(), "Chart with the thresholds of the monitor."
	return &g
}

// watchedHosts returns the hosts that a monitor judges.
func watchedHosts(m *saba.Monitor, hosts []saba.Host) []saba.Host {
	return slices.DeleteFunc(slices.Clone(hosts), func(h saba.Host) bool {
		return h.Status != saba.Working && h.Status != saba.Standby || !m.Watches(h.Roles)
	})
}

// monitorGraphShow draws what a monitor judges, which need not be saved: its fields stand in the address as they do in its form.
func (c *console) monitorGraphShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx, q := r.Context(), r.URL.Query()
	now := c.Now()
	m := saba.Monitor{ID: q.Get("id"), Type: saba.MonitorType(q.Get("type"))}
	if wrong := (form[saba.Monitor]{fields: monitorFields, zone: now.Location()}).read(&m, q); len(wrong) > 0 {
		for _, sentence := range wrong {
			return saba.Errorf(saba.ErrInvalid, "%s", sentence)
		}
	}
	days, spans, err := spansOf(q)
	if err != nil {
		return err
	}
	select {
	case c.reads <- struct{}{}:
		defer func() { <-c.reads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	picture := chart.Chart{From: now.Unix() - graphSpan, To: now.Unix(), Location: now.Location(), Step: saba.Resolution, Title: m.Metric, Unit: saba.UnitPercentage,
		Limits: limitsOf(m.Operator, m.Warning, m.Critical), Width: number(q.Get("width")), Height: number(q.Get("height"))}
	var lines []monitor.Line
	picture.Spans = spans
	if days > 0 { // one value for each pixel is as much as can be seen
		picture.From = now.Unix() - int64(days)*86400
		picture.Step = saba.Minute(int64(days)*86400/monitorGraphWidth) + saba.Resolution
	}
	var sub subject
	switch m.Type {
	case saba.MonitorHost:
		var first string
		if lines, first, err = c.hostLines(ctx, v, &m, picture.From, picture.To); err == nil && first != "" && !slices.Contains(saba.RateMetrics, m.Metric) {
			_, sub, err = c.hostSubject(ctx, v, first)
		}
	case saba.MonitorService:
		if sub, err = c.serviceSubject(ctx, v, m.Service); err == nil {
			lines, err = c.serviceLine(ctx, sub, m.Metric, picture.From, picture.To)
		}
	case saba.MonitorExternal:
		picture.Title, picture.Unit, picture.Limits = "Response time", saba.UnitMilliseconds, limitsOf(">", m.ResponseTimeWarning, m.ResponseTimeCritical)
		var of subject
		if of, err = c.serviceSubject(ctx, v, m.Service); err == nil {
			lines, err = c.serviceLine(ctx, of, saba.ResponseTimeMetric+m.ID, picture.From, picture.To)
		}
	case saba.MonitorExpression, saba.MonitorQuery:
		lines, picture.Unit, err = c.computedLines(ctx, v, m, "", saba.AlertSeries{}, &picture)
		worstFirst(lines, m.Operator)
	default:
		return saba.Errorf(saba.ErrNotFound, "There is no graph of such a monitor.")
	}
	if err != nil {
		return err
	}
	if m.Type == saba.MonitorService || sub.host != "" {
		picture.Unit = unitOf(sub.graphs, m.Metric)
	}
	if err := addLines(&picture, lines[:min(len(lines), graphLines)]); err != nil {
		return err
	}
	return c.sendSVG(w, r, picture)
}

// addLines adds lines to a picture, a mean for each of its steps.
func addLines(picture *chart.Chart, lines []monitor.Line) error {
	for _, l := range lines {
		start, means, err := saba.Downsample(l.Samples, picture.From, picture.To, picture.Step)
		if err != nil {
			return err
		}
		picture.Start = start
		picture.Series = append(picture.Series, chart.Series{GraphSeries: saba.GraphSeries{Metric: l.Label, Label: l.Label}, Values: means})
	}
	return nil
}

// computeLimit is how long a picture of what a monitor computes may take.
const computeLimit = 10 * time.Second

// computedLines returns what a monitor computes in the time of a picture. What it cannot compute, or not in time, is no lines: the title says why then.
func (c *console) computedLines(ctx context.Context, v visitor, m saba.Monitor, host string, series saba.AlertSeries, picture *chart.Chart) ([]monitor.Line, saba.Unit, error) {
	picture.Title = cmp.Or(m.NameFor(series), string(m.Type))
	limited, cancel := context.WithTimeout(ctx, computeLimit)
	defer cancel()
	lines, unit, err := c.Computed(limited, v.Org, m, host, series, picture.From, picture.To)
	switch {
	case errors.Is(err, saba.ErrInvalid), errors.Is(err, saba.ErrNotFound):
		picture.Title = sentence(err)
		return nil, saba.UnitFloat, nil
	case err != nil && ctx.Err() == nil && limited.Err() != nil:
		picture.Title = fmt.Sprintf("It takes longer than %v.", computeLimit)
		return nil, saba.UnitFloat, nil
	}
	return lines, unit, err
}

// worstFirst sorts lines by how bad their newest value is, so that of too many the worst are drawn.
func worstFirst(lines []monitor.Line, operator string) {
	sign := 1.0
	if operator == "<" {
		sign = -1
	}
	newest := func(l monitor.Line) float64 {
		if n := len(l.Samples); n > 0 {
			return sign * l.Samples[n-1].Value
		}
		return math.Inf(-1)
	}
	slices.SortStableFunc(lines, func(a, b monitor.Line) int { return cmp.Compare(newest(b), newest(a)) })
}

// limitsOf returns the thresholds of a monitor as a chart has them.
func limitsOf(operator string, warning, critical *float64) (limits []chart.Limit) {
	if warning != nil {
		limits = append(limits, chart.Limit{Value: *warning, Bad: saba.CheckWarning, Below: operator == "<"})
	}
	if critical != nil {
		limits = append(limits, chart.Limit{Value: *critical, Bad: saba.CheckCritical, Below: operator == "<"})
	}
	return limits
}

// unitOf returns the unit in which graphs show a metric.
func unitOf(graphs []saba.Graph, metric string) saba.Unit {
	for _, g := range graphs {
		if slices.ContainsFunc(g.Series, func(s saba.GraphSeries) bool { return s.Metric == metric }) {
			return g.Unit
		}
	}
	return saba.UnitFloat
}

func (c *console) serviceLine(ctx context.Context, sub subject, metric string, from, to int64) ([]monitor.Line, error) {
	samples, err := c.Samples.Range(ctx, []saba.Series{sub.series(metric)}, from, to)
	if err != nil {
		return nil, fmt.Errorf("read %s of service %s: %w", metric, sub.label, err)
	}
	return []monitor.Line{{Label: metric, Samples: samples[0]}}, nil
}

// hostLines returns what a monitor judges of its hosts, of the worst if they are many, and the id of one of them, "" for none.
func (c *console) hostLines(ctx context.Context, v visitor, m *saba.Monitor, from, to int64) (lines []monitor.Line, first string, err error) {
	all, err := c.Store.Hosts(ctx, v.Org, saba.HostFilter{})
	if err != nil {
		return nil, "", fmt.Errorf("list hosts: %w", err)
	}
	hosts := watchedHosts(m, all)
	slices.SortFunc(hosts, func(a, b saba.Host) int { return cmp.Compare(a.Label(), b.Label()) })
	if len(hosts) > graphHosts {
		if slices.Contains(saba.RateMetrics, m.Metric) {
			hosts = hosts[:min(len(hosts), rankedHosts)]
		}
		worst := make(map[string]float64, len(hosts))
		for _, h := range hosts {
			if worst[h.ID], err = c.badness(ctx, v.Org, h.ID, m, to); err != nil {
				return nil, "", err
			}
		}
		slices.SortStableFunc(hosts, func(a, b saba.Host) int { return cmp.Compare(worst[b.ID], worst[a.ID]) })
		hosts = hosts[:graphHosts]
	}
	for _, h := range hosts {
		of, err := monitor.Lines(ctx, c.Samples, v.Org, h.ID, m.Metric, from, to)
		if err != nil {
			return nil, "", err
		}
		for _, l := range of {
			label := h.Label()
			if len(of) > 1 || l.Label != m.Metric {
				label += " · " + l.Label
			}
			lines = append(lines, monitor.Line{Label: label, Samples: l.Samples})
			first = h.ID
		}
	}
	return lines, first, nil
}

// badness says how bad the newest value of a host is: the larger the worse.
func (c *console) badness(ctx context.Context, org, host string, m *saba.Monitor, now int64) (float64, error) {
	sign := 1.0
	if m.Operator == "<" {
		sign = -1
	}
	if !slices.Contains(saba.RateMetrics, m.Metric) {
		if s, ok := c.Samples.Latest(saba.Series{Org: org, Host: host, Name: m.Metric}); ok {
			return sign * s.Value, nil
		}
		return math.Inf(-1), nil
	}
	lines, err := monitor.Lines(ctx, c.Samples, org, host, m.Metric, now-rankSpan, now)
	if err != nil && !errors.Is(err, saba.ErrNotFound) {
		return 0, err
	}
	worst := math.Inf(-1)
	for _, l := range lines {
		if n := len(l.Samples); n > 0 {
			worst = max(worst, sign*l.Samples[n-1].Value)
		}
	}
	return worst, nil
}
