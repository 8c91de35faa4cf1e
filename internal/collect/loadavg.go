package collect

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// Loadavg reports the load averages of the kernel. The zero value reads /proc.
type Loadavg struct {
	Proc fs.FS // procfs to read; nil means the host's own
}

// Collect returns loadavg1, loadavg5 and loadavg15: tasks that run, wait to run or wait for a
// disk, averaged over 1, 5 and 15 minutes, not divided by the number of CPUs.
func (l *Loadavg) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(l.Proc), "loadavg")
	if err != nil {
		return nil, err
	}
	return parseLoadavg(text)
}

// parseLoadavg reads "0.20 0.18 0.12 1/80 11206" (fs/proc/loadavg.c).
func parseLoadavg(text string) ([]saba.Value, error) {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return nil, fmt.Errorf("loadavg: %d fields where 3 averages should be", len(fields))
	}
	values := make([]saba.Value, 3)
	for i, name := range []string{"loadavg1", "loadavg5", "loadavg15"} {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return nil, fmt.Errorf("loadavg: %.40q is not a load average", fields[i])
		}
		values[i] = saba.Value{Name: name, Value: v}
	}
	return values, nil
}
