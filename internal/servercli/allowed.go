package servercli

import (
	"fmt"
	"net/netip"

	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/dial"
)

// An allowedFlag names addresses that external monitors and channels may reach besides public ones. Without a value it
// names all.
type allowedFlag struct {
	set   bool
	value string
	found []netip.Prefix
}

// IsBoolFlag lets the flag stand without a value.
func (*allowedFlag) IsBoolFlag() bool { return true }

func (a *allowedFlag) String() string { return a.value }

func (a *allowedFlag) Set(s string) (err error) {
	a.set, a.value = true, s
	a.found, err = dial.ParseAllowed(s)
	return err
}

// prefixes returns the addresses of the flag, or without it those of the environment.
func (a *allowedFlag) prefixes(env *cli.Env) ([]netip.Prefix, error) {
	if a.set {
		return a.found, nil
	}
	const name = "SABA_ALLOW_PRIVATE_ADDRESSES"
	found, err := dial.ParseAllowed(env.Getenv(name))
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return found, nil
}
