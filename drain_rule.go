package saba

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// A LineRule makes a metric of log lines that say something in words of their own. It looks for a regular expression, or for a key=value in
// the manner of logfmt. The JSON keys are those of the API, and part of the schema in which drains are kept.
type LineRule struct {
	Name string       `json:"name"` // for people
	Type LineRuleType `json:"type"`

	Match string `json:"match,omitzero"` // regular expression (RE2); "" where Key stands
	Key   string `json:"key,omitzero"`   // of logfmt; "" where Match stands

	// Metric is the name of what is made. In it ${REF} stands for a group of Match, by name or number, or for the value of another key of the
	// line where Key stands; and, where there is none of the name, ${app}, ${proc} and ${host} for what wrote the line.
	Metric string `json:"metric"`
	// Value is the group, or the key, that holds the value. "" stands for Key itself, and for 1 in a counter.
	Value string `json:"value,omitzero"`
	Unit  Unit   `json:"unit,omitzero"` // of values that name none; "" for what is usual for Type

	App  string `json:"app,omitzero"`  // only lines of it; "" for all, a * at the end stands for anything
	Proc string `json:"proc,omitzero"` // likewise of the process
}

// A LineRuleType says what becomes of the values of a minute.
type LineRuleType string

// The types of rules.
const (
	RuleCounter LineRuleType = "counter" // their sum
	RuleGauge   LineRuleType = "gauge"   // the last
	RuleTiming  LineRuleType = "timing"  // their number, sum, least, largest, mean and quantiles
)

// LineRuleTypes lists every type.
var LineRuleTypes = []LineRuleType{RuleCounter, RuleGauge, RuleTiming}

// Limits on rules.
const (
	MaxLineRules     = 50   // of a drain
	maxLineRuleMatch = 1000 // bytes of a regular expression
	maxLineRuleSize  = 1000 // steps of one with its repetitions written out: each may be looked at for each byte of a line
	maxLineRuleKey   = 100
	maxLineRuleWhere = 100
)

// Check checks a rule field by field. The error is a FieldError.
func (r *LineRule) Check() error {
	if err := checkLine("name", r.Name, 1, MaxObjectName); err != nil {
		return err
	}
	if !slices.Contains(LineRuleTypes, r.Type) {
		return Invalidf("type", "must be counter, gauge or timing, not %q", short(string(r.Type)))
	}
	if r.Unit != "" && !r.Unit.Valid() {
		return Invalidf("unit", "must be one of the units of graphs, not %q", short(string(r.Unit)))
	}
	switch {
	case r.Match == "" && r.Key == "":
		return Invalidf("match", "is required where no key stands: a rule looks for a regular expression or for a key")
	case r.Match != "" && r.Key != "":
		return Invalidf("key", "cannot stand beside match: make a rule of each")
	}
	known := func(string) error { return nil }
	if r.Match != "" {
		re, err := compileLineRule(r.Match)
		if err != nil {
			return err
		}
		known = func(ref string) error {
			if LineRuleGroup(re, ref) < 0 {
				return fmt.Errorf("names the group %q, which match does not have: write (?P<%s>…) there", short(ref), short(ref))
			}
			return nil
		}
		if r.Value == "" && r.Type != RuleCounter {
			return Invalidf("value", "is required: it names the group of match that holds the value of a %s", r.Type)
		}
	} else if err := checkLineRuleKey("key", r.Key); err != nil {
		return err
	}
	if r.Value != "" {
		if err := checkLineRuleKey("value", r.Value); err != nil {
			return err
		}
		if err := known(r.Value); err != nil {
			return Invalidf("value", "%s", err)
		}
	}
	parts, err := r.MetricParts()
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Ref == "" || slices.Contains([]string{"app", "proc", "host"}, p.Ref) {
			continue
		}
		if err := known(p.Ref); err != nil {
			return Invalidf("metric", "%s", err)
		}
	}
	return firstError(checkLine("app", r.App, 0, maxLineRuleWhere), checkLine("proc", r.Proc, 0, maxLineRuleWhere))
}

func checkLineRuleKey(field, s string) error {
	if len(s) > maxLineRuleKey || strings.ContainsAny(s, "\x00\t\n\r =\"") {
		return Invalidf(field, "must be up to %d bytes without blanks, quotes and =, not %q", maxLineRuleKey, short(s))
	}
	return nil
}

// compileLineRule compiles a rule's regular expression; the error is a FieldError.
func compileLineRule(match string) (*regexp.Regexp, error) {
	if len(match) > maxLineRuleMatch {
		return nil, Invalidf("match", "must be %d bytes or fewer, not %d", maxLineRuleMatch, len(match))
	}
	tree, err := syntax.Parse(match, syntax.Perl)
	if err != nil {
		why := err.Error()
		var e *syntax.Error
		if errors.As(err, &e) {
			why = e.Code.String() + ": " + short(e.Expr)
		}
		return nil, Invalidf("match", "is not a regular expression (RE2): %s", why)
	}
	if n := expressionSize(tree); n > maxLineRuleSize {
		return nil, Invalidf("match", "has about %d steps with its repetitions written out, and may have %d: repeat less", n, maxLineRuleSize)
	}
	re, err := regexp.Compile(match)
	if err != nil {
		return nil, Invalidf("match", "is not a regular expression (RE2): %v", err)
	}
	return re, nil
}

// expressionSize returns about how many instructions an expression is compiled to, as a repetition is written out before that.
func expressionSize(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += expressionSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Max, re.Min, 1)
	}
	return min(n, 1<<30/1000) // the next repetition is of 1,000 at most
}

// LineRuleGroup returns the number of the group of re that ref names, by its name or number; -1 when there is none.
func LineRuleGroup(re *regexp.Regexp, ref string) int {
	if i := re.SubexpIndex(ref); i >= 0 {
		return i
	}
	if i, err := strconv.Atoi(ref); err == nil && 0 <= i && i <= re.NumSubexp() {
		return i
	}
	return -1
}

// A MetricPart is a part of the name of a rule's metric: Text as it stands or, where Ref is not "", what ${Ref} stands for.
type MetricPart struct{ Text, Ref string }

// MetricParts returns the parts of the name of a rule's metric. The error is a FieldError of metric.
func (r *LineRule) MetricParts() (parts []MetricPart, err error) {
	if len(r.Metric) == 0 || len(r.Metric) > MaxMetricName {
		return nil, Invalidf("metric", "must be a name of 1 to %d characters, not %d", MaxMetricName, len(r.Metric))
	}
	for rest := r.Metric; rest != ""; {
		text, behind, found := strings.Cut(rest, "${")
		if text != "" && !ValidMetricName(text) {
			return nil, Invalidf("metric", "may hold letters, digits, dots, underscores, hyphens and ${…}, not %q", short(text))
		}
		if text != "" {
			parts = append(parts, MetricPart{Text: text})
		}
		if !found {
			break
		}
		ref, behind, closed := strings.Cut(behind, "}")
		if !closed || ref == "" || checkLineRuleKey("", ref) != nil {
			return nil, Invalidf("metric", "has a ${ that is not followed by a name and }: %q", short(r.Metric))
		}
		parts = append(parts, MetricPart{Ref: ref})
		rest = behind
	}
	return parts, nil
}

// checkLineRules checks the rules of a drain. The error is a FieldError.
func checkLineRules(rules []LineRule) error {
	if len(rules) > MaxLineRules {
		return Invalidf("rules", "may have %d elements, not %d", MaxLineRules, len(rules))
	}
	for i := range rules {
		if err := rules[i].Check(); err != nil {
			var field *FieldError
			if errors.As(err, &field) {
				return Invalidf(fmt.Sprintf("rules[%d].%s", i, field.Field), "%s", field.Reason)
			}
			return err
		}
	}
	return nil
}
