package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

// Channels returns all channels.
func (c *Client) Channels(ctx context.Context) ([]saba.Channel, error) {
	return listed[saba.Channel](ctx, c, path("channels"), "channels", nil)
}

// CreateChannel creates a channel, adds it to the default notification group if toDefault says so, and returns it
// as it is kept, with its id; that of ch is not looked at.
func (c *Client) CreateChannel(ctx context.Context, ch saba.Channel, toDefault bool) (saba.Channel, error) {
	return sent[saba.Channel](ctx, c, http.MethodPost, path("channels"), struct {
		saba.Channel
		ToDefault bool `json:"addToDefaultNotificationGroup"`
	}{ch, toDefault})
}

// UpdateChannel replaces the channel with the id of ch, and returns it as it is kept.
func (c *Client) UpdateChannel(ctx context.Context, ch saba.Channel) (saba.Channel, error) {
	return sent[saba.Channel](ctx, c, http.MethodPut, path("channels", ch.ID), ch)
}

// DeleteChannel deletes a channel and returns it as it was.
func (c *Client) DeleteChannel(ctx context.Context, id string) (saba.Channel, error) {
	return sent[saba.Channel](ctx, c, http.MethodDelete, path("channels", id), nil)
}
