package sqldb_test

import (
	"context"
	"fmt"
	"path/filepath"
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
