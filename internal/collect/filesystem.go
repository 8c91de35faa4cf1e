package collect

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// Filesystem reports how full the file systems on block devices are. The zero value asks the host.
type Filesystem struct {
	Proc          fs.FS          // procfs to read; nil means the host's own
	Sys           fs.FS          // sysfs, for the names of devices; nil means the host's own
	Usage         *mount.Prober  // nil means one of its own
	Ignore        *regexp.Regexp // file systems to leave out, by source ("/dev/sda1"); nil leaves out none
	UseMountpoint bool           // name a file system by where it is mounted

	own    mount.Prober
	mounts mountTable
}

// Collect returns filesystem.<device>.size and .used in bytes, as df counts: size is what is
// used and what an ordinary user can still write, without the blocks kept for root.
//
// One device is one file system, however often it is mounted. Images that are always full
// (squashfs, iso9660, erofs) are left out. A mount that does not answer is left out, with one
// error, until it does.
func (f *Filesystem) Collect(ctx context.Context) ([]saba.Value, error) {
	usages, err := f.usages(ctx)
	values := make([]saba.Value, 0, 2*len(usages))
	for _, u := range usages {
		if u.Blocks == 0 {
			continue
		}
		values = append(values,
			saba.Value{Name: "filesystem." + u.label + ".size", Value: float64(u.Used()+u.Writable()) * float64(u.BlockSize)},
			saba.Value{Name: "filesystem." + u.label + ".used", Value: float64(u.Used()) * float64(u.BlockSize)})
	}
	return values, err
}

// A labelled is the usage of a file system with the segment that it has in metric names.
type labelled struct {
	label string
	*mount.Usage
}

// usages asks the file systems that have metrics. Those that did not answer are in the error.
func (f *Filesystem) usages(ctx context.Context) ([]labelled, error) {
	all, err := f.mounts.read(f.Proc, func(m mount.Mount) bool { return onBlockDevice(m) && !m.AlwaysFull() })
	if err != nil {
		return nil, err
	}
	mounts, labels := make([]mount.Mount, 0, len(all)), make([]string, 0, len(all))
	for _, m := range all {
		source := dfSource(f.Sys, m)
		if f.Ignore != nil && f.Ignore.MatchString(source) {
			continue
		}
		label := strings.TrimPrefix(source, "/dev/")
		if f.UseMountpoint {
			label = m.Point
		}
		mounts, labels = append(mounts, m), append(labels, sanitise(label))
	}
	usage := f.Usage
	if usage == nil {
		usage = &f.own
	}
	answers, errs := usage.All(ctx, mounts)
	usages := make([]labelled, 0, len(mounts))
	for i, u := range answers {
		if u != nil {
			usages = append(usages, labelled{labels[i], u})
		}
	}
	return usages, errors.Join(errs...)
}

// A mountTable is what a collector chose of the table of mounts. It is parsed anew only when
// it has changed, which on most hosts is never. The zero value is ready.
type mountTable struct {
	text   string
	chosen []mount.Mount
}

// read returns the distinct mounts that keep accepts: the same function each time. The result
// is not to be changed.
func (t *mountTable) read(proc fs.FS, keep func(mount.Mount) bool) ([]mount.Mount, error) {
	text, err := readText(procOrHost(proc), "self/mountinfo")
	if err != nil {
		return nil, err
	}
	if text != t.text {
		t.text, t.chosen = text, mount.Distinct(mount.Parse(text), keep)
	}
	return t.chosen, nil
}

// readMounts returns the mounts that this process sees.
func readMounts(proc fs.FS) ([]mount.Mount, error) {
	text, err := readText(procOrHost(proc), "self/mountinfo")
	if err != nil {
		return nil, err
	}
	return mount.Parse(text), nil
}

// onBlockDevice says whether m is a local file system on a block device, those of the
// containers of Docker's device mapper left out: they come and go.
func onBlockDevice(m mount.Mount) bool {
	return strings.HasPrefix(m.Source, "/dev/") && m.Local() && !dockerMapper(m)
}

func dockerMapper(m mount.Mount) bool {
	return strings.HasPrefix(m.Source, "/dev/mapper/docker-") ||
		strings.HasPrefix(m.Source, "/dev/dm-") && strings.Contains(m.Point, "devicemapper/mnt")
}

// dfSource returns the source of m as df names it: names by UUID or label become the device's own.
func dfSource(sys fs.FS, m mount.Mount) string {
	if strings.HasPrefix(m.Source, "/dev/disk/") {
		return realSource(sys, m)
	}
	return m.Source
}

// realSource returns the source of m with the kernel's name of the device, also for /dev/root
// (what the kernel mounted before there was a /dev) and links by UUID or label. Where sysfs
// does not tell it, that is the source as it stands.
func realSource(sys fs.FS, m mount.Mount) string {
	if m.Source != "/dev/root" && !strings.HasPrefix(m.Source, "/dev/disk/") || !fs.ValidPath(m.Device) {
		return m.Source
	}
	text, ok := readTrimmed(sysOrHost(sys), "dev/block/"+m.Device+"/uevent")
	if !ok {
		return m.Source
	}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok && name != "" {
			return "/dev/" + name
		}
	}
	return m.Source
}
