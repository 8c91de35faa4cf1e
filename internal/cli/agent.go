package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/agent"
	"github.com/saba-monitor/saba/internal/argv"
)

// AgentCommands lists the commands that both binaries have.
func AgentCommands() []Command {
	return []Command{agentCommand, containerCommand, tailCommand, pluginCommand, checkCommand}
}

var agentCommand = Command{
	Name:  "agent",
	Short: "watch this host: collect its metrics each minute and send them to a server",
	Run:   dispatchAgent,
}

// postSpread spreads the posts of a fleet over the first seconds of each minute. It is short,
// since a minute that is late by most of a minute is what people ask about.
const postSpread = 5 * time.Second

// agentCommands returns the words that may follow "agent".
func agentCommands() []Command {
	return []Command{
		{"status", "say how the running agent and each of its sources fare", runStatus},
		{"check-config", "read the configuration, name every mistake, and say what it will do", runCheckConfig},
		{"init", "write a configuration file, or make one of another agent's", runInit},
		{"retire", "retire this host on the server, and forget its id", runRetire},
	}
}

// agentSynonyms returns what the protocol's other agents call the same, for the scripts that do.
func agentSynonyms() []Command {
	return []Command{
		{"configtest", "check-config", runCheckConfig},
		{"once", "--once", func(ctx context.Context, env *Env, args []string) error {
			return runAgent(ctx, env, append([]string{"--once"}, args...))
		}},
		{"supervise", "the agent itself: its service manager restarts it", runAgent},
	}
}

// findAgentCommand returns the command of the agent with that name, which may be a synonym.
func findAgentCommand(name string) (Command, bool) {
	all := slices.Concat(agentCommands(), agentSynonyms())
	i := slices.IndexFunc(all, func(c Command) bool { return c.Name == name })
	if i < 0 {
		return Command{}, false
	}
	return all[i], true
}

// dispatchAgent runs the command of the agent that the first argument names, or else the agent.
func dispatchAgent(ctx context.Context, env *Env, args []string) error {
	if len(args) == 0 {
		return runAgent(ctx, env, args)
	}
	if c, ok := findAgentCommand(args[0]); ok {
		env.Command += " " + c.Name
		return c.Run(ctx, env, args[1:])
	}
	if !strings.HasPrefix(args[0], "-") {
		if meant := didYouMean(args[0], agentCommands()); meant != "" {
			return saba.Errorf(saba.ErrInvalid, "unknown command %q%s", args[0], meant)
		}
	}
	return runAgent(ctx, env, args)
}

// agentFlags are the flags that the agent's commands share.
type agentFlags struct {
	*flag.FlagSet
	conf, base, key, keyFile, root string
	roles                          listFlag
	verbose, diagnostic            bool
}

func newAgentFlags(env *Env) *agentFlags {
	f := &agentFlags{FlagSet: env.Flags("")}
	f.StringVar(&f.conf, "conf", agent.DefaultConf, "configuration `file` in TOML; the default one may be missing")
	f.StringVar(&f.base, "apibase", "", "`URL` of the server (also SABA_API_BASE; default "+agent.DefaultAPIBase+")")
	f.StringVar(&f.key, "apikey", "", "API `key`; for a moment visible to everybody on this host, so rather --apikey-file, SABA_API_KEY or the file")
	f.StringVar(&f.keyFile, "apikey-file", "", "`file` that holds the API key alone")
	f.StringVar(&f.root, "root", "", "`folder` that keeps this host's id (default "+agent.DefaultRoot+")")
	f.Var(&f.roles, "role", "`service:role` of this host, in place of those in the file; may be repeated")
	f.BoolVar(&f.verbose, "verbose", false, "log more")
	f.BoolVar(&f.verbose, "v", false, "short for --verbose")
	f.BoolVar(&f.diagnostic, "diagnostic", false, "also send metrics of the agent itself")
	f.String("pidfile", "", "`file`: no effect; accepted for the service files of other agents")
	return f
}

// parse parses args, of which all are flags.
func (f *agentFlags) parse(env *Env, args []string) error {
	if err := env.Parse(f.FlagSet, args); err != nil {
		return err
	}
	return NoOperands(f.FlagSet)
}

// given says whether a flag stood on the command line.
func (f *agentFlags) given(name string) bool {
	found := false
	f.Visit(func(x *flag.Flag) { found = found || x.Name == name })
	return found
}

// config returns the configuration: a flag wins over the environment, which wins over the file.
// loaded is the file that was read, "" when there is none. Without a key it is complete otherwise.
func (f *agentFlags) config(env *Env) (c agent.Config, loaded string, err error) {
	c, err = agent.LoadWith(f.conf, agent.LoadOptions{Bundled: hasBundled})
	switch {
	case err == nil:
		loaded = f.conf
	case errors.Is(err, fs.ErrNotExist) && !f.given("conf"):
	case errors.Is(err, fs.ErrNotExist):
		return c, "", saba.Errorf(saba.ErrInvalid, "configuration file %s does not exist", f.conf)
	default:
		return c, "", err
	}
	c.ApplyEnvironment(env.Getenv)
	if f.keyFile != "" {
		if f.key != "" {
			return c, loaded, saba.Errorf(saba.ErrInvalid, "of --apikey and --apikey-file, write one")
		}
		if c.APIKey, err = readSecret(f.keyFile); err != nil {
			return c, loaded, err
		}
		c.APIKeyFile = f.keyFile
	}
	if f.key != "" {
		c.APIKey, c.APIKeyFile = f.key, ""
	}
	c.APIBase = cmp.Or(f.base, c.APIBase, agent.DefaultAPIBase)
	c.Root = cmp.Or(f.root, c.Root, agent.DefaultRoot)
	if f.given("role") {
		if c.Roles, err = agent.ParseRoles(f.roles); err != nil {
			return c, loaded, saba.Errorf(saba.ErrInvalid, "values of --role %v", err)
		}
	}
	return c, loaded, nil
}

// readSecret returns the only line of a small file.
func readSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", saba.Errorf(saba.ErrInvalid, "the API key cannot be read: %v", err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", saba.Errorf(saba.ErrInvalid, "%s does not hold an API key alone", file)
	}
	return key, nil
}

// newAgentClient returns how c reaches its server. through wraps the transport.
func newAgentClient(env *Env, conf string, c agent.Config, through func(http.RoundTripper) http.RoundTripper) (*client.Client, error) {
	if c.APIKey == "" {
		return nil, errNoKey(conf)
	}
	return client.New(client.Options{
		Base: c.APIBase, Key: c.APIKey, UserAgent: agent.UserAgent(), Header: agent.Header(env.Revision),
		HTTP: &http.Client{Timeout: client.DefaultTimeout, Transport: through(agent.Transport(c, env.Getenv))},
	})
}

func errNoKey(conf string) error {
	return saba.Errorf(saba.ErrInvalid, "there is no API key: write apikey = \"…\" into %s, or set SABA_API_KEY", conf)
}

// runAgent runs the agent, or collects once.
func runAgent(ctx context.Context, env *Env, args []string) error {
	flags := newAgentFlags(env)
	once := flags.Bool("once", false, "collect once, print as JSON what would be sent, and send nothing")
	usage := flags.Usage
	flags.Usage = func() {
		usage()
		fmt.Fprintf(flags.Output(), "\nCommands, each with flags of its own:\n")
		for _, c := range agentCommands() {
			fmt.Fprintf(flags.Output(), "  %-22s %s\n", c.Name, c.Short)
		}
		fmt.Fprintf(flags.Output(), "\nNames that other agents of the protocol have for the same:\n")
		for _, c := range agentSynonyms() {
			fmt.Fprintf(flags.Output(), "  %-22s %s\n", c.Name, c.Short)
		}
	}
	if err := flags.parse(env, args); err != nil {
		return err
	}
	if !*once && env.Slacken != nil {
		env.Slacken(ctx)
	}
	argv.Hide(flags.key)
	c, file, err := flags.config(env)
	if err != nil {
		return err
	}
	log := agentLogger(env, flags, c)
	if *once {
		o, err := agentOptions(env, c, log)
		if err != nil {
			return err
		}
		return printOnce(ctx, env, o)
	}
	run := agentRun[agent.Config]{
		load:   func(context.Context) (agent.Config, string, error) { return flags.config(env) },
		config: func(c agent.Config) agent.Config { return c },
		logger: func(c agent.Config) *slog.Logger { return agentLogger(env, flags, c) },
		options: func(c agent.Config, record *agent.Recorder) (agent.Options, error) {
			o, err := agentOptions(env, c, agentLogger(env, flags, c))
			if err != nil {
				return o, err
			}
			api, err := newAgentClient(env, flags.conf, c, func(base http.RoundTripper) http.RoundTripper {
				return record.Transport(agent.FreshKey(c, o.Log, base))
			})
			if err != nil {
				return o, err
			}
			o.API = api
			if flags.diagnostic || c.Diagnostic {
				o.Sources = append(o.Sources, agent.NewSelf(record))
			}
			return o, nil
		},
	}
	return run.run(ctx, env, c, file)
}

// agentLogger returns the logger that the flags and c want.
func agentLogger(env *Env, flags *agentFlags, c agent.Config) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case flags.verbose || c.Verbose:
		level = slog.LevelDebug
	case c.Silent:
		level = slog.LevelError
	}
	return env.Logger(level)
}

// agentOptions returns what to collect with: all but a server. The error names each plugin that
// cannot be made.
func agentOptions(env *Env, c agent.Config, log *slog.Logger) (agent.Options, error) {
	if err := agent.Bundle(&c, agent.Bundled{Metric: bundledPlugin, Check: bundledCheck}); err != nil {
		return agent.Options{}, err
	}
	host := agent.NewHost(c)
	return agent.Options{
		Config: c, Sources: []agent.Source{host}, Facts: host.Facts,
		Environ: agent.PluginEnviron(env.Environ(), c), Revision: env.Revision,
		Machine: agent.MachineFingerprint(os.DirFS("/")),
		Log:     log, Random: rand.Float64, PostSpread: postSpread,
	}, nil
}

// redacted returns an address without the password in it.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

func printOnce(ctx context.Context, env *Env, o agent.Options) error {
	s, err := agent.Once(ctx, o)
	if err != nil {
		return err
	}
	b, err := s.JSON()
	if err != nil {
		return fmt.Errorf("print what would be sent: %w", err)
	}
	_, err = fmt.Fprintf(env.Stdout, "%s\n", b)
	return err
}

// A listFlag collects the values of a flag that may be repeated, each split at commas.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(s string) error {
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			*l = append(*l, v)
		}
	}
	return nil
}
