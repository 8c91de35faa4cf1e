package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// An endpoint is a tiny server of the protocol that only notes what comes, and can be down.
type endpoint struct {
	address string

	mu       sync.Mutex
	server   *http.Server
	stopped  chan struct{}       // closed when server has returned
	hang     chan struct{}       // while not nil, requests wait for its end and have no answer
	first    time.Time           // of the first request
	posts    []time.Time         // of metrics
	arrivals map[int64]time.Time // of minutes, the first time each
	order    []int64             // of arrivals
}

// newEndpoint returns an endpoint that is up, on a port of its own.
func newEndpoint() (*endpoint, error) {
	e := &endpoint{address: "127.0.0.1:0", arrivals: map[int64]time.Time{}}
	return e, e.up()
}

// up begins to listen, at the same port as before.
func (e *endpoint) up() error {
	l, err := net.Listen("tcp", e.address)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.address = l.Addr().String()
	server := &http.Server{Handler: e}
	stopped := make(chan struct{})
	e.server, e.stopped = server, stopped
	go func() {
		defer close(stopped)
		_ = server.Serve(l)
	}()
	return nil
}

// down ends every connection and listens no more.
func (e *endpoint) down() {
	e.mu.Lock()
	server, stopped := e.server, e.stopped
	e.mu.Unlock()
	_ = server.Close()
	<-stopped
}

// mute makes requests wait without an answer until the end of what it returns.
func (e *endpoint) mute() (unmute func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := make(chan struct{})
	e.hang = c
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hang = nil
		close(c)
	}
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	e.mu.Lock()
	if e.first.IsZero() {
		e.first = now
	}
	hang := e.hang
	e.mu.Unlock()
	if hang != nil {
		// The body is read, as the server learns of a client that has gone only then.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/v0/tsdb":
		var points []struct{ Time int64 }
		if err := json.NewDecoder(body).Decode(&points); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.mu.Lock()
		e.posts = append(e.posts, now)
		for _, p := range points {
			if _, known := e.arrivals[p.Time]; !known {
				e.arrivals[p.Time] = now
				e.order = append(e.order, p.Time)
			}
		}
		e.mu.Unlock()
		_, _ = io.WriteString(w, `{"success":true}`)
	case r.Method == http.MethodGet && r.URL.Path == "/api/v0/hosts":
		_, _ = io.WriteString(w, `{"hosts":[]}`)
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, `{"host":{"id":"bench1","name":"bench","status":"working"}}`)
	default:
		_, _ = io.WriteString(w, `{"id":"bench1","success":true}`)
	}
}

// waitFor returns the moment when all of minutes had arrived, or false at the deadline.
func (e *endpoint) waitFor(minutes []int64, deadline time.Time) (last time.Time, ok bool) {
	for {
		e.mu.Lock()
		missing := 0
		last = time.Time{}
		for _, m := range minutes {
			at, there := e.arrivals[m]
			if !there {
				missing++
			}
			if at.After(last) {
				last = at
			}
		}
		e.mu.Unlock()
		if missing == 0 {
			return last, true
		}
		if time.Now().After(deadline) {
			return last, false
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// firstSince returns the minute that arrived first after a moment, 0 when none has.
func (e *endpoint) firstSince(t time.Time) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.order {
		if e.arrivals[m].After(t) {
			return m
		}
	}
	return 0
}

// beginnings returns when the first request and the first metrics came, zero times while they have not.
func (e *endpoint) beginnings() (request, metrics time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.posts) > 0 {
		metrics = e.posts[0]
	}
	return e.first, metrics
}
