// Package http stands in for the signed-in transport of Google's API clients; see
// third_party/README.md.
package http

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/api/option"
)

// NewTransport fails.
func NewTransport(context.Context, http.RoundTripper, ...option.ClientOption) (http.RoundTripper, error) {
	return nil, errors.New("saba is built without signing in to Google Cloud")
}
