package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/saba-monitor/saba"
)

// previewIn asks what a monitor would have done. With an id it is the one that is kept: as it is, or, with a type, as the other fields say.
type previewIn struct {
	Monitor struct {
		ID string `json:"id"`
		monitorIn
	} `json:"monitor"`
	Days *int `json:"days"` // 7 unless said otherwise
}

// maxPreviewAlerts is how many alerts an answer holds: the newest.
const maxPreviewAlerts = 1000

// previewOut is what a monitor would have done.
type previewOut struct {
	From     int64            `json:"from"`
	To       int64            `json:"to"`
	Targets  int              `json:"targets"`
	Fired    int              `json:"fired"`    // how many alerts would have opened
	Complete bool             `json:"complete"` // false when the replay stopped at its limit
	Alerts   []previewedAlert `json:"alerts"`   // oldest first
	Messages []previewedCount `json:"messages"`
}

// previewedAlert is an alert as it would have been: its worst status, and the value and the message of its opening.
type previewedAlert struct {
	Status   saba.CheckStatus  `json:"status"`
	HostID   string            `json:"hostId,omitempty"`
	Label    string            `json:"label,omitempty"` // of the host or the series
	Series   *saba.AlertSeries `json:"series,omitempty"`
	Value    *float64          `json:"value,omitempty"`
	Message  string            `json:"message,omitempty"`
	OpenedAt int64             `json:"openedAt"`
	ClosedAt int64             `json:"closedAt,omitempty"` // absent when it would still be open
}

type previewedCount struct {
	ChannelID string `json:"channelId"`
	Name      string `json:"name"`
	Count     int    `json:"count"`
}

func newPreviewOut(r saba.Replay) previewOut {
	out := previewOut{From: r.From, To: r.To, Targets: r.Targets, Fired: len(r.Alerts), Complete: !r.Cut, Alerts: []previewedAlert{}, Messages: []previewedCount{}}
	for _, a := range r.Alerts[max(0, len(r.Alerts)-maxPreviewAlerts):] {
		p := previewedAlert{a.Worst, a.Host, a.Label, nil, a.Value, a.Message, a.OpenedAt, a.ClosedAt}
		p.Series = newAlertOut(a.Alert).Series
		out.Alerts = append(out.Alerts, p)
	}
	for _, m := range r.Messages {
		out.Messages = append(out.Messages, previewedCount{m.Channel, m.Name, m.Count})
	}
	return out
}

// monitorPreview replays a monitor. It keeps nothing.
func (s *server) monitorPreview(w http.ResponseWriter, c *call) error {
	var in previewIn
	if err := c.decode(&in); err != nil {
		return err
	}
	days := 7
	if in.Days != nil {
		days = *in.Days
	}
	if days < 1 || days > saba.MaxReplayDays {
		return saba.Invalidf("days", "must be from 1 to %d, not %d", saba.MaxReplayDays, days)
	}
	var m saba.Monitor
	var old *saba.Monitor
	var err error
	if in.Monitor.ID != "" {
		if m, err = s.store.Monitor(c.Context(), c.org, in.Monitor.ID); err != nil {
			return err
		}
		old = new(m)
	}
	if old == nil || in.Monitor.Type != "" {
		if m, err = s.monitorOf(in.Monitor.monitorIn, old, s.now().Unix()); err != nil {
			return err
		}
		if err := s.named(c, &m); err != nil {
			return err
		}
	}
	got, err := s.replay(c.Context(), c.org, m, days)
	return shown(s, w, c, got, err, newPreviewOut)
}

// named checks that the services and roles exist which a monitor names that is not kept.
func (s *server) named(c *call, m *saba.Monitor) error {
	services, err := s.store.Services(c.Context(), c.org)
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	exists := func(field string, of saba.Scope) error {
		i := slices.IndexFunc(services, func(s saba.Service) bool { return s.Name == of.Service })
		switch {
		case i < 0:
			return saba.Invalidf(field, "names the service %q, which does not exist", of.Service)
		case of.Role != "" && !slices.Contains(services[i].Roles, of.Role):
			return saba.Invalidf(field, "names the role %q, which does not exist", of)
		}
		return nil
	}
	if m.Service != "" {
		if err := exists("service", saba.Scope{Service: m.Service}); err != nil {
			return err
		}
	}
	for i, scope := range m.Scopes {
		if err := exists(fmt.Sprintf("scopes[%d]", i), scope); err != nil {
			return err
		}
	}
	for i, scope := range m.ExcludeScopes {
		if err := exists(fmt.Sprintf("excludeScopes[%d]", i), scope); err != nil {
			return err
		}
	}
	return nil
}
