package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// How verdicts are posted: a full request is followed by a pause, so that what has piled up
// does not fall on a server that has just come back.
const (
	maxReportsPerPost = 20
	reportPause       = time.Second
	reportRetryMost   = 5 * time.Minute
	// lookForHosts is how often a host is asked for that verdicts wait for, besides when it is found.
	lookForHosts = time.Minute
)

// A hostLookup knows the ids of hosts.
type hostLookup interface {
	// hostID returns the id of the host with a custom identifier ("" is the agent's own host),
	// once it is known.
	hostID(identifier string) (id string, ok bool)
	// changes returns a channel that is closed when the next id is known, or another.
	changes() <-chan struct{}
}

// A checkAPI is what checks ask of a server.
type checkAPI interface {
	ReportChecks(ctx context.Context, reports []saba.CheckReport) error
}

// A checkSender posts the verdicts in the queue. Those about each host go by themselves: a host
// that is not found, or that the server refuses, holds up no other.
type checkSender struct {
	api    checkAPI
	hosts  hostLookup
	queue  *checkQueue
	log    *slog.Logger
	random func() float64

	lanes map[string]*reportLane // by custom identifier
	says  map[string]*announcer  // by check, of what the server refuses

	dropSay announcer
}

func newCheckSender(o checkOptions, q *checkQueue) *checkSender {
	return &checkSender{api: o.API, hosts: o.Hosts, queue: q, log: o.Log, random: o.Random,
		lanes: map[string]*reportLane{}, says: map[string]*announcer{}, dropSay: announcer{log: o.Log}}
}

// A reportLane is the way of the verdicts about one host to the server.
type reportLane struct {
	notBefore time.Time
	retry     backoff
	refused   backoff
	say       announcer
}

func (s *checkSender) lane(identifier string) *reportLane {
	if s.lanes[identifier] == nil {
		log := s.log
		if identifier != "" {
			log = log.With("custom_identifier", identifier)
		}
		s.lanes[identifier] = &reportLane{
			retry:   backoff{least: retryLeast, most: reportRetryMost},
			refused: backoff{least: refusedLeast, most: refusedMost}, say: announcer{log: log},
		}
	}
	return s.lanes[identifier]
}

// run posts until ctx ends.
func (s *checkSender) run(ctx context.Context) {
	for {
		changes := s.hosts.changes() // taken before looking, so that no change is missed
		next := s.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.queue.added:
		case <-changes:
		case <-timer:
		}
	}
}

// turn posts what is due, one request a host, and returns when to look again: the zero time is
// when something is added or found.
func (s *checkSender) turn(ctx context.Context) (next time.Time) {
	s.dropOld()
	later := func(t time.Time) {
		if t.IsZero() {
			t = time.Now()
		}
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	due := s.queue.due()
	for _, identifier := range slices.Sorted(maps.Keys(due)) {
		l := s.lane(identifier)
		id, known := s.hosts.hostID(identifier)
		at := due[identifier]
		if l.notBefore.After(at) {
			at = l.notBefore
		}
		switch now := time.Now(); {
		case !known:
			later(now.Add(lookForHosts))
		case at.After(now):
			later(at)
		default:
			s.post(ctx, identifier, id, l)
			if ctx.Err() != nil {
				return next
			}
			if due, ok := s.queue.due()[identifier]; ok && due.After(l.notBefore) {
				later(due)
			} else if ok {
				later(l.notBefore)
			}
		}
	}
	return next
}

func (s *checkSender) dropOld() {
	s.queue.dropOld()
	if n := s.queue.dropped(); n > 0 {
		s.dropSay.say(slog.LevelError, "dropped", "verdicts of checks are dropped before the server took them, as they are six hours old or too many: the newest of each check will reach it", "verdicts", n)
	}
}

// flush posts what is left, until ctx ends. A host whose verdicts meet an error is left: they
// are kept, and the next start sends them.
func (s *checkSender) flush(ctx context.Context) {
	s.dropOld()
	for _, identifier := range slices.Sorted(maps.Keys(s.queue.due())) {
		id, ok := s.hosts.hostID(identifier)
		for ok && ctx.Err() == nil && len(s.queue.next(identifier, 1)) > 0 {
			ok = s.post(ctx, identifier, id, s.lane(identifier))
		}
	}
}

// post posts the oldest verdicts about one host, and says whether the server took or refused
// each of them: those leave the queue. It sets when the next ones may follow.
func (s *checkSender) post(ctx context.Context, identifier, id string, l *reportLane) bool {
	batch := s.queue.next(identifier, maxReportsPerPost)
	a := reportAttempt{api: s.api, ctx: ctx, host: id}
	err := a.halves(batch)
	if len(a.taken) > 0 {
		s.queue.done(a.taken)
		s.dropSay.over("the server takes verdicts of checks again after some were dropped")
		for _, w := range a.taken {
			if say := s.says[w.Check]; say != nil {
				say.over("the server takes the verdicts of the check again")
			}
		}
	}
	if ctx.Err() != nil && err != nil {
		return false // we ended it ourselves: nothing is known of the others, and they stay
	}
	// Where nothing was taken, nothing shows that the rest of the request was right.
	refusesAll := len(a.taken) == 0 && len(a.guilty) >= suspicious
	if !refusesAll {
		for _, g := range a.guilty {
			s.refuse(g)
		}
	}
	now := time.Now()
	switch {
	case err == nil && !refusesAll:
		l.retry.reset()
		l.refused.reset()
		l.say.over("the server takes verdicts of checks again")
		if len(batch) == maxReportsPerPost {
			l.notBefore = now.Add(reportPause)
		}
		return true
	case refusesAll:
		l.say.say(slog.LevelError, "all", "the server refuses every verdict of a check: they are kept, and it will be tried again now and then", "error", a.guilty[0].err)
		l.notBefore = now.Add(l.refused.next(s.random))
	case client.RetryAfter(err) > 0:
		ask := min(client.RetryAfter(err), mostRetryAfter)
		l.say.say(slog.LevelWarn, "later", "the server asks to post later: verdicts of checks are kept", "after", ask, "error", err)
		// Everybody was told the same: not all at the same moment, and never before.
		l.notBefore = now.Add(ask + time.Duration(s.random()*float64(ask/10)))
	case errors.Is(err, saba.ErrUnauthorized) || errors.Is(err, saba.ErrForbidden) || errors.Is(err, saba.ErrNotFound):
		l.say.say(slog.LevelError, "person", "the server refuses verdicts of checks, but not for what they are: they are kept, and it will be tried again now and then", "error", err)
		l.notBefore = now.Add(l.refused.next(s.random))
	default:
		n, _ := s.queue.count()
		l.say.say(slog.LevelWarn, "fails", "verdicts of checks could not be posted: they are kept and posted later", "waiting", n, "error", err)
		l.notBefore = now.Add(l.retry.next(s.random))
	}
	return false
}

// refuse drops a verdict that the server does not take, with a line in the log.
func (s *checkSender) refuse(g reportRefusal) {
	s.queue.giveUp([]queuedVerdict{g.queuedVerdict})
	if s.says[g.Check] == nil {
		s.says[g.Check] = &announcer{log: s.log.With("check", g.Check)}
	}
	s.says[g.Check].say(slog.LevelError, g.err.Error(), "the server refuses a verdict of the check, which was dropped", "status", g.Status, "time", g.At, "error", g.err)
}

// A reportAttempt is one effort to post verdicts about a host, in as many requests as the
// server needs to take what it can.
type reportAttempt struct {
	api     checkAPI
	ctx     context.Context
	host    string
	retried bool // the one repetition after a network error was used
	taken   []queuedVerdict
	guilty  []reportRefusal
}

// A reportRefusal is a verdict that the server does not take, alone as it may be.
type reportRefusal struct {
	queuedVerdict
	err error
}

// halves posts verdicts. When the server refuses them for what they are, halves are tried, the
// older one first, since a check's verdicts are to arrive in their order; a bad one costs only
// itself. After an error, what is neither taken nor guilty is to be sent again: a verdict that
// arrives twice is one.
func (a *reportAttempt) halves(ws []queuedVerdict) error {
	err := a.post(ws)
	if err == nil {
		a.taken = append(a.taken, ws...)
		return nil
	}
	if refused, _ := refusedFor(err); !refused || a.ctx.Err() != nil {
		return err
	}
	if len(ws) == 1 {
		a.guilty = append(a.guilty, reportRefusal{ws[0], err})
		return nil
	}
	middle := len(ws) / 2
	if err := a.halves(ws[:middle]); err != nil {
		return err
	}
	return a.halves(ws[middle:])
}

// post is one request, and a second one at once if the first met a network error: a kept
// connection that has died is found out only by using it.
func (a *reportAttempt) post(ws []queuedVerdict) error {
	reports := make([]saba.CheckReport, len(ws))
	for i, w := range ws {
		reports[i] = saba.CheckReport{Host: a.host, Name: w.Check, Status: w.Status, Message: w.Message,
			OccurredAt: w.At, NotificationInterval: w.Notify, MaxCheckAttempts: w.Attempts}
	}
	err := a.api.ReportChecks(a.ctx, reports)
	if _, network := errors.AsType[*client.NetworkError](err); network && !a.retried && a.ctx.Err() == nil {
		a.retried = true
		err = a.api.ReportChecks(a.ctx, reports)
	}
	return err
}
