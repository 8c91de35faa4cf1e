package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// Filesystem reports how full the file systems on block devices are. The zero value asks the host.
type Filesystem struct {
	Proc          fs.FS          // procfs to read; nil means the host's own
	Sys           fs.FS          // sysfs, for the names of devices; nil means the host's own
	Usage         *prober        // nil means one of its own
	Ignore        *regexp.Regexp // file systems to leave out, by source ("/dev/sda1"); nil leaves out none
	UseMountpoint bool           // name a file system by where it is mounted

	own    prober
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
			saba.Value{Name: "filesystem." + u.label + ".size", Value: float64(u.used()+u.available()) * float64(u.BlockSize)},
			saba.Value{Name: "filesystem." + u.label + ".used", Value: float64(u.used()) * float64(u.BlockSize)})
	}
	return values, err
}

// A labelled is the usage of a file system with the segment that it has in metric names.
type labelled struct {
	label string
	*Usage
}

// usages asks the file systems that have metrics. Those that did not answer are in the error.
func (f *Filesystem) usages(ctx context.Context) ([]labelled, error) {
	all, err := f.mounts.read(f.Proc, func(m mount) bool { return onBlockDevice(m) && !alwaysFull(m.fsType) })
	if err != nil {
		return nil, err
	}
	mounts, labels := make([]mount, 0, len(all)), make([]string, 0, len(all))
	for _, m := range all {
		source := dfSource(f.Sys, m)
		if f.Ignore != nil && f.Ignore.MatchString(source) {
			continue
		}
		label := strings.TrimPrefix(source, "/dev/")
		if f.UseMountpoint {
			label = m.point
		}
		mounts, labels = append(mounts, m), append(labels, sanitise(label))
	}
	usage := f.Usage
	if usage == nil {
		usage = &f.own
	}
	answers, errs := usage.all(ctx, mounts)
	usages := make([]labelled, 0, len(mounts))
	for i, u := range answers {
		if u != nil {
			usages = append(usages, labelled{labels[i], u})
		}
	}
	return usages, errors.Join(errs...)
}

// A Usage says how full a file system is.
type Usage struct {
	BlockSize uint64 // bytes
	Blocks    uint64 // in all
	Free      uint64 // blocks, those kept for root included
	Available uint64 // blocks that an ordinary user can still write
	Files     uint64 // inodes in all; 0 where they are made as needed
	FreeFiles uint64 // inodes
}

// used returns how many blocks are used.
func (u Usage) used() uint64 { return u.Blocks - min(u.Free, u.Blocks) }

// available returns how many blocks an ordinary user can still write. Where more than that
// is used of what is kept for root, some file systems tell a number below zero: it is none.
func (u Usage) available() uint64 {
	if u.Available > math.MaxInt64 {
		return 0
	}
	return u.Available
}

// A mountTable is what a collector chose of the table of mounts. It is parsed anew only when
// it has changed, which on most hosts is never. The zero value is ready.
type mountTable struct {
	text   string
	chosen []mount
}

// read returns the distinct mounts that keep accepts: the same function each time. The result
// is not to be changed.
func (t *mountTable) read(proc fs.FS, keep func(mount) bool) ([]mount, error) {
	text, err := readText(procOrHost(proc), "self/mountinfo")
	if err != nil {
		return nil, err
	}
	if text != t.text {
		t.text, t.chosen = text, distinct(parseMountinfo(text), keep)
	}
	return t.chosen, nil
}

// readMounts returns the mounts that this process sees.
func readMounts(proc fs.FS) ([]mount, error) {
	text, err := readText(procOrHost(proc), "self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMountinfo(text), nil
}

// onBlockDevice says whether m is a local file system on a block device, those of the
// containers of Docker's device mapper left out: they come and go.
func onBlockDevice(m mount) bool {
	return strings.HasPrefix(m.source, "/dev/") && local(m) && !dockerMapper(m)
}

func dockerMapper(m mount) bool {
	return strings.HasPrefix(m.source, "/dev/mapper/docker-") ||
		strings.HasPrefix(m.source, "/dev/dm-") && strings.Contains(m.point, "devicemapper/mnt")
}

// local says whether m may be asked for its usage at all: neither is it on a network, where
// an answer may never come (and df -l is silent too), nor has it no blocks by its nature.
func local(m mount) bool {
	switch m.fsType {
	// Across a network, or shared between machines.
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "ceph", "glusterfs", "lustre", "gpfs",
		"beegfs", "orangefs", "ocfs2", "vxfs", "acfs", "auristorfs", "fhgfs", "ibrix", "fuse.sshfs", "fuse.glusterfs",
		"fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.davfs", "davfs", "fuse.curlftpfs",
		// Views into the kernel, and mounts in waiting.
		"autofs", "proc", "sysfs", "devpts", "debugfs", "tracefs", "securityfs", "cgroup", "cgroup2", "pstore", "bpf",
		"configfs", "fusectl", "mqueue", "hugetlbfs", "rpc_pipefs", "nsfs", "binfmt_misc", "selinuxfs", "efivarfs",
		"fuse.portal", "fuse.gvfsd-fuse", "fuse.lxcfs":
		return false
	}
	return strings.HasPrefix(m.source, "/dev/") || !strings.Contains(m.source, ":") && !strings.HasPrefix(m.source, "//")
}

// alwaysFull says whether file systems of a type are images, made full and never written.
func alwaysFull(fsType string) bool {
	return fsType == "squashfs" || fsType == "iso9660" || fsType == "erofs"
}

// dfSource returns the source of m as df names it: names by UUID or label become the device's own.
func dfSource(sys fs.FS, m mount) string {
	if strings.HasPrefix(m.source, "/dev/disk/") {
		return realSource(sys, m)
	}
	return m.source
}

// realSource returns the source of m with the kernel's name of the device, also for /dev/root
// (what the kernel mounted before there was a /dev) and links by UUID or label. Where sysfs
// does not tell it, that is the source as it stands.
func realSource(sys fs.FS, m mount) string {
	if m.source != "/dev/root" && !strings.HasPrefix(m.source, "/dev/disk/") || !fs.ValidPath(m.device) {
		return m.source
	}
	text, ok := readTrimmed(sysOrHost(sys), "dev/block/"+m.device+"/uevent")
	if !ok {
		return m.source
	}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok && name != "" {
			return "/dev/" + name
		}
	}
	return m.source
}

// statLimit is how long a file system may take to say how full it is.
const statLimit = 3 * time.Second

// A prober asks file systems how full they are and never waits long: a call to a dead disk
// can hang in the kernel for ever, where no signal reaches it. The zero value asks the host.
type prober struct {
	stat func(mountPoint string) (Usage, error) // nil means statfs(2)

	mu    sync.Mutex
	stuck map[string]int // calls that missed their limit and have not returned, by mount point
}

// A probe is one call to one file system. Its fields are guarded by prober.mu.
type probe struct {
	usage Usage
	err   error
	begun bool
	done  bool
	late  bool // the limit has passed
}

// all returns the usage of each mount, nil where there is none. The errors name the mounts
// that failed, and those that did not answer in time; the latter are named once, and not
// asked again until their call has returned.
func (p *prober) all(ctx context.Context, mounts []mount) ([]*Usage, []error) {
	limit := statLimit
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2) // what did answer must still be told in time
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	probes := make([]*probe, len(mounts))
	for i, m := range mounts {
		if !p.isStuck(m.point) {
			probes[i] = &probe{}
		}
	}
	// A call that misses the limit outlives this function, at most one a mount and caller.
	inTurn(ctx, len(mounts), func(i int) {
		c, point := probes[i], mounts[i].point
		if c == nil || !p.begin(c) {
			return
		}
		u, err := p.call(point)
		p.finish(point, c, u, err)
	})
	usages := make([]*Usage, len(mounts))
	var errs []error
	for i, c := range probes {
		if c == nil {
			continue
		}
		switch c := p.giveUp(mounts[i].point, c); {
		case c.late && c.begun:
			errs = append(errs, fmt.Errorf("the file system on %s did not answer within %v: left out until it does", mounts[i].point, limit.Round(time.Millisecond)))
		case c.late:
			errs = append(errs, fmt.Errorf("the file system on %s was not asked: others took the whole of %v", mounts[i].point, limit.Round(time.Millisecond)))
		case c.err != nil:
			errs = append(errs, c.err)
		default:
			usages[i] = &c.usage
		}
	}
	return usages, errs
}

func (p *prober) isStuck(point string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stuck[point] > 0
}

// begin says whether c may still be asked.
func (p *prober) begin(c *probe) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.begun = !c.late
	return c.begun
}

// finish notes that a call has returned. The caller of all reads c only if it was in time.
func (p *prober) finish(point string, c *probe, u Usage, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.late {
		c.usage, c.err, c.done = u, err, true
		return
	}
	if p.stuck[point]--; p.stuck[point] == 0 {
		delete(p.stuck, point)
	}
}

// giveUp stops waiting for a call, and returns how it stands: it is late if it has not returned.
func (p *prober) giveUp(point string, c *probe) probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.done {
		return *c
	}
	c.late = true
	if c.begun {
		if p.stuck == nil {
			p.stuck = map[string]int{}
		}
		p.stuck[point]++
	}
	return *c
}

func (p *prober) call(point string) (Usage, error) {
	if p.stat != nil {
		return p.stat(point)
	}
	return hostStat(point)
}
