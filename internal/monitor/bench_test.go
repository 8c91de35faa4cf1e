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

// BenchmarkRound judges 20 monitors of each of 1,000 hosts, all of which have something new, and then a round without news.
func BenchmarkRound(b *testing.B) {
	const hosts, monitors = 1000, 20
	ctx, dir, org := b.Context(), b.TempDir(), "org"
	now := time.Date(2026, 3, 10, 12, 0, 5, 0, time.UTC)
	begin := now
	records, err := sqldb.Open(ctx, filepath.Join(dir, "saba.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer records.Close()
	if _, err := records.EnsureOrg(ctx, saba.Org{ID: org, Name: "bench"}); err != nil {
		b.Fatal(err)
	}
	samples, err := tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return begin }})
	if err != nil {
		b.Fatal(err)
	}
	defer samples.Close()
	high := 1e9
	for i := range monitors {
		m := saba.Monitor{ID: fmt.Sprint("m", i), Name: fmt.Sprint("m", i), Type: saba.MonitorHost, Metric: fmt.Sprintf("custom.group.metric%d", i), Operator: ">", Warning: &high, Duration: 3}
		if i == 0 {
			m.Metric = "cpu%"
		}
		m.Default()
		if err := records.CreateMonitor(ctx, org, m); err != nil {
			b.Fatal(err)
		}
	}
	for i := range hosts {
		if err := records.CreateHost(ctx, saba.Host{ID: fmt.Sprint("h", i), Org: org, Name: fmt.Sprint("h", i), Status: saba.Working, CreatedAt: int64(i), Meta: []byte("{}")}, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	minute := func() {
		for i := range hosts {
			var points []saba.Point
			add := func(name string, v float64) {
				points = append(points, saba.Point{Series: saba.Series{Org: org, Host: fmt.Sprint("h", i), Name: name}, Sample: saba.Sample{Time: now.Unix(), Value: v}})
			}
			for k := range monitors {
				add(fmt.Sprintf("custom.group.metric%d", k), float64(k))
			}
			add("cpu.idle.percentage", 50)
			add("cpu.user.percentage", 50)
			if _, err := samples.Append(ctx, now, points); err != nil {
				b.Fatal(err)
			}
		}
	}
	e := New(Options{Org: org, Store: records, Samples: samples, Queries: promapi.NewQueries(records, samples), Zone: time.UTC, Now: func() time.Time { return now }, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
	for range 30 {
		minute()
		now = now.Add(time.Minute)
	}
	b.Run("with news", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			minute()
			b.StartTimer()
			if err := e.Round(ctx); err != nil {
				b.Fatal(err)
			}
			now = now.Add(time.Minute)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/hosts/monitors, "µs/target")
	})
	b.Run("without", func(b *testing.B) {
		for b.Loop() {
			if err := e.Round(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
