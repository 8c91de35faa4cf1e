package disk

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

const mb = 1 << 20

var usages = map[string]mount.Usage{
	"/":         {BlockSize: mb, Blocks: 1100, Free: 500, Available: 400, Files: 1000, FreeFiles: 900}, // 100 are kept for root
	"/data":     {BlockSize: 512, Blocks: 4000 * 2048, Free: 400 * 2048, Available: 400 * 2048, Files: 1000, FreeFiles: 40},
	"/btrfs":    {BlockSize: mb, Blocks: 1000, Free: 700, Available: 700},
	"/nfs":      {BlockSize: mb, Blocks: 1000, Free: 200, Available: 200, Files: 100, FreeFiles: 100},
	"/run":      {BlockSize: 4096, Blocks: 100, Available: 0},
	"/snap/one": {BlockSize: mb, Blocks: 10},
	"/layer":    {BlockSize: mb, Blocks: 1100, Free: 500, Available: 400},
	"/empty":    {BlockSize: mb},
	"/files":    {BlockSize: mb, Blocks: 1000, Free: 900, Available: 900, Files: 1000, FreeFiles: 10},
	"/below":    {BlockSize: mb, Blocks: 100, Free: 5, Available: ^uint64(0)},
}

const table = `1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:2 / /data rw - xfs /dev/sdb1 rw
3 1 0:30 /@ /btrfs rw - btrfs /dev/sdc rw
4 1 0:31 / /nfs rw - nfs4 host:/export rw
5 1 0:32 / /run rw - tmpfs tmpfs rw
6 1 7:1 / /snap/one ro - squashfs /dev/loop1 ro
7 1 0:33 / /layer rw - overlay overlay rw
8 1 0:34 / /proc rw - proc proc rw
9 1 8:1 /srv /bind rw - ext4 /dev/sda1 rw
`

// of returns the check of a host with such mounts.
func of(table string, stat func(point string) (mount.Usage, error)) check.Check {
	c := Check
	c.New = func(fs *check.FlagSet) check.Checker {
		k := Check.New(fs).(*checker)
		k.proc = fstest.MapFS{"self/mountinfo": {Data: []byte(table)}}
		k.prober.Stat = stat
		return k
	}
	return c
}

func stat(point string) (mount.Usage, error) {
	if u, ok := usages[point]; ok {
		return u, nil
	}
	return mount.Usage{}, &fs.PathError{Op: "statfs", Path: point, Err: fs.ErrPermission}
}

const (
	root  = "/ 40.0% free (400 of 1000 MB)"
	data  = "/data 10.0% free (400 of 4000 MB)"
	btrfs = "/btrfs 70.0% free (700 of 1000 MB)"
	nfs   = "/nfs 20.0% free (200 of 1000 MB)"
)

func TestVerdicts(t *testing.T) {
	for args, want := range map[string]string{
		"-w 10% -c 5%":                 "Disk OK: " + data + "\n" + nfs + "\n" + root + "\n" + btrfs,
		"-w 200 -c 100":                "Disk OK: " + data + "\n" + nfs + "\n" + root + "\n" + btrfs,
		"-w 10.1% -c 5%":               "Disk WARNING: " + data + ": less than 10.1%\n" + nfs + "\n" + root + "\n" + btrfs,
		"-w 201 -c 5%":                 "Disk WARNING: " + nfs + ": less than 201 MB\n" + data + "\n" + root + "\n" + btrfs,
		"-w 50% -c 15%":                "Disk CRITICAL: " + data + ": less than 15%\n" + nfs + ": less than 50%\n" + root + ": less than 50%\n" + btrfs,
		"-c 41% -p / -p /nfs":          "Disk CRITICAL: " + nfs + ": less than 41%\n" + root + ": less than 41%",
		"-c 10% -p /dev/sdb1":          "Disk OK: " + data,
		"-c 10% -p /data/":             "Disk OK: " + data,
		"-c 10% -p /bind":              "Disk UNKNOWN: statfs /bind: permission denied",
		"-c 50% -p / -p /gone":         "Disk CRITICAL: " + root + ": less than 50%\nno file system is mounted on /gone",
		"-w 50% -p / -p /gone":         "Disk WARNING: " + root + ": less than 50%\nno file system is mounted on /gone",
		"-w 5% -p / -p /gone":          "Disk UNKNOWN: no file system is mounted on /gone\n" + root,
		"-c 5% -p /run -u kB":          "Disk CRITICAL: /run 0.0% free (0.0 of 400 kB): less than 5%",
		"-c 10% -x /data -x /dev/sdc":  "Disk OK: " + nfs + "\n" + root,
		"-c 10% -X nfs4 -X btrfs":      "Disk OK: " + data + "\n" + root,
		"-c 10% -N ext4 -N xfs":        "Disk OK: " + data + "\n" + root,
		"-c 10% -N ext4 -N xfs -X xfs": "Disk OK: " + root,
		"-c 10% -N squashfs":           "Disk CRITICAL: /snap/one 0.0% free (0.0 of 10.0 MB): less than 10%",
		"-c 0 -N tmpfs":                "Disk OK: /run 0.0% free (0.0 of 0.4 MB)",
		"-c 0 -A":                      "Disk OK: /run 0.0% free (0.0 of 0.4 MB)\n/snap/one 0.0% free (0.0 of 10.0 MB)\n" + data + "\n" + nfs + "\n" + root + "\n/layer 40.0% free (400 of 1000 MB)\n" + btrfs,
		"-c 10% -N zfs":                "Disk UNKNOWN: no file system is chosen by these flags",
		"-K 5% -N xfs":                 "Disk CRITICAL: " + data + ", 4.0% of its inodes: less than 5% of the inodes",
		"-K 4 -W 5 -N xfs":             "Disk WARNING: " + data + ", 4.0% of its inodes: less than 5% of the inodes",
		"-K 5% -c 20% -N xfs":          "Disk CRITICAL: " + data + ", 4.0% of its inodes: less than 5% of the inodes",
		"-W 5% -c 20% -N xfs":          "Disk CRITICAL: " + data + ", 4.0% of its inodes: less than 20%",
		"-W 5% -w 20% -N xfs":          "Disk WARNING: " + data + ", 4.0% of its inodes: less than 5% of the inodes",
		"-W 99% -K 99% -N btrfs":       "Disk OK: " + btrfs,
		"-u bytes -c 419430400 -p /":   "Disk OK: / 40.0% free (419430400 of 1048576000 bytes)",
		"-u bytes -c 419430401 -p /":   "Disk CRITICAL: / 40.0% free (419430400 of 1048576000 bytes): less than 419430401 bytes",
		"-u kB -c 409601 -p /":         "Disk CRITICAL: / 40.0% free (409600 of 1024000 kB): less than 409601 kB",
		"-u KB -c 409600 -p /":         "Disk OK: / 40.0% free (409600 of 1024000 kB)",
		"-u MB -c 401 -p /":            "Disk CRITICAL: " + root + ": less than 401 MB",
		"-u GB -c 0.4 -p /":            "Disk CRITICAL: / 40.0% free (0.4 of 1.0 GB): less than 0.4 GB", // 0.39
		"-u TB -c 1 -p /":              "Disk CRITICAL: / 40.0% free (0.0 of 0.0 TB): less than 1 TB",
		"":                             "Disk UNKNOWN: how little may be free? give one of --warning, --critical, --iwarning and --icritical, like -c 10%; check-disk -h lists the flags",
		"-c 10%%":                      "Disk UNKNOWN: --critical: it must be a number like 500, or a share like 10%; check-disk -h lists the flags",
		"-c -1":                        "Disk UNKNOWN: --critical: it must be a number like 500, or a share like 10%; check-disk -h lists the flags",
		"-c 101%":                      "Disk UNKNOWN: --critical: it must be a number like 500, or a share like 10%; check-disk -h lists the flags",
		"-K x":                         "Disk UNKNOWN: --icritical: it must be a share like 10%; check-disk -h lists the flags",
		"-c 1 -u PB":                   "Disk UNKNOWN: --units: it must be bytes, kB, MB, GB or TB; check-disk -h lists the flags",
	} {
		if _, got := checktest.Run(t, of(table, stat), strings.Fields(args)...); got != want {
			t.Errorf("%s\ngot  %q\nwant %q", args, got, want)
		}
	}
	checktest.Usage(t, Check)
}

func TestOddFileSystems(t *testing.T) {
	for name, tt := range map[string]struct{ table, args, want string }{
		"one without space":        {"1 0 8:1 / /empty rw - ext4 /dev/sda1 rw\n", "-c 1", "Disk UNKNOWN: no file system is chosen by these flags"},
		"one without space, named": {"1 0 8:1 / /empty rw - ext4 /dev/sda1 rw\n", "-c 1 -p /empty", "Disk UNKNOWN: /empty has no space that could be free: it is ext4"},
		"more used than there is":  {"1 0 8:1 / /below rw - ext4 /dev/sda1 rw\n", "-c 1%", "Disk CRITICAL: /below 0.0% free (0.0 of 95.0 MB): less than 1%"},
		"another user's mount":     {"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /home/one/mnt rw - fuse.x x rw\n", "-c 1%", "Disk OK: " + root},
		"the layers are the root":  {"1 0 0:9 / / rw - overlay overlay rw\n", "-c 1%", "Disk OK: " + root},
		"one that is covered":      {"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /data rw - ext4 /dev/sdb1 rw\n3 1 8:3 / /data rw - ext4 /dev/sdc1 rw\n", "-c 1% -p /dev/sdb1", "Disk UNKNOWN: no file system is mounted on /dev/sdb1"},
		"few inodes come first":    {"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /files rw - ext4 /dev/sdb1 rw\n", "-K 1", "Disk OK: /files 90.0% free (900 of 1000 MB), 1.0% of its inodes\n" + root + ", 90.0% of its inodes"},
		"nothing":                  {"", "-c 1%", "Disk UNKNOWN: no file system is chosen by these flags"},
		"a point with blanks":      {"1 0 8:1 / /My\\040Disk rw - ext4 /dev/sda1 rw\n", "-c 1% -p /My", "Disk UNKNOWN: no file system is mounted on /My"},
	} {
		if _, got := checktest.Run(t, of(tt.table, stat), strings.Fields(tt.args)...); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A mount that hangs is UNKNOWN, and the others are judged; it is asked by one call at a time.
func TestAMountThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int32
		c := of(table, func(point string) (mount.Usage, error) {
			if point == "/nfs" {
				calls.Add(1)
				<-release
			}
			return stat(point)
		})
		e, err := check.Embed(c, []string{"-c", "5%"})
		if err != nil {
			t.Fatal(err)
		}
		step := func(want string, took time.Duration) {
			t.Helper()
			start := time.Now()
			status, got := e.Run(t.Context(), nil)
			first, _, _ := strings.Cut(got, "\n")
			if first != want || time.Since(start) != took || !strings.HasPrefix(first, "Disk "+string(status)) {
				t.Errorf("%q after %v, want %q after %v", got, time.Since(start), want, took)
			}
		}
		step("Disk UNKNOWN: the file system on /nfs did not answer within 3s: left out until it does", mount.Limit)
		step("Disk UNKNOWN: the file system on /nfs still does not answer", 0)
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls hang", n)
		}
		if e, err = check.Embed(c, []string{"-c", "15%"}); err != nil {
			t.Fatal(err)
		}
		step("Disk CRITICAL: "+data+": less than 15%", mount.Limit)
		if status, got := checktest.Run(t, c, "-t", "2", "-p", "/nfs", "-c", "1"); status != saba.CheckUnknown || !strings.Contains(got, "within 1s") {
			t.Errorf("with a short time: %q", got)
		}
		close(release)
		synctest.Wait()
		step("Disk CRITICAL: "+data+": less than 15%", 0)
	})
}

// The numbers of this machine's root are those of df.
func TestThisHost(t *testing.T) {
	status, got := checktest.Run(t, Check, "-p", "/", "-c", "0", "-K", "0", "-u", "kB")
	found := regexp.MustCompile(`^Disk OK: / [0-9.]+% free \((\d+) of (\d+) kB\)`).FindStringSubmatch(got)
	out, err := exec.Command("df", "-Pk", "/").Output()
	lines := strings.Split(string(out), "\n")
	if status != saba.CheckOK || found == nil || err != nil || len(lines) < 2 {
		t.Fatalf("%q; df: %v %q", got, err, out)
	}
	var device string
	var blocks, used, available, free, size int
	if _, err := fmt.Sscan(lines[1], &device, &blocks, &used, &available); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(found[1]+" "+found[2], &free, &size); err != nil {
		t.Fatal(err)
	}
	const moment = 1 << 20 // kB that others may write between the two
	if d := size - used - available; d < -8 || d > 8 {
		t.Errorf("the size is %d kB, df has %d", size, used+available)
	}
	if d := free - available; d < -moment || d > moment {
		t.Errorf("%d kB are free, df has %d", free, available)
	}
}

// inside says that the test runs in a namespace where it may mount.
const inside = "SABA_TEST_MAY_MOUNT"

// A real file system that is full, in a namespace of mounts of its own, which needs no rights.
func TestAFullFileSystem(t *testing.T) {
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAFullFileSystem$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestAFullFileSystem") {
			t.Fatalf("in a namespace of its own: %v\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=4", "saba", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	expect := func(want string, args ...string) {
		t.Helper()
		if _, got := checktest.Run(t, Check, append(args, "-p", dir)...); got != strings.ReplaceAll(want, "DIR", dir) {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	expect("Disk OK: DIR 100.0% free (1.0 of 1.0 MB), 75.0% of its inodes", "-c", "100%", "-K", "75%")
	if err := os.WriteFile(dir+"/a", make([]byte, 1<<19), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("Disk CRITICAL: DIR 50.0% free (0.5 of 1.0 MB): less than 51%", "-c", "51%")
	expect("Disk WARNING: DIR 50.0% free (512 of 1024 kB): less than 513 kB", "-w", "513", "-c", "512", "-u", "kB")
	for _, name := range []string{"/b", "/c"} {
		if err := os.WriteFile(dir+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect("Disk CRITICAL: DIR 50.0% free (0.5 of 1.0 MB), 0.0% of its inodes: less than 1% of the inodes", "-c", "1%", "-K", "1%")
}

// Whatever is mounted and however full it is, there is a verdict, and no number that is none.
func FuzzCheck(f *testing.F) {
	f.Add(table, uint64(4096), uint64(100), uint64(50), uint64(40), uint64(10), uint64(5))
	f.Add(table, uint64(1)<<63, ^uint64(0), ^uint64(0), ^uint64(0), uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, table string, size, blocks, free, available, files, freeFiles uint64) {
		u := mount.Usage{BlockSize: size, Blocks: blocks, Free: free, Available: available, Files: files, FreeFiles: freeFiles}
		status, got := checktest.Run(t, of(table, func(string) (mount.Usage, error) { return u, nil }), "-c", "5%", "-w", "10", "-K", "5", "-A")
		if !status.Valid() || strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
			t.Errorf("%+v is %q", u, got)
		}
	})
}
