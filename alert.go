package saba

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// An Alert is a rule that fired for one target: a host, a series, or the rule itself. At most one alert of
// a rule and a target is open at a time; a closed one never opens again.
type Alert struct {
	ID       string
	Status   CheckStatus // OK when it is closed
	Monitor  string      // id of the monitor, or of the check
	Type     string      // a MonitorType, or "check"
	Host     string      // id of the host it is about, "" when it is about none
	Series   AlertSeries // what it is about, of a query monitor
	Value    *float64    // the last judged; nil when there is none
	Message  string
	Reason   string // why a person closed it
	Memo     string
	OpenedAt int64 // Unix seconds
	ClosedAt int64 // Unix seconds; 0 while it is open
	Depends  int   // of a host that is unreachable: how many monitors and checks depended on it when the alert opened

	Worst    CheckStatus // the worst that it has been
	Handling Handling
}

// Handling is what people do about an alert. The zero value means nothing.
type Handling struct {
	AckedBy    string // id of the account that has acknowledged the alert; "" when none has
	AckedAt    int64  // Unix seconds
	Assignee   string // id of the account that takes care of it; "" for nobody
	MutedUntil int64  // Unix seconds: nobody is told of the alert before
}

// MaxAlertMute is how far ahead an alert may be muted, in seconds.
const MaxAlertMute = 366 * 24 * 3600

// Severity orders statuses: OK, WARNING, CRITICAL, UNKNOWN, of which the last two count alike for whoever is told from CRITICAL on.
func (s CheckStatus) Severity() int {
	return slices.Index(CheckStatuses, s)
}

// AlertCheck is the type of an alert of a check.
const AlertCheck = "check"

// An AlertSeries is the series that a query monitor's alert is about.
type AlertSeries struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
}

// String returns the series as PromQL writes it: name{a="b",c="d"}. It is "" for a series without a name and labels.
func (s AlertSeries) String() string {
	if len(s.Labels) == 0 {
		return s.Name
	}
	var b strings.Builder
	b.WriteString(s.Name)
	for i, name := range slices.Sorted(maps.Keys(s.Labels)) {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(name + "=" + strconv.Quote(s.Labels[name]))
	}
	b.WriteByte('}')
	return b.String()
}

// Fill returns a text with each {{name}} replaced by the value of the label of that name; {{label.name}} means the same
// where there is no label "label.name". What the series has no label for becomes empty. The text is a query monitor's
// name or legend.
func (s AlertSeries) Fill(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "{{")
		name, rest, closed := strings.Cut(after, "}}")
		if !found || !closed {
			b.WriteString(text)
			return b.String()
		}
		name = strings.TrimSpace(name)
		value, ok := s.Labels[name]
		switch {
		case ok:
		case name == "__name__":
			value = s.Name
		default:
			value = s.Labels[strings.TrimPrefix(name, "label.")]
		}
		b.WriteString(before + value)
		text = rest
	}
}

// A QuerySeries is a series of a query's result.
type QuerySeries struct {
	AlertSeries
	Samples []Sample // in time order; none that is not finite
}

// Open says whether the alert is open.
func (a *Alert) Open() bool { return a.ClosedAt == 0 }

// An AlertTrigger says what moved an alert.
type AlertTrigger string

// The triggers of alerts.
const (
	TriggerMonitoring    AlertTrigger = "monitoring"
	TriggerManual        AlertTrigger = "manual"
	TriggerMonitorDelete AlertTrigger = "monitorDelete"
	TriggerHostRetire    AlertTrigger = "hostRetire"
	TriggerServiceDelete AlertTrigger = "serviceDelete"
	TriggerRetraining    AlertTrigger = "anomalyDetectionManuallyRetraining"
	TriggerServiceChange AlertTrigger = "externalMonitoringServiceChange"
)

// An AlertMove is one step in the life of an alert. A status of OK closes it.
type AlertMove struct {
	At      int64 // Unix seconds
	Status  CheckStatus
	Trigger AlertTrigger
	Value   *float64     // the value that was judged; nil when there was none
	Message string       // "" keeps the alert's
	Reason  string       // of a person who closes it
	Detail  *AlertDetail // of a check
	By      string       // id of the account of that person; "" when a key did it, or nobody
}

// An AlertDetail is what a check said, as the log of its alert keeps it.
type AlertDetail struct {
	Message string `json:"message"`
	Memo    string `json:"memo"`
}

// An AlertLog is a step that an alert has taken.
type AlertLog struct {
	ID      string
	Monitor string // id of the rule; "" when it was deleted
	AlertMove
}

// MaxAlertMemo is how many bytes the memo of an alert may have.
const MaxAlertMemo = 80 << 10

// An AlertPage selects alerts, newest first.
type AlertPage struct {
	Closed bool   // closed ones too
	From   string // id of the alert at which it begins; "" means the newest
	Limit  int
}
