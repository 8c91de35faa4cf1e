// Package v1 is empty: it is looked at by go mod tidy alone; see third_party/README.md.
package v1
