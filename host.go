package saba

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A HostStatus says whether alerts are raised for a host and told to people.
type HostStatus string

// The statuses of a host, from the most to the least watched.
const (
	Working     HostStatus = "working"
	Standby     HostStatus = "standby"
	Maintenance HostStatus = "maintenance"
	Poweroff    HostStatus = "poweroff"
)

// HostStatuses lists every status in the order in which people read them.
var HostStatuses = []HostStatus{Working, Standby, Maintenance, Poweroff}

// Valid says whether s is one of HostStatuses.
func (s HostStatus) Valid() bool { return slices.Contains(HostStatuses, s) }

// MaxHosts bounds how many live hosts an organization has. A script that registers a machine anew each time must not fill the pages and
// the memory of everybody. Retired hosts do not count.
const MaxHosts = 20_000

// A Host is a machine, a virtual machine or a container that posts metrics.
type Host struct {
	ID               string
	Org              string // id of the organization that owns it
	Name             string
	DisplayName      string // "" when unset
	CustomIdentifier string // "" when unset; unique among the organization's live hosts
	Status           HostStatus
	Memo             string
	Roles            []RoleName      // sorted
	CreatedAt        int64           // Unix seconds
	RetiredAt        int64           // Unix seconds; 0 while the host lives
	Meta             json.RawMessage // the agent's facts, kept verbatim; "{}" when it sent none
	Interfaces       []Interface
	RegisteredBy     string // id of the API key that registered it; never sent to clients
}

// Retired says whether the host was retired. A retired host keeps its samples and takes no new ones.
func (h *Host) Retired() bool { return h.RetiredAt != 0 }

// Label returns the name that people read: the display name, or the name where there is none.
func (h *Host) Label() string {
	if h.DisplayName != "" {
		return h.DisplayName
	}
	return h.Name
}

// Size returns "micro" for a host that a container agent registered and "standard" for any
// other. The protocol has no field for it: container agents are told by the suffix of
// meta.agent-version.
func (h *Host) Size() string {
	var m struct {
		Version string `json:"agent-version"`
	}
	if json.Unmarshal(h.Meta, &m) == nil && strings.HasSuffix(m.Version, "-container") {
		return "micro"
	}
	return "standard"
}

// An Interface is a network interface of a host, as its agent described it.
type Interface struct {
	Name string   `json:"name"`
	MAC  string   `json:"macAddress,omitempty"`
	IPv4 []string `json:"ipv4Addresses,omitempty"`
	IPv6 []string `json:"ipv6Addresses,omitempty"`
}

// A RoleName is a role's full name: the service it belongs to and its own name.
type RoleName struct {
	Service string
	Role    string
}

// String returns "service:role".
func (r RoleName) String() string { return r.Service + ":" + r.Role }

// Compare orders role names by service, then role.
func (r RoleName) Compare(o RoleName) int {
	if c := strings.Compare(r.Service, o.Service); c != 0 {
		return c
	}
	return strings.Compare(r.Role, o.Role)
}

// ParseRoleName parses "service:role". Blanks after the colon are accepted, as clients of the
// protocol send both forms. The error matches ErrInvalid.
func ParseRoleName(s string) (RoleName, error) {
	service, role, ok := strings.Cut(s, ":")
	role = strings.TrimLeft(role, " \t")
	if !ok || !ValidName(service) || !ValidName(role) {
		return RoleName{}, Errorf(ErrInvalid, "role %q is not of the form service:role, each 2 to 63 characters of A-Z a-z 0-9 _ - with a letter or digit first", s)
	}
	return RoleName{Service: service, Role: role}, nil
}

// Lengths are compared beside the patterns here: a pattern that counts takes its part anew for
// each repetition, which every start of an agent would pay for.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]+$`)

// ValidName says whether s may name a service or a role.
func ValidName(s string) bool { return len(s) <= 63 && name.MatchString(s) }

// A Service groups roles and owns service metrics.
type Service struct {
	Name   string
	Memo   string
	Roles  []string // names, sorted
	Series string   // what Series.Service is for its samples: it stays when the service is renamed
}

// A Role is a part that hosts play in a service.
type Role struct {
	Name string
	Memo string
}

// Serves says whether an address, such as that of an external monitor, leads to the host: by a name of its, or by an address of its interfaces.
func (h *Host) Serves(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if name == strings.ToLower(h.Name) || name == strings.ToLower(h.DisplayName) || name == strings.ToLower(h.CustomIdentifier) {
		return true
	}
	return slices.ContainsFunc(h.Interfaces, func(i Interface) bool { return slices.Contains(i.IPv4, name) || slices.Contains(i.IPv6, name) })
}
