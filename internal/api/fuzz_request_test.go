package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A target is a furnished API without a network, for fuzzing.
type target struct {
	handler http.Handler
	fill    func(route) string
	host    string
	log     *lockedBuffer
}

func newTarget(f *testing.F) *target {
	f.Helper()
	var g target
	r := newRig(f, func(o *Options) {
		mine := *o
		mine.Registerer = nil
		g.handler = New(mine)
	})
	g.fill, g.host = furnish(r)
	g.log = r.log
	return &g
}

// ask makes a request and checks what holds for every answer: no fault of the server, and JSON in the protocol's shape.
func (g *target) ask(t *testing.T, req *http.Request) {
	t.Helper()
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, req)
	what := req.Method + " " + req.URL.String()
	if w.Code >= 500 {
		t.Errorf("%.300q: %d %s\n%s", what, w.Code, w.Body, g.log)
	}
	if w.Code == http.StatusNotModified || req.Method == http.MethodHead {
		return
	}
	if w.Header().Get("Content-Encoding") == "gzip" {
		return
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("%.300q: %d with a body that is not JSON: %.300q", what, w.Code, w.Body)
	}
	var e errorBody
	if w.Code != http.StatusOK && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Error.Message == "") {
		t.Errorf("%.300q: %d %.300s, want an error in the protocol's shape", what, w.Code, w.Body)
	}
}

// Whatever the query and the body of whatever call hold, with a key or without, nothing of the server breaks.
func FuzzCalls(f *testing.F) {
	g := newTarget(f)
	all := routes()
	for i, rt := range all {
		f.Add(uint16(i), byte(3), "", sampleBody(rt, g.host))
	}
	for _, s := range []string{
		`null`, `{}`, `[]`, `[null]`, `{"name":null}`, `{"ids":[null]}`, `{"reports":[{"source":null}]}`, `1e999`, "\xff", "{\"name\":\"\xff\"}", `{"name":"a\u0000b","meta":{}}`,
		strings.Repeat("[", 10_001), strings.Repeat(`{"a":`, 5000), `[{"hostId":1,"name":[],"time":1e99,"value":-1e999}]`, `{"name":"a","meta":{"kernel":{"a":{"b":[1e99]}}}}`,
	} {
		for i := 0; i < len(all); i += 13 {
			f.Add(uint16(i), byte(3), "", s)
		}
	}
	for _, q := range []string{
		"name=m&from=0&to=99999999999999999999", "name=m&from=-9223372036854775808&to=9223372036854775807", "from=NaN&to=1e3&name=%ff", "limit=-1", "limit=1e9&nextId=%00", "status=%zz&status=a;b",
		"service=shop&role=" + strings.Repeat("x&role=", 1000), "name=m&from=1700000000&to=1700000100&mean=1", "hostId=%F0%9F%90%9F&name=", "withClosed=maybe&nextId='",
	} {
		for i := 0; i < len(all); i += 9 {
			f.Add(uint16(i), byte(1), q, "")
		}
	}
	keys := []string{"", keyRead, keyWrite, keyBoth}
	f.Fuzz(func(t *testing.T, call uint16, key byte, query, body string) {
		rt := all[int(call)%len(all)]
		path := strings.SplitN(g.fill(rt), "?", 2)
		if query == "" && len(path) > 1 {
			query = path[1]
		}
		req := httptest.NewRequest(rt.method, prefix+path[0], strings.NewReader(body))
		req.URL.RawQuery = query
		if k := keys[int(key)%len(keys)]; k != "" {
			req.Header.Set("X-Api-Key", k)
		}
		g.ask(t, req)
	})
}

// Whatever path, method and headers somebody sends, nothing of the server breaks.
func FuzzHeads(f *testing.F) {
	g := newTarget(f)
	for _, s := range [][4]string{
		{"GET", "/api/v0/org", "X-Api-Key", keyRead}, {"PATCH", "/api/v0/hosts", "Authorization", "Bearer " + keyBoth}, {"HEAD", "/api/v0/hosts", "X-Api-Key", keyBoth},
		{"GET", "/api/v0/hosts/%2F..%2f", "X-Api-Key", keyBoth}, {"POST", "/api/v0/tsdb", "Content-Encoding", "gzip"}, {"GET", "/api/v0//org", "Accept-Encoding", "gzip;q=0.5, *"},
		{"GET", "/api/openapi.json", "Accept-Encoding", "gzip"}, {"OPTIONS", "/api/", "Authorization", "Basic eDp5"}, {"GET", "/api/v0/hosts-by-custom-identifier/a%2Fb%3Fc%00", "X-Api-Key", keyRead},
		{"GET", "/api/v0/services/shop/metadata/ns", "If-Modified-Since", "Tue, 14 Nov 2023 22:14:59 GMT"}, {"DELETE", "/api/v0/services/shop/graph-defs/a.*", "X-Api-Key", keyBoth},
		{"GET", "/api/v0/hosts/" + strings.Repeat("x", 5000), "X-Api-Key", keyBoth}, {"GET", "/api/v0/hosts/\xff", "X-Api-Key", "\xff"}, {"GET", "", "", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, method, path, header, value string) {
		req := httptest.NewRequest(http.MethodGet, "/", strings.NewReader("x"))
		req.Method = method
		parsed, err := req.URL.Parse(path) // what net/http would hand over
		if err != nil || method == "" {
			return
		}
		req.URL = parsed
		req.Header.Set("X-Api-Key", keyBoth)
		if header != "" {
			req.Header.Set(header, value)
		}
		g.ask(t, req)
	})
}
