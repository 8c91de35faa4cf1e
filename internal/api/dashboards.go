package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/saba-monitor/saba"
)

type dashboardIn struct {
	Title   string     `json:"title"`
	Memo    string     `json:"memo"`
	URLPath string     `json:"urlPath"`
	Widgets []widgetIn `json:"widgets"`
}

// widgetIn is a widget as clients send it: whatever does not belong to its type is null or absent.
type widgetIn struct {
	Type           string               `json:"type"`
	Title          string               `json:"title"`
	Layout         saba.WidgetLayout    `json:"layout"`
	Graph          *sourceIn            `json:"graph"`
	Range          *saba.WidgetRange    `json:"range"`
	ValueRange     *saba.ValueRange     `json:"valueRange"`
	ReferenceLines []saba.ReferenceLine `json:"referenceLines"`
	LegendList     []string             `json:"legendList"`
	Metric         *sourceIn            `json:"metric"`
	FractionSize   *int64               `json:"fractionSize"`
	Suffix         string               `json:"suffix"`
	FormatRules    []saba.FormatRule    `json:"formatRules"`
	Markdown       string               `json:"markdown"`
	Role           *string              `json:"roleFullname"`
}

type sourceIn struct {
	Type       string `json:"type"`
	Host       string `json:"hostId"`
	Role       string `json:"roleFullname"`
	Service    string `json:"serviceName"`
	Name       string `json:"name"`
	Stacked    bool   `json:"isStacked"`
	Expression string `json:"expression"`
	Query      string `json:"query"`
	Legend     string `json:"legend"`
}

// source keeps of what a widget shows the fields that belong to its type.
func (in *sourceIn) source(field string) (*saba.WidgetSource, error) {
	if in == nil {
		return nil, nil
	}
	out := &saba.WidgetSource{Type: in.Type}
	switch in.Type {
	case saba.SourceHost:
		out.Host, out.Name = in.Host, in.Name
	case saba.SourceRole:
		role, err := parseScopes(field+".roleFullname", []string{in.Role})
		if err != nil {
			return nil, saba.Invalidf(field+".roleFullname", "must be a role (service:role), not %q", clip(in.Role))
		}
		out.Role, out.Name, out.Stacked = &role[0], in.Name, in.Stacked
	case saba.SourceService:
		out.Service, out.Name = in.Service, in.Name
	case saba.SourceExpression:
		out.Expression = in.Expression
	case saba.SourceQuery:
		out.Query, out.Legend = in.Query, in.Legend
	}
	return out, nil
}

// readDashboard reads the body that makes or replaces a dashboard.
func (c *call) readDashboard() (d saba.Dashboard, err error) {
	var in dashboardIn
	if err := c.decode(&in); err != nil {
		return d, err
	}
	d = saba.Dashboard{Title: in.Title, Memo: in.Memo, URLPath: in.URLPath, Widgets: make([]saba.Widget, len(in.Widgets))}
	for i, w := range in.Widgets {
		if d.Widgets[i], err = w.widget(fmt.Sprintf("widgets[%d]", i)); err != nil {
			return d, err
		}
	}
	return d, d.Check()
}

// widget keeps of a widget the fields that belong to its type.
func (in widgetIn) widget(field string) (w saba.Widget, err error) {
	w = saba.Widget{Type: in.Type, Title: in.Title, Layout: in.Layout}
	switch in.Type {
	case saba.WidgetGraph:
		w.Range, w.ValueRange, w.ReferenceLines = in.Range, in.ValueRange, in.ReferenceLines
		if w.Graph, err = in.Graph.source(field + ".graph"); err != nil {
			return w, err
		}
		if w.Graph != nil && (w.Graph.Type == saba.SourceHost || w.Graph.Type == saba.SourceService) {
			w.LegendList = in.LegendList
		}
	case saba.WidgetValue:
		w.FractionSize, w.Suffix, w.FormatRules = in.FractionSize, in.Suffix, in.FormatRules
		w.Metric, err = in.Metric.source(field + ".metric")
	case saba.WidgetMarkdown:
		w.Markdown = in.Markdown
	case saba.WidgetAlertStatus:
		if in.Role == nil || *in.Role == "" {
			return w, nil // what it showed is gone
		}
		roles, err := parseScopes(field+".roleFullname", []string{*in.Role})
		if err != nil {
			return w, saba.Invalidf(field+".roleFullname", "must be a role (service:role), not %q", clip(*in.Role))
		}
		w.Role = &roles[0]
	}
	return w, err
}

// dashboardOut is a dashboard as the list of them shows it: without widgets.
type dashboardOut struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	Memo      string `json:"memo"`
	URLPath   string `json:"urlPath"`
	CreatedAt int64  `json:"createdAt"`
	UpdatedAt int64  `json:"updatedAt"`
}

type fullDashboardOut struct {
	dashboardOut
	Widgets []oneWidget `json:"widgets"`
}

// A oneWidget is a graphWidgetOut, a valueWidgetOut, a markdownWidgetOut or an alertStatusWidgetOut; a
// oneSource and a oneRange are one of the types below that end in SourceOut and RangeOut.
type (
	oneWidget any
	oneSource any
	oneRange  any
)

type widgetOut struct {
	Type   string            `json:"type"`
	Title  string            `json:"title"`
	Layout saba.WidgetLayout `json:"layout"`
}

type graphWidgetOut struct {
	widgetOut
	Graph          oneSource            `json:"graph"`
	Range          oneRange             `json:"range,omitempty"`
	ValueRange     *saba.ValueRange     `json:"valueRange,omitempty"`
	ReferenceLines []saba.ReferenceLine `json:"referenceLines"`
	LegendList     []string             `json:"legendList,omitempty"`
}

type valueWidgetOut struct {
	widgetOut
	Metric       oneSource         `json:"metric"`
	FractionSize *int64            `json:"fractionSize,omitempty"`
	Suffix       string            `json:"suffix,omitempty"`
	FormatRules  []saba.FormatRule `json:"formatRules"`
}

type markdownWidgetOut struct {
	widgetOut
	Markdown string `json:"markdown"`
}

type alertStatusWidgetOut struct {
	widgetOut
	Role *string `json:"roleFullname"` // null when the role is gone
}

// What a widget shows, and its range, have the keys of their type, zero values among them.
type (
	relativeRangeOut struct {
		Type   string `json:"type"`
		Period int64  `json:"period"`
		Offset int64  `json:"offset"`
	}
	absoluteRangeOut struct {
		Type  string `json:"type"`
		Start int64  `json:"start"`
		End   int64  `json:"end"`
	}
	unknownSourceOut struct {
		Type string `json:"type"`
	}
	hostSourceOut struct {
		Type string `json:"type"`
		Host string `json:"hostId"`
		Name string `json:"name"`
	}
	roleSourceOut struct {
		Type    string `json:"type"`
		Role    string `json:"roleFullname"`
		Name    string `json:"name"`
		Stacked bool   `json:"isStacked"`
	}
	serviceSourceOut struct {
		Type    string `json:"type"`
		Service string `json:"serviceName"`
		Name    string `json:"name"`
	}
	expressionSourceOut struct {
		Type       string `json:"type"`
		Expression string `json:"expression"`
	}
	querySourceOut struct {
		Type   string `json:"type"`
		Query  string `json:"query"`
		Legend string `json:"legend"`
	}
)

func newDashboardOut(d saba.Dashboard) dashboardOut {
	return dashboardOut{d.ID, d.Title, d.Memo, d.URLPath, d.CreatedAt, d.UpdatedAt}
}

// newFullDashboardOut shows a dashboard to clients; services are those that exist.
func newFullDashboardOut(d saba.Dashboard, services []saba.Service) fullDashboardOut {
	out := fullDashboardOut{newDashboardOut(d), make([]oneWidget, len(d.Widgets))}
	for i, w := range d.Widgets {
		base := widgetOut{w.Type, w.Title, w.Layout}
		switch w.Type {
		case saba.WidgetGraph:
			g := graphWidgetOut{widgetOut: base, Graph: newSourceOut(w.Graph, services), ValueRange: w.ValueRange,
				ReferenceLines: append([]saba.ReferenceLine{}, w.ReferenceLines...), LegendList: w.LegendList}
			switch r := w.Range; {
			case r == nil:
			case r.Type == "absolute":
				g.Range = absoluteRangeOut{r.Type, r.Start, r.End}
			default:
				g.Range = relativeRangeOut{r.Type, r.Period, r.Offset}
			}
			out.Widgets[i] = g
		case saba.WidgetValue:
			out.Widgets[i] = valueWidgetOut{base, newSourceOut(w.Metric, services), w.FractionSize, w.Suffix, append([]saba.FormatRule{}, w.FormatRules...)}
		case saba.WidgetMarkdown:
			out.Widgets[i] = markdownWidgetOut{base, w.Markdown}
		default:
			v := alertStatusWidgetOut{widgetOut: base}
			if w.Role != nil && holds(services, *w.Role) {
				v.Role = new(w.Role.String())
			}
			out.Widgets[i] = v
		}
	}
	return out
}

func newSourceOut(s *saba.WidgetSource, services []saba.Service) any {
	switch {
	case s == nil:
	case s.Type == saba.SourceHost: // hosts are retired, never deleted
		return hostSourceOut{s.Type, s.Host, s.Name}
	case s.Type == saba.SourceRole && holds(services, *s.Role):
		return roleSourceOut{s.Type, s.Role.String(), s.Name, s.Stacked}
	case s.Type == saba.SourceService && holds(services, saba.Scope{Service: s.Service}):
		return serviceSourceOut{s.Type, s.Service, s.Name}
	case s.Type == saba.SourceExpression:
		return expressionSourceOut{s.Type, s.Expression}
	case s.Type == saba.SourceQuery:
		return querySourceOut{s.Type, s.Query, s.Legend}
	}
	return unknownSourceOut{saba.SourceUnknown}
}

// holds says whether a service, or a role of it, exists.
func holds(services []saba.Service, scope saba.Scope) bool {
	return slices.ContainsFunc(services, func(s saba.Service) bool {
		return s.Name == scope.Service && (scope.Role == "" || slices.Contains(s.Roles, scope.Role))
	})
}

// dashboard answers with one dashboard, whole.
func (s *server) dashboard(w http.ResponseWriter, c *call, d saba.Dashboard, err error) error {
	if err != nil {
		return err
	}
	services, err := s.store.Services(c.Context(), c.org)
	if err != nil {
		return fmt.Errorf("look up the services of a dashboard: %w", err)
	}
	return s.json(w, c, newFullDashboardOut(d, services))
}

func (s *server) dashboardList(w http.ResponseWriter, c *call) error {
	all, err := s.store.Dashboards(c.Context(), c.org)
	return listed(s, w, c, "dashboards", all, err, newDashboardOut)
}

func (s *server) dashboardShow(w http.ResponseWriter, c *call) error {
	d, err := s.store.Dashboard(c.Context(), c.org, c.PathValue("dashboard"))
	return s.dashboard(w, c, d, err)
}

func (s *server) dashboardCreate(w http.ResponseWriter, c *call) error {
	d, err := c.readDashboard()
	if err != nil {
		return err
	}
	if d.ID, err = s.newID(); err != nil {
		return err
	}
	d.CreatedAt = s.now().Unix()
	d.UpdatedAt = d.CreatedAt
	return s.dashboard(w, c, d, s.store.CreateDashboard(c.Context(), c.org, d))
}

func (s *server) dashboardUpdate(w http.ResponseWriter, c *call) error {
	d, err := c.readDashboard()
	if err != nil {
		return err
	}
	d, err = s.store.UpdateDashboard(c.Context(), c.org, c.PathValue("dashboard"), func(old saba.Dashboard) (saba.Dashboard, error) {
		d.ID, d.CreatedAt, d.UpdatedAt = old.ID, old.CreatedAt, s.now().Unix()
		return d, nil
	})
	return s.dashboard(w, c, d, err)
}

func (s *server) dashboardDelete(w http.ResponseWriter, c *call) error {
	d, err := s.store.DeleteDashboard(c.Context(), c.org, c.PathValue("dashboard"))
	return s.dashboard(w, c, d, err)
}
