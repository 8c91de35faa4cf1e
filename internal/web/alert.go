package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
)

const (
	stepsPerPage = 100
	aroundAlert  = 3600 // seconds of the chart before and after the opening
	maxReason    = 8192 // characters, as through the API
)

// alertPage is page/alert.html.
type alertPage struct {
	layout
	Row    alertRow
	Rule   string // in words; "" when nothing is known of it
	Steps  []alertStep
	Older  string      // address of older steps; "" when there are none
	Newest string      // address of the newest ones, where others are shown
	Chart  *alertChart // nil where the alert is about no metric that is drawn
	Again  string      // what it is that opens the alert again after it was closed by hand
	Limit  int         // characters of a reason

	Monitor  *monitorRow // whose alert it is; nil for a check, and for one that is gone
	Downtime string      // address of a form for a downtime of an hour

	MuteZone            string // of the times of the form that mutes the alert
	MuteUntil           string // what stands in its field, as browsers write times
	MuteLeast, MuteMost string // and the bounds of that

	Told    []toldEvent // the newest first
	Care    handling
	Changes []saba.GraphAnnotation // of within 20 minutes before, the newest first
	Earlier []alertRow             // of the same rule and target within a while before, the newest first
	Often   bool                   // there were more of them than are shown
	Alike   string                 // address of all that closed

	Culprits *culprits // what went on on the host; nil when that is not known
}

// An alertStep is a step of an alert.
type alertStep struct {
	At            int64
	Status        saba.CheckStatus
	Why           string
	Value, Detail string // "" when there is none
}

// An alertChart is the graph of an alert's metric around its opening, as pictures for wide and narrow pages.
type alertChart struct {
	Page         string // of the graph at that time
	Wide, Narrow string // addresses of pictures
	Alt          string
}

// The sizes of an alert's pictures, in CSS pixels.
const (
	alertWide, alertWideHigh     = 960, 320
	alertNarrow, alertNarrowHigh = 360, 280
)

// triggers says why an alert took a step.
var triggers = map[saba.AlertTrigger]string{
	saba.TriggerMonitoring:    "judged",
	saba.TriggerManual:        "closed by hand",
	saba.TriggerMonitorDelete: "the monitor was deleted",
	saba.TriggerHostRetire:    "the host was retired",
	saba.TriggerServiceDelete: "the service was deleted",
	saba.TriggerRetraining:    "what is usual was learned anew",
	saba.TriggerServiceChange: "the monitor's service was changed",
}

func (c *console) alertShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	a, err := c.Store.Alert(ctx, v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	names, rule, err := c.ruleOf(ctx, v.Org, a)
	if err != nil {
		return err
	}
	p := alertPage{Row: c.alertRow(a, names), Rule: rule, Again: "sample", Limit: maxReason}
	if a.Type == saba.AlertCheck {
		p.Again = "report"
	}
	now := c.Now()
	p.MuteZone, p.MuteUntil = now.Format("MST"), localOf(now.Unix()/3600*3600+3*3600, now.Location())
	p.MuteLeast, p.MuteMost = localOf(now.Unix()/60*60+60, now.Location()), localOf((now.Unix()+saba.MaxAlertMute)/60*60, now.Location())
	title := p.Row.Rule
	if p.Row.Where != nil {
		title += " · " + p.Row.Where.Label
	}
	p.layout = layoutFor(v, "alerts", title)
	if m, known := names.monitors[a.Monitor]; known {
		row := c.monitorRow(m, nil)
		p.Monitor = &row
	}
	if _, known := names.checks[a.Monitor]; known || p.Monitor != nil {
		var h *saba.Host
		if on, known := names.hosts[a.Host]; known && p.Monitor != nil { // a check is of one host anyway
			h = &on
		}
		p.Downtime = downtimeLink(a.Monitor, "Work on "+p.Row.Rule, h)
	}

	from := r.URL.Query().Get("from")
	logs, err := c.Store.AlertLogs(ctx, v.Org, a.ID, from, stepsPerPage+1)
	if err != nil {
		return fmt.Errorf("list the log of alert %s: %w", a.ID, err)
	}
	if from != "" {
		p.Newest = p.Row.URL
	}
	if len(logs) > stepsPerPage {
		p.Older = p.Row.URL + "?from=" + url.QueryEscape(logs[stepsPerPage].ID)
		logs = logs[:stepsPerPage]
	}
	for i, l := range logs {
		s := alertStep{At: l.At, Status: l.Status, Why: triggers[l.Trigger]}
		if p.Older == "" && i == len(logs)-1 {
			s.Why = "opened"
		}
		if l.Value != nil {
			s.Value = saba.FormatValue(*l.Value)
		}
		if l.Detail != nil {
			s.Detail = l.Detail.Message
		}
		p.Steps = append(p.Steps, s)
	}
	if p.Told, err = c.told(ctx, v.Org, a.ID); err != nil {
		return err
	}
	if p.Care, err = c.handling(ctx, v.Org, a.Handling); err != nil {
		return err
	}
	if err = c.earlier(ctx, v.Org, a, names, &p); err != nil {
		return err
	}
	if p.Changes, err = c.changes(ctx, v.Org, a, names); err != nil {
		return err
	}
	if p.Culprits, err = c.culprits(ctx, v.Org, a); err != nil {
		return err
	}
	if p.Chart, err = c.alertChart(ctx, v, a, names.monitors[a.Monitor]); err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "alert", p)
}

// ruleOf returns the names for one alert, and its rule in words. What is gone has neither.
func (c *console) ruleOf(ctx context.Context, org string, a saba.Alert) (n alertNames, rule string, err error) {
	n = alertNames{map[string]saba.Host{}, map[string]saba.Monitor{}, map[string]string{}}
	if a.Host != "" {
		switch h, err := c.Store.Host(ctx, org, a.Host); {
		case err == nil:
			n.hosts[h.ID] = h
		case !errors.Is(err, saba.ErrNotFound):
			return n, "", fmt.Errorf("read host %s of an alert: %w", a.Host, err)
		}
	}
	if a.Type == saba.AlertCheck {
		switch ch, err := c.Store.Check(ctx, org, a.Monitor); {
		case err == nil:
			n.checks[ch.ID], rule = ch.Name, checkWords(ch)
		case !errors.Is(err, saba.ErrNotFound):
			return n, "", fmt.Errorf("read check %s of an alert: %w", a.Monitor, err)
		}
		return n, rule, nil
	}
	switch m, err := c.Store.Monitor(ctx, org, a.Monitor); {
	case err == nil:
		n.monitors[m.ID], rule = m, monitorWords(m)
	case !errors.Is(err, saba.ErrNotFound):
		return n, "", fmt.Errorf("read monitor %s of an alert: %w", a.Monitor, err)
	}
	return n, rule, nil
}

// checkWords says when a check opens an alert.
func checkWords(ch saba.Check) string {
	words := "the agent's check " + ch.Name
	if n := ch.Latest.MaxCheckAttempts; n > 1 {
		words += fmt.Sprintf(", bad %d times in a row", n)
	}
	return words
}

// monitorWords says what a monitor asks for: "mean of 3 points of cpu% > 80 warning, > 90 critical; of hosts in shop".
func monitorWords(m saba.Monitor) string {
	words := conditionWords(m)
	if scope := forWords(m); scope != "" {
		words = append(words, scope)
	}
	return strings.Join(words, "; ")
}

// rateGraphs are the graphs on which the metrics of saba.RateMetrics are seen.
var rateGraphs = map[string]string{
	"cpu%": "cpu", "memory%": "memory", "swap%": "memory", "disk%": "filesystem", "container-cpu%": "container.cpu", "container-memory%": "container.memory",
}

// alertChart returns the graph that has the metric of an alert's monitor, nil where there is none.
func (c *console) alertChart(ctx context.Context, v visitor, a saba.Alert, m saba.Monitor) (*alertChart, error) {
	var sub subject
	var err error
	metric := m.Metric
	switch m.Type { // "" when the monitor is gone
	case saba.MonitorHost:
		_, sub, err = c.hostSubject(ctx, v, a.Host)
	case saba.MonitorService:
		sub, err = c.serviceSubject(ctx, v, m.Service)
	case saba.MonitorExternal:
		metric = saba.ResponseTimeMetric + m.ID
		sub, err = c.serviceSubject(ctx, v, m.Service) // which does not exist when there is none
	case saba.MonitorExpression, saba.MonitorQuery, saba.MonitorAnomaly:
		image := "/alerts/" + url.PathEscape(a.ID) + "/graph.svg"
		return &alertChart{
			Page: "/monitors/" + url.PathEscape(m.ID), Alt: "Chart of what the monitor computes, around the opening of the alert.",
			Wide:   fmt.Sprintf("%s?width=%d&height=%d", image, alertWide, alertWideHigh),
			Narrow: fmt.Sprintf("%s?width=%d&height=%d", image, alertNarrow, alertNarrowHigh),
		}, nil
	default:
		return nil, nil
	}
	if errors.Is(err, saba.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(sub.graphs, func(g saba.Graph) bool {
		if name := rateGraphs[m.Metric]; name != "" && m.Type == saba.MonitorHost {
			return g.Name == name
		}
		return slices.ContainsFunc(g.Series, func(s saba.GraphSeries) bool { return s.Metric == metric })
	})
	if i < 0 {
		return nil, nil
	}
	now := c.Now()
	rng := timeRange{from: a.OpenedAt - aroundAlert, to: min(a.OpenedAt+aroundAlert, max(now.Unix(), a.OpenedAt))}
	card := newChartCard(sub, sub.graphs[i], rng, now.Location())
	image, _, _ := strings.Cut(card.Image, "&width=")
	image += "&" + alertMarks(a, m, sub.graphs[i]).Encode()
	return &alertChart{
		Page: card.Page, Alt: card.Alt,
		Wide:   fmt.Sprintf("%s&width=%d&height=%d", image, alertWide, alertWideHigh),
		Narrow: fmt.Sprintf("%s&width=%d&height=%d", image, alertNarrow, alertNarrowHigh),
	}, nil
}

// alertGraph draws what the monitor of an alert computes, around its opening.
func (c *console) alertGraph(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx, q, now := r.Context(), r.URL.Query(), c.Now()
	a, err := c.Store.Alert(ctx, v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	m, err := c.Store.Monitor(ctx, v.Org, a.Monitor)
	if err != nil {
		return err
	}
	select {
	case c.reads <- struct{}{}:
		defer func() { <-c.reads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	picture := chart.Chart{From: a.OpenedAt - aroundAlert, To: min(a.OpenedAt+aroundAlert, max(now.Unix(), a.OpenedAt)), Location: now.Location(), Step: saba.Resolution,
		Limits: limitsOf(m.Operator, m.Warning, m.Critical), Mark: &chart.Mark{At: a.OpenedAt}, Width: number(q.Get("width")), Height: number(q.Get("height"))}
	lines, unit, err := c.computedLines(ctx, v, m, a.Host, a.Series, &picture)
	if err != nil {
		return err
	}
	picture.Unit = unit
	if err := addLines(&picture, lines[:min(len(lines), graphLines)]); err != nil {
		return err
	}
	return c.sendSVG(w, r, picture)
}

// alertMarks returns what the picture of an alert's graph shows besides: the moment, and the thresholds where the graph has the values that
// they are of, and does not stack them.
func alertMarks(a saba.Alert, m saba.Monitor, g saba.Graph) url.Values {
	marks := url.Values{"mark": {strconv.FormatInt(a.OpenedAt, 10)}}
	i := slices.IndexFunc(g.Series, func(s saba.GraphSeries) bool { return s.Metric == m.Metric })
	if i < 0 || g.Series[i].Stacked {
		return marks
	}
	for name, limit := range map[string]*float64{"warning": m.Warning, "critical": m.Critical} {
		if limit != nil {
			marks.Set(name, strconv.FormatFloat(*limit, 'g', -1, 64))
		}
	}
	if m.Operator == "<" {
		marks.Set("below", "1")
	}
	return marks
}

// formText returns what was typed into a field of several lines, without what browsers and databases add and refuse.
func formText(r *http.Request, name string) string {
	s := strings.ToValidUTF8(r.PostForm.Get(name), "\uFFFD")
	return strings.TrimSpace(strings.NewReplacer("\r\n", "\n", "\x00", "").Replace(s))
}

func (c *console) alertMemoDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	memo, id := formText(r, "memo"), r.PathValue("id")
	if len(memo) > saba.MaxAlertMemo {
		return saba.Errorf(saba.ErrTooLarge, "The memo may have %d KiB, not %d bytes: shorten it.", saba.MaxAlertMemo>>10, len(memo))
	}
	if err := c.Store.SetAlertMemo(r.Context(), v.Org, id, memo); err != nil {
		return err
	}
	c.Log.Info("the memo of an alert was written", "alert", id, "by", v.User)
	http.Redirect(w, r, "/alerts/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

// alertCloseDo closes an alert; one that is closed already stays as it is.
func (c *console) alertCloseDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	reason, id := formText(r, "reason"), r.PathValue("id")
	if n := utf8.RuneCountInString(reason); n > maxReason {
		return saba.Errorf(saba.ErrInvalid, "The reason may have %d characters, not %d: shorten it.", maxReason, n)
	}
	_, err := c.Store.MoveAlert(r.Context(), v.Org, id, saba.AlertMove{At: c.Now().Unix(), Status: saba.CheckOK, Trigger: saba.TriggerManual, Reason: reason, By: v.User})
	if err != nil {
		return err
	}
	c.Log.Info("an alert was closed by hand", "alert", id, "by", v.User)
	http.Redirect(w, r, "/alerts/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}
