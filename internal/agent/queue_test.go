package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func anyHost(string) bool { return true }

// fill returns a queue with one batch of n readings a minute for each of minutes.
func fill(most, n int, now time.Time, minutes ...int64) *memoryQueue {
	q := newMemoryQueue(most, func() time.Time { return now })
	for _, m := range minutes {
		b := batch{Minute: m}
		for i := range n {
			b.Readings = append(b.Readings, reading{fmt.Sprintf("m%d", i), saba.Sample{Time: m, Value: 1}})
		}
		q.add(b)
	}
	return q
}

func TestQueue(t *testing.T) {
	now := time.Unix(100_000, 0)
	for name, tt := range map[string]struct {
		q       *memoryQueue
		most    int
		want    []int64 // minutes of what next returns
		waiting int
		dropped int
	}{
		"nothing":                              {fill(100, 1, now), 10, nil, 0, 0},
		"an empty batch is none":               {fill(100, 0, now, 99_960), 10, nil, 0, 0},
		"the oldest first, as much as may be":  {fill(100, 4, now, 99_960, 99_840, 99_900), 10, []int64{99_840, 99_900}, 12, 0},
		"one at least":                         {fill(100, 4, now, 99_960, 99_840), 1, []int64{99_840}, 8, 0},
		"a full queue gives up the oldest":     {fill(10, 4, now, 99_840, 99_900, 99_960), 100, []int64{99_900, 99_960}, 8, 4},
		"but never its only batch":             {fill(10, 40, now, 99_960), 100, []int64{99_960}, 40, 0},
		"what is a day old is given up":        {fill(100, 4, now, 100_000-86_401, 100_000-86_400, 99_960), 100, []int64{13_600, 99_960}, 8, 4},
		"a late batch goes before newer ones":  {fill(100, 1, now, 99_900, 99_960, 99_900), 2, []int64{99_900, 99_900}, 3, 0},
		"what is from the future stays, ahead": {fill(100, 1, now, 200_040, 99_960), 100, []int64{99_960, 200_040}, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int64
			batches := tt.q.next(tt.most, anyHost)
			for _, b := range batches {
				got = append(got, b.Minute)
			}
			equal(t, "minutes", got, tt.want)
			if w, d := tt.q.waiting(), tt.q.dropped(); w != tt.waiting || d != tt.dropped {
				t.Errorf("waiting %d, dropped %d, want %d, %d", w, d, tt.waiting, tt.dropped)
			}
			tt.q.done(batches)
			if got, want := tt.q.waiting(), tt.waiting-count(batches); got != want {
				t.Errorf("waiting after done = %d, want %d", got, want)
			}
			tt.q.done(batches)
			if got, want := tt.q.waiting(), tt.waiting-count(batches); got != want {
				t.Errorf("waiting after done twice = %d, want %d", got, want)
			}
		})
	}
}

func count(batches []batch) int {
	n := 0
	for _, b := range batches {
		n += len(b.Readings)
	}
	return n
}

func TestQueueLeavesOutHostsThatAreNotReady(t *testing.T) {
	q := fill(100, 1, time.Unix(100_000, 0), 99_900)
	q.add(batch{Minute: 99_840, Identifier: "db", Readings: []reading{{Name: "a"}}})
	own := func(identifier string) bool { return identifier == "" }
	if got := q.next(10, own); len(got) != 1 || got[0].Minute != 99_900 {
		t.Errorf("next = %+v, want the own host's batch", got)
	}
	if got := q.newest(func(identifier string) bool { return identifier == "db" }); len(got) != 1 || got[0].Identifier != "db" {
		t.Errorf("newest = %+v, want the other's", got)
	}
}

// A day of a usual host in the queue, the longest that a server may be away.
func BenchmarkQueueOfADay(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		q := newMemoryQueue(maxQueued, time.Now)
		first := saba.Minute(time.Now().Unix()) - 1440*60
		for m := range int64(1440) {
			bt := batch{Minute: first + 60*m}
			for i := range 100 {
				bt.Readings = append(bt.Readings, reading{strings.Repeat("x", 30) + fmt.Sprint(i), saba.Sample{Time: bt.Minute}})
			}
			q.add(bt)
		}
	}
}
