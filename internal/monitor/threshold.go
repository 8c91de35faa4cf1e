package monitor

import (
	"fmt"

	"github.com/saba-monitor/saba"
)

// A Judgement is what a monitor makes of one target at one minute.
type Judgement struct {
	Status  saba.CheckStatus
	Value   *float64 // that was judged; nil when there was none
	Message string
	Series  saba.AlertSeries // that was judged, of a query monitor
	// Firm says that it was bad as often in a row as the monitor asks for: an alert may open.
	Firm bool
}

// A verdict is a Judgement without words, of which a replay makes millions.
type verdict struct {
	status       saba.CheckStatus
	value, limit float64 // what was judged, and the threshold that it is beyond
	firm         bool
}

// measure judges samples, oldest first, of which none is older than a day: the mean of the newest m.Duration of them,
// however far apart they are. A verdict is firm when it was as bad for m.MaxCheckAttempts samples in a row, each with the
// mean that ends there. ok is false when there are too few samples for one mean.
func measure(m *saba.Monitor, samples []saba.Sample) (v verdict, ok bool) {
	n, attempts := int(max(m.Duration, 1)), int(max(m.MaxCheckAttempts, 1))
	if len(samples) < n {
		return verdict{}, false
	}
	bad := 0
	for end := len(samples); end >= n && bad < attempts; end-- {
		value := mean(samples[end-n : end])
		status, limit := compare(m, value)
		if end == len(samples) {
			v = verdict{status: status, value: value, limit: limit}
		}
		if status == saba.CheckOK {
			break
		}
		bad++
	}
	v.firm = bad == attempts
	return v, true
}

// threshold is measure in words. label names what is judged.
func threshold(m *saba.Monitor, label string, samples []saba.Sample) (j Judgement, ok bool) {
	v, ok := measure(m, samples)
	if !ok {
		return Judgement{}, false
	}
	return v.say(m, label), true
}

// say returns a verdict as a Judgement. label names what was judged.
func (v verdict) say(m *saba.Monitor, label string) Judgement {
	j := Judgement{Status: v.status, Value: &v.value, Message: label + " " + saba.FormatValue(v.value), Firm: v.firm}
	if v.status != saba.CheckOK {
		j.Message += fmt.Sprintf(" %s %s", m.Operator, saba.FormatValue(v.limit))
	}
	return j
}

// A step is what becomes of the alert of a target.
type step int

const (
	stays step = iota
	opens
	moves
	closes
)

// next says what a judgement makes of the alert of a target. open is the status of the one that is open, "" for none. quiet says whether a
// downtime covers the target; it is asked only when an alert would open. The loop and the replay both go by it.
func next(open, status saba.CheckStatus, firm bool, quiet func() bool) step {
	switch {
	case status == saba.CheckOK && open != "":
		return closes
	case status == saba.CheckOK:
		return stays
	case open != "" && open != status:
		return moves
	case open != "" || !firm:
		return stays
	case quiet(): // what is still bad when the downtime ends opens an alert then
		return stays
	}
	return opens
}

func mean(samples []saba.Sample) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += s.Value / float64(len(samples)) // so that two large values do not overflow
	}
	return sum
}

// compare returns the status of a value and the threshold that it is beyond. Beyond both, or one that is both, it is critical.
func compare(m *saba.Monitor, value float64) (status saba.CheckStatus, limit float64) {
	beyond := func(limit *float64) bool {
		return limit != nil && (m.Operator == ">" && value > *limit || m.Operator == "<" && value < *limit)
	}
	switch {
	case beyond(m.Critical):
		return saba.CheckCritical, *m.Critical
	case beyond(m.Warning):
		return saba.CheckWarning, *m.Warning
	}
	return saba.CheckOK, 0
}

// silence judges a metric, or a host, by when it was heard of last. since is from when on silence counts: this server
// hears nothing while it is down. A limit of nil is none. ok is false when nothing can be said yet.
func silence(what string, last, since, now int64, warning, critical *int64) (j Judgement, ok bool) {
	if warning == nil && critical == nil {
		return Judgement{}, false
	}
	counted, real := now-max(last, since), now-last
	over := func(minutes *int64, seconds int64) bool { return minutes != nil && seconds >= *minutes*60 }
	j = Judgement{Firm: true}
	switch {
	case over(critical, counted):
		j.Status = saba.CheckCritical
	case over(warning, counted) && !over(critical, real):
		j.Status = saba.CheckWarning
	case over(warning, real) || over(critical, real):
		return Judgement{}, false // it may be this server that was away
	default:
		j.Status, j.Message = saba.CheckOK, what+" arrives again"
		return j, true
	}
	j.Message = fmt.Sprintf("%s has not arrived for %d minutes", what, counted/60)
	return j, true
}

// worse returns the judgement of which the status is worse: CRITICAL, UNKNOWN, WARNING, OK.
func worse(a, b Judgement) Judgement {
	if outranks(b.Status, b.Firm, a.Status, a.Firm) {
		return b
	}
	return a
}

// outranks says whether a status is worse than another one, or as bad and firm while that is not.
func outranks(status saba.CheckStatus, firm bool, than saba.CheckStatus, thanFirm bool) bool {
	return rank(status) > rank(than) || rank(status) == rank(than) && firm && !thanFirm
}

func rank(s saba.CheckStatus) int {
	switch s {
	case saba.CheckCritical:
		return 3
	case saba.CheckUnknown:
		return 2
	case saba.CheckWarning:
		return 1
	}
	return 0
}
