package cli

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/agent"
)

// An agentRun is what is different between the agents of this program, that of a host and that of a container, each of
// which has a configuration C of its own. All else they have in common: see run.
type agentRun[C any] struct {
	load    func(ctx context.Context) (c C, file string, err error) // the configuration, and where it was read; "" is nowhere
	config  func(C) agent.Config                                    // its part that both have
	logger  func(C) *slog.Logger
	options func(C, *agent.Recorder) (agent.Options, error) // all but Record, Notify and Reload
	// changes receives when the configuration may have changed; nil never does.
	changes <-chan struct{}
}

// run runs the agent with the configuration c, read from file, until ctx ends. On a hang-up, and on a change, it reads
// the configuration anew and goes on with it, or with the one before when that cannot be used.
func (r agentRun[C]) run(ctx context.Context, env *Env, c C, file string) error {
	log := r.logger(c)
	record := agent.NewRecorder(log, env.Revision, time.Now())
	notify := agent.NewNotifier(env.Getenv, os.Getpid(), log)
	reloads := make(chan agent.Options)
	options := func(c C) (agent.Options, error) {
		o, err := r.options(c, record)
		o.Record, o.Notify, o.Reload = record, notify, reloads
		return o, err
	}
	o, err := options(c)
	if err != nil {
		return err
	}
	common := r.config(c)
	record.Configured(file, common, time.Now())
	log.Info("the agent starts", "version", saba.Version, "server", redacted(common.APIBase), "plugins", len(common.Metrics), "checks", len(common.Checks))

	ctx, end := context.WithCancel(ctx)
	var reloader sync.WaitGroup
	var hangups <-chan os.Signal
	if env.Hangups != nil {
		hangups = env.Hangups(ctx)
	}
	reloader.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
			case <-r.changes:
			}
			notify.Reloading()
			c, file, err := r.load(ctx)
			var next agent.Options
			if err == nil {
				next, err = options(c)
			}
			if err != nil {
				log.Error("the configuration was not reloaded: the agent goes on with the one before", "error", err)
				record.ConfigRefused(err, time.Now())
				notify.Ready()
				continue
			}
			common := r.config(c)
			record.Configured(file, common, time.Now())
			select {
			case reloads <- next:
				log.Info("the configuration was reloaded", "server", redacted(common.APIBase), "plugins", len(common.Metrics), "checks", len(common.Checks))
			case <-ctx.Done():
			}
		}
	})
	err = agent.Run(ctx, o)
	end()
	reloader.Wait()
	if err == nil {
		log.Info("the agent has stopped")
	}
	return err
}
