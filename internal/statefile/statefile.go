// Package statefile keeps small files from run to run of a program, for plugins and checks. The
// folder may be one that everybody writes to: a file is private to its user, what somebody else
// put there is refused, and it is replaced as a whole.
package statefile

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Max bounds a file in bytes: one that is longer is not ours.
const Max = 4 << 20

// Dir returns the folder for them: MACKEREL_PLUGIN_WORKDIR, or that for temporary files.
func Dir(getenv func(string) string) string {
	for _, name := range []string{"MACKEREL_PLUGIN_WORKDIR", "TMPDIR"} {
		if dir := getenv(name); dir != "" {
			return dir
		}
	}
	return "/tmp"
}

// Name returns the name of a program's file: the same for the same arguments, so that two that
// watch different targets do not meet.
func Name(program string, args []string) string {
	sum := sha1.Sum([]byte(strings.Join(args, " ")))
	return program + "-" + hex.EncodeToString(sum[:])
}

// Read returns the content of file; nil when it is not there.
func Read(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || !ok || int(s.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s is not a file of this user: delete it, or choose another place", file)
	}
	b, err := io.ReadAll(io.LimitReader(f, Max+1))
	if err != nil {
		return nil, err
	}
	if len(b) > Max {
		return nil, fmt.Errorf("%s has more than %d bytes: delete it, or choose another place", file, Max)
	}
	return b, nil
}

// Write replaces file by one that holds b and that only this user reads. It is not synced: a
// power loss costs what one run knew, a sync would cost every run.
func Write(file string, b []byte) (err error) {
	if len(b) > Max {
		return fmt.Errorf("%d bytes are more than a state file may have", len(b))
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
