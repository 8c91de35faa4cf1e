package promapi

import (
	"context"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/saba-monitor/saba"
)

// oldest is how far back a request reaches at most.
const oldest = 5 * 366 * 24 * time.Hour

// A span is which time a request asks about.
type span struct{ start, end time.Time }

// span reads start and end. Without them it is everything that is kept, as with Prometheus.
func (s *server) span(c *call) (p span, err error) {
	now := s.Now()
	if p.start, err = timeParam(c.FormValue("start"), "start", now.Add(-oldest)); err != nil {
		return p, err
	}
	if p.end, err = timeParam(c.FormValue("end"), "end", now.Add(time.Hour)); err != nil {
		return p, err
	}
	if p.end.Before(p.start) {
		return p, saba.Errorf(saba.ErrInvalid, `invalid parameter "end": end timestamp must not be before start time`)
	}
	if first := now.Add(-oldest); p.start.Before(first) {
		p.start = first
	}
	return p, nil
}

// timeParam reads a time in Unix seconds, with or without a fraction, or as RFC 3339 has it.
func timeParam(v, name string, absent time.Time) (time.Time, error) {
	if v == "" {
		return absent, nil
	}
	if f, err := strconv.ParseFloat(v, 64); err == nil && math.Abs(f) < 1e11 {
		whole, part := math.Modf(f)
		return time.UnixMilli(int64(whole)*1000 + int64(math.Round(part*1000))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return t, nil
	}
	return time.Time{}, saba.Errorf(saba.ErrInvalid, "invalid parameter %q: cannot parse %q to a valid timestamp", name, clip(v))
}

// limitParam reads limit: 0 for none.
func limitParam(c *call) (int, error) {
	v := c.FormValue("limit")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, saba.Errorf(saba.ErrInvalid, `invalid parameter "limit": %q is not a number of 0 or more`, clip(v))
	}
	return n, nil
}

// form reads the parameters, from the address and from a body.
func form(c *call) error {
	var large *http.MaxBytesError
	if err := c.ParseForm(); errors.As(err, &large) {
		return err
	} else if err != nil {
		return saba.Errorf(saba.ErrInvalid, "error parsing form values: %v", err)
	}
	return nil
}

// selectors reads every match[].
func selectors(c *call) (sets [][]*labels.Matcher, err error) {
	p := newParser()
	for _, m := range c.Form["match[]"] {
		ms, err := p.ParseMetricSelector(m)
		if err != nil {
			return nil, saba.Errorf(saba.ErrInvalid, `invalid parameter "match[]": %v`, err)
		}
		if matches(ms, "") { // for every label: it selects all there is
			return nil, saba.Errorf(saba.ErrInvalid, `invalid parameter "match[]": match[] must contain at least one non-empty matcher`)
		}
		sets = append(sets, ms)
	}
	return sets, nil
}

// newParser returns the parser of queries: what Prometheus understands without its experiments.
func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// A search is a request for series or labels.
type search struct {
	span  span
	sets  [][]*labels.Matcher
	limit int
}

func (s *server) search(c *call) (q search, err error) {
	if err := form(c); err != nil {
		return q, err
	}
	if q.span, err = s.span(c); err != nil {
		return q, err
	}
	if q.limit, err = limitParam(c); err != nil {
		return q, err
	}
	q.sets, err = selectors(c)
	return q, err
}

// open lets f read the series of a span, as one of few.
func (s *server) open(ctx context.Context, org string, p span, f func(context.Context, *querier) error) error {
	leave, err := s.reads.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits.timeout, saba.Errorf(errTimeout, "the request took longer than %v: ask for less", s.limits.timeout))
	defer cancel()
	inner, err := s.queryable(ctx, org).open(p.start.UnixMilli(), p.end.UnixMilli())
	if err != nil {
		return err
	}
	defer inner.Close() // it has only read
	if err := f(ctx, inner); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// each calls f with the labels of every series that one of the sets means. A series may come more than once.
func (s *server) each(ctx context.Context, org string, q search, f func(labels.Labels)) error {
	return s.open(ctx, org, q.span, func(ctx context.Context, inner *querier) error {
		hints := &storage.SelectHints{Start: q.span.start.UnixMilli(), End: q.span.end.UnixMilli(), Func: "series"} // without their samples
		for _, ms := range q.sets {
			set := inner.Select(ctx, false, hints, ms...)
			for set.Next() {
				f(set.At().Labels())
			}
			if err := set.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// truncated cuts list to limit, and says so.
func truncated[T any](list []T, limit int) ([]T, []string) {
	if limit > 0 && len(list) > limit {
		return list[:limit], []string{"results truncated due to limit"}
	}
	return list, nil
}

// series lists series by their labels.
func (s *server) series(w http.ResponseWriter, c *call) error {
	q, err := s.search(c)
	if err != nil {
		return err
	}
	if len(q.sets) == 0 {
		return saba.Errorf(saba.ErrInvalid, "no match[] parameter provided")
	}
	all := []labels.Labels{}
	if err := s.each(c.Context(), c.org, q, func(l labels.Labels) { all = append(all, l) }); err != nil {
		return err
	}
	slices.SortFunc(all, labels.Compare)
	all = slices.CompactFunc(all, labels.Equal)
	data, warnings := truncated(all, q.limit)
	writeJSON(w, http.StatusOK, response{Status: "success", Data: data, Warnings: warnings})
	return nil
}

// labelNames lists the names of labels.
func (s *server) labelNames(w http.ResponseWriter, c *call) error {
	q, err := s.search(c)
	if err != nil {
		return err
	}
	names := set{}
	if len(q.sets) == 0 {
		err = s.open(c.Context(), c.org, q.span, func(ctx context.Context, inner *querier) (err error) {
			names, err = inner.names(ctx)
			return err
		})
	} else {
		err = s.each(c.Context(), c.org, q, func(l labels.Labels) { l.Range(func(l labels.Label) { names.add(l.Name) }) })
	}
	if err != nil {
		return err
	}
	return s.strings(w, q, names)
}

// labelValues lists the values of one label.
func (s *server) labelValues(w http.ResponseWriter, c *call) error {
	name := c.PathValue("name")
	if rest, ok := strings.CutPrefix(name, "U__"); ok { // how Prometheus writes other characters in a path
		if name, ok = unescape(rest); !ok {
			return saba.Errorf(saba.ErrInvalid, "invalid label name: %q", clip(c.PathValue("name")))
		}
	}
	q, err := s.search(c)
	if err != nil {
		return err
	}
	values := set{}
	if len(q.sets) == 0 {
		err = s.open(c.Context(), c.org, q.span, func(ctx context.Context, inner *querier) (err error) {
			values, err = inner.values(ctx, name)
			return err
		})
	} else {
		err = s.each(c.Context(), c.org, q, func(l labels.Labels) {
			v := l.Get(name)
			if name == roleLabel || name == serviceLabel { // a host of several: each can be asked for
				values.add(strings.Split(v, ",")...)
			} else {
				values.add(v)
			}
		})
	}
	if err != nil {
		return err
	}
	return s.strings(w, q, values)
}

// strings answers with a sorted list.
func (s *server) strings(w http.ResponseWriter, q search, found set) error {
	list := slices.Sorted(maps.Keys(found))
	if list == nil {
		list = []string{}
	}
	data, warnings := truncated(list, q.limit)
	writeJSON(w, http.StatusOK, response{Status: "success", Data: data, Warnings: warnings})
	return nil
}

// unescape reads the rest of a name that begins with U__: _hex_ stands for a character, __ for _.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '_' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i < len(s) && s[i] == '_' {
			b.WriteByte('_')
			continue
		}
		end := strings.IndexByte(s[i:], '_')
		if end < 1 || end > 6 {
			return "", false
		}
		r, err := strconv.ParseUint(s[i:i+end], 16, 21)
		if err != nil {
			return "", false
		}
		b.WriteRune(rune(r))
		i += end
	}
	return b.String(), true
}

// buildInfo says which Prometheus this behaves like. Grafana asks, to know what it may use.
func (s *server) buildInfo(w http.ResponseWriter, _ *call) error {
	writeJSON(w, http.StatusOK, response{Status: "success", Data: map[string]string{
		"version": likeVersion, "application": "saba", "revision": saba.Version, "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
	}})
	return nil
}

// likeVersion is the Prometheus whose query language and API this is.
const likeVersion = "3.15.0"
