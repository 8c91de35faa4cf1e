// Package sigv4 stands in for github.com/prometheus/sigv4, which signs requests to Amazon's
// services. saba sends none; see third_party/README.md.
package sigv4

import (
	"errors"
	"net/http"
)

var errLeftOut = errors.New("saba is built without Amazon's request signing (sigv4)")

// SigV4Config has no settings: none can be read, and nothing can be signed.
type SigV4Config struct{}

// Option configures NewSigV4RoundTripper; none exists.
type Option func(*struct{})

// Validate refuses every configuration.
func (*SigV4Config) Validate() error { return errLeftOut }

// UnmarshalYAML refuses a configuration that asks for signing.
func (*SigV4Config) UnmarshalYAML(func(any) error) error { return errLeftOut }

// NewSigV4RoundTripper fails.
func NewSigV4RoundTripper(*SigV4Config, http.RoundTripper, ...Option) (http.RoundTripper, error) {
	return nil, errLeftOut
}
