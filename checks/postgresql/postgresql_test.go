package postgresql

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// want fails the test unless the check says so: a verdict, and a part of the message.
func want(t *testing.T, status saba.CheckStatus, part string, args ...string) {
	t.Helper()
	got, output := checktest.Run(t, Check, args...)
	if got != status || !strings.Contains(output, part) || !strings.HasPrefix(output, "PostgreSQL ") || strings.Contains(output, "secret") || strings.Contains(output, "\n") {
		t.Errorf("%q says %q, want %s and %q", args, output, status, part)
	}
}

// until polls until the check says so: a connection that was closed counts for another moment.
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
	t.Setenv("PGPASSWORD", "")
	t.Setenv("PGPASSFILE", "/no/such")
	s := postgrestest.Start(t, "max_connections=10", "superuser_reserved_connections=1", "max_wal_senders=0")
	s.Ask("CREATE USER watcher PASSWORD 'topsecret'")
	ca := s.TLS("127.0.0.1")
	at := "PostgreSQL at 127.0.0.1:" + s.Port
	root := func(args ...string) []string {
		return append([]string{"connection", "-H", "127.0.0.1", "-p", s.Port, "-t", "60"}, args...)
	}
	watcher := func(args ...string) []string { return root(append(args, "-u", "watcher", "-d", "postgres")...) }
	var held []*postgrestest.Conn
	for range 4 {
		held = append(held, s.Connect(s.URL("", "postgres")))
	}
	if processes := s.Ask("SELECT COUNT(*) FROM pg_stat_activity")[0][0]; processes < "7" && len(processes) == 1 {
		t.Fatalf("the server has %s processes, which leaves nothing to tell apart", processes)
	}
	until(t, saba.CheckOK, "OK: "+at+" has 5 connections, 50% of 10", root()...)
	until(t, saba.CheckOK, " 5 connections", root("-w", "5", "-c", "5")...)
	until(t, saba.CheckWarning, " 5 connections, 50% of 10: more than 4", root("-w", "4", "-c", "5")...)
	until(t, saba.CheckCritical, " 5 connections, 50% of 10: more than 4", root("--warning=1", "--critical=4")...)
	until(t, saba.CheckOK, " 5 connections", root("--percent", "-w", "50")...)
	until(t, saba.CheckWarning, "more than 49%", root("--percent", "-w", "49")...)
	until(t, saba.CheckCritical, "more than 49%", root("--percent", "-c", "49")...)

	until(t, saba.CheckOK, " 5 connections", root("-H", s.Dir)...)
	until(t, saba.CheckOK, at+" has 5 connections", watcher("-P", "topsecret")...)
	until(t, saba.CheckOK, " 5 connections", watcher("-P", "topsecret", "-s", "verify-full", "--sslrootcert", ca)...)
	want(t, saba.CheckUnknown, "name its authority with sslrootcert", watcher("-P", "topsecret", "-s", "verify-full")...)
	want(t, saba.CheckUnknown, "ask "+at+": password authentication failed for user \"watcher\"", watcher("-P", "wrongsecret")...)
	want(t, saba.CheckUnknown, "password", watcher()...)
	want(t, saba.CheckUnknown, `database "watcher" does not exist`, root("-u", "watcher", "-P", "topsecret")...)
	t.Setenv("PGPASSWORD", "topsecret")
	until(t, saba.CheckOK, at, watcher()...)

	for range 5 {
		held = append(held, s.Connect(s.URL("", "postgres")))
	}
	until(t, saba.CheckCritical, "log in to "+at+": ", watcher()...)
	until(t, saba.CheckCritical, " 10 connections, 100% of 10: more than 90%", root("--percent")...)
	for _, c := range held {
		c.Close()
	}
	until(t, saba.CheckOK, " 1 connections, 10% of 10", root()...)
}

func TestWhatIsNoDatabase(t *testing.T) {
	address := targettest.Listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	host, port, _ := net.SplitHostPort(address)
	want(t, saba.CheckUnknown, "ask PostgreSQL at "+address+": no answer within 300ms", "connection", "-H", host, "-p", port, "-t", "0.3", "-P", "topsecret")
	want(t, saba.CheckUnknown, "ask PostgreSQL at 127.0.0.1:1: connect: connection refused", "connection", "-H", "127.0.0.1", "-p", "1")
}

func TestUsage(t *testing.T) {
	checktest.Usage(t, Check)
	want(t, saba.CheckUnknown, "/no/such/file", "connection", "--password-file", "/no/such/file")
	want(t, saba.CheckUnknown, `--port "x" must be`, "connection", "-p", "x")
	want(t, saba.CheckUnknown, `--sslmode "on" must be`, "connection", "-s", "on")
	want(t, saba.CheckUnknown, `--critical "-1" must be a whole number`, "connection", "-c", "-1")
}
