package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// A defsServer takes graph definitions, but for those that refuse says no to.
type defsServer struct {
	API
	refuse func(defs []saba.GraphDef) error

	mu    sync.Mutex
	posts int
	taken []string // names
}

func (s *defsServer) PutGraphDefs(_ context.Context, defs []saba.GraphDef) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts++
	if s.refuse != nil {
		if err := s.refuse(defs); err != nil {
			return err
		}
	}
	for _, d := range defs {
		s.taken = append(s.taken, d.Name)
	}
	return nil
}

// defining runs the definer for d and returns what it asked of the server.
func defining(t *testing.T, d time.Duration, o Options, server *defsServer) {
	t.Helper()
	o.API = server
	o.Random = func() float64 { return 0.5 }
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	define(ctx, o, newPlugins(o))
}

func graphs(names ...string) func() []saba.GraphDef {
	return func() (defs []saba.GraphDef) {
		for _, n := range names {
			defs = append(defs, saba.GraphDef{Name: "custom." + n})
		}
		return defs
	}
}

func TestDefinitionsAreNotSentAgainAfterARestart(t *testing.T) {
	root := t.TempDir()
	var o Options
	o.Config.Root = root
	bundled(t, &o, MetricPlugin{Name: "one"}, fakeRunner{defs: graphs("a", "b")})
	steps := []struct {
		what   string
		before func(t *testing.T)
		runs   time.Duration
		want   string
	}{
		{"the first start, without an id", func(*testing.T) {}, time.Minute, "custom.a custom.b"},
		{"a restart before the id was there", func(t *testing.T) { write(t, root, idFile, "host1") }, time.Minute, "custom.a custom.b"},
		{"a restart", func(*testing.T) {}, 3 * time.Hour, ""},
		{"a day later", func(*testing.T) {}, 25 * time.Hour, "custom.a custom.b"},
		{"a restart after that", func(*testing.T) {}, time.Minute, ""},
		{"another host", func(t *testing.T) { write(t, root, idFile, "host2") }, time.Minute, "custom.a custom.b"},
		{"a damaged file", func(t *testing.T) { write(t, root, toldFile, "\x00\x00{") }, time.Minute, "custom.a custom.b"},
		{"an empty one", func(t *testing.T) { write(t, root, toldFile, "null") }, time.Minute, "custom.a custom.b"},
		{"a restart with other definitions", func(t *testing.T) {
			o.Config.Metrics = nil
			bundled(t, &o, MetricPlugin{Name: "one"}, fakeRunner{defs: graphs("a", "c")})
		}, time.Minute, "custom.a custom.c"},
		{"without an id the file says nothing", func(t *testing.T) {
			if err := os.Remove(filepath.Join(root, idFile)); err != nil {
				t.Fatal(err)
			}
		}, time.Minute, "custom.a custom.c"},
	}
	synctest.Test(t, func(t *testing.T) {
		for _, s := range steps {
			s.before(t)
			server := &defsServer{}
			defining(t, s.runs, o, server)
			if got := strings.Join(server.taken, " "); got != s.want {
				t.Errorf("%s: sent %q, want %q", s.what, got, s.want)
			}
		}
	})
}

// The id may come after the definitions were sent: the next start need not send them.
func TestDefinitionsSentBeforeTheIDAreKept(t *testing.T) {
	root := t.TempDir()
	var o Options
	o.Config.Root = root
	bundled(t, &o, MetricPlugin{Name: "one"}, fakeRunner{defs: graphs("a")})
	synctest.Test(t, func(t *testing.T) {
		time.AfterFunc(time.Minute, func() { write(t, root, idFile, "host1") })
		server := &defsServer{}
		defining(t, 2*time.Hour, o, server)
		defining(t, time.Minute, o, server)
		if server.posts != 1 {
			t.Errorf("sent %d times, want once", server.posts)
		}
	})
}

func write(t *testing.T, root, name, text string) {
	if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

func TestARefusedDefinitionCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		var o Options
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		o.Config.Root = t.TempDir()
		write(t, o.Config.Root, idFile, "host1")
		bundled(t, &o, MetricPlugin{Name: "one"}, fakeRunner{defs: graphs("a", "b", "bad", "c", "d")})
		server := &defsServer{refuse: func(defs []saba.GraphDef) error {
			for _, d := range defs {
				if d.Name == "custom.bad" {
					return apiError(400)
				}
			}
			return nil
		}}
		defining(t, 5*time.Hour, o, server)
		if got := strings.Join(server.taken, " "); got != "custom.a custom.b custom.c custom.d" {
			t.Errorf("the server took %q, want all but the bad one, once", got)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "graph custom.bad") {
			t.Errorf("the log has %d errors, want one that names the graph: %s", n, log)
		}
		// A restart, perhaps to a newer version, tries once more.
		if defining(t, time.Minute, o, server); len(server.taken) != 8 {
			t.Errorf("after a restart the server took %v", server.taken)
		}
	})
}

func TestDefinitionsWaitForTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o Options
		o.Config.Root = t.TempDir()
		bundled(t, &o, MetricPlugin{Name: "one"}, fakeRunner{defs: graphs("a")})
		down := time.Now().Add(2 * time.Hour)
		server := &defsServer{refuse: func([]saba.GraphDef) error {
			if time.Now().Before(down) {
				return networkError()
			}
			return nil
		}}
		defining(t, 2*time.Hour+11*time.Minute, o, server)
		if len(server.taken) != 1 || server.posts > 30 {
			t.Errorf("taken %v after %d posts, want one within 10 minutes, after a few", server.taken, server.posts)
		}
	})
}

// A plugin that hangs when it is asked for definitions is asked less and less often, and holds
// up no other.
func TestAPluginThatHangsWhenAskedIsLeftInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var asked []time.Duration
		var mu sync.Mutex
		var o Options
		o.Config.Root = t.TempDir()
		o.Config.Metrics = []MetricPlugin{{Name: "hangs"}}
		o.run = func(context.Context, Command, []string) (Result, error) {
			mu.Lock()
			asked = append(asked, time.Since(began).Round(time.Minute))
			mu.Unlock()
			time.Sleep(30 * time.Second)
			return Result{}, &TimeoutError{After: 30 * time.Second}
		}
		bundled(t, &o, MetricPlugin{Name: "well"}, fakeRunner{defs: graphs("a")})
		server := &defsServer{}
		defining(t, 4*time.Hour, o, server)
		equal(t, "asked", asked, []time.Duration{0, 2 * time.Minute, 7 * time.Minute, 23 * time.Minute, 83 * time.Minute, 144 * time.Minute, 204 * time.Minute})
		if len(server.taken) != 1 {
			t.Errorf("the other's definitions were taken %d times, want once", len(server.taken))
		}
	})
}

func TestBadDefinitionsSayLittle(t *testing.T) {
	log := &logBuffer{}
	o := Options{Log: slog.New(slog.NewTextHandler(log, nil)), Environ: testEnviron}
	o.Config.Root = t.TempDir()
	o.Config.Metrics = []MetricPlugin{{Name: "x", Command: script("echo '# mackerel-agent-plugin'; printf '{\"graphs\":{'; i=0; while [ $i -lt 300 ]; do printf '\"b d%d\":{},' $i; i=$((i+1)); done; echo '\"q\":{}}}'")}}
	p := newPlugins(o)[0]
	defs, problem, err := p.askDefinitions(t.Context(), make(chan struct{}, 1))
	if err != nil || len(defs) != 1 || !strings.Contains(problem, "b d0") || len(problem) > maxError+10 {
		t.Errorf("askDefinitions = %d definitions, %d bytes of problems, %v", len(defs), len(problem), err)
	}
	p.Command = script("echo '# mackerel-agent-plugin'; echo '{'")
	if _, _, err := p.askDefinitions(t.Context(), make(chan struct{}, 1)); err == nil || errors.Is(err, errNoDefinitions) {
		t.Errorf("askDefinitions of bad JSON = %v", err)
	}
}

// A drawnSource has a graph of its own.
type drawnSource struct{ fakeSource }

func (*drawnSource) Definitions() []saba.GraphDef {
	return []saba.GraphDef{{Name: "custom.linux.uptime"}}
}

func TestGraphsOfTheAgentsOwnSourcesAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Sources: []Source{&fakeSource{name: "plain"}, &drawnSource{fakeSource{name: "host"}}}}
		o.Config.Root = t.TempDir()
		server := &defsServer{}
		defining(t, 3*time.Hour, o, server)
		if want := []string{"custom.linux.uptime"}; !slices.Equal(server.taken, want) {
			t.Errorf("sent %q, want %q, once", server.taken, want)
		}
	})
}
