package mysql

import (
	"context"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target/mysql"
	"github.com/saba-monitor/saba/plugin/target/mysqltest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// What a MariaDB of today does not have: it no longer counts rows, semaphores and single kinds
// of pending operations, and its insert buffer is empty.
var notInMariaDB = []string{
	"innodb_rows.Innodb_rows_read", "innodb_rows.Innodb_rows_inserted", "innodb_rows.Innodb_rows_updated", "innodb_rows.Innodb_rows_deleted",
	"innodb_semaphores.spin_waits", "innodb_semaphores.spin_rounds", "innodb_semaphores.os_waits",
	"innodb_io_pending.pending_normal_aio_reads", "innodb_io_pending.pending_normal_aio_writes", "innodb_io_pending.pending_ibuf_aio_reads",
	"innodb_io_pending.pending_aio_log_ios", "innodb_io_pending.pending_aio_sync_ios", "innodb_io_pending.pending_log_flushes",
	"innodb_io_pending.pending_buf_pool_flushes", "innodb_io_pending.pending_log_writes", "innodb_io_pending.pending_chkp_writes", "innodb_io_pending.log_pending_log_flushes",
	"innodb_insert_buffer_usage.ibuf_cell_count", "innodb_insert_buffer_usage.ibuf_used_cells", "innodb_insert_buffer_usage.ibuf_free_cells",
	"innodb_memory_allocation.additional_pool_alloc",
}

var notAReplica = []string{"seconds_behind_master.Seconds_Behind_Master", "seconds_behind_source.*", "replication.sources", "replication.running"}

// of returns the names of the metrics of graphs.
func of(graphs []plugin.Graph) (names []string) {
	for _, g := range graphs {
		for _, m := range g.Metrics {
			names = append(names, g.Name+"."+m.Name)
		}
	}
	return names
}

// until polls collections until one is as it should be.
func until(t *testing.T, collect func() map[string]float64, what string, is func(map[string]float64) bool) map[string]float64 {
	t.Helper()
	var got map[string]float64
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if got = collect(); is(got) {
			return got
		}
	}
	t.Fatalf("after a minute, %s is not so: %v", what, got)
	return nil
}

func TestARealServer(t *testing.T) {
	db := mysqltest.Start(t, "--max-connections=20", "--innodb-adaptive-hash-index=ON", "--innodb-adaptive-hash-index-parts=2", "--query-cache-type=1", "--query-cache-size=1M")
	db.Exec("CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY, b INT) ENGINE=InnoDB", "INSERT INTO d.t VALUES (1, 0), (2, 0), (3, 0)")
	tcp := []string{"-host", "127.0.0.1", "-port", db.Port}
	all := append(tcp, "-enable_extended")
	missing := slices.Concat(notInMariaDB, notAReplica)
	collect := func() map[string]float64 { return plugintest.Collect(t, Plugin, all, missing...) }

	t.Run("what is done between two readings is their difference", func(t *testing.T) {
		before := collect()
		load := []string{"SET SESSION query_cache_type = 0"}
		for range 7 {
			load = append(load, "UPDATE d.t SET b = b + 1 WHERE a = 1")
		}
		for range 5 {
			load = append(load, "SELECT SUM(b) FROM d.t")
		}
		load = append(load, "REPLACE INTO d.t VALUES (9, 9)", "DELETE FROM d.t WHERE a = 9", "ROLLBACK")
		db.Exec(load...)
		after := collect()
		for name, want := range map[string]float64{
			"cmd.Com_update": 7, "cmd.Com_replace": 1, "cmd.Com_delete": 1, "cmd.Com_insert": 0, "join.Select_scan": -1,
			"cmd.Questions": -1, "connections.Connections": 2, "handlers.Handler_update": 7, "handlers.Handler_delete": 1, "cmd.Qcache_hits": 0,
			"innodb_log.log_bytes_written": -1, "innodb_transactions.innodb_transactions": -1,
		} {
			if d := after[name] - before[name]; d != want && (want >= 0 || d < 5) {
				t.Errorf("%s rose by %v, want %v (-1: at least 5)", name, d, want)
			}
		}
		if d := after["cmd.Com_select"] - before["cmd.Com_select"]; d != 5 {
			t.Errorf("%v SELECTs, want the 5 of the load and none of the plugin", d)
		}
	})

	t.Run("figures fit together", func(t *testing.T) {
		got := collect()
		for name, want := range map[string]float64{
			"capacity.PercentageOfConnections": got["threads.Threads_connected"] * 5, "connections.max_connections": 20,
			"capacity.PercentageOfBufferPool":                       100 * got["innodb_buffer_pool.database_pages"] / got["innodb_buffer_pool.pool_size"],
			"innodb_log.unflushed_log":                              got["innodb_log.log_bytes_written"] - got["innodb_log.log_bytes_flushed"],
			"query_cache_memory.query_cache_size":                   1 << 20,
			"innodb_current_lock_waits.innodb_lock_wait_secs":       0,
			"innodb_transactions_active_locked.locked_transactions": 0,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s = %v, %v, want %v", name, v, ok, want)
			}
		}
		states := 0.0
		for name, v := range got {
			if strings.HasPrefix(name, "processlist.") {
				states += v
			}
		}
		if states != got["threads.Threads_connected"] {
			t.Errorf("%v processes are in some state, of %v connections", states, got["threads.Threads_connected"])
		}
		if one := plugintest.Collect(t, Plugin, append(all, "-compat"), missing...)["innodb_adaptive_hash_index.hash_index_cells_total"]; one < 1000 || got["innodb_adaptive_hash_index.hash_index_cells_total"] != 2*one {
			t.Errorf("the two parts of the hash index have %v cells, one has %v", got["innodb_adaptive_hash_index.hash_index_cells_total"], one)
		}
	})

	t.Run("traffic is in bytes", func(t *testing.T) {
		status := func() (bytes float64) {
			f := newFigures()
			conn, err := (&mysql.Server{Socket: db.Socket, User: "root"}).Connect(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := f.askStatus(t.Context(), conn, baseGraphs); err != nil {
				t.Fatal(err)
			}
			return f.numbers["Bytes_sent"]
		}
		before := status()
		if got, after := collect()["traffic.Bytes_sent"], status(); got < before || got > after {
			t.Errorf("traffic.Bytes_sent = %v, want it between %v and %v bytes", got, before, after)
		}
	})

	t.Run("a lock that is waited for", func(t *testing.T) {
		holder := db.Hold("BEGIN", "UPDATE d.t SET b = b + 1 WHERE a = 1")
		waiter := db.Hold("BEGIN", "UPDATE d.t SET b = b + 1 WHERE a = 2")
		done := make(chan error)
		go func() {
			done <- waiter.Exec(t.Context(), "UPDATE d.t SET b = b + 1 WHERE a = 1")
		}()
		got := until(t, collect, "one transaction waits", func(got map[string]float64) bool {
			return got["innodb_transactions_active_locked.locked_transactions"] == 1
		})
		if s := got["innodb_current_lock_waits.innodb_lock_wait_secs"]; s <= 0 || s > 60 {
			t.Errorf("it waits for %v seconds", s)
		}
		if got["innodb_transactions_active_locked.active_transactions"] != 2 || got["innodb_lock_structures.innodb_lock_structs"] < 4 || got["innodb_tables_in_use.innodb_locked_tables"] != 1 {
			t.Errorf("two transactions hold locks: %v", got)
		}
		// What the holder asks for now is what the other one holds.
		holderErr := holder.Exec(t.Context(), "UPDATE d.t SET b = b + 1 WHERE a = 2")
		waiterErr := <-done
		if (holderErr == nil) == (waiterErr == nil) {
			t.Fatalf("it is no deadlock: %v, %v", holderErr, waiterErr)
		}
		holder.Close()
		waiter.Close()
	})

	t.Run("a deadlock of the past locks nothing", func(t *testing.T) {
		got := until(t, collect, "no transaction is open", func(got map[string]float64) bool {
			return got["innodb_transactions_active_locked.active_transactions"] == 0
		})
		if got["innodb_transactions_active_locked.locked_transactions"] != 0 || got["innodb_lock_structures.innodb_lock_structs"] != 0 {
			t.Errorf("after a deadlock: %v", got)
		}
	})

	t.Run("fewer metrics are asked for", func(t *testing.T) {
		plugintest.Collect(t, Plugin, tcp, slices.Concat(missing, of(extendedGraphs))...)
		plugintest.Collect(t, Plugin, append(tcp, "-disable_innodb"), slices.Concat(notAReplica, of(innodbGraphs), of(extendedGraphs), []string{"capacity.PercentageOfBufferPool"})...)
	})
}

func embed(t *testing.T, args ...string) *plugin.Embedded {
	t.Helper()
	e, err := plugin.Embed(Plugin, args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// What a user may not see is missing, and said in one line each with the grant; the rest is there.
func TestGrants(t *testing.T) {
	db := mysqltest.Start(t)
	db.Exec("CREATE USER watcher@'127.0.0.1' IDENTIFIED BY 'topsecret'", "CREATE ROLE monitors", "GRANT PROCESS ON *.* TO monitors")
	args := []string{"-host", "127.0.0.1", "-port", db.Port, "-username", "watcher", "-password", "topsecret", "-enable_extended"}
	for _, tt := range []struct {
		name  string
		grant string
		args  []string
		lines []string // a part of each line of the error
	}{
		{"no grant", "", args, []string{"SHOW ALL SLAVES STATUS: ", "SHOW ENGINE INNODB STATUS: ", "SHOW PROCESSLIST: "}},
		{"without InnoDB", "", append(args, "-disable_innodb"), []string{"grant REPLICATION CLIENT ON *.*, from MariaDB 10.5 on SLAVE MONITOR ON *.*", "sees its own processes only; grant PROCESS ON *.*"}},
		{"SLAVE MONITOR", "GRANT SLAVE MONITOR ON *.* TO watcher@'127.0.0.1'", args, []string{"grant PROCESS ON *.*, or do not ask with -disable_innodb", "grant PROCESS ON *.*"}},
		{"PROCESS of a role", "GRANT monitors TO watcher@'127.0.0.1'; SET DEFAULT ROLE monitors FOR watcher@'127.0.0.1'", args, nil},
		{"all privileges", "REVOKE monitors FROM watcher@'127.0.0.1'; GRANT ALL ON *.* TO watcher@'127.0.0.1'", args, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.grant != "" {
				db.Exec(strings.Split(tt.grant, "; ")...)
			}
			values, err := embed(t, tt.args...).Values(t.Context())
			var lines []string
			if err != nil {
				lines = strings.Split(err.Error(), "\n")
			}
			wrong := len(lines) != len(tt.lines)
			for i := range min(len(lines), len(tt.lines)) {
				wrong = wrong || !strings.Contains(lines[i], tt.lines[i]) || !strings.HasPrefix(lines[i], "ask MySQL at 127.0.0.1:"+db.Port+": ") || strings.Contains(lines[i], "secret")
			}
			processes := slices.ContainsFunc(values, func(v saba.Value) bool { return strings.HasPrefix(v.Name, "mysql.processlist.") })
			if wrong || len(values) < 10 || processes != (len(tt.lines) == 0) {
				t.Errorf("%d values, processes: %v, and the lines\n%s\nwant\n%s", len(values), processes, strings.Join(lines, "\n"), strings.Join(tt.lines, "\n"))
			}
		})
	}
}

func TestAReplica(t *testing.T) {
	source := mysqltest.Start(t, "--server-id=1", "--log-bin")
	source.Exec("CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB")
	replica := mysqltest.Start(t, "--server-id=2")
	west := mysqltest.Start(t, "--server-id=3", "--log-bin")
	follow := func(name string, source *mysqltest.Server) []string {
		return []string{"CHANGE MASTER " + name + " TO MASTER_HOST='127.0.0.1', MASTER_PORT=" + source.Port + ", MASTER_USER='root', MASTER_SSL=0", "START SLAVE " + name}
	}
	p := embed(t, "-socket", replica.Socket) // one for all polls, as an agent has it: each keeps a connection
	collect := func() map[string]float64 {
		values := map[string]float64{}
		// Not by plugintest: what is there comes and goes.
		got, err := p.Values(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range got {
			values[v.Name] = v.Value
		}
		return values
	}
	const lag = "mysql.seconds_behind_master.Seconds_Behind_Master"
	replica.Exec(follow("", source)...)
	until(t, collect, "it has caught up", func(got map[string]float64) bool {
		behind, known := got[lag]
		return known && behind == 0 && got["mysql.replication.sources"] == 1 && got["mysql.replication.running"] == 1
	})

	// A statement that cannot be applied.
	lock := replica.Hold("FLUSH TABLES WITH READ LOCK")
	source.Exec("INSERT INTO d.t VALUES (1)")
	until(t, collect, "it is behind", func(got map[string]float64) bool { return got[lag] >= 2 })

	replica.Exec(follow("'west.1'", west)...)
	until(t, collect, "of two sources the further away counts", func(got map[string]float64) bool {
		west, known := got["mysql.seconds_behind_source.west_1"]
		return known && got[lag] >= max(2, west) && got["mysql.replication.sources"] == 2 && got["mysql.replication.running"] == 2
	})
	lock.Close()

	replica.Exec("STOP SLAVE 'west.1'")
	got := collect()
	if _, known := got[lag]; known || got["mysql.replication.running"] != 1 || got["mysql.replication.sources"] != 2 {
		t.Errorf("one of two sources is stopped: %v", got)
	}
	if _, known := got["mysql.seconds_behind_source.west_1"]; known {
		t.Error("it is known how far behind a stopped source it is")
	}
}

func TestSources(t *testing.T) {
	behind := func(name, lag string) mysql.Source { return mysql.Source{Name: name, IO: "Yes", SQL: "Yes", Lag: lag} }
	for name, tt := range map[string]struct {
		sources        []mysql.Source
		lag, compatLag string // "": none
	}{
		"no replica":                       {nil, "", ""},
		"one":                              {[]mysql.Source{behind("", "5")}, "5", "5"},
		"one that is stopped":              {[]mysql.Source{behind("", "")}, "", ""},
		"the furthest counts":              {[]mysql.Source{behind("a", "7"), behind("b", "9"), behind("c", "1")}, "9", "1"},
		"one of which nothing is known":    {[]mysql.Source{behind("a", ""), behind("b", "9")}, "", "9"},
		"the last of which nothing known":  {[]mysql.Source{behind("a", "9"), behind("b", "")}, "", ""},
		"what is no number is not known":   {[]mysql.Source{behind("", "-1")}, "", ""},
		"two names that make one, further": {[]mysql.Source{behind("a.b", "3"), behind("a_b", "2")}, "3", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			for compat, want := range map[bool]string{false: tt.lag, true: tt.compatLag} {
				f := newFigures()
				f.compat = compat
				f.addSources(tt.sources)
				got := ""
				if v, ok := f.numbers["Seconds_Behind_Master"]; ok {
					got = strconv.Itoa(int(v))
				}
				if got != want {
					t.Errorf("compat %v: %q seconds behind, want %q", compat, got, want)
				}
			}
		})
	}
}

// A server that began anew counts from 0: there is no rate until the reading after.
func TestARestart(t *testing.T) {
	db := mysqltest.Start(t)
	db.Exec("CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB")
	e := embed(t, "-socket", db.Socket)
	rates := func(load ...string) (questions, selects float64, known bool) {
		// Below a second there is no rate.
		for begin := time.Now(); time.Since(begin) < 1100*time.Millisecond; {
			db.Exec(load...)
		}
		values, err := e.Values(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			switch v.Name {
			case "mysql.cmd.Questions":
				questions, known = v.Value, true
			case "mysql.cmd.Com_select":
				selects = v.Value
			}
		}
		return questions, selects, known
	}
	load := slices.Repeat([]string{"SELECT 1"}, 50)
	rates(load...)
	if questions, selects, known := rates(load...); !known || questions < 50 || selects < 50 {
		t.Errorf("%v questions and %v SELECTs a minute, known: %v", questions, selects, known)
	}
	db.Restart()
	if questions, selects, known := rates("DO 1"); known {
		t.Errorf("after a restart there were %v questions and %v SELECTs a minute, want no value", questions, selects)
	}
	if _, _, known := rates("DO 1"); !known {
		t.Error("the reading after that has no rate")
	}
}

// Whatever is at the other end: an error that names it, no value, within the time limit.
func TestBadServers(t *testing.T) {
	db := mysqltest.Start(t)
	tcp := []string{"-host", "127.0.0.1", "-port", db.Port}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a wrong password":     {append(tcp, "-password", "topsecret"), "Access denied for user 'root'@'127.0.0.1' (using password: YES)"},
		"nobody at the port":   {[]string{"-host", "127.0.0.1", "-port", "1"}, "log in to MySQL at 127.0.0.1:1: connect: connection refused"},
		"no socket":            {[]string{"-socket", "/no/such/socket"}, "log in to MySQL at /no/such/socket: connect: no such file"},
		"TLS that it lacks":    {append(tcp, "-tls", "-tls-skip-verify"), "TLS"},
		"a password file gone": {append(tcp, "-password-file", "/no/such/file"), "/no/such/file"},
	} {
		if values, err := embed(t, tt.args...).Values(t.Context()); len(values) > 0 || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %d values, %v, want %q", name, len(values), err, tt.want)
		}
	}
	t.Run("it speaks another protocol", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(targettest.Listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") }))
		values, err := embed(t, "-host", "127.0.0.1", "-port", port).Values(t.Context())
		if len(values) > 0 || err == nil || !strings.Contains(err.Error(), "protocol of MySQL") {
			t.Errorf("Values = %v, %v", values, err)
		}
	})
	db.Pause()
	begin := time.Now()
	if values, err := embed(t, append(tcp, "-timeout", "300ms")...).Values(t.Context()); len(values) > 0 || err == nil || !strings.Contains(err.Error(), "MySQL at 127.0.0.1:"+db.Port+": context deadline exceeded") || time.Since(begin) > 5*time.Second {
		t.Errorf("a server that accepts and says nothing: %d values, %v after %v", len(values), err, time.Since(begin))
	}
}

// A mute proxy stands before a server and can fall silent, as a firewall does that has forgotten a connection.
type muteProxy struct {
	port string
	mute atomic.Bool // what comes on connections made so far is dropped
}

func startMuteProxy(t *testing.T, server string) *muteProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &muteProxy{}
	_, p.port, _ = net.SplitHostPort(l.Addr().String())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mute.Store(false)
			all.Go(func() { p.carry(c, server) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return p
}

func (p *muteProxy) carry(c net.Conn, server string) {
	defer c.Close()
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(c, s) })
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		if !p.mute.Load() {
			_, _ = s.Write(buf[:n])
		}
	}
	_ = s.Close()
	back.Wait()
}

// An agent logs in once, and again when what it keeps would not do.
func TestTheConnectionIsKept(t *testing.T) {
	db := mysqltest.Start(t)
	db.Exec("CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'one'", "CREATE USER watcher@'127.0.0.1' IDENTIFIED BY 'one'", "GRANT ALL ON *.* TO watcher@'127.0.0.1'")
	root := db.Hold()
	status := func(name string) int {
		t.Helper()
		_, rows, err := root.Rows(t.Context(), 1, "SHOW GLOBAL STATUS LIKE '"+name+"'")
		if err != nil || len(rows) != 1 {
			t.Fatalf("%s: %q, %v", name, rows, err)
		}
		n, err := strconv.Atoi(rows[0][1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	run := func(statement string) {
		t.Helper()
		if err := root.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	proxy := startMuteProxy(t, db.Address)
	password := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(password, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func(*collector) {}
	for _, tt := range []struct {
		name    string
		user    string
		port    string
		between func(*collector)
		logins  int // in two turns
	}{
		{"as a rule", "watcher", db.Port, nothing, 1},
		{"the server has ended it", "watcher", db.Port, func(*collector) { run("KILL USER watcher@'127.0.0.1'") }, 2},
		{"it has fallen silent", "watcher", proxy.port, func(*collector) { proxy.mute.Store(true) }, 2},
		{"it is old", "watcher", db.Port, func(c *collector) { c.since = c.since.Add(-keepFor) }, 2},
		{"the password is another", "watcher", db.Port, func(*collector) { run("SET PASSWORD FOR watcher@'127.0.0.1' = PASSWORD('two')"); write("two") }, 2},
		{"the user lacks something, which it may be granted", "plain", db.Port, nothing, 2},
		{"the server soon ends idle ones", "watcher", db.Port, func(*collector) {}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run("SET PASSWORD FOR watcher@'127.0.0.1' = PASSWORD('one')")
			write("one")
			run("SET GLOBAL wait_timeout = 28800")
			if strings.Contains(tt.name, "soon") {
				run("SET GLOBAL wait_timeout = 100")
			}
			fs := flag.NewFlagSet("mysql", flag.ContinueOnError)
			c := Plugin.New(fs).(*collector)
			if err := fs.Parse([]string{"-host", "127.0.0.1", "-port", tt.port, "-username", tt.user, "-password-file", password}); err != nil {
				t.Fatal(err)
			}
			logins, aborted := status("Connections"), status("Aborted_clients")
			for turn := range 2 {
				if turn == 1 {
					tt.between(c)
				}
				ctx, cancel := context.WithTimeout(t.Context(), plugin.DefaultTimeout)
				values, err := c.Collect(ctx)
				cancel()
				if len(values) < 20 || err != nil && tt.user != "plain" {
					t.Errorf("turn %d: %d values, %v", turn, len(values), err)
				}
			}
			if n := status("Connections") - logins; n != tt.logins {
				t.Errorf("%d logins, want %d", n, tt.logins)
			}
			c.Close()
			c.Close() // of nothing
			for deadline := time.Now().Add(time.Minute); status("Threads_connected") > 1; {
				if time.Now().After(deadline) {
					t.Fatal("a connection is open")
				}
			}
			if n := status("Aborted_clients") - aborted; n > 0 && tt.port == db.Port && !strings.Contains(tt.name, "ended") {
				t.Errorf("%d connections ended without a farewell", n)
			}
		})
	}
}

// BenchmarkTurn asks a server as an agent does once a minute, and reports what that costs us.
func BenchmarkTurn(b *testing.B) {
	db := mysqltest.Start(b)
	e, err := plugin.Embed(Plugin, []string{"-host", "127.0.0.1", "-port", db.Port})
	if err != nil {
		b.Fatal(err)
	}
	used := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := used()
	for b.Loop() {
		if _, err := e.Values(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "µs-CPU/turn")
}

func TestProcessState(t *testing.T) {
	for state, want := range map[string]string{
		"": "State_none", "Sending data": "State_sending_data", "Copying to tmp table": "State_copying_to_tmp_table", "freeing items": "State_freeing_items",
		"Table lock": "State_locked", "Waiting for table metadata lock": "State_locked", "waiting for global read lock": "State_locked",
		"Waiting for lock": "State_locked", "Waiting for ": "State_other", "Waiting for table flush": "State_other", "User lock": "State_other", "executing": "State_other",
	} {
		if got := processState(state); got != want {
			t.Errorf("a process in state %q is counted by %s, want %s", state, got, want)
		}
	}
}

func TestAReaderOfAuroraIsNotAskedForInnoDB(t *testing.T) {
	f := newFigures()
	f.texts["aurora_version"], f.texts["innodb_read_only"] = "3.04.0", "ON"
	if err := f.askInnoDB(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestFigures(t *testing.T) {
	f := newFigures()
	for value, want := range map[string]bool{"0": true, "12.5": true, "9007199254740993": true, "18446744073709551615": false, "OFF": false, "": false, "NaN": false, "inf": false, "-inf": false, "-1": false, "1e999": false} {
		f.add(value, value)
		if _, ok := f.numbers[value]; ok != want {
			t.Errorf("a figure of %q is known: %v, want %v", value, ok, want)
		}
	}
}
