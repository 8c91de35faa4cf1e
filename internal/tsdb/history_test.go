package tsdb

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/saba-monitor/saba"
)

// Whatever comes between (compactions, kills, clean stops, in any order), every point is there as it was said last.
// SABA_HISTORIES has how many histories of some days are tried; each says its seed.
func TestNothingIsLostInAnyHistory(t *testing.T) {
	histories := 3
	if s := os.Getenv("SABA_HISTORIES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("SABA_HISTORIES is %q, want a number above 0", s)
		}
		histories = n
	}
	seeds := []uint64{17256715880449153779, 17071150072456141583} // these have found something
	for range histories {
		seeds = append(seeds, rand.Uint64())
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newHistory(t, seed).run(t, 60) })
	}
}

// A history is what happens to a folder of samples, and what must be in it.
type history struct {
	random *rand.Rand
	db     *DB
	now    int64
	said   map[string]map[int64]float64 // by series and minute
	log    []string                     // what has happened
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{random: rand.New(rand.NewPCG(seed, 0)), now: start, said: map[string]map[int64]float64{}}
	h.open(t, t.TempDir())
	return h
}

func (h *history) open(t *testing.T, dir string) {
	t.Helper()
	db, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatalf("%v; before: %q", err, h.log)
	}
	keepStill(db) // what is compacted when is the history's to say
	h.db = db
}

func (h *history) run(t *testing.T, steps int) {
	for range steps {
		h.step(t)
	}
	h.check(t)
	if err := h.db.Close(); err != nil {
		t.Error(err)
	}
}

func (h *history) step(t *testing.T) {
	switch n := h.random.IntN(12); {
	case n < 5:
		h.pass(t, 1+h.random.Int64N(50))
	case n < 6: // an outage of everybody
		h.now += h.random.Int64N(5 * 3600)
		h.log = append(h.log, "silence")
	case n < 8:
		h.late(t)
	case n < 10:
		h.log = append(h.log, "compact")
		compact(t, h.db)
	case n < 11:
		h.log = append(h.log, "kill")
		dir := copyOf(t, h.db)
		if err := h.db.Close(); err != nil {
			t.Fatal(err)
		}
		h.open(t, dir)
		h.check(t)
	default:
		h.log = append(h.log, "stop")
		dir := h.db.dir
		if err := h.db.Close(); err != nil {
			t.Fatal(err)
		}
		h.open(t, dir)
		h.check(t)
	}
}

// say puts points of a series.
func (h *history) say(t *testing.T, name string, minutes ...int64) {
	t.Helper()
	var points []saba.Point
	for _, at := range minutes {
		v := h.random.Float64()
		points = append(points, point(series(name), at, v))
		if h.said[name] == nil {
			h.said[name] = map[int64]float64{}
		}
		h.said[name][at] = v
	}
	put(t, h.db, h.now, points...)
}

// pass lets minutes go by, in which some series speak.
func (h *history) pass(t *testing.T, minutes int64) {
	h.log = append(h.log, fmt.Sprint("pass ", minutes))
	speak := []string{"steady"}
	for _, name := range []string{"often", "seldom", "another"} {
		if h.random.IntN(2) == 0 {
			speak = append(speak, name)
		}
	}
	for range minutes {
		h.now += 60
		for _, name := range speak {
			h.say(t, name, h.now-h.now%60)
		}
	}
	h.db.engine.moveFull()
}

// late lets a series say what it had not said of some hours, or says it anew.
func (h *history) late(t *testing.T) {
	names := []string{"steady", "often", "seldom", "late.a", "late.b"}
	name := names[h.random.IntN(len(names))]
	back := 60 * (1 + h.random.Int64N(20*60))
	from := max(h.now-back, start-20*3600)
	n := 1 + h.random.Int64N(80)
	h.log = append(h.log, fmt.Sprintf("late %d of %s from %d s ago", n, name, back))
	var minutes []int64
	for i := range n {
		if at := from + i*60; at <= h.now {
			minutes = append(minutes, at-at%60)
		}
	}
	for batch := range slices.Chunk(minutes, 1+h.random.IntN(40)) {
		h.say(t, name, batch...)
	}
}

// check compares everything that was said with what is there.
func (h *history) check(t *testing.T) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(h.said)) {
		got := map[int64]float64{}
		for _, s := range samples(t, h.db, series(name)) {
			got[saba.Minute(s.Time)] = s.Value
		}
		missing, wrong, strange := 0, 0, 0
		for at, v := range h.said[name] {
			if w, there := got[at]; !there {
				missing++
			} else if v != w {
				wrong++
			}
		}
		for at := range got {
			if _, there := h.said[name][at]; !there {
				strange++
			}
		}
		if missing+wrong+strange > 0 {
			t.Fatalf("%s: of %d minutes %d are missing, %d have another value, and %d were never said; before: %q", name, len(h.said[name]), missing, wrong, strange, h.log)
		}
	}
}
