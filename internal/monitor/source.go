package monitor

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

// Limits on what one expression reads.
const (
	maxSelected = 10_000    // series
	maxPoints   = 2_000_000 // minutes of all its series that are in memory at a time, 8 bytes each; also of its lines
	leastSlice  = 60        // minutes that are read at a time at least, of a longer range
)

// A source finds and reads what expressions name. It is made for a moment: what it has read of the database it keeps.
type source struct {
	org     string
	store   Records
	samples History
	hosts   []saba.Host // the live ones; nil until they are asked for
	names   map[string]string
}

// A selected is what a selector finds.
type selected struct {
	selector
	series []saba.Series
	into   []int  // which line the values of a series are added to
	lines  []line // without values
	seen   bool   // one of the series has a sample
}

// An evaluation is what an expression is at each minute of a range.
type evaluation struct {
	lines   []line
	missing []string // what the expression names and what has no sample: "loadavg5 of host web1"
}

// evaluate returns what e is at each minute from from to to, Unix seconds of whole minutes. It reads long ranges in slices. An error that
// matches saba.ErrInvalid says what is wrong with the expression: mostly that it asks for too much.
func (s *source) evaluate(ctx context.Context, e saba.Expression, from, to int64) (result evaluation, err error) {
	list, err := selectors(e)
	if err != nil {
		return result, err
	}
	all := make([]selected, len(list))
	series, reach := int64(0), int64(0) // reach: minutes of all series besides those of the range
	for i, sel := range list {
		if all[i], err = s.find(ctx, sel, from-sel.back, to-sel.until); err != nil {
			return result, err
		}
		n := int64(len(all[i].series))
		series, reach = series+n, reach+n*(sel.back-sel.until)/saba.Resolution
	}
	if series > maxSelected {
		return result, saba.Errorf(saba.ErrInvalid, "it reads %d series: at most %d are allowed", series, maxSelected)
	}
	left := (to-from)/saba.Resolution + 1
	slice := (maxPoints - reach) / max(series, 1)
	if slice < min(left, leastSlice) {
		return result, saba.Errorf(saba.ErrInvalid, "it reads %d minutes of %d series for each value: at most %d in all are allowed, so name fewer series or a shorter time",
			reach/max(series, 1)+1, series, maxPoints)
	}
	for ; left > 0; left -= slice {
		end := min(to, from+(slice-1)*saba.Resolution)
		read := make([][]line, len(all))
		for i := range all {
			if read[i], err = s.read(ctx, &all[i], from, end); err != nil {
				return result, err
			}
		}
		lines := compute(e, from, end, read)
		if minutes := (to - from) / saba.Resolution; result.lines == nil && int64(len(lines))*minutes > maxPoints {
			return result, saba.Errorf(saba.ErrInvalid, "it makes %d lines of %d minutes each: at most %d values in all are allowed, so ask for a shorter time", len(lines), minutes, maxPoints)
		}
		if result.lines == nil {
			result.lines = lines
		} else {
			for i := range lines {
				result.lines[i].values = append(result.lines[i].values, lines[i].values...)
			}
		}
		from = end + saba.Resolution
	}
	for i := range all {
		if !all[i].seen {
			name, err := s.describe(ctx, all[i].call)
			if err != nil {
				return result, err
			}
			if ago := all[i].until; ago > 0 {
				name += " " + span(ago) + " before"
			}
			result.missing = append(result.missing, name)
		}
	}
	slices.Sort(result.missing)
	result.missing = slices.Compact(result.missing)
	return result, nil
}

// slots are the metrics of hosts whose devices roleSlots adds up: by the name without the device, the one with it.
var slots = map[string]string{
	"interface.rxBytes.delta": "interface.*.rxBytes.delta", "interface.txBytes.delta": "interface.*.txBytes.delta",
	"disk.reads.delta": "disk.*.reads.delta", "disk.writes.delta": "disk.*.writes.delta",
	"container.cpu.usage": "container.cpu.*.usage", "container.memory.usage": "container.memory.*.usage",
}

// find returns the series that a selector names, which may have samples from from to to, Unix seconds.
func (s *source) find(ctx context.Context, sel selector, from, to int64) (selected, error) {
	found := selected{selector: sel}
	whose, metric := sel.call.Args[0].Text, sel.call.Args[1].Text
	var hosts []string
	service, merged := "", false
	switch sel.call.Name {
	case "host":
		hosts = []string{whose}
	case "service":
		services, err := s.store.Services(ctx, s.org)
		if err != nil {
			return found, fmt.Errorf("list services: %w", err)
		}
		for _, known := range services {
			if known.Name == whose {
				service = known.Series
			}
		}
	default:
		former := sel.call.Name == "roleSlots"
		if pattern := slots[metric]; former && pattern != "" {
			metric, merged = pattern, true
		}
		var err error
		if hosts, err = s.hostsOf(ctx, whose, former, from); err != nil {
			return found, err
		}
	}
	if !strings.Contains(metric, "*") {
		for _, h := range hosts {
			found.add(saba.Series{Org: s.org, Host: h, Name: metric}, s.label(sel.call, h, metric), h)
		}
		if service != "" {
			found.add(saba.Series{Org: s.org, Service: service, Name: metric}, metric, service)
		}
		return found, nil
	}
	series, err := s.samples.Like(ctx, s.org, hosts, service, metric, from, to)
	if err != nil {
		return found, err
	}
	for _, one := range series {
		key := one.Host + one.Service
		if n := len(found.lines); merged && n > 0 && found.lines[n-1].key == key { // they come host by host
			found.series, found.into = append(found.series, one), append(found.into, n-1)
			continue
		}
		if !merged {
			key += " " + stars(metric, one.Name)
		}
		found.add(one, s.label(sel.call, one.Host, one.Name), key)
	}
	return found, nil
}

func (f *selected) add(s saba.Series, label, key string) {
	f.series, f.into = append(f.series, s), append(f.into, len(f.lines))
	f.lines = append(f.lines, line{label: label, key: key})
}

// stars returns what the wildcards of a pattern stand for in a name.
func stars(pattern, name string) string {
	var found []string
	of := strings.Split(name, ".")
	for i, segment := range strings.Split(pattern, ".") {
		if segment == "*" && i < len(of) {
			found = append(found, of[i])
		}
	}
	return strings.Join(found, ".")
}

// live returns the live hosts.
func (s *source) live(ctx context.Context) ([]saba.Host, error) {
	if s.names != nil {
		return s.hosts, nil
	}
	hosts, err := s.store.Hosts(ctx, s.org, saba.HostFilter{})
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	s.hosts, s.names = hosts, make(map[string]string, len(hosts))
	for i := range hosts {
		s.names[hosts[i].ID] = hosts[i].Label()
	}
	return hosts, nil
}

// hostsOf returns the ids of the hosts that are in a role, and, of former ones, those that were retired in it since a time. Who has
// left a role, and lives, is not kept anywhere.
func (s *source) hostsOf(ctx context.Context, role string, former bool, since int64) (ids []string, err error) {
	hosts, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	name, err := saba.ParseRoleName(role)
	if err != nil {
		return nil, err
	}
	if former {
		hosts, err = s.store.Hosts(ctx, s.org, saba.HostFilter{Service: name.Service, Roles: []string{name.Role}, RetiredSince: max(since, 1)})
		if err != nil {
			return nil, fmt.Errorf("list the hosts of role %s, and those that were retired: %w", role, err)
		}
	}
	for i := range hosts {
		if slices.Contains(hosts[i].Roles, name) {
			ids = append(ids, hosts[i].ID)
			if s.names[hosts[i].ID] == "" {
				s.names[hosts[i].ID] = hosts[i].Label()
			}
		}
	}
	return ids, nil
}

// label returns what a series is called among the others of its call: of a role by its host.
func (s *source) label(call saba.Expression, host, metric string) string {
	switch {
	case call.Name == "host" || call.Name == "service":
		return metric
	case strings.Contains(call.Args[1].Text, "*"):
		return s.names[host] + " " + metric
	}
	return s.names[host]
}

// describe names what a call is about, for a message.
func (s *source) describe(ctx context.Context, call saba.Expression) (string, error) {
	whose, metric := call.Args[0].Text, call.Args[1].Text
	switch call.Name {
	case "service":
		return metric + " of service " + whose, nil
	case "host":
		if _, err := s.live(ctx); err != nil {
			return "", err
		}
		if name := s.names[whose]; name != "" {
			whose = name
		}
		return metric + " of host " + whose, nil
	}
	return metric + " of any host of role " + whose, nil
}

// span writes seconds, which are whole minutes, in words.
func span(seconds int64) string {
	for _, u := range []struct {
		seconds int64
		name    string
	}{{86400, "days"}, {3600, "hours"}} {
		if seconds%u.seconds == 0 && seconds > u.seconds {
			return fmt.Sprint(seconds/u.seconds, " ", u.name)
		}
	}
	return fmt.Sprint(seconds/60, " minutes")
}

// read returns the lines of what was found, as compute wants them for the minutes from from to to.
func (s *source) read(ctx context.Context, f *selected, from, to int64) ([]line, error) {
	from, to = from-f.back, to-f.until
	samples, err := s.samples.Range(ctx, f.series, from, to)
	if err != nil {
		return nil, err
	}
	lines := slices.Clone(f.lines)
	for i := range lines {
		lines[i].values = make([]float64, (to-from)/saba.Resolution+1)
		for k := range lines[i].values {
			lines[i].values[k] = math.NaN()
		}
	}
	for i, of := range samples {
		values := lines[f.into[i]].values
		f.seen = f.seen || len(of) > 0
		for _, sample := range of {
			k := (sample.Time - from) / saba.Resolution
			if math.IsNaN(values[k]) {
				values[k] = 0
			}
			values[k] = finite(values[k] + sample.Value)
		}
	}
	return lines, nil
}
