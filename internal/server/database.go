package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
)

// databaseNote is a file in a data folder whose records are in PostgreSQL: it names that database, without user and
// password, so that nobody starts, backs up or examines the folder with another one by mistake.
const databaseNote = "database"

const (
	// databasePatience is how long a start waits for a database that does not answer: machines of one rack start at the same time.
	databasePatience = time.Minute
	databasePause    = time.Second
)

// databaseOf returns what sqldb calls a data folder's database; url names a PostgreSQL database, "" the file in the folder. The error
// says what to do if the folder goes with a database that was not named.
func databaseOf(data, url string) (target string, err error) {
	if url != "" {
		return url, sqldb.CheckURL(url)
	}
	note, err := os.ReadFile(filepath.Join(data, databaseNote))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return filepath.Join(data, databaseName), nil
	case err != nil:
		return "", fmt.Errorf("look for the database of the data folder: %w", err)
	}
	return "", saba.Errorf(saba.ErrInvalid, "the data folder %s goes with the database %s: name it with --database, --database-file or SABA_DATABASE", data, strings.TrimSpace(string(note)))
}

// DatabaseName returns the URL of a PostgreSQL database as it may be shown: without user, password and options.
func DatabaseName(url string) string { return sqldb.Name(url) }

// noteDatabase notes in a data folder that it goes with a PostgreSQL database.
func noteDatabase(data, url string) error {
	if err := os.WriteFile(filepath.Join(data, databaseNote), []byte(sqldb.Name(url)+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the name of the database: %w", err)
	}
	return nil
}

// awaitDatabase waits until a PostgreSQL database answers, at most for patience; it says once that it waits. Whatever else is wrong with the
// database is said by who opens it.
func awaitDatabase(ctx context.Context, target string, patience time.Duration, log *slog.Logger) error {
	t := time.NewTicker(databasePause)
	defer t.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for said := false; ; said = true {
		_, err := sqldb.Check(ctx, target)
		if !errors.Is(err, saba.ErrUnavailable) {
			return nil
		}
		if !said {
			log.Warn("the start waits for the database", "most", patience, "error", err)
		}
		select {
		case <-t.C:
		case <-over.C:
			return fmt.Errorf("after %v of waiting: %w", patience, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
