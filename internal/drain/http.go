package drain

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// Prefix is where the paths of drains begin, for whoever serves them.
const Prefix = "/drains/"

// Limits of a request. Logplex sends about 100 KiB.
const (
	maxBody    = 4 << 20         // bytes, inflated
	maxLines   = 100_000         // of it
	maxBodies  = 8               // in memory at once
	bodyWait   = 2 * time.Second // for a place; Logplex gives up after five
	takeWithin = 4 * time.Second // from the first byte to the answer, for the same reason
)

// ServeHTTP takes requests of POST /drains/TOKEN, and of POST /drains/ with the token as user or password of basic authentication. The body is a row of
// octet-counted messages (application/logplex-1), or lines of text (text/plain). /drains/TOKEN/v1/logs and /v1/metrics are OTLP's, and /drains/TOKEN/metrics that of
// language metrics.
//
// The answers are meant for Logplex, which sends a request again after 429 and 5xx, and drops what it got another 4xx for: 204 when what the lines came to is on
// disk, 401 for a token that opens no drain, 413, 415, and 503 when the server cannot keep anything now.
func (d *Drains) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := d.serve(w, r); err != nil {
		fail := failText
		if _, call := cutToken(r.URL.Path); call == LogsPath || call == MetricsPath {
			fail = failOTLP
		}
		d.fail(w, r, err, fail)
	}
}

// failText answers with a sentence.
func failText(w http.ResponseWriter, _ *http.Request, code int, message string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, message+"\n") // to a client that is gone
}

// fail answers a request that went wrong, in the words of its protocol.
func (d *Drains) fail(w http.ResponseWriter, r *http.Request, err error, answer func(w http.ResponseWriter, r *http.Request, code int, message string)) {
	code := http.StatusInternalServerError
	for _, k := range []struct {
		err  error
		code int
	}{
		{saba.ErrInvalid, http.StatusBadRequest}, {saba.ErrUnauthorized, http.StatusUnauthorized}, {saba.ErrForbidden, http.StatusForbidden}, {saba.ErrNotFound, http.StatusNotFound}, {errMethod, http.StatusMethodNotAllowed},
		{errMediaType, http.StatusUnsupportedMediaType}, {saba.ErrTooLarge, http.StatusRequestEntityTooLarge}, {saba.ErrUnavailable, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, k.err) {
			code = k.code
			break
		}
	}
	message := err.Error()
	if code >= 500 {
		if n, say := d.unwell.Count(d.Now()); say {
			d.Log.Error("log lines could not be taken in; their sender was told to send them again", "requests", n, "error", err)
		}
		code, message = http.StatusServiceUnavailable, "the server cannot keep lines now: send them again"
		w.Header().Set("Retry-After", "5")
	}
	answer(w, r, code, message)
}

// The kinds of failure besides those of package saba.
var (
	errMethod    = errors.New("method not allowed")
	errMediaType = errors.New("unknown media type")
)

func (d *Drains) serve(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), takeWithin)
	defer cancel()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return saba.Errorf(errMethod, "a drain takes POST, not %s", r.Method)
	}
	token, call := cutToken(r.URL.Path)
	tokens := []string{token}
	if token == "" {
		user, password, _ := r.BasicAuth()
		tokens = []string{password, user}
	}
	org, dr, err := d.open(ctx, tokens)
	if err != nil {
		return err
	}
	// A drain that several applications share tells them apart by its address; what would make no name is cleaned, since an answer of 400 would lose every line.
	for name, prefix := range map[string]*string{"prefix": &dr.Prefix, "source-prefix": &dr.SourcePrefix} {
		if v := r.URL.Query().Get(name); v != "" {
			*prefix = logline.Clean(v)
		}
	}
	switch call {
	case "":
	case LogsPath, MetricsPath:
		ctx, cancel := context.WithTimeout(r.Context(), otlpWithin)
		defer cancel()
		return d.otlp(ctx, w, r, call, d.always(org, dr))
	case "/metrics":
		return d.language(ctx, w, r, org, dr)
	default:
		return saba.Errorf(saba.ErrNotFound, "a drain takes nothing at %s: lines go to its own address, OTLP to v1/logs and v1/metrics below it, language metrics to metrics", logline.Clip([]byte(call)))
	}
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	var cut func(*Lot, []byte, time.Time)
	switch media = strings.TrimSpace(media); media {
	case "application/logplex-1":
		cut = logplexLot
	case "text/plain":
		cut = textLot
	default:
		return saba.Errorf(errMediaType, "a drain takes application/logplex-1 or text/plain, not %q", media)
	}
	at, leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := read(ctx, &at.body, w, r, maxBody); err != nil {
		return err
	}
	lot := Lot{Lines: at.lines[:0]}
	cut(&lot, at.body.Bytes(), d.Now())
	at.lines = lot.Lines
	if len(lot.Lines) > maxLines {
		return saba.Errorf(saba.ErrTooLarge, "the body holds more than %d lines: send them in parts", maxLines)
	}
	lot.Frame = r.Header.Get("Logplex-Frame-Id")
	if len(lot.Frame) > 64 {
		lot.Frame = ""
	}
	if n, err := strconv.Atoi(r.Header.Get("Logplex-Msg-Count")); err == nil && n != len(lot.Lines) && len(lot.Refused) == 0 {
		lot.Refused = append(lot.Refused, logline.Refusal{Reason: logline.BadFrame, Text: fmt.Sprintf("the header promised %d messages, the body held %d", n, len(lot.Lines))})
	}
	if err := d.Take(ctx, org, dr, lot); err != nil {
		if errors.Is(err, saba.ErrNotFound) { // deleted since
			return errNoDrain
		}
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

var errNoDrain = saba.Errorf(saba.ErrUnauthorized, "this token opens no drain: make one on the console, under its service")

// enter returns when there is a place for a body in memory; leave gives it back. The error matches saba.ErrUnavailable when there was none in time.
func (d *Drains) enter(ctx context.Context) (at *place, leave func(), err error) {
	timer := time.NewTimer(bodyWait)
	defer timer.Stop()
	select {
	case at = <-d.places:
		return at, func() {
			at.clear()
			d.places <- at
		}, nil
	case <-timer.C:
		return nil, nil, saba.Errorf(saba.ErrUnavailable, "%d requests with log lines are under way already", maxBodies)
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// cutToken cuts the path of a request into the token and what is called: "" for lines.
func cutToken(path string) (token, call string) {
	path = strings.TrimPrefix(path, Prefix)
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// credentials returns what a request's headers hold that may be a token.
func credentials(r *http.Request) []string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return []string{strings.TrimSpace(token)}
	}
	user, password, _ := r.BasicAuth()
	return []string{password, user}
}

// open returns the drain that one of some tokens opens. The error matches saba.ErrUnauthorized when none does.
func (d *Drains) open(ctx context.Context, tokens []string) (org string, dr saba.Drain, err error) {
	for _, t := range tokens {
		if t == "" || len(t) > 128 {
			continue
		}
		org, dr, err = d.Store.DrainByHash(ctx, saba.HashSecret(t))
		if !errors.Is(err, saba.ErrNotFound) {
			return org, dr, err
		}
	}
	return "", saba.Drain{}, errNoDrain
}

// A place holds the body of a request and its lines, one request after the other: to make both anew each time was a third of what a line costs. Whoever keeps
// something of a lot copies it.
type place struct {
	body  bytes.Buffer
	lines []logline.Line
}

// clear forgets a request. Of a large one nothing stays in memory.
func (p *place) clear() {
	const usual = 256 << 10
	if p.body.Reset(); p.body.Cap() > usual {
		p.body = bytes.Buffer{}
	}
	if clear(p.lines); cap(p.lines) > usual/128 {
		p.lines = nil
	}
}

// read reads a body whole, of at most limit bytes when it is inflated.
func read(ctx context.Context, to *bytes.Buffer, w http.ResponseWriter, r *http.Request, limit int64) error {
	if end, ok := ctx.Deadline(); ok {
		// Whoever sends slowly holds a place that others wait for. The next request on the connection has a deadline of its own; where there is no connection, nobody is slow.
		_ = http.NewResponseController(w).SetReadDeadline(end)
	}
	var in io.Reader = http.MaxBytesReader(w, r.Body, limit)
	switch kind := r.Header.Get("Content-Encoding"); kind {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return saba.Errorf(saba.ErrInvalid, "the body is not gzip, as its Content-Encoding says: %v", err)
		}
		in = z
	default:
		return saba.Errorf(errMediaType, "a drain takes no Content-Encoding but gzip, not %q", kind)
	}
	if n := r.ContentLength; 0 < n && n <= limit && r.Header.Get("Content-Encoding") == "" {
		to.Grow(int(n) + bytes.MinRead) // in one piece
	}
	_, err := to.ReadFrom(io.LimitReader(in, limit+1))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large), int64(to.Len()) > limit:
		return saba.Errorf(saba.ErrTooLarge, "the body is larger than %d MiB: send it in parts", limit>>20)
	case errors.Is(err, os.ErrDeadlineExceeded): // not the fault of what it holds: to send it again may help
		return saba.Errorf(saba.ErrUnavailable, "the body did not come in time")
	case err != nil:
		return saba.Errorf(saba.ErrInvalid, "the body could not be read: %v", err)
	}
	return nil
}

// logplexLot cuts octet-counted messages.
func logplexLot(lot *Lot, body []byte, _ time.Time) {
	for len(body) > 0 && len(lot.Lines) <= maxLines {
		message, rest, lost, ok := logline.Frame(body)
		if !ok {
			lot.Refuse(logline.BadFrame, body[:lost])
			body = rest
			continue
		}
		body = rest
		if l, ok := logline.Logplex(message); ok {
			lot.Lines = append(lot.Lines, l)
		} else {
			lot.Refuse(logline.BadHeader, message)
		}
	}
}

// textLot cuts lines of text, which are of now.
func textLot(lot *Lot, body []byte, now time.Time) {
	for line := range bytes.Lines(body) {
		if len(lot.Lines) > maxLines {
			break
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			lot.Lines = append(lot.Lines, logline.Line{Time: now, Text: line})
		}
	}
}
