package promapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/saba-monitor/saba"
)

// queryRoutes are the calls that evaluate PromQL.
func queryRoutes() []route {
	read := []string{http.MethodGet, http.MethodPost}
	return []route{
		{"/api/prom/v1/query", read, saba.Read, queryBody, (*server).query, nil},
		{"/api/prom/v1/query_range", read, saba.Read, queryBody, (*server).queryRange, nil},
	}
}

// Limits that Prometheus has as well.
const (
	maxQuery  = 32 << 10 // bytes
	maxPoints = 11_000   // a series
	lookback  = 5 * time.Minute
)

// newEngine returns the evaluator of PromQL.
func newEngine(l limits) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples:               l.samples,
		Timeout:                  l.timeout,
		LookbackDelta:            lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return saba.Resolution * 1000 },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   newParser(),
	})
}

// A question is what both calls ask.
type question struct {
	text    string
	timeout time.Duration
	limit   int
	opts    promql.QueryOpts
}

func (s *server) question(c *call) (q question, err error) {
	if err := form(c); err != nil {
		return q, err
	}
	q.text = dotted(c.Form.Get("query"))
	if len(q.text) > maxQuery {
		return q, saba.Errorf(saba.ErrInvalid, `invalid parameter "query": it has %d bytes: %d are allowed`, len(q.text), maxQuery)
	}
	if q.limit, err = limitParam(c); err != nil {
		return q, err
	}
	q.timeout = s.limits.timeout
	if v := c.Form.Get("timeout"); v != "" {
		d, err := durationParam(v, "timeout")
		if err != nil {
			return q, err
		}
		q.timeout = min(q.timeout, d)
	}
	delta := lookback
	if v := c.Form.Get("lookback_delta"); v != "" {
		if delta, err = durationParam(v, "lookback_delta"); err != nil {
			return q, err
		}
	}
	q.opts = promql.NewPrometheusQueryOpts(false, delta)
	return q, nil
}

// durationParam reads a positive number of seconds, or a duration as PromQL writes it.
func durationParam(v, name string) (time.Duration, error) {
	d := time.Duration(0)
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		if f > 0 && f < 1e9 {
			d = time.Duration(f * float64(time.Second))
		}
	} else if m, ok := promDuration(v); ok {
		d = m
	} else {
		return 0, saba.Errorf(saba.ErrInvalid, "invalid parameter %q: cannot parse %q to a valid duration", name, clip(v))
	}
	if d <= 0 {
		return 0, saba.Errorf(saba.ErrInvalid, "invalid parameter %q: zero or negative durations are not accepted, nor those of more than 30 years", name)
	}
	return d, nil
}

// promDuration reads a duration as PromQL writes it: 1h30m, 2w. Each unit stands once, largest first.
func promDuration(s string) (d time.Duration, ok bool) {
	const day = 24 * time.Hour
	units := [...]struct {
		name string
		is   time.Duration
	}{{"y", 365 * day}, {"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}
	for _, u := range units {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		rest, found := strings.CutPrefix(s[digits:], u.name)
		if !found || u.name == "m" && strings.HasPrefix(rest, "s") {
			continue
		}
		n, err := strconv.ParseInt(s[:digits], 10, 32)
		if err != nil || time.Duration(n) > 100*365*day/u.is {
			return 0, false
		}
		d, s = d+time.Duration(n)*u.is, rest
	}
	return d, s == ""
}

// query answers for one moment.
func (s *server) query(w http.ResponseWriter, c *call) error {
	q, err := s.question(c)
	if err != nil {
		return err
	}
	at, err := timeParam(c.Form.Get("time"), "time", s.Now())
	if err != nil {
		return err
	}
	return s.evaluate(w, c, q, func(ctx context.Context, from *queryable) (promql.Query, error) {
		return s.engine.NewInstantQuery(ctx, from, q.opts, q.text, at)
	})
}

// queryRange answers for many.
func (s *server) queryRange(w http.ResponseWriter, c *call) error {
	q, err := s.question(c)
	if err != nil {
		return err
	}
	for _, name := range []string{"start", "end", "step"} {
		if c.Form.Get(name) == "" {
			return saba.Errorf(saba.ErrInvalid, "invalid parameter %q: cannot parse %q to a valid %s", name, "", map[bool]string{true: "duration", false: "timestamp"}[name == "step"])
		}
	}
	span, err := s.span(c)
	if err != nil {
		return err
	}
	if asked, err := timeParam(c.Form.Get("start"), "start", span.start); err != nil || asked.Before(span.start) {
		return saba.Errorf(saba.ErrInvalid, `invalid parameter "start": it lies more than %d days back: ask for a later one`, oldest/(24*time.Hour))
	}
	step, err := durationParam(c.Form.Get("step"), "step")
	if err != nil {
		return err
	}
	if span.end.Sub(span.start)/step >= maxPoints {
		return saba.Errorf(saba.ErrInvalid, "exceeded maximum resolution of %d points per timeseries. Try decreasing the query resolution (?step=XX)", maxPoints)
	}
	return s.evaluate(w, c, q, func(ctx context.Context, from *queryable) (promql.Query, error) {
		return s.engine.NewRangeQuery(ctx, from, q.opts, q.text, span.start, span.end, step)
	})
}

// A result is the data of an answer.
type result struct {
	Type  parser.ValueType `json:"resultType"`
	Value parser.Value     `json:"result"`
}

// evaluate runs a query and answers with its result.
func (s *server) evaluate(w http.ResponseWriter, c *call, q question, ask func(context.Context, *queryable) (promql.Query, error)) error {
	leave, err := s.reads.enter(c.Context())
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(c.Context(), q.timeout)
	defer cancel()
	query, err := ask(ctx, s.queryable(ctx, c.org))
	if err != nil {
		return saba.Errorf(saba.ErrInvalid, `invalid parameter "query": %v`, err)
	}
	defer query.Close()
	res := query.Exec(ctx)
	if res.Err != nil {
		return s.explain(ctx, q, res.Err)
	}
	var warnings []string
	switch v := res.Value.(type) {
	case promql.Vector:
		res.Value, warnings = cut(v, q.limit)
	case promql.Matrix:
		res.Value, warnings = cut(v, q.limit)
	}
	more, infos := res.Warnings.AsStrings(q.text, 10, 10)
	writeJSON(w, http.StatusOK, response{
		Status: "success", Data: result{res.Value.Type(), res.Value},
		Warnings: append(warnings, more...), Infos: infos,
	})
	return nil
}

// cut is truncated for the values of PromQL. A result without any is an empty list.
func cut[S ~[]E, E any](list S, limit int) (S, []string) {
	if list == nil {
		list = S{}
	}
	out, warnings := truncated([]E(list), limit)
	return S(out), warnings
}

// explain says what went wrong with a query, by kind.
func (s *server) explain(ctx context.Context, q question, err error) error {
	var (
		many    promql.ErrTooManySamples
		slow    promql.ErrQueryTimeout
		left    promql.ErrQueryCanceled
		reading readError
	)
	switch {
	case errors.As(err, &reading) && ctx.Err() == nil:
		return reading.error
	case errors.As(err, &many):
		return saba.Errorf(errExecution, "the query reads more than %d samples at once: ask for fewer series or a shorter time", s.limits.samples)
	case errors.As(err, &slow), errors.As(err, &left), ctx.Err() != nil:
		return saba.Errorf(errTimeout, "the query took longer than %v: ask for fewer series or a shorter time", q.timeout)
	}
	return saba.Errorf(errExecution, "%v", err)
}
