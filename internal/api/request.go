package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

// A call is one request whose sender is known and may make it.
type call struct {
	*http.Request
	org    string // the organization whose data it sees
	key    string // id of the API key it came with
	body   body.Body
	sent   []byte        // what was decoded of it
	points *[]saba.Point // what its points are parsed into; nil while they are not
	reuse  *reuse
}

// release gives back what the call took. Nothing of it may be in use any more.
func (c *call) release() {
	c.body.Release()
	if c.points != nil {
		c.reuse.giveBack(c.points)
	}
}

// reuse is memory that requests use one after the other, besides that of their bodies.
type reuse struct {
	points  sync.Pool // of *[]saba.Point
	parsers sync.Pool // of *pointParser
}

func newReuse() *reuse {
	return &reuse{
		points:  sync.Pool{New: func() any { return new([]saba.Point) }},
		parsers: sync.Pool{New: func() any { return newPointParser() }},
	}
}

// mostPoints is how many points room is kept for.
const mostPoints = 1000

func (r *reuse) giveBack(points *[]saba.Point) {
	if cap(*points) > mostPoints {
		*points = nil
	}
	r.points.Put(points)
}

// valueCost is about what one value of JSON costs when it is decoded into the structs of this
// package: the largest, of an element "{}" in an array, has 136 bytes, and slices grow ahead.
const valueCost = 256 // bytes

// cost returns about what it costs in bytes to decode a body: one value more at each comma. Commas in
// strings count as well, which does no harm: text has few.
func cost(commas int) int64 { return int64(commas+1) * valueCost }

// decode reads the JSON body into v. Keys that v does not have are ignored; null leaves v as
// it is. The errors match ErrInvalid and name the place.
func (c *call) decode(v any) error {
	b, err := c.body.Read()
	if err != nil {
		return err
	}
	c.sent = b
	n := cost(bytes.Count(b, []byte(",")))
	if n > body.Decoding {
		return saba.Errorf(saba.ErrTooLarge, "the request body holds more than %d values: send it in parts", body.Decoding/valueCost)
	}
	if err := c.body.Decode(n); err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return badJSON(b, withoutEmbedded(err, v))
	}
	return nil
}

// withoutEmbedded returns an error of json.Unmarshal into v with its field as clients know it: encoding/json puts the name of an embedded
// struct before it, which stands in no body.
func withoutEmbedded(err error, v any) error {
	var kind *json.UnmarshalTypeError
	if t := reflect.TypeOf(v).Elem(); t.Kind() == reflect.Struct && errors.As(err, &kind) {
		first, rest, _ := strings.Cut(kind.Field, ".")
		if f, ok := t.FieldByName(first); ok && f.Anonymous {
			kind.Field = rest
		}
	}
	return err
}

// validJSON checks that body is one JSON value.
func validJSON(body []byte) error {
	if json.Valid(body) {
		return nil
	}
	var v json.RawMessage
	return badJSON(body, json.Unmarshal(body, &v))
}

// badJSON turns an error of encoding/json about body into a sentence that names the place.
func badJSON(body []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return saba.Errorf(saba.ErrInvalid, "the request body is empty, where JSON was expected")
	case errors.As(err, &syntax) && syntax.Offset > int64(len(body)),
		errors.As(err, &syntax) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return saba.Errorf(saba.ErrInvalid, "the request body is not valid JSON: it ends too early, at %s", place(body, int64(len(body))+1))
	case errors.As(err, &syntax):
		return saba.Errorf(saba.ErrInvalid, "the request body is not valid JSON: %v at %s", syntax, place(body, syntax.Offset))
	case errors.As(err, &kind):
		field := kind.Field
		if field == "" {
			field = "the request body"
		}
		return saba.Errorf(saba.ErrInvalid, "%s must be %s, not %s, near %s", field, wantedKind(kind.Type), article(kind.Value), place(body, kind.Offset))
	}
	return saba.Errorf(saba.ErrInvalid, "the request body is not valid JSON: %v", err)
}

// place names the offset-th byte of body (counted from 1) as a person finds it in an editor.
func place(body []byte, offset int64) string {
	before := body[:min(max(offset-1, 0), int64(len(body)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("line %d, column %d", line, column)
}

// jsonKind says what a valid JSON value is, in words; "nothing" for no bytes.
func jsonKind(raw []byte) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// wantedKind says in words which JSON a Go type is read from.
func wantedKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Pointer:
		return wantedKind(t.Elem())
	}
	return "a number"
}

// article makes words of what encoding/json calls a value: "string", "number 1.5", "bool".
func article(value string) string {
	switch {
	case value == "bool":
		return "true or false"
	case value == "array" || value == "object":
		return "an " + value
	}
	return "a " + clip(value)
}

// clip shortens a stranger's text for a message.
func clip(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
