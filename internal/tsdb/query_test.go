package tsdb

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/saba-monitor/saba"
)

// asked is what a Querier of org says about matchers given as name, operator and value: one line a series.
func asked(t *testing.T, db *DB, org string, mint, maxt int64, hints *storage.SelectHints, matchers ...string) string {
	t.Helper()
	q, err := db.Querier(org, mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}()
	var ms []*labels.Matcher
	for i := 0; i < len(matchers); i += 3 {
		kind := map[string]labels.MatchType{"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp}[matchers[i+1]]
		ms = append(ms, labels.MustNewMatcher(kind, matchers[i], matchers[i+2]))
	}
	var lines []string
	set := q.Select(t.Context(), true, hints, ms...)
	var it chunkenc.Iterator
	for set.Next() {
		line := set.At().Labels().String()
		it = set.At().Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			line += fmt.Sprintf(" %d:%v", at/1000-start, v)
			if at%60_000 != 0 || it.AtT() != at {
				t.Errorf("a sample at %d ms, AtT %d: not a whole minute", at, it.AtT())
			}
		}
		if it.Err() != nil {
			t.Error(it.Err())
		}
		lines = append(lines, line)
	}
	if set.Err() != nil {
		t.Error(set.Err())
	}
	return strings.Join(lines, "\n")
}

func TestQuerierShowsOneSampleAMinute(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	now := int64(start + 3600)
	put(t, db, now, point(series("m"), start, 1), point(series("m"), start+60, 2), point(series("m"), start+120, 3), point(series("m"), start+240, 5))
	put(t, db, now, point(series("m"), start+61, 20))                                    // late
	put(t, db, now, point(series("m"), start+60, 21), point(series("m"), start+245, 50)) // again, and the newest
	for i := range 70 {                                                                  // beyond the seconds of a minute
		put(t, db, now, point(series("m"), start+299, float64(100+i)))
	}
	const all = `{__name__="m", host="h"} 0:1 60:21 120:3 240:169`
	check := func(when string) {
		t.Helper()
		for name, tt := range map[string]struct {
			mint, maxt int64
			want       string
		}{
			"everything":                      {math.MinInt64, math.MaxInt64, all},
			"from within a minute":            {start*1000 + 1, (start + 200) * 1000, `{__name__="m", host="h"} 60:21 120:3`},
			"to a minute's first second":      {start * 1000, (start + 60) * 1000, `{__name__="m", host="h"} 0:1 60:21`},
			"to just before it":               {start * 1000, (start+60)*1000 - 1, `{__name__="m", host="h"} 0:1`},
			"inside of a minute is no sample": {(start+60)*1000 + 1, (start+119)*1000 + 999, `{__name__="m", host="h"}`},
		} {
			if got := asked(t, db, "o", tt.mint, tt.maxt, nil, "__name__", "=", "m"); got != tt.want {
				t.Errorf("%s, %s: %s, want %s", when, name, got, tt.want)
			}
			hints := &storage.SelectHints{Start: tt.mint, End: tt.maxt}
			if got := asked(t, db, "o", math.MinInt64, math.MaxInt64, hints, "__name__", "=", "m"); got != tt.want {
				t.Errorf("%s, %s by hints: %s, want %s", when, name, got, tt.want)
			}
		}
	}
	check("in the head")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFor(t, Options{Dir: dir})
	check("after a restart")
	if err := db.engine.db.CompactOOOHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("with late points in a block")
}

func TestQuerierSeeks(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	now := int64(start + 36000)
	for i := range int64(300) {
		if i%7 != 0 { // gaps
			put(t, db, now, point(series("m"), start+60*i, float64(i)), point(series("m"), start+60*i+1, float64(i)+.5))
		}
	}
	q, err := db.Querier("o", 0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), false, nil, equal(nameLabel, "m"))
	if !set.Next() {
		t.Fatal("no series", set.Err())
	}
	it := set.At().Iterator(nil)
	for _, step := range []struct{ seek, minute int64 }{{-5, 1}, {60_000, 1}, {60_001, 2}, {2*60_000 + 30_000, 3}, {7 * 60_000, 8}, {100 * 60_000, 100}, {50 * 60_000, 100}, {100*60_000 + 1, 101}, {299*60_000 - 1, 299}} {
		if it.Seek(start*1000+step.seek) != chunkenc.ValFloat {
			t.Fatalf("Seek(start+%d) found nothing", step.seek)
		}
		if at, v := it.At(); at != (start+60*step.minute)*1000 || v != float64(step.minute)+.5 {
			t.Errorf("Seek(start+%d ms) = %v at start+%d, want minute %d", step.seek, v, at-start*1000, step.minute)
		}
	}
	if it.Next() != chunkenc.ValNone || it.Seek(math.MaxInt64) != chunkenc.ValNone || it.Next() != chunkenc.ValNone {
		t.Error("something stands behind the end")
	}
}

func TestQuerierShowsOneOrganization(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	labelled := db.SeriesName(labels.FromStrings("__name__", "http", "code", "200", "org", "theirs"))
	for _, s := range []saba.Series{
		{Org: "o", Host: "h", Name: "m"}, {Org: "o", Service: "s", Name: "m"}, {Org: "o", Service: "s", Name: labelled},
		{Org: "p", Host: "h", Name: "m"}, {Org: "p", Host: "h", Name: "secret"}, {Org: "p", Service: "s", Name: labelled},
	} {
		put(t, db, start, point(s, start, 1))
	}
	const from, to = start * 1000, start * 1000
	for name, tt := range map[string]struct {
		org      string
		matchers []string
		want     string
	}{
		"all that it has":              {"o", []string{"__name__", "!=", ""}, `{__name__="http", code="200", org="theirs", service="s"} 0:1` + "\n" + `{__name__="m", host="h"} 0:1` + "\n" + `{__name__="m", service="s"} 0:1`},
		"another's name":               {"o", []string{"__name__", "=", "secret"}, ""},
		"org means a sender's label":   {"o", []string{"org", "=", "theirs"}, `{__name__="http", code="200", org="theirs", service="s"} 0:1`},
		"org matches no organization":  {"o", []string{"org", "=", "p"}, ""},
		"nor by a pattern":             {"o", []string{"org", "=~", "o|p"}, ""},
		"nor under the engine's name":  {"o", []string{"x.org", "!=", ""}, ""},
		"without org is what has none": {"o", []string{"org", "=", "", "__name__", "=", "m", "host", "=", "h"}, `{__name__="m", host="h"} 0:1`},
		"nobody sees nothing":          {"", []string{"__name__", "!=", ""}, ""},
	} {
		if got := asked(t, db, tt.org, from, to, nil, tt.matchers...); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tt.want)
		}
	}
	q, err := db.Querier("o", from, to)
	if err != nil {
		t.Fatal(err)
	}
	names, _, err := q.LabelNames(t.Context(), nil)
	if want := []string{"__name__", "code", "host", "org", "service"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("LabelNames() = %v, %v; want %v", names, err, want)
	}
	for label, want := range map[string][]string{"__name__": {"http", "m"}, "org": {"theirs"}, "x.org": nil, "host": {"h"}} {
		if got, _, err := q.LabelValues(t.Context(), label, nil); err != nil || !slices.Equal(got, want) {
			t.Errorf("LabelValues(%s) = %v, %v; want %v", label, got, err, want)
		}
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

func TestLabelledSeriesAreSeriesAsAll(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	name := func(code string) saba.Series {
		return saba.Series{Org: "o", Service: "s", Name: db.SeriesName(labels.FromStrings("__name__", "http", "code", code))}
	}
	plain := saba.Series{Org: "o", Service: "s", Name: "http"}
	put(t, db, start, point(plain, start, 1), point(name("200"), start, 2), point(name("500"), start, 3))
	put(t, db, start, point(name("200"), start+5, 20), point(name("500"), start-600, 30)) // rewritten, late
	for range 2 {
		for s, want := range map[saba.Series]string{plain: "[{0 1}]", name("200"): "[{0 20}]", name("500"): "[{-600 30} {0 3}]", name("404"): "[]"} {
			got := samples(t, db, s)
			for i := range got {
				got[i].Time -= start
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%s = %v, want %s", s.Name, got, want)
			}
		}
		if got, ok := db.Latest(name("500")); !ok || got.Value != 3 {
			t.Errorf("Latest(500) = %v, %v", got, ok)
		}
		if got := db.Active("o"); got != 3 {
			t.Errorf("Active(o) = %d, want 3", got)
		}
		if got, err := db.ServiceNames(t.Context(), "o", "s"); err != nil || !slices.Equal(got, []string{"http"}) {
			t.Errorf("ServiceNames() = %v, %v: only http is a name of the protocol", got, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, dir)
	}
	defer db.Close()
	if got, err := db.Append(t.Context(), time.Unix(start, 0), []saba.Point{point(saba.Series{Org: "o", Service: "s", Name: `http{b="1",a="2"}`}, start, 1)}); err != nil || got[saba.DropBadName] != 1 {
		t.Errorf("labels out of order: %v, %v; want a drop", got, err)
	}
}

func TestAnOpenQuerierDoesNotKeepPointsOut(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	q, err := db.Querier("o", 0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, start, point(series("m"), start, 1))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}
