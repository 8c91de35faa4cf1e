package promapi

import "testing"

func TestNamesWithDots(t *testing.T) {
	for query, want := range map[string]string{
		``:                     ``,
		`up`:                   `up`,
		`a.b`:                  `{"a.b"}`,
		`a.b{c="d"}`:           `{"a.b",c="d"}`,
		`a.b {c.d="e"}`:        `{"a.b","c.d"="e"}`,
		`a.b{}`:                `{"a.b"}`,
		`a.b{ }[5m]`:           `{"a.b" }[5m]`,
		`a{b.c=~"d.e"}`:        `a{"b.c"=~"d.e"}`,
		`{"a.b"}`:              `{"a.b"}`,
		`a.b[5m:1m]`:           `{"a.b"}[5m:1m]`,
		`sum by (a.b,c) (d.e)`: `sum by ("a.b",c) ({"d.e"})`,
		`sum(d.e) BY(a.b)`:     `sum({"d.e"}) BY("a.b")`,
		`a.b / ignoring (c.d) group_left (e.f) g`:    `{"a.b"} / ignoring ("c.d") group_left ("e.f") g`,
		`x by (a) + (b.c)`:                           `x by (a) + ({"b.c"})`,
		`label_replace(a.b, "c.d", "$1", 'e.f', "")`: `label_replace({"a.b"}, "c.d", "$1", 'e.f', "")`,
		"1.5 * a + .5e3 - `a.b` # c.d\n+ e.f":        "1.5 * a + .5e3 - `a.b` # c.d\n+ {\"e.f\"}",
		`"a\".b" + c.d`:                              `"a\".b" + {"c.d"}`,
		`a offset 5m > 1.5`:                          `a offset 5m > 1.5`,
		`"a.b`:                                       `"a.b`,
		`a.b{c="d`:                                   `{"a.b",c="d`,
		`)}a.b`:                                      `)}{"a.b"}`,
		`job:a.b:rate5m`:                             `{"job:a.b:rate5m"}`,
	} {
		if got := dotted(query); got != want {
			t.Errorf("dotted(%s) = %s, want %s", query, got, want)
		}
	}
}

// What PromQL can read means the same to it afterwards, and what a monitor may ask can be read. Whatever comes, nothing panics, and what has
// been rewritten stays so.
func FuzzDotted(f *testing.F) {
	for _, q := range []string{`sum by (a.b) (c.d{e.f="g"}[5m])`, `up{job="x.y"} / ignoring (z) a`, "`", `"\`, `a.`, `{a.b`, `# a.b`} {
		f.Add(q)
	}
	p := newParser()
	f.Fuzz(func(t *testing.T, query string) {
		once := dotted(query)
		if again := dotted(once); again != once {
			t.Errorf("dotted(%q) = %q, and of that %q", query, once, again)
		}
		if CheckQuery(query) == nil {
			if _, err := p.ParseExpr(once); err != nil {
				t.Errorf("a monitor may ask %q, and %q cannot be read: %v", query, once, err)
			}
		}
		before, err := p.ParseExpr(query)
		if err != nil {
			return
		}
		if after, err := p.ParseExpr(once); err != nil || after.String() != before.String() {
			t.Errorf("dotted(%q) = %q, which means something else: %v", query, once, err)
		}
	})
}
