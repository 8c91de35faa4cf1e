package check

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/saba-monitor/saba"
)

// An Embedded is a check that runs inside a process that lives on, an agent.
type Embedded struct{ in *instance }

// Embed returns c with the flags that args set, as its process would take them. It looks at
// nothing yet. An error is about the arguments.
func Embed(c Check, args []string) (*Embedded, error) {
	in, err := c.newInstance(args)
	switch {
	case errors.Is(err, pflag.ErrHelp) || err == nil && in.version:
		return nil, errors.New("flags that ask for words have no place here: --help and --version are for the check as a command")
	case err != nil:
		return nil, err
	}
	return &Embedded{in}, nil
}

// Run looks once, within the check's own --timeout, and returns the verdict and what a process
// would print of it. environ ("KEY=value") is what the check finds with Getenv; of two with one
// key the last counts. A panic is UNKNOWN. Run is for one goroutine at a time.
func (e *Embedded) Run(ctx context.Context, environ []string) (saba.CheckStatus, string) {
	r := e.in.run(ctx, func(name string) (value string) {
		for _, kv := range environ {
			if k, v, _ := strings.Cut(kv, "="); k == name {
				value = v
			}
		}
		return value
	})
	return r.Status, e.in.line(r)
}
