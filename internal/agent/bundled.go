package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// A Runner is a plugin that runs inside the agent. It keeps the readings of its counters from
// turn to turn. The agent makes one call at a time.
type Runner interface {
	// Values collects once and returns values under their names without "custom."; a name
	// comes once. Values and an error may come together. environ ("KEY=value") is in place of a
	// process's environment: of two with one key the last counts. It returns soon after ctx has ended.
	Values(ctx context.Context, environ []string) ([]saba.Value, error)
	// Definitions returns how the values are drawn, under names that begin with "custom.".
	// It asks nobody.
	Definitions() []saba.GraphDef
}

// A closer is a Runner that keeps something open from turn to turn. Close lets go of it; no turn follows.
type closer interface{ Close() }

// A CheckRunner is a check that runs inside the agent. The agent makes one call at a time.
type CheckRunner interface {
	// Run looks once and returns the verdict, and what a process would print of it. environ
	// ("KEY=value") is in place of a process's environment: of two with one key the last counts.
	// It returns soon after ctx has ended.
	Run(ctx context.Context, environ []string) (saba.CheckStatus, string)
}

// A Bundled makes the plugins and checks that are part of this program, given a name and
// arguments. An error is about those, which only a person can mend.
type Bundled struct {
	Metric func(name string, args []string) (Runner, error)
	Check  func(name string, args []string) (CheckRunner, error)
}

// Bundle makes the plugins and checks of c ready that run inside the agent. The error joins one
// sentence for each that cannot be made; it matches saba.ErrInvalid.
func Bundle(c *Config, b Bundled) error {
	var mistakes []error
	mistake := func(kind, name, plugin string, err error) {
		mistakes = append(mistakes, saba.Errorf(saba.ErrInvalid, "[plugin.%s.%s]: plugin %q: %v", kind, name, plugin, err))
	}
	for i := range c.Metrics {
		m := &c.Metrics[i]
		if len(m.Bundled) == 0 {
			continue
		}
		r, err := b.Metric(m.Bundled[0], m.Bundled[1:])
		if err != nil {
			mistake("metrics", m.Name, m.Bundled[0], err)
			continue
		}
		m.Command.runner = r
	}
	for i := range c.Checks {
		k := &c.Checks[i]
		if len(k.Bundled) == 0 {
			continue
		}
		r, err := b.Check(k.Bundled[0], k.Bundled[1:])
		if err != nil {
			mistake("checks", k.Name, k.Bundled[0], err)
			continue
		}
		k.runner = r
	}
	return errors.Join(mistakes...)
}

// bundledGrace is how long a bundled plugin may take to return after its deadline.
const bundledGrace = time.Second

// An answer is what a bundled plugin brought.
type answer struct {
	values []saba.Value
	defs   []saba.GraphDef
	err    error
}

// runBundled calls ask on a goroutine of its own, bounded by the plugin's timeout. A panic
// becomes an error. A plugin that does not return, though its context has ended, is given up
// as a process that nothing ends: the error is a *TimeoutError whose Left is closed when it
// does return.
func runBundled(ctx context.Context, timeout time.Duration, ask func(ctx context.Context) answer) (answer, error) {
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var a answer
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: fmt.Errorf("panic: %v in %s", p, panicked())}
			}
		}()
		a = ask(limited)
	}()
	select {
	case <-returned:
	case <-limited.Done():
		select {
		case <-returned:
		case <-time.After(bundledGrace):
			return answer{}, &TimeoutError{After: time.Since(start), Left: returned}
		}
	}
	switch {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case a.err != nil && limited.Err() != nil:
		return a, &TimeoutError{After: time.Since(start)}
	}
	return a, a.err
}

// panicked returns the function, file and line that panicked. It is called by the deferred
// function that recovered. The whole stack would not do for an error: its addresses and
// numbers change from one time to the next, and an error that changes is logged each time.
func panicked() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // without Callers, this and its caller
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") || !more {
			return fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line)
		}
	}
}
