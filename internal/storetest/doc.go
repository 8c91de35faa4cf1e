// Package storetest holds the contracts that storage engines obey, as tests that every engine
// runs from its own test files. What a contract says is what the other packages rely on; what
// an engine adds is tested beside that engine. It imports the root package only.
package storetest
