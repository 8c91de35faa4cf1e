package logline

import (
	"strings"

	"github.com/saba-monitor/saba"
)

// A knownGraph is a graph of what platforms say. Where it is of sources there is one for each source, with its name in the title.
type knownGraph struct {
	name, title string
	unit        saba.Unit
	sources     bool
	metrics     []knownMetric
}

// A knownMetric is a line of a knownGraph. Its name may end in * for what only the platform knows.
type knownMetric struct {
	name, label string
	stacked     bool
}

// knownGraphs are the graphs of the known sources. What is to be seen first stands first, so that it stands on the ground line of a stack.
var knownGraphs = []knownGraph{
	{"access_num", "Requests by status", saba.UnitInteger, false, []knownMetric{
		{"access_num.5xx_count", "5xx", true}, {"access_num.4xx_count", "4xx", true}, {"access_num.3xx_count", "3xx", true}, {"access_num.2xx_count", "2xx", true},
	}},
	{"error_access_rate", "Share of errors", saba.UnitPercentage, false, []knownMetric{
		{"error_access_rate.5xx_percentage", "5xx", false}, {"error_access_rate.4xx_percentage", "4xx", false},
	}},
	{"access_latency", "Response time", saba.UnitMilliseconds, false, []knownMetric{
		{"access_latency.avg", "mean", false}, {"access_latency.percentile_90", "90 %", false}, {"access_latency.percentile_99", "99 %", false},
	}},
	{"router.requests", "Requests by dyno", saba.UnitInteger, false, []knownMetric{{"router.requests", "all", false}, {"router.requests.*.*", "%1.%2", false}}},
	{"router.errors", "Errors of the router", saba.UnitInteger, false, []knownMetric{{"router.errors.*", "", false}}},
	{"router.service", "Service time", saba.UnitMilliseconds, false, statisticLines("router.service")},
	{"router.connect", "Connect time", saba.UnitMilliseconds, false, statisticLines("router.connect")},
	{"router.bytes", "Size of responses", saba.UnitBytes, false, statisticLines("router.bytes")},

	{"load_avg_1m", "Load of dynos over 1 minute", saba.UnitFloat, false, ofDynos("load_avg_1m")},
	{"load_avg_5m", "Load of dynos over 5 minutes", saba.UnitFloat, false, ofDynos("load_avg_5m")},
	{"load_avg_15m", "Load of dynos over 15 minutes", saba.UnitFloat, false, ofDynos("load_avg_15m")},
	{"memory_total", "Memory of dynos with cache and swap", saba.UnitBytes, false, ofDynos("memory_total")},
	{"memory_rss", "Resident memory of dynos", saba.UnitBytes, false, ofDynos("memory_rss")},
	{"memory_cache", "Disk cache of dynos", saba.UnitBytes, false, ofDynos("memory_cache")},
	{"memory_swap", "Swap of dynos", saba.UnitBytes, false, ofDynos("memory_swap")},
	{"memory_quota", "Memory that dynos may use", saba.UnitBytes, false, ofDynos("memory_quota")},
	{"memory_pgpgin", "Pages read from disk by dynos, since they started", saba.UnitInteger, false, ofDynos("memory_pgpgin")},
	{"memory_pgpgout", "Pages written to disk by dynos, since they started", saba.UnitInteger, false, ofDynos("memory_pgpgout")},
	{"dyno.errors", "Errors of dynos", saba.UnitInteger, false, []knownMetric{{"dyno.errors.*", "", false}}},
	{"logplex.lost", "Lines lost on the way", saba.UnitInteger, false, []knownMetric{{"logplex.lost.*", "", false}}},

	{"connections", "connections", saba.UnitInteger, true, lines("active-connections", "active", "waiting-connections", "waiting", "max-connections", "most")},
	{"used", "share of what there is", saba.UnitPercentage, true, lines("connections-percentage-used", "connections", "connection-percentage-used", "connections", "memory-percentage-used", "memory",
		"iops-percentage-used", "IOPS", "db-size-percentage-used", "size", "wal-percentage-used", "WAL")},
	{"memory", "memory", saba.UnitBytes, true, lines("memory-redis", "Redis", "memory-postgres", "Postgres", "memory-cached", "cached", "memory-free", "free", "memory-total", "total")},
	{"size", "size", saba.UnitBytes, true, lines("db_size", "size", "db-max-size", "most")},
	{"load", "load for each processor", saba.UnitFloat, true, lines("load-avg-1m", "1 minute", "load-avg-5m", "5 minutes", "load-avg-15m", "15 minutes")},
	{"iops", "reads and writes", saba.UnitIOPS, true, lines("read-iops", "read", "write-iops", "write", "max-iops", "most")},
	{"hits", "cache hit rates", saba.UnitFloat, true, lines("index-cache-hit-rate", "index", "table-cache-hit-rate", "table", "hit-rate", "all")},
	{"tmp-disk", "temporary files", saba.UnitBytes, true, lines("tmp-disk-used", "used", "tmp-disk-available", "free")},
	{"tables", "tables", saba.UnitInteger, true, lines("tables", "tables")},
	{"transaction", "newest transaction", saba.UnitInteger, true, lines("current_transaction", "id")},
	{"follower-lag", "commits behind the leader", saba.UnitInteger, true, lines("follower-lag-commits", "commits")},
	{"evicted", "evicted keys", saba.UnitInteger, true, lines("evicted-keys", "keys")},
	{"pool", "connections of clients and to the server", saba.UnitInteger, true, lines("client_active", "clients", "client_waiting", "waiting clients", "server_active", "server", "server_idle", "idle to server")},
	{"wait", "longest wait for a connection", saba.UnitSeconds, true, lines("max_wait", "wait")},
	{"query", "mean time of queries", saba.UnitMilliseconds, true, lines("avg_query", "query")},
	{"traffic", "traffic", saba.UnitBytesPerSec, true, lines("avg_recv", "received", "avg_sent", "sent")},
}

// lines returns lines of names and labels in turn.
func lines(pairs ...string) (out []knownMetric) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, knownMetric{pairs[i], pairs[i+1], false})
	}
	return out
}

// ofDynos returns a line for each dyno, behind whose name the metrics stand.
func ofDynos(name string) []knownMetric { return []knownMetric{{name + ".*.*", "%1.%2", false}} }

// statisticLines returns the lines of a measure that have its unit, those that people look for first.
func statisticLines(name string) []knownMetric {
	return lines(name+".median", "median", name+".mean", "mean", name+".p95", "95 %", name+".p99", "99 %", name+".min", "least", name+".max", "largest")
}

// knownUnit returns the unit of what a data store says under a name.
func knownUnit(name string) (saba.Unit, bool) {
	for _, g := range knownGraphs {
		if !g.sources {
			continue
		}
		for _, m := range g.metrics {
			if m.name == name {
				return g.unit, true
			}
		}
	}
	return "", false
}

// Graphs returns how the metrics of a key are drawn, for names that platforms use; none for others.
func Graphs(key Key) (defs []saba.GraphDef) {
	for prefix, name := range prefixes(key.Name) {
		for i := range knownGraphs {
			if g := &knownGraphs[i]; g.has(name, key) {
				defs = append(defs, g.definition(prefix, key.Source))
			}
		}
		if defs != nil {
			return defs
		}
	}
	return nil
}

// prefixes yields the ways in which a name can be a prefix of a drain, with its dot, and a name: without a prefix first.
func prefixes(name string) func(yield func(prefix, name string) bool) {
	return func(yield func(prefix, name string) bool) {
		for i := 0; ; {
			if !yield(name[:i], name[i:]) {
				return
			}
			dot := strings.IndexByte(name[i:], '.')
			if dot < 0 {
				return
			}
			i += dot + 1
		}
	}
}

// has says whether a metric of a key, which has the name, stands in the graph.
func (g *knownGraph) has(name string, key Key) bool {
	if g.sources && key.Source == "" {
		return false
	}
	for _, m := range g.metrics {
		pattern := m.name
		switch {
		case key.Kind == Measure:
			if g.name == name && len(g.metrics) == 6 { // its statistics
				return true
			}
			continue
		case g.sources:
			if pattern == name {
				return true
			}
			continue
		}
		if source := key.Source; source != "" {
			if fits(pattern, name+"."+source) {
				return true
			}
		} else if fits(pattern, name) {
			return true
		}
	}
	// What is derived of a cell is drawn from its first minute on.
	for _, d := range derivations {
		if d.on == name && d.graph == g.name {
			return true
		}
	}
	return false
}

// fits says whether a pattern, in which * is a segment, stands for a name.
func fits(pattern, name string) bool {
	for {
		p, pattern2, more := strings.Cut(pattern, ".")
		n, name2, also := strings.Cut(name, ".")
		if more != also || p != n && p != "*" {
			return false
		}
		if !more {
			return true
		}
		pattern, name = pattern2, name2
	}
}

func (g *knownGraph) definition(prefix, source string) saba.GraphDef {
	d := saba.GraphDef{Name: prefix + g.name, DisplayName: g.title, Unit: g.unit}
	behind := ""
	if g.sources {
		d.Name = prefix + source + "." + g.name
		d.DisplayName = source + ": " + g.title
		behind = "." + source
	}
	if prefix != "" {
		d.DisplayName = strings.TrimSuffix(prefix, ".") + ": " + d.DisplayName
	}
	for _, m := range g.metrics {
		d.Metrics = append(d.Metrics, saba.GraphDefMetric{Name: prefix + m.name + behind, DisplayName: m.label, Stacked: m.stacked})
	}
	return d
}
