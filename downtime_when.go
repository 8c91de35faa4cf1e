package saba

import (
	"slices"
	"time"
)

// Active says whether the downtime is under way at a time (Unix seconds). Days, weeks, months and years are those of
// zone, and each recurrence begins at the same time of day as the first, whether clocks were set in between or not.
func (d *Downtime) Active(at int64, zone *time.Location) bool {
	length := d.Duration * 60
	under := func(start int64) bool { // a recurrence that begins then
		last := d.Recurrence != nil && d.Recurrence.Until != 0 && start > d.Recurrence.Until
		return start >= d.Start && !last && start <= at && at < start+length
	}
	if at < d.Start {
		return false
	}
	r := d.Recurrence
	switch {
	case r == nil:
		return under(d.Start)
	case r.Type == "hourly":
		step := r.Interval * 3600
		return under(d.Start + (at-d.Start)/step*step)
	}
	first := time.Unix(d.Start, 0).In(zone)
	// No recurrence that is under way began earlier. The day before counts too, as zones shift days.
	for day := dateOf(time.Unix(max(at-length, d.Start), 0).In(zone)).AddDate(0, 0, -1); day.Unix() <= at+86_400; day = day.AddDate(0, 0, 1) {
		if !r.falls(dateOf(first), day) {
			continue
		}
		h, m, s := first.Clock()
		if under(time.Date(day.Year(), day.Month(), day.Day(), h, m, s, 0, zone).Unix()) {
			return true
		}
	}
	return false
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
