package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

// AlertGroupSettings returns all alert group settings.
func (c *Client) AlertGroupSettings(ctx context.Context) ([]saba.AlertGroupSetting, error) {
	return listed[saba.AlertGroupSetting](ctx, c, path("alert-group-settings"), "alertGroupSettings", nil)
}

// CreateAlertGroupSetting creates a alert group setting and returns it as it is kept, with its id; that of s is not looked at.
func (c *Client) CreateAlertGroupSetting(ctx context.Context, s saba.AlertGroupSetting) (saba.AlertGroupSetting, error) {
	return sent[saba.AlertGroupSetting](ctx, c, http.MethodPost, path("alert-group-settings"), s)
}

// UpdateAlertGroupSetting replaces the alert group setting with the id of s, and returns it as it is kept.
func (c *Client) UpdateAlertGroupSetting(ctx context.Context, s saba.AlertGroupSetting) (saba.AlertGroupSetting, error) {
	return sent[saba.AlertGroupSetting](ctx, c, http.MethodPut, path("alert-group-settings", s.ID), s)
}

// DeleteAlertGroupSetting deletes a alert group setting and returns it as it was.
func (c *Client) DeleteAlertGroupSetting(ctx context.Context, id string) (saba.AlertGroupSetting, error) {
	return sent[saba.AlertGroupSetting](ctx, c, http.MethodDelete, path("alert-group-settings", id), nil)
}

// AlertGroupSetting returns an alert group setting.
func (c *Client) AlertGroupSetting(ctx context.Context, id string) (saba.AlertGroupSetting, error) {
	return sent[saba.AlertGroupSetting](ctx, c, http.MethodGet, path("alert-group-settings", id), nil)
}
