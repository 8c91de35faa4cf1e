package api

import (
	"net/http"

	"github.com/saba-monitor/saba"
)

type channelIn struct {
	Name              string           `json:"name"`
	Type              saba.ChannelType `json:"type"`
	Emails            []string         `json:"emails"`
	UserIDs           []string         `json:"userIds"`
	URL               string           `json:"url"`
	Mentions          saba.Mentions    `json:"mentions"` // {} of every type
	EnabledGraphImage bool             `json:"enabledGraphImage"`
	Events            []string         `json:"events"`
}

func (in channelIn) channel() (saba.Channel, error) {
	ch := saba.Channel{
		Name: in.Name, Type: in.Type, Emails: in.Emails, UserIDs: in.UserIDs, URL: in.URL,
		Mentions: in.Mentions, EnabledGraphImage: in.EnabledGraphImage, Events: in.Events,
	}
	return ch, ch.Check()
}

// channelOut is a channel as clients read it. The types that clients can make always have their
// lists, since clients take them for granted; others never have one. The address is in it, though it may hold
// a token: clients compare it with what they sent.
type channelOut struct {
	ID                string           `json:"id"`
	Name              string           `json:"name"`
	Type              saba.ChannelType `json:"type"`
	SuspendedAt       *int64           `json:"suspendedAt"` // null while it works
	Emails            *[]string        `json:"emails,omitzero"`
	UserIDs           *[]string        `json:"userIds,omitzero"`
	URL               *string          `json:"url,omitzero"`
	Mentions          *saba.Mentions   `json:"mentions,omitzero"`
	EnabledGraphImage *bool            `json:"enabledGraphImage,omitzero"`
	Events            *[]string        `json:"events,omitzero"`
}

func newChannelOut(ch saba.Channel) channelOut {
	out := channelOut{ID: ch.ID, Name: ch.Name, Type: ch.Type}
	if ch.SuspendedAt != 0 {
		out.SuspendedAt = &ch.SuspendedAt
	}
	filled := func(in []string) *[]string { return new(append([]string{}, in...)) }
	switch ch.Type {
	case saba.ChannelEmail:
		out.Emails, out.UserIDs, out.Events = filled(ch.Emails), filled(ch.UserIDs), filled(ch.Events)
	case saba.ChannelSlack:
		out.URL, out.Mentions, out.EnabledGraphImage, out.Events = &ch.URL, &ch.Mentions, &ch.EnabledGraphImage, filled(ch.Events)
	case saba.ChannelWebhook:
		out.URL, out.EnabledGraphImage, out.Events = &ch.URL, &ch.EnabledGraphImage, filled(ch.Events)
	}
	return out
}

func (s *server) channelList(w http.ResponseWriter, c *call) error {
	all, err := s.store.Channels(c.Context(), c.org)
	return listed(s, w, c, "channels", all, err, newChannelOut)
}

// newChannelIn is channelIn and what only a new channel has.
type newChannelIn struct {
	channelIn
	ToDefault *bool `json:"addToDefaultNotificationGroup"` // absent means true, as on the console
}

func (s *server) channelCreate(w http.ResponseWriter, c *call) error {
	var in newChannelIn
	if err := c.decode(&in); err != nil {
		return err
	}
	ch, err := in.channel()
	if err != nil {
		return err
	}
	if ch.ID, err = s.newID(); err != nil {
		return err
	}
	return shown(s, w, c, ch, s.store.CreateChannel(c.Context(), c.org, ch, in.ToDefault == nil || *in.ToDefault), newChannelOut)
}

func (s *server) channelUpdate(w http.ResponseWriter, c *call) error {
	var in channelIn
	if err := c.decode(&in); err != nil {
		return err
	}
	ch, err := s.store.UpdateChannel(c.Context(), c.org, c.PathValue("channel"), func(old saba.Channel) (saba.Channel, error) {
		if in.Type != old.Type {
			return saba.Channel{}, saba.Invalidf("type", "must stay %s, not become %q", old.Type, clip(string(in.Type)))
		}
		ch, err := in.channel()
		ch.ID, ch.SuspendedAt = old.ID, old.SuspendedAt
		return ch, err
	})
	return shown(s, w, c, ch, err, newChannelOut)
}

func (s *server) channelDelete(w http.ResponseWriter, c *call) error {
	ch, err := s.store.DeleteChannel(c.Context(), c.org, c.PathValue("channel"))
	return shown(s, w, c, ch, err, newChannelOut)
}
