package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/target/postgres"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

func query(sql string, args ...string) postgres.Query {
	return postgres.Query{SQL: sql, Args: args}
}

func TestPostgres(t *testing.T) {
	s := postgrestest.Start(t)
	s.Ask("CREATE USER watcher PASSWORD E'top\\\\se''cret'; CREATE USER guest PASSWORD 'x'")
	here := func(change func(*postgres.Server)) *postgres.Server {
		p := &postgres.Server{Host: "127.0.0.1", Port: s.Port, User: "watcher", Database: "postgres", Password: `top\se'cret`, SSLMode: "disable", ConnectTimeout: time.Minute}
		change(p)
		return p
	}
	t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))

	t.Run("each answer stands for itself", func(t *testing.T) {
		p := here(func(*postgres.Server) {})
		defer p.Close(t.Context())
		for range 2 {
			answers, err := p.Ask(t.Context(), query("SELECT 1, NULL, 'a'"), query("SELECT 1/0"), query("SELECT $1 || 'x' FROM generate_series(1, $2::int)", "'", "2"),
				query("SELECT nothing"), query("SET work_mem = '1MB'"), query("TABLE pg_authid"), query("SELECT current_setting('application_name') WHERE $1 = ''", ""))
			if err != nil || len(answers) != 7 {
				t.Fatalf("Ask = %v, %v, want seven answers", answers, err)
			}
			for i, want := range [][][]string{{{"1", "", "a"}}, nil, {{"'x"}, {"'x"}}, nil, nil, nil, {{"saba"}}} {
				if !slices.EqualFunc(answers[i].Rows, want, slices.Equal) || (answers[i].Err != nil) != (i == 1 || i == 3 || i == 5) {
					t.Errorf("answer %d is %q, %v, want %q", i, answers[i].Rows, answers[i].Err, want)
				}
			}
			if no, ok := errors.AsType[postgres.Error](answers[5].Err); !ok || !no.Denied() || no.Error() != "permission denied for table pg_authid (SQLSTATE 42501)" {
				t.Errorf("what the user may not see: %v", answers[5].Err)
			}
		}
	})
	t.Run("the connection is kept, and made anew when it is lost", func(t *testing.T) {
		p := here(func(*postgres.Server) {})
		defer p.Close(t.Context())
		pid := func() string {
			t.Helper()
			answers, err := p.Ask(t.Context(), query("SELECT pg_backend_pid()"))
			if err != nil {
				t.Fatal(err)
			}
			return answers[0].Rows[0][0]
		}
		first := pid()
		if again := pid(); again != first {
			t.Errorf("the second turn is on connection %s, not %s", again, first)
		}
		s.Ask("SELECT pg_terminate_backend(" + first + ")")
		second := pid()
		if second == first {
			t.Error("a dead connection answers")
		}
		s.End(syscall.SIGINT)
		if answers, err := p.Ask(t.Context(), query("SELECT 1")); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("a server that does not run: %v, %v", answers, err)
		}
		s.Begin()
		if pid() == second {
			t.Error("a dead connection answers after the restart")
		}
		if _, err := p.Ask(t.Context(), query("SELECT pg_terminate_backend(pg_backend_pid())"), query("SELECT 1")); err == nil || err.Error() != "terminating connection due to administrator command (SQLSTATE 57P01)" {
			t.Errorf("a server that says farewell: %v", err)
		}
	})
	t.Run("who may not in", func(t *testing.T) {
		for want, p := range map[string]*postgres.Server{
			`password authentication failed for user "watcher" (SQLSTATE 28P01)`: here(func(p *postgres.Server) { p.Password = "wrongsecret" }),
			`database "no such" does not exist (SQLSTATE 3D000): name a`:         here(func(p *postgres.Server) { p.Database = "no such" }),
			"server refused TLS connection":                                      here(func(p *postgres.Server) { p.SSLMode = "require" }),
			"no such host":                                                       here(func(p *postgres.Server) { p.Host = "no-such.invalid" }),
			"connection refused":                                                 here(func(p *postgres.Server) { p.Host = "127.0.0.2"; p.Port = "1" }),
			"sslmode is invalid":                                                 here(func(p *postgres.Server) { p.SSLMode = "on" }),
			"invalid port":                                                       here(func(p *postgres.Server) { p.Port = "x" }),
			"no such file":                                                       here(func(p *postgres.Server) { p.SSLMode = "require"; p.SSLRootCert = "/no/such" }),
			"is not like postgres://":                                            {DSN: "postgres://me:topsecret@h:x/jobs"},
		} {
			answers, err := p.Ask(t.Context(), query("SELECT 1"))
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\n\t") || len(answers) > 0 {
				t.Errorf("Ask = %v, %v, want %q", answers, err, want)
			}
		}
	})
	t.Run("by its name, by the environment, through the socket", func(t *testing.T) {
		for want, p := range map[string]*postgres.Server{
			"PostgreSQL at 127.0.0.1:" + s.Port:              {DSN: s.URL("guest:x", "postgres")},
			"PostgreSQL at " + s.Dir + "/.s.PGSQL." + s.Port: here(func(p *postgres.Server) { p.Host = s.Dir; p.Password = "" }),
		} {
			if _, err := p.Ask(t.Context(), query("SELECT 1")); err != nil || p.Name() != want {
				t.Errorf("%s: %v, want %s", p.Name(), err, want)
			}
			p.Close(t.Context())
		}
		t.Setenv("PGPASSWORD", "x")
		p := here(func(p *postgres.Server) { p.User, p.Password = "guest", "" })
		if _, err := p.Ask(t.Context(), query("SELECT 1")); err != nil {
			t.Errorf("with PGPASSWORD: %v", err)
		}
		p.Close(t.Context())
	})
	t.Run("an answer without end", func(t *testing.T) {
		p := here(func(*postgres.Server) {})
		defer p.Close(t.Context())
		for want, sql := range map[string]string{
			"more than 16 MiB": "SELECT repeat('x', 100000) FROM generate_series(1, 1000)",
			"expected at most": "SELECT repeat('x', 2000000)",
		} {
			if answers, err := p.Ask(t.Context(), query("SELECT 1"), query(sql), query("SELECT 1")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %d answers, %v, want %q", sql, len(answers), err, want)
			}
		}
	})
	t.Run("an answer that takes too long", func(t *testing.T) {
		p := here(func(*postgres.Server) {})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if answers, err := p.Ask(ctx, query("SELECT 1"), query("SELECT pg_sleep(100)")); !errors.Is(err, context.DeadlineExceeded) || len(answers) != 1 || answers[0].Rows[0][0] != "1" {
			t.Errorf("Ask = %v, %v, want the first answer and the end of the time", answers, err)
		}
		p.Close(t.Context())
		for deadline := time.Now().Add(20 * time.Second); ; {
			if s.Ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(100)' AND usename = 'watcher'")[0][0] == "0" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the server still works on what nobody waits for")
			}
		}
	})
}

func TestPostgresTLS(t *testing.T) {
	s := postgrestest.Start(t)
	s.Ask("CREATE USER watcher PASSWORD 'topsecret'")
	s.File("pg_hba.conf", "host all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
	other := s.TLS("127.0.0.1")
	own := s.TLS("127.0.0.1")
	for name, tt := range map[string]struct{ host, mode, root, want string }{
		"no TLS, which the server wants": {"127.0.0.1", "disable", "", "no pg_hba.conf entry"},
		"TLS if it can":                  {"127.0.0.1", "prefer", "", ""},
		"TLS with anybody":               {"127.0.0.1", "require", "", ""},
		"an authority that is unknown":   {"127.0.0.1", "verify-full", "", "name its authority"},
		"its own authority":              {"127.0.0.1", "verify-full", own, ""},
		"another authority":              {"127.0.0.1", "verify-full", other, "name its authority"},
		"another name":                   {"localhost", "verify-full", own, "localhost"},
		"another name, which may be":     {"localhost", "verify-ca", own, ""},
	} {
		p := &postgres.Server{Host: tt.host, Port: s.Port, User: "watcher", Database: "postgres", Password: "topsecret", SSLMode: tt.mode, SSLRootCert: tt.root}
		answers, err := p.Ask(t.Context(), query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
		if tt.want == "" {
			if err != nil || answers[0].Err != nil || answers[0].Rows[0][0] != "t" {
				t.Errorf("%s: %v, %v", name, answers, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		p.Close(t.Context())
	}
}

// Whatever listens on the port: an error within the time limit.
func TestWhatIsNoPostgres(t *testing.T) {
	silent := func(c net.Conn) { // for a while: the driver tries to take its query back first
		_ = c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
		_, _ = io.Copy(io.Discard, c)
	}
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"it is silent":           {silent, "no answer within 200ms"},
		"it speaks HTTP":         {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 500 Oops\r\n\r\n<html>") }, ""},
		"it hangs up":            {func(net.Conn) {}, ""},
		"it promises a gigabyte": {func(c net.Conn) { _, _ = io.WriteString(c, "R\x40\x00\x00\x00\x00\x00\x00\x00") }, ""},
		"it repeats without end": {func(c net.Conn) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(c, "S\x00\x00\x00\x08a\x00b\x00")
			}
		}, "no answer within 200ms"},
		"it is ready and silent":    {func(c net.Conn) { _, _ = io.WriteString(c, welcome); silent(c) }, "deadline exceeded"},
		"it is ready and leaves":    {func(c net.Conn) { _, _ = io.WriteString(c, welcome) }, ""},
		"it answers out of turn":    {func(c net.Conn) { _, _ = io.WriteString(c, welcome+"D\x00\x00\x00\x06\x00\x00") }, ""},
		"it is ready again at once": {func(c net.Conn) { _, _ = io.WriteString(c, welcome+strings.Repeat("Z\x00\x00\x00\x05I", 9)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			host, port, _ := net.SplitHostPort(listen(t, tt.serve))
			p := &postgres.Server{Host: host, Port: port, User: "me", Password: "topsecret", SSLMode: "disable", ConnectTimeout: 200 * time.Millisecond}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			answers, err := p.Ask(ctx, query("SELECT 1"), query("SELECT 2"))
			if len(answers) > 0 || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Ask = %v, %v, want no answer and %q", answers, err, tt.want)
			}
			p.Close(ctx)
		})
	}
}

// welcome lets everybody in, and is ready for queries.
const welcome = "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"

// listen serves connections, after something was read, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	return targettest.Listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<10))
		serve(c)
	})
}
