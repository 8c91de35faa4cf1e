package tsdb

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// What of the last hours is in the logs alone stays there until it is in a block, whatever late points come between.
func TestCompactedLatePointsCutNothingOffTheLog(t *testing.T) {
	const now = start + 6*3600 + 45*60
	db := openFor(t, Options{Dir: t.TempDir()})
	keepStill(db)
	var acked []saba.Point
	send := func(name string, minute int64) {
		p := point(series(name), start+minute*60, float64(minute))
		put(t, db, now, p)
		acked = append(acked, p)
	}
	for minute := int64(0); minute <= 6*60+44; minute++ {
		send("steady", minute)
	}
	for i := range int64(10) {
		send("late", 4*60+10-i) // in the hours that a block of six hours ends with, and are not compacted yet
		send("late", 6*60+20-i)
	}
	for round := range 3 {
		if err := db.engine.db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			wantPoints(t, db, acked)
			wantPoints(t, openFor(t, Options{Dir: copyOf(t, db)}), acked)
		})
		for minute := range int64(120) {
			m := 6*60 + 45 + 120*int64(round) + minute
			p := point(series("steady"), start+m*60, float64(m))
			put(t, db, start+m*60, p)
			acked = append(acked, p)
		}
	}
	for _, b := range db.engine.db.Blocks() {
		if m := b.Meta(); m.MinTime <= start*1000 && m.MaxTime < start*1000+3*blockSpan.Milliseconds() {
			t.Errorf("the first hours are still apart: a block ends at %d", m.MaxTime/1000-start)
		}
	}
}

// What is short in memory is long in blocks, and nothing gets lost when it is joined.
func TestShortChunksAreJoined(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	keepStill(db)
	random := rand.New(rand.NewPCG(1, 2))
	var acked []saba.Point
	var hour []saba.Point
	for minute := range int64(17 * 60) {
		for name, v := range map[string]float64{"stays": 7, "counts": float64(3 * minute), "wanders": random.NormFloat64()} {
			if name == "stays" && minute%100 > 90 {
				continue // a gap
			}
			hour = append(hour, point(series(name), start+minute*60, v))
		}
		if minute%60 == 59 {
			put(t, db, start+minute*60, hour...)
			acked, hour = append(acked, hour...), nil
		}
	}
	for range 3 {
		if err := db.engine.db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	joined := 0
	for _, b := range db.engine.db.Blocks() {
		m := b.Meta()
		if m.Compaction.Level == 1 {
			continue
		}
		joined++
		if each := m.Stats.NumSamples / m.Stats.NumChunks; each < 60 {
			t.Errorf("a block of %v has %d samples in a chunk, want 60 and more", time.Duration(m.MaxTime-m.MinTime)*time.Millisecond, each)
		}
	}
	if joined == 0 {
		t.Fatal("no block was made of several")
	}
	wantPoints(t, db, acked)
	wantPoints(t, openFor(t, Options{Dir: copyOf(t, db)}), acked)
}
