package api

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/logline"
)

// Drains is what knows what drains were sent lately.
type Drains interface {
	Status(id string) drain.Status
}

// drainStatusOut is what a drain was sent since this server started. It has no text of lines: applications write secrets into them.
type drainStatusOut struct {
	Since          int64          `json:"since"`                // Unix seconds: when the server started to count
	LastLineAt     int64          `json:"lastLineAt,omitempty"` // absent when no line came
	Lines          int64          `json:"lines"`
	Readings       int64          `json:"readings"`       // that the lines held
	Repeated       int64          `json:"repeated"`       // requests that came a second time and were not counted
	LinesPerMinute []int64        `json:"linesPerMinute"` // of the minute under way, then of the 59 before it
	Refused        []refusedCount `json:"refused"`        // the most first
	Refusals       []refusedOut   `json:"refusals"`       // the last, newest first
	Sources        []string       `json:"sources"`        // parts of platforms that were heard
	Metrics        []string       `json:"metrics"`        // that were written; 2,000 at most
}

type refusedCount struct {
	Reason logline.Reason `json:"reason"`
	Count  int64          `json:"count"`
}

type refusedOut struct {
	At     int64          `json:"at"` // Unix seconds
	Reason logline.Reason `json:"reason"`
}

func newDrainStatusOut(st drain.Status) drainStatusOut {
	out := drainStatusOut{
		Since: st.Since.Unix(), Lines: st.Lines, Readings: st.Readings, Repeated: st.Again, LinesPerMinute: st.Minutes[:],
		Refused: []refusedCount{}, Refusals: []refusedOut{}, Sources: append([]string{}, st.Sources...), Metrics: append([]string{}, st.Metrics...),
	}
	if !st.Last.IsZero() {
		out.LastLineAt = st.Last.Unix()
	}
	for reason, n := range st.Refused {
		out.Refused = append(out.Refused, refusedCount{reason, n})
	}
	slices.SortFunc(out.Refused, func(a, b refusedCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	for _, r := range st.Refusals {
		out.Refusals = append(out.Refusals, refusedOut{r.At.Unix(), r.Reason})
	}
	return out
}

func (s *server) drainStatus(w http.ResponseWriter, c *call) error {
	d, err := s.store.Drain(c.Context(), c.org, c.PathValue("drain"))
	if err != nil {
		return err
	}
	return s.json(w, c, newDrainStatusOut(s.drains.Status(d.ID)))
}
