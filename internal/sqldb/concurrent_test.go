package sqldb_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/saba-monitor/saba"
)

// Readers never wait for writers, writers wait for each other, and nobody sees half a change.
func TestReadersAndWritersAtOnce(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "saba.db"))
	addHosts(t, db, 5)
	one := []saba.RoleName{{Service: "one", Role: "a"}, {Service: "one", Role: "b"}}
	two := []saba.RoleName{{Service: "two", Role: "a"}, {Service: "two", Role: "b"}, {Service: "two", Role: "c"}}
	ctx := t.Context()
	if err := db.SetHostRoles(ctx, "org1", "host00000", one); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for w := range 4 {
		writers.Go(func() {
			for i := range 12 {
				roles := one
				if (w+i)%2 == 0 {
					roles = two
				}
				if err := db.SetHostRoles(ctx, "org1", "host00000", roles); err != nil {
					t.Error(err)
				}
				if err := db.ReportChecks(ctx, "org1", []saba.CheckReport{{Host: "host00001", Name: "ssh", Status: saba.CheckOK, OccurredAt: int64(100*w + i)}},
					func() (string, error) { return "", fmt.Errorf("no check is to be made") }); err != nil {
					t.Error(err)
				}
				if err := db.TouchKey(ctx, "none", int64(1000*i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var reads atomic.Int64
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				reads.Add(1)
				h, err := db.Host(ctx, "org1", "host00000")
				if err != nil {
					t.Error(err)
				}
				if !slices.Equal(h.Roles, one) && !slices.Equal(h.Roles, two) {
					t.Errorf("roles are %v: half a change", h.Roles)
				}
				hosts, err := db.Hosts(ctx, "org1", saba.HostFilter{})
				if err != nil || len(hosts) != 5 {
					t.Errorf("%d hosts, error %v; want 5 and none", len(hosts), err)
				}
				if _, err := db.Checks(ctx, "org1", "host00001"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	if reads.Load() == 0 {
		t.Error("nothing was read meanwhile")
	}
}

// A writer that waits for its turn gives up with its context, and the one before it is not harmed.
func TestWaitingWriterObeysItsContext(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "saba.db"))
	addHosts(t, db, 1)
	inside, leave := make(chan struct{}), make(chan struct{})
	var first error
	var wg sync.WaitGroup
	wg.Go(func() {
		h, checks := hostNumber(1)
		n := 0
		first = db.CreateHost(t.Context(), h, checks, func() (string, error) {
			if n++; n == 1 {
				close(inside)
				<-leave
			}
			return fmt.Sprint("check", n), nil
		})
	})
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	var second error
	wg.Go(func() { second = db.SetHostStatus(ctx, "org1", []string{"host00000"}, saba.Poweroff) })
	cancel()
	if _, err := db.Host(t.Context(), "org1", "host00000"); err != nil {
		t.Errorf("a reader beside the writer: %v", err)
	}
	close(leave)
	wg.Wait()
	if first != nil {
		t.Errorf("the writer whose turn it was: %v", first)
	}
	if h, err := db.Host(t.Context(), "org1", "host00000"); err != nil || second != nil && h.Status != saba.Working {
		t.Errorf("status is %q after error %v, read error %v", h.Status, second, err)
	}
}
