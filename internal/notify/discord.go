package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// discord executes a webhook. The graph is uploaded, as Discord's servers need not reach saba's.
type discord struct{ service }

// Limits of an embed, in characters; all its texts together have at most 6,000. Facts are ten at most, of which most are short.
const (
	discordTitle = 256
	discordText  = 2000
	discordField = 1000
	discordAll   = 5800
)

type discordMessage struct {
	Content  string          `json:"content,omitempty"`
	Embeds   []discordEmbed  `json:"embeds"`
	Mentions discordMentions `json:"allowed_mentions"`
}

type discordMentions struct {
	Parse []string `json:"parse"`
}

type discordEmbed struct {
	Title  string         `json:"title"`
	URL    string         `json:"url,omitempty"`
	Text   string         `json:"description,omitempty"`
	Colour int64          `json:"color"`
	Fields []discordFact  `json:"fields,omitempty"`
	Image  *discordImage  `json:"image,omitempty"`
	Footer *discordFooter `json:"footer,omitempty"`
	Time   string         `json:"timestamp,omitempty"`
}

type discordFact struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

type discordImage struct {
	URL string `json:"url"`
}

type discordFooter struct {
	Text string `json:"text"`
}

func discordMarkup() markup {
	return markup{
		escape: func(_, r rune) string {
			if strings.ContainsRune("\\`*_[]~|<>#", r) {
				return `\` + string(r)
			}
			return string(r)
		},
		link: func(text, url string) string { return "[" + text + "](" + parenthesised(url) + ")" },
	}
}

// Send implements Sender.
func (s discord) Send(ctx context.Context, c saba.Channel, m Message) error {
	k := discordMarkup()
	png, note := m.png(ctx, &c)
	var links []string
	for _, b := range m.buttons(&c) {
		links = append(links, k.link(b.label, b.url))
	}
	colour, err := strconv.ParseInt(m.Colour()[1:], 16, 32)
	if err != nil {
		return Final(err)
	}
	text := func(note string) string {
		return joined("\n", k.fit(m.Text(), discordText), note, strings.Join(links, " · "))
	}
	embed := discordEmbed{Title: k.fit(m.Title(), discordTitle), URL: m.Link(), Colour: colour, Text: text(note), Time: time.Unix(m.At, 0).UTC().Format(time.RFC3339)}
	footer := k.fit(m.Org.Name, 100)
	if footer != "" {
		embed.Footer = &discordFooter{footer}
	}
	all := k.size(embed.Title + embed.Text + footer)
	for _, l := range m.lines(k, discordField) {
		if all += k.size(l.name + l.value); all > discordAll {
			break
		}
		embed.Fields = append(embed.Fields, discordFact{l.name, l.value, k.size(l.value) < 120 && l.name != "Memo"})
	}
	// Only the mentions of the channel alarm: those in an embed never do.
	message := discordMessage{m.mention(&c), []discordEmbed{embed}, discordMentions{[]string{"everyone", "roles", "users"}}}
	address, err := url.Parse(c.URL)
	if err != nil {
		return Final(errors.New("the channel's address cannot be read: set it anew"))
	}
	q := address.Query()
	q.Set("wait", "true") // the answer is given when the message is there, and not before
	address.RawQuery = q.Encode()
	if png != nil {
		message.Embeds[0].Image = &discordImage{"attachment://graph.png"}
		if err := s.upload(ctx, address.String(), message, png); !isFinal(err) {
			return err
		}
		message.Embeds[0].Image, message.Embeds[0].Text = nil, text(refusedPicture)
	}
	return s.postJSON(ctx, address.String(), nil, message)
}

// upload sends a message with its graph.
func (s discord) upload(ctx context.Context, address string, message discordMessage, png []byte) error {
	payload, err := toJSON(message)
	if err != nil {
		return Final(err)
	}
	body, contentType, err := withPicture([]line{{"payload_json", payload}}, "files[0]", png)
	if err != nil {
		return Final(err)
	}
	_, err = s.ask(ctx, request{url: address, contentType: contentType, body: body})
	return err
}

// withPicture returns a form with a picture in it.
func withPicture(fields []line, name string, png []byte) (body []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		if err := w.WriteField(f.name, f.value); err != nil {
			return nil, "", err
		}
	}
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {fmt.Sprintf(`form-data; name=%q; filename="graph.png"`, name)}, "Content-Type": {"image/png"},
	})
	if err != nil {
		return nil, "", err
	}
	if _, err := part.Write(png); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}
