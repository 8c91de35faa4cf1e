package tsdb

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"golang.org/x/sys/unix"

	"github.com/saba-monitor/saba"
)

// The shape of a site of 1,000 hosts, each with 150 metrics.
const (
	benchHosts   = 1000
	benchMetrics = 150
	benchStart   = 1_768_478_400
)

func benchBatches(hosts int) [][]saba.Point {
	batches := make([][]saba.Point, hosts)
	for h := range batches {
		for m := range benchMetrics {
			batches[h] = append(batches[h], saba.Point{Series: saba.Series{
				Org: "2Mgq9PLHnmT", Host: fmt.Sprintf("3mSqK%06d", h), Name: fmt.Sprintf("custom.plugin%d.metric_%d.value", m%10, m),
			}})
		}
	}
	return batches
}

// setMinute makes batches those of minute i.
func setMinute(batches [][]saba.Point, i int64) (now time.Time) {
	t := benchStart + i*60
	for h := range batches {
		for m := range batches[h] {
			batches[h][m].Sample = saba.Sample{Time: t, Value: float64((i*int64(m+1) + int64(h)) % 1000)}
		}
	}
	return time.Unix(t, 0)
}

func benchOpen(b *testing.B, dir string) *DB {
	b.Helper()
	db, err := Open(b.Context(), Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// BenchmarkAppend stores one minute of 1,000 hosts, a batch for each host, from as many
// connections as it says.
func BenchmarkAppend(b *testing.B) {
	for _, conns := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("connections=%d", conns), func(b *testing.B) {
			db := benchOpen(b, b.TempDir())
			batches := benchBatches(benchHosts)
			minute := int64(0)
			round := func() {
				now := setMinute(batches, minute)
				minute++
				var wg sync.WaitGroup
				for c := range conns {
					wg.Go(func() {
						for h := c; h < len(batches); h += conns {
							if _, err := db.Append(b.Context(), now, batches[h]); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
			}
			round() // makes the series
			cpu := cpuTime(b)
			for b.Loop() {
				round()
			}
			samples := float64(b.N) * benchHosts * benchMetrics
			b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/samples, "cpu-ns/sample")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/samples, "ns/sample")
		})
	}
}

// BenchmarkEngineAlone does the work of BenchmarkAppend without this package: references that are
// known, one commit for 64 hosts, and one sync each. The difference is what we cost.
func BenchmarkEngineAlone(b *testing.B) {
	db := benchOpen(b, b.TempDir())
	batches := benchBatches(benchHosts)
	refs := make([]storage.SeriesRef, benchHosts*benchMetrics)
	var builder labels.ScratchBuilder
	minute := int64(0)
	round := func() {
		setMinute(batches, minute)
		minute++
		next := refs
		for group := range slices.Chunk(batches, 64) {
			app := db.engine.db.Appender(b.Context())
			for _, points := range group {
				for i := range points {
					p, ref := &points[i], &next[i]
					l := labels.EmptyLabels()
					if *ref == 0 {
						l = labelsOf(&builder, &p.Series)
					}
					var err error
					if *ref, err = app.Append(*ref, l, p.Time*1000, p.Sample.Value); err != nil {
						b.Fatal(err)
					}
				}
				next = next[len(points):]
			}
			if err := app.Commit(); err != nil {
				b.Fatal(err)
			}
			if err := db.engine.sync(false); err != nil {
				b.Fatal(err)
			}
		}
	}
	round()
	cpu := cpuTime(b)
	for b.Loop() {
		round()
	}
	samples := float64(b.N) * benchHosts * benchMetrics
	b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/samples, "cpu-ns/sample")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/samples, "ns/sample")
}

// BenchmarkNewestMemory reports what the newest sample of a series costs in memory.
func BenchmarkNewestMemory(b *testing.B) {
	batches := benchBatches(benchHosts)
	bytes := 0.0
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var n newest
		for _, batch := range batches {
			for i := range batch {
				n.learn(&batch[i].Series, 1, 1)
			}
		}
		n.fit()
		runtime.GC()
		runtime.ReadMemStats(&after)
		bytes = float64(after.HeapAlloc-before.HeapAlloc) / (benchHosts * benchMetrics)
		runtime.KeepAlive(&n)
	}
	b.ReportMetric(bytes, "bytes/series")
}

// benchFilled returns an engine with a day of 20 hosts.
func benchFilled(b *testing.B) (*DB, [][]saba.Point) {
	b.Helper()
	db := benchOpen(b, b.TempDir())
	batches := benchBatches(20)
	for i := range int64(24 * 60) {
		now := setMinute(batches, i)
		for _, batch := range batches {
			if _, err := db.Append(b.Context(), now, batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	return db, batches
}

// BenchmarkRead reads from a day of 20 hosts.
func BenchmarkRead(b *testing.B) {
	db, batches := benchFilled(b)
	var host, across []saba.Series
	for i := range 20 {
		host = append(host, batches[3][i].Series)
		across = append(across, batches[i][7].Series)
	}
	for name, series := range map[string][]saba.Series{"20 series of a host": host, "1 metric of 20 hosts": across} {
		b.Run(name+", 24 h", func(b *testing.B) {
			n := 0
			for b.Loop() {
				got, err := db.Range(b.Context(), series, benchStart, benchStart+24*3600)
				if err != nil {
					b.Fatal(err)
				}
				n += len(got) * len(got[0])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/sample")
		})
	}
	b.Run("the names of a host", func(b *testing.B) {
		for b.Loop() {
			if got, err := db.HostNames(b.Context(), host[0].Org, host[0].Host); err != nil || len(got) != benchMetrics {
				b.Fatal(len(got), err)
			}
		}
	})
	b.Run("the newest of a series", func(b *testing.B) {
		for b.Loop() {
			if _, ok := db.Latest(host[5]); !ok {
				b.Fatal("none")
			}
		}
	})
	// An agent comes back with six hours that it kept: oldest first, after a present point.
	b.Run("late points", func(b *testing.B) {
		batch := make([]saba.Point, benchMetrics)
		round, n := 0, 0
		for b.Loop() {
			for i := range int64(60) {
				t := int64(benchStart + (24*60-1)*60 - (6*60-i)*60)
				for m := range batch {
					batch[m] = saba.Point{Series: saba.Series{Org: "o", Host: fmt.Sprint("back", round), Name: batches[0][m].Name}, Sample: saba.Sample{Time: t, Value: float64(i)}}
				}
				if _, err := db.Append(b.Context(), time.Unix(benchStart+24*3600, 0), batch); err != nil {
					b.Fatal(err)
				}
				n += len(batch)
			}
			round++
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/sample")
	})
}

// BenchmarkOpen starts on two hours of 1,000 hosts after a clean stop.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	db, err := Open(b.Context(), Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	batches := benchBatches(benchHosts)
	for i := range int64(120) {
		now := setMinute(batches, i)
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() {
				for h := c; h < len(batches); h += 8 {
					if _, err := db.Append(b.Context(), now, batches[h]); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("inspection alone", func(b *testing.B) {
		for b.Loop() {
			if _, err := inspect(b.Context(), dir); err != nil {
				b.Fatal(err)
			}
			if _, _, err := inspectBlocks(b.Context(), dir, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			db, err := Open(b.Context(), Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// cpuTime returns the CPU time of this process, user and system.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpenKilled starts on three hours of 1,000 hosts, the most that a head holds in the normal course, as a kill leaves
// them, and as a backup does.
func BenchmarkOpenKilled(b *testing.B) {
	running := b.TempDir()
	db := benchOpen(b, running)
	batches := benchBatches(benchHosts)
	for i := range int64(180) {
		now := setMinute(batches, i)
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() {
				for h := c; h < len(batches); h += 8 {
					if _, err := db.Append(b.Context(), now, batches[h]); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if i%10 == 9 {
			db.engine.db.ForceHeadMMap() // the engine moves full chunks to their file once a minute, and here hours go by in one
		}
	}
	killed, backup := b.TempDir(), b.TempDir()
	if err := os.CopyFS(killed, os.DirFS(running)); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	s, err := db.Snapshot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("the snapshot took %v", time.Since(began))
	for _, f := range s.Files {
		path := filepath.Join(backup, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.Fatal(err)
		}
		content, err := io.ReadAll(f.Reader())
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for name, from := range map[string]string{"after a kill": killed, "from a backup": backup} {
		b.Run(name, func(b *testing.B) {
			cpu := time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				dir := b.TempDir()
				if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
					b.Fatal(err)
				}
				before := cpuTime(b)
				b.StartTimer()
				db, err := Open(b.Context(), Options{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				cpu += cpuTime(b) - before
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// BenchmarkReadYear reads one series over a year, as means of saba.Step, from blocks of 31 days, as compaction leaves them.
func BenchmarkReadYear(b *testing.B) {
	const minutes = 365 * 24 * 60
	series := make([]saba.Series, 10)
	for m := range series {
		series[m] = saba.Series{Org: "o", Host: "h", Name: fmt.Sprint("custom.year.n", m)}
	}
	dir := b.TempDir()
	block := (744 * time.Hour).Milliseconds()
	var builder labels.ScratchBuilder
	for begin := int64(benchStart) * 1000 / block * block; begin < (benchStart+minutes*60)*1000; begin += block {
		w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, block)
		if err != nil {
			b.Fatal(err)
		}
		app := w.Appender(b.Context())
		for at := begin; at < begin+block; at += 60_000 {
			for m := range series {
				if _, err := app.Append(0, labelsOf(&builder, &series[m]), at, 50*math.Sin(float64(at/60_000)/100+float64(m))); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	db := benchOpen(b, dir)
	cpu, n := cpuTime(b), 0
	for b.Loop() {
		got, err := db.Range(b.Context(), series[3:4], benchStart, benchStart+minutes*60-1)
		if err != nil {
			b.Fatal(err)
		}
		n = len(got[0])
		if _, _, err := saba.Downsample(got[0], benchStart, benchStart+minutes*60-1, saba.Step(minutes*60)); err != nil {
			b.Fatal(err)
		}
	}
	if n != minutes {
		b.Fatalf("%d samples were read, want %d", n, minutes)
	}
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}
