package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// success is the answer to a command.
type success struct {
	Success bool `json:"success"`
}

// errorBody is the answer to whatever went wrong.
type errorBody struct {
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

// created is the answer to the registration or update of a host.
type created struct {
	ID string `json:"id"`
}

// ok answers a command: clients decode the body of every success, so there always is one.
func (s *server) ok(w http.ResponseWriter, c *call) error {
	return s.json(w, c, success{Success: true})
}

// json answers 200 with v.
func (s *server) json(w http.ResponseWriter, c *call, v any) error {
	return s.write(w, c.Request, http.StatusOK, v)
}

// write answers with v as JSON. Nothing is sent before all of it is made, so that an error
// returned before then can still become an answer.
func (s *server) write(w http.ResponseWriter, r *http.Request, code int, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // the type below keeps browsers from reading it as HTML
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	return s.send(w, r, code, buf.Bytes())
}

// compressFrom is the size in bytes from which an answer is worth compressing.
const compressFrom = 4 << 10

// send answers with body, which is JSON.
func (s *server) send(w http.ResponseWriter, r *http.Request, code int, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Encoding")
	if len(body) >= compressFrom && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		var buf bytes.Buffer
		z := s.zippers.Get().(*gzip.Writer)
		z.Reset(&buf)
		_, err := z.Write(body)
		if err == nil {
			err = z.Close()
		}
		s.zippers.Put(z)
		if err != nil {
			return fmt.Errorf("compress the answer: %w", err)
		}
		h.Set("Content-Encoding", "gzip")
		body = buf.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	// What fails from here on is the client's connection: there is nobody left to tell.
	_, _ = w.Write(body)
	return nil
}

func newZipper() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant of the package
	}
	return z
}

// acceptsGzip reads an Accept-Encoding header (RFC 9110, section 12.5.3).
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, found := strings.CutPrefix(strings.TrimSpace(params), "q=")
		if !found {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}
