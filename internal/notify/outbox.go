package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

const (
	// interval is how soon after it was kept an event is decided.
	interval = time.Second
	// remindEvery is how often open alerts are looked through for those that are to be told again.
	remindEvery = 10 * time.Second
	// eventsAtOnce is how many events are decided by one look at the database, and kept by one transaction.
	eventsAtOnce = 500
	// stopTimeout is how long a try that is under way may take when saba stops.
	stopTimeout = 5 * time.Second
	// giveUpAfter is how long a message is tried: after a day nobody needs to be woken by it.
	giveUpAfter = 24 * time.Hour
	// troubleAfter is how long a channel does not answer before the others are told.
	troubleAfter = 5 * time.Minute
	// finalTries is how often a message is sent that its service refuses for good.
	finalTries = 3
	// graceAfterParent is how long after a host has come back the alerts on it may take to close, in seconds, before they are told.
	graceAfterParent = 90
	// keepEvents is how long what was told can be read: as long as samples.
	keepEvents = 460 * 24 * time.Hour
)

// A Notifier decides who is told of events, and tells them. Run is for one goroutine.
type Notifier struct {
	Options
	senders map[saba.ChannelType]Sender

	seen     int64            // changes of the database that were looked at
	quiet    int64            // changes at which nothing waited for a channel
	reminded time.Time        // when open alerts were last looked through
	tidied   time.Time        // when old events were last forgotten
	loud     map[string]int64 // alerts that were quiet and could speak now: since when, in Unix seconds
	failed   bool             // the last round did

	mu      sync.Mutex
	busy    map[string]bool // channels that are being told something
	workers sync.WaitGroup
}

// New returns a notifier that has done nothing yet.
func New(o Options) *Notifier {
	return &Notifier{Options: o, senders: senders(o), seen: -1, quiet: -1, loud: map[string]int64{}, busy: map[string]bool{}}
}

// Run works until ctx ends, and lets tries that are under way end then, for some seconds.
func (n *Notifier) Run(ctx context.Context) {
	t := time.NewTicker(interval)
	defer t.Stop()
	defer n.workers.Wait()
	for {
		err := n.Round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !n.failed {
			n.Log.Error("not every event could be told; it is tried again every second", "error", err)
		} else if err == nil && n.failed {
			n.Log.Info("all events are told again")
		}
		n.failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Round decides what is to be decided, and begins to tell every channel that is due. It does not wait for their answers: Wait does.
func (n *Notifier) Round(ctx context.Context) error {
	now := n.Now()
	var errs []error
	if now.Sub(n.reminded) >= remindEvery {
		n.reminded = now
		errs = append(errs, n.remind(ctx))
	}
	if changes := n.Store.Changes(); changes != n.seen {
		err := n.route(ctx)
		if err == nil {
			n.seen = changes
		}
		errs = append(errs, err)
	}
	errs = append(errs, n.dispatch(ctx))
	if now.Sub(n.tidied) >= time.Hour {
		n.tidied = now
		if _, err := n.Store.DeleteEvents(ctx, n.Org, now.Add(-keepEvents).Unix(), 10_000); err != nil {
			errs = append(errs, fmt.Errorf("forget old events: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Wait returns when no channel is being told anything.
func (n *Notifier) Wait() { n.workers.Wait() }

// facts reads what decisions rest on.
func (n *Notifier) facts(ctx context.Context) (*Facts, error) {
	f := &Facts{Now: n.Now().Unix(), Zone: n.Zone, Monitors: map[string]saba.Monitor{}}
	var err error
	if f.Channels, err = n.Store.Channels(ctx, n.Org); err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	if f.Groups, err = n.Store.NotificationGroups(ctx, n.Org); err != nil {
		return nil, fmt.Errorf("list notification groups: %w", err)
	}
	if f.Downtimes, err = n.Store.Downtimes(ctx, n.Org); err != nil {
		return nil, fmt.Errorf("list downtimes: %w", err)
	}
	monitors, err := n.Store.Monitors(ctx, n.Org)
	if err != nil {
		return nil, fmt.Errorf("list monitors: %w", err)
	}
	for _, m := range monitors {
		f.Monitors[m.ID] = m
	}
	if f.Open, err = n.Store.Alerts(ctx, n.Org, saba.AlertPage{Limit: 1 << 30}); err != nil {
		return nil, fmt.Errorf("list open alerts: %w", err)
	}
	for _, a := range f.Open {
		if a.Type != string(saba.MonitorConnectivity) {
			continue
		}
		h, err := n.Store.Host(ctx, n.Org, a.Host)
		if err != nil && !errors.Is(err, saba.ErrNotFound) {
			return nil, fmt.Errorf("read host %s: %w", a.Host, err)
		}
		if err == nil {
			f.Down = append(f.Down, h)
		}
	}
	f.Heard = func(subject string) (bool, error) { return n.Store.Heard(ctx, n.Org, subject) }
	f.Grouped = func(alert string) (bool, error) { return n.Store.Grouped(ctx, n.Org, alert) }
	return f, nil
}

// route decides about every event that nothing was decided about.
func (n *Notifier) route(ctx context.Context) error {
	for {
		events, err := n.Store.UnroutedEvents(ctx, n.Org, eventsAtOnce)
		if err != nil {
			return fmt.Errorf("list events: %w", err)
		}
		if len(events) == 0 {
			return nil
		}
		f, err := n.facts(ctx)
		if err != nil {
			return err
		}
		// One write to the disk for all of them: with one for each, 10,000 events that come at once would take more than ten seconds.
		decided, err := decideAll(events, f)
		if len(decided) > 0 {
			if err := n.Store.RouteEvents(ctx, n.Org, f.Now, decided...); err != nil {
				return fmt.Errorf("keep who is told of the events %d to %d: %w", decided[0].Event, decided[len(decided)-1].Event, err)
			}
		}
		if err != nil {
			return err
		}
		if len(events) < eventsAtOnce {
			return nil
		}
	}
}

// decideAll decides about events, oldest first, each after those before it. An error is about the first event that is missing in the result.
func decideAll(events []saba.Event, f *Facts) (decided []saba.Routing, err error) {
	stored := f.Heard
	defer func() { f.Heard = stored }()
	told := map[string]bool{} // the subjects of which somebody is told by what was just decided, and is not kept yet
	f.Heard = func(subject string) (bool, error) {
		if told[subject] {
			return true, nil
		}
		return stored(subject)
	}
	for i := range events {
		e := &events[i]
		v, err := Decide(e, f)
		if err != nil {
			return decided, fmt.Errorf("decide who is told of event %d: %w", e.Seq, err)
		}
		decided = append(decided, saba.Routing{Event: e.Seq, Verdict: v})
		if slices.ContainsFunc(v.Notifications, func(n saba.Notification) bool { return n.State == saba.NotificationWaiting }) {
			told[e.Subject] = true
		}
	}
	return decided, nil
}

// remind writes an event for each open alert that is to be told again: its interval has passed, or what kept it quiet has ended.
func (n *Notifier) remind(ctx context.Context) error {
	news, err := n.Store.AlertNews(ctx, n.Org)
	if err != nil {
		return fmt.Errorf("list what was told of alerts: %w", err)
	}
	for id := range n.loud {
		if _, ok := news[id]; !ok {
			delete(n.loud, id)
		}
	}
	if len(news) == 0 {
		return nil
	}
	f, err := n.facts(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i := range f.Open {
		a := &f.Open[i]
		last, ok := news[a.ID]
		if !ok {
			continue
		}
		due, err := n.due(ctx, f, a, last)
		if err == nil && due {
			delete(n.loud, a.ID)
			err = n.Store.AddEvent(ctx, n.Org, saba.Event{Kind: saba.EventAlert, Subject: a.ID, At: f.Now, Trigger: saba.TriggerStill})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("tell alert %s again: %w", a.ID, err))
		}
	}
	return errors.Join(append(errs, n.remindGroups(ctx, f.Now))...)
}

// remindGroups writes an event for each open group of alerts whose interval has passed.
func (n *Notifier) remindGroups(ctx context.Context, now int64) error {
	groups, err := n.Store.OpenAlertGroups(ctx, n.Org)
	if err != nil || len(groups) == 0 {
		return err
	}
	settings, err := n.Store.AlertGroupSettings(ctx, n.Org)
	if err != nil {
		return err
	}
	for _, g := range groups {
		i := slices.IndexFunc(settings, func(s saba.AlertGroupSetting) bool { return s.ID == g.Setting })
		if i < 0 || settings[i].NotificationInterval == nil {
			continue
		}
		last, err := n.Store.EventsOf(ctx, n.Org, g.ID, 1)
		if err != nil {
			return err
		}
		if len(last) == 0 || now-last[0].At < *settings[i].NotificationInterval*60 {
			continue
		}
		e := last[0].Event // whose alert says for whom it is
		e.At, e.Trigger, e.User = now, saba.TriggerStill, ""
		if err := n.Store.AddEvent(ctx, n.Org, e); err != nil {
			return err
		}
	}
	return nil
}

// due says whether an open alert is to be told again.
func (n *Notifier) due(ctx context.Context, f *Facts, a *saba.Alert, last saba.AlertNews) (bool, error) {
	every, err := n.every(ctx, f, a)
	if err != nil {
		return false, err
	}
	again := every > 0 && f.Now-last.At >= every
	if !again && !last.Silence.Passing() {
		return false, nil
	}
	e := saba.Event{Kind: saba.EventAlert, Alert: a, Trigger: saba.TriggerStill, Host: nil}
	if a.Host != "" {
		h, err := n.Store.Host(ctx, n.Org, a.Host)
		if err != nil {
			return false, err
		}
		e.Host = &h
	}
	if m, ok := f.Monitors[a.Monitor]; ok {
		e.Monitor = &m
	}
	if m, ok := f.Monitors[a.Monitor]; ok && m.Service != "" {
		e.Service = &saba.Service{Name: m.Service}
	}
	s, _, err := f.quiet(&e)
	if err != nil {
		return false, err
	}
	if s.Passing() && last.Silence == s {
		delete(n.loud, a.ID)
		return false, nil // as quiet as before, for the same reason
	}
	if again || last.Silence != saba.SilenceParent {
		return s == saba.SilenceNone || again, nil
	}
	// A host that has come back says within a minute or so what of it is still bad.
	if s != saba.SilenceNone {
		delete(n.loud, a.ID)
		return false, nil
	}
	since, ok := n.loud[a.ID]
	if !ok {
		n.loud[a.ID] = f.Now
	}
	return ok && f.Now-since >= graceAfterParent, nil
}

// every returns after how many seconds an open alert is told again; 0 for never.
func (n *Notifier) every(ctx context.Context, f *Facts, a *saba.Alert) (int64, error) {
	if a.Type == saba.AlertCheck {
		c, err := n.Store.Check(ctx, n.Org, a.Monitor)
		if errors.Is(err, saba.ErrNotFound) {
			return 0, nil
		}
		return c.Latest.NotificationInterval * 60, err
	}
	m, ok := f.Monitors[a.Monitor]
	if !ok || m.NotificationInterval == nil {
		return 0, nil
	}
	return *m.NotificationInterval * 60, nil
}

// dispatch begins to tell every channel for which something is due.
func (n *Notifier) dispatch(ctx context.Context) error {
	changes := n.Store.Changes()
	if changes == n.quiet {
		return nil // nothing waited, and nothing has changed since
	}
	next, err := n.Store.NextNotifications(ctx, n.Org)
	if err == nil && len(next) == 0 {
		n.quiet = changes
	}
	if err != nil || len(next) == 0 {
		return err
	}
	channels, err := n.Store.Channels(ctx, n.Org)
	if err != nil {
		return fmt.Errorf("list channels: %w", err)
	}
	byID := map[string]saba.Channel{}
	for _, c := range channels {
		byID[c.ID] = c
	}
	now := n.Now().Unix()
	for _, next := range next {
		if next.NextTry > now || !n.begin(next.Channel) {
			continue
		}
		n.workers.Go(func() {
			defer n.end(next.Channel)
			if err := n.tell(ctx, next.Channel, byID); err != nil && ctx.Err() == nil {
				n.Log.Error("what became of a notification could not be kept; it is tried again", "channel", next.Channel, "error", err)
			}
		})
	}
	return nil
}

// begin claims a channel for one goroutine.
func (n *Notifier) begin(channel string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy[channel] {
		return false
	}
	n.busy[channel] = true
	return true
}

func (n *Notifier) end(channel string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.busy, channel)
}

// tell sends a channel's notifications, oldest first, until one fails, none waits, or ctx ends.
func (n *Notifier) tell(ctx context.Context, id string, channels map[string]saba.Channel) error {
	for ctx.Err() == nil {
		next, e, err := n.Store.NextNotification(ctx, n.Org, id)
		if errors.Is(err, saba.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		now := n.Now().Unix()
		if next.NextTry > now {
			return nil
		}
		c, ok := channels[id]
		if !ok {
			next.State, next.Silence, next.Detail, next.DoneAt = saba.NotificationLeft, saba.SilenceGone, "the channel was deleted before its turn came", now
			if err := n.Store.SetNotification(ctx, n.Org, next); err != nil {
				return err
			}
			continue
		}
		m, err := n.message(ctx, e, c)
		if err != nil {
			return err // it is no fault of the channel's
		}
		sent := n.send(ctx, c, m)
		if sent != nil && !isPartly(sent) && ctx.Err() != nil {
			return nil // cut off by the stop: it is no fault of the channel's either
		}
		ended, err := n.settle(ctx, c, next, e, sent)
		if err != nil || !ended {
			return err
		}
	}
	return nil
}

// send tells a channel of an event. A stop gives it some seconds to end.
func (n *Notifier) send(ctx context.Context, c saba.Channel, m Message) error {
	s, ok := n.senders[c.Type]
	if !ok {
		return Final(saba.Errorf(saba.ErrInvalid, "channels of the type %s cannot be told anything yet", c.Type))
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), SendTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })()
	return s.Send(sending, c, m)
}

// settle keeps what became of a try, and says whether the notification is done with. What was confirmed is kept even when
// saba stops at that moment.
func (n *Notifier) settle(ctx context.Context, c saba.Channel, next saba.Notification, e saba.Event, sent error) (ended bool, err error) {
	ctx = context.WithoutCancel(ctx)
	now := n.Now()
	next.Attempts++
	if next.FirstTry == 0 {
		next.FirstTry = now.Unix()
	}
	switch {
	case sent == nil:
		next.State, next.Detail, next.DoneAt, next.NextTry = saba.NotificationSent, "", now.Unix(), 0
	case isPartly(sent):
		next.State, next.Detail, next.DoneAt, next.NextTry = saba.NotificationSent, sent.Error(), now.Unix(), 0
	case isFinal(sent) && next.Attempts >= finalTries:
		next.State, next.Detail, next.DoneAt, next.NextTry = saba.NotificationFailed, sent.Error(), now.Unix(), 0
		n.Log.Warn("a channel's service refuses a message; it was given up", "channel", c.Name, "event", e.Seq, "error", sent)
	default:
		next.Detail, next.NextTry = sent.Error(), now.Add(max(pause(next.Attempts), askedToWait(sent))).Unix()
	}
	if err := n.Store.SetNotification(ctx, n.Org, next); err != nil {
		return false, err
	}
	tried := time.Duration(now.Unix()-next.FirstTry) * time.Second
	waits := next.State == saba.NotificationWaiting
	switch {
	case next.State == saba.NotificationSent:
		err = n.tellTrouble(ctx, c, nil) // the trouble may have begun with another message, or before saba was started
	case !waits, next.Attempts > 1 && tried >= troubleAfter:
		err = n.tellTrouble(ctx, c, sent)
	}
	if err == nil && waits && tried >= giveUpAfter {
		n.Log.Error("a channel did not answer for a day and is suspended", "channel", c.Name, "error", sent)
		err = n.Store.SuspendChannel(ctx, n.Org, c.ID, now.Unix(), "it was tried for a day: "+sent.Error())
	}
	return !waits && err == nil, err
}

// tellTrouble writes an event for a channel that does not answer, or does again, unless the newest says so already.
func (n *Notifier) tellTrouble(ctx context.Context, c saba.Channel, sent error) error {
	last, err := n.Store.EventsOf(ctx, n.Org, c.ID, 1)
	if err != nil {
		return err
	}
	if known := len(last) > 0 && last[0].Trouble != ""; known == (sent != nil) {
		return nil
	}
	e := saba.Event{Kind: saba.EventChannel, Subject: c.ID, At: n.Now().Unix(), Channel: &saba.Channel{ID: c.ID, Name: c.Name, Type: c.Type}}
	if sent != nil {
		e.Trouble = sent.Error()
	}
	return n.Store.AddEvent(ctx, n.Org, e)
}

// pause returns how long after the n-th try in a row the next one is made.
func pause(n int64) time.Duration {
	steps := []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}
	return steps[min(int(n)-1, len(steps)-1)]
}
