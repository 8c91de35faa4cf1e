package servercli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

var restoreCmd = cli.Command{
	Name:  "restore",
	Short: "make a data folder from a file that saba backup wrote",
	Run: func(ctx context.Context, env *cli.Env, args []string) (err error) {
		fs := env.Flags("FILE")
		data := fs.String("data", "./saba-data", "the `folder` to restore into: new, or empty")
		var records databaseFlags
		records.addTo(fs)
		file, err := operand(env, fs, args, "FILE", "the archive that saba backup wrote")
		if err != nil {
			return err
		}
		database, err := records.url(env)
		if err != nil {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("the backup cannot be read: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		m, err := server.Restore(ctx, f, *data, database)
		if err != nil {
			return fmt.Errorf("%s was not restored: %w", file, err)
		}
		rest := ""
		if database != "" {
			rest = fmt.Sprintf("; all but the samples is in %s, so start it with that database too", server.DatabaseName(database))
		}
		_, err = fmt.Fprintf(env.Stdout, "%s holds what saba %s had at %s: %d files, %s, every checksum as it was written. Start it with --data %s%s\n",
			*data, m.Saba, m.Taken.Format(time.RFC3339), len(m.Files), size(m.Size()), *data, rest)
		return err
	},
}
