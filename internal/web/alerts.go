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
	"time"

	"github.com/saba-monitor/saba"
)

const (
	// maxOpen bounds the open alerts that a page knows of. Every page reads them, for their number in the navigation.
	maxOpen       = 1000
	closedPerPage = 50
	// maxOffered bounds the monitors that a search offers: an organization may have thousands.
	maxOffered = 500
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
	alertSearch
	Monitors, Services []choice // to search by
	Zone               string   // of days
	Newest             string   // addresses of the first and the next page of closed ones; "" when there is none
	Next               string
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

// alertSearch is what the page of alerts is asked for, as its form and its address have it; "" for any.
type alertSearch struct {
	Text, Status, Host, Service, Since, Until string
	Monitor                                   string // id
}

// searchOf reads what the page of alerts is asked for.
func searchOf(q url.Values) (s alertSearch) {
	for name, to := range s.fields() {
		*to = clip(strings.TrimSpace(q.Get(name)))
	}
	return s
}

// fields are the parameters of an address and what they say.
func (s *alertSearch) fields() map[string]*string {
	return map[string]*string{"q": &s.Text, "status": &s.Status, "host": &s.Host, "service": &s.Service, "since": &s.Since, "until": &s.Until, "monitor": &s.Monitor}
}

// filter returns the alerts that are asked for; days are those of a zone. The error is a sentence.
func (s *alertSearch) filter(zone *time.Location) (f saba.AlertFilter, err error) {
	f = saba.AlertFilter{Monitor: s.Monitor, Host: s.Host, Service: s.Service, Status: saba.CheckStatus(s.Status), Text: s.Text}
	for _, p := range []struct {
		day  string
		last int // days after it
		to   *int64
	}{{s.Since, 0, &f.Since}, {s.Until, 1, &f.Until}} {
		if p.day == "" {
			continue
		}
		t, err := time.ParseInLocation(time.DateOnly, p.day, zone)
		if err != nil {
			return f, saba.Errorf(saba.ErrInvalid, "%q is no day: write it as 2026-11-21.", p.day)
		}
		*p.to = t.AddDate(0, 0, p.last).Unix() - int64(p.last)
	}
	if f.Since != 0 && f.Until != 0 && f.Since > f.Until {
		return f, saba.Errorf(saba.ErrInvalid, "The first day (%s) is after the last (%s): exchange them.", s.Since, s.Until)
	}
	return f, nil
}

// Filtered says whether less than all is asked for.
func (s alertSearch) Filtered() bool { return s != alertSearch{} }

// Narrow says whether more than words and a status is asked for.
func (s alertSearch) Narrow() bool { return s != alertSearch{Text: s.Text, Status: s.Status} }

// Statuses are those to choose from.
func (s alertSearch) Statuses() []saba.CheckStatus {
	return []saba.CheckStatus{saba.CheckCritical, saba.CheckWarning, saba.CheckUnknown}
}

// address returns the address of alerts that are asked for, of closed ones from one on; "" for the newest.
func (p *alertsPage) address(from string) string {
	q := url.Values{}
	for name, value := range p.alertSearch.fields() {
		if *value != "" {
			q.Set(name, *value)
		}
	}
	if p.Closed {
		q.Set("closed", "1")
	}
	if from != "" {
		q.Set("from", from)
	}
	if len(q) == 0 {
		return "/alerts"
	}
	return "/alerts?" + q.Encode()
}

// All is the address of the page without a search.
func (p alertsPage) All() string {
	if p.Closed {
		return "/alerts?closed=1"
	}
	return "/alerts"
}

func (c *console) alertList(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx, q := r.Context(), r.URL.Query()
	p := alertsPage{layout: layoutFor(v, "alerts", "Alerts"), alertSearch: searchOf(q), Closed: q.Get("closed") != "", Zone: c.Now().Format("MST")}
	if p.Closed {
		p.layout.Title = "Closed alerts"
	}
	if len(v.open) == 0 && !p.Closed {
		var err error
		if p.Watched, err = c.watched(ctx, v.Org); err != nil {
			return err
		}
		return c.render(w, r, http.StatusOK, "alerts", p)
	}
	f, err := p.filter(c.Now().Location())
	if err != nil {
		return err
	}
	f.OnlyOpen, f.OnlyClosed = !p.Closed, p.Closed
	from, limit := "", maxOpen
	if p.Closed {
		from, limit = q.Get("from"), closedPerPage
	}
	alerts, next := v.open, ""
	if p.Closed || p.Filtered() {
		alerts, next, err = c.Store.FindAlerts(ctx, v.Org, f, from, limit)
	}
	if from != "" && err != nil && status(err) == http.StatusBadRequest {
		return saba.Errorf(saba.ErrNotFound, "There is no alert %q for this page to begin at: go back to the newest ones.", clip(from))
	}
	if err != nil {
		return fmt.Errorf("list alerts: %w", err)
	}
	names, err := c.alertNames(ctx, v.Org, alerts)
	if err != nil {
		return err
	}
	if p.Closed {
		for _, a := range alerts {
			p.Rows = append(p.Rows, c.alertRow(a, names))
		}
		if next != "" {
			p.Next = p.address(next)
		}
		if from != "" {
			p.Newest = p.address("")
		}
	} else {
		p.Rows, p.Full = c.alertRows(alerts, names), len(v.open) == maxOpen
	}
	if err := c.offerSearch(ctx, v.Org, &p); err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "alerts", p)
}

// offerSearch fills in what there is to choose from in the form of the page of alerts. What is chosen and is not there any more stays to be seen.
func (c *console) offerSearch(ctx context.Context, org string, p *alertsPage) error {
	monitors, err := c.Store.Monitors(ctx, org)
	if err != nil {
		return fmt.Errorf("list monitors: %w", err)
	}
	services, err := c.Store.Services(ctx, org)
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	for i, m := range monitors {
		if i < maxOffered || m.ID == p.Monitor {
			p.Monitors = append(p.Monitors, choice{Value: m.ID, Label: m.Name, On: m.ID == p.Monitor})
		}
	}
	for _, s := range services {
		p.Services = append(p.Services, choice{Value: s.Name, Label: s.Name, On: s.Name == p.Service})
	}
	for _, of := range []struct {
		chosen, gone string
		among        *[]choice
	}{{p.Monitor, "a check, or a deleted monitor", &p.Monitors}, {p.Service, p.Service + ", which is gone", &p.Services}} {
		if of.chosen != "" && !slices.ContainsFunc(*of.among, func(c choice) bool { return c.On }) {
			*of.among = append(*of.among, choice{Value: of.chosen, Label: of.gone, On: true})
		}
	}
	return nil
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
