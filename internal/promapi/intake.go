package promapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
)

// Limits on what one series may be called.
const (
	maxLabels     = 40
	maxLabelName  = 128     // bytes
	maxLabelValue = 1 << 10 // bytes
	maxSeriesName = 4 << 10 // bytes of all of it, as the storage engine writes it
	maxPointsIn   = 500_000 // of one request
	maxSeriesIn   = 100_000 // of one request
)

// Why points were not taken in; the words of package ingest.
const (
	dropNoOwner     saba.DropReason = "no_owner"
	dropSeriesLimit saba.DropReason = "series_limit"
	dropUnsupported saba.DropReason = "unsupported"
)

// An intake turns the series of one request into points, each of a host or a service of ours.
//
// What a series belongs to is said by its sender, in this order, and every other label stays:
//
//  1. the label host: id or custom identifier of a live host
//  2. the label service: name of a service
//  3. the parameter service in the address
type intake struct {
	*server
	ctx      context.Context // of the request, which the intake does not outlive
	org      string
	fallback string            // the service of the address; "" for none
	services map[string]string // of the organization, by name: saba.Service.Series
	hosts    map[string]string // what a label host says → id; "" when it means no host
	points   []saba.Point
	sent     int // points that came in, taken or not
	skipped  int // of these: not a number, which is how silence is written
	refused  saba.Drops
	why      []string // sentences for the sender, each once
	builder  labels.ScratchBuilder
}

// intake begins the intake of a request. The error is about the address, or the database.
func (s *server) intake(c *call) (*intake, error) {
	list, err := s.Store.Services(c.Context(), c.org)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	in := &intake{server: s, ctx: c.Context(), org: c.org, services: map[string]string{}, hosts: map[string]string{}, refused: saba.Drops{}}
	for _, s := range list {
		in.services[s.Name] = s.Series
	}
	if in.fallback = c.URL.Query().Get("service"); in.fallback != "" && in.services[in.fallback] == "" {
		return nil, saba.Errorf(saba.ErrInvalid, "there is no service %q, which the parameter service names: create it first", clip(in.fallback))
	}
	return in, nil
}

// refuse notes that n points are not taken in, and why, in a sentence for the sender.
func (in *intake) refuse(n int, reason saba.DropReason, format string, args ...any) {
	in.sent += n
	in.tell(n, reason, format, args...)
}

// tell is refuse for points that were counted as sent.
func (in *intake) tell(n int, reason saba.DropReason, format string, args ...any) {
	const most = 5 // the first causes: a whole batch is usually wrong for one of them
	if n == 0 {
		return
	}
	in.refused[reason] += n
	if why := fmt.Sprintf(format, args...); len(in.why) < most && !slices.Contains(in.why, why) {
		in.why = append(in.why, why)
	}
}

// An identity is a series of ours.
type identity struct {
	series saba.Series
	reason saba.DropReason // why there is none
	why    string
}

// identify finds the series that the labels ls mean, of which one is the metric's name. ls is reordered.
func (in *intake) identify(ls []labels.Label) (identity, error) {
	bad := func(reason saba.DropReason, format string, args ...any) (identity, error) {
		return identity{reason: reason, why: fmt.Sprintf(format, args...)}, nil
	}
	slices.SortFunc(ls, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	var metric, host, service string
	kept := ls[:0]
	before := ""
	for i, l := range ls {
		if i > 0 && before == l.Name {
			return bad(saba.DropBadName, "a series has the label %q twice", clip(l.Name))
		}
		before = l.Name
		switch l.Name {
		case nameLabel:
			metric = l.Value
			continue
		case hostLabel:
			id, err := in.hostOf(l.Value)
			if err != nil {
				return identity{}, err
			}
			if host == "" && id != "" {
				host = id
				continue
			}
		case serviceLabel:
			if host == "" && in.services[l.Value] != "" {
				service = l.Value
				continue
			}
		}
		if l.Value != "" { // a label without a value is no label
			kept = append(kept, l)
		}
	}
	switch {
	case metric == "":
		return bad(saba.DropBadName, "a series has no metric name")
	case len(metric) > saba.MaxMetricName || !plain(metric):
		return bad(saba.DropBadName, "metric %q: a name may hold A-Z a-z 0-9 . _ - : / and at most %d of them", clip(metric), saba.MaxMetricName)
	case len(kept) > maxLabels:
		return bad(saba.DropBadName, "a series of metric %s has %d labels: at most %d are allowed", metric, len(kept), maxLabels)
	}
	if host == "" && service == "" {
		if service = in.fallback; service == "" {
			return bad(dropNoOwner, "metric %s: the series names no host and no service of this organization: give it a label host (id or custom identifier) or service (an existing one), or write to this address with ?service=NAME", metric)
		}
	}
	in.builder.Reset()
	in.builder.Add(nameLabel, metric)
	for _, l := range kept {
		switch {
		case len(l.Name) > maxLabelName || !plain(l.Name):
			return bad(saba.DropBadName, "metric %s: label name %q may hold A-Z a-z 0-9 . _ - : / and at most %d of them", metric, clip(l.Name), maxLabelName)
		case len(l.Value) > maxLabelValue:
			return bad(saba.DropBadName, "metric %s: the value of label %s has %d bytes: at most %d are allowed", metric, l.Name, len(l.Value), maxLabelValue)
		case !utf8.ValidString(l.Value):
			return bad(saba.DropBadName, "metric %s: the value of label %s is not UTF-8", metric, l.Name)
		}
		in.builder.Add(in.freeName(l.Name, kept), l.Value)
	}
	in.builder.Sort()
	name := in.Samples.SeriesName(in.builder.Labels())
	if len(name) > maxSeriesName {
		return bad(saba.DropBadName, "a series of metric %s has labels of %d bytes: at most %d are allowed", metric, len(name), maxSeriesName)
	}
	s := saba.Series{Org: in.org, Host: host, Name: name}
	if host == "" {
		s.Service = in.services[service]
	}
	return identity{series: s}, nil
}

// freeName returns the name under which a sender's label is kept: its own, unless saba gives one of
// that name.
func (in *intake) freeName(name string, others []labels.Label) string {
	if !slices.Contains(ours[:], name) {
		return name
	}
	for {
		name = exportedPrefix + name
		if !slices.ContainsFunc(others, func(l labels.Label) bool { return l.Name == name }) {
			return name
		}
	}
}

// hostOf returns the id of the live host that a label means; "" for none.
func (in *intake) hostOf(value string) (string, error) {
	id, known := in.hosts[value]
	if known || value == "" {
		return id, nil
	}
	h, err := in.Store.Host(in.ctx, in.org, value)
	if errors.Is(err, saba.ErrNotFound) {
		h, err = in.Store.HostByCustomIdentifier(in.ctx, in.org, value, false)
	}
	switch {
	case errors.Is(err, saba.ErrNotFound):
	case err != nil:
		return "", fmt.Errorf("look up host %q: %w", clip(value), err)
	case !h.Retired():
		id = h.ID
	}
	in.hosts[value] = id
	return id, nil
}

// plain says whether s may name a metric or a label, as the storage engine has it.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-', c == ':', c == '/':
		default:
			return false
		}
	}
	return s != ""
}

// take adds samples of one series, whose times are in order as a rule. NaN and infinities mean
// silence: nothing is stored for them, and they count as taken.
func (in *intake) take(id identity, samples []saba.Sample) {
	in.sent += len(samples)
	if id.reason != "" {
		in.tell(len(samples), id.reason, "%s", id.why)
		return
	}
	first := len(in.points)
	for _, p := range samples {
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			in.skipped++
			continue
		}
		// Several samples of a minute are one: the last. The others need not reach the disk.
		if last := len(in.points) - 1; last >= first && saba.Minute(in.points[last].Time) == saba.Minute(p.Time) && in.points[last].Time <= p.Time {
			in.points[last].Sample = p
			continue
		}
		in.points = append(in.points, saba.Point{Series: id.series, Sample: p})
	}
}

// full says whether a request holds more than one may.
func (in *intake) full() error {
	if in.sent > maxPointsIn {
		return saba.Errorf(saba.ErrTooLarge, "the request holds more than %d samples: send it in parts", maxPointsIn)
	}
	return nil
}

// store hands the points to the engine. It returns how many of those that were sent are taken
// care of; the others are in in.refused, with a sentence each.
func (in *intake) store() (written int, err error) {
	for reason, n := range in.refused {
		in.Ingest.Count(reason, n)
	}
	in.Ingest.Count(saba.DropNotFinite, in.skipped)
	drops, err := in.Ingest.Points(in.ctx, in.org, in.points)
	if err != nil {
		return 0, err
	}
	for reason, n := range drops {
		in.tell(n, reason, "%s", in.sentence(reason, n))
	}
	return in.sent - in.refused.Total(), nil
}

// sentence says why the engine's side dropped n points.
func (in *intake) sentence(reason saba.DropReason, n int) string {
	switch reason {
	case dropSeriesLimit:
		return fmt.Sprintf("%d samples are of new series, and this organization has its %d: send fewer series, or fewer labels", n, in.Ingest.Limit())
	case saba.DropTooOld:
		return fmt.Sprintf("%d samples are more than 24 hours old", n)
	case saba.DropTooNew:
		return fmt.Sprintf("%d samples are more than 10 minutes ahead: set the clock of the sender", n)
	case saba.DropRetiredHost, saba.DropUnknownHost:
		return fmt.Sprintf("%d samples are of a host that was retired", n)
	case saba.DropBadName:
		return fmt.Sprintf("%d samples have a name or labels that are not allowed", n)
	}
	return fmt.Sprintf("%d samples were refused by the storage engine", n)
}

// answer says in one line what was refused.
func (in *intake) answer() string {
	return fmt.Sprintf("%d of %d samples were not stored: %s", in.refused.Total(), in.sent, strings.Join(in.why, "; "))
}
