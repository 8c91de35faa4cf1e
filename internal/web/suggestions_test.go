package web

import (
	"context"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
	"github.com/saba-monitor/saba/internal/promapi"
	"github.com/saba-monitor/saba/internal/replay"
)

// spoken are metrics of what Heroku and Sidekiq say: their values when all is well, and when it is not.
var spoken = map[string][2]float64{
	"router.requests": {100, 100}, "access_num.5xx_count": {0, 7}, "error_access_rate.5xx_percentage": {0.2, 7}, "router.errors.H27": {3, 3}, "router.service.p95": {80, 9000}, "router.service.p99": {300, 20_000},
	"load_avg_1m.web.1": {0.2, 3}, "memory_rss.web.1": {100 << 20, 505 << 20}, "memory_rss.web.2": {400 << 20, 400 << 20}, "memory_quota.web.1": {512 << 20, 512 << 20}, "memory_quota.web.2": {512 << 20, 512 << 20},
	"connections-percentage-used.DATABASE": {40, 95}, "waiting-connections.DATABASE": {0, 4}, "table-cache-hit-rate.DATABASE": {0.99, 0.7}, "index-cache-hit-rate.DATABASE": {1, 0.7},
	"db-size-percentage-used.DATABASE": {20, 85}, "wal-percentage-used.DATABASE": {1, 80}, "iops-percentage-used.DATABASE": {5, 97}, "active-connections.DATABASE": {18, 19}, "db_size.DATABASE": {1e9, 2e9},
	"client_waiting.pgbouncer": {0, 12}, "connection-percentage-used.REDIS": {10, 85}, "memory-percentage-used.REDIS": {30, 92}, "memory-redis.REDIS": {1e6, 2e6}, "hit-rate.REDIS": {0.95, 0.2},
	"sidekiq.default.latency": {0.2, 31}, "sidekiq.default.size": {0, 900},
}

// Every suggested monitor is silent while all is well, and speaks of what it is for: replayed over what the engine has kept.
func TestSuggestedMonitorsSpeak(t *testing.T) {
	g := newRig(t, time.Now)
	end := saba.Minute(g.now().Unix()) / 60
	replayer := replay.New(replay.Options{Store: g.records, History: g.samples, Queries: promapi.NewQueries(g.records, g.samples), Zone: time.UTC, Now: g.now})
	// Three services: all is well, all is wrong since an hour ago, and nothing has been heard for an hour.
	fill := map[string]func(v [2]float64) func(int64) float64{
		"well": func(v [2]float64) func(int64) float64 { return func(int64) float64 { return v[0] } },
		"ill": func(v [2]float64) func(int64) float64 {
			return func(m int64) float64 {
				if m > end-60 {
					return v[1]
				}
				return v[0]
			}
		},
		"silent": func(v [2]float64) func(int64) float64 {
			return func(m int64) float64 {
				if m > end-60 {
					return math.NaN()
				}
				return v[0]
			}
		},
	}
	opened := map[string][]string{}
	var all []string
	for service, of := range fill {
		g.service(service)
		var names []string
		metrics := map[string]func(int64) float64{}
		for name, v := range spoken {
			names = append(names, name)
			metrics[name] = of(v)
		}
		if service == "ill" { // a code is counted where it happens, and nowhere else
			for _, name := range []string{"router.errors.H12", "dyno.errors.R14", "logplex.lost.L10"} {
				metrics[name] = of([2]float64{math.NaN(), 2})
			}
		}
		g.fillSeries(saba.Series{Org: g.org.ID, Service: service}, 3*time.Hour, metrics)
		all = nil
		suggested := logline.Suggest(&saba.Drain{Service: service}, names)
		suggested = append(suggested, logline.Suggest(&saba.Drain{Service: service}, []string{"router.requests", "access_num.5xx_count"})[0])
		for _, s := range suggested {
			key, _, _ := strings.Cut(s.Key, " ")
			all = append(all, key)
			if s.Monitor.Type == saba.MonitorQuery {
				if err := promapi.CheckQuery(s.Monitor.Query); err != nil {
					t.Errorf("the query of %s: %v", key, err)
				}
			}
			was, err := replayer.Replay(t.Context(), g.org.ID, s.Monitor, 1)
			if err != nil {
				t.Fatalf("replay %s of %s: %v", key, service, err)
			}
			if len(was.Alerts) > 0 {
				opened[service] = append(opened[service], key)
			}
			if len(was.Alerts) > 1 {
				t.Errorf("%s of %s opens %d alerts of one trouble", key, service, len(was.Alerts))
			}
		}
	}
	silences := slices.DeleteFunc(slices.Clone(all), func(key string) bool { return !strings.HasSuffix(key, ".silent") })
	values := slices.DeleteFunc(slices.Clone(all), func(key string) bool { return strings.HasSuffix(key, ".silent") })
	if len(all) != 25 || len(silences) != 5 {
		t.Fatalf("suggested are %q: the metrics of this test do not have all of the table", all)
	}
	for service, want := range map[string][]string{"well": nil, "ill": values, "silent": silences} {
		if got := opened[service]; !slices.Equal(got, want) {
			t.Errorf("where all is %s, alerts open of\n%q, want\n%q", service, got, want)
		}
	}
}

// A suggestion is looked at, made, or dismissed for good, without scripts.
func TestSuggestionsOfADrain(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	d, _ := g.drain(saba.Drain{Name: "app", Service: "shop"})
	other, _ := g.drain(saba.Drain{Name: "app", Service: "mail", Prefix: "x"})
	page := "/log-drains/" + d.ID
	if _, _, body := g.get(c, page); strings.Contains(body, "Suggested monitors") {
		t.Error("something is suggested before anything came")
	}
	g.fillSeries(saba.Series{Org: g.org.ID, Service: "shop"}, 5*time.Minute, map[string]func(int64) float64{
		"sidekiq.default.latency": wave(1, 0, 9), "sidekiq.default.size": wave(1, 0, 9), "hit-rate.REDIS": wave(2, .8, 1), "memory-redis.REDIS": wave(2, 1e6, 2e6)})
	_, _, body := g.get(c, page)
	contains(t, body, `Suggested monitors <span class="n">4</span>`, "shop: sidekiq.default waits", "sidekiq.default.latency", `<details class="card">`, "Make all of them")
	_, _, body = g.get(c, "/services/shop")
	contains(t, body, `Suggested monitors <span class="n">4</span>`, `<details class="card">`)
	viewer := g.signedInAs(saba.Viewer)
	for _, path := range []string{page, "/services/shop"} {
		if _, _, body := g.get(viewer, path); strings.Contains(body, "Suggested") {
			t.Errorf("%s suggests to a viewer what they cannot make", path)
		}
	}
	if code, _, _ := g.post(viewer, page+"/suggestions", url.Values{"do": {"all"}}); code != 403 || g.monitors() != 0 {
		t.Errorf("a viewer makes monitors: %d", code)
	}

	// Looked at first: the form has it, and it is kept when the form is sent.
	form := "/monitors/new?" + url.Values{"drain": {d.ID}, "suggestion": {"queue.latency sidekiq.default"}, "type": {"service"}}.Encode()
	contains(t, body, strings.NewReplacer("&", "&amp;", "+", "&#43;").Replace(form))
	code, _, body := g.get(c, form)
	if code != 200 {
		t.Fatalf("the form of a suggestion answered %d", code)
	}
	contains(t, body, `value="sidekiq.default.latency"`, `value="30"`, `action="/monitors/new?type=service"`, "The oldest job has waited", "Would it have fired?")
	if n := g.monitors(); n != 0 {
		t.Errorf("looking at a suggestion has made %d monitors", n)
	}

	post := func(do, key, back string) (int, string, string) {
		t.Helper()
		return g.post(c, page+"/suggestions", url.Values{"do": {do}, "key": {key}, "back": {back}})
	}
	code, at, body := post("make", "queue.latency sidekiq.default", "")
	if code != 200 || at != page+"?made=1" || g.monitors() != 1 {
		t.Errorf("making one ended with %d at %s and %d monitors", code, at, g.monitors())
	}
	contains(t, body, "The monitor was made", `Suggested monitors <span class="n">3</span>`, `<details class="card" open>`)
	if _, at, _ := post("make", "queue.latency sidekiq.default", ""); at != page+"?made=0" || g.monitors() != 1 {
		t.Errorf("making it again ended at %s with %d monitors", at, g.monitors())
	}
	_, at, body = post("dismiss", "redis.hits REDIS", "service")
	if at != "/services/shop" || !slices.Equal(g.readDrain(d.ID).Dismissed, []string{"redis.hits REDIS"}) {
		t.Errorf("dismissing ended at %s, dismissed are %q", at, g.readDrain(d.ID).Dismissed)
	}
	contains(t, body, `Suggested monitors <span class="n">2</span>`, "1 dismissed suggestion")
	// Saving the drain keeps what is dismissed, and making all leaves it alone.
	if code, _, _ := g.post(c, page+"/edit", url.Values{"name": {"renamed"}, "service": {"shop"}}); code != 200 || len(g.readDrain(d.ID).Dismissed) != 1 {
		t.Errorf("saving answered %d, dismissed are %q", code, g.readDrain(d.ID).Dismissed)
	}
	if _, at, _ := post("all", "", ""); at != page+"?made=2" || g.monitors() != 3 {
		t.Errorf("making all ended at %s with %d monitors", at, g.monitors())
	}
	_, _, body = g.get(c, page)
	if strings.Contains(body, "Suggested monitors") || !strings.Contains(body, "1 dismissed suggestion") {
		t.Error("what is there or dismissed is suggested again")
	}
	if _, at, body := post("restore", "", ""); at != page || !strings.Contains(body, `Suggested monitors <span class="n">1</span>`) {
		t.Errorf("offering again ended at %s", at)
	}
	for _, tt := range []struct {
		path, do, key string
		code          int
	}{
		{page, "make", "router.5xx", 404}, {page, "dismiss", "nothing", 404}, {page, "sing", "", 400}, {"/log-drains/none", "all", "", 404},
		{"/log-drains/" + other.ID, "make", "redis.hits REDIS", 404},
	} {
		if code, _, _ := g.post(c, tt.path+"/suggestions", url.Values{"do": {tt.do}, "key": {tt.key}}); code != tt.code {
			t.Errorf("%s %q on %s answered %d, want %d", tt.do, tt.key, tt.path, code, tt.code)
		}
	}
	for path, code := range map[string]int{"/monitors/new?drain=none&suggestion=x": 404, "/monitors/new?drain=" + d.ID + "&suggestion=x": 404} {
		if got, _, _ := g.get(c, path); got != code {
			t.Errorf("GET %s answered %d, want %d", path, got, code)
		}
	}
	if g.monitors() != 3 || len(g.readDrain(d.ID).Dismissed) > 0 {
		t.Errorf("what was refused has left %d monitors and %q", g.monitors(), g.readDrain(d.ID).Dismissed)
	}
}

// monitors returns how many monitors of metrics there are.
func (g *rig) monitors() int {
	g.t.Helper()
	all, err := g.records.Monitors(context.Background(), g.org.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	return len(slices.DeleteFunc(all, func(m saba.Monitor) bool { return m.Type == saba.MonitorConnectivity }))
}

// What Heroku says for a minute is suggested monitors in the next, and a click leads to one of them.
func TestSuggestionsInTheBrowser(t *testing.T) {
	g := newRig(t, time.Now)
	d, token := g.drain(saba.Drain{Name: "app", Service: "shop"})
	g.sendAll(token, herokuLines(g.now().Add(-3*time.Minute))...)
	g.drains.Round(t.Context())
	b := newTab(t, g)
	b.Open("/log-drains/" + d.ID)
	for _, name := range []string{"requests that failed (5xx)", "requests that the router could not serve", "memory of dynos", "connections of DATABASE", "connections of REDIS", "sidekiq.default waits", "sidekiq.mailers waits"} {
		if !js[bool](b, `document.querySelector('#suggestions').textContent.includes(`+"`"+name+"`"+`)`) {
			t.Errorf("%s is not suggested", name)
		}
	}
	b.Do(chromedp.Click(chromedp.CSS(`#suggestions summary`)), chromedp.Click(chromedp.CSS(`#suggestions a[href*="queue.latency"]`)), chromedp.WaitVisible(chromedp.CSS(`form.declared`)), chromedp.Click(chromedp.CSS(`form.declared button[value="save"]`)))
	b.Until(`location.search === '?saved=1'`)
	b.Open("/services/shop")
	b.Do(chromedp.Click(chromedp.CSS(`#suggestions summary`)), chromedp.Click(chromedp.CSS(`#suggestions button[value="make"]`)))
	b.Until(`location.search === '?made=1'`)
	if n := g.monitors(); n != 2 {
		t.Errorf("there are %d monitors, want the one of the form and the one of the button", n)
	}
}
