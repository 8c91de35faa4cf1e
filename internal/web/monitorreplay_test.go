package web

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
)

// busyRule is the form of a monitor of loadavg5.
func busyRule(warning string, more url.Values) url.Values {
	f := url.Values{"name": {"busy"}, "metric": {"loadavg5"}, "operator": {">"}, "warning": {warning}, "duration": {"1"}, "maxCheckAttempts": {"1"}, "do": {"replay"}, "days": {"1"}}
	for name, values := range more {
		f[name] = values
	}
	return f
}

func TestAFormSaysWhatWouldHaveFired(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	h := g.host(saba.Host{Name: "web-1"})
	g.fill(h, 29*time.Minute, map[string]func(int64) float64{"loadavg5": func(minute int64) float64 { return float64(minute % 10) }})
	if err := g.records.CreateChannel(t.Context(), g.org.ID, saba.Channel{ID: "ops", Name: "ops", Type: saba.ChannelWebhook, URL: "https://hooks.example.test/", Events: []string{"alert"}}, true); err != nil {
		t.Fatal(err)
	}
	code, _, body := g.post(c, "/monitors/new?type=host", busyRule("8.5", nil))
	if code != http.StatusOK {
		t.Fatalf("the replay answers %d: %.300s", code, body)
	}
	contains(t, body, "Would it have fired?", "It would have fired 3 times in 1 day.", "loadavg5 9 &gt; 8.5", `href="/hosts/`+h.ID+`?from=`, "Messages: ops ", "The last day, with the alerts that there would have been.", `value="8.5"`, `<option value="1" selected>`)
	image := regexp.MustCompile(`<img src="(/monitors/graph.svg[^"]+)"`).FindStringSubmatch(body)
	if image == nil {
		t.Fatal("the form has no graph")
	}
	code, _, svg := g.get(c, html.UnescapeString(image[1]))
	if n := strings.Count(svg, "band warn"); code != http.StatusOK || n < 4 { // that of the threshold, and of three alerts
		t.Errorf("the graph answers %d with %d bands: %.300s", code, n, svg)
	}
	link := regexp.MustCompile(`href="(/hosts/[^"]+from=[^"]+)"`).FindStringSubmatch(body)
	if code, _, _ := g.get(c, html.UnescapeString(link[1])); code != http.StatusOK {
		t.Errorf("the link of an alert answers %d", code)
	}
	for name, want := range map[string]struct {
		form url.Values
		code int
		has  string
	}{
		"nothing":                 {busyRule("99", nil), 200, "It would not have fired in 1 day."},
		"a wrong field":           {busyRule("much", nil), 400, "This is not saved yet"},
		"days that are no choice": {busyRule("8", url.Values{"days": {"31"}}), 400, "A replay looks back 1, 7 or 30 days."},
	} {
		if code, _, body := g.post(c, "/monitors/new?type=host", want.form); code != want.code || !strings.Contains(body, want.has) {
			t.Errorf("%s: %d, want %d saying %q", name, code, want.code, want.has)
		}
	}
	anomaly := url.Values{"name": {"odd"}, "warningSensitivity": {"normal"}, "maxCheckAttempts": {"3"}, "do": {"replay"}, "days": {"7"}}
	if code, _, body := g.post(c, "/monitors/new?type=anomalyDetection", anomaly); code != http.StatusOK || !strings.Contains(body, "It would not have fired in 7 days.") {
		t.Errorf("a monitor of anomalies answers %d without its replay", code)
	}
	external := url.Values{"name": {"site"}, "url": {"https://shop.example.test/"}, "method": {"GET"}, "maxCheckAttempts": {"1"}, "do": {"replay"}, "days": {"7"}}
	if code, _, body := g.post(c, "/monitors/new?type=external", external); code != http.StatusOK || !strings.Contains(body, "only the response time can be replayed") {
		t.Errorf("what cannot be replayed answers %d without saying so", code)
	}
	if all, err := g.records.Monitors(t.Context(), g.org.ID); err != nil || len(all) != 1 { // that of connectivity
		t.Errorf("a replay saved a monitor: %v, %v", all, err)
	}
	for query, want := range map[string]int{"span=7&warned=1-2": 200, "span=2": 400, "span=x": 400, "warned=1": 400, "alarmed=a-b": 400, "alarmed=9223372036854775807-0": 200} {
		if code, _, _ := g.get(c, "/monitors/graph.svg?type=host&metric=loadavg5&"+query); code != want {
			t.Errorf("the graph with %s answers %d, want %d", query, code, want)
		}
	}
}

func TestAReplayInTheBrowser(t *testing.T) {
	g := newRig(t, time.Now)
	g.fill(g.host(saba.Host{Name: "web-1"}), 5*time.Minute, map[string]func(int64) float64{"loadavg5": func(int64) float64 { return 9 }})
	b := newTab(t, g)
	b.Open("/monitors/new?type=host")
	b.Do(chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), "busy"), chromedp.SendKeys(chromedp.CSS(`input[name="metric"]`), "loadavg5"), chromedp.SendKeys(chromedp.CSS(`input[name="warning"]`), "4.5"))
	b.Do(chromedp.Click(chromedp.CSS(`button[value="replay"]`)))
	b.Until(`document.querySelector('[data-swap="beside"]').innerText.includes('It would have fired 1 time in 7 days.')`)
	// What is typed afterwards makes it say nothing of the rule that is no more.
	b.Do(chromedp.SendKeys(chromedp.CSS(`input[name="warning"]`), "1"))
	b.Until(`!document.querySelector('[data-swap="beside"]').innerText.includes('It would have fired')`)
}
