package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/saba-monitor/saba"
)

// wantJSON compares an answer with what it must be, where "ID" stands for the id in it.
func (r *rig) wantJSON(what, got, want string) {
	r.Helper()
	var id struct{ ID string }
	if strings.Contains(want, `"ID"`) && json.Unmarshal([]byte(got), &id) == nil && id.ID != "" {
		got = strings.ReplaceAll(got, id.ID, "ID")
	}
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		r.Fatalf("%s: %v in %s", what, err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		r.Fatalf("%s: %v in %s", what, err, want)
	}
	gb, err := json.Marshal(g)
	r.check(err)
	wb, err := json.Marshal(w)
	r.check(err)
	if string(gb) != string(wb) {
		r.Errorf("%s:\n got %s\nwant %s", what, gb, wb)
	}
}

func TestMonitorsOfEveryType(t *testing.T) { // traps 4, 12, 13 and 16
	r := newRig(t)
	r.register(`{"name":"a","meta":{},"roleFullnames":["shop:web"]}`)
	for _, tt := range []struct{ name, send, want string }{
		{"host", `{"id":"x","createdAt":1,"type":"host","name":"h","memo":"","metric":"cpu%","operator":">","warning":80,"critical":null,"duration":3,
			"scopes":["shop: web","shop"],"notificationInterval":60,"isMute":false,"unknown":{"a":[1]}}`,
			`{"id":"ID","type":"host","name":"h","metric":"cpu%","operator":">","warning":80,"duration":3,"maxCheckAttempts":1,
			"scopes":["shop: web","shop"],"excludeScopes":[],"notificationInterval":60,"isMute":false}`},
		{"connectivity", `{"type":"connectivity"}`,
			`{"id":"ID","type":"connectivity","name":"connectivity","alertStatusOnGone":"CRITICAL","scopes":[],"excludeScopes":[],"isMute":false}`},
		{"service", `{"type":"service","name":"s","service":"shop","metric":"orders.count","operator":"<","warning":null,"critical":null,"duration":1,"missingDurationCritical":10080}`,
			`{"id":"ID","type":"service","name":"s","service":"shop","metric":"orders.count","operator":"<","duration":1,"maxCheckAttempts":1,"missingDurationCritical":10080,"isMute":false}`},
		{"external", `{"type":"external","name":"e","url":"https://u:p@example.com/","headers":null,"scopes":["ignored by this type"]}`,
			`{"id":"ID","type":"external","name":"e","url":"https://u:p@example.com/","method":"GET","maxCheckAttempts":1,"headers":[{"name":"Cache-Control","value":"no-cache"}],"isMute":false}`},
		{"external with all", `{"type":"external","name":"e","url":"http://example.com","method":"POST","service":"shop","responseTimeWarning":500,"responseTimeCritical":1000.5,"responseTimeDuration":3,
			"containsString":"ok","maxCheckAttempts":2,"certificationExpirationWarning":30,"certificationExpirationCritical":7,"skipCertificateVerification":true,"expectedStatusCode":201,
			"headers":[],"requestBody":"{}","followRedirect":true,"dualstack":"auto","isMute":true}`,
			`{"id":"ID","type":"external","name":"e","url":"http://example.com","method":"POST","service":"shop","responseTimeWarning":500,"responseTimeCritical":1000.5,"responseTimeDuration":3,
			"containsString":"ok","maxCheckAttempts":2,"certificationExpirationWarning":30,"certificationExpirationCritical":7,"skipCertificateVerification":true,"expectedStatusCode":201,
			"headers":[],"requestBody":"{}","followRedirect":true,"dualstack":"auto","isMute":true}`},
		{"expression", `{"type":"expression","name":"x","expression":"max(role(shop:web, loadavg5))","operator":">","warning":null,"critical":1e21}`,
			`{"id":"ID","type":"expression","name":"x","expression":"max(role(shop:web, loadavg5))","operator":">","critical":1e21,"evaluateBackwardMinutes":2,"isMute":false}`},
		{"anomaly", `{"type":"anomalyDetection","name":"a","scopes":["shop:web"],"warningSensitivity":"insensitive"}`,
			`{"id":"ID","type":"anomalyDetection","name":"a","scopes":["shop: web"],"warningSensitivity":"insensitive","maxCheckAttempts":3,"isMute":false}`},
		{"query", `{"type":"query","name":"q","query":"http.requests{http.route=\"/\"}","legend":"{{host}}","operator":">","warning":0}`,
			`{"id":"ID","type":"query","name":"q","query":"http.requests{http.route=\"/\"}","legend":"{{host}}","operator":">","warning":0,"evaluateBackwardMinutes":0,"isMute":false}`},
	} {
		made := r.post("/monitors", tt.send)
		r.wantJSON(tt.name, made, tt.want)
		var m struct{ ID string }
		r.check(json.Unmarshal([]byte(made), &m))
		r.wantJSON(tt.name+" shown", r.get("/monitors/"+m.ID), `{"monitor":`+made+`}`)
	}
	var list struct {
		Monitors []struct{ Type string }
	}
	r.check(json.Unmarshal([]byte(r.get("/monitors")), &list))
	var types []string
	for _, m := range list.Monitors {
		types = append(types, m.Type)
	}
	if got, want := strings.Join(types, " "), "host connectivity connectivity service external external expression anomalyDetection query"; got != want {
		t.Errorf("the list has the types %s, want %s", got, want)
	}
}

func TestWhatAnUpdateOfAMonitorKeeps(t *testing.T) { // trap 16
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	id := r.create("/monitors", `{"type":"external","name":"e","url":"http://example.com","headers":[{"name":"X-Token","value":"s"}],"isMute":true,"memo":"m"}`)
	show := func(what, headers string) {
		t.Helper()
		r.wantJSON(what, r.get("/monitors/"+id), `{"monitor":{"id":"`+id+`","type":"external","name":"f","url":"http://example.com","method":"GET","maxCheckAttempts":1,"isMute":false,"headers":`+headers+`}}`)
	}
	r.put("/monitors/"+id, `{"id":"other","type":"external","name":"f","url":"http://example.com"}`)
	show("without headers", `[{"name":"X-Token","value":"s"}]`)
	r.put("/monitors/"+id, `{"type":"external","name":"f","url":"http://example.com","headers":null}`)
	show("with headers of null", `[{"name":"X-Token","value":"s"}]`)
	r.put("/monitors/"+id, `{"type":"external","name":"f","url":"http://example.com","headers":[]}`)
	show("with no headers", `[]`)
	r.put("/monitors/"+id, `{"type":"external","name":"f","url":"http://example.com"}`)
	show("cleared headers stay cleared", `[]`)

	id = r.create("/monitors", `{"type":"connectivity","alertStatusOnGone":"WARNING","scopes":["shop"]}`)
	r.wantJSON("a connectivity monitor", r.put("/monitors/"+id, `{"type":"connectivity","name":"c","alertStatusOnGone":null}`),
		`{"id":"ID","type":"connectivity","name":"c","alertStatusOnGone":"WARNING","scopes":[],"excludeScopes":[],"isMute":false}`)
	r.wantJSON("what was deleted", r.delete("/monitors/"+id, ""), `{"id":"ID","type":"connectivity","name":"c","alertStatusOnGone":"WARNING","scopes":[],"excludeScopes":[],"isMute":false}`)
	r.refuse(404, "GET", "/monitors/"+id, "")
}

func TestDowntimes(t *testing.T) { // trap 20: minutes
	r := newRig(t)
	r.register(`{"name":"a","meta":{},"roleFullnames":["shop:db"]}`)
	body := `{"name":"weekly reindex","start":1767225600,"duration":45,"recurrence":{"type":"weekly","interval":1,"weekdays":["Sunday"]},"roleScopes":["shop: db"],"serviceScopes":[],"memo":""}`
	made := r.post("/downtimes", body)
	want := `{"id":"ID","name":"weekly reindex","start":1767225600,"duration":45,"recurrence":{"type":"weekly","interval":1,"weekdays":["Sunday"]},"roleScopes":["shop:db"]}`
	r.wantJSON("the downtime, whose roles have no blank", made, want)
	var d struct{ ID string }
	r.check(json.Unmarshal([]byte(made), &d))
	r.wantJSON("the list", r.get("/downtimes"), `{"downtimes":[`+made+`]}`)
	r.wantJSON("an update replaces all", r.put("/downtimes/"+d.ID, `{"name":"n","start":5,"duration":1}`), `{"id":"ID","name":"n","start":5,"duration":1}`)
	r.wantJSON("what was deleted", r.delete("/downtimes/"+d.ID, ""), `{"id":"ID","name":"n","start":5,"duration":1}`)
	r.wantJSON("the empty list", r.get("/downtimes"), `{"downtimes":[]}`)
}

// What saba adds to the protocol is there when somebody has set it, and clients that do not know it keep it as it is.
func TestClientsKeepWhatTheyDoNotKnow(t *testing.T) {
	r := newRig(t)
	id := r.create("/downtimes", `{"name":"n","start":5,"duration":1,"timezone":"Asia/Tokyo"}`)
	for _, tt := range []struct{ send, want string }{
		{`{"name":"n","start":6,"duration":1}`, `{"id":"ID","name":"n","start":6,"duration":1,"timezone":"Asia/Tokyo"}`},
		{`{"name":"n","start":6,"duration":1,"timezone":null}`, `{"id":"ID","name":"n","start":6,"duration":1,"timezone":"Asia/Tokyo"}`},
		{`{"name":"n","start":6,"duration":1,"timezone":"UTC"}`, `{"id":"ID","name":"n","start":6,"duration":1,"timezone":"UTC"}`},
		{`{"name":"n","start":6,"duration":1,"timezone":""}`, `{"id":"ID","name":"n","start":6,"duration":1}`},
	} {
		r.wantJSON(tt.send, r.put("/downtimes/"+id, tt.send), tt.want)
	}
	id = r.create("/monitors", `{"type":"connectivity","muteUntil":1900000000}`)
	const monitor = `{"id":"ID","type":"connectivity","name":"connectivity","alertStatusOnGone":"CRITICAL","scopes":[],"excludeScopes":[],"isMute":false`
	for _, tt := range []struct{ send, want string }{
		{`{"type":"connectivity"}`, monitor + `,"muteUntil":1900000000}`},
		{`{"type":"connectivity","muteUntil":null,"isMute":false}`, monitor + `,"muteUntil":1900000000}`},
		{`{"type":"connectivity","muteUntil":0}`, monitor + `}`},
		{`{"type":"connectivity","goneAfter":30}`, monitor + `,"goneAfter":30}`},
		{`{"type":"connectivity","name":"connectivity"}`, monitor + `,"goneAfter":30}`},
		{`{"type":"connectivity","goneAfter":0}`, monitor + `}`},
	} {
		r.wantJSON(tt.send, r.put("/monitors/"+id, tt.send), tt.want)
	}
}

func TestMonitorMuted(t *testing.T) {
	for _, tt := range []struct {
		m    saba.Monitor
		want bool
	}{{saba.Monitor{}, false}, {saba.Monitor{Mute: true}, true}, {saba.Monitor{MuteUntil: 100}, false}, {saba.Monitor{MuteUntil: 101}, true}, {saba.Monitor{Mute: true, MuteUntil: 5}, true}} {
		if got := tt.m.Muted(100); got != tt.want {
			t.Errorf("%+v is muted at 100: %t, want %t", tt.m, got, tt.want)
		}
	}
}

func TestChannelsHaveTheirLists(t *testing.T) { // trap 14
	r := newRig(t)
	for _, tt := range []struct{ send, want string }{
		{`{"type":"email","name":"e","emails":["a@example.com"],"mentions":{"unknown":"ignored by this type"},"addToDefaultNotificationGroup":false}`, `{"id":"ID","type":"email","name":"e","suspendedAt":null,"emails":["a@example.com"],"userIds":[],"events":[]}`},
		{`{"type":"slack","name":"s","url":"https://example.com/T","mentions":{"critical":"<!here>"},"enabledGraphImage":true,"events":["alert"]}`,
			`{"id":"ID","type":"slack","name":"s","suspendedAt":null,"url":"https://example.com/T","mentions":{"critical":"<!here>"},"enabledGraphImage":true,"events":["alert"]}`},
		{`{"type":"slack","name":"s","url":"https://example.com/T"}`, `{"id":"ID","type":"slack","name":"s","suspendedAt":null,"url":"https://example.com/T","mentions":{},"enabledGraphImage":false,"events":[]}`},
		{`{"type":"webhook","name":"w","url":"https://example.com/w","mentions":{},"emails":["ignored by this type"]}`, `{"id":"ID","type":"webhook","name":"w","suspendedAt":null,"url":"https://example.com/w","enabledGraphImage":false,"events":[]}`},
	} {
		r.wantJSON(tt.send, r.post("/channels", tt.send), tt.want)
	}
	id := r.create("/channels", `{"type":"webhook","name":"w","url":"https://example.com/w"}`)
	r.refuseSaying(400, "type must stay webhook", "PUT", "/channels/"+id, `{"type":"slack","name":"w","url":"https://example.com/w"}`)
	r.refuseSaying(400, "type must stay webhook", "PUT", "/channels/"+id, `{"name":"w","url":"https://example.com/w"}`)
	r.wantJSON("an update", r.put("/channels/"+id, `{"type":"webhook","name":"v","url":"https://example.com/v"}`),
		`{"id":"ID","type":"webhook","name":"v","suspendedAt":null,"url":"https://example.com/v","enabledGraphImage":false,"events":[]}`)
}

// The types that saba has besides the protocol's three are made and changed by the same calls. Their secrets are not shown.
func TestChannelsOfServices(t *testing.T) {
	r := newRig(t)
	const rest = `,"suspendedAt":null,"enabledGraphImage":false,"events":[]}`
	for _, tt := range []struct{ send, want string }{
		{`{"type":"microsoft-teams","name":"t","url":"https://example.com/SECRET","mentions":{"ok":"ignored by this type"}}`, `{"id":"ID","type":"microsoft-teams","name":"t"` + rest},
		{`{"type":"discord","name":"d","url":"https://example.com/SECRET","mentions":{"critical":"@here"}}`, `{"id":"ID","type":"discord","name":"d","mentions":{"critical":"@here"}` + rest},
		{`{"type":"mattermost","name":"m","url":"https://example.com/SECRET"}`, `{"id":"ID","type":"mattermost","name":"m","mentions":{}` + rest},
		{`{"type":"pagerduty","name":"p","token":"SECRET"}`, `{"id":"ID","type":"pagerduty","name":"p","url":""` + rest},
		{`{"type":"telegram","name":"t","token":"1:SECRET","to":"-100123","url":"https://example.com"}`, `{"id":"ID","type":"telegram","name":"t","url":"https://example.com","to":"-100123","mentions":{}` + rest},
		{`{"type":"ntfy","name":"n","token":"SECRET","to":"ops_1"}`, `{"id":"ID","type":"ntfy","name":"n","url":"","to":"ops_1"` + rest},
		{`{"type":"template","name":"x","url":"https://example.com/SECRET","token":"SECRET","template":"{{json .Title}}","contentType":"text/plain"}`,
			`{"id":"ID","type":"template","name":"x","template":"{{json .Title}}","contentType":"text/plain"` + rest},
	} {
		made := r.post("/channels", tt.send)
		r.wantJSON(tt.send, made, tt.want)
		var ch struct{ ID string }
		r.check(json.Unmarshal([]byte(made), &ch))
		kept := func() saba.Channel {
			all, err := r.store.Channels(r.Context(), "org1")
			r.check(err)
			return all[len(all)-1]
		}
		before := kept()
		r.wantJSON("an update by what is shown", r.put("/channels/"+ch.ID, made), tt.want)
		if now := kept(); !reflect.DeepEqual(now, before) {
			t.Errorf("an update by what is shown made %+v of %+v", now, before)
		}
		if list := r.get("/channels"); strings.Contains(list, "SECRET") {
			t.Errorf("%s shows a secret", list)
		}
		if deleted := r.delete("/channels/"+ch.ID, ""); strings.Contains(deleted, "SECRET") {
			t.Errorf("%s shows a secret", deleted)
		}
	}
	id := r.create("/channels", `{"type":"ntfy","name":"n","token":"SECRET","to":"ops"}`)
	token := func() string {
		all, err := r.store.Channels(r.Context(), "org1")
		r.check(err)
		return all[0].Token
	}
	for _, tt := range []struct{ send, want string }{
		{`{"type":"ntfy","name":"n","to":"other"}`, "SECRET"},
		{`{"type":"ntfy","name":"n","to":"ops","token":null}`, "SECRET"},
		{`{"type":"ntfy","name":"n","to":"ops","token":"NEW"}`, "NEW"},
		{`{"type":"ntfy","name":"n","to":"ops","url":"https://example.com","token":"NEWER"}`, "NEWER"},
		{`{"type":"ntfy","name":"n","to":"ops","url":"https://example.com"}`, "NEWER"},
		{`{"type":"ntfy","name":"n","to":"ops","url":"https://example.com","token":""}`, ""},
	} {
		r.put("/channels/"+id, tt.send)
		if got := token(); got != tt.want {
			t.Errorf("after %s the token is %q, want %q", tt.send, got, tt.want)
		}
	}
	id = r.create("/channels", `{"type":"pagerduty","name":"p","token":"SECRET"}`)
	r.refuseSaying(400, "token is required anew", "PUT", "/channels/"+id, `{"type":"pagerduty","name":"p","url":"https://example.com"}`)
	r.refuseSaying(400, "token is required", "PUT", "/channels/"+id, `{"type":"pagerduty","name":"p","token":""}`)
}

// told remembers which channels were tried.
type told struct {
	mu    sync.Mutex
	tried []string
}

// InviteByMail remembers to whom a link was sent, and fails as a post office does for one address.
func (n *told) InviteByMail(_ context.Context, i saba.Invitation, token string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i.Email == "full@example.com" {
		return saba.Errorf(saba.ErrUntold, "the mail was not sent: its mailbox is full")
	}
	n.tried = append(n.tried, i.Email+" "+token)
	return nil
}

// Where saba sends mail, an invitation over the API goes to whom it is for; one that cannot be sent is kept all the same.
func TestInvitationsAreMailed(t *testing.T) {
	mailed := &told{}
	r := newRig(t, func(o *Options) { o.Notifier = mailed })
	r.member("u1", "me@example.com", "owner")
	r.wantJSON("invited", r.post("/invitations", `{"email":"you@example.com","authority":"manager"}`), fmt.Sprintf(`{"email":"you@example.com","authority":"manager","expiresAt":%d}`, start+saba.InvitationLife))
	to, token, _ := strings.Cut(strings.Join(mailed.tried, ","), " ")
	if org, i, err := r.store.InvitationByHash(r.Context(), saba.HashSecret(token), start); err != nil || to != "you@example.com" || org != "org1" || i.Authority != saba.Manager {
		t.Errorf("mailed was %q, whose token invites %+v (%v)", mailed.tried, i, err)
	}
	r.wantJSON("one whose mail does not go", r.post("/invitations", `{"email":"full@example.com","authority":"viewer"}`), fmt.Sprintf(`{"email":"full@example.com","authority":"viewer","expiresAt":%d}`, start+saba.InvitationLife))
	if log := r.log.String(); !strings.Contains(log, "mailbox is full") || strings.Contains(log, token) {
		t.Errorf("the log says %s", log)
	}
}

// Test fails as real services do for channels with such names.
func (n *told) Test(_ context.Context, c saba.Channel, _ string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried = append(n.tried, c.ID+c.Token)
	switch c.Name {
	case "dead":
		return saba.Errorf(saba.ErrUntold, "the channel %q was not told: its service answered 404 Not Found", c.Name)
	case "old":
		return saba.Errorf(saba.ErrInvalid, "channels of the type %s cannot be told anything yet", c.Type)
	}
	return nil
}

func TestChannelsAreTriedAndReleased(t *testing.T) {
	tried := &told{}
	r := newRig(t, func(o *Options) { o.Notifier = tried })
	id := r.create("/channels", `{"type":"ntfy","name":"n","to":"ops","token":"SECRET"}`)
	r.wantJSON("a test", r.post("/channels/"+id+"/test", ""), `{"success":true}`)
	if want := id + "SECRET"; len(tried.tried) != 1 || tried.tried[0] != want {
		t.Errorf("tried were %q, want %q", tried.tried, want)
	}
	dead := r.create("/channels", `{"type":"webhook","name":"dead","url":"https://example.com"}`)
	r.refuseSaying(502, `the channel "dead" was not told: its service answered 404 Not Found`, "POST", "/channels/"+dead+"/test", "")
	old := r.create("/channels", `{"type":"webhook","name":"old","url":"https://example.com"}`)
	r.refuseSaying(400, "cannot be told anything yet", "POST", "/channels/"+old+"/test", "")
	r.refuseSaying(404, "no channel", "POST", "/channels/none/test", "")
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("what is wrong elsewhere is logged as ours:\n%s", r.log)
	}

	const shown = `{"id":"ID","type":"ntfy","name":"n","url":"","to":"ops","enabledGraphImage":false,"events":[],"suspendedAt":`
	r.check(r.store.SuspendChannel(r.Context(), "org1", id, start, "it was tried for a day"))
	if list := r.get("/channels"); !strings.Contains(list, fmt.Sprintf(`"suspendedAt":%d`, start)) {
		t.Errorf("none is suspended in %s", list)
	}
	r.wantJSON("a release", r.post("/channels/"+id+"/release", ""), shown+`null}`)
	r.wantJSON("another", r.post("/channels/"+id+"/release", ""), shown+`null}`)
	r.refuseSaying(404, `none`, "POST", "/channels/none/release", "")
}

func TestEveryTypeOfChannelIsRead(t *testing.T) { // trap 14: other types have none of the lists
	r := newRig(t)
	for i, kind := range saba.ChannelTypes {
		r.check(r.store.CreateChannel(r.Context(), "org1", saba.Channel{ID: fmt.Sprintf("c%02d", i), Name: string(kind), Type: kind, SuspendedAt: start}, false))
	}
	var out struct{ Channels []map[string]any }
	r.check(json.Unmarshal([]byte(r.get("/channels")), &out))
	for _, c := range out.Channels {
		want := 4 + map[string]int{ // id, name, type, suspendedAt, and what is there to be read of those that clients make
			"email": 3, "slack": 4, "webhook": 3, "microsoft-teams": 2, "discord": 3, "mattermost": 3, "pagerduty": 3, "telegram": 5, "ntfy": 4, "template": 4,
		}[c["type"].(string)]
		if len(c) != want || c["suspendedAt"] != float64(start) {
			t.Errorf("channel %v has %d keys, want %d and suspendedAt %d", c, len(c), want, start)
		}
	}
	if len(out.Channels) != len(saba.ChannelTypes) {
		t.Errorf("%d channels are listed, want %d", len(out.Channels), len(saba.ChannelTypes))
	}
}

func TestExactlyOneDefaultNotificationGroup(t *testing.T) { // trap 15
	r := newRig(t)
	channel := r.create("/channels", `{"type":"webhook","name":"w","url":"https://example.com/w"}`)
	silent := r.create("/channels", `{"type":"webhook","name":"w","url":"https://example.com/w","addToDefaultNotificationGroup":false}`)
	monitor := r.create("/monitors", `{"type":"connectivity"}`)
	r.post("/services", `{"name":"shop","memo":""}`)
	fallback := `{"id":"org1","type":"group-default","name":"Default","notificationLevel":"all","childNotificationGroupIds":[],"childChannelIds":["` + channel + `"]}`
	r.wantJSON("at first", r.get("/notification-groups"), `{"notificationGroups":[`+fallback+`]}`)
	id := r.create("/notification-groups", `{"name":"g","notificationLevel":"critical","childNotificationGroupIds":["org1"],"childChannelIds":["`+silent+`"],"monitors":[{"id":"`+monitor+`","skipDefault":true}],"services":[{"name":"shop"}]}`)
	want := `{"id":"` + id + `","type":"group","name":"g","notificationLevel":"critical","childNotificationGroupIds":["org1"],"childChannelIds":["` + silent + `"],"monitors":[{"id":"` + monitor + `","skipDefault":true}],"services":[{"name":"shop"}]}`
	r.wantJSON("with another", r.get("/notification-groups"), `{"notificationGroups":[`+fallback+`,`+want+`]}`)
	r.refuse(400, "DELETE", "/notification-groups/org1", "")
	r.refuse(400, "PUT", "/notification-groups/org1", `{"name":"other","notificationLevel":"all"}`)
	r.wantJSON("omitted lists mean none", r.put("/notification-groups/"+id, `{"name":"g","notificationLevel":"all"}`),
		`{"id":"ID","type":"group","name":"g","notificationLevel":"all","childNotificationGroupIds":[],"childChannelIds":[]}`)
	r.delete("/notification-groups/"+id, "")
	r.wantJSON("at last", r.get("/notification-groups"), `{"notificationGroups":[`+fallback+`]}`)
}

func TestAlertGroupSettings(t *testing.T) { // trap 12: bare
	r := newRig(t)
	r.register(`{"name":"a","meta":{},"roleFullnames":["shop:db"]}`)
	id := r.create("/alert-group-settings", `{"name":"s","memo":"m","serviceScopes":["shop"],"roleScopes":["shop:db"],"monitorScopes":["org1"],"notificationInterval":60}`)
	want := `{"id":"` + id + `","name":"s","memo":"m","serviceScopes":["shop"],"roleScopes":["shop: db"],"monitorScopes":["org1"],"notificationInterval":60}`
	r.wantJSON("shown", r.get("/alert-group-settings/"+id), want)
	r.wantJSON("listed", r.get("/alert-group-settings"), `{"alertGroupSettings":[`+want+`]}`)
	r.wantJSON("replaced", r.put("/alert-group-settings/"+id, `{"name":"t"}`), `{"id":"ID","name":"t"}`)
	r.wantJSON("deleted", r.delete("/alert-group-settings/"+id, ""), `{"id":"ID","name":"t"}`)
}

func TestDashboards(t *testing.T) { // traps 12, 19 and 20
	r := newRig(t)
	host := r.register(`{"name":"a","meta":{},"roleFullnames":["shop:web"]}`)
	layout := `"layout":{"x":0,"y":0,"width":24,"height":6}`
	none := `"metric":null,"graph":null,"range":null,`
	send := `{"id":"x","createdAt":1,"updatedAt":2,"title":"Shop","memo":"m","urlPath":"shop/main","widgets":[
		{"type":"graph","title":"role","metric":null,"graph":{"type":"role","roleFullname":"shop:web","name":"loadavg5","isStacked":true},"range":{"type":"relative","period":3600,"offset":0},` + layout + `},
		{"type":"graph","title":"host","metric":null,"range":{"type":"absolute","start":0,"end":60},"graph":{"type":"host","hostId":"` + host + `","name":"cpu"},"valueRange":{"min":0},"referenceLines":[{"label":"l","value":1}],"legendList":["cpu.user"],` + layout + `},
		{"type":"graph","title":"service","metric":null,"range":null,"graph":{"type":"service","serviceName":"shop","name":"orders"},` + layout + `},
		{"type":"graph","title":"expression","metric":null,"range":null,"graph":{"type":"expression","expression":"role(shop:web, loadavg5)"},"legendList":["dropped"],` + layout + `},
		{"type":"graph","title":"query","metric":null,"range":null,"graph":{"type":"query","query":"a"},` + layout + `},
		{"type":"value","title":"v","graph":null,"range":null,"metric":{"type":"service","serviceName":"shop","name":"orders.count"},"fractionSize":0,"suffix":"/min","formatRules":[{"threshold":0,"operator":">"}],` + layout + `},
		{"type":"value","title":"w","graph":null,"range":null,"metric":{"type":"host","hostId":"` + host + `","name":"loadavg5"},` + layout + `},
		{"type":"markdown","title":"",` + none + `"markdown":"# <b>hi</b>",` + layout + `},
		{"type":"alertStatus","title":"s",` + none + `"roleFullname":"shop: web",` + layout + `}]}`
	widgets := func(role, service, alertRole string) string {
		return `[{"type":"graph","title":"role","graph":` + role + `,"range":{"type":"relative","period":3600,"offset":0},"referenceLines":[],` + layout + `},
		{"type":"graph","title":"host","range":{"type":"absolute","start":0,"end":60},"graph":{"type":"host","hostId":"` + host + `","name":"cpu"},"valueRange":{"min":0},"referenceLines":[{"label":"l","value":1}],"legendList":["cpu.user"],` + layout + `},
		{"type":"graph","title":"service","graph":` + service + `,"referenceLines":[],` + layout + `},
		{"type":"graph","title":"expression","graph":{"type":"expression","expression":"role(shop:web, loadavg5)"},"referenceLines":[],` + layout + `},
		{"type":"graph","title":"query","graph":{"type":"query","query":"a","legend":""},"referenceLines":[],` + layout + `},
		{"type":"value","title":"v","metric":` + strings.Replace(service, `"orders"`, `"orders.count"`, 1) + `,"fractionSize":0,"suffix":"/min","formatRules":[{"threshold":0,"operator":">"}],` + layout + `},
		{"type":"value","title":"w","metric":{"type":"host","hostId":"` + host + `","name":"loadavg5"},"formatRules":[],` + layout + `},
		{"type":"markdown","title":"","markdown":"# <b>hi</b>",` + layout + `},
		{"type":"alertStatus","title":"s","roleFullname":` + alertRole + `,` + layout + `}]`
	}
	head := fmt.Sprintf(`"title":"Shop","memo":"m","urlPath":"shop/main","createdAt":%d,"updatedAt":%d`, start, start)
	whole := widgets(`{"type":"role","roleFullname":"shop:web","name":"loadavg5","isStacked":true}`, `{"type":"service","serviceName":"shop","name":"orders"}`, `"shop:web"`)
	made := r.post("/dashboards", send)
	r.wantJSON("made", made, `{"id":"ID",`+head+`,"widgets":`+whole+`}`)
	var d struct{ ID string }
	r.check(json.Unmarshal([]byte(made), &d))
	r.wantJSON("shown, bare", r.get("/dashboards/"+d.ID), made)
	r.wantJSON("listed, without widgets", r.get("/dashboards"), `{"dashboards":[{"id":"`+d.ID+`",`+head+`}]}`)

	r.delete("/services/shop", "")
	gone := `{"type":"unknown"}`
	r.wantJSON("when the service is gone", r.get("/dashboards/"+d.ID), `{"id":"ID",`+head+`,"widgets":`+widgets(gone, gone, "null")+`}`)

	r.clock.Add(60)
	r.wantJSON("updated", r.put("/dashboards/"+d.ID, `{"title":"T","memo":"","urlPath":"t","widgets":[]}`),
		fmt.Sprintf(`{"id":"ID","title":"T","memo":"","urlPath":"t","createdAt":%d,"updatedAt":%d,"widgets":[]}`, start, start+60))
	r.delete("/dashboards/"+d.ID, "")
	r.refuse(404, "GET", "/dashboards/"+d.ID, "")
}

func TestGraphAnnotations(t *testing.T) {
	r := newRig(t)
	r.register(`{"name":"a","meta":{},"roleFullnames":["shop:web"]}`)
	made := r.post("/graph-annotations", `{"title":"deploy","description":"d","from":100,"to":100,"service":"shop","roles":["web"]}`)
	r.wantJSON("made", made, `{"id":"ID","title":"deploy","description":"d","from":100,"to":100,"service":"shop","roles":["web"]}`)
	r.wantJSON("found", r.get("/graph-annotations?service=shop&from=100&to=200"), `{"graphAnnotations":[`+made+`]}`)
	r.wantJSON("not found", r.get("/graph-annotations?service=shop&from=101&to=200"), `{"graphAnnotations":[]}`)
	var a struct{ ID string }
	r.check(json.Unmarshal([]byte(made), &a))
	r.wantJSON("replaced", r.put("/graph-annotations/"+a.ID, `{"title":"t","from":1,"to":2,"service":"shop","roles":[]}`), `{"id":"ID","title":"t","from":1,"to":2,"service":"shop"}`)
	r.refuse(404, "PUT", "/graph-annotations/none", `{"title":"t","from":1,"to":2,"service":"shop"}`)
	r.refuse(404, "PUT", "/graph-annotations/"+a.ID, `{"title":"t","from":1,"to":2,"service":"none"}`)
	r.wantJSON("deleted", r.delete("/graph-annotations/"+a.ID, ""), `{"id":"ID","title":"t","from":1,"to":2,"service":"shop"}`)
}

func TestAlerts(t *testing.T) { // trap 12: bare
	r := newRig(t)
	r.wantJSON("none", r.get("/alerts"), `{"alerts":[]}`)
	open := func(id string, at int64, edit func(a *saba.Alert)) {
		a := saba.Alert{ID: id, Status: saba.CheckCritical, Monitor: "org1", Type: "host", Host: id, OpenedAt: at}
		edit(&a)
		r.check(r.store.OpenAlert(r.Context(), "org1", a, &saba.AlertDetail{Message: "m", Memo: "n"}))
	}
	open("a1", start, func(a *saba.Alert) { a.Value = new(0.0) })
	open("a2", start+1, func(a *saba.Alert) { a.Type, a.Message, a.Host = "external", "503", "" })
	open("a3", start+2, func(a *saba.Alert) {
		a.Type, a.Host, a.Series = "query", "", saba.AlertSeries{Name: "n", Labels: map[string]string{"k": "v"}}
	})
	a1 := fmt.Sprintf(`{"id":"a1","status":"CRITICAL","monitorId":"org1","type":"host","hostId":"a1","value":0,"openedAt":%d}`, start)
	a2 := fmt.Sprintf(`{"id":"a2","status":"CRITICAL","monitorId":"org1","type":"external","message":"503","openedAt":%d}`, start+1)
	a3 := fmt.Sprintf(`{"id":"a3","status":"CRITICAL","monitorId":"org1","type":"query","series":{"name":"n","labels":{"k":"v"}},"openedAt":%d}`, start+2)
	r.wantJSON("newest first", r.get("/alerts?nextId="), `{"alerts":[`+a3+`,`+a2+`,`+a1+`]}`)
	r.wantJSON("one page", r.get("/alerts?limit=2"), `{"alerts":[`+a3+`,`+a2+`],"nextId":"a1"}`)
	r.wantJSON("the next one", r.get("/alerts?limit=2&nextId=a1"), `{"alerts":[`+a1+`]}`)
	r.wantJSON("shown, bare", r.get("/alerts/a1"), a1)

	r.wantJSON("memo", r.put("/alerts/a1", `{"memo":"look\nat it"}`), `{"id":"a1","memo":"look\nat it"}`)
	r.wantJSON("nothing about the memo", r.put("/alerts/a1", `{}`), `{"id":"a1","memo":"look\nat it"}`)
	r.wantJSON("null is nothing", r.put("/alerts/a1", `{"memo":null}`), `{"id":"a1","memo":"look\nat it"}`)
	r.refuse(404, "PUT", "/alerts/none", `{}`)
	r.wantJSON("no memo", r.put("/alerts/a1", `{"memo":""}`), `{"id":"a1","memo":""}`)

	r.clock.Add(60)
	closed := fmt.Sprintf(`{"id":"a1","status":"OK","monitorId":"org1","type":"host","hostId":"a1","value":0,"reason":"why","openedAt":%d,"closedAt":%d}`, start, start+60)
	r.wantJSON("closed", r.post("/alerts/a1/close", `{"reason":"why"}`), closed)
	r.clock.Add(60)
	r.wantJSON("closed again", r.post("/alerts/a1/close", `{"reason":"other"}`), closed)
	r.wantJSON("closed without a word", r.post("/alerts/a2/close", `{"reason":""}`),
		fmt.Sprintf(`{"id":"a2","status":"OK","monitorId":"org1","type":"external","message":"503","openedAt":%d,"closedAt":%d}`, start+1, start+120))
	r.wantJSON("open ones", r.get("/alerts"), `{"alerts":[`+a3+`]}`)
	r.refuse(400, "GET", "/alerts?withClosed=maybe", "")
	for query, saying := range map[string]string{"from=x": "from must be a time", "to=0": "to must be a time", "from=9&to=8": "from must not be after to", "status=OK": "status must be WARNING", "q=" + strings.Repeat("x", 201): "q must be 200"} {
		r.refuseSaying(400, saying, "GET", "/alerts?"+query, "")
	}
	r.wantJSON("found by words and time", r.get(fmt.Sprintf("/alerts?withClosed=true&q=WHY&from=%d&to=%d&status=CRITICAL&monitorId=org1&hostId=a1", start, start+60)), `{"alerts":[`+closed+`]}`)
	r.wantJSON("not found", r.get(fmt.Sprintf("/alerts?withClosed=true&from=%d&service=none", start+500)), `{"alerts":[]}`)
	r.wantJSON("with closed ones", r.get("/alerts?withClosed=true&limit=1&nextId=a1"), `{"alerts":[`+closed+`]}`)

	first := fmt.Sprintf(`{"id":"a1000001","createdAt":%d,"status":"CRITICAL","trigger":"monitoring","monitorId":"org1","targetValue":0,"statusDetail":{"type":"check","detail":{"message":"m","memo":"n"}}}`, start)
	second := fmt.Sprintf(`{"id":"a1000002","createdAt":%d,"status":"OK","trigger":"manual","monitorId":"org1","targetValue":null,"statusDetail":null}`, start+60)
	r.wantJSON("log", r.get("/alerts/a1/logs?nextId="), `{"logs":[`+second+`,`+first+`]}`)
	r.wantJSON("a page of the log", r.get("/alerts/a1/logs?limit=1"), `{"logs":[`+second+`],"nextId":"a1000001"}`)
	r.wantJSON("its next page", r.get("/alerts/a1/logs?limit=1&nextId=a1000001"), `{"logs":[`+first+`]}`)
	r.delete("/monitors/org1", "")
	r.wantJSON("log of a rule that is gone", r.get("/alerts/a1/logs?limit=1&nextId=a1000001"), `{"logs":[`+strings.Replace(first, `"org1"`, `null`, 1)+`]}`)
	r.wantJSON("its open alert", r.get("/alerts"), `{"alerts":[]}`)
}

func TestUsersAndInvitations(t *testing.T) {
	r := newRig(t)
	r.wantJSON("nobody", r.get("/users"), `{"users":[]}`)
	r.member("u1", "me@example.com", "owner")
	r.member("u2", "you@example.com", "viewer")
	user := func(id, name, authority string) string {
		return fmt.Sprintf(`{"id":%q,"screenName":%q,"email":"%s@example.com","authority":%q,"isInRegistrationProcess":false,"isMFAEnabled":false,"authenticationMethods":["password"],"joinedAt":%d}`, id, name, name, authority, start)
	}
	r.wantJSON("users", r.get("/users"), `{"users":[`+user("u1", "me", "owner")+`,`+user("u2", "you", "viewer")+`]}`)
	r.refuse(403, "DELETE", "/users/u1", "")
	r.wantJSON("who was deleted", r.delete("/users/u2", ""), user("u2", "you", "viewer"))
	r.refuse(404, "DELETE", "/users/u2", "")

	want := fmt.Sprintf(`{"email":"you@example.com","authority":"manager","expiresAt":%d}`, start+saba.InvitationLife)
	r.wantJSON("invited", r.post("/invitations", `{"email":"you@example.com","authority":"manager"}`), want)
	r.wantJSON("invitations", r.get("/invitations"), `{"invitations":[`+want+`]}`)
	r.wantJSON("revoked", r.post("/invitations/revoke", `{"email":"you@example.com"}`), `{"success":true}`)
	r.refuse(404, "POST", "/invitations/revoke", `{"email":"you@example.com"}`)
	r.wantJSON("no invitations", r.get("/invitations"), `{"invitations":[]}`)
}

func TestTheAPIMayBeRestrictedToNetworks(t *testing.T) {
	var h http.Handler
	r := newRig(t, func(o *Options) { h = New(*withoutRegistry(o)) })
	from := func(address string) int {
		req := httptest.NewRequest(http.MethodGet, "/api/v0/org", nil)
		req.RemoteAddr = address
		req.Header.Set("X-Api-Key", keyBoth)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Code
	}
	r.wantJSON("at first", r.get("/settings/ip-restriction/api"), `{"cidrs":[]}`)
	if got := from("192.0.2.1:1"); got != 200 {
		t.Errorf("without a restriction: %d, want 200", got)
	}
	r.post("/settings/ip-restriction/api", `{"cidrs":["127.0.0.1/8","2001:db8::/32"]}`)
	r.wantJSON("then", r.get("/settings/ip-restriction/api"), `{"cidrs":["127.0.0.0/8","2001:db8::/32"]}`)
	for address, want := range map[string]int{"192.0.2.1:1": 403, "127.9.9.9:1": 200, "[2001:db8::5]:1": 200, "[::ffff:127.0.0.1]:1": 200, "[2001:db9::5]:1": 403, "nonsense": 403} {
		if got := from(address); got != want {
			t.Errorf("from %s: %d, want %d", address, got, want)
		}
	}
	if a := r.send("GET", "/org", keyForeign, ""); a.status != 200 {
		t.Errorf("the other organization: %d %s, want 200", a.status, a.body)
	}
	r.wantJSON("the console's list is another", r.get("/settings/ip-restriction/web"), `{"cidrs":[]}`)
	r.post("/settings/ip-restriction/api", `{"cidrs":[]}`)
	if got := from("192.0.2.1:1"); got != 200 {
		t.Errorf("after it was lifted: %d, want 200", got)
	}
}

// withoutRegistry lets a second API count on its own.
func withoutRegistry(o *Options) *Options {
	second := *o
	second.Registerer = nil
	return &second
}

func TestAWSIntegrations(t *testing.T) { // trap 17
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	made := r.post("/aws-integrations", `{"name":"n","memo":"m","key":"AK","secretKey":"hush","roleArn":null,"region":"r","includedTags":"a:b","excludedTags":"",
		"services":{"EC2":{"enable":true,"role":"shop:web","excludedMetrics":["x"],"retireAutomatically":true},"Route 53":{"enable":true,"role":null,"excludedMetrics":[]}}}`)
	if strings.Contains(made, "hush") || strings.Contains(r.get("/aws-integrations"), "hush") {
		t.Error("the secret comes back")
	}
	if !strings.HasPrefix(r.get("/aws-integrations"), `{"aws_integrations":[{"id":`) {
		t.Errorf("the list is %s, want it under aws_integrations", r.get("/aws-integrations"))
	}
	var a struct {
		ID                       string
		Key, RoleARN, ExternalID *string
		Services                 map[string]struct {
			Enable bool
			Role   *string
		}
	}
	read := func(body string) {
		t.Helper()
		a.Key, a.RoleARN, a.ExternalID, a.Services = nil, nil, nil, nil
		r.check(json.Unmarshal([]byte(body), &a))
	}
	read(made)
	if len(a.Services) != len(saba.AWSServices) || !a.Services["EC2"].Enable || *a.Services["EC2"].Role != "shop: web" || !a.Services["Route53"].Enable || a.Services["S3"].Enable {
		t.Errorf("services are %+v, want all %d of them, EC2 and Route53 enabled", a.Services, len(saba.AWSServices))
	}
	read(r.put("/aws-integrations/"+a.ID, `{"name":"n2","memo":"","roleArn":"arn","externalId":null,"region":"","includedTags":"","excludedTags":"","services":{}}`))
	if a.Key == nil || *a.Key != "AK" || a.RoleARN == nil || a.ExternalID != nil || a.Services["EC2"].Enable {
		t.Errorf("after an update without a key: %+v", a)
	}
	read(r.put("/aws-integrations/"+a.ID, `{"name":"n2","key":null}`))
	if a.Key != nil || a.RoleARN == nil {
		t.Errorf("after an update with a key of null: %+v", a)
	}
	var e struct{ ExternalID string }
	r.check(json.Unmarshal([]byte(r.post("/aws-integrations-external-id", "null")), &e))
	if e.ExternalID == "" {
		t.Error("no external id")
	}
	if got := r.get("/aws-integrations-excludable-metrics"); !strings.Contains(got, `"EC2":[]`) {
		t.Errorf("excludable metrics are %s", got)
	}
	r.wantError(r.send("POST", "/aws-integrations", keyRead, `{"name":"x"}`), 401, "write flag", "without the write flag")
	r.delete("/aws-integrations/"+a.ID, "")
	r.refuse(404, "GET", "/aws-integrations/"+a.ID, "")
}

func TestServicesAndRolesCanBeRenamed(t *testing.T) {
	r := newRig(t)
	host := r.register(`{"name":"a","meta":{},"roleFullnames":["shop:web"]}`)
	monitor := r.create("/monitors", `{"type":"connectivity","scopes":["shop:web"]}`)
	r.wantJSON("the role", r.put("/services/shop/roles/web", `{"name":"front","memo":"m"}`), `{"name":"front","memo":"m"}`)
	r.wantJSON("the service", r.put("/services/shop", `{"name":"store","memo":"n"}`), `{"name":"store","memo":"n","roles":["front"]}`)
	r.wantJSON("the list", r.get("/services"), `{"services":[{"name":"store","memo":"n","roles":["front"]}]}`)
	if got := r.host(host).Roles; len(got) != 1 || len(got["store"]) != 1 || got["store"][0] != "front" {
		t.Errorf("the host's roles are %v", got)
	}
	if got := r.get("/monitors/" + monitor); !strings.Contains(got, `"scopes":["store: front"]`) {
		t.Errorf("the monitor is %s", got)
	}
	r.post("/services", `{"name":"other","memo":""}`)
	r.refuseSaying(400, "already", "PUT", "/services/store", `{"name":"other"}`)
	r.refuseSaying(400, "name must be", "PUT", "/services/store", `{"name":"x"}`)
	r.refuse(404, "PUT", "/services/none", `{"name":"some"}`)
	r.refuse(404, "PUT", "/services/store/roles/none", `{"name":"some"}`)
	r.post("/services/store/tsdb", `[{"name":"m","time":1700000040,"value":1}]`)
	expression := r.create("/monitors", `{"type":"expression","name":"e","expression":"sum(group(service(store, m), host(store, m)))","operator":">"}`)
	r.put("/services/store", `{"name":"shop","memo":"o"}`)
	if got := r.get("/monitors/" + expression); !strings.Contains(got, `"expression":"sum(group(service(shop, m), host(store, m)))"`) {
		t.Errorf("the expression became %s", got)
	}
}

func TestARenamedServiceKeepsItsMetrics(t *testing.T) {
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	r.post("/services/shop/tsdb", `[{"name":"orders.web","time":1700000040,"value":1},{"name":"gone.a","time":1700000040,"value":1}]`)
	r.delete("/services/shop/graph-defs/gone.*", "")
	r.put("/services/shop", `{"name":"store","memo":""}`)
	r.wantJSON("its metrics", r.get("/services/store/metric-names"), `{"names":["orders.web"]}`)
	r.post("/services/store/tsdb", `[{"name":"orders.web","time":1700000100,"value":2}]`)
	const query = "/metrics?name=orders.web&from=1700000000&to=1700000100"
	r.wantJSON("its history", r.get("/services/store"+query), `{"metrics":[{"time":1700000040,"value":1},{"time":1700000100,"value":2}]}`)
	r.refuse(404, "GET", "/services/shop"+query, "")
	r.refuse(404, "POST", "/services/shop/tsdb", `[]`)
	// Another one of the first name is another service.
	r.post("/services", `{"name":"shop","memo":""}`)
	r.wantJSON("metrics of the new one", r.get("/services/shop/metric-names"), `{"names":[]}`)
	r.post("/services/shop/tsdb", `[{"name":"orders.web","time":1700000100,"value":9}]`)
	r.wantJSON("what the new one has", r.get("/services/shop"+query), `{"metrics":[{"time":1700000100,"value":9}]}`)
	r.wantJSON("what the first still has", r.get("/services/store"+query), `{"metrics":[{"time":1700000040,"value":1},{"time":1700000100,"value":2}]}`)
}

func TestARetirementCanBeUndone(t *testing.T) {
	r := newRig(t)
	host := r.register(`{"name":"a","meta":{}}`)
	r.post("/hosts/"+host+"/retire", "null")
	r.post("/hosts/"+host+"/unretire", "")
	if h := r.host(host); *h.IsRetired || h.RetiredAt != 0 {
		t.Errorf("the host is %+v, want it to live", h)
	}
	r.post("/tsdb", `[{"hostId":"`+host+`","name":"m","time":1700000040,"value":1}]`)
	r.wantJSON("its metrics", r.get("/hosts/"+host+"/metric-names"), `{"names":["m"]}`)
	r.post("/hosts/"+host+"/retire", "null")
	r.clock.Add(31 * 24 * 60 * 60)
	r.refuseSaying(400, "30 days", "POST", "/hosts/"+host+"/unretire", "")
	r.refuse(404, "POST", "/hosts/none/unretire", "")
}

func TestADeletedGraphOfAServiceComesBackWithItsMetrics(t *testing.T) {
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	post := func(at int64) {
		r.post("/services/shop/tsdb", fmt.Sprintf(`[{"name":"access.count","time":%d,"value":1},{"name":"other.count","time":%d,"value":1}]`, at, at))
	}
	post(start - 60)
	r.refuse(404, "DELETE", "/services/shop/graph-defs/none.*", "")
	r.refuse(404, "DELETE", "/services/none/graph-defs/access.*", "")
	r.wantJSON("deleted", r.delete("/services/shop/graph-defs/access.*", ""), `{"success":true}`)
	r.wantJSON("what is left", r.get("/services/shop/metric-names"), `{"names":["other.count"]}`)
	r.refuse(404, "DELETE", "/services/shop/graph-defs/access.*", "")
	r.clock.Add(120)
	r.wantJSON("what is left later", r.get("/services/shop/metric-names"), `{"names":["other.count"]}`)
	post(start + 120)
	r.wantJSON("after a new point", r.get("/services/shop/metric-names"), `{"names":["access.count","other.count"]}`)
}

func TestMetadataThatDidNotChangeIsNotSentAgain(t *testing.T) {
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	r.put("/services/shop/metadata/ns", `{"a":1}`)
	at := r.send("GET", "/services/shop/metadata/ns", keyRead, "").header.Get("Last-Modified")
	for since, want := range map[string]int{at: 304, "Tue, 14 Nov 2023 22:14:59 GMT": 200, "Tue, 14 Nov 2033 22:15:00 GMT": 304, "yesterday": 200, "": 200} {
		a := r.send("GET", "/services/shop/metadata/ns", keyRead, "", "If-Modified-Since", since)
		if a.status != want || (a.body == "") != (want == 304) || a.header.Get("Last-Modified") != at {
			t.Errorf("since %q: %d %q, Last-Modified %q; want %d and %q", since, a.status, a.body, a.header.Get("Last-Modified"), want, at)
		}
	}
	r.clock.Add(1)
	r.put("/services/shop/metadata/ns", `{"a":2}`)
	if a := r.send("GET", "/services/shop/metadata/ns", keyRead, "", "If-Modified-Since", at); a.status != 200 || a.body != `{"a":2}` {
		t.Errorf("after a change: %d %s", a.status, a.body)
	}
}

func TestNothingHangsBelowTheOrigin(t *testing.T) { // trap 1
	r := newRig(t)
	for path, want := range map[string]int{"/api/v0/org": 200, "/saba/api/v0/org": 404, "/org": 404} {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", keyRead)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		r.check(resp.Body.Close())
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestDeletingAServiceTakesItsObjectsAlong(t *testing.T) {
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	id := r.create("/monitors", `{"type":"service","name":"s","service":"shop","metric":"orders","operator":"<","duration":1}`)
	r.create("/graph-annotations", `{"title":"t","from":1,"to":2,"service":"shop"}`)
	r.check(r.store.OpenAlert(r.Context(), "org1", saba.Alert{ID: "a1", Status: saba.CheckWarning, Monitor: id, Type: "service", OpenedAt: start}, nil))
	r.delete("/services/shop", "")
	r.refuse(404, "GET", "/monitors/"+id, "")
	r.wantJSON("open alerts", r.get("/alerts"), `{"alerts":[]}`)
	if got := r.get("/alerts/a1/logs"); !strings.Contains(got, `"trigger":"serviceDelete"`) {
		t.Errorf("the alert's log is %s, want it closed by serviceDelete", got)
	}
}
