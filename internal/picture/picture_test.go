package picture

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"image/png"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
	"github.com/saba-monitor/saba/internal/monitor"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// noon is the moment of the alerts in these tests.
const noon = 1767225600 + 12*3600 // 2026-01-01 12:00 UTC

// A rig is a Maker on real engines. Its clock stands until it is set.
type rig struct {
	*Maker
	t       *testing.T
	clock   atomic.Int64 // Unix seconds; the engine reads it too
	records *sqldb.DB
	engine  *tsdb.DB
	reads   counted
	org     string
	host    saba.Host
	service saba.Service
}

// counted counts the reads of the engine, and may refuse them.
type counted struct {
	Samples
	mu   sync.Mutex
	n    int
	fail error
}

func (c *counted) Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error) {
	c.mu.Lock()
	c.n++
	fail := c.fail
	c.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	return c.Samples.Range(ctx, series, from, to)
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	r := &rig{t: t}
	r.clock.Store(noon + 20)
	clock := func() time.Time { return time.Unix(r.clock.Load(), 0) }
	var err error
	if r.records, err = sqldb.Open(ctx, filepath.Join(dir, "saba.db")); err != nil {
		t.Fatal(err)
	}
	if r.engine, err = tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: slog.New(slog.DiscardHandler), Now: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.engine.Close(), r.records.Close()); err != nil {
			t.Error(err)
		}
	})
	org, err := r.records.EnsureOrg(ctx, saba.Org{ID: r.id(), Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r.org = org.ID
	r.host = saba.Host{ID: r.id(), Org: r.org, Name: "web1.example.test", Status: saba.Working, CreatedAt: noon}
	if err := r.records.CreateHost(ctx, r.host, nil, func() (string, error) { return r.id(), nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.records.CreateService(ctx, r.org, saba.Service{Name: "shop", Series: "shop-series"}); err != nil {
		t.Fatal(err)
	}
	services, err := r.records.Services(ctx, r.org)
	if err != nil || len(services) != 1 {
		t.Fatalf("the services are %v, %v", services, err)
	}
	r.service = services[0]
	r.reads.Samples = r.engine
	r.Maker, err = New(Options{Org: r.org, Address: "https://saba.example.test", Store: r.records, Samples: &r.reads, Key: bytes.Repeat([]byte{7}, KeySize), Zone: time.UTC, Now: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) id() string {
	r.t.Helper()
	id, err := saba.NewID(time.Unix(r.clock.Load(), 0), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// series returns the series of the rig's host, or of its service.
func (r *rig) series(service bool, metric string) saba.Series {
	if !service {
		return saba.Series{Org: r.org, Host: r.host.ID, Name: metric}
	}
	return saba.Series{Org: r.org, Service: r.service.Series, Name: metric}
}

// fill keeps samples of a metric, one a minute from from on, before the rig's clock.
func (r *rig) fill(s saba.Series, from int64, values func(i int) float64) {
	r.t.Helper()
	var points []saba.Point
	for at := from; at <= r.clock.Load(); at += 60 {
		points = append(points, saba.Point{Series: s, Sample: saba.Sample{Time: at, Value: values(len(points))}})
	}
	if drops, err := r.engine.Append(r.t.Context(), time.Unix(r.clock.Load(), 0), points); err != nil || drops.Total() > 0 {
		r.t.Fatalf("append %s: %v, %v", s.Name, drops, err)
	}
}

// event keeps a monitor and returns the event of an alert of it.
func (r *rig) event(m saba.Monitor) *saba.Event {
	r.t.Helper()
	m.ID, m.Name = r.id(), "a rule"
	m.Default()
	if err := m.Check(r.clock.Load()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.records.CreateMonitor(r.t.Context(), r.org, m); err != nil {
		r.t.Fatal(err)
	}
	a := saba.Alert{ID: r.id(), Status: saba.CheckCritical, Monitor: m.ID, Type: string(m.Type), OpenedAt: noon}
	e := &saba.Event{Kind: saba.EventAlert, Subject: a.ID, At: noon, Alert: &a, Monitor: &m}
	switch m.Type {
	case saba.MonitorHost, saba.MonitorConnectivity, saba.MonitorAnomaly:
		a.Host, e.Host = r.host.ID, &r.host
	}
	if m.Service != "" {
		e.Service = &r.service
	}
	return e
}

func hostMonitor(metric string) saba.Monitor {
	return saba.Monitor{Type: saba.MonitorHost, Metric: metric, Operator: ">", Warning: new(80.0), Critical: new(90.0), Duration: 1}
}

// url returns the path of an event's picture.
func (r *rig) url(e *saba.Event) string {
	r.t.Helper()
	path, ok := strings.CutPrefix(r.URL(e), r.Address)
	if !ok {
		r.t.Fatalf("URL = %q, want one that begins with %q", r.URL(e), r.Address)
	}
	return path
}

// get asks for an address as a stranger does.
func (r *rig) get(path string, headers ...string) *http.Response {
	r.t.Helper()
	return r.ask(httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, path, nil), headers...)
}

func (r *rig) ask(q *http.Request, headers ...string) *http.Response {
	r.t.Helper()
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, q)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestALinkShowsTheGraph(t *testing.T) {
	r := newRig(t)
	r.fill(r.series(false, "loadavg5"), noon-4*3600, func(i int) float64 { return float64(i % 100) })
	e := r.event(hostMonitor("loadavg5"))
	u := r.url(e)
	if !strings.HasPrefix(u, "/pictures/") || !strings.HasSuffix(u, ".png") {
		t.Fatalf("URL = %q", u)
	}
	if strings.Contains(u, r.org) || strings.Contains(u, e.Subject) || strings.Contains(u, r.host.ID) {
		t.Errorf("the address %q says more than it must", u)
	}
	resp := r.get(u)
	shown := body(t, resp)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/png" || resp.Header.Get("Cache-Control") != "private, max-age=300" {
		t.Fatalf("GET = %d %v", resp.StatusCode, resp.Header)
	}
	m, err := png.Decode(bytes.NewReader(shown))
	if err != nil || m.Bounds().Dx() != 1200 || m.Bounds().Dy() != 600 {
		t.Errorf("the picture is %v, %v; want 1200×600", m.Bounds(), err)
	}
	carried, err := r.PNG(t.Context(), e)
	if err != nil || !bytes.Equal(carried, shown) {
		t.Errorf("PNG gives another picture than the link: %v", err)
	}
	if len(shown) > 200<<10 {
		t.Errorf("the picture has %d bytes", len(shown))
	}

	tag := resp.Header.Get("ETag")
	if again := r.get(u, "If-None-Match", tag); tag == "" || again.StatusCode != 304 || len(body(t, again)) > 0 {
		t.Errorf("GET with the tag %s = %d, want 304", tag, again.StatusCode)
	}
	if head := r.ask(httptest.NewRequestWithContext(t.Context(), http.MethodHead, u, nil)); head.StatusCode != 200 || len(body(t, head)) > 0 || head.ContentLength != int64(len(shown)) {
		t.Errorf("HEAD = %d, %d bytes", head.StatusCode, head.ContentLength)
	}
	if post := r.ask(httptest.NewRequestWithContext(t.Context(), http.MethodPost, u, nil)); post.StatusCode != 405 || post.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST = %d", post.StatusCode)
	}
}

func TestWhatHasAPicture(t *testing.T) {
	r := newRig(t)
	service := saba.Monitor{Type: saba.MonitorService, Service: "shop", Metric: "orders.web", Operator: "<", Warning: new(10.0), Duration: 1}
	external := saba.Monitor{Type: saba.MonitorExternal, URL: "https://shop.example.test/"}
	timed := external
	timed.Service, timed.ResponseTimeWarning, timed.ResponseTimeDuration = "shop", new(500.0), new(int64(3))
	gone := r.event(hostMonitor("loadavg5"))
	gone.Monitor = nil
	retired := r.event(hostMonitor("loadavg5"))
	retired.Host = nil
	renamed := r.event(service)
	renamed.Service = nil
	for name, tt := range map[string]struct {
		event *saba.Event
		want  bool
	}{
		"a metric of a host":                 {r.event(hostMonitor("loadavg5")), true},
		"a percentage of a host":             {r.event(hostMonitor("cpu%")), true},
		"a metric of a service":              {r.event(service), true},
		"response times":                     {r.event(timed), true},
		"a page whose times nobody keeps":    {r.event(external), false},
		"a host that is silent":              {r.event(saba.Monitor{Type: saba.MonitorConnectivity}), false},
		"a check":                            {&saba.Event{Kind: saba.EventAlert, At: noon, Alert: &saba.Alert{ID: "2a", Type: saba.AlertCheck, Monitor: "2c", Host: r.host.ID}, Check: "disk", Host: &r.host}, false},
		"an expression, which none computes": {r.event(saba.Monitor{Type: saba.MonitorExpression, Expression: "max(role(shop:web, loadavg5))", Operator: ">", Warning: new(1.0)}), false},
		"a monitor that is gone":             {gone, false},
		"a host that is gone":                {retired, false},
		"a service that is gone":             {renamed, false},
		"no alert at all":                    {&saba.Event{Kind: saba.EventMonitor, At: noon, Monitor: gone.Monitor}, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := r.URL(tt.event)
			if (u != "") != tt.want {
				t.Errorf("URL = %q; want one: %v", u, tt.want)
			}
			b, err := r.PNG(t.Context(), tt.event)
			if err != nil || (b != nil) != tt.want {
				t.Errorf("PNG = %d bytes, %v; want some: %v", len(b), err, tt.want)
			}
			if tt.want {
				if resp := r.get(r.url(tt.event)); resp.StatusCode != 200 {
					t.Errorf("GET = %d", resp.StatusCode)
				}
			}
		})
	}
	t.Run("no link where saba has no address, but a picture", func(t *testing.T) {
		r.Address = ""
		e := r.event(hostMonitor("loadavg5"))
		if b, err := r.PNG(t.Context(), e); r.URL(e) != "" || len(b) == 0 || err != nil {
			t.Errorf("URL = %q, PNG = %d bytes, %v", r.URL(e), len(b), err)
		}
	})
}

func TestWhatIsDrawn(t *testing.T) {
	r := newRig(t)
	from := int64(noon - 4*3600)
	steady := func(v float64) func(int) float64 { return func(int) float64 { return v } }
	r.fill(r.series(false, "cpu.idle.percentage"), from, steady(50))
	r.fill(r.series(false, "cpu.user.percentage"), from, steady(150))
	for disk, used := range map[string]float64{"vda1": 40, "vdb1": 95, "vdc1": 60} {
		r.fill(r.series(false, "filesystem."+disk+".used"), from, steady(used))
		r.fill(r.series(false, "filesystem."+disk+".size"), from, steady(100))
	}
	r.fill(r.series(false, "memory.used"), from, steady(1<<30))
	r.fill(r.series(false, "custom.queue.depth"), from, steady(3))
	r.fill(r.series(true, "orders.web"), from, steady(12))
	if err := r.records.PutGraphDefs(t.Context(), r.org, []saba.GraphDef{{Name: "custom.queue", Unit: saba.UnitInteger, Metrics: []saba.GraphDefMetric{{Name: "custom.queue.*"}}}}); err != nil {
		t.Fatal(err)
	}
	timed := r.event(saba.Monitor{Type: saba.MonitorExternal, URL: "https://shop.example.test/", Service: "shop", ResponseTimeWarning: new(500.0), ResponseTimeDuration: new(int64(1))})
	r.fill(r.series(true, saba.ResponseTimeMetric+timed.Monitor.ID), from, steady(700))
	type line struct {
		label string
		value float64
	}
	for name, tt := range map[string]struct {
		event *saba.Event
		title string
		unit  saba.Unit
		lines []line
	}{
		"cpu% is computed":                {r.event(hostMonitor("cpu%")), "cpu% · web1.example.test", saba.UnitPercentage, []line{{"cpu%", 75}}},
		"the fullest disk comes first":    {r.event(hostMonitor("disk%")), "disk% · web1.example.test", saba.UnitPercentage, []line{{"disk% of vdb1", 95}, {"disk% of vdc1", 60}, {"disk% of vda1", 40}}},
		"the unit is that of the graph":   {r.event(hostMonitor("memory.used")), "memory.used · web1.example.test", saba.UnitBytes, []line{{"memory.used", 1 << 30}}},
		"or that of the definition":       {r.event(hostMonitor("custom.queue.depth")), "custom.queue.depth · web1.example.test", saba.UnitInteger, []line{{"custom.queue.depth", 3}}},
		"a service has its own":           {r.event(saba.Monitor{Type: saba.MonitorService, Service: "shop", Metric: "orders.web", Operator: "<", Warning: new(10.0), Duration: 1}), "orders.web · shop", saba.UnitFloat, []line{{"orders.web", 12}}},
		"response times are milliseconds": {timed, "response time of a rule · shop", saba.UnitMilliseconds, []line{{"response time", 700}}},
		"what never arrived has no lines": {r.event(hostMonitor("swap%")), "swap% · web1.example.test", saba.UnitPercentage, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, ok := r.subject(tt.event)
			if !ok {
				t.Fatal("there is nothing to draw")
			}
			c, err := r.chart(t.Context(), s)
			if err != nil || c.Unit != tt.unit || c.Title != tt.title {
				t.Errorf("%q in %q, %v; want %q in %q", c.Title, c.Unit, err, tt.title, tt.unit)
			}
			var got []line
			for _, l := range c.Series {
				if len(l.Values) != int(c.To-c.From)/60+1 || c.Start != c.From {
					t.Errorf("%s has %d values from %d on", l.Label, len(l.Values), c.Start)
				} else if !math.IsNaN(l.Values[0]) {
					got = append(got, line{l.Label, l.Values[0]})
				}
			}
			if !slices.Equal(got, tt.lines) {
				t.Errorf("lines %v, want %v", got, tt.lines)
			}
		})
	}
}

func TestThreeHoursAroundTheMoment(t *testing.T) {
	r := newRig(t)
	r.fill(r.series(false, "loadavg5"), noon-4*3600, func(i int) float64 { return float64(i) })
	rule := hostMonitor("loadavg5")
	rule.Operator, rule.Critical = "<", nil
	e := r.event(rule)
	s, ok := r.subject(e)
	if !ok {
		t.Fatal("there is nothing to draw")
	}
	for now, want := range map[int64]int64{noon + 20: noon + 300, noon + 600: noon + 600, noon + 86400: noon + 1800} {
		r.clock.Store(now)
		c, err := r.chart(t.Context(), s)
		if err != nil || c.From != noon-9000 || c.To != want {
			t.Errorf("%d s after the moment: from %d to %d s beside it, %v; want −9000 to %d", now-noon, c.From-noon, c.To-noon, err, want-noon)
		}
		if c.Mark == nil || c.Mark.At != noon || c.Mark.Bad != saba.CheckCritical {
			t.Errorf("the mark is %v", c.Mark)
		}
		if want := []chart.Limit{{Value: 80, Bad: saba.CheckWarning, Below: true}}; !slices.Equal(c.Limits, want) {
			t.Errorf("limits %v, want %v", c.Limits, want)
		}
	}
}

// A monitor, or the name of a host, that is changed after the message changes no picture in it.
func TestThePictureStaysWhatItWas(t *testing.T) {
	r := newRig(t)
	r.fill(r.series(false, "loadavg5"), noon-3600, func(i int) float64 { return float64(i) })
	e := r.event(hostMonitor("loadavg5"))
	u := r.url(e)
	first := body(t, r.get(u))
	if _, err := r.records.DeleteMonitor(t.Context(), r.org, e.Monitor.ID, noon); err != nil {
		t.Fatal(err)
	}
	r.kept = cache{}
	if resp := r.get(u); resp.StatusCode != 200 || !bytes.Equal(body(t, resp), first) {
		t.Error("the picture changed with its monitor")
	}
}

func TestHostsInLettersThatPicturesHave(t *testing.T) {
	for name, tt := range map[string]struct{ display, want string }{
		"the display name":               {"Front 1", "Front 1"},
		"one of other letters":           {"本番 1", "web1"},
		"accents and Greek are drawable": {"Größe Ω", "Größe Ω"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := label(&saba.Host{Name: "web1", DisplayName: tt.display}); got != tt.want {
				t.Errorf("label = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAPictureIsKeptForAWhile(t *testing.T) {
	r := newRig(t)
	s := r.series(false, "loadavg5")
	r.fill(s, noon-3600, func(i int) float64 { return float64(i) })
	u := r.url(r.event(hostMonitor("loadavg5")))
	first := body(t, r.get(u))
	reads := r.reads.n
	r.clock.Add(299)
	if again := body(t, r.get(u)); !bytes.Equal(again, first) || r.reads.n != reads {
		t.Errorf("within 5 minutes %d reads, want none", r.reads.n-reads)
	}
	r.clock.Add(1)
	r.fill(s, noon+60, func(i int) float64 { return 50 })
	if later := body(t, r.get(u)); bytes.Equal(later, first) || r.reads.n == reads {
		t.Error("after 5 minutes the picture is still the old one")
	}
}

func TestFewPicturesAreKept(t *testing.T) {
	var c cache
	at := time.Unix(noon, 0)
	for i := range 3 * keepMost {
		c.put(strings.Repeat("x", i+1), kept{drawn: at.Add(time.Duration(i) * time.Second)})
	}
	if len(c.byPath) != keepMost {
		t.Errorf("%d pictures are kept, want %d", len(c.byPath), keepMost)
	}
	if _, ok := c.get(strings.Repeat("x", 3*keepMost), at.Add(3*keepMost*time.Second)); !ok {
		t.Error("the newest is not among them")
	}
	c.put("later", kept{drawn: at.Add(time.Hour)})
	if len(c.byPath) != 1 {
		t.Errorf("%d pictures are kept after an hour, want 1", len(c.byPath))
	}
}

func TestOnlySoManyAreDrawnAtOnce(t *testing.T) {
	r := newRig(t)
	e := r.event(hostMonitor("loadavg5"))
	u := r.url(e)
	for range cap(r.turns) {
		r.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.PNG(ctx, e); !errors.Is(err, context.Canceled) {
		t.Errorf("PNG while all draw = %v, want it to wait for its turn", err)
	}
	if resp := r.ask(httptest.NewRequestWithContext(ctx, http.MethodGet, u, nil)); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("GET while all draw = %d, want 503", resp.StatusCode)
	}
	<-r.turns
	if resp := r.get(u); resp.StatusCode != 200 {
		t.Errorf("GET with a turn left = %d", resp.StatusCode)
	}
	if len(r.turns) != cap(r.turns)-1 {
		t.Errorf("%d of %d turns are taken: one was not given back", len(r.turns), cap(r.turns))
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	r.fill(r.series(false, "loadavg5"), noon-3600, func(i int) float64 { return float64(i) })
	u := r.url(r.event(hostMonitor("loadavg5")))
	want := body(t, r.get(u))
	r.kept = cache{}
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, u, nil))
			if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), want) {
				t.Errorf("GET beside others = %d", w.Code)
			}
		})
	}
	g.Wait()
}

func TestAnEngineThatFails(t *testing.T) {
	r := newRig(t)
	u := r.url(r.event(hostMonitor("loadavg5")))
	r.reads.fail = errors.New("the disk of /secret/path is broken")
	var log bytes.Buffer
	r.Log = slog.New(slog.NewTextHandler(&log, nil))
	resp := r.get(u)
	if b := string(body(t, resp)); resp.StatusCode != 500 || strings.Contains(b, "secret") || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("GET = %d %q", resp.StatusCode, b)
	}
	if !strings.Contains(log.String(), "secret") {
		t.Errorf("the log %q does not say why", log.String())
	}
	r.reads.fail = nil
	if resp := r.get(u); resp.StatusCode != 200 {
		t.Errorf("GET when it works again = %d", resp.StatusCode)
	}
}

func TestComputedLines(t *testing.T) {
	r := newRig(t)
	e := r.event(saba.Monitor{Type: saba.MonitorQuery, Query: "rate(requests[5m])", Operator: ">", Warning: new(1.0)})
	e.Alert.Series = saba.AlertSeries{Name: "requests of web", Labels: map[string]string{"app": "web"}}
	var asked saba.AlertSeries
	r.Computed = func(_ context.Context, _ string, m saba.Monitor, _ string, s saba.AlertSeries, from, to int64) ([]monitor.Line, saba.Unit, error) {
		asked = s
		return []monitor.Line{{Label: s.Name, Samples: []saba.Sample{{Time: from, Value: 1}, {Time: from + 60, Value: 2}}}}, saba.UnitIOPS, nil
	}
	u := r.url(e)
	if resp := r.get(u); resp.StatusCode != 200 {
		t.Errorf("GET = %d", resp.StatusCode)
	}
	if asked.Name != e.Alert.Series.Name || asked.Labels["app"] != "web" {
		t.Errorf("computed for %v, want %v", asked, e.Alert.Series)
	}
	r.kept, r.Computed = cache{}, nil
	if resp := r.get(u); resp.StatusCode != 404 {
		t.Errorf("GET where nothing computes = %d, want 404", resp.StatusCode)
	}
}
