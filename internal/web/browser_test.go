package web

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/browsertest"
	"github.com/saba-monitor/saba/internal/chart"
	"github.com/saba-monitor/saba/internal/monitor"
)

// shots is where TestLook puts pictures of every page, for people to look at.
var shots = flag.String("shots", "", "`folder` to put pictures of every page into")

// A tab is a page in a real Chromium that is signed in to the rig.
type tab struct {
	*browsertest.Tab
	t *testing.T
}

func newTab(t *testing.T, g *rig) *tab {
	t.Helper()
	b := &tab{browsertest.New(t, g.server.URL), t}
	b.ExpectTrouble("/nowhere")
	command(b, network.SetCookie, network.SetCookieParams{Name: sessionCookie, Value: g.session(), URL: b.Base, HTTPOnly: new(true)})
	return b
}

// command sends a command of the browser's protocol.
func command[P, R any](b *tab, cmd cdp.Command[P, R], params P) {
	b.t.Helper()
	browsertest.Command(b.Tab, cmd, params)
}

// js evaluates an expression, and waits for it if it is a promise.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	return browsertest.JS[T](b.Tab, expression)
}

// drawn waits until the chart of a graph was drawn.
func (b *tab) drawn(graph string) {
	b.t.Helper()
	b.Until(fmt.Sprintf(`document.querySelector('[data-graph=%q][data-points]') !== null`, graph))
}

// allDrawn scrolls through the page until every chart was drawn.
func (b *tab) allDrawn() {
	b.t.Helper()
	b.Until(`(() => { const next = document.querySelector('[data-graph]:not([data-points]):not([hidden])'); next?.scrollIntoView(); if (!next) scrollTo(0, 0); return !next; })()`)
}

// shoot takes a picture of the whole page when -shots asks for it.
func (b *tab) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	png := b.Screenshot(!strings.Contains(name, "390")) // whole, a phone's page would be too long to look at
	if err := os.WriteFile(filepath.Join(*shots, strings.NewReplacer("/", "-", "?", "-").Replace(name)+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Every page, wide and narrow, light and dark: none is wider than its window, and with -shots
// each leaves a picture.
func TestLook(t *testing.T) {
	g := newRig(t, time.Now)
	main := g.town()
	alert := g.storm(main)
	now := time.Now().Unix() / 60 * 60
	down := g.downtime(saba.Downtime{Name: "Backup of the database", Start: now - 20*60, Duration: 240, Timezone: "Europe/Berlin", Recurrence: &saba.Recurrence{Type: "weekly", Interval: 1, Weekdays: []string{time.Now().Weekday().String()}},
		RoleScopes: []saba.Scope{{Service: "shop", Role: "db"}}, Memo: "The dump holds the disk for hours."})
	g.downtime(saba.Downtime{Name: "New switches", Start: now + 86_400, Duration: 90})
	g.downtime(saba.Downtime{Name: "Move to the new room", Start: now - 30*86_400, Duration: 24 * 60, ServiceScopes: []string{"shop", "mail"}, RoleExcludeScopes: []saba.Scope{{Service: "shop", Role: "queue"}}})
	computed := g.monitor(saba.Monitor{Type: saba.MonitorExpression, Name: "load of the shop", Expression: "avg(role(shop:db, loadavg5))", Operator: ">", Warning: new(2.0), Critical: new(4.0)})
	odd := g.alert(g.monitor(saba.Monitor{Type: saba.MonitorAnomaly, Name: "odd hosts", WarningSensitivity: "normal", CriticalSensitivity: "insensitive", Scopes: []saba.Scope{{Service: "shop", Role: "db"}, {Service: "shop", Role: "queue"}}}),
		main.ID, saba.CheckWarning, "cpu% 87 % is 6.2 deviations above 12 % (median of shop:db, Saturdays 21:50–22:30 over 4 weeks)", 10*time.Minute)
	g.learned.Store(&[]monitor.Learned{{Of: "shop:db", Known: true, Days: 4, Least: 3, When: "Saturdays 21:50–22:30 over 4 weeks"}, {Of: "shop:queue", Days: 2, Least: 3}})
	b := newTab(t, g)
	told := g.tellers()
	host := "/hosts/" + main.ID
	drained := g.drained()
	invited := g.invitation("a.new.colleague.with.a.long.address@example.test", saba.Collaborator)
	g.signedInAs(saba.Viewer)
	viewer := g.idsOf()[saba.Viewer]
	pages := []struct{ name, path string }{
		{"hosts", "/hosts"},
		{"hosts-filtered", "/hosts?q=nothing+has+this+name"},
		{"host", host + "?range=1h"},
		{"host-1d", host + "?range=1d"},
		{"graph", host + "/graphs/cpu?range=6h"},
		{"alerts", "/alerts"},
		{"alerts-closed", "/alerts?closed=1"},
		{"alerts-search", "/alerts?closed=1&service=shop&since=2026-01-01"},
		{"alert", "/alerts/" + alert.ID},
		{"services", "/services"},
		{"service", "/services/shop?range=12h"},
		{"monitors", "/monitors"},
		{"monitors-none", "/monitors?q=nothing+has+this"},
		{"monitor", "/monitors/" + alert.Monitor},
		{"monitor-new", "/monitors/new"},
		{"monitor-external", "/monitors/new?type=external"},
		{"monitor-service", "/monitors/new?type=service"},
		{"monitor-query", "/monitors/new?type=query"},
		{"monitor-anomaly", "/monitors/new?type=anomalyDetection"},
		{"monitor-learned", "/monitors/" + odd.Monitor},
		{"monitor-expression", "/monitors/" + computed.ID},
		{"alert-anomaly", "/alerts/" + odd.ID},
		{"monitor-delete", "/monitors/" + alert.Monitor + "/delete"},
		{"downtimes", "/downtimes"},
		{"downtime", "/downtimes/" + down.ID},
		{"downtime-new", "/downtimes/new"},
		{"channels", "/channels"},
		{"channel", "/channels/" + told.ID},
		{"channel-new", "/channels/new"},
		{"channel-template", "/channels/new?type=template"},
		{"channel-delete", "/channels/" + told.ID + "/delete"},
		{"groups", "/notification-groups"},
		{"group", "/notification-groups/" + g.groups()[1].ID},
		{"group-default", "/notification-groups/" + g.groups()[0].ID},
		{"drains", "/log-drains"},
		{"drain", "/log-drains/" + drained.ID},
		{"drain-new", "/log-drains/new"},
		{"drain-edit", "/log-drains/" + drained.ID + "/edit"},
		{"drain-token", "/log-drains/" + drained.ID + "/token"},
		{"alert-groups", "/alert-groups"},
		{"alert-group-new", "/alert-groups/new"},
		{"keys", "/keys"},
		{"new", "/hosts/new"},
		{"members", "/members"},
		{"authority", "/members/" + viewer + "/authority"},
		{"networks", "/networks"},
		{"join", "/join/" + invited},
		{"retire", host + "/retire"},
		{"lost", "/nowhere"},
	}
	schemes := []string{"light"}
	if *shots != "" { // widths do not depend on it
		schemes = append(schemes, "dark")
	}
	for _, width := range []int64{1440, 390} {
		for _, scheme := range schemes {
			b.Window(width, 1000, scheme)
			for _, p := range pages {
				name := fmt.Sprintf("%s-%d-%s", p.name, width, scheme)
				b.Open(p.path)
				b.allDrawn()
				if scroll := js[int64](b, `document.documentElement.scrollWidth`); scroll > width {
					t.Errorf("%s: the page is %d pixels wide", name, scroll)
				}
				b.shoot(name)
			}
			// What saba has to say of itself stands on every page, the longest text as well.
			trouble := "The disk of /var/lib/saba is nearly full: 312 MiB are free. With less than 128 MiB free no samples are stored. Make room, give saba a larger disk, or let it keep less with --retention-size."
			g.trouble.Store(&trouble)
			b.Open("/services")
			name := fmt.Sprintf("trouble-%d-%s", width, scheme)
			if scroll := js[int64](b, `document.documentElement.scrollWidth`); scroll > width {
				t.Errorf("%s: the page is %d pixels wide", name, scroll)
			}
			b.shoot(name)
			g.trouble.Store(nil)
		}
	}
}

// The scripts write values and axes as the package internal/chart does.
func TestScriptsFormatAsTheServerDoes(t *testing.T) {
	cases, err := os.ReadFile("../chart/testdata/format.json")
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, time.Now)
	b := newTab(t, g)
	b.Open("/hosts")
	module := loadAssets().url("format.js")
	for _, wrong := range js[[]string](b, fmt.Sprintf(`import(%q).then(({format, ticks}) => {
		const wrong = [];
		for (const c of %s) {
			const got = format(c.value, c.unit); // JSON has null for what is no value
			if (got !== c.text) wrong.push(c.value + ' ' + c.unit + ' is ' + got + ', want ' + c.text);
		}
		return wrong;
	})`, module, cases)) {
		t.Error(wrong)
	}
	// Axes: the same ranges through both.
	var calls []string
	var want []string
	for _, u := range saba.Units {
		for _, r := range [][3]float64{{0, 1, 5}, {0, 400, 4}, {0, 17e9, 5}, {0, 0.0004, 6}, {-3, 12, 5}, {0, 95, 4}, {1e6, 1.0001e6, 4}, {0, 250000, 7}, {5, 5, 3}, {0, 3e18, 5}} {
			calls = append(calls, fmt.Sprintf("[%v,%v,%v,%q]", r[0], r[1], r[2], u))
			var texts []string
			for _, tick := range chart.Ticks(r[0], r[1], int(r[2]), u) {
				texts = append(texts, tick.Text)
			}
			want = append(want, strings.Join(texts, " | "))
		}
	}
	got := js[[]string](b, fmt.Sprintf(`import(%q).then(({ticks}) => [%s].map(c => ticks(...c).map(t => t.text).join(' | ')))`, module, strings.Join(calls, ",")))
	for i, w := range want {
		if got[i] != w {
			t.Errorf("ticks(%s) = %q, want %q", calls[i], got[i], w)
		}
	}
}

// A host's page with scripts: ranges, zoom, back, the joined crosshair, the legend.
func TestChartsAnswer(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "web-1", CreatedAt: time.Now().Unix() - day})
	g.fill(h, 7*time.Hour, machine(1, 4, func(m int64) bool { return m%50 == 0 }))
	b := newTab(t, g)
	b.Window(1440, 900, "light")
	b.Open("/hosts/" + h.ID)
	b.allDrawn()
	if n := js[int](b, `Number(document.querySelector('[data-graph="loadavg"]').dataset.points)`); n < 3*58 || n > 3*61 {
		t.Errorf("an hour of three load averages has %d values", n)
	}
	latest, _ := g.samples.Latest(saba.Series{Org: g.org.ID, Host: h.ID, Name: "loadavg1"})
	if last := js[float64](b, `Number(document.querySelector('[data-graph="loadavg"]').dataset.last)`); last != latest.Value {
		t.Errorf("the chart ends at %v, the series at %v", last, latest.Value)
	}

	js[bool](b, `document.querySelector('a[data-range="6h"]').click(), true`)
	b.Until(`location.search === '?range=6h'`)
	b.Until(`Number(document.querySelector('[data-graph="loadavg"]').dataset.points) > 3 * 340`)
	if href := js[string](b, `document.querySelector('[data-graph="cpu"] [data-graph-link]').href`); !strings.HasSuffix(href, "/graphs/cpu?range=6h") {
		t.Errorf("the chart's link did not follow the range: %s", href)
	}

	// Drag over the middle third of the load chart: every chart zooms in.
	box := js[[]float64](b, `(() => { scrollTo(0, 0); document.querySelector('[data-graph="loadavg"]').scrollIntoView({block: 'center'}); const r = document.querySelector('[data-graph="loadavg"] .u-over').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()`)
	at := func(share float64) (x, y float64) { return box[0] + box[2]*share, box[1] + box[3]/2 }
	mouse := func(kind input.DispatchMouseEventType, share float64) {
		t.Helper()
		x, y := at(share)
		p := input.DispatchMouseEventParams{Type: kind, X: x, Y: y}
		if kind != input.DispatchMouseEventTypeMouseMoved {
			p.Button, p.ClickCount = input.MouseButtonLeft, 1
		} else {
			p.Buttons = 1
		}
		command(b, input.DispatchMouseEvent, p)
	}
	mouse(input.DispatchMouseEventTypeMouseMoved, 0.33)
	b.Until(`[...document.querySelectorAll('[data-at]')].filter(a => a.textContent).length === document.querySelectorAll('[data-graph]').length`)
	b.shoot("crosshair")
	mouse(input.DispatchMouseEventTypeMousePressed, 0.33)
	mouse(input.DispatchMouseEventTypeMouseMoved, 0.5)
	mouse(input.DispatchMouseEventTypeMouseMoved, 0.66)
	mouse(input.DispatchMouseEventTypeMouseReleased, 0.66)
	b.Until(`location.search.startsWith('?from=')`)
	span := js[int64](b, `(() => { const q = new URLSearchParams(location.search); return q.get('to') - q.get('from'); })()`)
	if span < 6600 || span > 7600 {
		t.Errorf("a third of six hours is %d s", span)
	}
	b.allDrawn()
	if n := js[int](b, `Number(document.querySelector('[data-graph="loadavg"]').dataset.points)`); n < 3*105 || n > 3*128 {
		t.Errorf("the zoomed chart has %d values", n)
	}
	b.Until(`!document.querySelector('[data-zoom-out]').hidden`)
	js[bool](b, `document.querySelector('[data-zoom-out]').click(), true`)
	b.Until(`location.search === '?range=6h'`)
	b.allDrawn()
	js[bool](b, `history.back(), true`)
	b.Until(`location.search === ''`)
	b.drawn("loadavg")

	// A click in the legend shows one series alone, another shows all.
	b.Until(`document.querySelectorAll('[data-graph="loadavg"] [data-legend] button').length === 3`)
	js[bool](b, `document.querySelectorAll('[data-graph="loadavg"] [data-legend] button')[1].click(), true`)
	b.Until(`Number(document.querySelector('[data-graph="loadavg"]').dataset.points) <= 61`)
	if pressed := js[string](b, `[...document.querySelectorAll('[data-graph="loadavg"] [data-legend] button')].map(b => b.ariaPressed).join()`); pressed != "false,true,false" {
		t.Errorf("after a click the legend is %s", pressed)
	}
	js[bool](b, `document.querySelectorAll('[data-graph="loadavg"] [data-legend] button')[1].click(), true`)
	b.Until(`Number(document.querySelector('[data-graph="loadavg"]').dataset.points) > 61`)

	// Search, keys, and the theme changing under way.
	js[bool](b, `(() => { const i = document.querySelector('[data-chart-search]'); i.value = 'nvme0n1 writes'; i.dispatchEvent(new Event('input')); return true; })()`)
	if shown := js[string](b, `[...document.querySelectorAll('[data-graph]:not([hidden])')].map(f => f.dataset.graph).join()`); shown != "disk" {
		t.Errorf("the search shows %s, want disk", shown)
	}
	js[bool](b, `(() => { const i = document.querySelector('[data-chart-search]'); i.value = ''; i.dispatchEvent(new Event('input')); return true; })()`)
	js[bool](b, `document.querySelector('[data-graph="loadavg"] [data-plot]').focus(), true`)
	// Charts that come into view again are drawn anew, perhaps right behind a key: then the next one counts.
	for press := 0; js[string](b, `document.querySelector('[data-graph="cpu"] [data-at]').textContent`) == ""; press++ {
		if press == 500 {
			t.Fatal("the left arrow moves no crosshair")
		}
		b.Do(chromedp.KeyEvent(kb.ArrowLeft))
	}
	swatch := `document.querySelector('[data-graph="loadavg"] .swatch').firstChild.getAttribute('fill')`
	light := js[string](b, swatch)
	b.Window(1440, 900, "dark")
	b.Until(fmt.Sprintf(`%s !== %q`, swatch, light))

	// An absolute range through the form.
	js[bool](b, `(() => { const f = document.querySelector('[data-range-form]'); f.closest('details').open = true; const local = s => new Date(Date.now() - s * 1000 - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 16); f.elements.from.value = local(7200); f.elements.to.value = local(3600); f.requestSubmit(); return true; })()`)
	b.Until(`location.search.startsWith('?from=')`)
	b.allDrawn()
	if n := js[int](b, `Number(document.querySelector('[data-graph="loadavg"]').dataset.points)`); n < 3*56 || n > 3*62 {
		t.Errorf("the absolute hour has %d values", n)
	}
}

// The host list turns up its first host, and a stranger's way in is the login page.
func TestHostListFillsByItself(t *testing.T) {
	g := newRig(t, time.Now)
	b := newTab(t, g)
	b.Open("/hosts")
	b.Until(`document.body.innerText.includes('No hosts yet')`)
	b.shoot("empty")
	g.host(saba.Host{Name: "fresh"})
	b.Until(`document.querySelector('a[data-host-link]')?.textContent === 'fresh'`)
	js[bool](b, `document.querySelector('.account summary').click(), true`)
	b.shoot("account")
	b.Do(chromedp.Submit(chromedp.CSS(`form[action="/logout"]`)), chromedp.WaitVisible(chromedp.CSS(`input[name="password"]`)))
	b.shoot("login")
}

// First data appears by itself, and so does a graph that was not there before.
func TestChartsAppearByThemselves(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "fresh"})
	b := newTab(t, g)
	b.Open("/hosts/" + h.ID)
	b.Until(`document.body.innerText.includes('Waiting for the first samples')`)
	g.fill(h, 0, map[string]func(int64) float64{"loadavg1": func(int64) float64 { return 1.25 }})
	b.drawn("loadavg")
	if last := js[string](b, `document.querySelector('[data-graph="loadavg"]').dataset.last`); last != "1.25" {
		t.Errorf("the first sample is drawn as %s", last)
	}
	g.fill(h, 0, map[string]func(int64) float64{"custom.procs.all": func(int64) float64 { return 120 }})
	b.drawn("custom.procs")
}

// What strangers write is text: in pages, in charts, in pictures.
func TestStrangersTextStaysText(t *testing.T) {
	g := newRig(t, time.Now)
	evil := `<img src=x onerror=document.title='owned'><script>document.title='owned'</script>`
	h := g.host(saba.Host{Name: evil, DisplayName: evil + "'\"", Memo: evil, CustomIdentifier: evil, Interfaces: []saba.Interface{{Name: evil, IPv4: []string{evil}}},
		Meta: json.RawMessage(`{"agent-name":"` + strings.ReplaceAll(evil, `"`, ``) + `","cpu":[{"model_name":"<b>cpu</b>"}]}`)})
	if err := g.records.PutGraphDefs(t.Context(), g.org.ID, []saba.GraphDef{{Name: "custom.evil", DisplayName: evil, Unit: saba.UnitFloat, Metrics: []saba.GraphDefMetric{{Name: "custom.evil.x", DisplayName: evil}}}}); err != nil {
		t.Fatal(err)
	}
	if err := g.records.ReportChecks(t.Context(), g.org.ID, []saba.CheckReport{{Host: h.ID, Name: evil, Status: saba.CheckCritical, Message: evil, OccurredAt: g.now().Unix()}}, newID); err != nil {
		t.Fatal(err)
	}
	g.fill(h, 10*time.Minute, map[string]func(int64) float64{"custom.evil.x": wave(1, 0, 5)})
	open, err := g.records.Alerts(t.Context(), g.org.ID, saba.AlertPage{Limit: 10})
	if err != nil || len(open) != 1 {
		t.Fatalf("open are %v, %v", open, err)
	}
	b := newTab(t, g)
	for _, path := range []string{"/alerts", "/alerts/" + open[0].ID, "/hosts", "/hosts?q=%3Cscript%3Edocument.title='owned'%3C/script%3E", "/hosts/" + h.ID, "/hosts/" + h.ID + "/graphs/custom.evil", "/hosts/" + h.ID + "/retire"} {
		b.Open(path)
		b.allDrawn()
		if got := js[string](b, `document.title`); strings.Contains(got, "owned") && !strings.Contains(got, "<") {
			t.Errorf("%s ran a stranger's script", path)
		}
		if n := js[int](b, `document.querySelectorAll('main img, main script, main b').length`); n != 0 {
			t.Errorf("%s has %d elements of a stranger's", path, n)
		}
	}
	b.Open("/hosts/" + h.ID)
	b.allDrawn()
	if label := js[string](b, `document.querySelector('[data-graph="custom.evil"] .label').textContent`); label != evil {
		t.Errorf("the legend says %q, want the text as it is", label)
	}
	resp, err := g.signedIn().Get(g.server.URL + "/hosts/" + h.ID + "/graphs/custom.evil.svg")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, body := g.read(resp); strings.Contains(body, "<script") || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the picture may run a script: %s\n%.300s", resp.Header.Get("Content-Security-Policy"), body)
	}
}

// Without scripts a page is whole: links, forms, and charts as pictures.
func TestWithoutScripts(t *testing.T) {
	g := newRig(t, time.Now)
	main := g.town()
	b := newTab(t, g)
	command(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	for _, width := range []int64{1440, 390} {
		for _, scheme := range []string{"light", "dark"} {
			b.Window(width, 1000, scheme)
			b.Open("/hosts/" + main.ID + "?range=6h")
			b.Do(chromedp.WaitVisible(chromedp.CSS(`[data-graph="loadavg"] img[src*="range=6h"]`)))
			b.shoot(fmt.Sprintf("noscript-%d-%s", width, scheme))
		}
	}
	b.Do(
		chromedp.Click(chromedp.CSS(`a[data-range="3d"]`)), chromedp.WaitVisible(chromedp.CSS(`[data-graph="cpu"] img[src*="range=3d"]`)),
		chromedp.Click(chromedp.CSS(`.absolute summary`)), chromedp.Click(chromedp.CSS(`.absolute button`)), chromedp.WaitVisible(chromedp.CSS(`[data-graph="cpu"] img[src*="from="]`)),
		chromedp.Click(chromedp.CSS(`[data-graph="cpu"] a img`)), chromedp.WaitVisible(chromedp.CSS(`.numbers table`)),
		chromedp.Navigate(b.Base+"/hosts"), chromedp.SendKeys(chromedp.CSS(`input[name="q"]`), "front door"), chromedp.Submit(chromedp.CSS(`input[name="q"]`)),
		chromedp.WaitVisible(chromedp.CSS(`.clear`)), chromedp.Click(chromedp.CSS(`a[data-host-link]`)), chromedp.WaitVisible(chromedp.CSS(`.facts`)),
	)
}

// "Add a host" becomes the page of the host that its key registered.
func TestAddAHostBecomesItsPage(t *testing.T) {
	g := newRig(t, time.Now)
	b := newTab(t, g)
	b.Open("/hosts/new")
	b.Do(chromedp.Submit(chromedp.CSS(`main form`)), chromedp.WaitVisible(chromedp.CSS(`[data-agent-config]`)))
	b.shoot("new-made")
	keys, err := g.records.Keys(t.Context(), g.org.ID)
	if err != nil || len(keys) != 1 {
		t.Fatalf("the keys are %v, %v", keys, err)
	}
	h := g.host(saba.Host{Name: "fresh", RegisteredBy: keys[0].ID})
	b.Until(fmt.Sprintf(`location.pathname === "/hosts/%s"`, h.ID))
}
