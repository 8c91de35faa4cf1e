package promapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// sendAll sends a request with all of its body before it reads the answer, as most senders do.
func sendAll(t *testing.T, r *rig, path, headers, sent string) (status int, header http.Header, answer string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: saba\r\nX-Api-Key: %s\r\n%sContent-Length: %d\r\n\r\n", path, keyBoth, headers, len(sent)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatalf("the body was not read to its end: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// The calls that take samples in, with headers of theirs.
var writers = map[string]string{
	"/api/prom/v1/write": "Content-Type: " + protocol1 + "\r\nContent-Encoding: snappy\r\n",
	"/v1/metrics":        "Content-Type: application/json\r\n",
}

// A sender finds the sentence that says what to do, and not a broken connection.
func TestABodyThatIsTooLargeIsReadOn(t *testing.T) {
	r := newRig(t, limits{}, 100)
	plain := strings.Repeat(" ", 30<<20) // more behind the limit than buffers of sockets hold
	for path, headers := range writers {
		if status, _, answer := sendAll(t, r, path, headers, plain); status != http.StatusRequestEntityTooLarge || !strings.Contains(answer, "send it in parts") {
			t.Errorf("%s: %d %s, want 413 that says what to do", path, status, answer)
		}
	}
}

// Large bodies are in one budget with those of all other calls, and wait for it.
func TestALargeBodyWaitsForRoom(t *testing.T) {
	l := limits{}.orDefault()
	l.wait = 50 * time.Millisecond
	r := newRig(t, l, 100)
	const most = 16 << 20
	for range 2 { // all that there is for large ones
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat(" ", most)))
		other := r.bodies.Of(httptest.NewRecorder(), req, most)
		if _, err := other.Read(); err != nil {
			t.Fatal(err)
		}
		defer other.Release()
	}
	for path, headers := range writers {
		status, header, answer := sendAll(t, r, path, headers, strings.Repeat(" ", 3<<20))
		if status != http.StatusServiceUnavailable || !strings.Contains(answer, "send this one again") || header.Get("Retry-After") == "" {
			t.Errorf("%s without room: %d %s (Retry-After %q), want 503 and when to come again", path, status, answer, header.Get("Retry-After"))
		}
		// A small one has a budget of its own.
		if status, _, answer := sendAll(t, r, path, headers, strings.Repeat(" ", 900<<10)); status != http.StatusBadRequest {
			t.Errorf("%s: a small body without a meaning got %d %s, want 400", path, status, answer)
		}
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("too much at once is no error of ours:\n%s", r.log)
	}
}
