package heartbeat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// figures are values by name, as JSON.
type figures map[string]json.RawMessage

// encode returns values as figures. One that JSON does not have, such as NaN, is left out and
// is an error besides err: it does not hide the others.
func encode(values map[string]any, err error) (figures, error) {
	f := figures{}
	errs := []error{err}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		b, err := json.Marshal(values[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("the figure %q: %w", name, err))
			continue
		}
		f[name] = b
	}
	return f, errors.Join(errs...)
}

// A question is asked of a vital by one goroutine at a time; all who ask meanwhile share the
// answer.
type question struct {
	timeout time.Duration
	fresh   time.Duration
	ask     func(context.Context) (figures, error)

	mu   sync.Mutex
	last *run // nil before the first
}

// A run is one asking. figures and err are set when done is closed; then nothing changes them.
type run struct {
	began   time.Time
	done    chan struct{}
	ended   time.Time
	figures figures
	err     error
}

// answer returns what the vital says, after its timeout at the latest, or when ctx ends.
func (q *question) answer(ctx context.Context) (figures, error) {
	r := q.join(ctx)
	select {
	case <-r.done: // even if it is late by now
		return r.figures, r.err
	default:
	}
	late := time.NewTimer(time.Until(r.began.Add(q.timeout)))
	defer late.Stop()
	select {
	case <-r.done:
		return r.figures, r.err
	case <-late.C:
		return nil, fmt.Errorf("no answer within %v", q.timeout)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// join returns the run that goes on, or the last one if it is fresh, or a new one.
func (q *question) join(ctx context.Context) *run {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.last; r != nil {
		select {
		case <-r.done:
			if q.fresh > 0 && time.Since(r.ended) < q.fresh {
				return r
			}
		default:
			return r // it may be stuck: a second one would be too
		}
	}
	r := &run{began: time.Now(), done: make(chan struct{}), err: errors.New("it ended without an answer")} // runtime.Goexit
	q.last = r
	// It outlives a request that gives up, as others may wait for it, but not its timeout. One
	// that does not heed its context cannot be waited for; there is never a second one beside it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.timeout)
	go func() {
		defer close(r.done)
		defer cancel()
		r.figures, r.err = guard(ctx, q.ask)
		r.ended = time.Now()
		if took := r.ended.Sub(r.began); r.err == nil && took > q.timeout {
			r.err = fmt.Errorf("it took %v, more than %v", took, q.timeout)
		}
	}()
	return r
}

// guard asks, and makes an error of a panic: one vital does not end the program.
func guard(ctx context.Context, ask func(context.Context) (figures, error)) (f figures, err error) {
	defer func() {
		if v := recover(); v != nil {
			f, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	return ask(ctx)
}
