package saba

// JudgeReports says what the newest of a check's reports, which are newest first, makes of its alert, of which open
// is the status; "" when none is open. hushed says whether nobody was to hear of the check at a time.
//
// The result is the status that the alert takes: open's own when only the message is new, CheckOK when it closes, and ""
// when there is none and none opens. An alert opens with MaxCheckAttempts bad reports in a row, none more than
// MaxCheckLate after the one before; what was bad while nobody was to hear of it has to be well first.
func JudgeReports(reports []CheckReport, open CheckStatus, hushed func(at int64) bool) CheckStatus {
	newest := reports[0]
	if newest.Status == CheckOK || open != "" {
		if open == "" {
			return ""
		}
		return newest.Status
	}
	bad := int64(0)
	together := true
	for i, r := range reports {
		if r.Status == CheckOK {
			break
		}
		if hushed(r.OccurredAt) {
			return ""
		}
		together = together && (i == 0 || reports[i-1].OccurredAt-r.OccurredAt <= MaxCheckLate)
		if together {
			bad++
		}
	}
	if bad < newest.MaxCheckAttempts {
		return ""
	}
	return newest.Status
}
