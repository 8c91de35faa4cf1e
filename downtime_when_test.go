package saba

import (
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
