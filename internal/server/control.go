package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// controlName is a socket in the data folder, on which the running server does what only the folder's owner may
// ask for. Who may open the folder may ask; no key is needed, and nobody else can reach it.
const controlName = "control"

// A control is that socket.
type control struct {
	listener net.Listener
	path     string
	folder   *os.File
	server   *Server
	one      sync.Mutex // held while a backup is taken
}

// openControl makes the socket. The data folder must be locked: what a killed server left is replaced.
func openControl(s *Server) (*control, error) {
	c := &control{server: s, path: filepath.Join(s.opts.Data, controlName)}
	fail := func(err error) (*control, error) {
		return nil, fmt.Errorf("the socket %s, by which saba backup asks, cannot be made: %w", c.path, err)
	}
	if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	var err error
	if c.folder, err = os.Open(s.opts.Data); err != nil {
		return fail(err)
	}
	l, err := net.Listen("unix", socketPath(c.folder, c.path))
	if err != nil {
		return fail(errors.Join(err, c.folder.Close()))
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by its path as we know it: see close
	c.listener = l
	if err := os.Chmod(c.path, 0o600); err != nil {
		return fail(errors.Join(err, c.close()))
	}
	return c, nil
}

// socketPath returns a path of a socket in folder that is short enough: the kernel takes about 100
// bytes (unix(7)), and data folders may be deep.
func socketPath(folder *os.File, path string) string {
	if len(path) > 100 && runtime.GOOS == "linux" {
		return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path))
	}
	return path
}

// close removes the socket. It may be called more than once.
func (c *control) close() error {
	if c.folder == nil {
		return nil
	}
	err := ignoreClosed(c.listener.Close())
	if removeErr := os.Remove(c.path); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	err = errors.Join(err, c.folder.Close())
	c.folder = nil
	return err
}

// serve answers on the socket until ctx ends. A backup under way is broken off then.
func (c *control) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backup", c.backup)
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(c.server.opts.Log.Handler(), slog.LevelDebug),
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve on %s: %w", c.path, err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		// A backup looks at ctx; its connection is closed when it has seen it.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(ignoreClosed(srv.Shutdown(stop)), ignoreClosed(srv.Close()))
	})
	return g.Wait()
}

func (c *control) backup(w http.ResponseWriter, r *http.Request) {
	if !c.one.TryLock() {
		http.Error(w, "another backup is being taken: wait for its end", http.StatusConflict)
		return
	}
	defer c.one.Unlock()
	began := time.Now()
	body := &counting{w: w}
	err := c.server.backup(r.Context(), body)
	switch {
	case err == nil:
		c.server.opts.Log.Info("a backup was taken", "bytes", body.n, "seconds", time.Since(began).Seconds())
	case body.n == 0:
		c.server.opts.Log.Error("a backup could not be taken", "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		c.server.opts.Log.Error("a backup was broken off", "error", err)
		panic(http.ErrAbortHandler) // the client must not take it for the end
	}
}

// counting counts what went through.
type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// dialControl connects to the server that runs on the data folder; the connection is nil when none answers.
func dialControl(ctx context.Context, data string) (net.Conn, error) {
	folder, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("look into the data folder: %w", err)
	}
	defer folder.Close()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socketPath(folder, filepath.Join(data, controlName)))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the socket in %s may not be opened by this user: run this as the user that saba runs as", data)
	case err != nil:
		return nil, fmt.Errorf("ask the running saba: %w", err)
	}
	return conn, nil
}

// askForBackup asks the server that runs on the data folder, if any, for a backup. live is false when none answers.
func askForBackup(ctx context.Context, data string, w io.Writer) (live bool, err error) {
	conn, err := dialControl(ctx, data)
	if conn == nil {
		return false, err
	}
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://saba/backup", nil)
	if err != nil {
		return true, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return true, fmt.Errorf("ask the running saba: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err != nil {
			return true, fmt.Errorf("ask the running saba: %w", err)
		}
		return true, fmt.Errorf("the running saba cannot take a backup: %s", strings.TrimSpace(string(why)))
	}
	if _, err := io.CopyBuffer(justWriter{w}, resp.Body, make([]byte, copyBufferSize)); err != nil {
		return true, fmt.Errorf("the backup broke off (the log of the running saba may say why): %w", err)
	}
	return true, nil
}
