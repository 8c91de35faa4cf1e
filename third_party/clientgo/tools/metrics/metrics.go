// Package metrics stands in for what the client of Kubernetes counts; see third_party/README.md.
package metrics

import (
	"context"
	"net/url"
	"time"
)

// A LatencyMetric observes requests. None is ever made.
type LatencyMetric interface {
	Observe(ctx context.Context, verb string, u url.URL, latency time.Duration)
}

// A ResultMetric counts answers. None ever comes.
type ResultMetric interface {
	Increment(ctx context.Context, code, method, host string)
}

// RegisterOpts are what Register takes.
type RegisterOpts struct {
	RequestLatency LatencyMetric
	RequestResult  ResultMetric
}

// Register does nothing.
func Register(RegisterOpts) {}
