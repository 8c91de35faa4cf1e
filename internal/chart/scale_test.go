package chart

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func TestTicks(t *testing.T) {
	for name, tt := range map[string]struct {
		min, max float64
		n        int
		unit     saba.Unit
		want     string
	}{
		"whole steps":                          {0, 10, 5, saba.UnitFloat, "0 2 4 6 8 10"},
		"quarters":                             {0, 1, 4, saba.UnitFloat, "0 0.25 0.5 0.75 1"},
		"ends need not be ticks":               {0.3, 0.95, 4, saba.UnitFloat, "0.4 0.6 0.8"},
		"below zero":                           {-4, 4, 4, saba.UnitFloat, "−4 −2 0 2 4"},
		"thousands are short":                  {0, 40000, 4, saba.UnitInteger, "0 10k 20k 30k 40k"},
		"integers have no halves":              {0, 3, 8, saba.UnitInteger, "0 1 2 3"},
		"nor quarters":                         {0, 10, 4, saba.UnitInteger, "0 5 10"},
		"bytes in powers of two":               {0, 8 << 30, 4, saba.UnitBytes, "0 B, 2 GiB, 4 GiB, 6 GiB, 8 GiB"},
		"bytes a second":                       {0, 3000, 4, saba.UnitBytesPerSec, "0 B/s, 1 KiB/s, 2 KiB/s"},
		"parts of a byte":                      {0, 1, 2, saba.UnitBytes, "0 B, 0.5 B, 1 B"},
		"bits in powers of ten":                {0, 2e6, 4, saba.UnitBitsPerSec, "0 bit/s, 500 kbit/s, 1 Mbit/s, 1.5 Mbit/s, 2 Mbit/s"},
		"percent":                              {0, 100, 5, saba.UnitPercentage, "0% 20% 40% 60% 80% 100%"},
		"minutes":                              {0, 90, 6, saba.UnitSeconds, "0 s, 15 s, 30 s, 45 s, 1m, 1m 15s, 1m 30s"},
		"hours":                                {0, 86400, 4, saba.UnitSeconds, "0 s, 6h, 12h, 18h, 1d"},
		"many days":                            {0, 40 * 86400, 4, saba.UnitSeconds, "0 s, 10d, 20d, 30d, 40d"},
		"a hundred days":                       {0, 400 * 86400, 4, saba.UnitSeconds, "0 s, 100d, 200d, 300d, 400d"},
		"milliseconds":                         {0, 2000, 4, saba.UnitMilliseconds, "0 s, 500 ms, 1 s, 1.5 s, 2 s"},
		"microseconds":                         {0, 8e-6, 4, saba.UnitSeconds, "0 s, 2 µs, 4 µs, 6 µs, 8 µs"},
		"more digits where neighbours need it": {1000000, 1000010, 2, saba.UnitFloat, "1M 1.000005M 1.00001M"},
		"more parts where neighbours need it":  {90000, 90060, 2, saba.UnitSeconds, "1d 1h, 1d 1h 30s, 1d 1h 1m"}, // 30 s steps
		"seconds alone where parts do not do":  {100, 101, 2, saba.UnitSeconds, "100 s, 100.5 s, 101 s"},
		"no range":                             {5, 5, 4, saba.UnitFloat, ""},
		"a range backwards":                    {5, 4, 4, saba.UnitFloat, ""},
		"not a number":                         {math.NaN(), 4, 4, saba.UnitFloat, ""},
		"no room":                              {0, 4, 0, saba.UnitFloat, ""},
	} {
		t.Run(name, func(t *testing.T) {
			sep := " "
			if strings.Contains(tt.want, ",") {
				sep = ", "
			}
			var got []string
			for _, tick := range Ticks(tt.min, tt.max, tt.n, tt.unit) {
				got = append(got, tick.Text)
			}
			if s := strings.Join(got, sep); s != tt.want {
				t.Errorf("Ticks(%v, %v, %d, %s) = %s, want %s", tt.min, tt.max, tt.n, tt.unit, s, tt.want)
			}
		})
	}
}

// Ticks stand within the range, in order, no more than asked for, and no two read the same.
func FuzzTicks(f *testing.F) {
	f.Add(0.0, 1.0, 5, uint8(0))
	f.Add(-math.MaxFloat64, math.MaxFloat64, 8, uint8(5))
	f.Add(1e15, 1e15+1, 3, uint8(3))
	f.Add(0.0, 5e-324, 3, uint8(4))
	f.Fuzz(func(t *testing.T, min, max float64, n int, unit uint8) {
		u := saba.Units[int(unit)%len(saba.Units)]
		n %= 20
		newAxis(math.Min(min, max), math.Max(min, max), 1+n*n, u, false)
		ticks := Ticks(min, max, n, u)
		if len(ticks) > n+2 && n > 0 {
			t.Errorf("%d ticks, asked for %d", len(ticks), n)
		}
		for i, tick := range ticks {
			slack := (max - min) / 1e3
			if math.IsNaN(tick.Value) || tick.Text == "" || tick.Value < min-slack || tick.Value > max+slack {
				t.Errorf("tick %+v is not in [%v, %v]", tick, min, max)
			}
			if i > 0 && (ticks[i-1].Value >= tick.Value || ticks[i-1].Text == tick.Text) {
				t.Errorf("tick %+v follows %+v", tick, ticks[i-1])
			}
		}
	})
}

func TestAxisEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		min, max float64
		unit     saba.Unit
		stacked  bool
		want     [2]float64
	}{
		"a full CPU ends at 100%":               {0, 100.02, saba.UnitPercentage, true, [2]float64{0, 100}},
		"zero is on the axis":                   {50, 90, saba.UnitFloat, false, [2]float64{0, 100}},
		"also from below":                       {-90, -50, saba.UnitFloat, false, [2]float64{-100, 0}},
		"numbers close together come near":      {36, 37, saba.UnitFloat, false, [2]float64{36, 37}},
		"bytes never do":                        {1000, 1023, saba.UnitBytes, false, [2]float64{0, 1024}},
		"nothing but zeros":                     {0, 0, saba.UnitInteger, false, [2]float64{0, 1}},
		"a constant":                            {7, 7, saba.UnitInteger, false, [2]float64{0, 8}},
		"half a step of room is not given away": {0, 4.1, saba.UnitFloat, false, [2]float64{0, 4.305}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAxis(tt.min, tt.max, 5, tt.unit, tt.stacked)
			if math.Abs(a.min-tt.want[0]) > 1e-9 || math.Abs(a.max-tt.want[1]) > 1e-9 {
				t.Errorf("axis of [%v, %v] is [%v, %v], want %v", tt.min, tt.max, a.min, a.max, tt.want)
			}
			if len(a.ticks) < 2 {
				t.Errorf("axis of [%v, %v] has ticks %v", tt.min, tt.max, a.ticks)
			}
		})
	}
}

func TestTimeTicks(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	kathmandu := time.FixedZone("+0545", 5*3600+45*60)
	at := func(loc *time.Location, y int, m time.Month, d, h, min int) int64 {
		return time.Date(y, m, d, h, min, 0, 0, loc).Unix()
	}
	utc := time.UTC
	for name, tt := range map[string]struct {
		from, to int64
		n        int
		loc      *time.Location
		want     string // major ones in brackets
	}{
		"half an hour":                         {at(utc, 2026, 1, 1, 11, 58), at(utc, 2026, 1, 1, 12, 28), 6, utc, "12:00 12:05 12:10 12:15 12:20 12:25"},
		"midnight says the day":                {at(utc, 2026, 1, 1, 22, 0), at(utc, 2026, 1, 2, 2, 0), 4, utc, "22:00 23:00 [2 Jan] 01:00 02:00"},
		"quarters of a zone":                   {at(kathmandu, 2026, 1, 1, 10, 0), at(kathmandu, 2026, 1, 1, 13, 0), 3, kathmandu, "10:00 11:00 12:00 13:00"},
		"days begin at midnight there":         {at(kathmandu, 2026, 1, 1, 12, 0), at(kathmandu, 2026, 1, 4, 12, 0), 3, kathmandu, "2 Jan 3 Jan 4 Jan"},
		"weeks begin on Monday":                {at(utc, 2026, 1, 1, 0, 0), at(utc, 2026, 1, 31, 0, 0), 5, utc, "5 Jan 12 Jan 19 Jan 26 Jan"},
		"months, and the year where it begins": {at(utc, 2025, 11, 15, 0, 0), at(utc, 2026, 3, 15, 0, 0), 5, utc, "Dec [2026] Feb Mar"},
		"quarters of a year":                   {at(utc, 2025, 2, 1, 0, 0), at(utc, 2026, 2, 1, 0, 0), 4, utc, "Apr Jul Oct [2026]"},
		"an hour that comes twice":             {at(newYork, 2025, 11, 2, 0, 30), at(newYork, 2025, 11, 2, 2, 0), 5, newYork, "00:30 01:00 01:30 01:00 01:30 02:00"},
		"an hour that is left out":             {at(newYork, 2025, 3, 9, 0, 0), at(newYork, 2025, 3, 9, 5, 0), 5, newYork, "[9 Mar] 01:00 03:00 04:00 05:00"},
		"decades":                              {0, at(utc, 2020, 1, 1, 0, 0), 3, utc, "[1980] [2000] [2020]"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, tick := range timeTicks(tt.from, tt.to, tt.n, tt.loc) {
				text := tick.text
				if tick.major {
					text = "[" + text + "]"
				}
				got = append(got, text)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("ticks %s, want %s", s, tt.want)
			}
		})
	}
}

// Every range that the console offers, and any other up to centuries, has a few marks in order.
func TestTimeTicksOfEveryRange(t *testing.T) {
	for _, zone := range []string{"UTC", "Asia/Tokyo", "America/St_Johns", "Australia/Lord_Howe", "Africa/Monrovia"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for span := int64(1800); span < 150*366*86400; span = span*5/4 + 60 {
			for _, n := range []int{2, 6, 12} {
				ticks := timeTicks(newYear-span/3, newYear-span/3+span, n, loc)
				if len(ticks) < 1 || len(ticks) > n+3 {
					t.Errorf("%s, %d s: %d ticks for %d", zone, span, len(ticks), n)
				}
				for i := 1; i < len(ticks); i++ {
					if ticks[i].time <= ticks[i-1].time {
						t.Errorf("%s, %d s: tick %v follows %v", zone, span, ticks[i], ticks[i-1])
					}
				}
			}
		}
	}
}

func TestSpan(t *testing.T) {
	for want, r := range map[string][2]int64{
		"1 Jan 2026, 11:00–12:00 UTC":                {noon - 3600, noon},
		"31 Dec 2025, 12:00 – 1 Jan 2026, 12:00 UTC": {noon - 86400, noon},
		"1 Jan, 12:00 – 4 Jan 2026, 12:00 UTC":       {noon, noon + 3*86400},
		"1 Jan 2026 – 1 Apr 2026 UTC":                {noon, noon + 90*86400},
	} {
		if got := span(r[0], r[1], time.UTC); got != want {
			t.Errorf("span(%v) = %q, want %q", r, got, want)
		}
	}
}

func ExampleTicks() {
	for _, t := range Ticks(0, 3<<20, 4, saba.UnitBytes) {
		fmt.Println(t.Text)
	}
	// Output:
	// 0 B
	// 1 MiB
	// 2 MiB
	// 3 MiB
}
