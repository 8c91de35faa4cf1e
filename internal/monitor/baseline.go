package monitor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// What is usual, as docs/monitors.md has it under "Anomalies": pure functions of samples, a zone and a time. anomaly.go reads the samples.

const (
	slotLength   = 20 * 60 // seconds of the week that have one usual value
	slotMargin   = 10 * 60 // seconds on both sides of a slot that count as well
	slotsPerHour = 3600 / slotLength
	trainedWeeks = 4 // are looked back
	leastDays    = 3 // are known before anything is judged
	leastMinutes = (slotLength + 2*slotMargin) / saba.Resolution / 2
	likeNormal   = 1.4826 // makes of a median absolute deviation the standard deviation of normal values
	usualPeak    = 2      // deviations, at most, is what the usual day reaches
	oddGap       = 3      // minutes may be missing among odd ones in a row
)

// deviations says how far from usual a sensitivity allows a value to be.
var deviations = map[string]float64{"sensitive": 4, "normal": 6, "insensitive": 10}

// A quantity is one thing of a host that monitors of anomalies judge.
type quantity struct {
	part
	devices [2]string // what the names of its metrics begin and end with, of one that is a sum over devices
	unit    saba.Unit
	least   float64 // a deviation is no less than that, in the quantity's unit,
	share   float64 // nor than this share of the median
}

// quantities are judged by every monitor of anomalies: what every agent sends, and the load of any program shows in.
var quantities = []quantity{
	{part: part{label: "cpu%", metrics: cpuStates, combine: busy}, unit: saba.UnitPercentage, least: 2},
	{part: part{label: "iowait%", metrics: cpuStatesAfter("cpu.iowait.percentage"), combine: firstOfAll}, unit: saba.UnitPercentage, least: 2},
	{part: part{label: "loadavg5 per core", metrics: append([]string{"loadavg5"}, cpuStates...), combine: perCore}, unit: saba.UnitFloat, least: 0.1, share: 0.1},
	{part: part{label: "memory%", metrics: []string{"memory.used", "memory.total"}, combine: share}, unit: saba.UnitPercentage, least: 1},
	{part: part{label: "disk reads", add: true}, devices: [2]string{"disk.", ".reads.delta"}, unit: saba.UnitIOPS, least: 20, share: 0.1},
	{part: part{label: "disk writes", add: true}, devices: [2]string{"disk.", ".writes.delta"}, unit: saba.UnitIOPS, least: 20, share: 0.1},
	{part: part{label: "network received", add: true}, devices: [2]string{"interface.", ".rxBytes.delta"}, unit: saba.UnitBytesPerSec, least: 100 << 10, share: 0.1},
	{part: part{label: "network sent", add: true}, devices: [2]string{"interface.", ".txBytes.delta"}, unit: saba.UnitBytesPerSec, least: 100 << 10, share: 0.1},
}

func cpuStatesAfter(first string) []string {
	return append([]string{first}, slices.DeleteFunc(slices.Clone(cpuStates), func(s string) bool { return s == first })...)
}

// firstOfAll returns the first value as a percentage of the sum of all.
func firstOfAll(v []float64) (float64, bool) {
	all := sum(v)
	return 100 * v[0] / all, all > 0
}

// perCore divides the first value by how many cores the percentages behind it add up to.
func perCore(v []float64) (float64, bool) {
	cores := sum(v[1:]) / 100
	return v[0] / cores, cores > 0
}

// maxDevices is how many devices of a host a sum has at most: the first by name.
const maxDevices = 64

// quantityParts returns what each of quantities is made of on a host with metrics of the given names. One without metrics is not there.
func quantityParts(names []string) []part {
	parts := make([]part, len(quantities))
	for i, q := range quantities {
		parts[i] = q.part
		if !q.add {
			continue
		}
		for _, n := range names {
			device, ok := strings.CutPrefix(n, q.devices[0])
			if device, ok = cutEnd(device, q.devices[1], ok); ok && device != "" && !strings.Contains(device, ".") && len(parts[i].metrics) < maxDevices {
				parts[i].metrics = append(parts[i].metrics, n)
			}
		}
	}
	return parts
}

// A usual is what is usual of one quantity in one slot. The zero value is of one that is not known.
type usual struct {
	middle       float64
	above, below float64 // how much one deviation is
	days         int     // that are known; fewer than leastDays are not enough
	weekly       bool    // they are the same day of several weeks, not days of the same kind
}

func (u usual) known() bool { return u.days >= leastDays }

// deviations returns how many deviations a value is above (or, negative, below) the middle.
func (u usual) deviations(v float64) float64 {
	if v < u.middle {
		return (v - u.middle) / u.below
	}
	return (v - u.middle) / u.above
}

// learn returns what is usual by the values of some days: those of each day by host, in no order; learn sorts them. A host that has fewer than
// leastMinutes values of a day does not count for it, and a day for which none counts is not known. With fewer than leastDays known days, only
// their count is returned.
func learn(days [][][]float64, least, share float64) usual {
	var all, peaks, troughs []float64
	n := 0
	for _, hosts := range days {
		known := false
		for _, values := range hosts {
			if len(values) < leastMinutes {
				continue
			}
			known = true
			all = append(all, values...)
			peaks, troughs = append(peaks, percentile(values, 95)), append(troughs, percentile(values, 5))
		}
		if known {
			n++
		}
	}
	u := usual{days: n}
	if !u.known() {
		return u
	}
	u.middle = percentile(all, 50)
	for i, v := range all {
		all[i] = math.Abs(v - u.middle)
	}
	least = math.Max(math.Max(least, share*math.Abs(u.middle)), likeNormal*percentile(all, 50))
	u.above = math.Max(least, (percentile(peaks, 50)-u.middle)/usualPeak)
	u.below = math.Max(least, (u.middle-percentile(troughs, 50))/usualPeak)
	return u
}

// A stretch is a time from one second to another, without that: [from, to).
type stretch struct{ from, to int64 }

// trained returns when the samples were that count for the slot that begins at a time: on the same day of the week, and on all days of
// its kind, the newest first. Days that have no such time of the day, and what begins before since, are left out.
func trained(slot, since int64, zone *time.Location) (weekly, daily []stretch) {
	now := time.Unix(slot, 0).In(zone)
	for back := 1; back <= 7*trainedWeeks; back++ {
		at := time.Date(now.Year(), now.Month(), now.Day()-back, now.Hour(), now.Minute(), now.Second(), 0, zone)
		w := stretch{at.Unix() - slotMargin, at.Unix() + slotLength + slotMargin}
		if at.Hour() != now.Hour() || at.Minute() != now.Minute() || w.from < since {
			continue
		}
		if back%7 == 0 {
			weekly = append(weekly, w)
		}
		if atWeekend(at) == atWeekend(now) {
			daily = append(daily, w)
		}
	}
	return weekly, daily
}

func atWeekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

// A baseline is what is usual in one hour, by slot and quantity.
type baseline struct {
	hour  int64  // Unix seconds
	of    string // whose it is, for people: "shop:web"
	usual [slotsPerHour][]usual
}

// at returns what is usual of a quantity at a time in the hour.
func (b *baseline) at(t int64, quantity int) usual {
	of := b.usual[min(max((t-b.hour)/slotLength, 0), slotsPerHour-1)]
	if of == nil {
		return usual{}
	}
	return of[quantity]
}

// A reader returns the samples of some hosts in a stretch: by host and quantity, in time order.
type reader func(of stretch) ([][][]saba.Sample, error)

// learnHour returns the baseline of an hour, of what read returns of earlier weeks: it asks for one stretch a day, and for other days than those of
// the same name only where these are not enough.
func learnHour(hour, since int64, zone *time.Location, of string, read reader) (*baseline, error) {
	b := &baseline{hour: hour, of: of}
	days := map[stretch][][][]saba.Sample{}
	for slot := range b.usual {
		// All slots of a day are read at once, unless its clocks are changed in between.
		whole := func(w stretch) stretch {
			from := w.from - int64(slot)*slotLength
			return stretch{from, from + 3600 + 2*slotMargin}
		}
		learnAll := func(windows []stretch, weekly bool) (some bool, err error) {
			for _, w := range windows {
				if _, done := days[whole(w)]; done {
					continue
				}
				if days[whole(w)], err = read(whole(w)); err != nil {
					return false, err
				}
			}
			b.usual[slot] = make([]usual, len(quantities))
			for i, q := range quantities {
				values := make([][][]float64, len(windows))
				for k, w := range windows {
					for _, host := range days[whole(w)] {
						values[k] = append(values[k], valuesIn(host[i], w))
					}
				}
				u := learn(values, q.least, q.share)
				u.weekly = weekly
				b.usual[slot][i], some = u, some || u.known()
			}
			return some, nil
		}
		weekly, daily := trained(hour+int64(slot)*slotLength, since, zone)
		some, err := learnAll(weekly, true)
		if err == nil && !some {
			_, err = learnAll(daily, false)
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// valuesIn returns the values of samples, which are in time order, in a stretch.
func valuesIn(samples []saba.Sample, of stretch) []float64 {
	var values []float64
	for _, s := range within(samples, of) {
		values = append(values, s.Value)
	}
	return values
}

// within returns the samples, which are in time order, of a stretch.
func within(samples []saba.Sample, of stretch) []saba.Sample {
	at := func(t int64) int {
		n, _ := slices.BinarySearchFunc(samples, t, func(s saba.Sample, t int64) int { return cmp.Compare(s.Time, t) })
		return n
	}
	return samples[at(of.from):at(of.to)]
}

// An oddity is what a monitor of anomalies makes of a host at a minute.
type oddity struct {
	status     saba.CheckStatus
	firm       bool
	at         int64 // the minute, Unix seconds
	quantity   int
	value      float64
	deviations float64
	usual      usual
	of         string // whose usual it is
}

// strange returns the status that so many deviations are for a monitor.
func strange(m *saba.Monitor, n float64) saba.CheckStatus {
	beyond := func(sensitivity string) bool { return sensitivity != "" && math.Abs(n) > deviations[sensitivity] }
	switch {
	case beyond(m.CriticalSensitivity):
		return saba.CheckCritical
	case beyond(m.WarningSensitivity):
		return saba.CheckWarning
	}
	return saba.CheckOK
}

// A baselineAt returns the baseline for a minute; nil when there is none.
type baselineAt func(at int64) *baseline

// odd judges one quantity of a host by its role's past, and by its own where that is not nil and knows enough: samples are the newest, oldest first. It is firm
// when the last m.MaxCheckAttempts samples were odd. ok is false when what is usual is not known.
func odd(m *saba.Monitor, quantity int, samples []saba.Sample, role, own baselineAt) (o oddity, ok bool) {
	attempts := int(max(m.MaxCheckAttempts, 1))
	bad := 0
	for i := len(samples) - 1; i >= 0 && bad < attempts; i-- {
		if samples[len(samples)-1].Time-samples[i].Time >= int64(attempts+oddGap)*saba.Resolution {
			break
		}
		of, known := deviate(quantity, samples[i], role)
		if !known {
			break
		}
		if own != nil && strange(m, of.deviations) != saba.CheckOK {
			if self, known := deviate(quantity, samples[i], own); known && math.Abs(self.deviations) < math.Abs(of.deviations) {
				of = self
			}
		}
		of.status = strange(m, of.deviations)
		if i == len(samples)-1 {
			o, ok = of, true
		}
		if of.status == saba.CheckOK {
			break
		}
		bad++
	}
	o.firm = bad == attempts
	return o, ok
}

// deviate compares a sample with what is usual at its time; ok is false when that is not known.
func deviate(quantity int, s saba.Sample, by baselineAt) (o oddity, ok bool) {
	b := by(s.Time)
	if b == nil {
		return oddity{}, false
	}
	u := b.at(s.Time, quantity)
	if !u.known() {
		return oddity{}, false
	}
	return oddity{at: s.Time, quantity: quantity, value: s.Value, deviations: u.deviations(s.Value), usual: u, of: b.of}, true
}

// oddest judges all quantities of a host of which there is a sample at a minute, and returns the worst: of those that are as bad, the one that is
// furthest from usual. samples are by quantity. ok is false when none is known.
func oddest(m *saba.Monitor, now int64, samples [][]saba.Sample, role, own baselineAt) (worst oddity, ok bool) {
	for i, of := range samples {
		if len(of) == 0 || of[len(of)-1].Time < now {
			continue
		}
		o, known := odd(m, i, of, role, own)
		switch {
		case !known:
		case !ok, outranks(o.status, o.firm, worst.status, worst.firm),
			o.status == worst.status && o.firm == worst.firm && math.Abs(o.deviations) > math.Abs(worst.deviations):
			worst, ok = o, true
		}
	}
	return worst, ok
}

// say returns an oddity as a Judgement. Its message says how far from what the value is: what was usual when, and for whom.
func (o oddity) say(zone *time.Location) Judgement {
	q, side := quantities[o.quantity], "above"
	if o.deviations < 0 {
		side = "below"
	}
	message := fmt.Sprintf("%s %s is %s deviations %s %s (median of %s, %s)", q.label, amount(o.value, q.unit), tenths(math.Abs(o.deviations)), side, amount(o.usual.middle, q.unit), o.of, o.usual.when(o.at, zone))
	return Judgement{Status: o.status, Value: &o.value, Message: message, Firm: o.firm}
}

// when says of which times a usual for a minute is: "Saturdays 21:50–22:30 over 4 weeks".
func (u usual) when(minute int64, zone *time.Location) string {
	slot := minute - minute%slotLength
	at := time.Unix(slot, 0).In(zone)
	clock := at.Add(-slotMargin*time.Second).Format("15:04") + "–" + at.Add((slotLength+slotMargin)*time.Second).Format("15:04")
	switch {
	case u.weekly:
		return fmt.Sprintf("%ss %s over %d weeks", at.Weekday(), clock, u.days)
	case atWeekend(at):
		return fmt.Sprintf("weekends %s over %d days", clock, u.days)
	}
	return fmt.Sprintf("Monday to Friday %s over %d days", clock, u.days)
}

// tenths writes a number of deviations.
func tenths(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// amount writes a value of a quantity with its unit, in three digits or so.
func amount(v float64, unit saba.Unit) string {
	short := func(v float64) string {
		switch a := math.Abs(v); {
		case a >= 99.95:
			return strconv.FormatFloat(v, 'f', 0, 64)
		case a >= 9.995:
			return saba.FormatValue(math.Round(v*10) / 10)
		}
		return saba.FormatValue(math.Round(v*100) / 100)
	}
	switch unit {
	case saba.UnitPercentage:
		return short(v) + " %"
	case saba.UnitIOPS:
		return short(v) + "/s"
	case saba.UnitBytesPerSec:
		for _, prefix := range []string{"", "Ki", "Mi", "Gi"} {
			if math.Abs(v) < 1023.5 {
				return short(v) + " " + prefix + "B/s"
			}
			v /= 1024
		}
		return short(v) + " TiB/s"
	}
	return short(v)
}
