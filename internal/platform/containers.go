package platform

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// extraPrefix begins the names of what agents of the protocol do not send.
const extraPrefix = "custom.container."

// Containers is the source of the metrics of a platform's containers. Make it with NewContainers.
type Containers struct {
	platform Platform
	extras   bool
	clock    func() (time.Duration, error) // since boot
	boot     func() (string, error)
	memory   func() (uint64, error) // of the machine, in bytes

	mu     sync.Mutex
	totals map[totalKey]total // the previous ones
}

// NewContainers returns the source of what p reads. extras are metrics beyond those that agents of the
// protocol send: custom.container.….
func NewContainers(p Platform, extras bool) *Containers {
	return &Containers{
		platform: p, extras: extras, clock: collect.SinceBoot, boot: collect.BootID,
		memory: sync.OnceValues(collect.MemoryTotal), totals: map[totalKey]total{},
	}
}

// Name returns "container".
func (*Containers) Name() string { return "container" }

// Definitions says how the extras are drawn, which no server knows by itself.
func (c *Containers) Definitions() []saba.GraphDef {
	if _, plain := c.platform.(none); plain || !c.extras {
		return nil
	}
	return slices.Clone(extraGraphs)
}

// Each # is a container.
var extraGraphs = []saba.GraphDef{
	extraGraph("limit", "Container, Share of Its Limits", saba.UnitPercentage, "cpu", "CPU", "memory", "Memory"),
	extraGraph("memory", "Container Memory", saba.UnitBytes, "rss", "Without files"),
	extraGraph("throttling", "Container CPU Throttling (share of periods)", saba.UnitPercentage, "percentage", "Throttled"),
	extraGraph("pressure", "Container Pressure (share of time in which something waits)", saba.UnitPercentage, "cpu", "CPU", "memory", "Memory", "io", "I/O"),
	extraGraph("restarts", "Container Restarts", saba.UnitInteger, "total", "Restarts"),
}

// extraGraph defines a graph; names and labels of its metrics follow each other.
func extraGraph(name, title string, unit saba.Unit, metrics ...string) saba.GraphDef {
	g := saba.GraphDef{Name: extraPrefix + "#." + name, DisplayName: title, Unit: unit}
	for m := range slices.Chunk(metrics, 2) {
		g.Metrics = append(g.Metrics, saba.GraphDefMetric{Name: g.Name + "." + m[0], DisplayName: "%1 " + m[1]})
	}
	return g
}

// Collect asks the platform once and returns, of each container <c>: container.cpu.<c>.usage and .limit in
// percent of one processor, container.memory.<c>.usage and .limit in bytes, interface.<c>-<i>.rxBytes.delta and
// .txBytes.delta in bytes a second where the platform counts them, and the extras. A rate needs two readings of one
// life of the container, so the first call returns none. One call at a time.
func (c *Containers) Collect(ctx context.Context) ([]saba.Value, error) {
	r, err := c.platform.Read(ctx)
	if len(r.Containers) == 0 && len(r.Machine.Networks) == 0 && len(r.Machine.Disks) == 0 {
		return nil, err
	}
	now, clockErr := c.clock()
	if clockErr != nil {
		return nil, errors.Join(err, clockErr)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	groups := map[string]*tally{}
	for _, k := range r.Containers {
		name := cmp.Or(k.Group, k.Name)
		if groups[name] == nil {
			groups[name] = &tally{networks: map[string]rates{}, pressure: map[string]float64{}}
		}
		c.add(groups[name], k, now)
	}
	var values []saba.Value
	var memoryErr error
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		v, err := c.values(collect.Segment(name), groups[name])
		values = append(values, v...)
		memoryErr = cmp.Or(memoryErr, err)
	}
	values = append(values, c.machine(r.Machine, now)...)
	maps.DeleteFunc(c.totals, func(_ totalKey, t total) bool { return now-t.Read > maxInterval })
	return values, errors.Join(err, memoryErr)
}

// A tally is what the containers of one group use together; nil is what none of them told.
type tally struct {
	cpu                           *float64 // processors
	memory, rss                   *float64 // bytes
	cpuLimit, memoryLimit         *float64 // added up
	cpuUnlimited, memoryUnlimited bool     // one has no limit
	listed                        bool     // one is in the platform's plan
	networks                      map[string]rates
	periods, throttled            *float64           // a second
	pressure                      map[string]float64 // the highest
	restarts                      *float64
}

// rates are what an interface moves in bytes a second; nil is unknown.
type rates struct{ RX, TX *float64 }

// plus adds v to what sum points to.
func plus(sum **float64, v float64) {
	if *sum == nil {
		*sum = new(float64)
	}
	**sum += v
}

// add counts the reading of one container. A container without a rate yet adds none. c.mu is held.
func (c *Containers) add(to *tally, k Container, now time.Duration) {
	if v, ok := c.perSecond(k, "cpu", k.CPU, now); ok && v/1e9 <= maxProcessors {
		plus(&to.cpu, v/1e9)
	}
	if !k.Unlisted {
		to.listed = true
		if k.CPULimit != nil {
			plus(&to.cpuLimit, *k.CPULimit)
		}
		if k.MemoryLimit != nil {
			plus(&to.memoryLimit, *k.MemoryLimit)
		}
	}
	to.cpuUnlimited = to.cpuUnlimited || k.CPULimit == nil
	to.memoryUnlimited = to.memoryUnlimited || k.MemoryLimit == nil
	if k.Memory != nil {
		plus(&to.memory, float64(*k.Memory))
	}
	if k.MemoryRSS != nil {
		plus(&to.rss, float64(*k.MemoryRSS))
	}
	for _, i := range slices.Sorted(maps.Keys(k.Networks)) {
		t := to.networks[i]
		rx, tx := c.traffic(k, i, now)
		if rx != nil {
			plus(&t.RX, *rx)
		}
		if tx != nil {
			plus(&t.TX, *tx)
		}
		to.networks[i] = t
	}
	periods, both := c.perSecond(k, "periods", k.Periods, now)
	if throttled, ok := c.perSecond(k, "throttled", k.Throttled, now); ok && both {
		plus(&to.periods, periods)
		plus(&to.throttled, throttled)
	}
	for what, v := range k.Pressure {
		to.pressure[what] = max(to.pressure[what], v)
	}
	if k.Restarts != nil {
		plus(&to.restarts, float64(*k.Restarts))
	}
}

// traffic returns what an interface of a container moves, in bytes a second; nil is unknown.
func (c *Containers) traffic(k Container, i string, now time.Duration) (rx, tx *float64) {
	t := k.Networks[i]
	if v, ok := c.perSecond(k, "rx "+i, &t.RX, now); ok && v <= maxTraffic {
		rx = &v
	}
	if v, ok := c.perSecond(k, "tx "+i, &t.TX, now); ok && v <= maxTraffic {
		tx = &v
	}
	return rx, tx
}

// values returns what becomes of the group called name. The error is about the machine's memory.
func (c *Containers) values(name string, t *tally) (values []saba.Value, err error) {
	add := func(metric string, v *float64) {
		if v != nil {
			values = append(values, saba.Value{Name: metric, Value: *v})
		}
	}
	extra := func(metric string, v *float64) {
		if c.extras {
			add(extraPrefix+name+"."+metric, v)
		}
	}
	times := func(v *float64, by float64) *float64 {
		if v == nil {
			return nil
		}
		return new(*v * by)
	}
	add("container.cpu."+name+".usage", times(t.cpu, 100))
	if !t.cpuUnlimited && t.cpuLimit != nil && *t.cpuLimit > 0 {
		extra("limit.cpu", times(t.cpu, 100 / *t.cpuLimit))
	}
	add("container.memory."+name+".usage", t.memory)
	if !t.memoryUnlimited && t.memoryLimit != nil && *t.memoryLimit > 0 {
		extra("limit.memory", times(t.memory, 100 / *t.memoryLimit))
	}
	if t.listed {
		limit := times(t.cpuLimit, 100)
		if t.cpuUnlimited {
			limit = new(float64(runtime.NumCPU()) * 100)
		}
		add("container.cpu."+name+".limit", limit)
		if limit = t.memoryLimit; t.memoryUnlimited {
			limit = nil
			var total uint64
			if total, err = c.memory(); err == nil {
				limit = new(float64(total))
			}
		}
		add("container.memory."+name+".limit", limit)
	}
	for _, i := range slices.Sorted(maps.Keys(t.networks)) {
		device := "interface." + name + "-" + collect.Segment(i)
		add(device+".rxBytes.delta", t.networks[i].RX)
		add(device+".txBytes.delta", t.networks[i].TX)
	}
	extra("memory.rss", t.rss)
	if t.periods != nil && *t.periods > 0 {
		extra("throttling.percentage", new(min(100, 100**t.throttled / *t.periods)))
	}
	for _, what := range slices.Sorted(maps.Keys(t.pressure)) {
		extra("pressure."+what, new(t.pressure[what]))
	}
	extra("restarts.total", t.restarts)
	return values, err
}

// machine returns interface.<i>.rxBytes.delta and .txBytes.delta in bytes a second, filesystem.<name>.size and .used in bytes.
// c.mu is held.
func (c *Containers) machine(m Machine, now time.Duration) (values []saba.Value) {
	for _, i := range slices.Sorted(maps.Keys(m.Networks)) {
		rx, tx := c.traffic(Container{At: m.At, Networks: m.Networks}, i, now)
		for direction, v := range map[string]*float64{"rx": rx, "tx": tx} {
			if v != nil {
				values = append(values, saba.Value{Name: "interface." + collect.Segment(i) + "." + direction + "Bytes.delta", Value: *v})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Disks)) {
		disk := "filesystem." + collect.Segment(name)
		values = append(values, saba.Value{Name: disk + ".size", Value: float64(m.Disks[name].Size)}, saba.Value{Name: disk + ".used", Value: float64(m.Disks[name].Used)})
	}
	return values
}

// What bounds a rate.
const (
	minInterval = 500 * time.Millisecond // below, the counter's own steps are spikes
	maxInterval = 10 * time.Minute       // above, the mean says nothing about the last minute
	// maxLag is how much older than its answer a platform's reading may be. Where its times say more than that, its clock was set.
	maxLag = 45 * time.Second
	// What no machine reaches: a counter that rises faster is not the same one.
	maxProcessors = 10_000
	maxTraffic    = 1e12 // bytes a second
)

// A totalKey names a counter of a container.
type totalKey struct{ Container, Counter string }

// MarshalText makes a key of a JSON object of k; UnmarshalText takes it back. No container's name has a slash.
func (k totalKey) MarshalText() ([]byte, error) { return []byte(k.Container + "/" + k.Counter), nil }

// UnmarshalText is the inverse of MarshalText.
func (k *totalKey) UnmarshalText(b []byte) error {
	for i, c := range b {
		if c == '/' {
			k.Container, k.Counter = string(b[:i]), string(b[i+1:])
			return nil
		}
	}
	return fmt.Errorf("%.80q names no counter", b)
}

// A total is the reading of a counter.
type total struct {
	N    uint64        `json:"n"`
	Life string        `json:"life,omitempty"`
	At   time.Time     `json:"at,omitzero"` // by the platform's clock
	Read time.Duration `json:"read"`        // since boot: when it was told
}

// perSecond takes the reading n of a counter and returns its increase a second. ok is false when there is none: no
// earlier reading of this life of the container, one that is not the next minute's, the same one told again, or one that went back.
func (c *Containers) perSecond(k Container, counter string, n *uint64, now time.Duration) (v float64, ok bool) {
	if n == nil {
		return 0, false
	}
	key := totalKey{k.Name, counter}
	is := total{N: *n, Life: k.Life, At: k.At, Read: now}
	was, known := c.totals[key]
	known = known && was.Life == is.Life
	elapsed := is.Read - was.Read
	if known && !is.At.IsZero() && !was.At.IsZero() {
		if is.At.Equal(was.At) && is.N == was.N {
			return 0, false // said again, which says nothing new
		}
		// A platform looks at its counters now and then, not when it is asked: by its own times a rate is exact.
		if its := is.At.Sub(was.At); its > 0 && (its-elapsed).Abs() <= maxLag {
			elapsed = its
		}
	}
	if known && elapsed >= 0 && elapsed < minInterval {
		return 0, false // the older one stays, so that the next interval is long enough
	}
	c.totals[key] = is
	if !known || elapsed < 0 || elapsed > maxInterval || is.N < was.N {
		return 0, false
	}
	return float64(is.N-was.N) / elapsed.Seconds(), true
}

// A kept is the previous readings as they outlive the process.
type kept struct {
	Boot   string             `json:"boot"` // id of the machine's boot, whose clock says when
	Totals map[totalKey]total `json:"totals"`
}

// Save returns the previous readings, for the Restore of the next process.
func (c *Containers) Save() ([]byte, error) {
	boot, err := c.boot()
	if err != nil {
		return nil, fmt.Errorf("save counters: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := json.Marshal(kept{boot, c.totals})
	if err != nil {
		return nil, fmt.Errorf("save counters: %w", err)
	}
	return b, nil
}

// Restore takes what Save returned, before the first Collect. The error matches collect.ErrOtherBoot when
// the machine is another one, or was started since.
func (c *Containers) Restore(state []byte) error {
	var k kept
	if err := json.Unmarshal(state, &k); err != nil {
		return fmt.Errorf("restore counters: they are damaged: rates begin with the second reading: %w", err)
	}
	boot, err := c.boot()
	if err != nil {
		return fmt.Errorf("restore counters: %w", err)
	}
	if k.Boot != boot {
		return collect.ErrOtherBoot
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.totals) == 0 && k.Totals != nil {
		c.totals = k.Totals
	}
	return nil
}
