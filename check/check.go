// Package check is for authors of checks: programs that an agent runs every few minutes and
// that say how one thing is. A check says which flags it takes and how it looks; this package
// does the rest: flags, output, exit codes, deadlines, panics, secrets and what is kept from
// run to run.
//
//	// Check says whether the files that wait in a folder are few.
//	var Check = check.Check{
//		Name:  "spool",
//		Short: "whether few files wait in a folder",
//		New: func(fs *check.FlagSet) check.Checker {
//			c := &checker{}
//			fs.StringVarP(&c.dir, "dir", "d", "/var/spool", "`folder` to count in")
//			fs.IntVarP(&c.most, "critical", "c", 100, "CRITICAL with more than this `number` of files")
//			return c
//		},
//	}
//
//	func main() { check.Main(Check) }
//
// Main runs it as a process (run.go) for any agent of the protocol; Embed runs it inside one
// that lives on (embed.go). checktest runs it in tests.
package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/saba-monitor/saba"
)

// A FlagSet takes the flags of a check, in GNU style: --long and -s.
type FlagSet = pflag.FlagSet

// A Check is one thing to look at and how to do so. It is a value that nothing changes; what
// changes is in the checkers that New makes.
type Check struct {
	Name  string // what it is called, in lower case: "http"
	Short string // one line for a list, which begins with whether: "whether a URL answers as it should"
	// Title is what its output begins with, before the status: "HTTP"; "" means Name with its
	// first letter raised.
	Title string
	// Timeout is how long a run may take unless --timeout says otherwise; 0 means DefaultTimeout.
	Timeout time.Duration
	// Operands says what may follow the flags, for the help page: "ON|OFF"; the checker finds it
	// in the Args of its FlagSet. "" means that nothing may.
	Operands string
	// New adds the flags of the check to fs and returns a checker that they will have set when it
	// is asked. It touches nothing else: it is called for help pages too.
	New func(fs *FlagSet) Checker
	// Commands are the checks of which the first argument chooses one, in place of New: "mysql
	// replication -H db1". Each has a Name, a Short and a New of its own; the rest is this check's
	// where it has none.
	Commands []Check
}

// A Checker looks once. It is called by one goroutine at a time, and kept from turn to turn
// when the check runs inside an agent.
type Checker interface {
	// Check looks and says what it found. It returns soon after ctx has ended.
	Check(ctx context.Context) Result
}

// A FlagChecker is a Checker that knows which flags go together.
type FlagChecker interface {
	Checker
	// CheckFlags says what is wrong with the flags, which are set; nil when nothing is.
	CheckFlags() error
}

// A Result is what a check found.
type Result struct {
	Status  saba.CheckStatus
	Message string // a sentence that names what was looked at; further lines may follow
}

// OK returns the result of a check that found all well.
func OK(format string, args ...any) Result { return result(saba.CheckOK, format, args) }

// Warning returns the result of a check that found what a person should look at.
func Warning(format string, args ...any) Result { return result(saba.CheckWarning, format, args) }

// Critical returns the result of a check that found what a person must look at.
func Critical(format string, args ...any) Result { return result(saba.CheckCritical, format, args) }

// Unknown returns the result of a check that could not look.
func Unknown(format string, args ...any) Result { return result(saba.CheckUnknown, format, args) }

func result(s saba.CheckStatus, format string, args []any) Result {
	return Result{s, fmt.Sprintf(format, args...)}
}

// DefaultTimeout is how long a run may take, unless the check or --timeout says otherwise.
const DefaultTimeout = 10 * time.Second

// maxMessage bounds a message in bytes. Servers keep the first 1024 characters.
const maxMessage = 64 << 10

// lowercase is what the name of a check begins with; - and _ may follow.
const lowercase = "abcdefghijklmnopqrstuvwxyz0123456789"

// Validate says what is wrong with a declaration; nil when nothing is. Main and Embed refuse a
// check that is wrong.
func (c Check) Validate() error {
	switch {
	case c.Name == "" || strings.Trim(c.Name, lowercase+"-_") != "" || !strings.Contains(lowercase, c.Name[:1]):
		return fmt.Errorf("the check's name %q must be made of a-z 0-9 - _", c.Name)
	case c.New == nil && len(c.Commands) == 0:
		return fmt.Errorf("check %s has no New", c.Name)
	case c.New != nil && len(c.Commands) > 0:
		return fmt.Errorf("check %s has both New and Commands", c.Name)
	}
	for i, sub := range c.Commands {
		if err := sub.Validate(); err != nil {
			return fmt.Errorf("command %q of check %s: %w", sub.Name, c.Name, err)
		}
		if len(sub.Commands) > 0 {
			return fmt.Errorf("command %q of check %s has commands of its own", sub.Name, c.Name)
		}
		if slices.ContainsFunc(c.Commands[:i], func(other Check) bool { return other.Name == sub.Name }) {
			return fmt.Errorf("check %s has the command %q twice", c.Name, sub.Name)
		}
	}
	return nil
}

func (c Check) title() string {
	if c.Title != "" || c.Name == "" {
		return c.Title
	}
	return strings.ToUpper(c.Name[:1]) + c.Name[1:]
}

// command returns the command of that name, with what it has from c.
func (c Check) command(name string) (Check, bool) {
	i := slices.IndexFunc(c.Commands, func(sub Check) bool { return sub.Name == name })
	if i < 0 {
		return Check{}, false
	}
	sub := c.Commands[i]
	if sub.Title == "" {
		sub.Title = c.title()
	}
	if sub.Timeout == 0 {
		sub.Timeout = c.Timeout
	}
	sub.Name = c.Name + " " + name
	return sub, true
}

// An instance is a check with its flags.
type instance struct {
	Check   // a command's name has that of its check before it: "mysql replication"
	checker Checker
	flags   *FlagSet
	given   []string // the arguments

	timeout  time.Duration // 0 when the check has a --timeout of its own
	statusAs map[saba.CheckStatus]saba.CheckStatus
	version  bool
}

// newInstance returns c with the flags that args set. An error is about the arguments, or is
// pflag.ErrHelp; then the instance is there all the same, for its title and its usage.
func (c Check) newInstance(args []string) (*instance, error) {
	in := &instance{Check: c, given: args}
	if err := c.Validate(); err != nil {
		return in, err
	}
	if len(c.Commands) > 0 && len(args) > 0 {
		if sub, ok := c.command(args[0]); ok {
			in.Check, args = sub, args[1:]
		}
	}
	fs := pflag.NewFlagSet(in.Name, pflag.ContinueOnError)
	fs.SetOutput(discard{}) // errors are said once, by the caller
	fs.Usage = func() {}
	fs.SortFlags = false
	in.flags = fs
	if in.New != nil {
		in.checker = in.New(fs)
	}
	in.ownFlags()
	err := fs.Parse(args)
	switch {
	case err != nil && in.checker == nil && !errors.Is(err, pflag.ErrHelp): // a flag of one of the commands, perhaps
		return in, fmt.Errorf("%w (%w)", c.noCommand(""), inOurWords(fs, err))
	case err != nil:
		return in, inOurWords(fs, err)
	case in.version:
		return in, nil
	case in.checker == nil:
		return in, c.noCommand(fs.Arg(0))
	case in.Operands == "" && fs.NArg() > 0:
		return in, fmt.Errorf("unexpected argument %q: there are flags only", fs.Arg(0))
	}
	if f, ok := in.checker.(FlagChecker); ok {
		return in, f.CheckFlags()
	}
	return in, nil
}

// noCommand says that the first argument names none of the commands of c.
func (c Check) noCommand(name string) error {
	var names []string
	for _, sub := range c.Commands {
		names = append(names, sub.Name)
	}
	if name == "" || slices.Contains(names, name) { // which stands too late
		return fmt.Errorf("it is not said what to check: write one of %s first", strings.Join(names, ", "))
	}
	return fmt.Errorf("there is no %q to check: write one of %s first", name, strings.Join(names, ", "))
}

// ownFlags adds the flags that every check has. A check may have one of the same name with a
// meaning of its own.
func (in *instance) ownFlags() {
	fs := in.flags
	if fs.Lookup("timeout") == nil {
		in.timeout = in.Timeout
		if in.timeout == 0 {
			in.timeout = DefaultTimeout
		}
		short := "t"
		if fs.ShorthandLookup(short) != nil {
			short = ""
		}
		fs.FuncP("timeout", short, "`time` that a run may take, like 5s or 5 (default "+in.timeout.String()+")", func(s string) (err error) {
			in.timeout, err = parseTimeout(s)
			return err
		})
	}
	if fs.Lookup("status-as") == nil {
		fs.Func("status-as", "`list` of other words for what is found, like CRITICAL=WARNING,UNKNOWN=OK", func(s string) (err error) {
			in.statusAs, err = parseStatusAs(s)
			return err
		})
	}
	if fs.Lookup("version") == nil {
		fs.BoolVar(&in.version, "version", false, "print the version")
	}
}

// parseTimeout reads a time as other checks have it, a number of seconds, or with its unit.
func parseTimeout(s string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		s += "s"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("it must be a time of more than nothing, like 5s or 5")
	}
	return d, nil
}

// parseStatusAs reads what is said in place of what: "CRITICAL=WARNING,UNKNOWN=OK", in any case.
func parseStatusAs(s string) (map[saba.CheckStatus]saba.CheckStatus, error) {
	as := map[saba.CheckStatus]saba.CheckStatus{}
	for pair := range strings.SplitSeq(strings.ToUpper(s), ",") {
		from, to, ok := strings.Cut(pair, "=")
		was, is := saba.CheckStatus(strings.TrimSpace(from)), saba.CheckStatus(strings.TrimSpace(to))
		if !ok || !was.Valid() || !is.Valid() {
			return nil, fmt.Errorf("%q must be like CRITICAL=WARNING, of OK, WARNING, CRITICAL and UNKNOWN", pair)
		}
		if _, twice := as[was]; twice {
			return nil, fmt.Errorf("%s is there twice", was)
		}
		as[was] = is
	}
	return as, nil
}

// inOurWords returns what a person reads of an error of the flags.
func inOurWords(fs *FlagSet, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if e.GetSpecifiedShortnames() != "" {
			return fmt.Errorf("unknown flag -%s", e.GetSpecifiedName())
		}
		return fmt.Errorf("unknown flag --%s%s", e.GetSpecifiedName(), nearestFlag(fs, e.GetSpecifiedName()))
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s needs a value", e.GetFlag().Name)
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := e.GetFlag()
		switch f.Value.Type() {
		case "func": // the value may be a secret, and the function's words are about it
			return fmt.Errorf("--%s: %w", f.Name, e.Unwrap())
		case "int", "int64", "uint", "uint64":
			return fmt.Errorf("--%s %q must be a whole number", f.Name, e.GetValue())
		case "float64":
			return fmt.Errorf("--%s %q must be a number", f.Name, e.GetValue())
		}
		return fmt.Errorf("--%s %q: %w", f.Name, e.GetValue(), e.Unwrap())
	}
	return err
}

// nearestFlag returns a clause that names the flag nearest to name, "" when none is near.
func nearestFlag(fs *FlagSet, name string) (clause string) {
	best := 3
	fs.VisitAll(func(f *pflag.Flag) {
		if d := saba.Distance(name, f.Name); d < best {
			best, clause = d, fmt.Sprintf(": did you mean --%s?", f.Name)
		}
	})
	return clause
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
