package tsdb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saba-monitor/saba"
)

// TestAFailedWriteIsNotAcknowledged takes the disk away in the midst of a write, by the limit that
// a process has on the size of its files, gives it back, and wants what was acknowledged before and after.
//
// The limit holds for the files of the test tool as well, so a child process does it.
func TestAFailedWriteIsNotAcknowledged(t *testing.T) {
	if os.Getenv("SABA_TEST_LIMITED") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "SABA_TEST_LIMITED=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+"/late_points")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for name, late := range map[string]int64{"present points": 0, "late points": 5 * 3600} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			dir := t.TempDir()
			var now atomic.Int64
			now.Store(start)
			db, err := Open(t.Context(), Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return time.Unix(now.Load(), 0) }})
			if err != nil {
				t.Fatal(err)
			}
			batch := func(i int64) []saba.Point {
				var points []saba.Point
				for _, name := range []string{"a", "b", "c", "d"} {
					points = append(points, point(series(name), start+i*60-late, math.Sqrt(float64(i))))
				}
				return points
			}
			put(t, db, start, point(series("now"), start, 1))
			acked := map[int64]bool{}
			i := int64(0)
			send := func() error {
				i++
				now.Store(start + i*60)
				_, err := db.Append(t.Context(), time.Unix(start+i*60, 0), batch(i))
				acked[i] = err == nil
				return err
			}
			for range 100 {
				if err := send(); err != nil {
					t.Fatal(err)
				}
			}
			grow := limitFiles(t, filepath.Join(dir, map[bool]string{false: walFolder, true: wblFolder}[late > 0]))
			for i < 5000 && err == nil {
				err = send()
			}
			if !errors.Is(err, saba.ErrUnavailable) {
				t.Fatalf("Append to a full disk = %v, want saba.ErrUnavailable", err)
			}
			t.Logf("after %d batches: %v", i, err)
			if got := samples(t, db, series("a")); len(got) < 100 {
				t.Errorf("a reader gets %d samples while the disk is full, want what was stored", len(got))
			}
			for range 3 {
				if err := send(); !errors.Is(err, saba.ErrUnavailable) {
					t.Errorf("Append to a disk that is still full = %v, want saba.ErrUnavailable", err)
				}
			}
			grow()
			for range 20 {
				if err := send(); err != nil {
					t.Fatalf("Append once there is room = %v\n%s", err, log.String())
				}
			}
			copied := copyOf(t, db)
			check := func(db *DB) {
				t.Helper()
				have := map[int64]bool{}
				for _, s := range samples(t, db, series("d")) {
					k := (s.Time - start + late) / 60
					have[k] = s.Value == math.Sqrt(float64(k))
				}
				for k, ok := range acked {
					if ok && !have[k] {
						t.Errorf("minute %d was acknowledged and is not there", k)
					}
				}
			}
			check(db)
			crashed := openFor(t, Options{Dir: copied})
			check(crashed)
			if err := db.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			for _, want := range []string{"samples could not be stored", "samples are stored again"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %q:\n%s", want, log.String())
				}
			}
		})
	}
}

// copyOf returns a copy of the folder of db, as a crash would leave it: without the snapshot of a clean stop.
func copyOf(t *testing.T, db *DB) string {
	t.Helper()
	db.engine.db.DisableCompactions() // no file must be on the move; this waits for those that are
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(db.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// limitFiles lets no file of this process grow beyond a little more than the newest segment in
// dir has, until the function that it returns is called.
func limitFiles(t *testing.T, dir string) (grow func()) {
	t.Helper()
	ns, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(segmentPath(dir, ns[len(ns)-1]))
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ) // writes answer EFBIG then
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit := old
	limit.Cur = uint64(st.Size()) + 3000
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	grow = func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			t.Error(err)
		}
		signal.Reset(unix.SIGXFSZ)
	}
	t.Cleanup(grow)
	return grow
}

func TestAFullDiskIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	db := openFor(t, Options{Dir: dir})
	free, total := uint64(1<<30), uint64(100<<30)
	db.space.free = func(string) (uint64, uint64, error) { return free, total, nil }
	put(t, db, start, point(series("x"), start, 1))
	free = reserve - 1
	_, err := db.Append(t.Context(), time.Unix(start, 0), []saba.Point{point(series("x"), start, 2)})
	if !errors.Is(err, saba.ErrUnavailable) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Append to a full disk = %v, want saba.ErrUnavailable that names the folder", err)
	}
	total = 100 << 20 // a small disk keeps less
	put(t, db, start, point(series("x"), start, 3))
	if got := samples(t, db, series("x")); len(got) != 1 || got[0].Value != 3 {
		t.Errorf("samples = %v, want the last that was acknowledged", got)
	}
}

func TestSyncFollowsTheLog(t *testing.T) {
	dir := t.TempDir()
	write := func(n int, content string) {
		t.Helper()
		f, err := os.OpenFile(segmentPath(dir, n), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(content); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(7, "")
	l, err := openSyncedLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	sync := func(n int, size int64) {
		t.Helper()
		if err := l.sync(); err != nil {
			t.Fatal(err)
		}
		if l.n != n || l.size != size {
			t.Errorf("synced %d bytes of segment %d, want %d of %d", l.size, l.n, size, n)
		}
	}
	sync(7, 0)
	write(7, "one")
	sync(7, 3)
	write(7, "two")
	write(8, "three")
	write(9, "four")
	sync(9, 4)
	// Compaction goes on to new segments and deletes the others, while nobody syncs.
	for n := 7; n <= 10; n++ {
		write(n, "")
		if err := os.Remove(segmentPath(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	write(11, "new!!")
	sync(11, 5)
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// A start after a kill reads the logs whole: what is in blocks must not stay in them for long. Only whole segments leave, so they are small.
func TestTheLogsAreInSmallSegments(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	random := rand.NewChaCha8([32]byte{})
	name := make([]byte, 120) // what is random does not compress: twice as many digits
	for host := range 4 {
		var points []saba.Point
		for range saba.MaxMetrics {
			if _, err := random.Read(name); err != nil {
				t.Fatal(err)
			}
			points = append(points, point(saba.Series{Org: "o", Host: fmt.Sprint("h", host), Name: hex.EncodeToString(name)}, start, 1))
		}
		put(t, db, start, points...)
	}
	ns, err := segments(filepath.Join(db.dir, walFolder))
	if err != nil || len(ns) < 2 {
		t.Fatalf("the log has the segments %v (%v), want more than one", ns, err)
	}
	for _, n := range ns {
		if info, err := os.Stat(segmentPath(filepath.Join(db.dir, walFolder), n)); err != nil || info.Size() > segmentSize {
			t.Errorf("segment %d is %v (%v), want %d bytes at the most", n, info, err, segmentSize)
		}
	}
}
