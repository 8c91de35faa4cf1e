package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// A call is one request whose sender is known and may make it.
type call struct {
	*http.Request
	org   string // the organization whose data it sees
	key   string // id of the API key it came with
	limit int64  // bytes that its body may have, inflated
	w     http.ResponseWriter
}

// body returns the request body, inflated if it came compressed. The errors match ErrTooLarge
// and ErrInvalid; errEncoding says that the compression is not one we know.
func (c *call) body() ([]byte, error) {
	tooLarge := saba.Errorf(saba.ErrTooLarge, "the request body is larger than %s: send it in parts", size(c.limit))
	if c.ContentLength > c.limit {
		c.w.Header().Set("Connection", "close") // the rest is not worth reading
		return nil, tooLarge
	}
	var r io.Reader = http.MaxBytesReader(c.w, c.Body, c.limit)
	switch encoding := strings.ToLower(strings.TrimSpace(c.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		zipped, err := gzip.NewReader(r)
		if err != nil {
			return nil, c.bodyError(err)
		}
		// The limit is on what comes out: a small body may inflate to a thousand times its size.
		r = io.LimitReader(zipped, c.limit+1)
	default:
		c.w.Header().Set("Accept-Encoding", "gzip") // RFC 7694, section 3
		return nil, saba.Errorf(errEncoding, "the request body has Content-Encoding %q: send it plain or as gzip", clip(encoding))
	}
	const most = 1 << 20 // a length is only a promise: allocate no more than this for it
	buf := bytes.NewBuffer(make([]byte, 0, min(max(c.ContentLength, 0), most)+bytes.MinRead))
	if _, err := buf.ReadFrom(r); err != nil {
		return nil, c.bodyError(err)
	}
	if int64(buf.Len()) > c.limit {
		return nil, tooLarge
	}
	return buf.Bytes(), nil
}

// bodyError words a failure to read the body.
func (c *call) bodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return saba.Errorf(saba.ErrTooLarge, "the request body is larger than %s: send it in parts", size(c.limit))
	case c.Context().Err() != nil:
		return c.Context().Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return saba.Errorf(errTimeout, "the request body did not arrive in time")
	case c.Header.Get("Content-Encoding") != "":
		return saba.Errorf(saba.ErrInvalid, "the request body is not the gzip that its Content-Encoding promises: %v", err)
	}
	return saba.Errorf(saba.ErrInvalid, "the request body could not be read to its end: %v", err)
}

// decode reads the JSON body into v. Keys that v does not have are ignored; null leaves v as
// it is. The errors match ErrInvalid and name the place.
func (c *call) decode(v any) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return badJSON(body, err)
	}
	return nil
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

// size writes a number of bytes for people.
func size(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// clip shortens a stranger's text for a message.
func clip(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
