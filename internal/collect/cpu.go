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

// CPU reports what the processors did since the previous reading. The zero value reads /proc.
type CPU struct {
	Proc  fs.FS  // procfs to read; nil means the host's own
	Watch *Watch // nil means the host's

	last baseline[cpuTimes]
}

// Collect returns cpu.user.percentage and so on for the states that the kernel tells, 100 for
// one processor: over all states the sum is 100 times their number. guest is part of user
// in the kernel's books and is taken out of it.
func (c *CPU) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(c.Proc), "stat")
	if err != nil {
		return nil, err
	}
	now, err := parseStat(text)
	if err != nil {
		return nil, err
	}
	prev, elapsed, ok, err := c.last.next(now, c.Watch)
	if err != nil || !ok {
		return nil, err
	}
	return cpuValues(prev, now, elapsed), nil
}

// The states of a processor, in the order of the line "cpu" of /proc/stat (proc_stat(5)).
const (
	cpuUser = iota // guest included
	cpuNice        // guest_nice included
	cpuSystem
	cpuIdle
	cpuIOWait
	cpuIRQ
	cpuSoftIRQ
	cpuSteal
	cpuGuest
	cpuStates // what follows (guest_nice) is not reported
)

var cpuNames = [cpuStates]string{
	cpuUser: "cpu.user.percentage", cpuNice: "cpu.nice.percentage", cpuSystem: "cpu.system.percentage",
	cpuIdle: "cpu.idle.percentage", cpuIOWait: "cpu.iowait.percentage", cpuIRQ: "cpu.irq.percentage",
	cpuSoftIRQ: "cpu.softirq.percentage", cpuSteal: "cpu.steal.percentage", cpuGuest: "cpu.guest.percentage",
}

// cpuTimes are the ticks that all processors together spent in each state since boot.
type cpuTimes struct {
	Ticks  [cpuStates]uint64
	Fields int // how many the kernel has: 4 before 2.5.41, 10 since 2.6.33
	CPUs   int // online now
}

// userHZ is how many ticks a second has in /proc on every platform that saba runs on,
// whatever the kernel uses inside.
const userHZ = 100

// parseStat reads the line "cpu" and counts the lines "cpuN" (fs/proc/stat.c).
func parseStat(text string) (cpuTimes, error) {
	var t cpuTimes
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "cpu")
		if !ok {
			continue
		}
		if rest != "" && '0' <= rest[0] && rest[0] <= '9' {
			t.CPUs++
			continue
		}
		if t.Fields != 0 || !strings.HasPrefix(rest, " ") {
			continue
		}
		fields := strings.Fields(rest)
		t.Fields = min(len(fields), cpuStates)
		for i, f := range fields[:t.Fields] {
			n, err := strconv.ParseUint(f, 10, 64)
			if err != nil {
				return cpuTimes{}, fmt.Errorf("stat: %.40q is not a number of ticks", f)
			}
			t.Ticks[i] = n
		}
	}
	switch {
	case t.Fields <= cpuIdle:
		return cpuTimes{}, errors.New("stat: no line cpu with the times of user, nice, system and idle")
	case t.CPUs == 0:
		return cpuTimes{}, errors.New("stat: no line cpu0: how many processors there are is unknown")
	}
	return t, nil
}

// cpuValues returns the percentages between two readings.
//
// Ticks go back on real machines: idle and iowait are estimates on a tickless kernel, a
// hypervisor may take stolen time back, a processor that is switched off may take its idle
// time with it. A state that went back, or forward by more than the time that went by, has
// no value; but iowait by any amount, and idle by next to nothing, only stood still. The share of the
// others is then taken of the time that went by, as the sum of the ticks is no longer it.
func cpuValues(prev, now cpuTimes, elapsed time.Duration) []saba.Value {
	// What the clock says must have been spent by all processors together.
	wall := elapsed.Seconds() * userHZ * float64(max(prev.CPUs, now.CPUs))
	jitter := wall/100 + float64(2*now.CPUs)
	var delta [cpuStates]float64
	var known [cpuStates]bool
	whole := true // the sum of the deltas is the time that went by
	for i := range min(prev.Fields, now.Fields) {
		if now.Ticks[i] >= prev.Ticks[i] {
			delta[i] = float64(now.Ticks[i] - prev.Ticks[i])
			known[i] = delta[i] <= 2*wall+jitter // twice: processors may have been switched on and off in between
		} else {
			back := float64(prev.Ticks[i] - now.Ticks[i])
			known[i] = i == cpuIOWait || i == cpuIdle && back <= jitter
			whole = false
		}
		if !known[i] {
			delta[i], whole = 0, false
		}
	}
	var total float64
	for i := range cpuGuest { // guest is inside user, guest_nice inside nice
		total += delta[i]
	}
	if !whole {
		total = max(total, elapsed.Seconds()*userHZ*float64(now.CPUs))
	}
	if total == 0 {
		return nil
	}
	if known[cpuUser] && known[cpuGuest] {
		delta[cpuGuest] = min(delta[cpuGuest], delta[cpuUser]) // read at slightly different moments
		delta[cpuUser] -= delta[cpuGuest]
	} else if !known[cpuUser] {
		known[cpuGuest] = false
	} else if min(prev.Fields, now.Fields) > cpuGuest {
		known[cpuUser] = false // how much of it was guest is unknown
	}
	values := make([]saba.Value, 0, cpuStates)
	for i, name := range cpuNames {
		if known[i] {
			values = append(values, saba.Value{Name: name, Value: delta[i] * float64(now.CPUs) * 100 / total})
		}
	}
	return values
}
