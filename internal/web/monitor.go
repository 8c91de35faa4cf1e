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
)

// monitorPage is page/monitor.html: the form of a monitor, or what it says for those who may not change it.
type monitorPage struct {
	layout
	Kind   monitorKind
	Kinds  []monitorKind // to choose from; nil when one is chosen
	Row    monitorRow
	New    bool
	Action string
	Parts  []formPart
	Facts  []fact       // for viewers
	Lists  []formList   // what inputs propose
	Alerts []alertRow   // that are open
	Error  string       // that belongs to no field
	Wrong  bool         // something was not saved
	Saved  bool         // it was just now
	Beside *monitorView // what the rule looks at; nil when there is nothing to show
	Days   []choice     // how far back a replay may look
}

// A formList is a datalist: what an input proposes.
type formList struct {
	ID     string
	Values []choice
}

// A monitorView is what stands beside a monitor's form.
type monitorView struct {
	Rule  []string // in words
	Scope string
	// Learned is what a kept monitor of anomalies knows, in words; Learns says that it is one.
	Learned []string
	Learns  bool
	Graph   *monitorGraph  // of what is judged, with the thresholds; nil when there is none
	Past    *monitorReplay // what it would have done; nil when nobody has asked
}

// monitorForm returns the form of monitors with what there is to choose in it.
func (c *console) monitorForm(ctx context.Context, v visitor, t saba.MonitorType) (form[saba.Monitor], error) {
	f := form[saba.Monitor]{fields: monitorFields, lists: map[string][]group{}, zone: c.Now().Location()}
	services, err := c.Store.Services(ctx, v.Org)
	if err != nil {
		return f, fmt.Errorf("list services: %w", err)
	}
	f.lists["scopes"], f.lists["services"] = scopeList(services), serviceList(services)
	var roles, metrics group
	for _, c := range f.lists["scopes"][0].Choices {
		if c.Below {
			roles.Choices = append(roles.Choices, choice{Value: c.Value, Label: c.Value})
		}
	}
	f.lists["roles"] = []group{roles}
	names, err := c.metricNames(ctx, v.Org, t, services)
	if err != nil {
		return f, err
	}
	for _, n := range names {
		metrics.Choices = append(metrics.Choices, choice{Value: n})
	}
	f.lists["metrics"] = []group{metrics}
	return f, nil
}

const (
	// maxProposals bounds how many names of metrics a form proposes.
	maxProposals = 2000
	// proposedSince is how long ago a metric may have arrived last that is proposed, in seconds.
	proposedSince = 2 * day
)

// metricNames returns the names that the form of a type proposes: of hosts' metrics or of services'.
func (c *console) metricNames(ctx context.Context, org string, t saba.MonitorType, services []saba.Service) ([]string, error) {
	ofServices := map[string]bool{}
	for _, s := range services {
		names, _, err := c.Samples.NamesOf(ctx, org, "", s.Series)
		if err != nil {
			return nil, fmt.Errorf("list the metrics of service %s: %w", s.Name, err)
		}
		for _, n := range names {
			ofServices[n] = true
		}
	}
	var names []string
	switch t {
	case saba.MonitorHost:
		names = slices.Clone(saba.RateMetrics)
		for _, n := range c.Samples.RecentNames(org, c.Now().Unix()-proposedSince) {
			if !ofServices[n] || strings.HasPrefix(n, "custom.") {
				names = append(names, n)
			}
		}
	case saba.MonitorService:
		for n := range ofServices {
			names = append(names, n)
		}
		slices.Sort(names)
	}
	return names[:min(len(names), maxProposals)], nil
}

// monitorNew shows the types of monitors, or the empty form of one, or with "from" one that is like another monitor, or with "drain" one that is suggested.
func (c *console) monitorNew(w http.ResponseWriter, r *http.Request, v visitor) error {
	q := r.URL.Query()
	t := saba.MonitorType(q.Get("type"))
	m := newMonitor(t)
	if id := q.Get("from"); id != "" {
		other, err := c.Store.Monitor(r.Context(), v.Org, id)
		if err != nil {
			return err
		}
		m = withoutSecrets(other)
		m.ID, m.Name, m.MuteUntil = "", "Copy of "+other.Name, 0
	} else if id := q.Get("drain"); id != "" {
		suggested, err := c.suggestedMonitor(r.Context(), v, id, q.Get("suggestion"))
		if err != nil {
			return err
		}
		m = suggested
	} else if _, known := kindOf(t); !known {
		p := monitorPage{layout: layoutFor(v, "monitors", "New monitor"), New: true, Kinds: monitorKinds}
		return c.render(w, r, http.StatusOK, "monitor", p)
	}
	return c.showMonitor(w, r, v, http.StatusOK, m, saba.Monitor{}, nil, nil)
}

func (c *console) monitorShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	m, err := c.Store.Monitor(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.showMonitor(w, r, v, http.StatusOK, withoutSecrets(m), saba.Monitor{}, nil, nil)
}

// showMonitor shows the form of a monitor. typed is what was sent, and whole the monitor with its secrets then; nil and zero for the first time.
func (c *console) showMonitor(w http.ResponseWriter, r *http.Request, v visitor, code int, m, whole saba.Monitor, typed url.Values, wrong faults) error {
	ctx := r.Context()
	f, err := c.monitorForm(ctx, v, m.Type)
	if err != nil {
		return err
	}
	kind, _ := kindOf(m.Type)
	p := monitorPage{Kind: kind, New: m.ID == "", Row: c.monitorRow(m, v.open), Error: wrong[""], Wrong: code != http.StatusOK, Saved: r.URL.Query().Get("saved") != ""}
	title := m.Name
	p.Action = p.Row.URL
	if p.New {
		title, p.Action = "New monitor: "+strings.ToLower(kind.Label[:1])+kind.Label[1:], "/monitors/new?type="+url.QueryEscape(string(m.Type))
		if from := r.URL.Query().Get("from"); from != "" {
			p.Action += "&from=" + url.QueryEscape(from)
		}
	}
	p.layout = layoutFor(v, "monitors", title)
	if v.Write {
		p.Parts = f.draw(&m, typed, wrong)
		for _, d := range f.has(&m) {
			if list := f.lists[d.from]; d.input == inputLine && list != nil {
				p.Lists = append(p.Lists, formList{d.name, list[0].Choices})
			}
		}
	}
	var hosts []saba.Host
	if m.Type == saba.MonitorHost {
		if hosts, err = c.Store.Hosts(ctx, v.Org, saba.HostFilter{}); err != nil {
			return fmt.Errorf("list hosts: %w", err)
		}
	}
	p.Beside = &monitorView{Rule: conditionWords(m), Scope: forWords(m), Graph: c.monitorGraphOf(m, hosts)}
	if m.Type == saba.MonitorAnomaly && m.ID != "" && c.Learned != nil {
		p.Beside.Learns, p.Beside.Learned = true, learnedWords(c.Learned(m.ID))
	}
	p.Days = dayChoices(typed.Get("days"))
	if typed.Get("do") == "replay" && len(wrong) == 0 {
		if err := c.addReplay(ctx, v, p.Beside, whole, typed); err != nil {
			return err
		}
	}
	if !p.New {
		mine := slices.DeleteFunc(slices.Clone(v.open), func(a saba.Alert) bool { return a.Monitor != m.ID })
		names, err := c.alertNames(ctx, v.Org, mine)
		if err != nil {
			return err
		}
		p.Alerts = c.alertRows(mine, names)
	}
	return c.render(w, r, code, "monitor", p)
}

// monitorSave makes a monitor or changes one, or only draws what was typed, or replays it: "do" says which.
func (c *console) monitorSave(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	q := r.URL.Query()
	old := saba.Monitor{Type: saba.MonitorType(q.Get("type"))}
	secrets := old // the monitor whose secrets are kept: the one itself, or that of which it is a copy
	if id := cmp.Or(r.PathValue("id"), q.Get("from")); id != "" {
		var err error
		if secrets, err = c.Store.Monitor(ctx, v.Org, id); err != nil {
			return err
		}
	}
	if r.PathValue("id") != "" {
		old = secrets
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	if _, known := kindOf(old.Type); !known {
		return saba.Errorf(saba.ErrInvalid, "There is no type %q of monitors.", clip(string(old.Type)))
	}
	f := form[saba.Monitor]{fields: monitorFields, zone: c.Now().Location()}
	m := old
	wrong := f.read(&m, r.PostForm)
	shown := m // what the form is drawn from again: without secrets
	if len(wrong) == 0 {
		if err := keepSecrets(&m, secrets); err != nil {
			f.blame(wrong, &m, err)
		}
	}
	if len(wrong) == 0 {
		m.Default()
		err := m.Check(c.Now().Unix())
		if err == nil && m.Type == saba.MonitorQuery && c.CheckQuery != nil {
			err = c.CheckQuery(m.Query)
		}
		if err != nil {
			f.blame(wrong, &m, err)
		}
	}
	if do := r.PostForm.Get("do"); do == "draft" || do == "replay" && len(wrong) == 0 {
		return c.showMonitor(w, r, v, http.StatusOK, shown, m, r.PostForm, wrong)
	}
	if len(wrong) > 0 {
		return c.showMonitor(w, r, v, http.StatusBadRequest, shown, m, r.PostForm, wrong)
	}
	var err error
	if old.ID == "" {
		if m.ID, err = c.newID(); err != nil {
			return err
		}
		err = c.Store.CreateMonitor(ctx, v.Org, m)
	} else {
		_, err = c.Store.UpdateMonitor(ctx, v.Org, old.ID, c.Now().Unix(), func(is saba.Monitor) (saba.Monitor, error) {
			m.MuteUntil = is.MuteUntil // the form does not say
			return m, nil
		})
	}
	if err != nil {
		if !f.blame(wrong, &m, err) {
			return err
		}
		return c.showMonitor(w, r, v, http.StatusBadRequest, shown, m, r.PostForm, wrong)
	}
	c.Log.Info("a monitor was saved", "monitor", m.ID, "name", m.Name, "new", old.ID == "", "by", v.User)
	http.Redirect(w, r, "/monitors/"+url.PathEscape(m.ID)+"?saved=1", http.StatusSeeOther)
	return nil
}

// hidden is what stands in the place of a password.
const hidden = "xxxxx" // as url.URL.Redacted has it

// harmless are the headers whose values are no secrets.
var harmless = []string{"accept", "accept-encoding", "accept-language", "cache-control", "content-type", "host", "origin", "pragma", "referer", "user-agent"}

// withoutSecrets returns a monitor as pages show it: without the password in its address, and without the values of headers that may be secret.
func withoutSecrets(m saba.Monitor) saba.Monitor {
	m.URL = redacted(m.URL)
	m.Headers = slices.Clone(m.Headers)
	for i, h := range m.Headers {
		if !slices.Contains(harmless, strings.ToLower(h.Name)) {
			m.Headers[i].Value = ""
		}
	}
	return m
}

func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	if _, secret := u.User.Password(); !secret {
		return address
	}
	return u.Redacted()
}

// keepSecrets puts back into what was typed the secrets that the form did not show. They go to the host for which they were
// given, and to no other: else whoever may edit a monitor could send them to a host of their own, and read them there.
func keepSecrets(m *saba.Monitor, old saba.Monitor) error {
	if m.Type != saba.MonitorExternal {
		return nil
	}
	is, err := url.Parse(m.URL)
	if err != nil {
		return nil // Check says so
	}
	was, err := url.Parse(old.URL)
	same := err == nil && was.Scheme == is.Scheme && was.Host == is.Host
	if p, _ := is.User.Password(); p == hidden {
		secret, known := was.User.Password()
		if !same || !known {
			return saba.Invalidf("url", "has the password %q, which only stands for one that is kept for another host: type the password", hidden)
		}
		is.User = url.UserPassword(is.User.Username(), secret)
		m.URL = is.String()
	}
	for i, h := range m.Headers {
		if h.Value != "" {
			continue
		}
		k := slices.IndexFunc(old.Headers, func(o saba.HTTPHeader) bool { return strings.EqualFold(o.Name, h.Name) && o.Value != "" })
		switch {
		case k < 0:
		case !same:
			return saba.Invalidf(fmt.Sprintf("headers[%d].value", i), "(%s) has a value that is kept for another host: type it again", h.Name)
		default:
			m.Headers[i].Value = old.Headers[k].Value
		}
	}
	return nil
}
