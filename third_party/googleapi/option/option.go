// Package option stands in for the options of Google's API clients; see
// third_party/README.md.
package option

// ClientOption configures a client, of which this build has none.
type ClientOption struct{}

// CredentialsType says what a credentials file holds.
type CredentialsType string

// ServiceAccount is the one kind that the storage engine names.
const ServiceAccount CredentialsType = "service_account"

// WithScopes has no effect.
func WithScopes(...string) ClientOption { return ClientOption{} }

// WithAuthCredentialsFile has no effect.
func WithAuthCredentialsFile(CredentialsType, string) ClientOption { return ClientOption{} }

// WithCredentials has no effect. It takes anything, so as to need no module of Google's.
func WithCredentials(any) ClientOption { return ClientOption{} }
