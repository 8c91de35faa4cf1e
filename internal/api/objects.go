package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/saba-monitor/saba"
)

// Objects is what the API asks of the database about what people set up. An update replaces a record by
// what change makes of it, in one step.
type Objects interface {
	Monitors(ctx context.Context, org string) ([]saba.Monitor, error)
	Monitor(ctx context.Context, org, id string) (saba.Monitor, error)
	CreateMonitor(ctx context.Context, org string, m saba.Monitor) error
	UpdateMonitor(ctx context.Context, org, id string, at int64, change func(old saba.Monitor) (saba.Monitor, error)) (saba.Monitor, error)
	DeleteMonitor(ctx context.Context, org, id string, at int64) (saba.Monitor, error)

	Downtimes(ctx context.Context, org string) ([]saba.Downtime, error)
	CreateDowntime(ctx context.Context, org string, d saba.Downtime) error
	UpdateDowntime(ctx context.Context, org, id string, change func(old saba.Downtime) (saba.Downtime, error)) (saba.Downtime, error)
	DeleteDowntime(ctx context.Context, org, id string) (saba.Downtime, error)

	AlertGroupSettings(ctx context.Context, org string) ([]saba.AlertGroupSetting, error)
	AlertGroupSetting(ctx context.Context, org, id string) (saba.AlertGroupSetting, error)
	CreateAlertGroupSetting(ctx context.Context, org string, s saba.AlertGroupSetting) error
	UpdateAlertGroupSetting(ctx context.Context, org, id string, change func(old saba.AlertGroupSetting) (saba.AlertGroupSetting, error)) (saba.AlertGroupSetting, error)
	DeleteAlertGroupSetting(ctx context.Context, org, id string) (saba.AlertGroupSetting, error)

	Channels(ctx context.Context, org string) ([]saba.Channel, error)
	CreateChannel(ctx context.Context, org string, c saba.Channel, toDefault bool) error
	UpdateChannel(ctx context.Context, org, id string, change func(old saba.Channel) (saba.Channel, error)) (saba.Channel, error)
	DeleteChannel(ctx context.Context, org, id string) (saba.Channel, error)
	SuspendChannel(ctx context.Context, org, id string, at int64, reason string) error

	NotificationGroups(ctx context.Context, org string) ([]saba.NotificationGroup, error)
	CreateNotificationGroup(ctx context.Context, org string, g saba.NotificationGroup) error
	UpdateNotificationGroup(ctx context.Context, org, id string, change func(old saba.NotificationGroup) (saba.NotificationGroup, error)) (saba.NotificationGroup, error)
	DeleteNotificationGroup(ctx context.Context, org, id string) (saba.NotificationGroup, error)

	Dashboards(ctx context.Context, org string) ([]saba.Dashboard, error)
	Dashboard(ctx context.Context, org, id string) (saba.Dashboard, error)
	CreateDashboard(ctx context.Context, org string, d saba.Dashboard) error
	UpdateDashboard(ctx context.Context, org, id string, change func(old saba.Dashboard) (saba.Dashboard, error)) (saba.Dashboard, error)
	DeleteDashboard(ctx context.Context, org, id string) (saba.Dashboard, error)

	GraphAnnotations(ctx context.Context, org, service string, from, to int64) ([]saba.GraphAnnotation, error)
	CreateGraphAnnotation(ctx context.Context, org string, a saba.GraphAnnotation) error
	UpdateGraphAnnotation(ctx context.Context, org, id string, change func(old saba.GraphAnnotation) (saba.GraphAnnotation, error)) (saba.GraphAnnotation, error)
	DeleteGraphAnnotation(ctx context.Context, org, id string) (saba.GraphAnnotation, error)

	FindAlerts(ctx context.Context, org string, f saba.AlertFilter, from string, limit int) (found []saba.Alert, next string, err error)
	Alert(ctx context.Context, org, id string) (saba.Alert, error)
	MoveAlert(ctx context.Context, org, id string, move saba.AlertMove) (saba.Alert, error)
	HandleAlert(ctx context.Context, org, id string, change func(saba.Handling) saba.Handling) (saba.Alert, error)
	EventsOf(ctx context.Context, org, subject string, limit int) ([]saba.Told, error)
	AlertCulprits(ctx context.Context, org, id string) (saba.Culprits, error)
	SetAlertMemo(ctx context.Context, org, id, memo string) error
	AlertLogs(ctx context.Context, org, id, from string, limit int) ([]saba.AlertLog, error)

	Members(ctx context.Context, org string) ([]saba.Member, error)
	DeleteMember(ctx context.Context, org, id string) (saba.Member, error)
	Invitations(ctx context.Context, org string, now int64) ([]saba.Invitation, error)
	Invite(ctx context.Context, org string, i saba.Invitation, now int64) error
	LinkInvitation(ctx context.Context, org, email, hash string, now int64) error
	RevokeInvitation(ctx context.Context, org, email string, now int64) error
	Networks(ctx context.Context, org string, s saba.Surface) ([]string, error)
	SetNetworks(ctx context.Context, org string, s saba.Surface, cidrs []string) error

	AWSIntegrations(ctx context.Context, org string) ([]saba.AWSIntegration, error)
	AWSIntegration(ctx context.Context, org, id string) (saba.AWSIntegration, error)
	CreateAWSIntegration(ctx context.Context, org string, a saba.AWSIntegration) error
	UpdateAWSIntegration(ctx context.Context, org, id string, change func(old saba.AWSIntegration) (saba.AWSIntegration, error)) (saba.AWSIntegration, error)
	DeleteAWSIntegration(ctx context.Context, org, id string) (saba.AWSIntegration, error)

	Drains(ctx context.Context, org string) ([]saba.Drain, error)
	Drain(ctx context.Context, org, id string) (saba.Drain, error)
	CreateDrain(ctx context.Context, org string, d saba.Drain, hash string) error
	UpdateDrain(ctx context.Context, org, id string, change func(old saba.Drain) (saba.Drain, error)) (saba.Drain, error)
	DrainByHash(ctx context.Context, hash string) (org string, d saba.Drain, err error)
	SetDrainToken(ctx context.Context, org, id, hash string) error
	DeleteDrain(ctx context.Context, org, id string) (saba.Drain, error)

	RenameService(ctx context.Context, org, old string, to saba.Service) error
	RenameRole(ctx context.Context, org, service, old string, to saba.Role) error
	ReviveHost(ctx context.Context, org, id string, now int64) error
	HideServiceGraph(ctx context.Context, org, service, graph string, at int64) error
	HiddenServiceGraphs(ctx context.Context, org, service string) (map[string]int64, error)
}

// parseScopes parses the services and roles of a list.
func parseScopes(field string, in []string) ([]saba.Scope, error) {
	scopes := make([]saba.Scope, len(in))
	for i, s := range in {
		scope, err := saba.ParseScope(s)
		if err != nil {
			return nil, saba.Invalidf(fmt.Sprintf("%s[%d]", field, i), "must be a service, or a role as service:role, not %q", clip(s))
		}
		scopes[i] = scope
	}
	return scopes, nil
}

// spaced writes scopes as the protocol does for monitors and alert groups: with a blank after the colon.
func spaced(scopes []saba.Scope) []string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		if out[i] = s.Service; s.Role != "" {
			out[i] += ": " + s.Role
		}
	}
	return out
}

// page reads the parameters of a list with pages: how many elements, and which is the first ("" for the very first).
func (c *call) page() (from string, limit int, err error) {
	q := c.URL.Query()
	limit = maxPage
	if v := q.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > maxPage {
			return "", 0, saba.Invalidf("limit", "must be a number from 1 to %d, not %q", maxPage, clip(v))
		}
	}
	return q.Get("nextId"), limit, nil
}

// flag reads a parameter that is true or false; absent or empty means false.
func (c *call) flag(name string) (bool, error) {
	switch v := c.URL.Query().Get(name); v {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	default:
		return false, saba.Invalidf(name, "must be true or false, not %q", clip(v))
	}
}

// listed answers with the elements of a list, each as show makes it, under one key.
func listed[T, Out any](s *server, w http.ResponseWriter, c *call, key string, all []T, err error, show func(T) Out) error {
	if err != nil {
		return fmt.Errorf("list %s: %w", key, err)
	}
	out := make([]Out, len(all))
	for i, v := range all {
		out[i] = show(v)
	}
	return s.json(w, c, map[string][]Out{key: out})
}

// shown answers with one record, as show makes it.
func shown[T, Out any](s *server, w http.ResponseWriter, c *call, v T, err error, show func(T) Out) error {
	if err != nil {
		return err
	}
	return s.json(w, c, show(v))
}

// same shows a value as it is.
func same[T any](v T) T { return v }
