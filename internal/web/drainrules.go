package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
	"github.com/saba-monitor/saba/internal/logline"
)

// ruleTypes are the types of rules in words.
var ruleTypes = []choice{
	{Value: string(saba.RuleCounter), Label: "a counter: how many"},
	{Value: string(saba.RuleGauge), Label: "a gauge: the last value"},
	{Value: string(saba.RuleTiming), Label: "a timing: p95, p99 …"},
}

// ruleTexts are the parts of a rule in the order of its row. Each has an input in every row, so that the n-th of one name is of the n-th rule.
var ruleTexts = []struct {
	name, label string
	of          func(r *saba.LineRule) *string
}{
	{"name", "Name", func(r *saba.LineRule) *string { return &r.Name }},
	{"type", "It is", func(r *saba.LineRule) *string { return (*string)(&r.Type) }},
	{"match", "Regular expression", func(r *saba.LineRule) *string { return &r.Match }},
	{"key", "Key", func(r *saba.LineRule) *string { return &r.Key }},
	{"metric", "Metric", func(r *saba.LineRule) *string { return &r.Metric }},
	{"value", "Value", func(r *saba.LineRule) *string { return &r.Value }},
	{"unit", "Unit", func(r *saba.LineRule) *string { return (*string)(&r.Unit) }},
	{"app", "Program", func(r *saba.LineRule) *string { return &r.App }},
	{"proc", "Process", func(r *saba.LineRule) *string { return &r.Proc }},
}

// blankRule says whether nobody has typed anything into a rule's row.
func blankRule(r saba.LineRule) bool {
	r.Type, r.Unit = "", ""
	return r == saba.LineRule{}
}

// readRules reads the rows of rules; one that is blank is none.
func readRules(field string, typed url.Values) (rules []saba.LineRule) {
	rows := 0
	for _, t := range ruleTexts {
		rows = max(rows, len(typed[field+"."+t.name]))
	}
	for i := range min(rows, saba.MaxLineRules+1) { // one more is refused with a sentence
		var r saba.LineRule
		for _, t := range ruleTexts {
			if all := typed[field+"."+t.name]; i < len(all) {
				*t.of(&r) = cleaned(all[i])
				if t.name != "match" { // a blank may be part of an expression
					*t.of(&r) = strings.TrimSpace(*t.of(&r))
				}
			}
		}
		if !blankRule(r) {
			rules = append(rules, r)
		}
	}
	return rules
}

// A drawnRule is a row of rules as page/part/drains.html has it.
type drawnRule struct {
	saba.LineRule
	Number       int
	Types, Units []choice
	Error        string
	Hits         string // how many of the last lines it takes; "" when nobody has tried
}

func drawRules(rules []saba.LineRule, field string, wrong faults) (rows []drawnRule) {
	for i, r := range rules {
		row := drawnRule{LineRule: r, Number: i + 1, Types: slices.Clone(ruleTypes), Units: []choice{{Label: "as usual"}}, Error: wrong[fmt.Sprintf("%s[%d]", field, i)]}
		for _, u := range saba.Units {
			row.Units = append(row.Units, choice{Value: string(u), Label: string(u)})
		}
		for j := range row.Types {
			row.Types[j].On = row.Types[j].Value == string(r.Type)
		}
		for j := range row.Units {
			row.Units[j].On = row.Units[j].Value == string(r.Unit)
		}
		rows = append(rows, row)
	}
	return rows
}

// blameDrain is blame for the form of drains: what is wrong with a rule stands at its row.
func blameDrain(f form[saba.Drain], wrong faults, d *saba.Drain, err error) bool {
	var fault *saba.FieldError
	if errors.As(err, &fault) {
		if place, part, ok := strings.Cut(fault.Field, "]."); ok && strings.HasPrefix(place, "rules[") {
			wrong[place+"]"] = ruleSentence(part, fault.Reason)
			wrong["rules"] = "A rule is not right yet."
			return true
		}
	}
	return f.blame(wrong, d, err)
}

// ruleSentence says what is wrong with a part of a rule, under the names that its row has.
func ruleSentence(part, reason string) string {
	for _, t := range ruleTexts {
		if t.name == part {
			part = t.label
			break
		}
	}
	return sentence(errors.New(part + " " + reason))
}

// Limits of a try-out. The lines are those of a form, which has a limit itself.
const (
	mostTriedLines = 200                    // that were typed
	mostShownLines = 40                     // of a drain's last ones
	tryWithin      = 2 * time.Second        // for all of them
	tryAtOnce      = logline.MaxLine        // bytes between two looks at the time
	maxTries       = 2                      // at once
	tryWait        = 500 * time.Millisecond // for a place
)

// A tryOut says what a drain would make of lines.
type tryOut struct {
	Wrong []string // what is wrong with rules, which were left out
	Lists []triedList
	Cut   int // how many lines there was no time for
	hits  map[string]int
}

type triedList struct {
	Heading, Words string
	Lines          []triedLine
}

type triedLine struct {
	Text, From string
	Metrics    []triedMetric
	Refused    []logline.Refusal
}

// A triedMetric is what one value of a line becomes, in words.
type triedMetric struct{ Name, Value, How string }

// tryOutOf tries the settings of a drain on lines that were typed and on the last ones that it was sent.
func (c *console) tryOutOf(ctx context.Context, d saba.Drain, typed string, recent []logline.Line) (tryOut, error) {
	t := tryOut{hits: map[string]int{}}
	valid := d
	valid.Rules = nil
	for i, r := range d.Rules {
		err := r.Check()
		var fault *saba.FieldError
		switch {
		case blankRule(r):
		case err == nil:
			valid.Rules = append(valid.Rules, r)
		case errors.As(err, &fault):
			t.Wrong = append(t.Wrong, fmt.Sprintf("Rule %d: %s", i+1, ruleSentence(fault.Field, fault.Reason)))
		default:
			return t, err
		}
	}
	if probe := (saba.Drain{Name: "x", Service: "x", Prefix: d.Prefix, SourcePrefix: d.SourcePrefix}); probe.Check() != nil {
		valid.Prefix, valid.SourcePrefix = "", "" // the form says what is wrong with them
	}
	timer := time.NewTimer(tryWait)
	defer timer.Stop()
	select {
	case c.tries <- struct{}{}:
		defer func() { <-c.tries }()
	case <-timer.C:
		return t, saba.Errorf(saba.ErrUnavailable, "Others are trying lines already: try again in a moment.")
	case <-ctx.Done():
		return t, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	if strings.TrimSpace(typed) != "" {
		list := triedList{Heading: "Lines that you typed"}
		var lines []logline.Line
		for l := range strings.Lines(typed) {
			if l = strings.TrimRight(l, "\r\n"); strings.TrimSpace(l) == "" {
				continue
			}
			if len(lines) == mostTriedLines {
				list.Words = fmt.Sprintf("The first %d of them.", mostTriedLines)
				break
			}
			lines = append(lines, logline.Pasted([]byte(l), c.Now()))
		}
		err := c.try(ctx, &t, valid, lines, func(l logline.Line, r logline.Result) {
			list.Lines = append(list.Lines, triedLineOf(l, r))
		})
		if err != nil {
			return t, err
		}
		t.Lists = append(t.Lists, list)
	}
	list, err := c.tryRecent(ctx, &t, valid, recent)
	if err != nil {
		return t, err
	}
	t.Lists = append(t.Lists, list)
	return t, nil
}

// tryRecent tries the last lines of a drain. Those that need no rule are counted and not shown, unless a rule takes them all the same.
func (c *console) tryRecent(ctx context.Context, t *tryOut, d saba.Drain, recent []logline.Line) (triedList, error) {
	list := triedList{Heading: "The last lines of the drain"}
	if len(recent) == 0 {
		list.Words = "No line came since the server started: type some."
		return list, nil
	}
	known, more := 0, 0
	err := c.try(ctx, t, d, recent, func(l logline.Line, r logline.Result) {
		ruled := false
		for _, rd := range r.Readings {
			ruled = ruled || rd.Rule != ""
		}
		switch {
		case r.Source != "" && !ruled && len(r.Refusals) == 0:
			known++
		case len(list.Lines) == mostShownLines:
			more++
		default:
			list.Lines = append(list.Lines, triedLineOf(l, r))
		}
	})
	var words []string
	for _, r := range d.Rules {
		words = append(words, fmt.Sprintf("“%s” takes %s", clip(r.Name), count(t.hits[r.Name], "line")))
	}
	if known > 0 {
		words = append(words, count(known, "line")+" of platforms that are known not shown")
	}
	if more > 0 {
		words = append(words, count(more, "line")+" more")
	}
	list.Words = "Of " + count(len(recent), "line") + ", newest first"
	if len(words) > 0 {
		list.Words += ": " + strings.Join(words, "; ")
	}
	list.Words += "."
	return list, err
}

// try calls yield for each line with what becomes of it, until there is no time any more.
func (c *console) try(ctx context.Context, t *tryOut, d saba.Drain, lines []logline.Line, yield func(logline.Line, logline.Result)) error {
	for len(lines) > 0 {
		if ctx.Err() != nil {
			t.Cut += len(lines)
			return nil
		}
		n, size := 0, 0
		for n < len(lines) && (n == 0 || size+len(lines[n].Text) <= tryAtOnce) {
			size += len(lines[n].Text)
			n++
		}
		results, err := logline.Try(&d, lines[:n], c.Now())
		if err != nil {
			return err
		}
		for i, r := range results {
			seen := map[string]bool{}
			for _, rd := range r.Readings {
				if rd.Rule != "" && !seen[rd.Rule] {
					seen[rd.Rule] = true
					t.hits[rd.Rule]++
				}
			}
			yield(lines[i], r)
		}
		lines = lines[n:]
	}
	return nil
}

// kindWords say what becomes of the values of a minute.
var kindWords = map[logline.Kind]string{logline.Sample: "the last of a minute", logline.Count: "the sum of a minute", logline.Measure: "count, mean, p95 … of a minute"}

func triedLineOf(l logline.Line, r logline.Result) triedLine {
	shown := recentLineOf(l)
	out := triedLine{Text: shown.Text, From: shown.From, Refused: r.Refusals}
	for _, rd := range r.Readings {
		m := triedMetric{Name: rd.Name, Value: chart.Format(rd.Value, cmp.Or(rd.Unit, saba.UnitFloat)), How: kindWords[rd.Kind]}
		if rd.Kind == logline.Measure {
			m.Name += ".*"
		}
		if rd.Source != "" {
			m.Name += "." + rd.Source
		}
		if rd.Rule != "" {
			m.How += ", by the rule " + strconv.Quote(clip(rd.Rule))
		} else if r.Source != "" {
			m.How += ", of " + r.Source
		}
		out.Metrics = append(out.Metrics, m)
	}
	return out
}
