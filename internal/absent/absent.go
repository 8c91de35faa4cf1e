// Package absent retires the hosts of containers that have ended without a word: a killed sidecar, or a node that is lost, takes
// nothing away, and what is left of it would alert until somebody looks. Hosts of machines are never touched: a machine that is
// silent is what people want to be told of.
//
// A host is a container's when its agent says so (saba.Host.Size), and silent when no sample of it has come for a time that the operator
// chooses. The package owns nothing but when it first saw each host alive: what was silent before the server listened proves nothing.
package absent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/saba-monitor/saba"
)

// Store is what a Sweeper asks of the database.
type Store interface {
	Hosts(ctx context.Context, org string, f saba.HostFilter) ([]saba.Host, error)
	RetireHosts(ctx context.Context, org string, ids []string, at int64) error
}

// Samples is what a Sweeper asks of the engine that keeps samples.
type Samples interface {
	LastSeen(org, host string) (int64, bool)
	Heard(org, host string) (int64, bool)
}

// Options are what a Sweeper needs. All fields are required.
type Options struct {
	Org     string
	Store   Store
	Samples Samples
	After   time.Duration // of silence: MinAfter or more
	Now     func() time.Time
	Log     *slog.Logger
}

// MinAfter is the shortest silence that counts: an agent that is restarted, or cut off for a moment, is not absent.
const MinAfter = 10 * time.Minute

const (
	// Interval is how often hosts are looked at.
	Interval = 5 * time.Minute
	// pause is how long two looks may lie apart. After more the server was suspended, and has not listened.
	pause = 3 * Interval
)

// A Sweeper retires absent hosts. Make it with New. Its methods are for one goroutine.
type Sweeper struct {
	Options
	last  int64            // look, in Unix seconds; 0 before the first
	since map[string]int64 // when each host was first looked at, in Unix seconds
}

// New returns a Sweeper that has seen nothing.
func New(o Options) *Sweeper { return &Sweeper{Options: o, since: map[string]int64{}} }

// Run looks at the hosts now and then until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	t := time.NewTicker(Interval)
	defer t.Stop()
	for {
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("hosts of containers that are silent could not be retired; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Round looks at the hosts once, and retires those that have been silent for After.
func (s *Sweeper) Round(ctx context.Context) error {
	now := s.Now().Unix()
	if gap := now - s.last; gap < 0 || gap > int64(pause/time.Second) {
		clear(s.since)
	}
	s.last = now
	// Whoever puts a host into maintenance, or off, knows that it is silent.
	hosts, err := s.Store.Hosts(ctx, s.Org, saba.HostFilter{Statuses: []saba.HostStatus{saba.Working, saba.Standby}})
	if err != nil {
		return fmt.Errorf("look for silent containers: %w", err)
	}
	alive := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		if h.Size() != "micro" {
			continue
		}
		alive[h.ID] = true
		if _, known := s.since[h.ID]; !known {
			s.since[h.ID] = now
		}
		// One that has never sent a sample has checks alone perhaps, which are silent while all is well.
		seen, ok := s.Samples.LastSeen(s.Org, h.ID)
		if !ok {
			continue
		}
		heard, _ := s.Samples.Heard(s.Org, h.ID)
		silent := now - max(min(seen, now), heard, s.since[h.ID]) // seen may be that of a clock ahead of ours
		if silent < int64(s.After/time.Second) {
			continue
		}
		if err := s.Store.RetireHosts(ctx, s.Org, []string{h.ID}, now); err != nil {
			return fmt.Errorf("retire host %s, a silent container: %w", h.ID, err)
		}
		delete(alive, h.ID)
		s.Log.Info("a container was silent for long: its host is retired", "host", h.ID, "name", h.Label(), "for", time.Duration(silent)*time.Second)
	}
	maps.DeleteFunc(s.since, func(id string, _ int64) bool { return !alive[id] })
	return nil
}
