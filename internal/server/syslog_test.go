package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// request sends one to the server's handler and decodes its answer, which must be 200.
func (s *Server) request(t *testing.T, method, path, body string, out any) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Api-Key", key)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s %s = %d %s", method, path, w.Code, w.Body)
	}
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a server until stop is called, which waits for its end.
func run(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
	}
}

func TestSyslogComesToMetrics(t *testing.T) {
	o := options(t)
	s := open(t, o)
	if s.SyslogAddrs() != nil {
		t.Errorf("syslog is taken in on %v without being asked for", s.SyslogAddrs())
	}
	var drain struct{ ID, Token string }
	s.request(t, http.MethodPost, "/api/v0/services", `{"name":"shop","memo":""}`, nil)
	s.request(t, http.MethodPost, "/api/v0/drains", `{"name":"app","service":"shop"}`, &drain)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	o.Syslog = Syslog{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Drain: drain.ID}
	s = open(t, o)
	stop := run(t, s)
	at := time.Now().Add(-5 * time.Minute)
	c, err := net.Dial("tcp", s.SyslogAddrs()["tcp"].String())
	if err != nil {
		t.Fatal(err)
	}
	stamp := at.Format(time.RFC3339)
	if _, err := fmt.Fprintf(c, "<13>1 %s web1 %s - - - count#deploys\n<13>1 %s web1 app - - - count#deploys\n", stamp, drain.Token, stamp); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); n > 0 || err != nil { // until the server has kept it and ends the connection
		t.Fatalf("syslog was answered with %d bytes, %v", n, err)
	}
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.RemoteAddr = "127.0.0.1:5000"
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), `saba_syslog_messages_total{way="tcp"} 2`) {
		t.Errorf("/metrics says nothing of syslog")
	}
	stop()

	s = open(t, o)
	batches, err := s.records.DrainBatches(t.Context(), drain.ID)
	if err != nil {
		t.Fatal(err)
	}
	all := logline.Cells{}
	for _, b := range batches {
		if err := json.Unmarshal(b.Cells, &all); err != nil {
			t.Fatal(err)
		}
	}
	if cell := all[logline.Key{Kind: logline.Count, Name: "deploys", Minute: saba.Minute(at.Unix())}]; cell == nil || cell.Sum != 2 {
		t.Errorf("after the stop %v is kept, want deploys of 2", all)
	}
}
