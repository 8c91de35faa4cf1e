package heartbeat_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/saba-monitor/saba/stats/heartbeat"
)

func ExampleHandler() {
	waiting := func(context.Context) (map[string]any, error) { return map[string]any{"waiting": 3}, nil }
	var draining heartbeat.Switch
	mux := http.NewServeMux()
	mux.Handle("/ops/", heartbeat.Handler(
		heartbeat.Vital{Name: "draining", Check: draining.Check},
		heartbeat.Vital{Name: "queue", Stats: waiting, Timeout: 2 * time.Second, Fresh: time.Second},
	))

	get := func(path string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(w.Code, w.Body)
	}
	get("/ops/heartbeat")
	get("/ops/stats")
	draining.Set(errors.New("the program stops"))
	get("/ops/heartbeat")
	// Output:
	// 200 heartbeat:ok
	// 200 {"waiting":3}
	// 503 heartbeat:NG
}
