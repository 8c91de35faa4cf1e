//go:build !linux

package collect

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// errNotLinux is what every reading of the host returns.
var errNotLinux = errors.New("host metrics and facts are read from the Linux kernel; this system is not Linux")

// noFS is the /proc of a system that has none.
type noFS struct{}

func (noFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errNotLinux}
}

func hostFS(string) fs.FS                               { return noFS{} }
func hostClock() (time.Duration, error)                 { return 0, errNotLinux }
func hostSockets(context.Context) (SocketStates, error) { return SocketStates{}, errNotLinux }
func hostUname() (uname, error)                         { return uname{}, errNotLinux }
