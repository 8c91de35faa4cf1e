package agent

import (
	"context"
	"fmt"
)

// probeExec runs a command, which says ready by exit code 0. Its keys are those of a plugin's command.
func probeExec(l *loader, path []string, m map[string]any) func(ctx context.Context) error {
	var p pluginTable
	before := len(l.mistakes)
	l.pluginSection(path, m, commandKeys[:3], kindAll, &p) // the time-out is the probe's
	if len(l.mistakes) > before {
		return nil
	}
	if !p.command {
		l.mistake(path, "%s has no command", shown(path))
		return nil
	}
	c, environ := p.metric.Command, l.environ
	c.Timeout = maxProbe
	return func(ctx context.Context) error {
		r, err := runCommand(ctx, c, environ)
		switch {
		case err != nil:
			return fmt.Errorf("the command %w", err)
		case r.ExitCode != 0:
			return fmt.Errorf("the command ended with exit code %d", r.ExitCode)
		}
		return nil
	}
}
