package web

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

const (
	hostsPerPage = 100
	// A host posts each minute. After this many seconds without a sample the list says so.
	silentAfter = 5 * 60
)

// hostsPage is page/hosts.html.
type hostsPage struct {
	layout
	Search   string
	Status   string
	Role     string // "" or "service" or "service:role"
	Sort     string
	Statuses []saba.HostStatus
	Services []saba.Service
	Columns  []column
	Rows     []hostRow
	Matches  string // "12 of 340 hosts"
	Total    int
	Filtered bool
	Previous string // addresses; "" when there is none
	Next     string
	Pages    string // "Page 2 of 4"
}

// A column is a heading of the list that sorts it.
type column struct {
	Key, Label, URL, Class string
	On                     bool
}

// A hostRow is a host in the list.
type hostRow struct {
	URL      string
	Label    string
	Name     string // "" when Label says it
	Status   saba.HostStatus
	Roles    []roleLink
	Address  string
	Load     string // "" when there is no value
	Spark    string // path of the sparkline
	CPU      share
	Memory   share
	LastSeen int64 // 0 when nothing was ever received
	Silent   string
	Alarm    *hostAlarm // nil when no alert is open

	load float64 // for sorting; NaN when unknown
}

type roleLink struct{ Label, URL string }

func roleLinks(roles []saba.RoleName) []roleLink {
	var links []roleLink
	for _, r := range roles {
		links = append(links, roleLink{r.String(), "/hosts?role=" + url.QueryEscape(r.String())})
	}
	return links
}

// A share is a percentage with a bar; NaN when unknown.
type share struct {
	value float64
}

// Text returns the share in words, "" when it is unknown.
func (s share) Text() string {
	if math.IsNaN(s.value) {
		return ""
	}
	return percent(s.value)
}

// Width returns the length of a bar of 100.
func (s share) Width() string { return strconv.FormatFloat(min(max(s.value, 0), 100), 'f', 1, 64) }

// Level returns how worrying the share is: "", "high" or "full".
func (s share) Level() string {
	switch {
	case s.value >= 95:
		return "full"
	case s.value >= 80:
		return "high"
	}
	return ""
}

// The orders of the list. Names go up, figures go down, and what is unknown comes last.
var hostOrders = []struct {
	key, label, class string
	compare           func(a, b hostRow) int
}{
	{"name", "Host", "", byLabel},
	{"", "Status", "", nil},
	{"", "Roles", "", nil},
	{"", "Address", "", nil},
	{"load", "Load", "figure", func(a, b hostRow) int { return down(a.load, b.load) }},
	{"cpu", "CPU", "figure", func(a, b hostRow) int { return down(a.CPU.value, b.CPU.value) }},
	{"memory", "Memory", "figure", func(a, b hostRow) int { return down(a.Memory.value, b.Memory.value) }},
	{"seen", "Last seen", "figure", func(a, b hostRow) int { return cmp.Compare(b.LastSeen, a.LastSeen) }},
}

func byLabel(a, b hostRow) int {
	return cmp.Or(strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)), strings.Compare(a.URL, b.URL))
}

// down orders by value, the largest first and NaN last.
func down(a, b float64) int {
	switch aNaN, bNaN := math.IsNaN(a), math.IsNaN(b); {
	case aNaN && bNaN:
		return 0
	case aNaN:
		return 1
	case bNaN:
		return -1
	}
	return cmp.Compare(b, a)
}

func (c *console) hostList(w http.ResponseWriter, r *http.Request, v visitor) error {
	q := r.URL.Query()
	p := hostsPage{
		layout: layoutFor(v, "hosts", "Hosts"), Search: strings.TrimSpace(q.Get("q")), Status: q.Get("status"), Role: q.Get("role"),
		Sort: q.Get("sort"), Statuses: saba.HostStatuses,
	}
	if len(p.Search) > 200 {
		return saba.Errorf(saba.ErrInvalid, "The search is longer than 200 characters.")
	}
	filter := saba.HostFilter{}
	if p.Status != "" {
		if !saba.HostStatus(p.Status).Valid() {
			return saba.Errorf(saba.ErrInvalid, "There is no status %q.", clip(p.Status))
		}
		filter.Statuses = []saba.HostStatus{saba.HostStatus(p.Status)}
	}
	if service, role, hasRole := strings.Cut(p.Role, ":"); service != "" {
		filter.Service = service
		if hasRole {
			filter.Roles = []string{role}
		}
	}
	ctx := r.Context()
	hosts, err := c.Store.Hosts(ctx, v.Org, filter)
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	p.Filtered = p.Search != "" || p.Status != "" || p.Role != ""
	if p.Services, err = c.Store.Services(ctx, v.Org); err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	words := strings.Fields(strings.ToLower(p.Search))
	open := alarms(v.open)
	var rows []hostRow
	ids := map[string]string{}
	for i := range hosts {
		if h := &hosts[i]; matchesAll(h, words) {
			row := c.hostRow(h)
			if alarm, ok := open[h.ID]; ok {
				row.Alarm = &alarm
			}
			rows, ids[row.URL] = append(rows, row), h.ID
		}
	}
	p.Total = len(rows)
	p.Matches = count(len(rows), "host")
	if len(words) > 0 {
		p.Matches = fmt.Sprintf("%d of %s", len(rows), count(len(hosts), "host"))
	}

	address := func(sort, page string) string {
		a := url.Values{}
		for k, s := range map[string]string{"q": p.Search, "status": p.Status, "role": p.Role, "sort": sort, "page": page} {
			if s != "" {
				a.Set(k, s)
			}
		}
		if len(a) == 0 {
			return "/hosts"
		}
		return "/hosts?" + a.Encode()
	}
	order := byLabel
	for _, o := range hostOrders {
		col := column{Key: o.key, Label: o.label, Class: o.class, On: o.key != "" && (o.key == p.Sort || p.Sort == "" && o.key == "name")}
		if o.key != "" {
			col.URL = address(strings.TrimPrefix(o.key, "name"), "")
		}
		if col.On && o.compare != nil {
			order = func(a, b hostRow) int { return cmp.Or(o.compare(a, b), byLabel(a, b)) }
		}
		p.Columns = append(p.Columns, col)
	}
	slices.SortFunc(rows, order)

	pages := max(1, (len(rows)+hostsPerPage-1)/hostsPerPage)
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		page = 1
	}
	page = min(max(page, 1), pages)
	p.Rows = rows[(page-1)*hostsPerPage : min(page*hostsPerPage, len(rows))]
	if pages > 1 {
		p.Pages = fmt.Sprintf("Page %d of %d", page, pages)
		if page > 1 {
			p.Previous = address(p.Sort, strconv.Itoa(page-1))
		}
		if page < pages {
			p.Next = address(p.Sort, strconv.Itoa(page+1))
		}
	}
	if err := c.addSparklines(ctx, v.Org, p.Rows, ids); err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "hosts", p)
}

// matchesAll says whether every word stands in something that people know the host by.
func matchesAll(h *saba.Host, words []string) bool {
	if len(words) == 0 {
		return true
	}
	text := []string{h.Name, h.DisplayName, h.CustomIdentifier, h.ID, h.Memo}
	for _, i := range h.Interfaces {
		text = append(append(text, i.IPv4...), i.IPv6...)
	}
	for _, r := range h.Roles {
		text = append(text, r.String())
	}
	all := strings.ToLower(strings.Join(text, "\n"))
	for _, w := range words {
		if !strings.Contains(all, w) {
			return false
		}
	}
	return true
}

// hostRow describes a host from what is in memory.
func (c *console) hostRow(h *saba.Host) hostRow {
	row := hostRow{URL: "/hosts/" + url.PathEscape(h.ID), Label: h.Label(), Status: h.Status, Address: firstAddress(h), Roles: roleLinks(h.Roles), load: math.NaN()}
	if h.DisplayName != "" && h.DisplayName != h.Name {
		row.Name = h.Name
	}
	now := c.Now().Unix()
	seen, ok := c.Samples.LastSeen(h.Org, h.ID)
	if ok && seen < h.CreatedAt && seen >= saba.Minute(h.CreatedAt) {
		seen = h.CreatedAt // samples carry their minute's first second: nobody is heard of before they exist
	}
	switch {
	case !ok:
		row.Silent = "no data yet"
	case now-seen >= silentAfter:
		row.Silent = "no data for " + span(now-seen)
	}
	row.LastSeen = seen
	if l, ok := c.latest(h, "loadavg5"); ok {
		row.load = l
		row.Load = strconv.FormatFloat(l, 'f', 2, 64)
	}
	row.CPU, row.Memory = c.cpuShare(h), c.memoryShare(h)
	return row
}

func (c *console) latest(h *saba.Host, name string) (float64, bool) {
	s, ok := c.Samples.Latest(saba.Series{Org: h.Org, Host: h.ID, Name: name})
	return s.Value, ok
}

// cpuStates are the metrics that together are all the time of all cores.
var cpuStates = []string{"user", "nice", "system", "iowait", "irq", "softirq", "steal", "guest"}

// cpuShare returns how busy a host is, of all its cores: agents post states that add up to
// 100 for each core.
func (c *console) cpuShare(h *saba.Host) share {
	idle, ok := c.latest(h, "cpu.idle.percentage")
	if !ok {
		return share{math.NaN()}
	}
	busy := 0.0
	for _, s := range cpuStates {
		if v, ok := c.latest(h, "cpu."+s+".percentage"); ok {
			busy += v
		}
	}
	if busy+idle <= 0 {
		return share{math.NaN()}
	}
	return share{100 * busy / (busy + idle)}
}

func (c *console) memoryShare(h *saba.Host) share {
	used, haveUsed := c.latest(h, "memory.used")
	total, haveTotal := c.latest(h, "memory.total")
	if !haveUsed || !haveTotal || total <= 0 {
		return share{math.NaN()}
	}
	return share{100 * used / total}
}

// firstAddress returns the address that people know a host by: the first IPv4 address, else
// the first IPv6 one that is not link-local.
func firstAddress(h *saba.Host) string {
	for _, i := range h.Interfaces {
		if len(i.IPv4) > 0 {
			return i.IPv4[0]
		}
	}
	for _, i := range h.Interfaces {
		for _, a := range i.IPv6 {
			if !strings.HasPrefix(strings.ToLower(a), "fe80:") {
				return a
			}
		}
	}
	return ""
}

// The size of a sparkline, in CSS pixels.
const (
	sparkWidth  = 72
	sparkHeight = 20
)

// addSparklines draws the last hour's load of the rows, in one read. ids are host ids by URL.
func (c *console) addSparklines(ctx context.Context, org string, rows []hostRow, ids map[string]string) error {
	series := make([]saba.Series, len(rows))
	for i, row := range rows {
		series[i] = saba.Series{Org: org, Host: ids[row.URL], Name: "loadavg5"}
	}
	to := c.Now().Unix()
	from := to - 3600
	samples, err := c.Samples.Range(ctx, series, from, to)
	if err != nil {
		return fmt.Errorf("read the load of hosts: %w", err)
	}
	for i := range rows {
		if len(samples[i]) == 0 {
			continue
		}
		// Two minutes a step: the line is 72 pixels wide.
		_, means, err := saba.Downsample(samples[i], from, to, 120)
		if err != nil {
			return err
		}
		rows[i].Spark = spark(means, sparkWidth, sparkHeight, 0.1)
	}
	return nil
}
