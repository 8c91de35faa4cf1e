package collect

import (
	"context"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// Interface reports how many bytes each network interface received and sent. The zero value
// reads /proc.
type Interface struct {
	Proc   fs.FS          // procfs to read; nil means the host's own
	Watch  *Watch         // nil means the host's
	Ignore *regexp.Regexp // interfaces to leave out, by sanitised name; nil leaves out none

	last baseline[map[string]traffic]
}

// interfaceCeiling is above what any interface moves in bytes a second: 8 Tbit/s.
const interfaceCeiling = 1e12

// Collect returns interface.<name>.rxBytes.delta and .txBytes.delta in bytes a second, of all
// interfaces but lo and the ends of containers' cables (veth…).
func (i *Interface) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(i.Proc), "net/dev")
	if err != nil {
		return nil, err
	}
	interfaces := parseNetDev(text)
	now := make(map[string]traffic, len(interfaces))
	for _, t := range interfaces {
		now[t.name] = t
	}
	prev, elapsed, ok, err := i.last.next(now, i.Watch)
	if err != nil || !ok {
		return nil, err
	}
	var values []saba.Value
	for _, t := range interfaces {
		p, known := prev[t.name]
		label := sanitise(t.name)
		if !known || i.Ignore != nil && i.Ignore.MatchString(label) {
			continue
		}
		if v, ok := rate(p.RX, t.RX, elapsed, interfaceCeiling); ok {
			values = append(values, saba.Value{Name: "interface." + label + ".rxBytes.delta", Value: v})
		}
		if v, ok := rate(p.TX, t.TX, elapsed, interfaceCeiling); ok {
			values = append(values, saba.Value{Name: "interface." + label + ".txBytes.delta", Value: v})
		}
	}
	return values, nil
}

// A traffic is what an interface moved since it was made, in bytes.
type traffic struct {
	name   string
	RX, TX uint64
}

// parseNetDev reads /proc/net/dev (net/core/net-procfs.c): after the name and a colon, 8
// columns of what was received and 8 of what was sent. Headings and lines of another form are left out.
func parseNetDev(text string) []traffic {
	var interfaces []traffic
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		fields := strings.Fields(rest)
		if !ok || name == "" || name == "lo" || strings.HasPrefix(name, "veth") || len(fields) < 16 {
			continue
		}
		rx, rxErr := strconv.ParseUint(fields[0], 10, 64)
		tx, txErr := strconv.ParseUint(fields[8], 10, 64)
		if rxErr == nil && txErr == nil {
			interfaces = append(interfaces, traffic{name: name, RX: rx, TX: tx})
		}
	}
	return interfaces
}
