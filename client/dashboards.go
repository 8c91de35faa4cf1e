package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

// Dashboards returns all dashboards, without their widgets.
func (c *Client) Dashboards(ctx context.Context) ([]saba.Dashboard, error) {
	return listed[saba.Dashboard](ctx, c, path("dashboards"), "dashboards", nil)
}

// CreateDashboard creates a dashboard and returns it as it is kept, with its id; that of d is not looked at.
func (c *Client) CreateDashboard(ctx context.Context, d saba.Dashboard) (saba.Dashboard, error) {
	return sent[saba.Dashboard](ctx, c, http.MethodPost, path("dashboards"), d)
}

// UpdateDashboard replaces the dashboard with the id of d, and returns it as it is kept.
func (c *Client) UpdateDashboard(ctx context.Context, d saba.Dashboard) (saba.Dashboard, error) {
	return sent[saba.Dashboard](ctx, c, http.MethodPut, path("dashboards", d.ID), d)
}

// DeleteDashboard deletes a dashboard and returns it as it was.
func (c *Client) DeleteDashboard(ctx context.Context, id string) (saba.Dashboard, error) {
	return sent[saba.Dashboard](ctx, c, http.MethodDelete, path("dashboards", id), nil)
}

// Dashboard returns a dashboard, whole.
func (c *Client) Dashboard(ctx context.Context, id string) (saba.Dashboard, error) {
	return sent[saba.Dashboard](ctx, c, http.MethodGet, path("dashboards", id), nil)
}
