package stats

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkRead is one reading in a program with a heap of 1 GiB and 10,000 goroutines, beside
// runtime.ReadMemStats, which handlers of this kind commonly call: once while the goroutines
// wait and once while as many as there are CPUs compute. "stops/op" is how often the world was
// stopped, other than by the garbage collector; "µs-stopped/op" is for how long, at most.
func BenchmarkRead(b *testing.B) {
	const objects, size = 1 << 18, 4 << 10
	heap := make([][]byte, objects)
	for i := range heap {
		heap[i] = make([]byte, size)
	}
	done := make(chan struct{})
	var started, ended sync.WaitGroup
	for range 10_000 {
		started.Add(1)
		ended.Go(func() {
			started.Done()
			<-done
		})
	}
	started.Wait()
	runtime.GC()
	reader := newReader() // as Handler keeps it
	compare := func(b *testing.B) {
		report(b, "saba", func() { reader.read(time.Now()) })
		report(b, "ReadMemStats", func() { runtime.ReadMemStats(new(runtime.MemStats)) })
	}
	b.Run("waiting", compare)
	b.Run("computing", func(b *testing.B) {
		var stop atomic.Bool
		var busy sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			busy.Go(func() {
				for !stop.Load() {
				}
			})
		}
		compare(b)
		stop.Store(true)
		busy.Wait()
	})
	close(done)
	ended.Wait()
	runtime.KeepAlive(heap)
}

func report(b *testing.B, name string, read func()) {
	b.Run(name, func(b *testing.B) {
		stopsBefore, timeBefore := stops()
		for b.Loop() {
			read()
		}
		n, t := stops()
		b.ReportMetric(float64(n-stopsBefore)/float64(b.N), "stops/op")
		b.ReportMetric((t-timeBefore)*1e6/float64(b.N), "µs-stopped/op")
	})
}
