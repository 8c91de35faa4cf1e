package servercli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/agent"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

var upCmd = cli.Command{
	Name:  "up",
	Short: "run server and agent of this machine in one process",
	Run: func(ctx context.Context, env *cli.Env, args []string) error {
		var f serverFlags
		if err := f.parse(env, args); err != nil {
			return err
		}
		s, log, err := f.open(ctx, env)
		if err != nil {
			return err
		}
		agentRoot := filepath.Join(f.data, "agent")
		key, err := agentKey(ctx, s, agentRoot)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		watch, err := ownAgent(env, agent.Config{APIKey: key, APIBase: localURL(s.Addr()), Root: agentRoot}, log)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		if err := announce(env.Stdout, s, f.data); err != nil {
			return errors.Join(err, s.Close())
		}

		// The agent ends first, so that what it has collected still finds a server; a server
		// that fails ends both.
		serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
		defer stopServer()
		g, agentCtx := errgroup.WithContext(ctx)
		g.Go(func() error { return s.Run(serverCtx) })
		g.Go(func() error {
			defer stopServer()
			return agent.Run(agentCtx, watch)
		})
		return g.Wait()
	},
}

// ownAgent returns the options of the agent that watches this machine and posts to this
// process over the loopback, as an agent elsewhere would.
func ownAgent(env *cli.Env, c agent.Config, log *slog.Logger) (agent.Options, error) {
	log = log.With("part", "agent")
	now := time.Now()
	record := agent.NewRecorder(log, env.Revision, now)
	record.Configured("", c, now)
	api, err := client.New(client.Options{
		Base: c.APIBase, Key: c.APIKey, UserAgent: agent.UserAgent(), Header: agent.Header(env.Revision),
		// Without a proxy whatever the environment says: the server is this process.
		HTTP: &http.Client{Timeout: client.DefaultTimeout, Transport: record.Transport(&http.Transport{})},
	})
	if err != nil {
		return agent.Options{}, err
	}
	host := agent.NewHost(c)
	return agent.Options{
		Config: c, API: api, Sources: []agent.Source{host}, Facts: host.Facts,
		Environ: agent.PluginEnviron(env.Environ(), c), Revision: env.Revision,
		Machine: agent.MachineFingerprint(os.DirFS("/")),
		Log:     log, Random: mathrand.Float64, Record: record,
	}, nil
}

// agentKey returns the API key of this machine's own agent. It is kept in the agent's folder,
// readable by its owner alone, as any agent keeps its key; the server keeps its hash.
func agentKey(ctx context.Context, s *server.Server, root string) (string, error) {
	path := filepath.Join(root, "key")
	b, err := os.ReadFile(path)
	key := strings.TrimSpace(string(b))
	if errors.Is(err, os.ErrNotExist) || err == nil && key == "" {
		if key, err = saba.NewSecret(rand.Reader); err != nil {
			return "", err
		}
		if err := os.MkdirAll(root, 0o700); err != nil {
			return "", fmt.Errorf("the agent's folder cannot be made: %w", err)
		}
		err = os.WriteFile(path, []byte(key+"\n"), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("the key of this machine's agent cannot be kept: %w", err)
	}
	return key, s.EnsureKey(ctx, "this machine's agent (saba up)", key)
}
