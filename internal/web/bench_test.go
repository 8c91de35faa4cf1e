package web

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// latencies runs f b.N times and reports the median and the 95th percentile.
func latencies(b *testing.B, f func()) {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		f()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "ms-p95")
}

func fetch(b *testing.B, c *http.Client, address string) {
	b.Helper()
	resp, err := c.Get(address)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n < 1000 || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s answered %d with %d bytes, %v", address, resp.StatusCode, n, err)
	}
}

// BenchmarkHostList asks for the first page of 1,000 hosts with an hour of samples each.
func BenchmarkHostList(b *testing.B) {
	g := newRig(b, time.Now)
	for i := range 1000 {
		h := g.host(saba.Host{Name: fmt.Sprintf("web-%04d.example.test", i), Roles: []saba.RoleName{{Service: "shop", Role: "web"}}, Interfaces: []saba.Interface{{Name: "eth0", IPv4: []string{fmt.Sprintf("10.0.%d.%d", i/250, i%250)}}}})
		all := machine(float64(i), 4, nil)
		few := map[string]func(int64) float64{}
		for _, name := range []string{"loadavg5", "cpu.user.percentage", "cpu.system.percentage", "cpu.idle.percentage", "memory.used", "memory.total"} {
			few[name] = all[name]
		}
		g.fill(h, time.Hour, few)
	}
	c := g.signedIn()
	for name, path := range map[string]string{"all": "/hosts", "search": "/hosts?q=10.0.3.7", "by-load": "/hosts?sort=load&page=3"} {
		b.Run(name, func(b *testing.B) { latencies(b, func() { fetch(b, c, g.server.URL+path) }) })
	}
}

// BenchmarkHostPage asks for the page of a host with everything, its charts, and a picture.
func BenchmarkHostPage(b *testing.B) {
	g := newRig(b, time.Now)
	main := g.town()
	c := g.signedIn()
	all := ""
	for _, n := range []string{"loadavg", "cpu", "memory", "disk", "interface", "filesystem"} {
		all += "&graph=" + n
	}
	at := g.server.URL + "/hosts/" + main.ID
	for _, bb := range []struct{ name, address string }{
		{"page", at},
		{"six-charts-1h", at + "/graphs.json?range=1h" + all},
		{"six-charts-1d", at + "/graphs.json?range=1d" + all},
		{"svg-6h", at + "/graphs/cpu.svg?range=6h"},
	} {
		b.Run(bb.name, func(b *testing.B) { latencies(b, func() { fetch(b, c, bb.address) }) })
	}
}

// BenchmarkAlerts asks for pages while 300 of 1,000 hosts have an open alert, among 20,000 closed ones.
func BenchmarkAlerts(b *testing.B) {
	g := newRig(b, time.Now)
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 1})
	for i := range 1000 {
		h := g.host(saba.Host{Name: fmt.Sprintf("web-%04d.example.test", i), Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
		for n := range 20 {
			a := g.alert(m, h.ID, saba.CheckWarning, "cpu% 95.25 > 80", time.Duration(n+2)*time.Hour)
			g.move(a, saba.AlertMove{At: a.OpenedAt + 60, Status: saba.CheckOK, Trigger: saba.TriggerMonitoring, Message: "cpu% 12"})
		}
		if i < 300 {
			g.alert(m, h.ID, saba.CheckWarning, "cpu% 95.25 > 80", time.Hour)
		}
	}
	c := g.signedIn()
	for name, path := range map[string]string{"open": "/alerts", "closed": "/alerts?closed=1", "count": "/keys"} {
		b.Run(name, func(b *testing.B) { latencies(b, func() { fetch(b, c, g.server.URL+path) }) })
	}
}

// BenchmarkMonitors asks for the pages of 200 monitors, 100 downtimes and the 10,000 checks of 1,000 hosts, and for the graph of the ten worst of these.
func BenchmarkMonitors(b *testing.B) {
	g := newRig(b, time.Now)
	for i := range 1000 {
		h := g.host(saba.Host{Name: fmt.Sprintf("web-%04d.example.test", i), Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
		few := map[string]func(int64) float64{}
		all := machine(float64(i), 4, nil)
		for _, name := range []string{"cpu.user.percentage", "cpu.system.percentage", "cpu.idle.percentage"} {
			few[name] = all[name]
		}
		g.fill(h, time.Hour, few)
		var reports []saba.CheckReport
		for n := range 10 {
			reports = append(reports, saba.CheckReport{Host: h.ID, Name: fmt.Sprintf("check-%d", n), Status: saba.CheckOK, OccurredAt: g.now().Unix()})
		}
		if err := g.records.ReportChecks(b.Context(), g.org.ID, reports, newID); err != nil {
			b.Fatal(err)
		}
	}
	var m saba.Monitor
	for i := range 200 {
		m = g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: fmt.Sprintf("busy %d", i), Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 1})
	}
	for i := range 100 {
		g.downtime(saba.Downtime{Name: fmt.Sprintf("backup %d", i), Start: g.now().Unix() - int64(i)*86_400, Duration: 60, Timezone: "Europe/Berlin", Recurrence: &saba.Recurrence{Type: "monthly", Interval: 1}})
	}
	c := g.signedIn()
	for _, bb := range []struct{ name, path string }{
		{"list", "/monitors"}, {"form", "/monitors/" + m.ID}, {"graph", "/monitors/graph.svg?type=host&metric=cpu%25&warning=80&operator=%3E"},
		{"downtimes", "/downtimes"}, {"downtime", "/downtimes/new"},
	} {
		b.Run(bb.name, func(b *testing.B) { latencies(b, func() { fetch(b, c, g.server.URL+bb.path) }) })
	}
}
