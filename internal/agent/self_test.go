package agent

import (
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// What the agent collects about itself is what its graphs show, and nothing else.
func TestSelfGraphsShowWhatSelfCollects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRecorder()
		now := time.Now()
		r.serverTime(now.Add(-3*time.Second), now)
		r.queueFrom(func() QueueStatus {
			return QueueStatus{Points: 7, Bytes: 100, Oldest: now.Add(-90 * time.Second)}
		})
		cpu := time.Duration(0)
		s := newSelf(r)
		s.usage = func() (time.Duration, time.Duration, error) { return cpu, 2 * cpu, nil }

		first, err := s.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(first, func(v saba.Value) bool { return strings.HasPrefix(v.Name, "custom.saba.agent.sources.") }) {
			t.Error("a first reading has rates")
		}
		time.Sleep(2 * time.Minute)
		cpu = 6 * time.Second
		x := r.source(KindMetrics, "x")
		x.overran()
		x.ran(run{err: &TimeoutError{}})
		x.ran(run{})
		r.replied("POST /api/v0/tsdb", 200, nil, now)
		r.replied("POST /api/v0/tsdb", 500, nil, now)
		r.discarded(4, now)
		values, err := s.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, v := range values {
			if _, twice := got[v.Name]; twice || !saba.ValidMetricName(v.Name) || math.IsNaN(v.Value) {
				t.Errorf("%+v is not a value of its own", v)
			}
			got[v.Name] = v.Value
		}
		for name, want := range map[string]float64{
			"cpu.own": 5, "cpu.plugins": 10, "queue.points": 7, "queue_size.bytes": 100, "queue_age.oldest": 210, "clock.ahead": 3,
			"sources.overrun": 0.5, "sources.timeout": 0.5, "sources.failed": 0.5, "posts.ok": 0.5, "posts.failed": 0.5, "points.discarded": 2, "points.sent": 0,
		} {
			if v, ok := got[selfPrefix+name]; !ok || v != want {
				t.Errorf("%s = %v (there: %v), want %v", name, v, ok, want)
			}
		}
		if rss := got[selfPrefix+"memory.rss"]; rss < 1<<20 {
			t.Errorf("resident memory = %v bytes, want more than a MiB", rss)
		}
		declared := map[string]bool{}
		for _, g := range selfGraphs() {
			if !saba.ValidGraphDefName(g.Name) || !g.Unit.Valid() {
				t.Errorf("graph %+v is not valid", g)
			}
			for _, m := range g.Metrics {
				declared[m.Name] = true
				if _, ok := got[m.Name]; !ok {
					t.Errorf("%s is declared and not collected", m.Name)
				}
			}
		}
		for name := range got {
			if !declared[name] {
				t.Errorf("%s is collected and not declared", name)
			}
		}
	})
}

func TestCPUTimesGrow(t *testing.T) {
	before, _, err := cpuTimes()
	if err != nil {
		t.Fatal(err)
	}
	for now := before; now-before < 5*time.Millisecond; {
		if now, _, err = cpuTimes(); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever stands in the file, a number of pages is one.
func FuzzParseStatm(f *testing.F) {
	f.Add("5120 1024 900 1 0 600 0\n")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseStatm(s); err == nil && (n < 0 || len(strings.Fields(s)) < 2) {
			t.Errorf("parseStatm(%q) = %d", s, n)
		}
	})
}
