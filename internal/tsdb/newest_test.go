package tsdb

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// Numbers in any order and with any gaps are found, before and after some are forgotten.
func TestSeriesOfAnOwnerAreFound(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 7, 150, 5000} {
		rnd := rand.New(rand.NewPCG(1, uint64(size)))
		var o owned
		want := map[uint32]int64{}
		for len(want) < size {
			name := rnd.Uint32N(uint32(4 * size))
			if rnd.IntN(2) == 0 {
				name <<= 17 // numbers that end alike
			}
			if _, ok := want[name]; ok {
				continue
			}
			want[name] = int64(len(want))
			o.series[o.add(name)].at = want[name]
		}
		check := func() {
			t.Helper()
			for name, at := range want {
				if i := o.find(name); i < 0 || o.series[i].at != at {
					t.Fatalf("of %d series number %d is at %d, want the one of %d", size, name, i, at)
				}
			}
			for range 100 {
				name := rnd.Uint32()
				if _, ok := want[name]; !ok && o.find(name) >= 0 {
					t.Fatalf("of %d series number %d was found, which is none of them", size, name)
				}
			}
			if len(o.series) != len(want) {
				t.Fatalf("%d series, want %d", len(o.series), len(want))
			}
		}
		check()
		o.series = slices.DeleteFunc(o.series, func(e entry) bool {
			if e.at%3 == 0 {
				delete(want, e.name)
			}
			return e.at%3 == 0
		})
		o.fit()
		o.number()
		check()
		if cap(o.series) > len(o.series)+len(o.series)/4 {
			t.Errorf("there is room for %d series, want it for %d", cap(o.series), len(o.series))
		}
	}
}

// A batch may have its metrics in another order than the one before, and those of several hosts in turn.
func TestTheOrderOfABatchDoesNotMatter(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	var all []saba.Series
	for m := range 20 {
		for _, host := range []string{"h1", "h2"} {
			all = append(all, saba.Series{Org: "o", Host: host, Name: "m" + strconv.Itoa(m)})
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	check := func(minute int) {
		t.Helper()
		for _, s := range all {
			m, err := strconv.Atoi(s.Name[1:])
			if err != nil {
				t.Fatal(err)
			}
			want := float64(1000*minute + 10*m + int(s.Host[1]-'0'))
			if got, ok := db.Latest(s); !ok || got.Value != want {
				t.Fatalf("minute %d: Latest(%v) = %v, %t; want %v", minute, s, got, ok, want)
			}
		}
	}
	for minute := range 10 {
		at := int64(start + 60*minute)
		var points []saba.Point
		for _, s := range all {
			m, err := strconv.Atoi(s.Name[1:])
			if err != nil {
				t.Fatal(err)
			}
			points = append(points, point(s, at, float64(1000*minute+10*m+int(s.Host[1]-'0'))))
		}
		put(t, db, at, points...)
		check(minute)
		if minute == 5 { // names get new numbers
			db.newest.prune(time.Unix(at, 0), DefaultRetention)
			check(minute)
		}
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if minute == 7 {
			slices.SortStableFunc(all, func(a, b saba.Series) int { return int(a.Host[1]) - int(b.Host[1]) })
		}
	}
}
