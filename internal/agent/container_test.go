package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// An undertaker is what a server remembers of retirements.
type undertaker struct {
	server  *fakeServer
	answer  func(ctx context.Context) error // nil agrees
	at      []time.Time
	retired []string
}

func (r *undertaker) RetireHost(ctx context.Context, id string) error {
	r.at = append(r.at, time.Now())
	if r.answer != nil {
		if err := r.answer(ctx); err != nil {
			return err
		}
	}
	r.retired = append(r.retired, id)
	r.server.set(func() {
		h := r.server.hosts[id]
		h.RetiredAt = time.Now().Unix()
		r.server.put(h)
	})
	return nil
}

// containerOptions are those of a container's agent, which keeps nothing.
func containerOptions(t *testing.T, server *fakeServer, sources ...Source) (Options, *undertaker, *logBuffer) {
	t.Helper()
	o, log := options(t, server, sources...)
	r := &undertaker{server: server}
	o.Config.Root, o.Container, o.Retire, o.StopTimeout = "", true, r, DefaultContainerStop
	o.Facts = func(context.Context) (collect.Facts, error) {
		return collect.Facts{Name: "web-7d9", CustomIdentifier: "uid.kubernetes"}, nil
	}
	return o, r, log
}

// Until its gates are open a container is no host; what it says meanwhile is not lost.
func TestGatesHoldBackTheRegistrationAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		o, _, log := containerOptions(t, server, &fakeSource{name: "load"})
		began := time.Now()
		var asked []string
		gate := func(name string, delay, every time.Duration, after time.Duration) Gate {
			return Gate{Name: name, Delay: delay, Every: every, Open: func(ctx context.Context) error {
				server.set(func() { asked = append(asked, fmt.Sprintf("%s %v", name, time.Since(began))) })
				switch since := time.Since(began); {
				case since < after/2:
					panic("not even that")
				case since < after:
					return errors.New("not yet")
				}
				return nil
			}}
		}
		hangs := Gate{Name: "c", Timeout: time.Second, Every: time.Minute, Open: func(ctx context.Context) error {
			if time.Since(began) < 5*time.Minute {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		o.Gates = []Gate{gate("a", 0, 0, 7*time.Second), gate("b", time.Minute, 2*time.Minute, 3*time.Minute), hangs}
		reload := make(chan Options)
		o.Reload = reload
		stop := start(t, o)
		time.Sleep(5 * time.Minute)
		server.set(func() {
			if len(server.created) != 0 || len(server.posts) != 0 {
				t.Errorf("%d hosts and %d posts with a gate closed", len(server.created), len(server.posts))
			}
		})
		time.Sleep(3*time.Minute + 45*time.Second)
		server.set(func() {
			equal(t, "questions", asked, []string{"a 0s", "a 3s", "a 6s", "a 9s", "b 1m9s", "b 3m9s"})
		})
		equal(t, "minutes", server.times("host1", "load"), minutes(first, 10))
		reload <- o
		time.Sleep(2 * time.Minute)
		stop()
		if len(asked) != 6 {
			t.Errorf("a change of the configuration asks the gates again: %v", asked)
		}
		if got := log.String(); strings.Count(got, "the registration waits for a") != 2 || strings.Count(got, "the registration waits for b") != 1 || !strings.Contains(got, "has waited for c, and goes on") {
			t.Errorf("the log says each state of a gate once:\n%s", got)
		}
	})
}

// A gate that stays closed does not cost whom it asks for ever.
func TestAGateThatStaysClosedIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, _, _ := containerOptions(t, server)
		asked := 0
		o.Gates = []Gate{{Name: "the Pod", Open: func(context.Context) error {
			server.set(func() { asked++ })
			return errors.New("forbidden")
		}}}
		stop := start(t, o)
		time.Sleep(time.Hour)
		stop()
		if asked < 100 || asked > 200 {
			t.Errorf("asked %d times in an hour, want 40 in two minutes and 2 in each of the others", asked)
		}
	})
}

// The agent of a container tells the server all, then takes its host away, and nothing is left of it.
func TestTheEndOfAContainerIsThatOfItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, root := range []string{"", t.TempDir()} {
			time.Sleep(time.Until(nextMinute(time.Now())) + 30*time.Second)
			server := &fakeServer{}
			o, r, log := containerOptions(t, server, &fakeSource{name: "load"})
			o.Config.Root, o.Volatile = root, false
			o.Config.Memo = "of the shop"
			server.onPost = func([]saba.Point) error {
				if time.Since(time.Unix(saba.Minute(time.Now().Unix()), 0)) < 20*time.Second {
					return networkError() // those of each minute fail until its 20th second
				}
				return nil
			}
			stop := start(t, o)
			time.Sleep(time.Minute + 45*time.Second) // into the third minute
			stop()
			equal(t, "retired", r.retired, []string{"host1"})
			if posts := server.all(); len(r.at) == 0 || posts[len(posts)-1].at.After(r.at[0]) || posts[len(posts)-1].err != nil {
				t.Errorf("the last post was %+v, the retirement at %v", posts[len(posts)-1], r.at)
			}
			if got := len(server.times("host1", "load")); got != 3 {
				t.Errorf("%d minutes have arrived, want 3\n%s", got, log)
			}
			if p := server.created[0]; p.Memo != "of the shop" || !strings.Contains(string(p.Meta), `"agent-version":"`+saba.Version+`-container"`) || !strings.Contains(string(p.Meta), `"agent-name":"saba-container-agent/`) {
				t.Errorf("the host was registered as %+v %s", p, p.Meta)
			}
			if root != "" {
				for _, name := range []string{idFile, copyFile, askedFile, queueFolder, "checks"} {
					if _, err := os.Stat(filepath.Join(root, name)); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%s is left of a host that is retired: %v", name, err)
					}
				}
			}
		}
	})
}

// An end has its time, whatever the server does, and a host that stays is told of.
func TestTheEndOfAContainerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, r, log := containerOptions(t, server, &fakeSource{name: "load"})
		stop := start(t, o)
		time.Sleep(time.Minute)
		server.set(func() { server.onPost = func([]saba.Point) error { return networkError() } })
		r.answer = func(context.Context) error { return apiError(503) }
		time.Sleep(time.Minute)
		began := time.Now()
		stop()
		if took := time.Since(began); took > DefaultContainerStop || took < DefaultContainerStop/2 {
			t.Errorf("the end took %v, want up to %v", took, DefaultContainerStop)
		}
		if len(r.at) < 3 || !strings.Contains(log.String(), "the host stays on the server although it ends") {
			t.Errorf("%d tries, and the log:\n%s", len(r.at), log)
		}

		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		r.answer, r.at = hang, nil
		stop = start(t, o)
		time.Sleep(time.Minute)
		began = time.Now()
		stop()
		if took := time.Since(began); took > DefaultContainerStop {
			t.Errorf("the end took %v with a server that hangs, want up to %v", took, DefaultContainerStop)
		}
		if len(r.at) != 1 {
			t.Errorf("%d tries", len(r.at))
		}
	})
}

// An awayServer does not say which hosts there are until it is back.
type awayServer struct {
	*fakeServer
	until time.Time
}

func (a *awayServer) Hosts(ctx context.Context, f saba.HostFilter) ([]saba.Host, error) {
	if time.Now().Before(a.until) {
		return nil, networkError()
	}
	return a.fakeServer.Hosts(ctx, f)
}

// A host that the server has and this process does not know of is found, and retired too.
func TestNoContainerLeavesAGhost(t *testing.T) {
	for name, tt := range map[string]struct {
		arrange func(t *testing.T, server *fakeServer, o *Options)
		want    []string
	}{
		"nothing was registered": {func(_ *testing.T, _ *fakeServer, o *Options) {
			o.Gates = []Gate{{Name: "never", Open: func(context.Context) error { return errors.New("never") }}}
		}, nil},
		"of an earlier life, by its identifier": {func(_ *testing.T, server *fakeServer, o *Options) {
			o.Gates = []Gate{{Name: "never", Open: func(context.Context) error { return errors.New("never") }}}
			server.put(saba.Host{ID: "before", Name: "web-7d9", CustomIdentifier: "uid.kubernetes"})
		}, []string{"before"}},
		"of an earlier life, by its folder": {func(t *testing.T, server *fakeServer, o *Options) {
			o.Gates = []Gate{{Name: "never", Open: func(context.Context) error { return errors.New("never") }}}
			o.Config.Root = t.TempDir()
			if err := idFolder(o.Config.Root).keep("before", ""); err != nil {
				t.Fatal(err)
			}
			server.put(saba.Host{ID: "before", Name: "web-7d9"})
		}, []string{"before"}},
		"made, and the answer was lost": {func(_ *testing.T, server *fakeServer, o *Options) {
			o.Facts = func(context.Context) (collect.Facts, error) { return collect.Facts{Name: "task"}, nil }
			server.onCreate = func() error {
				server.put(saba.Host{ID: "unheard", Name: "task", CreatedAt: time.Now().Unix()})
				return networkError()
			}
		}, []string{"unheard"}},
		"made, and the server is away for a while": {func(_ *testing.T, server *fakeServer, o *Options) {
			o.Facts = func(context.Context) (collect.Facts, error) { return collect.Facts{Name: "task"}, nil }
			server.onCreate = func() error {
				server.put(saba.Host{ID: "unheard", Name: "task", CreatedAt: time.Now().Unix()})
				return networkError()
			}
			o.API = &awayServer{fakeServer: server, until: time.Now().Add(10 * time.Second)}
		}, []string{"unheard"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into(30 * time.Second)
				server := &fakeServer{}
				o, r, log := containerOptions(t, server, &fakeSource{name: "load"})
				tt.arrange(t, server, &o)
				stop := start(t, o)
				time.Sleep(500 * time.Millisecond) // before the registration is tried a second time
				stop()
				if !slices.Equal(r.retired, tt.want) {
					t.Errorf("retired %v, want %v\n%s", r.retired, tt.want, log)
				}
			})
		})
	}
}

// The end waits for the answer to a registration that is under way.
func TestARegistrationAtTheEndIsRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, r, log := containerOptions(t, server, &fakeSource{name: "load"})
		server.onCreate = func() error { time.Sleep(3 * time.Second); return nil }
		stop := start(t, o)
		time.Sleep(2500 * time.Millisecond)
		stop()
		equal(t, "retired", r.retired, []string{"host1"})
		if len(server.times("host1", "load")) == 0 {
			t.Errorf("the first minute was lost\n%s", log)
		}
	})
}

// Without a folder a change of the configuration costs no identity, no counter and no verdict, and no file is written.
func TestWithoutAFolderAReloadKeepsAll(t *testing.T) {
	t.Chdir(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		o, r, log := containerOptions(t, server, &countingSource{fakeSource: fakeSource{name: "load"}})
		o.Facts = func(context.Context) (collect.Facts, error) { return collect.Facts{Name: "task"}, nil } // nothing to find it by
		o.Config.Checks = []CheckPlugin{{Name: "disk", Command: Command{Args: []string{"check"}}, Interval: time.Minute}}
		o.Config.Metadata = []MetadataPlugin{{Name: "rack", Command: Command{Args: []string{"meta"}}, Interval: 10 * time.Minute}}
		o.run = func(_ context.Context, c Command, _ []string) (Result, error) {
			if c.Args[0] == "meta" {
				return Result{Stdout: []byte(`{}`)}, nil
			}
			return Result{Stdout: []byte("DISK CRITICAL\n"), ExitCode: 2}, nil
		}
		o.Record = NewRecorder(o.Log, "abc1234", time.Now())
		reload := make(chan Options)
		o.Reload = reload
		stop := start(t, o)
		time.Sleep(50 * time.Second)
		reload <- func() Options {
			o := o
			o.Sources = []Source{&countingSource{fakeSource: fakeSource{name: "load"}}}
			return o
		}()
		time.Sleep(2 * time.Minute)
		reports := 0
		server.set(func() { reports = len(server.reports) })
		reload <- func() Options { o := o; o.Config.Checks = nil; return o }()
		time.Sleep(2 * time.Minute)
		stop()
		equal(t, "minutes with a rate", server.times("host1", "load.delta"), minutes(first, 6))
		if len(server.created) != 1 || len(r.retired) != 1 {
			t.Errorf("%d hosts were registered, %d retired, want one\n%s", len(server.created), len(r.retired), log)
		}
		if reports == 0 || len(server.reports) != reports {
			t.Errorf("%d reports with a check, %d after it was removed", reports, len(server.reports))
		}
		if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
			t.Errorf("these files were written: %v, %v", files, err)
		}
	})
}

// A revivingServer drops what is of a retired host without a word, and can undo a retirement, as saba's own does.
type revivingServer struct {
	*fakeServer
	revived []string
}

func (r *revivingServer) PostHostMetrics(ctx context.Context, points []saba.Point) error {
	if h, _ := r.Host(ctx, "host1"); h.Retired() {
		r.set(func() { r.posts = append(r.posts, post{time.Now(), len(points), nil}) })
		return nil
	}
	return r.fakeServer.PostHostMetrics(ctx, points)
}

func (r *revivingServer) ReviveHost(_ context.Context, id string) error {
	r.set(func() {
		h := r.hosts[id]
		h.RetiredAt = 0
		r.put(h)
		r.revived = append(r.revived, id)
	})
	return nil
}

// A container that was cut off for so long that its host was retired comes back as the same one, with what it has collected.
func TestAContainerThatWasTakenForDeadComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &revivingServer{fakeServer: &fakeServer{}}
		o, r, log := containerOptions(t, server.fakeServer, &fakeSource{name: "load"})
		o.API = server
		stop := start(t, o)
		time.Sleep(5 * time.Minute)
		server.set(func() { server.onPost = func([]saba.Point) error { return networkError() } })
		time.Sleep(90 * time.Minute)
		server.set(func() {
			server.onPost = nil
			h := server.hosts["host1"]
			h.RetiredAt = time.Now().Unix() - 60
			server.put(h)
		})
		time.Sleep(10 * time.Minute)
		stop()
		equal(t, "revived", server.revived, []string{"host1"})
		equal(t, "retired at the end", r.retired, []string{"host1"})
		// The minute by which it was found out that the server is back is lost: it went to a host that was retired.
		if got, want := len(server.times("host1", "load")), len(minutes(first, 106))-1; got < want {
			t.Errorf("%d minutes have arrived, want %d\n%s", got, want, log)
		}
		if len(server.created) != 1 {
			t.Errorf("%d hosts were registered, want one", len(server.created))
		}
	})
}

// A container whose host the server does not have any more is a new one: nobody is there to tell it so.
func TestAContainerWithoutAHostRegistersAnew(t *testing.T) {
	for name, host := range map[string]saba.Host{
		"retired":          {ID: "before", RetiredAt: 1},
		"another":          {ID: "before", CustomIdentifier: "other.kubernetes"},
		"unknown":          {ID: "somebody"},
		"its own, in file": {ID: "before", CustomIdentifier: "uid.kubernetes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := into(30 * time.Second)
				server := &fakeServer{}
				server.put(host)
				o, _, log := containerOptions(t, server, &fakeSource{name: "load"})
				o.Retire, o.Config.Root = nil, t.TempDir()
				if err := idFolder(o.Config.Root).keep("before", ""); err != nil {
					t.Fatal(err)
				}
				stop := start(t, o)
				time.Sleep(2 * time.Minute)
				stop()
				want := "host1"
				if host.CustomIdentifier == "uid.kubernetes" {
					want = "before"
				}
				equal(t, "minutes", server.times(want, "load"), minutes(first, 3))
				if id, err := idFolder(o.Config.Root).read(idFile); id != want || err != nil {
					t.Errorf("the id that is kept is %q, %v, want %s\n%s", id, err, want, log)
				}
			})
		})
	}
}

// setting reads variables as the command does.
func setting(environ map[string]string) (setting, getenv func(string) string) {
	getenv = func(name string) string { return environ[name] }
	return func(name string) string {
		if v := getenv("SABA_" + name); v != "" {
			return v
		}
		return getenv("MACKEREL_" + name)
	}, getenv
}

func loadContainer(t *testing.T, text string, environ map[string]string) (ContainerConfig, error) {
	t.Helper()
	s, getenv := setting(environ)
	return LoadContainer(ContainerSource{Name: "agent.yaml", Text: []byte(text), Setting: s, Getenv: getenv,
		LoadOptions: LoadOptions{Bundled: func(_, name string) bool { return name == "json" || name == "http" }}})
}

func TestContainerConfig(t *testing.T) {
	c, err := loadContainer(t, `
apikey: 123456
apibase: https://saba.example.com/
root: /state
roles: [ "shop:web", shop:api ]
displayName: web
memo: of the shop
ignoreContainer: '^(istio-proxy|saba-agent)$'
hostStatusOnStart: standby
hostIdStore: memory
containerExtras: false
retireOnExit: false
stopTimeout: 90s
logLevel: debug
diagnostic: true
queue: {maxBytes: 8 MiB, maxAge: 6h}
plugin:
  metrics:
    beam: &beam
      command: |
        mackerel-plugin-json -url http://localhost:4000/vitals \
          -prefix beam
      user: nobody
      env: {PORT: 4000, DEBUG: true, EMPTY: "", WHEN: 2026-01-01}
      timeoutSeconds: 20
    beam2:
      <<: *beam
      timeoutSeconds: 5
    inside:
      plugin: json -url http://localhost:4000/
      includePattern: ^a
      exclude_pattern: b$
  checks:
    alive:
      command: ["curl", "-f", 4000]
      memo: ask the shop
      checkInterval: 5m
      notificationInterval: 30
      maxCheckAttempts: 3
      customIdentifier: other.host
      action: {command: "true", maxPerHour: 2}
    forever:
      plugin: http -u http://localhost/
      preventAlertAutoClose: true
  metadata:
    version: {command: cat /version.json, executionInterval: 1h}
`, map[string]string{"MACKEREL_APIKEY": "other", "MACKEREL_APIBASE": "http://other", "MACKEREL_ROLES": "other:role", "SABA_STOP_TIMEOUT": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if c.APIKey != "123456" || c.APIBase != "https://saba.example.com/" || c.Root != "/state" || c.DisplayName != "web" || c.Memo != "of the shop" || c.Ignore == nil ||
		!c.Ignore.MatchString("saba-agent") || c.OnStart != saba.Standby || !c.InMemory || !c.NoExtras || !c.KeepHost || c.StopTimeout != 90*time.Second || c.LogLevel != "DEBUG" || !c.Diagnostic ||
		c.QueueBytes != 8<<20 || c.QueueAge != 6*time.Hour {
		t.Errorf("config = %+v", c)
	}
	equal(t, "roles", c.Roles, []saba.RoleName{{Service: "shop", Role: "web"}, {Service: "shop", Role: "api"}})
	if len(c.Metrics) != 3 || len(c.Checks) != 2 || len(c.Metadata) != 1 {
		t.Fatalf("plugins = %+v %+v %+v", c.Metrics, c.Checks, c.Metadata)
	}
	beam, beam2, inside := c.Metrics[0], c.Metrics[1], c.Metrics[2]
	equal(t, "command", beam.Command.Args, []string{"sh", "-c", "mackerel-plugin-json -url http://localhost:4000/vitals \\\n  -prefix beam\n"})
	equal(t, "environment", beam.Command.Env, []string{"DEBUG=true", "EMPTY=", "PORT=4000", "WHEN=2026-01-01"})
	if beam.Command.User != "nobody" || beam.Command.Timeout != 20*time.Second || beam2.Command.Timeout != 5*time.Second || !slices.Equal(beam2.Command.Args, beam.Command.Args) {
		t.Errorf("commands = %+v, %+v", beam, beam2)
	}
	equal(t, "words", inside.Bundled, []string{"json", "-url", "http://localhost:4000/"})
	if inside.Include == nil || inside.Exclude == nil {
		t.Errorf("patterns = %v, %v", inside.Include, inside.Exclude)
	}
	alive, forever := c.Checks[0], c.Checks[1]
	equal(t, "command", alive.Command.Args, []string{"curl", "-f", "4000"})
	if alive.Memo != "ask the shop" || alive.Interval != 5*time.Minute || alive.NotificationInterval != 30 || alive.MaxCheckAttempts != 3 || alive.CustomIdentifier != "other.host" || alive.Action == nil || alive.ActWhen.PerHour != 2 || !forever.PreventAutoClose {
		t.Errorf("checks = %+v, %+v", alive, forever)
	}
	if m := c.Metadata[0]; m.Interval != time.Hour || m.Name != "version" {
		t.Errorf("metadata = %+v", m)
	}
}

// The environment fills what the file leaves out; of two prefixes our own counts.
func TestContainerEnvironment(t *testing.T) {
	c, err := loadContainer(t, "memo:\n", map[string]string{
		"MACKEREL_APIKEY": "key", "MACKEREL_APIBASE": "http://one", "SABA_API_BASE": "http://two", "MACKEREL_ROLES": " shop:web , ,shop: api", "MACKEREL_DISPLAY_NAME": "web",
		"MACKEREL_IGNORE_CONTAINER": "^a$", "SABA_IGNORE_CONTAINER": "^b$", "MACKEREL_HOST_STATUS_ON_START": "maintenance", "MACKEREL_HOST_ID_STORE": "file",
		"SABA_STATE_DIR": "/state", "SABA_CONTAINER_EXTRAS": "false", "SABA_RETIRE_ON_EXIT": "0", "SABA_STOP_TIMEOUT": "10", "MACKEREL_LOG_LEVEL": "loud", "SABA_DIAGNOSTIC": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.APIKey != "key" || c.APIBase != "http://two" || c.DisplayName != "web" || !c.Ignore.MatchString("b") || c.Ignore.MatchString("a") || c.OnStart != saba.Maintenance || c.InMemory || c.Root != "/state" ||
		!c.NoExtras || !c.KeepHost || c.StopTimeout != 10*time.Second || c.LogLevel != "" || !c.Diagnostic || len(c.Notes) != 1 {
		t.Errorf("config = %+v", c)
	}
	equal(t, "roles", c.Roles, []saba.RoleName{{Service: "shop", Role: "web"}, {Service: "shop", Role: "api"}})
}

func TestContainerConfigMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		environ map[string]string
		want    []string
	}{
		"unknown keys, with those that were meant": {"apikey: k\ndisplayname2: x\nplugin:\n  metrics:\n    a:\n      comand: x\n  metrcs: {}\n", nil, []string{
			`agent.yaml:2: unknown key "displayname2": did you mean "displayName"?`, `agent.yaml:6: unknown key "plugin.metrics.a.comand": did you mean "command"?`,
			"agent.yaml:5: plugin.metrics.a has no command", `agent.yaml:7: unknown key "plugin.metrcs": did you mean "metrics"?`}},
		"no YAML":           {"apikey: k\n  roles: [\n", nil, []string{"agent.yaml:2: this is no YAML: mapping values are not allowed in this context"}},
		"an unknown anchor": {"memo: *x\n", nil, []string{"agent.yaml: this is no YAML: unknown anchor 'x' referenced"}},
		"a list":            {"- a\n", nil, []string{"agent.yaml:1: there must be keys with their values"}},
		"a key twice":       {"memo: a\nroles: []\nmemo: b\n", nil, []string{"agent.yaml:3: memo stands on line 1 already"}},
		"one key, two ways": {"displayName: a\ndisplay_name: b\n", nil, []string{"agent.yaml:2: display_name is the same key as displayName"}},
		"wrong types":       {"roles: shop:web\nmemo: [1]\nplugin: {metrics: {a: {command: x, timeoutSeconds: fast}}}\n", nil, []string{"agent.yaml:1: roles must be an array", "agent.yaml:2: memo must be a string, not an array", "agent.yaml:3: plugin.metrics.a.timeoutSeconds must be an integer"}},
		"empty patterns":    {"ignoreContainer: ''\n", nil, []string{"agent.yaml:1: ignoreContainer is an empty pattern, which matches everything"}},
		"values that are not": {"hostStatusOnStart: up\nhostIdStore: disk\nstopTimeout: 0\nlogLevel: loud\nretireOnExit: maybe\n", nil, []string{
			"agent.yaml:1: hostStatusOnStart must be one of", "agent.yaml:2: hostIdStore must be file or memory", "agent.yaml:3: stopTimeout must be a duration", "agent.yaml:4: logLevel must be", "agent.yaml:5: retireOnExit must be true or false"}},
		"another kind's keys":     {"plugin: {metrics: {a: {command: x, memo: y}}}\n", nil, []string{`agent.yaml:1: plugin.metrics.a.memo has no meaning there: "memo" belongs to plugin.checks`}},
		"a plugin that is not":    {"plugin: {checks: {a: {plugin: htpt}, b: }}\n", nil, []string{`names "htpt", which is not among the checks plugins`, "plugin.checks.b must be the table of one plugin, not nothing"}},
		"the environment's":       {"", map[string]string{"MACKEREL_HOST_STATUS_ON_START": "up", "SABA_IGNORE_CONTAINER": "(", "MACKEREL_ROLES": "web"}, []string{"MACKEREL_ROLES (or SABA_ROLES) are wrong", "MACKEREL_IGNORE_CONTAINER (or SABA_IGNORE_CONTAINER) is not a pattern", "MACKEREL_HOST_STATUS_ON_START (or SABA_HOST_STATUS_ON_START) must be one of"}},
		"what refers to itself":   {"memo: &a [*a]\n", nil, []string{"refers to itself"}},
		"a bomb":                  {"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", nil, []string{"there is too much in this file"}},
		"a merge of no keys":      {"plugin: {metrics: {a: {<<: x, command: y}}}\n", nil, []string{"agent.yaml:1: << must be followed by what holds keys"}},
		"a key that is no word":   {"? [a]\n: b\n", nil, []string{"agent.yaml:1: a key must be a word"}},
		"a probe of no kind":      {"readinessProbe: {periodSeconds: 5}\n", nil, []string{"agent.yaml:1: readinessProbe has none of "}},
		"a probe that is no map":  {"readinessProbe: 5\n", nil, []string{"agent.yaml:1: readinessProbe must be a table"}},
		"a probe's negative time": {"readinessProbe:\n  periodSeconds: -5\n", nil, []string{"agent.yaml:2: readinessProbe.periodSeconds must be 0 to"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadContainer(t, tt.text, tt.environ)
			if !errors.Is(err, saba.ErrInvalid) {
				t.Fatalf("error %v does not match saba.ErrInvalid", err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("error:\n%v\nwant %d lines", err, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %q, want %q in it", i, lines[i], want)
				}
			}
		})
	}
}

// Whatever a file holds, reading it ends without a panic, and what is wrong names the file.
func FuzzContainerConfig(f *testing.F) {
	f.Add("apikey: k\nroles: [a:b]\nplugin: {metrics: {a: {command: x}}}\n")
	f.Add("a: &a [*a]\n<<: {b: 1}\n? {}\n: 1\n")
	f.Add("readinessProbe: {http: {path: /}}\n!!binary x: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, getenv := setting(nil)
		_, err := LoadContainer(ContainerSource{Name: "agent.yaml", Text: []byte(text), Setting: s, Getenv: getenv})
		if err != nil && !errors.Is(err, saba.ErrInvalid) {
			t.Errorf("error %v does not match saba.ErrInvalid", err)
		}
	})
}

// The page says every key and variable, and what it shows as a file is one.
func TestTheContainersPageIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	l := &loader{yaml: true}
	for _, k := range containerKeys {
		if !strings.Contains(page, "`"+l.spell(k.name)+"`") {
			t.Errorf("the page does not say what the key %s is", l.spell(k.name))
		}
	}
	for _, s := range containerSettings {
		if !strings.Contains(page, "`MACKEREL_"+s.name+"`") && !strings.Contains(page, "`SABA_"+s.name+"`") {
			t.Errorf("the page does not say what the variable %s is", s.name)
		}
	}
	shown := 0
	for block := range strings.SplitSeq(page, "```yaml\n") {
		text, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(text, "roles:") {
			continue
		}
		shown++
		s, getenv := setting(nil)
		c, err := LoadContainer(ContainerSource{Name: "kubernetes.md", Text: []byte(text), Setting: s, Getenv: getenv})
		if err != nil || len(c.Metrics) != 2 || len(c.Checks) != 1 || len(c.Metadata) != 1 || len(c.Notes) > 0 {
			t.Errorf("the file on the page: %+v, %v", c, err)
		}
	}
	if shown != 1 {
		t.Errorf("the page shows %d files, want one", shown)
	}
}
