package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// An Evaluator judges all monitors of an organization, again and again. Run is for one goroutine.
type Evaluator struct {
	Options
	started   int64 // Unix seconds; what is silent is silent since then at most
	monitors  map[string]saba.Monitor
	judged    map[target]int64            // the minute that was judged last; noMinute when it was looked for one in vain
	before    int64                       // Unix seconds: when the round before was, or this evaluator was made
	series    map[string]map[target]int64 // by query monitor: of each series in its result, the minute that was judged last
	externals *externals
	learner   *learner
	failed    bool // the last round did

	learnedMu sync.Mutex
	learned   map[string][]Learned // by monitor
}

// A target is what one alert of a monitor is about.
type target struct {
	monitor, host string
	series        string // of a query monitor, as saba.AlertSeries writes it
}

// noMinute is before all that can be judged, and after what was never looked at.
const noMinute = 1

// New returns an evaluator that has judged nothing yet.
func New(o Options) *Evaluator {
	now := o.Now().Unix()
	return &Evaluator{Options: o, started: now, before: now, judged: map[target]int64{}, series: map[string]map[target]int64{}, externals: newExternals(o.Dial),
		learner: newLearner(trainer{o.Org, o.Store, o.Samples, o.Zone})}
}

// Run judges every 10 s until ctx ends. When it returns, nothing it started still runs.
func (e *Evaluator) Run(ctx context.Context) {
	defer e.externals.asking.Wait()
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := e.judge(ctx, false)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !e.failed {
			e.Log.Error("not every monitor could be judged; it is tried again every 10 s", "error", err)
		} else if err == nil && e.failed {
			e.Log.Info("all monitors are judged again")
		}
		e.failed = err != nil
	}
}

// A round is what one round works with.
type round struct {
	*Evaluator
	now       int64
	hosts     []saba.Host // working and standby
	monitors  []saba.Monitor
	downtimes []saba.Downtime // that are under way
	open      map[target]saba.Alert
	learning  time.Duration             // for which what is usual was read
	peers     map[string]map[peers]bool // by monitor of anomalies: whose past its hosts are judged by
	errs      []error
}

// Round judges every monitor once, and waits for the endpoints that are due, up to 15 s. What fails costs only itself; the
// error names each.
func (e *Evaluator) Round(ctx context.Context) error { return e.judge(ctx, true) }

// judge is Round; without patience it waits for no endpoint: what they answer is of a later round.
func (e *Evaluator) judge(ctx context.Context, patience bool) error {
	r := &round{Evaluator: e, now: e.Now().Unix(), open: map[target]saba.Alert{}, peers: map[string]map[peers]bool{}}
	monitors, err := e.Store.Monitors(ctx, e.Org)
	if err != nil {
		return fmt.Errorf("list monitors: %w", err)
	}
	first := e.monitors == nil
	e.changed(monitors)
	if first {
		if err := e.recall(ctx, r.now); err != nil {
			e.monitors = nil // so that it is tried again
			return fmt.Errorf("list alerts that closed before the start: %w", err)
		}
	}
	r.monitors = monitors
	r.hosts, err = e.Store.Hosts(ctx, e.Org, saba.HostFilter{Statuses: []saba.HostStatus{saba.Working, saba.Standby}})
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	services, err := e.Store.Services(ctx, e.Org)
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	downtimes, err := e.Store.Downtimes(ctx, e.Org)
	if err != nil {
		return fmt.Errorf("list downtimes: %w", err)
	}
	for _, d := range downtimes {
		if d.Active(r.now, e.Zone) {
			r.downtimes = append(r.downtimes, d)
		}
	}
	alerts, err := e.Store.Alerts(ctx, e.Org, saba.AlertPage{Limit: 1 << 30})
	if err != nil {
		return fmt.Errorf("list open alerts: %w", err)
	}
	for _, a := range alerts {
		r.open[target{a.Monitor, a.Host, a.Series.String()}] = a
	}
	for i := range r.hosts {
		r.host(ctx, &r.hosts[i], monitors)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for i := range monitors {
		if m := &monitors[i]; m.Type == saba.MonitorService {
			r.service(ctx, m, services)
		}
	}
	r.deferred(ctx)
	r.external(ctx, monitors, services, patience)
	r.scheduled(ctx, monitors)
	r.ahead(ctx)
	r.noteLearned()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.before = r.now
	return errors.Join(r.errs...)
}

// recalled is how many alerts are looked through after a start.
const recalled = 1000

// recall takes what came before an alert closed for judged: a start must not open again what a person has closed. Only samples that are
// not late are judged after a start, so older alerts do not matter.
func (e *Evaluator) recall(ctx context.Context, now int64) error {
	alerts, err := e.Store.Alerts(ctx, e.Org, saba.AlertPage{Closed: true, Limit: recalled})
	for _, a := range alerts {
		if t := (target{monitor: a.Monitor, host: a.Host}); !a.Open() && a.ClosedAt > now-lateAfter && a.Series.Name == "" && len(a.Series.Labels) == 0 {
			e.judged[t] = max(e.judged[t], a.ClosedAt/saba.Resolution*saba.Resolution)
		}
	}
	return err
}

// changed forgets what was judged by monitors that are not what they were, so that they judge the newest sample anew.
func (e *Evaluator) changed(monitors []saba.Monitor) {
	now := make(map[string]saba.Monitor, len(monitors))
	same := len(monitors) == len(e.monitors)
	for _, m := range monitors {
		// What does not touch the judgement makes it no other one: an alert that a person has closed stays closed when the monitor is muted.
		m.Name, m.Memo, m.Mute, m.MuteUntil, m.NotificationInterval = "", "", false, 0, nil
		now[m.ID] = m
		if old, ok := e.monitors[m.ID]; !ok || !reflect.DeepEqual(m, old) {
			delete(e.monitors, m.ID)
			same = false
		}
	}
	if same {
		return
	}
	for t := range e.judged {
		if _, ok := e.monitors[t.monitor]; !ok {
			delete(e.judged, t)
		}
	}
	for id := range e.series {
		if _, ok := e.monitors[id]; !ok {
			delete(e.series, id)
		}
	}
	e.monitors = now
}

// host judges all monitors of one host.
func (r *round) host(ctx context.Context, h *saba.Host, monitors []saba.Monitor) {
	seen, posted := r.Samples.LastSeen(r.Org, h.ID)
	heard, _ := r.Samples.Heard(r.Org, h.ID)
	var due []hostMetric
	names := []string(nil)
	for i := range monitors {
		m := &monitors[i]
		if m.Type != saba.MonitorConnectivity && m.Type != saba.MonitorHost && m.Type != saba.MonitorAnomaly || !m.Watches(h.Roles) {
			continue
		}
		t := target{monitor: m.ID, host: h.ID}
		if !posted {
			r.judged[t] = max(r.judged[t], noMinute)
			continue
		}
		if m.Type == saba.MonitorConnectivity {
			if j, ok := unreachable(m, heard, r.started, r.now); ok {
				r.settle(ctx, m, t, h.Roles, "", j)
			}
			continue
		}
		if m.Type == saba.MonitorAnomaly {
			r.notePeers(m, h)
		}
		if r.judged[t] >= seen {
			continue // nothing is newer
		}
		if m.Type == saba.MonitorAnomaly {
			if d, ok := r.anomalous(ctx, m, t, h); ok {
				due = append(due, d)
			}
			continue
		}
		if names == nil && partsNeedNames(m.Metric) {
			var err error
			if names, err = r.Samples.HostNames(ctx, r.Org, h.ID); err != nil {
				r.errs = append(r.errs, fmt.Errorf("list the metrics of host %s: %w", h.ID, err))
				return
			}
		}
		if d, ok := r.newer(m, t, h, names); ok {
			due = append(due, d)
		} else {
			r.judged[t] = max(r.judged[t], noMinute)
		}
	}
	if len(due) == 0 {
		return
	}
	if err := r.fetch(ctx, h.ID, due); err != nil {
		r.errs = append(r.errs, fmt.Errorf("read metrics of host %s: %w", h.ID, err))
		return
	}
	for i := range due {
		d := &due[i]
		if d.peers != nil {
			if j, says, done := r.anomaly(ctx, d); done {
				r.judged[d.target] = d.newest
				if says {
					r.settle(ctx, d.monitor, d.target, h.Roles, "", j)
				}
			}
			continue
		}
		// A sample that was old when this server, or the monitor, began may have been judged before; it is late only when it has arrived since.
		first := r.judged[d.target] == 0 && h.CreatedAt < r.before
		r.judged[d.target] = d.newest
		if j, ok := d.judge(); ok && !(first && r.late(d.newest)) {
			r.sayLate(&j, d.newest)
			r.settle(ctx, d.monitor, d.target, h.Roles, "", j)
		}
	}
}

// late says whether a sample of a minute is called late when it comes now.
func (r *round) late(minute int64) bool { return r.now-minute > lateAfter }

// sayLate adds to what is said of a bad sample that it came late.
func (r *round) sayLate(j *Judgement, minute int64) {
	if r.late(minute) && j.Status != saba.CheckOK {
		j.Message += " (late: " + time.Unix(minute, 0).In(r.Zone).Format("15:04 MST") + ")"
	}
}

// deferred has the reports of checks judged that were left for later, once nothing stands against it any more.
func (r *round) deferred(ctx context.Context) {
	checks, err := r.Store.DeferredChecks(ctx, r.Org)
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("list checks that were left for later: %w", err))
		return
	}
	for _, c := range checks {
		i := slices.IndexFunc(r.hosts, func(h saba.Host) bool { return h.ID == c.Host })
		if i < 0 {
			continue // its status is such that nothing is judged of it
		}
		if r.covered(c.ID, r.hosts[i].Roles, "") && c.Latest.Status != saba.CheckOK {
			continue
		}
		if err := r.Store.JudgeCheck(ctx, r.Org, c.ID, r.now, func() (string, error) { return saba.NewID(r.Now(), r.Random) }); err != nil {
			r.errs = append(r.errs, fmt.Errorf("judge check %q of host %s again: %w", c.Name, c.Host, err))
		}
	}
}

// covered says whether a downtime is under way that is for a rule and what it is about.
func (r *round) covered(rule string, roles []saba.RoleName, service string) bool {
	return slices.ContainsFunc(r.downtimes, func(d saba.Downtime) bool { return d.Covers(rule, roles, service) })
}

// dependents counts what falls silent with a host: the monitors of metrics that it has sent, those of endpoints on it, and its checks.
func (r *round) dependents(ctx context.Context, host string) (int, error) {
	checks, err := r.Store.Checks(ctx, r.Org, host)
	if err != nil {
		return 0, err
	}
	names, err := r.Samples.HostNames(ctx, r.Org, host)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(r.hosts, func(h saba.Host) bool { return h.ID == host })
	if i < 0 {
		return len(checks), nil
	}
	h, n := &r.hosts[i], len(checks)
	sent := func(p part) bool { return len(p.metrics) > 0 && slices.Contains(names, p.metrics[0]) }
	for k := range r.monitors {
		m := &r.monitors[k]
		switch {
		case m.Type == saba.MonitorHost && m.Watches(h.Roles) && slices.ContainsFunc(partsOf(m.Metric, names), sent),
			m.Type == saba.MonitorAnomaly && m.Watches(h.Roles) && slices.ContainsFunc(quantityParts(names), sent),
			m.Type == saba.MonitorExternal && h.Serves(m.URL):
			n++
		}
	}
	return n, nil
}

// A hostMetric is a monitor that has something new to judge of a host.
type hostMetric struct {
	monitor *saba.Monitor
	target  target
	newest  int64 // the newest minute
	parts   []part
	samples [][][]saba.Sample // of each part, of each of its metrics
	peers   *peers            // whose past it is judged by; nil for a threshold
}

func partsNeedNames(metric string) bool {
	return metric == "disk%" || strings.HasPrefix(metric, "container-")
}

// newer returns what there is to judge for a target, if anything is newer than what was judged.
func (r *round) newer(m *saba.Monitor, t target, h *saba.Host, names []string) (d hostMetric, ok bool) {
	d = hostMetric{monitor: m, target: t, parts: partsOf(m.Metric, names)}
	for _, p := range d.parts {
		if s, ok := r.Samples.Latest(saba.Series{Org: r.Org, Host: h.ID, Name: p.metrics[0]}); ok {
			d.newest = max(d.newest, s.Time)
		}
	}
	return d, d.newest > r.judged[t]
}

// fetch reads the samples of what is due: those of the last minutes, and of a day where these are too few.
func (r *round) fetch(ctx context.Context, host string, due []hostMetric) error {
	back := int64(0)
	for _, d := range due {
		back = max(back, d.monitor.Duration+d.monitor.MaxCheckAttempts)
	}
	for _, far := range []int64{(back + 3) * saba.Resolution, history} {
		var series []saba.Series
		to := int64(0)
		from := r.now
		for _, d := range due {
			if d.samples != nil && d.enough() {
				continue
			}
			to, from = max(to, d.newest), min(from, d.newest-far)
			for _, p := range d.parts {
				for _, name := range p.metrics {
					series = append(series, saba.Series{Org: r.Org, Host: host, Name: name})
				}
			}
		}
		if len(series) == 0 {
			return nil
		}
		got, err := r.Samples.Range(ctx, series, from, to)
		if err != nil {
			return err
		}
		for i := range due {
			d := &due[i]
			if d.samples != nil && d.enough() {
				continue
			}
			d.samples = make([][][]saba.Sample, len(d.parts))
			for k, p := range d.parts {
				d.samples[k], got = got[:len(p.metrics)], got[len(p.metrics):]
			}
		}
	}
	return nil
}

// enough says whether no more samples could change the judgement.
func (d *hostMetric) enough() bool {
	if d.peers != nil {
		return true // what is odd is odd in the newest minutes, or not yet
	}
	for _, of := range d.samples {
		if int64(len(of[0])) < d.monitor.Duration+d.monitor.MaxCheckAttempts-1 {
			return false
		}
	}
	return true
}

// judge returns the worst judgement of all parts. A part whose newest sample is older than the others' has nothing to say.
func (d *hostMetric) judge() (j Judgement, ok bool) {
	for k, p := range d.parts {
		samples := p.series(d.samples[k])
		if len(samples) == 0 || samples[len(samples)-1].Time < d.newest {
			continue
		}
		if of, some := threshold(d.monitor, p.label, samples); some {
			if ok {
				of = worse(j, of)
			}
			j, ok = of, true
		}
	}
	return j, ok
}

// unreachable judges a host of which something came last at a time, whatever minute that was of; 0 when nothing has since this server began.
func unreachable(m *saba.Monitor, heard, since, now int64) (j Judgement, ok bool) {
	limit := m.Silence()
	status := cmp.Or(m.AlertStatusOnGone, saba.CheckCritical)
	j, ok = silence("", heard, since, now, nil, &limit)
	if j.Status == saba.CheckCritical {
		j.Status, j.Message = status, "unreachable"
	} else {
		j.Message = "reachable"
	}
	return j, ok
}

// service judges a monitor of a service's metric.
func (r *round) service(ctx context.Context, m *saba.Monitor, services []saba.Service) {
	t := target{monitor: m.ID}
	var series saba.Series
	for _, s := range services {
		if s.Name == m.Service {
			series = saba.Series{Org: r.Org, Service: s.Series, Name: m.Metric}
		}
	}
	if series.Service == "" {
		return // it is gone
	}
	newest, ok := r.Samples.Latest(series)
	if !ok && (m.MissingDurationCritical != nil || m.MissingDurationWarning != nil) {
		got, err := r.Samples.Range(ctx, []saba.Series{series}, r.now-mostSilence, r.now)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("read metric %s of service %s: %w", m.Metric, m.Service, err))
			return
		}
		if n := len(got[0]); n > 0 {
			newest, ok = got[0][n-1], true
		}
	}
	if !ok {
		r.judged[t] = max(r.judged[t], noMinute)
		return // it has never arrived
	}
	var failed error
	j, says := judgeService(m, newest.Time, r.started, r.now, newest.Time > r.judged[t], func() (Judgement, bool) {
		var got [][]saba.Sample
		if got, failed = r.Samples.Range(ctx, []saba.Series{series}, newest.Time-history, newest.Time); failed != nil {
			return Judgement{}, false
		}
		first := r.judged[t] == 0
		r.judged[t] = newest.Time
		of, some := threshold(m, m.Metric, got[0])
		r.sayLate(&of, newest.Time)
		return of, some && !(first && r.late(newest.Time))
	})
	if failed != nil {
		r.errs = append(r.errs, fmt.Errorf("read metric %s of service %s: %w", m.Metric, m.Service, failed))
		return
	}
	if says {
		r.settle(ctx, m, t, nil, m.Service, j)
	}
}

// judgeService judges a service's metric that arrived last at a time: its silence, or else, when there is news, what value says of it. Where
// the value says nothing, to arrive again is something. since is as in silence.
func judgeService(m *saba.Monitor, last, since, now int64, news bool, value func() (Judgement, bool)) (Judgement, bool) {
	j, judged := silence(m.Metric, last, since, now, m.MissingDurationWarning, m.MissingDurationCritical)
	switch {
	case judged && j.Status != saba.CheckOK:
		return j, true
	case !news:
		return Judgement{}, false
	case !judged && (m.MissingDurationWarning != nil || m.MissingDurationCritical != nil):
		return Judgement{}, false // it is not known yet whether it still arrives: its last value makes nothing well
	}
	if of, some := value(); some {
		return of, true
	}
	return j, judged
}

// settle makes the alert of a target what the judgement says: opens, moves or closes it.
func (r *round) settle(ctx context.Context, m *saba.Monitor, t target, roles []saba.RoleName, service string, j Judgement) {
	a := r.open[t] // without one its status is ""
	quiet := func() bool { return r.covered(m.ID, roles, service) }
	var err error
	switch next(a.Status, j.Status, j.Firm, quiet) {
	case opens:
		err = r.openAlert(ctx, m, t, j)
	case moves, closes:
		_, err = r.Store.MoveAlert(ctx, r.Org, a.ID, saba.AlertMove{At: r.now, Status: j.Status, Trigger: saba.TriggerMonitoring, Value: j.Value, Message: j.Message})
	}
	if err != nil {
		delete(r.judged, t) // so that it is tried again
		r.errs = append(r.errs, fmt.Errorf("keep an alert of monitor %q: %w", m.Name, err))
	}
}

func (r *round) openAlert(ctx context.Context, m *saba.Monitor, t target, j Judgement) error {
	id, err := saba.NewID(r.Now(), r.Random)
	if err != nil {
		return err
	}
	a := saba.Alert{ID: id, Status: j.Status, Monitor: m.ID, Type: string(m.Type), Host: t.host, Series: j.Series, Value: j.Value, Message: j.Message, OpenedAt: r.now}
	if m.Type == saba.MonitorConnectivity {
		if a.Depends, err = r.dependents(ctx, t.host); err != nil {
			return fmt.Errorf("count what depends on host %s: %w", t.host, err)
		}
	}
	err = r.Store.OpenAlert(ctx, r.Org, a, nil)
	if errors.Is(err, saba.ErrConflict) {
		return nil // there is one by now
	}
	return err
}
