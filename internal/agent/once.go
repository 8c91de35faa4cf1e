package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/saba-monitor/saba/client"
)

// A Snapshot is what an agent would send, in the form in which agents of the protocol print it.
type Snapshot struct {
	Host    client.HostParam `json:"host"`
	Metrics SnapshotMetrics  `json:"metrics"`
}

// SnapshotMetrics are the values of one turn.
type SnapshotMetrics struct {
	Created time.Time
	Values  []SnapshotValues // one a host
}

// SnapshotValues are the values of one host, by metric name.
type SnapshotValues struct {
	Values           map[string]SnapshotValue
	CustomIdentifier *string // nil is the agent's own host
}

// A SnapshotValue is one value.
type SnapshotValue struct {
	Time  *int64 // the plugin's own time in Unix seconds; nil is that of the turn
	Value float64
}

// Once collects a single time, with an interval of two seconds for rates, and returns what
// would be sent. It asks no server; Options.API, Random and the fields below them are not used.
// What could not be read is logged.
func Once(ctx context.Context, o Options) (Snapshot, error) {
	f, err := o.Facts(ctx)
	if f.Name == "" {
		return Snapshot{}, fmt.Errorf("the name of this host is not known: %w", err)
	}
	if err != nil {
		o.Log.Warn("some facts about this host could not be read", "error", err)
	}
	var s Snapshot
	if s.Host, err = hostParam(o, f); err != nil {
		return Snapshot{}, err
	}
	q := &snapshotQueue{values: map[string]map[string]SnapshotValue{}}
	plugins := newPlugins(o)
	sched := newSchedule(o, plugins, q)
	sched.baseline(ctx)
	if !sleep(ctx, firstInterval) {
		return Snapshot{}, ctx.Err()
	}
	s.Metrics.Created = time.Now().Truncate(time.Second)
	q.minute = s.Metrics.Created.Unix()
	sched.turn(ctx, q.minute)
	sched.running.Wait() // a person waits here, who can end it
	for _, p := range plugins {
		p.close()
	}
	for _, identifier := range slices.Sorted(maps.Keys(q.values)) {
		v := SnapshotValues{Values: q.values[identifier]}
		if identifier != "" {
			v.CustomIdentifier = &identifier
		}
		s.Metrics.Values = append(s.Metrics.Values, v)
	}
	return s, ctx.Err()
}

// JSON returns the snapshot on one line.
func (s Snapshot) JSON() ([]byte, error) { return json.Marshal(s) }

// A snapshotQueue takes the batches of one turn.
type snapshotQueue struct {
	minute int64

	mu     sync.Mutex
	values map[string]map[string]SnapshotValue
}

func (q *snapshotQueue) add(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(b.Readings) > 0 && q.values[b.Identifier] == nil {
		q.values[b.Identifier] = map[string]SnapshotValue{}
	}
	for _, r := range b.Readings {
		v := SnapshotValue{Value: r.Value}
		if r.Time != q.minute {
			v.Time = &r.Time
		}
		q.values[b.Identifier][r.Name] = v
	}
}
