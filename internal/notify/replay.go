package notify

import (
	"context"
	"slices"

	"github.com/saba-monitor/saba"
)

// maxDecisions bounds one Tally: alerts of many hosts that are told again every ten minutes for a month are millions of messages.
const maxDecisions = 200_000

// A Tally is what a count of messages rests on.
type Tally struct {
	Facts    Facts                    // Now, Heard, Grouped and Open do not count
	Monitor  saba.Monitor             // the rule of all alerts
	Hosts    map[string]*saba.Host    // by id, those of alerts
	Settings []saba.AlertGroupSetting // an alert that one of them collects belongs to a group
	To       int64                    // where the past ends, Unix seconds
}

// Count says how many messages each channel would have got of replayed alerts: at each step, and again while they are open, by the same
// decisions as for alerts that are real. Nobody acknowledges, mutes or closes an alert in it, no channel fails, and no host is told to be
// down instead. Messages about groups of alerts are not counted. cut says that the count is not whole.
func (t Tally) Count(ctx context.Context, alerts []saba.ReplayedAlert) (counts []saba.ReplayedMessages, cut bool, err error) {
	c := counting{Tally: t, channels: map[string]int{}}
	c.Monitor.MuteUntil = 0 // a mute that ends is of today
	c.Facts.Open, c.Facts.Monitors = nil, map[string]saba.Monitor{c.Monitor.ID: c.Monitor}
	for i := range alerts {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if err := c.alert(&alerts[i]); err != nil {
			return nil, false, err
		}
	}
	for _, channel := range t.Facts.Channels {
		counts = append(counts, saba.ReplayedMessages{Channel: channel.ID, Name: channel.Name, Count: c.channels[channel.ID]})
	}
	return counts, c.decisions >= maxDecisions, nil
}

// A counting is a Tally under way.
type counting struct {
	Tally
	channels  map[string]int // messages, by channel
	decisions int
}

// alert counts the messages of one alert.
func (c *counting) alert(a *saba.ReplayedAlert) error {
	now := a.Alert // as it is at each step
	now.Worst = ""
	e := saba.Event{Kind: saba.EventAlert, Subject: a.ID, Alert: &now, Monitor: &c.Monitor, Host: c.Hosts[a.Host]}
	if c.Monitor.Service != "" {
		e.Service = &saba.Service{Name: c.Monitor.Service}
	}
	heard, grouped := false, slices.ContainsFunc(c.Settings, func(s saba.AlertGroupSetting) bool {
		return s.Collects(c.Monitor.ID, e.Roles(), e.ServiceName())
	})
	f := c.Facts
	f.Heard = func(string) (bool, error) { return heard, nil }
	f.Grouped = func(string) (bool, error) { return grouped, nil }
	every := int64(0)
	if c.Monitor.NotificationInterval != nil {
		every = *c.Monitor.NotificationInterval * 60
	}
	decide := func(at int64, trigger saba.AlertTrigger) (saba.Silence, error) {
		c.decisions++
		f.Now, e.At, e.Trigger = at, at, trigger
		v, err := Decide(&e, &f)
		for _, n := range v.Notifications {
			if n.State == saba.NotificationWaiting {
				c.channels[n.Channel]++
				heard = true
			}
		}
		return v.Silence, err
	}
	for i, s := range a.Steps {
		now.Status, now.Value, now.Message = s.Status, s.Value, s.Message
		if s.Status.Severity() > now.Worst.Severity() {
			now.Worst = s.Status
		}
		silence, err := decide(s.At, s.Trigger)
		if err != nil || s.Status == saba.CheckOK {
			return err
		}
		until := c.To
		if i+1 < len(a.Steps) {
			until = a.Steps[i+1].At
		}
		// It is told again after its interval, and when what kept it quiet has ended, for which every minute is looked at.
		told := s.At
		for at := s.At + 60; at < until && c.decisions < maxDecisions; at += 60 {
			if !silence.Passing() {
				if every == 0 {
					break
				}
				if at = max(at, told+every); at >= until {
					break
				}
			}
			f.Now, e.Trigger = at, saba.TriggerStill
			quiet, _, err := f.quiet(&e)
			if err != nil {
				return err
			}
			again := every > 0 && at-told >= every
			if quiet.Passing() && quiet == silence || quiet != saba.SilenceNone && !again {
				continue
			}
			if silence, err = decide(at, saba.TriggerStill); err != nil {
				return err
			}
			told = at
		}
	}
	return nil
}
