package web

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/logline"
)

// drainsPage is page/drains.html.
type drainsPage struct {
	layout
	Rows  []drainRow
	Since int64 // when the server began to count
}

// A drainRow is a drain and what it was sent lately. It has no text of lines.
type drainRow struct {
	saba.Drain
	URL, ServiceURL string
	Last            int64  // when the last line came; 0 when none did
	Spark           string // path of the sparkline of lines a minute
	PerMinute       string // how many came in the last minute that is over
	Refused         []refusedRow
	Sources         []string
}

// A refusedRow says how much was refused for one reason.
type refusedRow struct {
	Reason logline.Reason
	Count  int64
}

func (c *console) drainRow(d saba.Drain, st drain.Status) drainRow {
	row := drainRow{
		Drain: d, URL: "/log-drains/" + url.PathEscape(d.ID), ServiceURL: "/services/" + url.PathEscape(d.Service),
		PerMinute: count(int(st.Minutes[1]), "line") + " a minute", Refused: refusedRows(st.Refused), Sources: st.Sources,
	}
	if !st.Last.IsZero() {
		row.Last = st.Last.Unix()
	}
	if st.Lines > 0 {
		row.Spark = spark(minutesOver(st, c.Now()), sparkWidth, sparkHeight, 1)
	}
	return row
}

// minutesOver returns the lines of each minute of the last hour that is over, oldest first. It is NaN where the server did not count yet.
func minutesOver(st drain.Status, now time.Time) []float64 {
	over := make([]float64, 0, len(st.Minutes)-1)
	for i := len(st.Minutes) - 1; i > 0; i-- {
		n := float64(st.Minutes[i])
		if end := saba.Minute(now.Unix()) - int64(i-1)*60; end <= st.Since.Unix() {
			n = math.NaN()
		}
		over = append(over, n)
	}
	return over
}

func refusedRows(refused map[logline.Reason]int64) (rows []refusedRow) {
	for reason, n := range refused {
		rows = append(rows, refusedRow{reason, n})
	}
	slices.SortFunc(rows, func(a, b refusedRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return rows
}

func (c *console) drainList(w http.ResponseWriter, r *http.Request, v visitor) error {
	drains, err := c.Store.Drains(r.Context(), v.Org)
	if err != nil {
		return fmt.Errorf("list drains: %w", err)
	}
	p := drainsPage{layout: layoutFor(v, "drains", "Log drains")}
	for _, d := range drains {
		st := c.Drains.Status(d.ID)
		p.Since = st.Since.Unix()
		p.Rows = append(p.Rows, c.drainRow(d, st))
	}
	return c.render(w, r, http.StatusOK, "drains", p)
}

// drainPage is page/drain.html: what a drain was sent, and, right after it was made, its token.
type drainPage struct {
	layout
	Row      drainRow
	Since    int64 // when the server began to count
	Before   bool  // the last line came before that
	Lines    int64
	Readings int64
	Again    int64
	Chart    *minuteChart // nil when no line came within the last hour
	Recent   []recentLine // for those who may change something; others are told that it is so
	Refusals []refusalRow
	Room     chartRoom
	Metrics  int     // how many there are in the charts
	Offers   *offers // what goes with them; nil where there is nothing to offer
	Saved    bool    // it was just now
	Made     int     // how many suggested monitors were
	Token    string  // that was just made; "" otherwise
	Senders  []sender
	Local    bool   // the address in the commands only works on this machine
	Base     string // of this server
}

// A minuteChart is a picture of the lines of each minute of the last hour.
type minuteChart struct {
	Bars []bar
	Most string // the top of it, in words
	Alt  string
}

// A bar is one minute, in units of the chart: 600 by 100.
type bar struct{ X, Y, Height float64 }

// The size of a minuteChart, in its own units.
const minuteWidth, minuteHeight = 10, 100

func newMinuteChart(st drain.Status) *minuteChart {
	most, total := int64(0), int64(0)
	for _, n := range st.Minutes {
		most, total = max(most, n), total+n
	}
	if most == 0 {
		return nil
	}
	m := &minuteChart{Most: count(int(most), "line"), Alt: fmt.Sprintf("Lines a minute within the last hour: %d in all, %d at most.", total, most)}
	for i, n := range st.Minutes {
		if n == 0 {
			continue
		}
		height := max(math.Round(minuteHeight*float64(n)/float64(most)), 1)
		m.Bars = append(m.Bars, bar{float64(len(st.Minutes)-1-i) * minuteWidth, minuteHeight - height, height})
	}
	return m
}

// A recentLine is a line as it came, cut short.
type recentLine struct {
	At   int64 // as it was stamped
	From string
	Text string
}

func recentLineOf(l logline.Line) recentLine {
	from := l.App
	if l.Proc != "" {
		from += "/" + l.Proc
	}
	return recentLine{l.Time.Unix(), strings.TrimPrefix(from, "/"), strings.ToValidUTF8(string(l.Text), "�")}
}

// A refusalRow is something that was refused.
type refusalRow struct {
	At     int64
	Reason logline.Reason
	Text   string // "" for those who may not read lines
}

// A sender is a way to send lines to a drain, ready to be copied.
type sender struct{ Label, Command, Help string }

// senders returns how lines are sent to a drain with a token, on a server with an address.
func senders(base, token string) []sender {
	at := strings.TrimSuffix(base, "/") + drain.Prefix + token
	host := "localhost"
	if u, err := url.Parse(base); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	return []sender{
		{"Heroku", "heroku drains:add " + at, "In the application's folder, or with --app NAME. For load and memory of dynos: heroku labs:enable log-runtime-metrics"},
		{"One line", "curl -H 'Content-Type: text/plain' --data-binary 'count#deploys' " + at, "For scripts and cron. Lines of text are of the moment at which they come."},
		{"logger", fmt.Sprintf(`logger -n %s -P 5514 -T --rfc5424 --sd-id saba@0 --sd-param 'token="%s"' 'count#deploys'`, host, token), "Where the server takes syslog in: --syslog-tcp HOST:5514."},
		{"rsyslog", fmt.Sprintf(`template(name="saba" type="string" string="<%%PRI%%>1 %%TIMESTAMP:::date-rfc3339%% %%HOSTNAME%% %%APP-NAME%% %%PROCID%% %%MSGID%% [saba@0 token=\"%s\"] %%msg%%\n")
action(type="omfwd" template="saba" target="%s" port="6514" protocol="tcp" TCP_Framing="octet-counted" action.resumeRetryCount="-1"
  StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="%s")`, token, host, host),
			"In /etc/rsyslog.d/saba.conf, where the server takes syslog in: --syslog-tls HOST:6514."},
		{"OpenTelemetry", "export OTEL_EXPORTER_OTLP_ENDPOINT=" + at + " OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "Logs and metrics of any SDK, and of Heroku's telemetry drains."},
	}
}

// drain returns a drain of the visitor's organization.
func (c *console) drain(r *http.Request, v visitor) (saba.Drain, error) {
	d, err := c.Store.Drain(r.Context(), v.Org, r.PathValue("id"))
	if errors.Is(err, saba.ErrNotFound) {
		return d, saba.Errorf(saba.ErrNotFound, "There is no such drain: it may have been deleted already.")
	}
	return d, err
}

// drainSubject returns the graphs of the metrics that a drain has written.
func (c *console) drainSubject(r *http.Request, v visitor, d saba.Drain, st drain.Status) (subject, error) {
	sub, err := c.serviceSubject(r.Context(), v, d.Service)
	if err != nil {
		return sub, err
	}
	wrote := make(map[string]bool, len(st.Metrics))
	for _, name := range st.Metrics {
		wrote[name] = true
	}
	sub.graphs = slices.DeleteFunc(sub.graphs, func(g saba.Graph) bool {
		return !slices.ContainsFunc(g.Series, func(s saba.GraphSeries) bool { return wrote[s.Metric] })
	})
	sub.path, sub.charts = "/log-drains/"+url.PathEscape(d.ID), sub.path
	return sub, nil
}

func (c *console) drainShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.drain(r, v)
	if err != nil {
		return err
	}
	return c.showDrain(w, r, v, d, "")
}

// showDrain shows a drain. token is one that was just made, "" otherwise.
func (c *console) showDrain(w http.ResponseWriter, r *http.Request, v visitor, d saba.Drain, token string) error {
	rng, err := parseRange(r.URL.Query(), c.Now())
	if err != nil {
		return err
	}
	st := c.Drains.Status(d.ID)
	sub, err := c.drainSubject(r, v, d, st)
	if err != nil {
		return err
	}
	p := drainPage{
		layout: layoutFor(v, "drains", d.Name), Row: c.drainRow(d, st), Since: st.Since.Unix(), Lines: st.Lines, Readings: st.Readings, Again: st.Again,
		Before: !st.Last.IsZero() && st.Lines == 0,
		Chart:  newMinuteChart(st), Room: c.newChartRoom(sub, rng), Metrics: len(st.Metrics), Saved: r.URL.Query().Get("saved") != "", Token: token,
		Base: c.baseURL(r),
	}
	if v.Write {
		if p.Offers, err = c.offersOf(r.Context(), v.Org, []saba.Drain{d}, sub.service); err != nil {
			return err
		}
		p.Made, _ = strconv.Atoi(r.URL.Query().Get("made"))
	}
	p.Scripts = p.Room.Total > 0
	for _, refusal := range st.Refusals {
		row := refusalRow{At: refusal.At.Unix(), Reason: refusal.Reason}
		if v.Write {
			row.Text = refusal.Text
		}
		p.Refusals = append(p.Refusals, row)
	}
	if v.Write {
		for _, l := range st.Recent {
			p.Recent = append(p.Recent, recentLineOf(l))
		}
		p.Senders, p.Local = senders(p.Base, cmp.Or(token, "TOKEN")), isLocal(p.Base)
	}
	return c.render(w, r, http.StatusOK, "drain", p)
}

func (c *console) drainGraphs(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.drain(r, v)
	if err != nil {
		return err
	}
	sub, err := c.drainSubject(r, v, d, c.Drains.Status(d.ID))
	if err != nil {
		return err
	}
	return c.answerGraphs(w, r, sub)
}

// drainFormPage is page/drainform.html.
type drainFormPage struct {
	layout
	Row    drainRow
	New    bool
	Action string
	Back   string
	Parts  []formPart
	Try    tryOut
	Typed  string // lines to try
	Error  string // that belongs to no field
	Wrong  bool
}

func (c *console) drainNew(w http.ResponseWriter, r *http.Request, v visitor) error {
	d := saba.Drain{Service: r.URL.Query().Get("service")}
	if !saba.ValidName(d.Service) {
		d.Service = ""
	}
	return c.showDrainForm(w, r, v, http.StatusOK, saba.Drain{}, d, nil, nil)
}

func (c *console) drainEdit(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.drain(r, v)
	if err != nil {
		return err
	}
	return c.showDrainForm(w, r, v, http.StatusOK, d, d, nil, nil)
}

// showDrainForm shows the form of a drain. old is the drain as it is kept; its ID is "" for a new one.
func (c *console) showDrainForm(w http.ResponseWriter, r *http.Request, v visitor, code int, old, d saba.Drain, typed url.Values, wrong faults) error {
	f, err := c.drainForm(r.Context(), v.Org)
	if err != nil {
		return err
	}
	p := drainFormPage{New: old.ID == "", Action: "/log-drains/new", Back: "/log-drains", Typed: cleaned(typed.Get("try")), Error: wrong[""], Wrong: code != http.StatusOK}
	title := "New log drain"
	var recent []logline.Line
	if !p.New {
		st := c.Drains.Status(old.ID)
		recent = st.Recent
		p.Row = c.drainRow(old, st)
		title, p.Action, p.Back = old.Name, p.Row.URL+"/edit", p.Row.URL
	}
	p.layout = layoutFor(v, "drains", title)
	if p.Try, err = c.tryOutOf(r.Context(), d, p.Typed, recent); err != nil {
		return err
	}
	p.Parts = f.draw(&d, typed, wrong)
	return c.render(w, r, code, "drainform", p)
}

// drainSave makes a drain or changes one, or only tries what was typed, or adds a row of rules or takes one away: "do" says which.
func (c *console) drainSave(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	var old saba.Drain
	if r.PathValue("id") != "" {
		var err error
		if old, err = c.drain(r, v); err != nil {
			return err
		}
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := form[saba.Drain]{fields: drainFields}
	d := old
	wrong := f.read(&d, r.PostForm)
	do, which, _ := strings.Cut(r.PostForm.Get("do"), ":")
	switch do {
	case "add":
		d.Rules = append(d.Rules, saba.LineRule{Type: saba.RuleCounter})
		return c.showDrainForm(w, r, v, http.StatusOK, old, d, r.PostForm, nil)
	case "remove":
		if i, err := strconv.Atoi(which); err == nil && 0 <= i && i < len(d.Rules) {
			d.Rules = slices.Delete(d.Rules, i, i+1)
		}
		return c.showDrainForm(w, r, v, http.StatusOK, old, d, r.PostForm, nil)
	}
	if len(wrong) == 0 {
		if err := d.Check(); err != nil {
			blameDrain(f, wrong, &d, err)
		}
	}
	if do == "draft" {
		return c.showDrainForm(w, r, v, http.StatusOK, old, d, r.PostForm, wrong)
	}
	if len(wrong) > 0 {
		return c.showDrainForm(w, r, v, http.StatusBadRequest, old, d, r.PostForm, wrong)
	}
	var token, hash string
	var err error
	if old.ID == "" {
		d.CreatedAt = c.Now().Unix()
		if d.ID, err = c.newID(); err != nil {
			return err
		}
		if token, hash, err = c.newSecret(); err != nil {
			return err
		}
		err = c.Store.CreateDrain(ctx, v.Org, d, hash)
	} else {
		d, err = c.Store.UpdateDrain(ctx, v.Org, old.ID, func(is saba.Drain) (saba.Drain, error) {
			f.read(&is, r.PostForm) // what the form does not say stays
			return is, is.Check()
		})
	}
	if err != nil {
		if !blameDrain(f, wrong, &d, err) {
			return err
		}
		return c.showDrainForm(w, r, v, http.StatusBadRequest, old, d, r.PostForm, wrong)
	}
	c.Log.Info("a drain was saved", "drain", d.ID, "name", d.Name, "service", d.Service, "new", old.ID == "", "by", v.User)
	if old.ID == "" { // no redirect: the token is shown once, and kept nowhere
		return c.showDrain(w, r, v, d, token)
	}
	http.Redirect(w, r, "/log-drains/"+url.PathEscape(d.ID)+"?saved=1", http.StatusSeeOther)
	return nil
}

// confirmDrain asks whether something is to be done to a drain.
func (c *console) confirmDrain(w http.ResponseWriter, r *http.Request, v visitor, d saba.Drain, title, action, do string, text ...string) error {
	at := "/log-drains/" + url.PathEscape(d.ID)
	return c.render(w, r, http.StatusOK, "confirm", confirmPage{
		layout: layoutFor(v, "drains", title), Crumbs: []crumb{{"Log drains", "/log-drains"}, {d.Name, at}}, Text: text, Action: at + "/" + action, Do: do, Back: at,
	})
}

func (c *console) drainToken(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.drain(r, v)
	if err != nil {
		return err
	}
	return c.confirmDrain(w, r, v, d, "A new token for "+d.Name+"?", "token", "Make a new token",
		"Whoever sends lines with the token of now is refused at once. Heroku throws refused lines away: add the new drain there first thing after.",
		"Metrics, rules and what is known of the drain stay.")
}

func (c *console) drainTokenDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.drain(r, v)
	if err != nil {
		return err
	}
	token, hash, err := c.newSecret()
	if err != nil {
		return err
	}
	if err := c.Store.SetDrainToken(r.Context(), v.Org, d.ID, hash); err != nil {
		return err
	}
	c.Log.Info("a drain was given another token", "drain", d.ID, "name", d.Name, "by", v.User)
	return c.showDrain(w, r, v, d, token)
}

func (c *console) drainDelete(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.drain(r, v)
	if err != nil {
		return err
	}
	text := []string{"Whoever sends lines to it is refused from then on. What it wrote stays with the service " + d.Service + "; the minute under way is lost."}
	if st := c.Drains.Status(d.ID); !st.Last.IsZero() {
		text = append(text, "Its last line came "+ago(int64(c.Now().Sub(st.Last)/time.Second))+".")
	}
	return c.confirmDrain(w, r, v, d, "Delete "+d.Name+"?", "delete", "Delete this drain", text...)
}

func (c *console) drainDeleteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.Store.DeleteDrain(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Log.Info("a drain was deleted", "drain", d.ID, "name", d.Name, "by", v.User)
	http.Redirect(w, r, "/log-drains", http.StatusSeeOther)
	return nil
}
