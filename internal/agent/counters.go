package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/saba-monitor/saba/internal/collect"
)

// A Source that makes rates of counters may keep their readings for the next process, whose first
// turn then has rates. Restore is called before the first Collect; its error says why it begins anew.
type counting interface {
	Save() ([]byte, error)
	Restore(state []byte) error
}

// counterFile holds, in the agent's folder, what the turns of the next process begin with.
const counterFile = "counters.json"

// kept is the content of counterFile.
type kept struct {
	Minute  int64             `json:"minute"`  // Unix seconds: the last minute that was collected; 0 is none
	Sources map[string][]byte `json:"sources"` // what Save returned, by the source's name
}

// counters keeps the readings of sources in a file. The zero value keeps nothing.
type counters struct {
	path string
	log  *slog.Logger

	mu  sync.Mutex
	say announcer
}

func newCounters(root string, log *slog.Logger) *counters {
	return &counters{path: filepath.Join(root, counterFile), log: log, say: announcer{log: log}}
}

// restore gives the sources what was kept, and returns the last minute that was collected: 0 when it is
// not known. rates says that some source has its counters back.
func (c *counters) restore(sources []Source) (minute int64, rates bool) {
	if c.path == "" {
		return 0, false
	}
	b, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false
	}
	var k kept
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		c.log.Info("the readings of counters that were kept cannot be used: rates begin with the second one", "file", c.path, "error", err)
		return 0, false
	}
	for _, src := range sources {
		s, ok := src.(counting)
		state := k.Sources[src.Name()]
		if !ok || state == nil {
			continue
		}
		switch err := s.Restore(state); {
		case err == nil:
			rates = true
		case !errors.Is(err, collect.ErrOtherBoot):
			c.log.Info("not every rate is there at once", "source", src.Name(), "error", err)
			rates = true // of the others
		}
	}
	return k.Minute, rates
}

// save keeps the readings of the sources after the turn of minute. It does not wait for the disk: what a power cut
// leaves of it is not used.
func (c *counters) save(sources []Source, minute int64) {
	if c.path == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := kept{Minute: minute, Sources: map[string][]byte{}}
	for _, src := range sources {
		if s, ok := src.(counting); ok {
			b, err := s.Save()
			if err != nil {
				c.log.Debug("the readings of counters are not kept", "source", src.Name(), "error", err)
				continue
			}
			k.Sources[src.Name()] = b
		}
	}
	b, err := json.Marshal(k)
	if err == nil {
		err = overwrite(c.path, b)
	}
	if err != nil {
		c.say.say(slog.LevelWarn, err.Error(), "the readings of counters cannot be kept: a restart will cost one reading", "error", err)
		return
	}
	c.say.over("the readings of counters are kept again")
}

// overwrite replaces the file at path without waiting for the disk. A kill leaves the old or the new one.
func overwrite(path string, b []byte) error {
	fresh := path + ".new"
	if err := os.WriteFile(fresh, b, 0o600); err != nil {
		return fmt.Errorf("keep counters: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("keep counters: %w", err)
	}
	return nil
}
