package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A moment is a time as pages show it: how long ago, and exactly.
type moment struct {
	ISO   string // for machines: the scripts put it into the visitor's own time zone
	Exact string
	Brief string // exact, and short enough to be read beside others
	Until string // of what lies ahead: to the minute, with its zone
	Ago   string
}

// moment returns Unix seconds as pages show them.
func (c *console) moment(unix int64) moment {
	now := c.Now()
	t := time.Unix(unix, 0).In(now.Location())
	return moment{t.Format(time.RFC3339), t.Format("2 January 2006 15:04:05 MST"), t.Format("2 Jan 2006, 15:04:05 MST"), t.Format("2 Jan 2006, 15:04 MST"), ago(now.Unix() - unix)}
}

// ago writes an age in seconds: "12 s ago". What lies ahead, by a clock that is a little
// fast, is now.
func ago(seconds int64) string {
	if seconds < 1 {
		return "now"
	}
	return span(seconds) + " ago"
}

// span writes a length of time in one unit: "12 min". The scripts have a twin of it.
func span(seconds int64) string {
	switch {
	case seconds < 90:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 90*60:
		return fmt.Sprintf("%d min", seconds/60)
	case seconds < 36*3600:
		return fmt.Sprintf("%d h", seconds/3600)
	}
	return fmt.Sprintf("%d days", seconds/day)
}

// count writes "1 host", "2 hosts".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// percent writes a share in whole per cent, and small ones with a decimal.
func percent(v float64) string {
	if v > 0 && v < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64) + "%"
	}
	return strconv.FormatFloat(math.Round(v), 'f', 0, 64) + "%"
}

// spark returns the path of a sparkline of values on a canvas of width by height, from 0 at the
// bottom to the largest value at the top, or at least to full. NaN is a gap.
func spark(values []float64, width, height, full float64) string {
	top := full
	for _, v := range values {
		if v > top { // false for NaN
			top = v
		}
	}
	var b strings.Builder
	pen := "M"
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			pen = "M"
			continue
		}
		x := 1.0
		if len(values) > 1 {
			x += (width - 2) * float64(i) / float64(len(values)-1)
		}
		y := height - 1 - (height-2)*max(v, 0)/top
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, x, y)
		if pen == "M" {
			b.WriteString("h.01") // a lone sample is a dot
		}
		pen = "L"
	}
	return b.String()
}
