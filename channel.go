package saba

import (
	"net/mail"
	"slices"
)

// A ChannelType says by what way people are told.
type ChannelType string

// The types of channels that clients can make.
const (
	ChannelEmail   ChannelType = "email"
	ChannelSlack   ChannelType = "slack"
	ChannelWebhook ChannelType = "webhook"
)

// MadeChannelTypes lists the types that clients can make and change.
var MadeChannelTypes = []ChannelType{ChannelEmail, ChannelSlack, ChannelWebhook}

// ChannelTypes lists every type that there may be.
var ChannelTypes = []ChannelType{
	ChannelEmail, "email-broadcast", ChannelSlack, "chatwork", "twilio", "pagerduty", "opsgenie", "jira-service-management",
	"microsoft-teams", ChannelWebhook, "amazon-event-bridge", "line",
}

// ChannelEvents lists what a channel may be told.
var ChannelEvents = []string{"alert", "alertGroup", "hostStatus", "hostRegister", "hostRetire", "monitor"}

// A Channel is somebody or something that is told. Type says which fields it has; the others are zero. The
// JSON keys are the protocol's, and part of the schema in which channels are kept.
type Channel struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Type        ChannelType `json:"type"`
	SuspendedAt int64       `json:"suspendedAt,omitzero"` // Unix seconds; 0 while it works

	Emails            []string `json:"emails,omitempty"`           // email: addresses
	UserIDs           []string `json:"userIds,omitempty"`          // email: accounts, told by their address
	URL               string   `json:"url,omitzero"`               // slack, webhook; it may hold a secret
	Mentions          Mentions `json:"mentions,omitzero"`          // slack
	EnabledGraphImage bool     `json:"enabledGraphImage,omitzero"` // slack, webhook
	Events            []string `json:"events,omitempty"`           // of ChannelEvents
}

// Mentions are the texts that go before a message, by the level of its alert.
type Mentions struct {
	OK       string `json:"ok,omitzero"`
	Warning  string `json:"warning,omitzero"`
	Critical string `json:"critical,omitzero"`
}

const maxMention = 1000 // characters

// Check checks a channel field by field, and empties the fields that its type does not have. Whether its
// accounts exist is not its matter. The error is a FieldError.
func (c *Channel) Check() error {
	if err := checkOneOf("type", c.Type, ChannelTypes...); err != nil {
		return err
	}
	if !slices.Contains(MadeChannelTypes, c.Type) {
		return Invalidf("type", "must be email, slack or webhook: channels of the type %s cannot be made or changed by this call", c.Type)
	}
	if c.Type == ChannelEmail {
		c.URL, c.EnabledGraphImage = "", false
	} else {
		c.Emails, c.UserIDs = nil, nil
		if err := checkURL("url", c.URL); err != nil {
			return err
		}
	}
	if c.Type != ChannelSlack {
		c.Mentions = Mentions{}
	}
	for i, address := range c.Emails {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			return Invalidf("emails["+itoa(i)+"]", "must be an e-mail address, not %q", short(address))
		}
	}
	for i, e := range c.Events {
		if err := checkOneOf("events["+itoa(i)+"]", e, ChannelEvents...); err != nil {
			return err
		}
	}
	return firstError(
		checkLine("name", c.Name, 1, MaxObjectName),
		checkCount("emails", len(c.Emails), MaxReferences), checkIDs("userIds", c.UserIDs), checkOnce("events", c.Events),
		checkText("mentions.ok", c.Mentions.OK, maxMention), checkText("mentions.warning", c.Mentions.Warning, maxMention),
		checkText("mentions.critical", c.Mentions.Critical, maxMention))
}
