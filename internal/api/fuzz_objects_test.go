package api

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

// again reads a body as a handler does. What is refused must be the client's fault; what is accepted must be accepted
// once more as clients read it, and mean the same.
func again[T, Out any](t *testing.T, sent []byte, read func(c *call) (T, error), show func(T) Out) {
	t.Helper()
	s := &server{bodies: body.NewRoom(body.Wait), reuse: newReuse()}
	from := func(b []byte) (T, error) {
		w := httptest.NewRecorder()
		c := &call{Request: httptest.NewRequest("POST", "/", strings.NewReader(string(b))), reuse: s.reuse}
		c.body = s.bodies.Of(w, c.Request, hostBody)
		defer c.release()
		return read(c)
	}
	first, err := from(sent)
	if err != nil {
		if !errors.Is(err, saba.ErrInvalid) && !errors.Is(err, saba.ErrTooLarge) {
			t.Errorf("%q: %v is not the client's fault", sent, err)
		}
		return
	}
	shown, err := json.Marshal(show(first))
	if err != nil {
		t.Fatalf("%q: %v", sent, err)
	}
	second, err := from(shown)
	if err != nil {
		t.Fatalf("%q is shown as %s, which is refused: %v", sent, shown, err)
	}
	if out, err := json.Marshal(show(second)); err != nil || !reflect.DeepEqual(out, shown) {
		t.Errorf("%q is shown as %s, and that as %s, %v", sent, shown, out, err)
	}
}

func FuzzMonitor(f *testing.F) {
	for _, s := range []string{
		`{"type":"host","name":"m","metric":"cpu%","operator":">","warning":80,"duration":3,"scopes":["shop: web"]}`, `{"type":"connectivity"}`,
		`{"type":"service","name":"s","service":"shop","metric":"m","operator":"<","duration":1,"missingDurationWarning":10}`,
		`{"type":"external","name":"e","url":"http://u:p@h","headers":[],"responseTimeDuration":0}`, `{"type":"query","name":"q","query":"a","operator":">"}`,
		`{"type":"expression","name":"x","expression":"avg(role(aa:bb,c))","operator":">"}`, `{"type":"anomalyDetection","name":"a","warningSensitivity":"normal"}`, `null`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		again(t, body, func(c *call) (saba.Monitor, error) {
			var in monitorIn
			if err := c.decode(&in); err != nil {
				return saba.Monitor{}, err
			}
			return in.monitor(nil, start)
		}, newMonitorOut)
	})
}

func FuzzDashboard(f *testing.F) {
	for _, s := range []string{
		`{"title":"t","urlPath":"p","widgets":[{"type":"graph","title":"g","graph":{"type":"role","roleFullname":"aa:bb","name":"x"},"range":{"type":"absolute"},"layout":{"x":0}}]}`,
		`{"title":"t","urlPath":"p","widgets":[{"type":"value","metric":{"type":"query","query":"a"},"formatRules":[{"threshold":1,"operator":">"}]},{"type":"alertStatus","roleFullname":null},{"type":"markdown"}]}`,
		`{"widgets":[null]}`, `{"title":"t","urlPath":"p","widgets":[{"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"range":{"type":"relative","period":1,"offset":-1},"valueRange":{}}]}`,
	} {
		f.Add([]byte(s))
	}
	services := []saba.Service{{Name: "aa", Roles: []string{"bb"}}}
	f.Fuzz(func(t *testing.T, body []byte) {
		again(t, body, (*call).readDashboard, func(d saba.Dashboard) fullDashboardOut {
			for _, w := range d.Widgets { // as if all that they show existed
				for _, src := range []*saba.WidgetSource{w.Graph, w.Metric} {
					if src == nil {
						continue
					}
					if src.Role != nil {
						*src.Role = saba.Scope{Service: "aa", Role: "bb"}
					}
					if src.Service != "" {
						src.Service = "aa"
					}
				}
				if w.Role != nil {
					*w.Role = saba.Scope{Service: "aa", Role: "bb"}
				}
			}
			return newFullDashboardOut(d, services)
		})
	})
}

func FuzzSmallObjects(f *testing.F) {
	for _, s := range []string{
		`{"name":"d","start":5,"duration":1,"recurrence":{"type":"weekly","interval":1,"weekdays":["Sunday"]},"roleScopes":["aa: bb"]}`,
		`{"name":"s","notificationInterval":0,"serviceScopes":["aa"]}`, `{"name":"g","monitors":[{"id":"x"}],"services":[{"name":"aa"}]}`,
		`{"title":"a","from":1,"to":1,"service":"aa","roles":[]}`, `{"type":"slack","name":"c","url":"http://h","mentions":{}}`,
		`{"type":"template","name":"t","url":"http://h","token":"k","template":"{{json .Title}}{{range .Facts}}{{.Name}}{{end}}","contentType":"text/plain"}`,
		`{"type":"telegram","name":"t","token":"1:a","to":"-1"}`, `{"type":"pagerduty","name":"p","token":"a","url":"","events":["alert"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		again(t, body, (*call).readDowntime, downtimeOut)
		again(t, body, (*call).readAlertGroup, newAlertGroupOut)
		again(t, body, (*call).readNotificationGroup, newNotificationGroupOut)
		again(t, body, (*call).readAnnotation, annotationOut)
		var kept *saba.Channel // has the secrets that are not shown
		again(t, body, func(c *call) (saba.Channel, error) {
			var in channelIn
			if err := c.decode(&in); err != nil {
				return saba.Channel{}, err
			}
			ch, err := in.channel(kept)
			kept = &ch
			return ch, err
		}, newChannelOut)
	})
}
