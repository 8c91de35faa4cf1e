package api

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/saba-monitor/saba"
)

// What the numbers of a check report may be. Others are drawn to the nearest that may: a 4xx
// makes agents throw reports away, good ones in the same request included.
const (
	minNotificationInterval = 10 // minutes
	maxMaxCheckAttempts     = 10
)

type reportIn struct {
	Source struct {
		Type   string `json:"type"`
		HostID string `json:"hostId"`
	} `json:"source"`
	Name                 string           `json:"name"`
	Status               saba.CheckStatus `json:"status"`
	Message              string           `json:"message"`
	OccurredAt           *int64           `json:"occurredAt"`
	NotificationInterval *int64           `json:"notificationInterval"`
	MaxCheckAttempts     int64            `json:"maxCheckAttempts"`
}

type reportsIn struct {
	Reports []reportIn `json:"reports"`
}

// checksReport takes verdicts of checks. Those that are six hours old, and those of hosts that
// do not exist, are ignored. The good ones are stored even when the answer is a 400 about a bad
// one: agents throw a refused request away.
func (s *server) checksReport(w http.ResponseWriter, c *call) error {
	var in reportsIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Reports) > saba.MaxCheckReports {
		return saba.Invalidf("reports", "must hold %d elements or fewer, not %d", saba.MaxCheckReports, len(in.Reports))
	}
	now := s.now().Unix()
	var reports []saba.CheckReport
	var bad error // the first
	for i, r := range in.Reports {
		report, err := r.clean(fmt.Sprintf("reports[%d]", i), now)
		if err != nil {
			if bad == nil {
				bad = err
			}
			continue
		}
		if now-report.OccurredAt < saba.MaxCheckLate {
			reports = append(reports, report)
		}
	}
	if len(reports) > 0 {
		err := s.store.ReportChecks(c.Context(), c.org, reports, s.newID)
		if errors.Is(err, saba.ErrInvalid) { // about one of them
			bad = cmp.Or(bad, err)
		} else if err != nil {
			return fmt.Errorf("store check reports: %w", err)
		}
	}
	if bad != nil {
		return bad
	}
	return s.ok(w, c)
}

// clean checks a report; field is where it stands in the request.
func (r reportIn) clean(field string, now int64) (out saba.CheckReport, err error) {
	switch {
	case r.Source.Type != "host":
		return out, saba.Invalidf(field+".source.type", `must be "host", not %q`, clip(r.Source.Type))
	case r.Source.HostID == "":
		return out, saba.Invalidf(field+".source.hostId", "is required: the id of the host that was checked")
	case !r.Status.Valid():
		return out, saba.Invalidf(field+".status", "must be OK, WARNING, CRITICAL or UNKNOWN, not %q", clip(string(r.Status)))
	case r.OccurredAt == nil:
		return out, saba.Invalidf(field+".occurredAt", "is required: a time in Unix seconds")
	}
	// People may give a check any name by hand: only what cannot be kept is refused.
	if _, err := text(field+".name", r.Name, 1, maxName); err != nil {
		return out, err
	}
	out = saba.CheckReport{
		Host: r.Source.HostID, Name: r.Name, Status: r.Status,
		Message: cut(r.Message, saba.MaxCheckMessage),
		// A clock that runs ahead must not make every later verdict look older than this one.
		OccurredAt:       max(min(*r.OccurredAt, now), 0),
		MaxCheckAttempts: min(max(r.MaxCheckAttempts, 0), maxMaxCheckAttempts),
	}
	if r.NotificationInterval != nil {
		out.NotificationInterval = min(max(*r.NotificationInterval, minNotificationInterval), math.MaxInt32)
	}
	return out, nil
}

type checkOut struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// maxPage is the largest and the usual number of elements of a page.
const maxPage = 100

type checkListOut struct {
	Checks []checkOut `json:"checks"`
	NextID string     `json:"nextId,omitempty"` // where the next page begins
}

type checkAnswer struct {
	Check checkOut `json:"check"`
}

func (s *server) checkList(w http.ResponseWriter, c *call) error {
	from, limit, err := c.page()
	if err != nil {
		return err
	}
	checks, err := s.store.CheckList(c.Context(), c.org, from, limit+1)
	if err != nil {
		return fmt.Errorf("list checks: %w", err)
	}
	out := checkListOut{Checks: []checkOut{}}
	for i, check := range checks {
		if i == limit {
			out.NextID = check.ID
			break
		}
		out.Checks = append(out.Checks, checkOut{check.ID, check.Name})
	}
	return s.json(w, c, out)
}

func (s *server) checkShow(w http.ResponseWriter, c *call) error {
	check, err := s.store.Check(c.Context(), c.org, c.PathValue("check"))
	if err != nil {
		return err
	}
	return s.json(w, c, checkAnswer{checkOut{check.ID, check.Name}})
}
