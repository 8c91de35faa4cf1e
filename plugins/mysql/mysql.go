// Package mysql is the plugin that watches one MySQL or MariaDB server. Read mysql.go first;
// graphs.go says what it shows, innodb.go reads the text of the InnoDB monitor.
package mysql

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
	"github.com/saba-monitor/saba/plugin/target/mysql"
)

// Plugin reports statements, connections, locks, traffic, replication and InnoDB of one server.
var Plugin = plugin.Plugin{
	Name:   "mysql",
	Short:  "statements, connections, locks, traffic, replication and InnoDB of a MySQL or MariaDB server",
	Label:  "MySQL",
	Graphs: slices.Concat(baseGraphs, innodbGraphs, extendedGraphs),
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{}
		fs.StringVar(&c.server.Host, "host", "localhost", "`host` of the server")
		fs.StringVar(&c.server.Port, "port", "3306", "`port` of the server")
		fs.StringVar(&c.server.Socket, "socket", "", "unix `socket` of the server, in place of host and port")
		fs.StringVar(&c.server.User, "username", "root", "`user` to log in as")
		c.password.AddFlags(fs, "password", "MYSQL_PASSWORD")
		fs.BoolVar(&c.server.TLS, "tls", false, "speak TLS")
		fs.StringVar(&c.server.RootCert, "tls-root-cert", "", "`file` of certificates (PEM) that the server's is verified with, in place of the system's")
		fs.BoolVar(&c.server.SkipVerify, "tls-skip-verify", false, "do not verify the server's certificate")
		fs.BoolVar(&c.noInnoDB, "disable_innodb", false, "do not collect what is of InnoDB")
		fs.BoolVar(&c.extended, "enable_extended", false, "collect the query cache, temporary objects, files, processes, sorts, handlers and MyISAM too")
		fs.BoolVar(&c.compat, "compat", false, "of several sources of a replica the last counts, and of several hash indexes too, as other plugins have it")
		fs.Bool("debug", false, "no effect; other plugins have it")
		return c
	},
}

type collector struct {
	server             mysql.Server
	password           target.Secret
	noInnoDB, extended bool
	compat             bool

	// What is kept from turn to turn: to log in costs as much as to ask.
	conn  *mysql.Conn // nil when there is none
	with  string      // the password that it logged in with
	since time.Time
}

const (
	// keepFor bounds the age of a connection: a name may lead to another server by then.
	keepFor = 30 * time.Minute
	// leastIdle is how long a server must bear an idle connection, in seconds, so that it is kept over a turn of a
	// minute: one that ends them sooner would count and log each as given up by its client.
	leastIdle = 180
	// keptPatience is how long the first answer on a kept connection may take before a new one is made: the other
	// end may have gone without a word.
	keptPatience = 3 * time.Second
)

// Collect asks the server on the connection of the turn before, or on a new one. What one question would have
// brought is missing when it is refused, and the error says why.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	password, err := c.password.Read(ctx)
	if err != nil {
		return nil, err
	}
	f := newFigures()
	f.compat = c.compat
	graphs := baseGraphs
	questions := []func(context.Context, *mysql.Conn) error{f.askVariables, f.askReplication}
	if !c.noInnoDB {
		graphs, questions = slices.Concat(graphs, innodbGraphs), append(questions, f.askInnoDB)
	}
	if c.extended {
		graphs, questions = slices.Concat(graphs, extendedGraphs), append(questions, f.askProcesses)
	}
	conn, since, err := c.begin(ctx, password, func(ctx context.Context, conn *mysql.Conn) error { return f.askStatus(ctx, conn, graphs) })
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() {
		if keep {
			c.conn, c.with, c.since = conn, password, since
		} else {
			conn.Close()
		}
	}()
	var errs []error
	for _, ask := range questions {
		if err := ask(ctx, conn); err != nil {
			errs = append(errs, fmt.Errorf("ask %s: %w", c.server.Name(), err))
		}
		if ctx.Err() != nil {
			break // the rest has no time either
		}
	}
	// What the user is allowed is settled at its login, so that one who lacks something logs in again.
	keep = len(errs) == 0 && f.numbers["wait_timeout"] >= leastIdle
	f.derive()
	if c.noInnoDB {
		delete(f.numbers, "PercentageOfBufferPool")
	}
	return f.values(graphs), errors.Join(errs...)
}

// begin asks the first question, on the connection that was kept or, when there is none or it does not work any more,
// on a new one. It returns the connection, which is the caller's, and when it was made.
func (c *collector) begin(ctx context.Context, password string, first func(context.Context, *mysql.Conn) error) (*mysql.Conn, time.Time, error) {
	if conn := c.conn; conn != nil && c.with == password && time.Since(c.since) < keepFor {
		c.conn = nil
		conn.Renew()
		limited, cancel := context.WithTimeout(ctx, keptPatience)
		err := first(limited, conn)
		cancel()
		if err == nil {
			return conn, c.since, nil
		}
		conn.Close()
	}
	c.Close()
	since := time.Now()
	conn, err := c.server.Connect(ctx, password)
	if err != nil {
		return nil, since, fmt.Errorf("log in to %s: %w", c.server.Name(), err)
	}
	if err := first(ctx, conn); err != nil {
		conn.Close()
		return nil, since, fmt.Errorf("ask %s: %w", c.server.Name(), err)
	}
	return conn, since, nil
}

// Close ends the connection that was kept.
func (c *collector) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// figures are what the server says, by its own names and by those of metrics.
type figures struct {
	numbers map[string]float64
	texts   map[string]string  // variables that are no numbers
	lags    map[string]float64 // seconds that a replica is behind a source that has a name
	compat  bool
}

func newFigures() *figures {
	return &figures{numbers: make(map[string]float64, 256), texts: map[string]string{}, lags: map[string]float64{}}
}

// add takes what is a number.
func (f *figures) add(name, value string) {
	if v, err := strconv.ParseFloat(value, 64); err == nil {
		f.set(name, v)
	}
}

// set takes a number, unless it is so high that it is one below zero: servers take some counts
// away from each other without waiting, and show what comes of it as what 64 bits hold.
func (f *figures) set(name string, v float64) {
	if v >= 0 && v < 1<<63 { // which no NaN is
		f.numbers[name] = v
	}
}

// maxFigures bounds the rows of SHOW GLOBAL STATUS.
const maxFigures = 10_000

// pairs sends a statement whose rows are a name and a value each.
func pairs(ctx context.Context, conn *mysql.Conn, statement string, each func(name, value string)) error {
	_, rows, err := conn.Rows(ctx, maxFigures, statement)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if len(row) == 2 {
			each(row[0], row[1])
		}
	}
	return nil
}

// askStatus asks for the variables that graphs show or that figures are derived from: a third of all.
func (f *figures) askStatus(ctx context.Context, conn *mysql.Conn, graphs []plugin.Graph) error {
	const statement = "SHOW GLOBAL STATUS"
	err := pairs(ctx, conn, statement+" WHERE Variable_name IN ('"+strings.Join(variables(graphs), "', '")+"')", f.add)
	if _, ok := f.numbers["Questions"]; err == nil && !ok {
		err = errors.New("it does not count questions, as a MySQL or MariaDB does")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (f *figures) askVariables(ctx context.Context, conn *mysql.Conn) error {
	err := pairs(ctx, conn, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'wait_timeout', 'thread_cache_size', 'max_connections', 'innodb_log_buffer_size', "+
		"'query_cache_size', 'table_open_cache', 'key_buffer_size', 'key_cache_block_size', 'aurora_version', 'innodb_read_only')", func(name, value string) {
		f.texts[name] = value
		f.add(name, value)
	})
	if err != nil {
		return fmt.Errorf("SHOW GLOBAL VARIABLES: %w", err)
	}
	return nil
}

func (f *figures) askReplication(ctx context.Context, conn *mysql.Conn) error {
	sources, err := conn.Sources(ctx, f.texts["version"])
	if mysql.Refused(err) {
		err = fmt.Errorf("%w; to know how far a replica is behind, grant REPLICATION CLIENT ON *.*, from MariaDB 10.5 on SLAVE MONITOR ON *.*", err)
	}
	f.addSources(sources)
	return err
}

func (f *figures) askInnoDB(ctx context.Context, conn *mysql.Conn) error {
	if _, aurora := f.texts["aurora_version"]; aurora && f.texts["innodb_read_only"] == "ON" {
		return nil // a reader of Aurora has no InnoDB of its own to tell of
	}
	const statement = "SHOW ENGINE INNODB STATUS"
	_, rows, err := conn.Rows(ctx, 1, statement)
	switch {
	case mysql.Refused(err):
		return fmt.Errorf("%s: %w; grant PROCESS ON *.*, or do not ask with -disable_innodb", statement, err)
	case err != nil:
		return fmt.Errorf("%s: %w", statement, err)
	case len(rows) == 0 || len(rows[0]) < 3:
		return nil // a server without InnoDB
	}
	monitor, hashes := readMonitor(rows[0][2])
	for name, v := range monitor {
		f.set(name, v)
	}
	if k := len(hashes); k > 0 && f.compat {
		hashes = hashes[k-1:]
	}
	for _, cells := range hashes {
		f.set("hash_index_cells_total", f.numbers["hash_index_cells_total"]+cells)
	}
	return nil
}

// maxProcesses bounds the rows of SHOW PROCESSLIST. A server has at most 100,000 connections.
const maxProcesses = 110_000

func (f *figures) askProcesses(ctx context.Context, conn *mysql.Conn) error {
	// Whoever may not see the others' processes is shown his own, without a word about that.
	_, grants, err := conn.Rows(ctx, maxFigures, "SHOW GRANTS")
	if err != nil {
		return fmt.Errorf("SHOW GRANTS: %w", err)
	}
	if !slices.ContainsFunc(grants, func(row []string) bool {
		granted, _, everywhere := strings.Cut(strings.TrimPrefix(row[0], "GRANT "), " ON *.* TO ")
		return everywhere && slices.ContainsFunc(strings.Split(granted, ", "), func(p string) bool { return p == "PROCESS" || p == "ALL PRIVILEGES" })
	}) {
		return errors.New("SHOW PROCESSLIST: this user sees its own processes only; grant PROCESS ON *.*")
	}
	columns, rows, err := conn.Rows(ctx, maxProcesses, "SHOW PROCESSLIST")
	if err != nil {
		return fmt.Errorf("SHOW PROCESSLIST: %w", err)
	}
	state := slices.Index(columns, "State")
	if state < 0 {
		return errors.New("SHOW PROCESSLIST: it has no column State")
	}
	for _, m := range processes {
		f.numbers[m.Name] = 0 // what no process is in is known too
	}
	for _, row := range rows {
		f.numbers[processState(row[state])]++
	}
	return nil
}

// processes are the metrics of states.
var processes = extendedGraphs[slices.IndexFunc(extendedGraphs, func(g plugin.Graph) bool { return g.Name == processlist })].Metrics

// processState returns the metric that counts processes in a state.
func processState(state string) string {
	lower := strings.ToLower(state)
	name := "State_" + strings.ReplaceAll(lower, " ", "_")
	switch {
	case state == "":
		return "State_none"
	case lower == "table lock", strings.HasPrefix(lower, "waiting for ") && strings.HasSuffix(lower, "lock"):
		return "State_locked"
	case slices.ContainsFunc(processes, func(m plugin.Metric) bool { return m.Name == name }):
		return name
	}
	return "State_other"
}

// derivedFrom are the variables from which derive makes metrics of other names, besides those of sameAs.
var derivedFrom = []string{"Threads_connected", "Innodb_ibuf_merged_inserts", "Innodb_ibuf_merged_delete_marks", "Innodb_ibuf_merged_deletes", "Key_blocks_unused", "Key_blocks_not_flushed"}

// variables returns the names of status variables that graphs need, and some that are none: a server does not mind.
func variables(graphs []plugin.Graph) []string {
	names := slices.Clone(derivedFrom)
	for _, others := range sameAs {
		names = append(names, others...)
	}
	for _, g := range graphs {
		for _, m := range g.Metrics {
			if c := m.Name[0]; c >= 'A' && c <= 'Z' { // as all of the server's begin
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// sameAs says under which names servers have what a metric is, the likeliest first.
var sameAs = map[string][]string{
	"database_pages":      {"Innodb_buffer_pool_pages_data"},
	"free_pages":          {"Innodb_buffer_pool_pages_free"},
	"modified_pages":      {"Innodb_buffer_pool_pages_dirty"},
	"pool_size":           {"Innodb_buffer_pool_pages_total"},
	"pages_created":       {"Innodb_pages_created"},
	"pages_read":          {"Innodb_pages_read"},
	"pages_written":       {"Innodb_pages_written"},
	"file_reads":          {"Innodb_data_reads"},
	"file_writes":         {"Innodb_data_writes"},
	"file_fsyncs":         {"Innodb_data_fsyncs"},
	"log_writes":          {"Innodb_log_writes"},
	"read_ahead":          {"Innodb_buffer_pool_read_ahead"},
	"read_evicted":        {"Innodb_buffer_pool_read_ahead_evicted"},
	"read_random_ahead":   {"Innodb_buffer_pool_read_ahead_rnd"},
	"history_list":        {"Innodb_history_list_length"},
	"innodb_transactions": {"Innodb_max_trx_id"},
	"log_bytes_written":   {"Innodb_redo_log_current_lsn", "Innodb_lsn_current"},
	"log_bytes_flushed":   {"Innodb_redo_log_flushed_to_disk_lsn", "Innodb_lsn_flushed"},
	lastCheckpoint:        {"Innodb_redo_log_checkpoint_lsn", "Innodb_lsn_last_checkpoint"},
	"ibuf_merges":         {"Innodb_ibuf_merges"},
	"ibuf_inserts":        {"Innodb_ibuf_merged_inserts"},
	"table_cache":         {"table_open_cache"},
}

// derive adds what follows from what the server says. A variable is preferred to the text of
// the monitor: it needs no privilege and has one form.
func (f *figures) derive() {
	for name, others := range sameAs {
		for _, other := range others {
			if v, ok := f.numbers[other]; ok {
				f.numbers[name] = v
				break
			}
		}
	}
	set := func(name string, v float64, known bool) {
		if known {
			f.numbers[name] = v
		}
	}
	connected, limit, ok := f.both("Threads_connected", "max_connections")
	set("PercentageOfConnections", 100*connected/limit, ok && limit > 0)
	inserts, marks, ok := f.both("Innodb_ibuf_merged_inserts", "Innodb_ibuf_merged_delete_marks")
	deletes, known := f.numbers["Innodb_ibuf_merged_deletes"]
	set("ibuf_merged", inserts+marks+deletes, ok && known)
	used, size, ok := f.both("database_pages", "pool_size")
	set("PercentageOfBufferPool", 100*used/size, ok && size > 0)
	// The server reads one position after the other, so that the later may be ahead.
	written, flushed, ok := f.both("log_bytes_written", "log_bytes_flushed")
	set("unflushed_log", max(0, written-flushed), ok)
	written, checkpoint, ok := f.both("log_bytes_written", lastCheckpoint)
	set("uncheckpointed_bytes", max(0, written-checkpoint), ok)
	unused, block, ok := f.both("Key_blocks_unused", "key_cache_block_size")
	buffer, known := f.numbers["key_buffer_size"]
	set("key_buf_bytes_used", buffer-unused*block, ok && known)
	dirty, block, ok := f.both("Key_blocks_not_flushed", "key_cache_block_size")
	set("key_buf_bytes_unflushed", dirty*block, ok)
}

// both returns two figures and whether they are known.
func (f *figures) both(a, b string) (x, y float64, ok bool) {
	x, ok = f.numbers[a]
	y, too := f.numbers[b]
	return x, y, ok && too
}

// addSources adds how far a replica is behind. One that is behind its sources by more than it
// knows has no value for all of them.
func (f *figures) addSources(sources []mysql.Source) {
	if len(sources) == 0 {
		return // no replica
	}
	running, furthest, known := 0.0, 0.0, true
	for i, s := range sources {
		if s.Running() {
			running++
		}
		lag, err := strconv.ParseUint(s.Lag, 10, 32) // "": it does not know
		if err != nil {
			known = false
			continue
		}
		if f.compat && i == len(sources)-1 {
			furthest, known = 0, true
		}
		furthest = max(furthest, float64(lag))
		if s.Name != "" {
			f.lags[plain(s.Name)] = max(f.lags[plain(s.Name)], float64(lag)) // "a.b" and "a_b" make one series
		}
	}
	f.numbers["sources"], f.numbers["running"] = float64(len(sources)), running
	if known {
		f.numbers["Seconds_Behind_Master"] = furthest
	}
}

// plain makes a segment of a metric's name of the name of a source.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '_'
	}, name)
}

// values returns what is known of the metrics of graphs.
func (f *figures) values(graphs []plugin.Graph) []saba.Value {
	var values []saba.Value
	for _, g := range graphs {
		if g.Name == lagOfSources {
			for _, name := range slices.Sorted(maps.Keys(f.lags)) {
				values = append(values, saba.Value{Name: g.Name + "." + name, Value: f.lags[name]})
			}
			continue
		}
		for _, m := range g.Metrics {
			v, ok := f.numbers[m.Name]
			if !ok {
				continue
			}
			values = append(values, saba.Value{Name: g.Name + "." + m.Name, Value: v})
		}
	}
	return values
}
