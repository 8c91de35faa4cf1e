package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
)

// service makes a service, if there is none of the name.
func (g *rig) service(name string) {
	g.t.Helper()
	if err := g.records.CreateService(context.Background(), g.org.ID, saba.Service{Name: name}); err != nil && !errors.Is(err, saba.ErrConflict) && !errors.Is(err, saba.ErrInvalid) {
		g.t.Fatal(err)
	}
}

// drain keeps a drain and returns it with its token.
func (g *rig) drain(d saba.Drain) (saba.Drain, string) {
	g.t.Helper()
	g.service(d.Service)
	d.ID, d.CreatedAt = g.id(), g.now().Unix()
	if err := d.Check(); err != nil {
		g.t.Fatal(err)
	}
	token := "saba_drain-" + d.ID
	if err := g.records.CreateDrain(context.Background(), g.org.ID, d, saba.HashSecret(token)); err != nil {
		g.t.Fatal(err)
	}
	return d, token
}

func (g *rig) readDrain(id string) saba.Drain {
	g.t.Helper()
	d, err := g.records.Drain(context.Background(), g.org.ID, id)
	if err != nil {
		g.t.Fatal(err)
	}
	return d
}

// A said is a line of a process at a time.
type said struct {
	at   time.Time
	from string // "app web.1"
	text string
}

// send posts lines to a drain as Logplex does, and returns the status of the answer.
func (g *rig) send(token string, lines ...said) int {
	g.t.Helper()
	var body strings.Builder
	for _, l := range lines {
		message := "<190>1 " + l.at.Format(time.RFC3339Nano) + " host " + l.from + " - " + l.text + "\n"
		fmt.Fprintf(&body, "%d %s", len(message), message)
	}
	r := httptest.NewRequest(http.MethodPost, "/drains/"+token, strings.NewReader(body.String()))
	r.Header.Set("Content-Type", "application/logplex-1")
	w := httptest.NewRecorder()
	g.drains.ServeHTTP(w, r)
	return w.Code
}

// sendAll is send, of a token that has to be good.
func (g *rig) sendAll(token string, lines ...said) {
	g.t.Helper()
	if code := g.send(token, lines...); code != http.StatusNoContent {
		g.t.Fatalf("the drain answered %d", code)
	}
}

// herokuLines are what an application on Heroku says in a minute.
func herokuLines(at time.Time) (lines []said) {
	for i := range 40 {
		status, extra := 200+i%3, ""
		if i%13 == 0 {
			status, extra = 503, `code=H12 desc="Request timeout" `
		}
		lines = append(lines, said{at.Add(time.Duration(i) * time.Second), "heroku router",
			fmt.Sprintf(`at=info %smethod=GET path="/orders/%d?token=opensesame" host=shop.example.com request_id=%d fwd="192.0.2.%d" dyno=web.%d connect=1ms service=%dms status=%d bytes=%d protocol=https`, extra, i, i, i, 1+i%2, 12+i*i, status, 900+i)})
	}
	for i := range 2 {
		source := fmt.Sprintf("source=web.%d dyno=heroku.1.2 ", i+1)
		lines = append(lines,
			said{at.Add(20 * time.Second), fmt.Sprintf("heroku web.%d", i+1), source + "sample#load_avg_1m=0.42 sample#load_avg_5m=0.30"},
			said{at.Add(20 * time.Second), fmt.Sprintf("heroku web.%d", i+1), source + "sample#memory_total=480.12MB sample#memory_rss=470.40MB sample#memory_quota=512.00MB"})
	}
	return append(lines,
		said{at.Add(30 * time.Second), "app heroku-postgres", "source=DATABASE addon=postgresql-x-1 sample#db_size=9437184bytes sample#active-connections=18 sample#waiting-connections=0 sample#max-connections=20 sample#connections-percentage-used=0.9 sample#table-cache-hit-rate=0.97 sample#index-cache-hit-rate=0.99"},
		said{at.Add(31 * time.Second), "app heroku-redis", "source=REDIS addon=redis-x-1 sample#active-connections=4 sample#connection-percentage-used=0.2 sample#hit-rate=0.91 sample#memory-redis=507704bytes"},
		said{at.Add(32 * time.Second), "app web.1", "sample#sidekiq.default.size=3 sample#sidekiq.default.latency=12.5 sample#sidekiq.mailers.size=0 sample#sidekiq.mailers.latency=0.0"},
		said{at.Add(33 * time.Second), "app web.1", "User opensesame@example.com <b>signed in</b> 鯖 measure#login.time=40ms"},
		said{at.Add(34 * time.Second), "app web.1", "sample#queue.size=opensesame"},
		said{at.Add(-50 * time.Hour), "app worker.1", "count#jobs.done"},
	)
}

// A drain is made on the console alone: its token is shown once, with commands that work; it is changed, given another token and taken away.
func TestADrainsLife(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	g.service("shop")
	_, _, body := g.get(c, "/log-drains")
	contains(t, body, "No log drains yet", `href="/log-drains/new"`)
	_, _, body = g.get(c, "/services/shop")
	contains(t, body, `href="/log-drains/new?service=shop"`)
	_, _, body = g.get(c, "/log-drains/new?service=shop")
	contains(t, body, `<option value="shop" selected>`)

	code, at, body := g.post(c, "/log-drains/new", url.Values{"name": {"shop on Heroku"}, "service": {"shop"}, "prefix": {"heroku"}})
	found := regexp.MustCompile(`<pre data-secret tabindex="0">([^<]+)</pre>`).FindStringSubmatch(body)
	if code != 200 || at != "/log-drains/new" || found == nil {
		t.Fatalf("making a drain answered %d at %s, without a token:\n%s", code, at, body)
	}
	token := found[1]
	contains(t, body, "shown this once", "heroku drains:add "+g.server.URL+"/drains/"+token, "only works on this machine",
		"logger -n 127.0.0.1 -P 5514", `token=\&#34;`+token+`\&#34;] %msg%\n&#34;)`, "OTEL_EXPORTER_OTLP_ENDPOINT="+g.server.URL+"/drains/"+token)
	drains, err := g.records.Drains(t.Context(), g.org.ID)
	if err != nil || len(drains) != 1 {
		t.Fatal(drains, err)
	}
	d := drains[0]
	if want := (saba.Drain{ID: d.ID, Name: "shop on Heroku", Service: "shop", Prefix: "heroku", CreatedAt: d.CreatedAt}); !reflect.DeepEqual(d, want) || d.CreatedAt == 0 {
		t.Errorf("it is %+v, want %+v", d, want)
	}
	page := "/log-drains/" + d.ID
	_, _, body = g.get(c, page)
	contains(t, body, "No line came yet", "/drains/TOKEN", "Nothing was refused", "None of the platforms")
	if strings.Contains(body, token) {
		t.Error("the token is shown a second time")
	}

	now := g.now()
	g.sendAll(token, herokuLines(now)...)
	_, _, body = g.get(c, page)
	contains(t, body, "The last line came ", "Heroku router", "Heroku Postgres", "Refused: not a number", "Refused: too old", "sample#queue.size=opensesame",
		"User opensesame@example.com &lt;b&gt;signed in&lt;/b&gt; 鯖", "app/web.1", `<svg viewBox="0 0 600 100"`)
	_, _, body = g.get(c, "/log-drains")
	contains(t, body, "shop on Heroku", `href="/services/shop"`, "Heroku Redis", `1 <span class="not">not a number</span>`, "Counted since the server started")
	_, _, body = g.get(c, "/services/shop")
	contains(t, body, `<a href="`+page+`">log drain shop on Heroku</a>`)

	code, at, body = g.post(c, page+"/edit", url.Values{"name": {"shop"}, "service": {"none"}})
	if code != 400 || !strings.Contains(body, "This is not saved yet") {
		t.Errorf("a service that is not there answered %d at %s:\n%s", code, at, body)
	}
	code, at, body = g.post(c, page+"/edit", url.Values{"name": {"shop"}, "service": {"shop"}, "sourcePrefix": {"eu"}})
	if is := g.readDrain(d.ID); code != 200 || at != page+"?saved=1" || is.Name != "shop" || is.Prefix != "" || is.SourcePrefix != "eu" || is.CreatedAt != d.CreatedAt {
		t.Errorf("saving ended with %d at %s, it is %+v", code, at, is)
	}
	contains(t, body, "Saved.")

	_, _, body = g.get(c, page+"/token")
	contains(t, body, "refused at once", `action="`+page+`/token"`)
	_, _, body = g.post(c, page+"/token", nil)
	again := regexp.MustCompile(`<pre data-secret tabindex="0">([^<]+)</pre>`).FindStringSubmatch(body)
	if again == nil || again[1] == token {
		t.Fatalf("a new token is not shown:\n%s", body)
	}
	line := said{now, "app web.1", "count#x"}
	if code := g.send(token, line); code != http.StatusUnauthorized {
		t.Errorf("the token of before answered %d", code)
	}
	g.sendAll(again[1], line)

	_, _, body = g.get(c, page+"/delete")
	contains(t, body, "Its last line came", "stays with the service shop")
	if code, at, _ := g.post(c, page+"/delete", nil); code != 200 || at != "/log-drains" {
		t.Errorf("deleting ended with %d at %s", code, at)
	}
	if code := g.send(again[1], line); code != http.StatusUnauthorized {
		t.Errorf("a drain that is gone answered %d", code)
	}
	if code, _, body := g.get(c, page); code != 404 || !strings.Contains(body, "no such drain") {
		t.Errorf("its page answered %d", code)
	}
}

// What lines say is shown to those who may change something, and to nobody else.
func TestViewersSeeNoLines(t *testing.T) {
	g := newRig(t, time.Now)
	g.session()
	d, token := g.drain(saba.Drain{Name: "app", Service: "shop"})
	g.sendAll(token, herokuLines(g.now().Add(-time.Minute))...)
	c := g.signedInAs(saba.Viewer)
	page := "/log-drains/" + d.ID
	for _, path := range []string{"/log-drains", page, page + "/graphs.json", "/services/shop"} {
		code, _, body := g.get(c, path)
		if code != 200 {
			t.Errorf("GET %s answered a viewer %d", path, code)
		}
		for _, secret := range []string{"opensesame", token, "/drains/TOKEN", `method="post" action="/log-drains`, "/edit", "/delete", "log-drains/new", "/token"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s shows %q to viewers:\n%s", path, secret, body)
			}
		}
	}
	_, _, body := g.get(c, page)
	contains(t, body, "shown to members who may change something", "Refused: not a number", "Heroku router")
	for _, path := range []string{"/log-drains/new", page + "/edit", page + "/token", page + "/delete"} {
		if code, _, _ := g.get(c, path); code != 403 {
			t.Errorf("GET %s answered a viewer %d, want 403", path, code)
		}
		if code, _, _ := g.post(c, path, nil); code != 403 {
			t.Errorf("POST %s answered a viewer %d, want 403", path, code)
		}
	}
}

// The page of a drain is kept fresh, and draws the metrics that it wrote.
func TestADrainsPageInTheBrowser(t *testing.T) {
	begin := time.Now().Add(-3 * time.Minute)
	g := newRig(t, time.Now)
	d, token := g.drain(saba.Drain{Name: "app", Service: "shop"})
	g.fillSeries(saba.Series{Org: g.org.ID, Service: "shop"}, time.Minute, map[string]func(int64) float64{"orders.web": wave(1, 3, 80)})
	b := newTab(t, g)
	b.Open("/log-drains/" + d.ID)
	b.Until(`document.body.innerText.includes('No line came yet')`)
	g.sendAll(token, said{begin, "app web.1", "sample#queue.size=3 sample#queue.dead=1"})
	g.drains.Round(t.Context())
	b.Until(`document.querySelector('.minutes rect') && document.querySelector('#lines').innerText.includes('sample#queue.size=3 sample#queue.dead=1')`)
	b.Open("/log-drains/" + d.ID + "?range=1h")
	b.allDrawn()
	if graphs := js[string](b, `[...document.querySelectorAll('[data-graph]')].map(f => f.dataset.graph).join()`); graphs != "queue" {
		t.Errorf("the page draws %q, want the drain's own alone", graphs)
	}
	if path := js[string](b, `new URL(document.querySelector('[data-graph-link]').href).pathname`); path != "/services/shop/graphs/queue" {
		t.Errorf("a chart leads to %s", path)
	}
	b.Do(chromedp.Click(chromedp.CSS(`.head .more summary`)), chromedp.Click(chromedp.CSS(`.head .more a[href$="/edit"]`)), chromedp.WaitVisible(chromedp.CSS(`form.declared`)))
	js[bool](b, `document.querySelector('form.declared button').click(), true`)
	b.Until(`location.search === '?saved=1'`)
	if is := g.readDrain(d.ID); !reflect.DeepEqual(is, d) {
		t.Errorf("after saving it is %+v, want %+v", is, d)
	}
}

// Every part of a rule has an input in its row, and saving the form of a drain without a change changes nothing.
func TestADrainsFormKeepsWhatItShows(t *testing.T) {
	var all saba.LineRule
	for _, part := range ruleTexts {
		*part.of(&all) = "x"
	}
	for i, v := range reflect.ValueOf(all).Fields() {
		if v.String() != "x" {
			t.Errorf("the row of a rule lacks %s", i.Name)
		}
	}
	g := newRig(t, time.Now)
	d, _ := g.drain(saba.Drain{Name: "app", Service: "shop", Prefix: "a", SourcePrefix: "b", Rules: []saba.LineRule{
		{Name: "requests <b>", Type: saba.RuleTiming, Match: ` (?P<code>\d+) "took" (\S+) `, Metric: "http.${code}", Value: "2", Unit: saba.UnitSeconds, App: "app", Proc: "web.*"},
		{Name: "errors", Type: saba.RuleCounter, Key: "level", Metric: "log.${level}"},
		{Name: "depth", Type: saba.RuleGauge, Key: "depth", Metric: "queue.depth", Unit: saba.UnitInteger},
	}})
	b := newTab(t, g)
	b.Open("/log-drains/" + d.ID + "/edit")
	js[bool](b, `[...document.querySelectorAll('form.declared button')].at(-1).click(), true`)
	b.Until(`location.search === '?saved=1'`)
	if is := g.readDrain(d.ID); !reflect.DeepEqual(is, d) {
		t.Errorf("after saving it is\n%+v, want\n%+v", is, d)
	}
}

// ruleForm is the form of a drain of the service shop with rules.
func ruleForm(do string, rules ...saba.LineRule) url.Values {
	form := url.Values{"name": {"app"}, "service": {"shop"}, "do": {do}}
	for _, r := range rules {
		for _, part := range ruleTexts {
			form.Add("rules."+part.name, *part.of(&r))
		}
	}
	return form
}

// Rules are added, tried and taken away without scripts, and nothing is kept before it is saved.
func TestRulesAreTriedBeforeTheyAreKept(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	d, token := g.drain(saba.Drain{Name: "app", Service: "shop"})
	g.sendAll(token, herokuLines(g.now().Add(-time.Minute))...)
	g.sendAll(token, said{g.now(), "app web.1", "Completed 200 OK in 12ms <i>"}, said{g.now(), "app web.2", "Completed 500 Internal Server Error in 40ms"})
	path := "/log-drains/" + d.ID + "/edit"
	timing := saba.LineRule{Name: "requests", Type: saba.RuleTiming, Match: `Completed (?P<code>\d+) .* in (?P<ms>\d+)ms`, Metric: "http.${code}", Value: "ms"}
	counter := saba.LineRule{Name: "users", Type: saba.RuleCounter, Match: "signed in", Metric: "users.in"}
	try := func(form url.Values, code int) string {
		t.Helper()
		got, at, body := g.post(c, path, form)
		if got != code || at != path {
			t.Errorf("%s answered %d at %s", form.Get("do"), got, at)
		}
		if is := g.readDrain(d.ID); len(is.Rules) > 0 {
			t.Errorf("%s has kept the rules %+v", form.Get("do"), is.Rules)
		}
		return body
	}
	rows := func(body string) int { return strings.Count(body, `name="rules.match"`) }

	_, _, body := g.get(c, path)
	contains(t, body, "The last lines of the drain", "46 lines of platforms that are known not shown", "sidekiq.default.latency", "not a number: queue.size=opensesame")
	if n := rows(body); n != 0 {
		t.Errorf("a drain without rules has %d rows", n)
	}
	if n := rows(try(ruleForm("add", timing), 200)); n != 2 {
		t.Errorf("adding a rule makes %d rows of one", n)
	}
	body = try(ruleForm("draft", timing, saba.LineRule{Type: saba.RuleCounter}, counter), 200)
	contains(t, body, "“requests” takes 2 lines; “users” takes 1 line", "<strong>http.200.*</strong>", "12 ms", "by the rule &#34;requests&#34;", "Completed 200 OK in 12ms &lt;i&gt;", "<strong>users.in</strong>")
	if n := rows(body); n != 2 {
		t.Errorf("a blank row and two rules come back as %d rows", n)
	}
	body = try(ruleForm("remove:0", timing, counter), 200)
	if rows(body) != 1 || strings.Contains(body, "Completed (?P&lt;code") || !strings.Contains(body, `value="signed in"`) {
		t.Errorf("taking the first rule away leaves %d rows:\n%s", rows(body), body)
	}
	try(ruleForm("remove:7", timing), 200)
	try(ruleForm("remove:x", timing), 200)

	form := ruleForm("draft", timing)
	form.Set("try", "2026-01-02T03:04:05+00:00 app[web.1]: Completed 503 Unavailable in 2s\r\nCompleted 302 Found in 5ms\n\nsample#depth=many\nnothing")
	body = try(form, 200)
	contains(t, body, "Lines that you typed", "http.302.*", "5 ms", "app/web.1", "not a number: depth=many", "no metric", "sample#depth=many\nnothing</textarea>")

	wrong := counter
	wrong.Match = "signed (in"
	body = try(ruleForm("draft", timing, wrong), 200)
	contains(t, body, "Rule 2: Regular expression is not a regular expression (RE2)", "“requests” takes 2 lines")
	body = try(ruleForm("save", timing, wrong), 400)
	contains(t, body, "This is not saved yet", "Regular expression is not a regular expression (RE2)", "A rule is not right yet")
	lost := timing
	lost.Value = "seconds"
	contains(t, try(ruleForm("save", lost), 400), "names the group &#34;seconds&#34;")
	many := make([]saba.LineRule, saba.MaxLineRules+5)
	for i := range many {
		many[i] = counter
	}
	contains(t, try(ruleForm("save", many...), 400), "may have 50 elements")

	if code, at, _ := g.post(c, path, ruleForm("save", timing, counter)); code != 200 || at != "/log-drains/"+d.ID+"?saved=1" {
		t.Errorf("saving answered %d at %s", code, at)
	}
	if is := g.readDrain(d.ID); !reflect.DeepEqual(is.Rules, []saba.LineRule{timing, counter}) {
		t.Errorf("the rules are %+v", is.Rules)
	}
}

// With scripts the try-out follows what is typed.
func TestRulesAreTriedWhileTheyAreTyped(t *testing.T) {
	g := newRig(t, time.Now)
	d, token := g.drain(saba.Drain{Name: "app", Service: "shop"})
	g.sendAll(token, said{g.now(), "app web.1", "Completed 200 OK in 12ms"})
	b := newTab(t, g)
	b.Open("/log-drains/" + d.ID + "/edit")
	b.Do(chromedp.Click(chromedp.CSS(`button[value="add"]`)), chromedp.WaitVisible(chromedp.CSS(`#rule-1`)),
		chromedp.SendKeys(chromedp.CSS(`[name="rules.name"]`), "requests"), chromedp.SendKeys(chromedp.CSS(`[name="rules.match"]`), `Completed (?P<code>\d+)`))
	b.Until(`document.querySelector('#tryout').innerText.includes('Rule 1: Metric must be a name')`)
	b.Do(chromedp.SendKeys(chromedp.CSS(`[name="rules.metric"]`), "http.${code}"))
	b.Until(`[...document.querySelectorAll('#tryout strong')].some(s => s.textContent === 'http.200')`)
	b.Do(chromedp.SendKeys(chromedp.CSS(`[name="try"]`), "Completed 503 Unavailable"))
	b.Until(`[...document.querySelectorAll('#tryout strong')].some(s => s.textContent === 'http.503')`)
	b.Do(chromedp.SendKeys(chromedp.CSS(`[name="rules.metric"]`), "\r")) // the form is saved, as by its button
	b.Until(`location.search === '?saved=1'`)
	if is := g.readDrain(d.ID); len(is.Rules) != 1 || is.Rules[0].Metric != "http.${code}" {
		t.Errorf("the rules are %+v", is.Rules)
	}
}

// drained makes drains as an organization has them, and returns one that was sent all that Heroku says.
func (g *rig) drained() saba.Drain {
	g.t.Helper()
	g.drain(saba.Drain{Name: "Everything that the warehouse and its many small programs write, in Europe and elsewhere", Service: "mail"})
	_, quiet := g.drain(saba.Drain{Name: "search", Service: "search"})
	g.sendAll(quiet, said{g.now(), "app web.1", "measure#query.time=12ms"})
	d, token := g.drain(saba.Drain{Name: "shop on Heroku", Service: "shop", Rules: []saba.LineRule{
		{Name: "logins", Type: saba.RuleTiming, Match: `User (?P<user>\S+) .*login\.time=(?P<ms>\d+)`, Metric: "logins", Value: "ms"},
		{Name: "levels", Type: saba.RuleCounter, Key: "level", Metric: "log.${level}", App: "app", Proc: "web.*"},
	}})
	for i := range 5 {
		g.sendAll(token, herokuLines(g.now().Add(-time.Duration(5-i)*time.Minute))...)
	}
	g.sendAll(token, said{g.now(), "app web.1", strings.Repeat("a-word-without-a-blank", 40)})
	g.drains.Round(g.t.Context())
	return d
}
