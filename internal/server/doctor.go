package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// A Finding is something about a data folder that a person should know.
type Finding struct {
	Path string // what it is about
	What string // a sentence without its full stop
	Do   string // what to do, as a sentence without its full stop; "" when nothing needs to be done
	Harm bool   // data is missing or cannot be read, or saba cannot start, or will soon take no points
}

// A Report is what an examination of a data folder has found.
type Report struct {
	Live     bool     // saba runs on it: the logs of the samples were left out
	Repaired []string // sentences about what was moved
	Findings []Finding
}

// Harmed says whether there is anything to be done.
func (r Report) Harmed() bool {
	for _, f := range r.Findings {
		if f.Harm {
			return true
		}
	}
	return false
}

// Examine reads all of the data folder: the database, and every point of the samples. It repairs nothing unless told to, which saba
// must be stopped for; then it sets damaged parts of the samples aside, and deletes nothing. url is that of a PostgreSQL
// database; "" for the file in the folder. The error is for what could not be examined.
func Examine(ctx context.Context, data, url string, repair bool) (_ Report, err error) {
	var r Report
	if info, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		return r, saba.Errorf(saba.ErrNotFound, "there is no data folder %s: name it with --data", data)
	} else if err != nil {
		return r, fmt.Errorf("look into the data folder: %w", err)
	} else if !info.IsDir() {
		return r, saba.Errorf(saba.ErrInvalid, "%s is not a folder: name the data folder with --data", data)
	}
	database, err := databaseOf(data, url)
	if err != nil {
		return r, err
	}
	if r.Live, err = answers(ctx, data); err != nil {
		return r, err
	}
	if r.Live && repair {
		return r, saba.Errorf(saba.ErrConflict, "saba runs on %s: stop it, and then repair", data)
	}
	if !r.Live {
		unlock, err := lockFolder(data)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	samples := filepath.Join(data, samplesName)
	if repair {
		if r.Repaired, err = tsdb.Repair(ctx, samples); err != nil {
			return r, err
		}
	}
	if err := r.records(ctx, database, samples); err != nil {
		return r, err
	}
	if err := r.samples(ctx, samples); err != nil {
		return r, err
	}
	for _, name := range []string{restoreFolder, backupFolder} {
		path := filepath.Join(data, name)
		if _, err := os.Stat(path); err == nil && !r.Live {
			r.add(Finding{Path: path, What: "a backup or a restore that was killed left it behind", Do: "Delete it"})
		}
	}
	return r, nil
}

func (r *Report) add(f Finding) { r.Findings = append(r.Findings, f) }

// records examines the database. It also says what a start would say.
func (r *Report) records(ctx context.Context, database, samples string) error {
	filled, err := sqldb.Examine(ctx, database, r.Live)
	if ctx.Err() != nil {
		return fmt.Errorf("examine the database: %w", ctx.Err())
	}
	if errors.Is(err, saba.ErrUnavailable) {
		r.add(Finding{Path: sqldb.Name(database), What: oneLine(err), Harm: true, Do: "Look after PostgreSQL, and the way to it"})
		return nil
	}
	if err != nil {
		r.add(Finding{Path: sqldb.Name(database), What: oneLine(err), Harm: true, Do: "Restore the data folder from a backup"})
		return nil
	}
	off, err := sqldb.Unsafe(ctx, database)
	if err != nil {
		return fmt.Errorf("examine the database: %w", err)
	}
	for _, setting := range off {
		r.add(Finding{Path: sqldb.Name(database), What: setting + " is off in PostgreSQL, so a power cut can lose what was acknowledged, or all of it", Do: "Turn it on"})
	}
	held, err := tsdb.Holds(samples)
	switch {
	case err != nil:
		r.add(Finding{Path: samples, What: oneLine(err), Harm: true, Do: "Restore the data folder from a backup"})
	case held && !filled:
		r.add(Finding{Path: sqldb.Name(database), What: "it is missing or empty while there are samples, and saba does not start like that", Harm: true,
			Do: "Restore the data folder from a backup, or move " + samples + " away as well to begin anew"})
	}
	return nil
}

func (r *Report) samples(ctx context.Context, samples string) error {
	if info, err := os.Stat(samples); err != nil || !info.IsDir() {
		return nil // said by records
	}
	found, err := tsdb.Examine(ctx, samples, r.Live)
	if err != nil {
		return err
	}
	for _, f := range found {
		r.add(Finding{Path: f.Path, What: f.What, Do: f.Do, Harm: f.Harm})
	}
	room, err := tsdb.DiskRoom(samples)
	if err != nil {
		return err
	}
	switch {
	case room.Full():
		r.add(Finding{Path: samples, What: fmt.Sprintf("its disk is full: %d MiB are free and saba leaves %d MiB alone, so no points are taken and agents keep them", room.Free>>20, room.Need>>20), Harm: true,
			Do: "Make room, or keep less with --retention-size"})
	case room.Near():
		r.add(Finding{Path: samples, What: fmt.Sprintf("its disk is nearly full: %d MiB are free, and with less than %d MiB no points will be taken", room.Free>>20, room.Need>>20), Harm: true,
			Do: "Make room, or keep less with --retention-size"})
	}
	return nil
}

// answers says whether a server answers on the socket in the data folder.
func answers(ctx context.Context, data string) (bool, error) {
	conn, err := dialControl(ctx, data)
	if conn == nil {
		return false, err
	}
	return true, conn.Close()
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", ", ") }
