package web

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
)

// A subject is whose graphs are shown: a host or a service.
type subject struct {
	org, host string
	service   saba.Service // the zero Service when it is a host
	label     string
	path      string // of its page: "/hosts/2Kx…"
	charts    string // of the page that has those of its charts, where that is another one
	graphs    []saba.Graph
}

func (s subject) series(metric string) saba.Series {
	return saba.Series{Org: s.org, Host: s.host, Service: s.service.Series, Name: metric}
}

func (s subject) graph(name string) (saba.Graph, bool) {
	i := slices.IndexFunc(s.graphs, func(g saba.Graph) bool { return g.Name == name })
	if i < 0 {
		return saba.Graph{}, false
	}
	return s.graphs[i], true
}

// hostSubject returns a host and its arranged graphs.
func (c *console) hostSubject(ctx context.Context, v visitor, id string) (saba.Host, subject, error) {
	h, err := c.Store.Host(ctx, v.Org, id)
	if err != nil {
		return h, subject{}, err
	}
	names, labelled, err := c.Samples.NamesOf(ctx, v.Org, id, "")
	if err != nil {
		return h, subject{}, fmt.Errorf("list the metrics of host %s: %w", id, err)
	}
	defs, err := c.Store.GraphDefs(ctx, v.Org)
	if err != nil {
		return h, subject{}, fmt.Errorf("list graph definitions: %w", err)
	}
	return h, subject{org: v.Org, host: h.ID, label: h.Label(), path: "/hosts/" + url.PathEscape(h.ID),
		graphs: append(saba.HostGraphs(names, defs), saba.LabelledGraphs(labelled)...)}, nil
}

// A plot is a graph with the values to draw: one a step for each series, NaN where there is none.
type plot struct {
	saba.Graph
	start, step int64 // Unix seconds of the first value; seconds between values
	values      [][]float64
}

// maxRead bounds how many samples are held at once while a plot is made: 64 MiB of them.
const maxRead = 4 << 20

// maxReads bounds how many requests read samples of charts at once.
const maxReads = 4

// plots reads and reduces the samples of graphs.
//
// Long ranges of many series are read in portions, each reduced before the next: a year of one
// series is half a million samples, and a host may have hundreds of series.
func (c *console) plots(ctx context.Context, sub subject, graphs []saba.Graph, r timeRange) ([]plot, error) {
	select {
	case c.reads <- struct{}{}:
		defer func() { <-c.reads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	step := saba.Step(r.to - r.from)
	plots := make([]plot, len(graphs))
	type place struct{ graph, series int }
	var all []saba.Series
	var places []place
	for i, g := range graphs {
		plots[i] = plot{Graph: g, step: step, values: make([][]float64, len(g.Series))}
		for j, s := range g.Series {
			all = append(all, sub.series(s.Metric))
			places = append(places, place{i, j})
		}
	}
	portion := max(1, maxRead/int((r.to-r.from)/saba.Resolution+1))
	done := 0
	for part := range slices.Chunk(all, portion) {
		samples, err := c.Samples.Range(ctx, part, r.from, r.to)
		if err != nil {
			return nil, fmt.Errorf("read samples of %s: %w", sub.label, err)
		}
		for i := range part {
			at := places[done+i]
			start, means, err := saba.Downsample(samples[i], r.from, r.to, step)
			if err != nil {
				return nil, err
			}
			plots[at.graph].start, plots[at.graph].values[at.series] = start, means
		}
		done += len(part)
	}
	return plots, nil
}

// A graphsAnswer is what the scripts draw from.
type graphsAnswer struct {
	Now    int64        `json:"now"` // the server's clock: the browser's may be wrong
	From   int64        `json:"from"`
	To     int64        `json:"to"`
	Names  []string     `json:"names"` // every graph there is, so that a page notices new ones
	Graphs []graphValue `json:"graphs"`
}

type graphValue struct {
	Name   string        `json:"name"`
	Title  string        `json:"title"`
	Unit   saba.Unit     `json:"unit"`
	Start  int64         `json:"start"` // Unix seconds of the first value
	Step   int64         `json:"step"`  // seconds
	Series []seriesValue `json:"series"`
}

type seriesValue struct {
	Metric  string `json:"metric"`
	Label   string `json:"label"`
	Group   string `json:"group,omitempty"`
	Stacked bool   `json:"stacked,omitempty"`
	chart.Style
	Values numberRow `json:"values"`
}

// A numberRow is a row of values in JSON: NaN is null, and a mean has six digits, which is
// more than a screen can show. Samples themselves are exact.
type numberRow struct {
	values []float64
	exact  bool
}

// MarshalJSON writes the row.
func (n numberRow) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 8*len(n.values)+2)
	b = append(b, '[')
	for i, v := range n.values {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			b = append(b, "null"...)
		case n.exact:
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		default:
			b = strconv.AppendFloat(b, v, 'g', 6, 64)
		}
	}
	return append(b, ']'), nil
}

// maxGraphs bounds how many graphs one request may ask for.
const maxGraphs = 40

// answerGraphs answers a script: the graphs that it names, and the names of all.
func (c *console) answerGraphs(w http.ResponseWriter, r *http.Request, sub subject) error {
	q := r.URL.Query()
	rng, err := parseRange(q, c.Now())
	if err != nil {
		return err
	}
	want := q["graph"]
	if len(want) > maxGraphs {
		return saba.Errorf(saba.ErrInvalid, "one request may ask for %d graphs, not %d", maxGraphs, len(want))
	}
	a := graphsAnswer{Now: c.Now().Unix(), From: rng.from, To: rng.to, Names: []string{}, Graphs: []graphValue{}}
	var graphs []saba.Graph
	for _, g := range sub.graphs {
		a.Names = append(a.Names, g.Name)
		if slices.Contains(want, g.Name) {
			graphs = append(graphs, g)
		}
	}
	plots, err := c.plots(r.Context(), sub, graphs, rng)
	if err != nil {
		return err
	}
	for _, p := range plots {
		g := graphValue{Name: p.Name, Title: p.Title, Unit: p.Unit, Start: p.start, Step: p.step}
		styles := chart.Styles(p.Series)
		for i, s := range p.Series {
			g.Series = append(g.Series, seriesValue{
				Metric: s.Metric, Label: s.Label, Group: s.Group, Stacked: s.Stacked,
				Style:  styles[i],
				Values: numberRow{p.values[i], p.step == saba.Resolution},
			})
		}
		a.Graphs = append(a.Graphs, g)
	}
	return writeJSON(w, r, a)
}

// A chartCard is a chart on a page: what is there before any script runs.
type chartCard struct {
	Name          string
	Title         string
	Page          string // address of the large chart
	Image         string // address of the SVG
	Width, Height int    // of the SVG, in CSS pixels
	Alt           string
	Find          string // lower-case words that the search box looks in
}

// A chartRoom is the part "charts": a time bar and groups of charts.
type chartRoom struct {
	Data   string // address of graphs.json
	Now    int64
	Range  string // key of the relative range; "" when it is absolute
	From   int64
	To     int64
	Bar    timeBar
	Groups []chartGroup
	Total  int
}

type chartGroup struct {
	Heading string
	Cards   []chartCard
}

// newChartRoom prepares the charts of a subject for its page.
func (c *console) newChartRoom(sub subject, r timeRange) chartRoom {
	now := c.Now()
	room := chartRoom{
		Data: sub.path + "/graphs.json", Now: now.Unix(), Range: r.key, From: r.from, To: r.to,
		Bar: newTimeBar(sub.path, r, now.Location()), Total: len(sub.graphs),
	}
	system, custom, labelled := chartGroup{Heading: "System"}, chartGroup{Heading: "Custom"}, chartGroup{Heading: "With labels"}
	for _, g := range sub.graphs {
		card := newChartCard(sub, g, r, now.Location())
		switch {
		case strings.HasPrefix(g.Name, "labelled:"):
			labelled.Cards = append(labelled.Cards, card)
		case sub.host != "" && strings.HasPrefix(g.Name, "custom."):
			custom.Cards = append(custom.Cards, card)
		default:
			system.Cards = append(system.Cards, card)
		}
	}
	if sub.service.Name != "" {
		system.Heading = "Service metrics"
	}
	for _, g := range []chartGroup{system, custom, labelled} {
		if len(g.Cards) > 0 {
			room.Groups = append(room.Groups, g)
		}
	}
	return room
}

// The size of a chart's picture on a page of many, and on its own page. A picture in a narrow
// column has its legend below.
const (
	cardWidth, cardHeight   = 480, 280
	largeWidth, largeHeight = 1200, 420
)

// maxFind bounds the words of a chart that the search box looks in, in bytes.
const maxFind = 4000

func newChartCard(sub subject, g saba.Graph, r timeRange, loc *time.Location) chartCard {
	at := cmp.Or(sub.charts, sub.path) + "/graphs/" + url.PathEscape(g.Name)
	var find strings.Builder
	find.WriteString(g.Title + " " + g.Name)
	for _, s := range g.Series {
		if find.Len() > maxFind {
			break
		}
		find.WriteString(" " + s.Metric + " " + s.FullLabel())
	}
	return chartCard{
		Name: g.Name, Title: g.Title,
		Page:  at + "?" + r.query(),
		Image: fmt.Sprintf("%s.svg?%s&width=%d&height=%d", at, r.query(), cardWidth, cardHeight),
		Width: cardWidth, Height: cardHeight,
		Alt:  fmt.Sprintf("Chart of %s, %s: %s.", g.Title, sub.label, r.words(loc)),
		Find: strings.ToLower(find.String()),
	}
}

// graphPage is page/graph.html: one large chart, and what it says in numbers.
type graphPage struct {
	layout
	Crumbs []crumb
	Card   chartCard
	Room   chartRoom
	Words  string // the range
	CSV    string
	Rows   []statRow
	Step   string // "" for every sample
}

type crumb struct{ Label, URL string }

// A statRow is one series of a chart in numbers, as text.
type statRow struct {
	Metric, Label, Group string
	Stacked              bool
	Last, Min, Mean, Max string
}

// answerGraph answers a graph's address: the page, or with .svg or .csv the chart or the values.
func (c *console) answerGraph(w http.ResponseWriter, r *http.Request, v visitor, room string, crumbs []crumb, sub subject) error {
	name, form := r.PathValue("graph"), ""
	g, ok := sub.graph(name)
	for _, suffix := range []string{".svg", ".csv"} {
		if short, cut := strings.CutSuffix(name, suffix); cut {
			// A plugin may call a graph "custom.logo.svg": its page gives way only to the image of "custom.logo".
			if other, found := sub.graph(short); found {
				g, ok, form = other, true, suffix
			}
		}
	}
	if !ok {
		return saba.Errorf(saba.ErrNotFound, "%s has no graph %q.", sub.label, clip(name))
	}
	rng, err := parseRange(r.URL.Query(), c.Now())
	if err != nil {
		return err
	}
	plots, err := c.plots(r.Context(), sub, []saba.Graph{g}, rng)
	if err != nil {
		return err
	}
	p := plots[0]
	switch form {
	case ".svg":
		return c.answerSVG(w, r, p, rng)
	case ".csv":
		return answerCSV(w, r, p, sub)
	}
	loc := c.Now().Location()
	card := newChartCard(sub, g, rng, loc)
	base, _, _ := strings.Cut(card.Page, "?")
	card.Image, card.Width, card.Height = fmt.Sprintf("%s.svg?%s&width=%d&height=%d", base, rng.query(), largeWidth, largeHeight), largeWidth, largeHeight
	one := sub
	one.graphs = []saba.Graph{g}
	page := graphPage{
		layout: layoutFor(v, room, g.Title+" · "+sub.label), Crumbs: crumbs, Card: card,
		Room: c.newChartRoom(one, rng), Words: rng.words(loc), CSV: base + ".csv?" + rng.query(),
		Rows: statRows(p),
	}
	page.Scripts = true
	page.Room.Bar = newTimeBar(base, rng, loc)
	if p.step > saba.Resolution {
		page.Step = span(p.step)
	}
	return c.render(w, r, http.StatusOK, "graph", page)
}

func statRows(p plot) []statRow {
	rows := make([]statRow, len(p.Series))
	for i, s := range p.Series {
		last, low, high, sum, n := math.NaN(), math.NaN(), math.NaN(), 0.0, 0
		for _, v := range p.values[i] {
			if math.IsNaN(v) {
				continue
			}
			last = v
			if n == 0 {
				low, high = v, v
			}
			low, high = min(low, v), max(high, v)
			sum += v
			n++
		}
		mean := math.NaN()
		if n > 0 {
			mean = sum / float64(n)
		}
		rows[i] = statRow{
			Metric: s.Metric, Label: s.Label, Group: s.Group, Stacked: s.Stacked,
			Last: chart.Format(last, p.Unit), Min: chart.Format(low, p.Unit),
			Mean: chart.Format(mean, p.Unit), Max: chart.Format(high, p.Unit),
		}
	}
	return rows
}

// answerCSV sends the values of a chart: a column for the time and one for each metric.
func answerCSV(w http.ResponseWriter, r *http.Request, p plot, sub subject) error {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", "attachment; filename="+strconv.Quote(fileName(sub.label+"-"+p.Name)+".csv"))
	var b strings.Builder
	out := csv.NewWriter(&b)
	row := []string{"time"}
	for _, s := range p.Series {
		row = append(row, s.Metric)
	}
	if err := out.Write(row); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	rows := 0
	for _, v := range p.values {
		rows = max(rows, len(v))
	}
	for i := range rows {
		row = append(row[:0], time.Unix(p.start+int64(i)*p.step, 0).UTC().Format(time.RFC3339))
		any := false
		for _, v := range p.values {
			cell := ""
			if !math.IsNaN(v[i]) {
				cell, any = strconv.FormatFloat(v[i], 'g', -1, 64), true
			}
			row = append(row, cell)
		}
		if !any {
			continue
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return send(w, r, http.StatusOK, []byte(b.String()))
}

// fileName keeps of s what is harmless in a file name and a header.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, s)
}
