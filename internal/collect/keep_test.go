package collect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// A counted is a machine whose counters run: 60 interrupts, 6,000 bytes and 120 reads a
// minute, and a processor that is half idle.
type counted struct {
	proc fstest.MapFS
	now  time.Duration // since boot
	back time.Duration // counters stand where they were so long ago
}

func newCounted() *counted {
	c := &counted{proc: fstest.MapFS{
		"loadavg": {Data: []byte("1 1 1")}, "meminfo": {Data: []byte("MemTotal: 1 kB\n")}, "self/mountinfo": {},
		"sys/kernel/random/boot_id": {Data: []byte("boot-1\n")},
	}}
	c.run(time.Hour)
	return c
}

func (c *counted) run(d time.Duration) {
	c.now += d
	s := int((c.now - c.back).Seconds())
	c.proc["stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "cpu  %d 0 0 %d\ncpu0 1 1 1 1\nintr %d\n", 50*s, 50*s, s)}
	c.proc["diskstats"] = &fstest.MapFile{Data: fmt.Appendf(nil, "8 0 sda %d 0 0 0 0 0 0 0 0 0 0\n", 2*s)}
	c.proc["net/dev"] = &fstest.MapFile{Data: fmt.Appendf(nil, "eth0: %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", 100*s)}
}

// agent returns a Set that reads the machine, as a new process would make it.
func (c *counted) agent() *Set {
	return New(Options{Proc: c.proc, Sys: fstest.MapFS{}, Clock: func() (time.Duration, error) { return c.now, nil }, Linux: []string{"scheduler"}})
}

// steady are the rates of a counted machine.
var steady = map[string]float64{
	"cpu.user.percentage": 50, "cpu.idle.percentage": 50, "disk.sda.reads.delta": 2, "interface.eth0.rxBytes.delta": 100, "custom.linux.scheduler.interrupts": 1,
}

// checkRates says whether a round of s has the steady rates, or none.
func checkRates(t *testing.T, s *Set, want bool) {
	t.Helper()
	got := byName(s.Collect(t.Context(), time.Minute).Values)
	for name, v := range steady {
		if have, ok := got[name]; ok != want || ok && math.Abs(have-v) > 1e-9 {
			t.Errorf("%s: %v (there: %v), want %v (there: %v)", name, have, ok, v, want)
		}
	}
}

// An agent that is started again has rates in its first round, over the time since the last.
func TestCountersOutliveTheProcess(t *testing.T) {
	m := newCounted()
	first := m.agent()
	checkRates(t, first, false)
	m.run(time.Minute)
	checkRates(t, first, true)
	state, err := first.Save()
	if err != nil {
		t.Fatal(err)
	}
	m.run(90 * time.Second)
	second := m.agent()
	if err := second.Restore(state); err != nil {
		t.Fatal(err)
	}
	checkRates(t, second, true)
	m.run(time.Minute)
	if err := second.Restore(state); err != nil { // its own reading is newer, and stays
		t.Fatal(err)
	}
	if again, err := second.Save(); err != nil || bytes.Equal(again, state) {
		t.Errorf("a Set with readings of its own took older ones: %s, %v", again, err)
	}
	checkRates(t, second, true)
}

func TestRestoreIsNeverWrong(t *testing.T) {
	m := newCounted()
	s := m.agent()
	checkRates(t, s, false)
	state, err := s.Save()
	if err != nil {
		t.Fatal(err)
	}
	edited := func(from, to string) []byte {
		_, body, _ := bytes.Cut(state, []byte("\n"))
		if !bytes.Contains(body, []byte(from)) {
			t.Fatalf("%q is not in %s", from, body)
		}
		return seal(bytes.Replace(body, []byte(from), []byte(to), 1))
	}
	for name, tt := range map[string]struct {
		state   []byte
		change  func(m *counted)
		wantErr string
	}{
		"nothing at all":         {nil, nil, "not what saba keeps"},
		"somebody else's file":   {[]byte("{\"a\":1}\n"), nil, "not what saba keeps"},
		"NUL bytes":              {make([]byte, 4096), nil, "not what saba keeps"},
		"a later version":        {bytes.Replace(state, []byte("saba-counters 1"), []byte("saba-counters 2"), 1), nil, `version "2"`},
		"cut short":              {state[:len(state)-1], nil, "damaged"},
		"a digit that changed":   {bytes.Replace(state, []byte("360000"), []byte("360001"), 1), nil, "damaged"},
		"no JSON":                {seal([]byte("{")), nil, "damaged"},
		"readings of a new form": {edited(`"Ticks"`, `"Tocks"`), nil, "cpu: they are damaged"},
		"too many states":        {edited(`"Fields":4`, `"Fields":99`), nil, "cpu: they are damaged"},
		"another boot":           {state, func(m *counted) { m.proc["sys/kernel/random/boot_id"] = &fstest.MapFile{Data: []byte("boot-2")} }, "earlier start"},
		"another container of the same kernel": {state, func(m *counted) {
			m.proc["self/ns/net"] = &fstest.MapFile{Data: []byte("net:[2]"), Mode: fs.ModeSymlink}
		}, "earlier start"},
		"no id of the boot":       {state, func(m *counted) { delete(m.proc, "sys/kernel/random/boot_id") }, "boot_id"},
		"more than ten minutes":   {state, func(m *counted) { m.run(20 * time.Minute) }, ""},
		"a clock that went back":  {state, func(m *counted) { m.now = time.Minute }, ""},
		"counters that went back": {state, func(m *counted) { m.back = time.Hour; m.run(0) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newCounted()
			m.run(time.Minute)
			if tt.change != nil {
				tt.change(m)
			}
			s := m.agent()
			err := s.Restore(tt.state)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q in it", err, tt.wantErr)
			}
			if other := strings.Contains(tt.wantErr, "earlier"); errors.Is(err, ErrOtherBoot) != other {
				t.Errorf("%v matches ErrOtherBoot: %v, want %v", err, !other, other)
			}
			got := byName(s.Collect(t.Context(), time.Minute).Values)
			if strings.HasPrefix(tt.wantErr, "cpu:") { // costs the processors alone
				if got["interface.eth0.rxBytes.delta"] != 100 {
					t.Errorf("the interfaces' rates are lost with the processors': %v", got)
				}
				got = map[string]float64{"cpu": got["cpu.user.percentage"]}
				if got["cpu"] == 0 {
					return
				}
			}
			for rate := range steady {
				if v, ok := got[rate]; ok {
					t.Errorf("%s = %v out of readings that do not compare", rate, v)
				}
			}
		})
	}
}

func TestSaveNeedsABoot(t *testing.T) {
	s := New(Options{Proc: fstest.MapFS{}, Sys: fstest.MapFS{}})
	if state, err := s.Save(); err == nil {
		t.Errorf("saved %s without an id of the boot", state)
	}
}

// A collector that hangs is left out of what is saved, and not waited for.
func TestSaveWhileOneHangs(t *testing.T) {
	m := newCounted()
	s := m.agent()
	checkRates(t, s, false)
	for _, p := range s.parts {
		if p.name == "disk" {
			p.busy.Store(true)
		}
	}
	state, err := s.Save()
	if err != nil {
		t.Fatal(err)
	}
	var k kept
	_, body, _ := bytes.Cut(state, []byte("\n"))
	if err := json.Unmarshal(body, &k); err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Counters["disk"]; ok || len(k.Counters) != 3 {
		t.Errorf("kept %v, want cpu, interface and scheduler", maps.Keys(k.Counters))
	}
}

// Whatever was kept, no rate is out of bounds, and what is accepted can be kept again.
func FuzzRestore(f *testing.F) {
	m := newCounted()
	s := m.agent()
	s.Collect(f.Context(), time.Minute)
	state, err := s.Save()
	if err != nil {
		f.Fatal(err)
	}
	_, body, _ := bytes.Cut(state, []byte("\n"))
	f.Add(body, true)
	f.Add(state, false)
	f.Add([]byte(`{"boot":"boot-1","network":"","counters":{"cpu":{"at":-9223372036854775808,"prev":null},"disk":{"at":3600000000000,"prev":null}}}`), true)
	f.Fuzz(func(t *testing.T, state []byte, sealed bool) {
		if sealed {
			state = seal(state)
		}
		m := newCounted()
		m.run(time.Minute)
		s := m.agent()
		_ = s.Restore(state)
		if _, err := s.Save(); err != nil {
			t.Errorf("save again: %v", err)
		}
		r := s.Collect(t.Context(), time.Minute)
		sound(t, r.Values)
		for _, src := range r.Sources {
			if src.Err != nil && strings.Contains(src.Err.Error(), "panic") {
				t.Error(src.Err)
			}
		}
		var cpu float64
		for name, v := range byName(r.Values) {
			if strings.HasPrefix(name, "cpu.") {
				cpu += v
			}
		}
		if cpu > 100*(1+1e-9) {
			t.Errorf("one processor was busy for %v percent", cpu)
		}
	})
}

// What truly went by counts: neither a wall clock that is set, nor a machine that is paused or
// suspended, nor a processor that is taken away bends a rate.
func TestRatesAreTrue(t *testing.T) {
	for name, tt := range map[string]struct {
		between func(m *counted)
		want    bool // rates, or none
	}{
		"a minute":                       {func(m *counted) { m.run(time.Minute) }, true},
		"a late turn":                    {func(m *counted) { m.run(97 * time.Second) }, true},
		"paused: time and counters stop": {func(m *counted) { m.run(10 * time.Second) }, true},
		"suspended for a night":          {func(m *counted) { m.now += 8 * time.Hour; m.back += 8 * time.Hour; m.run(time.Minute) }, false},
		"woke up under another kernel": {func(m *counted) {
			m.proc["sys/kernel/random/boot_id"] = &fstest.MapFile{Data: []byte("boot-2")}
			m.run(time.Minute)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newCounted()
			s := m.agent()
			checkRates(t, s, false)
			tt.between(m)
			checkRates(t, s, tt.want)
			m.run(time.Minute)
			checkRates(t, s, true)
		})
	}
}

// A virtual machine that was paused for a minute, and whose clock caught up: the rates are the
// means of all of it, and the shares of the processors keep their scale.
func TestRatesAfterAPause(t *testing.T) {
	m := newCounted()
	s := m.agent()
	checkRates(t, s, false)
	m.now += time.Minute
	m.back += time.Minute
	m.run(10 * time.Second)
	got := byName(s.Collect(t.Context(), time.Minute).Values)
	if v := got["interface.eth0.rxBytes.delta"]; math.Abs(v-100./7) > 1e-9 || got["cpu.user.percentage"] != 50 {
		t.Errorf("%v bytes a second, %v%% of user; want %v and 50", v, got["cpu.user.percentage"], 100./7)
	}
	m.run(time.Minute)
	checkRates(t, s, true)
}

// The wall clock is stepped by an hour while a minute goes by.
func TestRatesKnowNoWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCounted()
		s := m.agent()
		checkRates(t, s, false)
		time.Sleep(time.Hour)
		m.run(time.Minute)
		checkRates(t, s, true)
	})
}
