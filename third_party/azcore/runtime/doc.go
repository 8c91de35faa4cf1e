// Package runtime is empty: go mod tidy looks for it on behalf of the storage engine's tests,
// which saba does not run. See third_party/README.md.
package runtime
