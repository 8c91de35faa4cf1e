// Package delayedjob is the plugin that watches the queues of delayed_job in a MySQL, MariaDB
// or PostgreSQL database. Read delayed_job.go first; mysql.go and postgres.go ask.
package delayedjob

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
	"github.com/saba-monitor/saba/plugin/target/mysql"
)

// Plugin reports the jobs of one table. Finished jobs leave no row behind: their number is that
// of the jobs that ever came in, which the database counts to number the rows, less the rows.
var Plugin = plugin.Plugin{
	Name:  "delayed_job",
	Short: "jobs and queues of delayed_job in MySQL, MariaDB or PostgreSQL",
	Label: "Delayed Job",
	Graphs: []plugin.Graph{
		{Name: "count", Label: "Count", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "processed", Label: "Processed Job Count", Counter: true}, // no longer there
			{Name: "enqueued", Label: "Enqueued Job Count", Counter: true},
			{Name: "queued", Label: "Queued Job Count"}, // ready or scheduled
			{Name: "ready", Label: "Ready Job Count"},
			{Name: "scheduled", Label: "Scheduled Job Count"}, // run_at is in the future, of retries too
			{Name: "processing", Label: "Processing Job Count"},
			{Name: "failed", Label: "Failed Job Count"},
		}},
		{Name: "latency", Label: "Latency", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{
			{Name: "oldest", Label: "Oldest Ready Job"}, // since its run_at; 0 when none is ready
		}},
		{Name: "queue.#", Label: "Queues", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "ready", Label: "%1 Ready"},
			{Name: "scheduled", Label: "%1 Scheduled"},
			{Name: "processing", Label: "%1 Processing"},
			{Name: "failed", Label: "%1 Failed"},
		}},
		{Name: "queue_latency", Label: "Queue Latency", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
		// As another plugin of the protocol names them; not collected unless -metrics says so.
		{Name: "", Label: "Count", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "count", Label: "Job Count"},
			{Name: "error", Label: "Error Job Count"},
		}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{}
		c.dsn.AddFlags(fs, "dsn", "DATABASE_URL")
		fs.StringVar(&c.name, "name", "mysql", "`driver` of a -dsn that is no URL: mysql or postgres")
		fs.StringVar(&c.table, "table", "delayed_jobs", "`table` of the jobs, with its schema if need be: shop.delayed_jobs")
		fs.StringVar(&c.metrics, "metrics", strings.Join(defaultMetrics, ","), "`names` of what is collected, with commas between; there are also count and error")
		fs.BoolVar(&c.localTime, "local-time", false, "the application writes times in the time zone of the database session, not in UTC")
		fs.BoolVar(&c.compat, "compat", false, "processed is what other plugins take for it: jobs that came in")
		return c
	},
}

var (
	defaultMetrics = []string{"processed", "enqueued", "queued", "ready", "scheduled", "processing", "failed", "latency", "queues"}
	allMetrics     = append(slices.Clone(defaultMetrics), "count", "error")
)

type collector struct {
	dsn       target.Secret
	name      string
	table     string
	metrics   string
	localTime bool
	compat    bool
}

// CheckFlags says what is wrong with the flags.
func (c *collector) CheckFlags() error {
	for m := range strings.SplitSeq(c.metrics, ",") {
		if !slices.Contains(allMetrics, m) {
			return fmt.Errorf("-metrics has %q, which is none of %s", m, strings.Join(allMetrics, ","))
		}
	}
	if c.table == "" || strings.Count(c.table, ".") > 1 {
		return fmt.Errorf("-table %q must be like delayed_jobs or shop.delayed_jobs", c.table)
	}
	if c.name != "mysql" && c.name != "postgres" {
		return fmt.Errorf("-name %q must be mysql or postgres", c.name)
	}
	return nil
}

// A database answers what there is in a table.
type database interface {
	// ask sends one statement on a connection of its own and returns its rows: columns in the
	// order of tableOf, "" for NULL.
	ask(ctx context.Context, schema, table string, localTime bool) ([][columns]string, error)
	// String names the database without secrets.
	String() string
}

// The columns of a row of the answer: the first two say the same in each, the others are of
// one queue. Where the table is empty, there is one row whose queue has no jobs.
const (
	colEntered    = iota // what the database would number the next job, less one; NULL if it does not say
	colStep              // by how much the numbers of two jobs differ
	colQueue             // NULL: of no queue
	colJobs              // NULL: the table is empty
	colFailed            // given up
	colProcessing        // locked by a worker
	colReady
	colScheduled
	colAge // for how many seconds the oldest ready job is so; NULL: none is ready
	columns
)

// maxRows bounds how many queues there may be.
const maxRows = 1000

// aggregate is what both databases ask the rows of a table for; now and age are their own words.
func aggregate(table, now, age string) string {
	const waits = "failed_at IS NULL AND locked_by IS NULL AND run_at"
	count := func(condition string) string { return "SUM(CASE WHEN " + condition + " THEN 1 ELSE 0 END)" }
	oldest := "MIN(CASE WHEN " + waits + " <= " + now + " THEN run_at END)"
	return "SELECT queue AS q, COUNT(*) AS n, " + count("failed_at IS NOT NULL") + " AS failed, " +
		count("failed_at IS NULL AND locked_by IS NOT NULL") + " AS processing, " + count(waits+" <= "+now) + " AS ready, " + count(waits+" > "+now) + " AS scheduled, " +
		fmt.Sprintf(age, oldest) + " AS age FROM " + table + " GROUP BY queue LIMIT " + strconv.Itoa(maxRows+1)
}

// Collect asks the database once, on a connection that lasts as long.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	dsn, err := c.dsn.Read(ctx)
	if err != nil {
		return nil, err
	}
	if dsn == "" {
		return nil, errors.New("it is not said where the database is: set -dsn, -dsn-file or DATABASE_URL")
	}
	db, err := c.open(dsn)
	if err != nil {
		return nil, err
	}
	schema, table, ok := strings.Cut(c.table, ".")
	if !ok {
		schema, table = "", c.table
	}
	rows, err := db.ask(ctx, schema, table, c.localTime)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("it has no table %s that this user sees", c.table)
	}
	if err == nil && len(rows) > maxRows {
		err = fmt.Errorf("table %s has more than %d queues", c.table, maxRows)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err() // and not what it did to the connection
		}
		return nil, fmt.Errorf("ask %s: %s", db, strings.Join(strings.Fields(err.Error()), " "))
	}
	values, err := c.values(rows)
	if err != nil {
		err = fmt.Errorf("ask %s: %w", db, err)
	}
	return values, err
}

// open returns the database that a data source name names. No error shows it.
func (c *collector) open(dsn string) (database, error) {
	scheme, _, isURL := strings.Cut(dsn, "://")
	switch {
	case isURL && (scheme == "postgres" || scheme == "postgresql"), !isURL && c.name == "postgres":
		return openPostgres(dsn)
	case isURL && (scheme == "mysql" || scheme == "mysql2" || scheme == "trilogy"):
		u, err := url.Parse(dsn)
		if err != nil {
			return nil, errors.New("the URL of the database (-dsn) is not like mysql2://user:password@host:3306/database")
		}
		return openMySQL(mysql.ParseURL(u))
	case isURL:
		return nil, errors.New("the URL of the database (-dsn) is neither of MySQL (mysql2://) nor of PostgreSQL (postgres://)")
	}
	return openMySQL(mysql.ParseDSN(dsn))
}

// jobs are counts of one queue, or of all.
type jobs struct {
	all, failed, processing, ready, scheduled float64
	age                                       float64 // seconds
}

func (j jobs) plus(k jobs) jobs {
	return jobs{j.all + k.all, j.failed + k.failed, j.processing + k.processing, j.ready + k.ready, j.scheduled + k.scheduled, max(j.age, k.age)}
}

// readJobs reads the columns of one queue. A run_at is never in the future of a ready job, but
// the age of one may be rounded below zero.
func readJobs(row [columns]string) (jobs, error) {
	var j jobs
	for _, f := range []struct {
		to     *float64
		column int
	}{{&j.all, colJobs}, {&j.failed, colFailed}, {&j.processing, colProcessing}, {&j.ready, colReady}, {&j.scheduled, colScheduled}, {&j.age, colAge}} {
		if row[f.column] == "" {
			continue // NULL
		}
		v, err := number(row[f.column])
		if err != nil {
			return j, err
		}
		*f.to = max(0, v)
	}
	return j, nil
}

func number(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("it answers %.40q where a number belongs", s)
	}
	return v, nil
}

// entered returns how many numbers the database gave to jobs, raw, and to how many jobs, and
// whether both are known.
func entered(row [columns]string) (raw, jobs float64, ok bool, err error) {
	if row[colEntered] == "" || row[colStep] == "" {
		return 0, 0, false, nil
	}
	if raw, err = number(row[colEntered]); err != nil {
		return 0, 0, false, err
	}
	step, err := number(row[colStep])
	if err != nil {
		return 0, 0, false, err
	}
	return raw, math.Ceil(raw / max(1, step)), true, nil
}

// values returns what the rows say, as far as it is wanted. rows is not empty.
func (c *collector) values(rows [][columns]string) ([]saba.Value, error) {
	var all jobs
	queues := map[string]jobs{}
	for _, row := range rows {
		j, err := readJobs(row)
		if err != nil {
			return nil, err
		}
		all = all.plus(j)
		if row[colJobs] != "" {
			name := plain(row[colQueue])
			queues[name] = queues[name].plus(j) // "a.b" and "a_b" make one series
		}
	}
	raw, in, known, err := entered(rows[0])
	if err != nil {
		return nil, err
	}
	var values []saba.Value
	wanted := strings.Split(c.metrics, ",")
	add := func(metric, name string, v float64) {
		if slices.Contains(wanted, metric) {
			values = append(values, saba.Value{Name: name, Value: v})
		}
	}
	processed := in - all.all
	if c.compat {
		processed = raw
	}
	if known && processed >= 0 { // else rows came in with numbers of their own
		add("processed", "count.processed", processed)
	}
	if known {
		add("enqueued", "count.enqueued", in)
	} else if slices.Contains(wanted, "processed") || slices.Contains(wanted, "enqueued") {
		err = fmt.Errorf("it does not say how many jobs ever came into %s: the user may not ask, or id does not count up", c.table)
	}
	add("queued", "count.queued", all.ready+all.scheduled)
	add("ready", "count.ready", all.ready)
	add("scheduled", "count.scheduled", all.scheduled)
	add("processing", "count.processing", all.processing)
	add("failed", "count.failed", all.failed)
	add("latency", "latency.oldest", all.age)
	add("count", "count", all.all)
	add("error", "error", all.failed)
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		j := queues[name]
		add("queues", "queue."+name+".ready", j.ready)
		add("queues", "queue."+name+".scheduled", j.scheduled)
		add("queues", "queue."+name+".processing", j.processing)
		add("queues", "queue."+name+".failed", j.failed)
		add("queues", "queue_latency."+name, j.age)
	}
	return values, err
}

// plain makes a segment of a metric's name of the name of a queue.
func plain(name string) string {
	if name == "" {
		return "unnamed"
	}
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '_'
	}, name)
}
