package saba

import (
	"net/mail"
	"slices"
	"strings"
)

// A ChannelType says by what way people are told.
type ChannelType string

// The types of channels that clients can make. The protocol's clients know the first three and read of others what all have.
const (
	ChannelEmail      ChannelType = "email"
	ChannelSlack      ChannelType = "slack"
	ChannelWebhook    ChannelType = "webhook"
	ChannelTeams      ChannelType = "microsoft-teams"
	ChannelDiscord    ChannelType = "discord"
	ChannelMattermost ChannelType = "mattermost"
	ChannelPagerDuty  ChannelType = "pagerduty"
	ChannelTelegram   ChannelType = "telegram"
	ChannelNtfy       ChannelType = "ntfy"
	ChannelTemplate   ChannelType = "template" // a request whose body the user writes
)

// ChannelTypes lists every type that there may be. Those without a ChannelKind are only read.
var ChannelTypes = []ChannelType{
	ChannelEmail, "email-broadcast", ChannelSlack, "chatwork", "twilio", ChannelPagerDuty, "opsgenie", "jira-service-management",
	ChannelTeams, ChannelWebhook, "amazon-event-bridge", "line", ChannelDiscord, ChannelMattermost, ChannelTelegram, ChannelNtfy, ChannelTemplate,
}

// ChannelEvents lists what a channel may be told. The last one is saba's own.
var ChannelEvents = []string{"alert", "alertGroup", "hostStatus", "hostRegister", "hostRetire", "monitor", "alertHandling"}

// A Channel is somebody or something that is told. Its ChannelKind says which fields its type has; the others are zero. The
// JSON keys are the protocol's where that has them, and part of the schema in which channels are kept.
type Channel struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Type        ChannelType `json:"type"`
	SuspendedAt int64       `json:"suspendedAt,omitzero"` // Unix seconds; 0 while it works

	Emails            []string `json:"emails,omitempty"`           // addresses
	UserIDs           []string `json:"userIds,omitempty"`          // accounts, told by their address
	URL               string   `json:"url,omitzero"`               // it may hold a secret
	Token             string   `json:"token,omitzero"`             // a secret
	To                string   `json:"to,omitzero"`                // whom of those behind URL: a chat, a topic
	Template          string   `json:"template,omitzero"`          // of the body, for text/template
	ContentType       string   `json:"contentType,omitzero"`       // of the body; "" means application/json
	Mentions          Mentions `json:"mentions,omitzero"`          // go before messages
	EnabledGraphImage bool     `json:"enabledGraphImage,omitzero"` // messages show the graph
	Events            []string `json:"events,omitempty"`           // of ChannelEvents
}

// Mentions are the texts that go before a message, by the level of its alert.
type Mentions struct {
	OK       string `json:"ok,omitzero"`
	Warning  string `json:"warning,omitzero"`
	Critical string `json:"critical,omitzero"`
}

// Check checks a channel field by field, and empties the fields that its type does not have. Whether its
// accounts exist is not its matter. The error is a FieldError. It never quotes a secret.
func (c *Channel) Check() error {
	if err := checkOneOf("type", c.Type, ChannelTypes...); err != nil {
		return err
	}
	kind, ok := ChannelKindOf(c.Type)
	if !ok {
		var types []string
		for _, k := range ChannelKinds {
			types = append(types, string(k.Type))
		}
		return Invalidf("type", "must be one of %s: channels of the type %s can only be read", strings.Join(types, ", "), c.Type)
	}
	only := Channel{ID: c.ID, Type: c.Type, SuspendedAt: c.SuspendedAt}
	for _, f := range kind.Fields {
		switch to := f.Of(&only).(type) {
		case *string:
			*to = *f.Of(c).(*string)
		case *[]string:
			*to = *f.Of(c).(*[]string)
		case *bool:
			*to = *f.Of(c).(*bool)
		case *Mentions:
			*to = *f.Of(c).(*Mentions)
		}
	}
	*c = only
	for _, f := range kind.Fields {
		if err := f.check(c); err != nil {
			return err
		}
	}
	if c.Type == ChannelEmail && len(c.Emails)+len(c.UserIDs) == 0 {
		return Invalidf("emails", "or userIds must name somebody: nobody is told by a channel without an address")
	}
	for i, e := range c.Events {
		if err := checkOneOf("events["+itoa(i)+"]", e, kind.Events...); err != nil {
			return err
		}
	}
	return checkOnce("events", c.Events)
}

// check checks what a channel has in the field.
func (f ChannelField) check(c *Channel) error {
	switch p := f.Of(c).(type) {
	case *string:
		return f.checkText(*p)
	case *[]string:
		if f.Input == ChannelInputAccounts {
			return checkIDs(f.Name, *p)
		}
		for i, address := range *p {
			if f.Input != ChannelInputEmails {
				break
			}
			if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
				return Invalidf(f.Name+"["+itoa(i)+"]", "must be an e-mail address, not %q", short(address))
			}
		}
		return checkCount(f.Name, len(*p), f.Most)
	case *Mentions:
		return firstError(checkText(f.Name+".ok", p.OK, f.Most), checkText(f.Name+".warning", p.Warning, f.Most), checkText(f.Name+".critical", p.Critical, f.Most))
	}
	return nil
}

func (f ChannelField) checkText(s string) error {
	least := 0
	if f.Required {
		least = 1
	}
	switch {
	case s == "" && !f.Required:
		return nil
	case f.Input == ChannelInputTemplate:
		if s == "" {
			return Invalidf(f.Name, "is required, and must not be empty")
		}
		if err := checkText(f.Name, s, f.Most); err != nil {
			return err
		}
		return checkTemplate(f.Name, s)
	case f.Input == ChannelInputURL:
		err := checkURL(f.Name, s)
		if err != nil && s != "" && f.Secret {
			return Invalidf(f.Name, "must be an address of %d bytes or fewer that begins with http:// or https://", maxURL)
		}
		return err
	}
	if err := checkLine(f.Name, s, least, f.Most); err != nil {
		return err
	}
	if f.fits != nil && !f.fits(s) {
		return Invalidf(f.Name, "must be %s", f.must)
	}
	return nil
}

// KeepSecrets fills the secrets that c lacks with those of old, the channel that it replaces: who changes a channel does not know them.
// Secrets whose names are in cleared stay empty. A token is not kept when the address that it goes to is another one: who may not
// read it could have it sent to himself.
func (c *Channel) KeepSecrets(old *Channel, cleared ...string) error {
	kind, ok := ChannelKindOf(c.Type)
	if !ok || c.Type != old.Type {
		return nil // Check says what is wrong
	}
	given := c.URL
	for _, f := range kind.Fields {
		if !f.Secret || slices.Contains(cleared, f.Name) {
			continue
		}
		mine, kept := f.Of(c).(*string), *f.Of(old).(*string)
		if *mine != "" || kept == "" {
			continue
		}
		if f.Name == "token" && given != old.URL && (given != "" || !kind.hides("url")) {
			return Invalidf(f.Name, "is required anew, as the address that it is sent to is another one")
		}
		*mine = kept
	}
	return nil
}
