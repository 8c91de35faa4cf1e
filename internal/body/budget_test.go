package body

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestABudgetIsNeverOverdrawn(t *testing.T) {
	b := newBudget(100, time.Minute)
	var mu sync.Mutex
	var taken, most int64
	var wg sync.WaitGroup
	for i := range int64(64) {
		wg.Go(func() {
			n := 1 + i*37%100
			for range 50 {
				if err := b.take(t.Context(), n); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				taken += n
				most = max(most, taken)
				mu.Unlock()
				mu.Lock()
				taken -= n
				mu.Unlock()
				b.give(n)
			}
		})
	}
	wg.Wait()
	if most > 100 || b.free != 100 || len(b.queue) != 0 {
		t.Errorf("at most %d of 100 were taken, %d are free at the end, %d wait", most, b.free, len(b.queue))
	}
}

func TestAClaimThatIsNotServedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, Wait)
		if err := b.take(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		refused := make(chan error)
		go func() { refused <- b.take(t.Context(), 5) }()
		left, leave := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- b.take(left, 5) }()
		served := make(chan error)
		time.Sleep(Wait / 2)
		go func() { served <- b.take(t.Context(), 2) }() // would fit, and waits for its turn
		synctest.Wait()
		select {
		case err := <-served:
			t.Fatalf("a later claim overtook the others: %v", err)
		default:
		}
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("a request that left got %v", err)
		}
		if err := <-refused; !errors.Is(err, ErrBusy) {
			t.Errorf("a claim that was never served got %v, want %v", err, ErrBusy)
		}
		if err := <-served; err != nil {
			t.Errorf("when those before had left, a small claim got %v", err)
		}
		b.give(2)
		b.give(8)
		if b.free != 10 || len(b.queue) != 0 {
			t.Errorf("at the end %d of 10 are free and %d wait", b.free, len(b.queue))
		}
	})
}
