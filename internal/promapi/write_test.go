package promapi

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/util/compression"
)

// Parts of protobuf messages, as they are written.
func pbVarint(number int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3), v)
}

func pbFixed(number int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(nil, uint64(number)<<3|1), v)
}

func pbDouble(number int, v float64) []byte { return pbFixed(number, math.Float64bits(v)) }

func pb(number int, parts ...[]byte) []byte {
	b := slices.Concat(parts...)
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3|2), uint64(len(b))), b...)
}

func pbText(number int, s string) []byte { return pb(number, []byte(s)) }

// A testSeries is labels as alternating names and values, and samples as alternating milliseconds
// after start and values.
type testSeries struct {
	labels  []string
	samples []float64
}

func (s testSeries) samplesAs(number int) []byte {
	var out []byte
	for i := 0; i < len(s.samples); i += 2 {
		out = append(out, pb(number, pbDouble(1, s.samples[i+1]), pbVarint(2, uint64(start*1000+int64(s.samples[i]))))...)
	}
	return out
}

// write1 is a prometheus.WriteRequest.
func write1(series ...testSeries) string {
	var out []byte
	for _, s := range series {
		var labels []byte
		for i := 0; i < len(s.labels); i += 2 {
			labels = append(labels, pb(1, pbText(1, s.labels[i]), pbText(2, s.labels[i+1]))...)
		}
		out = append(out, pb(1, labels, s.samplesAs(2))...)
	}
	out = append(out, pb(3, pbVarint(1, 1), pbText(2, "http_requests_total"), pbText(4, "Requests."), pbText(5, ""))...)
	return string(out)
}

// write2 is an io.prometheus.write.v2.Request.
func write2(series ...testSeries) string {
	symbols := []string{"", "Requests."}
	var out []byte
	for _, s := range series {
		var refs []byte
		for _, l := range s.labels {
			symbols = append(symbols, l)
			refs = binary.AppendUvarint(refs, uint64(len(symbols)-1))
		}
		out = append(out, pb(5, pb(1, refs), s.samplesAs(2), pb(5, pbVarint(1, 1), pbVarint(3, 1)))...)
	}
	for _, s := range symbols { // behind the series, where few expect them
		out = append(out, pbText(4, s)...)
	}
	return string(out)
}

func snappied(t testing.TB, body string) string {
	b, err := compression.Encode(compression.Snappy, []byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const (
	protocol1 = "application/x-protobuf"
	protocol2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

func (r *rig) write(kind, query, body string) answer {
	r.Helper()
	return r.send(http.MethodPost, "/api/prom/v1/write"+query, keyWrite, snappied(r, body), "Content-Type", kind, "Content-Encoding", "snappy")
}

// written says which of the answers of a 2.0 receiver came with a.
func written(a answer) string {
	const h = "X-Prometheus-Remote-Write-"
	return a.header.Get(h+"Samples-Written") + " " + a.header.Get(h+"Histograms-Written") + " " + a.header.Get(h+"Exemplars-Written")
}

func TestRemoteWriteKeepsLabels(t *testing.T) {
	for name, version := range map[string]struct {
		kind string
		body func(...testSeries) string
	}{
		"1.0":             {protocol1, write1},
		"1.0 by its name": {protocol1 + ";proto=prometheus.WriteRequest", write1},
		"2.0":             {protocol2, write2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, limits{}, manySeries)
			a := r.write(version.kind, "?service=quiet", version.body(
				testSeries{[]string{"__name__", "http_requests_total", "code", "200", "job", "api", "service", "shop"}, []float64{0, 1, 15_000, 2, 30_000, 3, 60_000, 4}},
				testSeries{[]string{"__name__", "http_requests_total", "code", "500", "host", "web1"}, []float64{0, 9}},
				testSeries{[]string{"__name__", "http_requests_total", "host", "ident-lone"}, []float64{0, 8}},
				testSeries{[]string{"__name__", "http_requests_total", "host", "elsewhere", "service", "unknown", "role", "x", "empty", ""}, []float64{0, 7}},
				testSeries{[]string{"__name__", "job:up:sum", "host", "web1", "service", "shop"}, []float64{0, 6}},
			))
			if a.status != http.StatusNoContent || a.body != "" {
				t.Fatalf("%d %s", a.status, a.body)
			}
			want := "8 0 0"
			if version.kind != protocol2 {
				want = "  "
			}
			if got := written(a); got != want {
				t.Errorf("written: %q, want %q", got, want)
			}
			for _, tt := range []struct{ query, want string }{
				{`http_requests_total{code="200"}`, `[{"metric":{"__name__":"http_requests_total","code":"200","job":"api","service":"shop"},"values":[[1700000100,"3"],[1700000160,"4"]]}]`},
				{`http_requests_total{code="500"}`, `[{"metric":{"__name__":"http_requests_total","code":"500","host":"web1","host_name":"web1.example","role":"web","service":"shop"},"values":[[1700000100,"9"]]}]`},
				{`http_requests_total{host="lone"}`, `[{"metric":{"__name__":"http_requests_total","host":"lone","host_name":"lone.example"},"values":[[1700000100,"8"]]}]`},
				{`http_requests_total{service="quiet"}`, `[{"metric":{"__name__":"http_requests_total","exported_host":"elsewhere","exported_role":"x","exported_service":"unknown","service":"quiet"},"values":[[1700000100,"7"]]}]`},
				{`{"job:up:sum"}`, `[{"metric":{"__name__":"job:up:sum","exported_service":"shop","host":"web1","host_name":"web1.example","role":"web","service":"shop"},"values":[[1700000100,"6"]]}]`},
			} {
				if got := r.stored(tt.query); got != tt.want {
					t.Errorf("%s = %s\nwant %s", tt.query, got, tt.want)
				}
			}
			if got, want := r.get("/metadata", "metric", "http_requests_total"), `{"http_requests_total":[{"type":"counter","help":"Requests.","unit":""}]}`; got != want {
				t.Errorf("metadata = %s, want %s", got, want)
			}
			if a := r.ask(keyForeign, "/metadata"); a.body != `{"status":"success","data":{}}` {
				t.Errorf("another organization's metadata: %s", a.body)
			}
			// The same again, as after an answer that got lost.
			if a := r.write(version.kind, "", version.body(testSeries{[]string{"__name__", "http_requests_total", "code", "500", "host", "web1"}, []float64{0, 9}})); a.status != http.StatusNoContent {
				t.Errorf("again: %d %s", a.status, a.body)
			}
		})
	}
}

func TestRemoteWriteStoresWhatIsRight(t *testing.T) {
	const day = 24 * 3600_000
	good := testSeries{[]string{"__name__", "good", "host", "web1"}, []float64{0, 5}}
	many := []string{"__name__", "m", "host", "web1"}
	for i := range maxLabels + 1 {
		many = append(many, fmt.Sprintf("l%d", i), "x")
	}
	for name, tt := range map[string]struct {
		series  testSeries
		saying  string
		written string
	}{
		"no owner":             {testSeries{[]string{"__name__", "up", "instance", "a:1"}, []float64{0, 1, 60_000, 1}}, "2 of 3 samples were not stored: metric up: the series names no host and no service", "1 0 0"},
		"a retired host":       {testSeries{[]string{"__name__", "up", "host", "gone"}, []float64{0, 1}}, "names no host", "1 0 0"},
		"another's host":       {testSeries{[]string{"__name__", "up", "host", "web1x"}, []float64{0, 1}}, "names no host", "1 0 0"},
		"no name":              {testSeries{[]string{"host", "web1"}, []float64{0, 1}}, "no metric name", "1 0 0"},
		"a bad name":           {testSeries{[]string{"__name__", "a{b", "host", "web1"}, []float64{0, 1}}, `"a{b"`, "1 0 0"},
		"a bad label":          {testSeries{[]string{"__name__", "m", "host", "web1", "a b", "1"}, []float64{0, 1}}, `label name "a b"`, "1 0 0"},
		"a label twice":        {testSeries{[]string{"__name__", "m", "host", "web1", "a", "1", "a", "2"}, []float64{0, 1}}, `label "a" twice`, "1 0 0"},
		"the host twice":       {testSeries{[]string{"__name__", "m", "host", "web1", "host", "web2"}, []float64{0, 1}}, `label "host" twice`, "1 0 0"},
		"too many labels":      {testSeries{many, []float64{0, 1}}, "has 41 labels", "1 0 0"},
		"a long value":         {testSeries{[]string{"__name__", "m", "host", "web1", "a", strings.Repeat("x", 1025)}, []float64{0, 1}}, "has 1025 bytes", "1 0 0"},
		"long labels":          {testSeries{[]string{"__name__", "m", "host", "web1", "a", strings.Repeat("x", 1024), "b", strings.Repeat("x", 1024), "c", strings.Repeat("x", 1024), "d", strings.Repeat("x", 1024)}, []float64{0, 1}}, "labels of 41", "1 0 0"},
		"a value not in UTF-8": {testSeries{[]string{"__name__", "m", "host", "web1", "a", "\xff"}, []float64{0, 1}}, "not UTF-8", "1 0 0"},
		"too old":              {testSeries{[]string{"__name__", "m", "host", "web1"}, []float64{-day - 60_000, 1, 0, 1}}, "1 samples are more than 24 hours old", "2 0 0"},
		"too new":              {testSeries{[]string{"__name__", "m", "host", "web1"}, []float64{660_000, 1}}, "10 minutes ahead", "1 0 0"},
		"before time began":    {testSeries{[]string{"__name__", "m", "host", "web1"}, []float64{-2e12, 1}}, "24 hours old", "1 0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, limits{}, manySeries)
			for kind, body := range map[string]string{protocol1: write1(tt.series, good), protocol2: write2(tt.series, good)} {
				a := r.write(kind, "", body)
				if a.status != http.StatusBadRequest || !strings.Contains(a.body, tt.saying) || strings.Count(a.body, "\n") != 1 {
					t.Errorf("%s: %d %s, want 400 saying %q in one line", kind, a.status, a.body, tt.saying)
				}
				if kind == protocol2 && written(a) != tt.written {
					t.Errorf("written: %q, want %q", written(a), tt.written)
				}
			}
			if got := r.stored("good"); !strings.Contains(got, `"5"`) {
				t.Errorf("the neighbour is lost: %s", got)
			}
		})
	}
}

// What Prometheus writes when a series ends, and what a division by zero yields, is silence.
func TestSilenceIsNotRefused(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	stale := math.Float64frombits(0x7ff0000000000002)
	s := testSeries{[]string{"__name__", "m", "host", "web1"}, []float64{-60_000, 1, 0, stale, 60_000, math.NaN(), 120_000, math.Inf(1), 180_000, 0}}
	if a := r.write(protocol2, "", write2(s)); a.status != http.StatusNoContent || written(a) != "5 0 0" {
		t.Errorf("%d %s, written %q", a.status, a.body, written(a))
	}
	if got := r.stored("m"); !strings.Contains(got, `"values":[[1700000040,"1"],[1700000280,"0"]]`) {
		t.Errorf("%s", got)
	}
}

func TestLateAndRewrittenSamples(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	labels := []string{"__name__", "m", "host", "web1", "a", "1"}
	for _, samples := range [][]float64{{0, 1, 60_000, 2}, {-3600_000, 3}, {60_000, 4}, {0, 5}, {75_000, 6, 60_000, 7}} {
		if a := r.write(protocol1, "", write1(testSeries{labels, samples})); a.status != http.StatusNoContent {
			t.Fatalf("%v: %d %s", samples, a.status, a.body)
		}
	}
	if got := r.stored("m"); !strings.Contains(got, `"values":[[1699996500,"3"],[1700000100,"5"],[1700000160,"7"]]`) {
		t.Errorf("%s", got)
	}
}

func TestNativeHistogramsAreRefused(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	labels := slices.Concat(pb(1, pbText(1, "__name__"), pbText(2, "h")), pb(1, pbText(1, "host"), pbText(2, "web1")))
	a := r.write(protocol1, "", string(pb(1, labels, pb(4, pbVarint(1, 5)))))
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, "native histograms are not kept") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestAnOrganizationHasSoManySeries(t *testing.T) {
	// The rig's hosts have five, its service one.
	r := newRig(t, limits{}, 8)
	series := func(n int) (out []testSeries) {
		for i := range n {
			out = append(out, testSeries{[]string{"__name__", "m", "host", "web1", "i", fmt.Sprint(i)}, []float64{0, float64(i), 60_000, 1}})
		}
		return out
	}
	for range 2 { // the ones that are there go on
		a := r.write(protocol2, "", write2(series(4)...))
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, "4 samples are of new series, and this organization has its 8") || written(a) != "4 0 0" {
			t.Errorf("%d %s, written %q", a.status, a.body, written(a))
		}
	}
	if got := r.stored("m"); strings.Count(got, `"metric"`) != 2 {
		t.Errorf("stored are %s, want 2 series", got)
	}
	// The other organization has room of its own.
	if a := r.send(http.MethodPost, "/api/prom/v1/write?service=shop", keyForeign, snappied(t, write1(testSeries{[]string{"__name__", "m"}, []float64{0, 1}})), "Content-Type", protocol1, "Content-Encoding", "snappy"); a.status != http.StatusNoContent {
		t.Errorf("another organization: %d %s", a.status, a.body)
	}
}

func TestRemoteWriteAsksForItsForm(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	good := snappied(t, write1(testSeries{[]string{"__name__", "m", "host", "web1"}, []float64{0, 1}}))
	bomb := string(binary.AppendUvarint(nil, writeInflate+1)) + "x"
	for name, tt := range map[string]struct {
		query, kind, encoding, body string
		status                      int
		saying                      string
	}{
		"another message":        {"", "application/x-protobuf;proto=foo.Bar", "snappy", good, 415, "foo.Bar"},
		"JSON":                   {"", "application/json", "snappy", good, 415, "application/json"},
		"zstd":                   {"", protocol1, "zstd", good, 415, "zstd"},
		"plain":                  {"", protocol1, "identity", good, 415, "snappy"},
		"plain without a word":   {"", protocol1, "", write1(testSeries{[]string{"__name__", "m"}, []float64{0, 1}}), 400, "snappy"},
		"no snappy":              {"", protocol1, "snappy", "hello world", 400, "snappy"},
		"nothing":                {"", protocol1, "snappy", "", 400, "snappy"},
		"a bomb":                 {"", protocol1, "snappy", bomb, 413, "16 MiB"},
		"too large":              {"", protocol1, "snappy", strings.Repeat("x", writeBody+1), 413, "4 MiB"},
		"no protobuf":            {"", protocol1, "snappy", snappied(t, "\xff\xff\xff"), 400, "protobuf"},
		"1.0 as 2.0":             {"", protocol2, "snappy", snappied(t, string(pb(5, pb(1, []byte{9, 9})))), 400, "symbol"},
		"half a label":           {"", protocol2, "snappy", snappied(t, string(pb(4))+string(pb(5, pb(1, []byte{0})))), 400, "odd number"},
		"an unknown service":     {"?service=nothing", protocol1, "snappy", good, 400, `no service "nothing"`},
		"a million empty labels": {"", protocol1, "snappy", snappied(t, string(pb(1, []byte(strings.Repeat("\x0a\x00", 1<<20))))), 400, "more than 1000 labels"},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.send(http.MethodPost, "/api/prom/v1/write"+tt.query, keyWrite, tt.body, "Content-Type", tt.kind, "Content-Encoding", tt.encoding)
			if a.status != tt.status || !strings.Contains(a.body, tt.saying) {
				t.Errorf("%d %s, want %d saying %q", a.status, a.body, tt.status, tt.saying)
			}
		})
	}
	if got := r.series("m"); got != "" {
		t.Errorf("something was stored: %s", got)
	}
	if a := r.send(http.MethodPost, "/api/prom/v1/write", keyWrite, good, "Content-Type", protocol1); a.status != http.StatusNoContent {
		t.Errorf("snappy that is not named: %d %s, want 204", a.status, a.body)
	}
	if got := r.series("m"); got == "" {
		t.Error("snappy that is not named was not stored")
	}
}

// Whatever is sent, the answer is right or a refusal, and nothing of it reaches another organization.
func FuzzRemoteWrite(f *testing.F) {
	s := testSeries{[]string{"__name__", "m", "host", "web1", "a", "1"}, []float64{0, 1, 60_000, 2}}
	f.Add(false, []byte(write1(s)))
	f.Add(true, []byte(write2(s)))
	r := newRig(f, limits{}, manySeries)
	f.Fuzz(func(t *testing.T, second bool, body []byte) {
		kind := protocol1
		if second {
			kind = protocol2
		}
		mine := &rig{TB: t, url: r.url}
		if a := mine.write(kind, "?service=quiet", string(body)); a.status != 204 && a.status != 400 && a.status != 413 {
			t.Errorf("%x: %d %s", body, a.status, a.body)
		}
	})
}
