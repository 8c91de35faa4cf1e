//go:build !linux

package mount

import (
	"errors"
	"io/fs"
)

func hostStat(path string) (Usage, error) {
	return Usage{}, &fs.PathError{Op: "statfs", Path: path, Err: errors.ErrUnsupported}
}
