package saba

import (
	"slices"
	"strings"
)

// A Scope names a service or a role of it: the hosts that play a part there.
type Scope struct {
	Service string
	Role    string // "" means the service with all its roles
}

// String returns "service" or "service:role".
func (s Scope) String() string {
	if s.Role == "" {
		return s.Service
	}
	return s.Service + ":" + s.Role
}

// MarshalText makes a Scope a JSON string.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Scope) UnmarshalText(b []byte) (err error) {
	*s, err = ParseScope(string(b))
	return err
}

// ParseScope parses "service" or "service:role"; blanks around the colon are accepted, as services of
// the protocol write "service: role". The error matches ErrInvalid.
func ParseScope(text string) (Scope, error) {
	service, role, isRole := strings.Cut(text, ":")
	s := Scope{strings.TrimSpace(service), strings.TrimSpace(role)}
	if !ValidName(s.Service) || isRole && !ValidName(s.Role) {
		return Scope{}, Errorf(ErrInvalid, "%q names neither a service nor a role: write service or service:role", short(text))
	}
	return s, nil
}

// Holds says whether a host with the given roles is in the scope.
func (s Scope) Holds(roles []RoleName) bool {
	return slices.ContainsFunc(roles, func(r RoleName) bool {
		return r.Service == s.Service && (s.Role == "" || r.Role == s.Role)
	})
}
