package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/saba-monitor/saba/internal/statefile"
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

// stateFile returns where a plugin that runs as a process keeps its memory.
func (in *instance) stateFile(getenv func(string) string) string {
	if in.tempfile != "" {
		return in.tempfile
	}
	return filepath.Join(statefile.Dir(getenv), statefile.Name("saba-plugin-"+in.Name, in.given))
}

// readState returns the memory in file; an empty one when it is not there.
func readState(file string) (memory, error) {
	b, err := statefile.Read(file)
	if err != nil || b == nil {
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
	if json.Unmarshal(b, &s) != nil || s.Version != stateVersion {
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
	return json.Marshal(s)
}

// writeState replaces file by one that holds m.
func writeState(file string, m memory) error {
	b, err := m.bytes()
	if err != nil {
		return err
	}
	return statefile.Write(file, b)
}
