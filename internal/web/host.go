package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
)

// hostPage is page/host.html.
type hostPage struct {
	layout
	Host      saba.Host
	Row       hostRow
	Facts     []fact
	Addresses []string
	Alerts    []alertRow // that are open
	Checks    []checkRow
	Metadata  []string
	Room      chartRoom
	Statuses  []saba.HostStatus
	Downtime  string // address of a form for a downtime of its roles; "" when it has none
	Young     bool   // registered a moment ago: the page looks for first data every few seconds
}

// A fact is a line of the host's description.
type fact struct{ Name, Value, Title string }

// A checkRow is a check and its newest verdict.
type checkRow struct {
	Name, Memo, Message string
	Status              saba.CheckStatus // "" while none has arrived
	At                  int64
}

func (c *console) hostShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	rng, err := parseRange(r.URL.Query(), c.Now())
	if err != nil {
		return err
	}
	h, sub, err := c.hostSubject(ctx, v, r.PathValue("id"))
	if err != nil {
		return err
	}
	checks, err := c.Store.Checks(ctx, v.Org, h.ID)
	if err != nil {
		return fmt.Errorf("list the checks of host %s: %w", h.ID, err)
	}
	metadata, err := c.Store.MetadataNamespaces(ctx, saba.MetadataOwner{Org: v.Org, Host: h.ID})
	if err != nil {
		return fmt.Errorf("list the metadata of host %s: %w", h.ID, err)
	}
	p := hostPage{
		layout: layoutFor(v, "hosts", h.Label()), Host: h, Row: c.hostRow(&h), Facts: facts(&h), Addresses: addresses(&h),
		Metadata: metadata, Room: c.newChartRoom(sub, rng), Statuses: saba.HostStatuses,
		Young: len(sub.graphs) == 0 || c.Now().Unix()-h.CreatedAt < 120,
	}
	if !h.Retired() && v.Write {
		p.Downtime = downtimeLink("", "Work on "+h.Label(), &h)
	}
	p.Scripts = true
	open := slices.DeleteFunc(slices.Clone(v.open), func(a saba.Alert) bool { return a.Host != h.ID })
	names := alertNames{checks: map[string]string{}}
	if names.monitors, err = c.monitorsOf(ctx, v.Org, open); err != nil {
		return err
	}
	for _, ch := range checks {
		names.checks[ch.ID] = ch.Name
		p.Checks = append(p.Checks, checkRow{ch.Name, ch.Memo, ch.Latest.Message, ch.Latest.Status, ch.Latest.OccurredAt})
	}
	p.Alerts = c.alertRows(open, names)
	slices.SortStableFunc(p.Checks, func(a, b checkRow) int { return cmp.Compare(urgency[a.Status], urgency[b.Status]) })
	return c.render(w, r, http.StatusOK, "host", p)
}

// urgency orders verdicts for people: what needs them comes first.
var urgency = map[saba.CheckStatus]int{saba.CheckCritical: 0, saba.CheckWarning: 1, saba.CheckUnknown: 2, saba.CheckOK: 3, "": 4}

func (c *console) hostGraphs(w http.ResponseWriter, r *http.Request, v visitor) error {
	_, sub, err := c.hostSubject(r.Context(), v, r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.answerGraphs(w, r, sub)
}

func (c *console) hostGraph(w http.ResponseWriter, r *http.Request, v visitor) error {
	_, sub, err := c.hostSubject(r.Context(), v, r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.answerGraph(w, r, v, "hosts", []crumb{{"Hosts", "/hosts"}, {sub.label, sub.path}}, sub)
}

// addresses lists the addresses of a host that are of use to others.
func addresses(h *saba.Host) []string {
	var all []string
	for _, i := range h.Interfaces {
		for _, a := range append(append([]string(nil), i.IPv4...), i.IPv6...) {
			if !strings.HasPrefix(strings.ToLower(a), "fe80:") {
				all = append(all, a)
			}
		}
	}
	return all
}

// facts reads from a host's meta what people ask about a machine. Agents of every age and kind
// write it, so that whatever is missing or of another shape is left out.
func facts(h *saba.Host) []fact {
	var meta map[string]json.RawMessage
	if json.Unmarshal(h.Meta, &meta) != nil {
		return nil
	}
	var all []fact
	add := func(name, value, title string) {
		if value = strings.TrimSpace(value); value != "" {
			all = append(all, fact{name, value, title})
		}
	}
	kernel := texts(meta["kernel"])
	system := strings.TrimSpace(kernel["platform_name"] + " " + kernel["platform_version"])
	if system == "" {
		system = kernel["os"]
	}
	add("System", system, "")
	add("Kernel", strings.TrimSpace(kernel["name"]+" "+kernel["release"])+" "+kernel["machine"], kernel["version"])
	var cpus []json.RawMessage
	if json.Unmarshal(meta["cpu"], &cpus) == nil && len(cpus) > 0 {
		cpu := texts(cpus[0])
		model := strings.Join(strings.Fields(cpu["model_name"]), " ")
		if model == "" {
			model = "CPU"
		}
		cores := 0
		for _, c := range cpus {
			// Windows lists sockets with their cores, Linux lists every logical CPU.
			if n, err := strconv.Atoi(texts(c)["number_of_logical_processors"]); err == nil {
				cores += n
			} else {
				cores++
			}
		}
		add("CPU", fmt.Sprintf("%s × %d", model, cores), "")
	}
	if kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(texts(meta["memory"])["total"]), "kB"), 64); err == nil {
		add("Memory", chart.Format(kb*1024, saba.UnitBytes), "")
	}
	agent := textsOf(meta, "agent-name")
	if agent == "" {
		agent = textsOf(meta, "agent-version")
	}
	short, _, _ := strings.Cut(agent, " (")
	add("Agent", short, agent)
	var cloud struct {
		Provider string                     `json:"provider"`
		Metadata map[string]json.RawMessage `json:"metadata"`
	}
	if json.Unmarshal(meta["cloud"], &cloud) == nil {
		add("Cloud", strings.TrimSpace(cloud.Provider+" "+textsOf(cloud.Metadata, "instance-type")), textsOf(cloud.Metadata, "instance-id"))
	}
	return all
}

// texts returns the strings and numbers of a JSON object, as text.
func texts(raw json.RawMessage) map[string]string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	out := make(map[string]string, len(fields))
	for k := range fields {
		out[k] = textsOf(fields, k)
	}
	return out
}

// textsOf returns one string or number of a JSON object as text, cut to what fits on a page.
func textsOf(fields map[string]json.RawMessage, name string) string {
	raw := fields[name]
	var s string
	if json.Unmarshal(raw, &s) != nil {
		var n json.Number
		if json.Unmarshal(raw, &n) != nil {
			return ""
		}
		s = n.String()
	}
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

func (c *console) hostStatusDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	s := saba.HostStatus(r.PostForm.Get("status"))
	if !s.Valid() {
		return saba.Errorf(saba.ErrInvalid, "There is no status %q.", clip(string(s)))
	}
	id := r.PathValue("id")
	if err := c.Store.SetHostStatus(r.Context(), v.Org, []string{id}, s); err != nil {
		return err
	}
	c.Log.Info("a host's status was set", "host", id, "status", string(s), "by", v.User)
	http.Redirect(w, r, "/hosts/"+id, http.StatusSeeOther)
	return nil
}

// confirmPage is page/confirm.html: the question before what cannot be undone.
type confirmPage struct {
	layout
	Crumbs []crumb
	Text   []string
	Action string // where the form goes
	Do     string // the button
	Back   string
}

func (c *console) hostRetire(w http.ResponseWriter, r *http.Request, v visitor) error {
	h, err := c.Store.Host(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	at := "/hosts/" + h.ID
	return c.render(w, r, http.StatusOK, "confirm", confirmPage{
		layout: layoutFor(v, "hosts", "Retire "+h.Label()+"?"), Crumbs: []crumb{{"Hosts", "/hosts"}, {h.Label(), at}},
		Text: []string{
			"A retired host leaves the list and takes no new samples. What was collected stays and can still be read at its address.",
			"Retiring cannot be undone: an agent that goes on posting registers as a new host when it starts again without its id file.",
		},
		Action: at + "/retire", Do: "Retire this host", Back: at,
	})
}

func (c *console) hostRetireDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	id := r.PathValue("id")
	if err := c.Store.RetireHosts(r.Context(), v.Org, []string{id}, c.Now().Unix()); err != nil {
		return err
	}
	c.Log.Info("a host was retired", "host", id, "by", v.User)
	http.Redirect(w, r, "/hosts", http.StatusSeeOther)
	return nil
}
