// Package promapi speaks to programs of the Prometheus world: it answers PromQL as Prometheus's own
// HTTP API does, below /api/prom/v1, and takes in remote write and OTLP metrics. It owns those wire
// formats, and what hosts, services and roles look like as labels. It keeps nothing: what it needs
// of the engines it says in Store, Samples and Ingest. A request sees the organization of its API
// key alone. Start with routes, then querier.go for what is read, and intake.go for what is written.
package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/auth"
	"github.com/saba-monitor/saba/internal/body"
	"github.com/saba-monitor/saba/internal/hush"
)

// Store is what package promapi asks of the database. A missing record is an error matching saba.ErrNotFound.
type Store interface {
	auth.Keys
	Host(ctx context.Context, org, id string) (saba.Host, error)
	HostByCustomIdentifier(ctx context.Context, org, ident string, fold bool) (saba.Host, error)
	// Hosts returns the live hosts.
	Hosts(ctx context.Context, org string, f saba.HostFilter) ([]saba.Host, error)
	Services(ctx context.Context, org string) ([]saba.Service, error)
}

// Samples is what package promapi asks of the storage engine.
type Samples interface {
	// Querier reads the series of one organization in [mint, maxt], Unix milliseconds, with the
	// labels __name__, host or service, and those that came with them.
	Querier(org string, mint, maxt int64) (storage.Querier, error)
	// SeriesName returns the name in a saba.Series for a metric name and labels.
	SeriesName(l labels.Labels) string
}

// Ingest is the way in for points.
type Ingest interface {
	// Points stores points of series that SeriesName named. It drops what it cannot store and
	// says why; an error means that nothing of them can be promised.
	Points(ctx context.Context, org string, points []saba.Point) (saba.Drops, error)
	// Count counts n points that never became a saba.Point.
	Count(reason saba.DropReason, n int)
	// Limit returns how many series an organization may have.
	Limit() int
}

// Options are the parts of the handler. All are needed.
type Options struct {
	Store   Store
	Samples Samples
	Ingest  Ingest
	Bodies  *body.Room // for those of written samples, which others may share
	Now     func() time.Time
	Log     *slog.Logger

	limits limits // in place of the defaults, for tests
}

// limits bound what one request, and all at once, may cost.
type limits struct {
	samples int           // in memory for one query; each takes 16 bytes
	series  int           // that one selector finds
	reads   int           // requests for data at once; others wait
	intakes int           // bodies of written samples that are turned into points at once; others wait
	wait    time.Duration // for as long
	timeout time.Duration // of one query
}

func (l limits) orDefault() limits {
	if l != (limits{}) {
		return l
	}
	return limits{samples: 5_000_000, series: 100_000, reads: 4, intakes: 8, wait: 10 * time.Second, timeout: 30 * time.Second}
}

type server struct {
	Options
	door    auth.Door
	meta    *metadata
	reads   gate
	intakes gate
	engine  *promql.Engine

	unavailable hush.Hush // of failures that every request meets
}

// New returns the handler of /api/prom/ and of /v1/metrics.
func New(o Options) http.Handler {
	o.limits = o.limits.orDefault()
	s := &server{
		Options: o,
		door:    auth.Door{Keys: o.Store, Now: o.Now, Log: o.Log, Basic: true},
		meta:    newMetadata(),
		reads:   newGate(o.limits.reads, o.limits.wait),
		intakes: newGate(o.limits.intakes, o.limits.wait),
		engine:  newEngine(o.limits),
	}
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.Handle(r.path, s.serve(r))
	}
	mux.Handle("/", s.serve(route{}))
	return mux
}

// A route is one call.
type route struct {
	path       string
	methods    []string // HEAD goes with GET
	permission saba.Permission
	body       int64 // most bytes of the body, inflated unless its handler does that
	handler    func(*server, http.ResponseWriter, *call) error
	// fail answers in the words of the protocol of this call; nil means those of the query API.
	fail func(w http.ResponseWriter, r *http.Request, code int, message string)
}

// queryBody bounds a query with its parameters in bytes.
const queryBody = 1 << 20

// routes returns every call, as this API's table of contents.
func routes() []route {
	read := []string{http.MethodGet, http.MethodPost}
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	const v1 = "/api/prom/v1"
	all := []route{
		{v1 + "/series", read, saba.Read, queryBody, (*server).series, nil},
		{v1 + "/labels", read, saba.Read, queryBody, (*server).labelNames, nil},
		{v1 + "/label/{name}/values", get, saba.Read, 0, (*server).labelValues, nil},
		{v1 + "/metadata", get, saba.Read, 0, (*server).metadataList, nil},
		{v1 + "/status/buildinfo", get, saba.Read, 0, (*server).buildInfo, nil},

		{v1 + "/write", post, saba.Write, writeBody, (*server).remoteWrite, failText},
		{"/v1/metrics", post, saba.Write, otlpInflate, (*server).otlp, failOTLP},
	}
	all = append(all, queryRoutes()...)
	// Clients that are given /api/prom as the address of a Prometheus add its own prefix.
	for _, r := range all {
		if rest, ok := strings.CutPrefix(r.path, v1); ok {
			r.path = "/api/prom/api/v1" + rest
			all = append(all, r)
		}
	}
	return all
}

// A call is one request whose sender is known and may make it.
type call struct {
	*http.Request
	org  string // the organization whose data it sees
	body body.Body
}

// The kinds of failure besides those of package saba.
var (
	errMethod    = errors.New("method not allowed")    // 405
	errMediaType = errors.New("unknown media type")    // 415
	errExecution = errors.New("could not be answered") // 422: a query that is right and too much
	errTimeout   = errors.New("took too long")         // 503
	errPanic     = errors.New("panic")                 // 500
)

// kinds are the statuses of failures, and what Prometheus calls them.
var kinds = [...]struct {
	err    error
	status int
	name   string
}{
	{saba.ErrInvalid, http.StatusBadRequest, "bad_data"},
	{saba.ErrUnauthorized, http.StatusUnauthorized, "unauthorized"},
	{saba.ErrForbidden, http.StatusForbidden, "forbidden"},
	{saba.ErrNotFound, http.StatusNotFound, "not_found"},
	{errMethod, http.StatusMethodNotAllowed, "bad_data"},
	{saba.ErrTooLarge, http.StatusRequestEntityTooLarge, "bad_data"},
	{errMediaType, http.StatusUnsupportedMediaType, "bad_data"},
	{body.ErrEncoding, http.StatusUnsupportedMediaType, "bad_data"},
	{errExecution, http.StatusUnprocessableEntity, "execution"},
	{errTimeout, http.StatusServiceUnavailable, "timeout"},
	{body.ErrBusy, http.StatusServiceUnavailable, "unavailable"},
	{body.ErrTimeout, http.StatusServiceUnavailable, "timeout"}, // and not 408, at which a sender of samples gives them up
	{saba.ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
}

// serve is the adapter between net/http and the handler of a route: it checks who asks, bounds the
// body, and turns whatever goes wrong into an answer and, if it is our fault, one log line.
func (s *server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		if err := s.answer(rec, r, rt); err != nil {
			s.fail(rec, r, rt, err)
		}
	})
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, rt route) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v) // net/http's own way to drop a connection
		default:
			err = fmt.Errorf("%w: %v\n%s", errPanic, v, debug.Stack())
		}
	}()
	if rt.handler == nil {
		return saba.Errorf(saba.ErrNotFound, "there is no %s in this API", clip(r.URL.Path))
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if !slices.Contains(rt.methods, method) {
		allowed := strings.Join(rt.methods, ", ")
		w.Header().Set("Allow", allowed)
		return saba.Errorf(errMethod, "%s does not take %s: use %s", clip(r.URL.Path), clip(r.Method), allowed)
	}
	p, err := s.door.Principal(r)
	if err != nil {
		return err
	}
	if err := p.Authorize(rt.permission); err != nil {
		return err
	}
	c := &call{Request: r, org: p.Org, body: s.Bodies.Of(w, r, rt.body)}
	defer c.body.Release()
	if rt.permission == saba.Read {
		r.Body = http.MaxBytesReader(w, r.Body, rt.body) // for form
	}
	return rt.handler(s, w, c)
}

// fail answers a request that went wrong.
func (s *server) fail(w *recorder, r *http.Request, rt route, err error) {
	code, name, message := http.StatusInternalServerError, "internal", err.Error()
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			code, name = k.status, k.name
			break
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		code, name, message = http.StatusRequestEntityTooLarge, "bad_data", fmt.Sprintf("the request body is larger than %d KiB: send it in parts", large.Limit>>10)
	case r.Context().Err() != nil: // nobody reads this, or the server is stopping
		code, name, message = http.StatusServiceUnavailable, "canceled", "the request was broken off: try again"
	case code == http.StatusInternalServerError, errors.Is(err, saba.ErrUnavailable):
		n, say := 1, true
		if errors.Is(err, saba.ErrUnavailable) {
			n, say = s.unavailable.Count(s.Now())
		}
		if say {
			s.Log.Error("a request failed", "path", r.URL.Path, "client", r.RemoteAddr, "requests", n, "error", err)
		}
		message = "the server could not do this: try again later; its log has the reason"
	}
	if w.status != 0 { // too late for another answer: the client must not take half of one for a whole
		panic(http.ErrAbortHandler)
	}
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="saba"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "30")
	}
	if rt.fail != nil {
		rt.fail(w, r, code, message)
		return
	}
	writeJSON(w, code, response{Status: "error", ErrorType: name, Error: message})
}

// A response is the envelope of Prometheus's HTTP API.
type response struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

// writeJSON answers with v, which can always be encoded.
func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the adapter answers and logs it
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// What fails from here on is the client's connection: there is nobody left to tell.
	_, _ = w.Write(b)
}

// A recorder remembers the status of an answer; 0 while there is none.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(code int) {
	w.status = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController and http.MaxBytesReader reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A gate lets a number of requests through at once. The others wait.
type gate struct {
	places chan struct{}
	wait   time.Duration
}

func newGate(n int, wait time.Duration) gate { return gate{make(chan struct{}, n), wait} }

// enter returns when there is a place; leave gives it back. After g.wait the error matches body.ErrBusy.
func (g gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.places }
	select {
	case g.places <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.places <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, saba.Errorf(body.ErrBusy, "the server is working on %d such requests already: send this one again in a while", cap(g.places))
	}
}

// clip shortens a stranger's text for a message.
func clip(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
