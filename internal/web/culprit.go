package web

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba"
)

// recentBoot is how long before an alert, in seconds, the start of its host is told with it.
const recentBoot = 24 * 3600

// culprits is what went on on the host of an alert when it opened.
type culprits struct {
	saba.Culprits
	Waited string // shares of pressure in words; "" when they are not known
	Booted string // how long before the alert the host had started; "" when that is long ago or not known
}

// culprits returns what went on on the host of an alert, nil where that is not known.
func (c *console) culprits(ctx context.Context, org string, a saba.Alert) (*culprits, error) {
	if a.Host == "" {
		return nil, nil
	}
	found, err := c.Store.AlertCulprits(ctx, org, a.ID)
	if errors.Is(err, saba.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the culprits of alert %s: %w", a.ID, err)
	}
	out := &culprits{Culprits: found}
	if p := found.Pressure; p != nil {
		out.Waited = pressureWords(*p)
	}
	if before, ok := found.Booted(a.OpenedAt); ok && before < recentBoot {
		out.Booted = span(before)
	}
	return out, nil
}

// pressureWords says how much of the last minute tasks waited, for what: "for CPU 41%, for disks 3%".
func pressureWords(p saba.PressureShares) string {
	var words []string
	for _, share := range []struct {
		of    string
		value float64
	}{{"CPU", p.CPU}, {"memory", p.Memory}, {"disks", p.IO}} {
		if share.value >= 0.5 {
			words = append(words, fmt.Sprintf("for %s %.0f%%", share.of, share.value))
		}
	}
	if len(words) == 0 {
		return "for nothing"
	}
	return strings.Join(words, ", ")
}
