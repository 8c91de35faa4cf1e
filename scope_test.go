package saba

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
)

func TestParseScope(t *testing.T) {
	for text, want := range map[string]Scope{"shop": {"shop", ""}, "shop:web": {"shop", "web"}, "shop: web": {"shop", "web"}, " shop : web ": {"shop", "web"}} {
		got, err := ParseScope(text)
		if err != nil || got != want {
			t.Errorf("ParseScope(%q) = %v, %v; want %v", text, got, err, want)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again Scope
		if err := json.Unmarshal(b, &again); err != nil || again != want {
			t.Errorf("%s read again is %v, %v; want %v", b, again, err, want)
		}
	}
	for _, text := range []string{"", "x", ":", "shop:", ":web", "shop:w", "shop:web:x", "sh op"} {
		if got, err := ParseScope(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseScope(%q) = %v, %v; want ErrInvalid", text, got, err)
		}
	}
}

func TestWhichHostsAMonitorWatches(t *testing.T) {
	web, db, other := RoleName{"shop", "web"}, RoleName{"shop", "db"}, RoleName{"api", "web"}
	for name, tt := range map[string]struct {
		scopes, excludes []Scope
		roles            []RoleName
		want             bool
	}{
		"no scopes are all hosts":          {nil, nil, nil, true},
		"a host without roles is in none":  {[]Scope{{"shop", ""}}, nil, nil, false},
		"a service holds all of its roles": {[]Scope{{"shop", ""}}, nil, []RoleName{db}, true},
		"a role holds itself alone":        {[]Scope{{"shop", "web"}}, nil, []RoleName{db}, false},
		"a like role of another service":   {[]Scope{{"shop", "web"}}, nil, []RoleName{other}, false},
		"one of several scopes is enough":  {[]Scope{{"api", ""}, {"shop", "web"}}, nil, []RoleName{web}, true},
		"any exclusion wins":               {[]Scope{{"shop", ""}}, []Scope{{"shop", "db"}}, []RoleName{web, db}, false},
		"an exclusion without scopes":      {nil, []Scope{{"shop", ""}}, []RoleName{other}, true},
		"an exclusion of what it has not":  {nil, []Scope{{"shop", "db"}}, []RoleName{web}, true},
	} {
		m := Monitor{Scopes: tt.scopes, ExcludeScopes: tt.excludes}
		if got := m.Watches(tt.roles); got != tt.want {
			t.Errorf("%s: Watches(%v) = %v, want %v", name, tt.roles, got, tt.want)
		}
	}
}

func TestAllowed(t *testing.T) {
	networks, err := ParseNetworks("cidrs", []string{"192.0.2.77/24", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.3.1": false, "2001:db8::1": true, "::1": false} {
		if got := Allowed(networks, netip.MustParseAddr(address)); got != want {
			t.Errorf("Allowed(%v, %s) = %v, want %v", networks, address, got, want)
		}
		if !Allowed(nil, netip.MustParseAddr(address)) {
			t.Errorf("without networks %s is refused", address)
		}
	}
}
