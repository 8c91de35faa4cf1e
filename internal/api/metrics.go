package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// sampleOut is a sample as clients read it.
type sampleOut struct {
	Time  int64   `json:"time"`
	Value float64 `json:"value"`
}

// pointIn and servicePointIn say what a point looks like; pointParser reads them.
type (
	pointIn struct {
		HostID string  `json:"hostId"`
		Name   string  `json:"name"`
		Time   int64   `json:"time"`
		Value  float64 `json:"value"`
	}
	servicePointIn struct {
		Name  string  `json:"name"`
		Time  int64   `json:"time"`
		Value float64 `json:"value"`
	}
)

type metricsAnswer struct {
	Metrics []sampleOut `json:"metrics"`
}

// hostPoints takes the points of one or more hosts. Whatever is wrong with single points, the
// answer is 200: agents send a whole batch again for anything else. What was dropped is in
// saba's own metrics and its log.
func (s *server) hostPoints(w http.ResponseWriter, c *call) error {
	p, err := s.parsePoints(c, true)
	if err != nil {
		return err
	}
	s.ingest.Refuse(c.org, p.refused, p.example)
	if len(p.good) > 0 {
		if _, err := s.ingest.HostPoints(c.Context(), c.org, p.good); err != nil {
			return err
		}
	}
	return s.ok(w, c)
}

// servicePoints takes the points of one service, as hostPoints does.
func (s *server) servicePoints(w http.ResponseWriter, c *call) error {
	p, err := s.parsePoints(c, false)
	if err != nil {
		return err
	}
	// Also without a point: an unknown service is worth a 404 before anything is collected.
	if _, err := s.ingest.ServicePoints(c.Context(), c.org, c.PathValue("service"), p.good); err != nil {
		return err
	}
	s.ingest.Refuse(c.org, p.refused, p.example)
	return s.ok(w, c)
}

func (s *server) parsePoints(c *call, hosts bool) (points, error) {
	b, err := c.body.Read()
	if err != nil {
		return points{}, err
	}
	c.points = s.reuse.points.Get().(*[]saba.Point)
	parser := s.reuse.parsers.Get().(*pointParser)
	defer s.reuse.parsers.Put(parser)
	p, err := parser.parse(b, hosts, (*c.points)[:0])
	*c.points = p.good
	return p, err
}

type namesAnswer struct {
	Names []string `json:"names"`
}

func (s *server) hostMetricNames(w http.ResponseWriter, c *call) error {
	host, err := s.host(c)
	if err != nil {
		return err
	}
	names, err := s.samples.HostNames(c.Context(), c.org, host.ID)
	if err != nil {
		return fmt.Errorf("list the metrics of host %q: %w", host.ID, err)
	}
	return s.json(w, c, namesAnswer{append([]string{}, names...)})
}

// externalPrefix begins the response times of external monitors, which are read by name but
// not listed.
const externalPrefix = "__externalhttp."

func (s *server) serviceMetricNames(w http.ResponseWriter, c *call) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	names, err := s.serviceNames(c, service)
	if err != nil {
		return err
	}
	return s.json(w, c, namesAnswer{names})
}

func (s *server) hostMetrics(w http.ResponseWriter, c *call) error {
	rng, err := s.readRange(c.URL.Query())
	if err != nil {
		return err
	}
	host, err := s.host(c)
	if err != nil {
		return err
	}
	return s.metrics(w, c, saba.Series{Org: c.org, Host: host.ID, Name: rng.name}, rng, func(ctx context.Context) ([]string, error) {
		return s.samples.HostNames(ctx, c.org, host.ID)
	})
}

func (s *server) serviceMetrics(w http.ResponseWriter, c *call) error {
	rng, err := s.readRange(c.URL.Query())
	if err != nil {
		return err
	}
	service, err := s.service(c)
	if err != nil {
		return err
	}
	return s.metrics(w, c, saba.Series{Org: c.org, Service: service.Series, Name: rng.name}, rng, func(ctx context.Context) ([]string, error) {
		return s.samples.ServiceNames(ctx, c.org, service.Series)
	})
}

// A metricRange is which part of which metric a request asks for.
type metricRange struct {
	name           string
	from, to, step int64
	pick           func(a, b float64) float64 // which of two values of a step counts; nil takes the mean of all
}

// oldest is how far back a range reaches at most. It bounds the work of from=0, which common
// clients send when they mean "all".
const oldest = 5 * 366 * 24 * time.Hour

// readRange reads name, from, to and aggregate of a query. The spacing follows from the span that was
// asked for; ends where there can be no samples are drawn in, and then moved to the edges of their steps: what a step
// says does not depend on where a range begins.
func (s *server) readRange(q url.Values) (r metricRange, err error) {
	if r.name = q.Get("name"); r.name == "" {
		return r, saba.Invalidf("name", "is required: the metric to read")
	}
	if r.from, err = querySeconds(q, "from"); err != nil {
		return r, err
	}
	if r.to, err = querySeconds(q, "to"); err != nil {
		return r, err
	}
	if r.to < r.from {
		return r, saba.Invalidf("to", "must not be before from (%d), not %d", r.from, r.to)
	}
	switch a := q.Get("aggregate"); a { // saba's own
	case "", "mean":
	case "min":
		r.pick = math.Min
	case "max":
		r.pick = math.Max
	default:
		return r, saba.Invalidf("aggregate", "must be mean, min or max, not %q", clip(a))
	}
	now := s.now()
	r.from = max(r.from, 0)
	r.to = min(r.to, now.Add(time.Hour).Unix()) // nothing later is stored (saba.MaxAhead)
	r.step = saba.Step(max(r.to-r.from, 0))
	r.from = max(r.from, now.Add(-oldest).Unix())
	if r.step > saba.Resolution {
		r.from -= r.from % r.step
		r.to += r.step - 1 - r.to%r.step
	}
	return r, nil
}

// querySeconds reads a parameter of Unix seconds. Digits beyond int64 are as far as it goes.
func querySeconds(q url.Values, key string) (int64, error) {
	v, _, _ := strings.Cut(q.Get(key), "?") // a JavaScript client ends every address with "?{}", also one that has a query
	if v == "" {
		return 0, saba.Invalidf(key, "is required: a time in Unix seconds")
	}
	if t, err := strconv.ParseInt(v, 10, 64); err == nil {
		return t, nil
	}
	f, ok := parseNumber(v)
	if !ok || math.IsNaN(f) || strings.Trim(v, "0123456789+-.eE") != "" {
		return 0, saba.Invalidf(key, "must be a time in Unix seconds, not %q", clip(v))
	}
	return int64(max(min(math.Floor(f), 1<<62), -1<<62)), nil
}

// metrics answers with the samples of a series in a range. names lists its siblings, to tell
// a metric that is silent in the range (an empty list) from one that never was (404).
func (s *server) metrics(w http.ResponseWriter, c *call, series saba.Series, r metricRange, names func(context.Context) ([]string, error)) error {
	out := metricsAnswer{Metrics: []sampleOut{}}
	// A year at a minute each would be half a million samples in memory at once: coarse ranges
	// are read in parts, cut where a step begins.
	const most = 100_000 * saba.Resolution
	part := max(most/r.step, 1) * r.step
	for from := r.from; from <= r.to; {
		to := min(from-from%r.step+part-1, r.to)
		samples, err := s.samples.Range(c.Context(), []saba.Series{series}, from, to)
		if err != nil {
			return fmt.Errorf("read %s: %w", series.Name, err)
		}
		if len(samples) > 0 && len(samples[0]) > 0 {
			if out.Metrics, err = r.appendSteps(out.Metrics, samples[0], from, to); err != nil {
				return err
			}
		}
		from = to + 1
	}
	if len(out.Metrics) == 0 {
		if _, known := s.samples.Latest(series); !known {
			known, err := names(c.Context())
			if err != nil {
				return fmt.Errorf("look for metric %s: %w", series.Name, err)
			}
			if !slices.Contains(known, series.Name) {
				return saba.Errorf(saba.ErrNotFound, "no metric %q was ever posted here", clip(series.Name))
			}
		}
	}
	return s.json(w, c, out)
}

// appendSteps appends samples, as they are at a minute's step and one a step at any other. A
// step without a sample is left out: a gap is not zero.
func (r metricRange) appendSteps(out []sampleOut, samples []saba.Sample, from, to int64) ([]sampleOut, error) {
	switch {
	case r.step == saba.Resolution:
		for _, p := range samples {
			out = append(out, sampleOut(p))
		}
		return out, nil
	case r.pick != nil:
		for _, p := range samples {
			at := p.Time - p.Time%r.step
			if last := len(out) - 1; last >= 0 && out[last].Time == at {
				out[last].Value = r.pick(out[last].Value, p.Value)
			} else {
				out = append(out, sampleOut{Time: at, Value: p.Value})
			}
		}
		return out, nil
	}
	start, means, err := saba.Downsample(samples, from, to, r.step)
	if err != nil {
		return nil, fmt.Errorf("take means: %w", err)
	}
	for i, v := range means {
		if !math.IsNaN(v) && !math.IsInf(v, 0) { // the sum of huge values may be infinite, and JSON has no word for it
			out = append(out, sampleOut{Time: start + int64(i)*r.step, Value: v})
		}
	}
	return out, nil
}

// maxLatest bounds the combinations of one request for latest values.
const maxLatest = 10_000

type latestOut struct {
	Latest map[string]map[string]sampleOut `json:"tsdbLatest"` // by host id, then by metric
}

// latest answers with the newest sample of every combination of host and metric. What does
// not exist is left out.
func (s *server) latest(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	hosts, names := unique(q["hostId"]), unique(q["name"])
	switch {
	case len(hosts) == 0:
		return saba.Invalidf("hostId", "is required: one or more host ids")
	case len(names) == 0:
		return saba.Invalidf("name", "is required: one or more metric names")
	case len(hosts)*len(names) > maxLatest:
		return saba.Errorf(saba.ErrInvalid, "%d hosts with %d metrics each are more than the %d values of one request: ask in parts", len(hosts), len(names), maxLatest)
	}
	out := latestOut{map[string]map[string]sampleOut{}}
	for _, host := range hosts {
		for _, name := range names {
			sample, ok := s.samples.Latest(saba.Series{Org: c.org, Host: host, Name: name})
			if !ok {
				continue
			}
			if out.Latest[host] == nil {
				out.Latest[host] = map[string]sampleOut{}
			}
			out.Latest[host][name] = sampleOut(sample)
		}
	}
	return s.json(w, c, out)
}

// unique returns each of values once, sorted.
func unique(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}
