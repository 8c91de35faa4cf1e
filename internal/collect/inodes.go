package collect

import (
	"context"

	"github.com/saba-monitor/saba"
)

// Inodes reports how many of their inodes file systems have used: without one no file can be
// made, however much space is left. The zero value asks the host.
type Inodes struct {
	Filesystem // which file systems, and how they are named
}

var inodesGraphs = []saba.GraphDef{
	graph("inodes", "Linux Inodes Used", saba.UnitPercentage, line("*", "%1")),
}

// Collect returns custom.linux.inodes.<file system> in percent, named like the file systems'
// sizes. Those that make inodes as they need them (btrfs, vfat) have none.
func (i *Inodes) Collect(ctx context.Context) ([]saba.Value, error) {
	usages, err := i.usages(ctx)
	values := make([]saba.Value, 0, len(usages))
	for _, u := range usages {
		if u.Files > 0 && u.FreeFiles <= u.Files {
			values = append(values, gauge("inodes."+u.label, 100*float64(u.Files-u.FreeFiles)/float64(u.Files)))
		}
	}
	return values, err
}
