package json

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

// beam is what the heartbeat library of Elixir programs answers.
const beam = `{"context_switches":5120,"gc":{"count":340,"words_reclaimed":905000},"io":{"in":20480,"out":65536},
"memory":{"atom":700000,"binary":450000,"code":12000000,"ets":3000000,"processes":9500000},"port_count":12,"process_count":310,
"reductions":2500000,"run_queue":0,"scheduler_usage":{"1":0.0312,"2":0.0000158}}`

// lines returns values as text.
func lines(values []saba.Value) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%s=%v ", v.Name, v.Value)
	}
	return strings.TrimSpace(b.String())
}

func TestDocuments(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		doc  string
		want string // values; or, with a first "!", a part of the error
	}{
		"a BEAM": {[]string{"-prefix", "beam"}, beam, "beam.context_switches=5120 beam.gc.count=340 beam.gc.words_reclaimed=905000 beam.io.in=20480 beam.io.out=65536 " +
			"beam.memory.atom=700000 beam.memory.binary=450000 beam.memory.code=1.2e+07 beam.memory.ets=3e+06 beam.memory.processes=9.5e+06 " +
			"beam.port_count=12 beam.process_count=310 beam.reductions=2.5e+06 beam.run_queue=0 beam.scheduler_usage.1=0.0312 beam.scheduler_usage.2=1.58e-05"},
		"without a prefix":               {nil, `{"a":{"b":1}}`, "a.b=1"},
		"what is no number is left out":  {nil, `{"a":"1","b":true,"c":null,"d":2}`, "d=2"},
		"an array keeps its key":         {nil, `{"q":[{"n":1},{"n":2}],"r":[{"n":3}]}`, "q.0.n=1 q.1.n=2 r.0.n=3"},
		"or drops it":                    {[]string{"-array-key", "drop", "-prefix", "p"}, `{"q":[{"n":1}]}`, "p.0.n=1"},
		"as -compat does":                {[]string{"-compat"}, `{"q":[{"n":1}]}`, "custom.0.n=1"},
		"-compat leaves a prefix":        {[]string{"-compat", "-prefix", "p"}, `{"q":[{"n":1}]}`, "p.0.n=1"},
		"or is named by a field":         {[]string{"-array-key", "field:name"}, `{"q":[{"name":"mail out.1","n":1},{"name":7,"n":2},{"n":3}]}`, "q.mail_out_1.n=1 q.7.n=2 q.7.name=7 q.2.n=3"},
		"an array at the top":            {[]string{"-prefix", "p"}, `[{"n":1},[{"n":2}]]`, "p.0.n=1 p.1.0.n=2"},
		"null and numbers in an array":   {nil, `{"a":[null,1,"x",{"n":2}]}`, "a.3.n=2"},
		"keys that names cannot hold":    {nil, `{"a b/c":1,"":2,"é":3,"x.y":4,".z":5}`, "_=2 _z=5 a_b_c=1 x.y=4 __=3"},
		"-include and -exclude":          {[]string{"-prefix", "p", "-include", "^p\\.a", "-exclude", "b$"}, `{"a":1,"ab":2,"c":3}`, "p.a=1"},
		"a document without numbers":     {nil, `{"a":"x"}`, "!has no number"},
		"a number alone":                 {nil, `5`, "!has no number"},
		"null":                           {nil, `null`, "!has no number"},
		"a page":                         {nil, `<html>`, "!is not JSON"},
		"half a document":                {nil, `{"a":1`, "!is not JSON"},
		"nothing":                        {nil, ``, "!is not JSON"},
		"a number that is too large":     {nil, `{"a":1e999}`, "!is not JSON"},
		"a deep document does not crash": {nil, strings.Repeat("[", 100_000), "!is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := flag.NewFlagSet("json", flag.ContinueOnError)
			c := Plugin.New(fs).(*collector)
			c.stdinFile = strings.NewReader(tt.doc)
			if err := fs.Parse(append([]string{"-stdin"}, tt.args...)); err != nil {
				t.Fatal(err)
			}
			if err := c.CheckFlags(); err != nil {
				t.Fatal(err)
			}
			values, err := c.Collect(t.Context())
			if part, bad := strings.CutPrefix(tt.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), part) || len(values) > 0 {
					t.Errorf("Collect = %s, %v, want %q", lines(values), err, part)
				}
			} else if got := lines(values); got != tt.want || err != nil {
				t.Errorf("Collect = %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{}, {"-url", "http://x", "-stdin"}, {"-stdin", "-prefix", "a b"}, {"-stdin", "-prefix", "a..b"}, {"-stdin", "-prefix", "a.*"}, {"-stdin", "-array-key", "field:"}, {"-stdin", "-array-key", "x"}, {"-stdin", "-diff", "("}} {
		if _, err := plugin.Embed(Plugin, args); err == nil {
			t.Errorf("Embed(%q) = nil, want an error", args)
		}
	}
}

// Through a real server: a status that is not 200 has no values, however well its body reads.
func TestAServer(t *testing.T) {
	status, n := 200, 100
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		n += 60
		fmt.Fprintf(w, `{"jobs":%d,"waiting":5}`, n)
	}))
	defer server.Close()
	e, err := plugin.Embed(Plugin, []string{"-url", server.URL, "-prefix", "q", "-diff", "^q.jobs$"})
	if err != nil {
		t.Fatal(err)
	}
	if values, err := e.Values(t.Context()); err != nil || lines(values) != "q.waiting=5" {
		t.Errorf("the first turn: %s, %v, want no zero for the counter", lines(values), err)
	}
	if defs := e.Definitions(); len(defs) != 0 {
		t.Errorf("definitions = %v, want none", defs)
	}
	status = 503
	if values, err := e.Values(t.Context()); err == nil || len(values) > 0 || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Errorf("a 503: %s, %v, want no value", lines(values), err)
	}
}

func TestACounterIsWhatDiffSays(t *testing.T) {
	c := &collector{}
	if c.Counters() != nil {
		t.Error("without -diff there are counters")
	}
	c.diff = regexp.MustCompile("^q.jobs$")
	if is := c.Counters(); !is("q.jobs") || is("q.jobs2") {
		t.Error("-diff is not what says which are counters")
	}
}

func TestADocumentThatIsTooLarge(t *testing.T) {
	c := &collector{stdin: true, stdinFile: io.LimitReader(blanks{}, 100<<20)}
	if _, err := c.Collect(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 4194304 bytes") {
		t.Errorf("Collect = %v", err)
	}
}

type blanks struct{}

func (blanks) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// Whatever a document holds, its names are ones that may be sent, short of their length.
func FuzzParse(f *testing.F) {
	f.Add([]byte(beam), "keep")
	f.Add([]byte(`{"a..b":[{"name":"x.y","n":1},{"name":null,"n":2}],"":{"":-0.0}}`), "field:name")
	f.Add([]byte(`[[[{"\u0000":1e308}]]]`), "drop")
	f.Fuzz(func(t *testing.T, doc []byte, arrayKey string) {
		c := &collector{arrayKey: arrayKey, prefix: "p"}
		values, err := c.parse(doc)
		if len(values) == 0 && err == nil {
			t.Errorf("parse(%q) has no value and no error", doc)
		}
		for _, v := range values {
			if len(v.Name) < 200 && !saba.ValidMetricName(v.Name) || strings.Contains(v.Name, "..") || strings.HasSuffix(v.Name, ".") {
				t.Errorf("parse(%q) has the name %q", doc, v.Name)
			}
		}
	})
}
