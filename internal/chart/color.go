package chart

import (
	"slices"

	"github.com/saba-monitor/saba"
)

// A Color is one colour for each theme, as CSS writes it ("#1a56c0"). Both have a contrast of at
// least 3:1 to the surface that charts are drawn on, except the pale ones of what is idle or free.
type Color struct {
	Light string `json:"light"`
	Dark  string `json:"dark"`
}

// Palette holds the colours of series in the order in which they are given out. Neighbours
// stay apart for people who do not tell red from green: color_test.go sees with their eyes.
var Palette = []Color{blue, orange, teal, purple, gold, rose, sky, green, magenta, brown, indigo, slate}

var (
	blue    = Color{"#1a56c0", "#5b9dff"}
	orange  = Color{"#c8500c", "#ff9a4d"}
	teal    = Color{"#12a192", "#2fd3bd"}
	purple  = Color{"#9860e0", "#c3a6ff"}
	gold    = Color{"#b88a00", "#f5d75c"}
	rose    = Color{"#c22558", "#f2647f"}
	sky     = Color{"#1193cf", "#7fd6fb"}
	green   = Color{"#3c7a1c", "#9bd85a"}
	magenta = Color{"#c94fc0", "#e684da"}
	brown   = Color{"#7d4b2f", "#c89472"}
	indigo  = Color{"#40439c", "#8b93f0"}
	slate   = Color{"#66788c", "#a3b4c6"}

	idle = Color{"#d8e0e7", "#34404c"} // there, but nothing to look at
)

// Surface is the colour that charts are drawn on.
var Surface = Color{"#ffffff", "#12181d"}

// The colours of what is not a series.
var (
	ink    = Color{"#16202a", "#e8edf2"} // title and values
	muted  = Color{"#566473", "#9aa8b6"} // axes and labels
	faint  = Color{"#e9edf1", "#232d36"} // grid
	ground = Color{"#aab5c0", "#52616f"} // the zero line
)

// A Style says how a series looks.
type Style struct {
	Color
	Dashed bool `json:"dashed,omitempty"` // a limit, or a colour that is used a second time
}

// known holds the styles of metrics that people know by their colour: what waits is red,
// what is idle is pale, a total is a dashed line.
var known = map[string]Style{
	"loadavg1":               {Color: orange},
	"loadavg5":               {Color: blue},
	"loadavg15":              {Color: slate},
	"cpu.user.percentage":    {Color: blue},
	"cpu.iowait.percentage":  {Color: rose},
	"cpu.system.percentage":  {Color: teal},
	"cpu.nice.percentage":    {Color: green},
	"cpu.irq.percentage":     {Color: gold},
	"cpu.softirq.percentage": {Color: orange},
	"cpu.steal.percentage":   {Color: purple},
	"cpu.guest.percentage":   {Color: brown},
	"cpu.idle.percentage":    {Color: idle},
	"memory.used":            {Color: blue},
	"memory.buffers":         {Color: purple},
	"memory.cached":          {Color: teal},
	"memory.available":       {Color: idle},
	"memory.mem_available":   {Color: idle},
	"memory.free":            {Color: idle},
	"memory.total":           {Color: slate, Dashed: true},
	"memory.swap_total":      {Color: gold, Dashed: true},
	"memory.swap_used":       {Color: rose},
	"memory.swap_free":       {Color: green},
	"memory.swap_cached":     {Color: brown},
	"memory.pagefile_total":  {Color: brown, Dashed: true},
	"memory.pagefile_free":   {Color: green},
	"processor_queue_length": {Color: blue},
}

// limits are the labels of series that bound another of their group: they have its colour, dashed.
var limits = map[string]string{"size": "used", "limit": "usage"}

// Styles gives each series of a graph its look: one that people know the metric by, or the next
// colour of Palette that no known metric of the graph has.
func Styles(series []saba.GraphSeries) []Style {
	var taken []Color
	for _, s := range series {
		if k, ok := known[s.Metric]; ok {
			taken = append(taken, k.Color)
		}
	}
	free := slices.DeleteFunc(slices.Clone(Palette), func(c Color) bool { return slices.Contains(taken, c) })
	if len(free) == 0 {
		free = Palette
	}
	type member struct{ group, label string }
	given := map[member]Color{}
	styles := make([]Style, len(series))
	next := 0
	for i, s := range series {
		if k, ok := known[s.Metric]; ok {
			styles[i] = k
			continue
		}
		if c, ok := given[member{s.Group, limits[s.Label]}]; ok && s.Group != "" {
			styles[i] = Style{Color: c, Dashed: true}
			continue
		}
		styles[i] = Style{Color: free[next%len(free)], Dashed: next/len(free)%2 == 1}
		given[member{s.Group, s.Label}] = styles[i].Color
		next++
	}
	return styles
}
