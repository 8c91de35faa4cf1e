package postgrestest

import (
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestAServerAndItsReplica(t *testing.T) {
	s := Start(t, "application_name=saba")
	if got := s.Ask("SELECT 1; SHOW application_name"); len(got) != 1 || got[0][0] != "saba" {
		t.Errorf("the setting is %q, want saba", got)
	}
	url := s.Database(`a "shop"`)
	s.Connect(url).Ask("CREATE TABLE goods AS SELECT 7 AS n")
	s.Ask("CREATE USER watcher PASSWORD 'topsecret'")
	for userinfo, welcome := range map[string]bool{"watcher:topsecret": true, "watcher:wrong": false, "watcher": false} {
		c, err := pgconn.Connect(t.Context(), s.URL(userinfo, "postgres"))
		if (err == nil) != welcome {
			t.Errorf("%s is let in: %v, want %v", userinfo, err, welcome)
		}
		if err == nil {
			_ = c.Close(t.Context())
		}
	}
	r := s.Replica()
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		r.End(signal)
		r.Begin()
	}
	c := r.Connect(r.URL("", "a%20%22shop%22"))
	if got := c.Ask("SELECT n, pg_is_in_recovery() FROM goods"); len(got) != 1 || got[0][0] != "7" || got[0][1] != "t" {
		t.Errorf("the replica has %q, want 7", got)
	}
}
