package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/saba-monitor/saba"
)

// The calls of this file are saba's own: what people do about an alert, and who was told of it.

// handlingIn names the account that does something about an alert; an empty id takes it back. A key is of no account.
type handlingIn struct {
	UserID *string `json:"userId"`
}

// readUser reads the id of an account of the organization, or "".
func (s *server) readUser(c *call) (string, error) {
	var in handlingIn
	if err := c.decode(&in); err != nil {
		return "", err
	}
	if in.UserID == nil {
		return "", saba.Invalidf("userId", "is required: the id of an account, or an empty text to take it back")
	}
	if *in.UserID == "" {
		return "", nil
	}
	members, err := s.store.Members(c.Context(), c.org)
	if err != nil {
		return "", fmt.Errorf("list the members: %w", err)
	}
	if !slices.ContainsFunc(members, func(m saba.Member) bool { return m.ID == *in.UserID }) {
		return "", saba.Invalidf("userId", "must be the id of an account of the organization, not %q", clip(*in.UserID))
	}
	return *in.UserID, nil
}

// handleAlert lets somebody do something about an alert, and answers with the alert.
func (s *server) handleAlert(w http.ResponseWriter, c *call, change func(h *saba.Handling)) error {
	a, err := s.store.HandleAlert(c.Context(), c.org, c.PathValue("alert"), func(h saba.Handling) saba.Handling {
		change(&h)
		return h
	})
	return shown(s, w, c, a, err, newAlertOut)
}

// alertAcknowledge keeps who has acknowledged an alert: whoever was first, until that is taken back.
func (s *server) alertAcknowledge(w http.ResponseWriter, c *call) error {
	user, err := s.readUser(c)
	if err != nil {
		return err
	}
	return s.handleAlert(w, c, func(h *saba.Handling) {
		switch {
		case user == "":
			h.AckedBy, h.AckedAt = "", 0
		case h.AckedBy == "":
			h.AckedBy, h.AckedAt = user, s.now().Unix()
		}
	})
}

func (s *server) alertAssign(w http.ResponseWriter, c *call) error {
	user, err := s.readUser(c)
	if err != nil {
		return err
	}
	return s.handleAlert(w, c, func(h *saba.Handling) { h.Assignee = user })
}

type alertMuteIn struct {
	Until *int64 `json:"until"` // Unix seconds; 0 ends it
}

func (s *server) alertMute(w http.ResponseWriter, c *call) error {
	var in alertMuteIn
	if err := c.decode(&in); err != nil {
		return err
	}
	now := s.now().Unix()
	switch {
	case in.Until == nil:
		return saba.Invalidf("until", "is required: a time in Unix seconds, or 0 to tell of the alert again")
	case *in.Until != 0 && (*in.Until <= now || *in.Until > now+saba.MaxAlertMute):
		return saba.Invalidf("until", "must be a time in Unix seconds within the next year, not %d", *in.Until)
	}
	return s.handleAlert(w, c, func(h *saba.Handling) { h.MutedUntil = *in.Until })
}

// toldOut is an event of an alert, and who was told of it.
type toldOut struct {
	At       int64             `json:"at"`
	Event    saba.EventKind    `json:"event"`
	Action   saba.EventAction  `json:"action,omitempty"` // of alertHandling
	Name     string            `json:"name,omitempty"`   // of the account that it is about
	Status   saba.CheckStatus  `json:"status"`
	Trigger  saba.AlertTrigger `json:"trigger"`
	Decided  bool              `json:"decided"`           // it takes a second
	Silence  saba.Silence      `json:"silence,omitempty"` // why nobody was told
	Reason   string            `json:"reason,omitempty"`  // the same in words
	Channels []toldChannelOut  `json:"channels"`
}

type toldChannelOut struct {
	ID       string                 `json:"channelId"`
	State    saba.NotificationState `json:"state"`
	Silence  saba.Silence           `json:"silence,omitempty"`
	Reason   string                 `json:"reason,omitempty"` // why it was left, or what went wrong at the last try
	Attempts int64                  `json:"attempts"`
	NextTry  int64                  `json:"nextTryAt,omitempty"` // of one that waits
	DoneAt   int64                  `json:"doneAt,omitempty"`    // of one that does not
}

// alertNotifications answers with the newest events of an alert, at most as many as the limit.
func (s *server) alertNotifications(w http.ResponseWriter, c *call) error {
	_, limit, err := c.page()
	if err != nil {
		return err
	}
	id := c.PathValue("alert")
	if _, err := s.store.Alert(c.Context(), c.org, id); err != nil {
		return err
	}
	events, err := s.store.EventsOf(c.Context(), c.org, id, limit)
	if err != nil {
		return fmt.Errorf("list who was told of an alert: %w", err)
	}
	out := []toldOut{}
	for i := range events {
		e := &events[i]
		if e.Alert == nil {
			continue
		}
		t := toldOut{At: e.At, Event: e.Kind, Action: e.Action, Name: e.Who, Status: e.Alert.Status, Trigger: e.Trigger, Decided: e.Routed, Silence: e.Silence, Reason: e.Verdict.Detail, Channels: []toldChannelOut{}}
		for _, n := range e.Notifications {
			ch := toldChannelOut{ID: n.Channel, State: n.State, Silence: n.Silence, Reason: n.Detail, Attempts: n.Attempts, DoneAt: n.DoneAt}
			if n.State == saba.NotificationWaiting && n.Attempts > 0 {
				ch.NextTry = n.NextTry
			}
			t.Channels = append(t.Channels, ch)
		}
		out = append(out, t)
	}
	return s.json(w, c, under{"events": out})
}
