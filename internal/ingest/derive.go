package ingest

import (
	"math"
	"strings"

	"github.com/saba-monitor/saba"
)

// memory collects the memory readings of a batch, to derive from them the two metrics that
// the protocol documents but agents do not send: memory.swap_used is swap_total - swap_free,
// and memory.available is mem_available under its documented name. All are in bytes.
// The zero value is ready.
type memory struct {
	at       map[moment]int // index in readings
	readings []reading      // in order of arrival
}

// A moment is one host at one time.
type moment struct {
	host string
	time int64
}

// A reading is what one host said about its memory at one time.
type reading struct {
	moment
	swapTotal, swapFree, available  float64
	hasTotal, hasFree, hasAvailable bool
	sentUsed, sentAvailable         bool // the agent sent the derived metric itself: it knows better
}

// see takes note of p if it is about a host's memory.
func (m *memory) see(p *saba.Point) {
	name, ok := strings.CutPrefix(p.Name, "memory.")
	if !ok || p.Host == "" {
		return
	}
	switch name {
	case "swap_total":
		r := m.reading(p)
		r.swapTotal, r.hasTotal = p.Value, true
	case "swap_free":
		r := m.reading(p)
		r.swapFree, r.hasFree = p.Value, true
	case "mem_available":
		r := m.reading(p)
		r.available, r.hasAvailable = p.Value, true
	case "swap_used":
		m.reading(p).sentUsed = true
	case "available":
		m.reading(p).sentAvailable = true
	}
}

// reading returns the reading of p's host and time.
func (m *memory) reading(p *saba.Point) *reading {
	key := moment{p.Host, p.Time}
	i, ok := m.at[key]
	if !ok {
		if m.at == nil {
			m.at = map[moment]int{}
		}
		i = len(m.readings)
		m.at[key] = i
		m.readings = append(m.readings, reading{moment: key})
	}
	return &m.readings[i]
}

// derive appends the derived points to points, all of org. A source that is missing yields nothing: half
// a set is not a difference.
func (m *memory) derive(org string, points []saba.Point) []saba.Point {
	for _, r := range m.readings {
		add := func(name string, value float64) {
			points = append(points, saba.Point{
				Series: saba.Series{Org: org, Host: r.host, Name: name},
				Sample: saba.Sample{Time: r.time, Value: value},
			})
		}
		if used := r.swapTotal - r.swapFree; r.hasTotal && r.hasFree && !r.sentUsed && used >= 0 && !math.IsInf(used, 0) {
			add("memory.swap_used", used)
		}
		if r.hasAvailable && !r.sentAvailable {
			add("memory.available", r.available)
		}
	}
	return points
}
