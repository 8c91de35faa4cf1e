package saba

import (
	"strconv"
	"strings"
)

func itoa(i int) string { return strconv.Itoa(i) }

// An Expression is a parsed call or literal of the expression language: "avg(role(shop:web, loadavg5))".
type Expression struct {
	Name string       // of the function; "" for a literal
	Args []Expression // of the function
	Text string       // of the literal, without quotes

	at int // of the literal's text, in bytes from the start of the expression
}

// The kinds of arguments of functions.
const (
	argText   = 't' // anything that is no call
	argNumber = 'n' // a number, or a quotient of two
	argShare  = 'p' // a number above 0 and below 100
	argTime   = 'd' // a whole number and m, h, d, w, mo or y
	argSeries = 's' // a call
)

// functions lists the functions of the expression language: the kinds of their arguments, of which
// the last repeats after a "+", and how many series one yields: '1', '*' for any number, 's' for as many as
// its series arguments have, 'm' for one when its metric has no wildcard, 'g' for all of its arguments together.
var functions = map[string]struct{ args, yields string }{
	"host": {"tt", "m"}, "service": {"tt", "m"}, "role": {"tt", "*"}, "roleSlots": {"tt", "*"},
	"avg": {"s", "1"}, "max": {"s", "1"}, "min": {"s", "1"}, "sum": {"s", "1"}, "product": {"s", "1"},
	"diff": {"ss", "s"}, "divide": {"ss", "s"}, "scale": {"sn", "s"}, "offset": {"sn", "s"}, "percentile": {"sp", "1"},
	"timeShift": {"sd", "s"}, "movingAverage": {"sd", "s"}, "linearRegression": {"sd", "s"}, "timeLeftForecast": {"sdn", "s"},
	"group": {"s+", "g"}, "stack": {"s", "s"}, "alias": {"st", "s"},
}

// maxExpressionDepth bounds how deep calls may be nested.
const maxExpressionDepth = 50

// ParseExpression parses an expression. The error matches ErrInvalid and says where what is wrong.
func ParseExpression(text string) (Expression, error) {
	p := expressionParser{text: text}
	e, err := p.value(0)
	if err == nil {
		if p.blanks(); p.at < len(text) {
			err = p.fail("the end was expected")
		}
	}
	if err == nil && e.Name == "" {
		err = Errorf(ErrInvalid, "%q is no call of a function, as in avg(role(shop:web, loadavg5))", short(text))
	}
	return e, err
}

type expressionParser struct {
	text string
	at   int // bytes read
}

func (p *expressionParser) blanks() {
	p.at = len(p.text) - len(strings.TrimLeft(p.text[p.at:], " \t\r\n"))
}

func (p *expressionParser) fail(what string) error {
	return Errorf(ErrInvalid, "cannot be read at character %d (%q): %s", len([]rune(p.text[:p.at]))+1, short(p.text[p.at:]), what)
}

func (p *expressionParser) next(c byte) bool {
	p.blanks()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *expressionParser) value(depth int) (e Expression, err error) {
	if depth > maxExpressionDepth {
		return e, p.fail("calls are nested too deep")
	}
	p.blanks()
	if p.at < len(p.text) && (p.text[p.at] == '"' || p.text[p.at] == '\'') {
		quote := p.text[p.at]
		end := strings.IndexByte(p.text[p.at+1:], quote)
		if end < 0 {
			return e, p.fail("the quote is not closed")
		}
		e.Text, e.at = p.text[p.at+1:p.at+1+end], p.at+1
		p.at += end + 2
		return e, nil
	}
	start := p.at
	if i := strings.IndexAny(p.text[p.at:], "(),\"'"); i >= 0 {
		p.at += i
	} else {
		p.at = len(p.text)
	}
	word := strings.TrimRight(p.text[start:p.at], " \t\r\n")
	if !p.next('(') {
		if word == "" {
			return e, p.fail("an argument was expected")
		}
		return Expression{Text: word, at: start}, nil
	}
	f, ok := functions[word]
	if !ok {
		p.at = start
		return e, p.fail("there is no function of that name")
	}
	e.Name = word
	for !p.next(')') {
		if len(e.Args) > 0 && !p.next(',') {
			return e, p.fail("a comma or ) was expected")
		}
		at := p.at
		arg, err := p.value(depth + 1)
		if err != nil {
			return e, err
		}
		kinds, many := strings.CutSuffix(f.args, "+")
		n := len(e.Args)
		if many {
			n = min(n, len(kinds)-1)
		}
		if n >= len(kinds) {
			p.at = at
			return e, p.fail(word + " takes " + itoa(len(kinds)) + " arguments")
		}
		if what := arg.mismatch(kinds[n]); what != "" {
			p.at = at
			return e, p.fail(what + " was expected")
		}
		e.Args = append(e.Args, arg)
	}
	if want := len(strings.TrimSuffix(f.args, "+")); len(e.Args) < want {
		return e, p.fail(word + " takes " + itoa(want) + " arguments, not " + itoa(len(e.Args)))
	}
	return e, nil
}

// mismatch says what an argument should have been, or "" if it is of the kind.
func (e Expression) mismatch(kind byte) string {
	switch {
	case kind == argSeries && e.Name == "":
		return "a call that yields series"
	case kind != argSeries && e.Name != "":
		return "a text or a number"
	case kind == argNumber:
		if _, err := e.Number(); err != nil {
			return "a number"
		}
	case kind == argShare:
		if p, err := e.Number(); err != nil || p <= 0 || p >= 100 {
			return "a number above 0 and below 100"
		}
	case kind == argTime:
		if _, err := e.Seconds(); err != nil {
			return "a duration such as 30m, 1h or 7d"
		}
	}
	return ""
}

// Number returns the value of a literal that is a number or a quotient of two, as in "1/3600".
func (e Expression) Number() (float64, error) {
	over, under, quotient := strings.Cut(e.Text, "/")
	v, err := strconv.ParseFloat(strings.TrimSpace(over), 64)
	if err == nil && quotient {
		var d float64
		if d, err = strconv.ParseFloat(strings.TrimSpace(under), 64); err == nil && d != 0 {
			return v / d, nil
		}
	}
	if err != nil || quotient || v-v != 0 { // the last: an infinity or NaN
		return 0, Errorf(ErrInvalid, "%q is not a number", short(e.Text))
	}
	return v, nil
}

// Seconds returns the value of a literal that is a duration; a month is 30 days, a year 365.
func (e Expression) Seconds() (int64, error) {
	digits := strings.TrimRight(e.Text, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.ParseInt(digits, 10, 32)
	unit := map[string]int64{"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400, "y": 365 * 86400}[e.Text[len(digits):]]
	if err != nil || n < 1 || unit == 0 {
		return 0, Errorf(ErrInvalid, "%q is not a duration such as 30m, 1h or 7d", short(e.Text))
	}
	return n * unit, nil
}

// RenameInExpression returns an expression with what rename makes of each service and role that its calls name. All
// other text stays as it was written; what is no expression is returned as it is.
func RenameInExpression(text string, rename func(Scope) Scope) string {
	e, err := ParseExpression(text)
	if err != nil {
		return text
	}
	var b strings.Builder
	done := 0
	var walk func(e Expression)
	walk = func(e Expression) {
		for i, a := range e.Args {
			named := a.Text
			switch {
			case i > 0:
			case e.Name == "service":
				named = rename(Scope{Service: a.Text}).Service
			case e.Name == "role" || e.Name == "roleSlots":
				if r, err := ParseRoleName(a.Text); err == nil {
					if is := rename(Scope(r)); is != Scope(r) {
						named = RoleName(is).String()
					}
				}
			}
			if named != a.Text {
				b.WriteString(text[done:a.at])
				b.WriteString(named)
				done = a.at + len(a.Text)
			}
			walk(a)
		}
	}
	walk(e)
	return b.String() + text[done:]
}

// Single says whether an expression yields one series whatever hosts there are.
func (e Expression) Single() bool {
	switch functions[e.Name].yields {
	case "1":
		return true
	case "m":
		return !strings.Contains(e.Args[1].Text, "*")
	case "g":
		return len(e.Args) == 1 && e.Args[0].Single()
	case "s":
		for _, a := range e.Args {
			if a.Name != "" && !a.Single() {
				return false
			}
		}
		return true
	}
	return false
}

// checkExpression checks an expression that must yield one series.
func checkExpression(field, text string) error {
	e, err := ParseExpression(text)
	if err != nil {
		return Invalidf(field, "%v", err)
	}
	if !e.Single() {
		return Invalidf(field, "must yield one series: put avg, max, min, sum, product or percentile around what may yield several")
	}
	return nil
}

// checkQuery checks the form of a query: that it is not empty, and that what it opens it closes. Names may
// hold dots, as those of OpenTelemetry do, so a parser of plain PromQL would refuse good ones.
func checkQuery(field, query string) error {
	if strings.TrimSpace(query) == "" {
		return Invalidf(field, "is required, and must not be empty")
	}
	var open []byte
	for i := 0; i < len(query); i++ {
		switch c := query[i]; c {
		case '"', '\'', '`':
			end := i + 1
			for end < len(query) && query[end] != c {
				if query[end] == '\\' && c != '`' {
					end++
				}
				end++
			}
			if end >= len(query) {
				return Invalidf(field, "has a quote that is not closed")
			}
			i = end
		case '(', '[', '{':
			open = append(open, c)
		case ')', ']', '}':
			want := map[byte]byte{')': '(', ']': '[', '}': '{'}[c]
			if len(open) == 0 || open[len(open)-1] != want {
				return Invalidf(field, "has a %q that closes nothing", string(c))
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return Invalidf(field, "has a %q that is not closed", string(open[len(open)-1]))
	}
	return nil
}
