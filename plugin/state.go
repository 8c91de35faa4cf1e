package plugin

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A state is the content of a state file, which is a JSON object.
type state struct {
	Version int                   `json:"saba"` // stateVersion
	Totals  map[string]stateTotal `json:"totals"`
	Kept    json.RawMessage       `json:"kept,omitempty"` // of a Keeper
}

type stateTotal struct {
	Value float64 `json:"value"`
	Time  int64   `json:"time"` // Unix nanoseconds
}

const stateVersion = 1

// A memory is what a run leaves to the next one.
type memory struct {
	totals totals
	kept   json.RawMessage // of a Keeper; nil when there is nothing
}

// maxState bounds a state file in bytes: one that is longer is not ours.
const maxState = 4 << 20

// stateFile returns where a plugin that runs as a process keeps its memory: the same for the
// same arguments, so that two that watch different targets do not meet.
func (in *instance) stateFile(getenv func(string) string) string {
	if in.tempfile != "" {
		return in.tempfile
	}
	dir := getenv("MACKEREL_PLUGIN_WORKDIR")
	if dir == "" {
		dir = getenv("TMPDIR")
	}
	if dir == "" {
		dir = "/tmp"
	}
	sum := sha1.Sum([]byte(strings.Join(in.given, " ")))
	return filepath.Join(dir, "saba-plugin-"+in.Name+"-"+hex.EncodeToString(sum[:]))
}

// readState returns the memory in file; an empty one when it is not there. The folder may be one that
// everybody writes to, so a file that somebody else made is an error.
func readState(file string) (memory, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return memory{}, nil
	}
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return memory{}, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || !ok || int(s.Uid) != os.Geteuid() {
		return memory{}, fmt.Errorf("%s is not a file of this user: delete it, or choose another with -tempfile", file)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return memory{}, err
	}
	m, err := parseState(b)
	if err != nil {
		return memory{}, fmt.Errorf("%s %w; it is written anew", file, err)
	}
	return m, nil
}

// parseState reads a state file. The error is a clause.
func parseState(b []byte) (memory, error) {
	var s state
	if len(b) > maxState || json.Unmarshal(b, &s) != nil || s.Version != stateVersion {
		return memory{}, errors.New("does not hold what this version keeps")
	}
	m := memory{totals: totals{}, kept: s.Kept}
	for name, x := range s.Totals {
		m.totals[name] = total{x.Value, time.Unix(0, x.Time)}
	}
	return m, nil
}

// bytes returns a state file of m. What a Keeper keeps must be JSON.
func (m memory) bytes() ([]byte, error) {
	s := state{Version: stateVersion, Totals: map[string]stateTotal{}, Kept: m.kept}
	for name, x := range m.totals {
		s.Totals[name] = stateTotal{x.value, x.at.UnixNano()}
	}
	b, err := json.Marshal(s)
	if err == nil && len(b) > maxState {
		err = fmt.Errorf("%d bytes are more than a state file may have", len(b))
	}
	return b, err
}

// writeState replaces file by one that holds m and that only this user reads. It is not synced:
// a power loss costs the counters one minute, a sync would cost every minute.
func writeState(file string, m memory) (err error) {
	b, err := m.bytes()
	if err != nil {
		return err
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
