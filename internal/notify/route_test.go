package notify

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// Who is told, as words: a channel alone is told, one with a reason is not; a reason alone is for all.
func TestDecide(t *testing.T) {
	group := func(id string, f func(g *saba.NotificationGroup)) saba.NotificationGroup {
		g := saba.NotificationGroup{ID: id, Level: saba.NotifyAll, Channels: []string{"of-" + id}}
		if f != nil {
			f(&g)
		}
		return g
	}
	standard := group("default", func(g *saba.NotificationGroup) { g.Default = true })
	lists := func(skip bool) func(g *saba.NotificationGroup) {
		return func(g *saba.NotificationGroup) {
			g.Monitors = []saba.NotificationMonitor{{ID: "m1", SkipDefault: skip}}
		}
	}
	serves := func(name string) func(g *saba.NotificationGroup) {
		return func(g *saba.NotificationGroup) { g.Services = []saba.NotificationService{{Name: name}} }
	}
	critical := func(g *saba.NotificationGroup) { g.Level = saba.NotifyCritical }
	// nested has the default group hold a, which holds b, which holds a again; of the latter two one lets only CRITICAL through.
	nested := func(strict string) []saba.NotificationGroup {
		d, a, b := standard, group("a", nil), group("b", nil)
		d.Groups, a.Groups, b.Groups = []string{"a", "gone"}, []string{"b"}, []string{"a", "default"}
		for _, g := range []*saba.NotificationGroup{&a, &b} {
			if g.ID == strict {
				g.Level = saba.NotifyCritical
			}
		}
		return []saba.NotificationGroup{b, a, d}
	}
	down := saba.Alert{ID: "down", Host: "h1", Type: string(saba.MonitorConnectivity)}
	night := saba.Downtime{ID: "d", Name: "night", Start: opened - 60, Duration: 10}

	for name, tt := range map[string]struct {
		event func(e *saba.Event)
		facts func(f *Facts)
		want  string
	}{
		"the default group is told of everything":   {nil, nil, "of-default"},
		"a group of another monitor is not":         {nil, func(f *Facts) { f.Groups = append(f.Groups, group("a", serves("blog"))) }, "of-default"},
		"a group that lists the monitor":            {nil, func(f *Facts) { f.Groups = append(f.Groups, group("a", lists(false))) }, "of-a of-default"},
		"a group of a service of the host's roles":  {nil, func(f *Facts) { f.Groups = append(f.Groups, group("a", serves("shop"))) }, "of-a of-default"},
		"a group of the rule's service":             {func(e *saba.Event) { e.Host, e.Service = nil, &saba.Service{Name: "blog"} }, func(f *Facts) { f.Groups = append(f.Groups, group("a", serves("blog"))) }, "of-a of-default"},
		"skipDefault keeps the default group out":   {nil, func(f *Facts) { f.Groups = append(f.Groups, group("a", lists(true))) }, "of-a"},
		"and groups of the service":                 {nil, func(f *Facts) { f.Groups = append(f.Groups, group("a", lists(true)), group("b", serves("shop"))) }, "of-a"},
		"but not others that list it":               {nil, func(f *Facts) { f.Groups = append(f.Groups, group("a", lists(true)), group("b", lists(false))) }, "of-a of-b"},
		"skipDefault of another monitor is nothing": {func(e *saba.Event) { e.Alert.Monitor = "m2" }, func(f *Facts) { f.Groups = append(f.Groups, group("a", lists(true))) }, "of-default"},
		"groups in a circle are gone through once":  {nil, func(f *Facts) { f.Groups = nested("") }, "of-a of-b of-default"},
		"a level holds for the groups below":        {nil, func(f *Facts) { f.Groups = nested("a") }, "of-a(level) of-b(level) of-default"},
		"and not for those above":                   {nil, func(f *Facts) { f.Groups = nested("b") }, "of-a of-b(level) of-default"},
		"one way without a level is enough": {nil, func(f *Facts) {
			f.Groups = append(nested("a"), group("b2", func(g *saba.NotificationGroup) { lists(false)(g); g.Groups = []string{"b"} }))
		}, "of-a(level) of-b of-b2 of-default"},
		"a channel of two groups, one without a level": {nil, func(f *Facts) {
			f.Groups = append(f.Groups, group("a", func(g *saba.NotificationGroup) { lists(false)(g); critical(g); g.Channels = []string{"of-default"} }))
		}, "of-default"},
		"CRITICAL passes the level":             {func(e *saba.Event) { e.Alert.Status = saba.CheckCritical }, func(f *Facts) { critical(&f.Groups[0]) }, "of-default"},
		"UNKNOWN passes the level":              {func(e *saba.Event) { e.Alert.Status = saba.CheckUnknown }, func(f *Facts) { critical(&f.Groups[0]) }, "of-default"},
		"the end of what was CRITICAL passes":   {func(e *saba.Event) { e.Alert.Status, e.Alert.Worst = saba.CheckOK, saba.CheckCritical }, func(f *Facts) { critical(&f.Groups[0]) }, "of-default"},
		"the end of what was WARNING does not":  {func(e *saba.Event) { e.Alert.Status = saba.CheckOK }, func(f *Facts) { critical(&f.Groups[0]) }, "of-default(level)"},
		"what is no alert has no level":         {func(e *saba.Event) { e.Kind, e.Alert = saba.EventHostRetire, nil }, func(f *Facts) { critical(&f.Groups[0]) }, "of-default"},
		"a suspended channel":                   {nil, func(f *Facts) { f.Channels[0].SuspendedAt = opened }, "of-default(stopped)"},
		"a channel that asked for other events": {nil, func(f *Facts) { f.Channels[0].Events = []string{"monitor"} }, "nobody"},
		"no channel":                            {nil, func(f *Facts) { f.Channels = nil }, "nobody"},
		"of a group's alert the group is told":  {nil, func(f *Facts) { f.Grouped = func(string) (bool, error) { return true, nil } }, "of-default(grouped)"},
		"who hears no groups is told of the alert": {nil, func(f *Facts) {
			f.Channels[0].Events = []string{"alert"}
			f.Grouped = func(string) (bool, error) { return true, nil }
		}, "of-default"},
		"a muted monitor":                         {nil, func(f *Facts) { m := f.Monitors["m1"]; m.Mute = true; f.Monitors["m1"] = m }, "muted"},
		"a muted alert":                           {func(e *saba.Event) { e.Alert.Handling.MutedUntil = opened + 1 }, nil, "muted"},
		"an alert whose mute has ended":           {func(e *saba.Event) { e.Alert.Handling.MutedUntil = opened }, nil, "of-default"},
		"a host in standby":                       {func(e *saba.Event) { e.Host.Status = saba.Standby }, nil, "status"},
		"the end of an alert on a retired host":   {func(e *saba.Event) { e.Trigger, e.Alert.Status = saba.TriggerHostRetire, saba.CheckOK }, nil, "retired"},
		"the end of what nobody was told of":      {func(e *saba.Event) { e.Alert.Status = saba.CheckOK }, func(f *Facts) { f.Heard = func(string) (bool, error) { return false, nil } }, "unheard"},
		"an acknowledged alert is not told again": {func(e *saba.Event) { e.Trigger, e.Alert.Handling.AckedBy = saba.TriggerStill, "u1" }, nil, "handled"},
		"but its steps are":                       {func(e *saba.Event) { e.Alert.Handling.AckedBy = "u1" }, nil, "of-default"},
		"a downtime of everything":                {nil, func(f *Facts) { f.Downtimes = []saba.Downtime{night} }, "downtime"},
		"a downtime that is over":                 {nil, func(f *Facts) { night := night; night.Start -= 600; f.Downtimes = []saba.Downtime{night} }, "of-default"},
		"a downtime of another service": {nil, func(f *Facts) {
			night := night
			night.ServiceScopes = []string{"blog"}
			f.Downtimes = []saba.Downtime{night}
		}, "of-default"},
		"the end of an alert in a downtime":           {func(e *saba.Event) { e.Alert.Status = saba.CheckOK }, func(f *Facts) { f.Downtimes = []saba.Downtime{night} }, "of-default"},
		"a host that is down":                         {nil, func(f *Facts) { f.Open = []saba.Alert{down} }, "parent"},
		"another host that is down":                   {nil, func(f *Facts) { d := down; d.Host = "h2"; f.Open = []saba.Alert{d} }, "of-default"},
		"that the host is down":                       {func(e *saba.Event) { e.Alert.Type = string(saba.MonitorConnectivity) }, func(f *Facts) { f.Open = []saba.Alert{down} }, "of-default"},
		"a channel does not hear of its own trouble":  {func(e *saba.Event) { e.Kind, e.Alert, e.Host, e.Subject = saba.EventChannel, nil, nil, "of-default" }, nil, "nobody"},
		"a channel hears of another one's trouble":    {func(e *saba.Event) { e.Kind, e.Alert, e.Host, e.Subject = saba.EventChannel, nil, nil, "other" }, nil, "of-default"},
		"who hears of no alerts, hears of no trouble": {func(e *saba.Event) { e.Kind, e.Alert, e.Host, e.Subject = saba.EventChannel, nil, nil, "other" }, func(f *Facts) { f.Channels[0].Events = []string{"hostStatus"} }, "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &saba.Event{Kind: saba.EventAlert, Subject: "a1", At: opened, Trigger: saba.TriggerMonitoring,
				Alert: &saba.Alert{ID: "a1", Status: saba.CheckWarning, Worst: saba.CheckWarning, Monitor: "m1", Type: "host", Host: "h1"},
				Host:  &saba.Host{ID: "h1", Status: saba.Working, Roles: []saba.RoleName{{Service: "shop", Role: "web"}}}}
			yes := func(string) (bool, error) { return true, nil }
			f := &Facts{Now: opened, Zone: time.UTC, Groups: []saba.NotificationGroup{standard}, Monitors: map[string]saba.Monitor{"m1": {ID: "m1"}}, Heard: yes}
			for _, id := range []string{"of-default", "of-a", "of-b", "of-b2"} {
				f.Channels = append(f.Channels, saba.Channel{ID: id, Events: saba.ChannelEvents})
			}
			if tt.event != nil {
				tt.event(e)
			}
			if tt.facts != nil {
				tt.facts(f)
			}
			v, err := Decide(e, f)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range v.Notifications {
				words := n.Channel
				if n.State != saba.NotificationWaiting {
					words += "(" + string(n.Silence) + ")"
				}
				got = append(got, words)
			}
			if v.Silence != saba.SilenceNone {
				got = append(got, string(v.Silence))
			}
			slices.Sort(got)
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("told: %s, want %s", got, tt.want)
			}
		})
	}
}

// What begins and ends between two looks is told as it is when they are apart: the end is told to whoever hears of the beginning.
func TestEventsAreDecidedOneAfterTheOther(t *testing.T) {
	of := func(seq int64, alert string, status saba.CheckStatus) saba.Event {
		return saba.Event{Seq: seq, Kind: saba.EventAlert, Subject: alert, At: opened, Trigger: saba.TriggerMonitoring, Alert: &saba.Alert{ID: alert, Status: status, Worst: saba.CheckWarning, Monitor: alert, Type: "host"}}
	}
	broken := errors.New("the disk is gone")
	f := &Facts{
		Now: opened, Zone: time.UTC, Channels: []saba.Channel{{ID: "c", Events: saba.ChannelEvents}}, Groups: []saba.NotificationGroup{{ID: "default", Default: true, Level: saba.NotifyAll, Channels: []string{"c"}}},
		Monitors: map[string]saba.Monitor{"loud": {ID: "loud"}, "quiet": {ID: "quiet", Mute: true}},
		Heard: func(subject string) (bool, error) {
			if subject == "unknown" {
				return false, broken
			}
			return false, nil
		},
	}
	decided, err := decideAll([]saba.Event{
		of(1, "loud", saba.CheckWarning), of(2, "other", saba.CheckOK), of(3, "quiet", saba.CheckWarning), of(4, "loud", saba.CheckOK), of(5, "quiet", saba.CheckOK), of(6, "unknown", saba.CheckOK), of(7, "loud", saba.CheckWarning),
	}, f)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "event 6") {
		t.Errorf("the error is %v, want that of event 6", err)
	}
	want := []saba.Silence{saba.SilenceNone, saba.SilenceUnheard, saba.SilenceMuted, saba.SilenceNone, saba.SilenceMuted}
	for i, d := range decided {
		if i < len(want) && (d.Event != int64(i+1) || d.Silence != want[i] || (len(d.Notifications) > 0) != (want[i] == saba.SilenceNone)) {
			t.Errorf("of event %d it was decided %+v, want %q", i+1, d, want[i])
		}
	}
	if len(decided) != len(want) {
		t.Errorf("%d events were decided before the error, want %d", len(decided), len(want))
	}
	if heard, err := f.Heard("loud"); heard || err != nil {
		t.Errorf("afterwards the facts are others: %v, %v", heard, err)
	}
}
