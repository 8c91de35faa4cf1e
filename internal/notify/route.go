package notify

import (
	"fmt"
	"slices"
	"time"

	"github.com/saba-monitor/saba"
)

// Facts are what a decision about an event rests on, as it is when the decision is taken.
type Facts struct {
	Now       int64 // Unix seconds
	Zone      *time.Location
	Channels  []saba.Channel
	Groups    []saba.NotificationGroup
	Downtimes []saba.Downtime
	Monitors  map[string]saba.Monitor // by id
	Open      []saba.Alert            // all that are open
	Down      []saba.Host             // that are unreachable
	// Heard says of an event's alert or group whether somebody was told of it before.
	Heard func(subject string) (bool, error)
	// Grouped says of an event's alert whether it belongs to a group of alerts.
	Grouped func(alert string) (bool, error)
}

// Decide says who is told of an event, and why others are not. It does nothing else. An error is one of f.Heard or f.Grouped.
func Decide(e *saba.Event, f *Facts) (saba.Verdict, error) {
	if e.Kind == saba.EventAlert || e.Kind == saba.EventAlertGroup && e.Alert != nil {
		if s, why, err := f.quiet(e); err != nil || s != saba.SilenceNone {
			return saba.Verdict{Silence: s, Detail: why}, err
		}
	}
	if e.Kind == saba.EventHandling {
		// Whatever keeps an alert quiet meanwhile: who was woken by it wants to know that somebody is at it, and nobody else does.
		if heard, err := f.Heard(e.Subject); err != nil || !heard {
			return saba.Verdict{Silence: saba.SilenceUnheard, Detail: "nobody was told that it began"}, err
		}
	}
	reached := f.reached(e)
	grouped := false
	if e.Kind == saba.EventAlert && f.Grouped != nil {
		var err error
		if grouped, err = f.Grouped(e.Alert.ID); err != nil {
			return saba.Verdict{}, err
		}
	}
	var v saba.Verdict
	told := false
	for i := range f.Channels {
		c := &f.Channels[i]
		level, ok := reached[c.ID]
		if !ok || e.Kind == saba.EventChannel && c.ID == e.Subject {
			continue
		}
		n := saba.Notification{Channel: c.ID, State: saba.NotificationLeft}
		switch {
		case !listens(c, e, grouped):
			n.Silence = saba.SilenceEvents
			if grouped && slices.Contains(c.Events, string(saba.EventAlert)) {
				n.Silence, n.Detail = saba.SilenceGrouped, "the group of alerts is told instead"
			}
		case !level:
			n.Silence, n.Detail = saba.SilenceLevel, "its notification group is told from CRITICAL on"
		case c.SuspendedAt != 0:
			n.Silence, n.Detail = saba.SilenceStopped, "the channel is suspended since "+time.Unix(c.SuspendedAt, 0).In(f.Zone).Format(timeLayout)
		default:
			n.State, told = saba.NotificationWaiting, true
		}
		if n.Silence == saba.SilenceEvents {
			continue // what a channel never asked for is no news of each event
		}
		v.Notifications = append(v.Notifications, n)
	}
	if !told && len(v.Notifications) == 0 {
		v.Silence, v.Detail = saba.SilenceNobody, "no notification group has a channel that is told of this"
	}
	return v, nil
}

// listens says whether a channel is told of events like e. One that is told of groups of alerts is told of an alert only if
// that belongs to none.
func listens(c *saba.Channel, e *saba.Event, grouped bool) bool {
	has := func(k saba.EventKind) bool { return slices.Contains(c.Events, string(k)) }
	switch e.Kind {
	case saba.EventHandling:
		kind, _ := saba.ChannelKindOf(c.Type)
		return has(saba.EventHandling) || kind.Acknowledges && has(saba.EventAlert) && e.Action == saba.ActionAcknowledge
	case saba.EventAlert:
		return has(saba.EventAlert) && !(grouped && has(saba.EventAlertGroup))
	case saba.EventChannel: // whoever is told of alerts has to know that another is not
		return has(saba.EventAlert) || has(saba.EventAlertGroup)
	}
	return has(e.Kind)
}

// quiet says why nobody is told of an event of an alert, or of a group that an alert has moved; SilenceNone when somebody may be.
func (f *Facts) quiet(e *saba.Event) (s saba.Silence, why string, err error) {
	a := e.Alert
	closes := a.Status == saba.CheckOK
	if e.Group != nil {
		closes = e.Group.Status == saba.CheckOK
	}
	if m, ok := f.Monitors[a.Monitor]; ok && m.Muted(f.Now) {
		return saba.SilenceMuted, "the monitor is muted", nil
	}
	if a.Handling.MutedUntil > f.Now {
		return saba.SilenceMuted, "the alert is muted until " + time.Unix(a.Handling.MutedUntil, 0).In(f.Zone).Format(timeLayout), nil
	}
	if e.Trigger == saba.TriggerHostRetire {
		return saba.SilenceRetired, "the host was retired", nil
	}
	if e.Host != nil && e.Host.Status != saba.Working {
		return saba.SilenceStatus, "the host is in the status " + string(e.Host.Status), nil
	}
	if closes {
		// Whoever was not told that something began is not told that it ended.
		heard, err := f.Heard(e.Subject)
		if err != nil || !heard {
			return saba.SilenceUnheard, "nobody was told that it began", err
		}
		return saba.SilenceNone, "", nil
	}
	if e.Trigger == saba.TriggerStill && a.Handling.AckedBy != "" {
		return saba.SilenceHandled, "somebody has acknowledged it", nil
	}
	for i := range f.Downtimes {
		if d := &f.Downtimes[i]; d.Active(f.Now, f.Zone) && d.Covers(a.Monitor, e.Roles(), e.ServiceName()) {
			return saba.SilenceDowntime, fmt.Sprintf("the downtime %q is under way", d.Name), nil
		}
	}
	if a.Host != "" && a.Type != string(saba.MonitorConnectivity) {
		for i := range f.Open {
			if p := &f.Open[i]; p.Host == a.Host && p.Type == string(saba.MonitorConnectivity) {
				return saba.SilenceParent, "the host is unreachable, which is told instead", nil
			}
		}
	}
	if m := e.Monitor; m != nil && m.Type == saba.MonitorExternal {
		for i := range f.Down {
			if f.Down[i].Serves(m.URL) {
				return saba.SilenceParent, "the host " + f.Down[i].Label() + " is unreachable, which is told instead", nil
			}
		}
	}
	return saba.SilenceNone, "", nil
}

// reached returns the channels to which notification groups carry an event, and of each whether the level of one group lets it pass.
func (f *Facts) reached(e *saba.Event) map[string]bool {
	byID := make(map[string]*saba.NotificationGroup, len(f.Groups))
	skip := false
	for i := range f.Groups {
		g := &f.Groups[i]
		byID[g.ID] = g
		for _, m := range g.Monitors {
			skip = skip || m.SkipDefault && m.ID == e.Rule()
		}
	}
	found, seen := map[string]bool{}, map[string]bool{}
	for i := range f.Groups {
		g := &f.Groups[i]
		if g.Default && !skip || !g.Default && concerns(g, e, skip) {
			carry(g, e, true, byID, seen, found)
		}
	}
	return found
}

// concerns says whether a group lists the monitor of an event, or one of its services. Where some group wants the monitor for itself, only
// those that list it count.
func concerns(g *saba.NotificationGroup, e *saba.Event, only bool) bool {
	rule := e.Rule()
	if rule != "" && slices.ContainsFunc(g.Monitors, func(m saba.NotificationMonitor) bool { return m.ID == rule }) {
		return true
	}
	if only {
		return false
	}
	return slices.ContainsFunc(g.Services, func(s saba.NotificationService) bool {
		return s.Name == e.ServiceName() || saba.Scope{Service: s.Name}.Holds(e.Roles())
	})
}

// carry adds the channels of a group and of those below it to found. passes says whether the groups above let the event pass; seen
// has of each group that was here whether it did then. Groups may hold each other.
func carry(g *saba.NotificationGroup, e *saba.Event, passes bool, groups map[string]*saba.NotificationGroup, seen, found map[string]bool) {
	passes = passes && (g.Level != saba.NotifyCritical || grave(e))
	if passed, ok := seen[g.ID]; ok && (passed || !passes) {
		return
	}
	seen[g.ID] = passes
	for _, id := range g.Channels {
		found[id] = found[id] || passes
	}
	for _, id := range g.Groups {
		if child := groups[id]; child != nil {
			carry(child, e, passes, groups, seen, found)
		}
	}
}

// grave says whether an event is of CRITICAL or UNKNOWN, or the end of an alert that was. What is about no alert has no level.
func grave(e *saba.Event) bool {
	switch {
	case e.Group != nil:
		return e.Group.Status.Severity() >= saba.CheckCritical.Severity() || e.Group.Status == saba.CheckOK && e.Group.Worst.Severity() >= saba.CheckCritical.Severity()
	case e.Alert == nil:
		return true
	case e.Alert.Status == saba.CheckOK:
		return e.Alert.Worst.Severity() >= saba.CheckCritical.Severity()
	}
	return e.Alert.Status.Severity() >= saba.CheckCritical.Severity()
}
