package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// Pressure reports for how much of the time tasks waited for a resource (PSI). The zero value
// reads /proc.
type Pressure struct {
	Proc  fs.FS  // procfs to read; nil means the host's own
	Watch *Watch // nil means the host's

	last baseline[counts]
}

var pressureGraphs = []saba.GraphDef{
	graph("pressure", "Linux Pressure (share of time that tasks waited)", saba.UnitPercentage,
		line("cpu_some", "CPU, some"), line("memory_some", "Memory, some"), line("memory_full", "Memory, all"),
		line("io_some", "I/O, some"), line("io_full", "I/O, all"), line("irq_full", "Interrupts, all")),
}

// Collect returns custom.linux.pressure.<resource>_some and _full: the share of the time since
// the previous reading, in percent, in which at least one task, or every one that was not
// idle, waited for the resource. It is made of the kernel's totals and not of its averages, so
// that no second counts twice or not at all.
func (p *Pressure) Collect(context.Context) ([]saba.Value, error) {
	now := counts{}
	var errs []error
	for _, resource := range []string{"cpu", "memory", "io", "irq"} {
		text, err := readText(procOrHost(p.Proc), "pressure/"+resource)
		switch {
		case err == nil:
			parsePressure(text, resource, now)
		case resource == "irq" && errors.Is(err, fs.ErrNotExist): // before Linux 6.1, and where interrupts' time is not kept
		default:
			errs = append(errs, err)
		}
	}
	if len(now) == 0 {
		return nil, fmt.Errorf("the kernel tells no pressure (Linux 4.20 and later does; where it is off by default, boot with psi=1): %w", errors.Join(errs...))
	}
	prev, elapsed, ok, err := p.last.next(now, p.Watch)
	if err != nil || !ok {
		return nil, errors.Join(append(errs, err)...)
	}
	var values []saba.Value
	for _, metric := range []string{"cpu_some", "memory_some", "memory_full", "io_some", "io_full", "irq_full"} {
		before, known := prev[metric]
		after, have := now[metric]
		if v, ok := pressureShare(before, after, elapsed); ok && known && have {
			values = append(values, gauge("pressure."+metric, v))
		}
	}
	return values, errors.Join(errs...)
}

// pressureShare returns the increase of a total in µs as a percentage of elapsed. ok is false
// when it went back, or rose by more than the time that went by: it is a mean over processors
// whose moments differ slightly, so that a tenth more is still all of the time.
func pressureShare(prev, now uint64, elapsed time.Duration) (percent float64, ok bool) {
	percent = 100 * float64(now-prev) / float64(elapsed.Microseconds())
	if now < prev || percent > 110 {
		return 0, false
	}
	return min(100, percent), true
}

// parsePressure adds the totals, in µs, of a file of /proc/pressure to into, as <resource>_some
// and _full: "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" (Documentation/accounting/psi.rst).
func parsePressure(text, resource string, into counts) {
	for line := range strings.Lines(text) {
		kind, rest, ok := strings.Cut(line, " ")
		_, total, found := strings.Cut(rest, "total=")
		// All tasks waiting for a processor, on the whole host, is always 0: nobody would run.
		if !ok || !found || kind != "some" && kind != "full" || resource == "cpu" && kind == "full" {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(total), 10, 64); err == nil {
			into[resource+"_"+kind] = n
		}
	}
}
