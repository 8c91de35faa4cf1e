package inturn

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func Test(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []int
		Do(t.Context(), 5, func(i int) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
		})
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(order, want) {
			t.Errorf("calls %v, want %v, one after another", order, want)
		}
		Do(t.Context(), 0, func(int) { t.Error("called, with nothing to do") })
	})
}

// One that dawdles holds up the others for moments only, and only once.
func TestOneDawdles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		at := map[int]time.Duration{}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		Do(ctx, 4, func(i int) {
			mu.Lock()
			at[i] = time.Since(start)
			mu.Unlock()
			if i == 1 || i == 2 {
				<-release
			}
		})
		mu.Lock()
		if len(at) != 4 || at[3] > 2*Patience {
			t.Errorf("calls began at %v, want all four by %v", at, 2*Patience)
		}
		mu.Unlock()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("returned after %v, want the 5s of its context", took)
		}
		close(release)
	})
}

func TestBeginsNothingAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		calls := make(chan int, 3)
		go cancel()
		Do(ctx, 3, func(i int) {
			calls <- i
			<-release
		})
		close(release)
		synctest.Wait()
		if n := len(calls); n > 1 {
			t.Errorf("%d calls begun, want the one under way at most", n)
		}
	})
}
