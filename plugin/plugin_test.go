package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// A fake is the target and the collector of a test.
type fake struct {
	values []saba.Value
	next   []saba.Value // after the first collection, unless nil
	err    error
	wait   bool // until the context ends
}

func (f *fake) Collect(ctx context.Context) ([]saba.Value, error) {
	if f.wait {
		<-ctx.Done()
		return nil, fmt.Errorf("ask fake:1: %w", ctx.Err())
	}
	v := f.values
	if f.next != nil {
		f.values = f.next
	}
	return v, f.err
}

// cache returns a plugin that collects what f says.
func cache(f *fake) Plugin {
	return Plugin{
		Name: "cache", Short: "commands of a cache",
		Graphs: []Graph{
			{Name: "cmd", Label: "Commands", Unit: saba.UnitInteger, Metrics: []Metric{
				{Name: "get", Label: "Get", Counter: true, Stacked: true},
				{Name: "set", Counter: true},
			}},
			{Name: "size.#", Unit: saba.UnitBytes, Metrics: []Metric{{Name: "*", Label: "%1 %2"}}},
			{Metrics: []Metric{{Name: "uptime"}}},
		},
		New: func(fs *flag.FlagSet) Collector {
			fs.String("host", "localhost", "`host` to ask")
			return f
		},
	}
}

func TestTitleCase(t *testing.T) {
	for in, want := range map[string]string{
		"gostats": "Gostats", "redis6379": "Redis6379", "php-fpm": "Php-Fpm", "my_app": "My_app", "foo.bar": "Foo.bar",
		"uWSGI": "UWSGI", "6379redis": "6379Redis", "docker memory": "Docker Memory", "a.1b": "A.1B", "": "",
	} {
		if got := titleCase(in); got != want {
			t.Errorf("titleCase(%q) = %q, want %q", in, got, want)
		}
	}
	if got := autoLabel("docker.memory.#"); got != "Docker Memory" {
		t.Errorf("autoLabel = %q", got)
	}
}

// Two instances on one host have titles that differ.
func TestTitlesFollowThePrefix(t *testing.T) {
	for _, tt := range []struct{ name, label, prefix, want string }{
		{"mysql", "MySQL", "mysql", "MySQL"}, {"mysql", "MySQL", "mysql3307", "MySQL3307"}, {"mysql", "MySQL", "shop.mysql", "Shop.MySQL"},
		{"mysql", "MySQL", "shop", "Shop"}, {"proc-fd", "Open Files", "proc-fd-web", "Open Files-Web"}, {"redis", "", "redis6380", "Redis6380"}, {"json", "", "", ""},
	} {
		if got := (Plugin{Name: tt.name, Label: tt.label}).title(tt.prefix); got != tt.want {
			t.Errorf("the title of %s with the prefix %q begins with %q, want %q", tt.name, tt.prefix, got, tt.want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.c", false}, {"a.b", "a", false}, {"a.b", "a.b.c", false},
		{"a.#.rx", "a.eth0.rx", true}, {"a.#.rx", "a.eth0.rx_bytes", false}, {"a.#.rx", "a..rx", false},
		{"a.#.*", "a.x.y", true}, {"a.#.*", "a.x.y.z", false}, {"*", "", false},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("matches(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	if err := cache(&fake{}).Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	for name, change := range map[string]func(p *Plugin){
		"a name with a blank":             func(p *Plugin) { p.Name = "my cache" },
		"a name in capitals":              func(p *Plugin) { p.Name = "Cache" },
		"a name that begins with -":       func(p *Plugin) { p.Name = "-cache" },
		"no name":                         func(p *Plugin) { p.Name = "" },
		"no New":                          func(p *Plugin) { p.New = nil },
		"no graphs":                       func(p *Plugin) { p.Graphs = nil },
		"an unknown unit":                 func(p *Plugin) { p.Graphs[0].Unit = "parsec" },
		"a graph without metrics":         func(p *Plugin) { p.Graphs[0].Metrics = nil },
		"a metric with a dot":             func(p *Plugin) { p.Graphs[0].Metrics[0].Name = "a.b" },
		"a metric without a name":         func(p *Plugin) { p.Graphs[0].Metrics[0].Name = "" },
		"half a wildcard":                 func(p *Plugin) { p.Graphs[0].Metrics[0].Name = "a*" },
		"two wildcards that group":        func(p *Plugin) { p.Graphs[1].Name = "#.#" },
		"per minute in a unit per second": func(p *Plugin) { p.Graphs[0].Unit = saba.UnitBytesPerSec },
		"a metric that is there two":      func(p *Plugin) { p.Graphs[0].Metrics[1].Name = "get" },
	} {
		p := cache(&fake{})
		change(&p)
		if p.Check() == nil {
			t.Errorf("%s: Check = nil, want an error", name)
		}
		if _, err := Embed(p, nil); err == nil {
			t.Errorf("%s: Embed = nil, want an error", name)
		}
	}
}

func TestACounterBecomesAChangePerMinute(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for name, tt := range map[string]struct {
		old, value float64
		after      time.Duration
		want       float64
		ok         bool
	}{
		"a minute":                     {1000, 1240, time.Minute, 240, true},
		"half as much again":           {1000, 1240, 90 * time.Second, 160, true},
		"a second":                     {50, 100, time.Second, 3000, true},
		"no change is a zero":          {50, 50, time.Minute, 0, true},
		"less than a second":           {50, 100, 999 * time.Millisecond, 0, false},
		"ten minutes":                  {0, 100, 10 * time.Minute, 10, true},
		"more":                         {0, 100, 10*time.Minute + time.Second, 0, false},
		"a reset":                      {1000, 10, time.Minute, 0, false},
		"a time that is still to come": {0, 100, -time.Minute, 0, false},
	} {
		got, ok := total{tt.old, now}.rate(tt.value, now.Add(tt.after), time.Minute)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: rate = %v, %v, want %v, %v", name, got, ok, tt.want, tt.ok)
		}
	}
}

// values returns what an embedded plugin brings, as lines.
func values(t *testing.T, e *Embedded) string {
	t.Helper()
	got, err := e.Values(t.Context())
	var lines []string
	for _, v := range got {
		lines = append(lines, v.Name+"="+number(v.Value))
	}
	if err != nil {
		lines = append(lines, "error: "+err.Error())
	}
	return strings.Join(lines, " ")
}

func TestEmbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		e, err := Embed(cache(f), []string{"-metric-key-prefix", "c1", "-host", "x"})
		if err != nil {
			t.Fatal(err)
		}
		step := func(what string, after time.Duration, want string, set ...saba.Value) {
			t.Helper()
			time.Sleep(after)
			f.values = set
			if got := values(t, e); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		get := func(v float64) saba.Value { return saba.Value{Name: "cmd.get", Value: v} }
		step("the first reading of a counter says nothing", 0, "c1.uptime=5", get(100), saba.Value{Name: "uptime", Value: 5})
		step("the second does", time.Minute, "c1.cmd.get=30 c1.size.a.b=7", get(130), saba.Value{Name: "size.a.b", Value: 7})
		step("by the time that passed", 30*time.Second, "c1.cmd.get=60", get(160))
		step("too soon", time.Second/2, "", get(170))
		step("which costs nothing", time.Second/2+29*time.Second, "c1.cmd.get=60", get(190))
		step("a reset", time.Minute, "", get(5))
		step("and after it", time.Minute, "c1.cmd.get=5", get(10))
		step("it is missing", time.Minute, "")
		step("and there again", time.Minute, "c1.cmd.get=10", get(30))
		step("a long gap", 11*time.Minute, "", get(1000))
		step("no number", time.Minute, `error: "cmd.get" is not finite: NaN`, get(math.NaN()))
		step("nobody declared it", time.Minute, `c1.cmd.get=10 error: "cmd.gets" was collected, which no graph declares`, get(1020), saba.Value{Name: "cmd.gets"})
		step("twice", time.Minute, `c1.cmd.get=10 error: "cmd.get" was collected twice`, get(1030), get(1031))
		step("no name", time.Minute, `error: "c1.size.a b.c" cannot be the name of a metric`, saba.Value{Name: "size.a b.c"})
		f.err = errors.New("ask fake:1: it is tired")
		step("an error", time.Minute, "error: ask fake:1: it is tired")
		step("an error with values", time.Minute, "c1.cmd.get=10 error: ask fake:1: it is tired", get(1060))
		f.wait = true
		began := time.Now()
		step("it hangs", 0, "error: ask fake:1: context deadline exceeded")
		if d := time.Since(began); d != DefaultTimeout {
			t.Errorf("it hung for %v, want %v", d, DefaultTimeout)
		}
	})
}

// A machine that slept, or a clock that was set, makes no rate: nobody knows how long it counted.
func TestNoRateAcrossAClockThatWasSet(t *testing.T) {
	for name, tt := range map[string]struct {
		monotonic, wall time.Duration
		want            bool
	}{
		"a steady clock":         {time.Minute, time.Minute, true},
		"a clock that is slewed": {time.Minute, time.Minute + 500*time.Millisecond, true},
		"set forward":            {time.Minute, time.Minute + 3*time.Second, false},
		"set back":               {time.Minute, -59 * time.Minute, false},
		"a machine that slept":   {time.Minute, 9 * time.Minute, false},
	} {
		if got := agree(tt.monotonic, tt.wall); got != tt.want {
			t.Errorf("%s: agree(%v, %v) = %v, want %v", name, tt.monotonic, tt.wall, got, tt.want)
		}
	}
}

func TestEmbedRefusesWhatAnAgentCannotDo(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"-version"}, {"-explain"}, {"-hots", "x"}, {"x"}, {"-metric-key-prefix", "a..b"}, {"-metric-key-prefix", "a b"}, {"-metric-key-prefix", "a.#"}, {"-metric-key-prefix", "a."}, {"-timeout", "0"}, {"-timeout", "x"}} {
		if _, err := Embed(cache(&fake{}), args); err == nil {
			t.Errorf("Embed(%q) = nil, want an error", args)
		}
	}
}

func TestATimeoutMayBeInSeconds(t *testing.T) {
	for s, want := range map[string]time.Duration{"5": 5 * time.Second, "1500ms": 1500 * time.Millisecond, "1m": time.Minute} {
		if in, err := cache(&fake{}).newInstance([]string{"-timeout", s}); err != nil || in.timeout != want {
			t.Errorf("-timeout %s is %v, %v, want %v", s, in.timeout, err, want)
		}
	}
}

func TestDefinitions(t *testing.T) {
	e, err := Embed(cache(&fake{}), []string{"-metric-key-prefix=my-cache"})
	if err != nil {
		t.Fatal(err)
	}
	want := []saba.GraphDef{
		{Name: "custom.my-cache.cmd", DisplayName: "My-Cache Commands", Unit: saba.UnitInteger, Metrics: []saba.GraphDefMetric{
			{Name: "custom.my-cache.cmd.get", DisplayName: "Get", Stacked: true}, {Name: "custom.my-cache.cmd.set", DisplayName: "Set"}}},
		{Name: "custom.my-cache.size.#", DisplayName: "My-Cache Size", Unit: saba.UnitBytes, Metrics: []saba.GraphDefMetric{{Name: "custom.my-cache.size.#.*", DisplayName: "%1 %2"}}},
		{Name: "custom.my-cache", DisplayName: "My-Cache", Unit: saba.UnitFloat, Metrics: []saba.GraphDefMetric{{Name: "custom.my-cache.uptime", DisplayName: "Uptime"}}},
	}
	if got := e.Definitions(); !reflect.DeepEqual(got, want) {
		t.Errorf("Definitions = %+v, want %+v", got, want)
	}
	defs, err := cache(&fake{}).Definitions() // as no flag says otherwise
	if err != nil || len(defs) != 3 || defs[0].Name != "custom.cache.cmd" || defs[0].DisplayName != "Cache Commands" {
		t.Errorf("Definitions of the plugin = %+v, %v", defs, err)
	}
}

// run runs a plugin as its process would.
func run(t *testing.T, p Plugin, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = Run(t.Context(), p, args, System{Stdout: &out, Stderr: &err, Getenv: func(k string) string { return env[k] }})
	return code, out.String(), err.String()
}

func TestRunWords(t *testing.T) {
	meta := map[string]string{metaVariable: "1"}
	for name, tt := range map[string]struct {
		env            map[string]string
		args           []string
		code           int
		stdout, stderr string // beginnings
	}{
		"definitions": {meta, []string{"-metric-label-prefix", "Our"}, 0,
			"# mackerel-agent-plugin\n" + `{"graphs":{"cache":{"label":"Our","unit":"float","metrics":[{"name":"uptime","label":"Uptime","stacked":false}]},"cache.cmd":{"label":"Our Commands","unit":"integer","metrics":[{"name":"get","label":"Get","stacked":true},`, ""},
		"definitions ask nobody": {meta, nil, 0, "# mackerel-agent-plugin\n", ""},
		"help":                   {nil, []string{"-h"}, 0, "Prints commands of a cache.\n\nUsage:\n  mackerel-plugin-cache [FLAGS]\n\nFlags:\n  -explain ", ""},
		"version":                {nil, []string{"--version"}, 0, "mackerel-plugin-cache version " + saba.Version + "\n", ""},
		"a wrong flag":           {nil, []string{"-hots"}, 2, "", "mackerel-plugin-cache: flag provided but not defined: -hots; -h lists the flags\n"},
		"an operand":             {nil, []string{"x"}, 2, "", "mackerel-plugin-cache: unexpected argument \"x\""},
		"a failure":              {nil, nil, 1, "", "mackerel-plugin-cache: ask fake:1: refused\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, cache(&fake{err: errors.New("ask fake:1: refused")}), tt.env, tt.args...)
			if code != tt.code || !strings.HasPrefix(stdout, tt.stdout) || !strings.HasPrefix(stderr, tt.stderr) ||
				(stdout == "") != (tt.stdout == "") || (stderr == "") != (tt.stderr == "") {
				t.Errorf("Run = %d\n%s\n%s\nwant %d\n%s\n%s", code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

// A deaf collector does not hear that its time is over: a read of a pipe, for example.
type deaf struct{ end chan struct{} }

func (d deaf) Collect(context.Context) ([]saba.Value, error) {
	<-d.end
	return nil, nil
}

func TestRunLeavesBehindWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, start := deaf{make(chan struct{})}, time.Now()
		defer close(d.end)
		p := cache(&fake{})
		p.New = func(*flag.FlagSet) Collector { return d }
		code, stdout, stderr := run(t, p, map[string]string{"MACKEREL_PLUGIN_WORKDIR": t.TempDir()}, "-timeout", "2s")
		if took := time.Since(start); code != 1 || stdout != "" || stderr != "mackerel-plugin-cache: it does not end, though its time is over: context deadline exceeded\n" || took != 3*time.Second {
			t.Errorf("Run = %d, %q, %q after %v", code, stdout, stderr, took)
		}
	})
}

func TestRunKeepsCountersBetweenProcesses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		env := map[string]string{"MACKEREL_PLUGIN_WORKDIR": dir}
		step := func(what string, after time.Duration, v float64, want string, code int) {
			t.Helper()
			time.Sleep(after)
			f.values = []saba.Value{{Name: "cmd.get", Value: v}, {Name: "uptime", Value: 0.0000159757}}
			got, stdout, stderr := run(t, cache(f), env, "-host", "x")
			if want += fmt.Sprintf("cache.uptime\t0.0000159757\t%d\n", time.Now().Unix()); stdout != want || got != code {
				t.Errorf("%s: code %d, %q, %q, want %d, %q", what, got, stdout, stderr, code, want)
			}
		}
		rate := func(after time.Duration, r string) string {
			return fmt.Sprintf("cache.cmd.get\t%s\t%d\n", r, time.Now().Add(after).Unix())
		}
		step("the first", 0, 100, "", 0)
		step("the second", time.Minute, 220, rate(time.Minute, "120"), 0)
		f.err = errors.New("down")
		f.values = nil
		if code, stdout, _ := run(t, cache(f), env, "-host", "x"); code != 1 || stdout != "" {
			t.Errorf("a failure: code %d, %q", code, stdout)
		}
		f.err = nil
		step("a failure leaves the counters alone", time.Minute, 230, rate(time.Minute, "10"), 0)
		step("a reset", time.Minute, 0, "", 0)
		step("after it", time.Minute, 1.5, rate(time.Minute, "1.5"), 0)

		files, err := filepath.Glob(dir + "/*")
		if err != nil || len(files) != 1 || !strings.HasPrefix(filepath.Base(files[0]), "saba-plugin-cache-") {
			t.Fatalf("files = %v, %v, want one", files, err)
		}
		if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file has mode %v, %v, want 0600", info.Mode(), err)
		}
		for what, damage := range map[string]func() error{
			"torn":          func() error { return os.Truncate(files[0], 20) },
			"of others":     func() error { return os.WriteFile(files[0], []byte(`{"_lastTime":1,"get":5}`), 0o600) },
			"nulls":         func() error { return os.WriteFile(files[0], make([]byte, 100), 0o600) },
			"a symlink":     func() error { return errors.Join(os.Remove(files[0]), os.Symlink("/etc/passwd", files[0])) },
			"a broken link": func() error { return errors.Join(os.Remove(files[0]), os.Symlink("/nowhere/at/all", files[0])) },
		} {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			step(what, time.Minute, 100, "", 1)
			step("after "+what, time.Minute, 160, rate(time.Minute, "60"), 0)
		}
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile("/etc/passwd"); err != nil || !strings.Contains(string(b), "root") {
			t.Error("a symlink was followed")
		}
	})
}

func TestTwoTargetsHaveTwoStates(t *testing.T) {
	files := map[string]bool{}
	for _, args := range [][]string{{}, {"-host", "a"}, {"-host", "b"}, {"-host", "a", "-metric-key-prefix", "x"}} {
		in, err := cache(&fake{}).newInstance(args)
		if err != nil {
			t.Fatal(err)
		}
		files[in.stateFile(func(string) string { return "" })] = true
	}
	if len(files) != 4 || !files["/tmp/saba-plugin-cache-da39a3ee5e6b4b0d3255bfef95601890afd80709"] {
		t.Errorf("files = %v", files)
	}
	in, err := cache(&fake{}).newInstance([]string{"-tempfile", "/x/y"})
	if err != nil || in.stateFile(os.Getenv) != "/x/y" {
		t.Errorf("with -tempfile: %v, %v", in, err)
	}
}

func TestAStateThatCannotBeKeptIsSaid(t *testing.T) {
	f := &fake{values: []saba.Value{{Name: "uptime", Value: 1}}}
	code, stdout, stderr := run(t, cache(f), nil, "-tempfile", filepath.Join(t.TempDir(), "no", "file"))
	if code != 1 || !strings.HasPrefix(stdout, "cache.uptime\t1\t") || !strings.Contains(stderr, "keep what the next run needs") {
		t.Errorf("Run = %d, %q, %q, want the value and the error", code, stdout, stderr)
	}
}

func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{values: []saba.Value{{Name: "cmd.get", Value: 10}, {Name: "size.hot.a", Value: 5}, {Name: "traffic.sent", Value: 100}, {Name: "misses.all", Value: 0}}}
		f.next = []saba.Value{{Name: "cmd.get", Value: 12}, {Name: "size.hot.a", Value: 6}, {Name: "traffic.sent", Value: 120}, {Name: "misses.all", Value: 2}}
		p := cache(f)
		p.Graphs = slices.Insert(p.Graphs, 2,
			Graph{Name: "traffic", Unit: saba.UnitBytesPerSec, PerSecond: true, Metrics: []Metric{{Name: "sent", Counter: true}}},
			Graph{Name: "misses", PerSecond: true, Metrics: []Metric{{Name: "all", Counter: true}}})
		code, stdout, stderr := run(t, p, map[string]string{"MACKEREL_PLUGIN_WORKDIR": "/nowhere"}, "-explain")
		want := `Cache Commands (integer)
  cache.cmd.get  60        Get, per minute
  cache.cmd.set  no value  Set, per minute
Cache Size (bytes)
  cache.size.hot.a  6  hot a
Cache Traffic (bytes/sec)
  cache.traffic.sent  10  Sent
Cache Misses (float)
  cache.misses.all  1  All, per second
Cache (float)
  cache.uptime  no value  Uptime
`
		if code != 0 || stdout != want || stderr != "" {
			t.Errorf("Run = %d\n%s%s\nwant\n%s", code, stdout, stderr, want)
		}
	})
}

// A diary is a fake that remembers how often it was asked.
type diary struct {
	fake
	asked int
}

func (d *diary) Collect(ctx context.Context) ([]saba.Value, error) {
	d.asked++
	return d.fake.Collect(ctx)
}
func (d *diary) Resume(kept json.RawMessage) error { return json.Unmarshal(kept, &d.asked) }
func (d *diary) Keep() (json.RawMessage, error)    { return json.Marshal(d.asked) }

func TestAKeeperGoesOnWhereTheRunBeforeStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	step := func(what string, f fake, want int, wantErr string) {
		t.Helper()
		d := &diary{fake: f}
		p := cache(nil)
		p.Graphs = p.Graphs[2:] // without a counter
		p.New = func(*flag.FlagSet) Collector { return d }
		_, _, stderr := run(t, p, nil, "-tempfile", file)
		if d.asked != want || !strings.Contains(stderr, wantErr) || wantErr == "" && stderr != "" {
			t.Errorf("%s: asked %d times, %q, want %d, %q", what, d.asked, stderr, want, wantErr)
		}
	}
	up := fake{values: []saba.Value{{Name: "uptime", Value: 1}}}
	step("the first run", up, 1, "")
	step("the second", up, 2, "")
	step("a failure", fake{err: errors.New("down")}, 3, "down")
	step("it leaves what was kept alone", fake{}, 3, "")
	if err := os.WriteFile(file, []byte(`{"saba":1,"kept":"often"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	step("what another version kept", up, 1, "what the run before kept is not known")
	step("after it", up, 2, "")
}

// What takes two readings is there when it is explained, and leaves no trace.
func TestAKeeperIsExplainedFromTwoReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{fake: fake{next: []saba.Value{{Name: "uptime", Value: 2}}}}
		p := cache(nil)
		p.Graphs = p.Graphs[2:] // without a counter
		p.New = func(*flag.FlagSet) Collector { return d }
		code, stdout, stderr := run(t, p, map[string]string{"MACKEREL_PLUGIN_WORKDIR": "/nowhere"}, "-explain")
		if code != 0 || d.asked != 2 || stdout != "Cache (float)\n  cache.uptime  2  Uptime\n" || stderr != "" {
			t.Errorf("Run = %d, asked %d times\n%s%s", code, d.asked, stdout, stderr)
		}
	})
}

// A verse is a fake that prints in a form of its own.
type verse struct {
	fake
	every time.Duration
}

func (v *verse) Printing() (bool, time.Duration) { return v.every >= 0, v.every }
func (v *verse) Print(ctx context.Context) (string, error) {
	_, err := v.Collect(ctx)
	return "o cache\n", err
}

func TestAPrinterPrintsInItsOwnForm(t *testing.T) {
	for name, tt := range map[string]struct {
		v      verse
		code   int
		stdout string
		stderr string
	}{
		"once":                       {verse{}, 0, "o cache\n", ""},
		"again until it is ended":    {verse{every: 30 * time.Second}, 0, "o cache\no cache\no cache\n", ""},
		"with an error":              {verse{fake: fake{err: errors.New("tired")}}, 1, "o cache\n", "mackerel-plugin-cache: tired\n"},
		"no error ends what goes on": {verse{fake: fake{err: errors.New("tired")}, every: time.Minute}, 0, "o cache\no cache\n", strings.Repeat("mackerel-plugin-cache: tired\n", 2)},
		"a turn has a deadline":      {verse{fake: fake{wait: true}, every: time.Minute}, 0, "o cache\no cache\n", strings.Repeat("mackerel-plugin-cache: ask fake:1: context deadline exceeded\n", 2)},
		"not without its flag":       {verse{fake: fake{values: []saba.Value{{Name: "uptime", Value: 1}}}, every: -1}, 0, "cache.uptime\t1\t946684800\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := cache(nil)
				p.Graphs = p.Graphs[2:]
				p.New = func(*flag.FlagSet) Collector { return &tt.v }
				var out, errs strings.Builder
				ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
				defer cancel()
				code := Run(ctx, p, nil, System{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }})
				if code != tt.code || out.String() != tt.stdout || errs.String() != tt.stderr {
					t.Errorf("Run = %d, %q, %q, want %d, %q, %q", code, out.String(), errs.String(), tt.code, tt.stdout, tt.stderr)
				}
				if _, err := Embed(p, nil); (err != nil) != (tt.v.every >= 0) {
					t.Errorf("Embed = %v", err)
				}
			})
		})
	}
}

// Whatever is in a state file, reading it never panics, and what it accepts reads the same again.
func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"saba":1,"totals":{"cmd.get":{"value":12.5,"time":1700000000000000000}}}`))
	f.Add([]byte(`{"saba":1,"totals":{"x":{"value":1e999,"time":-1}}}`))
	f.Add([]byte(`{"saba":1,"kept":{"inode": 7, "at":"<"}}`))
	f.Add([]byte(`{"_lastTime":1700000000,"get":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseState(b)
		if err != nil {
			return
		}
		first, err := got.bytes()
		if err != nil {
			t.Fatalf("parseState(%q) = %v, which cannot be written: %v", b, got, err)
		}
		again, err := parseState(first)
		if second, _ := again.bytes(); err != nil || !reflect.DeepEqual(again.totals, got.totals) || !bytes.Equal(second, first) {
			t.Errorf("parseState(%q) = %v; written and read again: %v, %v", b, got, again, err)
		}
	})
}

// A keptOpen is a collector that keeps something open.
type keptOpen struct {
	fake
	hang   chan struct{} // Collect waits until it is closed; nil does not wait
	closed int
}

func (k *keptOpen) Collect(ctx context.Context) ([]saba.Value, error) {
	if k.hang != nil {
		<-k.hang
	}
	return k.fake.Collect(ctx)
}

func (k *keptOpen) Close() { k.closed++ }

// What a collector keeps open is closed when nobody asks it any more, and not while it is at work.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keptOpen{fake: fake{values: []saba.Value{{Name: "uptime", Value: 5}}}}
		p := cache(&k.fake)
		p.New = func(*flag.FlagSet) Collector { return k }
		sys := System{Stdout: io.Discard, Stderr: io.Discard, Getenv: func(name string) string {
			if name == "MACKEREL_PLUGIN_WORKDIR" {
				return t.TempDir()
			}
			return ""
		}}
		e, err := Embed(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		values(t, e)
		values(t, e)
		if k.closed != 0 {
			t.Error("it is closed between two turns")
		}
		e.Close()
		if k.closed != 1 {
			t.Errorf("Close closed it %d times", k.closed)
		}
		if code := Run(t.Context(), p, nil, sys); code != 0 || k.closed != 2 {
			t.Errorf("a process: exit code %d, closed %d times", code, k.closed-1)
		}
		k.hang = make(chan struct{})
		if code := Run(t.Context(), p, nil, sys); code != exitFailed || k.closed != 2 {
			t.Errorf("a process whose collection hangs: exit code %d, closed %d times, want %d and 0", code, k.closed-2, exitFailed)
		}
		close(k.hang)
	})
}
