package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

const (
	// maxTold is how many events of an alert its page shows.
	maxTold = 50
	// changesBefore is how long before an alert changes of its services are shown with it, in seconds.
	changesBefore = 20 * 60
	// earlierDays is how many days before an alert earlier ones of the same rule and target are shown with it, maxEarlier at most.
	earlierDays = 30
	maxEarlier  = 5
)

// A toldEvent is an event of an alert, and who was told of it.
type toldEvent struct {
	At       int64
	Status   saba.CheckStatus
	What     string // happened
	Silent   string // what is not told because this is; "" for nothing
	Nobody   string // why nobody was told; "" when somebody was
	Channels []toldChannel
}

// A toldChannel is what became of an event on its way to a channel.
type toldChannel struct {
	Name  string
	State saba.NotificationState
	Words string
	At    int64 // when it was sent or given up; 0 when it was not
}

// handling is what people do about an alert, by their names.
type handling struct {
	AckedBy, Assignee, AssigneeID string // "" for nobody
	AckedAt                       int64
	MutedUntil                    int64 // 0 when it is not
	Members                       []saba.Member
}

// nameOf returns how pages call a member.
func nameOf(m saba.Member) string { return cmp.Or(m.ScreenName, m.Email) }

// memberName returns the name of an account; for one that is gone, words that say so.
func memberName(members []saba.Member, id string) string {
	i := slices.IndexFunc(members, func(m saba.Member) bool { return m.ID == id })
	switch {
	case id == "":
		return ""
	case i < 0:
		return "somebody who is no member any more"
	}
	return nameOf(members[i])
}

// handling returns what people do about an alert.
func (c *console) handling(ctx context.Context, org string, h saba.Handling) (handling, error) {
	members, err := c.Store.Members(ctx, org)
	if err != nil {
		return handling{}, fmt.Errorf("list the members: %w", err)
	}
	out := handling{
		AckedBy: memberName(members, h.AckedBy), AckedAt: h.AckedAt, Assignee: memberName(members, h.Assignee), AssigneeID: h.Assignee, Members: members,
	}
	if h.MutedUntil > c.Now().Unix() {
		out.MutedUntil = h.MutedUntil
	}
	return out, nil
}

// told returns who was told of an alert's events, the newest first.
func (c *console) told(ctx context.Context, org, alert string) ([]toldEvent, error) {
	events, err := c.Store.EventsOf(ctx, org, alert, maxTold)
	if err != nil {
		return nil, fmt.Errorf("list who was told of alert %s: %w", alert, err)
	}
	channels, err := c.Store.Channels(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	var out []toldEvent
	for i := range events {
		e := &events[i]
		if e.Alert == nil {
			continue
		}
		t := toldEvent{At: e.At, Status: e.Alert.Status, What: triggers[e.Trigger]}
		switch {
		case e.Kind == saba.EventHandling:
			t.What = handled[e.Action] + cmp.Or(e.Who, memberName(nil, "gone"))
		case e.Trigger == saba.TriggerStill:
			t.What = "still open"
		case e.Alert.Open() && e.At == e.Alert.OpenedAt:
			t.What = "opened"
		}
		if e.Depends > 0 && e.Alert.Status != saba.CheckOK {
			t.Silent = fmt.Sprintf("Monitors and checks that depend on this host, and are silent meanwhile: %d.", e.Depends)
		}
		if !e.Routed {
			t.Nobody = "Not decided yet: that takes a second."
		} else if e.Silence != saba.SilenceNone {
			t.Nobody = "Nobody was told: " + e.Detail + "."
		}
		for _, n := range e.Notifications {
			name := "a channel that is gone"
			if i := slices.IndexFunc(channels, func(ch saba.Channel) bool { return ch.ID == n.Channel }); i >= 0 {
				name = channels[i].Name
			}
			t.Channels = append(t.Channels, toldChannel{Name: name, State: n.State, Words: notificationWords(n, c.Now()), At: n.DoneAt})
		}
		out = append(out, t)
	}
	return out, nil
}

// handled says what was done by who handles an alert, before the name.
var handled = map[saba.EventAction]string{
	saba.ActionAcknowledge: "acknowledged by ", saba.ActionTakeBack: "no longer acknowledged by ", saba.ActionAssign: "assigned to ", saba.ActionUnassign: "no longer assigned to ",
}

// notificationWords says what became of a notification.
func notificationWords(n saba.Notification, now time.Time) string {
	switch n.State {
	case saba.NotificationSent:
		if n.Attempts > 1 {
			return fmt.Sprintf("told at the %s try", ordinal(n.Attempts))
		}
		return "told"
	case saba.NotificationFailed:
		return "given up: " + n.Detail
	case saba.NotificationLeft:
		return "not told: " + n.Detail
	}
	if n.Attempts == 0 {
		return "on its way"
	}
	return fmt.Sprintf("tried %s so far, again in %s: %s", times(n.Attempts), span(max(n.NextTry-now.Unix(), 0)), n.Detail)
}

func ordinal(n int64) string {
	switch n {
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// changes returns what was changed on the services of an alert's host, or on its service, within a while before the alert.
func (c *console) changes(ctx context.Context, org string, a saba.Alert, n alertNames) ([]saba.GraphAnnotation, error) {
	var services []string
	for _, r := range n.hosts[a.Host].Roles {
		services = append(services, r.Service)
	}
	if m := n.monitors[a.Monitor]; m.Service != "" {
		services = append(services, m.Service)
	}
	slices.Sort(services)
	var all []saba.GraphAnnotation
	for _, s := range slices.Compact(services) {
		found, err := c.Store.GraphAnnotations(ctx, org, s, a.OpenedAt-changesBefore, a.OpenedAt)
		if err != nil && !errors.Is(err, saba.ErrNotFound) {
			return nil, fmt.Errorf("list the annotations of service %s: %w", s, err)
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b saba.GraphAnnotation) int { return cmp.Compare(b.From, a.From) })
	return all, nil
}

// earlier adds to the page of an alert those that its rule opened for the same target before.
func (c *console) earlier(ctx context.Context, org string, a saba.Alert, n alertNames, p *alertPage) error {
	all, err := c.Store.EarlierAlerts(ctx, org, a, a.OpenedAt-earlierDays*day, maxEarlier+1)
	if err != nil {
		return fmt.Errorf("list alerts before alert %s: %w", a.ID, err)
	}
	if p.Often = len(all) > maxEarlier; p.Often {
		all = all[:maxEarlier]
	}
	p.Alike = (&alertsPage{Closed: true, alertSearch: alertSearch{Monitor: a.Monitor, Host: a.Host}}).address("")
	for _, e := range all {
		p.Earlier = append(p.Earlier, c.alertRow(e, n))
	}
	return nil
}

// handle lets a visitor do something about an alert, and shows it again.
func (c *console) handle(w http.ResponseWriter, r *http.Request, v visitor, what string, change func(saba.Handling) saba.Handling) error {
	id := r.PathValue("id")
	if _, err := c.Store.HandleAlert(r.Context(), v.Org, id, change); err != nil {
		return err
	}
	c.Log.Info("an alert was "+what, "alert", id, "by", v.User)
	http.Redirect(w, r, "/alerts/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

func (c *console) alertAckDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	if r.PostForm.Get("ack") == "no" {
		return c.handle(w, r, v, "taken back from whoever had acknowledged it", func(h saba.Handling) saba.Handling {
			h.AckedBy, h.AckedAt = "", 0
			return h
		})
	}
	return c.handle(w, r, v, "acknowledged", func(h saba.Handling) saba.Handling {
		if h.AckedBy == "" { // whoever was first
			h.AckedBy, h.AckedAt = v.User, c.Now().Unix()
		}
		return h
	})
}

func (c *console) alertMuteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	how, now := r.PostForm.Get("for"), c.Now()
	until := int64(0)
	switch length, known := muteFor[how]; {
	case known:
		until = now.Unix() + length
	case how == "until":
		var reason string
		until, reason = unixOf(strings.TrimSpace(r.PostForm.Get("until")), now.Location())
		if reason == "" && (until <= now.Unix() || until > now.Unix()+saba.MaxAlertMute) {
			reason = "must be within the next year"
		}
		if reason != "" {
			return saba.Errorf(saba.ErrInvalid, "The time until which the alert is muted %s: go back and choose another one.", reason)
		}
	case how != "none":
		return saba.Errorf(saba.ErrInvalid, "An alert is muted for an hour, eight hours, a day or until a time, not for %q: go back and press one of the buttons.", clip(how))
	}
	what := "muted"
	if until == 0 {
		what = "made to speak again"
	}
	return c.handle(w, r, v, what, func(h saba.Handling) saba.Handling {
		h.MutedUntil = until
		return h
	})
}

func (c *console) alertAssignDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	id := r.PostForm.Get("member")
	if id != "" {
		members, err := c.Store.Members(r.Context(), v.Org)
		if err != nil {
			return fmt.Errorf("list the members: %w", err)
		}
		if !slices.ContainsFunc(members, func(m saba.Member) bool { return m.ID == id }) {
			return saba.Errorf(saba.ErrInvalid, "There is no such member any more: go back and choose another one.")
		}
	}
	return c.handle(w, r, v, "assigned", func(h saba.Handling) saba.Handling {
		h.Assignee = id
		return h
	})
}
