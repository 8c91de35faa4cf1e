package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/agent"
)

// runStatus asks the running agent how it is. The exit code is 0 when all is well, 1 when
// something is wrong, and 3 when no agent is running.
func runStatus(ctx context.Context, env *Env, args []string) error {
	flags := env.Flags("")
	conf := flags.String("conf", agent.DefaultConf, "configuration `file` of the agent, which may name its folder")
	root := flags.String("root", "", "`folder` of the agent (default that of the file, or "+agent.DefaultRoot+")")
	asJSON := flags.Bool("json", false, "print everything as JSON")
	if err := env.Parse(flags, args); err != nil {
		return err
	}
	if err := NoOperands(flags); err != nil {
		return err
	}
	if *root == "" {
		// A file that cannot be read or is wrong does not hide an agent that runs.
		c, _ := agent.Load(*conf)
		*root = cmp.Or(c.Root, agent.DefaultRoot)
	}
	s, err := agent.ReadStatus(ctx, *root)
	if errors.Is(err, saba.ErrNotFound) {
		fmt.Fprintf(env.Stderr, "%s %s: %v\n", env.Program, env.Command, err)
		return errShown{exitNoAgent}
	}
	if err != nil {
		return err
	}
	if *asJSON {
		b, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(env.Stdout, "%s\n", b); err != nil {
			return err
		}
	} else if err := s.Write(env.Stdout); err != nil {
		return err
	}
	if len(s.Problems) > 0 {
		return errShown{exitFailure}
	}
	return nil
}
