package agent

import (
	"cmp"
	"context"
	"strings"
	"time"
)

// The times of a readiness probe that says nothing of them.
const (
	probePeriod  = 10 * time.Second
	probeTimeout = time.Second
	maxProbe     = 24 * time.Hour // what the probe's own time-out may be
)

// A probeKind is one way to ask whether what runs in the containers is ready: a key of readinessProbe, and the table below it.
type probeKind struct {
	name string // "http"
	// read reads the table m at path and returns what asks once, a Gate's Open: nil says ready. What is wrong with the table goes
	// to l.mistake, and read returns nil then.
	read func(l *loader, path []string, m map[string]any) func(ctx context.Context) error
}

// probeKinds is every kind of readinessProbe, one file (readiness_http.go) and one line each.
var probeKinds = []probeKind{
	{"exec", probeExec},
	{"http", probeHTTP},
	{"tcp", probeTCP},
}

// probe reads the table readinessProbe: when it is asked, and one kind that says how. It is asked until it is ready for
// the first time, before the host is registered, and never again.
func (l *loader) probe(path []string, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return wrongType("a table", v)
	}
	g := Gate{Name: "readinessProbe"}
	seconds := func(name string, to *time.Duration) key {
		return key{name, func(_ *loader, _ []string, v any) (err error) {
			*to, err = asSeconds(v)
			return err
		}}
	}
	keys := []key{seconds("initial_delay_seconds", &g.Delay), seconds("period_seconds", &g.Every), seconds("timeout_seconds", &g.Timeout)}
	var kinds, found []string
	for _, k := range probeKinds {
		kinds = append(kinds, k.name)
		keys = append(keys, key{k.name, func(l *loader, path []string, v any) error {
			m, ok := v.(map[string]any)
			if !ok {
				return wrongType("a table", v)
			}
			found = append(found, k.name)
			g.Open = k.read(l, path, m)
			return nil
		}})
	}
	before := len(l.mistakes)
	l.section(path, m, keys)
	switch {
	case len(l.mistakes) > before:
	case len(found) == 0:
		l.mistake(path, "%s has none of %s", shown(path), strings.Join(kinds, ", "))
	case len(found) > 1:
		l.mistake(path, "%s has %s: write one of them", shown(path), strings.Join(found, " and "))
	default:
		g.Every, g.Timeout = cmp.Or(g.Every, probePeriod), cmp.Or(g.Timeout, probeTimeout)
		l.container.Readiness = []Gate{g}
	}
	return nil
}
