package saba

import "slices"

// A CheckStatus is the verdict of a check.
type CheckStatus string

// The verdicts of a check, from best to worst.
const (
	CheckOK       CheckStatus = "OK"
	CheckWarning  CheckStatus = "WARNING"
	CheckCritical CheckStatus = "CRITICAL"
	CheckUnknown  CheckStatus = "UNKNOWN"
)

// CheckStatuses lists every verdict.
var CheckStatuses = []CheckStatus{CheckOK, CheckWarning, CheckCritical, CheckUnknown}

// Valid says whether s is one of CheckStatuses.
func (s CheckStatus) Valid() bool { return slices.Contains(CheckStatuses, s) }

// A CheckDeclaration announces a check of a host, as its agent lists them with the host's facts.
type CheckDeclaration struct {
	Name string `json:"name"`
	Memo string `json:"memo,omitempty"`
}

// A CheckReport is one verdict of one check of one host.
type CheckReport struct {
	Host                 string // host id
	Name                 string
	Status               CheckStatus
	Message              string // at most MaxCheckMessage characters
	OccurredAt           int64  // Unix seconds
	NotificationInterval int64  // minutes; 0 means: do not tell again
	MaxCheckAttempts     int64  // consecutive bad reports before an alert opens; 0 means 1
}

// Limits on check reports.
const (
	MaxCheckMessage = 1024        // characters; longer messages are cut
	MaxCheckReports = 100         // a request
	MaxCheckLate    = 6 * 60 * 60 // seconds; older reports are ignored
)
