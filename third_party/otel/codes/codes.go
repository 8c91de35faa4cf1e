// Package codes stands in for the outcomes of spans; see third_party/README.md.
package codes

// A Code says how a span ended.
type Code uint32

// Error says that it failed.
const Error Code = 1
