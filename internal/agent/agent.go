// Package agent is what runs on every watched host: it collects each minute, keeps what the
// server has not taken yet, and sends it. It never exits for a remote reason, and no source of
// values waits for another.
//
// Run owns four parts that share a queue and the host's id: the schedule collects
// (schedule.go), the registrar obtains the id and describes the host each hour (register.go),
// the definer asks plugins how they are drawn (define.go), and the sender posts (send.go).
// Plugins are processes (exec.go, plugin.go). The agent of a container is the same one: where its facts
// and values come from is what its Options say, it waits for its gates before it registers (gate.go), and
// it may keep nothing on disk and retire its host at its end. The package knows the server only as API, and
// never imports the server's side. Start with Run.
package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/collect"
)

// API is what the agent asks of a server. *client.Client is one.
type API interface {
	CreateHost(ctx context.Context, p client.HostParam) (id string, err error)
	Host(ctx context.Context, id string) (saba.Host, error)
	Hosts(ctx context.Context, f saba.HostFilter) ([]saba.Host, error)
	UpdateHost(ctx context.Context, id string, p client.HostParam) error
	SetHostStatus(ctx context.Context, id string, s saba.HostStatus) error
	PostHostMetrics(ctx context.Context, points []saba.Point) error
	PutGraphDefs(ctx context.Context, defs []saba.GraphDef) error
	ReportChecks(ctx context.Context, reports []saba.CheckReport) error
	PutMetadata(ctx context.Context, o saba.MetadataOwner, namespace string, value json.RawMessage) error
}

// A Source yields metrics of this host. Values and an error may come together: what could
// be read counts, what could not is logged.
type Source interface {
	Name() string // for people: "cpu"
	Collect(ctx context.Context) ([]saba.Value, error)
}

// DefaultStopTimeout bounds the farewell of an agent: the last posts and the status at stop.
const DefaultStopTimeout = 5 * time.Second

// Options are what an agent needs. All fields without a stated default are required.
type Options struct {
	Config  Config
	API     API
	Sources []Source // of host metrics
	// Facts describes the host. Facts and an error may come together; without a name there are none.
	Facts    func(ctx context.Context) (collect.Facts, error)
	Environ  []string // the environment that plugins inherit; PluginEnviron makes it
	Machine  string   // tells this machine from its clones (MachineFingerprint); "" when nothing does
	Revision string   // the commit of this binary
	Log      *slog.Logger
	// Random returns a number in [0, 1), to spread retries: rand.Float64 outside of tests. It is
	// called by several goroutines.
	Random func() float64
	// PostSpread spreads the posts of many agents over the first part of each minute: one host
	// always waits the same share of it (hostShare). 0 posts at once.
	PostSpread time.Duration
	// Volatile keeps the values that wait for the server in memory alone: a restart loses them. With
	// an empty Config.Root all else is kept there too, the host's id first of all.
	Volatile bool
	// Container says that the host is a container, or the containers around this one: it comes and goes with them. A
	// host that the server has retired, or does not know, is then registered anew.
	Container bool
	// Gates hold back the registration of the host, in this order, until each is open. Nothing else waits for them.
	Gates []Gate
	// Retire retires the host at the end of the agent, after the last post; nil leaves it.
	Retire Retirer
	// run replaces runCommand in tests.
	run func(ctx context.Context, c Command, environ []string) (Result, error)
	// now replaces time.Now in tests of a clock that is set: it says which minute it is.
	now func() time.Time
	// boot replaces the machine's clock since boot in such tests.
	boot bootClock
	// Reload receives what the agent shall go on with instead, as after a change of its file; nil
	// never does. Its Config.Root and StopTimeout do not count: they are fixed by the start.
	Reload <-chan Options
	Record *Recorder // is told how everything fares; nil remembers nothing
	Notify *Notifier // tells the service manager; nil tells nobody
	// StopTimeout bounds the time that Run takes to return after ctx has ended; 0 means DefaultStopTimeout.
	StopTimeout time.Duration
}

// clock returns what says which minute it is.
func (o Options) clock() func() time.Time {
	if o.now != nil {
		return o.now
	}
	return time.Now
}

// UserAgent is what an agent calls itself to the server.
func UserAgent() string { return "saba-agent/" + saba.Version }

// ContainerUserAgent is what the agent of a container calls itself.
func ContainerUserAgent() string { return "saba-container-agent/" + saba.Version }

// Header returns the headers that an agent sends besides, as the protocol's agents do.
func Header(revision string) map[string][]string {
	return map[string][]string{"X-Agent-Version": {saba.Version}, "X-Revision": {revision}}
}

// Run collects and sends until ctx ends; then it sends what is left, as far as
// Options.StopTimeout allows, and returns nil. It returns an error at once when the agent's
// folder (Config.Root) cannot be written or is another agent's: a local mistake that only a
// person can mend. Without a folder nothing is kept. When it returns, nothing it started still runs, but for a process or a
// system call that nothing can end.
func Run(ctx context.Context, o Options) error {
	if o.StopTimeout == 0 {
		o.StopTimeout = DefaultStopTimeout
	}
	ids, note, err := openIDFolder(o.Config.Root)
	if err != nil {
		return err
	}
	if note != nil {
		o.Log.Warn("nothing can be kept: what the server does not take before the agent ends is lost", "error", note)
	}
	if o.boot.id == "" {
		o.boot = hostBootClock()
	}
	clock := newTimekeeper(o.clock(), o.boot)
	q, err := openQueue(o, clock)
	if err != nil {
		return err
	}
	a := &running{ids: ids, queue: q, hosts: newHostIDs(), clock: clock}
	defer context.AfterFunc(ctx, func() { a.ended.Store(new(time.Now())) })()
	o.Record.queueFrom(q.status)
	o.Record.datesTo(clock.heard)
	wholeLife, hangUp := context.WithCancel(context.WithoutCancel(ctx)) // the farewell too
	var beside sync.WaitGroup
	if os.Getpid() == 1 { // in a container, say
		beside.Go(func() { buryOrphans(wholeLife) })
	}
	if o.Record != nil && o.Config.Root != "" {
		if l, err := listenStatus(ctx, filepath.Join(o.Config.Root, socketFile)); err != nil {
			o.Log.Warn("saba agent status will not work", "error", err)
		} else {
			record := o.Record // o is another one after a change of the configuration
			beside.Go(func() { record.serve(wholeLife, l) })
		}
	}
	o.Notify.Ready()
	for {
		next, again := a.generation(ctx, o)
		if !again {
			break
		}
		next.Config.Root, next.StopTimeout, next.now, next.boot = o.Config.Root, o.StopTimeout, o.now, o.boot
		o = next
		o.Notify.Ready()
	}
	o.Notify.Stopping()
	defer beside.Wait()
	defer hangUp()
	for _, p := range a.plugins {
		p.close()
	}
	a.farewell(context.WithoutCancel(ctx), o)
	return nil
}

// A running agent is what outlives a change of its configuration.
type running struct {
	ids   idFolder
	queue keptQueue
	hosts *hostIDs
	clock *timekeeper // nil where there is no clock since boot
	// plugins are those of the last generation, whose counters go on where the next one has the same.
	plugins []*plugin
	checks  []*check                  // of the last generation too
	flush   func(ctx context.Context) // of the verdicts of checks that the last generation left

	// What a folder would keep from one generation to the next, where there is none.
	counters counters
	verdicts *checkQueue
	asked    asking

	ended atomic.Pointer[time.Time] // when ctx of Run did; nil before
}

// generation runs the agent with one configuration, until ctx ends or another one comes. It returns
// that one. The sender of values and the checks have left what they could not send to a.
func (a *running) generation(ctx context.Context, o Options) (next Options, again bool) {
	for _, n := range o.Config.Notes {
		o.Log.Warn(n)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	plugins := inherit(newPlugins(o), a.plugins)
	for _, old := range a.plugins {
		if !slices.ContainsFunc(plugins, func(p *plugin) bool { return p.pluginState == old.pluginState }) {
			old.close()
		}
	}
	a.plugins = plugins
	sched := newSchedule(o, plugins, a.queue)
	sched.clock = a.clock
	if o.Config.Root == "" {
		a.counters.log, a.counters.say = o.Log, announcer{log: o.Log}
		sched.counters = &a.counters
	} else {
		sched.counters = newCounters(o.Config.Root, o.Log)
	}
	registrar := &registrar{o: o, ids: a.ids, hosts: a.hosts, asked: &a.asked}
	seed := o.Machine
	if seed == "" {
		seed, _ = os.Hostname() // without either, checks and metadata begin as they would anywhere
	}
	checks := newChecks(checkOptions{
		Checks: o.Config.Checks, Root: o.Config.Root, Seed: seed, API: o.API, Hosts: a.hosts,
		Environ: o.Environ, Log: o.Log, Random: o.Random, Run: o.run, Recorder: o.Record, Kept: a.verdicts,
	})
	checks.inherit(a.checks)
	a.checks, a.flush = checks.checks, checks.flush
	if o.Config.Root == "" {
		a.verdicts = checks.queue
	}
	o.Record.checksFrom(checks.waiting)

	var parts sync.WaitGroup
	parts.Go(func() { sched.run(ctx) })
	parts.Go(func() { registrar.run(ctx) })
	parts.Go(func() { resolveIdentifiers(ctx, o, a.hosts) })
	parts.Go(func() { define(ctx, o, plugins) })
	parts.Go(func() { checks.run(ctx) })
	parts.Go(func() {
		runMetadata(ctx, metadataOptions{
			Plugins: o.Config.Metadata, Root: o.Config.Root, Seed: seed, API: o.API, Hosts: a.hosts,
			Environ: o.Environ, Log: o.Log, Random: o.Random, Run: o.run, Recorder: o.Record,
		})
	})
	parts.Go(func() { newSender(o, a.queue, a.hosts).run(ctx) })
	for _, src := range o.Sources {
		if s, ok := src.(suspecting); ok && s.Suspicion() != nil {
			parts.Go(func() { blame(ctx, o, s, a.hosts) })
		}
	}
	select {
	case <-ctx.Done():
	case next, again = <-o.Reload:
		sched.rest(ctx) // a run that is cut short would cost its minute
		end()
	}
	parts.Wait()
	if again {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.StopTimeout)
		defer cancel()
		a.flush(ctx)
	}
	return next, again
}

// farewell sends what is left, sets the status at stop, retires the host if that is wanted, and closes the queue,
// within o.StopTimeout. ctx is one that has not ended.
func (a *running) farewell(ctx context.Context, o Options) {
	left := o.StopTimeout
	if ended := a.ended.Load(); ended != nil && o.Retire != nil {
		// What was still at work has taken a part of the time after which the process is killed.
		left = max(left-time.Since(*ended), left/4)
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	// A server that hangs may not take the time which the disk needs to keep what it does not take, nor that of the retirement.
	limit := left - left/5
	if o.Retire != nil {
		limit = left / 2
	}
	sending, giveUp := context.WithTimeout(ctx, limit)
	defer giveUp()
	var both sync.WaitGroup
	both.Go(func() { newSender(o, a.queue, a.hosts).flush(sending, !a.queue.durable || o.Retire != nil) })
	both.Go(func() { a.flush(sending) })
	both.Wait()
	if id, ok := a.hosts.get(""); ok && o.Config.OnStop != "" {
		if err := o.API.SetHostStatus(sending, id, o.Config.OnStop); err != nil {
			o.Log.Warn("the host's status at stop was not set", "status", o.Config.OnStop, "error", err)
		}
	}
	waiting := a.queue.waiting()
	if err := a.queue.close(ctx); err != nil {
		o.Log.Error("the agent stops and could neither send nor keep everything", "error", err)
	} else if waiting > 0 && o.Retire != nil {
		o.Log.Warn("values that the server did not take yet are lost: their host ends", "values", waiting)
	} else if waiting > 0 {
		o.Log.Info("values that the server did not take yet are kept for the next start", "values", waiting)
	}
	if o.Retire != nil {
		a.retire(ctx, o)
	}
}

// containerSuffix ends the version of a container's agent: by it servers know a host of size micro (saba.Host.Size).
const containerSuffix = "-container"

// hostParam returns what the server is told about this host.
func hostParam(o Options, f collect.Facts) (client.HostParam, error) {
	c, name, version := o.Config, UserAgent(), saba.Version
	if o.Container {
		name, version = ContainerUserAgent(), version+containerSuffix
	}
	meta, err := json.Marshal(struct {
		collect.Meta
		AgentName     string `json:"agent-name"`
		AgentVersion  string `json:"agent-version"`
		AgentRevision string `json:"agent-revision"`
	}{f.Meta, name, version, o.Revision})
	if err != nil {
		return client.HostParam{}, fmt.Errorf("describe the host: %w", err)
	}
	p := client.HostParam{
		Name: f.Name, DisplayName: c.DisplayName, CustomIdentifier: f.CustomIdentifier,
		Memo: c.Memo, Meta: meta, Interfaces: f.Interfaces, RoleFullnames: []string{},
	}
	for _, r := range c.Roles {
		p.RoleFullnames = append(p.RoleFullnames, r.String())
	}
	p.Checks = checkDeclarations(c) // which replace the server's: without checks of our own, [] says so
	return p, nil
}

// A backoff yields growing waits between tries that fail, spread so that a fleet does not
// return in step. The zero value is not ready: most must be set.
type backoff struct {
	least, most time.Duration
	tries       int
}

// next returns the wait before the next try: in the upper half of least·2ⁿ, at most most.
func (b *backoff) next(random func() float64) time.Duration {
	d := b.most
	if b.tries < 30 { // far from overflowing
		d = min(b.most, b.least<<b.tries)
		b.tries++
	}
	return d/2 + time.Duration(random()*float64(d/2))
}

func (b *backoff) reset() { b.tries = 0 }

// sleep waits for d, and says whether it did: false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// An announcer logs a condition when it begins, changes and ends, not each time it is met.
type announcer struct {
	log  *slog.Logger
	last string
}

// say logs the condition key at level unless it was the last one said.
func (a *announcer) say(level slog.Level, key, message string, args ...any) {
	if a.last == key {
		level = slog.LevelDebug
	}
	a.last = key
	a.log.Log(context.Background(), level, message, args...)
}

// over logs message when a condition had been said, and forgets it.
func (a *announcer) over(message string, args ...any) {
	if a.last != "" {
		a.last = ""
		a.log.Info(message, args...)
	}
}
