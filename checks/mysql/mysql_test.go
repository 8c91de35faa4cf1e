package mysql

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/mysql"
	"github.com/saba-monitor/saba/plugin/target/mysqltest"
)

// want fails the test unless the check says so: a verdict, and a part of the message.
func want(t *testing.T, status saba.CheckStatus, part string, args ...string) {
	t.Helper()
	got, output := checktest.Run(t, Check, args...)
	if got != status || !strings.Contains(output, part) || !strings.HasPrefix(output, "MySQL ") || strings.Contains(output, "secret") || strings.Contains(output, "\n") {
		t.Errorf("%q says %q, want %s and %q", args, output, status, part)
	}
}

// until polls until the check says so.
func until(t *testing.T, status saba.CheckStatus, part string, args ...string) {
	t.Helper()
	output := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var got saba.CheckStatus
		if got, output = checktest.Run(t, Check, args...); got == status && strings.Contains(output, part) {
			return
		}
	}
	t.Fatalf("%q says %q for a minute, want %s and %q", args, output, status, part)
}

func TestARealServer(t *testing.T) {
	t.Setenv("MACKEREL_PLUGIN_WORKDIR", t.TempDir())
	db := mysqltest.Start(t, "--max-connections=10")
	db.Exec("CREATE USER watcher@'127.0.0.1' IDENTIFIED BY 'topsecret'")
	at := "MySQL at " + db.Socket
	at127 := "MySQL at 127.0.0.1:" + db.Port
	root := func(args ...string) []string { return append(args, "-S", db.Socket) }
	watcher := func(args ...string) []string { return append(args, "-H", "127.0.0.1", "-p", db.Port, "-u", "watcher") }

	for range 4 {
		db.Hold()
	}
	// A connection that was closed counts for another moment.
	until(t, saba.CheckOK, at+" has 5 connections", root("connection")...)
	until(t, saba.CheckOK, " 5 connections", root("connection", "-w", "5", "-c", "5")...)
	until(t, saba.CheckWarning, " 5 connections, more than 4", root("connection", "-w", "4", "-c", "5")...)
	until(t, saba.CheckCritical, " 5 connections, more than 4", root("connection", "--warning=1", "--critical=4")...)

	want(t, saba.CheckOK, at+" has been up for ", root("uptime")...)
	want(t, saba.CheckWarning, "less than 1000000 seconds", root("uptime", "-w", "1000000")...)
	want(t, saba.CheckCritical, "less than 1000000 seconds", root("uptime", "-w", "2000000", "-c", "1000000")...)

	want(t, saba.CheckOK, "read_only of "+at+" is OFF", root("readonly", "OFF")...)
	want(t, saba.CheckCritical, "is OFF, and should be ON", root("readonly", "on")...)
	db.Exec("SET GLOBAL read_only = ON")
	want(t, saba.CheckOK, "read_only of "+at+" is ON", root("readonly", "ON")...)
	want(t, saba.CheckCritical, "is ON, and should be OFF", root("readonly", "OFF")...)
	db.Exec("SET GLOBAL read_only = OFF")

	want(t, saba.CheckOK, at+" is no replica", root("replication")...)

	until(t, saba.CheckOK, at127+" has 5 connections", watcher("connection", "-P", "topsecret")...)
	want(t, saba.CheckUnknown, "log in to "+at127+": Error 1045 (28000): Access denied for user 'watcher'@'127.0.0.1' (using password: YES)", watcher("connection", "-P", "wrongsecret")...)
	want(t, saba.CheckUnknown, "(using password: NO)", watcher("connection")...)
	want(t, saba.CheckUnknown, "grant REPLICATION CLIENT ON *.*, from MariaDB 10.5 on SLAVE MONITOR ON *.*", watcher("replication", "-P", "topsecret")...)
	t.Setenv("MYSQL_PASSWORD", "topsecret")
	want(t, saba.CheckOK, at127, watcher("uptime")...)
	for range 5 {
		db.Hold()
	}
	db.Hold("DO 1") // the last one is for root
	until(t, saba.CheckCritical, "log in to "+at127+": Error 1040", watcher("connection")...)

	db.Pause()
	want(t, saba.CheckUnknown, "log in to "+at127+": no answer within 300ms", watcher("replication", "-t", "0.3")...)
}

func TestUsage(t *testing.T) {
	checktest.Usage(t, Check)
	want(t, saba.CheckUnknown, "log in to MySQL at 127.0.0.1:1: connect: connection refused", "uptime", "-H", "127.0.0.1", "-p", "1")
	want(t, saba.CheckUnknown, "/no/such/file", "uptime", "--password-file", "/no/such/file")
	want(t, saba.CheckUnknown, `"" must be ON or OFF`, "readonly")
	want(t, saba.CheckUnknown, `"maybe" must be ON or OFF`, "readonly", "maybe")
	want(t, saba.CheckUnknown, `"ON OFF" must be ON or OFF`, "readonly", "ON", "OFF")
	want(t, saba.CheckUnknown, `--critical "-1" must be a whole number`, "connection", "-c", "-1")
}

func TestAReplica(t *testing.T) {
	t.Setenv("MACKEREL_PLUGIN_WORKDIR", t.TempDir())
	source := mysqltest.Start(t, "--server-id=1", "--log-bin")
	source.Exec("CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB")
	replica := mysqltest.Start(t, "--server-id=2", "--slave-net-timeout=10")
	args := []string{"replication", "-S", replica.Socket}
	replica.Exec("CHANGE MASTER 'shop' TO MASTER_HOST='127.0.0.1', MASTER_PORT="+source.Port+", MASTER_USER='root', MASTER_CONNECT_RETRY=1", "START SLAVE 'shop'")
	name := "shop (" + source.Address + ")"
	until(t, saba.CheckOK, "0 seconds behind "+name, args...)

	lock := replica.Hold("FLUSH TABLES WITH READ LOCK")
	source.Exec("INSERT INTO d.t VALUES (1)")
	until(t, saba.CheckWarning, " seconds behind "+name+", more than 0", append(args, "-w", "0")...)
	until(t, saba.CheckCritical, " seconds behind "+name+", more than 1", append(args, "-c", "1")...)
	lock.Close()
	until(t, saba.CheckOK, "0 seconds behind "+name, args...)

	source.Stop()
	until(t, saba.CheckWarning, "connecting to "+name+" for ", args...)
	until(t, saba.CheckCritical, "more than 1: ", append(args, "-c", "1")...)
	source.Restart()
	until(t, saba.CheckOK, "0 seconds behind "+name, args...)

	replica.Exec("INSERT INTO d.t VALUES (2)")
	source.Exec("INSERT INTO d.t VALUES (2)")
	until(t, saba.CheckCritical, "what comes from "+name+" is not applied: ", args...)
	want(t, saba.CheckCritical, "Duplicate entry", args...)
	replica.Exec("DELETE FROM d.t WHERE a = 2", "START SLAVE 'shop'")
	until(t, saba.CheckOK, "0 seconds behind "+name, args...)

	replica.Exec("STOP SLAVE 'shop' IO_THREAD")
	until(t, saba.CheckCritical, "nothing is fetched from "+name, args...)
}

func TestJudge(t *testing.T) {
	c := &replication{warning: 200, critical: 250}
	now := time.Unix(1_000_000, 0)
	since := map[string]int64{"h:1": 1_000_000 - 250, "a (h:2)": 1_000_000 - 251}
	unkept := errors.New("the disk is full")
	of := func(io, sql, lag string) mysql.Source {
		return mysql.Source{Host: "h", Port: "1", IO: io, SQL: sql, Lag: lag}
	}
	second := func(io, sql, lag string) mysql.Source {
		s := of(io, sql, lag)
		s.Name, s.Port, s.Error = "a", "2", "it broke"
		return s
	}
	for name, tt := range map[string]struct {
		sources []mysql.Source
		unkept  error
		want    saba.CheckStatus
		message string
	}{
		"on the limit does not cross it":       {[]mysql.Source{of("Yes", "Yes", "200")}, nil, saba.CheckOK, "200 seconds behind h:1"},
		"above the first limit":                {[]mysql.Source{of("Yes", "Yes", "201")}, nil, saba.CheckWarning, "201 seconds behind h:1, more than 200"},
		"above the second":                     {[]mysql.Source{of("Yes", "Yes", "251")}, nil, saba.CheckCritical, "251 seconds behind h:1, more than 250"},
		"it runs and does not know":            {[]mysql.Source{of("Yes", "Yes", "")}, nil, saba.CheckUnknown, "how far it is behind h:1 is not known"},
		"it connects, not too long":            {[]mysql.Source{of("Connecting", "Yes", "")}, nil, saba.CheckWarning, "connecting to h:1 for 250 seconds"},
		"it prepares to":                       {[]mysql.Source{of("Preparing", "Yes", "")}, nil, saba.CheckWarning, "connecting to h:1 for 250 seconds"},
		"it connects for too long":             {[]mysql.Source{second("Connecting", "Yes", "")}, nil, saba.CheckCritical, "connecting to a (h:2) for 251 seconds, more than 250: it broke"},
		"it connects, nobody knows since when": {[]mysql.Source{second("Connecting", "Yes", "")}, unkept, saba.CheckWarning, "connecting to a (h:2), for how long is not known (the disk is full): it broke"},
		"the worst decides":                    {[]mysql.Source{of("Yes", "Yes", "0"), second("No", "Yes", "")}, nil, saba.CheckCritical, "0 seconds behind h:1; nothing is fetched from a (h:2): it broke"},
		"lost is worse than not known":         {[]mysql.Source{second("Yes", "No", ""), of("Yes", "Yes", "")}, nil, saba.CheckCritical, "what comes from a (h:2) is not applied: it broke; how far it is behind h:1 is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := c.judge(tt.sources, since, tt.unkept, now); r.Status != tt.want || r.Message != tt.message {
				t.Errorf("judge = %s %q, want %s %q", r.Status, r.Message, tt.want, tt.message)
			}
		})
	}
}
