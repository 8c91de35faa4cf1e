package servercli

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

// DataCommands returns the commands that care for a data folder, and the load generator, in the order of the help page.
func DataCommands() []cli.Command { return []cli.Command{backupCmd, restoreCmd, doctorCmd, benchCmd} }

var backupCmd = cli.Command{
	Name:  "backup",
	Short: "write samples and database to one file, while saba runs or not",
	Run: func(ctx context.Context, env *cli.Env, args []string) error {
		fs := env.Flags("FILE")
		data := dataFlag(fs)
		var records databaseFlags
		records.addTo(fs)
		file, err := operand(env, fs, args, "FILE", "the archive to write")
		if err != nil {
			return err
		}
		database, err := records.url(env)
		if err != nil {
			return err
		}
		m, live, err := backup(ctx, *data, database, file)
		if err != nil {
			return err
		}
		how := "saba was not running"
		if live {
			how = "taken from the running saba"
		}
		_, err = fmt.Fprintf(env.Stdout, "%s holds all of %s of %s: %d files, %s uncompressed (%s); it was read back and is whole.\n",
			file, *data, m.Taken.Format(time.RFC3339), len(m.Files), size(m.Size()), how)
		return err
	},
}

// backup writes the archive beside file, reads it back, and only then gives it its name.
func backup(ctx context.Context, data, database, file string) (m server.Manifest, live bool, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp-") // for its owner alone: it holds hashes of passwords
	if err != nil {
		return m, false, fmt.Errorf("the backup cannot be written: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if live, err = server.Backup(ctx, data, database, time.Now, w); err != nil {
		return m, live, err
	}
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return m, live, fmt.Errorf("the backup cannot be written: %w", err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		return m, live, fmt.Errorf("the backup cannot be read back: %w", err)
	}
	if m, err = server.ReadBackup(ctx, f); err != nil {
		return m, live, fmt.Errorf("the backup was written and is not what it should be (does the disk work?): %w", err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return m, live, fmt.Errorf("the backup cannot be given its name: %w", err)
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return m, live, err
	}
	return m, live, errors.Join(folder.Sync(), folder.Close())
}

// dataFlag adds the flag --data to a command that needs a folder which is there.
func dataFlag(fs *flag.FlagSet) *string {
	return fs.String("data", "./saba-data", "the data `folder` of saba")
}

// operand parses args, which are flags and exactly one operand, in any order. what says what the operand is.
func operand(env *cli.Env, fs *flag.FlagSet, args []string, name, what string) (string, error) {
	var operands []string
	for {
		if err := env.Parse(fs, args); err != nil {
			return "", err
		}
		if fs.NArg() == 0 {
			break
		}
		operands, args = append(operands, fs.Arg(0)), fs.Args()[1:]
	}
	switch {
	case len(operands) == 0 || operands[0] == "":
		return "", saba.Errorf(saba.ErrInvalid, "%s is missing: name %s", name, what)
	case len(operands) > 1:
		return "", saba.Errorf(saba.ErrInvalid, "unexpected argument %q: this command takes one %s", operands[1], name)
	}
	return operands[0], nil
}

// size words a number of bytes: "12.3 MiB".
func size(bytes int64) string {
	v, unit := float64(bytes), ""
	for _, unit = range strings.Fields("B KiB MiB GiB TiB") {
		if v < 1024 || unit == "TiB" {
			break
		}
		v /= 1024
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}
