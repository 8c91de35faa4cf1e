package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

// Downtimes returns all downtimes.
func (c *Client) Downtimes(ctx context.Context) ([]saba.Downtime, error) {
	return listed[saba.Downtime](ctx, c, path("downtimes"), "downtimes", nil)
}

// CreateDowntime creates a downtime and returns it as it is kept, with its id; that of d is not looked at.
func (c *Client) CreateDowntime(ctx context.Context, d saba.Downtime) (saba.Downtime, error) {
	return sent[saba.Downtime](ctx, c, http.MethodPost, path("downtimes"), d)
}

// UpdateDowntime replaces the downtime with the id of d, and returns it as it is kept.
func (c *Client) UpdateDowntime(ctx context.Context, d saba.Downtime) (saba.Downtime, error) {
	return sent[saba.Downtime](ctx, c, http.MethodPut, path("downtimes", d.ID), d)
}

// DeleteDowntime deletes a downtime and returns it as it was.
func (c *Client) DeleteDowntime(ctx context.Context, id string) (saba.Downtime, error) {
	return sent[saba.Downtime](ctx, c, http.MethodDelete, path("downtimes", id), nil)
}
