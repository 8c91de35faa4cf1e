package agent

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/saba-monitor/saba"
)

// selfPrefix begins the names of the agent's metrics of itself.
const selfPrefix = "custom.saba.agent."

// NewSelf returns the source of an agent's metrics of itself, which r knows.
func NewSelf(r *Recorder) Source { return newSelf(r) }

// A self is the source of the agent's metrics of itself, for "diagnostic = true": those of the
// protocol's other agents, custom.agent.…, and ours. What counts per minute needs two
// readings, and is missing in the first.
type self struct {
	r     *Recorder
	usage func() (own, children time.Duration, err error) // CPU time since the start

	last   time.Time // with its monotonic reading; zero before the first
	totals totals
	cpu    [2]time.Duration
}

func newSelf(r *Recorder) *self { return &self{r: r, usage: cpuTimes} }

// Name returns "agent".
func (*self) Name() string { return "agent" }

// Definitions says how the metrics are drawn.
func (*self) Definitions() []saba.GraphDef { return selfGraphs() }

// Collect returns the metrics; it is not called twice at a time.
func (s *self) Collect(context.Context) ([]saba.Value, error) {
	now := time.Now()
	st := s.r.Status(now)
	s.r.mu.Lock()
	t := s.r.totals
	s.r.mu.Unlock()

	values := append(runtimeValues(), selfValue("queue.points", float64(st.Queue.Points)), selfValue("queue_size.bytes", float64(st.Queue.Bytes)))
	age := 0.0
	if st.Queue.Points > 0 && !st.Queue.Oldest.IsZero() {
		age = max(0, now.Sub(st.Queue.Oldest).Seconds())
	}
	values = append(values, selfValue("queue_age.oldest", age))
	if c := st.Server.ClockAhead; c != nil {
		values = append(values, selfValue("clock.ahead", *c))
	}
	rss, err := residentBytes()
	if err == nil {
		values = append(values, selfValue("memory.rss", rss))
	}
	own, children, cpuErr := s.usage()
	if cpuErr != nil {
		own, children, err = 0, 0, cpuErr
	}
	if elapsed := now.Sub(s.last); !s.last.IsZero() && elapsed > 0 {
		perMinute := func(name string, now, before int64) {
			values = append(values, selfValue(name, float64(now-before)*float64(time.Minute)/float64(elapsed)))
		}
		perMinute("sources.overrun", t.overruns, s.totals.overruns)
		perMinute("sources.timeout", t.timeouts, s.totals.timeouts)
		perMinute("sources.failed", t.failures, s.totals.failures)
		perMinute("posts.ok", t.postsOK, s.totals.postsOK)
		perMinute("posts.failed", t.postsFailed, s.totals.postsFailed)
		perMinute("points.sent", t.pointsSent, s.totals.pointsSent)
		perMinute("points.refused", t.refused, s.totals.refused)
		perMinute("points.discarded", t.discarded, s.totals.discarded)
		if cpuErr == nil && own >= s.cpu[0] && children >= s.cpu[1] {
			percent := func(d time.Duration) float64 { return 100 * float64(d) / float64(elapsed) }
			values = append(values, selfValue("cpu.own", percent(own-s.cpu[0])), selfValue("cpu.plugins", percent(children-s.cpu[1])))
		}
	}
	s.last, s.totals, s.cpu = now, t, [2]time.Duration{own, children}
	return values, err
}

func selfValue(name string, v float64) saba.Value {
	return saba.Value{Name: selfPrefix + name, Value: v}
}

// selfGraphs says how the metrics of newSelf are drawn. With several hosts on a page, none is stacked.
func selfGraphs() []saba.GraphDef {
	graph := func(name, label string, unit saba.Unit, metrics ...[2]string) saba.GraphDef {
		g := saba.GraphDef{Name: name, DisplayName: label, Unit: unit}
		for _, m := range metrics {
			g.Metrics = append(g.Metrics, saba.GraphDefMetric{Name: name + "." + m[0], DisplayName: m[1]})
		}
		return g
	}
	ours := func(name, label string, unit saba.Unit, metrics ...[2]string) saba.GraphDef {
		return graph(selfPrefix+name, label, unit, metrics...)
	}
	return []saba.GraphDef{
		graph("custom.agent.memory", "Agent Memory", saba.UnitBytes, [2]string{"alloc", "Alloc"}, [2]string{"sys", "Sys"}, [2]string{"heapAlloc", "Heap Alloc"}, [2]string{"heapSys", "Heap Sys"}),
		graph("custom.agent.runtime", "Agent Runtime", saba.UnitInteger, [2]string{"goroutine_num", "Goroutines"}),
		ours("cpu", "Agent CPU (of one processor)", saba.UnitPercentage, [2]string{"own", "Agent"}, [2]string{"plugins", "Plugins"}),
		ours("memory", "Agent Resident Memory", saba.UnitBytes, [2]string{"rss", "Resident"}),
		ours("queue", "Agent Queue", saba.UnitInteger, [2]string{"points", "Points"}),
		ours("queue_size", "Agent Queue on Disk", saba.UnitBytes, [2]string{"bytes", "Size"}),
		ours("queue_age", "Agent Queue Age", saba.UnitSeconds, [2]string{"oldest", "Oldest point"}),
		ours("clock", "Agent Clock", saba.UnitSeconds, [2]string{"ahead", "Ahead of the server"}),
		ours("sources", "Agent Sources, per minute", saba.UnitFloat, [2]string{"overrun", "Left out"}, [2]string{"timeout", "Timed out"}, [2]string{"failed", "Failed"}),
		ours("posts", "Agent Posts, per minute", saba.UnitFloat, [2]string{"ok", "Taken"}, [2]string{"failed", "Failed"}),
		ours("points", "Agent Points, per minute", saba.UnitFloat, [2]string{"sent", "Sent"}, [2]string{"refused", "Refused"}, [2]string{"discarded", "Given up"}),
	}
}

// runtimeValues returns what the protocol's other agents tell of their Go runtime, under their
// names. It does not stop the world, as runtime.ReadMemStats would.
func runtimeValues() []saba.Value {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	of := func(i int) float64 { return float64(samples[i].Value.Uint64()) }
	return []saba.Value{
		{Name: "custom.agent.memory.alloc", Value: of(0)},
		{Name: "custom.agent.memory.sys", Value: of(1)},
		{Name: "custom.agent.memory.heapAlloc", Value: of(0)},
		{Name: "custom.agent.memory.heapSys", Value: of(0) + of(2) + of(3) + of(4)},
		{Name: "custom.agent.runtime.goroutine_num", Value: float64(runtime.NumGoroutine())},
	}
}

// cpuTimes returns the CPU time of this process, and of the processes that it has waited for.
func cpuTimes() (own, children time.Duration, err error) {
	var u, c syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0, fmt.Errorf("read the agent's CPU time: %w", err)
	}
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &c); err != nil {
		return 0, 0, fmt.Errorf("read the plugins' CPU time: %w", err)
	}
	total := func(r syscall.Rusage) time.Duration {
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return total(u), total(c), nil
}

// residentBytes returns how much memory this process occupies.
func residentBytes() (float64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, err := parseStatm(string(b))
	return float64(pages) * float64(os.Getpagesize()), err
}

// parseStatm returns the second field of /proc/<pid>/statm: resident pages (proc_pid_statm(5)).
func parseStatm(s string) (int64, error) {
	f := strings.Fields(s)
	if len(f) < 2 {
		return 0, fmt.Errorf("/proc/self/statm has no second field: %q", head(s, 100))
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the second field of /proc/self/statm is not a number of pages: %q", head(s, 100))
	}
	return n, nil
}
