//go:build !linux

package main

// dropProgram does nothing.
func dropProgram() {}
