package saba

// JudgeReports says what the newest of a check's reports, which are newest first, makes of its alert, of which open
// is the status; "" when none is open. hushed says whether a downtime is under way when the newest occurs.
//
// The result is the status that the alert takes: open's own when only the message is new, CheckOK when it closes, and ""
// when there is none and none opens. An alert opens with MaxCheckAttempts bad reports in a row, none more than
// MaxCheckLate after the one before, and not in a downtime: what is
// still bad after it opens one then.
func JudgeReports(reports []CheckReport, open CheckStatus, hushed bool) CheckStatus {
	newest := reports[0]
	if newest.Status == CheckOK || open != "" {
		if open == "" {
			return ""
		}
		return newest.Status
	}
	if hushed {
		return ""
	}
	bad := int64(0)
	for i, r := range reports {
		if r.Status == CheckOK || i > 0 && reports[i-1].OccurredAt-r.OccurredAt > MaxCheckLate {
			break
		}
		bad++
	}
	if bad < newest.MaxCheckAttempts {
		return ""
	}
	return newest.Status
}
