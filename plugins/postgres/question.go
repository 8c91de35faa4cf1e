package postgres

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// A question is one query and what its rows mean.
type question struct {
	what    string // for the error: what is not known without it
	sql     string
	columns int
	read    func(r *report, rows [][]string) // each row has as many columns; "" is NULL
}

// here is how far the server has written the WAL, or as a replica replayed it.
const here = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"

// databaseColumns are counters that each database has, in graphs of the same name but for some.
var databaseColumns = []struct{ column, metric string }{
	{"xact_commit", "commits.xact_commit"},
	{"xact_rollback", "commits.xact_rollback"},
	{"blks_read", "blocks.blks_read"},
	{"blks_hit", "blocks.blks_hit"},
	{"tup_returned", "rows.tup_returned"},
	{"tup_fetched", "rows.tup_fetched"},
	{"tup_inserted", "rows.tup_inserted"},
	{"tup_updated", "rows.tup_updated"},
	{"tup_deleted", "rows.tup_deleted"},
	{"deadlocks", "deadlocks.deadlocks"},
	{"temp_bytes", "tempfile.temp_bytes"},
	{"blk_read_time", "iotime.blk_read_time"},
	{"blk_write_time", "iotime.blk_write_time"},
}

// questions returns what to ask a server of this version.
func (f facts) questions() []question {
	var counters []string
	for _, c := range databaseColumns {
		counters = append(counters, "s."+c.column)
	}
	// Of which only bgwriter is left in version 17; what backends write is in pg_stat_io now, in
	// blocks and from version 18 on in bytes.
	checkpoints := "SELECT checkpoints_timed, checkpoints_req, buffers_checkpoint, buffers_clean, buffers_backend FROM pg_stat_bgwriter"
	if f.version >= 170000 {
		blocks := "writes"
		if f.version >= 180000 {
			blocks = "write_bytes / current_setting('block_size')::numeric"
		}
		checkpoints = "SELECT c.num_timed, c.num_requested, c.buffers_written, b.buffers_clean, " +
			"(SELECT SUM(" + blocks + ") FROM pg_stat_io WHERE object = 'relation' AND backend_type NOT IN ('checkpointer', 'background writer')) " +
			"FROM pg_stat_checkpointer c, pg_stat_bgwriter b"
	}
	// Whoever has no right to see what a process does gets these words for its query. It is a
	// client's when it has a user and a database.
	const kind = "CASE WHEN backend_type = 'client backend' THEN 'client' WHEN query = '<insufficient privilege>' AND datid IS NOT NULL AND usesysid IS NOT NULL THEN 'hidden' ELSE 'server' END"
	const mayMeasure = "has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')"
	return []question{
		{"the position in the WAL", "SELECT pg_wal_lsn_diff(" + here + ", '0/0')", 1, first("xlog_location.xlog_location_bytes")},
		{"checkpoints", checkpoints, 5, first("checkpoints.timed", "checkpoints.requested", "buffers.checkpoint", "buffers.clean", "buffers.backend")},
		{"connections", "SELECT " + kind + ", state, wait_event_type, COUNT(*), MAX(EXTRACT(EPOCH FROM now() - xact_start)), " +
			"MAX(CASE WHEN state = 'active' THEN EXTRACT(EPOCH FROM now() - query_start) END) FROM pg_stat_activity GROUP BY 1, 2, 3", 6, (*report).connections},
		{"the counters of databases", "SELECT CASE WHEN NOT d.datistemplate THEN s.datname END, " + strings.Join(counters, ", ") +
			" FROM pg_stat_database s LEFT JOIN pg_database d ON d.oid = s.datid", 1 + len(counters), (*report).databases},
		{"the age of transaction IDs", "SELECT MAX(age(datfrozenxid)), MAX(mxid_age(datminmxid)) FROM pg_database", 2, first("wraparound.xid", "wraparound.multixact")},
		// A replica that has replayed all it got, and still gets some, is not behind, however long
		// ago the primary had something to do.
		{"the replication lag", "SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0 " +
			"ELSE EXTRACT(EPOCH FROM now() - pg_last_xact_replay_timestamp()) END", 1, first("replication.lag")},
		{"replicas", "SELECT application_name, pg_wal_lsn_diff(" + here + ", replay_lsn), EXTRACT(EPOCH FROM replay_lag), state IS NULL FROM pg_stat_replication", 4, (*report).replicas},
		{"replication slots", "SELECT slot_name, pg_wal_lsn_diff(" + here + ", restart_lsn) FROM pg_replication_slots", 2, (*report).slots},
		// Last, since it looks at each file and may take longer than there is time.
		{"the sizes of databases", "SELECT CASE WHEN NOT datistemplate THEN datname END, " + mayMeasure + ", CASE WHEN " + mayMeasure + " THEN pg_database_size(oid) END FROM pg_database", 3, (*report).sizes},
	}
}

// A report is what the answers say.
type report struct {
	facts
	compat bool
	values []saba.Value
	hidden []string // what the user has no right to see
}

// read notes what the rows of an answer mean.
func (r *report) read(q question, rows [][]string) error {
	for _, row := range rows {
		if len(row) != q.columns {
			return fmt.Errorf("it answers with %d columns in place of %d", len(row), q.columns)
		}
	}
	q.read(r, rows)
	return nil
}

// figure reads a number, and says whether it is one.
func figure(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// add notes a value, if it is known. What differs by the moment of its reading may be rounded below zero.
func (r *report) add(name, s string) {
	if v, ok := figure(s); ok {
		r.values = append(r.values, saba.Value{Name: name, Value: max(0, v)})
	}
}

// addAll notes values by their names in order.
func (r *report) addAll(values map[string]float64) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		r.values = append(r.values, saba.Value{Name: name, Value: max(0, values[name])})
	}
}

// first returns what notes the columns of the only row.
func first(names ...string) func(*report, [][]string) {
	return func(r *report, rows [][]string) {
		for i, name := range names {
			if len(rows) == 1 {
				r.add(name, rows[0][i])
			}
		}
	}
}

// connections reads kind, state, class of what is waited for, number, age of the oldest
// transaction and of the oldest running query in seconds.
func (r *report) connections(rows [][]string) {
	values := map[string]float64{
		"connections.active": 0, "connections.active_waiting": 0, "connections.idle": 0, "connections.idle_in_transaction": 0,
		"connections.idle_in_transaction_aborted": 0, "connections.fastpath_function_call": 0, "connections.disabled": 0,
		"waits.lock": 0, "waits.lwlock": 0, "waits.io": 0, "waits.ipc": 0, "waits.client": 0, "waits.other": 0,
		"oldest.transaction": 0, "oldest.query": 0,
	}
	if r.version >= 180000 {
		values["connections.starting"] = 0
	}
	var clients, hidden float64
	for _, row := range rows {
		kind, state, wait := row[0], stateName(row[1]), row[2]
		n, ok := figure(row[3])
		if !ok {
			continue
		}
		if kind == "hidden" {
			hidden += n
		}
		name := "connections." + state
		if wait != "" && (r.compat || state == "active") { // who is idle waits for its client
			name += "_waiting"
		}
		if _, known := values[name]; known && (kind == "client" || r.compat) {
			values[name] += n
		}
		if kind != "client" {
			continue
		}
		clients += n
		if state == "active" && wait != "" {
			values[waitName(wait)] += n
		}
		for name, s := range map[string]string{"oldest.transaction": row[4], "oldest.query": row[5]} {
			if age, ok := figure(s); ok {
				values[name] = max(values[name], age)
			}
		}
	}
	if hidden == 0 && r.maxConnections > 0 {
		values["capacity.percentage_of_connections"] = 100 * clients / r.maxConnections
	}
	if hidden > 0 {
		r.hidden = append(r.hidden, fmt.Sprintf("what %v connections do", hidden))
		for name := range values {
			if !r.compat || !strings.HasPrefix(name, "connections.") {
				delete(values, name)
			}
		}
	}
	r.addAll(values)
}

// stateName makes a name of a state: "idle in transaction (aborted)" is idle_in_transaction_aborted.
func stateName(state string) string {
	return strings.Join(strings.FieldsFunc(state, func(c rune) bool { return c == ' ' || c == '(' || c == ')' }), "_")
}

// waitName returns the metric of a class of what is waited for.
func waitName(class string) string {
	switch class {
	case "Lock", "LWLock", "IO", "IPC", "Client":
		return "waits." + strings.ToLower(class)
	}
	return "waits.other"
}

// maxDatabases bounds how many databases, replicas and slots are shown one by one.
const maxDatabases = 100

// databases reads name ("" of templates and of what all share) and counters.
func (r *report) databases(rows [][]string) {
	transactions := map[string]float64{}
	for _, row := range rows {
		commits, ok1 := figure(row[1])
		rollbacks, ok2 := figure(row[2])
		if row[0] != "" && ok1 && ok2 {
			transactions["database_transactions."+plain(row[0])] += commits + rollbacks
		}
	}
	if len(transactions) <= maxDatabases {
		r.addAll(transactions)
	}
	for i, c := range databaseColumns {
		sum, known := 0.0, len(rows) > 0
		for _, row := range rows {
			v, ok := figure(row[1+i])
			sum, known = sum+v, known && ok
		}
		// Blocks that nobody timed did not take no time.
		measured := r.ioTiming || r.compat || sum > 0 || !strings.HasPrefix(c.metric, "iotime.")
		if known && measured {
			r.values = append(r.values, saba.Value{Name: c.metric, Value: max(0, sum)})
		}
	}
}

// sizes reads name ("" of templates), whether the size may be asked, and size in bytes.
func (r *report) sizes(rows [][]string) {
	sizes := map[string]float64{}
	total, unseen := 0.0, 0
	for _, row := range rows {
		v, ok := figure(row[2])
		switch {
		case row[1] != "t":
			unseen++
		case ok: // else it was dropped just now
			total += v
			if row[0] != "" {
				sizes["database_size."+plain(row[0])] += v
			}
		}
	}
	if len(sizes) <= maxDatabases {
		r.addAll(sizes)
	}
	if unseen > 0 {
		r.hidden = append(r.hidden, fmt.Sprintf("the size of %d databases", unseen))
	}
	if unseen == 0 || r.compat {
		r.values = append(r.values, saba.Value{Name: "size.total_size", Value: total})
	}
}

// replicas reads name, bytes and seconds that a replica is behind, and whether the user may not
// know. Of several with one name the last in the race counts.
func (r *report) replicas(rows [][]string) {
	values := map[string]float64{}
	unseen := 0
	for _, row := range rows {
		if row[3] == "t" {
			unseen++
			continue
		}
		delay, ok := figure(row[1])
		if !ok {
			continue // it only takes a copy
		}
		lag, known := figure(row[2])
		known = known || delay <= 0 // the server forgets the lag when all is done
		name := plain(row[0])
		values["replica_delay."+name] = max(values["replica_delay."+name], delay)
		if known {
			values["replica_lag."+name] = max(values["replica_lag."+name], lag)
		}
	}
	if unseen > 0 {
		r.hidden = append(r.hidden, fmt.Sprintf("how far %d replicas are", unseen))
	}
	if len(values) <= 2*maxDatabases {
		r.addAll(values)
	}
}

// slots reads name and bytes of the WAL that it keeps; NULL if it does not.
func (r *report) slots(rows [][]string) {
	if len(rows) > maxDatabases {
		return
	}
	for _, row := range rows {
		r.add("slots."+plain(row[0]), row[1])
	}
}

// plain makes a segment of a metric's name of any name.
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
