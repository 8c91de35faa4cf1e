package collect

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/target/mount"
)

var update = flag.Bool("update", false, "write what the collectors say to testdata/*/want.txt")

// layers is a file system whose first layer that has a file wins.
type layers []fs.FS

func (l layers) Open(name string) (fs.File, error) {
	err := fs.ErrNotExist
	for _, layer := range l {
		f, e := layer.Open(name)
		if e == nil {
			return f, nil
		}
		err = e
	}
	return nil, err
}

// A machine is one folder of testdata: proc, and what of it has changed a minute later.
func machine(t testing.TB, name string) (before, after fs.FS) {
	t.Helper()
	dir := filepath.Join("testdata", name)
	if _, err := os.Stat(filepath.Join(dir, "proc")); err != nil {
		t.Fatal(err)
	}
	before = os.DirFS(filepath.Join(dir, "proc"))
	return before, layers{os.DirFS(filepath.Join(dir, "later")), before}
}

// A turning is a file system that can become another one.
type turning struct{ fs.FS }

// fakeClock stands still until it is moved.
type fakeClock struct{ now time.Duration }

func (c *fakeClock) read() (time.Duration, error) { return c.now, nil }

// usages answers statfs from a table by mount point, in blocks of 4096 bytes; it refuses what is not in it.
func usages(table map[string]mount.Usage) func(string) (mount.Usage, error) {
	return func(point string) (mount.Usage, error) {
		u, ok := table[point]
		if !ok {
			return mount.Usage{}, &fs.PathError{Op: "statfs", Path: point, Err: fs.ErrPermission}
		}
		return u, nil
	}
}

// machineUsage answers for every machine: by mount point, and for the many disks of one alike.
func machineUsage(point string) (mount.Usage, error) {
	if strings.HasPrefix(point, "/data/") {
		return mount.Usage{BlockSize: 4096, Blocks: 1000000, Free: 400000, Available: 400000, Files: 500000, FreeFiles: 450000}, nil
	}
	return usages(machineUsages)(point)
}

var machineUsages = map[string]mount.Usage{
	"/":                 {BlockSize: 4096, Blocks: 5000000, Free: 2000000, Available: 1700000, Files: 1000000, FreeFiles: 900000},
	"/boot":             {BlockSize: 1024, Blocks: 487652, Free: 400000, Available: 374400},
	"/boot/firmware":    {BlockSize: 512, Blocks: 1043344, Free: 900000, Available: 900000},
	"/etc/resolv.conf":  {BlockSize: 4096, Blocks: 2000, Free: 1000, Available: 900},
	"/boot/efi":         {BlockSize: 512, Blocks: 253520, Free: 240000, Available: 240000},
	"/home":             {BlockSize: 4096, Blocks: 1000000, Free: 250000, Available: 250000},
	"/srv/data":         {BlockSize: 4096, Blocks: 800, Free: 300, Available: 250},
	"/etc/hosts":        {BlockSize: 4096, Blocks: 2000, Free: 1000, Available: 900},
	"/dev/shm":          {BlockSize: 4096, Blocks: 100, Free: 100, Available: 100},
	"/run":              {BlockSize: 4096, Blocks: 1000, Free: 999, Available: 999},
	"/mnt/My Disk":      {BlockSize: 4096, Blocks: 10, Free: 0, Available: 0},
	"/snap/core22/1122": {BlockSize: 1024, Blocks: 75972, Free: 0, Available: 0},
	"/mnt/hidden":       {BlockSize: 4096, Blocks: 16, Free: 16, Available: 16},
	"/etc/hostname":     {BlockSize: 1, Blocks: 1, Free: 1, Available: 1}, // not asked: a longer way to the same device
	"/srv/logs/all":     {BlockSize: 1, Blocks: 1, Free: 1, Available: 1},
	"/srv/www":          {BlockSize: 1, Blocks: 1, Free: 1, Available: 1},
	"/dev":              {BlockSize: 4096, Blocks: 16384, Free: 16384, Available: 16384},
	"/sys/fs/cgroup":    {BlockSize: 4096},
}

// machines returns the names of the machines of testdata.
func machines(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", "*", "proc"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no machines: %v", err)
	}
	var names []string
	for _, dir := range found {
		names = append(names, filepath.Base(filepath.Dir(dir)))
	}
	return names
}

// Each machine of testdata is read twice, a minute apart. want.txt holds every value and every
// error of the second round, want-mountpoint.txt what is named otherwise by mount point, and
// want-linux.txt, of the machines that have the files, what the families bring.
func TestMachines(t *testing.T) {
	for _, name := range machines(t) {
		dir := filepath.Join("testdata", name)
		t.Run(name, func(t *testing.T) { testMachine(t, name, "want.txt", Options{}) })
		t.Run(name+" by mount point", func(t *testing.T) { testMachine(t, name, "want-mountpoint.txt", Options{UseMountpoint: true}) })
		if _, err := os.Stat(filepath.Join(dir, "proc", "vmstat")); err == nil {
			t.Run(name+" with the families", func(t *testing.T) { testMachine(t, name, "want-linux.txt", Options{Linux: LinuxFamilies()}) })
		}
	}
}

func testMachine(t *testing.T, name, file string, o Options) {
	t.Helper()
	file = filepath.Join("testdata", name, file)
	before, after := machine(t, name)
	sysBefore := os.DirFS(filepath.Join("testdata", name, "sys"))
	proc, sys, clock := &turning{before}, &turning{sysBefore}, &fakeClock{now: time.Hour}
	o.Proc, o.Sys, o.Clock, o.Stat, o.Sockets = proc, sys, clock.read, machineUsage, usualSockets
	s := New(o)
	for _, v := range s.Collect(t.Context(), time.Minute).Values {
		if strings.Contains(v.Name, "delta") || strings.HasPrefix(v.Name, "cpu.") {
			t.Errorf("the first reading has %s = %v, a rate out of one reading", v.Name, v.Value)
		}
	}
	proc.FS = after
	sys.FS = layers{os.DirFS(filepath.Join("testdata", name, "later-sys")), sysBefore}
	clock.now += time.Minute
	r := s.Collect(t.Context(), time.Minute)
	var got strings.Builder
	for _, v := range r.Values {
		if len(o.Linux) > 0 && !strings.HasPrefix(v.Name, linuxPrefix) {
			continue
		}
		fmt.Fprintf(&got, "%s %s\n", v.Name, strconv.FormatFloat(v.Value, 'f', -1, 64))
	}
	for _, src := range r.Sources {
		if src.Err != nil {
			fmt.Fprintf(&got, "! %s\n", strings.ReplaceAll(src.Err.Error(), "\n", " / "))
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got.String(), file, want)
	}
}

var errBoom = errors.New("boom")
