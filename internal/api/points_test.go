package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func point(host, name string, time int64, value float64) saba.Point {
	return saba.Point{Series: saba.Series{Host: host, Name: name}, Sample: saba.Sample{Time: time, Value: value}}
}

func TestOneBadElementCostsOnlyItself(t *testing.T) {
	const good = `{"hostId":"h","name":"m","time":60,"value":1}`
	for name, tt := range map[string]struct {
		element string
		want    []saba.Point // nil: refused
	}{
		"an integer":                     {good, []saba.Point{point("h", "m", 60, 1)}},
		"a fraction":                     {`{"hostId":"h","name":"m","time":60,"value":0.42}`, []saba.Point{point("h", "m", 60, 0.42)}},
		"an exponent":                    {`{"hostId":"h","name":"m","time":60,"value":1e+21}`, []saba.Point{point("h", "m", 60, 1e21)}},
		"zero":                           {`{"hostId":"h","name":"m","time":60,"value":0}`, []saba.Point{point("h", "m", 60, 0)}},
		"below zero":                     {`{"hostId":"h","name":"m","time":60,"value":-2.5}`, []saba.Point{point("h", "m", 60, -2.5)}},
		"17 digits":                      {`{"hostId":"h","name":"m","time":60,"value":94.859178825924671}`, []saba.Point{point("h", "m", 60, 94.859178825924671)}},
		"too large for a float":          {`{"hostId":"h","name":"m","time":60,"value":1e999}`, []saba.Point{point("h", "m", 60, math.Inf(1))}},
		"too small for a float":          {`{"hostId":"h","name":"m","time":60,"value":1e-999}`, []saba.Point{point("h", "m", 60, 0)}},
		"a time with a zero fraction":    {`{"hostId":"h","name":"m","time":1700000000.0,"value":1}`, []saba.Point{point("h", "m", 1700000000, 1)}},
		"a time with an exponent":        {`{"hostId":"h","name":"m","time":1.7e9,"value":1}`, []saba.Point{point("h", "m", 1700000000, 1)}},
		"a time between seconds":         {`{"hostId":"h","name":"m","time":1700000000.5,"value":1}`, nil},
		"a time beyond all integers":     {`{"hostId":"h","name":"m","time":99999999999999999999,"value":1}`, nil},
		"a time as a string":             {`{"hostId":"h","name":"m","time":"60","value":1}`, nil},
		"a value as a string":            {`{"hostId":"h","name":"m","time":60,"value":"1"}`, nil},
		"a value of null":                {`{"hostId":"h","name":"m","time":60,"value":null}`, nil},
		"a value of true":                {`{"hostId":"h","name":"m","time":60,"value":true}`, nil},
		"no value":                       {`{"hostId":"h","name":"m","time":60}`, nil},
		"no name":                        {`{"hostId":"h","time":60,"value":1}`, nil},
		"no host":                        {`{"name":"m","time":60,"value":1}`, nil},
		"no time":                        {`{"hostId":"h","name":"m","value":1}`, nil},
		"a name as a number":             {`{"hostId":"h","name":5,"time":60,"value":1}`, nil},
		"not an object":                  {`7`, nil},
		"null":                           {`null`, nil},
		"an unknown key":                 {`{"hostId":"h","x":[{}],"name":"m","time":60,"value":1}`, []saba.Point{point("h", "m", 60, 1)}},
		"other order":                    {`{"value":1,"time":60,"name":"m","hostId":"h"}`, []saba.Point{point("h", "m", 60, 1)}},
		"the last of a repeated key":     {`{"hostId":"h","name":"m","time":60,"value":2,"value":1}`, []saba.Point{point("h", "m", 60, 1)}},
		"an escape":                      {`{"hostId":"\u0068","name":"m","time":60,"value":1}`, []saba.Point{point("h", "m", 60, 1)}},
		"a name outside ASCII, as it is": {`{"hostId":"h","name":"鯖","time":60,"value":1}`, []saba.Point{point("h", "鯖", 60, 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			body := "[" + good + "," + tt.element + ",\n " + good + "]\n"
			got, err := newPointParser().parse([]byte(body), true, nil)
			if err != nil {
				t.Fatalf("parse(%s): %v", body, err)
			}
			want := append(append([]saba.Point{point("h", "m", 60, 1)}, tt.want...), point("h", "m", 60, 1))
			if fmt.Sprint(got.good) != fmt.Sprint(want) {
				t.Errorf("parse(%s) = %v, want %v", body, got.good, want)
			}
			if refused := 1 - len(tt.want); got.refused != refused {
				t.Errorf("parse(%s) refused %d elements (%s), want %d", body, got.refused, got.example, refused)
			}
		})
	}
}

func TestABodyThatIsNoArrayOfPointsIsRefusedWithItsPlace(t *testing.T) {
	for body, want := range map[string]string{
		`{"hostId":"h"}`:     "must be an array of points, not an object",
		`"x"`:                "must be an array of points, not a string",
		`[{"hostId":"h",}]`:  "line 1, column 16",
		"[\n{\"hostId\" 1}]": "line 2, column 11",
		`[`:                  "ends too early, at line 1, column 2",
		``:                   "is empty",
		" \n":                "is empty",
		`[] []`:              "line 1, column 4",
		`[01]`:               "line 1, column 3",
		`[1.]`:               "line 1, column 4",
		"\xff":               "line 1, column 1",
	} {
		_, err := newPointParser().parse([]byte(body), true, nil)
		if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("parse(%q): %v, want an invalid body that says %q", body, err, want)
		}
	}
}

func TestNothingCollectedIsNothingWrong(t *testing.T) {
	for _, body := range []string{"null", "[]", " [ ]\n", "null\n"} {
		if p, err := newPointParser().parse([]byte(body), true, nil); err != nil || len(p.good) != 0 || p.refused != 0 {
			t.Errorf("parse(%q) = %v, %v; want nothing", body, p, err)
		}
	}
}

func TestServicePointsNeedNoHost(t *testing.T) {
	for _, body := range []string{`[{"name":"m","time":60,"value":1}]`, `[{"name":"m","hostId":7,"time":60,"value":1}]`} {
		p, err := newPointParser().parse([]byte(body), false, nil)
		if err != nil || len(p.good) != 1 || p.good[0] != point("", "m", 60, 1) {
			t.Errorf("parse(%s) = %v, %v; want one point of nobody", body, p, err)
		}
	}
}

func TestAgentsGetTheFastPath(t *testing.T) {
	b, err := os.ReadFile("testdata/agent-wire/tsdb.json")
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := newPointParser().fast(b, true, nil); !ok || len(p.good) == 0 {
		t.Errorf("the recorded batch of an agent was left to the slow path (%v, %d points)", ok, len(p.good))
	}
}

// Whatever a client sends, parsing never panics, and where the fast path has an answer, it is
// that of encoding/json, bit for bit.
func FuzzPointsFastEqualsSlow(f *testing.F) {
	for _, s := range []string{
		`[{"hostId":"h","name":"cpu.user.percentage","time":1767225600,"value":0.42}]`,
		`[{"hostId":"h","name":"a","time":1,"value":1},{"hostId":"h","name":"b","time":2,"value":-0}]`,
		`[{"hostId":"h","name":"a","time":1,"value":9007199254740993},{"hostId":"i","name":"b","time":2,"value":1e-5}]`,
		`[{"value":123456789012345678901234567890.5,"time":0,"name":"a","hostId":"x"}]`,
		` [ { "hostId" : "h" , "name" : "a" , "time" : 1 , "value" : 0.1 } ] `,
		`[{"name":"a","time":1,"value":1}]`, `null`, `[]`, `[{"hostId":"h","name":"a","time":1,"value":00}]`,
		// Points of one mold, and of one that only looks like it.
		`[{"hostId":"h","name":"a","time":1,"value":1},{"hostId":"h","name":"a","time":1,"value":2},{"hostId":"h","name":"h","time":1,"value":3e0}]`,
		`[{"hostId":"h","name":"a","time":1,"value":1},{"hostId":"h","name":"a\\","time":1,"value":2}]`,
		`[{"name":"a","hostId":"h","time":1,"value":1},{"name":"a","hostId":"h","time":1,"value":2,"value":3}]`,
		`[{"hostId":"h","time":1,"value":1,"name":"a"},{"hostId":"h","time":1,"value":2,"name":"a"}]`,
		`[{"name":"a","time":1,"value":1} , {"name":"a","time":1,"value":2}]`,
		`[{"hostId":"h","name":"a","time":-1,"value":1}]`, `[{"hostId":"h"}]`, `[{"hostId":"h","name":"a","time":1,"value":1},]`,
	} {
		f.Add([]byte(s))
	}
	parser := newPointParser()
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, hosts := range []bool{true, false} {
			fast, ok := parser.fast(body, hosts, nil)
			if !ok {
				if _, err := parsePointsSlowly(body, hosts); err != nil && !errors.Is(err, saba.ErrInvalid) {
					t.Errorf("parsePointsSlowly(%q): %v does not match ErrInvalid", body, err)
				}
				continue
			}
			slow, err := parsePointsSlowly(body, hosts)
			if err != nil || slow.refused != 0 || len(slow.good) != len(fast.good) {
				t.Fatalf("fast(%q) = %v; encoding/json has %v, %v", body, fast, slow, err)
			}
			for i, p := range fast.good {
				q := slow.good[i]
				if p.Series != q.Series || p.Time != q.Time || math.Float64bits(p.Value) != math.Float64bits(q.Value) {
					t.Errorf("fast(%q)[%d] = %v, encoding/json has %v", body, i, p, q)
				}
			}
		}
	})
}

// batch returns one minute of hosts hosts with metrics metrics each, as agents send it.
func batch(hosts, metrics int, unusual bool) []byte {
	type wire struct {
		HostID string  `json:"hostId"`
		Name   string  `json:"name"`
		Time   int64   `json:"time"`
		Value  float64 `json:"value"`
		X      *int    `json:"x,omitempty"`
	}
	var all []wire
	for h := range hosts {
		for m := range metrics {
			v := float64(m * 1000)
			if m%3 > 0 {
				v = 100 / float64(m+h+7)
			}
			all = append(all, wire{fmt.Sprintf("5wAAbbCC%03d", h), fmt.Sprintf("custom.queue%d.jobs.ready", m), 1767225600, v, nil})
		}
	}
	if unusual {
		all[0].X = new(1)
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return b
}

// BenchmarkParsePoints reads one minute of one host with 150 metrics: two thirds of the values
// have all their digits.
func TestParsingWhatCameBeforeAllocatesNothing(t *testing.T) {
	// Luck decides which names have one hash.
	for range 20 {
		body, parser := batch(1, 150, false), newPointParser()
		var room []saba.Point
		if n := testing.AllocsPerRun(10, func() { // which runs it once before it counts
			p, err := parser.parse(body, true, room)
			if err != nil || len(p.good) != 150 {
				t.Fatal(err, len(p.good))
			}
			room = p.good
		}); n != 0 {
			t.Fatalf("%v allocations a batch, want none", n)
		}
	}
}

func BenchmarkParsePoints(b *testing.B) {
	for name, unusual := range map[string]bool{"fast": false, "slow": true} {
		b.Run(name, func(b *testing.B) {
			body, parser := batch(1, 150, unusual), newPointParser()
			var room []saba.Point
			b.ReportAllocs()
			for b.Loop() {
				p, err := parser.parse(body, true, room)
				if err != nil || len(p.good) != 150 {
					b.Fatal(err, len(p.good))
				}
				room = p.good
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/150, "ns/sample")
		})
	}
	b.Run("encoding-json", func(b *testing.B) { // what one would write first, to compare with
		body := batch(1, 150, false)
		b.ReportAllocs()
		for b.Loop() {
			var all []struct {
				HostID, Name string
				Time         int64
				Value        float64
			}
			if err := json.Unmarshal(body, &all); err != nil || len(all) != 150 {
				b.Fatal(err, len(all))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/150, "ns/sample")
	})
}
