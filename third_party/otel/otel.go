// Package otel stands in for the tracer of the query engine, which traces nothing here; see
// third_party/README.md.
package otel

import "go.opentelemetry.io/otel/trace"

// Tracer returns a tracer that does nothing.
func Tracer(string) trace.Tracer { return trace.Tracer{} }
