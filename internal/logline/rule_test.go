package logline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// noon is when the lines of these tests are written and read.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// said returns what became of a line, a text for each reading and refusal.
func said(r *Reader, l Line) (got []string) {
	if l.Time.IsZero() {
		l.Time = noon
	}
	r.Read(noon, &l, func(rd Reading) {
		s := fmt.Sprintf("%s %s", rd.Kind, rd.Name)
		if rd.Source != "" {
			s += "[" + rd.Source + "]"
		}
		got = append(got, fmt.Sprintf("%s=%v %s", s, rd.Value, rd.Unit))
	}, func(no Refusal) { got = append(got, fmt.Sprintf("refused %s: %s", no.Reason, no.Text)) })
	return got
}

func TestRules(t *testing.T) {
	const access = `10.0.0.1 "GET /carts HTTP/1.1" 503 1204 0.25`
	const slog = `level=INFO msg="request done" status=200 duration=1.5ms size=2kB path=/a.b/c user=`
	match := `"(?P<method>[A-Z]+) [^"]*" (?P<status>\d+) (?P<bytes>\d+) (?P<s>[\d.]+)( (?P<extra>\w+))?`
	for name, tt := range map[string]struct {
		rule saba.LineRule
		line Line
		want []string
	}{
		"a counter counts lines":                        {saba.LineRule{Type: "counter", Match: match, Metric: "http.${status}"}, Line{Text: []byte(access)}, []string{"count http.503=1 integer"}},
		"a counter adds a group up":                     {saba.LineRule{Type: "counter", Match: match, Metric: "out", Value: "bytes", Unit: "bytes"}, Line{Text: []byte(access)}, []string{"count out=1204 bytes"}},
		"a group by its number":                         {saba.LineRule{Type: "gauge", Match: match, Metric: "${2}", Value: "3"}, Line{Text: []byte(access)}, []string{"sample 503=1204 float"}},
		"a timing says which unit a bare number has":    {saba.LineRule{Type: "timing", Match: match, Metric: "http.${method}.time", Value: "s", Unit: "seconds"}, Line{Text: []byte(access)}, []string{"measure http.GET.time=0.25 seconds"}},
		"a timing is milliseconds unless said":          {saba.LineRule{Type: "timing", Match: match, Metric: "t", Value: "s"}, Line{Text: []byte(access)}, []string{"measure t=0.25 milliseconds"}},
		"other lines are left alone":                    {saba.LineRule{Type: "counter", Match: match, Metric: "x"}, Line{Text: []byte("GET /carts")}, nil},
		"a group that is not there says so":             {saba.LineRule{Type: "gauge", Match: match, Metric: "x", Value: "extra"}, Line{Text: []byte(access)}, []string{"refused no value: r: " + access}},
		"a group that is no number says so":             {saba.LineRule{Type: "gauge", Match: match, Metric: "x", Value: "method"}, Line{Text: []byte(access)}, []string{"refused not a number: r: GET"}},
		"a reference to a group that is not there is _": {saba.LineRule{Type: "counter", Match: match, Metric: "x.${extra}"}, Line{Text: []byte(access)}, []string{"count x._=1 integer"}},
		"a key is its own value, with its unit":         {saba.LineRule{Type: "timing", Key: "duration", Metric: "time"}, Line{Text: []byte(slog)}, []string{"measure time=1.5 milliseconds"}},
		"a unit of the line is brought to the rule's":   {saba.LineRule{Type: "timing", Key: "duration", Metric: "time", Unit: "seconds"}, Line{Text: []byte(slog)}, []string{"measure time=0.0015 seconds"}},
		"a unit of another kind is refused":             {saba.LineRule{Type: "timing", Key: "size", Metric: "time", Unit: "milliseconds"}, Line{Text: []byte(slog)}, []string{"refused another unit: r: 2kB"}},
		"a counter counts lines with a key":             {saba.LineRule{Type: "counter", Key: "status", Metric: "done.${status}"}, Line{Text: []byte(slog)}, []string{"count done.200=1 integer"}},
		"a counter adds another key up":                 {saba.LineRule{Type: "counter", Key: "status", Metric: "done", Value: "size"}, Line{Text: []byte(slog)}, []string{"count done=2048 bytes"}},
		"dots of a value make no segments":              {saba.LineRule{Type: "counter", Key: "status", Metric: "at.${path}"}, Line{Text: []byte(slog)}, []string{"count at._a_b_c=1 integer"}},
		"a key in quotes is none":                       {saba.LineRule{Type: "counter", Key: "done", Metric: "x"}, Line{Text: []byte(`msg="done=1"`)}, nil},
		"an empty key says so":                          {saba.LineRule{Type: "gauge", Key: "user", Metric: "x"}, Line{Text: []byte(slog)}, []string{"refused no value: r: " + slog}},
		"who wrote the line":                            {saba.LineRule{Type: "counter", Key: "status", Metric: "${host}.${app}.${proc}"}, Line{Host: "h", App: "shop", Proc: "web.1", Text: []byte(slog)}, []string{"count h.shop.web_1=1 integer"}},
		"only lines of a program":                       {saba.LineRule{Type: "counter", Key: "status", Metric: "x", App: "nginx"}, Line{App: "shop", Text: []byte(slog)}, nil},
		"only lines of some processes":                  {saba.LineRule{Type: "counter", Key: "status", Metric: "x", Proc: "web.*"}, Line{Proc: "web.12", Text: []byte(slog)}, []string{"count x=1 integer"}},
		"and of no others":                              {saba.LineRule{Type: "counter", Key: "status", Metric: "x", Proc: "web.*"}, Line{Proc: "worker.1", Text: []byte(slog)}, nil},
		"beside a known source": {saba.LineRule{Type: "counter", Match: `status=(?P<status>\d+)`, Metric: "x.${status}", App: "heroku"}, Line{App: "heroku", Proc: "heroku-redis", Text: []byte("source=R sample#hit-rate=0.5 status=7")},
			[]string{"sample hit-rate[R]=0.5 float", "count x.7=1 integer"}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.rule.Name = "r"
			rules, err := Compile([]saba.LineRule{tt.rule})
			if err != nil {
				t.Fatal(err)
			}
			if got := said(&Reader{Rules: rules}, tt.line); !slices.Equal(got, tt.want) {
				t.Errorf("%q became\n%s\nwant\n%s", tt.line.Text, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestCompileLeavesOutWhatIsWrong(t *testing.T) {
	rules, err := Compile([]saba.LineRule{{Name: "good", Type: "counter", Key: "a", Metric: "a"}, {Name: "bad", Type: "counter", Match: "(", Metric: "a"}})
	if len(rules) != 1 || err == nil || !strings.HasPrefix(err.Error(), `rule "bad": match is not a regular expression`) {
		t.Errorf("%d rules, error %v; want the good one, and words on the bad one", len(rules), err)
	}
}

// To look for a text first may only ever save work.
func FuzzRuleNeeds(f *testing.F) {
	f.Add(`in (?P<ms>\d+)ms`, "done in 40ms")
	f.Add(`(?i)ERROR|a(bc)+d?`, "Error abc")
	f.Add(`(abc){0,3}d`, "d")
	f.Add("^\\s*\\xff", "\xff")
	f.Fuzz(func(t *testing.T, match, text string) {
		rules, err := Compile([]saba.LineRule{{Name: "r", Type: "counter", Match: match, Metric: "x"}})
		if err != nil || len(text) > maxRuled {
			return
		}
		got := said(&Reader{Rules: rules}, Line{Text: []byte(text)})
		if hit := slices.Contains(got, "count x=1 integer"); hit != rules[0].re.MatchString(text) {
			t.Errorf("%q on %q: counted %v, but it matches %v; it needs %q", match, text, hit, !hit, rules[0].need)
		}
	})
}

func TestTry(t *testing.T) {
	d := saba.Drain{Prefix: "p", Rules: []saba.LineRule{{Name: "waits", Type: "timing", Key: "wait", Metric: "wait"}}}
	results, err := Try(&d, []Line{
		Pasted([]byte("wait=3 sample#a=1 count#b=x"), noon),
		Pasted([]byte("2020-01-02T03:04:05.678901+00:00 heroku[router]: at=info status=200 connect=1ms service=5ms bytes=7"), noon),
		Pasted([]byte("61 <190>1 2020-01-02T03:04:05+00:00 host app web.1 - count#old=2"), noon),
		Pasted([]byte("nothing"), noon),
	}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; len(r.Readings) != 2 || r.Readings[1].Rule != "waits" || r.Readings[0].Rule != "" || len(r.Refusals) != 1 || r.Refusals[0].Reason != BadValue {
		t.Errorf("a line of one's own became %+v", r)
	}
	if names := results[0].Readings[1].Metrics(); !slices.Contains(names, "p.wait.p95") {
		t.Errorf("a timing counts for %q", names)
	}
	if r := results[1]; r.Source != "Heroku router" || len(r.Refusals) > 0 || len(r.Readings) == 0 {
		t.Errorf("a router's line became %+v", r)
	}
	if r := results[2]; len(r.Readings) != 1 || r.Readings[0].Value != 2 {
		t.Errorf("a message became %+v", r)
	}
	if r := results[3]; r.Source != "" || r.Readings != nil || r.Refusals != nil {
		t.Errorf("a line that says nothing became %+v", r)
	}
	if _, err := Try(&saba.Drain{Rules: []saba.LineRule{{Name: "x"}}}, nil, noon); err == nil {
		t.Error("a rule that is not right was tried")
	}
}

func TestPasted(t *testing.T) {
	for text, want := range map[string]Line{
		"nothing but text\r\n":                                       {Text: []byte("nothing but text")},
		"<190>1 2020-01-02T03:04:05+00:00 host app web.1 - x=1":      {Host: "host", App: "app", Proc: "web.1", Text: []byte("x=1")},
		"54 <190>1 2020-01-02T03:04:05+00:00 host app web.1 - x=1\n": {Host: "host", App: "app", Proc: "web.1", Text: []byte("x=1")},
		"2020-01-02T03:04:05.678901+00:00 app[web.1]: x=1":           {App: "app", Proc: "web.1", Text: []byte("x=1")},
		"2020-01-02T03:04:05.678901+00:00 app said [x]: y":           {Text: []byte("2020-01-02T03:04:05.678901+00:00 app said [x]: y")},
	} {
		if got := Pasted([]byte(text), noon); !got.Time.Equal(noon) || got.Host != want.Host || got.App != want.App || got.Proc != want.Proc || string(got.Text) != string(want.Text) {
			t.Errorf("%q is read as %+v with the text %q, want %+v with %q", text, got, got.Text, want, want.Text)
		}
	}
}
