package agent

import (
	"context"
	"errors"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// hostLimit is how long the families of host metrics may take together: less than a turn
// stays open, so that one that hangs never makes the others late.
const hostLimit = closeAfter - time.Second

// A Host is this machine: the source of its metrics, and its facts. Make it with NewHost.
type Host struct {
	set *collect.Set
}

// NewHost returns this machine, read as c wants it.
func NewHost(c Config) *Host {
	return &Host{collect.New(collect.Options{
		FilesystemsIgnore: c.FilesystemsIgnore, DisksIgnore: c.DisksIgnore, InterfacesIgnore: c.InterfacesIgnore,
		UseMountpoint: c.UseMountpoint, CloudPlatform: c.CloudPlatform,
	})}
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
	return r.Values, errors.Join(errs...)
}

// Facts describes this machine.
func (h *Host) Facts(ctx context.Context) (collect.Facts, error) { return h.set.Facts(ctx) }
