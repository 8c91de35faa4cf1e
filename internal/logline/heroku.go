package logline

import (
	"bytes"
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
		var at, code, status, connect, service, size []byte
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
		out.emit(Reading{Kind: Count, Name: "router.requests", Value: 1, Unit: saba.UnitInteger})
		// Where there are requests, none of a class is a fact, and not silence.
		for class := byte('2'); class <= '5'; class++ {
			n := 0.0
			if len(status) == 3 && status[0] == class {
				n = 1
			}
			out.emit(Reading{Kind: Count, Name: "access_num." + string(class) + "xx_count", Value: n, Unit: saba.UnitInteger})
		}
		if len(code) > 0 {
			out.emit(Reading{Kind: Count, Name: "router.errors." + clean(code), Value: 1, Unit: saba.UnitInteger})
		}
		out.measured("router.connect", connect)
		out.measured("router.service", service)
		out.measured("router.bytes", size)
		return true
	},
}

// measured emits a measure, if the line has it: connect= is empty when no dyno was reached.
func (o *output) measured(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	if rd, ok := o.reading(Measure, []byte(name), value); ok {
		if name == "router.bytes" {
			rd.Unit = saba.UnitBytes
		}
		o.emit(rd)
	}
}

// dyno writes the load and the memory of a dyno every twenty seconds. The dynos of one-off commands come and go, each under a name of its own.
var dyno = source{
	name:  "Heroku dynos",
	takes: func(l *Line) bool { return l.App == "heroku" && bytes.Contains(l.Text, []byte(" dyno=heroku.")) },
	read: func(_ *Line, out *output) bool {
		out.grammar(func(rd *Reading) bool {
			kind, _, _ := strings.Cut(rd.Source, ".")
			return kind != "run" && kind != "release" && kind != "scheduler"
		})
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

// storeLine reads what a data store says of itself. Its percentages are fractions.
func storeLine(l *Line, out *output) bool {
	if bytes.IndexByte(l.Text, '#') < 0 { // of the store's own log
		return false
	}
	out.grammar(func(rd *Reading) bool {
		switch {
		case strings.HasSuffix(rd.Name, "percentage-used"):
			rd.Value, rd.Unit = rd.Value*100, saba.UnitPercentage
		case rd.Unit == saba.UnitFloat && (rd.Name == "tmp-disk-used" || rd.Name == "tmp-disk-available"):
			rd.Unit = saba.UnitBytes
		}
		return true
	})
	return true
}
