package collect

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// machineSockets is what the kernel of every machine of testdata answers about sockets.
var machineSockets = SocketStates{tcpSynSent: 1, tcpSynRecv: 2, tcpFinWait1: 3, tcpFinWait2: 4, tcpCloseWait: 5, tcpLastAck: 6, tcpListen: 7, tcpClosing: 8}

// everything has what every family reads, so that each of its metrics is there.
func everything(t *testing.T) *Set {
	t.Helper()
	proc, sys := fstest.MapFS{}, fstest.MapFS{}
	put := func(fsys fstest.MapFS, texts map[string]string) {
		for name, text := range texts {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	put(proc, map[string]string{
		"pressure/cpu":    "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"pressure/io":     "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"pressure/irq":    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"net/snmp": "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n" +
			"Tcp: 1 200 120000 -1 1 1 1 1 9 1 1 1 1 1 1\n",
		"net/netstat":                          "TcpExt: ListenOverflows ListenDrops TCPTimeouts\nTcpExt: 1 1 1\n",
		"net/sockstat":                         "sockets: used 14\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 61\n",
		"sys/fs/file-nr":                       "520\t0\t2466170\n",
		"sys/fs/inode-nr":                      "99775\t12\n",
		"stat":                                 "cpu  1 1 1 1\ncpu0 1 1 1 1\nintr 5 1 2\nctxt 5\nprocesses 5\nprocs_running 1\nprocs_blocked 0\n",
		"vmstat":                               "pswpin 1\npswpout 1\npgmajfault 1\noom_kill 1\n",
		"diskstats":                            "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n",
		"uptime":                               "350735.47 234388.90\n",
		"sys/net/netfilter/nf_conntrack_count": "10\n",
		"sys/net/netfilter/nf_conntrack_max":   "1000\n",
		"net/stat/nf_conntrack":                "entries insert_failed drop early_drop\n0a 1 1 1\n0a 0 0 f\n",
		"self/mountinfo":                       "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n",
		"meminfo":                              "MemTotal: 1000000 kB\n",
		"sys/kernel/random/boot_id":            "a\n",
	})
	put(sys, map[string]string{
		"block/sda/size":                  "1",
		"fs/cgroup/cpu.max":               "150000 100000\n",
		"fs/cgroup/cpu.stat":              "usage_usec 1\nnr_periods 1\nnr_throttled 0\n",
		"fs/cgroup/memory.max":            "524288000\n",
		"fs/cgroup/memory.current":        "104857600\n",
		"fs/cgroup/memory.stat":           "anon 1\ninactive_file 4857600\n",
		"fs/cgroup/memory.events":         "low 0\noom 1\noom_kill 1\n",
		"devices/system/cpu/online":       "0-3\n",
		"fs/cgroup/cpuset.cpus.effective": "0-3\n",
	})
	clock := &fakeClock{now: time.Hour}
	s := New(Options{
		Proc: proc, Sys: sys, Clock: clock.read, Linux: LinuxFamilies(), Sockets: usualSockets,
		Stat: usages(map[string]mount.Usage{"/": {BlockSize: 4096, Blocks: 10, Free: 5, Available: 5, Files: 100, FreeFiles: 75}}),
	})
	s.Collect(t.Context(), time.Minute)
	clock.now += time.Minute
	put(proc, map[string]string{"diskstats": "8 0 sda 61 2 123 124 65 6 127 128 9 30010 11\n"})
	put(sys, map[string]string{"fs/cgroup/cpu.stat": "usage_usec 30000001\nnr_periods 601\nnr_throttled 60\n"})
	return s
}

// What a family collects is what its graph definitions say, no more and no less.
func TestDeclaredIsCollected(t *testing.T) {
	r := everything(t).Collect(t.Context(), time.Minute)
	for _, src := range r.Sources[len(All):] {
		if src.Err != nil {
			t.Error(src.Err)
		}
	}
	collected := slices.DeleteFunc(r.Values, func(v saba.Value) bool { return !strings.HasPrefix(v.Name, linuxPrefix) })
	drawn := map[string]bool{}
	var names []string
	for _, g := range LinuxGraphDefs(LinuxFamilies()) {
		if !saba.ValidGraphDefName(g.Name) || !g.Unit.Valid() || g.DisplayName == "" || slices.Contains(names, g.Name) {
			t.Errorf("graph definition %+v: the name is not valid or there twice, or a part is missing", g)
		}
		names = append(names, g.Name)
		// The plugin "linux" of the protocol has graphs of these names: a host may run both.
		for _, taken := range []string{"users", "interrupts", "context_switches", "forks", "ss", "swap", "disk"} {
			if g.Name == linuxPrefix+taken || strings.HasPrefix(g.Name, linuxPrefix+taken+".") {
				t.Errorf("%s is the name of another plugin's graph", g.Name)
			}
		}
		for _, m := range g.Metrics {
			segment, below := strings.CutPrefix(m.Name, g.Name+".")
			if !saba.ValidGraphDefName(m.Name) || !below || strings.Contains(segment, ".") || m.DisplayName == "" {
				t.Errorf("%s: %+v is no metric of it", g.Name, m)
			}
			pattern := regexp.MustCompile("^" + strings.NewReplacer(".", `\.`, "*", `[^.]+`, "#", `[^.]+`).Replace(m.Name) + "$")
			found := false
			for _, v := range collected {
				if pattern.MatchString(v.Name) {
					found, drawn[v.Name] = true, true
				}
			}
			if !found {
				t.Errorf("%s is declared and was not collected", m.Name)
			}
		}
	}
	for _, v := range collected {
		if !drawn[v.Name] {
			t.Errorf("%s was collected and is on no graph", v.Name)
		}
	}
}

func TestValuesOfFamilies(t *testing.T) {
	got := byName(everything(t).Collect(t.Context(), time.Minute).Values)
	for name, want := range map[string]float64{
		"tcp_states.established":       4, // 9 of CurrEstab, without the 5 in CLOSE_WAIT
		"tcp_states.syn_recv":          2,
		"files.open":                   520,
		"inode_cache.used":             99763,
		"disk_await.sda.read":          2, // 120 ms for 60 reads
		"disk_await.sda.write":         2,
		"disk_bytes.sda.read":          1024, // 120 sectors in a minute
		"disk_util.sda":                50,
		"disk_queue.sda":               0,
		"conntrack_usage.percentage":   1,
		"conntrack_drops.early_drop":   0,
		"inodes.sda1":                  25,
		"cgroup_cpu.limit":             150,
		"cgroup_cpu.used":              50,
		"cgroup_throttling.percentage": 10,
		"cgroup_memory.limit":          524288000,
		"cgroup_memory.used":           100000000,
		"oom.kills":                    0,
		"uptime.seconds":               350735.47,
	} {
		if v, ok := got[linuxPrefix+name]; !ok || v != want {
			t.Errorf("%s: %v (there: %v), want %v", name, v, ok, want)
		}
	}
}

func TestFamiliesAreOffByDefault(t *testing.T) {
	if n := len(New(Options{}).parts); n != len(All) {
		t.Errorf("%d collectors without a family, want %d", n, len(All))
	}
	if n := len(New(Options{Linux: []string{"uptime", "nonsense"}}).parts); n != len(All)+1 {
		t.Errorf("%d collectors with one family, want %d", n, len(All)+1)
	}
	if defs := LinuxGraphDefs([]string{"uptime"}); len(defs) != 1 || defs[0].Name != "custom.linux.uptime" {
		t.Errorf("definitions of uptime: %+v", defs)
	}
}

func TestCheckLinux(t *testing.T) {
	if err := CheckLinux(LinuxFamilies()); err != nil {
		t.Errorf("every family: %v", err)
	}
	err := CheckLinux([]string{"tcp", "presure", "gpu"})
	want := `unknown family of Linux metrics "presure" (did you mean "pressure"?): there are pressure, tcp, files, scheduler, oom, disklatency, uptime, conntrack, inodes, cgroup
unknown family of Linux metrics "gpu": there are pressure, tcp, files, scheduler, oom, disklatency, uptime, conntrack, inodes, cgroup`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestPressureShare(t *testing.T) {
	for name, tt := range map[string]struct {
		prev, now uint64
		want      float64
		ok        bool
	}{
		"half a minute of a minute":         {10, 30_000_010, 50, true},
		"none":                              {10, 10, 0, true},
		"read at slightly later moments":    {0, 62_000_000, 100, true},
		"more than the time that went by":   {0, 90_000_000, 0, false},
		"a total that went back":            {10, 9, 0, false},
		"a total at the top of the counter": {0, 1<<64 - 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := pressureShare(tt.prev, tt.now, time.Minute); got != tt.want || ok != tt.ok {
				t.Errorf("pressureShare(%d, %d, 1m) = %v, %v; want %v, %v", tt.prev, tt.now, got, ok, tt.want, tt.ok)
			}
		})
	}
}

// A kernel that tells less costs what it does not tell, and says so where nothing is left.
func TestFamiliesOnLesserKernels(t *testing.T) {
	for name, tt := range map[string]struct {
		family  string
		proc    fstest.MapFS
		values  int
		wantErr string // a part of it; "" is no error
	}{
		"no PSI":                     {"pressure", fstest.MapFS{}, 0, "boot with psi=1"},
		"no interrupts' pressure":    {"pressure", fstest.MapFS{"pressure/cpu": {}, "pressure/memory": {}, "pressure/io": {Data: []byte("some total=1")}}, 1, ""},
		"no conntrack":               {"conntrack", fstest.MapFS{}, 0, "nf_conntrack is not loaded"},
		"no statistics of conntrack": {"conntrack", fstest.MapFS{"sys/net/netfilter/nf_conntrack_count": {Data: []byte("1")}, "sys/net/netfilter/nf_conntrack_max": {Data: []byte("0")}}, 2, ""},
		"no oom_kill before 4.13":    {"oom", fstest.MapFS{"vmstat": {Data: []byte("pgmajfault 1\npswpin 1\npswpout 1\n")}}, 3, ""},
		"no vmstat":                  {"oom", fstest.MapFS{}, 0, "open vmstat"},
		"a limit of files like none": {"files", fstest.MapFS{"sys/fs/file-nr": {Data: []byte("5 1 9223372036854775807")}, "sys/fs/inode-nr": {Data: []byte("1 2")}}, 3, ""},
		"inodes alone":               {"files", fstest.MapFS{"sys/fs/inode-nr": {Data: []byte("2 1")}}, 2, "open sys/fs/file-nr"},
		"no netstat":                 {"tcp", fstest.MapFS{"net/snmp": {Data: []byte("Tcp: InSegs CurrEstab\nTcp: 1 7\n")}, "net/sockstat": {Data: []byte("TCP: tw 3")}}, 12, "open net/netstat"},
		"no cgroup of one's own":     {"cgroup", fstest.MapFS{}, 0, ""},
		"no sysfs":                   {"disklatency", fstest.MapFS{"diskstats": {}}, 0, "which devices are whole disks is unknown"},
		"a broken uptime":            {"uptime", fstest.MapFS{"uptime": {Data: []byte("NaN 1")}}, 0, `"NaN" is not a number`},
		"a short uptime":             {"uptime", fstest.MapFS{"uptime": {}}, 0, "0 numbers where 1 should be"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &fakeClock{now: time.Hour}
			f, _ := familyOf(tt.family)
			c := f.new(Options{Proc: tt.proc, Sys: fstest.MapFS{}, watch: &Watch{Clock: clock.read, Proc: tt.proc}, Sockets: usualSockets})
			_, _ = c.Collect(t.Context()) // the second reading says it all
			clock.now += time.Minute
			v, err := c.Collect(t.Context())
			if len(v) != tt.values {
				t.Errorf("values %v, want %d", v, tt.values)
			}
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q in it", err, tt.wantErr)
			}
		})
	}
}

// States that cannot be asked for, or are too many to be, cost the states alone.
func TestTCPWithoutSockets(t *testing.T) {
	for name, tt := range map[string]struct {
		sockstat string
		err      error
		asked    int
	}{
		"refused":  {"TCP: inuse 1 orphan 0 tw 3 alloc 1", fs.ErrPermission, 1},
		"too many": {"TCP: inuse 1 orphan 0 tw 15000 alloc 5001", errTooManySockets, 0},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			c := &TCP{Proc: fstest.MapFS{
				"net/snmp": {Data: []byte("Tcp: CurrEstab\nTcp: 7\n")}, "net/netstat": {}, "net/sockstat": {Data: []byte(tt.sockstat)},
			}, Sockets: func(context.Context) (SocketStates, error) { asked++; return SocketStates{}, fs.ErrPermission }}
			v, err := c.Collect(t.Context())
			if !errors.Is(err, tt.err) || len(v) != 4 || byName(v)["custom.linux.tcp_sockets.connected"] != 7 || asked != tt.asked {
				t.Errorf("%v, %v, asked %d times; want the 4 numbers that the kernel keeps, %v, %d times", v, err, asked, tt.err, tt.asked)
			}
		})
	}
}

func TestDiskLatency(t *testing.T) {
	const before = "8 0 sda 100 0 0 100 100 0 0 100 0 100 100\n8 1 sda1 100 0 0 100 100 0 0 100 0 100 100\n253 0 dm-0 1 1 1 1 1 1 1 1 0 1 1\n"
	whole := fstest.MapFS{"block/sda/size": {}, "block/dm-0/dm/name": {Data: []byte("vg0-home\n")}, "block/cciss!c0d0/size": {}}
	for name, tt := range map[string]struct {
		before, after string
		sys           fstest.MapFS
		ignore        string
		want          []string // names without prefix
	}{
		"whole disks and mapped ones, no partitions": {before, before, whole, "", []string{
			"disk_bytes.sda.read", "disk_bytes.sda.write", "disk_util.sda", "disk_queue.sda",
			"disk_bytes.mapper_vg0-home.read", "disk_bytes.mapper_vg0-home.write", "disk_util.mapper_vg0-home", "disk_queue.mapper_vg0-home"}},
		"ignored by its label":                               {before, before, whole, "^(mapper_|sda)", nil},
		"a counter that went back costs the disk its minute": {before, "8 0 sda 100 0 0 99 100 0 0 100 0 100 100\n", whole, "", nil},
		"busier than time allows":                            {before, "8 0 sda 100 0 0 100 100 0 0 100 0 90100 100\n", whole, "", nil},
		"it vanished between diskstats and sysfs":            {before, before, fstest.MapFS{"block/dm-0/size": {}}, "", nil},
		"a slash in its name":                                {"104 0 cciss/c0d0 1 1 1 1 1 1 1 1 0 1 1\n", "104 0 cciss/c0d0 2 1 1 1 1 1 1 1 0 1 1\n", whole, "", []string{"disk_await.cciss_c0d0.read", "disk_bytes.cciss_c0d0.read", "disk_bytes.cciss_c0d0.write", "disk_util.cciss_c0d0", "disk_queue.cciss_c0d0"}},
	} {
		t.Run(name, func(t *testing.T) {
			proc := fstest.MapFS{"diskstats": {Data: []byte(tt.before)}}
			clock := &fakeClock{now: time.Hour}
			d := &DiskLatency{Proc: proc, Sys: tt.sys, Watch: &Watch{Clock: clock.read, Proc: proc}}
			if tt.ignore != "" {
				d.Ignore = regexp.MustCompile(tt.ignore)
			}
			if v, err := d.Collect(t.Context()); v != nil || err != nil {
				t.Fatalf("first reading: %v, %v; want nothing", v, err)
			}
			clock.now += time.Minute
			proc["diskstats"].Data = []byte(tt.after)
			values, err := d.Collect(t.Context())
			var got []string
			for _, v := range values {
				got = append(got, strings.TrimPrefix(v.Name, linuxPrefix))
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

// countingFS counts what is opened.
type countingFS struct {
	fs.FS
	opened map[string]int
}

func (c *countingFS) Open(name string) (fs.File, error) {
	c.opened[name]++
	return c.FS.Open(name)
}

// Sysfs is asked when devices came or went, and until the name of a new one is there.
func TestDiskLabelsAskSysfsSeldom(t *testing.T) {
	files := fstest.MapFS{"block/sda/size": {}, "block/dm-0/size": {}}
	sys := &countingFS{files, map[string]int{}}
	var l diskLabels
	disks := parseDiskstats("8 0 sda 1 1 1 1 1 1 1 1 1 1 1\n253 0 dm-0 1 1 1 1 1 1 1 1 1 1 1\n")
	look := func(disks []diskCounters, want map[string]string, wantReads int) {
		t.Helper()
		got, err := l.of(disks, sys)
		if err != nil || len(got) != len(want) || got["sda"] != want["sda"] || got["dm-0"] != want["dm-0"] || sys.opened["block"] != wantReads {
			t.Errorf("labels %v, %v, the folder read %d times; want %v, %d times", got, err, sys.opened["block"], want, wantReads)
		}
	}
	look(disks, map[string]string{"sda": "sda"}, 1)
	look(disks, map[string]string{"sda": "sda"}, 2) // the mapped one has no name yet
	files["block/dm-0/dm/name"] = &fstest.MapFile{Data: []byte("root\n")}
	look(disks, map[string]string{"sda": "sda", "dm-0": "mapper_root"}, 3)
	look(disks, map[string]string{"sda": "sda", "dm-0": "mapper_root"}, 3)
	look(disks[:1], map[string]string{"sda": "sda"}, 4)
}

func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		sys  map[string]string // below fs/cgroup
		want limits
	}{
		"the machine itself":                    {map[string]string{"cpu.stat": "usage_usec 1", "cpuset.cpus.effective": "0-3"}, limits{}},
		"a container without limits":            {map[string]string{"cpu.max": "max 100000", "memory.max": "max"}, limits{present: true}},
		"one and a half processors":             {map[string]string{"cpu.max": "150000 100000", "memory.max": "max"}, limits{present: true, cpus: 1.5}},
		"two of four processors":                {map[string]string{"cpu.max": "max 100000", "cpuset.cpus.effective": "1,3"}, limits{present: true, cpus: 2}},
		"the narrower of both":                  {map[string]string{"cpu.max": "50000 100000", "cpuset.cpus.effective": "0-2"}, limits{present: true, cpus: 0.5}},
		"all processors are no limit":           {map[string]string{"cpu.max": "max 100000", "cpuset.cpus.effective": "0-3"}, limits{present: true}},
		"memory":                                {map[string]string{"memory.max": "1048576"}, limits{present: true, memory: 1048576}},
		"more memory than there is is no limit": {map[string]string{"memory.max": "99999999999999"}, limits{present: true}},
		"version 1, two processors":             {map[string]string{"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, limits{present: true, first: true, cpus: 2}},
		"version 1, memory":                     {map[string]string{"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "1048576"}, limits{present: true, first: true, memory: 1048576}},
		"version 1 without limits":              {map[string]string{"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "9223372036854771712"}, limits{}},
	} {
		t.Run(name, func(t *testing.T) {
			sys := fstest.MapFS{"devices/system/cpu/online": {Data: []byte("0-3\n")}}
			for file, text := range tt.sys {
				sys["fs/cgroup/"+file] = &fstest.MapFile{Data: []byte(text + "\n")}
			}
			got, err := readLimits(fstest.MapFS{"meminfo": {Data: []byte("MemTotal: 1000000 kB\n")}}, sys)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// What a container uses is the same in both versions of control groups.
func TestACgroupOfVersion1(t *testing.T) {
	sys := fstest.MapFS{}
	put := func(files map[string]string) {
		for name, text := range files {
			sys["fs/cgroup/"+name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	put(map[string]string{
		"cpu/cpu.cfs_quota_us":         "150000\n",
		"cpu/cpu.cfs_period_us":        "100000\n",
		"cpu/cpu.stat":                 "nr_periods 1\nnr_throttled 0\nthrottled_time 0\n",
		"cpuacct/cpuacct.usage":        "1000\n",
		"memory/memory.limit_in_bytes": "524288000\n",
		"memory/memory.usage_in_bytes": "104857600\n",
		"memory/memory.stat":           "inactive_file 7\ntotal_inactive_file 4857600\n",
		"memory/memory.oom_control":    "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
	})
	proc := fstest.MapFS{"meminfo": {Data: []byte("MemTotal: 1000000 kB\n")}, "sys/kernel/random/boot_id": {Data: []byte("a\n")}}
	clock := &fakeClock{now: time.Hour}
	c := &Cgroup{Proc: proc, Sys: sys, Watch: &Watch{Clock: clock.read, Proc: proc}}
	if _, err := c.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.now += time.Minute
	put(map[string]string{
		"cpu/cpu.stat":              "nr_periods 601\nnr_throttled 60\nthrottled_time 5\n",
		"cpuacct/cpuacct.usage":     "30000001000\n",
		"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
	})
	values, err := c.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, v := range values {
		got[strings.TrimPrefix(v.Name, "custom.linux.")] = v.Value
	}
	want := map[string]float64{
		"cgroup_cpu.limit": 150, "cgroup_cpu.used": 50, "cgroup_throttling.percentage": 10, "cgroup_memory.limit": 524288000,
		"cgroup_memory.used": 100000000, "cgroup_memory.current": 104857600, "cgroup_oom.kills": 2,
	}
	if !maps.Equal(got, want) {
		t.Errorf("values = %v, want %v", got, want)
	}
}

func TestSocketStates(t *testing.T) {
	message := func(kind uint16, body ...byte) []byte {
		b := make([]byte, netlinkHeader, netlinkHeader+len(body)+3)
		binary.NativeEndian.PutUint32(b, uint32(netlinkHeader+len(body)))
		binary.NativeEndian.PutUint16(b[4:], kind)
		b = append(b, body...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	socket := func(state byte) []byte { return message(tcpDiagSockets, 2, state, 0, 0, 0) } // 21 bytes: padded to 24
	for name, tt := range map[string]struct {
		answer  []byte
		want    SocketStates
		done    bool
		wantErr string
	}{
		"two sockets, more to come": {slices.Concat(socket(tcpListen), socket(tcpCloseWait)), SocketStates{tcpListen: 1, tcpCloseWait: 1}, false, ""},
		"the end":                   {slices.Concat(socket(tcpListen), message(netlinkDone, 0, 0, 0, 0)), SocketStates{tcpListen: 1}, true, ""},
		"a state of the future":     {socket(200), SocketStates{}, false, ""},
		"refused":                   {message(netlinkError, 0xff, 0xff, 0xff, 0xff), SocketStates{}, true, "error 1"},
		"longer than it is":         {[]byte{0xff, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, SocketStates{}, true, "a message of"},
	} {
		t.Run(name, func(t *testing.T) {
			if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 && name == "longer than it is" {
				t.Skip("the bytes are little-endian")
			}
			var got SocketStates
			done, err := got.add(tt.answer)
			if got != tt.want || done != tt.done || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got %v, %v, %v; want %v, %v, %q", got, done, err, tt.want, tt.done, tt.wantErr)
			}
		})
	}
}

func usualSockets(context.Context) (SocketStates, error) { return machineSockets, nil }
