package web

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/saba-monitor/saba/internal/chart"
)

// answerSVG sends a chart as a picture. It may be opened by itself, so that it has a policy of
// its own: the labels in it come from strangers, and nothing in it may run or load.
func (c *console) answerSVG(w http.ResponseWriter, r *http.Request, p plot, rng timeRange) error {
	picture := chart.Chart{
		Title: p.Title, Unit: p.Unit, From: rng.from, To: rng.to, Location: c.Now().Location(), Start: p.start, Step: p.step,
		Width: 720, Height: 300,
	}
	for i, s := range p.Series {
		picture.Series = append(picture.Series, chart.Series{GraphSeries: s, Values: p.values[i]})
	}
	var b bytes.Buffer
	if err := chart.SVG(&b, picture); err != nil {
		return fmt.Errorf("draw graph %s: %w", p.Name, err)
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	return send(w, r, http.StatusOK, b.Bytes())
}
