package logline

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// The parts of Heroku that write lines without being asked, as its documentation of the router, of runtime metrics and of its data stores
// describes them.

// router writes a line for each request: method, path, dyno, connect and service time, status, bytes, and a code when it could not be served.
var router = source{
	name:  "Heroku router",
	takes: func(l *Line) bool { return l.App == "heroku" && l.Proc == "router" },
	read: func(l *Line, out *output) bool {
		var at, code, status, dyno, connect, service, size []byte
		for text := l.Text; len(text) > 0; {
			var key, value []byte
			key, value, text = word(text)
			switch string(key) {
			case "at":
				at = value
			case "code":
				code = value
			case "status":
				status = value
			case "dyno":
				dyno = value
			case "connect":
				connect = value
			case "service":
				service = value
			case "bytes":
				size = value
			}
		}
		if len(at) == 0 {
			return false
		}
		one := Reading{Kind: Count, Name: "router.requests", Value: 1, Unit: saba.UnitInteger}
		out.emit(one)
		if ofFormation(dyno) {
			by := one
			by.Source = string(dyno)
			out.emit(by)
		}
		// Where there are requests, none of a class is a fact, and not silence. So it is with errors: those of no code that is ever seen would be silence.
		for i, name := range classes {
			one.Name, one.Value = name, 0
			if len(status) == 3 && status[0] == '2'+byte(i) {
				one.Value = 1
			}
			out.emit(one)
		}
		one.Name, one.Value = "router.errors.all", 0
		if len(code) > 0 {
			one.Value = 1
		}
		out.emit(one)
		if len(code) > 0 { // H80 comes with at=info
			one.Name = "router.errors." + clean(code)
			out.emit(one)
		}
		out.measured("router.connect", connect, saba.UnitMilliseconds)
		out.measured("router.service", service, saba.UnitMilliseconds)
		out.measured("router.bytes", size, saba.UnitBytes)
		return true
	},
}

// classes are the names under which requests of each class of status are counted elsewhere too, 2xx first.
var classes = [...]string{"access_num.2xx_count", "access_num.3xx_count", "access_num.4xx_count", "access_num.5xx_count"}

// ofFormation says whether a dyno is one of an application's formation: web.1, up to three digits. One-off dynos have other numbers, and are many.
func ofFormation(dyno []byte) bool {
	kind, number, ok := bytes.Cut(dyno, []byte("."))
	return ok && 0 < len(kind) && len(kind) <= 63 && 0 < len(number) && len(number) <= 3 && digits(number) == len(number) && clean(kind) == string(kind) && !oneOff(string(kind))
}

// oneOff says whether dynos of a kind come and go, each under a name of its own.
func oneOff(kind string) bool { return kind == "run" || kind == "release" || kind == "scheduler" }

// measured emits a measure, if the line has it: connect= is empty when no dyno was reached.
func (o *output) measured(name string, value []byte, unit saba.Unit) {
	if len(value) == 0 {
		return
	}
	if rd, ok := o.reading(Measure, []byte(name), value); ok {
		rd.Unit = unit
		o.emit(rd)
	}
}

// dyno writes the load and the memory of a dyno every twenty seconds, errors, and that it is gone.
var dyno = source{
	name: "Heroku dynos",
	takes: func(l *Line) bool {
		return l.App == "heroku" && (bytes.Contains(l.Text, []byte(" dyno=heroku.")) || bytes.HasPrefix(l.Text, errorOf) || bytes.HasPrefix(l.Text, changed)) && l.Proc != "logplex"
	},
	read: func(l *Line, out *output) bool {
		if code, _, ok := platformError(l.Text); ok {
			if code[0] == 'L' { // L12: what the dyno itself could not send
				return logplex.read(l, out)
			}
			out.emit(Reading{Kind: Count, Name: "dyno.errors." + code, Value: 1, Unit: saba.UnitInteger})
			return true
		}
		if bytes.HasPrefix(l.Text, changed) {
			if bytes.HasSuffix(l.Text, []byte(" to crashed")) {
				out.emit(Reading{Kind: Count, Name: "dyno.errors.crashed", Value: 1, Unit: saba.UnitInteger})
			}
			return true
		}
		out.grammar(func(rd *Reading) bool {
			kind, _, _ := strings.Cut(rd.Source, ".")
			if strings.HasPrefix(rd.Name, "memory_pg") {
				rd.Unit = saba.UnitInteger
			}
			return !oneOff(kind)
		})
		return true
	},
}

var (
	errorOf = []byte("Error ")
	changed = []byte("State changed from ")
)

// platformError reads what Heroku writes of its errors: Error R14 (Memory quota exceeded). behind is what follows the brackets.
func platformError(text []byte) (code string, behind []byte, ok bool) {
	rest, ok := bytes.CutPrefix(text, errorOf)
	if !ok || len(rest) < 3 || rest[0] < 'A' || rest[0] > 'Z' {
		return "", nil, false
	}
	n := 1 + digits(rest[1:])
	if n < 2 || n > 4 || n < len(rest) && rest[n] != ' ' {
		return "", nil, false
	}
	_, behind, _ = bytes.Cut(rest[n:], []byte(")"))
	return string(rest[:n]), behind, true
}

// logplex says how many lines were lost on their way, in place of those.
//
//	Error L10 (output buffer overflow): 500 messages dropped since 2026-01-02T03:04:05+00:00.
var logplex = source{
	name:  "Heroku Logplex",
	takes: func(l *Line) bool { return l.App == "heroku" && l.Proc == "logplex" },
	read: func(l *Line, out *output) bool {
		code, behind, ok := platformError(l.Text)
		if !ok {
			return false
		}
		behind = behind[min(len(behind), max(0, bytes.IndexAny(behind, "0123456789"))):]
		lost, err := strconv.ParseInt(string(behind[:digits(behind)]), 10, 52)
		if err != nil { // it does not say how many
			lost = 1
		}
		out.emit(Reading{Kind: Count, Name: "logplex.lost." + code, Value: float64(lost), Unit: saba.UnitInteger})
		return true
	},
}

var postgres = source{
	name:  "Heroku Postgres",
	takes: func(l *Line) bool { return l.Proc == "heroku-postgres" },
	read:  storeLine,
}

var pgbouncer = source{
	name:  "Heroku PgBouncer",
	takes: func(l *Line) bool { return l.Proc == "heroku-pgbouncer" },
	read:  storeLine,
}

var redis = source{
	name:  "Heroku Redis",
	takes: func(l *Line) bool { return l.Proc == "heroku-redis" },
	read:  storeLine,
}

// storeLine reads what a data store says of itself. Its percentages are fractions (connection-percentage-used of Redis, connections-percentage-used of
// Postgres), and most numbers have no unit.
func storeLine(l *Line, out *output) bool {
	if bytes.IndexByte(l.Text, '#') < 0 { // of the store's own log
		return false
	}
	out.grammar(func(rd *Reading) bool {
		unit, known := knownUnit(rd.Name)
		switch {
		case rd.Unit != saba.UnitFloat:
		case strings.HasSuffix(rd.Name, "percentage-used"):
			rd.Value, rd.Unit = rd.Value*100, saba.UnitPercentage
		case rd.Name == "avg_query": // microseconds, as PgBouncer has all its times of queries
			rd.Value, rd.Unit = rd.Value/1e3, saba.UnitMilliseconds
		case known:
			rd.Unit = unit
		}
		return true
	})
	return true
}
