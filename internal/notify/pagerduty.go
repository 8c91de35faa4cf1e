package notify

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// pagerduty sends events to the Events API v2: an incident for each alert, by the alert's id. A channel that cannot be reached is one as well.
type pagerduty struct{ service }

const pagerdutyURL = "https://events.pagerduty.com"

// Limits of an event, in characters.
const (
	pagerdutySummary = 1024
	pagerdutyFact    = 4000
)

type pagerdutyEvent struct {
	Key       string           `json:"routing_key"`
	Action    string           `json:"event_action"`
	Dedup     string           `json:"dedup_key"`
	Client    string           `json:"client,omitempty"`
	ClientURL string           `json:"client_url,omitempty"`
	Payload   *pagerdutyAlert  `json:"payload,omitempty"`
	Links     []pagerdutyLink  `json:"links,omitempty"`
	Images    []pagerdutyImage `json:"images,omitempty"`
}

type pagerdutyAlert struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Time      string            `json:"timestamp"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

type pagerdutyLink struct {
	URL  string `json:"href"`
	Text string `json:"text"`
}

type pagerdutyImage struct {
	URL  string `json:"src"`
	Link string `json:"href,omitempty"`
	Alt  string `json:"alt"`
}

// Send implements Sender. A test opens an incident of the least severity and resolves it.
func (p pagerduty) Send(ctx context.Context, c saba.Channel, m Message) error {
	event := pagerdutyEvent{Key: c.Token, Action: "trigger"}
	switch {
	case m.Kind == saba.EventHandling:
		if m.Action != saba.ActionAcknowledge { // its events know nothing else that people do
			return nil
		}
		return p.send(ctx, &c, pagerdutyEvent{Key: c.Token, Action: "acknowledge", Dedup: m.Alert.ID})
	case m.Alert != nil:
		event.Dedup = m.Alert.ID
		if m.Alert.Status == saba.CheckOK {
			event.Action = "resolve"
		}
	case m.Channel != nil:
		event.Dedup = "channel-" + m.Channel.ID
		if m.Trouble == "" {
			event.Action = "resolve"
		}
	case m.Kind == saba.EventTest:
		event.Dedup = "test-" + m.Key
	default:
		return Final(errors.New("PagerDuty is told of alerts only"))
	}
	if event.Action == "trigger" {
		event.fill(&c, &m)
	}
	if err := p.send(ctx, &c, event); err != nil {
		return err
	}
	switch {
	case m.Alert != nil && event.Action == "trigger" && m.Alert.Handling.AckedBy != "":
		// It got worse or is told again after somebody took it: PagerDuty must not wake others for it.
		return p.send(ctx, &c, pagerdutyEvent{Key: c.Token, Action: "acknowledge", Dedup: event.Dedup})
	case m.Kind == saba.EventTest:
		return p.send(ctx, &c, pagerdutyEvent{Key: c.Token, Action: "resolve", Dedup: event.Dedup})
	}
	return nil
}

func (p pagerduty) send(ctx context.Context, c *saba.Channel, event pagerdutyEvent) error {
	return p.postJSON(ctx, at(c.URL, pagerdutyURL, "/v2/enqueue"), nil, event, c.Token)
}

// fill adds to an event what is shown of it.
func (event *pagerdutyEvent) fill(c *saba.Channel, m *Message) {
	plain := markup{}
	event.Client, event.ClientURL = "saba", m.Link()
	out := &pagerdutyAlert{
		Summary: plain.fit(m.Summary(), pagerdutySummary), Source: m.Org.Name, Severity: severity(m), Time: time.Unix(m.At, 0).UTC().Format(time.RFC3339),
		Component: plain.fit(m.Rule(), 255), Details: map[string]string{},
	}
	if m.Alert != nil {
		out.Class = m.Alert.Type
	}
	if m.Service != nil {
		out.Source, out.Group = m.Service.Name, m.Service.Name
	}
	if m.Host != nil {
		out.Source = m.Host.Label()
	}
	if out.Source == "" {
		out.Source = "saba"
	}
	for _, l := range m.lines(plain, pagerdutyFact) {
		out.Details[l.name] = l.value
	}
	if text := plain.fit(m.Text(), pagerdutyFact); text != "" {
		out.Details["Message"] = text
	}
	event.Payload = out
	for _, b := range m.buttons(c) {
		event.Links = append(event.Links, pagerdutyLink{b.url, b.label})
	}
	if picture := m.picture(c); strings.HasPrefix(picture, "https://") { // it shows no others
		event.Images = []pagerdutyImage{{picture, m.Link(), "Graph"}}
	}
}

// severity returns PagerDuty's word for the state of an alert.
func severity(m *Message) string {
	switch {
	case m.Status() == saba.CheckCritical:
		return "critical"
	case m.Status() == saba.CheckUnknown:
		return "error"
	case m.Status() == saba.CheckWarning, m.Kind == saba.EventChannel:
		return "warning"
	}
	return "info"
}
