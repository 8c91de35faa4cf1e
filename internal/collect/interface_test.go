package collect

import (
	"maps"
	"regexp"
	"testing"
	"testing/fstest"
	"time"
)

func TestInterface(t *testing.T) {
	const rest = " 0 0 0 0 0 0 0 "
	line := func(name, rx, tx string) string { return name + ":" + rx + rest + tx + rest + "\n" }
	for name, tt := range map[string]struct {
		before, after string
		ignore        *regexp.Regexp
		want          map[string]float64
	}{
		"bytes a second": {line("eth0", "0", "0"), line("eth0", "600", "60"), nil,
			map[string]float64{"interface.eth0.rxBytes.delta": 10, "interface.eth0.txBytes.delta": 1}},
		"a decrease costs its direction": {line("eth0", "1000", "0"), line("eth0", "600", "60"), nil,
			map[string]float64{"interface.eth0.txBytes.delta": 1}},
		"lo, veth and short lines are not there": {line("  lo", "0", "0") + line("veth12", "0", "0") + "eth1: 1 2 3\n", line("  lo", "9", "9") + line("veth12", "9", "9") + "eth1: 4 5 6\n", nil,
			map[string]float64{}},
		"lo0 is not lo": {line("lo0", "0", "0"), line("lo0", "60", "60"), nil,
			map[string]float64{"interface.lo0.rxBytes.delta": 1, "interface.lo0.txBytes.delta": 1}},
		"ignored by sanitised name": {line("eth0.100", "0", "0"), line("eth0.100", "60", "60"), regexp.MustCompile(`^eth0_100$`),
			map[string]float64{}},
		"a 64-bit counter to its top": {line("eth0", "18446744073709551015", "0"), line("eth0", "18446744073709551615", "0"), nil,
			map[string]float64{"interface.eth0.rxBytes.delta": 10, "interface.eth0.txBytes.delta": 0}},
		"it came just now": {"", line("eth0", "600", "60"), nil, map[string]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			proc := fstest.MapFS{"net/dev": {Data: []byte("Inter-| Receive | Transmit\n face |bytes packets\n" + tt.before)}}
			clock := &fakeClock{now: time.Hour}
			c := &Interface{Proc: proc, Watch: &Watch{Clock: clock.read, Proc: proc}, Ignore: tt.ignore}
			if v, err := c.Collect(t.Context()); v != nil || err != nil {
				t.Fatalf("first reading: %v, %v; want nothing", v, err)
			}
			proc["net/dev"].Data = []byte(tt.after)
			clock.now += time.Minute
			v, err := c.Collect(t.Context())
			if got := byName(v); err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}
