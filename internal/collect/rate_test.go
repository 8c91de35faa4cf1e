package collect

import (
	"errors"
	"math"
	"testing"
	"testing/fstest"
	"time"
)

func bootFS(id string) fstest.MapFS {
	return fstest.MapFS{"sys/kernel/random/boot_id": {Data: []byte(id + "\n")}}
}

func TestRate(t *testing.T) {
	for name, tt := range map[string]struct {
		prev, now uint64
		elapsed   time.Duration
		want      float64
		ok        bool
	}{
		"the measured time divides":        {100, 400, 30 * time.Second, 10, true},
		"standing still is zero":           {7, 7, time.Minute, 0, true},
		"a decrease is a reset":            {400, 100, time.Minute, 0, false},
		"from the top back to 0 likewise":  {math.MaxUint64, 0, time.Minute, 0, false},
		"high counters lose no precision":  {math.MaxUint64 - 60, math.MaxUint64, time.Minute, 1, true},
		"faster than any device is no one": {5, math.MaxUint64 - 5, time.Minute, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := rate(tt.prev, tt.now, tt.elapsed, 1e9)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("rate(%d, %d, %v) = %v, %v; want %v, %v", tt.prev, tt.now, tt.elapsed, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestBaseline(t *testing.T) {
	type reading struct {
		at      time.Duration
		boot    string
		value   int
		ok      bool
		prev    int
		elapsed time.Duration
	}
	const s = time.Second
	for name, readings := range map[string][]reading{
		"the first reading makes no rate": {{at: 100 * s, boot: "a", value: 1}},
		"the second does": {
			{at: 100 * s, boot: "a", value: 1}, {at: 160 * s, boot: "a", value: 2, ok: true, prev: 1, elapsed: 60 * s}},
		"too short an interval keeps the older base": {
			{at: 100 * s, boot: "a", value: 1}, {at: 100*s + 499*time.Millisecond, boot: "a", value: 2},
			{at: 101 * s, boot: "a", value: 3, ok: true, prev: 1, elapsed: s}},
		"half a second is enough": {
			{at: 100 * s, boot: "a", value: 1}, {at: 100*s + 500*time.Millisecond, boot: "a", value: 2, ok: true, prev: 1, elapsed: 500 * time.Millisecond}},
		"ten minutes are not too long": {
			{at: 100 * s, boot: "a", value: 1}, {at: 700 * s, boot: "a", value: 2, ok: true, prev: 1, elapsed: 600 * s}},
		"a longer gap begins anew": {
			{at: 100 * s, boot: "a", value: 1}, {at: 701 * s, boot: "a", value: 2},
			{at: 761 * s, boot: "a", value: 3, ok: true, prev: 2, elapsed: 60 * s}},
		"another boot begins anew": {
			{at: 100 * s, boot: "a", value: 1}, {at: 160 * s, boot: "b", value: 2},
			{at: 220 * s, boot: "b", value: 3, ok: true, prev: 2, elapsed: 60 * s}},
		"a clock that went back begins anew": {
			{at: 100 * s, boot: "a", value: 1}, {at: 40 * s, boot: "a", value: 2},
			{at: 100 * s, boot: "a", value: 3, ok: true, prev: 2, elapsed: 60 * s}},
	} {
		t.Run(name, func(t *testing.T) {
			var b baseline[int]
			for i, r := range readings {
				clock := &fakeClock{now: r.at}
				prev, elapsed, ok, err := b.next(r.value, &Watch{Clock: clock.read, Proc: bootFS(r.boot)})
				if err != nil || ok != r.ok || ok && (prev != r.prev || elapsed != r.elapsed) {
					t.Errorf("reading %d: %v, %v, %v, %v; want %v, %v, %v", i, prev, elapsed, ok, err, r.prev, r.elapsed, r.ok)
				}
			}
		})
	}
}

// A clock that failed once must not leave a base whose time is unknown.
func TestBaselineWithoutAClock(t *testing.T) {
	var b baseline[int]
	good := &fakeClock{now: time.Hour}
	bad := func() (time.Duration, error) { return 0, errBoom }
	if _, _, _, err := b.next(1, &Watch{Clock: good.read, Proc: bootFS("a")}); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := b.next(2, &Watch{Clock: bad, Proc: bootFS("a")}); ok || !errors.Is(err, errBoom) {
		t.Errorf("next with a broken clock: %v, %v; want its error", ok, err)
	}
	good.now += time.Minute
	if _, _, ok, err := b.next(3, &Watch{Clock: good.read, Proc: bootFS("a")}); ok || err != nil {
		t.Errorf("next after a broken clock: %v, %v; want no rate, no error", ok, err)
	}
}

// Collectors that share a Watch read the id of the boot once a turn, and know of a new one in
// the next.
func TestWatchReadsTheBootOnceATurn(t *testing.T) {
	files := bootFS("a")
	proc := &countingFS{files, map[string]int{}}
	clock := &fakeClock{now: time.Hour}
	w := &Watch{Clock: clock.read, Proc: proc}
	for _, tt := range []struct {
		after time.Duration
		boot  string
		reads int
	}{
		{0, "a", 1}, {time.Millisecond, "a", 1}, {5 * time.Second, "a", 1}, {55 * time.Second, "b", 2}, {0, "b", 2},
		{-30 * time.Second, "b", 3}, // another kernel's clock
	} {
		clock.now += tt.after
		if tt.after == 55*time.Second {
			files["sys/kernel/random/boot_id"] = bootFS("b")["sys/kernel/random/boot_id"]
		}
		m, err := w.now()
		if reads := proc.opened["sys/kernel/random/boot_id"]; err != nil || m.at != clock.now || m.boot != tt.boot || reads != tt.reads {
			t.Errorf("at %v: %+v, %v, read %d times; want boot %s, %d times", clock.now, m, err, reads, tt.boot, tt.reads)
		}
	}
}
