// Package postgres is the plugin that watches one PostgreSQL server. Read postgres.go first;
// question.go has what is asked of each version.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
	"github.com/saba-monitor/saba/plugin/target/postgres"
)

// Plugin reports connections, transactions, blocks, rows, sizes, WAL, checkpoints and
// replication of one PostgreSQL server. Counters of databases are the sums of all.
var Plugin = plugin.Plugin{
	Name:  "postgres",
	Short: "connections, transactions, rows, sizes, checkpoints and replication of a PostgreSQL server",
	Graphs: []plugin.Graph{
		{Name: "connections", Label: "Connections", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "active", Label: "Active", Stacked: true},
			{Name: "active_waiting", Label: "Active waiting", Stacked: true}, // for a lock, the disk or anything else
			{Name: "idle", Label: "Idle", Stacked: true},
			{Name: "idle_in_transaction", Label: "Idle in transaction", Stacked: true},
			{Name: "idle_in_transaction_aborted", Label: "Idle in transaction (aborted)", Stacked: true},
			{Name: "fastpath_function_call", Label: "fast-path function call", Stacked: true},
			{Name: "disabled", Label: "Disabled", Stacked: true}, // track_activities is off
			{Name: "starting", Label: "Starting", Stacked: true}, // from version 18 on
		}},
		{Name: "commits", Label: "Commits", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "xact_commit", Label: "Xact Commit", Counter: true},
			{Name: "xact_rollback", Label: "Xact Rollback", Counter: true},
		}},
		{Name: "blocks", Label: "Blocks", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "blks_read", Label: "Blocks Read", Counter: true},
			{Name: "blks_hit", Label: "Blocks Hit", Counter: true},
		}},
		{Name: "rows", Label: "Rows", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "tup_returned", Label: "Returned Rows", Counter: true},
			{Name: "tup_fetched", Label: "Fetched Rows", Counter: true, Stacked: true},
			{Name: "tup_inserted", Label: "Inserted Rows", Counter: true, Stacked: true},
			{Name: "tup_updated", Label: "Updated Rows", Counter: true, Stacked: true},
			{Name: "tup_deleted", Label: "Deleted Rows", Counter: true, Stacked: true},
		}},
		{Name: "size", Label: "Data Size", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "total_size", Label: "Total Size"},
		}},
		{Name: "deadlocks", Label: "Dead Locks", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "deadlocks", Label: "Deadlocks", Counter: true},
		}},
		{Name: "iotime", Label: "Block I/O time", Unit: saba.UnitFloat, Metrics: []plugin.Metric{ // only with track_io_timing
			{Name: "blk_read_time", Label: "Block Read Time (ms)", Counter: true},
			{Name: "blk_write_time", Label: "Block Write Time (ms)", Counter: true},
		}},
		{Name: "tempfile", Label: "Temporary file", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "temp_bytes", Label: "Temporary file size (byte)", Counter: true},
		}},
		{Name: "xlog_location", Label: "Amount of Transaction location change", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "xlog_location_bytes", Label: "Amount of Transaction location change (byte)", Counter: true}, // of a replica: replayed
		}},
		// What follows is of saba alone.
		{Name: "waits", Label: "Active Connections that Wait", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "lock", Label: "Lock", Stacked: true},
			{Name: "lwlock", Label: "Lightweight Lock", Stacked: true},
			{Name: "io", Label: "I/O", Stacked: true},
			{Name: "ipc", Label: "Other Process", Stacked: true},
			{Name: "client", Label: "Client", Stacked: true},
			{Name: "other", Label: "Other", Stacked: true},
		}},
		{Name: "oldest", Label: "Oldest", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{ // 0 when there is none
			{Name: "transaction", Label: "Transaction"},
			{Name: "query", Label: "Running Query"},
		}},
		{Name: "capacity", Label: "Capacity", Unit: saba.UnitPercentage, Metrics: []plugin.Metric{
			{Name: "percentage_of_connections", Label: "Percentage of connections"}, // of max_connections
		}},
		{Name: "wraparound", Label: "Age of Transaction IDs", Unit: saba.UnitInteger, Metrics: []plugin.Metric{ // the server stops at 2^31
			{Name: "xid", Label: "Transaction ID"},
			{Name: "multixact", Label: "Multixact ID"},
		}},
		{Name: "checkpoints", Label: "Checkpoints", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "timed", Label: "Timed", Counter: true, Stacked: true},
			{Name: "requested", Label: "Requested", Counter: true, Stacked: true},
		}},
		{Name: "buffers", Label: "Buffers Written", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "checkpoint", Label: "By Checkpoints", Counter: true, Stacked: true},
			{Name: "clean", Label: "By the Background Writer", Counter: true, Stacked: true},
			{Name: "backend", Label: "By Backends", Counter: true, Stacked: true},
		}},
		{Name: "replication", Label: "Replication Lag", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{
			{Name: "lag", Label: "Behind the Primary"}, // of a replica
		}},
		{Name: "replica_lag", Label: "Lag of Replicas", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
		{Name: "replica_delay", Label: "WAL that Replicas Lack", Unit: saba.UnitBytes, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
		{Name: "slots", Label: "WAL that Replication Slots Keep", Unit: saba.UnitBytes, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
		{Name: "database_size", Label: "Size of Databases", Unit: saba.UnitBytes, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
		{Name: "database_transactions", Label: "Transactions of Databases", Unit: saba.UnitInteger, Metrics: []plugin.Metric{{Name: "*", Label: "%1", Counter: true}}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{}
		fs.StringVar(&c.server.Host, "hostname", "localhost", "`host` of the server, or the folder of its unix socket")
		fs.StringVar(&c.server.Port, "port", "5432", "`port` of the server")
		fs.StringVar(&c.server.User, "user", "", "`user` to log in as; PGUSER in the environment says it too")
		fs.StringVar(&c.server.Database, "database", "", "`database` to log in to (default the one named like the user); all are watched")
		c.password.AddFlags(fs, "password", "PGPASSWORD")
		fs.StringVar(&c.server.SSLMode, "sslmode", "disable", "`mode`: "+strings.Join(postgres.SSLModes(), ", "))
		fs.StringVar(&c.server.SSLRootCert, "sslrootcert", "", "`file` of certificates (PEM) that the server's is verified with")
		fs.IntVar(&c.connectTimeout, "connect_timeout", 5, "`seconds` that logging in may take; 0 means as long as -timeout")
		fs.BoolVar(&c.compat, "compat", false, "count connections as other plugins do: those of the server itself too, and not those that are idle")
		return c
	},
}

type collector struct {
	server         postgres.Server
	password       target.Secret
	connectTimeout int // seconds
	compat         bool
}

// CheckFlags says what is wrong with the flags.
func (c *collector) CheckFlags() error {
	if port, err := strconv.ParseUint(c.server.Port, 10, 16); err != nil || port == 0 {
		return fmt.Errorf("-port %q must be a number from 1 to 65535", c.server.Port)
	}
	if !slices.Contains(postgres.SSLModes(), c.server.SSLMode) {
		return fmt.Errorf("-sslmode %q must be one of %s", c.server.SSLMode, strings.Join(postgres.SSLModes(), ", "))
	}
	if c.connectTimeout < 0 {
		return fmt.Errorf("-connect_timeout %d must not be negative", c.connectTimeout)
	}
	return nil
}

// Collect asks the server in two round trips, on a connection that is kept.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	if c.server.User = cmp.Or(c.server.User, plugin.Getenv(ctx, "PGUSER")); c.server.User == "" {
		return nil, errors.New("it is not said who asks: set -user or PGUSER")
	}
	var err error
	if c.server.Password, err = c.password.Read(ctx); err != nil {
		return nil, err
	}
	c.server.ConnectTimeout = time.Duration(c.connectTimeout) * time.Second
	f, err := c.facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.server.Name(), err)
	}
	questions := f.questions()
	queries := make([]postgres.Query, len(questions))
	for i, q := range questions {
		queries[i].SQL = q.sql
	}
	answers, err := c.server.Ask(ctx, queries...)
	r := &report{facts: f, compat: c.compat}
	var errs []error
	for i, q := range questions {
		if i == len(answers) {
			errs = append(errs, fmt.Errorf("ask %s for %s: %w", c.server.Name(), q.what, err))
			break
		}
		err := answers[i].Err
		if err == nil {
			err = r.read(q, answers[i].Rows)
		}
		no, _ := errors.AsType[postgres.Error](err)
		switch {
		case no.Denied():
			r.hidden = append(r.hidden, q.what)
		case err != nil && !no.Unsupported(): // which would be said each minute, and nobody can help it
			errs = append(errs, fmt.Errorf("ask %s for %s: %w", c.server.Name(), q.what, err))
		}
	}
	if len(r.hidden) > 0 {
		errs = append(errs, fmt.Errorf("ask %s: user %s does not see %s: GRANT pg_monitor TO %s", c.server.Name(), f.user, strings.Join(r.hidden, ", "), quote(f.user)))
	}
	return r.values, errors.Join(errs...)
}

// facts are what the questions depend on.
type facts struct {
	version        int // server_version_num: 150018 is 15.18
	maxConnections float64
	ioTiming       bool // the server measures how long blocks take
	user           string
}

// minVersion is the oldest server that has what is asked for.
const minVersion = 100000

func (c *collector) facts(ctx context.Context) (facts, error) {
	answers, err := c.server.Ask(ctx, postgres.Query{SQL: "SELECT current_setting('server_version_num'), current_setting('server_version'), current_setting('max_connections'), current_setting('track_io_timing'), current_user"})
	if err == nil {
		err = answers[0].Err
	}
	if err != nil {
		return facts{}, err
	}
	rows := answers[0].Rows
	if len(rows) != 1 || len(rows[0]) != 5 {
		return facts{}, errors.New("it does not say which version it is")
	}
	row := rows[0]
	f := facts{ioTiming: row[3] == "on", user: row[4]}
	if f.version, err = strconv.Atoi(row[0]); err != nil {
		return facts{}, errors.New("it does not say which version it is")
	}
	if f.version < minVersion {
		return facts{}, fmt.Errorf("it is version %.20s, but 10 or newer is needed", row[1])
	}
	f.maxConnections, _ = figure(row[2])
	return f, nil
}

// quote returns a name as it is written in SQL.
func quote(name string) string {
	if name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "" {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
