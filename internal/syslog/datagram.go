package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/saba-monitor/saba/internal/logline"
)

// Limits of datagrams.
const (
	socketBuffer = 4 << 20 // bytes that the system holds until they are read
	mostWaiting  = 8 << 20 // bytes of messages in memory, while what came before them is kept
	maxDatagram  = 64 << 10
)

// datagrams takes in messages by UDP, one a datagram, until ctx ends. One goroutine reads and nothing else, so that as little as can be is lost.
func (s *Server) datagrams(ctx, keeping context.Context, conn net.PacketConn) error {
	in := &inbox{wake: make(chan struct{}, 1)}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now().Add(lastRead)) })()
	read := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { s.empty(keeping, in, read) })
	defer keeper.Wait()
	defer close(read)
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read a datagram: %w", err)
		}
		s.messages.WithLabelValues(wayUDP).Inc()
		switch in.put(buf[:n], from, s) {
		case "":
		case logline.BadHeader:
			s.refuse(wayUDP, string(logline.BadHeader))
		default:
			s.refuse(wayUDP, "no room")
			if n, say := s.lossy.Count(s.Now()); say {
				s.Log.Warn("syslog messages by UDP were lost, since they came faster than they can be kept", "messages", n)
			}
		}
	}
}

// An inbox holds the datagrams that are not kept yet.
type inbox struct {
	mu    sync.Mutex
	batch batch
	from  net.Addr // of the last
	wake  chan struct{}
}

// put adds a datagram. The reason says why it was not: it is no message, or there is no room.
func (in *inbox) put(message []byte, from net.Addr, s *Server) logline.Reason {
	for len(message) > 0 && (message[len(message)-1] == '\n' || message[len(message)-1] == 0) {
		message = message[:len(message)-1]
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.batch.bytes+len(message) > mostWaiting {
		return logline.TooMany
	}
	in.batch.last = "" // the one before was somebody else's
	ok := in.batch.add(message, s.Now(), s.Zone)
	in.from = from
	if in.batch.lines == 1 || in.batch.full() {
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
	if !ok {
		return logline.BadHeader
	}
	return ""
}

// empty keeps what is in the inbox, at most gather after it came, until nothing is read any more.
func (s *Server) empty(keeping context.Context, in *inbox, read <-chan struct{}) {
	for over := false; !over; {
		select {
		case <-read:
			over = true
		case <-in.wake:
			s.gather(in, read)
		}
		in.mu.Lock()
		b, from := in.batch, in.from
		in.batch.clear()
		in.mu.Unlock()
		if !b.empty() {
			s.keep(keeping, wayUDP, from, &b)
		}
	}
}

// gather waits until the inbox is due: a batch is full, or its first message old enough.
func (s *Server) gather(in *inbox, read <-chan struct{}) {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for {
		in.mu.Lock()
		full := in.batch.full()
		in.mu.Unlock()
		if full {
			return
		}
		select {
		case <-timer.C:
			return
		case <-read:
			return
		case <-in.wake:
		}
	}
}
