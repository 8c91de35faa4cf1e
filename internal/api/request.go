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
	"sync"
	"time"
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

	memory        memory // what its body takes its share of
	body, decoded share
	reuse         *reuse
	scratch       *scratch // nil while the body was not read
}

// release gives back what the body took. Nothing of it may be in use any more.
func (c *call) release() {
	c.body.release()
	c.decoded.release()
	if c.scratch != nil {
		c.reuse.giveBack(c.scratch)
	}
}

// reuse is memory that requests use one after the other: without it, most of the garbage of a server at work would be that of
// reading the minutes of agents.
type reuse struct {
	scratches sync.Pool // of *scratch
	parsers   sync.Pool // of *pointParser
	unzippers sync.Pool // of *gzip.Reader
}

func newReuse() *reuse {
	return &reuse{
		scratches: sync.Pool{New: func() any { return &scratch{} }},
		parsers:   sync.Pool{New: func() any { return newPointParser() }},
		unzippers: sync.Pool{New: func() any { return &gzip.Reader{} }},
	}
}

// A scratch is what a request fills and nobody needs when it is answered.
type scratch struct {
	body   []byte
	points []saba.Point
}

// scratchPoints is how many points a scratch keeps room for; its body keeps freeBody bytes.
const scratchPoints = 1000

func (r *reuse) giveBack(s *scratch) {
	if cap(s.body) > freeBody+1 {
		s.body = nil
	}
	if cap(s.points) > scratchPoints {
		s.points = nil
	}
	r.scratches.Put(s)
}

// read returns the request body, inflated if it came compressed; it may be used until the call is answered. The errors
// match ErrTooLarge and ErrInvalid; errEncoding says that the compression is not one we know, errBusy that there
// was no room for it in time.
func (c *call) read() ([]byte, error) {
	c.w.Header().Set("Accept-Encoding", "gzip") // in requests: RFC 7694, section 3
	if c.ContentLength > c.limit {
		if strings.EqualFold(c.Header.Get("Expect"), "100-continue") { // it waits for leave to send
			c.w.Header().Set("Connection", "close")
			return nil, c.tooLarge()
		}
		return nil, c.refuseRest()
	}
	length := c.ContentLength // below 0 when it is not known before the end
	var r io.Reader = http.MaxBytesReader(c.w, c.Body, c.limit)
	switch encoding := strings.ToLower(strings.TrimSpace(c.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		zipped := c.reuse.unzippers.Get().(*gzip.Reader)
		defer c.reuse.unzippers.Put(zipped)
		if err := zipped.Reset(r); err != nil {
			return nil, c.bodyError(err)
		}
		// The limit is on what comes out: a small body may inflate to a thousand times its size.
		r, length = io.LimitReader(zipped, c.limit+1), -1
	default:
		return nil, saba.Errorf(errEncoding, "the request body has Content-Encoding %q: send it plain or as gzip", clip(encoding))
	}
	first := int64(4 << 10)
	if length >= 0 {
		first = min(length, freeBody)
	}
	c.scratch = c.reuse.scratches.Get().(*scratch)
	buf := c.scratch.body[:0]
	if int64(cap(buf)) <= first {
		buf = make([]byte, 0, first+1) // one more, where the end shows
	}
	defer func() { c.scratch.body = buf }()
	for {
		if len(buf) == cap(buf) {
			larger, err := c.room(int64(len(buf)), length)
			if err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, larger+1), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > c.limit:
			return nil, c.refuseRest()
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, c.bodyError(err)
		}
	}
}

// A body that is refused for its size is still read so far. Most clients send all before they read, and would see a broken
// connection in place of the sentence that says what to do.
const (
	refusedBody = 32 << 20 // bytes
	refusedTime = 5 * time.Second
)

// refuseRest reads what is left of a body that is too large, as far as that is worth it, and returns tooLarge.
func (c *call) refuseRest() error {
	c.w.Header().Set("Connection", "close") // what is beyond is not read
	// Without a deadline of its own (a recorder in a test has none) that of the server stands. It is the time of the network, not of the data.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(refusedTime))
	_, _ = io.CopyN(io.Discard, c.Body, refusedBody) // that it cannot be read is of no interest any more
	return c.tooLarge()
}

func (c *call) tooLarge() error {
	return saba.Errorf(saba.ErrTooLarge, "the request body is larger than %s: send it in parts", size(c.limit))
}

// room waits until there is room for more of a body of which have bytes are there, and returns how
// many it may have then. A length is only a promise, so it counts from the first bytes above
// freeBody on; without one the body goes on from step to step.
func (c *call) room(have, length int64) (int64, error) {
	var larger int64
	switch {
	case have <= freeBody/2:
		return min(2*have, freeBody), nil
	case have < freeBody:
		return freeBody, nil
	case length >= 0:
		larger = length
	case have <= smallBody:
		larger = min(smallBody, c.limit)
	default:
		larger = c.limit
	}
	from := c.memory.large
	if larger <= smallBody {
		from = c.memory.small
	}
	if err := c.body.of(c.Context(), from, larger); err != nil {
		if errors.Is(err, errBusy) {
			// Most clients send all before they read, and would see a broken connection in place of
			// the answer. That the rest cannot be read either is of no interest any more.
			_, _ = io.CopyN(io.Discard, c.Body, c.limit)
		}
		return 0, err
	}
	return larger, nil
}

// bodyError words a failure to read the body.
func (c *call) bodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return c.refuseRest()
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
	body, err := c.read()
	if err != nil {
		return err
	}
	if n := cost(bytes.Count(body, []byte(","))); n > c.memory.decoding.size {
		return saba.Errorf(saba.ErrTooLarge, "the request body holds more than %d values: send it in parts", c.memory.decoding.size/valueCost)
	} else if n > freeBody {
		if err := c.decoded.of(c.Context(), c.memory.decoding, n); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(body, v); err != nil {
		return badJSON(body, withoutEmbedded(err, v))
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
