package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/saba-monitor/saba"
)

type wireReport struct {
	Source               wireSource       `json:"source"`
	Name                 string           `json:"name"`
	Status               saba.CheckStatus `json:"status"`
	Message              string           `json:"message"`
	OccurredAt           int64            `json:"occurredAt"`
	NotificationInterval int64            `json:"notificationInterval,omitempty"`
	MaxCheckAttempts     int64            `json:"maxCheckAttempts,omitempty"`
}

type wireSource struct {
	Type string `json:"type"`
	Host string `json:"hostId"`
}

type wireCheck struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// ReportChecks sends verdicts, at most saba.MaxCheckReports of them.
func (c *Client) ReportChecks(ctx context.Context, reports []saba.CheckReport) error {
	wire := make([]wireReport, len(reports))
	for i, r := range reports {
		wire[i] = wireReport{wireSource{"host", r.Host}, r.Name, r.Status, r.Message, r.OccurredAt, r.NotificationInterval, r.MaxCheckAttempts}
	}
	return c.do(ctx, http.MethodPost, path("monitoring", "checks", "report"), nil, map[string][]wireReport{"reports": wire}, nil)
}

// Checks returns up to limit checks (0 means the server's default), ascending by id, from the
// check with id from on ("" means the first). next is where the next page begins, "" at the end.
// Only ID and Name are filled.
func (c *Client) Checks(ctx context.Context, from string, limit int) (checks []saba.Check, next string, err error) {
	q := url.Values{}
	if from != "" {
		q.Set("nextId", from)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var r struct {
		Checks []wireCheck `json:"checks"`
		Next   string      `json:"nextId"`
	}
	if err := c.do(ctx, http.MethodGet, path("monitoring", "checks"), q, nil, &r); err != nil {
		return nil, "", err
	}
	for _, w := range r.Checks {
		checks = append(checks, saba.Check{ID: w.ID, Name: w.Name})
	}
	return checks, r.Next, nil
}

// Check returns a check. Only ID and Name are filled.
func (c *Client) Check(ctx context.Context, id string) (saba.Check, error) {
	var r struct {
		Check wireCheck `json:"check"`
	}
	err := c.do(ctx, http.MethodGet, path("monitoring", "checks", id), nil, nil, &r)
	return saba.Check{ID: r.Check.ID, Name: r.Check.Name}, err
}
