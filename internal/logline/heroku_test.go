package logline

import (
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// TestKnownSources has the lines of platforms as they are documented, and all that becomes of each.
func TestKnownSources(t *testing.T) {
	classes := func(class string) []string {
		var all []string
		for _, c := range []string{"2xx", "3xx", "4xx", "5xx"} {
			n := "0"
			if c == class {
				n = "1"
			}
			all = append(all, "count access_num."+c+"_count="+n+" integer")
		}
		return all
	}
	for name, tt := range map[string]struct {
		app, proc, text string
		source          string
		want            []string
	}{
		"a request": {"heroku", "router", `at=info method=GET path="/x?status=500" host=example.com request_id=8601b555 fwd="1.2.3.4" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=https`, "Heroku router",
			append(classes("2xx"), "count router.requests=1 integer", "count router.requests[web.1]=1 integer", "count router.errors.all=0 integer", "measure router.connect=1 milliseconds",
				"measure router.service=18 milliseconds", "measure router.bytes=13 bytes")},
		"one that took too long": {"heroku", "router", `at=error code=H12 desc="Request timeout" method=GET path="/" host=example.com dyno=web.12 connect=0ms service=30000ms status=503 bytes=0`, "Heroku router",
			append(classes("5xx"), "count router.requests=1 integer", "count router.requests[web.12]=1 integer", "count router.errors.all=1 integer", "count router.errors.H12=1 integer",
				"measure router.connect=0 milliseconds", "measure router.service=30000 milliseconds", "measure router.bytes=0 bytes")},
		"one that no dyno was reached for": {"heroku", "router", `at=error code=H10 desc="App crashed" method=GET path="/" dyno= connect= service= status=503 bytes=`, "Heroku router",
			append(classes("5xx"), "count router.requests=1 integer", "count router.errors.all=1 integer", "count router.errors.H10=1 integer")},
		"one during maintenance": {"heroku", "router", `at=info code=H80 desc="Maintenance mode" method=GET path="/" dyno= connect= service= status=503 bytes=`, "Heroku router",
			append(classes("5xx"), "count router.requests=1 integer", "count router.errors.all=1 integer", "count router.errors.H80=1 integer")},
		"one that became a socket": {"heroku", "router", `at=info method=GET path="/cable" dyno=web.1 connect=1ms service=2ms status=101 bytes=`, "Heroku router",
			append(classes(""), "count router.requests=1 integer", "count router.requests[web.1]=1 integer", "count router.errors.all=0 integer", "measure router.connect=1 milliseconds", "measure router.service=2 milliseconds")},
		"names of dynos are bounded": {"heroku", "router", `at=info dyno=web.1234 status=304`, "Heroku router",
			append(classes("3xx"), "count router.requests=1 integer", "count router.errors.all=0 integer")},

		"load": {"heroku", "web.1", `source=web.1 dyno=heroku.2808254.d97d0ea7-cf3d-411b-b453-d2943a50b456 sample#load_avg_1m=2.46 sample#load_avg_5m=1.06 sample#load_avg_15m=0.99`, "Heroku dynos",
			[]string{"sample load_avg_1m[web.1]=2.46 float", "sample load_avg_5m[web.1]=1.06 float", "sample load_avg_15m[web.1]=0.99 float"}},
		"some of the load": {"heroku", "web.1", `source=web.1 dyno=heroku.2808254.d97d sample#load_avg_1m=0.00`, "Heroku dynos", []string{"sample load_avg_1m[web.1]=0 float"}},
		"memory": {"heroku", "web.1", `source=web.1 dyno=heroku.2808254.d97d sample#memory_total=21.00MB sample#memory_rss=21.22MB sample#memory_cache=0.00MB sample#memory_swap=0.00MB sample#memory_pgpgin=348836pages sample#memory_pgpgout=343403pages sample#memory_quota=512.00MB`, "Heroku dynos",
			[]string{"sample memory_total[web.1]=2.2020096e+07 bytes", "sample memory_rss[web.1]=2.225078272e+07 bytes", "sample memory_cache[web.1]=0 bytes", "sample memory_swap[web.1]=0 bytes",
				"sample memory_pgpgin[web.1]=348836 integer", "sample memory_pgpgout[web.1]=343403 integer", "sample memory_quota[web.1]=5.36870912e+08 bytes"}},
		"one-off dynos are left out": {"heroku", "run.1234", `source=run.1234 dyno=heroku.1.2 sample#load_avg_1m=2`, "Heroku dynos", nil},
		"more memory than allowed":   {"heroku", "web.1", "Error R14 (Memory quota exceeded)", "Heroku dynos", []string{"count dyno.errors.R14=1 integer"}},
		"far more":                   {"heroku", "web.1", "Error R15 (Memory quota vastly exceeded)", "Heroku dynos", []string{"count dyno.errors.R15=1 integer"}},
		"no boot":                    {"heroku", "web.1", "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch", "Heroku dynos", []string{"count dyno.errors.R10=1 integer"}},
		"a crash":                    {"heroku", "web.1", "State changed from up to crashed", "Heroku dynos", []string{"count dyno.errors.crashed=1 integer"}},
		"a start":                    {"heroku", "web.1", "State changed from starting to up", "Heroku dynos", nil},
		"words of an application":    {"app", "web.1", "Error R14 (Memory quota exceeded)", "", nil},
		"other words of a dyno":      {"heroku", "web.1", "Error in config", "Heroku dynos", nil},

		"a drain that overflows": {"heroku", "logplex", "Error L10 (output buffer overflow): 500 messages dropped since 2026-01-02T03:04:05+00:00.", "Heroku Logplex", []string{"count logplex.lost.L10=500 integer"}},
		"a session that does":    {"heroku", "logplex", "Error L11 (tail buffer overflow): 1101 messages dropped since 2026-01-02T03:04:05+00:00.", "Heroku Logplex", []string{"count logplex.lost.L11=1101 integer"}},
		"a dyno that does":       {"heroku", "web.1", "Error L12 (Local buffer overflow)", "Heroku dynos", []string{"count logplex.lost.L12=1 integer"}},
		"no number of lines":     {"heroku", "logplex", "Error L14 (certificate validation): bad", "Heroku Logplex", []string{"count logplex.lost.L14=1 integer"}},
		"absurdly many":          {"heroku", "logplex", "Error L10 (x): 99999999999999999999 messages", "Heroku Logplex", []string{"count logplex.lost.L10=1 integer"}},

		"Postgres": {"app", "heroku-postgres", `source=DATABASE addon=postgresql-x-1 sample#current_transaction=81770844 sample#db_size=44989615bytes sample#tables=24 sample#active-connections=32 sample#waiting-connections=0 sample#max-connections=120 ` +
			`sample#connections-percentage-used=0.26667 sample#index-cache-hit-rate=0.99969 sample#load-avg-1m=0.18 sample#read-iops=0.5 sample#iops-percentage-used=0.01 sample#tmp-disk-used=543600640 sample#tmp-disk-available=72435191808 ` +
			`sample#memory-total=16085924kB sample#memory-postgres=2124764kB sample#memory-percentage-used=0.5 sample#wal-percentage-used=0.0625 sample#db-max-size=68719476736 sample#follower-lag-commits=7`, "Heroku Postgres",
			[]string{"sample current_transaction[DATABASE]=8.1770844e+07 integer", "sample db_size[DATABASE]=4.4989615e+07 bytes", "sample tables[DATABASE]=24 integer", "sample active-connections[DATABASE]=32 integer",
				"sample waiting-connections[DATABASE]=0 integer", "sample max-connections[DATABASE]=120 integer", "sample connections-percentage-used[DATABASE]=26.667 percentage", "sample index-cache-hit-rate[DATABASE]=0.99969 float",
				"sample load-avg-1m[DATABASE]=0.18 float", "sample read-iops[DATABASE]=0.5 iops", "sample iops-percentage-used[DATABASE]=1 percentage", "sample tmp-disk-used[DATABASE]=5.4360064e+08 bytes",
				"sample tmp-disk-available[DATABASE]=7.2435191808e+10 bytes", "sample memory-total[DATABASE]=1.6471986176e+10 bytes", "sample memory-postgres[DATABASE]=2.175758336e+09 bytes",
				"sample memory-percentage-used[DATABASE]=50 percentage", "sample wal-percentage-used[DATABASE]=6.25 percentage", "sample db-max-size[DATABASE]=6.8719476736e+10 bytes", "sample follower-lag-commits[DATABASE]=7 integer"}},
		"its own log": {"app", "heroku-postgres", "[DATABASE] [8-1] LOG: checkpoint complete", "Heroku Postgres", nil},
		"Redis": {"app", "heroku-redis", `source=REDIS addon=redis-x-1 sample#active-connections=3 sample#connection-percentage-used=0.15 sample#memory-redis=507704bytes sample#hit-rate=0.11266 sample#evicted-keys=0`, "Heroku Redis",
			[]string{"sample active-connections[REDIS]=3 integer", "sample connection-percentage-used[REDIS]=15 percentage", "sample memory-redis[REDIS]=507704 bytes", "sample hit-rate[REDIS]=0.11266 float", "sample evicted-keys[REDIS]=0 integer"}},
		"PgBouncer": {"app", "heroku-pgbouncer", `source=pgbouncer addon=postgresql-x-1 sample#client_active=1 sample#client_waiting=0 sample#server_active=1 sample#server_idle=2 sample#max_wait=3 sample#avg_query=2500 sample#avg_recv=65 sample#avg_sent=200`, "Heroku PgBouncer",
			[]string{"sample client_active[pgbouncer]=1 integer", "sample client_waiting[pgbouncer]=0 integer", "sample server_active[pgbouncer]=1 integer", "sample server_idle[pgbouncer]=2 integer", "sample max_wait[pgbouncer]=3 seconds",
				"sample avg_query[pgbouncer]=2.5 milliseconds", "sample avg_recv[pgbouncer]=65 bytes/sec", "sample avg_sent[pgbouncer]=200 bytes/sec"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := Line{Time: noon, Host: "host", App: tt.app, Proc: tt.proc, Text: []byte(tt.text)}
			if got := (&Reader{}).Read(noon, &l, func(Reading) {}, func(Refusal) {}); got != tt.source {
				t.Errorf("%q is of %q, want %q", tt.text, got, tt.source)
			}
			got := said(&Reader{}, l)
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q became\n%s\nwant\n%s", tt.text, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			for _, s := range got { // what is said is drawn, with the unit of its values
				kind, rest, _ := strings.Cut(s, " ")
				full, rest, _ := strings.Cut(rest, "=")
				_, unit, _ := strings.Cut(rest, " ")
				name, source, _ := strings.Cut(strings.TrimSuffix(full, "]"), "[")
				for _, prefix := range []string{"", "shop."} {
					defs := Graphs(Key{Kind: Kind(kind), Name: prefix + name, Source: source})
					if len(defs) == 0 || defs[0].Unit != saba.Unit(unit) || defs[0].DisplayName == "" || !strings.HasPrefix(defs[0].Name, prefix) {
						t.Errorf("%s%s [%s] is drawn as %+v, want one in %s", prefix, name, source, defs, unit)
					}
				}
			}
		})
	}
}

func TestLongNamesLeaveRoomForStatistics(t *testing.T) {
	r := &Reader{Prefix: strings.Repeat("p", 60)}
	long := strings.Repeat("n", 100) + "=1 source=" + strings.Repeat("s", 100)
	if got := said(r, Line{Text: []byte("measure#" + long + " sample#short=1")}); len(got) != 2 || !strings.HasPrefix(got[0], "refused bad name") {
		t.Errorf("got %q, want the long one refused", got)
	}
}
