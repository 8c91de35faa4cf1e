package redis

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target"
	"github.com/saba-monitor/saba/plugin/target/redistest"
)

var notACluster = []string{
	"cluster.cluster_known_nodes", "cluster.cluster_size", "cluster_state.cluster_state",
	"cluster_slots.cluster_slots_assigned", "cluster_slots.cluster_slots_ok", "cluster_slots.cluster_slots_pfail", "cluster_slots.cluster_slots_fail",
	"cluster_stats.cluster_stats_messages_ping_sent", "cluster_stats.cluster_stats_messages_pong_sent", "cluster_stats.cluster_stats_messages_fail_sent", "cluster_stats.cluster_stats_messages_sent",
	"cluster_stats.cluster_stats_messages_ping_received", "cluster_stats.cluster_stats_messages_pong_received", "cluster_stats.cluster_stats_messages_fail_received", "cluster_stats.cluster_stats_messages_received",
}

func TestARealServer(t *testing.T) {
	s := redistest.Start(t, "--maxmemory", "100mb", "--maxclients", "100")
	s.Ask("SET", "a", "1")
	s.Ask("SET", "b", "1", "EX", "1000")
	s.Ask("SELECT", "3")
	s.Ask("GET", "a")
	s.Ask("GET", "none")
	got := plugintest.Collect(t, Plugin, []string{"-host", "127.0.0.1", "-port", s.Port}, append(notACluster, "lag.*", "offset_delay.*")...)
	for name, want := range map[string]float64{
		"keys.keys": 2, "keys.expires": 1, "keyspace.keyspace_hits": 1, "keyspace.keyspace_misses": 1, "connections.rejected_connections": 0,
		"clients.connected_clients": 1, "clients.connected_slaves": 0, "capacity.percentage_of_clients": 1, "keys.evicted_keys": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, %v, want %v", name, v, ok, want)
		}
	}
	if m := got["capacity.percentage_of_memory"]; m <= 0 || m > 50 {
		t.Errorf("%v%% of the memory are in use, want a few", m)
	}
}

func TestReplicas(t *testing.T) {
	s := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+s.Port)
	replica.Says("Finished with success")
	s.Ask("WAIT", "1", "10000") // until the replica has answered
	got := plugintest.Collect(t, Plugin, []string{"-host", "127.0.0.1", "-port", s.Port}, append(notACluster, "capacity.percentage_of_memory")...)
	if lag, ok := got["lag.slave0_lag"]; !ok || lag < 0 || lag > 60 || got["clients.connected_slaves"] != 1 {
		t.Errorf("the replica's lag is %v, %v, of %v replicas", lag, ok, got["clients.connected_slaves"])
	}
	if delay, ok := got["offset_delay.slave0_offset_delay"]; !ok || delay < 0 {
		t.Errorf("the replica's delay is %v, %v", delay, ok)
	}
}

func TestACluster(t *testing.T) {
	s := redistest.Start(t, "--cluster-enabled", "yes")
	missing := []string{"lag.*", "offset_delay.*", "capacity.percentage_of_memory"}
	for _, name := range notACluster {
		if strings.HasSuffix(name, "g_sent") || strings.HasSuffix(name, "g_received") || strings.Contains(name, "messages_fail") {
			missing = append(missing, name) // it is alone and has sent none
		}
	}
	args := []string{"-host", "127.0.0.1", "-port", s.Port}
	if got := plugintest.Collect(t, Plugin, args, missing...); got["cluster_state.cluster_state"] != 0 {
		t.Error("a cluster without slots is well")
	}
	s.Ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	s.Says("Cluster state changed: ok")
	if got := plugintest.Collect(t, Plugin, args, missing...); got["cluster_state.cluster_state"] != 1 || got["cluster_slots.cluster_slots_ok"] != 16384 || got["cluster.cluster_known_nodes"] != 1 {
		t.Errorf("a cluster of one: %v", got)
	}
}

func embed(t *testing.T, args ...string) *plugin.Embedded {
	t.Helper()
	e, err := plugin.Embed(Plugin, args)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestLoginAndSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	s := redistest.Start(t, "--requirepass", "topsecret", "--unixsocket", socket, "--user", "watcher", "on", ">other", "+info")
	tcp := []string{"-host", "127.0.0.1", "-port", s.Port}
	for name, tt := range map[string]struct {
		args []string
		want string // a part of the error
	}{
		"a password":                {append(tcp, "-password", "topsecret"), ""},
		"through a socket too":      {[]string{"-socket", socket, "-password", "topsecret"}, ""},
		"no password":               {tcp, "NOAUTH"},
		"a wrong one":               {append(tcp, "-password", "wrongsecret"), "log in: WRONGPASS"},
		"a user who may only INFO":  {append(tcp, "-username", "watcher", "-password", "other"), ""},
		"a user who is not there":   {append(tcp, "-username", "nobody", "-password", "topsecret"), "log in: WRONGPASS"},
		"without asking for CONFIG": {append(tcp, "-password", "topsecret", "-config-command", ""), ""},
	} {
		e := embed(t, tt.args...)
		for range 2 { // the second turn is on the same connection
			values, err := e.Values(t.Context())
			if tt.want == "" {
				if err != nil || len(values) < 10 {
					t.Errorf("%s: %d values, %v", name, len(values), err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") || len(values) > 0 {
				t.Errorf("%s: %d values, %v, want %q", name, len(values), err, tt.want)
			}
		}
	}
	t.Setenv("REDIS_PASSWORD", "topsecret")
	if _, err := embed(t, tcp...).Values(t.Context()); err != nil {
		t.Errorf("a password in the environment: %v", err)
	}
}

func TestAServerThatRestartsIsFoundAgain(t *testing.T) {
	s := redistest.Start(t)
	e := embed(t, "-host", "127.0.0.1", "-port", s.Port)
	if _, err := e.Values(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Ask("CLIENT", "KILL", "TYPE", "normal") // as a restart does
	if values, err := e.Values(t.Context()); err != nil || len(values) < 10 {
		t.Errorf("after the connection was cut: %d values, %v", len(values), err)
	}
}

// Whatever listens on the port: an error that names it, no value, within the time limit.
func TestBadServers(t *testing.T) {
	for name, tt := range map[string]struct {
		serve func(c net.Conn)
		want  string
	}{
		"it hangs":               {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "deadline exceeded"},
		"it closes":              {func(net.Conn) {}, ""}, // a reset or an end, as it comes
		"it speaks HTTP":         {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "protocol of Redis"},
		"it refuses":             {func(c net.Conn) { _, _ = io.WriteString(c, "-ERR max number of clients reached\r\n-ERR\r\n") }, "max number of clients"},
		"it breaks off":          {func(c net.Conn) { _, _ = io.WriteString(c, "$100\r\nredis_version:7") }, ""},
		"it promises a terabyte": {func(c net.Conn) { _, _ = io.WriteString(c, "$1000000000000\r\n") }, "longer than"},
		"it nests without end":   {func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("*1\r\n", 10_000)) }, "protocol of Redis"},
		"it never ends a line":   {func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("+", 10_000)) }, "protocol of Redis"},
		"it says nothing":        {func(c net.Conn) { _, _ = io.WriteString(c, "$0\r\n\r\n*0\r\n"); _, _ = io.Copy(io.Discard, c) }, "does not say total_commands_processed"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						_, _ = c.Read(make([]byte, 1<<10))
						tt.serve(c)
					}()
				}
			}()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			values, err := embed(t, "-host", "127.0.0.1", "-port", port, "-timeout", "300ms").Values(t.Context())
			if len(values) > 0 || err == nil || !strings.Contains(err.Error(), "ask Redis at 127.0.0.1:"+port) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Values = %v, %v, want no value, the address and %q", values, err, tt.want)
			}
		})
	}
	if _, err := embed(t, "-socket", "/no/such/socket").Values(t.Context()); err == nil || !strings.Contains(err.Error(), "/no/such/socket: ") {
		t.Errorf("no socket: %v", err)
	}
}

// Whatever a server says of itself, reading it never panics, and little is not everything.
func FuzzInfo(f *testing.F) {
	f.Add("redis_version:7.0.15\r\ndb0:keys=5,expires=1\r\nslave0:ip=1,offset=90,lag=3\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := valuesOf(target.RedisInfo(text)); err == nil && len(text) < 100 {
			t.Errorf("an INFO of %q has all values", text)
		}
	})
}

func TestValuesOf(t *testing.T) {
	info := target.RedisInfo("redis_version:7.0.15\r\n# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb11:keys=2,expires=2\r\ndbsize:keys=9\r\n" +
		"master_repl_offset:100\r\nslave0:ip=1,offset=90,lag=3\r\nslave1:ip=2\r\nslave2:lag=-1,offset=x\r\nslave_read_only:1\r\nused_memory:nan\r\nmaxmemory:0\r\n")
	values, err := valuesOf(info)
	got := map[string]float64{}
	for _, v := range values {
		got[v.Name] = v.Value
	}
	want := map[string]float64{"keys.keys": 7, "keys.expires": 3, "lag.slave0_lag": 3, "offset_delay.slave0_offset_delay": 10}
	if fmt.Sprint(got) != fmt.Sprint(want) || err == nil || !strings.Contains(err.Error(), "used_memory,") {
		t.Errorf("valuesOf = %v, %v, want %v and what is missing", got, err, want)
	}
}
