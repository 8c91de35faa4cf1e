package platform

import (
	"context"
	"os"

	"github.com/saba-monitor/saba/internal/collect"
)

// A none is no platform at all: a container that nobody tells anything of, whose plugins and checks are all there is.
type none struct{}

func newNone(Options) (Platform, error) { return none{}, nil }

// Facts returns the name of this machine.
func (none) Facts(context.Context) (collect.Facts, error) {
	name, err := os.Hostname()
	return collect.Facts{Name: name}, err
}

// Running returns nil.
func (none) Running(context.Context) error { return nil }

// Read returns no container.
func (none) Read(context.Context) (Reading, error) { return Reading{}, nil }

// OwnNetwork returns false: there are plugins alone.
func (none) OwnNetwork() bool { return false }
