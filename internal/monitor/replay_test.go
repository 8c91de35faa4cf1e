package monitor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/promapi"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// A past is a day of two hosts and a service, which an evaluator has judged minute by minute while it went by.
type past struct {
	*testing.T
	begin, now time.Time
	records    *sqldb.DB
	samples    *tsdb.DB
}

func newPast(t *testing.T) *past {
	p := &past{T: t, begin: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)}
	p.now = p.begin
	dir := t.TempDir()
	var err error
	if p.records, err = sqldb.Open(t.Context(), filepath.Join(dir, "saba.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.records.Close() })
	if _, err := p.records.EnsureOrg(t.Context(), saba.Org{ID: "org", Name: "test"}); err != nil {
		t.Fatal(err)
	}
	begin := p.begin
	p.samples, err = tsdb.Open(t.Context(), tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return begin }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.samples.Close() })
	for _, name := range []string{"web1", "web2"} {
		h := saba.Host{ID: name, Org: "org", Name: name, Status: saba.Working, Meta: []byte("{}"), Roles: []saba.RoleName{{Service: "shop", Role: "web"}}}
		if err := p.records.CreateHost(t.Context(), h, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *past) monitor(m saba.Monitor) saba.Monitor {
	m.Name = m.ID
	m.Default()
	if err := m.Check(p.now.Unix()); err != nil {
		p.Fatal(m.ID, err)
	}
	if err := p.records.CreateMonitor(p.Context(), "org", m); err != nil {
		p.Fatal(err)
	}
	return m
}

func (p *past) post(s saba.Series, v float64) {
	s.Org = "org"
	if _, err := p.samples.Append(p.Context(), p.now, []saba.Point{{Series: s, Sample: saba.Sample{Time: p.now.Unix(), Value: v}}}); err != nil {
		p.Fatal(err)
	}
}

func (p *past) replay(m saba.Monitor) saba.Replay {
	p.Helper()
	all := Past{Org: "org", Records: p.records, History: p.samples, Queries: promapi.NewQueries(p.records, p.samples), Zone: time.UTC}
	got, err := all.Replay(p.Context(), m, p.begin.Unix(), p.now.Unix())
	if err != nil {
		p.Fatal(m.ID, err)
	}
	return got
}

// steps writes what happened to an alert, and what it says in the end.
func steps(about string, moves []saba.AlertMove, words string) string {
	var b strings.Builder
	for _, s := range moves {
		value := "-"
		if s.Value != nil {
			value = saba.FormatValue(*s.Value)
		}
		fmt.Fprintf(&b, "%s %s %s %s; ", time.Unix(s.At, 0).UTC().Format("15:04"), about, s.Status, value)
	}
	return b.String() + words + "\n"
}

// The replay of a day opens, moves and closes the alerts that the loop did while the day went by: at the same minutes, with the same words.
func TestReplayIsWhatTheLoopDid(t *testing.T) {
	p := newPast(t)
	random := mathrand.New(mathrand.NewPCG(6, 1))
	if err := p.records.CreateDowntime(t.Context(), "org", saba.Downtime{ID: "d", Name: "d", Start: p.begin.Unix() + 100*60, Duration: 40, RoleScopes: []saba.Scope{{Service: "shop", Role: "web"}}}); err != nil {
		t.Fatal(err)
	}
	monitors := []saba.Monitor{
		p.monitor(saba.Monitor{ID: "load", Type: saba.MonitorHost, Metric: "loadavg5", Operator: ">", Warning: new(6.0), Critical: new(8.0), Duration: 3, MaxCheckAttempts: 2}),
		p.monitor(saba.Monitor{ID: "once", Type: saba.MonitorHost, Metric: "loadavg5", Operator: "<", Critical: new(1.0), Duration: 1}),
		p.monitor(saba.Monitor{ID: "disk", Type: saba.MonitorHost, Metric: "disk%", Operator: ">", Warning: new(60.0), Critical: new(80.0), Duration: 2}),
		p.monitor(saba.Monitor{ID: "gone", Type: saba.MonitorConnectivity}),
		p.monitor(saba.Monitor{ID: "orders", Type: saba.MonitorService, Service: "shop", Metric: "orders", Operator: "<", Warning: new(3.0), Duration: 2, MissingDurationWarning: new(int64(10)), MissingDurationCritical: new(int64(20))}),
		p.monitor(saba.Monitor{ID: "sum", Type: saba.MonitorExpression, Expression: "sum(role(shop:web, loadavg5))", Operator: ">", Warning: new(9.0), Critical: new(13.0)}),
		p.monitor(saba.Monitor{ID: "each", Type: saba.MonitorQuery, Query: "loadavg5", Legend: "load of {{host_name}}", Operator: ">", Warning: new(7.0), EvaluateBackwardMinutes: new(int64(1))}),
	}
	services, err := p.records.Services(t.Context(), "org")
	if err != nil {
		t.Fatal(err)
	}
	p.now = p.begin.Add(-time.Hour) // silence counts since the start
	loop := New(Options{Org: "org", Store: p.records, Samples: p.samples, Queries: promapi.NewQueries(p.records, p.samples), Zone: time.UTC, Now: func() time.Time { return p.now }, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
	p.now = p.begin
	away := map[string]int{} // minutes that a sender still sends nothing
	there := func(who string, often, long int) bool {
		if away[who]--; away[who] < 0 && random.IntN(often) == 0 {
			away[who] = random.IntN(long)
		}
		return away[who] <= 0
	}
	for minute := range 300 {
		for _, host := range []string{"web1", "web2"} {
			if host == "web2" && minute >= 215 && minute < 270 { // a series that comes to its end while it is bad
				if minute < 220 {
					p.post(saba.Series{Host: host, Name: "loadavg5"}, 9)
				}
				continue
			}
			if !there(host, 60, 50) {
				continue
			}
			if there(host+" load", 20, 15) {
				p.post(saba.Series{Host: host, Name: "loadavg5"}, float64(random.IntN(10)))
			}
			p.post(saba.Series{Host: host, Name: "filesystem.a.used"}, float64(random.IntN(100)))
			p.post(saba.Series{Host: host, Name: "filesystem.a.size"}, 100)
			if there(host+" b", 20, 15) {
				p.post(saba.Series{Host: host, Name: "filesystem.b.used"}, float64(random.IntN(100)))
				p.post(saba.Series{Host: host, Name: "filesystem.b.size"}, 100)
			}
		}
		if there("orders", 30, 30) {
			p.post(saba.Series{Service: services[0].Series, Name: "orders"}, float64(random.IntN(8)))
		}
		if err := loop.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.now = p.now.Add(time.Minute)
	}
	p.now = p.now.Add(-time.Minute)
	p.compare(monitors)
}

// compare says where a replay differs from what the loop did.
func (p *past) compare(monitors []saba.Monitor) {
	p.Helper()
	alerts, err := p.records.Alerts(p.Context(), "org", saba.AlertPage{Limit: 10_000, Closed: true})
	if err != nil {
		p.Fatal(err)
	}
	for _, m := range monitors {
		var want, got []string
		for _, a := range alerts {
			if a.Monitor != m.ID {
				continue
			}
			logs, err := p.records.AlertLogs(p.Context(), "org", a.ID, "", 1000)
			if err != nil {
				p.Fatal(err)
			}
			var moves []saba.AlertMove
			for _, l := range slices.Backward(logs) { // newest first
				moves = append(moves, l.AlertMove)
			}
			want = append(want, steps(a.Host+a.Series.String(), moves, a.Message))
		}
		for _, a := range p.replay(m).Alerts {
			got = append(got, steps(a.Host+a.Series.String(), a.Steps, a.Steps[len(a.Steps)-1].Message))
			if worst := a.Steps[0].Status; a.Worst.Severity() < worst.Severity() {
				p.Errorf("monitor %s: an alert that began as %s was %s at worst", m.ID, worst, a.Worst)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if len(want) < 3 {
			p.Errorf("monitor %s opened %d alerts: too few to say anything", m.ID, len(want))
		}
		if !slices.Equal(got, want) {
			p.Errorf("monitor %s: the replay says\n%s\nthe loop did\n%s", m.ID, strings.Join(got, ""), strings.Join(want, ""))
		}
	}
}

// The same of anomalies: half a day in which two hosts are odd at times, of which one has four weeks behind it, and the other one comes new.
func TestReplayOfAnomaliesIsWhatTheLoopDid(t *testing.T) {
	p := newPast(t)
	p.begin = p.begin.AddDate(0, 0, 30)
	random := mathrand.New(mathrand.NewPCG(6, 2))
	points := func(host string, at time.Time, cpu, sent float64) (all []saba.Point) {
		for name, v := range map[string]float64{"cpu.user.percentage": cpu, "cpu.idle.percentage": 100 - cpu, "interface.eth0.txBytes.delta": sent} {
			all = append(all, saba.Point{Series: saba.Series{Org: "org", Host: host, Name: name}, Sample: saba.Sample{Time: at.Unix(), Value: v}})
		}
		return all
	}
	keep := func(at time.Time, all []saba.Point) {
		if _, err := p.samples.Append(t.Context(), at, all); err != nil {
			t.Fatal(err)
		}
	}
	for at := p.now; at.Before(p.begin); at = at.Add(time.Hour) {
		if h := at.Hour(); h < 11 || h > 18 {
			continue // nothing looks there
		}
		var hour []saba.Point
		for minute := range 60 {
			busy := float64(10 + 10*(at.Hour()%3) + random.IntN(6))
			hour = append(hour, points("web1", at.Add(time.Duration(minute)*time.Minute), busy, 1e6*busy)...)
		}
		keep(at.Add(time.Hour), hour)
	}
	p.now = p.begin
	monitors := []saba.Monitor{
		p.monitor(saba.Monitor{ID: "odd", Type: saba.MonitorAnomaly, Scopes: []saba.Scope{{Service: "shop", Role: "web"}}, WarningSensitivity: "sensitive", CriticalSensitivity: "normal", MaxCheckAttempts: 2}),
		p.monitor(saba.Monitor{ID: "any", Type: saba.MonitorAnomaly, WarningSensitivity: "normal", CriticalSensitivity: "insensitive", TrainingPeriodFrom: p.begin.AddDate(0, 0, -9).Unix()}),
	}
	loop := New(Options{Org: "org", Store: p.records, Samples: p.samples, Queries: promapi.NewQueries(p.records, p.samples), Zone: time.UTC, Now: func() time.Time { return p.now }, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
	wrong := map[string]int{} // minutes for which a host stays odd
	for range 360 {
		var all []saba.Point
		for _, host := range []string{"web1", "web2"} {
			if random.IntN(15) == 0 {
				continue // a minute is missing
			}
			cpu := float64(10 + 10*(p.now.Hour()%3) + random.IntN(6))
			sent := 1e6 * cpu
			if wrong[host]--; wrong[host] < 0 && random.IntN(30) == 0 {
				wrong[host] = random.IntN(12)
			}
			if wrong[host] > 0 {
				cpu += float64(12 + random.IntN(30))
				sent *= 1 + random.Float64()
			}
			all = append(all, points(host, p.now, cpu, sent)...)
		}
		keep(p.now, all)
		if err := loop.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.now = p.now.Add(time.Minute)
	}
	p.now = p.now.Add(-time.Minute)
	p.compare(monitors)
}

func TestReplayOfResponseTimes(t *testing.T) {
	p := newPast(t)
	m := p.monitor(saba.Monitor{ID: "site", Type: saba.MonitorExternal, URL: "https://shop.example/", Service: "shop", ResponseTimeWarning: new(300.0), ResponseTimeDuration: new(int64(1)), MaxCheckAttempts: 2})
	services, err := p.records.Services(t.Context(), "org")
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range []float64{100, 400, 100, 400, 500, 600, 200} {
		p.post(saba.Series{Service: services[0].Series, Name: saba.ResponseTimeMetric + "site"}, ms)
		p.now = p.now.Add(time.Minute)
	}
	got := p.replay(m)
	want := "12:04 site WARNING 500; 12:06 site OK 200; response time in ms 500 > 300\n"
	if len(got.Alerts) != 1 || steps("site", got.Alerts[0].Steps, got.Alerts[0].Message) != want {
		t.Errorf("the replay is %+v, want one alert with the steps\n%s", got, want)
	}
	m.Service = ""
	if _, err := (Past{Org: "org", Records: p.records, History: p.samples, Zone: time.UTC}).Replay(t.Context(), m, p.begin.Unix(), p.now.Unix()); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("without a service the error is %v", err)
	}
}

// steady is a history in which every metric of a host has a sample each minute, made when it is asked for.
type steady struct {
	History
	hosts int
	value func(at int64) float64
}

func (s steady) Hosts(context.Context, string, saba.HostFilter) (hosts []saba.Host, err error) {
	for i := range s.hosts {
		hosts = append(hosts, saba.Host{ID: fmt.Sprint("h", i), Name: fmt.Sprint("h", i), Status: saba.Working})
	}
	return hosts, nil
}
func (s steady) Services(context.Context, string) ([]saba.Service, error)   { return nil, nil }
func (s steady) Downtimes(context.Context, string) ([]saba.Downtime, error) { return nil, nil }

func (s steady) Range(_ context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error) {
	all := make([][]saba.Sample, len(series))
	for i := range all {
		for at := from; at <= to; at += saba.Resolution {
			all[i] = append(all[i], saba.Sample{Time: at, Value: s.value(at)})
		}
	}
	return all, nil
}

func TestReplayStopsWhereItIsTooMuch(t *testing.T) {
	flaps := steady{hosts: 3, value: func(at int64) float64 { return float64(at / 60 % 2) }}
	m := saba.Monitor{ID: "m", Type: saba.MonitorHost, Metric: "x", Operator: ">", Warning: new(0.5), Duration: 1, MaxCheckAttempts: 1}
	p := Past{Records: flaps, History: flaps, Zone: time.UTC}
	got, err := p.Replay(t.Context(), m, 0, 30*86400)
	if err != nil || !got.Cut || len(got.Alerts) != maxSteps/2 {
		t.Errorf("a metric that flaps each minute: %d alerts, cut %t, %v; want %d and cut", len(got.Alerts), got.Cut, err, maxSteps/2)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Replay(ctx, m, 0, 30*86400); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context the error is %v", err)
	}
}

// BenchmarkReplayHosts replays a monitor of a metric over 30 days of 100 hosts out of the storage engine.
func BenchmarkReplayHosts(b *testing.B) {
	const hosts, days = 100, 30
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	clock := now.Add(-days * 24 * time.Hour)
	db, err := tsdb.Open(b.Context(), tsdb.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for ; !clock.After(now); clock = clock.Add(time.Hour) {
		var points []saba.Point
		for i := range hosts {
			for k := range int64(60) {
				points = append(points, saba.Point{Series: saba.Series{Org: "org", Host: fmt.Sprint("h", i), Name: "loadavg5"}, Sample: saba.Sample{Time: clock.Unix() + k*60, Value: random.NormFloat64() + 3}})
			}
		}
		if _, err := db.Append(b.Context(), clock.Add(time.Hour), points); err != nil {
			b.Fatal(err)
		}
	}
	m := saba.Monitor{ID: "m", Type: saba.MonitorHost, Metric: "loadavg5", Operator: ">", Warning: new(5.0), Critical: new(6.0), Duration: 3, MaxCheckAttempts: 1}
	p := Past{Org: "org", Records: steady{hosts: hosts}, History: db, Zone: time.UTC}
	alerts := 0
	for b.Loop() {
		got, err := p.Replay(b.Context(), m, now.Unix()-days*86400, now.Unix())
		if err != nil {
			b.Fatal(err)
		}
		alerts = len(got.Alerts)
	}
	b.ReportMetric(float64(alerts), "alerts")
}

// A fleet is hosts of a role with every quantity that monitors of anomalies judge.
type fleet struct{ steady }

func (f fleet) Hosts(ctx context.Context, org string, filter saba.HostFilter) ([]saba.Host, error) {
	hosts, err := f.steady.Hosts(ctx, org, filter)
	for i := range hosts {
		hosts[i].Roles = []saba.RoleName{{Service: "shop", Role: "web"}}
	}
	return hosts, err
}

func (fleet) HostNames(context.Context, string, string) ([]string, error) {
	return []string{"disk.sda.reads.delta", "disk.sda.writes.delta", "interface.eth0.rxBytes.delta", "interface.eth0.txBytes.delta"}, nil
}

// BenchmarkReplayAnomalies replays a week of a monitor of anomalies over 20 hosts with all quantities, and the four weeks of which it learns, without
// an engine to read: the engine takes as long again, or so.
func BenchmarkReplayAnomalies(b *testing.B) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC).Unix()
	f := fleet{steady{hosts: 20, value: func(at int64) float64 { return float64(40 + at/60%7) }}}
	p := Past{Records: f, History: f, Zone: time.UTC}
	m := saba.Monitor{ID: "m", Type: saba.MonitorAnomaly, WarningSensitivity: "normal", MaxCheckAttempts: 3}
	for b.Loop() {
		if _, err := p.Replay(b.Context(), m, now-7*86400, now); err != nil {
			b.Fatal(err)
		}
	}
}
