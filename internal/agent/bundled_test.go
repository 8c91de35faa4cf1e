package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// A fakeRunner is a bundled plugin that does what its fields say.
type fakeRunner struct {
	collect func(ctx context.Context) ([]saba.Value, error)
	defs    func() []saba.GraphDef
}

func (r fakeRunner) Values(ctx context.Context, _ []string) ([]saba.Value, error) {
	return r.collect(ctx)
}
func (r fakeRunner) Definitions() []saba.GraphDef {
	if r.defs == nil {
		return nil
	}
	return r.defs()
}

// bundled adds a plugin that runs inside the agent to o.
func bundled(t *testing.T, o *Options, m MetricPlugin, r Runner) {
	t.Helper()
	m.Bundled = []string{"fake", "-x", "1"}
	o.Config.Metrics = append(o.Config.Metrics, m)
	err := Bundle(&o.Config, Bundled{Metric: func(name string, args []string) (Runner, error) {
		if name != "fake" || strings.Join(args, " ") != "-x 1" {
			t.Errorf("Bundle looks up %q with %q", name, args)
		}
		return r, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestABundledPluginGoesTheWayOfAProcess(t *testing.T) {
	o := Options{Log: slog.New(slog.DiscardHandler)}
	bundled(t, &o, MetricPlugin{Name: "x", Include: regexp.MustCompile("^q"), Exclude: regexp.MustCompile("idle")}, fakeRunner{
		collect: func(context.Context) ([]saba.Value, error) {
			return []saba.Value{{Name: "q.a", Value: 1}, {Name: "q.idle", Value: 2}, {Name: "r.a", Value: 3},
				{Name: "q.nan", Value: math.NaN()}, {Name: "q b", Value: 4}, {Name: "q.c", Value: 5}}, errors.New("one thing is missing")
		},
		defs: func() []saba.GraphDef { return []saba.GraphDef{{Name: "custom.q"}} },
	})
	p := newPlugins(o)[0]
	values, err := p.values(t.Context(), testMinute)
	var got []string
	for _, v := range values {
		got = append(got, fmt.Sprintf("%s %v %d", v.Name, v.Value, v.Time))
	}
	equal(t, "values", got, []string{"custom.q.a 1 1700000040", "custom.q.c 5 1700000040"})
	if err == nil || !strings.Contains(err.Error(), "q.nan") || !strings.Contains(err.Error(), `"q b"`) || !strings.Contains(err.Error(), "one thing is missing") {
		t.Errorf("error = %v, want all three that are missing", err)
	}
	defs, _, err := p.askDefinitions(t.Context(), make(chan struct{}, 1))
	if err != nil || len(defs) != 1 || defs[0].Name != "custom.q" {
		t.Errorf("definitions = %+v, %v", defs, err)
	}
}

// An environRunner is a bundled plugin that fails with its environment.
type environRunner struct{ fakeRunner }

func (environRunner) Values(_ context.Context, environ []string) ([]saba.Value, error) {
	return nil, errors.New(strings.Join(environ, " "))
}

func TestABundledPluginHasTheEnvironmentOfAProcess(t *testing.T) {
	o := Options{Log: slog.New(slog.DiscardHandler), Environ: []string{"LANG=C", "PASSWORD=a"}}
	bundled(t, &o, MetricPlugin{Name: "x", Command: Command{Env: []string{"PASSWORD=b"}}}, environRunner{})
	if _, err := newPlugins(o)[0].values(t.Context(), testMinute); err == nil || err.Error() != "LANG=C PASSWORD=a PASSWORD=b" {
		t.Errorf("the environment is %v, want that of the agent, then that of the table", err)
	}
}

func TestABundledPluginThatIsNotThere(t *testing.T) {
	var c Config
	c.Metrics = []MetricPlugin{{Name: "one", Bundled: []string{"redsi"}}, {Name: "two", Command: script("true")},
		{Name: "three", Bundled: []string{"redis", "-prot"}}}
	c.Checks = []CheckPlugin{{Name: "web", Bundled: []string{"htpt"}}, {Name: "own", Command: script("true")}}
	err := Bundle(&c, Bundled{
		Metric: func(name string, _ []string) (Runner, error) { return nil, errors.New("there is no " + name) },
		Check:  func(name string, _ []string) (CheckRunner, error) { return nil, errors.New("there is no " + name) },
	})
	if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), `[plugin.metrics.one]: plugin "redsi": there is no redsi`) || !strings.Contains(err.Error(), "metrics.three") ||
		!strings.Contains(err.Error(), `[plugin.checks.web]: plugin "htpt": there is no htpt`) {
		t.Errorf("Bundle = %v, want all three mistakes", err)
	}
	p := newPlugins(Options{Config: c, Log: slog.New(slog.DiscardHandler)})[0]
	if _, err := p.values(t.Context(), testMinute); err == nil || !strings.Contains(err.Error(), `no plugin "redsi"`) {
		t.Errorf("values = %v", err)
	}
	if _, _, err := p.askDefinitions(t.Context(), make(chan struct{}, 1)); !errors.Is(err, errNoDefinitions) {
		t.Errorf("definitions = %v", err)
	}
}

// A bundled plugin that hangs, panics or dawdles costs only itself, and comes back.
func TestABundledPluginCostsOnlyItself(t *testing.T) {
	for name, tt := range map[string]struct {
		misbehave func(ctx context.Context) ([]saba.Value, error)
		want      string // in the log
	}{
		"it panics":              {func(context.Context) ([]saba.Value, error) { panic("out of cheese") }, "panic: out of cheese in github.com/saba-monitor/saba/internal/agent.TestABundledPluginCostsOnlyItself"},
		"it reads what is nil":   {func(context.Context) ([]saba.Value, error) { var r *reading; return []saba.Value{{Name: r.Name}}, nil }, "nil pointer"},
		"it waits for its limit": {func(ctx context.Context) ([]saba.Value, error) { <-ctx.Done(); return nil, ctx.Err() }, "did not end within 20s and was stopped"},
		"it ignores its limit": {func(context.Context) ([]saba.Value, error) {
			time.Sleep(7*time.Minute + 30*time.Second)
			return nil, nil
		}, "earlier run hangs"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := into(30 * time.Second)
				server := &fakeServer{}
				o, log := options(t, server, &fakeSource{name: "load"})
				began := time.Now()
				bundled(t, &o, MetricPlugin{Name: "bad", Command: Command{Timeout: 20 * time.Second}}, fakeRunner{collect: func(ctx context.Context) ([]saba.Value, error) {
					if time.Since(began) < 10*time.Minute {
						return tt.misbehave(ctx)
					}
					return []saba.Value{{Name: "bad.x", Value: 1}}, nil
				}})
				stop := start(t, o)
				time.Sleep(time.Hour)
				stop()
				equal(t, "times of the other", server.times("host1", "load"), minutes(first, 61))
				if n := len(server.times("host1", "custom.bad.x")); n < 40 {
					t.Errorf("the plugin has %d values, want more than 40: it was well for 50 minutes", n)
				}
				if !strings.Contains(log.String(), tt.want) {
					t.Errorf("the log has no %q: %s", tt.want, log)
				}
				if n := len(log.String()); n > 6*1024 {
					t.Errorf("the log has %d bytes after an hour: %s", n, log)
				}
			})
		})
	}
}

// A plugin that a new configuration leaves as it is keeps its counters, and what hangs of it
// hangs on; a plugin that became another starts anew.
func TestAChangeOfTheConfigurationLeavesOtherPluginsAlone(t *testing.T) {
	runner := func(n float64) Runner {
		return fakeRunner{collect: func(context.Context) ([]saba.Value, error) { return []saba.Value{{Name: "n", Value: n}}, nil }}
	}
	hung := make(chan struct{})
	generation := func(n float64, hangs, same []string) []*plugin {
		o := Options{Log: slog.New(slog.DiscardHandler)}
		o.Config.Metrics = []MetricPlugin{{Name: "hangs", Command: Command{Args: hangs}}, {Name: "same", Bundled: same}}
		o.run = func(context.Context, Command, []string) (Result, error) { return Result{}, &TimeoutError{Left: hung} }
		if err := Bundle(&o.Config, Bundled{Metric: func(string, []string) (Runner, error) { return runner(n), nil }}); err != nil {
			t.Fatal(err)
		}
		return newPlugins(o)
	}
	value := func(p *plugin) float64 {
		v, err := p.values(t.Context(), testMinute)
		if err != nil || len(v) != 1 {
			t.Fatalf("values = %v, %v", v, err)
		}
		return v[0].Value
	}
	first := generation(1, []string{"x"}, []string{"fake", "-a"})
	if _, err := first[0].values(t.Context(), testMinute); err == nil {
		t.Fatal("it does not hang")
	}
	second := inherit(generation(2, []string{"x"}, []string{"fake", "-a"}), first)
	if v := value(second[1]); v != 1 {
		t.Errorf("the plugin that is the same was made anew: %v", v)
	}
	if _, err := second[0].values(t.Context(), testMinute); err == nil || !strings.Contains(err.Error(), "earlier run hangs") {
		t.Errorf("the one that hangs was run again: %v", err)
	}
	third := inherit(generation(3, []string{"y"}, []string{"fake", "-b"}), second)
	if v := value(third[1]); v != 3 {
		t.Errorf("the plugin with other arguments is the old one: %v", v)
	}
	if _, err := third[0].values(t.Context(), testMinute); err == nil || strings.Contains(err.Error(), "earlier run hangs") {
		t.Errorf("another command waits for the one that hangs: %v", err)
	}
}

// A closingRunner keeps something open.
type closingRunner struct {
	fakeRunner
	closed atomic.Int32
}

func (r *closingRunner) Close() { r.closed.Add(1) }

// What a plugin keeps open is closed when the plugin is configured no more, when the agent ends, and after a single collection.
func TestPluginsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collect := func(context.Context) ([]saba.Value, error) { return []saba.Value{{Name: "n", Value: 1}}, nil }
		hung := make(chan struct{})
		runners := map[string]*closingRunner{}
		for _, name := range []string{"stays", "goes", "again"} {
			runners[name] = &closingRunner{fakeRunner: fakeRunner{collect: collect}}
		}
		runners["hangs"] = &closingRunner{fakeRunner: fakeRunner{collect: func(context.Context) ([]saba.Value, error) { <-hung; return nil, nil }}}
		o, _ := options(t, &fakeServer{})
		reload := make(chan Options)
		o.Reload = reload
		next := o
		configure := func(o *Options, as map[string]string, names ...string) {
			o.Config.Metrics = nil
			for _, name := range names {
				o.Config.Metrics = append(o.Config.Metrics, MetricPlugin{Name: name, Bundled: []string{name}})
			}
			if err := Bundle(&o.Config, Bundled{Metric: func(name string, _ []string) (Runner, error) { return runners[cmp.Or(as[name], name)], nil }}); err != nil {
				t.Fatal(err)
			}
		}
		configure(&o, nil, "stays", "goes", "hangs")
		configure(&next, map[string]string{"stays": "again"}, "stays")
		expect := func(when string, want map[string]int32) {
			t.Helper()
			for name, r := range runners {
				is(t, name+" "+when+": closed", r.closed.Load(), want[name])
			}
		}
		stop := start(t, o)
		time.Sleep(2 * time.Minute)
		expect("at work", nil)
		reload <- next
		time.Sleep(2 * time.Minute)
		expect("after a reload", map[string]int32{"goes": 1})
		stop()
		expect("after the end", map[string]int32{"goes": 1, "stays": 1})
		close(hung)
		if _, err := Once(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		expect("after a single collection", map[string]int32{"goes": 1, "stays": 1, "again": 1})
	})
}
