package web

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
)

// monitor keeps a monitor.
func (g *rig) monitor(m saba.Monitor) saba.Monitor {
	g.t.Helper()
	m.ID = g.id()
	m.Default()
	if err := m.Check(g.now().Unix()); err != nil {
		g.t.Fatal(err)
	}
	if err := g.records.CreateMonitor(context.Background(), g.org.ID, m); err != nil {
		g.t.Fatal(err)
	}
	return m
}

// alert opens an alert of a monitor, some time ago.
func (g *rig) alert(m saba.Monitor, host string, s saba.CheckStatus, message string, age time.Duration) saba.Alert {
	g.t.Helper()
	a := saba.Alert{ID: g.id(), Status: s, Monitor: m.ID, Type: string(m.Type), Host: host, Value: new(95.25), Message: message, OpenedAt: g.now().Add(-age).Unix()}
	if err := g.records.OpenAlert(context.Background(), g.org.ID, a, nil); err != nil {
		g.t.Fatal(err)
	}
	return a
}

// move lets an alert take a step.
func (g *rig) move(a saba.Alert, m saba.AlertMove) {
	g.t.Helper()
	if _, err := g.records.MoveAlert(context.Background(), g.org.ID, a.ID, m); err != nil {
		g.t.Fatal(err)
	}
}

// storm opens alerts of every kind that is judged in a town, closes some, and returns one with a graph.
func (g *rig) storm(main saba.Host) saba.Alert {
	g.t.Helper()
	hosts, err := g.records.Hosts(context.Background(), g.org.ID, saba.HostFilter{})
	if err != nil {
		g.t.Fatal(err)
	}
	cpu := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "CPU of the front", Metric: "cpu%", Operator: ">", Warning: new(80.0), Critical: new(90.0), Duration: 3, MaxCheckAttempts: 2, Scopes: []saba.Scope{{Service: "shop"}}})
	gone := g.monitor(saba.Monitor{Type: saba.MonitorConnectivity})
	orders := g.monitor(saba.Monitor{Type: saba.MonitorService, Name: "orders", Service: "shop", Metric: "orders.web", Operator: "<", Warning: new(10.0), Duration: 1, MissingDurationCritical: new(int64(30))})
	a := g.alert(cpu, main.ID, saba.CheckWarning, "cpu% 95.25 > 80", 40*time.Minute)
	g.move(a, saba.AlertMove{At: a.OpenedAt + 300, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring, Value: new(96.5), Message: "cpu% 96.5 > 90"})
	if err := g.records.SetAlertMemo(context.Background(), g.org.ID, a.ID, "The sale began at noon.\nTwo more hosts are on their way."); err != nil {
		g.t.Fatal(err)
	}
	g.alert(orders, "", saba.CheckCritical, "orders.web has not arrived for 30 minutes", 5*time.Minute)
	for i, h := range hosts {
		switch {
		case h.ID == main.ID:
		case i%9 == 4:
			g.alert(gone, h.ID, saba.CheckCritical, "unreachable", time.Duration(i)*time.Hour)
		case i%9 == 5:
			g.alert(cpu, h.ID, saba.CheckWarning, "cpu% 83.1 > 80", time.Duration(i)*time.Minute)
		case i%3 == 0:
			old := g.alert(cpu, h.ID, saba.CheckWarning, "cpu% 81 > 80", time.Duration(i+30)*time.Hour)
			g.move(old, saba.AlertMove{At: old.OpenedAt + int64(i)*700, Status: saba.CheckOK, Trigger: saba.TriggerMonitoring, Value: new(12.5), Message: "cpu% 12.5"})
		}
	}
	return a
}

func TestAlertList(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	g.host(saba.Host{Name: "spare", Status: saba.Poweroff})
	_, _, body := g.get(c, "/alerts")
	contains(t, body, "Nothing is wrong.", "Watched: 1 host, by 1 monitor and by the checks of agents.", "/alerts?closed=1")
	first, err := g.records.Monitors(t.Context(), g.org.ID) // of connectivity, with which an organization begins
	if err != nil || len(first) != 1 {
		t.Fatalf("the monitors are %v, %v", first, err)
	}
	if _, err := g.records.DeleteMonitor(t.Context(), g.org.ID, first[0].ID, g.now().Unix()); err != nil {
		t.Fatal(err)
	}
	_, _, body = g.get(c, "/alerts")
	contains(t, body, "Watched: 1 host, by the checks of agents alone. There is no monitor yet")
	cpu := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 1})
	orders := g.monitor(saba.Monitor{Type: saba.MonitorService, Name: "few orders", Service: "shop", Metric: "orders", Operator: "<", Critical: new(1.0), Duration: 1})
	g.monitor(saba.Monitor{Type: saba.MonitorAnomaly, Name: "odd", WarningSensitivity: "normal"})
	_, _, body = g.get(c, "/alerts")
	contains(t, body, "Nothing is wrong.", "Watched: 1 host, by 3 monitors and by the checks of agents.")
	if strings.Contains(body, `class="count"`) {
		t.Error("no open alert is counted in the navigation")
	}

	g.alert(cpu, h.ID, saba.CheckWarning, "cpu% 95.25 > 80", time.Minute)
	g.alert(orders, "", saba.CheckCritical, "orders 0 < 1", 3*time.Hour)
	report := []saba.CheckReport{{Host: h.ID, Name: "disk", Status: saba.CheckUnknown, Message: "no such disk", OccurredAt: g.now().Unix() - 30}}
	if err := g.records.ReportChecks(t.Context(), g.org.ID, report, newID); err != nil {
		t.Fatal(err)
	}
	_, _, body = g.get(c, "/alerts")
	contains(t, body, "3 open, the worst first.", "cpu% 95.25 &gt; 80", "orders 0 &lt; 1", "no such disk", `href="/hosts/`+h.ID+`">web-1</a>`,
		`href="/services/shop">shop</a>`, `href="/hosts?role=shop%3Aweb">shop:web</a>`, "3 h ago")
	var order []string
	for _, m := range regexp.MustCompile(`<td class="what"><a href="/alerts/\w+">([^<]+)<`).FindAllStringSubmatch(body, -1) {
		order = append(order, m[1])
	}
	if want := []string{"few orders", "busy", "disk"}; !slices.Equal(order, want) {
		t.Errorf("the alerts are %v, want %v: critical, warning, unknown", order, want)
	}
	for _, path := range []string{"/hosts", "/services", "/keys", "/alerts?closed=1", "/nowhere"} {
		_, _, body := g.get(c, path)
		contains(t, body, `<span class="count">3<span class="hidden"> open</span>`)
	}
	_, _, body = g.get(c, "/hosts")
	contains(t, body, "<span>2 alerts</span>", `class="alarm" href="/hosts/`+h.ID+`"><span class="verdict v-WARNING">`)
	_, _, body = g.get(c, "/hosts/"+h.ID)
	contains(t, body, `aria-label="Open alerts"`, "<strong>busy</strong>", "<strong>disk</strong>")
	if strings.Contains(body, "few orders") {
		t.Error("the page of a host shows the alert of a service")
	}
}

func TestClosedAlertsInPages(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 1})
	_, _, body := g.get(c, "/alerts?closed=1")
	contains(t, body, "No closed alerts")
	var want []string
	for i := range 120 {
		a := g.alert(m, g.host(saba.Host{Name: fmt.Sprint("web-", i)}).ID, saba.CheckWarning, "x", time.Duration(i+1)*time.Minute)
		if i%7 == 3 {
			continue // open ones among them
		}
		g.move(a, saba.AlertMove{At: a.OpenedAt + 30, Status: saba.CheckOK, Trigger: saba.TriggerManual, Reason: "known"})
		want = append(want, a.ID)
	}
	var got []string
	link := regexp.MustCompile(`<td class="what"><a href="/alerts/(\w+)">`)
	older := regexp.MustCompile(`rel="next" href="([^"]+)"`)
	at := "/alerts?closed=1"
	for page := 1; at != ""; page++ {
		code, _, body := g.get(c, at)
		if code != http.StatusOK {
			t.Fatalf("%s answered %d", at, code)
		}
		contains(t, body, "after 30 s", "Closed by hand: known")
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			got = append(got, m[1])
		}
		if max := page * closedPerPage; len(got) != min(max, len(want)) {
			t.Fatalf("%d pages have %d alerts, want %d", page, len(got), min(max, len(want)))
		}
		at = ""
		if next := older.FindStringSubmatch(body); next != nil {
			at = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages have\n%v, want\n%v", got, want)
	}
	if code, _, body := g.get(c, "/alerts?closed=1&from=nothing"); code != http.StatusNotFound || !strings.Contains(body, "go back to the newest ones") {
		t.Errorf("a page that begins nowhere answered %d:\n%s", code, body)
	}
}

// reluctant refuses to read records one by one.
type reluctant struct {
	Store
	t *testing.T
}

func (s reluctant) Host(context.Context, string, string) (saba.Host, error) {
	s.t.Error("a host was read by itself")
	return saba.Host{}, saba.ErrNotFound
}

func (s reluctant) Monitor(context.Context, string, string) (saba.Monitor, error) {
	s.t.Error("a monitor was read by itself")
	return saba.Monitor{}, saba.ErrNotFound
}

func (s reluctant) Check(context.Context, string, string) (saba.Check, error) {
	s.t.Error("a check was read by itself")
	return saba.Check{}, saba.ErrNotFound
}

func (s reluctant) Checks(context.Context, string, string) ([]saba.Check, error) {
	s.t.Error("the checks of a host were read by themselves")
	return nil, saba.ErrNotFound
}

func TestAListReadsNothingForEachAlert(t *testing.T) {
	g := newRig(t, time.Now)
	g.storm(g.town())
	server := httptest.NewServer(New(Options{Store: reluctant{g.records, t}, Samples: g.samples, Now: g.now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	g.server.URL, server.URL = server.URL, g.server.URL
	defer func() { g.server.URL, server.URL = server.URL, g.server.URL }()
	c := g.signedIn()
	for _, path := range []string{"/alerts", "/alerts?closed=1"} {
		code, _, body := g.get(c, path)
		if code != http.StatusOK || !strings.Contains(body, "CPU of the front") || strings.Contains(body, "gone") {
			t.Errorf("%s answered %d, or lacks names:\n%s", path, code, body)
		}
	}
}

func TestAlertPage(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	g.fill(h, 2*time.Hour, machine(1, 4, nil))
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Critical: new(90.0), Duration: 3, MaxCheckAttempts: 2})
	a := g.alert(m, h.ID, saba.CheckWarning, "cpu% 95.25 > 80", 20*time.Minute)
	g.move(a, saba.AlertMove{At: a.OpenedAt + 60, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring, Value: new(97.123456), Message: "cpu% 97.1235 > 90"})
	at := "/alerts/" + a.ID
	_, _, body := g.get(c, at)
	contains(t, body, "<h1>busy</h1>", "v-CRITICAL", "cpu% 97.1235 &gt; 90", "mean of 3 points of cpu% &gt; 80 warning, &gt; 90 critical; 2 times in a row",
		`href="/hosts/`+h.ID+`">web-1</a>`, "20 min ago", "opened <span class=\"value\">95.25</span>", "judged <span class=\"value\">97.1235</span>",
		fmt.Sprintf("/hosts/%s/graphs/cpu?from=%d&amp;to=", h.ID, a.OpenedAt-aroundAlert), "Close this alert", "The next bad sample opens a new one.")
	picture := regexp.MustCompile(`<img src="([^"]+)"`).FindStringSubmatch(body)
	if picture == nil {
		t.Fatalf("the page has no picture:\n%s", body)
	}
	if code, _, svg := g.get(c, strings.ReplaceAll(picture[1], "&amp;", "&")); code != http.StatusOK || !strings.HasPrefix(svg, "<svg") || !strings.Contains(svg, `width="960"`) {
		t.Errorf("the picture is %d %.200s", code, svg)
	} else if !strings.Contains(svg, `class="mark"`) || strings.Contains(svg, `class="limit`) {
		t.Error("the picture marks no moment, or has limits of cpu% among the parts of cpu%")
	}

	if _, where, body := g.post(c, at+"/memo", url.Values{"memo": {" first\r\nsecond\x00 "}}); where != at || !strings.Contains(body, "first\nsecond</textarea>") {
		t.Errorf("the memo led to %s:\n%s", where, body)
	}
	if code, _, _ := g.post(c, at+"/memo", url.Values{"memo": {strings.Repeat("é", saba.MaxAlertMemo/2)}}); code != http.StatusOK {
		t.Errorf("the longest memo answered %d", code)
	}
	if code, _, _ := g.post(c, at+"/memo", url.Values{"memo": {strings.Repeat("x", saba.MaxAlertMemo+1)}}); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a longer memo answered %d", code)
	}

	viewer := g.signedInAs(saba.Viewer)
	_, _, body = g.get(viewer, at)
	if contains(t, body, "busy", "ééé"); strings.Contains(body, "<textarea") || strings.Contains(body, at+"/close") {
		t.Error("a viewer is offered forms")
	}
	for _, do := range []string{"/memo", "/close"} {
		if code, _, _ := g.post(viewer, at+do, url.Values{"memo": {"x"}, "reason": {"x"}}); code != http.StatusForbidden {
			t.Errorf("a viewer's %s answered %d", do, code)
		}
	}
	collaborator := g.signedInAs(saba.Collaborator)
	if code, _, _ := g.post(collaborator, at+"/close", url.Values{"reason": {strings.Repeat("x", maxReason+1)}}); code != http.StatusBadRequest {
		t.Errorf("a long reason answered %d", code)
	}
	_, where, body := g.post(collaborator, at+"/close", url.Values{"reason": {"it was the sale"}})
	if where != at {
		t.Errorf("closing led to %s", where)
	}
	contains(t, body, "it was the sale", "closed by hand", "Was open for")
	if strings.Contains(body, "Close this alert") {
		t.Error("a closed alert can be closed")
	}
	g.post(collaborator, at+"/close", url.Values{"reason": {"again"}})
	if now, err := g.records.Alert(t.Context(), g.org.ID, a.ID); err != nil || now.Reason != "it was the sale" || now.Open() {
		t.Errorf("the alert is %+v, %v", now, err)
	}

	if _, err := g.records.DeleteMonitor(t.Context(), g.org.ID, m.ID, g.now().Unix()); err != nil {
		t.Fatal(err)
	}
	_, _, body = g.get(c, at)
	contains(t, body, "a deleted monitor", "web-1")
}

// The chart of an alert shows the thresholds of its metric where they are on the chart's scale.
func TestAlertChartHasLimits(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web-1"})
	g.fill(h, 2*time.Hour, machine(1, 4, nil))
	for name, tt := range map[string]struct {
		metric, operator string
		critical         *float64
		want, not        []string
	}{
		"a line":                 {"loadavg5", ">", new(0.2), []string{"warning &gt; 0.1<", "critical &gt; 0.2<", `class="limit bad"`, `class="mark"`}, nil},
		"what must not be below": {"loadavg5", "<", nil, []string{"warning &lt; 0.1<", `class="limit warn"`}, []string{"critical"}},
		"one of a stack":         {"memory.used", ">", new(0.2), []string{`class="mark"`}, []string{"limit warn", "warning"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: name, Metric: tt.metric, Operator: tt.operator, Warning: new(0.1), Critical: tt.critical, Duration: 1})
			_, _, body := g.get(c, "/alerts/"+g.alert(m, h.ID, saba.CheckWarning, "bad", 20*time.Minute).ID)
			picture := regexp.MustCompile(`<img src="([^"]+)"`).FindStringSubmatch(body)
			if picture == nil {
				t.Fatalf("the page has no picture:\n%s", body)
			}
			_, _, svg := g.get(c, strings.ReplaceAll(picture[1], "&amp;", "&"))
			_, drawn, _ := strings.Cut(svg, "</style>")
			contains(t, drawn, tt.want...)
			for _, s := range tt.not {
				if strings.Contains(drawn, s) {
					t.Errorf("the picture has %q", s)
				}
			}
		})
	}
}

func TestAlertOfACheck(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web-1"})
	for i, s := range []saba.CheckStatus{saba.CheckWarning, saba.CheckWarning, saba.CheckCritical} {
		r := saba.CheckReport{Host: h.ID, Name: "disk", Status: s, Message: fmt.Sprintf("%d%% full", 80+i), OccurredAt: g.now().Unix() - 300 + int64(i)*60, MaxCheckAttempts: 2}
		if err := g.records.ReportChecks(t.Context(), g.org.ID, []saba.CheckReport{r}, newID); err != nil {
			t.Fatal(err)
		}
	}
	open, err := g.records.Alerts(t.Context(), g.org.ID, saba.AlertPage{Limit: 10})
	if err != nil || len(open) != 1 {
		t.Fatalf("open are %v, %v", open, err)
	}
	_, _, body := g.get(c, "/alerts/"+open[0].ID)
	contains(t, body, "<h1>disk</h1>", "the agent&#39;s check disk, bad 2 times in a row", `<span class="message">81% full</span>`, `<span class="message">82% full</span>`, "The next bad report opens a new one.")
	if strings.Contains(body, "<img") {
		t.Error("the alert of a check has a chart")
	}
	if err := g.records.RetireHosts(t.Context(), g.org.ID, []string{h.ID}, g.now().Unix()); err != nil {
		t.Fatal(err)
	}
	_, _, body = g.get(c, "/alerts/"+open[0].ID)
	contains(t, body, "web-1", "the host was retired")
	_, _, body = g.get(c, "/alerts?closed=1")
	contains(t, body, `href="/hosts/`+h.ID+`"`)
}

// A long log comes in pages, and only the first step of all opened the alert.
// The response times of external monitors have a graph on the page of their service, which their alerts show.
func TestAlertOfAnExternalMonitor(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	if err := g.records.CreateService(t.Context(), g.org.ID, saba.Service{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	m := g.monitor(saba.Monitor{Type: saba.MonitorExternal, Name: "front page", URL: "https://shop.example.test/", Service: "shop"})
	g.fillSeries(saba.Series{Org: g.org.ID, Service: "shop"}, 2*time.Hour, map[string]func(int64) float64{saba.ResponseTimeMetric + m.ID: func(int64) float64 { return 80 }})
	a := g.alert(m, "", saba.CheckWarning, "response time 80 ms > 50 ms (status 200)", 20*time.Minute)
	_, _, body := g.get(c, "/alerts/"+a.ID)
	contains(t, body, "<h1>front page</h1>", "/services/shop/graphs/__externalhttp.responsetime?from=", "HTTP Response Time")
	_, _, body = g.get(c, "/services/shop")
	contains(t, body, "HTTP Response Time")
	code, _, svg := g.get(c, "/services/shop/graphs/__externalhttp.responsetime.svg")
	if code != http.StatusOK || !strings.Contains(svg, "front page") {
		t.Errorf("the graph is %d %.300s", code, svg)
	}

	alone := g.monitor(saba.Monitor{Type: saba.MonitorExternal, Name: "alone", URL: "https://shop.example.test/"})
	_, _, body = g.get(c, "/alerts/"+g.alert(alone, "", saba.CheckCritical, "503", time.Minute).ID)
	if contains(t, body, "<h1>alone</h1>"); strings.Contains(body, "/graphs/") {
		t.Error("without a service there is a graph")
	}
}

func TestLongLog(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	a := g.alert(g.monitor(saba.Monitor{Type: saba.MonitorConnectivity}), g.host(saba.Host{Name: "web-1"}).ID, saba.CheckCritical, "unreachable", 10*time.Hour)
	for i := range stepsPerPage + 5 {
		g.move(a, saba.AlertMove{At: a.OpenedAt + int64(i), Status: saba.CheckStatuses[1+i%2], Trigger: saba.TriggerMonitoring})
	}
	log := func(path string) string { // without who was told, which has steps too
		t.Helper()
		_, _, body := g.get(c, path)
		body, _, found := strings.Cut(body, "Who was told")
		if !found {
			t.Fatalf("%s does not say who was told", path)
		}
		return body
	}
	body := log("/alerts/" + a.ID)
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(body)
	if n := strings.Count(body, `class="why"`); next == nil || n != stepsPerPage || strings.Contains(body, `class="why">opened`) {
		t.Fatalf("the first page has %d steps, and goes on at %v", n, next)
	}
	body = log(next[1])
	if n := strings.Count(body, `class="why"`); n != 6 || strings.Count(body, `class="why">opened`) != 1 {
		t.Errorf("the second page has %d steps, or none that opened it", n)
	}
}

func TestMonitorWords(t *testing.T) {
	for want, m := range map[string]saba.Monitor{
		"loadavg5 > 4 critical": {Type: saba.MonitorHost, Metric: "loadavg5", Operator: ">", Critical: new(4.0), Duration: 1, MaxCheckAttempts: 1},
		"mean of 3 points of cpu% > 80 warning, > 90.5 critical; 5 times in a row; of hosts in shop:web, mail; not of hosts in shop:db": {
			Type: saba.MonitorHost, Metric: "cpu%", Operator: ">", Warning: new(80.0), Critical: new(90.5), Duration: 3, MaxCheckAttempts: 5,
			Scopes: []saba.Scope{{Service: "shop", Role: "web"}, {Service: "mail"}}, ExcludeScopes: []saba.Scope{{Service: "shop", Role: "db"}}},
		"orders < 1 warning; no point of orders for 10 minutes warning; no point of orders for 30 minutes critical; of the service shop": {
			Type: saba.MonitorService, Service: "shop", Metric: "orders", Operator: "<", Warning: new(1.0), Duration: 1, MissingDurationWarning: new(int64(10)), MissingDurationCritical: new(int64(30))},
		"no point of orders for 30 minutes critical; of the service shop": {
			Type: saba.MonitorService, Service: "shop", Metric: "orders", Operator: ">", Duration: 1, MaxCheckAttempts: 3, MissingDurationCritical: new(int64(30))},
		"no metric of a host for 45 minutes critical":                                                 {Type: saba.MonitorConnectivity, AlertStatusOnGone: saba.CheckCritical, GoneAfter: 45},
		"no metric of a host for 10 minutes warning":                                                  {Type: saba.MonitorConnectivity, AlertStatusOnGone: saba.CheckWarning},
		"GET https://u:xxxxx@shop.example.test/ answers with a status other than 2xx or 3xx critical": {Type: saba.MonitorExternal, Method: "GET", URL: "https://u:secret@shop.example.test/", MaxCheckAttempts: 1},
		"POST http://a.test answers with a status other than 201, or no “ok” critical; mean of 3 points of the response time > 500 ms warning, > 1000 ms critical; its certificate ends within 1 day critical; 2 times in a row; with the service shop": {
			Type: saba.MonitorExternal, Method: "POST", URL: "http://a.test", ExpectedStatusCode: new(int64(201)), ContainsString: "ok", ResponseTimeWarning: new(500.0), ResponseTimeCritical: new(1000.0), ResponseTimeDuration: new(int64(3)),
			CertificationExpirationCritical: new(int64(1)), MaxCheckAttempts: 2, Service: "shop"},
		"avg(role(shop:web, loadavg5)) < 1 warning": {Type: saba.MonitorExpression, Expression: "avg(role(shop:web, loadavg5))", Operator: "<", Warning: new(1.0)},
		"up > 0 critical": {Type: saba.MonitorQuery, Query: "up", Operator: ">", Critical: new(0.0)},
		"a host is not as usual at this time of the week: warning (normal), critical (insensitive); 3 times in a row; of hosts in shop:web": {
			Type: saba.MonitorAnomaly, WarningSensitivity: "normal", CriticalSensitivity: "insensitive", MaxCheckAttempts: 3, Scopes: []saba.Scope{{Service: "shop", Role: "web"}}},
	} {
		if got := monitorWords(m); got != want {
			t.Errorf("monitorWords = %q, want %q", got, want)
		}
	}
}

// From a link on a phone, without scripts or with them, to the alert, and it is closed there.
func TestAlertOnAPhone(t *testing.T) {
	g := newRig(t, time.Now)
	a := g.storm(g.town())
	b := newTab(t, g)
	b.Window(360, 740, "light")
	narrow := func() {
		t.Helper()
		if scroll := js[int64](b, `document.documentElement.scrollWidth`); scroll > 360 {
			t.Errorf("%s is %d pixels wide", js[string](b, `location.pathname`), scroll)
		}
	}
	for _, path := range []string{"/alerts", "/alerts?closed=1", "/alerts/" + a.ID, "/hosts"} {
		b.Open(path)
		narrow()
		b.shoot("360" + path)
	}
	b.Open("/alerts/" + a.ID)
	b.Until(`document.querySelector('.picture img').naturalWidth === 360`)
	b.Do(chromedp.SendKeys(chromedp.CSS(`textarea[name="reason"]`), "the sale is over"), chromedp.Submit(chromedp.CSS(`textarea[name="reason"]`)), chromedp.WaitNotPresent(chromedp.CSS(`form[action$="/close"]`)))
	b.Until(`document.body.innerText.includes('the sale is over')`)
	narrow()
	b.shoot("360-closed")
}

// What a monitor computes is drawn on the page of its alert, with the moment and the thresholds; what cannot be drawn says why.
func TestTheChartOfWhatIsComputed(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	g.fill(h, 30*time.Minute, map[string]func(int64) float64{"loadavg5": func(int64) float64 { return 9 }})
	for name, tt := range map[string]struct {
		monitor saba.Monitor
		host    string
		has     []string
	}{
		"an expression":                   {saba.Monitor{Type: saba.MonitorExpression, Name: "twice", Expression: "scale(avg(role(shop:web, loadavg5)), 2)", Operator: ">", Warning: new(8.0)}, "", []string{"twice", ">18<", "warning &gt; 8", `class="mark`}},
		"a query":                         {saba.Monitor{Type: saba.MonitorQuery, Name: "load", Query: "loadavg5", Legend: "load of {{role}}", Operator: ">", Critical: new(8.0)}, "", []string{"load of web", ">9<", "critical &gt; 8", `class="mark`}},
		"anomalies before they are known": {saba.Monitor{Type: saba.MonitorAnomaly, Name: "odd", WarningSensitivity: "normal"}, h.ID, []string{"It is not known what was usual.", `class="mark`}},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.alert(g.monitor(tt.monitor), tt.host, saba.CheckWarning, "bad", 5*time.Minute)
			_, _, body := g.get(c, "/alerts/"+a.ID)
			contains(t, body, `<img src="/alerts/`+a.ID+"/graph.svg?width=960")
			code, _, svg := g.get(c, "/alerts/"+a.ID+"/graph.svg?width=960&height=320")
			if code != http.StatusOK {
				t.Fatalf("the chart answers %d: %.200s", code, svg)
			}
			contains(t, svg, tt.has...)
		})
	}
	if code, _, _ := g.get(c, "/alerts/none/graph.svg"); code != http.StatusNotFound {
		t.Errorf("the chart of no alert answers %d", code)
	}
}
