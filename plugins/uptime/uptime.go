// Package uptime is the plugin that tells for how long the host has run.
package uptime

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

// Plugin reports the seconds since the host started, those in which it was suspended included.
var Plugin = plugin.Plugin{
	Name:  "uptime",
	Short: "the time since the host started",
	Graphs: []plugin.Graph{
		{Unit: saba.UnitSeconds, Metrics: []plugin.Metric{{Name: "seconds", Label: "Seconds"}}},
	},
	New: func(*flag.FlagSet) plugin.Collector { return &collector{proc: os.DirFS("/proc")} },
}

type collector struct{ proc fs.FS }

// Collect reads /proc/uptime (proc_uptime(5)).
func (c *collector) Collect(context.Context) ([]saba.Value, error) {
	b, err := fs.ReadFile(c.proc, "uptime")
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil || !(seconds >= 0) || math.IsInf(seconds, 0) {
		return nil, fmt.Errorf("/proc/uptime begins with %.40q, which is no number of seconds", first)
	}
	return []saba.Value{{Name: "seconds", Value: seconds}}, nil
}
