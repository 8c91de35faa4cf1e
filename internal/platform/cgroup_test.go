package platform

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// groups writes files of control groups, by their paths below the root, and returns the platform there.
func groups(t *testing.T, environ map[string]string, files map[string]string) (p Platform, root string) {
	t.Helper()
	root = t.TempDir()
	write(t, root, files)
	getenv := func(name string) string {
		if name == "SABA_CGROUP_ROOT" {
			return root
		}
		return environ[name]
	}
	var ignore *regexp.Regexp
	if pattern := environ["ignore"]; pattern != "" {
		ignore = regexp.MustCompile(pattern)
	}
	p, err := New("cgroup", Options{Setting: Setting(getenv), Getenv: getenv, Ignore: ignore})
	if err != nil {
		t.Fatal(err)
	}
	return p, root
}

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	idA = strings.Repeat("a1", 32)
	idB = strings.Repeat("b2", 32)
)

func TestControlGroupsOfVersion2(t *testing.T) {
	docker := t.TempDir()
	write(t, docker, map[string]string{idA + "/config.v2.json": `{"Name":"/web","Config":{}}`})
	a, b := "system.slice/docker-"+idA+".scope/", "machine.slice/libpod-"+idB+".scope/"
	p, root := groups(t, map[string]string{"SABA_DOCKER_CONTAINERS": docker}, map[string]string{
		"cgroup.controllers":       "cpu memory",
		"system.slice/cpu.stat":    "usage_usec 5",
		a + "cpu.stat":             "usage_usec 10000000\nuser_usec 1\nnr_periods 1000\nnr_throttled 100",
		a + "cpu.max":              "50000 100000",
		a + "cpu.pressure":         "some avg10=9.00 avg60=1.50 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0",
		a + "memory.current":       "300000000",
		a + "memory.max":           "536870912",
		a + "memory.stat":          "anon 150000000\nfile 1\ninactive_file 100000000",
		a + "inner/memory.max":     "1",
		b + "cpu.stat":             "usage_usec 1000000",
		b + "cpu.max":              "max 100000",
		b + "memory.current":       "5",
		b + "memory.max":           "max",
		"user.slice/cpu.stat":      "usage_usec 1",
		"user.slice/notacontainer": "x",
	})
	w := watch(p)
	first, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	node := float64(runtime.NumCPU()) * 100
	want := map[string]float64{
		"container.cpu.web.limit": 50, "container.memory.web.usage": 200000000, "container.memory.web.limit": 512 << 20, "custom.container.web.limit.memory": 200000000. / (512 << 20) * 100,
		"custom.container.web.memory.rss": 150000000, "custom.container.web.pressure.cpu": 1.5,
		"container.cpu.b2b2b2b2b2b2.limit": node, "container.memory.b2b2b2b2b2b2.usage": 5, "container.memory.b2b2b2b2b2b2.limit": 16 << 30,
	}
	near(t, "first", first, want)
	write(t, root, map[string]string{a + "cpu.stat": "usage_usec 25000000\nnr_periods 1600\nnr_throttled 160", b + "cpu.stat": "usage_usec 500000"})
	w.now += time.Minute
	second, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(want, map[string]float64{"container.cpu.web.usage": 25, "custom.container.web.limit.cpu": 50, "custom.container.web.throttling.percentage": 10})
	near(t, "second", second, want) // b went back, which gives no rate
}

func TestControlGroupsOfVersion1(t *testing.T) {
	at := "docker/" + idA + "/"
	files := map[string]string{
		"cpuacct/" + at + "cpuacct.usage": "10000000000", "cpu/" + at + "cpu.stat": "nr_periods 10\nnr_throttled 1\nthrottled_time 5",
		"cpu/" + at + "cpu.cfs_quota_us": "-1", "cpu/" + at + "cpu.cfs_period_us": "100000",
		"memory/" + at + "memory.usage_in_bytes": "300", "memory/" + at + "memory.limit_in_bytes": "9223372036854771712", "memory/" + at + "memory.stat": "inactive_file 1\ntotal_inactive_file 100\ntotal_rss 50",
		"memory/docker/" + idB + "/memory.usage_in_bytes": "7",
	}
	p, root := groups(t, map[string]string{"ignore": "^b2"}, files)
	w := watch(p)
	if _, err := w.values(t); err != nil {
		t.Fatal(err)
	}
	write(t, root, map[string]string{"cpuacct/" + at + "cpuacct.usage": "70000000000"})
	w.now += time.Minute
	got, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "version 1", got, map[string]float64{
		"container.cpu.a1a1a1a1a1a1.usage": 100, "container.cpu.a1a1a1a1a1a1.limit": float64(runtime.NumCPU()) * 100,
		"container.memory.a1a1a1a1a1a1.usage": 200, "container.memory.a1a1a1a1a1a1.limit": 16 << 30, "custom.container.a1a1a1a1a1a1.memory.rss": 50,
	})
}

// A process that sees no other container's group is the only container.
func TestTheOnlyContainer(t *testing.T) {
	p, _ := groups(t, map[string]string{"MACKEREL_CONTAINER_NAME": "shop"}, map[string]string{
		"cgroup.controllers": "memory", "memory.current": "42", "memory.max": "100", "memory.stat": "inactive_file 2",
	})
	got, err := watch(p).values(t)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "only", got, map[string]float64{"container.cpu.shop.limit": float64(runtime.NumCPU()) * 100, "container.memory.shop.usage": 40, "container.memory.shop.limit": 100, "custom.container.shop.limit.memory": 40})
	if f, err := p.Facts(t.Context()); err != nil || f.Name == "" || p.Running(t.Context()) != nil {
		t.Errorf("facts %+v, error %v", f, err)
	}
}

// This machine's own.
func TestThisMachinesControlGroups(t *testing.T) {
	getenv := func(string) string { return "" }
	p, err := New("cgroup", Options{Setting: Setting(getenv), Getenv: getenv})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Containers) == 0 {
		t.Fatal("no container")
	}
	for _, k := range r.Containers {
		if k.Name == "" || k.Life == "" || k.CPU == nil && k.Memory == nil {
			t.Errorf("of %q nothing is known: %+v", k.Name, k)
		}
	}
}

func TestNoControlGroups(t *testing.T) {
	getenv := func(name string) string { return map[string]string{"SABA_CGROUP_ROOT": "/no/such/folder"}[name] }
	if _, err := New("cgroup", Options{Setting: Setting(getenv), Getenv: getenv}); err == nil || !strings.Contains(err.Error(), "/no/such/folder is no folder of control groups") {
		t.Errorf("a root that is not there: %v", err)
	}
	p, _ := groups(t, nil, nil)
	if r, err := p.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "has no control groups") || len(r.Containers) > 0 {
		t.Errorf("an empty root: %+v, %v", r, err)
	}
}
