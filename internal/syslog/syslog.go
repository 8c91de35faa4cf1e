// Package syslog takes log lines in by syslog: over TCP and TLS (RFC 6587, RFC 5425), with messages that are counted in octets or end with a newline, and
// over UDP (RFC 5426). It hands them to the drain whose token a message bears, or to the one that the listeners are set to. It is off unless an address is given.
//
// Syslog has no answers. What was read is kept before more is read: while the server cannot keep anything, senders by TCP wait, and those by UDP lose
// what does not fit into memory. A sender that hangs, is slow or sends rubbish costs itself alone. Start with Listen, then stream.go.
package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/hush"
)

// Settings say where to listen. The zero Settings listen nowhere.
type Settings struct {
	TCP, TLS, UDP string // host:port each, port 0 takes a free one; "" for off
	Cert, Key     string // files in PEM, of TLS: the chain of certificates and its private key. They are read again when they change
	Drain         string // id of the drain of messages that bear no token; "" drops them
}

// Check refuses what does not fit together. The error matches saba.ErrInvalid.
func (s Settings) Check() error {
	for _, a := range []struct{ flag, addr string }{{"--syslog-tcp", s.TCP}, {"--syslog-tls", s.TLS}, {"--syslog-udp", s.UDP}} {
		if a.addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return saba.Errorf(saba.ErrInvalid, "%s takes host:port, such as 0.0.0.0:6514, not %q", a.flag, a.addr)
		}
	}
	switch {
	case s.TLS != "" && (s.Cert == "" || s.Key == ""):
		return saba.Errorf(saba.ErrInvalid, "--syslog-tls needs a certificate: name its file with --syslog-tls-cert, and that of its key with --syslog-tls-key")
	case s.TLS == "" && (s.Cert != "" || s.Key != ""):
		return saba.Errorf(saba.ErrInvalid, "--syslog-tls-cert and --syslog-tls-key are of --syslog-tls, which is not set")
	case s.Drain != "" && s.TCP == "" && s.TLS == "" && s.UDP == "":
		return saba.Errorf(saba.ErrInvalid, "--syslog-drain is of syslog's listeners, of which none is set: --syslog-tcp, --syslog-tls or --syslog-udp")
	}
	return nil
}

// The ways in, as they stand in metrics and logs.
const (
	wayTCP = "tcp"
	wayTLS = "tls"
	wayUDP = "udp"
)

// Listeners are open, and nobody serves them yet.
type Listeners struct {
	settings Settings
	tcp, tls net.Listener // nil for off
	udp      net.PacketConn
	pair     *keyPair // of tls
}

// Listen opens what the settings name. The errors are sentences for the person who started saba.
func Listen(ctx context.Context, settings Settings) (_ *Listeners, err error) {
	if err := settings.Check(); err != nil {
		return nil, err
	}
	l := &Listeners{settings: settings}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if settings.TLS != "" {
		l.pair = &keyPair{cert: settings.Cert, key: settings.Key}
		if err := l.pair.load(); err != nil {
			return nil, saba.Errorf(saba.ErrInvalid, "the certificate of --syslog-tls cannot be used: %v", err)
		}
	}
	var listen net.ListenConfig
	if settings.TCP != "" {
		if l.tcp, err = listen.Listen(ctx, "tcp", settings.TCP); err != nil {
			return nil, refused("--syslog-tcp", settings.TCP, err)
		}
	}
	if settings.TLS != "" {
		if l.tls, err = listen.Listen(ctx, "tcp", settings.TLS); err != nil {
			return nil, refused("--syslog-tls", settings.TLS, err)
		}
	}
	if settings.UDP != "" {
		if l.udp, err = listen.ListenPacket(ctx, "udp", settings.UDP); err != nil {
			return nil, refused("--syslog-udp", settings.UDP, err)
		}
		if c, ok := l.udp.(*net.UDPConn); ok {
			_ = c.SetReadBuffer(socketBuffer) // as much of it as the system grants
		}
	}
	return l, nil
}

// refused says why an address cannot be listened on, and what to do.
func refused(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("address %s is in use by another program: stop that one, or choose another address with %s", addr, flag)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("address %s may not be used by this user: choose a port above 1023 with %s", addr, flag)
	}
	return fmt.Errorf("address %s cannot be listened on (%s takes host:port): %w", addr, flag, err)
}

// Addrs returns where it is listened, by way in: "tcp", "tls", "udp".
func (l *Listeners) Addrs() map[string]net.Addr {
	all := map[string]net.Addr{}
	if l.tcp != nil {
		all[wayTCP] = l.tcp.Addr()
	}
	if l.tls != nil {
		all[wayTLS] = l.tls.Addr()
	}
	if l.udp != nil {
		all[wayUDP] = l.udp.LocalAddr()
	}
	return all
}

// Close gives the addresses back. It may be called more than once.
func (l *Listeners) Close() error {
	var errs []error
	for _, c := range []interface{ Close() error }{l.tcp, l.tls, l.udp} {
		if err := closed(c); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func closed(c interface{ Close() error }) error {
	if c == nil {
		return nil
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Drains is what takes lines, and keeps them before it returns: drain.Drains.
type Drains interface {
	Take(ctx context.Context, org string, d saba.Drain, lot drain.Lot) error
}

// Store is what package syslog asks of the database. A missing drain is an error matching saba.ErrNotFound.
type Store interface {
	Drain(ctx context.Context, org, id string) (saba.Drain, error)
	DrainByHash(ctx context.Context, hash string) (org string, d saba.Drain, err error)
}

// Options are the parts of a Server. All are needed.
type Options struct {
	Listeners  *Listeners
	Org        string // whose drain Settings.Drain is
	Drains     Drains
	Store      Store
	Zone       *time.Location // of stamps without one
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// A Server takes in what comes to its listeners.
type Server struct {
	Options
	unknown hush.Hush // of messages that belong to no drain
	unkept  hush.Hush // of drains that cannot keep anything
	crowded hush.Hush // of connections above the limit
	lossy   hush.Hush // of datagrams without a place

	messages, refusals *prometheus.CounterVec
	connections        *prometheus.GaugeVec
}

// New returns a Server.
func New(o Options) *Server {
	s := &Server{
		Options: o,
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saba_syslog_messages_total", Help: "Syslog messages that came in, by way: tcp, tls, udp.",
		}, []string{"way"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saba_syslog_refused_total", Help: "Syslog messages, and connections, of which nothing became, by way and reason.",
		}, []string{"way", "reason"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "saba_syslog_connections", Help: "Syslog connections that are open, by way.",
		}, []string{"way"}),
	}
	o.Registerer.MustRegister(s.messages, s.refusals, s.connections)
	return s
}

// stopWithin bounds how long Run tries to keep what was read when it is told to stop.
const stopWithin = 5 * time.Second

// Run serves until ctx ends or a listener fails. What was read by then is kept. When it returns, nothing it started still runs, and the listeners are closed.
func (s *Server) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// Keeping goes on for a while after ctx has ended.
	keeping, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		t := time.AfterFunc(stopWithin, cancel)
		context.AfterFunc(keeping, func() { t.Stop() })
	})()
	if id := s.Listeners.settings.Drain; id != "" {
		if _, err := s.Store.Drain(ctx, s.Org, id); errors.Is(err, saba.ErrNotFound) {
			// Not an error: everything else goes on, and the drain may come from a restored backup.
			s.Log.Warn("--syslog-drain names a drain that does not exist: messages without a token are dropped until it does", "drain", id)
		}
	}
	l := s.Listeners
	var all sync.WaitGroup
	serve := func(way string, f func() error) {
		all.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				stop(fmt.Errorf("take syslog in over %s: %w", way, err))
			}
		})
	}
	if l.tcp != nil {
		serve(wayTCP, func() error { return s.accept(ctx, keeping, l.tcp, wayTCP, nil) })
	}
	if l.tls != nil {
		l.pair.log, l.pair.now = s.Log, s.Now
		config := &tls.Config{GetCertificate: l.pair.get, MinVersion: tls.VersionTLS12}
		serve(wayTLS, func() error { return s.accept(ctx, keeping, l.tls, wayTLS, config) })
	}
	if l.udp != nil {
		serve(wayUDP, func() error { return s.datagrams(ctx, keeping, l.udp) })
	}
	<-ctx.Done()
	var failure error
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		failure = cause
	}
	for _, listener := range []net.Listener{l.tcp, l.tls} {
		if listener != nil {
			failure = errors.Join(failure, closed(listener))
		}
	}
	all.Wait()
	return errors.Join(failure, l.Close())
}
