package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/monitor"
)

// monitorsPage is page/monitors.html.
type monitorsPage struct {
	layout
	Search, Type string // as they were asked for
	Kinds        []monitorKind
	Groups       []monitorGroup
	Checks       []checkGroup
	Total        int
	Matches      string // "3 of 12"
	At           string // the address of this page, where its forms lead back to
}

// Filtered says whether only some monitors are asked for.
func (p monitorsPage) Filtered() bool { return p.Search != "" || p.Type != "" }

// A monitorGroup is the monitors of one type.
type monitorGroup struct {
	monitorKind
	Rows []monitorRow
}

// A monitorRow is a monitor in a list.
type monitorRow struct {
	saba.Monitor
	URL          string
	Rule         string // in words, without whom it is for
	For, Not     []roleLink
	Muted        bool
	Worst        saba.CheckStatus // of its open alerts; "" for none
	Open         string           // how many
	AlertsURL    string
	Learning     bool // it is of anomalies, and knows too little to judge by
	BeginsToTell int64
}

// A checkGroup is the checks of one name, on all hosts.
type checkGroup struct {
	Name    string
	Hosts   []roleLink // some of them
	Count   string
	Verdict []verdictCount
}

// A verdictCount is how many checks have a verdict.
type verdictCount struct {
	Status saba.CheckStatus
	Count  int
}

// checkHosts is how many hosts of a check are named.
const checkHosts = 3

// maxChecksListed bounds how many checks the list counts.
const maxChecksListed = 50_000

func (c *console) monitorList(w http.ResponseWriter, r *http.Request, v visitor) error {
	q := r.URL.Query()
	p := monitorsPage{layout: layoutFor(v, "monitors", "Monitors"), Search: strings.TrimSpace(q.Get("q")), Type: q.Get("type"), Kinds: monitorKinds, At: r.URL.RequestURI()}
	all, err := c.Store.Monitors(r.Context(), v.Org)
	if err != nil {
		return fmt.Errorf("list monitors: %w", err)
	}
	shown := 0
	for _, m := range all {
		row := c.monitorRow(m, v.open)
		if !p.asksFor(row) {
			continue
		}
		shown++
		if n := len(p.Groups); n == 0 || p.Groups[n-1].Type != m.Type {
			kind, _ := kindOf(m.Type)
			p.Groups = append(p.Groups, monitorGroup{monitorKind: kind})
		}
		last := &p.Groups[len(p.Groups)-1]
		last.Rows = append(last.Rows, row)
	}
	if p.Type == "" || p.Type == saba.AlertCheck {
		if p.Checks, err = c.checkGroups(r.Context(), v.Org, p.Search); err != nil {
			return err
		}
	}
	p.Total = len(all)
	p.Matches = count(p.Total, "monitor")
	if p.Filtered() {
		p.Matches = fmt.Sprintf("%d of %s", shown, p.Matches)
	}
	return c.render(w, r, http.StatusOK, "monitors", p)
}

// asksFor says whether a monitor is one that the page was asked for.
func (p monitorsPage) asksFor(row monitorRow) bool {
	if p.Type != "" && p.Type != string(row.Type) {
		return false
	}
	text := row.Name + " " + row.Rule + " " + row.Memo + " " + row.Service
	for _, l := range append(slices.Clone(row.For), row.Not...) {
		text += " " + l.Label
	}
	return saba.HasWords(text, p.Search)
}

func (c *console) monitorRow(m saba.Monitor, open []saba.Alert) monitorRow {
	now := c.Now().Unix()
	row := monitorRow{Monitor: m, URL: "/monitors/" + url.PathEscape(m.ID), Rule: strings.Join(conditionWords(m), "; "), Muted: m.Muted(now)}
	if m.Type == saba.MonitorAnomaly && c.Learned != nil {
		row.Learning = !slices.ContainsFunc(c.Learned(m.ID), func(l monitor.Learned) bool { return l.Known })
	}
	if !m.Mute && row.Muted {
		row.BeginsToTell = m.MuteUntil
	}
	row.For, row.Not = scopeLinks(m.Scopes), scopeLinks(m.ExcludeScopes)
	if m.Service != "" {
		row.For = append(row.For, roleLink{m.Service, "/services/" + url.PathEscape(m.Service)})
	}
	n := 0
	for _, a := range open {
		if a.Monitor != m.ID {
			continue
		}
		n++
		if row.Worst == "" || urgency[a.Status] < urgency[row.Worst] {
			row.Worst = a.Status
		}
		row.AlertsURL = "/alerts/" + url.PathEscape(a.ID)
	}
	if n > 0 {
		row.Open = count(n, "alert")
	}
	if n > 1 {
		row.AlertsURL = row.URL + "#alerts"
	}
	return row
}

func scopeLinks(scopes []saba.Scope) []roleLink {
	links := make([]roleLink, len(scopes))
	for i, s := range scopes {
		links[i] = roleLink{s.String(), "/hosts?role=" + url.QueryEscape(s.String())}
	}
	return links
}

// checkGroups returns the checks of agents by name, those that are bad first.
func (c *console) checkGroups(ctx context.Context, org, search string) ([]checkGroup, error) {
	hosts, err := c.Store.Hosts(ctx, org, saba.HostFilter{})
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	labels := map[string]string{}
	for _, h := range hosts {
		labels[h.ID] = h.Label()
	}
	byName := map[string][]saba.Check{}
	from := ""
	for read := 0; read < maxChecksListed; read += checksPerRead {
		checks, err := c.Store.CheckList(ctx, org, from, checksPerRead+1)
		if err != nil {
			return nil, fmt.Errorf("list checks: %w", err)
		}
		for _, ch := range checks[:min(len(checks), checksPerRead)] {
			if _, live := labels[ch.Host]; live && saba.HasWords(ch.Name, search) {
				byName[ch.Name] = append(byName[ch.Name], ch)
			}
		}
		if len(checks) <= checksPerRead {
			break
		}
		from = checks[checksPerRead].ID
	}
	groups := make([]checkGroup, 0, len(byName))
	for name, checks := range byName {
		slices.SortStableFunc(checks, func(a, b saba.Check) int {
			return cmp.Or(cmp.Compare(urgency[a.Latest.Status], urgency[b.Latest.Status]), cmp.Compare(labels[a.Host], labels[b.Host]))
		})
		g := checkGroup{Name: name, Count: count(len(checks), "host")}
		for i, ch := range checks {
			if i < checkHosts {
				g.Hosts = append(g.Hosts, roleLink{labels[ch.Host], "/hosts/" + url.PathEscape(ch.Host)})
			}
			if n := len(g.Verdict); n == 0 || g.Verdict[n-1].Status != ch.Latest.Status {
				g.Verdict = append(g.Verdict, verdictCount{Status: ch.Latest.Status})
			}
			g.Verdict[len(g.Verdict)-1].Count++
		}
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b checkGroup) int {
		return cmp.Or(cmp.Compare(urgency[a.Verdict[0].Status], urgency[b.Verdict[0].Status]), cmp.Compare(a.Name, b.Name))
	})
	return groups, nil
}

// More says how many hosts are not named.
func (g checkGroup) More() int {
	n := 0
	for _, v := range g.Verdict {
		n += v.Count
	}
	return n - len(g.Hosts)
}

// muteFor are the lengths for which a monitor is muted from a list, in seconds, by the word that a form sends.
var muteFor = map[string]int64{"1h": 3600, "8h": 8 * 3600, "1d": day}

// monitorMuteDo mutes a monitor, for a while or until somebody takes it back.
func (c *console) monitorMuteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	how, now := r.PostForm.Get("for"), c.Now().Unix()
	m, err := c.Store.UpdateMonitor(r.Context(), v.Org, r.PathValue("id"), now, func(m saba.Monitor) (saba.Monitor, error) {
		switch length, known := muteFor[how]; {
		case known:
			m.MuteUntil = now + length
		case how == "ever":
			m.Mute, m.MuteUntil = true, 0
		case how == "none":
			m.Mute, m.MuteUntil = false, 0
		default:
			return m, saba.Errorf(saba.ErrInvalid, "There is no way to mute a monitor for %q.", clip(how))
		}
		return m, nil
	})
	if err != nil {
		return err
	}
	c.Log.Info("a monitor was muted or is told of again", "monitor", m.ID, "name", m.Name, "for", how, "by", v.User)
	back := "/monitors"
	if asked := r.PostForm.Get("back"); asked != "" {
		back = c.next(asked)
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

func (c *console) monitorDelete(w http.ResponseWriter, r *http.Request, v visitor) error {
	m, err := c.Store.Monitor(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	row := c.monitorRow(m, v.open)
	p := confirmPage{
		layout: layoutFor(v, "monitors", "Delete "+m.Name+"?"), Crumbs: []crumb{{"Monitors", "/monitors"}, {m.Name, row.URL}},
		Text: []string{"Nothing opens an alert by this rule from then on."}, Action: row.URL + "/delete", Do: "Delete this monitor", Back: row.URL,
	}
	if row.Open != "" {
		p.Text = append(p.Text, "It has "+row.Open+" open: closed at once, and kept among the closed ones under the name of a deleted monitor.")
	} else {
		p.Text = append(p.Text, "No alert of it is open. Closed ones are kept, under the name of a deleted monitor.")
	}
	p.Text = append(p.Text, "Deleting cannot be undone. Muting it leaves it as it is, and tells nobody.")
	return c.render(w, r, http.StatusOK, "confirm", p)
}

func (c *console) monitorDeleteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	m, err := c.Store.DeleteMonitor(r.Context(), v.Org, r.PathValue("id"), c.Now().Unix())
	if err != nil {
		return err
	}
	c.Log.Info("a monitor was deleted", "monitor", m.ID, "name", m.Name, "by", v.User)
	http.Redirect(w, r, "/monitors", http.StatusSeeOther)
	return nil
}
