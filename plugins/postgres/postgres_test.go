package postgres

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// args returns the flags of a server, and more.
func args(s *postgrestest.Server, more ...string) []string {
	return append([]string{"-hostname", "127.0.0.1", "-port", s.Port, "-user", "postgres"}, more...)
}

// until calls try until it says that it is so.
func until(t *testing.T, what string, try func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !try(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to %s", what)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// asker returns what collects with flags, on one connection, counters as totals.
func asker(t *testing.T, args ...string) func() map[string]float64 {
	t.Helper()
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c := Plugin.New(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return func() map[string]float64 {
		t.Helper()
		values, err := c.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return byName(values)
	}
}

func byName(values []saba.Value) map[string]float64 {
	got := map[string]float64{}
	for _, v := range values {
		got[v.Name] = v.Value
	}
	return got
}

func embed(t *testing.T, args ...string) *plugin.Embedded {
	t.Helper()
	e, err := plugin.Embed(Plugin, args)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The tests of a real server take turns on one.
func TestARealServer(t *testing.T) {
	s := postgrestest.Start(t, "autovacuum=off", "max_connections=50")
	for _, tt := range []struct {
		name string
		test func(*testing.T, *postgrestest.Server)
	}{
		{"all that is declared", testDeclared},
		{"what it counts", testCounters},
		{"what connections do", testConnections},
		{"what takes too long", testSlow},
		{"who may log in", testLogin},
		{"rights", testRights},
		{"replication", testReplication},
		{"a crash", testCrash},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.test(t, s)
			until(t, "be alone", func() bool {
				return len(s.Ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")) == 0
			})
		})
	}
}

func testDeclared(t *testing.T, s *postgrestest.Server) {
	missing := []string{"replication.lag", "replica_lag.*", "replica_delay.*", "slots.*"}
	if v, _ := figure(s.Ask("SHOW server_version_num")[0][0]); v < 180000 {
		missing = append(missing, "connections.starting")
	}
	plugintest.Collect(t, Plugin, args(s), append(missing, "iotime.blk_read_time", "iotime.blk_write_time")...)
	s.Ask("ALTER SYSTEM SET track_io_timing = on")
	s.Reload()
	plugintest.Collect(t, Plugin, args(s), missing...)
}

func testCounters(t *testing.T, s *postgrestest.Server) {
	shop := s.Database("shop.eu")
	ask := asker(t, args(s)...)
	empty := ask()
	c := s.Connect(shop)
	c.Ask("CREATE TABLE goods AS SELECT n FROM generate_series(1, 5000) n")
	c.Close()
	var before map[string]float64
	until(t, "count what was done", func() bool { // a backend says what it counted when it ends, at the latest
		before = ask()
		return before["rows.tup_inserted"] >= empty["rows.tup_inserted"]+5000
	})
	if size, shop := before["size.total_size"], before["database_size.shop_eu"]; shop < 1<<20 || size < 3*shop {
		t.Errorf("the databases have %v bytes, of which %v are the shop's", size, shop)
	}
	if _, template := before["database_size.template1"]; template {
		t.Error("a template is shown as a database")
	}
	c = s.Connect(shop)
	for range 3 {
		c.Ask("BEGIN; INSERT INTO goods VALUES (0); ROLLBACK")
	}
	c.Ask("INSERT INTO goods SELECT generate_series(1, 1000)")
	c.Ask("UPDATE goods SET n = -1 WHERE n = 17")
	c.Ask("DELETE FROM goods WHERE n <= 5")
	c.Close()
	var after map[string]float64
	until(t, "count more", func() bool { after = ask(); return after["rows.tup_deleted"] > before["rows.tup_deleted"] })
	for name, want := range map[string]float64{"rows.tup_inserted": 1003, "rows.tup_updated": 2, "rows.tup_deleted": 12, "commits.xact_rollback": 3, "deadlocks.deadlocks": 0} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s rose by %v, want %v", name, got, want)
		}
	}
	for name, least := range map[string]float64{"commits.xact_commit": 4, "database_transactions.shop_eu": 6, "xlog_location.xlog_location_bytes": 1000 * 30, "blocks.blks_hit": 100} {
		if got := after[name] - before[name]; got < least {
			t.Errorf("%s rose by %v, want %v at least", name, got, least)
		}
	}
	s.Ask("CHECKPOINT")
	until(t, "count a checkpoint", func() bool {
		now := ask()
		return now["checkpoints.requested"] > before["checkpoints.requested"] && now["buffers.checkpoint"] > before["buffers.checkpoint"]
	})
}

func testConnections(t *testing.T, s *postgrestest.Server) {
	s.Ask("CREATE TABLE t AS SELECT 1 AS n")
	url := s.URL("", "postgres")
	s.Connect(url).Ask("BEGIN; LOCK t")
	broken := s.Connect(url)
	broken.Ask("BEGIN")
	broken.Fail("SELECT 1/0")
	s.Connect(url)
	s.Connect(url).Start("SELECT n FROM t")
	s.Connect(url).Start("SELECT pg_sleep(1000)")
	ask := asker(t, args(s)...)
	var got map[string]float64
	until(t, "wait", func() bool {
		got = ask()
		return got["connections.active_waiting"] == 2 && got["oldest.query"] > 0.1
	})
	for name, want := range map[string]float64{
		"connections.active": 1, "connections.idle": 1, "connections.idle_in_transaction": 1, "connections.idle_in_transaction_aborted": 1,
		"connections.disabled": 0, "waits.lock": 1, "waits.other": 1, "waits.io": 0, "capacity.percentage_of_connections": 12,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if got["oldest.transaction"] < got["oldest.query"] || got["oldest.transaction"] > 300 {
		t.Errorf("the oldest transaction is of %v s, the oldest query of %v", got["oldest.transaction"], got["oldest.query"])
	}
	compat := asker(t, args(s, "-compat")...)
	until(t, "count as others do, so that nobody is idle", func() bool {
		got := compat()
		return got["connections.idle"] == 0 && got["connections.idle_in_transaction"] == 0 && got["connections.active_waiting"] == 2
	})
}

// What does not come in time does not take the rest along.
func testSlow(t *testing.T, s *postgrestest.Server) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c := Plugin.New(fs)
	if err := fs.Parse(args(s)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock := s.Connect(s.URL("", "postgres"))
	lock.Ask("BEGIN; LOCK pg_database") // who is logged in is held up where databases are named
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	values, err := c.Collect(ctx)
	if got := byName(values); got["xlog_location.xlog_location_bytes"] == 0 || len(got) > 10 {
		t.Errorf("what comes before the rest is %v, want the position in the WAL", got)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "ask PostgreSQL at 127.0.0.1:"+s.Port+" for connections: ") {
		t.Errorf("when the rest does not come: %v", err)
	}
	lock.Ask("ROLLBACK")
	if values, err := c.Collect(t.Context()); err != nil || len(values) < 30 {
		t.Errorf("afterwards: %d values, %v", len(values), err)
	}
}

func testLogin(t *testing.T, s *postgrestest.Server) {
	s.Ask("CREATE USER watcher PASSWORD 'topsecret' IN ROLE pg_monitor")
	ca := s.TLS("127.0.0.1")
	at := []string{"-hostname", "127.0.0.1", "-port", s.Port, "-user", "watcher", "-database", "postgres"}
	for name, tt := range map[string]struct {
		args []string
		want string // a part of the error; "" is none
	}{
		"a password":               {append(at, "-password", "topsecret"), ""},
		"a wrong one":              {append(at, "-password", "wrongsecret"), "password authentication failed"},
		"none":                     {at, "password"},
		"TLS":                      {append(at, "-password", "topsecret", "-sslmode", "verify-full", "-sslrootcert", ca), ""},
		"TLS of nobody one knows":  {append(at, "-password", "topsecret", "-sslmode", "verify-full"), "name its authority with sslrootcert"},
		"through the socket":       {[]string{"-hostname", s.Dir, "-port", s.Port, "-user", "postgres"}, ""},
		"the database of the user": {[]string{"-hostname", "127.0.0.1", "-port", s.Port, "-user", "watcher", "-password", "topsecret"}, `database "watcher" does not exist`},
		"nobody at the port":       {append(at, "-port", "1"), "connection refused"},
		"nobody who asks":          {[]string{"-hostname", "127.0.0.1"}, "set -user or PGUSER"},
		"a file that is not there": {append(at, "-password-file", "/no/such"), "no such file"},
		"roots that are not there": {append(at, "-sslmode", "require", "-sslrootcert", "/no/such"), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PGUSER", "")
			t.Setenv("PGPASSWORD", "")
			t.Setenv("PGPASSFILE", "/no/such")
			all, err := embed(t, tt.args...).Values(t.Context())
			if tt.want == "" && (err != nil || len(all) < 20) || tt.want != "" && (err == nil || len(all) > 0 || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%d values, %v, want %q", len(all), err, tt.want)
			}
		})
	}
}

func testRights(t *testing.T, s *postgrestest.Server) {
	s.Database("private")
	s.Ask("REVOKE CONNECT ON DATABASE private FROM PUBLIC; CREATE USER \"a guest\" PASSWORD 'topsecret'")
	s.Connect(s.URL("", "postgres"))
	guest := append(args(s), "-user", "a guest", "-database", "postgres", "-password", "topsecret")
	all, err := embed(t, guest...).Values(t.Context())
	want := fmt.Sprintf(`ask PostgreSQL at 127.0.0.1:%s: user a guest does not see what 1 connections do, the size of 1 databases: GRANT pg_monitor TO "a guest"`, s.Port)
	if err == nil || err.Error() != want {
		t.Errorf("who may see little: %v, want %s", err, want)
	}
	got := byName(all)
	for name, there := range map[string]bool{"connections.idle": false, "capacity.percentage_of_connections": false, "size.total_size": false, "database_size.private": false,
		"database_size.postgres": true, "wraparound.xid": true} {
		if _, ok := got["postgres."+name]; ok != there {
			t.Errorf("%s is there: %v, want %v", name, ok, there)
		}
	}
	s.Ask(`CREATE SCHEMA fake; CREATE FUNCTION fake.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE plpgsql AS $$BEGIN RAISE 'not here' USING ERRCODE = '0A000'; END$$;
		CREATE FUNCTION fake.mxid_age(xid) RETURNS int LANGUAGE sql AS 'SELECT 1/0'; GRANT USAGE ON SCHEMA fake TO PUBLIC; CREATE USER service PASSWORD 'topsecret' IN ROLE pg_monitor;
		ALTER USER service SET search_path = fake, pg_catalog`)
	all, err = embed(t, append(guest, "-user", "service")...).Values(t.Context())
	if want := "for the age of transaction IDs: division by zero (SQLSTATE 22012)"; err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "not here") || len(all) < 15 {
		t.Errorf("where something is not there, and something fails: %d values, %v, want %s", len(all), err, want)
	}
	s.Ask(`REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC`)
	if _, err := embed(t, append(guest, "-compat")...).Values(t.Context()); err == nil || !strings.Contains(err.Error(), "does not see the position in the WAL, ") {
		t.Errorf("who may not call a function: %v", err)
	}
	s.Ask(`GRANT EXECUTE ON FUNCTION pg_current_wal_lsn() TO PUBLIC; GRANT pg_monitor TO "a guest"`)
	if all, err := embed(t, guest...).Values(t.Context()); err != nil || len(all) < 20 {
		t.Errorf("with the right that the error names: %d values, %v", len(all), err)
	}
}

func testReplication(t *testing.T, s *postgrestest.Server) {
	s.Ask("SELECT pg_create_physical_replication_slot('keep', true); CREATE USER stranger PASSWORD 'topsecret'")
	r := s.Replica("cluster_name=tokyo.1")
	s.Ask("CREATE TABLE first AS SELECT 1")
	primary, replica := asker(t, args(s)...), asker(t, args(r)...)
	var got map[string]float64
	until(t, "have all", func() bool {
		got = primary()
		lag, ok := got["replica_lag.tokyo_1"]
		return ok && lag < 60 && got["replica_delay.tokyo_1"] == 0
	})
	before := replica()
	if lag, ok := before["replication.lag"]; !ok || lag != 0 {
		t.Errorf("a replica that has all is behind by %v s, %v", lag, ok)
	}
	if lag, ok := got["replication.lag"]; ok {
		t.Errorf("a primary is behind by %v", lag)
	}

	r.Ask("SELECT pg_wal_replay_pause()")
	s.Ask("CREATE TABLE many AS SELECT generate_series(1, 10000)")
	until(t, "be behind", func() bool {
		p := primary()
		return p["replica_delay.tokyo_1"] > 100_000 && p["slots.keep"] > 100_000 && replica()["replication.lag"] > 0
	})
	_, err := embed(t, append(args(s), "-user", "stranger", "-database", "postgres", "-password", "topsecret")...).Values(t.Context())
	if err == nil || !strings.Contains(err.Error(), "how far 1 replicas are") {
		t.Errorf("who may see little of a replica: %v", err)
	}
	r.Ask("SELECT pg_wal_replay_resume()")
	until(t, "have all again", func() bool { return replica()["replication.lag"] == 0 && primary()["replica_delay.tokyo_1"] == 0 })
	if wal := replica()["xlog_location.xlog_location_bytes"] - before["xlog_location.xlog_location_bytes"]; wal < 100_000 {
		t.Errorf("the replica replayed %v bytes, want more than the table has", wal)
	}
	s.End(syscall.SIGQUIT)
	until(t, "be behind a primary that is gone", func() bool { return replica()["replication.lag"] > 0 })
	r.End(syscall.SIGQUIT)
	s.Begin()
}

// What was counted before a crash is gone, and what is counted since is no rate.
func testCrash(t *testing.T, s *postgrestest.Server) {
	c := s.Connect(s.URL("", "postgres"))
	for range 500 {
		c.Ask("SELECT 1")
	}
	c.Close()
	e := embed(t, args(s)...)
	values := func() map[string]float64 {
		t.Helper()
		all, err := e.Values(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return byName(all)
	}
	const commits = "postgres.commits.xact_commit"
	rate := func(what string) {
		t.Helper()
		until(t, what, func() bool { _, ok := values()[commits]; return ok })
	}
	if v, ok := values()[commits]; ok {
		t.Errorf("the first reading has the rate %v", v)
	}
	rate("have a rate")
	s.End(syscall.SIGQUIT)
	s.Begin()
	if total := asker(t, args(s)...)()["commits.xact_commit"]; total > 400 {
		t.Fatalf("the counters went on to %v", total)
	}
	got := values()
	if v, ok := got[commits]; ok {
		t.Errorf("after a crash the rate is %v, want none", v)
	}
	if len(got) < 20 {
		t.Errorf("after a crash there are %d values", len(got))
	}
	rate("have a rate again")
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-port", "0"}, {"-port", "x"}, {"-sslmode", "on"}, {"-connect_timeout", "-1"}} {
		if _, err := plugin.Embed(Plugin, args); err == nil || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%q: %v, want an error that names the flag", args, err)
		}
	}
	c := Plugin.New(flag.NewFlagSet("", flag.ContinueOnError)).(*collector)
	if c.server.SSLMode != "disable" || c.server.Port != "5432" || c.connectTimeout != 5 {
		t.Errorf("what nobody says is %+v", c)
	}
}

// Whatever listens on the port: an error that names it, no value, within the time limit.
func TestWhatIsNoDatabase(t *testing.T) {
	const welcome = "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"
	answer := func(cells ...string) string { // to the first query
		row := fmt.Sprintf("\x00%c", len(cells))
		description := row
		for _, cell := range cells {
			row += fmt.Sprintf("\x00\x00\x00%c%s", len(cell), cell)
			description += "x\x00" + strings.Repeat("\x00", 18)
		}
		message := func(kind, body string) string {
			n := len(body) + 4
			return kind + string([]byte{0, 0, byte(n >> 8), byte(n)}) + body
		}
		return message("1", "") + message("2", "") + message("T", description) + message("D", row) + message("C", "SELECT 1\x00") + "Z\x00\x00\x00\x05I"
	}
	for name, tt := range map[string]struct{ says, want string }{
		"it is silent":                   {"", "no answer within 1s"},
		"it is silent when one is in":    {welcome, "deadline exceeded"},
		"it is too old":                  {welcome + answer("90624", "9.6.24", "100", "off", "me"), "it is version 9.6.24, but 10 or newer is needed"},
		"it has no version":              {welcome + answer("", "", "", "", ""), "which version"},
		"it answers something else":      {welcome + answer("150000"), "which version"},
		"it says no more than who is in": {welcome + answer("150000", "15", "100", "off", "me"), "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			address := targettest.Listen(t, func(c net.Conn) {
				_, _ = io.WriteString(c, tt.says)
				_ = c.SetReadDeadline(time.Now().Add(2500 * time.Millisecond))
				_, _ = io.Copy(io.Discard, c)
			})
			host, port, _ := net.SplitHostPort(address)
			all, err := embed(t, "-timeout", "2s", "-connect_timeout", "1", "-hostname", host, "-port", port, "-user", "me", "-password", "topsecret").Values(t.Context())
			if len(all) > 0 || err == nil || !strings.HasPrefix(err.Error(), "ask PostgreSQL at "+address) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, %v, want no value and %q", all, err, tt.want)
			}
		})
	}
}

// Each version is asked for what it has.
func TestVersions(t *testing.T) {
	for version, want := range map[int]struct{ has, lacks string }{
		120000: {"checkpoints_timed", "pg_stat_checkpointer"},
		160010: {"buffers_backend", "pg_stat_io"},
		170000: {"SUM(writes)", "write_bytes"},
		180004: {"write_bytes", "checkpoints_timed"},
	} {
		var all strings.Builder
		for _, q := range (facts{version: version}).questions() {
			all.WriteString(q.sql)
		}
		if !strings.Contains(all.String(), want.has) || strings.Contains(all.String(), want.lacks) {
			t.Errorf("version %d is not asked for %s, or is for %s", version, want.has, want.lacks)
		}
	}
}

func TestManyDatabases(t *testing.T) {
	r := &report{facts: facts{version: 150000}}
	var counters, sizes, replicas, slots [][]string
	for i := range maxDatabases + 1 {
		name := fmt.Sprintf("db%d", i)
		counters = append(counters, append([]string{name}, slices.Repeat([]string{"2"}, len(databaseColumns))...))
		sizes = append(sizes, []string{name, "t", "10"})
		replicas = append(replicas, []string{name, "1", "1", "f"})
		slots = append(slots, []string{name, "1"})
	}
	r.databases(counters)
	r.sizes(sizes)
	r.replicas(replicas)
	r.slots(slots)
	for _, v := range r.values {
		if v.Name == "size.total_size" && v.Value != 1010 || v.Name == "commits.xact_commit" && v.Value != 202 || strings.Contains(v.Name, ".db") {
			t.Errorf("with %d databases there is %s = %v", len(sizes), v.Name, v.Value)
		}
	}
}

// Whatever a server answers, what is said of it is a number, not below zero, and declared.
func FuzzReport(f *testing.F) {
	f.Add(150000, "client", "active", "Lock", "3", "1.5", true)
	f.Add(180000, "hidden", "idle in transaction (aborted)", "", "1e400", "-1", false)
	f.Add(170000, "shop.eu", "t", "4096", "NaN", "", true)
	f.Fuzz(func(t *testing.T, version int, a, b, c, d, e string, compat bool) {
		r := &report{facts: facts{version: version, maxConnections: 100}, compat: compat}
		cells := []string{a, b, c, d, e, a, b, c, d, e, a, b, c, d, e}
		for _, q := range r.questions() {
			for i := range cells[q.columns:] {
				if err := r.read(q, [][]string{cells[i : i+q.columns]}); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.read(q, [][]string{cells}); q.columns != len(cells) && err == nil {
				t.Errorf("%s: a row of %d columns is taken", q.what, len(cells))
			}
		}
		for _, v := range r.values {
			if _, _, ok := Plugin.Find(v.Name); !ok || math.IsNaN(v.Value) || v.Value < 0 {
				t.Errorf("%s = %v", v.Name, v.Value)
			}
		}
	})
}
