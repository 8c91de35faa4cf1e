// Package stats is what a Go program mounts so that its runtime can be watched:
//
//	mux.Handle("/api/stats", stats.Handler())
//
// The answer has the fields that clients of golang-stats-api-handler know, in their order, and
// further ones after them. A reading takes a few microseconds and stops nothing: it comes from
// runtime/metrics, not from runtime.ReadMemStats. Nothing is kept between readings, so that
// readers do not take from one another: totals count since the program's start, and a reader
// subtracts. Package heartbeat beside this one answers load balancers. Both import the standard
// library only.
package stats

import (
	"encoding/json"
	"math"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Stats is one reading of the Go runtime. A pointer is nil, and its field not in the answer,
// where this runtime does not say.
type Stats struct {
	Time         int64  `json:"time"` // Unix nanoseconds
	GoVersion    string `json:"go_version"`
	GoOS         string `json:"go_os"`
	GoArch       string `json:"go_arch"`
	CPUNum       int    `json:"cpu_num"`
	GoroutineNum int    `json:"goroutine_num"`
	Gomaxprocs   int    `json:"gomaxprocs"`
	CgoCallNum   int64  `json:"cgo_call_num"` // total

	// Bytes and, from MemoryLookups to MemoryFrees, totals of operations.
	MemoryAlloc      uint64 `json:"memory_alloc"`
	MemoryTotalAlloc uint64 `json:"memory_total_alloc"` // total
	MemorySys        uint64 `json:"memory_sys"`
	MemoryLookups    uint64 `json:"memory_lookups"` // 0: the runtime no longer counts them
	MemoryMallocs    uint64 `json:"memory_mallocs"`
	MemoryFrees      uint64 `json:"memory_frees"`
	MemoryStack      uint64 `json:"memory_stack"`

	HeapAlloc    uint64 `json:"heap_alloc"`
	HeapSys      uint64 `json:"heap_sys"`
	HeapIdle     uint64 `json:"heap_idle"`
	HeapInuse    uint64 `json:"heap_inuse"`
	HeapReleased uint64 `json:"heap_released"`
	HeapObjects  uint64 `json:"heap_objects"` // objects

	GCNext uint64 `json:"gc_next"` // bytes of heap at which the next collection ends: the goal
	GCLast uint64 `json:"gc_last"` // Unix nanoseconds; 0: never
	GCNum  uint32 `json:"gc_num"`  // total
	// The collections of the last minute: how many a second, the milliseconds in which they
	// stopped the program, all together, and those of each, the latest first, 256 at most. The
	// fields are older than this package, which gives the names a meaning that does not depend
	// on when somebody else asked.
	GCPerSecond      float64   `json:"gc_per_second"`
	GCPausePerSecond float64   `json:"gc_pause_per_second"`
	GCPause          []float64 `json:"gc_pause"`

	// What the older handler does not have.

	StartTime      int64   `json:"start_time"`                // Unix nanoseconds: totals count since then
	GCPauseTotalNS int64   `json:"gc_pause_total_ns"`         // total
	GCForced       *uint64 `json:"gc_cycles_forced,omitzero"` // total, by runtime.GC
	HeapLive       *uint64 `json:"heap_live,omitzero"`        // bytes that the last collection found in use; nil before the first
	MemoryLimit    *uint64 `json:"memory_limit,omitzero"`     // GOMEMLIMIT in bytes, if there is one
	GOGC           *uint64 `json:"gogc,omitzero"`             // percent, unless it is off

	// Totals of CPU time in seconds. The runtime brings them up to date when a collection ends,
	// so between two they stand still, all together: shares are to be taken of CPUTotal.
	CPUGC       *float64 `json:"cpu_gc_seconds,omitzero"`
	CPUScavenge *float64 `json:"cpu_scavenge_seconds,omitzero"` // giving memory back to the system
	CPUUser     *float64 `json:"cpu_user_seconds,omitzero"`
	CPUIdle     *float64 `json:"cpu_idle_seconds,omitzero"`  // what GOMAXPROCS would have allowed
	CPUTotal    *float64 `json:"cpu_total_seconds,omitzero"` // the four together

	// By what they do. They are counted while they run on, so their sum may differ from
	// GoroutineNum; it includes those of the runtime itself.
	GoroutinesRunning  *uint64 `json:"goroutines_running,omitzero"`
	GoroutinesRunnable *uint64 `json:"goroutines_runnable,omitzero"` // they wait for a CPU
	GoroutinesWaiting  *uint64 `json:"goroutines_waiting,omitzero"`
	GoroutinesNotInGo  *uint64 `json:"goroutines_not_in_go,omitzero"` // in a system call or in C
	ThreadNum          *uint64 `json:"thread_num,omitzero"`

	// MutexWait is the total of the seconds that goroutines have waited for a sync.Mutex or
	// sync.RWMutex, or for a lock of the runtime's own.
	MutexWait *float64 `json:"mutex_wait_seconds,omitzero"`
	// SchedLatency says how long goroutines waited for a CPU once they could run: pairs of
	// seconds and of the total of waits up to that long, but longer than the pair before.
	// Pairs of no wait are left out. What is beyond the last bound of the runtime counts to it.
	SchedLatency [][2]float64 `json:"sched_latency,omitzero"`
}

// started is when this process began, as near as a package sees it.
var started = time.Now()

// names are the metrics of the runtime that a reading asks for, sorted.
var names = [...]string{
	"/cgo/go-to-c-calls:calls",
	"/cpu/classes/gc/total:cpu-seconds",
	"/cpu/classes/idle:cpu-seconds",
	"/cpu/classes/scavenge/total:cpu-seconds",
	"/cpu/classes/total:cpu-seconds",
	"/cpu/classes/user:cpu-seconds",
	"/gc/cycles/forced:gc-cycles",
	"/gc/cycles/total:gc-cycles",
	"/gc/gogc:percent",
	"/gc/gomemlimit:bytes",
	"/gc/heap/allocs:bytes",
	"/gc/heap/allocs:objects",
	"/gc/heap/frees:objects",
	"/gc/heap/goal:bytes",
	"/gc/heap/live:bytes",
	"/gc/heap/objects:objects",
	"/gc/heap/tiny/allocs:objects",
	"/memory/classes/heap/free:bytes",
	"/memory/classes/heap/objects:bytes",
	"/memory/classes/heap/released:bytes",
	"/memory/classes/heap/stacks:bytes",
	"/memory/classes/heap/unused:bytes",
	"/memory/classes/total:bytes",
	"/sched/goroutines/not-in-go:goroutines",
	"/sched/goroutines/runnable:goroutines",
	"/sched/goroutines/running:goroutines",
	"/sched/goroutines/waiting:goroutines",
	"/sched/goroutines:goroutines",
	"/sched/latencies:seconds",
	"/sched/threads/total:threads",
	"/sync/mutex/wait/total:seconds",
}

// A reader reads again and again into the same memory. It is for one goroutine at a time.
type reader struct {
	samples []metrics.Sample // in the order of names
	gc      debug.GCStats
}

func newReader() *reader {
	r := &reader{samples: make([]metrics.Sample, len(names))}
	for i, name := range names {
		r.samples[i].Name = name
	}
	return r
}

// value returns what the runtime says under one of names.
func (r *reader) value(name string) metrics.Value {
	i, _ := slices.BinarySearch(names[:], name)
	return r.samples[i].Value
}

// count returns a number that the runtime says; nil when it does not.
func (r *reader) count(name string) *uint64 {
	v := r.value(name)
	if v.Kind() != metrics.KindUint64 {
		return nil
	}
	return new(v.Uint64())
}

// below is count, but nil when the number is not below limit: then it stands for none.
func (r *reader) below(name string, limit uint64) *uint64 {
	if n := r.count(name); n != nil && *n < limit {
		return n
	}
	return nil
}

// seconds returns a number of seconds that the runtime says; nil when it does not.
func (r *reader) seconds(name string) *float64 {
	v := r.value(name)
	if v.Kind() != metrics.KindFloat64 {
		return nil
	}
	return new(v.Float64())
}

// total returns the sum of numbers that every runtime says since Go 1.21.
func (r *reader) total(names ...string) (sum uint64) {
	for _, name := range names {
		if v := r.value(name); v.Kind() == metrics.KindUint64 {
			sum += v.Uint64()
		}
	}
	return sum
}

// Read returns a reading of this process. It may be called by many goroutines at once.
func Read(now time.Time) Stats { return newReader().read(now) }

func (r *reader) read(now time.Time) Stats {
	metrics.Read(r.samples)
	debug.ReadGCStats(&r.gc)
	const heap = "/memory/classes/heap/"
	objects, unused, free, released := r.total(heap+"objects:bytes"), r.total(heap+"unused:bytes"), r.total(heap+"free:bytes"), r.total(heap+"released:bytes")
	s := Stats{
		Time: now.UnixNano(), GoVersion: runtime.Version(), GoOS: runtime.GOOS, GoArch: runtime.GOARCH,
		CPUNum: runtime.NumCPU(), GoroutineNum: int(r.total("/sched/goroutines:goroutines")), Gomaxprocs: runtime.GOMAXPROCS(0),
		CgoCallNum: int64(r.total("/cgo/go-to-c-calls:calls")),

		MemoryAlloc: objects, MemoryTotalAlloc: r.total("/gc/heap/allocs:bytes"), MemorySys: r.total("/memory/classes/total:bytes"),
		// Objects without pointers that share a block count as operations, though not in the others.
		MemoryMallocs: r.total("/gc/heap/allocs:objects", "/gc/heap/tiny/allocs:objects"),
		MemoryFrees:   r.total("/gc/heap/frees:objects", "/gc/heap/tiny/allocs:objects"),
		MemoryStack:   r.total(heap + "stacks:bytes"),

		HeapAlloc: objects, HeapSys: objects + unused + free + released, HeapIdle: free + released, HeapInuse: objects + unused,
		HeapReleased: released, HeapObjects: r.total("/gc/heap/objects:objects"),

		GCNext: r.total("/gc/heap/goal:bytes"), GCNum: uint32(r.total("/gc/cycles/total:gc-cycles")),

		StartTime: started.UnixNano(), GCForced: r.count("/gc/cycles/forced:gc-cycles"),
		MemoryLimit: r.below("/gc/gomemlimit:bytes", math.MaxInt64), GOGC: r.below("/gc/gogc:percent", math.MaxInt32),

		CPUGC: r.seconds("/cpu/classes/gc/total:cpu-seconds"), CPUScavenge: r.seconds("/cpu/classes/scavenge/total:cpu-seconds"),
		CPUUser: r.seconds("/cpu/classes/user:cpu-seconds"), CPUIdle: r.seconds("/cpu/classes/idle:cpu-seconds"),
		CPUTotal: r.seconds("/cpu/classes/total:cpu-seconds"),

		GoroutinesRunning: r.count("/sched/goroutines/running:goroutines"), GoroutinesRunnable: r.count("/sched/goroutines/runnable:goroutines"),
		// The runtime subtracts the others from the sum, each a little later: below zero is not a count.
		GoroutinesWaiting: r.below("/sched/goroutines/waiting:goroutines", math.MaxInt64),
		GoroutinesNotInGo: r.count("/sched/goroutines/not-in-go:goroutines"),
		ThreadNum:         r.count("/sched/threads/total:threads"),

		MutexWait: r.seconds("/sync/mutex/wait/total:seconds"),
	}
	if s.GCNum > 0 {
		s.HeapLive = r.count("/gc/heap/live:bytes")
	}
	if v := r.value("/sched/latencies:seconds"); v.Kind() == metrics.KindFloat64Histogram {
		s.SchedLatency = pairs(v.Float64Histogram())
	}
	s.GCLast, s.GCPauseTotalNS = uint64(r.gc.LastGC.UnixNano()), int64(r.gc.PauseTotal)
	s.GCPerSecond, s.GCPausePerSecond, s.GCPause = lastMinute(r.gc, started, now)
	return s
}

// pairs returns the buckets of h that are not empty, with finite upper bounds.
func pairs(h *metrics.Float64Histogram) [][2]float64 {
	all := [][2]float64{}
	for i, n := range h.Counts {
		if n == 0 {
			continue
		}
		bound := h.Buckets[i+1]
		if math.IsInf(bound, 1) {
			bound = h.Buckets[i]
		}
		if last := len(all) - 1; last >= 0 && all[last][0] == bound {
			all[last][1] += float64(n)
			continue
		}
		all = append(all, [2]float64{bound, float64(n)})
	}
	return all
}

// lastMinute returns the collections a second of the last minute, the milliseconds of their
// pauses together and of each, the latest first. The runtime remembers 256: when there were
// more, the first two figures are at the pace of those.
func lastMinute(gc debug.GCStats, started, now time.Time) (perSecond, pause float64, pauses []float64) {
	const minute = time.Minute
	pauses = []float64{}
	window := max(min(minute, now.Sub(started)), time.Second)
	for i, end := range gc.PauseEnd {
		// One that lies ahead is from before the clock was set back: when it was is not known.
		if age := now.Sub(end); i < len(gc.Pause) && age < minute && age > -time.Second {
			ms := float64(gc.Pause[i]) / 1e6
			pauses = append(pauses, ms)
			pause += ms
		}
	}
	scale := 1.0
	if n := len(pauses); n == 256 {
		if span := max(now.Sub(gc.PauseEnd[n-1]), time.Millisecond); span < window {
			scale = float64(minute) / float64(span)
			window = span
		}
	}
	return float64(len(pauses)) / window.Seconds(), pause * scale, pauses
}

// Handler answers each GET with a reading as JSON; ?pp=1 indents it.
func Handler() http.Handler {
	readers := sync.Pool{New: func() any { return newReader() }} // memory alone: a reading knows of no other
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD read the figures", http.StatusMethodNotAllowed)
			return
		}
		from := readers.Get().(*reader)
		s := from.read(time.Now())
		readers.Put(from)
		var body []byte
		var err error
		if pp := r.URL.Query().Get("pp"); pp == "1" || pp == "true" {
			body, err = json.MarshalIndent(s, "", "  ")
		} else {
			body, err = json.Marshal(s)
		}
		if err != nil {
			http.Error(w, "write the figures as JSON: "+err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(body) // the reader may have gone
	})
}
