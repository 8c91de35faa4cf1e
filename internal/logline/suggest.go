package logline

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

// A Suggestion is a monitor that goes with what lines of a known kind say.
type Suggestion struct {
	Key     string // it is the same one as long as its key is
	Source  string // who says it: "Heroku router"
	Why     string // a sentence
	Monitor saba.Monitor
}

// mostEach is how many suggestions one row of the table makes, for instance for the queues of an application.
const mostEach = 8

// An advice is a row of the table of suggestions: a monitor for each metric that it fits.
type advice struct {
	key    string
	source string
	// metric is the name that a metric has, without the drain's prefix. "*" stands for what the line's source put behind it, or for a queue; it is
	// one segment or more. What it stood for takes the place of a "*" in the other texts.
	metric string
	need   string // another metric that must be there; "" for none
	not    string // one that must not
	once   bool   // for the first metric alone: what stands for all
	title  string
	why    string
	set    func(m *saba.Monitor, of named)
}

// A named is the metric of an advice, and how it and its neighbours are called with the prefixes of the drain.
type named struct {
	service string
	metric  string // as it is stored
	part    string // what "*" stands for
	full    func(name string) string
}

// above is judged by the mean of some minutes.
func above(minutes int64, warning, critical float64) func(*saba.Monitor, named) {
	return func(m *saba.Monitor, of named) {
		m.Type, m.Service, m.Metric, m.Operator, m.Duration = saba.MonitorService, of.service, of.metric, ">", minutes
		m.Warning, m.Critical = &warning, &critical
	}
}

// below is above for what should be high.
func below(minutes int64, warning float64) func(*saba.Monitor, named) {
	return func(m *saba.Monitor, of named) {
		m.Type, m.Service, m.Metric, m.Operator, m.Duration, m.Warning = saba.MonitorService, of.service, of.metric, "<", minutes, &warning
	}
}

// silent is wrong when the metric does not arrive for some minutes.
func silent(minutes int64) func(*saba.Monitor, named) {
	return func(m *saba.Monitor, of named) {
		m.Type, m.Service, m.Metric, m.Operator, m.Duration, m.MissingDurationCritical = saba.MonitorService, of.service, of.metric, ">", 1, &minutes
	}
}

// asks is a query, for what one metric alone does not say.
func asks(warning, critical float64, legend string, query func(of named) string) func(*saba.Monitor, named) {
	return func(m *saba.Monitor, of named) {
		m.Type, m.Query, m.Legend, m.Operator, m.Warning, m.Critical = saba.MonitorQuery, query(of), legend, ">", &warning, &critical
	}
}

// advices is the table of suggestions. Thresholds are where people begin to notice, of those who run such applications.
var advices = []advice{
	{key: "router.5xx", source: router.name, metric: "error_access_rate.5xx_percentage", title: "requests that failed (5xx)",
		why: "More than 1 % of the requests ended with a 5xx status, of the last five minutes.", set: above(5, 1, 5)},
	{key: "router.5xx", source: router.name, metric: "access_num.5xx_count", need: "router.requests", not: "error_access_rate.5xx_percentage", title: "requests that failed (5xx)",
		why: "More than 1 % of the requests ended with a 5xx status, of the last five minutes.",
		set: asks(1, 5, "5xx of {{service}}", func(of named) string {
			return "100 * sum_over_time(" + of.selector("access_num.5xx_count") + "[5m]) / sum_over_time(" + of.selector("router.requests") + "[5m])"
		})},
	{key: "router.codes", source: router.name, metric: "router.requests", title: "requests that the router could not serve",
		why: "An H code within five minutes: the application crashed (H10), did not answer in time (H12), no dyno runs (H14). Not those of clients that went away, nor of maintenance.",
		set: asks(0, 10, "H codes of {{service}}", func(of named) string {
			// The codes are counted where they happen; where there are requests and no code, that is a zero.
			return "sum by (service) (sum_over_time(" + of.matching("router.errors.", "H(1[0-9]|2[0-6]|9[0-9])") + "[5m])) or 0 * sum by (service) (sum_over_time(" + of.selector("router.requests") + "[5m]))"
		})},
	{key: "router.p95", source: router.name, metric: "router.service.p95", title: "slow requests (p95)",
		why: "One request in 20 takes longer than a second.", set: above(5, 1000, 5000)},
	{key: "router.p99", source: router.name, metric: "router.service.p99", title: "very slow requests (p99)",
		why: "One request in 100 takes longer than 5 seconds. After 30 the router gives up.", set: above(5, 5000, 15_000)},
	{key: "router.silent", source: router.name, metric: "router.requests", title: "no requests",
		why: "No line of the router for half an hour: nobody comes, or the drain is gone.", set: silent(30)},

	{key: "dyno.memory", source: dyno.name, metric: "memory_quota.*", need: "memory_rss.*", once: true, title: "memory of dynos",
		why: "A dyno uses more than 90 % of its quota. Above it Heroku swaps (R14), far above it kills (R15).",
		set: asks(90, 100, "{{dyno}}", func(of named) string {
			each := func(name string) string {
				return fmt.Sprintf(`label_replace(%s, "dyno", "$1", "__name__", "%s(.*)")`, of.matching(name, ".*"), quoteRE(of.full(name)))
			}
			return "100 * " + each("memory_rss.") + " / on (service, dyno) " + each("memory_quota.")
		})},
	{key: "dyno.errors", source: dyno.name, metric: "load_avg_1m.*", once: true, title: "errors of dynos",
		why: "A dyno crashed, or has an error within ten minutes: more memory than its quota (R14, R15), no port in time (R10).",
		set: asks(0, 20, "errors of dynos of {{service}}", func(of named) string {
			return "sum by (service) (sum_over_time(" + of.matching("dyno.errors.", "(R[0-9]+|crashed)") + "[10m])) or 0 * sum by (service) (" + of.matching("load_avg_1m.", ".*") + ")"
		})},
	{key: "dyno.silent", source: dyno.name, metric: "load_avg_1m.*", once: true, title: "dynos are silent",
		why: "The dyno * has said nothing for 10 minutes: it does not run, or the drain is gone.", set: silent(10)},

	{key: "logplex.lost", source: logplex.name, metric: "router.requests", title: "lost log lines",
		why: "Heroku threw lines away within ten minutes, since they were too many or the drain answered too slowly: metrics lack them.",
		set: asks(0, 1000, "lines of {{service}} that were lost", func(of named) string {
			return "sum by (service) (sum_over_time(" + of.matching("logplex.lost.", ".*") + "[10m])) or 0 * sum by (service) (sum_over_time(" + of.selector("router.requests") + "[10m]))"
		})},

	{key: "postgres.connections", source: postgres.name, metric: "connections-percentage-used.*", title: "connections of *",
		why: "More than 80 % of the connections that the plan has are in use.", set: above(3, 80, 90)},
	{key: "postgres.waiting", source: postgres.name, metric: "waiting-connections.*", title: "connections of * that wait",
		why: "Connections wait for a lock, over five minutes.", set: above(5, 1, 10)},
	{key: "postgres.tablehits", source: postgres.name, metric: "table-cache-hit-rate.*", title: "cache hits of tables of *",
		why: "Less than 95 % of what is read of tables comes from memory: the plan has too little of it.", set: below(10, 0.95)},
	{key: "postgres.indexhits", source: postgres.name, metric: "index-cache-hit-rate.*", title: "cache hits of indexes of *",
		why: "Less than 95 % of what is read of indexes comes from memory.", set: below(10, 0.95)},
	{key: "postgres.size", source: postgres.name, metric: "db-size-percentage-used.*", title: "size of *",
		why: "More than 80 % of the size that the plan allows. A database that is too large loses its right to write.", set: above(3, 80, 90)},
	{key: "postgres.wal", source: postgres.name, metric: "wal-percentage-used.*", title: "write-ahead log of *",
		why: "The disk of the write-ahead log is three quarters full. Heroku slows connections down before it is full.", set: above(3, 75, 90)},
	{key: "postgres.iops", source: postgres.name, metric: "iops-percentage-used.*", need: "active-connections.*", not: "memory-redis.*", title: "disk operations of *",
		why: "More than 90 % of the disk operations that the plan has, over ten minutes.", set: above(10, 90, 100)},
	{key: "postgres.silent", source: postgres.name, metric: "db_size.*", title: "* is silent",
		why: "The database has said nothing for half an hour.", set: silent(30)},

	{key: "pgbouncer.waiting", source: pgbouncer.name, metric: "client_waiting.*", title: "clients that wait for * ",
		why: "Clients wait for a connection of the pool, over five minutes.", set: above(5, 1, 10)},

	{key: "redis.connections", source: redis.name, metric: "connection-percentage-used.*", title: "connections of *",
		why: "More than 80 % of the connections that the plan has are in use.", set: above(3, 80, 90)},
	{key: "redis.memory", source: redis.name, metric: "memory-percentage-used.*", need: "memory-redis.*", title: "memory of *",
		why: "More than 80 % of its memory is used. When it is full, keys are evicted or writes fail.", set: above(3, 80, 90)},
	{key: "redis.hits", source: redis.name, metric: "hit-rate.*", title: "cache hits of *",
		why: "Less than 80 % of the reads find something. That matters for a cache, and not for queues.", set: below(10, 0.8)},
	{key: "redis.silent", source: redis.name, metric: "memory-redis.*", title: "* is silent",
		why: "It has said nothing for half an hour.", set: silent(30)},

	{key: "queue.latency", source: "queues", metric: "*.latency", need: "*.size", title: "* waits",
		why: "The oldest job has waited for more than 30 seconds.", set: func(m *saba.Monitor, of named) {
			above(1, 0, 30)(m, of)
			m.Warning = nil
		}},
	{key: "queue.silent", source: "queues", metric: "*.latency", need: "*.size", once: true, title: "* is not measured",
		why: "The metric stopped arriving for 10 minutes: whoever measures the queues is gone. A queue that says nothing is not empty.", set: silent(10)},
}

// selector returns the PromQL of a metric of the drain's service.
func (of named) selector(name string) string {
	return fmt.Sprintf(`{%q,service=%q}`, of.full(name), of.service)
}

// matching returns the PromQL of the metrics of the service whose names begin with one text and go on as an expression says.
func (of named) matching(name, expression string) string {
	return fmt.Sprintf(`{__name__=~"%s%s",service=%q}`, quoteRE(of.full(name)), expression, of.service)
}

// quoteRE quotes the name of a metric for a regular expression within quotes, where a backslash would have to be doubled.
func quoteRE(name string) string { return strings.ReplaceAll(name, ".", "[.]") }

// Suggest returns monitors for the metrics that lines of known kinds became, in the order of the table. names are those of the metrics of the drain's service;
// the drain says which of them may be its own. Whether such monitors exist already is not its matter.
func Suggest(d *saba.Drain, names []string) (all []Suggestion) {
	full := func(name string) string {
		if d.Prefix != "" {
			return d.Prefix + "." + name
		}
		return name
	}
	has := make(map[string]bool, len(names))
	for _, n := range names {
		has[n] = true
	}
	names = slices.Sorted(slices.Values(names))
	for i := range advices {
		a := &advices[i]
		fit := a.fitting(names, full)
		made := 0
		for _, part := range fit {
			fill := func(s string) string { return strings.ReplaceAll(s, "*", part) }
			if a.need != "" && !has[full(fill(a.need))] || a.not != "" && has[full(fill(a.not))] {
				continue
			}
			if made++; made > mostEach || a.once && made > 1 {
				break
			}
			s := Suggestion{Key: a.key, Source: a.source, Why: fill(a.why)}
			if strings.Contains(a.metric, "*") && !a.once {
				s.Key += " " + part
			}
			s.Monitor = saba.Monitor{Name: d.Service + ": " + strings.TrimSpace(fill(a.title)), Memo: s.Why}
			a.set(&s.Monitor, named{d.Service, full(fill(a.metric)), part, full})
			s.Monitor.Default()
			all = append(all, s)
		}
	}
	return all
}

// fitting returns what "*" stands for in each of the names that an advice fits; "" where it has none.
func (a *advice) fitting(names []string, full func(string) string) (parts []string) {
	before, behind, wild := strings.Cut(a.metric, "*")
	if !wild {
		if _, found := slices.BinarySearch(names, full(a.metric)); found {
			return []string{""}
		}
		return nil
	}
	if before = full(before); before != "" && !strings.HasSuffix(before, ".") {
		before += "."
	}
	for _, n := range names {
		part, ok := strings.CutPrefix(n, before)
		if !ok {
			continue
		}
		if part, ok = strings.CutSuffix(part, behind); ok && part != "" {
			parts = append(parts, part)
		}
	}
	// The first queue of Sidekiq and the first dyno stand for all where one does.
	slices.SortStableFunc(parts, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return parts
}

var first = regexp.MustCompile(`(^|\.)(web\.1|default)$`)

func rank(part string) int {
	if first.MatchString(part) {
		return 0
	}
	return 1
}

// Made says whether one of some monitors already does what a suggestion is for, perhaps under other thresholds.
func (s *Suggestion) Made(monitors []saba.Monitor) bool {
	missing := func(m *saba.Monitor) bool {
		return m.MissingDurationWarning != nil || m.MissingDurationCritical != nil
	}
	limit := func(m *saba.Monitor) bool { return m.Warning != nil || m.Critical != nil }
	want := &s.Monitor
	return slices.ContainsFunc(monitors, func(m saba.Monitor) bool {
		switch {
		case m.Type != want.Type:
			return false
		case m.Name == want.Name:
			return true
		case m.Type == saba.MonitorQuery:
			return strings.TrimSpace(m.Query) == want.Query
		}
		return m.Service == want.Service && m.Metric == want.Metric && (missing(want) && missing(&m) || limit(want) && limit(&m) && m.Operator == want.Operator)
	})
}
