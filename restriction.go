package saba

import "net/netip"

// A Surface is a part of saba that can be restricted to some networks.
type Surface string

// The surfaces.
const (
	SurfaceWeb Surface = "web" // the console
	SurfaceAPI Surface = "api"
)

// ParseNetworks parses networks in CIDR notation. The error is a FieldError.
func ParseNetworks(field string, cidrs []string) ([]netip.Prefix, error) {
	if err := checkCount(field, len(cidrs), MaxReferences); err != nil {
		return nil, err
	}
	networks := make([]netip.Prefix, len(cidrs))
	for i, c := range cidrs {
		n, err := netip.ParsePrefix(c)
		if err != nil {
			return nil, Invalidf(field+"["+itoa(i)+"]", "must be a network in CIDR notation such as 192.0.2.0/24, not %q", short(c))
		}
		networks[i] = n.Masked()
	}
	return networks, nil
}

// Allowed says whether an address is in one of the networks; without networks every one is.
func Allowed(networks []netip.Prefix, address netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(address.Unmap()) {
			return true
		}
	}
	return len(networks) == 0
}
