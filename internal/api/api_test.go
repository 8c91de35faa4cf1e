package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func zip(t *testing.T, s string) string {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{}}`)
	r.post("/services", `{"name":"shop","memo":""}`)
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	for _, tt := range []struct {
		method, path, body string
		status             int
		saying             string
	}{
		{"GET", "/nonsense", "", 404, "no /api/v0/nonsense"},
		{"GET", "/hosts/", "", 404, "no /api/v0/hosts/"},
		{"GET", "//hosts", "", 404, "no "},
		{"GET", "/hosts/x/../y", "", 404, "no "},
		{"GET", "/hosts/" + id + "/metadata/", "", 404, "no "},
		{"PATCH", "/hosts", "", 405, "use POST, GET, HEAD"},
		{"GET", "/tsdb", "", 405, "use POST"},

		{"POST", "/hosts", ``, 400, "empty"},
		{"POST", "/hosts", `{"name":"a","meta":{}`, 400, "ends too early, at line 1, column 22"},
		{"POST", "/hosts", "{\"name\":\"a\",\n\"meta\":{},}", 400, "line 2, column 11"},
		{"POST", "/hosts", `{"name":5,"meta":{}}`, 400, "name must be a string, not a number, near line 1, column 9"},
		{"POST", "/hosts", `[]`, 400, "the request body must be an object, not an array"},
		{"POST", "/hosts", `null`, 400, "name is required"},
		{"POST", "/hosts", `{"meta":{}}`, 400, "name is required"},
		{"POST", "/hosts", `{"name":"a"}`, 400, "meta is required"},
		{"POST", "/hosts", `{"name":"a","meta":null}`, 400, "meta must be an object, not null"},
		{"POST", "/hosts", `{"name":"a","meta":[]}`, 400, "meta must be an object, not an array"},
		{"POST", "/hosts", `{"name":"a","meta":{"cpu":{}}}`, 400, "meta.cpu must be an array, not an object"},
		{"POST", "/hosts", `{"name":"a","meta":{"kernel":"Linux"}}`, 400, "meta.kernel must be an object, not a string"},
		{"POST", "/hosts", `{"name":"a","meta":{"x":"` + strings.Repeat("x", 1<<20) + `"}}`, 400, "meta must be 1 MiB or less"},
		{"POST", "/hosts", `{"name":"` + strings.Repeat("x", 256) + `","meta":{}}`, 400, "name must be 255 characters or fewer, not 256"},
		{"POST", "/hosts", `{"name":"a\u0000","meta":{}}`, 400, "control character U+0000"},
		{"POST", "/hosts", `{"name":"a\u0085","meta":{}}`, 400, "control character U+0085"},
		{"POST", "/hosts", `{"name":"a","meta":{},"roleFullnames":["shop"]}`, 400, `roleFullnames[0]: role "shop"`},
		{"POST", "/hosts", `{"name":"a","meta":{},"roleFullnames":[` + many(101, `"aa:bb"`) + `]}`, 400, "must hold 100 elements or fewer"},
		{"POST", "/hosts", `{"name":"a","meta":{},"interfaces":[` + many(1001, `{}`) + `]}`, 400, "must hold 1000 elements or fewer"},
		{"POST", "/hosts", `{"name":"a","meta":{},"checks":[` + many(1001, `{"name":"c"}`) + `]}`, 400, "must hold 1000 elements or fewer"},
		{"POST", "/hosts", `{"name":"a","meta":{},"checks":[{"name":""}]}`, 400, "checks[0].name is required"},
		{"POST", "/hosts", `{"name":"a","meta":{},"customIdentifier":7}`, 400, "customIdentifier must be a string or null, not a number"},
		{"POST", "/hosts", strings.Repeat(" ", hostBody+1), 413, "larger than 4 MiB"},
		{"PUT", "/hosts/nobody", `{"name":"a","meta":{}}`, 404, `no host "nobody"`},
		{"GET", "/hosts?status=dead", "", 400, `status must be working, standby, maintenance or poweroff, not "dead"`},
		{"POST", "/hosts/" + id + "/status", `{"status":"on fire"}`, 400, `not "on fire"`},
		{"POST", "/hosts/" + id + "/status", `null`, 400, "status must be"},
		{"POST", "/hosts/nobody/status", `{"status":"working"}`, 404, "nobody"},
		{"POST", "/hosts/nobody/retire", `null`, 404, "nobody"},
		{"POST", "/hosts/bulk-retire", `{"ids":[` + many(31, `"x"`) + `]}`, 400, "1 to 30 host ids, not 31"},
		{"POST", "/hosts/bulk-retire", `{"ids":[]}`, 400, "1 to 30 host ids, not 0"},
		{"POST", "/hosts/bulk-update-statuses", `{"ids":["` + id + `","nobody"],"status":"standby"}`, 404, "nobody"},
		{"GET", "/hosts-by-custom-identifier/nobody", "", 404, "nobody"},

		{"POST", "/tsdb", `{}`, 400, "array of points, not an object"},
		{"POST", "/tsdb", `[{]`, 400, "line 1, column 3"},
		{"POST", "/tsdb", `[` + strings.Repeat(" ", pointsBody), 413, "larger than 16 MiB"},
		{"POST", "/services/nobody/tsdb", `[]`, 404, `no service "nobody"`},
		{"GET", "/hosts/" + id + "/metrics?from=1&to=2", "", 400, "name is required"},
		{"GET", "/hosts/" + id + "/metrics?name=m&to=2", "", 400, "from is required"},
		{"GET", "/hosts/" + id + "/metrics?name=m&from=1", "", 400, "to is required"},
		{"GET", "/hosts/" + id + "/metrics?name=m&from=x&to=2", "", 400, `from must be a time in Unix seconds, not "x"`},
		{"GET", "/hosts/" + id + "/metrics?name=m&from=NaN&to=2", "", 400, "from must be a time"},
		{"GET", "/hosts/" + id + "/metrics?name=m&from=3&to=2", "", 400, "to must not be before from (3), not 2"},
		{"GET", "/hosts/" + id + "/metrics?name=m&from=3&to=2?{}", "", 400, "to must not be before from (3), not 2"}, // as a JavaScript client asks
		{"GET", "/hosts/" + id + "/metrics?name=m&from=1&to=2&aggregate=sum", "", 400, `aggregate must be mean, min or max, not "sum"`},
		{"GET", "/hosts/" + id + "/metrics?name=m&from=1&to=2", "", 404, `no metric "m"`},
		{"GET", "/hosts/nobody/metrics?name=m&from=1&to=2", "", 404, `no host "nobody"`},
		{"GET", "/services/nobody/metrics?name=m&from=1&to=2", "", 404, `no service "nobody"`},
		{"GET", "/services/shop/metrics?name=m&from=1&to=2", "", 404, `no metric "m"`},
		{"GET", "/tsdb/latest?name=m", "", 400, "hostId is required"},
		{"GET", "/tsdb/latest?hostId=m", "", 400, "name is required"},

		{"POST", "/graph-defs/create", `[{"name":"loadavg"}]`, 400, "[0].name must be"},
		{"POST", "/graph-defs/create", `[{"name":"custom.#.#"}]`, 400, "[0].name must be"},
		{"POST", "/graph-defs/create", `[{"name":"custom.a","unit":"parsec"}]`, 400, "[0].unit must be one of float"},
		{"POST", "/graph-defs/create", `[{"name":"custom.a","metrics":[{"name":"custom.b.c"}]}]`, 400, "[0].metrics[0].name must be the graph's name"},
		{"POST", "/graph-defs/create", `[{"name":"custom.a","metrics":[{"name":"custom.a.b.c"}]}]`, 400, "[0].metrics[0].name must be the graph's name"},
		{"DELETE", "/graph-defs", `{"name":"custom.nobody"}`, 400, "custom.nobody"},
		{"DELETE", "/graph-defs", ``, 400, "empty"},

		{"POST", "/monitoring/checks/report", `{"reports":[{}]}`, 400, "reports[0].source.type must be"},
		{"POST", "/monitoring/checks/report", `{"reports":[` + many(101, `{}`) + `]}`, 400, "100 elements or fewer, not 101"},
		{"POST", "/monitoring/checks/report", `{"reports":[{"source":{"type":"host","hostId":"x"},"name":"c","status":"FINE","occurredAt":1}]}`, 400, `reports[0].status must be OK, WARNING, CRITICAL or UNKNOWN, not "FINE"`},
		{"POST", "/monitoring/checks/report", `{"reports":[{"source":{"type":"host","hostId":"x"},"name":"c","status":"OK"}]}`, 400, "reports[0].occurredAt is required"},
		{"GET", "/monitoring/checks?limit=101", "", 400, "limit must be a number from 1 to 100"},
		{"GET", "/monitoring/checks?limit=0", "", 400, "limit must be"},
		{"GET", "/monitoring/checks/nobody", "", 404, "nobody"},

		{"POST", "/services", `{"name":"x"}`, 400, "name must be 2 to 63 characters"},
		{"POST", "/services", `{"name":"shop","memo":""}`, 400, "shop"},
		{"POST", "/services/nobody/roles", `{"name":"web"}`, 404, "nobody"},
		{"GET", "/services/nobody/roles", "", 404, "nobody"},
		{"DELETE", "/services/nobody", "", 404, "nobody"},
		{"DELETE", "/services/shop/roles/nobody", "", 404, "nobody"},

		{"PUT", "/hosts/" + id + "/metadata/a.b", `1`, 400, "namespace"},
		{"PUT", "/hosts/" + id + "/metadata/mackerel-x", `1`, 400, "reserved"},
		{"PUT", "/hosts/" + id + "/metadata/ns", `{"a":}`, 400, "line 1, column 6"},
		{"PUT", "/hosts/" + id + "/metadata/ns", ``, 400, "empty"},
		{"PUT", "/hosts/" + id + "/metadata/ns", `"` + strings.Repeat("x", 100<<10) + `"`, 413, "larger than 100 KiB"},
		{"PUT", "/hosts/" + id + "/metadata/ns", `"` + strings.Repeat("x", 200<<10) + `"`, 413, "larger than 100 KiB"},
		{"PUT", "/hosts/nobody/metadata/ns", `1`, 404, "nobody"},
		{"GET", "/hosts/" + id + "/metadata/ns", "", 404, "ns"},
		{"DELETE", "/hosts/" + id + "/metadata/ns", "", 404, "ns"},
		{"PUT", "/services/shop/roles/nobody/metadata/ns", `1`, 404, "nobody"},
	} {
		r.refuseSaying(tt.status, tt.saying, tt.method, tt.path, tt.body)
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("clients' mistakes are logged as ours:\n%s", r.log)
	}
}

func TestAllowNamesTheMethods(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{"/tsdb": "POST", "/hosts/x": "GET, HEAD, PUT", "/hosts/x/metadata/y": "GET, HEAD, PUT, DELETE"} {
		if a := r.send(http.MethodPatch, path, keyBoth, ""); a.status != 405 || a.header.Get("Allow") != want {
			t.Errorf("PATCH %s: %d, Allow %q; want 405 and %q", path, a.status, a.header.Get("Allow"), want)
		}
	}
}

func TestTwoHundredAndABodyForEverySuccess(t *testing.T) { // traps 2 and 8, and the empty query
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{}}`)
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "/tsdb?", "null\n", `{"success":true}`},
		{"POST", "/tsdb", "[]", `{"success":true}`},
		{"POST", "/graph-defs/create", "null", `{"success":true}`},
		{"POST", "/graph-defs/create", `[{"name":"custom.a.#","metrics":null}]`, `{"success":true}`},
		{"DELETE", "/graph-defs?", `{"name":"custom.a.#"}`, `{"success":true}`},
		{"POST", "/monitoring/checks/report", `{"reports":[]}`, `{"success":true}`},
		{"POST", "/services", `{"name":"shop","memo":"m","unknown":[1]}`, `{"name":"shop","memo":"m","roles":[]}`},
		{"POST", "/services/shop/roles", `{"name":"web","memo":""}`, `{"name":"web","memo":""}`},
		{"GET", "/services/shop/roles", ``, `{"roles":[{"name":"web","memo":""}]}`},
		{"GET", "/services", ``, `{"services":[{"name":"shop","memo":"m","roles":["web"]}]}`},
		{"DELETE", "/services/shop/roles/web", ``, `{"name":"web","memo":""}`},
		{"DELETE", "/services/shop?", ``, `{"name":"shop","memo":"m","roles":[]}`},
		{"PUT", "/hosts/" + id + "/role-fullnames", `{"roleFullnames":null}`, `{"success":true}`},
		{"GET", "/hosts/" + id + "/metric-names", ``, `{"names":[]}`},
		{"GET", "/hosts/" + id + "/monitored-statuses", ``, `{"monitoredStatuses":[]}`},
		{"GET", "/hosts/" + id + "/metadata", ``, `{"metadata":[]}`},
		{"GET", "/monitoring/checks?", ``, `{"checks":[]}`},
		{"GET", "/tsdb/latest?hostId=x&name=y", ``, `{"tsdbLatest":{}}`},
		{"GET", "/org", ``, `{"name":"first","displayName":null}`},
		{"POST", "/hosts/bulk-retire", `{"ids":["` + id + `"]}`, `{"success":true}`},
		{"POST", "/hosts/" + id + "/retire?", "null\n", `{"success":true}`},
		{"POST", "/hosts/" + id + "/retire", "", `{"success":true}`},
		{"POST", "/hosts/" + id + "/retire", "{}", `{"success":true}`},
		{"GET", "/hosts.json", ``, `{"hosts":[]}`},
	} {
		if got := r.do(tt.method, tt.path, tt.body); got != tt.want {
			t.Errorf("%s %s %s = %s, want %s", tt.method, tt.path, tt.body, got, tt.want)
		}
	}
	if a := r.send(http.MethodGet, "/org", keyForeign, ""); a.body != `{"name":"second","displayName":"Second"}` {
		t.Errorf("the other organization is %s", a.body)
	}
	if a := r.send(http.MethodHead, "/org", keyRead, ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD /org: %d %q", a.status, a.body)
	}
}

func TestCompressedRequests(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{}}`)
	body := `[{"hostId":"` + id + `","name":"m","time":1700000040,"value":1}]`
	for name, tt := range map[string]struct {
		body, encoding string
		status         int
		saying         string
	}{
		"gzip is inflated":          {zip(t, body), "gzip", 200, ""},
		"x-gzip is its old name":    {zip(t, body), "X-GZIP", 200, ""},
		"identity is plain":         {body, "identity", 200, ""},
		"a bomb is cut":             {zip(t, "["+strings.Repeat(" ", 17<<20)+"]"), "gzip", 413, "larger than 16 MiB"},
		"a promise not kept":        {body, "gzip", 400, "not the gzip"},
		"half a gzip":               {zip(t, body)[:30], "gzip", 400, "not the gzip"},
		"a wrong checksum":          {zip(t, body)[:len(zip(t, body))-8] + "12345678", "gzip", 400, "not the gzip"},
		"nothing":                   {"", "gzip", 400, "not the gzip"},
		"a compression we have not": {body, "zstd", 415, `"zstd"`},
		"two compressions":          {body, "gzip, gzip", 415, "gzip, gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.send(http.MethodPost, "/tsdb", keyBoth, tt.body, "Content-Encoding", tt.encoding)
			if tt.status != 200 {
				r.wantError(a, tt.status, tt.saying, name)
			} else if a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

func TestLargeAnswersAreCompressed(t *testing.T) {
	r := newRig(t)
	for i := range 40 {
		r.register(fmt.Sprintf(`{"name":"host%d","meta":{},"memo":"%s"}`, i, strings.Repeat("x", 200)))
	}
	a := r.send(http.MethodGet, "/hosts", keyRead, "", "Accept-Encoding", "gzip")
	if a.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("a list of 40 hosts (%d bytes) came as it is", len(a.body))
	}
	z, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	inflated, err := io.ReadAll(z)
	if plain := r.get("/hosts"); err != nil || strings.TrimSpace(string(inflated)) != plain {
		t.Errorf("the compressed answer differs from the plain one (%v)", err)
	}
	for _, refused := range []string{"", "gzip;q=0", "br", "gzip;q=x"} {
		if a := r.send(http.MethodGet, "/hosts", keyRead, "", "Accept-Encoding", refused); a.header.Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q was answered with %s", refused, a.header.Get("Content-Encoding"))
		}
	}
}

func TestTheRecordedRequestsOfAnAgent(t *testing.T) {
	r := newRig(t)
	load := func(name string) string {
		b, err := os.ReadFile("testdata/agent-wire/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	}
	id := r.register(load("host-register.json"))
	load2 := func(name string) string { return strings.ReplaceAll(load(name), "3ExampleH01", id) }

	host := r.host(id)
	if host.Name != "db-1.example.test" || host.Status != "working" || host.Size != "standard" || host.CreatedAt != start ||
		fmt.Sprint(host.Roles) != "map[Example-Shop:[db]]" || host.Meta.Kernel["platform_version"] != "12.5" ||
		len(host.Interfaces) != 1 || host.Interfaces[0].IPAddress != "192.0.2.10" || len(host.Interfaces[0].IPv6) != 2 {
		t.Errorf("the host reads back as %+v", host)
	}
	if got := r.put("/hosts/"+id+"?", load2("host-update.json")); got != `{"id":"`+id+`"}` {
		t.Errorf("the update is answered with %s", got)
	}
	r.post("/graph-defs/create?", load2("graph-defs.json"))
	defs, err := r.store.GraphDefs(t.Context(), "org1")
	var sent []graphDefIn
	if err := json.Unmarshal([]byte(load("graph-defs.json")), &sent); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(defs) != len(sent) {
		t.Errorf("%d graph definitions are kept (%v), want %d", len(defs), err, len(sent))
	}

	r.post("/tsdb?", load2("tsdb.json"))
	var points []struct {
		Name  string
		Time  int64
		Value float64
	}
	if err := json.Unmarshal([]byte(load("tsdb.json")), &points); err != nil || len(points) == 0 {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, p := range points {
		values[p.Name] = p.Value
		got := r.get(fmt.Sprintf("/hosts/%s/metrics?name=%s&from=%d&to=%d", id, p.Name, p.Time-60, p.Time+60))
		v, _ := json.Marshal(p.Value)
		if want := fmt.Sprintf(`{"metrics":[{"time":%d,"value":%s}]}`, saba.Minute(p.Time), v); got != want {
			t.Errorf("%s reads back as %s, want %s", p.Name, got, want)
		}
	}
	// What the protocol documents and agents do not send is derived.
	for name, want := range map[string]float64{
		"memory.swap_used": values["memory.swap_total"] - values["memory.swap_free"],
		"memory.available": values["memory.mem_available"],
	} {
		got, ok := r.samples.Latest(saba.Series{Org: "org1", Host: id, Name: name})
		if !ok || got.Value != want {
			t.Errorf("%s = %v (%v), want %v", name, got, ok, want)
		}
	}

	r.clock.Store(1_700_000_200)
	r.post("/monitoring/checks/report?", load2("checks-report.json"))
	statuses := r.get("/hosts/" + id + "/monitored-statuses")
	for _, want := range []string{`"status":"OK","detail":{"type":"check","message":"LOAD OK: load average: 0.23, 0.31, 0.28\n","memo":"Load average of the database host."}`,
		`"status":"CRITICAL","detail":{"type":"check","message":"STATE CRITICAL: queue is stuck\n"}`} {
		if !strings.Contains(statuses, want) {
			t.Errorf("monitored statuses are %s, want %s in them", statuses, want)
		}
	}
	r.put("/hosts/"+id+"/metadata/sample?", load2("metadata.json"))
	if got := r.get("/hosts/" + id + "/metadata/sample"); got != strings.TrimSpace(load2("metadata.json")) {
		t.Errorf("the metadata reads back as %s", got)
	}
	r.post("/hosts/"+id+"/status?", load2("host-status.json"))
	if h := r.host(id); h.Status != "standby" {
		t.Errorf("the status is %s, want standby", h.Status)
	}
	if r.log.String() != "" {
		t.Errorf("the log is not silent:\n%s", r.log)
	}
}

// broken wraps a store whose host list fails in a way of the test's choice.
type broken struct {
	Store
	hosts func(context.Context) error
}

func (b broken) Hosts(ctx context.Context, _ string, _ saba.HostFilter) ([]saba.Host, error) {
	return nil, b.hosts(ctx)
}

func TestOurOwnFailures(t *testing.T) {
	var fail func(context.Context) error
	r := newRig(t, func(o *Options) {
		o.Store = broken{o.Store, func(ctx context.Context) error { return fail(ctx) }}
	})
	for name, tt := range map[string]struct {
		fail   func(context.Context) error
		status int
		logged string
	}{
		"an unknown error is a 500":      {func(context.Context) error { return errors.New("disk secret") }, 500, "disk secret"},
		"a panic is a 500":               {func(context.Context) error { panic("nil secret") }, 500, "nil secret"},
		"what may pass by itself is 503": {func(context.Context) error { return saba.Errorf(saba.ErrUnavailable, "full secret") }, 503, "full secret"},
	} {
		t.Run(name, func(t *testing.T) {
			fail = tt.fail
			a := r.send(http.MethodGet, "/hosts", keyRead, "")
			r.wantError(a, tt.status, "request ", name)
			if strings.Contains(a.body, "secret") {
				t.Errorf("the answer %s shows what belongs in the log", a.body)
			}
			if n := strings.Count(r.log.String(), tt.logged); n == 0 || strings.Count(r.log.String(), "\n") == 0 {
				t.Errorf("the log does not have %q:\n%s", tt.logged, r.log)
			}
			var e errorBody
			if err := json.Unmarshal([]byte(a.body), &e); err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(strings.TrimRight(e.Error.Message, ")"))
			if id := words[len(words)-1]; !strings.Contains(r.log.String(), "request="+id) {
				t.Errorf("the log has no request %s:\n%s", id, r.log)
			}
		})
	}
	// A full disk meets every request: it is logged once a minute, with how many it met.
	r.clock.Add(60)
	fail = func(context.Context) error { return saba.Errorf(saba.ErrUnavailable, "full") }
	r.wantError(r.send(http.MethodGet, "/hosts", keyRead, ""), 503, "under request ", "a full disk")
	fail = func(context.Context) error { return saba.Errorf(saba.ErrUnavailable, "still full") }
	for range 5 {
		r.wantError(r.send(http.MethodGet, "/hosts", keyRead, ""), 503, "(its log has the reason)", "a disk that is still full")
	}
	if strings.Contains(r.log.String(), "still full") {
		t.Errorf("the same fault is logged again within a minute:\n%s", r.log)
	}
	r.clock.Add(60)
	r.wantError(r.send(http.MethodGet, "/hosts", keyRead, ""), 503, "under request ", "a full disk a minute later")
	if got := r.log.String(); strings.Count(got, "still full") != 1 || !strings.Contains(got, "requests=6 ") {
		t.Errorf("the log does not say once that six requests failed:\n%s", got)
	}
	fail = func(context.Context) error { panic("again") }
	for range 3 {
		r.send(http.MethodGet, "/hosts", keyRead, "")
	}
	if got := r.get("/org"); got == "" {
		t.Error("the server did not survive")
	}
}

func TestAClientThatLeavesIsNoError(t *testing.T) {
	left := make(chan struct{})
	entered := make(chan struct{})
	r := newRig(t, func(o *Options) {
		o.Store = broken{o.Store, func(ctx context.Context) error {
			close(entered)
			<-ctx.Done()
			defer close(left)
			return fmt.Errorf("interrupted: %w", ctx.Err())
		}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/api/v0/hosts", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", keyRead)
	go func() { <-entered; cancel() }()
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("the request was answered")
	}
	<-left
	r.get("/org")
	if r.log.String() != "" {
		t.Errorf("the log is not silent:\n%s", r.log)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	r := newRig(t)
	r.get("/org")
	r.send(http.MethodGet, "/org", "", "")
	r.send(http.MethodGet, "/nonsense/"+strings.Repeat("x", 100), keyRead, "")
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "saba_api_requests_total" {
			for _, m := range f.Metric {
				key := ""
				for _, l := range m.Label {
					key += l.GetName() + "=" + l.GetValue() + " "
				}
				got[key] = m.GetCounter().GetValue()
			}
		}
	}
	for _, want := range []string{"route=GET /org status=200 ", "route=GET /org status=401 ", "route=none status=404 "} {
		if got[want] != 1 {
			t.Errorf("%s was counted %v times, want 1; all: %v", want, got[want], got)
		}
	}
}

func TestCulpritsOfAnAlert(t *testing.T) {
	r := newRig(t)
	var host struct{ ID string }
	if err := json.Unmarshal([]byte(r.post("/hosts", `{"name":"web1","meta":{}}`)), &host); err != nil {
		t.Fatal(err)
	}
	r.check(r.store.OpenAlert(r.Context(), "org1", saba.Alert{ID: "a1", Status: saba.CheckCritical, Monitor: "org1", Type: "host", Host: host.ID, OpenedAt: start}, nil))
	r.wantJSON("before there are some", r.get("/alerts/a1/culprits"), `{"culprits":null}`)
	r.refuseSaying(404, `no alert "none"`, "GET", "/alerts/none/culprits", "")
	r.put("/hosts/"+host.ID+"/metadata/"+saba.CulpritsNamespace, `{"cpu":[{"name":"mysqld","pid":7,"cpu":90.5,"rss":1,"arguments":"secret"}]}`)
	r.wantJSON("culprits", r.get("/alerts/a1/culprits"), fmt.Sprintf(`{"culprits":{"at":%d,"why":[],"cpu":[{"name":"mysqld","pid":7,"cpu":90.5,"rss":1}],"memory":[]}}`, start))
}

// Culprits that make no sense are metadata like any other, and counted.
func TestCulpritsThatMakeNoSenseAreCounted(t *testing.T) {
	r := newRig(t)
	at := "/hosts/" + r.register(`{"name":"web1","meta":{}}`) + "/metadata/"
	for _, put := range []struct{ path, body string }{
		{at + saba.CulpritsNamespace, `{"cpu":[{"name":"mysqld","pid":7,"cpu":90,"rss":1}]}`}, {at + saba.CulpritsNamespace, `{"cpu":"mysqld"}`}, {at + "other", `{"cpu":"mysqld"}`},
	} {
		r.put(put.path, put.body)
	}
	if got := r.get(at + saba.CulpritsNamespace); got != `{"cpu":"mysqld"}` {
		t.Errorf("the metadata is %s", got)
	}
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "saba_api_culprits_refused_total" && f.Metric[0].GetCounter().GetValue() == 1 {
			return
		}
	}
	t.Errorf("want 1 counted in saba_api_culprits_refused_total: %v", families)
}

func TestABodyThatStopsHalfwayIsAnError(t *testing.T) {
	r := newRig(t)
	req := httptest.NewRequest(http.MethodPost, "/api/v0/tsdb", io.MultiReader(strings.NewReader("["), failing{}))
	req.Header.Set("X-Api-Key", keyBoth)
	w := httptest.NewRecorder()
	New(Options{Store: r.store, Now: time.Now, Log: nil}).ServeHTTP(w, req)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "could not be read to its end") {
		t.Errorf("%d %s, want 400", w.Code, w.Body)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
