package dial

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

// ParseAllowed reads what a Dialer may connect to besides public addresses: 1 or true for everything, 0, false or nothing
// for nothing, or addresses and blocks such as 10.1.0.0/16,192.168.7.9. The error matches saba.ErrInvalid, and is a clause
// that follows the name of the setting.
func ParseAllowed(s string) (allowed []netip.Prefix, err error) {
	switch s = strings.TrimSpace(s); s {
	case "", "0", "false":
		return nil, nil
	case "1", "true":
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		p, err := netip.ParsePrefix(part)
		if a, aerr := netip.ParseAddr(part); aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, saba.Errorf(saba.ErrInvalid, "takes 1, 0, or addresses and blocks such as 10.1.0.0/16,192.168.7.9, not %q", part)
		}
		allowed = append(allowed, p)
	}
	return allowed, nil
}

// A block is a range of addresses that are not public, and what they are.
type block struct {
	prefix netip.Prefix
	kind   string
}

func blocks(kinds map[string][]string) (all []block) {
	for kind, prefixes := range kinds {
		for _, p := range prefixes {
			all = append(all, block{netip.MustParsePrefix(p), kind})
		}
	}
	// The narrowest block says best what an address is.
	slices.SortFunc(all, func(a, b block) int { return b.prefix.Bits() - a.prefix.Bits() })
	return all
}

const reserved = "an address that is reserved"

// special are the blocks that are not reachable from everywhere, after the IANA registries of special-purpose IPv4 and IPv6
// addresses (RFC 6890 and what updates it), and what else is not a public host. Of IPv6 what is not in 2000::/3, the global
// unicast addresses, is not public either.
var special = blocks(map[string][]string{
	"an address of this machine":          {"0.0.0.0/8", "::/128"},
	"a loopback address":                  {"127.0.0.0/8", "::1/128"},
	"a private address":                   {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"},
	"a link-local address":                {"169.254.0.0/16", "fe80::/10"},
	"an address of a cloud's metadata":    {"169.254.169.254/32", "169.254.170.0/24", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::/32"},
	"an address of a cloud's own":         {"168.63.129.16/32"}, // Azure's agents and certificates, under a public address
	"a carrier-grade NAT address":         {"100.64.0.0/10"},
	"a multicast address":                 {"224.0.0.0/4", "ff00::/8"},
	"an address of documentation":         {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"},
	"an address of benchmarks":            {"198.18.0.0/15", "2001:2::/48"},
	"a broadcast address":                 {"255.255.255.255/32"},
	"an address of a tunnel":              {"192.88.99.0/24", "2001::/32", "2002::/16"}, // Teredo and 6to4, which hold any IPv4 address
	"an address of a translation to IPv4": {"64:ff9b:1::/48", "::ffff:0:0:0/96"},
	reserved:                              {"192.0.0.0/24", "240.0.0.0/4", "2001::/23", "::/96"},
})

var (
	global = netip.MustParsePrefix("2000::/3")
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
)

// refuses says what an address is that d does not connect to; "" when it does. One that stands for an IPv4 address is what
// that is.
func (d Dialer) refuses(a netip.Addr) string {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if slices.ContainsFunc(d.Allowed, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return ""
	}
	for _, s := range special {
		if s.prefix.Contains(a) {
			return s.kind
		}
	}
	if a.Is4() || global.Contains(a) {
		return ""
	}
	return reserved
}
