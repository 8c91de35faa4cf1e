package notify

import (
	"context"
	"strings"

	"github.com/saba-monitor/saba"
)

// teams posts an Adaptive Card to a workflow of Microsoft Teams that begins "when a webhook request is received". The connectors of old, whose
// addresses have webhook.office.com in them and which took another format, are retired.
type teams struct{ service }

// Limits in characters, so that a card stays below the 28 KB that Teams takes, whatever is in it.
const (
	teamsTitle = 300
	teamsText  = 2000
	teamsFact  = 800
)

type teamsMessage struct {
	Type        string            `json:"type"`
	Summary     string            `json:"summary"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string    `json:"contentType"`
	Content     teamsCard `json:"content"`
}

type teamsCard struct {
	Schema   string         `json:"$schema"`
	Type     string         `json:"type"`
	Version  string         `json:"version"`
	Fallback string         `json:"fallbackText"`
	Wide     map[string]any `json:"msteams"`
	Body     []any          `json:"body"`
	Actions  []teamsAction  `json:"actions,omitempty"`
}

type teamsContainer struct {
	Type  string      `json:"type"`
	Style string      `json:"style"`
	Bleed bool        `json:"bleed"`
	Items []teamsBold `json:"items"`
}

type teamsBold struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Weight string `json:"weight,omitempty"`
	Size   string `json:"size,omitempty"`
	Wrap   bool   `json:"wrap"`
}

type teamsFacts struct {
	Type  string      `json:"type"`
	Facts []teamsPair `json:"facts"`
}

type teamsPair struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

type teamsImage struct {
	Type string `json:"type"`
	URL  string `json:"url"`
	Alt  string `json:"altText"`
	Size string `json:"size"`
}

type teamsAction struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

func teamsMarkup() markup {
	return markup{
		escape: func(_, r rune) string {
			switch {
			case strings.ContainsRune("\\*_[]`", r):
				return `\` + string(r)
			case r == '\n': // one alone is a blank
				return "\n\n"
			}
			return string(r)
		},
		link: func(text, url string) string { return "[" + text + "](" + parenthesised(url) + ")" },
	}
}

// Send implements Sender.
func (s teams) Send(ctx context.Context, c saba.Channel, m Message) error {
	k := teamsMarkup()
	summary := markup{}.fit(m.Summary(), teamsTitle)
	card := teamsCard{
		Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4", Fallback: summary, Wide: map[string]any{"width": "Full"},
		Body: []any{teamsContainer{"Container", teamsStyle(m.Status()), true, []teamsBold{{"TextBlock", k.fit(m.Title(), teamsTitle), "Bolder", "Medium", true}}}},
	}
	if text := k.fit(m.Text(), teamsText); text != "" {
		card.Body = append(card.Body, teamsBold{Type: "TextBlock", Text: text, Wrap: true})
	}
	facts := teamsFacts{Type: "FactSet"}
	for _, l := range m.lines(k, teamsFact) {
		facts.Facts = append(facts.Facts, teamsPair{l.name, l.value})
	}
	if facts.Facts != nil {
		card.Body = append(card.Body, facts)
	}
	if picture := m.picture(&c); picture != "" {
		card.Body = append(card.Body, teamsImage{"Image", picture, "Graph", "Stretch"})
	}
	for _, b := range m.buttons(&c) {
		card.Actions = append(card.Actions, teamsAction{"Action.OpenUrl", b.label, b.url})
	}
	return s.postJSON(ctx, c.URL, nil, teamsMessage{"message", summary, []teamsAttachment{{"application/vnd.microsoft.card.adaptive", card}}})
}

// teamsStyle returns the colour behind the title, of those that a card has.
func teamsStyle(s saba.CheckStatus) string {
	switch s {
	case saba.CheckOK:
		return "good"
	case saba.CheckWarning:
		return "warning"
	case saba.CheckCritical:
		return "attention"
	case saba.CheckUnknown:
		return "accent"
	}
	return "emphasis"
}
