package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/saba-monitor/saba"
)

var update = flag.Bool("update", false, "write testdata: what each service is sent")

// A desk is a service's server on the loopback.
type desk struct {
	*httptest.Server
	mu   sync.Mutex
	got  []string // requests, as text
	last []byte   // body of the last one
	deed http.HandlerFunc
}

func newDesk(t *testing.T) *desk {
	d := &desk{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		d.got, d.last = append(d.got, written(t, r, body)), body
		deed := d.deed
		d.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		if deed != nil {
			deed(w, r)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

// written returns a request as the golden files have it.
func written(t *testing.T, r *http.Request, body []byte) string {
	var b strings.Builder
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Errorf("Content-Type %q: %v", r.Header.Get("Content-Type"), err)
	}
	fmt.Fprintf(&b, "%s %s\nContent-Type: %s\n", r.Method, r.URL.RequestURI(), media)
	for _, name := range []string{"Authorization", "Idempotency-Key"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	b.WriteString("\n")
	if media != "multipart/form-data" {
		b.WriteString(indented(body))
		return b.String()
	}
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Error(err)
			return b.String()
		}
		content, err := io.ReadAll(part)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&b, "%s %s %s\n%s\n", part.FormName(), part.FileName(), part.Header.Get("Content-Type"), indented(content))
	}
}

func indented(body []byte) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return string(body) + "\n"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if e.Encode(v) != nil {
		return string(body) + "\n"
	}
	return b.String()
}

const (
	secretPath  = "/hooks/T0/SECRETinPATH?key=SECRETinQUERY"
	secretToken = "12345:SECRETtoken"
)

// channels returns one of each type that is told over HTTP, whose services are all at base.
func channels(base string) []saba.Channel {
	mentions := saba.Mentions{OK: "@ok", Warning: "@warn", Critical: "<!here>"}
	return []saba.Channel{
		{Type: saba.ChannelSlack, URL: base + secretPath, Mentions: mentions},
		{Type: saba.ChannelMattermost, URL: base + secretPath, Mentions: mentions},
		{Type: saba.ChannelDiscord, URL: base + secretPath, Mentions: mentions},
		{Type: saba.ChannelTeams, URL: base + secretPath},
		{Type: saba.ChannelPagerDuty, URL: base + "/", Token: secretToken},
		{Type: saba.ChannelTelegram, URL: base, Token: secretToken, To: "-100123", Mentions: mentions},
		{Type: saba.ChannelNtfy, URL: base, Token: secretToken, To: "ops"},
		{Type: saba.ChannelTemplate, URL: base + secretPath, Token: secretToken, Template: `{"text": {{json .Title}}, "more": [{{range $i, $f := .Facts}}{{if $i}}, {{end}}{{json $f.Name}}{{end}}],
 "all": {{json .}}}`},
		{Type: saba.ChannelWebhook, URL: base + secretPath},
	}
}

const opened = 1_767_225_660 // 2026-01-01 00:01:00 UTC

// alertMessage returns a message about an alert whose texts try to be more than text.
func alertMessage(status saba.CheckStatus) Message {
	m := Message{
		Event: saba.Event{
			Seq: 7, Kind: saba.EventAlert, Subject: "alert1", At: opened + 7500, Trigger: saba.TriggerMonitoring, Memo: "call *ops*\nthen <b>wait</b> & see",
			Alert: &saba.Alert{ID: "alert1", Status: status, Worst: saba.CheckCritical, Monitor: "m1", Type: "host", Host: "h1", Value: new(9.31), OpenedAt: opened,
				Message: `loadavg5 9.31 > 5 <!channel> @here a@b [x](https://example.net) _a_ "q" \ ~`},
			Monitor: &saba.Monitor{ID: "m1", Type: saba.MonitorHost, Name: "load <5>", Metric: "loadavg5", Operator: ">", Warning: new(2.0), Critical: new(5.0)},
			Host:    &saba.Host{ID: "h1", Name: "web_1", Status: saba.Working, Roles: []saba.RoleName{{Service: "shop", Role: "web"}, {Service: "shop", Role: "db"}}},
		},
		Org: saba.Org{ID: "org1", Name: "acme"}, URL: "https://saba.example.com", Zone: time.UTC, Key: "c1-7",
		Picture: "https://saba.example.com/pictures/abc.png", PNG: func(context.Context) ([]byte, error) { return []byte("\x89PNG picture"), nil },
	}
	if status == saba.CheckOK {
		m.Alert.ClosedAt, m.Alert.Value = opened+7500, new(1.0)
	}
	return m
}

// messages returns one of each kind.
func messages() map[string]Message {
	base := alertMessage(saba.CheckCritical)
	base.Event = saba.Event{Seq: 8, At: opened, User: "u1"}
	base.Picture, base.PNG = "", nil
	with := func(f func(m *Message)) Message {
		m := base
		f(&m)
		return m
	}
	host := &saba.Host{ID: "h1", Name: "web_1", Status: saba.Standby}
	acked := alertMessage(saba.CheckCritical)
	acked.Alert.Handling.AckedBy = "u1"
	return map[string]Message{
		"critical": alertMessage(saba.CheckCritical), "ok": alertMessage(saba.CheckOK), "unknown": alertMessage(saba.CheckUnknown), "warning": alertMessage(saba.CheckWarning), "acknowledged": acked,
		"handling": func() Message {
			m := alertMessage(saba.CheckCritical)
			m.Kind, m.Trigger, m.Action, m.Who, m.User, m.Picture, m.PNG = saba.EventHandling, "", saba.ActionAcknowledge, "ann <3>", "u1", "", nil
			m.Alert.Handling.AckedBy = "u1"
			return m
		}(),
		"assigned": func() Message {
			m := alertMessage(saba.CheckCritical)
			m.Kind, m.Trigger, m.Action, m.Who = saba.EventHandling, "", saba.ActionAssign, "bob"
			return m
		}(),
		"group": with(func(m *Message) {
			m.Kind, m.Subject = saba.EventAlertGroup, "g1"
			m.Group = &saba.AlertGroup{ID: "g1", Setting: "s1", Status: saba.CheckWarning, OpenedAt: opened, Alerts: []string{"a", "b"}}
			m.Setting = &saba.AlertGroupSetting{ID: "s1", Name: "shop", Memo: "memo"}
			m.GroupAlerts = []saba.GroupAlert{{ID: "a", Status: saba.CheckWarning, Rule: "load <1>", Host: "h1", HostName: "web_1", OpenedAt: opened}, {ID: "b", Status: saba.CheckOK, OpenedAt: opened, ClosedAt: opened}}
		}),
		"hostStatus":   with(func(m *Message) { m.Kind, m.Subject, m.Host, m.From = saba.EventHostStatus, "h1", host, saba.Working }),
		"hostRegister": with(func(m *Message) { m.Kind, m.Subject, m.Host = saba.EventHostRegister, "h1", host }),
		"hostRetire":   with(func(m *Message) { m.Kind, m.Subject, m.Host = saba.EventHostRetire, "h1", host }),
		"monitor": with(func(m *Message) {
			m.Kind, m.Subject, m.Action, m.Monitor = saba.EventMonitor, "m1", saba.ActionDelete, &saba.Monitor{ID: "m1", Name: "load"}
		}),
		"channel": with(func(m *Message) {
			m.Kind, m.Subject, m.Channel, m.Trouble = saba.EventChannel, "c9", &saba.Channel{ID: "c9", Name: "mail", Type: saba.ChannelEmail}, "its service answered 500"
		}),
		"channelAgain": with(func(m *Message) {
			m.Kind, m.Subject, m.Channel = saba.EventChannel, "c9", &saba.Channel{ID: "c9", Name: "mail", Type: saba.ChannelEmail}
		}),
		"test": with(func(m *Message) { m.Kind = saba.EventTest }),
	}
}

func sendersFor(d *desk) map[saba.ChannelType]Sender {
	return senders(Options{Client: d.Client(), Now: func() time.Time { return time.Unix(opened, 0) }})
}

// What each service is sent stands in testdata, to be compared with what the services document.
func TestServicesAreSentWhatTheyDocument(t *testing.T) {
	for kind := range messages() {
		for i, c := range channels("") {
			golden := kind == "critical" || kind == "ok" || (kind == "group" || kind == "handling") && (c.Type == saba.ChannelSlack || c.Type == saba.ChannelTelegram || c.Type == saba.ChannelNtfy || c.Type == saba.ChannelWebhook) || c.Type == saba.ChannelPagerDuty && (kind == "acknowledged" || kind == "handling" || kind == "test" || kind == "channel")
			t.Run(string(c.Type)+"_"+kind, func(t *testing.T) {
				d := newDesk(t)
				c := channels(d.URL)[i]
				c.EnabledGraphImage = kind != "ok"
				m := messages()[kind]
				err := sendersFor(d)[c.Type].Send(t.Context(), c, m)
				got := strings.ReplaceAll(strings.Join(d.got, "\n"), d.URL, "BASE")
				if c.Type == saba.ChannelPagerDuty && m.Alert == nil && m.Channel == nil && m.Kind != saba.EventTest {
					if err == nil || !isFinal(err) || got != "" {
						t.Errorf("%v, and sent was %s", err, got)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if c.Type == saba.ChannelPagerDuty && kind == "assigned" {
					if got != "" {
						t.Errorf("sent was %s, which PagerDuty has no event for", got)
					}
					return
				}
				if !golden {
					word := map[saba.EventKind]string{saba.EventAlertGroup: "shop", saba.EventMonitor: "load", saba.EventChannel: "mail", saba.EventTest: "test"}[m.Kind]
					if word == "" {
						word = "web"
					}
					if c.Type == saba.ChannelPagerDuty && kind == "channelAgain" {
						word = `"resolve"`
					}
					if len(d.got) == 0 || !strings.Contains(got, word) {
						t.Errorf("it does not say %q:\n%s", word, got)
					}
					return
				}
				path := filepath.Join("testdata", string(c.Type)+"_"+kind+".txt")
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("sent was\n%s\n%s says\n%s", got, path, want)
				}
			})
		}
	}
}

// Every type that is told over HTTP has a sender, and what clients can make is told.
func TestEveryKindOfChannelHasASender(t *testing.T) {
	d := newDesk(t)
	all := sendersFor(d)
	for _, k := range saba.ChannelKinds {
		if _, ok := all[k.Type]; !ok {
			t.Errorf("%s has no sender", k.Type)
		}
	}
	for _, c := range channels(d.URL) {
		c.Name = "c"
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", c.Type, err)
		}
	}
}

// Whatever a service does, what is returned says what to do next, in a sentence without secrets.
func TestServicesInTrouble(t *testing.T) {
	repeat := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, "no %s %s %s for http://%s%s", r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Host, r.URL.RequestURI())
			if i := bytes.Index(body, []byte("SECRET")); i >= 0 {
				_, err = w.Write(body[max(i-10, 0):min(i+20, len(body))])
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
	hijack := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, err = io.WriteString(conn, answer)
			if err := errors.Join(err, conn.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		deed   http.HandlerFunc
		saying string // "" for none: it is confirmed
		final  bool
		after  time.Duration
	}{
		"works":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, "", false, 0},
		"fails":        {repeat(500), "its service answered 500 Internal Server Error: no ", false, 0},
		"refuses":      {repeat(400), "its service answered 400 Bad Request: no ", true, 0},
		"knows nobody": {repeat(404), "its service answered 404 Not Found: no ", false, 0},
		"asks": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, "its service answered 429 Too Many Requests", false, 7 * time.Second},
		"asks in the body": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"retry_after": 0.5, "message": "slow"}`, http.StatusTooManyRequests)
		}, "429", false, 500 * time.Millisecond},
		"asks as Telegram": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"ok":false,"parameters":{"retry_after":31}}`, http.StatusTooManyRequests)
		}, "429", false, 31 * time.Second},
		"asks for years": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1e18")
			w.WriteHeader(http.StatusTooManyRequests)
		}, "429", false, time.Hour},
		"asks until": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Unix(opened+60, 0).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "503", false, time.Minute},
		"hangs":               {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "did not answer within", false, 0},
		"closes":              {hijack(""), "its service could not be reached", false, 0},
		"closes mid-head":     {hijack("HTTP/1.1 200 O"), "its service could not be reached", false, 0},
		"confirms and closes": {hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\no"), "", false, 0},
		"fails and closes":    {hijack("HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\no"), "its service answered 500", false, 0},
		"redirects":           {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Location", "/other"); w.WriteHeader(307) }, "its service answered 307", false, 0},
		"sends for ever": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("a"), 1<<16)); err != nil {
					return
				}
			}
		}, "", false, 0},
	} {
		for i, c := range channels("") {
			t.Run(name+" "+string(c.Type), func(t *testing.T) {
				d := newDesk(t)
				d.deed = tt.deed
				d.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // as saba's own
				c := channels(d.URL)[i]
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if name == "hangs" {
					ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				}
				defer cancel()
				err := sendersFor(d)[c.Type].Send(ctx, c, alertMessage(saba.CheckCritical))
				if tt.saying == "" {
					if err != nil {
						t.Fatalf("it is refused: %v", err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tt.saying) || isFinal(err) != tt.final || askedToWait(err) != tt.after {
					t.Fatalf("%v (final %t, after %v), want %q (final %t, after %v)", err, isFinal(err), askedToWait(err), tt.saying, tt.final, tt.after)
				}
				for _, secret := range []string{"SECRET", d.URL, "12345"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%v shows %s", err, secret)
					}
				}
			})
		}
	}
}

// Of texts of any length services get what they take, and no escape is cut in two.
func TestServicesGetNoMoreThanTheyTake(t *testing.T) {
	for _, piece := range []string{"&", "<", "*", "長い", "🐟", "\"", "a\n", "\x01", "_", "@a ", "\\", "\xff"} {
		long := strings.Repeat(piece, 30_000/len(piece))
		m := alertMessage(saba.CheckCritical)
		m.Alert.Message, m.Alert.Reason, m.Memo = long, long, long
		m.Monitor.Name, m.Host.Name, m.Org.Name = long, long[:300], long
		m.Host.Roles = nil
		for i := range 200 {
			m.Host.Roles = append(m.Host.Roles, saba.RoleName{Service: "shop", Role: fmt.Sprintf("role%d", i)})
		}
		for i, c := range channels("") {
			for _, graph := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %q %t", c.Type, piece, graph), func(t *testing.T) {
					d := newDesk(t)
					c := channels(d.URL)[i]
					c.EnabledGraphImage = graph
					if c.Mentions != (saba.Mentions{}) {
						c.Mentions.Critical = strings.Repeat("m", 1000)
					}
					if c.Type == saba.ChannelWebhook || c.Type == saba.ChannelTemplate {
						return // no limits are known
					}
					if err := sendersFor(d)[c.Type].Send(t.Context(), c, m); err != nil {
						t.Fatal(err)
					}
					within(t, c.Type, d)
				})
			}
		}
	}
}

// within checks what was sent against the limits that services document.
func within(t *testing.T, kind saba.ChannelType, d *desk) {
	t.Helper()
	units := func(s string) int { return len(utf16.Encode([]rune(s))) }
	most := func(what string, s string, most int) {
		t.Helper()
		if n := units(s); n > most {
			t.Errorf("%s has %d characters, more than %d", what, n, most)
		}
	}
	decode := func(v any) {
		t.Helper()
		if err := json.Unmarshal(d.last, v); err != nil {
			t.Fatal(err)
		}
	}
	switch kind {
	case saba.ChannelSlack:
		var m slackMessage
		decode(&m)
		most("text", m.Text, 40_000)
		most("text of the attachment", m.Attachments[0].Text, 3000)
		broken := regexp.MustCompile(`&(amp|lt|gt);`)
		for _, s := range []string{m.Text, m.Attachments[0].Text, m.Attachments[0].Fields[0].Value, m.Attachments[0].Fallback} {
			if rest := broken.ReplaceAllString(s, ""); strings.Contains(rest, "&") {
				t.Errorf("an escape is broken in %.100q", s)
			}
		}
	case saba.ChannelMattermost:
		var m slackMessage
		decode(&m)
		most("text", m.Text, 16_383)
		for _, f := range m.Attachments[0].Fields {
			cut := strings.TrimSuffix(f.Value, "…")
			if n := len(cut) - len(strings.TrimRight(cut, `\`)); n%2 != 0 && cut != f.Value {
				t.Errorf("an escape is broken in %.100q", f.Value)
			}
		}
	case saba.ChannelDiscord:
		if !json.Valid(d.last) {
			from, to := bytes.IndexByte(d.last, '{'), bytes.LastIndex(d.last, []byte("}\r\n"))
			d.last = d.last[from : to+1]
		}
		var m discordMessage
		decode(&m)
		e := m.Embeds[0]
		most("content", m.Content, 2000)
		most("title", e.Title, 256)
		most("description", e.Text, 4096)
		all := e.Title + e.Text
		if e.Footer != nil {
			all += e.Footer.Text
		}
		if len(e.Fields) > 25 || len(e.Fields) == 0 {
			t.Errorf("%d fields", len(e.Fields))
		}
		for _, f := range e.Fields {
			most("a field", f.Value, 1024)
			all += f.Name + f.Value
		}
		most("all", all, 6000)
	case saba.ChannelTeams:
		if len(d.last) > 28<<10 {
			t.Errorf("the card has %d bytes, more than 28 KB", len(d.last))
		}
	case saba.ChannelPagerDuty:
		var e pagerdutyEvent
		decode(&e)
		most("summary", e.Payload.Summary, 1024)
		most("key", e.Dedup, 255)
		if len(d.last) > 512<<10 {
			t.Errorf("the event has %d bytes", len(d.last))
		}
	case saba.ChannelTelegram:
		text, limit := "", telegramText
		if json.Valid(d.last) {
			var m telegramMessage
			decode(&m)
			text = m.Text
		} else {
			_, after, _ := bytes.Cut(d.last, []byte("name=\"caption\"\r\n\r\n"))
			before, _, _ := bytes.Cut(after, []byte("\r\n--"))
			text, limit = string(before), telegramCaption
		}
		most("text", text, limit)
		if text == "" {
			t.Error("nothing is said")
		}
		wellFormed := xml.NewDecoder(strings.NewReader("<x>" + strings.NewReplacer("\x01", "", "\ufffd", "").Replace(text) + "</x>"))
		for {
			_, err := wellFormed.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %q", err, text)
			}
		}
	case saba.ChannelNtfy:
		var m ntfyMessage
		decode(&m)
		if len(m.Text) > 4096 || len(m.Title) > 250 || len(m.Actions) > 3 {
			t.Errorf("%d bytes, %d in the title", len(m.Text), len(m.Title))
		}
	}
}

func TestMarkupFit(t *testing.T) {
	slack, plain, bytes := slackMarkup(), markup{}, markup{bytes: true}
	for _, tt := range []struct {
		k    markup
		s    string
		most int
		want string
	}{
		{plain, "four", 4, "four"},
		{plain, "fourteen", 4, "fou…"},
		{plain, "", 4, ""},
		{plain, "ab", 0, ""},
		{plain, "🐟🐟🐟", 4, "🐟…"},
		{bytes, "🐟🐟", 8, "🐟🐟"},
		{bytes, "🐟🐟🐟", 8, "🐟…"},
		{bytes, "abc", 2, ""},
		{slack, "a&b", 7, "a&amp;b"},
		{slack, "a&bc", 7, "a&amp;…"},
		{slack, "a&b", 6, "a…"},
		{slack, "&&", 5, "…"},
		{markdown(), "x @here a@b", 100, "x @\u200bhere a@b"},
		{plain, "a\xffb", 9, "a\ufffdb"},
	} {
		if got := tt.k.fit(tt.s, tt.most); got != tt.want {
			t.Errorf("fit(%q, %d) = %q, want %q", tt.s, tt.most, got, tt.want)
		}
	}
}

// A graph that cannot be drawn does not keep a message back.
func TestAGraphThatCannotBeDrawn(t *testing.T) {
	for i, c := range channels("") {
		if c.Type != saba.ChannelDiscord && c.Type != saba.ChannelTelegram {
			continue
		}
		d := newDesk(t)
		c := channels(d.URL)[i]
		c.EnabledGraphImage = true
		m := alertMessage(saba.CheckCritical)
		m.PNG = func(ctx context.Context) ([]byte, error) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the drawing has no end")
			}
			return nil, errors.New("no samples")
		}
		if err := sendersFor(d)[c.Type].Send(t.Context(), c, m); err != nil {
			t.Fatal(err)
		}
		if got := d.got[0]; !strings.Contains(got, "The graph could not be drawn") || !strings.Contains(got, "application/json") {
			t.Errorf("%s was sent %s", c.Type, got)
		}
	}
}

// sentTo returns what a channel's service is sent.
func sentTo(t *testing.T, kind saba.ChannelType, m Message) string {
	t.Helper()
	d := newDesk(t)
	for _, c := range channels(d.URL) {
		if c.Type != kind {
			continue
		}
		c.EnabledGraphImage = true
		if err := sendersFor(d)[kind].Send(t.Context(), c, m); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(d.got, "\n")
}

// Mentions go by the level of an alert or a group, and what has no level alarms nobody.
func TestMentionsGoByLevel(t *testing.T) {
	for kind, want := range map[string]string{"critical": "<!here> ", "unknown": "<!here> ", "warning": "@warn ", "ok": "@ok ", "group": "@warn ", "test": "", "hostStatus": ""} {
		if got := sentTo(t, saba.ChannelSlack, messages()[kind]); !strings.Contains(got, `"text": "`+want+"*") {
			t.Errorf("%s is sent as %s, want %q before it", kind, got, want)
		}
	}
}

// Services refuse a message, or show something else in its place, for the sake of one part of it.
func TestPartsThatServicesDislikeAreLeftOut(t *testing.T) {
	if got := sentTo(t, saba.ChannelNtfy, messages()["test"]); !strings.Contains(got, `"message": "a test from saba: this channel works"`) {
		t.Errorf("ntfy would say \"triggered\": %s", got)
	}
	m := alertMessage(saba.CheckWarning)
	m.Memo = " \n"
	if got := sentTo(t, saba.ChannelDiscord, m); strings.Contains(got, "Memo") || !strings.Contains(got, "Host") {
		t.Errorf("Discord would refuse an empty field: %s", got)
	}
	m.Picture = "http://10.0.0.1/p.png"
	if got := sentTo(t, saba.ChannelPagerDuty, m); strings.Contains(got, `"images"`) || !strings.Contains(got, m.Picture) {
		t.Errorf("PagerDuty would not show %s", got)
	}
	m.URL = "https://" + strings.Repeat("a", 5000)
	if got := sentTo(t, saba.ChannelTelegram, m); strings.Contains(got, "<a") || !strings.Contains(got, "<b>WARNING") || !strings.Contains(got, "Host: web_1") {
		t.Errorf("Telegram would refuse %s", got)
	}
	m.URL, m.Picture, m.PNG = "", "", nil // nobody has said how the console is reached
	for _, c := range channels("") {
		if c.Type == saba.ChannelWebhook || c.Type == saba.ChannelTemplate {
			continue // they have a place for it
		}
		if got := sentTo(t, c.Type, m); strings.Contains(got, "Open alert") || strings.Contains(got, "]()") || strings.Contains(got, "<|") || strings.Contains(got, `href=""`) || !strings.Contains(got, "web") {
			t.Errorf("%s gets links that lead nowhere: %s", c.Type, got)
		}
	}
}

// A graph that a service refuses does not keep a message back either; one that the service cannot take now is tried again.
func TestAGraphThatIsRefused(t *testing.T) {
	for i, c := range channels("") {
		if c.Type != saba.ChannelDiscord && c.Type != saba.ChannelTelegram {
			continue
		}
		for status, want := range map[int]int{http.StatusBadRequest: 2, http.StatusRequestEntityTooLarge: 2, http.StatusInternalServerError: 1} {
			d := newDesk(t)
			d.deed = func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
					w.WriteHeader(status)
				}
			}
			c := channels(d.URL)[i]
			c.EnabledGraphImage = true
			err := sendersFor(d)[c.Type].Send(t.Context(), c, alertMessage(saba.CheckCritical))
			if len(d.got) != want || (err == nil) != (want == 2) {
				t.Fatalf("%s: after %d it was sent %d messages, want %d: %v", c.Type, status, len(d.got), want, err)
			}
			if last := d.got[len(d.got)-1]; want == 2 && (!strings.Contains(last, refusedPicture) || strings.Contains(last, "attachment://")) {
				t.Errorf("%s was sent %s", c.Type, last)
			}
		}
	}
}
