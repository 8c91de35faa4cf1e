package logline

import (
	"bytes"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// A Reader makes readings of lines. It keeps nothing of them and may be used by any number of goroutines.
type Reader struct {
	Prefix       string // goes before every name, with a dot between; "" for none
	SourcePrefix string // goes before every source, likewise
	Rules        Rules  // of people, for lines of their own
}

// known are the parts of a platform that say something in words of their own. A line is read by the first that takes it, and then by the rules of people. Adding
// one is one line here.
var known = []source{router, dyno, logplex, postgres, redis, pgbouncer}

// A source is a part of a platform whose lines are known.
type source struct {
	name  string                                  // for people: "Heroku Postgres"
	takes func(l *Line) bool                      // whether a line is its own; called for every line, so it looks at App and Proc first
	read  func(l *Line, out *output) (taken bool) // false leaves the line to the grammar
}

// Read makes readings of a line that arrived at now, and calls found for each in turn. What is wrong goes to refuse, and costs itself alone. It returns the name of
// the platform's part that wrote the line, "" when it is none that is known.
func (r *Reader) Read(now time.Time, l *Line, found func(Reading), refuse func(Refusal)) (from string) {
	if len(l.Text) > MaxLine {
		refuse(Refusal{TooLong, Clip(l.Text)})
		return ""
	}
	platform := slices.IndexFunc(known, func(s source) bool { return s.takes(l) })
	tokens := bytes.IndexByte(l.Text, '#') >= 0 || bytes.Contains(l.Text, []byte("measure."))
	if platform < 0 && !tokens && len(r.Rules) == 0 {
		return "" // as nearly every line: nothing was made for it
	}
	out := output{reader: r, line: l, now: now, found: found, refuse: refuse}
	taken := false
	if platform >= 0 {
		from, taken = known[platform].name, known[platform].read(l, &out)
	}
	if !taken && tokens {
		out.grammar(nil)
	}
	r.Rules.read(l, &out)
	return from
}

// An output checks what is read of a line, and passes it on.
type output struct {
	reader *Reader
	line   *Line
	now    time.Time
	found  func(Reading)
	refuse func(Refusal)
	told   bool   // that the line's time is wrong
	rule   string // the name of the one at work
}

// grammar reads the metric tokens of the line. adjust may change what is read, or drop it by returning false; nil changes nothing.
func (o *output) grammar(adjust func(*Reading) bool) {
	var all []Reading // source= may stand behind the tokens that it is of
	source := tokens(o.line.Text, func(kind Kind, name, value []byte) {
		if rd, ok := o.reading(kind, name, value); ok {
			all = append(all, rd)
		}
	}, func(reason Reason, text []byte) { o.refuse(Refusal{reason, Clip(text)}) })
	for _, rd := range all {
		rd.Source = clean(source)
		if adjust == nil || adjust(&rd) {
			o.emit(rd)
		}
	}
}

// reading returns the reading of a token.
func (o *output) reading(kind Kind, name, value []byte) (Reading, bool) {
	v, unit, bad := number(value)
	if bad == BadValue && !utf8.Valid(value) {
		bad = NotText
	}
	if bad != "" {
		o.refuse(Refusal{bad, Clip(append(append([]byte(nil), name...), append([]byte("="), value...)...))})
		return Reading{}, false
	}
	cleaned := clean(name)
	if cleaned == "" {
		o.refuse(Refusal{BadName, Clip(name)})
		return Reading{}, false
	}
	return Reading{Kind: kind, Name: cleaned, Value: v, Unit: unit}, true
}

// mostName is how long a name and a source may be, with their prefixes, so that there is room for a statistic.
const mostName = saba.MaxMetricName - len("..median")

// emit passes a reading on, under the line's time and the reader's prefixes.
func (o *output) emit(rd Reading) {
	if math.IsNaN(rd.Value) || math.IsInf(rd.Value, 0) {
		o.refuse(Refusal{NotFinite, rd.Name})
		return
	}
	if rd.Time = o.line.Time.UnixNano(); !o.acceptable() {
		return
	}
	if p := o.reader.Prefix; p != "" {
		rd.Name = p + "." + rd.Name
	}
	if p := o.reader.SourcePrefix; p != "" && rd.Source != "" {
		rd.Source = p + "." + rd.Source
	}
	if len(rd.Name)+len(rd.Source) > mostName {
		o.refuse(Refusal{BadName, Clip([]byte(rd.Name))})
		return
	}
	rd.Rule = o.rule
	o.found(rd)
}

// Pass passes on a reading that did not come in a line as those of lines are: if it may be kept, and under the reader's prefixes.
func (r *Reader) Pass(now time.Time, rd Reading, found func(Reading), refuse func(Refusal)) {
	o := output{reader: r, line: &Line{Time: time.Unix(0, rd.Time), Text: []byte(rd.Name)}, now: now, found: found, refuse: refuse}
	o.emit(rd)
}

// acceptable says whether points of the line's time may be kept; if not, it refuses the line once.
func (o *output) acceptable() bool {
	s := saba.Sample{Time: o.line.Time.Unix()}
	why, ok := s.Acceptable(o.now)
	if ok {
		return true
	}
	if !o.told {
		o.told = true
		reason := TooOld
		if why == saba.DropTooNew {
			reason = TooNew
		}
		o.refuse(Refusal{reason, Clip(o.line.Text)})
	}
	return false
}
