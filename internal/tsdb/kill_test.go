package tsdb

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// childOfKills is set in the process that TestKillsWhileCompacting kills: the folder, the seed and the time.
const childOfKills = "SABA_CHILD_OF_KILLS"

// A process that takes points in and compacts at the same time is killed at random moments. Every point that it had answered for is there: hours of
// them pass in a second, so that most kills meet the engine making blocks, forgetting what is in them, or shortening its logs.
func TestKillsWhileCompacting(t *testing.T) {
	kills := 12
	if s := os.Getenv("SABA_CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("SABA_CRASH_ROUNDS is %q, want a number above 0", s)
		}
		kills = n
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, now := t.TempDir(), int64(start)
	k := killed{}
	for n := range kills {
		now = k.live(t, dir, random.Uint64(), now, time.Duration(random.IntN(1500))*time.Millisecond)
		db, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatalf("after %d kills: %v", n+1, err)
		}
		k.check(t, db)
		blocks := len(db.engine.db.Blocks())
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
		if n == kills-1 {
			t.Logf("%d points were answered for in %d hours, of which there are %d blocks", k.acked, (now-start)/3600, blocks)
			if k.acked == 0 || blocks == 0 {
				t.Error("the test shows nothing")
			}
		}
	}
}

// killed is what processes have said before they were killed: for each series and minute the values that may be there.
type killed struct {
	said  map[string]map[int64][]float64
	acked int
}

// live starts a process that continues at now, kills it after a while, and returns the time that it had come to.
func (k *killed) live(t *testing.T, dir string, seed uint64, now int64, life time.Duration) int64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildOfKills$", "-test.count=1")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s\n%d\n%d", childOfKills, dir, seed, now))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := (*time.Timer)(nil)
	if k.said == nil {
		k.said = map[string]map[int64][]float64{}
	}
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			break // the last line may be cut off
		}
		f := strings.Fields(line)
		if len(f) != 4 {
			if len(f) == 1 && f[0] == "open" {
				timer = time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
			}
			continue
		}
		at, err1 := strconv.ParseInt(f[2], 10, 64)
		v, err2 := strconv.ParseFloat(f[3], 64)
		if err1 != nil || err2 != nil {
			continue
		}
		if k.said[f[1]] == nil {
			k.said[f[1]] = map[int64][]float64{}
		}
		of := k.said[f[1]]
		switch f[0] {
		case "try": // from now on that may be there as well
			if len(of[at]) == 0 {
				of[at] = append(of[at], -1) // or nothing
			}
			of[at] = append(of[at], v)
		case "ack":
			of[at] = []float64{v}
			k.acked++
		}
		now = max(now, at)
	}
	err = cmd.Wait()
	if timer == nil || timer.Stop() {
		t.Fatalf("the process ended before it was killed: %v: %s", err, &stderr)
	}
	return now
}

func (k *killed) check(t *testing.T, db *DB) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(k.said)) {
		got := map[int64]float64{}
		for _, s := range samples(t, db, series(name)) {
			got[s.Time] = s.Value
		}
		wrong, strange, example := 0, 0, ""
		for at, may := range k.said[name] {
			v, there := got[at]
			if !there {
				v = -1
			}
			if !slices.Contains(may, v) {
				wrong++
				example = fmt.Sprintf("of minute %d there is %v, and not one of %v", (at-start)/60, v, may)
			}
		}
		for at := range got {
			if len(k.said[name][at]) == 0 {
				strange++
			}
		}
		if wrong+strange > 0 {
			t.Errorf("%s: %d of %d minutes are missing or wrong (-1), and %d were never said; %s", name, wrong, len(k.said[name]), strange, example)
		}
	}
}

// TestChildOfKills is the process that TestKillsWhileCompacting kills. By itself it does nothing.
func TestChildOfKills(t *testing.T) {
	args := strings.Split(os.Getenv(childOfKills), "\n")
	if len(args) != 3 {
		return
	}
	seed, err1 := strconv.ParseUint(args[1], 10, 64)
	now, err2 := strconv.ParseInt(args[2], 10, 64)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	db, err := Open(t.Context(), Options{Dir: args[0]})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("open")
	say := func(points ...saba.Point) {
		words := func(word string) {
			var b bytes.Buffer
			for _, p := range points {
				fmt.Fprintln(&b, word, p.Name, p.Time, p.Value)
			}
			_, _ = os.Stdout.Write(b.Bytes())
		}
		words("try")
		put(t, db, now, points...)
		words("ack")
	}
	compacted := make(chan error, 1)
	compacted <- nil
	for { // until it is killed
		for range 1 + random.IntN(40) {
			now += 60
			at := now - now%60
			points := []saba.Point{point(series("steady"), at, random.Float64())}
			for _, name := range []string{"often", "seldom"} {
				if random.IntN(3) > 0 {
					points = append(points, point(series(name), at, random.Float64()))
				}
			}
			say(points...)
		}
		name := []string{"steady", "often", "late.a", "late.b"}[random.IntN(4)]
		from, points := now-random.Int64N(8*3600), []saba.Point{}
		for i := range 1 + random.Int64N(60) {
			if at := from - from%60 + i*60; at >= start && at <= now {
				points = append(points, point(series(name), at, random.Float64()))
			}
		}
		for some := range slices.Chunk(points, 1+random.IntN(30)) {
			say(some...)
		}
		db.engine.moveFull()
		if may, err := db.engine.mayCompact(); err != nil {
			t.Fatal(err)
		} else if !may {
			continue
		}
		select {
		case err := <-compacted:
			if err != nil {
				t.Fatal(err)
			}
			go func() { compacted <- db.engine.db.Compact(t.Context()) }() // beside the points that come, as in a server
		default:
		}
	}
}
