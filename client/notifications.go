package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

type wireGroup struct {
	saba.NotificationGroup
	Type     string   `json:"type,omitempty"`
	Groups   []string `json:"childNotificationGroupIds"` // both lists are always there
	Channels []string `json:"childChannelIds"`
}

func newWireGroup(g saba.NotificationGroup) wireGroup {
	w := wireGroup{NotificationGroup: g, Groups: append([]string{}, g.Groups...), Channels: append([]string{}, g.Channels...)}
	w.Default = false // is said by Type, and by the server alone
	return w
}

func (w wireGroup) group() saba.NotificationGroup {
	g := w.NotificationGroup
	g.Default, g.Groups, g.Channels = w.Type == "group-default", w.Groups, w.Channels
	return g
}

// NotificationGroups returns all notification groups.
func (c *Client) NotificationGroups(ctx context.Context) ([]saba.NotificationGroup, error) {
	all, err := listed[wireGroup](ctx, c, path("notification-groups"), "notificationGroups", nil)
	groups := make([]saba.NotificationGroup, len(all))
	for i, w := range all {
		groups[i] = w.group()
	}
	return groups, err
}

// CreateNotificationGroup creates a notification group and returns it as it is kept, with its id; that of g is not looked at.
func (c *Client) CreateNotificationGroup(ctx context.Context, g saba.NotificationGroup) (saba.NotificationGroup, error) {
	w, err := sent[wireGroup](ctx, c, http.MethodPost, path("notification-groups"), newWireGroup(g))
	return w.group(), err
}

// UpdateNotificationGroup replaces the notification group with the id of g, and returns it as it is kept.
func (c *Client) UpdateNotificationGroup(ctx context.Context, g saba.NotificationGroup) (saba.NotificationGroup, error) {
	w, err := sent[wireGroup](ctx, c, http.MethodPut, path("notification-groups", g.ID), newWireGroup(g))
	return w.group(), err
}

// DeleteNotificationGroup deletes a notification group and returns it as it was.
func (c *Client) DeleteNotificationGroup(ctx context.Context, id string) (saba.NotificationGroup, error) {
	w, err := sent[wireGroup](ctx, c, http.MethodDelete, path("notification-groups", id), nil)
	return w.group(), err
}
