package api

import (
	"fmt"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestPeopleHandleAlerts(t *testing.T) {
	r := newRig(t)
	r.member("user1", "owner@example.com", "owner")
	r.member("user2", "second@example.com", "collaborator")
	r.check(r.store.OpenAlert(r.Context(), "org1", saba.Alert{ID: "a1", Status: saba.CheckCritical, Monitor: "org1", Type: "host", Host: "h", OpenedAt: start}, nil))
	alert := func(more string) string {
		return fmt.Sprintf(`{"id":"a1","status":"CRITICAL","monitorId":"org1","type":"host","hostId":"h","openedAt":%d%s}`, start, more)
	}
	acked := fmt.Sprintf(`,"acknowledgedBy":"user1","acknowledgedAt":%d`, start)
	for _, tt := range []struct{ what, path, body, more string }{
		{"acknowledged", "acknowledge", `{"userId":"user1"}`, acked},
		{"by somebody else as well: the first one stays", "acknowledge", `{"userId":"user2"}`, acked},
		{"assigned", "assign", `{"userId":"user2"}`, acked + `,"assignedTo":"user2"`},
		{"muted", "mute", fmt.Sprintf(`{"until":%d}`, start+3600), acked + fmt.Sprintf(`,"assignedTo":"user2","mutedUntil":%d`, start+3600)},
		{"taken back", "acknowledge", `{"userId":""}`, fmt.Sprintf(`,"assignedTo":"user2","mutedUntil":%d`, start+3600)},
		{"told of again", "mute", `{"until":0}`, `,"assignedTo":"user2"`},
		{"nobody's", "assign", `{"userId":""}`, ""},
	} {
		r.wantJSON(tt.what, r.post("/alerts/a1/"+tt.path, tt.body), alert(tt.more))
		r.wantJSON(tt.what+", read again", r.get("/alerts/a1"), alert(tt.more))
	}
	for path, bodies := range map[string]map[string]string{
		"acknowledge": {`{}`: "userId is required", `{"userId":null}`: "userId is required", `{"userId":"none"}`: "userId must be the id of an account", `{"userId":5}`: "userId must be a string"},
		"assign":      {`{}`: "userId is required", `{"userId":"none"}`: "userId must be the id of an account"},
		"mute": {`{}`: "until is required", fmt.Sprintf(`{"until":%d}`, start): "until must be a time in Unix seconds within the next year", `{"until":-1}`: "until must be",
			fmt.Sprintf(`{"until":%d}`, start+saba.MaxAlertMute+1): "until must be"},
	} {
		for body, saying := range bodies {
			r.refuseSaying(400, saying, "POST", "/alerts/a1/"+path, body)
		}
		r.refuseSaying(404, `no alert "none"`, "POST", "/alerts/none/"+path, `{"userId":"","until":0}`)
	}
	r.wantJSON("after what was refused", r.get("/alerts/a1"), alert(""))
}

func TestWhoWasToldOfAnAlert(t *testing.T) {
	r := newRig(t)
	ctx := r.Context()
	r.check(r.store.OpenAlert(ctx, "org1", saba.Alert{ID: "a1", Status: saba.CheckCritical, Monitor: "org1", Type: "host", Host: "h", OpenedAt: start}, nil))
	route := func(v saba.Verdict) (seq int64) {
		events, err := r.store.UnroutedEvents(ctx, "org1", 100)
		r.check(err)
		for _, e := range events {
			r.check(r.store.RouteEvents(ctx, "org1", start+1, saba.Routing{Event: e.Seq, Verdict: v}))
			seq = e.Seq
		}
		return seq
	}
	undecided := fmt.Sprintf(`{"at":%d,"event":"alert","status":"CRITICAL","trigger":"monitoring","decided":false,"channels":[]}`, start)
	r.wantJSON("before it is decided", r.get("/alerts/a1/notifications"), `{"events":[`+undecided+`]}`)
	seq := route(saba.Verdict{Notifications: []saba.Notification{
		{Channel: "c1", State: saba.NotificationWaiting}, {Channel: "c2", State: saba.NotificationWaiting},
		{Channel: "c3", State: saba.NotificationLeft, Silence: saba.SilenceLevel, Detail: "from CRITICAL on"},
	}})
	r.check(r.store.SetNotification(ctx, "org1", saba.Notification{Event: seq, Channel: "c1", State: saba.NotificationSent, Attempts: 2, DoneAt: start + 9}))
	r.check(r.store.SetNotification(ctx, "org1", saba.Notification{Event: seq, Channel: "c2", State: saba.NotificationWaiting, Attempts: 1, NextTry: start + 30, Detail: "it answered 500"}))
	_, err := r.store.MoveAlert(ctx, "org1", "a1", saba.AlertMove{At: start + 60, Status: saba.CheckOK, Trigger: saba.TriggerMonitoring})
	r.check(err)
	route(saba.Verdict{Silence: saba.SilenceDowntime, Detail: `the downtime "night" is under way`})
	closed := fmt.Sprintf(`{"at":%d,"event":"alert","status":"OK","trigger":"monitoring","decided":true,"silence":"downtime","reason":"the downtime \"night\" is under way","channels":[]}`, start+60)
	opened := fmt.Sprintf(`{"at":%d,"event":"alert","status":"CRITICAL","trigger":"monitoring","decided":true,"channels":[
		{"channelId":"c1","state":"sent","attempts":2,"doneAt":%d},
		{"channelId":"c2","state":"waiting","reason":"it answered 500","attempts":1,"nextTryAt":%d},
		{"channelId":"c3","state":"left","silence":"level","reason":"from CRITICAL on","attempts":0}]}`, start, start+9, start+30)
	r.wantJSON("newest first", r.get("/alerts/a1/notifications"), `{"events":[`+closed+`,`+opened+`]}`)
	r.wantJSON("only one", r.get("/alerts/a1/notifications?limit=1"), `{"events":[`+closed+`]}`)
	r.refuseSaying(404, `no alert "none"`, "GET", "/alerts/none/notifications", "")
	r.refuseSaying(400, "limit must be", "GET", "/alerts/a1/notifications?limit=0", "")
}
