package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// receiverTimeout is how long a receiver is waited for: stories must end.
const receiverTimeout = time.Second

// A receiver is what a channel leads to: a server on the loopback that takes messages, or does worse.
type receiver struct {
	mu   sync.Mutex
	deed string
	got  []string // messages that were not asked for yet, as words
	last any      // the body of the newest
}

// ServeHTTP takes one message.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body map[string]any
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.deed {
	case "fails":
		http.Error(w, "out of order", http.StatusInternalServerError)
	case "refuses":
		http.Error(w, "no such field", http.StatusBadRequest)
	case "asks":
		w.Header().Set("Retry-After", "600")
		http.Error(w, "slower", http.StatusTooManyRequests)
	case "hangs":
		<-req.Context().Done()
	default:
		r.got, r.last = append(r.got, words(body)), body
	}
}

// slackTitle is the first line of a message to Slack, without its mentions and its link.
var slackTitle = regexp.MustCompile(`\*(?:<[^|>]*\|)?([^<>|*]*)>?\*$`)

// words writes a message as stories ask for it: "alert critical load web1", "hostStatus standby web1", "channel hook"; one to Slack by its title.
func words(body map[string]any) string {
	if action, ok := body["event_action"].(string); ok { // PagerDuty's
		return action
	}
	if body["attachments"] != nil {
		text, _ := body["text"].(string)
		if title := slackTitle.FindStringSubmatch(text); title != nil {
			return title[1]
		}
		return text
	}
	text := func(of any, key string) string {
		m, _ := of.(map[string]any)
		s, _ := m[key].(string)
		return s
	}
	parts := []string{text(body, "event")}
	if a := body["alert"]; a != nil {
		if text(a, "trigger") == "still" {
			parts = append(parts, "still")
		}
		parts = append(parts, text(a, "status"), text(a, "monitorName"))
	}
	if g := body["alertGroup"]; g != nil {
		if text(body, "trigger") == "still" {
			parts = append(parts, "still")
		}
		parts = append(parts, strings.ToLower(text(g, "status")), text(body["alertGroupSetting"], "name"))
	}
	if h := body["handling"]; h != nil {
		parts = append(parts, text(h, "action"))
	}
	if h := body["host"]; h != nil {
		if body["alert"] == nil {
			parts = append(parts, text(h, "status"))
		}
		parts = append(parts, text(h, "name"))
	}
	if s := body["service"]; s != nil {
		parts = append(parts, text(s, "name"))
	}
	if m := body["monitor"]; m != nil {
		parts = append(parts, text(m, "name"))
	}
	if c := body["channel"]; c != nil {
		parts = append(parts, text(c, "name"))
		if text(c, "trouble") == "" {
			parts = append(parts, "works")
		}
	}
	return strings.Join(parts, " ")
}

// next takes the oldest message that was not asked for, which must be want; "" wants none.
func (r *receiver) next(want string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := ""
	if len(r.got) > 0 {
		got, r.got = r.got[0], r.got[1:]
	}
	if got != want {
		return fmt.Errorf("it was told %q, want %q; left are %q", got, want, r.got)
	}
	return nil
}

// holds wants JSON at a path of the newest message: "alertGroup.alerts.0.hostName" is the name of the host of the group's first alert.
func (r *receiver) holds(path, want string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.last
	for key := range strings.SplitSeq(path, ".") {
		switch of := at.(type) {
		case map[string]any:
			at = of[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(of) {
				return fmt.Errorf("there is no %s in %v", key, of)
			}
			at = of[i]
		default:
			return fmt.Errorf("there is no %s in %v", key, of)
		}
	}
	var asked any
	if err := json.Unmarshal([]byte(want), &asked); err != nil {
		return err
	}
	if !reflect.DeepEqual(at, asked) {
		return fmt.Errorf("it is %v", at)
	}
	return nil
}

// channel makes a channel whose receiver works.
func (s *story) channel(ctx context.Context, kind saba.ChannelType, name string, events []string, toDefault bool) error {
	r := &receiver{deed: "works"}
	server := httptest.NewServer(r)
	s.Cleanup(server.Close)
	s.receivers[name] = r
	c := saba.Channel{ID: name, Name: name, Type: kind, URL: server.URL + "/" + name, Events: events}
	if kind == saba.ChannelPagerDuty {
		c.Token = "key"
	}
	if err := c.Check(); err != nil {
		return err
	}
	return s.records.CreateChannel(ctx, s.org, c, toDefault)
}

// why wants a reason for which nobody was told of the newest event of a target's newest alert.
func (s *story) why(ctx context.Context, monitor, host string, want saba.Silence) error {
	alerts, err := s.records.Alerts(ctx, s.org, saba.AlertPage{Limit: 100, Closed: true})
	if err != nil {
		return err
	}
	for _, a := range alerts {
		if a.Monitor != monitor || a.Host != host {
			continue
		}
		told, err := s.records.EventsOf(ctx, s.org, a.ID, 1)
		if err != nil {
			return err
		}
		if len(told) != 1 || told[0].Silence != want || told[0].Detail == "" {
			return fmt.Errorf("of its newest event it says %+v", told)
		}
		return nil
	}
	return fmt.Errorf("there is no such alert among %d", len(alerts))
}
