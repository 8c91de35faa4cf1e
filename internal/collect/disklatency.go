package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// DiskLatency reports how long the operations of each disk take and how busy it is. The zero
// value reads /proc and /sys.
type DiskLatency struct {
	Proc   fs.FS          // procfs to read; nil means the host's own
	Sys    fs.FS          // sysfs, for what is a disk and for names; nil means the host's own
	Watch  *Watch         // nil means the host's
	Ignore *regexp.Regexp // disks to leave out, by sanitised name or label; nil leaves out none

	last   baseline[map[string]diskCounters]
	labels diskLabels
}

var diskLatencyGraphs = []saba.GraphDef{
	graph("disk_await.#", "Linux Disk Latency (per operation)", saba.UnitMilliseconds, line("read", "Read"), line("write", "Write")),
	graph("disk_bytes.#", "Linux Disk Throughput", saba.UnitBytesPerSec, line("read", "Read"), line("write", "Write")),
	graph("disk_util", "Linux Disk Utilization", saba.UnitPercentage, line("*", "%1")),
	graph("disk_queue", "Linux Disk Queue (mean length)", saba.UnitFloat, line("*", "%1")),
}

// Collect returns, of each disk since the previous reading: custom.linux.disk_await.<disk>.read
// and .write, the mean time of an operation in ms, from being queued to being done, if there
// was one; disk_bytes.<disk>.read and .write a second; disk_util.<disk>, the share of the time
// in which it had something to do, in percent; disk_queue.<disk>, how many operations were
// under way on average.
//
// Disks are whole ones, not partitions; a device-mapper device has the name that its file
// system has among the file systems (mapper_vg0-home). Disks that were never used are left out.
func (d *DiskLatency) Collect(context.Context) ([]saba.Value, error) {
	text, err := readText(procOrHost(d.Proc), "diskstats")
	if err != nil {
		return nil, err
	}
	disks := parseDiskstats(text)
	labels, nameless := d.labels.of(disks, sysOrHost(d.Sys))
	now := diskTable(disks)
	prev, elapsed, ok, err := d.last.next(now, d.Watch)
	if err = errors.Join(nameless, err); !ok {
		return nil, err
	}
	var values []saba.Value
	for _, c := range disks {
		label, whole := labels[c.device]
		p, known := prev[c.device]
		if !whole || !known || p.unused() || c.unused() || d.Ignore != nil && (d.Ignore.MatchString(label) || d.Ignore.MatchString(sanitise(c.device))) {
			continue
		}
		values = append(values, latencies(label, p, c, elapsed)...)
	}
	return values, err
}

// latencies returns the values of one disk. A counter that went back is that of another disk,
// or one of 32 bits that began anew (a time, after 50 days of it): then no value is sound.
func latencies(label string, prev, now diskCounters, elapsed time.Duration) []saba.Value {
	var by [diskFields]float64
	for i := range by {
		if i == diskUnderWay {
			continue
		}
		if now.N[i] < prev.N[i] {
			return nil
		}
		by[i] = float64(now.N[i] - prev.N[i])
	}
	ms := float64(elapsed.Milliseconds())
	// Times are added when an operation ends, and it can have taken longer than the interval;
	// the time in which the disk was busy is no longer than it, but for the last tick.
	if by[diskBusyTime] > 1.1*ms+100 || max(by[diskReads], by[diskWrites]) > diskCeiling*elapsed.Seconds() {
		return nil
	}
	var values []saba.Value
	for _, side := range []struct {
		name           string
		ops, sect, sum int
	}{{"read", diskReads, diskReadSect, diskReadTime}, {"write", diskWrites, diskWriteSect, diskWriteTime}} {
		if by[side.ops] > 0 {
			values = append(values, gauge("disk_await."+label+"."+side.name, by[side.sum]/by[side.ops]))
		}
		values = append(values, gauge("disk_bytes."+label+"."+side.name, 512*by[side.sect]/elapsed.Seconds()))
	}
	return append(values,
		gauge("disk_util."+label, min(100, 100*by[diskBusyTime]/ms)),
		gauge("disk_queue."+label, by[diskWaitedTime]/ms))
}

// diskLabels knows which devices are whole disks, and the segments that they have in metric
// names. It asks sysfs only when devices came or went. The zero value is ready.
type diskLabels struct {
	devices []string          // those that labels is about
	labels  map[string]string // by kernel name; whole disks only
}

// of returns the labels of the whole disks among disks, and an error that names what of sysfs
// cannot be read. A disk that sysfs does not know any more, because it vanished this moment,
// has no label.
func (l *diskLabels) of(disks []diskCounters, sys fs.FS) (map[string]string, error) {
	if slices.EqualFunc(l.devices, disks, func(name string, c diskCounters) bool { return name == c.device }) && l.labels != nil {
		return l.labels, nil
	}
	entries, err := fs.ReadDir(sys, "block")
	if err != nil {
		return nil, fmt.Errorf("which devices are whole disks is unknown: %w", err)
	}
	whole := make(map[string]bool, len(entries))
	for _, e := range entries {
		whole[e.Name()] = true
	}
	labels := make(map[string]string, len(disks))
	devices := make([]string, 0, len(disks))
	var errs []error
	for _, c := range disks {
		devices = append(devices, c.device)
		entry := strings.ReplaceAll(c.device, "/", "!") // cciss/c0d0: no file name holds a slash
		if !whole[entry] {
			continue
		}
		label := sanitise(c.device)
		if strings.HasPrefix(entry, "dm-") {
			name, err := readText(sys, "block/"+entry+"/dm/name")
			if name = strings.TrimSpace(name); err != nil || name == "" {
				devices = append(devices, "") // it may be on its way in or out: ask again next time
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					errs = append(errs, err)
				}
				continue
			}
			label = "mapper_" + sanitise(name)
		}
		labels[c.device] = label
	}
	l.devices, l.labels = devices, labels
	return labels, errors.Join(errs...)
}
