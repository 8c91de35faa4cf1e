package collect

import (
	"encoding/binary"
	"math"
	"testing"
	"testing/fstest"
	"time"
)

// twice collects a family from before, then from after a minute later, and checks the values.
func twice(t *testing.T, family string, before, after fstest.MapFS) {
	t.Helper()
	proc := &turning{before}
	clock := &fakeClock{now: time.Hour}
	f, ok := familyOf(family)
	if !ok {
		t.Fatalf("no family %s", family)
	}
	c := f.new(Options{Proc: proc, Sys: proc, Sockets: usualSockets, watch: &Watch{Clock: clock.read, Proc: proc}})
	_, _ = c.Collect(t.Context()) // what is refused at first may be read next time
	proc.FS = after
	clock.now += time.Minute
	values, _ := c.Collect(t.Context()) // values and an error may come together
	sound(t, values)
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func FuzzPressure(f *testing.F) {
	seed(f, "pressure/io", func(s string) { f.Add(s, s) })
	f.Fuzz(func(t *testing.T, before, after string) {
		at := func(s string) fstest.MapFS {
			return fstest.MapFS{"pressure/cpu": text(s), "pressure/memory": text(s), "pressure/io": text(s)}
		}
		twice(t, "pressure", at(before), at(after))
	})
}

func FuzzTCP(f *testing.F) {
	seed(f, "net/snmp", func(s string) { f.Add(s, s, "", "") })
	seed(f, "net/netstat", func(s string) { f.Add("", "", s, "") })
	seed(f, "net/sockstat", func(s string) { f.Add("", "", "", s) })
	f.Fuzz(func(t *testing.T, before, after, netstat, sockstat string) {
		at := func(s string) fstest.MapFS {
			return fstest.MapFS{"net/snmp": text(s), "net/netstat": text(netstat), "net/sockstat": text(sockstat)}
		}
		twice(t, "tcp", at(before), at(after))
	})
}

func FuzzStatCounts(f *testing.F) {
	seed(f, "stat", func(s string) { f.Add(s, s) })
	f.Fuzz(func(t *testing.T, before, after string) {
		twice(t, "scheduler", fstest.MapFS{"stat": text(before)}, fstest.MapFS{"stat": text(after)})
	})
}

func FuzzVMStat(f *testing.F) {
	seed(f, "vmstat", func(s string) { f.Add(s, s) })
	f.Fuzz(func(t *testing.T, before, after string) {
		twice(t, "oom", fstest.MapFS{"vmstat": text(before)}, fstest.MapFS{"vmstat": text(after)})
	})
}

func FuzzDiskLatency(f *testing.F) {
	seed(f, "diskstats", func(s string) { f.Add(s, s, "vg0-root\n") })
	f.Fuzz(func(t *testing.T, before, after, mapped string) {
		at := func(s string) fstest.MapFS {
			return fstest.MapFS{"diskstats": text(s), "block/sda/size": {}, "block/vda/size": {}, "block/dm-0/dm/name": text(mapped)}
		}
		twice(t, "disklatency", at(before), at(after))
	})
}

func FuzzNumbers(f *testing.F) {
	f.Add("520\t0\t2466170\n")
	f.Add("350735.47 234388.90\n")
	f.Add("9223372036854775807 -1 NaN")
	f.Fuzz(func(t *testing.T, s string) {
		at := fstest.MapFS{"sys/fs/file-nr": text(s), "sys/fs/inode-nr": text(s), "uptime": text(s)}
		twice(t, "files", at, at)
		twice(t, "uptime", at, at)
	})
}

func FuzzConntrack(f *testing.F) {
	seed(f, "net/stat/nf_conntrack", func(s string) { f.Add(s, s, "10", "100") })
	f.Fuzz(func(t *testing.T, before, after, count, limit string) {
		at := func(s string) fstest.MapFS {
			return fstest.MapFS{"net/stat/nf_conntrack": text(s), "sys/net/netfilter/nf_conntrack_count": text(count), "sys/net/netfilter/nf_conntrack_max": text(limit)}
		}
		twice(t, "conntrack", at(before), at(after))
	})
}

// Whatever a control group says of itself, its limits are positive numbers.
func FuzzCgroup(f *testing.F) {
	f.Add("150000 100000\n", "0-3,8\n", "536870912\n", "usage_usec 1\nnr_periods 5\nnr_throttled 1\n", "usage_usec 9\nnr_periods 9\nnr_throttled 2\n", "inactive_file 5\n")
	f.Add("max 100000\n", "", "max\n", "", "", "")
	f.Fuzz(func(t *testing.T, quota, cpus, memory, before, after, stat string) {
		at := func(s string) fstest.MapFS {
			return fstest.MapFS{
				"fs/cgroup/cpu.max": text(quota), "fs/cgroup/cpuset.cpus.effective": text(cpus), "devices/system/cpu/online": text("0-999"),
				"fs/cgroup/memory.max": text(memory), "fs/cgroup/memory.current": text(memory), "fs/cgroup/memory.stat": text(stat),
				"fs/cgroup/cpu.stat": text(s), "fs/cgroup/memory.events": text(s),
			}
		}
		twice(t, "cgroup", at(before), at(after))
		l, err := readLimits(at(before), at(before))
		if err != nil || l.cpus < 0 || l.memory < 0 || math.IsInf(l.cpus, 0) || math.IsNaN(l.cpus) {
			t.Errorf("limits %+v, %v", l, err)
		}
	})
}

// Whatever the kernel answers, there are no more sockets than messages, and the end is found.
func FuzzSocketStates(f *testing.F) {
	b := make([]byte, netlinkHeader+4)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], tcpDiagSockets)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var s SocketStates
		_, _ = s.add(b)
		if n := s.total(); n < 0 || n > len(b)/netlinkHeader {
			t.Errorf("%d sockets in %d bytes", n, len(b))
		}
	})
}
