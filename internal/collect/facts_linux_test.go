package collect

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func machineFacts(t *testing.T, name string) (Facts, error) {
	t.Helper()
	proc, _ := machine(t, name)
	dir := filepath.Join("testdata", name)
	return New(Options{
		Proc: proc, Sys: os.DirFS(filepath.Join(dir, "sys")), Root: os.DirFS(filepath.Join(dir, "root")), Stat: usages(machineUsages),
	}).Facts(t.Context())
}

func TestFactsOfMachines(t *testing.T) {
	modern, err := machineFacts(t, "modern")
	if err != nil { // the overlay that refuses to be asked is left out without a word
		t.Errorf("modern: %v", err)
	}
	if n := len(modern.Meta.CPU); n != 4 {
		t.Fatalf("modern: %d processors, want 4", n)
	}
	wantCPU := map[string]string{"vendor_id": "AuthenticAMD", "model": "1", "stepping": "1", "physical_id": "0", "core_id": "0", "cache_size": "512 KB",
		"model_name": "Example EPYC Processor", "family": "25", "cores": "1", "mhz": "3220.703"}
	if got := modern.Meta.CPU[0]; !maps.Equal(got, wantCPU) {
		t.Errorf("modern: processor 0 is %v, want %v", got, wantCPU)
	}
	if got := modern.Meta.CPU[3]; got["mhz"] != "2445.406" || got["core_id"] != "1" {
		t.Errorf("modern: processor 3 is %v", got)
	}
	wantFS := map[string]FilesystemFacts{
		"/dev/nvme0n1p1":       {KBSize: 20000000, KBUsed: 12000000, KBAvailable: 6800000, PercentUsed: "64%", Mount: "/"},
		"/dev/nvme0n1p14":      {KBSize: 126760, KBUsed: 6760, KBAvailable: 120000, PercentUsed: "6%", Mount: "/boot/efi"},
		"/dev/mapper/vg0-home": {KBSize: 4000000, KBUsed: 3000000, KBAvailable: 1000000, PercentUsed: "75%", Mount: "/home"},
		"/dev/sdb":             {KBSize: 3200, KBUsed: 2000, KBAvailable: 1000, PercentUsed: "67%", Mount: "/srv/data"},
		"/dev/sdc1":            {KBSize: 40, KBUsed: 40, KBAvailable: 0, PercentUsed: "100%", Mount: "/mnt/My Disk"},
		"/dev/loop0":           {KBSize: 75972, KBUsed: 75972, KBAvailable: 0, PercentUsed: "100%", Mount: "/snap/core22/1122"},
		"udev":                 {KBSize: 65536, KBUsed: 0, KBAvailable: 65536, PercentUsed: "0%", Mount: "/dev"},
		"tmpfs":                {KBSize: 64, KBUsed: 0, KBAvailable: 64, PercentUsed: "0%", Mount: "/mnt/hidden"},
	}
	if !maps.Equal(modern.Meta.Filesystem, wantFS) {
		t.Errorf("modern: file systems %+v, want %+v", modern.Meta.Filesystem, wantFS)
	}
	wantDisks := map[string]map[string]string{
		"nvme0n1": {"size": "83886080", "removable": "0", "model": "Example NVMe Volume", "state": "live"},
		"loop0":   {"size": "151944", "removable": "0"},
		"sr0":     {"size": "2097151", "removable": "1", "model": "QEMU DVD-ROM", "rev": "2.5+", "state": "running", "timeout": "30", "vendor": "QEMU"},
	}
	if !reflect.DeepEqual(modern.Meta.BlockDevice, wantDisks) {
		t.Errorf("modern: block devices %v, want %v", modern.Meta.BlockDevice, wantDisks)
	}

	old, err := machineFacts(t, "old")
	if err != nil {
		t.Errorf("old: %v", err)
	}
	if m := old.Meta.Memory; m["total"] != "1922860kB" || m["vmalloc_chunk"] != "34359696020kB" || len(m) != 28 {
		t.Errorf("old: memory %v, want its 28 lines, the total 1922860kB", m)
	}
	if k := old.Meta.Kernel; k["platform_name"] != "CentOS" || k["platform_version"] != "6.10" {
		t.Errorf("old: kernel %v, want CentOS 6.10", k)
	}

	container, _ := machineFacts(t, "container")
	wantCPU = map[string]string{"vendor_id": "ARM", "family": "8", "model": "0xd0c", "stepping": "1", "model_name": "Neoverse-N1", "cores": "1"}
	if got := container.Meta.CPU; len(got) != 1 || !maps.Equal(got[0], wantCPU) {
		t.Errorf("container: processors %v, want one, %v", got, wantCPU)
	}
	if got := container.Meta.Memory["total"]; got != "524288kB" {
		t.Errorf("container: memory.total %q", got)
	}
}

// Clients decode these parts into maps of strings: one number makes the list of hosts unreadable to them.
func TestFactsOnTheWire(t *testing.T) {
	facts, _ := machineFacts(t, "modern")
	b, err := json.Marshal(facts.Meta)
	if err != nil {
		t.Fatal(err)
	}
	var strict struct {
		BlockDevice map[string]map[string]string `json:"block_device"`
		CPU         []map[string]string          `json:"cpu"`
		Filesystem  map[string]struct {
			KBSize      *uint64 `json:"kb_size"`
			KBUsed      *uint64 `json:"kb_used"`
			KBAvailable *uint64 `json:"kb_available"`
			PercentUsed *string `json:"percent_used"`
			Mount       *string `json:"mount"`
		} `json:"filesystem"`
		Kernel map[string]string `json:"kernel"`
		Memory map[string]string `json:"memory"`
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&strict); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	if fs := strict.Filesystem["/dev/nvme0n1p1"]; fs.KBSize == nil || fs.KBUsed == nil || fs.KBAvailable == nil || fs.PercentUsed == nil || fs.Mount == nil {
		t.Errorf("a file system lacks a member: %s", b)
	}
	for _, key := range []string{"name", "release", "version", "machine", "os", "platform_name", "platform_version"} {
		if strict.Kernel[key] == "" {
			t.Errorf("kernel.%s is missing: %v", key, strict.Kernel)
		}
	}
	if empty, err := json.Marshal(Meta{}); err != nil || string(empty) != "{}" {
		t.Errorf("no facts are %s, %v; want {}: what failed is absent", empty, err)
	}
}

func TestAFailingSectionCostsOnlyItself(t *testing.T) {
	facts, err := New(Options{Proc: fstest.MapFS{}, Sys: fstest.MapFS{}, Root: fstest.MapFS{}}).Facts(t.Context())
	if facts.Name == "" || facts.Meta.Kernel["name"] == "" {
		t.Errorf("facts %+v, want the name and the kernel all the same", facts)
	}
	for _, want := range []string{"cpu: open cpuinfo", "memory: open meminfo", "file systems: open self/mountinfo"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "block") {
		t.Errorf("a host without /sys/block has no block devices, that is no error: %v", err)
	}
}

func TestLimitsAreFacts(t *testing.T) {
	limited, err := machineFacts(t, "limited")
	if err != nil {
		t.Error(err)
	}
	if want := (map[string]string{"cpu_limit": "1.5", "memory_limit": "524288kB"}); !maps.Equal(limited.Meta.Cgroup, want) {
		t.Errorf("limits %v, want %v", limited.Meta.Cgroup, want)
	}
	if free, err := machineFacts(t, "linux-4.18"); err != nil || free.Meta.Cgroup != nil {
		t.Errorf("a machine of its own has limits %v, %v; want none", free.Meta.Cgroup, err)
	}
}

// Of the facts, too, an unreadable file is only missing itself.
func TestAnUnreadableFactCostsOnlyItself(t *testing.T) {
	proc, _ := machine(t, "modern")
	s := New(Options{Proc: proc, Sys: breaking{os.DirFS(filepath.Join("testdata", "modern", "sys")), "sr0/device", fs.ErrPermission},
		Root: os.DirFS(filepath.Join("testdata", "modern", "root")), Stat: machineUsage, CloudPlatform: CloudNone})
	f, err := s.Facts(t.Context())
	if err != nil {
		t.Error(err)
	}
	if d := f.Meta.BlockDevice; len(d) != 3 || d["sr0"]["size"] == "" || d["sr0"]["model"] != "" || d["nvme0n1"]["model"] == "" {
		t.Errorf("block devices %v, want all three, sr0 without what could not be read", d)
	}
}
