package logline

import (
	"bytes"
	"time"

	"github.com/saba-monitor/saba"
)

// A Result is what a line would become.
type Result struct {
	Source   string // the platform's part that wrote the line, by name; "" when it is none that is known
	Readings []Reading
	Refusals []Refusal
}

// Try returns what a drain would make of lines, one result a line, as if all were written at now. It keeps nothing. The error matches saba.ErrInvalid: a rule of the
// drain is not right.
func Try(d *saba.Drain, lines []Line, now time.Time) ([]Result, error) {
	rules, err := Compile(d.Rules)
	if err != nil {
		return nil, err
	}
	reader := Reader{Prefix: d.Prefix, SourcePrefix: d.SourcePrefix, Rules: rules}
	out := make([]Result, len(lines))
	for i, l := range lines {
		r := &out[i]
		l.Time = now
		r.Source = reader.Read(now, &l, func(rd Reading) { r.Readings = append(r.Readings, rd) }, func(no Refusal) { r.Refusals = append(r.Refusals, no) })
	}
	return out, nil
}

// Pasted reads a line as people paste it to try it out: a message with its header, a line of `heroku logs` (2026-01-02T03:04:05+00:00 app[web.1]: text), or the text
// alone, which is of nobody then. Its time is now: a line of yesterday is to be tried too.
func Pasted(text []byte, now time.Time) Line {
	text = bytes.TrimRight(text, "\r\n")
	message := text
	if count := bytes.TrimLeft(text, "0123456789"); bytes.HasPrefix(count, []byte(" <")) {
		message = count[1:] // its length may count a line's end that was not pasted
	}
	if _, ok := priority(message); ok {
		l, _, _ := Syslog(message, now, time.UTC)
		l.Time = now
		return l
	}
	stamp, rest, ok := bytes.Cut(text, []byte(" "))
	if ok {
		if _, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil {
			if from, said, ok := bytes.Cut(rest, []byte("]: ")); ok {
				if app, proc, ok := bytes.Cut(from, []byte("[")); ok && bytes.IndexByte(from, ' ') < 0 {
					return Line{Time: now, App: string(app), Proc: string(proc), Text: said}
				}
			}
		}
	}
	return Line{Time: now, Text: text}
}

// Metrics returns the names of the metrics that a reading counts for.
func (r *Reading) Metrics() (names []string) {
	cells := Cells{}
	cells.Add(*r)
	for key, c := range cells {
		c.Points(key, func(name string, _ float64) { names = append(names, name) })
	}
	return names
}
