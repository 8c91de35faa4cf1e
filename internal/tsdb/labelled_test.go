package tsdb

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
)

func TestSeriesNames(t *testing.T) {
	var db *DB
	for name, tt := range map[string]struct {
		labels labels.Labels
		want   string
	}{
		"without labels":          {labels.FromStrings("__name__", "up"), "up"},
		"labels are sorted":       {labels.FromStrings("b", "2", "__name__", "m", "a", "1"), `m{a="1",b="2"}`},
		"quotes and backslashes":  {labels.FromStrings("__name__", "m", "p", `a"b\c`), `m{p="a\"b\\c"}`},
		"all else is kept as is":  {labels.FromStrings("__name__", "m", "p", "{x=\"鯖\"},\n"), "m{p=\"{x=\\\"鯖\\\"},\n\"}"},
		"an engine's label":       {labels.FromStrings("__name__", "m", "org", "x", "x.org", "y"), `m{org="x",x.org="y"}`},
		"names of recorded rules": {labels.FromStrings("__name__", "job:up:sum"), "job:up:sum"},
	} {
		t.Run(name, func(t *testing.T) {
			got := db.SeriesName(tt.labels)
			if got != tt.want || !validName(got) {
				t.Fatalf("SeriesName(%v) = %s (valid: %v), want %s", tt.labels, got, validName(got), tt.want)
			}
			var b labels.ScratchBuilder
			if back := nameOf(labelsOf(&b, &saba.Series{Org: "o", Host: "h", Name: got})); back != got {
				t.Errorf("%s comes back from the engine as %s", got, back)
			}
		})
	}
}

func TestNamesThatNobodyWrites(t *testing.T) {
	for _, name := range []string{
		"", "a b", "鯖", "m{", "m{}", `m{a="1"`, `m{a="1",}`, `m{a="1"}x`, `m{a=""}`, `m{b="1",a="2"}`, `m{a="1",a="2"}`,
		`m{a="1" }`, `m{ a="1"}`, `m{a="\n"}`, `m{a="x\`, `{a="1"}`, `m{="1"}`, `m{a="1"},b="2"}`,
		strings.Repeat("m", 256), `m{a="` + strings.Repeat("x", 4096) + `"}`,
	} {
		if validName(name) {
			t.Errorf("%.40q is taken for the name of a series", name)
		}
	}
}

// Whatever somebody calls a series, what is taken comes back from the engine as it was.
func FuzzSeriesName(f *testing.F) {
	f.Add(`m{a="1",b="\"\\"}`)
	f.Add(`m{a=","}`)
	f.Fuzz(func(t *testing.T, name string) {
		if !validName(name) {
			return
		}
		var b labels.ScratchBuilder
		if got := nameOf(labelsOf(&b, &saba.Series{Org: "o", Service: "s", Name: name})); got != name {
			t.Errorf("%q comes back as %q", name, got)
		}
	})
}
