package tsdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/storetest"
)

// TestMain makes the test binary the process that TestKill kills, when it is told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SABA_TEST_APPEND_TO"); dir != "" {
		fmt.Fprintln(os.Stderr, appendForever(dir, os.Getenv("SABA_TEST_FIRST_MINUTE")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func appendForever(dir, first string) error {
	minute, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return err
	}
	db, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		return err
	}
	if os.Getenv("SABA_TEST_COMPACT_LATE") != "" {
		go compactLateForever(db)
	}
	return storetest.AppendForever(context.Background(), db, os.Stdout, minute)
}

// compactLateForever compacts late points over and over, until the process is killed.
func compactLateForever(db *DB) {
	for {
		ok, err := db.engine.mayCompact()
		if err == nil && ok {
			err = db.engine.db.CompactOOOHead(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		runtime.Gosched()
	}
}

func openSamples(t *testing.T, dir string) storetest.Samples { return open(t, dir) }

// open opens the engine without closing it at the end.
func open(t *testing.T, dir string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// openFor opens the engine until the test ends.
func openFor(t *testing.T, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return db
}

func TestSamples(t *testing.T) { storetest.TestSamples(t, openSamples) }

func TestNothingAcknowledgedIsLostByAKill(t *testing.T) {
	for name, env := range map[string]string{
		"while points come":               "",
		"while late points are compacted": "SABA_TEST_COMPACT_LATE=1",
	} {
		t.Run(name, func(t *testing.T) {
			storetest.TestKill(t, openSamples, func(dir string, first int64) *exec.Cmd {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "SABA_TEST_APPEND_TO="+dir, "SABA_TEST_FIRST_MINUTE="+strconv.FormatInt(first, 10), env)
				return cmd
			})
		})
	}
}

const start = 1_768_478_400 // a full day

func series(name string) saba.Series { return saba.Series{Org: "o", Host: "h", Name: name} }

func point(s saba.Series, t int64, v float64) saba.Point {
	return saba.Point{Series: s, Sample: saba.Sample{Time: t, Value: v}}
}

func put(t *testing.T, db *DB, now int64, points ...saba.Point) {
	t.Helper()
	if drops, err := db.Append(t.Context(), time.Unix(now, 0), points); err != nil || drops.Total() != 0 {
		t.Fatalf("Append(%v) = %v, %v", points, drops, err)
	}
}

func samples(t *testing.T, db *DB, s saba.Series) []saba.Sample {
	t.Helper()
	got, err := db.Range(t.Context(), []saba.Series{s}, 0, start*2)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// compact makes blocks of all that is old enough, as the engine does by itself once a minute.
func compact(t *testing.T, db *DB) {
	t.Helper()
	if err := db.engine.db.Compact(t.Context()); err != nil {
		t.Fatalf("Compact() = %v", err)
	}
}

func TestSamplesStayRightThroughCompaction(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	x, y := series("x"), series("y")
	const minutes = 9 * 60
	var want []saba.Sample
	check := func(when string) {
		t.Helper()
		got := samples(t, db, x)
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("%s: %d samples, want %d; they differ from %d on", when, len(got), len(want), i)
			}
		}
	}
	var points []saba.Point
	for i := range int64(minutes) {
		points = append(points, point(x, start+i*60, float64(i)), point(y, start+i*60, 0))
		want = append(want, saba.Sample{Time: start + i*60, Value: float64(i)})
		if i%20 == 19 {
			put(t, db, start+i*60, points...)
			points = points[:0]
		}
	}
	compact(t, db)
	if n := len(db.engine.db.Blocks()); n == 0 {
		t.Fatal("there are no blocks to test with")
	}
	check("in blocks")
	for round := range 3 { // each time the earlier rewrites have gone to blocks of their own
		for i := round; i < minutes; i += 7 {
			want[i].Value = float64(-i - 1000*round)
			points = append(points, point(x, want[i].Time, want[i].Value))
		}
		put(t, db, start+minutes*60, points...)
		points = points[:0]
		check("rewritten")
		put(t, db, start+minutes*60, point(x, want[round].Time, want[round].Value)) // the same again
		if err := db.engine.db.CompactOOOHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("rewritten, in blocks of late points")
		compact(t, db)
		check("rewritten and compacted")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, dir)
		check("rewritten, compacted and opened again")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCompactionWaitsForTheFirstFullChunk(t *testing.T) {
	dir := t.TempDir()
	for _, run := range []int64{0, 1} { // the files of an earlier run do not count
		db := open(t, dir)
		may := func(want bool, when string) {
			t.Helper()
			if got, err := db.engine.mayCompact(); got != want || err != nil {
				t.Errorf("run %d, %s: mayCompact() = %v, %v, want %v", run, when, got, err, want)
			}
		}
		from := start + run*2*3600
		put(t, db, from, point(series("x"), from, 1))
		may(false, "with one point")
		for i := range int64(122) { // several full chunks, and the begin of another
			put(t, db, from+i*60, point(series("x"), from+i*60, float64(i)))
		}
		db.engine.db.ForceHeadMMap() // as the engine does once a minute
		may(true, "with a full chunk")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAHeadThatIsLongIsCompactedInAnyCase(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	put(t, db, start, point(series("x"), start, 1))
	put(t, db, start+8*3600, point(series("y"), start+8*3600, 1))
	if got, err := db.engine.mayCompact(); !got || err != nil {
		t.Errorf("mayCompact() = %v, %v, want true: the head spans eight hours", got, err)
	}
}

func TestLateRewritesWinForSeriesThatLeftTheHead(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	gone, stays := series("gone"), saba.Series{Org: "o", Host: "h2", Name: "stays"}
	var points []saba.Point
	for i := range int64(30) {
		points = append(points, point(gone, start+i*60, float64(i)), point(stays, start+i*60, 0))
	}
	put(t, db, start+30*60, points...)
	for i := range int64(12 * 6) {
		put(t, db, start+i*600, point(stays, start+i*600, 0))
	}
	compact(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFor(t, Options{Dir: dir}) // only the blocks know "gone" now
	if n := db.engine.db.Head().NumSeries(); n != 1 {
		t.Fatalf("the head has %d series, want 1", n)
	}
	if at, ok := db.LastSeen("o", "h"); !ok || at != start+29*60 {
		t.Errorf("LastSeen of a silent host = %d, %v; want %d", at, ok, start+29*60)
	}
	if got, ok := db.Latest(gone); !ok || got != (saba.Sample{Time: start + 29*60, Value: 29}) {
		t.Errorf("Latest of a silent host = %v, %v", got, ok)
	}
	const now = start + 12*60*60
	put(t, db, now, point(gone, start, -1), point(gone, start+29*60, -2), point(gone, start+10*60, 10))
	put(t, db, now, point(gone, start+10*60, -3))
	for i, s := range samples(t, db, gone) {
		want := map[int]float64{0: -1, 29: -2, 10: -3}
		if v, rewritten := want[i]; rewritten && s.Value != v || !rewritten && s.Value != float64(i) {
			t.Errorf("minute %d is %v", i, s.Value)
		}
	}
	if got, _ := db.Latest(gone); got.Value != -2 {
		t.Errorf("Latest after a rewrite = %v, want -2", got)
	}
	names, err := db.HostNames(t.Context(), "o", "h")
	if err != nil || len(names) != 1 || names[0] != "gone" {
		t.Errorf("HostNames() = %v, %v; want gone", names, err)
	}
}

func TestAHostLongSilentIsStillKnown(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	old, x := saba.Series{Org: "o", Host: "old", Name: "x"}, series("x")
	other := saba.Series{Org: "other", Host: "h", Name: "x"} // of one id with a live host
	put(t, db, start, point(old, start, 1), point(other, start, 1))
	for i := range int64(4 * 24) { // four days, every hour
		put(t, db, start+i*3600, point(x, start+i*3600, 1))
	}
	compact(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFor(t, Options{Dir: dir})
	for _, s := range []saba.Series{old, other} {
		if at, ok := db.LastSeen(s.Org, s.Host); !ok || at != start {
			t.Errorf("LastSeen(%s, %s) = %d, %v; want %d", s.Org, s.Host, at, ok, start)
		}
		if got, ok := db.Latest(s); ok {
			t.Errorf("Latest(%v) = %v; want none after four days", s, got)
		}
	}
}

func TestWhatIsOldIsForgotten(t *testing.T) {
	var n newest
	now := time.Unix(start, 0)
	learn := func(s saba.Series, age time.Duration) { n.learn(&s, now.Add(-age).UnixMilli(), 1) }
	learn(series("new"), time.Hour)
	learn(series("old"), 49*time.Hour)
	learn(saba.Series{Org: "o", Host: "silent", Name: "x"}, 100*24*time.Hour)
	learn(saba.Series{Org: "o", Host: "deleted", Name: "x"}, 461*24*time.Hour)
	learn(saba.Series{Org: "o", Service: "silent", Name: "y"}, 49*time.Hour)
	n.prune(now, DefaultRetention)
	if o := n.owners[owner{org: "o", host: "h"}]; o == nil || len(o.series) != 1 || n.names.all[o.series[0].name] != "new" {
		t.Errorf("of a live host %v stayed, want the new series", o)
	}
	if o := n.owners[owner{org: "o", host: "silent"}]; o == nil || len(o.series) != 0 {
		t.Errorf("of a silent host %v stayed, want it without series", o)
	}
	if len(n.owners) != 2 || len(n.names.all) != 2 {
		t.Errorf("%d owners and %d names stayed, want 2 (o, new) of each", len(n.owners), len(n.names.all))
	}
}

func TestAHostThatMakesNamesAllTheTimeIsStopped(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	now := time.Unix(start, 0)
	points := []saba.Point{point(series("first"), start, 1), point(series(`labelled{a="b"}`), start, 1)}
	for i := range saba.MaxMetrics + 4 {
		points = append(points, point(series("n"+strconv.Itoa(i)), start, 1))
	}
	if drops, err := db.Append(t.Context(), now, points); err != nil || drops.Total() != 5 || drops[saba.DropTooMany] != 5 {
		t.Fatalf("Append of %d metrics = %v, %v; want 5 dropped as too many", saba.MaxMetrics+5, drops, err)
	}
	// All others go on: those it has, those with labels, and those of other hosts.
	other := saba.Series{Org: "o", Host: "other", Name: "n"}
	put(t, db, start+60, point(series("first"), start+60, 2), point(series(`labelled{a="c"}`), start+60, 1), point(other, start+60, 1))
	if got, ok := db.Latest(other); !ok || got.Value != 1 {
		t.Errorf("Latest(%v) = %v, %t", other, got, ok)
	}
	// There is room again for as many as were forgotten.
	db.newest.prune(now.Add(keepNewest+time.Second), DefaultRetention)
	put(t, db, start+120, point(series("new"), start+120, 1))
}

func TestOneFolderHasOneUser(t *testing.T) {
	dir := t.TempDir()
	openFor(t, Options{Dir: dir})
	_, err := Open(t.Context(), Options{Dir: dir})
	if !errors.Is(err, saba.ErrConflict) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open of an open folder = %v, want saba.ErrConflict that names it", err)
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: filepath.Join(file, "samples")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Open below a file = %v, want an error that names it", err)
	}
}

func TestAStartAndAStopSayNothing(t *testing.T) {
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	dir := t.TempDir()
	for range 3 { // a fresh folder, one with data, and metrics that are registered again each time
		db, err := Open(t.Context(), Options{Dir: dir, Registerer: reg, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		put(t, db, start, point(series("x"), start, 1), point(series("x"), start-3600, 1))
		if families, err := reg.Gather(); err != nil || len(families) == 0 {
			t.Errorf("Gather() = %d metrics, %v", len(families), err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if families, err := reg.Gather(); err != nil || len(families) != 0 {
		t.Errorf("after Close %d metrics are left, %v", len(families), err)
	}
	if log.Len() > 0 {
		t.Errorf("the log is not empty:\n%s", log.String())
	}
}

func TestAClockThatWasAheadIsNamed(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(start, 0)
	dir := t.TempDir()
	o := Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }}
	db := openFor(t, o)
	future := now.Add(30 * 24 * time.Hour)
	put(t, db, future.Unix(), point(series("x"), future.Unix(), 1))
	drops, err := db.Append(t.Context(), now, []saba.Point{point(series("x"), start, 1), point(series("y"), start, 1)})
	if err != nil || drops[saba.DropEngine] != 2 {
		t.Errorf("Append after the clock was put right = %v, %v; want 2 points refused by the engine", drops, err)
	}
	if !strings.Contains(log.String(), "refused points") || !strings.Contains(log.String(), "2026-02-14") {
		t.Errorf("the log does not say why points were refused:\n%s", log.String())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	openFor(t, o)
	if !strings.Contains(log.String(), "was the clock ahead?") {
		t.Errorf("the log of a start does not name the future samples:\n%s", log.String())
	}
}

func TestAMinuteTakesSoManyRewritesAndNoMore(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	x := series("x")
	var points []saba.Point
	for i := range 59 + 999 + 1 {
		points = append(points, point(x, start, float64(i)))
	}
	put(t, db, start, points...)
	drops, err := db.Append(t.Context(), time.Unix(start+60, 0), []saba.Point{point(x, start, -1), point(x, start+60, -2)})
	if err != nil || drops[saba.DropEngine] != 1 || drops.Total() != 1 {
		t.Errorf("one rewrite too many = %v, %v; want it alone dropped", drops, err)
	}
	if got := samples(t, db, x); len(got) != 2 || got[0].Value != 1058 || got[1] != (saba.Sample{Time: start + 60, Value: -2}) {
		t.Errorf("samples = %v", got)
	}
}

func TestAfter(t *testing.T) {
	const m = start * 1000
	for name, tt := range map[string]struct {
		ms, next int64
		ok       bool
	}{
		"the first rewrite goes to the next second": {m, m + 1000, true},
		"the last second":                             {m + 58_000, m + 59_000, true},
		"then milliseconds":                           {m + 59_000, m + 59_001, true},
		"the last millisecond":                        {m + 59_998, m + 59_999, true},
		"then the minute is full":                     {m + 59_999, m + 60_000, false},
		"what another program wrote within a second":  {m + 1500, m + 2000, true},
		"and within the last but one of the seconds":  {m + 58_999, m + 59_000, true},
		"a second later in each minute, not the hour": {m + 60_000, m + 61_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			if next, ok := after(tt.ms); next != tt.next || ok != tt.ok {
				t.Errorf("after(%d) = %d, %v; want %d, %v", tt.ms, next, ok, tt.next, tt.ok)
			}
		})
	}
}
