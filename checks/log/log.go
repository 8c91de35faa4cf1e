// Package log is the check that looks for lines in log files. What it has read it does not read
// again: where it stopped in each file, and how it finds that place after a rotation, is in
// package follow.
package log

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/internal/follow"
)

// Check says whether few of the new lines of log files match.
var Check = check.Check{
	Name:  "log",
	Short: "whether the new lines of log files are free of what should not be there",
	Title: "LOG",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{flags: fs, now: time.Now}
		fs.StringArrayVarP(&c.files, "file", "f", nil, "`file` to read, or a pattern like /var/log/app-*.log, /srv/**/error.log or {a,b}.log; may be repeated")
		fs.StringVarP(&c.filePattern, "file-pattern", "F", "", "`regexp` of the names of files to read, behind their folder: /var/log/app-\\d+\\.log")
		fs.StringVar(&c.searchIn, "search-in-directory", "", "`folder` of the files of --file-pattern, in place of what stands before it")
		fs.StringArrayVarP(&c.patterns, "pattern", "p", nil, "`regexp` that a line matches; of several, all of them")
		fs.StringArrayVarP(&c.excludes, "exclude", "E", nil, "`regexp` of lines that do not count; of several, all of them")
		fs.BoolVarP(&c.ignoreCase, "icase", "i", false, "upper and lower case are the same")
		fs.IntVarP(&c.warningOver, "warning-over", "w", 0, "WARNING with more than this `number` of lines")
		fs.IntVarP(&c.criticalOver, "critical-over", "c", 0, "CRITICAL with more than this `number` of lines")
		fs.Float64Var(&c.warningLevel, "warning-level", 0, "lines count for WARNING when the first group of the pattern is above this `number`")
		fs.Float64Var(&c.criticalLevel, "critical-level", 0, "lines count for CRITICAL when the first group of the pattern is above this `number`")
		fs.BoolVarP(&c.returnLines, "return", "r", false, "tell the lines too")
		fs.BoolVar(&c.suppressPattern, "suppress-pattern", false, "do not tell the patterns")
		fs.StringVarP(&c.store.Dir, "state-dir", "s", "", "`folder` to keep in how far was read")
		fs.BoolVar(&c.noState, "no-state", false, "read the files whole, each time")
		fs.BoolVar(&c.checkFirst, "check-first", false, "read the files whole the first time, which else only remembers where they end")
		fs.Func("encoding", "`encoding` of the files, like EUC-JP, Shift_JIS or ISO-8859-1 (default UTF-8)", func(s string) (err error) {
			c.encoding, err = findEncoding(s)
			return err
		})
		c.missing = saba.CheckUnknown
		fs.Func("missing", "`status` when there is no such file: OK, WARNING, CRITICAL or UNKNOWN (default UNKNOWN)", func(s string) error {
			if c.missing = saba.CheckStatus(strings.ToUpper(s)); !c.missing.Valid() {
				return errors.New("it must be OK, WARNING, CRITICAL or UNKNOWN")
			}
			return nil
		})
		return c
	},
}

type checker struct {
	flags *check.FlagSet
	now   func() time.Time
	store check.State

	files                       []string
	filePattern, searchIn       string
	patterns, excludes          []string
	ignoreCase                  bool
	warningOver, criticalOver   int
	warningLevel, criticalLevel float64
	returnLines                 bool
	suppressPattern             bool
	noState, checkFirst         bool
	encoding                    encoding.Encoding // nil means UTF-8
	missing                     saba.CheckStatus

	matches, mismatches []*regexp.Regexp
	folder              string         // of the files that fileName matches
	fileName            *regexp.Regexp // nil when --file-pattern is not given
}

// CheckFlags says what is wrong with the flags.
func (c *checker) CheckFlags() (err error) {
	if len(c.files) == 0 && c.filePattern == "" {
		return errors.New("which files? --file is missing")
	}
	if len(c.patterns) == 0 {
		return errors.New("what to look for? --pattern is missing")
	}
	if c.noState && c.flags.Changed("state-dir") {
		return errors.New("of --no-state and --state-dir, give one")
	}
	if c.matches, err = c.compile(c.patterns); err != nil {
		return fmt.Errorf("--pattern: %w", err)
	}
	if c.mismatches, err = c.compile(c.excludes); err != nil {
		return fmt.Errorf("--exclude: %w", err)
	}
	if c.filePattern != "" {
		slash := strings.LastIndexByte(c.filePattern, '/')
		c.folder = c.filePattern[:slash+1]
		if c.searchIn != "" {
			c.folder = c.searchIn
		}
		if c.fileName, err = regexp.Compile(c.filePattern[slash+1:]); err != nil {
			return fmt.Errorf("--file-pattern: %w", err)
		}
	}
	return nil
}

func (c *checker) compile(patterns []string) ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for _, s := range patterns {
		if c.ignoreCase {
			s = "(?i)" + s
		}
		re, err := regexp.Compile(s)
		if err != nil {
			return nil, err
		}
		all = append(all, re)
	}
	return all, nil
}

// What is told with --return.
const (
	maxTold     = 16 << 10 // bytes, in all
	maxToldLine = 1 << 10  // bytes
)

// A tally is what was found.
type tally struct {
	warnings, criticals int
	told                strings.Builder // the lines, with the files that they are in
	toldFile            string
	untold              int
	problems            []string // sentences, each of which makes UNKNOWN of an OK
}

func (t *tally) problem(err error) { t.problems = append(t.problems, err.Error()) }

// Check reads what is new in the files.
func (c *checker) Check(ctx context.Context) check.Result {
	ctx, cancel := aLittleEarlier(ctx)
	defer cancel()
	var t tally
	paths, err := follow.Find(ctx, c.files, c.folder, c.fileName)
	if err != nil {
		t.problem(err)
	}
	if c.noState {
		r := c.reader(&t)
		for _, path := range paths {
			r.All(ctx, path)
		}
		return c.result(paths, &t)
	}
	var before follow.State
	known, err := c.store.Load(ctx, &before)
	if err != nil {
		t.problem(fmt.Errorf("it is not known how far was read, and lines may be missed: %w", err))
	}
	after := c.reader(&t).Follow(ctx, paths, before, known)
	if err := c.store.Save(ctx, after); err != nil {
		t.problem(fmt.Errorf("the same lines will count again, as it cannot be kept how far was read: %w", err))
	}
	return c.result(paths, &t)
}

// reader returns what reads files for a tally.
func (c *checker) reader(t *tally) *follow.Reader {
	return &follow.Reader{Now: c.now(), Whole: c.checkFirst, Last: c.noState, Problem: t.problem, Line: func(path string, line []byte, _ bool) bool {
		c.add(path, line, t)
		return true
	}}
}

// aLittleEarlier returns a context that ends in time to tell what was found until then.
func aLittleEarlier(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
}

// add counts a line if it is one that is looked for.
func (c *checker) add(path string, line []byte, t *tally) {
	line = c.decode(line)
	for _, re := range c.matches {
		if !re.Match(line) {
			return
		}
	}
	if len(c.mismatches) > 0 && !slices.ContainsFunc(c.mismatches, func(re *regexp.Regexp) bool { return !re.Match(line) }) {
		return
	}
	warning, critical := c.levels(line)
	if warning {
		t.warnings++
	}
	if critical {
		t.criticals++
	}
	if c.returnLines && (warning || critical) {
		t.tell(path, line)
	}
}

// levels says for which status a line counts that matches. Without levels, that is for both. What
// is no number cannot be compared, and counts.
func (c *checker) levels(line []byte) (warning, critical bool) {
	byWarning, byCritical := c.flags.Changed("warning-level"), c.flags.Changed("critical-level")
	if !byWarning && !byCritical {
		return true, true
	}
	for _, re := range c.matches {
		if re.NumSubexp() == 0 {
			continue
		}
		level, err := strconv.ParseFloat(string(re.FindSubmatch(line)[1]), 64)
		if err != nil {
			break
		}
		return byWarning && level > c.warningLevel, byCritical && level > c.criticalLevel
	}
	return true, true
}

// tell notes a line for people.
func (t *tally) tell(path string, line []byte) {
	text := strings.ToValidUTF8(string(line[:min(len(line), maxToldLine)]), "\uFFFD")
	if len(line) > maxToldLine {
		text += "…"
	}
	if path != t.toldFile {
		text = path + ":\n" + text
	}
	if t.told.Len()+len(text) > maxTold {
		t.untold++
		return
	}
	t.toldFile = path
	t.told.WriteString(text + "\n")
}

// result returns what was found, in words.
func (c *checker) result(paths []string, t *tally) check.Result {
	r := check.Result{Status: saba.CheckOK}
	r.Message = fmt.Sprintf("%d warnings, %d criticals", t.warnings, t.criticals)
	if !c.suppressPattern {
		r.Message += fmt.Sprintf(" for pattern /%s/", strings.Join(c.patterns, "/ and /"))
	}
	r.Message += ".\n"
	switch {
	case t.criticals > c.criticalOver:
		r.Status = saba.CheckCritical
	case t.warnings > c.warningOver:
		r.Status = saba.CheckWarning
	case len(t.problems) > 0:
		r.Status = saba.CheckUnknown
	case len(paths) == 0:
		r.Status, r.Message = c.missing, c.names()+" is not there.\n"
	}
	for _, p := range t.problems {
		r.Message += p + "\n"
	}
	r.Message += t.told.String()
	if t.untold > 0 {
		r.Message += fmt.Sprintf("and %d more lines\n", t.untold)
	}
	return r
}

// names returns what was asked for.
func (c *checker) names() string {
	names := c.files
	if c.fileName != nil {
		names = append(slices.Clone(names), c.folder+c.fileName.String())
	}
	return strings.Join(names, ", ")
}
