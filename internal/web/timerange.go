package web

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// A timeRange is what the charts of a page show: from <= time <= to, in Unix seconds. It is
// relative when it ends now and moves along; its key is then one of presets.
type timeRange struct {
	key      string // "" for an absolute range
	from, to int64
}

// A preset is a relative range that the time bar offers.
type preset struct {
	key, label, spoken string
	span               int64 // seconds
}

const day = 24 * 3600

// presets are the relative ranges, shortest first.
var presets = []preset{
	{"30m", "30 min", "30 minutes", 30 * 60},
	{"1h", "1 h", "hour", 3600},
	{"3h", "3 h", "3 hours", 3 * 3600},
	{"6h", "6 h", "6 hours", 6 * 3600},
	{"12h", "12 h", "12 hours", 12 * 3600},
	{"1d", "1 day", "day", day},
	{"3d", "3 days", "3 days", 3 * day},
	{"1w", "1 week", "week", 7 * day},
	{"1mo", "1 month", "month", 30 * day},
	{"3mo", "3 months", "3 months", 91 * day},
	{"1y", "1 year", "year", 365 * day},
}

// defaultRange is what a page shows when its address names no range.
const defaultRange = "1h"

const (
	minSpan = 5 * 60    // seconds; shorter ranges grow around their middle: there is one sample a minute
	maxSpan = 800 * day // seconds; more than is kept
)

// parseRange reads the range of a page from its query: range=6h, or from and to, each Unix
// seconds or a date and time as <input type="datetime-local"> writes it, in the location of
// now. Without to, the range ends now. The error matches saba.ErrInvalid.
func parseRange(q url.Values, now time.Time) (timeRange, error) {
	from, to := strings.TrimSpace(q.Get("from")), strings.TrimSpace(q.Get("to"))
	if from == "" && to == "" {
		key := q.Get("range")
		if key == "" {
			key = defaultRange
		}
		for _, p := range presets {
			if p.key == key {
				return timeRange{key: key, from: now.Unix() - p.span, to: now.Unix()}, nil
			}
		}
		return timeRange{}, saba.Errorf(saba.ErrInvalid, "%q is not a range: choose one of the time bar's, such as range=6h", clip(key))
	}
	if from == "" {
		return timeRange{}, saba.Errorf(saba.ErrInvalid, "The range has an end but no beginning: fill in both.")
	}
	r := timeRange{to: now.Unix()}
	var err error
	if r.from, err = parseTime(from, now.Location()); err != nil {
		return timeRange{}, err
	}
	if to != "" {
		if r.to, err = parseTime(to, now.Location()); err != nil {
			return timeRange{}, err
		}
	}
	switch span := r.to - r.from; {
	case span < 0:
		return timeRange{}, saba.Errorf(saba.ErrInvalid, "The range ends before it begins.")
	case span > maxSpan:
		return timeRange{}, saba.Errorf(saba.ErrInvalid, "The range is longer than %d days.", maxSpan/day)
	case span < minSpan:
		r.from -= (minSpan - span) / 2
		r.to = r.from + minSpan
	}
	return r, nil
}

// parseTime reads Unix seconds, or a date and time of a form, in loc.
func parseTime(s string, loc *time.Location) (int64, error) {
	// Bounded, so that no sum of two times can overflow.
	const last = 1 << 40
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < last {
		return n, nil
	}
	for _, form := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, s, loc); err == nil && t.Unix() >= 0 && t.Unix() < last {
			return t.Unix(), nil
		}
	}
	return 0, saba.Errorf(saba.ErrInvalid, "%q is not a time: write it as 2006-01-02T15:04", clip(s))
}

// clip shortens what a stranger wrote to what fits in a sentence.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// query returns the range as it stands in an address: "range=6h" or "from=…&to=…".
func (r timeRange) query() string {
	if r.key != "" {
		return "range=" + r.key
	}
	return "from=" + strconv.FormatInt(r.from, 10) + "&to=" + strconv.FormatInt(r.to, 10)
}

// words returns the range as a person says it: "the last 6 hours".
func (r timeRange) words(loc *time.Location) string {
	for _, p := range presets {
		if p.key == r.key {
			return "the last " + p.spoken
		}
	}
	const form = "2 Jan 2006 15:04"
	return time.Unix(r.from, 0).In(loc).Format(form) + " to " + time.Unix(r.to, 0).In(loc).Format(form+" MST")
}

// A timeBar is the part "timebar": the choice of a range, as links and as a form.
type timeBar struct {
	Action   string // address of the page
	Presets  []presetLink
	From, To string // for <input type="datetime-local">
	Zone     string // in which From and To are
	Absolute bool
}

type presetLink struct {
	Key, Label, Spoken, URL string
	On                      bool
}

func newTimeBar(action string, r timeRange, loc *time.Location) timeBar {
	const form = "2006-01-02T15:04"
	from, to := time.Unix(r.from, 0).In(loc), time.Unix(r.to, 0).In(loc)
	b := timeBar{Action: action, From: from.Format(form), To: to.Format(form), Zone: to.Format("MST"), Absolute: r.key == ""}
	for _, p := range presets {
		b.Presets = append(b.Presets, presetLink{p.key, p.label, "the last " + p.spoken, action + "?range=" + p.key, p.key == r.key})
	}
	return b
}
