// Package uptime is the check that looks at how long ago the host started.
package uptime

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba/check"
)

// Check says whether the host is up for long enough, and not for too long.
var Check = check.Check{
	Name:  "uptime",
	Short: "whether the host is up for long enough, or not for too long",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{flags: fs, proc: os.DirFS("/proc")}
		fs.Float64VarP(&c.warningUnder, "warning-under", "w", 0, "WARNING when it is up for fewer `seconds` (unset: never)")
		fs.Float64VarP(&c.criticalUnder, "critical-under", "c", 0, "CRITICAL when it is up for fewer `seconds` (unset: never)")
		fs.Float64VarP(&c.warningOver, "warning-over", "W", 0, "WARNING when it is up for more `seconds` (unset: never)")
		fs.Float64VarP(&c.criticalOver, "critical-over", "C", 0, "CRITICAL when it is up for more `seconds` (unset: never)")
		// As they were called once.
		fs.Float64Var(&c.warningUnder, "warn-under", 0, "")
		fs.Float64Var(&c.warningOver, "warn-over", 0, "")
		_, _ = fs.MarkHidden("warn-under"), fs.MarkHidden("warn-over") // they are there
		return c
	},
}

type checker struct {
	flags                                                  *check.FlagSet
	proc                                                   fs.FS
	warningUnder, criticalUnder, warningOver, criticalOver float64
}

// Check reads /proc/uptime: of the container where that tells its own (lxcfs), else of the host.
func (c *checker) Check(context.Context) check.Result {
	b, err := fs.ReadFile(c.proc, "uptime")
	if err != nil {
		return check.Unknown("%v", err)
	}
	up, err := parse(string(b))
	if err != nil {
		return check.Unknown("/proc/uptime %v", err)
	}
	given := func(names ...string) bool { return slices.ContainsFunc(names, c.flags.Changed) }
	says := fmt.Sprintf("up for %.0f seconds (%s)", math.Floor(up), words(up))
	switch {
	case given("critical-under") && up < c.criticalUnder:
		return check.Critical("%s, fewer than %v", says, c.criticalUnder)
	case given("critical-over") && up > c.criticalOver:
		return check.Critical("%s, more than %v", says, c.criticalOver)
	case given("warning-under", "warn-under") && up < c.warningUnder:
		return check.Warning("%s, fewer than %v", says, c.warningUnder)
	case given("warning-over", "warn-over") && up > c.warningOver:
		return check.Warning("%s, more than %v", says, c.warningOver)
	}
	return check.OK("%s", says)
}

// parse reads "12345.67 23456.78", seconds since the start and of idle processors. The error is a clause.
func parse(text string) (float64, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	up, err := strconv.ParseFloat(first, 64)
	if err != nil || math.IsNaN(up) || up < 0 || up > math.MaxInt32*24 {
		return 0, fmt.Errorf("does not begin with seconds: %.40q", first)
	}
	return up, nil
}

// words returns seconds as days, hours and minutes: "3d2h1m".
func words(seconds float64) string {
	d := time.Duration(seconds) * time.Second
	days := d / (24 * time.Hour)
	hours, minutes := d%(24*time.Hour)/time.Hour, d%time.Hour/time.Minute
	if days > 0 {
		return fmt.Sprintf("%dd%dh%dm", days, hours, minutes)
	}
	return fmt.Sprintf("%dh%dm", hours, minutes)
}
