package client

import (
	"context"
	"net/http"
	"net/url"
)

// listed reads a list that stands under a key.
func listed[T any](ctx context.Context, c *Client, path, key string, query url.Values) ([]T, error) {
	var r map[string][]T
	err := c.do(ctx, http.MethodGet, path, query, nil, &r)
	return r[key], err
}

// sent sends body and reads a record.
func sent[T any](ctx context.Context, c *Client, method, path string, body any) (v T, err error) {
	err = c.do(ctx, method, path, nil, body, &v)
	return v, err
}
