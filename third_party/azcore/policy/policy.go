// Package policy stands in for the request options of Azure's SDK; see third_party/README.md.
package policy

// TokenRequestOptions says what a token is wanted for.
type TokenRequestOptions struct {
	Scopes []string
}
