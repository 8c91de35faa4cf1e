package promapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/internal/protowire"
)

// attribute is a KeyValue with a text.
func attribute(number int, key, value string) []byte {
	return pb(number, pbText(1, key), pb(2, pbText(1, value)))
}

// otlpBodyOf is a request with these metrics of one resource, which stands behind them.
func otlpBodyOf(attributes []byte, metrics ...[]byte) string {
	var scope []byte
	for _, m := range metrics {
		scope = append(scope, pb(2, m)...)
	}
	return string(pb(1, pb(2, scope), pb(1, attributes)))
}

const nanos = uint64(start) * 1e9

func (r *rig) export(kind, query, body string, headers ...string) answer {
	r.Helper()
	return r.send(http.MethodPost, "/v1/metrics"+query, keyWrite, body, append([]string{"Content-Type", kind}, headers...)...)
}

// examples is one of each kind of metric, in both encodings.
func examples() (asProto, asJSON string) {
	at := pbFixed(3, nanos)
	asProto = otlpBodyOf(slices.Concat(attribute(1, "service.name", "shop"), attribute(1, "service.instance.id", "i-1"), attribute(1, "process.pid", "17")),
		slices.Concat(pbText(1, "queue.depth"), pbText(2, "Jobs."), pbText(3, "{job}"), pb(5, pb(1, at, pbDouble(4, 2.5), attribute(7, "queue.name", "mail"), pb(7, pbText(1, "ok"), pb(2, pbVarint(2, 1))), pb(7, pbText(1, "n"), pb(2, pbVarint(3, 7))), pb(7, pbText(1, "list"), pb(2, pb(5, pb(1, pbText(1, "a")), pb(1, pbVarint(3, 2)))))))),
		slices.Concat(pbText(1, "requests"), pb(7, pb(1, at, pbFixed(6, 41)), pbVarint(2, 2), pbVarint(3, 1))),
		slices.Concat(pbText(1, "latency"), pb(9, pb(1, at, pbFixed(4, 6), pbDouble(5, 1.5), pb(6, pbFixed(1, 1)[1:], pbFixed(1, 2)[1:], pbFixed(1, 3)[1:]), pb(7, pbDouble(1, .1)[1:], pbDouble(1, 1)[1:])), pbVarint(2, 2))),
		slices.Concat(pbText(1, "gc"), pb(11, pb(1, at, pbFixed(4, 9), pbDouble(5, 3), pb(6, pbDouble(1, .5), pbDouble(2, .25))))),
		slices.Concat(pbText(1, "silent"), pb(5, pb(1, at, pbVarint(8, 1)))),
	)
	asJSON = fmt.Sprintf(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"service.instance.id","value":{"stringValue":"i-1"}},{"key":"process.pid","value":{"intValue":"17"}}]},
		"scopeMetrics":[{"scope":{"name":"x"},"metrics":[
		{"name":"queue.depth","description":"Jobs.","unit":"{job}","gauge":{"dataPoints":[{"timeUnixNano":"%[1]d","asDouble":2.5,"attributes":[{"key":"queue.name","value":{"stringValue":"mail"}},{"key":"ok","value":{"boolValue":true}},{"key":"n","value":{"intValue":7}},{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"a"},{"intValue":"2"}]}}}]}]}},
		{"name":"requests","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"%[1]d","asInt":"41"}]}},
		{"name":"latency","histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[{"timeUnixNano":%[1]d,"count":"6","sum":1.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.1,1]}]}},
		{"name":"gc","summary":{"dataPoints":[{"timeUnixNano":"%[1]d","count":9,"sum":3,"quantileValues":[{"quantile":0.5,"value":0.25}]}]}},
		{"name":"silent","gauge":{"dataPoints":[{"timeUnixNano":"%[1]d","flags":1}]}}
		]}]}]}`, nanos)
	return asProto, asJSON
}

func TestOTLPBecomesSeries(t *testing.T) {
	asProto, asJSON := examples()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(asProto)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	const (
		protobuf = "application/x-protobuf"
		own      = ` instance=i-1 service=shop`
	)
	for name, tt := range map[string]struct {
		kind, body, empty string
		headers           []string
	}{
		"protobuf":         {protobuf, asProto, "", nil},
		"protobuf, zipped": {protobuf, zipped.String(), "", []string{"Content-Encoding", "gzip"}},
		"JSON":             {"application/json; charset=utf-8", asJSON, "{}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, limits{}, manySeries)
			if a := r.export(tt.kind, "", tt.body, tt.headers...); a.status != http.StatusOK || a.body != tt.empty || !strings.HasPrefix(tt.kind, a.header.Get("Content-Type")) {
				t.Fatalf("%d %s %q", a.status, a.header.Get("Content-Type"), a.body)
			}
			var stored []struct {
				Metric map[string]string
				Values [][2]any
			}
			if err := json.Unmarshal([]byte(r.stored(`{instance="i-1"}`)), &stored); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range stored {
				got = append(got, fmt.Sprint(oneLine(s.Metric), " ", s.Values[0][1]))
			}
			slices.Sort(got)
			want := []string{
				"__name__=gc instance=i-1 quantile=0.5 service=shop 0.25",
				"__name__=gc_count" + own + " 9",
				"__name__=gc_sum" + own + " 3",
				"__name__=latency_bucket instance=i-1 le=+Inf service=shop 6",
				"__name__=latency_bucket instance=i-1 le=0.1 service=shop 1",
				"__name__=latency_bucket instance=i-1 le=1 service=shop 3",
				"__name__=latency_count" + own + " 6",
				"__name__=latency_sum" + own + " 1.5",
				`__name__=queue.depth instance=i-1 list=["a","2"] n=7 ok=true queue_name=mail service=shop 2.5`,
				"__name__=requests" + own + " 41",
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got, want := r.get("/metadata"), `{"gc":[{"type":"summary","help":"","unit":""}],"latency":[{"type":"histogram","help":"","unit":""}],"queue.depth":[{"type":"gauge","help":"Jobs.","unit":"{job}"}],"requests":[{"type":"counter","help":"","unit":""}]}`; !strings.Contains(got, want[1:len(want)-1]) {
				t.Errorf("metadata = %s, want %s", got, want)
			}
		})
	}
}

func TestOTLPSaysWhatItDidNotTake(t *testing.T) {
	at := pbFixed(3, nanos)
	gauge := func(name string, parts ...[]byte) []byte {
		return slices.Concat(pbText(1, name), pb(5, pb(1, parts...)))
	}
	good := gauge("good", at, pbDouble(4, 1))
	for name, tt := range map[string]struct {
		resource, metric []byte
		rejected         int
		saying           string
	}{
		"a delta":                  {attribute(1, "host.id", "web1"), slices.Concat(pbText(1, "d"), pb(7, pb(1, at, pbFixed(6, 1)), pb(1, at, pbFixed(6, 1)), pbVarint(2, 1), pbVarint(3, 1))), 2, "deltas are not kept"},
		"a sum of unknown kind":    {attribute(1, "host.id", "web1"), slices.Concat(pbText(1, "d"), pb(7, pb(1, at, pbFixed(6, 1)))), 1, "deltas are not kept"},
		"an exponential histogram": {attribute(1, "host.id", "web1"), slices.Concat(pbText(1, "e"), pb(10, pb(1, at), pbVarint(2, 2))), 1, "exponential histograms are not kept"},
		"no value":                 {attribute(1, "host.id", "web1"), gauge("n", at), 1, "has no value"},
		"no time":                  {attribute(1, "host.id", "web1"), gauge("n", pbDouble(4, 1)), 1, "has no time"},
		"buckets that do not fit":  {attribute(1, "host.id", "web1"), slices.Concat(pbText(1, "h"), pb(9, pb(1, at, pb(6, pbFixed(1, 1)[1:])), pb(1, at, pb(7, pbFixed(1, 1)[1:]), pb(6, pbFixed(1, 1)[1:])), pbVarint(2, 2))), 1, "one bucket more"},
		"an attribute of bytes":    {attribute(1, "host.id", "web1"), gauge("b", at, pbDouble(4, 1), pb(7, pbText(1, "raw"), pb(2, pbText(7, "x")))), 1, "attribute raw"},
		"too old":                  {attribute(1, "host.id", "web1"), gauge("o", pbFixed(3, nanos-25*3600*1e9), pbDouble(4, 1)), 1, "24 hours"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, limits{}, manySeries)
			a := r.export("application/x-protobuf", "", otlpBodyOf(tt.resource, tt.metric, good))
			m := protowire.Read([]byte(a.body))
			if a.status != http.StatusOK || !m.Next() || !m.Is(1, protowire.Lengthy) {
				t.Fatalf("%d %q", a.status, a.body)
			}
			var rejected int64
			var why string
			for in := m.Sub(); in.Next(); {
				if in.Is(1, protowire.Varint) {
					rejected = in.Integer()
				} else if in.Is(2, protowire.Lengthy) {
					why = string(in.Bytes)
				}
			}
			if rejected != int64(tt.rejected) || !strings.Contains(why, tt.saying) {
				t.Errorf("rejected %d: %s; want %d saying %q", rejected, why, tt.rejected, tt.saying)
			}
			if got := r.stored(`good{host="web1"}`); !strings.Contains(got, `"1"`) {
				t.Errorf("the neighbour is lost: %s", got)
			}
		})
	}
	r := newRig(t, limits{}, manySeries)
	a := r.export("application/json", "", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"1700000100000000000","asInt":1}]}}]}]}]}`)
	if a.status != http.StatusOK || !strings.Contains(a.body, `"rejectedDataPoints":"1"`) || !strings.Contains(a.body, "names no host and no service") {
		t.Errorf("nobody's point: %d %s", a.status, a.body)
	}
	if a := r.export("application/json", "?service=quiet", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m/µ","gauge":{"dataPoints":[{"timeUnixNano":"1700000100000000000","asInt":1,"attributes":[{"key":"service","value":{"stringValue":"shop"}},{"key":"a.b","value":{"stringValue":"1"}},{"key":"a_b","value":{"stringValue":"2"}}]}]}}]}]}]}`); a.body != "{}" {
		t.Errorf("?service=quiet: %d %s", a.status, a.body)
	}
	if got, want := r.series(`{"m/_"}`), `__name__=m/_ a_b=1;2 exported_service=shop service=quiet`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// JavaScript writes null for what is not a number.
	if a := r.export("application/json", "?service=quiet", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"nan","gauge":{"dataPoints":[{"timeUnixNano":"1700000100000000000","asDouble":null}]}}]}]}]}`); a.body != "{}" {
		t.Errorf("a null in place of a number: %d %s", a.status, a.body)
	}
	if got := r.series(`{"nan"}`); got != "" {
		t.Errorf("a null was stored: %s", got)
	}
}

func TestOTLPAsksForItsForm(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, otlpInflate+1)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		kind, encoding, body string
		status               int
		saying               string
	}{
		"text":                 {"text/plain", "", "x", 415, "text/plain"},
		"zstd":                 {"application/json", "zstd", "x", 415, "zstd"},
		"no gzip":              {"application/json", "gzip", "x", 400, "gzip"},
		"a bomb":               {"application/json", "gzip", bomb.String(), 413, "16 MiB"},
		"no JSON":              {"application/json", "", "{", 400, "JSON"},
		"another kind of JSON": {"application/json", "", `{"resourceMetrics":7}`, 400, "resourceMetrics must not be a JSON number"},
		"many tiny values":     {"application/json", "", `{"resourceMetrics":[{}` + strings.Repeat(",{}", 200_000) + `]}`, 413, "200000 values"},
		"no protobuf":          {"application/x-protobuf", "", "\x0a\xff", 400, "protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.export(tt.kind, "", tt.body, "Content-Encoding", tt.encoding)
			if a.status != tt.status || !strings.Contains(a.body, tt.saying) {
				t.Errorf("%d %q, want %d saying %q", a.status, a.body, tt.status, tt.saying)
			}
			if tt.kind == "application/x-protobuf" && a.header.Get("Content-Type") != tt.kind {
				t.Errorf("the answer is %s", a.header.Get("Content-Type"))
			}
		})
	}
}

// Whatever is sent, the answer is right or a refusal.
func FuzzOTLP(f *testing.F) {
	asProto, asJSON := examples()
	f.Add(false, []byte(asProto))
	f.Add(true, []byte(asJSON))
	r := newRig(f, limits{}, manySeries)
	f.Fuzz(func(t *testing.T, asJSON bool, body []byte) {
		kind := "application/x-protobuf"
		if asJSON {
			kind = "application/json"
		}
		mine := &rig{TB: t, url: r.url}
		if a := mine.export(kind, "?service=quiet", string(body)); a.status != 200 && a.status != 400 && a.status != 413 {
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
	})
}
