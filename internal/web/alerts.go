package web

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

const (
	// maxOpen bounds the open alerts that a page knows of. Every page reads them, for their number in the navigation.
	maxOpen       = 1000
	closedPerPage = 50
	// closedPerSearch is how many closed alerts a search looks through for one page.
	closedPerSearch = 2000
	// checksPerRead is how many checks are read at once to find the names of some.
	checksPerRead = 1000
)

// alertsPage is page/alerts.html.
type alertsPage struct {
	layout
	Closed  bool // closed ones are shown
	Rows    []alertRow
	Full    bool   // there may be more open ones than are shown
	Watched string // where nothing is wrong: what saba looks at
	Search  string // words that each alert shown has
	Status  string // and its status, the worst that it had if it is closed; "" for any
	Newest  string // addresses of the first and the next page of closed ones; "" when there is none
	Next    string
}

// An alertRow is an alert with the names of what it is about.
type alertRow struct {
	saba.Alert
	URL   string
	Rule  string     // name of the monitor or check
	Where *roleLink  // the host or service; nil when it is about none
	Roles []roleLink // of the host
	Took  string     // how long it was open, or has been
	Muted bool       // nobody is told of it for a while
}

// openAlerts returns the open alerts of an organization, the newest first and maxOpen at most.
func (c *console) openAlerts(ctx context.Context, org string) ([]saba.Alert, error) {
	open, err := c.Store.Alerts(ctx, org, saba.AlertPage{Limit: maxOpen})
	if err != nil {
		return nil, fmt.Errorf("list open alerts: %w", err)
	}
	return open, nil
}

// openCount writes how many alerts are open; "" for none.
func openCount(open []saba.Alert) string {
	switch len(open) {
	case 0:
		return ""
	case maxOpen:
		return strconv.Itoa(maxOpen) + "+"
	}
	return strconv.Itoa(len(open))
}

// Filtered says whether less than all is asked for.
func (p alertsPage) Filtered() bool { return p.Search != "" || p.Status != "" }

// Statuses are those to choose from.
func (p alertsPage) Statuses() []saba.CheckStatus {
	return []saba.CheckStatus{saba.CheckCritical, saba.CheckWarning, saba.CheckUnknown}
}

// All is the address of the page without a search.
func (p alertsPage) All() string {
	if p.Closed {
		return "/alerts?closed=1"
	}
	return "/alerts"
}

// closedFrom returns the address of closed alerts that are asked for, from one on; "" for the newest.
func (p alertsPage) closedFrom(id string) string {
	q := url.Values{"closed": {"1"}}
	for name, value := range map[string]string{"q": p.Search, "status": p.Status, "from": id} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "/alerts?" + q.Encode()
}

// lacks says whether an alert is none of those that the page was asked for.
func (p alertsPage) lacks(row alertRow) bool {
	status := row.Status
	if p.Closed {
		status = row.Worst
	}
	if p.Status != "" && p.Status != string(status) {
		return true
	}
	text := strings.Join([]string{row.Rule, row.Message, row.Reason, row.Memo}, " ")
	for _, l := range row.Roles {
		text += " " + l.Label
	}
	if row.Where != nil {
		text += " " + row.Where.Label
	}
	return !hasWords(text, p.Search)
}

func (c *console) alertList(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx, q := r.Context(), r.URL.Query()
	if q.Get("closed") != "" {
		return c.closedAlerts(w, r, v, q.Get("from"))
	}
	p := alertsPage{layout: layoutFor(v, "alerts", "Alerts"), Full: len(v.open) == maxOpen, Search: clip(q.Get("q")), Status: clip(q.Get("status"))}
	if len(v.open) == 0 {
		var err error
		if p.Watched, err = c.watched(ctx, v.Org); err != nil {
			return err
		}
		return c.render(w, r, http.StatusOK, "alerts", p)
	}
	names, err := c.alertNames(ctx, v.Org, v.open)
	if err != nil {
		return err
	}
	p.Rows = slices.DeleteFunc(c.alertRows(v.open, names), p.lacks)
	return c.render(w, r, http.StatusOK, "alerts", p)
}

func (c *console) closedAlerts(w http.ResponseWriter, r *http.Request, v visitor, from string) error {
	ctx, q := r.Context(), r.URL.Query()
	p := alertsPage{layout: layoutFor(v, "alerts", "Closed alerts"), Closed: true, Search: clip(q.Get("q")), Status: clip(q.Get("status"))}
	limit := closedPerPage + len(v.open)
	if p.Filtered() {
		limit = closedPerSearch
	}
	// Open ones are among them, so that as many more are read as there are.
	alerts, err := c.Store.Alerts(ctx, v.Org, saba.AlertPage{Closed: true, From: from, Limit: limit + 1})
	if err != nil {
		if from != "" && status(err) == http.StatusBadRequest {
			return saba.Errorf(saba.ErrNotFound, "There is no alert %q for this page to begin at: go back to the newest ones.", clip(from))
		}
		return fmt.Errorf("list closed alerts: %w", err)
	}
	if len(alerts) > limit {
		p.Next, alerts = p.closedFrom(alerts[limit].ID), alerts[:limit]
	}
	alerts = slices.DeleteFunc(alerts, func(a saba.Alert) bool { return a.Open() })
	if from != "" {
		p.Newest = p.closedFrom("")
	}
	names, err := c.alertNames(ctx, v.Org, alerts)
	if err != nil {
		return err
	}
	for _, a := range alerts {
		row := c.alertRow(a, names)
		if p.lacks(row) {
			continue
		}
		if len(p.Rows) == closedPerPage {
			p.Next = p.closedFrom(row.ID)
			break
		}
		p.Rows = append(p.Rows, row)
	}
	return c.render(w, r, http.StatusOK, "alerts", p)
}

// watched says in words what is looked at.
func (c *console) watched(ctx context.Context, org string) (string, error) {
	hosts, err := c.Store.Hosts(ctx, org, saba.HostFilter{Statuses: []saba.HostStatus{saba.Working, saba.Standby}})
	if err != nil {
		return "", fmt.Errorf("list hosts: %w", err)
	}
	monitors, err := c.Store.Monitors(ctx, org)
	if err != nil {
		return "", fmt.Errorf("list monitors: %w", err)
	}
	if len(monitors) == 0 {
		return fmt.Sprintf("Watched: %s, by the checks of agents alone. There is no monitor yet.", count(len(hosts), "host")), nil
	}
	return fmt.Sprintf("Watched: %s, by %s and by the checks of agents.", count(len(hosts), "host"), count(len(monitors), "monitor")), nil
}

// alertNames knows what alerts are about, by id.
type alertNames struct {
	hosts    map[string]saba.Host
	monitors map[string]saba.Monitor
	checks   map[string]string // names
}

// alertNames reads the names for some alerts, in as many queries for many as for one. What is gone has none.
func (c *console) alertNames(ctx context.Context, org string, alerts []saba.Alert) (alertNames, error) {
	n := alertNames{hosts: map[string]saba.Host{}, checks: map[string]string{}}
	missing := map[string]bool{} // checks
	onHosts := false
	for _, a := range alerts {
		onHosts = onHosts || a.Host != ""
		if a.Type == saba.AlertCheck {
			missing[a.Monitor] = true
		}
	}
	var err error
	if n.monitors, err = c.monitorsOf(ctx, org, alerts); err != nil {
		return n, err
	}
	if onHosts {
		hosts, err := c.Store.Hosts(ctx, org, saba.HostFilter{})
		if err != nil {
			return n, fmt.Errorf("list hosts: %w", err)
		}
		for _, h := range hosts {
			n.hosts[h.ID] = h
		}
	}
	from := ""
	if len(missing) > 0 {
		from = slices.Min(slices.Collect(maps.Keys(missing)))
	}
	for len(missing) > 0 {
		checks, err := c.Store.CheckList(ctx, org, from, checksPerRead+1)
		if err != nil {
			return n, fmt.Errorf("list checks: %w", err)
		}
		for _, ch := range checks {
			if missing[ch.ID] {
				n.checks[ch.ID] = ch.Name
				delete(missing, ch.ID)
			}
		}
		if len(checks) <= checksPerRead {
			break // the others are gone
		}
		from = checks[checksPerRead].ID
	}
	return n, nil
}

// monitorsOf returns the monitors, by id, if one of the alerts is of a monitor.
func (c *console) monitorsOf(ctx context.Context, org string, alerts []saba.Alert) (map[string]saba.Monitor, error) {
	byID := map[string]saba.Monitor{}
	if !slices.ContainsFunc(alerts, func(a saba.Alert) bool { return a.Type != saba.AlertCheck }) {
		return byID, nil
	}
	monitors, err := c.Store.Monitors(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list monitors: %w", err)
	}
	for _, m := range monitors {
		byID[m.ID] = m
	}
	return byID, nil
}

// alertRows describes open alerts, which are newest first: the worst come first.
func (c *console) alertRows(open []saba.Alert, n alertNames) []alertRow {
	rows := make([]alertRow, len(open))
	for i, a := range open {
		rows[i] = c.alertRow(a, n)
	}
	slices.SortStableFunc(rows, func(a, b alertRow) int { return cmp.Compare(urgency[a.Status], urgency[b.Status]) })
	return rows
}

func (c *console) alertRow(a saba.Alert, n alertNames) alertRow {
	end := a.ClosedAt
	if a.Open() {
		end = c.Now().Unix()
	}
	row := alertRow{Alert: a, URL: "/alerts/" + url.PathEscape(a.ID), Took: span(max(end-a.OpenedAt, 0))}
	row.Muted = a.Open() && a.Handling.MutedUntil > c.Now().Unix()
	m, known := n.monitors[a.Monitor]
	row.Rule = m.NameFor(a.Series)
	if a.Type == saba.AlertCheck {
		row.Rule, known = n.checks[a.Monitor]
	}
	if !known {
		row.Rule = "a deleted monitor"
		if a.Type == saba.AlertCheck {
			row.Rule = "a check that is gone"
		}
	}
	switch h, known := n.hosts[a.Host]; {
	case known:
		row.Where, row.Roles = &roleLink{h.Label(), "/hosts/" + url.PathEscape(h.ID)}, roleLinks(h.Roles)
	case a.Host != "":
		row.Where = &roleLink{"host " + a.Host, "/hosts/" + url.PathEscape(a.Host)}
	case m.Service != "":
		row.Where = &roleLink{m.Service, "/services/" + url.PathEscape(m.Service)}
	}
	return row
}

// A hostAlarm is what the list says of the open alerts of a host.
type hostAlarm struct {
	Worst saba.CheckStatus
	Count int
}

// Text returns the number of alerts in words.
func (a hostAlarm) Text() string { return count(a.Count, "alert") }

// alarms returns what is open by host.
func alarms(open []saba.Alert) map[string]hostAlarm {
	byHost := map[string]hostAlarm{}
	for _, a := range open {
		of := byHost[a.Host]
		if of.Count == 0 || urgency[a.Status] < urgency[of.Worst] {
			of.Worst = a.Status
		}
		of.Count++
		byHost[a.Host] = of
	}
	return byHost
}
