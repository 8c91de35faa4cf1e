package gostats

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/stats"
)

// minimal is the answer of a handler that has what every one has, and more.
func minimal(more string) string {
	var b strings.Builder
	for _, g := range always {
		for _, m := range g.Metrics {
			fmt.Fprintf(&b, `,%q:1`, m.Name)
		}
	}
	return "{" + b.String()[1:] + more + "}"
}

const serveVariable = "SABA_TEST_SERVE_STATS"

// TestMain lets the tests start this binary as a program to watch.
func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve answers with the figures of this process until in ends; before each answer it makes
// garbage, collects it, and has goroutines wait for one another.
func serve(in io.Reader, out io.Writer) error {
	debug.SetMemoryLimit(1 << 40)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h := stats.Handler()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		work()
		h.ServeHTTP(w, r)
	})}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	if _, err := fmt.Fprintln(out, "http://"+l.Addr().String()+"/"); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in)
	err = server.Close()
	<-ended
	return err
}

func work() {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var waiting atomic.Int32
	mu.Lock()
	for range 500 {
		wg.Go(func() {
			waiting.Add(1)
			mu.Lock()
			defer mu.Unlock()
			_ = bytes.Repeat([]byte("x"), 10_000)
		})
	}
	for waiting.Load() < 500 {
		runtime.Gosched()
	}
	mu.Unlock()
	wg.Wait()
	runtime.GC()
}

// startProgram starts a Go program that mounts stats.Handler and returns its URL.
func startProgram(t *testing.T) (url string, stop func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program ends with %v", err)
		}
	})
	t.Cleanup(stop)
	line := bufio.NewScanner(out)
	if !line.Scan() {
		t.Fatalf("the program says nothing: %v", line.Err())
	}
	return line.Text(), stop
}

// All that is declared is there, in the first run of a process too.
func TestAProgramThatOffersAll(t *testing.T) {
	url, _ := startProgram(t)
	got := plugintest.Collect(t, Plugin, []string{"-uri", url, "-sample", "1ms"})
	if got["gc_heap.memory_limit"] != 1<<40 || got["gc_heap.gc_next"] <= got["gc_heap.heap_live"] || got["gc_heap.heap_live"] <= 0 {
		t.Errorf("limit %v, goal %v, live %v", got["gc_heap.memory_limit"], got["gc_heap.gc_next"], got["gc_heap.heap_live"])
	}
	if p50, p99 := got["sched_latency.p50"], got["sched_latency.p99"]; p50 < 0 || p99 <= 0 || p50 > p99 || p99 > 60_000 {
		t.Errorf("scheduler latency %v ms, %v ms", p50, p99)
	}
	if share := got["gc_cpu.share"]; share <= 0 || share > 100 {
		t.Errorf("the garbage collector has %v %% of the CPUs", share)
	}
	for _, name := range []string{"sched.gomaxprocs", "sched.thread_num", "goroutine.goroutines_waiting", "gc_cpu_time.cpu_gc_seconds", "mutex.mutex_wait_seconds"} {
		if got[name] <= 0 {
			t.Errorf("%s = %v, want more than nothing", name, got[name])
		}
	}
}

// byName returns values by name.
func byName(values []saba.Value) map[string]float64 {
	got := map[string]float64{}
	for _, v := range values {
		got[v.Name] = v.Value
	}
	return got
}

// A fake target answers each question with the next of its answers.
func fake(t *testing.T, answers ...string) (url string, asked func() int) {
	t.Helper()
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i := int(n.Add(1)) - 1
		if i >= len(answers) || answers[i] == "" {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, answers[i])
	}))
	t.Cleanup(server.Close)
	return server.URL, func() int { return int(n.Load()) }
}

// modernAnswer is one of a program that began at start.
func modernAnswer(start, gc, cpu, shortWaits, longWaits int) string {
	return minimal(fmt.Sprintf(`,"start_time":%d,"cpu_gc_seconds":%d,"cpu_total_seconds":%d,"sched_latency":[[0.000001,%d],[0.004,%d]]`, start, gc, cpu, shortWaits, longWaits))
}

// Inside an agent a figure is of the time since the turn before.
func TestATurnComparesWithTheOneBefore(t *testing.T) {
	url, asked := fake(t,
		modernAnswer(1, 10, 100, 1000, 0), modernAnswer(1, 10, 100, 1000, 0), // the first turn: nothing happened in between
		modernAnswer(1, 15, 200, 1097, 3), // one percent is 4 ms
		"",                                // a turn that fails
		modernAnswer(1, 25, 300, 1097, 5), // since the one before that
		modernAnswer(2, 1, 9, 9, 9),       // another process
		modernAnswer(2, 1, 9, 10, 9),      // no collection: its share is not known
	)
	e := embedded(t, "-uri", url, "-sample", "1ms")
	for i, want := range []map[string]float64{
		{},
		{"gostats.gc_cpu.share": 5, "gostats.sched_latency.p50": 0.001, "gostats.sched_latency.p99": 4},
		nil,
		{"gostats.gc_cpu.share": 10, "gostats.sched_latency.p50": 4, "gostats.sched_latency.p99": 4},
		{},
		{"gostats.sched_latency.p50": 0.001, "gostats.sched_latency.p99": 0.001},
	} {
		values, err := e.Values(t.Context())
		if (err != nil) != (want == nil) {
			t.Fatalf("turn %d: %v", i, err)
		}
		got := byName(values)
		for _, name := range []string{"gostats.gc_cpu.share", "gostats.sched_latency.p50", "gostats.sched_latency.p99"} {
			g, is := got[name]
			w, wanted := want[name]
			if is != wanted || g-w > 1e-9 || w-g > 1e-9 {
				t.Errorf("turn %d: %s = %v, %v, want %v, %v", i, name, g, is, w, wanted)
			}
		}
	}
	if asked() != 7 {
		t.Errorf("asked %d times, want twice in the first turn and once in each other", asked())
	}
}

// What one reading has is not lost when the second does not come.
func TestASecondReadingThatFails(t *testing.T) {
	url, _ := fake(t, modernAnswer(1, 10, 100, 1000, 0), "")
	values, err := embedded(t, "-uri", url, "-sample", "1ms").Values(t.Context())
	if len(values) != 10 || err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("a second answer of 500: %d values, %v", len(values), err)
	}
	url, asked := fake(t, modernAnswer(1, 10, 100, 1000, 0))
	values, err = embedded(t, "-uri", url, "-sample", "1h", "-timeout", "2s").Values(t.Context())
	if len(values) != 10 || err == nil || !strings.Contains(err.Error(), "-sample") || asked() != 1 {
		t.Errorf("no time for a second: %d values, %v", len(values), err)
	}
	url, asked = fake(t, modernAnswer(1, 10, 100, 1000, 0))
	values, err = embedded(t, "-uri", url, "-sample", "0").Values(t.Context())
	if len(values) != 10 || err != nil || asked() != 1 {
		t.Errorf("-sample 0: %d values, %v, asked %d times", len(values), err, asked())
	}
	if _, err := plugin.Embed(Plugin, []string{"-sample", "-1s"}); err == nil {
		t.Error("-sample -1s is taken")
	}
}

func TestATurnLongAgoIsNoneBefore(t *testing.T) {
	url, asked := fake(t, modernAnswer(1, 10, 100, 1000, 0), modernAnswer(1, 11, 110, 1001, 0))
	c := &collector{sample: time.Millisecond, last: totals{start: 1, cpu: &cpu{0, 0}}, lastAt: time.Now().Add(-maxWindow - time.Second)}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.url.AddFlags(fs, "", "")
	if err := fs.Set("uri", url); err != nil {
		t.Fatal(err)
	}
	c.http.UserAgent = "test"
	values, err := c.Collect(context.Background())
	if err != nil || asked() != 2 || byName(values)["gc_cpu.share"] != 10 {
		t.Errorf("Collect = %v, %v, asked %d times, want the share between the two", values, err, asked())
	}
}

func TestWindow(t *testing.T) {
	waits := func(pairs ...float64) map[float64]float64 {
		m := map[float64]float64{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for name, tt := range map[string]struct {
		older, newer totals
		want         string
	}{
		"nothing before":                    {totals{}, totals{start: 1, cpu: &cpu{1, 2}}, ""},
		"another process that did more":     {totals{start: 1, cpu: &cpu{1, 10}, latency: waits(1, 1)}, totals{start: 2, cpu: &cpu{2, 20}, latency: waits(1, 9)}, ""},
		"no CPU time said":                  {totals{start: 1, latency: waits(1, 1)}, totals{start: 1, latency: waits(1, 2)}, "sched_latency.p50=1000 sched_latency.p99=1000"},
		"a bucket that was empty":           {totals{start: 1, latency: waits()}, totals{start: 1, latency: waits(0.001, 98, 0.002, 2)}, "sched_latency.p50=1 sched_latency.p99=2"},
		"exactly 99 of 100":                 {totals{start: 1, latency: waits()}, totals{start: 1, latency: waits(0.001, 99, 0.002, 1)}, "sched_latency.p50=1 sched_latency.p99=1"},
		"a bucket that is gone":             {totals{start: 1, latency: waits(1, 1)}, totals{start: 1, latency: waits(2, 2)}, ""},
		"a wait of a year":                  {totals{start: 1, latency: waits()}, totals{start: 1, latency: waits(0.001, 1, 31_536_000, 1)}, ""},
		"a nanosecond is not rounded away":  {totals{start: 1, latency: waits()}, totals{start: 1, latency: waits(4.096e-06, 1)}, "sched_latency.p50=0.004096 sched_latency.p99=0.004096"},
		"a count that went back":            {totals{start: 1, latency: waits(1, 3)}, totals{start: 1, latency: waits(1, 2, 2, 5)}, ""},
		"CPU time that went back":           {totals{start: 1, cpu: &cpu{2, 9}}, totals{start: 1, cpu: &cpu{1, 10}}, ""},
		"more than there is":                {totals{start: 1, cpu: &cpu{2, 9}}, totals{start: 1, cpu: &cpu{5, 10}}, ""},
		"a collector that did nothing else": {totals{start: 1, cpu: &cpu{2, 9}}, totals{start: 1, cpu: &cpu{3, 10}}, "gc_cpu.share=100"},
		"waits beyond all numbers":          {totals{start: 1, latency: waits()}, totals{start: 1, latency: waits(1, 1.7e308, 2, 1.7e308)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, v := range window(tt.older, tt.newer) {
				got = append(got, fmt.Sprintf("%s=%v", v.Name, v.Value))
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("window = %q, want %q", got, tt.want)
			}
		})
	}
}
