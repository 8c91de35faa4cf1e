package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
)

const (
	// replayRows is how many alerts of a replay a page lists: the newest.
	replayRows = 20
	// replaySpans is how many of them its graph shows: they stand in the address of the picture.
	replaySpans = 100
	// replayAround is how much of a host's graphs is shown before and after an alert of the past, in seconds.
	replayAround = 3600
)

// replayDays are how far back a monitor's form offers to look.
var replayDays = []int{1, 7, 30}

// A monitorReplay is what a monitor would have done.
type monitorReplay struct {
	Words    string // "It would have fired 3 times in 7 days."
	Error    string // why there is nothing to say; then all else is empty
	Alerts   []replayRow
	More     int // alerts that are not listed
	Messages []saba.ReplayedMessages
}

// A replayRow is an alert that would have opened.
type replayRow struct {
	saba.ReplayedAlert
	URL  string // where the graphs of that time are; "" for none
	Took string
}

// dayChoices returns how far back a form offers to look.
func dayChoices(chosen string) (list []choice) {
	for _, n := range replayDays {
		value := strconv.Itoa(n)
		list = append(list, choice{Value: value, Label: count(n, "day"), On: value == cmp.Or(chosen, "7")})
	}
	return list
}

// addReplay puts beside the form of a monitor what it would have done.
func (c *console) addReplay(ctx context.Context, v visitor, beside *monitorView, m saba.Monitor, typed url.Values) error {
	days, err := strconv.Atoi(typed.Get("days"))
	if err != nil || !slices.Contains(replayDays, days) {
		return saba.Errorf(saba.ErrInvalid, "A replay looks back 1, 7 or 30 days.")
	}
	got, err := c.Replay(ctx, v.Org, m, days)
	if errors.Is(err, saba.ErrInvalid) || errors.Is(err, saba.ErrConflict) {
		beside.Past = &monitorReplay{Error: sentence(err)}
		return nil
	}
	if err != nil {
		return err
	}
	past := &monitorReplay{Messages: got.Messages}
	beside.Past = past
	if beside.Graph != nil {
		beside.Graph.showSpans(got.Alerts, days, c.Now())
	}
	past.Words = fmt.Sprintf("It would have fired %s in %s.", count(len(got.Alerts), "time"), count(days, "day"))
	switch {
	case got.Cut:
		past.Words = fmt.Sprintf("It would have fired more than %s in %s: too often to count.", count(len(got.Alerts), "time"), count(days, "day"))
	case len(got.Alerts) == 0:
		past.Words = fmt.Sprintf("It would not have fired in %s.", count(days, "day"))
	}
	past.More = max(0, len(got.Alerts)-replayRows)
	for _, a := range slices.Backward(got.Alerts[past.More:]) {
		row := replayRow{ReplayedAlert: a, Took: "still open"}
		if a.ClosedAt != 0 {
			row.Took = span(a.ClosedAt - a.OpenedAt)
		}
		around := url.Values{"from": {strconv.FormatInt(a.OpenedAt-replayAround, 10)}, "to": {strconv.FormatInt(min(cmp.Or(a.ClosedAt, got.To)+replayAround, got.To), 10)}}
		switch {
		case a.Host != "":
			row.URL = "/hosts/" + url.PathEscape(a.Host) + "?" + around.Encode()
		case m.Service != "":
			row.URL = "/services/" + url.PathEscape(m.Service) + "?" + around.Encode()
		}
		past.Alerts = append(past.Alerts, row)
	}
	return nil
}

// showSpans makes the graph beside a form one of the replayed days, with the newest alerts in it.
func (g *monitorGraph) showSpans(alerts []saba.ReplayedAlert, days int, now time.Time) {
	q := url.Values{"span": {strconv.Itoa(days)}}
	for _, a := range alerts[max(0, len(alerts)-replaySpans):] {
		name := "alarmed"
		if a.Worst == saba.CheckWarning {
			name = "warned"
		}
		q.Add(name, fmt.Sprintf("%d-%d", a.OpenedAt, cmp.Or(a.ClosedAt, now.Unix())))
	}
	g.Image += "&" + q.Encode()
	g.Words = fmt.Sprintf("The last %s, with the alerts that there would have been.", strings.TrimPrefix(count(days, "day"), "1 "))
}

// spansOf reads what showSpans wrote.
func spansOf(q url.Values) (days int, spans []chart.Span, err error) {
	if s := q.Get("span"); s != "" {
		if days, err = strconv.Atoi(s); err != nil || !slices.Contains(replayDays, days) {
			return 0, nil, saba.Errorf(saba.ErrInvalid, "A graph goes back 1, 7 or 30 days.")
		}
	}
	for name, bad := range map[string]saba.CheckStatus{"warned": saba.CheckWarning, "alarmed": saba.CheckCritical} {
		for _, s := range q[name] {
			one := chart.Span{Bad: bad}
			if n, err := fmt.Sscanf(s, "%d-%d", &one.From, &one.To); n != 2 || err != nil {
				return 0, nil, saba.Errorf(saba.ErrInvalid, "A time of an alert is written FROM-TO, not %q.", clip(s))
			}
			spans = append(spans, one)
		}
	}
	slices.SortFunc(spans, func(a, b chart.Span) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Bad, b.Bad))
	})
	return days, spans, nil
}
