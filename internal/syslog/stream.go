package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/logline"
)

// Limits of connections.
const (
	maxConnections  = 500              // over TCP, and as many over TLS
	handshakeWithin = 10 * time.Second // of TLS
	messageWithin   = time.Minute      // for a message that has begun to become whole
	// A connection that has brought something for a drain may rest for as long as senders with little to say do. One that has not is a stranger: it may less
	// long, and is the first to go when there are too many.
	idle         = time.Hour
	strangerIdle = 5 * time.Minute
	lastRead     = 200 * time.Millisecond // at the stop, for what has arrived and was not read yet
)

// Limits of what is kept at once.
const (
	gather     = time.Second // from the first message to keeping it
	batchLines = 1000
	batchBytes = 256 << 10
)

// accept serves connections until ctx ends, and returns when all of them are done.
func (s *Server) accept(ctx, keeping context.Context, l net.Listener, way string, config *tls.Config) error {
	open := s.connections.WithLabelValues(way)
	room := room{}
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if conn != nil {
				_ = conn.Close() // nothing was read of it
			}
			return ctx.Err()
		case err != nil:
			var passing net.Error
			if !errors.As(err, &passing) {
				return err
			}
			// Too many open files, as a rule: others go on, and some will end.
			s.Log.Warn("a syslog connection could not be accepted", "way", way, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		c := &connection{server: s, way: way, conn: conn, opened: time.Now()}
		if config != nil {
			secure := tls.Server(conn, config)
			c.conn, c.handshake = secure, secure.HandshakeContext
		}
		if crowded, entered := room.enter(c); crowded {
			s.refuse(way, "too many connections")
			if n, say := s.crowded.Count(s.Now()); say {
				s.Log.Warn("syslog connections were closed, since there are too many", "way", way, "most", maxConnections, "from", conn.RemoteAddr(), "connections", n)
			}
			if !entered {
				_ = conn.Close() // nothing was read of it
				continue
			}
		}
		all.Go(func() {
			defer room.leave(c)
			open.Inc()
			defer open.Dec()
			c.serve(ctx, keeping)
		})
	}
}

// A room holds the connections of a listener.
type room struct {
	mu  sync.Mutex
	all map[*connection]struct{}
}

// enter lets a connection in. When there is no place, crowded is true, and the stranger that has been there for longest has to go; if there is none, the
// connection is not let in.
func (r *room) enter(c *connection) (crowded, entered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[*connection]struct{}{}
	}
	if len(r.all) >= maxConnections {
		crowded = true
		var oldest *connection
		for o := range r.all {
			if !o.known.Load() && (oldest == nil || o.opened.Before(oldest.opened)) {
				oldest = o
			}
		}
		if oldest == nil {
			return crowded, false
		}
		delete(r.all, oldest)
		_ = oldest.conn.Close() // ends its reading, and with it the connection
	}
	r.all[c] = struct{}{}
	return crowded, true
}

func (r *room) leave(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, c)
}

// A connection is one sender by TCP or TLS.
type connection struct {
	server    *Server
	way       string
	conn      net.Conn
	handshake func(context.Context) error // nil without TLS

	opened time.Time
	split  splitter
	batch  batch
	known  atomic.Bool // something of it was for a drain
	read   time.Time   // when something came last
	begun  time.Time   // when the message under way began to come
}

// serve takes in what the sender sends, until it ends, is idle for too long, or ctx ends. What was read is kept.
func (c *connection) serve(ctx, keeping context.Context) {
	defer func() { _ = c.conn.Close() }() // nobody is told of what fails there
	if c.handshake != nil {
		within, cancel := context.WithTimeout(ctx, handshakeWithin)
		err := c.handshake(within)
		cancel()
		if err != nil {
			c.server.refuse(c.way, "no TLS")
			c.server.Log.Debug("a syslog connection did not come to TLS", "from", c.conn.RemoteAddr(), "error", err)
			return
		}
	}
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Now().Add(lastRead)) })()
	c.read = time.Now()
	for {
		deadline := c.deadline()
		err := c.conn.SetReadDeadline(deadline)
		if ctx.Err() != nil { // the deadline of the stop may just have been replaced
			deadline = time.Now().Add(lastRead)
			err = c.conn.SetReadDeadline(deadline)
		}
		n := 0
		if err == nil {
			n, err = c.conn.Read(c.split.room())
		}
		now := time.Now()
		if n > 0 {
			c.read = now
			if !c.split.partial() {
				c.begun = now
			}
			c.split.filled(n)
			if c.cut(keeping, false) {
				c.begun = now
			}
		}
		passed := errors.Is(err, os.ErrDeadlineExceeded)
		over := err != nil && (!passed || ctx.Err() != nil) || c.tooLate(now)
		if over {
			c.cut(keeping, true)
		}
		if over || c.batch.due(now) {
			c.keep(keeping)
		}
		if over {
			return
		}
	}
}

// deadline returns until when to read before something else is to be done.
func (c *connection) deadline() time.Time {
	at := c.read.Add(c.mayRest())
	if late := c.begun.Add(messageWithin); c.split.partial() && late.Before(at) {
		at = late
	}
	if due := c.batch.since.Add(gather); !c.batch.empty() && due.Before(at) {
		at = due
	}
	return at
}

// tooLate says whether the sender has let us wait for too long.
func (c *connection) tooLate(now time.Time) bool {
	if c.split.partial() && now.Sub(c.begun) >= messageWithin {
		return true
	}
	return now.Sub(c.read) >= c.mayRest()
}

// mayRest returns for how long nothing need come.
func (c *connection) mayRest() time.Duration {
	if c.known.Load() {
		return idle
	}
	return strangerIdle
}

// cut puts the messages that are whole into the batch, and keeps it as often as it is full. any says whether there were some.
func (c *connection) cut(keeping context.Context, atEnd bool) (any bool) {
	for {
		message, refused, ok := c.split.next(atEnd)
		if !ok {
			return any
		}
		any = true
		c.server.messages.WithLabelValues(c.way).Inc()
		if refused != "" {
			c.server.refuse(c.way, string(refused))
			c.batch.refuse(refused, message)
		} else if !c.batch.add(message, c.server.Now(), c.server.Zone) {
			c.server.refuse(c.way, string(logline.BadHeader))
		}
		if c.batch.full() {
			c.keep(keeping)
		}
	}
}

// keep keeps the batch.
func (c *connection) keep(ctx context.Context) {
	if c.server.keep(ctx, c.way, c.conn.RemoteAddr(), &c.batch) {
		c.known.Store(true)
	}
}

// Between two tries to keep a batch.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

// keep hands the lots of a batch to their drains, and empties it. It returns when all of it is kept, or belongs to no drain, or ctx has ended: a server that
// cannot keep anything now is tried again, while the sender waits. known says whether some of it was for a drain.
func (s *Server) keep(ctx context.Context, way string, from net.Addr, b *batch) (known bool) {
	for bearer, lot := range b.lots {
		for pause := firstPause; ; pause = min(2*pause, mostPause) {
			reason, err := s.take(ctx, bearer, *lot)
			if err == nil {
				known = known || reason == ""
				if reason != "" {
					s.refuseLot(way, reason, from, lot)
				}
				break
			}
			if n, say := s.unkept.Count(s.Now()); say {
				s.Log.Error("syslog messages cannot be kept; they are tried again, and senders wait meanwhile", "way", way, "tries", n, "error", err)
			}
			select {
			case <-ctx.Done():
				s.refuseLot(way, "lost at the stop", from, lot)
				s.Log.Error("syslog messages were lost at the stop, since they could not be kept", "way", way, "messages", len(lot.Lines), "error", err)
			case <-time.After(pause):
				continue
			}
			break
		}
	}
	b.clear()
	return known
}

// take hands a lot to the drain that a bearer opens. reason says why it belongs to none. An error means that it may be tried again.
func (s *Server) take(ctx context.Context, bearer string, lot drain.Lot) (reason string, err error) {
	org, d, reason, err := s.drainOf(ctx, bearer)
	if err != nil || reason != "" {
		return reason, err
	}
	if err := s.Drains.Take(ctx, org, d, lot); gone(err) { // deleted since
		return unknownToken, nil
	} else if err != nil {
		return "", err
	}
	return "", nil
}
