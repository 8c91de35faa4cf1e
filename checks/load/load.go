// Package load is the check that looks at the load averages of the host.
package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba/check"
)

// Check says whether the load averages are low enough.
var Check = check.Check{
	Name:  "load",
	Short: "whether the load averages of the host, in a container of the machine below it, are low enough",
	Title: "LOAD",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{proc: os.DirFS("/proc")}
		fs.FuncP("warning", "w", "WARNING above these averages over 1, 5 and 15 minutes, in the `form` 4,3,2", c.warning.set)
		fs.FuncP("critical", "c", "CRITICAL above these averages, in the same `form`", c.critical.set)
		fs.BoolVarP(&c.perCPU, "percpu", "r", false, "divide the averages by the number of processors that they are about")
		return c
	},
}

type checker struct {
	proc              fs.FS
	warning, critical limits
	perCPU            bool
}

var minutes = [3]int{1, 5, 15}

// limits are the highest averages over 1, 5 and 15 minutes that are well; nil when they are not given.
type limits []float64

func (l *limits) set(s string) error {
	parts := strings.Split(s, ",")
	var values limits
	for _, part := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || math.IsNaN(v) || v < 0 || len(parts) != 3 {
			return errors.New("it must be three numbers like 4,3,2")
		}
		values = append(values, v)
	}
	*l = values
	return nil
}

// over returns a clause that names what is above its limit, "" when nothing is.
func (l limits) over(load [3]float64) string {
	for i, v := range load {
		if v > l[i] {
			return fmt.Sprintf(": over %d min it is above %v", minutes[i], l[i])
		}
	}
	return ""
}

// CheckFlags says what is missing.
func (c *checker) CheckFlags() error {
	if c.warning == nil || c.critical == nil {
		return errors.New("both --warning and --critical must be given, like -w 4,3,2 -c 8,6,4")
	}
	return nil
}

// Check reads the averages once.
func (c *checker) Check(context.Context) check.Result {
	b, err := fs.ReadFile(c.proc, "loadavg")
	if err != nil {
		return check.Unknown("%v", err)
	}
	load, err := parseLoad(string(b))
	if err != nil {
		return check.Unknown("/proc/loadavg %v", err)
	}
	says := "load average"
	if c.perCPU {
		// Not the processors that this process may use: in a container, these are fewer than those
		// that the load of the machine is spread over. What tells of one tells of the other (lxcfs).
		b, err := fs.ReadFile(c.proc, "stat")
		if err != nil {
			return check.Unknown("%v", err)
		}
		n := countCPUs(string(b))
		if n == 0 {
			return check.Unknown("/proc/stat lists no processor")
		}
		for i := range load {
			load[i] /= float64(n)
		}
		says = fmt.Sprintf("load average for each of %d processors", n)
	}
	says += fmt.Sprintf(" %.2f, %.2f, %.2f", load[0], load[1], load[2])
	if over := c.critical.over(load); over != "" {
		return check.Critical("%s%s", says, over)
	}
	if over := c.warning.over(load); over != "" {
		return check.Warning("%s%s", says, over)
	}
	return check.OK("%s", says)
}

// parseLoad reads "0.20 0.18 0.12 1/80 11206". The error is a clause.
func parseLoad(text string) (load [3]float64, err error) {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return load, fmt.Errorf("has %d fields where 3 averages should be", len(fields))
	}
	for i := range load {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return load, fmt.Errorf("has %.40q where an average should be", fields[i])
		}
		load[i] = v
	}
	return load, nil
}

// countCPUs returns how many processors /proc/stat lists: "cpu0 1 2 3…", beside the line "cpu " of all.
func countCPUs(text string) (n int) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "cpu"); ok && rest != "" && '0' <= rest[0] && rest[0] <= '9' {
			n++
		}
	}
	return n
}
