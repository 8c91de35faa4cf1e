package collect

import (
	"context"
	"io/fs"

	"github.com/saba-monitor/saba"
)

// Uptime reports for how long the host is up. The zero value reads /proc.
type Uptime struct {
	Proc fs.FS // procfs to read; nil means the host's own
}

var uptimeGraphs = []saba.GraphDef{
	graph("uptime", "Linux Uptime", saba.UnitSeconds, line("seconds", "Since the start")),
}

// Collect returns custom.linux.uptime.seconds since the host started, suspension included; in
// a container, of the container where the container's /proc tells it (lxcfs), else of the host.
func (u *Uptime) Collect(context.Context) ([]saba.Value, error) {
	up, err := numbers(u.Proc, "uptime", 1)
	if err != nil {
		return nil, err
	}
	return []saba.Value{gauge("uptime.seconds", up[0])}, nil
}
