package saba

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// CulpritsNamespace is the namespace of a host's metadata in which its agent says what goes on there, while the host is strained.
const CulpritsNamespace = "saba-culprits"

// Limits of culprits.
const (
	MaxCulprits      = 5   // of each list
	CulpritsWithin   = 300 // seconds that may lie between culprits and the opening of the alert with which they are kept
	maxCulpritsSize  = 16 << 10
	maxCulpritName   = 64 // characters
	maxCulpritUptime = 1e10
)

// A Strain is why an agent looked for culprits.
type Strain string

// The strains.
const (
	StrainCPU      Strain = "cpu"      // the processors are busy
	StrainLoad     Strain = "load"     // more tasks run or wait than the processors can run
	StrainMemory   Strain = "memory"   // little memory is available
	StrainPressure Strain = "pressure" // tasks wait for a resource
	StrainBoot     Strain = "boot"     // the host has just started
)

var strains = []Strain{StrainCPU, StrainLoad, StrainMemory, StrainPressure, StrainBoot}

// Culprits is what went on on a host at a moment: facts that tell who may be to blame for an alert. As metadata and as kept they are JSON
// with these names.
type Culprits struct {
	At       int64           `json:"at"`                 // Unix seconds; with an alert, when the server received them
	Why      []Strain        `json:"why"`                // they were looked for
	Uptime   int64           `json:"uptime,omitzero"`    // seconds since the host started; 0 when it is not known
	CPU      []Culprit       `json:"cpu"`                // who used the most CPU time, the most first
	Memory   []Culprit       `json:"memory"`             // who used the most memory, the most first
	Pressure *PressureShares `json:"pressure,omitempty"` // nil when the kernel does not tell it
	Seen     int             `json:"seen,omitzero"`      // how many processes there were to choose from
	Partial  bool            `json:"partial,omitzero"`   // there were more than those
}

// A Culprit is a process. Its arguments are not known: they can hold secrets.
type Culprit struct {
	Name string  `json:"name"` // as the kernel calls it
	PID  int64   `json:"pid"`
	User string  `json:"user,omitempty"` // name or number; "" when it is not known
	CPU  float64 `json:"cpu"`            // percent of one processor
	RSS  int64   `json:"rss"`            // bytes of main memory
}

// PressureShares are the shares of the last minute, in percent, in which a task waited for a resource (PSI, "some").
type PressureShares struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	IO     float64 `json:"io"`
}

// ParseCulprits reads culprits that came from outside. What is too much or impossible is cut or left out; a document that then says nothing,
// or is none, is an error matching ErrInvalid.
func ParseCulprits(value []byte) (Culprits, error) {
	var c Culprits
	if len(value) > maxCulpritsSize {
		return c, Errorf(ErrInvalid, "culprits may have %d bytes, not %d", maxCulpritsSize, len(value))
	}
	if err := json.Unmarshal(value, &c); err != nil {
		return Culprits{}, errors.Join(ErrInvalid, fmt.Errorf("read culprits: %w", err))
	}
	c.Why = slices.DeleteFunc(c.Why, func(s Strain) bool { return !slices.Contains(strains, s) })
	slices.Sort(c.Why)
	c.Why = slices.Compact(c.Why)
	c.CPU, c.Memory = soundCulprits(c.CPU), soundCulprits(c.Memory)
	if c.Uptime < 0 || c.Uptime > maxCulpritUptime {
		c.Uptime = 0
	}
	if p := c.Pressure; p != nil && (!isPercent(p.CPU) || !isPercent(p.Memory) || !isPercent(p.IO)) {
		c.Pressure = nil
	}
	c.At, c.Seen = max(c.At, 0), max(c.Seen, 0)
	if len(c.CPU) == 0 && len(c.Memory) == 0 && c.Pressure == nil && c.Uptime == 0 {
		return Culprits{}, Errorf(ErrInvalid, "the culprits name no process, no pressure and no time since the start")
	}
	return c, nil
}

func isPercent(v float64) bool { return v >= 0 && v <= 100 }

// soundCulprits returns those of a list that can be, at most MaxCulprits.
func soundCulprits(all []Culprit) (sound []Culprit) {
	for _, p := range all {
		p.Name, p.User = plainWord(p.Name), plainWord(p.User)
		possible := p.PID > 0 && p.CPU >= 0 && p.CPU <= 1e6 && p.RSS >= 0 && p.RSS <= 1<<60
		if p.Name != "" && possible && len(sound) < MaxCulprits {
			sound = append(sound, p)
		}
	}
	return sound
}

// plainWord returns a name that a process chose as a short text of one line. Characters that are not printed become "?".
func plainWord(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s))
	if r := []rune(s); len(r) > maxCulpritName {
		return string(r[:maxCulpritName-1]) + "…"
	}
	return s
}

// NewCulprit returns a process whose name and user are fit to be shown.
func NewCulprit(name, user string, pid int64, cpu float64, rss int64) Culprit {
	return Culprit{Name: plainWord(name), User: plainWord(user), PID: pid, CPU: cpu, RSS: rss}
}

// UsesCPU says how much CPU time a process used: "312% CPU", of one processor.
func (p Culprit) UsesCPU() string { return fmt.Sprintf("%.0f%% CPU", p.CPU) }

// UsesMemory says how much main memory a process used: "3.1 GiB".
func (p Culprit) UsesMemory() string {
	if p.RSS < 1<<30 {
		return fmt.Sprintf("%.0f MiB", float64(p.RSS)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(p.RSS)/(1<<30))
}

// Brief returns the culprits with n of each list at most, for messages.
func (c Culprits) Brief(n int) Culprits {
	c.CPU, c.Memory = c.CPU[:min(n, len(c.CPU))], c.Memory[:min(n, len(c.Memory))]
	return c
}

// Booted returns how many seconds before a time the host had started; ok is false when that is not known, or was after it.
func (c *Culprits) Booted(before int64) (seconds int64, ok bool) {
	seconds = before - (c.At - c.Uptime)
	return seconds, c.Uptime > 0 && seconds >= 0
}
