// Package server is the one place that knows all parts of the server: it opens the data
// folder and the engines in it, hands them to the API and the console, and serves both on
// one address until it is told to stop. Start with Open.
//
// The data folder holds saba.db (everything but samples, SQLite), samples/ (prometheus/tsdb),
// picture.key and lock, which the running process holds. What saba.db holds may be in a PostgreSQL database instead.
// A folder that is in use, cannot be written or is damaged is refused in one sentence, and
// nothing in it is changed.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/absent"
	"github.com/saba-monitor/saba/internal/api"
	"github.com/saba-monitor/saba/internal/auth"
	"github.com/saba-monitor/saba/internal/body"
	"github.com/saba-monitor/saba/internal/dial"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/monitor"
	"github.com/saba-monitor/saba/internal/notify"
	"github.com/saba-monitor/saba/internal/picture"
	"github.com/saba-monitor/saba/internal/promapi"
	"github.com/saba-monitor/saba/internal/replay"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/syslog"
	"github.com/saba-monitor/saba/internal/tsdb"
	"github.com/saba-monitor/saba/internal/web"
)

// DefaultListen is the address that saba serves on unless told otherwise: 3-8 reads "sa-ba".
const DefaultListen = "127.0.0.1:3838"

// stopTimeout bounds how long requests under way may take after the server was told to stop.
const stopTimeout = 10 * time.Second

// Options say where a server keeps its data and where it listens.
type Options struct {
	Listen string // host:port; port 0 takes a free one
	Data   string // the data folder, made when it is missing
	// Database is the URL of the PostgreSQL database that keeps everything but samples; "" for a file in the data folder.
	Database string
	// MaxBytes bounds what samples take on disk; the oldest go first. 0 for no limit.
	MaxBytes int64
	// Allowed are addresses that external monitors and channels may reach besides public ones.
	Allowed []netip.Prefix
	// URL is the address of the console as people reach it, for links in messages; "" derives it from Listen.
	URL string
	// RetireSilent is after how much silence the host of a container is retired: absent.MinAfter or more; 0 is never.
	RetireSilent time.Duration
	Mail         Mail   // how e-mail is sent
	Syslog       Syslog // where log lines come in by syslog
	APIKey       string // a read/write key that must exist; "" makes one at the first start
	Log          *slog.Logger
	Now          func() time.Time
	Random       io.Reader // for keys and tokens: crypto/rand.Reader outside of tests
	// KeepHeap keeps the process' heap small until ctx ends; nil leaves it as it is.
	KeepHeap func(ctx context.Context)
}

// Mail says how e-mail is sent; see notify.Mail.
type Mail = notify.Mail

// Syslog says where log lines come in by syslog; see syslog.Settings.
type Syslog = syslog.Settings

// A Server is open: it holds the data folder and the address. Run serves; Close gives both back.
type Server struct {
	// SetupToken opens the set-up page, once, while the console has no account; "" when it has one.
	SetupToken string
	// NewKey is the API key that this first start made; "" on later ones, or when Options.APIKey gave one.
	NewKey string
	// Database names the PostgreSQL database, without user and password; "" when there is none.
	Database string

	opts     Options
	listener net.Listener
	records  *sqldb.DB
	samples  *tsdb.DB
	org      saba.Org
	pictures *picture.Maker
	handler  http.Handler
	control  *control
	notifier *notify.Notifier
	drains   *drain.Drains
	monitors *monitor.Evaluator
	lines    *syslog.Listeners // nil when nothing comes in by syslog
	syslog   *syslog.Server    // of lines
	closers  []func() error    // in order of opening
}

// Open takes the address and the data folder, opens the engines and prepares what a first
// start needs. The errors are sentences for the person who started saba.
func Open(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{opts: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// The address first: if it is taken, the data folder is not even touched.
	if s.listener, err = listen(ctx, o.Listen); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { return ignoreClosed(s.listener.Close()) })
	if o.Syslog != (Syslog{}) {
		if s.lines, err = syslog.Listen(ctx, o.Syslog); err != nil {
			return nil, err
		}
		s.closers = append(s.closers, s.lines.Close)
	}
	unlock, err := lockFolder(o.Data)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, unlock)

	// All of the folder is looked at before any of it is opened: to open one engine changes its
	// files, and the other one may still refuse.
	database, err := databaseOf(o.Data, o.Database)
	if err != nil {
		return nil, err
	}
	if o.Database != "" {
		if err := awaitDatabase(ctx, database, databasePatience, o.Log); err != nil {
			return nil, err
		}
	}
	samples := filepath.Join(o.Data, samplesName)
	if err := lookAt(ctx, database, samples); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.samples, err = tsdb.Open(ctx, tsdb.Options{Dir: samples, MaxBytes: o.MaxBytes, Log: o.Log, Registerer: registry, Now: o.Now})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.samples.Close)
	if s.records, err = sqldb.Open(ctx, database); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.records.Close)
	if o.Database != "" {
		s.Database = sqldb.Name(database)
		// A restore that was killed after its last step may have left its folder.
		if err := errors.Join(noteDatabase(o.Data, database), os.RemoveAll(filepath.Join(o.Data, restoreFolder))); err != nil {
			return nil, err
		}
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if s.control, err = openControl(s); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.control.close)
	if err := s.openPictures(); err != nil {
		return nil, err
	}
	s.notifier = notify.New(notify.Options{
		Org: s.org.ID, Store: s.records, Client: dial.Dialer{Allowed: o.Allowed}.Client(dial.Options{Timeout: notify.SendTimeout}),
		Mail: o.Mail, Pictures: s.pictures, URL: s.url(), Zone: time.Local, Now: o.Now, Random: o.Random, Log: o.Log,
	})
	s.monitors = monitor.New(monitor.Options{
		Org: s.org.ID, Store: s.records, Samples: s.samples, Queries: promapi.NewQueries(s.records, s.samples),
		Dial: dial.Dialer{Allowed: o.Allowed, Now: o.Now}, Zone: time.Local,
		Now: o.Now, Random: o.Random, Log: o.Log,
	})
	s.handler = s.routes(registry)
	if s.lines != nil {
		s.syslog = syslog.New(syslog.Options{
			Listeners: s.lines, Org: s.org.ID, Drains: s.drains, Store: s.records, Zone: time.Local, Now: o.Now, Log: o.Log, Registerer: registry,
		})
	}
	return s, nil
}

// lookAt returns an error if the database is damaged, or if there are samples and none that knows
// whose they are. It changes nothing. The samples inspect themselves when they are opened.
func lookAt(ctx context.Context, database, samples string) error {
	filled, err := sqldb.Check(ctx, database)
	if err != nil {
		return err
	}
	held, err := tsdb.Holds(samples)
	if err != nil {
		return err
	}
	if held && !filled {
		return fmt.Errorf("the database %s is missing or empty while %s holds samples: nothing was changed; restore the database from a backup, or move %s away as well to begin anew", sqldb.Name(database), samples, samples)
	}
	return nil
}

// listen listens on addr; the errors say what to do.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is in use by another program: stop that one, or choose another address with --listen", addr)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("address %s may not be used by this user: choose a port above 1023 with --listen", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("address %s is none of this machine's: choose one of its own with --listen, or 0.0.0.0 for all of them", addr)
	case err != nil:
		return nil, fmt.Errorf("address %s cannot be listened on (--listen takes host:port): %w", addr, err)
	}
	return l, nil
}

// prepare makes what a data folder must have: an organization, a key, a way to the first account.
func (s *Server) prepare(ctx context.Context) error {
	now := s.opts.Now()
	id, err := saba.NewID(now, s.opts.Random)
	if err != nil {
		return err
	}
	if s.org, err = s.records.EnsureOrg(ctx, saba.Org{ID: id, Name: "saba"}); err != nil {
		return fmt.Errorf("prepare the organization: %w", err)
	}
	users, err := s.records.Users(ctx, s.org.ID)
	if err != nil {
		return fmt.Errorf("look for accounts: %w", err)
	}
	if len(users) == 0 {
		if s.SetupToken, err = saba.NewSecret(s.opts.Random); err != nil {
			return err
		}
		if err := s.records.SetSetupToken(ctx, s.org.ID, saba.HashSecret(s.SetupToken)); err != nil {
			return fmt.Errorf("prepare the set-up link: %w", err)
		}
	}
	if s.opts.APIKey != "" {
		if err := validKey(s.opts.APIKey); err != nil {
			return err
		}
		return s.EnsureKey(ctx, "SABA_API_KEY", s.opts.APIKey)
	}
	keys, err := s.records.Keys(ctx, s.org.ID)
	if err != nil {
		return fmt.Errorf("look for API keys: %w", err)
	}
	if len(keys) > 0 || len(users) > 0 {
		return nil
	}
	if s.NewKey, err = saba.NewSecret(s.opts.Random); err != nil {
		return err
	}
	return s.EnsureKey(ctx, "first key", s.NewKey)
}

// validKey refuses what cannot travel in a header or guards nothing.
func validKey(key string) error {
	if len(key) < 4 || len(key) > 256 {
		return saba.Errorf(saba.ErrInvalid, "SABA_API_KEY has %d characters: give 4 to 256, better 40 random ones", len(key))
	}
	for _, c := range key {
		if c <= ' ' || c > '~' {
			return saba.Errorf(saba.ErrInvalid, "SABA_API_KEY holds a blank or a character outside ASCII: use letters, digits and punctuation")
		}
	}
	return nil
}

// EnsureKey makes secret a valid read/write key called name, unless it is a valid key already.
func (s *Server) EnsureKey(ctx context.Context, name, secret string) error {
	hash := saba.HashSecret(secret)
	if _, err := s.records.KeyByHash(ctx, hash); !errors.Is(err, saba.ErrNotFound) {
		if err != nil {
			return fmt.Errorf("look up the API key %q: %w", name, err)
		}
		return nil
	}
	now := s.opts.Now()
	id, err := saba.NewID(now, s.opts.Random)
	if err != nil {
		return err
	}
	key := saba.Key{ID: id, Org: s.org.ID, Name: name, Hash: hash, Read: true, Write: true, CreatedAt: now.Unix()}
	if err := s.records.CreateKey(ctx, key); err != nil {
		return fmt.Errorf("make the API key %q: %w", name, err)
	}
	return nil
}

// openPictures prepares the pictures of graphs that messages show.
func (s *Server) openPictures() error {
	o := s.opts
	key, err := loadPictureKey(o.Data, o.Random, o.Log)
	if err != nil {
		return err
	}
	s.pictures, err = picture.New(picture.Options{Org: s.org.ID, Address: s.url(), Store: s.records, Samples: s.samples, Computed: s.computed, Key: key, Zone: time.Local, Now: o.Now, Log: o.Log})
	return err
}

// past returns what monitors judge by, for whoever looks back.
func (s *Server) past(org string) monitor.Past {
	return monitor.Past{Org: org, Records: s.records, History: s.samples, Queries: promapi.NewQueries(s.records, s.samples), Zone: time.Local}
}

// computed returns what a monitor judges that computes its values.
func (s *Server) computed(ctx context.Context, org string, m saba.Monitor, host string, series saba.AlertSeries, from, to int64) ([]monitor.Line, saba.Unit, error) {
	return s.past(org).Computed(ctx, m, host, series, from, to)
}

// routes hands the engines to the API and the console and puts both on one handler.
func (s *Server) routes(registry *prometheus.Registry) http.Handler {
	o := s.opts
	writer := ingest.New(ingest.Options{Hosts: s.records, Samples: s.samples, Log: o.Log, Registerer: registry, Now: o.Now})
	s.drains = drain.New(drain.Options{Org: s.org.ID, Store: s.records, Points: writer, Samples: s.samples, Now: o.Now, Log: o.Log})
	replayer := replay.New(replay.Options{Store: s.records, History: s.samples, Queries: promapi.NewQueries(s.records, s.samples), Zone: time.Local, Now: o.Now})
	bodies := body.NewRoom(body.Wait)
	calls := api.New(api.Options{
		Store: s.records, Ingest: writer, Samples: s.samples, Notifier: s.notifier, Drains: s.drains, Bodies: bodies,
		Now: o.Now, Random: o.Random, Log: o.Log, Registerer: registry, CheckQuery: promapi.CheckQuery, Replay: replayer.Replay,
	})
	prom := promapi.New(promapi.Options{
		Store: s.records, Samples: s.samples, Ingest: ingest.NewLabelled(writer, s.samples, ingest.DefaultMaxSeries), Bodies: bodies,
		Now: o.Now, Log: o.Log,
	})
	metricsIn, logsIn := s.drains.Metrics(prom), s.drains.Logs(s.records)
	metrics := metricsHandler(registry, auth.Door{Keys: s.records, Now: o.Now, Log: o.Log})
	console := web.New(web.Options{
		Store: s.records, Samples: s.samples, Notifier: s.notifier, Drains: s.drains, BaseURL: o.URL,
		Now: o.Now, Random: o.Random, Log: o.Log, Version: saba.Version, Troubles: s.troubles, CheckQuery: promapi.CheckQuery, Replay: replayer.Replay,
		Computed: s.computed, Learned: s.monitors.Learned,
	})
	// Not a ServeMux: it would answer a path like /api/v0//hosts with a redirect, on which some
	// clients of the API lose their body.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == drain.MetricsPath:
			metricsIn.ServeHTTP(w, r)
		case r.URL.Path == drain.LogsPath:
			logsIn.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/api/prom/"):
			prom.ServeHTTP(w, r)
		case r.URL.Path == "/api" || strings.HasPrefix(strings.TrimLeft(r.URL.Path, "/"), "api/"): // "//api/v0" is a base address with a slash too many
			calls.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, drain.Prefix):
			s.drains.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, picture.Prefix):
			s.pictures.ServeHTTP(w, r)
		case r.URL.Path == "/metrics":
			metrics.ServeHTTP(w, r)
		default:
			console.ServeHTTP(w, r)
		}
	})
}

// url returns the address of the console for links in messages. One that listens on every address of its machine has no name that anybody else
// could use: it has to be told with Options.URL.
func (s *Server) url() string {
	if s.opts.URL != "" {
		return strings.TrimRight(s.opts.URL, "/")
	}
	host, port, err := net.SplitHostPort(s.Addr().String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		return ""
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Addr returns the address that the server listens on, with the port that it got.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// SyslogAddrs returns the addresses that syslog is taken in on, with the ports that they got, by way: "tcp", "tls", "udp".
func (s *Server) SyslogAddrs() map[string]net.Addr {
	if s.lines == nil {
		return nil
	}
	return s.lines.Addrs()
}

// Run serves until ctx ends or a part fails, lets requests under way finish, and closes the
// server. When it returns, nothing it started still runs.
func (s *Server) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second, // a body of some MiB over a slow line
		WriteTimeout:      90 * time.Second,
		IdleTimeout:       3 * time.Minute, // longer than an agent's minute, so that its connection lives on
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve on %s: %w", s.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := srv.Shutdown(stop); err != nil {
			s.opts.Log.Warn("requests under way were cut off at the stop", "after", stopTimeout)
			return ignoreClosed(srv.Close())
		}
		return nil
	})
	g.Go(func() error {
		s.tidy(gctx)
		return nil
	})
	g.Go(func() error {
		definitions := ingest.Definitions{Store: s.records, Samples: s.samples, Org: s.org.ID, Log: s.opts.Log, Now: s.opts.Now}
		definitions.Run(gctx)
		return nil
	})
	g.Go(func() error {
		s.monitors.Run(gctx)
		return nil
	})
	g.Go(func() error {
		s.notifier.Run(gctx)
		return nil
	})
	g.Go(func() error {
		s.drains.Run(gctx)
		return nil
	})
	if s.opts.RetireSilent > 0 {
		g.Go(func() error {
			absent.New(absent.Options{Org: s.org.ID, Store: s.records, Samples: s.samples, After: s.opts.RetireSilent, Now: s.opts.Now, Log: s.opts.Log}).Run(gctx)
			return nil
		})
	}
	if s.syslog != nil {
		g.Go(func() error { return s.syslog.Run(gctx) })
	}
	if s.opts.KeepHeap != nil {
		g.Go(func() error {
			s.opts.KeepHeap(gctx)
			return nil
		})
	}
	g.Go(func() error { return s.control.serve(gctx) })
	return errors.Join(g.Wait(), s.Close())
}

// tidy forgets what has expired, once an hour, until ctx ends.
func (s *Server) tidy(ctx context.Context) {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		if err := s.records.DeleteExpiredSessions(ctx, s.opts.Now().Unix()); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("expired sessions could not be deleted; they stay useless", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Close gives back what Open took. It may be called more than once.
func (s *Server) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
