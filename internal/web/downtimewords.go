package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// whenWords says when a downtime is: "every 2 weeks on Saturday and Sunday at 22:00 for 4 h, until 12 Mar 2027 (Europe/Berlin)". server is the
// zone of downtimes that name none.
func whenWords(d saba.Downtime, server *time.Location) string {
	start := time.Unix(d.Start, 0).In(d.Zone(server))
	words := ""
	if r := d.Recurrence; r == nil {
		words = start.Format("2 Jan 2006, 15:04")
	} else {
		words = everyWords(*r, start)
		if r.Type == "hourly" {
			words += " from " + start.Format("2 Jan 2006, 15:04")
		} else {
			words += " at " + start.Format("15:04")
		}
	}
	words += " for " + minutesWords(d.Duration)
	if r := d.Recurrence; r != nil && r.Until != 0 {
		words += ", until " + time.Unix(r.Until, 0).In(d.Zone(server)).Format("2 Jan 2006, 15:04")
	}
	if d.Timezone != "" {
		words += " (" + d.Timezone + ")"
	}
	return words
}

// everyWords says how often a recurrence comes, and on which days: "every 2 weeks on Saturday and Sunday".
func everyWords(r saba.Recurrence, start time.Time) string {
	words := r.Type
	units := map[string]string{"hourly": "hours", "daily": "days", "weekly": "weeks", "monthly": "months", "yearly": "years"}
	if r.Interval > 1 {
		words = fmt.Sprintf("every %d %s", r.Interval, units[r.Type])
	}
	switch r.Type {
	case "weekly":
		days := slices.Clone(r.Weekdays)
		if len(days) == 0 {
			days = []string{start.Weekday().String()}
		}
		slices.SortFunc(days, func(a, b string) int {
			return cmp.Compare(slices.Index(weekdayNames, a), slices.Index(weekdayNames, b))
		})
		words += " on " + listWords(days)
	case "monthly":
		words += " on day " + strconv.Itoa(start.Day())
		if start.Day() > 28 {
			words += " or the last"
		}
	case "yearly":
		words += " on " + start.Format("2 January")
	}
	return words
}

// weekdayNames are the days of a week as it begins for downtimes.
var weekdayNames = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// listWords writes "a", "a and b", "a, b and c".
func listWords(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// minutesWords writes a length of time exactly: "1 h 30 min", "3 days".
func minutesWords(minutes int64) string {
	var words []string
	for _, u := range []struct {
		length int64
		unit   string
	}{{24 * 60, "day"}, {60, "h"}, {1, "min"}} {
		n := minutes / u.length
		minutes %= u.length
		switch {
		case n == 0:
		case u.unit == "day":
			words = append(words, count(int(n), "day"))
		default:
			words = append(words, fmt.Sprintf("%d %s", n, u.unit))
		}
	}
	return strings.Join(words, " ")
}

// A hushed is what a downtime hushes by what there is now.
type hushed struct {
	Hosts    []roleLink // whose alerts do not open; some of them
	HostsAll int
	Monitors []roleLink // of which at least one alert does not open; some of them
	MonAll   int
	Checks   bool // those of agents too
	All      bool // everything there is
}

// hushedNames bounds how many hosts, and how many monitors, are named.
const hushedNames = 12

// hushes says what a downtime hushes: which hosts have a monitor that it covers for them, or their checks, and which monitors it covers for
// somebody. hosts are those that are watched; checks are names by id.
func hushes(d saba.Downtime, hosts []saba.Host, monitors []saba.Monitor, checks map[string]saba.Check) hushed {
	var h hushed
	h.All = len(d.ServiceScopes)+len(d.RoleScopes)+len(d.MonitorScopes)+len(d.ServiceExcludeScopes)+len(d.RoleExcludeScopes)+len(d.MonitorExcludeScopes) == 0
	h.Checks = len(d.MonitorScopes) == 0
	covered := make([]bool, len(monitors))
	for i, m := range monitors {
		switch m.Type {
		case saba.MonitorService, saba.MonitorExternal:
			covered[i] = d.Covers(m.ID, nil, m.Service)
		case saba.MonitorExpression, saba.MonitorQuery:
			covered[i] = d.Covers(m.ID, nil, "")
		}
	}
	checkOn := map[string]bool{} // hosts with a check that is named
	for id, ch := range checks {
		if slices.Contains(d.MonitorScopes, id) {
			checkOn[ch.Host] = true
		}
	}
	for _, host := range hosts {
		some := h.Checks && d.Covers("", host.Roles, "") || checkOn[host.ID]
		for i, m := range monitors {
			switch m.Type {
			case saba.MonitorHost, saba.MonitorConnectivity, saba.MonitorAnomaly:
				if m.Watches(host.Roles) && d.Covers(m.ID, host.Roles, "") {
					covered[i], some = true, true
				}
			}
		}
		if some {
			h.HostsAll++
			if len(h.Hosts) < hushedNames {
				h.Hosts = append(h.Hosts, roleLink{host.Label(), "/hosts/" + host.ID})
			}
		}
	}
	add := func(label, address string) {
		h.MonAll++
		if len(h.Monitors) < hushedNames {
			h.Monitors = append(h.Monitors, roleLink{label, address})
		}
	}
	for i, m := range monitors {
		if covered[i] {
			add(m.Name, "/monitors/"+m.ID)
		}
	}
	for _, id := range d.MonitorScopes {
		if ch, known := checks[id]; known {
			add("check "+ch.Name, "/hosts/"+ch.Host)
		}
	}
	return h
}

// MoreHosts and MoreMonitors are how many are not named.
func (h hushed) MoreHosts() int    { return h.HostsAll - len(h.Hosts) }
func (h hushed) MoreMonitors() int { return h.MonAll - len(h.Monitors) }
