package promapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func TestQueries(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	r.clock.Store(start + 600)
	web1 := saba.Series{Org: "org1", Host: "web1", Name: "loadavg5"}
	r.put(web1, start, 1, 2, 3, 4)
	r.put(web1, start+120, 30) // rewritten, at a later second of the minute in the engine
	r.put(web1, start+300, 6)
	at := func(s int64) string { return strconv.FormatInt(start+s, 10) }
	for _, tt := range []struct {
		name, path, want string
		params           []string
	}{
		{"an instant vector", "/query", `{"resultType":"vector","result":[{"metric":{"__name__":"loadavg5","host":"web1","host_name":"web1.example","role":"web","service":"shop"},"value":[1700000100,"1"]}]}`,
			[]string{"query", `{__name__="loadavg5", role="web", service="shop", host="web1"}`}},
		{"a number", "/query", `{"resultType":"scalar","result":[1700000100.5,"3"]}`, []string{"query", "1+2", "time", "1700000100.5"}},
		{"a text", "/query", `{"resultType":"string","result":[1700000100,"x"]}`, []string{"query", `"x"`}},
		{"a time as RFC 3339", "/query", `{"resultType":"scalar","result":[1700000100,"1700000100"]}`, []string{"query", "time()", "time", "2023-11-14T22:15:00Z"}},
		{"nothing is an empty list", "/query", `{"resultType":"vector","result":[]}`, []string{"query", "absent_metric"}},
		{"no range is one either", "/query_range", `{"resultType":"matrix","result":[]}`, []string{"query", "absent_metric", "start", at(0), "end", at(60), "step", "60"}},
		{"a host of two roles counts once", "/query", `{"resultType":"vector","result":[{"metric":{},"value":[1700000100,"5"]}]}`, []string{"query", `sum(loadavg5)`}},
		{"also within one of its roles", "/query", `{"resultType":"vector","result":[{"metric":{"role":"db"},"value":[1700000100,"2"]}]}`, []string{"query", `sum by (role) (loadavg5{role="db"})`}},
		{"one sample a minute, the last one", "/query", `{"resultType":"matrix","result":[{"metric":{"__name__":"loadavg5","host":"web1","host_name":"web1.example","role":"web","service":"shop"},"values":[[1700000100,"1"],[1700000160,"2"],[1700000220,"30"],[1700000280,"4"]]}]}`,
			[]string{"query", `loadavg5{host="web1"}[10m]`, "time", at(280)}},
		{"a range", "/query_range", `{"resultType":"matrix","result":[{"metric":{"host":"web1"},"values":[[1700000220,"30"],[1700000280,"4"],[1700000340,"4"],[1700000400,"6"]]}]}`,
			[]string{"query", `max by (host) (loadavg5{host="web1"})`, "start", at(120), "end", at(300), "step", "1m"}},
		{"an infinite value", "/query", `{"resultType":"vector","result":[{"metric":{},"value":[1700000100,"+Inf"]}]}`, []string{"query", `sum(orders)/0`}},
		{"by the engine's own name", "/query", `{"resultType":"vector","result":[]}`, []string{"query", `loadavg5{org="org2"}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := r.get(tt.path, tt.params...); got != tt.want {
				t.Errorf("%s\nwant\n%s", got, tt.want)
			}
		})
	}
	form := url.Values{"query": {`count(loadavg5)`}, "time": {at(0)}}.Encode()
	a := r.send(http.MethodPost, "/api/prom/v1/query", keyRead, form, "Content-Type", "application/x-www-form-urlencoded")
	if a.status != http.StatusOK || !strings.Contains(a.body, `"value":[1700000100,"5"]`) {
		t.Errorf("by POST: %d %s", a.status, a.body)
	}
	if a := r.ask(keyRead, "/query", "query", "loadavg5", "limit", "2"); !strings.Contains(a.body, `"warnings":["results truncated due to limit"]`) || strings.Count(a.body, `"metric"`) != 2 {
		t.Errorf("limit=2: %s", a.body)
	}
	if a := r.ask(keyRead, "/query", "query", "rate(loadavg5[5m])", "time", at(280)); !strings.Contains(a.body, `"infos":["PromQL info: metric might not be a counter`) {
		t.Errorf("a rate of what may be no counter: %s", a.body)
	}
}

func TestBadQueriesAreRefused(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	step := []string{"start", "1700000000", "end", "1700000100", "step", "60"}
	for _, tt := range []struct {
		path, kind, saying string
		status             int
		params             []string
	}{
		{"/query", "bad_data", "query", 400, nil},
		{"/query", "bad_data", "parse error", 400, []string{"query", "sum("}},
		{"/query", "bad_data", "parse error", 400, []string{"query", `{host=""}`}},
		{"/query", "bad_data", "timestamp", 400, []string{"query", "1", "time", "noon"}},
		{"/query", "bad_data", "timestamp", 400, []string{"query", "1", "time", "1e300"}},
		{"/query", "bad_data", "timestamp", 400, []string{"query", "1", "time", "NaN"}},
		{"/query", "bad_data", "timeout", 400, []string{"query", "1", "timeout", "soon"}},
		{"/query", "bad_data", "timeout", 400, []string{"query", "1", "timeout", "0"}},
		{"/query", "bad_data", "lookback_delta", 400, []string{"query", "1", "lookback_delta", "-5m"}},
		{"/query", "bad_data", "32768", 400, []string{"query", strings.Repeat("1+", 20_000) + "1"}},
		{"/query", "execution", "many-to-many", 422, []string{"query", `loadavg5 * on (service) loadavg5`}},
		{"/query_range", "bad_data", "start", 400, []string{"query", "1"}},
		{"/query_range", "bad_data", "step", 400, []string{"query", "1", "start", "1700000000", "end", "1700000100"}},
		{"/query_range", "bad_data", "step", 400, []string{"query", "1", "start", "1700000000", "end", "1700000100", "step", "0"}},
		{"/query_range", "bad_data", "step", 400, []string{"query", "1", "start", "1700000000", "end", "1700000100", "step", "NaN"}},
		{"/query_range", "bad_data", "before start", 400, []string{"query", "1", "start", "1700000100", "end", "1700000000", "step", "60"}},
		{"/query_range", "bad_data", "11000", 400, []string{"query", "1", "start", "1690000000", "end", "1700000000", "step", "60"}},
		{"/query_range", "bad_data", "days back", 400, []string{"query", "1", "start", "1000", "end", "1700000000", "step", "1d"}},
		{"/query_range", "bad_data", "range vector", 400, append([]string{"query", "loadavg5[5m]"}, step...)},
	} {
		t.Run(fmt.Sprintf("%.60s", tt.params), func(t *testing.T) {
			r.wantFailure(r.ask(keyRead, tt.path, tt.params...), tt.status, tt.kind, tt.saying)
		})
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("the mistakes of a client are in the log:\n%s", r.log)
	}
}

func TestQueriesAreBounded(t *testing.T) {
	l := limits{}.orDefault()
	l.samples, l.reads, l.wait = 20, 1, time.Millisecond
	r := newRig(t, l, manySeries)
	r.wantFailure(r.ask(keyRead, "/query_range", "query", "loadavg5", "start", "1700000100", "end", "1700000400", "step", "10"), 422, "execution", "more than 20 samples")
	r.wantFailure(r.ask(keyRead, "/query", "query", "loadavg5", "timeout", "0.000000001"), 503, "timeout", "longer than 1ns")
	big := "query=" + strings.Repeat("1", queryBody)
	r.wantFailure(r.send(http.MethodPost, "/api/prom/v1/query", keyRead, big, "Content-Type", "application/x-www-form-urlencoded"), 413, "bad_data", "larger than 1024 KiB")
}

func TestDurations(t *testing.T) {
	for v, want := range map[string]time.Duration{
		"60": time.Minute, "0.5": time.Second / 2, "1m": time.Minute, "1h30m": 90 * time.Minute, "5ms": 5 * time.Millisecond, "1d": 24 * time.Hour, "2w": 14 * 24 * time.Hour,
		"": 0, "m": 0, "1": time.Second, "1m1h": 0, "1m1m": 0, "-1m": 0, "1x": 0, "1m ": 0, "999999y": 0, "99999999999999999999s": 0,
	} {
		if got, err := durationParam(v, "step"); got != want || (err == nil) != (want > 0) {
			t.Errorf("durationParam(%q) = %v, %v; want %v", v, got, err, want)
		}
	}
}

// Whatever is asked, the answer is JSON with a status, and never our fault.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{`loadavg5{role="web"}`, `sum by (role) (rate(loadavg5[5m]))`, `{"a.b"}`, `x offset -5m @ 1`, `label_replace(orders,"a","$1","service","(.*)")`, `orders[5m:1s]`} {
		f.Add(q, "1700000100")
	}
	r := newRig(f, limits{}, manySeries)
	f.Fuzz(func(t *testing.T, query, at string) {
		mine := &rig{TB: t, url: r.url}
		a := mine.ask(keyRead, "/query", "query", query, "time", at)
		var body struct{ Status, ErrorType string }
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Status == "" || a.status == 500 {
			t.Errorf("%q at %q: %d %.300s (%v)", query, at, a.status, a.body, err)
		}
		if strings.Contains(a.body, "web1x") || strings.Contains(a.body, "secret") && !strings.Contains(query, "secret") {
			t.Errorf("%q shows another organization: %s", query, a.body)
		}
	})
}

// Whatever the parameters of whatever call hold, the answer is JSON with a status, and never our fault.
func FuzzParameters(f *testing.F) {
	all := routes()
	for i := range all {
		for _, s := range []string{
			"match[]=loadavg5&start=0&end=9e99&limit=1", "query=loadavg5&start=1700000000&end=1700000100&step=60", "query=x&start=1&end=2&step=0", "match[]={&match[]=%ff", "time=NaN&query=1&timeout=-1s",
			"start=2100-01-01T00:00:00Z&limit=99999999999999999999", "%", ";", strings.Repeat("match[]=a&", 500), "query=" + strings.Repeat("(", 5000),
		} {
			f.Add(uint16(i), "__name__", s)
		}
		f.Add(uint16(i), "%F0%9F%90%9F", "")
		f.Add(uint16(i), "U__a_2e_b", "match[]={}")
	}
	r := newRig(f, limits{}, manySeries)
	f.Fuzz(func(t *testing.T, call uint16, label, query string) {
		rt := all[int(call)%len(all)]
		path, err := url.PathUnescape(label)
		if err != nil {
			return
		}
		req := httptest.NewRequest(rt.methods[len(rt.methods)-1], "/", strings.NewReader(query))
		req.URL.Path = strings.Replace(rt.path, "{name}", path, 1)
		req.URL.RawQuery = query
		req.Header.Set("Authorization", "Bearer "+keyBoth)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s?%.300q: %d %.300s", req.URL.Path, query, w.Code, w.Body)
		}
	})
}
