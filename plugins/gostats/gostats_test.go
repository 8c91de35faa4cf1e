package gostats

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/stats"
)

// runtimeFigures answers with the figures of this process, as the handlers do that Go programs mount.
func runtimeFigures(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	w.Header().Set("Content-Type", "application/json")
	b, err := json.Marshal(map[string]any{
		"time": time.Now().UnixNano(), "go_version": runtime.Version(), "go_os": runtime.GOOS, "go_arch": runtime.GOARCH,
		"cpu_num": runtime.NumCPU(), "goroutine_num": runtime.NumGoroutine(), "gomaxprocs": runtime.GOMAXPROCS(0), "cgo_call_num": runtime.NumCgoCall(),
		"memory_alloc": m.Alloc, "memory_total_alloc": m.TotalAlloc, "memory_sys": m.Sys, "memory_lookups": m.Lookups,
		"memory_mallocs": m.Mallocs, "memory_frees": m.Frees, "memory_stack": m.StackInuse,
		"heap_alloc": m.HeapAlloc, "heap_sys": m.HeapSys, "heap_idle": m.HeapIdle, "heap_inuse": m.HeapInuse, "heap_released": m.HeapReleased,
		"heap_objects": m.HeapObjects, "gc_next": m.NextGC, "gc_last": m.LastGC, "gc_num": m.NumGC,
		"gc_per_second": 0.25, "gc_pause_per_second": 1.5, "gc_pause": gc.Pause,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(b)
}

// modern are the metrics that runtimeFigures does not offer, like most handlers that there are.
var modern = []string{
	"sched.thread_num", "goroutine.goroutines_running", "goroutine.goroutines_runnable", "goroutine.goroutines_not_in_go", "goroutine.goroutines_waiting",
	"gc_heap.heap_live", "gc_heap.memory_limit", "gc_cpu_time.cpu_gc_seconds", "mutex.mutex_wait_seconds",
	"sched_latency.p50", "sched_latency.p99", "gc_cpu.share",
}

func TestARealGoProgram(t *testing.T) {
	var agent, path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent, path = r.UserAgent(), r.URL.Path
		runtimeFigures(w, r)
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	got := plugintest.Collect(t, Plugin, []string{"-host", "127.0.0.1", "-port", port}, modern...)
	if agent != "mackerel-plugin-gostats" || path != "/api/stats" {
		t.Errorf("asked %s as %s", path, agent)
	}
	for _, name := range []string{"runtime.goroutine_num", "memory.memory_sys", "memory.memory_stack", "operation.memory_mallocs", "heap.heap_inuse"} {
		if got[name] <= 0 {
			t.Errorf("%s = %v, want more than nothing", name, got[name])
		}
	}
	if sum := got["heap.heap_idle"] + got["heap.heap_inuse"]; sum != got["heap.heap_sys"] {
		t.Errorf("idle and in use are %v, want %v: they come from one answer", sum, got["heap.heap_sys"])
	}
	plugintest.Collect(t, Plugin, []string{"-uri", server.URL + "/stats?token=x", "-port", "1"}, modern...)
	if path != "/stats" {
		t.Errorf("asked %s, want /stats", path)
	}
}

// The names that dashboards and monitors know.
func TestNames(t *testing.T) {
	e, err := plugin.Embed(Plugin, []string{"-metric-key-prefix", "shop-api"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range e.Definitions() {
		got = append(got, fmt.Sprintf("%s | %s | %s", d.Name, d.DisplayName, d.Unit))
		for _, m := range d.Metrics {
			got = append(got, fmt.Sprintf("%s | %s", m.Name, m.DisplayName))
		}
	}
	want := []string{
		"custom.shop-api.runtime | Shop-Api Runtime | integer",
		"custom.shop-api.runtime.goroutine_num | Goroutine Num", "custom.shop-api.runtime.cgo_call_num | CGO Call Num",
		"custom.shop-api.memory | Shop-Api Memory | bytes",
		"custom.shop-api.memory.memory_alloc | Alloc", "custom.shop-api.memory.memory_sys | Sys", "custom.shop-api.memory.memory_stack | Stack In Use",
		"custom.shop-api.operation | Shop-Api Operation | integer",
		"custom.shop-api.operation.memory_lookups | Pointer Lookups", "custom.shop-api.operation.memory_mallocs | Mallocs", "custom.shop-api.operation.memory_frees | Frees",
		"custom.shop-api.heap | Shop-Api Heap | bytes",
		"custom.shop-api.heap.heap_sys | Sys", "custom.shop-api.heap.heap_idle | Idle", "custom.shop-api.heap.heap_inuse | In Use", "custom.shop-api.heap.heap_released | Released",
		"custom.shop-api.gc | Shop-Api GC | float",
		"custom.shop-api.gc.gc_num | GC Num", "custom.shop-api.gc.gc_per_second | GC Per Second", "custom.shop-api.gc.gc_pause_per_second | GC Pause Per Second",
		"custom.shop-api.sched | Shop-Api Scheduler | integer",
		"custom.shop-api.sched.gomaxprocs | GOMAXPROCS", "custom.shop-api.sched.thread_num | Threads",
		"custom.shop-api.goroutine | Shop-Api Goroutines by State | integer",
		"custom.shop-api.goroutine.goroutines_running | Running", "custom.shop-api.goroutine.goroutines_runnable | Runnable",
		"custom.shop-api.goroutine.goroutines_not_in_go | Not in Go", "custom.shop-api.goroutine.goroutines_waiting | Waiting",
		"custom.shop-api.gc_heap | Shop-Api GC Heap | bytes",
		"custom.shop-api.gc_heap.heap_live | Live", "custom.shop-api.gc_heap.gc_next | Goal", "custom.shop-api.gc_heap.memory_limit | Limit",
		"custom.shop-api.gc_cpu_time | Shop-Api GC CPU Time | seconds", "custom.shop-api.gc_cpu_time.cpu_gc_seconds | GC CPU Time",
		"custom.shop-api.mutex | Shop-Api Mutex Wait | seconds", "custom.shop-api.mutex.mutex_wait_seconds | Wait of all Goroutines",
		"custom.shop-api.sched_latency | Shop-Api Scheduler Latency | milliseconds",
		"custom.shop-api.sched_latency.p50 | Median", "custom.shop-api.sched_latency.p99 | 99th Percentile",
		"custom.shop-api.gc_cpu | Shop-Api GC CPU | percentage", "custom.shop-api.gc_cpu.share | Share of the Program's CPUs",
	}
	if !slices.Equal(got, want) {
		t.Errorf("definitions:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Turns inside an agent share a connection.
func TestTurns(t *testing.T) {
	connections, requests := 0, 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		runtimeFigures(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections++
		}
	}
	server.Start()
	defer server.Close()
	e, err := plugin.Embed(Plugin, []string{"-uri", server.URL})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if values, err := e.Values(t.Context()); err != nil || len(values) != 12 {
			t.Errorf("a turn within a second has %d values, %v, want the 12 that are no counters", len(values), err)
		}
	}
	if server.Close(); connections != 1 || requests != 2 {
		t.Errorf("%d connections and %d requests, want one, and two: there is nothing that takes a second reading", connections, requests)
	}
}

func TestASocketAHeaderAndTLS(t *testing.T) {
	secret := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer x:y" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		runtimeFigures(w, r)
	}
	file := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(secret))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	plugintest.Collect(t, Plugin, []string{"-socket", file, "-header", "Authorization: Bearer x:y"}, modern...)

	secure := httptest.NewTLSServer(http.HandlerFunc(runtimeFigures))
	defer secure.Close()
	plugintest.Collect(t, Plugin, []string{"-uri", secure.URL, "-insecure"}, modern...)
	if _, err := embedded(t, "-uri", secure.URL).Values(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v, want an error that says so", err)
	}
}

func embedded(t *testing.T, args ...string) *plugin.Embedded {
	t.Helper()
	e, err := plugin.Embed(Plugin, args)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A target that is not well yields an error that names it and no value: a zero would be a figure.
func TestBadTargets(t *testing.T) {
	hang := make(chan struct{})
	mux := http.NewServeMux()
	serve := func(path string, h http.HandlerFunc) { mux.HandleFunc(path, h) }
	say := func(path, text string) {
		serve(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	serve("/500", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"goroutine_num":1}`)
	})
	serve("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	serve("/slow", func(http.ResponseWriter, *http.Request) { <-hang })
	serve("/torn", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `{"goroutine_num":1`)
	})
	serve("/huge", func(w http.ResponseWriter, _ *http.Request) {
		piece := strings.Repeat(" ", 1<<20)
		for range 100 {
			if _, err := fmt.Fprint(w, piece); err != nil {
				return
			}
		}
	})
	say("/html", "<html>")
	say("/array", "[1]")
	say("/null", "null")
	say("/empty", "")
	say("/zeros", "{}")
	say("/types", `{"goroutine_num":"1","memory_alloc":null,"heap_sys":[],"gc_num":1e999}`)
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(hang)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/500": "500 Internal Server Error", "/loop": "redirects", "/slow": "deadline", "/torn": "breaks off", "/huge": "more than 4194304 bytes",
		"/html": "not the JSON", "/array": "not the JSON", "/null": "no number goroutine_num", "/empty": "not the JSON",
		"/zeros": "no number goroutine_num", "/types": "no number goroutine_num, cgo_call_num, memory_alloc",
	} {
		timeout := "5s"
		if path == "/slow" {
			timeout = "50ms"
		}
		values, err := embedded(t, "-timeout", timeout, "-uri", "http://me:secret@"+at.Host+path+"?token=secret").Values(t.Context())
		if len(values) > 0 || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), at.Host+path) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v, want no value and %q", path, values, err, want)
		}
	}
	for _, bad := range []string{"http://127.0.0.1:1/", "ftp://x/", "http://[::1/", "::"} {
		if values, err := embedded(t, "-uri", bad).Values(t.Context()); len(values) > 0 || err == nil {
			t.Errorf("%s: %v, %v, want an error", bad, values, err)
		}
	}
	if _, err := plugin.Embed(Plugin, []string{"-header", "secret"}); err == nil {
		t.Error("a header without a name is taken")
	}
}

func TestAFieldThatIsMissingIsNoZero(t *testing.T) {
	a, err := parse([]byte(`{"goroutine_num":7,"memory_alloc":1,"heap_sys":2,"other":{}}`))
	if len(a.values) != 3 || err == nil || !strings.Contains(err.Error(), "gc_num") || strings.Contains(err.Error(), "goroutine_num") || strings.Contains(err.Error(), "heap_live") {
		t.Errorf("parse = %v, %v, want three values and the names of the others that every handler has", a, err)
	}
}

func TestAModernFieldThatIsNoNumberIsNamed(t *testing.T) {
	body := minimal(`,"heap_live":"7","memory_limit":null,"sched_latency":[[1e999,1]],"start_time":1,"cpu_gc_seconds":[]`)
	a, err := parse([]byte(body))
	if len(a.values) != 15 || err == nil || err.Error() != "has no number heap_live, cpu_gc_seconds, sched_latency" {
		t.Errorf("parse = %v, %v", a, err)
	}
}

// Whatever a target answers, parsing never panics, and has values or says why not.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"goroutine_num":7,"gc_num":1e999}`), []byte(`{"goroutine_num":7,"gc_num":1e999}`))
	f.Add([]byte(`{"goroutine_num":-0.5,"heap_sys":18446744073709551615}`), []byte(`[]`))
	f.Add([]byte(minimal(`,"start_time":1,"sched_latency":[[1e-6,5],[2e-6]],"cpu_gc_seconds":1,"cpu_total_seconds":9,"heap_live":1`)),
		[]byte(minimal(`,"start_time":1,"sched_latency":[[1e-6,7],[1,1e308]],"cpu_gc_seconds":2,"cpu_total_seconds":12,"heap_live":1`)))
	f.Fuzz(func(t *testing.T, body, next []byte) {
		a, err := parse(body)
		if len(a.values) < 15 && err == nil {
			t.Errorf("parse(%q) = %v without an error", body, a.values)
		}
		b, _ := parse(next)
		for _, v := range append(a.values, window(a.totals, b.totals)...) {
			if _, _, ok := Plugin.Find(v.Name); !ok || math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
				t.Errorf("parse(%q), then %q, have %v", body, next, v)
			}
		}
	})
}

// BenchmarkCollect is one turn inside an agent against a program that offers all; the program's
// side is in it too.
func BenchmarkCollect(b *testing.B) {
	server := httptest.NewServer(stats.Handler())
	defer server.Close()
	e, err := plugin.Embed(Plugin, []string{"-uri", server.URL, "-sample", "1ms"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Values(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
