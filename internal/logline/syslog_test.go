package logline

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestSyslog(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 1, 2, 3, 4, 10, 0, zone)
	for name, tt := range map[string]struct {
		message string
		want    string // time, host, program, process, data, text; "text: …" when it begins as no message does
	}{
		// RFC 5424.
		"its example":                      {`<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - ` + "\xef\xbb\xbf" + `'su root' failed`, `2003-10-11T22:14:15.003Z mymachine.example.com|su||'su root' failed`},
		"structured data alone":            {`<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]`, `2003-10-11T22:14:15.003Z h|evntslog||[exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]|`},
		"structured data and text":         {`<13>1 2026-01-02T03:04:05.5+02:00 h p 7 - [a b="c"] x [y]`, `2026-01-02T01:04:05.5Z h|p|7|[a b="c"]|x [y]`},
		"an escaped quote and bracket":     {`<13>1 2026-01-02T03:04:05Z h p 7 - [a b="\"]\\"] x`, `2026-01-02T03:04:05Z h|p|7|[a b="\"]\\"]|x`},
		"nothing known":                    {`<13>1 - - - - - - x`, `2026-01-02T03:04:10+02:00 |||x`},
		"nothing known or said":            {`<13>1 - - - - - -`, `2026-01-02T03:04:10+02:00 |||`},
		"no structured data at all":        {`<190>1 2026-01-02T03:04:05Z host app web.1 - count#x=1`, `2026-01-02T03:04:05Z host|app|web.1|count#x=1`},
		"text that looks like data":        {`<190>1 2026-01-02T03:04:05Z host app web.1 - [info] x="`, `2026-01-02T03:04:05Z host|app|web.1|[info]|x="`},
		"data that does not end is text":   {`<13>1 2026-01-02T03:04:05Z h p 7 - [a b="c x`, `2026-01-02T03:04:05Z h|p|7|[a b="c x`},
		"Heroku's form":                    {"<45>1 2026-01-02T03:04:05.678901+00:00 d.9f3c heroku web.1 - - source=web.1 dyno=heroku.1.2 sample#memory_rss=1MB\n", `2026-01-02T03:04:05.678901Z d.9f3c|heroku|web.1|source=web.1 dyno=heroku.1.2 sample#memory_rss=1MB`},
		"as logger sends it":               {`<13>1 2026-01-02T03:04:05.056572+00:00 vm prog - M1 [timeQuality tzKnown="1" isSynced="0"][saba@0 token="a\"b"] count#x=2 text`, `2026-01-02T03:04:05.056572Z vm|prog||[timeQuality tzKnown="1" isSynced="0"][saba@0 token="a\"b"]|count#x=2 text`},
		"a priority of no digit is none":   {`<>1 2026-01-02T03:04:05Z h p 7 - - x`, `text: <>1 2026-01-02T03:04:05Z h p 7 - - x`},
		"a time that is none is all text":  {`<13>1 2026-13-02T03:04:05Z h p 7 - - x`, `2026-01-02T03:04:10+02:00 |||1 2026-13-02T03:04:05Z h p 7 - - x`},
		"a header that stops is all text":  {`<13>1 2026-01-02T03:04:05Z h`, `2026-01-02T03:04:10+02:00 |||1 2026-01-02T03:04:05Z h`},
		"a zero at the end, as some write": {"<13>1 - h p - - - x\x00\n", `2026-01-02T03:04:10+02:00 h|p||x`},

		// RFC 3164.
		"its example of old":               {`<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8`, `2025-10-11T22:14:15+02:00 mymachine|su||'su root' failed for lonvick on /dev/pts/8`},
		"a pid":                            {`<13>Jan  2 03:04:05 vm prog[16150]: count#x=2 text`, `2026-01-02T03:04:05+02:00 vm|prog|16150|count#x=2 text`},
		"a day without its blank":          {`<13>Jan 2 03:04:05 vm prog: x`, `2026-01-02T03:04:05+02:00 vm|prog||x`},
		"no host, as the C library":        {`<13>Jan  2 03:04:05 postfix/smtpd[7]: x`, `2026-01-02T03:04:05+02:00 |postfix/smtpd|7|x`},
		"no program":                       {`<13>Jan  2 03:04:05 vm something happened: x`, `2026-01-02T03:04:05+02:00 vm|||something happened: x`},
		"no text":                          {`<13>Jan  2 03:04:05 vm prog:`, `2026-01-02T03:04:05+02:00 vm|prog||`},
		"nothing behind the time":          {`<13>Jan  2 03:04:05`, `2026-01-02T03:04:05+02:00 |||`},
		"the year before, in January":      {`<13>Dec 31 23:59:59 vm p: x`, `2025-12-31T23:59:59+02:00 vm|p||x`},
		"a clock that is ahead":            {`<13>Jan  2 03:05:05 vm p: x`, `2026-01-02T03:05:05+02:00 vm|p||x`},
		"a 29th of February":               {`<13>Feb 29 03:05:05 vm p: x`, `2024-02-29T03:05:05+02:00 vm|p||x`},
		"a 30th of February is text":       {`<13>Feb 30 03:05:05 vm p: x`, `2026-01-02T03:04:10+02:00 |||Feb 30 03:05:05 vm p: x`},
		"a fraction":                       {`<13>Jan  2 03:04:05.678 vm p: x`, `2026-01-02T03:04:05.678+02:00 vm|p||x`},
		"a year in the middle":             {`<13>Jan  2 2025 03:04:05 vm p: x`, `2025-01-02T03:04:05+02:00 vm|p||x`},
		"a year behind":                    {`<13>Jan  2 03:04:05 2025 vm p: x`, `2025-01-02T03:04:05+02:00 vm|p||x`},
		"a zone":                           {`<13>Jan  2 03:04:05 UTC vm p: x`, `2026-01-02T03:04:05Z vm|p||x`},
		"a router":                         {`<189>29: *Jan  2 2026 01:04:05.678 UTC: %SYS-5-CONFIG_I: Configured`, `2026-01-02T01:04:05.678Z |||%SYS-5-CONFIG_I: Configured`},
		"a time of RFC 3339":               {`<13>2026-01-02T03:04:05.678+01:00 vm prog[7]: x`, `2026-01-02T02:04:05.678Z vm|prog|7|x`},
		"one with a blank and no zone":     {`<13>2026-01-02 03:04:05,678 vm prog[7]: x`, `2026-01-02T03:04:05.678+02:00 vm|prog|7|x`},
		"one with a T and no zone":         {`<13>2026-01-02T03:04:05.678 vm prog[7]: x`, `2026-01-02T03:04:05.678+02:00 vm|prog|7|x`},
		"a file's line, without priority":  {`Jan  2 03:04:05 vm kernel: [  1.5] x`, `2026-01-02T03:04:05+02:00 vm|kernel||[  1.5] x`},
		"an address is no program":         {`<13>Jan  2 03:04:05 vm http://x`, `2026-01-02T03:04:05+02:00 vm|||http://x`},
		"a priority and nothing that fits": {`<13>count#x=1`, `2026-01-02T03:04:10+02:00 |||count#x=1`},
		"text alone":                       {`count#x=1`, `text: count#x=1`},
		"nothing":                          {``, `text: `},
	} {
		t.Run(name, func(t *testing.T) {
			l, data, ok := Syslog([]byte(tt.message), now, zone)
			got := fmt.Sprintf("text: %s", l.Text)
			if ok {
				if data != "" {
					data += "|"
				}
				got = fmt.Sprintf("%s %s|%s|%s|%s%s", l.Time.Format(time.RFC3339Nano), l.Host, l.App, l.Proc, data, l.Text)
			}
			if got != tt.want {
				t.Errorf("Syslog(%q) =\n%s, want\n%s", tt.message, got, tt.want)
			}
		})
	}
}

func TestDataParam(t *testing.T) {
	d := Data(`[timeQuality tzKnown="1"][saba@0 token="a\"b\\c\]" token="second"][saba@0 other="x"]`)
	for _, tt := range []struct{ id, name, want string }{
		{"saba@0", "token", `a"b\c]`}, {"timeQuality", "tzKnown", "1"}, {"saba@0", "other", "x"}, {"saba@0", "none", ""}, {"saba", "token", ""}, {"", "", ""},
	} {
		if got, ok := d.Param(tt.id, tt.name); got != tt.want || ok != (tt.want != "") {
			t.Errorf("Param(%q, %q) = %q, %v; want %q", tt.id, tt.name, got, ok, tt.want)
		}
	}
	if v, ok := Data("").Param("saba@0", "token"); ok {
		t.Errorf("nothing has the token %q", v)
	}
}

// What is read is part of what came, and a message of RFC 5424 that is written from what was read is read as the same.
func FuzzSyslog(f *testing.F) {
	for _, s := range []string{
		`<34>1 2003-10-11T22:14:15.003Z h su 1 ID47 [a b="c\"]"] x`, `<13>Jan  2 03:04:05 vm prog[16150]: count#x=2 text`, `<189>29: *Jan  2 2026 01:04:05.678 UTC: %SYS-5`,
		`<13>2026-01-02 03:04:05,678 vm prog[7]: x`, `<13>Feb 29 03:05:05 vm p: x`, "Jan  2 03:04:05", "<13>1 - - - - - -", "<190>1 2026-01-02T03:04:05Z host app web.1 - x\n", "",
	} {
		f.Add([]byte(s))
	}
	now := time.Date(2026, 1, 2, 3, 4, 10, 0, time.UTC)
	f.Fuzz(func(t *testing.T, message []byte) {
		l, data, ok := Syslog(message, now, time.UTC)
		if !bytes.HasSuffix(bytes.TrimRight(message, "\r\n\x00"), l.Text) || !bytes.Contains(message, []byte(data)) {
			t.Fatalf("%q became the text %q with the data %q, which do not stand in it", message, l.Text, data)
		}
		if !ok || strings.ContainsAny(l.Host+l.App+l.Proc, " ") || l.Time.Year() < 0 || l.Time.Year() > 9999 {
			return
		}
		or := func(s string) string {
			if s == "" {
				return "-"
			}
			return s
		}
		again := fmt.Sprintf("<13>1 %s %s %s %s - %s %s", l.Time.Format(time.RFC3339Nano), or(l.Host), or(l.App), or(l.Proc), or(string(data)), l.Text)
		m, d, ok := Syslog([]byte(again), now.Add(time.Hour), time.UTC)
		if !ok || !m.Time.Equal(l.Time) || m.Host != l.Host || m.App != l.App || m.Proc != l.Proc || d != data || !bytes.Equal(m.Text, bytes.TrimPrefix(l.Text, bom)) {
			t.Errorf("%q became %+v with %q; written as %q it is %+v with %q, %v", message, l, data, again, m, d, ok)
		}
	})
}

// FuzzStamp holds the reading of times against the library's.
func FuzzStamp(f *testing.F) {
	for _, s := range []string{"2026-01-02T03:04:05Z", "2024-02-29T23:59:59.123456789+05:30", "2023-02-29T00:00:00-23:59", "2026-01-02T03:04:60Z", "0000-01-01T00:00:00.1Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := stamp([]byte(s))
		want, err := time.Parse(time.RFC3339Nano, s)
		if err == nil && !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]([01]\d|2[0-3]):[0-5]\d)$`).MatchString(s) {
			return // the library takes it, RFC 3339 does not
		}
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Errorf("stamp(%q) = %v, %v; the library has %v, %v", s, got, ok, want, err)
		}
	})
}
