package notify

import (
	"context"
	"strings"
	"unicode"

	"github.com/saba-monitor/saba"
)

// mattermost posts to an incoming webhook. Its messages are like Slack's, but their text is Markdown, and a button would ask saba for an answer:
// links stand in the text.
type mattermost struct{ service }

// markdown is what Mattermost writes. A mention in what monitors and hosts say must alarm nobody: a blank of no width behind the @ ends it.
func markdown() markup {
	return markup{
		escape: func(before, r rune) string {
			if strings.ContainsRune("\\`*_[]~|#", r) {
				return `\` + string(r)
			}
			return quiet(before, r)
		},
		link: func(text, url string) string { return "[" + text + "](" + parenthesised(url) + ")" },
	}
}

// quiet writes a character so that no mention comes of it.
func quiet(before, r rune) string {
	if r == '@' && !unicode.IsLetter(before) && !unicode.IsDigit(before) {
		return "@\u200b"
	}
	return string(r)
}

// parenthesised returns an address that may stand within parentheses.
func parenthesised(url string) string {
	return strings.NewReplacer("(", "%28", ")", "%29", " ", "%20").Replace(url)
}

// Send implements Sender.
func (s mattermost) Send(ctx context.Context, c saba.Channel, m Message) error {
	k := markdown()
	out := attachment(&m, &c, k)
	out.Fallback = markup{escape: quiet}.fit(m.Summary(), slackTitle)
	var links []string
	for _, b := range m.buttons(&c) {
		links = append(links, k.link(b.label, b.url))
	}
	out.Text = joined("\n\n", out.Text, strings.Join(links, " · "))
	text := joined(" ", m.mention(&c), "**"+k.linked(m.Title(), m.Link(), slackTitle)+"**")
	return s.postJSON(ctx, c.URL, nil, slackMessage{text, []slackAttachment{out}})
}
