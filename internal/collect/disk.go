package collect

import (
	"context"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// Disk reports how many reads and writes each block device completed. The zero value reads /proc.
type Disk struct {
	Proc          fs.FS          // procfs to read; nil means the host's own
	Sys           fs.FS          // sysfs, for the device behind /dev/root; nil means the host's own
	Watch         *Watch         // nil means the host's
	Ignore        *regexp.Regexp // devices to leave out, by sanitised name; nil leaves out none
	UseMountpoint bool           // name a device by where its file system is mounted

	last   baseline[map[string]diskCounters]
	mounts mountTable
}

// diskCeiling is above what any device does in operations a second.
const diskCeiling = 1e9

// Collect returns disk.<device>.reads.delta and .writes.delta, in operations a second, of
// whole disks and partitions. Device-mapper devices, and devices that were never used, are left out.
func (d *Disk) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(d.Proc), "diskstats")
	if err != nil {
		return nil, err
	}
	disks := parseDiskstats(text)
	now := make(map[string]diskCounters, len(disks))
	for _, c := range disks {
		now[c.device] = c
	}
	prev, elapsed, ok, err := d.last.next(now, d.Watch)
	if err != nil || !ok {
		return nil, err
	}
	points := map[string]string{} // device → mount point
	if d.UseMountpoint {
		// Without the table of mounts the devices' own names would start new series.
		if points, err = d.mountPoints(); err != nil {
			return nil, err
		}
	}
	var values []saba.Value
	for _, c := range disks {
		label := sanitise(c.device)
		p, known := prev[c.device]
		if !known || p.unused || c.unused || d.Ignore != nil && d.Ignore.MatchString(label) {
			continue
		}
		if point, ok := points[c.device]; ok {
			label = sanitise(point)
		}
		if v, ok := rate(p.reads, c.reads, elapsed, diskCeiling); ok {
			values = append(values, saba.Value{Name: "disk." + label + ".reads.delta", Value: v})
		}
		if v, ok := rate(p.writes, c.writes, elapsed, diskCeiling); ok {
			values = append(values, saba.Value{Name: "disk." + label + ".writes.delta", Value: v})
		}
	}
	return values, nil
}

// mountPoints returns where the file system on each block device is mounted, by kernel name.
func (d *Disk) mountPoints() (map[string]string, error) {
	mounts, err := d.mounts.read(d.Proc, onBlockDevice)
	if err != nil {
		return nil, err
	}
	points := map[string]string{}
	for _, m := range mounts {
		points[strings.TrimPrefix(realSource(d.Sys, m), "/dev/")] = m.point
	}
	return points, nil
}

// diskCounters are the counters of one block device since boot.
type diskCounters struct {
	device        string // kernel name
	reads, writes uint64 // completed operations
	unused        bool   // every counter is zero
}

// diskFields is how many counters a device has at least: more came with Linux 4.18 and 5.5.
const diskFields = 11

// parseDiskstats reads /proc/diskstats (Documentation/admin-guide/iostats.rst). Lines of
// another form are left out, as the short lines of partitions before Linux 2.6.25 are, and so are
// device-mapper devices: the disks below them are counted already.
func parseDiskstats(text string) []diskCounters {
	var disks []diskCounters
	for line := range strings.Lines(text) {
		// 254 0 vda 57412 14359 2826506 62240 33551 136813 9054944 62458 0 28284 130225 …
		fields := strings.Fields(line)
		if len(fields) < 3+diskFields || strings.HasPrefix(fields[2], "dm-") {
			continue
		}
		c := diskCounters{device: fields[2], unused: true}
		ok := true
		for i, f := range fields[3 : 3+diskFields] {
			n, err := strconv.ParseUint(f, 10, 64)
			// The 9th counter, operations under way, has been seen below zero.
			if err != nil && i != 8 {
				ok = false
				break
			}
			switch i {
			case 0:
				c.reads = n
			case 4:
				c.writes = n
			}
			c.unused = c.unused && n == 0
		}
		if ok {
			disks = append(disks, c)
		}
	}
	return disks
}
