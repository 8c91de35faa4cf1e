package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// mismatch says where a value is not what a schema describes; "" when it is. Keys of an object that the schema
// does not name are a mismatch when strict.
func mismatch(at string, schema object, v any, strict bool) string {
	if all, ok := schema["anyOf"].([]object); ok {
		var each []string
		for _, s := range all {
			m := mismatch(at, s, v, strict)
			if m == "" {
				return ""
			}
			each = append(each, m)
		}
		return strings.Join(each, "; or ")
	}
	kinds := []string{}
	switch t := schema["type"].(type) {
	case nil:
		return ""
	case string:
		kinds = []string{t}
	case []string:
		kinds = t
	}
	kind := ""
	switch n := v.(type) {
	case nil:
		kind = "null"
	case bool:
		kind = "boolean"
	case string:
		kind = "string"
	case json.Number:
		if kind = "number"; slices.Contains(kinds, "integer") && !strings.ContainsAny(n.String(), ".eE") { // trap 4
			kind = "integer"
		}
	case []any:
		kind = "array"
	case map[string]any:
		kind = "object"
	}
	if !slices.Contains(kinds, kind) {
		return fmt.Sprintf("%s is %s, not %v", at, kind, kinds)
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			if m := mismatch(fmt.Sprintf("%s[%d]", at, i), schema["items"].(object), e, strict); m != "" {
				return m
			}
		}
	case map[string]any:
		required, _ := schema["required"].([]string)
		for _, key := range required {
			if _, ok := v[key]; !ok {
				return at + " lacks " + key
			}
		}
		properties, named := schema["properties"].(object)
		for key, e := range v {
			of, ok := properties[key].(object)
			if !ok && named {
				if strict {
					return at + " has " + key + ", which is not described"
				}
				continue
			}
			if !named {
				of = schema["additionalProperties"].(object)
			}
			if m := mismatch(at+"."+key, of, e, strict); m != "" {
				return m
			}
		}
	}
	return ""
}

// described checks a request that succeeded, and its answer, against what the API says of itself. As send does so each
// time, every test of a handler is one of its description.
func (r *rig) described(req *http.Request, sent string, got []byte) {
	r.Helper()
	mux := http.NewServeMux()
	found := map[string]route{}
	for _, rt := range routes() {
		pattern := rt.method + " " + prefix + rt.path
		found[pattern] = rt
		mux.Handle(pattern, http.NotFoundHandler())
	}
	_, pattern := mux.Handler(req)
	rt, ok := found[pattern]
	if !ok {
		r.Errorf("%s %s succeeds and is not in the table of routes", req.Method, req.URL.Path)
		return
	}
	read := func(b []byte) (v any, err error) {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		err = dec.Decode(&v)
		return v, err
	}
	if v, err := read(got); err != nil {
		r.Errorf("%s: the answer %.100s is not JSON", pattern, got)
	} else if m := mismatch("the answer", schema(rt.out, false), v, true); m != "" {
		r.Errorf("%s: %s\n%.500s", pattern, m, got)
	}
	if strings.TrimSpace(sent) == "" || rt.in == nil || strings.HasSuffix(rt.path, "tsdb") { // bad points are dropped, not refused
		return
	}
	if v, err := read([]byte(sent)); err != nil {
		r.Errorf("%s: takes %.100s, which is not JSON", pattern, sent)
	} else if m := mismatch("the request", orNull(schema(rt.in, true)), v, false); m != "" {
		r.Errorf("%s: %s\n%.500s", pattern, m, sent)
	}
}

func TestTheAPIDescribesItself(t *testing.T) {
	r := newRig(t)
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.url+descriptionPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req) // without a key
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.check(resp.Body.Close()) }()
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Permission  string `json:"x-saba-permission"`
			Parameters  []struct {
				Name, In string
				Required bool
			}
			RequestBody, Responses map[string]any
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi is %q", doc.OpenAPI)
	}
	names, n := map[string]bool{}, 0
	for _, rt := range routes() {
		op, ok := doc.Paths[rt.path][strings.ToLower(rt.method)]
		if !ok || names[op.OperationID] || op.Permission == "" {
			t.Errorf("%s %s is %+v, want it there with a permission and a name of its own", rt.method, rt.path, op)
		}
		names[op.OperationID] = true
		n++
		for _, p := range op.Parameters {
			if p.In == "path" && (!strings.Contains(rt.path, "{"+p.Name+"}") || !p.Required) {
				t.Errorf("%s %s: path parameter %+v", rt.method, rt.path, p)
			}
		}
		if got := strings.Count(rt.path, "{"); got > len(op.Parameters) {
			t.Errorf("%s %s has %d parameters, want at least %d", rt.method, rt.path, len(op.Parameters), got)
		}
		if (op.Responses["200"] != nil) == unserved(rt) || op.Responses["default"] == nil {
			t.Errorf("%s %s: responses %v", rt.method, rt.path, slices.Collect(maps.Keys(op.Responses)))
		}
		if (op.RequestBody != nil) != (rt.limit > 0 && rt.in != nil) {
			t.Errorf("%s %s: it takes a body of %d bytes, and a body is described: %v", rt.method, rt.path, rt.limit, op.RequestBody != nil)
		}
	}
	for path, ops := range doc.Paths {
		n -= len(ops)
		if strings.Contains(path, "//") {
			t.Errorf("path %q", path)
		}
	}
	if n != 0 {
		t.Errorf("the description has %d calls more than the table", -n)
	}
	for call := range queries() {
		if method, path, _ := strings.Cut(call, " "); doc.Paths[path][strings.ToLower(method)].Responses == nil {
			t.Errorf("query parameters are listed for %s, which does not exist", call)
		}
	}
}

func TestMismatchFindsWhatIsNotDescribed(t *testing.T) {
	shape := schema(under{"services": []serviceOut{}}, false)
	for body, want := range map[string]string{
		`{"services":[]}`: "",
		`{"services":[{"name":"a","memo":"","roles":[]}]}`:       "",
		`{"services":[{"name":"a","memo":"","roles":null}]}`:     "roles is null",
		`{"services":[{"name":5,"memo":"","roles":[]}]}`:         "name is number",
		`{"services":[{"name":"a","memo":""}]}`:                  "lacks roles",
		`{"services":[{"name":"a","memo":"","roles":[],"x":1}]}`: "has x",
		`[]`: "is array",
	} {
		var v any
		dec := json.NewDecoder(strings.NewReader(body))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if got := mismatch("it", shape, v, true); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("mismatch of %s: %q, want %q", body, got, want)
		}
	}
}
