package client_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// No call of the API opens an alert, so these are read from answers as the protocol has them.
func TestAlertsAreRead(t *testing.T) {
	answers := map[string]string{
		"/api/v0/alerts?limit=1&nextId=a9&withClosed=true": `{"alerts":[{"id":"a1","status":"OK","monitorId":"m1","type":"query","series":{"name":"n","labels":{"k":"v"}},"value":0,"message":"m","reason":"r","memo":"o","openedAt":5,"closedAt":6}],"nextId":"a0"}`,
		"/api/v0/alerts/a2":              `{"id":"a2","status":"UNKNOWN","monitorId":"m1","type":"host","hostId":"h1","openedAt":5}`,
		"/api/v0/alerts/a1/logs?limit=2": `{"logs":[{"id":"l2","createdAt":6,"status":"OK","trigger":"manual","monitorId":null,"targetValue":null,"statusDetail":null},{"id":"l1","createdAt":5,"status":"CRITICAL","trigger":"monitoring","monitorId":"m1","targetValue":1.5,"statusDetail":{"type":"check","detail":{"message":"m","memo":"n"}}}]}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.URL.RequestURI()]
		if !ok {
			t.Errorf("asked for %s", r.URL.RequestURI())
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write([]byte(body)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(client.Options{Base: srv.URL, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	alerts, next, err := c.Alerts(t.Context(), saba.AlertPage{Closed: true, From: "a9", Limit: 1})
	want := []saba.Alert{{ID: "a1", Status: saba.CheckOK, Monitor: "m1", Type: "query", Series: saba.AlertSeries{Name: "n", Labels: map[string]string{"k": "v"}},
		Value: new(0.0), Message: "m", Reason: "r", Memo: "o", OpenedAt: 5, ClosedAt: 6}}
	if err != nil || next != "a0" || !reflect.DeepEqual(alerts, want) {
		t.Errorf("alerts = %+v, %q, %v; want %+v", alerts, next, err, want)
	}
	a, err := c.Alert(t.Context(), "a2")
	if want := (saba.Alert{ID: "a2", Status: saba.CheckUnknown, Monitor: "m1", Type: "host", Host: "h1", OpenedAt: 5}); err != nil || !reflect.DeepEqual(a, want) {
		t.Errorf("alert = %+v, %v; want %+v", a, err, want)
	}
	logs, next, err := c.AlertLogs(t.Context(), "a1", "", 2)
	wantLogs := []saba.AlertLog{
		{ID: "l2", AlertMove: saba.AlertMove{At: 6, Status: saba.CheckOK, Trigger: saba.TriggerManual}},
		{ID: "l1", Monitor: "m1", AlertMove: saba.AlertMove{At: 5, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring, Value: new(1.5), Detail: &saba.AlertDetail{Message: "m", Memo: "n"}}},
	}
	if err != nil || next != "" || !reflect.DeepEqual(logs, wantLogs) {
		t.Errorf("logs = %+v, %q, %v; want %+v", logs, next, err, wantLogs)
	}
}
