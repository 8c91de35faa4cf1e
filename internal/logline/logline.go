// Package logline makes metrics of log lines. It knows the grammar of metric tokens (sample#queue.size=3), the lines of platforms
// that say something without being asked (the router and the dynos of Heroku, its data stores), rules that people write for their own lines, the
// framing and headers of syslog, and what a minute of readings comes to. It is pure: no clock, no network, no files; the server's drains and
// the agent's tail both feed it. Start with Reader, then Cells.
//
// A line becomes readings:
//
//	sample#NAME=VALUE[UNIT]     the last value of a minute
//	measure#NAME=VALUE[UNIT]    count, sum, min, max, mean, median, p95 and p99 of a minute
//	count#NAME[=VALUE]          the sum of a minute; 1 without a value
//	source=TEXT                 goes behind the names of the line's metrics
//
// and readings become points of metrics, one for each minute in which there were lines:
//
//	sample, count    NAME[.SOURCE]
//	measure          NAME.STATISTIC[.SOURCE]
//
// A minute without a line has no point: silence is not zero.
package logline

import (
	"time"

	"github.com/saba-monitor/saba"
)

// A Line is one log line, without what carried it.
type Line struct {
	Time time.Time // when it was written, as its sender said
	Host string    // the machine, or whatever stands in its place; "" when unknown
	App  string    // what wrote it: "app" and "heroku" on Heroku, a program elsewhere
	Proc string    // the process of it: "web.1", "router", a pid
	Text []byte    // the message, without a line's end. It is the sender's: whoever keeps it copies it
}

// A Kind says what becomes of the readings of a minute.
type Kind string

// The kinds of readings.
const (
	Sample  Kind = "sample"
	Count   Kind = "count"
	Measure Kind = "measure"
)

// A Reading is one value that a line says.
type Reading struct {
	Kind   Kind
	Name   string // letters and digits of ASCII, dots, underscores and hyphens
	Source string // likewise; "" for none
	Value  float64
	Unit   saba.Unit // of Value; UnitFloat when the line says none
	Time   int64     // Unix nanoseconds
	Rule   string    // the name of the rule that made it; "" when none did
}

// A Reason says why a line, or a metric of it, was refused. It is shown to people and is a label of counters: constant.
type Reason string

// The reasons. What they are counted of costs itself alone.
const (
	BadFrame   Reason = "bad frame"         // the length before a message is none, or leads nowhere
	BadHeader  Reason = "bad header"        // a message does not begin as syslog does
	TooLong    Reason = "line too long"     // over MaxLine
	NotText    Reason = "not text"          // bytes that are no text, where a metric was looked for
	BadName    Reason = "bad name"          // a metric without a name
	BadValue   Reason = "not a number"      // what should be a number is not
	NotFinite  Reason = "not finite"        // NaN or an infinity
	NoValue    Reason = "no value"          // the group or the key of a rule is there without anything in it
	OtherUnit  Reason = "another unit"      // a value of bytes for a rule of milliseconds
	CutOff     Reason = "cut off"           // a metric at the end of a piece of a line that Logplex cut in pieces
	TooOld     Reason = "too old"           // stamped more than saba.MaxLate ago
	TooNew     Reason = "too new"           // stamped more than saba.MaxAhead from now
	NoCounting Reason = "unique is unknown" // unique#: how many different values there were is not kept
	TooMany    Reason = "too many metrics"  // more series in a minute than MaxSeries
)

// Limits of what comes in.
const (
	MaxLine   = 64 << 10 // bytes of a line
	MaxSeries = 20_000   // cells of one drain in a minute, and metrics of a service
	maxTokens = 1000     // metrics of a line
	piece     = 10_000   // bytes of what Logplex makes of a longer line of an application
)

// A Refusal is a line, or a part of one, of which nothing became.
type Refusal struct {
	Reason Reason
	Text   string // what it was about, cut short
}
