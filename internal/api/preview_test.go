package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// preview asks what a monitor would have done, with a key that may read alone.
func (r *rig) preview(body string) (out previewOut) {
	r.Helper()
	a := r.send(http.MethodPost, "/monitors/preview", keyRead, body)
	if a.status != http.StatusOK {
		r.Fatalf("preview %s: %d %s", body, a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		r.Fatal(err)
	}
	return out
}

func TestMonitorPreview(t *testing.T) {
	r := newRig(t)
	host := r.register(`{"name":"web1","meta":{},"roleFullnames":["shop:web"]}`)
	r.post("/channels", `{"type":"slack","name":"ops","url":"https://hooks.example.com/x","events":["alert"],"addToDefaultNotificationGroup":true}`)
	for i, v := range []int{1, 9, 9, 1, 1, 9, 9} {
		r.clock.Store(start + int64(i+1)*60)
		r.post("/tsdb", fmt.Sprintf(`[{"hostId":%q,"name":"loadavg5","time":%d,"value":%d}]`, host, r.clock.Load(), v))
	}
	rule := `"type":"host","name":"busy","metric":"loadavg5","operator":">","duration":1,"scopes":["shop:web"]`
	got := r.preview(`{"monitor":{` + rule + `,"warning":5,"maxCheckAttempts":2},"days":1}`)
	minute := func(i int64) int64 { return (start + i*60) / 60 * 60 }
	if got.Fired != 2 || len(got.Alerts) != 2 || !got.Complete || got.Targets != 1 || got.To-got.From > 86400 {
		t.Fatalf("the preview is %+v, want two alerts of one host", got)
	}
	first, second := got.Alerts[0], got.Alerts[1]
	if first.OpenedAt != minute(3) || first.ClosedAt != minute(4) || first.Status != "WARNING" || first.HostID != host || first.Label != "web1" ||
		first.Value == nil || *first.Value != 9 || first.Message != "loadavg5 9 > 5" {
		t.Errorf("the first alert is %+v, want one of web1 from the third minute to the fourth", first)
	}
	if second.OpenedAt != minute(7) || second.ClosedAt != 0 {
		t.Errorf("the second alert is %+v, want one that is open from the seventh minute on", second)
	}
	if len(got.Messages) != 1 || got.Messages[0].Name != "ops" || got.Messages[0].Count != 3 {
		t.Errorf("the messages are %+v, want 3 to ops", got.Messages)
	}
	if list := r.get("/monitors") + r.get("/alerts"); strings.Contains(list, "busy") {
		t.Errorf("a preview kept something: %s", list)
	}

	// One that is kept, as it is and as it would be.
	id := r.create("/monitors", `{`+rule+`,"warning":100}`)
	if got := r.preview(`{"monitor":{"id":"` + id + `"}}`); got.Fired != 0 || got.To-got.From != 7*86400 {
		t.Errorf("the kept monitor fired %d times in %d days, want none in 7", got.Fired, (got.To-got.From)/86400)
	}
	if got := r.preview(`{"monitor":{"id":"` + id + `",` + rule + `,"critical":8}}`); got.Fired != 2 || got.Alerts[0].Status != "CRITICAL" {
		t.Errorf("the edited monitor fired %+v, want twice and critical", got)
	}
}

// A monitor of anomalies is replayed with what was usual then: nothing fires while it learns.
func TestMonitorPreviewOfAnomalies(t *testing.T) {
	r := newRig(t)
	host := r.register(`{"name":"web1","meta":{},"roleFullnames":["shop:web"]}`)
	for day := range int64(12) {
		var points []string
		for minute := range int64(90) {
			r.clock.Store(start + day*86400 + minute*60)
			used := 40
			if minute >= 50 && minute < 55 {
				used += int(day) // one point of memory is a deviation: odd from the seventh day on
			}
			for name, v := range map[string]int{"memory.used": used, "memory.total": 100} {
				points = append(points, fmt.Sprintf(`{"hostId":%q,"name":%q,"time":%d,"value":%d}`, host, name, r.clock.Load(), v))
			}
		}
		r.post("/tsdb", "["+strings.Join(points, ",")+"]")
	}
	rule := `"type":"anomalyDetection","name":"odd","scopes":["shop:web"],"warningSensitivity":"normal"`
	got := r.preview(`{"monitor":{` + rule + `},"days":14}`)
	if got.Targets != 1 || got.Fired == 0 || !got.Complete {
		t.Fatalf("the preview is %+v, want alerts of one host", got)
	}
	for _, a := range got.Alerts {
		if a.OpenedAt < start+6*86400 || a.HostID != host || a.Status != "WARNING" || !strings.HasPrefix(a.Message, "memory% ") || !strings.Contains(a.Message, " deviations above 40 % (median of shop:web, ") {
			t.Errorf("the alert is %+v", a)
		}
	}
	if got := r.preview(fmt.Sprintf(`{"monitor":{%s,"trainingPeriodFrom":%d},"days":14}`, rule, start+10*86400)); got.Fired != 0 {
		t.Errorf("while it learns it fires: %+v", got)
	}
}

func TestMonitorPreviewRefuses(t *testing.T) {
	r := newRig(t)
	rule := `"type":"host","name":"busy","metric":"loadavg5","operator":">","duration":1,"warning":5`
	for body, want := range map[string]string{
		`{"monitor":{` + rule + `},"days":0}`:                                "days must be from 1 to 30, not 0",
		`{"monitor":{` + rule + `},"days":31}`:                               "days must be from 1 to 30, not 31",
		`{"monitor":{"type":"host","name":"x","metric":"m","operator":"="}}`: "operator",
		`{"monitor":{` + rule + `,"scopes":["shop"]}}`:                       `scopes[0] names the service "shop", which does not exist`,
		`{"monitor":{` + rule + `,"excludeScopes":["shop:web"]}}`:            "excludeScopes[0]",
		`{"days":7}`: "type",
		`{"monitor":{"type":"external","name":"x","url":"https://a.example/"}}`: "only the response time can be replayed",
	} {
		r.wantError(r.send(http.MethodPost, "/monitors/preview", keyRead, body), http.StatusBadRequest, want, body)
	}
	r.wantError(r.send(http.MethodPost, "/monitors/preview", keyRead, `{"monitor":{"id":"nope"}}`), http.StatusNotFound, "no monitor", "an unknown id")
}

func TestMonitorPreviewListsTheNewest(t *testing.T) {
	var replay saba.Replay
	for i := range int64(maxPreviewAlerts + 5) {
		replay.Alerts = append(replay.Alerts, saba.ReplayedAlert{Alert: saba.Alert{OpenedAt: i}})
	}
	got := newPreviewOut(replay)
	if got.Fired != maxPreviewAlerts+5 || len(got.Alerts) != maxPreviewAlerts || got.Alerts[0].OpenedAt != 5 {
		t.Errorf("of %d alerts %d are listed, the first of %d", got.Fired, len(got.Alerts), got.Alerts[0].OpenedAt)
	}
}
