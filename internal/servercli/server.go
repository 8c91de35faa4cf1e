package servercli

import (
	"context"

	"github.com/saba-monitor/saba/internal/cli"
)

var serverCmd = cli.Command{
	Name:  "server",
	Short: "run the server alone: API, storage and console",
	Run: func(ctx context.Context, env *cli.Env, args []string) error {
		var f serverFlags
		if err := f.parse(env, args); err != nil {
			return err
		}
		s, _, err := f.open(ctx, env)
		if err != nil {
			return err
		}
		if err := announce(env.Stdout, s, f.data); err != nil {
			s.Close()
			return err
		}
		return s.Run(ctx)
	},
}
