// Package picture makes pictures of the graphs that alerts are about, for messages: as bytes that mail carries, and behind links
// that a chat's servers fetch. Read link.go for what makes a link safe, picture.go for what is drawn. It never imports an engine.
package picture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
	"github.com/saba-monitor/saba/internal/monitor"
)

// Store is what package picture asks of the database. What is missing is an error matching saba.ErrNotFound.
type Store interface {
	Monitor(ctx context.Context, org, id string) (saba.Monitor, error)
	GraphDefs(ctx context.Context, org string) ([]saba.GraphDef, error)
}

// Samples is what package picture asks of the engine that keeps samples.
type Samples interface {
	monitor.Reader
	ServiceNames(ctx context.Context, org, service string) ([]string, error)
}

// Computed returns what a monitor judges that computes its values, such as an expression or a query: the lines from from to to, Unix
// seconds, and their unit. host and series are what the alert is about, "" and zero where it is about none.
type Computed func(ctx context.Context, org string, m saba.Monitor, host string, series saba.AlertSeries, from, to int64) ([]monitor.Line, saba.Unit, error)

// Options are what a Maker needs. All fields but Address and Computed are required.
type Options struct {
	Org     string
	Store   Store
	Samples Samples
	// Key is a secret of KeySize bytes. Links outlive a restart with the same key, and are all void with another.
	Key      []byte
	Address  string         // of the server, without a slash at its end: links begin with it; without it there are none
	Computed Computed       // nil draws no picture of monitors that compute
	Zone     *time.Location // whose clocks the pictures show
	Now      func() time.Time
	Log      *slog.Logger
}

// A Maker makes pictures, and the links to them. It is safe for use by several goroutines.
type Maker struct {
	Options
	links links
	turns chan struct{} // one for each picture that may be drawn at a time
	kept  cache
}

// New returns a Maker. The error says when the key is none.
func New(o Options) (*Maker, error) {
	l, err := newLinks(o.Key, o.Org)
	if err != nil {
		return nil, err
	}
	return &Maker{Options: o, links: l, turns: make(chan struct{}, runtime.GOMAXPROCS(0))}, nil
}

const (
	// before and after are how many seconds of a graph are drawn around the moment of a picture.
	before = 150 * 60
	after  = 30 * 60
	// room is left for the moment itself while nothing comes after it yet.
	room = 5 * 60
)

// The size of a picture: 1200×600 pixels, with letters that can be read when a phone shows it as wide as a hand.
const (
	width, height = 480, 240
	density       = 2.5
)

// URL returns the address at which anybody finds the graph of an event's alert, at the time of the event, for 30 days from then. It is ""
// when there is nothing to draw, as of a check and of a host that is silent. The same event has the same address each time.
//
// What is drawn stands in the address itself, as the event has it: a monitor that is changed later changes no picture.
func (m *Maker) URL(e *saba.Event) string {
	s, ok := m.subject(e)
	if !ok || m.Address == "" {
		return ""
	}
	path := m.links.path(s)
	if path == "" {
		return ""
	}
	return m.Address + path
}

// PNG returns the graph of an event's alert at the time of the event, for a message that carries it; nil when there is nothing to draw. It is
// 1200×600 pixels, and below 200 KiB.
func (m *Maker) PNG(ctx context.Context, e *saba.Event) ([]byte, error) {
	s, ok := m.subject(e)
	if !ok {
		return nil, nil
	}
	if err := m.turn(ctx); err != nil {
		return nil, err
	}
	defer m.done()
	return m.draw(ctx, s)
}

// turn waits until one picture more may be drawn: it is work of a processor alone, and the rest of the server wants some of it. Whoever got
// a turn calls done.
func (m *Maker) turn(ctx context.Context) error {
	select {
	case m.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to draw a picture: %w", ctx.Err())
	}
}

func (m *Maker) done() { <-m.turns }

// A subject is what one picture shows. Its keys are short, since it stands in an address.
type subject struct {
	Host    string           `json:"h,omitempty"`
	Service string           `json:"s,omitempty"` // under which the samples are kept
	Metric  string           `json:"m,omitempty"` // a name, or one of saba.RateMetrics; "" where the monitor computes
	Monitor string           `json:"i,omitempty"` // id, where the monitor computes
	Series  saba.AlertSeries `json:"q,omitzero"`
	Title   string           `json:"t"`
	At      int64            `json:"a"` // Unix seconds
	Bad     saba.CheckStatus `json:"b"` // what happened then
	Limits  []chart.Limit    `json:"l,omitempty"`
	Until   int64            `json:"u"` // Unix seconds when the link expires
}

// subject returns what the picture of an event shows; ok is false when that is nothing.
func (m *Maker) subject(e *saba.Event) (s subject, ok bool) {
	if e.Alert == nil || e.Monitor == nil {
		return subject{}, false
	}
	of, where := e.Monitor, ""
	s = subject{At: e.At, Bad: e.Alert.Status, Until: e.At + int64(lifetime/time.Second), Title: of.Metric, Metric: of.Metric, Limits: limits(of.Operator, of.Warning, of.Critical)}
	switch of.Type {
	case saba.MonitorHost:
		if e.Host == nil {
			return subject{}, false
		}
		s.Host, where = e.Host.ID, label(e.Host)
	case saba.MonitorService:
		if e.Service == nil {
			return subject{}, false
		}
		s.Service, where = e.Service.Series, e.Service.Name
	case saba.MonitorExternal:
		if e.Service == nil { // it need not have one, and nobody keeps its response times then
			return subject{}, false
		}
		s.Service, where = e.Service.Series, e.Service.Name
		s.Metric, s.Title, s.Limits = saba.ResponseTimeMetric+of.ID, "response time of "+of.Name, limits(">", of.ResponseTimeWarning, of.ResponseTimeCritical)
	case saba.MonitorExpression, saba.MonitorQuery, saba.MonitorAnomaly:
		if m.Computed == nil {
			return subject{}, false
		}
		s.Monitor, s.Host, s.Series = of.ID, e.Alert.Host, e.Alert.Series
		s.Title, where = of.Name, e.Alert.Series.Name
		if of.Type == saba.MonitorQuery {
			s.Title = of.NameFor(e.Alert.Series)
		}
		if e.Host != nil {
			where = label(e.Host)
		}
	default:
		return subject{}, false
	}
	if where != "" {
		s.Title += " · " + where
	}
	return s, true
}

// label returns what a host is called, in letters that pictures have.
func label(h *saba.Host) string {
	const eastAsian = '\u2e80'
	if l := h.Label(); !strings.ContainsFunc(l, func(r rune) bool { return r >= eastAsian }) {
		return l
	}
	return h.Name
}

func limits(operator string, warning, critical *float64) (all []chart.Limit) {
	for _, l := range []struct {
		value *float64
		bad   saba.CheckStatus
	}{{warning, saba.CheckWarning}, {critical, saba.CheckCritical}} {
		if l.value != nil {
			all = append(all, chart.Limit{Value: *l.value, Bad: l.bad, Below: operator == "<"})
		}
	}
	return all
}

// draw draws a subject.
func (m *Maker) draw(ctx context.Context, s subject) ([]byte, error) {
	c, err := m.chart(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("draw the graph of %s: %w", s.Title, err)
	}
	var b bytes.Buffer
	if err := chart.PNG(&b, c); err != nil {
		return nil, fmt.Errorf("draw the graph of %s: %w", s.Title, err)
	}
	return b.Bytes(), nil
}

// chart returns the chart of a subject, with what has arrived by now.
func (m *Maker) chart(ctx context.Context, s subject) (chart.Chart, error) {
	from := s.At - before
	to := max(s.At+room, min(s.At+after, m.Now().Unix()))
	lines, unit, err := m.lines(ctx, s, from, to)
	if err != nil {
		return chart.Chart{}, err
	}
	c := chart.Chart{
		Title: s.Title, Unit: unit, From: from, To: to, Location: m.Zone, Step: saba.Resolution, Theme: chart.Light,
		Limits: s.Limits, Mark: &chart.Mark{At: s.At, Bad: s.Bad}, Width: width, Height: height, Density: density,
	}
	if len(s.Limits) > 0 { // else the first line is the one that matters
		worstFirst(lines, s.Limits)
	}
	for _, l := range lines {
		start, values, err := saba.Downsample(l.Samples, from, to, saba.Resolution)
		if err != nil {
			return chart.Chart{}, err
		}
		c.Start = start
		c.Series = append(c.Series, chart.Series{GraphSeries: saba.GraphSeries{Metric: l.Label, Label: l.Label}, Values: values})
	}
	return c, nil
}

// worstFirst sorts lines, so that those which are told about stand first in the legend.
func worstFirst(lines []monitor.Line, limits []chart.Limit) {
	sign := -1.0
	if len(limits) > 0 && limits[0].Below {
		sign = 1
	}
	worst := func(l monitor.Line) float64 {
		w := math.Inf(1)
		for _, s := range l.Samples {
			w = math.Min(w, sign*s.Value)
		}
		return w
	}
	slices.SortStableFunc(lines, func(a, b monitor.Line) int {
		return cmp.Or(cmp.Compare(worst(a), worst(b)), cmp.Compare(a.Label, b.Label))
	})
}

// lines reads what a subject shows.
func (m *Maker) lines(ctx context.Context, s subject, from, to int64) ([]monitor.Line, saba.Unit, error) {
	switch {
	case s.Metric == "" && m.Computed == nil: // a link of a server that could
		return nil, "", saba.Errorf(saba.ErrNotFound, "nothing computes what monitor %s judges", s.Monitor)
	case s.Metric == "":
		of, err := m.Store.Monitor(ctx, m.Org, s.Monitor)
		if err != nil {
			return nil, "", err
		}
		return m.Computed(ctx, m.Org, of, s.Host, s.Series, from, to)
	case s.Host != "":
		lines, err := monitor.Lines(ctx, m.Samples, m.Org, s.Host, s.Metric, from, to)
		if err != nil {
			return nil, "", err
		}
		if slices.Contains(saba.RateMetrics, s.Metric) {
			return lines, saba.UnitPercentage, nil
		}
		names, err := m.Samples.HostNames(ctx, m.Org, s.Host)
		if err != nil {
			return nil, "", err
		}
		unit, err := m.unit(ctx, s, names, saba.HostGraphs)
		return lines, unit, err
	}
	samples, err := m.Samples.Range(ctx, []saba.Series{{Org: m.Org, Service: s.Service, Name: s.Metric}}, from, to)
	if err != nil {
		return nil, "", err
	}
	line := monitor.Line{Label: s.Metric, Samples: samples[0]}
	if strings.HasPrefix(s.Metric, saba.ResponseTimeMetric) {
		line.Label = "response time"
		return []monitor.Line{line}, saba.UnitMilliseconds, nil
	}
	names, err := m.Samples.ServiceNames(ctx, m.Org, s.Service)
	if err != nil {
		return nil, "", err
	}
	unit, err := m.unit(ctx, s, names, saba.ServiceGraphs)
	return []monitor.Line{line}, unit, err
}

// unit returns the unit in which a metric's graph is drawn: that of the page of its host or service.
func (m *Maker) unit(ctx context.Context, s subject, names []string, arrange func([]string, []saba.GraphDef) []saba.Graph) (saba.Unit, error) {
	defs, err := m.Store.GraphDefs(ctx, m.Org)
	if err != nil {
		return "", fmt.Errorf("list graph definitions: %w", err)
	}
	for _, g := range arrange(names, defs) {
		if slices.ContainsFunc(g.Series, func(of saba.GraphSeries) bool { return of.Metric == s.Metric }) {
			return g.Unit, nil
		}
	}
	return saba.UnitFloat, nil
}
