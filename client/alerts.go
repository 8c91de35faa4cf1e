package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/saba-monitor/saba"
)

type wireAlert struct {
	ID       string           `json:"id"`
	Status   saba.CheckStatus `json:"status"`
	Monitor  string           `json:"monitorId"`
	Type     string           `json:"type"`
	Host     string           `json:"hostId"`
	Series   saba.AlertSeries `json:"series"`
	Value    *float64         `json:"value"`
	Message  string           `json:"message"`
	Reason   string           `json:"reason"`
	Memo     string           `json:"memo"`
	OpenedAt int64            `json:"openedAt"`
	ClosedAt int64            `json:"closedAt"`
}

func (w wireAlert) alert() saba.Alert {
	return saba.Alert{
		ID: w.ID, Status: w.Status, Monitor: w.Monitor, Type: w.Type, Host: w.Host, Series: w.Series, Value: w.Value,
		Message: w.Message, Reason: w.Reason, Memo: w.Memo, OpenedAt: w.OpenedAt, ClosedAt: w.ClosedAt,
	}
}

// Alerts returns a page of alerts, those opened last first, and where the next page begins, "" at the end. A Limit
// of 0 means the server's default.
func (c *Client) Alerts(ctx context.Context, p saba.AlertPage) (alerts []saba.Alert, next string, err error) {
	q := pageQuery(p.From, p.Limit)
	if p.Closed {
		q.Set("withClosed", "true")
	}
	var r struct {
		Alerts []wireAlert `json:"alerts"`
		Next   string      `json:"nextId"`
	}
	if err := c.do(ctx, http.MethodGet, path("alerts"), q, nil, &r); err != nil {
		return nil, "", err
	}
	for _, w := range r.Alerts {
		alerts = append(alerts, w.alert())
	}
	return alerts, r.Next, nil
}

func pageQuery(from string, limit int) url.Values {
	q := url.Values{}
	if from != "" {
		q.Set("nextId", from)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}

// Alert returns an alert.
func (c *Client) Alert(ctx context.Context, id string) (saba.Alert, error) {
	w, err := sent[wireAlert](ctx, c, http.MethodGet, path("alerts", id), nil)
	return w.alert(), err
}

// CloseAlert closes an alert for a reason, which may be "", and returns it as it is then.
func (c *Client) CloseAlert(ctx context.Context, id, reason string) (saba.Alert, error) {
	w, err := sent[wireAlert](ctx, c, http.MethodPost, path("alerts", id, "close"), map[string]string{"reason": reason})
	return w.alert(), err
}

// SetAlertMemo writes the memo of an alert.
func (c *Client) SetAlertMemo(ctx context.Context, id, memo string) error {
	return c.do(ctx, http.MethodPut, path("alerts", id), nil, map[string]string{"memo": memo}, nil)
}

// AlertLogs returns a page of at most limit steps of an alert (0 means the server's default), newest first, from the
// one with the id from on ("" means the newest), and where the next page begins, "" at the end.
func (c *Client) AlertLogs(ctx context.Context, id, from string, limit int) (logs []saba.AlertLog, next string, err error) {
	var r struct {
		Logs []struct {
			ID        string            `json:"id"`
			CreatedAt int64             `json:"createdAt"`
			Status    saba.CheckStatus  `json:"status"`
			Trigger   saba.AlertTrigger `json:"trigger"`
			Monitor   string            `json:"monitorId"`
			Value     *float64          `json:"targetValue"`
			Detail    *struct {
				Detail saba.AlertDetail `json:"detail"`
			} `json:"statusDetail"`
		} `json:"logs"`
		Next string `json:"nextId"`
	}
	if err := c.do(ctx, http.MethodGet, path("alerts", id, "logs"), pageQuery(from, limit), nil, &r); err != nil {
		return nil, "", err
	}
	for _, w := range r.Logs {
		l := saba.AlertLog{ID: w.ID, Monitor: w.Monitor, AlertMove: saba.AlertMove{At: w.CreatedAt, Status: w.Status, Trigger: w.Trigger, Value: w.Value}}
		if w.Detail != nil {
			l.Detail = &w.Detail.Detail
		}
		logs = append(logs, l)
	}
	return logs, r.Next, nil
}
