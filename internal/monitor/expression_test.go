package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// minutes reads values a minute: "1 2 - 4", with - where there is none.
func minutes(text string) (values []float64) {
	for word := range strings.FieldsSeq(text) {
		v, err := strconv.ParseFloat(word, 64)
		if err != nil {
			v = math.NaN()
		}
		values = append(values, v)
	}
	return values
}

func written(values []float64) string {
	words := make([]string, len(values))
	for i, v := range values {
		if words[i] = saba.FormatValue(v); math.IsNaN(v) {
			words[i] = "-"
		}
	}
	return strings.Join(words, " ")
}

// linesFor returns what a source would read for the selectors of e. series are named "HOST METRIC", and begin at minute 0; role names all hosts.
func linesFor(t testing.TB, e saba.Expression, series map[string]string, from, to int64) [][]line {
	t.Helper()
	list, err := selectors(e)
	if err != nil {
		t.Fatal(err)
	}
	var read [][]line
	for _, sel := range list {
		lines := []line{}
		whose, pattern := sel.call.Args[0].Text, sel.call.Args[1].Text
		for _, name := range slices.Sorted(maps.Keys(series)) {
			host, metric, _ := strings.Cut(name, " ")
			if sel.call.Name != "role" && host != whose || strings.NewReplacer(stars(pattern, metric), "*").Replace(metric) != pattern && metric != pattern {
				continue
			}
			l := line{label: metric, key: host + " " + stars(pattern, metric)}
			all := minutes(series[name])
			for at := (from - sel.back) / 60; at <= (to-sel.until)/60; at++ {
				v := math.NaN()
				if at >= 0 && at < int64(len(all)) {
					v = all[at]
				}
				l.values = append(l.values, v)
			}
			lines = append(lines, l)
		}
		read = append(read, lines)
	}
	return read
}

func TestCompute(t *testing.T) {
	for name, tt := range map[string]struct {
		expression string
		series     map[string]string
		want       string // lines apart by /
	}{
		"a series as it is":                          {`host(a, x)`, map[string]string{"a x": "1 2 - 4"}, "1 2 - 4"},
		"a service":                                  {`service(a, x)`, map[string]string{"a x": "1 2"}, "1 2"},
		"a wildcard makes a line each":               {`host(a, x.*)`, map[string]string{"a x.b": "1", "a x.c": "2", "a y.c": "3"}, "1/2"},
		"a role makes a line each":                   {`role(s:r, x)`, map[string]string{"a x": "1", "b x": "2"}, "1/2"},
		"avg of what is there":                       {`avg(role(s:r, x))`, map[string]string{"a x": "1 2 - -", "b x": "2 - 5 -"}, "1.5 2 5 -"},
		"max":                                        {`max(role(s:r, x))`, map[string]string{"a x": "1 2 - -", "b x": "2 - -5 -"}, "2 2 -5 -"},
		"min":                                        {`min(role(s:r, x))`, map[string]string{"a x": "1 2 - -", "b x": "2 - -5 -"}, "1 2 -5 -"},
		"sum":                                        {`sum(role(s:r, x))`, map[string]string{"a x": "1 2 - -", "b x": "2 - -5 -"}, "3 2 -5 -"},
		"product":                                    {`product(role(s:r, x))`, map[string]string{"a x": "3 2 - -", "b x": "2 - -5 -"}, "6 2 -5 -"},
		"of one line it is that line":                {`sum(host(a, x))`, map[string]string{"a x": "3 - 1"}, "3 - 1"},
		"without a series there is no line":          {`sum(role(s:r, x))`, nil, ""},
		"what is named apart must be there":          {`sum(group(host(a, x), host(b, x)))`, map[string]string{"a x": "1 2 -", "b x": "10 - -"}, "11 - -"},
		"also if it is not there at all":             {`sum(group(host(a, x), host(b, x)))`, map[string]string{"a x": "1 2"}, "- -"},
		"also if it is computed of nothing":          {`max(group(host(a, x), avg(role(s:r, y))))`, map[string]string{"a x": "1 2"}, "- -"},
		"groups in groups":                           {`sum(group(group(host(a, x), host(b, x)), host(c, x)))`, map[string]string{"a x": "1 2 3", "b x": "10 - 30", "c x": "100 200 -"}, "111 - -"},
		"a group lists its lines":                    {`group(host(b, x), host(a, x))`, map[string]string{"a x": "1", "b x": "2"}, "2/1"},
		"too large a sum is none":                    {`sum(role(s:r, x))`, map[string]string{"a x": "1e308 1", "b x": "1e308 1"}, "- 2"},
		"diff":                                       {`diff(host(a, x), host(a, y))`, map[string]string{"a x": "5 5 - 5", "a y": "1 - 1 7"}, "4 - - -2"},
		"divide":                                     {`divide(host(a, x), host(a, y))`, map[string]string{"a x": "5 5 0 0", "a y": "2 0 0 3"}, "2.5 - - 0"},
		"a series and itself":                        {`divide(host(a, x), host(a, x))`, map[string]string{"a x": "5 0 2"}, "1 - 1"},
		"many by one":                                {`divide(role(s:r, x), host(a, y))`, map[string]string{"a x": "4", "b x": "6", "a y": "2"}, "2/3"},
		"one by many":                                {`diff(host(a, y), role(s:r, x))`, map[string]string{"a x": "4", "b x": "6", "a y": "2"}, "-2/-4"},
		"pairs of a host":                            {`divide(role(s:r, x), role(s:r, y))`, map[string]string{"a x": "4", "b x": "6", "c x": "9", "b y": "2", "c y": "3", "d y": "5"}, "3/3"},
		"pairs of a device":                          {`divide(host(a, fs.*.used), host(a, fs.*.size))`, map[string]string{"a fs.b.used": "1", "a fs.c.used": "2", "a fs.d.used": "2", "a fs.b.size": "10", "a fs.c.size": "4"}, "0.1/0.5"},
		"pairs of the same host in order":            {`diff(group(host(a, x), host(a, y)), group(host(a, y), host(a, x)))`, map[string]string{"a x": "1", "a y": "3"}, "-2/2"},
		"nothing has no partner":                     {`diff(role(s:r, x), host(a, y))`, map[string]string{"a y": "1"}, ""},
		"scale":                                      {`scale(host(a, x), 1/4)`, map[string]string{"a x": "2 - 4"}, "0.5 - 1"},
		"too large a product is none":                {`scale(host(a, x), 1e300)`, map[string]string{"a x": "1e300 0"}, "- 0"},
		"offset":                                     {`offset(host(a, x), -1.5)`, map[string]string{"a x": "2 - 4"}, "0.5 - 2.5"},
		"the median of an odd number":                {`percentile(role(s:r, x), 50)`, map[string]string{"a x": "9 1", "b x": "1 -", "c x": "4 -"}, "4 1"},
		"between two places":                         {`percentile(role(s:r, x), 25)`, map[string]string{"a x": "10 2", "b x": "20 4"}, "12.5 2.5"},
		"near the end":                               {`percentile(role(s:r, x), 90)`, map[string]string{"a x": "0", "b x": "10", "c x": "20"}, "18"},
		"percentile needs each operand":              {`percentile(group(host(a, x), host(b, x)), 50)`, map[string]string{"a x": "1 2", "b x": "3 -"}, "2 -"},
		"shifted":                                    {`timeShift(host(a, x), 2m)`, map[string]string{"a x": "1 - 3 4 5"}, "- - 1 - 3"},
		"against earlier":                            {`diff(host(a, x), timeShift(host(a, x), 1m))`, map[string]string{"a x": "1 3 7 - 8"}, "- 2 4 - -"},
		"the mean of what is there":                  {`movingAverage(host(a, x), 3m)`, map[string]string{"a x": "1 3 5 - 9 2 1 3"}, "1 2 3 - 7 5.5 4 2"},
		"of a minute":                                {`movingAverage(host(a, x), 1m)`, map[string]string{"a x": "1 - 5"}, "1 - 5"},
		"a mean of what was shifted":                 {`movingAverage(timeShift(host(a, x), 1m), 2m)`, map[string]string{"a x": "1 3 5 7"}, "- 1 2 4"},
		"a mean of a mean":                           {`movingAverage(movingAverage(host(a, x), 2m), 2m)`, map[string]string{"a x": "0 4 8 0"}, "0 1 4 5"},
		"a line has two points":                      {`linearRegression(host(a, x), 3m)`, map[string]string{"a x": "1 3 5 - 9 0"}, "- 3 5 - 9 0"},
		"the line of what scatters":                  {`linearRegression(host(a, x), 3m)`, map[string]string{"a x": "0 3 0 3"}, "- 3 1 2"},
		"seconds until the line is there":            {`timeLeftForecast(host(a, x), 3m, 10)`, map[string]string{"a x": "1 3 5 -"}, "- 210 150 -"},
		"from above":                                 {`timeLeftForecast(host(a, x), 3m, 0)`, map[string]string{"a x": "9 7 5"}, "- 210 150"},
		"on the threshold":                           {`timeLeftForecast(host(a, x), 3m, 5)`, map[string]string{"a x": "1 3 5"}, "- 60 0"},
		"a line that has just passed it":             {`timeLeftForecast(host(a, x), 3m, 4)`, map[string]string{"a x": "1 3 5 7 9 11"}, "- 30 0 0 0 315360000"},
		"a line that goes away is far from it":       {`timeLeftForecast(host(a, x), 3m, 10)`, map[string]string{"a x": "5 3 1"}, "- 315360000 315360000"},
		"a level line as well":                       {`timeLeftForecast(host(a, x), 3m, 10)`, map[string]string{"a x": "5 5 5"}, "- 315360000 315360000"},
		"a level line on the threshold":              {`timeLeftForecast(host(a, x), 3m, 5)`, map[string]string{"a x": "5 5 5"}, "- 0 0"},
		"stack and alias change no value":            {`stack(alias(host(a, x), "X"))`, map[string]string{"a x": "1 -"}, "1 -"},
		"a group keeps apart what is computed":       {`sum(group(scale(host(a, x), 2), offset(host(b, x), 1)))`, map[string]string{"a x": "1 2", "b x": "1 -"}, "4 -"},
		"differences keep apart what they are of":    {`sum(diff(group(host(a, x), host(b, x)), host(c, x)))`, map[string]string{"a x": "5 5", "b x": "6 -", "c x": "1 1"}, "9 -"},
		"pairs keep apart what they are of, too":     {`sum(diff(group(host(a, x), host(b, x)), group(host(a, y), host(b, y))))`, map[string]string{"a x": "5 5", "b x": "6 6", "a y": "1 1", "b y": "1 -"}, "9 -"},
		"one by several keeps apart, from the right": {`sum(diff(host(c, x), group(host(a, x), host(b, x))))`, map[string]string{"a x": "5 5", "b x": "6 -", "c x": "1 1"}, "-9 -"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := saba.ParseExpression(tt.expression)
			if err != nil {
				t.Fatal(err)
			}
			last := int64(0)
			for _, s := range tt.series {
				last = max(last, int64(len(strings.Fields(s))-1))
			}
			var got []string
			for _, l := range compute(e, 0, 60*last, linesFor(t, e, tt.series, 0, 60*last)) {
				got = append(got, written(l.values))
			}
			if s := strings.Join(got, "/"); s != tt.want {
				t.Errorf("%s of %v = %s, want %s", tt.expression, tt.series, s, tt.want)
			}
			// One minute alone is what it is among many.
			for at := range last + 1 {
				for i, l := range compute(e, 60*at, 60*at, linesFor(t, e, tt.series, 60*at, 60*at)) {
					if want := strings.Fields(strings.Split(tt.want, "/")[i])[at]; written(l.values) != want {
						t.Errorf("%s at minute %d alone = %s, want %s", tt.expression, at, written(l.values), want)
					}
				}
			}
		})
	}
}

func TestHowALineIsShown(t *testing.T) {
	e, err := saba.ParseExpression(`group(stack(role(s:r, x)), alias(avg(role(s:r, x)), "mean of all"))`)
	if err != nil {
		t.Fatal(err)
	}
	lines := compute(e, 0, 0, linesFor(t, e, map[string]string{"a x": "1", "b x": "2"}, 0, 0))
	if len(lines) != 3 || !lines[0].stacked || !lines[1].stacked || lines[2].stacked || lines[0].label != "x" || lines[2].label != "mean of all" {
		t.Errorf("lines are %+v", lines)
	}
}

func TestSelectorsSayWhatIsRead(t *testing.T) {
	for text, want := range map[string]string{
		`host(a, x)`:                                     "host a x 0 0",
		`avg(role(s:r, x))`:                              "role s:r x 0 0",
		`timeShift(host(a, x), 1h)`:                      "host a x 3600 3600",
		`movingAverage(host(a, x), 1h)`:                  "host a x 3540 0",
		`timeShift(movingAverage(host(a, x), 2m), 1h)`:   "host a x 3660 3600",
		`timeLeftForecast(host(a, x), 3mo, 5)`:           "host a x 7775940 0",
		`linearRegression(timeShift(host(a, x),1m), 2m)`: "host a x 120 60",
		`divide(service(a, x), timeShift(group(roleSlots(s:r, y), host(b, z)), 1d))`: "service a x 0 0,roleSlots s:r y 86400 86400,host b z 86400 86400",
	} {
		e, err := saba.ParseExpression(text)
		if err != nil {
			t.Fatal(err)
		}
		list, err := selectors(e)
		var got []string
		for _, s := range list {
			got = append(got, fmt.Sprint(s.call.Name, " ", s.call.Args[0].Text, " ", s.call.Args[1].Text, " ", s.back, " ", s.until))
		}
		if s := strings.Join(got, ","); err != nil || s != want {
			t.Errorf("selectors of %s: %s, %v; want %s", text, s, err, want)
		}
	}
	for _, text := range []string{`timeShift(host(a, x), 6y)`, `movingAverage(timeShift(host(a, x), 3y), 3y)`, strings.Repeat("timeShift(", 40) + "host(a, x)" + strings.Repeat(", 999999999y)", 40)} {
		e, err := saba.ParseExpression(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := selectors(e); !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), "at most 1830 are allowed") {
			t.Errorf("selectors of %.40s: %v, want that it reads too far back", text, err)
		}
	}
}

// The trends of windows are those that are computed of each window alone, whatever the width and the gaps.
func TestTrends(t *testing.T) {
	values := make([]float64, 100)
	for i := range values {
		values[i] = math.Sin(float64(i)) * 1000
		if i%7 == 3 || i > 40 && i < 60 {
			values[i] = math.NaN()
		}
	}
	values[80] = 1e15 // what comes after it must not lose its digits
	for _, width := range []int{1, 2, 3, 7, 33, 50, 99, 100} {
		calls := 0
		trends(values, width, func(i int, got trend) {
			if i != calls {
				t.Fatalf("width %d: call %d is of window %d", width, calls, i)
			}
			calls++
			var n, x, y, xx, xy, most float64
			for k, v := range values[i : i+width] {
				if !math.IsNaN(v) {
					n, x, y, most = n+1, x+float64(i+k), y+v, max(most, math.Abs(v))
				}
			}
			if got.n != n {
				t.Fatalf("width %d, window %d: %v values, want %v", width, i, got.n, n)
			}
			if n == 0 {
				return
			}
			x, y = x/n, y/n
			for k, v := range values[i : i+width] {
				if !math.IsNaN(v) {
					xx, xy = xx+(float64(i+k)-x)*(float64(i+k)-x), xy+(float64(i+k)-x)*(v-y)
				}
			}
			near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-12*most }
			if !near(got.value, y) || n > 1 && !near(got.slope(), xy/xx) || n == 1 && !math.IsNaN(got.slope()) {
				t.Errorf("width %d, window %d: mean %v, slope %v; want %v, %v", width, i, got.value, got.slope(), y, xy/xx)
			}
		})
		if calls != len(values)-width+1 {
			t.Errorf("width %d: %d windows", width, calls)
		}
	}
	trends(values, 101, func(int, trend) { t.Error("there is a window that is wider than all values") })
}

// A generous engine has a sample of everything in every third minute, and whatever a pattern may mean.
type generous struct{ Samples }

func (generous) Like(_ context.Context, org string, hosts []string, service, pattern string, _, _ int64) (all []saba.Series, err error) {
	for _, h := range append(hosts, service) {
		for _, s := range []string{"a", "b"} {
			if h != "" {
				all = append(all, saba.Series{Org: org, Host: h, Name: strings.ReplaceAll(pattern, "*", s)})
			}
		}
	}
	return all, nil
}

func (generous) Range(ctx context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error) {
	all := make([][]saba.Sample, len(series))
	for i := range all {
		for at := from; at <= to; at += 180 {
			all[i] = append(all[i], saba.Sample{Time: at, Value: float64(at % 7)})
		}
	}
	return all, ctx.Err()
}

type threeHosts struct{ Store }

func (threeHosts) Hosts(context.Context, string, saba.HostFilter) (hosts []saba.Host, err error) {
	for _, id := range []string{"h1", "h2", "h3"} {
		hosts = append(hosts, saba.Host{ID: id, Name: id, Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	}
	return hosts, nil
}

func (threeHosts) Services(context.Context, string) ([]saba.Service, error) {
	return []saba.Service{{Name: "shop", Series: "shop"}}, nil
}

// Whatever parses can be evaluated or is refused: without a panic, with as many values as minutes, all finite or missing.
func FuzzEvaluate(f *testing.F) {
	for _, text := range []string{
		`avg(role(shop:web, x))`, `divide(sum(host(h1, a.*.b)), service(shop, y))`, `timeLeftForecast(movingAverage(host(h1, x), 5m), 1h, 1e9)`, `role(shop, x)`,
		`percentile(group(roleSlots(shop:web, interface.rxBytes.delta), timeShift(host(h2, x), 1y)), 99.9)`, `linearRegression(scale(product(role(shop:web, x)), 1e300), 9y)`,
		`diff(group(host(a, x), host(b, *)), role(shop:web, x.*))`, `alias(stack(offset(min(max(host(a, x))), -1)), "")`, strings.Repeat(`sum(`, 40) + `host(a, x)` + strings.Repeat(`)`, 40),
	} {
		f.Add(text, int64(1_700_000_100), int64(30))
	}
	f.Fuzz(func(t *testing.T, text string, from, length int64) {
		e, err := saba.ParseExpression(text)
		if err != nil || len(text) > 2000 {
			return
		}
		from = saba.Minute(from % 4_000_000_000)
		length = max(1, length%5000)
		s := source{org: "org", store: threeHosts{}, samples: generous{}}
		got, err := s.evaluate(t.Context(), e, from, from+60*(length-1))
		if err != nil {
			if !errors.Is(err, saba.ErrInvalid) {
				t.Errorf("%s: %v does not match ErrInvalid", text, err)
			}
			return
		}
		if e.Single() && len(got.lines) > 1 {
			t.Errorf("%s is single and has %d lines", text, len(got.lines))
		}
		for _, l := range got.lines {
			if int64(len(l.values)) != length {
				t.Errorf("%s has %d values for %d minutes", text, len(l.values), length)
			}
			if slices.ContainsFunc(l.values, func(v float64) bool { return math.IsInf(v, 0) }) {
				t.Errorf("%s has an infinite value", text)
			}
		}
	})
}
