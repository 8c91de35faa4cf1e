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
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/agent"
)

// AgentCommands lists the commands that both binaries have.
func AgentCommands() []Command {
	return []Command{agentCommand}
}

var agentCommand = Command{
	Name:  "agent",
	Short: "watch this host: collect its metrics each minute and send them to a server",
	Run:   runAgent,
}

// postSpread spreads the posts of a fleet over the first seconds of each minute. It is short,
// since a minute that is late by most of a minute is what people ask about.
const postSpread = 5 * time.Second

// runAgent runs the agent, or collects once. A flag wins over the environment (SABA_API_KEY,
// SABA_API_BASE), which wins over the file.
func runAgent(ctx context.Context, env *Env, args []string) error {
	flags := env.Flags("")
	conf := flags.String("conf", agent.DefaultConf, "configuration `file` in TOML; the default one may be missing")
	base := flags.String("apibase", "", "`URL` of the server (also SABA_API_BASE; default "+agent.DefaultAPIBase+")")
	key := flags.String("apikey", "", "API `key`; visible to everybody on this host, so rather SABA_API_KEY or the file")
	root := flags.String("root", "", "`folder` that keeps this host's id (default "+agent.DefaultRoot+")")
	var roles listFlag
	flags.Var(&roles, "role", "`service:role` of this host, in place of those in the file; may be repeated")
	once := flags.Bool("once", false, "collect once, print as JSON what would be sent, and send nothing")
	verbose := flags.Bool("verbose", false, "log more")
	flags.BoolVar(verbose, "v", false, "short for --verbose")
	if err := env.Parse(flags, args); err != nil {
		return err
	}
	if err := NoOperands(flags); err != nil {
		return err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })

	c, err := agent.Load(*conf)
	if errors.Is(err, fs.ErrNotExist) && !given["conf"] {
		err = nil
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return saba.Errorf(saba.ErrInvalid, "configuration file %s does not exist", *conf)
		}
		return err
	}
	c.APIKey = cmp.Or(*key, env.Getenv("SABA_API_KEY"), c.APIKey)
	c.APIBase = cmp.Or(*base, env.Getenv("SABA_API_BASE"), c.APIBase, agent.DefaultAPIBase)
	c.Root = cmp.Or(*root, c.Root, agent.DefaultRoot)
	if given["role"] {
		if c.Roles, err = agent.ParseRoles(roles); err != nil {
			return saba.Errorf(saba.ErrInvalid, "values of --role %v", err)
		}
	}
	level := slog.LevelInfo
	switch {
	case *verbose || c.Verbose:
		level = slog.LevelDebug
	case c.Silent:
		level = slog.LevelError
	}
	host := agent.NewHost(c)
	o := agent.Options{
		Config: c, Sources: []agent.Source{host}, Facts: host.Facts,
		Environ: agent.PluginEnviron(env.Environ(), c), Revision: env.Revision,
		Log: env.Logger(level), Random: rand.Float64, PostSpread: postSpread,
	}
	if *once {
		return printOnce(ctx, env, o)
	}
	if c.APIKey == "" {
		return saba.Errorf(saba.ErrInvalid, "there is no API key: write apikey = \"…\" into %s, or set SABA_API_KEY", *conf)
	}
	api, err := client.New(client.Options{
		Base: c.APIBase, Key: c.APIKey, UserAgent: agent.UserAgent(), Header: agent.Header(env.Revision),
		HTTP: &http.Client{Timeout: client.DefaultTimeout, Transport: agent.Transport(c, env.Getenv)},
	})
	if err != nil {
		return err
	}
	o.API = api
	o.Log.Info("the agent starts", "version", saba.Version, "server", redacted(c.APIBase), "plugins", len(c.Metrics))
	if err := agent.Run(ctx, o); err != nil {
		return err
	}
	o.Log.Info("the agent has stopped")
	return nil
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
