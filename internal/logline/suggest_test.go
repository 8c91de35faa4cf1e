package logline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// herokuNames are the metrics that an application on Heroku has.
var herokuNames = []string{
	"router.requests", "access_num.2xx_count", "access_num.5xx_count", "router.errors.H12", "router.service.p95", "router.service.p99", "router.service.count",
	"load_avg_1m.web.1", "load_avg_1m.web.2", "load_avg_1m.clock.1", "memory_rss.web.1", "memory_rss.web.2", "memory_quota.web.1", "memory_quota.web.2",
	"connections-percentage-used.DATABASE", "waiting-connections.DATABASE", "table-cache-hit-rate.DATABASE", "index-cache-hit-rate.DATABASE",
	"db-size-percentage-used.DATABASE", "wal-percentage-used.DATABASE", "iops-percentage-used.DATABASE", "active-connections.DATABASE", "db_size.DATABASE", "client_waiting.pgbouncer",
	"connection-percentage-used.REDIS", "memory-percentage-used.REDIS", "memory-percentage-used.DATABASE", "memory-redis.REDIS", "hit-rate.REDIS", "iops-percentage-used.REDIS", "active-connections.REDIS",
	"sidekiq.default.latency", "sidekiq.default.size", "sidekiq.a.latency", "sidekiq.a.size", "http.latency",
}

func TestSuggest(t *testing.T) {
	d := saba.Drain{Service: "shop"}
	var keys []string
	for _, s := range Suggest(&d, herokuNames) {
		keys = append(keys, s.Key)
		if err := s.Monitor.Check(0); err != nil {
			t.Errorf("the monitor of %s: %v", s.Key, err)
		}
		if s.Monitor.Type == saba.MonitorService && (s.Monitor.Service != "shop" || !slices.Contains(herokuNames, s.Monitor.Metric)) {
			t.Errorf("%s is about %q of %q", s.Key, s.Monitor.Metric, s.Monitor.Service)
		}
		if s.Source == "" || !strings.HasSuffix(s.Why, ".") || !strings.HasPrefix(s.Monitor.Name, "shop: ") || strings.Contains(s.Monitor.Name+s.Why, "*") {
			t.Errorf("%s of %q says %q, its monitor is called %q", s.Key, s.Source, s.Why, s.Monitor.Name)
		}
	}
	want := []string{
		"router.5xx", "router.codes", "router.p95", "router.p99", "router.silent", "dyno.memory", "dyno.errors", "dyno.silent", "logplex.lost",
		"postgres.connections DATABASE", "postgres.waiting DATABASE", "postgres.tablehits DATABASE", "postgres.indexhits DATABASE", "postgres.size DATABASE", "postgres.wal DATABASE",
		"postgres.iops DATABASE", "postgres.silent DATABASE", "pgbouncer.waiting pgbouncer", "redis.connections REDIS", "redis.memory REDIS", "redis.hits REDIS", "redis.silent REDIS",
		"queue.latency sidekiq.default", "queue.latency sidekiq.a", "queue.silent",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("suggested are\n%q, want\n%q", keys, want)
	}
	if got := Suggest(&d, []string{"orders.count", "http.latency", "memory_quota.web.1"}); len(got) > 0 {
		t.Errorf("for metrics of nobody that is known there are %v", got)
	}
}

// The first queue and dyno stand for all; what there is of the share of errors decides how it is watched.
func TestSuggestChooses(t *testing.T) {
	of := func(d saba.Drain, key string, names ...string) saba.Monitor {
		t.Helper()
		all := Suggest(&d, names)
		i := slices.IndexFunc(all, func(s Suggestion) bool { return s.Key == key })
		if i < 0 {
			t.Fatalf("of %q %s is not suggested", names, key)
		}
		return all[i].Monitor
	}
	d := saba.Drain{Service: "shop"}
	for _, tt := range []struct{ got, want string }{
		{of(d, "queue.silent", herokuNames...).Metric, "sidekiq.default.latency"},
		{of(d, "dyno.silent", herokuNames...).Metric, "load_avg_1m.web.1"},
		{of(d, "router.5xx", append(slices.Clone(herokuNames), "error_access_rate.5xx_percentage")...).Metric, "error_access_rate.5xx_percentage"},
		{of(d, "router.5xx", herokuNames...).Query, `100 * sum_over_time({"access_num.5xx_count",service="shop"}[5m]) / sum_over_time({"router.requests",service="shop"}[5m])`},
		{of(saba.Drain{Service: "shop", Prefix: "a.b"}, "redis.hits eu.REDIS", "a.b.hit-rate.eu.REDIS").Metric, "a.b.hit-rate.eu.REDIS"},
		{of(saba.Drain{Service: "shop", Prefix: "a.b"}, "queue.latency q", "a.b.q.latency", "a.b.q.size").Metric, "a.b.q.latency"},
		{of(saba.Drain{Service: "shop", Prefix: "a.b"}, "dyno.memory", "a.b.memory_rss.web.1", "a.b.memory_quota.web.1").Query,
			`100 * label_replace({__name__=~"a[.]b[.]memory_rss[.].*",service="shop"}, "dyno", "$1", "__name__", "a[.]b[.]memory_rss[.](.*)") / on (service, dyno) ` +
				`label_replace({__name__=~"a[.]b[.]memory_quota[.].*",service="shop"}, "dyno", "$1", "__name__", "a[.]b[.]memory_quota[.](.*)")`},
	} {
		if tt.got != tt.want {
			t.Errorf("watched is %s, want %s", tt.got, tt.want)
		}
	}
	if got := Suggest(&saba.Drain{Service: "shop", Prefix: "other"}, herokuNames); len(got) > 0 {
		t.Errorf("what another drain wrote is suggested to one with a prefix of its own: %v", got)
	}
	var queues []string
	for i := range 100 {
		queues = append(queues, fmt.Sprintf("q%d.latency", i), fmt.Sprintf("q%d.size", i))
	}
	if got := Suggest(&d, queues); len(got) != mostEach+1 {
		t.Errorf("of 100 queues %d monitors are suggested, want %d and one for the silence", len(got), mostEach)
	}
}

func TestMade(t *testing.T) {
	d := saba.Drain{Service: "shop"}
	all := Suggest(&d, []string{"q.latency", "q.size", "router.requests", "access_num.5xx_count"})
	find := func(key string) Suggestion {
		t.Helper()
		i := slices.IndexFunc(all, func(s Suggestion) bool { return s.Key == key })
		if i < 0 {
			t.Fatalf("%s is not suggested", key)
		}
		return all[i]
	}
	latency, silence, errors := find("queue.latency q"), find("queue.silent"), find("router.5xx")
	other := latency.Monitor
	other.Name, other.Critical, other.Warning = "mine", nil, new(99.0)
	query := errors.Monitor
	query.Name, query.Query, query.Critical = "mine", query.Query+" ", nil
	foreign := latency.Monitor
	foreign.Name, foreign.Service = "mine", "mail"
	low := other
	low.Operator = "<"
	renamed := errors.Monitor
	renamed.Query = "up"
	for name, tt := range map[string]struct {
		s    Suggestion
		is   saba.Monitor
		want bool
	}{
		"the monitor itself":               {latency, latency.Monitor, true},
		"under other thresholds":           {latency, other, true},
		"of another service":               {latency, foreign, false},
		"the other way round":              {latency, low, false},
		"thresholds do not notice silence": {silence, other, false},
		"silence says nothing of values":   {latency, silence.Monitor, false},
		"the same query":                   {errors, query, true},
		"of the same name, another query":  {errors, renamed, true},
		"another type":                     {errors, latency.Monitor, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.s.Made([]saba.Monitor{{Type: saba.MonitorConnectivity, Name: "x"}, tt.is}); got != tt.want {
				t.Errorf("Made = %v, want %v", got, tt.want)
			}
		})
	}
}
