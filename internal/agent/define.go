package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// How often plugins are asked for their graph definitions: they may change with what the
// plugin watches. A post that fails is repeated sooner, a run that fails after defineRunWait.
const (
	defineEvery      = time.Hour
	defineRetryLeast = 5 * time.Second
	defineRetryMost  = 10 * time.Minute
	defineAtOnce     = 4 // runs at the same time
	// defineAgain is after how long definitions are sent again that did not change: servers
	// forget those with wildcards when no value came for some hours, and people delete some.
	defineAgain = 24 * time.Hour
)

// defineRunWait returns the wait after the nth run in a row that failed, from 1. Plugins hang
// that know nothing of definitions: they are left in peace.
func defineRunWait(n int) time.Duration {
	waits := [...]time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}
	return waits[min(n, len(waits))-1]
}

// define asks every plugin for its graph definitions and tells the server, again when they
// change. It returns when ctx has ended and every run with it.
func define(ctx context.Context, o Options, plugins []*plugin) {
	var all sync.WaitGroup
	defer all.Wait()
	told := openTold(idFolder(o.Config.Root), o.Log)
	slots := make(chan struct{}, defineAtOnce)
	for _, p := range slices.Concat(plugins, ownDefinitions(o)) {
		all.Go(func() { p.define(ctx, o, told, slots) })
	}
}

// A defined Source has graphs that no server knows by itself.
type defined interface{ Definitions() []saba.GraphDef }

// ownDefinitions returns the sources that are defined, each as a plugin that is asked for its
// definitions alone.
func ownDefinitions(o Options) []*plugin {
	var own []*plugin
	for _, src := range o.Sources {
		if d, ok := src.(defined); ok && len(d.Definitions()) > 0 {
			// No section of a configuration file is called like this.
			m := MetricPlugin{Name: "[" + src.Name() + "]", Bundled: []string{src.Name()}}
			own = append(own, &plugin{MetricPlugin: m, log: o.Log.With("source", src.Name()), pluginState: &pluginState{runner: definer{d}}})
		}
	}
	return own
}

// A definer is the Runner of a source that is no plugin.
type definer struct{ defined }

// Values is never asked.
func (definer) Values(context.Context, []string) ([]saba.Value, error) { return nil, nil }

// define looks after the definitions of one plugin: a post of its own, so that a definition
// that the server refuses costs no other plugin's graphs.
func (p *plugin) define(ctx context.Context, o Options, told *told, slots chan struct{}) {
	retry := backoff{least: defineRetryLeast, most: defineRetryMost}
	say, wrong := announcer{log: p.log}, announcer{log: p.log}
	failed := 0 // runs in a row
	for {
		defs, problem, err := p.askDefinitions(ctx, slots)
		if problem != "" {
			wrong.say(slog.LevelWarn, problem, "some graph definitions of the plugin are wrong", "problem", problem)
		}
		wait := defineEvery
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNoDefinitions):
			p.log.Debug("no graph definitions", "reason", err)
			failed = 0
		case err != nil:
			failed++
			wait = defineRunWait(failed)
			say.say(slog.LevelWarn, err.Error(), "the plugin was not able to say its graph definitions; it will be asked again", "error", err, "in", wait)
		default:
			failed = 0
			if err := p.tell(ctx, o.API, told, defs, &say); err != nil {
				if ctx.Err() != nil {
					return
				}
				say.say(slog.LevelWarn, err.Error(), "the plugin's graph definitions were not sent; it will be tried again", "error", err)
				wait = max(retry.next(o.Random), client.RetryAfter(err))
			} else {
				retry.reset()
			}
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// tell sends definitions, unless the server has said of the same ones that it took them or
// never will.
func (p *plugin) tell(ctx context.Context, api API, told *told, defs []saba.GraphDef, say *announcer) error {
	if len(defs) == 0 {
		return nil
	}
	hash, err := definitionsHash(defs)
	if err != nil {
		return err
	}
	if told.has(p.Name, hash, time.Now()) {
		return nil
	}
	refused, err := putDefinitions(ctx, api, defs)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		text := excerpt([]byte(errors.Join(refused...).Error()), maxError)
		say.say(slog.LevelError, text, "the server refuses graph definitions of the plugin", "refused", len(refused), "of", len(defs), "error", text)
	} else {
		say.over("the plugin's graph definitions were sent")
	}
	// What was refused is not tried again by this process: it would be refused again.
	told.sent(p.Name, hash, time.Now(), len(refused) == 0)
	return nil
}

// putDefinitions sends definitions, halved as often as it takes to find the ones that the
// server refuses: they cost the others nothing. refused has an error for each of those.
func putDefinitions(ctx context.Context, api API, defs []saba.GraphDef) (refused []error, err error) {
	err = api.PutGraphDefs(ctx, defs)
	if bad, _ := refusedFor(err); !bad {
		return nil, err
	}
	if len(defs) == 1 {
		return []error{fmt.Errorf("graph %s: %w", defs[0].Name, err)}, nil
	}
	for _, half := range [][]saba.GraphDef{defs[:len(defs)/2], defs[len(defs)/2:]} {
		bad, err := putDefinitions(ctx, api, half)
		if err != nil {
			return nil, err
		}
		refused = append(refused, bad...)
	}
	return refused, nil
}

func definitionsHash(defs []saba.GraphDef) (string, error) {
	b, err := json.Marshal(defs)
	if err != nil {
		return "", fmt.Errorf("hash the graph definitions: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// askDefinitions asks the plugin once for its definitions. problem says what is wrong with
// some of them, "" when nothing is.
func (p *plugin) askDefinitions(ctx context.Context, slots chan struct{}) (defs []saba.GraphDef, problem string, err error) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	if len(p.Bundled) > 0 {
		defs, err := p.bundledDefinitions(ctx)
		return defs, "", err
	}
	r, _, err := p.start(ctx, "1")
	if err != nil {
		return nil, "", err
	}
	defs, problems, err := parseDefinitions(r.Stdout)
	if r.Cut && err != nil && !errors.Is(err, errNoDefinitions) {
		err = fmt.Errorf("%w (it printed more than %d bytes)", err, maxOutput)
	}
	return defs, excerpt([]byte(strings.Join(problems, "; ")), maxError), err
}

// bundledDefinitions asks a plugin inside the agent.
func (p *plugin) bundledDefinitions(ctx context.Context) ([]saba.GraphDef, error) {
	if p.runner == nil {
		return nil, errNoDefinitions // the turns say why
	}
	a, err := runBundled(ctx, p.timeout(), func(context.Context) answer {
		return answer{defs: p.runner.Definitions()}
	})
	return a.defs, err
}

// toldFile keeps which definitions the server has, so that a restart does not send them all:
// a JSON object of toldEntry by plugin.
const toldFile = "definitions.json"

// A toldEntry says what was sent for one plugin.
type toldEntry struct {
	Host string `json:"host"` // its id: another host may be one of another server
	Hash string `json:"hash"` // definitionsHash
	Sent int64  `json:"sent"` // Unix seconds
	part bool   // the server refused some of it: not for the next process
}

// told knows which definitions the server has. It is safe for use by several goroutines.
type told struct {
	folder idFolder
	log    *slog.Logger

	mu   sync.Mutex
	kept map[string]toldEntry // in toldFile
	own  map[string]toldEntry // sent by this process
}

// openTold reads what earlier processes have told. A file that cannot be read costs a repetition.
func openTold(folder idFolder, log *slog.Logger) *told {
	t := &told{folder: folder, log: log, own: map[string]toldEntry{}, kept: map[string]toldEntry{}}
	if folder == "" {
		return t
	}
	b, err := os.ReadFile(filepath.Join(string(folder), toldFile))
	if err == nil {
		err = json.Unmarshal(b, &t.kept)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Warn("it cannot be read which graph definitions the server has; they are sent again", "error", err)
	}
	if t.kept == nil {
		t.kept = map[string]toldEntry{}
	}
	return t
}

// has says whether the server need not be told these definitions of a plugin.
func (t *told) has(plugin, hash string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	host := t.host()
	e, own := t.own[plugin]
	if !own {
		e = t.kept[plugin]
	}
	if e.Hash != hash || !fresh(e.Sent, now) || !own && (host == "" || e.Host != host) {
		return false
	}
	if own && e.Host != host {
		e.Host = host // the host was not registered yet when they were sent
		t.keep(plugin, e)
	}
	return true
}

// fresh says whether what was sent at sent (Unix seconds) need not be sent again; a time in
// the future is that of a clock that was wrong.
func fresh(sent int64, now time.Time) bool {
	age := now.Unix() - sent
	return age >= 0 && age < int64(defineAgain/time.Second)
}

// host returns the id of this host, "" as long as there is none.
func (t *told) host() string {
	id, err := t.folder.read(idFile)
	if err != nil {
		return "" // the registrar says so
	}
	return id
}

// sent notes that definitions were sent, for the next process too if the server took them all.
func (t *told) sent(plugin, hash string, now time.Time, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(plugin, toldEntry{Host: t.host(), Hash: hash, Sent: now.Unix(), part: !all})
}

// keep notes an entry. t.mu is held.
func (t *told) keep(plugin string, e toldEntry) {
	t.own[plugin] = e
	if e.part || e.Host == "" {
		return
	}
	t.kept[plugin] = e
	b, err := json.Marshal(t.kept)
	if err == nil {
		err = t.folder.write(toldFile, string(b))
	}
	if err != nil {
		// The server has them, which is what matters; a restart sends them again.
		t.log.Debug("it was not kept which graph definitions the server has", "error", err)
	}
}
