// Package web is the console: the pages that people look at, and the few JSON, SVG and CSV
// answers that those pages draw from.
//
// A page is a handler that fills a struct and renders the template of the same name in page/.
// Every page is whole without JavaScript: links and forms work and charts are images; the
// scripts in static/ only draw charts that answer to the mouse and keep them fresh. No HTML is
// made from strings: html/template escapes what strangers wrote, and the scripts use
// textContent. The package never imports an engine; it names what it asks of them in Store and
// Samples. Start with routes.go, the table of contents.
package web

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/monitor"
)

// Store is what the console asks of the database, and no more.
type Store interface {
	Hosts(ctx context.Context, org string, f saba.HostFilter) ([]saba.Host, error)
	Host(ctx context.Context, org, id string) (saba.Host, error)
	SetHostStatus(ctx context.Context, org string, ids []string, s saba.HostStatus) error
	RetireHosts(ctx context.Context, org string, ids []string, at int64) error
	Services(ctx context.Context, org string) ([]saba.Service, error)
	Roles(ctx context.Context, org, service string) ([]saba.Role, error)
	GraphDefs(ctx context.Context, org string) ([]saba.GraphDef, error)
	ServiceGraphDefs(ctx context.Context, org, service string) ([]saba.GraphDef, error)
	Org(ctx context.Context, id string) (saba.Org, error)
	HiddenServiceGraphs(ctx context.Context, org, service string) (map[string]int64, error)
	Checks(ctx context.Context, org, host string) ([]saba.Check, error)
	MetadataNamespaces(ctx context.Context, o saba.MetadataOwner) ([]string, error)

	Alerts(ctx context.Context, org string, p saba.AlertPage) ([]saba.Alert, error)
	Alert(ctx context.Context, org, id string) (saba.Alert, error)
	EarlierAlerts(ctx context.Context, org string, a saba.Alert, since int64, limit int) ([]saba.Alert, error)
	AlertLogs(ctx context.Context, org, id, from string, limit int) ([]saba.AlertLog, error)
	MoveAlert(ctx context.Context, org, id string, move saba.AlertMove) (saba.Alert, error)
	EventsOf(ctx context.Context, org, subject string, limit int) ([]saba.Told, error)
	AlertCulprits(ctx context.Context, org, id string) (saba.Culprits, error)
	FindAlerts(ctx context.Context, org string, f saba.AlertFilter, from string, limit int) (found []saba.Alert, next string, err error)
	HandleAlert(ctx context.Context, org, id string, change func(saba.Handling) saba.Handling) (saba.Alert, error)
	Channels(ctx context.Context, org string) ([]saba.Channel, error)
	CreateChannel(ctx context.Context, org string, c saba.Channel, toDefault bool) error
	UpdateChannel(ctx context.Context, org, id string, change func(old saba.Channel) (saba.Channel, error)) (saba.Channel, error)
	DeleteChannel(ctx context.Context, org, id string) (saba.Channel, error)
	SuspendChannel(ctx context.Context, org, id string, at int64, reason string) error
	NextNotifications(ctx context.Context, org string) ([]saba.Notification, error)
	LastTold(ctx context.Context, org string) (map[string]int64, error)
	NotificationGroups(ctx context.Context, org string) ([]saba.NotificationGroup, error)
	CreateNotificationGroup(ctx context.Context, org string, g saba.NotificationGroup) error
	UpdateNotificationGroup(ctx context.Context, org, id string, change func(old saba.NotificationGroup) (saba.NotificationGroup, error)) (saba.NotificationGroup, error)
	DeleteNotificationGroup(ctx context.Context, org, id string) (saba.NotificationGroup, error)
	AlertGroupSettings(ctx context.Context, org string) ([]saba.AlertGroupSetting, error)
	AlertGroupSetting(ctx context.Context, org, id string) (saba.AlertGroupSetting, error)
	CreateAlertGroupSetting(ctx context.Context, org string, s saba.AlertGroupSetting) error
	UpdateAlertGroupSetting(ctx context.Context, org, id string, change func(old saba.AlertGroupSetting) (saba.AlertGroupSetting, error)) (saba.AlertGroupSetting, error)
	DeleteAlertGroupSetting(ctx context.Context, org, id string) (saba.AlertGroupSetting, error)
	GraphAnnotations(ctx context.Context, org, service string, from, to int64) ([]saba.GraphAnnotation, error)
	SetAlertMemo(ctx context.Context, org, id, memo string) error
	Monitors(ctx context.Context, org string) ([]saba.Monitor, error)
	Monitor(ctx context.Context, org, id string) (saba.Monitor, error)
	CreateMonitor(ctx context.Context, org string, m saba.Monitor) error
	UpdateMonitor(ctx context.Context, org, id string, at int64, change func(old saba.Monitor) (saba.Monitor, error)) (saba.Monitor, error)
	DeleteMonitor(ctx context.Context, org, id string, at int64) (saba.Monitor, error)
	Downtimes(ctx context.Context, org string) ([]saba.Downtime, error)
	CreateDowntime(ctx context.Context, org string, d saba.Downtime) error
	UpdateDowntime(ctx context.Context, org, id string, change func(old saba.Downtime) (saba.Downtime, error)) (saba.Downtime, error)
	DeleteDowntime(ctx context.Context, org, id string) (saba.Downtime, error)
	CheckList(ctx context.Context, org, fromID string, limit int) ([]saba.Check, error)
	Check(ctx context.Context, org, id string) (saba.Check, error)

	Drains(ctx context.Context, org string) ([]saba.Drain, error)
	Drain(ctx context.Context, org, id string) (saba.Drain, error)
	CreateDrain(ctx context.Context, org string, d saba.Drain, hash string) error
	UpdateDrain(ctx context.Context, org, id string, change func(old saba.Drain) (saba.Drain, error)) (saba.Drain, error)
	SetDrainToken(ctx context.Context, org, id, hash string) error
	DeleteDrain(ctx context.Context, org, id string) (saba.Drain, error)

	CreateKey(ctx context.Context, k saba.Key) error
	Keys(ctx context.Context, org string) ([]saba.Key, error)
	DeleteKey(ctx context.Context, org, id string) error

	User(ctx context.Context, id string) (saba.User, error)
	UserByEmail(ctx context.Context, email string) (saba.User, error)
	SetupPending(ctx context.Context, hash string) (org string, err error)
	CompleteSetup(ctx context.Context, hash string, u saba.User) error
	CreateSession(ctx context.Context, s saba.Session) error
	SessionByHash(ctx context.Context, hash string, now int64) (saba.Session, error)
	DeleteSession(ctx context.Context, hash string) error
	Networks(ctx context.Context, org string, s saba.Surface) ([]string, error)
	SetNetworks(ctx context.Context, org string, s saba.Surface, cidrs []string) error
	Members(ctx context.Context, org string) ([]saba.Member, error)
	DeleteMember(ctx context.Context, org, id string) (saba.Member, error)
	SetAuthority(ctx context.Context, org, id string, a saba.Authority, by string) (saba.Member, error)
	Invitations(ctx context.Context, org string, now int64) ([]saba.Invitation, error)
	Invite(ctx context.Context, org string, i saba.Invitation, now int64) error
	RevokeInvitation(ctx context.Context, org, email string, now int64) error
	LinkInvitation(ctx context.Context, org, email, hash string, now int64) error
	InvitationByHash(ctx context.Context, hash string, now int64) (org string, i saba.Invitation, err error)
	AcceptInvitation(ctx context.Context, hash string, u saba.User, now int64) error
}

// Samples is what the console asks of the storage engine.
type Samples interface {
	// Range returns the samples of each series with from <= time <= to in time order.
	Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error)
	// Latest and LastSeen answer from memory: the host list asks them for every host.
	Latest(s saba.Series) (saba.Sample, bool)
	LastSeen(org, host string) (int64, bool)
	// NamesOf returns the names of a host's or a service's metrics, and apart from them those of series with labels.
	NamesOf(ctx context.Context, org, host, service string) (names, labelled []string, err error)
	// HostNames returns the names of a host's metrics without labels.
	HostNames(ctx context.Context, org, host string) ([]string, error)
	// RecentNames returns, from memory, the names of the metrics of all hosts and services that have a sample at or after a time.
	RecentNames(org string, since int64) []string
}

// Notifier is what tells channels.
type Notifier interface {
	// Test tells a channel that somebody tries it. An error that matches saba.ErrUntold or saba.ErrInvalid says in a sentence why it was not told.
	Test(ctx context.Context, c saba.Channel, user string) error
	// InviteByMail sends the link of an invitation, which ends with a token, to whom it is for. The error matches saba.ErrUnavailable where no mail is
	// sent at all, and saba.ErrUntold where this one was not; both are sentences.
	InviteByMail(ctx context.Context, i saba.Invitation, token string) error
}

// Drains is what takes log lines in.
type Drains interface {
	// Status returns what a drain was sent lately.
	Status(id string) drain.Status
}

// Options are the parts that the console is made of. All but BaseURL, Notifier and Troubles are required.
type Options struct {
	Store   Store
	Samples Samples
	Drains  Drains
	// Notifier tries channels; nil where nobody is told of anything.
	Notifier Notifier
	Now      func() time.Time // its location is the one in which pages without JavaScript show times
	Random   io.Reader        // for ids, keys and tokens
	Log      *slog.Logger
	Version  string
	BaseURL  string // what agents are told to post to; "" derives it from the request
	// Troubles returns what is wrong with saba itself at the moment, each in sentences that say what to do. It is asked for every page.
	Troubles func() []string
	// CheckQuery checks the query of a monitor; its error is a saba.FieldError. Nil lets every query pass.
	CheckQuery func(query string) error
	// Replay says what a monitor would have done in the last days. An error that matches saba.ErrInvalid or saba.ErrConflict says why not.
	Replay func(ctx context.Context, org string, m saba.Monitor, days int) (saba.Replay, error)
	// Computed returns what a monitor judges that computes its values: see monitor.Past.
	Computed func(ctx context.Context, org string, m saba.Monitor, host string, series saba.AlertSeries, from, to int64) ([]monitor.Line, saba.Unit, error)
	// Learned returns what a monitor of anomalies knows: see monitor.Evaluator.
	Learned func(monitor string) []monitor.Learned
}

// A console is the handler behind New.
type console struct {
	Options
	table     table
	pages     map[string]*template.Template // by name: "hosts" is page/hosts.html in the layout
	assets    assets
	passwords *passwords
	failures  *failures
	forgery   *http.CrossOriginProtection
	reads     chan struct{} // slots for reading samples of charts
	tries     chan struct{} // slots for trying log lines
}

// New returns the console as a handler for every path outside the API. It panics when a
// template that is compiled into the binary cannot be parsed: no input can cause that, and
// every test would show it.
func New(o Options) http.Handler {
	c := &console{Options: o, passwords: newPasswords(), failures: newFailures(), forgery: http.NewCrossOriginProtection(), reads: make(chan struct{}, maxReads), tries: make(chan struct{}, maxTries)}
	c.assets = loadAssets()
	c.pages = loadPages(c)
	c.table = newTable(c)
	return c
}

// newID returns a new object id.
func (c *console) newID() (string, error) { return saba.NewID(c.Now(), c.Random) }

// newSecret returns a new secret, and the hash under which it is kept.
func (c *console) newSecret() (secret, hash string, err error) {
	if secret, err = saba.NewSecret(c.Random); err != nil {
		return "", "", fmt.Errorf("console: %w", err)
	}
	return secret, saba.HashSecret(secret), nil
}
