package stats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const printVariable = "SABA_TEST_PRINT_STATS"

// TestMain lets a test start this binary as a program that prints its first reading.
func TestMain(m *testing.M) {
	if os.Getenv(printVariable) == "" {
		os.Exit(m.Run())
	}
	if err := json.NewEncoder(os.Stdout).Encode(Read(time.Now())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestWhatIsNotKnownBeforeTheFirstCollection(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), printVariable+"=1", "GOGC=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	names := keys(t, out)
	for _, name := range []string{"heap_live", "gogc", "memory_limit"} {
		if slices.Contains(names, name) {
			t.Errorf("there is %s before the first collection, without limits: %s", name, out)
		}
	}
	var s Stats
	if err := json.Unmarshal(out, &s); err != nil || s.GCNum != 0 || s.GCLast != 0 || s.GCPerSecond != 0 || s.GCPause == nil {
		t.Errorf("the answer is %s, %v", out, err)
	}
}

// older are the fields of golang-stats-api-handler, in its order, with the types that its
// clients decode them into.
var older = []struct {
	name string
	into any
}{
	{"time", new(int64)}, {"go_version", new(string)}, {"go_os", new(string)}, {"go_arch", new(string)}, {"cpu_num", new(int)},
	{"goroutine_num", new(int)}, {"gomaxprocs", new(int)}, {"cgo_call_num", new(int64)},
	{"memory_alloc", new(uint64)}, {"memory_total_alloc", new(uint64)}, {"memory_sys", new(uint64)}, {"memory_lookups", new(uint64)},
	{"memory_mallocs", new(uint64)}, {"memory_frees", new(uint64)}, {"memory_stack", new(uint64)},
	{"heap_alloc", new(uint64)}, {"heap_sys", new(uint64)}, {"heap_idle", new(uint64)}, {"heap_inuse", new(uint64)},
	{"heap_released", new(uint64)}, {"heap_objects", new(uint64)},
	{"gc_next", new(uint64)}, {"gc_last", new(uint64)}, {"gc_num", new(uint32)},
	{"gc_per_second", new(float64)}, {"gc_pause_per_second", new(float64)}, {"gc_pause", new([]float64)},
}

// get returns the answer of h.
func get(t *testing.T, h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, nil))
	return w
}

// keys returns the names of the members of a JSON object, in their order.
func keys(t *testing.T, body []byte) []string {
	t.Helper()
	var names []string
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
	}
	return names
}

func TestTheOlderFieldsComeFirst(t *testing.T) {
	runtime.GC()
	w := get(t, Handler(), "GET", "/api/stats")
	names := keys(t, w.Body.Bytes())
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for i, want := range older {
		if len(names) <= i || names[i] != want.name {
			t.Fatalf("the fields are %q, want %q at %d", names, want.name, i)
		}
		if raw := fields[want.name]; string(raw) == "null" || json.Unmarshal(raw, want.into) != nil {
			t.Errorf("%s is %s, which %T does not take", want.name, raw, want.into)
		}
	}
	// What this version of Go has; what is unset by default is not there.
	for _, name := range []string{"start_time", "gc_pause_total_ns", "gc_cycles_forced", "heap_live", "cpu_gc_seconds", "cpu_total_seconds",
		"goroutines_running", "goroutines_runnable", "goroutines_waiting", "goroutines_not_in_go", "thread_num", "mutex_wait_seconds", "sched_latency"} {
		if !slices.Contains(names, name) {
			t.Errorf("the answer has no %s: %q", name, names)
		}
	}
}

// A runtime that no longer knows a name would make a zero of it.
func TestThisRuntimeKnowsEachName(t *testing.T) {
	known := map[string]bool{}
	for _, d := range metrics.All() {
		known[d.Name] = true
	}
	if !slices.IsSorted(names[:]) {
		t.Error("names are not sorted")
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("runtime/metrics does not know %s", name)
		}
	}
}

// A reading between two of runtime.ReadMemStats lies between them.
func TestTheFiguresAreThoseOfReadMemStats(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(10_000)) // no collection of its own time
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var keep [][]byte
	for range 1000 {
		keep = append(keep, make([]byte, 5), make([]byte, 4096))
	}
	s := Read(time.Now())
	runtime.KeepAlive(keep)
	runtime.ReadMemStats(&after)
	for _, tt := range []struct {
		name               string
		before, got, after uint64
		slack              uint64 // of what may go down in between
	}{
		{"memory_total_alloc", before.TotalAlloc, s.MemoryTotalAlloc, after.TotalAlloc, 0},
		{"memory_mallocs", before.Mallocs, s.MemoryMallocs, after.Mallocs, 0},
		{"memory_frees", before.Frees, s.MemoryFrees, after.Frees, 0},
		{"gc_num", uint64(before.NumGC), uint64(s.GCNum), uint64(after.NumGC), 0},
		{"gc_last", before.LastGC, s.GCLast, after.LastGC, 0},
		{"gc_pause_total_ns", before.PauseTotalNs, uint64(s.GCPauseTotalNS), after.PauseTotalNs, 0},
		{"memory_alloc", before.Alloc, s.MemoryAlloc, after.Alloc, 1 << 18},
		{"heap_alloc", before.HeapAlloc, s.HeapAlloc, after.HeapAlloc, 1 << 18},
		{"heap_objects", before.HeapObjects, s.HeapObjects, after.HeapObjects, 100},
		{"heap_sys", before.HeapSys, s.HeapSys, after.HeapSys, 1 << 18},
		{"memory_sys", before.Sys, s.MemorySys, after.Sys, 1 << 18},
		{"memory_stack", before.StackInuse, s.MemoryStack, after.StackInuse, 1 << 18},
		{"gc_next", before.NextGC, s.GCNext, after.NextGC, 1 << 22},
	} {
		if tt.got+tt.slack < min(tt.before, tt.after) || tt.got > max(tt.before, tt.after)+tt.slack {
			t.Errorf("%s = %d, want it between %d and %d", tt.name, tt.got, tt.before, tt.after)
		}
	}
	if s.HeapIdle+s.HeapInuse != s.HeapSys || s.HeapReleased > s.HeapIdle || s.MemoryStack == 0 {
		t.Errorf("heap_sys %d, heap_idle %d, heap_inuse %d, heap_released %d, memory_stack %d", s.HeapSys, s.HeapIdle, s.HeapInuse, s.HeapReleased, s.MemoryStack)
	}
}

func TestLimits(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	defer debug.SetGCPercent(debug.SetGCPercent(150))
	if s := Read(time.Now()); s.MemoryLimit == nil || *s.MemoryLimit != 1<<40 || s.GOGC == nil || *s.GOGC != 150 {
		t.Errorf("memory_limit %v, gogc %v, want those that are set", s.MemoryLimit, s.GOGC)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	debug.SetGCPercent(-1)
	if s := Read(time.Now()); s.MemoryLimit != nil || s.GOGC != nil {
		t.Errorf("memory_limit %v, gogc %v, want none", s.MemoryLimit, s.GOGC)
	}
}

// stops returns how often the world was stopped for something else than a collection, and for
// how many seconds at most.
func stops() (n uint64, seconds float64) {
	s := []metrics.Sample{{Name: "/sched/pauses/total/other:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	for i, c := range h.Counts {
		if n += c; c > 0 {
			seconds += float64(c) * h.Buckets[i+1]
		}
	}
	return n, seconds
}

func TestAReadingDoesNotStopTheWorld(t *testing.T) {
	before, _ := stops()
	for range 100 {
		Read(time.Now())
	}
	// One may be the runtime's own, such as when it follows a CPU limit that changed.
	after, _ := stops()
	if n := after - before; n > 10 {
		t.Errorf("100 readings stopped the world %d times", n)
	}
	runtime.ReadMemStats(new(runtime.MemStats))
	if n, _ := stops(); n == after {
		t.Error("the test does not see it when the world is stopped")
	}
}

// Who asks second gets what he would have got alone.
func TestReadersTakeNothingFromOneAnother(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	h := Handler()
	runtime.GC()
	var first, second Stats
	for _, s := range []*Stats{&first, &second} {
		if err := json.Unmarshal(get(t, h, "GET", "/").Body.Bytes(), s); err != nil {
			t.Fatal(err)
		}
	}
	if len(first.GCPause) == 0 || !slices.Equal(first.GCPause, second.GCPause) || first.GCPausePerSecond <= 0 || second.GCPausePerSecond != first.GCPausePerSecond || second.GCPerSecond <= 0 {
		t.Errorf("first %v, %v, then %v, %v: want the collection in both", first.GCPause, first.GCPausePerSecond, second.GCPause, second.GCPausePerSecond)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				var s Stats
				if err := json.Unmarshal(get(t, h, "GET", "/").Body.Bytes(), &s); err != nil || s.HeapIdle+s.HeapInuse != s.HeapSys {
					t.Errorf("at once with others: %+v, %v", s, err)
				}
				Read(time.Now())
			}
		})
	}
	wg.Wait()
}

func TestLastMinute(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	at := func(ages ...time.Duration) (gc debug.GCStats) {
		for i, age := range ages {
			gc.PauseEnd = append(gc.PauseEnd, now.Add(-age))
			gc.Pause = append(gc.Pause, time.Duration(i+1)*time.Millisecond)
		}
		return gc
	}
	many := make([]time.Duration, 256) // ten a second
	for i := range many {
		many[i] = time.Duration(i+1) * 100 * time.Millisecond
	}
	for name, tt := range map[string]struct {
		gc               debug.GCStats
		uptime           time.Duration
		perSecond, pause float64
		pauses           int
	}{
		"no collection yet":                {at(), time.Hour, 0, 0, 0},
		"three in the minute":              {at(time.Second, 20*time.Second, 59*time.Second, time.Minute), time.Hour, 3.0 / 60, 6, 3},
		"a young program":                  {at(time.Second, 2*time.Second), 10 * time.Second, 0.2, 3, 2},
		"a program of an instant":          {at(0), 0, 1, 1, 1},
		"from before the clock was set":    {at(time.Second, -time.Hour), time.Hour, 1.0 / 60, 1, 1},
		"more than the runtime remembers":  {at(many...), time.Hour, 10, 256 * 257 / 2 * 60 / 25.6, 256},
		"256 in a minute that is not over": {at(many...), 26 * time.Second, 10, 256 * 257 / 2 * 60 / 25.6, 256},
	} {
		t.Run(name, func(t *testing.T) {
			perSecond, pause, pauses := lastMinute(tt.gc, now.Add(-tt.uptime), now)
			if math.Abs(perSecond-tt.perSecond) > 1e-9 || math.Abs(pause-tt.pause) > 1e-6 || len(pauses) != tt.pauses || pauses == nil {
				t.Errorf("lastMinute = %v, %v, %d pauses, want %v, %v, %d", perSecond, pause, len(pauses), tt.perSecond, tt.pause, tt.pauses)
			}
		})
	}
}

func TestPairs(t *testing.T) {
	h := &metrics.Float64Histogram{Buckets: []float64{math.Inf(-1), 0, 1, 2, 4, math.Inf(1)}, Counts: []uint64{1, 0, 5, 7, 2}}
	if got, want := pairs(h), [][2]float64{{0, 1}, {2, 5}, {4, 9}}; !slices.Equal(got, want) {
		t.Errorf("pairs = %v, want %v: empty ones left out, no bound without end", got, want)
	}
}

func TestHandler(t *testing.T) {
	server := httptest.NewServer(Handler())
	defer server.Close()
	ask := func(method, query string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	for _, tt := range []struct {
		method, query string
		status        int
		lines         bool
	}{
		{"GET", "", 200, false}, {"GET", "?pp=1", 200, true}, {"GET", "", 200, false}, {"GET", "?pp=true", 200, true}, {"GET", "?pp=0", 200, false},
		{"HEAD", "", 200, false}, {"POST", "", 405, true}, {"DELETE", "", 405, true},
	} {
		res, body := ask(tt.method, tt.query)
		if res.StatusCode != tt.status || strings.Contains(body, "\n") != tt.lines || (body == "") != (tt.method == "HEAD") {
			t.Errorf("%s %q is %s: %q", tt.method, tt.query, res.Status, body)
		}
		if tt.status != 200 {
			if res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: Allow is %q", tt.method, res.Header.Get("Allow"))
			}
			continue
		}
		if res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" || res.ContentLength <= 0 ||
			tt.method == "GET" && res.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("%s %q has the header %v", tt.method, tt.query, res.Header)
		}
	}
}

// What an application mounts brings nothing else with it.
func TestTheStandardLibraryOnly(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for path := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(path, "github.com/saba-monitor/saba/stats") {
			ours++
		} else if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
			t.Errorf("package stats links %s", path)
		}
	}
	if ours == 0 {
		t.Errorf("go list says %q", out)
	}
}
