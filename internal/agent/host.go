package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// hostLimit is how long the families of host metrics may take together: less than a turn
// stays open, so that one that hangs never makes the others late.
const hostLimit = closeAfter - time.Second

// A Host is this machine: the source of its metrics, and its facts. Make it with NewHost.
type Host struct {
	set  *collect.Set
	defs []saba.GraphDef

	mu   sync.Mutex
	last []collect.Outcome

	culprits *collect.Culprits  // nil where nobody looks for them
	strained chan []saba.Strain // nil too, then
}

// NewHost returns this machine, read as c wants it.
func NewHost(c Config) *Host {
	return newHost(c, collect.Options{
		FilesystemsIgnore: c.FilesystemsIgnore, DisksIgnore: c.DisksIgnore, InterfacesIgnore: c.InterfacesIgnore,
		UseMountpoint: c.UseMountpoint, CloudPlatform: c.CloudPlatform, Linux: c.Linux,
	})
}

func newHost(c Config, o collect.Options) *Host {
	h := &Host{set: collect.New(o), defs: collect.LinuxGraphDefs(c.Linux)}
	if !c.NoCulprits {
		h.culprits, h.strained = h.set.Culprits(), make(chan []saba.Strain, 1)
	}
	return h
}

// Name returns "host".
func (h *Host) Name() string { return "host" }

// Collect reads every family of host metrics once. The error joins what could not be read.
func (h *Host) Collect(ctx context.Context) ([]saba.Value, error) {
	r := h.set.Collect(ctx, hostLimit)
	var errs []error
	for _, o := range r.Sources {
		errs = append(errs, o.Err)
	}
	h.mu.Lock()
	h.last = r.Sources
	h.mu.Unlock()
	if h.culprits != nil {
		if why := h.culprits.Strained(r.Values); len(why) > 0 {
			select {
			case h.strained <- why:
			default: // the last look is still under way
			}
		}
	}
	return r.Values, errors.Join(errs...)
}

// Suspicion returns a channel on which Collect says why it is time to look for culprits; nil when the configuration does not want it.
func (h *Host) Suspicion() <-chan []saba.Strain { return h.strained }

// Culprits looks for who may be to blame for a strain.
func (h *Host) Culprits(ctx context.Context, why []saba.Strain, at time.Time) (saba.Culprits, error) {
	return h.culprits.Look(ctx, why, at)
}

// Parts says how each family fared in the last Collect.
func (h *Host) Parts() []collect.Outcome {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// Definitions says how the families are drawn that no server knows by itself.
func (h *Host) Definitions() []saba.GraphDef { return h.defs }

// Save returns the readings of counters, for the Restore of the next process.
func (h *Host) Save() ([]byte, error) { return h.set.Save() }

// Restore takes what Save returned, before the first Collect.
func (h *Host) Restore(state []byte) error { return h.set.Restore(state) }

// Facts describes this machine.
func (h *Host) Facts(ctx context.Context) (collect.Facts, error) { return h.set.Facts(ctx) }
