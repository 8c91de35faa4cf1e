package monitor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/saba-monitor/saba"
)

// Limits on one replay.
const (
	// maxSteps is how many steps of alerts are counted: whoever fires more often needs no exact number.
	maxSteps = 50_000
	// maxHeld is how many samples are in memory at a time, 16 bytes each, besides what expressions and queries read.
	maxHeld = 1_000_000
	// querySlice is how much of a query is evaluated at a time, in seconds: its result is bounded by the evaluator.
	querySlice = 6 * 3600
)

// Past is what a replay reads. All fields but Since are required; Queries only for monitors of that type.
type Past struct {
	Org     string
	Records Records
	History History
	Queries Queries
	Zone    *time.Location // in which the days of downtimes are counted
	Since   int64          // Unix seconds: what an expression misses from before is no fault; 0 for none
}

// Replay judges what has passed from from to to, Unix seconds, as the loop would have done had each sample arrived in its minute: by the same
// functions, step by step. Hosts, roles and downtimes are those of today. The server itself counts as having been up all the time, and what
// was wrong before from begins there. Messages of the result are not counted.
//
// An error that matches saba.ErrInvalid says why the monitor cannot be replayed. No more than some days of one host, or an hour of many
// series, are in memory at a time.
func (p Past) Replay(ctx context.Context, m saba.Monitor, from, to int64) (saba.Replay, error) {
	r := &replay{Past: p, m: &m, from: saba.Minute(from), to: saba.Minute(to)}
	downtimes, err := p.Records.Downtimes(ctx, p.Org)
	if err != nil {
		return saba.Replay{}, fmt.Errorf("list downtimes: %w", err)
	}
	r.downtimes = downtimes
	switch m.Type {
	case saba.MonitorHost:
		err = r.hosts(ctx, r.metric)
	case saba.MonitorConnectivity:
		err = r.hosts(ctx, r.connectivity)
	case saba.MonitorService:
		err = r.service(ctx)
	case saba.MonitorExternal:
		err = r.responseTime(ctx)
	case saba.MonitorExpression:
		err = r.expression(ctx)
	case saba.MonitorQuery:
		err = r.query(ctx)
	case saba.MonitorAnomaly:
		err = r.anomalies(ctx)
	default:
		err = saba.Errorf(saba.ErrInvalid, "there are no monitors of type %q: the types are %v", m.Type, saba.MonitorTypes)
	}
	if err != nil {
		return saba.Replay{}, err
	}
	result := saba.Replay{From: r.from, To: r.to, Targets: r.targets, Cut: r.steps >= maxSteps}
	for _, a := range r.alerts {
		result.Alerts = append(result.Alerts, *a)
	}
	slices.SortStableFunc(result.Alerts, func(a, b saba.ReplayedAlert) int { return cmp.Compare(a.OpenedAt, b.OpenedAt) })
	return result, nil
}

// A replay is what one replay works with.
type replay struct {
	Past
	m         *saba.Monitor
	from, to  int64 // whole minutes
	downtimes []saba.Downtime
	targets   int
	steps     int // of all alerts
	alerts    []*saba.ReplayedAlert
}

// A course is what becomes of one target.
type course struct {
	*replay
	host      *saba.Host // nil for none
	series    saba.AlertSeries
	label     string
	downtimes []saba.Downtime     // that cover it
	open      *saba.ReplayedAlert // nil for none
}

// course begins that of a target. service is that of the monitor; "" for none.
func (r *replay) course(h *saba.Host, service string) *course {
	c := &course{replay: r, host: h}
	var roles []saba.RoleName
	if h != nil {
		roles, c.label = h.Roles, h.Label()
	}
	for _, d := range r.downtimes {
		if d.Covers(r.m.ID, roles, service) {
			c.downtimes = append(c.downtimes, d)
		}
	}
	r.targets++
	return c
}

// judge takes the step to which a judgement leads at a time. words is asked for the judgement only when there is a step.
func (c *course) judge(at int64, status saba.CheckStatus, firm bool, words func() Judgement) {
	is := saba.CheckStatus("")
	if c.open != nil {
		is = c.open.Status
	}
	quiet := func() bool {
		return slices.ContainsFunc(c.downtimes, func(d saba.Downtime) bool { return d.Active(at, c.Zone) })
	}
	step := next(is, status, firm, quiet)
	if step == stays || c.steps >= maxSteps {
		return
	}
	c.steps++
	j := words()
	if step == opens {
		a := saba.Alert{ID: fmt.Sprint(len(c.alerts) + 1), Monitor: c.m.ID, Type: string(c.m.Type), Series: c.series, Value: j.Value, Message: j.Message, OpenedAt: at}
		if c.host != nil {
			a.Host = c.host.ID
		}
		c.open = &saba.ReplayedAlert{Alert: a, Label: c.label}
		c.alerts = append(c.alerts, c.open)
	}
	a := c.open
	a.Status = status
	if a.Worst == "" || status.Severity() > a.Worst.Severity() {
		a.Worst = status
	}
	a.Steps = append(a.Steps, saba.AlertMove{At: at, Status: status, Trigger: saba.TriggerMonitoring, Value: j.Value, Message: j.Message})
	if step == closes {
		a.ClosedAt, c.open = at, nil
	}
}

// say is judge for a judgement that has its words.
func (c *course) say(at int64, j Judgement) {
	c.judge(at, j.Status, j.Firm, func() Judgement { return j })
}

// hosts replays every host that the monitor watches.
func (r *replay) hosts(ctx context.Context, replay func(context.Context, *course) error) error {
	hosts, err := r.Records.Hosts(ctx, r.Org, saba.HostFilter{Statuses: []saba.HostStatus{saba.Working, saba.Standby}})
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	for i := range hosts {
		h := &hosts[i]
		if !r.m.Watches(h.Roles) || r.steps >= maxSteps {
			continue
		}
		if err := replay(ctx, r.course(h, "")); err != nil {
			return fmt.Errorf("replay host %s: %w", h.Label(), err)
		}
	}
	return nil
}

// slices calls f with the samples of series from from to to, slice by slice, so that few are in memory at a time.
func (r *replay) slices(ctx context.Context, series []saba.Series, from, to int64, f func(samples [][]saba.Sample, from, to int64)) error {
	if len(series) == 0 {
		return nil
	}
	if len(series) > maxSelected {
		return saba.Errorf(saba.ErrInvalid, "it reads %d series: at most %d are allowed", len(series), maxSelected)
	}
	minutes := max(maxHeld/int64(len(series)), leastSlice)
	for ; from <= to; from += minutes * saba.Resolution {
		end := min(to, from+(minutes-1)*saba.Resolution)
		samples, err := r.History.Range(ctx, series, from, end)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		f(samples, from, end)
	}
	return nil
}

// A window is what of a metric may count for one judgement.
type window struct {
	label   string
	samples []saba.Sample
	next    int // the first that was not judged
}

// add takes what follows, and forgets what counts no more.
func (w *window) add(m *saba.Monitor, samples []saba.Sample) {
	keep := max(0, w.next-int(max(m.Duration, 1)+max(m.MaxCheckAttempts, 1)))
	w.samples = append(w.samples[:copy(w.samples, w.samples[keep:])], samples...)
	w.next -= keep
}

// advance takes the next sample, and returns it behind those before that may count.
func (w *window) advance(m *saba.Monitor) []saba.Sample {
	w.next++
	first := max(0, w.next-int(max(m.Duration, 1)+max(m.MaxCheckAttempts, 1))+1)
	for w.samples[first].Time < w.samples[w.next-1].Time-history {
		first++
	}
	return w.samples[first:w.next]
}

// measure judges the next sample.
func (w *window) measure(m *saba.Monitor) (verdict, bool) { return measure(m, w.advance(m)) }

// at returns the time of the next sample; ok is false without one.
func (w *window) at() (at int64, ok bool) {
	if w.next == len(w.samples) {
		return 0, false
	}
	return w.samples[w.next].Time, true
}

// metric replays a monitor of a metric on one host.
func (r *replay) metric(ctx context.Context, c *course) error {
	var names []string
	if partsNeedNames(r.m.Metric) {
		var err error
		if names, err = r.History.HostNames(ctx, r.Org, c.host.ID); err != nil {
			return err
		}
	}
	parts := partsOf(r.m.Metric, names)
	windows := make([]window, len(parts))
	var series []saba.Series
	for i, p := range parts {
		windows[i].label = p.label
		for _, name := range p.metrics {
			series = append(series, saba.Series{Org: r.Org, Host: c.host.ID, Name: name})
		}
	}
	return r.slices(ctx, series, r.from-history, r.to, func(samples [][]saba.Sample, _, _ int64) {
		for i, p := range parts {
			windows[i].add(r.m, p.series(samples[:len(p.metrics)]))
			samples = samples[len(p.metrics):]
		}
		c.thresholds(windows)
	})
}

// thresholds judges all that was not judged of windows, minute by minute: the worst of those that have a sample.
func (c *course) thresholds(windows []window) {
	for {
		now, some := int64(math.MaxInt64), false
		for i := range windows {
			if at, ok := windows[i].at(); ok {
				now, some = min(now, at), true
			}
		}
		if !some {
			return
		}
		var worst verdict
		label, judged := "", false
		for i := range windows {
			if at, ok := windows[i].at(); !ok || at != now {
				continue
			}
			if v, ok := windows[i].measure(c.m); ok && (!judged || outranks(v.status, v.firm, worst.status, worst.firm)) {
				worst, label, judged = v, windows[i].label, true
			}
		}
		if judged && now >= c.from {
			c.judge(now, worst.status, worst.firm, func() Judgement { return worst.say(c.m, label) })
		}
	}
}

// pulses are metrics that every agent sends: one of them says most of when a host was heard of.
var pulses = []string{"loadavg5", "cpu.idle.percentage", "memory.used", "processor_queue_length"}

// heard returns the minutes from from to to of which a host has a sample. It reads one metric, and the others where that has none
// for as long as matters.
func (r *replay) heard(ctx context.Context, host string, from, to int64) ([]int64, error) {
	names, err := r.History.HostNames(ctx, r.Org, host)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	pulse := names[0]
	for _, name := range slices.Backward(pulses) {
		if slices.Contains(names, name) {
			pulse = name
		}
	}
	series := []saba.Series{{Org: r.Org, Host: host, Name: pulse}}
	var beats, minutes []int64
	add := func(into *[]int64) func([][]saba.Sample, int64, int64) {
		return func(samples [][]saba.Sample, _, _ int64) {
			for _, of := range samples {
				for _, s := range of {
					*into = append(*into, s.Time)
				}
			}
		}
	}
	if err := r.slices(ctx, series, from, to, add(&beats)); err != nil {
		return nil, err
	}
	series = series[:0]
	for _, name := range names {
		if name != pulse {
			series = append(series, saba.Series{Org: r.Org, Host: host, Name: name})
		}
	}
	last := from - saba.Resolution
	for _, beat := range append(beats, to+saba.Resolution) {
		if beat-last >= r.m.Silence()*60 {
			if err := r.slices(ctx, series, last+saba.Resolution, beat-saba.Resolution, add(&minutes)); err != nil {
				return nil, err
			}
		}
		last = beat
		if beat <= to {
			minutes = append(minutes, beat)
		}
	}
	slices.Sort(minutes)
	return slices.Compact(minutes), nil
}

// connectivity replays whether a host was heard of.
func (r *replay) connectivity(ctx context.Context, c *course) error {
	minutes, err := r.heard(ctx, c.host.ID, r.from-history, r.to)
	if err != nil {
		return err
	}
	for i, seen := range minutes {
		until := r.to + saba.Resolution
		if i+1 < len(minutes) {
			until = minutes[i+1]
		}
		// Between two samples nothing changes but the time: it is looked at when it begins to matter, and until an alert is open.
		for at := seen; at < until; at += saba.Resolution {
			if at == seen+saba.Resolution {
				at = seen + r.m.Silence()*60
			}
			if at < r.from || at >= until {
				continue
			}
			if j, ok := unreachable(r.m, seen, seen, at); ok {
				c.say(at, j)
			}
			if at > seen && c.open != nil {
				break
			}
		}
	}
	return nil
}

// service replays a monitor of a service's metric.
func (r *replay) service(ctx context.Context) error {
	return r.ofService(ctx, r.m, r.m.Metric, r.m.Metric)
}

// responseTime replays what of an external monitor is kept: the response time.
func (r *replay) responseTime(ctx context.Context) error {
	m := *r.m
	if m.ID == "" || m.Service == "" || m.ResponseTimeWarning == nil && m.ResponseTimeCritical == nil {
		return saba.Errorf(saba.ErrInvalid, "of an external monitor only the response time can be replayed: it needs a service, which keeps it, and a threshold")
	}
	m.Operator, m.Warning, m.Critical, m.Duration = ">", m.ResponseTimeWarning, m.ResponseTimeCritical, 1
	if m.ResponseTimeDuration != nil {
		m.Duration = *m.ResponseTimeDuration
	}
	return r.ofService(ctx, &m, saba.ResponseTimeMetric+m.ID, "response time in ms")
}

// ofService replays thresholds, and the silence, of a metric of the monitor's service.
func (r *replay) ofService(ctx context.Context, m *saba.Monitor, metric, label string) error {
	services, err := r.Records.Services(ctx, r.Org)
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	i := slices.IndexFunc(services, func(s saba.Service) bool { return s.Name == m.Service })
	if i < 0 {
		return saba.Errorf(saba.ErrInvalid, "there is no service %q", m.Service)
	}
	back := int64(history)
	if m.MissingDurationWarning != nil || m.MissingDurationCritical != nil {
		back = mostSilence
	}
	c, w := r.course(nil, m.Service), window{label: label}
	newest, known := int64(0), false
	return r.slices(ctx, []saba.Series{{Org: r.Org, Service: services[i].Series, Name: metric}}, r.from-back, r.to, func(samples [][]saba.Sample, from, to int64) {
		w.add(m, samples[0])
		for now := from; now <= to; now += saba.Resolution {
			var v verdict
			news, some := false, false
			if at, ok := w.at(); ok && at <= now {
				newest, known, news = at, true, true
				v, some = w.measure(m)
			}
			if now < r.from || !known {
				continue
			}
			if j, ok := judgeService(m, newest, newest, now, news, func() (Judgement, bool) { return v.say(m, label), some }); ok {
				c.say(now, j)
			}
		}
	})
}

// expression replays an expression: every five minutes, as the loop judges it.
func (r *replay) expression(ctx context.Context) error {
	e, err := saba.ParseExpression(r.m.Expression)
	if err != nil {
		return err
	}
	s, c := &source{org: r.Org, store: r.Records, samples: r.History}, r.course(nil, "")
	back := *r.m.EvaluateBackwardMinutes * 60
	first := r.from + (expressionEvery-r.from%expressionEvery)%expressionEvery
	begin := first - back - expressionWindow + saba.Resolution
	if first > r.to {
		return nil
	}
	all, err := s.evaluate(ctx, e, begin, r.to-back)
	if err != nil {
		return err
	}
	for now := first; now <= r.to; now += expressionEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		i := int(now-back-begin)/saba.Resolution + 1
		part := evaluation{missing: all.missing}
		for _, l := range all.lines {
			l.values = l.values[i-expressionWindow/saba.Resolution : i]
			part.lines = append(part.lines, l)
		}
		value, reason := newest(part)
		if reason != "" {
			if now-back-expressionWindow+saba.Resolution >= r.Since {
				c.say(now, unknown(r.m, reason))
			}
			continue
		}
		status, limit := compare(r.m, value)
		c.judge(now, status, true, func() Judgement { return verdict{status, value, limit, true}.say(r.m, r.m.Name) })
	}
	return nil
}

// A queried is a series of a query on its way through a replay.
type queried struct {
	*course
	last int64 // the minute of its newest value
}

// query replays a query, each of its series by itself.
func (r *replay) query(ctx context.Context) error {
	back := *r.m.EvaluateBackwardMinutes * 60
	known := map[string]*queried{}
	flowed := int64(0) // the newest minute of any series
	for from := r.from; from <= r.to; from += querySlice {
		to := min(r.to, from+querySlice-saba.Resolution)
		result, err := r.Queries.Range(ctx, r.Org, r.m.Query, from-back, to-back)
		if err != nil {
			return err
		}
		here := make([]*queried, len(result))
		for i, s := range result {
			key := s.String()
			if known[key] == nil {
				c := r.course(nil, "")
				c.series, c.label = s.AlertSeries, seriesLabel(r.m, s.AlertSeries)
				known[key] = &queried{course: c}
			}
			here[i] = known[key]
		}
		if len(known) > maxQuerySeries {
			return saba.Errorf(saba.ErrInvalid, "it finds more than %d series", maxQuerySeries)
		}
		place := make([]int, len(result))
		for at := from - back; at <= to-back; at += saba.Resolution {
			for i, s := range result {
				if place[i] == len(s.Samples) || s.Samples[place[i]].Time != at {
					continue
				}
				q, value := here[i], s.Samples[place[i]].Value
				place[i]++
				q.last, flowed = at, at
				status, limit := compare(r.m, value)
				q.judge(at+back, status, true, func() Judgement { return verdict{status, value, limit, true}.say(r.m, q.label) })
			}
			for _, q := range known {
				if q.open != nil && flowed == at && at-q.last > queryWindow { // it has come to its end
					q.say(at+back, Judgement{Status: saba.CheckOK, Message: q.label + " is no longer in the result of the query"})
				}
			}
		}
	}
	return nil
}
