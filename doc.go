// Package saba is the vocabulary of saba: hosts, services, roles, metrics, samples,
// graph definitions, checks and keys, the rules that their values obey, and the
// decisions that need nothing but those values.
//
// It imports the standard library only, and every other package imports it. A type
// lives here when two packages must agree on it; what only one package needs lives
// there. Nothing here reads a clock, a file or a random source: now and randomness
// are arguments. Start with metric.go for what is kept, host.go for whose it is, and
// graph.go for how it is drawn.
package saba
