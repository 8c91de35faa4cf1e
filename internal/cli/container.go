package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/agent"
	"github.com/saba-monitor/saba/internal/collect"
	"github.com/saba-monitor/saba/internal/location"
	"github.com/saba-monitor/saba/internal/platform"
)

var containerCommand = Command{
	Name:  "container-agent",
	Short: "watch the containers beside this one, of one Pod or task: the agent as their sidecar",
	Run:   dispatchContainer,
}

// containerCommands returns the words that may follow "container-agent".
func containerCommands() []Command {
	return []Command{
		{"check-config", "read the configuration and the environment, name every mistake, and say what they will do", runContainerCheckConfig},
	}
}

// dispatchContainer runs the command that the first argument names, or else the agent.
func dispatchContainer(ctx context.Context, env *Env, args []string) error {
	for _, c := range containerCommands() {
		if len(args) > 0 && args[0] == c.Name {
			env.Command += " " + c.Name
			return c.Run(ctx, env, args[1:])
		}
	}
	return runContainer(ctx, env, args)
}

// runContainer runs the agent of a container, or collects once. It is told what to do by its environment.
func runContainer(ctx context.Context, env *Env, args []string) error {
	flags := env.Flags("")
	once := flags.Bool("once", false, "collect once, print as JSON what would be sent, and send nothing")
	usage := flags.Usage
	flags.Usage = func() {
		usage()
		fmt.Fprintf(flags.Output(), "\nCommands:\n")
		for _, c := range containerCommands() {
			fmt.Fprintf(flags.Output(), "  %-22s %s\n", c.Name, c.Short)
		}
		fmt.Fprintf(flags.Output(), "\nIts environment tells it the rest: MACKEREL_CONTAINER_PLATFORM, MACKEREL_APIKEY, MACKEREL_APIBASE, MACKEREL_AGENT_CONFIG\nand so on, or the same with SABA_ in place of MACKEREL_ (docs/kubernetes.md).\n")
	}
	if err := env.Parse(flags, args); err != nil {
		return err
	}
	if err := NoOperands(flags); err != nil {
		return err
	}
	if !*once && env.Slacken != nil {
		env.Slacken(ctx)
	}
	c, file, err := containerConfig(ctx, env)
	if err != nil {
		return err
	}
	if *once {
		o, err := containerOptions(env, c)
		if err != nil {
			return err
		}
		return printOnce(ctx, env, o)
	}
	if env.Quits != nil {
		var stop func()
		ctx, stop = env.Quits(ctx)
		defer stop()
	}
	if !c.InMemory {
		if err := agent.CheckFolder(c.Root); err != nil {
			containerLogger(env, c).Info("nothing is kept on disk: what waits for the server is lost when this container ends, as is the host's id", "folder", c.Root, "error", err)
			c.InMemory = true
		}
	}
	run := agentRun[agent.ContainerConfig]{
		load:   func(ctx context.Context) (agent.ContainerConfig, string, error) { return containerConfig(ctx, env) },
		config: func(c agent.ContainerConfig) agent.Config { return c.Config },
		logger: func(c agent.ContainerConfig) *slog.Logger { return containerLogger(env, c) },
		options: func(c agent.ContainerConfig, record *agent.Recorder) (agent.Options, error) {
			o, err := containerOptions(env, c)
			if err != nil {
				return o, err
			}
			api, err := newContainerClient(env, c, func(base http.RoundTripper) http.RoundTripper {
				return record.Transport(agent.FreshKey(c.Config, o.Log, base))
			})
			if err != nil {
				return o, err
			}
			o.API = api
			if !c.KeepHost && !platform.Stays(platform.Setting(env.Getenv)("CONTAINER_PLATFORM")) {
				o.Retire = api
			}
			if c.Diagnostic {
				o.Sources = append(o.Sources, agent.NewSelf(record))
			}
			return o, nil
		},
	}
	if file == "" {
		return run.run(ctx, env, c, file)
	}
	setting := platform.Setting(env.Getenv)
	every, err := pollingOf(setting)
	if err != nil {
		return err
	}
	if every > 0 {
		changes := make(chan struct{})
		run.changes = changes
		pctx, cancel := context.WithCancel(ctx)
		var polling sync.WaitGroup
		polling.Go(func() { poll(pctx, setting("AGENT_CONFIG"), every, changes, containerLogger(env, c)) })
		defer polling.Wait()
		defer cancel()
	}
	return run.run(ctx, env, c, file)
}

// pollingOf returns how often the configuration is looked at; 0 is never.
func pollingOf(setting func(string) string) (time.Duration, error) {
	const name, most = "AGENT_CONFIG_POLLING_DURATION_MINUTES", 7 * 24 * 60
	text := setting(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > most {
		return 0, saba.Errorf(saba.ErrInvalid, "MACKEREL_%s (or SABA_%[1]s) must be whole minutes up to %d, or 0 for never, not %q", name, most, text)
	}
	return max(time.Duration(n)*time.Minute, 0), nil
}

// poll looks at the configuration every so often until ctx ends, and tells changes when it has another content than at the last look. One that cannot
// be read is told and changes nothing.
func poll(ctx context.Context, place string, every time.Duration, changes chan<- struct{}, log *slog.Logger) {
	var last []byte // nil before the first look
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		doc, err := location.Fetch(ctx, place)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("the configuration could not be looked at: the agent goes on with the one that it has", "error", err)
		case last != nil && !bytes.Equal(last, doc.Text):
			select {
			case changes <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		if err == nil {
			last = append([]byte{}, doc.Text...)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// containerConfig returns what the file that the environment names and the environment itself say, and the place of the
// file, "" when there is none.
func containerConfig(ctx context.Context, env *Env) (c agent.ContainerConfig, file string, err error) {
	setting := platform.Setting(env.Getenv)
	src := agent.ContainerSource{Setting: setting, Getenv: env.Getenv, Environ: env.Environ(), LoadOptions: agent.LoadOptions{Bundled: hasBundled}}
	if src.Name = setting("AGENT_CONFIG"); src.Name != "" {
		doc, err := location.Fetch(ctx, src.Name)
		if errors.Is(err, fs.ErrNotExist) {
			return c, "", saba.Errorf(saba.ErrInvalid, "MACKEREL_AGENT_CONFIG (or SABA_AGENT_CONFIG) names %s, which does not exist", src.Name)
		}
		if err != nil {
			return c, "", fmt.Errorf("read the configuration: %w", err)
		}
		src.Name, src.Text = doc.Name, doc.Text
	}
	if c, err = agent.LoadContainer(src); err != nil {
		return c, "", err
	}
	c.Root = cmp.Or(c.Root, agent.DefaultContainerRoot)
	var wrong []error
	if c.APIKey == "" {
		wrong = append(wrong, saba.Errorf(saba.ErrInvalid, "there is no API key: set MACKEREL_APIKEY (or SABA_API_KEY), or write apikey or apikeyFile into the configuration"))
	}
	if c.APIBase == "" {
		// No default: in a container the server is never on localhost, and nobody else shall get the key.
		wrong = append(wrong, saba.Errorf(saba.ErrInvalid, "there is no address of a server: set MACKEREL_APIBASE (or SABA_API_BASE), or write apibase into the configuration"))
	}
	return c, src.Name, errors.Join(wrong...)
}

// containerOptions returns what to collect with: all but a server.
func containerOptions(env *Env, c agent.ContainerConfig) (agent.Options, error) {
	setting := platform.Setting(env.Getenv)
	p, err := platform.New(setting("CONTAINER_PLATFORM"), platform.Options{Setting: setting, Getenv: env.Getenv, Ignore: c.Ignore})
	err = errors.Join(err, agent.Bundle(&c.Config, agent.Bundled{Metric: bundledPlugin, Check: bundledCheck}))
	if err != nil {
		return agent.Options{}, err
	}
	if c.InMemory {
		c.Root = ""
	}
	o := agent.Options{
		Config:    c.Config,
		Sources:   []agent.Source{platform.NewContainers(p, !c.NoExtras), platform.NewNetwork(p)},
		Facts:     func(ctx context.Context) (collect.Facts, error) { return platform.Facts(ctx, p) },
		Environ:   agent.PluginEnviron(env.Environ(), c.Config),
		Revision:  env.Revision,
		Log:       containerLogger(env, c),
		Random:    rand.Float64,
		Container: !platform.Stays(setting("CONTAINER_PLATFORM")), // a host of size micro, which may come back
		// What is not up yet shall not be a host yet; what it says meanwhile is not lost.
		Gates:       append([]agent.Gate{{Name: "the containers to run", Open: p.Running}}, c.Readiness...),
		StopTimeout: cmp.Or(c.StopTimeout, agent.DefaultContainerStop),
		PostSpread:  postSpread,
	}
	return o, nil
}

func newContainerClient(env *Env, c agent.ContainerConfig, through func(http.RoundTripper) http.RoundTripper) (*client.Client, error) {
	return client.New(client.Options{
		Base: c.APIBase, Key: c.APIKey, UserAgent: agent.ContainerUserAgent(), Header: agent.Header(env.Revision),
		HTTP: &http.Client{Timeout: client.DefaultTimeout, Transport: through(agent.Transport(c.Config, env.Getenv))},
	})
}

// containerLogger returns the logger that c wants.
func containerLogger(env *Env, c agent.ContainerConfig) *slog.Logger {
	level := slog.LevelInfo
	switch c.LogLevel {
	case "TRACE", "DEBUG":
		level = slog.LevelDebug
	case "WARNING":
		level = slog.LevelWarn
	case "ERROR", "CRITICAL":
		level = slog.LevelError
	}
	return env.Logger(level)
}

// runContainerCheckConfig reads the configuration as a start would.
func runContainerCheckConfig(ctx context.Context, env *Env, args []string) error {
	flags := env.Flags("")
	if err := env.Parse(flags, args); err != nil {
		return err
	}
	if err := NoOperands(flags); err != nil {
		return err
	}
	c, file, err := containerConfig(ctx, env)
	if err != nil {
		return err
	}
	if _, err := containerOptions(env, c); err != nil {
		return err
	}
	if _, err := newContainerClient(env, c, agent.NewRecorder(nil, "", time.Time{}).Transport); err != nil {
		return err
	}
	sees := [][2]string{{"platform", platform.Setting(env.Getenv)("CONTAINER_PLATFORM")}}
	if c.Ignore != nil {
		sees = append(sees, [2]string{"containers", "but those that match " + c.Ignore.String()})
	}
	return describeConfig(env.Stdout, c.Config, cmp.Or(file, "without a file"), sees)
}
