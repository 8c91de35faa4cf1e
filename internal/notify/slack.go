package notify

import (
	"context"
	"strings"

	"github.com/saba-monitor/saba"
)

// slack posts to an incoming webhook. It uses attachments and not blocks: only they have a coloured bar, a text for lock screens, and
// buttons that open a link without asking the app for an answer.
type slack struct{ service }

// Limits of what is said, in characters. Slack cuts a message at 40,000, and folds an attachment away behind "Show more" well before.
const (
	slackTitle = 500
	slackText  = 3000
	slackField = 2000
)

type slackMessage struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Colour   string        `json:"color"`
	Fallback string        `json:"fallback"` // what is shown where attachments are not
	Text     string        `json:"text,omitempty"`
	Fields   []slackFact   `json:"fields,omitempty"`
	Image    string        `json:"image_url,omitempty"`
	Actions  []slackButton `json:"actions,omitempty"`
	Footer   string        `json:"footer,omitempty"`
	Time     int64         `json:"ts,omitempty"` // Unix seconds
}

type slackFact struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"` // two of them stand side by side
}

type slackButton struct {
	Type string `json:"type"`
	Text string `json:"text"`
	URL  string `json:"url"`
}

// slackMarkup is Slack's: three characters are special, and only they.
func slackMarkup() markup {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	return markup{
		escape: func(_, r rune) string { return escape.Replace(string(r)) },
		link: func(text, url string) string {
			return "<" + escape.Replace(strings.ReplaceAll(url, "|", "%7C")) + "|" + text + ">"
		},
	}
}

// Send implements Sender.
func (s slack) Send(ctx context.Context, c saba.Channel, m Message) error {
	k := slackMarkup()
	out := attachment(&m, &c, k)
	for _, b := range m.buttons(&c) {
		out.Actions = append(out.Actions, slackButton{"button", b.label, b.url})
	}
	text := joined(" ", m.mention(&c), "*"+k.linked(m.Title(), m.Link(), slackTitle)+"*")
	return s.postJSON(ctx, c.URL, nil, slackMessage{text, []slackAttachment{out}})
}

// attachment returns what Slack and those who follow it show beside a coloured bar.
func attachment(m *Message, c *saba.Channel, k markup) slackAttachment {
	out := slackAttachment{
		Colour: m.Colour(), Fallback: k.fit(m.Summary(), slackTitle), Text: k.fit(m.Text(), slackText),
		Image: m.picture(c), Footer: k.fit(m.Org.Name, 100), Time: m.At,
	}
	for _, l := range m.lines(k, slackField) {
		out.Fields = append(out.Fields, slackFact{l.name, l.value, len(l.value) < 120 && l.name != "Memo"})
	}
	return out
}
