// Package heartbeat answers whether a program is well, in the manner of KomachiHeartbeat: to load
// balancers and Kubernetes with /heartbeat, to the json plugin with /stats.
//
//	mux.Handle("/ops/", heartbeat.Handler(
//		heartbeat.Vital{Name: "db", Check: db.PingContext},
//		heartbeat.Go(),
//	))
//
// It imports the standard library and package stats only. Read Vital first; run.go runs them.
package heartbeat

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba/stats"
)

// A Vital is one thing that must be well, or one that has figures, or both.
type Vital struct {
	Name string // "db"; errors name it
	// Check says what is wrong; nil when nothing is. Without one the vital is always well.
	Check func(ctx context.Context) error
	// Stats returns figures, which become members of the answer of /stats. Figures and an error
	// may come together. Without it, /stats asks Check.
	Stats func(ctx context.Context) (map[string]any, error)
	// Nest puts the figures under Name, for vitals whose names are alike. Otherwise a vital
	// that comes later overwrites.
	Nest bool
	// Timeout is how long Check and Stats may take each; 0 means DefaultTimeout. Their context
	// ends then. One that does not heed it counts as failed until it returns, and is not called
	// again before.
	Timeout time.Duration
	// Fresh is how long an answer is given again before the vital is asked anew; 0 asks each
	// time. Requests that arrive while it is being asked share one answer all the same.
	Fresh time.Duration
	// Live says that a restart of the program would help: only such vitals are asked for
	// /heartbeat?class=live, a liveness probe. What depends on others, like a database, is not.
	Live bool
}

// DefaultTimeout is how long a vital may take, unless it says otherwise.
const DefaultTimeout = 5 * time.Second

// Go is a vital that has the runtime's figures under "go": the fields of stats.Stats.
func Go() Vital {
	return Vital{Name: "go", Nest: true, Stats: func(context.Context) (map[string]any, error) {
		b, err := json.Marshal(stats.Read(time.Now()))
		if err != nil {
			return nil, err
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(b, &fields); err != nil {
			return nil, err
		}
		figures := make(map[string]any, len(fields))
		for name, value := range fields {
			figures[name] = value
		}
		return figures, nil
	}}
}

// A Switch is a vital that the program itself turns off, for example to leave the load balancer
// before it stops. The zero value is well. It may be used by many goroutines at once.
type Switch struct {
	mu  sync.Mutex
	err error
}

// Set makes s fail with err; nil makes it well again.
func (s *Switch) Set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Check returns what was Set.
func (s *Switch) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Handler answers below wherever it is mounted ("/ops/", or with a stripped prefix):
//
//   - GET heartbeat: 200 and "heartbeat:ok" when every vital is well, else 503 and
//     "heartbeat:NG". ?verbose=1 adds a line for each that is not, with its error, which is
//     not for strangers. ?class=live asks the Live vitals alone.
//   - GET stats: the figures of all as one JSON object; 503, with those that there are, when
//     one is not well. ?meta=1 adds the errors under "_errors".
//
// HEAD works like GET. Another path is 404, another method 405. Vitals are asked all at once.
func Handler(vitals ...Vital) http.Handler {
	h := &handler{}
	for _, v := range vitals {
		h.parts = append(h.parts, newPart(v))
	}
	return h
}

type handler struct {
	parts []*part
}

// A part is a vital with what asks it.
type part struct {
	vital        Vital
	check, stats question
}

func newPart(v Vital) *part {
	p := &part{vital: v}
	timeout := v.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	p.check = question{timeout: timeout, fresh: v.Fresh, ask: func(ctx context.Context) (figures, error) {
		if v.Check == nil {
			return nil, nil
		}
		return nil, v.Check(ctx)
	}}
	p.stats = question{timeout: timeout, fresh: v.Fresh, ask: func(ctx context.Context) (figures, error) {
		values, err := v.Stats(ctx)
		return encode(values, err)
	}}
	return p
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	// The pattern of a subtree ("GET /ops/") says where this is mounted, unless somebody has
	// stripped it already.
	if i := strings.IndexByte(r.Pattern, '/'); i >= 0 && strings.HasSuffix(r.Pattern, "/") {
		path = strings.TrimPrefix(path, r.Pattern[i:])
	}
	var serve func(http.ResponseWriter, *http.Request)
	switch strings.TrimPrefix(path, "/") {
	case "heartbeat":
		serve = h.heartbeat
	case "stats":
		serve = h.stats
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	serve(w, r)
}

// answer is what a vital said.
type answer struct {
	vital   Vital
	figures figures
	err     error
}

// askAll asks parts all at once and returns what they say, in their order.
func askAll(ctx context.Context, parts []*part, which func(*part) *question) []answer {
	answers := make([]answer, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() {
			figures, err := which(p).answer(ctx)
			answers[i] = answer{p.vital, figures, err}
		})
	}
	wg.Wait()
	return answers
}

func (h *handler) heartbeat(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	parts := h.parts
	switch class := query.Get("class"); class {
	case "", "ready":
	case "live":
		parts = slices.DeleteFunc(slices.Clone(parts), func(p *part) bool { return !p.vital.Live })
	default:
		http.Error(w, "the classes are live and ready", http.StatusBadRequest)
		return
	}
	status, body := http.StatusOK, "heartbeat:ok"
	var why strings.Builder
	for _, a := range askAll(r.Context(), parts, func(p *part) *question { return &p.check }) {
		if a.err != nil {
			status, body = http.StatusServiceUnavailable, "heartbeat:NG"
			fmt.Fprintf(&why, "\n%s: %s", a.vital.Name, strings.ReplaceAll(a.err.Error(), "\n", "; "))
		}
	}
	if query.Get("verbose") == "1" {
		body += why.String()
	}
	write(w, status, "text/plain; charset=utf-8", []byte(body))
}

func (h *handler) stats(w http.ResponseWriter, r *http.Request) {
	all, errs := figures{}, map[string]string{}
	for _, a := range askAll(r.Context(), h.parts, func(p *part) *question {
		if p.vital.Stats == nil {
			return &p.check
		}
		return &p.stats
	}) {
		if a.err != nil {
			errs[a.vital.Name] = a.err.Error()
		}
		if a.vital.Nest && len(a.figures) > 0 {
			nested, err := json.Marshal(a.figures)
			if err != nil {
				errs[a.vital.Name] = err.Error()
				continue
			}
			all[a.vital.Name] = nested
			continue
		}
		maps.Copy(all, a.figures)
	}
	status := http.StatusOK
	if len(errs) > 0 {
		status = http.StatusServiceUnavailable
	}
	var err error
	if r.URL.Query().Get("meta") == "1" {
		if all["_errors"], err = json.Marshal(errs); err != nil {
			delete(all, "_errors") // strings: it cannot happen
		}
	}
	body, err := json.Marshal(all)
	if err != nil {
		http.Error(w, "write the figures as JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader may have gone
}
