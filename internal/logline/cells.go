package logline

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/saba-monitor/saba"
)

// A Key names a cell: the readings of one kind and name in one minute.
type Key struct {
	Kind   Kind   `json:"k"`
	Name   string `json:"n"`
	Source string `json:"s,omitzero"`
	Minute int64  `json:"m"` // Unix seconds of its beginning
}

// A Cell is what the readings of a minute come to so far. Cells of the same key can be merged in any order, but that of two samples of the
// same nanosecond the later comer counts.
type Cell struct {
	Unit   saba.Unit `json:"u"`
	Count  int64     `json:"c"`
	Sum    float64   `json:"t"`
	Min    float64   `json:"i,omitzero"` // of measures
	Max    float64   `json:"a,omitzero"`
	Last   float64   `json:"l,omitzero"` // of samples
	LastAt int64     `json:"z,omitzero"` // Unix nanoseconds
	Spread Spread    `json:"d,omitzero"` // of measures
	Lost   int64     `json:"o,omitzero"` // readings that Spread does not have, since only their points were left
}

// Cells are the cells of some lines.
type Cells map[Key]*Cell

// Add adds a reading. It returns false, and adds nothing, when there are MaxSeries cells and the reading is of none of them.
func (c Cells) Add(r Reading) bool {
	key := Key{r.Kind, r.Name, r.Source, saba.Minute(r.Time / 1e9)}
	cell := c[key]
	if cell == nil {
		if len(c) >= MaxSeries {
			return false
		}
		cell = &Cell{Unit: r.Unit}
		c[key] = cell
	}
	cell.add(r)
	return true
}

func (c *Cell) add(r Reading) {
	switch r.Kind {
	case Sample:
		if c.Count == 0 || r.Time >= c.LastAt {
			c.Last, c.LastAt = r.Value, r.Time
		}
	case Measure:
		if c.Count == 0 || r.Value < c.Min {
			c.Min = r.Value
		}
		if c.Count == 0 || r.Value > c.Max {
			c.Max = r.Value
		}
		c.Spread.Add(r.Value)
	}
	c.Count++
	c.Sum = finite(c.Sum + r.Value)
}

// finite returns the largest number in place of an infinity, which JSON could not hold; Points leaves both out.
func finite(v float64) float64 { return max(min(v, math.MaxFloat64), -math.MaxFloat64) }

// Merge adds what other readings of the same key came to.
func (c *Cell) Merge(o *Cell) {
	if o.Count == 0 {
		return
	}
	if c.Count == 0 || o.LastAt >= c.LastAt {
		c.Last, c.LastAt = o.Last, o.LastAt
	}
	if c.Count == 0 || o.Min < c.Min {
		c.Min = o.Min
	}
	if c.Count == 0 || o.Max > c.Max {
		c.Max = o.Max
	}
	c.Unit = cmp.Or(c.Unit, o.Unit)
	c.Count += o.Count
	c.Sum = finite(c.Sum + o.Sum)
	c.Lost += o.Lost
	c.Spread.Merge(&o.Spread)
}

// Merge adds other cells; it keeps none of them.
func (c Cells) Merge(other Cells) {
	for key, cell := range other {
		mine := c[key]
		if mine == nil {
			mine = &Cell{Unit: cell.Unit}
			c[key] = mine
		}
		mine.Merge(cell)
	}
}

// The statistics of a measure, as they stand in names. The first is a number of readings, the others have the measure's unit.
var statistics = []struct {
	name     string
	quantile bool
	of       func(*Cell) float64
}{
	{"count", false, func(c *Cell) float64 { return float64(c.Count) }},
	{"sum", false, func(c *Cell) float64 { return c.Sum }},
	{"min", false, func(c *Cell) float64 { return c.Min }},
	{"max", false, func(c *Cell) float64 { return c.Max }},
	{"mean", false, func(c *Cell) float64 {
		if math.Abs(c.Sum) == math.MaxFloat64 {
			return c.Sum
		}
		return c.Sum / float64(c.Count)
	}},
	{"median", true, func(c *Cell) float64 { return c.Spread.Quantile(0.5) }},
	{"p95", true, func(c *Cell) float64 { return c.Spread.Quantile(0.95) }},
	{"p99", true, func(c *Cell) float64 { return c.Spread.Quantile(0.99) }},
}

// Points calls yield for each metric that a cell comes to. Values that are not finite are left out: a sum of readings may be too large for a number.
func (c *Cell) Points(key Key, yield func(name string, value float64)) {
	put := func(name string, value float64) {
		if key.Source != "" {
			name += "." + key.Source
		}
		if math.Abs(value) < math.MaxFloat64 {
			yield(name, value)
		}
	}
	switch key.Kind {
	case Sample:
		put(key.Name, c.Last)
	case Count:
		put(key.Name, c.Sum)
	case Measure:
		for _, s := range statistics {
			if s.quantile && 2*c.Lost > c.Count {
				continue
			}
			put(key.Name+"."+s.name, s.of(c))
		}
	}
}

// Found adds readings of which only the stored points are left, by the names that Points gives them. Which values they were is not known any more: where they
// are more than those that are, quantiles stay as they are stored.
func (c *Cell) Found(key Key, stored map[string]float64) {
	was := Cell{}
	get := func(statistic string) (float64, bool) {
		name := key.Name
		if statistic != "" {
			name += "." + statistic
		}
		if key.Source != "" {
			name += "." + key.Source
		}
		v, ok := stored[name]
		return v, ok
	}
	switch key.Kind {
	case Count:
		v, ok := get("")
		if !ok {
			return
		}
		was.Count, was.Sum = 1, v
	case Measure:
		n, ok := get("count")
		if !ok || n < 1 {
			return
		}
		was.Count, was.Lost = int64(n), int64(n)
		was.Sum, _ = get("sum")
		was.Min, _ = get("min")
		was.Max, _ = get("max")
	default:
		return
	}
	c.Merge(&was)
}

// cellJSON is how a cell is kept. The keys are part of the schema.
type cellJSON struct {
	Key
	*Cell
}

// MarshalJSON writes cells as a list, in the order of their keys.
func (c Cells) MarshalJSON() ([]byte, error) {
	keys := slices.SortedFunc(maps.Keys(c), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Kind, b.Kind))
	})
	all := make([]cellJSON, len(keys))
	for i, k := range keys {
		all[i] = cellJSON{k, c[k]}
	}
	return json.Marshal(all)
}

// UnmarshalJSON adds the cells of a list that MarshalJSON wrote.
func (c *Cells) UnmarshalJSON(b []byte) error {
	var all []cellJSON
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	if *c == nil {
		*c = make(Cells, len(all))
	}
	for _, a := range all {
		if a.Cell == nil {
			continue
		}
		if mine := (*c)[a.Key]; mine != nil {
			mine.Merge(a.Cell)
			continue
		}
		(*c)[a.Key] = a.Cell
	}
	return nil
}
