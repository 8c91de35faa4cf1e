package saba

import (
	"strings"
	"testing"
)

func TestJudgeReports(t *testing.T) {
	const minute = 60
	for name, tt := range map[string]struct {
		reports  string // oldest first, a minute apart; "." leaves minutes out
		gap      int64  // seconds for which "." stands
		attempts int64
		open     CheckStatus
		hushed   [2]int64 // minutes
		want     CheckStatus
	}{
		"well":                                  {reports: "O", want: ""},
		"bad at once":                           {reports: "OC", attempts: 0, want: CheckCritical},
		"unknown is bad":                        {reports: "U", attempts: 1, want: CheckUnknown},
		"the second of three":                   {reports: "OCC", attempts: 3, want: ""},
		"the third of three":                    {reports: "OCWC", attempts: 3, want: CheckCritical},
		"well in between":                       {reports: "CCOC", attempts: 3, want: ""},
		"too far apart":                         {reports: "C.C", gap: MaxCheckLate, attempts: 2, want: ""},
		"as far apart as may be":                {reports: "C.C", gap: MaxCheckLate - minute, attempts: 2, want: CheckCritical},
		"closes":                                {reports: "CO", attempts: 3, open: CheckCritical, want: CheckOK},
		"moves, whatever the attempts":          {reports: "CW", attempts: 3, open: CheckCritical, want: CheckWarning},
		"stays":                                 {reports: "CC", attempts: 3, open: CheckCritical, want: CheckCritical},
		"bad while nobody was to hear":          {reports: "OCCC", hushed: [2]int64{1, 2}, want: ""},
		"well after nobody was to hear":         {reports: "OCCOC", hushed: [2]int64{1, 2}, want: CheckCritical},
		"nobody was to hear of what was well":   {reports: "OOOC", hushed: [2]int64{1, 2}, want: CheckCritical},
		"an alert of before moves all the same": {reports: "CW", open: CheckCritical, hushed: [2]int64{0, 5}, want: CheckWarning},
	} {
		t.Run(name, func(t *testing.T) {
			var reports []CheckReport
			at := int64(0)
			for _, c := range tt.reports {
				if c == '.' {
					at += tt.gap
					continue
				}
				status := map[rune]CheckStatus{'O': CheckOK, 'W': CheckWarning, 'C': CheckCritical, 'U': CheckUnknown}[c]
				reports = append([]CheckReport{{Status: status, OccurredAt: at, MaxCheckAttempts: tt.attempts}}, reports...)
				at += minute
			}
			hushed := func(at int64) bool {
				return tt.hushed != [2]int64{} && at >= tt.hushed[0]*minute && at <= tt.hushed[1]*minute
			}
			if got := JudgeReports(reports, tt.open, hushed); got != tt.want {
				t.Errorf("%s: %q, want %q", strings.ReplaceAll(tt.reports, ".", " "), got, tt.want)
			}
		})
	}
}
