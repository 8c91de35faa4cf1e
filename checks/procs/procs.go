// Package procs is the check that counts processes.
package procs

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/plugin/target/process"
)

// Check says whether as many processes run as should.
var Check = check.Check{
	Name:  "procs",
	Short: "whether as many processes of a kind run as should",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{flags: fs}
		fs.IntVarP(&c.warningOver, "warning-over", "w", 0, "WARNING with more than this `number` (unset: never)")
		fs.IntVarP(&c.criticalOver, "critical-over", "c", 0, "CRITICAL with more than this `number` (unset: never)")
		fs.IntVarP(&c.warningUnder, "warning-under", "W", 1, "WARNING with fewer than this `number`")
		fs.IntVarP(&c.criticalUnder, "critical-under", "C", 1, "CRITICAL with fewer than this `number`")
		fs.StringArrayVarP(&c.patterns, "pattern", "p", nil, "`regexp` that the command line matches; of several, each is counted and the worst decides")
		fs.StringArrayVarP(&c.excludes, "exclude-pattern", "x", nil, "`regexp` that the command line does not match; may be repeated")
		fs.BoolVarP(&c.matchSelf, "match-self", "m", false, "count the process of the check itself too")
		fs.BoolVarP(&c.matchParent, "match-parent", "M", false, "count the shell or sudo that was told the pattern to start the check too")
		fs.IntVar(&c.parent, "ppid", 0, "only processes whose parent has this `number`")
		fs.IntVarP(&c.pid, "file-pid", "f", 0, "only the process of this `number`")
		fs.Uint64VarP(&c.virtual, "virtual-memory-size", "z", 0, "only processes with at most this `number` of KiB of virtual memory")
		fs.Uint64VarP(&c.resident, "resident-set-size", "r", 0, "only processes with at most this `number` of KiB of resident memory")
		fs.Float64VarP(&c.percent, "proportional-set-size", "P", 0, "only processes that used at most this `share` of a processor since they began, in percent")
		fs.IntVarP(&c.threads, "thread-count", "T", 0, "only processes with at most this `number` of threads")
		fs.StringVarP(&c.state, "state", "s", "", "only processes in this `state` as ps has it, like Z, or one of several, like DZ")
		fs.StringVarP(&c.user, "user", "u", "", "only processes with the rights of this `user`, by name or number")
		fs.StringVarP(&c.notUser, "user-not", "U", "", "only processes without the rights of this `user`, by name or number")
		fs.Float64VarP(&c.olderThan, "esec-over", "e", 0, "only processes that began more than this many `seconds` ago")
		fs.Float64VarP(&c.youngerThan, "esec-under", "E", 0, "only processes that began less than this many `seconds` ago")
		fs.Float64VarP(&c.cpuOver, "cpu-over", "i", 0, "only processes that used more than this many `seconds` of a processor")
		fs.Float64VarP(&c.cpuUnder, "cpu-under", "I", 0, "only processes that used less than this many `seconds` of a processor")
		// As they were called once.
		fs.IntVar(&c.warningOver, "warn-over", 0, "")
		fs.IntVar(&c.warningUnder, "warn-under", 1, "")
		_, _ = fs.MarkHidden("warn-over"), fs.MarkHidden("warn-under") // they are there
		return c
	},
}

type checker struct {
	flags *check.FlagSet
	table process.Table

	warningOver, criticalOver, warningUnder, criticalUnder int

	patterns, excludes     []string
	matchSelf, matchParent bool
	parent, pid            int
	virtual, resident      uint64 // KiB
	percent                float64
	threads                int
	state, user, notUser   string
	olderThan, youngerThan float64 // seconds
	cpuOver, cpuUnder      float64 // seconds

	matches, mismatches []*regexp.Regexp
}

// CheckFlags says which pattern is none.
func (c *checker) CheckFlags() (err error) {
	if c.matches, err = compile(c.patterns); err != nil {
		return fmt.Errorf("--pattern: %w", err)
	}
	if c.mismatches, err = compile(c.excludes); err != nil {
		return fmt.Errorf("--exclude-pattern: %w", err)
	}
	return nil
}

func compile(patterns []string) ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for _, s := range patterns {
		re, err := regexp.Compile(s)
		if err != nil {
			return nil, err
		}
		all = append(all, re)
	}
	return all, nil
}

// Check counts once.
func (c *checker) Check(ctx context.Context) check.Result {
	s, err := c.table.Read(ctx)
	if err != nil {
		return check.Unknown("%v", err)
	}
	owner, notOwner, err := c.owners()
	if err != nil {
		return check.Unknown("%v", err)
	}
	// Of one's own, nothing is hidden.
	hidden := s.Hidden && owner != os.Geteuid()
	processes, err := c.choose(s, owner, notOwner)
	if err != nil {
		return check.Unknown("%v", err)
	}
	if len(c.matches) == 0 {
		return c.judge(len(processes), "", hidden)
	}
	var result check.Result
	for _, re := range c.matches {
		n := 0
		for _, p := range processes {
			if re.MatchString(p.Command) {
				n++
			}
		}
		r := c.judge(n, re.String(), hidden)
		if result.Message += r.Message + "\n"; rank(r) > rank(result) {
			result.Status = r.Status
		}
	}
	return result
}

// owners returns the ids of the users that are asked for, -1 where none is.
func (c *checker) owners() (owner, notOwner int, err error) {
	owner, notOwner = -1, -1
	if c.user != "" {
		owner, err = process.UserID(c.user)
	}
	if c.notUser != "" && err == nil {
		notOwner, err = process.UserID(c.notUser)
	}
	return owner, notOwner, err
}

// choose returns the processes that may be counted if they match the pattern.
func (c *checker) choose(s process.Snapshot, owner, notOwner int) ([]process.Process, error) {
	askers := s.Askers(c.patterns)
	var chosen []process.Process
	for _, p := range s.Processes {
		self := p.PID == os.Getpid()
		if self && !c.matchSelf || !self && askers[p.PID] && !c.matchParent || !c.fits(p, s.At) {
			continue
		}
		if owner >= 0 || notOwner >= 0 {
			id, err := c.table.Owner(p.PID)
			if err != nil && !process.Ended(err) {
				return nil, err
			}
			if err != nil || owner >= 0 && id != owner || notOwner >= 0 && id == notOwner {
				continue
			}
		}
		chosen = append(chosen, p)
	}
	return chosen, nil
}

// fits says whether a process, at a time since boot, passes the flags that are not about its user.
func (c *checker) fits(p process.Process, now time.Duration) bool {
	for _, re := range c.mismatches {
		if re.MatchString(p.Command) {
			return false
		}
	}
	given := c.flags.Changed
	age := max(now-p.Start, 0).Seconds()
	switch {
	case given("ppid") && p.Parent != c.parent,
		given("file-pid") && p.PID != c.pid,
		given("virtual-memory-size") && p.Virtual>>10 > c.virtual,
		given("resident-set-size") && p.Resident>>10 > c.resident,
		given("proportional-set-size") && 100*p.CPU.Seconds() > c.percent*age,
		given("thread-count") && p.Threads > c.threads,
		given("state") && strings.IndexByte(c.state, p.State) < 0,
		given("esec-over") && age <= c.olderThan,
		given("esec-under") && age >= c.youngerThan,
		given("cpu-over") && p.CPU.Seconds() <= c.cpuOver,
		given("cpu-under") && p.CPU.Seconds() >= c.cpuUnder:
		return false
	}
	return true
}

// judge returns what a number of processes means that match a pattern; "" when there is none.
func (c *checker) judge(n int, pattern string, hidden bool) check.Result {
	warningOver := c.flags.Changed("warning-over") || c.flags.Changed("warn-over")
	criticalOver := c.flags.Changed("critical-over")
	says, verb := fmt.Sprintf("%d processes", n), "match"
	if n == 1 {
		says, verb = "1 process", "matches"
	}
	if pattern != "" {
		says += fmt.Sprintf(" %s /%s/", verb, pattern)
	}
	switch {
	case hidden && n < max(c.criticalUnder, c.warningUnder):
		return check.Unknown("%s, but this user may not see the processes of others (hidepid in proc(5)): run the check as root or in the group of /proc's gid=", says)
	case n < c.criticalUnder:
		return check.Critical("%s, fewer than %d", says, c.criticalUnder)
	case criticalOver && n > c.criticalOver:
		return check.Critical("%s, more than %d", says, c.criticalOver)
	case n < c.warningUnder:
		return check.Warning("%s, fewer than %d", says, c.warningUnder)
	case warningOver && n > c.warningOver:
		return check.Warning("%s, more than %d", says, c.warningOver)
	}
	return check.OK("%s", says)
}

// rank is higher the worse a result is. What is known to be bad is worse than what is not known.
func rank(r check.Result) int {
	return slices.Index([]saba.CheckStatus{saba.CheckOK, saba.CheckUnknown, saba.CheckWarning, saba.CheckCritical}, r.Status)
}
