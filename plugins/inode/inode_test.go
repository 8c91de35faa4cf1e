package inode

import (
	"context"
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// df knows what this host has.
func TestThisHost(t *testing.T) {
	out, err := exec.Command("df", "-iP").Output()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	type count struct{ total, used float64 }
	theirs := map[string]count{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		device, ok := strings.CutPrefix(f[0], "/dev/")
		total, err := strconv.ParseFloat(f[1], 64)
		if used, _ := strconv.ParseFloat(f[2], 64); ok && err == nil && total > 0 {
			theirs[strings.ReplaceAll(device, "/", "_")] = count{total, used}
		}
	}
	var missing []string
	if len(theirs) == 0 { // in some containers
		missing = []string{"count.#.used", "count.#.free", "count.#.total", "percentage.#.used"}
	}
	found := 0
	got := plugintest.Collect(t, Plugin, nil, missing...)
	for name, c := range theirs {
		used, free := got["count."+name+".used"], got["count."+name+".free"]
		if got["count."+name+".total"] != c.total {
			continue // an image that is made full
		}
		found++
		if used < c.used/2 || used > 2*c.used || used+free != c.total || got["percentage."+name+".used"] != 100*used/c.total {
			t.Errorf("%s has %v used and %v free inodes, %v%%; df has %v used of %v", name, used, free, got["percentage."+name+".used"], c.used, c.total)
		}
	}
	if want := len(got) / 4; found != want {
		t.Errorf("df has %d of the %d file systems with inodes:\n%s", found, want, out)
	}
}

const table = `20 1 8:1 / / rw - ext4 /dev/disk/by-uuid/12 rw
21 20 0:20 / /proc rw - proc proc rw
22 20 0:30 / /srv rw - btrfs /dev/sdb rw
23 20 7:0 / /snap/core ro - squashfs /dev/loop0 ro
24 20 253:0 / /home\040of\040all rw - xfs /dev/mapper/vg0-home rw
25 20 253:0 /x /bind rw - xfs /dev/mapper/vg0-home rw
26 20 0:40 / /net rw - nfs server:/export rw
27 20 8:17 / /old rw - ext4 /dev/dead rw
`

func newCollector(text string, usages map[string]mount.Usage) *collector {
	c := &collector{proc: fstest.MapFS{"self/mountinfo": {Data: []byte(text)}}}
	c.resolve = func(path string) (string, error) {
		if path == "/dev/disk/by-uuid/12" {
			return "/dev/sda1", nil
		}
		return "", errors.New("no link")
	}
	c.prober.Stat = func(point string) (mount.Usage, error) {
		if u, ok := usages[point]; ok {
			return u, nil
		}
		return mount.Usage{}, errors.New("statfs " + point + ": input/output error")
	}
	return c
}

func TestWhichFileSystems(t *testing.T) {
	c := newCollector(table, map[string]mount.Usage{
		"/":            {Files: 1000, FreeFiles: 250},
		"/srv":         {}, // btrfs makes inodes as it needs them
		"/home of all": {Files: 10, FreeFiles: 11},
		"/snap/core":   {Files: 5},
		"/net":         {Files: 5},
		"/proc":        {Files: 5},
	})
	values, err := c.Collect(t.Context())
	got := map[string]float64{}
	for _, v := range values {
		got[v.Name] = v.Value
	}
	want := map[string]float64{"count.sda1.used": 750, "count.sda1.free": 250, "count.sda1.total": 1000, "percentage.sda1.used": 75}
	if !maps.Equal(got, want) {
		t.Errorf("collected %v, want %v", got, want)
	}
	if err == nil || err.Error() != "statfs /old: input/output error" {
		t.Errorf("the error is %v, want that of the dead disk", err)
	}
	c = newCollector(table, map[string]mount.Usage{"/": {}, "/srv": {}, "/old": {}, "/home of all": {Files: 4, FreeFiles: 4}})
	if values, err = c.Collect(t.Context()); err != nil || len(values) != 4 || values[3].Name != "percentage.mapper_vg0-home.used" || values[3].Value != 0 {
		t.Errorf("Collect = %v, %v, want an unused file system", values, err)
	}
}

// A disk that hangs costs itself: the others have their values in time, and it is said once.
func TestADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(table, nil)
		back := make(chan struct{})
		c.prober.Stat = func(point string) (mount.Usage, error) {
			if point == "/old" {
				<-back
			}
			return mount.Usage{Files: 2, FreeFiles: 1}, nil
		}
		for turn, want := range []string{"/old did not answer", ""} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			begun := time.Now()
			values, err := c.Collect(ctx)
			cancel()
			if len(values) != 12 || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("turn %d: %d values, %v, want those of three file systems, %q", turn, len(values), err, want)
			}
			if d := time.Since(begun); d > 5*time.Second {
				t.Errorf("turn %d took %v", turn, d)
			}
		}
		close(back)
		synctest.Wait()
		values, err := c.Collect(t.Context())
		if err != nil || len(values) != 16 || !slices.Contains(values, saba.Value{Name: "count.dead.used", Value: 1}) {
			t.Errorf("after its return: %v, %v", values, err)
		}
	})
}

func TestNoTableOfMounts(t *testing.T) {
	c := &collector{proc: fstest.MapFS{}}
	if values, err := c.Collect(t.Context()); len(values) > 0 || err == nil || !strings.HasPrefix(err.Error(), "/proc: open self/mountinfo: ") {
		t.Errorf("Collect = %v, %v", values, err)
	}
}
