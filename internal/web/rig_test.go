package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/monitor"
	"github.com/saba-monitor/saba/internal/promapi"
	"github.com/saba-monitor/saba/internal/replay"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// A rig is a console on real engines in a folder of its own.
type rig struct {
	t       testing.TB
	records *sqldb.DB
	samples *tsdb.DB
	org     saba.Org
	now     func() time.Time
	server  *httptest.Server
	trouble atomic.Pointer[string] // what is wrong with saba
	tester  tester
	drains  *drain.Drains
	learned atomic.Pointer[[]monitor.Learned] // what monitors of anomalies know
}

const (
	testToken    = "saba_set-up-token-of-the-tests"
	testEmail    = "operator@example.test"
	testPassword = "a long enough password"
)

func newRig(t testing.TB, now func() time.Time) *rig {
	t.Helper()
	dir, ctx := t.TempDir(), context.Background()
	g := &rig{t: t, now: now}
	var err error
	if g.records, err = sqldb.Open(ctx, filepath.Join(dir, "saba.db")); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	g.samples, err = tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: log, Registerer: prometheus.NewRegistry(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if g.org, err = g.records.EnsureOrg(ctx, saba.Org{ID: g.id(), Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := g.records.SetSetupToken(ctx, g.org.ID, saba.HashSecret(testToken)); err != nil {
		t.Fatal(err)
	}
	troubles := func() []string {
		if p := g.trouble.Load(); p != nil {
			return []string{*p}
		}
		return nil
	}
	points := ingest.New(ingest.Options{Hosts: g.records, Samples: g.samples, Log: log, Registerer: prometheus.NewRegistry(), Now: now})
	g.drains = drain.New(drain.Options{Org: g.org.ID, Store: g.records, Points: points, Samples: g.samples, Now: now, Log: log})
	g.server = httptest.NewServer(New(Options{
		Store: g.records, Samples: g.samples, Drains: g.drains, Now: now, Random: rand.Reader, Log: log, Version: saba.Version, Troubles: troubles, Notifier: &g.tester,
		Computed: func(ctx context.Context, org string, m saba.Monitor, host string, series saba.AlertSeries, from, to int64) ([]monitor.Line, saba.Unit, error) {
			past := monitor.Past{Org: org, Records: g.records, History: g.samples, Queries: promapi.NewQueries(g.records, g.samples), Zone: time.UTC}
			return past.Computed(ctx, m, host, series, from, to)
		},
		Learned: func(string) []monitor.Learned {
			if l := g.learned.Load(); l != nil {
				return *l
			}
			return nil
		},
		Replay: replay.New(replay.Options{Store: g.records, History: g.samples, Zone: time.UTC, Now: now}).Replay,
		CheckQuery: func(query string) error {
			if query == "no query" {
				return saba.Invalidf("query", "cannot be read, at line 1, column 4")
			}
			return nil
		},
	}))
	t.Cleanup(func() {
		g.server.Close()
		if err := g.samples.Close(); err != nil {
			t.Error(err)
		}
		if err := g.records.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g *rig) id() string {
	g.t.Helper()
	id, err := saba.NewID(g.now(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	return id
}

func newID() (string, error) { return saba.NewID(time.Now(), rand.Reader) }

// client returns a browser without scripts: it keeps cookies and follows redirects.
func (g *rig) client() *http.Client {
	g.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// signedIn returns a client with a session of the owner, without the cost of a password.
func (g *rig) signedIn() *http.Client { g.t.Helper(); return g.with(g.session()) }

// with returns a client with a session.
func (g *rig) with(session string) *http.Client {
	g.t.Helper()
	c := g.client()
	u, err := url.Parse(g.server.URL)
	if err != nil {
		g.t.Fatal(err)
	}
	c.Jar.SetCookies(u, []*http.Cookie{{Name: sessionCookie, Value: session, Path: "/"}})
	return c
}

// session makes the owner's account, if there is none, and a session of it, and returns its token.
func (g *rig) session() string {
	g.t.Helper()
	ctx := context.Background()
	u, err := g.records.UserByEmail(ctx, testEmail)
	if err != nil {
		u = saba.User{ID: g.id(), Org: g.org.ID, Email: testEmail, PasswordHash: nobodysHash, CreatedAt: g.now().Unix()}
		if err := g.records.CompleteSetup(ctx, saba.HashSecret(testToken), u); err != nil {
			g.t.Fatal(err)
		}
	}
	return g.sessionOf(u)
}

// signedInAs returns a client with a session of a new account.
func (g *rig) signedInAs(a saba.Authority) *http.Client {
	g.t.Helper()
	token := g.invitation(string(a)+"@example.test", a)
	u := saba.User{ID: g.id(), Org: g.org.ID, PasswordHash: nobodysHash, CreatedAt: g.now().Unix()}
	if err := g.records.AcceptInvitation(context.Background(), saba.HashSecret(token), u, u.CreatedAt); err != nil {
		g.t.Fatal(err)
	}
	return g.with(g.sessionOf(u))
}

// invitation invites somebody and returns the token of the link.
func (g *rig) invitation(email string, a saba.Authority) string {
	g.t.Helper()
	ctx, now := context.Background(), g.now().Unix()
	if err := g.records.Invite(ctx, g.org.ID, saba.Invitation{Email: email, Authority: a, ExpiresAt: now + saba.InvitationLife}, now); err != nil {
		g.t.Fatal(err)
	}
	token := "token-of-" + email
	if err := g.records.LinkInvitation(ctx, g.org.ID, email, saba.HashSecret(token), now); err != nil {
		g.t.Fatal(err)
	}
	return token
}

// sessionOf makes a session of an account of the rig's organization, and returns its token.
func (g *rig) sessionOf(u saba.User) string {
	g.t.Helper()
	token, err := saba.NewSecret(rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	s := saba.Session{Hash: saba.HashSecret(token), User: u.ID, Org: g.org.ID, CreatedAt: g.now().Unix(), ExpiresAt: g.now().Add(sessionLife).Unix()}
	if err := g.records.CreateSession(context.Background(), s); err != nil {
		g.t.Fatal(err)
	}
	return token
}

// get returns the status, the final address and the body of a page.
func (g *rig) get(c *http.Client, path string) (code int, at, body string) {
	g.t.Helper()
	resp, err := c.Get(g.server.URL + path)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.read(resp)
}

func (g *rig) post(c *http.Client, path string, form url.Values) (code int, at, body string) {
	g.t.Helper()
	resp, err := c.PostForm(g.server.URL+path, form)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.read(resp)
}

func (g *rig) read(resp *http.Response) (code int, at, body string) {
	g.t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, resp.Request.URL.RequestURI(), string(b)
}

// host registers a host.
func (g *rig) host(h saba.Host) saba.Host {
	g.t.Helper()
	if h.ID == "" {
		h.ID = g.id()
	}
	h.Org = g.org.ID
	if h.Status == "" {
		h.Status = saba.Working
	}
	if h.Meta == nil {
		h.Meta = json.RawMessage(`{}`)
	}
	if h.CreatedAt == 0 {
		h.CreatedAt = g.now().Unix()
	}
	if err := g.records.CreateHost(context.Background(), h, nil, newID); err != nil {
		g.t.Fatal(err)
	}
	return h
}

// fill stores one value a minute for each metric of a host, over the last length.
func (g *rig) fill(h saba.Host, length time.Duration, metrics map[string]func(minute int64) float64) {
	g.t.Helper()
	g.fillSeries(saba.Series{Org: g.org.ID, Host: h.ID}, length, metrics)
}

func (g *rig) fillSeries(s saba.Series, length time.Duration, metrics map[string]func(minute int64) float64) {
	g.t.Helper()
	end := saba.Minute(g.now().Unix())
	var points []saba.Point
	flush := func(at int64) {
		if len(points) == 0 {
			return
		}
		if drops, err := g.samples.Append(context.Background(), time.Unix(at, 0), points); err != nil || drops.Total() > 0 {
			g.t.Fatalf("append: %v, %v", drops, err)
		}
		points = points[:0]
	}
	for t := end - int64(length/time.Second); t <= end; t += 60 {
		for name, f := range metrics {
			s.Name = name
			if v := f(t / 60); !math.IsNaN(v) {
				points = append(points, saba.Point{Series: s, Sample: saba.Sample{Time: t, Value: v}})
			}
		}
		if len(points) > 200_000 {
			flush(t)
		}
	}
	flush(end)
}

// wave returns a curve that looks like load: daily, with bursts, never below zero.
func wave(seed, low, high float64) func(int64) float64 {
	return func(m int64) float64 {
		x := float64(m)
		daily := 0.5 + 0.5*math.Sin(2*math.Pi*(x/1440)+seed)
		burst := math.Pow(0.5+0.5*math.Sin(x/17+seed*3)*math.Sin(x/5.3+seed), 3)
		noise := math.Mod(math.Abs(math.Sin(x*12.9898+seed*78.233)*43758.5453), 1)
		return low + (high-low)*(0.45*daily+0.35*burst+0.2*noise)
	}
}

// machine returns the metrics of a Linux host with a number of cores. gap says in which
// minutes it was cut off.
func machine(seed float64, cores float64, gap func(int64) bool) map[string]func(int64) float64 {
	const gib = 1 << 30
	m := map[string]func(int64) float64{
		"loadavg1": wave(seed, 0.1, cores), "loadavg5": wave(seed, 0.2, cores*.8), "loadavg15": wave(seed, 0.3, cores*.6),
		"memory.total": func(int64) float64 { return 16 * gib }, "memory.used": wave(seed+1, 5*gib, 9*gib),
		"memory.swap_total": func(int64) float64 { return 2 * gib }, "memory.swap_used": wave(seed+2, 0, gib/8), "memory.swap_cached": wave(seed+2, 0, gib/64),
		"disk.nvme0n1.reads.delta": wave(seed+3, 2, 160), "disk.nvme0n1.writes.delta": wave(seed+4, 20, 420),
		"interface.eth0.rxBytes.delta": wave(seed+5, 2e5, 9e6), "interface.eth0.txBytes.delta": wave(seed+6, 1e5, 4e6),
		"filesystem.root.size": func(int64) float64 { return 120 * gib }, "filesystem.root.used": wave(seed+7, 61*gib, 64*gib),
		"filesystem.data.size": func(int64) float64 { return 480 * gib }, "filesystem.data.used": wave(seed+8, 300*gib, 310*gib),
	}
	used := m["memory.used"]
	m["memory.available"] = func(x int64) float64 { return 16*gib - used(x) }
	states := map[string][2]float64{"user": {4, 46}, "system": {2, 14}, "iowait": {0, 9}, "softirq": {0, 2}, "steal": {0, 1.5}, "nice": {0, 1}, "irq": {0, .2}, "guest": {0, 0}}
	for s, r := range states {
		m["cpu."+s+".percentage"] = wave(seed+r[1], r[0]*cores, r[1]*cores)
	}
	m["cpu.idle.percentage"] = func(x int64) float64 {
		busy := 0.0
		for s := range states {
			busy += m["cpu."+s+".percentage"](x)
		}
		return 100*cores - busy
	}
	if gap != nil {
		for name, f := range m {
			m[name] = func(x int64) float64 {
				if gap(x) {
					return math.NaN()
				}
				return f(x)
			}
		}
	}
	return m
}

const linuxMeta = `{"agent-name":"saba-agent/0.1.0","agent-version":"0.1.0","cpu":[{"model_name":"AMD EPYC 7763 64-Core Processor"},{"model_name":"AMD EPYC 7763"},{"model_name":"x"},{"model_name":"x"}],
	"kernel":{"name":"Linux","release":"6.1.0-18-amd64","machine":"x86_64","os":"GNU/Linux","platform_name":"Debian","platform_version":"12.5","version":"#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1"},
	"memory":{"total":"16384000kB"}}`

// town fills the rig with hosts as an operator has them, and returns the one with everything.
func (g *rig) town() saba.Host {
	g.t.Helper()
	ctx := context.Background()
	roles := [][]saba.RoleName{{{Service: "shop", Role: "web"}}, {{Service: "shop", Role: "web"}}, {{Service: "shop", Role: "app"}}, {{Service: "shop", Role: "db"}}, {{Service: "search", Role: "index"}}, {{Service: "mail", Role: "relay"}, {Service: "shop", Role: "queue"}}, nil}
	for i := range 26 {
		h := saba.Host{
			Name: fmt.Sprintf("%s-%02d.example.test", []string{"web", "web", "app", "db", "idx", "relay", "lab"}[i%7], i/7+1), Roles: roles[i%7],
			Meta: json.RawMessage(linuxMeta), CreatedAt: g.now().Unix() - int64(i)*40000,
			Interfaces: []saba.Interface{{Name: "eth0", IPv4: []string{fmt.Sprintf("192.0.2.%d", 10+i)}}},
		}
		switch i {
		case 4:
			h.Status = saba.Standby
		case 9:
			h.Status = saba.Maintenance
		case 13:
			h.Status = saba.Poweroff
		case 6:
			h.DisplayName = "Lab bench"
		}
		h = g.host(h)
		if i == 20 {
			continue // never sent anything
		}
		cores := float64(2 + i%4*2)
		end := saba.Minute(g.now().Unix()) / 60
		silent := map[int]int64{13: 26 * 60, 17: 12}[i]
		g.fill(h, 90*time.Minute, machine(float64(i), cores, func(m int64) bool { return m > end-silent }))
	}
	g.fillSeries(saba.Series{Org: g.org.ID, Service: "shop"}, 2*time.Hour, map[string]func(int64) float64{"orders.web": wave(1, 3, 80), "orders.app": wave(2, 3, 50), "revenue.total": wave(3, 100, 4000)})
	// The longest history comes last and at once. It makes the engine compact, and points that
	// arrive meanwhile and are late are the one thing that it is not safe against.
	now := g.now().Unix() / 60
	main := g.host(saba.Host{
		Name: "web-main-1.example.test", DisplayName: "Front door", Roles: []saba.RoleName{{Service: "shop", Role: "web"}, {Service: "shop", Role: "app"}}, Memo: "Takes all traffic of the shop.",
		Meta: json.RawMessage(linuxMeta), CreatedAt: g.now().Unix() - 40*day, CustomIdentifier: "i-0123456789",
		Interfaces: []saba.Interface{{Name: "eth0", IPv4: []string{"192.0.2.200"}, IPv6: []string{"2001:db8::10", "fe80::1"}}, {Name: "eth1", IPv4: []string{"198.51.100.7"}}},
	})
	metrics := machine(42, 4, func(m int64) bool {
		ago := now - m
		return ago > 20 && ago < 28 || ago > 900 && ago < 1020 || ago == 40 || ago == 42
	})
	metrics["custom.redis.clients.connected"] = wave(3, 40, 90)
	metrics["custom.redis.clients.blocked"] = wave(4, 0, 6)
	metrics["custom.queue.mail.ready"], metrics["custom.queue.mail.failed"] = wave(5, 0, 400), wave(6, 0, 5)
	metrics["custom.queue.search.ready"], metrics["custom.queue.search.failed"] = wave(7, 0, 900), wave(8, 0, 15)
	metrics["custom.latency.p50"], metrics["custom.latency.p99"] = wave(9, .02, .08), wave(10, .2, 1.4)
	metrics["custom.oddments.temperature"] = wave(11, 41, 44)
	for i, code := range []string{"200", "302", "404", "500"} {
		metrics[`http.server.requests/s{code="`+code+`",job="front",route="/cart/{id}"}`] = wave(12+float64(i), 0, 90/float64(i+1))
	}
	g.fill(main, 23*time.Hour, metrics)
	defs := []saba.GraphDef{
		{Name: "custom.redis.clients", DisplayName: "Redis clients", Unit: saba.UnitInteger, Metrics: []saba.GraphDefMetric{{Name: "custom.redis.clients.connected", DisplayName: "Connected", Stacked: true}, {Name: "custom.redis.clients.blocked", DisplayName: "Blocked", Stacked: true}}},
		{Name: "custom.queue.#", DisplayName: "Queues", Unit: saba.UnitInteger, Metrics: []saba.GraphDefMetric{{Name: "custom.queue.#.ready", DisplayName: "Ready"}, {Name: "custom.queue.#.failed", DisplayName: "Failed"}}},
		{Name: "custom.latency", DisplayName: "Request latency", Unit: saba.UnitSeconds, Metrics: []saba.GraphDefMetric{{Name: "custom.latency.*", DisplayName: "%1"}}},
	}
	if err := g.records.PutGraphDefs(ctx, g.org.ID, defs); err != nil {
		g.t.Fatal(err)
	}
	reports := []saba.CheckReport{
		{Host: main.ID, Name: "http", Status: saba.CheckOK, Message: "200 OK in 0.041 seconds", OccurredAt: g.now().Unix() - 30},
		{Host: main.ID, Name: "disk", Status: saba.CheckWarning, Message: "/data is 81% full", OccurredAt: g.now().Unix() - 45},
		{Host: main.ID, Name: "certificate", Status: saba.CheckCritical, Message: "shop.example.test expires in 3 days\nissuer: Example CA", OccurredAt: g.now().Unix() - 3000},
		{Host: main.ID, Name: "backup", Status: saba.CheckUnknown, Message: "no state file", OccurredAt: g.now().Unix() - 300},
	}
	if err := g.records.ReportChecks(ctx, g.org.ID, reports, newID); err != nil {
		g.t.Fatal(err)
	}
	if err := g.records.PutMetadata(ctx, saba.MetadataOwner{Org: g.org.ID, Host: main.ID}, saba.Metadata{Namespace: "rack", Value: json.RawMessage(`{"row":3}`), UpdatedAt: g.now().Unix()}); err != nil {
		g.t.Fatal(err)
	}
	for i, name := range []string{"agents", "deploy pipeline", "read-only dashboards"} {
		k := saba.Key{ID: g.id(), Org: g.org.ID, Name: name, Hash: saba.HashSecret(name), Read: true, Write: i < 2, CreatedAt: g.now().Unix() - int64(i)*1e6}
		if err := g.records.CreateKey(ctx, k); err != nil {
			g.t.Fatal(err)
		}
	}
	return main
}

func contains(t *testing.T, body string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(body, w) {
			t.Errorf("the page lacks %q:\n%s", w, body)
		}
	}
}
