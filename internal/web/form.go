package web

import (
	"errors"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// A form is the declaration of a form that makes or changes a T. What draws it, what reads it and what words its errors
// all work from it alone.
type form[T any] struct {
	fields []field[T]
	lists  map[string][]group // what there is to choose from, by field.from
	zone   *time.Location     // of times
}

// A field is one field of a form.
type field[T any] struct {
	name        string // of the input, and in the errors about a T
	label, help string // help is a sentence; "" for none
	noun        string // how messages name it; "" means by its label
	unit        string // behind the input
	part        string // the heading under which it stands
	input       inputKind
	least, most string // bounds that the browser checks as well; "" for none
	hint        string // what stands in an empty input
	required    bool
	choices     []choice // of oneOf, besides those of from
	from        string   // which of the form's lists it offers
	only        func(v *T) bool
	of          func(v *T) any // a pointer to its value
}

// An inputKind says how a field is drawn, and which values it has.
type inputKind string

// The inputs. Templates know them by these words (page/part/form.html).
const (
	inputLine    inputKind = "line"    // *string, of one line; with a list it proposes what there is
	inputSecret  inputKind = "secret"  // *string, which is typed in and never shown
	inputText    inputKind = "text"    // *string
	inputCode    inputKind = "code"    // *string, for expressions
	inputNumber  inputKind = "number"  // **float64
	inputWhole   inputKind = "whole"   // *int64 or **int64
	inputOneOf   inputKind = "oneof"   // *string, *saba.CheckStatus
	inputTick    inputKind = "tick"    // *bool
	inputPicks   inputKind = "picks"   // *[]string, *[]saba.Scope
	inputDays    inputKind = "days"    // as picks, of a few that are always in sight
	inputLines   inputKind = "lines"   // *[]string, one a line
	inputHeaders inputKind = "headers" // *[]saba.HTTPHeader
	inputRules   inputKind = "rules"   // *[]saba.LineRule
	inputWhen    inputKind = "when"    // *int64 in Unix seconds, 0 for none, or *string
)

// A choice is one thing to choose. A group of them has a heading, "" for none.
type (
	choice struct {
		Value, Label string
		Below        bool // it is a part of the one before
		On           bool
	}
	group struct {
		Label   string
		Choices []choice
	}
)

// faults say what is wrong with the fields of a form, each in a sentence, by name. Under "" stands what belongs to none.
type faults map[string]string

// has returns the fields that the form has for v.
func (f form[T]) has(v *T) []field[T] {
	return slices.DeleteFunc(slices.Clone(f.fields), func(d field[T]) bool { return d.only != nil && !d.only(v) })
}

// read sets the fields of v to what was typed. What cannot be read leaves its field as it is.
func (f form[T]) read(v *T, typed url.Values) faults {
	wrong := faults{}
	for _, d := range f.has(v) {
		if reason := d.read(d.of(v), typed, f.zone); reason != "" {
			wrong[d.name] = sentence(errors.New(d.subject() + " " + reason))
		}
	}
	return wrong
}

func (d field[T]) subject() string {
	if d.noun != "" {
		return d.noun
	}
	return d.label
}

// read sets a value, and otherwise returns a clause that says what must be.
func (d field[T]) read(value any, typed url.Values, zone *time.Location) (reason string) {
	s := typed.Get(d.name)
	if d.input != inputText && d.input != inputCode {
		s = strings.TrimSpace(s)
	}
	switch p := value.(type) {
	case *string:
		*p = cleaned(s)
	case *saba.CheckStatus:
		*p = saba.CheckStatus(s)
	case *bool:
		*p = s != ""
	case *int64:
		if d.input == inputWhen {
			*p, reason = unixOf(s, zone)
			return reason
		}
		*p = 0
		if s != "" {
			*p, reason = d.whole(s)
		}
	case **int64:
		*p = nil
		if s != "" {
			var n int64
			n, reason = d.whole(s)
			*p = &n
		}
	case **float64:
		*p = nil
		if s != "" {
			n, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
				return "must be a number such as 80 or 12.5, not " + strconv.Quote(clip(s))
			}
			*p = &n
		}
	case *[]string:
		*p = slices.Clone(typed[d.name])
		if d.input == inputLines {
			*p = strings.Fields(cleaned(s))
		}
	case *[]saba.Scope:
		*p = nil
		for _, s := range typed[d.name] {
			scope, err := saba.ParseScope(s)
			if err != nil {
				return "must be services and roles, not " + strconv.Quote(clip(s))
			}
			*p = append(*p, scope)
		}
	case *[]saba.LineRule:
		*p = readRules(d.name, typed)
	case *[]saba.HTTPHeader:
		*p = []saba.HTTPHeader{}
		names, values := typed[d.name+".name"], typed[d.name+".value"]
		for i, name := range names {
			h := saba.HTTPHeader{Name: strings.TrimSpace(name)}
			if i < len(values) {
				h.Value = strings.TrimSpace(values[i])
			}
			if h != (saba.HTTPHeader{}) {
				*p = append(*p, h)
			}
		}
	}
	return reason
}

// whole reads a whole number within the field's bounds.
func (d field[T]) whole(s string) (n int64, reason string) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, "must be a whole number, not " + strconv.Quote(clip(s))
	}
	least, err := strconv.ParseInt(d.least, 10, 64)
	if err == nil && n < least {
		return 0, "must be " + d.least + " or more, not " + clip(s)
	}
	if most, err := strconv.ParseInt(d.most, 10, 64); err == nil && n > most {
		return 0, "must be " + d.most + " or less, not " + clip(s)
	}
	return n, ""
}

// cleaned returns text without what browsers add to it and databases refuse.
func cleaned(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\x00", "").Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

// The layouts of times that browsers send.
const (
	localMinute = "2006-01-02T15:04"
	localSecond = "2006-01-02T15:04:05"
)

// unixOf reads a time of a browser in a zone; "" is 0.
func unixOf(s string, zone *time.Location) (unix int64, reason string) {
	if s == "" {
		return 0, ""
	}
	for _, layout := range []string{localMinute, localSecond} {
		t, err := time.ParseInLocation(layout, s, zone)
		if err != nil {
			continue
		}
		if t.Format(layout) != s {
			return 0, "must be a time that there is: the clocks of " + zone.String() + " are set forward over " + strings.Replace(s, "T", " ", 1)
		}
		return t.Unix(), ""
	}
	return 0, "must be a time such as 2026-11-21T22:00, not " + strconv.Quote(clip(s))
}

// localOf writes a time as browsers want it; "" for 0.
func localOf(unix int64, zone *time.Location) string {
	t := time.Unix(unix, 0).In(zone)
	switch {
	case unix == 0:
		return ""
	case t.Second() != 0:
		return t.Format(localSecond)
	}
	return t.Format(localMinute)
}

// save reads what was typed into v and keeps it: made makes of v what is kept, and kept keeps that. Where something is wrong with what was typed,
// wrong says what, and nothing was kept. The errors of both are about the fields of the form.
func (f form[T]) save(v *T, typed url.Values, made, kept func() error) (wrong faults, err error) {
	if wrong = f.read(v, typed); len(wrong) > 0 {
		return wrong, nil
	}
	if err = made(); err == nil {
		err = kept()
	}
	if err != nil && f.blame(wrong, v, err) {
		err = nil
	}
	return wrong, err
}

// blame finds the field that an error is about and adds its sentence. ok is false where the error is no fault of what was typed.
func (f form[T]) blame(wrong faults, v *T, err error) (ok bool) {
	var fault *saba.FieldError
	if !errors.As(err, &fault) {
		if errors.Is(err, saba.ErrInvalid) || errors.Is(err, saba.ErrConflict) {
			wrong[""] = sentence(err)
			return true
		}
		return false
	}
	name, fields := fault.Field, f.has(v)
	find := func() int { return slices.IndexFunc(fields, func(d field[T]) bool { return d.name == name }) }
	i := find()
	if end := strings.IndexAny(name, "[."); i < 0 && end >= 0 {
		name = name[:end]
		i = find()
	}
	if i < 0 {
		wrong[""] = sentence(err)
		return true
	}
	reason := fault.Reason
	for _, d := range fields {
		if strings.ToLower(d.name) != d.name { // a name that no sentence has by chance
			reason = strings.ReplaceAll(reason, d.name, "“"+d.label+"”")
		}
	}
	wrong[name] = sentence(errors.New(fields[i].subject() + " " + reason))
	return true
}

// A formPart is a heading and the fields below it, drawn.
type formPart struct {
	Heading string
	Fields  []drawn
}

// A drawn is a field as page/part/form.html has it.
type drawn struct {
	Name, Label, Help, Unit, Hint string
	Input                         inputKind
	Least, Most                   string
	Required, On                  bool
	Value                         string
	Groups                        []group
	Rows                          []saba.HTTPHeader
	Rules                         []drawnRule
	Error                         string
}

// blankRows is how many empty rows a list of headers ends with.
const blankRows = 2

// draw returns the form for v, part by part. typed is what was sent, nil where nothing was: numbers are shown as they were typed, even
// when they are none.
func (f form[T]) draw(v *T, typed url.Values, wrong faults) []formPart {
	var parts []formPart
	for _, d := range f.has(v) {
		if len(parts) == 0 || parts[len(parts)-1].Heading != d.part {
			parts = append(parts, formPart{Heading: d.part})
		}
		last := &parts[len(parts)-1]
		last.Fields = append(last.Fields, f.drawField(d, v, typed, wrong))
	}
	return parts
}

func (f form[T]) drawField(d field[T], v *T, typed url.Values, wrong faults) drawn {
	out := drawn{Name: d.name, Label: d.label, Help: d.help, Unit: d.unit, Hint: d.hint, Input: d.input, Least: d.least, Most: d.most, Required: d.required, Error: wrong[d.name]}
	var on []string
	switch p := d.of(v).(type) {
	case *string:
		if d.input != inputSecret {
			out.Value, on = *p, []string{*p}
		}
	case *saba.CheckStatus:
		out.Value, on = string(*p), []string{string(*p)}
	case *bool:
		out.On = *p
	case *int64:
		if d.input == inputWhen {
			out.Value = localOf(*p, f.zone)
		} else if *p != 0 {
			out.Value = strconv.FormatInt(*p, 10)
		}
	case **int64:
		if *p != nil {
			out.Value = strconv.FormatInt(**p, 10)
		}
	case **float64:
		if *p != nil {
			out.Value = strconv.FormatFloat(**p, 'f', -1, 64)
		}
	case *[]string:
		out.Value, on = strings.Join(*p, "\n"), *p
	case *[]saba.Scope:
		for _, s := range *p {
			on = append(on, s.String())
		}
	case *[]saba.LineRule:
		out.Rules = drawRules(*p, d.name, wrong)
	case *[]saba.HTTPHeader:
		out.Rows = append(slices.Clone(*p), make([]saba.HTTPHeader, blankRows)...)
	}
	if typed != nil && (d.input == inputNumber || d.input == inputWhole || d.input == inputWhen) {
		out.Value = typed.Get(d.name)
	}
	switch d.input {
	case inputOneOf, inputPicks, inputDays:
		out.Groups = chosen(d.choices, f.lists[d.from], on)
	case inputLine:
		out.Groups = f.lists[d.from]
	}
	return out
}

// chosen returns what there is to choose, with on chosen. What is on and is not there any more comes last: so it is seen, and can be taken away.
func chosen(choices []choice, groups []group, on []string) []group {
	var out []group
	missing := slices.Clone(on)
	for _, g := range append([]group{{Choices: choices}}, groups...) {
		g.Choices = slices.Clone(g.Choices)
		for i := range g.Choices {
			c := &g.Choices[i]
			c.On = slices.Contains(on, c.Value)
			missing = slices.DeleteFunc(missing, func(s string) bool { return s == c.Value })
		}
		if len(g.Choices) > 0 {
			out = append(out, g)
		}
	}
	gone := group{Label: "No longer there"}
	for _, s := range missing {
		if s != "" {
			gone.Choices = append(gone.Choices, choice{Value: s, Label: s, On: true})
		}
	}
	if len(gone.Choices) > 0 {
		out = append(out, gone)
	}
	return out
}

// Chosen says what of a list is chosen: all of it where it is little, and else how many; "" for nothing.
func (d drawn) Chosen() string {
	var on []string
	for _, g := range d.Groups {
		for _, c := range g.Choices {
			if c.On {
				on = append(on, c.Label)
			}
		}
	}
	if all := strings.Join(on, ", "); len(all) <= 60 {
		return all
	}
	return strconv.Itoa(len(on)) + " chosen"
}

// Proposals returns the list that an input of one line has, without its headings.
func (d drawn) Proposals() (all []choice) {
	for _, g := range d.Groups {
		all = append(all, g.Choices...)
	}
	return all
}

// scopeList returns services and their roles to choose from.
func scopeList(services []saba.Service) []group {
	var all group
	for _, s := range services {
		all.Choices = append(all.Choices, choice{Value: s.Name, Label: s.Name})
		for _, r := range s.Roles {
			role := saba.RoleName{Service: s.Name, Role: r}.String()
			all.Choices = append(all.Choices, choice{Value: role, Label: role, Below: true})
		}
	}
	return []group{all}
}

func serviceList(services []saba.Service) []group {
	var all group
	for _, s := range services {
		all.Choices = append(all.Choices, choice{Value: s.Name, Label: s.Name})
	}
	return []group{all}
}
