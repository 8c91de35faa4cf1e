package collect

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// Scheduler reports how busy the kernel is with switching between tasks. The zero value reads /proc.
type Scheduler struct {
	Proc  fs.FS  // procfs to read; nil means the host's own
	Watch *Watch // nil means the host's

	last baseline[counts]
}

var schedulerGraphs = []saba.GraphDef{
	graph("scheduler", "Linux Scheduler (per second)", saba.UnitFloat,
		line("context_switches", "Context switches"), line("interrupts", "Interrupts"), line("forks", "New processes and threads")),
	graph("processes", "Linux Processes", saba.UnitInteger, line("running", "Running"), line("blocked", "Blocked by I/O")),
}

var schedulerCounters = []counter{
	{"ctxt", "scheduler.context_switches"}, {"intr", "scheduler.interrupts"}, {"processes", "scheduler.forks"},
}

// Collect returns custom.linux.scheduler.context_switches, .interrupts and .forks per second,
// and custom.linux.processes.running and .blocked at this moment.
func (s *Scheduler) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(s.Proc), "stat")
	if err != nil {
		return nil, err
	}
	now := parseStatCounts(text)
	if len(now) == 0 {
		return nil, errors.New("stat: no line ctxt, intr, processes, procs_running or procs_blocked")
	}
	var values []saba.Value
	if n, ok := now["procs_running"]; ok {
		values = append(values, gauge("processes.running", float64(n)))
	}
	if n, ok := now["procs_blocked"]; ok {
		values = append(values, gauge("processes.blocked", float64(n)))
	}
	prev, elapsed, ok, err := s.last.next(now, s.Watch)
	if ok {
		values = append(values, rates(schedulerCounters, prev, now, elapsed)...)
	}
	return values, err
}

// parseStatCounts reads the lines of /proc/stat that hold a number of events or of tasks. Of
// the interrupts it is the first: their sum, before one for each line of the hardware.
func parseStatCounts(text string) counts {
	c := counts{}
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, " ")
		switch key {
		case "ctxt", "intr", "processes", "procs_running", "procs_blocked":
			first, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if n, err := strconv.ParseUint(first, 10, 64); err == nil {
				c[key] = n
			}
		}
	}
	return c
}
