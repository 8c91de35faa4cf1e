package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// The times of a Gate that says nothing of them.
const (
	gateEvery   = 3 * time.Second
	gateTimeout = 10 * time.Second
	// A gate that says nothing of when it is asked, and is closed for longer than gatePatience, is asked less often: the one
	// whom it asks serves others too, and what is closed for so long waits for a person.
	gatePatience = 2 * time.Minute
	gateSeldom   = 30 * time.Second
)

// A Gate holds back the registration of the host: a container is there before what it shall do is. Collection
// does not wait for it, and what is collected is sent when the host is registered. A gate that was open is not asked again.
type Gate struct {
	Name    string        // what is waited for, for people: "the Pod to run"
	Delay   time.Duration // before it is asked first
	Every   time.Duration // from one answer to the next question; 0 means 3 s, and after 2 minutes 30 s
	Timeout time.Duration // of each question; 0 means 10 s
	// Open returns nil when the gate is open, and else why it is not. It returns soon after ctx has ended.
	Open func(ctx context.Context) error
}

// pass waits until every gate is open. It returns false when ctx has ended before.
func (r *registrar) pass(ctx context.Context) bool {
	for _, g := range r.o.Gates {
		if !g.pass(ctx, r.o) {
			return false
		}
	}
	return true
}

// pass waits until g is open; false when ctx has ended before.
func (g Gate) pass(ctx context.Context, o Options) bool {
	say, began := announcer{log: o.Log}, time.Now()
	if g.Delay > 0 && !sleep(ctx, g.Delay) {
		return false
	}
	for {
		err := g.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			say.over("the registration has waited for "+g.Name+", and goes on", "gate", g.Name)
			return true
		}
		o.Record.host(Registering, "", fmt.Errorf("waits for %s: %w", g.Name, err))
		say.say(slog.LevelInfo, err.Error(), "the registration waits for "+g.Name, "gate", g.Name, "error", err)
		wait := g.Every
		switch {
		case wait > 0:
		case time.Since(began) < gatePatience:
			wait = gateEvery
		default:
			wait = gateSeldom
		}
		if !sleep(ctx, wait) {
			return false
		}
	}
}

// ask asks once. A panic is an answer too.
func (g Gate) ask(ctx context.Context) (err error) {
	limit := g.Timeout
	if limit == 0 {
		limit = gateTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v in %s", p, panicked())
		}
	}()
	return g.Open(ctx)
}

// An asking remembers a registration whose answer has not come, as a folder does (idFolder.asks) where there is one: the
// server may have made the host. It is safe for use by several goroutines. The zero value knows of none.
type asking struct {
	mu    sync.Mutex
	first time.Time
}

// begin notes that a host is asked for at now.
func (a *asking) begin(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first.IsZero() {
		a.first = now
	}
}

func (a *asking) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first = time.Time{}
}

// since returns when the first one was asked for; the zero time when every one was answered.
func (a *asking) since() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first
}

// retire retires the host of an agent that ends, within ctx. When that fails the server has a host that is no more.
func (a *running) retire(ctx context.Context, o Options) {
	id, err := a.own(ctx, o)
	for err != nil && passing(err) && sleep(ctx, time.Second) {
		id, err = a.own(ctx, o)
	}
	switch {
	case err != nil:
		o.Log.Error("it is not known whether the server has a host of this container, which ends: if it has, it is to be retired there", "error", err)
		return
	case id == "":
		return // there was none
	}
	if err := retireHost(ctx, o.Retire, id, o.Log); err != nil {
		o.Log.Error("the host stays on the server although it ends: it is to be retired there", "host", id, "error", err)
		return
	}
	o.Log.Info("the host is retired", "host", id)
	if err := forget(o.Config.Root); err != nil {
		o.Log.Warn("the id of a host that is retired is kept: the next start registers anew all the same", "error", err)
	}
}

// own returns the id of the host that this agent has on the server, as well as it can be known: that of a
// registration without an answer, and of an earlier life which no gate has let pass in this one, too. It is "" when there is none.
func (a *running) own(ctx context.Context, o Options) (id string, err error) {
	if id := a.hosts.known(); id != "" {
		return id, nil
	}
	who, err := a.ids.identity(o.Machine)
	if err == nil && who.id != "" {
		return who.id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.StopTimeout/4)
	defer cancel()
	r := &registrar{o: o, ids: a.ids, hosts: a.hosts, asked: &a.asked}
	p, err := r.describe(ctx)
	if err != nil {
		return "", nil // nobody: a host that cannot be described was not registered
	}
	if p.CustomIdentifier != "" {
		hosts, err := o.API.Hosts(ctx, saba.HostFilter{CustomIdentifier: p.CustomIdentifier})
		if err != nil || len(hosts) == 0 {
			return "", err
		}
		return hosts[0].ID, nil
	}
	since := a.asked.since() // the note in the folder would only say so of an earlier life, which had another name
	if since.IsZero() {
		return "", nil
	}
	return r.unheard(ctx, p, since)
}
