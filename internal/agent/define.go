package agent

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// How often plugins are asked for their graph definitions: they may change with what the
// plugin watches. A run that fails, and a post, are repeated sooner.
const (
	defineEvery      = time.Hour
	defineRetryLeast = 5 * time.Second
	defineRetryMost  = 10 * time.Minute
	defineAtOnce     = 4 // runs at the same time
)

// define asks every plugin for its graph definitions and tells the server, again when they
// change. It returns when ctx has ended and every run with it.
func define(ctx context.Context, o Options, plugins []*plugin) {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, defineAtOnce)
	for _, p := range plugins {
		all.Go(func() { p.define(ctx, o, slots) })
	}
}

// define looks after the definitions of one plugin: a post of its own, so that a definition
// that the server refuses costs no other plugin's graphs.
func (p *plugin) define(ctx context.Context, o Options, slots chan struct{}) {
	retry := backoff{least: defineRetryLeast, most: defineRetryMost}
	say := announcer{log: p.log}
	var known, refused []saba.GraphDef // by the server
	for {
		defs, err := p.askDefinitions(ctx, slots)
		if err == nil && len(defs) > 0 && !reflect.DeepEqual(defs, known) && !reflect.DeepEqual(defs, refused) {
			err = o.API.PutGraphDefs(ctx, defs)
			if e, ok := errors.AsType[*client.Error](err); ok && e.Status == 400 && e.JSON {
				say.say(slog.LevelError, "refused", "the server refuses the plugin's graph definitions", "error", err)
				refused, err = defs, nil
			} else if err == nil {
				known = defs
				say.over("the plugin's graph definitions were sent")
			}
		}
		wait := defineEvery
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNoDefinitions):
			p.log.Debug("no graph definitions", "reason", err)
		case err != nil:
			say.say(slog.LevelWarn, err.Error(), "the plugin's graph definitions were not sent; it will be tried again", "error", err)
			wait = max(retry.next(o.Random), client.RetryAfter(err))
		default:
			retry.reset()
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// askDefinitions runs the plugin once for its definitions.
func (p *plugin) askDefinitions(ctx context.Context, slots chan struct{}) ([]saba.GraphDef, error) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, err := p.start(ctx, "1")
	if err != nil {
		return nil, err
	}
	defs, problems, err := parseDefinitions(r.Stdout)
	for _, problem := range problems {
		p.log.Warn("a graph definition of the plugin is wrong", "problem", problem)
	}
	return defs, err
}
