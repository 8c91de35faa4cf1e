package saba

import (
	"slices"
	"time"
)

// A Downtime is a time during which no alert opens. Scopes select what it is for: hosts by service and
// role, rules by monitor; without any it is for everything. The JSON keys are the protocol's, and
// part of the schema in which downtimes are kept.
type Downtime struct {
	ID                   string      `json:"id"`
	Name                 string      `json:"name"`
	Memo                 string      `json:"memo,omitzero"`
	Start                int64       `json:"start"`    // Unix seconds
	Duration             int64       `json:"duration"` // minutes
	Recurrence           *Recurrence `json:"recurrence,omitzero"`
	Timezone             string      `json:"timezone,omitzero"`       // IANA name of the zone whose days recur; "" means the server's. saba's own
	ServiceScopes        []string    `json:"serviceScopes,omitempty"` // service names
	ServiceExcludeScopes []string    `json:"serviceExcludeScopes,omitempty"`
	RoleScopes           []Scope     `json:"roleScopes,omitempty"`
	RoleExcludeScopes    []Scope     `json:"roleExcludeScopes,omitempty"`
	MonitorScopes        []string    `json:"monitorScopes,omitempty"` // monitor ids
	MonitorExcludeScopes []string    `json:"monitorExcludeScopes,omitempty"`
}

// A Recurrence says when a downtime comes again: each interval hours, days, weeks, months or years
// from its start. On the 31st of a shorter month it is the last day.
type Recurrence struct {
	Type     string   `json:"type"` // one of RecurrenceTypes
	Interval int64    `json:"interval"`
	Weekdays []string `json:"weekdays,omitempty"` // of a weekly one: "Sunday", "Monday"…
	Until    int64    `json:"until,omitzero"`     // Unix seconds; 0 means for ever
}

// RecurrenceTypes lists the types of recurrence.
var RecurrenceTypes = []string{"hourly", "daily", "weekly", "monthly", "yearly"}

var weekdays = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

const (
	maxDowntime  = 366 * 24 * 60 // minutes
	maxRecurring = 1000
	maxTime      = 1<<31 - 1 // Unix seconds that every client can read
)

// Check checks a downtime field by field. Whether what its scopes name exists is not its matter. The error
// is a FieldError.
func (d *Downtime) Check() error {
	if err := firstError(
		checkLine("name", d.Name, 1, MaxObjectName),
		checkText("memo", d.Memo, MaxObjectMemo),
		checkBetween("start", d.Start, 1, maxTime),
		checkBetween("duration", d.Duration, 1, maxDowntime),
		checkTimezone("timezone", d.Timezone),
		checkNames("serviceScopes", d.ServiceScopes), checkNames("serviceExcludeScopes", d.ServiceExcludeScopes),
		checkRoles("roleScopes", d.RoleScopes), checkRoles("roleExcludeScopes", d.RoleExcludeScopes),
		checkIDs("monitorScopes", d.MonitorScopes), checkIDs("monitorExcludeScopes", d.MonitorExcludeScopes),
	); err != nil {
		return err
	}
	r := d.Recurrence
	if r == nil {
		return nil
	}
	if len(r.Weekdays) > 0 && r.Type != "weekly" {
		return Invalidf("recurrence.weekdays", "belongs to the type weekly, not to %s", short(r.Type))
	}
	for i, day := range r.Weekdays {
		if err := checkOneOf("recurrence.weekdays["+itoa(i)+"]", day, weekdays...); err != nil {
			return err
		}
		if slices.Contains(r.Weekdays[:i], day) {
			return Invalidf("recurrence.weekdays["+itoa(i)+"]", "names %s a second time", day)
		}
	}
	if r.Until != 0 && r.Until < d.Start {
		return Invalidf("recurrence.until", "must not be before start (%d), not %d", d.Start, r.Until)
	}
	return firstError(
		checkOneOf("recurrence.type", r.Type, RecurrenceTypes...),
		checkBetween("recurrence.interval", r.Interval, 1, maxRecurring),
		checkBetween("recurrence.until", r.Until, 0, maxTime))
}

// checkTimezone checks the name of a time zone, which may be empty. "Local" is none: it would be another one on another machine.
func checkTimezone(field, name string) error {
	if name == "" {
		return nil
	}
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return Invalidf(field, "must be the name of a time zone such as Europe/Berlin or UTC, not %q", short(name))
	}
	return nil
}

// checkNames checks a list of service names, each of which may stand in it once.
func checkNames(field string, names []string) error {
	for i, n := range names {
		if !ValidName(n) {
			return Invalidf(field+"["+itoa(i)+"]", "must be the name of a service, not %q", short(n))
		}
	}
	return checkOnce(field, names)
}

// checkIDs checks a list of ids, each of which may stand in it once.
func checkIDs(field string, ids []string) error {
	for i, id := range ids {
		if id == "" {
			return Invalidf(field+"["+itoa(i)+"]", "must be an id, not empty")
		}
	}
	return checkOnce(field, ids)
}

// checkRoles checks a list of roles, each of which may stand in it once.
func checkRoles(field string, roles []Scope) error {
	for i, r := range roles {
		if r.Role == "" {
			return Invalidf(field+"["+itoa(i)+"]", "must be a role (service:role), not the service %q", r.Service)
		}
	}
	return checkOnce(field, roles)
}

func checkOnce[T comparable](field string, values []T) error {
	if err := checkCount(field, len(values), MaxReferences); err != nil {
		return err
	}
	seen := make(map[T]bool, len(values))
	for i, v := range values {
		if seen[v] {
			return Invalidf(field+"["+itoa(i)+"]", "names %v a second time", v)
		}
		seen[v] = true
	}
	return nil
}
