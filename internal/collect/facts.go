package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path"
	"slices"
	"strconv"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// Facts describe a host, as its agent registers it.
type Facts struct {
	Name       string // host name
	Meta       Meta
	Interfaces []saba.Interface // those with an address, in the order of the kernel
	// CustomIdentifier names the instance across reinstallation, where a cloud runs the host:
	// "i-0123….ec2.amazonaws.com"; "" elsewhere.
	CustomIdentifier string
	// CloudUnknown says that a cloud seems to run the host but did not tell about it now: an
	// identifier known from before still holds.
	CloudUnknown bool
}

// Meta is the part of the facts that servers keep as it is. Strings are strings on the wire,
// numbers too, but for the sizes of file systems: clients decode kernel and memory into
// maps of strings. An agent adds its own name and version.
type Meta struct {
	BlockDevice map[string]map[string]string `json:"block_device,omitempty"` // by kernel name
	CPU         []map[string]string          `json:"cpu,omitempty"`          // one a logical processor
	Filesystem  map[string]FilesystemFacts   `json:"filesystem,omitempty"`   // by source
	Kernel      map[string]string            `json:"kernel,omitempty"`
	Memory      map[string]string            `json:"memory,omitempty"` // "4039448kB"
	Cloud       *Cloud                       `json:"cloud,omitempty"`
	Cgroup      map[string]string            `json:"cgroup,omitempty"` // limits of a container: cpu_limit "1.5" processors, memory_limit "524288kB"
}

// FilesystemFacts are one row of df.
type FilesystemFacts struct {
	KBAvailable uint64 `json:"kb_available"` // KiB
	KBSize      uint64 `json:"kb_size"`      // KiB, blocks kept for root included
	KBUsed      uint64 `json:"kb_used"`      // KiB
	Mount       string `json:"mount"`
	PercentUsed string `json:"percent_used"` // "31%", rounded up
}

// A Cloud says which cloud runs the host, and what it tells about the instance.
type Cloud struct {
	Provider string `json:"provider"` // "ec2", "gce", "AzureVM", "kubernetes"…
	// Metadata becomes a JSON object: a map[string]string of a virtual machine, what the platform tells of a container.
	Metadata any `json:"metadata"`
}

// Facts describes the host. A part that cannot be read costs only itself: the error names
// each. Without a Name the facts describe nobody, and the caller should try again later.
// Off the clouds it makes no request; on one whose metadata service is silent it can take a
// quarter of a minute. It may run beside Collect.
func (s *Set) Facts(ctx context.Context) (Facts, error) {
	o := s.opts
	var f Facts
	var errs []error
	section := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	found := make(chan instance, 1)
	go func() { found <- newCloudFinder(o).find(ctx) }() // the one section that waits for others

	var err error
	f.Name, err = os.Hostname()
	section("host name", err)
	f.Interfaces, err = hostInterfaces()
	section("interfaces", err)
	f.Meta.Kernel, err = kernelFacts(o.Root)
	section("kernel", err)
	f.Meta.CPU, err = cpuFacts(o.Proc, o.Sys)
	section("cpu", err)
	f.Meta.Memory, err = memoryFacts(o.Proc)
	section("memory", err)
	f.Meta.BlockDevice, err = blockDeviceFacts(o.Sys)
	section("block devices", err)
	f.Meta.Filesystem, err = filesystemFacts(ctx, o.Proc, o.Sys, o.usage)
	section("file systems", err)
	f.Meta.Cgroup, err = cgroupFacts(o.Proc, o.Sys)
	section("control group", err)
	i := <-found
	f.Meta.Cloud, f.CustomIdentifier, f.CloudUnknown = i.cloud, i.identifier, i.unknown
	section("cloud", i.err)
	if err := errors.Join(errs...); err != nil {
		return f, fmt.Errorf("host facts: %w", err)
	}
	return f, nil
}

// memoryLines names the lines of /proc/meminfo that are facts.
var memoryLines = map[string]string{
	"MemTotal": "total", "MemFree": "free", "Buffers": "buffers", "Cached": "cached", "Active": "active", "Inactive": "inactive",
	"HighTotal": "high_total", "HighFree": "high_free", "LowTotal": "low_total", "LowFree": "low_free", "Dirty": "dirty",
	"Writeback": "writeback", "AnonPages": "anon_pages", "Mapped": "mapped", "Slab": "slab", "SReclaimable": "slab_reclaimable",
	"SUnreclaim": "slab_unreclaim", "PageTables": "page_tables", "NFS_Unstable": "nfs_unstable", "Bounce": "bounce",
	"CommitLimit": "commit_limit", "Committed_AS": "committed_as", "VmallocTotal": "vmalloc_total", "VmallocUsed": "vmalloc_used",
	"VmallocChunk": "vmalloc_chunk", "SwapCached": "swap_cached", "SwapTotal": "swap_total", "SwapFree": "swap_free",
}

func memoryFacts(proc fs.FS) (map[string]string, error) {
	text, err := readText(procOrHost(proc), "meminfo")
	if err != nil {
		return nil, err
	}
	facts := map[string]string{}
	for key, kb := range parseMeminfo(text) {
		if name, ok := memoryLines[key]; ok {
			facts[name] = strconv.FormatUint(kb, 10) + "kB"
		}
	}
	return facts, nil
}

// blockDeviceFacts describes each entry of /sys/block. A container without it has none.
func blockDeviceFacts(sys fs.FS) (map[string]map[string]string, error) {
	entries, err := fs.ReadDir(sysOrHost(sys), "block")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	facts := make(map[string]map[string]string, len(entries))
	for _, e := range entries {
		dev := map[string]string{}
		for _, file := range []string{"size", "removable", "device/model", "device/rev", "device/state", "device/timeout", "device/vendor"} {
			if v, ok := readTrimmed(sysOrHost(sys), "block/"+e.Name()+"/"+file); ok {
				dev[path.Base(file)] = v
			}
		}
		facts[e.Name()] = dev
	}
	return facts, nil
}

// filesystemFacts describes the local file systems as rows of df, those without a device
// included. Of several with one source ("tmpfs") the last mounted stands for all, as readers of df have it.
func filesystemFacts(ctx context.Context, proc, sys fs.FS, usage *mount.Prober) (map[string]FilesystemFacts, error) {
	mounts, err := readMounts(proc)
	if err != nil {
		return nil, err
	}
	mounts = mount.Distinct(mounts, func(m mount.Mount) bool { return m.Local() && !dockerMapper(m) })
	usages, errs := usage.All(ctx, mounts)
	// An agent without privileges may not look into other users' mounts: that is no news each hour.
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, fs.ErrPermission) })
	facts := make(map[string]FilesystemFacts, len(mounts))
	for i, m := range mounts {
		u := usages[i]
		if u == nil || u.Used()+u.Writable() == 0 {
			continue
		}
		kb := func(blocks uint64) uint64 { return blocks * u.BlockSize / 1024 }
		percent := math.Ceil(float64(u.Used()) * 100 / float64(u.Used()+u.Writable()))
		facts[dfSource(sys, m)] = FilesystemFacts{
			KBSize: kb(u.Blocks), KBUsed: kb(u.Used()), KBAvailable: kb(u.Writable()),
			PercentUsed: strconv.FormatFloat(percent, 'f', 0, 64) + "%", Mount: m.Point,
		}
	}
	return facts, errors.Join(errs...)
}

// The facts of the machine that a container shares: what a container's agent tells besides its platform's.

// CPUFacts describes each logical processor of this machine.
func CPUFacts() ([]map[string]string, error) { return cpuFacts(nil, nil) }

// Interfaces returns the interfaces of this network namespace that have an address.
func Interfaces() ([]saba.Interface, error) { return hostInterfaces() }

// MemoryTotal returns the memory of this machine in bytes.
func MemoryTotal() (uint64, error) {
	text, err := readText(procOrHost(nil), "meminfo")
	if err != nil {
		return 0, err
	}
	kb, ok := parseMeminfo(text)["MemTotal"]
	if !ok {
		return 0, errors.New("meminfo: no line MemTotal")
	}
	return kb * 1024, nil
}

// hostInterfaces returns the interfaces of this host that have an address.
func hostInterfaces() ([]saba.Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var interfaces []saba.Interface
	var errs []error
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			errs = append(errs, err) // it was removed meanwhile
			continue
		}
		if i, ok := describeInterface(l.Name, l.HardwareAddr.String(), addrs); ok {
			interfaces = append(interfaces, i)
		}
	}
	return interfaces, errors.Join(errs...)
}

// describeInterface sorts the addresses of one interface; false if it has none, or loopback ones only.
func describeInterface(name, mac string, addrs []net.Addr) (saba.Interface, bool) {
	i := saba.Interface{Name: name, MAC: mac}
	reachable := false
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		reachable = reachable || !n.IP.IsLoopback()
		if v4 := n.IP.To4(); v4 != nil {
			i.IPv4 = append(i.IPv4, v4.String())
		} else {
			i.IPv6 = append(i.IPv6, n.IP.String())
		}
	}
	return i, reachable
}
