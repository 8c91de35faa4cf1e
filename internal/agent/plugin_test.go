package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

const testMinute = 1_700_000_040 // a whole minute

func TestParseValues(t *testing.T) {
	re := regexp.MustCompile
	own := MetricPlugin{UsePluginTime: true}
	for name, tt := range map[string]struct {
		out      string
		p        MetricPlugin
		want     []string // name, value, time
		problems int
	}{
		"tabs":                                {out: "a.b\t12.5\t1700000000\n", want: []string{"custom.a.b 12.5 1700000040"}},
		"blanks of any kind and number":       {out: "a  1 \t 2\na2\u00a01\u30002\r\n", want: []string{"custom.a 1 1700000040", "custom.a2 1 1700000040"}},
		"no newline at the end":               {out: "a\t1\t2", want: []string{"custom.a 1 1700000040"}},
		"two fields are not a value":          {out: "a 1\n\n   \nwarning\n"},
		"a fourth field is ignored":           {out: "a 1 2 3\n", want: []string{"custom.a 1 1700000040"}},
		"the time may be anything":            {out: "a 1 now\n", want: []string{"custom.a 1 1700000040"}},
		"exponents and hexadecimal":           {out: "a 1e3 0\nb 0x1p4 0\nc -0.5 0\n", want: []string{"custom.a 1000 1700000040", "custom.b 16 1700000040", "custom.c -0.5 1700000040"}},
		"not a number is not a value":         {out: "a nan 0\nb NaN 0\nc inf 0\nd -Infinity 0\ne 1e999 0\nf 1 0\n", want: []string{"custom.f 1 1700000040"}, problems: 5},
		"words are not values":                {out: "a one 0\nb 1 0\n", want: []string{"custom.b 1 1700000040"}, problems: 1},
		"of two lines with one key the last":  {out: "a 1 0\nb 2 0\na 3 0\n", want: []string{"custom.a 3 1700000040", "custom.b 2 1700000040"}},
		"names that no server takes":          {out: "ä 1 0\na/b 1 0\n" + strings.Repeat("x", 249) + " 1 0\nok 1 0\n", want: []string{"custom.ok 1 1700000040"}, problems: 3},
		"an include pattern":                  {out: "cpu.user 1 0\nmem.user 1 0\n", p: MetricPlugin{Include: re("^cpu")}, want: []string{"custom.cpu.user 1 1700000040"}},
		"an exclude pattern wins":             {out: "cpu.user 1 0\ncpu.idle x 0\n", p: MetricPlugin{Include: re("cpu"), Exclude: re("idle")}, want: []string{"custom.cpu.user 1 1700000040"}},
		"patterns do not see the prefix":      {out: "a 1 0\n", p: MetricPlugin{Exclude: re("custom")}, want: []string{"custom.a 1 1700000040"}},
		"the plugin's own time":               {out: "a 1 1700000000\na 2 1699999940\n", p: own, want: []string{"custom.a 1 1700000000", "custom.a 2 1699999940"}},
		"must be one":                         {out: "a 1 now\nb 1 1.5\nc 1 1700000000\n", p: own, want: []string{"custom.c 1 1700000000"}, problems: 2},
		"and not a quarter of an hour away":   {out: "a 1 1699999150\nb 1 1699999151\nc 1 1700000950\nd 1 1700000949\n", p: own, want: []string{"custom.b 1 1699999151", "custom.d 1 1700000949"}, problems: 2},
		"nor in milliseconds":                 {out: "a 1 1700000000000\n", p: own, problems: 1},
		"nor at the ends of time":             {out: "a 1 -9223372036854775808\nb 1 9223372036854775807\n", p: own, problems: 2},
		"many problems are told in few words": {out: strings.Repeat("a x 0\n", 1000), problems: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatherer{p: tt.p, at: testMinute}
			parseValues([]byte(tt.out), &g, time.Unix(1_700_000_050, 0))
			var got []string
			for _, v := range g.values {
				got = append(got, fmt.Sprintf("%s %v %d", v.Name, v.Value, v.Time))
			}
			equal(t, "values", got, tt.want)
			if n := len(g.problems) + g.more; n != tt.problems {
				t.Errorf("problems = %q and %d more, want %d", g.problems, g.more, tt.problems)
			}
		})
	}
}

func TestAPluginsValuesAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 2 * maxPluginValues {
		fmt.Fprintf(&b, "a%d 1 0\n", i)
	}
	g := gatherer{at: testMinute}
	parseValues([]byte(b.String()), &g, time.Unix(testMinute, 0))
	if len(g.values) != maxPluginValues || len(g.problems) != 1 {
		t.Errorf("%d values and problems %q, want %d and one", len(g.values), g.problems, maxPluginValues)
	}
}

// Whatever a plugin prints, parsing never panics; what it accepts may be sent, and reads the same again.
func FuzzParseValues(f *testing.F) {
	f.Add([]byte("memcached.cmd.get\t12.5\t1700000000\n"), false)
	f.Add([]byte("a 0x1p-2 1\r\n# a comment line\nb nan x\nb 1e309 1"), true)
	f.Add([]byte("a 1 9223372036854775807\n\x00 1 1\n\xff\xfe 2 2"), true)
	f.Fuzz(func(t *testing.T, out []byte, ownTime bool) {
		now := time.Unix(1_700_000_050, 0)
		p := MetricPlugin{UsePluginTime: ownTime}
		g := gatherer{p: p, at: testMinute}
		parseValues(out, &g, now)
		if err := g.problem(); err != nil && len(err.Error()) > maxError+len("…") {
			t.Errorf("the problems have %d bytes", len(err.Error()))
		}
		values := g.values
		var again strings.Builder
		for _, v := range values {
			if !saba.ValidMetricName(v.Name) || math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
				t.Errorf("parseValues(%q) has %v, which no server takes", out, v)
			}
			if reason, ok := v.Acceptable(now); !ok {
				t.Errorf("parseValues(%q) has %v, which is %s", out, v, reason)
			}
			fmt.Fprintf(&again, "%s %v %d\n", strings.TrimPrefix(v.Name, customPrefix), v.Value, v.Time)
		}
		second := gatherer{p: p, at: testMinute}
		parseValues([]byte(again.String()), &second, now)
		if len(values)+len(second.values) > 0 && !reflect.DeepEqual(second.values, values) || len(second.problems) > 0 {
			t.Errorf("parseValues(%q) = %v; written and read again: %v, %q", out, values, second.values, second.problems)
		}
	})
}

func TestParseDefinitions(t *testing.T) {
	const graph = `{"graphs":{"q":{"label":"Queue","unit":"integer","metrics":[{"name":"ready","label":"Ready","stacked":true}]}}}`
	one := []saba.GraphDef{{Name: "custom.q", DisplayName: "Queue", Unit: saba.UnitInteger,
		Metrics: []saba.GraphDefMetric{{Name: "custom.q.ready", DisplayName: "Ready", Stacked: true}}}}
	for name, tt := range map[string]struct {
		out      string
		want     []saba.GraphDef
		problems int
		wantErr  string
	}{
		"a header and JSON":               {out: "# mackerel-agent-plugin\n" + graph, want: one},
		"with the version":                {out: "#mackerel-agent-plugin version=1 x=y\n" + graph, want: one},
		"with what follows":               {out: "# mackerel-agent-plugin\n\n" + graph + "\njunk", want: one},
		"lines of another system":         {out: "# mackerel-agent-plugin\r\n" + graph + "\r\n", want: one},
		"keys in any case":                {out: "# mackerel-agent-plugin\n" + strings.ReplaceAll(graph, "graphs", "Graphs"), want: one},
		"unknown keys are ignored":        {out: "# mackerel-agent-plugin\n" + strings.Replace(graph, `"unit"`, `"type":"x","scale":1,"unit"`, 1), want: one},
		"another version":                 {out: "# mackerel-agent-plugin version=2\n" + graph, wantErr: "no graph definitions"},
		"values in place of definitions":  {out: "q.ready\t1\t2\n", wantErr: "no graph definitions"},
		"nothing":                         {out: "", wantErr: "no graph definitions"},
		"a header without a newline":      {out: "# mackerel-agent-plugin", wantErr: "no graph definitions"},
		"a longer word":                   {out: "# mackerel-agent-plugins\n" + graph, wantErr: "no graph definitions"},
		"no JSON":                         {out: "# mackerel-agent-plugin\nq", wantErr: "JSON"},
		"other JSON":                      {out: "# mackerel-agent-plugin\n[1]", wantErr: "JSON"},
		"no graphs":                       {out: "# mackerel-agent-plugin\n{}"},
		"no unit is a float":              {out: "# mackerel-agent-plugin\n{\"graphs\":{\"q\":{}}}", want: []saba.GraphDef{{Name: "custom.q", Unit: saba.UnitFloat}}},
		"an unknown unit too, with words": {out: "# mackerel-agent-plugin\n{\"graphs\":{\"q\":{\"unit\":\"parsec\"}}}", want: []saba.GraphDef{{Name: "custom.q", Unit: saba.UnitFloat}}, problems: 1},
		"wildcards": {
			out: "# mackerel-agent-plugin\n" + `{"graphs":{"docker.#":{"metrics":[{"name":"*","label":"%1"}]}}}`,
			want: []saba.GraphDef{{Name: "custom.docker.#", Unit: saba.UnitFloat,
				Metrics: []saba.GraphDefMetric{{Name: "custom.docker.#.*", DisplayName: "%1"}}}}},
		"an impossible name costs only itself": {
			out:  "# mackerel-agent-plugin\n" + `{"graphs":{"a b":{},"#.#":{},"q":{"metrics":[{"name":"x y"},{"name":"z"}]}}}`,
			want: []saba.GraphDef{{Name: "custom.q", Unit: saba.UnitFloat, Metrics: []saba.GraphDefMetric{{Name: "custom.q.z"}}}}, problems: 3},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems, err := parseDefinitions([]byte(tt.out))
			if !reflect.DeepEqual(got, tt.want) || len(problems) != tt.problems {
				t.Errorf("parseDefinitions = %+v, %q, want %+v and %d problems", got, problems, tt.want, tt.problems)
			}
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("parseDefinitions = %v, want %q", err, tt.wantErr)
			}
		})
	}
}

// Whatever a plugin prints, its definitions are ones that the server takes.
func FuzzParseDefinitions(f *testing.F) {
	f.Add([]byte("# mackerel-agent-plugin version=1\n{\"graphs\":{\"q.#\":{\"label\":\"Q\",\"unit\":\"integer\",\"metrics\":[{\"name\":\"*\",\"label\":\"%1\",\"stacked\":true}]}}} junk"))
	f.Add([]byte("# mackerel-agent-plugin\n{\"graphs\":{\"\":{\"metrics\":null}}}"))
	f.Fuzz(func(t *testing.T, out []byte) {
		defs, _, _ := parseDefinitions(out)
		for _, d := range defs {
			if !saba.ValidGraphDefName(d.Name) || !d.Unit.Valid() {
				t.Errorf("parseDefinitions(%q) has the definition %+v", out, d)
			}
			for _, m := range d.Metrics {
				if !saba.ValidGraphDefName(m.Name) || !strings.HasPrefix(m.Name, d.Name+".") {
					t.Errorf("parseDefinitions(%q) has the metric %+v", out, m)
				}
			}
		}
	})
}

// The shell script of the talk that explained the protocol: a count of processes, and how to draw it.
const processes = `#!/bin/sh
if [ "$MACKEREL_AGENT_PLUGIN_META" = "1" ]; then
	echo "# mackerel-agent-plugin"
	echo '{"graphs":{"processes":{"label":"Processes","unit":"integer","metrics":[{"name":"count","label":"Count"}]}}}'
	exit 0
fi
[ "${MACKEREL_AGENT_PLUGIN_META+set}" = set ] || { echo "not set" >&2; exit 1; }
n=0
for p in /proc/[0-9]*; do n=$((n+1)); done
printf 'processes.count\t%d\t%d\n' $n "$(date +%s)"
echo counted >&2
`

func TestAShellScriptIsAPlugin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "processes.sh")
	if err := os.WriteFile(file, []byte(processes), 0o755); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	o := Options{Log: slog.New(slog.NewTextHandler(log, nil)), Environ: PluginEnviron(testEnviron, Config{})}
	o.Config.Metrics = []MetricPlugin{{Name: "processes", Command: Command{Args: []string{file}}}}
	p := newPlugins(o)[0]
	values, err := p.values(t.Context(), testMinute)
	if err != nil || len(values) != 1 || values[0].Name != "custom.processes.count" || values[0].Value < 2 || values[0].Time != testMinute {
		t.Errorf("values = %v, %v, want the count of processes", values, err)
	}
	if !strings.Contains(log.String(), "stderr=counted") {
		t.Errorf("the log does not have its stderr: %s", log)
	}
	defs, _, err := p.askDefinitions(t.Context(), make(chan struct{}, 1))
	if err != nil || len(defs) != 1 || defs[0].Metrics[0].Name != "custom.processes.count" {
		t.Errorf("definitions = %+v, %v", defs, err)
	}
}

func TestAPluginThatHangsIsNotStartedAgain(t *testing.T) {
	left := make(chan struct{})
	runs := 0
	p := &plugin{pluginState: &pluginState{}, log: slog.New(slog.DiscardHandler), run: func(context.Context, Command, []string) (Result, error) {
		if runs++; runs == 1 {
			return Result{}, &TimeoutError{After: time.Second, Left: left}
		}
		return Result{Stdout: []byte("a 1 0\n")}, nil
	}}
	for range 3 {
		if _, err := p.values(t.Context(), testMinute); err == nil {
			t.Error("values = nil error while the first run hangs")
		}
	}
	if runs != 1 {
		t.Errorf("%d runs while the first one hangs, want 1", runs)
	}
	close(left)
	if v, err := p.values(t.Context(), testMinute); err != nil || len(v) != 1 {
		t.Errorf("values after its end = %v, %v, want one", v, err)
	}
}

func TestAPluginThatFailsSaysWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want string
	}{
		"with no value":          {"exit 3", "exit status 3"},
		"with too much to say":   {"head -c 2000000 /dev/zero", "more than 1048576 bytes"},
		"with a daemon":          {"setsid sleep 4 & echo a 1 0", "left a process behind"},
		"with children":          {"sleep 30 & echo a 1 0", "left processes behind, which were ended"},
		"with a value that is ?": {"echo a ? 0", `value of "a" is not a number: "?"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Log: slog.New(slog.DiscardHandler), Environ: testEnviron}
			o.Config.Metrics = []MetricPlugin{{Name: "x", Command: script(tt.text)}}
			if _, err := newPlugins(o)[0].values(t.Context(), testMinute); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("values = %v, want %q", err, tt.want)
			}
		})
	}
}

// Whatever a plugin prints, a turn of it writes little into the log.
func TestAPluginCannotFloodTheLog(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want int // values
	}{
		"binary rubbish":            {"head -c 300000 /dev/urandom; head -c 300000 /dev/urandom >&2", 0},
		"control characters":        {"i=0; while [ $i -lt 400 ]; do printf 'a\\001\\002\\003 \\001\\002 \\003\\n'; i=$((i+1)); done; head -c 5000 /dev/zero | tr '\\0' '\\001' >&2", 0},
		"100 MB of an error":        {"head -c 100000000 /dev/zero | tr '\\0' '\\n' >&2; echo a 1 0", 1},
		"not a number, 1,000 times": {"i=0; while [ $i -lt 1000 ]; do echo a$i NaN 0; i=$((i+1)); done; echo b 1 0", 1},
		"10,000 metrics":            {"i=0; while [ $i -lt 10000 ]; do echo a.b$i $i 0; i=$((i+1)); done", 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logBuffer{}
			o := Options{Log: slog.New(slog.NewTextHandler(log, nil)), Environ: testEnviron}
			o.Config.Metrics = []MetricPlugin{{Name: "x", Command: script(tt.text)}}
			p := newPlugins(o)[0]
			values, err := p.values(t.Context(), testMinute)
			if tt.want > 0 && len(values) != tt.want {
				t.Errorf("%d values, %v, want %d", len(values), err, tt.want)
			}
			if err != nil {
				p.log.Warn("a source brings less than it should", "error", err) // as the schedule does
			}
			if n := len(log.String()); n > 1024 {
				t.Errorf("a turn wrote %d bytes into the log: %s", n, log)
			}
		})
	}
}

// A plugin that has to be stopped each time is run less and less often, and each minute again
// as soon as it ends by itself.
func TestAPluginThatIsStoppedRestsBetweenItsRuns(t *testing.T) {
	hangs := true
	var runs []int64
	p := &plugin{pluginState: &pluginState{}, log: slog.New(slog.DiscardHandler)}
	minute := int64(0)
	p.run = func(context.Context, Command, []string) (Result, error) {
		runs = append(runs, minute)
		if hangs {
			return Result{}, &TimeoutError{After: 30 * time.Second}
		}
		return Result{Stdout: []byte("a 1 0\n")}, nil
	}
	turns := func(from, to int64) {
		runs = nil
		for minute = from; minute < to; minute++ {
			values, err := p.values(t.Context(), testMinute+60*minute)
			if hangs && err == nil || len(values) > 0 && err != nil {
				t.Errorf("minute %d: %v, %v", minute, values, err)
			}
		}
	}
	turns(0, 25)
	equal(t, "minutes of runs that hang", runs, []int64{0, 1, 2, 4, 8, 13, 18, 23})
	hangs = false
	turns(25, 32)
	equal(t, "minutes of runs that end", runs, []int64{28, 29, 30, 31})
	hangs = true
	turns(32, 35)
	// The clock is set back by an hour: the plugin does not rest that long.
	hangs = false
	turns(-25, -22)
	equal(t, "minutes after the clock was set back", runs, []int64{-25, -24, -23})
}

func TestHowAPluginEndedIsRecorded(t *testing.T) {
	o := Options{Log: slog.New(slog.DiscardHandler), Environ: testEnviron}
	o.Record = NewRecorder(o.Log, "abc1234", time.Now())
	o.Config.Metrics = []MetricPlugin{{Name: "x", Command: script("echo a 1 0; echo it is tired >&2; exit 3")}, {Name: "y", Command: Command{Args: []string{"/no/such/plugin"}}}}
	for _, p := range newPlugins(o) {
		_, _ = p.values(t.Context(), testMinute) // what is recorded counts here
	}
	got := map[string]SourceStatus{}
	for _, s := range o.Record.Status(time.Now()).Sources {
		got[s.Name] = s
	}
	if x := got["x"]; x.ExitCode == nil || *x.ExitCode != 3 || x.Stderr != "it is tired" {
		t.Errorf("recorded %+v, want its exit status and stderr", x)
	}
	if y := got["y"]; y.ExitCode == nil || *y.ExitCode != exitNotFound {
		t.Errorf("recorded %+v, want that it was not found", y)
	}
}

// BenchmarkPluginOfManyValues is the agent's side of a minute of a plugin that prints as much as is taken.
func BenchmarkPluginOfManyValues(b *testing.B) {
	var out bytes.Buffer
	for i := range maxPluginValues {
		fmt.Fprintf(&out, "group%d.metric%d\t%d\t0\n", i/100, i%100, i)
	}
	o := Options{Log: slog.New(slog.DiscardHandler), Config: Config{Metrics: []MetricPlugin{{Name: "wide"}}}}
	o.run = func(context.Context, Command, []string) (Result, error) { return Result{Stdout: out.Bytes()}, nil }
	p := newPlugins(o)[0]
	b.ReportAllocs()
	for b.Loop() {
		if v, err := p.values(b.Context(), testMinute); len(v) != maxPluginValues || err != nil {
			b.Fatalf("%d values, %v", len(v), err)
		}
	}
}
