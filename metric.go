package saba

import (
	"math"
	"time"
)

// A Series is one metric of one host or of one service. Exactly one of Host and Service is set.
type Series struct {
	Org     string // id of the organization that owns it
	Host    string // host id, for a host metric
	Service string // Service.Series of a service, for a service metric
	Name    string // metric name, verbatim: "loadavg5", "custom.queue.ready"
}

// A Sample is a value at a time. A series holds at most one sample a minute; the time of a
// stored sample is the minute's first second.
type Sample struct {
	Time  int64 // Unix seconds
	Value float64
}

// A Point is a sample on its way to its series.
type Point struct {
	Series
	Sample
}

// A Value is a reading that a collector or plugin made: a metric's name and its value at the
// time of the batch that it belongs to.
type Value struct {
	Name  string
	Value float64
}

// The window in which points are accepted, around the time of their arrival.
const (
	MaxLate  = 24 * time.Hour   // older points are dropped: agents buffer that long
	MaxAhead = 10 * time.Minute // one far-future point would make every later one "too old" to the engine
)

// Resolution is the distance in seconds between two samples of a series.
const Resolution = 60

// Minute floors Unix seconds to the minute: the time under which a sample is stored.
func Minute(t int64) int64 {
	m := t % 60
	if m < 0 {
		m += 60
	}
	return t - m
}

// A DropReason says why a point was not stored. It is a label of a counter and a word in
// the log: short, lower case, constant.
type DropReason string

// The reasons for which a point is dropped while its neighbours are stored.
const (
	DropTooOld      DropReason = "too_old"      // older than MaxLate
	DropTooNew      DropReason = "too_new"      // later than MaxAhead
	DropNotFinite   DropReason = "not_finite"   // NaN or an infinity
	DropBadName     DropReason = "bad_name"     // the name breaks the rule of ValidMetricName
	DropBadPoint    DropReason = "bad_point"    // a field is missing or of the wrong type
	DropUnknownHost DropReason = "unknown_host" // no such host in the organization of the key
	DropRetiredHost DropReason = "retired_host" // the host was retired
	DropTooMany     DropReason = "too_many"     // its host or service has MaxMetrics metrics already
	DropEngine      DropReason = "engine"       // the storage engine refused this point alone
)

// Drops counts dropped points by reason. The nil map is ready to read.
type Drops map[DropReason]int

// Total returns the number of points over all reasons.
func (d Drops) Total() int {
	n := 0
	for _, c := range d {
		n += c
	}
	return n
}

// Acceptable says whether a sample may be stored at all, at now; otherwise it returns the reason.
func (s Sample) Acceptable(now time.Time) (DropReason, bool) {
	t := now.Unix()
	switch {
	case math.IsNaN(s.Value) || math.IsInf(s.Value, 0):
		return DropNotFinite, false
	// Compared on the left of the minus sign only with numbers that cannot overflow.
	case s.Time < t-int64(MaxLate/time.Second):
		return DropTooOld, false
	case s.Time > t+int64(MaxAhead/time.Second):
		return DropTooNew, false
	}
	return "", true
}

// MaxMetricName bounds the length of a metric name in bytes.
const MaxMetricName = 255

// MaxMetrics bounds how many metrics of one host or service may be in use at a time. A fault of a plugin that puts a time or a
// random number into its names must not fill the memory of the server.
const MaxMetrics = 20_000

// ValidMetricName says whether name may name a host or service metric: letters and digits of ASCII, dots,
// underscores and hyphens.
func ValidMetricName(name string) bool {
	for i := range len(name) { // every sample passes here
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return 0 < len(name) && len(name) <= MaxMetricName
}
