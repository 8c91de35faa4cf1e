package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
)

var shopWeb = []saba.RoleName{{Service: "shop", Role: "web"}}

// tellOf routes every event that waits for a decision.
func (g *rig) tellOf(v saba.Verdict) (seqs []int64) {
	g.t.Helper()
	ctx := context.Background()
	events, err := g.records.UnroutedEvents(ctx, g.org.ID, 10_000)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, e := range events {
		if err := g.records.RouteEvents(ctx, g.org.ID, g.now().Unix(), saba.Routing{Event: e.Seq, Verdict: v}); err != nil {
			g.t.Fatal(err)
		}
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// toldAlert is an alert of whose steps some were told, some not.
func (g *rig) toldAlert(h saba.Host) saba.Alert {
	g.t.Helper()
	ctx := context.Background()
	for _, name := range []string{"ops", "pager", "mail"} {
		if err := g.records.CreateChannel(ctx, g.org.ID, saba.Channel{ID: "c-" + name, Name: name, Type: saba.ChannelWebhook, URL: "https://example.com/"}, false); err != nil {
			g.t.Fatal(err)
		}
	}
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "load", Metric: "loadavg5", Operator: ">", Warning: new(2.0), Critical: new(5.0), Duration: 1})
	g.tellOf(saba.Verdict{Silence: saba.SilenceNobody, Detail: "before the test"})
	a := g.alert(m, h.ID, saba.CheckWarning, "loadavg5 3 > 2", 30*time.Minute)
	to := saba.Verdict{Notifications: []saba.Notification{
		{Channel: "c-ops", State: saba.NotificationWaiting},
		{Channel: "c-mail", State: saba.NotificationWaiting},
		{Channel: "c-pager", State: saba.NotificationLeft, Silence: saba.SilenceLevel, Detail: "its notification group is told from CRITICAL on"},
	}}
	seq := g.tellOf(to)[0]
	for _, n := range []saba.Notification{
		{Event: seq, Channel: "c-ops", State: saba.NotificationSent, Attempts: 2, DoneAt: g.now().Unix() - 1700},
		{Event: seq, Channel: "c-mail", State: saba.NotificationWaiting, Attempts: 4, NextTry: g.now().Unix() + 60, Detail: "its service answered 500 Internal Server Error: <b>no</b>"},
	} {
		if err := g.records.SetNotification(ctx, g.org.ID, n); err != nil {
			g.t.Fatal(err)
		}
	}
	g.move(a, saba.AlertMove{At: a.OpenedAt + 600, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring, Message: "loadavg5 7 > 5"})
	g.tellOf(saba.Verdict{Silence: saba.SilenceDowntime, Detail: `the downtime "night" is under way`})
	return a
}

// An alert says who was told of each step, who was not and why, and what was changed before it.
func TestAnAlertSaysWhoWasTold(t *testing.T) {
	now := time.Now()
	g := newRig(t, func() time.Time { return now }) // "again in 60 s" is of one moment
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web1", Roles: shopWeb})
	a := g.toldAlert(h)
	for _, change := range []saba.GraphAnnotation{
		{ID: g.id(), Title: "Release 42", Description: "by the pipeline", From: a.OpenedAt - 600, To: a.OpenedAt - 600, Service: "shop"},
		{ID: g.id(), Title: "Release 41", From: a.OpenedAt - 7200, To: a.OpenedAt - 7200, Service: "shop"},
	} {
		if err := g.records.CreateGraphAnnotation(context.Background(), g.org.ID, change); err != nil {
			t.Fatal(err)
		}
	}
	_, _, body := g.get(c, "/alerts/"+a.ID)
	for _, want := range []string{
		"Who was told", "Nobody was told: the downtime &#34;night&#34; is under way.", "<strong>ops</strong> told at the second try",
		"<strong>mail</strong> tried 4 times so far, again in 60 s: its service answered 500 Internal Server Error: &lt;b&gt;no&lt;/b&gt;",
		"<strong>pager</strong> not told: its notification group is told from CRITICAL on", "1 change before", "Release 42", "by the pipeline",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(body, "Release 41") {
		t.Error("the page shows a change of two hours before")
	}
}

// What people do about an alert is seen on it and on the list, and can be taken back.
func TestAnAlertIsTakenCareOf(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	a := g.toldAlert(g.host(saba.Host{Name: "web1", Roles: shopWeb}))
	at := "/alerts/" + a.ID
	members, err := g.records.Members(t.Context(), g.org.ID)
	if err != nil || len(members) != 1 {
		t.Fatal(members, err)
	}
	who := nameOf(members[0])
	in3Days := g.now().Unix()/60*60 + 3*day
	for _, tt := range []struct {
		path string
		form url.Values
		says []string
		not  string
	}{
		{"/acknowledge", url.Values{"ack": {"yes"}}, []string{"by " + who, "Take the acknowledgement back"}, ""},
		{"/mute", url.Values{"for": {"1h"}}, []string{"Muted until", "Tell of this alert again"}, ""},
		{"/mute", url.Values{"for": {"until"}, "until": {localOf(in3Days, g.now().Location())}}, []string{"Muted until", time.Unix(in3Days, 0).In(g.now().Location()).Format("2 Jan 2006, 15:04 MST")}, ""},
		{"/assign", url.Values{"member": {members[0].ID}}, []string{"Assigned to</dt><dd>" + who}, ""},
		{"/acknowledge", url.Values{"ack": {"no"}}, nil, "Acknowledged</dt>"},
		{"/assign", url.Values{"member": {""}}, nil, "Assigned to</dt>"},
	} {
		code, where, body := g.post(c, at+tt.path, tt.form)
		if code != 200 || where != at {
			t.Fatalf("POST %s of %v ended with %d at %s", tt.path, tt.form, code, where)
		}
		for _, want := range tt.says {
			if !strings.Contains(body, want) {
				t.Errorf("after POST %s of %v the page does not say %q", tt.path, tt.form, want)
			}
		}
		if tt.not != "" && strings.Contains(body, tt.not) {
			t.Errorf("after POST %s of %v the page still says %q", tt.path, tt.form, tt.not)
		}
	}
	if _, _, body := g.get(c, "/alerts"); !strings.Contains(body, `<span class="tag">muted</span>`) {
		t.Error("the list does not say that the alert is muted")
	}
	if code, _, _ := g.post(c, at+"/mute", url.Values{"for": {"none"}}); code != 200 {
		t.Errorf("taking the mute back answered %d", code)
	}
	for _, tt := range []struct {
		path string
		form url.Values
	}{
		{"/mute", url.Values{"for": {"ever"}}}, {"/mute", url.Values{"for": {"until"}}}, {"/mute", url.Values{"for": {"until"}, "until": {"tomorrow"}}},
		{"/mute", url.Values{"for": {"until"}, "until": {localOf(g.now().Unix()-60, g.now().Location())}}}, {"/mute", url.Values{"for": {"until"}, "until": {localOf(g.now().Unix()+400*day, g.now().Location())}}},
		{"/assign", url.Values{"member": {"nobody-there"}}},
	} {
		if code, _, _ := g.post(c, at+tt.path, tt.form); code != 400 {
			t.Errorf("POST %s of %v answered %d, want 400", tt.path, tt.form, code)
		}
	}
	if code, _, _ := g.post(c, "/alerts/none/acknowledge", url.Values{"ack": {"yes"}}); code != 404 {
		t.Errorf("acknowledging an alert that is not there answered %d, want 404", code)
	}
}

// On a phone of 360 pixels, from a link in a message: acknowledged and muted with two presses, and nothing is wider than the screen.
func TestAnAlertOnAPhone(t *testing.T) {
	g := newRig(t, time.Now)
	a := g.toldAlert(g.host(saba.Host{Name: "web1-with-a-name-that-goes-on-and-on.example.com", Roles: shopWeb}))
	b := newTab(t, g)
	b.Window(360, 740, "light")
	b.Open("/alerts/" + a.ID)
	b.Do(chromedp.Click(chromedp.CSS(`form[action$="/acknowledge"] button[value="yes"]`)), chromedp.WaitVisible(chromedp.CSS(`form[action$="/acknowledge"] button[value="no"]`)))
	b.Do(chromedp.Click(chromedp.CSS(`.care form[action$="/mute"] button[value="1h"]`)), chromedp.WaitVisible(chromedp.CSS(`.care form[action$="/mute"] button[value="none"]`)))
	if width := js[int64](b, `document.documentElement.scrollWidth`); width > 360 {
		t.Errorf("the page is %d pixels wide", width)
	}
	b.shoot("360-alert-told")
	// Until a time of one's own choice: it is filled in with one, and its zone is named.
	b.Do(chromedp.Click(chromedp.CSS(`.care .until summary`)), chromedp.WaitVisible(chromedp.CSS(`.care .until input`)))
	if width := js[int64](b, `document.documentElement.scrollWidth`); width > 360 {
		t.Errorf("with the time to mute until the page is %d pixels wide", width)
	}
	b.shoot("360-alert-until")
	b.Do(chromedp.Click(chromedp.CSS(`.care .until button`)))
	b.Until(`!document.querySelector('.care .until[open]') && document.querySelector('dd time[data-until]') !== null`)
	if a, err := g.records.Alert(t.Context(), g.org.ID, a.ID); err != nil || a.Handling.MutedUntil < time.Now().Unix()+3600+60 {
		t.Errorf("it is muted until %d, %v; want what the form proposed, some hours ahead", a.Handling.MutedUntil, err)
	}
	got, err := g.records.Alert(t.Context(), g.org.ID, a.ID)
	if err != nil || got.Handling.AckedBy == "" || got.Handling.MutedUntil == 0 {
		t.Errorf("what is kept is %+v, %v", got.Handling, err)
	}
}

// An alert says what went on on its host when it opened, whatever processes are called.
func TestAnAlertNamesCulprits(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web1", Roles: shopWeb})
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "load", Metric: "loadavg5", Operator: ">", Warning: new(2.0), Duration: 1})
	a := g.alert(m, h.ID, saba.CheckWarning, "loadavg5 3 > 2", 0)
	if _, _, body := g.get(c, "/alerts/"+a.ID); strings.Contains(body, "On the host") {
		t.Error("the page tells of culprits when there are none")
	}
	g.culprits(h, a.OpenedAt+60)
	_, _, body := g.get(c, "/alerts/"+a.ID)
	for _, want := range []string{
		"On the host at", `<span class="process">mysqld</span><span class="by">812 · mysql</span><span class="much">312% CPU</span>`, "&lt;b&gt;x",
		"3.1 GiB", "Tasks waited for CPU 41%, for disks 3% of the minute before.", "The host had started 4 min before the alert.", "Of the first 4000 processes",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	b := newTab(t, g)
	for _, width := range []int64{1440, 390} {
		b.Window(width, 844, "light")
		b.Open("/alerts/" + a.ID)
		b.Until(`document.querySelectorAll('.culprits li').length === 4`)
		if scroll := js[int64](b, `document.documentElement.scrollWidth`); scroll > width {
			t.Errorf("the page is %d pixels wide in a window of %d", scroll, width)
		}
		js[bool](b, `(document.querySelector('.culprits').scrollIntoView(), true)`)
		b.shoot(fmt.Sprintf("culprits-%d", width))
	}
}

// culprits posts what the agent of a host says at a time.
func (g *rig) culprits(h saba.Host, at int64) {
	g.t.Helper()
	const value = `{"why":["cpu"],"uptime":300,"partial":true,"seen":4000,"pressure":{"cpu":41,"memory":0.1,"io":3},
		"cpu":[{"name":"mysqld","pid":812,"user":"mysql","cpu":312.4,"rss":3328599654},{"name":"<b>x ` + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + `","pid":4194303,"cpu":9}],
		"memory":[{"name":"mysqld","pid":812,"user":"mysql","cpu":312.4,"rss":3328599654},{"name":"ruby","pid":77,"user":"deploy","cpu":2,"rss":94371840}]}`
	err := g.records.PutMetadata(context.Background(), saba.MetadataOwner{Org: g.org.ID, Host: h.ID}, saba.Metadata{Namespace: saba.CulpritsNamespace, Value: []byte(value), UpdatedAt: at})
	if err != nil {
		g.t.Fatal(err)
	}
}

// An alert's page has those that the same rule opened for the same target within 30 days before, and no others.
func TestEarlierAlerts(t *testing.T) {
	g := newRig(t, time.Now)
	h, other := g.host(saba.Host{Name: "web-1"}), g.host(saba.Host{Name: "web-2"})
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "load", Metric: "loadavg5", Operator: ">", Warning: new(2.0), Duration: 1})
	n := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "cpu", Metric: "cpu%", Operator: ">", Warning: new(2.0), Duration: 1})
	shut := func(a saba.Alert, after time.Duration) saba.Alert {
		g.move(a, saba.AlertMove{At: a.OpenedAt + int64(after/time.Second), Status: saba.CheckOK, Trigger: saba.TriggerManual, Reason: "<i>noise"})
		return a
	}
	long := shut(g.alert(m, h.ID, saba.CheckWarning, "", 31*24*time.Hour), time.Minute)
	foreign := []saba.Alert{long, shut(g.alert(m, other.ID, saba.CheckWarning, "", 5*time.Hour), time.Minute), shut(g.alert(n, h.ID, saba.CheckWarning, "", 5*time.Hour), time.Minute)}
	var mine []saba.Alert
	for i := range 6 {
		mine = append(mine, shut(g.alert(m, h.ID, saba.CheckCritical, "", time.Duration(10-i)*time.Hour), 20*time.Minute))
	}
	now := g.alert(m, h.ID, saba.CheckWarning, "", time.Hour)
	_, _, body := g.get(g.signedIn(), "/alerts/"+now.ID)
	_, earlier, _ := strings.Cut(body, "<h2>The same before</h2>")
	earlier, _, _ = strings.Cut(earlier, "</section>")
	contains(t, earlier, "for 20 min", "CRITICAL", "Closed by hand: &lt;i&gt;noise", "Only the newest of the 30 days before.")
	at := -1
	for i := len(mine) - 1; i >= 1; i-- { // the newest first
		next := strings.Index(earlier, mine[i].ID)
		if next <= at {
			t.Errorf("alert %d of 6 is at %d, after one at %d", i, next, at)
		}
		at = next
	}
	for _, a := range append(foreign, mine[0], now) {
		if strings.Contains(earlier, a.ID) {
			t.Errorf("an alert that is none of the five is among them: %+v", a)
		}
	}
	_, _, body = g.get(g.signedIn(), "/alerts/"+mine[1].ID)
	contains(t, body, "<h2>The same before</h2>", mine[0].ID, "Within the 30 days before.")
	if strings.Contains(body, mine[2].ID) {
		t.Error("a later alert is shown as an earlier one")
	}
	if _, _, body := g.get(g.signedIn(), "/alerts/"+long.ID); strings.Contains(body, "The same before") {
		t.Error("the first alert of a rule has earlier ones")
	}
}

// The alert of a host that is down says how many depend on it.
func TestWhatAHostThatIsDownSilences(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "web-1", Roles: shopWeb})
	g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "load", Metric: "loadavg5", Operator: ">", Warning: new(2.0), Duration: 1})
	down := g.monitor(saba.Monitor{Type: saba.MonitorConnectivity, Name: "gone", AlertStatusOnGone: saba.CheckCritical})
	a := saba.Alert{ID: g.id(), Status: saba.CheckCritical, Monitor: down.ID, Type: string(down.Type), Host: h.ID, OpenedAt: g.now().Unix() - 3600, Depends: 1}
	if err := g.records.OpenAlert(t.Context(), g.org.ID, a, nil); err != nil {
		t.Fatal(err)
	}
	_, _, body := g.get(g.signedIn(), "/alerts/"+a.ID)
	contains(t, body, "Monitors and checks that depend on this host, and are silent meanwhile: 1.")
}

// Alerts are found by words of their monitor, host, roles and message, and by status: open ones, and closed ones through their pages.
func TestAlertsAreFound(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h, other := g.host(saba.Host{Name: "web-1", Roles: shopWeb}), g.host(saba.Host{Name: "db-1"})
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "load", Metric: "loadavg5", Operator: ">", Warning: new(2.0), Duration: 1})
	for i := range closedPerPage + 2 {
		a := g.alert(m, h.ID, saba.CheckCritical, "", time.Duration(200-i)*time.Hour)
		g.move(a, saba.AlertMove{At: a.OpenedAt + 60, Status: saba.CheckOK, Trigger: saba.TriggerManual, Reason: "deploy"})
	}
	shut := g.alert(m, other.ID, saba.CheckWarning, "", 100*time.Hour)
	g.move(shut, saba.AlertMove{At: shut.OpenedAt + 60, Status: saba.CheckOK, Trigger: saba.TriggerMonitoring})
	one, two := g.alert(m, h.ID, saba.CheckCritical, "loadavg5 7 > 5", time.Hour), g.alert(m, other.ID, saba.CheckWarning, "", time.Hour)
	dayOf := func(at int64) string { return time.Unix(at, 0).In(g.now().Location()).Format(time.DateOnly) }
	for _, tt := range []struct {
		query  string
		yes    []string
		no     []string
		number int
	}{
		{"?q=DB-1", []string{two.ID}, []string{one.ID}, 1},
		{"?q=load+shop:web", []string{one.ID}, []string{two.ID}, 1},
		{"?q=loadavg5+7", []string{one.ID}, []string{two.ID}, 1},
		{"?status=WARNING", []string{two.ID}, []string{one.ID}, 1},
		{"?q=load", []string{one.ID, two.ID}, nil, 2},
		{"?q=nothing", []string{"No alert matches"}, []string{one.ID}, 0},
		{"?closed=1&status=WARNING", []string{shut.ID}, []string{two.ID, `rel="next"`}, 1},
		{"?closed=1&q=db-1", []string{shut.ID}, []string{two.ID}, 1},
		{"?closed=1&q=deploy", []string{`rel="next"`, "q=deploy"}, []string{shut.ID}, closedPerPage},
		{"?closed=1&q=nothing", []string{"No alert matches"}, []string{shut.ID}, 0},
		{"?host=db-1", []string{two.ID, `name="host" value="db-1"`}, []string{one.ID}, 1},
		{"?closed=1&service=shop&status=WARNING", []string{"No alert matches", `<option value="shop" selected>`}, []string{shut.ID}, 0},
		{"?closed=1&monitor=" + m.ID + "&host=" + other.ID, []string{shut.ID, `selected>load</option>`}, nil, 1},
		{"?closed=1&monitor=gone-monitor", []string{"a check, or a deleted monitor"}, nil, 0},
		{"?closed=1&host=db-1&since=" + dayOf(shut.OpenedAt) + "&until=" + dayOf(shut.OpenedAt), []string{shut.ID}, nil, 1},
		{"?closed=1&host=db-1&since=" + dayOf(shut.OpenedAt+2*day), nil, []string{shut.ID}, 0},
		{"?closed=1&host=db-1&until=" + dayOf(shut.OpenedAt-2*day), nil, []string{shut.ID}, 0},
	} {
		_, _, body := g.get(c, "/alerts"+tt.query)
		contains(t, body, tt.yes...)
		for _, no := range tt.no {
			if strings.Contains(body, no) {
				t.Errorf("%s has %q", tt.query, no)
			}
		}
		if n := strings.Count(body, `<td class="what">`); n != tt.number {
			t.Errorf("%s has %d rows, want %d", tt.query, n, tt.number)
		}
	}
	for query, says := range map[string]string{"since=yesterday": "is no day", "until=2026-02-30": "is no day", "since=2026-03-02&until=2026-03-01": "exchange them"} {
		if code, _, body := g.get(c, "/alerts?closed=1&"+query); code != http.StatusBadRequest || !strings.Contains(body, says) {
			t.Errorf("%s answered %d, and not that it %s", query, code, says)
		}
	}
	_, _, body := g.get(c, "/alerts?closed=1&q=deploy")
	_, next, _ := strings.Cut(body, `rel="next" href="`)
	next, _, _ = strings.Cut(next, `"`)
	_, _, body = g.get(c, strings.ReplaceAll(next, "&amp;", "&"))
	if n := strings.Count(body, `<td class="what">`); n != 2 {
		t.Errorf("the next page has %d rows, want 2", n)
	}
}
