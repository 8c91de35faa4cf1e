package main

import (
	"encoding/json"
	"net"
	"net/http"
	"runtime"
	"time"
)

// serveTarget serves what the bundled plugins ask: the runtime figures of this program at /api/stats, and a
// document of 50 numbers at /numbers. It returns the port, and how to end it.
func serveTarget() (port string, end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/stats", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		answer(w, map[string]any{
			"time": time.Now().UnixNano(), "go_version": runtime.Version(), "go_os": runtime.GOOS, "go_arch": runtime.GOARCH,
			"cpu_num": runtime.NumCPU(), "goroutine_num": runtime.NumGoroutine(), "gomaxprocs": runtime.GOMAXPROCS(0),
			"cgo_call_num": runtime.NumCgoCall(), "memory_alloc": m.Alloc, "memory_total_alloc": m.TotalAlloc,
			"memory_sys": m.Sys, "memory_lookups": m.Lookups, "memory_mallocs": m.Mallocs, "memory_frees": m.Frees,
			"memory_stack": m.StackInuse, "heap_alloc": m.HeapAlloc, "heap_sys": m.HeapSys, "heap_idle": m.HeapIdle,
			"heap_inuse": m.HeapInuse, "heap_released": m.HeapReleased, "heap_objects": m.HeapObjects,
			"gc_next": m.NextGC, "gc_last": m.LastGC, "gc_num": m.NumGC, "gc_per_second": 0.1, "gc_pause_per_second": 0.1,
			"gc_pause": []float64{},
		})
	})
	mux.HandleFunc("/numbers", func(w http.ResponseWriter, _ *http.Request) {
		document := map[string]map[string]int{}
		for _, group := range []string{"queue", "cache", "pool", "requests", "errors"} {
			document[group] = map[string]int{}
			for i := range 10 {
				document[group]["n"+string(rune('0'+i))] = i * int(time.Now().Unix()%1000)
			}
		}
		answer(w, document)
	})
	server := &http.Server{Handler: mux}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(l)
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	return port, func() { _ = server.Close(); <-stopped }, err
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}
