package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// openVerdicts opens the queue below dir for checks of these names, and returns what it logs.
func openVerdicts(dir string, names ...string) (*checkQueue, *logBuffer) {
	var plugins []CheckPlugin
	for _, n := range names {
		plugins = append(plugins, CheckPlugin{Name: n})
	}
	log := &logBuffer{}
	return openCheckQueue(dir, plugins, func() time.Time { return time.Unix(1_000_000, 0) }, slog.New(slog.NewTextHandler(log, nil))), log
}

// at is a verdict of a second.
func at(check string, status saba.CheckStatus, second int64) verdict {
	return verdict{Check: check, Status: status, Message: fmt.Sprint(status, second), At: 1_000_000 + second}
}

// seconds returns the times of what waits about this host, as at has them.
func seconds(q *checkQueue) []int64 {
	var out []int64
	for _, w := range q.next("", maxVerdicts) {
		out = append(out, w.At-1_000_000)
	}
	return out
}

func persisted(t *testing.T, q *checkQueue) {
	t.Helper()
	if !q.persist() {
		t.Fatal("the verdicts could not be written")
	}
}

func TestOfARowTheFirstFewAndTheNewestWait(t *testing.T) {
	q, _ := openVerdicts(t.TempDir(), "a", "b")
	for i := range int64(10) {
		v := at("a", saba.CheckCritical, i)
		v.Attempts = 3
		q.add(v, false)
		q.add(at("b", saba.CheckWarning, 100+i), false)
	}
	q.add(at("a", saba.CheckOK, 10), true)
	v := at("a", saba.CheckCritical, 11)
	v.Attempts = 3
	q.add(v, true)
	equal(t, "seconds", seconds(q), []int64{0, 100, 1, 2, 9, 109, 10, 11})
}

func TestWhatIsTooManyGoesOldestFirst(t *testing.T) {
	q, _ := openVerdicts(t.TempDir(), "a", "b")
	q.add(at("b", saba.CheckCritical, 0), false)
	for i := range int64(maxVerdicts + 10) { // a check that changes each time
		q.add(at("a", saba.CheckStatuses[i%3], i), false)
	}
	got := seconds(q)
	if len(got) != maxVerdicts || got[0] != 0 || got[1] != 11 || got[len(got)-1] != maxVerdicts+9 {
		t.Errorf("%d wait, from %d, %d to %d; want %d, the only one of b, then those of a from 11 on", len(got), got[0], got[1], got[len(got)-1], maxVerdicts)
	}
	if n := q.dropped(); n != 11 {
		t.Errorf("%d dropped, want 11", n)
	}
	long := strings.Repeat("鯖", saba.MaxCheckMessage)
	for i := range int64(maxVerdicts) {
		v := at("a", saba.CheckStatuses[i%3], 5000+i)
		v.Message = long
		q.add(v, false)
	}
	size := 0
	for _, w := range q.next("", maxVerdicts) {
		size += len(w.Message)
	}
	if size > maxVerdictBytes || size != q.size {
		t.Errorf("%d bytes of messages wait, %d counted; want %d at the most", size, q.size, maxVerdictBytes)
	}
}

func TestWhatIsTooOldIsGivenUpAndTheCheckIsUnheard(t *testing.T) {
	q, _ := openVerdicts(t.TempDir(), "a", "b")
	q.add(at("a", saba.CheckCritical, -saba.MaxCheckLate), true)
	q.add(at("b", saba.CheckCritical, -saba.MaxCheckLate), true)
	q.add(at("b", saba.CheckOK, -saba.MaxCheckLate+1), true) // which servers still take
	q.dropOld()
	equal(t, "seconds", seconds(q), []int64{-saba.MaxCheckLate + 1})
	if !q.isUnheard("a") || q.isUnheard("b") || q.dropped() != 2 {
		t.Errorf("unheard: a %v, b %v; want a, whose newest verdict is gone, and not b", q.isUnheard("a"), q.isUnheard("b"))
	}
	q.add(at("a", saba.CheckOK, 0), true)
	if q.isUnheard("a") {
		t.Error("a is unheard with a verdict that waits")
	}
}

func TestVerdictsSurviveAReopening(t *testing.T) {
	dir := t.TempDir()
	q, _ := openVerdicts(dir, "a", "b", "gone", "moved")
	q.add(at("a", saba.CheckCritical, 1), true)
	q.add(at("gone", saba.CheckCritical, 2), true)
	q.add(at("moved", saba.CheckCritical, 3), true)
	persisted(t, q)
	q.add(at("b", saba.CheckWarning, 4), true)
	q.done(q.next("", 1))
	persisted(t, q)
	q.remember(at("b", saba.CheckOK, 5))
	persisted(t, q)

	for _, how := range []string{"after its lines", "after it was written anew"} {
		again, log := openVerdicts(dir, "a", "b")
		q, _ = openVerdicts(dir, "a", "b")
		again.add(at("a", saba.CheckCritical, 6), true)
		if got := again.next("", 9); len(got) != 2 || got[0].At != 1_000_004 || got[1].At != 1_000_006 || got[1].seq <= got[0].seq {
			t.Errorf("%s: waiting = %+v, want the one of b and the new one", how, got)
		}
		if v, ok := again.last("b"); !ok || v != at("b", saba.CheckOK, 5) {
			t.Errorf("%s: the newest of b = %+v, %v, want what was remembered", how, v, ok)
		}
		if _, ok := again.last("gone"); ok || log.String() != "" {
			t.Errorf("%s: the check that is not configured is known, or something was logged:\n%s", how, log)
		}
		q.remember(at("a", saba.CheckCritical, 1))
		persisted(t, q)
	}
	info, err := os.Stat(filepath.Join(dir, verdictFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file = %v, %v, want 0600: messages may hold secrets", info.Mode(), err)
	}
	// The same name about another host is another check.
	other, _ := openVerdicts(t.TempDir())
	other = openCheckQueue(dir, []CheckPlugin{{Name: "a", CustomIdentifier: "db-1"}}, time.Now, other.log)
	if v, ok := other.last("a"); ok {
		t.Errorf("a check of another host has the verdict %+v", v)
	}
}

func TestTheFileStaysSmall(t *testing.T) {
	dir := t.TempDir()
	q, _ := openVerdicts(dir, "a")
	for i := range int64(5000) {
		q.add(at("a", saba.CheckCritical, i), false)
		persisted(t, q)
		q.done(q.next("", 1))
		persisted(t, q)
	}
	info, err := os.Stat(filepath.Join(dir, verdictFile))
	if err != nil || info.Size() > rewriteVerdicts+1024 {
		t.Errorf("the file has %d bytes after 5000 verdicts, %v; want %d at the most", info.Size(), err, rewriteVerdicts)
	}
	if again, _ := openVerdicts(dir, "a"); len(seconds(again)) != 0 {
		t.Errorf("seconds = %v, want none to wait", seconds(again))
	}
}

// A file that was torn at any byte, or damaged in any, opens, and loses no more than the lines
// that the damage touches.
func TestDamageCostsOnlyItsLines(t *testing.T) {
	dir := t.TempDir()
	q, _ := openVerdicts(dir, "a", "b")
	for i, s := range []saba.CheckStatus{"CRITICAL", "OK", "WARNING", "UNKNOWN", "OK"} {
		q.add(at("a", s, int64(i)), true)
		persisted(t, q)
	}
	q.done(q.next("", 1))
	persisted(t, q)
	whole, err := os.ReadFile(filepath.Join(dir, verdictFile))
	if err != nil {
		t.Fatal(err)
	}
	all, damaged := parseVerdicts(whole)
	if len(all) != 7 || damaged != 0 { // the first line is twice there: what waits, and what is newest
		t.Fatalf("the file has %d records and %d damaged ones:\n%s", len(all), damaged, whole)
	}
	open := func(b []byte) *checkQueue {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, verdictFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		q, _ := openVerdicts(dir, "a", "b")
		return q
	}
	for n := range whole {
		records, _ := parseVerdicts(whole[:n])
		if lines := bytes.Count(whole[:n], []byte("\n")); !reflect.DeepEqual(records, all[:lines:lines]) && lines > 0 {
			t.Fatalf("of the first %d bytes %d records are read, want the %d whole ones", n, len(records), lines)
		}
		if n%16 == 0 {
			q := open(whole[:n])
			q.add(at("b", saba.CheckCritical, 99), true)
			persisted(t, q)
			if got := seconds(q); got[len(got)-1] != 99 {
				t.Fatalf("seconds after %d bytes = %v, want the new one last", n, got)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range whole {
		b := slices.Clone(whole)
		b[n] ^= byte(1 + r.IntN(255))
		records, damaged := parseVerdicts(b)
		// A newline that is damaged joins two lines, one that appears parts one.
		if len(records) < len(all)-2 || damaged < 1 {
			t.Fatalf("with byte %d damaged %d of %d records are read, %d damaged", n, len(records), len(all), damaged)
		}
		for _, got := range records {
			if !slices.ContainsFunc(all, func(r verdictRecord) bool { return reflect.DeepEqual(r, got) }) {
				t.Fatalf("with byte %d damaged there is a record that never was: %+v", n, got)
			}
		}
	}
	huge := append(bytes.Repeat([]byte("x"), maxVerdictFile), whole...)
	if got := seconds(open(append(huge[:maxVerdictFile:maxVerdictFile], append([]byte("\n"), whole...)...))); len(got) != 4 {
		t.Errorf("behind 8 MiB of junk %d verdicts wait, want 4", len(got))
	}
}

func TestADamagedFileIsSaidOnceAndMended(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, verdictFile)
	if err := os.WriteFile(file, []byte("\x00\x00\x00junk\nmore junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	q, log := openVerdicts(dir, "a")
	if n := strings.Count(log.String(), "damaged"); n != 1 || !strings.Contains(log.String(), file) {
		t.Errorf("log = %s, want a line that names the file", log)
	}
	q.add(at("a", saba.CheckCritical, 1), true)
	persisted(t, q)
	again, log := openVerdicts(dir, "a")
	if log.String() != "" || len(seconds(again)) != 1 {
		t.Errorf("log of the next start = %s, waiting %v; want it mended", log, seconds(again))
	}
}

func TestAFullDiskLosesNothingWhileTheProcessLives(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "checks")
	q, log := openVerdicts(file, "a")
	q.add(at("a", saba.CheckCritical, 1), true)
	persisted(t, q)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil { // where the folder should be
		t.Fatal(err)
	}
	for i := range int64(3) {
		q.add(at("a", saba.CheckStatuses[i], 10+i), true)
		if q.persist() {
			t.Fatal("written, where nothing can be")
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, log)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	persisted(t, q)
	again, _ := openVerdicts(file, "a")
	equal(t, "seconds", seconds(again), []int64{1, 10, 11, 12})
}

func TestTheWriterTriesAgainByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "checks")
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // where the folder should be
			t.Fatal(err)
		}
		q, _ := openVerdicts(dir, "a")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			q.write(ctx)
			close(done)
		}()
		q.add(at("a", saba.CheckCritical, 1), true)
		synctest.Wait()
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(verdictDiskRetry)
		synctest.Wait()
		if again, _ := openVerdicts(dir, "a"); len(seconds(again)) != 1 {
			t.Errorf("seconds on disk = %v, want one", seconds(again))
		}
		cancel()
		<-done
	})
}

func TestTheWriterEndsWithItsContext(t *testing.T) {
	q, _ := openVerdicts(t.TempDir(), "a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		q.write(ctx)
		close(done)
	}()
	q.add(at("a", saba.CheckCritical, 1), true)
	cancel()
	<-done
	persisted(t, q) // whether or not the writer came to it
	if again, _ := openVerdicts(q.dir, "a"); len(seconds(again)) != 1 {
		t.Errorf("seconds = %v, want one", seconds(again))
	}
}

// Whatever stands in the file, reading it never panics, what is read can be written and read
// again, and lines behind damage are found.
func FuzzVerdicts(f *testing.F) {
	good := verdictRecord{Seq: 7, verdict: at("ssh", saba.CheckCritical, 1)}.append(nil)
	f.Add(good)
	f.Add(verdictRecord{Done: []uint64{1, 2}}.append(nil))
	f.Add(append([]byte("00000000 {}\n"), good[:len(good)/2]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, damaged := parseVerdicts(b)
		if lines := bytes.Count(b, []byte("\n")); len(records) > lines || len(records)+damaged < lines {
			t.Errorf("parseVerdicts(%q): %d records and %d damaged, of %d lines", b, len(records), damaged, lines)
		}
		for _, r := range records {
			again, err := parseVerdict(r.append(nil))
			if err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("record %+v, written and read again: %+v, %v", r, again, err)
			}
		}
		behind, _ := parseVerdicts(append(append(slices.Clone(b), '\n'), good...))
		if len(behind) != len(records)+1 && len(behind) != len(records)+2 || behind[len(behind)-1].Seq != 7 {
			t.Errorf("a line behind %q is not found", b)
		}
	})
}
