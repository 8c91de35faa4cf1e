package collect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
	"time"
)

// The form in which counters outlive the process: a line of keepName, keepVersion and the
// checksum of all that follows, then a kept as JSON. Whoever changes the meaning of a reading
// counts keepVersion up.
const (
	keepName    = "saba-counters"
	keepVersion = "1"
)

// ErrOtherBoot is why counters are not restored after the host was started again, or its
// container was: they began anew. It is no fault.
var ErrOtherBoot = errors.New("the kept counters are of an earlier start of this host: rates begin with the second reading")

// A kept is the counters of a Set.
type kept struct {
	Boot     string                 `json:"boot"`     // id of the boot
	Network  string                 `json:"network"`  // the network namespace, as containers of one kernel share its boot
	Counters map[string]keptReading `json:"counters"` // by collector
}

// A keptReading is the previous reading of a collector.
type keptReading struct {
	At   time.Duration   `json:"at"`   // ns since boot
	Prev json.RawMessage `json:"prev"` // as the collector has it
}

// A keeper is a baseline, whatever its readings are.
type keeper interface {
	keep(boot string) (r keptReading, ok bool, err error)
	resume(r keptReading, boot string) error
}

// A counting collector makes rates of a baseline.
type counting interface{ base() keeper }

func (c *CPU) base() keeper         { return &c.last }
func (d *Disk) base() keeper        { return &d.last }
func (i *Interface) base() keeper   { return &i.last }
func (p *Pressure) base() keeper    { return &p.last }
func (t *TCP) base() keeper         { return &t.last }
func (s *Scheduler) base() keeper   { return &s.last }
func (o *OOM) base() keeper         { return &o.last }
func (d *DiskLatency) base() keeper { return &d.last }
func (c *Conntrack) base() keeper   { return &c.last }
func (c *Cgroup) base() keeper      { return &c.last }

// Save returns the previous readings of all counters, for Restore in the next process: with
// them its first round has rates. It may be called after any round. A collector that is still
// running is left out. It fails where the kernel tells no id of its boot.
func (s *Set) Save() ([]byte, error) {
	boot, network, err := s.place()
	if err != nil {
		return nil, fmt.Errorf("save counters: %w", err)
	}
	k := kept{Boot: boot, Network: network, Counters: map[string]keptReading{}}
	err = s.eachCounting(func(name string, b keeper) error {
		r, ok, err := b.keep(boot)
		if ok {
			k.Counters[name] = r
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("save counters: %w", err)
	}
	body, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("save counters: %w", err)
	}
	return seal(body), nil
}

// seal puts the line before a body that says what it is.
func seal(body []byte) []byte {
	return append(fmt.Appendf(nil, "%s %s %08x\n", keepName, keepVersion, checksum(body)), body...)
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Restore takes what Save returned in an earlier process, before the first round. Readings that
// are too old make no rate; a collector that has a reading of its own keeps it. What cannot be
// used is left out, and the error says why; it matches ErrOtherBoot where the host was started
// since. The Set is sound either way.
func (s *Set) Restore(state []byte) error {
	if err := s.restore(state); err != nil {
		return fmt.Errorf("restore counters: %w", err)
	}
	return nil
}

func (s *Set) restore(state []byte) error {
	heading, body, _ := bytes.Cut(state, []byte("\n"))
	words := strings.Split(string(heading[:min(len(heading), 100)]), " ")
	switch {
	case len(words) != 3 || words[0] != keepName:
		return errors.New("this is not what saba keeps of counters: rates begin with the second reading")
	case words[1] != keepVersion:
		return fmt.Errorf("they are of version %q, this program knows %s: rates begin with the second reading", words[1], keepVersion)
	case words[2] != fmt.Sprintf("%08x", checksum(body)):
		return errors.New("they are damaged: rates begin with the second reading")
	}
	var k kept
	if err := json.Unmarshal(body, &k); err != nil {
		return fmt.Errorf("they are damaged: %w", err)
	}
	boot, network, err := s.place()
	if err != nil {
		return err
	}
	if k.Boot != boot || k.Network != network {
		return ErrOtherBoot
	}
	return s.eachCounting(func(name string, b keeper) error {
		r, ok := k.Counters[name]
		if !ok {
			return nil
		}
		if err := b.resume(r, boot); err != nil {
			return fmt.Errorf("%s: they are damaged: %w", name, err)
		}
		return nil
	})
}

// place returns what says whether counters are still the same: the id of the boot, and the
// network namespace.
func (s *Set) place() (boot, network string, err error) {
	proc := procOrHost(s.opts.Proc)
	text, err := readText(proc, "sys/kernel/random/boot_id")
	if err != nil {
		return "", "", err
	}
	if boot = strings.TrimSpace(text); boot == "" {
		return "", "", errors.New("the kernel tells no id of its boot")
	}
	network, _ = fs.ReadLink(proc, "self/ns/net") // "net:[4026531840]"; "" from a kernel without namespaces
	return boot, network, nil
}

// eachCounting calls do for each collector with counters that is not running, and joins the errors.
func (s *Set) eachCounting(do func(name string, b keeper) error) error {
	var errs []error
	for _, p := range s.parts {
		c, ok := p.collector.(counting)
		if !ok || !p.busy.CompareAndSwap(false, true) {
			continue
		}
		errs = append(errs, do(p.name, c.base()))
		p.busy.Store(false)
	}
	return errors.Join(errs...)
}

// keep returns the reading, if there is one of this boot.
func (b *baseline[T]) keep(boot string) (r keptReading, ok bool, err error) {
	if !b.set || b.boot != boot {
		return r, false, nil
	}
	prev, err := json.Marshal(b.prev)
	return keptReading{At: b.at, Prev: prev}, err == nil, err
}

// resume makes r the previous reading, unless there is one.
func (b *baseline[T]) resume(r keptReading, boot string) error {
	if b.set {
		return nil
	}
	var prev T
	dec := json.NewDecoder(bytes.NewReader(r.Prev))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&prev); err != nil {
		return err
	}
	if v, ok := any(prev).(interface{ valid() error }); ok {
		if err := v.valid(); err != nil {
			return err
		}
	}
	*b = baseline[T]{prev: prev, moment: moment{at: r.At, boot: boot}, set: true}
	return nil
}

// valid says whether t is a reading that parseStat can have made.
func (t cpuTimes) valid() error {
	if t.Fields <= cpuIdle || t.Fields > cpuStates || t.CPUs < 1 {
		return fmt.Errorf("times of %d states on %d processors", t.Fields, t.CPUs)
	}
	return nil
}
