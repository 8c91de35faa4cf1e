package tsdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saba-monitor/saba"
)

// TestEachLogMustTakeItsPoints makes the writes to one log fail and not those to the other. The
// engine says nothing to its caller when the log of late points fails.
func TestEachLogMustTakeItsPoints(t *testing.T) {
	for name, tt := range map[string]struct {
		log  string
		late int64
	}{
		"present points":                      {walFolder, 0},
		"late points":                         {wblFolder, 5 * 3600},
		"a point that is late for its series": {wblFolder, 120},
	} {
		t.Run(name, func(t *testing.T) {
			var now int64 = start
			dir := t.TempDir()
			db := openFor(t, Options{Dir: dir, Now: func() time.Time { return time.Unix(start, 0) }})
			x, y := series("x"), series("y")
			put(t, db, now, point(x, start, 1), point(y, start, 2), point(y, start-tt.late-60, 3))
			full(t, filepath.Join(dir, tt.log))
			now += 60
			points := []saba.Point{point(y, now-tt.late, 4)}
			if _, err := db.Append(t.Context(), time.Unix(now, 0), points); !errors.Is(err, saba.ErrUnavailable) {
				t.Errorf("Append to a full disk = %v, want saba.ErrUnavailable", err)
			}
			// The new file that the engine begins then is not full.
			put(t, db, now, points...)
			put(t, db, now, point(x, now, 5))
			crash := openFor(t, Options{Dir: copyOf(t, db)})
			for _, db := range []*DB{db, crash} {
				got := map[int64]float64{}
				for _, s := range samples(t, db, y) {
					got[s.Time] = s.Value
				}
				want := map[int64]float64{start - tt.late - 60: 3, start: 2, now - tt.late: 4}
				if fmt.Sprint(got) != fmt.Sprint(want) || len(samples(t, db, x)) != 2 {
					t.Errorf("samples are %v, want %v", got, want)
				}
			}
		})
	}
}

// full makes every write to the newest segment of the log in dir fail for want of space.
func full(t *testing.T, dir string) {
	t.Helper()
	ns, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := segmentPath(dir, ns[len(ns)-1])
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done := false
	for _, e := range fds {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		path, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || !strings.HasSuffix(path, want) {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
			continue // ours, to sync it
		}
		if err := unix.Dup3(int(f.Fd()), n, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		done = true
	}
	if !done {
		t.Fatalf("nobody writes to %s", want)
	}
}
