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
		fs := env.Flags("")
		f.register(fs)
		if err := env.Parse(fs, args); err != nil {
			return err
		}
		if err := cli.NoOperands(fs); err != nil {
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
