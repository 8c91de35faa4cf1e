package agent

import (
	"cmp"
	"context"
	"crypto/sha1"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// maxPointsPerPost bounds one request: about 1 MiB, two and a half hours of a usual host.
const maxPointsPerPost = 10_000

// The waits after a failed post, by what failed.
const (
	// A server that is back after ten minutes shall have all of them half a minute later; one that is away
	// for hours is not asked as often: the wait grows to a thirtieth of the time that it is away.
	retryLeast, retrySoon, retryMost = time.Second, 20 * time.Second, 5 * time.Minute
	retryShare                       = 30
	// A refused key is mended by a person; asking every second would only fill the server's log.
	refusedLeast, refusedMost = 30 * time.Second, 5 * time.Minute
	// mostRetryAfter bounds what a server may ask for.
	mostRetryAfter = time.Hour
)

// containerForgotten is after how long without a server a container looks whether its host is still there before it sends all that waits:
// servers retire those that are silent.
const containerForgotten = 8 * time.Minute

// catchUpPause is the wait between two requests while a backlog leaves, half of it or more: a fleet that
// comes back from an outage at once must not be the next one. A day of a usual host takes half a minute.
const catchUpPause = time.Second

// A sender posts what is in the queue: at once what is new, in large requests what has piled up.
type sender struct {
	o     Options
	queue queue
	hosts *hostIDs
	limit int // points a request; halved when a server finds one too large

	sent    bool      // a post has succeeded
	away    bool      // the last post did not reach a server that would take it
	failing time.Time // since when no post reaches a server; the zero time when one does
	say     announcer
	retry   backoff
	refused backoff
}

func newSender(o Options, q queue, hosts *hostIDs) *sender {
	return &sender{
		o: o, queue: q, hosts: hosts, limit: maxPointsPerPost, say: announcer{log: o.Log},
		retry:   backoff{least: retryLeast},
		refused: backoff{least: refusedLeast, most: refusedMost},
	}
}

// run posts until ctx ends.
func (s *sender) run(ctx context.Context) {
	idle := false // the queue was empty before: this is a minute like any other
	for ctx.Err() == nil {
		s.noteDropped()
		var batches []batch
		if s.queue.waiting() > 0 { // before anything is read from the queue, which may be large
			if !sleep(ctx, s.pause(idle)) {
				return
			}
			batches = s.next()
		}
		if len(batches) == 0 {
			select {
			case <-ctx.Done():
			case <-s.queue.added():
			case <-s.hosts.changed:
			}
			idle = true
			continue
		}
		idle = false
		if wait := s.post(ctx, batches); wait > 0 && !sleep(ctx, wait) {
			return
		}
	}
}

// pause returns how long to wait before the next request. idle says that nothing waited before what waits now.
func (s *sender) pause(idle bool) time.Duration {
	id, ok := s.hosts.get("")
	switch {
	case !s.sent || s.away || !ok:
		return 0
	case idle:
		return time.Duration(hostShare(id) * float64(s.o.PostSpread))
	}
	return catchUpPause/2 + time.Duration(s.o.Random()*float64(catchUpPause/2))
}

// next returns what the next request shall hold: the newest batch, which people look at, and
// the oldest ones, which are the first to be too old.
//
// While nobody takes values it is the newest alone: to ask whether somebody does costs the same
// for one minute as for a day, and an old batch which breaks the server does not hold up
// those behind it.
func (s *sender) next() []batch {
	newest := s.queue.newest(s.hosts.ready)
	if s.away || len(newest) == 0 || len(newest[0].Readings) == s.queue.waiting() {
		return newest
	}
	oldest := s.queue.next(max(s.limit-len(newest[0].Readings), 1), s.hosts.ready)
	for _, b := range oldest {
		if b.seq == newest[0].seq {
			return oldest
		}
	}
	return append(newest, oldest...)
}

// flush posts what is left, until ctx ends. stubborn tries again after a failure, for values that are lost
// otherwise.
func (s *sender) flush(ctx context.Context, stubborn bool) {
	for ctx.Err() == nil {
		batches := s.next()
		if len(batches) == 0 {
			return
		}
		wait := s.post(ctx, batches)
		// One that asks for time, or refuses, gets no tries in a row.
		refuses := wait >= refusedLeast/2 && s.failing.IsZero()
		if wait > 0 && (!stubborn || refuses || !sleep(ctx, min(wait, time.Second))) {
			return
		}
	}
}

// post posts batches and returns how long to wait before the next post; 0 after a success.
// Batches that the server took, and points that it will never take, leave the queue.
func (s *sender) post(ctx context.Context, batches []batch) time.Duration {
	points := s.points(batches)
	a := attempt{api: s.o.API, ctx: ctx}
	err := a.send(points)
	if ctx.Err() != nil {
		return 0 // we ended it ourselves: nothing is known, and the batches stay
	}
	if a.tooLarge {
		s.limit = max(s.limit/2, 100)
	}
	if err == nil {
		for i, g := range a.guilty {
			if i == 10 {
				s.o.Log.Error("the server refuses more values, which were dropped", "values", len(a.guilty)-i)
				break
			}
			s.o.Log.Error("the server refuses a value, which was dropped", "metric", g.point.Name, "time", g.point.Time, "value", g.point.Value, "error", g.err)
		}
		s.queue.done(batches)
		s.o.Record.posted(batches, a.guilty, s.hosts, time.Now())
		if s.o.Container && !s.failing.IsZero() && time.Since(s.failing) > containerForgotten {
			s.hosts.recheck() // what is sent to a host that is retired is lost
		}
		s.sent, s.away, s.failing = true, false, time.Time{}
		s.retry.reset()
		s.refused.reset()
		s.say.over("the server takes values again", "waiting", s.queue.waiting())
		return 0
	}
	all, refusesAll := errors.AsType[*refusesAllError](err)
	s.away = !refusesAll // whose next request has newer values too, which show whether it means all
	if ask := min(client.RetryAfter(err), mostRetryAfter); ask > 0 {
		s.say.say(slog.LevelWarn, "later", "the server asks to post later: values are kept", "after", ask, "error", err)
		// Everybody was told the same: not all at the same moment, and never before.
		return ask + time.Duration(s.o.Random()*float64(ask/10))
	}
	switch {
	case refusesAll:
		s.say.say(slog.LevelError, "all", "the server refuses every value: they are kept, and it will be tried again now and then", "error", all.err)
	case errors.Is(err, saba.ErrUnauthorized) || errors.Is(err, saba.ErrForbidden):
		s.say.say(slog.LevelError, "key", "the server refuses the API key: values are kept, and it will be tried again now and then", "error", err)
	case errors.Is(err, saba.ErrNotFound):
		s.say.say(slog.LevelError, "unknown", "the server does not know this host, or apibase is not its address: values are kept, and it will be tried again now and then", "error", err)
	default:
		s.say.say(slog.LevelWarn, "fails", "values could not be posted: they are kept and posted later", "waiting", s.queue.waiting(), "error", err)
		if s.failing.IsZero() {
			s.failing = time.Now()
		}
		s.retry.most = min(max(time.Since(s.failing)/retryShare, retrySoon), retryMost)
		return s.retry.next(s.o.Random)
	}
	s.hosts.doubt() // perhaps the host was retired
	return s.refused.next(s.o.Random)
}

// points returns what batches hold, under the ids of their hosts.
func (s *sender) points(batches []batch) []saba.Point {
	n := 0
	for _, b := range batches {
		n += len(b.Readings)
	}
	points := make([]saba.Point, 0, n)
	twice := slices.ContainsFunc(batches, func(b batch) bool { return b.moved })
	if twice { // two may lie on one minute now: the one that was collected first counts
		batches = slices.Clone(batches)
		slices.SortFunc(batches, func(x, y batch) int { return cmp.Compare(x.seq, y.seq) })
	}
	type place struct {
		saba.Series
		time int64
	}
	var taken map[place]bool
	if twice {
		taken = make(map[place]bool, n)
	}
	for _, b := range batches {
		id, ok := s.hosts.get(b.Identifier)
		if !ok {
			continue // a host that was ready and is not any more
		}
		for _, r := range b.Readings {
			p := saba.Point{Series: saba.Series{Host: id, Name: r.Name}, Sample: r.Sample}
			if twice {
				at := place{p.Series, p.Time}
				if taken[at] {
					continue
				}
				taken[at] = true
			}
			points = append(points, p)
		}
	}
	return points
}

// noteDropped says how much was given up.
func (s *sender) noteDropped() {
	if n := s.queue.dropped(); n > 0 {
		s.o.Log.Error("values were dropped before the server took them: the oldest, as a day of them or too many were waiting", "values", n)
		s.o.Record.discarded(n, time.Now())
	}
}

// An attempt is one effort to post points, in as many requests as the server needs to take
// what it can.
type attempt struct {
	api       API
	ctx       context.Context
	retried   bool // the one repetition after a network error was used
	tooLarge  bool // a request was
	delivered int
	guilty    []refusal
}

// A refusal is a point that the server does not take, alone as it may be.
type refusal struct {
	point saba.Point
	err   error
}

// suspicious is the number of points that are refused one by one, with none taken, from which
// on it is the server that is wrong and not the points.
const suspicious = 8

// A refusesAllError means that a server took none of the points that it was sent, one by one.
type refusesAllError struct{ err error }

func (e *refusesAllError) Error() string { return e.err.Error() }

// send posts points. When the server refuses them for what they are, halves are tried, so
// that a bad point costs only itself; those are in a.guilty. An error means that everything
// stays to be sent again: writing a point twice is harmless.
func (a *attempt) send(points []saba.Point) error {
	err := a.halves(points)
	if err == nil && len(a.guilty) > 0 && a.delivered == 0 {
		// Nothing was taken, so nothing shows that the rest of the request was right.
		return &refusesAllError{a.guilty[0].err}
	}
	return err
}

func (a *attempt) halves(points []saba.Point) error {
	err := a.post(points)
	if err == nil {
		a.delivered += len(points)
		return nil
	}
	refused, large := refusedFor(err)
	a.tooLarge = a.tooLarge || large
	if !refused || a.ctx.Err() != nil {
		return err
	}
	if len(points) == 1 {
		if a.guilty = append(a.guilty, refusal{points[0], err}); a.delivered == 0 && len(a.guilty) == suspicious {
			return &refusesAllError{err}
		}
		return nil
	}
	// The newer half first: if it is taken, the older one is known to be at fault.
	middle := len(points) / 2
	if err := a.halves(points[middle:]); err != nil {
		return err
	}
	return a.halves(points[:middle])
}

// post is one request, and a second one at once if the first met a network error: a kept
// connection that has died is found out only by using it.
func (a *attempt) post(points []saba.Point) error {
	err := a.api.PostHostMetrics(a.ctx, points)
	if _, network := errors.AsType[*client.NetworkError](err); network && !a.retried && a.ctx.Err() == nil {
		a.retried = true
		err = a.api.PostHostMetrics(a.ctx, points)
	}
	return err
}

// refusedFor says whether a server refuses a request for what is in it, or for its size.
func refusedFor(err error) (refused, large bool) {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return false, false
	}
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		return true, true
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return e.JSON, false // the error page of a proxy says nothing about the points
	}
	return false, false
}

// hostShare returns the share of the spread, in [0, 1), that a host waits before it posts:
// the same each minute, and different from host to host.
func hostShare(id string) float64 {
	return float64(hostSecond(id)) / 60
}

// hostSecond returns the second of the minute that the protocol's agents give to a host.
func hostSecond(id string) int {
	sum := sha1.Sum([]byte(id))
	return int(sum[len(sum)-1]) % 60
}
