package platform

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// The bounds of a look for containers.
const (
	mostGroups   = 20_000 // folders that are looked at
	groupDepth   = 8      // below the root
	mostMachines = 500    // containers that are told of
)

// A cgroups is what the kernel tells of containers by itself: plain Docker, Podman or containerd, without any of their APIs. Where the control groups
// of other containers can be seen, each is one; else the one that this process is in is the only container.
type cgroups struct {
	root   string // where control groups are mounted
	docker string // where Docker keeps what it knows of its containers; it is read for their names, where it can be
	name   string // of the only container
	ignore *regexp.Regexp
}

func newCgroups(o Options) (Platform, error) {
	c := &cgroups{
		root: cmp.Or(o.Setting("CGROUP_ROOT"), "/sys/fs/cgroup"), docker: cmp.Or(o.Setting("DOCKER_CONTAINERS"), "/var/lib/docker/containers"),
		name: cmp.Or(o.Setting("CONTAINER_NAME"), "container"), ignore: o.Ignore,
	}
	if info, err := os.Stat(c.root); err != nil || !info.IsDir() {
		return nil, saba.Errorf(saba.ErrInvalid, "%s is no folder of control groups: mount it, and name it in MACKEREL_CGROUP_ROOT (or SABA_CGROUP_ROOT) if it is elsewhere", c.root)
	}
	return c, nil
}

// Facts returns the name of this machine, or container.
func (*cgroups) Facts(context.Context) (collect.Facts, error) {
	name, err := os.Hostname()
	return collect.Facts{Name: name}, err
}

// Running returns nil: what is not running has no control group.
func (*cgroups) Running(context.Context) error { return nil }

// OwnNetwork returns true: which network the containers have is not known, and this process has one.
func (*cgroups) OwnNetwork() bool { return true }

// A groupTree is a tree of control groups: of version 2, or of the controllers of version 1, each of which has a tree of its own.
type groupTree struct {
	first                bool   // of version 1
	walk                 string // the tree that is searched
	memory, cpu, cpuacct string
}

func (c *cgroups) tree() (groupTree, error) {
	if _, err := os.Stat(filepath.Join(c.root, "cgroup.controllers")); err == nil {
		return groupTree{walk: c.root, memory: c.root, cpu: c.root, cpuacct: c.root}, nil
	}
	t := groupTree{first: true, memory: filepath.Join(c.root, "memory"), cpu: filepath.Join(c.root, "cpu"), cpuacct: filepath.Join(c.root, "cpuacct")}
	for _, t.walk = range []string{t.memory, t.cpuacct, t.cpu} {
		if info, err := os.Stat(t.walk); err == nil && info.IsDir() {
			return t, nil
		}
	}
	return t, fmt.Errorf("%s has no control groups: neither cgroup.controllers of version 2 nor memory, cpuacct or cpu of version 1", c.root)
}

// containerGroup is the folder of a container: docker-ID.scope and the like of systemd, or ID alone.
var containerGroup = regexp.MustCompile(`^(?:(?:docker|libpod|cri-containerd|crio|nerdctl|containerd)-)?([0-9a-f]{64})(?:\.scope)?$`)

// Read reads the control groups of the containers that can be seen.
func (c *cgroups) Read(ctx context.Context) (Reading, error) {
	t, err := c.tree()
	if err != nil {
		return Reading{}, err
	}
	found := map[string]string{} // by id: where below the tree's root
	visited := 0
	err = filepath.WalkDir(t.walk, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || !e.IsDir(): // it ended this moment, or is not ours to see
			return nil
		}
		if visited++; visited > mostGroups {
			return fmt.Errorf("%s has more than %d control groups: those beyond are not looked at", c.root, mostGroups)
		}
		below, relErr := filepath.Rel(t.walk, path)
		if relErr != nil || strings.Count(below, "/") >= groupDepth {
			return fs.SkipDir
		}
		if m := containerGroup.FindStringSubmatch(e.Name()); m != nil && len(found) < mostMachines {
			found[m[1]] = below
			return fs.SkipDir
		}
		return nil
	})
	if len(found) == 0 {
		k, readErr := t.container(".")
		k.Name = c.name
		return Reading{Containers: []Container{k}}, errors.Join(err, readErr)
	}
	var r Reading
	errs := []error{err}
	taken := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		name := c.nameOf(id)
		if c.ignore != nil && c.ignore.MatchString(name) {
			continue
		}
		if taken[name] {
			name = id[:12]
		}
		taken[name] = true
		k, err := t.container(found[id])
		k.Name = name
		errs = append(errs, err)
		r.Containers = append(r.Containers, k)
	}
	return r, errors.Join(errs...)
}

// nameOf returns a container's name, where Docker's files can be read, or else the beginning of its id, as its commands show it.
func (c *cgroups) nameOf(id string) string {
	var config struct{ Name string }
	b, err := os.ReadFile(filepath.Join(c.docker, id, "config.v2.json"))
	if err == nil && json.Unmarshal(b, &config) == nil {
		if name := strings.TrimPrefix(config.Name, "/"); name != "" {
			return name
		}
	}
	return id[:12]
}

// container reads one control group (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel). A file that is not there costs only what it says.
func (t groupTree) container(below string) (k Container, err error) {
	read := func(tree, name string) string {
		b, readErr := os.ReadFile(filepath.Join(tree, below, name))
		if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) && !errors.Is(readErr, syscall.ENODEV) { // its controller is off, or it has just ended
			err = errors.Join(err, readErr)
		}
		return strings.TrimSpace(string(b))
	}
	number := func(text string) *uint64 {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil // "max" too
		}
		return &n
	}
	keyed := func(text, key string) *uint64 {
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(line, key+" "); ok {
				return number(strings.TrimSpace(value))
			}
		}
		return nil
	}
	if info, err := os.Stat(filepath.Join(t.walk, below)); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			k.Life = strconv.FormatUint(s.Ino, 10)
		}
	}
	var used, cache, most *uint64
	var quota, period string
	cpu, memory := read(t.cpu, "cpu.stat"), read(t.memory, "memory.stat")
	if t.first {
		k.CPU = number(read(t.cpuacct, "cpuacct.usage"))
		used, cache, most = number(read(t.memory, "memory.usage_in_bytes")), keyed(memory, "total_inactive_file"), number(read(t.memory, "memory.limit_in_bytes"))
		k.MemoryRSS = keyed(memory, "total_rss")
		quota, period = read(t.cpu, "cpu.cfs_quota_us"), read(t.cpu, "cpu.cfs_period_us")
		if most != nil && *most > 1<<60 { // the largest number is no limit
			most = nil
		}
	} else {
		if us := keyed(cpu, "usage_usec"); us != nil {
			k.CPU = new(*us * 1000)
		}
		used, cache, most = number(read(t.memory, "memory.current")), keyed(memory, "inactive_file"), number(read(t.memory, "memory.max"))
		k.MemoryRSS = keyed(memory, "anon")
		quota, period, _ = strings.Cut(read(t.cpu, "cpu.max"), " ")
		for what, name := range map[string]string{"cpu": "cpu.pressure", "memory": "memory.pressure", "io": "io.pressure"} {
			if v, ok := pressure(read(t.cpu, name)); ok {
				if k.Pressure == nil {
					k.Pressure = map[string]float64{}
				}
				k.Pressure[what] = v
			}
		}
	}
	k.Periods, k.Throttled = keyed(cpu, "nr_periods"), keyed(cpu, "nr_throttled")
	if used != nil {
		k.Memory = used
		if cache != nil && *cache <= *used {
			k.Memory = new(*used - *cache)
		}
	}
	if most != nil && *most > 0 {
		k.MemoryLimit = new(float64(*most))
	}
	if q, p := number(quota), number(period); q != nil && p != nil && *q > 0 && *p > 0 { // -1 and "max" are none
		k.CPULimit = new(float64(*q) / float64(*p))
	}
	return k, err
}

// pressure returns the share of the last minute in which something waited, in percent (Documentation/accounting/psi.rst).
func pressure(text string) (float64, bool) {
	line, _, _ := strings.Cut(text, "\n")
	for field := range strings.FieldsSeq(line) {
		if value, ok := strings.CutPrefix(field, "avg60="); ok && strings.HasPrefix(line, "some ") {
			v, err := strconv.ParseFloat(value, 64)
			return v, err == nil && v >= 0 && v <= 100
		}
	}
	return 0, false
}
