package collect

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba/internal/inturn"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// A breaking file system refuses some files, as one whose disk, driver or permissions are gone does.
type breaking struct {
	fs.FS
	refused string // a part of the names
	err     error
}

func (b breaking) Open(name string) (fs.File, error) {
	if strings.Contains(name, b.refused) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
	}
	return b.FS.Open(name)
}

// brought returns how many values each collector of a machine brings in its second round,
// and the errors, when some files of procfs and sysfs cannot be read.
func brought(t *testing.T, name, proc, sys string) (map[string]int, map[string]error) {
	t.Helper()
	before, after := machine(t, name)
	turn, clock := &turning{before}, &fakeClock{now: time.Hour}
	sysfs := fs.FS(os.DirFS(filepath.Join("testdata", name, "sys")))
	if sys != "" {
		sysfs = breaking{sysfs, sys, fs.ErrPermission}
	}
	s := New(Options{Proc: turn, Sys: sysfs, Clock: clock.read, Stat: machineUsage, Sockets: usualSockets, Linux: LinuxFamilies()})
	s.Collect(t.Context(), time.Minute)
	turn.FS = after
	if proc != "" {
		turn.FS = breaking{after, proc, fs.ErrPermission}
	}
	clock.now += time.Minute
	counts, errs := map[string]int{}, map[string]error{}
	for _, o := range s.Collect(t.Context(), time.Minute).Sources {
		counts[o.Name], errs[o.Name] = o.Values, o.Err
	}
	return counts, errs
}

// A file that cannot be read costs the collectors that read it, and their errors name it.
func TestAnUnreadableFileCostsOnlyItself(t *testing.T) {
	const name = "linux-4.18"
	whole, _ := brought(t, name, "", "")
	for file, costs := range map[string][]string{
		"loadavg":            {"loadavg"},
		"meminfo":            {"memory"},
		"diskstats":          {"disk", "disklatency"},
		"net/dev":            {"interface"},
		"self/mountinfo":     {"filesystem", "inodes"},
		"vmstat":             {"oom"},
		"uptime":             {"uptime"},
		"sys/fs/file-nr":     {"files"},
		"net/sockstat":       {"tcp"},
		"net/stat/nf_conntr": {"conntrack"},
	} {
		t.Run(file, func(t *testing.T) {
			got, errs := brought(t, name, file, "")
			hit := map[string]bool{}
			for _, c := range costs {
				hit[c] = true
				if errs[c] == nil || !strings.Contains(errs[c].Error(), file) {
					t.Errorf("%s: error %v, want one that names %s", c, errs[c], file)
				}
			}
			for c, n := range whole {
				if hit[c] != (got[c] < n) {
					t.Errorf("%s brings %d values, %d when all can be read; want it hit: %v", c, got[c], n, hit[c])
				}
			}
		})
	}
}

// A name that sysfs does not tell costs the disk that would have it.
func TestSysfsThatCannotBeRead(t *testing.T) {
	whole, _ := brought(t, "linux-4.18", "", "")
	got, errs := brought(t, "linux-4.18", "", "dm/name")
	for c, n := range whole {
		if c == "disklatency" {
			n = 6 // sda has its own name
		}
		if got[c] != n {
			t.Errorf("%s brings %d values, want %d", c, got[c], n)
		}
	}
	if err := errs["disklatency"]; err == nil || !strings.Contains(err.Error(), "dm/name") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

// A disk and an interface that are gone at the second reading, and others that came: neither
// makes a value, nor costs its neighbours theirs.
func TestADiskAndAnInterfaceVanish(t *testing.T) {
	before, _ := machine(t, "many-disks")
	text := func(name string) string {
		b, err := fs.ReadFile(before, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	m := newCounted()
	disks, links := text("diskstats"), text("net/dev")
	m.proc["diskstats"].Data, m.proc["net/dev"].Data = []byte(disks), []byte(links)
	s := New(Options{Proc: m.proc, Sys: os.DirFS(filepath.Join("testdata", "many-disks", "sys")),
		Clock: func() (time.Duration, error) { return m.now, nil }, Linux: []string{"disklatency"}})
	s.Collect(t.Context(), time.Minute)
	m.now += time.Minute
	m.proc["diskstats"].Data = []byte(strings.ReplaceAll(disks, " sdh ", " sdyy "))
	m.proc["net/dev"].Data = []byte(strings.ReplaceAll(links, "eno2", "eno9"))
	r := s.Collect(t.Context(), time.Minute)
	got := map[string]int{}
	for _, v := range r.Values {
		for _, name := range []string{"sdh.", "sdyy", "eno2", "eno9", "sdi.", "eno1"} {
			if strings.Contains(v.Name+".", name) {
				got[name]++
			}
		}
	}
	// sdi: two of disk, four of disklatency (nothing was read or written: no latency).
	if want := (map[string]int{"sdi.": 6, "eno1": 2}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("values by device %v, want %v", got, want)
	}
	for _, o := range r.Sources {
		if o.Err != nil {
			t.Error(o.Err)
		}
	}
}

// A file system that hangs costs its own values, in every collector that asks it, in every
// round, through the whole of a Set; and it is asked by no more than one call of each.
func TestAStuckFileSystemInARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		before, _ := machine(t, "many-disks")
		s := New(Options{Proc: before, Sys: os.DirFS(filepath.Join("testdata", "many-disks", "sys")), Clock: (&fakeClock{}).read,
			Linux: []string{"inodes", "uptime"},
			Stat: func(point string) (mount.Usage, error) {
				if point == "/data/07" {
					<-release
				}
				return machineUsage(point)
			}})
		for round := range 3 {
			start := time.Now()
			r := s.Collect(t.Context(), 9*time.Second)
			took := time.Since(start)
			if limit := map[bool]time.Duration{true: mount.Limit + 2*inturn.Patience, false: 0}[round == 0]; took > limit {
				t.Errorf("round %d took %v, want %v at most", round, took, limit)
			}
			got := map[string]int{}
			failed := 0
			for _, o := range r.Sources {
				got[o.Name] = o.Values
				if o.Err != nil {
					failed++
				}
			}
			if got["filesystem"] != 2*24 || got["inodes"] != 24 || got["memory"] == 0 || got["uptime"] != 1 {
				t.Errorf("round %d brings %v, want 24 of 25 file systems and all else", round, got)
			}
			if (failed > 0) != (round == 0) {
				t.Errorf("round %d: %d errors; the stuck one is named once", round, failed)
			}
		}
		close(release)
		synctest.Wait()
		if r := s.Collect(t.Context(), 9*time.Second); byName(r.Values)["filesystem.mapper_mpathh.size"] == 0 {
			t.Error("it answered, and is not back")
		}
	})
}
