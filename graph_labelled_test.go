package saba_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestLabelledGraphs(t *testing.T) {
	var many []string
	for i := range 35 {
		many = append(many, fmt.Sprintf(`up{n="%d"}`, i))
	}
	for name, tt := range map[string]struct {
		names []string
		want  string
	}{
		"nothing": {nil, ""},
		"what all have in common is left out": {
			[]string{`http{code="500",job="api"}`, `http{code="200",job="api"}`},
			`labelled:http "http": code="200" | code="500"`,
		},
		"a label that some lack is not common": {
			[]string{`http{job="api"}`, `http{code="200",job="api"}`, `http{code="500"}`},
			`labelled:http "http": code="200" job="api" | code="500" | job="api"`,
		},
		"one series shows its labels":         {[]string{`http{job="api"}`}, `labelled:http "http": job="api"`},
		"a name that others allow":            {[]string{"job:up:sum"}, `labelled:job:up:sum "job:up:sum": job:up:sum`},
		"a metric for each graph, as counted": {[]string{`m10{a="b"}`, `m2{a="b"}`}, `labelled:m2 "m2": a="b"; labelled:m10 "m10": a="b"`},
		"values may hold anything":            {[]string{`m{a="x,y=\"z\"",b="1"}`, `m{a="\\",b="1"}`, `m{a="{}",b="1"}`}, `labelled:m "m": a="\\" | a="x,y=\"z\"" | a="{}"`},
		"too many for one graph":              {many, ""},
	} {
		t.Run(name, func(t *testing.T) {
			graphs := saba.LabelledGraphs(tt.names)
			if len(tt.names) == len(many) {
				if len(graphs) != 1 || len(graphs[0].Series) != 30 || graphs[0].Title != "up (30 of 35 series)" || graphs[0].Series[29].Label != `n="29"` {
					t.Errorf("graphs are %+v", graphs)
				}
				return
			}
			var got []string
			for _, g := range graphs {
				var labels []string
				for _, s := range g.Series {
					labels = append(labels, s.Label)
				}
				got = append(got, fmt.Sprintf("%s %q: %s", g.Name, g.Title, strings.Join(labels, " | ")))
			}
			if strings.Join(got, "; ") != tt.want {
				t.Errorf("graphs are\n%s\nwant\n%s", strings.Join(got, "; "), tt.want)
			}
		})
	}
}

// Whatever names the storage engine gives, each stands in one graph and once, and the order of the names does not matter.
func FuzzLabelledGraphs(f *testing.F) {
	f.Add(`http{code="200"}`, `http{code="500",a="\"}"}`, `x`)
	f.Add(`{`, `a{"`, `a{\`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		graphs := saba.LabelledGraphs([]string{a, b, c})
		n := 0
		for _, g := range graphs {
			for _, s := range g.Series {
				n++
				if s.Metric != a && s.Metric != b && s.Metric != c {
					t.Errorf("a graph of %q", s.Metric)
				}
				if s.Label == "" && s.Metric != "" && !strings.HasPrefix(s.Metric, "{") {
					t.Errorf("%q has no label", s.Metric)
				}
			}
		}
		if n != 3 {
			t.Errorf("%d series of %q %q %q, want 3", n, a, b, c)
		}
		if again := saba.LabelledGraphs([]string{c, a, b}); !reflect.DeepEqual(again, graphs) {
			t.Errorf("in another order they are %+v, want %+v", again, graphs)
		}
	})
}
