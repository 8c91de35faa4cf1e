package collect

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// OOM reports what the kernel does when memory is short: it fetches pages back from disks,
// swaps, and at last kills. The zero value reads /proc.
type OOM struct {
	Proc  fs.FS  // procfs to read; nil means the host's own
	Watch *Watch // nil means the host's

	last baseline[counts]
}

var oomGraphs = []saba.GraphDef{
	graph("oom", "Linux Out of Memory", saba.UnitInteger, line("kills", "Processes killed")),
	graph("paging", "Linux Paging (per second)", saba.UnitFloat,
		line("major_faults", "Faults that waited for a disk"), line("swap_in", "Pages swapped in"), line("swap_out", "Pages swapped out")),
}

var oomCounters = []counter{
	{"pgmajfault", "paging.major_faults"}, {"pswpin", "paging.swap_in"}, {"pswpout", "paging.swap_out"},
}

// Collect returns custom.linux.oom.kills, how many processes were killed for want of memory
// since the previous reading (a number, not a rate: one is one), and
// custom.linux.paging.major_faults, .swap_in and .swap_out per second, the latter two in pages.
func (o *OOM) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(o.Proc), "vmstat")
	if err != nil {
		return nil, err
	}
	now := parseVMStat(text)
	if len(now) == 0 {
		return nil, errors.New("vmstat: no line oom_kill, pgmajfault, pswpin or pswpout")
	}
	prev, elapsed, ok, err := o.last.next(now, o.Watch)
	if err != nil || !ok {
		return nil, err
	}
	var values []saba.Value
	if v, ok := increase(prev, now, "oom_kill"); ok { // since Linux 4.13
		values = append(values, gauge("oom.kills", v))
	}
	return append(values, rates(oomCounters, prev, now, elapsed)...), nil
}

// increase returns by how much a counter rose. ok is false when a reading lacks it, or it went back.
func increase(prev, now counts, key string) (by float64, ok bool) {
	p, before := prev[key]
	n, after := now[key]
	if !before || !after || n < p {
		return 0, false
	}
	return float64(n - p), true
}

// parseVMStat reads the lines of /proc/vmstat (mm/vmstat.c) that tell of want of memory.
func parseVMStat(text string) counts {
	c := counts{}
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, " ")
		switch key {
		case "oom_kill", "pgmajfault", "pswpin", "pswpout":
			if n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 64); err == nil {
				c[key] = n
			}
		}
	}
	return c
}
