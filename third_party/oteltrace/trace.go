// Package trace stands in for the spans of the query engine, which are not recorded here; see
// third_party/README.md.
package trace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
)

// A Tracer starts spans that record nothing.
type Tracer struct{}

// Start returns ctx and a span that records nothing.
func (Tracer) Start(ctx context.Context, _ string, _ ...SpanStartOption) (context.Context, Span) {
	return ctx, nothing{}
}

// A Span records nothing.
type Span interface {
	End(...SpanEndOption)
	RecordError(error)
	SetAttributes(...attribute.KeyValue)
	SetStatus(codes.Code, string)
	SpanContext() SpanContext
}

// SpanFromContext returns a nil span: there is never one.
func SpanFromContext(context.Context) Span { return nil }

// A SpanContext names no span.
type SpanContext struct{}

// SpanID returns "".
func (SpanContext) SpanID() string { return "" }

// TraceID returns "".
func (SpanContext) TraceID() string { return "" }

// A SpanStartOption is of no effect.
type SpanStartOption struct{}

// A SpanEndOption is of no effect.
type SpanEndOption struct{}

// WithAttributes returns an option of no effect.
func WithAttributes(...attribute.KeyValue) SpanStartOption { return SpanStartOption{} }

type nothing struct{}

func (nothing) End(...SpanEndOption)                {}
func (nothing) RecordError(error)                   {}
func (nothing) SetAttributes(...attribute.KeyValue) {}
func (nothing) SetStatus(codes.Code, string)        {}
func (nothing) SpanContext() SpanContext            { return SpanContext{} }
