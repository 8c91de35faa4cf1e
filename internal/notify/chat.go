package notify

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/saba-monitor/saba"
)

// What the services of chats have in common: a markup of their own, limits, a graph, links. Each service's file says what is its own.

// pictureTimeout bounds the drawing of a graph that is sent along: what is told must not wait for it.
const pictureTimeout = 5 * time.Second

// A markup says how a service writes text.
type markup struct {
	escape func(before, r rune) string   // writes a character after another as what it is; nil where all mean themselves
	link   func(text, url string) string // writes a link; text is escaped. nil where there are none
	bytes  bool                          // the service's limits are of bytes; otherwise UTF-16 code units, of which no service's characters have fewer
}

// size returns how much of a limit a text takes.
func (k markup) size(s string) (n int) {
	if k.bytes {
		return len(s)
	}
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// fit escapes a text. What does not fit in most is cut off at a character, never within what it was escaped to, and an ellipsis says so.
func (k markup) fit(s string, most int) string {
	const ellipsis = "…"
	var b strings.Builder
	total, end, before := 0, 0, rune(' ')
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' {
			continue // no service shows it, and in JSON it takes six bytes
		}
		piece := string(r)
		if k.escape != nil {
			piece = k.escape(before, r)
		}
		total += k.size(piece)
		if total > most {
			if most < k.size(ellipsis) {
				return ""
			}
			return b.String()[:end] + ellipsis
		}
		b.WriteString(piece)
		if total+k.size(ellipsis) <= most {
			end = b.Len()
		}
		before = r
	}
	return b.String()
}

// linked escapes a text, and makes a link of it where there is an address and room for it.
func (k markup) linked(text, url string, most int) string {
	const least = 20 // of the text
	if url != "" && k.link != nil {
		if room := most - k.size(k.link("", url)); room >= least {
			return k.link(k.fit(text, room), url)
		}
	}
	return k.fit(text, most)
}

// A line is what a chat says of a fact, in its markup.
type line struct{ name, value string }

// lines returns the facts of a message, with those of one name in one line, each of most at most.
func (m *Message) lines(k markup, most int) (lines []line) {
	const more = ", …"
	for _, f := range m.Facts() {
		if strings.TrimSpace(f.Value) == "" { // Discord refuses a message for it
			continue
		}
		value := k.linked(f.Value, f.Link, most-k.size(more))
		last := len(lines) - 1
		switch {
		case last < 0 || lines[last].name != f.Name:
			lines = append(lines, line{f.Name, value})
		case k.size(lines[last].value+", "+value+more) <= most:
			lines[last].value += ", " + value
		case !strings.HasSuffix(lines[last].value, more):
			lines[last].value += more
		}
	}
	return lines
}

// Summary returns the message in one line, for where there is room for no more: a phone's lock screen.
func (m *Message) Summary() string {
	if text := strings.Join(strings.Fields(m.Text()), " "); text != "" {
		return m.Title() + " - " + text
	}
	return m.Title()
}

// mention returns the text that goes before the message. UNKNOWN has that of CRITICAL, since nobody knows that it is less.
func (m *Message) mention(c *saba.Channel) string {
	if m.Kind == saba.EventHandling { // whoever hears that somebody is at it need not come
		return ""
	}
	switch m.Status() {
	case saba.CheckOK:
		return c.Mentions.OK
	case saba.CheckWarning:
		return c.Mentions.Warning
	case saba.CheckCritical, saba.CheckUnknown:
		return c.Mentions.Critical
	}
	return ""
}

// A button is a link that a message ends with.
type button struct{ label, url string }

// buttons returns the links to the page of what the message is about, and to its graph.
func (m *Message) buttons(c *saba.Channel) (all []button) {
	if link := m.Link(); link != "" {
		label := "Open saba"
		switch {
		case m.Group != nil:
			label = "Open alerts"
		case m.Alert != nil:
			label = "Open alert"
		case m.Host != nil:
			label = "Open host"
		case m.Monitor != nil && m.Action != saba.ActionDelete:
			label = "Open monitor"
		case m.Channel != nil:
			label = "Open channel"
		}
		all = append(all, button{label, link})
	}
	if picture := m.picture(c); picture != "" {
		all = append(all, button{"Graph", picture})
	}
	return all
}

// picture returns the address of the graph; "" where there is none, or the channel shows none.
func (m *Message) picture(c *saba.Channel) string {
	if !c.EnabledGraphImage {
		return ""
	}
	return m.Picture
}

// png returns the graph itself; nil where there is none, the channel shows none, or it cannot be drawn: then note says so.
func (m *Message) png(ctx context.Context, c *saba.Channel) (png []byte, note string) {
	if !c.EnabledGraphImage {
		return nil, ""
	}
	return m.drawn(ctx)
}

// drawn returns the graph itself; nil where there is none, or it cannot be drawn: then note says so.
func (m *Message) drawn(ctx context.Context) (png []byte, note string) {
	if m.PNG == nil {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(ctx, pictureTimeout)
	defer cancel()
	png, err := m.PNG(ctx)
	if err != nil {
		return nil, "The graph could not be drawn."
	}
	return png, ""
}

// refusedPicture stands in a message in place of a graph that the service did not take: the alert must arrive without it.
const refusedPicture = "The service did not take the graph."

// postJSON sends a value to a service. secrets are what its errors must not show, besides what is in the address.
func (s service) postJSON(ctx context.Context, url string, header http.Header, v any, secrets ...string) error {
	body, err := toJSON(v)
	if err != nil {
		return Final(err)
	}
	_, err = s.ask(ctx, request{url: url, header: header, body: []byte(body), secrets: secrets})
	return err
}

// at returns the address of a call: base is the user's, usual the service's own.
func at(base, usual, path string) string {
	if base == "" {
		base = usual
	}
	return strings.TrimRight(base, "/") + path
}

// joined joins what is not empty.
func joined(with string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), with)
}
