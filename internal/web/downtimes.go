package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// downtimesPage is page/downtimes.html.
type downtimesPage struct {
	layout
	Groups []downtimeGroup
	Total  int
	Past   string // address of all that are over; "" when all are shown
}

// A downtimeGroup is those that are under way, those to come, or those that are over.
type downtimeGroup struct {
	Heading, Column string
	Rows            []downtimeRow
}

// A downtimeRow is a downtime in a list.
type downtimeRow struct {
	saba.Downtime
	URL      string
	When     string // in words
	For, Not []roleLink
	At       int64 // when it ends, comes next, or ended, in Unix seconds; 0 is not known
}

// pastShown is how many downtimes that are over the list shows unasked.
const pastShown = 10

func (c *console) downtimeList(w http.ResponseWriter, r *http.Request, v visitor) error {
	p := downtimesPage{layout: layoutFor(v, "downtimes", "Downtimes")}
	all, err := c.Store.Downtimes(r.Context(), v.Org)
	if err != nil {
		return fmt.Errorf("list downtimes: %w", err)
	}
	names, err := c.watchedNames(r.Context(), v.Org, all)
	if err != nil {
		return err
	}
	now := c.Now()
	active, coming, past := downtimeGroup{Heading: "Under way", Column: "Ends"}, downtimeGroup{Heading: "To come", Column: "Next"}, downtimeGroup{Heading: "Over", Column: "Ended"}
	for _, d := range all {
		row := newDowntimeRow(d, names, now.Location())
		length := d.Duration * 60
		next := d.Occurrences(now.Unix(), now.Location(), 1)
		switch {
		case len(next) == 0:
			row.At = d.Start + length
			if d.Recurrence != nil {
				row.At = d.Recurrence.Until
			}
			past.Rows = append(past.Rows, row)
		case next[0] <= now.Unix():
			row.At = next[0] + length
			active.Rows = append(active.Rows, row)
		default:
			row.At = next[0]
			coming.Rows = append(coming.Rows, row)
		}
	}
	soonest := func(a, b downtimeRow) int { return cmp.Compare(a.At, b.At) }
	slices.SortStableFunc(active.Rows, soonest)
	slices.SortStableFunc(coming.Rows, soonest)
	slices.SortStableFunc(past.Rows, func(a, b downtimeRow) int { return soonest(b, a) })
	if len(past.Rows) > pastShown && r.URL.Query().Get("past") == "" {
		past.Rows, p.Past = past.Rows[:pastShown], "/downtimes?past=all"
	}
	for _, g := range []downtimeGroup{active, coming, past} {
		if len(g.Rows) > 0 {
			p.Groups = append(p.Groups, g)
		}
	}
	p.Total = len(all)
	return c.render(w, r, http.StatusOK, "downtimes", p)
}

// watchedNames are names of monitors, and of the checks that downtimes name, by id.
func (c *console) watchedNames(ctx context.Context, org string, all []saba.Downtime) (map[string]roleLink, error) {
	var named []string
	for _, d := range all {
		named = slices.Concat(named, d.MonitorScopes, d.MonitorExcludeScopes)
	}
	return c.ruleNames(ctx, org, named)
}

// ruleNames are names of all monitors, and of those checks that are among what is named, by id.
func (c *console) ruleNames(ctx context.Context, org string, named []string) (map[string]roleLink, error) {
	monitors, err := c.Store.Monitors(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list monitors: %w", err)
	}
	names := make(map[string]roleLink, len(monitors))
	for _, m := range monitors {
		names[m.ID] = roleLink{m.Name, "/monitors/" + url.PathEscape(m.ID)}
	}
	checks, err := c.checksOf(ctx, org, named, func(id string) bool { _, known := names[id]; return !known })
	if err != nil {
		return nil, err
	}
	for id, ch := range checks {
		names[id] = roleLink{"check " + ch.Name, "/hosts/" + url.PathEscape(ch.Host)}
	}
	return names, nil
}

// maxChecksRead bounds how many checks are read one by one for a page.
const maxChecksRead = 100

// checksOf returns those of some rules that are checks, by id.
func (c *console) checksOf(ctx context.Context, org string, ids []string, wanted func(id string) bool) (map[string]saba.Check, error) {
	checks := map[string]saba.Check{}
	for _, id := range ids {
		if !wanted(id) || len(checks) == maxChecksRead {
			continue
		}
		ch, err := c.Store.Check(ctx, org, id)
		if errors.Is(err, saba.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the check %s that is named: %w", id, err)
		}
		checks[id] = ch
	}
	return checks, nil
}

func newDowntimeRow(d saba.Downtime, names map[string]roleLink, server *time.Location) downtimeRow {
	row := downtimeRow{Downtime: d, URL: "/downtimes/" + url.PathEscape(d.ID), When: whenWords(d, server)}
	links := func(services []string, roles []saba.Scope, rules []string) []roleLink {
		var scopes []saba.Scope
		for _, s := range services {
			scopes = append(scopes, saba.Scope{Service: s})
		}
		links := scopeLinks(append(scopes, roles...))
		for _, id := range rules {
			link, known := names[id]
			if !known {
				link = roleLink{"a deleted monitor", "/monitors"}
			}
			links = append(links, link)
		}
		return links
	}
	row.For, row.Not = links(d.ServiceScopes, d.RoleScopes, d.MonitorScopes), links(d.ServiceExcludeScopes, d.RoleExcludeScopes, d.MonitorExcludeScopes)
	return row
}

// downtimePage is page/downtime.html.
type downtimePage struct {
	layout
	Row    downtimeRow
	New    bool
	Action string
	Parts  []formPart
	Error  string
	Wrong  bool
	Saved  bool
	Active bool   // it is under way
	Note   string // what whoever came here by a link should know
	Beside downtimeView
}

// A downtimeView is what stands beside a downtime's form.
type downtimeView struct {
	When  string
	Next  []int64 // when it begins, in Unix seconds; empty when it is over or cannot be told yet
	Until []int64 // when each of these ends
	Zone  *time.Location
	Hush  hushed
	Known bool // the form says enough to tell
}

// Times pairs the beginnings with the ends, by the clocks of the downtime.
func (v downtimeView) Times() (times []string) {
	for i, at := range v.Next {
		from, to := time.Unix(at, 0).In(v.Zone), time.Unix(v.Until[i], 0).In(v.Zone)
		layout := "15:04 MST"
		if from.YearDay() != to.YearDay() || from.Year() != to.Year() {
			layout = "Mon 2 Jan, 15:04 MST"
		}
		times = append(times, from.Format("Mon 2 Jan 2006, 15:04")+" – "+to.Format(layout))
	}
	return times
}

// nextShown is how many of the next occurrences stand beside the form.
const nextShown = 5

// zonesProposed are names of time zones that a form proposes; every other name of the IANA database may be typed.
var zonesProposed = []string{
	"UTC", "Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "America/Argentina/Buenos_Aires", "America/Bogota", "America/Chicago", "America/Denver",
	"America/Los_Angeles", "America/Mexico_City", "America/New_York", "America/Sao_Paulo", "America/Toronto", "America/Vancouver", "Asia/Bangkok", "Asia/Dubai", "Asia/Ho_Chi_Minh",
	"Asia/Hong_Kong", "Asia/Jakarta", "Asia/Jerusalem", "Asia/Karachi", "Asia/Kolkata", "Asia/Manila", "Asia/Riyadh", "Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Taipei",
	"Asia/Tokyo", "Australia/Brisbane", "Australia/Melbourne", "Australia/Perth", "Australia/Sydney", "Europe/Amsterdam", "Europe/Athens", "Europe/Berlin", "Europe/Brussels",
	"Europe/Dublin", "Europe/Helsinki", "Europe/Istanbul", "Europe/Kyiv", "Europe/Lisbon", "Europe/London", "Europe/Madrid", "Europe/Oslo", "Europe/Paris", "Europe/Prague",
	"Europe/Rome", "Europe/Stockholm", "Europe/Vienna", "Europe/Warsaw", "Europe/Zurich", "Pacific/Auckland", "Pacific/Honolulu",
}

// downtimeFormOf returns the form of downtimes with what there is to choose in it.
func (c *console) downtimeFormOf(services []saba.Service, monitors []saba.Monitor, checks map[string]saba.Check) form[downtimeForm] {
	f := form[downtimeForm]{fields: downtimeFields, lists: map[string][]group{"scopes": scopeList(services)}, zone: c.Now().Location()}
	var zones group
	for _, z := range zonesProposed {
		zones.Choices = append(zones.Choices, choice{Value: z})
	}
	f.lists["zones"] = []group{zones}
	f.lists["monitors"] = watchedList(monitors, checks)
	return f
}

// watchedList returns monitors by their type, and the checks among what is chosen, to choose from.
func watchedList(monitors []saba.Monitor, checks map[string]saba.Check) []group {
	var groups []group
	for _, m := range monitors {
		kind, _ := kindOf(m.Type)
		if n := len(groups); n == 0 || groups[n-1].Label != kind.Label {
			groups = append(groups, group{Label: kind.Label})
		}
		last := &groups[len(groups)-1]
		last.Choices = append(last.Choices, choice{Value: m.ID, Label: m.Name})
	}
	var named group
	for id, ch := range checks {
		named.Choices = append(named.Choices, choice{Value: id, Label: ch.Name})
	}
	if len(named.Choices) > 0 {
		named.Label = "Checks of agents"
		slices.SortFunc(named.Choices, func(a, b choice) int { return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Value, b.Value)) })
		groups = append(groups, named)
	}
	return groups
}

// downtime returns a downtime of the visitor's organization.
func (c *console) downtime(r *http.Request, v visitor) (saba.Downtime, error) {
	all, err := c.Store.Downtimes(r.Context(), v.Org)
	if err != nil {
		return saba.Downtime{}, fmt.Errorf("list downtimes: %w", err)
	}
	i := slices.IndexFunc(all, func(d saba.Downtime) bool { return d.ID == r.PathValue("id") })
	if i < 0 {
		return saba.Downtime{}, saba.Errorf(saba.ErrNotFound, "There is no such downtime: it may have been deleted already.")
	}
	return all[i], nil
}

// downtimeNew shows the form of a downtime that begins now. Its address may say for what: scope and monitor, each any number of times, name,
// and for how many minutes.
func (c *console) downtimeNew(w http.ResponseWriter, r *http.Request, v visitor) error {
	q := r.URL.Query()
	start := c.Now().Unix() / 60 * 60
	d := saba.Downtime{Name: clip(q.Get("name")), Start: start, Duration: 60, MonitorScopes: q["monitor"]}
	if n := number(q.Get("minutes")); n > 0 {
		d.Duration = int64(n)
	}
	for _, s := range q["scope"] {
		scope, err := saba.ParseScope(s)
		switch {
		case err != nil:
			return err
		case scope.Role == "":
			d.ServiceScopes = append(d.ServiceScopes, scope.Service)
		default:
			d.RoleScopes = append(d.RoleScopes, scope)
		}
	}
	p := downtimePage{}
	if host := q.Get("host"); host != "" {
		p.Note = "A downtime is for roles and services, so that it goes for every host in them; they are listed here before it is made. For " + clip(host) + " alone, set its status to maintenance."
	}
	return c.showDowntime(w, r, v, http.StatusOK, p, d, formOfDowntime(d, c.Now().Location()), nil, nil)
}

func (c *console) downtimeShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.downtime(r, v)
	if err != nil {
		return err
	}
	return c.showDowntime(w, r, v, http.StatusOK, downtimePage{}, d, formOfDowntime(d, c.Now().Location()), nil, nil)
}

// showDowntime shows the form of a downtime. d is what it says so far; its ID is "" for a new one.
func (c *console) showDowntime(w http.ResponseWriter, r *http.Request, v visitor, code int, p downtimePage, d saba.Downtime, values downtimeForm, typed url.Values, wrong faults) error {
	ctx, now := r.Context(), c.Now()
	monitors, err := c.Store.Monitors(ctx, v.Org)
	if err != nil {
		return fmt.Errorf("list monitors: %w", err)
	}
	services, err := c.Store.Services(ctx, v.Org)
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	hosts, err := c.Store.Hosts(ctx, v.Org, saba.HostFilter{Statuses: []saba.HostStatus{saba.Working, saba.Standby}})
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	slices.SortFunc(hosts, func(a, b saba.Host) int { return cmp.Compare(a.Label(), b.Label()) })
	isMonitor := map[string]bool{}
	names := map[string]roleLink{}
	for _, m := range monitors {
		isMonitor[m.ID], names[m.ID] = true, roleLink{m.Name, "/monitors/" + m.ID}
	}
	checks, err := c.checksOf(ctx, v.Org, slices.Concat(values.Monitors, values.Others), func(id string) bool { return !isMonitor[id] })
	if err != nil {
		return err
	}
	for id, ch := range checks {
		names[id] = roleLink{"check " + ch.Name, "/hosts/" + ch.Host}
	}
	p.New = r.PathValue("id") == ""
	p.Row, p.Error, p.Wrong, p.Saved = newDowntimeRow(d, names, now.Location()), wrong[""], code != http.StatusOK, r.URL.Query().Get("saved") != ""
	title := cmp.Or(d.Name, "Downtime")
	p.Action = "/downtimes/" + url.PathEscape(r.PathValue("id"))
	if p.New {
		title, p.Action = "New downtime", "/downtimes/new"
	}
	p.layout = layoutFor(v, "downtimes", title)
	if v.Write {
		p.Parts = c.downtimeFormOf(services, monitors, checks).draw(&values, typed, wrong)
	}
	p.Active = !p.New && d.Active(now.Unix(), now.Location())
	p.Beside = downtimeView{Zone: d.Zone(now.Location()), Hush: hushes(d, hosts, monitors, checks), Known: len(wrong) == 0}
	if p.Beside.Known {
		p.Beside.When = whenWords(d, now.Location())
		p.Beside.Next = d.Occurrences(now.Unix(), now.Location(), nextShown)
		for _, at := range p.Beside.Next {
			p.Beside.Until = append(p.Beside.Until, at+d.Duration*60)
		}
	}
	return c.render(w, r, code, "downtime", p)
}

// downtimeSave makes a downtime or changes one, or only draws what was typed: "do" says which.
func (c *console) downtimeSave(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx, zone := r.Context(), c.Now().Location()
	var old saba.Downtime
	if r.PathValue("id") != "" {
		var err error
		if old, err = c.downtime(r, v); err != nil {
			return err
		}
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := form[downtimeForm]{fields: downtimeFields, zone: zone}
	var values downtimeForm
	wrong := f.read(&values, r.PostForm)
	d, err := values.downtime(old, zone)
	if err != nil && len(wrong) == 0 {
		blameDowntime(f, wrong, &values, err)
	}
	switch {
	case r.PostForm.Get("do") == "draft":
		return c.showDowntime(w, r, v, http.StatusOK, downtimePage{}, d, values, r.PostForm, wrong)
	case len(wrong) > 0:
		return c.showDowntime(w, r, v, http.StatusBadRequest, downtimePage{}, d, values, r.PostForm, wrong)
	case old.ID == "":
		if d.ID, err = c.newID(); err != nil {
			return err
		}
		err = c.Store.CreateDowntime(ctx, v.Org, d)
	default:
		_, err = c.Store.UpdateDowntime(ctx, v.Org, old.ID, func(saba.Downtime) (saba.Downtime, error) { return d, nil })
	}
	if err != nil {
		if !blameDowntime(f, wrong, &values, err) {
			return err
		}
		return c.showDowntime(w, r, v, http.StatusBadRequest, downtimePage{}, d, values, r.PostForm, wrong)
	}
	c.Log.Info("a downtime was saved", "downtime", d.ID, "name", d.Name, "new", old.ID == "", "by", v.User)
	http.Redirect(w, r, "/downtimes/"+url.PathEscape(d.ID)+"?saved=1", http.StatusSeeOther)
	return nil
}

// blameDowntime is blame for an error about a downtime, whose fields have other names in the form.
func blameDowntime(f form[downtimeForm], wrong faults, values *downtimeForm, err error) bool {
	return f.blame(wrong, values, renamed(err, downtimeName))
}

// renamed returns an error about a field with the name that the field has in a form.
func renamed(err error, name *strings.Replacer) error {
	var fault *saba.FieldError
	if errors.As(err, &fault) {
		return &saba.FieldError{Field: name.Replace(fault.Field), Reason: fault.Reason}
	}
	return err
}

func (c *console) downtimeDelete(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.downtime(r, v)
	if err != nil {
		return err
	}
	at, now := "/downtimes/"+url.PathEscape(d.ID), c.Now()
	p := confirmPage{
		layout: layoutFor(v, "downtimes", "Delete "+d.Name+"?"), Crumbs: []crumb{{"Downtimes", "/downtimes"}, {d.Name, at}},
		Text: []string{whenWords(d, now.Location())}, Action: at + "/delete", Do: "Delete this downtime", Back: at,
	}
	switch next := d.Occurrences(now.Unix(), now.Location(), 1); {
	case len(next) == 0:
		p.Text = append(p.Text, "It is over, and hushes nothing any more.")
	case next[0] <= now.Unix():
		p.Text = append(p.Text, "It is under way, and ends at once: what goes wrong from then on opens alerts again.")
	default:
		p.Text = append(p.Text, "It does not begin any more.")
	}
	return c.render(w, r, http.StatusOK, "confirm", p)
}

func (c *console) downtimeDeleteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.Store.DeleteDowntime(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Log.Info("a downtime was deleted", "downtime", d.ID, "name", d.Name, "by", v.User)
	http.Redirect(w, r, "/downtimes", http.StatusSeeOther)
	return nil
}

// downtimeLink returns the address of a form for a downtime of an hour: of a rule, "" for all, and of the roles of a host. It is "" where
// that would be a downtime of everything.
func downtimeLink(rule, name string, h *saba.Host) string {
	q := url.Values{"minutes": {strconv.Itoa(60)}}
	if name != "" {
		q.Set("name", name)
	}
	if rule != "" {
		q.Set("monitor", rule)
	}
	if h != nil {
		for _, role := range h.Roles {
			q.Add("scope", role.String())
		}
		if rule == "" {
			q.Set("host", h.Label())
		}
	}
	if !q.Has("monitor") && !q.Has("scope") {
		return ""
	}
	return "/downtimes/new?" + q.Encode()
}
