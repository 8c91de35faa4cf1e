package collect

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// Memory reports how the main memory and the swap space are used. The zero value reads /proc.
type Memory struct {
	Proc fs.FS // procfs to read; nil means the host's own
}

// Collect returns memory.total, .used, .swap_total, .swap_cached, .swap_free, and either
// .mem_available or, from a kernel before 3.14 that does not tell it, .buffers, .cached and
// .free. All are in bytes. A line that the kernel lacks brings no value.
func (m *Memory) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(m.Proc), "meminfo")
	if err != nil {
		return nil, err
	}
	return memoryValues(parseMeminfo(text))
}

// memoryValues names the readings of /proc/meminfo (in kB) as metrics in bytes.
func memoryValues(kb map[string]uint64) ([]saba.Value, error) {
	total, ok := kb["MemTotal"]
	if !ok {
		return nil, errors.New("meminfo: no line MemTotal")
	}
	values := make([]saba.Value, 0, 8)
	add := func(name string, kb uint64) {
		values = append(values, saba.Value{Name: "memory." + name, Value: float64(kb) * 1024})
	}
	add("total", total)
	type line struct{ metric, key string }
	lines := []line{{"swap_total", "SwapTotal"}, {"swap_cached", "SwapCached"}, {"swap_free", "SwapFree"}}
	if available, ok := kb["MemAvailable"]; ok {
		// Containers with a memory limit of their own can show more available than there is.
		if available <= total {
			add("used", total-available)
		}
		lines = append(lines, line{"mem_available", "MemAvailable"})
	} else {
		free, ok := kb["MemFree"]
		unused := free + kb["Buffers"] + kb["Cached"]
		if ok && unused <= total {
			add("used", total-unused)
		}
		lines = append(lines, line{"buffers", "Buffers"}, line{"cached", "Cached"}, line{"free", "MemFree"})
	}
	for _, l := range lines {
		if v, ok := kb[l.key]; ok {
			add(l.metric, v)
		}
	}
	return values, nil
}

// parseMeminfo reads lines like "MemTotal:  24684096 kB" (fs/proc/meminfo.c) into kB by name.
// Lines of another form, and amounts that no machine can have, are left out.
func parseMeminfo(text string) map[string]uint64 {
	kb := make(map[string]uint64, 64)
	for line := range strings.Lines(text) {
		key, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		amount, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if unit != "kB" && unit != "" { // huge page counts have no unit
			continue
		}
		// 2^53 kB can be multiplied and added without loss or overflow.
		if n, err := strconv.ParseUint(amount, 10, 64); err == nil && n <= math.MaxUint64>>11 {
			kb[strings.TrimSpace(key)] = n
		}
	}
	return kb
}
