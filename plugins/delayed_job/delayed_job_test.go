package delayedjob

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target/mysqltest"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// A server is a real database with its own folder.
type server struct {
	address   string
	url       string // for Rails and for us
	dsn, name string // the same in the driver's own form
	secret    string // a URL of a user with a password, who may read the table alone
}

// startMariaDB starts one with the database jobs.
func startMariaDB(t *testing.T) server {
	t.Helper()
	db := mysqltest.Start(t, "--default-time-zone=+09:00")
	db.Exec("CREATE DATABASE jobs", "CREATE USER watcher@'127.0.0.1' IDENTIFIED BY 'topsecret'", "GRANT SELECT ON jobs.* TO watcher@'127.0.0.1'")
	at := db.Address
	return server{at, "mysql2://root@" + at + "/jobs", "root@tcp(" + at + ")/jobs", "mysql", "mysql2://watcher:topsecret@" + at + "/jobs"}
}

// startPostgreSQL starts one.
func startPostgreSQL(t *testing.T) server {
	t.Helper()
	s := postgrestest.Start(t, "timezone=Asia/Tokyo")
	return server{"127.0.0.1:" + s.Port, s.URL("", "postgres"), "host=127.0.0.1 port=" + s.Port + " user=postgres dbname=postgres", "postgres", s.URL("watcher:topsecret", "postgres")}
}

// rails starts delayed_job on a database and returns how to tell it what to do.
func rails(t *testing.T, url string) func(what string) {
	t.Helper()
	cmd := exec.Command("ruby", "testdata/jobs.rb")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "LANG=C.UTF-8")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("the test needs Ruby with delayed_job (Debian's ruby-delayed-job-active-record, ruby-mysql2 and ruby-pg): %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	answers := bufio.NewScanner(out)
	return func(what string) {
		t.Helper()
		if _, err := fmt.Fprintln(in, what); err != nil || !answers.Scan() || answers.Text() != "done" {
			t.Fatalf("delayed_job did not %s: %v, %q", what, err, answers.Text())
		}
	}
}

func TestARealDelayedJob(t *testing.T) {
	for name, open := range map[string]func(*testing.T) server{"MariaDB": startMariaDB, "PostgreSQL": startPostgreSQL} {
		t.Run(name, func(t *testing.T) { testDelayedJob(t, open(t)) })
	}
}

func testDelayedJob(t *testing.T, s server) {
	args := []string{"-dsn", s.url}
	if _, err := embed(t, args...).Values(t.Context()); err == nil || !strings.Contains(err.Error(), s.address) || !strings.Contains(err.Error(), "delayed_jobs") {
		t.Errorf("before the table is there: %v, want an error that names server and table", err)
	}
	job := rails(t, s.url)
	empty := []string{"queue.#.ready", "queue.#.scheduled", "queue.#.processing", "queue.#.failed", "queue_latency.*", "count", "error"}
	check := func(when string, want map[string]float64, missing ...string) {
		t.Helper()
		got := plugintest.Collect(t, Plugin, args, missing...)
		for name, w := range want {
			if v, ok := got[name]; !ok || v != w {
				t.Errorf("%s: %s = %v, %v, want %v", when, name, v, ok, w)
			}
		}
	}
	job("create")
	check("an empty table", map[string]float64{"count.processed": 0, "count.enqueued": 0, "count.queued": 0, "count.failed": 0, "latency.oldest": 0}, empty...)

	job("enqueue")
	check("nine came in", map[string]float64{
		"count.processed": 0, "count.enqueued": 9, "count.queued": 9, "count.ready": 8, "count.scheduled": 1, "count.processing": 0, "count.failed": 0,
		"queue.unnamed.ready": 4, "queue.mail_out.ready": 2, "queue.later.scheduled": 1, "queue.later.ready": 0, "queue_latency.later": 0, "queue.old.ready": 1, "queue.bad.ready": 1,
	}, "count", "error")
	got := plugintest.Collect(t, Plugin, args, "count", "error")
	if l, old := got["latency.oldest"], got["queue_latency.old"]; l != old || l < 599 || l > 900 || got["queue_latency.mail_out"] > 300 {
		t.Errorf("the oldest job waits for %v s, in its queue %v, in another %v, want ten minutes and a few seconds", l, old, got["queue_latency.mail_out"])
	}

	if local := plugintest.Collect(t, Plugin, append(args, "-local-time"), "count", "error"); local["count.ready"] != 9 || local["count.scheduled"] != 0 {
		t.Errorf("by the clock of the database, nine hours ahead, %v are ready and %v are for later, want all 9 ready", local["count.ready"], local["count.scheduled"])
	}

	job("work") // six are fine, one comes again, one never; one is for later
	check("six are done", map[string]float64{
		"count.processed": 6, "count.enqueued": 9, "count.queued": 2, "count.ready": 0, "count.scheduled": 2, "count.processing": 0, "count.failed": 1,
		"latency.oldest": 0, "queue.bad.failed": 1, "queue.unnamed.scheduled": 1,
	}, "count", "error")

	job("lock")
	check("one is at work", map[string]float64{"count.processed": 6, "count.enqueued": 10, "count.processing": 1, "queue.mail_out.processing": 1}, "count", "error")

	only := plugintest.Collect(t, Plugin, append(args, "-metrics", "processed,count,error", "-compat"),
		append(empty[:5:5], "count.enqueued", "count.queued", "count.ready", "count.scheduled", "count.processing", "count.failed", "latency.oldest")...)
	if len(only) != 3 || only["count.processed"] != 10 || only["count"] != 4 || only["error"] != 1 {
		t.Errorf("the chosen metrics are %v, want 10 that came in, 4 that are there, 1 that failed", only)
	}
	own := embed(t, "-name", s.name, "-dsn", s.dsn)
	for range 2 {
		if values, err := own.Values(t.Context()); err != nil || len(values) < 5 {
			t.Errorf("by the driver's own name: %d values, %v", len(values), err)
		}
	}
	for name, tt := range map[string]struct{ args []string }{
		"a password that is wrong": {[]string{"-dsn", strings.Replace(s.secret, "watcher:top", "nobody:wrong", 1)}},
		"a table that is not":      {[]string{"-dsn", s.url, "-table", "delayed-\"`jobs"}},
		"a schema that is not":     {[]string{"-dsn", s.url, "-table", "shop.delayed_jobs"}},
	} {
		values, err := embed(t, tt.args...).Values(t.Context())
		if err == nil || len(values) > 0 || !strings.Contains(err.Error(), s.address) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %d values, %v", name, len(values), err)
		}
	}
	watcher := embed(t, "-dsn", s.secret)
	if s.name == "postgres" {
		job("grant")
		if values, err := watcher.Values(t.Context()); err == nil || len(values) < 5 || !strings.Contains(err.Error(), "how many jobs ever came") {
			t.Errorf("a user who may not read the sequence: %d values, %v, want the rows", len(values), err)
		}
		job("grant sequence")
	}
	if values, err := watcher.Values(t.Context()); err != nil || len(values) < 5 {
		t.Errorf("a user who may only read: %d values, %v", len(values), err)
	}
	job("truncate")
	got = map[string]float64{}
	for _, v := range mustValues(t, own) {
		got[v.Name] = v.Value
	}
	if _, ok := got["delayed_job.count.processed"]; s.name == "mysql" && ok || got["delayed_job.count.queued"] != 0 {
		t.Errorf("after the count began anew: %v, want no rate", got)
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

func mustValues(t *testing.T, e *plugin.Embedded) []saba.Value {
	t.Helper()
	values, err := e.Values(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// Whatever listens on the port: an error that names it, no value, within the time limit.
func TestWhatIsNoDatabase(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"it is silent":           func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"it speaks HTTP":         func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 500 Oops\r\n\r\n<html>") },
		"it hangs up":            func(net.Conn) {},
		"it promises a gigabyte": func(c net.Conn) { _, _ = io.WriteString(c, "R\x40\x00\x00\x00\x00\x00\x00\x00") },
		"it repeats without end": func(c net.Conn) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(c, "S\x00\x00\x00\x08a\x00b\x00")
			}
		},
		"it says half a greeting": func(c net.Conn) { _, _ = io.WriteString(c, "\x4a\x00\x00\x00\x0a8.0"); _, _ = io.Copy(io.Discard, c) },
	} {
		for _, scheme := range []string{"mysql2", "postgres"} {
			t.Run(name+" for "+scheme, func(t *testing.T) {
				at := targettest.Listen(t, serve)
				values, err := embed(t, "-timeout", "300ms", "-dsn", scheme+"://me:topsecret@"+at+"/jobs?sslmode=disable").Values(t.Context())
				if len(values) > 0 || err == nil || !strings.Contains(err.Error(), " at "+at+": ") || strings.Contains(err.Error(), "secret") {
					t.Errorf("Values = %v, %v, want no value and an error that names %s", values, err, at)
				}
			})
		}
	}
}

func TestNamesOfDatabases(t *testing.T) {
	for dsn, want := range map[string]string{
		"me:pass@tcp(h:3307)/jobs":             "MySQL at h:3307",
		"mysql2://me:pass@h/jobs":              "MySQL at h:3306",
		"trilogy://me:pa%40ss@[::1]:3307/jobs": "MySQL at [::1]:3307",
		"mysql://me@h/jobs?socket=/run/s":      "MySQL at /run/s",
		"postgres://me:pass@h/jobs":            "PostgreSQL at h:5432",
		"postgresql://me@h:1/jobs":             "PostgreSQL at h:1",
		"me:topsecret":                         "-dsn",
		"mysql2://me:topsecret@h:x/jobs":       "-dsn",
		"postgres://me:topsecret@h:x/jobs":     "-dsn",
		"sqlite3://topsecret":                  "neither",
	} {
		db, err := (&collector{name: "mysql"}).open(dsn)
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("open(%q) = %v, want %q", dsn, err, want)
			}
		case db.String() != want:
			t.Errorf("open(%q) is %s, want %s", dsn, db, want)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-metrics", "processed,proccessed"}, {"-metrics", ""}, {"-table", "a.b.c"}, {"-table", ""}, {"-name", "oracle"}} {
		if _, err := plugin.Embed(Plugin, args); err == nil || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%q: %v, want an error that names the flag", args, err)
		}
	}
	t.Setenv("DATABASE_URL", "")
	if _, err := embed(t).Values(t.Context()); err == nil || !strings.Contains(err.Error(), "set -dsn") {
		t.Errorf("without a database: %v", err)
	}
}

func TestValues(t *testing.T) {
	c := &collector{table: "delayed_jobs", metrics: strings.Join(defaultMetrics, ",")}
	for name, tt := range map[string]struct {
		row                 [columns]string
		processed, enqueued float64 // -1: no value
		wrong               bool
	}{
		"numbers in steps of a cluster":      {[columns]string{"70", "7", "", "4", "0", "0", "4", "0", "1.5"}, 6, 10, false},
		"more rows than were numbered":       {[columns]string{"3", "1", "", "4", "0", "0", "4", "0", ""}, -1, 3, false},
		"a user who may not read the number": {[columns]string{"", "1", "", "4", "0", "0", "4", "0", ""}, -1, -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := c.values([][columns]string{tt.row})
			got := map[string]float64{"count.processed": -1, "count.enqueued": -1}
			for _, v := range values {
				got[v.Name] = v.Value
			}
			if got["count.processed"] != tt.processed || got["count.enqueued"] != tt.enqueued || got["count.ready"] != 4 || (err != nil) != tt.wrong {
				t.Errorf("values = %v, %v, want %v processed and %v enqueued", values, err, tt.processed, tt.enqueued)
			}
		})
	}
	for column := range columns {
		row := [columns]string{"9", "1", "q", "4", "0", "0", "4", "0", "1"}
		row[column] = "NaN"
		if values, err := c.values([][columns]string{row}); column != colQueue && (err == nil || len(values) > 0 || errors.Is(err, saba.ErrInvalid)) {
			t.Errorf("column %d is no number: %v, %v", column, values, err)
		}
	}
}

// Whatever a database answers, a value is a number, and none is below zero.
func FuzzValues(f *testing.F) {
	f.Add("9", "1", "mail.out", "4", "1.5")
	f.Add("", "", "", "", "-0.1")
	f.Fuzz(func(t *testing.T, in, step, queue, n, age string) {
		c := &collector{metrics: strings.Join(allMetrics, ",")}
		row := [columns]string{in, step, queue, n, n, n, n, n, age}
		values, _ := c.values([][columns]string{row, row})
		for _, v := range values {
			_, _, ok := Plugin.Find(v.Name)
			if !ok || math.IsNaN(v.Value) || v.Value < 0 && v.Name != "count.enqueued" {
				t.Errorf("%s = %v of %q", v.Name, v.Value, row)
			}
		}
	})
}
