package monitor

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/promapi"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// A crowd is 1,000 hosts of a role with 22 metrics each, half an hour of them, and an evaluator.
type crowd struct {
	*testing.B
	now       time.Time
	samples   *tsdb.DB
	evaluator *Evaluator
}

const (
	crowdHosts    = 1000
	crowdMonitors = 20
	crowdOrg      = "org"
)

// newCrowd returns a crowd with 20 monitors, of which monitor tells what is special. Their names are their numbers.
func newCrowd(b *testing.B, monitor func(i int, m *saba.Monitor)) *crowd {
	return newAgedCrowd(b, 0, monitor)
}

// newAgedCrowd returns a crowd whose CPU was posted at the same time of some weeks before as well.
func newAgedCrowd(b *testing.B, weeks int, monitor func(i int, m *saba.Monitor)) *crowd {
	ctx, dir := b.Context(), b.TempDir()
	c := &crowd{B: b, now: time.Date(2026, 3, 10, 12, 0, 5, 0, time.UTC)}
	begin := c.now
	records, err := sqldb.Open(ctx, filepath.Join(dir, "saba.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { records.Close() })
	if _, err := records.EnsureOrg(ctx, saba.Org{ID: crowdOrg, Name: "bench"}); err != nil {
		b.Fatal(err)
	}
	c.samples, err = tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return begin }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.samples.Close() })
	for i := range crowdMonitors {
		m := saba.Monitor{ID: fmt.Sprint("m", i), Name: fmt.Sprint("m", i), Operator: ">", Warning: new(1e9)}
		monitor(i, &m)
		m.Default()
		if err := records.CreateMonitor(ctx, crowdOrg, m); err != nil {
			b.Fatal(err)
		}
	}
	for i := range crowdHosts {
		h := saba.Host{ID: fmt.Sprint("h", i), Org: crowdOrg, Name: fmt.Sprint("h", i), Status: saba.Working, CreatedAt: int64(i), Meta: []byte("{}"), Roles: []saba.RoleName{{Service: "shop", Role: "web"}}}
		if err := records.CreateHost(ctx, h, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	at := c.now
	for ; weeks > 0; weeks-- {
		c.now = at.AddDate(0, 0, -7*weeks).Add(-10 * time.Minute)
		for range 80 {
			c.post(0)
			c.now = c.now.Add(time.Minute)
		}
	}
	c.now = at
	for range 30 {
		c.minute()
		c.now = c.now.Add(time.Minute)
	}
	c.evaluator = New(Options{Org: crowdOrg, Store: records, Samples: c.samples, Queries: promapi.NewQueries(records, c.samples), Zone: time.UTC, Now: func() time.Time { return c.now }, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
	return c
}

// minute lets every host post all of its metrics.
func (c *crowd) minute() { c.post(crowdMonitors) }

// post lets every host post its CPU, and so many metrics more.
func (c *crowd) post(metrics int) {
	var points []saba.Point
	for i := range crowdHosts {
		add := func(name string, v float64) {
			points = append(points, saba.Point{Series: saba.Series{Org: crowdOrg, Host: fmt.Sprint("h", i), Name: name}, Sample: saba.Sample{Time: c.now.Unix(), Value: v}})
		}
		for k := range metrics {
			add(fmt.Sprintf("custom.group.metric%d", k), float64(k))
		}
		add("cpu.idle.percentage", 50)
		add("cpu.user.percentage", 50)
	}
	if _, err := c.samples.Append(c.Context(), c.now, points); err != nil {
		c.Fatal(err)
	}
}

func (c *crowd) round() {
	if err := c.evaluator.Round(c.Context()); err != nil {
		c.Fatal(err)
	}
}

// BenchmarkRound judges 20 monitors of each of 1,000 hosts, all of which have something new, and then a round without news.
func BenchmarkRound(b *testing.B) {
	c := newCrowd(b, func(i int, m *saba.Monitor) {
		m.Type, m.Metric, m.Duration = saba.MonitorHost, fmt.Sprintf("custom.group.metric%d", i), 3
		if i == 0 {
			m.Metric = "cpu%"
		}
	})
	b.Run("with news", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			c.minute()
			b.StartTimer()
			c.round()
			c.now = c.now.Add(time.Minute)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/crowdHosts/crowdMonitors, "µs/target")
	})
	b.Run("without", func(b *testing.B) {
		for b.Loop() {
			c.round()
		}
	})
}

// BenchmarkExpressions evaluates 20 expressions, each the mean of a metric over the 1,000 hosts of a role. It stands for what
// comes every five minutes.
func BenchmarkExpressions(b *testing.B) {
	c := newCrowd(b, func(i int, m *saba.Monitor) {
		m.Type, m.Expression = saba.MonitorExpression, fmt.Sprintf("avg(role(shop:web, custom.group.metric%d))", i)
	})
	for b.Loop() {
		clear(c.evaluator.judged)
		c.round()
	}
}

// BenchmarkQueries evaluates 20 queries, each the mean of a metric by role over 1,000 hosts. It stands for what comes every minute.
func BenchmarkQueries(b *testing.B) {
	c := newCrowd(b, func(i int, m *saba.Monitor) {
		m.Type, m.Query = saba.MonitorQuery, fmt.Sprintf(`avg by (role) (custom.group.metric%d)`, i)
	})
	for b.Loop() {
		clear(c.evaluator.judged)
		c.round()
	}
}

// BenchmarkReplay evaluates the mean of a role of 20 hosts at each minute of 30 days, without the reading.
func BenchmarkReplay(b *testing.B) {
	const minutes = 30 * 24 * 60
	e, err := saba.ParseExpression("movingAverage(avg(role(shop:web, x)), 1h)")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		lines := make([]line, 20)
		for i := range lines {
			lines[i].values = make([]float64, minutes+59)
		}
		b.StartTimer()
		if got := compute(e, 0, 60*(minutes-1), [][]line{lines}); len(got[0].values) != minutes {
			b.Fatal(len(got[0].values))
		}
	}
}

// BenchmarkAnomalies judges a monitor of anomalies over a role of 1,000 hosts, all of which have something new, beside 19 others; and reads what is
// usual in an hour for the role, and for one host.
func BenchmarkAnomalies(b *testing.B) {
	c := newAgedCrowd(b, trainedWeeks, func(i int, m *saba.Monitor) {
		m.Type, m.Metric, m.Duration = saba.MonitorHost, fmt.Sprintf("custom.group.metric%d", i), 3
		if i == 0 {
			m.Type, m.Metric, m.Duration, m.Operator, m.Warning, m.WarningSensitivity = saba.MonitorAnomaly, "", 0, "", nil, "normal"
		}
	})
	c.round()
	if l := c.evaluator.Learned("m0"); len(l) != 1 || !l[0].Known {
		b.Fatal("it has not learned:", l)
	}
	b.Run("round", func(b *testing.B) {
		for b.Loop() {
			clear(c.evaluator.judged)
			c.round()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/crowdHosts, "µs/host")
	})
	learn := func(p peers) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				clear(c.evaluator.learner.kept)
				if _, err := c.evaluator.learner.at(b.Context(), p, hourOf(c.now.Unix()), c.now.Unix(), true); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("learn a role", learn(peers{role: saba.RoleName{Service: "shop", Role: "web"}}))
	b.Run("learn a host", learn(peers{host: "h7"}))
}
