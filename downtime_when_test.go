package saba

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDowntimeActive(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) int64 {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v.Unix()
	}
	for name, tt := range map[string]struct {
		start    string
		duration int64
		again    *Recurrence
		in, out  []string
	}{
		"once":                           {"2026-03-10 02:00", 60, nil, []string{"2026-03-10 02:00", "2026-03-10 02:59"}, []string{"2026-03-10 01:59", "2026-03-10 03:00", "2026-03-11 02:30"}},
		"every 6 hours":                  {"2026-03-10 02:00", 30, &Recurrence{Type: "hourly", Interval: 6}, []string{"2026-03-10 08:10", "2026-03-12 02:29"}, []string{"2026-03-10 07:59", "2026-03-10 08:30", "2026-03-09 20:00"}},
		"hourly and longer than an hour": {"2026-03-10 02:00", 90, &Recurrence{Type: "hourly", Interval: 1}, []string{"2026-03-10 05:15"}, []string{"2026-03-10 01:00"}},
		"daily, over a change of clocks": {"2026-03-27 23:30", 60, &Recurrence{Type: "daily", Interval: 1}, []string{"2026-03-28 00:29", "2026-03-29 23:30", "2026-03-31 00:15"}, []string{"2026-03-29 22:45", "2026-03-30 00:30"}},
		"every third day":                {"2026-03-01 10:00", 60, &Recurrence{Type: "daily", Interval: 3}, []string{"2026-03-04 10:30", "2026-03-31 10:30"}, []string{"2026-03-02 10:30", "2026-03-30 10:30"}},
		"weekly on its own day":          {"2026-03-03 10:00", 60, &Recurrence{Type: "weekly", Interval: 1}, []string{"2026-03-10 10:30"}, []string{"2026-03-11 10:30", "2026-03-09 10:30"}},
		"every second weekend": {"2026-03-07 22:00", 240, &Recurrence{Type: "weekly", Interval: 2, Weekdays: []string{"Saturday", "Sunday"}},
			[]string{"2026-03-07 23:00", "2026-03-08 01:00", "2026-03-08 23:00", "2026-03-21 23:00", "2026-03-23 01:30"}, []string{"2026-03-14 23:00", "2026-03-15 23:00", "2026-03-20 23:00"}},
		"monthly on the 31st":      {"2026-01-31 10:00", 60, &Recurrence{Type: "monthly", Interval: 1}, []string{"2026-02-28 10:30", "2026-03-31 10:30", "2026-04-30 10:30"}, []string{"2026-03-28 10:30", "2026-04-29 10:30"}},
		"yearly on a leap day":     {"2024-02-29 10:00", 60, &Recurrence{Type: "yearly", Interval: 1}, []string{"2025-02-28 10:30", "2028-02-29 10:30"}, []string{"2028-02-28 10:30", "2025-03-01 10:30"}},
		"until":                    {"2026-03-10 10:00", 60, &Recurrence{Type: "daily", Interval: 1, Until: at("2026-03-12 10:00")}, []string{"2026-03-12 10:59"}, []string{"2026-03-13 10:00"}},
		"longer than its interval": {"2026-03-10 10:00", 3 * 24 * 60, &Recurrence{Type: "weekly", Interval: 1}, []string{"2026-03-12 10:00", "2026-03-19 10:00", "2026-03-20 09:59"}, []string{"2026-03-13 10:00", "2026-03-16 10:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := Downtime{Start: at(tt.start), Duration: tt.duration, Recurrence: tt.again}
			for _, s := range tt.in {
				if !d.Active(at(s), berlin) {
					t.Errorf("it is not under way at %s", s)
				}
			}
			for _, s := range tt.out {
				if d.Active(at(s), berlin) {
					t.Errorf("it is under way at %s", s)
				}
			}
		})
	}
}

// Days are those of the downtime's own zone, also where its clocks are set. In Berlin they go from 2:00 to 3:00 on 29 March 2026, and from 3:00
// back to 2:00 on 25 October; Lord Howe's are moved by half an hour; Samoa had no 30 December 2011.
func TestDowntimeOccurrences(t *testing.T) {
	daily := func(start, zone string) Downtime {
		return Downtime{Start: instant(t, start), Duration: 60, Timezone: zone, Recurrence: &Recurrence{Type: "daily", Interval: 1}}
	}
	weekly := Downtime{Start: instant(t, "2026-11-20T22:00:00+01:00"), Duration: 180, Timezone: "Europe/Berlin", Recurrence: &Recurrence{Type: "weekly", Interval: 2, Weekdays: []string{"Friday", "Sunday"}}}
	until := daily("2026-11-20T22:00:00+01:00", "Europe/Berlin")
	until.Recurrence.Until = instant(t, "2026-11-22T22:00:00+01:00")
	for name, tt := range map[string]struct {
		d    Downtime
		from string
		want []string
	}{
		"once":                                  {Downtime{Start: instant(t, "2026-11-20T22:00:00Z"), Duration: 60}, "2026-11-01T00:00:00Z", []string{"2026-11-20T22:00:00Z"}},
		"once, and it is under way, by seconds": {Downtime{Start: instant(t, "2026-11-20T22:00:00Z"), Duration: 60}, "2026-11-20T22:59:59Z", []string{"2026-11-20T22:00:00Z"}},
		"once, and over":                        {Downtime{Start: instant(t, "2026-11-20T22:00:00Z"), Duration: 60}, "2026-11-20T23:00:00Z", nil},
		"a time that is skipped begins when the clocks are set": {daily("2026-03-27T02:30:00+01:00", "Europe/Berlin"), "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		"a time that comes twice begins with the first": {daily("2026-10-23T02:30:00+02:00", "Europe/Berlin"), "2026-10-24T00:00:00Z",
			[]string{"2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		"unless it began with the second": {daily("2026-10-25T02:30:00+01:00", "Europe/Berlin"), "2026-10-01T00:00:00Z",
			[]string{"2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00"}},
		"the hour of the change itself": {daily("2026-10-23T03:00:00+02:00", "Europe/Berlin"), "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T03:00:00+01:00", "2026-10-26T03:00:00+01:00", "2026-10-27T03:00:00+01:00"}},
		"another zone than the server's": {daily("2026-03-06T02:30:00-05:00", "America/New_York"), "2026-03-07T00:00:00Z",
			[]string{"2026-03-07T02:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		"no zone is the server's": {daily("2026-03-27T02:30:00+01:00", ""), "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"}},
		"half an hour": {daily("2026-04-03T01:45:00+11:00", "Australia/Lord_Howe"), "2026-04-04T10:00:00Z",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30", "2026-04-07T01:45:00+10:30"}},
		"a day that is skipped": {daily("2011-12-28T10:00:00-10:00", "Pacific/Apia"), "2011-12-29T20:30:00Z",
			[]string{"2011-12-29T10:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T10:00:00+14:00"}},
		"every second week": {weekly, "2026-11-23T00:00:00Z", []string{"2026-12-04T22:00:00+01:00", "2026-12-06T22:00:00+01:00", "2026-12-18T22:00:00+01:00"}},
		"until":             {until, "2026-11-21T23:59:59+01:00", []string{"2026-11-22T22:00:00+01:00"}},
		"hourly": {Downtime{Start: instant(t, "2026-11-20T22:00:00Z"), Duration: 90, Recurrence: &Recurrence{Type: "hourly", Interval: 1}}, "2026-11-21T00:15:00Z",
			[]string{"2026-11-20T23:00:00Z", "2026-11-21T00:00:00Z", "2026-11-21T01:00:00Z"}},
		"not yet":                         {weekly, "2020-01-01T00:00:00Z", []string{"2026-11-20T22:00:00+01:00", "2026-11-22T22:00:00+01:00", "2026-12-04T22:00:00+01:00"}},
		"not within ten years: no search": {Downtime{Start: instant(t, "2020-01-01T00:00:00Z"), Duration: 1, Recurrence: &Recurrence{Type: "yearly", Interval: 1000}}, "2026-01-01T00:00:00Z", nil},
	} {
		t.Run(name, func(t *testing.T) {
			berlin, err := time.LoadLocation("Europe/Berlin")
			if err != nil {
				t.Fatal(err)
			}
			var want []int64
			for _, w := range tt.want {
				want = append(want, instant(t, w))
			}
			got := tt.d.Occurrences(instant(t, tt.from), berlin, 3)
			if !slices.Equal(got, want) {
				var texts []string
				for _, at := range got {
					texts = append(texts, time.Unix(at, 0).In(tt.d.Zone(berlin)).Format(time.RFC3339))
				}
				t.Errorf("it begins at %v, want %v", texts, tt.want)
			}
			length := tt.d.Duration * 60
			for _, at := range got {
				if !tt.d.Active(at, berlin) || !tt.d.Active(at+length-1, berlin) {
					t.Errorf("it is not under way from %d for %d s", at, length)
				}
				if before := tt.d.Active(at-1, berlin); before != (name == "hourly") {
					t.Errorf("a second before %d it is under way: %t", at, before)
				}
			}
		})
	}
}

func instant(t *testing.T, s string) int64 {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v.Unix()
}

func TestDowntimeTimezone(t *testing.T) {
	d := Downtime{Name: "d", Start: 1, Duration: 1}
	for zone, want := range map[string]string{
		"": "", "UTC": "", "Asia/Tokyo": "", "America/Argentina/Ushuaia": "",
		"Local":                  `timezone must be the name of a time zone such as Europe/Berlin or UTC, not "Local"`,
		"Europe/Nowhere":         `timezone must be the name of a time zone such as Europe/Berlin or UTC, not "Europe/Nowhere"`,
		"../../etc/passwd":       `timezone must be the name`,
		strings.Repeat("x", 500): `timezone must be the name`,
	} {
		d.Timezone = zone
		if err := d.Check(); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("zone %q: %v, want %q", zone, err, want)
		}
	}
}

func TestDowntimeCovers(t *testing.T) {
	web := []RoleName{{Service: "shop", Role: "web"}}
	for name, tt := range map[string]struct {
		d       Downtime
		monitor string
		roles   []RoleName
		service string
		want    bool
	}{
		"no scope is everything":              {Downtime{}, "m", nil, "", true},
		"a service, of a host":                {Downtime{ServiceScopes: []string{"shop"}}, "m", web, "", true},
		"a service, of its metric":            {Downtime{ServiceScopes: []string{"shop"}}, "m", nil, "shop", true},
		"another service":                     {Downtime{ServiceScopes: []string{"shop"}}, "m", nil, "blog", false},
		"a rule about nothing, and a service": {Downtime{ServiceScopes: []string{"shop"}}, "m", nil, "", false},
		"a role or a service":                 {Downtime{ServiceScopes: []string{"blog"}, RoleScopes: []Scope{{"shop", "web"}}}, "m", web, "", true},
		"another role":                        {Downtime{RoleScopes: []Scope{{"shop", "db"}}}, "m", web, "", false},
		"an excluded role":                    {Downtime{ServiceScopes: []string{"shop"}, RoleExcludeScopes: []Scope{{"shop", "web"}}}, "m", web, "", false},
		"an excluded service":                 {Downtime{ServiceExcludeScopes: []string{"shop"}}, "m", web, "", false},
		"a monitor":                           {Downtime{MonitorScopes: []string{"m"}}, "m", web, "", true},
		"another monitor":                     {Downtime{MonitorScopes: []string{"m"}}, "n", web, "", false},
		"a monitor of another service":        {Downtime{MonitorScopes: []string{"m"}, ServiceScopes: []string{"blog"}}, "m", web, "", false},
		"an excluded monitor":                 {Downtime{MonitorExcludeScopes: []string{"m"}}, "m", web, "", false},
	} {
		if got := tt.d.Covers(tt.monitor, tt.roles, tt.service); got != tt.want {
			t.Errorf("%s: covered %v, want %v", name, got, tt.want)
		}
	}
}
