package tsdb

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

func TestPatience(t *testing.T) {
	for name, tt := range map[string]struct {
		crowd crowd
		want  time.Duration
	}{
		"nobody is known at the start":              {crowd{}, 0},
		"a sender that is alone waits for nobody":   {crowd{1, time.Second}, 0},
		"nobody waits longer than a commit takes":   {crowd{2, time.Millisecond}, time.Millisecond},
		"a slow disk makes nobody wait for seconds": {crowd{64, 10 * time.Second}, maxPatience},
		"a clock that was set back is no reason":    {crowd{64, -time.Second}, -time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.crowd.patience(); got != tt.want {
				t.Errorf("patience of %+v = %v, want %v", tt.crowd, got, tt.want)
			}
		})
	}
}

func TestGather(t *testing.T) {
	const patience = 2 * time.Millisecond
	batch := func(points int) *request { return &request{points: make([]saba.Point, points)} }
	for name, tt := range map[string]struct {
		enough   int
		patience time.Duration
		come     []time.Duration // when requests come
		points   int             // of each
		want     int             // how many go together
		after    time.Duration
	}{
		"a request that is alone goes at once":    {0, 0, []time.Duration{5, 6}, 1, 1, 5},
		"without patience one goes at once":       {8, -1, []time.Duration{5, 6}, 1, 1, 5},
		"a crowd goes together, and at once then": {3, patience, []time.Duration{5, 300, 700, 800}, 1, 3, 700},
		"what does not come is not waited for":    {3, patience, []time.Duration{5, 300, 5 * time.Millisecond}, 1, 2, 5 + patience},
		"so many points wait for no others":       {9, patience, []time.Duration{5, 300, 700}, manyPoints / 2, 2, 300},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, closing := newQueue(), make(chan struct{})
				for _, at := range tt.come {
					time.AfterFunc(at, func() { q.put(batch(tt.points)) })
				}
				begun := time.Now()
				if !q.gather(closing, tt.enough, tt.patience) {
					t.Fatal("gather found the queue closed")
				}
				if got := q.take(nil); len(got) != tt.want || time.Since(begun) != tt.after {
					t.Errorf("%d requests after %v, want %d after %v", len(got), time.Since(begun), tt.want, tt.after)
				}
				rest := 0
				for time.Sleep(time.Second); q.size() > 0; {
					if !q.gather(closing, 0, 0) {
						t.Fatal("gather found the queue closed")
					}
					rest += len(q.take(nil))
				}
				if rest != len(tt.come)-tt.want {
					t.Errorf("%d requests came later, want %d", rest, len(tt.come)-tt.want)
				}
			})
		})
	}
}

// A request that came just before the appender began to wait for more may wake it once again.
func TestAnEarlierWakeIsNoReasonToStopWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.put(&request{})
		time.AfterFunc(time.Millisecond, q.ring)
		time.AfterFunc(2*time.Millisecond, func() { q.put(&request{}) })
		begun := time.Now()
		q.gather(nil, 2, time.Second)
		if q.size() != 2 || time.Since(begun) != 2*time.Millisecond {
			t.Errorf("%d requests after %v, want 2 after 2ms", q.size(), time.Since(begun))
		}
	})
}

func TestAGroupIsNotTooLarge(t *testing.T) {
	q := newQueue()
	for range 5 {
		q.put(&request{points: make([]saba.Point, maxGroup/2)})
	}
	for _, want := range []int{2, 2, 1} {
		if !q.gather(nil, 0, 0) { // which returns, as it is told that some are left
			t.Fatal("gather found the queue closed")
		}
		if got := len(q.take(nil)); got != want {
			t.Errorf("a group of %d requests, want %d", got, want)
		}
	}
}

func TestAClosedQueueIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, closing := newQueue(), make(chan struct{})
		time.AfterFunc(time.Millisecond, func() { q.put(&request{}) })
		time.AfterFunc(2*time.Millisecond, func() { close(closing) })
		if q.gather(closing, 2, time.Second) || q.gather(closing, 0, 0) {
			t.Error("gather found a queue that is closed to be open")
		}
	})
}
