package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// The waits between the registrar's turns, and how long the facts may take.
const (
	describeEvery     = time.Hour
	registerLeast     = time.Second
	registerMost      = 5 * time.Minute
	factsTimeout      = 20 * time.Second
	whenSomebodyActed = 5 * time.Minute // how often a state that a person must mend is looked at
)

// hostIDs holds the ids of the hosts that the agent posts for, by custom identifier; the
// agent's own host is "". It is safe for use by several goroutines.
type hostIDs struct {
	changed chan struct{} // receives after set
	doubted chan struct{} // receives after doubt

	mu   sync.Mutex
	ids  map[string]string
	next chan struct{} // closed by set
	last string        // the agent's own host, as long as it is not known to be another's
}

func newHostIDs() *hostIDs {
	return &hostIDs{changed: make(chan struct{}, 1), doubted: make(chan struct{}, 1), ids: map[string]string{}, next: make(chan struct{})}
}

func (h *hostIDs) get(identifier string) (id string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id, ok = h.ids[identifier]
	return id, ok
}

func (h *hostIDs) ready(identifier string) bool {
	_, ok := h.get(identifier)
	return ok
}

func (h *hostIDs) set(identifier, id string) {
	h.mu.Lock()
	if identifier == "" {
		h.last = id
	}
	if h.ids[identifier] != id {
		h.ids[identifier] = id
		close(h.next)
		h.next = make(chan struct{})
	}
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// hostID is get, and changes returns a channel that is closed when the next id is known: they are
// what checks and metadata ask, each of which waits for itself.
func (h *hostIDs) hostID(identifier string) (id string, ok bool) { return h.get(identifier) }

func (h *hostIDs) changes() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next
}

// recheck takes the agent's own host for unknown until the server has said that it is still there.
func (h *hostIDs) recheck() {
	h.remove("")
	h.doubt()
}

// known returns the agent's own host although it may be in doubt; "" when there is none.
func (h *hostIDs) known() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// disown forgets the agent's own host.
func (h *hostIDs) disown() {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ids, "")
	h.last = ""
}

// doubt says that the server may not know the agent's own host any more.
func (h *hostIDs) doubt() {
	select {
	case h.doubted <- struct{}{}:
	default:
	}
}

func (h *hostIDs) remove(identifier string) {
	h.mu.Lock()
	delete(h.ids, identifier)
	h.mu.Unlock()
}

// A personError is a state that waiting does not mend.
type personError struct{ text string }

func (e *personError) Error() string { return e.text }

// A registrar obtains the host's id, and describes the host to the server each hour.
type registrar struct {
	o     Options
	ids   idFolder
	hosts *hostIDs
	asked *asking

	id        string // "" until it is known
	mayCreate bool   // a new host, unless one is found by its custom identifier
	lost      string // why not
	noted     string // the last note about the id that was logged
	kept      bool   // id is in its file
	started   bool   // the status at start is what it shall be
	seenHost  bool   // the host was looked at since this start
}

// run registers, then describes, until ctx ends. It tries again for as long as that takes.
func (r *registrar) run(ctx context.Context) {
	say := announcer{log: r.o.Log}
	retry := backoff{least: registerLeast, most: registerMost}
	if id := r.hosts.known(); id != "" && r.ids == "" {
		r.id, r.kept = id, true // by the generation before
	} else if id == "" && !r.pass(ctx) {
		return
	}
	for {
		err := r.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := describeEvery
		if err == nil {
			retry.reset()
			r.o.Record.host(Registered, r.id, nil)
			say.over("the server knows this host again", "host", r.id)
		} else {
			wait = max(retry.next(r.o.Random), min(client.RetryAfter(err), mostRetryAfter))
			doing := "register this host"
			if r.id != "" {
				doing = "describe this host"
			}
			_, person := errors.AsType[*personError](err)
			r.o.Record.host(r.state(person), r.id, err)
			switch {
			case person:
				say.say(slog.LevelError, err.Error(), err.Error())
				wait = max(wait, whenSomebodyActed)
			case errors.Is(err, saba.ErrUnauthorized) || errors.Is(err, saba.ErrForbidden):
				say.say(slog.LevelError, "key", "the server refuses the API key; the agent goes on collecting and tries again", "doing", doing, "error", err)
			default:
				say.say(slog.LevelWarn, "fails "+doing, "the agent could not "+doing+"; it goes on collecting and tries again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-r.hosts.doubted: // by a sender, which has waits of its own
			r.seenHost = false
		}
	}
}

// state returns how this host stands with the server after a turn that failed. person says that
// only a person can mend it.
func (r *registrar) state(person bool) Registration {
	switch {
	case r.hosts.ready(""):
		return Registered
	case person:
		return Unaccepted
	}
	return Registering
}

// turn does what is due: find or create the host, keep its id, set its status at start, describe it.
func (r *registrar) turn(ctx context.Context) error {
	p, err := r.describe(ctx)
	if err != nil {
		return err
	}
	if r.id == "" {
		if err := r.remember(ctx); err != nil {
			return err
		}
	}
	created := false
	if r.id == "" {
		if r.id, created, err = r.obtain(ctx, p); err != nil {
			return err
		}
	}
	if !r.kept {
		// Before anything else is asked: until it is kept, a crash would register the host twice.
		if err := r.ids.keep(r.id, r.o.Machine); err != nil {
			r.hosts.set("", r.id) // good until the agent stops
			return &personError{fmt.Sprintf("the host's id %s could not be kept, so the next start would register a new host: %v", r.id, err)}
		}
		r.kept = true
		r.asked.end()
		if err := r.ids.asked(); err != nil {
			r.o.Log.Debug("the note of the registration stays", "error", err) // an id that is known goes before it
		}
	}
	if created {
		r.seenHost = true
		r.o.Log.Info("registered this host", "host", r.id, "name", p.Name)
	}
	if !r.seenHost {
		if err := r.look(ctx, p); err != nil {
			return err
		}
		r.seenHost = true
		r.o.Log.Info("the server knows this host", "host", r.id, "name", p.Name)
	}
	r.hosts.set("", r.id)
	if !r.started {
		if err := r.startStatus(ctx); err != nil {
			return err
		}
		r.started = true
	}
	if created {
		return nil // which has described it
	}
	err = r.o.API.UpdateHost(ctx, r.id, p)
	if e, ok := errors.AsType[*client.Error](err); ok && e.JSON && (e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest) {
		// Perhaps the host was retired meanwhile; then its values would be dropped in silence.
		r.seenHost = false
		if err := r.look(ctx, p); err != nil {
			return err
		}
		r.seenHost = true
	}
	return err
}

// describe returns what the server is told about this host. A custom identifier, once known,
// is always sent: leaving it out of an update would take it from the host.
func (r *registrar) describe(ctx context.Context) (client.HostParam, error) {
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	f, err := r.o.Facts(ctx)
	if f.Name == "" {
		return client.HostParam{}, fmt.Errorf("the name of this host is not known: %w", err)
	}
	if err != nil {
		r.o.Log.Warn("some facts about this host could not be read", "error", err)
	}
	before, err := r.ids.read(identifierFile)
	if err != nil {
		r.o.Log.Warn("the kept custom identifier could not be read", "error", err)
	}
	switch {
	case f.CustomIdentifier == "" && r.o.Config.CloudPlatform == PlatformNone:
		// Somebody says that no cloud runs this host.
	case f.CustomIdentifier == "":
		f.CustomIdentifier = before
	case f.CustomIdentifier != before:
		if err := r.ids.write(identifierFile, f.CustomIdentifier); err != nil {
			r.o.Log.Warn("the custom identifier could not be kept", "error", err)
		}
	}
	return hostParam(r.o, f)
}

// remember sets r.id to what the agent's folder knows, or leaves it empty for a machine that is new.
func (r *registrar) remember(ctx context.Context) error {
	who, err := r.ids.identity(r.o.Machine)
	if err != nil {
		return &personError{err.Error()}
	}
	r.mayCreate, r.lost = who.lost == "", who.lost
	if who.guess {
		h, err := r.o.API.Host(ctx, who.id)
		e, refused := errors.AsType[*client.Error](err)
		switch {
		case refused && e.JSON && e.Status == http.StatusNotFound, err == nil && h.Retired():
			return nil // its time is over, and somebody deleted the file to begin anew
		case err != nil:
			return err
		}
	}
	if who.note != "" && who.note != r.noted {
		r.o.Log.Warn(who.note)
		r.noted = who.note
	}
	r.id = who.id
	return nil
}

// obtain finds the host by its custom identifier, or creates it.
func (r *registrar) obtain(ctx context.Context, p client.HostParam) (id string, created bool, err error) {
	if p.CustomIdentifier != "" {
		hosts, err := r.o.API.Hosts(ctx, saba.HostFilter{CustomIdentifier: p.CustomIdentifier})
		if err != nil {
			return "", false, err
		}
		if len(hosts) > 0 {
			return hosts[0].ID, false, nil
		}
	}
	if !r.mayCreate {
		return "", false, &personError{r.lost}
	}
	before, err := r.ids.asks(time.Now())
	if r.ids == "" {
		before = r.asked.since()
	}
	if err != nil {
		return "", false, &personError{fmt.Sprintf("this machine is not registered, as its folder cannot keep the id: %v", err)}
	}
	if !before.IsZero() {
		if id, err = r.unheard(ctx, p, before); id != "" || err != nil {
			return id, false, err
		}
	}
	r.asked.begin(time.Now())
	if r.o.Retire != nil {
		// The end of the agent shall find the host that is just being made.
		var cancel context.CancelFunc
		ctx, cancel = outlive(ctx, r.o.StopTimeout/4)
		defer cancel()
	}
	id, err = r.o.API.CreateHost(ctx, p)
	return id, err == nil, err
}

// unheard returns the id of the host that a registration with p made whose answer did not come, the first one
// tried at since; "" when there is none.
func (r *registrar) unheard(ctx context.Context, p client.HostParam, since time.Time) (id string, err error) {
	hosts, err := r.o.API.Hosts(ctx, saba.HostFilter{Name: p.Name})
	if err != nil {
		return "", err
	}
	for _, h := range hosts {
		if madeByUs(h, p, since) {
			return h.ID, nil
		}
	}
	return "", nil
}

// outlive returns a context that ends grace after ctx has.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if sleep(longer, grace) {
			cancel()
		}
	})
	return longer, func() { stop(); cancel() }
}

// clocksApart is how far the clock of a server may be behind ours for its new host to be known as ours.
const clocksApart = time.Hour

// madeByUs says whether h is the host that a registration with p made whose answer did not come. The first
// one was tried at since. Many machines have one name, but not one network card.
func madeByUs(h saba.Host, p client.HostParam, since time.Time) bool {
	if h.Name != p.Name || h.Retired() || h.CustomIdentifier != p.CustomIdentifier || h.CreatedAt < since.Add(-clocksApart).Unix() {
		return false
	}
	cards := func(is []saba.Interface) map[string]bool {
		macs := map[string]bool{}
		for _, i := range is {
			if i.MAC != "" {
				macs[strings.ToLower(i.MAC)] = true
			}
		}
		return macs
	}
	ours, its := cards(p.Interfaces), cards(h.Interfaces)
	for mac := range ours {
		if its[mac] {
			return true
		}
	}
	return len(ours) == 0 && len(its) == 0
}

// look asks the server about the host of the kept id, and stops the posts when it is not ours
// any more. The host is never replaced by a new one on our own account: its history would
// end without a word, and an id file that was copied would multiply hosts.
//
// The host of a container is another matter: its next one takes what the folder of the last one holds, if it has a
// folder at all, and nobody is there to tell it that it is new.
func (r *registrar) look(ctx context.Context, p client.HostParam) error {
	h, err := r.o.API.Host(ctx, r.id)
	file := filepath.Join(string(r.ids), idFile)
	e, ok := errors.AsType[*client.Error](err)
	if gone := ok && e.JSON && e.Status == http.StatusNotFound || err == nil && (h.Retired() || otherIdentifier(h, p)); gone && r.o.Container {
		if err == nil && !otherIdentifier(h, p) && r.revive(ctx) {
			return nil
		}
		return r.beginAnew()
	}
	switch {
	case ok && e.JSON && e.Status == http.StatusNotFound:
		r.hosts.remove("")
		return &personError{fmt.Sprintf("the server does not know host %s, so nothing is sent: is this the right server and key? To register this machine as a new host, stop the agent, delete %s and start it again", r.id, file)}
	case err != nil:
		return err
	case h.Retired():
		r.hosts.remove("")
		return &personError{fmt.Sprintf("host %s was retired, so nothing is sent: to register this machine as a new host, stop the agent, delete %s and start it again", r.id, file)}
	case otherIdentifier(h, p):
		r.hosts.remove("")
		return &personError{fmt.Sprintf("host %s is another machine (%s, and this one is %s), so nothing is sent: was %s copied from there? To register this machine as a new host, stop the agent, delete that file and start it again", r.id, h.CustomIdentifier, p.CustomIdentifier, file)}
	}
	return nil
}

// otherIdentifier says whether h is another host than the one that p describes.
func otherIdentifier(h saba.Host, p client.HostParam) bool {
	return h.CustomIdentifier != "" && p.CustomIdentifier != "" && h.CustomIdentifier != p.CustomIdentifier
}

// A reviver is a server that can undo a retirement, as saba's own can.
type reviver interface {
	ReviveHost(ctx context.Context, id string) error
}

// revive undoes the retirement of the host of a container that was taken for dead, as after an hour without a network, and
// says whether it did: so the host keeps its history.
func (r *registrar) revive(ctx context.Context) bool {
	api, can := r.o.API.(reviver)
	if !can {
		return false
	}
	if err := api.ReviveHost(ctx, r.id); err != nil {
		r.o.Log.Debug("the host was retired, and stays so", "host", r.id, "error", err)
		return false
	}
	r.o.Log.Info("the host was retired although its container lives: it is back", "host", r.id)
	return true
}

// beginAnew forgets the host. The error says so; the next turn registers anew.
func (r *registrar) beginAnew() error {
	r.hosts.disown()
	before := r.id
	if r.ids != "" {
		if err := Forget(string(r.ids)); err != nil {
			return &personError{fmt.Sprintf("host %s is not this container's any more, and its id cannot be forgotten, so nothing is sent: %v", before, err)}
		}
	}
	r.id, r.kept, r.seenHost, r.started, r.mayCreate = "", false, false, false, true
	return fmt.Errorf("the server does not have host %s any more, or it is another one: this container registers anew", before)
}

// startStatus sets the status that the configuration wants at start, if the host has another.
func (r *registrar) startStatus(ctx context.Context) error {
	want := r.o.Config.OnStart
	if want == "" {
		return nil
	}
	h, err := r.o.API.Host(ctx, r.id)
	if err != nil || h.Status == want {
		return err
	}
	return r.o.API.SetHostStatus(ctx, r.id, want)
}

// resolveIdentifiers finds the hosts of other machines that plugins and checks report on, by their
// custom identifiers, and each hour again: such a host may be retired and registered anew. Their values
// wait in the queue while they are not known. It returns when ctx ends.
func resolveIdentifiers(ctx context.Context, o Options, hosts *hostIDs) {
	wanted := map[string]bool{}
	for _, m := range o.Config.Metrics {
		wanted[m.CustomIdentifier] = true
	}
	for _, c := range o.Config.Checks {
		wanted[c.CustomIdentifier] = true
	}
	delete(wanted, "") // this host
	if len(wanted) == 0 {
		return
	}
	say := announcer{log: o.Log}
	retry := backoff{least: registerLeast, most: registerMost}
	for {
		var problem error
		for identifier := range wanted {
			found, err := o.API.Hosts(ctx, saba.HostFilter{CustomIdentifier: identifier})
			switch {
			case err != nil:
				problem = err // which says nothing about an id that is known
			case len(found) == 0:
				hosts.remove(identifier)
				problem = saba.Errorf(saba.ErrNotFound, "no host has the custom identifier %q", identifier)
			default:
				hosts.set(identifier, found[0].ID)
			}
		}
		wait := describeEvery
		switch {
		case ctx.Err() != nil:
			return
		case problem == nil:
			retry.reset()
			say.over("every custom_identifier of a plugin names a host")
		default:
			say.say(slog.LevelWarn, problem.Error(), "a custom_identifier of a plugin names no host yet: its values are kept", "error", problem)
			wait = max(retry.next(o.Random), min(client.RetryAfter(problem), mostRetryAfter))
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}
