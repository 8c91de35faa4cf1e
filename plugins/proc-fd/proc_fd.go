// Package procfd is the plugin that tells how many files a process has open.
package procfd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target/process"
)

// Plugin reports the open files of that process, of those with a text in their command line,
// which has the most.
var Plugin = plugin.Plugin{
	Name:  "proc-fd",
	Short: "open files of the process that has the most of those with a text in their command line",
	Label: "Open Files",
	Graphs: []plugin.Graph{
		{Name: "#", Label: "of one Process", Unit: saba.UnitInteger, Metrics: []plugin.Metric{{Name: "max_fd", Label: "%1"}}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{}
		fs.StringVar(&c.process, "process", "", "`text` that is a part of the command line")
		return c
	},
}

type collector struct {
	process string
	table   process.Table
}

// CheckFlags says what is wrong with the flags.
func (c *collector) CheckFlags() error {
	if c.process == "" {
		return errors.New("-process is missing: which processes?")
	}
	return nil
}

// Collect reads the processes once. When not all that match can be counted there is no value: the
// most of the others would be a lower one.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	s, err := c.table.Read(ctx)
	if err != nil {
		return nil, err
	}
	if s.Hidden {
		return nil, errors.New("this user may not see the processes of others (hidepid in proc(5)): run it as root or in the group of /proc's gid=")
	}
	askers := s.Askers([]string{c.process})
	most, found := 0, false
	for _, p := range s.Processes {
		if askers[p.PID] || !strings.Contains(p.Command, c.process) {
			continue
		}
		n, err := c.table.OpenFiles(p.PID)
		switch {
		case err == nil:
			most, found = max(most, n), true
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("the open files of process %d (%s) may not be counted, which takes root before Linux 6.2: %w", p.PID, p.Name, err)
		case !process.Ended(err):
			return nil, err
		}
	}
	if !found {
		return nil, fmt.Errorf("no process has %q in its command line", c.process)
	}
	return []saba.Value{{Name: segment(c.process) + ".max_fd", Value: float64(most)}}, nil
}

// segment makes a text a part of a name, as other plugins of this name do.
func segment(text string) string {
	b := []byte(text)
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			b[i] = '_'
		}
	}
	return string(b)
}
