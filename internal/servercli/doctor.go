package servercli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

var doctorCmd = cli.Command{
	Name:  "doctor",
	Short: "look whether a data folder is whole, and say what to do",
	Run: func(ctx context.Context, env *cli.Env, args []string) error {
		fs := env.Flags("")
		data := dataFlag(fs)
		var records databaseFlags
		records.addTo(fs)
		repair := fs.Bool("repair", false, "set damaged parts of the samples aside, so that saba starts; nothing is deleted, and saba must be stopped")
		if err := env.Parse(fs, args); err != nil {
			return err
		}
		if err := cli.NoOperands(fs); err != nil {
			return err
		}
		database, err := records.url(env)
		if err != nil {
			return err
		}
		r, err := server.Examine(ctx, *data, database, *repair)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(env.Stdout, words(*data, r)); err != nil {
			return err
		}
		if r.Harmed() {
			return errors.New("there is something to be done: see above")
		}
		return nil
	},
}

// words words a report, one paragraph a finding.
func words(data string, r server.Report) string {
	var b strings.Builder
	if r.Live {
		fmt.Fprintf(&b, "saba runs on %s. The logs of its samples are being written, so they are left out: each start reads them whole.\n", data)
	}
	for _, done := range r.Repaired {
		fmt.Fprintf(&b, "repaired: %s.\n", done)
	}
	for _, f := range r.Findings {
		kind := "note"
		if f.Harm {
			kind = "HARM"
		}
		fmt.Fprintf(&b, "%s: %s: %s.", kind, f.Path, f.What)
		if f.Do != "" {
			fmt.Fprintf(&b, " %s.", f.Do)
		}
		b.WriteString("\n")
	}
	if !r.Harmed() {
		fmt.Fprintf(&b, "%s is whole: the database was checked row by row, and every point of the samples was read.\n", data)
	}
	return b.String()
}
