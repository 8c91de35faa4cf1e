package replay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// stuck is a database that answers nothing until it is given up.
type stuck struct{ Store }

func (stuck) Downtimes(ctx context.Context, _ string) ([]saba.Downtime, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestReplayIsBoundedInTime(t *testing.T) {
	for name, tt := range map[string]struct {
		days  int
		taken bool
		after time.Duration
		want  error
	}{
		"no days":                     {0, false, 0, saba.ErrInvalid},
		"more days than are allowed":  {31, false, 0, saba.ErrInvalid},
		"it takes too long":           {1, false, 30 * time.Second, saba.ErrInvalid},
		"others are before it":        {1, true, 30 * time.Second, saba.ErrConflict},
		"whoever asked does not wait": {1, false, 5 * time.Second, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(Options{Store: stuck{}, Zone: time.UTC, Now: time.Now})
				if tt.taken {
					r.turn <- struct{}{}
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if errors.Is(tt.want, context.Canceled) {
					time.AfterFunc(tt.after, cancel)
				}
				begin := time.Now()
				if _, err := r.Replay(ctx, "org", saba.Monitor{}, tt.days); !errors.Is(err, tt.want) || time.Since(begin) != tt.after {
					t.Errorf("after %v the error is %v, want %v after %v", time.Since(begin), err, tt.want, tt.after)
				}
			})
		})
	}
}
