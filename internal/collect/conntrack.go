package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// Conntrack reports how full the firewall's table of connections is. The zero value reads /proc.
type Conntrack struct {
	Proc  fs.FS  // procfs to read; nil means the host's own
	Watch *Watch // nil means the host's

	last baseline[counts]
}

var conntrackGraphs = []saba.GraphDef{
	graph("conntrack", "Linux Tracked Connections", saba.UnitInteger, line("count", "Tracked"), line("max", "Limit")),
	graph("conntrack_usage", "Linux Tracked Connections, Share of the Limit", saba.UnitPercentage, line("percentage", "Used")),
	graph("conntrack_drops", "Linux Tracked Connections Lost (per second)", saba.UnitFloat,
		line("drop", "Packets dropped"), line("early_drop", "Forgotten early"), line("insert_failed", "Not entered")),
}

var conntrackCounters = []counter{
	{"drop", "conntrack_drops.drop"}, {"early_drop", "conntrack_drops.early_drop"}, {"insert_failed", "conntrack_drops.insert_failed"},
}

// Collect returns custom.linux.conntrack.count and .max, conntrack_usage.percentage of the
// limit, and conntrack_drops.drop, .early_drop and .insert_failed per second: of the network
// namespace that it runs in.
func (c *Conntrack) Collect(context.Context) ([]saba.Value, error) {
	count, err := numbers(c.Proc, "sys/net/netfilter/nf_conntrack_count", 1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no connections are tracked: the kernel's nf_conntrack is not loaded: %w", err)
	}
	if err != nil {
		return nil, err
	}
	values := []saba.Value{gauge("conntrack.count", count[0])}
	limit, err := numbers(c.Proc, "sys/net/netfilter/nf_conntrack_max", 1)
	if err == nil {
		values = append(values, gauge("conntrack.max", limit[0]))
		if limit[0] > 0 { // 0 is no limit
			values = append(values, gauge("conntrack_usage.percentage", 100*count[0]/limit[0]))
		}
	}
	// Kernels may be built without this file.
	text, statErr := readText(procOrHost(c.Proc), "net/stat/nf_conntrack")
	if errors.Is(statErr, fs.ErrNotExist) {
		return values, err
	}
	if statErr != nil {
		return values, errors.Join(err, statErr)
	}
	now := parseConntrackStat(text)
	prev, elapsed, ok, clockErr := c.last.next(now, c.Watch)
	if ok {
		values = append(values, rates(conntrackCounters, prev, now, elapsed)...)
	}
	return values, errors.Join(err, clockErr)
}

// parseConntrackStat sums up the columns of /proc/net/stat/nf_conntrack, which has a line of
// names and then one of hexadecimal numbers for each processor (net/netfilter/nf_conntrack_standalone.c).
func parseConntrackStat(text string) counts {
	heading, rest, _ := strings.Cut(text, "\n")
	names := strings.Fields(heading)
	sums := counts{}
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) != len(names) {
			continue
		}
		for i, f := range fields {
			if names[i] != "drop" && names[i] != "early_drop" && names[i] != "insert_failed" {
				continue
			}
			if n, err := strconv.ParseUint(f, 16, 32); err == nil {
				sums[names[i]] += n
			}
		}
	}
	return sums
}
