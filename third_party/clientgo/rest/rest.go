// Package rest stands in for the client of Kubernetes, of which the query engine's logger names
// the warnings; see third_party/README.md.
package rest

import "context"

// A WarningHandlerWithContext takes the warnings of a Kubernetes API server. None ever comes.
type WarningHandlerWithContext interface {
	HandleWarningHeaderWithContext(ctx context.Context, code int, agent, message string)
}

// WarningLogger drops warnings.
type WarningLogger struct{}

// HandleWarningHeaderWithContext does nothing.
func (WarningLogger) HandleWarningHeaderWithContext(context.Context, int, string, string) {}
