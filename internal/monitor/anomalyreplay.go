package monitor

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/saba-monitor/saba"
)

// A replay of a monitor of anomalies learns what was usual for each hour, and judges every minute by it, as the loop does. It reads whole days,
// once, where the loop reads an hour of many.

const secondsPerDay = 24 * 3600

// An archive holds days of the samples of hosts.
type archive struct {
	trainer
	hosts []saba.Host
	parts map[string][]part
	days  map[int64]map[string][][]saba.Sample // by day of Unix time, host and quantity
}

func (t trainer) archive(hosts []saba.Host) *archive {
	return &archive{trainer: t, hosts: hosts, parts: map[string][]part{}, days: map[int64]map[string][][]saba.Sample{}}
}

// load reads a day of hosts.
func (a *archive) load(ctx context.Context, day int64, hosts []string) error {
	var series []saba.Series
	for _, h := range hosts {
		if a.parts[h] == nil {
			parts, err := a.trainer.parts(ctx, h)
			if err != nil {
				return err
			}
			a.parts[h] = parts
		}
		series = a.seriesOf(series, h, a.parts[h])
	}
	samples, err := a.history.Range(ctx, series, day*secondsPerDay, (day+1)*secondsPerDay-1)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.days[day] == nil {
		a.days[day] = map[string][][]saba.Sample{}
	}
	for _, h := range hosts {
		a.days[day][h], samples = combined(a.parts[h], samples)
	}
	return nil
}

// read is a reader.
func (a *archive) read(ctx context.Context, of stretch) ([][][]saba.Sample, error) {
	hosts := chosen(a.hosts, of)
	all := make([][][]saba.Sample, len(hosts))
	for i := range all {
		all[i] = make([][]saba.Sample, len(quantities))
	}
	for day := of.from / secondsPerDay; day <= (of.to-1)/secondsPerDay; day++ {
		var missing []string
		for _, h := range hosts {
			if a.days[day][h.ID] == nil {
				missing = append(missing, h.ID)
			}
		}
		if len(missing) > 0 {
			if err := a.load(ctx, day, missing); err != nil {
				return nil, err
			}
		}
		for i, h := range hosts {
			for k, samples := range a.days[day][h.ID] {
				all[i][k] = append(all[i][k], within(samples, of)...)
			}
		}
	}
	return all, nil
}

// learn returns the baseline of an hour, and forgets the days before those that it looked at.
func (a *archive) learn(ctx context.Context, p peers, hour int64) (*baseline, error) {
	b, err := learnHour(hour, p.since, a.zone, p.label(), func(of stretch) ([][][]saba.Sample, error) { return a.read(ctx, of) })
	if err != nil {
		return nil, fmt.Errorf("read what was usual for %s: %w", p.label(), err)
	}
	for day := range a.days {
		if day < hour/secondsPerDay-trainedWeeks*7-2 {
			delete(a.days, day)
		}
	}
	return b, nil
}

// anomalies replays a monitor of anomalies, role by role.
func (r *replay) anomalies(ctx context.Context) error {
	hosts, err := r.Records.Hosts(ctx, r.Org, saba.HostFilter{Statuses: []saba.HostStatus{saba.Working, saba.Standby}})
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	by := map[peers][]*saba.Host{}
	var order []peers
	for i := range hosts {
		if h := &hosts[i]; r.m.Watches(h.Roles) {
			p := peersOf(r.m, h)
			if by[p] == nil {
				order = append(order, p)
			}
			by[p] = append(by[p], h)
		}
	}
	t := trainer{r.Org, r.Records, r.History, r.Zone}
	for _, p := range order {
		if r.steps >= maxSteps {
			return nil
		}
		peerHosts, err := t.hosts(ctx, p, hourOf(r.from)-(trainedWeeks*7+1)*secondsPerDay)
		if err != nil {
			return err
		}
		a := t.archive(peerHosts)
		role := map[int64]*baseline{}
		for hour := hourOf(r.from) - 3600; hour <= r.to; hour += 3600 {
			if role[hour], err = a.learn(ctx, p, hour); err != nil {
				return err
			}
		}
		for _, h := range by[p] {
			if err := r.anomaly(ctx, t, r.course(h, ""), p, role); err != nil {
				return fmt.Errorf("replay host %s: %w", h.Label(), err)
			}
		}
	}
	return nil
}

// anomaly replays one host by the baselines of its peers, and where it is odd by its own.
func (r *replay) anomaly(ctx context.Context, t trainer, c *course, p peers, role map[int64]*baseline) error {
	parts, err := t.parts(ctx, c.host.ID)
	if err != nil {
		return err
	}
	own, self := map[int64]*baseline{}, t.archive([]saba.Host{{ID: c.host.ID}})
	var failed error
	byRole := func(at int64) *baseline { return role[hourOf(at)] }
	byOwn := func(at int64) *baseline {
		hour := hourOf(at)
		if own[hour] == nil && failed == nil {
			own[hour], failed = self.learn(ctx, alone(r.m, c.host), hour)
		}
		return own[hour]
	}
	if p.host != "" {
		byOwn = nil
	}
	windows, samples := make([]window, len(parts)), make([][]saba.Sample, len(parts))
	back := (max(r.m.MaxCheckAttempts, 1) + oddGap) * saba.Resolution
	err = r.slices(ctx, t.seriesOf(nil, c.host.ID, parts), r.from-back, r.to, func(read [][]saba.Sample, _, _ int64) {
		of, _ := combined(parts, read)
		for i := range windows {
			windows[i].add(r.m, of[i])
		}
		for failed == nil {
			now := int64(math.MaxInt64)
			for i := range windows {
				if at, ok := windows[i].at(); ok {
					now = min(now, at)
				}
			}
			if now == math.MaxInt64 {
				return
			}
			for i := range windows {
				samples[i] = nil
				if at, ok := windows[i].at(); ok && at == now {
					samples[i] = windows[i].advance(r.m)
				}
			}
			if now < c.from {
				continue
			}
			if o, ok := oddest(r.m, now, samples, byRole, byOwn); ok && failed == nil {
				c.judge(now, o.status, o.firm, func() Judgement { return o.say(r.Zone) })
			}
		}
	})
	return cmp.Or(failed, err)
}
