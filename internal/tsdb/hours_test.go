package tsdb

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// BenchmarkHours plays six hours of 1,000 hosts through an engine as fast as it goes, and says at each half hour what lives in the heap, and what of
// this process is in memory: its own pages, and those of files that are mapped. Values move as those of saba bench agents do. What is
// resident is more than at the pace of agents, as the runtime gives memory back by the clock.
func BenchmarkHours(b *testing.B) {
	const hours = 6
	defer debug.SetGCPercent(debug.SetGCPercent(15)) // as cmd/saba begins
	for b.Loop() {
		batches := benchBatches(benchHosts)
		without := liveHeap()
		db, err := Open(b.Context(), Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		var most, mostAnonymous, mostFiles float64
		cpu := time.Duration(0)
		for minute := int64(1); minute <= hours*60; minute++ {
			now := wander(batches, minute, random)
			before := cpuTime(b)
			var work sync.WaitGroup
			for c := range 8 {
				work.Go(func() {
					for h := c; h < len(batches); h += 8 {
						if _, err := db.Append(b.Context(), now, batches[h]); err != nil {
							b.Error(err)
						}
					}
				})
			}
			work.Wait()
			// What happens by the clock, of which little goes by here.
			db.engine.moveFull()
			if h := db.engine.db.Head(); h.MaxTime()-h.MinTime() > (blockSpan + blockSpan/2).Milliseconds() {
				if err := db.engine.db.Compact(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			cpu += cpuTime(b) - before
			anonymous, files := residentMemory(b)
			mostAnonymous, mostFiles = max(mostAnonymous, anonymous), max(mostFiles, files)
			if minute%30 == 0 || minute%30 == 29 { // before chunks are begun anew, too
				live := liveHeap() - without
				most = max(most, live)
				b.Logf("%3d min: %6.1f MiB live, resident %6.1f MiB of its own and %5.1f MiB of files; %d blocks", minute, live, anonymous, files, len(db.engine.db.Blocks()))
			}
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(most, "live-MiB")
		b.ReportMetric(mostAnonymous, "own-MiB")
		b.ReportMetric(mostFiles, "files-MiB")
		b.ReportMetric(float64(cpu.Nanoseconds())/(hours*60*benchHosts*benchMetrics), "cpu-ns/sample")
	}
}

// wander makes batches those of a minute, from those of the one before.
func wander(batches [][]saba.Point, minute int64, random *rand.Rand) time.Time {
	t := benchStart + minute*60
	for _, batch := range batches {
		for i := range batch {
			s := &batch[i].Sample
			s.Time = t
			switch i % 4 {
			case 0: // stays
			case 1:
				s.Value += float64(random.IntN(100))
			default:
				s.Value = max(0, s.Value+random.NormFloat64())
			}
		}
	}
	return time.Unix(t, 0)
}

// liveHeap returns what is in use of the heap, in MiB.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // what the pools held is gone with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// residentMemory returns what of this process is in memory, in MiB.
func residentMemory(b *testing.B) (anonymous, files float64) {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "RssAnon: %f kB", &kib); n == 1 {
			anonymous = kib / 1024
		}
		if n, _ := fmt.Sscanf(line, "RssFile: %f kB", &kib); n == 1 {
			files = kib / 1024
		}
	}
	return anonymous, files
}

// BenchmarkSize prints what a sample takes on disk after some days of a few hosts, and which part of that is the index.
func BenchmarkSize(b *testing.B) {
	const days, hosts = 4, 30
	for b.Loop() {
		batches := benchBatches(hosts)
		db, err := Open(b.Context(), Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		db.engine.compacts.Store(true)
		db.engine.db.DisableCompactions()
		random := rand.New(rand.NewPCG(1, 2))
		for minute := int64(1); minute <= days*24*60; minute++ {
			now := wander(batches, minute, random)
			if _, err := db.Append(b.Context(), now, slices.Concat(batches...)); err != nil {
				b.Fatal(err)
			}
			if minute%10 == 0 {
				db.engine.moveFull()
				if err := db.engine.db.Compact(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
		var samples, bytes, index, chunks float64
		for _, block := range db.engine.db.Blocks() {
			m := block.Meta()
			samples += float64(m.Stats.NumSamples)
			chunks += float64(m.Stats.NumChunks)
			bytes += float64(block.Size())
			info, err := os.Stat(filepath.Join(block.Dir(), "index"))
			if err != nil {
				b.Fatal(err)
			}
			index += float64(info.Size())
			b.Logf("%4d h: %d samples, %.1f a chunk, %.3f bytes a sample", (m.MaxTime-m.MinTime)/3_600_000, m.Stats.NumSamples,
				float64(m.Stats.NumSamples)/float64(m.Stats.NumChunks), float64(block.Size())/float64(m.Stats.NumSamples))
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(bytes/samples, "bytes/sample")
		b.ReportMetric(index/samples, "index-bytes/sample")
		b.ReportMetric(samples/chunks, "samples/chunk")
	}
}
