package logline

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// TestGrammar has a line for each rule of the grammar.
func TestGrammar(t *testing.T) {
	pieceOf := func(end string) string { return strings.Repeat("x", piece-len(end)-1) + " " + end }
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"a sample":                                 {"sample#queue.size=3", []string{"sample queue.size=3 float"}},
		"a count":                                  {"count#jobs=4", []string{"count jobs=4 float"}},
		"a count without a value is 1":             {"count#signup", []string{"count signup=1 float"}},
		"and with an empty one":                    {"count#signup=", []string{"count signup=1 float"}},
		"a measure":                                {"measure#time=40ms", []string{"measure time=40 milliseconds"}},
		"a measure of old":                         {"measure.time=40ms", []string{"measure time=40 milliseconds"}},
		"unique is not kept":                       {"unique#user=7 count#x", []string{"refused unique is unknown: unique#user=7", "count x=1 float"}},
		"several in a line, in words":              {"took long: sample#a=1, count#b and\tmeasure#c=2s!", []string{"sample a=1 float", "count b=1 float", "measure c=2 float"}},
		"other kinds are words":                    {"gauge#a=1 Sample#b=2 #c=3 sample=4", nil},
		"a kind in the middle of a word is none":   {"xsample#a=1 user=sample#b=2", nil},
		"nor in quotes":                            {`msg="a sample#a=1 b" sample#b=2`, []string{"sample b=2 float"}},
		"a source in front":                        {"source=web.1 sample#a=1 sample#b=2", []string{"sample a[web.1]=1 float", "sample b[web.1]=2 float"}},
		"a source behind":                          {"sample#a=1 source=web.1", []string{"sample a[web.1]=1 float"}},
		"a source in the middle, in quotes":        {`sample#a=1 source="a b" sample#b=2`, []string{"sample a[a_b]=1 float", "sample b[a_b]=2 float"}},
		"an empty source is none":                  {"source= sample#a=1", []string{"sample a=1 float"}},
		"a value in quotes":                        {`sample#a="1.5" sample#b="2 s"`, []string{"sample a=1.5 float", "sample b=2 float"}},
		"a quote that does not end":                {`say="hello sample#a=1 sample#b=2`, []string{"sample a=1 float", "sample b=2 float"}},
		"quotes in quotes":                         {`say="a \" sample#a=1" sample#b=2`, []string{"sample b=2 float"}},
		"a sign":                                   {"sample#a=-3 sample#b=+4", []string{"sample a=-3 float", "sample b=4 float"}},
		"a fraction without its digits":            {"sample#a=.5 sample#b=3.", []string{"sample a=0.5 float", "sample b=3 float"}},
		"an exponent as Ruby prints it":            {"sample#a=1.0e-05 sample#b=1.0e+20 sample#c=2E3ms", []string{"sample a=1e-05 float", "sample b=1e+20 float", "sample c=2000 milliseconds"}},
		"an e that is no exponent":                 {"sample#a=5e", []string{"sample a=5 float"}},
		"a number too large":                       {"sample#a=1e400", []string{"refused not finite: a=1e400"}},
		"a number too large in its base unit":      {"sample#a=1e308TB", []string{"refused not finite: a=1e308TB"}},
		"a number too small is zero":               {"sample#a=1e-400", []string{"sample a=0 float"}},
		"no number":                                {"sample#a=x sample#b=- sample#c=. sample#d=e5", []string{"refused not a number: a=x", "refused not a number: b=-", "refused not a number: c=.", "refused not a number: d=e5"}},
		"not finite":                               {"sample#a=NaN sample#b=Infinity sample#c=-Inf", []string{"refused not finite: a=NaN", "refused not finite: b=Infinity", "refused not finite: c=-Inf"}},
		"more than a number":                       {"sample#a=1,234 sample#b=2026-01-02 sample#c=10.0.0.1 sample#d=12:30", []string{"refused not a number: a=1,234", "refused not a number: b=2026-01-02", "refused not a number: c=10.0.0.1", "refused not a number: d=12:30"}},
		"a duration as Go prints it":               {"measure#a=1m30.5s measure#b=1h0m0s", []string{"measure a=90500 milliseconds", "measure b=3.6e+06 milliseconds"}},
		"times":                                    {"sample#a=2s sample#b=3ms sample#c=4us sample#d=5ns sample#e=6µs", []string{"sample a=2000 milliseconds", "sample b=3 milliseconds", "sample c=0.004 milliseconds", "sample d=5e-06 milliseconds", "sample e=0.006 milliseconds"}},
		"bytes":                                    {"sample#a=507704bytes sample#b=1byte sample#c=2B", []string{"sample a=507704 bytes", "sample b=1 bytes", "sample c=2 bytes"}},
		"bytes by 1024, in any case but that of B": {"sample#a=1kB sample#b=1KB sample#c=1MB sample#d=1mB sample#e=1GB sample#f=1TB sample#g=1KiB", []string{"sample a=1024 bytes", "sample b=1024 bytes", "sample c=1.048576e+06 bytes", "sample d=1.048576e+06 bytes", "sample e=1.073741824e+09 bytes", "sample f=1.099511627776e+12 bytes", "sample g=1024 bytes"}},
		"bits are not bytes":                       {"sample#a=1kb sample#b=1Mb sample#c=1b", []string{"sample a=1 float", "sample b=1 float", "sample c=1 float"}},
		"a share":                                  {"sample#a=12.5%", []string{"sample a=12.5 percentage"}},
		"a unit that nobody knows":                 {"sample#a=90210pages sample#b=3.ms", []string{"sample a=90210 float", "sample b=3 milliseconds"}},
		"letters of names":                         {"sample#A-b_c.9=1 sample#a:b/c=2 sample#サバ=3", []string{"sample A-b_c.9=1 float", "sample a_b_c=2 float", "sample __=3 float"}},
		"dots of names":                            {"sample#.a..b.=1", []string{"sample a.b=1 float"}},
		"no name":                                  {"sample#=1 sample#...=2 count#", []string{"refused bad name: sample#=1", "refused bad name: ...", "refused bad name: count#"}},
		"a name too long is cut":                   {"sample#" + strings.Repeat("n", 300) + "=1", []string{"sample " + strings.Repeat("n", 200) + "=1 float"}},
		"ends of lines are blanks":                 {"sample#a=1\nsample#b=2\r\n", []string{"sample a=1 float", "sample b=2 float"}},
		"bytes that are no text":                   {"\xff\x00 sample#a\xff=1 sample#b=\xff", []string{"sample a_=1 float", "refused not text: b=\ufffd"}},
		"a piece that may end in half a value":     {pieceOf("sample#a=1 count#b=12"), []string{"sample a=1 float", "refused cut off: count#b=12"}},
		"a piece that may end in half a name":      {pieceOf("sample#a=1 count#b"), []string{"sample a=1 float", "refused cut off: count#b"}},
		"a piece that ends in half a source":       {pieceOf("sample#a=1 source=we"), []string{"sample a=1 float"}},
		"a piece that ends in half a kind":         {pieceOf("sample#a=1 samp"), []string{"sample a=1 float"}},
		"a piece that ends in a blank":             {pieceOf("sample#a=1 count#b=12 "), []string{"sample a=1 float", "count b=12 float"}},
		"what a piece begins with is half a thing": {"le#queue=3 sample#a=1", []string{"sample a=1 float"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := said(&Reader{}, Line{Text: []byte(tt.text)})
			slices.Sort(got) // what is refused comes first
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q became\n%s\nwant\n%s", tt.text[max(0, len(tt.text)-200):], strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestPrefixes(t *testing.T) {
	r := &Reader{Prefix: "shop", SourcePrefix: "eu"}
	want := []string{"sample shop.a[eu.web.1]=1 float"}
	if got := said(r, Line{Text: []byte("sample#a=1 source=web.1")}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	want = []string{"count shop.a=1 float"}
	if got := said(r, Line{Text: []byte("count#a")}); !slices.Equal(got, want) {
		t.Errorf("without a source: got %q, want %q", got, want)
	}
}

// Whatever a line holds and whoever wrote it, what is read of it has a name that may be stored and a finite value, and what it refuses is text.
func FuzzRead(f *testing.F) {
	for _, who := range []string{"app web.1", "heroku router", "heroku web.1", "heroku logplex", "app heroku-postgres", "app heroku-redis", "app heroku-pgbouncer"} {
		app, proc, _ := strings.Cut(who, " ")
		for _, text := range []string{
			`sample#queue.size=3 measure#time=40ms count#done source="a b" unique#x=1 measure.old=1.0e-05s`,
			`at=error code=H12 desc="Request timeout" method=GET path="/" dyno=web.1 connect=1ms service=30000ms status=503 bytes=0`,
			`source=web.1 dyno=heroku.1.2 sample#memory_rss=21.22MB sample#memory_pgpgin=90210pages`, `Error R14 (Memory quota exceeded)`,
			`Error L10 (output buffer overflow): 500 messages dropped since 2026-01-02T03:04:05+00:00.`, `source=DATABASE sample#tmp-disk-used=543 sample#db-size-percentage-used=0.11`,
		} {
			f.Add(app, proc, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, app, proc string, text []byte) {
		before := bytes.Clone(text)
		l := Line{Time: noon, App: app, Proc: proc, Text: text}
		(&Reader{}).Read(noon, &l, func(r Reading) {
			if !saba.ValidMetricName(r.Name) || r.Source != "" && !saba.ValidMetricName(r.Source) || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || !r.Unit.Valid() {
				t.Errorf("%q became %+v", text, r)
			}
		}, func(no Refusal) {
			if no.Reason == "" || len(no.Text) > 1000 {
				t.Errorf("%q is refused with %+v", text, no)
			}
		})
		if !bytes.Equal(before, text) {
			t.Errorf("%q was changed to %q", before, text)
		}
	})
}

// FuzzNumber holds the reading of numbers against what the number is written as again.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "-1.5e3ms", "40.9MB", "1m30s", "1.0e-05", "+.5", "5eB"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		v, unit, bad := number(value)
		if bad != "" {
			return
		}
		if math.IsNaN(v) || math.IsInf(v, 0) || !unit.Valid() {
			t.Fatalf("%q is %v %s", value, v, unit)
		}
		if end := numeral(value); len(value) > 0 && end == len(value) {
			if again, _, bad := number([]byte(string(value) + "kB")); bad == "" && again != v*1024 {
				t.Errorf("%q is %v, with kB behind it %v", value, v, again)
			}
		}
	})
}
