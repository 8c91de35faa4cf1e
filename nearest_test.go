package saba_test

import (
	"testing"

	"github.com/saba-monitor/saba"
)

func TestDistance(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b string
		want int
	}{
		"nothing to do":               {"pidfile", "pidfile", 0},
		"a replaced character":        {"podfile", "pidfile", 1},
		"two missing ones":            {"use_mntpoint", "use_mountpoint", 2},
		"all of it":                   {"", "roles", 5},
		"characters, not their bytes": {"鯖", "s", 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := saba.Distance(tt.a, tt.b); got != tt.want {
				t.Errorf("Distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
			}
			if got := saba.Distance(tt.b, tt.a); got != tt.want {
				t.Errorf("Distance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
			}
		})
	}
}
