package notify

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

// ntfy publishes a message to a topic, as JSON.
type ntfy struct{ service }

const ntfyURL = "https://ntfy.sh"

// Limits in bytes. A longer text becomes a file, which a phone does not show.
const (
	ntfyTitle = 250
	ntfyText  = 3500
)

type ntfyMessage struct {
	Topic    string       `json:"topic"`
	Title    string       `json:"title"`
	Text     string       `json:"message"`
	Priority int          `json:"priority"` // 1 to 5; 3 is the usual
	Tags     []string     `json:"tags,omitempty"`
	Click    string       `json:"click,omitempty"`
	Actions  []ntfyAction `json:"actions,omitempty"`
	Attach   string       `json:"attach,omitempty"`
	File     string       `json:"filename,omitempty"`
}

type ntfyAction struct {
	Action string `json:"action"`
	Label  string `json:"label"`
	URL    string `json:"url"`
}

// Send implements Sender.
func (s ntfy) Send(ctx context.Context, c saba.Channel, m Message) error {
	plain := markup{bytes: true}
	parts := []string{plain.fit(m.Text(), ntfyText/2)}
	for _, l := range m.lines(plain, ntfyText/2) {
		parts = append(parts, l.name+": "+l.value)
	}
	out := ntfyMessage{Topic: c.To, Title: plain.fit(m.Title(), ntfyTitle), Text: plain.fit(joined("\n", parts...), ntfyText), Click: m.Link(), Attach: m.picture(&c)}
	out.Priority, out.Tags = urgency(m.Status())
	if m.Kind == saba.EventHandling { // whoever hears that somebody is at it may sleep on
		out.Priority, _ = urgency("")
	}
	if out.Text == "" {
		out.Text = out.Title // an empty one is shown as "triggered"
	}
	if out.Attach != "" {
		out.File = "graph.png"
	}
	for _, b := range m.buttons(&c) {
		out.Actions = append(out.Actions, ntfyAction{"view", b.label, b.url})
	}
	header := http.Header{}
	if c.Token != "" {
		header.Set("Authorization", "Bearer "+c.Token)
	}
	return s.postJSON(ctx, at(c.URL, ntfyURL, "/"), header, out, c.Token)
}

// urgency returns the priority of a state, and the tags that ntfy shows as pictures.
func urgency(s saba.CheckStatus) (priority int, tags []string) {
	switch s {
	case saba.CheckCritical:
		return 5, []string{"rotating_light"}
	case saba.CheckUnknown:
		return 5, []string{"question"}
	case saba.CheckWarning:
		return 4, []string{"warning"}
	case saba.CheckOK:
		return 3, []string{"white_check_mark"}
	}
	return 3, nil
}
