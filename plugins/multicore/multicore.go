// Package multicore is the plugin that tells what each processor of the host does.
package multicore

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

// Plugin reports in which state each processor spent its time since the turn before, and the
// load average divided by their number.
var Plugin = plugin.Plugin{
	Name:  "multicore",
	Short: "what each processor of the host does, and the load of one",
	Label: "MultiCore",
	Graphs: []plugin.Graph{
		{Name: "cpu.#", Label: "CPU", Unit: saba.UnitPercentage, Metrics: []plugin.Metric{
			{Name: "guest_nice", Label: "guest_nice", Stacked: true},
			{Name: "guest", Label: "guest", Stacked: true},
			{Name: "steal", Label: "steal", Stacked: true},
			{Name: "softirq", Label: "softirq", Stacked: true},
			{Name: "irq", Label: "irq", Stacked: true},
			{Name: "iowait", Label: "iowait", Stacked: true},
			{Name: "idle", Label: "idle", Stacked: true},
			{Name: "system", Label: "system", Stacked: true},
			{Name: "nice", Label: "nice", Stacked: true},
			{Name: "user", Label: "user", Stacked: true},
		}},
		{Name: "loadavg_per_core", Label: "loadavg5 per core", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
			{Name: "loadavg5", Label: "loadavg5"}, // over 5 minutes
		}},
	},
	New: func(*flag.FlagSet) plugin.Collector { return &collector{proc: os.DirFS("/proc"), now: time.Now} },
}

type collector struct {
	proc fs.FS
	now  func() time.Time

	last reading // of the turn before
}

// A reading is how long each processor had been in each state.
type reading struct {
	At    time.Time        `json:"at"`
	Cores map[string]ticks `json:"cores"` // by name: "cpu0"
}

// ticks are times in hundredths of a second since the host started, in the order of states. Old
// kernels have fewer.
type ticks []uint64

// states has the columns of a line of /proc/stat (proc_stat(5)). user has the time of guest in
// it, nice that of guest_nice.
var states = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"}

const (
	user, nice, idle, iowait = 0, 1, 3, 4
	guest, guestNice         = 8, 9
)

// Times between two readings that say nothing about what the processors do.
const (
	minGap = time.Second
	maxGap = 10 * time.Minute
)

// Collect reads /proc/stat and /proc/loadavg. Shares take two readings.
func (c *collector) Collect(context.Context) ([]saba.Value, error) {
	text, err := fs.ReadFile(c.proc, "stat")
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	now := reading{At: c.now()}
	if now.Cores, err = parseStat(string(text)); err != nil {
		return nil, fmt.Errorf("/proc/stat %w", err)
	}
	var values []saba.Value
	gap := now.At.Sub(c.last.At)
	if gap >= minGap && gap <= maxGap {
		for _, name := range slices.Sorted(maps.Keys(now.Cores)) {
			for _, v := range shares(c.last.Cores[name], now.Cores[name]) {
				values = append(values, saba.Value{Name: "cpu." + name + "." + v.Name, Value: v.Value})
			}
		}
	}
	if gap < 0 || gap >= minGap { // else the older reading makes the better share
		c.last = now
	}
	load, err := c.load()
	if err != nil {
		return values, err
	}
	return append(values, saba.Value{Name: "loadavg_per_core.loadavg5", Value: load / float64(len(now.Cores))}), nil
}

// load returns the load average over 5 minutes.
func (c *collector) load() (float64, error) {
	text, err := fs.ReadFile(c.proc, "loadavg")
	if err != nil {
		return 0, fmt.Errorf("/proc: %w", err)
	}
	var load float64
	if f := strings.Fields(string(text)); len(f) >= 3 {
		load, err = strconv.ParseFloat(f[1], 64)
	} else {
		err = errors.New("too short")
	}
	if err != nil || !(load >= 0) || math.IsInf(load, 0) {
		return 0, fmt.Errorf("/proc/loadavg is %.40q, which has no load averages", strings.TrimSpace(string(text)))
	}
	return load, nil
}

// Resume goes on from the reading of the run before.
func (c *collector) Resume(kept json.RawMessage) error {
	var last reading
	if err := json.Unmarshal(kept, &last); err != nil {
		return err
	}
	c.last = last
	return nil
}

// Keep returns the reading for the next run.
func (c *collector) Keep() (json.RawMessage, error) { return json.Marshal(c.last) }

// parseStat reads the line of each processor that is switched on. The error is a clause.
func parseStat(text string) (map[string]ticks, error) {
	cores := map[string]ticks{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || !isCore(words[0]) {
			continue
		}
		t := make(ticks, 0, len(states))
		for _, w := range words[1:min(len(words), 1+len(states))] { // there may be new states, within the old ones
			n, err := strconv.ParseUint(w, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("has %.40q for %s, which is no number of ticks", w, words[0])
			}
			t = append(t, n)
		}
		if len(t) <= idle {
			return nil, fmt.Errorf("lacks the times of %s", words[0])
		}
		cores[words[0]] = t
	}
	if len(cores) == 0 {
		return nil, errors.New("has no line of a processor")
	}
	return cores, nil
}

// isCore says whether a line that begins with word is of one processor: "cpu0".
func isCore(word string) bool {
	number, ok := strings.CutPrefix(word, "cpu")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// shares returns how the time between two readings of a processor was spent, in percent by
// state; nothing when that cannot be told: it was switched on meanwhile, or the host was started anew.
func shares(prev, now ticks) []saba.Value {
	n := min(len(prev), len(now))
	if n <= idle {
		return nil
	}
	delta := make([]float64, n)
	var total float64
	for i := range delta {
		if now[i] >= prev[i] {
			delta[i] = float64(now[i] - prev[i])
		} else if i != iowait && (i != idle || prev[i]-now[i] > jitter) {
			return nil
		} // else it stood still: on a tickless kernel both are estimates
		if i < guest {
			total += delta[i]
		}
	}
	if total == 0 {
		return nil
	}
	for whole, part := range map[int]int{user: guest, nice: guestNice} {
		if part < n {
			delta[part] = min(delta[part], delta[whole]) // they are read at slightly different moments
			delta[whole] -= delta[part]
		}
	}
	values := make([]saba.Value, n)
	for i, d := range delta {
		values[i] = saba.Value{Name: states[i], Value: 100 * d / total}
	}
	return values
}

// jitter is by how many ticks the idle time of a processor may go back without a reason.
const jitter = 10
