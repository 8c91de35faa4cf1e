package collect

import (
	"context"
	"io/fs"
	"regexp"
	"slices"
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
	// The disks below device-mapper devices are counted already.
	disks := slices.DeleteFunc(parseDiskstats(text), func(c diskCounters) bool { return strings.HasPrefix(c.device, "dm-") })
	now := diskTable(disks)
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
		if !known || p.unused() || c.unused() || d.Ignore != nil && d.Ignore.MatchString(label) {
			continue
		}
		if point, ok := points[c.device]; ok {
			label = sanitise(point)
		}
		if v, ok := rate(p.N[diskReads], c.N[diskReads], elapsed, diskCeiling); ok {
			values = append(values, saba.Value{Name: "disk." + label + ".reads.delta", Value: v})
		}
		if v, ok := rate(p.N[diskWrites], c.N[diskWrites], elapsed, diskCeiling); ok {
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
		points[strings.TrimPrefix(realSource(d.Sys, m), "/dev/")] = m.Point
	}
	return points, nil
}

// The counters of a block device, in the order of /proc/diskstats (Documentation/admin-guide/iostats.rst).
const (
	diskReads      = iota // completed operations
	_                     // merged
	diskReadSect          // sectors of 512 bytes
	diskReadTime          // ms, of 32 bits, as all times are
	diskWrites            // completed operations
	_                     // merged
	diskWriteSect         // sectors of 512 bytes
	diskWriteTime         // ms
	diskUnderWay          // operations now: no counter
	diskBusyTime          // ms in which an operation was under way
	diskWaitedTime        // ms, of all operations together
	diskFields            // more came with Linux 4.18 and 5.5
)

// diskCounters are the counters of one block device since boot.
type diskCounters struct {
	device string // kernel name
	N      [diskFields]uint64
}

// unused says that the device has never done anything.
func (c diskCounters) unused() bool { return c.N == [diskFields]uint64{} }

// diskTable returns the counters by device.
func diskTable(disks []diskCounters) map[string]diskCounters {
	t := make(map[string]diskCounters, len(disks))
	for _, c := range disks {
		t[c.device] = c
	}
	return t
}

// parseDiskstats reads /proc/diskstats. Lines of another form are left out, as the short lines
// of partitions before Linux 2.6.25 are.
func parseDiskstats(text string) []diskCounters {
	disks := make([]diskCounters, 0, strings.Count(text, "\n")+1)
	for line := range strings.Lines(text) {
		// 254 0 vda 57412 14359 2826506 62240 33551 136813 9054944 62458 0 28284 130225 …
		var c diskCounters
		field := -3 // major and minor number and name come before the counters
		for f := range strings.FieldsSeq(line) {
			if field == diskFields {
				break
			}
			if field == -1 {
				c.device = f
			}
			if field >= 0 {
				n, err := strconv.ParseUint(f, 10, 64)
				// Operations under way have been seen below zero: the kernel's own mistake.
				if err != nil && field != diskUnderWay {
					break
				}
				c.N[field] = n
			}
			field++
		}
		if field == diskFields {
			disks = append(disks, c)
		}
	}
	return disks
}
