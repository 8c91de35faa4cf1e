package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/storetest"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
)

func TestPostgres(t *testing.T) {
	server := postgrestest.Start(t) // one for all: to start it takes longer than most of these
	t.Run("the contract", func(t *testing.T) { postgresContract(t, server) })
	t.Run("starts that are refused", func(t *testing.T) { postgresRefusals(t, server) })
	t.Run("one server at a time", func(t *testing.T) { postgresIsLocked(t, server) })
	t.Run("another program writes too", func(t *testing.T) { postgresAndAnotherProgram(t, server) })
	t.Run("a kill", func(t *testing.T) { killed(t, server.Database("killed")) })
	t.Run("a crash", func(t *testing.T) { postgresCrashes(t, server) })
	t.Run("a standby takes over", func(t *testing.T) { postgresFailsOver(t, server) }) // the last one: the server ends
}

func postgresContract(t *testing.T, server *postgrestest.Server) {
	url := server.Database("contract")
	db := open(t, url)
	c := server.Connect(url)
	// One database for all facts: to make one costs more than to run a fact on it.
	empty := []string{"SET session_replication_role = replica"} // no foreign key asks for an order
	for _, row := range c.Ask(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'migrations'`) {
		empty = append(empty, "DELETE FROM "+row[0])
	}
	fresh := func(t *testing.T) *sqldb.DB {
		c.Ask(strings.Join(append(empty, "SET session_replication_role = origin"), ";"))
		if _, err := db.EnsureOrg(t.Context(), saba.Org{ID: "org1", Name: "first", DisplayName: "The First"}); err != nil {
			t.Fatal(err)
		}
		for _, s := range secondOrg {
			c.Ask(s)
		}
		return db
	}
	storetest.TestObjects(t, func(t *testing.T) storetest.ObjectRecords { return fresh(t) })
	storetest.TestEvents(t, func(t *testing.T) storetest.EventRecords { return fresh(t) })
	storetest.TestRecords(t, func(t *testing.T) storetest.Records { return fresh(t) })
}

// What keeps a server from starting is said in one sentence, which never holds the password.
func postgresRefusals(t *testing.T, server *postgrestest.Server) {
	ours := server.Database("ours")
	if err := open(t, ours).Close(); err != nil {
		t.Fatal(err)
	}
	newer := server.Database("newer")
	if err := open(t, newer).Close(); err != nil {
		t.Fatal(err)
	}
	server.Connect(newer).Ask(`INSERT INTO migrations (version) VALUES (1000)`)
	foreign := server.Database("foreign")
	server.Connect(foreign).Ask(`CREATE TABLE migrations (version BIGINT); CREATE TABLE goods (n INT)`)
	server.Ask(`CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0`)
	server.Ask(`CREATE USER saba PASSWORD 'topsecret'`)
	server.Database("others")
	replica := server.Replica()
	for name, tt := range map[string]struct {
		url  string
		says []string
		kind error
	}{
		"nobody answers":          {"postgres://saba:topsecret@127.0.0.1:1/ours", []string{"postgres://127.0.0.1:1/ours", "does not answer", "refused"}, saba.ErrUnavailable},
		"a wrong password":        {server.URL("saba:topsecret2", "ours"), []string{"does not let saba in", `"saba"`}, saba.ErrInvalid},
		"no such database":        {server.URL("", "missing"), []string{"no such database", `"missing"`}, saba.ErrInvalid},
		"another program's":       {foreign, []string{"tables of another program", "nothing was changed"}, nil},
		"a newer saba's":          {newer, []string{"written by a newer saba", "version 1000"}, saba.ErrInvalid},
		"not every letter":        {server.URL("", "latin"), []string{"LATIN1", "ENCODING 'UTF8'"}, saba.ErrInvalid},
		"a right is missing":      {server.URL("saba:topsecret", "others"), []string{"lacks a right", "owner"}, saba.ErrInvalid},
		"a URL that is none":      {"postgres://saba:topsecret@host:port:port/ours", []string{"postgres://user:password@host"}, saba.ErrInvalid},
		"a password in an option": {"postgres://127.0.0.1:x/ours?password=topsecret", []string{"cannot be read"}, saba.ErrInvalid},
		"a missing certificate":   {"postgres://saba:topsecret@127.0.0.1/ours?sslmode=verify-full&sslrootcert=/missing.pem", []string{"/missing.pem", "no such file"}, saba.ErrInvalid},
		"a standby":               {replica.URL("", "postgres"), []string{"standby", "target_session_attrs"}, saba.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := sqldb.Open(t.Context(), tt.url)
			if err == nil {
				t.Fatalf("opened; closed: %v", db.Close())
			}
			t.Log(err)
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q has more than one line, or holds the password", err)
			}
			if tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("error %q does not match %q", err, tt.kind)
			}
		})
	}
	if got := server.Connect(foreign).Ask(`SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); got[0][0] != "2" {
		t.Errorf("the database of another program has %s tables, want its 2", got[0][0])
	}
	if name := sqldb.Name("postgres://saba:topsecret@db.example:6432/ours?password=topsecret"); name != "postgres://db.example:6432/ours" {
		t.Errorf("Name() = %q", name)
	}
}

// One server at a time uses a database. Whoever lost the lock writes nothing once another has it.
func postgresIsLocked(t *testing.T, server *postgrestest.Server) {
	url := server.Database("shared")
	first := open(t, url)
	if _, err := first.EnsureOrg(t.Context(), saba.Org{ID: "org1"}); err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		db, err := sqldb.Open(t.Context(), url)
		if err == nil {
			t.Fatalf("a second one was opened; closed: %v", db.Close())
		}
		if !errors.Is(err, saba.ErrUnavailable) || !strings.Contains(err.Error(), "in use by another saba (at 127.0.0.1)") {
			t.Errorf("the second one is told %v", err)
		}
	}
	refused()
	cut := func(condition string) {
		t.Helper()
		server.Ask(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'shared' AND pid <> pg_backend_pid() AND ` + condition)
	}
	// All connections are cut, as when PostgreSQL restarts: the next change takes the lock again.
	cut("true")
	if err := eventually(func() error { return first.CreateService(t.Context(), "org1", saba.Service{Name: "one"}) }); err != nil {
		t.Fatal(err)
	}
	refused()
	cut("true")
	second := open(t, url)
	for range 3 {
		if err := first.CreateService(t.Context(), "org1", saba.Service{Name: "two"}); !errors.Is(err, saba.ErrUnavailable) {
			t.Errorf("a change of the first one: %v, want a refusal", err)
		}
	}
	if s, err := second.Services(t.Context(), "org1"); err != nil || len(s) != 1 {
		t.Errorf("services are %v, error %v; want the one that the first made in time", s, err)
	}
}

// eventually runs fn until it returns nil or an error that does not pass, 10 seconds at most.
func eventually(fn func() error) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := fn()
		if !errors.Is(err, saba.ErrUnavailable) || time.Now().After(deadline) {
			return err
		}
	}
}

// PostgreSQL crashes while it is written to, and comes again. What was acknowledged is there, what was not is there whole or not
// at all, callers are told to come again, and nobody starts saba anew.
func postgresCrashes(t *testing.T, server *postgrestest.Server) {
	db := open(t, server.Database("crashing"))
	if _, err := db.EnsureOrg(t.Context(), saba.Org{ID: "org1"}); err != nil {
		t.Fatal(err)
	}
	var acknowledged, failures atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				h, checks := hostNumber(1000*w + n)
				ids := 0
				err := db.CreateHost(context.WithoutCancel(ctx), h, checks, func() (string, error) {
					ids++
					return fmt.Sprintf("%s-%d", h.ID, ids), nil
				})
				if err == nil {
					acknowledged.Add(1)
				} else if failures.Add(1); !errors.Is(err, saba.ErrUnavailable) {
					t.Errorf("while PostgreSQL is away: %v, want an error matching %q", err, saba.ErrUnavailable)
				}
			}
		})
	}
	more := func(n *atomic.Int64, by int64) {
		t.Helper()
		deadline, want := time.Now().Add(30*time.Second), n.Load()+by
		for n.Load() < want {
			if time.Now().After(deadline) {
				t.Fatalf("after 30 s there are %d, want %d", n.Load(), want)
			}
			time.Sleep(time.Millisecond)
		}
	}
	for range 2 {
		more(&acknowledged, 30)
		server.End(syscall.SIGQUIT)
		more(&failures, 4)
		if _, err := db.Hosts(t.Context(), "org1", saba.HostFilter{}); !errors.Is(err, saba.ErrUnavailable) {
			t.Errorf("a reader is told %v, want an error matching %q", err, saba.ErrUnavailable)
		}
		server.Begin()
	}
	more(&acknowledged, 30)
	stop()
	work.Wait()
	hosts, err := db.Hosts(t.Context(), "org1", saba.HostFilter{})
	if err != nil {
		t.Fatal(err)
	}
	// A change whose acknowledgement was lost may be there too: one for each worker and crash.
	if n := int64(len(hosts)); n < acknowledged.Load() || n > acknowledged.Load()+8 {
		t.Errorf("%d hosts were acknowledged, %d are there", acknowledged.Load(), n)
	}
	for _, h := range hosts {
		checks, err := db.Checks(t.Context(), "org1", h.ID)
		if err != nil || len(h.Roles) != 2 || len(checks) != 2 {
			t.Errorf("host %s has %d roles and %d checks, error %v; want 2 and 2", h.ID, len(h.Roles), len(checks), err)
		}
	}
}

// A person with psql changes what a change of ours has just read: ours is made anew, on what is there then.
func postgresAndAnotherProgram(t *testing.T, server *postgrestest.Server) {
	url := server.Database("watched")
	db := open(t, url)
	ctx := t.Context()
	if _, err := db.EnsureOrg(ctx, saba.Org{ID: "org1"}); err != nil {
		t.Fatal(err)
	}
	c := server.Connect(url)
	runs := 0
	m, err := db.UpdateMonitor(ctx, "org1", "org1", 0, func(m saba.Monitor) (saba.Monitor, error) {
		if runs++; runs < 3 {
			c.Ask(`UPDATE monitors SET doc = replace(doc, '"name":"', '"name":"psql ')`)
		}
		m.Name += " saba"
		return m, nil
	})
	if err != nil || m.Name != "psql psql connectivity saba" || runs != 3 {
		t.Errorf("after %d runs the name is %q, error %v; want both changes in 3", runs, m.Name, err)
	}
	_, err = db.UpdateMonitor(ctx, "org1", "org1", 0, func(m saba.Monitor) (saba.Monitor, error) {
		c.Ask(`UPDATE monitors SET doc = replace(doc, '"name":"', '"name":"x')`)
		return m, nil
	})
	if !errors.Is(err, saba.ErrUnavailable) {
		t.Errorf("another program that does not stop: %v, want an error matching %q", err, saba.ErrUnavailable)
	}
}

// The URL names two hosts. When the primary dies and the standby is promoted, saba goes on there.
func postgresFailsOver(t *testing.T, server *postgrestest.Server) {
	server.Database("moving")
	standby := server.Replica()
	db := open(t, "postgres://postgres@127.0.0.1:"+server.Port+",127.0.0.1:"+standby.Port+"/moving?target_session_attrs=read-write")
	if _, err := db.EnsureOrg(t.Context(), saba.Org{ID: "org1"}); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateService(t.Context(), "org1", saba.Service{Name: "before"}); err != nil {
		t.Fatal(err)
	}
	server.End(syscall.SIGINT) // which sends the rest to the standby first
	if err := db.CreateService(t.Context(), "org1", saba.Service{Name: "between"}); !errors.Is(err, saba.ErrUnavailable) {
		t.Errorf("before the standby is promoted: %v, want an error matching %q", err, saba.ErrUnavailable)
	}
	standby.Ask(`SELECT pg_promote()`)
	if err := db.CreateService(t.Context(), "org1", saba.Service{Name: "later"}); err != nil {
		t.Error(err)
	}
	if s, err := db.Services(t.Context(), "org1"); err != nil || len(s) != 2 {
		t.Errorf("services are %+v, error %v; want both", s, err)
	}
}
