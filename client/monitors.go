package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

// Monitors returns all monitors.
func (c *Client) Monitors(ctx context.Context) ([]saba.Monitor, error) {
	return listed[saba.Monitor](ctx, c, path("monitors"), "monitors", nil)
}

// CreateMonitor creates a monitor and returns it as it is kept, with its id; that of m is not looked at.
func (c *Client) CreateMonitor(ctx context.Context, m saba.Monitor) (saba.Monitor, error) {
	return sent[saba.Monitor](ctx, c, http.MethodPost, path("monitors"), m)
}

// UpdateMonitor replaces the monitor with the id of m, and returns it as it is kept.
func (c *Client) UpdateMonitor(ctx context.Context, m saba.Monitor) (saba.Monitor, error) {
	return sent[saba.Monitor](ctx, c, http.MethodPut, path("monitors", m.ID), m)
}

// DeleteMonitor deletes a monitor and returns it as it was.
func (c *Client) DeleteMonitor(ctx context.Context, id string) (saba.Monitor, error) {
	return sent[saba.Monitor](ctx, c, http.MethodDelete, path("monitors", id), nil)
}

// Monitor returns a monitor.
func (c *Client) Monitor(ctx context.Context, id string) (saba.Monitor, error) {
	r, err := sent[struct {
		Monitor saba.Monitor `json:"monitor"`
	}](ctx, c, http.MethodGet, path("monitors", id), nil)
	return r.Monitor, err
}
