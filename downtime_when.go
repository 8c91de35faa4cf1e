package saba

import (
	"iter"
	"slices"
	"time"
)

// Zone returns the time zone in which the days of the downtime are counted: its own, or else server, that of the server. An unknown name,
// which Check refuses, is server too.
func (d *Downtime) Zone(server *time.Location) *time.Location {
	if d.Timezone == "" {
		return server
	}
	if zone, err := time.LoadLocation(d.Timezone); err == nil {
		return zone
	}
	return server
}

// Active says whether the downtime is under way at a time (Unix seconds). Days, weeks, months and years are those of its time zone, which
// is server where it names none, and each recurrence begins at the same time of day as the first, whether clocks were set in
// between or not (see onClock).
func (d *Downtime) Active(at int64, server *time.Location) bool {
	length := d.Duration * 60
	if at < d.Start {
		return false
	}
	for start := range d.beginnings(at-length+1, at, server) {
		if start <= at && at < start+length {
			return true
		}
	}
	return false
}

// farthest is how far ahead recurrences are looked for, in seconds: ten years.
const farthest = 10 * 366 * 86_400

// Occurrences returns when the downtime begins, in Unix seconds and in time order: of those that have not ended at a time (Unix seconds)
// the first most, within ten years. server is as in Active.
func (d *Downtime) Occurrences(from int64, server *time.Location, most int) []int64 {
	var starts []int64
	after := from - d.Duration*60 + 1
	for start := range d.beginnings(after, max(from, d.Start)+farthest, server) {
		if len(starts) == most {
			break
		}
		if start >= after {
			starts = append(starts, start)
		}
	}
	return starts
}

// beginnings yields when the downtime begins from about from up to about to, in time order.
func (d *Downtime) beginnings(from, to int64, server *time.Location) iter.Seq[int64] {
	r := d.Recurrence
	return func(yield func(int64) bool) {
		if r == nil {
			yield(d.Start)
			return
		}
		if r.Until != 0 {
			to = min(to, r.Until)
		}
		from = max(from, d.Start)
		if r.Type == "hourly" {
			step := r.Interval * 3600
			for start := d.Start + (from-d.Start)/step*step; start <= to && yield(start); {
				start += step
			}
			return
		}
		zone := d.Zone(server)
		first := time.Unix(d.Start, 0).In(zone)
		// The day before counts too, as zones shift days.
		for day := dateOf(time.Unix(from, 0).In(zone)).AddDate(0, 0, -1); day.Unix() <= to+86_400; day = day.AddDate(0, 0, 1) {
			if !r.falls(dateOf(first), day) {
				continue
			}
			start := d.Start
			if day != dateOf(first) {
				start = onClock(day, first, zone)
			}
			if start >= d.Start && start <= to && !yield(start) {
				return
			}
		}
	}
}

// onClock returns the Unix seconds at which the clocks of zone show the time of day of like on day, which is as dateOf has it. Where clocks
// are set forward over that time, it is the moment at which they are set; where they are set back and show it twice, it is the first.
func onClock(day, like time.Time, zone *time.Location) int64 {
	h, m, s := like.Clock()
	t := time.Date(day.Year(), day.Month(), day.Day(), h, m, s, 0, zone)
	since, until := t.ZoneBounds()
	wanted := time.Date(day.Year(), day.Month(), day.Day(), h, m, s, 0, time.UTC).Unix()
	_, offset := t.Zone()
	switch shown := t.Unix() + int64(offset); {
	case shown > wanted: // it was skipped, and t is after that
		return since.Unix()
	case shown < wanted:
		return until.Unix()
	case since.IsZero():
		return t.Unix()
	}
	_, before := since.Add(-1).Zone()
	if earlier := t.Unix() - int64(before-offset); before > offset && earlier < since.Unix() {
		return earlier
	}
	return t.Unix()
}

// dateOf returns the day of t as its midnight in UTC, where all days are equally long.
func dateOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// falls says whether a recurrence that began on the day first falls on day; both are as dateOf has them.
func (r *Recurrence) falls(first, day time.Time) bool {
	days := int64(day.Sub(first) / (24 * time.Hour))
	months := int64(day.Year()-first.Year())*12 + int64(day.Month()-first.Month())
	sameDay := day.Day() == min(first.Day(), time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day())
	switch r.Type {
	case "daily":
		return days%r.Interval == 0
	case "weekly":
		// Weeks begin on Monday, so that the days of a weekend stay together (ISO 8601).
		weeks := (days + int64(first.Weekday()+6)%7) / 7
		if days < 0 {
			return false
		}
		named := slices.Contains(r.Weekdays, day.Weekday().String()) || len(r.Weekdays) == 0 && day.Weekday() == first.Weekday()
		return weeks%r.Interval == 0 && named
	case "monthly":
		return months%r.Interval == 0 && sameDay
	case "yearly":
		return months%12 == 0 && months/12%r.Interval == 0 && sameDay
	}
	return false
}

// Covers says whether the downtime is for a rule and what it is about: the roles of a host, or a service; neither for
// a rule that is about none. Of services and roles any counts, of monitors too, and what is excluded never does.
func (d *Downtime) Covers(monitor string, roles []RoleName, service string) bool {
	inServices := func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return n == service || (Scope{Service: n}).Holds(roles) })
	}
	inRoles := func(scopes []Scope) bool {
		return slices.ContainsFunc(scopes, func(s Scope) bool { return s.Holds(roles) })
	}
	anywhere := len(d.ServiceScopes) == 0 && len(d.RoleScopes) == 0
	return (anywhere || inServices(d.ServiceScopes) || inRoles(d.RoleScopes)) &&
		!inServices(d.ServiceExcludeScopes) && !inRoles(d.RoleExcludeScopes) &&
		(len(d.MonitorScopes) == 0 || slices.Contains(d.MonitorScopes, monitor)) && !slices.Contains(d.MonitorExcludeScopes, monitor)
}
