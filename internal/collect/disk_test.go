package collect

import (
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestParseDiskstats(t *testing.T) {
	type half struct {
		reads, writes uint64
		unused        bool
	}
	got := map[string]half{}
	for _, c := range parseDiskstats(strings.Join([]string{
		"   8       0 sda 1 2 3 4 5 6 7 8 9 10 11",
		"",
		"   8      16 sdb 21 2 3 4 25 6 7 8 9 10 11 12 13 14 15",
		" 259       0 nvme0n1 31 2 3 4 35 6 7 8 9 10 11 12 13 14 15 16 17",
		" 254       0 dm-0 1 2 3 4 5 6 7 8 9 10 11",
		"   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
		"   7       1 loop1 0 0 0 0 0 0 0 0 0 0 0 9 9 9 9", // discards alone are no use
		"   8       1 sda1 1 2 3 4",
		"   8       2 sda2 1 2 3 4 -5 6 7 8 9 10 11",
		"   8       3 sda3 1 2 3 4 5 6 7 8 -9 10 11", // the kernel's own mistake, in a counter that is not ours
		"   8",
		"   8       4 last 41 2 3 4 45 6 7 8 9 10 11",
	}, "\n")) {
		got[c.device] = half{c.N[diskReads], c.N[diskWrites], c.unused()}
	}
	want := map[string]half{
		"sda": {1, 5, false}, "sdb": {21, 25, false}, "nvme0n1": {31, 35, false}, "dm-0": {1, 5, false},
		"loop0": {0, 0, true}, "loop1": {0, 0, true}, "sda3": {1, 5, false}, "last": {41, 45, false},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if c := parseDiskstats("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12")[0]; c.N != [diskFields]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} {
		t.Errorf("counters %v, want 1 to 11 in their order", c.N)
	}
}

// disks collects twice, a minute apart.
func disks(t *testing.T, d *Disk, mountinfo, before, after string) map[string]float64 {
	t.Helper()
	proc := fstest.MapFS{"diskstats": {Data: []byte(before)}, "self/mountinfo": {Data: []byte(mountinfo)}}
	clock := &fakeClock{now: time.Hour}
	d.Proc, d.Watch = proc, &Watch{Clock: clock.read, Proc: proc}
	if v, err := d.Collect(t.Context()); v != nil || err != nil {
		t.Fatalf("first reading: %v, %v; want nothing", v, err)
	}
	proc["diskstats"].Data = []byte(after)
	clock.now += time.Minute
	v, err := d.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return byName(v)
}

func TestDisk(t *testing.T) {
	const zero = "7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n"
	const used = "7 0 loop0 60 0 0 0 60 0 0 0 0 0 0\n"
	for name, tt := range map[string]struct {
		d             Disk
		before, after string
		want          map[string]float64
	}{
		"operations a second":          {Disk{}, "8 0 sda 0 0 0 0 0 0 0 0 0 0 1", "8 0 sda 60 0 0 0 120 0 0 0 0 0 1", map[string]float64{"disk.sda.reads.delta": 1, "disk.sda.writes.delta": 2}},
		"never used before":            {Disk{}, zero, used, map[string]float64{}},
		"all zero now":                 {Disk{}, used, zero, map[string]float64{}},
		"a device that is new":         {Disk{}, zero, zero + "8 0 sda 1 1 1 1 1 1 1 1 1 1 1", map[string]float64{}},
		"ignored by its name in names": {Disk{Ignore: regexp.MustCompile(`^cciss_c0d0`)}, "8 0 cciss!c0d0 0 0 0 0 0 0 0 0 0 0 1", "8 0 cciss!c0d0 60 0 0 0 120 0 0 0 0 0 1", map[string]float64{}},
		"ignored before renaming": {Disk{Ignore: regexp.MustCompile(`^sda1$`), UseMountpoint: true},
			"8 1 sda1 0 0 0 0 0 0 0 0 0 0 1\n8 2 sda2 0 0 0 0 0 0 0 0 0 0 1", "8 1 sda1 60 0 0 0 60 0 0 0 0 0 1\n8 2 sda2 60 0 0 0 60 0 0 0 0 0 1",
			map[string]float64{"disk._var_log.reads.delta": 1, "disk._var_log.writes.delta": 1}},
		"a device without a file system keeps its name": {Disk{UseMountpoint: true}, "8 0 sda 0 0 0 0 0 0 0 0 0 0 1", "8 0 sda 60 0 0 0 60 0 0 0 0 0 1",
			map[string]float64{"disk.sda.reads.delta": 1, "disk.sda.writes.delta": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			const mounts = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /var/log rw - ext4 /dev/sda2 rw\n"
			if got := disks(t, &tt.d, mounts, tt.before, tt.after); !maps.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// The kernel of a small image mounts its root before there is a /dev: only sysfs knows the device.
func TestDiskOfDevRoot(t *testing.T) {
	d := &Disk{UseMountpoint: true, Sys: fstest.MapFS{"dev/block/254:1/uevent": {Data: []byte("MAJOR=254\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\n")}}}
	got := disks(t, d, "1 0 254:1 / / rw - ext4 /dev/root rw\n", "254 1 vda1 0 0 0 0 0 0 0 0 0 0 1", "254 1 vda1 60 0 0 0 60 0 0 0 0 0 1")
	if want := (map[string]float64{"disk._.reads.delta": 1, "disk._.writes.delta": 1}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
