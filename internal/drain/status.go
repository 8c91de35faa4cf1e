package drain

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// Bounds of what is remembered for people.
const (
	recentLines    = 200
	recentRefusals = 50
	recentText     = 1024 // bytes of a line
	recentMinutes  = 60
	mostMetrics    = 2000 // names of metrics
)

// A Status is what a drain was sent lately. What is not of the last hour alone is of the time since the server started.
type Status struct {
	Since    time.Time                // when the server started to count
	Lines    int64                    // in all
	Readings int64                    // that they held
	Again    int64                    // requests that came a second time and were not counted
	Refused  map[logline.Reason]int64 // lines and metrics that nothing became of
	Last     time.Time                // when the last line came; zero when none did, nor shortly before the server started
	Minutes  [recentMinutes]int64     // lines a minute: of the minute under way, then of each before it
	Recent   []logline.Line           // the last lines, newest first, each cut to 1 KiB
	Refusals []Refusal                // the last of them, newest first
	Sources  []string                 // parts of platforms that were heard, by name
	Metrics  []string                 // of the service that were written, up to 2,000, by name
}

// A Refusal is one of a drain's, and when it happened.
type Refusal struct {
	logline.Refusal
	At time.Time
}

// status counts for Status.
type status struct {
	lines, readings, again int64
	refused                map[logline.Reason]int64
	last                   time.Time
	minutes                map[int64]int64 // by the beginning of the minute
	recent                 []logline.Line  // newest last
	refusals               []Refusal       // newest last
	sources                []string
	metrics                map[string]bool
}

// seen is what became of one lot.
type seen struct {
	readings int64
	refused  refusals
	sources  []string
}

// refusals counts what was refused, and keeps the last of it: a flood takes no memory.
type refusals struct {
	count map[logline.Reason]int64
	last  []logline.Refusal // up to twice recentRefusals, newest last
}

func (r *refusals) add(no logline.Refusal) {
	r.more(no.Reason, 1)
	if len(r.last) == 2*recentRefusals {
		r.last = append(r.last[:0], r.last[recentRefusals:]...)
	}
	r.last = append(r.last, no)
}

// more counts what nothing is known of but the reason.
func (r *refusals) more(reason logline.Reason, n int64) {
	if r.count == nil {
		r.count = map[logline.Reason]int64{}
	}
	r.count[reason] += n
}

func (s *seen) source(name string) {
	if name == "" {
		return
	}
	for _, known := range s.sources {
		if known == name {
			return
		}
	}
	s.sources = append(s.sources, name)
}

// note counts a lot that came at now.
func (s *status) note(now time.Time, lines []logline.Line, seen *seen) {
	s.lines += int64(len(lines))
	s.readings += seen.readings
	if len(lines) > 0 {
		s.last = now
		minute := now.Unix() / 60 * 60
		if s.minutes == nil {
			s.minutes = map[int64]int64{}
		}
		s.minutes[minute] += int64(len(lines))
		for m := range s.minutes {
			if m <= minute-recentMinutes*60 {
				delete(s.minutes, m)
			}
		}
	}
	for _, l := range lines[max(0, len(lines)-recentLines):] {
		l.Text = bytes.Clone(l.Text[:min(len(l.Text), recentText)])
		s.recent = append(s.recent, l)
	}
	if n := len(s.recent) - recentLines; n > 0 {
		s.recent = append([]logline.Line(nil), s.recent[n:]...)
	}
	for reason, n := range seen.refused.count {
		if s.refused == nil {
			s.refused = map[logline.Reason]int64{}
		}
		s.refused[reason] += n
	}
	for _, r := range seen.refused.last[max(0, len(seen.refused.last)-recentRefusals):] {
		s.refusals = append(s.refusals, Refusal{r, now})
	}
	if n := len(s.refusals) - recentRefusals; n > 0 {
		s.refusals = append([]Refusal(nil), s.refusals[n:]...)
	}
	for _, name := range seen.sources {
		known := false
		for _, n := range s.sources {
			known = known || n == name
		}
		if !known {
			s.sources = append(s.sources, name)
		}
	}
}

// wrote remembers which metrics there are.
func (s *status) wrote(points []saba.Point) {
	if s.metrics == nil {
		s.metrics = map[string]bool{}
	}
	for _, p := range points {
		if len(s.metrics) == mostMetrics {
			return
		}
		s.metrics[p.Series.Name] = true
	}
}

// Status returns what a drain was sent lately.
func (d *Drains) Status(id string) Status {
	d.mu.Lock()
	w := d.works[id]
	d.mu.Unlock()
	if w == nil {
		return Status{Since: d.since, Refused: map[logline.Reason]int64{}}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.status
	out := Status{Since: d.since, Lines: s.lines, Readings: s.readings, Again: s.again, Refused: map[logline.Reason]int64{}, Last: s.last, Sources: append([]string(nil), s.sources...), Metrics: slices.Sorted(maps.Keys(s.metrics))}
	for r, n := range s.refused {
		out.Refused[r] = n
	}
	minute := d.Now().Unix() / 60 * 60
	for i := range out.Minutes {
		out.Minutes[i] = s.minutes[minute-int64(i)*60]
	}
	for i := len(s.recent) - 1; i >= 0; i-- {
		out.Recent = append(out.Recent, s.recent[i])
	}
	for i := len(s.refusals) - 1; i >= 0; i-- {
		out.Refusals = append(out.Refusals, s.refusals[i])
	}
	return out
}
