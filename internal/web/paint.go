package web

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
)

// answerSVG sends a chart as a picture, with a moment (mark) and limits (warning, critical, below) if the address has some. It may be opened by itself, so that it has a policy of
// its own: the labels in it come from strangers, and nothing in it may run or load.
func (c *console) answerSVG(w http.ResponseWriter, r *http.Request, p plot, rng timeRange) error {
	q := r.URL.Query()
	picture := chart.Chart{
		Title: p.Title, Unit: p.Unit, From: rng.from, To: rng.to, Location: c.Now().Location(), Start: p.start, Step: p.step,
		// Whatever is no number is 0, the default; chart bounds the rest.
		Width: number(q.Get("width")), Height: number(q.Get("height")),
	}
	if at := number(q.Get("mark")); at != 0 {
		picture.Mark = &chart.Mark{At: int64(at)}
	}
	for _, bad := range []saba.CheckStatus{saba.CheckWarning, saba.CheckCritical} {
		if v, err := strconv.ParseFloat(q.Get(strings.ToLower(string(bad))), 64); err == nil {
			picture.Limits = append(picture.Limits, chart.Limit{Value: v, Bad: bad, Below: q.Has("below")})
		}
	}
	for i, s := range p.Series {
		picture.Series = append(picture.Series, chart.Series{GraphSeries: s, Values: p.values[i]})
	}
	return c.sendSVG(w, r, picture)
}

// sendSVG draws a chart and sends it, with the policy of what comes from strangers.
func (c *console) sendSVG(w http.ResponseWriter, r *http.Request, picture chart.Chart) error {
	var b bytes.Buffer
	if err := chart.SVG(&b, picture); err != nil {
		return fmt.Errorf("draw graph %s: %w", picture.Title, err)
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	return send(w, r, http.StatusOK, b.Bytes())
}

// number reads a whole number, or 0 where there is none.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
