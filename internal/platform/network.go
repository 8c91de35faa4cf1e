package platform

import (
	"context"
	"errors"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// networkLimit is how long the interfaces may take to be read.
const networkLimit = 3 * time.Second

// A Network is the source of the metrics of the interfaces that the containers share with this process. Make it with NewNetwork.
type Network struct {
	platform Platform
	set      *collect.Set
}

// NewNetwork returns the source of the interfaces of this process, which has values while p says that they are everybody's.
func NewNetwork(p Platform) *Network {
	return &Network{p, collect.Pick(collect.Options{}, "interface")}
}

// Name returns "interface".
func (*Network) Name() string { return "interface" }

// Collect returns interface.<i>.rxBytes.delta and .txBytes.delta in bytes a second. The first call returns none.
func (n *Network) Collect(ctx context.Context) ([]saba.Value, error) {
	if !n.platform.OwnNetwork() {
		return nil, nil
	}
	r := n.set.Collect(ctx, networkLimit)
	var errs []error
	for _, o := range r.Sources {
		errs = append(errs, o.Err)
	}
	return r.Values, errors.Join(errs...)
}

// Save returns the previous readings, for the Restore of the next process.
func (n *Network) Save() ([]byte, error) { return n.set.Save() }

// Restore takes what Save returned, before the first Collect.
func (n *Network) Restore(state []byte) error { return n.set.Restore(state) }
