// Package replay says what a monitor would have done: which alerts over the last days (package monitor), and how many messages of them
// (package notify). It changes nothing. The API and the console ask it.
package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/monitor"
	"github.com/saba-monitor/saba/internal/notify"
)

// limit is how long one replay may take: senders of requests give up after that.
const limit = 30 * time.Second

// Store is what package replay asks of the database.
type Store interface {
	monitor.Records
	Channels(ctx context.Context, org string) ([]saba.Channel, error)
	NotificationGroups(ctx context.Context, org string) ([]saba.NotificationGroup, error)
	AlertGroupSettings(ctx context.Context, org string) ([]saba.AlertGroupSetting, error)
}

// Options are what a Replayer reads. All are required.
type Options struct {
	Store   Store
	History monitor.History
	Queries monitor.Queries
	Zone    *time.Location // in which the days of downtimes are counted
	Now     func() time.Time
}

// A Replayer replays monitors, one at a time: each takes a core, and the server has other work. It is safe for concurrent use.
type Replayer struct {
	Options
	turn chan struct{}
}

// New returns a Replayer.
func New(o Options) *Replayer { return &Replayer{o, make(chan struct{}, 1)} }

// Replay says what a monitor would have done in the last days, 1 to saba.MaxReplayDays of them. The monitor is whole and checked; it need not be kept. An error
// that matches saba.ErrInvalid says why it cannot be replayed; one of saba.ErrConflict, that others are before it.
func (r *Replayer) Replay(ctx context.Context, org string, m saba.Monitor, days int) (saba.Replay, error) {
	if days < 1 || days > saba.MaxReplayDays {
		return saba.Replay{}, saba.Invalidf("days", "must be from 1 to %d, not %d", saba.MaxReplayDays, days)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-limited.Done():
		return saba.Replay{}, saba.Errorf(saba.ErrConflict, "other monitors are being replayed: try again in a minute")
	}
	to := r.Now().Unix()
	got, err := r.replay(limited, org, m, to-int64(days)*86400, to)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = saba.Errorf(saba.ErrInvalid, "the replay takes longer than %v: ask for fewer days, or narrow the monitor", limit)
	}
	return got, err
}

func (r *Replayer) replay(ctx context.Context, org string, m saba.Monitor, from, to int64) (saba.Replay, error) {
	past := monitor.Past{Org: org, Records: r.Store, History: r.History, Queries: r.Queries, Zone: r.Zone}
	got, err := past.Replay(ctx, m, from, to)
	if err != nil {
		return got, err
	}
	t := notify.Tally{Facts: notify.Facts{Zone: r.Zone}, Monitor: m, Hosts: map[string]*saba.Host{}, To: to}
	if t.Facts.Channels, err = r.Store.Channels(ctx, org); err != nil {
		return got, fmt.Errorf("list channels: %w", err)
	}
	if t.Facts.Groups, err = r.Store.NotificationGroups(ctx, org); err != nil {
		return got, fmt.Errorf("list notification groups: %w", err)
	}
	if t.Facts.Downtimes, err = r.Store.Downtimes(ctx, org); err != nil {
		return got, fmt.Errorf("list downtimes: %w", err)
	}
	if t.Settings, err = r.Store.AlertGroupSettings(ctx, org); err != nil {
		return got, fmt.Errorf("list settings of alert groups: %w", err)
	}
	hosts, err := r.Store.Hosts(ctx, org, saba.HostFilter{})
	if err != nil {
		return got, fmt.Errorf("list hosts: %w", err)
	}
	for i := range hosts {
		t.Hosts[hosts[i].ID] = &hosts[i]
	}
	cut := false
	if got.Messages, cut, err = t.Count(ctx, got.Alerts); err != nil {
		return got, fmt.Errorf("count messages: %w", err)
	}
	got.Cut = got.Cut || cut
	return got, nil
}
