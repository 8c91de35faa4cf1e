package notify

import (
	"strings"

	"github.com/saba-monitor/saba"
)

// Below these a message does not blame a process.
const (
	blamedCPU    = 5    // percent of one processor
	recentlyBoot = 3600 // seconds between the start of a host and an alert that may come of it
)

// busiest returns who used most of the host when the alert opened: "mysqld 312% CPU, ruby 45% CPU; java 3.1 GiB; started 4 min before"; ""
// when that is not known.
func (m *Message) busiest() string {
	if m.Culprits == nil || m.Alert == nil || m.Alert.Status == saba.CheckOK {
		return ""
	}
	var parts, cpu []string
	for _, p := range m.Culprits.CPU {
		if p.CPU >= blamedCPU {
			cpu = append(cpu, p.Name+" "+p.UsesCPU())
		}
	}
	if len(cpu) > 0 {
		parts = append(parts, strings.Join(cpu, ", "))
	}
	if all := m.Culprits.Memory; len(all) > 0 {
		parts = append(parts, all[0].Name+" "+all[0].UsesMemory())
	}
	if before, ok := m.Culprits.Booted(m.Alert.OpenedAt); ok && before < recentlyBoot {
		parts = append(parts, "started "+lasted(before)+" before")
	}
	return strings.Join(parts, "; ")
}
