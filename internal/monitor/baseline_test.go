package monitor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// same returns n values that vary by little.
func same(n int, v, by float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = v + by*float64(i%3-1)
	}
	return values
}

func TestLearn(t *testing.T) {
	host := func(values ...[]float64) [][]float64 { return values }
	calm := host(same(40, 10, 1))
	busy := host(same(40, 60, 1))
	spiked := host(append(same(36, 10, 1), 80, 80, 80, 80))
	for name, tt := range map[string]struct {
		days [][][]float64
		want usual
	}{
		"nothing":                                 {nil, usual{}},
		"two days are not three":                  {[][][]float64{calm, calm}, usual{days: 2}},
		"a day of half its minutes is known":      {[][][]float64{calm, calm, host(same(20, 10, 1))}, usual{middle: 10, above: 2, below: 2, days: 3}},
		"a day of fewer is not":                   {[][][]float64{calm, calm, host(same(19, 10, 1)), host()}, usual{days: 2}},
		"hosts do not make a day of parts of one": {[][][]float64{calm, calm, host(same(19, 10, 1), same(19, 10, 1))}, usual{days: 2}},
		"a flat series has the least deviation":   {[][][]float64{host(same(40, 5, 0)), host(same(40, 5, 0)), host(same(40, 5, 0))}, usual{middle: 5, above: 2, below: 2, days: 3}},
		"one week in which all was wrong":         {[][][]float64{calm, calm, calm, busy}, usual{middle: 10, above: 2, below: 2, days: 4}},
		"what happens on one day of three":        {[][][]float64{calm, calm, spiked}, usual{middle: 10, above: 2, below: 2, days: 3}},
		"and on most of them":                     {[][][]float64{calm, spiked, spiked}, usual{middle: 10, above: 35, below: 2, days: 3}},
		"one of three hosts":                      {[][][]float64{host(calm[0], calm[0], busy[0]), host(calm[0], calm[0], busy[0]), host(calm[0], calm[0], busy[0])}, usual{middle: 11, above: 2 * likeNormal, below: 2 * likeNormal, days: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			copies := make([][][]float64, len(tt.days))
			for i, day := range tt.days {
				for _, h := range day {
					copies[i] = append(copies[i], slices.Clone(h))
				}
			}
			if got := learn(copies, 2, 0); got != tt.want {
				t.Errorf("learn = %+v, want %+v", got, tt.want)
			}
		})
	}
	if got := learn([][][]float64{busy, busy, busy}, 2, 0.1); got.above != 6 || got.below != 6 {
		t.Errorf("a tenth of 60 is a deviation of 6, not %v and %v", got.above, got.below)
	}
}

// Of values that are normal, a deviation is their standard deviation.
func TestADeviationIsThatOfNormalValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	days := make([][][]float64, 4)
	for i := range days {
		for range 10 {
			values := make([]float64, 40)
			for k := range values {
				values[k] = 50 + 7*random.NormFloat64()
			}
			days[i] = append(days[i], values)
		}
	}
	if u := learn(days, 2, 0); math.Abs(u.middle-50) > 1 || math.Abs(u.above-7) > 0.7 || math.Abs(u.below-7) > 0.7 {
		t.Errorf("of values around 50 with a standard deviation of 7, learn = %+v", u)
	}
}

func TestTrained(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(zone *time.Location, text string) int64 {
		when, err := time.ParseInLocation("2006-01-02 15:04", text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return when.Unix()
	}
	write := func(windows []stretch, zone *time.Location) string {
		var words []string
		for _, w := range windows {
			from, to := time.Unix(w.from, 0).In(zone), time.Unix(w.to, 0).In(zone)
			words = append(words, from.Format("0102 15:04")+"-"+to.Format("15:04"))
		}
		return strings.Join(words, " ")
	}
	for name, tt := range map[string]struct {
		zone          *time.Location
		slot, since   string
		weekly, daily string
	}{
		"a working day": {time.UTC, "2026-03-11 22:00", "2026-02-01 00:00", "0304 21:50-22:30 0225 21:50-22:30 0218 21:50-22:30 0211 21:50-22:30",
			"0310 21:50-22:30 0309 21:50-22:30 0306 21:50-22:30 0305 21:50-22:30 0304 21:50-22:30 0303 21:50-22:30 0302 21:50-22:30 0227 21:50-22:30 0226 21:50-22:30 0225 21:50-22:30 " +
				"0224 21:50-22:30 0223 21:50-22:30 0220 21:50-22:30 0219 21:50-22:30 0218 21:50-22:30 0217 21:50-22:30 0216 21:50-22:30 0213 21:50-22:30 0212 21:50-22:30 0211 21:50-22:30"},
		"a Sunday, learned from a time on":                         {time.UTC, "2026-03-15 00:00", "2026-02-27 23:50", "0307 23:50-00:30 0228 23:50-00:30", "0313 23:50-00:30 0307 23:50-00:30 0306 23:50-00:30 0228 23:50-00:30 0227 23:50-00:30"},
		"the day on which clocks are set forward has no such hour": {berlin, "2026-04-05 02:20", "2026-03-20 00:00", "0322 02:10-02:50", "0404 02:10-02:50 0328 02:10-02:50 0322 02:10-02:50 0321 02:10-02:50"},
		"it is the same hour by the clocks":                        {berlin, "2026-03-30 09:00", "2026-03-24 00:00", "", "0327 08:50-09:30 0326 08:50-09:30 0325 08:50-09:30 0324 08:50-09:30"},
	} {
		t.Run(name, func(t *testing.T) {
			weekly, daily := trained(at(tt.zone, tt.slot), at(tt.zone, tt.since), tt.zone)
			if got := write(weekly, tt.zone); got != tt.weekly {
				t.Errorf("the same days of weeks are\n%s, want\n%s", got, tt.weekly)
			}
			if got := write(daily, tt.zone); got != tt.daily {
				t.Errorf("the same kind of days are\n%s, want\n%s", got, tt.daily)
			}
		})
	}
}

// An hour asks for one stretch of a day, and for other days only when the same ones are too few.
func TestLearnHourReadsLittle(t *testing.T) {
	hour := time.Date(2026, 3, 11, 22, 0, 0, 0, time.UTC).Unix()
	for name, tt := range map[string]struct {
		known int64 // days back that there are samples
		want  int   // stretches
	}{
		"weeks are known": {28, 4}, "a week is known": {7, 20},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []stretch
			b, err := learnHour(hour, 0, time.UTC, "shop:web", func(of stretch) ([][][]saba.Sample, error) {
				if of.to-of.from != 3600+2*slotMargin {
					t.Errorf("it asks for %d s", of.to-of.from)
				}
				asked = append(asked, of)
				host := make([][]saba.Sample, len(quantities))
				for at := of.from; at < of.to && of.from >= hour-tt.known*86400-slotMargin; at += 60 {
					host[3] = append(host[3], saba.Sample{Time: at, Value: float64(at / slotLength % slotsPerHour)})
				}
				return [][][]saba.Sample{host}, nil
			})
			if err != nil || len(asked) != tt.want {
				t.Fatalf("it asked %d times, want %d; %v", len(asked), tt.want, err)
			}
			// Half of a slot's values are its own; the others are those of its neighbours.
			for slot, middle := range []float64{0.5, 1, 1.5} {
				u := b.at(hour+int64(slot)*slotLength+60, 3)
				if !u.known() || u.weekly != (tt.known == 28) || u.middle != middle {
					t.Errorf("slot %d: %+v", slot, u)
				}
				if b.at(hour, 0).known() {
					t.Error("a quantity without samples is known")
				}
			}
		})
	}
}

func TestOdd(t *testing.T) {
	const hour = int64(1_800_000_000 - 1_800_000_000%3600)
	flat := func(middle, deviation float64, of string) baselineAt {
		b := &baseline{hour: hour, of: of}
		for i := range b.usual {
			b.usual[i] = make([]usual, len(quantities))
			b.usual[i][0] = usual{middle: middle, above: deviation, below: deviation, days: 4, weekly: true}
		}
		return func(at int64) *baseline {
			if hourOf(at) != hour {
				return nil
			}
			return b
		}
	}
	role, self := flat(10, 2, "shop:web"), flat(20, 2, "this host")
	m := &saba.Monitor{WarningSensitivity: "normal", CriticalSensitivity: "insensitive", MaxCheckAttempts: 3}
	for name, tt := range map[string]struct {
		own    baselineAt
		values []float64 // one a minute; NaN is none
		want   string
	}{
		"usual":                               {nil, []float64{12}, "OK +1 shop:web"},
		"the limit is not beyond it":          {nil, []float64{22, 22, 22}, "OK +6 shop:web"},
		"beyond, once":                        {nil, []float64{10, 10, 23}, "WARNING +6.5 shop:web"},
		"beyond, as often as it must be":      {nil, []float64{23, 31, 23}, "WARNING +6.5 shop:web firm"},
		"critical":                            {nil, []float64{23, 23, 31}, "CRITICAL +10.5 shop:web firm"},
		"below":                               {nil, []float64{-20, -20, -20}, "CRITICAL -15 shop:web firm"},
		"one usual point":                     {nil, []float64{23, 23, 10, 23, 23}, "WARNING +6.5 shop:web"},
		"three minutes are missing":           {nil, []float64{23, 23, math.NaN(), math.NaN(), math.NaN(), 23}, "WARNING +6.5 shop:web firm"},
		"four are":                            {nil, []float64{23, 23, math.NaN(), math.NaN(), math.NaN(), math.NaN(), 23}, "WARNING +6.5 shop:web"},
		"usual for the host":                  {self, []float64{24, 24, 24}, "OK +2 this host"},
		"odd for both, and milder for itself": {self, []float64{35, 35, 35}, "WARNING +7.5 this host firm"},
		"usual for the role, not for itself":  {self, []float64{8, 8, 8}, "OK -1 shop:web"},
		"the host itself is not known":        {func(int64) *baseline { return nil }, []float64{23, 23, 23}, "WARNING +6.5 shop:web firm"},
	} {
		t.Run(name, func(t *testing.T) {
			var samples []saba.Sample
			for i, v := range tt.values {
				if !math.IsNaN(v) {
					samples = append(samples, saba.Sample{Time: hour + 600 + int64(i)*60, Value: v})
				}
			}
			o, ok := odd(m, 0, samples, role, tt.own)
			got := fmt.Sprintf("%s %+g %s", o.status, o.deviations, o.of)
			if o.firm {
				got += " firm"
			}
			if !ok || got != tt.want {
				t.Errorf("odd(%v) = %s, %v, want %s", tt.values, got, ok, tt.want)
			}
		})
	}
	if o, ok := odd(m, 1, []saba.Sample{{Time: hour, Value: 1e9}}, role, nil); ok {
		t.Errorf("a quantity of which nothing is known is judged: %+v", o)
	}
	if o, ok := odd(m, 0, []saba.Sample{{Time: hour - 60, Value: 99}, {Time: hour, Value: 99}, {Time: hour + 60, Value: 99}}, role, nil); !ok || o.firm {
		t.Errorf("a minute of which nothing is known counts as odd: %+v", o)
	}
}

func TestQuantityParts(t *testing.T) {
	names := []string{"disk.sda.reads.delta", "disk.sda.writes.delta", "disk.sdb.reads.delta", "disk.a.b.reads.delta", "interface.eth0.rxBytes.delta", "disk..reads.delta", "custom.disk.x.reads.delta", "loadavg5"}
	for i := range 100 {
		names = append(names, fmt.Sprintf("interface.veth%d.txBytes.delta", i))
	}
	parts := quantityParts(names)
	for i, want := range map[int]string{4: "disk.sda.reads.delta disk.sdb.reads.delta", 5: "disk.sda.writes.delta", 6: "interface.eth0.rxBytes.delta", 3: "memory.used memory.total"} {
		if got := strings.Join(parts[i].metrics, " "); got != want {
			t.Errorf("%s is made of %s, want %s", parts[i].label, got, want)
		}
	}
	if n := len(parts[7].metrics); n != maxDevices {
		t.Errorf("%d devices are added up, want %d", n, maxDevices)
	}
	if n := len(quantities[4].metrics); n != 0 {
		t.Errorf("the list of quantities has changed: %v", quantities[4].metrics)
	}
	minute := func(of ...float64) (samples [][]saba.Sample) {
		for _, v := range of {
			if math.IsNaN(v) {
				samples = append(samples, nil)
			} else {
				samples = append(samples, []saba.Sample{{Time: 60, Value: v}})
			}
		}
		return samples
	}
	for name, tt := range map[string]struct {
		part    int
		samples [][]saba.Sample
		want    []saba.Sample
	}{
		"of two cores one waits":               {1, minute(100, 60, 40), []saba.Sample{{Time: 60, Value: 50}}},
		"load of two cores":                    {2, minute(3, 60, 140), []saba.Sample{{Time: 60, Value: 1.5}}},
		"load without cores":                   {2, minute(3, math.NaN(), math.NaN()), []saba.Sample{}},
		"a disk that is gone adds nothing":     {4, minute(math.NaN(), 5, 7), []saba.Sample{{Time: 60, Value: 12}}},
		"no disk has a value: that is nothing": {4, minute(math.NaN(), math.NaN()), []saba.Sample{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := parts[tt.part]
			if got := p.series(tt.samples); !slices.Equal(got, tt.want) {
				t.Errorf("%s = %v, want %v", p.label, got, tt.want)
			}
		})
	}
}

func TestAmount(t *testing.T) {
	for _, tt := range []struct {
		v    float64
		unit saba.Unit
		want string
	}{
		{87, saba.UnitPercentage, "87 %"}, {12.34, saba.UnitPercentage, "12.3 %"}, {0.126, saba.UnitFloat, "0.13"}, {99.96, saba.UnitFloat, "100"}, {9.996, saba.UnitFloat, "10"}, {0, saba.UnitIOPS, "0/s"},
		{1234.5, saba.UnitIOPS, "1234/s"}, {1023, saba.UnitBytesPerSec, "1023 B/s"}, {1023.9, saba.UnitBytesPerSec, "1 KiB/s"}, {5 << 20, saba.UnitBytesPerSec, "5 MiB/s"}, {3 << 40, saba.UnitBytesPerSec, "3 TiB/s"}, {-2.5, saba.UnitFloat, "-2.5"},
	} {
		if got := amount(tt.v, tt.unit); got != tt.want {
			t.Errorf("amount(%v, %s) = %q, want %q", tt.v, tt.unit, got, tt.want)
		}
	}
}

func TestChosenHosts(t *testing.T) {
	var hosts []saba.Host
	for i := range 25 {
		hosts = append(hosts, saba.Host{ID: fmt.Sprintf("h%02d", i), CreatedAt: int64(i)})
	}
	hosts[2].RetiredAt = 100
	hosts[4].RetiredAt = 300
	ids := func(of stretch) string {
		var all []string
		for _, h := range chosen(hosts, of) {
			all = append(all, h.ID)
		}
		return strings.Join(all, " ")
	}
	for of, want := range map[stretch]string{
		{5, 200}:  "h00 h01 h03 h04 h05",
		{30, 350}: "h00 h03 h06 h08 h11 h13 h15 h18 h20 h22",
	} {
		if got := ids(of); got != want {
			t.Errorf("of %v are chosen %s, want %s", of, got, want)
		}
	}
}

// Whatever the values, what is learned is finite, deviations are above nothing, and the middle is no deviation away.
func FuzzLearn(f *testing.F) {
	f.Add(uint64(1), 1.0, 10.0)
	f.Add(uint64(7), -1e300, 1e300)
	f.Add(uint64(9), 0.0, 0.0)
	f.Fuzz(func(t *testing.T, seed uint64, low, high float64) {
		if math.IsNaN(low) || math.IsInf(low, 0) || math.IsNaN(high) || math.IsInf(high, 0) || math.Abs(low) > 1e300 || math.Abs(high) > 1e300 {
			return // samples are finite, and no quantity is near the largest numbers
		}
		random := rand.New(rand.NewPCG(seed, 1))
		days := make([][][]float64, 3+random.IntN(5))
		for i := range days {
			for range 1 + random.IntN(3) {
				values := make([]float64, 20+random.IntN(30))
				for k := range values {
					values[k] = low + (high-low)*random.Float64()
				}
				days[i] = append(days[i], values)
			}
		}
		u := learn(days, 2, 0.1)
		if !u.known() || math.IsNaN(u.middle) || !(u.above >= 2) || !(u.below >= 2) || u.deviations(u.middle) != 0 {
			t.Errorf("learn = %+v", u)
		}
	})
}
