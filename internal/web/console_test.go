package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// concrete puts values into the wildcards of a pattern.
func concrete(pattern string, h saba.Host) string {
	return strings.NewReplacer("{$}", "", "{id}", h.ID, "{key}", "none", "{service}", "shop", "{graph}", "loadavg", "{token}", "wrong",
		"{hash}", "0", "{file...}", "app.css").Replace(pattern)
}

// The table is the whole surface: a stranger gets nothing but what is open on purpose.
func TestEveryRouteAsksWhoYouAre(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	open := []string{"/setup/{token}", "/join/{token}", "/login", "/static/{hash}/{file...}", "/favicon.ico", "/healthz"}
	do := func(c *http.Client, rt route) *http.Response {
		t.Helper()
		method := rt.method
		if method == "" {
			method = http.MethodGet
		}
		req, err := http.NewRequest(method, g.server.URL+concrete(rt.pattern, h), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	stranger := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, rt := range routes {
		name := rt.method + " " + rt.pattern
		resp := do(stranger, rt)
		switch {
		case slices.Contains(open, rt.pattern):
			if rt.want != saba.Anyone {
				t.Errorf("%s asks for %v, want it open", name, rt.want)
			}
		case rt.want != saba.Read && rt.want != saba.ReadWrite && rt.want != saba.Manage:
			t.Errorf("%s asks for permission %d: only %v may be open", name, rt.want, open)
		case rt.kind == page:
			if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(resp.Header.Get("Location"), "/login") {
				t.Errorf("%s answered a stranger %d to %q, want the login page", name, resp.StatusCode, resp.Header.Get("Location"))
			}
		default:
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s answered a stranger %d, want 401", name, resp.StatusCode)
			}
		}
		for _, header := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy"} {
			if resp.Header.Get(header) == "" {
				t.Errorf("%s answered without %s", name, header)
			}
		}
		if rt.want == saba.Anyone {
			continue
		}
		visitor := g.signedIn()
		visitor.CheckRedirect = stranger.CheckRedirect
		if resp := do(visitor, rt); resp.StatusCode == http.StatusUnauthorized || resp.StatusCode >= 500 || strings.HasPrefix(resp.Header.Get("Location"), "/login?") {
			t.Errorf("%s answered a visitor %d to %q", name, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

func TestAnotherOrganizationsRecordsAreNotThere(t *testing.T) {
	g := newRig(t, time.Now)
	ctx := context.Background()
	h := g.host(saba.Host{Name: "ours"})
	monitor := g.monitor(saba.Monitor{Type: saba.MonitorConnectivity})
	downtime := g.downtime(saba.Downtime{Name: "ours", Start: 1, Duration: 1})
	alert := g.alert(monitor, h.ID, saba.CheckCritical, "unreachable", time.Minute)
	logDrain, _ := g.drain(saba.Drain{Name: "ours", Service: "shop"})
	token := g.session()
	s, err := g.records.SessionByHash(ctx, saba.HashSecret(token), time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	c := &console{Options: Options{Store: g.records, Samples: g.samples, Now: time.Now, Random: rand.Reader, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, reads: make(chan struct{}, 1)}
	c.assets = loadAssets()
	c.pages = loadPages(c)
	foreign := visitor{Principal: saba.Principal{Org: "another", User: s.User, Read: true, Write: true}}
	for _, rt := range routes {
		if !strings.Contains(rt.pattern, "{id}") || strings.HasPrefix(rt.pattern, "/keys") {
			continue
		}
		r := httptest.NewRequest("GET", concrete(rt.pattern, h), strings.NewReader("status=standby&for=1h"))
		r.SetPathValue("id", h.ID)
		if strings.HasPrefix(rt.pattern, "/alerts") {
			r.SetPathValue("id", alert.ID)
		}
		if strings.HasPrefix(rt.pattern, "/monitors") {
			r.SetPathValue("id", monitor.ID)
		}
		if strings.HasPrefix(rt.pattern, "/downtimes") {
			r.SetPathValue("id", downtime.ID)
		}
		if strings.HasPrefix(rt.pattern, "/log-drains") {
			r.SetPathValue("id", logDrain.ID)
		}
		r.SetPathValue("graph", "loadavg")
		if rt.method == "POST" {
			r.Method = "POST"
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if err := rt.handle(c, httptest.NewRecorder(), r, foreign); status(err) != http.StatusNotFound {
			t.Errorf("%s %s for another organization: %v, want not found", rt.method, rt.pattern, err)
		}
	}
}

func TestSetUpLoginLogout(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.client()
	link := "/setup/" + testToken
	if code, _, body := g.get(c, "/setup/saba_wrong"); code != http.StatusNotFound {
		t.Errorf("a wrong link answered %d: %s", code, body)
	} else {
		contains(t, body, "start saba again", `href="/login"`)
	}
	if code, _, body := g.post(c, link, url.Values{"email": {testEmail}, "password": {"too short"}}); code != http.StatusBadRequest {
		t.Errorf("a short password answered %d", code)
	} else {
		contains(t, body, "at least 10 characters", testEmail)
	}
	if code, _, _ := g.post(c, link, url.Values{"email": {"nobody"}, "password": {testPassword}}); code != http.StatusBadRequest {
		t.Errorf("a bad address answered %d", code)
	}
	code, at, body := g.post(c, link, url.Values{"email": {testEmail}, "password": {testPassword}})
	if code != http.StatusOK || at != "/hosts" {
		t.Fatalf("the set-up led to %d %s:\n%s", code, at, body)
	}
	contains(t, body, "No hosts yet", testEmail)
	if code, _, _ := g.get(g.client(), link); code != http.StatusNotFound {
		t.Errorf("the used link answered %d", code)
	}
	if code, _, _ := g.post(g.client(), link, url.Values{"email": {"second@example.test"}, "password": {testPassword}}); code != http.StatusNotFound {
		t.Errorf("the used link took a second account: %d", code)
	}
	if _, at, _ := g.post(c, "/logout", nil); at != "/login" {
		t.Errorf("signing out led to %s", at)
	}
	if _, at, _ := g.get(c, "/hosts?q=x"); at != "/login?next=%2Fhosts%3Fq%3Dx" {
		t.Errorf("after signing out, the hosts are at %s", at)
	}
	wrong := func(email, password string) (int, string) {
		code, _, body := g.post(c, "/login", url.Values{"email": {email}, "password": {password}})
		return code, body
	}
	codeA, bodyA := wrong(testEmail, "not the password")
	codeB, bodyB := wrong("else@example.test", testPassword)
	if codeA != http.StatusUnauthorized || codeB != codeA || strings.ReplaceAll(bodyA, testEmail, "") != strings.ReplaceAll(bodyB, "else@example.test", "") {
		t.Errorf("a wrong password answered %d, an unknown account %d, or in other words", codeA, codeB)
	}
	if code, at, _ := g.post(c, "/login?next=%2Fkeys", url.Values{"email": {strings.ToUpper(testEmail)}, "password": {testPassword}}); code != http.StatusOK || at != "/keys" {
		t.Errorf("signing in led to %d %s, want /keys", code, at)
	}
	for range failureBurst {
		wrong(testEmail, "not the password")
	}
	if code, body := wrong(testEmail, testPassword); code != http.StatusTooManyRequests {
		t.Errorf("after %d failures the right password answered %d:\n%s", failureBurst+1, code, body)
	}
}

func TestCookie(t *testing.T) {
	for name, tt := range map[string]struct {
		proto  string
		secure bool
	}{
		"plain":              {"", false},
		"behind a TLS proxy": {"https", true},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			r.Header.Set("X-Forwarded-Proto", tt.proto)
			setCookie(w, r, "token", 60)
			got := w.Result().Cookies()[0]
			if got.Secure != tt.secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Path != "/" {
				t.Errorf("the cookie is %+v", got)
			}
		})
	}
}

// A session slides along while it is used, and an expired one is nobody's.
func TestSessionSlides(t *testing.T) {
	at := time.Now()
	g := newRig(t, func() time.Time { return at })
	c := g.signedIn()
	u, err := url.Parse(g.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	first := c.Jar.Cookies(u)[0].Value
	for range 4 {
		at = at.Add(20 * 24 * time.Hour)
		if _, final, _ := g.get(c, "/hosts"); final != "/hosts" {
			t.Fatalf("a session in use ended: %s", final)
		}
	}
	if c.Jar.Cookies(u)[0].Value == first {
		t.Error("the session kept its token for 80 days")
	}
	at = at.Add(31 * 24 * time.Hour)
	if _, final, _ := g.get(c, "/hosts"); !strings.HasPrefix(final, "/login") {
		t.Errorf("after 31 days the session still opens %s", final)
	}
}

func TestFormsFromOtherSitesAreRefused(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	req, err := http.NewRequest("POST", g.server.URL+"/keys", strings.NewReader("name=stolen&read=1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, body := g.read(resp); code != http.StatusForbidden {
		t.Errorf("a form of another site answered %d", code)
	} else {
		contains(t, body, "another site")
	}
	if keys, err := g.records.Keys(context.Background(), g.org.ID); err != nil || len(keys) != 0 {
		t.Errorf("it made keys: %v, %v", keys, err)
	}
	code, _, _ := g.post(c, "/keys", url.Values{"name": {strings.Repeat("x", maxForm)}})
	if code != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge form answered %d", code)
	}
}

func TestLocalPath(t *testing.T) {
	for next, want := range map[string]string{
		"":                              "/hosts",
		"/keys":                         "/keys",
		"/hosts/1?range=6h&q=a%20b":     "/hosts/1?range=6h&q=a%20b",
		"//evil.example/":               "/hosts",
		"/\\evil.example":               "/hosts",
		"https://evil.example/":         "/hosts",
		"javascript:alert(1)":           "/hosts",
		"/\t/evil.example":              "/hosts",
		"hosts":                         "/hosts",
		"/%2f/evil.example":             "/hosts",
		"/%zz":                          "/hosts",
		"/services/shop/graphs/a.b.%23": "/services/shop/graphs/a.b.%23",
	} {
		if got := localPath(next); got != want {
			t.Errorf("localPath(%q) = %q, want %q", next, got, want)
		}
	}
}

// A login never ends on an address that a browser cannot open.
func TestALoginLeadsToAPage(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for next, want := range map[string]string{
		"/hosts/h1?range=6h":    "/hosts/h1?range=6h",
		"/services/shop":        "/services/shop",
		"/keys":                 "/keys",
		"/":                     "/",
		"/logout":               "/hosts", // takes forms alone
		"/hosts/h1/status":      "/hosts",
		"/hosts/h1/graphs.json": "/hosts", // is for scripts
		"/login":                "/hosts",
		"/healthz":              "/hosts",
		"/nowhere":              "/hosts",
		"/keys/../logout":       "/hosts",
		"/api/v0/hosts":         "/hosts",
		"//evil.example/keys":   "/hosts",
	} {
		resp, err := c.Get(g.server.URL + "/login?next=" + url.QueryEscape(next))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("a login with next=%s leads to %q, want %q", next, got, want)
		}
	}
}

func TestAWrongMethodIsNamed(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "web-1"})
	do := func(c *http.Client, method, path string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(method, g.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	stranger := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	visitor := g.signedIn()
	visitor.CheckRedirect = stranger.CheckRedirect
	for _, tt := range []struct {
		method, path string
		code         int
		allow        string
	}{
		{"PUT", "/hosts", 405, "GET, HEAD"},
		{"DELETE", "/hosts/" + h.ID, 405, "GET, HEAD"},
		{"DELETE", "/hosts/" + h.ID + "/retire", 405, "GET, HEAD, POST"},
		{"PATCH", "/keys", 405, "GET, HEAD, POST"},
		{"GET", "/logout", 405, "POST"},
		{"POST", "/hosts/" + h.ID + "/graphs.json", 405, "GET, HEAD"},
		{"OPTIONS", "/healthz", 405, "GET, HEAD"},
		{"PUT", "/nowhere", 404, ""},
		{"GET", "/nowhere", 404, ""},
		{"HEAD", "/hosts", 200, ""},
	} {
		resp := do(visitor, tt.method, tt.path)
		if got := resp.Header.Get("Allow"); resp.StatusCode != tt.code || got != tt.allow {
			t.Errorf("%s %s = %d, Allow %q; want %d, %q", tt.method, tt.path, resp.StatusCode, got, tt.code, tt.allow)
		}
		if tt.code == 200 || tt.path == "/healthz" {
			continue
		}
		if resp := do(stranger, tt.method, tt.path); resp.Header.Get("Allow") != "" || resp.StatusCode != http.StatusSeeOther && resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s answers a stranger %d, Allow %q; want nothing but the login", tt.method, tt.path, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	for path, code := range map[string]int{"/login": 405, "/healthz": 405, "/setup/x": 405} {
		if resp := do(stranger, "DELETE", path); resp.StatusCode != code || resp.Header.Get("Allow") == "" {
			t.Errorf("DELETE %s answers a stranger %d, Allow %q; want %d", path, resp.StatusCode, resp.Header.Get("Allow"), code)
		}
	}
	for _, path := range []string{"/hosts//", "/keys/../hosts", "/./login"} {
		resp := do(stranger, "GET", path)
		if resp.StatusCode/100 != 3 || resp.Header.Get("Content-Security-Policy") == "" || resp.Header.Get("X-Content-Type-Options") == "" {
			t.Errorf("GET %s = %d with the headers %v, want a redirect with those of every answer", path, resp.StatusCode, resp.Header)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	f.Add("/hosts?q=1")
	f.Add("//x")
	f.Add("/\\x")
	f.Fuzz(func(t *testing.T, next string) {
		got := localPath(next)
		base := &url.URL{Scheme: "http", Host: "here.example"}
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme {
			t.Errorf("localPath(%q) = %q leads to %v (%v)", next, got, u, err)
		}
	})
}

func TestAddress(t *testing.T) {
	for name, tt := range map[string]struct{ remote, forwarded, want string }{
		"direct":                             {"203.0.113.9:5000", "", "203.0.113.9"},
		"a stranger's claim is not believed": {"203.0.113.9:5000", "198.51.100.1", "203.0.113.9"},
		"the proxy here is":                  {"127.0.0.1:5000", "198.51.100.1", "198.51.100.1"},
		"but not what it was told":           {"127.0.0.1:5000", "192.0.2.1, 198.51.100.1", "198.51.100.1"},
		"nonsense":                           {"127.0.0.1:5000", "nonsense", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.remote
			if tt.forwarded != "" {
				r.Header.Set("X-Forwarded-For", tt.forwarded)
			}
			if got := address(r); got != tt.want {
				t.Errorf("address = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	f := newFailures()
	for range failureBurst {
		if f.tooMany(now, "a") {
			t.Fatal("too many before the burst was used up")
		}
		f.failed(now, "a")
	}
	if !f.tooMany(now, "b", "a") {
		t.Error("not too many after the burst")
	}
	if f.tooMany(now, "b") {
		t.Error("another account is held up")
	}
	if f.tooMany(now.Add(failureEvery+time.Second), "a") {
		t.Error("still too many after a while")
	}
	for i := range maxBuckets + 10 {
		f.failed(now.Add(time.Hour+time.Duration(i)), "key "+string(rune(0x100+i)))
	}
	if len(f.buckets) > maxBuckets {
		t.Errorf("%d buckets are kept, want at most %d", len(f.buckets), maxBuckets)
	}
	if f.buckets["a"] != nil {
		t.Error("the oldest was not forgotten")
	}
}

func TestPasswords(t *testing.T) {
	p, ctx := newPasswords(), t.Context()
	hash, err := p.hash(ctx, testPassword, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash is %q", hash)
	}
	for password, want := range map[string]bool{testPassword: true, testPassword + " ": false, "": false, strings.Repeat("x", 1<<20): false} {
		if got, err := p.matches(ctx, password, hash); err != nil || got != want {
			t.Errorf("matches(%.20q) = %v, %v, want %v", password, got, err, want)
		}
	}
	if ok, err := p.matches(ctx, "", nobodysHash); ok || err != nil {
		t.Errorf("nobody's hash matches: %v, %v", ok, err)
	}
	for _, bad := range []string{"", "x", "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA", "$argon2id$v=19$m=999999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		if _, err := p.matches(ctx, testPassword, bad); err == nil {
			t.Errorf("the damaged hash %q was taken", bad)
		}
	}
	for _, salted := range []string{hash} {
		if again, err := p.hash(ctx, testPassword, rand.Reader); err != nil || again == salted {
			t.Errorf("two hashes of one password are equal (%v)", err)
		}
	}
}

// Whatever stands in the column, parsing never panics and never asks for unbounded memory.
func FuzzParsePHC(f *testing.F) {
	f.Add(nobodysHash)
	f.Add("$argon2id$v=19$m=-1,t=0,p=300$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err == nil && (h.memory > 1<<20 || h.time == 0 || h.lanes == 0 || len(h.key) < 16) {
			t.Errorf("parsePHC(%q) = %+v", s, h)
		}
	})
}

func TestParseRange(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for query, want := range map[string]timeRange{
		"":                        {"1h", now.Unix() - 3600, now.Unix()},
		"range=6h":                {"6h", now.Unix() - 6*3600, now.Unix()},
		"range=1y":                {"1y", now.Unix() - 365*day, now.Unix()},
		"from=1000&to=2000":       {"", 1000, 2000},
		"from=1000000&to=1000010": {"", 999855, 1000155},
		"from=2026-11-21T10:00":   {"", now.Unix() - 7200, now.Unix()},
		"from=2026-11-20T10:00&to=2026-11-20T11:00:30": {"", now.Unix() - 26*3600, now.Unix() - 25*3600 + 30},
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseRange(q, now); err != nil || got != want {
			t.Errorf("parseRange(%q) = %+v, %v, want %+v", query, got, err, want)
		}
	}
	for _, query := range []string{"range=2h", "to=5", "from=x", "from=2000&to=1000", "from=0", "from=99999999999999999999", "from=1&to=-5"} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseRange(q, now); status(err) != http.StatusBadRequest {
			t.Errorf("parseRange(%q) = %+v, %v, want an error", query, got, err)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("1h", "", "")
	f.Add("", "1700000000", "2026-01-02T03:04")
	f.Fuzz(func(t *testing.T, key, from, to string) {
		r, err := parseRange(url.Values{"range": {key}, "from": {from}, "to": {to}}, time.Unix(1_800_000_000, 0))
		if err == nil && (r.to <= r.from || r.to-r.from > maxSpan || saba.Step(r.to-r.from) <= 0) {
			t.Errorf("parseRange(%q, %q, %q) = %+v", key, from, to, r)
		}
	})
}

func TestSpark(t *testing.T) {
	nan := math.NaN()
	for name, tt := range map[string]struct {
		values []float64
		want   string
	}{
		"no values":          {nil, ""},
		"gaps alone":         {[]float64{nan, nan}, ""},
		"a line":             {[]float64{0, 2}, "M1.0 19.0h.01L71.0 1.0"},
		"a gap breaks it":    {[]float64{2, nan, 2}, "M1.0 1.0h.01M71.0 1.0h.01"},
		"one value is a dot": {[]float64{2}, "M1.0 1.0h.01"},
		"below zero is zero": {[]float64{-5, 2}, "M1.0 19.0h.01L71.0 1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := spark(tt.values, 72, 20, 0.1); got != tt.want {
				t.Errorf("spark(%v) = %q, want %q", tt.values, got, tt.want)
			}
		})
	}
}

func TestFacts(t *testing.T) {
	h := saba.Host{Meta: json.RawMessage(linuxMeta)}
	want := map[string]string{"System": "Debian 12.5", "Kernel": "Linux 6.1.0-18-amd64 x86_64", "CPU": "AMD EPYC 7763 64-Core Processor × 4", "Memory": "15.6 GiB", "Agent": "saba-agent/0.1.0"}
	got := map[string]string{}
	for _, f := range facts(&h) {
		got[f.Name] = f.Value
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	for _, odd := range []string{``, `null`, `[]`, `{"kernel":5,"cpu":{},"memory":[1],"agent-name":{}}`, `{"cpu":[1,null]}`} {
		h.Meta = json.RawMessage(odd)
		facts(&h) // must not panic
	}
}

// Whatever an agent sends as meta, the host's page can be made.
func FuzzFacts(f *testing.F) {
	f.Add([]byte(linuxMeta))
	f.Add([]byte(`{"cpu":[{}],"memory":{"total":1e400}}`))
	f.Fuzz(func(t *testing.T, meta []byte) {
		for _, fact := range facts(&saba.Host{Meta: meta}) {
			if strings.TrimSpace(fact.Value) == "" {
				t.Errorf("facts(%q): %s is empty", meta, fact.Name)
			}
		}
	})
}

func TestHostListSearchAndFilters(t *testing.T) {
	g := newRig(t, time.Now)
	g.host(saba.Host{Name: "web-1.example.test", DisplayName: "Front <door>", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}, Interfaces: []saba.Interface{{Name: "eth0", IPv4: []string{"192.0.2.17"}}}})
	g.host(saba.Host{Name: "db-1.example.test", Status: saba.Standby, Roles: []saba.RoleName{{Service: "shop", Role: "db"}}})
	g.host(saba.Host{Name: "spare.example.test", Status: saba.Poweroff})
	c := g.signedIn()
	links := regexp.MustCompile(`data-host-link>([^<]*)<`)
	for path, want := range map[string][]string{
		"/hosts":                          {"db-1.example.test", "Front &lt;door&gt;", "spare.example.test"},
		"/hosts?q=192.0.2.17":             {"Front &lt;door&gt;"},
		"/hosts?q=DOOR+web":               {"Front &lt;door&gt;"},
		"/hosts?q=shop:db":                {"db-1.example.test"},
		"/hosts?q=nothing":                nil,
		"/hosts?status=poweroff":          {"spare.example.test"},
		"/hosts?role=shop":                {"db-1.example.test", "Front &lt;door&gt;"},
		"/hosts?role=shop:db":             {"db-1.example.test"},
		"/hosts?role=shop:db&q=web":       nil,
		"/hosts?sort=load&page=99":        {"db-1.example.test", "Front &lt;door&gt;", "spare.example.test"},
		"/hosts?sort=no-such&page=-3":     {"db-1.example.test", "Front &lt;door&gt;", "spare.example.test"},
		"/hosts?role=none&status=standby": nil,
	} {
		code, _, body := g.get(c, path)
		var got []string
		for _, m := range links.FindAllStringSubmatch(body, -1) {
			got = append(got, m[1])
		}
		if code != http.StatusOK || !slices.Equal(got, want) {
			t.Errorf("%s answered %d with %q, want %q", path, code, got, want)
		}
	}
	if code, _, _ := g.get(c, "/hosts?status=lost"); code != http.StatusBadRequest {
		t.Errorf("an unknown status answered %d", code)
	}
}

func TestHostStatusAndRetire(t *testing.T) {
	g := newRig(t, time.Now)
	h, c := g.host(saba.Host{Name: "web-1"}), g.signedIn()
	at := "/hosts/" + h.ID
	if code, final, _ := g.post(c, at+"/status", url.Values{"status": {"maintenance"}}); code != http.StatusOK || final != at {
		t.Errorf("setting the status led to %d %s", code, final)
	}
	if got, err := g.records.Host(context.Background(), g.org.ID, h.ID); err != nil || got.Status != saba.Maintenance {
		t.Errorf("the status is %q (%v)", got.Status, err)
	}
	if code, _, _ := g.post(c, at+"/status", url.Values{"status": {"broken"}}); code != http.StatusBadRequest {
		t.Errorf("an unknown status answered %d", code)
	}
	if _, _, body := g.get(c, at+"/retire"); !strings.Contains(body, "cannot be undone") {
		t.Error("retiring does not ask first")
	}
	if code, final, body := g.post(c, at+"/retire", nil); code != http.StatusOK || final != "/hosts" || strings.Contains(body, h.ID) {
		t.Errorf("retiring led to %d %s", code, final)
	}
	if code, _, body := g.get(c, at); code != http.StatusOK || !strings.Contains(body, "retired") {
		t.Errorf("the retired host's page answered %d", code)
	}
}

func TestKeys(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	for _, bad := range []url.Values{{"name": {""}, "read": {"1"}}, {"name": {"x"}}, {"name": {strings.Repeat("y", 101)}, "read": {"1"}}} {
		if code, _, _ := g.post(c, "/keys", bad); code != http.StatusBadRequest {
			t.Errorf("making the key %v answered %d", bad, code)
		}
	}
	_, _, body := g.post(c, "/keys", url.Values{"name": {"<script>alert(1)</script>"}, "read": {"1"}})
	secret := regexp.MustCompile(`data-secret tabindex="0">(saba_[\w-]{32})<`).FindStringSubmatch(body)
	if secret == nil || strings.Contains(body, "<script>alert") {
		t.Fatalf("no secret, or a raw name, on the page:\n%s", body)
	}
	k, err := g.records.KeyByHash(context.Background(), saba.HashSecret(secret[1]))
	if err != nil || !k.Read || k.Write {
		t.Errorf("the key is %+v, %v", k, err)
	}
	if _, _, body := g.get(c, "/keys"); strings.Contains(body, secret[1]) {
		t.Error("the secret is shown a second time")
	}
	if code, final, _ := g.post(c, "/keys/"+k.ID+"/revoke", nil); code != http.StatusOK || final != "/keys" {
		t.Errorf("revoking led to %d %s", code, final)
	}
	if _, err := g.records.KeyByHash(context.Background(), k.Hash); err == nil {
		t.Error("the revoked key still works")
	}
	if code, _, _ := g.get(c, "/keys/"+k.ID+"/revoke"); code != http.StatusNotFound {
		t.Errorf("revoking twice answered %d", code)
	}
}

func TestAddAHost(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	if code, _, body := g.post(c, "/hosts/new", url.Values{"roles": {"not a role"}}); code != http.StatusBadRequest || !strings.Contains(body, "service:role") {
		t.Errorf("a bad role answered %d", code)
	}
	code, _, body := g.post(c, "/hosts/new", url.Values{"name": {"shop"}, "roles": {"shop:web, shop:app"}})
	if code != http.StatusOK {
		t.Fatalf("making the key answered %d", code)
	}
	contains(t, body, "apibase = &#34;"+g.server.URL+"&#34;", "roles = [&#34;shop:web&#34;, &#34;shop:app&#34;]", "only works on this machine")
	secret := regexp.MustCompile(`apikey = &#34;(saba_[\w-]{32})&#34;`).FindStringSubmatch(body)
	wait := regexp.MustCompile(`src="(/hosts/new/wait/\w+)"`).FindStringSubmatch(body)
	if secret == nil || wait == nil {
		t.Fatalf("no key or no waiting frame:\n%s", body)
	}
	if _, _, body := g.get(c, wait[1]); !strings.Contains(body, `http-equiv="refresh"`) {
		t.Errorf("the frame does not look again:\n%s", body)
	}
	k, err := g.records.KeyByHash(context.Background(), saba.HashSecret(secret[1]))
	if err != nil {
		t.Fatal(err)
	}
	h := g.host(saba.Host{Name: "fresh", RegisteredBy: k.ID})
	_, _, body = g.get(c, wait[1])
	contains(t, body, `href="/hosts/`+h.ID+`" target="_top"`, "Open fresh")
}

func TestGraphsJSON(t *testing.T) {
	now := time.Unix(1_800_000_000, 0) // on a minute
	g := newRig(t, func() time.Time { return now })
	h, c := g.host(saba.Host{Name: "web-1"}), g.signedIn()
	last := now.Unix() / 60
	g.fill(h, 30*time.Minute, map[string]func(int64) float64{
		"loadavg1": func(m int64) float64 {
			if m == last-1 {
				return math.NaN()
			}
			return 0.30000000000000004
		},
		"custom.a.b": func(int64) float64 { return 7 },
	})
	at := "/hosts/" + h.ID + "/graphs.json"
	code, _, body := g.get(c, at+"?range=30m&graph=loadavg&graph=no-such")
	var a struct {
		Now, From, To int64
		Names         []string
		Graphs        []struct {
			Name, Unit  string
			Start, Step int64
			Series      []struct {
				Metric, Label, Light, Dark string
				Values                     []*float64
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || code != http.StatusOK {
		t.Fatalf("%d, %v: %s", code, err, body)
	}
	if !slices.Equal(a.Names, []string{"loadavg", "custom.a"}) || len(a.Graphs) != 1 || a.Graphs[0].Step != 60 || a.Graphs[0].Start != now.Unix()-1800 {
		t.Fatalf("the answer is %+v", a)
	}
	v := a.Graphs[0].Series[0].Values
	if len(v) != 31 || v[29] != nil || v[30] == nil || *v[30] != 0.30000000000000004 {
		t.Errorf("the values are %v: want 31, exact, with a gap before the last", v)
	}
	if code, _, body := g.get(c, at+"?range=nonsense"); code != http.StatusBadRequest || !strings.HasPrefix(body, `{"error":{"message":`) {
		t.Errorf("a bad range answered %d %s", code, body)
	}
	if code, _, _ := g.get(c, at+"?"+strings.Repeat("graph=x&", maxGraphs+1)); code != http.StatusBadRequest {
		t.Errorf("too many graphs answered %d", code)
	}
	if code, _, _ := g.get(c, "/hosts/none/graphs.json"); code != http.StatusNotFound {
		t.Errorf("an unknown host answered %d", code)
	}
	if code, _, body := g.get(c, "/hosts/"+h.ID+"/graphs/loadavg.csv?range=30m"); code != http.StatusOK || !strings.HasPrefix(body, "time,loadavg1\n2027-01-15T07:30:00Z,0.30000000000000004\n") {
		t.Errorf("the CSV answered %d:\n%s", code, body)
	}
	if code, _, body := g.get(c, "/hosts/"+h.ID+"/graphs/custom.a.svg"); code != http.StatusOK || !strings.HasPrefix(body, "<svg ") {
		t.Errorf("the SVG answered %d:\n%.200s", code, body)
	}
	if code, _, _ := g.get(c, "/hosts/"+h.ID+"/graphs/no-such"); code != http.StatusNotFound {
		t.Errorf("an unknown graph answered %d", code)
	}
	// Coarse values are means with six digits.
	if _, _, body := g.get(c, at+"?range=3d&graph=loadavg"); !strings.Contains(body, "0.3]") && !strings.Contains(body, "0.3,") {
		t.Errorf("a coarse answer is not rounded: %s", body)
	}
}

func TestAssets(t *testing.T) {
	g := newRig(t, time.Now)
	a := loadAssets()
	get := func(path string, header ...string) *http.Response {
		req, err := http.NewRequest("GET", g.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip")
		if len(header) == 2 {
			req.Header.Set(header[0], header[1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	resp := get(a.url("app.js"))
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("app.js answered %d with %v", resp.StatusCode, resp.Header)
	}
	if again := get(a.url("app.js"), "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("an unchanged file answered %d", again.StatusCode)
	}
	if old := get("/static/0123/app.js"); old.StatusCode != http.StatusOK || strings.Contains(old.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("another build's address answered %d with %q", old.StatusCode, old.Header.Get("Cache-Control"))
	}
	if none := get("/static/" + a.hash + "/../web.go"); none.StatusCode == http.StatusOK && strings.Contains(none.Request.URL.Path, "static") {
		t.Errorf("a path outside answered %d", none.StatusCode)
	}
	if none := get(a.url("none.js")); none.StatusCode != http.StatusNotFound {
		t.Errorf("no file answered %d", none.StatusCode)
	}
}

func TestServicePages(t *testing.T) {
	var clock atomic.Int64 // Unix seconds
	clock.Store(1_700_000_100)
	g := newRig(t, func() time.Time { return time.Unix(clock.Load(), 0) })
	ctx := t.Context()
	if err := g.records.CreateService(ctx, g.org.ID, saba.Service{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	series := saba.Series{Org: g.org.ID, Service: "shop"}
	one := func(int64) float64 { return 1 }
	g.fillSeries(series, time.Hour, map[string]func(int64) float64{"orders.web": one, "access.count": one})
	if err := g.records.HideServiceGraph(ctx, g.org.ID, "shop", "access.*", clock.Load()); err != nil {
		t.Fatal(err)
	}
	c := g.signedIn()
	_, _, body := g.get(c, "/services/shop")
	if contains(t, body, "orders"); strings.Contains(body, "access") {
		t.Errorf("a graph that was deleted is shown:\n%s", body)
	}
	if code, _, _ := g.get(c, "/services/shop/graphs/access"); code != http.StatusNotFound {
		t.Errorf("the page of a graph that was deleted: %d, want 404", code)
	}
	// Samples that arrive after the deletion bring it back, also under another name of the service.
	clock.Add(120)
	g.fillSeries(series, 0, map[string]func(int64) float64{"access.count": one})
	if err := g.records.RenameService(ctx, g.org.ID, "shop", saba.Service{Name: "store"}); err != nil {
		t.Fatal(err)
	}
	_, _, body = g.get(c, "/services/store")
	contains(t, body, "orders", "access")
	_, _, body = g.get(c, "/services/store/graphs.json")
	contains(t, body, `"access"`)
}

func TestSeriesWithLabelsAreShown(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "web-1"})
	one := func(int64) float64 { return 1 }
	g.fill(h, 10*time.Minute, map[string]func(int64) float64{
		"loadavg5": one, `http.requests/s{code="200",path="/a\"b"}`: one, `http.requests/s{code="500",path="/a\"b"}`: func(int64) float64 { return 7 },
	})
	c := g.signedIn()
	_, _, body := g.get(c, "/hosts/"+h.ID)
	contains(t, body, "With labels", "http.requests/s", "/graphs/labelled:http.requests%2Fs")
	at := "/hosts/" + h.ID + "/graphs/labelled:http.requests%2Fs"
	code, _, body := g.get(c, at)
	if contains(t, body, "code=&#34;200&#34;", "code=&#34;500&#34;"); code != http.StatusOK {
		t.Errorf("the page of the graph: %d", code)
	}
	if code, _, body = g.get(c, at+".svg"); code != http.StatusOK || !strings.Contains(body, "<svg") {
		t.Errorf("the picture: %d %.200s", code, body)
	}
	if code, _, body = g.get(c, at+".csv"); code != http.StatusOK || !strings.Contains(body, ",7") {
		t.Errorf("the values: %d %.200s", code, body)
	}
	_, _, body = g.get(c, "/hosts/"+h.ID+"/graphs.json?range=30m&graph=labelled:http.requests%2Fs")
	contains(t, body, `"labelled:http.requests/s"`)
}

// All pages and parts are of one set, where the second of one name would take the place of the first on every page.
func TestNoTwoPartsHaveOneName(t *testing.T) {
	in := map[string]string{}
	err := fs.WalkDir(pageFiles, "page", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := pageFiles.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(`{{-?\s*(?:define|block)\s+"([^"]*)"`).FindAllSubmatch(b, -1) {
			name := string(m[1])
			if name == "main" {
				name += " of " + file
			}
			if other, there := in[name]; there {
				t.Errorf("%s and %s define %q", other, file, name)
			}
			in[name] = file
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(in) < 60 {
		t.Errorf("%d parts were looked at, want all", len(in))
	}
}
