package saba

import (
	"regexp"
	"strings"
)

// A Dashboard is a page of widgets that people put together. The JSON keys of it and of its parts are the
// protocol's, and part of the schema in which dashboards are kept.
type Dashboard struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	Memo      string   `json:"memo"`
	URLPath   string   `json:"urlPath"` // unique in the organization
	Widgets   []Widget `json:"widgets"`
	CreatedAt int64    `json:"createdAt"` // Unix seconds
	UpdatedAt int64    `json:"updatedAt"` // Unix seconds
}

// The types of widgets.
const (
	WidgetGraph       = "graph"
	WidgetValue       = "value"
	WidgetMarkdown    = "markdown"
	WidgetAlertStatus = "alertStatus"
)

// A Widget is one part of a dashboard. Type says which fields it has; the others are zero.
type Widget struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Layout WidgetLayout `json:"layout"`

	Graph          *WidgetSource   `json:"graph,omitzero"`          // graph
	Range          *WidgetRange    `json:"range,omitzero"`          // graph; nil means what the reader chooses
	ValueRange     *ValueRange     `json:"valueRange,omitzero"`     // graph
	ReferenceLines []ReferenceLine `json:"referenceLines,omitzero"` // graph; one at most
	LegendList     []string        `json:"legendList,omitzero"`     // graph of a host or service: metric names

	Metric       *WidgetSource `json:"metric,omitzero"`       // value
	FractionSize *int64        `json:"fractionSize,omitzero"` // value: digits; nil means 2
	Suffix       string        `json:"suffix,omitzero"`       // value
	FormatRules  []FormatRule  `json:"formatRules,omitzero"`  // value; one at most

	Markdown string `json:"markdown,omitzero"` // markdown

	Role *Scope `json:"roleFullname,omitzero"` // alertStatus
}

// A WidgetLayout is where a widget stands in a grid of 24 columns.
type WidgetLayout struct {
	X      int64 `json:"x"`
	Y      int64 `json:"y"`
	Width  int64 `json:"width"`
	Height int64 `json:"height"`
}

// The types of what a widget shows.
const (
	SourceHost       = "host"
	SourceRole       = "role" // graphs alone
	SourceService    = "service"
	SourceExpression = "expression"
	SourceQuery      = "query"
	SourceUnknown    = "unknown" // what it showed is gone; only in answers
)

// A WidgetSource is the graph or metric that a widget shows. Type says which fields it has.
type WidgetSource struct {
	Type       string `json:"type"`
	Host       string `json:"hostId,omitzero"`
	Role       *Scope `json:"roleFullname,omitzero"`
	Service    string `json:"serviceName,omitzero"`
	Name       string `json:"name,omitzero"` // of the graph or metric
	Stacked    bool   `json:"isStacked,omitzero"`
	Expression string `json:"expression,omitzero"`
	Query      string `json:"query,omitzero"`
	Legend     string `json:"legend,omitzero"`
}

// A WidgetRange is the time that a graph shows: from now+Offset-Period to now+Offset when it is
// relative, from Start to End when it is absolute. All are in seconds.
type WidgetRange struct {
	Type   string `json:"type"`
	Period int64  `json:"period,omitzero"`
	Offset int64  `json:"offset,omitzero"`
	Start  int64  `json:"start,omitzero"`
	End    int64  `json:"end,omitzero"`
}

// A ValueRange bounds the vertical axis of a graph.
type ValueRange struct {
	Min *float64 `json:"min,omitzero"`
	Max *float64 `json:"max,omitzero"`
}

// A ReferenceLine is a horizontal line in a graph.
type ReferenceLine struct {
	Label string  `json:"label"`
	Value float64 `json:"value"`
}

// A FormatRule marks a value that crosses a threshold.
type FormatRule struct {
	Name      string  `json:"name,omitzero"`
	Threshold float64 `json:"threshold"`
	Operator  string  `json:"operator"` // ">" or "<"
}

// Limits on dashboards.
const (
	maxWidgets     = 500
	maxMarkdown    = 100_000 // characters
	maxWidgetLabel = 32
	maxGrid        = 10_000 // rows
	maxURLPath     = 255
)

var urlPath = regexp.MustCompile(`^([A-Za-z0-9_][-A-Za-z0-9_]*)(/[A-Za-z0-9_][-A-Za-z0-9_]*)*$`)

// Check checks a dashboard field by field. Whether what its widgets show exists is not its matter. The
// error is a FieldError.
func (d *Dashboard) Check() error {
	if err := firstError(
		checkLine("title", d.Title, 1, MaxObjectName),
		checkText("memo", d.Memo, MaxObjectMemo),
		checkCount("widgets", len(d.Widgets), maxWidgets),
	); err != nil {
		return err
	}
	if len(d.URLPath) > maxURLPath || !urlPath.MatchString(d.URLPath) {
		return Invalidf("urlPath", "must be %d or fewer of A-Z a-z 0-9 _ - and / between parts, not %q", maxURLPath, short(d.URLPath))
	}
	for i := range d.Widgets {
		if err := d.Widgets[i].check("widgets[" + itoa(i) + "]"); err != nil {
			return err
		}
	}
	return nil
}

func (w *Widget) check(at string) error {
	if err := firstError(
		checkOneOf(at+".type", w.Type, WidgetGraph, WidgetValue, WidgetMarkdown, WidgetAlertStatus),
		checkLine(at+".title", w.Title, 0, MaxObjectName),
		checkBetween(at+".layout.x", w.Layout.X, 0, maxGrid), checkBetween(at+".layout.y", w.Layout.Y, 0, maxGrid),
		checkBetween(at+".layout.width", w.Layout.Width, 0, maxGrid), checkBetween(at+".layout.height", w.Layout.Height, 0, maxGrid),
	); err != nil {
		return err
	}
	switch w.Type {
	case WidgetGraph:
		return firstError(w.Graph.check(at+".graph", true), w.checkGraph(at))
	case WidgetValue:
		return firstError(w.Metric.check(at+".metric", false), w.checkValue(at))
	case WidgetMarkdown:
		return checkText(at+".markdown", w.Markdown, maxMarkdown)
	}
	if w.Role != nil && w.Role.Role == "" {
		return Invalidf(at+".roleFullname", "must be a role (service:role), not the service %q", w.Role.Service)
	}
	return nil
}

func (w *Widget) checkGraph(at string) error {
	if r := w.Range; r != nil {
		if err := checkOneOf(at+".range.type", r.Type, "relative", "absolute"); err != nil {
			return err
		}
		if r.Type == "relative" && r.Period <= 0 {
			return Invalidf(at+".range.period", "must be above 0 seconds, not %d", r.Period)
		}
		if r.Type == "absolute" && r.End < r.Start {
			return Invalidf(at+".range.end", "must not be before start (%d), not %d", r.Start, r.End)
		}
	}
	if v := w.ValueRange; v != nil && v.Min != nil && v.Max != nil && *v.Max < *v.Min {
		return Invalidf(at+".valueRange.max", "must not be below min (%v), not %v", *v.Min, *v.Max)
	}
	for i, l := range w.ReferenceLines {
		line := at + ".referenceLines[" + itoa(i) + "]"
		if err := checkLine(line+".label", l.Label, 1, maxWidgetLabel); err != nil {
			return err
		}
		if strings.TrimSpace(l.Label) == "" {
			return Invalidf(line+".label", "must not be blank")
		}
		if l.Value < 0 {
			return Invalidf(line+".value", "must not be below 0, not %v", l.Value)
		}
	}
	for i, name := range w.LegendList {
		if err := checkLine(at+".legendList["+itoa(i)+"]", name, 1, MaxMetricName); err != nil {
			return err
		}
	}
	return firstError(checkCount(at+".referenceLines", len(w.ReferenceLines), 1), checkCount(at+".legendList", len(w.LegendList), MaxReferences))
}

func (w *Widget) checkValue(at string) error {
	for i, r := range w.FormatRules {
		rule := at + ".formatRules[" + itoa(i) + "]"
		if err := firstError(checkLine(rule+".name", r.Name, 0, maxWidgetLabel), checkOneOf(rule+".operator", r.Operator, ">", "<")); err != nil {
			return err
		}
	}
	return firstError(checkOptional(at+".fractionSize", w.FractionSize, 0, 16), checkLine(at+".suffix", w.Suffix, 0, MaxObjectName),
		checkCount(at+".formatRules", len(w.FormatRules), 1))
}

func (s *WidgetSource) check(at string, graph bool) error {
	if s == nil {
		return Invalidf(at, "is required: what the widget shows")
	}
	types := []string{SourceHost, SourceService, SourceExpression, SourceQuery}
	if graph {
		types = append(types, SourceRole)
	}
	if s.Type == SourceUnknown {
		return Invalidf(at+".type", "must not be unknown: what this widget showed is gone, so remove the widget or give it something else to show")
	}
	if err := checkOneOf(at+".type", s.Type, types...); err != nil {
		return err
	}
	name := checkLine(at+".name", s.Name, 1, MaxMetricName)
	switch s.Type {
	case SourceHost:
		return firstError(checkLine(at+".hostId", s.Host, 1, MaxObjectName), name)
	case SourceRole:
		if s.Role == nil || s.Role.Role == "" {
			return Invalidf(at+".roleFullname", "is required: a role (service:role)")
		}
		return name
	case SourceService:
		return firstError(checkLine(at+".serviceName", s.Service, 1, MaxObjectName), name)
	case SourceExpression:
		if err := checkText(at+".expression", s.Expression, maxMonitorText); err != nil {
			return err
		}
		if !graph {
			return checkExpression(at+".expression", s.Expression)
		}
		if _, err := ParseExpression(s.Expression); err != nil {
			return Invalidf(at+".expression", "%v", err)
		}
		return nil
	}
	return firstError(checkText(at+".query", s.Query, maxMonitorText), checkQuery(at+".query", s.Query), checkLine(at+".legend", s.Legend, 0, MaxObjectName))
}
