package logline

import (
	"bytes"
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/saba-monitor/saba"
)

// Rules read lines in people's own ways. The zero value reads nothing. They may be used by any number of goroutines.
type Rules []rule

// A rule is a saba.LineRule, ready for use.
type rule struct {
	name      string
	kind      Kind
	app, proc where
	unit      saba.Unit
	metric    []saba.MetricPart

	re    *regexp.Regexp // nil where key stands
	need  []byte         // a text that everything re matches holds; nil when none is known
	value int            // number of the group that holds the value; -1 for none

	key      []byte
	keyIs    []byte // key with = behind it, which a line must hold somewhere
	valueKey string // the key that holds the value; "" for none
}

// Compile makes rules ready for use. Those that are not right are left out; the error then says so of each of them.
func Compile(rules []saba.LineRule) (Rules, error) {
	var out Rules
	var bad []error
	for i := range rules {
		r, err := compile(&rules[i])
		if err != nil {
			bad = append(bad, saba.Errorf(saba.ErrInvalid, "rule %q: %v", rules[i].Name, err))
			continue
		}
		out = append(out, r)
	}
	return out, errors.Join(bad...)
}

func compile(in *saba.LineRule) (r rule, err error) {
	if err := in.Check(); err != nil {
		return rule{}, err
	}
	r = rule{name: in.Name, app: whereOf(in.App), proc: whereOf(in.Proc), unit: in.Unit, value: -1}
	switch in.Type {
	case saba.RuleCounter:
		r.kind = Count
	case saba.RuleGauge:
		r.kind = Sample
	case saba.RuleTiming:
		r.kind = Measure
	}
	if r.metric, err = in.MetricParts(); err != nil {
		return rule{}, err
	}
	if in.Match == "" {
		r.key, r.keyIs, r.valueKey = []byte(in.Key), []byte(in.Key+"="), in.Value
		if r.valueKey == "" && r.kind != Count {
			r.valueKey = in.Key
		}
		return r, nil
	}
	if r.re, err = regexp.Compile(in.Match); err != nil {
		return rule{}, err
	}
	if tree, err := syntax.Parse(in.Match, syntax.Perl); err == nil {
		r.need = []byte(literal(tree))
	}
	if in.Value != "" {
		r.value = saba.LineRuleGroup(r.re, in.Value)
	}
	return r, nil
}

// literal returns the longest text that whatever re matches holds for sure, "" when none is known: to look for it costs far less than to match.
func literal(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literal(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literal(re.Sub[0])
		}
	case syntax.OpConcat:
		longest := ""
		for _, sub := range re.Sub {
			if s := literal(sub); len(s) > len(longest) {
				longest = s
			}
		}
		return longest
	}
	return ""
}

// A where is a condition on the program or the process that wrote a line.
type where struct {
	text   string // "" for any
	prefix bool   // whether more may follow
}

func whereOf(s string) where {
	text, prefix := strings.CutSuffix(s, "*")
	return where{text, prefix}
}

func (w where) holds(s string) bool {
	return w.text == "" || s == w.text || w.prefix && strings.HasPrefix(s, w.text)
}

// maxRuled is how many bytes of a line rules look at: fifty of them look at each byte, with up to a thousand steps. Longer lines are dumps of something.
const maxRuled = 16 << 10

// read emits what the rules make of a line.
func (rules Rules) read(l *Line, out *output) {
	if len(rules) == 0 {
		return
	}
	cut := *l
	cut.Text = cut.Text[:min(len(cut.Text), maxRuled)]
	l = &cut
	for i := range rules {
		if r := &rules[i]; r.app.holds(l.App) && r.proc.holds(l.Proc) {
			out.rule = r.name
			r.read(l, out)
			out.rule = ""
		}
	}
}

func (r *rule) read(l *Line, out *output) {
	var lookup func(ref string) ([]byte, bool)
	var value []byte
	var valued, has bool
	if r.re != nil {
		if len(r.need) > 0 && !bytes.Contains(l.Text, r.need) {
			return
		}
		groups := r.re.FindSubmatchIndex(l.Text)
		if groups == nil {
			return
		}
		group := func(i int) ([]byte, bool) {
			if i < 0 || groups[2*i] < 0 {
				return nil, false
			}
			return l.Text[groups[2*i]:groups[2*i+1]], true
		}
		lookup = func(ref string) ([]byte, bool) { return group(saba.LineRuleGroup(r.re, ref)) }
		if valued = r.value >= 0; valued {
			value, has = group(r.value)
		}
	} else {
		if !bytes.Contains(l.Text, r.keyIs) {
			return
		}
		if _, has := valueOf(l.Text, string(r.key)); !has {
			return
		}
		lookup = func(ref string) ([]byte, bool) { return valueOf(l.Text, ref) }
		if valued = r.valueKey != ""; valued {
			value, has = lookup(r.valueKey)
		}
	}
	rd := Reading{Kind: r.kind, Value: 1, Unit: saba.UnitInteger}
	if valued {
		if !has || len(value) == 0 {
			out.refuse(Refusal{NoValue, r.name + ": " + Clip(l.Text)})
			return
		}
		v, unit, bad := number(value)
		if bad == "" {
			rd.Value, rd.Unit, bad = r.inUnit(v, unit)
		}
		if bad != "" {
			out.refuse(Refusal{bad, r.name + ": " + Clip(value)})
			return
		}
	}
	if rd.Name = r.nameOf(l, lookup); rd.Name == "" {
		out.refuse(Refusal{BadName, r.name + ": " + Clip(l.Text)})
		return
	}
	out.emit(rd)
}

// inUnit returns a value of a line in the rule's unit.
func (r *rule) inUnit(v float64, unit saba.Unit) (float64, saba.Unit, Reason) {
	switch {
	case r.unit == "" && unit == saba.UnitFloat && r.kind == Measure:
		return v, saba.UnitMilliseconds, ""
	case r.unit == "", r.unit == unit:
		return v, unit, ""
	case unit == saba.UnitFloat, r.unit == saba.UnitFloat, r.unit == saba.UnitInteger:
		return v, r.unit, ""
	case unit == saba.UnitMilliseconds && r.unit == saba.UnitSeconds:
		return v / 1e3, r.unit, ""
	case unit == saba.UnitBytes && r.unit == saba.UnitBytesPerSec:
		return v, r.unit, ""
	}
	return 0, "", OtherUnit
}

// nameOf returns the name of the metric of a line. A dot in what stands for a reference would make metrics of one rule that do not share a graph: it
// becomes an underscore, as nothing at all does.
func (r *rule) nameOf(l *Line, lookup func(ref string) ([]byte, bool)) string {
	if len(r.metric) == 1 && r.metric[0].Ref == "" {
		return clean([]byte(r.metric[0].Text))
	}
	var name []byte
	for _, p := range r.metric {
		if p.Ref == "" {
			name = append(name, p.Text...)
			continue
		}
		b, has := lookup(p.Ref)
		if !has {
			switch p.Ref {
			case "app":
				b = []byte(l.App)
			case "proc":
				b = []byte(l.Proc)
			case "host":
				b = []byte(l.Host)
			}
		}
		if len(b) == 0 {
			b = []byte("_")
		}
		name = append(name, strings.ReplaceAll(clean(b), ".", "_")...)
	}
	return clean(name)
}

// valueOf returns what stands behind key= in a text of logfmt; of several the first counts.
func valueOf(text []byte, key string) (value []byte, has bool) {
	for len(text) > 0 {
		k, v, rest := word(text)
		if string(k) == key && v != nil {
			return v, true
		}
		text = rest
	}
	return nil, false
}
