// Package notify tells people what happened. Events come from the database, where each was written with the change that it
// is about; what is decided about them and what became of it is kept there too, so that a kill at any moment loses nothing.
//
// What a user sees: a message for each step of an alert, by the channels of the notification groups that are for it, within
// seconds; again while it is open, after the monitor's interval; and on the alert's page for each event who was told, when, and who was not
// and why. A channel that does not answer is tried again for a day, its messages in order; meanwhile the other channels are told
// that it is silent. After that day it is suspended until somebody releases it.
//
// route.go decides, without doing anything. outbox.go does. A way to tell people is one file with a Sender, and one line in senders.
package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/saba-monitor/saba"
)

// Store is what package notify asks of the database.
type Store interface {
	Org(ctx context.Context, id string) (saba.Org, error)
	Channels(ctx context.Context, org string) ([]saba.Channel, error)
	NotificationGroups(ctx context.Context, org string) ([]saba.NotificationGroup, error)
	Downtimes(ctx context.Context, org string) ([]saba.Downtime, error)
	Monitors(ctx context.Context, org string) ([]saba.Monitor, error)
	Alerts(ctx context.Context, org string, p saba.AlertPage) ([]saba.Alert, error)
	Host(ctx context.Context, org, id string) (saba.Host, error)
	Check(ctx context.Context, org, id string) (saba.Check, error)
	Members(ctx context.Context, org string) ([]saba.Member, error)

	Changes() int64
	AddEvent(ctx context.Context, org string, e saba.Event) error
	UnroutedEvents(ctx context.Context, org string, limit int) ([]saba.Event, error)
	RouteEvents(ctx context.Context, org string, at int64, decided ...saba.Routing) error
	AlertNews(ctx context.Context, org string) (map[string]saba.AlertNews, error)
	Heard(ctx context.Context, org, subject string) (bool, error)
	Grouped(ctx context.Context, org, alert string) (bool, error)
	OpenAlertGroups(ctx context.Context, org string) ([]saba.AlertGroup, error)
	AlertGroupSettings(ctx context.Context, org string) ([]saba.AlertGroupSetting, error)
	NextNotifications(ctx context.Context, org string) ([]saba.Notification, error)
	NextNotification(ctx context.Context, org, channel string) (saba.Notification, saba.Event, error)
	SetNotification(ctx context.Context, org string, n saba.Notification) error
	SuspendChannel(ctx context.Context, org, id string, at int64, reason string) error
	EventsOf(ctx context.Context, org, subject string, limit int) ([]saba.Told, error)
	DeleteEvents(ctx context.Context, org string, before int64, limit int) (int64, error)
}

// Pictures draws graphs of alerts. A picture is about the alert of an event at the time of that.
type Pictures interface {
	// URL returns an address that anybody who has it can read for some weeks; "" when there is nothing to draw.
	URL(e *saba.Event) string
	// PNG returns the picture itself; nil when there is nothing to draw.
	PNG(ctx context.Context, e *saba.Event) ([]byte, error)
}

// SendTimeout bounds one try to tell a channel.
const SendTimeout = 20 * time.Second

// Options are what a Notifier needs. All fields but Pictures and Mail are required.
type Options struct {
	Org      string
	Store    Store
	Client   *http.Client // asks the services of channels; it refuses addresses that nobody may be pointed to
	Mail     Mail
	Pictures Pictures       // nil for none
	URL      string         // of the console, without a slash at its end: links in messages begin with it
	Zone     *time.Location // in which messages say times, and in which the days of downtimes are counted that name no zone
	Now      func() time.Time
	Random   io.Reader
	Log      *slog.Logger
}

// A Message is an event as a channel tells it.
type Message struct {
	saba.Event
	Org     saba.Org
	URL     string // of the console, as in Options
	Zone    *time.Location
	Picture string // address of the graph; "" for none
	// PNG returns the graph itself, for channels that send it along, and nil where there is nothing to draw. It is nil itself where no graph
	// is drawn. A graph may have no address and be drawn all the same: the console's may be unknown.
	PNG func(ctx context.Context) ([]byte, error)
	// Key is the same for every try to tell this channel of this event, and no other: services that know it twice may drop one.
	Key     string
	Members []saba.Member // of the organization: e-mail goes to accounts by their address
}

// A Sender tells one kind of channel.
type Sender interface {
	// Send returns when the channel's service has confirmed the message. Its error is a sentence for a person, without secrets; see Final and
	// RetryAfter for those that say what to do.
	Send(ctx context.Context, c saba.Channel, m Message) error
}

// senders lists the ways to tell people.
func senders(o Options) map[saba.ChannelType]Sender {
	over := service{o.Client, o.Now}
	return map[saba.ChannelType]Sender{
		saba.ChannelEmail:      newEmail(o.Mail, o.Now),
		saba.ChannelWebhook:    webhook{over},
		saba.ChannelSlack:      slack{over},
		saba.ChannelTeams:      teams{over},
		saba.ChannelDiscord:    discord{over},
		saba.ChannelMattermost: mattermost{over},
		saba.ChannelPagerDuty:  pagerduty{over},
		saba.ChannelTelegram:   telegram{over},
		saba.ChannelNtfy:       ntfy{over},
		saba.ChannelTemplate:   byTemplate{over},
	}
}

// A refusal is an error that says when to try again.
type refusal struct {
	error
	final  bool
	partly bool
	after  time.Duration
}

func (r refusal) Unwrap() error { return r.error }

// Final marks an error that no other try will mend: the message is given up, and the next one is sent.
func Final(err error) error { return refusal{error: err, final: true} }

// Partly marks an error of a message that was confirmed for some of those behind a channel and never will be for the others: it is not sent
// again, and the error is kept for who looks.
func Partly(err error) error { return refusal{error: err, partly: true} }

// RetryAfter marks an error of a service that said when to come again.
func RetryAfter(err error, d time.Duration) error { return refusal{error: err, after: d} }

// isFinal says whether an error was marked by Final.
func isFinal(err error) bool {
	var r refusal
	return errors.As(err, &r) && r.final
}

// isPartly says whether an error was marked by Partly.
func isPartly(err error) bool {
	var r refusal
	return errors.As(err, &r) && r.partly
}

// askedToWait returns how long a service asked to be left alone; 0 when it did not say.
func askedToWait(err error) time.Duration {
	var r refusal
	errors.As(err, &r)
	return r.after
}

// Test tells a channel that somebody tries it, also one that is suspended. Where its service does not confirm that, the error is a sentence that
// matches saba.ErrUntold.
func (n *Notifier) Test(ctx context.Context, c saba.Channel, user string) error {
	s, ok := n.senders[c.Type]
	if !ok {
		return saba.Errorf(saba.ErrInvalid, "channels of the type %s cannot be told anything yet", c.Type)
	}
	ctx, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()
	m, err := n.message(ctx, saba.Event{Kind: saba.EventTest, At: n.Now().Unix(), User: user}, c)
	if err != nil {
		return err
	}
	if err := s.Send(ctx, c, m); isPartly(err) {
		return saba.Errorf(saba.ErrUntold, "the channel %q was told in part: %v", c.Name, err)
	} else if err != nil {
		return saba.Errorf(saba.ErrUntold, "the channel %q was not told: %v", c.Name, err)
	}
	return nil
}

// message makes of an event what a channel is told.
func (n *Notifier) message(ctx context.Context, e saba.Event, c saba.Channel) (Message, error) {
	org, err := n.Store.Org(ctx, n.Org)
	if err != nil {
		return Message{}, fmt.Errorf("read the organization: %w", err)
	}
	m := Message{Event: e, Org: org, URL: n.URL, Zone: n.Zone, Key: fmt.Sprintf("%s-%d", c.ID, e.Seq)}
	if len(c.UserIDs) > 0 {
		if m.Members, err = n.Store.Members(ctx, n.Org); err != nil {
			return Message{}, fmt.Errorf("list the members: %w", err)
		}
	}
	if n.Pictures != nil && e.Kind == saba.EventAlert { // what people do about an alert needs no graph
		m.Picture = n.Pictures.URL(&e)
		m.PNG = func(ctx context.Context) ([]byte, error) { return n.Pictures.PNG(ctx, &e) }
	}
	return m, nil
}
