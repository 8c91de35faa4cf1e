package saba_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestLineRuleCheck(t *testing.T) {
	type rule = saba.LineRule
	for name, tt := range map[string]struct {
		change func(*rule)
		field  string // "" for none
		reason string
	}{
		"a group by name":                    {func(*rule) {}, "", ""},
		"a group by number":                  {func(r *rule) { r.Value, r.Metric = "2", "http.${1}" }, "", ""},
		"what wrote the line":                {func(r *rule) { r.Metric = "${app}.${proc}.${host}" }, "", ""},
		"a counter needs no value":           {func(r *rule) { r.Type, r.Value = "counter", "" }, "", ""},
		"a key alone is its own value":       {func(r *rule) { r.Match, r.Key, r.Value, r.Metric = "", "duration", "", "time.${code}" }, "", ""},
		"a rule without a name":              {func(r *rule) { r.Name = "" }, "name", "required"},
		"an unknown type":                    {func(r *rule) { r.Type = "histogram" }, "type", "counter, gauge or timing"},
		"an unknown unit":                    {func(r *rule) { r.Unit = "kB" }, "unit", "units of graphs"},
		"nothing to look for":                {func(r *rule) { r.Match = "" }, "match", "is required"},
		"two things to look for":             {func(r *rule) { r.Key = "x" }, "key", "beside match"},
		"an expression that is none":         {func(r *rule) { r.Match = "(a" }, "match", "not a regular expression (RE2): missing closing ): (a"},
		"an expression beyond RE2":           {func(r *rule) { r.Match = `(?<=a)b` }, "match", "RE2"},
		"an expression of too many steps":    {func(r *rule) { r.Match = `(?P<status>(?:[a-z]\d\w){400})(?P<ms>)` }, "match", "steps"},
		"an expression too long":             {func(r *rule) { r.Match += strings.Repeat("a", 1000) }, "match", "1000 bytes"},
		"a value that no group holds":        {func(r *rule) { r.Value = "us" }, "value", `the group "us"`},
		"a number that no group has":         {func(r *rule) { r.Value = "3" }, "value", `the group "3"`},
		"a gauge without a value":            {func(r *rule) { r.Type, r.Value = "gauge", "" }, "value", "is required"},
		"a metric without a name":            {func(r *rule) { r.Metric = "" }, "metric", "must be a name"},
		"a metric's name with other letters": {func(r *rule) { r.Metric = "http/${status}" }, "metric", "letters"},
		"a metric of no group":               {func(r *rule) { r.Metric = "http.${code}" }, "metric", `the group "code"`},
		"a reference that does not end":      {func(r *rule) { r.Metric = "http.${status" }, "metric", "not followed"},
		"a reference to nothing":             {func(r *rule) { r.Metric = "http.${}" }, "metric", "not followed"},
		"a key with blanks":                  {func(r *rule) { r.Match, r.Key, r.Metric = "", "a b", "x" }, "key", "without blanks"},
		"a program of two lines":             {func(r *rule) { r.App = "a\nb" }, "app", "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rule{Name: "requests", Type: "timing", Match: `status=(?P<status>\d+) .*in (?P<ms>[\d.]+)`, Metric: "http.${status}", Value: "ms"}
			tt.change(&r)
			d := saba.Drain{Name: "d", Service: "shop", Rules: []rule{{Name: "x", Type: "counter", Key: "k", Metric: "m"}, r}}
			err := d.Check()
			var field *saba.FieldError
			switch {
			case tt.field == "" && err != nil:
				t.Errorf("Check(%+v) = %v, want none", r, err)
			case tt.field != "" && (!errors.As(err, &field) || field.Field != "rules[1]."+tt.field || !strings.Contains(field.Reason, tt.reason)):
				t.Errorf("Check(%+v) = %v, want rules[1].%s … %s", r, err, tt.field, tt.reason)
			}
		})
	}
	many := saba.Drain{Name: "d", Service: "shop", Rules: make([]rule, saba.MaxLineRules+1)}
	if err := many.Check(); err == nil || !strings.HasPrefix(err.Error(), "rules may have 50 elements") {
		t.Errorf("Check of %d rules = %v", len(many.Rules), err)
	}
}

// Whatever stands in a rule, checking it is quick, and what passes has a name in parts that are whole.
func FuzzLineRuleCheck(f *testing.F) {
	f.Add(`status=(?P<status>\d+)`, "", "http.${status}", "status")
	f.Add(`(((a{1000}){1000}){1000}){1000}`, "", "a", "")
	f.Add("", "duration", "${x}", "y")
	f.Fuzz(func(t *testing.T, match, key, metric, value string) {
		r := saba.LineRule{Name: "f", Type: saba.RuleCounter, Match: match, Key: key, Metric: metric, Value: value}
		if r.Check() != nil {
			return
		}
		parts, err := r.MetricParts()
		if err != nil {
			t.Fatalf("%+v passes, and then: %v", r, err)
		}
		whole := ""
		for _, p := range parts {
			if p.Ref != "" {
				whole += "${" + p.Ref + "}"
			}
			whole += p.Text
		}
		if whole != metric {
			t.Errorf("the parts of %q come to %q", metric, whole)
		}
	})
}
