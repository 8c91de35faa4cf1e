package web

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/monitor"
)

// fullMonitors has a monitor of each type, with every field that it may have.
func fullMonitors() []saba.Monitor {
	shop, web := saba.Scope{Service: "shop"}, saba.Scope{Service: "shop", Role: "web"}
	common := saba.Monitor{Name: "a <b> & c", Memo: "first line\nsecond", NotificationInterval: new(int64(60)), Mute: true}
	with := func(t saba.MonitorType, change func(m *saba.Monitor)) saba.Monitor {
		m := common
		m.Type = t
		change(&m)
		return m
	}
	return []saba.Monitor{
		with(saba.MonitorHost, func(m *saba.Monitor) {
			m.Metric, m.Operator, m.Warning, m.Critical, m.Duration, m.MaxCheckAttempts = "cpu%", ">", new(80.5), new(95.0), 3, 2
			m.Scopes, m.ExcludeScopes = []saba.Scope{shop}, []saba.Scope{web}
		}),
		with(saba.MonitorConnectivity, func(m *saba.Monitor) {
			m.AlertStatusOnGone, m.GoneAfter, m.Scopes, m.ExcludeScopes = saba.CheckWarning, 45, []saba.Scope{shop, web}, []saba.Scope{web}
		}),
		with(saba.MonitorService, func(m *saba.Monitor) {
			m.Service, m.Metric, m.Operator, m.Critical, m.Duration, m.MaxCheckAttempts = "shop", "orders.web", "<", new(-0.5), 1, 10
			m.Warning = new(2.0)
			m.MissingDurationWarning, m.MissingDurationCritical = new(int64(10)), new(int64(10080))
		}),
		with(saba.MonitorExternal, func(m *saba.Monitor) {
			m.URL, m.Method, m.Service, m.MaxCheckAttempts = "https://shop.example.test/", "POST", "shop", 3
			m.ResponseTimeWarning, m.ResponseTimeCritical, m.ResponseTimeDuration = new(500.0), new(1000.5), new(int64(3))
			m.ContainsString, m.ExpectedStatusCode, m.SkipCertificateVerification, m.FollowRedirect, m.Dualstack = "ok", new(int64(201)), true, true, "ipv6"
			m.CertificationExpirationWarning, m.CertificationExpirationCritical = new(int64(30)), new(int64(0))
			m.Headers, m.RequestBody = []saba.HTTPHeader{{Name: "Cache-Control", Value: "no-cache"}, {Name: "Accept", Value: "text/plain"}}, "{\n \"a\": 1\n}"
		}),
		with(saba.MonitorExpression, func(m *saba.Monitor) {
			m.Expression, m.Operator, m.Warning, m.EvaluateBackwardMinutes = "avg(\n  role(shop:web, loadavg5)\n)", ">", new(4.0), new(int64(5))
			m.Critical = new(8.0)
		}),
		with(saba.MonitorAnomaly, func(m *saba.Monitor) {
			m.Scopes, m.WarningSensitivity, m.CriticalSensitivity, m.TrainingPeriodFrom, m.MaxCheckAttempts = []saba.Scope{web}, "sensitive", "insensitive", 1_700_000_040, 4
		}),
		with(saba.MonitorQuery, func(m *saba.Monitor) {
			m.Query, m.Legend, m.Operator, m.Critical, m.EvaluateBackwardMinutes = `sum by (route) (up{job="a"})`, "{{route}}", ">", new(1e6), new(int64(0))
			m.Warning = new(1e-5)
		}),
	}
}

// The declaration has every field of a monitor under its name in the protocol, and nothing else.
func TestEveryFieldOfAMonitorIsDeclared(t *testing.T) {
	var m saba.Monitor
	places := map[string]any{}
	of := reflect.ValueOf(&m).Elem()
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Type().Field(i).Tag.Get("json"), ",")
		places[name] = of.Field(i).Addr().Interface()
	}
	declared := map[string]bool{"id": true, "type": true, "muteUntil": true} // those are no fields of the form
	for _, d := range monitorFields {
		if place := places[d.name]; place == nil || place != d.of(&m) {
			t.Errorf("the field %s (%s) is not where the monitor has it", d.name, d.label)
		}
		declared[d.name] = true
	}
	for name := range places {
		if !declared[name] {
			t.Errorf("the form lacks %s", name)
		}
	}
	// A type has a field just where a monitor of it may have a value.
	f := form[saba.Monitor]{fields: monitorFields, zone: time.UTC}
	for _, m := range fullMonitors() {
		for _, d := range f.has(&m) {
			if reflect.ValueOf(d.of(&m)).Elem().IsZero() {
				t.Errorf("%s has the field %s, which the tests leave empty", m.Type, d.name)
			}
		}
	}
	for i, k := range monitorKinds {
		if k.Type != saba.MonitorTypes[i] {
			t.Errorf("the kind %d is %s, want %s", i, k.Type, saba.MonitorTypes[i])
		}
	}
}

// Saving a form without a change changes nothing, for every type and in a real browser; making a monitor anew of the same values makes the same.
func TestAFormKeepsWhatItShows(t *testing.T) {
	g := newRig(t, time.Now)
	g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	b := newTab(t, g)
	for _, m := range fullMonitors() {
		m = g.monitor(m)
		b.Open("/monitors/" + m.ID)
		js[bool](b, `document.querySelector('button[value="save"]').click(), true`)
		b.Until(`location.search === '?saved=1'`)
		if is, err := g.records.Monitor(t.Context(), g.org.ID, m.ID); err != nil || !reflect.DeepEqual(is, m) {
			t.Errorf("%s after saving:\n%+v\n%v, want\n%+v", m.Type, is, err, m)
		}
		if m.Type == saba.MonitorAnomaly { // one a role
			continue
		}
		b.Open("/monitors/new?from=" + m.ID)
		js[bool](b, `document.querySelector('button[value="save"]').click(), true`)
		b.Until(`location.search === '?saved=1'`)
		id := js[string](b, `location.pathname.split('/')[2]`)
		is, err := g.records.Monitor(t.Context(), g.org.ID, id)
		want := m
		want.ID, want.Name = id, "Copy of "+m.Name
		if err != nil || id == m.ID || !reflect.DeepEqual(is, want) {
			t.Errorf("the copy of %s is\n%+v\n%v, want\n%+v", m.Type, is, err, want)
		}
	}
}

func TestMonitorList(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	other := g.host(saba.Host{Name: "db-1"})
	cpu := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3, Scopes: []saba.Scope{{Service: "shop", Role: "web"}}})
	g.monitor(saba.Monitor{Type: saba.MonitorService, Name: "few orders", Service: "shop", Metric: "orders", Operator: "<", Critical: new(1.0), Duration: 1, Mute: true})
	g.alert(cpu, h.ID, saba.CheckWarning, "cpu% 85 > 80", time.Minute)
	g.alert(cpu, other.ID, saba.CheckCritical, "cpu% 99 > 80", time.Minute)
	if err := g.records.ReportChecks(t.Context(), g.org.ID, []saba.CheckReport{
		{Host: h.ID, Name: "disk", Status: saba.CheckOK, OccurredAt: g.now().Unix()}, {Host: other.ID, Name: "disk", Status: saba.CheckCritical, OccurredAt: g.now().Unix()},
		{Host: h.ID, Name: "backup", Status: saba.CheckOK, OccurredAt: g.now().Unix()},
	}, newID); err != nil {
		t.Fatal(err)
	}
	_, _, body := g.get(c, "/monitors")
	contains(t, body, "3 monitors", `href="/monitors/`+cpu.ID+`">busy</a><span class="message">mean of 3 points of cpu% &gt; 80 warning</span>`, "v-CRITICAL", "2 alerts", ">all hosts<",
		`href="/hosts?role=shop%3Aweb">shop:web</a>`, "orders &lt; 1 critical", "muted</span>", "Checks of agents", "<strong>disk</strong>", "2 hosts", `aria-current="page">Monitors</a>`)
	if disk, backup := strings.Index(body, "<strong>disk<"), strings.Index(body, "<strong>backup<"); disk > backup {
		t.Error("a check that is bad stands after one that is well")
	}
	for query, want := range map[string]string{"q=BUSY": "busy", "q=shop%3Aweb+cpu": "busy", "type=service": "few orders", "q=orders&type=service": "few orders", "type=check": "", "q=nothing+of+the+kind": "", "type=host&q=orders": ""} {
		_, _, body := g.get(c, "/monitors?"+query)
		var names []string
		for _, m := range regexp.MustCompile(`<td class="what"><a href="/monitors/\w+">([^<]+)<`).FindAllStringSubmatch(body, -1) {
			names = append(names, m[1])
		}
		if got := strings.Join(names, ","); got != want || !strings.Contains(body, "of 3 monitors") {
			t.Errorf("%s finds %q, want %q", query, got, want)
		}
	}
	viewer := g.signedInAs(saba.Viewer)
	for _, path := range []string{"/monitors", "/monitors/" + cpu.ID} {
		_, _, body := g.get(viewer, path)
		if contains(t, body, "busy", "mean of 3 points"); strings.Contains(body, `method="post" action="/monitors`) || strings.Contains(body, "/monitors/new") || strings.Contains(body, "/delete") {
			t.Errorf("%s offers a viewer to change something", path)
		}
	}
}

func TestMonitorIsMutedForAWhile(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1_800_000_000)
	g := newRig(t, func() time.Time { return time.Unix(clock.Load(), 0) })
	c := g.signedInAs(saba.Collaborator)
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3})
	at := "/monitors/" + m.ID
	is := func(what string, mute bool, until int64) {
		t.Helper()
		if m, err := g.records.Monitor(t.Context(), g.org.ID, m.ID); err != nil || m.Mute != mute || m.MuteUntil != until {
			t.Errorf("%s: muted %t until %d (%v), want %t until %d", what, m.Mute, m.MuteUntil, err, mute, until)
		}
	}
	if code, where, body := g.post(c, at+"/mute", url.Values{"for": {"1h"}}); code != http.StatusOK || where != "/monitors" || !strings.Contains(body, "muted until") {
		t.Errorf("muting answers %d at %s", code, where)
	}
	is("for an hour", false, 1_800_003_600)
	g.post(c, at, url.Values{"do": {"save"}, "name": {"busier"}, "metric": {"cpu%"}, "operator": {">"}, "duration": {"3"}, "maxCheckAttempts": {"1"}})
	is("a form that says nothing of it", false, 1_800_003_600)
	clock.Add(3600)
	if _, _, body := g.get(c, at); strings.Contains(body, "muted until") {
		t.Error("it is still muted after the hour")
	}
	if _, where, _ := g.post(c, at+"/mute", url.Values{"for": {"ever"}, "back": {"/alerts"}}); where != "/alerts" {
		t.Errorf("muting leads to %s, want back", where)
	}
	is("for ever", true, 0)
	if _, where, _ := g.post(c, at+"/mute", url.Values{"for": {"none"}, "back": {"//evil.example.test/"}}); where != "/hosts" {
		t.Errorf("muting leads to %s", where)
	}
	is("no more", false, 0)
	if code, _, _ := g.post(c, at+"/mute", url.Values{"for": {"a while"}}); code != http.StatusBadRequest {
		t.Errorf("an unknown length answers %d", code)
	}
	is("no more", false, 0)
}

// What is wrong stands beside its field, in a sentence with the field's label, and nothing is saved.
func TestWhatIsWrongStandsBesideItsField(t *testing.T) {
	g := newRig(t, time.Now)
	g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	c := g.signedIn()
	host := url.Values{"name": {"m"}, "metric": {"cpu%"}, "operator": {">"}, "duration": {"3"}, "maxCheckAttempts": {"1"}}
	external := url.Values{"name": {"m"}, "url": {"https://example.test/"}, "method": {"GET"}, "maxCheckAttempts": {"1"}}
	for _, tt := range []struct {
		kind   saba.MonitorType
		values url.Values
		name   string
		value  string
		says   string
	}{
		{saba.MonitorHost, host, "name", "", "Name is required, and must not be empty."},
		{saba.MonitorHost, host, "name", strings.Repeat("x", 256), "Name must be 255 characters or fewer, not 256."},
		{saba.MonitorHost, host, "metric", "a b", "Metric must be a metric name"},
		{saba.MonitorHost, host, "warning", "eighty", "Warning must be a number such as 80 or 12.5, not &#34;eighty&#34;."},
		{saba.MonitorHost, host, "warning", "NaN", "Warning must be a number"},
		{saba.MonitorHost, host, "critical", "101", "Critical must be from 0 to 100, since cpu% is a percentage, not 101."},
		{saba.MonitorHost, host, "duration", "2.5", "Mean of must be a whole number, not &#34;2.5&#34;."},
		{saba.MonitorHost, host, "duration", "11", "Mean of must be 10 or less, not 11."},
		{saba.MonitorHost, host, "maxCheckAttempts", "0", "In a row must be 1 or more, not 0."},
		{saba.MonitorHost, host, "notificationInterval", "9", "Tell again every must be 10 or more, not 9."},
		{saba.MonitorHost, host, "scopes", "shop:none", "The choice names the role &#34;shop:none&#34;, which does not exist."},
		{saba.MonitorHost, host, "scopes", "a b", "The choice must be services and roles"},
		{saba.MonitorHost, host, "memo", strings.Repeat("x", 2049), "Memo must be 2048 characters or fewer"},
		{saba.MonitorService, host, "service", "", "Service is required"},
		{saba.MonitorService, host, "service", "none", "Service names the service &#34;none&#34;, which does not exist."},
		{saba.MonitorExternal, external, "url", "ftp://x", "Address must be an address"},
		{saba.MonitorExternal, external, "url", "https://u:xxxxx@example.test/", "Address has the password &#34;xxxxx&#34;"},
		{saba.MonitorExternal, external, "headers.name", "A B", "This header must be the name of an HTTP header, not &#34;A B&#34;."},
		{saba.MonitorExternal, external, "responseTimeWarning", "5", "Service is required to watch the response time"},
		{saba.MonitorExpression, host, "expression", "avg(", "Expression cannot be read at character"},
		{saba.MonitorQuery, host, "query", "up{", "Query has a"},
		{saba.MonitorQuery, host, "query", "no query", "Query cannot be read, at line 1, column 4"},
		{saba.MonitorAnomaly, host, "scopes", "shop", "The choice must be a role (service:role)"},
		{saba.MonitorAnomaly, host, "warningSensitivity", "", "Warning or “Critical” is required."},
		{saba.MonitorAnomaly, host, "trainingPeriodFrom", "yesterday", "Learn from must be a time such as 2026-11-21T22:00"},
	} {
		values := url.Values{}
		for k, v := range tt.values {
			values[k] = v
		}
		values.Set(tt.name, tt.value)
		if tt.kind == saba.MonitorAnomaly && tt.name != "warningSensitivity" {
			values.Set("warningSensitivity", "normal")
		}
		if tt.kind == saba.MonitorService {
			values.Set("metric", "orders")
		}
		code, _, body := g.post(c, "/monitors/new?type="+string(tt.kind), values)
		if beside := `<span class="bad">` + tt.says; code != http.StatusBadRequest || !strings.Contains(body, beside) {
			t.Errorf("%s with %s=%.40s answers %d, without %q:\n%s", tt.kind, tt.name, tt.value, code, tt.says, regexp.MustCompile(`class="bad">[^<]*`).FindAllString(body, -1))
		}
		if n := strings.Count(body, `class="bad"`); n != 1 {
			t.Errorf("%s with %s=%.40s is wrong in %d places, want 1", tt.kind, tt.name, tt.value, n)
		}
	}
	if all, err := g.records.Monitors(t.Context(), g.org.ID); err != nil || len(all) != 1 {
		t.Errorf("there are %d monitors (%v), want the first of all alone", len(all), err)
	}
	if code, _, _ := g.post(c, "/monitors/new?type=nonsense", host); code != http.StatusBadRequest {
		t.Errorf("a type that does not exist answers %d", code)
	}
	values := url.Values{"do": {"draft"}, "name": {"typed <name>"}, "metric": {"cpu%"}, "operator": {">"}, "warning": {"70"}, "duration": {"2"}, "maxCheckAttempts": {"x"}}
	code, _, body := g.post(c, "/monitors/new?type=host", values)
	if contains(t, body, "typed &lt;name&gt;", `value="70"`, `value="x"`, "mean of 2 points of cpu% &gt; 70 warning", "In a row must be a whole number"); code != http.StatusOK {
		t.Errorf("a draft answers %d", code)
	}
}

// Passwords in addresses and values of headers that may be secret are never shown, are kept when they are left alone, and never go to another host.
func TestSecretsOfAMonitorAreWriteOnly(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	m := g.monitor(saba.Monitor{Type: saba.MonitorExternal, Name: "site", URL: "https://u:pass-word@shop.example.test/", Headers: []saba.HTTPHeader{{Name: "Authorization", Value: "Bearer to-ken"}, {Name: "Accept", Value: "text/plain"}}})
	at := "/monitors/" + m.ID
	form := func(address string, headers ...string) url.Values {
		v := url.Values{"name": {"site"}, "url": {address}, "method": {"GET"}, "maxCheckAttempts": {"1"}}
		for i := 0; i < len(headers); i += 2 {
			v["headers.name"], v["headers.value"] = append(v["headers.name"], headers[i]), append(v["headers.value"], headers[i+1])
		}
		return v
	}
	viewer := g.signedInAs(saba.Viewer)
	for _, path := range []string{at, "/monitors", "/monitors/new?from=" + m.ID, at + "/delete"} {
		for _, who := range []*http.Client{c, viewer} {
			if _, _, body := g.get(who, path); strings.Contains(body, "to-ken") || strings.Contains(body, "pass-word") {
				t.Errorf("%s shows a secret", path)
			}
		}
	}
	_, _, body := g.get(c, at)
	contains(t, body, "https://u:xxxxx@shop.example.test/", "text/plain", "kept as it is")
	is := func(what, address string, headers ...saba.HTTPHeader) {
		t.Helper()
		if m, err := g.records.Monitor(t.Context(), g.org.ID, m.ID); err != nil || m.URL != address || !reflect.DeepEqual(m.Headers, headers) {
			t.Errorf("%s: %s with %v (%v), want %s with %v", what, m.URL, m.Headers, err, address, headers)
		}
	}
	g.post(c, at, form("https://u:xxxxx@shop.example.test/new", "authorization", "", "Accept", "a/b"))
	is("another path", "https://u:pass-word@shop.example.test/new", saba.HTTPHeader{Name: "authorization", Value: "Bearer to-ken"}, saba.HTTPHeader{Name: "Accept", Value: "a/b"})
	for _, values := range []url.Values{
		form("https://u:xxxxx@evil.example.test/"), form("http://u:xxxxx@shop.example.test/"), form("https://u:xxxxx@shop.example.test:444/"),
		form("https://evil.example.test/", "authorization", ""), form("http://shop.example.test/", "authorization", ""),
	} {
		code, _, body := g.post(c, at, values)
		if code != http.StatusBadRequest || strings.Contains(body, "to-ken") || strings.Contains(body, "pass-word") {
			t.Errorf("%v answers %d", values, code)
		}
	}
	is("another host", "https://u:pass-word@shop.example.test/new", saba.HTTPHeader{Name: "authorization", Value: "Bearer to-ken"}, saba.HTTPHeader{Name: "Accept", Value: "a/b"})
	_, copied, _ := g.post(c, "/monitors/new?type=external&from="+m.ID, form("https://u:xxxxx@shop.example.test/", "Authorization", ""))
	id := strings.TrimSuffix(strings.TrimPrefix(copied, "/monitors/"), "?saved=1")
	if is, err := g.records.Monitor(t.Context(), g.org.ID, id); err != nil || is.URL != "https://u:pass-word@shop.example.test/" || !reflect.DeepEqual(is.Headers, []saba.HTTPHeader{{Name: "Authorization", Value: "Bearer to-ken"}}) {
		t.Errorf("the copy at %s is %+v, %v", copied, is, err)
	}
	if code, _, body := g.post(c, "/monitors/new?type=external&from="+m.ID, form("https://evil.example.test/", "Authorization", "")); code != http.StatusBadRequest || !strings.Contains(body, "kept for another host") {
		t.Errorf("a copy for another host answers %d", code)
	}
	g.post(c, at, form("https://shop.example.test/"))
	is("without", "https://shop.example.test/", []saba.HTTPHeader{}...)
}

func TestAMonitorIsDeleted(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3})
	at := "/monitors/" + m.ID
	_, _, body := g.get(c, at+"/delete")
	contains(t, body, "Delete busy?", "No alert of it is open.", "cannot be undone")
	a := g.alert(m, g.host(saba.Host{Name: "web-1"}).ID, saba.CheckWarning, "x", time.Minute)
	_, _, body = g.get(c, at+"/delete")
	contains(t, body, "It has 1 alert open: closed at once")
	if code, where, _ := g.post(c, at+"/delete", nil); code != http.StatusOK || where != "/monitors" {
		t.Errorf("deleting answers %d at %s", code, where)
	}
	if is, err := g.records.Alert(t.Context(), g.org.ID, a.ID); err != nil || is.Open() {
		t.Errorf("its alert is %+v, %v", is, err)
	}
	if code, _, _ := g.get(c, at); code != http.StatusNotFound {
		t.Errorf("a deleted monitor answers %d", code)
	}
}

// With scripts the words beside the form follow what is typed; the form's own part is left alone.
func TestADraftIsShownWhileItIsTyped(t *testing.T) {
	g := newRig(t, time.Now)
	g.fill(g.host(saba.Host{Name: "web-1"}), 5*time.Minute, machine(1, 4, nil))
	b := newTab(t, g)
	b.Open("/monitors/new?type=host")
	b.Until(`document.querySelector('#l-metric option[value="loadavg5"]') !== null && document.querySelector('#l-metric option[value="cpu%"]') !== null`)
	b.Do(chromedp.SendKeys(chromedp.CSS(`input[name="metric"]`), "loadavg5"), chromedp.SendKeys(chromedp.CSS(`input[name="warning"]`), "4.5"))
	b.Until(`document.querySelector('[data-swap="beside"]').innerText.includes('mean of 3 points of loadavg5 > 4.5 warning')`)
	if typed := js[string](b, `document.querySelector('input[name="metric"]').value`); typed != "loadavg5" {
		t.Errorf("what was typed became %q", typed)
	}
	if all, err := g.records.Monitors(t.Context(), g.org.ID); err != nil || len(all) != 1 {
		t.Errorf("a draft was saved: %v, %v", all, err)
	}
}

// On a phone every page of monitors is as wide as it is.
func TestMonitorsOnAPhone(t *testing.T) {
	g := newRig(t, time.Now)
	g.storm(g.town())
	g.monitor(saba.Monitor{Type: saba.MonitorQuery, Name: strings.Repeat("long", 60), Query: "sum(" + strings.Repeat("x", 300) + ")", Operator: ">", Warning: new(1.0)})
	external := g.monitor(saba.Monitor{Type: saba.MonitorExternal, Name: "site", URL: "https://shop.example.test/" + strings.Repeat("x", 300)})
	b := newTab(t, g)
	b.Window(360, 740, "light")
	for _, path := range []string{"/monitors", "/monitors/new", "/monitors/new?type=host", "/monitors/new?type=service", "/monitors/new?type=external", "/monitors/new?type=expression", "/monitors/new?type=anomalyDetection", "/monitors/new?type=query", "/monitors/" + external.ID} {
		b.Open(path)
		if scroll := js[int64](b, `document.documentElement.scrollWidth`); scroll > 360 {
			t.Errorf("%s is %d pixels wide", path, scroll)
		}
		b.shoot(fmt.Sprintf("360%s", path))
	}
}

// The graph beside the form shows what the monitor judges, of the worst hosts if they are many, with its thresholds.
func TestTheGraphBesideAMonitor(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	shop := []saba.RoleName{{Service: "shop", Role: "web"}}
	for i := range graphHosts + 3 {
		h := g.host(saba.Host{Name: fmt.Sprintf("web-%02d", i), Roles: shop})
		g.fill(h, 20*time.Minute, map[string]func(int64) float64{
			"loadavg5": func(int64) float64 { return float64(i) }, "memory.used": func(int64) float64 { return float64(i) }, "memory.total": func(int64) float64 { return 100 },
			"filesystem.root.used": func(int64) float64 { return 10 }, "filesystem.root.size": func(int64) float64 { return 100 },
		})
	}
	g.host(saba.Host{Name: "asleep", Roles: shop, Status: saba.Poweroff})
	g.fill(g.host(saba.Host{Name: "lab"}), 20*time.Minute, map[string]func(int64) float64{"loadavg5": func(int64) float64 { return 50 }})
	g.fillSeries(saba.Series{Org: g.org.ID, Service: "shop"}, time.Hour, map[string]func(int64) float64{"orders.web": wave(1, 3, 80)})
	site := g.monitor(saba.Monitor{Type: saba.MonitorExternal, Name: "site", URL: "https://shop.example.test/", Service: "shop", ResponseTimeWarning: new(500.0), ResponseTimeDuration: new(int64(1))})
	g.fillSeries(saba.Series{Org: g.org.ID, Service: "shop"}, time.Hour, map[string]func(int64) float64{"__externalhttp.responsetime." + site.ID: wave(1, 100, 700)})
	picture := func(page string) string {
		t.Helper()
		_, _, body := g.get(c, page)
		found := regexp.MustCompile(`<img src="(/monitors/graph.svg[^"]+)"`).FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("%s has no graph", page)
		}
		code, _, svg := g.get(c, html.UnescapeString(found[1]))
		if code != http.StatusOK {
			t.Errorf("the graph of %s answers %d: %.300s", page, code, svg)
		}
		return svg
	}
	monitor := func(metric, operator string) string {
		return "/monitors/" + g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: metric, Metric: metric, Operator: operator, Warning: new(8.0), Critical: new(90.0), Duration: 1, Scopes: []saba.Scope{{Service: "shop"}}}).ID
	}
	_, _, body := g.get(c, monitor("loadavg5", ">"))
	contains(t, body, "The last 6 hours of the 10 worst of 13 hosts.")
	for page, want := range map[string]struct{ has, lacks []string }{
		monitor("loadavg5", ">"):    {[]string{"web-12", "web-03", "warning &gt; 8", `class="limit warn"`}, []string{"web-02", "lab", "asleep", "web-12 ·"}},
		monitor("loadavg5", "<"):    {[]string{"web-00", "web-09", "warning &lt; 8"}, []string{"web-10"}},
		monitor("memory%", ">"):     {[]string{"web-12", "web-03", "12%"}, []string{"web-02"}},
		monitor("disk%", ">"):       {[]string{"disk% of root"}, nil},
		monitor("custom.none", ">"): {[]string{`class="saba-chart"`}, []string{"web-"}},
		"/monitors/" + site.ID:      {[]string{"Response time", "warning &gt; 500"}, nil},
		"/monitors/" + g.monitor(saba.Monitor{Type: saba.MonitorService, Name: "orders", Service: "shop", Metric: "orders.web", Operator: "<", Critical: new(10.0), Duration: 1}).ID: {[]string{"orders.web", "critical &lt; 10"}, nil},
		"/monitors/" + g.monitor(saba.Monitor{Type: saba.MonitorExpression, Name: "all load", Expression: "sum(role(shop:web, loadavg5))", Operator: ">", Warning: new(70.0), Critical: new(90.0)}).ID: {
			[]string{"all load", "warning &gt; 70", "critical &gt; 90", `class="band`, ">78<"}, nil},
		"/monitors/" + g.monitor(saba.Monitor{Type: saba.MonitorQuery, Name: "orders by query", Query: `{"orders.web"}`, Legend: "orders of {{service}}", Operator: "<", Critical: new(10.0)}).ID: {
			[]string{"orders by query", "orders of shop", "critical &lt; 10"}, nil},
		"/monitors/" + g.monitor(saba.Monitor{Type: saba.MonitorExpression, Name: "far", Expression: "sum(timeShift(role(shop:web, loadavg5), 6y))", Operator: ">", Warning: new(70.0)}).ID: {
			[]string{"It reads samples of 2190 days before"}, nil},
	} {
		svg := picture(page)
		contains(t, svg, want.has...)
		for _, s := range want.lacks {
			if strings.Contains(svg, s) {
				t.Errorf("the graph of %s has %s", page, s)
			}
		}
	}
	for path, want := range map[string]int{"?type=host&metric=a": 200, "?type=service&metric=a&service=none": 404, "?type=query": 200, "?type=query&query=%7B": 200, "?type=expression&expression=x": 200, "?type=anomalyDetection": 404, "?type=connectivity": 404, "": 404, "?type=host&warning=x": 400, "?type=host&scopes=a+b": 400, "?type=host&metric=" + strings.Repeat("%00", 50): 200} {
		if code, _, body := g.get(c, "/monitors/graph.svg"+path); code != want {
			t.Errorf("graph.svg%s answers %d, want %d: %.200s", path, code, want, body)
		}
	}
}

// What a monitor of anomalies has learned stands on its page, and in the list that it still learns.
func TestWhatAMonitorHasLearned(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	odd := g.monitor(saba.Monitor{Type: saba.MonitorAnomaly, Name: "odd", WarningSensitivity: "normal"})
	for name, tt := range map[string]struct {
		learned []monitor.Learned
		page    []string
		list    bool // it says "learning"
	}{
		"nothing":      {nil, []string{"What is usual", "Nothing is known yet", `<span class="quiet">learning</span>`}, true},
		"too few days": {[]monitor.Learned{{Of: "shop:web", Days: 2, Least: 3}}, []string{"shop:web is learning: 2 of 3 days are known", `<span class="quiet">learning</span>`}, true},
		"one of two roles": {[]monitor.Learned{{Of: "shop:db", Days: 0, Least: 3}, {Of: "shop:web", Known: true, Days: 4, Least: 3, When: "Saturdays 21:50–22:30 over 4 weeks"}},
			[]string{"shop:db is learning: 0 of 3 days are known", "shop:web is judged by Saturdays 21:50–22:30 over 4 weeks"}, false},
		"many": {make([]monitor.Learned, 25), []string{"and 5 more"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g.learned.Store(&tt.learned)
			_, _, body := g.get(c, "/monitors/"+odd.ID)
			contains(t, body, tt.page...)
			_, _, body = g.get(c, "/monitors")
			if strings.Contains(body, ">learning<") != tt.list {
				t.Errorf("the list says that it is learning: %v, want %v", !tt.list, tt.list)
			}
		})
	}
	_, _, body := g.get(c, "/monitors/new?type=anomalyDetection")
	if strings.Contains(body, "What is usual") {
		t.Error("a new monitor has learned something")
	}
}
