package drain

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
	"github.com/saba-monitor/saba/internal/otlp"
	"github.com/saba-monitor/saba/internal/protowire"
)

const (
	asJSON  = "application/json"
	asProto = "application/x-protobuf"
)

// send posts a body to a path and returns the answer. headers are names and values.
func (r *rig) send(path, kind, body string, headers ...string) *httptest.ResponseRecorder {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Content-Type", kind)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	switch req.URL.Path {
	case LogsPath:
		r.drains.Logs(r.records).ServeHTTP(w, req)
	case MetricsPath:
		r.drains.Metrics(next).ServeHTTP(w, req)
	default:
		r.drains.ServeHTTP(w, req)
	}
	return w
}

// pb is a field of a protobuf message with the parts of one inside; number is at most 15.
func pb(number byte, parts ...[]byte) []byte {
	return protowire.AppendBytes(nil, number, slices.Concat(parts...))
}

func pbText(number byte, s string) []byte { return pb(number, []byte(s)) }

func pbFixed(number byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{number<<3 | byte(protowire.Fixed64)}, v)
}

func pbDouble(number byte, v float64) []byte { return pbFixed(number, math.Float64bits(v)) }

// pbAttribute is a KeyValue.
func pbAttribute(number byte, key, value string) []byte {
	return pb(number, pbText(1, key), pb(2, pbText(1, value)))
}

func nanosOf(at time.Time) uint64 { return uint64(at.UnixNano()) }

// logRecord is one in JSON.
func logRecord(at time.Time, body string, attributes ...string) string {
	return fmt.Sprintf(`{"timeUnixNano":"%d","body":{"stringValue":%q},"attributes":%s}`, at.UnixNano(), body, jsonAttributes(attributes...))
}

func jsonAttributes(pairs ...string) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, fmt.Sprintf(`{"key":%q,"value":{"stringValue":%q}}`, pairs[i], pairs[i+1]))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func logsOf(resource string, records ...string) string {
	return `{"resourceLogs":[{"resource":{"attributes":` + resource + `},"scopeLogs":[{"logRecords":[` + strings.Join(records, ",") + `]}]}]}`
}

func metricsOf(resource string, metrics ...string) string {
	return `{"resourceMetrics":[{"resource":{"attributes":` + resource + `},"scopeMetrics":[{"metrics":[` + strings.Join(metrics, ",") + `]}]}]}`
}

// numberPoint is a data point in JSON.
func numberPoint(at time.Time, value float64, attributes ...string) string {
	return fmt.Sprintf(`{"timeUnixNano":"%d","asDouble":%v,"attributes":%s}`, at.UnixNano(), value, jsonAttributes(attributes...))
}

func gauge(name, unit string, points ...string) string {
	return fmt.Sprintf(`{"name":%q,"unit":%q,"gauge":{"dataPoints":[%s]}}`, name, unit, strings.Join(points, ","))
}

// sum is a sum that only grows; temporality is 1 for deltas and 2 for totals.
func sum(name, unit string, temporality int, points ...string) string {
	return fmt.Sprintf(`{"name":%q,"unit":%q,"sum":{"aggregationTemporality":%d,"isMonotonic":true,"dataPoints":[%s]}}`, name, unit, temporality, strings.Join(points, ","))
}

func (r *rig) wantAnswer(w *httptest.ResponseRecorder, code int, saying string) {
	r.Helper()
	if w.Code != code || !strings.Contains(w.Body.String(), saying) || saying == "{}" && w.Body.String() != "{}" {
		r.Errorf("the answer is %d %q, want %d with %q", w.Code, w.Body, code, saying)
	}
}

func TestLogRecordsBecomeLines(t *testing.T) {
	r := newRig(t)
	own := Prefix + r.token + LogsPath
	proto := string(pb(1,
		pb(2, pb(2, pbFixed(1, nanosOf(begin)), pb(5, pbText(1, "count#proto sample#size=2kB")), pbAttribute(6, "heroku.dyno.name", "worker.1")),
			pb(2, pbFixed(11, nanosOf(begin)), pb(5, pb(6, pb(1, pbText(1, "level"), pb(2, pbText(1, "two words"))), pb(1, pbText(1, "count#map"), pb(2, []byte{3 << 3, 4})))))),
		pb(1, pbAttribute(1, "service.name", "shop"), pbAttribute(1, "host.name", "h1"))))
	r.wantAnswer(r.send(own, asProto, proto), 200, "")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(strings.ReplaceAll(proto, "count#proto", "count#gzips")))
	r.check(err)
	r.check(z.Close())
	r.wantAnswer(r.send(own, asProto, zipped.String(), "Content-Encoding", "gzip"), 200, "")
	r.wantAnswer(r.send(own, asJSON, logsOf(jsonAttributes("service.name", "heroku-router"),
		logRecord(begin, "count#json\ncount#json"), logRecord(begin, `at=info method=GET path="/" dyno=web.1 connect=1ms service=18ms status=200 bytes=13`))), 200, "{}")
	r.wantAnswer(r.send(own, asJSON, logsOf("[]", logRecord(begin, `at=error code=H12 status=503`, "appname", "heroku", "proc_id", "router"))), 200, "{}")
	r.wait(2 * time.Minute)
	r.want("proto", begin, 1)
	r.want("gzips", begin, 1)
	r.want("map", begin, 8)
	r.want("size", begin, 2048)
	r.want("json", begin, 2)
	r.want("router.requests", begin, 2)
	r.want("router.errors.H12", begin, 1)
	found := false
	for _, l := range r.drains.Status("d1").Recent {
		if l.Host == "h1" && l.App == "shop" && l.Proc == "worker.1" && string(l.Text) == "count#proto sample#size=2kB" {
			found = true
		}
	}
	if !found {
		t.Errorf("no line says who wrote it: %v", r.drains.Status("d1").Recent)
	}
}

func TestOTLPSentAgainCountsOnce(t *testing.T) {
	r := newRig(t)
	own := Prefix + r.token
	logs, metrics := logsOf("[]", logRecord(begin, "count#jobs")), metricsOf("[]", sum("deltas", "", 1, numberPoint(begin, 5)))
	for range 3 {
		r.wantAnswer(r.send(own+LogsPath, asJSON, logs), 200, "{}")
		r.wantAnswer(r.send(own+MetricsPath, asJSON, metrics), 200, "{}")
		r.restart()
	}
	// What has no time may be the same twice.
	for range 2 {
		r.wantAnswer(r.send(own+LogsPath, asJSON, logsOf("[]", `{"body":{"stringValue":"count#timeless"}}`)), 200, "{}")
	}
	r.wait(2 * time.Minute)
	r.want("jobs", begin, 1)
	r.want("deltas", begin, 5)
	r.want("timeless", begin, 2)
}

func TestOTLPMetricsBecomeReadings(t *testing.T) {
	r := newRig(t)
	own := Prefix + r.token + MetricsPath
	dyno := jsonAttributes("heroku.dyno.name", "web.1", "service.name", "app")
	at := begin
	r.wantAnswer(r.send(own, asJSON, metricsOf(dyno,
		gauge("queue.depth", "{job}", numberPoint(at, 3, "queue", "mail.out"), numberPoint(at.Add(time.Second), 4, "queue", "mail.out")),
		gauge("heap size", "MiBy", numberPoint(at, 2)),
		gauge("lag", "s", numberPoint(at, 1.5)),
		sum("requests", "{request}", 1, numberPoint(at, 3, "status", "200"), numberPoint(at, 4, "status", "200"), numberPoint(at, 1, "status", "500")),
		`{"name":"open","sum":{"aggregationTemporality":2,"isMonotonic":false,"dataPoints":[`+numberPoint(at, 7)+`]}}`,
		fmt.Sprintf(`{"name":"latency","unit":"s","histogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"%d","count":"6","sum":1.5,"bucketCounts":["1","5"],"explicitBounds":[1]}]}}`, at.UnixNano()),
		fmt.Sprintf(`{"name":"expo","unit":"ms","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"%d","count":"2","sum":30}]}}`, at.UnixNano()),
		fmt.Sprintf(`{"name":"gc","summary":{"dataPoints":[{"timeUnixNano":"%d","count":9,"sum":3,"quantileValues":[{"quantile":0.99,"value":0.25}]}]}}`, at.UnixNano()),
		gauge("silent", "", fmt.Sprintf(`{"timeUnixNano":"%d","flags":1}`, at.UnixNano())),
	)), 200, "{}")
	r.wait(2 * time.Minute)
	for name, want := range map[string]float64{
		"queue.depth.web.1.mail_out": 4, "heap_size.web.1": 2 << 20, "lag.web.1": 1500, "requests.200": 7, "requests.500": 1, "open.web.1": 7,
		"latency.count": 6, "latency.sum": 1500, "expo.count": 2, "expo.sum": 30, "gc.p99.web.1": 0.25,
	} {
		r.want(name, at, want)
	}
	r.want("silent.web.1", at)
	r.want("gc.count", at) // the first total says nothing
	defs, err := r.records.ServiceGraphDefs(t.Context(), "org1", "shop")
	r.check(err)
	units := map[string]saba.Unit{}
	for _, d := range defs {
		units[d.Name] = d.Unit
	}
	for name, want := range map[string]saba.Unit{"heap_size": saba.UnitBytes, "lag": saba.UnitMilliseconds, "requests": saba.UnitInteger, "queue.depth": saba.UnitInteger} {
		if units[name] != want {
			t.Errorf("the graph of %s has the unit %q, want %q", name, units[name], want)
		}
	}
}

// Totals count by what they increased, over kills and requests that are sent again; a counter that begins anew has no increase.
func TestTotalsCountTheirIncrease(t *testing.T) {
	r := newRig(t)
	own := Prefix + r.token + MetricsPath
	post := func(after time.Duration, value float64, start uint64, attributes ...string) {
		t.Helper()
		p := strings.Replace(numberPoint(begin.Add(after), value, attributes...), "{", fmt.Sprintf(`{"startTimeUnixNano":"%d",`, start), 1)
		r.wantAnswer(r.send(own, asJSON, metricsOf(jsonAttributes("service.instance.id", "i1"), sum("total", "", 2, p))), 200, "{}")
		r.restart()
	}
	minute := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	post(0, 100, 1)
	r.wait(time.Minute)
	post(time.Minute, 130, 1)
	post(time.Minute, 130, 1)                 // again
	post(30*time.Second, 120, 1)              // out of order
	post(time.Minute+20*time.Second, 131, 1)  // the same minute
	post(time.Minute, 7, 1, "path", "/other") // another series
	r.wait(time.Minute)
	post(2*time.Minute, 5, 1) // began anew, as its value says
	r.wait(time.Minute)
	post(3*time.Minute, 9, 1)
	r.wait(time.Minute)
	post(4*time.Minute, 900, 2) // began anew, as it says itself
	r.wait(time.Minute)
	post(5*time.Minute, 900, 2) // nothing happened
	r.wait(2 * time.Minute)
	r.want("total", minute(0))
	r.want("total", minute(1), 31)
	r.want("total", minute(2))
	r.want("total", minute(3), 4)
	r.want("total", minute(4))
	r.want("total", minute(5), 0)
	r.want("total._other", minute(1))
	r.wait(20 * time.Minute)
	if batches, err := r.records.DrainBatches(t.Context(), "d1"); err != nil || len(batches) > 0 {
		t.Errorf("%d batches are kept, error %v; want none, since totals of long ago are forgotten", len(batches), err)
	}
	post(30*time.Minute, 1000, 2)
	r.wait(2 * time.Minute)
	r.want("total", minute(30))
}

func TestOTLPSaysWhatItDidNotTake(t *testing.T) {
	r := newRig(t)
	own := Prefix + r.token
	var five []string
	for i := range 5 {
		five = append(five, fmt.Sprint("k", i), "v")
	}
	for name, tt := range map[string]struct {
		metric string
		n      int
		saying string
	}{
		"no temporality":          {sum("m", "", 0, numberPoint(begin, 1), numberPoint(begin, 1)), 2, "neither that it is cumulative"},
		"no name":                 {gauge("", "", numberPoint(begin, 1)), 1, "has no name"},
		"no value":                {gauge("m", "", fmt.Sprintf(`{"timeUnixNano":"%d"}`, begin.UnixNano())), 1, "has no value"},
		"no time":                 {gauge("m", "", `{"asDouble":1}`), 1, "has no time"},
		"too old":                 {gauge("m", "", numberPoint(begin.Add(-25*time.Hour), 1)), 1, "too old"},
		"a time after all":        {gauge("m", "", `{"timeUnixNano":"18446744073709551615","asDouble":1}`), 1, "too new"},
		"too many attributes":     {gauge("m", "", numberPoint(begin, 1, five...)), 1, "5 attributes"},
		"a name without an end":   {gauge(strings.Repeat("x", 100)+strings.Repeat(".y", 100), "", numberPoint(begin, 1, "a", strings.Repeat("z", 300))), 1, "bad name"},
		"not a number, in a sum":  {strings.Replace(sum("m", "", 1, numberPoint(begin, 1)), `"asDouble":1`, `"asDouble":null`, 1), 1, "not finite"},
		"a total that is no more": {strings.Replace(sum("m", "", 2, numberPoint(begin, 1)), `"asDouble":1`, `"asDouble":"NaN"`, 1), 1, "not finite"},
	} {
		t.Run(name, func(t *testing.T) {
			w := r.send(own+MetricsPath, asJSON, metricsOf("[]", tt.metric, gauge("good", "", numberPoint(begin, 1))))
			if w.Code != 200 || !strings.Contains(w.Body.String(), fmt.Sprintf(`"rejectedDataPoints":"%d"`, tt.n)) || !strings.Contains(w.Body.String(), tt.saying) {
				t.Errorf("%d %s, want %d refused with %q", w.Code, w.Body, tt.n, tt.saying)
			}
		})
	}
	if n := r.drains.Status("d1").Refused; len(n) == 0 {
		t.Error("nothing is counted as refused")
	}
	w := r.send(own+LogsPath, asJSON, logsOf("[]", `{"body":{"arrayValue":{"values":[{"kvlistValue":{}}]}}}`, logRecord(begin, "count#good")))
	r.wantAnswer(w, 200, `"rejectedLogRecords":"1"`)
	// In protobuf: partial_success = 1 (rejected = 1, error_message = 2).
	w = r.send(own+MetricsPath, asProto, string(pb(1, pb(2, pb(2, pbText(1, "p"), pb(7, pb(1, pbFixed(3, nanosOf(begin)), pbDouble(4, 1))))))))
	m := protowire.Read(w.Body.Bytes())
	if w.Code != 200 || !m.Next() || !m.Is(1, protowire.Lengthy) {
		t.Fatalf("%d %q", w.Code, w.Body)
	}
	if in := m.Sub(); !in.Next() || !in.Is(1, protowire.Varint) || in.Integer() != 1 {
		t.Errorf("%q does not say that one point was refused", w.Body)
	}
}

// Each way in asks for its token, or its key, and lets nobody else in.
func TestWhoMayPostToADrain(t *testing.T) {
	r := newRig(t)
	r.check(r.records.CreateKey(t.Context(), saba.Key{ID: "k1", Org: "org1", Name: "w", Hash: saba.HashSecret("saba_write"), Write: true}))
	r.check(r.records.CreateKey(t.Context(), saba.Key{ID: "k2", Org: "org1", Name: "r", Hash: saba.HashSecret("saba_read"), Read: true}))
	_, err := r.records.EnsureOrg(t.Context(), saba.Org{ID: "org1", Name: "first"})
	r.check(err)
	language := `{"counters":{"n":1},"gauges":{}}`
	logs, metrics := logsOf(jsonAttributes("service.name", "shop"), logRecord(begin, "count#n")), metricsOf("[]", sum("n", "", 1, numberPoint(begin, 1)))
	for _, tt := range []struct {
		path, kind, body string
		good             int
	}{
		{Prefix + "TOKEN", "text/plain", "count#n", 204},
		{Prefix + "TOKEN/metrics", asJSON, language, 200},
		{Prefix + "TOKEN" + LogsPath, asJSON, logs, 200},
		{Prefix + "TOKEN" + MetricsPath, asJSON, metrics, 200},
	} {
		for token, want := range map[string]int{r.token: tt.good, "saba_other": 401, "saba_write": 401, "saba_read": 401, strings.Repeat("x", 200): 401, "": 401} {
			path := strings.Replace(tt.path, "TOKEN", token, 1)
			if w := r.send(path, tt.kind, tt.body); w.Code != want {
				t.Errorf("POST %s with %.20q is answered with %d %s, want %d", tt.path, token, w.Code, w.Body, want)
			}
		}
		req := httptest.NewRequest(http.MethodGet, strings.Replace(tt.path, "TOKEN", r.token, 1), nil)
		w := httptest.NewRecorder()
		if r.drains.ServeHTTP(w, req); w.Code != 405 || w.Header().Get("Allow") != http.MethodPost {
			t.Errorf("GET %s is answered with %d", tt.path, w.Code)
		}
	}
	basic := func(user, password string) []string {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.SetBasicAuth(user, password)
		return []string{"Authorization", req.Header.Get("Authorization")}
	}
	for name, tt := range map[string]struct {
		path, body string
		headers    []string
		want       int
		saying     string
	}{
		"logs without a key":             {LogsPath, logs, nil, 401, "token of a drain"},
		"logs with a token as bearer":    {LogsPath, logs, []string{"Authorization", "Bearer " + r.token}, 200, ""},
		"logs with a token as password":  {LogsPath, logs, basic("x", r.token), 200, ""},
		"logs with a token as user":      {LogsPath, logs, basic(r.token, ""), 200, ""},
		"logs with a foreign token":      {LogsPath, logs, []string{"Authorization", "Bearer saba_other"}, 401, ""},
		"logs with a read key":           {LogsPath, logs, []string{"X-Api-Key", "saba_read"}, 403, ""},
		"logs with a write key":          {LogsPath, logs, []string{"X-Api-Key", "saba_write"}, 200, "{}"},
		"logs with a write key, basic":   {LogsPath, logs, basic("x", "saba_write"), 200, "{}"},
		"logs for a drain that is named": {LogsPath + "?drain=d1", logsOf("[]", logRecord(begin, "a")), []string{"X-Api-Key", "saba_write"}, 200, "{}"},
		"logs for a drain that is not":   {LogsPath + "?drain=d2", logs, []string{"X-Api-Key", "saba_write"}, 400, "no drain"},
		"logs for no service":            {LogsPath, logsOf("[]", logRecord(begin, "a")), []string{"X-Api-Key", "saba_write"}, 200, "0 drains"},
		"metrics with a token":           {MetricsPath, metrics, []string{"Authorization", "Bearer " + r.token}, 200, "{}"},
		"metrics with a token as user":   {MetricsPath, metrics, basic(r.token, "x"), 200, "{}"},
		"metrics with a key":             {MetricsPath, metrics, []string{"X-Api-Key", "saba_write"}, http.StatusTeapot, ""},
		"metrics with a bearer key":      {MetricsPath, metrics, []string{"Authorization", "Bearer saba_write"}, http.StatusTeapot, ""},
		"metrics without a key":          {MetricsPath, metrics, nil, http.StatusTeapot, ""},
		"traces":                         {Prefix + r.token + "/v1/traces", metrics, nil, 404, "takes nothing at /v1/traces"},
		"logs that are no OTLP":          {Prefix + r.token + LogsPath, "{", nil, 400, "JSON of OTLP logs"},
	} {
		t.Run(name, func(t *testing.T) {
			if w := r.send(tt.path, asJSON, tt.body, tt.headers...); w.Code != tt.want || !strings.Contains(w.Body.String(), tt.saying) {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, tt.want, tt.saying)
			}
		})
	}
	if w := r.send(Prefix+r.token+LogsPath, asProto, "\x0a\xff"); w.Code != 400 || w.Header().Get("Content-Type") != asProto {
		t.Errorf("rubbish is answered with %d as %s", w.Code, w.Header().Get("Content-Type"))
	}
	if w := r.send(Prefix+r.token+LogsPath, "text/plain", "x"); w.Code != 415 {
		t.Errorf("text is answered with %d", w.Code)
	}
	// A token that was replaced opens none of the ways any more.
	r.check(r.records.SetDrainToken(context.Background(), "org1", "d1", saba.HashSecret("saba_new")))
	for _, call := range []string{"", "/metrics", LogsPath, MetricsPath} {
		if w := r.send(Prefix+r.token+call, asJSON, "{}"); w.Code != 401 {
			t.Errorf("POST %s with the token from before is answered with %d", call, w.Code)
		}
	}
}

func TestLanguageMetrics(t *testing.T) {
	r := newRig(t)
	path := Prefix + r.token + "/metrics"
	for range 3 {
		r.wantAnswer(r.send(path+"?source=web.1", asJSON, `{"counters":{"go.gc.collections":2,"go.gc.pause.ns":1500000},"gauges":{"go.memory.heap.bytes":5242880,"go.gc.goal":7712576,"go.routines":42,"unknown":null},"other":[]}`), 200, "")
		r.at.Add(int64(10 * time.Second))
	}
	r.wantAnswer(r.send(path, asJSON, `{"gauges":{"big":1e999}}`), 200, "")
	r.wantAnswer(r.send(path, asJSON, `{"counters":{"n":"three","":1,"good":1},"gauges":{"Rack.Server.All.GC.heap_live_slots":41}}`), 200, "")
	r.wait(2 * time.Minute)
	for name, want := range map[string]float64{
		"go.gc.collections.web.1": 6, "go.gc.pause.ms.web.1": 4.5, "go.memory.heap.bytes.web.1": 5242880, "go.routines.web.1": 42, "good": 1, "Rack.Server.All.GC.heap_live_slots": 41,
	} {
		r.want(name, begin, want)
	}
	r.want("unknown.web.1", begin)
	if got := r.drains.Status("d1").Refused; got[logline.BadValue] != 2 || got[logline.BadName] != 1 {
		t.Errorf("refused are %v, want two values and a name", got)
	}
	defs, err := r.records.ServiceGraphDefs(t.Context(), "org1", "shop")
	r.check(err)
	units := map[string]saba.Unit{}
	for _, d := range defs {
		units[d.Name] = d.Unit
	}
	for name, want := range map[string]saba.Unit{"go.memory.heap.bytes": saba.UnitBytes, "go.gc.pause.ms": saba.UnitMilliseconds, "go.gc.collections": saba.UnitInteger, "go.gc.goal": saba.UnitBytes} {
		if units[name] != want {
			t.Errorf("the graph of %s has the unit %q, want %q", name, units[name], want)
		}
	}
	for body, want := range map[string]int{`[]`: 400, `{`: 400, `{"counters":{}}`: 200, `{"gauges":{` + strings.Repeat(`"x":1,`, 5) + `"x":1}}`: 200, `{"gauges":{"x":"` + strings.Repeat("x", 2<<20) + `"}}`: 413} {
		if w := r.send(path, asJSON, body); w.Code != want {
			t.Errorf("%.40q is answered with %d %s, want %d", body, w.Code, w.Body, want)
		}
	}
	if w := r.send(path, "text/plain", `{}`); w.Code != 415 {
		t.Errorf("text is answered with %d", w.Code)
	}
}

// Whatever is sent, it is read or refused, and what becomes of it is finite and under names that can be kept.
func FuzzOTLP(f *testing.F) {
	f.Add(true, true, []byte(logsOf("[]", logRecord(begin, "count#jobs"))))
	f.Add(false, true, []byte(metricsOf("[]", gauge("g", "By", numberPoint(begin, 1)), sum("s", "", 2, numberPoint(begin, 1)))))
	f.Add(true, false, pb(1, pb(2, pb(2, pbFixed(1, nanosOf(begin)), pb(5, pbText(1, "count#jobs"))))))
	f.Add(false, false, pb(1, pb(2, pb(2, pbText(1, "p"), pb(5, pb(1, pbFixed(3, nanosOf(begin)), pbDouble(4, 1)))))))
	f.Fuzz(func(t *testing.T, logs, json bool, body []byte) {
		to := func([]otlp.Attribute) (destination, string) { return destination{"org1", saba.Drain{ID: "d1"}}, "" }
		in := &otlpIntake{now: begin, to: to, lots: map[string]*otlpLot{}, stamped: true}
		encoding := otlp.Protobuf
		if json {
			encoding = otlp.JSON
		}
		var err error
		if logs {
			err = otlp.ReadLogs(body, encoding, in.records)
		} else {
			err = otlp.ReadMetrics(body, encoding, in.metrics)
		}
		if err != nil && !errors.Is(err, saba.ErrInvalid) && !errors.Is(err, saba.ErrTooLarge) {
			t.Errorf("%q: %v is no refusal", body, err)
		}
		for _, l := range in.lots {
			all := l.lot.Readings
			for _, t := range l.lot.totals {
				all = append(all, t.reading)
			}
			for _, rd := range all {
				if math.IsNaN(rd.Value) || math.IsInf(rd.Value, 0) || !saba.ValidMetricName(strings.TrimSuffix(rd.Name+"."+rd.Source, ".")) {
					t.Errorf("%q became %+v", body, rd)
				}
			}
			for _, line := range l.lot.Lines {
				if len(line.Text) == 0 {
					t.Errorf("%q became a line of nothing", body)
				}
			}
		}
	})
}

// answered passes requests on, and then says how each was answered.
func answered(h http.Handler, codes chan<- int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
		codes <- rec.Code
	})
}

// value returns the sample of a metric in the minute of a time; 0 when there is none.
func (r *rig) value(name string, at time.Time) float64 {
	r.Helper()
	minute := saba.Minute(at.Unix())
	got, err := r.samples.Range(r.Context(), []saba.Series{{Org: "org1", Service: "shop", Name: name}}, minute, minute)
	r.check(err)
	if len(got[0]) == 0 {
		return 0
	}
	return got[0][0].Value
}
