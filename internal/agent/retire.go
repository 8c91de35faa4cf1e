package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// The tries of Retire: many enough for a server that restarts, few enough for a machine that
// shuts down.
const (
	retireTries  = 10
	retireEvery  = 3 * time.Second
	retireWithin = time.Minute
)

// A Retirer is what Retire asks of a server. *client.Client is one.
type Retirer interface {
	RetireHost(ctx context.Context, id string) error
}

// HostID returns the id that the agent of the folder root has. The error matches
// saba.ErrNotFound when it has none.
func HostID(root string) (string, error) {
	i, err := idFolder(root).identity("") // on whichever machine: the id that stands there is meant
	switch {
	case err != nil:
		return "", err
	case i.lost != "":
		return "", saba.Errorf(saba.ErrNotFound, "there is no host to retire: %s does not hold an id", filepath.Join(root, idFile))
	case i.id == "":
		return "", saba.Errorf(saba.ErrNotFound, "there is no host to retire: there is no %s", filepath.Join(root, idFile))
	}
	return i.id, nil
}

// Retire retires the host id for good, which is that of the folder root, and forgets it there,
// so that the next start of an agent registers a new host. When the server does not answer, or
// not well, it tries again for up to a minute; the folder stays as it is until the server has agreed.
func Retire(ctx context.Context, api Retirer, root, id string, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, retireWithin)
	defer cancel()
	if err := retireHost(ctx, api, id, log); err != nil {
		return err
	}
	return forget(root)
}

// retireHost retires the host id, in as many tries as that takes until ctx ends or there is no hope.
func retireHost(ctx context.Context, api Retirer, id string, log *slog.Logger) error {
	for try := 1; ; try++ {
		err := api.RetireHost(ctx, id)
		if err == nil {
			return nil
		}
		if try == retireTries || !passing(err) || ctx.Err() != nil {
			return fmt.Errorf("host %s was not retired: %w", id, err)
		}
		log.Warn("the host was not retired yet; it will be tried again", "host", id, "try", try, "of", retireTries, "error", err)
		if !sleep(ctx, max(retireEvery, min(client.RetryAfter(err), retireWithin))) {
			return fmt.Errorf("host %s was not retired: %w", id, err)
		}
	}
}

// passing says whether a failure may be over in a while.
func passing(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return !ok || !e.JSON || e.Status >= 500 || e.Status == http.StatusTooManyRequests
}

// forget removes from the folder root what makes its agent one host: the id, and the values
// that wait to be sent under it, which are not a later host's.
func forget(root string) error {
	if root == "" {
		return nil
	}
	err := Forget(root)
	for _, name := range []string{"queue", "checks"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(root, name)))
	}
	if err != nil {
		return fmt.Errorf("the host is retired, but its id or values were not removed: %w", err)
	}
	return nil
}

// keepOwner gives f the owner of the file that it will replace, as far as we may.
func keepOwner(f *os.File, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
