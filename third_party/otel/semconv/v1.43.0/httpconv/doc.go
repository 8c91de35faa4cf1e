// Package httpconv is empty: it is looked at by go mod tidy alone; see third_party/README.md.
package httpconv
