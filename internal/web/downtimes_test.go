package web

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
)

// downtime keeps a downtime.
func (g *rig) downtime(d saba.Downtime) saba.Downtime {
	g.t.Helper()
	d.ID = g.id()
	if err := d.Check(); err != nil {
		g.t.Fatal(err)
	}
	if err := g.records.CreateDowntime(context.Background(), g.org.ID, d); err != nil {
		g.t.Fatal(err)
	}
	return d
}

func clock(t *testing.T, s string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
}

func TestWhenWords(t *testing.T) {
	start := clock(t, "2026-11-20T22:00:00+01:00") // a Friday
	berlin := "Europe/Berlin"
	for want, d := range map[string]saba.Downtime{
		"20 Nov 2026, 21:00 for 1 h":                              {Start: start, Duration: 60},
		"20 Nov 2026, 22:00 for 1 day 1 h 30 min (Europe/Berlin)": {Start: start, Duration: 1530, Timezone: berlin},
		"every 6 hours from 20 Nov 2026, 21:00 for 30 min":        {Start: start, Duration: 30, Recurrence: &saba.Recurrence{Type: "hourly", Interval: 6}},
		"daily at 21:00 for 45 min":                               {Start: start, Duration: 45, Recurrence: &saba.Recurrence{Type: "daily", Interval: 1}},
		"weekly on Friday at 22:00 for 4 h (Europe/Berlin)":       {Start: start, Duration: 240, Timezone: berlin, Recurrence: &saba.Recurrence{Type: "weekly", Interval: 1}},
		"every 2 weeks on Monday, Saturday and Sunday at 22:00 for 2 days, until 1 Mar 2027, 00:00 (Europe/Berlin)": {Start: start, Duration: 2880, Timezone: berlin,
			Recurrence: &saba.Recurrence{Type: "weekly", Interval: 2, Weekdays: []string{"Sunday", "Saturday", "Monday"}, Until: clock(t, "2027-03-01T00:00:00+01:00")}},
		"monthly on day 20 at 21:00 for 1 min":                  {Start: start, Duration: 1, Recurrence: &saba.Recurrence{Type: "monthly", Interval: 1}},
		"every 3 months on day 31 or the last at 09:00 for 1 h": {Start: clock(t, "2026-01-31T09:00:00Z"), Duration: 60, Recurrence: &saba.Recurrence{Type: "monthly", Interval: 3}},
		"yearly on 20 November at 21:00 for 1 h":                {Start: start, Duration: 60, Recurrence: &saba.Recurrence{Type: "yearly", Interval: 1}},
	} {
		if got := whenWords(d, time.UTC); got != want {
			t.Errorf("whenWords = %q, want %q", got, want)
		}
	}
}

func TestWhatADowntimeHushes(t *testing.T) {
	web, db := saba.RoleName{Service: "shop", Role: "web"}, saba.RoleName{Service: "shop", Role: "db"}
	hosts := []saba.Host{{ID: "1", Name: "web-1", Roles: []saba.RoleName{web}}, {ID: "2", Name: "db-1", Roles: []saba.RoleName{db}}, {ID: "3", Name: "lab"}}
	monitors := []saba.Monitor{
		{ID: "a", Name: "cpu of web", Type: saba.MonitorHost, Scopes: []saba.Scope{{Service: "shop", Role: "web"}}}, {ID: "b", Name: "gone", Type: saba.MonitorConnectivity},
		{ID: "c", Name: "orders", Type: saba.MonitorService, Service: "shop"}, {ID: "d", Name: "site", Type: saba.MonitorExternal}, {ID: "e", Name: "sum", Type: saba.MonitorExpression},
	}
	checks := map[string]saba.Check{"k": {ID: "k", Name: "disk", Host: "2"}}
	for name, tt := range map[string]struct {
		d               saba.Downtime
		hosts, monitors string
		checks, all     bool
	}{
		"everything":               {saba.Downtime{}, "web-1 db-1 lab", "cpu of web,gone,orders,site,sum", true, true},
		"a service":                {saba.Downtime{ServiceScopes: []string{"shop"}}, "web-1 db-1", "cpu of web,gone,orders", true, false},
		"a role":                   {saba.Downtime{RoleScopes: []saba.Scope{{Service: "shop", Role: "db"}}}, "db-1", "gone", true, false},
		"a monitor":                {saba.Downtime{MonitorScopes: []string{"a"}}, "web-1", "cpu of web", false, false},
		"a monitor that is none's": {saba.Downtime{MonitorScopes: []string{"a"}, RoleScopes: []saba.Scope{{Service: "shop", Role: "db"}}}, "", "", false, false},
		"all but a monitor":        {saba.Downtime{MonitorExcludeScopes: []string{"b", "e"}}, "web-1 db-1 lab", "cpu of web,orders,site", true, false},
		"all but a role":           {saba.Downtime{RoleExcludeScopes: []saba.Scope{{Service: "shop", Role: "web"}}}, "db-1 lab", "gone,orders,site,sum", true, false},
		"a check":                  {saba.Downtime{MonitorScopes: []string{"k"}}, "db-1", "check disk", false, false},
		"what is gone":             {saba.Downtime{MonitorScopes: []string{"deleted"}}, "", "", false, false},
	} {
		h := hushes(tt.d, hosts, monitors, checks)
		var on, of []string
		for _, l := range h.Hosts {
			on = append(on, l.Label)
		}
		for _, l := range h.Monitors {
			of = append(of, l.Label)
		}
		if strings.Join(on, " ") != tt.hosts || strings.Join(of, ",") != tt.monitors || h.Checks != tt.checks || h.All != tt.all || h.HostsAll != len(on) || h.MonAll != len(of) {
			t.Errorf("%s: %v, %v, checks %t, all %t; want %s, %s, %t, %t", name, on, of, h.Checks, h.All, tt.hosts, tt.monitors, tt.checks, tt.all)
		}
	}
}

// Saving the form of a downtime without a change changes nothing, in a real browser, seconds and odd times too.
func TestADowntimesFormKeepsWhatItShows(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3})
	if err := g.records.ReportChecks(t.Context(), g.org.ID, []saba.CheckReport{{Host: h.ID, Name: "disk", Status: saba.CheckOK, OccurredAt: g.now().Unix()}}, newID); err != nil {
		t.Fatal(err)
	}
	checks, err := g.records.Checks(t.Context(), g.org.ID, h.ID)
	if err != nil || len(checks) != 1 {
		t.Fatalf("the checks are %v, %v", checks, err)
	}
	b := newTab(t, g)
	for _, d := range []saba.Downtime{
		{Name: "once", Start: clock(t, "2026-11-20T22:00:00Z"), Duration: 90},
		{Name: "with seconds", Start: clock(t, "2026-11-20T22:00:07Z"), Duration: 2880, Timezone: "Asia/Tokyo", Memo: "a\n<b>"},
		{Name: "the second time that clocks show it", Start: clock(t, "2026-10-25T02:30:00+01:00"), Duration: 60, Timezone: "Europe/Berlin", Recurrence: &saba.Recurrence{Type: "daily", Interval: 3, Until: clock(t, "2027-10-31T02:30:00+01:00")}},
		{Name: "all", Start: clock(t, "2026-11-20T22:00:00Z"), Duration: 1, Recurrence: &saba.Recurrence{Type: "weekly", Interval: 2, Weekdays: []string{"Monday", "Sunday"}},
			ServiceScopes: []string{"shop"}, ServiceExcludeScopes: []string{"shop"}, RoleScopes: []saba.Scope{{Service: "shop", Role: "web"}}, RoleExcludeScopes: []saba.Scope{{Service: "shop", Role: "web"}},
			MonitorScopes: []string{m.ID, checks[0].ID}, MonitorExcludeScopes: []string{g.org.ID}},
	} {
		d = g.downtime(d)
		b.Open("/downtimes/" + d.ID)
		js[bool](b, `document.querySelector('button[value="save"]').click(), true`)
		b.Until(`location.search === '?saved=1'`)
		all, err := g.records.Downtimes(t.Context(), g.org.ID)
		if err != nil {
			t.Fatal(err)
		}
		if is := all[len(all)-1]; !reflect.DeepEqual(is, d) {
			t.Errorf("%s after saving:\n%+v, want\n%+v", d.Name, is, d)
		}
	}
}

func TestDowntimeList(t *testing.T) {
	now := clock(t, "2026-11-21T12:00:00Z")
	g := newRig(t, func() time.Time { return time.Unix(now, 0).UTC() })
	g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3})
	g.downtime(saba.Downtime{Name: "later", Start: now + 7200, Duration: 60})
	g.downtime(saba.Downtime{Name: "soon", Start: now - 86_400 + 600, Duration: 5, Recurrence: &saba.Recurrence{Type: "daily", Interval: 1}, RoleScopes: []saba.Scope{{Service: "shop", Role: "web"}}, MonitorExcludeScopes: []string{m.ID}})
	active := g.downtime(saba.Downtime{Name: "now <b>", Start: now - 60, Duration: 60})
	ended := g.downtime(saba.Downtime{Name: "ended", Start: now - 3600, Duration: 60})
	for i := range pastShown {
		g.downtime(saba.Downtime{Name: fmt.Sprintf("old %d", i), Start: now - int64(i+2)*86_400, Duration: 60})
	}
	c := g.signedIn()
	_, _, body := g.get(c, "/downtimes")
	var order []string
	for _, m := range regexp.MustCompile(`<h2>([^<]+)</h2>|<td class="what"><a href="/downtimes/\w+">([^<]+)<`).FindAllStringSubmatch(body, -1) {
		order = append(order, m[1]+m[2])
	}
	if got, want := strings.Join(order[:7], "|"), "Under way|now &lt;b&gt;|To come|soon|later|Over|ended"; got != want {
		t.Errorf("the list is %s, want %s", got, want)
	}
	contains(t, body, "daily at 12:10 for 5 min", "shop:web</a>", `<span class="not">not</span>`, ">busy</a>", "everything", "2026-11-21T12:59:00Z", "2026-11-21T12:10:00Z", "/downtimes?past=all")
	if _, _, body := g.get(c, "/downtimes?past=all"); strings.Count(body, ">old ") != pastShown {
		t.Error("not all that are over are shown when they are asked for")
	}
	_, _, body = g.get(c, "/downtimes/"+active.ID+"/delete")
	contains(t, body, "Delete now &lt;b&gt;?", "It is under way, and ends at once")
	_, _, body = g.get(c, "/downtimes/"+ended.ID+"/delete")
	contains(t, body, "It is over")
	if code, where, _ := g.post(c, "/downtimes/"+active.ID+"/delete", nil); code != http.StatusOK || where != "/downtimes" {
		t.Errorf("deleting answers %d at %s", code, where)
	}
	if code, _, _ := g.get(c, "/downtimes/"+active.ID); code != http.StatusNotFound {
		t.Errorf("a deleted downtime answers %d", code)
	}
	viewer := g.signedInAs(saba.Viewer)
	for _, path := range []string{"/downtimes", "/downtimes/" + ended.ID} {
		_, _, body := g.get(viewer, path)
		if contains(t, body, "ended"); strings.Contains(body, `action="/downtimes`) || strings.Contains(body, "/downtimes/new") || strings.Contains(body, "/delete") {
			t.Errorf("%s offers a viewer to change something", path)
		}
	}
}

// A downtime is made with times of its own zone's clocks, and what is wrong with it stands beside its field.
func TestADowntimeIsMade(t *testing.T) {
	now := clock(t, "2026-11-21T12:00:00Z")
	g := newRig(t, func() time.Time { return time.Unix(now, 0).UTC() })
	g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	c := g.signedInAs(saba.Collaborator)
	with := func(more ...string) url.Values {
		v := url.Values{"name": {"backup"}, "start": {"2027-03-27T02:30"}, "duration": {"2"}, "unit": {"hours"}, "timezone": {"Europe/Berlin"}, "recurrence": {"daily"}, "interval": {"1"}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	for _, tt := range []struct{ name, value, says string }{
		{"name", "", "Name is required"},
		{"start", "", "Begins is required: a date and a time."},
		{"start", "soon", "Begins must be a time such as"},
		{"start", "2027-03-28T02:30", "Begins must be a time that there is: the clocks of Europe/Berlin are set forward over 2027-03-28 02:30."},
		{"duration", "0", "Lasts must be 1 or more, not 0."},
		{"duration", "999999", "Lasts must be 527040 or less"},
		{"duration", "500000", "Lasts must be from 1 to 527040, not 30000000."},
		{"timezone", "Europe/Nowhere", "Time zone must be the name of a time zone such as Europe/Berlin or UTC, not &#34;Europe/Nowhere&#34;."},
		{"interval", "1001", "Every must be 1000 or less"},
		{"until", "2027-03-01T00:00", "Until must not be before start"},
		{"scopes", "shop:none", "The choice names the role &#34;shop:none&#34;, which does not exist."},
		{"excludeMonitors", "none", "The choice names the monitor &#34;none&#34;, which does not exist."},
	} {
		code, _, body := g.post(c, "/downtimes/new", with(tt.name, tt.value))
		if code != http.StatusBadRequest || !strings.Contains(body, `<span class="bad">`+tt.says) {
			t.Errorf("%s=%s answers %d, without %q: %q", tt.name, tt.value, code, tt.says, regexp.MustCompile(`class="bad">[^<]*`).FindAllString(body, -1))
		}
	}
	code, _, body := g.post(c, "/downtimes/new", with("do", "draft", "scopes", "shop:web"))
	if contains(t, body, "daily at 02:30 for 2 h (Europe/Berlin)", "Sat 27 Mar 2027, 02:30 – 04:30 CET", "Sun 28 Mar 2027, 03:00 – 05:00 CEST", "Mon 29 Mar 2027, 02:30 – 04:30 CEST", "<strong>1 host</strong>", ">web-1</a>", "<strong>1 monitor</strong>",
		"The checks of these hosts as well."); code != http.StatusOK {
		t.Errorf("a draft answers %d", code)
	}
	if all, err := g.records.Downtimes(t.Context(), g.org.ID); err != nil || len(all) != 0 {
		t.Fatalf("something was saved: %v, %v", all, err)
	}
	if _, where, body := g.post(c, "/downtimes/new", with("weekdays", "Monday")); !strings.HasSuffix(where, "?saved=1") || !strings.Contains(body, "Everything: no alert") {
		t.Errorf("saving leads to %s", where)
	}
	all, err := g.records.Downtimes(t.Context(), g.org.ID)
	if err != nil || len(all) != 1 {
		t.Fatalf("the downtimes are %v, %v", all, err)
	}
	want := saba.Downtime{ID: all[0].ID, Name: "backup", Start: clock(t, "2027-03-27T02:30:00+01:00"), Duration: 120, Timezone: "Europe/Berlin", Recurrence: &saba.Recurrence{Type: "daily", Interval: 1}}
	if !reflect.DeepEqual(all[0], want) {
		t.Errorf("the downtime is %+v, want %+v: days of the week are of weekly ones alone", all[0], want)
	}
}

// From a host's page and an alert's page a downtime of an hour is two steps away, and says first what it hushes.
func TestDowntimesBeginAtHostsAndAlerts(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedInAs(saba.Collaborator)
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	g.host(saba.Host{Name: "web-2", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	lone := g.host(saba.Host{Name: "lab"})
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3})
	a := g.alert(m, h.ID, saba.CheckWarning, "cpu% 85 > 80", time.Minute)
	link := func(path string) string {
		t.Helper()
		_, _, body := g.get(c, path)
		found := regexp.MustCompile(`href="(/downtimes/new\?[^"]+)"`).FindStringSubmatch(body)
		if found == nil {
			return ""
		}
		return html.UnescapeString(found[1])
	}
	_, _, body := g.get(c, link("/hosts/"+h.ID))
	contains(t, body, "Work on web-1", "For web-1 alone, set its status to maintenance.", "<strong>2 hosts</strong>", `value="shop:web" checked`)
	_, _, body = g.get(c, link("/alerts/"+a.ID))
	contains(t, body, "Work on busy", `value="`+m.ID+`" checked`, `value="shop:web" checked`, "<strong>1 monitor</strong>")
	if at := link("/hosts/" + lone.ID); at != "" {
		t.Errorf("a host without roles has a downtime of everything: %s", at)
	}
	if code, _, _ := g.get(c, "/downtimes/new?scope=a+b"); code != http.StatusBadRequest {
		t.Errorf("a scope that is none answers %d", code)
	}
	_, _, body = g.get(c, "/alerts/"+a.ID)
	contains(t, body, "Mute the monitor for 1 hour", `href="/monitors/`+m.ID+`"`)
	if _, where, body := g.post(c, "/monitors/"+m.ID+"/mute", url.Values{"for": {"1h"}, "back": {"/alerts/" + a.ID}}); where != "/alerts/"+a.ID || !strings.Contains(body, "muted until") {
		t.Errorf("muting from an alert leads to %s", where)
	}
	if _, _, body := g.get(g.signedInAs(saba.Viewer), "/alerts/"+a.ID); strings.Contains(body, "/mute") || strings.Contains(body, "/downtimes/new") {
		t.Error("a viewer is offered to hush an alert")
	}
}

// On a phone: from a link to the alert, muted for an hour, and a downtime made; nothing is wider than the screen.
func TestDowntimesOnAPhone(t *testing.T) {
	g := newRig(t, time.Now)
	a := g.storm(g.town())
	d := g.downtime(saba.Downtime{Name: strings.Repeat("long", 60), Start: time.Now().Unix(), Duration: 60, Timezone: "America/Argentina/Buenos_Aires", Recurrence: &saba.Recurrence{Type: "weekly", Interval: 2, Weekdays: weekdayNames}, ServiceScopes: []string{"shop"}})
	b := newTab(t, g)
	b.Window(360, 740, "light")
	narrow := func() {
		t.Helper()
		if scroll := js[int64](b, `document.documentElement.scrollWidth`); scroll > 360 {
			t.Errorf("%s is %d pixels wide", js[string](b, `location.pathname`), scroll)
		}
	}
	for _, path := range []string{"/downtimes", "/downtimes/new", "/downtimes/" + d.ID, "/downtimes/" + d.ID + "/delete"} {
		b.Open(path)
		narrow()
		b.shoot("360" + path)
	}
	b.Open("/alerts/" + a.ID)
	b.Do(chromedp.Click(chromedp.CSS(`.hush form[action$="/mute"] button[value="1h"]`)), chromedp.WaitVisible(chromedp.CSS(`.hush form[action$="/mute"] button[value="none"]`)))
	narrow()
	b.Do(chromedp.Click(chromedp.CSS(`.hush a`)), chromedp.WaitVisible(chromedp.CSS(`form[data-draft]`)))
	b.Until(`document.querySelector('#l-timezone option').label === 'yours'`)
	js[bool](b, `(() => { const f = document.querySelector('form[data-draft]'); f.elements.duration.value = '3'; f.elements.duration.dispatchEvent(new Event('input', {bubbles: true})); return true; })()`)
	b.Until(`document.querySelector('[data-swap="beside"]').innerText.includes('for 3 h')`)
	narrow()
	js[bool](b, `document.querySelector('button[value="save"]').click(), true`)
	b.Until(`location.search === '?saved=1' && document.body.innerText.includes('under way')`)
	narrow()
	b.shoot("360-downtime-made")
}
