// Package redis is the plugin that watches one Redis server.
package redis

import (
	"context"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
)

// Plugin reports commands, connections, keys, memory, replication and cluster state of one
// Redis server. A metric has the name that the server gives it, but for expired and those of
// the capacity and of replicas.
var Plugin = plugin.Plugin{
	Name:  "redis",
	Short: "commands, connections, keys, memory, replication and cluster state of a Redis server",
	Graphs: []plugin.Graph{
		{Name: "queries", Label: "Queries", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "total_commands_processed", Label: "Queries", Counter: true},
		}},
		{Name: "connections", Label: "Connections", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "total_connections_received", Label: "Connections", Counter: true, Stacked: true},
			{Name: "rejected_connections", Label: "Rejected Connections", Counter: true, Stacked: true},
		}},
		{Name: "clients", Label: "Clients", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "connected_clients", Label: "Connected Clients", Stacked: true},
			{Name: "blocked_clients", Label: "Blocked Clients", Stacked: true},
			{Name: "connected_slaves", Label: "Connected Slaves", Stacked: true},
		}},
		{Name: "keys", Label: "Keys", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "keys", Label: "Keys"},
			{Name: "expires", Label: "Keys with expiration"},
			{Name: "expired", Label: "Expired Keys", Counter: true},
			{Name: "evicted_keys", Label: "Evicted Keys", Counter: true},
		}},
		{Name: "keyspace", Label: "Keyspace", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "keyspace_hits", Label: "Keyspace Hits", Counter: true},
			{Name: "keyspace_misses", Label: "Keyspace Missed", Counter: true},
		}},
		{Name: "memory", Label: "Memory", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "used_memory", Label: "Used Memory"},
			{Name: "used_memory_rss", Label: "Used Memory RSS"},
			{Name: "used_memory_peak", Label: "Used Memory Peak"},
			{Name: "used_memory_lua", Label: "Used Memory Lua engine"},
		}},
		{Name: "capacity", Label: "Capacity", Unit: saba.UnitPercentage, Metrics: []plugin.Metric{
			{Name: "percentage_of_memory", Label: "Percentage of memory"}, // of maxmemory, when there is one
			{Name: "percentage_of_clients", Label: "Percentage of clients"},
		}},
		{Name: "uptime", Label: "Uptime", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "uptime_in_seconds", Label: "Uptime In Seconds"},
		}},
		{Name: "cluster", Label: "Cluster", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "cluster_known_nodes", Label: "Known Nodes"},
			{Name: "cluster_size", Label: "Size"},
		}},
		{Name: "cluster_state", Label: "Cluster State", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "cluster_state", Label: "State (1: ok, 0: fail)"},
		}},
		{Name: "cluster_slots", Label: "Cluster Slots", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "cluster_slots_assigned", Label: "Slots Assigned"},
			{Name: "cluster_slots_ok", Label: "Slots OK"},
			{Name: "cluster_slots_pfail", Label: "Slots PFAIL"},
			{Name: "cluster_slots_fail", Label: "Slots FAIL"},
		}},
		{Name: "cluster_stats", Label: "Cluster Stats", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "cluster_stats_messages_ping_sent", Label: "Messages PING Sent", Counter: true},
			{Name: "cluster_stats_messages_pong_sent", Label: "Messages PONG Sent", Counter: true},
			{Name: "cluster_stats_messages_fail_sent", Label: "Messages FAIL Sent", Counter: true},
			{Name: "cluster_stats_messages_sent", Label: "Messages Sent", Counter: true},
			{Name: "cluster_stats_messages_ping_received", Label: "Messages PING Received", Counter: true},
			{Name: "cluster_stats_messages_pong_received", Label: "Messages PONG Received", Counter: true},
			{Name: "cluster_stats_messages_fail_received", Label: "Messages FAIL Received", Counter: true},
			{Name: "cluster_stats_messages_received", Label: "Messages Received", Counter: true},
		}},
		// Only a server that has replicas has these: slave0_lag, slave0_offset_delay and so on.
		{Name: "lag", Label: "Slave Lag", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
		{Name: "offset_delay", Label: "Slave Offset Delay", Unit: saba.UnitInteger, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{}
		c.server.AddFlags(fs, "REDIS_PASSWORD")
		fs.StringVar(&c.config, "config-command", "CONFIG", "`command` that CONFIG was renamed to; \"\" does not ask for it")
		return c
	},
}

type collector struct {
	server target.Redis
	config string
}

// CheckFlags says what is wrong with the flags.
func (c *collector) CheckFlags() error { return c.server.CheckFlags() }

// Collect asks the server in one round trip, and a cluster's in two.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	values, err := c.collect(ctx)
	if err != nil {
		err = fmt.Errorf("ask %s: %w", c.server.Name(), err)
	}
	return values, err
}

func (c *collector) collect(ctx context.Context) ([]saba.Value, error) {
	commands := [][]string{{"INFO"}}
	if c.config != "" {
		commands = append(commands, []string{c.config, "GET", "max*"})
	}
	answers, err := c.server.Ask(ctx, commands...)
	if err != nil {
		return nil, err
	}
	text, err := target.RedisAnswer[string](answers[0])
	if err != nil {
		return nil, err
	}
	info := target.RedisInfo(text)
	if c.config != "" {
		// A server that does not let us ask may have said it in INFO already.
		if pairs, err := target.RedisAnswer[[]any](answers[1]); err == nil {
			addConfig(info, pairs)
		}
	}
	if info["cluster_enabled"] == "1" {
		answers, err := c.server.Ask(ctx, []string{"CLUSTER", "INFO"})
		if err == nil {
			text, err = target.RedisAnswer[string](answers[0])
		}
		if err != nil {
			values, _ := valuesOf(info)
			return values, fmt.Errorf("CLUSTER INFO: %w", err)
		}
		for name, value := range target.RedisInfo(text) {
			info[name] = value
		}
	}
	return valuesOf(info)
}

// addConfig adds the pairs of name and value of a CONFIG GET that info does not have.
func addConfig(info map[string]string, pairs []any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok1 := pairs[i].(string)
		value, ok2 := pairs[i+1].(string)
		if _, known := info[name]; ok1 && ok2 && !known {
			info[name] = value
		}
	}
}

// valuesOf returns what the server's figures say. Those of a cluster and of replicas are there
// only when the server has them; of the others it is an error when one is missing.
func valuesOf(info map[string]string) ([]saba.Value, error) {
	keys, expires := sumKeys(info)
	var values []saba.Value
	var missing []string
	add := func(name string, v float64) { values = append(values, saba.Value{Name: name, Value: v}) }
	for _, g := range Plugin.Graphs {
		for _, m := range g.Metrics {
			name, field := g.Name+"."+m.Name, m.Name
			switch m.Name {
			case "keys", "expires":
				// No line of a database is a zero only in the answer of a Redis.
				if _, ok := info["redis_version"]; !ok {
					missing = append(missing, "redis_version")
				} else if m.Name == "keys" {
					add(name, keys)
				} else {
					add(name, expires)
				}
				continue
			case "percentage_of_memory":
				if v, ok := share(info, "used_memory", "maxmemory"); ok {
					add(name, v)
				}
				continue
			case "percentage_of_clients":
				if v, ok := share(info, "connected_clients", "maxclients"); ok {
					add(name, v)
				}
				continue
			case "cluster_state":
				if s, ok := info[m.Name]; ok && s == "ok" {
					add(name, 1)
				} else if ok {
					add(name, 0)
				}
				continue
			case "*":
				continue
			case "expired":
				field = "expired_keys"
			}
			if v, ok := figure(info, field); ok {
				add(name, v)
			} else if !strings.HasPrefix(g.Name, "cluster") {
				missing = append(missing, field)
			}
		}
	}
	addReplicas(info, add)
	if len(missing) > 0 {
		return values, fmt.Errorf("it does not say %s", strings.Join(missing, ", "))
	}
	return values, nil
}

// figure returns a number of the server, and whether it says it.
func figure(info map[string]string, name string) (float64, bool) {
	v, err := strconv.ParseFloat(info[name], 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// share returns how many percent of a limit are in use. Where there is no limit there is no share.
func share(info map[string]string, used, limit string) (float64, bool) {
	u, ok1 := figure(info, used)
	l, ok2 := figure(info, limit)
	return 100 * u / l, ok1 && ok2 && l > 0
}

// fields reads "keys=5,expires=1".
func fields(s string) map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			m[k] = v
		}
	}
	return m
}

// sumKeys adds up the databases: db0:keys=5,expires=1,avg_ttl=0. One that is empty has no line.
func sumKeys(info map[string]string) (keys, expires float64) {
	for name, value := range info {
		if n, ok := strings.CutPrefix(name, "db"); !ok || !digits(n) {
			continue
		}
		f := fields(value)
		k, _ := figure(f, "keys")
		e, _ := figure(f, "expires")
		keys, expires = keys+k, expires+e
	}
	return keys, expires
}

// addReplicas adds what the server says of each of its replicas: slave0:ip=…,offset=14,lag=0.
func addReplicas(info map[string]string, add func(name string, v float64)) {
	master, known := figure(info, "master_repl_offset")
	for name, value := range info {
		if n, ok := strings.CutPrefix(name, "slave"); !ok || !digits(n) {
			continue
		}
		f := fields(value)
		if lag, ok := figure(f, "lag"); ok && lag >= 0 { // -1: nothing heard of it yet
			add("lag."+name+"_lag", lag)
		}
		if offset, ok := figure(f, "offset"); ok && known {
			add("offset_delay."+name+"_offset_delay", master-offset)
		}
	}
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
