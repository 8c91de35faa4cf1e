package drain

import (
	"time"

	"github.com/saba-monitor/saba/internal/logline"
)

// kindTotal is that of cells that hold the last total of a counter. They are kept with the others, so that a kill loses no increase, and are no metric's.
const kindTotal logline.Kind = "total"

// A total is what a counter stands at, of senders that do not say what it increased by.
type total struct {
	series  string          // which counter: its name, all of its attributes, and when it began
	reading logline.Reading // a count, with the total as its value
}

// A lastTotal is the last that came of a series.
type lastTotal struct {
	value   float64
	at      int64     // Unix nanoseconds
	touched time.Time // when it came
}

func (t lastTotal) cell() *logline.Cell {
	return &logline.Cell{Count: 1, Last: t.value, LastAt: t.at}
}

// increases calls found with what counters increased by since their totals before, and returns the new totals as they are kept. The first total of a series says nothing
// of an increase, nor does one that is lower than the one before: the counter began anew, and what it counted up to then is not known. A total that is older than the one
// before, or as old, came again. w is locked.
func (w *work) increases(totals []total, found func(logline.Reading), refuse func(logline.Refusal)) logline.Cells {
	fresh := logline.Cells{}
	for _, t := range totals {
		key := logline.Key{Kind: kindTotal, Source: t.series}
		before, known := w.totals[t.series]
		if c := fresh[key]; c != nil {
			before, known = lastTotal{value: c.Last, at: c.LastAt}, true
		}
		switch {
		case known && t.reading.Time <= before.at:
			continue
		case !known && len(w.totals)+len(fresh) >= logline.MaxSeries:
			refuse(logline.Refusal{Reason: logline.TooMany, Text: t.reading.Name})
			continue
		case known && t.reading.Value >= before.value:
			rd := t.reading
			rd.Value -= before.value
			found(rd)
		}
		fresh[key] = lastTotal{value: t.reading.Value, at: t.reading.Time}.cell()
	}
	return fresh
}
