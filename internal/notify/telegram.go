package notify

import (
	"context"
	"html"
	"strings"

	"github.com/saba-monitor/saba"
)

// telegram calls the Bot API. The graph is uploaded, as Telegram's servers need not reach saba's. Links stand in the text: Telegram refuses
// a message whole when a button of it leads to an address that it does not like, such as that of a console in a private network.
type telegram struct{ service }

const telegramURL = "https://api.telegram.org"

// Limits in characters: of a message, and of the text below a picture.
const (
	telegramText    = 4096
	telegramCaption = 1024
	telegramTitle   = 300
)

type telegramMessage struct {
	Chat    string          `json:"chat_id"`
	Text    string          `json:"text"`
	Mode    string          `json:"parse_mode"`
	Preview telegramPreview `json:"link_preview_options"`
}

type telegramPreview struct {
	Off bool `json:"is_disabled"`
}

func telegramMarkup() markup {
	return markup{
		escape: func(_, r rune) string { return html.EscapeString(string(r)) },
		link:   func(text, url string) string { return `<a href="` + html.EscapeString(url) + `">` + text + "</a>" },
	}
}

// Send implements Sender.
func (s telegram) Send(ctx context.Context, c saba.Channel, m Message) error {
	png, note := m.png(ctx, &c)
	method := at(c.URL, telegramURL, "/bot"+c.Token) // it has no characters that mean something in an address: saba.Channel.Check
	if png != nil {
		if err := s.sendPhoto(ctx, &c, &m, method, png); !isFinal(err) {
			return err
		}
		note = refusedPicture
	}
	return s.postJSON(ctx, method+"/sendMessage", nil, telegramMessage{c.To, m.html(&c, note, telegramText), "HTML", telegramPreview{true}}, c.Token)
}

func (s telegram) sendPhoto(ctx context.Context, c *saba.Channel, m *Message, method string, png []byte) error {
	body, contentType, err := withPicture([]line{{"chat_id", c.To}, {"caption", m.html(c, "", telegramCaption)}, {"parse_mode", "HTML"}}, "photo", png)
	if err != nil {
		return Final(err)
	}
	_, err = s.ask(ctx, request{url: method + "/sendPhoto", contentType: contentType, body: body, secrets: []string{c.Token}})
	return err
}

// html returns the whole message in most characters. What matters least is cut off first: facts, the last one first.
func (m *Message) html(c *saba.Channel, note string, most int) string {
	k := telegramMarkup()
	status := map[saba.CheckStatus]string{saba.CheckOK: "🟢 ", saba.CheckWarning: "🟠 ", saba.CheckCritical: "🔴 ", saba.CheckUnknown: "🟣 "}[m.Status()]
	head := status + "<b>" + k.fit(m.Title(), telegramTitle) + "</b>"
	if mention := k.fit(m.mention(c), most/4); mention != "" {
		head = mention + "\n" + head
	}
	var links []string
	for _, b := range m.buttons(c) {
		links = append(links, k.link(b.label, b.url))
	}
	tail := joined("\n", note, strings.Join(links, " · "))
	room := most - k.size(head) - k.size(tail) - 2
	if room < 0 { // an address of thousands of characters
		tail, room = "", most-k.size(head)-1
	}
	parts := []string{head}
	add := func(name, value string) {
		const least = 20
		if room -= k.size(name) + 1; value == "" || room < least {
			return
		}
		value = k.fit(value, min(room, most/2))
		room -= k.size(value)
		parts = append(parts, name+value)
	}
	add("", m.Text())
	for _, l := range m.lines(markup{}, most/2) {
		add(l.name+": ", l.value)
	}
	return joined("\n", append(parts, tail)...)
}
