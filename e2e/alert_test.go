package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A value beyond a threshold becomes an alert by itself, and a good one closes it.
func TestAValueOpensAndClosesAnAlert(t *testing.T) {
	t.Parallel()
	s := start(t, []string{"SABA_API_KEY=" + key}, "saba", "server", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"))
	base := s.consoleURL()
	post := func(path, body string, v any) {
		t.Helper()
		if status := call(t, http.MethodPost, base, path, strings.NewReader(body), v); status != http.StatusOK {
			t.Fatalf("POST %s: %d", path, status)
		}
	}
	var made struct{ ID string }
	post("/api/v0/hosts", `{"name":"web1","meta":{}}`, &made)
	post("/api/v0/monitors", `{"type":"host","name":"load","metric":"loadavg5","operator":">","warning":2,"critical":5,"duration":1,"maxCheckAttempts":1}`, nil)
	type alert struct {
		Status, Type, HostID string
		Value                float64
	}
	alerts := func() []alert {
		var list struct{ Alerts []alert }
		get(t, base, "/api/v0/alerts", &list)
		return list.Alerts
	}
	load := func(v float64) {
		post("/api/v0/tsdb", fmt.Sprintf(`[{"hostId":%q,"name":"loadavg5","time":%d,"value":%v}]`, made.ID, time.Now().Unix(), v), nil)
	}
	load(7)
	want := alert{Status: "CRITICAL", Type: "host", HostID: made.ID, Value: 7}
	eventually(t, "an alert", func() bool { a := alerts(); return len(a) == 1 && a[0] == want })
	// A minute is judged once; the next one is this server's future by less than a minute, which clocks may be ahead.
	post("/api/v0/tsdb", fmt.Sprintf(`[{"hostId":%q,"name":"loadavg5","time":%d,"value":1}]`, made.ID, time.Now().Unix()+60), nil)
	eventually(t, "the end of the alert", func() bool { return len(alerts()) == 0 })
}
