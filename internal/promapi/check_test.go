package promapi

import (
	"errors"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestCheckQuery(t *testing.T) {
	for query, want := range map[string]string{ // "" means good
		`up`: "", `sum by (http.route) (rate(http.requests{http.route="/a.b", x!~"y.*"}[5m] offset 1m)) > 0.5`: "",
		`1.5e3 * a.b.c`: "", `{"a.b", c="d"}`: "", "a{b='x.y'} # a.b (": "", "a.b{c=`\\`}": "", `vector(1)`: "", `1`: "", `custom.a:b.c1`: "",
		`a{b}`:                  `line 1, column 4: unexpected "}" in label matching`,
		"sum(up)\n  by (x":      "line 2, column 8: unclosed left parenthesis",
		`x.y{a="ü"} + rat(x.y)`: `line 1, column 14: unknown function with name "rat"`,
		`up up`:                 `line 1, column 4: unexpected identifier "up"`,
		`a[5m]`:                 "must yield series with one value at a time, not a range vector",
		`"text"`:                "must yield series with one value at a time, not a string",
		`rate(a.b)`:             "line 1, column 6: expected type range vector",
		`a..`:                   "",
		``:                      "line 1, column 1: no expression found",
		`a{b="`:                 "unterminated quoted string",
		"a\xff":                 "line 1, column 2",
		`.a`:                    "line 1, column 1",
	} {
		err := CheckQuery(query)
		switch {
		case want == "" && err != nil:
			t.Errorf("CheckQuery(%q) = %v, want it to be taken", query, err)
		case want != "" && (!errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), want)):
			t.Errorf("CheckQuery(%q) = %v, want an error that says %q", query, err, want)
		}
	}
}

// Whatever a stranger writes, the check ends, and places of names stay where they are.
func FuzzCheckQuery(f *testing.F) {
	for _, query := range []string{`sum by (a.b) (c.d{e="f.g"}[5m])`, "a.b # c.d\n + 1.5", "`", `"\`, "\xff.a", `{"a.b"}`} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if got := undotted(query); len(got) != len(query) || strings.ReplaceAll(got, "_", ".") != strings.ReplaceAll(query, "_", ".") {
			t.Errorf("undotted(%q) = %q: more than dots changed", query, got)
		}
		if err := CheckQuery(query); err != nil && !errors.Is(err, saba.ErrInvalid) {
			t.Errorf("CheckQuery(%q) = %v, want an error that matches ErrInvalid", query, err)
		}
	})
}
