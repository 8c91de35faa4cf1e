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
		hushed   bool
		want     CheckStatus
	}{
		"well":                                 {reports: "O", want: ""},
		"bad at once":                          {reports: "OC", attempts: 0, want: CheckCritical},
		"unknown is bad":                       {reports: "U", attempts: 1, want: CheckUnknown},
		"the second of three":                  {reports: "OCC", attempts: 3, want: ""},
		"the third of three":                   {reports: "OCWC", attempts: 3, want: CheckCritical},
		"well in between":                      {reports: "CCOC", attempts: 3, want: ""},
		"too far apart":                        {reports: "C.C", gap: MaxCheckLate, attempts: 2, want: ""},
		"as far apart as may be":               {reports: "C.C", gap: MaxCheckLate - minute, attempts: 2, want: CheckCritical},
		"closes":                               {reports: "CO", attempts: 3, open: CheckCritical, want: CheckOK},
		"moves, whatever the attempts":         {reports: "CW", attempts: 3, open: CheckCritical, want: CheckWarning},
		"stays":                                {reports: "CC", attempts: 3, open: CheckCritical, want: CheckCritical},
		"bad in a downtime":                    {reports: "OCCC", attempts: 2, hushed: true, want: ""},
		"an alert of before a downtime moves":  {reports: "CW", open: CheckCritical, hushed: true, want: CheckWarning},
		"an alert of before a downtime closes": {reports: "CO", open: CheckCritical, hushed: true, want: CheckOK},
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
			if got := JudgeReports(reports, tt.open, tt.hushed); got != tt.want {
				t.Errorf("%s: %q, want %q", strings.ReplaceAll(tt.reports, ".", " "), got, tt.want)
			}
		})
	}
}
