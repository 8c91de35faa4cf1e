package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

var update = flag.Bool("update", false, "write testdata/*.svg and *.png instead of comparing with them")

const (
	newYear = 1767225600 // 2026-01-01 00:00 UTC, a Thursday
	noon    = newYear + 12*3600
)

// wave returns n values around mean, swinging by swing, that differ by seed and not by run.
func wave(n int, mean, swing float64, seed int) []float64 {
	values := make([]float64, n)
	for i := range values {
		x := float64(i) + 17*float64(seed)
		values[i] = mean + swing*(0.6*math.Sin(x/23)+0.3*math.Sin(x/7+float64(seed))+0.1*math.Sin(x*2.1))
	}
	return values
}

// without returns values with gaps from first to end.
func without(values []float64, first, end int) []float64 {
	for i := first; i < end; i++ {
		values[i] = math.NaN()
	}
	return values
}

func line(metric, label string, values []float64) Series {
	return Series{saba.GraphSeries{Metric: metric, Label: label}, values}
}

func area(metric, label string, values []float64) Series {
	return Series{saba.GraphSeries{Metric: metric, Label: label, Stacked: true}, values}
}

// hour is a chart of the hour before noon.
func hour(title string, unit saba.Unit, series ...Series) Chart {
	return Chart{Title: title, Unit: unit, From: noon - 3600, To: noon, Start: noon - 3600, Step: 60, Series: series}
}

func cpu(gap bool) []Series {
	var all []Series
	idle := make([]float64, 61)
	for i := range idle {
		idle[i] = 400
	}
	for i, s := range []struct {
		state       string
		mean, swing float64
	}{{"user", 90, 60}, {"iowait", 12, 10}, {"system", 40, 18}, {"nice", 2, 1}, {"irq", 1, 1}, {"softirq", 6, 5}, {"steal", 3, 3}, {"guest", 0, 0}} {
		values := wave(61, s.mean, s.swing, i)
		for j, v := range values {
			idle[j] -= v
		}
		all = append(all, area("cpu."+s.state+".percentage", s.state, values))
	}
	all = append(all, area("cpu.idle.percentage", "idle", idle))
	if gap {
		for _, s := range all {
			without(s.Values, 20, 27)
			without(s.Values, 28, 30) // one value stands alone
		}
		without(all[2].Values, 45, 50) // one series is silent while the others speak
	}
	return all
}

func charts() map[string]Chart {
	constant := func(n int, v float64) []float64 { return wave(n, v, 0, 0) }
	tokyo := time.FixedZone("JST", 9*3600)

	many := hour("Queue depth by worker", saba.UnitInteger)
	for i := range 60 {
		many.Series = append(many.Series, Series{saba.GraphSeries{Metric: fmt.Sprintf("custom.queue.w%d.depth", i), Label: "depth", Group: fmt.Sprintf("worker-%d", i+1)}, wave(61, float64(10+i), 8, i)})
	}
	year := Chart{Title: "Disk used", Unit: saba.UnitBytes, From: newYear - 365*86400, To: newYear, Start: newYear - 365*86400, Step: 86400, Location: tokyo}
	growth := wave(366, 0, 4e9, 3)
	for i := range growth {
		growth[i] += 60e9 + float64(i)*2.1e8
	}
	group := func(label string, values []float64) Series {
		return Series{saba.GraphSeries{Metric: "filesystem.vda1." + label, Label: label, Group: "vda1"}, values}
	}
	year.Series = []Series{group("used", without(growth, 100, 130)), group("size", constant(366, 200<<30))}

	onePoint := without(make([]float64, 61), 0, 61)
	onePoint[40] = 0.42
	scattered := without(wave(61, 5, 3, 1), 1, 60)
	for i := 3; i < 60; i += 7 {
		scattered[i] = float64(i % 5)
	}
	memory := hour("Memory", saba.UnitBytes,
		area("memory.used", "used", wave(61, 5.1e9, 6e8, 1)),
		area("memory.available", "available", nil),
		line("memory.total", "total", constant(61, 8306294784)),
		line("memory.swap_total", "swap total", constant(61, 2<<30)),
		line("memory.swap_used", "swap used", wave(61, 2e8, 1e8, 2)))
	memory.Series[1].Values = make([]float64, 61)
	for i, v := range memory.Series[0].Values {
		memory.Series[1].Values[i] = 8306294784 - v
	}
	light, dark := hour("CPU", saba.UnitPercentage, cpu(false)...), hour("CPU", saba.UnitPercentage, cpu(false)...)
	light.Theme, dark.Theme = Light, Dark
	narrow := hour("CPU", saba.UnitPercentage, cpu(true)...)
	narrow.Width, narrow.Height = 360, 220
	narrowMany := many
	narrowMany.Width, narrowMany.Height, narrowMany.Location = 360, 220, tokyo
	days := Chart{Title: "Network", Unit: saba.UnitBytesPerSec, From: noon - 3*86400, To: noon, Start: noon - 3*86400, Step: 300, Location: tokyo}
	for i, label := range []string{"received", "sent"} {
		days.Series = append(days.Series, Series{saba.GraphSeries{Metric: "interface.eth0." + label, Label: label, Group: "eth0"}, wave(865, 3e6, 2.5e6, 5*i)})
	}
	hostile := hour("</title><script>alert(1)</script> & \"quoted\" \x00\x1b\u202egnp.exe \xff", saba.UnitFloat,
		line("custom.x", "<b onload='x'>&amp;\x07", wave(61, 1, 1, 1)),
		line("custom.y", strings.Repeat("very long ", 100), wave(61, 1, 1, 2)),
		line("custom.z", "日本語のとても長いラベルはここで切れるはずです", wave(61, 2, 1, 3)))

	limited := func(c Chart, warning, critical float64, below bool) Chart {
		c.Limits = []Limit{{critical, saba.CheckCritical, below}, {warning, saba.CheckWarning, below}}
		c.Mark = &Mark{At: noon - 1200, Bad: saba.CheckCritical}
		return c
	}
	small := func(c Chart) Chart {
		c.Width, c.Height, c.Density = 480, 240, 2.5
		return c
	}
	thirty := hour("Thirty queues", saba.UnitInteger)
	for i := range 30 {
		thirty.Series = append(thirty.Series, line(fmt.Sprintf("custom.queue.q%d", i), fmt.Sprintf("queue %d", i+1), wave(61, 40+float64(i), 20, i)))
	}
	jobs := make([]float64, 61)
	for i := range jobs {
		jobs[i] = math.Pow(10, float64(i)/10)
	}

	return map[string]Chart{
		"limits":       limited(hour("cpu% · web1", saba.UnitPercentage, line("cpu%", "cpu%", wave(61, 70, 28, 2))), 80, 90, false),
		"limits-small": small(limited(hour("cpu% · web1", saba.UnitPercentage, line("cpu%", "cpu%", wave(61, 70, 28, 2))), 80, 90, false)),
		"limits-below": small(limited(hour("Memory available", saba.UnitBytes, line("memory.available", "available", without(wave(61, 3e9, 2e9, 4), 20, 30))), 2e9, 1e9, true)),
		"limits-far":   small(limited(hour("Far from its limits", saba.UnitFloat, line("custom.a.b", "b", wave(61, 3, 2, 4))), 80, 90, false)),
		"limits-many":  small(limited(thirty, 50, 60, false)),
		"limits-jobs":  small(limited(hour("本番 · 1 to a million jobs", saba.UnitInteger, line("custom.a.b", "jobs", jobs)), 50, 1e5, false)),
		"limits-zero":  small(limited(hour("Errors", saba.UnitInteger, line("custom.a.b", "errors", make([]float64, 61))), 1, 10, false)),
		"limits-cold":  small(limited(hour("Temperature", saba.UnitFloat, line("custom.a.b", "freezer", wave(61, -18, 4, 4))), -15, -10, false)),
		"loadavg": hour("Load average", saba.UnitFloat,
			line("loadavg1", "1 minute", wave(61, 0.9, 0.7, 1)), line("loadavg5", "5 minutes", wave(61, 0.8, 0.3, 2)), line("loadavg15", "15 minutes", wave(61, 0.7, 0.1, 3))),
		"cpu-light": light, "cpu-dark": dark,
		"memory":    memory,
		"one-point": hour("One point", saba.UnitFloat, line("custom.a.b", "b", onePoint)),
		"no-data":   hour("No data", saba.UnitBytes),
		"all-gaps":  hour("All gaps", saba.UnitBytes, line("custom.a.b", "b", without(make([]float64, 61), 0, 61))),
		"scattered": hour("Isolated samples", saba.UnitInteger, line("custom.a.b", "b", scattered)),
		"zero":      hour("Constant zero", saba.UnitInteger, line("custom.a.b", "errors", make([]float64, 61))),
		"negative":  hour("Negative values", saba.UnitFloat, line("custom.t.in", "inside", wave(61, 2, 9, 1)), line("custom.t.out", "outside", wave(61, -8, 3, 2))),
		"negative-stack": hour("Negative stack", saba.UnitBytesPerSec, area("custom.n.in", "in", wave(61, 9e5, 5e5, 1)), area("custom.n.out", "out", wave(61, -4e5, 3e5, 2)),
			area("custom.n.other", "other", wave(61, 2e5, 1e5, 3))),
		"huge":         hour("Huge", saba.UnitFloat, line("custom.a.b", "b", wave(61, 3e18, 2e18, 1))),
		"tiny":         hour("Tiny", saba.UnitSeconds, line("custom.a.b", "b", wave(61, 4e-6, 3e-6, 1))),
		"close":        hour("Close together", saba.UnitFloat, line("custom.a.b", "celsius", wave(61, 36.6, 0.2, 1))),
		"stacked-gaps": hour("CPU", saba.UnitPercentage, cpu(true)...),
		"many":         many,
		"year":         year,
		"days":         days,
		"narrow":       narrow,
		"narrow-many":  narrowMany,
		"hostile":      hostile,
	}
}

func drawSVG(t testing.TB, c Chart) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := SVG(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSVGIsTheGoldenOne(t *testing.T) {
	for name, c := range charts() {
		t.Run(name, func(t *testing.T) {
			got := drawSVG(t, c)
			wellFormed(t, got)
			file := filepath.Join("testdata", name+".svg")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the chart is not that of %s; look at both, and if the new one is right: go test ./internal/chart -update", file)
			}
		})
	}
}

// wellFormed fails unless svg is XML of elements that a chart consists of, without a
// number that is none.
func wellFormed(t testing.TB, svg []byte) {
	t.Helper()
	allowed := map[string]bool{"svg": true, "title": true, "desc": true, "style": true, "rect": true, "path": true, "text": true, "g": true}
	dec := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if !allowed[e.Name.Local] {
			t.Errorf("element <%s> in a chart", e.Name.Local)
		}
		for _, a := range e.Attr {
			if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
				t.Errorf("attribute %s=%q in a chart", a.Name.Local, a.Value)
			}
		}
	}
}

func TestSVGSaysWhatItCannotDraw(t *testing.T) {
	good := hour("x", saba.UnitFloat, line("a", "a", []float64{1, 2}))
	for name, change := range map[string]func(*Chart){
		"an empty range":     func(c *Chart) { c.To = c.From },
		"a range backwards":  func(c *Chart) { c.To = c.From - 1 },
		"no step":            func(c *Chart) { c.Step = 0 },
		"a step backwards":   func(c *Chart) { c.Step = -60 },
		"an absurd time":     func(c *Chart) { c.To = math.MaxInt64 },
		"an absurd start":    func(c *Chart) { c.Start = math.MinInt64 },
		"milliseconds given": func(c *Chart) { c.From, c.To = c.From*1000, c.To*1000 },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			var b bytes.Buffer
			if err := SVG(&b, c); !errors.Is(err, saba.ErrInvalid) || b.Len() > 0 {
				t.Errorf("error %v after %d bytes, want ErrInvalid and nothing written", err, b.Len())
			}
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestSVGReturnsTheWritersError(t *testing.T) {
	if err := SVG(brokenPipe{}, hour("x", saba.UnitFloat)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

func TestSVGContents(t *testing.T) {
	nan := math.NaN()
	gap := line("a", "a", []float64{1, 2, nan, nan, 3, 4, nan, 5, nan, 6, 7})
	for name, tt := range map[string]struct {
		chart     Chart
		want, not []string
	}{
		"no series":           {hour("x", saba.UnitFloat), []string{">No data in this range<", "no data in this range.</desc>"}, nil},
		"values outside only": {Chart{From: noon, To: noon + 3600, Start: noon - 7200, Step: 60, Series: []Series{line("a", "a", []float64{1, 2})}}, []string{">No data in this range<"}, nil},
		"infinities are gaps": {hour("x", saba.UnitFloat, line("a", "a", []float64{math.Inf(1), math.Inf(-1)})), []string{">No data in this range<"}, nil},
		"a chart has a name":  {hour("", saba.UnitFloat), []string{`role="img"`, "<title>Chart</title>"}, nil},
		"what was bad is tinted as far as it is here": {
			Chart{From: noon, To: noon + 3600, Start: noon, Step: 60, Series: []Series{gap}, Spans: []Span{{noon - 60, noon + 600, saba.CheckWarning}, {noon + 3600, noon + 9000, saba.CheckCritical}, {noon + 4000, noon + 5000, saba.CheckUnknown}}},
			[]string{`class="band warn"`, `class="band bad"`, `width="2"`}, nil,
		},
		"a gap breaks the line": {hour("x", saba.UnitFloat, gap), []string{"h0\"/>"}, []string{">No data"}},
		"words for those who do not see": {
			hour("x", saba.UnitBytes, line("a", "a", []float64{1024, 4096, 2048})),
			[]string{"<desc>1 Jan 2026, 11:00–12:00 UTC, 1 series. a: last 2 KiB, lowest 1 KiB, highest 4 KiB.</desc>"}, nil,
		},
		"dark when asked":         {Chart{From: noon, To: noon + 60, Theme: Dark}, []string{Surface.Dark}, []string{Surface.Light + ";", "@media"}},
		"light when asked":        {Chart{From: noon, To: noon + 60, Theme: Light}, []string{Surface.Light}, []string{Surface.Dark, "@media"}},
		"both when nobody knows":  {Chart{From: noon, To: noon + 60}, []string{Surface.Light, Surface.Dark, "prefers-color-scheme:dark"}, nil},
		"the size has bounds":     {Chart{From: noon, To: noon + 60, Width: 1 << 40, Height: -5}, []string{`width="4096" height="120"`}, nil},
		"the smallest is a chart": {Chart{From: noon, To: noon + 60, Width: 1, Height: 1, Start: noon, Step: 60, Series: []Series{gap}}, []string{`width="240" height="120"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := string(drawSVG(t, tt.chart))
			for _, s := range tt.want {
				if !strings.Contains(got, s) {
					t.Errorf("no %q in %s", s, got)
				}
			}
			for _, s := range tt.not {
				if strings.Contains(got, s) {
					t.Errorf("%q in %s", s, got)
				}
			}
		})
	}
	// Three stretches of line and one dot.
	var paths []string
	for part := range strings.SplitSeq(string(drawSVG(t, hour("x", saba.UnitFloat, gap))), "<path ") {
		if strings.HasPrefix(part, `class="line`) {
			paths = append(paths, fmt.Sprint(strings.Count(part, "M")))
		}
	}
	if got := strings.Join(paths, " "); got != "3 1" {
		t.Errorf("the line is in %s pieces, want 3 and 1 dot", got)
	}
}

// Whatever is in a chart, the results are XML without a number that is none, and a PNG.
func FuzzSVG(f *testing.F) {
	f.Add("title", "label", "bytes", int64(noon-3600), int64(noon), int64(noon-3600), int64(60), 960, 320, []byte("\x00\x01\x7f\xff"), true)
	f.Add("\x00]]>", "&<\xff", "seconds", int64(-5), int64(1<<33), int64(-1<<36), int64(1), 0, 1000, []byte{1, 200, 3, 0, 0, 0, 250, 251, 252, 253, 254, 255}, false)
	f.Fuzz(func(t *testing.T, title, label, unit string, from, to, start, step int64, width, height int, data []byte, stacked bool) {
		c := Chart{Title: title, Unit: saba.Unit(unit), From: from, To: to, Start: start, Step: step, Width: width, Height: height}
		special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, 1e300, 0, 1e-300}
		values := make([]float64, len(data))
		for i, b := range data {
			values[i] = float64(b) - 100
			if j := 255 - int(b); j < len(special) {
				values[i] = special[j]
			}
		}
		half := len(values) / 2
		c.Mark = &Mark{At: from + step, Bad: saba.CheckStatus(unit)}
		for i, v := range values[:min(len(values), 4)] {
			c.Limits = append(c.Limits, Limit{v, []saba.CheckStatus{saba.CheckWarning, saba.CheckCritical}[i%2], stacked})
		}
		c.Series = []Series{
			{saba.GraphSeries{Metric: "a", Label: label, Group: title, Stacked: stacked}, values[:half]},
			{saba.GraphSeries{Metric: "b", Label: label, Stacked: stacked}, values[half:]},
			{saba.GraphSeries{Metric: "c", Label: "c"}, values},
		}
		var b bytes.Buffer
		if err := SVG(&b, c); err != nil {
			if !errors.Is(err, saba.ErrInvalid) {
				t.Errorf("error %v", err)
			}
			return
		}
		wellFormed(t, b.Bytes())
		c.Width, c.Height, c.Density = 240, 120, 1 // larger ones take their time
		b.Reset()
		if err := PNG(&b, c); err != nil {
			t.Fatalf("SVG draws it, PNG does not: %v", err)
		}
		if _, err := png.Decode(&b); err != nil {
			t.Errorf("no PNG: %v", err)
		}
	})
}

// BenchmarkSVG draws one chart of a week: 9 stacked series of 1,000 values.
func BenchmarkSVG(b *testing.B) {
	c := Chart{Title: "CPU", Unit: saba.UnitPercentage, From: noon, To: noon + 999*600, Start: noon, Step: 600}
	for i, s := range cpu(false) {
		s.Values = wave(1000, 20, 15, i)
		c.Series = append(c.Series, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := SVG(io.Discard, c); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(drawSVG(b, c)))/1024, "KiB/chart")
}

func TestChartsOfDifferentZonesDiffer(t *testing.T) {
	c := hour("x", saba.UnitFloat)
	c.Location = time.FixedZone("", 5*3600+45*60)
	if got := string(drawSVG(t, c)); !strings.Contains(got, "1 Jan 2026, 16:45–17:45 UTC+05:45") {
		t.Errorf("no range with its zone in %s", got)
	}
}
