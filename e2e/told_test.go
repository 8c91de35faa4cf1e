package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A slackMessage is what Slack reads of a message.
type slackMessage struct {
	Text        string
	Attachments []struct {
		Color, Fallback, Text string
		Image                 string `json:"image_url"`
		Actions               []struct{ URL string }
	}
}

// slackReceiver takes messages as an incoming webhook does.
func slackReceiver(t *testing.T) (address string, messages <-chan slackMessage) {
	got := make(chan slackMessage, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m slackMessage
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.Method != http.MethodPost || r.URL.Path != "/services/T/B/secret" {
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
			return
		}
		got <- m
		if _, err := io.WriteString(w, "ok"); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(receiver.Close)
	return receiver.URL + "/services/T/B/secret", got
}

// From an agent's sample to a message at Slack, with the graph of that moment, and to the message that it is over.
func TestAnAlertArrivesAtSlack(t *testing.T) {
	t.Parallel()
	s := start(t, []string{"SABA_API_KEY=" + key, "SABA_ALLOW_PRIVATE_ADDRESSES=1"}, "saba", "server", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"))
	base := s.consoleURL()
	address, messages := slackReceiver(t)
	next := func(what string) slackMessage {
		t.Helper()
		select {
		case m := <-messages:
			return m
		case <-time.After(patience):
			t.Fatalf("%s did not arrive", what)
		}
		panic("unreachable")
	}
	post := func(path, body string, v any) {
		t.Helper()
		if status := call(t, http.MethodPost, base, path, strings.NewReader(body), v); status != http.StatusOK {
			t.Fatalf("POST %s: %d", path, status)
		}
	}
	var host, channel struct{ ID string }
	post("/api/v0/channels", fmt.Sprintf(`{"type":"slack","name":"ops","url":%q,"mentions":{"critical":"<!here>"},"enabledGraphImage":true,"events":["alert"]}`, address), &channel)
	post("/api/v0/channels/"+channel.ID+"/test", "", nil)
	if m := next("the test"); !strings.Contains(m.Text, "this channel works") {
		t.Errorf("the test says %q", m.Text)
	}

	post("/api/v0/hosts", `{"name":"web1","meta":{}}`, &host)
	post("/api/v0/monitors", `{"type":"host","name":"load","metric":"loadavg5","operator":">","warning":2,"critical":5,"duration":1,"maxCheckAttempts":1}`, nil)
	load := func(v float64, at int64) {
		post("/api/v0/tsdb", fmt.Sprintf(`[{"hostId":%q,"name":"loadavg5","time":%d,"value":%v}]`, host.ID, at, v), nil)
	}
	now := time.Now().Unix()
	load(7, now)
	m := next("the alert")
	if !strings.HasPrefix(m.Text, "<!here> *<"+base+"/alerts/") || !strings.Contains(m.Text, "|CRITICAL: load on web1>*") {
		t.Errorf("the alert says %q", m.Text)
	}
	a := m.Attachments[0]
	if a.Text != "loadavg5 7 &gt; 5" || a.Fallback != "CRITICAL: load on web1 - loadavg5 7 &gt; 5" || len(a.Actions) != 2 || a.Actions[1].URL != a.Image {
		t.Errorf("beside the bar it says %+v", a)
	}
	resp, err := http.Get(a.Image)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(string(b), "\x89PNG") {
		t.Errorf("the graph is %s of %d bytes: %v", resp.Header.Get("Content-Type"), len(b), err)
	}

	load(1, now+60) // this server's future by less than a minute, which clocks may be ahead
	if m := next("the end"); !strings.Contains(m.Text, "|OK: load on web1>*") || m.Attachments[0].Color == a.Color {
		t.Errorf("the end says %+v", m)
	}
}

// Without leave, no channel reaches into the network that saba is in.
func TestAChannelReachesNoPrivateAddress(t *testing.T) {
	t.Parallel()
	s := start(t, []string{"SABA_API_KEY=" + key}, "saba", "server", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"))
	base := s.consoleURL()
	address, messages := slackReceiver(t)
	var channel struct{ ID string }
	if status := call(t, http.MethodPost, base, "/api/v0/channels", strings.NewReader(fmt.Sprintf(`{"type":"slack","name":"ops","url":%q}`, address)), &channel); status != http.StatusOK {
		t.Fatal(status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v0/channels/"+channel.ID+"/test", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Error struct{ Message string } }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	said := answer.Error.Message
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(said, `the channel "ops" was not told`) || !strings.Contains(said, "127.0.0.1") || strings.Contains(said, "secret") {
		t.Errorf("it answers %d %q", resp.StatusCode, said)
	}
	select {
	case m := <-messages:
		t.Errorf("it was told %+v", m)
	default:
	}
}
