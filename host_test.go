package saba_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestHostStatusValid(t *testing.T) {
	for _, s := range saba.HostStatuses {
		if !s.Valid() {
			t.Errorf("%q is not valid, want it to be", s)
		}
	}
	for _, s := range []saba.HostStatus{"", "Working", "retired"} {
		if s.Valid() {
			t.Errorf("%q is valid, want it not to be", s)
		}
	}
}

func TestHostLabel(t *testing.T) {
	for name, tt := range map[string]struct {
		host saba.Host
		want string
	}{
		"the name, where there is no other":    {saba.Host{ID: "x", Name: "app01"}, "app01"},
		"the display name, where there is one": {saba.Host{Name: "app01", DisplayName: "Shop 1"}, "Shop 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.host.Label(); got != tt.want {
				t.Errorf("Label of %+v is %q, want %q", tt.host, got, tt.want)
			}
		})
	}
}

func TestHostRetired(t *testing.T) {
	if h := (saba.Host{}); h.Retired() {
		t.Error("a host without a time of retirement is retired")
	}
	if h := (saba.Host{RetiredAt: 1}); !h.Retired() {
		t.Error("a host with a time of retirement is not retired")
	}
}

func TestHostSize(t *testing.T) {
	for name, tt := range map[string]struct{ meta, want string }{
		"no facts":                     {"", "standard"},
		"empty facts":                  {"{}", "standard"},
		"an agent on a machine":        {`{"agent-name":"agent/0.86.0","agent-version":"0.86.0"}`, "standard"},
		"an agent in a container":      {`{"agent-version":"0.11.4-container","kernel":{}}`, "micro"},
		"the word elsewhere":           {`{"agent-name":"x-container","agent-version":"0.86.0-containers"}`, "standard"},
		"a version that is not a text": {`{"agent-version":1}`, "standard"},
		"facts that are not an object": {`[1]`, "standard"},
		"facts that are not even JSON": {`{"agent-version":"x-container"`, "standard"},
	} {
		t.Run(name, func(t *testing.T) {
			h := saba.Host{Meta: []byte(tt.meta)}
			if got := h.Size(); got != tt.want {
				t.Errorf("Size of a host with %s is %q, want %q", tt.meta, got, tt.want)
			}
		})
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"shop":                  true,
		"a1":                    true,
		"9_-":                   true,
		"My-Shop_":              true,
		strings.Repeat("x", 63): true,
		strings.Repeat("x", 64): false,
		"a":                     false, // at least two
		"":                      false,
		"-shop":                 false, // begins with a letter or digit
		"_shop":                 false,
		"sh.op":                 false,
		"sh op":                 false,
		"sh:op":                 false,
		"shöp":                  false,
		"鯖鯖":                    false,
		"shop\n":                false,
	} {
		if got := saba.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %t, want %t", name, got, want)
		}
	}
}

func TestParseRoleName(t *testing.T) {
	shopWeb := saba.RoleName{Service: "shop", Role: "web"}
	for s, want := range map[string]saba.RoleName{
		"shop:web":      shopWeb,
		"shop: web":     shopWeb,
		"shop:\t  web":  shopWeb,
		"S-1:r_2":       {Service: "S-1", Role: "r_2"},
		"shop":          {},
		"shop:":         {},
		":web":          {},
		":":             {},
		"":              {},
		"shop:web:db":   {},
		"shop :web":     {}, // blanks after the colon alone
		" shop:web":     {},
		"shop:web ":     {},
		"shop:\nweb":    {},
		"s:w":           {},
		"shop/web":      {},
		"shop:web,shop": {},
	} {
		got, err := saba.ParseRoleName(s)
		if bad := want == (saba.RoleName{}); got != want || errors.Is(err, saba.ErrInvalid) != bad || bad != (err != nil) {
			t.Errorf("ParseRoleName(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}

// Whatever is parsed is made of valid names, and survives being written and read again.
func FuzzParseRoleName(f *testing.F) {
	for _, s := range []string{"shop:web", "shop: web", "", ":", "a:b:c", "shop:\x00web", "\xff:web"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := saba.ParseRoleName(s)
		if err != nil {
			if !errors.Is(err, saba.ErrInvalid) || r != (saba.RoleName{}) {
				t.Errorf("ParseRoleName(%q) = %v, %v; want nothing and an error matching %q", s, r, err, saba.ErrInvalid)
			}
			return
		}
		if !saba.ValidName(r.Service) || !saba.ValidName(r.Role) {
			t.Errorf("ParseRoleName(%q) = %v, which is not made of valid names", s, r)
		}
		if again, err := saba.ParseRoleName(r.String()); err != nil || again != r {
			t.Errorf("ParseRoleName(%q) = %v; written and read again: %v, %v", s, r, again, err)
		}
	})
}

func TestRoleNamesSortByServiceThenRole(t *testing.T) {
	want := []saba.RoleName{{Service: "a", Role: "z"}, {Service: "a-b", Role: "a"}, {Service: "b", Role: "a"}, {Service: "b", Role: "b"}}
	got := []saba.RoleName{want[3], want[1], want[0], want[2]}
	slices.SortFunc(got, saba.RoleName.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted: %v, want %v", got, want)
	}
	if c := want[0].Compare(want[0]); c != 0 {
		t.Errorf("a role name compared with itself is %d, want 0", c)
	}
}
