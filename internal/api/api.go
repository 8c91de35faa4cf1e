// Package api serves the Mackerel-compatible HTTP API (v0) below /api/v0. It owns the wire
// format in both directions: what clients may send, what they get, and the sentence they read
// when something is wrong. It keeps nothing itself and never imports an engine; what it needs
// of one it says in Store, Samples and Ingest. routes.go is its table of contents; after it,
// read hosts.go.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/auth"
	"github.com/saba-monitor/saba/internal/body"
	"github.com/saba-monitor/saba/internal/hush"
)

// Store is what the API asks of the database. A missing record is an error matching
// saba.ErrNotFound, a taken name saba.ErrConflict, worded for a person.
type Store interface {
	auth.Keys

	Org(ctx context.Context, id string) (saba.Org, error)
	CreateHost(ctx context.Context, h saba.Host, checks []saba.CheckDeclaration, newID func() (string, error)) error
	Host(ctx context.Context, org, id string) (saba.Host, error)
	Hosts(ctx context.Context, org string, f saba.HostFilter) ([]saba.Host, error)
	HostByCustomIdentifier(ctx context.Context, org, ident string, fold bool) (saba.Host, error)
	UpdateHost(ctx context.Context, org, id string, u saba.HostUpdate, newID func() (string, error)) error
	SetHostStatus(ctx context.Context, org string, ids []string, s saba.HostStatus) error
	SetHostRoles(ctx context.Context, org, id string, roles []saba.RoleName) error
	RetireHosts(ctx context.Context, org string, ids []string, at int64) error

	Services(ctx context.Context, org string) ([]saba.Service, error)
	CreateService(ctx context.Context, org string, s saba.Service) error
	DeleteService(ctx context.Context, org, name string, at int64) (saba.Service, error)
	Roles(ctx context.Context, org, service string) ([]saba.Role, error)
	CreateRole(ctx context.Context, org, service string, r saba.Role) error
	DeleteRole(ctx context.Context, org, service, role string) (saba.Role, error)

	PutGraphDefs(ctx context.Context, org string, defs []saba.GraphDef) error
	DeleteGraphDef(ctx context.Context, org, name string) error
	SeeGraphDefs(ctx context.Context, org string, names []string, at int64) error

	ReportChecks(ctx context.Context, org string, reports []saba.CheckReport, newID func() (string, error)) error
	Checks(ctx context.Context, org, host string) ([]saba.Check, error)
	CheckList(ctx context.Context, org, fromID string, limit int) ([]saba.Check, error)
	Check(ctx context.Context, org, id string) (saba.Check, error)

	Metadata(ctx context.Context, o saba.MetadataOwner, ns string) (saba.Metadata, error)
	PutMetadata(ctx context.Context, o saba.MetadataOwner, m saba.Metadata) error
	DeleteMetadata(ctx context.Context, o saba.MetadataOwner, ns string) error
	MetadataNamespaces(ctx context.Context, o saba.MetadataOwner) ([]string, error)

	Objects
}

// Samples is what the API reads of the storage engine.
type Samples interface {
	// Range returns, for each series, its samples with from <= time <= to, one a minute, in
	// time order.
	Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error)
	// Latest returns the sample with the greatest time, from memory.
	Latest(s saba.Series) (saba.Sample, bool)
	HostNames(ctx context.Context, org, host string) ([]string, error)
	ServiceNames(ctx context.Context, org, service string) ([]string, error)
}

// Ingest is the way in for points. It may change them, and is done with them when it returns.
type Ingest interface {
	HostPoints(ctx context.Context, org string, points []saba.Point) (saba.Drops, error)
	ServicePoints(ctx context.Context, org, service string, points []saba.Point) (saba.Drops, error)
	// Refuse counts n elements of a request that were no points; example is one of them.
	Refuse(org string, n int, example string)
}

// Notifier is what tells channels.
type Notifier interface {
	// Test tells a channel that somebody tries it. The error matches saba.ErrUntold when its service did not confirm it, and saba.ErrInvalid
	// when channels of its type are never told.
	Test(ctx context.Context, c saba.Channel, user string) error
	// InviteByMail sends the link of an invitation, which ends with a token, to whom it is for. The error matches saba.ErrUnavailable where no mail is
	// sent at all, and saba.ErrUntold where this one was not; both are sentences.
	InviteByMail(ctx context.Context, i saba.Invitation, token string) error
}

// Options are the parts of the API. All but Notifier, Registerer and DefaultStatus are needed.
type Options struct {
	Store         Store
	Ingest        Ingest
	Samples       Samples
	Notifier      Notifier // nil where nobody is told of anything
	Drains        Drains
	Now           func() time.Time
	Random        io.Reader // for ids; safe for concurrent use
	Log           *slog.Logger
	Registerer    prometheus.Registerer // nil counts for nobody
	DefaultStatus saba.HostStatus       // of a host that registers; "" means working

	// Bodies is the room for the bodies of requests, which others may share; nil makes one.
	Bodies *body.Room

	// CheckQuery checks the query of a monitor; its error is a saba.FieldError. Nil lets every query pass.
	CheckQuery func(query string) error

	// Replay says what a monitor would have done in the last days.
	Replay func(ctx context.Context, org string, m saba.Monitor, days int) (saba.Replay, error)
}

type server struct {
	store         Store
	ingest        Ingest
	samples       Samples
	notifier      Notifier
	drains        Drains
	now           func() time.Time
	random        io.Reader
	log           *slog.Logger
	defaultStatus saba.HostStatus
	checkQuery    func(query string) error
	replay        func(ctx context.Context, org string, m saba.Monitor, days int) (saba.Replay, error)
	mux           *http.ServeMux
	door          auth.Door
	reuse         *reuse
	zippers       sync.Pool // of *gzip.Writer
	bodies        *body.Room
	unavailable   hush.Hush // of failures that every request meets
	requests      *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	noCulprits    prometheus.Counter
}

// New returns the handler of everything below /api/. Other paths are answered with 404.
func New(o Options) http.Handler {
	factory := promauto.With(o.Registerer)
	s := &server{
		store: o.Store, ingest: o.Ingest, samples: o.Samples, notifier: o.Notifier, drains: o.Drains,
		now: o.Now, random: o.Random, log: o.Log,
		door:          auth.Door{Keys: o.Store, Now: o.Now, Log: o.Log},
		defaultStatus: o.DefaultStatus,
		checkQuery:    o.CheckQuery,
		replay:        o.Replay,
		mux:           http.NewServeMux(),
		reuse:         newReuse(),
		zippers:       sync.Pool{New: newZipper},
		bodies:        cmp.Or(o.Bodies, body.NewRoom(body.Wait)),
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "saba_api_requests_total",
			Help: "API requests, by route and HTTP status; 499 is a client that left before its answer.",
		}, []string{"route", "status"}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "saba_api_request_duration_seconds",
			Help:    "Time from the head of an API request to its answer, by route.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
		}, []string{"route"}),
		noCulprits: factory.NewCounter(prometheus.CounterOpts{
			Name: "saba_api_culprits_refused_total",
			Help: "Metadata of the name " + saba.CulpritsNamespace + " that makes no sense, and is kept with no alert.",
		}),
	}
	if s.defaultStatus == "" {
		s.defaultStatus = saba.Working
	}
	byPath := map[string][]route{}
	for _, r := range routes() {
		byPath[r.path] = append(byPath[r.path], r)
	}
	for path, methods := range byPath {
		s.mux.Handle(prefix+path, s.serve(path, methods))
	}
	s.mux.Handle(descriptionPath, s.serve(descriptionPath, []route{{http.MethodGet, descriptionPath, saba.Anyone, 0, (*server).describe, nil, nil}}))
	s.mux.Handle("/", s.serve("", nil))
	return s
}

// prefix is where the API lives: clients discard any other path of the address they were given.
const prefix = "/api/v0"

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// http.ServeMux answers an unclean path with a redirect, on which clients lose their body.
	if path := r.URL.EscapedPath(); !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path, "/./") || strings.Contains(path, "/../") ||
		strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..") {
		s.serve("", nil).ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// statusGone is how a request is counted whose client left before its answer.
const statusGone = 499

// The kinds of failure that only an HTTP server knows.
var (
	errMethod = errors.New("method not allowed") // 405
	errPanic  = errors.New("panic")              // 500
)

// status returns the HTTP status for an error of a handler.
func status(err error) int {
	for _, kind := range []struct {
		err    error
		status int
	}{
		{saba.ErrInvalid, http.StatusBadRequest},
		{saba.ErrUnauthorized, http.StatusUnauthorized},
		{saba.ErrForbidden, http.StatusForbidden},
		{saba.ErrNotFound, http.StatusNotFound},
		{errMethod, http.StatusMethodNotAllowed},
		{body.ErrTimeout, http.StatusRequestTimeout},
		{saba.ErrConflict, http.StatusConflict},
		{saba.ErrTooLarge, http.StatusRequestEntityTooLarge},
		{body.ErrEncoding, http.StatusUnsupportedMediaType},
		{saba.ErrUntold, http.StatusBadGateway},
		{body.ErrBusy, http.StatusServiceUnavailable},
		{saba.ErrUnavailable, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, kind.err) {
			return kind.status
		}
	}
	return http.StatusInternalServerError
}

// serve is the adapter between net/http and the handlers of one path: it picks the route by
// method, checks who asks, and turns whatever goes wrong into a status, a JSON body and, if it
// is our fault, one log line.
func (s *server) serve(path string, methods []route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.now()
		rec := &recorder{ResponseWriter: w}
		label, err := s.answer(rec, r, path, methods)
		code := rec.status
		if err != nil {
			code = s.fail(rec, r, label, err)
		}
		s.requests.WithLabelValues(label, strconv.Itoa(code)).Inc()
		s.seconds.WithLabelValues(label).Observe(s.now().Sub(start).Seconds())
	})
}

// answer runs the handler for r. label names the route, also when there is none.
func (s *server) answer(w http.ResponseWriter, r *http.Request, path string, methods []route) (label string, err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v) // net/http's own way to drop a connection
		default:
			err = fmt.Errorf("%w: %v\n%s", errPanic, v, debug.Stack())
		}
	}()
	if len(methods) == 0 {
		return "none", saba.Errorf(saba.ErrNotFound, "there is no %s in this API", clip(r.URL.Path))
	}
	route, ok := pick(methods, r.Method)
	if !ok {
		allow := allowed(methods)
		w.Header().Set("Allow", allow)
		return path, saba.Errorf(errMethod, "%s does not take %s: use %s", clip(r.URL.Path), clip(r.Method), allow)
	}
	label = route.method + " " + route.path
	principal, err := s.door.Principal(r)
	if err != nil {
		return label, err
	}
	if err := route.authorize(principal); err != nil {
		return label, err
	}
	c := &call{Request: r, org: principal.Org, key: principal.Key, body: s.bodies.Of(w, r, route.limit), reuse: s.reuse}
	defer c.release()
	return label, route.handler(s, w, c)
}

// pick returns the route for a method; HEAD is answered as GET, without the body.
func pick(methods []route, method string) (route, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, r := range methods {
		if r.method == method {
			return r, true
		}
	}
	return route{}, false
}

// allowed lists the methods of a path for the Allow header.
func allowed(methods []route) string {
	var names []string
	for _, r := range methods {
		names = append(names, r.method)
		if r.method == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	return strings.Join(names, ", ")
}

// fail answers a request that went wrong and returns the status under which it is counted.
func (s *server) fail(w *recorder, r *http.Request, label string, err error) int {
	code := status(err)
	counted := code
	message := err.Error()
	switch {
	case code < http.StatusInternalServerError:
	case r.Context().Err() != nil:
		// Most likely nobody reads this, and nothing of ours is broken. If somebody does, the
		// server is stopping.
		code, counted = http.StatusServiceUnavailable, statusGone
		message = "the request was broken off: try again"
	case errors.Is(err, saba.ErrUntold):
		// Nothing of ours is broken, and whoever asked reads what is.
	case errors.Is(err, body.ErrBusy):
		// Counted, and not logged: there would be a line for each of many.
		w.Header().Set("Retry-After", "30")
	default:
		n, say := 1, true
		if code == http.StatusServiceUnavailable {
			n, say = s.unavailable.Count(s.now())
		}
		reason := "its log has the reason"
		if say {
			id, idErr := s.newID()
			if idErr != nil {
				id = "unknown"
			}
			s.log.Error("an API request failed", "request", id, "route", label, "client", r.RemoteAddr, "requests", n, "error", err)
			reason += " under request " + id
		}
		message = "the server could not do this; " + reason
		if code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "30")
			message = "the server cannot do this at the moment: try again later (" + reason + ")"
		}
	}
	if w.status != 0 { // too late for another answer: the client must not take half of one for a whole
		panic(http.ErrAbortHandler)
	}
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="saba"`)
	}
	body := errorBody{}
	body.Error.Message = message
	if err := s.write(w, r, code, body); err != nil && r.Context().Err() == nil {
		s.log.Debug("an answer could not be sent", "route", label, "error", err)
	}
	return counted
}

// newID returns the id of a new record.
func (s *server) newID() (string, error) { return saba.NewID(s.now(), s.random) }

// A recorder remembers the status of an answer; 0 while there is none.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController and http.MaxBytesReader reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
