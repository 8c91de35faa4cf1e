package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

// alertOut is an alert as clients read it.
type alertOut struct {
	ID        string            `json:"id"`
	Status    saba.CheckStatus  `json:"status"`
	MonitorID string            `json:"monitorId"`
	Type      string            `json:"type"`
	HostID    string            `json:"hostId,omitempty"`
	Series    *saba.AlertSeries `json:"series,omitempty"`
	Value     *float64          `json:"value,omitempty"`
	Message   string            `json:"message,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Memo      string            `json:"memo,omitempty"`
	OpenedAt  int64             `json:"openedAt"`
	ClosedAt  int64             `json:"closedAt,omitempty"`

	// What people do about it, which is saba's own.
	AckedBy    string `json:"acknowledgedBy,omitempty"` // id of an account
	AckedAt    int64  `json:"acknowledgedAt,omitempty"`
	Assignee   string `json:"assignedTo,omitempty"` // id of an account
	MutedUntil int64  `json:"mutedUntil,omitempty"`
}

func newAlertOut(a saba.Alert) alertOut {
	out := alertOut{
		ID: a.ID, Status: a.Status, MonitorID: a.Monitor, Type: a.Type, HostID: a.Host, Value: a.Value, Message: a.Message, Reason: a.Reason, Memo: a.Memo,
		OpenedAt: a.OpenedAt, ClosedAt: a.ClosedAt,
		AckedBy: a.Handling.AckedBy, AckedAt: a.Handling.AckedAt, Assignee: a.Handling.Assignee, MutedUntil: a.Handling.MutedUntil,
	}
	if a.Type == string(saba.MonitorQuery) {
		out.Series = &saba.AlertSeries{Name: a.Series.Name, Labels: a.Series.Labels}
		if out.Series.Labels == nil {
			out.Series.Labels = map[string]string{}
		}
	}
	return out
}

type alertListOut struct {
	Alerts []alertOut `json:"alerts"`
	NextID string     `json:"nextId,omitempty"` // where the next page begins
}

func (s *server) alertList(w http.ResponseWriter, c *call) error {
	from, limit, err := c.page()
	if err != nil {
		return err
	}
	filter, err := c.alertFilter()
	if err != nil {
		return err
	}
	alerts, next, err := s.store.FindAlerts(c.Context(), c.org, filter, from, limit)
	if err != nil {
		return err
	}
	out := alertListOut{Alerts: make([]alertOut, len(alerts)), NextID: next}
	for i, a := range alerts {
		out.Alerts[i] = newAlertOut(a)
	}
	return s.json(w, c, out)
}

// alertFilter reads which alerts are wanted. All parameters but withClosed are saba's own.
func (c *call) alertFilter() (f saba.AlertFilter, err error) {
	closed, err := c.flag("withClosed")
	if err != nil {
		return f, err
	}
	q := c.URL.Query()
	f = saba.AlertFilter{OnlyOpen: !closed, Monitor: q.Get("monitorId"), Host: q.Get("hostId"), Service: q.Get("service"), Status: saba.CheckStatus(q.Get("status")), Text: strings.TrimSpace(q.Get("q"))}
	for _, p := range []struct {
		name string
		to   *int64
	}{{"from", &f.Since}, {"to", &f.Until}} {
		v := q.Get(p.name)
		if v == "" {
			continue
		}
		if *p.to, err = strconv.ParseInt(v, 10, 64); err != nil || *p.to < 1 {
			return f, saba.Invalidf(p.name, "must be a time in Unix seconds, not %q", clip(v))
		}
	}
	if f.Since != 0 && f.Until != 0 && f.Since > f.Until {
		return f, saba.Invalidf("from", "must not be after to (%d), not %d", f.Until, f.Since)
	}
	if f.Status != "" && (!f.Status.Valid() || f.Status == saba.CheckOK) {
		return f, saba.Invalidf("status", "must be WARNING, CRITICAL or UNKNOWN, not %q", clip(string(f.Status)))
	}
	if n := utf8.RuneCountInString(f.Text); n > maxSearch {
		return f, saba.Invalidf("q", "must be %d characters or fewer, not %d", maxSearch, n)
	}
	return f, nil
}

// maxSearch is how many characters a search for words may have.
const maxSearch = 200

func (s *server) alertShow(w http.ResponseWriter, c *call) error {
	a, err := s.store.Alert(c.Context(), c.org, c.PathValue("alert"))
	return shown(s, w, c, a, err, newAlertOut)
}

type alertMemo struct {
	ID   string `json:"id"`
	Memo string `json:"memo"`
}

type alertMemoIn struct {
	Memo *string `json:"memo"` // absent: it stays as it is
}

func (s *server) alertUpdate(w http.ResponseWriter, c *call) error {
	var in alertMemoIn
	if err := c.decode(&in); err != nil {
		return err
	}
	id := c.PathValue("alert")
	if in.Memo == nil {
		a, err := s.store.Alert(c.Context(), c.org, id)
		return shown(s, w, c, a, err, func(a saba.Alert) alertMemo { return alertMemo{a.ID, a.Memo} })
	}
	if len(*in.Memo) > saba.MaxAlertMemo {
		return saba.Errorf(saba.ErrTooLarge, "memo must be %s or less, not %d bytes", body.Size(saba.MaxAlertMemo), len(*in.Memo))
	}
	if err := s.store.SetAlertMemo(c.Context(), c.org, id, *in.Memo); err != nil {
		return err
	}
	return s.json(w, c, alertMemo{id, *in.Memo})
}

type alertCloseIn struct {
	Reason *string `json:"reason"`
}

// alertClose closes an alert by hand; one that is closed already stays as it is.
func (s *server) alertClose(w http.ResponseWriter, c *call) error {
	var in alertCloseIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Reason == nil {
		return saba.Invalidf("reason", "is required, and may be empty")
	}
	if n := utf8.RuneCountInString(*in.Reason); n > maxMemo {
		return saba.Invalidf("reason", "must be %d characters or fewer, not %d", maxMemo, n)
	}
	a, err := s.store.MoveAlert(c.Context(), c.org, c.PathValue("alert"), saba.AlertMove{
		At: s.now().Unix(), Status: saba.CheckOK, Trigger: saba.TriggerManual, Reason: cut(*in.Reason, maxMemo),
	})
	return shown(s, w, c, a, err, newAlertOut)
}

type alertLogOut struct {
	ID           string            `json:"id"`
	CreatedAt    int64             `json:"createdAt"`
	Status       saba.CheckStatus  `json:"status"`
	Trigger      saba.AlertTrigger `json:"trigger"`
	MonitorID    *string           `json:"monitorId"`    // null when the rule is gone
	TargetValue  *float64          `json:"targetValue"`  // null when there was none
	StatusDetail *statusDetailOut  `json:"statusDetail"` // null but for checks
}

type statusDetailOut struct {
	Type   string           `json:"type"`
	Detail saba.AlertDetail `json:"detail"`
}

type alertLogListOut struct {
	Logs   []alertLogOut `json:"logs"`
	NextID string        `json:"nextId,omitempty"` // where the next page begins
}

func (s *server) alertLogs(w http.ResponseWriter, c *call) error {
	from, limit, err := c.page()
	if err != nil {
		return err
	}
	logs, err := s.store.AlertLogs(c.Context(), c.org, c.PathValue("alert"), from, limit+1)
	if err != nil {
		return fmt.Errorf("list the log of an alert: %w", err)
	}
	out := alertLogListOut{Logs: []alertLogOut{}}
	for i, l := range logs {
		if i == limit {
			out.NextID = l.ID
			break
		}
		entry := alertLogOut{ID: l.ID, CreatedAt: l.At, Status: l.Status, Trigger: l.Trigger, TargetValue: l.Value}
		if l.Monitor != "" {
			entry.MonitorID = &l.Monitor
		}
		if l.Detail != nil {
			entry.StatusDetail = &statusDetailOut{saba.AlertCheck, *l.Detail}
		}
		out.Logs = append(out.Logs, entry)
	}
	return s.json(w, c, out)
}

type alertCulpritsOut struct {
	Culprits *saba.Culprits `json:"culprits"` // null when nothing is known
}

// alertCulprits shows what went on on the host of an alert when it opened.
func (s *server) alertCulprits(w http.ResponseWriter, c *call) error {
	found, err := s.store.AlertCulprits(c.Context(), c.org, c.PathValue("alert"))
	if errors.Is(err, saba.ErrNotFound) {
		if _, err = s.store.Alert(c.Context(), c.org, c.PathValue("alert")); err == nil {
			return s.json(w, c, alertCulpritsOut{})
		}
	}
	if err != nil {
		return err
	}
	// Clients read lists, and no null.
	found.Why, found.CPU, found.Memory = append([]saba.Strain{}, found.Why...), append([]saba.Culprit{}, found.CPU...), append([]saba.Culprit{}, found.Memory...)
	return s.json(w, c, alertCulpritsOut{&found})
}
