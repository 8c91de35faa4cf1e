package heartbeat

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func well(context.Context) error { return nil }

func broken(context.Context) error { return errors.New("connection refused") }

// heeds is stuck until its context ends.
func heeds(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// gives returns a vital's Stats.
func gives(values map[string]any, err error) func(context.Context) (map[string]any, error) {
	return func(context.Context) (map[string]any, error) { return values, err }
}

// get returns status and body of an answer.
func get(t *testing.T, h http.Handler, target string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", target, nil))
	return w.Code, w.Body.String()
}

func TestAnswers(t *testing.T) {
	db, cache := Vital{Name: "db", Check: broken}, Vital{Name: "cache", Check: well}
	queue := Vital{Name: "queue", Stats: gives(map[string]any{"waiting": 3, "oldest": 1.5}, nil)}
	for name, tt := range map[string]struct {
		vitals []Vital
		target string
		status int
		body   string
	}{
		"nothing to ask is well":            {nil, "/heartbeat", 200, "heartbeat:ok"},
		"nothing to ask has no figures":     {nil, "/stats", 200, "{}"},
		"all are well":                      {[]Vital{cache, queue}, "/heartbeat", 200, "heartbeat:ok"},
		"one is not":                        {[]Vital{cache, db, queue}, "/heartbeat", 503, "heartbeat:NG"},
		"which one, when asked":             {[]Vital{cache, db}, "/heartbeat?verbose=1", 503, "heartbeat:NG\ndb: connection refused"},
		"verbose and well":                  {[]Vital{cache}, "/heartbeat?verbose=1", 200, "heartbeat:ok"},
		"an error of two lines is one":      {[]Vital{{Name: "x", Check: func(context.Context) error { return errors.New("a\nb") }}}, "/heartbeat?verbose=1", 503, "heartbeat:NG\nx: a; b"},
		"liveness asks what is live":        {[]Vital{db, {Name: "loop", Check: well, Live: true}}, "/heartbeat?class=live", 200, "heartbeat:ok"},
		"and says when it is not":           {[]Vital{cache, {Name: "loop", Check: broken, Live: true}}, "/heartbeat?class=live", 503, "heartbeat:NG"},
		"readiness asks all":                {[]Vital{db, {Name: "loop", Check: well, Live: true}}, "/heartbeat?class=ready", 503, "heartbeat:NG"},
		"a class that is none":              {[]Vital{cache}, "/heartbeat?class=life", 400, "the classes are live and ready\n"},
		"figures are one object":            {[]Vital{queue, {Name: "b", Stats: gives(map[string]any{"io": map[string]int{"in": 1}}, nil)}}, "/stats", 200, `{"io":{"in":1},"oldest":1.5,"waiting":3}`},
		"the later one wins":                {[]Vital{queue, {Name: "b", Stats: gives(map[string]any{"waiting": 4}, nil)}}, "/stats", 200, `{"oldest":1.5,"waiting":4}`},
		"unless it has a place of its own":  {[]Vital{queue, {Name: "b", Nest: true, Stats: gives(map[string]any{"waiting": 4}, nil)}}, "/stats", 200, `{"b":{"waiting":4},"oldest":1.5,"waiting":3}`},
		"a check has no figures":            {[]Vital{cache, queue}, "/stats", 200, `{"oldest":1.5,"waiting":3}`},
		"a failure does not hide others":    {[]Vital{db, queue}, "/stats", 503, `{"oldest":1.5,"waiting":3}`},
		"figures and an error":              {[]Vital{{Name: "b", Stats: gives(map[string]any{"x": 1}, errors.New("half"))}}, "/stats?meta=1", 503, `{"_errors":{"b":"half"},"x":1}`},
		"no errors":                         {[]Vital{queue}, "/stats?meta=1", 200, `{"_errors":{},"oldest":1.5,"waiting":3}`},
		"what JSON does not have":           {[]Vital{{Name: "b", Stats: gives(map[string]any{"x": math.NaN(), "y": 2}, nil)}}, "/stats", 503, `{"y":2}`},
		"stats do not decide the heartbeat": {[]Vital{{Name: "b", Check: well, Stats: gives(nil, errors.New("no"))}}, "/heartbeat", 200, "heartbeat:ok"},
		"a panic is a failure":              {[]Vital{{Name: "b", Check: func(context.Context) error { panic("no") }}}, "/heartbeat?verbose=1", 503, "heartbeat:NG\nb: panic: no"},
		"in figures too":                    {[]Vital{queue, {Name: "b", Stats: func(context.Context) (map[string]any, error) { panic("no") }}}, "/stats?meta=1", 503, `{"_errors":{"b":"panic: no"},"oldest":1.5,"waiting":3}`},
		"so is an ended goroutine":          {[]Vital{{Name: "b", Check: func(context.Context) error { runtime.Goexit(); return nil }}}, "/heartbeat", 503, "heartbeat:NG"},
		"below a folder":                    {[]Vital{cache}, "/ops/heartbeat", 404, ""},
		"the root":                          {[]Vital{cache}, "/", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := get(t, Handler(tt.vitals...), tt.target); status != tt.status || body != tt.body {
				t.Errorf("%s is %d %q, want %d %q", tt.target, status, body, tt.status, tt.body)
			}
		})
	}
}

func TestMounted(t *testing.T) {
	h := Handler(Go())
	mux := http.NewServeMux()
	mux.Handle("/ops/", h)
	mux.Handle("GET /only/", h)
	mux.Handle("/stripped/", http.StripPrefix("/stripped", h))
	mux.Handle("/heartbeat", h)
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, tt := range []struct {
		method, path string
		status       int
		contentType  string
	}{
		{"GET", "/ops/heartbeat", 200, "text/plain; charset=utf-8"}, {"HEAD", "/ops/heartbeat", 200, "text/plain; charset=utf-8"},
		{"GET", "/ops/stats", 200, "application/json"}, {"GET", "/only/stats", 200, "application/json"}, {"GET", "/stripped/stats", 200, "application/json"},
		{"GET", "/heartbeat", 200, "text/plain; charset=utf-8"},
		{"POST", "/ops/heartbeat", 405, ""}, {"PUT", "/ops/stats", 405, ""}, {"GET", "/ops/", 404, ""}, {"POST", "/ops/x", 404, ""},
		{"GET", "/ops/x/heartbeat", 404, ""}, {"GET", "/stripped/ops/stats", 404, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != tt.status || res.Header.Get("Content-Type") != tt.contentType || (len(body) == 0) != (tt.status != 200 || tt.method == "HEAD") {
			t.Errorf("%s %s is %s %q %q, %v", tt.method, tt.path, res.Status, res.Header.Get("Content-Type"), body, err)
		}
		if tt.status == 200 && res.Header.Get("Cache-Control") != "no-store" || tt.status == 405 && res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s %s has the header %v", tt.method, tt.path, res.Header)
		}
	}
}

func TestTheRuntimeIsAVital(t *testing.T) {
	_, body := get(t, Handler(Go()), "/stats")
	var got struct {
		Go struct {
			Goroutines int    `json:"goroutine_num"`
			Heap       uint64 `json:"heap_inuse"`
		} `json:"go"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Go.Goroutines == 0 || got.Go.Heap == 0 {
		t.Errorf("the answer is %s, %v", body, err)
	}
}

func TestSwitch(t *testing.T) {
	var s Switch
	h := Handler(Vital{Name: "draining", Check: s.Check})
	for _, tt := range []struct {
		err  error
		want int
	}{{nil, 200}, {errors.New("it stops"), 503}, {nil, 200}} {
		s.Set(tt.err)
		if status, _ := get(t, h, "/heartbeat"); status != tt.want {
			t.Errorf("after Set(%v) the status is %d, want %d", tt.err, status, tt.want)
		}
	}
}

func TestVitalsAreAskedAtOnceAndNotLongerThanTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) error { time.Sleep(900 * time.Millisecond); return nil }
		h := Handler(Vital{Name: "a", Check: slow}, Vital{Name: "b", Check: slow}, Vital{Name: "c", Check: slow})
		began := time.Now()
		if status, _ := get(t, h, "/heartbeat"); status != 200 || time.Since(began) != 900*time.Millisecond {
			t.Errorf("three of 900 ms: %d after %v", status, time.Since(began))
		}
		h = Handler(Vital{Name: "a", Check: heeds, Timeout: 2 * time.Second}, Vital{Name: "b", Check: heeds})
		for _, path := range []string{"/heartbeat", "/stats"} {
			synctest.Wait()
			began = time.Now()
			if status, _ := get(t, h, path); status != 503 || time.Since(began) != DefaultTimeout {
				t.Errorf("%s of two that are stuck: %d after %v, want 503 after %v", path, status, time.Since(began), DefaultTimeout)
			}
		}
	})
}

// A vital that does not heed its context costs one goroutine, not one a request.
func TestAStuckVitalIsNotAskedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		release := make(chan struct{})
		h := Handler(Vital{Name: "nfs", Timeout: time.Second, Check: func(context.Context) error {
			calls.Add(1)
			<-release
			return nil
		}})
		for i, want := range []time.Duration{time.Second, 0, 0} {
			began := time.Now()
			status, body := get(t, h, "/heartbeat?verbose=1")
			if status != 503 || body != "heartbeat:NG\nnfs: no answer within 1s" || time.Since(began) != want {
				t.Errorf("request %d is %d %q after %v, want 503 after %v", i, status, body, time.Since(began), want)
			}
		}
		if calls.Load() != 1 {
			t.Errorf("the stuck vital was asked %d times", calls.Load())
		}
		close(release)
		synctest.Wait()
		if status, _ := get(t, h, "/heartbeat"); status != 200 || calls.Load() != 2 {
			t.Errorf("when it is free again: %d after %d calls, want 200 and 2", status, calls.Load())
		}
	})
}

func TestALateAnswerIsNotKeptAsAGoodOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Handler(Vital{Name: "a", Timeout: time.Second, Fresh: time.Minute, Check: func(context.Context) error {
			time.Sleep(3 * time.Second)
			return nil
		}})
		get(t, h, "/heartbeat")
		time.Sleep(5 * time.Second)
		if status, body := get(t, h, "/heartbeat?verbose=1"); status != 503 || !strings.Contains(body, "it took 3s, more than 1s") {
			t.Errorf("after a late answer: %d %q", status, body)
		}
	})
}

func TestRequestsShareAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		h := Handler(Vital{Name: "a", Fresh: 10 * time.Second, Check: func(context.Context) error {
			time.Sleep(time.Second)
			calls.Add(1)
			return nil
		}})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if status, _ := get(t, h, "/heartbeat"); status != 200 {
					t.Errorf("status %d", status)
				}
			})
		}
		wg.Wait()
		get(t, h, "/heartbeat")
		if calls.Load() != 1 {
			t.Errorf("51 requests asked %d times, want once", calls.Load())
		}
		time.Sleep(10 * time.Second)
		get(t, h, "/heartbeat")
		if calls.Load() != 2 {
			t.Errorf("when the answer was old it was asked %d times, want twice", calls.Load())
		}
	})
}

// Who gives up does not take the answer from those who wait.
func TestARequestThatGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Handler(Vital{Name: "a", Check: func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(2 * time.Second):
				return nil
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			w := httptest.NewRecorder()
			began := time.Now()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/heartbeat", nil))
			if time.Since(began) != time.Second {
				t.Errorf("the one that gave up waited %v", time.Since(began))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if status, _ := get(t, h, "/heartbeat"); status != 200 {
				t.Errorf("the one that waited has %d", status)
			}
		})
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
	})
}
