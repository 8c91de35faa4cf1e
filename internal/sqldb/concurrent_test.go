package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/saba-monitor/saba"
)

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

// A key that was revoked, and networks that were set, count as soon as the call has returned, however many requests look the
// key up meanwhile.
func TestAKeyIsNotRememberedBeyondAChange(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "saba.db"))
	addHosts(t, db, 1)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	for range 4 {
		work.Go(func() {
			for ctx.Err() == nil {
				if _, err := db.KeyByHash(ctx, "hash"); err != nil && !errors.Is(err, saba.ErrNotFound) && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 100 {
		if err := db.CreateKey(ctx, saba.Key{ID: "k", Org: "org1", Hash: "hash", Read: true}); err != nil {
			t.Fatal(err)
		}
		networks := []string{fmt.Sprintf("192.0.2.%d/32", i)}
		if err := db.SetNetworks(ctx, "org1", saba.SurfaceAPI, networks); err != nil {
			t.Fatal(err)
		}
		for range 2 { // from the database, and from memory
			if k, err := db.KeyByHash(ctx, "hash"); err != nil || !slices.Equal(k.Networks, networks) {
				t.Fatalf("KeyByHash = %+v, %v; want the networks %v", k, err, networks)
			}
		}
		if err := db.DeleteKey(ctx, "org1", "k"); err != nil {
			t.Fatal(err)
		}
		if k, err := db.KeyByHash(ctx, "hash"); !errors.Is(err, saba.ErrNotFound) {
			t.Fatalf("KeyByHash of a revoked key = %+v, %v", k, err)
		}
	}
}
