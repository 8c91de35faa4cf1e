// Package inode is the plugin that tells how many inodes file systems have left: without one no
// file can be made, however much space there is.
package inode

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// Plugin reports the inodes of each file system on a block device.
var Plugin = plugin.Plugin{
	Name:  "inode",
	Short: "used and free inodes of the file systems on block devices",
	Graphs: []plugin.Graph{
		{Name: "count.#", Label: "Count", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "used", Label: "%1 used"},
			{Name: "free", Label: "%1 free"},
			{Name: "total", Label: "%1 total"},
		}},
		{Name: "percentage.#", Label: "Percentage", Unit: saba.UnitPercentage, Metrics: []plugin.Metric{
			{Name: "used", Label: "%1 used"},
		}},
	},
	New: func(*flag.FlagSet) plugin.Collector {
		return &collector{proc: os.DirFS("/proc"), resolve: filepath.EvalSymlinks}
	},
}

type collector struct {
	proc    fs.FS
	resolve func(path string) (string, error) // follows links
	prober  mount.Prober
}

// Collect asks each file system once. One that does not answer in time is left out, with one
// error, until it does. Those without a fixed number of inodes (btrfs, vfat) have no value, and
// images that are made full (squashfs) neither.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	table, err := fs.ReadFile(c.proc, "self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	mounts := mount.Distinct(mount.Parse(string(table)), func(m mount.Mount) bool {
		return strings.HasPrefix(m.Source, "/dev/") && m.Local() && !m.AlwaysFull()
	})
	usages, errs := c.prober.All(ctx, mounts)
	var values []saba.Value
	for i, u := range usages {
		if u == nil || u.Files == 0 || u.FreeFiles > u.Files {
			continue
		}
		total, free := float64(u.Files), float64(u.FreeFiles)
		name := c.name(mounts[i])
		values = append(values,
			saba.Value{Name: "count." + name + ".used", Value: total - free},
			saba.Value{Name: "count." + name + ".free", Value: free},
			saba.Value{Name: "count." + name + ".total", Value: total},
			saba.Value{Name: "percentage." + name + ".used", Value: 100 * (total - free) / total})
	}
	return values, errors.Join(errs...)
}

// name returns the name of a device as a part of a metric's name. A link by UUID or label is what
// it leads to, as for df.
func (c *collector) name(m mount.Mount) string {
	source := m.Source
	if strings.HasPrefix(source, "/dev/disk/") {
		if device, err := c.resolve(source); err == nil {
			source = device
		}
	}
	b := []byte(strings.TrimPrefix(source, "/dev/"))
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			b[i] = '_'
		}
	}
	return string(b)
}
