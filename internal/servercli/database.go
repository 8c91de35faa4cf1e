package servercli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/cli"
)

// databaseFlags name the PostgreSQL database of a data folder, if its records are not in the folder itself.
type databaseFlags struct{ value, file string }

func (d *databaseFlags) addTo(fs *flag.FlagSet) {
	fs.StringVar(&d.value, "database", "", "the `URL` of the PostgreSQL database that keeps everything but samples, such as postgres://user@host/saba (default: a file in the data folder)")
	fs.StringVar(&d.file, "database-file", "", "a `file` that holds that URL, with its password; SABA_DATABASE in the environment does as well")
}

// url returns the URL of the database, "" when there is none.
func (d *databaseFlags) url(env *cli.Env) (string, error) {
	switch {
	case d.value != "" && d.file != "":
		return "", saba.Errorf(saba.ErrInvalid, "--database and --database-file name a database each: give one of them")
	case d.file != "":
		f, err := os.Open(d.file)
		if err != nil {
			return "", fmt.Errorf("--database-file: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, 64<<10))
		if err != nil {
			return "", fmt.Errorf("--database-file: %w", err)
		}
		if s := strings.TrimSpace(string(b)); s != "" {
			return s, nil
		}
		return "", saba.Errorf(saba.ErrInvalid, "--database-file %s is empty: it has to hold the URL of the database", d.file)
	case d.value == "":
		return env.Getenv("SABA_DATABASE"), nil
	}
	// Not parsed: package url does not take all that is a URL to PostgreSQL (several hosts).
	_, rest, _ := strings.Cut(d.value, "://")
	user, _, hasUser := strings.Cut(rest, "@")
	if hasUser && strings.Contains(user, ":") || strings.Contains(rest, "password=") {
		return "", saba.Errorf(saba.ErrInvalid, "--database holds a password, which everybody on this machine could read: put the URL into a file for --database-file, or into the environment as SABA_DATABASE")
	}
	return d.value, nil
}
