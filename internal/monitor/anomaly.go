package monitor

import (
	"cmp"
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// Baselines (baseline.go) are read here: for the hour that is, and in its second half for the next one, each once. They are kept in memory alone.

const (
	peersHosts    = 10                     // of which a role's past is read, for each day
	learningTurn  = 2 * time.Second        // how long a round reads what is missing for its judgements
	learningAhead = 200 * time.Millisecond // how long, about, for those of the next hour
	partsKept     = 3600                   // seconds, and as many more at most, for which it is known what devices a host has
)

// Peers are the hosts whose past is usual for a host: those of a role, or the host by itself.
type peers struct {
	role  saba.RoleName
	host  string // id, without a role
	since int64  // what was before does not count, Unix seconds
}

// label names them, as messages do.
func (p peers) label() string {
	if p.host != "" {
		return "this host"
	}
	return p.role.String()
}

// peersOf returns those of a host for a monitor: of the first of the monitor's roles that it is in, or of its own first.
func peersOf(m *saba.Monitor, h *saba.Host) peers {
	for _, s := range m.Scopes {
		if s.Holds(h.Roles) && s.Role != "" {
			return peers{role: saba.RoleName(s), since: m.TrainingPeriodFrom}
		}
	}
	if len(h.Roles) > 0 {
		return peers{role: h.Roles[0], since: m.TrainingPeriodFrom}
	}
	return alone(m, h)
}

func alone(m *saba.Monitor, h *saba.Host) peers {
	return peers{host: h.ID, since: m.TrainingPeriodFrom}
}

// A trainer reads what is usual of the engine.
type trainer struct {
	org     string
	records Records
	history History
	zone    *time.Location
}

// hosts returns the hosts of peers, by id: for a role also those that were retired in it since a time.
func (t trainer) hosts(ctx context.Context, p peers, since int64) ([]saba.Host, error) {
	if p.host != "" {
		return []saba.Host{{ID: p.host}}, nil
	}
	hosts, err := t.records.Hosts(ctx, t.org, saba.HostFilter{Service: p.role.Service, Roles: []string{p.role.Role}, RetiredSince: max(since, 1)})
	if err != nil {
		return nil, fmt.Errorf("list the hosts of role %s, and those that were retired: %w", p.role, err)
	}
	hosts = slices.DeleteFunc(hosts, func(h saba.Host) bool { return !slices.Contains(h.Roles, p.role) })
	slices.SortFunc(hosts, func(a, b saba.Host) int { return cmp.Compare(a.ID, b.ID) })
	return hosts, nil
}

// chosen returns up to peersHosts of the hosts that there were all the time, evenly.
func chosen(hosts []saba.Host, of stretch) []saba.Host {
	var there []saba.Host
	for _, h := range hosts {
		if h.CreatedAt <= of.from && (h.RetiredAt == 0 || h.RetiredAt >= of.to) {
			there = append(there, h)
		}
	}
	if len(there) <= peersHosts {
		return there
	}
	few := make([]saba.Host, peersHosts)
	for i := range few {
		few[i] = there[i*len(there)/peersHosts]
	}
	return few
}

// parts returns what the quantities of a host are made of.
func (t trainer) parts(ctx context.Context, host string) ([]part, error) {
	names, err := t.history.HostNames(ctx, t.org, host)
	if err != nil {
		return nil, fmt.Errorf("list the metrics of host %s: %w", host, err)
	}
	return quantityParts(names), nil
}

// seriesOf appends the series of which parts of a host are made. Each stands for one metric of one part, in their order.
func (t trainer) seriesOf(series []saba.Series, host string, parts []part) []saba.Series {
	for _, p := range parts {
		for _, name := range p.metrics {
			series = append(series, saba.Series{Org: t.org, Host: host, Name: name})
		}
	}
	return series
}

// combined returns the samples of each part, and what is left of samples.
func combined(parts []part, samples [][]saba.Sample) (of, rest [][]saba.Sample) {
	of = make([][]saba.Sample, len(parts))
	for i, p := range parts {
		if n := len(p.metrics); n > 0 {
			of[i], samples = p.series(samples[:n]), samples[n:]
		}
	}
	return of, samples
}

// baseline reads that of peers for an hour. parts returns what a host's quantities are made of.
func (t trainer) baseline(ctx context.Context, p peers, hour int64, parts func(host string) ([]part, error)) (*baseline, error) {
	hosts, err := t.hosts(ctx, p, hour-(trainedWeeks*7+1)*24*3600)
	if err != nil {
		return nil, err
	}
	b, err := learnHour(hour, p.since, t.zone, p.label(), func(of stretch) ([][][]saba.Sample, error) {
		var series []saba.Series
		var made [][]part
		for _, h := range chosen(hosts, of) {
			one, err := parts(h.ID)
			if err != nil {
				return nil, err
			}
			made, series = append(made, one), t.seriesOf(series, h.ID, one)
		}
		samples, err := t.history.Range(ctx, series, of.from, of.to-1)
		if err != nil {
			return nil, err
		}
		all := make([][][]saba.Sample, len(made))
		for i, parts := range made {
			all[i], samples = combined(parts, samples)
		}
		return all, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is usual for %s: %w", p.label(), err)
	}
	return b, nil
}

// A learner keeps baselines.
type learner struct {
	trainer
	kept  map[peers]map[int64]*baseline // by hour
	used  map[peers]int64               // the hour for which a role's was asked last
	known map[string]knownParts         // by host
}

// knownParts are what the quantities of a host are made of, which counts for partsKept from a time on.
type knownParts struct {
	parts []part
	at    int64
}

func newLearner(t trainer) *learner {
	return &learner{trainer: t, kept: map[peers]map[int64]*baseline{}, used: map[peers]int64{}, known: map[string]knownParts{}}
}

// partsOf returns what the quantities of a host are made of, as it was one or two hours ago at most: at different times for different hosts, so that no
// round has to look at all of them.
func (l *learner) partsOf(ctx context.Context, host string, now int64) ([]part, error) {
	if k, ok := l.known[host]; ok && now-k.at < partsKept {
		return k.parts, nil
	}
	parts, err := l.parts(ctx, host)
	if err == nil {
		l.known[host] = knownParts{parts, now + int64(crc32.ChecksumIEEE([]byte(host))%partsKept)}
	}
	return parts, err
}

// at returns the baseline of peers for an hour, which it reads if it has none and may.
func (l *learner) at(ctx context.Context, p peers, hour, now int64, may bool) (*baseline, error) {
	if p.host == "" {
		l.used[p] = max(l.used[p], hour)
	}
	b := l.kept[p][hour]
	if b != nil || !may {
		return b, nil
	}
	b, err := l.baseline(ctx, p, hour, func(host string) ([]part, error) { return l.partsOf(ctx, host, now) })
	if err != nil {
		return nil, err
	}
	if l.kept[p] == nil {
		l.kept[p] = map[int64]*baseline{}
	}
	l.kept[p][hour] = b
	return b, nil
}

func hourOf(t int64) int64 { return t - t%3600 }

// forget drops what is over.
func (l *learner) forget(now int64) {
	for p, hours := range l.kept {
		maps.DeleteFunc(hours, func(hour int64, _ *baseline) bool { return hour < hourOf(now)-3600 })
		if len(hours) == 0 {
			delete(l.kept, p)
		}
	}
	maps.DeleteFunc(l.used, func(_ peers, hour int64) bool { return hour < hourOf(now)-3600 })
	maps.DeleteFunc(l.known, func(_ string, k knownParts) bool { return now-k.at >= partsKept })
}

// next returns roles of which the baseline of the next hour is not known yet, in a fixed order.
func (l *learner) next(now int64) (all []peers) {
	for p := range l.used {
		if l.kept[p][hourOf(now)+3600] == nil {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b peers) int {
		return cmp.Or(strings.Compare(a.role.String(), b.role.String()), cmp.Compare(a.since, b.since))
	})
	return all
}

// ahead reads baselines of the next hour in the second half of this one: one a round, and more while that takes no time.
func (r *round) ahead(ctx context.Context) {
	r.learner.forget(r.now)
	if r.now%3600 < 1800 {
		return
	}
	begin := r.Now()
	for _, p := range r.learner.next(r.now) {
		if ctx.Err() != nil || r.Now().Sub(begin) > learningAhead {
			return
		}
		if _, err := r.learner.at(ctx, p, hourOf(r.now)+3600, r.now, true); err != nil {
			r.errs = append(r.errs, err)
			return
		}
	}
}

// anomalous returns what there is to judge of a host by a monitor of anomalies, if anything is newer than what was judged.
func (r *round) anomalous(ctx context.Context, m *saba.Monitor, t target, h *saba.Host) (d hostMetric, ok bool) {
	parts, err := r.learner.partsOf(ctx, h.ID, r.now)
	if err != nil {
		r.errs = append(r.errs, err)
		return d, false
	}
	of := peersOf(m, h)
	d = hostMetric{monitor: m, target: t, parts: parts, peers: &of}
	for _, p := range parts {
		metrics := p.metrics
		if !p.add && len(metrics) > 0 {
			metrics = metrics[:1]
		}
		for _, name := range metrics {
			if s, ok := r.Samples.Latest(saba.Series{Org: r.Org, Host: h.ID, Name: name}); ok {
				d.newest = max(d.newest, s.Time)
			}
		}
	}
	if r.now-d.newest > lateAfter { // what was usual then is not kept any more
		return d, false
	}
	return d, d.newest > r.judged[t]
}

// anomaly judges a host by what is usual. says is false when nothing is known to compare it with; done is false when that could not be read in this
// round.
func (r *round) anomaly(ctx context.Context, d *hostMetric) (j Judgement, says, done bool) {
	done = true
	by := func(p peers) baselineAt {
		return func(at int64) *baseline {
			before := r.Now()
			b, err := r.learner.at(ctx, p, hourOf(at), r.now, r.learning < learningTurn)
			r.learning += r.Now().Sub(before)
			if err != nil {
				r.errs = append(r.errs, err)
			}
			if b == nil {
				done = false
			}
			return b
		}
	}
	samples := make([][]saba.Sample, len(d.parts))
	for i, p := range d.parts {
		if len(p.metrics) > 0 {
			samples[i] = p.series(d.samples[i])
		}
	}
	o, says := oddest(d.monitor, d.newest, samples, by(*d.peers), nil)
	if done && says && o.status != saba.CheckOK && d.peers.host == "" {
		o, says = oddest(d.monitor, d.newest, samples, by(*d.peers), by(peers{host: d.target.host, since: d.peers.since}))
	}
	if !done || !says {
		return Judgement{}, false, done
	}
	return o.say(r.Zone), true, true
}

// A Learned is what is known of a role's past, or of a host's, now.
type Learned struct {
	Of    string // "shop:web"
	Known bool   // it is enough to judge by; else it is learning
	Days  int    // that are known
	Least int    // that are needed
	When  string // of which times they are, when it is enough: "Saturdays 21:50–22:30 over 4 weeks"
}

// Learned returns what the last round knew for each role of a monitor of anomalies, in the order of the roles. It is empty while no round
// has judged a host by it. It is safe to call while Run runs.
func (e *Evaluator) Learned(monitor string) []Learned {
	e.learnedMu.Lock()
	defer e.learnedMu.Unlock()
	return slices.Clone(e.learned[monitor])
}

// notePeers keeps whose past a host is judged by, for noteLearned.
func (r *round) notePeers(m *saba.Monitor, h *saba.Host) {
	if r.peers[m.ID] == nil {
		r.peers[m.ID] = map[peers]bool{}
	}
	r.peers[m.ID][peersOf(m, h)] = true
}

// noteLearned keeps for Learned what is known now.
func (r *round) noteLearned() {
	all := map[string][]Learned{}
	for id, of := range r.peers {
		for p := range of {
			b := r.learner.kept[p][hourOf(r.now)]
			if b == nil {
				continue
			}
			best := usual{}
			for i := range quantities {
				if u := b.at(r.now, i); u.days > best.days {
					best = u
				}
			}
			l := Learned{Of: p.label(), Known: best.known(), Days: best.days, Least: leastDays}
			if l.Known {
				l.When = best.when(r.now, r.Zone)
			}
			all[id] = append(all[id], l)
		}
		slices.SortFunc(all[id], func(a, b Learned) int { return strings.Compare(a.Of, b.Of) })
	}
	r.learnedMu.Lock()
	defer r.learnedMu.Unlock()
	r.learned = all
}
