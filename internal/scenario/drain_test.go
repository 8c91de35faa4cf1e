package scenario

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/ingest"
)

// The words of stories with log lines. PROCESS is as platforms name it: router and heroku-redis are the platform's, worker.1 the application's.
//
//	drain NAME SERVICE                  of a service that is there
//	line NAME PROCESS TEXT…             a line of this moment
//	lines NAME PROCESS MINUTES TEXT…    one a minute
//	stamped NAME PROCESS AGO TEXT…      a line of so many minutes ago, that comes now

// newDrains returns the drains of a story. Before there is one they do nothing.
func (s *story) newDrains(log *slog.Logger) *drain.Drains {
	now := func() time.Time { return s.now }
	points := ingest.New(ingest.Options{Hosts: s.records, Samples: s.samples, Log: log, Registerer: prometheus.NewRegistry(), Now: now})
	return drain.New(drain.Options{Org: s.org, Store: s.records, Points: points, Samples: s.samples, Now: now, Log: log})
}

// doDrain does what a line of a story says about drains; known is false when it says nothing about them.
func (s *story) doDrain(w []string, line string) (known bool, err error) {
	switch w[0] {
	case "drain":
		return true, s.records.CreateDrain(s.Context(), s.org, saba.Drain{ID: w[1], Name: w[1], Service: w[2]}, saba.HashSecret(w[1]))
	case "line":
		return true, s.sendLine(w[1], w[2], s.now, rest(line, 3))
	case "lines":
		n, err := strconv.Atoi(w[3])
		for range n {
			if err := s.sendLine(w[1], w[2], s.now, rest(line, 4)); err != nil {
				return true, err
			}
			if err := s.minute(); err != nil {
				return true, err
			}
		}
		return true, err
	case "stamped":
		ago, err := strconv.Atoi(w[3])
		if err != nil {
			return true, err
		}
		return true, s.sendLine(w[1], w[2], s.now.Add(-time.Duration(ago)*time.Minute), rest(line, 4))
	}
	return false, nil
}

// sendLine sends a line as Logplex does.
func (s *story) sendLine(name, proc string, at time.Time, text string) error {
	app := "app"
	if proc == "router" || strings.Contains(text, "dyno=heroku.") {
		app = "heroku"
	}
	message := fmt.Sprintf("<190>1 %s host %s %s - %s\n", at.UTC().Format(time.RFC3339Nano), app, proc, text)
	r := httptest.NewRequestWithContext(s.Context(), http.MethodPost, drain.Prefix+name, strings.NewReader(fmt.Sprintf("%d %s", len(message), message)))
	r.Header.Set("Content-Type", "application/logplex-1")
	answer := httptest.NewRecorder()
	s.drains.ServeHTTP(answer, r)
	if answer.Code != http.StatusNoContent {
		return fmt.Errorf("the drain answered %d %s", answer.Code, answer.Body)
	}
	return nil
}
