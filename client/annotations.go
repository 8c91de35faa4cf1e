package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/saba-monitor/saba"
)

// GraphAnnotations returns the annotations of a service that touch [from, to], in Unix seconds.
func (c *Client) GraphAnnotations(ctx context.Context, service string, from, to int64) ([]saba.GraphAnnotation, error) {
	q := url.Values{"service": {service}, "from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}
	return listed[saba.GraphAnnotation](ctx, c, path("graph-annotations"), "graphAnnotations", q)
}

// CreateGraphAnnotation creates a graph annotation and returns it as it is kept, with its id; that of a is not looked at.
func (c *Client) CreateGraphAnnotation(ctx context.Context, a saba.GraphAnnotation) (saba.GraphAnnotation, error) {
	return sent[saba.GraphAnnotation](ctx, c, http.MethodPost, path("graph-annotations"), a)
}

// UpdateGraphAnnotation replaces the graph annotation with the id of a, and returns it as it is kept.
func (c *Client) UpdateGraphAnnotation(ctx context.Context, a saba.GraphAnnotation) (saba.GraphAnnotation, error) {
	return sent[saba.GraphAnnotation](ctx, c, http.MethodPut, path("graph-annotations", a.ID), a)
}

// DeleteGraphAnnotation deletes a graph annotation and returns it as it was.
func (c *Client) DeleteGraphAnnotation(ctx context.Context, id string) (saba.GraphAnnotation, error) {
	return sent[saba.GraphAnnotation](ctx, c, http.MethodDelete, path("graph-annotations", id), nil)
}
