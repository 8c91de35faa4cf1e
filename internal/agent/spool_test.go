package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// spoolStart is the first minute of the batches in these tests.
const spoolStart = int64(1_800_000_000)

// spoolClock returns a clock that stands still, minutes after spoolStart.
func spoolClock(minutes int64) func() time.Time {
	return func() time.Time { return time.Unix(spoolStart+60*minutes, 0) }
}

// numbered returns a batch whose content follows from n: its minute, and a few values of each shape.
func numbered(n int64) batch {
	b := batch{Minute: spoolStart + 60*n}
	if n%5 == 4 {
		b.Identifier = "db.example"
	}
	for i, v := range []float64{float64(n), 0, -1.5, 1.0 / 3 * float64(n+1), 8_123_456_789 * 4096, math.Copysign(0, -1), math.MaxFloat64} {
		b.Readings = append(b.Readings, reading{fmt.Sprintf("custom.part%d.metric_%d", i%2, i), saba.Sample{Time: b.Minute, Value: v}})
	}
	b.Readings[3].Time -= 61
	return b
}

// number is the reverse of numbered. It fails the test when b is not what numbered returned.
func number(t *testing.T, b batch) int64 {
	t.Helper()
	n := (b.Minute - spoolStart) / 60
	if want := numbered(n); !sameBatch(b, want) {
		t.Fatalf("batch = %+v, want %+v", b, want)
	}
	return n
}

// sameBatch says whether a and b hold the same, bit by bit, whatever their numbers.
func sameBatch(a, b batch) bool {
	return a.Minute == b.Minute && a.Identifier == b.Identifier && slices.EqualFunc(a.Readings, b.Readings, func(x, y reading) bool {
		return x.Name == y.Name && x.Time == y.Time && math.Float64bits(x.Value) == math.Float64bits(y.Value)
	})
}

// numbers returns the numbers of what waits in q, in its order.
func numbers(t *testing.T, q queue) []int64 {
	t.Helper()
	var ns []int64
	for _, b := range q.next(math.MaxInt, anyHost) {
		ns = append(ns, number(t, b))
	}
	return ns
}

// is compares two values that are no lists.
func is[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func upTo(n int64) []int64 {
	var ns []int64
	for i := range n {
		ns = append(ns, i)
	}
	return ns
}

// openTestSpool opens a spool until the test ends; its log is in the buffer.
func openTestSpool(t *testing.T, dir string, o spoolOptions) (*spool, *logBuffer) {
	t.Helper()
	var log logBuffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	if o.Now == nil {
		o.Now = spoolClock(0)
	}
	s, err := openSpool(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(context.Background()) }) // a test that closes it has looked at the error
	return s, &log
}

func closeSpool(t *testing.T, s *spool) {
	t.Helper()
	if err := s.close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// reopened closes s and opens its folder again.
func reopened(t *testing.T, s *spool) (*spool, *logBuffer) {
	t.Helper()
	closeSpool(t, s)
	o := s.o
	o.create = nil
	return openTestSpool(t, s.dir, o)
}

// brokenFolder returns the path of a folder that cannot be made, not even by root.
func brokenFolder(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(file, "queue")
}

// Every queue keeps the contract, and a spool does with a disk and without.
func TestQueueContract(t *testing.T) {
	const most = 2000 // readings, where a queue is bounded by them; the spools' bounds hold a little less
	for name, open := range map[string]func(t *testing.T, now func() time.Time) queue{
		"in memory": func(_ *testing.T, now func() time.Time) queue { return newMemoryQueue(most, now) },
		"on disk": func(t *testing.T, now func() time.Time) queue {
			s, _ := openTestSpool(t, t.TempDir(), spoolOptions{MaxBytes: 32 << 10, Now: now})
			return s
		},
		"without its disk": func(t *testing.T, now func() time.Time) queue {
			s, _ := openTestSpool(t, brokenFolder(t), spoolOptions{MaxMemory: 32 << 10, Now: now})
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("what is added comes back, the oldest first", func(t *testing.T) { testQueueOrder(t, open(t, spoolClock(10))) })
			t.Run("what was taken stays until it is done", func(t *testing.T) { testQueueDone(t, open(t, spoolClock(10))) })
			t.Run("hosts that are not ready are left out", func(t *testing.T) { testQueueReady(t, open(t, spoolClock(10))) })
			t.Run("a full queue gives up the oldest", func(t *testing.T) { testQueueFull(t, open(t, spoolClock(1000))) })
			t.Run("what is too old is given up", func(t *testing.T) {
				now := time.Unix(spoolStart, 0)
				testQueueAge(t, open(t, func() time.Time { return now }), func(d time.Duration) { now = now.Add(d) })
			})
			t.Run("an add wakes the sender", func(t *testing.T) { testQueueWakes(t, open(t, spoolClock(10))) })
			t.Run("several goroutines use it", func(t *testing.T) { testQueueShared(t, open(t, spoolClock(1000))) })
			t.Run("the caller's memory stays the caller's", func(t *testing.T) { testQueueCopies(t, open(t, spoolClock(10))) })
		})
	}
}

func testQueueOrder(t *testing.T, q queue) {
	q.add(batch{Minute: spoolStart})
	equal(t, "an empty batch", numbers(t, q), nil)
	late := numbered(1)
	late.Readings = late.Readings[:1]
	for _, n := range []int64{3, 1, 2, 900} {
		q.add(numbered(n))
	}
	q.add(late)
	is(t, "waiting", q.waiting(), 4*7+1)
	got := q.next(math.MaxInt, anyHost)
	var minutes []int64
	for _, b := range got {
		minutes = append(minutes, (b.Minute-spoolStart)/60)
	}
	equal(t, "minutes", minutes, []int64{1, 1, 2, 3, 900})
	if len(got[0].Readings) != 7 || len(got[1].Readings) != 1 {
		t.Error("the later of two batches of a minute comes first")
	}
	for _, tt := range []struct{ most, want int }{{1, 1}, {7, 1}, {8, 2}, {14, 2}, {15, 3}} {
		if got := q.next(tt.most, anyHost); len(got) != tt.want {
			t.Errorf("next(%d) returns %d batches, want %d", tt.most, len(got), tt.want)
		}
	}
	if got := q.newest(anyHost); len(got) != 1 || number(t, got[0]) != 900 {
		t.Errorf("newest = %+v, want number 900", got)
	}
}

func testQueueDone(t *testing.T, q queue) {
	for n := range int64(6) {
		q.add(numbered(n))
	}
	first := q.next(14, anyHost)
	equal(t, "next", numbers(t, q), upTo(6))
	q.done(first)
	equal(t, "after done", numbers(t, q), []int64{2, 3, 4, 5})
	q.done(first)
	q.done(nil)
	equal(t, "after done twice", numbers(t, q), []int64{2, 3, 4, 5})
	q.done(q.newest(anyHost))
	equal(t, "after the newest is done", numbers(t, q), []int64{2, 3, 4})
	is(t, "waiting", q.waiting(), 3*7)
	q.done(q.next(math.MaxInt, anyHost))
	equal(t, "at the end", numbers(t, q), nil)
	if w, d := q.waiting(), q.dropped(); w != 0 || d != 0 || len(q.newest(anyHost)) != 0 {
		t.Errorf("an empty queue: %d wait, %d were dropped, newest is %v", w, d, q.newest(anyHost))
	}
	q.add(numbered(7))
	equal(t, "and anew", numbers(t, q), []int64{7})
}

func testQueueReady(t *testing.T, q queue) {
	for n := range int64(10) { // 4 and 9 are another host's
		q.add(numbered(n))
	}
	other := func(identifier string) bool { return identifier == "db.example" }
	if got := q.next(math.MaxInt, other); len(got) != 2 || number(t, got[0]) != 4 || number(t, got[1]) != 9 {
		t.Errorf("next = %+v, want 4 and 9", got)
	}
	if got := q.newest(func(identifier string) bool { return identifier == "" }); len(got) != 1 || number(t, got[0]) != 8 {
		t.Errorf("newest = %+v, want 8", got)
	}
	if got := q.next(math.MaxInt, func(string) bool { return false }); len(got) != 0 {
		t.Errorf("next = %+v while no host is ready", got)
	}
}

func testQueueFull(t *testing.T, q queue) {
	const n = 1000
	given := 0
	for i := range int64(n) {
		q.add(numbered(i))
		given += 7
	}
	got := numbers(t, q)
	if len(got) == 0 || len(got) > n/2 {
		t.Fatalf("%d batches of %d are left", len(got), n)
	}
	for i, g := range got {
		if want := int64(n - len(got) + i); g != want {
			t.Fatalf("what is left is not the newest: %d at %d of %d", g, i, len(got))
		}
	}
	if w, d := q.waiting(), q.dropped(); w != 7*len(got) || w+d != given {
		t.Errorf("%d wait, %d were dropped, %d were added", w, d, given)
	}
	if d := q.dropped(); d != 0 {
		t.Errorf("dropped a second time = %d", d)
	}
	huge := batch{Minute: spoolStart + 60*n}
	for i := range 30_000 {
		huge.Readings = append(huge.Readings, reading{"m" + strconv.Itoa(i), saba.Sample{Time: huge.Minute, Value: 1.0 / float64(i)}})
	}
	q.add(huge)
	if got := q.newest(anyHost); len(got) != 1 || got[0].Minute != huge.Minute {
		t.Error("the newest batch was given up")
	}
}

func testQueueAge(t *testing.T, q queue, pass func(time.Duration)) {
	for n := range int64(4) {
		q.add(numbered(n))
	}
	pass(24 * time.Hour)
	equal(t, "after a day", numbers(t, q), upTo(4))
	pass(61 * time.Second)
	equal(t, "after a day and a minute", numbers(t, q), []int64{2, 3})
	is(t, "dropped", q.dropped(), 2*7)
	pass(time.Hour)
	if got := q.newest(anyHost); len(got) != 0 || q.waiting() != 0 || q.dropped() != 2*7 {
		t.Errorf("newest = %v after everything became too old", got)
	}
}

func testQueueWakes(t *testing.T, q queue) {
	woken := func() bool {
		select {
		case <-q.added():
			return true
		default:
			return false
		}
	}
	if woken() {
		t.Error("an empty queue wakes the sender")
	}
	q.add(numbered(1))
	q.add(numbered(2))
	if !woken() || woken() {
		t.Error("two adds wake the sender not at all, or twice")
	}
}

// What is added while the sender takes and acknowledges comes to the sender, once.
func testQueueShared(t *testing.T, q queue) {
	const writers, each = 4, 25
	var adding sync.WaitGroup
	for w := range int64(writers) {
		adding.Go(func() {
			for i := range int64(each) {
				q.add(numbered(w*each + i))
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		adding.Wait()
		close(finished)
	}()
	var got []int64
	for len(got) < writers*each {
		batches := q.next(20, anyHost)
		if len(batches) == 0 {
			select {
			case <-q.added():
			case <-finished:
			}
		}
		for _, b := range batches {
			got = append(got, number(t, b))
		}
		q.done(batches)
	}
	slices.Sort(got)
	equal(t, "batches", got, upTo(writers*each))
	<-finished
	is(t, "waiting", q.waiting(), 0)
}

func testQueueCopies(t *testing.T, q queue) {
	b := numbered(1)
	q.add(b)
	b.Readings[0].Name = "other"
	b.Readings[1].Value = 99
	equal(t, "numbers", numbers(t, q), []int64{1})
}

func TestSpoolKeepsWhatWaits(t *testing.T) {
	s, _ := openTestSpool(t, filepath.Join(t.TempDir(), "a", "queue"), spoolOptions{})
	for n := range int64(6) {
		s.add(numbered(n))
	}
	s.done(s.next(14, anyHost))
	s.done(s.newest(anyHost))
	s, log := reopened(t, s)
	is(t, "waiting", s.waiting(), 3*7)
	equal(t, "numbers", numbers(t, s), []int64{2, 3, 4})
	if oldest, ok := s.age(); !ok || oldest != spoolStart+120 {
		t.Errorf("age = %d, %v, want minute 2", oldest, ok)
	}
	if !strings.Contains(log.String(), "values=21") || strings.Contains(log.String(), "WARN") {
		t.Errorf("log = %s, want the number of values and no warning", log)
	}
	select {
	case <-s.added():
	default:
		t.Error("what waits from before does not wake the sender")
	}
	s.add(numbered(6))
	s.done(s.next(7, anyHost))
	s, _ = reopened(t, s)
	equal(t, "numbers", numbers(t, s), []int64{3, 4, 6})
	s.done(s.next(math.MaxInt, anyHost))
	if _, ok := s.age(); ok {
		t.Error("an empty queue has an age")
	}
	s, log = reopened(t, s)
	equal(t, "numbers", numbers(t, s), nil)
	is(t, "log", log.String(), "")
	is(t, "files", strings.Join(fileNames(t, s.dir), " "), "lock")
}

func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// segmentFiles returns the paths of the segments in dir, in order.
func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+spoolSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Batches of a host that the server does not know yet must not keep those of other hosts from
// being forgotten, nor bring them back after a restart.
func TestSpoolForgetsSegmentsOutOfOrder(t *testing.T) {
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{MaxBytes: 64 << 10, Now: spoolClock(300)})
	own := func(identifier string) bool { return identifier == "" }
	var want []int64
	for n := range int64(300) {
		s.add(numbered(n))
		if n%5 == 4 && n < 30 {
			want = append(want, n)
		} else if n%5 == 4 {
			s.done(s.newest(anyHost))
		}
		s.done(s.next(math.MaxInt, own))
	}
	s, _ = reopened(t, s)
	equal(t, "numbers", numbers(t, s), want)
	if files := segmentFiles(t, s.dir); len(files) > 6 {
		t.Errorf("%d files hold %d batches", len(files), len(want))
	}
	// Their segments repeat what is done, through several restarts.
	for range 3 {
		s.add(numbered(299))
		s.done(s.newest(anyHost))
		s, _ = reopened(t, s)
	}
	equal(t, "numbers", numbers(t, s), want)
	s.done(s.next(math.MaxInt, anyHost))
	s, _ = reopened(t, s)
	s, _ = reopened(t, s)
	is(t, "files", strings.Join(fileNames(t, s.dir), " "), "lock")
}

func TestSpoolBoundsItsFiles(t *testing.T) {
	const most = 64 << 10
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{MaxBytes: most, Now: spoolClock(1440)})
	onDisk := func() int64 {
		var sum int64
		for _, path := range segmentFiles(t, s.dir) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			sum += info.Size()
		}
		return sum
	}
	for n := range int64(1440) {
		s.add(numbered(n))
		if got := s.bytes(); got > most {
			t.Fatalf("bytes = %d after %d batches, want %d at most", got, n, most)
		}
	}
	s, _ = reopened(t, s)
	kept := numbers(t, s)
	if got, want := s.bytes(), onDisk(); got != want || got < most*3/4 {
		t.Errorf("bytes = %d, the files have %d, want more than %d", got, want, most*3/4)
	}
	if kept[len(kept)-1] != 1439 || len(kept) != int(1440-kept[0]) {
		t.Errorf("%d batches from %d to %d are kept, want the newest", len(kept), kept[0], kept[len(kept)-1])
	}
	// A lower bound holds from the start on.
	closeSpool(t, s)
	s, _ = openTestSpool(t, s.dir, spoolOptions{MaxBytes: most / 2, Now: spoolClock(1440)})
	if got := s.bytes(); got > most/2 {
		t.Errorf("bytes = %d under a lower bound of %d", got, most/2)
	}
	again := numbers(t, s)
	if d := s.dropped(); d != 7*(len(kept)-len(again)) || again[len(again)-1] != 1439 {
		t.Errorf("%d were dropped, %d batches of %d are left", d, len(again), len(kept))
	}
}

// A batch that no record can hold is kept in several; a name that no server takes costs only itself.
func TestSpoolSplitsWhatIsTooLarge(t *testing.T) {
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{})
	b := batch{Minute: spoolStart}
	random := rand.New(rand.NewPCG(1, 2))
	for range 40_000 {
		b.Readings = append(b.Readings, reading{fmt.Sprintf("%x", random.Uint64()), saba.Sample{Time: b.Minute, Value: random.Float64()}})
	}
	b.Readings[7].Name = strings.Repeat("x", saba.MaxMetricName+1)
	s.add(b)
	is(t, "the caller's readings", len(b.Readings), 40_000)
	s.add(batch{Minute: spoolStart, Identifier: strings.Repeat("i", maxPayload), Readings: b.Readings[:1]})
	is(t, "dropped", s.dropped(), 2)
	s, _ = reopened(t, s)
	parts := s.next(math.MaxInt, anyHost)
	if len(parts) < 2 {
		t.Fatalf("%d batches, want several", len(parts))
	}
	whole := batch{Minute: spoolStart}
	for _, p := range parts {
		whole.Readings = append(whole.Readings, p.Readings...)
	}
	if b.Readings = slices.Delete(b.Readings, 7, 8); !sameBatch(whole, b) {
		t.Error("the parts do not make up the whole")
	}
}

func TestSpoolHasOneOwner(t *testing.T) {
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{})
	_, err := openSpool(s.dir, spoolOptions{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, saba.ErrConflict) || !strings.Contains(err.Error(), s.dir) {
		t.Errorf("error = %v, want a conflict that names %s", err, s.dir)
	}
	reopened(t, s)
}

func TestSpoolLeavesAloneWhatItDoesNotKnow(t *testing.T) {
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{})
	s.add(numbered(1))
	closeSpool(t, s)
	newer := appendSegmentHeader(nil, spoolKind, spoolVersion+1)
	newer = append(newer, "what a later version writes"...)
	zeros := make([]byte, 5000)
	junk := map[string][]byte{
		"notes.txt": []byte("x"), "1.seg": newer, "0000000000.seg": newer, "9999999999.seg": newer, "000000000x.seg": newer, ".seg": nil,
	}
	ours := map[string][]byte{segmentName(3): newer, segmentName(4): zeros, segmentName(5): nil, segmentName(6): []byte("a letter to somebody")}
	for _, files := range []map[string][]byte{junk, ours} {
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(s.dir, segmentName(7)), 0o700); err != nil {
		t.Fatal(err)
	}
	s, log := openTestSpool(t, s.dir, spoolOptions{})
	equal(t, "numbers", numbers(t, s), []int64{1})
	s.add(numbered(2))
	closeSpool(t, s)
	for name, content := range junk {
		if got, err := os.ReadFile(filepath.Join(s.dir, name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s = %q, %v", name, got, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(s.dir, segmentName(3))); err != nil || !bytes.Equal(got, newer) {
		t.Errorf("the newer version's file = %q, %v", got, err)
	}
	for _, word := range []string{"newer version of saba", segmentName(3), "unreadable and was renamed"} {
		if !strings.Contains(log.String(), word) {
			t.Errorf("log = %s\nwant %q", log, word)
		}
	}
	if got, err := os.ReadFile(filepath.Join(s.dir, spoolAside)); err != nil || string(got) != "a letter to somebody" {
		t.Errorf("the file set aside = %q, %v", got, err)
	}
	s, _ = openTestSpool(t, s.dir, spoolOptions{})
	equal(t, "numbers", numbers(t, s), []int64{1, 2})
}

// Segments that were written once are read for ever: this one is never made anew.
func TestSpoolReadsTheFirstVersion(t *testing.T) {
	old, err := os.ReadFile(filepath.Join("testdata", "spool", "version1.seg"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), old, 0o600); err != nil {
		t.Fatal(err)
	}
	s, log := openTestSpool(t, dir, spoolOptions{})
	equal(t, "numbers", numbers(t, s), []int64{2, 3, 5})
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("log = %s", log)
	}
}

// writtenSegment returns the bytes of a segment with batches and what is known to be done, and where its
// records are: the number of each batch, or -1 and what is done.
func writtenSegment(t *testing.T) (data []byte, records []writtenRecord) {
	t.Helper()
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{Now: spoolClock(10)})
	for n := range int64(10) {
		s.add(numbered(n))
		if n == 3 {
			s.done(s.next(14, anyHost)) // 0 and 1
		}
	}
	s.done(s.newest(anyHost)) // 9
	s.add(numbered(10))
	files := segmentFiles(t, s.dir)
	closeSpool(t, s)
	data, err := os.ReadFile(files[0])
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	batches := map[uint64]int64{}
	if skipped := scanRecords(data, spoolKind, func(off int, payload []byte) {
		r := writtenRecord{off: off, end: off + recordHeaderSize + len(payload), batch: -1}
		if b, err := parseBatch(payload, map[string]string{}); err == nil {
			r.batch = number(t, b)
			batches[b.seq] = r.batch
		} else {
			spans, err := parseDone(payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, sp := range spans {
				for seq := sp.first; seq <= sp.last; seq++ {
					r.done = append(r.done, batches[seq])
				}
			}
		}
		records = append(records, r)
	}); skipped != 0 {
		t.Fatalf("%d bytes of a new segment belong to no record", skipped)
	}
	return data, records
}

type writtenRecord struct {
	off, end int
	batch    int64
	done     []int64
}

// left returns what waits when the records for which keep holds are all that there is.
func left(records []writtenRecord, keep func(writtenRecord) bool) []int64 {
	var ns []int64
	for _, r := range records {
		if !keep(r) {
			continue
		}
		if r.batch >= 0 {
			ns = append(ns, r.batch)
		}
		ns = slices.DeleteFunc(ns, func(n int64) bool { return slices.Contains(r.done, n) })
	}
	return ns
}

// Whatever a power loss cuts off or overwrites, the rest is read, and nothing else.
func TestSpoolSurvivesDamageAnywhere(t *testing.T) {
	data, records := writtenSegment(t)
	dir := t.TempDir()
	checks := 0
	check := func(what string, data []byte, keep func(writtenRecord) bool) {
		t.Helper()
		path := filepath.Join(dir, segmentName(1))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, log := openTestSpool(t, dir, spoolOptions{Now: spoolClock(10)})
		want := left(records, keep)
		if got := numbers(t, s); !slices.Equal(got, want) {
			t.Fatalf("%s: %v wait, want %v", what, got, want)
		}
		if got := s.waiting(); got != 7*len(want) {
			t.Fatalf("%s: waiting = %d, want %d", what, got, 7*len(want))
		}
		if n := strings.Count(log.String(), "WARN"); n > 1 {
			t.Fatalf("%s: log = %s, want one line at most", what, log)
		}
		if checks++; checks%10 == 0 {
			s.add(numbered(11))
			s, _ = reopened(t, s)
			if got := numbers(t, s); !slices.Equal(got, append(want, 11)) {
				t.Fatalf("%s: %v wait after an add and a restart, want %v and 11", what, got, want)
			}
		}
		closeSpool(t, s)
		for _, path := range append(segmentFiles(t, dir), filepath.Join(dir, spoolAside)) {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	for n := range len(data) + 1 {
		check(fmt.Sprintf("the first %d bytes", n), data[:n], func(r writtenRecord) bool { return r.end <= n })
		zeros := append(slices.Clone(data[:n]), make([]byte, len(data)-n)...)
		whole := func(r writtenRecord) bool { return r.end <= n || bytes.Equal(zeros[r.off:r.end], data[r.off:r.end]) }
		check(fmt.Sprintf("zeros from %d on", n), zeros, whole)
	}
	for at := range data {
		damaged := slices.Clone(data)
		damaged[at] ^= 1 << (at % 8)
		check(fmt.Sprintf("a bit of byte %d of %d flipped", at, len(data)), damaged, func(r writtenRecord) bool { return at < r.off || at >= r.end })
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		from := random.IntN(len(data))
		to := min(from+1+random.IntN(500), len(data))
		damaged := slices.Clone(data)
		for i := from; i < to; i++ {
			damaged[i] = byte(random.Uint32())
		}
		check(fmt.Sprintf("rubbish from %d to %d", from, to), damaged, func(r writtenRecord) bool {
			return r.end <= from || r.off >= to || bytes.Equal(damaged[r.off:r.end], data[r.off:r.end])
		})
		without := slices.Delete(slices.Clone(data), from, to)
		check(fmt.Sprintf("%d to %d missing", from, to), without, func(r writtenRecord) bool { return bytes.Contains(without, data[r.off:r.end]) })
	}
}

// What goes bad on disk after the spool was opened costs only itself.
func TestSpoolPassesOverWhatCannotBeReadBack(t *testing.T) {
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{Now: spoolClock(20)})
	for n := range int64(10) {
		s.add(numbered(n))
	}
	s, log := reopened(t, s) // so that nothing is in memory
	path := segmentFiles(t, s.dir)[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for _, n := range []int{0, 1, 6} {
		data[s.index[n].off+20] ^= 0xff
	}
	s.mu.Unlock()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	is(t, "the first", number(t, s.next(1, anyHost)[0]), 2)
	equal(t, "numbers", numbers(t, s), []int64{2, 3, 4, 5, 7, 8, 9})
	if d, w := s.dropped(), s.waiting(); d != 3*7 || w != 7*7 {
		t.Errorf("%d were dropped and %d wait, want 21 and 49", d, w)
	}
	if n := strings.Count(log.String(), "cannot be read back"); n != 1 {
		t.Errorf("log = %s, want one line", log)
	}
}

// A file that cannot be read now is not the end of what it holds.
func TestSpoolKeepsWhatTheDiskDoesNotGive(t *testing.T) {
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{MaxBytes: 32 << 10, Now: spoolClock(40)})
	for n := range int64(20) {
		s.add(numbered(n))
	}
	s, log := reopened(t, s)
	s.done(s.next(7, anyHost)) // 0
	path := segmentFiles(t, s.dir)[0]
	if err := os.Rename(path, path+"x"); err != nil {
		t.Fatal(err)
	}
	s.reading.Lock()
	s.closeReader()
	s.reading.Unlock()
	rest := numbers(t, s)
	is(t, "dropped", s.dropped(), 7*(19-len(rest)))
	if len(rest) == 0 || len(rest) > 15 || !strings.Contains(log.String(), path) {
		t.Fatalf("%v are left without the first of the files %v; log: %s", rest, segmentFiles(t, s.dir), log)
	}
	for n := range int64(20) { // a few segments, which repeat what is done
		s.add(numbered(20 + n))
	}
	s.done(s.next(14, anyHost))
	if err := os.Rename(path+"x", path); err != nil {
		t.Fatal(err)
	}
	s, _ = reopened(t, s)
	want := upTo(40)[1:]
	want = slices.DeleteFunc(want, func(n int64) bool { return n == rest[0] || n == rest[1] })
	equal(t, "numbers", numbers(t, s), want)
}

// A kill may come between two writes, or before a file is deleted: what is known to be done stays so, and
// what was written twice is there once.
func TestSpoolReadsWhatAKillLeft(t *testing.T) {
	record := func(payload []byte) []byte {
		r := append(beginRecord(nil), payload...)
		sealRecord(r)
		return r
	}
	batches := func(ns ...int64) (records []byte) {
		for _, n := range ns {
			b := numbered(n)
			b.seq = 1<<32 + uint64(n)
			records = append(records, record(appendBatch(nil, b))...)
		}
		return records
	}
	header := appendSegmentHeader(nil, spoolKind, spoolVersion)
	dir := t.TempDir()
	for number, content := range map[uint64][]byte{
		1: slices.Concat(header, batches(0, 1, 2, 3)),
		2: slices.Concat(header, batches(3, 5), record(appendDone(nil, []span{{0, 1<<32 + 2}, {1<<32 + 5, 1<<32 + 5}}))),
	} {
		if err := os.WriteFile(filepath.Join(dir, segmentName(number)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, log := openTestSpool(t, dir, spoolOptions{Now: spoolClock(10)})
	for range 3 {
		equal(t, "numbers", numbers(t, s), []int64{3})
		is(t, "waiting", s.waiting(), 7)
		if strings.Contains(log.String(), "WARN") {
			t.Errorf("log = %s", log)
		}
		s, log = reopened(t, s)
	}
	s.done(s.next(1, anyHost))
	s, _ = reopened(t, s)
	is(t, "files", strings.Join(fileNames(t, s.dir), " "), "lock")
}

// A usual minute, with a few batches, is posted without reading the disk.
func TestSpoolReadsNothingBackInAUsualMinute(t *testing.T) {
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{Now: spoolClock(10)})
	for n := range int64(9) {
		s.add(numbered(n))
	}
	equal(t, "numbers", numbers(t, s), upTo(9))
	if s.readFile != nil {
		t.Errorf("%s was read", s.readFile.Name())
	}
}

// A testDisk makes files that fail as it says.
type testDisk struct {
	mu    sync.Mutex
	room  int   // bytes until it is full
	sync  error // of every sync
	syncs int
	hang  chan struct{} // syncs wait until it is closed; nil does not wait
	// synced holds of each file the bytes that a power loss would leave.
	synced map[string]int64
}

func (d *testDisk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *testDisk) create(path string) (segmentFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &testFile{f, d}, nil
}

type testFile struct {
	*os.File
	disk *testDisk
}

func (f *testFile) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	room := min(f.disk.room, len(b))
	f.disk.room -= room
	f.disk.mu.Unlock()
	n, err := f.File.Write(b[:room])
	if err == nil && room < len(b) {
		err = &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return n, err
}

func (f *testFile) Sync() error {
	f.disk.mu.Lock()
	hang, err := f.disk.hang, f.disk.sync
	f.disk.syncs++
	f.disk.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	f.disk.set(func() {
		if f.disk.synced == nil {
			f.disk.synced = map[string]int64{}
		}
		f.disk.synced[f.Name()] = info.Size()
	})
	return f.File.Sync()
}

// afterPowerLoss returns the numbers in what a power loss now would leave of d.
func (d *testDisk) afterPowerLoss(t *testing.T) []int64 {
	t.Helper()
	dir := t.TempDir()
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, size := range d.synced {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // nothing in it waited
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), data[:size], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := openTestSpool(t, dir, spoolOptions{Now: spoolClock(100)})
	defer closeSpool(t, after)
	return numbers(t, after)
}

// A power loss at any time costs one batch at the most, the newest. That one is done is worth no sync, so that it may come back.
func TestSpoolSurvivesPowerLosses(t *testing.T) {
	for name, takes := range map[string]func(n int64) int{ // batches that the server takes after batch n
		"a server that takes all":     func(int64) int { return math.MaxInt32 },
		"one that takes nothing":      func(int64) int { return 0 },
		"one that takes two of three": func(n int64) int { return min(int(n%3), 1) },
		"one that comes and goes":     func(n int64) int { return []int{0, 0, 1, math.MaxInt32, math.MaxInt32, 0, 1, 1}[n%8] },
	} {
		t.Run(name, func(t *testing.T) {
			d := &testDisk{room: math.MaxInt}
			s, _ := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create, MaxBytes: 32 << 10, Now: spoolClock(100)})
			var want []int64
			for n := range int64(40) {
				s.add(numbered(n))
				want = append(want, n)
				left := d.afterPowerLoss(t)
				for i, w := range want {
					if !slices.Contains(left, w) && (i < len(want)-1 || i > 0) {
						t.Fatalf("a power loss after batch %d leaves %v, want %v, of which the newest may be missing when it is alone", n, left, want)
					}
				}
				if took := min(takes(n), len(want)); took > 0 {
					s.done(s.next(7*took, anyHost))
					s.work.Wait()
					want = want[took:]
				}
			}
		})
	}
}

// A batch that the server takes in time costs no sync, and one that it does not take has one: when it has waited, when the
// next one comes, or at the end.
func TestSpoolSyncsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &testDisk{room: math.MaxInt}
		s, _ := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create, Now: spoolClock(100)})
		count := 0
		syncs := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			d.mu.Lock()
			defer d.mu.Unlock()
			is(t, "syncs "+when, d.syncs-count, want)
			count = d.syncs
		}
		take := func() { s.done(s.next(math.MaxInt, anyHost)) }
		s.add(numbered(0))
		take()
		syncs("of a new segment", 1)
		for n := range int64(10) {
			s.add(numbered(1 + n))
			time.Sleep(looseFor - time.Second)
			take()
			time.Sleep(time.Minute)
		}
		syncs("of ten minutes that are taken", 0)
		s.add(numbered(20))
		time.Sleep(looseFor + time.Second)
		syncs("of one that is not", 1)
		equal(t, "numbers after a power loss", d.afterPowerLoss(t), []int64{20})
		time.Sleep(time.Hour)
		syncs("of an hour without a new one", 0)
		s.add(numbered(21))
		syncs("of one behind it", 1)
		take()
		s.add(numbered(22))
		syncs("of one that is alone again", 0)
		s.add(numbered(23))
		syncs("of one behind it", 1)
		take()
		s.add(numbered(24))
		closeSpool(t, s)
		if left := d.afterPowerLoss(t); !slices.Contains(left, 24) {
			t.Errorf("a power loss after the end leaves %v, want 24 too", left)
		}
	})
}

// What could not be synced later is written again.
func TestSpoolWritesAgainWhatWasNotSynced(t *testing.T) {
	for name, fails := range map[string]func(s *spool, d *testDisk){
		"when it has waited": func(*spool, *testDisk) { time.Sleep(looseFor + time.Second) },
		"with the next one":  func(s *spool, _ *testDisk) { s.add(numbered(2)) },
		"as the next one has no room": func(s *spool, d *testDisk) {
			d.set(func() { d.room = 10 })
			s.add(numbered(2))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &testDisk{room: math.MaxInt}
				s, log := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create, Now: spoolClock(100)})
				s.add(numbered(0))
				s.done(s.next(7, anyHost))
				s.add(numbered(1))
				equal(t, "numbers", numbers(t, s), []int64{1})
				is(t, "values in memory alone", s.inMemory(), 0)
				d.set(func() { d.sync = syscall.EIO })
				fails(s, d)
				synctest.Wait()
				if s.inMemory() < 7 || strings.Count(log.String(), "level=WARN") != 1 {
					t.Errorf("%d values in memory alone, log = %s, want the batch there, and a warning", s.inMemory(), log)
				}
				d.set(func() { d.sync, d.room = nil, math.MaxInt })
				s.add(numbered(3))
				is(t, "values in memory alone", s.inMemory(), 0)
				want := numbers(t, s)
				if want[0] != 1 || want[len(want)-1] != 3 {
					t.Errorf("numbers = %v, want 1 and 3", want)
				}
				equal(t, "numbers after a power loss", d.afterPowerLoss(t), want)
				size := s.bytes()
				s, log = reopened(t, s)
				equal(t, "numbers", numbers(t, s), want)
				is(t, "bytes", s.bytes(), size)
				if strings.Contains(log.String(), "WARN") {
					t.Errorf("log = %s, want no damage", log)
				}
				closeSpool(t, s)
			})
		})
	}
}

// A full disk costs nothing while the agent lives, and one line in the log.
func TestSpoolOutlivesAFullDisk(t *testing.T) {
	for name, tt := range map[string]struct{ breaks, mends func(*testDisk) }{
		"full":                    {func(d *testDisk) { d.room = 50 }, func(d *testDisk) { d.room = math.MaxInt }},
		"full to the last byte":   {func(d *testDisk) { d.room = 0 }, func(d *testDisk) { d.room = math.MaxInt }},
		"a sync fails":            {func(d *testDisk) { d.sync = syscall.EIO }, func(d *testDisk) { d.sync = nil }},
		"as good as full for now": {func(d *testDisk) { d.room = 600 }, func(d *testDisk) { d.room = math.MaxInt }},
	} {
		t.Run(name, func(t *testing.T) {
			d := &testDisk{room: math.MaxInt}
			s, log := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create, MaxBytes: 64 << 10, Now: spoolClock(100)})
			for n := range int64(20) {
				s.add(numbered(n))
			}
			d.set(func() { tt.breaks(d) })
			for n := range int64(20) {
				s.add(numbered(20 + n))
			}
			equal(t, "numbers", numbers(t, s), upTo(40))
			s.done(s.next(7*3, anyHost))
			equal(t, "numbers", numbers(t, s), upTo(40)[3:])
			if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), s.dir) {
				t.Errorf("log = %s, want one warning with the folder", log)
			}
			d.set(func() { tt.mends(d) })
			s.add(numbered(40))
			equal(t, "numbers", numbers(t, s), upTo(41)[3:])
			is(t, "values in memory alone", s.inMemory(), 0)
			if n := strings.Count(log.String(), "on disk again"); n != 1 {
				t.Errorf("log = %s, want one line that it works again", log)
			}
			s, log = reopened(t, s)
			equal(t, "numbers", numbers(t, s), upTo(41)[3:])
			if strings.Contains(log.String(), "WARN") {
				t.Errorf("log = %s, want no damage", log)
			}
			s, _ = reopened(t, s)
			is(t, "waiting", s.waiting(), 38*7)
		})
	}
}

func TestSpoolOnAFullDiskAtTheEnd(t *testing.T) {
	d := &testDisk{}
	s, _ := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create})
	s.add(numbered(1))
	if err := s.close(t.Context()); err == nil || !strings.Contains(err.Error(), s.dir) || !strings.Contains(err.Error(), "7 values are lost") {
		t.Errorf("close = %v, want what is lost", err)
	}
	is(t, "files", strings.Join(fileNames(t, s.dir), " "), "lock")
}

// A folder that cannot be used is used as soon as it can be, and what waits there is found then.
func TestSpoolOutlivesAFolderThatCannotBeUsed(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "queue")
	before, _ := openTestSpool(t, dir, spoolOptions{})
	before.add(numbered(1))
	before.add(numbered(2))
	before.done(before.next(1, anyHost))
	closeSpool(t, before)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // not even root makes a folder here
		t.Fatal(err)
	}

	s, log := openTestSpool(t, dir, spoolOptions{Now: spoolClock(10)})
	s.add(numbered(4))
	s.add(numbered(3))
	taken := s.next(7, anyHost)
	equal(t, "numbers", numbers(t, s), []int64{3, 4})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	s.add(numbered(5))
	equal(t, "numbers", numbers(t, s), []int64{2, 3, 4, 5})
	s.done(taken) // under a number that it has no more: it is sent again
	equal(t, "numbers", numbers(t, s), []int64{2, 3, 4, 5})
	s.done(s.next(14, anyHost))
	for _, line := range []string{"cannot be kept on disk", "on disk again"} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("log = %s, want %q once", log, line)
		}
	}
	s, _ = reopened(t, s)
	equal(t, "numbers", numbers(t, s), []int64{4, 5})
}

// A disk that hangs holds up neither the sources nor the sender.
func TestSpoolOutlivesADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &testDisk{room: math.MaxInt}
		s, log := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create, Now: spoolClock(10)})
		s.add(numbered(0))
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		start := time.Now()
		s.add(numbered(1))
		is(t, "the first add", time.Since(start), diskPatience)
		for n := range int64(5) {
			s.add(numbered(2 + n))
			s.done(s.next(7, anyHost))
		}
		is(t, "further ones", time.Since(start), diskPatience)
		equal(t, "numbers", numbers(t, s), []int64{5, 6})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.set(func() { d.hang = nil })
		close(hang)
		synctest.Wait()
		s.add(numbered(7))
		is(t, "after it answers", time.Since(start), diskPatience)
		is(t, "values in memory alone", s.inMemory(), 0)
		for _, line := range []string{"does not answer", "answers again"} {
			if n := strings.Count(log.String(), line); n != 1 {
				t.Errorf("log = %s, want %q once", log, line)
			}
		}
		if err := s.close(ctx); err != nil {
			t.Fatal(err)
		}
		s, _ = openTestSpool(t, s.dir, spoolOptions{Now: spoolClock(10)})
		equal(t, "numbers", numbers(t, s), []int64{5, 6, 7})
	})
}

func TestSpoolDoesNotWaitForeverAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &testDisk{room: math.MaxInt, hang: make(chan struct{})}
		s, _ := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create})
		s.add(numbered(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.close(ctx); err == nil || !strings.Contains(err.Error(), "does not answer: 7 values") {
			t.Errorf("close = %v, want that the disk does not answer", err)
		}
		close(d.hang)
	})
}

// While a disk hangs, memory is bounded, and a queue that is emptied holds nothing.
func TestSpoolBoundsItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &testDisk{room: math.MaxInt, hang: make(chan struct{})}
		const most = 4096
		s, _ := openTestSpool(t, t.TempDir(), spoolOptions{create: d.create, MaxMemory: most, Now: spoolClock(300)})
		for n := range int64(300) {
			s.add(numbered(n))
			if n%3 == 0 {
				s.done(s.newest(anyHost))
			}
		}
		s.mu.Lock()
		var held int64
		for _, e := range s.unsaved {
			held += int64(e.size)
		}
		if s.unsavedSize > most || held > most+200 { // and the one that is being written
			t.Errorf("%d bytes are held in %d records, %d counted; want %d at most", held, len(s.unsaved), s.unsavedSize, most)
		}
		s.mu.Unlock()
		w, dropped := s.waiting(), s.dropped()
		if w == 0 || w+dropped != 200*7 {
			t.Errorf("%d wait and %d were dropped, want 1400 together", w, dropped)
		}
		s.done(s.next(math.MaxInt, anyHost))
		s.mu.Lock()
		is(t, "records held", len(s.unsaved), 1)
		s.mu.Unlock()
		close(d.hang)
		synctest.Wait()
		s.add(numbered(400))
		equal(t, "numbers", numbers(t, s), []int64{400})
		s, _ = reopened(t, s)
		equal(t, "numbers", numbers(t, s), []int64{400})
	})
}

// spoolKillEnv names the folder that a child of TestSpoolSurvivesKills fills until it is killed.
const spoolKillEnv = "SABA_TEST_SPOOL"

// fillForever adds numbered batches from the number after the last on, and prints each number when add has
// returned. Of three, it takes the oldest and prints its number, too, before and after done.
func fillForever(dir string, first int64) error {
	s, err := openSpool(dir, spoolOptions{MaxBytes: 256 << 10, Now: spoolClock(0), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for n := first; ; n++ {
		s.add(numbered(n))
		fmt.Println("added", n)
		if n%3 > 0 {
			b := s.next(1, anyHost)
			done := (b[0].Minute - spoolStart) / 60
			fmt.Println("begins", done)
			s.done(b)
			fmt.Println("done", done)
		}
	}
}

// Whenever the process is killed, what was acknowledged is there, whole; nothing is there that
// was not written; and next to nothing that was done comes back.
func TestSpoolSurvivesKills(t *testing.T) {
	if dir := os.Getenv(spoolKillEnv); dir != "" {
		first, err := strconv.ParseInt(os.Getenv(spoolKillEnv+"_FIRST"), 10, 64)
		if err == nil {
			err = fillForever(dir, first)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "queue")
	random := rand.New(rand.NewPCG(5, 6))
	want := map[int64]bool{} // waits
	next, last := int64(0), int64(-1)
	for round := range 12 {
		child := exec.Command(exe, "-test.run=^TestSpoolSurvivesKills$")
		child.Env = append(os.Environ(), spoolKillEnv+"="+dir, fmt.Sprintf("%s_FIRST=%d", spoolKillEnv, next))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		maybe := map[int64]bool{} // may wait or not: done had begun, or was not followed by an add
		scan := bufio.NewScanner(out)
		line := func() {
			var what string
			var n int64
			if _, err := fmt.Sscan(scan.Text(), &what, &n); err != nil {
				t.Fatalf("%q: %v", scan.Text(), err)
			}
			switch what {
			case "added":
				want[n], last = true, n
				clear(maybe)
			case "begins":
				maybe[n] = true
				delete(want, n)
			}
		}
		for range 1 + random.IntN(400) {
			if !scan.Scan() {
				t.Fatalf("the child ended by itself: %v", errors.Join(scan.Err(), child.Wait()))
			}
			line()
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for scan.Scan() { // printed between our last look and the kill
			if strings.Count(scan.Text(), " ") == 1 {
				line()
			}
		}
		_ = child.Wait() // it was killed: the error says so

		s, log := openTestSpool(t, dir, spoolOptions{MaxBytes: 256 << 10})
		got := map[int64]bool{}
		for _, n := range numbers(t, s) {
			if got[n] {
				t.Errorf("round %d: batch %d is there twice", round, n)
			}
			got[n] = true
			if !want[n] && !maybe[n] && n != last+1 { // one may have been written and not acknowledged
				t.Errorf("round %d: batch %d is there, and was done or never added", round, n)
			}
		}
		for n := range want {
			if !got[n] {
				t.Errorf("round %d: batch %d was acknowledged and is not there", round, n)
			}
		}
		if strings.Contains(log.String(), "WARN") {
			t.Errorf("round %d: log = %s", round, log)
		}
		want = got
		next = last + 2
		closeSpool(t, s)
	}
}

// usualBatch returns what a host with a few disks, interfaces and a plugin brings in a minute: 130 readings.
func usualBatch(minute int64, random *rand.Rand) batch {
	b := batch{Minute: minute}
	add := func(value float64, name string, args ...any) {
		b.Readings = append(b.Readings, reading{fmt.Sprintf(name, args...), saba.Sample{Time: minute, Value: value}})
	}
	for _, n := range []int{1, 5, 15} {
		add(float64(random.IntN(400))/100, "loadavg%d", n)
	}
	for _, name := range strings.Fields("user nice system idle iowait irq softirq steal guest") {
		add(random.Float64()*100, "cpu.%s.percentage", name)
	}
	for _, name := range strings.Fields("total free buffers cached active inactive swap_cached swap_total swap_free used mem_available") {
		add(float64(4096*random.IntN(4_000_000)), "memory.%s", name)
	}
	for i := range 3 {
		for _, name := range strings.Fields("rxBytes txBytes") {
			add(random.Float64()*1e6, "interface.eth%d.%s.delta", i, name)
		}
	}
	for i := range 4 {
		for _, name := range strings.Fields("reads writes") {
			add(float64(random.IntN(100_000))/60, "disk.sd%c.%s.delta", 'a'+i, name)
		}
	}
	for i := range 4 {
		for _, name := range strings.Fields("size used") {
			add(float64(4096*random.IntN(400_000_000)), "filesystem.sd%c1.%s", 'a'+i, name)
		}
	}
	for _, group := range strings.Fields("cmd rows connections innodb_rows slow sort tables") {
		for i := 0; len(b.Readings) < 130 && i < 13; i++ {
			add(float64(random.IntN(500))/60, "custom.mysql.%s.Counter_%c%d", group, 'a'+i, i)
		}
	}
	return b
}

func BenchmarkSpool(b *testing.B) {
	random := rand.New(rand.NewPCG(7, 8))
	quiet := slog.New(slog.DiscardHandler)
	usual := usualBatch(spoolStart, random)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		var p []byte
		for b.Loop() {
			p = appendBatch(p[:0], usual)
		}
		b.ReportMetric(float64(len(p)), "bytes/batch")
		b.ReportMetric(float64(len(usual.Readings)), "readings/batch")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		p := appendBatch(nil, usual)
		for b.Loop() {
			if _, err := parseBatch(p, map[string]string{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, create := range map[string]func(string) (segmentFile, error){
		"a minute":              nil,
		"a minute without sync": (&unsyncedDisk{}).create,
	} {
		b.Run(name, func(b *testing.B) {
			s, err := openSpool(b.TempDir(), spoolOptions{Now: spoolClock(0), Log: quiet, create: create})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.add(usual)
				s.done(s.next(maxPointsPerPost, anyHost))
			}
			b.StopTimer()
			if err := s.close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.Run("open 64 MiB", func(b *testing.B) {
		dir := b.TempDir()
		s, err := openSpool(dir, spoolOptions{Now: spoolClock(0), Log: quiet, create: (&unsyncedDisk{}).create})
		if err != nil {
			b.Fatal(err)
		}
		for s.dropped() == 0 {
			s.add(usual)
		}
		if err := s.close(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if s, err = openSpool(dir, spoolOptions{Now: spoolClock(0), Log: quiet}); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(len(s.index)), "batches")
			if err := s.close(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	// A day without a server, for many metrics: what stays in memory, and what is kept.
	for _, metrics := range []int{130, 10_000} {
		b.Run(fmt.Sprintf("a day offline with %d metrics", metrics), func(b *testing.B) {
			big := batch{}
			for i := range metrics {
				big.Readings = append(big.Readings, reading{fmt.Sprintf("custom.application%d.queue_%d.length", i/100, i%100), saba.Sample{}})
			}
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				s, err := openSpool(b.TempDir(), spoolOptions{Now: spoolClock(1440), Log: quiet, create: (&unsyncedDisk{}).create})
				if err != nil {
					b.Fatal(err)
				}
				for m := range int64(1440) {
					big.Minute = spoolStart + 60*m
					for i := range big.Readings {
						big.Readings[i].Sample = saba.Sample{Time: big.Minute, Value: float64(random.IntN(100_000)) / 60}
					}
					s.add(big)
					s.newest(anyHost)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1024, "KiB-heap")
				b.ReportMetric(float64(s.bytes())/(1<<20), "MiB-disk")
				b.ReportMetric(float64(len(s.index))/60, "hours")
				if err := s.close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An unsyncedDisk shows what a spool costs without the disk.
type unsyncedDisk struct{}

func (*unsyncedDisk) create(path string) (segmentFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ *os.File }

func (unsyncedFile) Sync() error { return nil }

// Whatever a payload holds, reading it never panics, and what is read is the same when it is
// written and read again.
func FuzzParseBatch(f *testing.F) {
	for n := range int64(6) {
		f.Add(appendBatch(nil, numbered(n)))
	}
	f.Add(appendBatch(nil, usualBatch(spoolStart, rand.New(rand.NewPCG(7, 8)))))
	stamped := numbered(6)
	stamped.clock = stampClock{boot: 7, zero: spoolStart - 3600}
	f.Add(appendBatch(nil, stamped))
	stamped.clock.server, stamped.clock.heard = spoolStart, true
	f.Add(appendBatch(nil, stamped))
	f.Add(appendDone(nil, []span{{1, 1}, {3, 1 << 40}}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if spans, err := parseDone(payload); err == nil {
			if again, err := parseDone(appendDone(nil, spans)); err != nil || !slices.Equal(again, spans) {
				t.Errorf("spans %v, read again %v, %v", spans, again, err)
			}
		}
		b, err := parseBatch(payload, map[string]string{})
		if err != nil {
			return
		}
		head, count, err := readBatchHead(&payloadReader{rest: payload})
		if err != nil || count != len(b.Readings) || head.seq != b.seq || head.Minute != b.Minute || head.Identifier != b.Identifier || head.clock != b.clock {
			t.Errorf("head %+v, %d, %v of %+v", head, count, err, b)
		}
		again, err := parseBatch(appendBatch(nil, b), map[string]string{})
		if err != nil || !sameBatch(again, b) || again.seq != b.seq || again.clock != b.clock {
			t.Errorf("batch %+v, read again %+v, %v", b, again, err)
		}
	})
}

// Whatever is in a segment's file, opening its folder never fails, each batch is there whole, and what
// is there stays the same when the folder is opened again.
func FuzzOpenSpool(f *testing.F) {
	header := appendSegmentHeader(nil, spoolKind, spoolVersion)
	record := func(payload []byte) []byte {
		r := append(beginRecord(nil), payload...)
		sealRecord(r)
		return r
	}
	b := numbered(3)
	b.seq = 1 << 32
	whole := slices.Concat(header, record(appendBatch(nil, b)), record(appendDone(nil, []span{{0, 5}})), record(appendBatch(nil, numbered(4))))
	f.Add(whole)
	f.Add(slices.Concat(whole[:len(whole)-9], whole))
	b.clock = stampClock{boot: 7, zero: spoolStart - 3600, server: spoolStart, heard: true}
	f.Add(slices.Concat(header, record(appendBatch(nil, b))))
	f.Add(slices.Concat(header, record(appendDone(nil, []span{{0, math.MaxUint64 - 1}}))))
	f.Add(slices.Concat(header, record(nil), record([]byte{9, 9, 9})))
	f.Add(slices.Concat(header, []byte(recordMark), binary.LittleEndian.AppendUint32(nil, math.MaxUint32), []byte(recordMark)))
	f.Add(appendSegmentHeader(nil, spoolKind, spoolVersion+1))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		o := spoolOptions{Now: func() time.Time { return time.Unix(math.MinInt32, 0) }, Log: slog.New(slog.DiscardHandler)}
		s, err := openSpool(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		got := s.next(math.MaxInt, anyHost)
		n := 0
		for _, b := range got {
			n += len(b.Readings)
		}
		if s.waiting() != n {
			t.Errorf("%d values wait, %d were read", s.waiting(), n)
		}
		if err := s.close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err = openSpool(dir, o); err != nil {
			t.Fatal(err)
		}
		if again := s.next(math.MaxInt, anyHost); !slices.EqualFunc(again, got, sameBatch) {
			t.Errorf("%d batches, after opening again %d", len(got), len(again))
		}
		if err := s.close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
