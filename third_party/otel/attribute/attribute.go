// Package attribute stands in for what describes a span; see third_party/README.md.
package attribute

// A KeyValue is nothing.
type KeyValue struct{}

// String returns nothing.
func String(string, string) KeyValue { return KeyValue{} }

// Int returns nothing.
func Int(string, int) KeyValue { return KeyValue{} }

// Int64 returns nothing.
func Int64(string, int64) KeyValue { return KeyValue{} }

// Float64 returns nothing.
func Float64(string, float64) KeyValue { return KeyValue{} }
