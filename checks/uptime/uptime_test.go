package uptime

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/checktest"
)

// of returns the check of a host with such a /proc/uptime.
func of(text string) check.Check {
	c := Check
	c.New = func(fs *check.FlagSet) check.Checker {
		k := Check.New(fs).(*checker)
		k.proc = fstest.MapFS{"uptime": {Data: []byte(text)}}
		return k
	}
	return c
}

func TestVerdicts(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "Uptime OK: up for 600 seconds (0h10m)",
		"-w 600 -c 600":           "Uptime OK: up for 600 seconds (0h10m)",
		"-W 600 -C 600":           "Uptime OK: up for 600 seconds (0h10m)",
		"-w 601":                  "Uptime WARNING: up for 600 seconds (0h10m), fewer than 601",
		"--warn-under=601":        "Uptime WARNING: up for 600 seconds (0h10m), fewer than 601",
		"--warning-under=601":     "Uptime WARNING: up for 600 seconds (0h10m), fewer than 601",
		"-w 700 -c 650":           "Uptime CRITICAL: up for 600 seconds (0h10m), fewer than 650",
		"-W 599":                  "Uptime WARNING: up for 600 seconds (0h10m), more than 599",
		"--warn-over 0":           "Uptime WARNING: up for 600 seconds (0h10m), more than 0",
		"-W 1 -C 599.5":           "Uptime CRITICAL: up for 600 seconds (0h10m), more than 599.5",
		"--critical-over=1 -c700": "Uptime CRITICAL: up for 600 seconds (0h10m), fewer than 700",
		"-w x":                    `Uptime UNKNOWN: --warning-under "x" must be a number; check-uptime -h lists the flags`,
	} {
		if _, got := checktest.Run(t, of("600.00 1000.00\n"), strings.Fields(args)...); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	for text, want := range map[string]string{
		"273660.99 1": "Uptime OK: up for 273660 seconds (3d4h1m)",
		"":            `Uptime UNKNOWN: /proc/uptime does not begin with seconds: ""`,
		"up 5":        `Uptime UNKNOWN: /proc/uptime does not begin with seconds: "up"`,
		"-5 1":        `Uptime UNKNOWN: /proc/uptime does not begin with seconds: "-5"`,
	} {
		if _, got := checktest.Run(t, of(text)); got != want {
			t.Errorf("of %q: %q, want %q", text, got, want)
		}
	}
	checktest.Usage(t, Check)
}

func TestThisHost(t *testing.T) {
	if _, got := checktest.Run(t, Check, "-w", "1"); !regexp.MustCompile(`^Uptime OK: up for \d+ seconds \((\d+d)?\d+h\d+m\)$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("600.00 1000.00\n")
	f.Add("1e308 NaN")
	f.Fuzz(func(t *testing.T, text string) {
		if up, err := parse(text); err == nil && (!(up >= 0) || words(up) == "" || strings.Contains(words(up), "-")) {
			t.Errorf("parse(%q) = %v, %s", text, up, words(up))
		}
	})
}
