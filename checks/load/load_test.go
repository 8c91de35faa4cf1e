package load

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/checktest"
)

// of returns the check of a host with such averages and four processors.
func of(loadavg string) check.Check {
	c := Check
	c.New = func(fs *check.FlagSet) check.Checker {
		k := Check.New(fs).(*checker)
		k.proc = fstest.MapFS{"loadavg": {Data: []byte(loadavg)}, "stat": {Data: []byte("cpu  1 2\ncpu0 1 2\ncpu1 1 2\ncpu2 1 2\ncpu11 1 2\nintr 1\n")}}
		return k
	}
	return c
}

func TestVerdicts(t *testing.T) {
	for args, want := range map[string]string{
		"-w 4,3,2 -c 8,6,4":            "LOAD OK: load average 4.00, 2.00, 1.00",
		"-w 3.9,3,2 -c 8,6,4":          "LOAD WARNING: load average 4.00, 2.00, 1.00: over 1 min it is above 3.9",
		"-w 4,3,0 -c 8,6,4":            "LOAD WARNING: load average 4.00, 2.00, 1.00: over 15 min it is above 0",
		"-w 3,3,2 -c 8,1,4":            "LOAD CRITICAL: load average 4.00, 2.00, 1.00: over 5 min it is above 1",
		"--warning=1,1,1 -c 1,1,0.5":   "LOAD CRITICAL: load average 4.00, 2.00, 1.00: over 1 min it is above 1",
		"-r -w 1,0.5,0.25 -c 2,2,2":    "LOAD OK: load average for each of 4 processors 1.00, 0.50, 0.25",
		"--percpu -w 0.9,3,3 -c 2,2,2": "LOAD WARNING: load average for each of 4 processors 1.00, 0.50, 0.25: over 1 min it is above 0.9",
		"-w 4,3,2":                     "LOAD UNKNOWN: both --warning and --critical must be given, like -w 4,3,2 -c 8,6,4; check-load -h lists the flags",
		"-c 4,3,2":                     "LOAD UNKNOWN: both --warning and",
		"-w 4,3 -c 8,6,4":              "LOAD UNKNOWN: --warning: it must be three numbers like 4,3,2; check-load",
		"-w 4,3,2 -c 8,6,x":            "LOAD UNKNOWN: --critical: it must be three numbers like 4,3,2; check-load",
		"-w 4,3,NaN -c 8,6,4":          "LOAD UNKNOWN: --warning: it must be three numbers",
	} {
		if _, got := checktest.Run(t, of("4.00 2.00 1.00 1/80 11206\n"), strings.Fields(args)...); got != want && (!strings.Contains(want, "UNKNOWN") || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	for text, want := range map[string]string{"": "has 0 fields", "1 2": "has 2 fields", "1 x 2": `has "x" where`, "1 2 -3": `has "-3"`, "NaN 1 1": `has "NaN"`} {
		if _, got := checktest.Run(t, of(text), "-w1,1,1", "-c1,1,1"); !strings.HasPrefix(got, "LOAD UNKNOWN: /proc/loadavg "+want) {
			t.Errorf("of %q: %q, want %q", text, got, want)
		}
	}
	checktest.Usage(t, Check)
}

func TestThisHost(t *testing.T) {
	_, got := checktest.Run(t, Check, "-r", "-w", "1e6,1e6,1e6", "-c", "1e6,1e6,1e6")
	if !regexp.MustCompile(`^LOAD OK: load average for each of [1-9]\d* processors \d+\.\d\d, \d+\.\d\d, \d+\.\d\d$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add("0.20 0.18 0.12 1/80 11206")
	f.Add("1e999 -1 NaN")
	f.Fuzz(func(t *testing.T, text string) {
		load, err := parseLoad(text)
		for _, v := range load {
			if err == nil && !(v >= 0 && v <= math.MaxFloat64) {
				t.Errorf("parseLoad(%q) = %v", text, load)
			}
		}
		if n := countCPUs(text); n < 0 || n > len(text) {
			t.Errorf("countCPUs(%q) = %d", text, n)
		}
	})
}
