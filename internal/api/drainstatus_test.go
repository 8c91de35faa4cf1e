package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// What a drain was sent is told in figures, and never in the words of its lines.
func TestDrainStatus(t *testing.T) {
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	var made newDrainOut
	if err := json.Unmarshal([]byte(r.post("/drains", `{"name":"app","service":"shop"}`)), &made); err != nil {
		t.Fatal(err)
	}
	get := func() (out drainStatusOut, body string) {
		t.Helper()
		a := r.send(http.MethodGet, "/drains/"+made.ID+"/status", keyRead, "")
		if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.status != http.StatusOK {
			t.Fatalf("the status answered %d %s, %v", a.status, a.body, err)
		}
		return out, a.body
	}
	none := drainStatusOut{Since: start, LinesPerMinute: make([]int64, 60), Refused: []refusedCount{}, Refusals: []refusedOut{}, Sources: []string{}, Metrics: []string{}}
	if got, _ := get(); !reflect.DeepEqual(got, none) {
		t.Errorf("before the first line it is %+v, want %+v", got, none)
	}
	send := func(frame string) {
		t.Helper()
		message := "<40>1 2023-11-14T22:15:00+00:00 host app heroku-redis - source=REDIS sample#hit-rate=0.5 password=opensesame"
		bad := "<40>1 2023-11-14T22:15:00+00:00 host app web.1 - sample#size=opensesame"
		req := httptest.NewRequest(http.MethodPost, made.Path, strings.NewReader(fmt.Sprintf("%d %s%d %s", len(message), message, len(bad), bad)))
		req.Header.Set("Content-Type", "application/logplex-1")
		req.Header.Set("Logplex-Frame-Id", frame)
		w := httptest.NewRecorder()
		r.drains.ServeHTTP(w, req)
		if w.Code != http.StatusNoContent {
			t.Fatalf("the drain answered %d %s", w.Code, w.Body)
		}
	}
	for _, frame := range []string{"a", "b", "b"} {
		send(frame)
	}
	r.clock.Store(start + 90)
	r.drains.Round(t.Context())
	got, body := get()
	want := drainStatusOut{
		Since: start, LastLineAt: start, Lines: 4, Readings: 2, Repeated: 1, LinesPerMinute: make([]int64, 60),
		Refused: []refusedCount{{"not a number", 2}}, Refusals: []refusedOut{{start, "not a number"}, {start, "not a number"}},
		Sources: []string{"Heroku Redis"}, Metrics: []string{"hit-rate.REDIS"},
	}
	want.LinesPerMinute[1] = 4
	if (start+90)/60-start/60 == 2 {
		want.LinesPerMinute[1], want.LinesPerMinute[2] = 0, 4
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the status is\n%+v, want\n%+v", got, want)
	}
	if strings.Contains(body, "opensesame") {
		t.Errorf("the status shows what a line says: %s", body)
	}
	for key, code := range map[string]int{keyWrite: http.StatusForbidden, keyForeign: http.StatusNotFound, "": http.StatusUnauthorized} {
		if a := r.send(http.MethodGet, "/drains/"+made.ID+"/status", key, ""); a.status != code {
			t.Errorf("with the key %q it answered %d, want %d", key, a.status, code)
		}
	}
}
