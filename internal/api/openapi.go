package api

import (
	"encoding"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

// descriptionPath is where the API describes itself. It needs no key: it says nothing about anybody's data.
const descriptionPath = "/api/openapi.json"

// under is the type of an answer that has its value under one key.
type under map[string]any

// queries lists the parameters of calls that have some besides their path. Those that end in "*" are required,
// those that end in "+" may be given several times.
func queries() map[string][]string {
	return map[string][]string{
		"GET /hosts":      {"service", "role+", "name", "status+", "customIdentifier"},
		"GET /hosts.json": {"service", "role+", "name", "status+", "customIdentifier"},
		"GET /hosts-by-custom-identifier/{identifier}": {"caseInsensitive"},
		"GET /hosts/{host}/metrics":                    {"name*", "from*", "to*", "aggregate"},
		"GET /services/{service}/metrics":              {"name*", "from*", "to*", "aggregate"},
		"GET /tsdb/latest":                             {"hostId*+", "name*+"},
		"GET /monitoring/checks":                       {"nextId", "limit"},
		"GET /alerts":                                  {"withClosed", "nextId", "limit", "from", "to", "monitorId", "hostId", "service", "status", "q"},
		"GET /alerts/{alert}/logs":                     {"nextId", "limit"},
		"GET /graph-annotations":                       {"service*", "from*", "to*"},
	}
}

// describe answers with the API in OpenAPI 3.1, made of the table of routes and the types that it names.
func (s *server) describe(w http.ResponseWriter, c *call) error {
	return s.json(w, c, description())
}

type object = map[string]any

func description() object {
	paths := map[string]object{}
	for _, r := range routes() {
		if paths[r.path] == nil {
			paths[r.path] = object{}
		}
		paths[r.path][strings.ToLower(r.method)] = r.describe()
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "saba", "version": saba.Version, "description": "The Mackerel API, version 0, as saba serves it."},
		"servers": []object{{"url": prefix}},
		"paths":   paths,
		"security": []object{
			{"key": []string{}}, {"bearer": []string{}},
		},
		"components": object{
			"securitySchemes": object{
				"key":    object{"type": "apiKey", "in": "header", "name": "X-Api-Key"},
				"bearer": object{"type": "http", "scheme": "bearer"},
			},
			"responses": object{"error": object{"description": "What is wrong, in a sentence.", "content": content(schemaOf(reflect.TypeFor[errorBody](), false))}},
		},
	}
}

// describe returns the operation of a route.
func (r route) describe() object {
	var parameters []object
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			parameters = append(parameters, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, q := range queries()[r.method+" "+r.path] {
		name, schema := strings.TrimRight(q, "*+"), object{"type": "string"}
		if strings.HasSuffix(q, "+") {
			schema = object{"type": "array", "items": schema}
		}
		parameters = append(parameters, object{"name": name, "in": "query", "required": strings.Contains(q, "*"), "schema": schema})
	}
	op := object{
		"operationId": r.name(),
		"responses":   object{"default": object{"$ref": "#/components/responses/error"}},
		"x-saba-permission": map[saba.Permission]string{
			saba.Read: "read", saba.Write: "write", saba.ReadWrite: "read and write",
		}[r.permission],
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if r.in != nil {
		op["requestBody"] = object{"content": content(schema(r.in, true))}
	}
	if r.out != nil {
		op["responses"] = object{
			"200":     object{"description": "Done.", "content": content(schema(r.out, false))},
			"default": object{"$ref": "#/components/responses/error"},
		}
	}
	return op
}

// name makes a name of the method and the path: "get_hosts_host_metrics".
func (r route) name() string {
	return strings.ToLower(r.method) + strings.NewReplacer("/", "_", "{", "", "}", "", "-", "_", ".", "_").Replace(r.path)
}

func content(schema object) object { return object{"application/json": object{"schema": schema}} }

// schema describes the type of v. In requests every key may be missing or null: clients write what
// they do not mean as null. In answers what is not optional is there.
func schema(v any, request bool) object {
	if keys, ok := v.(under); ok {
		properties, required := object{}, []string{}
		for key, value := range keys {
			properties[key] = schema(value, request)
			required = append(required, key)
		}
		return object{"type": "object", "properties": properties, "required": required}
	}
	return schemaOf(reflect.TypeOf(v), request)
}

// variants lists the types that a value of an interface type may have; none means any.
func variants(t reflect.Type) []any {
	switch t {
	case reflect.TypeFor[oneWidget]():
		return []any{graphWidgetOut{}, valueWidgetOut{}, markdownWidgetOut{}, alertStatusWidgetOut{}}
	case reflect.TypeFor[oneSource]():
		return []any{hostSourceOut{}, roleSourceOut{}, serviceSourceOut{}, expressionSourceOut{}, querySourceOut{}, unknownSourceOut{}}
	case reflect.TypeFor[oneRange]():
		return []any{relativeRangeOut{}, absoluteRangeOut{}}
	}
	return nil
}

func schemaOf(t reflect.Type, request bool) object {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(schemaOf(t.Elem(), request))
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), request)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem(), request)}
	case reflect.Struct:
		properties, required := object{}, []string{}
		for key, f := range fieldsOf(t) {
			_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			optional := strings.Contains(options, "omit")
			of := f.Type
			if optional && of.Kind() == reflect.Pointer { // nil is absent, not null
				of = of.Elem()
			}
			properties[key] = schemaOf(of, request)
			switch {
			case request:
				properties[key] = orNull(schemaOf(of, request))
			case !optional:
				required = append(required, key)
			}
		}
		slices.Sort(required) // so that the document is the same each time
		out := object{"type": "object", "properties": properties}
		if len(required) > 0 {
			out["required"] = required
		}
		return out
	}
	var all []object
	for _, v := range variants(t) {
		all = append(all, schema(v, request))
	}
	if all == nil {
		return object{}
	}
	return object{"anyOf": all}
}

// fieldsOf returns the fields of a struct by their JSON keys; of two with one key the outer one is written.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && f.Type.Kind() == reflect.Struct {
			maps.Copy(fields, fieldsOf(f.Type))
		}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" {
			fields[key] = f
		}
	}
	return fields
}

// orNull lets null stand for a value of a schema.
func orNull(schema object) object {
	if kind, ok := schema["type"].(string); ok {
		schema["type"] = []string{kind, "null"}
	}
	return schema
}
