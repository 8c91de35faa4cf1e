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

// counters keeps the readings of sources in a file, or, without a path, in memory, for the next configuration of this process.
type counters struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	say    announcer
	memory []byte // the content of a file that there is not
}

func newCounters(root string, log *slog.Logger) *counters {
	return &counters{path: filepath.Join(root, counterFile), log: log, say: announcer{log: log}}
}

// restore gives the sources what was kept, and returns the last minute that was collected: 0 when it is
// not known. rates says that some source has its counters back.
func (c *counters) restore(sources []Source) (minute int64, rates bool) {
	b, err := c.memory, error(nil)
	if c.path != "" {
		b, err = os.ReadFile(c.path)
	}
	if errors.Is(err, fs.ErrNotExist) || b == nil && err == nil {
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

// save keeps the readings of the sources after the turn of minute. It does not wait for the disk.
func (c *counters) save(sources []Source, minute int64) {
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
	if err == nil && c.path == "" {
		c.memory = b
		return
	}
	if err == nil {
		err = overwrite(c.path, b)
	}
	if err != nil {
		c.say.say(slog.LevelWarn, err.Error(), "the readings of counters cannot be kept: a restart will cost one reading", "error", err)
		return
	}
	c.say.over("the readings of counters are kept again")
}

// overwrite writes b into the file at path, in place: to make a file anew each minute costs the disk more
// than all else that the agent does. What a kill in that moment leaves is no JSON, and is not used.
func overwrite(path string, b []byte) (err error) {
	const step = 1 << 10 // so that the size, which would be written too, stays the same
	for len(b)%step != 0 {
		b = append(b, '\n')
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("keep counters: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil && info.Size() > int64(len(b)) {
		err = f.Truncate(int64(len(b)))
	}
	if err != nil {
		return fmt.Errorf("keep counters: %w", err)
	}
	return nil
}
