// Package client speaks the Mackerel v0 protocol to a saba server, or to any other service
// that is compatible with it: one file per noun, one method per call.
//
// A Client is safe for use by several goroutines. No call retries: whoever calls knows what
// a repetition costs. Errors are of two types: an *Error is an answer that is not a success,
// a *NetworkError means that there was no whole answer. Both match the kinds of package saba
// with errors.Is. Start with New.
package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba"
)

// DefaultTimeout bounds a whole request of a Client that was given no http.Client.
const DefaultTimeout = 30 * time.Second

// Limits on what a server may answer.
const (
	maxBody    = 64 << 20 // bytes of an answer; the list of all hosts is the longest one
	maxMessage = 1024     // bytes of an error message that are kept
)

// Options say whom a Client talks to, and as whom.
type Options struct {
	// Base is the address of the server: "https://saba.example.com". A path in it is kept, for
	// servers behind a prefix; the calls' own /api/v0 follows it.
	Base      string
	Key       string       // sent as X-Api-Key
	UserAgent string       // "" sends "saba-client/" and the version
	Header    http.Header  // sent with every request besides; may be nil
	HTTP      *http.Client // nil means one of its own, with DefaultTimeout; its CheckRedirect is not used
}

// A Client calls one server with one key.
type Client struct {
	base   *url.URL
	header http.Header
	http   *http.Client
	gzip   atomic.Bool                 // the server says that it takes compressed requests
	packer atomic.Pointer[gzip.Writer] // of the last request that was compressed, if nobody has it
}

// New returns a Client. It does not connect. The error matches saba.ErrInvalid when
// Options.Base is not an http or https address.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Base)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, saba.Errorf(saba.ErrInvalid, "the API base %q is not an address: write it as https://host or http://host:port", o.Base)
	}
	base.RawQuery, base.Fragment = "", ""
	// People paste the address of a call; what they mean is the server.
	base.Path = strings.TrimSuffix(strings.TrimRight(base.Path, "/"), "/api/v0")
	base.RawPath = ""
	c := &Client{base: base, header: o.Header.Clone()}
	if c.header == nil {
		c.header = http.Header{}
	}
	c.header.Set("X-Api-Key", o.Key)
	c.header.Set("User-Agent", o.UserAgent)
	if o.UserAgent == "" {
		c.header.Set("User-Agent", "saba-client/"+saba.Version)
	}
	hc := http.Client{Timeout: DefaultTimeout}
	if o.HTTP != nil {
		hc = *o.HTTP
	}
	// A redirect is never followed: it would turn a POST into a GET, and carry the key to
	// wherever it points, since only standard credentials are stripped on the way.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &hc
	return c, nil
}

// An Error is an answer that is not a success: a status other than 2xx, or a 2xx without JSON.
type Error struct {
	Method  string
	Path    string // of the call, without the base
	Status  int    // HTTP status
	Message string // the server's own words, or ours when it sent none
	// JSON says that the body was an error of this protocol. An error page of a proxy is not:
	// its 400 says nothing about what was sent.
	JSON bool
	// RetryAfter is how long the server asks to wait before the next try; 0 when it does not.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, e.Message)
}

// Is says whether the status is of a kind of package saba.
func (e *Error) Is(kind error) bool {
	switch e.Status {
	case http.StatusUnauthorized:
		return kind == saba.ErrUnauthorized
	case http.StatusForbidden:
		return kind == saba.ErrForbidden
	case http.StatusNotFound:
		return kind == saba.ErrNotFound
	case http.StatusConflict:
		return kind == saba.ErrConflict
	case http.StatusRequestEntityTooLarge:
		return kind == saba.ErrTooLarge
	case http.StatusTooManyRequests:
		return kind == saba.ErrUnavailable
	}
	switch {
	case e.Status >= 500:
		return kind == saba.ErrUnavailable
	case e.Status >= 400:
		return kind == saba.ErrInvalid
	}
	return false
}

// A NetworkError means that no whole answer came: the server may or may not have acted. It
// matches saba.ErrUnavailable, and whatever the cause matches (context.Canceled…).
type NetworkError struct {
	Method string
	Path   string
	Err    error
}

func (e *NetworkError) Error() string { return fmt.Sprintf("%s %s: %v", e.Method, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *NetworkError) Unwrap() error { return e.Err }

// Is makes a NetworkError match saba.ErrUnavailable.
func (e *NetworkError) Is(kind error) bool { return kind == saba.ErrUnavailable }

// RetryAfter returns how long the server that answered with err asked to wait; 0 when it did not.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// path joins segments of a call's path, each escaped.
func path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/api/v0")
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// do calls method on path with query, sends body as JSON unless it is nil, and decodes the
// answer into result unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, result any) error {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return saba.Errorf(saba.ErrInvalid, "%s %s: the request cannot be written as JSON: %v", method, path, err)
		}
	}
	b, _, err := c.raw(ctx, method, path, query, sent)
	if err != nil {
		return err
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(b, result); err != nil {
		return &Error{Method: method, Path: path, Status: http.StatusOK, Message: fmt.Sprintf("with an answer that this call does not have: %v", err), JSON: true}
	}
	return nil
}

// raw makes the call and returns the body of a success, which is valid JSON, and its header.
// sent is JSON, or nil for no body.
func (c *Client) raw(ctx context.Context, method, path string, query url.Values, sent []byte) ([]byte, http.Header, error) {
	packed := c.gzip.Load() && len(sent) >= worthPacking
	body, header, err := c.try(ctx, method, path, query, sent, packed)
	if e, ok := errors.AsType[*Error](err); ok && packed && e.Status == http.StatusUnsupportedMediaType {
		// It said otherwise before: perhaps another server behind the same address.
		c.gzip.Store(false)
		return c.try(ctx, method, path, query, sent, false)
	}
	return body, header, err
}

// worthPacking is the size from which on a request is compressed, when the server takes that: a
// usual minute of one host is as large, and a backlog far larger.
const worthPacking = 8 << 10

// pack compresses b; the least effort makes JSON a tenth. What it works with takes three quarters of a mebibyte, so
// that one is kept for the next call: to make it anew costs more than to compress what a host sends a minute.
func (c *Client) pack(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := c.packer.Swap(nil)
	if w != nil {
		w.Reset(&out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(&out, gzip.BestSpeed); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	packed := out.Bytes()
	w.Reset(io.Discard) // which lets go of out
	c.packer.Store(w)
	return packed, nil
}

// try makes one request.
func (c *Client) try(ctx context.Context, method, path string, query url.Values, sent []byte, packed bool) ([]byte, http.Header, error) {
	fail := func(err error) ([]byte, http.Header, error) {
		// The outer error of net/http repeats method and address, which may hold credentials.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, nil, &NetworkError{Method: method, Path: path, Err: err}
	}
	full := strings.TrimSuffix(c.base.String(), "/") + path
	if len(query) > 0 {
		full += "?" + query.Encode()
	}
	if packed {
		var err error
		if sent, err = c.pack(sent); err != nil {
			return nil, nil, fmt.Errorf("%s %s: compress the request: %w", method, path, err)
		}
	}
	var reader io.Reader
	if sent != nil {
		reader = bytes.NewReader(sent)
	}
	req, err := http.NewRequestWithContext(ctx, method, full, reader)
	if err != nil {
		return nil, nil, saba.Errorf(saba.ErrInvalid, "%s %s: %v", method, path, err)
	}
	req.Header = c.header.Clone()
	req.Header.Set("Accept", "application/json")
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	if packed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fail(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return fail(err)
	}
	if takesGzip(res.Header) {
		c.gzip.Store(true)
	}
	answer := &Error{Method: method, Path: path, Status: res.StatusCode, RetryAfter: retryAfter(res.Header)}
	switch {
	case len(body) > maxBody:
		answer.Message = fmt.Sprintf("with an answer of more than %d bytes, which is not read", maxBody)
		return nil, nil, answer
	case res.StatusCode >= 300 && res.StatusCode < 400:
		answer.Message = fmt.Sprintf("redirects to %q, which is not followed: set the API base to the address that answers", res.Header.Get("Location"))
		return nil, nil, answer
	case res.StatusCode < 200 || res.StatusCode >= 300:
		answer.Message, answer.JSON = errorMessage(body)
		if answer.Message == "" {
			answer.Message = strings.ToLower(http.StatusText(res.StatusCode))
		}
		return nil, nil, answer
	case !json.Valid(body):
		kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
		answer.Message = fmt.Sprintf("with an answer that is not JSON (%q): is the API base the address of a server of this protocol?", kind)
		return nil, nil, answer
	}
	return body, res.Header, nil
}

// takesGzip says whether the header of an answer offers to take gzip in requests (RFC 7694, section 3).
func takesGzip(h http.Header) bool {
	for _, list := range h.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(list, ",") {
			name, weight, weighed := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";q=")
			if strings.EqualFold(name, "gzip") && (!weighed || strings.Trim(weight, "0.") != "") {
				return true
			}
		}
	}
	return false
}

// errorMessage returns the message of an error body, "" when there is none, and whether the
// body is of this protocol. Old servers send {"error":"text"} in place of {"error":{"message":"text"}}.
func errorMessage(body []byte) (message string, isJSON bool) {
	var outer struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &outer) != nil || outer.Error == nil {
		return "", false
	}
	var inner struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(outer.Error, &inner) == nil {
		message = inner.Message
	} else if json.Unmarshal(outer.Error, &message) != nil {
		return "", false
	}
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message, true
}

// retryAfter returns the wait that a Retry-After header asks for (RFC 9110 §10.2.3: seconds or
// a date, here counted from the answer's own Date so that our clock does not matter); 0 if none.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	// A day is longer than anything is worth waiting for, and far from overflowing.
	const most = 24 * time.Hour
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, most)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most)
}
