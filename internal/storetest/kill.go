package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// TestKill lets a child process append, kills it with SIGKILL at a random moment, and wants every
// point that the child was told to be stored; several times, each on what the last one left.
//
// child returns the command of a process that opens the engine on dir and calls AppendForever
// with its standard output and the given first minute.
func TestKill(t *testing.T, open func(t *testing.T, dir string) Samples, child func(dir string, first int64) *exec.Cmd) {
	dir := t.TempDir()
	stored := ledger{acked: map[slot]float64{}, tried: map[slot][]float64{}}
	for round := range 5 {
		// Far enough behind the last round that its late points, 5 hours old, are apart.
		cmd := child(dir, start/60+int64(round)*2000)
		acks := stored.runAndKill(t, cmd, time.Duration(rand.IntN(700))*time.Millisecond)
		s := open(t, dir)
		checked := stored.check(t, s)
		if err := s.Close(); err != nil {
			t.Fatalf("Close() = %v", err)
		}
		t.Logf("round %d: killed after %d acknowledged batches; %d minutes checked", round, acks, checked)
	}
}

// A slot is one minute of one series.
type slot struct {
	saba.Series
	minute int64
}

// A ledger knows what a child was told to be stored, and what it had sent.
type ledger struct {
	acked map[slot]float64
	tried map[slot][]float64 // values that may have been stored instead: no answer came
}

// A line is what a child prints before and after each batch.
type line struct {
	Worker int
	Try    []saba.Point // nil: the last batch of the worker is stored
}

// runAndKill starts the child, kills it some time after its first acknowledgement, and notes what it said.
func (l *ledger) runAndKill(t *testing.T, cmd *exec.Cmd, after time.Duration) (acks int) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	open := map[int][]saba.Point{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var said line
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			break // cut off by the kill
		}
		if said.Try != nil {
			open[said.Worker] = said.Try
			continue
		}
		for _, p := range open[said.Worker] {
			l.acked[slot{p.Series, saba.Minute(p.Time)}] = p.Value
		}
		delete(open, said.Worker)
		if acks++; kill == nil {
			kill = time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	if kill == nil || kill.Stop() {
		t.Fatalf("the child ended by itself: %v\n%s", err, stderr.String())
	}
	for _, points := range open {
		for _, p := range points {
			k := slot{p.Series, saba.Minute(p.Time)}
			l.tried[k] = append(l.tried[k], p.Value)
		}
	}
	return acks
}

// check wants every acknowledged minute, and returns their number.
func (l *ledger) check(t *testing.T, s Samples) int {
	t.Helper()
	var series []saba.Series
	seen := map[saba.Series]bool{}
	for k := range l.acked {
		if !seen[k.Series] {
			seen[k.Series] = true
			series = append(series, k.Series)
		}
	}
	got, err := s.Range(t.Context(), series, 0, math.MaxInt64)
	if err != nil {
		t.Fatalf("Range() = %v", err)
	}
	have := map[slot]float64{}
	for i, samples := range got {
		for _, sample := range samples {
			have[slot{series[i], sample.Time}] = sample.Value
		}
	}
	wrong := 0
	for k, want := range l.acked {
		v, ok := have[k]
		fine := ok && v == want
		for _, other := range l.tried[k] {
			fine = fine || ok && v == other
		}
		if !fine {
			if wrong++; wrong <= 10 {
				t.Errorf("%v of %v at %d = %v, %v; %v was acknowledged", k.Name, k.Host, k.minute, v, ok, want)
			}
		}
	}
	if wrong > 10 {
		t.Errorf("%d minutes are wrong in all", wrong)
	}
	return len(l.acked)
}

// AppendForever appends from several goroutines until the process is killed or an append fails,
// and prints what TestKill reads. It passes through minutes as fast as the engine takes them, so that
// an engine with blocks makes blocks meanwhile. Its points are present, late, and rewrites of both.
func AppendForever(ctx context.Context, s Samples, w io.Writer, first int64) error {
	var (
		mu    sync.Mutex
		clock atomic.Int64
		wg    sync.WaitGroup
		errs  = make(chan error, 4)
	)
	clock.Store(first)
	say := func(l line) error {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		_, err = w.Write(append(b, '\n'))
		return err
	}
	for worker := range cap(errs) {
		wg.Go(func() {
			last := int64(0)
			for {
				minute := clock.Add(1)
				var points []saba.Point
				put := func(name string, minute int64) {
					points = append(points, saba.Point{
						Series: saba.Series{Org: "o", Host: fmt.Sprint("h", worker), Name: name},
						Sample: saba.Sample{Time: minute * 60, Value: rand.Float64()},
					})
				}
				for i := range 5 {
					put(fmt.Sprint("present", i), minute)
				}
				if last != 0 && rand.IntN(2) == 0 {
					put("present0", last) // a rewrite of an older minute
					put("late", last-5*60)
				}
				if rand.IntN(3) == 0 {
					put("present1", minute) // a rewrite within the batch
				}
				put("late", minute-5*60)
				last = minute
				if err := say(line{Worker: worker, Try: points}); err != nil {
					errs <- err
					return
				}
				drops, err := s.Append(ctx, time.Unix(minute*60, 0), points)
				if err == nil && drops.Total() > 0 {
					err = fmt.Errorf("append dropped %v", drops)
				}
				if err == nil {
					err = say(line{Worker: worker})
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	return <-errs
}
