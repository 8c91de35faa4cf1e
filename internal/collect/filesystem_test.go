package collect

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba/plugin/target/mount"
)

// mounted returns a mountinfo of lines like "1 0 8:1 / /point type source".
func mounted(lines ...string) fstest.MapFS {
	var b strings.Builder
	for _, l := range lines {
		f := strings.Fields(l)
		b.WriteString(strings.Join(f[:5], " ") + " rw,relatime shared:1 - " + f[5] + " " + f[6] + " rw\n")
	}
	return fstest.MapFS{"self/mountinfo": {Data: []byte(b.String())}}
}

func TestWhichMountStandsForADevice(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  []string // "source point"
	}{
		"a bind mount is not a second file system": {[]string{"1 0 8:1 / / ext4 /dev/sda1", "2 1 8:1 /www /w ext4 /dev/sda1"}, []string{"/dev/sda1 /"}},
		"the whole before a part, wherever it is":  {[]string{"1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 /www /w ext4 /dev/sda2", "3 1 8:2 / /srv/long ext4 /dev/sda2"}, []string{"/dev/sda1 /", "/dev/sda2 /srv/long"}},
		"of two parts the shorter":                 {[]string{"2 1 8:2 /a /etc/resolv.conf ext4 /dev/sda2", "3 1 8:2 /b /etc/hosts ext4 /dev/sda2"}, []string{"/dev/sda2 /etc/hosts"}},
		"of equals the earlier":                    {[]string{"2 1 8:2 / /b ext4 /dev/sda2", "3 1 8:2 / /a ext4 /dev/sda2"}, []string{"/dev/sda2 /b"}},
		"btrfs subvolumes are one device":          {[]string{"1 0 0:30 /@ / btrfs /dev/sdb", "2 1 0:30 /@home /home btrfs /dev/sdb", "3 1 0:30 / /mnt/top btrfs /dev/sdb"}, []string{"/dev/sdb /"}},
		"two numbers of one device are one device": {[]string{"1 0 0:30 /@ / btrfs /dev/sdb", "2 1 0:31 /@home /home btrfs /dev/sdb"}, []string{"/dev/sdb /"}},
		"what lies under another mount is not seen": {[]string{"1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /data ext4 /dev/sda2", "3 1 8:3 / /data ext4 /dev/sda3", "4 2 8:4 / /data/deep ext4 /dev/sda4"},
			[]string{"/dev/sda1 /", "/dev/sda3 /data"}},
		"a mount on a mount hides it": {[]string{"1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /data ext4 /dev/sda2", "3 2 8:3 / /data ext4 /dev/sda3", "4 2 8:4 / /data/deep ext4 /dev/sda4"},
			[]string{"/dev/sda1 /", "/dev/sda3 /data"}},
		"a neighbour with a longer name hides nothing": {[]string{"1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /data ext4 /dev/sda2", "3 1 0:9 / /dat tmpfs tmpfs"}, []string{"/dev/sda1 /", "/dev/sda2 /data"}},
		"parents in a circle":                          {[]string{"1 2 8:1 / /a ext4 /dev/sda1", "2 1 8:2 / /b ext4 /dev/sda2", "3 3 8:3 / / ext4 /dev/sda3"}, []string{"/dev/sda3 /"}},
		"networks and views into the kernel":           {[]string{"2 1 0:40 / /n nfs4 h:/x", "3 1 0:41 / /c cifs //h/x", "4 1 0:42 / /p proc proc", "5 1 0:43 / /s fuse.sshfs u@h:"}, nil},
		"Docker's device mapper":                       {[]string{"2 1 253:9 / /d ext4 /dev/mapper/docker-8:1-42-x", "3 1 253:8 / /v/devicemapper/mnt/x ext4 /dev/dm-8", "4 1 253:7 / /d7 ext4 /dev/dm-7"}, []string{"/dev/dm-7 /d7"}},
	} {
		t.Run(name, func(t *testing.T) {
			mounts, err := readMounts(mounted(tt.lines...))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range mount.Distinct(mounts, onBlockDevice) {
				got = append(got, m.Source+" "+m.Point)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// As df -Pkl has it: /dev/sda1 19734388 16868164 1863772 91% /. The size is what is used and
// what can be, not the blocks in all.
func TestFilesystem(t *testing.T) {
	stat := usages(map[string]mount.Usage{
		"/":        {BlockSize: 1024, Blocks: 19734388, Free: 19734388 - 16868164, Available: 1863772},
		"/full":    {BlockSize: 4096, Blocks: 100, Free: 5, Available: ^uint64(0)}, // below zero
		"/empty":   {BlockSize: 4096},
		"/var/log": {BlockSize: 4096, Blocks: 100, Free: 50, Available: 50},
	})
	proc := mounted("1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /full ext4 /dev/sda2", "3 1 8:3 / /empty ext4 /dev/sda3",
		"4 1 7:1 / /snap squashfs /dev/loop1", "5 1 253:0 / /var/log ext4 /dev/mapper/vg-log", "6 1 8:9 / /ign ext4 /dev/sdz1")
	f := &Filesystem{Proc: proc, Usage: &mount.Prober{Stat: stat}, Ignore: regexp.MustCompile(`^/dev/sdz`)}
	for _, tt := range []struct {
		mountpoint bool
		want       map[string]float64
	}{
		{false, map[string]float64{
			"filesystem.sda1.size": 19181502464, "filesystem.sda1.used": 17272999936,
			"filesystem.sda2.size": 95 * 4096, "filesystem.sda2.used": 95 * 4096,
			"filesystem.mapper_vg-log.size": 409600, "filesystem.mapper_vg-log.used": 204800,
		}},
		{true, map[string]float64{
			"filesystem._.size": 19181502464, "filesystem._.used": 17272999936,
			"filesystem._full.size": 95 * 4096, "filesystem._full.used": 95 * 4096,
			"filesystem._var_log.size": 409600, "filesystem._var_log.used": 204800,
		}},
	} {
		f.UseMountpoint = tt.mountpoint
		v, err := f.Collect(t.Context())
		if got := byName(v); err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("use_mountpoint %v: got %v, %v; want %v", tt.mountpoint, got, err, tt.want)
		}
	}
}

// A source by UUID is written as the device's own name, /dev/root as it is: both as df does.
func TestFilesystemSource(t *testing.T) {
	sys := fstest.MapFS{"dev/block/8:1/uevent": {Data: []byte("DEVNAME=sda1\n")}}
	stat := func(string) (mount.Usage, error) {
		return mount.Usage{BlockSize: 1, Blocks: 2, Free: 1, Available: 1}, nil
	}
	for source, want := range map[string]string{
		"/dev/disk/by-uuid/0b1c": "filesystem.sda1.size",
		"/dev/root":              "filesystem.root.size",
		"/dev/xvda1":             "filesystem.xvda1.size",
	} {
		f := &Filesystem{Proc: mounted("1 0 8:1 / / ext4 " + source), Sys: sys, Usage: &mount.Prober{Stat: stat}}
		v, err := f.Collect(t.Context())
		if err != nil || len(v) != 2 || v[0].Name != want {
			t.Errorf("%s: %v, %v; want %s", source, v, err, want)
		}
	}
}

// A dead disk costs its own values: the first time the limit and an error, then nothing until its
// call has returned.
func TestAStuckMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls, network atomic.Int32
		p := &mount.Prober{Stat: func(point string) (mount.Usage, error) {
			switch point {
			case "/dead":
				calls.Add(1)
				<-release
			case "/nfs":
				network.Add(1)
			}
			return mount.Usage{BlockSize: 1, Blocks: 2, Free: 1, Available: 1}, nil
		}}
		f := &Filesystem{Usage: p, Proc: mounted("1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /dead ext4 /dev/sdb1", "3 1 0:9 / /nfs nfs h:/x")}
		collect := func() (int, time.Duration, error) {
			start := time.Now()
			v, err := f.Collect(t.Context())
			return len(v), time.Since(start), err
		}
		if n, took, err := collect(); n != 2 || took != mount.Limit || err == nil || err.Error() != "the file system on /dead did not answer within 3s: left out until it does" {
			t.Errorf("first: %d values after %v, %v; want 2 after %v and an error that names the mount", n, took, err, mount.Limit)
		}
		for range 3 {
			if n, took, err := collect(); n != 2 || took != 0 || err != nil {
				t.Errorf("then: %d values after %v, %v; want 2 at once and no error", n, took, err)
			}
		}
		if calls.Load() != 1 {
			t.Errorf("the dead file system was asked %d times, want 1", calls.Load())
		}
		close(release)
		synctest.Wait()
		if n, took, err := collect(); n != 4 || took != 0 || err != nil {
			t.Errorf("after it came back: %d values after %v, %v; want 4 at once", n, took, err)
		}
		if network.Load() != 0 {
			t.Error("a file system on the network was asked")
		}

		// With less time, what did answer is still told in time.
		release = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if v, err := f.Collect(ctx); len(v) != 2 || err == nil || ctx.Err() != nil || time.Since(start) != time.Second/2 {
			t.Errorf("with a second's limit: %v, %v after %v; want 2 values and an error after half of it", v, err, time.Since(start))
		}
		close(release)
		synctest.Wait()
	})
}

// The table of mounts is parsed when it has changed, and then it is noticed.
func TestMountsThatChange(t *testing.T) {
	proc := mounted("1 0 8:1 / / ext4 /dev/sda1")
	f := &Filesystem{Proc: proc, Usage: &mount.Prober{Stat: func(string) (mount.Usage, error) {
		return mount.Usage{BlockSize: 1, Blocks: 2, Free: 1, Available: 1}, nil
	}}}
	for _, tt := range []struct {
		lines []string
		want  int // file systems
	}{
		{[]string{"1 0 8:1 / / ext4 /dev/sda1"}, 1},
		{[]string{"1 0 8:1 / / ext4 /dev/sda1"}, 1},
		{[]string{"1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /srv ext4 /dev/sda2"}, 2},
		{[]string{"2 1 8:2 / /srv ext4 /dev/sda2"}, 1},
	} {
		proc["self/mountinfo"] = mounted(tt.lines...)["self/mountinfo"]
		if v, err := f.Collect(t.Context()); err != nil || len(v) != 2*tt.want {
			t.Errorf("%v: values %v, %v; want %d file systems", tt.lines, v, err, tt.want)
		}
	}
}

// A file system that refuses to be asked is named, and the others are there.
func TestOneFileSystemRefuses(t *testing.T) {
	f := &Filesystem{Proc: mounted("1 0 8:1 / / ext4 /dev/sda1", "2 1 8:2 / /bad ext4 /dev/sda2"), Usage: &mount.Prober{Stat: func(point string) (mount.Usage, error) {
		if point == "/bad" {
			return mount.Usage{}, &fs.PathError{Op: "statfs", Path: point, Err: errors.New("input/output error")}
		}
		return mount.Usage{BlockSize: 1, Blocks: 2, Free: 1, Available: 1}, nil
	}}}
	v, err := f.Collect(t.Context())
	if len(v) != 2 || err == nil || err.Error() != "statfs /bad: input/output error" {
		t.Errorf("%v, %v; want the values of / and the error of /bad", v, err)
	}
}
