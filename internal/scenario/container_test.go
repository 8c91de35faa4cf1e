package scenario

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/absent"
)

// The words of stories with containers.
//
//	container NAME      a host of size micro
//	sweep MINUTES       retire those that are silent for so long
//	alive NAME          must not be retired        retired NAME      must be
//	revive NAME

func (s *story) doContainer(w []string) error {
	ctx := s.Context()
	switch w[0] {
	case "container":
		return s.records.CreateHost(ctx, saba.Host{ID: w[1], Org: s.org, Name: w[1], Status: saba.Working, CreatedAt: s.now.Unix(), Meta: json.RawMessage(`{"agent-version":"0.1.0-container"}`)}, nil, nil)
	case "sweep":
		n, err := strconv.Atoi(w[1])
		s.sweeper = absent.New(absent.Options{
			Org: s.org, Store: s.records, Samples: s.samples, After: time.Duration(n) * time.Minute,
			Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(s.Output(), nil)),
		})
		return err
	case "revive":
		return s.records.ReviveHost(ctx, s.org, w[1], s.now.Unix())
	}
	h, err := s.records.Host(ctx, s.org, w[1])
	if err == nil && h.Retired() != (w[0] == "retired") {
		return fmt.Errorf("it is not")
	}
	return err
}

// sweep looks for silent containers, as often as a server does.
func (s *story) sweep() error {
	if s.sweeper == nil || s.now.Minute()%int(absent.Interval/time.Minute) != 0 {
		return nil
	}
	return s.sweeper.Round(s.Context())
}
