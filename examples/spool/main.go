// Command spool is an example of a metric plugin in Go: it watches a folder in which files wait
// to be worked on. Copy it and change what it declares and how it asks.
//
//	go build -o /usr/local/bin/spool ./examples/spool
//
//	[plugin.metrics.spool]
//	command = ["/usr/local/bin/spool", "-dir", "/var/spool/mail"]
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

var spool = plugin.Plugin{
	Name:  "spool",
	Short: "files that wait in a folder",
	Graphs: []plugin.Graph{
		{Name: "files", Label: "Files", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "waiting", Label: "Waiting"},
		}},
		{Name: "age", Label: "Age", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{
			{Name: "oldest", Label: "Oldest"},
		}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{now: time.Now}
		fs.StringVar(&c.dir, "dir", "/var/spool", "`folder` to look at")
		return c
	},
}

type collector struct {
	dir string
	now func() time.Time
}

// Collect counts the files. The age of the oldest is in seconds, and left out when there is
// none: 0 would be a file that came just now.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	now := c.now()
	waiting, oldest := 0, now
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // taken meanwhile
			continue
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			continue
		}
		waiting++
		if info.ModTime().Before(oldest) {
			oldest = info.ModTime()
		}
	}
	values := []saba.Value{{Name: "files.waiting", Value: float64(waiting)}}
	if waiting > 0 {
		values = append(values, saba.Value{Name: "age.oldest", Value: now.Sub(oldest).Seconds()})
	}
	return values, nil
}

func main() { plugin.Main(spool) }
