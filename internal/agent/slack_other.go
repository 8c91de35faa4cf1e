//go:build !linux

package agent

import "context"

// Slacken does nothing here.
func Slacken(context.Context, []string) {}

func punctually(start func() error) error { return start() }
