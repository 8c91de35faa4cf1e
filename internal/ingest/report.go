package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// reasons lists every reason, so that each has its counter from the start.
var reasons = []saba.DropReason{
	saba.DropTooOld, saba.DropTooNew, saba.DropNotFinite, saba.DropBadName, saba.DropBadPoint,
	saba.DropUnknownHost, saba.DropRetiredHost, saba.DropTooMany, saba.DropEngine,
}

// cause returns the sentence of the log for a reason: what happened, and what to look at.
func cause(reason saba.DropReason) string {
	switch reason {
	case saba.DropTooOld:
		return "points dropped: they are more than 24 hours old; look at the clock of the sender, or at how long it was cut off"
	case saba.DropTooNew:
		return "points dropped: their time is more than 10 minutes ahead; set the clock of the sender or of this machine"
	case saba.DropNotFinite:
		return "points dropped: their value is not a finite number"
	case saba.DropBadName:
		return "points dropped: a metric name may hold A-Z a-z 0-9 . _ - and at most 255 of them"
	case saba.DropBadPoint:
		return "points dropped: an element needs hostId and name as strings, time as whole Unix seconds and value as a number"
	case saba.DropUnknownHost:
		return "points dropped: the organization of the sender's key has no such host; delete the agent's id file so that it registers again, or give it the right key"
	case saba.DropRetiredHost:
		return "points dropped: the host was retired; stop its agent, or delete the agent's id file so that it registers as a new host"
	case saba.DropTooMany:
		return fmt.Sprintf("points dropped: their host or service has %d metrics, the most there may be in two days; look for a plugin that makes new names all the time", saba.MaxMetrics)
	}
	return "points dropped: the storage engine refused them"
}

// quiet is the shortest time between two log lines for one reason and organization: a
// thousand agents with the same fault fill no disk.
const quiet = time.Minute

// maxReports bounds what a reporter remembers.
const maxReports = 10_000

// A reporter logs dropped points so that an operator can see why they vanish.
type reporter struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[reportKey]*reported
}

type reportKey struct {
	org    string
	reason saba.DropReason
}

type reported struct {
	at     time.Time
	silent int // points dropped since, without a line
}

func newReporter(log *slog.Logger) *reporter {
	return &reporter{log: log, last: map[reportKey]*reported{}}
}

// report logs that n points of org were dropped for reason, with the example's attributes, or
// adds them to the next line if there was one less than a minute ago.
func (r *reporter) report(now time.Time, org string, reason saba.DropReason, n int, example ...slog.Attr) {
	r.mu.Lock()
	key := reportKey{org, reason}
	last := r.last[key]
	switch {
	case last == nil:
		if len(r.last) >= maxReports {
			clear(r.last) // costs a few early lines, and happens to nobody with fewer organizations
		}
		last = &reported{}
		r.last[key] = last
	case now.Before(last.at.Add(quiet)) && !now.Before(last.at): // a clock set back must not silence us
		last.silent += n
		r.mu.Unlock()
		return
	}
	count := n + last.silent
	last.at, last.silent = now, 0
	r.mu.Unlock()

	attrs := append([]slog.Attr{slog.String("reason", string(reason)), slog.Int("count", count), slog.String("org", org)}, example...)
	r.log.LogAttrs(context.Background(), slog.LevelWarn, cause(reason), attrs...)
}

// clip shortens a stranger's text for the log.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
