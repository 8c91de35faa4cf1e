package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// channelIn is a channel as clients send it. A secret that is absent stays as it was.
type channelIn struct {
	Name              string           `json:"name"`
	Type              saba.ChannelType `json:"type"`
	Emails            []string         `json:"emails"`
	UserIDs           []string         `json:"userIds"`
	URL               *string          `json:"url"`
	Token             *string          `json:"token"`
	To                string           `json:"to"`
	Template          string           `json:"template"`
	ContentType       string           `json:"contentType"`
	Mentions          saba.Mentions    `json:"mentions"` // {} of every type
	EnabledGraphImage bool             `json:"enabledGraphImage"`
	Events            []string         `json:"events"`
}

// readChannel reads a channel into in, which is or holds a channelIn. A key of its mentions that means nothing is an error: whoever wrote "Critical "
// or "unknown" thinks that somebody is woken.
func (c *call) readChannel(in any, of *channelIn) error {
	if err := c.decode(in); err != nil {
		return err
	}
	kind, _ := saba.ChannelKindOf(of.Type)
	if !kind.Shows("mentions") {
		return nil
	}
	var sent struct {
		Mentions map[string]json.RawMessage `json:"mentions"`
	}
	if err := json.Unmarshal(c.sent, &sent); err != nil {
		return fmt.Errorf("read the mentions of a channel again: %w", err)
	}
	levels := []string{"ok", "warning", "critical"}
	var unknown []string
	for key := range sent.Mentions {
		if !slices.ContainsFunc(levels, func(l string) bool { return strings.EqualFold(l, key) }) {
			unknown = append(unknown, strconv.Quote(clip(key)))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return saba.Invalidf("mentions", "may have the keys %s, not %s", strings.Join(levels, ", "), strings.Join(unknown[:min(len(unknown), 5)], ", "))
}

// channel makes a channel of the fields that belong to its type. old is the one that it replaces, nil when it is new.
func (in channelIn) channel(old *saba.Channel) (saba.Channel, error) {
	ch := saba.Channel{
		Name: in.Name, Type: in.Type, Emails: in.Emails, UserIDs: in.UserIDs, To: in.To, Template: in.Template, ContentType: in.ContentType,
		Mentions: in.Mentions, EnabledGraphImage: in.EnabledGraphImage, Events: in.Events,
	}
	var cleared []string
	for _, secret := range []struct {
		name string
		sent *string
		to   *string
	}{{"url", in.URL, &ch.URL}, {"token", in.Token, &ch.Token}} {
		if secret.sent == nil {
			continue
		}
		if *secret.to = *secret.sent; *secret.sent == "" {
			cleared = append(cleared, secret.name)
		}
	}
	if old != nil {
		if in.Type != old.Type {
			return ch, saba.Invalidf("type", "must stay %s, not become %q", old.Type, clip(string(in.Type)))
		}
		ch.ID, ch.SuspendedAt = old.ID, old.SuspendedAt
		if err := ch.KeepSecrets(old, cleared...); err != nil {
			return ch, err
		}
	}
	return ch, ch.Check()
}

// channelOut is a channel as clients read it. The types that clients can make always have what is theirs to be read, since clients
// take lists for granted; others never have any. The address of a Slack channel or a webhook is in it, though it may hold
// a token: clients compare it with what they sent.
type channelOut struct {
	ID                string           `json:"id"`
	Name              string           `json:"name"`
	Type              saba.ChannelType `json:"type"`
	SuspendedAt       *int64           `json:"suspendedAt"` // null while it works
	Emails            *[]string        `json:"emails,omitzero"`
	UserIDs           *[]string        `json:"userIds,omitzero"`
	URL               *string          `json:"url,omitzero"`
	To                *string          `json:"to,omitzero"`
	Template          *string          `json:"template,omitzero"`
	ContentType       *string          `json:"contentType,omitzero"`
	Mentions          *saba.Mentions   `json:"mentions,omitzero"`
	EnabledGraphImage *bool            `json:"enabledGraphImage,omitzero"`
	Events            *[]string        `json:"events,omitzero"`
}

func newChannelOut(ch saba.Channel) channelOut {
	out := channelOut{ID: ch.ID, Name: ch.Name, Type: ch.Type}
	if ch.SuspendedAt != 0 {
		out.SuspendedAt = &ch.SuspendedAt
	}
	kind, _ := saba.ChannelKindOf(ch.Type)
	list := func(name string, in []string) *[]string {
		if !kind.Shows(name) {
			return nil
		}
		return new(append([]string{}, in...))
	}
	out.Emails, out.UserIDs, out.Events = list("emails", ch.Emails), list("userIds", ch.UserIDs), list("events", ch.Events)
	out.URL, out.To = ifShown(kind, "url", ch.URL), ifShown(kind, "to", ch.To)
	out.Template, out.ContentType = ifShown(kind, "template", ch.Template), ifShown(kind, "contentType", ch.ContentType)
	out.Mentions, out.EnabledGraphImage = ifShown(kind, "mentions", ch.Mentions), ifShown(kind, "enabledGraphImage", ch.EnabledGraphImage)
	return out
}

// ifShown returns a field's value; nil where clients do not read the field.
func ifShown[T any](k saba.ChannelKind, name string, v T) *T {
	if !k.Shows(name) {
		return nil
	}
	return &v
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
	if err := c.readChannel(&in, &in.channelIn); err != nil {
		return err
	}
	ch, err := in.channel(nil)
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
	if err := c.readChannel(&in, &in); err != nil {
		return err
	}
	ch, err := s.store.UpdateChannel(c.Context(), c.org, c.PathValue("channel"), func(old saba.Channel) (saba.Channel, error) {
		return in.channel(&old)
	})
	return shown(s, w, c, ch, err, newChannelOut)
}

func (s *server) channelDelete(w http.ResponseWriter, c *call) error {
	ch, err := s.store.DeleteChannel(c.Context(), c.org, c.PathValue("channel"))
	return shown(s, w, c, ch, err, newChannelOut)
}

// channel returns the channel that a call's path names.
func (s *server) channel(c *call) (saba.Channel, error) {
	id := c.PathValue("channel")
	all, err := s.store.Channels(c.Context(), c.org)
	if err != nil {
		return saba.Channel{}, fmt.Errorf("list channels: %w", err)
	}
	i := slices.IndexFunc(all, func(ch saba.Channel) bool { return ch.ID == id })
	if i < 0 {
		return saba.Channel{}, saba.Errorf(saba.ErrNotFound, "no channel %q", clip(id))
	}
	return all[i], nil
}

func (s *server) channelTest(w http.ResponseWriter, c *call) error {
	ch, err := s.channel(c)
	if err != nil {
		return err
	}
	if s.notifier == nil {
		return saba.Errorf(saba.ErrUnavailable, "this server tells no channels")
	}
	if err := s.notifier.Test(c.Context(), ch, ""); err != nil {
		return err
	}
	return s.json(w, c, success{true})
}

// channelRelease lets a channel that was suspended be told again, of what happens from now on.
func (s *server) channelRelease(w http.ResponseWriter, c *call) error {
	if err := s.store.SuspendChannel(c.Context(), c.org, c.PathValue("channel"), 0, ""); err != nil {
		return err
	}
	ch, err := s.channel(c)
	return shown(s, w, c, ch, err, newChannelOut)
}
