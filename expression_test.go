package saba

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestParseExpression(t *testing.T) {
	for text, single := range map[string]bool{
		`host(5wAAbbCCdd1, loadavg5)`:                                                   true,
		`host(5wAAbbCCdd1, "custom.queue.*")`:                                           false,
		"service( 'shop' ,\n\thttp.errors )":                                            true,
		`role(shop:web, loadavg5)`:                                                      false,
		`max(role(shop: web, custom.queue.ready))`:                                      true,
		`divide(service(shop, http.errors), service(shop, http.requests))`:              true,
		`divide(sum(role(a1:b1, x)), role(a1:b1, x))`:                                   false,
		`scale(timeLeftForecast(host(a, memory.used), 14d, 16000000000), 1/3600)`:       true,
		`alias(scale(offset(avg(roleSlots(a1:b1, cpu.user.percentage)), -1), 2), 'x)')`: true,
		`group(host(a, b), host(a, c))`:                                                 false,
		`group(host(a, b))`:                                                             true,
		`percentile(role(a1:b1, x), 95)`:                                                true,
		`stack(timeShift(movingAverage(linearRegression(host(a,b),1mo),1y),30m))`:       true,
	} {
		e, err := ParseExpression(text)
		if err != nil || e.Single() != single {
			t.Errorf("ParseExpression(%q): single %v, error %v; want single %v", text, e.Single(), err, single)
		}
	}
}

// The table of functions in the documentation is that of the parser.
func TestFunctionsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/monitors.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range functions {
		if n := strings.Count(string(page), "`"+name+"("); n != 1 {
			t.Errorf("docs/monitors.md has %s (%s) %d times in its table", name, f.args, n)
		}
	}
}

func TestWhatIsNoExpression(t *testing.T) {
	for text, saying := range map[string]string{
		``:                           "an argument was expected",
		`host`:                       "no call",
		`"host(a,b)"`:                "no call",
		`host(`:                      "an argument was expected",
		`host(a`:                     "a comma or ) was expected",
		`host(a)`:                    "host takes 2 arguments, not 1",
		`host(a,b,c)`:                "host takes 2 arguments",
		`host(a,b) x`:                "character 11",
		`host(a,"b)`:                 "the quote is not closed",
		`rate(host(a,b))`:            "no function of that name",
		`avg(x)`:                     "a call that yields series was expected",
		`avg()`:                      "avg takes 1 arguments, not 0",
		`host(avg(host(a,b)),c)`:     "a text or a number was expected",
		`scale(host(a,b), x)`:        "a number was expected",
		`scale(host(a,b), 1/0)`:      "a number was expected",
		`scale(host(a,b), NaN)`:      "a number was expected",
		`percentile(host(a,b), 0)`:   "above 0 and below 100",
		`percentile(host(a,b), 100)`: "above 0 and below 100",
		`timeShift(host(a,b), 5)`:    "a duration such as",
		`timeShift(host(a,b), 0m)`:   "a duration such as",
		`timeShift(host(a,b), "5x")`: "a duration such as",
		strings.Repeat("avg(", 60):   "nested too deep",
	} {
		_, err := ParseExpression(text)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), saying) {
			t.Errorf("ParseExpression(%.40q): error %v, want one saying %q", text, err, saying)
		}
	}
}

func TestRenameInExpression(t *testing.T) {
	rename := func(s Scope) Scope {
		switch {
		case s == Scope{"shop", "web"}:
			return Scope{"shop", "front"}
		case s == Scope{Service: "blog"}:
			return Scope{Service: "journal"}
		}
		return s
	}
	for text, want := range map[string]string{
		`avg(role(shop:web, loadavg5))`:                       `avg(role(shop:front, loadavg5))`,
		` sum( roleSlots( "shop: web" , 'shop:web'))`:         ` sum( roleSlots( "shop:front" , 'shop:web'))`,
		`group(service(blog, blog),service(shop,x))`:          `group(service(journal, blog),service(shop,x))`,
		`alias(service('blog', x), "blog")`:                   `alias(service('journal', x), "blog")`,
		`group(host(blog, x), role(shop:db, x))`:              `group(host(blog, x), role(shop:db, x))`,
		`group(service(blog,é),service(blog,y), service(blog`: `group(service(blog,é),service(blog,y), service(blog`,
		`group(service(blog,é), service(blog,y))`:             `group(service(journal,é), service(journal,y))`,
	} {
		if got := RenameInExpression(text, rename); got != want {
			t.Errorf("RenameInExpression(%s) = %s, want %s", text, got, want)
		}
	}
}

// write writes an expression as ParseExpression reads it.
func (e Expression) write() string {
	if e.Name == "" {
		if strings.Contains(e.Text, `"`) {
			return "'" + e.Text + "'"
		}
		return `"` + e.Text + `"`
	}
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = a.write()
	}
	return e.Name + "(" + strings.Join(args, ",") + ")"
}

// Whatever a person types, parsing never panics, and what it accepts means the same when it is written again.
func FuzzParseExpression(f *testing.F) {
	for _, s := range []string{`max(role(shop:web, x))`, `scale(host(a,"b,c"), 1/86400)`, `group(host(a,b),host('c"',d))`, `host(a`, "(", `""(`, `timeLeftForecast(host(a,b),14d,1e3)`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseExpression(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("ParseExpression(%q): %v does not match ErrInvalid", text, err)
			}
			return
		}
		again, err := ParseExpression(e.write())
		if err != nil || again.write() != e.write() || again.Single() != e.Single() {
			t.Errorf("ParseExpression(%q) writes %s, and of that %s, %v", text, e.write(), again.write(), err)
		}
		for _, a := range e.Args {
			_, _ = a.Number()
			_, _ = a.Seconds()
		}
	})
}

func TestQueriesCloseWhatTheyOpen(t *testing.T) {
	for query, saying := range map[string]string{
		`up`: "", `a.b{c="}"}[5m] offset 1m`: "", "a{b=`\\`}": "", `a{b="\""}`: "", `sum by (x) (a)`: "",
		``: "is required", " \n": "is required", `a{b`: `"{" that is not closed`, `a)`: `")" that closes nothing`, `a{b=(1}`: `"}" that closes nothing`,
		`a{b="x}`: "a quote that is not closed", `a{b="\"}`: "a quote that is not closed",
	} {
		err := checkQuery("query", query)
		if (err == nil) != (saying == "") || err != nil && !strings.Contains(err.Error(), saying) {
			t.Errorf("checkQuery(%q): %v, want %q", query, err, saying)
		}
	}
}
