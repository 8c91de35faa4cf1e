package web

import (
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// A downtimeForm is a downtime as a form has it: with times of the clock, and services and roles in one list.
type downtimeForm struct {
	Name, Memo       string
	Start            string // as browsers send it, by the clocks of Timezone
	Length           int64
	Unit             string // of Length: "minutes", "hours", "days"
	Timezone         string
	Every            string // a type of recurrence; "" for none
	Interval         int64
	Weekdays         []string
	Until            string // like Start
	Scopes, Excludes []saba.Scope
	Monitors, Others []string // ids of those that are hushed and of those that are not
}

// The headings of a downtime's form.
const (
	partSpan  = "When"
	partAgain = "Again and again"
	partHush  = "What is hushed"
	partNot   = "But not"
)

var lengthUnits = []choice{{Value: "minutes", Label: "minutes"}, {Value: "hours", Label: "hours"}, {Value: "days", Label: "days"}}

func weekdayChoices() []choice {
	choices := make([]choice, len(weekdayNames))
	for i, day := range weekdayNames {
		choices[i] = choice{Value: day, Label: day}
	}
	return choices
}

// downtimeFields declares the fields of a downtime.
var downtimeFields = []field[downtimeForm]{
	{name: "name", label: "Name", part: partSpan, input: inputLine, required: true, hint: "Backup of the database", of: func(d *downtimeForm) any { return &d.Name }},
	{name: "start", label: "Begins", part: partSpan, input: inputWhen, required: true, of: func(d *downtimeForm) any { return &d.Start }},
	{name: "duration", label: "Lasts", part: partSpan, input: inputWhole, least: "1", most: "527040", required: true, of: func(d *downtimeForm) any { return &d.Length }},
	{name: "unit", label: "Unit", part: partSpan, input: inputOneOf, choices: lengthUnits, of: func(d *downtimeForm) any { return &d.Unit }},
	{name: "timezone", label: "Time zone", part: partSpan, input: inputLine, from: "zones", hint: "that of the server",
		help: "A name such as Europe/Berlin or Asia/Tokyo. Recurrences keep to its clocks, in winter and in summer.", of: func(d *downtimeForm) any { return &d.Timezone }},
	{name: "recurrence", label: "Comes again", part: partAgain, input: inputOneOf, choices: []choice{{Value: "", Label: "never"}, {Value: "hourly", Label: "hourly"}, {Value: "daily", Label: "daily"},
		{Value: "weekly", Label: "weekly"}, {Value: "monthly", Label: "monthly"}, {Value: "yearly", Label: "yearly"}}, of: func(d *downtimeForm) any { return &d.Every }},
	{name: "interval", label: "Every", part: partAgain, input: inputWhole, least: "1", most: "1000", help: "1 is every hour, day, week, month or year; 2 every other.", of: func(d *downtimeForm) any { return &d.Interval }},
	{name: "until", label: "Until", part: partAgain, input: inputWhen, help: "The last one begins by then. Empty is for ever.", of: func(d *downtimeForm) any { return &d.Until }},
	{name: "weekdays", label: "On", noun: "The choice of days", part: partAgain, input: inputDays, choices: weekdayChoices(), help: "Of a weekly one; nothing chosen means the day on which it begins.",
		of: func(d *downtimeForm) any { return &d.Weekdays }},
	{name: "scopes", label: "Services and roles", noun: "The choice", part: partHush, input: inputPicks, from: "scopes", help: "Their hosts, and the metrics of the services. Nothing chosen means everything.",
		of: func(d *downtimeForm) any { return &d.Scopes }},
	{name: "monitors", label: "Monitors", noun: "The choice", part: partHush, input: inputPicks, from: "monitors", help: "Nothing chosen means all, and the checks of agents as well.",
		of: func(d *downtimeForm) any { return &d.Monitors }},
	{name: "excludeScopes", label: "Services and roles", noun: "The choice", part: partNot, input: inputPicks, from: "scopes", of: func(d *downtimeForm) any { return &d.Excludes }},
	{name: "excludeMonitors", label: "Monitors", noun: "The choice", part: partNot, input: inputPicks, from: "monitors", of: func(d *downtimeForm) any { return &d.Others }},
	{name: "memo", label: "Memo", input: inputText, hint: "What is done, and by whom", of: func(d *downtimeForm) any { return &d.Memo }},
}

// downtimeName is the field of the form that a field of a downtime is in.
var downtimeName = strings.NewReplacer("recurrence.type", "recurrence", "recurrence.interval", "interval", "recurrence.weekdays", "weekdays", "recurrence.until", "until",
	"serviceScopes", "scopes", "roleScopes", "scopes", "serviceExcludeScopes", "excludeScopes", "roleExcludeScopes", "excludeScopes",
	"monitorScopes", "monitors", "monitorExcludeScopes", "excludeMonitors")

// formOfDowntime writes a downtime as its form has it.
func formOfDowntime(d saba.Downtime, server *time.Location) downtimeForm {
	zone := d.Zone(server)
	f := downtimeForm{
		Name: d.Name, Memo: d.Memo, Start: localOf(d.Start, zone), Length: d.Duration, Unit: "minutes", Timezone: d.Timezone, Interval: 1,
		Monitors: d.MonitorScopes, Others: d.MonitorExcludeScopes,
	}
	switch {
	case d.Duration > 0 && d.Duration%(24*60) == 0:
		f.Length, f.Unit = d.Duration/(24*60), "days"
	case d.Duration > 0 && d.Duration%60 == 0:
		f.Length, f.Unit = d.Duration/60, "hours"
	}
	for _, s := range d.ServiceScopes {
		f.Scopes = append(f.Scopes, saba.Scope{Service: s})
	}
	for _, s := range d.ServiceExcludeScopes {
		f.Excludes = append(f.Excludes, saba.Scope{Service: s})
	}
	f.Scopes, f.Excludes = append(f.Scopes, d.RoleScopes...), append(f.Excludes, d.RoleExcludeScopes...)
	if r := d.Recurrence; r != nil {
		f.Every, f.Interval, f.Weekdays, f.Until = r.Type, r.Interval, r.Weekdays, localOf(r.Until, zone)
	}
	return f
}

// downtime reads the form. old is the downtime that it replaces: a time that was not touched stays to the second, also where clocks
// show it twice. The error is a FieldError whose field is that of a downtime.
func (f downtimeForm) downtime(old saba.Downtime, server *time.Location) (d saba.Downtime, err error) {
	d = saba.Downtime{ID: old.ID, Name: f.Name, Memo: f.Memo, Timezone: f.Timezone, Duration: f.Length, MonitorScopes: f.Monitors, MonitorExcludeScopes: f.Others}
	switch f.Unit {
	case "hours":
		d.Duration *= 60
	case "days":
		d.Duration *= 24 * 60
	}
	for _, s := range f.Scopes {
		if s.Role == "" {
			d.ServiceScopes = append(d.ServiceScopes, s.Service)
		} else {
			d.RoleScopes = append(d.RoleScopes, s)
		}
	}
	for _, s := range f.Excludes {
		if s.Role == "" {
			d.ServiceExcludeScopes = append(d.ServiceExcludeScopes, s.Service)
		} else {
			d.RoleExcludeScopes = append(d.RoleExcludeScopes, s)
		}
	}
	was := formOfDowntime(old, server)
	at := func(name, typed, wasTyped string, wasAt int64) (int64, error) {
		if old.ID != "" && typed == wasTyped && f.Timezone == old.Timezone {
			return wasAt, nil
		}
		unix, reason := unixOf(typed, d.Zone(server))
		if reason != "" {
			return 0, saba.Invalidf(name, "%s", reason)
		}
		return unix, nil
	}
	if d.Start, err = at("start", f.Start, was.Start, old.Start); err != nil {
		return d, err
	}
	if d.Start == 0 {
		return d, saba.Invalidf("start", "is required: a date and a time")
	}
	if f.Every != "" {
		d.Recurrence = &saba.Recurrence{Type: f.Every, Interval: f.Interval}
		if f.Every == "weekly" { // days that were chosen for a week, before another recurrence was, say nothing
			d.Recurrence.Weekdays = f.Weekdays
		}
		var wasUntil int64
		if old.Recurrence != nil {
			wasUntil = old.Recurrence.Until
		}
		if d.Recurrence.Until, err = at("recurrence.until", f.Until, was.Until, wasUntil); err != nil {
			return d, err
		}
	}
	return d, d.Check()
}
