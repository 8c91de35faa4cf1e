//go:build !linux

package collect

import (
	"io/fs"
	"time"
)

// noFS is the /proc of a system that has none.
type noFS struct{}

func (noFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errNotLinux}
}

func hostFS(string) fs.FS               { return noFS{} }
func hostClock() (time.Duration, error) { return 0, errNotLinux }
func hostStat(string) (Usage, error)    { return Usage{}, errNotLinux }
func hostUname() (uname, error)         { return uname{}, errNotLinux }
